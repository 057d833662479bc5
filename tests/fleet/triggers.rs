//! Faults that wait for something to happen: when they begin, and the same run from its plan.

use courier_sim::document::{Document, Format};
use courier_sim::plan::Plan;
use courier_sim::run::{Outcome, run};
use courier_sim::scenario::{Found, Inputs};
use std::sync::Arc;

const STORY: &str = "
duration = \"30s\"
fleet = { servers = 2, users = 2 }
zone = [{ name = \"rack\", hosts = [\"app-*\"] }]

[[step]]
at = \"2s\"
from = \"u0\"
to = \"u1\"

[[step]]
at = \"4s\"
from = \"u0\"
to = \"u1\"
";

fn plan(fault: &str) -> Plan {
    let text = format!("{STORY}\n[[fault]]\n{fault}\n");
    let document = Document { name: "drawn.toml".to_owned(), text, format: Format::Toml };
    let path = document.name.clone();
    let name = "triggered".to_owned();
    let found = Found { name, path, document, design: Default::default() };
    found.plan(7, &Inputs::default()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn carry_out(plan: &Plan) -> Outcome {
    run(Arc::new(plan.clone())).expect("it runs")
}

#[test]
fn a_fault_begins_at_the_nth_note_and_its_plan_repeats_the_run() {
    for (fault, nth) in [
        ("kind = \"crash\"\ntarget = \"rack\"\nwhen = \"persisted\"\nlasts = \"5s\"", 1),
        (
            "kind = \"crash\"\ntarget = \"server-*\"\nlasts = \"5s\"\ndelay = \"1ms\"\n\
             when = { note = \"persisted\", nth = 2, host = \"db\" }",
            2,
        ),
    ] {
        let plan = plan(fault);
        let outcome = carry_out(&plan);
        let persisted: Vec<u64> = outcome
            .history
            .notes()
            .filter(|(at, _, note)| *at >= plan.zero() && note.name() == "persisted")
            .map(|(at, ..)| at)
            .collect();
        let delay = if nth == 1 { 1 } else { 1_000_000 };
        assert_eq!(outcome.fired.get(&0), Some(&(persisted[nth - 1] + delay)));
        let (went, silent) = plan.concrete(&outcome.fired);
        assert!(silent.is_empty() && !went.has_triggers());
        let text = went.to_toml().expect("a plan can be written");
        let document = Document { name: "went.toml".to_owned(), text, format: Format::Toml };
        let again: Plan = document.parse().unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(again, went);
        assert!(again.validate().is_ok());
        let repeated = carry_out(&again);
        assert_eq!((repeated.digest, repeated.events), (outcome.digest, outcome.events));
    }
}

#[test]
fn a_fault_whose_note_never_comes_is_left_out() {
    let plan = plan("kind = \"crash\"\ntarget = \"db\"\nwhen = \"stepped-down\"");
    let outcome = carry_out(&plan);
    let (went, silent) = plan.concrete(&outcome.fired);
    assert_eq!(went.fault, []);
    assert_eq!(silent[0].spell(), "`stepped-down`");
}
