//! The database: message log, sequence, dedupe record and pending rows, in one transaction.
//!
//! The specification of what a Postgres adapter must do. It is asked by routers, workers, gateways
//! and the consumer. One writer: a conversation's next number is given inside the append, so
//! numbers have no holes. Nothing leaves before it is durable: neither an answer nor a claim nor a
//! page. It never talks to a device and never decides where one is.

mod marks;

use crate::design::Design;
use crate::directory::Directory;
use crate::disk::{Disk, Record};
use crate::id::{ConversationId, DeviceId, HostId, Incarnation, MessageId, Session, Stamp, Term};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::Note;
use crate::time::{Instant, Now};
use crate::wire::{Claim, Entry, Mark, Message, Rejection, SendOutcome, Wire};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What a database is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: Arc<Directory>,
    pub design: Design,
}

/// A conversation's messages; the one with sequence number n is at n - 1.
#[derive(Clone, Debug, Default)]
struct Log {
    entries: Vec<Entry>,
    /// How many of them are durable. Nobody is shown the others.
    durable: u64,
}

/// The sequence epoch of every conversation: a single writer on a log that is never truncated
/// has no reason to begin again.
const SEQUENCE_EPOCH: u32 = 1;

/// A device's undelivered messages of one conversation: a cursor, whatever their number.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// The first undelivered sequence number.
    next: u64,
    /// Since when something is undelivered.
    since: Instant,
    attempts: u32,
    lease: Option<Term>,
    /// The device became reachable while the row was leased: the holder may have looked too early.
    woken: bool,
    /// When the row may be claimed: the end of its lease, or of its wait.
    due: Instant,
}

type Key = (DeviceId, ConversationId);

/// What waits for the disk.
#[derive(Clone, Debug)]
enum Durable {
    Appended { id: MessageId, answer: Vec<(HostId, Vec<(Key, Term)>)> },
    Cursor { key: Key, next: u64, settle: Option<(HostId, Term)> },
    Mark(Mark),
    Booted,
}

#[derive(Clone, Debug)]
pub struct Database {
    design: Design,
    directory: Arc<Directory>,
    boot: Incarnation,
    leases: u32,
    logs: BTreeMap<ConversationId, Log>,
    /// The dedupe records: as old as the messages themselves.
    placed: BTreeMap<MessageId, (ConversationId, Stamp)>,
    rows: BTreeMap<Key, Row>,
    due: BTreeSet<(Instant, Key)>,
    marks: marks::Marks,
    /// Records appended in this boot.
    appended: u64,
    syncing: bool,
    awaiting: VecDeque<(u64, Durable)>,
    torn: bool,
}

impl Database {
    pub fn boot(config: Config, disk: &Disk) -> Self {
        let mut database = Self {
            design: config.design,
            directory: config.directory,
            boot: Incarnation(1),
            leases: 0,
            logs: BTreeMap::new(),
            placed: BTreeMap::new(),
            rows: BTreeMap::new(),
            due: BTreeSet::new(),
            marks: marks::Marks::default(),
            appended: 0,
            syncing: false,
            awaiting: VecDeque::new(),
            torn: disk.torn,
        };
        for record in &disk.records {
            database.recover(record);
        }
        database
    }

    fn recover(&mut self, record: &Record) {
        match record {
            Record::Booted(incarnation) => self.boot = Incarnation(incarnation.0 + 1),
            Record::Appended { message, stamp } => {
                self.insert(message.clone(), *stamp);
                self.logs.get_mut(&message.conversation).expect("inserted").durable = stamp.seq;
                for device in self.recipients(message) {
                    self.add_row((device, message.conversation), stamp.seq, Instant(0));
                }
            }
            Record::Cursor { device, conversation, next } => {
                self.advance((*device, *conversation), *next);
            }
            Record::Mark(mark) => {
                self.marks.move_on(&self.directory, *mark);
            }
            other => unreachable!("not the database's record: {other:?}"),
        }
    }
}

