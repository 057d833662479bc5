//! Plans and runs that several tests want.

use courier_sim::plan::Plan;
use courier_sim::run::{Outcome, Runner, execute, run_traced};
use courier_sim::scenario::{Inputs, find};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// The plan of a built-in scenario, with some values set.
pub fn plan(scenario: &str, seed: u64, set: &[&str]) -> Arc<Plan> {
    let mut found = find(scenario).unwrap();
    for assignment in set {
        found.document.set(assignment).unwrap();
    }
    Arc::new(found.plan(seed, &Inputs::default()).unwrap())
}

/// Random faults and a lively chat, small enough to run often.
pub fn small_swarm(seed: u64) -> Arc<Plan> {
    plan("swarm", seed, &["fleet.users=12", "duration=60s", "workload.groups=2"])
}

pub fn run(plan: &Arc<Plan>) -> Outcome {
    execute(Runner::new(plan.clone()).unwrap())
}

/// A buffer that a run on another thread writes to.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every line of a run's trace.
pub fn trace(plan: &Arc<Plan>) -> Vec<String> {
    let lines = Shared::default();
    run_traced(plan.clone(), Box::new(lines.clone())).unwrap();
    let bytes = std::mem::take(&mut *lines.0.lock().unwrap());
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

/// Names the first line in which two traces differ.
pub fn assert_same(first: &[String], second: &[String]) {
    for (number, (a, b)) in first.iter().zip(second).enumerate() {
        assert_eq!(a, b, "event {number} is the first that differs");
    }
    assert_eq!(first.len(), second.len(), "one trace ends before the other");
}
