//! Planted bugs: a checker is trusted only after it has caught one.
//!
//! Every mutant is a bug that somebody has shipped, in a few lines, planted into a whole fleet. Its
//! scene is valid as long as the fleet is sound, and reaches what the bug is about; with the bug,
//! on every seed, exactly the checker named here fires and no other does: a bug that two checkers
//! see would not tell which of them works. Where a bug cannot break one promise without another,
//! the others are named.

mod crew;
mod devices;
mod gateways;
mod pending;
mod retries;
mod stage;
mod stores;
mod watchers;

use courier_sim::checker::Invariant;
use courier_sim::report::{Totals, Verdict};
use courier_sim::scenario::Scenario;
use crew::Bug;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use strum::IntoEnumIterator;

const SEEDS: RangeInclusive<u64> = 1..=5;

/// A test per mutant, and the list of the invariants that have one.
macro_rules! mutants {
    ($(
        $home:ident::$name:ident,
        caught_by = $invariant:ident $(, with = [$($also:ident),*])?;
    )*) => {
        const CAUGHT: &[Invariant] = &[$(Invariant::$invariant),*];

        $(#[test]
        fn $name() {
            let (scene, bug) = $home::$name();
            let with: &[Invariant] = &[$($(Invariant::$also),*)?];
            is_caught(stringify!($name), &scene, bug, Invariant::$invariant, with);
        })*
    };
}

mutants! {
    devices::a_device_acknowledges_what_it_has_not_stored, caught_by = NoLoss,
        with = [Gap, Receipts];
    gateways::a_gateway_takes_a_write_for_a_delivery, caught_by = NoLoss, with = [Gap, Receipts];
    devices::a_device_forgets_at_reboot_what_it_has_shown, caught_by = NoDuplicate;
    devices::a_device_shows_what_is_delivered_again, caught_by = NoDuplicate;
    devices::a_device_sends_the_next_message_before_the_last_is_answered, caught_by = InOrder;
    stores::a_database_gives_a_lost_number_out_again, caught_by = Sequence;
    stores::a_database_commits_a_later_number_first, caught_by = Sequence;
    stores::the_close_of_an_older_session_removes_a_newer_row, caught_by = FreshRegistry;
    gateways::a_gateway_is_deaf_to_displacements, caught_by = OneOwner;
    gateways::a_gateway_publishes_what_happens_and_never_an_opening, caught_by = OneOwner;
    watchers::a_cleaner_never_sweeps, caught_by = StaleBound;
    gateways::a_gateway_reports_one_heartbeat_in_three, caught_by = Presence;
    watchers::presence_waits_no_longer_than_one_heartbeat, caught_by = Presence;
    watchers::presence_never_looks_who_has_fallen_silent, caught_by = Presence;
    stores::a_database_answers_before_its_disk_does, caught_by = PersistAck;
    retries::a_database_takes_the_word_of_a_holder_that_was_overtaken, caught_by = Claim;
    retries::a_device_reconnects_at_once, caught_by = RetryBudget;
    retries::a_breaker_has_no_half_open_state, caught_by = RetryBudget;
    devices::a_device_never_sends_again_what_is_not_answered, caught_by = Liveness;
    stores::a_database_that_has_restarted_takes_no_message, caught_by = Liveness;
    watchers::a_gateway_never_asks_again_whom_its_devices_watch, caught_by = Presence;
    devices::a_device_has_read_whatever_it_shows, caught_by = Receipts;
    pending::a_gateway_drops_what_it_is_to_deliver, caught_by = Gap;
    pending::a_database_drops_what_is_a_minute_old, caught_by = Expiry;
    pending::a_database_forgets_what_it_has_stored,
        caught_by = Dedupe, with = [NoDuplicate, Sequence];
    devices::a_device_takes_no_answer_for_a_no, caught_by = Phantom;
    gateways::a_gateway_keeps_the_marks_to_itself, caught_by = Receipts;
    watchers::a_registry_does_not_look_at_the_term, caught_by = OneRun;
    gateways::a_gateway_refuses_a_message_and_passes_its_beginning_on, caught_by = Phantom;
}

fn is_caught<M>(name: &str, scene: &Scenario, bug: Bug<M>, by: Invariant, with: &[Invariant])
where
    M: Clone + Default + Send + 'static,
{
    for seed in SEEDS {
        let plan = stage::plan(name, scene, seed);
        let sound = stage::soundly(&plan);
        let (unreached, found) = (&sound.unreached, &sound.anomalies);
        assert_eq!(sound.verdict, Verdict::Valid, "seed {seed}: {unreached:?} {found:#?}");
        let mutant = stage::with_bug(&plan, bug);
        let found = &mutant.anomalies;
        let mut expected: Vec<&str> = with.iter().chain([&by]).map(|i| i.name()).collect();
        expected.sort_unstable();
        assert_eq!(mutant.broken(), expected, "seed {seed}: {found:#?}");
    }
}

#[test]
fn every_checker_has_caught_a_bug() {
    let caught: BTreeSet<Invariant> = CAUGHT.iter().copied().collect();
    assert_eq!(caught, Invariant::iter().collect());
}

#[test]
fn a_bug_that_is_nowhere_changes_nothing() {
    let (scene, _) = devices::a_device_takes_no_answer_for_a_no();
    let plan = stage::plan("nowhere", &scene, 1);
    let nowhere: Bug = Bug::in_steps_of(|_| true, |carrier, now, event| carrier.sound(now, event));
    assert_eq!(stage::with_bug(&plan, nowhere), stage::soundly(&plan));
}

#[test]
fn a_panic_is_a_finding_and_the_next_seed_runs() {
    let name = "a-gateway-panics";
    let (scene, bug) = gateways::a_gateway_panics_when_it_is_declared_dead();
    let mut totals = Totals::default();
    for seed in SEEDS {
        let plan = stage::plan(name, &scene, seed);
        assert_eq!(stage::soundly(&plan).verdict, Verdict::Valid, "seed {seed}");
        let report = stage::with_bug(&plan, bug);
        assert_eq!(report.broken(), ["panic"], "{:#?}", report.anomalies);
        let what = &report.anomalies[0].what;
        assert!(what.starts_with("server-2 panicked"), "{what}");
        assert!(what.contains("`received declared-dead`"), "{what}");
        assert!(what.contains("i1 is not dead"), "{what}");
        totals.add(&report);
    }
    assert_eq!(totals.invalid, totals.runs);
    let each: Vec<String> = SEEDS.map(|seed| format!("{name} {seed}")).collect();
    assert_eq!(totals.failing, each);
}
