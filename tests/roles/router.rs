//! An app server: a message's way in, and the first attempt at its way out.
//!
//! Three outcomes must not be confused: answered, refused, no answer.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::design::{Design, Fallback};
use courier::id::{Session, Term};
use courier::limits::{ACKNOWLEDGE_LIMIT, APPEND_LIMIT, ATTEMPT_LIMIT};
use courier::node::{Action, Timer};
use courier::router::{Config, Router};
use courier::wire::{Batch, Claim, OfferOutcome, SendOutcome, Wire};

fn app_1() -> Script<Router> {
    Script::new(
        app(1),
        Router::boot(Config { directory: fleet(), entropy: 7, design: Design::default() }),
    )
}

fn route() -> Wire {
    Wire::Route { session: session(1, 1, 3), message: message(1, 1, pair(1, 2)) }
}

fn appended(counter: u32, claims: Vec<Claim>) -> Wire {
    let outcome = SendOutcome::Accepted(stamp(u64::from(counter)));
    Wire::Appended { id: message_id(1, counter), outcome, claims }
}

fn located(session: Option<Session>) -> Wire {
    Wire::Located { device: u(2), conversation: pair(1, 2), session }
}

fn offered(lease: u64, outcome: OfferOutcome) -> Wire {
    Wire::Offered { session: on_1(), conversation: pair(1, 2), term: term(lease), outcome }
}

fn offer(lease: u64) -> Wire {
    let (session, conversation, term) = (on_1(), pair(1, 2), term(lease));
    Wire::Offer { session, conversation, term, batch: batch(1..=1) }
}

fn settled(lease: u64, next: Batch) -> Wire {
    Wire::Settled { device: u(2), conversation: pair(1, 2), term: term(lease), next }
}

/// Where the registry says that user 2 is.
fn on_1() -> Session {
    session(2, 4, 1)
}

/// The message is appended and its recipient is being located.
fn locating() -> Script<Router> {
    let mut t = app_1();
    t.unseen(|t| {
        t.receives(server(3), route());
        t.receives(DATABASE, appended(1, vec![claim(1, 1..=1)]));
    });
    t
}

fn offering() -> Script<Router> {
    let mut t = locating();
    t.unseen(|t| {
        t.receives(REGISTRY, located(Some(on_1())));
    });
    t
}

#[test]
fn a_message_to_an_online_user_is_delivered() {
    let mut t = app_1();
    t.receives(server(3), route());
    t.receives(DATABASE, appended(1, vec![claim(1, 1..=1)]));
    t.receives(REGISTRY, located(Some(on_1())));
    t.receives(server(1), offered(1, OfferOutcome::Acknowledged(stamp(1))));
    t.receives(DATABASE, settled(1, Batch::default()));
    golden!(t);
}

#[test]
fn a_message_to_an_offline_user_is_parked() {
    let mut t = app_1();
    t.receives(server(3), route());
    t.receives(DATABASE, appended(1, vec![claim(1, 1..=1)]));
    t.receives(REGISTRY, located(None));
    golden!(t);
}

#[test]
fn a_refused_offer_is_a_definite_no_and_evicts_that_row() {
    let mut t = offering();
    t.refused(server(1), offer(1));
    golden!(t);
}

#[test]
fn not_here_is_a_definite_no_and_evicts_that_row() {
    let mut t = offering();
    t.receives(server(1), offered(1, OfferOutcome::NotHere));
    golden!(t);
}

#[test]
fn a_busy_connection_costs_a_wait_and_no_eviction() {
    let mut t = offering();
    t.receives(server(1), offered(1, OfferOutcome::Busy));
    golden!(t);
}

#[test]
fn a_registry_that_is_down_says_nothing_about_the_device() {
    let mut t = locating();
    t.refused(REGISTRY, Wire::Locate { device: u(2), conversation: pair(1, 2) });
    golden!(t);
}

#[test]
fn no_answer_is_not_a_no_and_leaves_the_row_to_its_lease() {
    let mut t = offering();
    t.pass(ATTEMPT_LIMIT);
    golden!(t);
}

#[test]
fn a_push_without_a_lease_renews_none_and_parks_the_message_of_a_silent_phone() {
    let design = Design { fallback: Fallback::AfterFailedPush, ..Design::default() };
    let config = Config { directory: fleet(), entropy: 7, design };
    let mut t = Script::new(app(1), Router::boot(config));
    t.unseen(|t| {
        t.receives(server(3), route());
        let claim = Claim { term: Term::UNLEASED, ..claim(1, 1..=1) };
        t.receives(DATABASE, appended(1, vec![claim]));
        t.receives(REGISTRY, located(Some(on_1())));
    });
    let (session, conversation, term) = (on_1(), pair(1, 2), Term::UNLEASED);
    t.receives(server(1), Wire::Taken { session, conversation, term });
    t.pass(ACKNOWLEDGE_LIMIT);
    let (device, from) = (u(2), stamp(1));
    assert!(t.sent(&Wire::Park { device, conversation, from }));
    golden!(t);
}

