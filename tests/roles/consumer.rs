//! The registry consumer: polls, applies, commits, in that order, at its own rate.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::consumer::{Config, Consumer};
use courier::design::{Design, OffsetReset, Poison};
use courier::id::Place;
use courier::limits::{
    CONSUMER_BATCH, CONSUMER_POLL, GROUP_HEARTBEAT, LOG_PARTITIONS, RETRY_STORE, SESSION_TIMEOUT,
};
use courier::node::{Action, Timer};
use courier::timing::Timing;
use courier::wire::{Displacement, SessionEvent, Wire};
use std::sync::Arc;
use std::time::Duration;

fn fresh(timing: Timing) -> Script<Consumer> {
    designed(Design::default(), timing)
}

fn designed(design: Design, timing: Timing) -> Script<Consumer> {
    let timing = Arc::new(timing);
    let config = Config { directory: fleet(), timing, design, entropy: MEMBER };
    Script::new(CONSUMER, Consumer::boot(config))
}

/// What this process is called in its group.
const MEMBER: u64 = 71;

fn assigned(generation: u32, partitions: impl IntoIterator<Item = u32>) -> Wire {
    let partitions = partitions.into_iter().collect();
    Wire::Assigned { member: MEMBER, generation, partitions }
}

/// A consumer alone in its group, of which the trace shows one partition and nothing of the group:
/// the other partitions never get an answer.
fn consumer(timing: Timing) -> Script<Consumer> {
    alone(fresh(timing))
}

fn alone(consumer: Script<Consumer>) -> Script<Consumer> {
    let mut t = consumer.without(&["GroupHeartbeat"]);
    t.unseen(|t| {
        t.boots().receives(EVENT_LOG, assigned(1, 0..LOG_PARTITIONS));
        assert_eq!(t.last.len(), 2 * LOG_PARTITIONS as usize + 1, "one question per partition");
        (1..LOG_PARTITIONS).for_each(|other| {
            t.forgets(Timer::Retry(other));
        });
    });
    t
}

fn polled(from: u64, events: Vec<SessionEvent>) -> Wire {
    let end = from + events.len() as u64;
    Wire::Polled { generation: 1, partition: 0, from: place(from), events, epoch: 1, end }
}

fn applied(next: u64) -> Wire {
    Wire::Applied { partition: 0, next: place(next), displaced: vec![], dead: vec![] }
}

#[test]
fn it_commits_only_what_the_registry_has_applied() {
    let mut t = consumer(Timing::default());
    let (old, new) = (session(2, 1, 1), session(2, 2, 3));
    let events = vec![SessionEvent::Opened(new), SessionEvent::Closed(session(3, 1, 1))];
    t.receives(EVENT_LOG, polled(0, events));
    t.beat("the gateway of a session that lost is told, and waiting rows are woken");
    let displaced = vec![Displacement { loser: old, winner: 2 }];
    t.receives(REGISTRY, Wire::Applied { partition: 0, next: place(2), displaced, dead: vec![] });
    t.receives(EVENT_LOG, Wire::Committed { generation: 1, partition: 0, next: place(2) });
    t.beat("the controlled rate: one batch per interval").pass(CONSUMER_POLL);
    golden!(t);
}

#[test]
fn a_question_without_an_answer_is_asked_again() {
    let mut t = consumer(Timing::default());
    t.pass(RETRY_STORE);
    t.receives(EVENT_LOG, polled(0, vec![SessionEvent::Opened(session(2, 1, 1))]));
    t.pass(RETRY_STORE).receives(REGISTRY, applied(1));
    t.pass(RETRY_STORE)
        .receives(EVENT_LOG, Wire::Committed { generation: 1, partition: 0, next: place(1) });
    golden!(t);
}

#[test]
fn answers_to_an_earlier_try_change_nothing() {
    let mut t = consumer(Timing::default());
    let opened = |epoch| SessionEvent::Opened(session(2, epoch, 1));
    t.unseen(|t| {
        t.receives(EVENT_LOG, polled(0, vec![opened(1)])).receives(REGISTRY, applied(1));
        t.receives(EVENT_LOG, Wire::Committed { generation: 1, partition: 0, next: place(1) });
        t.pass(CONSUMER_POLL).receives(EVENT_LOG, polled(1, vec![opened(2)]));
    });
    t.beat("it is applying the second entry; the answers about the first come once more");
    t.receives(EVENT_LOG, polled(0, vec![opened(1)])).receives(REGISTRY, applied(1));
    t.receives(EVENT_LOG, Wire::Committed { generation: 1, partition: 0, next: place(1) });
    t.receives(REGISTRY, applied(2));
    golden!(t);
}

