//! A gateway (people call it `server-7`): tens of thousands of connections, one per device.
//!
//! It talks to devices in frames, to routers and the database for them, publishes its sessions to
//! the event log, and answers offers. It accepts only offers that name this incarnation and a
//! connection epoch that is here, and calls a message delivered only when the device itself says
//! so. It never writes the registry, and never keeps a message: what is not acknowledged is the
//! database's to deliver again.

use crate::directory::Directory;
use crate::disk::{Disk, Record};
use crate::frame::Frame;
use crate::id::{
    BatchId, ConnId, ConversationId, DeviceId, HostId, Incarnation, Session, Stamp, Term,
};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::{Note, SessionEnd};
use crate::time::{Instant, Now};
use crate::timing::Timing;
use crate::wire::{
    Displacement, Entry, Message, OfferOutcome, Rejection, SendOutcome, SessionEvent, Wire,
};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

/// What a gateway is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub host: HostId,
    pub directory: Arc<Directory>,
    pub timing: Arc<Timing>,
}

/// Messages written to a device and not yet acknowledged by it.
#[derive(Clone, Debug)]
struct Offer {
    from: HostId,
    conversation: ConversationId,
    term: Term,
    upto: Stamp,
    entries: usize,
}

#[derive(Clone, Debug)]
struct Connection {
    /// Known once the device has said hello.
    session: Option<Session>,
    last_heard: Instant,
    offers: Vec<Offer>,
}

#[derive(Clone, Debug)]
pub struct Gateway {
    config: Config,
    incarnation: Incarnation,
    /// The incarnation is durable: it may be told to others.
    serving: bool,
    connections: BTreeMap<ConnId, Connection>,
    /// The connection of each device that has said hello.
    devices: BTreeMap<DeviceId, ConnId>,

    /// Session events that the log has not acknowledged, oldest first. The first
    /// `publishing` of them are on their way as batch number `batch`.
    unpublished: VecDeque<SessionEvent>,
    publishing: usize,
    batch: u32,
    /// The last device that was announced again.
    announced: Option<DeviceId>,

    /// Sessions that have beaten since the last report.
    beaten: Vec<Session>,
    /// The router that was asked last.
    router: usize,
    /// Routers that refused, and until when they are not asked.
    avoided: BTreeMap<HostId, Instant>,
    /// The registry still holds rows of earlier incarnations.
    unswept: bool,
    torn: bool,
}

/// A router that refused is asked again after this long: a restart takes seconds.
const AVOID_ROUTER: Duration = Duration::from_secs(1);

/// How often silent connections are looked for, as a share of the allowed silence.
const SILENCE_CHECKS: u32 = 5;

impl Gateway {
    pub fn boot(config: Config, disk: &Disk) -> Self {
        let boots = disk.records.iter().filter_map(|record| match record {
            Record::Booted(incarnation) => Some(incarnation.0),
            _ => None,
        });
        Self {
            incarnation: Incarnation(boots.max().unwrap_or(0) + 1),
            serving: false,
            connections: BTreeMap::new(),
            devices: BTreeMap::new(),
            unpublished: VecDeque::new(),
            publishing: 0,
            batch: 0,
            announced: None,
            beaten: Vec::new(),
            router: config.host.0 as usize,
            avoided: BTreeMap::new(),
            unswept: false,
            torn: disk.torn,
            config,
        }
    }
}

impl Role for Gateway {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => {
                if self.torn {
                    out.note(Note::TornRecord);
                }
                out.set_timer(Timer::Silence, self.config.timing.silence / SILENCE_CHECKS);
                out.set_timer(Timer::Announce, limits::ANNOUNCE_PERIOD);
                self.begin_incarnation(out);
            }
            Event::Synced { .. } => self.serve(out),

