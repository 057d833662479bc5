//! One host's disk: a log of records behind an fsync boundary.

use courier::disk::{Disk, Record};

#[derive(Clone, Debug, Default)]
pub struct Platter {
    /// Survives everything but the loss of the disk.
    durable: Disk,
    /// Handed to the operating system, not yet durable.
    pending: Vec<Record>,
    /// Records of this boot that are durable; `Synced` counts these.
    synced: u64,
}

impl Platter {
    pub fn append(&mut self, record: Record) {
        self.pending.push(record);
    }

    /// How many records of this boot a sync that begins now will make durable.
    pub fn appended(&self) -> u64 {
        self.synced + self.pending.len() as u64
    }

    /// A sync completed that covered the first `records` of this boot. Returns how many of them
    /// are durable now: syncs may complete out of order.
    pub fn sync(&mut self, records: u64) -> u64 {
        let count = records.saturating_sub(self.synced) as usize;
        self.durable.records.extend(self.pending.drain(..count));
        self.synced += count as u64;
        self.synced
    }

    /// The process died: what was not synced is gone.
    pub fn crash(&mut self) {
        self.pending.clear();
    }

    /// The power went: likewise, and the first lost record may be half written.
    pub fn power_cut(&mut self, tears: bool) {
        self.durable.torn = tears && !self.pending.is_empty();
        self.pending.clear();
    }

    /// The disk was lost.
    pub fn wipe(&mut self) {
        *self = Self::default();
    }

    /// What a boot finds. A torn record is found once: the boot truncates it.
    pub fn boot(&mut self) -> Disk {
        self.synced = 0;
        let found = self.durable.clone();
        self.durable.torn = false;
        found
    }

    /// Durable records, for tests and reports.
    pub fn records(&self) -> &[Record] {
        &self.durable.records
    }
}
