//! The whole way of a session into the registry, gateways, log, consumers and registry as they
//! are, under any order of connections, lost wires, crashes, forgotten offsets and leaders that
//! lack what their predecessors had acknowledged: whoever is connected has its row within the
//! bound.

use crate::cast::*;
use crate::properties::{config, pick};
use crate::script::Script;
use courier::consumer::{self, Consumer};
use courier::design::Design;
use courier::disk::Disk;
use courier::event_log::EventLog;
use courier::frame::{Frame, PROTOCOL_NEWEST};
use courier::gateway::{self, Gateway};
use courier::id::{ConnId, HostId, Session};
use courier::limits::{RECORD_TRIES_MAX, RETRY_STORE, ROUTABLE_WITHIN};
use courier::node::{Action, CloseCause, Command, Role};
use courier::registry::{self, Registry};
use courier::timing::Timing;
use courier::wire::Wire;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Op {
    /// A device connects; what it had before is half-open until somebody says so.
    Connects {
        user: u32,
        on: usize,
    },
    /// It closes its connection.
    Leaves {
        user: u32,
    },
    Arrives {
        which: Index,
        again: bool,
    },
    Lost {
        which: Index,
    },
    LogSyncs,
    /// Gateways and log hear each other out; the consumers are slower.
    GatewaysAreAnswered,
    /// Time passes at one host, and stands still at the others.
    Waits {
        who: usize,
        seconds: u64,
    },
    ConsumerCrashes(usize),
    LogCrashes,
    /// A replica leads that lacks the last so many records.
    LogFailsOver {
        lacks: usize,
    },
    OffsetsAreForgotten,
    SomebodyGarbles,
}

fn op() -> impl Strategy<Value = Op> {
    let user = || 1..=12_u32;
    prop_oneof![
        6 => (user(), 0..2_usize).prop_map(|(user, on)| Op::Connects { user, on }),
        2 => user().prop_map(|user| Op::Leaves { user }),
        16 => (any::<Index>(), prop::bool::weighted(0.1))
            .prop_map(|(which, again)| Op::Arrives { which, again }),
        1 => any::<Index>().prop_map(|which| Op::Lost { which }),
        6 => Just(Op::LogSyncs),
        4 => Just(Op::GatewaysAreAnswered),
        4 => (0..6_usize, 1..5_u64).prop_map(|(who, seconds)| Op::Waits { who, seconds }),
        1 => (0..2_usize).prop_map(Op::ConsumerCrashes),
        1 => Just(Op::LogCrashes),
        2 => (0..8_usize).prop_map(|lacks| Op::LogFailsOver { lacks }),
        1 => Just(Op::OffsetsAreForgotten),
        1 => Just(Op::SomebodyGarbles),
    ]
}

const CONSUMERS: [HostId; 2] = [CONSUMER, CONSUMER_2];

struct House {
    gateways: [Script<Gateway>; 2],
    log: Script<EventLog>,
    consumers: [Script<Consumer>; 2],
    registry: Script<Registry>,
    /// Under way: from, to, what.
    wires: Vec<(HostId, HostId, Wire)>,
    /// The epoch of each device's last connection.
    epochs: BTreeMap<u32, u32>,
    /// Connections that neither end has closed, and on which gateway.
    open: BTreeMap<ConnId, usize>,
    processes: u64,
    garbled: u32,
}

fn boot_gateway(at: usize) -> Gateway {
    let (timing, design) = (Arc::new(Timing::default()), Design::default());
    let host = server(at as u32 + 1);
    let directory = fleet();
    let config = gateway::Config { host, directory, timing, design, protocol: PROTOCOL_NEWEST };
    Gateway::boot(config, &Disk::default())
}

fn boot_consumer(entropy: u64) -> Consumer {
    let (timing, design) = (Arc::new(Timing::default()), Design::default());
    Consumer::boot(consumer::Config { directory: fleet(), timing, design, entropy })
}

