//! `courier run`: one scenario, one seed, its story.

use super::terminal::{self, Output};
use super::{CANONICAL, DEFAULT_SEED, Stop};
use crate::designs::Override;
use crate::document::Problem;
use crate::input::{latency_matrix, message_trace, node_failures};
use crate::plan::{InputFile, Plan};
use crate::report::{Report, Verdict, judge};
use crate::run::{Outcome, TraceError, run, run_traced};
use crate::scenario::{Found, Inputs, find};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(after_help = "Example: courier run server-7-dies --seed 42 --set fleet.users=1000")]
pub struct RunArguments {
    /// A built-in scenario's name, or a path
    pub scenario: String,
    #[command(flatten)]
    pub choices: Choices,
    /// Everything random comes from it
    #[arg(long, default_value_t = DEFAULT_SEED)]
    pub seed: u64,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
    /// Write a line for everything that happens (`-` for standard output)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write the concrete plan, as TOML or (by its ending) JSON
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Write the history as Jepsen writes one, a JSON object per line
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
}

/// What a scenario can be told besides its seed.
#[derive(Clone, Debug, Default, Args)]
pub struct Choices {
    /// Set a value of the scenario, like fleet.users=1000 or timing.consumer-lag=24s
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// A design in place of the scenario's: as-written, sound, or choices that differ from the
    /// scenario's own, like sequence=snowflake,cleaner=by-user
    #[arg(long, value_name = "DESIGN")]
    pub design: Option<String>,
    /// A CSV of sends (columns t,src,dst; plain or gzip) for a scenario that replays one
    #[arg(long, value_name = "FILE")]
    pub workload_trace: Option<PathBuf>,
    /// A CSV of failures (columns start_s, system, node, end_s, category, detail, system_nodes,
    /// same_event; plain or gzip) for a scenario that replays one
    #[arg(long, value_name = "FILE")]
    pub failure_trace: Option<PathBuf>,
    /// A matrix of round-trip times (plain or gzip) that one-way delays are drawn from
    #[arg(long, value_name = "FILE")]
    pub latency_matrix: Option<PathBuf>,
}

impl RunArguments {
    pub fn canonical() -> Self {
        Self {
            scenario: CANONICAL.to_owned(),
            choices: Choices::default(),
            seed: DEFAULT_SEED,
            json: false,
            trace: None,
            plan: None,
            history: None,
        }
    }
}

impl Choices {
    /// Finds a scenario and applies what was chosen.
    pub fn find(&self, scenario: &str) -> Result<Found, Problem> {
        let mut found = find(scenario)?;
        for assignment in &self.set {
            found.document.set(assignment)?;
        }
        if let Some(design) = &self.design {
            found.design = Override::read(design)?;
        }
        Ok(found)
    }

    /// Reads the inputs that were given.
    pub fn inputs(&self) -> Result<Inputs, Problem> {
        let mut inputs = Inputs::default();
        if let Some(path) = &self.workload_trace {
            inputs.messages = Some(Arc::new(message_trace::read(path).map_err(Problem::from)?));
        }
        if let Some(path) = &self.failure_trace {
            inputs.failures = Some(Arc::new(node_failures::read(path).map_err(Problem::from)?));
        }
        if let Some(path) = &self.latency_matrix {
            let matrix = latency_matrix::read(path).map_err(Problem::from)?;
            let checksum = format!("{:016x}", matrix.checksum);
            inputs.latency_matrix = Some(InputFile { path: path.display().to_string(), checksum });
        }
        Ok(inputs)
    }

    /// The same choices as words of a command line.
    pub fn words(&self) -> String {
        let mut words = String::new();
        for assignment in &self.set {
            words.push_str(&format!(" --set {}", quoted(assignment)));
        }
        if let Some(design) = &self.design {
            words.push_str(&format!(" --design {}", quoted(design)));
        }
        for (flag, path) in [
            ("workload-trace", &self.workload_trace),
            ("failure-trace", &self.failure_trace),
            ("latency-matrix", &self.latency_matrix),
        ] {
            if let Some(path) = path {
                words.push_str(&format!(" --{flag} {}", quoted(&path.display().to_string())));
            }
        }
        words
    }
}

/// A word as a shell needs it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The command that runs this scenario again.
pub fn command(scenario: &str, seed: u64, choices: &Choices) -> String {
    format!("courier run {} --seed {seed}{}", quoted(scenario), choices.words())
}

