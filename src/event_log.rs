//! The event log: an ordered, durable log per partition, and how far its consumer group has come.
//!
//! The specification of what a Kafka adapter must do (`acks=all`, one consumer group, of which it
//! is the coordinator). Asked by gateways, which append session events, and by the consumers, which
//! read and commit the partitions that are theirs in this generation: a member of an older one is
//! answered that it is fenced, and gets no entry and moves no offset. A user's events share a
//! partition, so they keep the order in which they arrived; that this is not the order in which
//! they happened is the readers' business, not the log's.
//!
//! When a replica takes over it leads in an epoch of its own, and may lack the last entries of its
//! predecessor, acknowledged or not. It says so to whoever has read them, by the epoch of what they
//! have read, and its epoch to every gateway that asks: what they had published may be gone.

mod group;
mod partition;

use crate::disk::{Disk, Record};
use crate::id::{BatchId, HostId, Place};
use crate::limits;
use crate::node::{Command, Event, Outbox, Role, Timer};
use crate::note::Note;
use crate::time::Now;
use crate::wire::{SessionEvent, Wire};
use group::Group;
use partition::{Partition, Read, Waiting};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What waits for the disk.
#[derive(Clone, Debug)]
enum Durable {
    Logged { partition: u32 },
    Published { to: HostId, batch: BatchId },
    Committed { to: HostId, generation: u32, partition: u32, next: Place },
    Rebalanced { generation: u32 },
}

#[derive(Clone, Debug)]
pub struct EventLog {
    partitions: Vec<Partition>,
    group: Group,
    /// Which leader this is, from 1: each that was promoted counts one.
    epoch: u32,
    /// It has just been promoted, and its disk does not say so yet.
    elected: bool,
    /// The last batch of each gateway in this boot. A producer that is not idempotent: what comes
    /// again is appended again, since its readers apply by epoch and lose nothing by it.
    batches: BTreeMap<HostId, BatchId>,
    /// Somebody is looking for silent members.
    watching: bool,
    /// Records appended in this boot.
    appended: u64,
    syncing: bool,
    awaiting: VecDeque<(u64, Durable)>,
    torn: bool,
}

impl EventLog {
    pub fn boot(disk: &Disk) -> Self {
        let mut partitions = vec![Partition::default(); limits::LOG_PARTITIONS as usize];
        let mut generation = 0;
        let epoch = Place::START.epoch + disk.timeline;
        let mut led = Place::START.epoch;
        for record in &disk.records {
            match record {
                Record::Logged { partition, event } => {
                    let partition = &mut partitions[*partition as usize];
                    partition.append(*event);
                    partition.grow();
                }
                Record::LeaderEpoch(epoch) => {
                    led = *epoch;
                    partitions.iter_mut().for_each(|partition| partition.begin_epoch(led));
                }
                Record::Committed { partition, next } => {
                    partitions[*partition as usize].committed = Some(*next);
                }
                Record::OffsetsLost => {
                    partitions.iter_mut().for_each(|partition| partition.committed = None);
                }
                Record::Generation(number) => generation = *number,
                other => unreachable!("not the event log's record: {other:?}"),
            }
        }
        let elected = led < epoch;
        if elected {
            partitions.iter_mut().for_each(|partition| partition.begin_epoch(epoch));
        }
        Self {
            partitions,
            group: Group::after(generation),
            epoch,
            elected,
            batches: BTreeMap::new(),
            watching: false,
            appended: 0,
            syncing: false,
            awaiting: VecDeque::new(),
            torn: disk.torn,
        }
    }
}

