//! A client's device: an outbox, an inbox per conversation, one connection at a time.
//!
//! It talks to the balancer (where shall I connect?) and to one gateway on a connection. It sends
//! a message under the same id until it is answered, shows a message only when it is in its own
//! durable store and everything before it is too, and acknowledges nothing else. It never trusts
//! a silent connection, and never decides what others see.

mod connecting;
mod contacts;
mod inbox;
mod outbox;
mod receipts;

use crate::design::{Design, Sequence};
use crate::directory::Directory;
use crate::disk::{Disk, Record};
use crate::frame::Frame;
use crate::id::{ConnId, ConversationId, DeviceId, HostId, MessageId, Stamp};
use crate::limits;
use crate::node::{Command, Event, Outbox, Role, Timer};
use crate::note::{Disconnect, Note};
use crate::sequence;
use crate::time::Now;
use crate::timing::Timing;
use crate::wire::{Entry, Hole, HoleReason, Message, Wire};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What a device is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub host: HostId,
    pub device: DeviceId,
    /// One number drawn by the shell; every jittered wait is computed from it.
    pub entropy: u64,
    pub directory: Arc<Directory>,
    pub timing: Arc<Timing>,
    pub design: Design,
    /// The newest version of the protocol that this device speaks.
    pub protocol: u8,
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
    /// The epoch in which its numbers are.
    epoch: u32,
    /// The first sequence number that is not in the device's store; everything before it is.
    next: u64,
    /// Likewise, of what is durable; what may be acknowledged.
    durable: u64,
    /// Arrived too early; shown once the hole before them is filled.
    held: BTreeMap<u64, Held>,
    /// The last sequence number that the server is known to have.
    head: u64,
    /// The last place that it has heard of in a later epoch, before it knows where that began.
    later: Stamp,
    /// A request for what is missing is under way.
    fetching: bool,
    /// The last message of each author that is shown: a message may come again under another
    /// number when the sequence has begun again.
    authors: BTreeMap<DeviceId, u32>,
    /// The numbers that it has, where numbers do not count.
    seen: BTreeSet<u64>,
}

/// What a device holds for a number that is not its turn yet.
#[derive(Clone, Debug)]
enum Held {
    Entry(Entry),
    Hole(Hole),
}

