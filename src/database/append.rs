//! The send transaction: dedupe record, sequence number, message and pending rows, all or none.
//!
//! Asked by routers. What the sender is told waits for the disk, unless the design says otherwise.

use super::{Database, Durable, Key};
use crate::design::{Acknowledge, Fallback, Queue};
use crate::disk::Record;
use crate::id::{DeviceId, HostId, MessageId, Stamp, Term};
use crate::node::Outbox;
use crate::note::Note;
use crate::time::{Now, Wall};
use crate::wire::{Claim, Message, Rejection, SendOutcome, Wire};

/// Who waits for a transaction, and the rows that were leased to it for one attempt each.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    who: HostId,
    leases: Vec<(Key, Term)>,
}

impl Database {
    pub(super) fn send(
        &mut self,
        now: Now,
        from: HostId,
        message: Message,
        number: Option<u64>,
        out: &mut Outbox,
    ) {
        let (id, conversation) = (message.id, message.conversation);
        if let Some((_, stamp)) = self.dedupe.known(now.mono, id) {
            out.note(Note::Deduplicated { id, stamp });
            // Its first transaction may still be on its way to the disk.
            if !self.await_same(id, from) {
                let outcome = SendOutcome::Accepted(stamp);
                out.send(from, Wire::Appended { id, outcome, claims: Vec::new() });
            }
            return;
        }
        if !self.config.directory.is_member(conversation, message.sender()) {
            let outcome = SendOutcome::Rejected(Rejection::NotAMember);
            out.send(from, Wire::Appended { id, outcome, claims: Vec::new() });
            return;
        }
        // A device sends the next message of a conversation when the last one is answered. If a
        // later one is here and this one is not, it was answered before a failover and lost with
        // the tail: a copy that comes late is a ghost, and would stand in the wrong order.
        if self.epoch() > 1 && self.logs.get(&conversation).is_some_and(|log| log.is_past(id)) {
            out.note(Note::GhostDropped { id });
            return;
        }
        let stamp = self.place(&message, number);
        let leases = self.lease_recipients(now, &message, stamp, out);
        self.dedupe.remember(now.mono, id, conversation, stamp);
        let at = self.wall(now);
        let askers = vec![Asker { who: from, leases }];
        let record = Record::Appended { message: message.clone(), stamp, at };
        match self.config.design.acknowledge {
            Acknowledge::AfterDurable => {
                self.append(record, Durable::Appended { message, stamp, at, askers }, out)
            }
            // `synchronous_commit = off`: what is committed in memory is visible and answered.
            Acknowledge::BeforeDurable | Acknowledge::WhenCached => {
                let waits =
                    Durable::Appended { message: message.clone(), stamp, at, askers: vec![] };
                self.append(record, waits, out);
                self.publish(now, message, stamp, at, askers, out);
            }
        }
    }

    /// The rows that the first attempt of this message works on, each under a lease.
    fn lease_recipients(
        &mut self,
        now: Now,
        message: &Message,
        stamp: Stamp,
        out: &mut Outbox,
    ) -> Vec<(Key, Term)> {
        let conversation = message.conversation;
        let recipients = self.recipients(message);
        let keys = recipients.into_iter().map(|device| (device, conversation));
        match (self.config.design.fallback, self.config.design.queue) {
            // A row that exists has something earlier to deliver first; its holder, or the next
            // one, goes on with this message.
            (Fallback::SameTransaction, queue) if queue != Queue::EarlyAck => keys
                .filter_map(|key| {
                    let new = self.add_row(key, stamp.seq, now.mono);
                    new.then(|| (key, self.grant(now, key, out)))
                })
                .collect(),
            // Nothing is pending yet, or no longer: only the router knows of the attempt.
            (Fallback::SameTransaction | Fallback::AfterFailedPush | Fallback::None, _) => {
                keys.map(|key| (key, Term::UNLEASED)).collect()
            }
        }
    }

    /// Devices whose rows a boot can make from the log.
    pub(super) fn rows_made_by_append(&self, message: &Message) -> Vec<DeviceId> {
        match self.config.design.fallback {
            Fallback::SameTransaction if self.queue_keeps() => self.recipients(message),
            Fallback::SameTransaction | Fallback::AfterFailedPush | Fallback::None => Vec::new(),
        }
    }

    fn recipients(&self, message: &Message) -> Vec<DeviceId> {
        let directory = &self.config.directory;
        directory.recipients(message.conversation, message.id.device).collect()
    }

    /// The same send again before its transaction is durable: both get the one answer.
    fn await_same(&mut self, id: MessageId, from: HostId) -> bool {
        let waits_unanswered = self.config.design.acknowledge == Acknowledge::AfterDurable;
        for (_, durable) in &mut self.awaiting {
            if let Durable::Appended { message, askers, .. } = durable
                && message.id == id
                && waits_unanswered
            {
                if askers.iter().all(|asker| asker.who != from) {
                    askers.push(Asker { who: from, leases: Vec::new() });
                }
                return true;
            }
        }
        false
    }

    /// The transaction is durable.
    pub(super) fn persisted(
        &mut self,
        now: Now,
        message: Message,
        stamp: Stamp,
        at: Wall,
        askers: Vec<Asker>,
        out: &mut Outbox,
    ) {
        let (id, conversation) = (message.id, message.conversation);
        out.note(Note::Persisted { id, conversation, stamp });
        match self.config.design.acknowledge {
            Acknowledge::AfterDurable => self.publish(now, message, stamp, at, askers, out),
            Acknowledge::BeforeDurable | Acknowledge::WhenCached => {} // Long since.
        }
    }

    /// Readers see the message, and whoever waited for it is answered.
    fn publish(
        &mut self,
        now: Now,
        message: Message,
        stamp: Stamp,
        at: Wall,
        askers: Vec<Asker>,
        out: &mut Outbox,
    ) {
        let (id, conversation) = (message.id, message.conversation);
        let recipients = self.recipients(&message);
        self.commit(message, stamp, at);
        for device in recipients {
            self.grown(now, (device, conversation), out);
        }
        self.set_expiry(now, out);
        let outcome = SendOutcome::Accepted(stamp);
        for Asker { who, leases } in askers {
            let mut claims = Vec::with_capacity(leases.len());
            for (key, term) in leases {
                let batch = match term {
                    Term::UNLEASED => self.batch(conversation, stamp.seq, &[]),
                    term => self.undelivered_under(now, key, term, out),
                };
                if !batch.is_empty() {
                    let device = key.0;
                    claims.push(Claim { device, conversation, term, attempts: 0, batch });
                }
            }
            out.send(who, Wire::Appended { id, outcome, claims });
        }
    }
}
