//! A gateway's word about its sessions: what it publishes, announces again and reports.
//!
//! It talks to the event log, presence and the database. It asks the log whether it has another
//! leader, and the registry whether it has restarted, and never writes the registry; unless the
//! design says that gateways write their rows themselves.

use super::Gateway;
use crate::design::Registration;
use crate::id::{BatchId, ConnId, DeviceId, Incarnation, Session};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::note::Note;
use crate::wire::{SessionEvent, Wire};
use std::ops::Bound;

impl Gateway {
    /// Says that a session has opened or closed.
    pub(super) fn tell(&mut self, event: SessionEvent, out: &mut Outbox) {
        match self.config.design.registration {
            Registration::LogAndAnnounce | Registration::LogOnly => self.log(event, out),
            // Once. If the registry does not hear it, nobody says it again.
            Registration::DirectWrite => {
                out.send(self.config.directory.registry, Wire::Register { event })
            }
        }
    }

    /// Whether live sessions are announced again, at a rate and when the registry may have lost
    /// them.
    pub(super) fn announces(&self) -> bool {
        self.config.design.registration == Registration::LogAndAnnounce
    }

    fn log(&mut self, event: SessionEvent, out: &mut Outbox) {
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
        let period = if self.hurry { limits::REANNOUNCE_PERIOD } else { limits::ANNOUNCE_PERIOD };
        let looks = (period.as_secs() / limits::REPORT_EVERY.as_secs()) as usize;
        let count = self.devices.len().div_ceil(looks).min(limits::PUBLISH_EVENTS_MAX);
        let after = self.announced.map_or(Bound::Unbounded, Bound::Excluded);
        let pairs = |(device, conn): (&DeviceId, &ConnId)| (*device, *conn);
        let rest = self.devices.range((after, Bound::Unbounded));
        let mut next: Vec<_> = rest.take(count).map(pairs).collect();
        if next.len() < count || next.last().map(|(last, _)| last) == self.last_device() {
            // Everybody has had their turn: whoever came meanwhile has been told of anyway.
            self.hurry = false;
        }
        // At the end, go on with the first.
        next.extend(self.devices.iter().take(count - next.len()).map(pairs));
        for (device, conn) in next {
            self.announced = Some(device);
            if let Some(session) = self.connections[&conn].session {
                self.tell(SessionEvent::Opened(session), out);
            }
        }
        // With few sessions, one at a time and seldom.
        let looks = self.devices.len().clamp(1, looks) as u32;
        out.set_timer(Timer::Announce, period / looks);
    }

    fn last_device(&self) -> Option<&DeviceId> {
        self.devices.last_key_value().map(|(device, _)| device)
    }

    /// Goes once through all live sessions, from the first to the last, faster than usual.
    fn announce_all(&mut self, out: &mut Outbox) {
        if !self.devices.is_empty() {
            self.hurry = true;
            self.announced = None;
            self.announce(out);
        }
    }

    /// Asks the registry every so often which of its boots it is in, and the log who leads it,
    /// while there is anything that they may have lost.
    pub(super) fn check_registry_later(&mut self, out: &mut Outbox) {
        if self.announces() && !std::mem::replace(&mut self.checking, true) {
            out.set_timer(Timer::RegistryCheck, limits::REGISTRY_CHECK);
        }
    }

    pub(super) fn check_registry(&mut self, out: &mut Outbox) {
        self.checking = false;
        if !self.devices.is_empty() {
            self.checks_unanswered += 1;
            out.send(self.config.directory.registry, Wire::Ping { nonce: 0 });
            out.send(self.config.directory.event_log, Wire::AskLeader);
            self.check_registry_later(out);
        }
    }

    /// The registry is in this boot. If it was in an earlier one when last heard of, it may have
    /// lost the last of what it was told; and if it could not be reached, whatever was said of this
    /// gateway's rows meanwhile was said without it.
    pub(super) fn registry_is_in(&mut self, boot: Incarnation, out: &mut Outbox) {
        let unanswered = std::mem::take(&mut self.checks_unanswered);
        let was_cut_off = unanswered > limits::REGISTRY_CHECKS_MISSED_MAX;
        let restarted = self.registry_boot < Some(boot);
        self.registry_boot = self.registry_boot.max(Some(boot));
        if was_cut_off || restarted {
            self.announce_all(out);
        }
    }

    /// The log has this leader. If it had an earlier one when last heard of, what that one has
    /// acknowledged may be gone: an `Opened` comes back by being announced, and a row whose
    /// `Closed` is gone with the first offer that finds nobody. A process that begins when the log
    /// has changed its leader before announces once for nothing.
    pub(super) fn log_is_led(&mut self, epoch: u32, out: &mut Outbox) {
        if self.log_epoch < epoch {
            self.log_epoch = epoch;
            out.note(Note::LeaderChanged { epoch });
            self.announce_all(out);
        }
    }

    pub(super) fn beat(&mut self, session: Session, heard_of: Option<u32>, out: &mut Outbox) {
        self.report_later(out);
        self.beaten.push((session, heard_of));
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
        let beaten = std::mem::take(&mut self.beaten);
        let ended = std::mem::take(&mut self.left);
        let sessions = beaten.iter().map(|(session, _)| *session).collect();
        out.send(self.config.directory.presence, Wire::Seen { sessions, ended });
        if !beaten.is_empty() {
            out.send(self.config.directory.database, Wire::Heads { sessions: beaten });
        }
    }
}
