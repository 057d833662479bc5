//! What roles write to their disks, and what a boot finds there.
//!
//! A disk is a log of records behind an fsync boundary: `Append` hands a record to the operating
//! system, `Sync` asks for durability, and only `Synced` grants it. A crash loses what was not
//! synced; a power cut may also leave the first lost record half written, which a boot sees as
//! [`Disk::torn`] (the checksum of a real log detects it). `boot(disk)` is the only way back.

use crate::id::{
    ConversationId, DeviceId, HostId, Incarnation, MessageId, Place, Session, Stamp, Term,
};
use crate::note::Removal;
use crate::time::Wall;
use crate::wire::{Hole, Mark, Message, SessionEvent};
use serde::Serialize;

/// The durable part of one host's disk, as a booting role finds it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Whole records in the order in which they were appended.
    pub records: Vec<Record>,
    /// A half-written record followed the last whole one. It is gone; the boot says so.
    pub torn: bool,
    /// How often another disk was put in its place: a replica that was promoted, perhaps without
    /// the last records of its primary, or an empty one. Told by whoever does so; PostgreSQL calls
    /// it the timeline.
    pub timeline: u32,
}

/// Boots of one timeline, at most: more than any process starts between two promotions.
const BOOTS_BITS: u32 = 16;

impl Disk {
    /// The number of the boot that finds this: greater than that of every boot before it, also if
    /// their records are gone. Whoever asks whether this is the process that it knew must hear
    /// another number then.
    pub fn boot_number(&self) -> Incarnation {
        let earlier = self.records.iter().filter_map(|record| match record {
            Record::Booted(boot) => Some(boot.0),
            _ => None,
        });
        Incarnation(earlier.max().unwrap_or(0).max(self.timeline << BOOTS_BITS) + 1)
    }
}

/// One durable record. Each role writes only its own kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Record {
    /// Gateway, database, presence, registry: this process has booted; the number of boots so far
    /// is its incarnation.
    Booted(Incarnation),

    /// Client: the epoch of the connection it is about to open.
    ConnectionEpoch(u32),
    /// Client: a message it will send until it is accepted or definitely refused.
    Outgoing(Message),
    /// Client: the message left the outbox: it was accepted in this place, or refused for good.
    Finished { id: MessageId, accepted: Option<Stamp> },
    /// Client: a message it has taken into its own store, and so shows.
    Shown { id: MessageId, conversation: ConversationId, stamp: Stamp },
    /// Client: its person has read everything up to here.
    Read { conversation: ConversationId, upto: Stamp },

    /// Client: it knows why there is nothing at these numbers of this epoch.
    Explained { conversation: ConversationId, epoch: u32, hole: Hole },
    /// Client: it has heard that the sequence is in this epoch.
    HeardOfEpoch(u32),

    /// Database: the send transaction: dedupe record, sequence number, message, pending rows, and
    /// when by its own clock.
    Appended { message: Message, stamp: Stamp, at: Wall },
    /// Database: a device holds everything before `next`.
    Cursor { device: DeviceId, conversation: ConversationId, next: u64 },
    /// Database: a device will not get what is at these numbers.
    Dropped { device: DeviceId, conversation: ConversationId, hole: Hole },
    /// Database: a message that its device could not take, set aside for a person.
    DeadLetter { device: DeviceId, conversation: ConversationId, stamp: Stamp, at: Wall },
    /// Database: a person has dealt with the dead letters so far.
    DeadLettersHandled,
    /// Database: a push has failed; everything from here on is pending.
    Parked { device: DeviceId, conversation: ConversationId, next: u64 },
    /// Database: the sequence is in this epoch from here on.
    Epoch(u32),
    /// Database: numbers up to this one are given away in blocks.
    Reserved { conversation: ConversationId, upto: u64 },
    /// Database: machine ids before this one have been leased.
    MachineLeased { next: u32 },
    /// Database: a member of a conversation is at least as far as this.
    Mark(Mark),

    /// Event log: one entry of one partition.
    Logged { partition: u32, event: SessionEvent },
    /// Event log: a consumer group has applied everything before `next`.
    Committed { partition: u32, next: Place },
    /// Event log: the consumer group has been rebalanced so often.
    Generation(u32),
    /// Event log: whatever the group had committed so far is forgotten.
    OffsetsLost,
    /// Event log: entries from here on are this leader's.
    LeaderEpoch(u32),

    /// Registry: a row, written.
    Row(Session),
    /// Registry: a row, removed, and why.
    RowRemoved { session: Session, why: Removal },
    /// Registry, as a counter: numbers up to this one have been given.
    Counted { conversation: ConversationId, number: u64 },
    /// Registry: an incarnation of a gateway that may never own a row again.
    Swept { gateway: HostId, incarnation: Incarnation },
    /// Registry: the scheduled job was asked for under this term, and under no newer one.
    JobTerm(Term),

    /// Monitor: this incarnation of a gateway has answered.
    Sighted { gateway: HostId, incarnation: Incarnation },
}

impl Record {
    /// Whether a store keeps it apart from its other records, on replicas of its own, so that a
    /// replica that lags with the others has it all the same. Kafka's `__consumer_offsets` is a
    /// topic with leaders of its own: it may know of an entry that the partition has lost.
    pub fn is_kept_apart(&self) -> bool {
        matches!(self, Self::Committed { .. } | Self::Generation(_) | Self::OffsetsLost)
    }
}
