//! The balancer: which gateway should a device connect to?
//!
//! It answers devices and probes gateways. It believes its last health check, so for up to
//! one probe interval it sends devices to a server that is already dead; they come back. It never
//! carries a connection itself, and keeps nothing about a device.

use crate::directory::Directory;
use crate::id::{DeviceId, HostId};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::Note;
use crate::time::Now;
use crate::timing::Timing;
use crate::wire::Wire;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a gateway is chosen among the healthy ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// The one with the fewest connections by its last answer, counting those sent there since.
    #[default]
    LeastConnections,
    /// Each in turn.
    RoundRobin,
}

/// What a balancer is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: Arc<Directory>,
    pub timing: Arc<Timing>,
    pub balance: Balance,
}

/// What the balancer believes of one gateway.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    /// Unhealthy until it has answered once.
    healthy: bool,
    /// Probes since its last answer.
    missed: u32,
    /// Connections by its last answer, and devices placed there since.
    connections: u32,
}

#[derive(Clone, Debug)]
pub struct Balancer {
    config: Config,
    gateways: BTreeMap<HostId, Health>,
    nonce: u64,
    /// The gateway chosen last, for taking turns.
    turn: usize,
}

impl Balancer {
    pub fn boot(config: Config) -> Self {
        let gateways =
            config.directory.gateways.iter().map(|host| (*host, Health::default())).collect();
        Self { config, gateways, nonce: 0, turn: 0 }
    }
}

impl Role for Balancer {
    fn step(&mut self, _now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted | Event::Fired(Timer::Probe) => self.probe(out),
            Event::Received { from, wire: Wire::Place { device, epoch } } => {
                let gateway = self.choose(device);
                if let Some(health) = gateway.and_then(|host| self.gateways.get_mut(&host)) {
                    health.connections += 1;
                }
                out.send(from, Wire::Placed { epoch, gateway });
            }
            Event::Received { from, wire: Wire::Pong { connections, .. } } => {
                let health = self.gateways.entry(from).or_default();
                health.connections = connections;
                health.missed = 0;
                if !std::mem::replace(&mut health.healthy, true) {
                    out.note(Note::Health { gateway: from, healthy: true });
                }
            }
            // A refused probe is as definite as it gets; no answer takes several.
            Event::Refused { to, wire: Wire::Ping { .. } } => self.take_out(to, out),
            Event::Refused { .. } => {} // The device has gone; it asks again.
            other => unreachable!("not for a balancer: {other:?}"),
        }
    }
}

impl Balancer {
    fn probe(&mut self, out: &mut Outbox) {
        self.nonce += 1;
        for host in self.gateways.keys().copied().collect::<Vec<_>>() {
            let health = self.gateways.get_mut(&host).expect("listed");
            health.missed += 1;
            if health.missed > limits::PROBES_MISSED_MAX {
                self.take_out(host, out);
            }
            out.send(host, Wire::Ping { nonce: self.nonce });
        }
        out.set_timer(Timer::Probe, self.config.timing.probe);
    }

    fn take_out(&mut self, gateway: HostId, out: &mut Outbox) {
        let health = self.gateways.entry(gateway).or_default();
        if std::mem::replace(&mut health.healthy, false) {
            out.note(Note::Health { gateway, healthy: false });
        }
    }

    fn choose(&mut self, device: DeviceId) -> Option<HostId> {
        let healthy = |host: &HostId| self.gateways.get(host).is_some_and(|health| health.healthy);
        let preferred = self.config.directory.affinity.get(&device.user);
        if let Some(host) = preferred.into_iter().flatten().copied().find(healthy) {
            return Some(host);
        }
        let all = &self.config.directory.gateways;
        match self.config.balance {
            Balance::LeastConnections => all
                .iter()
                .copied()
                .filter(healthy)
                .min_by_key(|host| (self.gateways[host].connections, *host)),
            Balance::RoundRobin => {
                let turns = (1..=all.len()).map(|step| (self.turn + step) % all.len());
                let chosen = turns.into_iter().find(|at| healthy(&all[*at]))?;
                self.turn = chosen;
                Some(all[chosen])
            }
        }
    }
}
