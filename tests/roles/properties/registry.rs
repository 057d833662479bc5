//! The registry under session events in any order, any number of times.

use crate::cast::*;
use crate::properties::config;
use crate::script::Script;
use courier::design::Design;
use courier::disk::Disk;
use courier::id::Session;
use courier::limits::TAKEOVER_LIMIT;
use courier::node::Action;
use courier::note::Note;
use courier::registry::{Config, Registry};
use courier::wire::{Displacement, SessionEvent, Wire};
use proptest::prelude::*;
use std::collections::BTreeSet;

const EPOCHS: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Opened(u32),
    Closed(u32),
    Evicted(u32),
    /// The gateway of the first says that it has been closed for the second.
    Confirmed(u32, u32),
    /// Half of a takeover's limit.
    Waits,
    /// A crash after everything was synced: the rows come back from the records.
    Rebooted,
}

fn ops(evictions: u32) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (1..=EPOCHS).prop_map(Op::Opened),
        3 => (1..=EPOCHS).prop_map(Op::Closed),
        evictions => (1..=EPOCHS).prop_map(Op::Evicted),
        2 => (1..EPOCHS, 1..=EPOCHS).prop_map(|(loser, winner)| Op::Confirmed(loser, winner)),
        1 => Just(Op::Waits),
        1 => Just(Op::Rebooted),
    ];
    prop::collection::vec(op, 0..40)
}

/// Each epoch is on a server of its own choice, always the same.
fn of(epoch: u32) -> Session {
    session(2, epoch, 1 + epoch % 3)
}

fn registry() -> Script<Registry> {
    let config = Config { design: Design::default() };
    Script::new(REGISTRY, Registry::boot(config, &Disk::default())).untold()
}

fn apply(t: &mut Script<Registry>, op: Op) {
    let event = match op {
        Op::Opened(epoch) => SessionEvent::Opened(of(epoch)),
        Op::Closed(epoch) => SessionEvent::Closed(of(epoch)),
        Op::Evicted(epoch) => {
            t.receives(app(1), Wire::Evict { session: of(epoch) });
            return;
        }
        Op::Confirmed(loser, winner) => {
            let displacement = Displacement { loser: of(loser), winner };
            t.receives(CONSUMER, Wire::Displaced(displacement));
            return;
        }
        Op::Waits => {
            t.pass(TAKEOVER_LIMIT / 2);
            return;
        }
        Op::Rebooted => {
            t.synced().reboot(|disk| Registry::boot(Config { design: Design::default() }, disk));
            return;
        }
    };
    t.receives(CONSUMER, Wire::Apply { partition: 0, next: place(1), events: vec![event] });
}

fn located(t: &mut Script<Registry>) -> Option<u32> {
    t.receives(app(1), Wire::Locate { device: u(2), conversation: pair(1, 2) });
    let [Action::Send { wire: Wire::Located { session, .. }, .. }] = &t.last[..] else {
        panic!("a question has an answer")
    };
    session.map(|session| session.epoch)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_epoch_of_a_device_never_goes_back(ops in ops(2)) {
        let mut t = registry();
        let mut highest = 0;
        for op in ops {
            apply(&mut t, op);
            if let Some(epoch) = located(&mut t) {
                prop_assert!(epoch >= highest, "from e{highest} back to e{epoch}");
                highest = epoch;
            }
        }
    }

    /// The newest connection that anybody spoke of is routable as long as it lives, and one that
    /// has closed never is again.
    #[test]
    fn the_newest_connection_is_routable_exactly_until_it_closes(ops in ops(1)) {
        let mut t = registry();
        let mut newest = 0;
        let (mut opened, mut closed) = (BTreeSet::new(), BTreeSet::new());
        let mut evicted = false;
        for op in ops {
            apply(&mut t, op);
            match op {
                Op::Opened(epoch) => {
                    opened.insert(epoch);
                    evicted &= epoch < newest;
                    newest = newest.max(epoch);
                }
                Op::Closed(epoch) => {
                    closed.insert(epoch);
                    newest = newest.max(epoch);
                }
                Op::Evicted(epoch) => evicted |= epoch == newest,
                Op::Confirmed(..) | Op::Waits | Op::Rebooted => {}
            }
            let located = located(&mut t);
            if opened.contains(&newest) && !closed.contains(&newest) && !evicted {
                prop_assert_eq!(located, Some(newest), "after {:?}", op);
            }
            if let Some(epoch) = located {
                prop_assert!(!closed.contains(&epoch), "e{epoch} has closed; after {op:?}");
            }
        }
    }

    /// Each takeover that begins is committed once, in time, and for a newer connection. Only a
    /// crash makes the registry forget one.
    #[test]
    fn every_takeover_that_begins_is_committed_once(ops in ops(1)) {
        let mut t = registry();
        let mut pending = BTreeSet::new();
        for op in ops.into_iter().chain([Op::Waits, Op::Waits]) {
            if op == Op::Rebooted {
                pending.clear();
            }
            let before = t.done.len();
            apply(&mut t, op);
            for action in &t.done[before..] {
                match *action {
                    Action::Note(Note::TakeoverBegun { loser, winner }) => {
                        prop_assert!(loser.epoch < winner, "{loser} lost to e{winner}");
                        prop_assert!(pending.insert((loser, winner)), "begun twice");
                    }
                    Action::Note(Note::TakeoverCommitted { loser, winner, .. }) => {
                        prop_assert!(pending.remove(&(loser, winner)), "committed out of nothing");
                    }
                    _ => {}
                }
            }
        }
        prop_assert!(pending.is_empty(), "never committed: {pending:?}");
    }
}
