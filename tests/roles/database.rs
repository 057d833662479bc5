//! The database: one transaction per send, rows and leases, and nothing visible before it is
//! durable.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::database::{Config, Database};
use courier::design::Design;
use courier::disk::{Disk, Record};
use courier::id::Incarnation;
use courier::limits::{BATCH_ENTRIES_MAX, BEHIND_AFTER, JOB_LIMIT, LEASE, RENEW_EVERY};
use courier::node::Action;
use courier::note::Note;
use courier::time::Wall;
use courier::wire::Wire;
use std::time::Duration;

fn boot(disk: &Disk) -> Database {
    Database::boot(
        Config { directory: fleet(), timing: std::sync::Arc::default(), design: Design::default() },
        disk,
    )
}

fn fresh() -> Script<Database> {
    Script::new(DATABASE, boot(&Disk::default()))
}

fn serving() -> Script<Database> {
    let mut t = fresh();
    t.unseen(|t| {
        t.boots().synced();
    });
    t
}

/// User 1 wrote this many messages to user 2; the row is leased to app-1 under term 1.
fn holding(messages: u32) -> Script<Database> {
    let mut t = serving();
    t.unseen(|t| {
        (1..=messages).for_each(|counter| {
            t.receives(app(1), append(counter)).synced();
        });
    });
    t
}

fn append(counter: u32) -> Wire {
    Wire::Append { message: message(1, counter, pair(1, 2)), number: None }
}

fn settle(lease: u64, seq: u64) -> Wire {
    let (device, conversation) = (u(2), pair(1, 2));
    Wire::Settle { device, conversation, term: term(lease), upto: stamp(seq) }
}

fn release(lease: u64, seconds: u64) -> Wire {
    let (device, conversation) = (u(2), pair(1, 2));
    let retry_after = Duration::from_secs(seconds);
    Wire::Release { device, conversation, term: term(lease), retry_after, rejected: None }
}

fn renew(lease: u64) -> Wire {
    Wire::Renew { device: u(2), conversation: pair(1, 2), term: term(lease) }
}

const CLAIM: Wire = Wire::Claim { most: 10 };

#[test]
fn a_send_is_answered_when_its_transaction_is_durable() {
    let mut t = serving();
    t.receives(app(1), append(1));
    t.beat("until now a crash could have taken it").synced();
    golden!(t);
}

#[test]
fn a_resend_gets_the_original_answer() {
    let mut t = holding(1);
    t.receives(app(2), append(1));
    golden!(t);
}

#[test]
fn a_resend_that_overtakes_its_own_transaction_waits_for_it() {
    let mut t = serving();
    t.receives(app(1), append(1)).receives(app(2), append(1)).receives(app(2), append(1));
    t.beat("one message, one place, each asker answered; the claim goes to the first");
    t.synced();
    golden!(t);
}

#[test]
fn a_stranger_may_not_write_into_a_conversation() {
    let mut t = serving();
    t.receives(app(1), Wire::Append { message: message(4, 1, group()), number: None });
    golden!(t);
}

#[test]
fn every_other_member_gets_a_row_leased_to_the_router() {
    let mut t = serving();
    t.receives(app(1), Wire::Append { message: message(1, 1, group()), number: None }).synced();
    golden!(t);
}

#[test]
fn a_row_that_exists_has_something_earlier_to_deliver_first() {
    let mut t = holding(1);
    t.receives(app(2), append(2)).synced();
    t.beat("the holder goes on with what came meanwhile");
    t.receives(app(1), settle(1, 1)).synced();
    t.receives(app(1), settle(1, 2)).synced();
    t.receives(WORKER, CLAIM);
    golden!(t);
}

#[test]
fn one_fsync_is_under_way_at_a_time() {
    let mut t = serving();
    t.receives(app(1), append(1)).receives(app(1), append(2)).receives(app(1), append(3));
    t.synced_up_to(2).synced();
    golden!(t);
}

#[test]
fn a_claim_is_granted_when_the_lease_before_it_has_run_out() {
    let mut t = holding(1);
    t.receives(WORKER, CLAIM);
    t.pass(LEASE).receives(WORKER, CLAIM);
    golden!(t);
}

