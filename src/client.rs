//! A client's device: an outbox, an inbox per conversation, one connection at a time.
//!
//! It talks to the balancer (where shall I connect?) and to one gateway on a connection. It sends
//! a message under the same id until it is answered, shows a message only when it is in its own
//! durable store and everything before it is too, and acknowledges nothing else. It never trusts
//! a silent connection, and never decides what others see.

use crate::directory::Directory;
use crate::disk::{Disk, Record};
use crate::frame::Frame;
use crate::id::{ConnId, ConversationId, DeviceId, HostId, Incarnation, MessageId, Stamp};
use crate::node::{Command, Draft, Event, Outbox, Role, Timer};
use crate::note::{Disconnect, Note};
use crate::time::Now;
use crate::timing::Timing;
use crate::wire::{Entry, Message, Rejection, SendOutcome, Wire};
use crate::{jitter, limits};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What a device is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub host: HostId,
    pub device: DeviceId,
    /// One number drawn by the shell; every jittered wait is computed from it.
    pub entropy: u64,
    pub directory: Arc<Directory>,
    pub timing: Arc<Timing>,
}

/// Where the device stands with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Flight mode.
    Offline,
    /// Waiting before the next attempt.
    Waiting,
    /// The next connection epoch is on its way to the disk.
    Preparing,
    /// Asked the balancer.
    Placing,
    /// The handshake of the transport.
    Opening {
        conn: ConnId,
        gateway: HostId,
    },
    /// Said hello.
    Greeting {
        conn: ConnId,
        gateway: HostId,
    },
    Live {
        conn: ConnId,
    },
}

/// A message that is not answered yet.
#[derive(Clone, Debug)]
struct Outgoing {
    message: Message,
    /// Only a durable message may leave: its id must survive a crash.
    durable: bool,
    /// Written on the current connection.
    written: bool,
}

/// What a device holds of one conversation.
#[derive(Clone, Debug)]
struct Inbox {
    /// The first sequence number that is not in the device's store; everything before it is.
    next: u64,
    /// The last place whose record is durable; what may be acknowledged.
    durable: Option<Stamp>,
    /// Arrived too early; shown once the hole before them is filled.
    held: BTreeMap<u64, Entry>,
    /// The last sequence number that the server is known to have.
    head: u64,
    /// A request for what is missing is under way.
    fetching: bool,
}

/// What waits for the disk.
#[derive(Clone, Copy, Debug)]
enum Durable {
    Epoch(u32),
    Outgoing { op: u32, id: MessageId },
    Shown { id: MessageId, conversation: ConversationId, stamp: Stamp },
    Finished,
}

#[derive(Clone, Debug)]
pub struct Client {
    config: Arc<Config>,
    link: Link,
    /// Epoch of the current or next connection.
    epoch: u32,
    /// Failed attempts since the last welcome.
    attempt: u32,
    /// A heartbeat on this connection waits for its answer.
    unanswered: bool,
    /// Number of the last message.
    counter: u32,
    outbox: VecDeque<Outgoing>,
    inboxes: BTreeMap<ConversationId, Inbox>,
    /// Records appended in this boot.
    appended: u64,
    /// In the order of their records.
    awaiting: VecDeque<(u64, Durable)>,
    torn: bool,
}

impl Client {
    pub fn boot(config: Config, disk: &Disk) -> Self {
        let mut client = Self {
            config: Arc::new(config),
            link: Link::Waiting,
            epoch: 0,
            attempt: 0,
            unanswered: false,
            counter: 0,
            outbox: VecDeque::new(),
            inboxes: BTreeMap::new(),
            appended: 0,
            awaiting: VecDeque::new(),
            torn: disk.torn,
        };
        for record in &disk.records {
            client.recover(record);
        }
        client
    }

    fn recover(&mut self, record: &Record) {
        match record {
            Record::ConnectionEpoch(epoch) => self.epoch = *epoch,
            Record::Outgoing(message) => {
                self.counter = message.id.counter;
                let message = message.clone();
                self.outbox.push_back(Outgoing { message, durable: true, written: false });
            }
            Record::Finished(id) => self.outbox.retain(|outgoing| outgoing.message.id != *id),
            Record::Shown { conversation, stamp, .. } => {
                let inbox = self.inboxes.entry(*conversation).or_default();
                inbox.next = stamp.seq + 1;
                inbox.durable = Some(*stamp);
            }
            other => unreachable!("not a client's record: {other:?}"),
        }
    }
}

