//! The balancer: which gateway should a device connect to?
//!
//! It answers devices and probes gateways. It believes its last health check, so for up to
//! one probe interval it sends devices to a server that is already dead; they come back. A server
//! that says it is draining gets nobody from that moment. It never carries a connection itself, and
//! keeps nothing about a device but, with session affinity, where it was placed last.

pub mod ring;

use crate::directory::Directory;
use crate::id::{DeviceId, HostId, Incarnation};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::Note;
use crate::time::Now;
use crate::timing::Timing;
use crate::wire::Wire;
use ring::Ring;
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
    /// By consistent hashing with bounded loads: a device goes to the next gateway on a ring,
    /// unless that one has far more than its share. Balancers agree without a word, and a gateway
    /// that comes or goes moves only its own share.
    ConsistentHashing,
    /// The one that the device was on last, as long as it is healthy; else that with the fewest
    /// connections. What a gateway may know of a device stays warm. The balancer remembers it
    /// itself, since "where it was" is history that no hash knows; a bounded number of devices, and
    /// only until it restarts.
    SessionAffinity,
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
    /// The incarnation that said it is draining. It never serves again, so that an answer that was
    /// overtaken does not bring it back.
    draining: Option<Incarnation>,
}

impl Health {
    fn takes_devices(&self) -> bool {
        self.healthy && self.draining.is_none()
    }
}

/// Where devices were placed last, and in which order.
#[derive(Clone, Debug, Default)]
struct Placements {
    of: BTreeMap<DeviceId, (HostId, u64)>,
    /// By the time of their placing.
    order: BTreeMap<u64, DeviceId>,
    count: u64,
}

impl Placements {
    fn remember(&mut self, device: DeviceId, host: HostId) {
        self.count += 1;
        if let Some((_, earlier)) = self.of.insert(device, (host, self.count)) {
            self.order.remove(&earlier);
        }
        self.order.insert(self.count, device);
        if self.of.len() > limits::PLACEMENTS_REMEMBERED_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.of.remove(&oldest);
        }
    }

    fn last(&self, device: DeviceId) -> Option<HostId> {
        self.of.get(&device).map(|(host, _)| *host)
    }
}

#[derive(Clone, Debug)]
pub struct Balancer {
    config: Config,
    gateways: BTreeMap<HostId, Health>,
    nonce: u64,
    /// The gateway chosen last, for taking turns.
    turn: usize,
    ring: Ring,
    placements: Placements,
}

impl Balancer {
    pub fn boot(config: Config) -> Self {
        let gateways =
            config.directory.gateways.iter().map(|host| (*host, Health::default())).collect();
        let ring = Ring::new(&config.directory.gateways);
        Self { config, gateways, nonce: 0, turn: 0, ring, placements: Placements::default() }
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
            Event::Received {
                from,
                wire: Wire::Pong { connections, incarnation, draining, .. },
            } => {
                let health = self.gateways.entry(from).or_default();
                health.connections = connections;
                health.missed = 0;
                let was = health.takes_devices();
                health.healthy = true;
                health.draining = match health.draining {
                    _ if draining => Some(incarnation),
                    Some(drained) if drained >= incarnation => Some(drained),
                    _ => None,
                };
                let takes = health.takes_devices();
                if was != takes {
                    out.note(Note::Health { gateway: from, healthy: takes });
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
        let was = health.takes_devices();
        health.healthy = false;
        if was {
            out.note(Note::Health { gateway, healthy: false });
        }
    }

    fn choose(&mut self, device: DeviceId) -> Option<HostId> {
        let healthy = |host: &HostId| self.gateways.get(host).is_some_and(Health::takes_devices);
        let preferred = self.config.directory.affinity.get(&device.user);
        if let Some(host) = preferred.into_iter().flatten().copied().find(healthy) {
            return Some(host);
        }
        let all = &self.config.directory.gateways;
        match self.config.balance {
            Balance::LeastConnections => self.least(),
            Balance::RoundRobin => {
                let turns = (1..=all.len()).map(|step| (self.turn + step) % all.len());
                let chosen = turns.into_iter().find(|at| healthy(&all[*at]))?;
                self.turn = chosen;
                Some(all[chosen])
            }
            Balance::ConsistentHashing => {
                let most = self.most_on_one();
                let has_room = |host: &HostId| u64::from(self.gateways[host].connections) < most;
                self.ring.from(device).find(|host| healthy(host) && has_room(host))
            }
            Balance::SessionAffinity => {
                let last = self.placements.last(device).filter(healthy);
                let chosen = last.or_else(|| self.least())?;
                self.placements.remember(device, chosen);
                Some(chosen)
            }
        }
    }

    fn least(&self) -> Option<HostId> {
        let all = self.gateways.iter().filter(|(_, health)| health.takes_devices());
        all.min_by_key(|(host, health)| (health.connections, **host)).map(|(host, _)| *host)
    }

    /// The most connections that a gateway may have under consistent hashing, one more included:
    /// some gateway always has fewer.
    fn most_on_one(&self) -> u64 {
        let taking = || self.gateways.values().filter(|health| health.takes_devices());
        let all: u64 = taking().map(|health| u64::from(health.connections)).sum();
        let share = (all + 1) * limits::RING_LOAD_PERCENT;
        share.div_ceil(100 * taking().count().max(1) as u64)
    }
}
