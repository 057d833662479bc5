//! Watching: whom a device asks for, whom its server tells, and what it then shows.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::client::{self, Client};
use courier::design::Design;
use courier::disk::Disk;
use courier::frame::{Frame, PROTOCOL_NEWEST};
use courier::gateway::{Config, Gateway};
use courier::id::{BatchId, Incarnation, UserId};
use courier::limits::{WATCH_PERIOD, WATCHED_USERS_MAX};
use courier::node::{Action, CloseCause};
use courier::note::{Note, Status};
use courier::timing::Timing;
use courier::wire::{Sighting, Version, Wire};
use std::sync::Arc;

/// A server with the devices of these users, everything published and reported.
fn with(users: &[u32]) -> Script<Gateway> {
    let (directory, timing) = (fleet(), Arc::new(Timing::default()));
    let config = Config {
        host: server(1),
        directory,
        timing,
        design: Design::default(),
        protocol: PROTOCOL_NEWEST,
    };
    let mut t = Script::new(server(1), Gateway::boot(config, &Disk::default())).without(&[
        "Silence",
        "Announce",
        "Publish",
        "Republish",
        "SessionEnded",
        "Report",
    ]);
    t.unseen(|t| {
        t.boots().synced();
        for (number, user) in (1..).zip(users) {
            t.opened(conn(*user, 1));
            t.arrives(
                conn(*user, 1),
                Frame::Hello { device: u(*user), epoch: 1, protocol: PROTOCOL_NEWEST },
            );
            let batch = BatchId { incarnation: Incarnation(1), number };
            t.receives(EVENT_LOG, Wire::Published { batch });
        }
        t.fires(courier::node::Timer::Report);
    });
    t
}

fn watch(users: &[u32]) -> Frame {
    Frame::Watch { users: users.iter().map(|user| UserId(*user)).collect() }
}

fn sighting(user: u32, status: Status, change: u64) -> Sighting {
    Sighting { user: UserId(user), status, version: Version { boot: 1, change } }
}

fn statuses(all: &[Sighting]) -> Wire {
    Wire::Statuses { statuses: all.to_vec() }
}

#[test]
fn who_watches_is_told_and_nobody_else() {
    use Status::{Offline, Online};
    let mut t = with(&[1, 2]);
    t.arrives(conn(2, 1), watch(&[1, 3]));
    t.receives(PRESENCE, statuses(&[sighting(1, Online, 1), sighting(3, Offline, 2)]));
    t.beat("who comes later is told at once what is known here").arrives(conn(1, 1), watch(&[3]));
    t.receives(PRESENCE, statuses(&[sighting(3, Online, 3)]));
    t.beat("an older word came late").receives(PRESENCE, statuses(&[sighting(3, Offline, 2)]));
    golden!(t);
}

#[test]
fn presence_is_asked_again_as_long_as_somebody_watches() {
    let mut t = with(&[2]);
    t.arrives(conn(2, 1), watch(&[1, 3]));
    t.receives(PRESENCE, statuses(&[sighting(1, Status::Online, 4)]));
    t.pass(WATCH_PERIOD);
    t.beat("the device leaves, and presence may know").closed(conn(2, 1), CloseCause::Fin);
    t.pass(2 * WATCH_PERIOD);
    golden!(t);
}

#[test]
fn a_device_that_watches_the_world_watches_its_beginning() {
    let mut t = with(&[2]).untold();
    let users = (0..WATCHED_USERS_MAX as u32 + 1).map(UserId).collect();
    t.arrives(conn(2, 1), Frame::Watch { users });
    let asked = t.last.iter().map(|action| match action {
        Action::Send { wire: Wire::Watch { users }, .. } => users.len(),
        _ => 0,
    });
    assert_eq!(asked.sum::<usize>(), WATCHED_USERS_MAX);
}

#[test]
fn a_device_shows_the_newest_status_whichever_server_told_it() {
    let (host, device, directory) = (phone(2), u(2), fleet());
    let (timing, design) = (Arc::new(Timing::default()), Design::default());
    let config = client::Config {
        host,
        device,
        entropy: 7,
        directory,
        timing,
        design,
        protocol: PROTOCOL_NEWEST,
    };
    let mut t = Script::new(host, Client::boot(config, &Disk::default()));
    t.unseen(|t| {
        t.boots().synced().receives(BALANCER, Wire::Placed { epoch: 1, gateway: Some(server(1)) });
        t.opened(conn(2, 1));
    });
    let welcome =
        Frame::Welcome { epoch: 1, incarnation: Incarnation(1), protocol: PROTOCOL_NEWEST };
    t.arrives(conn(2, 1), welcome);
    let told = |status, boot, change| {
        let version = Version { boot, change };
        Frame::Statuses { statuses: vec![Sighting { user: UserId(1), status, version }] }
    };
    t.arrives(conn(2, 1), told(Status::Away, 1, 7));
    t.beat("presence has restarted and counts anew");
    t.arrives(conn(2, 1), told(Status::Online, 2, 1));
    t.arrives(conn(2, 1), told(Status::Offline, 1, 9));
    t.arrives(conn(2, 1), told(Status::Online, 2, 5));
    let shown = t.done.iter().filter_map(|action| match action {
        Action::Note(Note::PresenceShown { status, .. }) => Some(*status),
        _ => None,
    });
    assert_eq!(shown.collect::<Vec<_>>(), [Status::Away, Status::Online]);
    golden!(t);
}
