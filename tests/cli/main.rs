//! The program as it is used: `courier` started in a folder of its own, and what it then says,
//! writes and ends with.
//!
//! `story` is what a person sees, `json` what a program reads, `files` what runs leave behind,
//! `verdicts` the exit statuses of runs that are not valid, `designs` and `matrix` what is chosen
//! and compared, and `refusals` everything that may be wrong with what the program is given.

mod designs;
mod files;
mod json;
mod matrix;
mod refusals;
mod story;
mod verdicts;

use assert_cmd::Command;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// A fleet of two servers on which Bob writes to Alice, and nothing is wrong.
const SMALL: &str = r#"# Bob writes to Alice, and nothing is wrong.
#
# Why we care: it takes a moment.

warmup   = "15s"
duration = "5s"

[fleet]
servers = 2
users   = 3
arrive  = "5s"

[[user]]
name = "alice"

[[user]]
name = "bob"

[[step]]
at   = "1s"
from = "bob"
to   = "alice"
"#;

/// A folder that a test runs the program in, with [`SMALL`] as `small.toml`.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder can be made") };
        place.write("small.toml", SMALL);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("a file can be written");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file can be read")
    }

    /// The program with these arguments, and nothing in its environment that it listens to.
    fn courier(&self, arguments: &[&str]) -> Command {
        let mut command = Command::from_std(program(self.folder.path()));
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.courier(arguments).output().expect("the program starts")
    }

    /// Standard output of a run that ends with this status.
    fn says(&self, arguments: &[&str], status: i32) -> String {
        let output = self.run(arguments);
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}{complained}");
        said
    }

    /// The one object that a run with `--json` prints.
    fn json(&self, arguments: &[&str], status: i32) -> serde_json::Value {
        let said = self.says(&[arguments, &["--json"]].concat(), status);
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        serde_json::from_str(&said).expect("a line of JSON")
    }
}

fn program(folder: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_courier"));
    command.current_dir(folder);
    for name in ["RUST_LOG", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes UTF-8")
}
