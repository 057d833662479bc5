//! The delivery worker: what is due is attempted again, under a lease of its own.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::design::{Design, Retry};
use courier::id::{Incarnation, Session};
use courier::limits::{
    ACKNOWLEDGE_LIMIT, ATTEMPT_LIMIT, BREAKER_BASE, BREAKER_CAP, BREAKER_FAILURES, CLAIM_ROWS_MAX,
    LEASE, RETRY_TOKENS_MAX, RETRY_TOKENS_PER_S, WORKER_POLL,
};
use courier::node::{Action, Timer};
use courier::note::{Note, Parking};
use courier::wire::{Batch, Claim, OfferOutcome, Wire};
use courier::worker::{Config, Worker};

fn worker() -> Script<Worker> {
    designed(Retry::default())
}

fn designed(retry: Retry) -> Script<Worker> {
    let design = Design { retry, ..Design::default() };
    Script::new(WORKER, Worker::boot(Config { directory: fleet(), entropy: 7, design }))
}

fn again(lease: u64, attempts: u32) -> Claim {
    Claim { attempts, ..claim(lease, 1..=1) }
}

#[test]
fn it_asks_for_due_rows_again_and_again() {
    let mut t = worker();
    t.boots().receives(DATABASE, Wire::Claimed { claims: vec![] });
    t.pass(WORKER_POLL);
    t.beat("an answer that never comes costs one poll").pass(WORKER_POLL);
    golden!(t);
}

#[test]
fn a_parked_message_is_delivered_once_its_device_is_back() {
    let mut t = worker().without(&["Claim", "Poll"]);
    t.boots().receives(DATABASE, Wire::Claimed { claims: vec![again(9, 1)] });
    let (device, conversation) = (u(2), pair(1, 2));
    let session = session(2, 5, 3);
    t.receives(REGISTRY, Wire::Located { device, conversation, session: Some(session) });
    let (term, outcome) = (term(9), OfferOutcome::Acknowledged(stamp(1)));
    t.receives(server(3), Wire::Offered { session, conversation, term, outcome });
    t.receives(DATABASE, Wire::Settled { device, conversation, term, next: Batch::default() });
    golden!(t);
}

#[test]
fn a_device_that_stays_away_is_tried_less_and_less_often() {
    let mut t = worker().without(&["Claim", "Poll", "Locate"]);
    t.boots();
    let (device, conversation) = (u(2), pair(1, 2));
    for attempts in [0, 1, 2, 5, 9] {
        let claims = vec![again(10 + u64::from(attempts), attempts)];
        t.receives(DATABASE, Wire::Claimed { claims });
        t.receives(REGISTRY, Wire::Located { device, conversation, session: None });
    }
    golden!(t);
}

#[test]
fn no_answer_leaves_the_row_to_its_lease() {
    let mut t = worker().without(&["Claim", "Poll"]);
    t.boots().receives(DATABASE, Wire::Claimed { claims: vec![again(9, 0)] });
    t.pass(ATTEMPT_LIMIT);
    golden!(t);
}

#[test]
fn a_full_answer_is_followed_by_the_next_question_at_once() {
    let mut t = worker();
    let claims = (1..=CLAIM_ROWS_MAX).map(|user| Claim {
        device: u(user + 1),
        conversation: pair(1, user + 1),
        ..claim(u64::from(user), 1..=1)
    });
    let claims: Vec<_> = claims.collect();
    t.unseen(|t| {
        t.boots().receives(DATABASE, Wire::Claimed { claims });
    });
    let question = Wire::Claim { most: CLAIM_ROWS_MAX };
    assert_eq!(t.last.last(), Some(&Action::Send { to: DATABASE, wire: question }));
}

/// Where user 2 is.
fn on_3() -> Session {
    session(2, 5, 3)
}

/// The gateway of that session says that it has written the offer under this term.
fn taken(session: Session, lease: u64) -> Wire {
    Wire::Taken { session, conversation: pair(1, session.device.user.0), term: term(lease) }
}

fn renewed(lease: u64, held: bool) -> Wire {
    Wire::Renewed { device: u(2), conversation: pair(1, 2), term: term(lease), held }
}

/// A claim for this user's device, located at that session and so offered, or parked.
fn attempt(t: &mut Script<Worker>, user: u32, lease: u64, at: Session) {
    let (device, conversation) = (u(user), pair(1, user));
    let claims = vec![Claim { device, conversation, ..again(lease, 1) }];
    t.receives(DATABASE, Wire::Claimed { claims });
    t.receives(REGISTRY, Wire::Located { device, conversation, session: Some(at) });
}

fn refuses(t: &mut Script<Worker>, lease: u64, session: Session) {
    let (conversation, term) = (pair(1, session.device.user.0), term(lease));
    let offer = Wire::Offer { session, conversation, term, batch: batch(1..=1) };
    t.refused(session.gateway, offer);
}

