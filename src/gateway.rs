//! A gateway (people call it `server-7`): tens of thousands of connections, one per device.
//!
//! It talks to devices in frames, to routers and the database for them, publishes its sessions to
//! the event log, and answers offers. It accepts only offers that name this incarnation and a
//! connection epoch that is here, and calls a message delivered only when the device itself says
//! so. It never writes the registry (but see [`crate::design::Registration`]), and never keeps a
//! message: what is not acknowledged is the database's to deliver again.

pub mod admission;
mod drain;
mod messages;
mod outgoing;
mod registration;
mod sessions;
mod watching;

use crate::design::Design;
use crate::directory::Directory;
use crate::disk::{Disk, Record};
use crate::frame::Frame;
use crate::id::{
    ConnId, ConversationId, DeviceId, HostId, Incarnation, Place, Session, Stamp, Term,
};
use crate::limits;
use crate::node::{Command, Event, Outbox, Role, Timer};
use crate::note::{Class, Note, SessionEnd};
use crate::time::{Instant, Now};
use crate::timing::Timing;
use crate::wire::{Displacement, SessionEvent, Wire};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What a gateway is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub host: HostId,
    pub directory: Arc<Directory>,
    pub timing: Arc<Timing>,
    pub design: Design,
    /// The newest version of the protocol that it speaks with devices.
    pub protocol: u8,
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
    /// The epoch of the sequence that the device has heard of, once it has said so.
    heard_of: Option<u32>,
    /// The version of the protocol that both ends speak; the oldest until the device's hello.
    protocol: u8,
    /// The device was asked to go elsewhere, and nothing is offered to it any more.
    leaving: bool,
    /// Pages that the device has not acknowledged.
    pages: Vec<outgoing::Page>,
    /// When the device last acknowledged anything, or had nothing to acknowledge.
    progress: Instant,
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
    /// All are to be announced soon, from the first to the last.
    hurry: bool,
    /// The latest boot of the registry that it spoke of.
    registry_boot: Option<Incarnation>,
    /// The latest leader of the event log that it spoke of.
    log_epoch: u32,
    /// A check of the registry and the log is due.
    checking: bool,
    checks_unanswered: u32,

    /// Sessions that have beaten since the last report, and the epoch that each has heard of.
    beaten: Vec<(Session, Option<u32>)>,
    /// Sessions that their devices have closed in order since the last report.
    left: Vec<Session>,
    /// Whose presence is watched here, by whom.
    watching: watching::Watching,
    /// The router that was asked last.
    router: usize,
    /// Routers that refused, and until when they are not asked.
    avoided: BTreeMap<HostId, Instant>,
    /// The registry still holds rows of earlier incarnations.
    unswept: bool,
    torn: bool,

    door: admission::Door,
    backlog: admission::Backlog,
    /// An operator takes this gateway out; also under a later incarnation of this process.
    drain: drain::Stage,
}

/// A router that refused is asked again after this long: a restart takes seconds.
const AVOID_ROUTER: Duration = Duration::from_secs(1);

/// How often silent connections are looked for, as a share of the allowed silence.
const SILENCE_CHECKS: u32 = 5;

