//! Presence under any pattern of heartbeats and ends, of several devices, late and out of order.

use crate::cast::*;
use crate::properties::config;
use crate::script::Script;
use courier::design::Design;
use courier::disk::Disk;
use courier::id::{DeviceId, Session, UserId};
use courier::limits::{PRESENCE_LINGER, REPORT_EVERY};
use courier::node::Action;
use courier::note::{Note, Status};
use courier::presence::{Config, Presence};
use courier::timing::Timing;
use courier::wire::{Version, Wire};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn presence() -> Script<Presence> {
    let config = Config { timing: Arc::new(Timing::default()), design: Design::default() };
    let mut t = Script::new(PRESENCE, Presence::boot(config, &Disk::default())).untold();
    t.boots().synced();
    t
}

fn beat(t: &mut Script<Presence>) {
    t.receives(server(1), Wire::Seen { sessions: vec![session(2, 1, 1)], ended: Vec::new() });
}

fn changes(t: &Script<Presence>) -> Vec<Status> {
    let changes = t.done.iter().filter_map(|action| match action {
        Action::Note(Note::PresenceChanged { status, .. }) => Some(*status),
        _ => None,
    });
    changes.collect()
}

/// A report about one connection of one of user 2's two devices.
#[derive(Clone, Copy, Debug)]
struct Report {
    slot: u8,
    epoch: u32,
    ended: bool,
    /// Milliseconds until the next one.
    then: u64,
}

impl Report {
    fn session(self) -> Session {
        Session { device: DeviceId { slot: self.slot, ..u(2) }, ..session(2, self.epoch, 1) }
    }

    fn wire(self) -> Wire {
        match self.ended {
            true => Wire::Seen { sessions: Vec::new(), ended: vec![self.session()] },
            false => Wire::Seen { sessions: vec![self.session()], ended: Vec::new() },
        }
    }
}

prop_compose! {
    fn a_report()(
        slot in 0..2u8,
        epoch in 1..5u32,
        ended in prop::bool::weighted(0.3),
        then in prop_oneof![1..3_000u64, 1..40_000u64, 1..400_000u64],
    ) -> Report {
        Report { slot, epoch, ended, then }
    }
}

/// What is known of one device: its newest connection, when that was heard, when it ended.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    epoch: u32,
    heard: Option<u64>,
    ended: Option<u64>,
}

impl Known {
    fn take(&mut self, report: Report, now: u64) {
        let newer = report.epoch > self.epoch;
        if !newer && (report.epoch < self.epoch || self.ended.is_some()) {
            return;
        }
        self.epoch = report.epoch;
        match report.ended {
            true => self.ended = self.ended.or(Some(now)),
            false => (self.heard, self.ended) = (Some(now), None),
        }
    }

    fn status(self, now: u64) -> Status {
        let gone = |ended| now >= ended + PRESENCE_LINGER.as_millis() as u64;
        let Some(heard) = self.heard.filter(|_| !self.ended.is_some_and(gone)) else {
            return Status::Offline;
        };
        match now - heard {
            0..75_000 => Status::Online,
            75_000..300_000 => Status::Away,
            _ => Status::Offline,
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn who_beats_often_enough_never_leaves_online(
        gaps in prop::collection::vec(1..75_000u64, 0..20)
    ) {
        let mut t = presence();
        beat(&mut t);
        for millis in gaps {
            t.pass(Duration::from_millis(millis));
            beat(&mut t);
        }
        prop_assert_eq!(changes(&t), [Status::Online]);
        t.pass(Duration::from_secs(300) + REPORT_EVERY);
        prop_assert_eq!(changes(&t), [Status::Online, Status::Away, Status::Offline]);
    }

    /// The status is that of the time since the last heartbeat, one sweep late at most.
    #[test]
    fn the_status_is_what_the_silence_says(gaps in prop::collection::vec(1..400_000u64, 1..12)) {
        let mut t = presence();
        for millis in gaps {
            beat(&mut t);
            prop_assert_eq!(changes(&t).pop(), Some(Status::Online));
            t.pass(Duration::from_millis(millis));
            let status = changes(&t).pop().expect("it was seen");
            let least = |silence: u64| match silence {
                0..75_000 => Status::Online,
                75_000..300_000 => Status::Away,
                _ => Status::Offline,
            };
            let late = least(millis.saturating_sub(1_000));
            prop_assert!((late..=least(millis)).contains(&status), "{status:?} after {millis} ms");
        }
    }

    /// Whatever is heard of which device in which order: the user is what the best of the newest
    /// connections is, one sweep late at most, and never goes down late news.
    #[test]
    fn a_user_is_what_the_newest_connections_of_its_devices_say(
        reports in prop::collection::vec(a_report(), 1..30)
    ) {
        let mut t = presence();
        let mut known = [Known::default(); 2];
        let mut now = 0;
        for report in reports {
            let before = t.done.len();
            t.receives(server(1), report.wire());
            let told = &t.done[before..];
            let down = |action: &Action| matches!(
                action,
                Action::Note(Note::PresenceChanged { status: Status::Offline, .. })
            );
            let unknown = known.iter().all(|known| known.epoch == 0 || known.heard.is_none());
            let leaves = told.iter().any(down) && !unknown;
            prop_assert!(!leaves, "nobody leaves by a report alone: {report:?}");
            known[usize::from(report.slot)].take(report, now);
            t.pass(Duration::from_millis(report.then));
            now += report.then;
            let best = |now: u64| known.iter().map(|known| known.status(now)).min().unwrap();
            // A status can only have got worse in that second.
            let (late, least) = (best(now.saturating_sub(1_000).max(now - report.then)), best(now));
            if let Some(shown) = changes(&t).pop() {
                prop_assert!((late..=least).contains(&shown), "{shown:?}, not {late:?}..{least:?}");
            }
        }
    }

    /// A gateway that asks in time has been told what is shown, a second late at most.
    #[test]
    fn who_watches_knows_what_is_shown(reports in prop::collection::vec(a_report(), 1..20)) {
        let mut t = presence();
        let mut known = (Version::default(), None);
        for report in reports {
            t.receives(server(3), Wire::Watch { users: vec![(UserId(2), known.0)] });
            t.receives(server(1), report.wire());
            t.pass(Duration::from_millis(report.then.min(20_000)));
            let shown = changes(&t).pop();
            t.pass(REPORT_EVERY);
            for action in &t.done {
                let Action::Send { to, wire: Wire::Statuses { statuses } } = action else {
                    continue;
                };
                prop_assert_eq!(*to, server(3));
                let news = statuses.iter().map(|news| (news.version, Some(news.status)));
                known = news.fold(known, |known, news| known.max(news));
            }
            // What has changed in the last second may be in the next batch.
            if changes(&t).pop() == shown {
                prop_assert_eq!(known.1, shown);
            }
        }
    }
}
