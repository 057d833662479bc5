//! Which faults are drawn for a seed, in which weather, and which never are.
//!
//! Part of the nemesis. Every seed draws for itself which kinds are on, how strong each may be and
//! how often there is one (swarm testing); the atlas says what may not be down at the same time.

use crate::cast::{Cast, Part};
use crate::document::Impossible;
use crate::place;
use crate::plan::{Fault, Kind, Plan};
use crate::seed::Seed;
use crate::span::{At, Share, Span};
use courier::id::HostId;
use rand::Rng;
use rand::seq::IndexedRandom;
use serde::Deserialize;
use std::time::Duration;
use strum::IntoEnumIterator;

/// `[nemesis]` of a scenario. What it does not say, its profile does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NemesisSpec {
    #[serde(default)]
    pub profile: Profile,
    /// Mean time between two faults.
    #[serde(default)]
    pub every: Option<Span>,
    /// Shortest and longest time that a fault lasts.
    #[serde(default)]
    pub lasts: Option<[Span; 2]>,
    /// A host is left alone for this long after a fault has ended.
    #[serde(default)]
    pub stable: Option<Span>,
    /// Kinds that may be drawn.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// The share of the kinds that one seed has on: each seed draws its own.
    #[serde(default)]
    pub on: Option<Share>,
    /// How strong the strongest fault of a kind is: each seed draws its own for each kind, up to
    /// this share of the worst that there is.
    #[serde(default)]
    pub strongest: Option<Share>,
}

/// How bad the weather is, if a scenario does not say more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// An ordinary month: now and then a process dies, a link is slow, a version goes out. Nothing
    /// is cut off, nothing that was durable is lost, and a fault is mostly over before the next.
    Calm,
    /// A bad day: every kind of fault, several at once.
    #[default]
    Rough,
    /// What never happens: faults of every kind on top of each other, whole zones among them, as
    /// strong as they get. Only the atlas still holds.
    Storm,
}

impl Profile {
    /// What each profile says for itself.
    fn defaults(self) -> Weather {
        let seconds = Span::from_secs;
        match self {
            Self::Calm => Weather {
                every: seconds(20),
                lasts: [seconds(1), seconds(15)],
                stable: seconds(20),
                on: Share(500_000),
                strongest: Share(300_000),
                kinds: Kind::iter().filter(|kind| kind.is_ordinary()).collect(),
            },
            Self::Rough => Weather {
                every: seconds(6),
                lasts: [seconds(1), seconds(50)],
                stable: seconds(10),
                on: Share(600_000),
                strongest: Share::ALL,
                kinds: Kind::iter().filter(|kind| kind.is_drawn()).collect(),
            },
            Self::Storm => Weather {
                every: seconds(2),
                lasts: [seconds(1), seconds(90)],
                // A fault may follow the last one on its host at once.
                stable: seconds(0),
                on: Share(800_000),
                strongest: Share::ALL,
                kinds: Kind::iter().filter(|kind| kind.is_drawn()).collect(),
            },
        }
    }
}

/// A profile, and what the scenario says instead.
struct Weather {
    every: Span,
    lasts: [Span; 2],
    stable: Span,
    on: Share,
    strongest: Share,
    kinds: Vec<Kind>,
}

impl NemesisSpec {
    fn weather(&self) -> Weather {
        let usual = self.profile.defaults();
        Weather {
            every: self.every.unwrap_or(usual.every),
            lasts: self.lasts.unwrap_or(usual.lasts),
            stable: self.stable.unwrap_or(usual.stable),
            on: self.on.unwrap_or(usual.on),
            strongest: self.strongest.unwrap_or(usual.strongest),
            kinds: if self.kinds.is_empty() { usual.kinds } else { self.kinds.clone() },
        }
    }
}

/// Of a share.
const PERCENT: u32 = 10_000;

/// One fault in so many befalls a whole zone, if there are zones.
const ZONE_ONE_IN: u32 = 8;

/// Most faults that are drawn, on average: a plan is a file that somebody may want to read.
const DRAWN_MAX: u64 = 100_000;

/// A drawn fault's time on a host, for the atlas.
struct Busy {
    kind: Kind,
    hosts: Vec<HostId>,
    from: i64,
    until: i64,
    downs: bool,
}

