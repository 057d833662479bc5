//! What the nemesis draws: how much in which weather, and what it never does.

use crate::support::plan;
use courier_sim::cast::Part;
use courier_sim::plan::{Fault, Kind, Plan};
use std::collections::BTreeSet;
use strum::IntoEnumIterator;

const SEEDS: std::ops::Range<u64> = 0..60;

fn drawn(scenario: &str) -> Vec<std::sync::Arc<Plan>> {
    SEEDS.map(|seed| plan(scenario, seed, &[])).collect()
}

fn kinds<'p>(plans: impl IntoIterator<Item = &'p std::sync::Arc<Plan>>) -> BTreeSet<Kind> {
    plans.into_iter().flat_map(|plan| &plan.fault).map(|fault| fault.kind).collect()
}

#[test]
fn each_weather_draws_its_kinds_and_each_seed_some_of_them() {
    let fair = |kind: &Kind| kind.is_drawn();
    for (scenario, all) in [
        ("swarm-calm", Kind::iter().filter(|kind| kind.is_ordinary()).collect::<BTreeSet<_>>()),
        ("swarm", Kind::iter().filter(fair).collect()),
        ("swarm-storm", Kind::iter().filter(fair).collect()),
    ] {
        let plans = drawn(scenario);
        assert_eq!(kinds(&plans), all, "{scenario}");
        assert!(plans.iter().all(|plan| kinds([plan]).len() < all.len()), "{scenario}");
    }
}

#[test]
fn a_storm_is_rougher_than_a_bad_day_and_that_than_a_calm_month() {
    let per_minute = |scenario: &str| {
        let plans = drawn(scenario);
        let faults: usize = plans.iter().map(|plan| plan.fault.len()).sum();
        faults as f64 * 60.0 / plans.iter().map(|plan| plan.duration.0.as_secs_f64()).sum::<f64>()
    };
    let [calm, rough, storm] = ["swarm-calm", "swarm", "swarm-storm"].map(per_minute);
    assert!(calm * 1.5 < rough && rough * 1.5 < storm, "{calm} {rough} {storm}");
}

#[test]
fn some_faults_befall_a_whole_rack() {
    let named = |fault: &&Fault| {
        fault.target.iter().chain(&fault.from).any(|name| name.starts_with("rack-"))
    };
    let plans = drawn("swarm-storm");
    let faults: Vec<&Fault> = plans.iter().flat_map(|plan| &plan.fault).collect();
    let racks = faults.iter().copied().filter(named).count();
    assert!(racks > 20 && racks * 4 < faults.len(), "{racks} of {}", faults.len());
}

/// By itself a lost replica changes nothing that anybody could see.
#[test]
fn some_stores_fail_over_while_their_replica_is_lost() {
    let plans = drawn("swarm-storm");
    let spans = |plan: &Plan, kind: Kind| -> Vec<(String, i64, i64)> {
        let faults = plan.fault.iter().filter(|fault| fault.kind == kind);
        let span = |fault: &Fault| {
            let begins = fault.at.expect("a drawn fault has a time").0;
            let lasts = fault.lasts.expect("and an end").nanos() as i64;
            (fault.target[0].clone(), begins, begins + lasts)
        };
        faults.map(span).collect()
    };
    let in_a_cut = |plan: &&std::sync::Arc<Plan>| {
        let cuts = spans(plan, Kind::ReplicaCut);
        spans(plan, Kind::Failover).iter().any(|(store, at, _)| {
            cuts.iter().any(|(cut, from, until)| cut == store && from < at && at < until)
        })
    };
    assert!(plans.iter().filter(in_a_cut).count() > 0);
}

/// The atlas. Whoever can stand in for another: at least half of them are there at any time.
#[test]
fn half_of_those_who_can_stand_in_for_each_other_stay() {
    for plan in drawn("swarm-storm") {
        let cast = plan.cast();
        for part in [Part::Gateway, Part::Router, Part::Worker, Part::Monitor] {
            let peers = cast.hosts().filter(|(_, other)| *other == part).count();
            let takes_away = |fault: &&Fault| {
                matches!(fault.kind, Kind::Crash | Kind::PowerCut | Kind::Pause | Kind::DiskFull)
                    || matches!(fault.kind, Kind::SlowHost | Kind::Suspend)
            };
            let down: Vec<(i64, i64, usize)> = plan
                .fault
                .iter()
                .filter(takes_away)
                .map(|fault| {
                    let begins = fault.at.expect("a drawn fault has a time").0;
                    let lasts = fault.lasts.expect("and an end").nanos() as i64;
                    let hosts = fault.hosts(&cast);
                    let ours = hosts.iter().filter(|host| cast.part(**host) == part).count();
                    (begins, begins + lasts, ours)
                })
                .collect();
            for (at, ..) in &down {
                let there = down.iter().filter(|(from, until, _)| from <= at && at < until);
                let away: usize = there.map(|(.., hosts)| hosts).sum();
                assert!(away * 2 <= peers, "{part:?}: {away} of {peers} are away");
            }
        }
    }
}
