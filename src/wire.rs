//! What servers say to each other: the one vocabulary in which roles meet.
//!
//! Questions and answers come in pairs and every answer repeats what it answers, so that a late
//! one can be told from the one that is awaited. Stores speak it too: a Redis, Kafka or Postgres
//! adapter would answer exactly these.

use crate::id::{
    BatchId, ConversationId, DeviceId, HostId, Incarnation, MessageId, Session, Stamp, Term, UserId,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// A message as its sender wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    pub id: MessageId,
    pub conversation: ConversationId,
    /// At most [`crate::limits::BODY_BYTES_MAX`] bytes.
    pub body: Arc<str>,
    /// The message that this one answers, if any.
    pub answers: Option<MessageId>,
}

impl Message {
    pub fn sender(&self) -> UserId {
        self.id.device.user
    }
}

/// A message and its place in the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Entry {
    pub message: Message,
    pub stamp: Stamp,
}

/// What became of a send: the answer that a resend gets again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum SendOutcome {
    Accepted(Stamp),
    Rejected(Rejection),
}

/// A definite no to a send. The message is not stored and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Rejection {
    /// The sender is not a member of the conversation.
    NotAMember,
    /// The body exceeds [`crate::limits::BODY_BYTES_MAX`].
    TooLarge,
    /// The device's own outbox is full; the message was never sent.
    OutboxFull,
}

/// The right to deliver one device's undelivered messages of one conversation, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Claim {
    pub device: DeviceId,
    pub conversation: ConversationId,
    pub term: Term,
    /// Attempts made before this one.
    pub attempts: u32,
    /// The undelivered messages in sequence order; never empty.
    pub entries: Vec<Entry>,
}

/// How a gateway answers an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum OfferOutcome {
    /// The device itself acknowledged everything up to this place.
    Acknowledged(Stamp),
    /// No such connection here: another incarnation, another epoch, or gone. A definite no.
    NotHere,
    /// The connection has as many unacknowledged messages as it may have.
    Busy,
}

/// A change of where a device is connected, as it goes through the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum SessionEvent {
    Opened(Session),
    Closed(Session),
}

impl SessionEvent {
    pub fn session(self) -> Session {
        let (Self::Opened(session) | Self::Closed(session)) = self;
        session
    }
}

