//! The fleet: which role boots on which host of the cast.
//!
//! The one place that knows every role. The world asks it to boot a host and otherwise only steps
//! what it got.

use crate::cast::{Cast, Part};
use crate::plan::Plan;
use crate::seed::{Seed, Stream};
use crate::span::Share;
use crate::world::Crew;
use courier::balancer::{self, Balance, Balancer};
use courier::cleaner::{self, Cleaner};
use courier::client::{self, Client};
use courier::consumer::{self, Consumer};
use courier::database::{self, Database};
use courier::design::Design;
use courier::disk::Disk;
use courier::event_log::EventLog;
use courier::frame::{PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use courier::gateway::{self, Gateway};
use courier::id::HostId;
use courier::monitor::{self, Monitor};
use courier::node::{Event, Outbox, Role};
use courier::presence::{self, Presence};
use courier::registry::{self, Registry};
use courier::router::{self, Router};
use courier::time::Now;
use courier::timing::Timing;
use courier::worker::{self, Worker};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Any role of the fleet. Clients are inline: there are a million of them.
#[derive(Clone, Debug)]
pub enum Member {
    Client(Client),
    Balancer(Box<Balancer>),
    Registry(Box<Registry>),
    EventLog(Box<EventLog>),
    Consumer(Box<Consumer>),
    Database(Box<Database>),
    Presence(Box<Presence>),
    Cleaner(Box<Cleaner>),
    Monitor(Box<Monitor>),
    Router(Box<Router>),
    Worker(Box<Worker>),
    Gateway(Box<Gateway>),
}

impl Role for Member {
    #[inline]
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match self {
            Member::Client(role) => role.step(now, event, out),
            Member::Balancer(role) => role.step(now, event, out),
            Member::Registry(role) => role.step(now, event, out),
            Member::EventLog(role) => role.step(now, event, out),
            Member::Consumer(role) => role.step(now, event, out),
            Member::Database(role) => role.step(now, event, out),
            Member::Presence(role) => role.step(now, event, out),
            Member::Cleaner(role) => role.step(now, event, out),
            Member::Monitor(role) => role.step(now, event, out),
            Member::Router(role) => role.step(now, event, out),
            Member::Worker(role) => role.step(now, event, out),
            Member::Gateway(role) => role.step(now, event, out),
        }
    }
}

/// The crew of a courier fleet.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub cast: Arc<Cast>,
    pub timing: Arc<Timing>,
    pub design: Design,
    pub balance: Balance,
    /// What the plan's faults push, by the fault's number, and which of them a host has now.
    pub pushed: Arc<BTreeMap<usize, Arc<Timing>>>,
    pub configured: BTreeMap<HostId, usize>,
    /// The version of the protocol that servers speak before their first deploy.
    pub protocol: u8,
    /// How often each host has been brought to the next version.
    pub upgrades: BTreeMap<HostId, u8>,
    /// The share of devices that still speak the oldest version, and who they are.
    pub old_phones: Share,
    pub phones: Stream,
    /// Each boot of each host gets one number of entropy from here.
    pub entropy: Stream,
}

impl Fleet {
    /// The fleet that a plan describes.
    pub fn of(plan: &Plan, cast: Arc<Cast>) -> Self {
        Self {
            cast,
            timing: Arc::new(plan.timing.clone()),
            design: plan.design,
            pushed: Arc::new(plan.pushed()),
            configured: BTreeMap::new(),
            balance: plan.fleet.balance,
            protocol: plan.fleet.protocol,
            upgrades: BTreeMap::new(),
            old_phones: plan.fleet.old_phones,
            phones: Seed(plan.seed).stream("fleet.phones"),
            entropy: Seed(plan.seed).stream("fleet.entropy"),
        }
    }

    /// The version of the protocol that a server speaks now.
    fn protocol_of(&self, server: HostId) -> u8 {
        let upgrades = self.upgrades.get(&server).copied().unwrap_or(0);
        self.protocol.saturating_add(upgrades).min(PROTOCOL_NEWEST)
    }

    /// The version that a person's device speaks. Nobody updates it during a run.
    fn protocol_of_phone(&self, phone: HostId) -> u8 {
        let old = self.phones.draw(u64::from(phone.0), 0) % 1_000_000;
        if old < u64::from(self.old_phones.0) { PROTOCOL_OLDEST } else { PROTOCOL_NEWEST }
    }
}

impl Crew for Fleet {
    type Role = Member;

    fn upgrade(&mut self, host: HostId) {
        let upgrades = self.upgrades.entry(host).or_default();
        *upgrades = upgrades.saturating_add(1);
    }

    fn configure(&mut self, host: HostId, configuration: Option<usize>) {
        match configuration {
            Some(number) => self.configured.insert(host, number),
            None => self.configured.remove(&host),
        };
    }

    fn boot(&self, host: HostId, disk: &Disk, boots: u32) -> Member {
        let directory = self.cast.directory.clone();
        let pushed = self.configured.get(&host).and_then(|number| self.pushed.get(number));
        let timing = pushed.unwrap_or(&self.timing).clone();
        let design = self.design;
        let entropy = self.entropy.draw(u64::from(host.0), u64::from(boots));
        match self.cast.part(host) {
            Part::Client(device) => {
                let protocol = self.protocol_of_phone(host);
                let config =
                    client::Config { host, device, entropy, directory, timing, design, protocol };
                Member::Client(Client::boot(config, disk))
            }
            Part::Balancer => {
                let config = balancer::Config { directory, timing, balance: self.balance };
                Member::Balancer(Box::new(Balancer::boot(config)))
            }
            Part::Registry => {
                Member::Registry(Box::new(Registry::boot(registry::Config { design }, disk)))
            }
            Part::EventLog => Member::EventLog(Box::new(EventLog::boot(disk))),
            Part::Consumer => Member::Consumer(Box::new(Consumer::boot(consumer::Config {
                directory,
                timing,
                design,
                entropy,
            }))),
            Part::Database => {
                let config = database::Config { directory, timing, design };
                Member::Database(Box::new(Database::boot(config, disk)))
            }
            Part::Presence => {
                let config = presence::Config { timing, design };
                Member::Presence(Box::new(Presence::boot(config, disk)))
            }
            Part::Cleaner => Member::Cleaner(Box::new(Cleaner::boot(cleaner::Config {
                directory,
                timing,
                design,
            }))),
            Part::Monitor => {
                let config = monitor::Config { directory, timing };
                Member::Monitor(Box::new(Monitor::boot(config, disk)))
            }
            Part::Router => Member::Router(Box::new(Router::boot(router::Config {
                directory,
                entropy,
                design,
            }))),
            Part::Worker => Member::Worker(Box::new(Worker::boot(worker::Config {
                directory,
                entropy,
                design,
            }))),
            Part::Gateway => {
                let protocol = self.protocol_of(host);
                let config = gateway::Config { host, directory, timing, design, protocol };
                Member::Gateway(Box::new(Gateway::boot(config, disk)))
            }
        }
    }
}