pub fn main(arguments: &RunArguments) -> Result<u8, Stop> {
    let found = arguments.choices.find(&arguments.scenario)?;
    let plan = Arc::new(found.plan(arguments.seed, &arguments.choices.inputs()?)?);
    if let Some(path) = &arguments.plan {
        write_plan(path, &plan)?;
    }
    let trace = arguments.trace.as_deref();
    let began = super::stopwatch();
    if is_standard_output(trace, arguments.json)? {
        let outcome = trace_only(plan.clone())?;
        concrete(&plan, &outcome, arguments.plan.as_deref())?;
        if let Some(path) = &arguments.history {
            write_history(path, &outcome)?;
        }
        let report = judge(&plan, &outcome, began.elapsed(), String::new());
        return Ok(terminal::verdict_aside(&report));
    }
    let outcome = carry_out(plan.clone(), trace)?;
    let wall = began.elapsed();
    if let Some(path) = &arguments.history {
        write_history(path, &outcome)?;
    }
    let replay = command(&arguments.scenario, arguments.seed, &arguments.choices);
    let mut report = judge(&plan, &outcome, wall, replay);
    let went = concrete(&plan, &outcome, arguments.plan.as_deref())?;
    if report.verdict == Verdict::Invalid {
        keep_failure(&went, &mut report);
    }
    let mut out = Output::new();
    if arguments.json {
        out.json(&report)?;
    } else {
        terminal::tell(&mut out, &plan, &found.summary(), &outcome, &report)?;
    }
    Ok(report.verdict.exit_status())
}

/// The plan as it went: its triggers became times. It replaces the one that was written before the
/// run, and what never fired is mentioned.
fn concrete(plan: &Arc<Plan>, outcome: &Outcome, path: Option<&Path>) -> Result<Arc<Plan>, Stop> {
    if !plan.has_triggers() {
        return Ok(plan.clone());
    }
    let (went, silent) = plan.concrete(&outcome.fired);
    for trigger in silent {
        let fault = trigger.spell();
        terminal::mention(&format!("a fault waited for {fault}, which did not happen"));
    }
    if let Some(path) = path {
        write_plan(path, &went)?;
    }
    Ok(Arc::new(went))
}

/// Runs a plan, with or without a trace file.
pub fn carry_out(plan: Arc<Plan>, trace: Option<&Path>) -> Result<Outcome, Stop> {
    let Some(path) = trace else { return Ok(run(plan)?) };
    let file = File::create(path).map_err(|cause| Stop::writing(&name(path), &cause))?;
    traced(plan, Box::new(BufWriter::new(file)), &name(path))
}

/// Whether the trace is for standard output, which then holds nothing else.
pub fn is_standard_output(trace: Option<&Path>, json: bool) -> Result<bool, Stop> {
    let named = trace == Some(Path::new("-"));
    if named && json {
        let help = "give the trace a file, or leave --json out";
        let what = "goes to standard output, and with --json that holds nothing but JSON";
        return Err(Problem::whole("--trace -", what, help).into());
    }
    Ok(named)
}

/// Prints the trace and, last, the digest: what `courier twice` compares.
pub fn trace_only(plan: Arc<Plan>) -> Result<Outcome, Stop> {
    let outcome = traced(plan, Box::new(BufWriter::new(std::io::stdout())), "standard output")?;
    let mut out = Output::new();
    out.line(&format!("digest {:016x} after {} events", outcome.digest, outcome.events))?;
    Ok(outcome)
}

fn traced(plan: Arc<Plan>, to: Box<dyn Write + Send>, name: &str) -> Result<Outcome, Stop> {
    run_traced(plan, to).map_err(|error| match error {
        TraceError::Problem(problem) => problem.into(),
        TraceError::Write(cause) => Stop::writing(name, &cause),
    })
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn write_plan(path: &Path, plan: &Plan) -> Result<(), Stop> {
    let json = path.extension().is_some_and(|ending| ending == "json");
    let text = if json {
        serde_json::to_string_pretty(plan).map_err(|e| e.to_string())
    } else {
        plan.to_toml().map_err(|e| e.to_string())
    };
    let text = text.map_err(|cause| Stop::Harness(format!("a plan cannot be written: {cause}")))?;
    write_whole(path, &text).map_err(|cause| Stop::writing(&name(path), &cause))
}

/// Replaces a file as a whole: an earlier one stays until the new one is complete.
pub fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    // A device or a pipe is written to, never replaced.
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return std::fs::write(path, text);
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // Nothing worth keeping, and nothing to say beyond the first error.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn write_history(path: &Path, outcome: &Outcome) -> Result<(), Stop> {
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        for op in outcome.history.ops() {
            serde_json::to_writer(&mut file, &op)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    });
    written.map_err(|cause| Stop::writing(&name(path), &cause))
}

/// A failure as it is kept: the plan that shows it, and what it showed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The commit that failed. Another commit may well behave differently.
    pub commit: String,
    pub report: Report,
    pub plan: Plan,
}

/// Where failures are kept.
const FAILURES: &str = "target/courier";

/// Keeps a failing run's plan, and lets the report say how to replay it. If it cannot be kept, the
/// report still says how to run it again.
pub fn keep_failure(plan: &Plan, report: &mut Report) {
    let folder = Path::new(FAILURES).join(&plan.scenario).join(plan.seed.to_string());
    let path = folder.join("failure.json");
    let earlier = std::mem::replace(&mut report.replay, format!("courier replay {}", name(&path)));
    let failure =
        Failure { commit: super::COMMIT.to_owned(), report: report.clone(), plan: plan.clone() };
    let kept = std::fs::create_dir_all(&folder).and_then(|()| {
        let text = serde_json::to_string_pretty(&failure)?;
        write_whole(&path, &text)
    });
    if let Err(cause) = kept {
        terminal::mention(&format!("the failure is not kept: {}: {cause}", name(&path)));
        report.replay = earlier;
    }
}
