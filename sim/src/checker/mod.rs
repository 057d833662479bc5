//! Checkers: does the history keep the guarantee?
//!
//! One checker per invariant, each named for what it checks. They read a history and nothing
//! else: no role, no world, no plan. Absence counts only once it can no longer be mended: what was
//! not shown by the end of a run that had healed is lost, what was shown late is merely late.

mod claim;
mod converged;
mod dedupe;
mod expiry;
mod findings;
mod fresh_registry;
mod gap;
mod in_order;
mod liveness;
mod no_duplicate;
mod no_loss;
mod one_owner;
mod one_run;
mod persist_ack;
mod phantom;
mod presence;
mod receipts;
mod retry_budget;
mod sequence;
mod stale_bound;
mod standing;
#[cfg(test)]
mod tests;
mod watched;
mod weather;

pub use liveness::drain;

use crate::history::History;
use courier::id::{DeviceId, MessageId};
use courier::timing::Timing;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An invariant of the guarantee that has a checker.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    strum::IntoStaticStr,
    strum::EnumIter,
)]
#[strum(serialize_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
    /// I1: what was accepted is shown on every device of every member.
    NoLoss,
    /// I2: no device shows a message twice.
    NoDuplicate,
    /// I3: every device shows a conversation in sequence order; a sender's messages keep the order
    /// of sending; an answer never precedes what it answers.
    InOrder,
    /// I4: a place in a sequence names one message, and the sequence has no regress.
    Sequence,
    /// I5: a device that misses something learns of it within a bound.
    Gap,
    /// I6: an older session never replaces or removes a newer row.
    FreshRegistry,
    /// I7: a displaced connection is closed, and who is connected is routable.
    OneOwner,
    /// I8: a row that leads to a dead or wrong server does not outlive its bound.
    StaleBound,
    /// I9: who beats is not offline; who is silent is; and nobody flaps.
    Presence,
    /// I10: nothing is acknowledged before it is durable.
    PersistAck,
    /// I11: one lease per row at a time; nothing is done under an older term.
    Claim,
    /// I12: after the faults heal, everything drains within its bound.
    Liveness,
    /// I14: what is dropped is too old or too much, and is explained.
    Expiry,
    /// I16: a message is stored once; a resend is recognised only if its original is there.
    Dedupe,
    /// I13: retries and reconnects multiply no load, come in no waves and never stop.
    RetryBudget,
    /// I15: delivered and read marks only move forward and never name what was not.
    Receipts,
    /// I17: nothing is shown that was not sent, or whose send had definitely failed.
    Phantom,
    /// Of background jobs: a scheduled one runs once, and under the newest term only.
    OneRun,
}

impl Invariant {
    /// As scenarios and reports write it: `no-loss`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What the checkers hold a run to.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How long a row may lead to a dead or wrong server.
    pub stale: Duration,
    /// How long after the heal everything may take to drain.
    pub drain: Duration,
    /// The deployment's own times: heartbeat, thresholds of presence.
    pub timing: Timing,
}

/// One way in which a history breaks an invariant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Anomaly {
    pub invariant: Invariant,
    /// True time in nanoseconds at which it was certain.
    pub at: u64,
    /// One sentence that says what should have been and what was.
    pub what: String,
    /// The message and the device that it is about, if it is about one.
    pub message: Option<MessageId>,
    pub device: Option<DeviceId>,
}

/// Runs every checker. Anomalies come by invariant, then by time.
pub fn check(history: &History, bounds: &Bounds) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    no_loss::check(history, &mut anomalies);
    no_duplicate::check(history, &mut anomalies);
    in_order::check(history, &mut anomalies);
    sequence::check(history, &mut anomalies);
    fresh_registry::check(history, &mut anomalies);
    one_owner::check(history, bounds, &mut anomalies);
    stale_bound::check(history, bounds, &mut anomalies);
    presence::check(history, bounds, &mut anomalies);
    watched::check(history, bounds, &mut anomalies);
    persist_ack::check(history, &mut anomalies);
    claim::check(history, &mut anomalies);
    liveness::check(history, bounds, &mut anomalies);
    gap::check(history, bounds, &mut anomalies);
    expiry::check(history, bounds, &mut anomalies);
    dedupe::check(history, &mut anomalies);
    retry_budget::check(history, &mut anomalies);
    receipts::check(history, &mut anomalies);
    converged::check(history, bounds, &mut anomalies);
    phantom::check(history, &mut anomalies);
    one_run::check(history, &mut anomalies);
    anomalies.sort_by_key(|anomaly| (anomaly.invariant, anomaly.at));
    anomalies
}
