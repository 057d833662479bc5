//! Every built-in scenario on several seeds, and the two canonical stories as golden traces.

use crate::support::{plan, run};
use courier::id::HostId;
use courier::limits;
use courier::note::{Disconnect, Note};
use courier_sim::history::{Entry, Fact};
use courier_sim::plan::Plan;
use courier_sim::report::{Report, Verdict, clock, judge};
use courier_sim::run::Outcome;
use courier_sim::scenario::{Inputs, built_in, find};
use courier_sim::story;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn report(plan: &Arc<Plan>) -> Report {
    judge(plan, &run(plan), Duration::ZERO, String::new())
}

fn assert_valid(report: &Report) {
    let told = serde_json::to_string_pretty(&report.anomalies).unwrap();
    let (name, seed, unreached) = (&report.scenario, report.seed, &report.unreached);
    assert_eq!(report.verdict, Verdict::Valid, "{name} seed {seed}: {unreached:?} {told}");
}

#[test]
fn the_server_scenarios_are_valid_on_several_seeds() {
    for name in [
        "server-7-dies",
        "server-7-dies-fast-log",
        "server-7-power-cut",
        "server-7-pauses",
        "partition-heals",
        "server-3-drains",
        "rolling-deploy",
        "midnight-storm",
        "slow-reader",
    ] {
        for seed in 100..104 {
            assert_valid(&report(&plan(name, seed, &[])));
        }
    }
}

#[test]
fn the_swarm_is_valid_on_several_seeds() {
    for seed in 100..112 {
        assert_valid(&report(&plan("swarm", seed, &["fleet.users=40", "duration=90s"])));
    }
}

/// What the history of a run says happened from T=0 on, without what is in between.
fn since_zero(plan: &Plan, outcome: &Outcome) -> Vec<(u64, HostId, Note)> {
    let noted = |entry: &Entry| match entry.fact {
        Fact::Noted { host, note } if entry.at >= plan.zero() => Some((entry.at, host, note)),
        _ => None,
    };
    outcome.history.entries.iter().filter_map(noted).collect()
}

/// Everybody is moved at least once, in both versions, and nobody is seen to go.
#[test]
fn nobody_is_seen_to_go_during_a_rolling_deploy() {
    let plan = plan("rolling-deploy", 100, &[]);
    let notes = since_zero(&plan, &run(&plan));
    let moved =
        |note: &Note| matches!(note, Note::Disconnected { cause: Disconnect::GoneAway, .. });
    let hosts: BTreeSet<HostId> =
        notes.iter().filter(|(.., note)| moved(note)).map(|(_, host, _)| *host).collect();
    assert_eq!(hosts.len(), plan.fleet.users as usize, "not everybody was moved");
    for (at, _, note) in &notes {
        let seen = matches!(note, Note::PresenceChanged { .. });
        let broken = matches!(
            note,
            Note::FrameWithheld { .. }
                | Note::Disconnected { cause: Disconnect::Unintelligible, .. }
                | Note::Drained { left: 1.., .. }
        );
        assert!(!seen && !broken, "{:?}: {note:?}", Duration::from_nanos(at - plan.zero()));
    }
}

/// Each of the four servers takes ten sessions a second: the rest is the old phones' backoff.
#[test]
fn the_midnight_storm_is_over_within_a_minute() {
    let plan = plan("midnight-storm", 100, &[]);
    let notes = since_zero(&plan, &run(&plan));
    let count = |wanted: fn(&Note) -> bool| notes.iter().filter(|(.., note)| wanted(note)).count();
    let connected = |note: &Note| matches!(note, Note::Connected { .. });
    assert!(count(|note| matches!(note, Note::TurnedAway { .. })) > 100);
    assert_eq!(count(connected), plan.fleet.users as usize, "once each");
    let last = notes.iter().rev().find(|(.., note)| connected(note)).expect("somebody").0;
    let took = Duration::from_nanos(last - plan.zero());
    assert!(took < Duration::from_secs(60), "{took:?}");
    // Nowhere more than the rate allows; the welcome takes a second longer to one than to another.
    let span = Duration::from_secs(5);
    let filled = limits::ADMISSION_BURST + span + Duration::from_secs(1);
    let most = filled.as_nanos() / plan.timing.admit.as_nanos();
    for server in &plan.cast().directory.gateways {
        let welcomed =
            |note: &Note| matches!(note, Note::Connected { gateway, .. } if gateway == server);
        let times: Vec<u64> =
            notes.iter().filter(|(.., note)| welcomed(note)).map(|(at, ..)| *at).collect();
        for from in &times {
            let until = from + span.as_nanos() as u64;
            let within = times.iter().filter(|at| (*from..until).contains(*at)).count();
            assert!(within as u128 <= most, "{within} in five seconds");
        }
    }
}

