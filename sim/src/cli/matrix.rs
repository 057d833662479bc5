//! `courier matrix`: every design against every scenario, and what each breaks.
//!
//! A row is the sound design, the textbook's, or the sound one with one other alternative; a cell
//! is a row in a scenario, over the seeds. A scenario's own design and the breaks that it expects
//! of that do not count here: each cell is held to the whole guarantee, and the catalogue says what
//! may break.
//!
//! Cells run in any order and are told in theirs. Each is appended to a [`journal`] when it is
//! done, and a repetition takes from there what an interrupted one had finished.

mod journal;
mod table;

use super::Stop;
use super::designs::known;
use super::run::{Choices, command, write_whole};
use super::sweep::{parse_seeds, progress};
use super::terminal::{self, Output};
use crate::designs::catalogue::{CATALOGUE, GUARANTEE, entries, find, is_sound, known_breaks};
use crate::designs::{Override, spell};
use crate::document::Problem;
use crate::report::{Verdict, judge};
use crate::run::run;
use crate::scenario::{Found, Inputs, built_in};
use clap::Args;
use courier::design::Design;
use journal::Journal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

#[derive(Debug, Args)]
#[command(after_help = "Example: courier matrix --choices fencing,cleaner --seeds 0..50\n\n\
                  Exit status: 0 if every sound design holds everywhere and every other breaks \
                  something of what the catalogue says (courier designs); 1 if a sound one breaks, \
                  another breaks nothing of it, or a role panics; 2 if a sound one holds and some \
                  run of it never reached what its scenario is about.")]
pub struct MatrixArguments {
    /// Only these choices' alternatives, or single ones like sequence=block; the sound design and
    /// the textbook's are always there
    #[arg(long, value_name = "CHOICE", value_delimiter = ',')]
    pub choices: Vec<String>,
    /// Only these scenarios, by name or path; all built-in ones that need no input if not given
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',')]
    pub scenarios: Vec<String>,
    /// Set a value in each of the scenarios, like fleet.users=1000
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Seeds: A..B without B, A..=B with it, or one
    #[arg(long, value_parser = parse_seeds)]
    pub seeds: RangeInclusive<u64>,
    /// Go through all seeds of a cell, also after one that broke what was expected
    #[arg(long)]
    pub exhaustive: bool,
    /// Cells at a time; as many as there are processors if not given
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Run every cell, also those that an earlier matrix has finished
    #[arg(long)]
    pub fresh: bool,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
    /// Write the JSON object to a file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `courier matrix --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Matrix {
    /// The commit that it was run on.
    pub commit: String,
    pub first_seed: u64,
    pub last_seed: u64,
    /// Whether every cell went through all seeds.
    pub exhaustive: bool,
    pub scenarios: Vec<String>,
    /// `valid`: every sound design held, every other broke something of what was expected.
    pub verdict: Verdict,
    pub designs: Vec<Row>,
}

/// A design, in every scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Row {
    /// As `--design` takes it.
    pub design: String,
    /// Whether the guarantee should hold with it.
    pub sound: bool,
    /// The invariants that the catalogue says it breaks.
    pub expected: Vec<String>,
    /// Those of the expected that broke in some scenario.
    pub confirmed: Vec<String>,
    pub verdict: Verdict,
    pub cells: Vec<Cell>,
}

/// A design in a scenario, over the seeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    pub scenario: String,
    pub outcome: CellOutcome,
    /// What broke, by name: an invariant, `expectation` or `panic`.
    pub broken: BTreeMap<String, Broken>,
    /// The first seed that broke anything.
    pub first_failing_seed: Option<u64>,
    /// How many seeds were run.
    pub runs: u64,
    /// How many of them never reached what the scenario is about.
    pub unreached: u64,
    /// The command that repeats the first run that says why the cell does not hold.
    pub replay: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CellOutcome {
    /// Nothing broke, and every run reached what the scenario is about.
    Holds,
    /// Nothing broke, and some run proved nothing.
    Unknown,
    Breaks,
}

/// How often something broke in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Broken {
    pub first_seed: u64,
    pub runs: u64,
}

/// What a row is before it is run.
struct Plan {
    design: Design,
    name: String,
    sound: bool,
    expected: Vec<&'static str>,
}

impl Plan {
    fn of(design: Design) -> Self {
        let (sound, expected) = (is_sound(&design), known_breaks(&design));
        Self { design, name: spell(&design), sound, expected }
    }

