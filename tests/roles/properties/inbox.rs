//! A device's inbox under any order of delivery, with losses, duplicates, reconnects and crashes.

use crate::cast::*;
use crate::properties::config;
use crate::script::Script;
use courier::client::{Client, Config};
use courier::design::Design;
use courier::disk::Disk;
use courier::frame::{Frame, PROTOCOL_NEWEST};
use courier::id::Incarnation;
use courier::node::{Action, CloseCause, Timer};
use courier::note::Note;
use courier::timing::Timing;
use courier::wire::{Batch, Wire};
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Op {
    /// The server pushes these; the head that it names is the last of them.
    Push {
        from: u64,
        most: u64,
    },
    /// The disk finishes.
    Sync,
    /// The server answers the last request, at most so many messages of it.
    Answer {
        most: u64,
    },
    /// No answer came to it.
    Refetch,
    Reconnect,
    Crash,
}

const MESSAGES: u64 = 12;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..=MESSAGES, 1..=4u64).prop_map(|(from, most)| Op::Push { from, most }),
        4 => Just(Op::Sync),
        3 => (1..=5u64).prop_map(|most| Op::Answer { most }),
        1 => Just(Op::Refetch),
        1 => Just(Op::Reconnect),
        1 => Just(Op::Crash),
    ]
}

fn boot(disk: &Disk) -> Client {
    let (host, device) = (phone(2), u(2));
    let timing = Arc::new(Timing::default());
    Client::boot(
        Config {
            host,
            device,
            entropy: 7,
            directory: fleet(),
            timing,
            design: Design::default(),
            protocol: PROTOCOL_NEWEST,
        },
        disk,
    )
}

struct Device {
    script: Script<Client>,
    epoch: u32,
    shown: u64,
    acknowledged: u64,
    said_to_hold: u64,
    /// It acknowledged what a crash could still have taken.
    acknowledged_early: bool,
}

impl Device {
    fn new() -> Self {
        let mut script = Script::new(phone(2), boot(&Disk::default())).untold();
        script.boots();
        let mut device = Self {
            script,
            epoch: 0,
            shown: 0,
            acknowledged: 0,
            said_to_hold: 0,
            acknowledged_early: false,
        };
        device.connect();
        device
    }

    fn connect(&mut self) {
        self.epoch += 1;
        let (epoch, conn) = (self.epoch, conn(2, self.epoch));
        self.script.synced();
        self.observe();
        self.script.receives(BALANCER, Wire::Placed { epoch, gateway: Some(server(1)) });
        self.script.opened(conn);
        self.script.arrives(
            conn,
            Frame::Welcome { epoch, incarnation: Incarnation(1), protocol: PROTOCOL_NEWEST },
        );
        self.observe();
    }

    fn deliver(&mut self, from: u64, most: u64, head: u64) {
        let (conversation, last) = (pair(1, 2), (from + most - 1).min(MESSAGES));
        let batch = Batch { head: stamp(head), ..batch(from..=last) };
        let frame = Frame::Deliver { conversation, batch };
        self.script.arrives(conn(2, self.epoch), frame);
        self.observe();
    }

    /// Every message once, in order, and what it acknowledges.
    fn observe(&mut self) {
        for action in &self.script.last {
            match action {
                Action::Note(Note::Shown { stamp, .. }) => {
                    assert_eq!(stamp.seq, self.shown + 1, "shown out of turn");
                    self.shown = stamp.seq;
                }
                Action::Write { frame: Frame::Ack { upto, .. }, .. } => {
                    assert!(upto.seq >= self.acknowledged, "an acknowledgement went back");
                    self.acknowledged = upto.seq;
                }
                // The database takes it for an acknowledgement of everything before.
                Action::Write { frame: Frame::CatchUp { next, .. }, .. } => {
                    self.said_to_hold = next.first().map_or(0, |(_, next)| next.seq - 1);
                }
                _ => {}
            }
            self.acknowledged_early |= self.acknowledged.max(self.said_to_hold) > self.shown;
        }
    }

    /// From where it last asked, on this connection or the one before.
    fn asked(&self) -> u64 {
        let asked = self.script.done.iter().rev().find_map(|action| match action {
            Action::Write { frame: Frame::CatchUp { next, .. }, .. } => Some(next.clone()),
            _ => None,
        });
        let asked = asked.expect("it asks whenever it connects");
        asked.first().map_or(1, |(_, next)| next.seq)
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Push { from, most } => {
                self.deliver(*from, *most, (from + most - 1).min(MESSAGES));
            }
            Op::Sync => {
                self.script.synced();
                self.observe();
            }
            Op::Answer { most } => {
                let from = self.asked();
                if from <= MESSAGES {
                    self.deliver(from, *most, MESSAGES);
                }
            }
            Op::Refetch => {
                let timer = Timer::Refetch(pair(1, 2));
                if self.script.is_set(timer) {
                    self.script.fires(timer);
                    let again = self.script.last.iter().any(|action| {
                        matches!(action, Action::Write { frame: Frame::CatchUp { .. }, .. })
                    });
                    assert!(again, "it stopped asking with a hole in its store");
                }
            }
            Op::Reconnect => {
                self.script.closed(conn(2, self.epoch), CloseCause::Reset);
                self.script.fires(Timer::Reconnect);
                self.connect();
            }
            Op::Crash => {
                self.script.reboot(boot);
                self.connect();
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_message_is_shown_once_in_order_whatever_the_order_of_arrival(
        ops in prop::collection::vec(op(), 0..60)
    ) {
        let mut device = Device::new();
        for op in &ops {
            device.step(op);
        }
        // The faults are over: each request is answered, and the disk keeps up.
        device.step(&Op::Reconnect);
        for _ in 0..=MESSAGES {
            device.step(&Op::Answer { most: 3 });
            device.step(&Op::Sync);
        }
        prop_assert_eq!(device.shown, MESSAGES);
        prop_assert_eq!(device.acknowledged.max(device.said_to_hold), MESSAGES);
    }

    #[test]
    fn nothing_is_acknowledged_before_it_is_durable(ops in prop::collection::vec(op(), 0..60)) {
        let mut device = Device::new();
        for op in &ops {
            device.step(op);
            prop_assert!(!device.acknowledged_early, "after {:?}", op);
        }
    }
}
