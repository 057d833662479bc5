//! The registry: which gateway holds which device.
//!
//! The specification of what a Redis adapter must do, with a script per write that compares before
//! it sets. Asked by routers and workers, written by the consumers, swept by the cleaner and by
//! gateways that have rebooted. Order of arrival means nothing to it: a newer connection epoch
//! wins, and a removal names exactly the row it removes. Its disk is synced once a second, so a
//! crash may lose the last second; it says which of its boots it is in, as Redis does by its
//! `run_id`, and announcing brings back what was lost. It never asks anybody anything.

mod fencing;
mod scheduled;
mod takeover;

use crate::design::Design;
use crate::disk::{Disk, Record};
use crate::id::{ConversationId, DeviceId, HostId, Incarnation, Session, Term, UserId};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::{Note, Removal};
use crate::time::Now;
use crate::wire::{Displacement, SessionEvent, Wire};
use fencing::{Closing, Opening};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use takeover::Takeovers;

/// What a registry is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub design: Design,
}

/// What is known of a device's connection.
#[derive(Clone, Copy, Debug)]
struct Row {
    session: Session,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Routable.
    Live,
    /// Removed because its gateway said "not here": its own gateway may announce it again.
    Evicted,
    /// Its gateway said that it closed. It never comes back; kept so that a late announcement of
    /// it is recognised.
    Closed,
}

#[derive(Clone, Debug)]
pub struct Registry {
    design: Design,
    rows: BTreeMap<DeviceId, Row>,
    /// The last number of each conversation, where it is a counter here that gives them.
    counters: BTreeMap<ConversationId, u64>,
    /// Incarnations up to these own nothing any more.
    swept: BTreeMap<HostId, Incarnation>,
    takeovers: Takeovers,
    /// Which boot this is; told to others once it is durable.
    boot: Incarnation,
    booted: bool,
    flushing: bool,
    /// Records appended in this boot.
    appended: u64,
    /// The newest term under which the scheduled job was asked for.
    job_term: Term,
    /// Answers to sweeps, each waiting for its record; with it a job's run is a fact.
    swept_at: VecDeque<(u64, HostId, Wire, Option<Note>)>,
    torn: bool,
}

impl Registry {
    pub fn boot(config: Config, disk: &Disk) -> Self {
        let mut registry = Self {
            design: config.design,
            rows: BTreeMap::new(),
            counters: BTreeMap::new(),
            swept: BTreeMap::new(),
            takeovers: Takeovers::default(),
            boot: disk.boot_number(),
            booted: false,
            flushing: false,
            appended: 0,
            job_term: Term::UNLEASED,
            swept_at: VecDeque::new(),
            torn: disk.torn,
        };
        for record in &disk.records {
            match *record {
                Record::Row(session) => {
                    registry.rows.insert(session.device, Row { session, state: State::Live });
                }
                Record::RowRemoved { session, why } => {
                    let state = if why == Removal::Closed { State::Closed } else { State::Evicted };
                    registry.rows.insert(session.device, Row { session, state });
                }
                Record::Counted { conversation, number } => {
                    registry.counters.insert(conversation, number);
                }
                Record::Swept { gateway, incarnation } => {
                    registry.swept.insert(gateway, incarnation);
                }
                Record::JobTerm(term) => registry.job_term = term,
                Record::Booted(_) => {} // Counted already.
                ref other => unreachable!("not the registry's record: {other:?}"),
            }
        }
        registry
    }
}

