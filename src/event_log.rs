//! The event log: an ordered, durable log per partition, and how far its consumer group has come.
//!
//! The specification of what a Kafka adapter must do (`acks=all`, one consumer group). Asked by
//! gateways, which append session events, and by the consumer, which reads and commits. A user's
//! events share a partition, so they keep the order in which they arrived; that this is not the
//! order in which they happened is the readers' business, not the log's.

use crate::disk::{Disk, Record};
use crate::id::{BatchId, HostId};
use crate::limits;
use crate::node::{Event, Outbox, Role};
use crate::note::Note;
use crate::time::Now;
use crate::wire::{SessionEvent, Wire};
use std::collections::{BTreeSet, VecDeque};

#[derive(Clone, Debug, Default)]
struct Partition {
    events: Vec<SessionEvent>,
    /// How many entries are durable; only these are read.
    durable: u64,
    /// Where the consumer group goes on.
    committed: u64,
    /// A poll that found nothing, answered when there is something.
    waiting: Option<Waiting>,
}

/// A poll that is held. A later one takes its place: its asker has given the earlier one up.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    who: HostId,
    from: u64,
    most: u32,
}

/// What waits for the disk.
#[derive(Clone, Debug)]
enum Durable {
    Logged { partition: u32 },
    Published { to: HostId, batch: BatchId },
    Committed { to: HostId, partition: u32, next: u64 },
}

#[derive(Clone, Debug)]
pub struct EventLog {
    partitions: Vec<Partition>,
    /// Records appended in this boot.
    appended: u64,
    syncing: bool,
    awaiting: VecDeque<(u64, Durable)>,
    torn: bool,
}

impl EventLog {
    pub fn boot(disk: &Disk) -> Self {
        let mut partitions = vec![Partition::default(); limits::LOG_PARTITIONS as usize];
        for record in &disk.records {
            match record {
                Record::Logged { partition, event } => {
                    let partition = &mut partitions[*partition as usize];
                    partition.events.push(*event);
                    partition.durable += 1;
                }
                Record::Committed { partition, next } => {
                    partitions[*partition as usize].committed = *next;
                }
                other => unreachable!("not the event log's record: {other:?}"),
            }
        }
        let (appended, syncing, awaiting) = (0, false, VecDeque::new());
        Self { partitions, appended, syncing, awaiting, torn: disk.torn }
    }
}

impl Role for EventLog {
    fn step(&mut self, _now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted if self.torn => out.note(Note::TornRecord),
            Event::Booted => {}
            Event::Received { from, wire: Wire::Publish { batch, events } } => {
                for event in events {
                    let partition = partition_of(event);
                    self.partitions[partition as usize].events.push(event);
                    out.append(Record::Logged { partition, event });
                    self.appended += 1;
                    self.awaiting.push_back((self.appended, Durable::Logged { partition }));
                }
                // Durable with the last entry of its batch.
                self.awaiting.push_back((self.appended, Durable::Published { to: from, batch }));
                self.sync(out);
            }
            Event::Received { from, wire: Wire::Poll { partition, from: offset, most } } => {
                let held = &mut self.partitions[partition as usize];
                let first = offset.unwrap_or(held.committed);
                held.waiting = Some(Waiting { who: from, from: first, most });
                self.answer(partition, out);
            }
            Event::Received { from, wire: Wire::Commit { partition, next } } => {
                let committed = &mut self.partitions[partition as usize].committed;
                // A repeated or delayed commit never takes the group back.
                *committed = (*committed).max(next);
                let next = *committed;
                out.append(Record::Committed { partition, next });
                self.appended += 1;
                let durable = Durable::Committed { to: from, partition, next };
                self.awaiting.push_back((self.appended, durable));
                self.sync(out);
            }
            Event::Synced { records } => self.synced(records, out),
            Event::Refused { .. } => {} // Whoever asked has died; it asks again.
            other => unreachable!("not for the event log: {other:?}"),
        }
    }
}

impl EventLog {
    /// Group commit: one fsync under way at a time.
    fn sync(&mut self, out: &mut Outbox) {
        if !std::mem::replace(&mut self.syncing, true) {
            out.sync();
        }
    }

    /// Answers the poll that is held, if there is something for it.
    fn answer(&mut self, partition: u32, out: &mut Outbox) {
        let Partition { events, durable, waiting, .. } = &mut self.partitions[partition as usize];
        let Some(Waiting { who, from, most }) = *waiting else { return };
        if from < *durable {
            let end = (from + u64::from(most)).min(*durable);
            let events = events[from as usize..end as usize].to_vec();
            *waiting = None;
            out.send(who, Wire::Polled { partition, from, events, end: *durable });
        }
    }

    fn synced(&mut self, records: u64, out: &mut Outbox) {
        let mut grown = BTreeSet::new();
        while let Some((_, durable)) = self.awaiting.pop_front_if(|(number, _)| *number <= records)
        {
            match durable {
                Durable::Logged { partition } => {
                    self.partitions[partition as usize].durable += 1;
                    grown.insert(partition);
                }
                Durable::Published { to, batch } => out.send(to, Wire::Published { batch }),
                Durable::Committed { to, partition, next } => {
                    out.send(to, Wire::Committed { partition, next })
                }
            }
        }
        grown.into_iter().for_each(|partition| self.answer(partition, out));
        self.syncing = false;
        if !self.awaiting.is_empty() {
            self.sync(out);
        }
    }
}

/// The partition of a user's events: by key, so that they stay in order.
fn partition_of(event: SessionEvent) -> u32 {
    let user = event.session().device.user;
    (crate::jitter::mix(u64::from(user.0)) % u64::from(limits::LOG_PARTITIONS)) as u32
}
