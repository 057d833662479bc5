//! A gateway's watchers: which connections are told of whose presence.
//!
//! It asks presence on behalf of its devices, again and again while they are here, keeps the last
//! status of whoever is watched and passes it on to those who watch. It never decides what a
//! status is, and never passes an older one on after a newer one.

use super::Gateway;
use crate::frame::Frame;
use crate::id::{ConnId, UserId};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::wire::{Sighting, Version, Wire};
use std::collections::{BTreeMap, BTreeSet};

/// A user who is watched here.
#[derive(Clone, Debug, Default)]
struct Watched {
    by: BTreeSet<ConnId>,
    /// What presence last said. Every connection in `by` has been told.
    last: Option<Sighting>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Watching {
    users: BTreeMap<UserId, Watched>,
    /// Whom each connection watches.
    lists: BTreeMap<ConnId, Vec<UserId>>,
}

impl Gateway {
    /// A device names the users it watches, in place of those it named before.
    pub(super) fn watch(&mut self, conn: ConnId, mut users: Vec<UserId>, out: &mut Outbox) {
        let idle = self.watching.users.is_empty();
        self.unwatch(conn);
        users.truncate(limits::WATCHED_USERS_MAX);
        let mut known = Vec::new();
        for user in &users {
            let watched = self.watching.users.entry(*user).or_default();
            known.extend(watched.last);
            if watched.by.len() < limits::WATCHERS_MAX {
                watched.by.insert(conn);
            }
        }
        // What is known here it is told at once; what is not, when presence answers.
        if !known.is_empty() {
            self.write(conn, Frame::Statuses { statuses: known }, out);
        }
        if idle && !users.is_empty() {
            out.set_timer(Timer::Watch, limits::WATCH_PERIOD);
        }
        self.ask(&users, out);
        self.watching.lists.insert(conn, users);
    }

    pub(super) fn unwatch(&mut self, conn: ConnId) {
        for user in self.watching.lists.remove(&conn).unwrap_or_default() {
            let Some(watched) = self.watching.users.get_mut(&user) else { continue };
            watched.by.remove(&conn);
            // Presence forgets it too when it is not asked again.
            if watched.by.is_empty() {
                self.watching.users.remove(&user);
            }
        }
    }

    /// Presence may have forgotten who is watched here, and what it said may have been lost.
    pub(super) fn watch_again(&mut self, out: &mut Outbox) {
        if self.watching.users.is_empty() {
            return;
        }
        let users: Vec<UserId> = self.watching.users.keys().copied().collect();
        self.ask(&users, out);
        out.set_timer(Timer::Watch, limits::WATCH_PERIOD);
    }

    fn ask(&self, users: &[UserId], out: &mut Outbox) {
        let known = |user: &UserId| {
            let last = self.watching.users.get(user).and_then(|watched| watched.last);
            (*user, last.map_or(Version::default(), |last| last.version))
        };
        for batch in users.chunks(limits::WATCH_BATCH_MAX) {
            let users = batch.iter().map(known).collect();
            out.send(self.config.directory.presence, Wire::Watch { users });
        }
    }

    /// Passes on what is news here, one frame per connection.
    pub(super) fn fan_out(&mut self, statuses: Vec<Sighting>, out: &mut Outbox) {
        let mut news: BTreeMap<ConnId, Vec<Sighting>> = BTreeMap::new();
        for sighting in statuses {
            let Some(watched) = self.watching.users.get_mut(&sighting.user) else { continue };
            if watched.last.is_some_and(|last| last.version >= sighting.version) {
                continue; // Overtaken by a later change.
            }
            watched.last = Some(sighting);
            for conn in &watched.by {
                news.entry(*conn).or_default().push(sighting);
            }
        }
        for (conn, statuses) in news {
            self.write(conn, Frame::Statuses { statuses }, out);
        }
    }
}