/// What a host has done since, and what of it its disk has: all.
fn does<R: Role>(
    script: &mut Script<R>,
    what: impl FnOnce(&mut Script<R>) -> &mut Script<R>,
) -> Vec<Action> {
    let before = script.done.len();
    what(script);
    if script.done[before..].contains(&Action::Sync) {
        script.synced();
    }
    script.done[before..].to_vec()
}

impl House {
    fn new() -> Self {
        let gateway = |at: usize| Script::new(server(at as u32 + 1), boot_gateway(at)).untold();
        let consumer = |at: usize| Script::new(CONSUMERS[at], boot_consumer(at as u64)).untold();
        let registry =
            Registry::boot(registry::Config { design: Design::default() }, &Disk::default());
        let mut house = Self {
            gateways: [gateway(0), gateway(1)],
            log: Script::new(EVENT_LOG, EventLog::boot(&Disk::default())).untold(),
            consumers: [consumer(0), consumer(1)],
            registry: Script::new(REGISTRY, registry).untold(),
            wires: Vec::new(),
            epochs: BTreeMap::new(),
            open: BTreeMap::new(),
            processes: 2,
            garbled: 0,
        };
        for at in 0..2 {
            house.gateway(at, |t| t.boots());
            house.consumer(at, |t| t.boots());
        }
        house.log(|t| t.boots());
        house.registry(|t| t.boots());
        house
    }

    fn gateway(
        &mut self,
        at: usize,
        what: impl FnOnce(&mut Script<Gateway>) -> &mut Script<Gateway>,
    ) {
        let actions = does(&mut self.gateways[at], what);
        for action in &actions {
            if let Action::Close { conn } = action {
                self.open.remove(conn);
            }
        }
        self.collect(server(at as u32 + 1), actions);
    }

    fn consumer(
        &mut self,
        at: usize,
        what: impl FnOnce(&mut Script<Consumer>) -> &mut Script<Consumer>,
    ) {
        let actions = does(&mut self.consumers[at], what);
        self.collect(CONSUMERS[at], actions);
    }

    fn registry(&mut self, what: impl FnOnce(&mut Script<Registry>) -> &mut Script<Registry>) {
        let actions = does(&mut self.registry, what);
        self.collect(REGISTRY, actions);
    }

    /// Its disk is slow: it is synced by an operation of its own.
    fn log(&mut self, what: impl FnOnce(&mut Script<EventLog>) -> &mut Script<EventLog>) {
        let before = self.log.done.len();
        what(&mut self.log);
        let actions = self.log.done[before..].to_vec();
        self.collect(EVENT_LOG, actions);
    }

    fn collect(&mut self, from: HostId, actions: Vec<Action>) {
        for action in actions {
            if let Action::Send { to, wire } = action {
                self.wires.push((from, to, wire));
            }
        }
    }

    fn arrives(&mut self, from: HostId, to: HostId, wire: Wire) {
        match to {
            EVENT_LOG => self.log(|t| t.receives(from, wire)),
            REGISTRY => self.registry(|t| t.receives(from, wire)),
            CONSUMER => self.consumer(0, |t| t.receives(from, wire)),
            CONSUMER_2 => self.consumer(1, |t| t.receives(from, wire)),
            _ if to == server(1) => self.gateway(0, |t| t.receives(from, wire)),
            _ if to == server(2) => self.gateway(1, |t| t.receives(from, wire)),
            _ => {} // Presence and the database are not of this story.
        }
    }

