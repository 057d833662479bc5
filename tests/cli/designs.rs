//! Designs on the command line: the catalogue, a design for one run, and breaks that a scenario
//! expects.

use super::{Place, SMALL};

/// A message that is to be shown sooner than it is sent: the one break that needs no fault.
const IMPOSSIBLE: &str = r#"expect.shown=[{ message = "m1", to = "alice", by = "1s" }]"#;

#[test]
fn the_catalogue_is_a_list_with_exactly_these_keys() {
    let list = Place::new().json(&["designs"], 0);
    let list = list.as_array().expect("a list");
    for entry in list {
        let keys: Vec<&String> = entry.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["alternative", "breaks", "choice", "meaning", "sound", "source"]);
        let breaks = entry["breaks"].as_array().expect("a list");
        assert_eq!(entry["sound"], breaks.is_empty(), "{entry}");
    }
    let counter = list.iter().find(|entry| entry["alternative"] == "redis-counter");
    let breaks = counter.expect("a counter")["breaks"].as_array().expect("a list");
    assert!(breaks.contains(&"sequence".into()), "{breaks:?}");
}

#[test]
fn a_person_reads_the_catalogue_by_choice_with_what_the_textbook_chooses() {
    let place = Place::new();
    let said = place.says(&["designs"], 0);
    for choice in ["sequence  Who", "dead-peer  How", "overflow  What"] {
        assert!(said.lines().any(|line| line.starts_with(choice)), "{choice}: {said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
    let settle = place.says(&["designs", "settle", "presence"], 0);
    assert!(!settle.contains("sequence"), "{settle}");
    assert!(settle.contains("* gateway-accepted      breaks no-loss"), "{settle}");
    assert!(settle.contains("  client-ack            sound"), "{settle}");
}

#[test]
fn a_design_takes_the_place_of_the_scenarios_and_is_part_of_what_repeats_the_run() {
    let place = Place::new();
    let design = |arguments: &[&str]| place.json(&[&["run"], arguments].concat(), 0);
    assert_eq!(design(&["small.toml"])["design"], "sound");
    let chosen = design(&["small.toml", "--design", "cleaner=by-user,queue=at-least-once"]);
    // In the order of the design, not of the command line.
    assert_eq!(chosen["design"], "cleaner=by-user,queue=at-least-once");
    assert_eq!(
        chosen["replay"],
        "courier run small.toml --seed 1 --design cleaner=by-user,queue=at-least-once"
    );
    place.write("own.toml", format!("{SMALL}\n[design]\nsettle = \"gateway-accepted\"\n"));
    assert_eq!(design(&["own.toml"])["design"], "settle=gateway-accepted");
    let both = design(&["own.toml", "--design", "cleaner=by-user"]);
    assert_eq!(both["design"], "settle=gateway-accepted,cleaner=by-user");
    assert_eq!(design(&["own.toml", "--design", "sound"])["design"], "sound");
    let said = place.says(&["run", "own.toml"], 0);
    assert!(said.starts_with("own  seed 1  design settle=gateway-accepted\n"), "{said}");
}

#[test]
fn a_plan_holds_its_design_whole_and_runs_without_the_scenario() {
    let place = Place::new();
    let arguments = ["run", "small.toml", "--design", "cleaner=by-user", "--plan", "plan.toml"];
    let first = place.json(&arguments, 0);
    let plan = place.read("plan.toml");
    assert!(plan.contains("cleaner = \"by-user\"\n"), "{plan}");
    assert!(plan.contains("sequence = \"single-writer\"\n"), "{plan}");
    let again = place.json(&["replay", "plan.toml"], 0);
    assert_eq!((&again["design"], &again["digest"]), (&first["design"], &first["digest"]));
}

#[test]
fn one_seed_is_the_same_twice_under_another_design() {
    let place = Place::new();
    let said = place.says(&["twice", "small.toml", "--design", "cleaner=by-user"], 0);
    assert!(said.contains("the same twice"), "{said}");
}

#[test]
fn what_should_break_and_holds_is_invalid_and_says_so() {
    let place = Place::new();
    let expects = r#"expect.breaks=["presence"]"#;
    let said = place.says(&["run", "small.toml", "--set", expects], 1);
    assert!(said.contains("presence was expected to break, and held"), "{said}");
    assert!(said.contains("INVALID  expectation\n"), "{said}");
    let run = place.json(&["run", "small.toml", "--set", expects], 1);
    assert_eq!(run["expected_breaks"][0], "presence");
    assert_eq!(run["anomalies"][0]["invariant"], "expectation");
    // Another design than the file's is held to the whole guarantee, and may well keep it.
    let arguments = ["run", "small.toml", "--set", expects, "--design", "cleaner=by-user"];
    let other = place.json(&arguments, 0);
    assert_eq!(other["expected_breaks"], serde_json::json!([]));
}

/// Presence that ends before the heartbeat is a broken promise in any design.
const FLAPPING: &[&str] =
    &["--set", "timing.online=5s", "--set", "timing.offline=6s", "--set", "duration=60s"];

#[test]
fn what_breaks_as_expected_is_valid_and_what_else_breaks_is_not() {
    let place = Place::new();
    let run = |expect: &str, status| {
        let arguments = [&["run", "small.toml", "--set", expect], FLAPPING].concat();
        place.json(&arguments, status)
    };
    let broken = run("expect.breaks=[]", 1);
    assert_eq!(broken["anomalies"][0]["invariant"], "presence");
    let expected = run(r#"expect.breaks=["presence"]"#, 0);
    assert_eq!(expected["verdict"], "valid");
    assert_eq!(expected["anomalies"], broken["anomalies"]);
    let allowed = run(r#"expect.may-break=["presence", "gap"]"#, 0);
    assert_eq!(allowed["may_break"], serde_json::json!(["presence", "gap"]));
    // Exactly those: one that holds, or one more, is not what was expected.
    run(r#"expect.breaks=["presence", "no-loss"]"#, 1);
    run(r#"expect.breaks=["no-loss"]"#, 1);
    let arguments = ["run", "small.toml", "--set", r#"expect.breaks=["presence"]"#];
    let arguments = [&arguments[..], FLAPPING].concat();
    let said = place.says(&arguments, 0);
    assert!(said.contains("VALID  broke as expected: presence\n"), "{said}");
    assert!(said.contains("times, as expected"), "{said}");
    place.says(&[&arguments[..], &["--set", IMPOSSIBLE]].concat(), 1);
}

#[test]
fn a_sweep_counts_what_broke_as_expected_and_asks_that_something_did() {
    let place = Place::new();
    let sweep = |more: &[&str], status| {
        let arguments = ["sweep", "small.toml", "--seeds", "0..2", "--json"];
        let said = place.says(&[&arguments[..], more].concat(), status);
        let totals = said.lines().last().expect("totals");
        serde_json::from_str::<serde_json::Value>(totals).expect("JSON")
    };
    let may = ["--set", r#"expect.may-break=["presence"]"#];
    let broke = sweep(&[&may[..], FLAPPING].concat(), 0);
    assert_eq!((&broke["valid"], &broke["broke_as_expected"]), (&2.into(), &2.into()));
    assert_eq!(broke["broken"]["presence"], 2);
    // Each run is valid, and the sweep has shown nothing.
    let held = sweep(&may, 2);
    assert_eq!((&held["valid"], &held["broke_as_expected"]), (&2.into(), &0.into()));
    assert_eq!(held["never_broke"][0], "small");
    let arguments = [&["sweep", "small.toml", "--seeds", "0..2"], &may[..]].concat();
    let said = place.says(&arguments, 2);
    assert!(said.contains("small broke nothing of what it may break, on no seed"), "{said}");
}
