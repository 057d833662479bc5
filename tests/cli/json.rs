//! What a program reads: one object per run, as the schemas in `sim/schema` say.
//!
//! The schemas are generated from the types. After a deliberate change of those, write them anew
//! with `UPDATE_SCHEMA=1 cargo test -p courier-sim --test cli schema`.

use super::{Place, text};
use courier_sim::cli::matrix::Matrix;
use courier_sim::cli::scenarios::Listed;
use courier_sim::designs::catalogue::Entry;
use courier_sim::report::{Report, Totals};
use serde_json::Value;
use std::path::{Path, PathBuf};

const RUN: &str = "run.schema.json";
const TOTALS: &str = "totals.schema.json";
const DESIGNS: &str = "designs.schema.json";
const SCENARIOS: &str = "scenarios.schema.json";
const MATRIX: &str = "matrix.schema.json";

fn checked_in(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name)
}

fn is_up_to_date(name: &str, schema: &schemars::Schema) {
    let path = checked_in(name);
    let generated = serde_json::to_string_pretty(schema).expect("a schema is JSON") + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, generated).expect("the schema can be written");
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == generated,
        "sim/schema/{name} is not what the types say. If the types changed on purpose, run\n  \
         UPDATE_SCHEMA=1 cargo test -p courier-sim --test cli schema\nThey say:\n{generated}"
    );
}

fn assert_follows(name: &str, value: &Value) {
    let text = std::fs::read_to_string(checked_in(name)).expect("the schema is checked in");
    let schema = serde_json::from_str(&text).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:?}\n{value}");
}

/// The objects of a sweep: one for each run, and the totals.
fn sweep(place: &Place, arguments: &[&str], status: i32) -> (Vec<Value>, Value) {
    let said = place.says(&[&["sweep", "--json"], arguments].concat(), status);
    let mut lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let totals = lines.pop().expect("a sweep prints totals");
    (lines, totals)
}

#[test]
fn the_schema_of_a_run_is_checked_in() {
    is_up_to_date(RUN, &schemars::schema_for!(Report));
}

#[test]
fn the_schema_of_the_totals_is_checked_in() {
    is_up_to_date(TOTALS, &schemars::schema_for!(Totals));
}

#[test]
fn the_schemas_of_designs_scenarios_and_the_matrix_are_checked_in() {
    is_up_to_date(DESIGNS, &schemars::schema_for!(Vec<Entry>));
    is_up_to_date(SCENARIOS, &schemars::schema_for!(Vec<Listed>));
    is_up_to_date(MATRIX, &schemars::schema_for!(Matrix));
}

#[test]
fn designs_scenarios_and_the_matrix_follow_their_schemas() {
    let place = Place::new();
    assert_follows(DESIGNS, &place.json(&["designs"], 0));
    assert_follows(SCENARIOS, &place.json(&["scenarios"], 0));
    let cells = ["--choices", "cleaner=by-user", "--scenarios", "small.toml", "--seeds", "1"];
    assert_follows(MATRIX, &place.json(&[&["matrix"], &cells[..]].concat(), 1));
}

#[test]
fn the_schemas_do_not_pass_everything() {
    let place = Place::new();
    let mut run = place.json(&["run", "small.toml"], 0);
    run["verdict"] = "perhaps".into();
    let text = std::fs::read_to_string(checked_in(RUN)).expect("the schema is checked in");
    let schema = serde_json::from_str(&text).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    assert!(!validator.is_valid(&run));
    run["verdict"] = "valid".into();
    assert!(validator.is_valid(&run));
    run["surplus"] = 1.into();
    assert!(!validator.is_valid(&run));
}

