//! Input files with good manners: what is wrong, where, and what to do about it.
//!
//! A document is TOML or JSON text with a name. Parsing it gives a value or a [`Problem`] that
//! points at the line; so does every later check that finds the value impossible.

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::path::Path;

/// An input file, or a built-in one.
#[derive(Clone, Debug)]
pub struct Document {
    pub name: String,
    pub text: String,
    pub format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Toml,
    Json,
}

/// One step into a document: a key of a table or a place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Step::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Step::Index(index)
    }
}

/// Where in a document: `fault.2.target`.
pub type Place = Vec<Step>;

/// Makes a place: `place!["fault", 2, "target"]`.
#[macro_export]
macro_rules! place {
    ($($step:expr),* $(,)?) => { vec![$($crate::document::Step::from($step)),*] };
}

/// Something is wrong with an input. Always names the file, the place and the way out.
#[derive(Debug)]
pub struct Problem {
    what: String,
    help: Option<String>,
    /// `file:line:column`, as far as known.
    place: String,
    source: Box<NamedSource<String>>,
    span: Option<SourceSpan>,
}

/// A value that is impossible, at a place of the document it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Impossible {
    pub place: Place,
    pub what: String,
    pub help: String,
}

impl Impossible {
    pub fn new(place: Place, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { place, what: what.into(), help: help.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.span.is_some().then_some(&*self.source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let span = self.span?;
        let label = miette::LabeledSpan::new_with_span(Some("here".to_owned()), span);
        Some(Box::new(std::iter::once(label)))
    }
}

impl From<crate::input::InputError> for Problem {
    /// An input error already says file, line and field.
    fn from(error: crate::input::InputError) -> Self {
        let help = error.help().map(|help| help.to_string()).unwrap_or_default();
        let said = error.to_string();
        let (place, what) = match said.split_once(": ") {
            Some((place, what)) => (place.to_owned(), what.to_owned()),
            None => (said, String::new()),
        };
        let source = Box::new(NamedSource::new(&place, String::new()));
        Self { what, help: Some(help), place, source, span: None }
    }
}

impl Problem {
    /// A problem with an argument or a whole file.
    pub fn whole(name: &str, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: Some(help.into()),
            place: name.to_owned(),
            source: Box::new(NamedSource::new(name, String::new())),
            span: None,
        }
    }

    /// The way out.
    pub fn help_text(&self) -> &str {
        self.help.as_deref().unwrap_or_default()
    }
}

impl Document {
    /// Reads a file. Its ending says what it is: `.json`, or TOML.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|cause| {
            let help = match cause.kind() {
                io::ErrorKind::NotFound => "check the path",
                io::ErrorKind::PermissionDenied => "check who may read it",
                _ => "give a file that can be read",
            };
            Problem::whole(&name, format!("cannot be read: {cause}"), help)
        })?;
        let text = String::from_utf8(bytes).map_err(|cause| {
            let at = cause.utf8_error().valid_up_to();
            Problem::whole(&name, format!("is not UTF-8 (at byte {at})"), "save it as UTF-8 text")
        })?;
        let json = path.extension().is_some_and(|ending| ending == "json");
        Ok(Self { name, text, format: if json { Format::Json } else { Format::Toml } })
    }

    /// Parses the whole document.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        match self.format {
            Format::Toml => toml::from_str(&self.text).map_err(|refused| {
                let (what, help) = explain(refused.message());
                self.problem(what, help, refused.span().map(SourceSpan::from))
            }),
            Format::Json => serde_json::from_str(&self.text).map_err(|refused| {
                let message = refused.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                let (what, help) = if refused.is_eof() {
                    let help = "the file was cut off: write it again, or use an earlier copy";
                    ("ends in the middle".to_owned(), Some(help.to_owned()))
                } else {
                    explain(message)
                };
                let at = offset(&self.text, refused.line(), refused.column());
                self.problem(what, help, Some(SourceSpan::from(at..at)))
            }),
        }
    }

    /// Points at what a check found impossible.
    pub fn locate(&self, impossible: Impossible) -> Problem {
        let Impossible { place, what, help } = impossible;
        let span = match self.format {
            Format::Toml => find(&self.text, &place),
            Format::Json => None,
        };
        let mut problem = self.problem(what, Some(help), span);
        if span.is_none() && !place.is_empty() {
            problem.place = format!("{}: {}", self.name, spell(&place));
        }
        problem
    }

    fn problem(&self, what: String, help: Option<String>, span: Option<SourceSpan>) -> Problem {
        let place = match span {
            Some(span) => {
                let before = &self.text[..self.text.floor_char_boundary(span.offset())];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                format!("{}:{line}:{column}", self.name)
            }
            None => self.name.clone(),
        };
        let source = Box::new(NamedSource::new(&self.name, self.text.clone()));
        Problem { what, help, place, source, span }
    }

    /// Sets one value, as `--set fleet.users=1000` does. Times and names need no quotes.
    pub fn set(&mut self, assignment: &str) -> Result<(), Problem> {
        let name = format!("--set {assignment}");
        let Some((path, value)) = assignment.split_once('=') else {
            let help = "write KEY=VALUE, like --set fleet.users=1000";
            return Err(Problem::whole(&name, "has no `=`", help));
        };
        let mut document: toml_edit::DocumentMut =
            self.text.parse().map_err(|_| match self.parse::<toml::Table>() {
                Err(problem) => problem,
                Ok(_) => Problem::whole(&name, "cannot be applied", "mend the scenario first"),
            })?;
        let value: toml_edit::Value =
            value.trim().parse().unwrap_or_else(|_| toml_edit::Value::from(value.trim()));
        let steps: Vec<&str> = path.trim().split('.').collect();
        let (last, tables) = steps.split_last().expect("split gives at least one part");
        let mut item = document.as_item_mut();
        for step in tables {
            item = match step.parse::<usize>() {
                Ok(index) => match entry_of_list(item, index) {
                    Some(item) => item,
                    None => {
                        let help = "count the entries of that list from 0";
                        return Err(Problem::whole(&name, format!("has no entry {index}"), help));
                    }
                },
                Err(_) if item.is_table_like() || item.is_none() => {
                    let missing = || toml_edit::Item::Table(toml_edit::Table::new());
                    item.as_table_like_mut().expect("checked").entry(step).or_insert_with(missing)
                }
                Err(_) => {
                    let what = format!("`{step}` is not inside a table");
                    return Err(Problem::whole(&name, what, "check the key's path"));
                }
            };
        }
        match item.as_table_like_mut() {
            Some(table) => {
                table.insert(last, toml_edit::Item::Value(value));
            }
            None => {
                let what = format!("`{last}` is not inside a table");
                return Err(Problem::whole(&name, what, "check the key's path"));
            }
        }
        self.text = document.to_string();
        self.name = format!("{} with {name}", self.name);
        Ok(())
    }
}

