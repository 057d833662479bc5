//! Stores and their replicas: what a story cannot show by what is shown.

use crate::support::{plan, run};
use courier::note::Note;
use courier_sim::history::{Entry, Fact, Phase};
use courier_sim::run::Outcome;

/// How many messages the database had made durable, of which its replica found nothing.
fn lost(outcome: &Outcome) -> usize {
    let entries = &outcome.history.entries;
    let fails_over = |entry: &Entry| match &entry.fact {
        Fact::Fault { kind, phase: Phase::Begins, .. } => kind == "failover",
        _ => false,
    };
    let at = entries.iter().position(fails_over).expect("it fails over");
    let count = |entries: &[Entry], is: fn(&Note) -> bool| {
        let is = |fact: &Fact| matches!(fact, Fact::Noted { note, .. } if is(note));
        entries.iter().filter(|entry| is(&entry.fact)).count()
    };
    let durable = count(&entries[..at], |note| matches!(note, Note::Persisted { .. }));
    durable - count(&entries[at..], |note| matches!(note, Note::MessageRestored { .. }))
}

#[test]
fn a_standby_that_is_away_for_a_minute_costs_a_minute_and_a_healthy_one_its_lag() {
    let story = "nobody-saw-the-standby-leave";
    let away = lost(&run(&plan(story, 3, &[])));
    let healthy = lost(&run(&plan(story, 3, &["fault.0.lasts=1s"])));
    assert!(away > 200 && healthy < 5, "{away} and {healthy} messages are lost");
}
