//! One host's disk: a log of records behind an fsync boundary.

use courier::disk::{Disk, Record};

#[derive(Clone, Debug, Default)]
pub struct Platter {
    /// Everything appended; the first `durable` survive.
    records: Vec<Record>,
    durable: usize,
    /// Records that the present boot found; `Synced` counts those after them.
    found: usize,
    /// So many are on this disk, although whoever waits for a replica has not been told.
    flushed: usize,
    /// A half-written record follows the durable ones.
    torn: bool,
    /// How often a replica was promoted in its place.
    timeline: u32,
    /// For a disk with a replica: when how many records had become durable.
    synced: Vec<(u64, usize)>,
    /// Whether a crash may leave some of what was not synced.
    keeps_tail: bool,
}

/// One crash in so many leaves some of what was not synced.
const TAIL_SURVIVES_ONE_IN: u64 = 2;

impl Platter {
    pub fn append(&mut self, record: Record) {
        // A phone writes a handful, and there are a million of them.
        if self.records.len() == self.records.capacity() && self.records.len() < 8 {
            self.records.reserve_exact(2);
        }
        self.records.push(record);
    }

    /// How many records of this boot a sync that begins now will make durable.
    pub fn appended(&self) -> u64 {
        (self.records.len() - self.found) as u64
    }

    /// A sync completed that covered the first `records` of this boot. Returns how many of them
    /// are durable now: syncs may complete out of order.
    pub fn sync(&mut self, records: u64, replicated_at: Option<u64>) -> u64 {
        self.durable = self.durable.max(self.found + records as usize);
        self.synced.extend(replicated_at.map(|at| (at, self.durable)));
        (self.durable - self.found) as u64
    }

    /// The first `records` of this boot are on this disk, and are not durable until a replica has
    /// them too. A boot from this disk finds them (PostgreSQL flushes, and then waits).
    pub fn flush(&mut self, records: u64) {
        self.flushed = self.flushed.max(self.found + records as usize);
    }

    /// The process died. What was not synced is gone, or some of it is not: it was in the kernel's
    /// cache, which may have written any beginning of it by itself. `tail` chooses how much.
    pub fn crash(&mut self, tail: u64) {
        self.lose_tail(tail);
    }

    fn lose_tail(&mut self, tail: u64) {
        self.durable = self.durable.max(std::mem::take(&mut self.flushed));
        if tail.is_multiple_of(TAIL_SURVIVES_ONE_IN) && self.keeps_tail {
            let unsynced = self.records.len() - self.durable;
            self.durable += (tail / TAIL_SURVIVES_ONE_IN) as usize % (unsynced + 1);
        }
        self.records.truncate(self.durable);
    }

    /// Everything is gone. What is put in its place is known to be another.
    pub fn wipe(&mut self) {
        *self =
            Self { timeline: self.timeline + 1, keeps_tail: self.keeps_tail, ..Self::default() };
    }

    /// From now on a crash may leave some of what was not synced.
    pub fn keep_tail(&mut self) {
        self.keeps_tail = true;
    }

    /// The power went: likewise, and the first lost record may be half written.
    pub fn power_cut(&mut self, tears: bool, tail: u64) {
        let appended = self.records.len();
        self.lose_tail(tail);
        self.torn = tears && appended > self.durable;
    }

    /// A replica takes over that had only what was durable `until` then, and all of what is kept
    /// apart.
    pub fn promote(&mut self, until: u64) {
        self.flushed = 0;
        let known = self.synced.partition_point(|(at, _)| *at <= until);
        self.durable = known.checked_sub(1).map_or(0, |last| self.synced[last].1);
        self.synced.truncate(known);
        let lost = self.records.split_off(self.durable);
        self.records.extend(lost.into_iter().filter(Record::is_kept_apart));
        self.durable = self.records.len();
        self.timeline += 1;
    }

    /// What a boot finds. A torn record is found once: the boot truncates it.
    pub fn boot(&mut self) -> Disk {
        self.found = self.durable;
        let torn = std::mem::take(&mut self.torn);
        Disk { records: self.records.clone(), torn, timeline: self.timeline }
    }

    /// Durable records, for tests and reports.
    pub fn records(&self) -> &[Record] {
        &self.records[..self.durable]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use courier::id::Place;

    fn logged(epoch: u32) -> Record {
        Record::LeaderEpoch(epoch)
    }

    #[test]
    fn a_replica_lacks_what_it_lagged_behind_and_nothing_of_what_is_kept_apart() {
        let mut platter = Platter::default();
        let committed = Record::Committed { partition: 0, next: Place { epoch: 1, offset: 3 } };
        for (at, record) in [logged(2), logged(3), committed.clone(), logged(4)].iter().enumerate()
        {
            platter.append(record.clone());
            platter.sync(at as u64 + 1, Some(at as u64));
        }
        platter.promote(0);
        assert_eq!(platter.records(), [logged(2), committed.clone()]);
        let disk = platter.boot();
        assert_eq!((disk.records.len(), disk.timeline), (2, 1));
        platter.append(logged(5));
        platter.sync(1, Some(9));
        platter.promote(9);
        assert_eq!(platter.records(), [logged(2), committed, logged(5)]);
        assert_eq!(platter.boot().timeline, 2);
    }
}
