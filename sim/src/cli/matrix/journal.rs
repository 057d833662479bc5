//! The cells that are finished, one per line of a file, so that an interrupted matrix goes on
//! where it was.
//!
//! A cell counts again only for the same program, seeds, design and scenario file. An interrupt
//! may cut the last line; a line that cannot be read is a cell that is not finished.

use super::Cell;
use crate::cli::{COMMIT, terminal};
use crate::scenario::Found;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Where finished cells are kept.
pub const PATH: &str = "target/courier/matrix.jsonl";

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    cell: Cell,
}

pub struct Journal {
    /// What all cells of this matrix have in common: program and seeds.
    common: String,
    finished: BTreeMap<String, Cell>,
    file: Option<File>,
}

impl Journal {
    /// Reads what is finished. Without a file to write to, nothing is kept, and that is said once.
    pub fn open(seeds: &str) -> Self {
        let common = format!("{} {seeds}", program());
        let text = std::fs::read(PATH).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let finished = lines
            .filter(|line| line.key.starts_with(&common))
            .map(|line| (line.key, line.cell))
            .collect();
        let opened = Path::new(PATH).parent().map_or(Ok(()), std::fs::create_dir_all);
        let opened = opened.and_then(|()| OpenOptions::new().create(true).append(true).open(PATH));
        // A line that was cut ends here, and not in the next cell.
        let opened = opened.and_then(|mut file| {
            if !text.is_empty() && !text.ends_with('\n') {
                file.write_all(b"\n")?;
            }
            Ok(file)
        });
        let file = opened.inspect_err(complain).ok();
        Self { common, finished, file }
    }

    /// Takes nothing from earlier matrices.
    pub fn forget(self) -> Self {
        Self { finished: BTreeMap::new(), ..self }
    }

    pub fn find(&self, design: &str, scenario: &Found) -> Option<Cell> {
        self.finished.get(&self.key(design, scenario)).cloned()
    }

    /// Appends a cell at once: what is to come may be interrupted.
    pub fn add(&mut self, design: &str, scenario: &Found, cell: &Cell) {
        let line = Line { key: self.key(design, scenario), cell: cell.clone() };
        let Some(file) = &mut self.file else { return };
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        if let Err(cause) = file.write_all(&text) {
            complain(&cause);
            self.file = None;
        }
    }

    fn key(&self, design: &str, scenario: &Found) -> String {
        let checksum = xxh3_64(scenario.document.text.as_bytes());
        format!("{} {design} {} {checksum:016x}", self.common, scenario.path)
    }
}

/// The commit and the program itself: a commit does not say what was changed beside it.
fn program() -> String {
    let program = std::env::current_exe().and_then(std::fs::read).unwrap_or_default();
    format!("{COMMIT} {:016x}", xxh3_64(&program))
}

fn complain(cause: &std::io::Error) {
    terminal::mention(&format!("finished cells are not kept: {PATH}: {cause}"));
}
