//! Names of things: hosts, users, devices, conversations, messages, places in a sequence.
//!
//! One meaning each. They print the way a trace wants to read them: `u17`, `u17/1`, `m42.3`,
//! `#8`. The names that a person gave (`alice`, `server-7`) live in the testbed's cast.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An address on the simulated network: a server process's host or a client's device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostId(pub u32);

/// A person. One user may own several devices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserId(pub u32);

/// One device of one user; delivery, cursors and connections are per device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId {
    pub user: UserId,
    /// 0 for the first device of a user.
    pub slot: u8,
}

/// A conversation: between two people (their ids are the name) or a numbered group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConversationId(u64);

/// The highest bit tells a group from a pair, so user ids stay below 2^31.
const GROUP: u64 = 1 << 63;

impl ConversationId {
    /// Before every other in order; where a range over conversations begins.
    pub const FIRST: Self = Self(0);

    /// The conversation of two people, the same whoever asks.
    pub fn between(a: UserId, b: UserId) -> Self {
        assert!(a.0 < 1 << 31 && b.0 < 1 << 31, "user ids stay below 2^31");
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        Self(u64::from(low.0) << 32 | u64::from(high.0))
    }

    /// The group with this number.
    pub fn group(number: u32) -> Self {
        Self(GROUP | u64::from(number))
    }

    /// The two people, if this is a conversation between two.
    pub fn pair(self) -> Option<[UserId; 2]> {
        (self.0 & GROUP == 0).then_some([UserId((self.0 >> 32) as u32), UserId(self.0 as u32)])
    }

    /// The group's number, if this is a group.
    pub fn group_number(self) -> Option<u32> {
        (self.0 & GROUP != 0).then_some(self.0 as u32)
    }

    /// A stable number, for choosing a shard.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// The idempotency key of a message: the device that wrote it and that device's own counter,
/// which is kept on the device's disk. A resend carries the same id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    pub device: DeviceId,
    /// From 1, never reused by the device.
    pub counter: u32,
}

/// A message's place in its conversation. `(conversation, epoch, seq)` names one message for ever
/// (I4); a new epoch says that the numbering began again and clients must resynchronise.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Epoch of the sequence, from 1. It changes when the database may have lost numbers.
    pub epoch: u32,
    /// From 1, without holes inside an epoch.
    pub seq: u64,
}

/// One boot of one gateway process, from 1, kept on its disk. Two processes that answer at the
/// same address are told apart by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u32);

/// Where a device is connected, precise enough to fence: the device's own connection epoch, the
/// gateway, and that gateway's incarnation. A registry row is a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    pub device: DeviceId,
    /// Counts this device's connections; the device persists it before it connects.
    pub epoch: u32,
    pub gateway: HostId,
    pub incarnation: Incarnation,
}

/// The term of a lease on a pending row. Later leases have greater terms, also across a restart
/// of the database (the high half is its boot number).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Term(pub u64);

impl Term {
    /// Of an attempt at a row that nobody has leased, or that does not exist.
    pub const UNLEASED: Self = Self(0);
}

/// A batch of session events that a gateway publishes. The incarnation is part of it, so that an
/// answer to an earlier boot's batch does not fit this one's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchId {
    pub incarnation: Incarnation,
    pub number: u32,
}

/// A place in a partition of the event log: everything before it has been read. An offset alone
/// does not say of which entries, once a leader has lost some and given their offsets to others.
/// Of two places in one log the greater is the later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The epoch of the leader that wrote the entry before this place (Kafka's leader epoch).
    pub epoch: u32,
    /// Entries before this place.
    pub offset: u64,
}

impl Place {
    /// Where every partition begins, under its first leader.
    pub const START: Self = Self { epoch: 1, offset: 0 };
}

/// A connection between a client's device and a gateway, named by who opened it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId {
    pub opener: HostId,
    /// The opener's own number for it; the opener never reuses one.
    pub number: u32,
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h{}", self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u{}", self.0)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            0 => write!(f, "{}", self.user),
            slot => write!(f, "{}/{slot}", self.user),
        }
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pair(), self.group_number()) {
            (Some([a, b]), _) => write!(f, "{a}~{b}"),
            (None, Some(number)) => write!(f, "g{number}"),
            (None, None) => unreachable!("a conversation is a pair or a group"),
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}.{}", self.device.user.0, self.counter)?;
        if self.device.slot > 0 { write!(f, "/{}", self.device.slot) } else { Ok(()) }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            1 => write!(f, "#{}", self.seq),
            epoch => write!(f, "#{}@{epoch}", self.seq),
        }
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Session { device, epoch, gateway, incarnation } = self;
        write!(f, "{device} e{epoch} at {gateway} {incarnation}")
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}.{}", self.0 >> 32, self.0 as u32)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}.{}", self.opener.0, self.number)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            1 => write!(f, "{}", self.offset),
            epoch => write!(f, "{}@{epoch}", self.offset),
        }
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}.{}", self.incarnation.0, self.number)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{}", self.0)
    }
}

/// Ids look the same in a debug print, so that a trace of whole events stays readable.
macro_rules! debug_as_display {
    ($($id:ty),*) => {$(
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

debug_as_display!(
    HostId,
    UserId,
    DeviceId,
    ConversationId,
    MessageId,
    Stamp,
    Incarnation,
    BatchId,
    Place,
    Session,
    Term,
    ConnId
);
