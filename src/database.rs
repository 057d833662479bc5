//! The database: message log, sequence, dedupe record and pending rows, in one transaction.
//!
//! The specification of what a Postgres adapter must do. It is asked by routers, workers, gateways
//! and the consumer. One writer: a conversation's next number is given inside the append, so
//! numbers have no holes. Nothing leaves before it is durable: neither an answer nor a claim nor a
//! page. It never talks to a device and never decides where one is.

mod append;
mod cron;
mod dedupe;
mod expiry;
mod letters;
mod log;
mod marks;
mod numbers;
mod pending;
mod reading;

use crate::design::{Acknowledge, Design, Queue};
use crate::directory::Directory;
use crate::disk::{Disk, Record};
use crate::id::{ConversationId, DeviceId, HostId, Incarnation, MessageId, Stamp, Term};
use crate::node::{Command, Event, Outbox, Role, Timer};
use crate::note::{LeaseEnd, Note};
use crate::time::{Instant, Now, Wall};
use crate::timing::Timing;
use crate::wire::{Hole, Mark, Message, Wire};
use append::Asker;
use dedupe::Dedupe;
use log::Log;
use pending::Row;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What a database is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: Arc<Directory>,
    pub timing: Arc<Timing>,
    pub design: Design,
}

type Key = (DeviceId, ConversationId);

/// What waits for the disk.
#[derive(Clone, Debug)]
enum Durable {
    Appended {
        message: Message,
        stamp: Stamp,
        at: Wall,
        askers: Vec<Asker>,
    },
    Cursor {
        key: Key,
        next: u64,
        settle: Option<(HostId, Term)>,
    },
    Dropped {
        key: Key,
        hole: Hole,
    },
    /// Whoever asked for it is told that it is durable.
    Answer {
        to: HostId,
        wire: Wire,
    },
    Mark(Mark),
    Parked,
    Letter,
    LettersHandled {
        letters: u32,
    },
    Booted,
}

#[derive(Clone, Debug)]
pub struct Database {
    config: Config,
    boot: Incarnation,
    /// How often a replica was promoted; the sequence's epoch is one more.
    timeline: u32,
    /// Both clocks at boot: messages age by them, see [`expiry`].
    booted_at: Now,
    leases: u32,
    logs: BTreeMap<ConversationId, Log>,
    dedupe: Dedupe,
    rows: BTreeMap<Key, Row>,
    due: BTreeSet<(Instant, Key)>,
    /// When the oldest message of each row expires.
    expiries: BTreeSet<(Wall, Key)>,
    /// When the timer for the first of them is set to.
    expiry_set: Option<Wall>,
    /// Undelivered messages of each device that has any.
    depth: BTreeMap<DeviceId, u32>,
    marks: marks::Marks,
    /// The next machine id to be leased.
    machine: u32,
    /// Who has the scheduled job. Not on disk: its terms rise with the boots.
    job: Option<cron::Lease>,
    letters: letters::Letters,
    /// Records appended in this boot.
    appended: u64,
    syncing: bool,
    awaiting: VecDeque<(u64, Durable)>,
    torn: bool,
    /// Messages of the boot before: the last of them may be durable, and nobody was told.
    restored: Vec<(MessageId, ConversationId, Stamp)>,
}

impl Database {
    pub fn boot(config: Config, disk: &Disk) -> Self {
        let mut database = Self {
            dedupe: Dedupe::new(config.design.dedupe),
            config,
            boot: Incarnation(1),
            timeline: 0,
            booted_at: Now::default(),
            leases: 0,
            logs: BTreeMap::new(),
            rows: BTreeMap::new(),
            due: BTreeSet::new(),
            expiries: BTreeSet::new(),
            expiry_set: None,
            depth: BTreeMap::new(),
            marks: marks::Marks::default(),
            machine: 0,
            job: None,
            letters: letters::Letters::default(),
            appended: 0,
            syncing: false,
            awaiting: VecDeque::new(),
            torn: disk.torn,
            restored: Vec::new(),
        };
        for record in &disk.records {
            database.recover(record);
        }
        if disk.timeline > database.timeline {
            database.timeline = disk.timeline;
            database.begin_epoch();
        }
        database
    }

