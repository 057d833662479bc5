//! The registry: by epoch, never by arrival; a removal names exactly what it removes.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::design::{Design, Fencing};
use courier::disk::Disk;
use courier::id::{Incarnation, Session};
use courier::limits::{REGISTRY_FLUSH, TAKEOVER_LIMIT};
use courier::node::Action;
use courier::note::Note;
use courier::registry::{Config, Registry};
use courier::wire::{Displacement, SessionEvent, Wire};

fn registry() -> Script<Registry> {
    Script::new(REGISTRY, Registry::boot(Config { design: Design::default() }, &Disk::default()))
}

/// Quiet about its disk, which is not what most stories are about.
fn rows() -> Script<Registry> {
    registry().without(&["append", "Flush"])
}

fn apply(events: &[SessionEvent]) -> Wire {
    Wire::Apply { partition: 0, next: place(1), events: events.to_vec() }
}

fn opened(epoch: u32, on: u32) -> SessionEvent {
    SessionEvent::Opened(session(2, epoch, on))
}

fn closed(epoch: u32, on: u32) -> SessionEvent {
    SessionEvent::Closed(session(2, epoch, on))
}

fn locate(t: &mut Script<Registry>) {
    t.receives(app(1), Wire::Locate { device: u(2), conversation: pair(1, 2) });
}

#[test]
fn a_newer_connection_replaces_the_row_and_displaces_the_older() {
    let mut t = registry();
    locate(&mut t);
    t.receives(CONSUMER, apply(&[opened(1, 1)]));
    locate(&mut t);
    t.receives(CONSUMER, apply(&[opened(2, 3)]));
    locate(&mut t);
    t.beat("made durable once a second").pass(REGISTRY_FLUSH).synced();
    golden!(t);
}

#[test]
fn a_takeover_is_committed_when_the_losers_gateway_confirms() {
    let mut t = rows();
    t.receives(CONSUMER, apply(&[opened(1, 1)])).receives(CONSUMER, apply(&[opened(2, 3)]));
    t.beat("pending: the newer one is routable, and an announcement says again who lost");
    locate(&mut t);
    t.receives(CONSUMER, apply(&[opened(2, 3)]));
    let displacement = Displacement { loser: session(2, 1, 1), winner: 2 };
    t.receives(CONSUMER, Wire::Displaced(displacement));
    t.beat("confirmed twice, committed once").receives(CONSUMER, Wire::Displaced(displacement));
    t.receives(CONSUMER, apply(&[closed(1, 1)]));
    locate(&mut t);
    golden!(t);
}

#[test]
fn a_takeover_is_committed_by_a_close_a_sweep_or_the_limit() {
    let mut t = rows();
    let on = |user, epoch, on| SessionEvent::Opened(session(user, epoch, on));
    t.unseen(|t| {
        t.receives(CONSUMER, apply(&[on(2, 1, 1), on(3, 1, 2), on(4, 1, 1)]));
        t.receives(CONSUMER, apply(&[on(2, 2, 3), on(3, 2, 3), on(4, 2, 3)]));
    });
    t.beat("its close came through the log").receives(CONSUMER, apply(&[closed(1, 1)]));
    t.beat("its gateway is dead");
    t.receives(CLEANER, Wire::Sweep { gateway: server(2), upto: Incarnation(1) });
    t.beat("nobody ever says anything").pass(TAKEOVER_LIMIT);
    golden!(t);
}

#[test]
fn a_registry_that_has_restarted_says_so() {
    let mut t = registry().without(&["Flush"]);
    let ping = |t: &mut Script<Registry>| {
        t.receives(server(1), Wire::Ping { nonce: 0 });
    };
    t.boots().beat("not durable yet");
    ping(&mut t);
    t.synced();
    ping(&mut t);
    t.receives(CONSUMER, apply(&[opened(1, 1)])).synced();
    t.reboot(|disk| Registry::boot(Config { design: Design::default() }, disk)).synced();
    ping(&mut t);
    golden!(t);
}

fn fenced_by(fencing: Fencing) -> Script<Registry> {
    let design = Design { fencing, ..Design::default() };
    let registry = Registry::boot(Config { design }, &Disk::default());
    Script::new(REGISTRY, registry).without(&["append", "Flush"])
}

/// The last connection to arrive has the row, and the close of an old one takes a newer one's.
#[test]
fn without_fencing_the_last_write_wins() {
    let mut t = fenced_by(Fencing::None);
    t.receives(CONSUMER, apply(&[opened(2, 3), opened(1, 1)]));
    locate(&mut t);
    t.receives(CONSUMER, apply(&[opened(2, 3), closed(1, 1)]));
    locate(&mut t);
    golden!(t);
}

