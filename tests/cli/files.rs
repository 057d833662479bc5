//! What runs leave behind when asked to: plans that replay, traces, histories.

use super::Place;
use serde_json::Value;

#[test]
fn a_written_plan_replays_to_the_same_digest() {
    let place = Place::new();
    for file in ["plan.toml", "plan.json"] {
        let run = place.json(&["run", "small.toml", "--seed", "9", "--plan", file], 0);
        let replayed = place.json(&["replay", file], 0);
        assert_eq!(run["digest"], replayed["digest"], "{file}");
        assert_eq!(replayed["replay"], format!("courier replay {file}"));
        let told = place.says(&["replay", file], 0);
        assert!(told.contains(run["digest"].as_str().expect("a digest")), "{told}");
    }
}

#[test]
fn a_plan_needs_its_scenario_no_more() {
    let place = Place::new();
    place.says(&["run", "small.toml", "--plan", "plan.toml"], 0);
    std::fs::remove_file(place.path("small.toml")).expect("the scenario is there");
    place.says(&["replay", "plan.toml"], 0);
}

#[test]
fn the_largest_seed_survives_a_plan() {
    let place = Place::new();
    let seed = u64::MAX.to_string();
    for file in ["plan.toml", "plan.json"] {
        let run = place.json(&["run", "small.toml", "--seed", &seed, "--plan", file], 0);
        assert_eq!(place.json(&["replay", file], 0)["digest"], run["digest"], "{file}");
    }
}

#[test]
fn a_plan_replaces_an_earlier_one() {
    let place = Place::new();
    place.write("plan.toml", "something else");
    place.says(&["run", "small.toml", "--plan", "plan.toml"], 0);
    place.says(&["replay", "plan.toml"], 0);
    assert!(!place.path("plan.toml.partial").exists());
}

#[test]
fn a_drawn_scenario_replays_from_its_plan() {
    let place = Place::new();
    let drawn = concat!(
        "duration = \"20s\"\nwarmup = \"15s\"\n",
        "fleet = { servers = 3, users = 5, arrive = \"5s\" }\n",
        "workload = { kind = \"chat\", sends-per-s = 2.0, answered = 0.5 }\n",
        "nemesis = { every = \"4s\", lasts = [\"1s\", \"5s\"] }\n",
    );
    place.write("drawn.toml", drawn);
    let run = place.json(&["run", "drawn.toml", "--seed", "5", "--plan", "plan.toml"], 0);
    assert!(place.read("plan.toml").contains("[[fault]]"));
    assert_eq!(place.json(&["replay", "plan.toml"], 0)["digest"], run["digest"]);
}

#[test]
fn every_line_of_a_trace_tells_time_and_host() {
    let place = Place::new();
    let with = place.json(&["run", "small.toml", "--trace", "trace.txt"], 0);
    let trace = place.read("trace.txt");
    assert!(trace.lines().count() as u64 > with["events"].as_u64().expect("a count"));
    let mut last = f64::NEG_INFINITY;
    for line in trace.lines() {
        let mut words = line.split_whitespace();
        let time = words.next().and_then(|word| word.strip_prefix('T')).unwrap_or_default();
        let time: f64 = time.parse().unwrap_or_else(|_| panic!("no time in {line}"));
        assert!(time >= last, "{line} comes after T{last}");
        last = time;
        let host = words.next().unwrap_or_default();
        assert!(host.starts_with(char::is_lowercase), "{line}");
        assert!(words.next().is_some_and(|mark| "<>!*x#".contains(mark)), "{line}");
    }
    assert!(trace.contains(" alice "));
    assert_eq!(place.json(&["run", "small.toml"], 0)["digest"], with["digest"]);
}

#[test]
fn a_replay_can_be_traced_like_the_run() {
    let place = Place::new();
    place.says(&["run", "small.toml", "--plan", "plan.toml", "--trace", "run.txt"], 0);
    place.says(&["replay", "plan.toml", "--trace", "replay.txt"], 0);
    assert_eq!(place.read("run.txt"), place.read("replay.txt"));
    let printed = place.says(&["replay", "plan.toml", "--trace", "-"], 0);
    assert!(printed.starts_with(&place.read("run.txt")), "a dash is standard output");
}

#[test]
fn a_history_is_written_as_jepsen_writes_one() {
    let place = Place::new();
    place.says(&["run", "small.toml", "--history", "history.jsonl"], 0);
    let mut sends = Vec::new();
    for (at, line) in place.read("history.jsonl").lines().enumerate() {
        let op: Value = serde_json::from_str(line).expect("a line of JSON");
        let keys: Vec<&String> = op.as_object().expect("an object").keys().collect();
        assert_eq!(keys.len(), 6, "{line}");
        assert_eq!(op["index"], at);
        assert!(op["time"].is_u64() && op["process"].is_string() && !op["value"].is_null());
        let kind = op["type"].as_str().expect("a type");
        assert!(["invoke", "ok", "fail", "info"].contains(&kind), "{line}");
        if op["f"] == "send" {
            sends.push((op["process"].clone(), kind.to_owned()));
        }
    }
    let bob = Value::from("bob");
    assert_eq!(sends, [(bob.clone(), "invoke".to_owned()), (bob, "ok".to_owned())]);
}

#[test]
fn a_message_trace_and_a_latency_matrix_drive_a_run() {
    let place = Place::new();
    let scenario = concat!(
        "duration = \"5s\"\nwarmup = \"15s\"\n",
        "fleet = { servers = 2, arrive = \"5s\" }\nworkload = { kind = \"trace\" }\n",
    );
    place.write("trace.toml", scenario);
    place.write("messages.csv", "t,src,dst\n100,1,2\n101,2,1\n102,3,1\n");
    place.write("rtt.csv", "i,rtt_ms_to_j_greater_than_i\n0,10 20\n1,30\n");
    let alone = ["run", "trace.toml", "--workload-trace", "messages.csv", "--plan", "plan.toml"];
    let near = place.json(&alone, 0);
    assert_eq!((&near["clients"], &near["sent"]), (&3.into(), &3.into()));
    let far = place.json(&[&alone[..], &["--latency-matrix", "rtt.csv"]].concat(), 0);
    assert_ne!(near["digest"], far["digest"]);
    assert_eq!(place.json(&["replay", "plan.toml"], 0)["digest"], far["digest"]);
}
