//! What a person sees: the story, its colours, its listings and its help.

use super::{Place, program, text};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

const ESCAPE: char = '\u{1b}';

#[test]
fn without_arguments_the_canonical_story_is_told() {
    let said = Place::new().says(&[], 0);
    for who in ["alice", "bob", "carol", "server-7", "server-3", "registry", "consumer", "cleaner"]
    {
        assert!(said.contains(who), "no {who} in:\n{said}");
    }
    assert!(said.contains("worker"), "{said}");
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    assert_eq!(last[2], "VALID");
    assert!(last[1].trim_start().starts_with("digest "), "{}", last[1]);
    assert_eq!(last[0].trim(), "repeat   courier run server-7-dies --seed 1");
}

#[test]
fn a_built_in_scenario_is_found_by_name_and_by_its_path_from_anywhere() {
    let place = Place::new();
    let by_name = place.json(&["run", "server-7-dies"], 0);
    let by_path = place.json(&["run", "scenarios/server-7-dies.toml"], 0);
    assert_eq!(by_name["digest"], by_path["digest"]);
}

#[test]
fn a_scenario_of_ones_own_is_run_by_its_path() {
    let place = Place::new();
    let said = place.says(&["run", "small.toml", "--seed", "3"], 0);
    assert!(said.starts_with("small  seed 3\nBob writes to Alice, and nothing is wrong.\n"));
    assert!(said.trim_end().ends_with("repeat   courier run small.toml --seed 3"), "{said}");
}

#[test]
fn a_set_value_takes_the_place_of_the_scenarios() {
    let place = Place::new();
    assert_eq!(place.json(&["run", "small.toml"], 0)["clients"], 3);
    let more = place.json(&["run", "small.toml", "--set", "fleet.users=20"], 0);
    assert_eq!(more["clients"], 20);
    assert_eq!(more["replay"], "courier run small.toml --seed 1 --set fleet.users=20");
    let later = place.says(&["run", "small.toml", "--set", "step.0.at=3s"], 0);
    assert!(later.contains("T+3."), "{later}");
}

#[test]
fn the_same_seed_twice_is_the_same() {
    let place = Place::new();
    let said = place.says(&["twice", "small.toml", "--seed", "3"], 0);
    assert!(said.contains("small.toml  seed 3: the same twice"), "{said}");
    let digest = place.json(&["run", "small.toml", "--seed", "3"], 0)["digest"].clone();
    assert!(said.contains(digest.as_str().expect("a digest")), "{said}");
}

#[test]
fn scenarios_are_listed_by_theme_with_a_line_each_and_shown_as_they_are() {
    let place = Place::new();
    let listed = place.says(&["scenarios"], 0);
    let as_json: serde_json::Value =
        serde_json::from_str(&place.says(&["scenarios", "--json"], 0)).expect("JSON");
    let all = as_json.as_array().expect("a list");
    let lines: Vec<&str> = listed.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(lines.len(), all.len());
    let mut headings: Vec<&str> = all.iter().filter_map(|one| one["theme"].as_str()).collect();
    headings.dedup();
    let told: Vec<&str> =
        listed.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).collect();
    assert_eq!(told, headings);
    assert_eq!(told[0], "fleet");
    for (line, scenario) in lines.into_iter().zip(all) {
        let name = scenario["name"].as_str().expect("a name");
        let summary = scenario["summary"].as_str().expect("a summary");
        assert!(!summary.is_empty() && !summary.contains('\n'), "{name}");
        let (named, said) = line.trim().split_once("  ").expect("a name, and what happens");
        let said = said.trim().split(" (breaks ").next().expect("a first part");
        assert!(named == name && summary.starts_with(said), "{line}");
        assert!(!scenario["references"].as_array().expect("a list").is_empty(), "{name}");
        let shown = place.says(&["scenarios", "show", name], 0);
        let path = scenario["path"].as_str().expect("a path");
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        assert_eq!(shown, std::fs::read_to_string(file).expect("a scenario's file"));
    }
}

#[test]
fn scenarios_are_found_by_a_word_of_their_headers() {
    let place = Place::new();
    let found = |words: &[&str]| -> Vec<String> {
        let list = place.json(&[&["scenarios"], words].concat(), 0);
        let list = list.as_array().expect("a list").iter();
        list.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
    };
    assert!(found(&["EMQX", "#17382"]).contains(&"partition-heals".to_owned()));
    assert!(!found(&["emqx", "#17382"]).contains(&"swarm".to_owned()));
    assert!(found(&["regressions"]).contains(&"the-cleaner-forgets".to_owned()));
    assert!(found(&["xyzzy"]).is_empty());
    let said = place.says(&["scenarios", "swarm"], 0);
    let told = said.lines().any(|line| {
        line.trim_start().strip_prefix("swarm ").is_some_and(|rest| rest.contains("A hundred"))
    });
    assert!(said.starts_with("fleet\n") && told, "{said}");
}

