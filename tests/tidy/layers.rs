//! Who may import whom. Cargo holds the two crates apart; inside a crate these tests do.

use crate::code::{has_word, named_after, only_code};
use crate::{Broken, Source, file, sources};

/// What roles have in common. It knows no role.
const VOCABULARY: &[&str] = &[
    "design",
    "directory",
    "disk",
    "frame",
    "id",
    "jitter",
    "limits",
    "node",
    "note",
    "retry",
    "time",
    "timing",
    "wire",
];

const ROLES: &[&str] = &[
    "balancer",
    "cleaner",
    "client",
    "consumer",
    "database",
    "event_log",
    "gateway",
    "monitor",
    "presence",
    "registry",
    "router",
    "worker",
];

/// Parts of roles that more than one role needs, each with the roles that may use it.
const SHARED: &[(&str, &[&str])] =
    &[("delivery", &["router", "worker"]), ("sequence", &["client", "database", "router"])];

/// What a role has no business with, since it reads no clock and no file, draws no number, waits
/// for nothing, says nothing and has no order of its own.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::time::Instant",
    "rand",
    "getrandom",
    "tokio",
    "madsim",
    "std::net",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "thread_local",
    "println",
    "eprintln",
    "print",
    "eprint",
    "dbg",
    "async",
    "await",
    "unsafe",
    "HashMap",
    "HashSet",
    "RandomState",
    "Mutex",
    "RwLock",
    "Cell",
    "RefCell",
    "OnceLock",
    "LazyLock",
];

/// Parts of `std` that no role needs, however they are imported.
const IMPURE_STD: &[&str] = &["net", "fs", "io", "env", "process", "thread"];

/// What the root crate may depend on: nothing that could read a clock or open a socket.
const PURE_DEPENDENCIES: &[&str] = &["humantime-serde", "serde", "strum"];

fn kind_of(module: &str) -> &'static str {
    match module {
        _ if VOCABULARY.contains(&module) => "vocabulary",
        _ if ROLES.contains(&module) => "role",
        _ if SHARED.iter().any(|(name, _)| *name == module) => "shared",
        _ => "unknown",
    }
}

/// The modules of its own crate that a file names, with the lines.
fn own_modules(source: &Source) -> Vec<(usize, String)> {
    let code = only_code(&source.text);
    let mut named = named_after(&code, "crate::");
    named.extend(named_after(&code, "super::"));
    named
}

fn core() -> Vec<Source> {
    let mut core = sources("src");
    core.retain(|source| source.path != "src/lib.rs");
    core
}

/// `src/client.rs` and `src/client/inbox.rs` both belong to `client`.
fn module_of(source: &Source) -> &str {
    let inside = source.path.trim_start_matches("src/");
    inside.split(['/', '.']).next().unwrap_or_default()
}

#[test]
fn every_module_of_the_core_has_a_place() {
    let mut broken = Broken::default();
    for source in core() {
        if kind_of(module_of(&source)) == "unknown" {
            broken.at(&source, 1, "is neither vocabulary, nor a role, nor shared by named roles");
        }
    }
    broken.finish("Add it to one of the lists at the top of tests/tidy/layers.rs.");
}

#[test]
fn a_role_imports_the_vocabulary_and_never_another_role() {
    let mut broken = Broken::default();
    for source in core() {
        let own = module_of(&source);
        for (line, named) in own_modules(&source) {
            let shared_with = SHARED.iter().find(|(name, _)| *name == named);
            let allowed = match (kind_of(own), kind_of(&named)) {
                _ if named == own => true,
                (_, "vocabulary") => true,
                ("role", "shared") => shared_with.is_some_and(|(_, roles)| roles.contains(&own)),
                (_, "role" | "shared") => false,
                (_, _) => true, // An item of a module, named from inside.
            };
            if !allowed {
                broken.at(&source, line, format!("`{own}` names `{named}`"));
            }
        }
    }
    broken.finish(
        "Roles meet in the vocabulary: let one send a `Wire` and the other take it. What several \
         roles share goes into a module under SHARED in tests/tidy/layers.rs, with those who may \
         use it.",
    );
}

