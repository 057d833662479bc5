//! What a client's device and its gateway say to each other on their connection.
//!
//! A connection is ordered and loses nothing while it lives, and may die without a word at any
//! time. Whatever must survive that is acknowledged here, by the other end's own frame.

use crate::id::{ConversationId, DeviceId, Incarnation, MessageId, Stamp, UserId};
use crate::wire::{Entry, Mark, Message, SendOutcome, Sighting};
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Frame {
    // From the device.
    /// First frame: who this is, and which of its connections.
    Hello {
        device: DeviceId,
        epoch: u32,
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
    /// The handshake is complete.
    Welcome {
        epoch: u32,
        incarnation: Incarnation,
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
    /// What others see of users that the device watches.
    Statuses {
        statuses: Vec<Sighting>,
    },
    /// Marks that have changed; see [`crate::wire::Wire::Marks`].
    Marks {
        upto: u64,
        marks: Vec<Mark>,
    },
}