/// What waits for the disk.
#[derive(Clone, Copy, Debug)]
enum Durable {
    Epoch(u32),
    Outgoing {
        op: u32,
        id: MessageId,
    },
    /// `again`: it is on the screen already, in a place of an earlier epoch.
    Shown {
        id: MessageId,
        conversation: ConversationId,
        stamp: Stamp,
        again: bool,
        /// The inbox then held everything before `next` in this epoch's numbers.
        numbering: u32,
        next: u64,
    },
    Explained {
        conversation: ConversationId,
        epoch: u32,
        hole: Hole,
        numbering: u32,
        next: u64,
    },
    Finished,
    Read {
        conversation: ConversationId,
        upto: Stamp,
    },
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
    /// Lamport's clock: greater than that of any message it has seen.
    clock: u64,
    /// The epoch of the sequence, as far as it has heard.
    heard_of: u32,
    outbox: VecDeque<Outgoing>,
    inboxes: BTreeMap<ConversationId, Inbox>,
    receipts: receipts::Receipts,
    contacts: contacts::Contacts,
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
            clock: 0,
            heard_of: 1,
            outbox: VecDeque::new(),
            inboxes: BTreeMap::new(),
            receipts: receipts::Receipts::default(),
            contacts: contacts::Contacts::default(),
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
                self.clock = self.clock.max(message.clock);
                let message = message.clone();
                self.outbox.push_back(Outgoing { message, durable: true, written: false });
            }
            Record::Finished { id, accepted } => self.recover_finished(*id, *accepted),
            Record::Shown { conversation, stamp, id } => {
                if self.config.design.sequence == Sequence::Lamport {
                    self.clock = sequence::lamport_seen(self.clock, stamp.seq);
                }
                let inbox =
                    self.inboxes.entry(*conversation).or_insert_with(|| Inbox::new(stamp.epoch));
                inbox.next = inbox.next.max(stamp.seq + 1);
                inbox.durable = inbox.next;
                let latest = inbox.authors.entry(id.device).or_default();
                *latest = id.counter.max(*latest);
                if !sequence::is_counted(self.config.design.sequence) {
                    inbox.seen.insert(stamp.seq);
                }
            }
            Record::Explained { conversation, epoch, hole } => {
                let inbox = self.inboxes.entry(*conversation).or_insert_with(|| Inbox::new(*epoch));
                match hole.why {
                    HoleReason::Renumbered => inbox.renumber(*epoch, hole.from),
                    _ => inbox.next = hole.upto + 1,
                }
                inbox.durable = inbox.next;
            }
            Record::HeardOfEpoch(epoch) => self.heard_of = *epoch,
            Record::Read { conversation, upto } => self.receipts.recover(*conversation, *upto),
            other => unreachable!("not a client's record: {other:?}"),
        }
    }

    /// What was accepted behind something missing is not in the inbox yet: it is to be asked for.
    fn recover_finished(&mut self, id: MessageId, accepted: Option<Stamp>) {
        let Some(at) = self.outbox.iter().position(|o| o.message.id == id) else { return };
        let Message { conversation, .. } = self.outbox.remove(at).expect("in range").message;
        if let Some(stamp) = accepted {
            let inbox = self.inboxes.entry(conversation).or_insert_with(|| Inbox::new(stamp.epoch));
            inbox.hear_of_head(stamp);
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
            Event::Commanded(Command::Read { conversation }) => self.read(conversation, out),
            Event::Commanded(Command::GoOffline) => {
                self.hang_up(out, Disconnect::FlightMode);
                out.cancel_timer(Timer::Reconnect);
                self.link = Link::Offline;
            }
            Event::Commanded(Command::GoOnline) if self.link == Link::Offline => self.prepare(out),
            Event::Commanded(Command::GoOnline) => {} // Is online, or on its way.
            Event::Commanded(
                Command::Drain
                | Command::HandleDeadLetters
                | Command::ForgetOffsets
                | Command::Garble,
            ) => {
                unreachable!("a device serves nobody")
            }
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
            Event::Arrived { conn, frame } if self.link.uses(conn) && !self.knows(&frame) => {
                self.hang_up(out, Disconnect::Unintelligible);
                self.retry(out);
            }
            Event::Arrived { conn, frame: Frame::Busy { retry_after } } if self.link.uses(conn) => {
                out.note(Note::ConnectFailed { attempt: self.attempt });
                self.hang_up(out, Disconnect::GoneAway);
                // Its slot, and then it is spread: whoever is told the longest wait is not alone.
                self.come_back(retry_after, retry_after / 2, out);
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
                // Nothing has failed, so it does not wait as after a failure.
                self.hang_up(out, Disconnect::GoneAway);
                self.come_back(Duration::ZERO, limits::HAND_OFF_SPREAD, out);
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
                Durable::Shown { id, conversation, stamp, again, numbering, next } => {
                    if !again {
                        out.note(Note::Shown { id, conversation, stamp });
                    }
                    acknowledge.extend(self.stored(conversation, numbering, next));
                }
                Durable::Explained { conversation, epoch, hole, numbering, next } => {
                    out.note(Note::HoleExplained { conversation, epoch, hole });
                    acknowledge.extend(self.stored(conversation, numbering, next));
                }
                Durable::Finished => {}
                Durable::Read { conversation, upto } => self.has_read(conversation, upto, out),
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

    /// Everything before `next` is durable, unless the inbox has been renumbered meanwhile.
    fn stored(
        &mut self,
        conversation: ConversationId,
        numbering: u32,
        next: u64,
    ) -> Option<(ConversationId, Stamp)> {
        let inbox = self.inboxes.get_mut(&conversation).expect("stored in an inbox");
        if numbering != inbox.epoch {
            return None;
        }
        inbox.durable = inbox.durable.max(next);
        inbox.acknowledged().map(|upto| (conversation, upto))
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

impl Inbox {
    /// Of a conversation of which the device holds nothing: sequence numbers begin with 1.
    fn new(epoch: u32) -> Self {
        Self {
            epoch,
            next: 1,
            durable: 1,
            held: BTreeMap::new(),
            head: 0,
            later: Stamp::default(),
            fetching: false,
            authors: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Whether there is something to ask for, as far as it knows, and it has not been asked for.
    /// What is on its way to the disk would only be sent again.
    fn lacks(&self, heard_of: u32) -> bool {
        let storing = self.durable < self.next;
        let missing = self.next <= self.head || self.epoch < heard_of;
        missing && !self.fetching && !storing
    }

    /// The server has this place. One of a later epoch counts once it is known where that began.
    fn hear_of_head(&mut self, head: Stamp) {
        match head.epoch.cmp(&self.epoch) {
            Ordering::Less => {} // From before the sequence began again.
            Ordering::Equal => self.head = self.head.max(head.seq),
            Ordering::Greater => self.later = self.later.max(head),
        }
    }

    /// The sequence began again: from `void` on the numbers are those of this epoch.
    fn renumber(&mut self, epoch: u32, void: u64) {
        self.epoch = epoch;
        self.next = self.next.min(void);
        self.durable = self.durable.min(void);
        self.head = if self.later.epoch == epoch { self.later.seq } else { 0 };
        self.held.clear();
        self.fetching = false;
    }

    /// The first number that the device may say it does not hold. The server takes it as an
    /// acknowledgement of what is before, so only what is durable counts.
    fn held_up_to(&self) -> Stamp {
        Stamp { epoch: self.epoch, seq: self.durable }
    }

    /// The last place that it may acknowledge, if there is one.
    fn acknowledged(&self) -> Option<Stamp> {
        (self.durable > 1).then(|| Stamp { epoch: self.epoch, seq: self.durable - 1 })
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
