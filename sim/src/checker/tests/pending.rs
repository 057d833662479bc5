//! What is missing, and why: gaps that a device learns of, drops that are explained, resends that
//! are recognised, and epochs in which all of it begins again.

use super::*;
use courier::wire::{Hole, HoleReason};

const fn hole(from: u64, upto: u64, why: HoleReason) -> Hole {
    Hole { from, upto, why }
}

impl Story {
    fn let_go(self, device: &str, hole: Hole) -> Story {
        let (device, conversation) = (self.device(device), self.conversation("alice", "bob"));
        self.note("db", Note::Dropped { device, conversation, hole })
    }

    fn explained(self, device: &str, epoch: u32, hole: Hole) -> Story {
        let conversation = self.conversation("alice", "bob");
        self.note(device, Note::HoleExplained { conversation, epoch, hole })
    }

    fn gap_noticed(self, device: &str, from: u64, head: u64) -> Story {
        let conversation = self.conversation("alice", "bob");
        self.note(device, Note::GapNoticed { conversation, from, head })
    }

    fn rejected(self, device: &str, n: u32, seq: u64) -> Story {
        let (id, conversation) = (self.id("alice", n), self.conversation("alice", "bob"));
        self.note(device, Note::Rejected { id, conversation, stamp: Stamp { epoch: 1, seq } })
    }

    fn deduplicated(self, author: &str, n: u32, seq: u64) -> Story {
        let id = self.id(author, n);
        self.note("db", Note::Deduplicated { id, stamp: Stamp { epoch: 1, seq } })
    }

    fn epoch_began(self, epoch: u32, from: u64) -> Story {
        let conversation = self.conversation("alice", "bob");
        self.note("db", Note::EpochBegan { conversation, epoch, from })
    }
}

/// Bob is connected, and something is persisted for him ten seconds later.
fn waiting() -> Story {
    let story = story().connected("bob", "server-1", 1).invoked("alice", 1, "bob");
    story.at(10.0).persisted("alice", 1, "bob", 1)
}

#[test]
fn a_device_that_is_connected_and_never_hears_of_it() {
    let what = waiting().at(100.0).breaks(Gap);
    assert!(what.contains("the bound is 85.000s"), "{what}");
    waiting().at(94.0).holds();
    waiting().at(90.0).shown("bob", "alice", 1, "bob", 1).at(200.0).holds();
    waiting().at(90.0).gap_noticed("bob", 1, 1).at(200.0).holds();
}

#[test]
fn a_gap_that_does_not_cover_it_is_another_gap() {
    waiting()
        .persisted("alice", 2, "bob", 2)
        .at(90.0)
        .gap_noticed("bob", 1, 1)
        .at(200.0)
        .breaks(Gap);
}

#[test]
fn time_in_which_the_way_is_disturbed_does_not_count() {
    for host in ["bob", "server-1", "db"] {
        waiting().at(50.0).fault(&[host]).at(70.0).fault_ends(0).at(150.0).holds();
        waiting().at(50.0).fault(&[host]).at(70.0).fault_ends(0).at(160.0).breaks(Gap);
    }
    waiting().at(50.0).fault(&["server-2"]).at(70.0).fault_ends(0).at(150.0).breaks(Gap);
    let again = waiting().at(50.0).disconnected("bob", 1).at(60.0).connected("bob", "server-1", 2);
    again.at(140.0).holds();
}

/// An hour after it was sent, the message to Bob is dropped.
fn away(hours: f64) -> Story {
    let story = story().sent("alice", 1, "bob", 1).shown("alice", "alice", 1, "bob", 1);
    story.at(hours * 3600.0)
}

const MONTH: f64 = 30.0 * 24.0;

#[test]
fn what_expires_is_old_enough() {
    away(MONTH).let_go("bob", hole(1, 1, HoleReason::Expired)).holds();
    let what = away(MONTH - 1.0).let_go("bob", hole(1, 1, HoleReason::Expired)).breaks(Expiry);
    assert!(what.contains("was only"), "{what}");
    // A clock that was tampered with may be off by a tenth.
    let tampered = away(1.0).fault(&["db"]).at(4000.0).fault_ends(0);
    let early = tampered.at((MONTH - 24.0) * 3600.0);
    early.let_go("bob", hole(1, 1, HoleReason::Expired)).holds();
}

