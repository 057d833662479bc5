//! A plan: one run, concrete. Every fault and every operation of a client, each at its time or on
//! its trigger; nothing in it is random any more.
//!
//! A file that can be read, edited, compared and replayed. `courier run --plan FILE` writes
//! it, `courier replay FILE` runs it without the scenario.

mod faults;
mod kind;
mod stores;

use crate::cast::{Cast, Numbers, Part, Person};
use crate::checker::Bounds;
use crate::designs::catalogue::GUARANTEE;
use crate::document::{Impossible, nearest};
use crate::place;
use crate::span::{At, Share, Span};
use courier::balancer::Balance;
use courier::design::Design;
use courier::frame::{PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use courier::id::{ConversationId, HostId, UserId};
use courier::limits::WATCHED_USERS_MAX;
use courier::timing::Timing;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use strum::VariantNames;

pub use faults::{NoteTrigger, ZoneSpec};
pub use kind::Kind;
pub use stores::{Commit, ReplicationSpec};

/// The servers have this long to start and find each other before the first client arrives.
pub const FLEET_STARTS: Span = Span::from_secs(5);

/// The version of the plan's own format; a reader refuses others.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    pub format: u32,
    pub scenario: String,
    pub seed: u64,
    /// Before T=0: everybody connects, nothing fails.
    pub warmup: Span,
    /// From T=0: faults and operations.
    pub duration: Span,
    /// After the duration everything heals; this long at most the fleet may take to drain.
    pub quiesce: Span,
    #[serde(default)]
    pub fleet: FleetSpec,
    #[serde(default)]
    pub timing: Timing,
    #[serde(default, skip_serializing_if = "is_sound")]
    pub design: Design,
    #[serde(default)]
    pub network: NetworkSpec,
    #[serde(default, skip_serializing_if = "ReplicationSpec::is_usual")]
    pub replication: ReplicationSpec,
    #[serde(default)]
    pub bounds: BoundsSpec,
    #[serde(default)]
    pub expect: Expect,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<UserSpec>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<GroupSpec>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zone: Vec<ZoneSpec>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<Fault>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub op: Vec<Op>,
}

fn is_sound(design: &Design) -> bool {
    *design == Design::default()
}

/// How many hosts of each kind there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct FleetSpec {
    pub servers: u32,
    pub apps: u32,
    pub workers: u32,
    pub monitors: u32,
    /// Members of the group that carries session events from the log into the registry.
    pub consumers: u32,
    /// They remove the rows of dead servers; of several, one at a time does.
    #[serde(skip_serializing_if = "is_one_host")]
    pub cleaners: u32,
    /// All users: those named under `[[user]]`, and `u…` up to this number.
    pub users: u32,
    pub balance: Balance,
    /// Clients start spread over this time.
    pub arrive: Span,
    /// The version of the protocol that servers speak; a deploy brings a server to the next.
    #[serde(skip_serializing_if = "is_newest")]
    pub protocol: u8,
    /// The share of devices that speak the oldest version, whatever the servers do.
    #[serde(skip_serializing_if = "is_none_of_them")]
    pub old_phones: Share,
}

fn is_one_host(count: &u32) -> bool {
    *count == 1
}

fn is_newest(protocol: &u8) -> bool {
    *protocol == PROTOCOL_NEWEST
}

fn is_none_of_them(share: &Share) -> bool {
    *share == Share(0)
}

impl Default for FleetSpec {
    fn default() -> Self {
        Self {
            servers: 8,
            apps: 3,
            workers: 2,
            monitors: 3,
            consumers: 2,
            cleaners: 1,
            users: 2,
            balance: Balance::default(),
            arrive: Span::from_secs(10),
            protocol: PROTOCOL_NEWEST,
            old_phones: Share(0),
        }
    }
}

/// A user with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserSpec {
    pub name: String,
    /// Servers that the balancer prefers for this user, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub devices: u8,
    /// Users whose presence this user's devices show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watches: Vec<String>,
}

fn one() -> u8 {
    1
}

fn is_one(devices: &u8) -> bool {
    *devices == 1
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GroupSpec {
    pub name: String,
    pub members: Vec<String>,
}

/// The weather when nothing is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NetworkSpec {
    /// Between a device and the fleet, each way.
    pub client: LinkSpec,
    /// Between servers.
    pub backbone: LinkSpec,
    /// A server's fsync.
    pub fsync: DelaySpec,
    /// A phone's.
    pub client_fsync: DelaySpec,
    /// A crash of a server may leave some of what was appended and not synced, as a page cache does
    /// that was half written back: durable, and nobody was told. Without it a crash loses all of
    /// that, as one of a phone always does: what a phone has not synced it never did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_tails: bool,
    /// Sockets of servers and devices are opened with keepalive; without it a kernel never asks
    /// whether anybody is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<KeepaliveSpec>,
    /// A matrix of round-trip times from which one-way delays between a device and the fleet are
    /// drawn, in addition to `client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_matrix: Option<InputFile>,
}

