//! Whole plans, drawn and shrunk: fleets, conversations, weather and faults that nobody thought of.
//!
//! Whatever is drawn, a plan is sound, is the same plan when it was written to a file and read
//! again, runs to the same digest each time, and breaks no invariant. The same plans in every run
//! of the tests; `PROPTEST_CASES` draws more of them.
//!
//! A plan that once failed is kept twice under `regressions`: by its seed, as proptest does, and,
//! because a seed means another plan as soon as the drawing changes, as a plan file.

mod draft;

use courier_sim::document::{Document, Format};
use courier_sim::plan::Plan;
use courier_sim::report::{Report, Verdict, judge};
use courier_sim::run::run;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/plans/regressions");
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/plans/regressions/seeds.txt");

/// Plans of one run of the tests, if `PROPTEST_CASES` does not say otherwise.
const CASES: u32 = 128;

fn config() -> Config {
    let usual = Config::default();
    let chosen = std::env::var_os("PROPTEST_CASES").is_some();
    let drawn = std::env::var_os("PROPTEST_RNG_SEED").is_some();
    Config {
        cases: if chosen { usual.cases } else { CASES },
        rng_seed: if drawn { usual.rng_seed } else { RngSeed::Fixed(8) },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        max_shrink_iters: 2_000,
        ..usual
    }
}

/// What the plans of one run must have met, all together: else they have proven nothing.
const REACHED: &[&str] = &[
    "cleaned",
    "deduplicated",
    "drained",
    "draining",
    "duplicate-dropped",
    "gap-noticed",
    "late-answer",
    "lease-expired",
    "offer-fenced",
    "parked",
    "redelivered",
    "resent",
    "row-fenced",
    "stale-route",
    "stale-term",
    "stepped-down",
];

/// A plan that shows itself as the file that it would be.
#[derive(Clone)]
struct Drawn(Plan);

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.0.to_toml().map_err(|_| fmt::Error)?)
    }
}

fn judged(plan: &Plan) -> Report {
    let plan = Arc::new(plan.clone());
    let outcome = run(plan.clone()).expect("a plan without input files runs");
    judge(&plan, &outcome, Duration::ZERO, String::new())
}

fn read(name: &str, text: String, format: Format) -> Plan {
    let document = Document { name: name.to_owned(), text, format };
    document.parse().unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// What holds of every plan.
fn holds(plan: &Plan) -> Result<Report, TestCaseError> {
    prop_assert!(plan.validate().is_ok(), "{:?}", plan.validate());
    let toml = read("drawn.toml", plan.to_toml().expect("a plan can be written"), Format::Toml);
    let json = serde_json::to_string(plan).expect("likewise");
    let json = read("drawn.json", json, Format::Json);
    prop_assert!(toml == *plan, "TOML reads back as {:?}", Drawn(toml));
    prop_assert!(json == *plan, "JSON reads back as {:?}", Drawn(json));

    let report = judged(plan);
    let told = || report.anomalies.iter().map(|a| format!("{} {}", a.invariant, a.what));
    let told = || told().collect::<Vec<_>>().join("\n");
    prop_assert!(report.verdict != Verdict::Invalid, "{}", told());
    for read_back in [toml, json] {
        prop_assert_eq!(&judged(&read_back).digest, &report.digest);
    }
    Ok(report)
}

#[test]
fn every_plan_is_sound_repeats_itself_and_breaks_nothing() {
    let (config, plans) = (config(), draft::plan().prop_map(Drawn));
    let enough = config.cases >= CASES;
    let reached = RefCell::new(BTreeSet::new());
    let outcome = TestRunner::new(config).run(&plans, |Drawn(plan)| {
        reached.borrow_mut().extend(holds(&plan)?.reached.into_keys());
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let reached = reached.into_inner();
    let unreached: Vec<_> = REACHED.iter().filter(|note| !reached.contains(**note)).collect();
    assert!(unreached.is_empty() || !enough, "the plans never reach {unreached:?}");
}

#[test]
fn every_plan_that_once_failed_holds() {
    // There is no such folder until the first plan fails.
    let entries = std::fs::read_dir(REGRESSIONS).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    paths.sort();
    for path in paths {
        let plan: Plan = Document::read(&path).and_then(|d| d.parse()).expect("a plan");
        holds(&plan).unwrap_or_else(|broken| panic!("{}: {broken}", path.display()));
    }
}