impl Role for Database {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => {
                if self.torn {
                    out.note(Note::TornRecord);
                }
                // Terms begin with the boot number: it must be durable before the first lease.
                self.append(Record::Booted(self.boot), Durable::Booted, out);
            }
            Event::Synced { records } => self.synced(now, records, out),
            Event::Received { from, wire } => match wire {
                Wire::Append { message } => self.send(now, from, message, out),
                Wire::Claim { most } => {
                    let claims = self.claim(now, most, out);
                    out.send(from, Wire::Claimed { claims });
                }
                Wire::Settle { device, conversation, term, upto } => {
                    let key = (device, conversation);
                    if self.leased(key, term) {
                        let settle = Some((from, term));
                        self.move_cursor(now, key, upto.seq + 1, settle, out);
                    } else {
                        out.note(Note::StaleTerm { device, conversation, term });
                        let next = Vec::new();
                        out.send(from, Wire::Settled { device, conversation, term, next });
                    }
                }
                Wire::Release { device, conversation, term, retry_after } => {
                    let key = (device, conversation);
                    if self.leased(key, term) {
                        self.release(now, key, retry_after);
                    } else {
                        out.note(Note::StaleTerm { device, conversation, term });
                    }
                }
                Wire::Advance { device, conversation, upto } => {
                    self.move_cursor(now, (device, conversation), upto.seq + 1, None, out)
                }
                Wire::Wake { devices } => {
                    devices.into_iter().for_each(|device| self.wake(now, device))
                }
                Wire::CatchUp { session, next, all } => {
                    self.catch_up(now, from, session, &next, all, out)
                }
                Wire::Heads { sessions } => {
                    for session in sessions {
                        self.beats(session, out);
                        let heads = self.behind(now, session.device);
                        if !heads.is_empty() {
                            out.send(from, Wire::Behind { session, heads });
                        }
                    }
                }
                Wire::Read { session, conversation, upto } => {
                    self.read(session.device.user, conversation, upto, out)
                }
                Wire::MarksAfter { session, version } => self.follow(session, version, out),
                other => unreachable!("{from} sent the database {other:?}"),
            },
            Event::Fired(Timer::TellMarks) => self.tell_marks(out),
            // Whoever asked has died meanwhile: it asks again, or its lease runs out.
            Event::Refused { .. } => {}
            other => unreachable!("not for the database: {other:?}"),
        }
    }
}

// The send transaction.
impl Database {
    fn send(&mut self, now: Now, from: HostId, message: Message, out: &mut Outbox) {
        let id = message.id;
        let conversation = message.conversation;
        if let Some((conversation, stamp)) = self.placed.get(&id).copied() {
            out.note(Note::Deduplicated { id, stamp });
            if stamp.seq <= self.logs[&conversation].durable {
                let outcome = SendOutcome::Accepted(stamp);
                out.send(from, Wire::Appended { id, outcome, claims: Vec::new() });
            } else {
                self.await_same(id, from); // Its first transaction is still on its way.
            }
            return;
        }
        if !self.directory.members(conversation).contains(&message.sender()) {
            let outcome = SendOutcome::Rejected(Rejection::NotAMember);
            out.send(from, Wire::Appended { id, outcome, claims: Vec::new() });
            return;
        }
        let seq = self.logs.get(&conversation).map_or(0, |log| log.entries.len() as u64) + 1;
        let stamp = Stamp { epoch: SEQUENCE_EPOCH, seq };
        let mut leases = Vec::new();
        for device in self.recipients(&message) {
            let key = (device, conversation);
            // A row that exists has something earlier to deliver first; its holder, or the next
            // one, goes on with this message.
            if self.add_row(key, seq, now.mono) {
                leases.push((key, self.lease(now, key)));
            }
        }
        self.insert(message.clone(), stamp);
        let answer = vec![(from, leases)];
        self.append(Record::Appended { message, stamp }, Durable::Appended { id, answer }, out);
    }

    /// The same send again before its transaction is durable: both get the one answer.
    fn await_same(&mut self, id: MessageId, from: HostId) {
        for (_, durable) in &mut self.awaiting {
            if let Durable::Appended { id: waiting, answer } = durable
                && *waiting == id
                && answer.iter().all(|(asker, _)| *asker != from)
            {
                answer.push((from, Vec::new()));
            }
        }
    }

    fn insert(&mut self, message: Message, stamp: Stamp) {
        let Message { id, conversation, .. } = message;
        let log = self.logs.entry(conversation).or_default();
        assert_eq!(log.entries.len() as u64 + 1, stamp.seq, "{conversation} has a hole");
        log.entries.push(Entry { message, stamp });
        self.placed.insert(id, (conversation, stamp));
    }

    fn recipients(&self, message: &Message) -> Vec<DeviceId> {
        self.directory.recipients(message.conversation, message.id.device).collect()
    }
}

// Pending rows.
impl Database {
    /// Makes a row whose first undelivered message is `next`, unless there is one with earlier.
    fn add_row(&mut self, key: Key, next: u64, now: Instant) -> bool {
        if self.rows.contains_key(&key) {
            return false;
        }
        self.rows.insert(
            key,
            Row { next, since: now, attempts: 0, lease: None, woken: false, due: now },
        );
        self.due.insert((now, key));
        true
    }

