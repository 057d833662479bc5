//! `courier sweep`: many seeds, every failure reported. A run's digest is that of the run alone.

use super::Stop;
use super::run::{Choices, command, keep_failure};
use super::terminal::{self, Output};
use crate::document::Problem;
use crate::report::{MayBreak, Report, Totals, Verdict, judge, record, span_histogram};
use crate::run::run;
use crate::scenario::{Found, Inputs};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

#[derive(Debug, Args)]
#[command(after_help = "Example: courier sweep swarm server-7-dies --seeds 0..500 --jobs 2")]
pub struct SweepArguments {
    /// Built-in scenarios' names, or paths
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    #[command(flatten)]
    pub choices: Choices,
    /// Seeds: A..B without B, A..=B with it, or one
    #[arg(long, value_parser = parse_seeds)]
    pub seeds: RangeInclusive<u64>,
    /// Runs at a time; as many as there are processors if not given
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Print one JSON object per run, and one with totals
    #[arg(long)]
    pub json: bool,
}

/// The most seeds of one sweep: years of real time, and their list still fits into memory.
const SEEDS_MAX: u64 = 10_000_000;

pub fn parse_seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |part: &str| {
        part.trim().parse::<u64>().map_err(|_| format!("`{part}` is not a seed, like 42"))
    };
    let (first, last) = match (text.split_once("..="), text.split_once("..")) {
        (Some((first, last)), _) => (number(first)?, number(last)?),
        (None, Some((first, end))) => {
            let end = number(end)?;
            (number(first)?, end.checked_sub(1).ok_or("0 as an end leaves no seed")?)
        }
        (None, None) => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(format!("`{text}` holds no seed; write A..B with A below B"));
    }
    if last - first >= SEEDS_MAX {
        return Err(format!("`{text}` holds more than {SEEDS_MAX} seeds; sweep a part of it"));
    }
    Ok(first..=last)
}

struct Job {
    scenario: usize,
    seed: u64,
}

pub fn main(arguments: &SweepArguments) -> Result<u8, Stop> {
    let inputs = arguments.choices.inputs()?;
    let mut found = Vec::new();
    for name in &arguments.scenarios {
        let scenario = arguments.choices.find(name)?;
        scenario.plan(*arguments.seeds.start(), &inputs)?; // Wrong before anything runs.
        found.push(scenario);
    }
    let jobs: Vec<Job> = (0..found.len())
        .flat_map(|scenario| arguments.seeds.clone().map(move |seed| Job { scenario, seed }))
        .collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.jobs.unwrap_or(processors).clamp(1, jobs.len());
    let sweep = Sweep { arguments, found: &found, inputs: &inputs, jobs: &jobs };
    let began = super::stopwatch();
    let mut totals = Totals::default();
    let mut drains = span_histogram();
    let mut out = Output::new();
    let mut may_break = MayBreak::default();
    let bar = progress(jobs.len() as u64, "runs", arguments.json);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (send, reports) = mpsc::channel();
        for _ in 0..threads {
            let (send, next, sweep) = (send.clone(), &next, &sweep);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    // Also ends when nobody reads any more.
                    if at >= sweep.jobs.len() || send.send((at, sweep.run(at))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        // Runs end in any order; they are reported in theirs.
        let mut early: BTreeMap<usize, Result<Report, Problem>> = BTreeMap::new();
        let mut due = 0;
        for (at, report) in reports {
            early.insert(at, report);
            while let Some(report) = early.remove(&due) {
                due += 1;
                let report = report?;
                totals.add(&report);
                may_break.add(&report);
                record(&mut drains, report.drain_ms);
                bar.inc(1);
                bar.suspend(|| sweep.tell(&mut out, &report))?;
            }
        }
        Ok::<(), Stop>(())
    })?;
    bar.finish_and_clear();
    totals.never_broke = may_break.never();
    totals.wall_ms = began.elapsed().as_millis() as u64;
    if arguments.json {
        out.json(&totals)?;
    } else {
        let at = |share| drains.value_at_quantile(share);
        let figures = format!("p50 {} ms, p99 {} ms, max {} ms", at(0.5), at(0.99), drains.max());
        terminal::tell_totals(&mut out, &totals, &figures)?;
    }
    Ok(totals.verdict().exit_status())
}

struct Sweep<'a> {
    arguments: &'a SweepArguments,
    found: &'a [Found],
    inputs: &'a Inputs,
    jobs: &'a [Job],
}

impl Sweep<'_> {
    fn run(&self, at: usize) -> Result<Report, Problem> {
        let Job { scenario, seed } = self.jobs[at];
        let plan = Arc::new(self.found[scenario].plan(seed, self.inputs)?);
        let began = super::stopwatch();
        let outcome = run(plan.clone())?;
        let name = &self.arguments.scenarios[scenario];
        let replay = command(name, seed, &self.arguments.choices);
        let mut report = judge(&plan, &outcome, began.elapsed(), replay);
        if report.verdict == Verdict::Invalid {
            keep_failure(&plan.concrete(&outcome.fired).0, &mut report);
        }
        Ok(report)
    }

    fn tell(&self, out: &mut Output, report: &Report) -> Result<(), Stop> {
        if self.arguments.json {
            out.json(report)
        } else if report.verdict == Verdict::Valid {
            Ok(())
        } else {
            terminal::tell_failure(out, report)
        }
    }
}

/// A bar on standard error that counts runs or cells, for a person who watches.
pub fn progress(length: u64, what: &str, json: bool) -> ProgressBar {
    let target = if json || !std::io::stderr().is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let template = format!("{{bar:30}} {{pos}}/{{len}} {what}  {{per_sec}}  {{eta}} left");
    let style =
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(length), target).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges_as_rust_writes_them() {
        assert_eq!(parse_seeds("3..5"), Ok(3..=4));
        assert_eq!(parse_seeds("3..=5"), Ok(3..=5));
        assert_eq!(parse_seeds("7"), Ok(7..=7));
        for wrong in ["", "5..5", "5..3", "0..0", "a..b", "1..", "-1..4", "0..=10000000"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }
}
