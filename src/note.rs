//! Facts that roles state for the history, in the order in which they became true.
//!
//! Checkers read these and nothing else, so the same checkers can judge the history of a live
//! system. A note says what happened at the role that states it, never what it hopes of others.

use crate::id::{
    BatchId, ConversationId, DeviceId, HostId, Incarnation, MessageId, Session, Stamp, Term, UserId,
};
use crate::node::CloseCause;
use crate::wire::{Hole, Rejection};
use serde::Serialize;
use std::time::Duration;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    // Client.
    /// A message is in the device's own durable outbox. Before that a crash may lose it without
    /// a trace, so this is where the operation begins.
    Invoked {
        op: u32,
        id: MessageId,
        conversation: ConversationId,
        answers: Option<MessageId>,
    },
    /// The device itself refused to take a message: it was never numbered, let alone sent.
    Declined {
        op: u32,
        why: Rejection,
    },
    /// The sender was told that the message is accepted.
    Accepted {
        id: MessageId,
        conversation: ConversationId,
        stamp: Stamp,
    },
    /// The sender was told that the message is not and never will be sent.
    Failed {
        id: MessageId,
        why: Rejection,
    },
    /// The device took the message into its own store and shows it.
    Shown {
        id: MessageId,
        conversation: ConversationId,
        stamp: Stamp,
    },
    /// A message that is shown already arrived again and was dropped.
    DuplicateDropped {
        id: MessageId,
        stamp: Stamp,
    },
    /// Messages are missing before this place; the device asks for them.
    GapNoticed {
        conversation: ConversationId,
        from: u64,
        head: u64,
    },
    /// The device knows why there is no message at these numbers of this epoch.
    HoleExplained {
        conversation: ConversationId,
        epoch: u32,
        hole: Hole,
    },
    /// The device was told that some of what it asked for is not kept any more.
    FullSyncAsked {
        conversation: ConversationId,
    },
    /// The device cannot take this message.
    Rejected {
        id: MessageId,
        conversation: ConversationId,
        stamp: Stamp,
    },
    /// The device has heard that the sequence began again.
    EpochHeard {
        epoch: u32,
    },
    /// The device's connection is complete: the gateway welcomed it.
    Connected {
        gateway: HostId,
        incarnation: Incarnation,
        epoch: u32,
    },
    /// The device knows that its connection is gone.
    Disconnected {
        epoch: u32,
        cause: Disconnect,
    },
    /// The device begins a connection attempt: the n-th since it was last connected, or 0 when it
    /// was just switched on.
    Connecting {
        attempt: u32,
    },
    /// A connection attempt failed; the next one waits.
    ConnectFailed {
        attempt: u32,
    },
    /// A send was repeated under its id.
    Resent {
        id: MessageId,
    },
    /// The device's person has read everything up to here, and the device will remember.
    Read {
        conversation: ConversationId,
        upto: Stamp,
    },
    /// The device shows how far another member (or its own user) is.
    MarkShown {
        conversation: ConversationId,
        user: UserId,
        delivered: Option<Stamp>,
        read: Option<Stamp>,
    },
    /// The device shows a user whom it watches as this.
    PresenceShown {
        user: UserId,
        status: Status,
    },

    // Gateway.
    /// This incarnation serves from now on.
    Serving {
        incarnation: Incarnation,
    },
    /// A device's session is over at this gateway.
    SessionEnded {
        session: Session,
        cause: SessionEnd,
    },
    /// An offer named a connection that is not here.
    OfferFenced {
        device: DeviceId,
        epoch: u32,
    },
    /// An offer exceeded what one connection may hold unacknowledged.
    OfferBusy {
        device: DeviceId,
    },
    /// A device's route request was dropped: no router answered it or too many wait.
    RouteDropped {
        id: MessageId,
    },
    /// This incarnation learned that it was declared dead, and closed its connections.
    SteppedDown {
        incarnation: Incarnation,
    },
    /// More devices came than this gateway takes in: this one was told to come back after a wait.
    TurnedAway {
        device: DeviceId,
        wait: Duration,
    },
    /// As many requests of this kind wait as may wait: this one was dropped. The device asks
    /// again, or learns at its next heartbeat that it is behind.
    WorkDropped {
        device: DeviceId,
        class: Class,
    },
    /// The device acknowledges nothing, and as much as may wait for that does: its connection was
    /// closed. It catches up when it comes back.
    SlowReader {
        device: DeviceId,
        unacknowledged: u32,
    },
    /// A frame was not written, since the version that this device speaks does not know it.
    FrameWithheld {
        device: DeviceId,
        protocol: u8,
    },
    /// An operator takes this gateway out: it takes nobody in any more and hands off whom it has.
    Draining {
        incarnation: Incarnation,
        connections: u32,
    },
    /// The last connection has gone, or the limit passed with so many left, which were closed.
    Drained {
        incarnation: Incarnation,
        left: u32,
    },

    // Router and worker.
    /// Delivery did not succeed at once; the message waits in its pending row.
    Parked {
        device: DeviceId,
        conversation: ConversationId,
        stamp: Stamp,
        why: Parking,
    },
    /// A message is offered again after an earlier attempt.
    Redelivered {
        device: DeviceId,
        conversation: ConversationId,
        stamp: Stamp,
    },
    /// A row pointed to a connection that is not there; its eviction is asked for.
    StaleRoute {
        session: Session,
    },
    /// An answer came after its attempt was over.
    LateAnswer {
        device: DeviceId,
    },
    /// The database told a holder that it is one no more; its attempt ended.
    LeaseLost {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
    },
    /// A gateway left offers unanswered or refused them; it gets none for a while.
    BreakerOpened {
        gateway: HostId,
    },
    /// The breaker has cooled off: one offer goes through.
    BreakerHalfOpened {
        gateway: HostId,
    },
    /// The gateway has answered, or there is another incarnation of it.
    BreakerClosed {
        gateway: HostId,
    },

    // Database.
    /// The send transaction is durable.
    Persisted {
        id: MessageId,
        conversation: ConversationId,
        stamp: Stamp,
    },
    /// A database that has booted found this message on its disk, written in the boot before. It is
    /// durable, whether or not there was time to say so.
    MessageRestored {
        id: MessageId,
        conversation: ConversationId,
        stamp: Stamp,
    },
    /// A resend was recognised and got the original answer.
    Deduplicated {
        id: MessageId,
        stamp: Stamp,
    },
    /// A late copy of a message that was answered and then lost with an earlier epoch: its author
    /// has gone on, and so does the conversation.
    GhostDropped {
        id: MessageId,
    },
    /// The device's cursor is durable: it holds everything before `next`.
    Settled {
        device: DeviceId,
        conversation: ConversationId,
        next: u64,
    },
    /// The right to deliver a row goes to whom the database answers next, for a while.
    LeaseGranted {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
    },
    /// The holder's lease goes on: it renewed it, or settled a part of the row.
    LeaseRenewed {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
    },
    /// A lease is over, for the row has changed under it or its time is used up.
    LeaseEnded {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
        why: LeaseEnd,
    },
    /// A lease ran out without an answer; the row is due again.
    LeaseExpired {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
    },
    /// The device will not get what is at these numbers; that is durable.
    Dropped {
        device: DeviceId,
        conversation: ConversationId,
        hole: Hole,
    },
    /// A message that its device could not take; it is kept aside for a person to look at.
    DeadLettered {
        id: MessageId,
        device: DeviceId,
        conversation: ConversationId,
        stamp: Stamp,
        rejections: u32,
    },
    /// Something needs a person: there are so many dead letters, the oldest of that age. Stated
    /// once per [`crate::limits::ALERT_PERIOD`] for as long as it is so.
    Alerted {
        alarm: Alarm,
        letters: u32,
        oldest: Duration,
    },
    /// A person has dealt with what this was stated for.
    AlertCleared {
        alarm: Alarm,
    },
    /// A person has dealt with all dead letters that waited: so many.
    DeadLettersHandled {
        letters: u32,
    },
    /// The database was promoted: from this number on the conversation is in this epoch.
    EpochBegan {
        conversation: ConversationId,
        epoch: u32,
        from: u64,
    },
    /// A settlement, renewal or release under a term that is no longer current.
    StaleTerm {
        device: DeviceId,
        conversation: ConversationId,
        term: Term,
    },

    /// A mark that has moved is durable, and may be told.
    Marked {
        conversation: ConversationId,
        user: UserId,
        delivered: Option<Stamp>,
        read: Option<Stamp>,
    },

    // Registry, consumer, cleaner.
    RowWritten {
        session: Session,
    },
    RowRemoved {
        session: Session,
        why: Removal,
    },
    /// An event with an older epoch, or of a swept incarnation, changed nothing.
    RowFenced {
        session: Session,
    },
    /// A registry that has booted found this routable row on its disk.
    RowRestored {
        session: Session,
    },
    /// A removal that named one session took the row of another.
    RowMistaken {
        named: Session,
        row: Session,
    },
    /// A device has connected again while its older connection was thought to be open. From now on
    /// the newer one is routable; the older one is being displaced.
    TakeoverBegun {
        loser: Session,
        /// The epoch of the connection that won.
        winner: u32,
    },
    /// The older connection is over: its gateway said so or, if not `confirmed`, had its time.
    TakeoverCommitted {
        loser: Session,
        winner: u32,
        confirmed: bool,
    },
    /// The consumer has applied the log up to here.
    ConsumerApplied {
        partition: u32,
        next: u64,
    },
    /// A gateway has published a batch again, for it was not answered in time, and the log has
    /// appended it again.
    BatchRepeated {
        gateway: HostId,
        batch: BatchId,
    },
    /// A replica leads the log from here on, in this epoch. Of what its predecessor had, the last
    /// may be missing.
    LogLeads {
        epoch: u32,
    },
    /// A gateway has heard that the log has another leader, and announces its sessions again.
    LeaderChanged {
        epoch: u32,
    },
    /// The group's place is beyond what it shares with the log's leader: entries that it has
    /// applied are gone, and others have their offsets. It goes on at the last that both have.
    LogDiverged {
        partition: u32,
        next: u64,
        at: u64,
    },
    /// The log has forgotten what its consumer group has committed.
    OffsetsLost,
    /// The group has no place in a partition with entries: its member goes on at `to`.
    OffsetReset {
        partition: u32,
        to: u64,
        end: u64,
    },
    /// The consumer could not read an entry of the log, for the so manieth time.
    RecordRefused {
        partition: u32,
        offset: u64,
        tries: u32,
    },
    /// An entry that the consumer cannot read is set aside, where it is, for a person to look at;
    /// the group goes on after it.
    RecordSetAside {
        partition: u32,
        offset: u64,
    },
    /// The consumer group has a new generation, in which so many members share the partitions.
    Rebalanced {
        generation: u32,
        members: u32,
    },
    /// A member of an older generation wanted to move an offset that is not its own any more.
    CommitFenced {
        member: HostId,
        partition: u32,
        generation: u32,
        current: u32,
    },
    /// This incarnation has been silent long enough: two observers agree. (Where the design asks
    /// one observer only: it said so.)
    DeclaredDead {
        gateway: HostId,
        incarnation: Incarnation,
    },
    /// The rows of that incarnation are gone.
    Cleaned {
        gateway: HostId,
        incarnation: Incarnation,
        rows: u32,
    },

    /// This cleaner has the scheduled job from now on, until it lets its lease run out.
    LeaderElected {
        leader: HostId,
        term: Term,
    },
    /// The registry has carried out the scheduled job for this incarnation, and that is durable.
    JobRan {
        leader: HostId,
        gateway: HostId,
        incarnation: Incarnation,
        term: Term,
    },
    /// A cleaner that was overtaken wanted the job carried out under its older term: refused.
    StaleLeader {
        leader: HostId,
        gateway: HostId,
        incarnation: Incarnation,
        term: Term,
        newest: Term,
    },

    // Balancer.
    /// The health check changed its mind about a gateway.
    Health {
        gateway: HostId,
        healthy: bool,
    },

    // Presence.
    PresenceChanged {
        user: UserId,
        status: Status,
    },

    // Any role with a disk.
    /// The last record was half written; it and nothing else is gone.
    TornRecord,
}

