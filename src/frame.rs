//! What a client's device and its gateway say to each other on their connection.
//!
//! A connection is ordered and loses nothing while it lives, and may die without a word at any
//! time. Whatever must survive that is acknowledged here, by the other end's own frame.

use crate::id::{ConversationId, DeviceId, Incarnation, MessageId, Stamp, UserId};
use crate::wire::{Batch, Mark, Message, SendOutcome, Sighting};
use serde::Serialize;
use std::time::Duration;

/// The oldest version of the protocol that is still spoken.
pub const PROTOCOL_OLDEST: u8 = 1;

/// The newest one. A deploy brings servers here one at a time and people's phones follow when they
/// like, so both are always alive; two ends speak the lower of theirs.
pub const PROTOCOL_NEWEST: u8 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Frame {
    // From the device.
    /// First frame: who this is, which of its connections, and the newest version of the protocol
    /// that it speaks.
    Hello {
        device: DeviceId,
        epoch: u32,
        protocol: u8,
    },
    /// Send this; sent again under the same id until answered.
    Send(Message),
    /// Everything up to here is in the device's own store.
    Ack {
        conversation: ConversationId,
        upto: Stamp,
    },
    /// The device holds everything before each `next` and has heard of this epoch of the sequence:
    /// send what follows. With `all`, also what is undelivered in conversations that it does not
    /// list.
    CatchUp {
        epoch: u32,
        next: Vec<(ConversationId, Stamp)>,
        all: bool,
    },
    /// The device holds everything before `next` and was told that the rest is not whole.
    FullSync {
        conversation: ConversationId,
        next: Stamp,
    },
    /// The device holds everything before this place and cannot take what is there.
    Reject {
        conversation: ConversationId,
        at: Stamp,
    },
    Heartbeat,
    /// Tell me what others see of these users, now and whenever it changes. Replaces what was
    /// watched before. A device that never asks is never told.
    Watch {
        users: Vec<UserId>,
    },
    /// The device's person has read everything up to here; sent again until the user's own mark
    /// comes back.
    Read {
        conversation: ConversationId,
        upto: Stamp,
    },
    /// The device knows every change of marks up to this version: tell it of newer ones. A device
    /// that never asks is never told.
    MarksAfter {
        version: u64,
    },

    // From the gateway.
    /// The handshake is complete. From now on both speak this version.
    Welcome {
        epoch: u32,
        incarnation: Incarnation,
        protocol: u8,
    },
    /// What became of a send.
    Outcome {
        id: MessageId,
        outcome: SendOutcome,
    },
    /// A stretch of one conversation. Its head tells the device what is still missing.
    Deliver {
        conversation: ConversationId,
        batch: Batch,
    },
    /// Some of what the device asked for is not kept any more.
    Truncated {
        conversation: ConversationId,
    },
    /// The sequence began again: this is its epoch now.
    Renumbered {
        epoch: u32,
    },
    HeartbeatAck,
    /// Something undelivered is waiting up to these sequence numbers: an idle device learns of a
    /// hole by this.
    Behind {
        heads: Vec<(ConversationId, Stamp)>,
    },
    /// A connection of this device with this newer epoch has taken over. A device that does not
    /// know of it has lost its count, and continues above it.
    Displaced {
        winner: u32,
    },
    /// This server is going away or was held for dead: connect elsewhere.
    GoAway,
    /// What others see of users that the device watches.
    Statuses {
        statuses: Vec<Sighting>,
    },
    /// Marks that have changed; see [`crate::wire::Wire::Marks`].
    Marks {
        upto: u64,
        marks: Vec<Mark>,
    },
    /// More devices come than this server takes in: ask the balancer again, but not before this
    /// long. Since version 2; before, the connection was closed without a word.
    Busy {
        retry_after: Duration,
    },
}

impl Frame {
    /// The first version of the protocol that knows this frame.
    pub fn since(&self) -> u8 {
        match self {
            Frame::Busy { .. } => 2,
            _ => PROTOCOL_OLDEST,
        }
    }
}
