//! One host's clocks: a monotonic one since power-on, and a wall clock that may be wrong.
//!
//! True time exists only in the world. Checkers use true time, roles these.

use courier::time::{Instant, Now, Wall};
use std::time::Duration;

/// When every run begins, on a clock that is right: 2025-01-01 00:00:00 UTC, in nanoseconds.
const WALL_AT_START: i64 = 1_735_689_600_000_000_000;

/// The slowest that a clock may run: half speed, in parts per million.
const DRIFT_PPM_MIN: i64 = -500_000;

#[derive(Clone, Debug)]
pub struct Clock {
    /// True time, in nanoseconds, at which the other fields hold.
    since: u64,
    mono: u64,
    wall: i64,
    /// How much faster than true time both clocks run, in parts per million.
    drift_ppm: i64,
    /// Where the monotonic clock stopped when the host fell asleep.
    stopped: Option<u64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { since: 0, mono: 0, wall: WALL_AT_START, drift_ppm: 0, stopped: None }
    }
}

impl Clock {
    #[inline]
    pub fn read(&self, true_now: u64) -> Now {
        let passed = self.passed(true_now);
        let mono = Instant(self.mono + passed);
        Now { mono, wall: Wall((self.wall + passed as i64).div_euclid(1_000_000)) }
    }

    /// How long a wait of `span` on this clock takes in true time, in nanoseconds. Rounded up: no
    /// timer fires before its time has passed on its own host.
    #[inline]
    pub fn stretch(&self, span: Duration) -> u64 {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        if self.drift_ppm == 0 {
            return nanos;
        }
        let rate = (1_000_000 + self.drift_ppm) as u128;
        u64::try_from((u128::from(nanos) * 1_000_000).div_ceil(rate)).unwrap_or(u64::MAX)
    }

    /// The host was switched on: the monotonic clock begins again, the wall clock has gone on.
    pub fn power_on(&mut self, true_now: u64) {
        self.rebase(true_now);
        self.mono = 0;
        self.stopped = None;
    }

    /// The host falls asleep.
    pub fn stop(&mut self, true_now: u64) {
        self.stopped = Some(self.read(true_now).mono.0);
    }

    /// The host slept until now: its monotonic clock did not count, its wall clock did.
    pub fn go_on(&mut self, true_now: u64) {
        self.rebase(true_now);
        self.mono = self.stopped.take().unwrap_or(self.mono);
    }

    /// Steps the wall clock.
    pub fn step(&mut self, by_nanos: i64) {
        self.wall = self.wall.saturating_add(by_nanos);
    }

    /// Makes both clocks run fast or slow from now on.
    pub fn drift(&mut self, true_now: u64, ppm: i64) {
        self.rebase(true_now);
        self.drift_ppm = ppm.max(DRIFT_PPM_MIN);
    }

    fn rebase(&mut self, true_now: u64) {
        let passed = self.passed(true_now);
        self.mono += passed;
        self.wall += passed as i64;
        self.since = true_now;
    }

    fn passed(&self, true_now: u64) -> u64 {
        let passed = true_now - self.since;
        if self.drift_ppm == 0 {
            return passed;
        }
        let rate = (1_000_000 + self.drift_ppm) as u128;
        (u128::from(passed) * rate / 1_000_000) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_timer_fires_before_its_time_has_passed_on_its_own_clock() {
        for ppm in [-500_000, -50_000, -3, 0, 7, 50_000, 333_333] {
            let mut clock = Clock::default();
            clock.drift(0, ppm);
            for (set_at, span) in [(0, 1), (7, 1), (1_000_003, 1), (5, 999), (11, 10_000_000_007)] {
                let before = clock.read(set_at).mono;
                let after = clock.read(set_at + clock.stretch(Duration::from_nanos(span))).mono;
                assert!(after.since(before) >= Duration::from_nanos(span), "{ppm} {set_at} {span}");
            }
        }
    }

    #[test]
    fn a_clock_that_changes_its_pace_in_its_sleep_has_not_counted_all_the_same() {
        let mut clock = Clock::default();
        clock.stop(1_000);
        clock.drift(2_000, 100_000);
        clock.go_on(12_000);
        assert_eq!(clock.read(12_000).mono, Instant(1_000));
        assert_eq!(clock.read(22_000).mono, Instant(12_000));
        let right = Clock::default().read(12_000).wall;
        assert!(clock.read(12_000).wall >= right, "its wall clock has gone on");
    }

    #[test]
    fn a_fast_clock_fires_early_and_a_step_moves_only_the_wall() {
        let mut clock = Clock::default();
        clock.drift(0, 100_000); // Ten per cent fast.
        let second = 1_000_000_000;
        assert_eq!(clock.read(10 * second).mono, Instant(11 * second));
        assert_eq!(clock.stretch(Duration::from_secs(11)), 10 * second);
        let before = clock.read(10 * second);
        clock.step(-3 * second as i64);
        let after = clock.read(10 * second);
        assert_eq!(after.mono, before.mono);
        assert_eq!(before.wall - after.wall, Duration::from_secs(3));
    }
}
