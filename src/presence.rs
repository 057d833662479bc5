//! Presence: what others see of a user, from when its devices were last heard.
//!
//! Told of heartbeats by gateways, once a second each. Online, away and offline are times since
//! the last heartbeat of any of the user's devices and nothing else, so a gateway's death shows as
//! away, never as a flap. It never talks to a device and keeps nothing on a disk: after a restart
//! it knows nobody until they beat.

use crate::design::Design;
use crate::id::UserId;
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::{Note, Status};
use crate::time::{Instant, Now};
use crate::timing::Timing;
use crate::wire::Wire;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What presence is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub timing: Arc<Timing>,
    pub design: Design,
}

#[derive(Clone, Copy, Debug)]
struct Person {
    last_seen: Instant,
    status: Status,
}

#[derive(Clone, Debug)]
pub struct Presence {
    config: Config,
    people: BTreeMap<UserId, Person>,
    /// When each person's status could change next, at the earliest. Kept lazily: a heartbeat does
    /// not touch it, the sweep corrects it.
    deadlines: BTreeSet<(Instant, UserId)>,
    /// When the next sweep is due.
    sweep_at: Option<Instant>,
}

impl Presence {
    pub fn boot(config: Config) -> Self {
        Self { config, people: BTreeMap::new(), deadlines: BTreeSet::new(), sweep_at: None }
    }
}

impl Role for Presence {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => {}
            Event::Received { wire: Wire::Seen { devices }, .. } => {
                devices.into_iter().for_each(|device| self.seen(now.mono, device.user, out));
                self.sweep_later(now.mono, out);
            }
            Event::Fired(Timer::Sweep) => {
                self.sweep_at = None;
                self.sweep(now.mono, out);
                self.sweep_later(now.mono, out);
            }
            other => unreachable!("not for presence: {other:?}"),
        }
    }
}

impl Presence {
    fn seen(&mut self, now: Instant, user: UserId, out: &mut Outbox) {
        let known = self.people.get(&user).map(|person| person.status);
        self.people.insert(user, Person { last_seen: now, status: Status::Online });
        if known != Some(Status::Online) {
            out.note(Note::PresenceChanged { user, status: Status::Online });
            self.deadlines.insert((now + self.config.timing.online, user));
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
            let person = self.people.get_mut(&user).expect("only people have deadlines");
            let silent = now.since(person.last_seen);
            let Timing { online, offline, .. } = *self.config.timing;
            let (status, next) = match silent {
                silent if silent < online => (Status::Online, Some(online)),
                silent if silent < offline => (Status::Away, Some(offline)),
                _ => (Status::Offline, None),
            };
            if std::mem::replace(&mut person.status, status) != status {
                out.note(Note::PresenceChanged { user, status });
            }
            if let Some(after) = next {
                self.deadlines.insert((person.last_seen + after, user));
            }
        }
    }
}