/// Everything that one host can say to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Wire {
    // A client's device and the balancer.
    /// Which gateway should this device connect to?
    Place {
        device: DeviceId,
        epoch: u32,
    },
    /// This one, or none is healthy. `epoch` repeats the question's.
    Placed {
        epoch: u32,
        gateway: Option<HostId>,
    },

    // Health.
    /// Are you there? Asked of gateways by the balancer and the monitors.
    Ping {
        nonce: u64,
    },
    Pong {
        nonce: u64,
        incarnation: Incarnation,
        connections: u32,
        /// It takes nobody in any more, and is handing off those it has.
        draining: bool,
    },
    /// Monitor to cleaner: this incarnation has not answered for so long.
    Suspect {
        gateway: HostId,
        incarnation: Incarnation,
        silent_for: Duration,
    },
    /// Cleaner or consumer to gateway: the fleet holds this incarnation of you for dead.
    DeclaredDead {
        incarnation: Incarnation,
    },
    /// The gateway has closed every connection of that incarnation.
    SteppedDown {
        incarnation: Incarnation,
    },

    // A message's way in.
    /// Gateway to router: a device on one of my connections sent this.
    Route {
        session: Session,
        message: Message,
    },
    /// Router to gateway: what became of it.
    Routed {
        session: Session,
        id: MessageId,
        outcome: SendOutcome,
    },
    /// Router to database: the send transaction.
    Append {
        message: Message,
    },
    /// Database to router. `claims` are leased to the router for one attempt each.
    Appended {
        id: MessageId,
        outcome: SendOutcome,
        claims: Vec<Claim>,
    },

    // A message's way out.
    /// Where is this device connected? `conversation` only comes back in the answer.
    Locate {
        device: DeviceId,
        conversation: ConversationId,
    },
    Located {
        device: DeviceId,
        conversation: ConversationId,
        session: Option<Session>,
    },
    /// Router or worker to gateway: put these before the device on this very connection.
    Offer {
        session: Session,
        conversation: ConversationId,
        term: Term,
        entries: Vec<Entry>,
    },
    Offered {
        session: Session,
        conversation: ConversationId,
        term: Term,
        outcome: OfferOutcome,
    },
    /// Under this term the device acknowledged everything up to `upto`.
    Settle {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
        upto: Stamp,
    },
    /// The claim goes on with these entries, or is finished if there are none (or if the term was
    /// not the current one).
    Settled {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
        next: Vec<Entry>,
    },
    /// Give the row back, due again after `retry_after`. An older term is ignored.
    Release {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
        retry_after: Duration,
    },
    /// Worker to database: give me at most `most` due rows.
    Claim {
        most: u32,
    },
    Claimed {
        claims: Vec<Claim>,
    },
    /// Consumer to database: these devices have just become reachable; their rows are due.
    Wake {
        devices: Vec<DeviceId>,
    },

    // Catching up.
    /// Gateway to database: the device holds everything before each `next`. With `all`, also tell
    /// it of every conversation with something undelivered that it did not list.
    CatchUp {
        session: Session,
        next: Vec<(ConversationId, u64)>,
        all: bool,
    },
    /// One page of one conversation. `head` is the last sequence number there is.
    Page {
        session: Session,
        conversation: ConversationId,
        entries: Vec<Entry>,
        head: u64,
    },
    /// Gateway to database: the device acknowledged, outside of any offer.
    Advance {
        device: DeviceId,
        conversation: ConversationId,
        upto: Stamp,
    },
    /// Gateway to database: has any of these devices something undelivered for a while?
    Heads {
        sessions: Vec<Session>,
    },
    /// Yes: this one, in these conversations, up to these sequence numbers.
    Behind {
        session: Session,
        heads: Vec<(ConversationId, u64)>,
    },

    // Registration: gateway, event log, consumer, registry.
    Publish {
        batch: BatchId,
        events: Vec<SessionEvent>,
    },
    /// The batch is durable.
    Published {
        batch: BatchId,
    },
    /// Consumer to log: entries of this partition from this offset. No offset: from where the
    /// group committed.
    Poll {
        partition: u32,
        from: Option<u64>,
        most: u32,
    },
    Polled {
        partition: u32,
        from: u64,
        events: Vec<SessionEvent>,
        /// Where the durable entries end: how far the asker is behind.
        end: u64,
    },
    /// Everything before `next` has been applied.
    Commit {
        partition: u32,
        next: u64,
    },
    Committed {
        partition: u32,
        next: u64,
    },
    /// Consumer to registry. `next` only comes back in the answer.
    Apply {
        partition: u32,
        next: u64,
        events: Vec<SessionEvent>,
    },
    /// Applied by epoch. `displaced` are sessions that lost to a newer one; `dead` are incarnations
    /// that opened a session although they were swept: they do not know that they are dead.
    Applied {
        partition: u32,
        next: u64,
        displaced: Vec<Displacement>,
        dead: Vec<(HostId, Incarnation)>,
    },
    /// Remove exactly this row, if it is still there: its gateway said "not here".
    Evict {
        session: Session,
    },
    /// Remove every row of this gateway up to this incarnation, and refuse new ones.
    Sweep {
        gateway: HostId,
        upto: Incarnation,
    },
    Swept {
        gateway: HostId,
        upto: Incarnation,
        rows: u32,
    },
    /// Consumer to gateway: this session of yours is not the device's current one.
    Displace(Displacement),

    // Presence.
    /// Gateway to presence: heartbeats of these devices arrived.
    Seen {
        devices: Vec<DeviceId>,
    },
}

/// A session that lost to a newer connection of the same device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Displacement {
    pub loser: Session,
    /// The epoch of the connection that won.
    pub winner: u32,
}