/// An entry of a list of tables, written either way TOML allows.
fn entry_of_list(item: &mut toml_edit::Item, index: usize) -> Option<&mut toml_edit::Item> {
    item.get_mut(index)
}

fn spell(place: &Place) -> String {
    let steps = place.iter().map(|step| match step {
        Step::Key(key) => key.clone(),
        Step::Index(index) => index.to_string(),
    });
    steps.collect::<Vec<_>>().join(".")
}

/// The span of the value at a place, or of the nearest thing around it.
fn find(text: &str, place: &Place) -> Option<SourceSpan> {
    let document = toml_edit::Document::parse(text).ok()?;
    let mut item = document.as_item();
    let mut span = None;
    for step in place {
        let inner = match step {
            Step::Key(key) => item.get(key.as_str()),
            Step::Index(index) => item.get(*index),
        };
        let Some(inner) = inner else { break };
        item = inner;
        span = item.span().or(span);
    }
    span.map(SourceSpan::from)
}

fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column.saturating_sub(1)).min(text.len())
}

/// Turns a parser's message into ours, with the nearest word that would have been right.
fn explain(message: &str) -> (String, Option<String>) {
    let first = message.lines().next().unwrap_or_default().to_owned();
    for (kind, ours) in [("unknown field", "unknown key"), ("unknown variant", "unknown value")] {
        let Some(rest) = first.strip_prefix(kind) else { continue };
        let mut words = rest.split('`').skip(1).step_by(2);
        let Some(found) = words.next() else { continue };
        let known: Vec<&str> = words.collect();
        let help = match nearest(found, known.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None if known.is_empty() => "nothing may be written here".to_owned(),
            None => format!("write one of {}", known.join(", ")),
        };
        return (format!("{ours} `{found}`"), Some(help));
    }
    if let Some(rest) = first.strip_prefix("missing field `") {
        let key = rest.split('`').next().unwrap_or_default();
        return (format!("`{key}` is missing"), Some(format!("add a line `{key} = …`")));
    }
    if let Some((what, help)) = first.split_once("; ") {
        return (what.to_owned(), Some(help.to_owned()));
    }
    let Some((found, expected)) = first.split_once(", expected ") else {
        return (first, Some("check the syntax at that place".to_owned()));
    };
    // The parser knows the names that types have in the program.
    let expected = match expected {
        "a duration" => "a time with its unit in a string, like \"20s\"",
        "u8" => "a whole number from 0 to 255",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, 0 or more",
        "i64" => "a whole number",
        "f64" => "a number",
        name if name.starts_with("struct ") => "a table",
        other => other,
    };
    (format!("{found}, expected {expected}"), Some(format!("write {expected}")))
}

/// The known word that is most like a mistyped one, if any is near.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(found, word), word))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}
