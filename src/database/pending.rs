//! Pending rows: what each device has not got of each conversation, and who is delivering it.
//!
//! A row is a cursor, whatever the number of messages behind it. Routers and workers hold it under
//! a lease with a term. A row goes when its device has acknowledged everything, and not before.

use super::{Database, Durable, Key};
use crate::design::{Overflow, Poison, Queue};
use crate::disk::Record;
use crate::id::{DeviceId, HostId, Stamp, Term};
use crate::limits;
use crate::node::Outbox;
use crate::note::{LeaseEnd, Note};
use crate::time::{Instant, Now, Wall};
use crate::wire::{Batch, Claim, Hole, HoleReason, Wire};
use std::time::Duration;

/// A device's undelivered messages of one conversation.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The first number that the device has not acknowledged.
    pub next: u64,
    /// Since when something is undelivered.
    pub since: Instant,
    attempts: u32,
    lease: Option<Term>,
    /// When that lease was granted.
    granted: Instant,
    /// The device became reachable while the row was leased: the holder may have looked too early.
    woken: bool,
    /// When the row may be claimed: the end of its lease, or of its wait.
    due: Instant,
    /// Messages from `next` on that are not dropped.
    pending: u32,
    /// When the first of them expires.
    expires: Wall,
    /// Numbers from `next` on that the device will not get; in order, apart from each other.
    pub dropped: Vec<Hole>,
    /// The number that the device has rejected last, and how often.
    rejected: (u64, u32),
}

/// A row with nothing to deliver is never due.
const NEVER: Instant = Instant(u64::MAX);

/// How a device is told of a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// In its place among the messages.
    Inline,
    /// When it asks for a full sync: there may be much to say.
    OnFullSync,
    Never,
}

impl Database {
    /// Makes a row whose first undelivered message is `next`, unless there is one with earlier.
    pub(super) fn add_row(&mut self, key: Key, next: u64, now: Instant) -> bool {
        if self.rows.contains_key(&key) {
            return false;
        }
        let row = Row {
            next,
            since: now,
            attempts: 0,
            lease: None,
            granted: now,
            woken: false,
            due: now,
            pending: 0,
            expires: Wall(i64::MAX),
            dropped: Vec::new(),
            rejected: (0, 0),
        };
        self.rows.insert(key, row);
        self.due.insert((now, key));
        true
    }

    fn remove_row(&mut self, key: Key) {
        let Some(row) = self.rows.remove(&key) else { return };
        self.due.remove(&(row.due, key));
        self.expiries.remove(&(row.expires, key));
        self.count(key.0, row.pending, 0);
    }

    fn count(&mut self, device: DeviceId, earlier: u32, now: u32) {
        let total = self.depth.entry(device).or_default();
        *total = *total - earlier + now;
        if *total == 0 {
            self.depth.remove(&device);
        }
    }

    /// Counts again what is undelivered under a row, after its log or its cursor has moved.
    pub(super) fn recount(&mut self, key: Key) {
        let (Some(row), Some(log)) = (self.rows.get(&key), self.logs.get(&key.1)) else { return };
        let covered: usize = row
            .dropped
            .iter()
            .map(|hole| log.from(hole.from.max(row.next)).len() - log.from(hole.upto + 1).len())
            .sum();
        let rest = log.from(row.next);
        let pending = (rest.len() - covered) as u32;
        let dropped = |seq| row.dropped.iter().any(|h| (h.from..=h.upto).contains(&seq));
        let oldest = rest.iter().find(|stored| !dropped(stored.entry.stamp.seq));
        let expires = oldest.map_or(Wall(i64::MAX), |s| s.at + self.config.timing.expiry);
        let (earlier, expired) = (row.pending, row.expires);
        let row = self.rows.get_mut(&key).expect("just seen");
        (row.pending, row.expires) = (pending, expires);
        self.expiries.remove(&(expired, key));
        if pending > 0 {
            self.expiries.insert((expires, key));
        }
        self.count(key.0, earlier, pending);
    }

    /// A message was added to the row's conversation.
    pub(super) fn grown(&mut self, now: Now, key: Key, out: &mut Outbox) {
        self.recount(key);
        if self.rows.get(&key).is_some_and(|row| row.due == NEVER) {
            self.set_due(key, now.mono);
        }
        self.keep_depth(key.0, out);
    }

