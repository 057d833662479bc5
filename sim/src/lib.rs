//! The deterministic testbed of courier: it runs the whole fleet on a simulated network and clock,
//! breaks it on a seeded schedule, and judges from the history whether the guarantee held.
//!
//! Data flows one way: [`scenario`] and seed → [`plan`] → [`run`] steps a [`world`] → [`history`] →
//! [`checker`] → [`report`]. Randomness writes the plan ([`workload`], [`nemesis`]); inside a run
//! it comes from named, keyed streams ([`seed`]).

pub mod cast;
pub mod checker;
pub mod cli;
pub mod designs;
pub mod document;
pub mod failures;
pub mod fleet;
pub mod history;
pub mod input;
pub mod nemesis;
pub mod panics;
pub mod plan;
pub mod report;
pub mod run;
pub mod scenario;
pub mod seed;
pub mod span;
pub mod story;
pub mod trace;
pub mod workload;
pub mod world;