#[test]
fn a_run_prints_one_object_that_follows_its_schema() {
    let run = Place::new().json(&["run", "small.toml", "--seed", "7"], 0);
    assert_follows(RUN, &run);
    for key in [
        "scenario",
        "seed",
        "verdict",
        "digest",
        "virtual_ms",
        "wall_ms",
        "clients",
        "sent",
        "accepted",
        "shown",
        "parked",
        "redelivered",
        "anomalies",
        "replay",
    ] {
        assert!(run.get(key).is_some(), "no {key}");
    }
    assert_eq!((&run["scenario"], &run["seed"]), (&"small".into(), &7.into()));
    assert_eq!((&run["sent"], &run["shown"]), (&1.into(), &1.into()));
}

#[test]
fn objects_of_runs_that_are_not_valid_follow_the_schema_too() {
    let place = Place::new();
    let impossible = r#"expect.shown=[{ message = "m1", to = "alice", by = "1s" }]"#;
    let invalid = place.json(&["run", "small.toml", "--set", impossible], 1);
    assert_follows(RUN, &invalid);
    assert_eq!(invalid["anomalies"][0]["invariant"], "expectation");
    let unknown = place.json(&["run", "small.toml", "--set", r#"expect.reached=["parked"]"#], 2);
    assert_follows(RUN, &unknown);
    assert_eq!(unknown["unreached"][0], "parked");
    let (runs, totals) = sweep(&place, &["small.toml", "--seeds", "0..2", "--set", impossible], 1);
    runs.iter().for_each(|run| assert_follows(RUN, run));
    assert_follows(TOTALS, &totals);
    assert_eq!(totals["invalid"], 2);
    assert_eq!(totals["broken"]["expectation"], 2);
    assert_eq!(totals["failing"][1], "small 1");
}

#[test]
fn a_sweep_prints_a_line_per_seed_in_order_and_then_totals() {
    let place = Place::new();
    let (runs, totals) = sweep(&place, &["small.toml", "--seeds", "3..=6", "--jobs", "2"], 0);
    let seeds: Vec<u64> = runs.iter().filter_map(|run| run["seed"].as_u64()).collect();
    assert_eq!(seeds, [3, 4, 5, 6]);
    runs.iter().for_each(|run| assert_follows(RUN, run));
    assert_follows(TOTALS, &totals);
    assert_eq!((&totals["runs"], &totals["valid"]), (&4.into(), &4.into()));
    let sent: u64 = runs.iter().filter_map(|run| run["sent"].as_u64()).sum();
    assert_eq!(totals["sent"], sent);
}

#[test]
fn a_sweep_goes_through_its_scenarios_one_after_the_other() {
    let place = Place::new();
    place.write("other.toml", super::SMALL);
    let (runs, _) = sweep(&place, &["small.toml", "other.toml", "--seeds", "0..2"], 0);
    let names: Vec<&str> = runs.iter().filter_map(|run| run["scenario"].as_str()).collect();
    assert_eq!(names, ["small", "small", "other", "other"]);
}

#[test]
fn a_seed_has_the_same_digest_in_a_sweep_and_alone_whatever_runs_beside_it() {
    let place = Place::new();
    let digests =
        |runs: &[Value]| -> Vec<Value> { runs.iter().map(|run| run["digest"].clone()).collect() };
    let (one, _) = sweep(&place, &["small.toml", "--seeds", "0..4", "--jobs", "1"], 0);
    let (two, _) = sweep(&place, &["small.toml", "--seeds", "0..4", "--jobs", "2"], 0);
    let alone: Vec<Value> = ["0", "1", "2", "3"]
        .map(|seed| place.json(&["run", "small.toml", "--seed", seed], 0))
        .into();
    assert_eq!(digests(&one), digests(&alone));
    assert_eq!(digests(&two), digests(&alone));
    assert_ne!(one[0]["digest"], one[1]["digest"], "seeds differ");
}

#[test]
fn the_log_stays_out_of_the_json() {
    let place = Place::new();
    let output = place.courier(&["run", "small.toml", "--json"]).env("RUST_LOG", "debug").output();
    let output = output.expect("the program starts");
    assert_eq!(text(&output.stdout).lines().count(), 1);
    assert!(!output.stderr.is_empty());
}