/// The name of a server says nothing about its connections, nor about its processes.
#[test]
fn fenced_by_server_a_close_takes_any_row_of_that_server() {
    let mut t = fenced_by(Fencing::ServerId);
    t.receives(CONSUMER, apply(&[opened(1, 1), opened(2, 3)]));
    t.beat("another server's row stays").receives(CONSUMER, apply(&[closed(1, 1)]));
    t.beat("it comes back to the same server; its old connection is closed late");
    t.receives(CONSUMER, apply(&[opened(3, 1), closed(1, 1)]));
    locate(&mut t);
    t.beat("a swept name is as good as new");
    t.receives(server(1), Wire::Sweep { gateway: server(1), upto: Incarnation(1) });
    t.receives(CONSUMER, apply(&[opened(4, 1)]));
    golden!(t);
}

#[test]
fn a_row_that_its_gateway_writes_itself() {
    let mut t = rows();
    t.receives(server(1), Wire::Register { event: opened(1, 1) });
    t.receives(server(3), Wire::Register { event: opened(2, 3) });
    let lost = Displacement { loser: session(2, 1, 1), winner: 2 };
    t.receives(server(1), Wire::Displaced(lost));
    t.beat("too late to get it").receives(server(1), Wire::Register { event: opened(1, 1) });
    t.receives(CLEANER, Wire::Sweep { gateway: server(3), upto: Incarnation(1) });
    t.receives(server(3), Wire::Register { event: opened(3, 3) });
    golden!(t);
}

#[test]
fn rows_that_are_deleted_by_server_or_by_user() {
    let mut t = rows();
    let next = Session { incarnation: Incarnation(2), ..session(4, 1, 3) };
    t.unseen(|t| {
        let events = [opened(1, 3), SessionEvent::Opened(session(3, 1, 1))];
        t.receives(CONSUMER, apply(&events));
        t.receives(CONSUMER, apply(&[SessionEvent::Opened(next)]));
    });
    let (gateway, incarnation) = (server(3), Incarnation(1));
    t.receives(CLEANER, Wire::ListUsers { gateway });
    t.receives(CONSUMER, apply(&[opened(2, 1)]));
    let users = vec![u(2).user];
    t.receives(CLEANER, Wire::DeleteUsers { gateway, incarnation, users });
    t.beat("its next process has rows already")
        .receives(CLEANER, Wire::DeleteByServer { gateway, incarnation });
    golden!(t);
}

#[test]
fn an_older_opening_that_comes_late_is_fenced() {
    let mut t = rows();
    t.receives(CONSUMER, apply(&[opened(2, 3)]));
    t.receives(CONSUMER, apply(&[opened(1, 1)]));
    locate(&mut t);
    golden!(t);
}

#[test]
fn the_close_of_an_older_session_does_not_remove_a_newer_row() {
    let mut t = rows();
    t.receives(CONSUMER, apply(&[opened(1, 1), opened(2, 3)]));
    t.receives(CONSUMER, apply(&[closed(1, 1)]));
    locate(&mut t);
    golden!(t);
}

#[test]
fn a_session_that_closed_never_comes_back() {
    let mut t = rows();
    t.receives(CONSUMER, apply(&[opened(2, 3), closed(2, 3)]));
    t.beat("a late announcement of it, and one of its predecessor");
    t.receives(CONSUMER, apply(&[opened(2, 3)])).receives(CONSUMER, apply(&[opened(1, 1)]));
    locate(&mut t);
    t.beat("the next connection does").receives(CONSUMER, apply(&[opened(3, 1)]));
    locate(&mut t);
    golden!(t);
}

#[test]
fn a_close_that_overtakes_its_opening_fences_it() {
    let mut t = rows();
    t.receives(CONSUMER, apply(&[closed(2, 3)])).receives(CONSUMER, apply(&[opened(2, 3)]));
    locate(&mut t);
    golden!(t);
}

/// The comment in `Registry::closed` promises it also when an older row is there.
#[test]
fn a_close_that_overtakes_its_opening_fences_it_although_an_older_row_is_there() {
    let mut t = rows();
    t.receives(CONSUMER, apply(&[opened(1, 1), closed(2, 3), opened(2, 3)]));
    locate(&mut t);
    let (device, conversation) = (u(2), pair(1, 2));
    let nowhere = Wire::Located { device, conversation, session: None };
    assert!(t.sent(&nowhere), "a closed session is routable:\n{}", t.trace());
}

#[test]
fn an_eviction_removes_exactly_the_row_that_it_names() {
    let mut t = rows();
    t.receives(CONSUMER, apply(&[opened(2, 3)]));
    t.beat("another epoch, another server, another process");
    t.receives(app(1), Wire::Evict { session: session(2, 1, 3) });
    t.receives(app(1), Wire::Evict { session: session(2, 2, 1) });
    let other = Session { incarnation: Incarnation(2), ..session(2, 2, 3) };
    t.receives(app(1), Wire::Evict { session: other });
    locate(&mut t);
    t.beat("this one").receives(app(1), Wire::Evict { session: session(2, 2, 3) });
    locate(&mut t);
    golden!(t);
}

#[test]
fn a_live_session_that_was_evicted_comes_back_by_being_announced_again() {
    let mut t = rows();
    t.receives(CONSUMER, apply(&[opened(2, 3)]));
    t.receives(app(1), Wire::Evict { session: session(2, 2, 3) });
    t.receives(CONSUMER, apply(&[opened(2, 3)]));
    locate(&mut t);
    t.beat("announced while it is there, nothing changes");
    t.receives(CONSUMER, apply(&[opened(2, 3)]));
    golden!(t);
}