#[test]
fn a_store_that_is_down_is_asked_again_when_the_timer_fires() {
    let mut t = consumer(Timing::default());
    let question = Wire::Poll { generation: 1, partition: 0, from: None, most: CONSUMER_BATCH };
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
    let mut t = fresh(Timing::default()).without(&["Retry"]);
    t.boots().pass(RETRY_STORE);
    t.beat("to another process of this host: not to this one");
    t.receives(EVENT_LOG, Wire::Assigned { member: 70, generation: 4, partitions: vec![0] });
    t.receives(EVENT_LOG, assigned(5, [0, 1]));
    t.beat("overtaken by that").receives(EVENT_LOG, assigned(4, [6, 7]));
    golden!(t);
}

#[test]
fn what_stays_in_a_rebalance_goes_on_where_it_is() {
    let mut t = fresh(Timing::default()).without(&["Retry", "GroupHeartbeat"]);
    t.unseen(|t| {
        t.boots().receives(EVENT_LOG, assigned(1, [0, 1]));
    });
    t.receives(EVENT_LOG, polled(0, vec![SessionEvent::Opened(session(2, 1, 1))]));
    t.beat(
        "it keeps the batch that is being applied, and commits it as a member of this generation",
    );
    t.receives(EVENT_LOG, assigned(2, [0, 2])).receives(REGISTRY, applied(1));
    golden!(t);
}

#[test]
fn a_zombie_is_told_by_its_commit_and_joins_again() {
    let mut t = consumer(Timing::default());
    t.receives(EVENT_LOG, polled(0, vec![SessionEvent::Opened(session(2, 1, 1))]));
    t.beat("it is paused; the group goes on without it").receives(REGISTRY, applied(1));
    t.receives(EVENT_LOG, Wire::Fenced { generation: 1, partition: 0 });
    t.receives(EVENT_LOG, Wire::UnknownMember { member: MEMBER });
    t.beat("what was meant for its earlier generation finds nothing");
    t.receives(EVENT_LOG, Wire::Committed { generation: 1, partition: 0, next: place(1) });
    t.receives(EVENT_LOG, assigned(3, [0]));
    golden!(t);
}

#[test]
fn a_consumer_that_cannot_reach_the_registry_leaves_the_group_for_a_while() {
    let mut t = consumer(Timing::default());
    t.unseen(|t| {
        t.receives(EVENT_LOG, polled(0, vec![SessionEvent::Opened(session(2, 1, 1))]));
        for _ in 0..9 {
            t.pass(GROUP_HEARTBEAT).receives(EVENT_LOG, assigned(1, 0..LOG_PARTITIONS));
        }
    });
    t.pass(2 * GROUP_HEARTBEAT);
    let left = Wire::LeaveGroup { member: MEMBER };
    let left = |action: &Action| matches!(action, Action::Send { wire, .. } if *wire == left);
    assert!(t.done.iter().any(left), "{}", t.trace());
    let before = t.done.len();
    t.pass(SESSION_TIMEOUT);
    let join = Wire::JoinGroup { member: MEMBER };
    let joins = |action: &Action| matches!(action, Action::Send { wire, .. } if *wire == join);
    assert!(t.done[before..].iter().any(joins), "it never comes back:\n{}", t.trace());
}

#[test]
fn a_displaced_connections_gateway_is_asked_until_it_confirms() {
    let mut t = consumer(Timing::default()).without(&["Retry", "GroupHeartbeat", "Apply", "Poll"]);
    let events =
        vec![SessionEvent::Opened(session(2, 2, 3)), SessionEvent::Opened(session(3, 2, 3))];
    t.unseen(|t| {
        t.receives(EVENT_LOG, polled(0, events));
    });
    let lost = |user| Displacement { loser: session(user, 1, user - 1), winner: 2 };
    let displaced = vec![lost(2), lost(3)];
    t.receives(REGISTRY, Wire::Applied { partition: 0, next: place(2), displaced, dead: vec![] });
    t.beat("server-1 has closed it").receives(server(1), Wire::Displaced(lost(2)));
    t.beat("server-2 is asked again; then its process is not there");
    t.pass(RETRY_STORE).refused(server(2), Wire::Displace(lost(3))).pass(RETRY_STORE);
    golden!(t);
}

#[test]
fn a_group_that_has_committed_more_already_does_not_stall_it() {
    // A late answer to its earlier life's poll took it back before what the group has committed.
    let mut t = consumer(Timing::default()).untold();
    t.receives(EVENT_LOG, polled(10, vec![SessionEvent::Opened(session(2, 1, 1))]));
    t.receives(REGISTRY, applied(11));
    t.receives(EVENT_LOG, Wire::Committed { generation: 1, partition: 0, next: place(20) });
    let before = t.done.len();
    t.pass(CONSUMER_POLL);
    let polls = |action: &Action| matches!(action, Action::Send { wire: Wire::Poll { .. }, .. });
    assert!(t.done[before..].iter().any(polls), "it commits for ever: {:?}", t.last);
}

