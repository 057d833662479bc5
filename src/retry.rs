//! How long one waits before trying again: the choice `retry`, in one place.
//!
//! Devices that reconnect, rows that could not be delivered and breakers that cool off all ask
//! here, so that a design is the same everywhere. Pure: what looks like chance comes from the
//! entropy that the caller was given at boot.

use crate::design::Retry;
use crate::jitter;
use std::time::Duration;

impl Retry {
    /// The wait before the next attempt, after `attempt` (from 0) have failed since the last
    /// success. Never more than `cap`.
    ///
    /// - `BackoffFullJitter`: anything up to an exponentially growing limit. Whoever failed at the
    ///   same moment comes back spread out, the more so the longer it lasts.
    /// - `Immediate`: at once, as a reconnect in the `onclose` handler or a queue that puts a
    ///   rejected job back at its head (`basic.nack` with `requeue`) does. A real client spins no
    ///   faster than its attempts take: here a device still needs its disk and a round trip to
    ///   the balancer, and a row waits for the worker's next question.
    /// - `Fixed`: always `base`. The fleet that one server lost together knocks together, again
    ///   and again, and keeps doing so as fast after an hour as after a second.
    /// - `BackoffNoJitter`: exponentially longer, everybody alike: the waves come more seldom and
    ///   are as high as ever.
    /// - `BreakerNeverCloses` waits as the sound one does; it differs in [`Retry::cool_off`].
    pub fn wait(self, base: Duration, cap: Duration, attempt: u32, entropy: u64) -> Duration {
        match self {
            Retry::BackoffFullJitter | Retry::BreakerNeverCloses => {
                jitter::backoff(base, cap, attempt, entropy)
            }
            Retry::Immediate => Duration::ZERO,
            Retry::Fixed => base.min(cap),
            Retry::BackoffNoJitter => jitter::exponential(base, cap, attempt),
        }
    }

    /// How long a breaker that has opened for the `trip`-th time in a row (from 0) stays open
    /// before it lets a probe through; none if it never does.
    ///
    /// Half of it is certain: a breaker must not half-open at once, whatever it draws. The other
    /// half is spread, so that all who lost the same gateway do not probe it together. A breaker
    /// without a half-open state is what one gets from counting failures and resetting the count
    /// on success: nothing passes any more, so nothing can succeed, until somebody restarts it.
    pub fn cool_off(
        self,
        base: Duration,
        cap: Duration,
        trip: u32,
        entropy: u64,
    ) -> Option<Duration> {
        let half = jitter::exponential(base, cap, trip) / 2;
        match self {
            Retry::BreakerNeverCloses => None,
            _ => Some(half + jitter::up_to(half, entropy, u64::from(trip))),
        }
    }

    /// Whether retries are held back by a budget and a breaker, as well as by their waits.
    pub fn is_guarded(self) -> bool {
        match self {
            Retry::BackoffFullJitter | Retry::BreakerNeverCloses => true,
            Retry::Immediate | Retry::Fixed | Retry::BackoffNoJitter => false,
        }
    }
}