    /// A device has only so much pending; beyond that the oldest message goes of whatever
    /// conversation has the most, so that a loud group does not silence everybody else.
    fn keep_depth(&mut self, device: DeviceId, out: &mut Outbox) {
        while self.depth.get(&device).copied().unwrap_or(0) > self.config.timing.pending_depth {
            let keys = self.rows_of(device);
            let fullest = keys.into_iter().max_by_key(|key| (self.rows[key].pending, key.1));
            let Some(key) = fullest else { return };
            let Row { next, ref dropped, .. } = self.rows[&key];
            let oldest = self.batch(key.1, next, dropped).entries;
            let Some(seq) = oldest.first().map(|entry| entry.stamp.seq) else { return };
            self.drop_now(key, Hole { from: seq, upto: seq, why: HoleReason::Depth }, out);
        }
    }

    /// The device will not get these, and that is on its way to the disk.
    pub(super) fn drop_now(&mut self, key: Key, hole: Hole, out: &mut Outbox) {
        self.drop_from_row(key, hole);
        let (device, conversation) = key;
        let record = Record::Dropped { device, conversation, hole };
        self.append(record, Durable::Dropped { key, hole }, out);
    }

    pub(super) fn drop_from_row(&mut self, key: Key, hole: Hole) {
        let Some(row) = self.rows.get_mut(&key) else { return };
        let at = row.dropped.partition_point(|other| other.from < hole.from);
        row.dropped.insert(at, hole);
        row.dropped.dedup_by(|later, earlier| {
            let joins = earlier.why == later.why && later.from <= earlier.upto + 1;
            if joins {
                earlier.upto = earlier.upto.max(later.upto);
            }
            joins
        });
        self.recount(key);
        self.rest_if_idle(key);
    }

    /// Nothing to deliver: the row waits for its device to come and ask.
    fn rest_if_idle(&mut self, key: Key) {
        let idle = self.rows.get(&key).is_some_and(|row| row.pending == 0 && row.lease.is_none());
        if idle && !self.has_inline_holes(key) {
            self.set_due(key, NEVER);
        }
    }

    pub(super) fn telling(&self, why: HoleReason) -> Telling {
        let design = &self.config.design;
        match (why, design.poison, design.overflow) {
            (HoleReason::Poison, Poison::Drop, _) => Telling::Never,
            (HoleReason::Depth | HoleReason::Expired, _, Overflow::SilentDrop) => Telling::Never,
            (HoleReason::Depth | HoleReason::Expired, _, Overflow::ExplainedHole) => {
                Telling::OnFullSync
            }
            (HoleReason::Poison | HoleReason::Unused | HoleReason::Renumbered, _, _) => {
                Telling::Inline
            }
        }
    }

    fn has_inline_holes(&self, key: Key) -> bool {
        let holes = &self.rows[&key].dropped;
        holes.iter().any(|hole| self.telling(hole.why) == Telling::Inline)
    }
}

// Leases.
impl Database {
    /// Hands a row out, and says what a holder has to name.
    pub(super) fn grant(&mut self, now: Now, key: Key, out: &mut Outbox) -> Term {
        let term = self.next_term();
        let hidden = match self.config.design.queue {
            Queue::Leased | Queue::InMemory | Queue::AtLeastOnce => limits::LEASE,
            // `enable.auto.commit`: at the next interval it counts as consumed.
            Queue::AutoCommit => limits::AUTO_COMMIT,
            // The default of a task queue: acknowledged before it is worked on.
            Queue::EarlyAck => {
                self.remove_row(key);
                return term;
            }
        };
        let row = self.rows.get_mut(&key).expect("a row is granted");
        (row.lease, row.granted) = (Some(term), now.mono);
        self.set_due(key, now.mono + hidden);
        if self.has_leases() {
            let (device, conversation) = key;
            out.note(Note::LeaseGranted { device, conversation, term });
        }
        term
    }

    /// Greater than every earlier one, also of earlier boots.
    pub(super) fn next_term(&mut self) -> Term {
        self.leases += 1;
        let boot = u64::from(self.timeline) << 16 | u64::from(self.boot.0);
        Term(boot << 32 | u64::from(self.leases))
    }

    /// Whether who was handed a row is the only one who may work on it. Brokers and task queues
    /// have no such notion.
    fn has_leases(&self) -> bool {
        matches!(self.config.design.queue, Queue::Leased | Queue::InMemory)
    }

    /// The holder is still at work: its lease goes on, but not for ever. A job counts from its
    /// grant, or from when it last got anywhere.
    pub(super) fn renew(&mut self, now: Now, key: Key, term: Term, out: &mut Outbox) -> bool {
        let (device, conversation) = key;
        if !self.holds(key, term) {
            out.note(Note::StaleTerm { device, conversation, term });
            return false;
        }
        let Row { granted, since, .. } = self.rows[&key];
        if now.mono.since(granted.max(since)) >= limits::JOB_LIMIT {
            self.lease_ended(key, term, LeaseEnd::TakenBack, out);
            self.release(now, key, Duration::ZERO);
            return false;
        }
        self.lease_renewed(key, term, out);
        self.set_due(key, now.mono + limits::LEASE);
        true
    }

