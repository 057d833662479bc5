//! A monitor: one observer of the gateways.
//!
//! It probes every gateway and tells the cleaner which incarnation has been silent, and for how
//! long. It only says what it sees; that a gateway is dead is decided by the cleaner, and only
//! when several monitors see the same.

use crate::directory::Directory;
use crate::id::{HostId, Incarnation};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
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
}

impl Monitor {
    pub fn boot(config: Config) -> Self {
        Self { config, seen: BTreeMap::new(), nonce: 0 }
    }
}

impl Role for Monitor {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted | Event::Fired(Timer::Probe) => {
                self.nonce += 1;
                self.speak_up(now, out);
                for gateway in &self.config.directory.gateways {
                    out.send(*gateway, Wire::Ping { nonce: self.nonce });
                    if let Some(sight) = self.seen.get_mut(gateway) {
                        sight.unanswered += 1;
                    }
                }
                out.set_timer(Timer::Probe, self.config.timing.probe);
            }
            Event::Received { from, wire: Wire::Pong { incarnation, .. } } => {
                let sight = Sight { at: now.mono, incarnation, unanswered: 0 };
                let earlier = self.seen.insert(from, sight);
                // Answers overtake each other; an incarnation never goes back.
                if let Some(earlier) = earlier.filter(|earlier| earlier.incarnation > incarnation) {
                    self.seen.insert(from, earlier);
                }
            }
            // A refusal is silence too: the process may be restarting.
            Event::Refused { .. } => {}
            other => unreachable!("not for a monitor: {other:?}"),
        }
    }
}

impl Monitor {
    fn speak_up(&self, now: Now, out: &mut Outbox) {
        let probe = self.config.timing.probe;
        for (gateway, Sight { at, incarnation, unanswered }) in &self.seen {
            // A monitor that did not run for a while did not ask either: only silence after a
            // question is evidence.
            let silent_for = now.mono.since(*at).min(probe * (*unanswered + 1));
            if silent_for >= probe * limits::SUSPECT_PROBES {
                let (gateway, incarnation) = (*gateway, *incarnation);
                out.send(
                    self.config.directory.cleaner,
                    Wire::Suspect { gateway, incarnation, silent_for },
                );
            }
        }
    }
}
