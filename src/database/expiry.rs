//! Messages that have been pending for too long, to the millisecond.
//!
//! A message ages by the wall clock of the boot and the monotonic time since: a wall clock that
//! jumps a year ahead while the database runs must not empty every queue. It drops for one device
//! what that device has not got, and never a message that others still wait for.

use super::Database;
use crate::node::{Outbox, Timer};
use crate::time::{Now, Wall};
use crate::wire::{Hole, HoleReason};
use std::time::Duration;

impl Database {
    /// The time of day, as far as this database trusts its host.
    pub(super) fn wall(&self, now: Now) -> Wall {
        self.booted_at.wall + now.mono.since(self.booted_at.mono)
    }

    /// Sets the timer to when the next message expires.
    pub(super) fn set_expiry(&mut self, now: Now, out: &mut Outbox) {
        let first = self.expiries.first().map(|(at, _)| *at);
        let earlier = first.is_some_and(|at| self.expiry_set.is_none_or(|set| at < set));
        if let Some(at) = first.filter(|_| earlier) {
            self.expiry_set = Some(at);
            // A wall clock counts milliseconds: not a fraction of one too early.
            let after = at - self.wall(now) + Duration::from_millis(1);
            out.set_timer(Timer::Expire, after);
        }
    }

    pub(super) fn expire(&mut self, now: Now, out: &mut Outbox) {
        self.expiry_set = None;
        let wall = self.wall(now);
        while let Some((at, key)) = self.expiries.first().copied() {
            if at > wall {
                break;
            }
            let row = &self.rows[&key];
            let old = |at: Wall| at + self.config.timing.expiry <= wall;
            let rest = self.logs[&key.1].from(row.next).iter();
            let last = rest.take_while(|stored| old(stored.at)).last();
            let Some(upto) = last.map(|stored| stored.entry.stamp.seq) else {
                // Its first message is younger than a later one: numbers are not in time order.
                self.expiries.remove(&(at, key));
                continue;
            };
            let hole = Hole { from: row.next, upto, why: HoleReason::Expired };
            self.drop_now(key, hole, out);
        }
        self.set_expiry(now, out);
    }
}