    pub(super) fn lease_ended(&self, key: Key, term: Term, why: LeaseEnd, out: &mut Outbox) {
        let (device, conversation) = key;
        if self.has_leases() {
            out.note(Note::LeaseEnded { device, conversation, term, why });
        }
    }

    fn lease_renewed(&self, key: Key, term: Term, out: &mut Outbox) {
        let (device, conversation) = key;
        if self.has_leases() {
            out.note(Note::LeaseRenewed { device, conversation, term });
        }
    }

    /// Whether whoever names this term may say what becomes of the row.
    pub(super) fn holds(&self, key: Key, term: Term) -> bool {
        let row = self.rows.get(&key);
        match self.config.design.queue {
            Queue::Leased | Queue::InMemory => row.is_some_and(|row| row.lease == Some(term)),
            // A receipt handle, an offset, a task id: nobody asks whose turn it is.
            Queue::AtLeastOnce | Queue::AutoCommit | Queue::EarlyAck => row.is_some(),
        }
    }

    pub(super) fn release(&mut self, now: Now, key: Key, retry_after: Duration) {
        let Some(row) = self.rows.get_mut(&key) else { return };
        row.lease = None;
        row.attempts += 1;
        let wait = if std::mem::take(&mut row.woken) { Duration::ZERO } else { retry_after };
        self.set_due(key, now.mono + wait);
        self.rest_if_idle(key);
    }

    fn set_due(&mut self, key: Key, due: Instant) {
        let row = self.rows.get_mut(&key).expect("a row comes due");
        self.due.remove(&(row.due, key));
        row.due = due;
        self.due.insert((due, key));
    }

    /// Leases up to `most` due rows, the longest due first.
    pub(super) fn claim(&mut self, now: Now, most: u32, out: &mut Outbox) -> Vec<Claim> {
        if !self.serving() {
            return Vec::new();
        }
        self.commit_consumed(now);
        let due: Vec<Key> = self
            .due
            .iter()
            .take_while(|(due, _)| *due <= now.mono)
            .map(|(_, key)| *key)
            .filter(|key| self.rows[key].pending > 0 || self.has_inline_holes(*key))
            .take(most as usize)
            .collect();
        let mut claims = Vec::with_capacity(due.len());
        for key in due {
            let (device, conversation) = key;
            let row = self.rows.get_mut(&key).expect("a due row exists");
            let expired = row.lease.take();
            row.attempts += u32::from(expired.is_some());
            let (next, attempts) = (row.next, row.attempts);
            if let Some(term) = expired.filter(|_| self.has_leases()) {
                out.note(Note::LeaseExpired { device, conversation, term });
            }
            let batch = self.offerable(key, next);
            let term = self.grant(now, key, out);
            claims.push(Claim { device, conversation, term, attempts, batch });
        }
        claims
    }

    /// Whatever was handed out an interval ago counts as done, if that is the design.
    fn commit_consumed(&mut self, now: Now) {
        if self.config.design.queue != Queue::AutoCommit {
            return;
        }
        let over: Vec<Key> = self
            .due
            .iter()
            .take_while(|(due, _)| *due <= now.mono)
            .map(|(_, key)| *key)
            .filter(|key| self.rows[key].lease.is_some())
            .collect();
        over.into_iter().for_each(|key| self.remove_row(key));
    }

    /// A router's push has failed and the row is made only now, or a task is put back.
    pub(super) fn park(&mut self, now: Now, key: Key, from: Stamp, out: &mut Outbox) {
        let next = self.in_this_epoch(key.1, from, 0);
        if self.add_row(key, next, now.mono) {
            self.recount(key);
            self.set_due(key, now.mono + limits::RETRY_BASE);
            let (device, conversation) = key;
            self.append(Record::Parked { device, conversation, next }, Durable::Parked, out);
            self.set_expiry(now, out);
        }
    }

    pub(super) fn wake(&mut self, now: Now, device: DeviceId) {
        for key in self.rows_of(device) {
            let row = self.rows.get_mut(&key).expect("listed");
            if row.lease.is_some() {
                row.woken = true;
            } else if row.due != NEVER {
                self.set_due(key, now.mono);
            }
        }
    }

    pub(super) fn rows_of(&self, device: DeviceId) -> Vec<Key> {
        self.rows
            .range((device, crate::id::ConversationId::FIRST)..)
            .map(|(key, _)| *key)
            .take_while(|key| key.0 == device)
            .collect()
    }
}

