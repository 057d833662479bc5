//! A device: what it sends, shows, acknowledges and asks for again.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::client::{Client, Config};
use courier::design::Design;
use courier::disk::Disk;
use courier::frame::{Frame, PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use courier::id::{ConversationId, Incarnation, Stamp};
use courier::limits::{CONNECT_LIMIT, OUTBOX_MESSAGES_MAX, REFETCH_AFTER, RESEND_AFTER};
use courier::node::{Action, CloseCause, Command, Timer};
use courier::note::Note;
use courier::timing::Timing;
use courier::wire::{Batch, Entry, Hole, HoleReason, Rejection, SendOutcome, Wire};
use std::sync::Arc;
use std::time::Duration;

fn boot(disk: &Disk) -> Client {
    let (host, device) = (phone(2), u(2));
    let timing = Arc::new(Timing::default());
    Client::boot(
        Config {
            host,
            device,
            entropy: 7,
            directory: fleet(),
            timing,
            design: Design::default(),
            protocol: PROTOCOL_NEWEST,
        },
        disk,
    )
}

fn device() -> Script<Client> {
    Script::new(phone(2), boot(&Disk::default()))
}

/// From the boot to the welcome, on server-1.
fn connects(t: &mut Script<Client>, epoch: u32) {
    t.synced().receives(BALANCER, Wire::Placed { epoch, gateway: Some(server(1)) });
    t.opened(conn(2, epoch));
    t.arrives(
        conn(2, epoch),
        Frame::Welcome { epoch, incarnation: Incarnation(1), protocol: PROTOCOL_NEWEST },
    );
}

fn live() -> Script<Client> {
    let mut t = device();
    t.unseen(|t| {
        t.boots();
        connects(t, 1);
    });
    t
}

fn deliver(entries: Vec<Entry>, head: u64) -> Frame {
    let batch = Batch { head: stamp(head), ..batch_of(entries) };
    Frame::Deliver { conversation: pair(1, 2), batch }
}

fn accepted(counter: u32, seq: u64) -> Frame {
    Frame::Outcome { id: message_id(2, counter), outcome: SendOutcome::Accepted(stamp(seq)) }
}

fn acks(t: &Script<Client>) -> Vec<(ConversationId, Stamp)> {
    let acks = t.last.iter().filter_map(|action| match action {
        Action::Write { frame: Frame::Ack { conversation, upto }, .. } => {
            Some((*conversation, *upto))
        }
        _ => None,
    });
    acks.collect()
}

#[test]
fn a_device_connects_only_under_an_epoch_that_is_durable() {
    let mut t = device();
    t.boots();
    t.beat("nobody hears of epoch 1 before the disk has it").synced();
    t.receives(BALANCER, Wire::Placed { epoch: 1, gateway: Some(server(1)) });
    t.opened(conn(2, 1));
    t.arrives(
        conn(2, 1),
        Frame::Welcome { epoch: 1, incarnation: Incarnation(1), protocol: PROTOCOL_NEWEST },
    );
    golden!(t);
}

#[test]
fn a_message_leaves_only_after_it_is_durable_and_is_shown_when_its_place_is() {
    let mut t = live();
    t.commanded(says(1, pair(1, 2)));
    t.beat("its id must survive a crash before anybody hears it").synced();
    t.arrives(conn(2, 1), accepted(1, 1));
    t.beat("shown and acknowledged once its own store has it").synced();
    golden!(t);
}

#[test]
fn an_unanswered_message_is_sent_again_under_the_same_id() {
    let mut t = live();
    t.commanded(says(1, pair(1, 2))).synced();
    t.pass(RESEND_AFTER).pass(RESEND_AFTER);
    t.arrives(conn(2, 1), accepted(1, 1));
    t.beat("the answer to the other copy finds nothing that waits");
    t.arrives(conn(2, 1), accepted(1, 1));
    golden!(t);
}

#[test]
fn messages_of_one_conversation_leave_one_at_a_time() {
    let mut t = live();
    t.commanded(says(1, pair(1, 2))).commanded(says(2, pair(1, 2))).commanded(says(3, group()));
    t.beat("the second waits for the first's answer; another conversation does not").synced();
    t.arrives(conn(2, 1), accepted(1, 1));
    golden!(t);
}

#[test]
fn a_rejected_message_has_failed_and_the_next_one_goes() {
    let mut t = live();
    t.commanded(says(1, pair(3, 4))).commanded(says(2, pair(3, 4))).synced();
    let outcome = SendOutcome::Rejected(Rejection::NotAMember);
    t.arrives(conn(2, 1), Frame::Outcome { id: message_id(2, 1), outcome });
    golden!(t);
}

#[test]
fn a_full_outbox_declines_the_next_message_at_once() {
    let mut t = live();
    t.unseen(|t| {
        (1..=OUTBOX_MESSAGES_MAX as u32).for_each(|op| {
            t.commanded(says(op, pair(1, 2)));
        });
    });
    t.beat("with as many messages waiting as a device keeps");
    t.commanded(says(9999, pair(1, 2)));
    golden!(t);
}

#[test]
fn a_message_is_shown_and_acknowledged_only_when_it_is_durable() {
    let mut t = live();
    t.arrives(conn(2, 1), deliver(entries(1..=2), 2));
    t.beat("until now a crash could have taken both").synced();
    golden!(t);
}

#[test]
fn a_duplicate_is_dropped_and_acknowledged_again() {
    let mut t = live();
    t.arrives(conn(2, 1), deliver(entries(1..=1), 1)).synced();
    t.arrives(conn(2, 1), deliver(entries(1..=1), 1));
    golden!(t);
}

#[test]
fn a_duplicate_of_what_is_not_durable_yet_is_not_acknowledged() {
    let mut t = live();
    t.arrives(conn(2, 1), deliver(entries(1..=1), 1));
    t.arrives(conn(2, 1), deliver(entries(1..=1), 1));
    assert!(acks(&t).is_empty(), "acknowledged what a crash could still take");
    t.synced();
    assert_eq!(acks(&t), [(pair(1, 2), stamp(1))]);
}

#[test]
fn what_comes_too_early_is_held_until_the_hole_before_it_is_filled() {
    let mut t = live();
    t.arrives(conn(2, 1), deliver(entries(3..=3), 3));
    t.beat("the hole is asked for; nothing is shown");
    t.arrives(conn(2, 1), deliver(entries(1..=2), 3)).synced();
    golden!(t);
}

#[test]
fn an_unanswered_request_for_missing_messages_is_repeated() {
    let mut t = live();
    t.arrives(conn(2, 1), deliver(entries(2..=2), 2));
    t.pass(REFETCH_AFTER);
    golden!(t);
}

#[test]
fn an_idle_device_that_is_told_it_is_behind_asks_for_the_rest() {
    let mut t = live();
    t.unseen(|t| {
        t.arrives(conn(2, 1), deliver(entries(1..=1), 1)).synced();
    });
    t.beat("it holds #1");
    t.arrives(conn(2, 1), Frame::Behind { heads: vec![(pair(1, 2), stamp(3))] });
    t.arrives(conn(2, 1), deliver(entries(2..=3), 3)).synced();
    t.beat("behind no more: the same word asks for nothing");
    t.arrives(conn(2, 1), Frame::Behind { heads: vec![(pair(1, 2), stamp(3))] });
    golden!(t);
}

#[test]
fn after_a_reconnect_it_asks_from_the_last_plus_one() {
    let mut t = live();
    t.unseen(|t| {
        t.arrives(conn(2, 1), deliver(entries(1..=2), 2));
        let in_group = Frame::Deliver {
            conversation: group(),
            batch: batch_of(vec![entry(1, message(3, 1, group()))]),
        };
        t.arrives(conn(2, 1), in_group).synced();
    });
    t.beat("it holds #2 of u1~u2 and #1 of g1");
    t.closed(conn(2, 1), CloseCause::Reset).pass(Duration::from_secs(1));
    connects(&mut t, 2);
    golden!(t);
}

#[test]
fn what_was_not_answered_is_sent_again_on_the_next_connection() {
    let mut t = live();
    t.commanded(says(1, pair(1, 2))).synced();
    t.closed(conn(2, 1), CloseCause::TimedOut).pass(Duration::from_secs(1));
    connects(&mut t, 2);
    golden!(t);
}

#[test]
fn an_unanswered_heartbeat_ends_a_connection_that_tcp_believes_in() {
    let mut t = live();
    t.pass(Duration::from_secs(6));
    t.arrives(conn(2, 1), Frame::HeartbeatAck);
    t.beat("the next one is not answered").pass(Duration::from_secs(40));
    golden!(t);
}

#[test]
fn attempts_that_fail_wait_longer_and_longer() {
    let mut t = device();
    t.boots().synced();
    t.receives(BALANCER, Wire::Placed { epoch: 1, gateway: None });
    t.pass(Duration::from_secs(1)).synced();
    t.beat("no answer from the balancer").pass(CONNECT_LIMIT + Duration::from_secs(2)).synced();
    t.receives(BALANCER, Wire::Placed { epoch: 3, gateway: Some(server(1)) });
    t.beat("connection refused").closed(conn(2, 3), CloseCause::Reset);
    t.pass(Duration::from_secs(4)).synced();
    t.receives(BALANCER, Wire::Placed { epoch: 4, gateway: Some(server(1)) });
    t.opened(conn(2, 4));
    t.beat("accepted, then silence").pass(CONNECT_LIMIT);
    golden!(t);
}

#[test]
fn answers_of_an_earlier_attempt_are_not_taken_for_this_ones() {
    let mut t = device();
    t.unseen(|t| {
        t.boots().synced().receives(BALANCER, Wire::Placed { epoch: 1, gateway: Some(server(1)) });
        t.pass(CONNECT_LIMIT + Duration::from_secs(1)).synced();
    });
    t.beat("the first attempt took too long; the second has asked the balancer");
    t.receives(BALANCER, Wire::Placed { epoch: 1, gateway: Some(server(1)) });
    t.receives(BALANCER, Wire::Placed { epoch: 2, gateway: Some(server(2)) });
    t.opened(conn(2, 1));
    t.arrives(
        conn(2, 1),
        Frame::Welcome { epoch: 1, incarnation: Incarnation(1), protocol: PROTOCOL_NEWEST },
    );
    t.closed(conn(2, 1), CloseCause::Reset);
    t.opened(conn(2, 2));
    golden!(t);
}

/// A balancer that was down a moment ago says nothing about the one that was asked just now.
#[test]
fn a_refusal_of_an_earlier_question_does_not_end_this_attempt() {
    let mut t = device();
    t.boots().synced().pass(CONNECT_LIMIT + Duration::from_secs(1)).synced();
    t.refused(BALANCER, Wire::Place { device: u(2), epoch: 1 });
    assert_eq!(t.last, [], "the question of epoch 2 is still open");
}

#[test]
fn a_displaced_device_continues_above_the_winner() {
    let mut t = live();
    t.arrives(conn(2, 1), Frame::Displaced { winner: 5 }).pass(Duration::from_secs(1)).synced();
    golden!(t);
}

#[test]
fn a_device_that_is_sent_away_connects_elsewhere() {
    let mut t = live();
    t.arrives(conn(2, 1), Frame::GoAway).pass(Duration::from_secs(1));
    golden!(t);
}

#[test]
fn flight_mode_closes_in_order_and_keeps_what_is_written() {
    let mut t = live();
    t.commanded(Command::GoOffline);
    t.beat("written in flight mode, sent after it");
    t.commanded(says(1, pair(1, 2))).synced();
    t.commanded(Command::GoOnline);
    connects(&mut t, 2);
    golden!(t);
}

#[test]
fn flight_mode_is_news_also_while_connecting() {
    let mut t = device();
    t.boots().synced();
    t.commanded(Command::GoOffline);
    t.beat("an answer to a question that nobody asks any more");
    t.receives(BALANCER, Wire::Placed { epoch: 1, gateway: Some(server(1)) });
    golden!(t);
}

#[test]
fn a_reboot_resumes_the_outbox_and_the_cursors_from_the_disk() {
    let mut t = live();
    t.unseen(|t| {
        t.arrives(conn(2, 1), deliver(entries(1..=2), 2)).synced();
        t.commanded(says(1, pair(1, 2))).synced();
        t.commanded(says(2, pair(1, 2)));
    });
    t.beat("it holds #2, has sent m2.1 and not yet written m2.2 down");
    t.reboot(boot);
    connects(&mut t, 2);
    golden!(t);
}

/// A request for what is missing is taken for an acknowledgement of everything before it. If the
/// device asks from what it merely holds in memory, a crash loses what the database has let go.
#[test]
fn a_device_asks_only_from_what_is_durable() {
    let mut t = live();
    t.arrives(conn(2, 1), deliver(entries(1..=2), 12));
    let claimed = t.last.iter().find_map(|action| match action {
        Action::Write { frame: Frame::CatchUp { next, .. }, .. } => Some(next.clone()),
        _ => None,
    });
    assert_ne!(claimed, Some(vec![(pair(1, 2), stamp(3))]), "{}", t.trace());
}

/// The record that takes a message out of the outbox must not be durable before the one that
/// takes it into the conversation: between them a crash would lose the sender's own message,
/// and nobody would tell it, because a sender has no pending row for what it wrote.
#[test]
fn a_crash_right_after_the_answer_does_not_lose_the_senders_own_message() {
    let mut t = live();
    t.commanded(says(1, pair(1, 2))).synced();
    t.arrives(conn(2, 1), accepted(1, 1));
    let before = 2; // The epoch and the outgoing message.
    t.synced_up_to(before + 1);
    t.reboot(boot);
    connects(&mut t, 2);
    let again = |action: &Action| match action {
        Action::Write { frame: Frame::Send(m), .. } => m.id == message_id(2, 1),
        _ => false,
    };
    let knows = |action: &Action| match action {
        Action::Write { frame: Frame::CatchUp { next, .. }, .. } => {
            next.contains(&(pair(1, 2), stamp(2)))
        }
        _ => false,
    };
    assert!(t.last.iter().any(again) || t.last.iter().any(knows), "{}", t.trace());
}

/// The database owes the author of a message nothing: only the device can know that it lacks it.
#[test]
fn its_own_message_in_a_new_epoch_is_asked_for_until_it_is_there() {
    let mut t = live();
    t.unseen(|t| {
        t.arrives(conn(2, 1), deliver(entries(1..=1), 1)).synced();
        t.commanded(says(1, pair(1, 2))).synced();
    });
    let place = |seq| Stamp { epoch: 2, seq };
    let outcome = SendOutcome::Accepted(place(2));
    t.arrives(conn(2, 1), Frame::Outcome { id: message_id(2, 1), outcome }).synced();
    t.beat("the answer is lost with the phone's power");
    t.reboot(boot);
    connects(&mut t, 2);
    t.beat("a replica that lags knows of the epoch and not of the message");
    let batch = Batch { head: place(1), renumbered: Some(2), ..Batch::default() };
    t.arrives(conn(2, 2), Frame::Deliver { conversation: pair(1, 2), batch }).synced();
    t.beat("and again, until somebody does");
    t.pass(REFETCH_AFTER);
    let own = Entry { stamp: place(2), ..entry(2, message(2, 1, pair(1, 2))) };
    let batch = Batch { head: place(2), ..batch_of(vec![own]) };
    t.arrives(conn(2, 2), Frame::Deliver { conversation: pair(1, 2), batch }).synced();
    golden!(t);
}

/// A question is forgotten with its connection, and what is missing is not.
#[test]
fn what_it_knows_to_be_missing_it_asks_for_with_a_heartbeat() {
    let mut t = live();
    t.arrives(conn(2, 1), deliver(entries(3..=3), 3));
    t.closed(conn(2, 1), CloseCause::Reset).fires(Timer::Reconnect);
    connects(&mut t, 2);
    t.fires(Timer::Heartbeat);
    let asks = |action: &Action| match action {
        Action::Write { frame: Frame::CatchUp { next, all, .. }, .. } => {
            *next == [(pair(1, 2), stamp(1))] && !all
        }
        _ => false,
    };
    assert!(t.last.iter().any(asks), "{}", t.trace());
}

#[test]
fn going_offline_leaves_no_timer_behind() {
    let mut t = live();
    t.commanded(says(1, pair(1, 2))).synced();
    t.arrives(conn(2, 1), deliver(entries(4..=4), 4)).pass(Duration::from_millis(1));
    t.commanded(Command::GoOffline);
    for timer in [
        Timer::Reconnect,
        Timer::ConnectLimit,
        Timer::Heartbeat,
        Timer::HeartbeatLimit,
        Timer::Resend(pair(1, 2)),
        Timer::Refetch(pair(1, 2)),
    ] {
        assert!(!t.is_set(timer), "{timer:?} fires in flight mode");
    }
}

#[test]
fn own_messages_that_come_round_before_their_answer_are_answered_by_that() {
    let mut t = live();
    t.commanded(says(1, pair(1, 2))).synced();
    let own = entry(1, message(2, 1, pair(1, 2)));
    t.arrives(conn(2, 1), deliver(vec![own], 1)).synced();
    assert!(t.last.iter().any(|a| matches!(a, Action::Note(Note::Shown { .. }))));
    t.beat("the answer itself is late").arrives(conn(2, 1), accepted(1, 1));
    golden!(t);
}

fn hole(from: u64, upto: u64, why: HoleReason) -> Hole {
    Hole { from, upto, why }
}

#[test]
fn a_truncated_history_leads_to_a_full_sync_and_an_explained_hole() {
    let mut t = live();
    t.arrives(conn(2, 1), deliver(entries(3..=3), 3));
    t.beat("what it asks for is not kept any more");
    t.arrives(conn(2, 1), Frame::Truncated { conversation: pair(1, 2) });
    let holes = vec![hole(1, 2, HoleReason::Expired)];
    let batch = Batch { holes, ..batch(3..=3) };
    t.arrives(conn(2, 1), Frame::Deliver { conversation: pair(1, 2), batch }).synced();
    golden!(t);
}

#[test]
fn a_message_that_it_cannot_read_is_rejected_and_holds_up_what_follows() {
    let mut t = live();
    let mut with_poison = entries(1..=3);
    with_poison[1].message.body = "\0".into();
    t.arrives(conn(2, 1), deliver(with_poison, 3)).synced();
    t.beat("until the server has given it up");
    let batch = Batch { holes: vec![hole(2, 2, HoleReason::Poison)], ..batch(3..=3) };
    t.arrives(conn(2, 1), Frame::Deliver { conversation: pair(1, 2), batch }).synced();
    golden!(t);
}

#[test]
fn when_the_sequence_begins_again_it_keeps_what_it_has_shown_and_says_what_it_lacks() {
    let mut t = live();
    t.unseen(|t| {
        t.arrives(conn(2, 1), deliver(entries(1..=3), 3)).synced();
    });
    t.arrives(conn(2, 1), Frame::Renumbered { epoch: 2 }).synced();
    t.beat("the third place is void; the second message of the old third place comes again");
    let later = |seq, counter| Entry {
        message: message(1, counter, pair(1, 2)),
        stamp: Stamp { epoch: 2, seq },
    };
    let batch = Batch { renumbered: Some(3), ..batch_of(vec![later(3, 4), later(4, 3)]) };
    t.arrives(conn(2, 1), Frame::Deliver { conversation: pair(1, 2), batch }).synced();
    t.beat("a batch from before is late");
    t.arrives(conn(2, 1), deliver(entries(3..=3), 3));
    t.reboot(boot);
    connects(&mut t, 2);
    golden!(t);
}

#[test]
fn a_conversation_that_is_new_to_it_tells_of_the_epoch_too() {
    let mut t = live();
    let first = Entry { message: message(1, 1, pair(1, 2)), stamp: Stamp { epoch: 2, seq: 1 } };
    let batch = Batch { head: first.stamp, ..batch_of(vec![first]) };
    t.arrives(conn(2, 1), Frame::Deliver { conversation: pair(1, 2), batch });
    assert!(t.last.contains(&Action::Note(Note::EpochHeard { epoch: 2 })), "{}", t.trace());
}

#[test]
fn a_device_that_is_turned_away_comes_back_in_its_slot() {
    let mut t = device();
    t.unseen(|t| {
        t.boots().synced();
    });
    let gateway = Some(server(1));
    t.receives(BALANCER, Wire::Placed { epoch: 1, gateway }).opened(conn(2, 1));
    t.arrives(conn(2, 1), Frame::Busy { retry_after: Duration::from_secs(4) });
    t.pass(Duration::from_secs(4)).beat("not together with others").pass(Duration::from_secs(2));
    golden!(t);
}

#[test]
fn a_device_that_hears_words_it_does_not_know_hangs_up() {
    let (host, device, timing) = (phone(2), u(2), Arc::new(Timing::default()));
    let (directory, design) = (fleet(), Design::default());
    let config =
        Config { host, device, entropy: 7, directory, timing, design, protocol: PROTOCOL_OLDEST };
    let mut t = Script::new(phone(2), Client::boot(config, &Disk::default()));
    t.unseen(|t| {
        t.boots().synced();
        t.receives(BALANCER, Wire::Placed { epoch: 1, gateway: Some(server(1)) });
        t.opened(conn(2, 1));
    });
    let busy = Frame::Busy { retry_after: Duration::from_secs(4) };
    t.beat("the server should have closed it without a word").arrives(conn(2, 1), busy);
    golden!(t);
}

#[test]
fn after_a_reconnect_each_conversation_goes_on_with_its_first_message() {
    let mut t = live().without(&["append", "sync", "timer", "cancel", "note"]);
    t.unseen(|t| {
        for op in 0..3 {
            t.commanded(says(op, pair(1, 2))).commanded(says(op + 10, pair(2, 3)));
        }
        t.synced();
        t.closed(conn(2, 1), CloseCause::Reset).pass(Duration::from_secs(1)).synced();
        t.receives(BALANCER, Wire::Placed { epoch: 2, gateway: Some(server(1)) });
        t.opened(conn(2, 2));
    });
    let (epoch, incarnation, protocol) = (2, Incarnation(1), PROTOCOL_NEWEST);
    t.arrives(conn(2, 2), Frame::Welcome { epoch, incarnation, protocol });
    golden!(t);
}
