//! Where a consumer goes on when it cannot go on where it was.
//!
//! Either the log's leader does not have what was read before the place (it was promoted without
//! the last entries of its predecessor), or the group has no place, since what it had committed is
//! forgotten. In the first case both sides know the last entry that they share, and nothing else is
//! right: what follows there was never read, whatever its offset (KIP-320). Only in the second does
//! the design choose, as `auto.offset.reset` does: everything is applied by epoch, so to read it
//! again from the beginning changes nothing but the load, and to begin at the end skips whatever
//! was waiting.

use super::{Consumer, Owned, Stage};
use crate::design::OffsetReset;
use crate::id::Place;
use crate::node::Outbox;
use crate::note::Note;

impl Consumer {
    /// The group has no place in a partition that has entries up to `end`.
    pub(super) fn unplaced(&mut self, partition: u32, end: Place, out: &mut Outbox) {
        let to = match self.config.design.offset_reset {
            OffsetReset::Earliest => Place::START,
            OffsetReset::Latest => end,
        };
        if self.stands(partition, |from| from.is_none()) {
            out.note(Note::OffsetReset { partition, to: to.offset, end: end.offset });
            self.go_on(partition, to, out);
        }
    }

    /// What was read before `from` is not what the log has; they part at `at`.
    pub(super) fn diverged(&mut self, partition: u32, from: Place, at: Place, out: &mut Outbox) {
        if self.stands(partition, |asked| asked.is_none_or(|asked| asked == from)) {
            let (next, at_offset) = (from.offset, at.offset);
            out.note(Note::LogDiverged { partition, next, at: at_offset });
            self.go_on(partition, at, out);
        }
    }

    /// Whether this partition waits for entries from such a place; what else is answered is the
    /// answer to an earlier try.
    fn stands(&self, partition: u32, at: impl FnOnce(Option<Place>) -> bool) -> bool {
        self.partitions.get(&partition).is_some_and(|owned| match owned.stage {
            Stage::Polling { from } => at(from),
            _ => false,
        })
    }

    fn go_on(&mut self, partition: u32, at: Place, out: &mut Outbox) {
        self.partitions.insert(partition, Owned::from(Some(at)));
        self.ask(partition, out);
    }
}
