//! Marks: what is delivered and what is read.

use super::*;

/// Alice wrote twice; Bob has both and has read the first. Everything is durable.
fn had() -> Story {
    let story = story().at(11.0).sent("alice", 1, "bob", 1).sent("alice", 2, "bob", 2);
    let story = story.shown("bob", "alice", 1, "bob", 1).has_read("bob", "alice", 1);
    story.shown("bob", "alice", 2, "bob", 2).marked("bob", "alice", 2, 1)
}

#[test]
fn marks_that_follow_what_was() {
    had().mark("alice", "bob", "alice", 1, 0).mark("alice", "bob", "alice", 2, 1).holds();
}

#[test]
fn a_mark_that_goes_back() {
    let what = had()
        .mark("alice", "bob", "alice", 2, 1)
        .mark("alice", "bob", "alice", 1, 1)
        .breaks(Receipts);
    let expected = "alice shows bob as delivered up to #1 in alice ~ bob at T+1.000s, \
                    but showed #2";
    assert_eq!(what, expected);
    let read = had().mark("alice", "bob", "alice", 2, 1).mark("alice", "bob", "alice", 2, 0);
    read.breaks(Receipts);
    // Each device by itself: another one may be behind.
    let other = had().mark("alice", "bob", "alice", 2, 1).mark("carol", "bob", "alice", 1, 0);
    other.holds();
}

#[test]
fn delivered_what_no_device_has_shown() {
    let story = || story().at(11.0).sent("alice", 1, "dora", 1).marked("dora", "alice", 1, 0);
    let what = story().mark("alice", "dora", "alice", 1, 0).breaks(Receipts);
    assert!(what.ends_with("but dora holds nothing"), "{what}");
    let early = story().mark("alice", "dora", "alice", 1, 0);
    early.shown("dora", "alice", 1, "dora", 1).breaks(Receipts);
    // One of her devices is enough.
    let one = story().shown("dora/1", "alice", 1, "dora", 1);
    one.mark("alice", "dora", "alice", 1, 0).holds();
}

#[test]
fn read_what_nobody_has_read() {
    let had = || had().marked("bob", "alice", 2, 2);
    let what = had().mark("alice", "bob", "alice", 2, 2).breaks(Receipts);
    assert!(what.ends_with("but bob had read #1"), "{what}");
    had().has_read("bob", "alice", 2).mark("alice", "bob", "alice", 2, 2).holds();
}

#[test]
fn read_beyond_what_is_delivered() {
    let had = || had().has_read("bob", "alice", 2).marked("bob", "alice", 2, 2);
    had().mark("alice", "bob", "alice", 1, 2).breaks(Receipts);
}

#[test]
fn told_before_it_is_durable() {
    let story = story().at(11.0).sent("alice", 1, "bob", 1).shown("bob", "alice", 1, "bob", 1);
    let what = story.mark("alice", "bob", "alice", 1, 0).breaks(Receipts);
    assert!(what.ends_with("but the database kept nothing"), "{what}");
}

#[test]
fn a_person_cannot_have_read_what_the_device_does_not_show() {
    let what = had().has_read("bob", "alice", 3).breaks(Receipts);
    let expected =
        "bob was told at T+1.000s that #3 in alice ~ bob is read, but the device shows #2";
    assert_eq!(what, expected);
}

/// The same, and Alice is connected.
fn connected() -> Story {
    let story = had().shown("alice", "alice", 1, "bob", 1).shown("alice", "alice", 2, "bob", 2);
    story.connected("alice", "server-1", 1)
}

#[test]
fn a_mark_that_never_arrives() {
    let what = connected().at(77.0).breaks(Receipts);
    let expected = "alice never showed bob as read up to #1 in alice ~ bob, marked at T+1.000s";
    assert_eq!(what, expected);
    let delivered = connected().mark("alice", "bob", "alice", 1, 1).at(77.0);
    assert!(delivered.breaks(Receipts).contains("as delivered up to #2"));
    connected().mark("alice", "bob", "alice", 2, 1).at(77.0).holds();
    // Two heartbeats and some seconds.
    connected().at(75.0).holds();
}

#[test]
fn who_is_not_there_or_was_disturbed_is_told_later() {
    connected().at(20.0).disconnected("alice", 1).at(90.0).holds();
    connected().at(20.0).cut_off("alice").at(84.0).holds();
    connected().at(20.0).cut_off("alice").at(86.0).breaks(Receipts);
    for host in ["alice", "server-1", "db"] {
        connected().at(70.0).cut_off(host).at(90.0).holds();
    }
}

#[test]
fn a_device_that_has_restarted_shows_nothing_until_it_is_told_again() {
    let restarted = || {
        let shown = connected().mark("alice", "bob", "alice", 2, 1).at(20.0).crashed("alice");
        shown.at(21.0).started("alice").connected("alice", "server-1", 2)
    };
    restarted().at(100.0).breaks(Receipts);
    restarted().mark("alice", "bob", "alice", 2, 1).at(100.0).holds();
}

#[test]
fn what_was_read_and_never_marked() {
    let read = || {
        let told = connected().mark("alice", "bob", "alice", 2, 1);
        told.connected("bob", "server-2", 1).has_read("bob", "alice", 2)
    };
    let what = read().mark("bob", "bob", "alice", 2, 1).at(100.0).breaks(Receipts);
    let expected = "bob has read #2 in alice ~ bob at T+1.000s, but the database never heard of it";
    assert_eq!(what, expected);
    let marked = read().marked("bob", "alice", 2, 2).mark("alice", "bob", "alice", 2, 2);
    marked.mark("bob", "bob", "alice", 2, 2).at(100.0).holds();
    // His own devices are to know what he has read elsewhere.
    let own = read().marked("bob", "alice", 2, 2).mark("alice", "bob", "alice", 2, 2);
    own.at(100.0).breaks(Receipts);
}

#[test]
fn a_failover_takes_marks_back() {
    connected().crashed("db").life("db", Life::Promoted).started("db").at(100.0).holds();
}
