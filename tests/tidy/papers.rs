//! What is written for people: the commands are those that are run, the map is whole, links lead
//! somewhere, and nothing names a place on somebody's machine.

use crate::code::is_word;
use crate::{Broken, Source, file, sources};
use std::path::Path;

/// All tests, as a person and as CI runs them.
const TEST: &str = "cargo test --workspace";

/// The main job, as a person runs it. CI builds first and then starts the program without a
/// command, which is the same in two steps.
const MAIN: &str = "cargo run --release";

#[test]
fn the_two_commands_of_the_readme_are_those_of_ci() {
    let (readme, ci) = (file("README.md"), file(".ci/run"));
    let has = |source: &Source, line: &dyn Fn(&str) -> bool| source.text.lines().any(line);
    let mut broken = Broken::default();
    for command in [MAIN, TEST] {
        if !has(&readme, &|line| line.trim().starts_with(command)) {
            broken.at(&readme, 1, format!("no line begins with `{command}`"));
        }
    }
    if !has(&ci, &|line| line.starts_with(TEST)) {
        broken.at(&ci, 1, format!("no line begins with `{TEST}`"));
    }
    if !has(&ci, &|line| line.starts_with("cargo build --release"))
        || !has(&ci, &|line| line == "$courier")
    {
        broken.at(&ci, 1, "the main job is not run: a release build, then `$courier` alone");
    }
    broken.finish("What README.md tells people to type is what CI runs; change both together.");
}

#[test]
fn the_map_names_every_file() {
    let map = file("ARCHITECTURE.md");
    let mut broken = Broken::default();
    for source in ["src", "sim/src", "tests"].map(sources).into_iter().flatten() {
        // Tests are named by their folders.
        let name = match source.path.strip_prefix("tests/") {
            Some(inside) => format!("tests/{}/", inside.split('/').next().unwrap_or_default()),
            None => source.path.clone(),
        };
        let rust_or_test = source.path.ends_with(".rs");
        if rust_or_test && !map.text.contains(&format!("`{name}`")) {
            broken.at(&source, 1, format!("the map has no `{name}`"));
        }
    }
    for (line, text) in map.lines() {
        for path in text.split('`').skip(1).step_by(2).filter(|path| is_source(path)) {
            if !exists(path) {
                broken.at(&map, line, format!("`{path}` does not exist"));
            }
        }
    }
    broken.finish("ARCHITECTURE.md has one line per file: say there what this one is for.");
}

fn is_source(path: &str) -> bool {
    let known = ["src/", "sim/", "tests/", "scenarios/"].iter().any(|at| path.starts_with(at));
    known && !path.contains(['*', '<', ' ', '…', '{'])
}

#[test]
fn links_between_papers_lead_somewhere() {
    let mut broken = Broken::default();
    let papers = sources("").into_iter().filter(|source| source.path.ends_with(".md"));
    for source in papers {
        let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, text) in source.lines() {
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = link.split('#').next().unwrap_or_default();
                let elsewhere = target.is_empty() || target.contains("://");
                if !elsewhere && !exists(&format!("{folder}/{target}")) {
                    broken.at(&source, line, format!("`{link}` leads nowhere"));
                }
            }
        }
    }
    broken.finish("Links are relative to the file that they stand in.");
}

fn exists(path: &str) -> bool {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path.trim_start_matches('/')).exists()
}

#[test]
fn nothing_names_a_place_on_somebodys_machine() {
    // Written in two halves, so that this file does not break its own rule.
    let places = [
        concat!("/", "work"),
        concat!("/", "root"),
        concat!("/", "home"),
        concat!("/", "Users"),
        concat!("/", "tmp"),
    ];
    let mut broken = Broken::default();
    for source in sources("") {
        for (line, text) in source.lines() {
            let found = places.iter().find(|place| names_place(text, place));
            if let Some(place) = found {
                broken.at(&source, line, format!("names `{place}`"));
            }
        }
    }
    broken.finish(
        "Use a path inside the repository, or a folder that the test makes for itself (tempfile).",
    );
}

/// Whether a path begins here, rather than goes on: `tests/roles/worker.rs` names no place.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + place.len()..].chars().next();
        let goes_on = before.is_some_and(|c| is_word(c) || "/.-*}~$)".contains(c));
        !goes_on && !after.is_some_and(|c| is_word(c) || c == '-')
    })
}

#[test]
fn a_place_is_where_a_path_begins() {
    let place = concat!("/", "home");
    assert!(names_place(&format!("in {place}/me"), place));
    assert!(names_place(&format!("`{place}`"), place));
    assert!(!names_place(&format!("a{place}/me"), place));
    assert!(!names_place(&format!("{place}less"), place));
}

#[test]
fn the_pictures_in_the_readme_are_the_real_ones() {
    let readme = file("README.md");
    let mut broken = Broken::default();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let golden = file("tests/fleet/stories/server-7-dies.snap");
    let told: Vec<String> = golden.text.lines().map(words).collect();
    let mut pictured = 0;
    for (line, text) in block(&readme, "text") {
        if text.trim_start().starts_with("T+") || text.trim_start().starts_with("T-") {
            pictured += 1;
            if !told.contains(&words(text)) {
                broken.at(&readme, line, format!("`{}` does not tell so", golden.path));
            }
        }
    }
    if pictured == 0 {
        broken.at(&readme, 1, "has no picture of the first command's output (a block of `text`)");
    }
    let scenario = file("scenarios/server-7-dies-fast-log.toml");
    for (line, text) in block(&readme, "toml") {
        if !scenario.text.lines().any(|other| other == text) {
            broken.at(&readme, line, format!("`{}` has no such line", scenario.path));
        }
    }
    broken.finish("Run `cargo run --release` and paste what it prints; show the file as it is.");
}

/// The lines of the first fenced block of a language.
fn block<'a>(source: &'a Source, language: &str) -> Vec<(usize, &'a str)> {
    let fence = format!("```{language}");
    let inside = source.lines().skip_while(move |(_, text)| *text != fence).skip(1);
    inside.take_while(|(_, text)| *text != "```").collect()
}