/// When a kernel probes an idle connection. The usual numbers are Linux' (RFC 9293 3.8.4: a
/// default of two hours or more): a peer that is gone is noticed after two hours and eleven
/// minutes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct KeepaliveSpec {
    /// So long after the last arrival (`tcp_keepalive_time`).
    pub idle: Span,
    /// So long after a probe that nobody answered (`tcp_keepalive_intvl`).
    pub interval: Span,
    /// After so many of them the connection has failed (`tcp_keepalive_probes`).
    pub probes: u32,
}

impl Default for KeepaliveSpec {
    fn default() -> Self {
        Self { idle: Span::from_secs(7_200), interval: Span::from_secs(75), probes: 9 }
    }
}

/// An input that a plan refers to rather than contains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InputFile {
    pub path: String,
    /// Of its content, in hexadecimal: a replay with another file is refused.
    pub checksum: String,
}

impl Default for NetworkSpec {
    fn default() -> Self {
        let span = |micros| Span(std::time::Duration::from_micros(micros));
        let link = |median, p99, loss, duplicate| LinkSpec {
            median: span(median),
            p99: span(p99),
            loss: Share(loss),
            duplicate: Share(duplicate),
        };
        Self {
            client: link(40_000, 250_000, 2_000, 0),
            backbone: link(300, 2_000, 20, 20),
            fsync: DelaySpec { median: span(800), p99: span(8_000) },
            client_fsync: DelaySpec { median: span(2_000), p99: span(20_000) },
            keep_tails: false,
            keepalive: None,
            latency_matrix: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkSpec {
    pub median: Span,
    pub p99: Span,
    /// Of transmissions; the transport repeats them.
    #[serde(default)]
    pub loss: Share,
    /// Of messages between servers.
    #[serde(default)]
    pub duplicate: Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DelaySpec {
    pub median: Span,
    pub p99: Span,
}

/// What the checkers hold the run to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct BoundsSpec {
    /// How long a registry row may lead to a dead or wrong server.
    pub stale: Span,
    /// How long after the heal everything may take to drain.
    pub drain: Span,
}

impl Default for BoundsSpec {
    fn default() -> Self {
        // Stale: the cleaner's 45 s, three probes and their judgement. Drain: a device's longest
        // reconnect wait (30 s), a row's longest wait (30 s), a lease (12 s) and an attempt, for
        // a device that was unlucky with each.
        Self { stale: Span::from_secs(60), drain: Span::from_secs(120) }
    }
}

/// What a scenario is about: without it a green run has proven nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Expect {
    /// Notes that must appear in the history; if one does not, the verdict is unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reached: Vec<String>,
    /// Where a registry row must point at a time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registry: Vec<ExpectRow>,
    /// By when a message must be shown to somebody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<ExpectShown>,
    /// The invariants that the design of this run breaks: the verdict is valid if these broke, and
    /// no others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breaks: Vec<String>,
    /// Invariants that may break as well, and need not: what depends on the seed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub may_break: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExpectRow {
    pub at: At,
    pub user: String,
    /// A server's name, or `nowhere`.
    pub server: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExpectShown {
    pub message: String,
    pub to: String,
    pub by: At,
    /// Not before this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<At>,
}

/// One fault, with its begin, its end and its target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fault {
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
    /// Instead of a time: when this is noted …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<NoteTrigger>,
    /// … and then so much later. Without it: right after the step that noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// Without it the fault lasts until everything heals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// It does not heal at all: the host stays down for the rest of the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
    /// Hosts, by name; `server-*` names all servers, a zone's name its hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub target: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub from: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub to: Vec<String>,
    /// Only what goes from `from` to `to`: the way back is as it was (slow, loss, duplicate and
    /// reorder only; a partition has a kind of its own for this).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
    /// How much longer something takes, how far a replica lags, how long a link is down and then
    /// up, after how long a mapping is forgotten, or how far a wall clock jumps (negative: back).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<At>,
    /// Of messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// How much faster the clocks run, in parts per million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ppm: Option<i64>,
    /// Each host of a deploy has this long to drain before it is restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Span>,
    /// A deploy waits this long after a host's restart before it goes on with the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Span>,
    /// What a configuration says, by the keys of `[timing]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, toml::Value>,
}

/// What a deploy gives each host if it does not say: at the default rate a server hands a thousand
/// connections off in it.
const DEPLOY_GRACE: Span = Span::from_secs(20);

/// How long a deploy waits between two hosts if it does not say: some probes of the balancer.
const DEPLOY_PAUSE: Span = Span::from_secs(5);

/// What a deploy does to one host, in nanoseconds since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeployStep {
    pub host: HostId,
    pub drains: u64,
    pub restarts: u64,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Names;
    impl<'de> serde::de::Visitor<'de> for Names {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a host's name or a list of names")
        }
        fn visit_str<E>(self, name: &str) -> Result<Vec<String>, E> {
            Ok(vec![name.to_owned()])
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut seq: A,
        ) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some(name) = seq.next_element()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    deserializer.deserialize_any(Names)
}

/// One operation of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Op {
    /// What others call it: `m12`.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
    /// Instead of a time: when this happens …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Trigger>,
    /// … and then so much later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    #[serde(rename = "do")]
    pub deed: Deed,
    /// Who does it; `alice/1` is Alice's second device.
    pub from: String,
    /// To whom it is sent: a user or a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    Send,
    /// Flight mode.
    GoOffline,
    GoOnline,
    /// Read whatever the device shows of the conversation with `to`.
    Read,
    /// Deal with the dead letters that wait. `from` is the database, `db`: its operator does it.
    HandleDeadLetters,
}