/// What the second leader of the log calls a place.
fn later(offset: u64) -> Place {
    Place { epoch: 2, offset }
}

#[test]
fn a_log_that_lacks_what_it_has_read_takes_it_back_to_what_both_have() {
    let mut t = consumer(Timing::default()).without(&["GroupHeartbeat", "Wake"]);
    let opened = |epoch| SessionEvent::Opened(session(2, epoch, 1));
    let (generation, partition) = (1, 0);
    t.receives(EVENT_LOG, Wire::Diverged { generation, partition, from: place(5), at: place(3) });
    let events = vec![opened(7), opened(8)];
    t.beat("two entries of the second leader, at offsets that it has read before");
    t.receives(
        EVENT_LOG,
        Wire::Polled { generation, partition, from: place(3), events, epoch: 2, end: 5 },
    );
    t.beat("the registry answers what the first leader's entries were applied with: not this");
    t.receives(REGISTRY, applied(5));
    let (displaced, dead) = (vec![], vec![]);
    t.receives(REGISTRY, Wire::Applied { partition, next: later(5), displaced, dead });
    golden!(t);
}

#[test]
fn answers_about_a_place_that_it_has_left_change_nothing() {
    let mut t = consumer(Timing::default());
    let (generation, partition) = (1, 0);
    t.unseen(|t| {
        t.receives(EVENT_LOG, polled(0, vec![SessionEvent::Opened(session(2, 1, 1))]));
    });
    t.receives(EVENT_LOG, Wire::Unplaced { generation, partition, end: place(9) });
    t.receives(EVENT_LOG, Wire::Diverged { generation, partition, from: place(5), at: place(3) });
    t.receives(REGISTRY, applied(1));
    golden!(t);
}

#[test]
fn a_group_without_a_place_begins_with_the_first_entry() {
    let mut t = consumer(Timing::default());
    t.receives(EVENT_LOG, Wire::Unplaced { generation: 1, partition: 0, end: later(9) });
    golden!(t);
}

#[test]
fn with_latest_a_group_without_a_place_skips_what_is_waiting() {
    let design = Design { offset_reset: OffsetReset::Latest, ..Design::default() };
    let mut t = alone(designed(design, Timing::default()));
    t.receives(EVENT_LOG, Wire::Unplaced { generation: 1, partition: 0, end: later(9) });
    golden!(t);
}

/// Three entries, the second of them unreadable.
fn with_a_bad_one() -> Vec<SessionEvent> {
    let opened = |epoch| SessionEvent::Opened(session(2, epoch, 1));
    vec![opened(1), SessionEvent::GARBLED, opened(3)]
}

fn reads_a_bad_one(poison: Poison) -> Script<Consumer> {
    let design = Design { poison, ..Design::default() };
    let mut t = alone(designed(design, Timing::default())).without(&["GroupHeartbeat", "Wake"]);
    t.beat("what comes before it is applied").receives(EVENT_LOG, polled(0, with_a_bad_one()));
    t.unseen(|t| {
        t.receives(REGISTRY, applied(1));
        t.receives(EVENT_LOG, Wire::Committed { generation: 1, partition: 0, next: place(1) });
    });
    t.pass(CONSUMER_POLL);
    for _ in 0..2 {
        t.receives(EVENT_LOG, polled(1, with_a_bad_one()[1..].to_vec())).pass(RETRY_STORE);
    }
    t.receives(EVENT_LOG, polled(1, with_a_bad_one()[1..].to_vec()));
    t
}

#[test]
fn a_record_that_it_cannot_read_is_set_aside_after_some_tries() {
    let mut t = reads_a_bad_one(Poison::DeadLetter);
    t.receives(EVENT_LOG, Wire::Committed { generation: 1, partition: 0, next: place(2) });
    t.pass(CONSUMER_POLL).receives(EVENT_LOG, polled(2, with_a_bad_one()[2..].to_vec()));
    golden!(t);
}

#[test]
fn with_retry_for_ever_a_bad_record_holds_up_its_partition() {
    let t = reads_a_bad_one(Poison::RetryForEver);
    golden!(t);
}

#[test]
fn with_drop_a_bad_record_is_skipped_without_a_word() {
    let design = Design { poison: Poison::Drop, ..Design::default() };
    let mut t = alone(designed(design, Timing::default()));
    t.receives(EVENT_LOG, polled(0, with_a_bad_one()[1..].to_vec()));
    golden!(t);
}
