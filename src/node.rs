//! How a role meets the world: events in, actions out, nothing else.
//!
//! Events are past tense, actions imperative. A role is stepped once per event and runs to
//! completion; it cannot fail, wait or look at anything but its own state and its arguments.

use crate::disk::Record;
use crate::frame::Frame;
use crate::id::{ConnId, ConversationId, DeviceId, HostId, MessageId};
use crate::note::Note;
use crate::time::Now;
use crate::wire::{Message, Wire};
use serde::Serialize;
use std::time::Duration;

/// A state machine of the fleet.
pub trait Role {
    /// Takes one event at `now` (this host's own clocks) and says what to do about it.
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox);
}

/// What happened to a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Event {
    /// The process has started; its constructor already read the disk.
    Booted,
    /// A message from another host arrived.
    Received { from: HostId, wire: Wire },
    /// `to` is up but no process listens there: its kernel sent `wire` back. A definite no, and
    /// the only one the network gives; no answer at all proves nothing.
    Refused { to: HostId, wire: Wire },
    /// A timer that was set has run out.
    Fired(Timer),
    /// A connection is established; on the accepting side, by the opener in its name.
    Opened { conn: ConnId },
    /// A frame arrived on a connection.
    Arrived { conn: ConnId, frame: Frame },
    /// A connection is over. Nothing more arrives on it.
    Closed { conn: ConnId, cause: CloseCause },
    /// The first `records` records that this boot appended are durable.
    Synced { records: u64 },
    /// A person did something with this device (clients only).
    Commanded(Command),
}

impl Event {
    /// What kind of event this is, in two words: `received offer`, `fired heartbeat`.
    pub fn name(&self) -> (&'static str, &'static str) {
        match self {
            Event::Booted => ("booted", ""),
            Event::Received { wire, .. } => ("received", wire.into()),
            Event::Refused { wire, .. } => ("refused", wire.into()),
            Event::Fired(timer) => ("fired", timer.into()),
            Event::Opened { .. } => ("opened", ""),
            Event::Arrived { frame, .. } => ("arrived", frame.into()),
            Event::Closed { .. } => ("closed", ""),
            Event::Synced { .. } => ("synced", ""),
            Event::Commanded(_) => ("commanded", ""),
        }
    }
}

/// What a role wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Action {
    /// Send to another host. May be lost, delayed, duplicated, or come back as `Refused`.
    Send { to: HostId, wire: Wire },
    /// Open a connection; `Opened` or `Closed` follows, or nothing for a long time.
    Open { conn: ConnId, to: HostId },
    /// Write a frame. Success of a write says nothing about arrival.
    Write { conn: ConnId, frame: Frame },
    /// Close a connection in order; the peer learns of it if it can be reached.
    Close { conn: ConnId },
    /// Set a timer, replacing one of the same name.
    SetTimer { timer: Timer, after: Duration },
    /// Cancel a timer, if it is set.
    CancelTimer(Timer),
    /// Append a record to the disk; not durable before `Synced`.
    Append(Record),
    /// Ask for everything appended so far to become durable.
    Sync,
    /// State a fact for the history. Checkers read nothing else.
    Note(Note),
}

/// What a person does with a host: with their own device, or with a server that they operate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Command {
    /// Write a message. The device numbers it.
    Send(Draft),
    /// Put the device in flight mode: close in order and stay away.
    GoOffline,
    /// Come back.
    GoOnline,
    /// Read whatever the device shows of this conversation.
    Read { conversation: ConversationId },
    /// Take this gateway out in order: no new connections, and the old ones go elsewhere, some at
    /// a time (gateways only).
    Drain,
    /// Deal with the dead letters that wait: somebody has read them, and what was wrong is mended
    /// or not worth it (the database only).
    HandleDeadLetters,
    /// Delete what the consumer group has committed, as `kafka-consumer-groups --delete-offsets`
    /// does, and retention by itself (event log only).
    ForgetOffsets,
    /// Write a record that no consumer can read to every partition (event log only).
    Garble,
}

/// A message before its device has numbered it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Draft {
    /// The caller's own number for this operation; comes back in [`Note::Invoked`].
    pub op: u32,
    pub conversation: ConversationId,
    pub body: std::sync::Arc<str>,
    /// The message that this one answers, if it does: no member may see them the wrong way round.
    pub answers: Option<MessageId>,
}

