//! `courier scenarios`: what is built in, by theme.

use super::Stop;
use super::terminal::{DIM, Output, STRONG, styled};
use crate::document::{Problem, nearest};
use crate::scenario::{FLEET_THEME, built_in, find, on_one_line};
use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: courier scenarios clock\n         courier scenarios show server-7-dies"
)]
pub struct ScenariosArguments {
    /// Only those whose name, theme or header hold each of these words
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,
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

/// One entry of `courier scenarios --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listed {
    /// What `courier run` takes.
    pub name: String,
    /// The file, from the repository's root.
    pub path: String,
    /// Its folder; `fleet` for those in none.
    pub theme: String,
    /// What happens.
    pub summary: String,
    /// Incidents and literature that it comes from.
    pub references: Vec<String>,
    /// The invariants that it expects to break, under the design that it chooses.
    pub breaks: Vec<String>,
    /// Its whole header, in which words are looked for.
    #[serde(skip)]
    header: String,
}

/// The themes in the order in which they are listed; others follow by their names.
const THEMES: &[&str] = &[
    FLEET_THEME,
    "registry",
    "handover",
    "sequence",
    "duplicates",
    "presence",
    "overload",
    "stores",
    "clocks",
    "clients",
    "jobs",
];

/// Every built-in scenario, by theme and then by path.
pub fn listed() -> Result<Vec<Listed>, Problem> {
    let mut list = Vec::new();
    for found in built_in() {
        let expect = found.parse()?.expect;
        list.push(Listed {
            theme: found.theme().to_owned(),
            summary: found.summary(),
            references: found.references(),
            breaks: [expect.breaks, expect.may_break].concat(),
            header: on_one_line(&found.header()),
            name: found.name,
            path: found.path,
        });
    }
    let place = |theme: &str| THEMES.iter().position(|known| *known == theme);
    list.sort_by_key(|listed| {
        let place = place(&listed.theme).unwrap_or(THEMES.len());
        (place, listed.theme.clone(), listed.path.clone())
    });
    Ok(list)
}

pub fn main(arguments: &ScenariosArguments) -> Result<u8, Stop> {
    let mut out = Output::new();
    if let Some(Show::Show { name }) = &arguments.show {
        out.line(find(name)?.document.text.trim_end())?;
        return Ok(0);
    }
    let mut list = listed()?;
    let themes: Vec<String> = list.iter().map(|listed| listed.theme.clone()).collect();
    list.retain(|listed| arguments.words.iter().all(|word| speaks_of(listed, word)));
    if arguments.json {
        out.json(&list)?;
        return Ok(0);
    }
    if list.is_empty() {
        let words = arguments.words.join(" ");
        let help = match nearest(&words, themes.iter().map(String::as_str)) {
            Some(theme) => format!("did you mean `{theme}`?"),
            None => "`courier scenarios` lists all of them".to_owned(),
        };
        return Err(Problem::whole(&words, "no scenario speaks of this", help).into());
    }
    tell(&mut out, &list)?;
    Ok(0)
}

fn speaks_of(listed: &Listed, word: &str) -> bool {
    let Listed { name, theme, breaks, header, .. } = listed;
    let texts = [name, theme, header].into_iter().chain(breaks);
    let word = word.to_lowercase();
    texts.into_iter().any(|text| text.to_lowercase().contains(&word))
}

fn tell(out: &mut Output, list: &[Listed]) -> Result<(), Stop> {
    let width = list.iter().map(|listed| listed.name.len()).max().unwrap_or(0);
    let mut theme = "";
    for listed in list {
        if listed.theme != theme {
            if !theme.is_empty() {
                out.line("")?;
            }
            theme = &listed.theme;
            out.line(&styled(STRONG, theme))?;
        }
        let mut line = format!("  {:<width$}  {}", listed.name, first_sentence(&listed.summary));
        if !listed.breaks.is_empty() {
            let breaks = format!("(breaks {})", listed.breaks.join(", "));
            line.push_str(&format!(" {}", styled(DIM, &breaks)));
        }
        out.line(&line)?;
    }
    Ok(())
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}
