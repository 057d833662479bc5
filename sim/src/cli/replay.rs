//! `courier replay`: a plan or a kept failure, again and exactly.

use super::run::{Failure, carry_out, is_standard_output, quoted, trace_only};
use super::terminal::{self, Output};
use super::{COMMIT, Stop};
use crate::document::{Document, Format, Problem, Step};
use crate::plan::Plan;
use crate::report::judge;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(after_help = "Example: courier replay target/courier/swarm/8191/failure.json")]
pub struct ReplayArguments {
    /// A plan (TOML or JSON) or a failure.json
    pub file: PathBuf,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
    /// Write a line for everything that happens (`-` for standard output)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

pub fn main(arguments: &ReplayArguments) -> Result<u8, Stop> {
    let document = Document::read(&arguments.file)?;
    let (plan, failure) = read(&document)?;
    let plan = Arc::new(plan);
    let began = super::stopwatch();
    if is_standard_output(arguments.trace.as_deref(), arguments.json)? {
        let outcome = trace_only(plan.clone())?;
        let report = judge(&plan, &outcome, began.elapsed(), String::new());
        return Ok(terminal::verdict_aside(&report));
    }
    let outcome = carry_out(plan.clone(), arguments.trace.as_deref())?;
    let replay = format!("courier replay {}", quoted(&document.name));
    let report = judge(&plan, &outcome, began.elapsed(), replay);
    let mut out = Output::new();
    if arguments.json {
        out.json(&report)?;
    } else {
        let summary = format!("Replayed from {}.", document.name);
        terminal::tell(&mut out, &plan, &summary, &outcome, &report)?;
    }
    if let Some((commit, digest)) = failure
        && digest != report.digest
    {
        let dirty = COMMIT.ends_with('+') || COMMIT == "unknown";
        let here = &report.digest;
        terminal::mention(&format!(
            "the digest was {digest} on commit {commit}; here it is {here}"
        ));
        if commit == COMMIT && !dirty {
            return Err(Stop::NotDeterministic);
        }
    }
    Ok(report.verdict.exit_status())
}

/// The plan in a document, and if it is a failure, its commit and digest.
fn read(document: &Document) -> Result<(Plan, Option<(String, String)>), Stop> {
    if document.format == Format::Toml && crate::plan::is_cut_off(&document.text) {
        let help = "write it again, or use an earlier copy";
        return Err(Problem::whole(&document.name, "was cut off before its end", help).into());
    }
    let is_failure = document.format == Format::Json
        && document.parse::<serde_json::Value>()?.get("plan").is_some();
    let (plan, failure) = if is_failure {
        let failure: Failure = document.parse()?;
        (failure.plan, Some((failure.commit, failure.report.digest)))
    } else {
        (document.parse::<Plan>()?, None)
    };
    plan.validate().map_err(|mut impossible| {
        if is_failure {
            impossible.place.insert(0, Step::from("plan"));
        }
        document.locate(impossible)
    })?;
    Ok((plan, failure))
}
