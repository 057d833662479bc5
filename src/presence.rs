//! Presence: what others see of a user, from when its devices were last heard.
//!
//! Told by gateways, once a second each, which connections have beaten and which were closed in
//! order. A user is what the best of its devices is; online, away and offline are times since a
//! device's last heartbeat, so a gateway's death shows as away, never as a flap. It tells gateways
//! of changes to the users who are watched there, and nobody else. It never talks to a device, and
//! keeps only the number of its boots on disk: after a restart it knows nobody until they beat.

mod people;
mod watchers;

use crate::design::Design;
use crate::disk::{Disk, Record};
use crate::id::{Incarnation, Session, UserId};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::Note;
use crate::time::{Instant, Now};
use crate::timing::Timing;
use crate::wire::{Sighting, Version, Wire};
use people::{Person, Thresholds};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What presence is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub timing: Arc<Timing>,
    pub design: Design,
}

#[derive(Clone, Debug)]
pub struct Presence {
    thresholds: Thresholds,
    people: BTreeMap<UserId, Person>,
    /// When each person's status could change next, at the earliest. Kept lazily: a heartbeat does
    /// not touch it, the sweep corrects it.
    deadlines: BTreeSet<(Instant, UserId)>,
    /// When the next sweep is due.
    sweep_at: Option<Instant>,
    watchers: watchers::Watchers,
    /// Of the last change.
    version: Version,
    booted_at: Instant,
    /// The boot number is durable: versions may be told to others.
    serving: bool,
    torn: bool,
}

impl Presence {
    pub fn boot(config: Config, disk: &Disk) -> Self {
        Self {
            thresholds: Thresholds::of(config.design.presence, &config.timing),
            people: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            sweep_at: None,
            watchers: watchers::Watchers::default(),
            version: Version { boot: disk.boot_number().0, change: 0 },
            booted_at: Instant(0),
            serving: false,
            torn: disk.torn,
        }
    }
}

impl Role for Presence {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => {
                if self.torn {
                    out.note(Note::TornRecord);
                }
                self.booted_at = now.mono;
                out.append(Record::Booted(Incarnation(self.version.boot)));
                out.sync();
            }
            Event::Synced { .. } => self.serving = true,
            Event::Received { wire: Wire::Seen { sessions, ended }, .. } => {
                for session in sessions {
                    self.seen(now.mono, session, out);
                }
                for session in ended {
                    self.ended(now.mono, session);
                }
                self.sweep_later(now.mono, out);
            }
            Event::Fired(Timer::Sweep) => {
                self.sweep_at = None;
                self.sweep(now.mono, out);
                self.sweep_later(now.mono, out);
            }
            // It asks again before long.
            Event::Received { wire: Wire::Watch { .. }, .. } if !self.serving => {}
            Event::Received { from, wire: Wire::Watch { users } } => {
                self.watch(now.mono, from, users, out);
                self.sweep_later(now.mono, out);
            }
            Event::Fired(Timer::Tell) => self.tell(now.mono, out),
            Event::Refused { .. } => {} // A gateway that restarts has nobody who watches.
            other => unreachable!("not for presence: {other:?}"),
        }
    }
}

// What is heard of whom.
impl Presence {
    fn seen(&mut self, now: Instant, session: Session, out: &mut Outbox) {
        let user = session.device.user;
        self.people.entry(user).or_default().seen(now, session);
        self.judge(now, user, out);
    }

    fn ended(&mut self, now: Instant, session: Session) {
        let user = session.device.user;
        if self.people.entry(user).or_default().ended(now, session) {
            // Perhaps it is back before then. If not, it is time to look.
            self.look_at(now + limits::PRESENCE_LINGER, user);
        }
    }

    /// Shows a user as what it is now, if that is news.
    fn judge(&mut self, now: Instant, user: UserId, out: &mut Outbox) {
        let person = self.people.get_mut(&user).expect("somebody whom presence knows");
        let (status, until) = person.stands(now, &self.thresholds);
        let news = person.shown.is_none_or(|(shown, _)| shown != status);
        if news {
            self.version.change += 1;
            person.shown = Some((status, self.version));
        }
        // While somebody stays as they are, the deadline that there is will do.
        let idle = person.deadline.is_none();
        if let Some(until) = until.filter(|_| news || idle) {
            self.look_at(until, user);
        }
        if news {
            out.note(Note::PresenceChanged { user, status });
            self.changed(user, out);
        }
    }

    fn sighting(&self, user: UserId) -> Option<Sighting> {
        let (status, version) = self.people.get(&user)?.shown?;
        Some(Sighting { user, status, version })
    }
}

// The passing of time.
impl Presence {
    /// Looks at this person then, or earlier.
    fn look_at(&mut self, at: Instant, user: UserId) {
        let person = self.people.get_mut(&user).expect("somebody whom presence knows");
        if person.deadline.is_none_or(|deadline| at < deadline) {
            if let Some(later) = person.deadline.replace(at) {
                self.deadlines.remove(&(later, user));
            }
            self.deadlines.insert((at, user));
        }
    }

    fn sweep_later(&mut self, now: Instant, out: &mut Outbox) {
        let Some((first, _)) = self.deadlines.first() else { return };
        // Deadlines of the same second share a sweep.
        let at = (*first).max(now + limits::REPORT_EVERY);
        if self.sweep_at.is_none_or(|armed| at < armed) {
            self.sweep_at = Some(at);
            out.set_timer(Timer::Sweep, at.since(now));
        }
    }

    fn sweep(&mut self, now: Instant, out: &mut Outbox) {
        while let Some((at, user)) = self.deadlines.first().copied() {
            if at > now {
                break;
            }
            self.deadlines.remove(&(at, user));
            self.people.get_mut(&user).expect("only people have deadlines").deadline = None;
            self.judge(now, user, out);
        }
    }
}