pub fn write(spec: &NemesisSpec, seed: Seed, plan: &mut Plan) -> Result<(), Impossible> {
    let refuse = |key: &str, what: &str, help: &str| {
        Err(Impossible::new(place!["nemesis", key], what, help))
    };
    let weather = spec.weather();
    if weather.every.nanos() == 0 {
        return refuse("every", "faults without a pause between them", "write a time above 0");
    }
    if plan.duration.nanos() / weather.every.nanos() > DRAWN_MAX {
        return refuse("every", "draws too many faults for this duration", "write a longer time");
    }
    if weather.lasts[0] > weather.lasts[1] {
        return refuse("lasts", "the shortest is longer than the longest", "swap them");
    }
    if let Some(nth) = spec.kinds.iter().position(|kind| !kind.is_drawn()) {
        let what = format!("a {} is not drawn at random", spec.kinds[nth].name());
        let help = "remove it, and write a [[fault]]: nothing can be promised under it";
        return Err(Impossible::new(place!["nemesis", "kinds", nth], what, help));
    }
    if weather.strongest.0 == 0 {
        return refuse("strongest", "faults without any strength", "write a share above 0");
    }
    let cast = plan.cast();
    let mut rng = seed.generator("nemesis", 0);
    let mut on = weather.kinds.clone();
    on.retain(|_| rng.random_range(0..1_000_000) < weather.on.0);
    if on.is_empty() {
        on.push(*weather.kinds.choose(&mut rng).expect("there are kinds"));
    }
    let most = (weather.strongest.0 / PERCENT).max(1);
    let on: Vec<(Kind, u32)> =
        on.into_iter().map(|kind| (kind, rng.random_range(1..=most))).collect();
    let mut busy: Vec<Busy> = Vec::new();
    let end = plan.duration.nanos() as i64;
    let mut at = 0.0;
    loop {
        at += -libm::log(1.0 - rng.random::<f64>()) * weather.every.0.as_secs_f64();
        let begins = (at * 1e9) as i64;
        if begins >= end {
            return Ok(());
        }
        let (kind, strongest) = *on.choose(&mut rng).expect("some kind is on");
        let mut lasts = rng.random_range(weather.lasts[0].nanos()..=weather.lasts[1].nanos());
        if kind == Kind::Deploy {
            // It is over when everything heals.
            lasts = lasts.min((end - begins) as u64);
        }
        let ends = begins.saturating_add_unsigned(lasts);
        let fault = draw_fault(kind, begins, lasts, strongest, &cast, &mut rng);
        let touched = Busy {
            kind,
            hosts: fault.hosts(&cast),
            from: begins,
            until: ends.saturating_add_unsigned(weather.stable.nanos()),
            downs: matches!(kind, Kind::Crash | Kind::PowerCut | Kind::Pause | Kind::Failover)
                || matches!(kind, Kind::Drain | Kind::Deploy)
                || matches!(kind, Kind::Wipe | Kind::Suspend | Kind::DiskFull | Kind::SlowHost),
        };
        if is_fair(&touched, &busy, &cast) {
            plan.fault.push(fault);
            busy.push(touched);
        }
    }
}

/// A random fault of a kind, of a strength from 1 to `strongest` percent.
fn draw_fault(
    kind: Kind,
    begins: i64,
    lasts: u64,
    strongest: u32,
    cast: &Cast,
    rng: &mut impl Rng,
) -> Fault {
    let servers: Vec<HostId> = cast
        .hosts()
        .filter(|(_, part)| !matches!(part, Part::Client(_)))
        .map(|(host, _)| host)
        .collect();
    let clients: Vec<HostId> = cast.devices().map(|(host, _)| host).collect();
    let among = |hosts: &[HostId], rng: &mut dyn rand::RngCore| {
        let at = ((u64::from(rng.next_u32()) * hosts.len() as u64) >> 32) as usize;
        cast.name(hosts[at]).to_owned()
    };
    // One fault in four befalls somebody's phone.
    let phone = rng.random_range(0..4) == 0;
    let mut one = among(if phone { &clients } else { &servers }, rng);
    let other = among(&servers, rng);
    let zones: Vec<&str> = cast.zones().collect();
    if !zones.is_empty() && rng.random_range(0..ZONE_ONE_IN) == 0 {
        one = zones.choose(rng).expect("there are some").to_string();
    }
    let strength = rng.random_range(1..=strongest);
    let which = rng.random::<u32>() as usize;
    let store = |can: fn(Part) -> bool| {
        let hosts: Vec<HostId> =
            cast.hosts().filter(|(_, part)| can(*part)).map(|(host, _)| host).collect();
        vec![cast.name(hosts[which % hosts.len()]).to_owned()]
    };
    let mut fault = Fault::new(kind, At(begins));
    fault.lasts = (!kind.is_instant()).then_some(Span(Duration::from_nanos(lasts)));
    match kind {
        Kind::Crash
        | Kind::PowerCut
        | Kind::Pause
        | Kind::DiskFull
        | Kind::SlowHost
        | Kind::DiskSlow
        | Kind::Suspend
        | Kind::ClockStep
        | Kind::ClockDrift => fault.target = vec![one],
        Kind::SlowReader => fault.target = vec![among(&clients, rng)],
        Kind::Unanswered => fault.target = vec![other],
        Kind::Wipe => fault.target = store(Part::may_lose_its_disk),
        Kind::OffsetLoss | Kind::PoisonRecord => {
            fault.target = store(|part| part == Part::EventLog);
        }
        Kind::StaleReads => fault.target = store(Part::answers_reads),
        Kind::Failover | Kind::ReplicaCut => fault.target = store(Part::has_replica),
        Kind::Drain | Kind::Deploy => {
            let gateways = &cast.directory.gateways;
            fault.target = vec![cast.name(gateways[which % gateways.len()]).to_owned()];
        }
        Kind::Partition | Kind::OneWay | Kind::Flapping => {
            fault.from = vec![one];
            fault.to = if strength <= 50 { vec!["*".to_owned()] } else { vec![other] };
        }
        Kind::Slow
        | Kind::Loss
        | Kind::Duplicate
        | Kind::Reorder
        | Kind::Fin
        | Kind::Reset
        | Kind::HalfOpen
        | Kind::NatDrop => {
            (fault.from, fault.to) = (vec![one], vec!["*".to_owned()]);
        }
        Kind::SplitBrain | Kind::Configure => {
            unreachable!("never drawn: nobody can promise anything under it")
        }
    }
    give_strength(&mut fault, strength, rng.random());
    fault
}

