//! What servers say to each other: the one vocabulary in which roles meet.
//!
//! Questions and answers come in pairs and every answer repeats what it answers, so that a late
//! one can be told from the one that is awaited. Stores speak it too: a Redis, Kafka or Postgres
//! adapter would answer exactly these.

use crate::id::{
    BatchId, ConversationId, DeviceId, HostId, Incarnation, MessageId, Place, Session, Stamp, Term,
    UserId,
};
use crate::note::Status;
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
    /// The device's Lamport clock when it wrote this: greater than any number that it had seen.
    pub clock: u64,
}

impl Message {
    pub fn sender(&self) -> UserId {
        self.id.device.user
    }

    /// Whether a device can make anything of it. A body with a NUL in it stands for every payload
    /// that its recipient's decoder refuses: a bad ciphertext, an unknown kind of content.
    pub fn is_readable(&self) -> bool {
        !self.body.contains('\0')
    }
}

/// A message and its place in the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Entry {
    pub message: Message,
    pub stamp: Stamp,
}

/// Numbers of a conversation at which a device will never get a message, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Hole {
    pub from: u64,
    /// The last of them.
    pub upto: u64,
    pub why: HoleReason,
}

/// Why there is no message at a number. Only the first three are drops: a message was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoleReason {
    /// The device had as much pending as it may have, and this was the oldest.
    Depth,
    /// It had been pending for longer than messages are kept.
    Expired,
    /// The device could not take it; it is among the dead letters.
    Poison,
    /// The number was drawn and never used.
    Unused,
    /// The sequence began again before this number; whatever had it is gone.
    Renumbered,
}

/// A stretch of one conversation as it is handed to a device: messages in sequence order, and the
/// holes among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Batch {
    pub entries: Vec<Entry>,
    pub holes: Vec<Hole>,
    /// The last place that whoever made the batch knows of; its epoch is the sequence's.
    pub head: Stamp,
    /// For a device that lives in an earlier epoch of the sequence: what it holds from this number
    /// on belongs to a history that is gone.
    pub renumbered: Option<u64>,
}

impl Batch {
    /// Nothing to tell a device.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.holes.is_empty() && self.renumbered.is_none()
    }

    /// The place that it begins with. An empty batch has none; it begins at its head.
    pub fn first(&self) -> Stamp {
        let entry = self.entries.first().map(|entry| entry.stamp.seq);
        let hole = self.holes.first().map(|hole| hole.from);
        let seq = entry.into_iter().chain(hole).min().unwrap_or(self.head.seq);
        Stamp { seq, ..self.head }
    }

    /// The last place that it says something about: what its acknowledgement covers.
    pub fn upto(&self) -> Stamp {
        let entry = self.entries.last().map(|entry| entry.stamp.seq);
        let hole = self.holes.last().map(|hole| hole.upto);
        let seq = entry.into_iter().chain(hole).max().unwrap_or(self.head.seq);
        Stamp { seq, ..self.head }
    }
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
    /// What the device has not got; never empty.
    pub batch: Batch,
}

