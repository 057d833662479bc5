//! Presence's watchers: which gateways are told of whose changes, and when.
//!
//! A gateway that asks is answered at once and told of changes for as long as it asks again in
//! time. Changes are collected: a gateway gets at most one batch per [`limits::TELL_EVERY`], with
//! only the last status of a user in it. It never knows which devices are behind a gateway.

use super::Presence;
use crate::id::{HostId, UserId};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::time::Instant;
use crate::wire::{Sighting, Version, Wire};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
pub(super) struct Watchers {
    /// Until when each gateway is told of each user's changes.
    until: BTreeMap<UserId, BTreeMap<HostId, Instant>>,
    /// Who has changed since each gateway was last told.
    changed: BTreeMap<HostId, BTreeSet<UserId>>,
    /// The next batches are on their way.
    armed: bool,
}

impl Presence {
    /// A gateway watches these users and knows this much of each.
    pub(super) fn watch(
        &mut self,
        now: Instant,
        gateway: HostId,
        users: Vec<(UserId, Version)>,
        out: &mut Outbox,
    ) {
        let mut news = Vec::new();
        for (user, known) in users {
            self.get_to_know(now, user, out);
            let until = now + limits::WATCH_LEASE;
            self.watchers.until.entry(user).or_default().insert(gateway, until);
            news.extend(self.sighting(user).filter(|sighting| sighting.version > known));
        }
        for statuses in news.chunks(limits::WATCH_BATCH_MAX) {
            out.send(gateway, Wire::Statuses { statuses: statuses.to_vec() });
        }
    }

    /// Of somebody who has not been heard presence knows nothing right after its start, and
    /// afterwards that they are not there.
    fn get_to_know(&mut self, now: Instant, user: UserId, out: &mut Outbox) {
        if self.people.contains_key(&user) {
            return;
        }
        self.people.entry(user).or_default();
        let knows = self.booted_at + self.thresholds.online();
        if now < knows {
            self.look_at(knows, user);
        } else {
            self.judge(now, user, out);
        }
    }

    /// Somebody's status has changed: whoever watches is told with the next batch.
    pub(super) fn changed(&mut self, user: UserId, out: &mut Outbox) {
        let Some(gateways) = self.watchers.until.get(&user) else { return };
        for gateway in gateways.keys() {
            self.watchers.changed.entry(*gateway).or_default().insert(user);
        }
        if !std::mem::replace(&mut self.watchers.armed, true) {
            out.set_timer(Timer::Tell, limits::TELL_EVERY);
        }
    }

    pub(super) fn tell(&mut self, now: Instant, out: &mut Outbox) {
        self.watchers.armed = false;
        for (gateway, users) in std::mem::take(&mut self.watchers.changed) {
            let still = users.into_iter().filter(|user| self.watches(now, gateway, *user));
            let still: Vec<UserId> = still.collect();
            let statuses: Vec<Sighting> =
                still.into_iter().filter_map(|user| self.sighting(user)).collect();
            for batch in statuses.chunks(limits::WATCH_BATCH_MAX) {
                out.send(gateway, Wire::Statuses { statuses: batch.to_vec() });
            }
        }
    }

    /// Whether the gateway has asked again in time. If not it is forgotten.
    fn watches(&mut self, now: Instant, gateway: HostId, user: UserId) -> bool {
        let Some(gateways) = self.watchers.until.get_mut(&user) else { return false };
        gateways.retain(|_, until| *until > now);
        let watches = gateways.contains_key(&gateway);
        if gateways.is_empty() {
            self.watchers.until.remove(&user);
        }
        watches
    }
}