/// "When m12 is shown to bob."
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trigger {
    pub shown: String,
    pub to: String,
}

/// The most hosts that a run may have: what one process holds comfortably in memory.
const HOSTS_MAX: u32 = 4_000_000;

/// How a plan that was written to a TOML file begins and ends: a cut leaves TOML that may well be
/// sound, and would be a shorter plan.
const FIRST_LINE: &str = "# A plan of courier. It is whole if its last line is `# end of plan`.";
const LAST_LINE: &str = "# end of plan";

/// Whether this TOML text was written as a plan and has lost its end. One that was written by
/// hand, without a first line that promises a last one, has not.
pub fn is_cut_off(text: &str) -> bool {
    text.lines().next() == Some(FIRST_LINE) && text.lines().next_back() != Some(LAST_LINE)
}

impl Plan {
    /// The plan as a TOML file.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        Ok(format!("{FIRST_LINE}\n\n{}\n{LAST_LINE}\n", toml::to_string(self)?))
    }

    /// T=0 in nanoseconds since the start.
    pub fn zero(&self) -> u64 {
        self.warmup.nanos()
    }

    pub fn bounds(&self) -> Bounds {
        let BoundsSpec { stale, drain } = self.bounds;
        Bounds { stale: stale.0, drain: drain.0, timing: self.timing.clone() }
    }

    /// Everybody in the run. Assumes a plan that has been [`Plan::validate`]d.
    pub fn cast(&self) -> Cast {
        let FleetSpec { servers, apps, workers, monitors, consumers, cleaners, users, .. } =
            self.fleet;
        let numbers = Numbers { servers, apps, workers, monitors, consumers, cleaners };
        let named = self.user.iter().map(|user| Person {
            name: user.name.clone(),
            devices: user.devices,
            servers: user.servers.clone(),
            watches: user.watches.clone(),
        });
        let rest = (self.user.len() as u32..users).map(|number| Person {
            name: format!("u{number}"),
            devices: 1,
            servers: Vec::new(),
            watches: Vec::new(),
        });
        let people: Vec<Person> = named.chain(rest).collect();
        let by_name: BTreeMap<&str, UserId> =
            people.iter().enumerate().map(|(at, p)| (p.name.as_str(), UserId(at as u32))).collect();
        let groups: Vec<_> = self
            .group
            .iter()
            .map(|group| {
                let members: BTreeSet<UserId> =
                    group.members.iter().filter_map(|m| by_name.get(m.as_str()).copied()).collect();
                (group.name.clone(), members.into_iter().collect())
            })
            .collect();
        let mut cast = Cast::new(&numbers, &people, &groups, self.zero());
        for zone in &self.zone {
            let hosts = zone.hosts.iter().flat_map(|name| hosts_named(name, &cast)).collect();
            cast.add_zone(&zone.name, hosts);
        }
        cast
    }

    /// Whether this plan can be run; what is impossible in it, otherwise.
    pub fn validate(&self) -> Result<(), Impossible> {
        if self.format != FORMAT {
            let what = format!("format {} is not one that this courier reads", self.format);
            return Err(Impossible::new(place!["format"], what, "write the plan again"));
        }
        self.validate_times()?;
        self.validate_fleet()?;
        let cast = self.cast();
        self.validate_watches(&cast)?;
        self.validate_zones(&cast)?;
        for (at, fault) in self.fault.iter().enumerate() {
            fault.validate(at, &cast, self.heal_at())?;
            fault.validate_configuration(at, &self.timing)?;
        }
        self.validate_ops(&cast)?;
        self.validate_expect(&cast)
    }

    fn validate_times(&self) -> Result<(), Impossible> {
        if self.warmup.0 < self.fleet.arrive.0 + FLEET_STARTS.0 {
            let what = format!(
                "a warm-up of {} is over before everybody has arrived ({FLEET_STARTS} for the \
                 servers to start, and fleet.arrive = {})",
                self.warmup, self.fleet.arrive
            );
            let help = "make the warm-up longer, or fleet.arrive shorter";
            return Err(Impossible::new(place!["warmup"], what, help));
        }
        for (name, delay) in [
            ("client", (self.network.client.median, self.network.client.p99)),
            ("backbone", (self.network.backbone.median, self.network.backbone.p99)),
            ("fsync", (self.network.fsync.median, self.network.fsync.p99)),
            ("client-fsync", (self.network.client_fsync.median, self.network.client_fsync.p99)),
        ] {
            if delay.1 < delay.0 {
                let what = format!("p99 {} is below the median {}", delay.1, delay.0);
                let help = "p99 is the slow one of a hundred: write it above the median";
                return Err(Impossible::new(place!["network", name, "p99"], what, help));
            }
        }
        if let Some(KeepaliveSpec { idle, interval, probes }) = self.network.keepalive {
            for (key, is_zero) in [
                ("idle", idle.nanos() == 0),
                ("interval", interval.nanos() == 0),
                ("probes", probes == 0),
            ] {
                if is_zero {
                    let place = place!["network", "keepalive", key];
                    let help = "write more, or leave `keepalive` out: then nobody probes";
                    return Err(Impossible::new(place, format!("{key} is zero"), help));
                }
            }
        }
        let Timing {
            heartbeat,
            heartbeat_wait,
            silence,
            probe,
            clean_after,
            online,
            offline,
            admit,
            catch_up,
            hand_off,
            drain_limit,
            ..
        } = self.timing;
        for (name, value) in [
            ("heartbeat", heartbeat),
            ("heartbeat-wait", heartbeat_wait),
            ("silence", silence),
            ("probe", probe),
            ("clean-after", clean_after),
            ("online", online),
            ("offline", offline),
            ("admit", admit),
            ("catch-up", catch_up),
            ("hand-off", hand_off),
            ("drain-limit", drain_limit),
        ] {
            if value.is_zero() {
                let what = format!("{name} is zero: it would fire without end");
                return Err(Impossible::new(place!["timing", name], what, "give it some time"));
            }
        }
        if silence <= heartbeat {
            let what = "silence is over before the next heartbeat: healthy devices are cut off";
            let help = "write it above timing.heartbeat, with some slack";
            return Err(Impossible::new(place!["timing", "silence"], what, help));
        }
        if offline < online {
            let what = "offline is earlier than online ends";
            let help = "offline is the longer silence: write it above online";
            return Err(Impossible::new(place!["timing", "offline"], what, help));
        }
        Ok(())
    }

    fn validate_fleet(&self) -> Result<(), Impossible> {
        let FleetSpec { servers, apps, workers, monitors, consumers, cleaners, users, .. } =
            self.fleet;
        for (name, count, least) in [
            ("servers", servers, 1),
            ("apps", apps, 1),
            ("workers", workers, 1),
            ("monitors", monitors, courier::limits::OBSERVERS_MIN as u32),
            ("consumers", consumers, 1),
            ("cleaners", cleaners, 1),
            ("users", users.max(self.user.len() as u32), 1),
        ] {
            if count < least {
                let what = format!("{count} {name}: the fleet needs at least {least}");
                let help = format!("write {name} = {least} or more");
                return Err(Impossible::new(place!["fleet", name], what, help));
            }
            if count > HOSTS_MAX {
                let what = format!("{count} {name}: more than {HOSTS_MAX}");
                return Err(Impossible::new(place!["fleet", name], what, "write fewer"));
            }
        }
        let protocol = self.fleet.protocol;
        if !(PROTOCOL_OLDEST..=PROTOCOL_NEWEST).contains(&protocol) {
            let what = format!("nobody speaks version {protocol} of the protocol");
            let help = format!("write a version from {PROTOCOL_OLDEST} to {PROTOCOL_NEWEST}");
            return Err(Impossible::new(place!["fleet", "protocol"], what, help));
        }
        let mut names = BTreeSet::new();
        for (at, user) in self.user.iter().enumerate() {
            let wrong = |what: String, help: &str| {
                Err(Impossible::new(place!["user", at, "name"], what, help))
            };
            if user.name.is_empty() || user.name.contains(['/', '*', ' ']) {
                let what = format!("`{}` is not a name", user.name);
                return wrong(what, "use letters, digits and dashes");
            }
            if !names.insert(user.name.as_str()) {
                return wrong(format!("there are two users `{}`", user.name), "rename one");
            }
            let number = user.name.strip_prefix('u').and_then(|rest| rest.parse::<u32>().ok());
            if number.is_some_and(|number| number != at as u32) {
                return wrong(
                    format!("`{}` is what the user with that number is called", user.name),
                    "choose a name that is not u and a number",
                );
            }
            if user.devices == 0 {
                let place = place!["user", at, "devices"];
                return Err(Impossible::new(place, "a user has a device", "write 1 or more"));
            }
        }
        let cast = self.cast();
        for (at, user) in self.user.iter().enumerate() {
            if cast.names().iter().filter(|name| ***name == *user.name).count() > 1 {
                let what = format!("`{}` is a host of the fleet", user.name);
                return Err(Impossible::new(place!["user", at, "name"], what, "choose another"));
            }
            for (nth, server) in user.servers.iter().enumerate() {
                if cast.host(server).is_none_or(|h| cast.part(h) != Part::Gateway) {
                    let place = place!["user", at, "servers", nth];
                    return Err(no_such(place, "server", server, cast.names()));
                }
            }
        }
        for (at, group) in self.group.iter().enumerate() {
            if !names.insert(group.name.as_str()) || cast.user(&group.name).is_some() {
                let what = format!("`{}` is taken", group.name);
                return Err(Impossible::new(place!["group", at, "name"], what, "rename the group"));
            }
            if group.members.len() < 2 {
                let what = format!("group `{}` has fewer than two members", group.name);
                return Err(Impossible::new(place!["group", at, "members"], what, "add members"));
            }
            for (nth, member) in group.members.iter().enumerate() {
                if cast.user(member).is_none() {
                    let place = place!["group", at, "members", nth];
                    return Err(no_such(place, "user", member, &user_names(&cast)));
                }
            }
        }
        Ok(())
    }

    fn validate_watches(&self, cast: &Cast) -> Result<(), Impossible> {
        for (at, user) in self.user.iter().enumerate() {
            for (nth, name) in user.watches.iter().enumerate() {
                if cast.user(name).is_none() {
                    let place = place!["user", at, "watches", nth];
                    return Err(no_such(place, "user", name, &user_names(cast)));
                }
            }
            if user.watches.len() > WATCHED_USERS_MAX {
                let what = format!("watches more than {WATCHED_USERS_MAX} users");
                let help = "a device watches no more; name fewer";
                return Err(Impossible::new(place!["user", at, "watches"], what, help));
            }
        }
        Ok(())
    }

    fn validate_ops(&self, cast: &Cast) -> Result<(), Impossible> {
        let mut names = BTreeMap::new();
        for (at, op) in self.op.iter().enumerate() {
            if names.insert(op.name.as_str(), op).is_some() {
                let what = format!("there are two operations `{}`", op.name);
                return Err(Impossible::new(place!["op", at, "name"], what, "rename one"));
            }
        }
        let known: Vec<String> = names.keys().map(|name| (*name).to_owned()).collect();
        for (at, op) in self.op.iter().enumerate() {
            let wrong = |key: &str, what: String, help: &str| {
                Err(Impossible::new(place!["op", at, key], what, help))
            };
            let who = cast.host(&op.from).map(|host| cast.part(host));
            if op.deed == Deed::HandleDeadLetters {
                if who != Some(Part::Database) {
                    let what = format!("dead letters are not at `{}`", op.from);
                    return wrong("from", what, "write from = \"db\"");
                }
            } else if !matches!(who, Some(Part::Client(_))) {
                return Err(no_such(place!["op", at, "from"], "user", &op.from, &user_names(cast)));
            }
            match (&op.at, &op.when) {
                (Some(_), Some(_)) => {
                    let what = "has both a time and a trigger".to_owned();
                    return wrong("at", what, "keep `at` or `when`");
                }
                (None, None) => {
                    let what = "has neither a time nor a trigger".to_owned();
                    return wrong("name", what, "add `at` or `when`");
                }
                (Some(time), None) if time.since_start(self.zero()) > self.heal_at() => {
                    let what = format!("`{}` is after the end ({})", time, self.duration);
                    return wrong("at", what, "move it before the end, or make the run longer");
                }
                (None, Some(trigger)) => {
                    for (key, name) in [("shown", &trigger.shown)] {
                        if !names.contains_key(name.as_str()) {
                            let place = place!["op", at, "when", key];
                            return Err(no_such(place, "operation", name, &known));
                        }
                    }
                    if cast.user(&trigger.to).is_none() {
                        let place = place!["op", at, "when", "to"];
                        return Err(no_such(place, "user", &trigger.to, &user_names(cast)));
                    }
                }
                (Some(_), None) => {}
            }
            match (op.deed, &op.to) {
                (Deed::Send, None) => {
                    return wrong("name", "is sent to nobody".to_owned(), "add `to`");
                }
                (Deed::Read, None) => {
                    let what = "reads nobody's messages".to_owned();
                    return wrong("name", what, "add `to`: the other person, or the group");
                }
                (Deed::Send | Deed::Read, Some(to)) => {
                    if cast.user(to).is_none() && cast.group(to).is_none() {
                        let place = place!["op", at, "to"];
                        return Err(no_such(place, "user or group", to, &user_names(cast)));
                    }
                }
                (Deed::GoOffline | Deed::GoOnline | Deed::HandleDeadLetters, Some(_)) => {
                    return wrong("to", "is not sent to anybody".to_owned(), "remove `to`");
                }
                (Deed::GoOffline | Deed::GoOnline | Deed::HandleDeadLetters, None) => {}
            }
            let written = [("body", &op.body), ("answers", &op.answers)];
            let written = written.iter().find(|(_, given)| given.is_some());
            if let (Deed::Read, Some((key, _))) = (op.deed, written) {
                return wrong(key, format!("reads, and has no `{key}`"), "remove it");
            }
            if let Some(answered) = &op.answers {
                let Some(other) = names.get(answered.as_str()) else {
                    let place = place!["op", at, "answers"];
                    return Err(no_such(place, "operation", answered, &known));
                };
                if conversation(op, cast) != conversation(other, cast) {
                    let what = format!("answers `{answered}` in another conversation");
                    // Order is promised within a conversation, and only there.
                    return wrong("answers", what, "send it to where the answered one was sent");
                }
            }
        }
        Ok(())
    }

    fn validate_expect(&self, cast: &Cast) -> Result<(), Impossible> {
        for (at, name) in self.expect.reached.iter().enumerate() {
            let known = courier::note::Note::VARIANTS;
            if !known.contains(&name.as_str()) {
                let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
                return Err(no_such(place!["expect", "reached", at], "note", name, &known));
            }
        }
        let Expect { breaks, may_break, .. } = &self.expect;
        for (key, names) in [("breaks", breaks), ("may-break", may_break)] {
            for (at, name) in names.iter().enumerate() {
                let place = place!["expect", key, at];
                if !GUARANTEE.contains(&name.as_str()) {
                    return Err(no_such(place, "invariant", name, GUARANTEE));
                }
                if names[..at].contains(name) || (key == "may-break" && breaks.contains(name)) {
                    let what = format!("`{name}` is expected to break already");
                    return Err(Impossible::new(place, what, "write it once"));
                }
            }
        }
        for (at, row) in self.expect.registry.iter().enumerate() {
            if cast.user(&row.user).is_none() {
                let place = place!["expect", "registry", at, "user"];
                return Err(no_such(place, "user", &row.user, &user_names(cast)));
            }
            if row.server != NOWHERE && cast.host(&row.server).is_none() {
                let place = place!["expect", "registry", at, "server"];
                return Err(no_such(place, "server", &row.server, cast.names()));
            }
        }
        let ops: Vec<String> = self.op.iter().map(|op| op.name.clone()).collect();
        for (at, shown) in self.expect.shown.iter().enumerate() {
            if !ops.contains(&shown.message) {
                let place = place!["expect", "shown", at, "message"];
                return Err(no_such(place, "operation", &shown.message, &ops));
            }
            if cast.user(&shown.to).is_none() {
                let place = place!["expect", "shown", at, "to"];
                return Err(no_such(place, "user", &shown.to, &user_names(cast)));
            }
        }
        Ok(())
    }

    /// When the faults end, in nanoseconds since the start.
    pub fn heal_at(&self) -> u64 {
        self.zero() + self.duration.nanos()
    }
}