impl Role for Registry {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => self.begin(out),
            // A boot that is not durable yet might be counted once more.
            Event::Received { from, wire: Wire::Ping { nonce } } if self.booted => {
                let (incarnation, connections) = (self.boot, self.rows.len() as u32);
                out.send(from, Wire::Pong { nonce, incarnation, connections, draining: false });
            }
            Event::Received { wire: Wire::Ping { .. }, .. } => {}
            Event::Received { from, wire: Wire::Locate { device, conversation } } => {
                let live = self.rows.get(&device).filter(|row| row.state == State::Live);
                let session = live.map(|row| row.session);
                out.send(from, Wire::Located { device, conversation, session });
            }
            Event::Received { from, wire: Wire::Apply { partition, next, events } } => {
                let mut displaced = Vec::new();
                let mut dead = BTreeSet::new();
                for event in events {
                    match self.applied(now, event, out) {
                        Some(Objection::Displaced(displacement)) => displaced.push(displacement),
                        Some(Objection::Dead(gateway, incarnation)) => {
                            dead.insert((gateway, incarnation));
                        }
                        None => {}
                    }
                }
                let dead = dead.into_iter().collect();
                out.send(from, Wire::Applied { partition, next, displaced, dead });
            }
            // `INCR`: answered at once, on disk within the second.
            Event::Received { from, wire: Wire::Count { conversation, id } } => {
                let number = self.counters.entry(conversation).or_default();
                *number += 1;
                let number = *number;
                self.record(Record::Counted { conversation, number }, out);
                out.send(from, Wire::Counted { conversation, id, number });
            }
            // Written by the gateway itself: nobody in between tells the others.
            Event::Received { from, wire: Wire::Register { event } } => {
                match self.applied(now, event, out) {
                    Some(Objection::Displaced(displacement)) => {
                        out.send(displacement.loser.gateway, Wire::Displace(displacement));
                    }
                    Some(Objection::Dead(_, incarnation)) => {
                        out.send(from, Wire::DeclaredDead { incarnation });
                    }
                    None => {}
                }
            }
            Event::Received { wire: Wire::SteppedDown { .. }, .. } => {} // As it was told.
            Event::Received { wire: Wire::Displaced(displacement), .. } => {
                self.takeovers.confirmed(displacement, out);
            }
            Event::Fired(Timer::Takeover) => self.takeovers.expire(now.mono, out),
            Event::Received { wire: Wire::Evict { session }, .. } => {
                let row = self.live(session.device);
                let row = row.filter(|row| fencing::named(self.design.fencing, *row, session));
                if let Some(row) = row {
                    self.remove(row, session, Removal::Evicted, out);
                }
            }
            Event::Received { from, wire: Wire::Sweep { gateway, upto } } => {
                // Nobody asks a second time, so this one answer waits for the disk.
                let rows = self.sweep(gateway, upto, out);
                let answer = Wire::Swept { gateway, upto, rows };
                self.swept_at.push_back((self.appended, from, answer, None));
                out.sync();
            }
            Event::Received { from, wire: Wire::SweepUnder { gateway, upto, term } } => {
                self.sweep_under(from, gateway, upto, term, out)
            }
            Event::Received { from, wire: Wire::ListUsers { gateway } } => {
                let users = self.users_on(gateway);
                out.send(from, Wire::UsersOn { gateway, users });
            }
            Event::Received { from, wire: Wire::DeleteByServer { gateway, incarnation } } => {
                let rows = self.delete_where(|row| row.gateway == gateway, out);
                out.send(from, Wire::Swept { gateway, upto: incarnation, rows });
            }
            Event::Received { from, wire: Wire::DeleteUsers { gateway, incarnation, users } } => {
                let rows = self.delete_where(|row| users.contains(&row.device.user), out);
                out.send(from, Wire::Swept { gateway, upto: incarnation, rows });
            }
            Event::Fired(Timer::Flush) => {
                self.flushing = false;
                out.sync();
            }
            Event::Synced { records } => {
                self.booted = true; // The boot is the first record.
                while let Some((_, to, wire, ran)) =
                    self.swept_at.pop_front_if(|(record, ..)| *record <= records)
                {
                    ran.into_iter().for_each(|note| out.note(note));
                    out.send(to, wire);
                }
            }
            Event::Refused { .. } => {} // Whoever asked has died.
            other => unreachable!("not for the registry: {other:?}"),
        }
    }
}

/// What there is to say against a session that wants a row.
enum Objection {
    /// It lost to a newer one, or took an older one's row.
    Displaced(Displacement),
    /// Its incarnation was swept and does not know.
    Dead(HostId, Incarnation),
}

impl Registry {
    fn begin(&mut self, out: &mut Outbox) {
        if self.torn {
            out.note(Note::TornRecord);
        }
        for row in self.rows.values().filter(|row| row.state == State::Live) {
            out.note(Note::RowRestored { session: row.session });
        }
        out.append(Record::Booted(self.boot));
        self.appended += 1;
        out.sync();
    }

    fn is_swept(&self, session: Session) -> bool {
        fencing::keeps_out_the_swept(self.design.fencing)
            && self.swept.get(&session.gateway).is_some_and(|upto| session.incarnation <= *upto)
    }

    /// The device's routable session.
    fn live(&self, device: DeviceId) -> Option<Session> {
        self.rows.get(&device).filter(|row| row.state == State::Live).map(|row| row.session)
    }

