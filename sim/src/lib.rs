//! The deterministic testbed of courier: it runs the whole fleet on a simulated network and clock,
//! breaks it on a seeded schedule, and judges from the history whether the guarantee held.
//!
//! Data flows one way: [`scenario`] and seed → [`plan`] → [`world`] → [`history`] → [`checker`] →
//! [`report`]. [`run`] is where a plan becomes a history.

pub mod cast;
pub mod fleet;
pub mod history;
pub mod panics;
pub mod seed;
pub mod trace;
pub mod world;
