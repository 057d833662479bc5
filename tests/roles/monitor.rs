//! A monitor: says what it sees, and decides nothing.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::id::Incarnation;
use courier::limits::{PROBE_EVERY, SUSPECT_AFTER};
use courier::monitor::{Config, Monitor};
use courier::wire::Wire;
use std::time::Duration;

fn monitor_1() -> Script<Monitor> {
    Script::new(monitor(1), Monitor::boot(Config { directory: fleet() }))
}

fn pong(incarnation: u32) -> Wire {
    Wire::Pong { nonce: 1, incarnation: Incarnation(incarnation), connections: 9 }
}

#[test]
fn every_server_is_probed_every_second() {
    let mut t = monitor_1();
    t.boots().receives(server(1), pong(1)).pass(PROBE_EVERY);
    golden!(t);
}

#[test]
fn a_server_that_is_silent_for_long_enough_is_suspected_every_second() {
    let mut t = monitor_1().without(&["Ping", "Probe"]);
    t.boots().receives(server(1), pong(1));
    t.beat("server-2 has never answered: nobody knows its incarnation");
    t.pass(SUSPECT_AFTER + Duration::from_secs(1));
    t.beat("it is back").receives(server(1), pong(1)).pass(SUSPECT_AFTER - PROBE_EVERY);
    golden!(t);
}

#[test]
fn the_incarnation_that_answered_last_is_the_one_suspected() {
    let mut t = monitor_1().without(&["Ping", "Probe"]);
    t.boots().receives(server(1), pong(1)).receives(server(1), pong(2));
    t.beat("an answer that was overtaken by its successor's").receives(server(1), pong(1));
    t.pass(SUSPECT_AFTER);
    golden!(t);
}

#[test]
fn a_refused_probe_is_silence_too() {
    let mut t = monitor_1().without(&["Ping", "Probe"]);
    t.boots().receives(server(1), pong(1));
    t.refused(server(1), Wire::Ping { nonce: 1 }).pass(SUSPECT_AFTER);
    golden!(t);
}