impl Role for Client {
    fn step(&mut self, _now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => {
                if self.torn {
                    out.note(Note::TornRecord);
                }
                self.prepare(out);
            }
            Event::Commanded(Command::Send(draft)) => self.write_down(draft, out),
            Event::Commanded(Command::GoOffline) => {
                self.hang_up(out, Disconnect::FlightMode);
                out.cancel_timer(Timer::Reconnect);
                self.link = Link::Offline;
            }
            Event::Commanded(Command::GoOnline) if self.link == Link::Offline => self.prepare(out),
            Event::Commanded(Command::GoOnline) => {} // Is online, or on its way.
            Event::Synced { records } => self.synced(records, out),

            // Connecting.
            Event::Fired(Timer::Reconnect) => self.prepare(out),
            Event::Received { wire: Wire::Placed { epoch, gateway }, .. }
                if self.link == Link::Placing && epoch == self.epoch =>
            {
                match gateway {
                    Some(gateway) => self.open(gateway, out),
                    None => self.failed(out),
                }
            }
            Event::Refused { wire: Wire::Place { epoch, .. }, .. }
                if self.link == Link::Placing && epoch == self.epoch =>
            {
                self.failed(out)
            }
            Event::Opened { conn } if self.link.opening(conn) => self.greet(out),
            Event::Fired(Timer::ConnectLimit) => {
                self.abandon(out);
                self.failed(out);
            }
            Event::Closed { conn, .. } if self.link.opening(conn) || self.link.greeting(conn) => {
                self.failed(out)
            }
            Event::Arrived { conn, frame: Frame::Welcome { incarnation, .. } }
                if self.link.greeting(conn) =>
            {
                self.go_live(conn, incarnation, out)
            }

            // Disconnecting.
            Event::Closed { conn, cause } if self.link.live(conn) => {
                self.lost(Disconnect::Closed(cause), out)
            }
            Event::Fired(Timer::HeartbeatLimit) => {
                self.hang_up(out, Disconnect::Silence);
                self.retry(out);
            }
            Event::Arrived { conn, frame: Frame::GoAway } if self.link.uses(conn) => {
                self.hang_up(out, Disconnect::GoneAway);
                self.retry(out);
            }
            Event::Arrived { conn, frame: Frame::Displaced { winner } } if self.link.uses(conn) => {
                self.hang_up(out, Disconnect::Displaced);
                self.epoch = self.epoch.max(winner);
                self.retry(out);
            }

            // Living.
            Event::Fired(Timer::Heartbeat) => self.beat(out),
            Event::Arrived { conn, frame } if self.link.live(conn) => self.arrived(frame, out),
            Event::Fired(Timer::Resend(conversation)) => self.resend(conversation, out),
            Event::Fired(Timer::Refetch(conversation)) => {
                if let Some(inbox) = self.inboxes.get_mut(&conversation) {
                    inbox.fetching = false;
                }
                self.fetch_missing(conversation, out);
            }

            // Late: from an earlier connection, or to a question that has moved on.
            Event::Opened { conn } => out.close(conn),
            Event::Arrived { .. } | Event::Closed { .. } => {}
            Event::Received { .. } | Event::Refused { .. } => {}
            Event::Fired(timer) => unreachable!("a client sets no {timer:?}"),
        }
    }
}

// Connecting and disconnecting.
impl Client {
    /// Counts the next connection. The count must be durable before anybody hears of it, or a
    /// restarted device would greet with an epoch that it used before.
    fn prepare(&mut self, out: &mut Outbox) {
        self.epoch += 1;
        self.link = Link::Preparing;
        self.append(Record::ConnectionEpoch(self.epoch), Durable::Epoch(self.epoch), out);
    }

    fn place(&mut self, out: &mut Outbox) {
        self.link = Link::Placing;
        let question = Wire::Place { device: self.config.device, epoch: self.epoch };
        out.send(self.config.directory.balancer, question);
        out.set_timer(Timer::ConnectLimit, limits::CONNECT_LIMIT);
    }

    fn open(&mut self, gateway: HostId, out: &mut Outbox) {
        let conn = ConnId { opener: self.config.host, number: self.epoch };
        self.link = Link::Opening { conn, gateway };
        out.open(conn, gateway);
    }

    fn greet(&mut self, out: &mut Outbox) {
        let Link::Opening { conn, gateway } = self.link else { return };
        self.link = Link::Greeting { conn, gateway };
        out.write(conn, Frame::Hello { device: self.config.device, epoch: self.epoch });
    }

