//! `courier`: run seeded fault scenarios, sweep seeds, replay what failed.

use std::process::ExitCode;

fn main() -> ExitCode {
    courier_sim::cli::main()
}
