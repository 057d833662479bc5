//! The balancer: whom it holds for healthy, and whom it chooses.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::balancer::{Balance, Balancer, Config};
use courier::directory::Directory;
use courier::id::{Incarnation, UserId};
use courier::node::Action;
use courier::timing::Timing;
use courier::wire::Wire;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Gateways are probed this often.
const PROBE: Duration = Duration::from_secs(1);

fn balancer(balance: Balance, directory: Directory) -> Script<Balancer> {
    let (directory, timing) = (Arc::new(directory), Arc::new(Timing::default()));
    Script::new(BALANCER, Balancer::boot(Config { directory, timing, balance }))
}

fn pong(connections: u32) -> Wire {
    Wire::Pong { nonce: 1, incarnation: Incarnation(1), connections, draining: false }
}

fn place(t: &mut Script<Balancer>, user: u32) {
    t.receives(phone(user), Wire::Place { device: u(user), epoch: 1 });
}

#[test]
fn nobody_is_healthy_before_it_has_answered() {
    let mut t = balancer(Balance::LeastConnections, directory());
    t.boots();
    place(&mut t, 1);
    t.receives(server(2), pong(0));
    place(&mut t, 1);
    golden!(t);
}

#[test]
fn a_lost_probe_is_weather_and_the_third_is_not() {
    let mut t = balancer(Balance::LeastConnections, directory()).without(&["Ping"]);
    t.unseen(|t| {
        t.boots();
    });
    t.receives(server(1), pong(0));
    t.beat("server-1 falls silent");
    t.pass(PROBE).pass(PROBE).pass(PROBE);
    place(&mut t, 1);
    t.beat("and is back").receives(server(1), pong(0));
    golden!(t);
}

#[test]
fn a_refused_probe_takes_a_server_out_at_once() {
    let mut t = balancer(Balance::LeastConnections, directory()).without(&["Ping"]);
    t.boots().receives(server(1), pong(0));
    t.refused(server(1), Wire::Ping { nonce: 1 });
    place(&mut t, 1);
    golden!(t);
}

#[test]
fn least_connections_counts_those_it_has_just_sent_there() {
    let mut t = balancer(Balance::LeastConnections, directory()).without(&["Ping", "Health"]);
    t.boots();
    t.receives(server(1), pong(5)).receives(server(2), pong(3)).receives(server(3), pong(9));
    (1..=4).for_each(|user| place(&mut t, user));
    golden!(t);
}

#[test]
fn round_robin_takes_turns_among_the_healthy() {
    let mut t = balancer(Balance::RoundRobin, directory()).without(&["Ping", "Health"]);
    t.boots().receives(server(1), pong(5)).receives(server(3), pong(0));
    (1..=4).for_each(|user| place(&mut t, user));
    golden!(t);
}

#[test]
fn affinity_goes_first_while_its_server_is_healthy() {
    let affinity = BTreeMap::from([(UserId(1), vec![server(3), server(2)])]);
    let mut t = balancer(Balance::LeastConnections, Directory { affinity, ..directory() })
        .without(&["Ping"]);
    t.boots();
    t.receives(server(1), pong(0)).receives(server(2), pong(7)).receives(server(3), pong(9));
    place(&mut t, 1);
    t.refused(server(3), Wire::Ping { nonce: 1 });
    place(&mut t, 1);
    t.refused(server(2), Wire::Ping { nonce: 1 });
    place(&mut t, 1);
    golden!(t);
}

fn leaving(connections: u32) -> Wire {
    Wire::Pong { nonce: 0, incarnation: Incarnation(1), connections, draining: true }
}

#[test]
fn a_server_that_says_it_is_draining_gets_nobody_until_its_next_incarnation() {
    let mut t = balancer(Balance::LeastConnections, directory()).without(&["Ping"]);
    t.boots().receives(server(1), pong(0)).receives(server(2), pong(9));
    t.beat("said unasked").receives(server(1), leaving(0));
    place(&mut t, 1);
    t.beat("an answer from before was overtaken").receives(server(1), pong(0));
    place(&mut t, 2);
    t.beat("restarted");
    let incarnation = Incarnation(2);
    let again = Wire::Pong { nonce: 2, incarnation, connections: 0, draining: false };
    t.receives(server(1), again);
    place(&mut t, 3);
    golden!(t);
}

#[test]
fn with_session_affinity_a_device_returns_to_where_it_was() {
    let mut t = balancer(Balance::SessionAffinity, directory()).without(&["Ping", "Health"]);
    t.boots().receives(server(1), pong(0)).receives(server(2), pong(3));
    place(&mut t, 1);
    t.beat("server-1 has the most now").receives(server(1), pong(90));
    place(&mut t, 1);
    place(&mut t, 2);
    t.beat("server-1 goes, and comes back").receives(server(1), leaving(90));
    place(&mut t, 1);
    let incarnation = Incarnation(2);
    let again = Wire::Pong { nonce: 2, incarnation, connections: 0, draining: false };
    t.receives(server(1), again);
    place(&mut t, 1);
    golden!(t);
}

#[test]
fn consistent_hashing_sends_a_device_to_its_place_and_past_a_server_that_has_too_much() {
    let mut t = balancer(Balance::ConsistentHashing, directory()).without(&["Ping", "Health"]);
    t.boots();
    (1..=3).for_each(|number| {
        t.receives(server(number), pong(10));
    });
    place(&mut t, 1);
    place(&mut t, 1);
    t.beat("every server but one is nearly empty");
    let placed = t.last.iter().find_map(|action| match action {
        Action::Send { wire: Wire::Placed { gateway, .. }, .. } => *gateway,
        _ => None,
    });
    for number in 1..=3 {
        let full = placed == Some(server(number));
        t.receives(server(number), pong(if full { 50 } else { 1 }));
    }
    place(&mut t, 1);
    golden!(t);
}
