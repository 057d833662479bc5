//! The cast of a run: who lives on which host, by the names that a person uses.
//!
//! Made from a plan, fixed for the run. Checkers and reports look names and memberships up here;
//! the world never does.

use courier::directory::Directory;
use courier::id::{ConversationId, DeviceId, HostId, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What runs on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Balancer,
    Registry,
    EventLog,
    Consumer,
    Database,
    Presence,
    Cleaner,
    Monitor,
    Router,
    Worker,
    Gateway,
    Client(DeviceId),
}

impl Part {
    /// Whether a replica of it can be promoted.
    pub fn has_replica(self) -> bool {
        matches!(self, Part::Database | Part::Registry | Part::EventLog)
    }

    /// Whether it answers questions that only read: a replica may do that in its place.
    pub fn answers_reads(self) -> bool {
        matches!(self, Part::Database | Part::Registry)
    }

    /// Whether what it keeps can be had from others: it may come back with an empty disk. The
    /// database's messages exist nowhere else, a server's incarnation must not be used twice, and
    /// the log is where a consumer's place is kept.
    pub fn may_lose_its_disk(self) -> bool {
        matches!(self, Part::Registry | Part::Presence)
    }
}

#[derive(Clone, Debug)]
pub struct Cast {
    /// By host id.
    parts: Vec<Part>,
    names: Arc<[Box<str>]>,
    /// Hosts in the order of their names.
    by_name: Vec<HostId>,
    groups_by_name: BTreeMap<String, ConversationId>,
    /// Hosts that fail together.
    zones: BTreeMap<String, Vec<HostId>>,
    /// The first device's host of each user; a user's further devices follow it.
    first_device: Arc<[HostId]>,
    pub directory: Arc<Directory>,
    /// True time of T=0 in nanoseconds: what comes before is the run's warm-up.
    pub zero: u64,
}

/// How many of each there are.
#[derive(Clone, Debug)]
pub struct Numbers {
    pub servers: u32,
    pub apps: u32,
    pub workers: u32,
    pub monitors: u32,
    pub consumers: u32,
    pub cleaners: u32,
}

/// A user of the run.
#[derive(Clone, Debug)]
pub struct Person {
    pub name: String,
    pub devices: u8,
    /// Servers, by name, that the balancer prefers for this user.
    pub servers: Vec<String>,
    /// Users, by name, whose presence this user's devices show.
    pub watches: Vec<String>,
}

impl Cast {
    /// Gives everybody a host. `groups` are names and members by user number.
    pub fn new(
        numbers: &Numbers,
        people: &[Person],
        groups: &[(String, Vec<UserId>)],
        zero: u64,
    ) -> Self {
        let mut parts = Vec::new();
        let mut names = Vec::new();
        let mut add = |part: Part, name: String| {
            parts.push(part);
            names.push(name);
            HostId(parts.len() as u32 - 1)
        };
        let balancer = add(Part::Balancer, "balancer".into());
        let registry = add(Part::Registry, "registry".into());
        let event_log = add(Part::EventLog, "log".into());
        let database = add(Part::Database, "db".into());
        let presence = add(Part::Presence, "presence".into());
        let cleaners = several_or_one(numbers.cleaners, "cleaner");
        let cleaners = cleaners.map(|name| add(Part::Cleaner, name)).collect();
        let mut several = |count: u32, part: Part, name: &str| -> Vec<HostId> {
            (1..=count).map(|number| add(part, format!("{name}-{number}"))).collect()
        };
        let consumers = several(numbers.consumers, Part::Consumer, "consumer");
        let monitors = several(numbers.monitors, Part::Monitor, "monitor");
        let routers = several(numbers.apps, Part::Router, "app");
        several(numbers.workers, Part::Worker, "worker");
        let gateways = several(numbers.servers, Part::Gateway, "server");

        let mut first_device = Vec::with_capacity(people.len());
        let mut devices = BTreeMap::new();
        for (number, person) in people.iter().enumerate() {
            let user = UserId(number as u32);
            first_device.push(HostId(parts.len() as u32));
            for slot in 0..person.devices {
                parts.push(Part::Client(DeviceId { user, slot }));
                names.push(match slot {
                    0 => person.name.clone(),
                    slot => format!("{}/{slot}", person.name),
                });
            }
            if person.devices > 1 {
                devices.insert(user, person.devices);
            }
        }
        parts.shrink_to_fit();
        let names: Arc<[Box<str>]> = names.into_iter().map(String::into_boxed_str).collect();
        let mut by_name: Vec<HostId> = (0..names.len() as u32).map(HostId).collect();
        by_name.sort_by_key(|host| &names[host.0 as usize]);
        let host_named = |name: &str| find(&names, &by_name, name);
        let affinity = people.iter().enumerate().filter(|(_, person)| !person.servers.is_empty());
        let affinity = affinity
            .map(|(at, person)| {
                let hosts = person.servers.iter().filter_map(|name| host_named(name));
                (UserId(at as u32), hosts.collect())
            })
            .collect();
        let user_named = |name: &str| match parts[host_named(name)?.0 as usize] {
            Part::Client(DeviceId { user, slot: 0 }) => Some(user),
            _ => None,
        };
        let watches = people.iter().enumerate().filter(|(_, person)| !person.watches.is_empty());
        let watches = watches
            .map(|(at, person)| {
                let users = person.watches.iter().filter_map(|name| user_named(name));
                (UserId(at as u32), users.collect())
            })
            .collect();
        let number = |at: usize| ConversationId::group(at as u32);
        let directory = Directory {
            gateways,
            routers,
            monitors,
            balancer,
            registry,
            event_log,
            consumers,
            database,
            presence,
            cleaners,
            groups: groups.iter().enumerate().map(|(at, g)| (number(at), g.1.clone())).collect(),
            devices,
            affinity,
            watches,
        };
        let groups_by_name =
            groups.iter().enumerate().map(|(at, g)| (g.0.clone(), number(at))).collect();
        let directory = Arc::new(directory);
        Self {
            parts,
            names,
            by_name,
            groups_by_name,
            zones: BTreeMap::new(),
            first_device: first_device.into(),
            directory,
            zero,
        }
    }

