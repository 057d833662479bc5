//! The command line: `courier run | sweep | replay | twice | matrix | scenarios | designs`.
//!
//! Exit status: 0 valid, 1 invalid, 2 unknown, 64 a scenario or an argument is wrong, 70 the
//! testbed itself failed, 71 not deterministic. With `--json` standard output holds JSON and
//! nothing else; whatever else is to be said goes to standard error.

pub mod designs;
pub mod matrix;
mod replay;
mod run;
pub mod scenarios;
mod sweep;
mod terminal;
mod twice;

use crate::document::Problem;
use clap::{Parser, Subcommand};
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// The scenario that runs when none is named.
const CANONICAL: &str = "server-7-dies";

/// The seed that runs when none is given.
const DEFAULT_SEED: u64 = 1;

/// The commit that this program was built from.
pub const COMMIT: &str = env!("COURIER_COMMIT");

#[derive(Debug, Parser)]
#[command(
    name = "courier",
    version,
    about = "Runs a chat-delivery fleet on a simulated network and clock, breaks it on a seeded \
             schedule, and judges from the history whether any acknowledged message was lost, \
             shown twice or out of order.",
    after_help = "Without a command, the canonical story runs: server 7 dies at T=0.\n\n\
                  Example: courier run server-7-dies --seed 42"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Run one scenario with one seed and tell its story
    Run(run::RunArguments),
    /// Run scenarios with many seeds and report every failure
    Sweep(sweep::SweepArguments),
    /// Run a plan or a saved failure again, exactly
    Replay(replay::ReplayArguments),
    /// Run one seed in two fresh processes and name the first event that differs
    Twice(twice::TwiceArguments),
    /// Run every design against every scenario and say what each breaks
    Matrix(matrix::MatrixArguments),
    /// List the built-in scenarios by theme, or show one
    Scenarios(scenarios::ScenariosArguments),
    /// List the design choices: what each alternative means, who documents it, what it breaks
    Designs(designs::DesignsArguments),
}

/// Why a command did not come to a verdict.
#[derive(Debug)]
pub enum Stop {
    /// An argument, a scenario or a file is wrong.
    Usage(Box<Problem>),
    /// Whoever read standard output has left: nobody is waiting for the rest.
    NobodyReads,
    /// The testbed itself failed.
    Harness(String),
    NotDeterministic,
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Stop::Usage(Box::new(problem))
    }
}

impl Stop {
    /// A failure to write to standard output or to a file.
    pub fn writing(name: &str, cause: &io::Error) -> Self {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            return Stop::NobodyReads;
        }
        let help = match cause.kind() {
            io::ErrorKind::StorageFull => "free some space; what was written before is still there",
            io::ErrorKind::NotFound => "make the folder first",
            io::ErrorKind::PermissionDenied => "choose a place that may be written to",
            _ => "choose another place",
        };
        Problem::whole(name, format!("cannot be written: {cause}"), help).into()
    }
}

pub fn main() -> ExitCode {
    log_to_standard_error();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refused) => {
            // Help and version are answers; everything else is a wrong argument.
            let status = if refused.use_stderr() { 64 } else { 0 };
            return match refused.print() {
                Ok(()) => ExitCode::from(status),
                Err(_) => ExitCode::SUCCESS,
            };
        }
    };
    // A role's panic is a finding, and caught as one; any other is the testbed's own.
    let done = catch_unwind(AssertUnwindSafe(|| dispatch(arguments)));
    match done.unwrap_or_else(|panic| Err(Stop::Harness(message_of(&*panic)))) {
        Ok(status) => ExitCode::from(status),
        Err(Stop::NobodyReads) => ExitCode::SUCCESS,
        Err(Stop::NotDeterministic) => ExitCode::from(71),
        Err(Stop::Usage(problem)) => {
            terminal::complain(*problem);
            ExitCode::from(64)
        }
        Err(Stop::Harness(what)) => {
            terminal::mention(&format!("the testbed failed: {what}"));
            ExitCode::from(70)
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<u8, Stop> {
    let canonical = || Subcommands::Run(run::RunArguments::canonical());
    match arguments.command.unwrap_or_else(canonical) {
        Subcommands::Run(arguments) => run::main(&arguments),
        Subcommands::Sweep(arguments) => sweep::main(&arguments),
        Subcommands::Replay(arguments) => replay::main(&arguments),
        Subcommands::Twice(arguments) => twice::main(&arguments),
        Subcommands::Matrix(arguments) => matrix::main(&arguments),
        Subcommands::Scenarios(arguments) => scenarios::main(&arguments),
        Subcommands::Designs(arguments) => designs::main(&arguments),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it panicked without a message".to_owned())
}

/// Real time, for the reports' `wall_ms`; the only clock that is read.
#[expect(clippy::disallowed_methods, reason = "outside of every run")]
fn stopwatch() -> std::time::Instant {
    std::time::Instant::now()
}

/// `RUST_LOG` chooses what is logged: `info` what roles note, `debug` also what happens to them,
/// `trace` also what they do. Without it nothing is, and the hot path does not pay for it.
fn log_to_standard_error() {
    use std::error::Error;
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::filter::ParseError;
    let filter = match EnvFilter::try_from_default_env() {
        Ok(filter) => filter,
        Err(refused) => {
            // Not set is the usual case; set and not understood is worth a word.
            if refused.source().is_some_and(|cause| cause.is::<ParseError>()) {
                terminal::mention(&format!("RUST_LOG is ignored: {refused}"));
            }
            return;
        }
    };
    // A run's shell has spans of its own, which would stand in every line.
    let filter = filter.add_directive("madsim=off".parse().expect("it is a directive"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(crate::trace::SimulatedTime)
        .with_target(false)
        .with_ansi(terminal::colours_standard_error())
        // A log that nobody reads any more is no reason to say, or to stop, anything.
        .log_internal_errors(false)
        .with_writer(io::stderr)
        .init();
}