impl Role for EventLog {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => self.begin(out),
            Event::Received { from, wire: Wire::Publish { batch, events } } => {
                if self.batches.insert(from, batch).is_some_and(|last| batch <= last) {
                    out.note(Note::BatchRepeated { gateway: from, batch });
                }
                for event in events {
                    self.append(partition_of(event), event, out);
                }
                // Durable with the last entry of its batch.
                self.awaiting.push_back((self.appended, Durable::Published { to: from, batch }));
                self.sync(out);
            }
            Event::Received {
                from: who,
                wire: Wire::Poll { generation, partition, from, most },
            } => {
                if !self.group.may(who, generation, partition) {
                    out.send(who, Wire::Fenced { generation, partition });
                    return;
                }
                self.poll(who, generation, partition, from, most, out);
            }
            Event::Received { from, wire: Wire::Commit { generation, partition, next } } => {
                self.commit(from, generation, partition, next, out);
            }

            // The operator, or who takes itself for one.
            Event::Commanded(Command::ForgetOffsets) => self.forget_offsets(out),
            Event::Commanded(Command::Garble) => {
                for partition in 0..limits::LOG_PARTITIONS {
                    self.append(partition, SessionEvent::GARBLED, out);
                }
                self.sync(out);
            }

            // The group.
            Event::Received { from, wire: Wire::AskLeader } => {
                out.send(from, Wire::Leader { epoch: self.epoch });
            }
            Event::Received { from, wire: Wire::JoinGroup { member } } => {
                if self.group.join(now.mono, from, member) {
                    self.rebalance(out);
                    self.watch(out);
                } else {
                    self.assign(from, member, out);
                }
            }
            Event::Received { from, wire: Wire::GroupHeartbeat { member, generation: _ } } => {
                if self.group.heard(now.mono, from, member) {
                    self.assign(from, member, out);
                } else {
                    out.send(from, Wire::UnknownMember { member });
                }
            }
            Event::Received { from, wire: Wire::LeaveGroup { member } } => {
                if self.group.leave(from, member) {
                    self.rebalance(out);
                }
            }
            Event::Fired(Timer::GroupSession) => {
                self.watching = false;
                if self.group.expire(now.mono) {
                    self.rebalance(out);
                }
                self.watch(out);
            }
            Event::Synced { records } => self.synced(records, out),
            Event::Refused { .. } => {} // Whoever asked has died; it asks again.
            other => unreachable!("not for the event log: {other:?}"),
        }
    }
}

impl EventLog {
    fn begin(&mut self, out: &mut Outbox) {
        if self.torn {
            out.note(Note::TornRecord);
        }
        if self.elected {
            let epoch = self.epoch;
            out.note(Note::LogLeads { epoch });
            // Before any entry of its own: an entry that is there has its leader there.
            out.append(Record::LeaderEpoch(epoch));
            self.appended += 1;
            self.sync(out);
        }
    }

    fn append(&mut self, partition: u32, event: SessionEvent, out: &mut Outbox) {
        self.partitions[partition as usize].append(event);
        out.append(Record::Logged { partition, event });
        self.appended += 1;
        self.awaiting.push_back((self.appended, Durable::Logged { partition }));
    }

    /// Kafka writes a tombstone per offset that it forgets; for its readers it is the same.
    fn forget_offsets(&mut self, out: &mut Outbox) {
        self.partitions.iter_mut().for_each(|partition| partition.committed = None);
        out.note(Note::OffsetsLost);
        out.append(Record::OffsetsLost);
        self.appended += 1;
        self.sync(out);
    }

    /// Holds a poll until there is something for it, if it asks for a place that is here.
    fn poll(
        &mut self,
        who: HostId,
        generation: u32,
        partition: u32,
        from: Option<Place>,
        most: u32,
        out: &mut Outbox,
    ) {
        let held = &mut self.partitions[partition as usize];
        let end = held.end();
        let from = match from.or(held.committed) {
            Some(from) => from,
            None if end == Place::START => Place::START,
            None => return out.send(who, Wire::Unplaced { generation, partition, end }),
        };
        if let Some(at) = held.parted_from(from) {
            return out.send(who, Wire::Diverged { generation, partition, from, at });
        }
        held.waiting = Some(Waiting { who, generation, from, most });
        self.answer(partition, out);
    }

    /// Group commit: one fsync under way at a time.
    fn sync(&mut self, out: &mut Outbox) {
        if !std::mem::replace(&mut self.syncing, true) {
            out.sync();
        }
    }

