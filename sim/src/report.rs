//! What a run amounts to: verdict, figures, anomalies, and how to repeat it.

mod post;

use crate::checker::{self, Invariant};
use crate::designs::{self, catalogue::GUARANTEE};
use crate::history::{Fact, History, Life};
use crate::plan::{Expect, NOWHERE, Plan};
use crate::run::Outcome;
use crate::story;
use courier::design::Design;
use courier::id::{DeviceId, MessageId, Session};
use courier::note::Note;
use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use strum::VariantNames;

/// The verdict on a run. False beats unknown, unknown beats true.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Verdict {
    /// Every invariant held, or exactly those broke that this design was expected to break; and
    /// the run reached what it is about.
    Valid,
    /// Every invariant held, but the run never reached what it is about: it has proven nothing.
    Unknown,
    /// An invariant or an expectation broke, or a role panicked, or an invariant held that was
    /// expected to break.
    Invalid,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The exit status that says so.
    pub fn exit_status(self) -> u8 {
        match self {
            Verdict::Valid => 0,
            Verdict::Invalid => 1,
            Verdict::Unknown => 2,
        }
    }
}

/// One run, judged. With `--json`, one line of standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub scenario: String,
    pub seed: u64,
    /// `sound`, `as-written`, or the choices that differ from the sound ones.
    #[serde(default = "sound")]
    pub design: String,
    pub verdict: Verdict,
    /// Over everything that happened, as 16 hexadecimal digits.
    pub digest: String,
    /// Simulated time of the whole run, warm-up included.
    pub virtual_ms: u64,
    /// Real time it took. The one figure that a repetition does not repeat.
    pub wall_ms: u64,
    /// How many times a role was stepped.
    pub events: u64,
    pub clients: u64,
    /// Messages that their devices durably undertook to send.
    pub sent: u64,
    /// Messages whose senders were told that they are accepted.
    pub accepted: u64,
    /// Showings of a message on a device other than its author's.
    pub shown: u64,
    /// Times that a message was left in its pending row for later.
    pub parked: u64,
    /// Times that a message was attempted again.
    pub redelivered: u64,
    /// From sending to showing.
    pub latency_ms: LatencyMs,
    /// From the heal until everything was done.
    pub drain_ms: u64,
    /// How often each note appeared, by name.
    pub reached: BTreeMap<String, u64>,
    /// What the scenario is about and the run never reached.
    pub unreached: Vec<String>,
    /// The invariants that this run was expected to break.
    #[serde(default)]
    pub expected_breaks: Vec<String>,
    /// The invariants that it was allowed to break as well.
    #[serde(default)]
    pub may_break: Vec<String>,
    /// Those of expected breaks as well.
    pub anomalies: Vec<AnomalyReport>,
    /// Messages that were set aside because their device could not take them, in order of time.
    #[serde(default)]
    pub dead_letters: Vec<DeadLetterReport>,
    /// What a person was alerted of.
    #[serde(default)]
    pub alerts: Vec<AlertReport>,
    /// The command that repeats this run.
    pub replay: String,
}

fn sound() -> String {
    designs::spell(&Design::default())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyMs {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// One way in which a run broke its promise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnomalyReport {
    /// An invariant (`no-loss`), `expectation` or `panic`.
    pub invariant: String,
    /// Relative to T=0.
    pub at_ms: i64,
    pub what: String,
    /// The journey of the message that it is about, and the faults of that time.
    pub witness: Vec<String>,
}

/// A message that was set aside for one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterReport {
    /// Relative to T=0.
    pub at_ms: i64,
    /// `m3.1`: the author's first message.
    pub message: String,
    pub conversation: String,
    /// The device that could not take it.
    pub device: String,
    pub why: String,
    /// How often it was put before the device.
    pub attempts: u32,
    /// When a person dealt with it, if one did.
    pub handled_at_ms: Option<i64>,
}

/// An alert, from when it was first stated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertReport {
    /// Relative to T=0.
    pub at_ms: i64,
    /// `dead-letters-old`, `dead-letters-many`.
    pub alarm: String,
    /// What was so when it was first stated.
    pub what: String,
    /// How often it was stated.
    pub times: u32,
    /// When it was over, if it was.
    pub cleared_at_ms: Option<i64>,
}