    fn waits(&mut self, who: usize, span: Duration) {
        match who {
            0 | 1 => {
                let conns = self.open.iter().filter(|(_, on)| **on == who);
                for conn in conns.map(|(conn, _)| *conn).collect::<Vec<_>>() {
                    self.gateway(who, |t| t.arrives(conn, Frame::Heartbeat));
                }
                self.gateway(who, |t| t.pass(span));
            }
            2 | 3 => self.consumer(who - 2, |t| t.pass(span)),
            4 => self.log(|t| t.pass(span)),
            _ => self.registry(|t| t.pass(span)),
        }
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Connects { user, on } => {
                let epoch = self.epochs.entry(*user).or_default();
                *epoch += 1;
                let (conn, epoch) = (conn(*user, *epoch), *epoch);
                let protocol = PROTOCOL_NEWEST;
                self.open.insert(conn, *on);
                self.gateway(*on, |t| {
                    t.opened(conn).arrives(conn, Frame::Hello { device: u(*user), epoch, protocol })
                });
            }
            Op::Leaves { user } => {
                let conn = conn(*user, self.epochs.get(user).copied().unwrap_or(0));
                if let Some(on) = self.open.remove(&conn) {
                    self.gateway(on, |t| t.closed(conn, CloseCause::Fin));
                }
            }
            Op::Arrives { which, again } => {
                if let Some((from, to, wire)) = pick(&mut self.wires, which, *again) {
                    self.arrives(from, to, wire);
                }
            }
            Op::Lost { which } => drop(pick(&mut self.wires, which, false)),
            Op::LogSyncs => self.log(|t| t.synced()),
            Op::GatewaysAreAnswered => self.gateways_are_answered(),
            Op::Waits { who, seconds } => self.waits(*who, Duration::from_secs(*seconds)),
            Op::ConsumerCrashes(at) => {
                let process = self.processes;
                self.processes += 1;
                self.consumer(*at, |t| t.reboot(|_| boot_consumer(process)));
            }
            Op::LogCrashes => self.log(|t| t.reboot(EventLog::boot)),
            Op::LogFailsOver { lacks } => {
                self.log(|t| t.fails_over(*lacks, EventLog::boot));
            }
            Op::OffsetsAreForgotten => self.log(|t| t.commanded(Command::ForgetOffsets)),
            Op::SomebodyGarbles => {
                self.garbled += 1;
                self.log(|t| t.commanded(Command::Garble));
            }
        }
    }

    fn gateways_are_answered(&mut self) {
        let gateways = [server(1), server(2)];
        for _ in 0..50 {
            let theirs = |(from, to, _): &(HostId, HostId, Wire)| {
                (gateways.contains(from) && *to == EVENT_LOG)
                    || (gateways.contains(to) && *from == EVENT_LOG)
            };
            let Some(at) = self.wires.iter().position(theirs) else { return };
            let (from, to, wire) = self.wires.remove(at);
            self.arrives(from, to, wire);
            self.step(&Op::LogSyncs);
        }
    }

    /// Nothing goes wrong any more for a second, at all hosts.
    fn a_good_second(&mut self) {
        (0..6).for_each(|who| self.waits(who, Duration::from_secs(1)));
        // Some seconds' worth of questions and answers; what is left goes on in the next.
        for _ in 0..500 {
            if self.wires.is_empty() {
                return;
            }
            let (from, to, wire) = self.wires.remove(0);
            self.arrives(from, to, wire);
            self.step(&Op::LogSyncs);
        }
    }

    fn row(&mut self, user: u32) -> Option<Session> {
        let conversation = pair(1, 2);
        self.registry.receives(app(1), Wire::Locate { device: u(user), conversation });
        self.registry.last.iter().find_map(|action| match action {
            Action::Send { wire: Wire::Located { session, .. }, .. } => *session,
            _ => None,
        })
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whoever_is_connected_has_its_row_whatever_the_log_has_lost(
        ops in prop::collection::vec(op(), 0..150)
    ) {
        let mut house = House::new();
        for op in &ops {
            house.step(op);
        }
        // A record that nobody can read holds its partition up for some tries.
        let patience = RETRY_STORE * RECORD_TRIES_MAX * house.garbled;
        for _ in 0..(ROUTABLE_WITHIN + patience).as_secs() {
            house.a_good_second();
        }
        for (user, epoch) in house.epochs.clone() {
            if let Some(on) = house.open.get(&conn(user, epoch)).copied() {
                prop_assert_eq!(house.row(user), Some(session(user, epoch, on as u32 + 1)));
            }
        }
    }
}
