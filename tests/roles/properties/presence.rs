//! Presence under any pattern of heartbeats.

use crate::cast::*;
use crate::properties::config;
use crate::script::Script;
use courier::design::Design;
use courier::limits::REPORT_EVERY;
use courier::node::Action;
use courier::note::{Note, Status};
use courier::presence::{Config, Presence};
use courier::timing::Timing;
use courier::wire::Wire;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn presence() -> Script<Presence> {
    let timing = Arc::new(Timing::default());
    let mut t = Script::new(PRESENCE, Presence::boot(Config { timing, design: Design::default() }))
        .untold();
    t.boots();
    t
}

fn beat(t: &mut Script<Presence>) {
    t.receives(server(1), Wire::Seen { devices: vec![u(2)] });
}

fn changes(t: &Script<Presence>) -> Vec<Status> {
    let changes = t.done.iter().filter_map(|action| match action {
        Action::Note(Note::PresenceChanged { status, .. }) => Some(*status),
        _ => None,
    });
    changes.collect()
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
}