    pub fn hosts(&self) -> impl Iterator<Item = (HostId, Part)> + '_ {
        self.parts.iter().enumerate().map(|(at, part)| (HostId(at as u32), *part))
    }

    pub fn part(&self, host: HostId) -> Part {
        self.parts[host.0 as usize]
    }

    /// The device that lives on a host, if one does.
    pub fn device_at(&self, host: HostId) -> Option<DeviceId> {
        match self.part(host) {
            Part::Client(device) => Some(device),
            _ => None,
        }
    }

    pub fn name(&self, host: HostId) -> &str {
        &self.names[host.0 as usize]
    }

    pub fn names(&self) -> &Arc<[Box<str>]> {
        &self.names
    }

    /// A user is called what its first device is.
    pub fn user_name(&self, user: UserId) -> &str {
        self.name(self.first_device[user.0 as usize])
    }

    /// The host of each user's first device, by user id.
    pub fn first_devices(&self) -> &Arc<[HostId]> {
        &self.first_device
    }

    pub fn users(&self) -> impl Iterator<Item = UserId> + use<> {
        (0..self.first_device.len() as u32).map(UserId)
    }

    /// The host with this name.
    pub fn host(&self, name: &str) -> Option<HostId> {
        find(&self.names, &self.by_name, name)
    }

    pub fn user(&self, name: &str) -> Option<UserId> {
        let device = self.device_at(self.host(name)?)?;
        (device.slot == 0).then_some(device.user)
    }

    /// What a conversation is called: its group's name, or both people's.
    pub fn conversation_name(&self, conversation: ConversationId) -> String {
        match conversation.pair() {
            Some([a, b]) => format!("{}~{}", self.user_name(a), self.user_name(b)),
            None => {
                let group = self.groups_by_name.iter().find(|(_, id)| **id == conversation);
                group.map_or_else(|| conversation.to_string(), |(name, _)| name.clone())
            }
        }
    }

    /// Gives these hosts a name together.
    pub fn add_zone(&mut self, name: &str, hosts: Vec<HostId>) {
        self.zones.insert(name.to_owned(), hosts);
    }

    pub fn zone(&self, name: &str) -> Option<&[HostId]> {
        self.zones.get(name).map(Vec::as_slice)
    }

    /// The zones' names, in order.
    pub fn zones(&self) -> impl Iterator<Item = &str> {
        self.zones.keys().map(String::as_str)
    }

    pub fn group(&self, name: &str) -> Option<ConversationId> {
        self.groups_by_name.get(name).copied()
    }

    /// The host of a device.
    pub fn host_of(&self, device: DeviceId) -> HostId {
        HostId(self.first_device[device.user.0 as usize].0 + u32::from(device.slot))
    }

    pub fn devices(&self) -> impl Iterator<Item = (HostId, DeviceId)> + '_ {
        self.hosts().filter_map(|(host, part)| match part {
            Part::Client(device) => Some((host, device)),
            _ => None,
        })
    }

    /// Every device that must show a message, the one that wrote it among them.
    pub fn audience(&self, conversation: ConversationId) -> Vec<DeviceId> {
        let members = self.directory.members(conversation);
        members.into_iter().flat_map(|user| self.directory.devices(user)).collect()
    }
}

/// One is called by its kind, several are numbered.
fn several_or_one(count: u32, kind: &str) -> impl Iterator<Item = String> + '_ {
    (1..=count).map(move |number| match count {
        1 => kind.to_owned(),
        _ => format!("{kind}-{number}"),
    })
}

fn find(names: &[Box<str>], by_name: &[HostId], name: &str) -> Option<HostId> {
    let at = by_name.binary_search_by_key(&name, |host| &names[host.0 as usize]).ok()?;
    Some(by_name[at])
}