    fn go_live(&mut self, conn: ConnId, incarnation: Incarnation, out: &mut Outbox) {
        let Link::Greeting { gateway, .. } = self.link else { return };
        self.link = Link::Live { conn };
        self.attempt = 0;
        out.cancel_timer(Timer::ConnectLimit);
        out.note(Note::Connected { gateway, incarnation, epoch: self.epoch });
        // The first heartbeat is spread, so that a fleet that reconnected together does not beat
        // together for ever after.
        let first = jitter::up_to(
            self.config.timing.heartbeat,
            self.config.entropy,
            u64::from(self.epoch) << 32,
        );
        out.set_timer(Timer::Heartbeat, first);
        self.catch_up(conn, out);
        let conversations: Vec<_> = self.outbox.iter().map(|o| o.message.conversation).collect();
        for conversation in conversations {
            self.send_next(conversation, out);
        }
    }

    /// The connection is gone and the device knows.
    fn lost(&mut self, cause: Disconnect, out: &mut Outbox) {
        out.note(Note::Disconnected { epoch: self.epoch, cause });
        self.forget_connection(out);
        self.retry(out);
    }

    /// Ends whatever connection or attempt there is.
    fn hang_up(&mut self, out: &mut Outbox, cause: Disconnect) {
        // Going into flight mode is news in any state: from now on nobody waits for this device.
        if matches!(self.link, Link::Live { .. }) || cause == Disconnect::FlightMode {
            out.note(Note::Disconnected { epoch: self.epoch, cause });
        }
        self.abandon(out);
        self.forget_connection(out);
    }

    fn abandon(&mut self, out: &mut Outbox) {
        if let Link::Opening { conn, .. } | Link::Greeting { conn, .. } | Link::Live { conn } =
            self.link
        {
            out.close(conn);
        }
        out.cancel_timer(Timer::ConnectLimit);
    }

    fn forget_connection(&mut self, out: &mut Outbox) {
        out.cancel_timer(Timer::Heartbeat);
        out.cancel_timer(Timer::HeartbeatLimit);
        self.unanswered = false;
        for outgoing in &mut self.outbox {
            if std::mem::take(&mut outgoing.written) {
                out.cancel_timer(Timer::Resend(outgoing.message.conversation));
            }
        }
        for (conversation, inbox) in &mut self.inboxes {
            if std::mem::take(&mut inbox.fetching) {
                out.cancel_timer(Timer::Refetch(*conversation));
            }
        }
    }

    fn failed(&mut self, out: &mut Outbox) {
        out.note(Note::ConnectFailed { attempt: self.attempt });
        self.retry(out);
    }

    fn retry(&mut self, out: &mut Outbox) {
        let wait = jitter::backoff(
            limits::RECONNECT_BASE,
            limits::RECONNECT_CAP,
            self.attempt,
            self.config.entropy ^ u64::from(self.epoch),
        );
        self.attempt += 1;
        self.link = Link::Waiting;
        out.cancel_timer(Timer::ConnectLimit);
        out.set_timer(Timer::Reconnect, wait);
    }

    fn beat(&mut self, out: &mut Outbox) {
        let Link::Live { conn } = self.link else { return };
        out.write(conn, Frame::Heartbeat);
        out.set_timer(Timer::Heartbeat, self.config.timing.heartbeat);
        // The limit belongs to the first heartbeat without an answer; later ones do not extend it.
        if !std::mem::replace(&mut self.unanswered, true) {
            out.set_timer(Timer::HeartbeatLimit, self.config.timing.heartbeat_wait);
        }
    }

    /// Asks for everything from last + 1 on, in every conversation.
    fn catch_up(&mut self, conn: ConnId, out: &mut Outbox) {
        let next: Vec<_> =
            self.inboxes.iter().map(|(id, inbox)| (*id, inbox.held_up_to())).collect();
        let mut pages = next.chunks(limits::CATCH_UP_CONVERSATIONS_MAX).peekable();
        if pages.peek().is_none() {
            out.write(conn, Frame::CatchUp { next: Vec::new(), all: true });
        }
        // What is undelivered elsewhere is asked for once; with more conversations than fit, the
        // device may be sent some of its own again, and drops them.
        let mut all = true;
        for page in pages {
            out.write(conn, Frame::CatchUp { next: page.to_vec(), all });
            all = false;
        }
    }
}

// Sending.
impl Client {
    fn write_down(&mut self, draft: Draft, out: &mut Outbox) {
        if self.outbox.len() == limits::OUTBOX_MESSAGES_MAX {
            out.note(Note::Declined { op: draft.op, why: Rejection::OutboxFull });
            return;
        }
        self.counter += 1;
        let id = MessageId { device: self.config.device, counter: self.counter };
        let op = draft.op;
        let message = draft.numbered(id);
        let record = Record::Outgoing(message.clone());
        self.outbox.push_back(Outgoing { message, durable: false, written: false });
        self.append(record, Durable::Outgoing { op, id }, out);
    }

