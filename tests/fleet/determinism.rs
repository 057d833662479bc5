//! The same scenario, seed and commit give the same bytes: alone, beside others, on any thread,
//! from a clone. (In other processes and in a sweep: the tests of the command line.)

use crate::support::{assert_same, plan, run, small_swarm, trace};
use courier_sim::plan::Plan;
use courier_sim::run::Runner;
use courier_sim::scenario::{Found, built_in};
use courier_sim::span::Span;
use std::sync::Arc;

/// Operations of each scenario that are run, in a debug build.
const OPS_MAX: usize = 100;

#[test]
fn every_scenario_runs_the_same_twice() {
    let all = built_in();
    let [even, odd] = [0, 1].map(|first| all.iter().skip(first).step_by(2));
    std::thread::scope(|scope| {
        for half in [even, odd] {
            scope.spawn(|| half.filter_map(shortened).for_each(|plan| runs_the_same_twice(&plan)));
        }
    });
}

fn runs_the_same_twice(plan: &Arc<Plan>) {
    let first = trace(plan);
    assert!(first.len() > 1_000, "{} says little", plan.scenario);
    assert_same(&first, &trace(plan));
}

/// Small enough to be run twice and compared line by line.
fn shortened(found: &Found) -> Option<Arc<Plan>> {
    let plan = match found.name.as_str() {
        // They need their traces; their own tests run them.
        "uc-irvine-week" | "lanl-month" => return None,
        "offline-three-days" => {
            // Two hours of it, and of its script.
            let mut short = (*plan(&found.name, 3, &[])).clone();
            short.duration = Span::from_secs(2 * 3_600);
            short.op.truncate(1);
            Arc::new(short)
        }
        "a-quiet-night" => {
            // An hour of it.
            let mut short = (*plan(&found.name, 3, &["fleet.users=20"])).clone();
            short.duration = Span::from_secs(3_600);
            short.op.clear();
            Arc::new(short)
        }
        name @ ("a-large-group" | "one-huge-group" | "a-million-followers") => {
            plan(name, 3, &["fleet.users=20", "workload.group-size=16"])
        }
        // It names its sixty people one by one.
        name @ "the-last-of-a-round" => plan(name, 3, &[]),
        name => plan(name, 3, &["fleet.users=20"]),
    };
    // The begin of a busy day says as much about this as all of it.
    let mut plan = (*plan).clone();
    plan.op.truncate(OPS_MAX);
    Some(Arc::new(plan))
}

#[test]
fn runs_on_two_threads_at_once_are_those_of_runs_alone() {
    let plans: Vec<_> = (0..4).map(small_swarm).collect();
    let alone: Vec<_> = plans.iter().map(|plan| run(plan).digest).collect();
    let beside: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = plans.iter().map(|plan| scope.spawn(|| run(plan).digest)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(alone, beside);
    let different: std::collections::BTreeSet<_> = alone.iter().collect();
    assert_eq!(different.len(), alone.len(), "different seeds are different runs");
}

#[test]
fn a_clone_of_a_run_goes_on_identically() {
    let plan = small_swarm(5);
    let mut original = Runner::new(plan.clone()).unwrap();
    let mut copies = Vec::new();
    let mut steps = 0_u64;
    loop {
        if steps % 20_000 == 7_919 {
            copies.push(original.clone());
        }
        steps += 1;
        if !original.step() {
            break;
        }
    }
    assert!(copies.len() >= 2, "the run is long enough to clone: {steps} steps");
    let original = original.finish();
    for mut copy in copies {
        while copy.step() {}
        let copy = copy.finish();
        assert_eq!(copy.digest, original.digest);
        assert_eq!(copy.history.entries, original.history.entries);
    }
}

#[test]
fn stepping_by_hand_is_the_same_as_running_in_the_shell() {
    let plan = small_swarm(6);
    let mut runner = Runner::new(plan.clone()).unwrap();
    while runner.step() {}
    assert_eq!(runner.finish().digest, run(&plan).digest);
}

#[test]
fn taking_a_fault_out_changes_nothing_before_it() {
    let plan = plan("server-7-power-cut", 2, &[]);
    let mut without = (*plan).clone();
    let fault = without.fault.remove(0);
    let begins = fault.at.expect("it has a time").since_start(plan.zero());
    let (with, without) = (run(&plan), run(&Arc::new(without)));
    let before = |outcome: &courier_sim::run::Outcome| {
        let early = outcome.history.entries.iter().take_while(|entry| entry.at < begins);
        early.cloned().collect::<Vec<_>>()
    };
    assert_eq!(before(&with), before(&without));
    assert_ne!(with.digest, without.digest);
}

#[test]
fn a_fault_far_away_does_not_change_a_message_on_another_link() {
    // A slow link to one phone. Whoever has nothing to do with it sees each message at the very
    // same nanosecond: draws belong to links and instants, not to an order of drawing.
    let calm = plan("server-7-dies-fast-log", 4, &[]);
    let mut disturbed = (*calm).clone();
    disturbed.fault.push(
        toml::from_str(
            "kind = 'slow'\nat = '1s'\nlasts = '50s'\nfrom = 'u9'\nto = 'server-*'\nby = '70ms'",
        )
        .unwrap(),
    );
    let shown = |outcome: &courier_sim::run::Outcome| {
        let notes = outcome.history.notes().filter_map(|(at, host, note)| match note {
            courier::note::Note::Shown { id, .. } => Some((at, host, *id)),
            _ => None,
        });
        notes.collect::<Vec<_>>()
    };
    let (calm, disturbed) = (run(&calm), run(&Arc::new(disturbed)));
    assert!(!shown(&calm).is_empty());
    assert_eq!(shown(&calm), shown(&disturbed));
    assert_ne!(calm.digest, disturbed.digest);
}
