//! Numbers that are not the database's to give: the pure parts of the alternatives to its sequence.
//!
//! Used by routers, which number before they append, and by the database. What a number tells a
//! device depends on who gave it: see [`is_counted`].

use crate::design::Sequence;
use crate::id::DeviceId;
use crate::limits;
use crate::time::Wall;
use std::time::Duration;

/// Whether numbers are 1, 2, 3, so that a device knows from them that it misses something. With
/// the others it knows that one message comes before another, and never that it has all of them:
/// it must show what arrives, when it arrives.
pub fn is_counted(sequence: Sequence) -> bool {
    match sequence {
        Sequence::SingleWriter | Sequence::RedisCounter => true,
        Sequence::Block
        | Sequence::Snowflake
        | Sequence::SnowflakeUnguarded
        | Sequence::Lamport => false,
    }
}

/// The number of a message under Lamport's rule ("Time, Clocks, and the Ordering of Events in a
/// Distributed System", 1978): the writer's clock, ties broken by the writer.
pub fn lamport(clock: u64, writer: DeviceId) -> u64 {
    clock << 32 | u64::from(writer.user.0) << 4 | u64::from(writer.slot & 0xf)
}

/// A device's clock once it has seen this number.
pub fn lamport_seen(clock: u64, number: u64) -> u64 {
    clock.max(number >> 32)
}

/// A maker of ids of 41 bits of milliseconds, 10 of machine and 12 of counter (Twitter, "Announcing
/// Snowflake", 2010).
#[derive(Clone, Copy, Debug)]
pub struct Snowflake {
    machine: u16,
    /// Whether it looks if its clock went back, and waits if so.
    guarded: bool,
    last_ms: u64,
    counter: u64,
}

/// Ids count from here: 2024-01-01, so that 41 bits last until 2093.
const EPOCH_MS: i64 = 1_704_067_200_000;

const COUNTER_BITS: u32 = 12;
const MACHINE_BITS: u32 = 10;

impl Snowflake {
    pub fn new(machine: u16, guarded: bool) -> Self {
        Self { machine: machine % limits::MACHINES as u16, guarded, last_ms: 0, counter: 0 }
    }

    /// The next id at this wall clock, or for how long to wait before asking again.
    pub fn next(&mut self, wall: Wall) -> Result<u64, Duration> {
        let ms = u64::try_from(wall.0 - EPOCH_MS).unwrap_or(0);
        if ms < self.last_ms && self.guarded {
            return Err(Duration::from_millis(self.last_ms - ms));
        }
        if ms == self.last_ms {
            if self.counter + 1 == 1 << COUNTER_BITS {
                return Err(Duration::from_millis(1)); // All of this millisecond's are given.
            }
            self.counter += 1;
        } else {
            (self.last_ms, self.counter) = (ms, 0);
        }
        let machine = u64::from(self.machine) << COUNTER_BITS;
        Ok(ms << (COUNTER_BITS + MACHINE_BITS) | machine | self.counter)
    }
}

/// What is left of a block of numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Block {
    next: u64,
    end: u64,
}

impl Block {
    pub fn new(first: u64, count: u32) -> Self {
        Self { next: first, end: first + u64::from(count) }
    }

    /// The next number, until the block is used up.
    pub fn take(&mut self) -> Option<u64> {
        let number = self.next;
        self.next += u64::from(number < self.end);
        (number < self.end).then_some(number)
    }
}
