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