#[test]
fn a_settlement_under_an_old_term_changes_nothing() {
    let mut t = holding(1);
    t.unseen(|t| {
        t.pass(LEASE).receives(WORKER, CLAIM);
    });
    t.beat("the worker holds term 2");
    t.receives(app(1), settle(1, 1)).receives(app(1), release(1, 0));
    t.receives(WORKER, settle(2, 1)).synced();
    golden!(t);
}

#[test]
fn a_released_row_is_due_after_its_wait() {
    let mut t = holding(1);
    t.receives(app(1), release(1, 5));
    t.pass(Duration::from_secs(4)).receives(WORKER, CLAIM);
    t.pass(Duration::from_secs(1)).receives(WORKER, CLAIM);
    golden!(t);
}

#[test]
fn a_device_that_has_just_registered_wakes_its_rows() {
    let mut t = holding(1);
    t.beat("a leased row is being attempted and does not wake");
    t.receives(CONSUMER, Wire::Wake { devices: vec![u(2)] }).receives(WORKER, CLAIM);
    t.receives(app(1), release(1, 30));
    t.receives(CONSUMER, Wire::Wake { devices: vec![u(2), u(3)] }).receives(WORKER, CLAIM);
    golden!(t);
}

#[test]
fn what_is_not_durable_is_shown_to_nobody() {
    let mut t = holding(1);
    t.receives(app(1), append(2));
    let session = session(2, 1, 1);
    t.receives(
        server(1),
        Wire::CatchUp { session, epoch: 1, next: vec![(pair(1, 2), stamp(1))], all: false },
    );
    t.receives(app(1), settle(1, 2));
    t.beat("a device that claims more than there is gets no further than what is durable");
    t.synced_up_to(2).synced();
    golden!(t);
}

#[test]
fn no_lease_is_granted_before_the_boot_number_is_durable() {
    let mut t = holding(1);
    t.reboot(boot);
    t.receives(WORKER, CLAIM);
    t.synced().receives(WORKER, CLAIM);
    t.beat("the term of the last boot is over").receives(app(1), settle(1, 1));
    golden!(t);
}

#[test]
fn a_crash_keeps_what_was_answered_and_nothing_else() {
    let mut t = holding(1);
    t.receives(app(1), append(2)).beat("the second was never answered");
    t.reboot(boot).synced();
    t.receives(app(2), append(1));
    t.receives(app(2), append(3)).synced();
    golden!(t);
}

/// A disk's cache may have written what nobody had asked it to: the crash came before the answer.
#[test]
fn what_is_durable_and_was_never_answered_is_found_and_said() {
    let message = message(1, 1, pair(1, 2));
    let appended = Record::Appended { message, stamp: stamp(1), at: Wall(0) };
    let records = vec![Record::Booted(Incarnation(1)), appended];
    let mut t = Script::new(DATABASE, boot(&Disk { records, ..Disk::default() }));
    t.boots().synced();
    t.receives(app(2), append(1)).beat("its author asks again");
    t.receives(app(2), append(2)).synced();
    t.beat("of what was there in the boot before the last, nothing is said").reboot(boot).synced();
    golden!(t);
}

#[test]
fn a_device_catches_up_page_by_page() {
    let mut t = holding(BATCH_ENTRIES_MAX as u32 + 2);
    let (session, conversation) = (session(2, 1, 1), pair(1, 2));
    t.unseen(|t| {
        t.receives(
            server(1),
            Wire::CatchUp { session, epoch: 1, next: vec![(conversation, stamp(1))], all: false },
        );
    });
    let [Action::Send { wire: Wire::Page { batch, .. }, .. }] = &t.last[..] else {
        panic!("one page: {:?}", t.last)
    };
    assert_eq!(
        (batch.entries.len(), batch.head.seq),
        (BATCH_ENTRIES_MAX, BATCH_ENTRIES_MAX as u64 + 2)
    );
    t.beat("what it says that it holds is an acknowledgement");
    let next = vec![(conversation, stamp(65))];
    t.receives(server(1), Wire::CatchUp { session, epoch: 1, next, all: false }).synced();
    golden!(t);
}

#[test]
fn with_all_it_also_gets_what_it_does_not_know_of() {
    let mut t = holding(1);
    t.unseen(|t| {
        t.receives(app(1), Wire::Append { message: message(3, 1, group()), number: None }).synced();
    });
    t.beat("it lists u1~u2, and a conversation that is not its own");
    let next = vec![(pair(1, 2), stamp(1)), (pair(3, 4), stamp(1))];
    t.receives(server(1), Wire::CatchUp { session: session(2, 1, 1), epoch: 1, next, all: true });
    golden!(t);
}