/// How a gateway answers an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum OfferOutcome {
    /// The device itself acknowledged everything up to this place.
    Acknowledged(Stamp),
    /// The device has everything before this place and cannot take what is there.
    Rejected(Stamp),
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
    /// Stands for every record that its reader's decoder refuses: a schema that is too new, a
    /// console producer in the wrong topic. Epochs of connections begin at 1, so no device ever
    /// opens this one.
    pub const GARBLED: Self = Self::Opened(Session {
        device: DeviceId { user: UserId(0), slot: 0 },
        epoch: 0,
        gateway: HostId(0),
        incarnation: Incarnation(0),
    });

    /// Whether a consumer can make anything of it.
    pub fn is_readable(self) -> bool {
        self.session().epoch > 0
    }

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
    /// Are you there? Asked of gateways by the balancer and the monitors, and of the registry by
    /// gateways, which learn from the incarnation whether it has restarted.
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
    /// Router to database: the send transaction. The number, if the router gives it.
    Append {
        message: Message,
        number: Option<u64>,
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
        batch: Batch,
    },
    Offered {
        session: Session,
        conversation: ConversationId,
        term: Term,
        outcome: OfferOutcome,
    },
    /// Gateway to router or worker: this offer is written to the connection; the device's own word
    /// follows, or nothing. It tells a gateway that is gone from a phone that is.
    Taken {
        session: Session,
        conversation: ConversationId,
        term: Term,
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
        next: Batch,
    },
    /// Give the row back, due again after `retry_after`. An older term is ignored.
    Release {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
        retry_after: Duration,
        /// The device rejected the message at this place.
        rejected: Option<Stamp>,
    },
    /// Router to database: the push has failed; deliver everything from here on later.
    Park {
        device: DeviceId,
        conversation: ConversationId,
        from: Stamp,
    },
    /// The holder is still at work under this term: the lease goes on from now.
    Renew {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
    },
    /// Not `held`: the term is over, or the job has taken too long. The row is somebody else's.
    Renewed {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
        held: bool,
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
    /// Gateway to database: the device holds everything before each `next`, and has heard of this
    /// epoch of the sequence. With `all`, also tell it of every conversation with something
    /// undelivered that it did not list.
    CatchUp {
        session: Session,
        epoch: u32,
        next: Vec<(ConversationId, Stamp)>,
        all: bool,
    },
    /// One page of one conversation.
    Page {
        session: Session,
        conversation: ConversationId,
        batch: Batch,
    },
    /// Some of what the device asked for is not kept any more: it needs a full sync.
    Truncated {
        session: Session,
        conversation: ConversationId,
    },
    /// Gateway to database: the device holds everything before `next`; tell it all that there is
    /// to know after that. Answered by a page.
    FullSync {
        session: Session,
        conversation: ConversationId,
        next: Stamp,
    },
    /// The sequence began again: this is its epoch now.
    Renumbered {
        session: Session,
        epoch: u32,
    },
    /// Gateway to database: the device cannot take what it caught up with at this place.
    Reject {
        device: DeviceId,
        conversation: ConversationId,
        at: Stamp,
    },
    /// Gateway to database: the device acknowledged, outside of any offer.
    Advance {
        device: DeviceId,
        conversation: ConversationId,
        upto: Stamp,
    },
    /// Gateway to database: has any of these devices, which have heard of these epochs of the
    /// sequence as far as they have said, something undelivered for a while?
    Heads {
        sessions: Vec<(Session, Option<u32>)>,
    },
    /// Yes: this one, in these conversations, up to these sequence numbers.
    Behind {
        session: Session,
        heads: Vec<(ConversationId, Stamp)>,
    },

    // Numbers, where it is not the database that gives them.
    /// Router to the counter: the next number of this conversation, for this message.
    Count {
        conversation: ConversationId,
        id: MessageId,
    },
    Counted {
        conversation: ConversationId,
        id: MessageId,
        number: u64,
    },
    /// Router to database: a block of numbers of this conversation, for this router alone.
    Reserve {
        conversation: ConversationId,
    },
    Reserved {
        conversation: ConversationId,
        first: u64,
        count: u32,
    },
    /// Router to database: a machine id, or the same one for longer.
    LeaseMachine {
        held: Option<u16>,
    },
    /// For this long from when it was asked for.
    MachineLeased {
        machine: u16,
        lasts: Duration,
    },

    // What is to be done once, although several could.
    /// Cleaner to database: the lease on the scheduled job, or the same one for longer. `ask`
    /// counts the asker's questions.
    LeaseJob {
        ask: u64,
        held: Option<Term>,
    },
    /// Yours under this term, for this long from when it was asked for; or somebody else's.
    JobLeased {
        ask: u64,
        term: Option<Term>,
        lasts: Duration,
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
    /// Gateway to log: under which leader are you? (Kafka's metadata request.)
    AskLeader,
    /// Log to gateway: a later epoch is another leader's, who may lack the last of what an earlier
    /// one has acknowledged.
    Leader {
        epoch: u32,
    },
    /// Consumer to log, which coordinates the group: count this process in. `member` is the
    /// process's own number: another one on the same host takes the earlier one's place.
    JoinGroup {
        member: u64,
    },
    /// Consumer to log: I am still there, and as far as I know this is the generation.
    GroupHeartbeat {
        member: u64,
        generation: u32,
    },
    /// Consumer to log: I cannot do my part for now; give it to others.
    LeaveGroup {
        member: u64,
    },
    /// Log to consumer: in this generation these partitions are yours. Answers a join and a
    /// heartbeat, and tells everybody after a rebalance.
    Assigned {
        member: u64,
        generation: u32,
        partitions: Vec<u32>,
    },
    /// Log to consumer: you are not in the group (any more): join again.
    UnknownMember {
        member: u64,
    },
    /// Log to consumer: you do not own this partition; that was asked under an older generation.
    Fenced {
        generation: u32,
        partition: u32,
    },
    /// Consumer to log: entries of this partition from this place. No place: from where the
    /// group committed.
    Poll {
        generation: u32,
        partition: u32,
        from: Option<Place>,
        most: u32,
    },
    Polled {
        generation: u32,
        partition: u32,
        from: Place,
        events: Vec<SessionEvent>,
        /// The leader's who wrote these entries: one for all of them.
        epoch: u32,
        /// Where the durable entries end: how far the asker is behind.
        end: u64,
    },
    /// Log to consumer: the group has committed nothing in this partition, or it is forgotten, and
    /// there are entries: from the beginning to `end`.
    Unplaced {
        generation: u32,
        partition: u32,
        end: Place,
    },
    /// Log to consumer: this leader does not have all that was read before `from`. What both have
    /// ends at `at` (KIP-320).
    Diverged {
        generation: u32,
        partition: u32,
        from: Place,
        at: Place,
    },
    /// Everything before `next` has been applied.
    Commit {
        generation: u32,
        partition: u32,
        next: Place,
    },
    Committed {
        generation: u32,
        partition: u32,
        next: Place,
    },
    /// Consumer to registry. `next` only comes back in the answer.
    Apply {
        partition: u32,
        next: Place,
        events: Vec<SessionEvent>,
    },
    /// Applied by epoch. `displaced` are sessions that lost to a newer one; `dead` are incarnations
    /// that opened a session although they were swept: they do not know that they are dead.
    Applied {
        partition: u32,
        next: Place,
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
    /// Cleaner to registry: the same as the scheduled job of whoever has its lease. Answered by
    /// [`Wire::Swept`], also if it was done before, or refused.
    SweepUnder {
        gateway: HostId,
        upto: Incarnation,
        term: Term,
    },
    /// There is a newer holder of the lease than the one that asked: nothing was done.
    SweepRefused {
        gateway: HostId,
        upto: Incarnation,
        newest: Term,
    },
    /// Consumer to gateway: this session of yours is not the device's current one. From the
    /// registry itself, where gateways write their rows themselves.
    Displace(Displacement),
    /// The loser is closed, or was not there. From its gateway to who asked, and from there to the
    /// registry, which commits the takeover.
    Displaced(Displacement),
    /// Gateway to registry: write this yourself. Only where there is no log in between.
    Register {
        event: SessionEvent,
    },
    /// Cleaner to registry: whose rows does this gateway have? Only where it deletes by user.
    ListUsers {
        gateway: HostId,
    },
    UsersOn {
        gateway: HostId,
        users: Vec<UserId>,
    },
    /// Cleaner to registry: delete every row with this gateway's name. `incarnation` only comes
    /// back in the answer, which is [`Wire::Swept`].
    DeleteByServer {
        gateway: HostId,
        incarnation: Incarnation,
    },
    /// Cleaner to registry: delete the rows of these users. Answered like `DeleteByServer`.
    DeleteUsers {
        gateway: HostId,
        incarnation: Incarnation,
        users: Vec<UserId>,
    },

    // Presence.
    /// Gateway to presence: heartbeats arrived on these connections, and those were closed in
    /// order by their devices.
    Seen {
        sessions: Vec<Session>,
        ended: Vec<Session>,
    },
    /// Gateway to presence: devices here watch these users, and know this much of each. Repeated
    /// while it is so; presence forgets what is not.
    Watch {
        users: Vec<(UserId, Version)>,
    },
    /// Presence to gateway: what has changed of the watched, one status per user, the last.
    Statuses {
        statuses: Vec<Sighting>,
    },

    // Receipts.
    /// Gateway to database: a person has read everything up to here.
    Read {
        session: Session,
        conversation: ConversationId,
        upto: Stamp,
    },
    /// Gateway to database: the device knows every change of marks up to this version. What is
    /// newer is the answer, now or when there is something.
    MarksAfter {
        session: Session,
        version: u64,
    },
    /// Database to gateway: these marks have changed; with them the device knows every change up
    /// to `upto`. Without any: the database does not know how far the device is, and it should ask.
    Marks {
        session: Session,
        upto: u64,
        marks: Vec<Mark>,
    },
}

impl Wire {
    /// Whether it only asks for what is there: a store's replica may answer it.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Locate { .. } | Self::ListUsers { .. })
            || matches!(self, Self::CatchUp { .. } | Self::FullSync { .. })
            || matches!(self, Self::Heads { .. } | Self::MarksAfter { .. })
    }
}

/// How far one member of a conversation is. Marks only ever move forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Mark {
    pub conversation: ConversationId,
    pub user: UserId,
    /// At least one of the user's devices holds everything up to here.
    pub delivered: Option<Stamp>,
    /// The user has read everything up to here. Never beyond `delivered`.
    pub read: Option<Stamp>,
}

/// The age of a status: a later one has a greater version, also across restarts of presence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Version {
    /// Boots of presence, from 1; 0 is older than every status.
    pub boot: u32,
    /// Changes that presence saw in that boot.
    pub change: u64,
}

/// What presence says of a user, and how old that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Sighting {
    pub user: UserId,
    pub status: Status,
    pub version: Version,
}

/// A session that lost to a newer connection of the same device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Displacement {
    pub loser: Session,
    /// The epoch of the connection that won.
    pub winner: u32,
}