    /// Writes the first unanswered message of a conversation. One at a time: a later message must
    /// not be numbered before an earlier one (I3).
    fn send_next(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let Link::Live { conn } = self.link else { return };
        let mut queue = self.outbox.iter_mut();
        let Some(first) = queue.find(|o| o.message.conversation == conversation) else { return };
        if first.durable && !first.written {
            first.written = true;
            out.write(conn, Frame::Send(first.message.clone()));
            out.set_timer(Timer::Resend(conversation), limits::RESEND_AFTER);
        }
    }

    fn resend(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let mut queue = self.outbox.iter_mut();
        let Some(first) = queue.find(|o| o.message.conversation == conversation) else { return };
        first.written = false;
        out.note(Note::Resent { id: first.message.id });
        self.send_next(conversation, out);
    }

    fn answered(&mut self, id: MessageId, outcome: SendOutcome, out: &mut Outbox) {
        let Some(waiting) = self.outbox.iter().find(|o| o.message.id == id) else { return };
        // An accepted message takes its place in the sender's own conversation, and only then
        // leaves the outbox: a crash in between must find it in one of them.
        if let SendOutcome::Accepted(stamp) = outcome {
            let message = waiting.message.clone();
            let conversation = message.conversation;
            self.take(conversation, vec![Entry { message, stamp }], stamp.seq, out);
        }
        self.finish(id, outcome, out);
    }

    /// Takes a message out of the outbox, for good, and lets the next one go.
    fn finish(&mut self, id: MessageId, outcome: SendOutcome, out: &mut Outbox) {
        let Some(at) = self.outbox.iter().position(|o| o.message.id == id) else { return };
        let Message { conversation, .. } = self.outbox.remove(at).expect("in range").message;
        out.cancel_timer(Timer::Resend(conversation));
        self.append(Record::Finished(id), Durable::Finished, out);
        match outcome {
            SendOutcome::Accepted(stamp) => out.note(Note::Accepted { id, conversation, stamp }),
            SendOutcome::Rejected(why) => out.note(Note::Failed { id, why }),
        }
        self.send_next(conversation, out);
    }
}

// Receiving.
impl Client {
    fn arrived(&mut self, frame: Frame, out: &mut Outbox) {
        match frame {
            Frame::HeartbeatAck => {
                self.unanswered = false;
                out.cancel_timer(Timer::HeartbeatLimit);
            }
            Frame::Outcome { id, outcome } => self.answered(id, outcome, out),
            Frame::Deliver { conversation, entries, head } => {
                let inbox = self.inboxes.entry(conversation).or_default();
                // Only what fills the hole answers the question; anything else crossed it.
                let fills = entries.iter().any(|entry| entry.stamp.seq == inbox.next);
                if fills && std::mem::take(&mut inbox.fetching) {
                    out.cancel_timer(Timer::Refetch(conversation));
                }
                self.take(conversation, entries, head, out);
            }
            Frame::Behind { heads } => {
                for (conversation, head) in heads {
                    self.take(conversation, Vec::new(), head, out);
                }
            }
            // Handled before, or spoken only by devices.
            Frame::Welcome { .. } | Frame::Displaced { .. } | Frame::GoAway => {}
            Frame::Hello { .. }
            | Frame::Send(_)
            | Frame::Ack { .. }
            | Frame::CatchUp { .. }
            | Frame::Heartbeat => {}
        }
    }

    /// Takes what arrived into the store as far as it is contiguous, holds the rest, and asks for
    /// what is missing up to `head`.
    fn take(
        &mut self,
        conversation: ConversationId,
        entries: Vec<Entry>,
        head: u64,
        out: &mut Outbox,
    ) {
        let inbox = self.inboxes.entry(conversation).or_default();
        inbox.head = inbox.head.max(head);
        let mut repeated = false;
        for entry in entries {
            let Stamp { seq, .. } = entry.stamp;
            if seq < inbox.next || inbox.held.contains_key(&seq) {
                out.note(Note::DuplicateDropped { id: entry.message.id, stamp: entry.stamp });
                repeated = true;
            } else if seq == inbox.next || inbox.held.len() < limits::HELD_MESSAGES_MAX {
                inbox.held.insert(seq, entry);
            }
        }
        let acknowledged = inbox.durable.filter(|_| repeated);
        let mut ready = Vec::new();
        while let Some(entry) = inbox.held.remove(&inbox.next) {
            inbox.next += 1;
            ready.push(entry);
        }
        for entry in ready {
            let Entry { message: Message { id, .. }, stamp } = entry;
            self.append_later(
                Record::Shown { id, conversation, stamp },
                Durable::Shown { id, conversation, stamp },
                out,
            );
            // Its own message came round before its answer did: that is an answer too.
            if id.device == self.config.device {
                self.finish(id, SendOutcome::Accepted(stamp), out);
            }
        }
        self.sync(out);
        // The server repeats what it does not know to be acknowledged: tell it again.
        if let (Some(upto), Link::Live { conn }) = (acknowledged, self.link) {
            out.write(conn, Frame::Ack { conversation, upto });
        }
        self.fetch_missing(conversation, out);
    }