/// How much of it there is, from 1 to 100 percent of the worst.
fn give_strength(fault: &mut Fault, strength: u32, back: bool) {
    let micros = |count: u32| Some(At(i64::from(strength * count) * 1_000));
    let share = |worst: u32| Some(Share(strength * worst / 100));
    let sign = if back { -1 } else { 1 };
    match fault.kind {
        // A step that takes up to 50 ms, an fsync of up to half a second.
        Kind::SlowHost => fault.by = micros(500),
        Kind::DiskSlow => fault.by = micros(5_000),
        // Cheap translators forget after a minute or less.
        Kind::NatDrop => fault.by = micros(600_000),
        // Replicas lag by milliseconds to seconds.
        Kind::Failover => fault.by = micros(30_000),
        Kind::StaleReads => fault.by = micros(50_000),
        // Down for a tenth of a second to ten, and up as long.
        Kind::Flapping => fault.by = micros(100_000),
        Kind::Slow => fault.by = micros(30_000),
        Kind::Loss => fault.share = share(600_000),
        Kind::Duplicate | Kind::Unanswered => fault.share = share(500_000),
        Kind::Reorder => {
            fault.share = share(500_000);
            fault.by = micros(20_000);
        }
        // Up to a minute and a half, either way.
        Kind::ClockStep => fault.by = micros(900_000).map(|by| At(sign * by.0)),
        Kind::ClockDrift => fault.ppm = Some(sign * i64::from(strength) * 500),
        // Its grace is what another fault lasts.
        Kind::Deploy => fault.grace = fault.lasts.take(),
        _ => {}
    }
}

/// The atlas: a host has one fault at a time, and of the hosts of one kind that can stand in for
/// each other (servers, apps, workers, monitors, consumers, cleaners), half stay up. A lost replica
/// shows when its primary fails over, so that may come on top of it. It answers no reads meanwhile:
/// whoever balances them takes out a replica that lags by minutes.
fn is_fair(new: &Busy, busy: &[Busy], cast: &Cast) -> bool {
    let overlapping = || busy.iter().filter(|old| old.from < new.until && new.from < old.until);
    let apart = |old: &Busy| {
        let both = [old.kind, new.kind];
        both.contains(&Kind::ReplicaCut) && both.contains(&Kind::Failover)
    };
    let at_one_host = |old: &Busy| old.hosts.iter().any(|host| new.hosts.contains(host));
    if overlapping().any(|old| at_one_host(old) && !apart(old)) {
        return false;
    }
    if !new.downs {
        return true;
    }
    new.hosts.iter().all(|host| {
        let part = cast.part(*host);
        let peers = cast.hosts().filter(|(_, other)| *other == part).count();
        let down = overlapping()
            .filter(|old| old.downs)
            .flat_map(|old| &old.hosts)
            .filter(|other| cast.part(**other) == part)
            .count();
        // A zone takes several away at once.
        let more = new.hosts.iter().filter(|other| cast.part(**other) == part).count();
        matches!(part, Part::Client(_)) || peers == 1 || (down + more) * 2 <= peers
    })
}