            // Connections.
            Event::Opened { conn } if self.may_accept() => {
                let connection =
                    Connection { session: None, last_heard: now.mono, offers: Vec::new() };
                let earlier = self.connections.insert(conn, connection);
                assert!(earlier.is_none(), "{}: {conn} opened twice", self.config.host);
            }
            Event::Opened { conn } => out.close(conn),
            Event::Closed { conn, cause } => {
                self.end_session(conn, SessionEnd::Closed(cause), out);
            }
            Event::Arrived { conn, frame } => {
                // A frame that arrives after the gateway closed its end finds nothing.
                let Some(connection) = self.connections.get_mut(&conn) else { return };
                connection.last_heard = now.mono;
                match (frame, connection.session) {
                    (Frame::Hello { device, epoch }, None) => self.greet(conn, device, epoch, out),
                    (Frame::Send(message), Some(session))
                        if message.id.device == session.device =>
                    {
                        self.route(now, session, message, out)
                    }
                    (Frame::Ack { conversation, upto }, Some(session)) => {
                        self.acknowledge(conn, session, conversation, upto, out)
                    }
                    (Frame::CatchUp { next, all }, Some(session)) => out
                        .send(self.config.directory.database, Wire::CatchUp { session, next, all }),
                    (Frame::Heartbeat, Some(session)) => {
                        self.beat(session, out);
                        out.write(conn, Frame::HeartbeatAck);
                    }
                    // Out of turn, or in another's name: not a device that follows the protocol.
                    _ => {
                        self.end_session(conn, SessionEnd::OutOfTurn, out);
                        out.close(conn);
                    }
                }
            }

            // A message's way in.
            Event::Received { wire: Wire::Routed { session, id, outcome }, .. } => {
                if let Some(conn) = self.connection_of(session) {
                    out.write(conn, Frame::Outcome { id, outcome });
                }
            }
            Event::Refused { to, wire: Wire::Route { session, message } } => {
                self.avoided.insert(to, now.mono + AVOID_ROUTER);
                self.route(now, session, message, out);
            }

            // A message's way out.
            Event::Received {
                from,
                wire: Wire::Offer { session, conversation, term, entries },
            } => self.offer(from, session, conversation, term, entries, out),
            Event::Received {
                wire: Wire::Page { session, conversation, entries, head }, ..
            } => {
                if let Some(conn) = self.connection_of(session) {
                    out.write(conn, Frame::Deliver { conversation, entries, head });
                }
            }
            Event::Received { wire: Wire::Behind { session, heads }, .. } => {
                if let Some(conn) = self.connection_of(session) {
                    out.write(conn, Frame::Behind { heads });
                }
            }

            // Registration.
            Event::Received { wire: Wire::Published { batch }, .. } if batch == self.batch() => {
                self.unpublished.drain(..self.publishing);
                self.publishing = 0;
                self.publish(out);
            }
            Event::Received { wire: Wire::Published { .. }, .. } => {} // Of an earlier try.
            Event::Fired(Timer::Republish) => self.repeat(out),
            // An answer to an earlier sweep does not end this incarnation's.
            Event::Received { wire: Wire::Swept { upto, .. }, .. } => {
                self.unswept &= upto.0 + 1 != self.incarnation.0
            }
            Event::Received { wire: Wire::Displace(Displacement { loser, winner }), .. } => {
                if let Some(conn) = self.connection_of(loser) {
                    out.write(conn, Frame::Displaced { winner });
                    self.end_session(conn, SessionEnd::Displaced, out);
                    out.close(conn);
                }
            }

            // Health.
            Event::Received { from, wire: Wire::Ping { nonce } } if self.serving => {
                let connections = self.connections.len() as u32;
                let incarnation = self.incarnation;
                out.send(from, Wire::Pong { nonce, incarnation, connections });
            }
            Event::Received { wire: Wire::Ping { .. }, .. } => {} // Not ready: not healthy.
            Event::Received { from, wire: Wire::DeclaredDead { incarnation } } => {
                if incarnation == self.incarnation {
                    self.step_down(out);
                }
                out.send(from, Wire::SteppedDown { incarnation });
            }
            Event::Fired(Timer::Silence) => self.close_silent(now, out),
            Event::Fired(Timer::Announce) => self.announce(out),
            Event::Fired(Timer::Report) => self.report(out),

            // Unreachable for now: devices ask again, reports are repeated, timers retry.
            Event::Refused { .. } => {}
            Event::Received { from, wire } => {
                unreachable!("{}: {from} sent a gateway {wire:?}", self.config.host)
            }
            Event::Fired(timer) => unreachable!("a gateway sets no {timer:?}"),
            Event::Commanded(command) => unreachable!("a gateway was told {command:?}"),
        }
    }
}

// Incarnations.
impl Gateway {
    fn begin_incarnation(&mut self, out: &mut Outbox) {
        self.serving = false;
        out.append(Record::Booted(self.incarnation));
        out.sync();
    }

    fn serve(&mut self, out: &mut Outbox) {
        self.serving = true;
        out.note(Note::Serving { incarnation: self.incarnation });
        // Rows of earlier incarnations are this gateway's own leftovers; nobody else needs to
        // find out that they are stale.
        self.unswept = self.incarnation.0 > 1;
        self.repeat(out);
    }

