//! A monitor: one observer of the gateways.
//!
//! It probes every gateway and tells the cleaners which incarnation has been silent, and for how
//! long. It only says what it sees; that a gateway is dead is decided by the cleaner, and only
//! when several monitors see the same. Which incarnations it has met is on its disk, so that one
//! that boots after a gateway's death misses it too.

use crate::directory::Directory;
use crate::disk::{Disk, Record};
use crate::id::{HostId, Incarnation};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::Note;
use crate::time::{Instant, Now};
use crate::timing::Timing;
use crate::wire::Wire;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a monitor is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: Arc<Directory>,
    pub timing: Arc<Timing>,
}

/// When a gateway last answered, and as whom.
#[derive(Clone, Copy, Debug)]
struct Sight {
    /// Or when this monitor booted, if it has not answered since.
    at: Instant,
    incarnation: Incarnation,
    /// Probes since that have found no answer yet.
    unanswered: u32,
}

#[derive(Clone, Debug)]
pub struct Monitor {
    config: Config,
    seen: BTreeMap<HostId, Sight>,
    nonce: u64,
    torn: bool,
}

impl Monitor {
    pub fn boot(config: Config, disk: &Disk) -> Self {
        let mut seen = BTreeMap::new();
        for record in &disk.records {
            let Record::Sighted { gateway, incarnation } = *record else {
                unreachable!("not a monitor's record: {record:?}")
            };
            let sight = Sight { at: Instant::default(), incarnation, unanswered: 0 };
            seen.insert(gateway, sight);
        }
        Self { config, seen, nonce: 0, torn: disk.torn }
    }
}

impl Role for Monitor {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => {
                if self.torn {
                    out.note(Note::TornRecord);
                }
                self.seen.values_mut().for_each(|sight| sight.at = now.mono);
                self.probe(out);
            }
            Event::Fired(Timer::Probe) => {
                self.speak_up(now, out);
                self.probe(out);
            }
            Event::Received { from, wire: Wire::Pong { incarnation, .. } } => {
                let met = self.seen.get(&from).map(|sight| sight.incarnation);
                // Answers overtake each other; an incarnation never goes back.
                if met <= Some(incarnation) {
                    self.seen.insert(from, Sight { at: now.mono, incarnation, unanswered: 0 });
                }
                if met < Some(incarnation) {
                    out.append(Record::Sighted { gateway: from, incarnation });
                    out.sync();
                }
            }
            Event::Synced { .. } => {} // Nothing waits for it.
            // A refusal is silence too: the process may be restarting.
            Event::Refused { .. } => {}
            other => unreachable!("not for a monitor: {other:?}"),
        }
    }
}

impl Monitor {
    fn probe(&mut self, out: &mut Outbox) {
        self.nonce += 1;
        for gateway in &self.config.directory.gateways {
            out.send(*gateway, Wire::Ping { nonce: self.nonce });
            if let Some(sight) = self.seen.get_mut(gateway) {
                sight.unanswered += 1;
            }
        }
        out.set_timer(Timer::Probe, self.config.timing.probe);
    }

    fn speak_up(&self, now: Now, out: &mut Outbox) {
        let probe = self.config.timing.probe;
        for (gateway, Sight { at, incarnation, unanswered }) in &self.seen {
            // A monitor that did not run for a while did not ask either: only silence after a
            // question is evidence.
            let silent_for = now.mono.since(*at).min(probe * (*unanswered + 1));
            if silent_for >= probe * limits::SUSPECT_PROBES {
                let (gateway, incarnation) = (*gateway, *incarnation);
                for cleaner in &self.config.directory.cleaners {
                    out.send(*cleaner, Wire::Suspect { gateway, incarnation, silent_for });
                }
            }
        }
    }
}
