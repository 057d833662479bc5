//! The event log: entries in order, read and acknowledged when durable.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::disk::Disk;
use courier::event_log::EventLog;
use courier::id::{BatchId, Incarnation, Place};
use courier::limits::GROUP_HEARTBEAT;
use courier::node::Command;
use courier::wire::{SessionEvent, Wire};
use std::time::Duration;

/// A log whose group has one member, in generation 1.
fn log() -> Script<EventLog> {
    let mut t = empty();
    t.unseen(|t| {
        t.receives(CONSUMER, JOIN).synced();
    });
    t
}

fn empty() -> Script<EventLog> {
    Script::new(EVENT_LOG, EventLog::boot(&Disk::default())).without(&["GroupSession"])
}

const JOIN: Wire = Wire::JoinGroup { member: 71 };

/// Another process, on another host.
const OTHER_JOINS: Wire = Wire::JoinGroup { member: 72 };

fn beats(generation: u32) -> Wire {
    Wire::GroupHeartbeat { member: 71, generation }
}

fn commit(generation: u32, next: u64) -> Wire {
    Wire::Commit { generation, partition: PARTITION, next: place(next) }
}

/// User 2's events.
const PARTITION: u32 = 6;

fn publish(batch: u32, epochs: std::ops::RangeInclusive<u32>) -> Wire {
    let events = epochs.map(|epoch| SessionEvent::Opened(session(2, epoch, 1))).collect();
    Wire::Publish { batch: BatchId { incarnation: Incarnation(1), number: batch }, events }
}

fn poll(from: Option<u64>) -> Wire {
    poll_in(1, from)
}

fn poll_in(generation: u32, from: Option<u64>) -> Wire {
    Wire::Poll { generation, partition: PARTITION, from: from.map(place), most: 2 }
}

#[test]
fn an_entry_is_read_only_when_it_is_durable() {
    let mut t = log();
    t.pass(Duration::from_secs(3)).receives(server(1), publish(1, 1..=2));
    t.receives(CONSUMER, poll(None));
    t.synced().receives(CONSUMER, poll(Some(0)));
    golden!(t);
}

#[test]
fn a_batch_is_acknowledged_with_its_last_entry() {
    let mut t = log();
    t.receives(server(1), publish(1, 1..=2)).receives(server(2), publish(7, 3..=3));
    // The first record is the group's.
    t.synced_up_to(2).synced_up_to(3).synced();
    golden!(t);
}

#[test]
fn the_group_goes_on_where_it_committed() {
    let mut t = log();
    t.unseen(|t| {
        t.receives(server(1), publish(1, 1..=5)).synced();
    });
    t.receives(CONSUMER, poll(Some(0)));
    t.receives(CONSUMER, commit(1, 2)).synced();
    t.receives(CONSUMER, poll(Some(2)));
    t.beat("a delayed commit does not take the group back");
    t.receives(CONSUMER, commit(1, 1)).synced();
    t.beat("a consumer that has lost its place").receives(CONSUMER, poll(None));
    golden!(t);
}

#[test]
fn a_crash_loses_what_was_not_acknowledged() {
    let mut t = log();
    t.receives(server(1), publish(1, 1..=1)).synced();
    t.receives(CONSUMER, commit(1, 1)).synced();
    t.receives(server(1), publish(2, 2..=2));
    t.reboot(EventLog::boot);
    t.receives(server(1), publish(2, 2..=2)).synced();
    t.beat("the group is empty; its generations go on").receives(CONSUMER, beats(1));
    t.receives(CONSUMER, JOIN).synced();
    t.receives(CONSUMER, poll_in(2, None));
    golden!(t);
}

#[test]
fn a_rebalance_shares_the_partitions_once_it_is_durable() {
    let mut t = empty();
    t.receives(CONSUMER, JOIN).receives(CONSUMER_2, OTHER_JOINS);
    t.beat("asked again, nothing is told before it is in force").receives(CONSUMER, JOIN);
    t.synced_up_to(1).synced();
    t.beat("neither a heartbeat nor a repeated join is a rebalance");
    t.receives(CONSUMER, beats(2)).receives(CONSUMER, JOIN);
    golden!(t);
}

#[test]
fn a_member_that_falls_silent_loses_its_partitions() {
    let mut t = log();
    t.unseen(|t| {
        t.receives(CONSUMER_2, OTHER_JOINS).synced();
        for _ in 0..5 {
            t.pass(GROUP_HEARTBEAT).receives(CONSUMER, beats(2));
        }
    });
    t.beat("only the first has beaten; the other wakes up").synced();
    t.receives(CONSUMER_2, Wire::Commit { generation: 2, partition: PARTITION, next: place(9) });
    t.receives(CONSUMER_2, Wire::GroupHeartbeat { member: 72, generation: 2 });
    t.receives(CONSUMER_2, OTHER_JOINS).synced();
    golden!(t);
}

