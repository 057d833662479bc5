//! Spread without randomness: a pure function from (entropy, attempt) to a wait.
//!
//! A role may not draw random numbers. Its shell draws one number of entropy at boot and hands it
//! in; every later "random" wait is computed from it, so two roles that wait for the same reason
//! do not wait the same time, and a replay waits exactly as long again.

use std::time::Duration;

/// The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014): every bit of the input
/// reaches every bit of the output.
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A wait between nothing and `most`, evenly spread ("full jitter").
pub fn up_to(most: Duration, entropy: u64, draw: u64) -> Duration {
    let share = mix(entropy ^ mix(draw)) >> 11; // 53 bits.
    let nanos = (most.as_nanos() * u128::from(share)) >> 53;
    Duration::from_nanos(nanos as u64)
}

/// Exponential growth: `base * 2^attempt`, at most `cap`.
pub fn exponential(base: Duration, cap: Duration, attempt: u32) -> Duration {
    base.saturating_mul(1u32.checked_shl(attempt.min(20)).unwrap_or(u32::MAX)).min(cap)
}

/// Exponential backoff with full jitter: between nothing and `base * 2^attempt`, at most `cap`.
///
/// Full jitter rather than equal jitter, because after a server's death tens of thousands of
/// clients start their first attempt at the same moment (Brooker, "Exponential Backoff And
/// Jitter", AWS Architecture Blog, 2015).
pub fn backoff(base: Duration, cap: Duration, attempt: u32, entropy: u64) -> Duration {
    up_to(exponential(base, cap, attempt), entropy, u64::from(attempt))
}
