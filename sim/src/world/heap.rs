//! The event heap: what happens next, and in which order when two things happen at once.
//!
//! Ties break by a seeded order of the hosts and links concerned, not by insertion, so that
//! different seeds explore different schedules of simultaneous events, one seed always the same,
//! and what happens elsewhere changes none of them.

use crate::seed::Stream;
use dary_heap::OctonaryHeap;
use std::cmp::Reverse;

/// A queue of values by time. The heap itself holds small keys; values wait in slots. Eight
/// children to a node: a million timers make a shallow heap, and a node's children share a line
/// or two of cache.
#[derive(Clone, Debug)]
pub struct Heap<T> {
    keys: OctonaryHeap<Reverse<Key>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    ties: Stream,
    pushed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: u64,
    /// A draw for whom it concerns; among the same, the order of pushing.
    tie: (u32, u32),
    slot: u32,
}

impl<T> Heap<T> {
    pub fn new(ties: Stream) -> Self {
        Self { keys: OctonaryHeap::new(), slots: Vec::new(), free: Vec::new(), ties, pushed: 0 }
    }

    /// `whom` names the host or link that it concerns.
    pub fn push(&mut self, at: u64, whom: u64, value: T) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(value);
                slot
            }
            None => {
                self.slots.push(Some(value));
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 pending events")
            }
        };
        // After 2^32 pushes the count begins again; two of the same host at the same nanosecond,
        // that far apart, do not exist.
        let tie = ((self.ties.draw(whom, at) >> 32) as u32, self.pushed);
        self.pushed = self.pushed.wrapping_add(1);
        self.keys.push(Reverse(Key { at, tie, slot }));
    }

    /// When the next value is due.
    pub fn peek(&self) -> Option<u64> {
        self.keys.peek().map(|Reverse(key)| key.at)
    }

    pub fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse(Key { at, slot, .. }) = self.keys.pop()?;
        self.free.push(slot);
        let value = self.slots[slot as usize].take().expect("a key has a value");
        Some((at, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn order(seed: u64) -> Vec<u32> {
        let mut heap = Heap::new(Seed(seed).stream("heap"));
        (0..20).for_each(|value| heap.push(7, u64::from(value), value));
        heap.push(3, 0, 100);
        std::iter::from_fn(|| heap.pop()).map(|(_, value)| value).collect()
    }

    #[test]
    fn time_comes_first_and_ties_follow_the_seed() {
        assert_eq!(order(1)[0], 100);
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}
