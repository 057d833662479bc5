//! The cleaner: acts on more than one observer's word, and only after long enough.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::cleaner::{Cleaner, Config};
use courier::design::{self, Design};
use courier::id::{HostId, Incarnation};
use courier::timing::Timing;
use courier::wire::Wire;
use std::sync::Arc;
use std::time::Duration;

fn fresh() -> Script<Cleaner> {
    designed(Default::default())
}

fn designed(cleaner: design::Cleaner) -> Script<Cleaner> {
    let design = Design { cleaner, ..Design::default() };
    let config = Config { directory: fleet(), timing: Arc::new(Timing::default()), design };
    Script::new(CLEANER, Cleaner::boot(config)).without(&["Judge"])
}

/// A cleaner that has been up for a day.
fn cleaner() -> Script<Cleaner> {
    let mut t = fresh().after(Duration::from_secs(86_400));
    t.unseen(|t| {
        t.boots();
    });
    t
}

const SECOND: Duration = Duration::from_secs(1);

fn suspect(seconds: u64) -> Wire {
    let (gateway, incarnation) = (server(3), Incarnation(1));
    Wire::Suspect { gateway, incarnation, silent_for: Duration::from_secs(seconds) }
}

/// Second after second, these monitors say how long they have not heard of server-3.
fn watch(t: &mut Script<Cleaner>, observers: &[HostId], silence: std::ops::Range<u64>) {
    t.unseen(|t| {
        for seconds in silence {
            t.pass(SECOND);
            for observer in observers {
                t.receives(*observer, suspect(seconds));
            }
        }
    });
}

fn swept() -> Wire {
    Wire::Swept { gateway: server(3), upto: Incarnation(1), rows: 40 }
}

#[test]
fn one_observer_is_not_enough() {
    let mut t = cleaner();
    watch(&mut t, &[monitor(1)], 5..120);
    t.beat("after two minutes of one monitor's word").pass(SECOND);
    assert!(t.done.iter().all(|action| matches!(action, courier::node::Action::SetTimer { .. })));
    t.beat("a second one has just lost sight of it: not for long enough");
    t.receives(monitor(1), suspect(121)).receives(monitor(2), suspect(5)).pass(SECOND);
    golden!(t);
}

#[test]
fn two_observers_are_enough_once_both_have_seen_it_silent_for_45_s() {
    let mut t = cleaner();
    watch(&mut t, &[monitor(1), monitor(2)], 5..44);
    t.receives(monitor(1), suspect(44)).receives(monitor(2), suspect(43)).pass(SECOND);
    t.receives(monitor(1), suspect(45)).receives(monitor(2), suspect(44)).pass(SECOND);
    t.receives(REGISTRY, swept());
    t.beat("said once more, nothing is judged twice");
    t.receives(monitor(1), suspect(46)).receives(monitor(2), suspect(45)).pass(SECOND);
    golden!(t);
}

#[test]
fn a_sweep_is_asked_for_until_it_is_answered() {
    let mut t = cleaner();
    watch(&mut t, &[monitor(1), monitor(2)], 45..46);
    t.pass(4 * SECOND).receives(REGISTRY, swept());
    t.receives(REGISTRY, swept()).pass(SECOND);
    golden!(t);
}

#[test]
fn a_server_that_is_seen_again_is_told_until_it_has_stepped_down() {
    let mut t = cleaner();
    watch(&mut t, &[monitor(1), monitor(2)], 45..46);
    t.unseen(|t| {
        t.pass(SECOND).receives(REGISTRY, swept());
    });
    t.beat("declared dead and swept; nobody suspects it any more");
    t.pass(5 * SECOND);
    t.receives(server(3), Wire::SteppedDown { incarnation: Incarnation(1) }).pass(5 * SECOND);
    golden!(t);
}

#[test]
fn who_never_met_the_latest_incarnation_has_seen_silence_too() {
    let mut t = cleaner();
    let later = Wire::Suspect {
        gateway: server(3),
        incarnation: Incarnation(2),
        silent_for: Duration::from_secs(60),
    };
    t.receives(monitor(1), suspect(60)).receives(monitor(2), later.clone()).pass(SECOND);
    t.receives(monitor(1), later).pass(SECOND);
    golden!(t);
}

/// The textbook's: scheduled at the death, whatever happens in between.
#[test]
fn by_server_name_one_observer_schedules_the_deletion() {
    let mut t = designed(design::Cleaner::ByServerName);
    t.boots().receives(monitor(1), suspect(5));
    t.beat("it is back, and nobody suspects it").pass(39 * SECOND).pass(SECOND);
    t.beat("not answered").pass(2 * SECOND).receives(REGISTRY, swept());
    t.beat("suspected on, it is not deleted again").receives(monitor(1), suspect(48)).pass(SECOND);
    t.beat("dead once more").pass(60 * SECOND).receives(monitor(2), suspect(5)).pass(40 * SECOND);
    golden!(t);
}

#[test]
fn by_user_whoever_was_there_at_the_death_is_deleted() {
    let mut t = designed(design::Cleaner::ByUser);
    t.boots().receives(monitor(1), suspect(5)).pass(2 * SECOND);
    t.receives(REGISTRY, Wire::UsersOn { gateway: server(3), users: vec![u(2).user] });
    t.beat("she has moved meanwhile; nobody looks").pass(38 * SECOND);
    t.receives(REGISTRY, swept());
    golden!(t);
}

/// Its own uptime says nothing about how long others have been watching.
#[test]
fn a_cleaner_that_has_just_been_switched_on_believes_what_it_is_told() {
    let mut t = fresh();
    t.boots().receives(monitor(1), suspect(60)).receives(monitor(2), suspect(60)).pass(SECOND);
    let sweep = Wire::Sweep { gateway: server(3), upto: Incarnation(1) };
    assert!(t.sent(&sweep), "{}", t.trace());
}