/// The last line of `courier sweep --json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    pub runs: u64,
    pub valid: u64,
    pub unknown: u64,
    pub invalid: u64,
    /// Of the valid ones, those that broke what they were expected to break.
    pub broke_as_expected: u64,
    pub wall_ms: u64,
    pub events: u64,
    pub sent: u64,
    pub shown: u64,
    pub parked: u64,
    pub redelivered: u64,
    /// The slowest drain of all runs.
    pub drain_ms_max: u64,
    /// How many runs broke each invariant.
    pub broken: BTreeMap<String, u64>,
    /// `scenario seed` of each run that was not valid.
    pub failing: Vec<String>,
    /// The scenarios that may break something and broke nothing on any of these seeds: their runs
    /// are valid and have shown nothing.
    pub never_broke: Vec<String>,
}

impl Totals {
    pub fn add(&mut self, report: &Report) {
        self.runs += 1;
        match report.verdict {
            Verdict::Valid => self.valid += 1,
            Verdict::Unknown => self.unknown += 1,
            Verdict::Invalid => self.invalid += 1,
        }
        self.events += report.events;
        self.sent += report.sent;
        self.shown += report.shown;
        self.parked += report.parked;
        self.redelivered += report.redelivered;
        self.drain_ms_max = self.drain_ms_max.max(report.drain_ms);
        for invariant in report.broken() {
            *self.broken.entry(invariant).or_default() += 1;
        }
        if report.broke_as_expected() {
            self.broke_as_expected += 1;
        }
        if report.verdict != Verdict::Valid {
            self.failing.push(format!("{} {}", report.scenario, report.seed));
        }
    }

    pub fn verdict(&self) -> Verdict {
        match (self.invalid, self.unknown + self.never_broke.len() as u64) {
            (0, 0) => Verdict::Valid,
            (0, _) => Verdict::Unknown,
            _ => Verdict::Invalid,
        }
    }
}

/// Which of a sweep's scenarios may break something, and whether one of their runs did.
#[derive(Clone, Debug, Default)]
pub struct MayBreak(BTreeMap<String, bool>);

impl MayBreak {
    pub fn add(&mut self, report: &Report) {
        if !report.may_break.is_empty() {
            *self.0.entry(report.scenario.clone()).or_default() |= report.broke_an_invariant();
        }
    }

    /// The scenarios of which no run broke anything.
    pub fn never(self) -> Vec<String> {
        self.0.into_iter().filter(|(_, broke)| !broke).map(|(scenario, _)| scenario).collect()
    }
}

