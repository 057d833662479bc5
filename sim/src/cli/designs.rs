//! `courier designs`: the choices, and what each alternative means and breaks.

use super::Stop;
use super::terminal::{BAD, DIM, GOOD, Output, STRONG, styled, wrapped};
use crate::designs::catalogue::{Alternative, CATALOGUE, Choice, entries};
use crate::designs::chosen;
use crate::document::{Problem, nearest};
use clap::Args;
use courier::design::Design;

#[derive(Debug, Args)]
#[command(after_help = "Example: courier designs sequence\n\n\
                        A scenario chooses under [design]; `courier run NAME --design \
                        sequence=snowflake` chooses for one run.")]
pub struct DesignsArguments {
    /// Only these choices, like sequence or dead-peer
    #[arg(value_name = "CHOICE")]
    pub choices: Vec<String>,
    /// Print a JSON list and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Columns that a paragraph takes.
const COLUMNS: usize = 76;

/// How far a paragraph is indented.
const INDENT: &str = "      ";

pub fn main(arguments: &DesignsArguments) -> Result<u8, Stop> {
    for name in &arguments.choices {
        known(name)?;
    }
    let listed = |name: &str| {
        arguments.choices.is_empty() || arguments.choices.iter().any(|choice| choice == name)
    };
    let mut out = Output::new();
    if arguments.json {
        out.json(&entries().filter(|entry| listed(entry.choice)).collect::<Vec<_>>())?;
        return Ok(0);
    }
    for choice in CATALOGUE.iter().filter(|choice| listed(choice.name)) {
        tell(&mut out, choice)?;
    }
    out.line(
        "The first of each choice is the default; * is what the textbook chooses (as-written).",
    )?;
    Ok(0)
}

/// Refuses what is not the name of a choice.
pub fn known(name: &str) -> Result<&'static Choice, Problem> {
    CATALOGUE.iter().find(|choice| choice.name == name).ok_or_else(|| {
        let names: Vec<&str> = CATALOGUE.iter().map(|choice| choice.name).collect();
        let help = match nearest(name, names.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("write one of {}", names.join(", ")),
        };
        Problem::whole(name, "is not a choice", help)
    })
}

fn tell(out: &mut Output, choice: &Choice) -> Result<(), Stop> {
    out.line(&format!("{}  {}", styled(STRONG, choice.name), choice.question))?;
    let as_written = chosen(&Design::AS_WRITTEN);
    for alternative in choice.alternatives {
        let Alternative { name, sound, breaks, source, meaning } = alternative;
        let pair = (choice.name.to_owned(), (*name).to_owned());
        let mark = if as_written.contains(&pair) { '*' } else { ' ' };
        let verdict = if *sound {
            styled(GOOD, "sound")
        } else {
            styled(BAD, &format!("breaks {}", breaks.join(", ")))
        };
        out.line(&format!("  {mark} {name:<21} {verdict}"))?;
        for line in wrapped(meaning, COLUMNS) {
            out.line(&format!("{INDENT}{line}"))?;
        }
        for line in wrapped(source, COLUMNS) {
            out.line(&format!("{INDENT}{}", styled(DIM, &line)))?;
        }
    }
    out.line("")
}
