//! The event log and its consumer group under any order of answers, losses, duplicates, pauses,
//! restarts, joins and leaves.

use crate::cast::*;
use crate::properties::{config, pick};
use crate::script::Script;
use courier::consumer::{Config, Consumer};
use courier::design::Design;
use courier::disk::Disk;
use courier::event_log::EventLog;
use courier::id::{BatchId, HostId, Incarnation};
use courier::limits::{GROUP_HEARTBEAT, RETRY_STORE};
use courier::node::{Action, Timer};
use courier::timing::Timing;
use courier::wire::{SessionEvent, Wire};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;
use std::sync::Arc;

fn batch(number: u32) -> BatchId {
    BatchId { incarnation: Incarnation(1), number }
}

#[derive(Clone, Debug)]
enum Op {
    /// The gateway has one more event to publish.
    Happens,
    /// The gateway publishes what is not acknowledged, again.
    Republish,
    /// One of the wires under way arrives; it may arrive once more later.
    Arrives {
        which: Index,
        again: bool,
    },
    Lost {
        which: Index,
    },
    /// The log's disk finishes.
    Sync,
    /// A consumer's timer fires.
    Retry(usize),
    /// Time passes at one host; it stands still at the others, which are paused meanwhile.
    LogWaits,
    ConsumerWaits(usize),
    /// A consumer leaves the group; it does not know, as if its process had been replaced.
    Leaves(usize),
    LogCrashes,
    ConsumerCrashes(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    prop_oneof![
        3 => Just(Op::Happens),
        1 => Just(Op::Republish),
        12 => (index(), prop::bool::weighted(0.1))
            .prop_map(|(which, again)| Op::Arrives { which, again }),
        1 => index().prop_map(|which| Op::Lost { which }),
        5 => Just(Op::Sync),
        3 => (0..2_usize).prop_map(Op::Retry),
        2 => Just(Op::LogWaits),
        2 => (0..2_usize).prop_map(Op::ConsumerWaits),
        1 => (0..2_usize).prop_map(Op::Leaves),
        1 => Just(Op::LogCrashes),
        1 => (0..2_usize).prop_map(Op::ConsumerCrashes),
    ]
}

/// User 2's events, and so all of this story.
const PARTITION: u32 = 6;

const MEMBERS: [HostId; 2] = [CONSUMER, CONSUMER_2];

struct Pipeline {
    log: Script<EventLog>,
    consumers: [Script<Consumer>; 2],
    /// Processes so far: each is called by its number.
    processes: u64,
    /// Under way: from, to, what.
    wires: Vec<(HostId, HostId, Wire)>,
    /// Events are the epochs 1, 2, 3, ... of one device; the gateway publishes one at a time.
    happened: u32,
    published: u32,
    /// Epochs in the order in which the registry applied them.
    applied: Vec<u32>,
    /// Who was ever told to own a partition in a generation.
    owners: BTreeMap<(u32, u32), (HostId, u64)>,
}

fn boot_consumer(process: u64) -> Consumer {
    Consumer::boot(Config {
        directory: fleet(),
        timing: Arc::new(Timing::default()),
        design: Design::default(),
        entropy: process,
    })
}

impl Pipeline {
    fn new() -> Self {
        let consumer = |at: usize| Script::new(MEMBERS[at], boot_consumer(at as u64)).untold();
        let mut pipeline = Self {
            log: Script::new(EVENT_LOG, EventLog::boot(&Disk::default())).untold(),
            consumers: [consumer(0), consumer(1)],
            processes: 2,
            wires: Vec::new(),
            happened: 0,
            published: 0,
            applied: Vec::new(),
            owners: BTreeMap::new(),
        };
        pipeline.log.boots();
        pipeline.consumers.iter_mut().for_each(|consumer| {
            consumer.boots();
        });
        pipeline.collect();
        pipeline
    }

