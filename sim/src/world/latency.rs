//! How long things take: distributions as tables of quantiles.
//!
//! A table instead of a formula, because integers are the same on every machine and a look-up is
//! faster than a logarithm, and because a measured distribution has the same shape as a drawn one.
//! The tables themselves are computed with `libm`, whose results do not depend on the platform.

use std::sync::Arc;
use std::time::Duration;

/// Quantiles per table: enough that the slowest thousandth has entries of its own.
const STEPS: usize = 4096;

/// Nanoseconds at evenly spaced quantiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    table: Arc<[u64]>,
}

impl Latency {
    /// Always the same.
    pub fn constant(span: Duration) -> Self {
        Self { table: Arc::from([span.as_nanos() as u64]) }
    }

    /// Log-normal, given by its median and 99th percentile, as network and disk latencies are.
    pub fn log_normal(median: Duration, p99: Duration) -> Self {
        let median = median.as_nanos().max(1) as f64;
        let ratio = (p99.as_nanos().max(1) as f64 / median).max(1.0);
        let sigma = libm::log(ratio) / quantile(0.99);
        let at = |step: usize| {
            let share = (step as f64 + 0.5) / STEPS as f64;
            libm::round(median * libm::exp(sigma * quantile(share))) as u64
        };
        Self { table: (0..STEPS).map(at).collect() }
    }

    /// The latency that belongs to a drawn number.
    #[inline]
    pub fn pick(&self, draw: u64) -> u64 {
        let at = (u128::from(draw) * self.table.len() as u128) >> 64;
        self.table[at as usize]
    }
}

/// The standard normal quantile: Acklam's rational approximation (relative error below 1.2e-9).
#[expect(clippy::excessive_precision, reason = "as published")]
fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.383577518672690e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 5] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 4] = [
        7.784695709041462e-03,
        3.224671290700398e-01,
        2.445134137142996e+00,
        3.754408661907416e+00,
    ];
    const LOW: f64 = 0.02425;
    let tail = |q: f64| {
        (((((C[0] * q + C[1]) * q + C[2]) * q + C[3]) * q + C[4]) * q + C[5])
            / ((((D[0] * q + D[1]) * q + D[2]) * q + D[3]) * q + 1.0)
    };
    if p < LOW {
        tail(libm::sqrt(-2.0 * libm::log(p)))
    } else if p <= 1.0 - LOW {
        let q = p - 0.5;
        let r = q * q;
        (((((A[0] * r + A[1]) * r + A[2]) * r + A[3]) * r + A[4]) * r + A[5]) * q
            / (((((B[0] * r + B[1]) * r + B[2]) * r + B[3]) * r + B[4]) * r + 1.0)
    } else {
        -tail(libm::sqrt(-2.0 * libm::log(1.0 - p)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_normal_has_the_median_and_the_p99_it_was_given() {
        let latency = Latency::log_normal(Duration::from_millis(40), Duration::from_millis(400));
        let at = |share: f64| latency.pick((share * u64::MAX as f64) as u64) as f64 / 1e6;
        assert!((39.0..41.0).contains(&at(0.5)), "median {}", at(0.5));
        assert!((380.0..420.0).contains(&at(0.99)), "p99 {}", at(0.99));
        assert!(at(0.9999) > at(0.99));
    }
}
