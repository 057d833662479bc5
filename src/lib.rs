//! courier: a chat-delivery backend written as pure state machines.
//!
//! Every server of the fleet, every store and every client is a [`node::Role`]: a value with one
//! function, `step(now, event, out)`. No role reads a clock, draws a random number, opens a
//! socket or touches a file; this crate depends on nothing that could. The testbed that runs the
//! fleet and tries to break it is the crate `courier-sim` beside this one.
//!
//! Start with [`node`] (how a role meets the world), [`wire`] and [`frame`] (what roles say to
//! each other), then follow one message: [`client`] → [`gateway`] → [`router`] → [`database`],
//! and out again through [`delivery`], the attempt that router and [`worker`] share.

pub mod balancer;
pub mod cleaner;
pub mod client;
pub mod consumer;
pub mod database;
pub mod delivery;
pub mod design;
pub mod directory;
pub mod disk;
pub mod event_log;
pub mod frame;
pub mod gateway;
pub mod id;
pub mod jitter;
pub mod limits;
pub mod monitor;
pub mod node;
pub mod note;
pub mod presence;
pub mod registry;
pub mod retry;
pub mod router;
pub mod sequence;
pub mod time;
pub mod timing;
pub mod wire;
pub mod worker;