/// Why a device's connection ended, as the device knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disconnect {
    Closed(CloseCause),
    /// No answer to a heartbeat.
    Silence,
    Displaced,
    /// The gateway asked it to go elsewhere.
    GoneAway,
    /// Its person switched the network off.
    FlightMode,
    /// The gateway spoke a version of the protocol that the device does not know.
    Unintelligible,
}

/// Why a session ended at its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionEnd {
    Closed(CloseCause),
    /// No heartbeat.
    Silence,
    /// The device broke the protocol.
    OutOfTurn,
    /// A newer connection of the same device.
    Displaced,
    /// This gateway was declared dead.
    SteppedDown,
    /// The device acknowledged nothing of what was written to it.
    SlowReader,
    /// This gateway was drained, and the device did not go by itself.
    Drained,
}

/// What a device asks of its gateway, by who must wait for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Messages and acknowledgements as people write and read them. Never waits.
    Live,
    /// What a device missed while it was away.
    CatchUp,
    /// Everything, for a device that cannot tell what it missed. Only while no catch-up waits.
    FullSync,
}

/// Why a message stays in its pending row for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parking {
    /// The registry has no row for the device.
    NoSession,
    /// The gateway's host is up but nothing listens there.
    Refused,
    /// The gateway has no such connection.
    NotHere,
    /// The connection is full.
    Busy,
    /// No answer: the device may have it or not. The lease decides when to try again.
    NoAnswer,
    /// The registry's host is up but nothing listens there.
    RegistryDown,
    /// The router had as many attempts under way as it may have.
    Overload,
    /// The device could not take the message.
    Rejected,
    /// The gateway is left alone: it did not answer for some time.
    BreakerOpen,
}

/// Of what a person is alerted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    /// A dead letter has waited for longer than [`crate::limits::DEAD_LETTER_AGE_MAX`].
    DeadLettersOld,
    /// More of them wait than [`crate::limits::DEAD_LETTERS_MAX`].
    DeadLettersMany,
}

/// Why a lease is over, other than by running out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseEnd {
    /// Nothing is undelivered any more.
    Completed,
    /// Its holder gave the row back.
    Released,
    /// The job exceeded its time limit.
    TakenBack,
}

/// Why a registry row was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// Its own session closed.
    Closed,
    /// Its gateway answered "not here" or refused.
    Evicted,
    /// Its gateway's incarnation was declared dead, or is an earlier one.
    Swept,
}

/// What others see of a user.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Online,
    Away,
    Offline,
}

impl Note {
    /// The note's name as scenarios and reports write it: `parked`, `row-removed`.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}
