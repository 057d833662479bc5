//! The event log and its consumer under any order of answers, losses, duplicates and restarts.

use crate::cast::*;
use crate::properties::config;
use crate::script::Script;
use courier::consumer::{Config, Consumer};
use courier::design::Design;
use courier::disk::Disk;
use courier::event_log::EventLog;
use courier::id::{BatchId, HostId, Incarnation};
use courier::node::{Action, Timer};
use courier::timing::Timing;
use courier::wire::{SessionEvent, Wire};
use proptest::prelude::*;
use proptest::sample::Index;
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
    /// The consumer's timer fires.
    Retry,
    LogCrashes,
    ConsumerCrashes,
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    prop_oneof![
        3 => Just(Op::Happens),
        1 => Just(Op::Republish),
        10 => (index(), prop::bool::weighted(0.1))
            .prop_map(|(which, again)| Op::Arrives { which, again }),
        1 => index().prop_map(|which| Op::Lost { which }),
        5 => Just(Op::Sync),
        3 => Just(Op::Retry),
        1 => Just(Op::LogCrashes),
        1 => Just(Op::ConsumerCrashes),
    ]
}

/// User 2's events, and so all of this story.
const PARTITION: u32 = 6;

struct Pipeline {
    log: Script<EventLog>,
    consumer: Script<Consumer>,
    /// Under way: from, to, what.
    wires: Vec<(HostId, HostId, Wire)>,
    /// Events are the epochs 1, 2, 3, ... of one device; the gateway publishes one at a time.
    happened: u32,
    published: u32,
    /// Epochs in the order in which the registry applied them.
    applied: Vec<u32>,
}

fn boot_consumer() -> Consumer {
    Consumer::boot(Config {
        directory: fleet(),
        timing: Arc::new(Timing::default()),
        design: Design::default(),
    })
}

impl Pipeline {
    fn new() -> Self {
        let mut pipeline = Self {
            log: Script::new(EVENT_LOG, EventLog::boot(&Disk::default())).untold(),
            consumer: Script::new(CONSUMER, boot_consumer()).untold(),
            wires: Vec::new(),
            happened: 0,
            published: 0,
            applied: Vec::new(),
        };
        pipeline.log.boots();
        pipeline.consumer.boots();
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
            Op::Arrives { which, again } if !self.wires.is_empty() => {
                let at = which.index(self.wires.len());
                let (from, to, wire) = self.wires[at].clone();
                if !again {
                    self.wires.remove(at);
                }
                self.arrives(from, to, wire);
            }
            Op::Lost { which } if !self.wires.is_empty() => {
                self.wires.remove(which.index(self.wires.len()));
            }
            Op::Arrives { .. } | Op::Lost { .. } => {}
            Op::Sync => {
                self.log.synced();
                self.collect();
            }
            Op::Retry => {
                if self.consumer.is_set(Timer::Retry(PARTITION)) {
                    self.consumer.fires(Timer::Retry(PARTITION));
                    self.collect();
                }
            }
            Op::LogCrashes => {
                self.log.reboot(EventLog::boot);
                self.collect();
            }
            Op::ConsumerCrashes => {
                self.consumer.reboot(|_| boot_consumer());
                self.collect();
            }
        }
    }

    fn arrives(&mut self, from: HostId, to: HostId, wire: Wire) {
        match (to, wire) {
            (EVENT_LOG, wire) => {
                self.log.receives(from, wire);
            }
            (CONSUMER, wire) => {
                self.consumer.receives(from, wire);
            }
            (REGISTRY, Wire::Apply { partition, next, events }) => {
                self.applied.extend(events.iter().map(|event| event.session().epoch));
                let answer = Wire::Applied { partition, next, displaced: vec![], dead: vec![] };
                self.wires.push((REGISTRY, CONSUMER, answer));
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
        let said = [(EVENT_LOG, &mut self.log.last), (CONSUMER, &mut self.consumer.last)];
        for (from, actions) in said {
            for action in actions.drain(..) {
                let Action::Send { to, wire } = action else { continue };
                let elsewhere = matches!(
                    wire,
                    Wire::Poll { partition, .. } | Wire::Polled { partition, .. }
                        if partition != PARTITION
                );
                if !elsewhere {
                    self.wires.push((from, to, wire));
                }
            }
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
        // The faults are over: everything arrives, in the order in which it was said.
        for _ in 0..4 * (pipeline.happened + 2) {
            pipeline.step(&Op::Republish);
            pipeline.step(&Op::Sync);
            pipeline.step(&Op::Retry);
            for _ in 0..6 {
                if !pipeline.wires.is_empty() {
                    let (from, to, wire) = pipeline.wires.remove(0);
                    pipeline.arrives(from, to, wire);
                }
                pipeline.step(&Op::Sync);
            }
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
