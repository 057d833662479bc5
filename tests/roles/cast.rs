//! Who plays: a small fleet with fixed addresses, and short names for what it talks about.

use courier::directory::Directory;
use courier::id::{
    ConnId, ConversationId, DeviceId, HostId, Incarnation, MessageId, Place, Session, Stamp, Term,
    UserId,
};
use courier::node::{Command, Draft};
use courier::wire::{Batch, Claim, Entry, Message};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const BALANCER: HostId = HostId(1);
pub const REGISTRY: HostId = HostId(2);
pub const EVENT_LOG: HostId = HostId(3);
pub const CONSUMER: HostId = HostId(4);
pub const DATABASE: HostId = HostId(5);
pub const PRESENCE: HostId = HostId(6);
pub const CLEANER: HostId = HostId(7);
pub const WORKER: HostId = HostId(8);
/// The other member of the consumer group.
pub const CONSUMER_2: HostId = HostId(9);

const SERVERS: u32 = 10;
const APPS: u32 = 20;
const MONITORS: u32 = 30;
const PHONES: u32 = 100;

/// A connection server.
pub fn server(number: u32) -> HostId {
    HostId(SERVERS + number)
}

/// An app server.
pub fn app(number: u32) -> HostId {
    HostId(APPS + number)
}

pub fn monitor(number: u32) -> HostId {
    HostId(MONITORS + number)
}

/// The host of a user's first device.
pub fn phone(user: u32) -> HostId {
    HostId(PHONES + user)
}

/// What a trace calls a host.
pub fn name(host: HostId) -> String {
    match host {
        BALANCER => "balancer".into(),
        REGISTRY => "registry".into(),
        EVENT_LOG => "event-log".into(),
        CONSUMER => "consumer".into(),
        CONSUMER_2 => "consumer-2".into(),
        DATABASE => "database".into(),
        PRESENCE => "presence".into(),
        CLEANER => "cleaner".into(),
        WORKER => "worker".into(),
        // Whom a garbled record names.
        HostId(0) => "nobody".into(),
        HostId(number @ PHONES..) => format!("u{}", number - PHONES),
        HostId(number @ MONITORS..) => format!("monitor-{}", number - MONITORS),
        HostId(number @ APPS..) => format!("app-{}", number - APPS),
        HostId(number) => format!("server-{}", number - SERVERS),
    }
}

/// Three servers, two app servers, three monitors; group `g1` of users 1, 2 and 3; user 2 watches
/// the others.
pub fn directory() -> Directory {
    Directory {
        gateways: (1..=3).map(server).collect(),
        routers: (1..=2).map(app).collect(),
        monitors: (1..=3).map(monitor).collect(),
        balancer: BALANCER,
        registry: REGISTRY,
        event_log: EVENT_LOG,
        consumers: vec![CONSUMER, CONSUMER_2],
        database: DATABASE,
        presence: PRESENCE,
        cleaners: vec![CLEANER],
        groups: BTreeMap::from([(ConversationId::group(1), (1..=3).map(UserId).collect())]),
        devices: BTreeMap::new(),
        affinity: BTreeMap::new(),
        watches: BTreeMap::from([(UserId(2), vec![UserId(1), UserId(3)])]),
    }
}

pub fn fleet() -> Arc<Directory> {
    Arc::new(directory())
}

/// The first device of a user.
pub fn u(user: u32) -> DeviceId {
    DeviceId { user: UserId(user), slot: 0 }
}

pub fn pair(a: u32, b: u32) -> ConversationId {
    ConversationId::between(UserId(a), UserId(b))
}

pub fn group() -> ConversationId {
    ConversationId::group(1)
}

/// The device's connection with this epoch; its number is the epoch.
pub fn conn(user: u32, epoch: u32) -> ConnId {
    ConnId { opener: phone(user), number: epoch }
}

/// A session on the first incarnation of a server.
pub fn session(user: u32, epoch: u32, on: u32) -> Session {
    Session { device: u(user), epoch, gateway: server(on), incarnation: Incarnation(1) }
}

/// A place under the log's first leader.
pub fn place(offset: u64) -> Place {
    Place { offset, ..Place::START }
}

pub fn stamp(seq: u64) -> Stamp {
    Stamp { epoch: 1, seq }
}

/// The n-th lease of the database's first boot.
pub fn term(number: u64) -> Term {
    Term(1 << 32 | number)
}

pub fn message_id(from: u32, counter: u32) -> MessageId {
    MessageId { device: u(from), counter }
}

pub fn message(from: u32, counter: u32, conversation: ConversationId) -> Message {
    Message {
        id: message_id(from, counter),
        conversation,
        body: "hi".into(),
        answers: None,
        clock: u64::from(counter),
    }
}

pub fn entry(seq: u64, message: Message) -> Entry {
    Entry { message, stamp: stamp(seq) }
}

/// The `seqs`-th messages that user 1 wrote to user 2, each in its place.
pub fn entries(seqs: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    seqs.map(|seq| entry(seq, message(1, seq as u32, pair(1, 2)))).collect()
}

/// The same, as a batch without holes.
pub fn batch(seqs: std::ops::RangeInclusive<u64>) -> Batch {
    batch_of(entries(seqs))
}

/// These messages, and nothing after them.
pub fn batch_of(entries: Vec<Entry>) -> Batch {
    let head = entries.last().map_or(Stamp { epoch: 1, seq: 0 }, |entry| entry.stamp);
    Batch { entries, head, ..Batch::default() }
}

/// A first attempt at delivering to user 2 what user 1 wrote.
pub fn claim(lease: u64, seqs: std::ops::RangeInclusive<u64>) -> Claim {
    Claim {
        device: u(2),
        conversation: pair(1, 2),
        term: term(lease),
        attempts: 0,
        batch: batch(seqs),
    }
}

/// A person writes a message.
pub fn says(op: u32, conversation: ConversationId) -> Command {
    Command::Send(Draft { op, conversation, body: "hi".into(), answers: None })
}
