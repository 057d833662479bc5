//! The cleaner: removes the registry rows of a gateway that has been dead for long enough.
//!
//! Told by monitors what they see, it acts when at least two of them have seen a gateway silent for
//! `clean_after`: on the latest incarnation that any of them has met. It removes the rows of that
//! incarnation and no others, and tells the gateway, should it come back, that it was held for
//! dead: a paused server would otherwise keep connections that nobody can reach. Of several
//! cleaners one does so at a time, see [`lease`]. It never looks at a device.

mod lease;
mod textbook;

use crate::design::{self, Design};
use crate::directory::Directory;
use crate::id::{HostId, Incarnation};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::Note;
use crate::time::{Instant, Now};
use crate::timing::Timing;
use crate::wire::Wire;
use lease::Lease;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use textbook::Job;

/// What a cleaner is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: Arc<Directory>,
    pub timing: Arc<Timing>,
    pub design: Design,
}

/// What one observer said last.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    said_at: Instant,
    incarnation: Incarnation,
    /// For how long, when it was said. The observer's own clock, which may be older than this one.
    silent_for: Duration,
}

/// How far the burial of an incarnation has come.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    incarnation: Incarnation,
    swept: bool,
    /// When something was last asked for in its name.
    told_at: Instant,
}

#[derive(Clone, Debug)]
pub struct Cleaner {
    config: Config,
    suspicions: BTreeMap<(HostId, HostId), Suspicion>,
    verdicts: BTreeMap<HostId, Verdict>,
    lease: Lease,
    /// What the textbook's cleaner has to do; the sound one judges.
    jobs: BTreeMap<HostId, Job>,
    /// A look is due. With nobody suspected and nobody buried there is nothing to look at.
    looking: bool,
}

impl Cleaner {
    pub fn boot(config: Config) -> Self {
        Self {
            config,
            suspicions: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            lease: Lease::default(),
            jobs: BTreeMap::new(),
            looking: false,
        }
    }
}

impl Role for Cleaner {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted | Event::Fired(Timer::Campaign) => self.campaign(now.mono, out),
            Event::Received { from, wire: Wire::Suspect { gateway, incarnation, silent_for } } => {
                if self.is_sound() {
                    let suspicion = Suspicion { said_at: now.mono, incarnation, silent_for };
                    self.suspicions.insert((gateway, from), suspicion);
                } else {
                    self.schedule(now.mono, gateway, incarnation, silent_for, out);
                }
                self.look_later(out);
            }
            Event::Fired(Timer::Judge) if !self.is_sound() => {
                self.looking = false;
                if self.may_begin(now.mono) {
                    self.carry_out(now.mono, out);
                }
                self.look_later(out);
            }
            Event::Received { wire: Wire::JobLeased { ask, term, lasts }, .. } => {
                self.leased(ask, term, lasts, out)
            }
            Event::Received { wire: Wire::SweepRefused { newest, .. }, .. } => {
                self.overtaken(newest)
            }
            Event::Received { wire: Wire::UsersOn { gateway, users }, .. } => {
                self.users_on(gateway, users)
            }
            Event::Received { wire: Wire::Swept { gateway, rows, .. }, .. } if !self.is_sound() => {
                self.carried_out(gateway, rows, out)
            }
            Event::Fired(Timer::Judge) => {
                self.looking = false;
                let life = self.config.timing.probe * limits::SUSPICION_PROBES;
                self.suspicions.retain(|_, s| now.mono.since(s.said_at) < life);
                for gateway in self.config.directory.gateways.clone() {
                    self.judge(now.mono, gateway, out);
                }
                self.look_later(out);
            }
            Event::Received { wire: Wire::Swept { gateway, upto, rows }, .. } => {
                let verdict = self.verdicts.get_mut(&gateway);
                if let Some(verdict) = verdict.filter(|v| v.incarnation == upto && !v.swept) {
                    verdict.swept = true;
                    out.note(Note::Cleaned { gateway, incarnation: upto, rows });
                }
            }
            Event::Received { from, wire: Wire::SteppedDown { incarnation } } => {
                // Only its own verdict is closed: a later one stands.
                if self.verdicts.get(&from).is_some_and(|v| v.incarnation == incarnation && v.swept)
                {
                    self.verdicts.remove(&from);
                }
            }
            Event::Refused { .. } => {} // Asked again at the next look.
            other => unreachable!("not for a cleaner: {other:?}"),
        }
    }
}

impl Cleaner {
    /// Whether it judges, or carries out a job at its time.
    fn is_sound(&self) -> bool {
        match self.config.design.cleaner {
            design::Cleaner::CompareAndDelete => true,
            design::Cleaner::ByServerName | design::Cleaner::ByUser => false,
        }
    }

    fn look_later(&mut self, out: &mut Outbox) {
        let something = !self.suspicions.is_empty() || !self.verdicts.is_empty() || self.has_jobs();
        if something && !std::mem::replace(&mut self.looking, true) {
            out.set_timer(Timer::Judge, self.config.timing.probe);
        }
    }

    fn judge(&mut self, now: Instant, gateway: HostId, out: &mut Outbox) {
        let clean_after = self.config.timing.clean_after;
        let observers = (gateway, HostId(0))..=(gateway, HostId(u32::MAX));
        let suspicions: Vec<Suspicion> =
            self.suspicions.range(observers).map(|(_, suspicion)| *suspicion).collect();
        let suspected = suspicions.iter().map(|s| s.incarnation).max();
        // An observer that never met this incarnation (it was down meanwhile) has seen all the same
        // that nobody answers at the address.
        let agreed = suspicions
            .iter()
            .filter(|s| s.silent_for + now.since(s.said_at) >= clean_after)
            .count();
        let judged = self.verdicts.get(&gateway).map(|verdict| verdict.incarnation);
        if let Some(incarnation) = suspected
            && agreed >= limits::OBSERVERS_MIN
            && judged < suspected
            && self.may_begin(now)
        {
            out.note(Note::DeclaredDead { gateway, incarnation });
            self.verdicts.insert(gateway, Verdict { incarnation, swept: false, told_at: now });
            self.sweep(now, gateway, incarnation, out);
        }
        // One observer may be cut off by itself; that must not keep the word from the gateway.
        let seen_again = suspicions.len() < limits::OBSERVERS_MIN;
        self.enforce(now, gateway, seen_again, out);
    }

    /// Repeats what has not been answered: the sweep, and the word to a gateway that is seen again.
    fn enforce(&mut self, now: Instant, gateway: HostId, seen_again: bool, out: &mut Outbox) {
        let Some(verdict) = self.verdicts.get_mut(&gateway) else { return };
        if now.since(verdict.told_at) < limits::RETRY_STORE {
            return;
        }
        let Verdict { incarnation, swept, .. } = *verdict;
        if !swept || seen_again {
            verdict.told_at = now;
        }
        if !swept {
            self.sweep(now, gateway, incarnation, out);
        }
        if seen_again {
            out.send(gateway, Wire::DeclaredDead { incarnation });
        }
    }
}
