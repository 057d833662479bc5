//! The rules of the house that a text can be held to: who may import whom, what no role may
//! mention, how long a function may be, what a scenario must say.
//!
//! These tests read the sources; they run nothing. Each failure names file and line, and says what
//! to do. `code` reads Rust as far as needed here, `layers` knows who may import whom, `style` the
//! shape of every file, `papers` what is written for people.

mod code;
mod layers;
mod papers;
mod style;

use std::fmt::Display;
use std::path::Path;

/// A text file of the repository.
struct Source {
    /// From the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The file's name without its ending.
    fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.split('.').next().unwrap_or_default()
    }

    /// The lines, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// Every text file under a folder (`""` for all of the repository), in order of their paths. What
/// `.gitignore` names is left out.
fn sources(under: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(root, &root.join(under), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "`{under}` has no files; the test looks in the wrong place");
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    let entries = std::fs::read_dir(folder);
    for entry in entries.unwrap_or_else(|cause| panic!("{}: {cause}", folder.display())) {
        let path = entry.expect("a folder can be listed").path();
        let inside = path.strip_prefix(root).expect("below the root");
        let name = inside.to_string_lossy().replace('\\', "/");
        if [".git", "target"].contains(&name.as_str())
            || [".pending-snap", ".snap.new"].iter().any(|ending| name.ends_with(ending))
        {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, found);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            found.push(Source { path: name, text });
        } // What is not UTF-8 is not a text.
    }
}

/// Every Rust file of the repository.
fn rust() -> Vec<Source> {
    sources("").into_iter().filter(|source| source.path.ends_with(".rs")).collect()
}

/// One file that must be there.
fn file(path: &str) -> Source {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(whole);
    let text = text.unwrap_or_else(|cause| panic!("{path}: {cause}; this test reads it"));
    Source { path: path.to_owned(), text }
}

/// What breaks a rule, all of it: whoever mends the first wants to know of the second.
#[derive(Default)]
struct Broken(Vec<String>);

impl Broken {
    fn at(&mut self, source: &Source, line: usize, what: impl Display) {
        self.0.push(format!("{}:{line}: {what}", source.path));
    }

    /// Fails if anything was found. `advice` says what to do about it.
    fn finish(self, advice: &str) {
        let Self(found) = self;
        assert!(found.is_empty(), "\n{}\n\n{advice}\n", found.join("\n"));
    }
}
