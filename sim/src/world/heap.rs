//! The event heap: what happens next, and in which order when two things happen at once.
//!
//! Ties break by a seeded order, not by insertion, so that different seeds explore different
//! schedules of simultaneous events and one seed always the same.

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
    pushed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: u64,
    tie: u64,
    slot: u32,
}

impl<T> Heap<T> {
    pub fn new(ties: Stream) -> Self {
        Self { keys: OctonaryHeap::new(), slots: Vec::new(), free: Vec::new(), ties, pushed: 0 }
    }

    pub fn push(&mut self, at: u64, value: T) {
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
        let tie = self.ties.draw(self.pushed, at);
        self.pushed += 1;
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
        (0..20).for_each(|value| heap.push(7, value));
        heap.push(3, 100);
        std::iter::from_fn(|| heap.pop()).map(|(_, value)| value).collect()
    }

    #[test]
    fn time_comes_first_and_ties_follow_the_seed() {
        assert_eq!(order(1)[0], 100);
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}