/// Where an operation's message goes.
pub fn conversation(op: &Op, cast: &Cast) -> Option<ConversationId> {
    let to = op.to.as_deref()?;
    if let Some(group) = cast.group(to) {
        return Some(group);
    }
    let author = cast.host(&op.from).and_then(|host| cast.device_at(host))?;
    Some(ConversationId::between(author.user, cast.user(to)?))
}

/// How an expectation writes "no row".
pub const NOWHERE: &str = "nowhere";

fn no_such(
    place: crate::document::Place,
    what: &str,
    name: &str,
    known: &[impl AsRef<str>],
) -> Impossible {
    let help = match nearest(name, known.iter().map(AsRef::as_ref)) {
        Some(word) => format!("did you mean `{word}`?"),
        None if known.is_empty() => format!("there is no {what} at all"),
        None => format!("there are: {}", some_of(known)),
    };
    Impossible::new(place, format!("there is no {what} `{name}`"), help)
}

fn user_names(cast: &Cast) -> Vec<&str> {
    cast.users().map(|user| cast.user_name(user)).collect()
}

fn some_of(known: &[impl AsRef<str>]) -> String {
    const LISTED_MAX: usize = 12;
    let mut listed =
        known.iter().take(LISTED_MAX).map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    if known.len() > LISTED_MAX {
        listed.push_str(", …");
    }
    listed
}

