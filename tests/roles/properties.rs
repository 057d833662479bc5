//! What holds after any history: arbitrary orders, duplicates, losses and crashes.
//!
//! The same inputs in every run, so that a red build stays red; `PROPTEST_CASES` tries more.

mod consumption;
mod inbox;
mod leaders;
mod load;
mod marks;
mod pending;
mod presence;
mod registry;
mod retry;
mod sequence;

use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed};

fn config() -> Config {
    Config { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::default() }
}

/// One of the messages that are on their way, if there are any. It may come `again`.
fn pick<T: Clone>(wires: &mut Vec<T>, which: &Index, again: bool) -> Option<T> {
    let at = (!wires.is_empty()).then(|| which.index(wires.len()))?;
    Some(if again { wires[at].clone() } else { wires.remove(at) })
}
