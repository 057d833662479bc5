//! The event log: entries in order, read and acknowledged when durable.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::disk::Disk;
use courier::event_log::EventLog;
use courier::id::{BatchId, Incarnation};
use courier::wire::{SessionEvent, Wire};
use std::time::Duration;

fn log() -> Script<EventLog> {
    Script::new(EVENT_LOG, EventLog::boot(&Disk::default()))
}

/// User 2's events.
const PARTITION: u32 = 6;

fn publish(batch: u32, epochs: std::ops::RangeInclusive<u32>) -> Wire {
    let events = epochs.map(|epoch| SessionEvent::Opened(session(2, epoch, 1))).collect();
    Wire::Publish { batch: BatchId { incarnation: Incarnation(1), number: batch }, events }
}

fn poll(from: Option<u64>) -> Wire {
    Wire::Poll { partition: PARTITION, from, most: 2 }
}

#[test]
fn an_entry_is_read_only_when_it_is_durable() {
    let mut t = log();
    t.pass(Duration::from_secs(3)).receives(server(1), publish(1, 1..=2));
    t.receives(CONSUMER, poll(None));
    t.synced().receives(CONSUMER, poll(None));
    golden!(t);
}

#[test]
fn a_batch_is_acknowledged_with_its_last_entry() {
    let mut t = log();
    t.receives(server(1), publish(1, 1..=2)).receives(server(2), publish(7, 3..=3));
    t.synced_up_to(1).synced_up_to(2).synced();
    golden!(t);
}

#[test]
fn the_group_goes_on_where_it_committed() {
    let mut t = log();
    t.unseen(|t| {
        t.receives(server(1), publish(1, 1..=5)).synced();
    });
    t.receives(CONSUMER, poll(None));
    t.receives(CONSUMER, Wire::Commit { partition: PARTITION, next: 2 }).synced();
    t.receives(CONSUMER, poll(Some(2)));
    t.beat("a delayed commit does not take the group back");
    t.receives(CONSUMER, Wire::Commit { partition: PARTITION, next: 1 }).synced();
    t.beat("a consumer that has lost its place").receives(CONSUMER, poll(None));
    golden!(t);
}

#[test]
fn a_crash_loses_what_was_not_acknowledged() {
    let mut t = log();
    t.receives(server(1), publish(1, 1..=1)).synced();
    t.receives(CONSUMER, Wire::Commit { partition: PARTITION, next: 1 }).synced();
    t.receives(server(1), publish(2, 2..=2));
    t.reboot(EventLog::boot);
    t.receives(server(1), publish(2, 2..=2)).synced();
    t.receives(CONSUMER, poll(None));
    golden!(t);
}