impl Report {
    /// The names of what broke, each once.
    pub fn broken(&self) -> Vec<String> {
        let mut names: Vec<String> = self.anomalies.iter().map(|a| a.invariant.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Whether an invariant broke; an expectation that is not met is not one.
    pub fn broke_an_invariant(&self) -> bool {
        self.anomalies.iter().any(|anomaly| GUARANTEE.contains(&anomaly.invariant.as_str()))
    }

    /// Whether what broke is what this design was expected to break.
    pub fn broke_as_expected(&self) -> bool {
        self.verdict == Verdict::Valid && !self.anomalies.is_empty()
    }

    /// Whether a break of this invariant is what the scenario is for.
    pub fn expects(&self, invariant: &str) -> bool {
        self.expected_breaks.iter().chain(&self.may_break).any(|name| name == invariant)
    }
}

/// Most anomalies whose message's journey is told in full.
const WITNESSES_MAX: usize = 5;

/// Judges a run.
pub fn judge(plan: &Plan, outcome: &Outcome, wall: Duration, replay: String) -> Report {
    let history = &outcome.history;
    let mut anomalies: Vec<AnomalyReport> = Vec::new();
    let found = checker::check(history, &plan.bounds());
    for (nth, anomaly) in found.into_iter().enumerate() {
        let told = nth < WITNESSES_MAX;
        let witness = match anomaly.message.filter(|_| told) {
            Some(message) => witness(history, message, anomaly.device),
            None => Vec::new(),
        };
        anomalies.push(AnomalyReport {
            invariant: anomaly.invariant.name().to_owned(),
            at_ms: ms_since_zero(history, anomaly.at),
            what: anomaly.what,
            witness,
        });
    }
    anomalies.extend(expectations(plan, outcome));
    anomalies.extend(panics(history));
    anomalies.extend(unbroken(plan, outcome, &anomalies));
    let reached = count_notes(history);
    let unreached: Vec<String> =
        plan.expect.reached.iter().filter(|name| !reached.contains_key(*name)).cloned().collect();
    let Expect { breaks, may_break, .. } = &plan.expect;
    let expected = |anomaly: &AnomalyReport| {
        breaks.contains(&anomaly.invariant) || may_break.contains(&anomaly.invariant)
    };
    let verdict = match (anomalies.iter().all(expected), unreached.is_empty()) {
        (false, _) => Verdict::Invalid,
        (true, false) => Verdict::Unknown,
        (true, true) => Verdict::Valid,
    };
    let (latency_ms, shown) = latency(history);
    let (dead_letters, alerts) = post::collect(history);
    let count = |name: &str| reached.get(name).copied().unwrap_or(0);
    Report {
        scenario: plan.scenario.clone(),
        seed: plan.seed,
        design: designs::spell(&plan.design),
        verdict,
        digest: format!("{:016x}", outcome.digest),
        virtual_ms: history.end / 1_000_000,
        wall_ms: wall.as_millis() as u64,
        events: outcome.events,
        clients: history.cast.devices().count() as u64,
        sent: count("invoked"),
        accepted: count("accepted"),
        shown,
        parked: count("parked"),
        redelivered: count("redelivered"),
        latency_ms,
        drain_ms: checker::drain(history).as_millis() as u64,
        reached,
        unreached,
        expected_breaks: breaks.clone(),
        may_break: may_break.clone(),
        anomalies,
        dead_letters,
        alerts,
        replay,
    }
}

/// The verdict of each invariant by itself, for the person at the terminal.
pub fn by_invariant(report: &Report) -> Vec<(&'static str, usize)> {
    use strum::IntoEnumIterator;
    Invariant::iter()
        .map(|invariant| {
            let name = invariant.name();
            (name, report.anomalies.iter().filter(|a| a.invariant == name).count())
        })
        .collect()
}

fn ms_since_zero(history: &History, at: u64) -> i64 {
    (at as i64 - history.cast.zero as i64) / 1_000_000
}

/// Time relative to T=0, with milliseconds: `T+20.001s`, `T+1:02:03.004`, `T+3d 01:02:03.004`.
pub fn clock(nanos: i64) -> String {
    let sign = if nanos < 0 { '-' } else { '+' };
    let ms = nanos.unsigned_abs() / 1_000_000;
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let rest = seconds % 60;
    match (days, hours) {
        (0, 0) => format!("T{sign}{seconds}.{ms:03}s"),
        (0, hours) => format!("T{sign}{hours}:{minutes:02}:{rest:02}.{ms:03}"),
        (days, hours) => format!("T{sign}{days}d {hours:02}:{minutes:02}:{rest:02}.{ms:03}"),
    }
}

/// A message's journey, and the faults that were on while it travelled.
fn witness(history: &History, message: MessageId, device: Option<DeviceId>) -> Vec<String> {
    let mut lines = story::journey(history, message, device);
    for entry in &history.entries {
        if let Fact::Fault { kind, hosts, phase, .. } = &entry.fact {
            let time = clock(entry.at as i64 - history.cast.zero as i64);
            let names: Vec<&str> = hosts.iter().take(6).map(|h| history.cast.name(*h)).collect();
            let verb = format!("{phase:?}").to_lowercase();
            lines.push(format!("{time}  fault      {kind} {verb}: {}", names.join(", ")));
        }
    }
    lines
}

fn count_notes(history: &History) -> BTreeMap<String, u64> {
    let mut counts = vec![0_u64; Note::VARIANTS.len()];
    let index: BTreeMap<&str, usize> =
        Note::VARIANTS.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    for (_, _, note) in history.notes() {
        counts[index[note.name()]] += 1;
    }
    let named = Note::VARIANTS.iter().zip(counts).filter(|(_, count)| *count > 0);
    named.map(|(name, count)| ((*name).to_owned(), count)).collect()
}

/// Microseconds or milliseconds, to three significant digits, growing as far as needed.
pub fn span_histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("3 digits are allowed");
    histogram.auto(true);
    histogram
}

/// Records a value; a growing histogram has no value too large.
pub fn record(histogram: &mut Histogram<u64>, value: u64) {
    histogram.record(value).expect("a growing histogram takes every value");
}

fn latency(history: &History) -> (LatencyMs, u64) {
    let mut histogram = span_histogram();
    let mut invoked: BTreeMap<MessageId, u64> = BTreeMap::new();
    let mut shown = 0;
    for (at, host, note) in history.notes() {
        match note {
            Note::Invoked { id, .. } => {
                invoked.insert(*id, at);
            }
            Note::Shown { id, .. } if history.cast.device_at(host) != Some(id.device) => {
                shown += 1;
                if let Some(since) = invoked.get(id) {
                    record(&mut histogram, (at - since) / 1_000);
                }
            }
            _ => {}
        }
    }
    let ms = |micros: u64| micros as f64 / 1_000.0;
    let at = |share| ms(histogram.value_at_quantile(share));
    let figures = LatencyMs { p50: at(0.5), p99: at(0.99), max: ms(histogram.max()) };
    (figures, shown)
}

fn panics(history: &History) -> impl Iterator<Item = AnomalyReport> + '_ {
    history.entries.iter().filter_map(|entry| match &entry.fact {
        Fact::Panicked { host, event, message } => Some(AnomalyReport {
            invariant: "panic".to_owned(),
            at_ms: ms_since_zero(history, entry.at),
            what: format!(
                "{} panicked when it took `{event}`: {message}",
                history.cast.name(*host)
            ),
            witness: Vec::new(),
        }),
        _ => None,
    })
}