// Settling.
impl Database {
    /// The device holds everything before `next`. Returns whether that is news.
    pub(super) fn advance(&mut self, key: Key, next: u64) -> bool {
        let Some(row) = self.rows.get_mut(&key) else { return false };
        if next <= row.next {
            return false;
        }
        row.next = next;
        row.attempts = 0;
        row.dropped.retain(|hole| hole.upto >= next);
        if next > self.logs.get(&key.1).map_or(0, |log| log.placed) {
            self.remove_row(key);
        } else {
            self.recount(key);
        }
        true
    }

    /// Moves a cursor and makes that durable. A settlement is answered when it is.
    pub(super) fn move_cursor(
        &mut self,
        now: Now,
        key: Key,
        next: u64,
        settle: Option<(HostId, Term)>,
        out: &mut Outbox,
    ) {
        // A device cannot hold what does not exist; it would be a device of another history.
        let next = next.min(self.head(key.1).seq + 1);
        let leased = self.rows.get(&key).and_then(|row| row.lease);
        let moved = self.advance(key, next);
        if let (Some(term), false) = (leased, self.rows.contains_key(&key)) {
            // Whoever said so: there is nothing left to hold.
            self.lease_ended(key, term, LeaseEnd::Completed, out);
        }
        let mut next = next;
        if let Some(row) = self.rows.get_mut(&key) {
            if moved {
                row.since = now.mono;
            }
            next = row.next; // A cursor never goes back, and never says so.
        }
        if let Some((_, term)) = settle
            && self.rows.contains_key(&key)
        {
            self.lease_renewed(key, term, out);
            self.set_due(key, now.mono + limits::LEASE); // The holder goes on.
        } else {
            self.rest_if_idle(key);
        }
        if moved {
            let upto = Stamp { epoch: self.epoch(), seq: next - 1 };
            self.delivered(key, upto, out);
        }
        if moved || settle.is_some() {
            let (device, conversation) = key;
            let record = Record::Cursor { device, conversation, next };
            self.append(record, Durable::Cursor { key, next, settle }, out);
        }
    }

    pub(super) fn settled(
        &mut self,
        now: Now,
        key: Key,
        holder: HostId,
        term: Term,
        out: &mut Outbox,
    ) {
        let next = self.undelivered_under(now, key, term, out);
        let (device, conversation) = key;
        out.send(holder, Wire::Settled { device, conversation, term, next });
    }

    /// What the holder of a lease is to deliver. If there is nothing, the row is free.
    pub(super) fn undelivered_under(
        &mut self,
        now: Now,
        key: Key,
        term: Term,
        out: &mut Outbox,
    ) -> Batch {
        if !self.rows.contains_key(&key) || !self.holds(key, term) {
            return self.nothing(key.1);
        }
        let batch = self.offerable(key, self.rows[&key].next);
        if batch.is_empty() {
            self.lease_ended(key, term, LeaseEnd::Completed, out);
            self.rows.get_mut(&key).expect("just seen").lease = None;
            self.set_due(key, now.mono);
            self.rest_if_idle(key);
        }
        batch
    }

    /// The device holds everything before this place and cannot take what is there.
    pub(super) fn reject(&mut self, now: Now, key: Key, at: Stamp, out: &mut Outbox) {
        let (device, conversation) = key;
        let seq = self.in_this_epoch(conversation, at, 0);
        self.move_cursor(now, key, seq, None, out);
        let Some(row) = self.rows.get_mut(&key).filter(|row| row.next == seq) else { return };
        let (number, times) = row.rejected;
        let times = if number == seq { times + 1 } else { 1 };
        row.rejected = (seq, times);
        let entries = self.logs.get(&conversation).map_or(&[][..], |log| log.from(seq));
        let Some(stored) = entries.first().filter(|s| s.entry.stamp.seq == seq) else { return };
        let (id, stamp) = (stored.entry.message.id, stored.entry.stamp);
        let given_up = match self.config.design.poison {
            Poison::DeadLetter | Poison::Drop => times >= limits::REJECTIONS_MAX,
            Poison::RetryForEver => false,
        };
        if given_up {
            out.note(Note::DeadLettered { id, device, conversation, stamp, rejections: times });
            self.set_aside(now, key, stamp, out);
            self.drop_now(key, Hole { from: seq, upto: seq, why: HoleReason::Poison }, out);
            // Its neighbours have waited long enough.
            if let Some(row) = self.rows.get_mut(&key) {
                row.woken = true;
            }
        }
    }
}