    /// The fleet has removed this incarnation's rows: its connections are deaf. Close them all and
    /// begin again under a new incarnation, which is not fenced.
    fn step_down(&mut self, out: &mut Outbox) {
        out.note(Note::SteppedDown { incarnation: self.incarnation });
        for conn in self.connections.keys().copied().collect::<Vec<_>>() {
            out.write(conn, Frame::GoAway);
            self.end_session(conn, SessionEnd::SteppedDown, out);
            out.close(conn);
        }
        self.incarnation.0 += 1;
        self.begin_incarnation(out);
    }
}

// Connections.
impl Gateway {
    fn may_accept(&self) -> bool {
        self.serving && self.connections.len() < limits::CONNECTIONS_MAX
    }

    fn connection_of(&self, session: Session) -> Option<ConnId> {
        let conn = *self.devices.get(&session.device)?;
        (self.connections[&conn].session == Some(session)).then_some(conn)
    }

    fn greet(&mut self, conn: ConnId, device: DeviceId, epoch: u32, out: &mut Outbox) {
        let held = self.devices.get(&device).copied();
        let held_epoch =
            held.and_then(|old| self.connections[&old].session).map_or(0, |old| old.epoch);
        if held_epoch >= epoch {
            // A hello that was overtaken by a later connection of the same device.
            out.write(conn, Frame::Displaced { winner: held_epoch });
            self.connections.remove(&conn);
            out.close(conn);
            return;
        }
        if let Some(old) = held {
            out.write(old, Frame::Displaced { winner: epoch });
            self.end_session(old, SessionEnd::Displaced, out);
            out.close(old);
        }
        let gateway = self.config.host;
        let session = Session { device, epoch, gateway, incarnation: self.incarnation };
        self.connections.get_mut(&conn).expect("it just spoke").session = Some(session);
        self.devices.insert(device, conn);
        self.beat(session, out);
        out.write(conn, Frame::Welcome { epoch, incarnation: self.incarnation });
        self.tell(SessionEvent::Opened(session), out);
    }

    /// Forgets a connection and tells the log, once.
    fn end_session(&mut self, conn: ConnId, cause: SessionEnd, out: &mut Outbox) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        let Some(session) = connection.session else { return };
        if self.devices.get(&session.device) == Some(&conn) {
            self.devices.remove(&session.device);
        }
        out.note(Note::SessionEnded { session, cause });
        self.tell(SessionEvent::Closed(session), out);
    }

    fn close_silent(&mut self, now: Now, out: &mut Outbox) {
        let silence = self.config.timing.silence;
        let silent =
            self.connections.iter().filter(|(_, c)| now.mono.since(c.last_heard) > silence);
        for conn in silent.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.end_session(conn, SessionEnd::Silence, out);
            out.close(conn);
        }
        out.set_timer(Timer::Silence, silence / SILENCE_CHECKS);
    }
}

// Messages.
impl Gateway {
    fn route(&mut self, now: Now, session: Session, message: Message, out: &mut Outbox) {
        if message.body.len() > limits::BODY_BYTES_MAX {
            let outcome = SendOutcome::Rejected(Rejection::TooLarge);
            if let Some(conn) = self.connection_of(session) {
                out.write(conn, Frame::Outcome { id: message.id, outcome });
            }
            return;
        }
        self.avoided.retain(|_, until| *until > now.mono);
        let routers = &self.config.directory.routers;
        let candidates = (1..=routers.len()).map(|step| (self.router + step) % routers.len());
        let Some(chosen) =
            candidates.into_iter().find(|at| !self.avoided.contains_key(&routers[*at]))
        else {
            // All refused a moment ago. The device sends it again.
            out.note(Note::RouteDropped { id: message.id });
            return;
        };
        self.router = chosen;
        out.send(routers[chosen], Wire::Route { session, message });
    }

    fn offer(
        &mut self,
        from: HostId,
        session: Session,
        conversation: ConversationId,
        term: Term,
        entries: Vec<Entry>,
        out: &mut Outbox,
    ) {
        let answer = |outcome| Wire::Offered { session, conversation, term, outcome };
        let Some(conn) = self.connection_of(session) else {
            out.note(Note::OfferFenced { device: session.device, epoch: session.epoch });
            out.send(from, answer(OfferOutcome::NotHere));
            return;
        };
        let connection = self.connections.get_mut(&conn).expect("devices have connections");
        let same = |offer: &Offer| offer.conversation == conversation;
        if connection.offers.iter().any(|offer| same(offer) && offer.term > term) {
            return; // Overtaken by a later attempt at the same row, whose holder is answered.
        }
        connection.offers.retain(|offer| !same(offer));
        let unacknowledged: usize = connection.offers.iter().map(|offer| offer.entries).sum();
        if unacknowledged + entries.len() > limits::UNACKED_MESSAGES_MAX {
            out.note(Note::OfferBusy { device: session.device });
            out.send(from, answer(OfferOutcome::Busy));
            return;
        }
        let upto = entries.last().expect("a claim is never empty").stamp;
        let entries_len = entries.len();
        connection.offers.push(Offer { from, conversation, term, upto, entries: entries_len });
        out.write(conn, Frame::Deliver { conversation, entries, head: upto.seq });
    }