#[test]
fn a_device_is_behind_when_something_waits_for_a_while() {
    let mut t = holding(1);
    let heads =
        || Wire::Heads { sessions: vec![(session(1, 1, 1), Some(1)), (session(2, 1, 1), Some(1))] };
    t.beat("young messages are most likely being delivered");
    t.receives(server(1), heads());
    t.pass(BEHIND_AFTER).receives(server(1), heads());
    golden!(t);
}

#[test]
fn a_devices_own_word_moves_its_cursor_without_a_lease() {
    let mut t = holding(2);
    let (device, conversation) = (u(2), pair(1, 2));
    t.receives(server(1), Wire::Advance { device, conversation, upto: stamp(1) }).synced();
    t.beat("an older word is no news");
    t.receives(server(1), Wire::Advance { device, conversation, upto: stamp(1) });
    t.beat("the holder settles the rest").receives(app(1), settle(1, 2)).synced();
    golden!(t);
}

/// A receipt never goes back: a settlement that names less than the device has acknowledged
/// meanwhile must not be stated as the device's cursor.
#[test]
fn a_settlement_below_the_cursor_does_not_take_it_back() {
    let mut t = holding(3);
    let (device, conversation) = (u(2), pair(1, 2));
    t.receives(server(1), Wire::Advance { device, conversation, upto: stamp(2) }).synced();
    t.receives(app(1), settle(1, 1)).synced();
    for action in &t.done {
        if let Action::Note(Note::Settled { next, .. }) = action {
            assert_eq!(*next, 3, "{}", t.trace());
        }
    }
}

