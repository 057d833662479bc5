//! The delivery worker: what is due is attempted again, under a lease of its own.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::design::Design;
use courier::limits::{ATTEMPT_LIMIT, CLAIM_ROWS_MAX, WORKER_POLL};
use courier::node::Action;
use courier::wire::{Batch, Claim, OfferOutcome, Wire};
use courier::worker::{Config, Worker};

fn worker() -> Script<Worker> {
    Script::new(
        WORKER,
        Worker::boot(Config { directory: fleet(), entropy: 7, design: Design::default() }),
    )
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