/// What a kind of fault needs to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Target,
    Links,
    /// A target, and the hosts on one side of it.
    Sides,
}

impl Fault {
    fn validate(&self, at: usize, cast: &Cast, heal_at: u64) -> Result<(), Impossible> {
        use Kind::*;
        let kind = self.kind.name();
        let wrong = |key: &str, what: String, help: &str| {
            Err(Impossible::new(place!["fault", at, key], what, help))
        };
        let needs = match self.kind {
            Crash | PowerCut | Failover | Pause | ClockStep | ClockDrift | Drain | Deploy => {
                Needs::Target
            }
            SlowReader | SlowHost | Suspend | Wipe | DiskSlow | DiskFull => Needs::Target,
            Unanswered | StaleReads | ReplicaCut | Configure => Needs::Target,
            SplitBrain => Needs::Sides,
            OffsetLoss | PoisonRecord => Needs::Target,
            Partition | OneWay | Flapping => Needs::Links,
            Slow | Loss | Duplicate | Reorder => Needs::Links,
            Fin | Reset | HalfOpen | NatDrop => Needs::Links,
        };
        let given = [("target", &self.target), ("from", &self.from), ("to", &self.to)];
        for (key, names) in given {
            let wanted = match needs {
                Needs::Target => key == "target",
                Needs::Links => key != "target",
                Needs::Sides => key != "to",
            };
            if wanted && names.is_empty() {
                let what = format!("a {kind} needs `{key}`");
                return wrong("kind", what, "add a host's name, like \"server-7\"");
            }
            if !wanted && !names.is_empty() {
                let what = format!("a {kind} has no `{key}`");
                let help = match needs {
                    Needs::Target => "write `target`",
                    Needs::Links => "write `from` and `to`",
                    Needs::Sides => "write `from`: who still reaches the old one",
                };
                return wrong(key, what, help);
            }
            for (nth, name) in names.iter().enumerate() {
                if hosts_named(name, cast).is_empty() {
                    let place = place!["fault", at, key, nth];
                    return Err(no_such(place, "host", name, cast.names()));
                }
            }
        }
        let by = matches!(self.kind, Slow | Reorder | ClockStep | Failover)
            || matches!(self.kind, NatDrop | SlowHost | DiskSlow | StaleReads | SplitBrain)
            || matches!(self.kind, Flapping);
        let share = matches!(self.kind, Loss | Duplicate | Reorder | Unanswered);
        let ppm = matches!(self.kind, ClockDrift);
        for (key, wanted, given, help) in [
            ("by", by, self.by.is_some(), "a time, like \"200ms\""),
            ("share", share, self.share.is_some(), "a share of messages, like 0.05"),
            ("ppm", ppm, self.ppm.is_some(), "parts per million, like 200"),
        ] {
            if wanted && !given {
                return wrong("kind", format!("a {kind} needs `{key}`"), &format!("add {help}"));
            }
            if !wanted && given {
                return wrong(key, format!("a {kind} has no `{key}`"), "remove it");
            }
        }
        let replica = matches!(self.kind, Failover | StaleReads | SplitBrain);
        if replica && self.by.is_some_and(|by| by.0 < 0) {
            return wrong("by", "a replica cannot be ahead".to_owned(), "write it without -");
        }
        if matches!(self.kind, Slow | Reorder) && self.by.is_some_and(|by| by.0 < 0) {
            return wrong("by", "a message cannot take less time".to_owned(), "write it without -");
        }
        let takes = matches!(self.kind, NatDrop | SlowHost | DiskSlow | Flapping);
        if takes && self.by.is_some_and(|by| by.0 <= 0) {
            return wrong("by", format!("a {kind} needs some time"), "write a time above 0");
        }
        if self.kind.is_instant() && self.lasts.is_some() {
            return wrong("lasts", format!("a {kind} is over at once"), "remove it");
        }
        if self.one_way && !matches!(self.kind, Slow | Loss | Duplicate | Reorder) {
            let what = format!("a {kind} has no `one-way`");
            return wrong("one-way", what, "remove it; a partition with one way is `one-way`");
        }
        self.validate_begin(at, cast, heal_at)?;
        if self.permanent && !matches!(self.kind, Crash | PowerCut | Drain) {
            let what = format!("a {kind} cannot be permanent");
            return wrong("permanent", what, "only crash, power-cut and drain can; remove it");
        }
        if self.permanent && self.lasts.is_some() {
            let what = "is permanent and ends".to_owned();
            return wrong("lasts", what, "keep `lasts` or `permanent`");
        }
        self.validate_operation(at, cast, heal_at)
    }