#[test]
fn a_scenario_says_in_its_header_what_happens_and_why_we_care() {
    for found in built_in() {
        let header = found.header();
        assert!(header.contains("Why we care: "), "{}", found.path);
        assert!(header.contains("Reference: "), "{}", found.path);
        assert!(found.summary().len() > 40, "{}", found.path);
    }
}

/// A real week, where the data is at hand: the folder beside the repository.
#[test]
fn a_real_week_of_messages_ends_valid() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let trace = data.join("ucsocial_dm_2004.csv.gz");
    let matrix = data.join("planetlab_rtt_ms_t1.csv.gz");
    if !trace.exists() || !matrix.exists() {
        println!("skipped: {} is not here", data.display());
        return;
    }
    use courier_sim::input::{latency_matrix, message_trace};
    let checksum = format!("{:016x}", latency_matrix::read(&matrix).unwrap().checksum);
    let path = matrix.display().to_string();
    let inputs = Inputs {
        messages: Some(Arc::new(message_trace::read(&trace).unwrap())),
        latency_matrix: Some(courier_sim::plan::InputFile { path, checksum }),
        ..Inputs::default()
    };
    let mut found = find("uc-irvine-week").unwrap();
    // A day of it, in a debug build; the command line replays the week.
    for assignment in
        ["workload.length=1d", "duration=8m30s", "workload.time-scale=200.0", "expect.reached=[]"]
    {
        found.document.set(assignment).unwrap();
    }
    found.document.text = faults_within(&found.document.text, 8);
    let report = report(&Arc::new(found.plan(1, &inputs).unwrap()));
    assert_valid(&report);
    assert!(report.sent > 500, "{} sent", report.sent);
}

/// Real failures, where the data is at hand: the folder beside the repository.
#[test]
fn a_real_month_of_failures_ends_valid() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let trace = data.join("lanl_failures_1996_2005.csv.gz");
    if !trace.exists() {
        println!("skipped: {} is not here", trace.display());
        return;
    }
    let failures = courier_sim::input::node_failures::read(&trace).unwrap();
    let inputs = Inputs { failures: Some(Arc::new(failures)), ..Inputs::default() };
    let mut found = find("lanl-month").unwrap();
    let month = found.plan(1, &inputs).unwrap();
    assert!(month.fault.len() > 250, "{} failures", month.fault.len());
    assert!(month.fault.iter().all(|fault| fault.target.len() == 1));
    // Three days of it, in a debug build; the command line replays the month.
    for assignment in ["failures.length=3d", "duration=7m", "expect.reached=[]"] {
        found.document.set(assignment).unwrap();
    }
    let plan = found.plan(1, &inputs).unwrap();
    assert!(plan.fault.len() > 5, "{} failures", plan.fault.len());
    let report = report(&Arc::new(plan));
    assert_valid(&report);
    assert!(report.sent > 500, "{} sent", report.sent);
}

/// Moves each fault's begin into the first minutes.
fn faults_within(text: &str, minutes: u64) -> String {
    let mut text: toml_edit::DocumentMut = text.parse().unwrap();
    let faults = text["fault"].as_array_of_tables_mut().unwrap();
    for (number, fault) in faults.iter_mut().enumerate() {
        fault["at"] = toml_edit::value(format!("{}m", number as u64 % minutes));
        fault["lasts"] = toml_edit::value("30s");
    }
    text.to_string()
}

fn told(scenario: &str) -> String {
    let plan = plan(scenario, 1, &[]);
    let outcome = run(&plan);
    let lines = story::tell(&plan, &outcome.history);
    let line = |line: &story::Line| {
        // To the millisecond, as a person reads it.
        format!("{:>12}  {:<10} {}", clock(line.at), line.who, line.what)
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn server_7_dies_while_the_log_is_slow() {
    golden("server-7-dies", &told("server-7-dies"));
}

#[test]
fn server_7_dies_while_the_log_keeps_up() {
    golden("server-7-dies-fast-log", &told("server-7-dies-fast-log"));
}

fn golden(name: &str, story: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("stories");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, story));
}