    fn expects(&self, name: &str) -> bool {
        self.expected.contains(&name)
    }
}

pub fn main(arguments: &MatrixArguments) -> Result<u8, Stop> {
    let rows = rows(&arguments.choices)?;
    let scenarios = scenarios(arguments)?;
    let cells = rows.len() * scenarios.len();
    let seeds = &arguments.seeds;
    let journal = Journal::open(&format!(
        "{}..={}{}",
        seeds.start(),
        seeds.end(),
        if arguments.exhaustive { " exhaustive" } else { "" }
    ));
    let mut journal = if arguments.fresh { journal.forget() } else { journal };
    let mut done: Vec<Option<Cell>> = (0..cells)
        .map(|at| {
            let (row, found) = (&rows[at / scenarios.len()], &scenarios[at % scenarios.len()]);
            journal.find(&row.name, found)
        })
        .collect();
    let due: Vec<usize> = (0..cells).filter(|at| done[*at].is_none()).collect();
    if due.len() < cells {
        let finished = cells - due.len();
        terminal::mention(&format!(
            "{finished} of {cells} cells are taken from {} (--fresh runs them again)",
            journal::PATH
        ));
    }
    let bar = progress(cells as u64, "cells", arguments.json);
    bar.set_position((cells - due.len()) as u64);
    let work = Work { rows: &rows, scenarios: &scenarios, due: &due, arguments };
    work.run(|at, cell| {
        let (row, found) = (&rows[at / scenarios.len()], &scenarios[at % scenarios.len()]);
        journal.add(&row.name, found, &cell);
        done[at] = Some(cell);
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    let mut done = done.into_iter().flatten();
    let designs: Vec<Row> =
        rows.iter().map(|row| row.judge(done.by_ref().take(scenarios.len()).collect())).collect();
    let matrix = Matrix {
        commit: super::COMMIT.to_owned(),
        first_seed: *seeds.start(),
        last_seed: *seeds.end(),
        exhaustive: arguments.exhaustive,
        scenarios: scenarios.iter().map(|found| found.name.clone()).collect(),
        verdict: designs.iter().map(|row| row.verdict).max().unwrap_or(Verdict::Unknown),
        designs,
    };
    if let Some(path) = &arguments.out {
        let text = serde_json::to_string_pretty(&matrix);
        let text = text.map_err(|cause| Stop::Harness(cause.to_string()))? + "\n";
        let name = path.display().to_string();
        write_whole(path, &text).map_err(|cause| Stop::writing(&name, &cause))?;
    }
    let mut out = Output::new();
    if arguments.json {
        out.json(&matrix)?;
    } else {
        table::tell(&mut out, &matrix)?;
    }
    Ok(matrix.verdict.exit_status())
}

/// The sound design, the textbook's, and each other alternative of the chosen choices.
fn rows(choices: &[String]) -> Result<Vec<Plan>, Problem> {
    let mut wanted: Vec<(&str, Option<&str>)> = Vec::new();
    for word in choices.iter().map(|word| word.trim()) {
        match word.split_once('=') {
            None => wanted.push((known(word)?.name, None)),
            Some((choice, alternative)) => {
                let found = find(choice.trim(), alternative.trim()).map_err(|(what, help)| {
                    Problem::whole(&format!("--choices {word}"), what, help)
                })?;
                wanted.push((found.choice, Some(found.alternative)));
            }
        }
    }
    let is_wanted = |choice: &str, alternative: &str| {
        wanted.is_empty()
            || wanted.iter().any(|(name, one)| {
                *name == choice && one.is_none_or(|wanted| wanted == alternative)
            })
    };
    let mut rows = vec![Plan::of(Design::default()), Plan::of(Design::AS_WRITTEN)];
    for entry in entries() {
        let default = CATALOGUE.iter().any(|choice| {
            choice.name == entry.choice && choice.alternatives[0].name == entry.alternative
        });
        if !default && is_wanted(entry.choice, entry.alternative) {
            let word = format!("{}={}", entry.choice, entry.alternative);
            rows.push(Plan::of(Override::read(&word)?.of(Design::default())));
        }
    }
    Ok(rows)
}

/// The chosen scenarios, or all that need no input and not a machine of their own; each with the
/// values that are set.
fn scenarios(arguments: &MatrixArguments) -> Result<Vec<Found>, Problem> {
    let mut scenarios = Vec::new();
    if arguments.scenarios.is_empty() {
        for found in built_in() {
            let scenario = found.parse()?;
            if !scenario.needs_input() && !scenario.is_huge() {
                scenarios.push(found);
            }
        }
    }
    for name in &arguments.scenarios {
        scenarios.push(crate::scenario::find(name.trim())?);
    }
    for found in &mut scenarios {
        for assignment in &arguments.set {
            found.document.set(assignment)?;
        }
        // Wrong before anything runs.
        found.plan(*arguments.seeds.start(), &Inputs::default())?;
    }
    Ok(scenarios)
}

impl Plan {
    /// What the row amounts to.
    fn judge(&self, cells: Vec<Cell>) -> Row {
        let broke = |name: &str| cells.iter().any(|cell| cell.broken.contains_key(name));
        let confirmed: Vec<String> =
            self.expected.iter().filter(|name| broke(name)).map(|n| (*n).to_owned()).collect();
        let outcome = |wanted| cells.iter().any(|cell| cell.outcome == wanted);
        let verdict = if self.sound {
            match (outcome(CellOutcome::Breaks), outcome(CellOutcome::Unknown)) {
                (true, _) => Verdict::Invalid,
                (false, true) => Verdict::Unknown,
                (false, false) => Verdict::Valid,
            }
        } else if confirmed.is_empty() || broke("panic") {
            Verdict::Invalid
        } else {
            Verdict::Valid
        };
        Row {
            design: self.name.clone(),
            sound: self.sound,
            expected: self.expected.iter().map(|name| (*name).to_owned()).collect(),
            confirmed,
            verdict,
            cells,
        }
    }
}

/// The cells that are still to be run.
struct Work<'a> {
    rows: &'a [Plan],
    scenarios: &'a [Found],
    due: &'a [usize],
    arguments: &'a MatrixArguments,
}

impl Work<'_> {
    /// Runs the cells on several threads, and hands each over when it is done.
    fn run(&self, mut finished: impl FnMut(usize, Cell)) -> Result<(), Problem> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.arguments.jobs.unwrap_or(processors).clamp(1, self.due.len().max(1));
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (send, cells) = mpsc::channel();
            for _ in 0..threads {
                let (send, next, stop) = (send.clone(), &next, &stop);
                scope.spawn(move || {
                    while let Some(at) = self.due.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if send.send((*at, self.cell(*at, stop))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            for (at, cell) in cells {
                match cell {
                    Ok(Some(cell)) => finished(at, cell),
                    Ok(None) => {}
                    Err(problem) => {
                        stop.store(true, Ordering::Relaxed);
                        return Err(problem);
                    }
                }
            }
            Ok(())
        })
    }

    /// One design in one scenario, seed by seed; nothing if another cell has failed meanwhile.
    fn cell(&self, at: usize, stop: &AtomicBool) -> Result<Option<Cell>, Problem> {
        let row = &self.rows[at / self.scenarios.len()];
        let mut found = self.scenarios[at % self.scenarios.len()].clone();
        found.design = Override::whole(row.design);
        let mut cell = Cell {
            scenario: found.name.clone(),
            outcome: CellOutcome::Holds,
            broken: BTreeMap::new(),
            first_failing_seed: None,
            runs: 0,
            unreached: 0,
            replay: None,
        };
        let mut unreached = None;
        for seed in self.arguments.seeds.clone() {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let mut plan = found.plan(seed, &Inputs::default())?;
            plan.expect.breaks.clear();
            plan.expect.may_break.clear();
            let plan = Arc::new(plan);
            let outcome = run(plan.clone())?;
            let report = judge(&plan, &outcome, std::time::Duration::ZERO, String::new());
            cell.runs += 1;
            if !report.unreached.is_empty() {
                cell.unreached += 1;
                unreached = unreached.or(Some(seed));
            }
            let broken = report.broken();
            if !broken.is_empty() && cell.first_failing_seed.is_none() {
                cell.first_failing_seed = Some(seed);
            }
            for name in &broken {
                let first = Broken { first_seed: seed, runs: 0 };
                cell.broken.entry(name.clone()).or_insert(first).runs += 1;
            }
            if !self.arguments.exhaustive && broken.iter().any(|name| row.expects(name)) {
                break;
            }
        }
        cell.outcome = match (cell.broken.is_empty(), cell.unreached) {
            (false, _) => CellOutcome::Breaks,
            (true, 0) => CellOutcome::Holds,
            (true, _) => CellOutcome::Unknown,
        };
        // A panic is the worst that can be shown, a run without proof the least.
        let panicked = cell.broken.get("panic").map(|broken| broken.first_seed);
        cell.replay = panicked.or(cell.first_failing_seed).or(unreached).map(|seed| {
            let (set, design) = (self.arguments.set.clone(), Some(row.name.clone()));
            command(typed(&found), seed, &Choices { set, design, ..Choices::default() })
        });
        Ok(Some(cell))
    }
}

/// A scenario as a command line names it.
fn typed(found: &Found) -> &str {
    let built_in = built_in().iter().any(|known| known.path == found.path);
    if built_in { &found.name } else { &found.path }
}

/// The order in which what broke is told: as in the guarantee, then what is not of it.
fn in_order<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut names: Vec<&String> = names.collect();
    let place = |name: &str| GUARANTEE.iter().position(|known| *known == name);
    names.sort_by_key(|name| place(name).unwrap_or(GUARANTEE.len()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(broken: &[&str], unreached: u64) -> Cell {
        let first = Broken { first_seed: 3, runs: 1 };
        let outcome = match (broken.is_empty(), unreached) {
            (false, _) => CellOutcome::Breaks,
            (true, 0) => CellOutcome::Holds,
            (true, _) => CellOutcome::Unknown,
        };
        Cell {
            scenario: "small".to_owned(),
            outcome,
            broken: broken.iter().map(|name| ((*name).to_owned(), first)).collect(),
            first_failing_seed: (!broken.is_empty()).then_some(3),
            runs: 10,
            unreached,
            replay: None,
        }
    }

    fn verdict(design: &str, cells: &[Cell]) -> (Verdict, Vec<String>) {
        let design = Override::read(design).unwrap().of(Design::default());
        let row = Plan::of(design).judge(cells.to_vec());
        (row.verdict, row.confirmed)
    }

    #[test]
    fn a_sound_design_must_hold_everywhere() {
        for sound in ["sound", "queue=at-least-once"] {
            let (holds, breaks) = (cell(&[], 0), cell(&["expectation"], 0));
            assert_eq!(verdict(sound, std::slice::from_ref(&holds)).0, Verdict::Valid);
            assert_eq!(verdict(sound, &[holds.clone(), cell(&[], 2)]).0, Verdict::Unknown);
            assert_eq!(verdict(sound, &[breaks, cell(&[], 2), holds]).0, Verdict::Invalid);
        }
    }

    #[test]
    fn another_must_break_something_of_what_is_expected_of_it_somewhere() {
        let (holds, lost) = (cell(&[], 0), cell(&["no-loss"], 0));
        let confirmed = vec!["no-loss".to_owned()];
        let dies = |cells: &[Cell]| verdict("queue=in-memory", cells);
        assert_eq!(dies(&[holds.clone(), lost.clone()]), (Verdict::Valid, confirmed.clone()));
        assert_eq!(dies(std::slice::from_ref(&holds)), (Verdict::Invalid, Vec::new()));
        // What breaks is not what should.
        assert_eq!(dies(&[cell(&["presence", "expectation"], 0)]).0, Verdict::Invalid);
        // A role that panics is a bug, whatever the design.
        assert_eq!(dies(&[lost, cell(&["panic"], 0)]), (Verdict::Invalid, confirmed));
    }

    #[test]
    fn rows_are_those_of_the_chosen_choices_and_always_the_two_designs() {
        let names = |choices: &[&str]| -> Vec<String> {
            let choices: Vec<String> = choices.iter().map(|choice| (*choice).to_owned()).collect();
            rows(&choices).unwrap().into_iter().map(|row| row.name).collect()
        };
        let two = ["sound", "as-written", "settle=gateway-accepted", "sequence=block"];
        let mut chosen = names(&["sequence=block", "settle"]);
        chosen.sort();
        let mut wanted = two.map(str::to_owned);
        wanted.sort();
        assert_eq!(chosen, wanted);
        let others = entries().count() - CATALOGUE.len();
        assert_eq!(names(&[]).len(), 2 + others);
    }
}
