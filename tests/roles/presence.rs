//! Presence: times since the last heartbeat, and nothing else.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::design::Design;
use courier::node::Action;
use courier::note::{Note, Status};
use courier::presence::{Config, Presence};
use courier::timing::Timing;
use courier::wire::Wire;
use std::sync::Arc;
use std::time::Duration;

fn presence() -> Script<Presence> {
    let timing = Arc::new(Timing::default());
    let mut t = Script::new(PRESENCE, Presence::boot(Config { timing, design: Design::default() }))
        .without(&["Sweep"]);
    t.unseen(|t| {
        t.boots();
    });
    t
}

fn seen() -> Wire {
    Wire::Seen { devices: vec![u(2)] }
}

#[test]
fn a_silent_user_is_away_and_then_offline() {
    let mut t = presence();
    t.receives(server(1), seen());
    t.pass(Duration::from_secs(74));
    t.pass(Duration::from_secs(225));
    t.pass(Duration::from_secs(1));
    t.beat("and online again with the first heartbeat").receives(server(2), seen());
    golden!(t);
}

#[test]
fn a_user_whose_heartbeats_flow_never_leaves_online() {
    let mut t = presence();
    t.receives(server(1), seen());
    t.unseen(|t| {
        for _ in 0..20 {
            t.pass(Duration::from_secs(30)).receives(server(1), seen());
            assert!(t.last.is_empty());
        }
        // One lost heartbeat, late by the slack.
        t.pass(Duration::from_secs(74)).receives(server(1), seen());
    });
    let notes = t.done.iter().filter(|action| matches!(action, Action::Note(_))).count();
    assert_eq!(notes, 1, "online, once");
}

#[test]
fn a_user_is_seen_when_any_of_its_devices_is() {
    let mut t = presence();
    let second = courier::id::DeviceId { slot: 1, ..u(2) };
    t.receives(server(1), seen()).pass(Duration::from_secs(60));
    t.receives(server(2), Wire::Seen { devices: vec![second, u(3)] });
    t.pass(Duration::from_secs(60));
    golden!(t);
}

/// One person's distant deadline must not stand in for another's near one.
#[test]
fn somebody_who_is_away_does_not_keep_the_others_online() {
    let mut t = presence();
    t.receives(server(1), seen()).pass(Duration::from_secs(76));
    t.receives(server(1), Wire::Seen { devices: vec![u(3)] }).pass(Duration::from_secs(77));
    let away = Note::PresenceChanged { user: u(3).user, status: Status::Away };
    assert!(t.done.contains(&Action::Note(away)), "{}", t.trace());
}