fn expectations(plan: &Plan, outcome: &Outcome) -> Vec<AnomalyReport> {
    let history = &outcome.history;
    let zero = history.cast.zero;
    let broken = |at: u64, what: String| AnomalyReport {
        invariant: "expectation".to_owned(),
        at_ms: ms_since_zero(history, at),
        what,
        witness: Vec::new(),
    };
    let mut anomalies = Vec::new();
    for row in &plan.expect.registry {
        let at = row.at.since_start(zero);
        let Some(user) = history.cast.user(&row.user) else { continue };
        let found = row_at(history, DeviceId { user, slot: 0 }, at);
        let server = found.map_or(NOWHERE, |session| history.cast.name(session.gateway));
        if server != row.server {
            let what = format!(
                "at T+{} the registry sends {} to {server}, not to {}",
                row.at, row.user, row.server
            );
            anomalies.push(broken(at, what));
        }
    }
    for expected in &plan.expect.shown {
        let op = plan.op.iter().position(|op| op.name == expected.message);
        let id = op.and_then(|op| outcome.ops.get(&op));
        let to = history.cast.host(&expected.to);
        let shown = history.notes().find_map(|(at, host, note)| match note {
            Note::Shown { id: shown, .. } if Some(shown) == id && Some(host) == to => Some(at),
            _ => None,
        });
        let by = expected.by.since_start(zero);
        let after = expected.after.map_or(0, |after| after.since_start(zero));
        let (message, user) = (&expected.message, &expected.to);
        match shown {
            Some(at) if at > by => {
                let time = clock(at as i64 - zero as i64);
                let what = format!("{message} is shown to {user} at {time}, after {}", expected.by);
                anomalies.push(broken(at, what));
            }
            Some(at) if at < after => {
                let time = clock(at as i64 - zero as i64);
                let what = format!("{message} is shown to {user} at {time}, before it may be");
                anomalies.push(broken(at, what));
            }
            Some(_) => {}
            None => anomalies.push(broken(by, format!("{message} is never shown to {user}"))),
        }
    }
    anomalies
}

/// The invariants that this design is expected to break and that held: the scenario does not show
/// what it is for, or the design is better than it is said to be.
fn unbroken(plan: &Plan, outcome: &Outcome, anomalies: &[AnomalyReport]) -> Vec<AnomalyReport> {
    let held = plan
        .expect
        .breaks
        .iter()
        .filter(|name| !anomalies.iter().any(|anomaly| anomaly.invariant == **name));
    held.map(|name| AnomalyReport {
        invariant: "expectation".to_owned(),
        at_ms: ms_since_zero(&outcome.history, outcome.history.end),
        what: format!("{name} was expected to break, and held"),
        witness: Vec::new(),
    })
    .collect()
}

/// The registry's row of a device at a time, as its notes say. A registry that boots knows what it
/// found on its disk, and says so.
fn row_at(history: &History, device: DeviceId, until: u64) -> Option<Session> {
    let registry = history.cast.directory.registry;
    let mut row = None;
    for entry in history.entries.iter().take_while(|entry| entry.at <= until) {
        match entry.fact {
            Fact::Host { host, life: Life::Started } if host == registry => row = None,
            Fact::Noted {
                note: Note::RowWritten { session } | Note::RowRestored { session },
                ..
            } if session.device == device => row = Some(session),
            Fact::Noted { note: Note::RowRemoved { session, .. }, .. } if row == Some(session) => {
                row = None
            }
            _ => {}
        }
    }
    row
}