#[test]
fn a_member_that_leaves_gives_its_partitions_to_the_others() {
    let mut t = log();
    t.unseen(|t| {
        t.receives(CONSUMER_2, OTHER_JOINS).synced();
    });
    t.receives(CONSUMER_2, Wire::LeaveGroup { member: 72 }).synced();
    t.beat("said twice, it has left once").receives(CONSUMER_2, Wire::LeaveGroup { member: 72 });
    golden!(t);
}

#[test]
fn a_poll_that_is_held_is_never_answered_to_a_fenced_member() {
    let mut t = log();
    t.receives(CONSUMER, poll(None));
    t.beat("another process on this host, and so another generation");
    t.receives(CONSUMER, Wire::JoinGroup { member: 73 }).synced();
    t.receives(server(1), publish(1, 1..=1)).synced();
    t.beat("what its predecessor asks is refused, and so are its commits");
    t.receives(CONSUMER, poll(None)).receives(CONSUMER, commit(1, 1));
    t.beat("its own question is answered").receives(CONSUMER, poll_in(2, Some(0)));
    golden!(t);
}

/// A log whose group has read and committed five entries, of which the replica lacks the last two;
/// the second leader has one member in generation 2.
fn led_by_a_replica() -> Script<EventLog> {
    let mut t = log();
    t.unseen(|t| {
        t.receives(server(1), publish(1, 1..=3)).synced();
        t.receives(server(1), publish(2, 4..=5)).synced();
        t.receives(CONSUMER, commit(1, 5)).synced();
        t.fails_over(3, EventLog::boot).synced();
        t.receives(CONSUMER, JOIN).synced();
    });
    t
}

#[test]
fn a_leader_that_lacks_entries_says_so_in_its_epoch() {
    let mut t = log();
    t.receives(server(1), Wire::AskLeader);
    t.receives(server(1), publish(1, 1..=3)).synced();
    t.receives(CONSUMER, commit(1, 3)).synced();
    t.beat("the replica lacks two entries; what the group has committed is kept apart");
    t.fails_over(3, EventLog::boot).receives(server(1), Wire::AskLeader);
    t.synced().receives(CONSUMER, JOIN).synced();
    t.receives(CONSUMER, poll_in(2, None));
    golden!(t);
}

#[test]
fn a_place_is_not_taken_for_what_has_its_offset_now() {
    let mut t = led_by_a_replica();
    t.beat("three more entries, so that the fifth is one that nobody has read");
    t.receives(server(1), publish(3, 7..=9)).synced();
    t.receives(CONSUMER, poll_in(2, None));
    t.beat("from where both agree on: first what the second leader has written");
    t.receives(CONSUMER, poll_in(2, Some(3)));
    let next = Place { epoch: 2, offset: 5 };
    t.beat("a place of the second leader is later than any of the first");
    t.receives(CONSUMER, Wire::Commit { generation: 2, partition: PARTITION, next }).synced();
    t.receives(CONSUMER, commit(2, 5)).synced();
    t.receives(CONSUMER, poll_in(2, None));
    golden!(t);
}

#[test]
fn one_answer_holds_the_entries_of_one_leader() {
    let mut t = led_by_a_replica();
    t.unseen(|t| {
        t.receives(server(1), publish(3, 7..=9)).synced();
    });
    t.receives(CONSUMER, poll_in(2, Some(2)));
    golden!(t);
}

#[test]
fn a_leader_counts_again_if_it_dies_before_it_has_counted() {
    let mut t = log();
    t.receives(server(1), publish(1, 1..=2)).synced();
    t.fails_over(1, EventLog::boot);
    t.beat("its epoch was not durable: the same one, not the next");
    t.reboot(EventLog::boot).synced();
    t.beat("it was: nothing to say").reboot(EventLog::boot);
    t.beat("another replica, the third leader").fails_over(0, EventLog::boot);
    t.receives(server(1), Wire::AskLeader);
    golden!(t);
}

#[test]
fn what_the_group_has_committed_can_be_forgotten() {
    let mut t = log();
    t.unseen(|t| {
        t.receives(server(1), publish(1, 1..=3)).synced();
        t.receives(CONSUMER, commit(1, 2)).synced();
    });
    t.commanded(Command::ForgetOffsets).synced();
    t.beat("a member that knows its place goes on").receives(CONSUMER, poll(Some(2)));
    t.beat("one that does not is told what there is").receives(CONSUMER, poll(None));
    t.beat("it stays forgotten").reboot(EventLog::boot);
    t.receives(CONSUMER, JOIN).synced().receives(CONSUMER, poll_in(2, None));
    golden!(t);
}

#[test]
fn a_garbled_record_is_an_entry_like_any_other() {
    let mut t = log().without(&["GroupSession", "append"]);
    t.receives(CONSUMER, poll(None)).commanded(Command::Garble).synced();
    golden!(t);
}

#[test]
fn a_batch_that_comes_again_is_appended_again() {
    let mut t = log().without(&["GroupSession", "sync"]);
    t.receives(server(1), publish(1, 1..=1)).receives(server(1), publish(1, 1..=1));
    t.beat("numbers are each gateway's own").receives(server(2), publish(1, 2..=2));
    t.receives(server(1), publish(2, 3..=3)).synced();
    golden!(t);
}
