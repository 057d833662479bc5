//! A connection server: whom it welcomes, what it calls delivered, and when it steps down.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::design::{Design, Registration};
use courier::disk::Disk;
use courier::frame::{Frame, PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use courier::gateway::{Config, Gateway};
use courier::id::{BatchId, Incarnation, Session};
use courier::limits::{
    ANNOUNCE_PERIOD, BODY_BYTES_MAX, REANNOUNCE_PERIOD, REGISTRY_CHECK, RETRY_STORE, STALLED_AFTER,
    UNACKED_MESSAGES_MAX,
};
use courier::node::{Action, CloseCause, Command, Timer};
use courier::timing::Timing;
use courier::wire::{
    Displacement, Message, OfferOutcome, Rejection, SendOutcome, SessionEvent, Wire,
};
use std::sync::Arc;
use std::time::Duration;

/// A batch of the first incarnation.
fn sent_batch(number: u32) -> BatchId {
    BatchId { incarnation: Incarnation(1), number }
}

fn boot(disk: &Disk) -> Gateway {
    let timing = Arc::new(Timing::default());
    Gateway::boot(
        Config {
            host: server(1),
            directory: fleet(),
            timing,
            design: Design::default(),
            protocol: PROTOCOL_NEWEST,
        },
        disk,
    )
}

fn fresh() -> Script<Gateway> {
    Script::new(server(1), boot(&Disk::default()))
}

fn serving() -> Script<Gateway> {
    let mut t = fresh();
    t.unseen(|t| {
        t.boots().synced();
    });
    t
}

fn hello(user: u32, epoch: u32) -> Frame {
    Frame::Hello { device: u(user), epoch, protocol: PROTOCOL_NEWEST }
}

/// Serving, with this user's device connected and everything published.
fn with(users: &[u32]) -> Script<Gateway> {
    let mut t = serving();
    t.unseen(|t| {
        for (number, user) in (1..).zip(users) {
            t.opened(conn(*user, 1)).arrives(conn(*user, 1), hello(*user, 1));
            t.receives(EVENT_LOG, Wire::Published { batch: sent_batch(number) });
        }
    });
    t
}

fn offer(session: Session, lease: u64, seqs: std::ops::RangeInclusive<u64>) -> Wire {
    let (conversation, term, batch) = (pair(1, 2), term(lease), batch(seqs));
    Wire::Offer { session, conversation, term, batch }
}

fn ack(seq: u64) -> Frame {
    Frame::Ack { conversation: pair(1, 2), upto: stamp(seq) }
}

#[test]
fn nobody_is_welcome_before_the_incarnation_is_durable() {
    let mut t = fresh();
    t.boots();
    t.opened(conn(2, 1));
    t.receives(BALANCER, Wire::Ping { nonce: 1 });
    t.beat("now nobody can mistake it for an earlier process").synced();
    t.receives(BALANCER, Wire::Ping { nonce: 2 });
    t.opened(conn(2, 2)).arrives(conn(2, 2), hello(2, 2));
    golden!(t);
}

#[test]
fn an_offer_is_answered_only_when_the_device_acknowledges() {
    let mut t = with(&[2]);
    t.receives(app(1), offer(session(2, 1, 1), 1, 1..=2));
    t.beat("the first of two is not the offer").arrives(conn(2, 1), ack(1));
    t.arrives(conn(2, 1), ack(2));
    t.beat("an acknowledgement that nobody waits for moves the cursor");
    t.arrives(conn(2, 1), ack(2));
    golden!(t);
}

#[test]
fn an_offer_to_a_connection_that_is_not_here_is_a_definite_no() {
    let mut t = with(&[2]);
    t.beat("an earlier epoch").receives(app(1), offer(session(2, 0, 1), 1, 1..=1));
    t.beat("a later epoch").receives(app(1), offer(session(2, 2, 1), 2, 1..=1));
    let earlier = Session { incarnation: Incarnation(0), ..session(2, 1, 1) };
    t.beat("another process at this address").receives(app(1), offer(earlier, 3, 1..=1));
    t.beat("a device that was never here").receives(app(1), offer(session(3, 1, 1), 4, 1..=1));
    golden!(t);
}

#[test]
fn an_offer_whose_connection_dies_is_answered_with_a_no() {
    let mut t = with(&[2]);
    t.receives(app(1), offer(session(2, 1, 1), 1, 1..=1));
    t.beat("it may have the message or not; whoever offers it again finds out");
    t.closed(conn(2, 1), CloseCause::TimedOut);
    golden!(t);
}

#[test]
fn a_later_attempt_takes_the_place_of_an_earlier_one() {
    let mut t = with(&[2]);
    t.receives(app(1), offer(session(2, 1, 1), 1, 1..=1));
    t.receives(WORKER, offer(session(2, 1, 1), 2, 1..=1));
    t.beat("one answer, to the later term").arrives(conn(2, 1), ack(1));
    golden!(t);
}

/// The network may deliver the offer of an attempt long over; the current holder of the row must
/// still get its answer.
#[test]
fn an_earlier_attempt_that_comes_late_does_not_take_the_place_of_a_later_one() {
    let mut t = with(&[2]);
    t.receives(WORKER, offer(session(2, 1, 1), 2, 1..=1));
    t.receives(app(1), offer(session(2, 1, 1), 1, 1..=1));
    t.arrives(conn(2, 1), ack(1));
    let (session, conversation) = (session(2, 1, 1), pair(1, 2));
    let outcome = OfferOutcome::Acknowledged(stamp(1));
    let answer = Wire::Offered { session, conversation, term: term(2), outcome };
    assert!(t.sent(&answer), "{}", t.trace());
}

#[test]
fn a_device_that_does_not_acknowledge_is_busy_in_the_end() {
    let mut t = with(&[2]);
    let most = UNACKED_MESSAGES_MAX as u64;
    t.unseen(|t| {
        let in_group = (1..=most).map(|seq| entry(seq, message(1, seq as u32, group())));
        let (conversation, batch) = (group(), batch_of(in_group.collect()));
        let (session, term) = (session(2, 1, 1), term(1));
        t.receives(app(1), Wire::Offer { session, conversation, term, batch });
    });
    t.beat("with as many messages unacknowledged as a connection may have");
    t.receives(app(1), offer(session(2, 1, 1), 2, 1..=1));
    t.arrives(conn(2, 1), Frame::Ack { conversation: group(), upto: stamp(most) });
    t.receives(app(1), offer(session(2, 1, 1), 3, 1..=1));
    golden!(t);
}

#[test]
fn a_newer_connection_of_a_device_displaces_the_older_one() {
    let mut t = with(&[2]);
    t.opened(conn(2, 2)).arrives(conn(2, 2), hello(2, 2));
    t.beat("the old one is fenced, the new one is offered to");
    t.receives(app(1), offer(session(2, 1, 1), 1, 1..=1));
    t.receives(app(1), offer(session(2, 2, 1), 2, 1..=1));
    golden!(t);
}

#[test]
fn a_hello_that_was_overtaken_is_turned_away() {
    let mut t = serving();
    t.opened(conn(2, 1)).opened(conn(2, 2));
    t.arrives(conn(2, 2), hello(2, 2));
    t.arrives(conn(2, 1), hello(2, 1));
    golden!(t);
}

#[test]
fn a_session_that_lost_elsewhere_is_displaced_by_the_registrys_word() {
    let mut t = with(&[2]);
    let (loser, winner) = (session(2, 1, 1), 4);
    t.receives(CONSUMER, Wire::Displace(Displacement { loser, winner }));
    t.beat("said twice, it changes nothing");
    t.receives(CONSUMER, Wire::Displace(Displacement { loser, winner }));
    golden!(t);
}

#[test]
fn a_send_goes_to_the_routers_in_turn_and_its_outcome_comes_back() {
    let mut t = with(&[1]);
    t.arrives(conn(1, 1), Frame::Send(message(1, 1, pair(1, 2))));
    t.arrives(conn(1, 1), Frame::Send(message(1, 2, group())));
    let outcome = SendOutcome::Accepted(stamp(8));
    let routed =
        |epoch| Wire::Routed { session: session(1, epoch, 1), id: message_id(1, 1), outcome };
    t.receives(app(1), routed(1));
    t.beat("the outcome for a connection that is gone goes nowhere").receives(app(1), routed(0));
    golden!(t);
}

#[test]
fn a_router_that_refuses_is_avoided_for_a_while() {
    let mut t =
        with(&[1]).without(&["Seen", "Heads", "Report", "Announce", "Publish", "Republish"]);
    let (session, message) = (session(1, 1, 1), message(1, 1, pair(1, 2)));
    t.arrives(conn(1, 1), Frame::Send(message.clone()));
    let first = t.last.iter().find_map(|action| match action {
        Action::Send { to, .. } => Some(*to),
        _ => None,
    });
    let first = first.expect("it was routed");
    let other = if first == app(1) { app(2) } else { app(1) };
    t.refused(first, Wire::Route { session, message: message.clone() });
    t.beat("the other one refuses as well; the device will send it again");
    t.refused(other, Wire::Route { session, message: message.clone() });
    t.pass(Duration::from_millis(1_001));
    t.beat("both are asked again").arrives(conn(1, 1), Frame::Send(message));
    golden!(t);
}

#[test]
fn a_body_that_is_too_large_is_rejected_for_good() {
    let mut t = with(&[1]);
    let body = "x".repeat(BODY_BYTES_MAX + 1).into();
    t.unseen(|t| {
        let message = Message { body, ..message(1, 1, pair(1, 2)) };
        t.arrives(conn(1, 1), Frame::Send(message));
    });
    let outcome = SendOutcome::Rejected(Rejection::TooLarge);
    let frame = Frame::Outcome { id: message_id(1, 1), outcome };
    assert_eq!(t.last, [Action::Write { conn: conn(1, 1), frame }]);
}

#[test]
fn a_device_that_speaks_out_of_turn_is_cut_off() {
    let mut t = with(&[2]);
    t.beat("a frame before the hello").opened(conn(3, 1)).arrives(conn(3, 1), Frame::Heartbeat);
    t.beat("a message in another's name");
    t.arrives(conn(2, 1), Frame::Send(message(1, 1, pair(1, 2))));
    golden!(t);
}

#[test]
fn heartbeats_are_answered_at_once_and_reported_together() {
    let mut t = with(&[2, 3]);
    t.unseen(|t| {
        t.pass(Duration::from_secs(1));
    });
    t.arrives(conn(2, 1), Frame::Heartbeat).arrives(conn(3, 1), Frame::Heartbeat);
    t.pass(Duration::from_millis(999));
    t.pass(Duration::from_millis(1));
    t.beat("device 2 has something undelivered");
    let heads = vec![(pair(1, 2), stamp(4))];
    t.receives(DATABASE, Wire::Behind { session: session(2, 1, 1), heads });
    golden!(t);
}

#[test]
fn a_device_that_catches_up_gets_its_pages() {
    let mut t = with(&[2]);
    let next = vec![(pair(1, 2), stamp(3))];
    t.arrives(conn(2, 1), Frame::CatchUp { epoch: 1, next, all: true });
    let (session, conversation) = (session(2, 1, 1), pair(1, 2));
    t.receives(DATABASE, Wire::Page { session, conversation, batch: batch(3..=4) });
    t.beat("outside of any offer, its acknowledgement goes to the database");
    t.arrives(conn(2, 1), ack(4));
    golden!(t);
}

#[test]
fn a_connection_that_falls_silent_is_closed() {
    let mut t =
        with(&[2, 3]).without(&["Seen", "Heads", "Report", "Announce", "Publish", "Republish"]);
    t.pass(Duration::from_secs(45)).arrives(conn(3, 1), Frame::Heartbeat);
    t.pass(Duration::from_secs(46));
    golden!(t);
}

#[test]
fn what_the_log_has_not_acknowledged_is_published_again() {
    let mut t = serving();
    t.opened(conn(2, 1)).arrives(conn(2, 1), hello(2, 1));
    t.beat("what happens meanwhile waits for the next batch");
    t.closed(conn(2, 1), CloseCause::Fin);
    t.pass(Duration::from_millis(500)).pass(RETRY_STORE);
    t.receives(EVENT_LOG, Wire::Published { batch: sent_batch(1) });
    t.beat("said twice, it changes nothing");
    t.receives(EVENT_LOG, Wire::Published { batch: sent_batch(1) });
    t.receives(EVENT_LOG, Wire::Published { batch: sent_batch(2) });
    golden!(t);
}

#[test]
fn a_second_boot_removes_its_own_leftovers_from_the_registry() {
    let mut t = fresh().without(&["Report", "Announce", "Silence"]);
    t.boots().synced();
    t.reboot(boot).synced();
    t.beat("asked until it is answered").pass(RETRY_STORE);
    t.receives(REGISTRY, Wire::Swept { gateway: server(1), upto: Incarnation(1), rows: 3 });
    t.pass(RETRY_STORE);
    golden!(t);
}

#[test]
fn a_server_that_was_declared_dead_closes_everything_and_begins_again() {
    let mut t = with(&[2, 3]);
    t.receives(CLEANER, Wire::DeclaredDead { incarnation: Incarnation(1) });
    t.beat("between two incarnations nobody is welcome").opened(conn(2, 2));
    t.synced();
    t.beat("told again, it only answers");
    t.receives(CLEANER, Wire::DeclaredDead { incarnation: Incarnation(1) });
    t.opened(conn(2, 3)).arrives(conn(2, 3), hello(2, 3));
    golden!(t);
}

/// The number of a batch is all that tells its answer from another's. After a reboot the answer
/// to the last process's publish must not be taken for an answer to this one's, or a session is
/// unreachable until it happens to be announced again.
#[test]
fn an_answer_to_an_earlier_boots_publish_is_not_taken_for_this_ones() {
    let mut t = serving();
    t.opened(conn(2, 1)).arrives(conn(2, 1), hello(2, 1));
    t.beat("batch 1 is on its way when the process dies");
    t.reboot(boot).synced();
    t.opened(conn(3, 1)).arrives(conn(3, 1), hello(3, 1));
    t.beat("the late answer; the new process's own publish was lost");
    t.receives(EVENT_LOG, Wire::Published { batch: sent_batch(1) });
    t.forgets(Timer::Announce);
    t.pass(RETRY_STORE);
    let again = t.trace().rsplit("(2s pass)").next().expect("the end of the trace");
    assert!(again.contains("Opened u3 e1"), "never published:\n{}", t.trace());
}

/// `ANNOUNCE_PERIOD` promises a rate per session, whatever the number of sessions.
#[test]
fn a_session_is_announced_once_per_period() {
    const PERIODS: u32 = 6;
    let mut t = with(&[2]);
    let begun = t.done.len();
    t.unseen(|t| {
        for _ in 0..ANNOUNCE_PERIOD.as_secs() * u64::from(PERIODS) / 10 {
            t.pass(Duration::from_secs(10));
            t.arrives(conn(2, 1), Frame::Heartbeat);
            let published = t.done.iter().rev().find_map(|action| match action {
                Action::Send { wire: Wire::Publish { batch, .. }, .. } => Some(*batch),
                _ => None,
            });
            t.receives(EVENT_LOG, Wire::Published { batch: published.unwrap_or(sent_batch(0)) });
        }
    });
    let announced = SessionEvent::Opened(session(2, 1, 1));
    let mut batches: Vec<BatchId> = Vec::new();
    for action in &t.done[begun..] {
        if let Action::Send { wire: Wire::Publish { batch, events }, .. } = action
            && events.contains(&announced)
        {
            batches.push(*batch);
        }
    }
    batches.dedup(); // A batch that was published again is one announcement.
    let times = batches.len() as u32;
    assert!((PERIODS - 1..=PERIODS + 1).contains(&times), "{times} times in {PERIODS} periods");
}

fn registry_is_in(boot: u32) -> Wire {
    Wire::Pong { nonce: 0, incarnation: Incarnation(boot), connections: 0, draining: false }
}

fn published(actions: &[Action]) -> impl Iterator<Item = (BatchId, &Vec<SessionEvent>)> {
    actions.iter().filter_map(|action| match action {
        Action::Send { wire: Wire::Publish { batch, events }, .. } => Some((*batch, events)),
        _ => None,
    })
}

/// The log acknowledges what was published last; its answers to earlier batches change nothing.
fn answer_publishes(t: &mut Script<Gateway>) {
    let last = published(&t.done).last().map(|(batch, _)| batch);
    if let Some(batch) = last {
        t.receives(EVENT_LOG, Wire::Published { batch });
    }
}

fn announced(actions: &[Action]) -> Vec<Session> {
    published(actions).flat_map(|(_, events)| events).map(|event| event.session()).collect()
}

#[test]
fn when_the_registry_has_restarted_all_sessions_are_announced_within_half_a_minute() {
    let users: Vec<u32> = (1..=9).collect();
    let mut t = with(&users);
    t.receives(REGISTRY, registry_is_in(1));
    let begun = t.done.len();
    t.unseen(|t| {
        t.pass(REGISTRY_CHECK);
        answer_publishes(t);
        t.receives(REGISTRY, registry_is_in(2));
        t.receives(REGISTRY, registry_is_in(2));
        assert_eq!(t.last, [], "told of the same boot again");
        for _ in 0..REANNOUNCE_PERIOD.as_secs() {
            t.pass(Duration::from_secs(1));
            answer_publishes(t);
        }
    });
    let mut announced = announced(&t.done[begun..]);
    announced.sort_unstable();
    announced.dedup();
    assert_eq!(announced.len(), users.len(), "{announced:?}");
}

/// Announces for as long as it may take, while others connect. Returns who was announced.
fn announces_while_others_connect(t: &mut Script<Gateway>, others: &[u32]) -> Vec<u32> {
    let begun = t.done.len();
    t.unseen(|t| {
        t.receives(EVENT_LOG, Wire::Leader { epoch: 2 });
        for second in 0..REANNOUNCE_PERIOD.as_secs() as usize {
            if let Some(user) = others.get(second) {
                t.opened(conn(*user, 1)).arrives(conn(*user, 1), hello(*user, 1));
            }
            t.pass(Duration::from_secs(1));
            answer_publishes(t);
        }
    });
    let mut users: Vec<u32> =
        announced(&t.done[begun..]).iter().map(|session| session.device.user.0).collect();
    users.sort_unstable();
    users.dedup();
    users
}

#[test]
fn when_the_log_has_another_leader_all_sessions_are_announced_within_half_a_minute() {
    let users: Vec<u32> = (1..=9).collect();
    let mut t = with(&users);
    t.receives(EVENT_LOG, Wire::Leader { epoch: 1 });
    assert_eq!(t.last, [], "the leader that it began with");
    assert_eq!(announces_while_others_connect(&mut t, &[]), users);
    t.receives(EVENT_LOG, Wire::Leader { epoch: 1 });
    assert_eq!(t.last, [], "an answer of the first leader that was overtaken");
}

/// Found by the swarm (swarm-storm, seed 175): the round counted its sessions when it began, and
/// those who came meanwhile took the turns of the last.
#[test]
fn who_connects_meanwhile_takes_nobodys_turn_to_be_announced() {
    let users: Vec<u32> = (1..=9).map(|user| 2 * user).collect();
    let others: Vec<u32> = users.iter().map(|user| user + 1).collect();
    let mut t = with(&users);
    let announced = announces_while_others_connect(&mut t, &others);
    assert!(users.iter().all(|user| announced.contains(user)), "{announced:?}");
}

#[test]
fn who_was_cut_off_from_the_registry_announces_its_sessions_again() {
    let mut t = with(&[2]).without(&["Silence", "Announce", "Republish"]);
    t.receives(REGISTRY, registry_is_in(1))
        .receives(EVENT_LOG, Wire::Published { batch: sent_batch(2) });
    t.beat("one check is lost: weather").pass(2 * REGISTRY_CHECK);
    t.receives(REGISTRY, registry_is_in(1));
    t.beat("three are").pass(3 * REGISTRY_CHECK).receives(REGISTRY, registry_is_in(1));
    golden!(t);
}

fn registered(registration: Registration) -> Script<Gateway> {
    let (timing, design) =
        (Arc::new(Timing::default()), Design { registration, ..Design::default() });
    let config =
        Config { host: server(1), directory: fleet(), timing, design, protocol: PROTOCOL_NEWEST };
    let mut t = Script::new(server(1), Gateway::boot(config, &Disk::default()));
    t.unseen(|t| {
        t.boots().synced().opened(conn(2, 1));
    });
    t.without(&["Silence", "Report"])
}

#[test]
fn a_row_that_is_written_directly_is_said_once() {
    let mut t = registered(Registration::DirectWrite);
    t.arrives(conn(2, 1), hello(2, 1));
    t.refused(REGISTRY, Wire::Register { event: SessionEvent::Opened(session(2, 1, 1)) });
    t.pass(2 * ANNOUNCE_PERIOD);
    t.beat("that it lost it hears from the registry itself");
    t.receives(REGISTRY, Wire::Displace(Displacement { loser: session(2, 1, 1), winner: 2 }));
    golden!(t);
}

#[test]
fn with_the_log_only_nothing_is_announced_again() {
    let mut t = registered(Registration::LogOnly);
    t.arrives(conn(2, 1), hello(2, 1));
    t.receives(EVENT_LOG, Wire::Published { batch: sent_batch(1) }).pass(2 * ANNOUNCE_PERIOD);
    golden!(t);
}

#[test]
fn an_answer_to_an_earlier_sweep_does_not_end_this_ones() {
    let mut t = serving().untold();
    let swept = || Wire::Swept { gateway: server(1), upto: Incarnation(1), rows: 0 };
    t.receives(CLEANER, Wire::DeclaredDead { incarnation: Incarnation(1) }).synced();
    t.receives(REGISTRY, swept());
    t.receives(CLEANER, Wire::DeclaredDead { incarnation: Incarnation(2) }).synced();
    t.receives(REGISTRY, swept());
    let before = t.done.len();
    t.pass(RETRY_STORE);
    let sweeps = |action: &Action| matches!(action, Action::Send { wire: Wire::Sweep { .. }, .. });
    assert!(t.done[before..].iter().any(sweeps), "incarnation 2 is never swept");
}

/// A gateway that takes in one session per second, after the first.
fn crowded() -> Script<Gateway> {
    let timing = Timing {
        admit: Duration::from_secs(1),
        catch_up: Duration::from_secs(1),
        hand_off: Duration::from_millis(100),
        ..Timing::default()
    };
    let (host, directory, design) = (server(1), fleet(), Design::default());
    let config =
        Config { host, directory, timing: Arc::new(timing), design, protocol: PROTOCOL_NEWEST };
    let mut t = Script::new(server(1), Gateway::boot(config, &Disk::default()));
    t.unseen(|t| {
        t.boots().synced();
    });
    t
}

/// Connects and says hello, with the log out of the picture.
fn comes(t: &mut Script<Gateway>, user: u32, epoch: u32) {
    t.opened(conn(user, epoch)).arrives(conn(user, epoch), hello(user, epoch));
}

#[test]
fn devices_beyond_the_rate_are_told_when_to_come_again_one_after_the_other() {
    let mut t = crowded().without(&["Publish", "Report", "Republish"]);
    (2..=4).for_each(|user| comes(&mut t, user, 1));
    t.beat("an old phone does not know the word, and is only closed");
    let old = Frame::Hello { device: u(5), epoch: 1, protocol: PROTOCOL_OLDEST };
    t.opened(conn(5, 1)).arrives(conn(5, 1), old);
    t.beat("in its slot there is room").unseen(|t| {
        t.pass(Duration::from_secs(1));
    });
    comes(&mut t, 3, 2);
    golden!(t);
}

fn asks(seq: u64) -> Frame {
    Frame::CatchUp { epoch: 1, next: vec![(pair(1, 2), stamp(seq))], all: false }
}

#[test]
fn requests_for_what_was_missed_wait_and_what_people_write_does_not() {
    let mut t = crowded().without(&["Publish", "Report", "Republish", "Announce", "Heads", "Seen"]);
    t.unseen(|t| comes(t, 2, 1));
    t.arrives(conn(2, 1), asks(1));
    t.beat("the rate is used up").arrives(conn(2, 1), asks(2)).arrives(conn(2, 1), asks(3));
    t.arrives(conn(2, 1), Frame::Send(message(2, 1, pair(1, 2))));
    t.pass(Duration::from_secs(1)).pass(Duration::from_secs(1));
    golden!(t);
}

#[test]
fn a_request_of_a_session_that_is_over_is_forgotten() {
    let mut t = crowded().without(&["Publish", "Report", "Republish", "Announce"]);
    t.unseen(|t| {
        comes(t, 2, 1);
        t.arrives(conn(2, 1), asks(1)).arrives(conn(2, 1), asks(2));
    });
    t.closed(conn(2, 1), CloseCause::Fin);
    t.done.clear();
    t.pass(Duration::from_secs(3));
    let asked = |action: &Action| matches!(action, Action::Send { wire: Wire::CatchUp { .. }, .. });
    assert!(!t.done.iter().any(asked), "{:?}", t.done);
}

#[test]
fn a_drained_server_hands_its_devices_off_one_at_a_time_and_says_when_it_is_empty() {
    let mut t = crowded().without(&["Report", "Republish", "Announce"]);
    t.unseen(|t| {
        for (number, user) in (1..).zip([2, 3]) {
            comes(t, user, 1);
            t.receives(EVENT_LOG, Wire::Published { batch: sent_batch(number) });
            t.pass(Duration::from_secs(2));
        }
        t.receives(app(1), offer(session(2, 1, 1), 1, 1..=1));
    });
    t.commanded(Command::Drain);
    t.beat("nobody new").opened(conn(4, 1));
    t.beat("whoever has nothing to acknowledge goes first").pass(Duration::from_millis(100));
    t.beat("to it nothing is offered any more");
    t.receives(app(1), offer(session(3, 1, 1), 2, 1..=1));
    t.pass(Duration::from_millis(100));
    t.beat("what is under way still arrives").arrives(conn(2, 1), ack(1));
    t.closed(conn(3, 1), CloseCause::Fin).closed(conn(2, 1), CloseCause::Fin);
    t.beat("it is empty when the log knows of it");
    t.receives(EVENT_LOG, Wire::Published { batch: sent_batch(3) });
    t.receives(EVENT_LOG, Wire::Published { batch: sent_batch(4) });
    t.receives(BALANCER, Wire::Ping { nonce: 7 });
    golden!(t);
}

#[test]
fn a_drain_ends_at_its_limit_whoever_is_left() {
    let mut t = with(&[2]).without(&["Report", "Republish", "Announce", "Publish", "Pong"]);
    t.commanded(Command::Drain);
    t.unseen(|t| t.forgets(Timer::Silence));
    t.pass(Timing::default().drain_limit);
    t.beat("told again, it has nothing to do").commanded(Command::Drain);
    golden!(t);
}

#[test]
fn a_device_that_acknowledges_nothing_loses_its_connection_and_no_message() {
    let mut t = with(&[2]).without(&["Publish", "Republish", "Deliver"]);
    let full = UNACKED_MESSAGES_MAX as u64;
    t.unseen(|t| {
        t.receives(app(1), offer(session(2, 1, 1), 1, 1..=full));
    });
    let other = |lease| Wire::Offer {
        session: session(2, 1, 1),
        conversation: pair(2, 3),
        term: term(lease),
        batch: batch_of(vec![entry(1, message(3, 1, pair(2, 3)))]),
    };
    t.beat("a burst is no reason").receives(app(1), other(2));
    t.unseen(|t| {
        t.pass(STALLED_AFTER).pass(Duration::from_secs(1));
    });
    t.beat("a silence is").receives(app(1), other(3));
    golden!(t);
}

#[test]
fn an_acknowledgement_shows_that_a_device_reads() {
    let mut t = with(&[2]);
    let full = UNACKED_MESSAGES_MAX as u64;
    t.receives(app(1), offer(session(2, 1, 1), 1, 1..=full));
    t.pass(STALLED_AFTER).arrives(conn(2, 1), ack(1)).pass(Duration::from_secs(1));
    let other = entry(1, message(3, 1, pair(2, 3)));
    let (session, conversation, term) = (session(2, 1, 1), pair(2, 3), term(2));
    let another = Wire::Offer { session, conversation, term, batch: batch_of(vec![other]) };
    t.receives(app(1), another);
    let busy = Wire::Offered { session, conversation, term, outcome: OfferOutcome::Busy };
    assert!(t.sent(&busy), "{:?}", t.last);
}

#[test]
fn both_ends_speak_the_lower_version_of_theirs() {
    for (own, theirs) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let (host, directory, timing) = (server(1), fleet(), Arc::new(Timing::default()));
        let config = Config { host, directory, timing, design: Design::default(), protocol: own };
        let mut t = Script::new(server(1), Gateway::boot(config, &Disk::default())).untold();
        t.boots().synced().opened(conn(2, 1));
        t.arrives(conn(2, 1), Frame::Hello { device: u(2), epoch: 1, protocol: theirs });
        let spoken = t.last.iter().find_map(|action| match action {
            Action::Write { frame: Frame::Welcome { protocol, .. }, .. } => Some(*protocol),
            _ => None,
        });
        assert_eq!(spoken, Some(own.min(theirs)));
    }
}