    fn recover(&mut self, record: &Record) {
        match record {
            Record::Booted(incarnation) => {
                self.boot = Incarnation(incarnation.0 + 1);
                self.restored.clear();
            }
            Record::Epoch(epoch) => {
                self.timeline = epoch - 1;
                self.begin_epoch();
            }
            Record::Appended { message, stamp, at } => {
                self.dedupe.recover(message.id, message.conversation, *stamp);
                self.restored.push((message.id, message.conversation, *stamp));
                self.commit(message.clone(), *stamp, *at);
                for device in self.rows_made_by_append(message) {
                    let key = (device, message.conversation);
                    self.add_row(key, stamp.seq, Instant(0));
                    self.recount(key);
                }
            }
            Record::Parked { device, conversation, next }
                if self.config.design.queue != Queue::InMemory =>
            {
                self.add_row((*device, *conversation), *next, Instant(0));
                self.recount((*device, *conversation));
            }
            Record::Parked { .. } => {}
            Record::Cursor { device, conversation, next } => {
                self.advance((*device, *conversation), *next);
            }
            Record::Dropped { device, conversation, hole } => {
                self.drop_from_row((*device, *conversation), *hole);
            }
            Record::Reserved { conversation, upto } => {
                self.log_mut(*conversation).allocated = *upto;
            }
            Record::MachineLeased { next } => self.machine = *next,
            Record::DeadLetter { at, .. } => self.letters.recover(*at),
            Record::DeadLettersHandled => self.letters.handled(),
            Record::Mark(mark) => {
                self.marks.move_on(&self.config.directory, *mark);
            }
            other => unreachable!("not the database's record: {other:?}"),
        }
    }

    /// The epoch of the sequence.
    fn epoch(&self) -> u32 {
        self.timeline + 1
    }
}

impl Role for Database {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => self.begin(now, out),
            Event::Synced { records } => self.synced(now, records, out),
            Event::Fired(Timer::Expire) => self.expire(now, out),
            Event::Fired(Timer::Flush) => self.flush(out),
            Event::Fired(Timer::DeadLetters) => self.watch_letters(now, out),
            Event::Commanded(Command::HandleDeadLetters) => self.letters_handled(out),
            Event::Fired(Timer::TellMarks) => self.tell_marks(out),
            Event::Received { from, wire } => match wire {
                Wire::Append { message, number } => self.send(now, from, message, number, out),
                Wire::Claim { most } => {
                    let claims = self.claim(now, most, out);
                    out.send(from, Wire::Claimed { claims });
                }
                Wire::Settle { device, conversation, term, upto } => {
                    let key = (device, conversation);
                    if self.holds(key, term) {
                        let next = self.in_this_epoch(conversation, upto, 1);
                        self.move_cursor(now, key, next, Some((from, term)), out);
                    } else {
                        out.note(Note::StaleTerm { device, conversation, term });
                        let next = self.nothing(conversation);
                        out.send(from, Wire::Settled { device, conversation, term, next });
                    }
                }
                Wire::Renew { device, conversation, term } => {
                    let held = self.renew(now, (device, conversation), term, out);
                    out.send(from, Wire::Renewed { device, conversation, term, held });
                }
                Wire::Release { device, conversation, term, retry_after, rejected } => {
                    let key = (device, conversation);
                    if self.holds(key, term) {
                        self.lease_ended(key, term, LeaseEnd::Released, out);
                        if let Some(at) = rejected {
                            self.reject(now, key, at, out);
                        }
                        self.release(now, key, retry_after);
                    } else {
                        out.note(Note::StaleTerm { device, conversation, term });
                    }
                }
                Wire::Park { device, conversation, from } => {
                    self.park(now, (device, conversation), from, out)
                }
                Wire::Advance { device, conversation, upto } => {
                    let next = self.in_this_epoch(conversation, upto, 1);
                    self.move_cursor(now, (device, conversation), next, None, out)
                }
                Wire::Reject { device, conversation, at } => {
                    self.reject(now, (device, conversation), at, out)
                }
                Wire::Wake { devices } => {
                    devices.into_iter().for_each(|device| self.wake(now, device))
                }
                Wire::CatchUp { session, epoch, next, all } => {
                    self.catch_up(now, from, session, epoch, &next, all, out)
                }
                Wire::FullSync { session, conversation, next } => {
                    self.full_sync(from, session, conversation, next, out)
                }
                Wire::Heads { sessions } => {
                    for (session, heard_of) in sessions {
                        self.tell_heads(now, from, session, heard_of, out);
                        self.beats(session, out);
                    }
                }
                Wire::Read { session, conversation, upto } => {
                    self.read(session.device.user, conversation, upto, out)
                }
                Wire::MarksAfter { session, version } => self.follow(session, version, out),
                Wire::Reserve { conversation } => self.reserve(from, conversation, out),
                Wire::LeaseMachine { held } => self.lease_machine(from, held, out),
                Wire::LeaseJob { ask, held } => self.lease_job(now, from, ask, held, out),
                other => unreachable!("{from} sent the database {other:?}"),
            },
            // Whoever asked has died meanwhile: it asks again, or its lease runs out.
            Event::Refused { .. } => {}
            other => unreachable!("not for the database: {other:?}"),
        }
    }
}

