//! The roles of the fleet, one at a time: no network, no clock, only `Role::step`.
//!
//! Three kinds of test. The modules named after a role are conversations with it; what it said is
//! a golden trace under `traces/`, and the traces are the documentation of the protocol.
//! `interleavings` tries every order of the answers that a delivery can get. `properties` gives
//! pure pieces arbitrary histories and asks what must hold after any of them.

mod cast;
mod render;
mod script;

mod balancer;
mod cleaner;
mod client;
mod consumer;
mod database;
mod event_log;
mod gateway;
mod letters;
mod monitor;
mod presence;
mod receipts;
mod registry;
mod router;
mod scheduled;
mod waiting;
mod watching;
mod worker;

mod interleavings;
mod properties;