#[test]
fn the_core_reads_no_clock_draws_no_number_and_opens_nothing() {
    let mut broken = Broken::default();
    for source in sources("src") {
        let code = only_code(&source.text);
        for (line, text) in (1..).zip(code.lines()) {
            for word in IMPURE.iter().filter(|word| has_word(text, word)) {
                broken.at(&source, line, format!("mentions `{word}`"));
            }
        }
        for (line, part) in named_after(&code, "std::") {
            if IMPURE_STD.contains(&part.as_str()) {
                broken.at(&source, line, format!("imports `std::{part}`"));
            }
        }
    }
    broken.finish(
        "Time is the argument `now`, entropy a field of the role's `Config`, and everything else \
         an `Action` that the world carries out. See src/node.rs.",
    );
}

#[test]
fn the_core_depends_on_nothing_impure() {
    let cargo = file("Cargo.toml");
    let mut broken = Broken::default();
    let mut found = Vec::new();
    let mut section = "";
    for (line, text) in cargo.lines() {
        if text.starts_with('[') {
            section = text;
            let impure = ["[build-dependencies", "[target.", "[dependencies."];
            if impure.iter().any(|start| text.starts_with(start)) {
                broken.at(&cargo, line, format!("{text} has no place in the root crate"));
            }
        } else if section == "[dependencies]"
            && let Some((name, _)) = text.split_once('=')
        {
            let name = name.trim();
            found.push(name.to_owned());
            if !PURE_DEPENDENCIES.contains(&name) {
                broken.at(&cargo, line, format!("the root crate depends on `{name}`"));
            }
        }
    }
    found.sort();
    if broken.0.is_empty() && found != PURE_DEPENDENCIES {
        broken.at(&cargo, 1, format!("[dependencies] are {found:?}, not {PURE_DEPENDENCIES:?}"));
    }
    broken.finish(
        "The root crate is pure because it cannot be otherwise. What the testbed needs goes into \
         sim/Cargo.toml; a pure crate that roles need goes into PURE_DEPENDENCIES as well.",
    );
}

/// The version of the protocol that a device speaks is looked at there, and nowhere else.
#[test]
fn a_gateway_writes_frames_in_one_place() {
    let mut broken = Broken::default();
    for source in core().iter().filter(|source| module_of(source) == "gateway") {
        let code = only_code(&source.text);
        for (line, text) in (1..).zip(code.lines()) {
            if source.path != "src/gateway/outgoing.rs" && text.contains("out.write(") {
                broken.at(source, line, "writes a frame past the version that its device speaks");
            }
        }
    }
    broken.finish("Write it with `Gateway::write`, which withholds what the device does not know.");
}

/// Modules of the testbed that a part of it may import, and none of the core but the vocabulary.
fn holds_itself_to(part: &str, allowed: &[&str], advice: &str) {
    let mut broken = Broken::default();
    for source in sources(&format!("sim/src/{part}")) {
        let code = only_code(&source.text);
        for (line, named) in named_after(&code, "crate::") {
            if named != part && !allowed.contains(&named.as_str()) {
                broken.at(&source, line, format!("`{part}` names `crate::{named}`"));
            }
        }
        for (line, named) in named_after(&code, "courier::") {
            if kind_of(&named) != "vocabulary" {
                broken.at(&source, line, format!("`{part}` names `courier::{named}`"));
            }
        }
    }
    broken.finish(advice);
}

#[test]
fn the_world_knows_no_role_no_plan_and_no_fault_by_name() {
    holds_itself_to(
        "world",
        &["history", "panics", "seed", "trace"],
        "The world steps roles that it does not know, and a fault is a call of one of its verbs. \
         Give it a verb, and let nemesis.rs or run.rs call it.",
    );
}

#[test]
fn checkers_read_a_history_and_nothing_else() {
    holds_itself_to(
        "checker",
        &["cast", "history"],
        "A checker must be able to judge the history of a live system. State the fact as a `Note` \
         where it becomes true (src/note.rs), and read it from there.",
    );
}