    /// What only operations of a fleet's owner must keep to: drains and deploys.
    fn validate_operation(&self, at: usize, cast: &Cast, heal_at: u64) -> Result<(), Impossible> {
        let kind = self.kind.name();
        let wrong = |key: &str, what: String, help: &str| {
            Err(Impossible::new(place!["fault", at, key], what, help))
        };
        self.validate_parts(at, cast)?;
        if self.kind != Kind::Deploy {
            for (key, given) in [("grace", self.grace), ("pause", self.pause)] {
                if given.is_some() {
                    return wrong(key, format!("a {kind} has no `{key}`"), "remove it");
                }
            }
            return Ok(());
        }
        if self.lasts.is_some() {
            let what = "a deploy lasts as long as its hosts take".to_owned();
            return wrong("lasts", what, "write `grace` and `pause`, which each host is given");
        }
        if self.deploy_steps(cast).last().is_some_and(|step| step.restarts > heal_at) {
            let what = "its last host is restarted after everything has healed".to_owned();
            return wrong("at", what, "shorten `grace` or `pause`, or make the run longer");
        }
        Ok(())
    }

    /// When a deploy does what to which host.
    pub fn deploy_steps(&self, cast: &Cast) -> Vec<DeployStep> {
        let grace = self.grace.unwrap_or(DEPLOY_GRACE).nanos();
        let pause = self.pause.unwrap_or(DEPLOY_PAUSE).nanos();
        let begins = self.at.map_or(0, |at| at.since_start(cast.zero));
        let step = |(nth, host): (usize, HostId)| {
            let earlier = grace.saturating_add(pause).saturating_mul(nth as u64);
            let drains = begins.saturating_add(earlier);
            DeployStep { host, drains, restarts: drains.saturating_add(grace) }
        };
        self.hosts(cast).into_iter().enumerate().map(step).collect()
    }

