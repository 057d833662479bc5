//! `courier scenarios`: what is built in.

use super::Stop;
use super::terminal::Output;
use crate::scenario::{built_in, find};
use clap::{Args, Subcommand};
use serde::Serialize;

#[derive(Debug, Args)]
#[command(after_help = "Example: courier scenarios show server-7-dies")]
pub struct ScenariosArguments {
    /// Print a JSON list and nothing else
    #[arg(long)]
    pub json: bool,
    #[command(subcommand)]
    pub show: Option<Show>,
}

#[derive(Debug, Subcommand)]
pub enum Show {
    /// Print one scenario's file
    Show {
        /// A built-in scenario's name, or a path
        name: String,
    },
}

#[derive(Serialize)]
struct Listed {
    name: String,
    path: String,
    summary: String,
}

pub fn main(arguments: &ScenariosArguments) -> Result<u8, Stop> {
    let mut out = Output::new();
    if let Some(Show::Show { name }) = &arguments.show {
        out.line(find(name)?.document.text.trim_end())?;
        return Ok(0);
    }
    let list: Vec<Listed> = built_in()
        .into_iter()
        .map(|found| {
            let summary = found.summary();
            Listed { name: found.name, path: found.path, summary }
        })
        .collect();
    if arguments.json {
        out.json(&list)?;
        return Ok(0);
    }
    let width = list.iter().map(|listed| listed.name.len()).max().unwrap_or(0);
    for Listed { name, summary, .. } in &list {
        out.line(&format!("{name:<width$}  {summary}"))?;
    }
    Ok(0)
}
