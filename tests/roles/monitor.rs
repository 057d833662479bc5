//! A monitor: says what it sees, and decides nothing.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::disk::Disk;
use courier::id::Incarnation;
use courier::monitor::{Config, Monitor};
use courier::timing::Timing;
use courier::wire::Wire;
use std::sync::Arc;
use std::time::Duration;

/// Gateways are probed this often, and suspected after five probes without an answer.
const PROBE: Duration = Duration::from_secs(1);
const SUSPECT_AFTER: Duration = Duration::from_secs(5);

fn monitor_1() -> Script<Monitor> {
    let timing = Arc::new(Timing::default());
    Script::new(monitor(1), Monitor::boot(Config { directory: fleet(), timing }, &Disk::default()))
}

fn pong(incarnation: u32) -> Wire {
    Wire::Pong { nonce: 1, incarnation: Incarnation(incarnation), connections: 9, draining: false }
}

#[test]
fn every_server_is_probed_every_second() {
    let mut t = monitor_1();
    t.boots().receives(server(1), pong(1)).pass(PROBE);
    golden!(t);
}

#[test]
fn a_server_that_is_silent_for_long_enough_is_suspected_every_second() {
    let mut t = monitor_1().without(&["Ping", "Probe"]);
    t.boots().receives(server(1), pong(1));
    t.beat("server-2 has never answered: nobody knows its incarnation");
    t.pass(SUSPECT_AFTER + Duration::from_secs(1));
    t.beat("it is back").receives(server(1), pong(1)).pass(SUSPECT_AFTER - PROBE);
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
fn a_monitor_that_boots_after_a_servers_death_misses_it_too() {
    let mut t = monitor_1().without(&["Ping", "Probe"]);
    t.boots().receives(server(1), pong(2)).synced();
    t.beat("while it is down, server-1 dies");
    t.reboot(|disk| {
        Monitor::boot(Config { directory: fleet(), timing: Arc::new(Timing::default()) }, disk)
    });
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
