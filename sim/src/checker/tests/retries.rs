//! Trying again: how often, how many at once, and for how long not at all.

use super::*;
use courier::id::Term;

/// Thirty people, `p0` to `p29`, on three servers.
fn crowd() -> Story {
    let person =
        |n| Person { name: format!("p{n}"), devices: 1, servers: Vec::new(), watches: Vec::new() };
    let people: Vec<Person> = (0..30).map(person).collect();
    let numbers =
        Numbers { servers: 3, apps: 1, workers: 1, monitors: 2, consumers: 2, cleaners: 1 };
    let cast = Cast::new(&numbers, &people, &[], nanos(10.0));
    Story { history: History::new(Arc::new(cast)), now: 0, faults: Vec::new() }
}

impl Story {
    fn tries(self, device: &str, attempt: u32) -> Story {
        self.note(device, Note::Connecting { attempt })
    }

    /// These of the crowd lose their connections, each a millisecond after the one before.
    fn all_lose(mut self, people: std::ops::Range<u32>) -> Story {
        let began = self.now;
        for person in people.clone() {
            self = self.later(began, person - people.start).disconnected(&format!("p{person}"), 1);
        }
        self
    }

    /// These begin their next attempt, each so many milliseconds after the one before.
    fn all_try(mut self, people: std::ops::Range<u32>, apart: u32, attempt: u32) -> Story {
        let began = self.now;
        for person in people.clone() {
            let at = (person - people.start) * apart;
            self = self.later(began, at).tries(&format!("p{person}"), attempt);
        }
        self
    }

    fn later(mut self, began: u64, millis: u32) -> Story {
        self.now = began + u64::from(millis) * 1_000_000;
        self
    }

    fn tried_again(self, seq: u64) -> Story {
        let (device, conversation) = (self.device("bob"), self.conversation("alice", "bob"));
        let stamp = Stamp { epoch: 1, seq };
        self.note("worker-1", Note::Redelivered { device, conversation, stamp })
    }

    fn breaker(self, note: fn(HostId) -> Note) -> Story {
        let gateway = self.host("server-2");
        self.note("worker-1", note(gateway))
    }
}

const OPENED: fn(HostId) -> Note = |gateway| Note::BreakerOpened { gateway };
const HALF_OPENED: fn(HostId) -> Note = |gateway| Note::BreakerHalfOpened { gateway };
const CLOSED: fn(HostId) -> Note = |gateway| Note::BreakerClosed { gateway };

#[test]
fn a_device_that_tries_all_the_time() {
    let spinning = |each: f64| {
        (0..40).fold(story(), |story, n| story.at(10.0 + f64::from(n) * each).tries("bob", n))
    };
    let what = spinning(1.0).breaks(RetryBudget);
    assert_eq!(what, "bob began 31 connection attempts within 60s by T+30.000s");
    spinning(2.1).holds();
}

#[test]
fn a_device_that_was_restarted_begins_anew() {
    let tries = |story: Story, from: f64| {
        (0..20).fold(story, |story, n| story.at(from + f64::from(n)).tries("bob", n))
    };
    let story = tries(tries(story(), 10.0).crashed("bob").started("bob"), 30.0);
    story.holds();
    tries(tries(super::story(), 10.0), 30.0).breaks(RetryBudget);
}

#[test]
fn a_crowd_that_comes_back_as_one() {
    let wave = || crowd().at(20.0).all_lose(0..20).at(21.0);
    let what = wave().all_try(0..20, 1, 1).breaks(RetryBudget);
    let expected = "14 of 20 devices that lost their connections together at T+10.000s began \
                    their 1st attempt within 100ms by T+11.013s";
    assert_eq!(what, expected);
    wave().all_try(0..20, 50, 1).holds();
    let second = wave().all_try(0..20, 50, 1).at(30.0).all_try(0..20, 1, 2);
    assert!(second.breaks(RetryBudget).contains("2nd attempt"));
}

#[test]
fn a_crowd_is_more_than_a_few_and_lost_its_connections_together() {
    crowd().at(20.0).all_lose(0..15).at(21.0).all_try(0..15, 1, 1).holds();
    let apart = crowd().at(20.0).all_lose(0..10).at(21.5).all_lose(10..20);
    apart.at(23.0).all_try(0..20, 1, 1).holds();
}

#[test]
fn two_thirds_are_not_a_wave_and_more_are() {
    let spread = |together| {
        let story = crowd().at(20.0).all_lose(0..18).at(21.0).all_try(0..together, 1, 1);
        story.at(22.0).all_try(together..18, 200, 1)
    };
    spread(12).holds();
    spread(13).breaks(RetryBudget);
}

#[test]
fn who_is_back_or_was_woken_is_not_part_of_a_wave() {
    let lost = || crowd().at(20.0).all_lose(0..20).at(21.0);
    let mut back = lost();
    for n in 0..10 {
        back = back.connected(&format!("p{n}"), "server-1", 2);
    }
    back.at(22.0).all_try(0..20, 1, 1).holds();
    let mut woken = lost();
    for n in 0..10 {
        let name = format!("p{n}");
        woken = woken.life(&name, Life::Paused).life(&name, Life::Resumed);
    }
    woken.at(22.0).all_try(0..20, 1, 1).holds();
    let mut switched_on = crowd().at(20.0);
    for n in 0..20 {
        switched_on = switched_on.flight_mode(&format!("p{n}"), 1);
    }
    switched_on.at(22.0).all_try(0..20, 1, 1).holds();
}

#[test]
fn a_message_that_is_tried_all_the_time() {
    let trying = |each: f64, moves: bool| {
        (0..40u32).fold(story(), |story, n| {
            let seq = if moves { u64::from(n) / 20 } else { 0 } + 1;
            story.at(10.0 + f64::from(n) * each).tried_again(seq)
        })
    };
    let what = trying(0.5, false).breaks(RetryBudget);
    assert!(what.starts_with("#1 of alice ~ bob was tried for bob again 31 times"), "{what}");
    trying(2.1, false).holds();
    trying(0.5, true).holds();
}

#[test]
fn a_breaker_that_never_closes() {
    let opened = || story().at(20.0).breaker(OPENED);
    opened().at(80.0).breaker(HALF_OPENED).holds();
    opened().at(80.0).breaker(CLOSED).holds();
    opened().at(80.0).holds();
    let what = opened().at(81.0).breaks(RetryBudget);
    let expected =
        "worker-1 left server-2 alone since T+10.000s and had not tried it again by T+70.000s";
    assert_eq!(what, expected);
    opened().at(81.0).breaker(HALF_OPENED).at(200.0).breaks(RetryBudget);
}

#[test]
fn a_breaker_whose_holder_was_away() {
    let opened = || story().at(20.0).breaker(OPENED).at(30.0);
    opened().crashed("worker-1").started("worker-1").at(200.0).holds();
    let paused = |until| {
        let story = opened().life("worker-1", Life::Paused).at(until);
        story.life("worker-1", Life::Resumed)
    };
    paused(100.0).at(101.0).breaker(HALF_OPENED).holds();
    paused(100.0).at(161.0).breaks(RetryBudget);
}

/// The notes of leases are not what this one reads.
#[test]
fn leases_are_another_matter() {
    let story = story().at(20.0);
    let (device, conversation) = (story.device("bob"), story.conversation("alice", "bob"));
    let lost = Note::LeaseLost { device, conversation, term: Term(1) };
    (0..40).fold(story, |story, _| story.note("worker-1", lost)).holds();
}
