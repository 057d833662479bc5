//! One partition: its entries, which leader wrote each of them, and where its group goes on.
//!
//! It knows where the epoch of each leader began (Kafka's leader-epoch cache), and so whether
//! somebody who has read up to a place has read what is here (KIP-101, KIP-320). It decides nothing
//! about who may read or commit.

use crate::id::{HostId, Place};
use crate::wire::SessionEvent;

#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    events: Vec<SessionEvent>,
    /// How many entries are durable; only these are read.
    durable: u64,
    /// Where each leader after the first began.
    epochs: Vec<(u32, u64)>,
    /// Where the consumer group goes on. None if it has never committed, or that is forgotten.
    pub committed: Option<Place>,
    /// A poll that found nothing, answered when there is something.
    pub waiting: Option<Waiting>,
}

/// A poll that is held. A later one takes its place: its asker has given the earlier one up. It is
/// forgotten with its generation: what comes then is for the partition's next owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub who: HostId,
    pub generation: u32,
    pub from: Place,
    pub most: u32,
}

/// Entries that one leader wrote.
pub(super) struct Read {
    pub events: Vec<SessionEvent>,
    pub epoch: u32,
}

impl Partition {
    pub fn append(&mut self, event: SessionEvent) {
        self.events.push(event);
    }

    /// The next entry is durable.
    pub fn grow(&mut self) {
        self.durable += 1;
    }

    /// What is appended from now on is this leader's.
    pub fn begin_epoch(&mut self, epoch: u32) {
        self.epochs.push((epoch, self.events.len() as u64));
    }

    /// Where its durable entries end.
    pub fn end(&self) -> Place {
        self.place_at(self.durable)
    }

    /// The place before this entry, by what is here.
    fn place_at(&self, offset: u64) -> Place {
        let before = self.epochs.partition_point(|(_, start)| *start < offset);
        let epoch = before.checked_sub(1).map_or(Place::START.epoch, |last| self.epochs[last].0);
        Place { epoch, offset }
    }

    /// Where somebody who has read up to a place must go on, if not there: at the end of what that
    /// leader, or the last before it that is known here, has left. Otherwise none.
    pub fn parted_from(&self, place: Place) -> Option<Place> {
        let later = self.epochs.iter().find(|(epoch, _)| *epoch > place.epoch);
        let shared = later.map_or(self.durable, |(_, start)| *start);
        (place.offset > shared).then(|| self.place_at(shared))
    }

    /// At most so many entries from an offset, all of one leader; none if there are none.
    pub fn read(&self, from: u64, most: u32) -> Option<Read> {
        let later = self.epochs.iter().find(|(_, start)| *start > from);
        let leaders_end = later.map_or(self.durable, |(_, start)| *start);
        let end = (from + u64::from(most)).min(leaders_end).min(self.durable);
        let events = self.events.get(from as usize..end as usize)?.to_vec();
        let epoch = self.place_at(from + 1).epoch;
        (!events.is_empty()).then_some(Read { events, epoch })
    }
}