    /// The hosts that the fault touches. Of a fault on links, whose one end is most of the fleet,
    /// it is the other end that suffers.
    pub fn hosts(&self, cast: &Cast) -> Vec<HostId> {
        let named = |names: &[String]| -> BTreeSet<HostId> {
            names.iter().flat_map(|name| hosts_named(name, cast)).collect()
        };
        let (mut touched, from, to) = (named(&self.target), named(&self.from), named(&self.to));
        let most = |hosts: &BTreeSet<HostId>| hosts.len() * 2 > cast.names().len();
        if most(&from) == most(&to) || !most(&from) {
            touched.extend(&from);
        }
        if most(&from) == most(&to) || !most(&to) {
            touched.extend(&to);
        }
        touched.into_iter().collect()
    }
}

/// The hosts that a name means: one, a zone's, or all that begin like `server-*`; `users` are all
/// devices.
pub fn hosts_named(name: &str, cast: &Cast) -> Vec<HostId> {
    match name.strip_suffix('*') {
        Some("") => cast.hosts().map(|(host, _)| host).collect(),
        Some(prefix) => cast
            .hosts()
            .filter(|(host, _)| cast.name(*host).starts_with(prefix))
            .map(|(host, _)| host)
            .collect(),
        None if name == "users" => cast.devices().map(|(host, _)| host).collect(),
        None => match cast.zone(name) {
            Some(hosts) => hosts.to_vec(),
            None => cast.host(name).into_iter().collect(),
        },
    }
}
