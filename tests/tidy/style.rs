//! The shape of every Rust file: its head, its length, its lines, its functions, its words.

use crate::code::{has_word, only_code};
use crate::{Broken, Source, file, rust, sources};

const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 100;
const FILE_LINES_MAX: usize = 1_200;

#[test]
fn every_file_says_at_its_head_what_it_is() {
    let mut broken = Broken::default();
    for source in rust() {
        if !source.text.starts_with("//! ") {
            broken.at(&source, 1, "has no head");
        }
    }
    broken.finish("Begin with `//!`: what it is, whom it talks to, what it never does.");
}

#[test]
fn no_line_is_too_wide_and_no_file_too_long() {
    let mut broken = Broken::default();
    for source in rust() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            broken.at(&source, lines, format!("has more than {FILE_LINES_MAX} lines"));
        }
        for (line, text) in source.lines() {
            let columns = text.chars().count();
            if columns > COLUMNS_MAX {
                broken.at(&source, line, format!("has {columns} columns, over {COLUMNS_MAX}"));
            }
        }
    }
    broken.finish("Run `cargo fmt`; break what it leaves; split the file by what it is about.");
}

#[test]
fn no_function_is_too_long() {
    let mut broken = Broken::default();
    for source in rust() {
        for (line, length) in functions(&source.text) {
            // A role's `step` is its table: one arm per event, and as long as there are events.
            let table = source.text.lines().nth(line - 1).is_some_and(|l| l.contains("fn step("));
            if length > FUNCTION_LINES_MAX && !table {
                broken.at(&source, line, format!("a function of {length} lines"));
            }
        }
    }
    broken.finish(&format!(
        "No function but a `step` has more than {FUNCTION_LINES_MAX} lines. Keep the branching in \
         one place and move straight pieces out."
    ));
}

/// Where functions begin and how many lines each has: up to the closing brace at its own indent.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let code = only_code(text);
    let lines: Vec<&str> = code.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let words = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe "];
        let mut rest = line.trim_start();
        while let Some(word) = words.iter().find(|word| rest.starts_with(**word)) {
            rest = &rest[word.len()..];
        }
        if !rest.starts_with("fn ") {
            continue;
        }
        let own = indent(line);
        let closes = |later: &str| indent(later) == own && !later.trim_start().is_empty();
        let mut length = 1;
        let whole = line.matches('{').count() == line.matches('}').count() && line.contains('{');
        if !whole && !line.trim_end().ends_with(';') {
            for later in &lines[at + 1..] {
                length += 1;
                let end = later.trim();
                if closes(later) && (end.starts_with('}') || end.ends_with(';')) {
                    break;
                }
            }
        }
        found.push((at + 1, length));
    }
    found
}

#[test]
fn functions_are_measured_to_their_closing_brace() {
    let text = "fn a() {}\n\npub fn b(\n    c: u8,\n) -> u8 {\n    if c == 0 {\n    }\n    c\n}\n\
                trait T {\n    fn d(&self);\n    fn e(\n        &self,\n    );\n}\n";
    assert_eq!(functions(text), [(1, 1), (3, 7), (11, 1), (12, 3)]);
}

#[test]
fn nothing_is_left_to_do() {
    // Written in two halves, so that this file does not break its own rule.
    let unfinished = [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!")];
    let marks = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")];
    let mut broken = Broken::default();
    for source in rust() {
        for (line, text) in source.lines() {
            let call = unfinished.iter().find(|word| text.contains(**word));
            let mark = marks.iter().find(|word| has_word(text, word));
            if let Some(word) = call.or(mark) {
                broken.at(&source, line, format!("`{word}`"));
            }
        }
    }
    broken.finish("Finish it, or write down as a sentence what is not there and why.");
}

#[test]
fn every_limit_has_a_reason_and_a_use() {
    let limits = file("src/limits.rs");
    let mut used = String::new();
    for source in ["src", "sim/src"].map(sources).into_iter().flatten() {
        if source.path != limits.path {
            used.push_str(&only_code(&source.text));
        }
    }
    let mut broken = Broken::default();
    let mut before = "";
    for (line, text) in limits.lines() {
        if let Some(name) = name_of_constant(text) {
            if !before.starts_with("/// ") {
                broken.at(&limits, line, format!("`{name}` does not say why"));
            }
            if !has_word(&used, name) {
                broken.at(&limits, line, format!("`{name}` bounds nothing"));
            }
        }
        before = text;
    }
    broken.finish(
        "A limit says its reason and what happens when it is reached, and something holds itself \
         to it; one that nothing reads goes.",
    );
}

fn name_of_constant(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("pub const ")?.split_once(':')?;
    Some(name)
}

#[test]
fn every_scenario_says_why_we_care_and_has_a_name_of_its_own() {
    let mut broken = Broken::default();
    let mut names: Vec<String> = Vec::new();
    let scenarios = sources("scenarios");
    for source in scenarios.iter().filter(|source| source.path.ends_with(".toml")) {
        let header = header_of(source);
        for words in ["Why we care: ", "Reference: "] {
            if !header.contains(words) {
                broken.at(source, 1, format!("its header has no `{}`", words.trim_end()));
            }
        }
        if header.lines().next().unwrap_or_default().starts_with("Why we care") {
            broken.at(source, 1, "its header does not begin with what happens");
        }
        if names.iter().any(|name| name == source.stem()) {
            broken.at(source, 1, format!("another scenario is called `{}`", source.stem()));
        }
        names.push(source.stem().to_owned());
    }
    broken.finish(
        "A scenario begins with a comment: what happens, then `Why we care:`, then `Reference:`. \
         Its name is what a person types; see scenarios/server-7-dies.toml.",
    );
}

fn header_of(source: &Source) -> String {
    let lines = source.text.lines().take_while(|line| line.starts_with('#'));
    lines.map(|line| line.trim_start_matches('#').trim()).collect::<Vec<_>>().join("\n")
}