/// Offers to users 2, 3, … on server 3 are refused until its breaker opens.
fn until_it_opens(t: &mut Script<Worker>) {
    for user in 2..2 + BREAKER_FAILURES {
        let (lease, session) = (u64::from(user), session(user, 5, 3));
        attempt(t, user, lease, session);
        refuses(t, lease, session);
    }
}

/// What the last step parked, and why.
fn parked(t: &Script<Worker>) -> Option<Parking> {
    t.last.iter().find_map(|action| match action {
        Action::Note(Note::Parked { why, .. }) => Some(*why),
        _ => None,
    })
}

#[test]
fn a_lease_is_renewed_while_a_slow_phone_is_waited_for() {
    let mut t = worker().without(&["Claim", "Poll"]);
    t.boots();
    attempt(&mut t, 2, 9, on_3());
    t.receives(server(3), taken(on_3(), 9));
    t.beat("longer than a lease").pass(LEASE).receives(DATABASE, renewed(9, true));
    t.pass(ACKNOWLEDGE_LIMIT - LEASE - WORKER_POLL);
    let (session, conversation) = (on_3(), pair(1, 2));
    let outcome = OfferOutcome::Acknowledged(stamp(1));
    t.receives(server(3), Wire::Offered { session, conversation, term: term(9), outcome });
    t.beat("late, and without a meaning by now").receives(DATABASE, renewed(9, false));
    golden!(t);
}

#[test]
fn an_attempt_whose_lease_is_gone_ends_at_once_and_leaves_the_row_alone() {
    let mut t = worker().without(&["Claim", "Poll"]);
    t.boots();
    attempt(&mut t, 2, 9, on_3());
    t.beat("of an earlier term: not about this one").receives(DATABASE, renewed(8, false));
    t.receives(DATABASE, renewed(9, false));
    golden!(t);
    assert!(!t.is_set(Timer::Renew(u(2), pair(1, 2))));
}

#[test]
fn a_gateway_that_refuses_is_left_alone_then_probed_and_taken_back() {
    let mut t = worker().without(&["Claim", "Poll", "Claimed", "Locate", "Renew"]);
    t.unseen(|t| {
        t.boots();
        for user in 2..1 + BREAKER_FAILURES {
            let (lease, session) = (u64::from(user), session(user, 5, 3));
            attempt(t, user, lease, session);
            refuses(t, lease, session);
        }
    });
    let last = session(1 + BREAKER_FAILURES, 5, 3);
    attempt(&mut t, last.device.user.0, 6, last);
    t.beat("one refusal too many");
    refuses(&mut t, 6, last);
    t.beat("nothing is offered to it now");
    attempt(&mut t, 20, 20, session(20, 1, 3));
    t.beat("another server has nothing to do with it");
    attempt(&mut t, 21, 21, session(21, 1, 2));
    t.pass(BREAKER_BASE);
    t.beat("one offer goes through, and only one");
    attempt(&mut t, 22, 22, session(22, 1, 3));
    attempt(&mut t, 23, 23, session(23, 1, 3));
    t.beat("an answer, whatever it says");
    let (session, conversation) = (session(22, 1, 3), pair(1, 22));
    let outcome = OfferOutcome::NotHere;
    t.receives(server(3), Wire::Offered { session, conversation, term: term(22), outcome });
    golden!(t);
}

#[test]
fn a_probe_that_fails_opens_the_breaker_again_for_longer_up_to_a_cap() {
    let mut t = worker().untold();
    t.boots();
    until_it_opens(&mut t);
    let mut spans = Vec::new();
    for lease in 100..110 {
        let opened = t.now();
        while !t.done.iter().any(|a| matches!(a, Action::Note(Note::BreakerHalfOpened { .. }))) {
            t.pass(WORKER_POLL);
        }
        t.done.clear();
        spans.push(t.now().since(opened));
        let session = session(50, 1, 3);
        attempt(&mut t, 50, lease, session);
        refuses(&mut t, lease, session);
        assert_eq!(parked(&t), Some(Parking::Refused));
        let (device, conversation) = (u(51), pair(1, 51));
        attempt(&mut t, 51, lease + 100, courier::id::Session { device, ..session });
        assert_eq!(parked(&t), Some(Parking::BreakerOpen), "{conversation} in half-open");
    }
    let most = |trip: u32| (BREAKER_BASE * 2u32.pow(trip.min(8))).min(BREAKER_CAP);
    for (trip, span) in (0..).zip(spans) {
        let (least, most) = (most(trip) / 2, most(trip) + WORKER_POLL);
        assert!(least <= span && span <= most, "trip {trip} lasted {span:?}");
    }
}

