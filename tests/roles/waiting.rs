//! How long one waits, and what one takes for alive or delivered: the alternatives of the choices
//! `retry`, `dead-peer` and `settle`, at the roles that make them.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::client::{self, Client};
use courier::design::{DeadPeer, Design, Retry, Settle};
use courier::disk::Disk;
use courier::frame::{Frame, PROTOCOL_NEWEST};
use courier::gateway::{self, Gateway};
use courier::id::Incarnation;
use courier::limits::{RECONNECT_BASE, RECONNECT_CAP};
use courier::node::{Action, CloseCause, Timer};
use courier::timing::Timing;
use courier::wire::{OfferOutcome, Wire};
use std::sync::Arc;
use std::time::Duration;

/// A device with this design and entropy, on its way.
fn device(design: Design, entropy: u64) -> Script<Client> {
    let (host, device, timing) = (phone(2), u(2), Arc::new(Timing::default()));
    let directory = fleet();
    let config = client::Config {
        host,
        device,
        entropy,
        directory,
        timing,
        design,
        protocol: PROTOCOL_NEWEST,
    };
    let mut t = Script::new(phone(2), Client::boot(config, &Disk::default()));
    t.unseen(|t| {
        t.boots();
    });
    t
}

fn connect(t: &mut Script<Client>, epoch: u32) {
    t.synced().receives(BALANCER, Wire::Placed { epoch, gateway: Some(server(1)) });
    t.opened(conn(2, epoch));
    t.arrives(
        conn(2, epoch),
        Frame::Welcome { epoch, incarnation: Incarnation(1), protocol: PROTOCOL_NEWEST },
    );
}

/// The waits of a device that loses its connection and then finds no balancer, again and again.
fn waits(retry: Retry, entropy: u64, attempts: u32) -> Vec<Duration> {
    let mut t = device(Design { retry, ..Design::default() }, entropy).untold();
    connect(&mut t, 1);
    t.closed(conn(2, 1), CloseCause::Reset);
    let mut waits = Vec::new();
    for epoch in 2..2 + attempts {
        let set = t.last.iter().find_map(|action| match action {
            Action::SetTimer { timer: Timer::Reconnect, after } => Some(*after),
            _ => None,
        });
        waits.push(set.expect("a device tries again"));
        t.fires(Timer::Reconnect).synced();
        t.refused(BALANCER, Wire::Place { device: u(2), epoch });
    }
    waits
}

#[test]
fn each_alternative_waits_in_its_own_way() {
    let doubling: Vec<Duration> =
        (0..7).map(|n| (RECONNECT_BASE * 2u32.pow(n)).min(RECONNECT_CAP)).collect();
    assert_eq!(waits(Retry::Immediate, 7, 7), [Duration::ZERO; 7]);
    assert_eq!(waits(Retry::Fixed, 7, 7), [RECONNECT_BASE; 7]);
    assert_eq!(waits(Retry::BackoffNoJitter, 7, 7), doubling);
    for retry in [Retry::BackoffFullJitter, Retry::BreakerNeverCloses] {
        let drawn = waits(retry, 7, 7);
        assert!(drawn.iter().zip(&doubling).all(|(wait, most)| wait <= most), "{drawn:?}");
    }
}

/// Two devices that were on the same server know nothing of each other.
#[test]
fn only_jitter_keeps_devices_apart() {
    for retry in [Retry::Immediate, Retry::Fixed, Retry::BackoffNoJitter] {
        assert_eq!(waits(retry, 7, 5), waits(retry, 8, 5), "{retry:?}");
    }
    let (one, other) = (waits(Retry::default(), 7, 5), waits(Retry::default(), 8, 5));
    assert!(one.iter().zip(&other).all(|(one, other)| one != other), "{one:?} {other:?}");
}

#[test]
fn a_device_that_trusts_tcp_never_beats() {
    let mut t = device(Design { dead_peer: DeadPeer::TcpOnly, ..Design::default() }, 7);
    connect(&mut t, 1);
    t.beat("a day on a connection that died in the first minute").pass(Duration::from_secs(86_400));
    t.beat("only its own kernel ends it").closed(conn(2, 1), CloseCause::TimedOut);
    golden!(t);
}

fn server_with(design: Design) -> Script<Gateway> {
    let timing = Arc::new(Timing::default());
    let config = gateway::Config {
        host: server(1),
        directory: fleet(),
        timing,
        design,
        protocol: PROTOCOL_NEWEST,
    };
    let mut t = Script::new(server(1), Gateway::boot(config, &Disk::default()));
    t.unseen(|t| {
        t.boots().synced();
        t.opened(conn(2, 1)).arrives(
            conn(2, 1),
            Frame::Hello { device: u(2), epoch: 1, protocol: PROTOCOL_NEWEST },
        );
    });
    t
}

#[test]
fn a_gateway_that_trusts_tcp_vouches_for_whoever_has_a_socket() {
    let design = Design { dead_peer: DeadPeer::TcpOnly, ..Design::default() };
    let mut t = server_with(design).without(&["Publish", "Republish", "Announce", "Heads"]);
    t.unseen(|t| {
        t.pass(Timing::default().silence);
    });
    t.beat("long silent, and still held for there").pass(Duration::from_secs(20));
    golden!(t);
}

#[test]
fn a_gateway_that_settles_by_writing_speaks_for_its_device() {
    let mut t = server_with(Design { settle: Settle::GatewayAccepted, ..Design::default() });
    let (session, conversation) = (session(2, 1, 1), pair(1, 2));
    let offer = Wire::Offer { session, conversation, term: term(1), batch: batch(1..=2) };
    t.receives(app(1), offer);
    t.beat("the device's own word finds nobody who waits for it");
    t.arrives(conn(2, 1), Frame::Ack { conversation, upto: stamp(2) });
    golden!(t);
    let outcome = OfferOutcome::Acknowledged(stamp(2));
    let answer = Wire::Offered { session, conversation, term: term(1), outcome };
    assert!(t.done.iter().any(|a| matches!(a, Action::Send { wire, .. } if *wire == answer)));
}
