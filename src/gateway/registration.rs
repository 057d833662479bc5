//! A gateway's word about its sessions: what it publishes, announces again and reports.
//!
//! It talks to the event log, presence and the database. It never writes the registry.

use super::Gateway;
use crate::id::{BatchId, Incarnation, Session};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::wire::{SessionEvent, Wire};
use std::ops::Bound;

impl Gateway {
    pub(super) fn tell(&mut self, event: SessionEvent, out: &mut Outbox) {
        if self.unpublished.len() == limits::UNPUBLISHED_EVENTS_MAX {
            // What is on its way stays; the oldest of the rest goes.
            self.unpublished.remove(self.publishing);
        }
        self.unpublished.push_back(event);
        if self.publishing == 0 {
            self.publish(out);
        }
    }

    pub(super) fn batch(&self) -> BatchId {
        BatchId { incarnation: self.incarnation, number: self.batch }
    }

    pub(super) fn publish(&mut self, out: &mut Outbox) {
        if self.unpublished.is_empty() {
            return;
        }
        self.batch += 1;
        self.publishing = self.unpublished.len().min(limits::PUBLISH_EVENTS_MAX);
        self.repeat(out);
    }

    /// Says again whatever has not been acknowledged: the batch, the sweep of its own leftovers.
    pub(super) fn repeat(&mut self, out: &mut Outbox) {
        if self.publishing > 0 {
            let events = self.unpublished.iter().take(self.publishing).copied().collect();
            let batch = self.batch();
            out.send(self.config.directory.event_log, Wire::Publish { batch, events });
        }
        if self.unswept {
            let upto = Incarnation(self.incarnation.0 - 1);
            let gateway = self.config.host;
            out.send(self.config.directory.registry, Wire::Sweep { gateway, upto });
        }
        if self.publishing > 0 || self.unswept {
            out.set_timer(Timer::Republish, limits::RETRY_STORE);
        }
    }

    /// Announces the next few live sessions again: what the registry lost comes back, at a rate.
    pub(super) fn announce(&mut self, out: &mut Outbox) {
        let looks = (limits::ANNOUNCE_PERIOD.as_secs() / limits::REPORT_EVERY.as_secs()) as usize;
        let count = self.devices.len().div_ceil(looks);
        let after = self.announced.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.devices.range((after, Bound::Unbounded));
        // At the end, go on with the first.
        let next: Vec<_> =
            rest.chain(&self.devices).take(count).map(|(device, conn)| (*device, *conn)).collect();
        for (device, conn) in next {
            self.announced = Some(device);
            if let Some(session) = self.connections[&conn].session {
                self.tell(SessionEvent::Opened(session), out);
            }
        }
        // With few sessions, one at a time and seldom.
        let looks = self.devices.len().clamp(1, looks) as u32;
        out.set_timer(Timer::Announce, limits::ANNOUNCE_PERIOD / looks);
    }

    pub(super) fn beat(&mut self, session: Session, out: &mut Outbox) {
        self.report_later(out);
        self.beaten.push(session);
    }

    /// A device closed its connection in order: presence need not wait for its silence.
    pub(super) fn leave(&mut self, session: Session, out: &mut Outbox) {
        self.report_later(out);
        self.left.push(session);
    }

    fn report_later(&mut self, out: &mut Outbox) {
        if self.beaten.is_empty() && self.left.is_empty() {
            out.set_timer(Timer::Report, limits::REPORT_EVERY);
        }
    }

    /// Passes the heartbeats on: to presence, and to the database as the question whether any of
    /// these devices is behind without knowing.
    pub(super) fn report(&mut self, out: &mut Outbox) {
        let sessions = std::mem::take(&mut self.beaten);
        let ended = std::mem::take(&mut self.left);
        out.send(self.config.directory.presence, Wire::Seen { sessions: sessions.clone(), ended });
        if !sessions.is_empty() {
            out.send(self.config.directory.database, Wire::Heads { sessions });
        }
    }
}