    fn applied(&mut self, now: Now, event: SessionEvent, out: &mut Outbox) -> Option<Objection> {
        match event {
            SessionEvent::Opened(session) if self.is_swept(session) => {
                out.note(Note::RowFenced { session });
                Some(Objection::Dead(session.gateway, session.incarnation))
            }
            SessionEvent::Opened(session) => {
                self.opened(now, session, out).map(Objection::Displaced)
            }
            SessionEvent::Closed(session) => {
                self.closed(session, out);
                None
            }
        }
    }

    /// A session opened (or is announced again). Returns the one that thereby lost, if any.
    fn opened(&mut self, now: Now, session: Session, out: &mut Outbox) -> Option<Displacement> {
        let row = self.rows.get(&session.device).copied();
        match fencing::opened(self.design.fencing, row, session) {
            Opening::Known => self.takeovers.begun_by(session),
            Opening::Written { displaced } => {
                self.write(session, out);
                let loser = displaced?;
                let displacement = Displacement { loser, winner: session.epoch };
                self.takeovers.begin(now.mono, displacement, out);
                Some(displacement)
            }
            Opening::Fenced { winner } => {
                out.note(Note::RowFenced { session });
                winner.map(|winner| Displacement { loser: session, winner })
            }
        }
    }

    /// A session closed. Only its own row goes; a newer one stays.
    fn closed(&mut self, session: Session, out: &mut Outbox) {
        self.takeovers.closed(session, out);
        let row = self.rows.get(&session.device).copied();
        match fencing::closed(self.design.fencing, row, session) {
            Closing::Removed(row) => self.remove(row, session, Removal::Closed, out),
            Closing::Outlived(older) => {
                self.remove(older, older, Removal::Closed, out);
                self.mark_closed(session, out);
            }
            Closing::Remembered => self.mark_closed(session, out),
            Closing::Fenced => out.note(Note::RowFenced { session }),
            Closing::Nothing => {}
        }
    }

    fn write(&mut self, session: Session, out: &mut Outbox) {
        self.rows.insert(session.device, Row { session, state: State::Live });
        out.note(Note::RowWritten { session });
        self.record(Record::Row(session), out);
    }

    /// Removes a row that is there, in the name of the session that was asked for.
    fn remove(&mut self, row: Session, named: Session, why: Removal, out: &mut Outbox) {
        let state = if why == Removal::Closed { State::Closed } else { State::Evicted };
        self.rows.insert(row.device, Row { session: row, state });
        if named != row {
            out.note(Note::RowMistaken { named, row });
        }
        out.note(Note::RowRemoved { session: row, why });
        self.record(Record::RowRemoved { session: row, why }, out);
    }

    fn mark_closed(&mut self, session: Session, out: &mut Outbox) {
        self.rows.insert(session.device, Row { session, state: State::Closed });
        self.record(Record::RowRemoved { session, why: Removal::Closed }, out);
    }

    fn sweep(&mut self, gateway: HostId, upto: Incarnation, out: &mut Outbox) -> u32 {
        let floor = self.swept.entry(gateway).or_insert(upto);
        *floor = (*floor).max(upto);
        let incarnation = *floor;
        self.record(Record::Swept { gateway, incarnation }, out);
        self.takeovers.swept(gateway, upto, out);
        let fencing = self.design.fencing;
        self.delete_where(|row| fencing::owned(fencing, row, gateway, upto), out)
    }

    /// Removes these rows and says how many there were.
    fn delete_where(&mut self, which: impl Fn(Session) -> bool, out: &mut Outbox) -> u32 {
        let live = self.rows.values().filter(|row| row.state == State::Live);
        let sessions: Vec<_> = live.map(|row| row.session).filter(|row| which(*row)).collect();
        for session in &sessions {
            self.remove(*session, *session, Removal::Swept, out);
        }
        sessions.len() as u32
    }

    /// The users with a row of this gateway, each once.
    fn users_on(&self, gateway: HostId) -> Vec<UserId> {
        let live = self.rows.values().filter(|row| row.state == State::Live);
        let on = live.filter(|row| row.session.gateway == gateway);
        let mut users: Vec<UserId> = on.map(|row| row.session.device.user).collect();
        users.dedup(); // Rows are in the order of their devices.
        users
    }

    fn record(&mut self, record: Record, out: &mut Outbox) {
        out.append(record);
        self.appended += 1;
        if !std::mem::replace(&mut self.flushing, true) {
            out.set_timer(Timer::Flush, limits::REGISTRY_FLUSH);
        }
    }
}
