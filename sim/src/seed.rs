//! The seed of a run, and the named, keyed streams that come from it.
//!
//! Nothing here remembers how often it was asked. A draw inside a run is a pure function of
//! (seed, stream name, key), so taking one fault out of a plan changes only what that fault caused:
//! every other message keeps its latency. Whole generators are handed out only to what writes
//! plans.

use courier::jitter::mix;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use xxhash_rust::xxh3::xxh3_64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

/// A named source of numbers: `seed.stream("net.latency")`.
#[derive(Clone, Copy, Debug)]
pub struct Stream(u64);

impl Seed {
    pub fn stream(self, name: &str) -> Stream {
        Stream(mix(self.0) ^ xxh3_64(name.as_bytes()))
    }

    /// A generator for writing part of a plan.
    pub fn generator(self, name: &str, key: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.stream(name).draw(key, 0))
    }
}

impl Stream {
    /// The number that belongs to this key, always the same.
    #[inline]
    pub fn draw(self, key: u64, instant: u64) -> u64 {
        mix(mix(self.0 ^ mix(key)) ^ instant)
    }
}