impl Gateway {
    pub fn boot(config: Config, disk: &Disk) -> Self {
        Self {
            incarnation: disk.boot_number(),
            serving: false,
            connections: BTreeMap::new(),
            devices: BTreeMap::new(),
            unpublished: VecDeque::new(),
            publishing: 0,
            batch: 0,
            announced: None,
            hurry: false,
            registry_boot: None,
            log_epoch: Place::START.epoch,
            checking: false,
            checks_unanswered: 0,
            beaten: Vec::new(),
            left: Vec::new(),
            watching: watching::Watching::default(),
            router: config.host.0 as usize,
            avoided: BTreeMap::new(),
            unswept: false,
            torn: disk.torn,
            door: admission::Door::new(config.timing.admit),
            backlog: admission::Backlog::new(config.timing.catch_up),
            drain: drain::Stage::Serving,
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
                if self.announces() {
                    out.set_timer(Timer::Announce, limits::ANNOUNCE_PERIOD);
                }
                self.begin_incarnation(out);
            }
            Event::Synced { .. } => self.serve(out),

            // Connections.
            Event::Opened { conn } if self.may_accept() => {
                let earlier = self.connections.insert(conn, Connection::opened(now.mono));
                assert!(earlier.is_none(), "{}: {conn} opened twice", self.config.host);
            }
            Event::Opened { conn } => out.close(conn),
            Event::Closed { conn, cause } => {
                self.end_session(conn, SessionEnd::Closed(cause), out);
                self.finish_drain_if_empty(out);
            }
            Event::Arrived { conn, frame } => {
                // A frame that arrives after the gateway closed its end finds nothing.
                let Some(connection) = self.connections.get_mut(&conn) else { return };
                connection.last_heard = now.mono;
                let class = Class::of(&frame);
                match (frame, connection.session) {
                    (Frame::Hello { device, epoch, protocol }, None) => {
                        connection.protocol = protocol.min(self.config.protocol);
                        self.greet(now, conn, device, epoch, out)
                    }
                    (Frame::Send(message), Some(session))
                        if message.id.device == session.device =>
                    {
                        self.route(now, session, message, out)
                    }
                    (Frame::Ack { conversation, upto }, Some(session)) => {
                        connection.acknowledges(now.mono, conversation, upto);
                        self.acknowledge(conn, session, conversation, upto, out)
                    }
                    (Frame::CatchUp { epoch, next, all }, Some(session)) => {
                        connection.heard_of = Some(epoch);
                        let question = Wire::CatchUp { session, epoch, next, all };
                        self.take_on(now, class, session, question, out)
                    }
                    (Frame::FullSync { conversation, next }, Some(session)) => {
                        let question = Wire::FullSync { session, conversation, next };
                        self.take_on(now, class, session, question, out)
                    }
                    (Frame::Reject { conversation, at }, Some(session)) => {
                        self.reject(conn, session, conversation, at, out)
                    }
                    (Frame::Heartbeat, Some(session)) => {
                        let heard_of = connection.heard_of;
                        self.beat(session, heard_of, out);
                        self.write(conn, Frame::HeartbeatAck, out);
                    }
                    (Frame::Watch { users }, Some(_)) => self.watch(conn, users, out),
                    (Frame::Read { conversation, upto }, Some(session)) => out.send(
                        self.config.directory.database,
                        Wire::Read { session, conversation, upto },
                    ),
                    (Frame::MarksAfter { version }, Some(session)) => out.send(
                        self.config.directory.database,
                        Wire::MarksAfter { session, version },
                    ),
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
                    self.write(conn, Frame::Outcome { id, outcome }, out);
                }
            }
            Event::Refused { to, wire: Wire::Route { session, message } } => {
                self.avoided.insert(to, now.mono + AVOID_ROUTER);
                self.route(now, session, message, out);
            }

            // A message's way out.
            Event::Received { from, wire: Wire::Offer { session, conversation, term, batch } } => {
                self.look_at_reader(now, session, conversation, batch.entries.len(), out);
                self.offer(from, session, conversation, term, batch, out);
            }
            Event::Received { wire: Wire::Page { session, conversation, batch }, .. } => {
                self.page(now, session, conversation, batch, out)
            }
            Event::Received { wire: Wire::Truncated { session, conversation }, .. } => {
                if let Some(conn) = self.connection_of(session) {
                    self.write(conn, Frame::Truncated { conversation }, out);
                }
            }
            Event::Received { wire: Wire::Renumbered { session, epoch }, .. } => {
                if let Some(conn) = self.connection_of(session) {
                    self.write(conn, Frame::Renumbered { epoch }, out);
                }
            }
            Event::Received { wire: Wire::Behind { session, heads }, .. } => {
                if let Some(conn) = self.connection_of(session) {
                    self.write(conn, Frame::Behind { heads }, out);
                }
            }

            // Presence and receipts, for those who asked.
            Event::Received { wire: Wire::Statuses { statuses }, .. } => {
                self.fan_out(statuses, out)
            }
            Event::Fired(Timer::Watch) => self.watch_again(out),
            Event::Received { wire: Wire::Marks { session, upto, marks }, .. } => {
                if let Some(conn) = self.connection_of(session) {
                    self.write(conn, Frame::Marks { upto, marks }, out);
                }
            }

            // Registration.
            Event::Received { wire: Wire::Published { batch }, .. } if batch == self.batch() => {
                self.unpublished.drain(..self.publishing);
                self.publishing = 0;
                self.publish(out);
                self.finish_drain_if_empty(out);
            }
            Event::Received { wire: Wire::Published { .. }, .. } => {} // Of an earlier try.
            Event::Fired(Timer::Republish) => self.repeat(out),
            // An answer to an earlier sweep does not end this incarnation's.
            Event::Received { wire: Wire::Swept { upto, .. }, .. } => {
                self.unswept &= upto.0 + 1 != self.incarnation.0
            }
            // Confirmed also if it is not here: a connection that is over does not come back.
            Event::Received { from, wire: Wire::Displace(displacement) } => {
                let Displacement { loser, winner } = displacement;
                if let Some(conn) = self.connection_of(loser) {
                    self.write(conn, Frame::Displaced { winner }, out);
                    self.end_session(conn, SessionEnd::Displaced, out);
                    out.close(conn);
                }
                out.send(from, Wire::Displaced(displacement));
            }
            Event::Received { wire: Wire::Pong { incarnation, .. }, .. } => {
                self.registry_is_in(incarnation, out)
            }
            Event::Received { wire: Wire::Leader { epoch }, .. } => self.log_is_led(epoch, out),
            Event::Fired(Timer::RegistryCheck) => self.check_registry(out),

            // Health.
            Event::Received { from, wire: Wire::Ping { nonce } } if self.serving => {
                self.pong(from, nonce, out)
            }
            Event::Received { wire: Wire::Ping { .. }, .. } => {} // Not ready: not healthy.
            Event::Received { from, wire: Wire::DeclaredDead { incarnation } } => {
                if incarnation == self.incarnation {
                    self.step_down(out);
                }
                out.send(from, Wire::SteppedDown { incarnation });
            }
            Event::Fired(Timer::Silence) => self.look_after(now, out),
            Event::Fired(Timer::Announce) => self.announce(out),
            Event::Fired(Timer::Report) => self.report(out),
            Event::Fired(Timer::Backlog) => self.serve_backlog(now, out),

            // Going out of service.
            Event::Commanded(Command::Drain) => self.begin_drain(out),
            Event::Fired(Timer::HandOff) => self.hand_off(out),
            Event::Fired(Timer::DrainLimit) => self.end_drain(out),

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
        if self.announces() {
            // Before there is anything to lose: which boot of the registry is told of it.
            out.send(self.config.directory.registry, Wire::Ping { nonce: 0 });
        }
        self.repeat(out);
    }

    /// The fleet has removed this incarnation's rows: its connections are deaf. Close them all and
    /// begin again under a new incarnation, which is not fenced.
    fn step_down(&mut self, out: &mut Outbox) {
        out.note(Note::SteppedDown { incarnation: self.incarnation });
        for conn in self.connections.keys().copied().collect::<Vec<_>>() {
            self.write(conn, Frame::GoAway, out);
            self.end_session(conn, SessionEnd::SteppedDown, out);
            out.close(conn);
        }
        self.incarnation.0 += 1;
        self.begin_incarnation(out);
    }
}
