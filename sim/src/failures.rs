//! Real failures: a log of when machines broke, and were repaired, written into a plan as faults.
//!
//! Maps the log's nodes onto the hosts of the fleet and its time onto that of the run, once, when
//! the plan is written; a run applies what stands there. Draws nothing: every seed meets the same
//! failures.

use crate::document::{Impossible, nearest};
use crate::input::node_failures::{Failure, NodeFailures};
use crate::place;
use crate::plan::{Fault, Kind, Plan, hosts_named};
use crate::scenario::Inputs;
use crate::span::{At, Span};
use courier::id::HostId;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[failures]` of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FailuresSpec {
    pub kind: FailuresKind,
    /// The cluster whose failures are taken, by the number that the log gives it; all clusters if
    /// not given.
    #[serde(default)]
    pub system: Option<u32>,
    /// Where in the log to begin, counted from its time 0.
    #[serde(default)]
    pub start: Span,
    /// How much of it to replay; all that follows if not given.
    #[serde(default)]
    pub length: Option<Span>,
    /// How many seconds of the log pass in one second of the run.
    #[serde(default)]
    pub time_scale: Option<f64>,
    /// The hosts that fail: node n of the log is the n-th of them, and they are counted over again.
    #[serde(default = "all_servers")]
    pub hosts: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailuresKind {
    /// The failures of a real log, given with `--failure-trace`.
    Trace,
}

fn all_servers() -> Vec<String> {
    vec!["server-*".to_owned()]
}

/// Most failures that are written: a plan is a file that somebody may want to read.
const FAILURES_MAX: usize = 100_000;

/// The log's times are whole minutes: a failure that ends in the minute in which it began took
/// some time all the same.
const SHORTEST_S: i64 = 60;

pub fn write(spec: &FailuresSpec, inputs: &Inputs, plan: &mut Plan) -> Result<(), Impossible> {
    let FailuresKind::Trace = spec.kind;
    let Some(log) = &inputs.failures else {
        let help = "run it with --failure-trace FILE (a CSV with the columns start_s,system,node,\
                    end_s,category,detail,system_nodes,same_event)";
        return refuse("kind", "needs a failure trace, and none was given", help);
    };
    let scale = spec.time_scale.unwrap_or(1.0);
    if scale.is_nan() || scale <= 0.0 {
        return refuse("time-scale", "must be greater than 0", "1 replays in real time");
    }
    let hosts = hosts(spec, plan)?;
    let taken = taken(spec, log)?;
    let start = spec.start.0.as_secs() as i64;
    let at = |seconds: i64| At::from_nanos((seconds as f64 / scale * 1e9) as i64);
    let latest = taken.last().map(|one| at(one.start_s - start)).unwrap_or_default();
    if latest.0 >= plan.duration.nanos() as i64 {
        let what = format!("its last failure would be at {latest}, after the end");
        let help = "raise time-scale, shorten length, or make duration longer";
        return Err(Impossible::new(place!["failures", "time-scale"], what, help));
    }
    let mut written: Vec<Outage> = Vec::new();
    let mut last: BTreeMap<HostId, usize> = BTreeMap::new();
    for one in taken {
        let host = hosts[one.node as usize % hosts.len()];
        let end_s = one.end_s.max(one.start_s + SHORTEST_S);
        let (from, until) = (at(one.start_s - start), at(end_s - start));
        // Two nodes may be one host here, and a node may fail while it is down: one outage then.
        if let Some(earlier) = last.get(&host).map(|nth| &mut written[*nth])
            && from <= earlier.until
        {
            earlier.until = earlier.until.max(until);
            continue;
        }
        last.insert(host, written.len());
        written.push(Outage { host, kind: kind(one), from, until });
    }
    let cast = plan.cast();
    let ends = plan.duration.nanos() as i64;
    plan.fault.extend(written.iter().map(|outage| Fault {
        kind: outage.kind,
        // What is not repaired before everything heals ends with that.
        lasts: (outage.until.0 < ends).then(|| {
            let nanos = (outage.until.0 - outage.from.0).max(1) as u64;
            Span(std::time::Duration::from_nanos(nanos))
        }),
        target: vec![cast.name(outage.host).to_owned()],
        ..Fault::new(outage.kind, outage.from)
    }));
    Ok(())
}

/// A host is down for a while.
struct Outage {
    host: HostId,
    kind: Kind,
    from: At,
    until: At,
}

/// The hosts that may fail, each once, in the order of the cast.
fn hosts(spec: &FailuresSpec, plan: &Plan) -> Result<Vec<HostId>, Impossible> {
    let cast = plan.cast();
    let mut hosts = Vec::new();
    for (nth, name) in spec.hosts.iter().enumerate() {
        let named = hosts_named(name, &cast);
        if named.is_empty() {
            let what = format!("there is no host `{name}`");
            let help = match nearest(name, cast.names().iter().map(AsRef::as_ref)) {
                Some(word) => format!("did you mean `{word}`?"),
                None => "name hosts of the fleet, like \"server-*\"".to_owned(),
            };
            return Err(Impossible::new(place!["failures", "hosts", nth], what, help));
        }
        hosts.extend(named);
    }
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.is_empty() {
        return refuse("hosts", "nothing may fail", "name hosts of the fleet, like \"server-*\"");
    }
    Ok(hosts)
}

/// The failures of the chosen cluster that begin in the chosen window, in order of their begin.
fn taken<'a>(spec: &FailuresSpec, log: &'a NodeFailures) -> Result<Vec<&'a Failure>, Impossible> {
    let chosen = |one: &&Failure| spec.system.is_none_or(|system| system == one.system);
    if let Some(system) = spec.system
        && !log.failures.iter().any(|one| one.system == system)
    {
        let what = format!("no failure of system {system} is in the failure trace");
        return refuse("system", &what, "choose another, or leave it out for all of them");
    }
    let start = spec.start.0.as_secs() as i64;
    let length = spec.length.map_or(i64::MAX, |span| span.0.as_secs() as i64);
    let window = start..start.saturating_add(length);
    let taken: Vec<&Failure> =
        log.failures.iter().filter(chosen).filter(|one| window.contains(&one.start_s)).collect();
    if taken.is_empty() {
        return refuse("start", "no failure falls into this window", "choose another start");
    }
    if taken.len() > FAILURES_MAX {
        return refuse("length", "holds too many failures", "choose a shorter window");
    }
    Ok(taken)
}

/// A machine that breaks, or loses its power or its network, goes dark without a word. Where the
/// software failed, or nobody knows what did, the kernel is still there to close connections.
fn kind(failure: &Failure) -> Kind {
    match failure.category.as_str() {
        "hardware" | "facilities" | "network" => Kind::PowerCut,
        _ => Kind::Crash,
    }
}

fn refuse<T>(key: &str, what: &str, help: &str) -> Result<T, Impossible> {
    Err(Impossible::new(place!["failures", key], what, help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Format};
    use crate::scenario::Scenario;
    use std::sync::Arc;

    const SCENARIO: &str = "warmup = \"15s\"\nduration = \"100s\"\n\
                            fleet = { servers = 3, arrive = \"5s\" }\n";

    fn failure(node: u32, start_s: i64, end_s: i64, category: &str) -> Failure {
        Failure {
            start_s,
            end_s,
            system: 20,
            node,
            category: category.to_owned(),
            detail: String::new(),
            system_nodes: 8,
            same_event: 0,
        }
    }

    fn written(failures: Vec<Failure>, spec: &str) -> Result<Plan, Impossible> {
        let text = format!("{SCENARIO}[failures]\nkind = \"trace\"\n{spec}");
        let document = Document { name: "x".to_owned(), text, format: Format::Toml };
        let scenario: Scenario = document.parse().unwrap();
        let log = NodeFailures { failures, checksum: 0 };
        let inputs = Inputs { failures: Some(Arc::new(log)), ..Inputs::default() };
        scenario.plan("x", 1, &inputs)
    }

    fn told(plan: &Plan) -> Vec<String> {
        let one = |fault: &Fault| {
            let lasts = fault.lasts.map_or("to the end".to_owned(), |span| format!("for {span}"));
            let at = fault.at.expect("an outage has a time");
            format!("{} {} at {at} {lasts}", fault.target.join(","), fault.kind.name())
        };
        plan.fault.iter().map(one).collect()
    }

    #[test]
    fn nodes_are_hosts_in_turn_and_time_is_scaled() {
        let failures = vec![
            failure(0, 1_000, 1_600, "software"),
            failure(4, 1_060, 1_660, "hardware"),
            failure(2, 1_120, 1_120, "network"),
            failure(1, 1_900, 9_000, "unlabelled"),
        ];
        let plan = written(failures, "start = \"1000s\"\ntime-scale = 10.0\n").unwrap();
        assert_eq!(
            told(&plan),
            [
                "server-1 crash at 0s for 1m",
                "server-2 power-cut at 6s for 1m",
                "server-3 power-cut at 12s for 6s",
                "server-2 crash at 1m 30s to the end",
            ]
        );
        plan.validate().unwrap();
    }

    #[test]
    fn failures_of_one_host_that_overlap_are_one() {
        let failures = vec![
            failure(0, 0, 20, "hardware"),
            failure(3, 10, 70, "software"),
            failure(0, 40, 50, "software"),
            failure(1, 40, 95, "software"),
            failure(0, 100, 100, "software"),
        ];
        // The shortest lasts a minute, so the first two are down until 70 and 100.
        let plan = written(failures, "time-scale = 2.0\n").unwrap();
        assert_eq!(
            told(&plan),
            ["server-1 power-cut at 0s for 1m 20s", "server-2 crash at 20s for 30s"]
        );
    }

    #[test]
    fn only_the_chosen_cluster_and_window() {
        let mut failures: Vec<Failure> =
            (0..10).map(|n| failure(n, i64::from(n) * 100, i64::from(n) * 100, "x")).collect();
        failures[3].system = 2;
        let spec = "system = 20\nstart = \"200s\"\nlength = \"300s\"\ntime-scale = 60.0\n\
                    hosts = [\"app-*\", \"server-1\"]\n";
        let plan = written(failures, spec).unwrap();
        assert_eq!(
            told(&plan),
            ["app-3 crash at 0s for 1s", "app-1 crash at 3.333333333s for 1s"]
                .map(|line| line.replace("3.333333333s", "3s 333ms 333us 333ns"))
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |spec: &str| written(vec![failure(0, 500, 600, "x")], spec).unwrap_err();
        let cases = [
            ("time-scale = 0.0\n", "must be greater than 0"),
            ("time-scale = 1.0\n", "after the end"),
            ("start = \"501s\"\n", "no failure falls into this window"),
            ("system = 3\n", "no failure of system 3"),
            ("hosts = [\"servr-1\"]\n", "there is no host `servr-1`"),
            ("hosts = []\n", "nothing may fail"),
        ];
        for (spec, says) in cases {
            let what = refused(spec).what;
            assert!(what.contains(says), "{spec}: {what}");
        }
    }
}