    fn publish(&mut self) {
        if self.published < self.happened {
            let epoch = self.published + 1;
            let events = vec![SessionEvent::Opened(session(2, epoch, 1))];
            let wire = Wire::Publish { batch: batch(epoch), events };
            self.wires.push((server(1), EVENT_LOG, wire));
        }
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Happens => {
                self.happened += 1;
                self.publish();
            }
            Op::Republish => self.publish(),
            Op::Arrives { which, again } => {
                if let Some((from, to, wire)) = pick(&mut self.wires, which, *again) {
                    self.arrives(from, to, wire);
                }
            }
            Op::Lost { which } => drop(pick(&mut self.wires, which, false)),
            Op::Sync => {
                self.log.synced();
            }
            Op::Retry(who) => {
                if self.consumers[*who].is_set(Timer::Retry(PARTITION)) {
                    self.consumers[*who].fires(Timer::Retry(PARTITION));
                }
            }
            Op::LogWaits => self.log_waits(),
            Op::ConsumerWaits(who) => self.consumer_waits(*who),
            Op::Leaves(who) => {
                let member = self.consumers[*who].role.member();
                self.wires.push((MEMBERS[*who], EVENT_LOG, Wire::LeaveGroup { member }));
            }
            Op::LogCrashes => {
                self.log.reboot(EventLog::boot);
            }
            Op::ConsumerCrashes(who) => {
                let process = self.processes;
                self.processes += 1;
                self.consumers[*who].reboot(|_| boot_consumer(process));
            }
        }
        self.collect();
    }

    fn log_waits(&mut self) {
        let before = self.log.done.len();
        self.log.pass(GROUP_HEARTBEAT);
        self.log.last = self.log.done[before..].to_vec();
    }

    /// Everything it does in that time, not only the last step of it.
    fn consumer_waits(&mut self, who: usize) {
        let consumer = &mut self.consumers[who];
        let before = consumer.done.len();
        consumer.pass(RETRY_STORE);
        consumer.last = consumer.done[before..].to_vec();
    }

    fn arrives(&mut self, from: HostId, to: HostId, wire: Wire) {
        match (to, wire) {
            (EVENT_LOG, wire) => {
                self.log.receives(from, wire);
            }
            (CONSUMER, wire) => {
                self.consumers[0].receives(from, wire);
            }
            (CONSUMER_2, wire) => {
                self.consumers[1].receives(from, wire);
            }
            (REGISTRY, Wire::Apply { partition, next, events }) => {
                self.applied.extend(events.iter().map(|event| event.session().epoch));
                let answer = Wire::Applied { partition, next, displaced: vec![], dead: vec![] };
                self.wires.push((REGISTRY, from, answer));
                return;
            }
            // The gateway; a batch is numbered by its one event.
            (_, Wire::Published { batch }) if batch == self::batch(self.published + 1) => {
                self.published += 1;
                self.publish();
                return;
            }
            _ => return,
        }
        self.collect();
    }

    /// Puts what was just said on its way, as far as it is about this partition.
    fn collect(&mut self) {
        let [first, second] = &mut self.consumers;
        let said = [
            (EVENT_LOG, &mut self.log.last),
            (CONSUMER, &mut first.last),
            (CONSUMER_2, &mut second.last),
        ];
        for (from, actions) in said {
            for action in actions.drain(..) {
                let Action::Send { to, wire } = action else { continue };
                if let Wire::Assigned { member, generation, partitions } = &wire {
                    for partition in partitions {
                        let place = (*generation, *partition);
                        let owner = *self.owners.entry(place).or_insert((to, *member));
                        assert_eq!(owner, (to, *member), "two own {partition} in {generation}");
                    }
                }
                let elsewhere = matches!(
                    wire,
                    Wire::Poll { partition, .. } | Wire::Polled { partition, .. }
                        | Wire::Fenced { partition, .. } if partition != PARTITION
                );
                if !elsewhere {
                    self.wires.push((from, to, wire));
                }
            }
        }
    }

    /// Everything that is under way arrives, in the order in which it was said.
    fn settle(&mut self) {
        for _ in 0..200 {
            if self.wires.is_empty() {
                break;
            }
            let (from, to, wire) = self.wires.remove(0);
            self.arrives(from, to, wire);
            self.step(&Op::Sync);
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_published_event_is_applied_at_least_once_and_in_order(
        ops in prop::collection::vec(op(), 0..120)
    ) {
        let mut pipeline = Pipeline::new();
        for op in &ops {
            pipeline.step(op);
        }
        // The faults are over.
        for _ in 0..2 * (pipeline.happened + 10) {
            pipeline.step(&Op::Republish);
            pipeline.settle();
            pipeline.step(&Op::LogWaits);
            for who in 0..2 {
                pipeline.step(&Op::ConsumerWaits(who));
                pipeline.step(&Op::ConsumerWaits(who));
            }
            pipeline.settle();
        }
        let mut first = Vec::new();
        for epoch in &pipeline.applied {
            if !first.contains(epoch) {
                first.push(*epoch);
            }
        }
        prop_assert_eq!(first, (1..=pipeline.happened).collect::<Vec<_>>());
    }
}
