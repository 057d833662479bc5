//! Runs that are not valid: their exit status, and the failure that is kept and replays.

use super::{Place, text};

const IMPOSSIBLE: &str = r#"
[[expect.shown]]
message = "m1"
to      = "alice"
by      = "1s"
"#;

const NEVER_REACHED: &str = "\n[expect]\nreached = [\"parked\", \"shown\"]\n";

fn place_with(name: &str, more: &str) -> Place {
    let place = Place::new();
    place.write(name, format!("{}{more}", super::SMALL));
    place
}

#[test]
fn a_broken_expectation_ends_with_1_and_names_the_message() {
    let place = place_with("early.toml", IMPOSSIBLE);
    let said = place.says(&["run", "early.toml", "--seed", "4"], 1);
    assert!(said.contains("INVALID  expectation"), "{said}");
    assert!(said.contains("m1") && said.contains("alice"), "{said}");
}

#[test]
fn the_last_line_of_a_failure_replays_it_to_the_same_digest_and_status() {
    let place = place_with("early.toml", IMPOSSIBLE);
    let said = place.says(&["run", "early.toml", "--seed", "4"], 1);
    let repeat = said.lines().last().expect("a last line").trim();
    let command = repeat.strip_prefix("repeat").expect("how to repeat it").trim();
    assert_eq!(command, "courier replay target/courier/early/4/failure.json");
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let again = place.json(&arguments, 1);
    let first = place.json(&["run", "early.toml", "--seed", "4"], 1);
    assert_eq!(again["digest"], first["digest"]);
    assert_eq!(again["anomalies"], first["anomalies"]);
    assert!(said.contains(first["digest"].as_str().expect("a digest")));
}

#[test]
fn a_kept_failure_holds_its_commit_its_report_and_its_plan() {
    let place = place_with("early.toml", IMPOSSIBLE);
    let report = place.json(&["run", "early.toml"], 1);
    let failure: serde_json::Value =
        serde_json::from_str(&place.read("target/courier/early/1/failure.json")).expect("JSON");
    assert_eq!(failure["report"], report);
    assert_eq!(failure["plan"]["op"][0]["name"], "m1");
    assert!(failure["commit"].is_string());
}

#[test]
fn a_sweep_tells_every_failure_with_its_replay() {
    let place = place_with("early.toml", IMPOSSIBLE);
    let said = place.says(&["sweep", "early.toml", "small.toml", "--seeds", "0..2"], 1);
    for seed in 0..2 {
        let replay = format!("courier replay target/courier/early/{seed}/failure.json");
        assert!(said.contains(&replay), "{said}");
    }
    assert!(said.contains("4 runs: 2 valid, 0 unknown, 2 invalid"), "{said}");
}

#[test]
fn a_failure_that_cannot_be_kept_says_how_to_run_it_again() {
    let place = place_with("early.toml", IMPOSSIBLE);
    place.write("target", "a file is in the way");
    let output = place.run(&["run", "early.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(super::text(&output.stderr).contains("target/courier/early/1/failure.json"));
    let said = super::text(&output.stdout);
    assert!(said.trim_end().ends_with("repeat   courier run early.toml --seed 1"), "{said}");
}

#[test]
fn what_was_never_reached_makes_the_verdict_unknown_and_ends_with_2() {
    let place = place_with("vain.toml", NEVER_REACHED);
    let said = place.says(&["run", "vain.toml"], 2);
    assert!(said.contains("UNKNOWN  never reached: parked\n"), "{said}");
    let swept = place.says(&["sweep", "vain.toml", "--seeds", "0..2"], 2);
    assert!(swept.contains("2 runs: 0 valid, 2 unknown, 0 invalid"), "{swept}");
    assert!(!place.path("target").exists(), "nothing failed, so nothing is kept");
}

#[test]
fn a_trace_on_standard_output_ends_with_the_same_status() {
    let place = place_with("vain.toml", NEVER_REACHED);
    let run = &["run", "vain.toml", "--plan", "plan.toml", "--trace", "-"];
    for arguments in [&run[..], &["replay", "plan.toml", "--trace", "-"]] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2));
        let last = text(&output.stdout).lines().next_back().unwrap_or_default().to_owned();
        assert!(last.starts_with("digest "), "{last}");
        assert_eq!(text(&output.stderr), "courier: UNKNOWN  never reached: parked\n");
    }
    let twice = place.says(&["twice", "vain.toml"], 0);
    assert!(twice.contains("the same twice"), "{twice}");
}

#[test]
fn invalid_outweighs_unknown() {
    let place = place_with("both.toml", &format!("{NEVER_REACHED}{IMPOSSIBLE}"));
    place.says(&["run", "both.toml"], 1);
}
