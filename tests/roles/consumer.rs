//! The registry consumer: polls, applies, commits, in that order, at its own rate.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::consumer::{Config, Consumer};
use courier::design::Design;
use courier::limits::{CONSUMER_BATCH, CONSUMER_POLL, LOG_PARTITIONS, RETRY_STORE};
use courier::node::{Action, Timer};
use courier::timing::Timing;
use courier::wire::{Displacement, SessionEvent, Wire};
use std::sync::Arc;
use std::time::Duration;

/// A consumer of which the trace shows one partition: the others never get an answer.
fn consumer(timing: Timing) -> Script<Consumer> {
    let config = Config { directory: fleet(), timing: Arc::new(timing), design: Design::default() };
    let mut t = Script::new(CONSUMER, Consumer::boot(config));
    t.unseen(|t| {
        t.boots();
        assert_eq!(t.last.len(), 2 * LOG_PARTITIONS as usize, "one question per partition");
        (1..LOG_PARTITIONS).for_each(|other| {
            t.forgets(Timer::Retry(other));
        });
    });
    t
}

fn polled(from: u64, events: Vec<SessionEvent>) -> Wire {
    Wire::Polled { partition: 0, from, end: from + events.len() as u64, events }
}

fn applied(next: u64) -> Wire {
    Wire::Applied { partition: 0, next, displaced: vec![], dead: vec![] }
}

#[test]
fn it_commits_only_what_the_registry_has_applied() {
    let mut t = consumer(Timing::default());
    let (old, new) = (session(2, 1, 1), session(2, 2, 3));
    let events = vec![SessionEvent::Opened(new), SessionEvent::Closed(session(3, 1, 1))];
    t.receives(EVENT_LOG, polled(0, events));
    t.beat("the gateway of a session that lost is told, and waiting rows are woken");
    let displaced = vec![Displacement { loser: old, winner: 2 }];
    t.receives(REGISTRY, Wire::Applied { partition: 0, next: 2, displaced, dead: vec![] });
    t.receives(EVENT_LOG, Wire::Committed { partition: 0, next: 2 });
    t.beat("the controlled rate: one batch per interval").pass(CONSUMER_POLL);
    golden!(t);
}

#[test]
fn a_question_without_an_answer_is_asked_again() {
    let mut t = consumer(Timing::default());
    t.pass(RETRY_STORE);
    t.receives(EVENT_LOG, polled(0, vec![SessionEvent::Opened(session(2, 1, 1))]));
    t.pass(RETRY_STORE).receives(REGISTRY, applied(1));
    t.pass(RETRY_STORE).receives(EVENT_LOG, Wire::Committed { partition: 0, next: 1 });
    golden!(t);
}

#[test]
fn answers_to_an_earlier_try_change_nothing() {
    let mut t = consumer(Timing::default());
    let opened = |epoch| SessionEvent::Opened(session(2, epoch, 1));
    t.unseen(|t| {
        t.receives(EVENT_LOG, polled(0, vec![opened(1)])).receives(REGISTRY, applied(1));
        t.receives(EVENT_LOG, Wire::Committed { partition: 0, next: 1 });
        t.pass(CONSUMER_POLL).receives(EVENT_LOG, polled(1, vec![opened(2)]));
    });
    t.beat("it is applying the second entry; the answers about the first come once more");
    t.receives(EVENT_LOG, polled(0, vec![opened(1)])).receives(REGISTRY, applied(1));
    t.receives(EVENT_LOG, Wire::Committed { partition: 0, next: 1 });
    t.receives(REGISTRY, applied(2));
    golden!(t);
}

#[test]
fn a_store_that_is_down_is_asked_again_when_the_timer_fires() {
    let mut t = consumer(Timing::default());
    let question = Wire::Poll { partition: 0, from: None, most: CONSUMER_BATCH };
    t.refused(EVENT_LOG, question).pass(RETRY_STORE);
    golden!(t);
}

#[test]
fn a_lagging_consumer_applies_nothing_before_it_is_ripe() {
    let consumer_lag = Duration::from_secs(3);
    let mut t = consumer(Timing { consumer_lag, ..Timing::default() });
    let opened = || vec![SessionEvent::Opened(session(2, 1, 1))];
    t.pass(Duration::from_secs(1)).receives(EVENT_LOG, polled(0, opened()));
    t.pass(CONSUMER_POLL).pass(Duration::from_millis(1_900));
    t.beat("known for two seconds: too young").receives(EVENT_LOG, polled(0, opened()));
    t.pass(CONSUMER_POLL).pass(Duration::from_millis(900));
    t.beat("known for three seconds").receives(EVENT_LOG, polled(0, opened()));
    golden!(t);
}

#[test]
fn a_new_consumer_asks_for_the_groups_own_place() {
    let config = Config {
        directory: fleet(),
        timing: Arc::new(Timing::default()),
        design: Design::default(),
    };
    let mut t = Script::new(CONSUMER, Consumer::boot(config)).without(&["Retry"]);
    t.boots();
    golden!(t);
}

#[test]
fn a_group_that_has_committed_more_already_does_not_stall_it() {
    // A late answer to its earlier life's poll took it back before what the group has committed.
    let mut t = consumer(Timing::default()).untold();
    t.receives(EVENT_LOG, polled(10, vec![SessionEvent::Opened(session(2, 1, 1))]));
    t.receives(REGISTRY, applied(11));
    t.receives(EVENT_LOG, Wire::Committed { partition: 0, next: 20 });
    let before = t.done.len();
    t.pass(CONSUMER_POLL);
    let polls = |action: &Action| matches!(action, Action::Send { wire: Wire::Poll { .. }, .. });
    assert!(t.done[before..].iter().any(polls), "it commits for ever: {:?}", t.last);
}