#[test]
fn a_device_that_registers_during_an_attempt_is_attempted_again_at_once() {
    // The holder asked the registry a moment too early, and gives the row back for long.
    let mut t = holding(1).untold();
    t.receives(CONSUMER, Wire::Wake { devices: vec![u(2)] });
    let (device, conversation, retry_after) = (u(2), pair(1, 2), Duration::from_secs(900));
    t.receives(
        app(1),
        Wire::Release { device, conversation, term: term(1), retry_after, rejected: None },
    );
    t.receives(app(1), CLAIM);
    let claimed = |action: &Action| match action {
        Action::Send { wire: Wire::Claimed { claims }, .. } => claims.len() == 1,
        _ => false,
    };
    assert!(t.last.iter().any(claimed), "a woken row waits: {:?}", t.last);
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// User 2's device asks for everything from `next` on.
fn catch_up(next: u64) -> Wire {
    let (session, next) = (session(2, 1, 1), vec![(pair(1, 2), stamp(next))]);
    Wire::CatchUp { session, epoch: 1, next, all: false }
}

fn full_sync(next: u64) -> Wire {
    let (session, conversation) = (session(2, 1, 1), pair(1, 2));
    Wire::FullSync { session, conversation, next: stamp(next) }
}

#[test]
fn a_message_expires_after_thirty_days_and_leaves_a_hole_with_a_reason() {
    let mut t = holding(1);
    t.beat("the device never comes").pass(30 * DAY - Duration::from_secs(1));
    t.receives(app(1), append(2)).synced();
    t.beat("a second before, the first is still there");
    t.receives(server(1), catch_up(1));
    t.pass(Duration::from_secs(2)).synced();
    t.beat("a second after, it is not, and the second is");
    t.receives(server(1), catch_up(1));
    t.receives(server(1), full_sync(1));
    t.beat("the device acknowledges the hole as it would a message");
    t.receives(server(1), catch_up(2)).synced();
    golden!(t);
}

/// Its own clock may be a year ahead when it boots right, and then step: messages age by the time
/// that has passed.
#[test]
fn a_dropped_message_stays_dropped_after_a_reboot() {
    let mut t = holding(2);
    t.unseen(|t| {
        t.pass(30 * DAY + Duration::from_secs(1)).synced();
    });
    t.reboot(boot).synced();
    t.receives(server(1), catch_up(1));
    t.receives(server(1), full_sync(1));
    golden!(t);
}

#[test]
fn beyond_the_depth_the_loudest_conversation_loses_its_oldest() {
    let timing = courier::timing::Timing { pending_depth: 3, ..Default::default() };
    let config = Config { directory: fleet(), timing: timing.into(), design: Design::default() };
    let mut t = Script::new(DATABASE, Database::boot(config, &Disk::default()));
    let in_group = |counter| message(3, counter, group());
    t.unseen(|t| {
        t.boots().synced();
        t.receives(app(1), append(1)).synced();
        t.receives(app(1), Wire::Append { message: in_group(1), number: None }).synced();
        t.receives(app(1), Wire::Append { message: in_group(2), number: None }).synced();
    });
    t.beat("device 2 has one message from user 1 and two of the group; the next is one too many");
    t.receives(app(1), Wire::Append { message: in_group(3), number: None }).synced().synced();
    golden!(t);
}

/// The device rejects what it is offered under this lease.
fn rejected(lease: u64, seq: u64) -> Wire {
    let (device, conversation, term) = (u(2), pair(1, 2), term(lease));
    let (retry_after, rejected) = (Duration::from_secs(1), Some(stamp(seq)));
    Wire::Release { device, conversation, term, retry_after, rejected }
}

#[test]
fn a_message_that_is_rejected_too_often_becomes_a_dead_letter() {
    let mut t = holding(2);
    t.receives(app(1), rejected(1, 1));
    t.beat("bad luck, perhaps");
    for lease in 2..=3 {
        t.pass(Duration::from_secs(1)).receives(WORKER, CLAIM);
        t.receives(WORKER, rejected(lease, 1));
    }
    t.synced();
    t.beat("its neighbour is due at once, and goes with the hole before it");
    t.receives(WORKER, CLAIM);
    golden!(t);
}

#[test]
fn a_promoted_replica_begins_a_new_epoch() {
    let mut t = holding(2);
    t.reboot(|disk| {
        let mut lost = Disk { timeline: 1, ..disk.clone() };
        lost.records.pop();
        boot(&lost)
    });
    t.synced();
    t.beat("the second message is lost, and its number is given out again in another epoch");
    t.receives(app(1), append(3)).synced();
    t.beat("a device that holds both of the old epoch is told what is void");
    t.receives(server(1), catch_up(3));
    t.beat(
        "one that asks nothing is told of the epoch with each heartbeat, until it says it knows",
    );
    let heads = |heard_of| Wire::Heads { sessions: vec![(session(1, 1, 1), heard_of)] };
    t.receives(server(1), heads(Some(1))).receives(server(1), heads(Some(1)));
    t.receives(server(1), heads(Some(2))).receives(server(1), heads(None));
    golden!(t);
}

#[test]
fn a_lease_that_is_renewed_does_not_run_out() {
    let mut t = holding(1);
    for _ in 0..4 {
        t.pass(RENEW_EVERY).receives(app(1), renew(1));
    }
    t.beat("beyond the first lease, and still the holder's").receives(WORKER, CLAIM);
    t.pass(LEASE).receives(WORKER, CLAIM);
    golden!(t);
}

#[test]
fn a_job_that_takes_too_long_is_taken_back() {
    let mut t = holding(2);
    t.unseen(|t| {
        for _ in 0..JOB_LIMIT.as_secs() / RENEW_EVERY.as_secs() - 1 {
            t.pass(RENEW_EVERY).receives(app(1), renew(1));
        }
    });
    t.beat("the limit counts from where the work last got anywhere");
    t.receives(app(1), settle(1, 1)).synced();
    t.unseen(|t| {
        for _ in 0..JOB_LIMIT.as_secs() / RENEW_EVERY.as_secs() - 1 {
            t.pass(RENEW_EVERY).receives(app(1), renew(1));
        }
    });
    t.receives(app(1), renew(1));
    t.pass(RENEW_EVERY).receives(app(1), renew(1));
    t.beat("it is somebody else's now").receives(WORKER, CLAIM);
    golden!(t);
}

#[test]
fn of_two_workers_the_one_with_the_older_term_changes_nothing() {
    let mut t = holding(2);
    t.pass(LEASE).receives(WORKER, CLAIM);
    t.beat("the first holder was only slow");
    t.receives(app(1), renew(1)).receives(app(1), settle(1, 1)).receives(app(1), release(1, 9));
    t.beat("the second one knows nothing of that").receives(WORKER, renew(2));
    t.receives(WORKER, settle(2, 2)).synced();
    golden!(t);
}
