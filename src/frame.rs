//! What a client's device and its gateway say to each other on their connection.
//!
//! A connection is ordered and loses nothing while it lives, and may die without a word at any
//! time. Whatever must survive that is acknowledged here, by the other end's own frame.

use crate::id::{ConversationId, DeviceId, Incarnation, MessageId, Stamp};
use crate::wire::{Entry, Message, SendOutcome};
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
    /// The device holds everything before each `next`: send what follows. With `all`, also what
    /// is undelivered in conversations that it does not list.
    CatchUp {
        next: Vec<(ConversationId, u64)>,
        all: bool,
    },
    Heartbeat,

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
    /// Messages of one conversation in sequence order. `head` is the last sequence number that
    /// the server knows of, so that the device sees what is still missing.
    Deliver {
        conversation: ConversationId,
        entries: Vec<Entry>,
        head: u64,
    },
    HeartbeatAck,
    /// Something undelivered is waiting up to these sequence numbers: an idle device learns of a
    /// hole by this.
    Behind {
        heads: Vec<(ConversationId, u64)>,
    },
    /// A connection of this device with this newer epoch has taken over. A device that does not
    /// know of it has lost its count, and continues above it.
    Displaced {
        winner: u32,
    },
    /// This server is going away or was held for dead: connect elsewhere.
    GoAway,
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
