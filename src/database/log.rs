//! A conversation's log: its messages by number, and where each epoch of its sequence began.
//!
//! Only what readers may see is in it. It never gives a number: that is [`super::numbers`].

use super::Database;
use crate::design::Sequence;
use crate::id::{ConversationId, DeviceId, MessageId, Stamp};
use crate::limits;
use crate::node::Outbox;
use crate::note::Note;
use crate::time::Wall;
use crate::wire::{Batch, Entry, Hole, HoleReason, Message};
use std::collections::BTreeMap;

/// A message in its place, and when it was accepted by the database's own clock.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub entry: Entry,
    pub at: Wall,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// In sequence order.
    stored: Vec<Stored>,
    /// The last number that was given away, whether or not anything has it yet.
    pub allocated: u64,
    /// The last number that a message has, visible or not.
    pub placed: u64,
    /// The last message of each author.
    authors: BTreeMap<DeviceId, u32>,
    /// Where each epoch after the first began.
    epochs: Vec<(u32, u64)>,
}

impl Log {
    /// The last number that readers see; 0 if there is none.
    pub fn head(&self) -> u64 {
        self.stored.last().map_or(0, |stored| stored.entry.stamp.seq)
    }

    /// Everything from this number on.
    pub fn from(&self, next: u64) -> &[Stored] {
        // With a single writer a number's position is known; with other numbers it is near the end.
        let guess = (next.saturating_sub(1) as usize).min(self.stored.len());
        let fits = |at: usize| {
            at.checked_sub(1).is_none_or(|before| self.stored[before].entry.stamp.seq < next)
                && self.stored.get(at).is_none_or(|first| first.entry.stamp.seq >= next)
        };
        let first = match fits(guess) {
            true => guess,
            false => self.stored.partition_point(|stored| stored.entry.stamp.seq < next),
        };
        &self.stored[first..]
    }

    /// Whether its author has written later messages here.
    pub fn is_past(&self, id: MessageId) -> bool {
        self.authors.get(&id.device).is_some_and(|latest| id.counter <= *latest)
    }

    /// Its author has written this one, whether or not readers see it yet.
    pub fn goes_past(&mut self, id: MessageId) {
        let latest = self.authors.entry(id.device).or_default();
        *latest = id.counter.max(*latest);
    }

    fn insert(&mut self, stored: Stored) {
        let seq = stored.entry.stamp.seq;
        let at = self.stored.partition_point(|other| other.entry.stamp.seq <= seq);
        self.goes_past(stored.entry.message.id);
        self.stored.insert(at, stored);
        self.allocated = self.allocated.max(seq);
        self.placed = self.placed.max(seq);
    }

    /// From which number on what has a stamp of this epoch belongs to a history that is gone.
    fn void_from(&self, epoch: u32) -> Option<u64> {
        self.epochs.iter().filter(|(later, _)| *later > epoch).map(|(_, began)| *began).min()
    }
}

impl Database {
    pub(super) fn log_mut(&mut self, conversation: ConversationId) -> &mut Log {
        let epoch = self.epoch();
        self.logs.entry(conversation).or_insert_with(|| Log {
            epochs: if epoch > 1 { vec![(epoch, 1)] } else { Vec::new() },
            ..Log::default()
        })
    }

    /// Readers see this message from now on.
    pub(super) fn commit(&mut self, message: Message, stamp: Stamp, at: Wall) {
        let log = self.log_mut(message.conversation);
        log.insert(Stored { entry: Entry { message, stamp }, at });
    }

    pub(super) fn head(&self, conversation: ConversationId) -> Stamp {
        let seq = self.logs.get(&conversation).map_or(0, Log::head);
        Stamp { epoch: self.epoch(), seq }
    }

    /// A batch with nothing in it.
    pub(super) fn nothing(&self, conversation: ConversationId) -> Batch {
        Batch { head: self.head(conversation), ..Batch::default() }
    }

    /// What there is from `next` on without what is in `dropped`, as much as fits one batch.
    pub(super) fn batch(&self, conversation: ConversationId, next: u64, dropped: &[Hole]) -> Batch {
        let mut batch = self.nothing(conversation);
        let Some(log) = self.logs.get(&conversation) else { return batch };
        let covered = |seq: u64| dropped.iter().any(|hole| (hole.from..=hole.upto).contains(&seq));
        let kept = log.from(next).iter().filter(|stored| !covered(stored.entry.stamp.seq));
        batch.entries = kept.take(limits::BATCH_ENTRIES_MAX).map(|s| s.entry.clone()).collect();
        if self.config.design.sequence == Sequence::RedisCounter {
            batch.holes = unused(next, &batch.entries, dropped);
        }
        batch
    }

    /// The sequence begins again after the last number that is left of the earlier epoch.
    pub(super) fn begin_epoch(&mut self) {
        let epoch = self.epoch();
        for log in self.logs.values_mut() {
            let began = log.head() + 1;
            log.allocated = log.head();
            log.placed = log.head();
            log.epochs.push((epoch, began));
        }
        self.marks.begin_epoch(self.timeline);
    }

    pub(super) fn state_epochs(&self, out: &mut Outbox) {
        for (conversation, log) in &self.logs {
            if let Some((epoch, from)) = log.epochs.last().copied() {
                out.note(Note::EpochBegan { conversation: *conversation, epoch, from });
            }
        }
    }

    /// The number after a place, or the place itself (`plus` 1 or 0), for a device that may live in
    /// an earlier epoch: what it holds of the void part does not count.
    pub(super) fn in_this_epoch(
        &self,
        conversation: ConversationId,
        place: Stamp,
        plus: u64,
    ) -> u64 {
        let next = place.seq.saturating_add(plus).max(1);
        match self.void_from(conversation, place.epoch) {
            Some(void) => next.min(void),
            None => next,
        }
    }

    pub(super) fn void_from(&self, conversation: ConversationId, epoch: u32) -> Option<u64> {
        if epoch >= self.epoch() {
            return None;
        }
        // Nothing is left of a conversation without a log.
        self.logs.get(&conversation).map_or(Some(1), |log| log.void_from(epoch))
    }
}

/// Numbers that a counter gave and nothing has. A reader cannot know whether something is still on
/// its way there: this takes it that nothing is, as systems with such numbers do.
fn unused(next: u64, entries: &[Entry], dropped: &[Hole]) -> Vec<Hole> {
    let mut holes = Vec::new();
    let mut expected = next;
    for Entry { stamp, .. } in entries {
        let told = dropped.iter().any(|hole| hole.from <= stamp.seq && hole.upto >= expected);
        if stamp.seq > expected && !told {
            let (from, upto) = (expected, stamp.seq - 1);
            holes.push(Hole { from, upto, why: HoleReason::Unused });
        }
        expected = stamp.seq + 1;
    }
    holes
}