#[test]
fn the_patterns_of_failure_are_found_by_the_names_that_engineers_give_them() {
    let place = Place::new();
    for pattern in [
        "retry storm",
        "circuit breaker",
        "thundering herd",
        "poison pill",
        "dead-letter queue",
        "duplicate event",
        "out-of-order event",
        "queue backlog that never drains",
        "hot partition",
        "uneven shard",
        "clock skew",
        "distributed cron",
        "leader election",
        "stale leader",
        "split brain",
        "stale cache",
        "read-after-write",
        "causal token",
        "partial failure",
        "corrupt",
        "check-then-act race",
        "rolling upgrade",
        "renamed field",
        "synchronous coupling",
        "circular dependency",
        "fan-out",
        "daylight saving",
    ] {
        let list = place.json(&["scenarios", pattern], 0);
        assert_ne!(list.as_array().map(Vec::len), Some(0), "{pattern}");
    }
}

#[test]
fn the_help_of_every_command_has_an_example() {
    let place = Place::new();
    let commands: [&[&str]; 8] = [
        &[],
        &["run"],
        &["sweep"],
        &["replay"],
        &["twice"],
        &["matrix"],
        &["scenarios"],
        &["designs"],
    ];
    for command in commands {
        let said = place.says(&[command, &["--help"]].concat(), 0);
        let mut words = vec!["Example: courier"];
        words.extend(command);
        assert!(said.contains(&words.join(" ")), "{said}");
    }
}

#[test]
fn there_is_no_colour_in_a_pipe() {
    let output = Place::new().run(&["run", "small.toml"]);
    assert!(!text(&output.stdout).contains(ESCAPE));
    let refused = Place::new().run(&["run", "smal"]);
    assert!(!text(&refused.stderr).contains(ESCAPE));
}

#[test]
fn colour_can_be_forced_and_no_color_wins() {
    let place = Place::new();
    let mut forced = place.courier(&["run", "small.toml"]);
    forced.env("CLICOLOR_FORCE", "1").env("RUST_LOG", "info");
    let output = forced.output().expect("the program starts");
    assert!(text(&output.stdout).contains(ESCAPE));
    assert!(text(&output.stderr).contains(ESCAPE));
    let output = forced.env("NO_COLOR", "1").output().expect("the program starts");
    assert!(!text(&output.stdout).contains(ESCAPE));
    assert!(!text(&output.stderr).contains(ESCAPE));
}

#[test]
fn colour_never_gets_into_json() {
    let place = Place::new();
    let output =
        place.courier(&["run", "small.toml", "--json"]).env("CLICOLOR_FORCE", "1").output();
    assert!(!text(&output.expect("the program starts").stdout).contains(ESCAPE));
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let place = Place::new();
    let endless: [&[&str]; 3] = [
        &["sweep", "small.toml", "--seeds", "0..50", "--json"],
        &["run", "small.toml", "--trace", "-"],
        &["run", "server-7-dies"],
    ];
    for arguments in endless {
        let mut command = program(place.folder.path());
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        let mut out = BufReader::with_capacity(16, child.stdout.take().expect("it is piped"));
        out.read_line(&mut line).expect("a line can be read");
        drop(out);
        let mut complaint = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut complaint).expect("UTF-8");
        assert_eq!(complaint, "", "{arguments:?}");
        let status = child.wait().expect("the program ends");
        assert_eq!(status.code(), Some(0), "{arguments:?} after {line:?}");
    }
}

#[test]
fn a_closed_standard_error_does_not_change_what_happens() {
    let place = Place::new();
    let quiet = place.json(&["run", "small.toml"], 0);
    let mut command = program(place.folder.path());
    command.args(["run", "small.toml", "--json"]).env("RUST_LOG", "trace");
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    drop(child.stderr.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    assert_eq!(said["digest"], quiet["digest"]);
}

#[test]
fn the_log_goes_to_standard_error_with_simulated_time_and_host() {
    let place = Place::new();
    let quiet = place.says(&["run", "small.toml", "--trace", "-"], 0);
    let logging =
        place.courier(&["run", "small.toml", "--trace", "-"]).env("RUST_LOG", "info").output();
    let output = logging.expect("the program starts");
    assert_eq!(text(&output.stdout), quiet, "logging changes nothing else");
    let log = text(&output.stderr);
    assert!(log.lines().count() > 10);
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let time = words.next().unwrap_or_default();
        assert!(time.starts_with("T-") || time.starts_with("T+"), "{line}");
        assert!(time[2..].parse::<f64>().is_ok(), "{line}");
        let host = words.next().unwrap_or_default();
        assert!(host.starts_with(char::is_lowercase), "{line}");
        assert!(matches!(words.next(), Some("INFO" | "WARN")), "{line}");
    }
    assert!(log.lines().any(|line| line.contains(" alice ") && line.contains("Shown")), "{log}");
}