#[test]
fn what_is_dropped_for_want_of_room_found_none() {
    away(1.0).let_go("bob", hole(1, 1, HoleReason::Depth)).breaks(Expiry);
}

#[test]
fn a_poison_message_was_rejected_as_often_as_that_takes() {
    let rejected = || away(1.0).rejected("bob", 1, 1).at(3610.0).rejected("bob", 1, 1).at(3620.0);
    rejected().let_go("bob", hole(1, 1, HoleReason::Poison)).breaks(Expiry);
    rejected().rejected("bob", 1, 1).let_go("bob", hole(1, 1, HoleReason::Poison)).holds();
}

#[test]
fn a_device_that_is_back_is_told_what_it_misses() {
    let back = || {
        let expired = away(MONTH).let_go("bob", hole(1, 1, HoleReason::Expired));
        expired.connected("bob", "server-1", 1)
    };
    let later = |story: Story, seconds: f64| story.at(MONTH * 3600.0 + seconds);
    later(back(), 300.0).breaks_all(&[NoLoss, Gap, Expiry]);
    let told = later(back(), 50.0).explained("bob", 1, hole(1, 1, HoleReason::Expired));
    later(told, 300.0).holds();
}

#[test]
fn a_device_is_told_of_no_hole_that_nobody_made() {
    let told = away(1.0).explained("bob", 1, hole(1, 1, HoleReason::Expired));
    told.breaks(Expiry);
}

#[test]
fn a_hole_without_a_message_in_it_excuses_none() {
    let online = || away(1.0).connected("bob", "server-1", 1).at(3610.0);
    online().explained("bob", 1, hole(1, 1, HoleReason::Unused)).at(3700.0).breaks(NoLoss);
}

#[test]
fn a_resend_is_stored_once() {
    let story = || story().invoked("alice", 1, "bob").persisted("alice", 1, "bob", 1);
    story().deduplicated("alice", 1, 1).accepted("alice", 1, "bob", 1).holds();
    let twice = story().at(1.0).persisted("alice", 1, "bob", 2);
    twice.breaks_all(&[Sequence, Dedupe]);
}

#[test]
fn a_resend_is_taken_for_an_original_that_was_found_after_a_crash() {
    let story = story().invoked("alice", 1, "bob").restored("alice", 1, "bob", 1);
    story.deduplicated("alice", 1, 1).accepted("alice", 1, "bob", 1).holds();
}

#[test]
fn a_resend_is_not_taken_for_an_original_that_is_not_there() {
    let story = story().invoked("alice", 1, "bob").deduplicated("alice", 1, 1);
    story.accepted("alice", 1, "bob", 1).breaks_all(&[PersistAck, Dedupe]);
}

/// The second message was accepted and shown by nobody else when the sequence began again.
fn failed_over() -> Story {
    let sent = story().sent("alice", 1, "bob", 1).at(1.0).sent("alice", 2, "bob", 2);
    let shown = sent.shown("alice", "alice", 1, "bob", 1).shown("alice", "alice", 2, "bob", 2);
    shown.connected("bob", "server-1", 1).shown("bob", "alice", 1, "bob", 1).epoch_began(2, 2)
}

#[test]
fn what_was_lost_with_an_epoch_is_excused_on_whoever_knows_of_the_new_one() {
    failed_over().at(60.0).breaks(NoLoss);
    failed_over().note("bob", Note::EpochHeard { epoch: 2 }).at(60.0).holds();
    let void = hole(2, u64::MAX, HoleReason::Renumbered);
    failed_over().explained("bob", 1, void).at(60.0).holds();
    // What is before the epoch's beginning is not lost.
    let other = failed_over().epoch_began(2, 3).note("bob", Note::EpochHeard { epoch: 2 });
    other.at(60.0).breaks(NoLoss);
}

#[test]
fn an_epoch_may_give_a_message_another_place() {
    let later = Stamp { epoch: 2, seq: 2 };
    let again = failed_over().note("bob", Note::EpochHeard { epoch: 2 });
    again.persisted_in("alice", 2, "bob", later).at(60.0).holds();
}