    fn lease(&mut self, now: Now, key: Key) -> Term {
        self.leases += 1;
        let term = Term(u64::from(self.boot.0) << 32 | u64::from(self.leases));
        let row = self.rows.get_mut(&key).expect("a row is leased");
        row.lease = Some(term);
        self.set_due(key, now.mono + limits::LEASE);
        term
    }

    fn leased(&self, key: Key, term: Term) -> bool {
        self.rows.get(&key).is_some_and(|row| row.lease == Some(term))
    }

    fn release(&mut self, now: Now, key: Key, retry_after: Duration) {
        let row = self.rows.get_mut(&key).expect("a leased row is released");
        row.lease = None;
        row.attempts += 1;
        let wait = if std::mem::take(&mut row.woken) { Duration::ZERO } else { retry_after };
        self.set_due(key, now.mono + wait);
    }

    fn set_due(&mut self, key: Key, due: Instant) {
        let row = self.rows.get_mut(&key).expect("a row comes due");
        self.due.remove(&(row.due, key));
        row.due = due;
        self.due.insert((due, key));
    }

    /// Leases up to `most` due rows, the longest due first.
    fn claim(&mut self, now: Now, most: u32, out: &mut Outbox) -> Vec<Claim> {
        if !self.serving() {
            return Vec::new();
        }
        let due: Vec<Key> = self
            .due
            .iter()
            .take_while(|(due, _)| *due <= now.mono)
            .map(|(_, key)| *key)
            .filter(|key| self.durable_head(key.1) >= self.rows[key].next)
            .take(most as usize)
            .collect();
        let mut claims = Vec::with_capacity(due.len());
        for key in due {
            let (device, conversation) = key;
            let row = self.rows.get_mut(&key).expect("a due row exists");
            if let Some(term) = row.lease.take() {
                row.attempts += 1;
                out.note(Note::LeaseExpired { device, conversation, term });
            }
            let Row { next, attempts, .. } = *row;
            let term = self.lease(now, key);
            let entries = self.entries(conversation, next);
            claims.push(Claim { device, conversation, term, attempts, entries });
        }
        claims
    }

    /// The device holds everything before `next`. Returns whether that is news.
    fn advance(&mut self, key: Key, next: u64) -> bool {
        let Some(row) = self.rows.get_mut(&key) else { return false };
        if next <= row.next {
            return false;
        }
        row.next = next;
        row.attempts = 0;
        let head = self.logs.get(&key.1).map_or(0, |log| log.entries.len() as u64);
        if next > head {
            let due = row.due;
            self.rows.remove(&key);
            self.due.remove(&(due, key));
        }
        true
    }

    /// Moves a cursor and makes that durable. A settlement is answered when it is.
    fn move_cursor(
        &mut self,
        now: Now,
        key: Key,
        next: u64,
        settle: Option<(HostId, Term)>,
        out: &mut Outbox,
    ) {
        // A device cannot hold what does not exist; it would be a device of another history.
        let next = next.min(self.durable_head(key.1) + 1);
        let moved = self.advance(key, next);
        let mut next = next;
        if let Some(row) = self.rows.get_mut(&key) {
            if moved {
                row.since = now.mono;
            }
            next = row.next; // A cursor never goes back, and never says so.
        }
        if settle.is_some() && self.rows.contains_key(&key) {
            self.set_due(key, now.mono + limits::LEASE); // The holder goes on.
        }
        if moved {
            self.delivered(key, Stamp { epoch: SEQUENCE_EPOCH, seq: next - 1 }, out);
        }
        if moved || settle.is_some() {
            let (device, conversation) = key;
            let record = Record::Cursor { device, conversation, next };
            self.append(record, Durable::Cursor { key, next, settle }, out);
        }
    }

    fn wake(&mut self, now: Now, device: DeviceId) {
        for key in self.rows_of(device) {
            let row = self.rows.get_mut(&key).expect("listed");
            if row.lease.is_none() {
                self.set_due(key, now.mono);
            } else {
                row.woken = true;
            }
        }
    }

    fn rows_of(&self, device: DeviceId) -> Vec<Key> {
        self.rows
            .range((device, ConversationId::FIRST)..)
            .map(|(key, _)| *key)
            .take_while(|key| key.0 == device)
            .collect()
    }
}

// Reading.
impl Database {
    /// Until its boot number is durable the database grants no lease.
    fn serving(&self) -> bool {
        // It is the first record of a boot, so it waits at the front or not at all.
        !matches!(self.awaiting.front(), Some((_, Durable::Booted)))
    }

    fn durable_head(&self, conversation: ConversationId) -> u64 {
        self.logs.get(&conversation).map_or(0, |log| log.durable)
    }

