//! A device's contacts: whom it watches, and what it shows of them.
//!
//! It tells its gateway once per connection whom it watches and shows what it is told. It never
//! shows an older status after a newer one, whichever gateway told it, and never guesses: while it
//! has no connection, what it shows stays as it is.

use super::Client;
use crate::frame::Frame;
use crate::id::{ConnId, UserId};
use crate::limits;
use crate::node::Outbox;
use crate::note::{Note, Status};
use crate::wire::{Sighting, Version};
use std::collections::BTreeMap;

/// What the device shows of each user that it watches. Not kept on disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Contacts {
    shown: BTreeMap<UserId, (Version, Status)>,
}

impl Client {
    pub(super) fn watch_contacts(&mut self, conn: ConnId, out: &mut Outbox) {
        let Some(users) = self.config.directory.watches.get(&self.config.device.user) else {
            return;
        };
        let users = users.iter().take(limits::WATCHED_USERS_MAX).copied().collect();
        out.write(conn, Frame::Watch { users });
    }

    pub(super) fn show_statuses(&mut self, statuses: Vec<Sighting>, out: &mut Outbox) {
        for Sighting { user, status, version } in statuses {
            let earlier = self.contacts.shown.get(&user).copied();
            if earlier.is_some_and(|(shown, _)| shown >= version) {
                continue;
            }
            self.contacts.shown.insert(user, (version, status));
            if earlier.is_none_or(|(_, shown)| shown != status) {
                out.note(Note::PresenceShown { user, status });
            }
        }
    }
}
