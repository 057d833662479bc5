//! Presence: times since the last heartbeat of each device, and who is told of changes.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::design::{Design, Online};
use courier::disk::Disk;
use courier::id::{DeviceId, Session, UserId};
use courier::node::Action;
use courier::note::{Note, Status};
use courier::presence::{Config, Presence};
use courier::timing::Timing;
use courier::wire::{Version, Wire};
use std::sync::Arc;
use std::time::Duration;

fn boot(disk: &Disk) -> Presence {
    let timing = Arc::new(Timing::default());
    Presence::boot(Config { timing, design: Design::default() }, disk)
}

fn presence() -> Script<Presence> {
    let mut t = Script::new(PRESENCE, boot(&Disk::default())).without(&["Sweep"]);
    t.unseen(|t| {
        t.boots().synced();
    });
    t
}

/// Heartbeats on these connections.
fn beats(sessions: &[Session]) -> Wire {
    Wire::Seen { sessions: sessions.to_vec(), ended: Vec::new() }
}

/// These were closed in order by their devices.
fn ends(sessions: &[Session]) -> Wire {
    Wire::Seen { sessions: Vec::new(), ended: sessions.to_vec() }
}

fn seen() -> Wire {
    beats(&[session(2, 1, 1)])
}

/// A gateway watches users 2 and 3, of whom it knows nothing.
fn watch() -> Wire {
    Wire::Watch { users: vec![(UserId(2), Version::default()), (UserId(3), Version::default())] }
}

fn changes(t: &Script<Presence>) -> Vec<Status> {
    let changes = t.done.iter().filter_map(|action| match action {
        Action::Note(Note::PresenceChanged { status, .. }) => Some(*status),
        _ => None,
    });
    changes.collect()
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
    assert_eq!(changes(&t), [Status::Online]);
}

/// The literature's: online is seen less than 30 s ago, and the heartbeat comes every 30 s.
#[test]
fn taken_literally_a_healthy_user_flaps() {
    let timing = Arc::new(Timing::default());
    let design = Design { presence: Online::Literal, ..Design::default() };
    let mut t = Script::new(PRESENCE, Presence::boot(Config { timing, design }, &Disk::default()));
    t.boots().synced();
    for _ in 0..4 {
        t.receives(server(1), seen()).pass(Duration::from_millis(30_100));
    }
    let [online, away] = [Status::Online, Status::Away];
    assert_eq!(changes(&t), [online, away, online, away, online, away, online, away]);
}

#[test]
fn a_user_is_what_the_best_of_its_devices_is() {
    let mut t = presence();
    let second = Session { device: DeviceId { slot: 1, ..u(2) }, ..session(2, 1, 2) };
    t.receives(server(1), seen()).pass(Duration::from_secs(60));
    t.receives(server(2), beats(&[second, session(3, 1, 2)]));
    t.pass(Duration::from_secs(60));
    t.beat("the second device is switched off: the first is away, and so are they");
    t.receives(server(2), ends(&[second]));
    t.pass(Duration::from_secs(20));
    golden!(t);
}

/// One person's distant deadline must not stand in for another's near one.
#[test]
fn somebody_who_is_away_does_not_keep_the_others_online() {
    let mut t = presence();
    t.receives(server(1), seen()).pass(Duration::from_secs(76));
    t.receives(server(1), beats(&[session(3, 1, 1)])).pass(Duration::from_secs(77));
    let away = Note::PresenceChanged { user: u(3).user, status: Status::Away };
    assert!(t.done.contains(&Action::Note(away)), "{}", t.trace());
}

#[test]
fn who_leaves_in_order_is_gone_after_a_while_and_back_at_once() {
    let mut t = presence();
    t.receives(server(1), beats(&[session(2, 4, 1)]));
    t.receives(server(1), ends(&[session(2, 4, 1)]));
    t.pass(Duration::from_secs(14));
    t.pass(Duration::from_secs(2));
    t.receives(server(2), beats(&[session(2, 5, 2)]));
    golden!(t);
}

/// A drained server asks its devices to go elsewhere: they close in order, and are back.
#[test]
fn who_comes_back_within_a_while_has_never_left() {
    let mut t = presence();
    t.receives(server(1), beats(&[session(2, 4, 1)]));
    t.receives(server(1), ends(&[session(2, 4, 1)]));
    t.pass(Duration::from_secs(10)).receives(server(2), beats(&[session(2, 5, 2)]));
    t.pass(Duration::from_secs(60));
    assert_eq!(changes(&t), [Status::Online]);
}

#[test]
fn late_news_of_an_earlier_connection_say_nothing() {
    let mut t = presence();
    t.receives(server(2), beats(&[session(2, 5, 2)]));
    t.beat("the end of the one before makes nobody leave");
    t.receives(server(1), ends(&[session(2, 4, 1)])).pass(Duration::from_secs(20));
    t.beat("nor do its heartbeats keep somebody here who has left");
    t.receives(server(2), ends(&[session(2, 5, 2)]));
    t.receives(server(1), beats(&[session(2, 4, 1)]))
        .receives(server(2), beats(&[session(2, 5, 2)]));
    t.pass(Duration::from_secs(20));
    golden!(t);
}

#[test]
fn a_gateway_that_watches_is_told_at_once_and_then_in_batches() {
    let mut t = presence();
    t.receives(server(1), seen()).receives(server(3), watch());
    t.pass(Duration::from_secs(75));
    t.beat("nobody asks any more: nobody is told");
    t.pass(Duration::from_secs(226));
    t.beat("only the last of several changes is told").receives(server(3), watch());
    t.receives(server(1), beats(&[session(2, 2, 1), session(3, 1, 1)]));
    t.pass(Duration::from_secs(1));
    golden!(t);
}

#[test]
fn a_gateway_is_not_told_again_what_it_knows() {
    let mut t = presence();
    t.receives(server(1), seen());
    let known = |change| Wire::Watch { users: vec![(UserId(2), Version { boot: 1, change })] };
    t.receives(server(3), known(0));
    assert_eq!(t.last.len(), 1, "{}", t.trace());
    t.receives(server(3), known(1));
    assert_eq!(t.last, []);
}

#[test]
fn after_a_restart_nobody_is_said_to_be_gone_before_they_could_have_been_heard() {
    let mut t = presence();
    t.receives(server(1), beats(&[session(2, 1, 1), session(3, 1, 1)]));
    t.reboot(boot);
    t.beat("its boot number is not durable yet, so nobody could order what it said");
    t.receives(server(3), watch()).synced();
    t.pass(Duration::from_secs(10)).receives(server(3), watch());
    t.receives(server(1), beats(&[session(3, 1, 1)])).pass(Duration::from_secs(64));
    t.receives(server(3), watch());
    t.pass(Duration::from_secs(3));
    golden!(t);
}