#[test]
fn a_sweep_removes_one_servers_incarnations_and_refuses_new_rows_of_them() {
    let mut t = rows();
    let next = Session { incarnation: Incarnation(2), ..session(4, 1, 3) };
    let others = [SessionEvent::Opened(session(3, 1, 1)), SessionEvent::Opened(next)];
    t.receives(CONSUMER, apply(&[opened(2, 3)])).receives(CONSUMER, apply(&others));
    t.receives(CLEANER, Wire::Sweep { gateway: server(3), upto: Incarnation(1) });
    t.beat("a late event of the swept incarnation").receives(CONSUMER, apply(&[opened(5, 3)]));
    locate(&mut t);
    t.beat("swept again, nothing is left");
    t.receives(CLEANER, Wire::Sweep { gateway: server(3), upto: Incarnation(1) });
    golden!(t);
}

#[test]
fn a_crash_loses_the_last_second_and_announcing_brings_it_back() {
    let mut t = registry();
    t.receives(CONSUMER, apply(&[opened(1, 1)])).pass(REGISTRY_FLUSH).synced();
    t.receives(CONSUMER, apply(&[opened(2, 3)]));
    t.reboot(|disk| Registry::boot(Config { design: Design::default() }, disk));
    locate(&mut t);
    t.receives(CONSUMER, apply(&[opened(2, 3)]));
    golden!(t);
}

#[test]
fn removals_and_sweeps_survive_a_crash() {
    let mut t = registry().without(&["append", "RowWritten", "RowRestored", "Flush"]);
    t.receives(CONSUMER, apply(&[opened(1, 1), closed(1, 1)]));
    t.receives(CLEANER, Wire::Sweep { gateway: server(3), upto: Incarnation(1) });
    t.pass(REGISTRY_FLUSH).synced();
    t.reboot(|disk| Registry::boot(Config { design: Design::default() }, disk));
    t.receives(CONSUMER, apply(&[opened(1, 1)])).receives(CONSUMER, apply(&[opened(2, 3)]));
    locate(&mut t);
    golden!(t);
}

/// What can happen around one takeover, each once, in any order.
const AROUND_A_TAKEOVER: usize = 6;

fn happens(t: &mut Script<Registry>, what: usize) {
    let lost = Displacement { loser: session(2, 1, 1), winner: 2 };
    match what {
        0 => t.receives(CONSUMER, apply(&[opened(1, 1)])),
        1 => t.receives(CONSUMER, apply(&[opened(2, 3)])),
        2 => t.receives(CONSUMER, apply(&[closed(1, 1)])),
        3 => t.receives(CONSUMER, Wire::Displaced(lost)),
        4 => t.receives(CLEANER, Wire::Sweep { gateway: server(1), upto: Incarnation(1) }),
        _ => t.pass(TAKEOVER_LIMIT),
    };
}

fn orders(rest: &[usize]) -> Vec<Vec<usize>> {
    let Some((first, others)) = rest.split_first() else { return vec![vec![]] };
    let shorter = orders(others);
    let insert = |order: &Vec<usize>, at: usize| {
        let mut order = order.clone();
        order.insert(at, *first);
        order
    };
    shorter.iter().flat_map(|order| (0..=order.len()).map(move |at| insert(order, at))).collect()
}

#[test]
fn whatever_the_order_around_a_takeover_the_newer_connection_is_routable_and_it_ends_once() {
    let orders = orders(&(0..AROUND_A_TAKEOVER).collect::<Vec<_>>());
    assert_eq!(orders.len(), 720);
    let (mut with, mut without) = (0, 0);
    for order in orders {
        let mut t = rows().untold();
        let mut newer_is_there = false;
        for what in &order {
            happens(&mut t, *what);
            newer_is_there |= *what == 1;
            locate(&mut t);
            let routable = |epoch, on| Wire::Located {
                device: u(2),
                conversation: pair(1, 2),
                session: Some(session(2, epoch, on)),
            };
            assert_eq!(t.sent(&routable(2, 3)), newer_is_there, "{order:?} at {what}");
            assert!(!(newer_is_there && t.sent(&routable(1, 1))), "{order:?} at {what}");
        }
        t.pass(TAKEOVER_LIMIT);
        let noted = |which: fn(&Note) -> bool| {
            let notes = t.done.iter();
            notes.filter(|action| matches!(action, Action::Note(note) if which(note))).count()
        };
        let begun = noted(|note| matches!(note, Note::TakeoverBegun { .. }));
        let committed = noted(|note| matches!(note, Note::TakeoverCommitted { .. }));
        assert_eq!(begun, committed, "{order:?}");
        assert!(begun <= 1, "{order:?}");
        *(if begun == 1 { &mut with } else { &mut without }) += 1;
    }
    assert!(with > 0 && without > 0, "{with} orders with a takeover, {without} without");
}