#[test]
fn a_probe_whose_attempt_ends_without_a_verdict_makes_room_for_the_next() {
    let mut t = worker().untold();
    t.boots();
    until_it_opens(&mut t);
    t.pass(BREAKER_BASE);
    attempt(&mut t, 2, 30, on_3());
    t.receives(DATABASE, renewed(30, false));
    attempt(&mut t, 40, 40, session(40, 1, 3));
    assert_eq!(parked(&t), None, "the next one probes");
    attempt(&mut t, 41, 41, session(41, 1, 3));
    assert_eq!(parked(&t), Some(Parking::BreakerOpen));
}

#[test]
fn a_gateway_that_has_booted_since_owes_nothing_for_its_predecessor() {
    let mut t = worker().without(&["Claim", "Poll", "Claimed", "Locate", "Renew"]);
    t.unseen(|t| {
        t.boots();
        until_it_opens(t);
    });
    let session = Session { incarnation: Incarnation(2), ..session(30, 1, 3) };
    attempt(&mut t, 30, 30, session);
    golden!(t);
}

#[test]
fn phones_that_stay_silent_are_not_their_gateways_fault() {
    let mut t = worker().untold();
    t.boots();
    for user in 2..=2 * BREAKER_FAILURES {
        let (lease, session) = (u64::from(user), session(user, 1, 3));
        attempt(&mut t, user, lease, session);
        t.receives(server(3), taken(session, lease));
    }
    t.pass(ACKNOWLEDGE_LIMIT);
    let silent = |action: &&Action| {
        matches!(action, Action::Note(Note::Parked { why: Parking::NoAnswer, .. }))
    };
    assert_eq!(t.done.iter().filter(silent).count() as u32, 2 * BREAKER_FAILURES - 1);
    attempt(&mut t, 90, 90, session(90, 1, 3));
    assert_eq!(parked(&t), None);
    t.beat("but a gateway that gives no word at all is another matter");
    for user in 91..91 + BREAKER_FAILURES {
        attempt(&mut t, user, u64::from(user), session(user, 1, 3));
    }
    t.pass(ATTEMPT_LIMIT);
    assert!(t.done.contains(&Action::Note(Note::BreakerOpened { gateway: server(3) })));
}

/// opossum and its like are reset by hand; a breaker without a half-open state never is.
#[test]
fn a_breaker_that_never_closes_stays_open_for_every_later_process_too() {
    let mut t = designed(Retry::BreakerNeverCloses).untold();
    t.boots();
    until_it_opens(&mut t);
    t.pass(BREAKER_CAP * 100);
    attempt(&mut t, 30, 30, session(30, 1, 3));
    assert_eq!(parked(&t), Some(Parking::BreakerOpen));
    let booted = Session { incarnation: Incarnation(2), ..session(31, 1, 3) };
    attempt(&mut t, 31, 31, booted);
    assert_eq!(parked(&t), Some(Parking::BreakerOpen));
}

#[test]
fn without_a_guard_nobody_is_left_alone() {
    for retry in [Retry::Immediate, Retry::Fixed, Retry::BackoffNoJitter] {
        let mut t = designed(retry).untold();
        t.boots();
        until_it_opens(&mut t);
        until_it_opens(&mut t);
        attempt(&mut t, 50, 50, session(50, 1, 3));
        assert_eq!(parked(&t), None, "{retry:?}");
    }
}

/// Every row of a restarted database is due at once. A worker takes a burst of them, then what its
/// budget's floor allows, and more only as attempts deliver.
#[test]
fn a_worker_claims_no_more_than_its_budget_allows() {
    let mut t = worker().untold();
    t.boots();
    let mut claimed = 0;
    while let Some(most) = asked(&t) {
        let claims = (0..most).map(|row| {
            let user = 2 + claimed + row;
            Claim { device: u(user), conversation: pair(1, user), ..again(u64::from(user), 0) }
        });
        let claims = claims.collect();
        t.receives(DATABASE, Wire::Claimed { claims });
        claimed += most;
        if asked(&t).is_none() {
            break;
        }
    }
    assert_eq!(claimed, RETRY_TOKENS_MAX, "a burst");
    t.pass(WORKER_POLL);
    assert_eq!(asked(&t), Some(RETRY_TOKENS_PER_S / 2), "then the floor");
    let (session, conversation) = (on_3(), pair(1, 2));
    t.receives(REGISTRY, Wire::Located { device: u(2), conversation, session: Some(session) });
    let outcome = OfferOutcome::Acknowledged(stamp(1));
    t.receives(server(3), Wire::Offered { session, conversation, term: term(2), outcome });
    t.pass(WORKER_POLL);
    assert_eq!(asked(&t), Some(RETRY_TOKENS_PER_S + 1), "and one more for what was delivered");
}

/// How many rows the last step asked for.
fn asked(t: &Script<Worker>) -> Option<u32> {
    t.last.iter().find_map(|action| match action {
        Action::Send { wire: Wire::Claim { most }, .. } => Some(*most),
        _ => None,
    })
}
