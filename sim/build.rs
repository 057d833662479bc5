//! Refuses a build without madsim's cfg, and tells the program which commit it is.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../scenarios");
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=../.git/index");
    if std::env::var_os("CARGO_CFG_MADSIM").is_none() {
        println!(
            "cargo::error=courier is simulated: build it with `--cfg madsim` in RUSTFLAGS (unset \
             RUSTFLAGS and .cargo/config.toml does it for you)"
        );
    }
    let git =
        Command::new("git").args(["describe", "--always", "--dirty=+", "--abbrev=12"]).output();
    let commit = git
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |commit| commit.trim().to_owned());
    println!("cargo::rustc-env=COURIER_COMMIT={commit}");
}