impl Draft {
    pub fn numbered(self, id: MessageId, clock: u64) -> Message {
        let Draft { op: _, conversation, body, answers } = self;
        Message { id, conversation, body, answers, clock }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum CloseCause {
    /// The peer closed in order (FIN).
    Fin,
    /// The peer's kernel does not know the connection: the process or the host has restarted
    /// (RST), or nothing listens there (connection refused).
    Reset,
    /// The kernel gave up: no acknowledgement within its retransmission limit.
    TimedOut,
}

/// Every timer of every role. Setting one again replaces it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Timer {
    /// Client: time to reconnect.
    Reconnect,
    /// Client: the balancer, the handshake or the welcome took too long.
    ConnectLimit,
    /// Client: time for a heartbeat.
    Heartbeat,
    /// Client: no answer to a heartbeat; the connection is dead whatever TCP believes.
    HeartbeatLimit,
    /// Client: no answer to a send in this conversation; send the same id again.
    Resend(ConversationId),
    /// Client: no answer to a request for missing messages in this conversation.
    Refetch(ConversationId),

    /// Balancer, monitor: time to probe the gateways.
    Probe,
    /// Gateway: look for connections that have fallen silent.
    Silence,
    /// Gateway: publish what the event log has not acknowledged yet.
    Republish,
    /// Gateway: announce the next batch of live sessions again.
    Announce,
    /// Gateway: ask whether the registry has restarted.
    RegistryCheck,
    /// Gateway: send the collected heartbeats to presence.
    Report,
    /// Gateway: serve requests that wait for their turn.
    Backlog,
    /// Gateway, while it is drained: ask the next device to go elsewhere.
    HandOff,
    /// Gateway, while it is drained: whoever is left is closed.
    DrainLimit,

    /// Router: no answer from the database for this message.
    AppendLimit(MessageId),
    /// Router, worker: the delivery attempt to this device in this conversation took too long.
    Attempt(DeviceId, ConversationId),
    /// Router, worker: time to renew the lease of the attempt under way.
    Renew(DeviceId, ConversationId),
    /// Router, worker: this gateway's breaker has cooled off.
    Breaker(HostId),
    /// Worker: time to look for due rows; consumer: time to poll the log.
    Poll,
    /// Consumer: no answer from the log or the registry; ask again.
    Retry(u32),
    /// Consumer: time to be heard by its group, or to join it.
    GroupHeartbeat,
    /// Consumer: tell the gateways of displaced connections again.
    Displace,
    /// Event log: look for members of the consumer group that have fallen silent.
    GroupSession,

    /// Presence: look for users whose status has changed by the passing of time.
    Sweep,
    /// Presence: tell the gateways what has changed of the users that are watched there.
    Tell,
    /// Gateway: say again to presence which users are watched here.
    Watch,
    /// Database: tell devices of the marks that have changed.
    TellMarks,
    /// Cleaner: look at the suspects.
    Judge,
    /// Cleaner: time to ask for the lease on the scheduled job, or for longer.
    Campaign,
    /// Registry: make the rows written so far durable (appendfsync everysec); database: write the
    /// cached log.
    Flush,
    /// Database: the next pending message expires.
    Expire,
    /// Database: the dead letters that wait may be too old by now, or are still too many.
    DeadLetters,
    /// Router: ask again for a number for this message.
    Renumber(MessageId),
    /// Router: ask for a machine id, or for the same one for longer.
    Machine,
    /// Registry: commit the takeovers that nobody has confirmed.
    Takeover,
}

/// The actions of one step, in order.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    actions: Vec<Action>,
}

impl Outbox {
    pub fn send(&mut self, to: HostId, wire: Wire) {
        self.actions.push(Action::Send { to, wire });
    }

    pub fn open(&mut self, conn: ConnId, to: HostId) {
        self.actions.push(Action::Open { conn, to });
    }

    pub fn write(&mut self, conn: ConnId, frame: Frame) {
        self.actions.push(Action::Write { conn, frame });
    }

    pub fn close(&mut self, conn: ConnId) {
        self.actions.push(Action::Close { conn });
    }

    pub fn set_timer(&mut self, timer: Timer, after: Duration) {
        self.actions.push(Action::SetTimer { timer, after });
    }

    pub fn cancel_timer(&mut self, timer: Timer) {
        self.actions.push(Action::CancelTimer(timer));
    }

    pub fn append(&mut self, record: Record) {
        self.actions.push(Action::Append(record));
    }

    pub fn sync(&mut self) {
        self.actions.push(Action::Sync);
    }

    pub fn note(&mut self, note: Note) {
        self.actions.push(Action::Note(note));
    }

    /// The actions so far, in order.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Takes the actions out, leaving the allocation for the next step.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Action> {
        self.actions.drain(..)
    }
}