#[test]
fn an_acknowledgement_after_the_attempt_still_moves_the_cursor() {
    let mut t = offering();
    t.pass(ATTEMPT_LIMIT);
    t.receives(server(1), offered(1, OfferOutcome::Acknowledged(stamp(1))));
    golden!(t);
}

#[test]
fn a_late_no_is_only_noted() {
    let mut t = offering();
    t.pass(ATTEMPT_LIMIT);
    t.receives(server(1), offered(1, OfferOutcome::NotHere));
    t.beat("a refusal that late is about a connection long given up");
    t.refused(server(1), offer(1));
    golden!(t);
}

#[test]
fn answers_to_an_earlier_term_do_not_touch_the_current_attempt() {
    let mut t = offering();
    t.unseen(|t| {
        t.pass(ATTEMPT_LIMIT);
        t.receives(DATABASE, appended(2, vec![claim(2, 1..=2)]));
        t.receives(REGISTRY, located(Some(on_1())));
    });
    t.beat("term 2 is being offered on the same session");
    t.receives(server(1), offered(1, OfferOutcome::NotHere));
    t.refused(server(1), offer(1));
    t.receives(DATABASE, settled(1, Batch::default()));
    t.receives(server(1), offered(1, OfferOutcome::Acknowledged(stamp(1))));
    t.receives(server(1), offered(2, OfferOutcome::Acknowledged(stamp(2))));
    golden!(t);
}

#[test]
fn what_came_meanwhile_is_offered_at_once_under_the_same_lease() {
    let mut t = offering();
    t.receives(server(1), offered(1, OfferOutcome::Acknowledged(stamp(1))));
    t.receives(DATABASE, settled(1, batch(2..=3)));
    t.receives(server(1), offered(1, OfferOutcome::Acknowledged(stamp(3))));
    t.receives(DATABASE, settled(1, Batch::default()));
    golden!(t);
}

#[test]
fn a_settlement_without_an_answer_ends_in_silence() {
    let mut t = offering();
    t.receives(server(1), offered(1, OfferOutcome::Acknowledged(stamp(1))));
    t.beat("the device has it; if the database did not hear, it is offered again");
    t.pass(ATTEMPT_LIMIT);
    golden!(t);
}

#[test]
fn a_resend_that_meets_its_earlier_self_is_answered_once() {
    let mut t = app_1();
    t.receives(server(3), route());
    t.beat("the device has reconnected and sends it again").receives(server(2), route());
    t.receives(DATABASE, appended(1, vec![]));
    t.receives(DATABASE, appended(1, vec![]));
    golden!(t);
}

#[test]
fn a_database_that_does_not_answer_leaves_the_send_to_its_device() {
    let mut t = app_1();
    t.receives(server(3), route()).pass(APPEND_LIMIT);
    t.beat("a late answer has nobody to go to, but its claims are this router's");
    t.receives(DATABASE, appended(1, vec![claim(1, 1..=1)]));
    golden!(t);
}

#[test]
fn a_database_that_is_down_is_not_waited_for() {
    let mut t = app_1();
    t.receives(server(3), route());
    t.refused(DATABASE, Wire::Append { message: message(1, 1, pair(1, 2)), number: None });
    golden!(t);
}

#[test]
fn a_group_message_is_attempted_for_each_device_by_itself() {
    let mut t = app_1();
    let to = |user, lease| Claim {
        device: u(user),
        conversation: group(),
        batch: batch_of(vec![entry(1, message(1, 1, group()))]),
        ..claim(lease, 1..=1)
    };
    t.receives(
        server(3),
        Wire::Route { session: session(1, 1, 3), message: message(1, 1, group()) },
    );
    t.receives(DATABASE, appended(1, vec![to(2, 1), to(3, 2)]));
    let located = |user, session| Wire::Located { device: u(user), conversation: group(), session };
    t.receives(REGISTRY, located(3, None));
    t.receives(REGISTRY, located(2, Some(on_1())));
    golden!(t);
}

/// The network may repeat an `Appended` whose attempt is long over. Its claim is of the past: it
/// must not take the place of the one that the database holds valid now.
#[test]
fn an_older_claim_never_takes_the_place_of_a_newer_one() {
    let mut t = offering();
    t.receives(server(1), offered(1, OfferOutcome::Acknowledged(stamp(1))));
    t.receives(DATABASE, settled(1, Batch::default()));
    t.receives(DATABASE, appended(2, vec![claim(2, 2..=2)]));
    t.receives(REGISTRY, located(Some(on_1())));
    t.beat("the first answer once more");
    t.receives(DATABASE, appended(1, vec![claim(1, 1..=1)]));
    t.receives(server(1), offered(2, OfferOutcome::Acknowledged(stamp(2))));
    assert!(
        t.last.iter().any(|action| matches!(
            action,
            Action::Send { wire: Wire::Settle { term: current, .. }, .. } if *current == term(2)
        )),
        "the device acknowledged under the valid term, and nobody settled:\n{}",
        t.trace()
    );
    assert!(t.is_set(Timer::Attempt(u(2), pair(1, 2))));
}