    fn fetch_missing(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let Link::Live { conn } = self.link else { return };
        let Some(inbox) = self.inboxes.get_mut(&conversation) else { return };
        // What is on its way to the disk would only be sent again.
        let storing = inbox.held_up_to() < inbox.next;
        if inbox.next > inbox.head || inbox.fetching || storing {
            return;
        }
        inbox.fetching = true;
        out.note(Note::GapNoticed { conversation, from: inbox.next, head: inbox.head });
        let next = vec![(conversation, inbox.held_up_to())];
        out.write(conn, Frame::CatchUp { next, all: false });
        out.set_timer(Timer::Refetch(conversation), limits::REFETCH_AFTER);
    }
}

// The disk.
impl Client {
    fn append_later(&mut self, record: Record, durable: Durable, out: &mut Outbox) {
        out.append(record);
        self.appended += 1;
        self.awaiting.push_back((self.appended, durable));
    }

    fn append(&mut self, record: Record, durable: Durable, out: &mut Outbox) {
        self.append_later(record, durable, out);
        self.sync(out);
    }

    fn sync(&mut self, out: &mut Outbox) {
        if self.awaiting.back().is_some_and(|(number, _)| *number == self.appended) {
            out.sync();
        }
    }

    fn synced(&mut self, records: u64, out: &mut Outbox) {
        let mut acknowledge: BTreeMap<ConversationId, Stamp> = BTreeMap::new();
        while let Some((_, durable)) = self.awaiting.pop_front_if(|(number, _)| *number <= records)
        {
            match durable {
                Durable::Epoch(epoch) if self.link == Link::Preparing && epoch == self.epoch => {
                    self.place(out)
                }
                Durable::Epoch(_) => {} // Went offline meanwhile.
                Durable::Outgoing { op, id } => self.invoked(op, id, out),
                Durable::Shown { id, conversation, stamp } => {
                    out.note(Note::Shown { id, conversation, stamp });
                    let inbox = self.inboxes.get_mut(&conversation).expect("shown in an inbox");
                    inbox.durable = Some(stamp);
                    acknowledge.insert(conversation, stamp);
                }
                Durable::Finished => {}
            }
        }
        if self.awaiting.is_empty() {
            self.awaiting = VecDeque::new(); // An idle phone holds no memory for it.
        }
        if let Link::Live { conn } = self.link {
            for (conversation, upto) in acknowledge {
                out.write(conn, Frame::Ack { conversation, upto });
                self.fetch_missing(conversation, out);
            }
        }
    }

    fn invoked(&mut self, op: u32, id: MessageId, out: &mut Outbox) {
        let mut queue = self.outbox.iter_mut();
        let outgoing = queue.find(|o| o.message.id == id).expect("unanswered before it is sent");
        outgoing.durable = true;
        let Message { conversation, answers, .. } = outgoing.message;
        out.note(Note::Invoked { op, id, conversation, answers });
        self.send_next(conversation, out);
    }
}

impl Default for Inbox {
    /// Of a conversation of which the device holds nothing: sequence numbers begin with 1.
    fn default() -> Self {
        Self { next: 1, durable: None, held: BTreeMap::new(), head: 0, fetching: false }
    }
}

impl Inbox {
    /// The first sequence number that the device may say it does not hold. The server takes it as
    /// an acknowledgement of what is before, so only what is durable counts.
    fn held_up_to(&self) -> u64 {
        self.durable.map_or(1, |stamp| stamp.seq + 1)
    }
}

impl Link {
    fn opening(self, conn: ConnId) -> bool {
        matches!(self, Link::Opening { conn: current, .. } if current == conn)
    }

    fn greeting(self, conn: ConnId) -> bool {
        matches!(self, Link::Greeting { conn: current, .. } if current == conn)
    }

    fn live(self, conn: ConnId) -> bool {
        self == Link::Live { conn }
    }

    fn uses(self, conn: ConnId) -> bool {
        self.opening(conn) || self.greeting(conn) || self.live(conn)
    }
}