    /// The durable messages from `next` on, as many as fit one batch.
    fn entries(&self, conversation: ConversationId, next: u64) -> Vec<Entry> {
        let Some(log) = self.logs.get(&conversation) else { return Vec::new() };
        let first = (next - 1).min(log.durable) as usize;
        let end = (first + limits::BATCH_ENTRIES_MAX).min(log.durable as usize);
        log.entries[first..end].to_vec()
    }

    fn catch_up(
        &mut self,
        now: Now,
        from: HostId,
        session: Session,
        next: &[(ConversationId, u64)],
        all: bool,
        out: &mut Outbox,
    ) {
        let user = session.device.user;
        let mut wanted: BTreeMap<ConversationId, u64> = next
            .iter()
            .filter(|(conversation, _)| self.directory.members(*conversation).contains(&user))
            .map(|(conversation, next)| (*conversation, (*next).max(1)))
            .collect();
        // What the device says it holds is an acknowledgement.
        for (conversation, next) in wanted.clone() {
            self.move_cursor(now, (session.device, conversation), next, None, out);
        }
        if all {
            for key in self.rows_of(session.device) {
                wanted.entry(key.1).or_insert(self.rows[&key].next);
            }
        }
        for (conversation, next) in wanted {
            let head = self.durable_head(conversation);
            let entries = self.entries(conversation, next);
            if !entries.is_empty() {
                out.send(from, Wire::Page { session, conversation, entries, head });
            }
        }
    }

    /// Conversations in which the device has had something undelivered for a while.
    fn behind(&self, now: Now, device: DeviceId) -> Vec<(ConversationId, u64)> {
        let old = |key: &Key| now.mono.since(self.rows[key].since) >= limits::BEHIND_AFTER;
        self.rows_of(device)
            .into_iter()
            .filter(old)
            .map(|(_, conversation)| (conversation, self.durable_head(conversation)))
            .filter(|(_, head)| *head > 0)
            .collect()
    }
}

// The disk: group commit, one fsync under way at a time.
impl Database {
    /// Becomes durable with the next record that is appended.
    fn append_later(&mut self, record: Record, durable: Durable, out: &mut Outbox) {
        out.append(record);
        self.appended += 1;
        self.awaiting.push_back((self.appended, durable));
    }

    fn append(&mut self, record: Record, durable: Durable, out: &mut Outbox) {
        self.append_later(record, durable, out);
        if !std::mem::replace(&mut self.syncing, true) {
            out.sync();
        }
    }

    fn synced(&mut self, now: Now, records: u64, out: &mut Outbox) {
        while let Some((_, durable)) = self.awaiting.pop_front_if(|(number, _)| *number <= records)
        {
            match durable {
                Durable::Booted => {}
                Durable::Appended { id, answer } => self.persisted(now, id, answer, out),
                Durable::Cursor { key, next, settle } => {
                    let (device, conversation) = key;
                    out.note(Note::Settled { device, conversation, next });
                    if let Some((holder, term)) = settle {
                        self.settled(now, key, holder, term, out);
                    }
                }
                Durable::Mark(mark) => self.marked(mark, out),
            }
        }
        self.syncing = !self.awaiting.is_empty();
        if self.syncing {
            out.sync();
        }
    }

    fn persisted(
        &mut self,
        now: Now,
        id: MessageId,
        answer: Vec<(HostId, Vec<(Key, Term)>)>,
        out: &mut Outbox,
    ) {
        let (conversation, stamp) = self.placed[&id];
        self.logs.get_mut(&conversation).expect("placed in a log").durable = stamp.seq;
        out.note(Note::Persisted { id, conversation, stamp });
        let outcome = SendOutcome::Accepted(stamp);
        for (from, leases) in answer {
            let mut claims = Vec::with_capacity(leases.len());
            for (key, term) in leases {
                let entries = self.undelivered_under(now, key, term);
                if !entries.is_empty() {
                    let (device, _) = key;
                    claims.push(Claim { device, conversation, term, attempts: 0, entries });
                }
            }
            out.send(from, Wire::Appended { id, outcome, claims });
        }
    }

    fn settled(&mut self, now: Now, key: Key, holder: HostId, term: Term, out: &mut Outbox) {
        let next = self.undelivered_under(now, key, term);
        let (device, conversation) = key;
        out.send(holder, Wire::Settled { device, conversation, term, next });
    }

    /// What the holder of a lease is to deliver. If there is nothing durable, the row is free.
    fn undelivered_under(&mut self, now: Now, key: Key, term: Term) -> Vec<Entry> {
        if !self.leased(key, term) {
            return Vec::new();
        }
        let entries = self.entries(key.1, self.rows[&key].next);
        if entries.is_empty() {
            self.rows.get_mut(&key).expect("leased").lease = None;
            self.set_due(key, now.mono);
        }
        entries
    }
}