impl Database {
    fn begin(&mut self, now: Now, out: &mut Outbox) {
        if self.torn {
            out.note(Note::TornRecord);
        }
        for (id, conversation, stamp) in std::mem::take(&mut self.restored) {
            out.note(Note::MessageRestored { id, conversation, stamp });
        }
        self.booted_at = now;
        // Terms begin with the boot number: it must be durable before the first lease.
        self.append(Record::Booted(self.boot), Durable::Booted, out);
        if self.timeline > 0 {
            self.append(Record::Epoch(self.epoch()), Durable::Booted, out);
            self.state_epochs(out);
        }
        self.set_expiry(now, out);
        self.watch_letters(now, out);
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
        if std::mem::replace(&mut self.syncing, true) {
            return;
        }
        match self.config.design.acknowledge {
            Acknowledge::AfterDurable | Acknowledge::BeforeDurable => out.sync(),
            // `innodb_flush_log_at_trx_commit = 0`: the log is written once a second.
            Acknowledge::WhenCached => out.set_timer(Timer::Flush, crate::limits::CACHE_FLUSH),
        }
    }

    fn flush(&mut self, out: &mut Outbox) {
        out.sync();
    }

    fn synced(&mut self, now: Now, records: u64, out: &mut Outbox) {
        while let Some((_, durable)) = self.awaiting.pop_front_if(|(number, _)| *number <= records)
        {
            match durable {
                Durable::Booted | Durable::Parked | Durable::Letter => {}
                Durable::LettersHandled { letters } => self.letters_are_handled(letters, out),
                Durable::Appended { message, stamp, at, askers } => {
                    self.persisted(now, message, stamp, at, askers, out)
                }
                Durable::Cursor { key, next, settle } => {
                    let (device, conversation) = key;
                    out.note(Note::Settled { device, conversation, next });
                    if let Some((holder, term)) = settle {
                        self.settled(now, key, holder, term, out);
                    }
                }
                Durable::Dropped { key: (device, conversation), hole } => {
                    out.note(Note::Dropped { device, conversation, hole })
                }
                Durable::Answer { to, wire } => out.send(to, wire),
                Durable::Mark(mark) => self.marked(mark, out),
            }
        }
        self.syncing = !self.awaiting.is_empty();
        if self.syncing {
            out.sync();
        }
    }

    /// Until its boot number is durable the database grants no lease.
    fn serving(&self) -> bool {
        // It is the first record of a boot, so it waits at the front or not at all.
        !matches!(self.awaiting.front(), Some((_, Durable::Booted)))
    }

    /// Whether what was put into the queue is there after a restart, unless it is done.
    fn queue_keeps(&self) -> bool {
        match self.config.design.queue {
            Queue::Leased | Queue::AtLeastOnce | Queue::AutoCommit => true,
            // Gone with its process, or when the router took it.
            Queue::InMemory | Queue::EarlyAck => false,
        }
    }
}