    fn acknowledge(
        &mut self,
        conn: ConnId,
        session: Session,
        conversation: ConversationId,
        upto: Stamp,
        out: &mut Outbox,
    ) {
        let connection = self.connections.get_mut(&conn).expect("it just spoke");
        let covered = |offer: &Offer| offer.conversation == conversation && offer.upto <= upto;
        match connection.offers.iter().position(covered) {
            Some(at) => {
                let Offer { from, term, .. } = connection.offers.remove(at);
                let outcome = OfferOutcome::Acknowledged(upto);
                out.send(from, Wire::Offered { session, conversation, term, outcome });
            }
            // It caught up by itself.
            None => out.send(
                self.config.directory.database,
                Wire::Advance { device: session.device, conversation, upto },
            ),
        }
    }
}

// Registration and reports.
impl Gateway {
    fn tell(&mut self, event: SessionEvent, out: &mut Outbox) {
        if self.unpublished.len() == limits::UNPUBLISHED_EVENTS_MAX {
            // What is on its way stays; the oldest of the rest goes.
            self.unpublished.remove(self.publishing);
        }
        self.unpublished.push_back(event);
        if self.publishing == 0 {
            self.publish(out);
        }
    }

    fn batch(&self) -> BatchId {
        BatchId { incarnation: self.incarnation, number: self.batch }
    }

    fn publish(&mut self, out: &mut Outbox) {
        if self.unpublished.is_empty() {
            return;
        }
        self.batch += 1;
        self.publishing = self.unpublished.len().min(limits::PUBLISH_EVENTS_MAX);
        self.repeat(out);
    }

    /// Says again whatever has not been acknowledged: the batch, the sweep of its own leftovers.
    fn repeat(&mut self, out: &mut Outbox) {
        if self.publishing > 0 {
            let events = self.unpublished.iter().take(self.publishing).copied().collect();
            let batch = self.batch();
            out.send(self.config.directory.event_log, Wire::Publish { batch, events });
        }
        if self.unswept {
            let upto = Incarnation(self.incarnation.0 - 1);
            let gateway = self.config.host;
            out.send(self.config.directory.registry, Wire::Sweep { gateway, upto });
        }
        if self.publishing > 0 || self.unswept {
            out.set_timer(Timer::Republish, limits::RETRY_STORE);
        }
    }

    /// Announces the next few live sessions again: what the registry lost comes back, at a rate.
    fn announce(&mut self, out: &mut Outbox) {
        let looks = (limits::ANNOUNCE_PERIOD.as_secs() / limits::REPORT_EVERY.as_secs()) as usize;
        let count = self.devices.len().div_ceil(looks);
        let after = self.announced.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.devices.range((after, Bound::Unbounded));
        // At the end, go on with the first.
        let next: Vec<_> =
            rest.chain(&self.devices).take(count).map(|(device, conn)| (*device, *conn)).collect();
        for (device, conn) in next {
            self.announced = Some(device);
            if let Some(session) = self.connections[&conn].session {
                self.tell(SessionEvent::Opened(session), out);
            }
        }
        // With few sessions, one at a time and seldom.
        let looks = self.devices.len().clamp(1, looks) as u32;
        out.set_timer(Timer::Announce, limits::ANNOUNCE_PERIOD / looks);
    }

    fn beat(&mut self, session: Session, out: &mut Outbox) {
        if self.beaten.is_empty() {
            out.set_timer(Timer::Report, limits::REPORT_EVERY);
        }
        self.beaten.push(session);
    }

    /// Passes the heartbeats on: to presence, and to the database as the question whether any of
    /// these devices is behind without knowing.
    fn report(&mut self, out: &mut Outbox) {
        let sessions = std::mem::take(&mut self.beaten);
        let devices = sessions.iter().map(|session| session.device).collect();
        out.send(self.config.directory.presence, Wire::Seen { devices });
        out.send(self.config.directory.database, Wire::Heads { sessions });
    }
}
