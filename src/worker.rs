//! The delivery worker: takes due rows from the database and attempts them again.
//!
//! It asks the database for claims and runs each as a [`crate::delivery`] attempt, exactly as a
//! router does its first. It claims no more than its retry budget allows; what is due beyond that
//! waits in the database. It never decides that a message is undeliverable, and keeps nothing: the
//! lease on a row is all the state that survives it.

use crate::delivery::{Budget, Deliveries};
use crate::design::{Design, Retry};
use crate::directory::Directory;
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::time::{Instant, Now};
use crate::wire::Wire;
use std::sync::Arc;

/// What a worker is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: Arc<Directory>,
    /// One number drawn by the shell, for jittered waits.
    pub entropy: u64,
    pub design: Design,
}

#[derive(Clone, Debug)]
pub struct Worker {
    directory: Arc<Directory>,
    retry: Retry,
    budget: Budget,
    deliveries: Deliveries,
}

impl Worker {
    pub fn boot(config: Config) -> Self {
        let Config { directory, entropy, design } = config;
        let deliveries = Deliveries::new(directory.clone(), entropy, design);
        Self { directory, retry: design.retry, budget: Budget::full(), deliveries }
    }

    fn claim(&mut self, now: Instant, out: &mut Outbox) {
        let room = limits::ATTEMPTS_MAX.saturating_sub(self.deliveries.len());
        let most = limits::CLAIM_ROWS_MAX.min(room as u32).min(self.allowed(now));
        if most > 0 {
            out.send(self.directory.database, Wire::Claim { most });
        }
    }

    /// How many rows the budget allows, if retries have one.
    fn allowed(&mut self, now: Instant) -> u32 {
        self.budget.earn(self.deliveries.take_delivered());
        let allowed = self.budget.allows(now);
        if self.retry.is_guarded() { allowed } else { u32::MAX }
    }
}

impl Role for Worker {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            // Asking is itself repeated: an answer that never comes costs one poll.
            Event::Booted | Event::Fired(Timer::Poll) => {
                self.claim(now.mono, out);
                out.set_timer(Timer::Poll, limits::WORKER_POLL);
            }
            Event::Received { wire: Wire::Claimed { claims }, .. } => {
                let full = claims.len() == limits::CLAIM_ROWS_MAX as usize;
                self.budget.spend(claims.len() as u32);
                for claim in claims {
                    self.deliveries.begin(claim, out);
                }
                if full {
                    self.claim(now.mono, out);
                }
            }
            other => self.deliveries.step(now, other, out),
        }
    }
}
