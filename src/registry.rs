//! The registry: which gateway holds which device.
//!
//! The specification of what a Redis adapter must do, with a script per write that compares before
//! it sets. Asked by routers and workers, written by the consumer, swept by the cleaner and by
//! gateways that have rebooted. Order of arrival means nothing to it: a newer connection epoch
//! wins, and a removal names exactly the row it removes. Its disk is synced once a second, so a
//! crash may lose the last second; re-announcing brings that back.

use crate::design::Design;
use crate::disk::{Disk, Record};
use crate::id::{ConversationId, DeviceId, HostId, Incarnation, Session};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::{Note, Removal};
use crate::time::Now;
use crate::wire::{Displacement, SessionEvent, Wire};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    flushing: bool,
    /// Records appended in this boot.
    appended: u64,
    /// Answers to sweeps, each waiting for its record.
    swept_at: VecDeque<(u64, HostId, Wire)>,
    torn: bool,
}

impl Registry {
    pub fn boot(config: Config, disk: &Disk) -> Self {
        let mut registry = Self {
            design: config.design,
            rows: BTreeMap::new(),
            counters: BTreeMap::new(),
            swept: BTreeMap::new(),
            flushing: false,
            appended: 0,
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
                ref other => unreachable!("not the registry's record: {other:?}"),
            }
        }
        registry
    }
}

impl Role for Registry {
    fn step(&mut self, _now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted if self.torn => out.note(Note::TornRecord),
            Event::Booted => {}
            Event::Received { from, wire: Wire::Locate { device, conversation } } => {
                let live = self.rows.get(&device).filter(|row| row.state == State::Live);
                let session = live.map(|row| row.session);
                out.send(from, Wire::Located { device, conversation, session });
            }
            Event::Received { from, wire: Wire::Apply { partition, next, events } } => {
                let mut displaced = Vec::new();
                let mut dead = BTreeSet::new();
                for event in events {
                    match event {
                        SessionEvent::Opened(session) if self.is_swept(session) => {
                            out.note(Note::RowFenced { session });
                            dead.insert((session.gateway, session.incarnation));
                        }
                        SessionEvent::Opened(session) => {
                            displaced.extend(self.opened(session, out))
                        }
                        SessionEvent::Closed(session) => self.closed(session, out),
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
            Event::Received { wire: Wire::Evict { session }, .. } => {
                self.remove(session, Removal::Evicted, out);
            }
            Event::Received { from, wire: Wire::Sweep { gateway, upto } } => {
                // Nobody asks a second time, so this one answer waits for the disk.
                let rows = self.sweep(gateway, upto, out);
                self.swept_at.push_back((self.appended, from, Wire::Swept { gateway, upto, rows }));
                out.sync();
            }
            Event::Fired(Timer::Flush) => {
                self.flushing = false;
                out.sync();
            }
            Event::Synced { records } => {
                while let Some((_, to, wire)) =
                    self.swept_at.pop_front_if(|(record, ..)| *record <= records)
                {
                    out.send(to, wire);
                }
            }
            Event::Refused { .. } => {} // Whoever asked has died.
            other => unreachable!("not for the registry: {other:?}"),
        }
    }
}

impl Registry {
    fn is_swept(&self, session: Session) -> bool {
        self.swept.get(&session.gateway).is_some_and(|upto| session.incarnation <= *upto)
    }

    /// A session opened (or is announced again). Returns the one that thereby lost, if any.
    fn opened(&mut self, session: Session, out: &mut Outbox) -> Option<Displacement> {
        let Session { device, epoch, .. } = session;
        match self.rows.get(&device).copied() {
            Some(row) if row.session == session && row.state == State::Live => None,
            Some(row) if row.session == session && row.state == State::Evicted => {
                self.write(session, out);
                None
            }
            Some(row) if row.session.epoch >= epoch => {
                out.note(Note::RowFenced { session });
                let winner = row.session.epoch;
                // The same session, closed: its own gateway knows.
                (row.session != session).then_some(Displacement { loser: session, winner })
            }
            Some(Row { session: loser, state: State::Live }) => {
                self.write(session, out);
                Some(Displacement { loser, winner: epoch })
            }
            Some(_) | None => {
                self.write(session, out);
                None
            }
        }
    }

    /// A session closed. Only its own row goes; a newer one stays.
    fn closed(&mut self, session: Session, out: &mut Outbox) {
        match self.rows.get(&session.device).copied() {
            Some(row) if row.session == session && row.state == State::Live => {
                self.remove(session, Removal::Closed, out)
            }
            Some(row) if row.session.epoch >= session.epoch => {
                if row.session != session {
                    out.note(Note::RowFenced { session });
                } else {
                    self.mark_closed(session, out);
                }
            }
            // Closed before it was seen open: remember, so that the late opening is fenced. The
            // device has left the older connection for the one that closed.
            Some(row) if row.state == State::Live => {
                self.remove(row.session, Removal::Closed, out);
                self.mark_closed(session, out);
            }
            Some(_) | None => self.mark_closed(session, out),
        }
    }

    fn write(&mut self, session: Session, out: &mut Outbox) {
        self.rows.insert(session.device, Row { session, state: State::Live });
        out.note(Note::RowWritten { session });
        self.record(Record::Row(session), out);
    }

    /// Compare and delete: removes exactly this session's row, if it is there.
    fn remove(&mut self, session: Session, why: Removal, out: &mut Outbox) {
        let Some(row) = self.rows.get_mut(&session.device) else { return };
        if row.session != session || row.state != State::Live {
            return;
        }
        row.state = if why == Removal::Closed { State::Closed } else { State::Evicted };
        out.note(Note::RowRemoved { session, why });
        self.record(Record::RowRemoved { session, why }, out);
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
        let owned = |row: &&Row| {
            row.state == State::Live
                && row.session.gateway == gateway
                && row.session.incarnation <= upto
        };
        let sessions: Vec<_> = self.rows.values().filter(owned).map(|row| row.session).collect();
        for session in &sessions {
            self.remove(*session, Removal::Swept, out);
        }
        sessions.len() as u32
    }

    fn record(&mut self, record: Record, out: &mut Outbox) {
        out.append(record);
        self.appended += 1;
        if !std::mem::replace(&mut self.flushing, true) {
            out.set_timer(Timer::Flush, limits::REGISTRY_FLUSH);
        }
    }
}
