//! Whole runs of the fleet: that they are deterministic, that a world is a value, and that every
//! built-in scenario comes out as it should.

mod determinism;
mod nemesis;
mod scenarios;
mod shell;
mod stores;
mod support;
mod triggers;
