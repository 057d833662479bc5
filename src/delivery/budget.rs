//! A retry budget: how many fruitless attempts a worker may make.
//!
//! A token bucket. Every claimed row takes one token; an attempt that delivers gives its token back
//! and a tenth of another one, and time adds a few. So a backlog whose devices are there drains as
//! fast as it can, while attempts that lead nowhere are a share of those that do, plus a floor.
//! Without it a failure makes load and load makes failures: retries multiply by what they cost
//! (Brooker, "Timeouts, retries, and backoff with jitter", Amazon Builders' Library, 2019).

use crate::limits;
use crate::time::Instant;

/// Counts in nanoseconds: a token is what the floor adds in `1 s / RETRY_TOKENS_PER_S`.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    saved: u64,
    counted_at: Instant,
}

/// Nanoseconds in which the floor adds one token.
const TOKEN: u64 = 1_000_000_000 / limits::RETRY_TOKENS_PER_S as u64;

const SAVED_MAX: u64 = limits::RETRY_TOKENS_MAX as u64 * TOKEN;

impl Budget {
    /// Untouched: all of its tokens are there.
    pub fn full() -> Self {
        Self { saved: SAVED_MAX, counted_at: Instant(0) }
    }

    /// How many attempts may begin now.
    pub fn allows(&mut self, now: Instant) -> u32 {
        self.add(now.0.saturating_sub(self.counted_at.0));
        self.counted_at = self.counted_at.max(now);
        (self.saved / TOKEN) as u32
    }

    /// This many rows were claimed. They may be more than were allowed when their claim comes in
    /// late; then the next ones wait longer, down to nothing and no further.
    pub fn spend(&mut self, attempts: u32) {
        self.saved = self.saved.saturating_sub(u64::from(attempts) * TOKEN);
    }

    /// This many attempts delivered: they were no waste, and earn a share of one that may be.
    pub fn earn(&mut self, delivered: u32) {
        let each = TOKEN + TOKEN / u64::from(limits::RETRY_EARNED_BY);
        self.add(u64::from(delivered) * each);
    }

    fn add(&mut self, nanos: u64) {
        self.saved = self.saved.saturating_add(nanos).min(SAVED_MAX);
    }
}