    /// Moves a partition's offset, if it is still this member's to move. A zombie that wakes up
    /// after its partitions have gone to others may have applied its batch at the registry once
    /// more, which changes nothing there; it does not move the group.
    fn commit(
        &mut self,
        from: HostId,
        generation: u32,
        partition: u32,
        next: Place,
        out: &mut Outbox,
    ) {
        if !self.group.may(from, generation, partition) {
            let current = self.group.generation();
            out.note(Note::CommitFenced { member: from, partition, generation, current });
            out.send(from, Wire::Fenced { generation, partition });
            return;
        }
        let committed = &mut self.partitions[partition as usize].committed;
        // A repeated or delayed commit never takes the group back.
        let next = committed.map_or(next, |committed| committed.max(next));
        *committed = Some(next);
        out.append(Record::Committed { partition, next });
        self.appended += 1;
        let durable = Durable::Committed { to: from, generation, partition, next };
        self.awaiting.push_back((self.appended, durable));
        self.sync(out);
    }

    /// Answers the poll that is held, if there is something for it.
    fn answer(&mut self, partition: u32, out: &mut Outbox) {
        let held = &mut self.partitions[partition as usize];
        let Some(Waiting { who, generation, from, most }) = held.waiting else { return };
        if let Some(Read { events, epoch }) = held.read(from.offset, most) {
            let end = held.end().offset;
            held.waiting = None;
            out.send(who, Wire::Polled { generation, partition, from, events, epoch, end });
        }
    }

    fn synced(&mut self, records: u64, out: &mut Outbox) {
        let mut grown = BTreeSet::new();
        while let Some((_, durable)) = self.awaiting.pop_front_if(|(number, _)| *number <= records)
        {
            match durable {
                Durable::Logged { partition } => {
                    self.partitions[partition as usize].grow();
                    grown.insert(partition);
                }
                Durable::Published { to, batch } => out.send(to, Wire::Published { batch }),
                Durable::Committed { to, generation, partition, next } => {
                    out.send(to, Wire::Committed { generation, partition, next })
                }
                Durable::Rebalanced { generation } => self.enter(generation, out),
            }
        }
        grown.into_iter().for_each(|partition| self.answer(partition, out));
        self.syncing = false;
        if !self.awaiting.is_empty() {
            self.sync(out);
        }
    }
}

// The group.
impl EventLog {
    /// Members have come or gone. Until the new generation is durable the old one is in force.
    fn rebalance(&mut self, out: &mut Outbox) {
        let generation = self.group.begin();
        out.append(Record::Generation(generation));
        self.appended += 1;
        self.awaiting.push_back((self.appended, Durable::Rebalanced { generation }));
        self.sync(out);
    }

    fn enter(&mut self, generation: u32, out: &mut Outbox) {
        self.group.enter(generation);
        // Never answer a poll of an older generation: its member may be a zombie by now.
        self.partitions.iter_mut().for_each(|partition| partition.waiting = None);
        let members: Vec<(HostId, u64)> = self.group.members().collect();
        out.note(Note::Rebalanced { generation, members: members.len() as u32 });
        for (host, member) in members {
            self.assign(host, member, out);
        }
    }

    fn assign(&self, host: HostId, member: u64, out: &mut Outbox) {
        if let Some(partitions) = self.group.assigned(host, member) {
            let generation = self.group.generation();
            out.send(host, Wire::Assigned { member, generation, partitions });
        }
    }

    fn watch(&mut self, out: &mut Outbox) {
        if !self.group.is_empty() && !std::mem::replace(&mut self.watching, true) {
            out.set_timer(Timer::GroupSession, limits::GROUP_HEARTBEAT);
        }
    }
}

/// The partition of a user's events: by key, so that they stay in order.
fn partition_of(event: SessionEvent) -> u32 {
    let user = event.session().device.user;
    (crate::jitter::mix(u64::from(user.0)) % u64::from(limits::LOG_PARTITIONS)) as u32
}
