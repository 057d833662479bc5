//! The nemesis: draws random faults and writes them into a plan, and carries out a plan's faults.
//!
//! Drawn once, when the plan is written; a run applies what stands there. Every seed draws for
//! itself which kinds are on and how often (swarm testing), every fault lasts long enough to
//! matter, and an atlas says what may not be down at the same time, so that a failure is a bug and
//! not an unfair fault.

use crate::cast::{Cast, Part};
use crate::document::Impossible;
use crate::place;
use crate::plan::{Fault, Kind, Plan, hosts_named};
use crate::seed::Seed;
use crate::span::{At, Share, Span};
use crate::world::net::{Effect, RuleId, hosts};
use crate::world::{Crew, World};
use courier::id::HostId;
use courier::node::{CloseCause, Command};
use rand::Rng;
use rand::seq::IndexedRandom;
use serde::Deserialize;
use std::time::Duration;
use strum::IntoEnumIterator;

/// `[nemesis]` of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NemesisSpec {
    /// Mean time between two faults.
    pub every: Span,
    /// Shortest and longest time that a fault lasts.
    #[serde(default = "default_lasts")]
    pub lasts: [Span; 2],
    /// A host is left alone for this long after a fault has ended.
    #[serde(default = "default_stable")]
    pub stable: Span,
    /// Kinds that may be drawn; all of them if not given.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// The share of the kinds that one seed has on: each seed draws its own.
    #[serde(default = "default_on")]
    pub on: Share,
}

fn default_lasts() -> [Span; 2] {
    [Span::from_secs(2), Span::from_secs(40)]
}

fn default_stable() -> Span {
    Span::from_secs(10)
}

fn default_on() -> Share {
    Share(600_000)
}

/// What is drawn if nobody says. The kinds that came later are not: every seed would draw another
/// story, and a kept seed would not repeat its failure. Profiles draw them.
fn kinds_by_default() -> Vec<Kind> {
    Kind::iter().filter(|kind| *kind <= Kind::Deploy).collect()
}

/// Most faults that are drawn, on average: a plan is a file that somebody may want to read.
const DRAWN_MAX: u64 = 100_000;

/// A drawn fault's time on a host, for the atlas.
struct Busy {
    hosts: Vec<HostId>,
    from: i64,
    until: i64,
    downs: bool,
}

pub fn write(spec: &NemesisSpec, seed: Seed, plan: &mut Plan) -> Result<(), Impossible> {
    let refuse = |key: &str, what: &str, help: &str| {
        Err(Impossible::new(place!["nemesis", key], what, help))
    };
    if spec.every.nanos() == 0 {
        return refuse("every", "faults without a pause between them", "write a time above 0");
    }
    if plan.duration.nanos() / spec.every.nanos() > DRAWN_MAX {
        return refuse("every", "draws too many faults for this duration", "write a longer time");
    }
    if spec.lasts[0] > spec.lasts[1] {
        return refuse("lasts", "the shortest is longer than the longest", "swap them");
    }
    let cast = plan.cast();
    let mut rng = seed.generator("nemesis", 0);
    let all: Vec<Kind> =
        if spec.kinds.is_empty() { kinds_by_default() } else { spec.kinds.clone() };
    let mut on: Vec<Kind> =
        all.iter().copied().filter(|_| rng.random_range(0..1_000_000) < spec.on.0).collect();
    if on.is_empty() {
        on.push(*all.choose(&mut rng).expect("there are kinds"));
    }
    let mut busy: Vec<Busy> = Vec::new();
    let end = plan.duration.nanos() as i64;
    let mut at = 0.0;
    loop {
        at += -libm::log(1.0 - rng.random::<f64>()) * spec.every.0.as_secs_f64();
        let begins = (at * 1e9) as i64;
        if begins >= end {
            return Ok(());
        }
        let kind = *on.choose(&mut rng).expect("some kind is on");
        let mut lasts = rng.random_range(spec.lasts[0].nanos()..=spec.lasts[1].nanos());
        if kind == Kind::Deploy {
            // It is over when everything heals.
            lasts = lasts.min((end - begins) as u64);
        }
        let ends = begins.saturating_add_unsigned(lasts);
        let fault = draw_fault(kind, begins, lasts, &cast, &mut rng);
        let touched = Busy {
            hosts: fault.hosts(&cast),
            from: begins,
            until: ends.saturating_add_unsigned(spec.stable.nanos()),
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

/// A random fault of a kind. Draws the same count of numbers whatever it draws.
fn draw_fault(kind: Kind, begins: i64, lasts: u64, cast: &Cast, rng: &mut impl Rng) -> Fault {
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
    let one = among(if phone { &clients } else { &servers }, rng);
    let other = among(&servers, rng);
    let strength = rng.random_range(1..=100_u32);
    let mut fault = Fault::new(kind, At(begins));
    fault.lasts = (!kind.is_instant()).then_some(Span(Duration::from_nanos(lasts)));
    let millis = |count: u32| Some(At(i64::from(count) * 1_000_000));
    match kind {
        Kind::Crash | Kind::PowerCut | Kind::Pause | Kind::DiskFull => fault.target = vec![one],
        Kind::SlowHost | Kind::DiskSlow => {
            fault.target = vec![one];
            // A step that takes up to 50 ms, an fsync of up to half a second.
            let longest = if kind == Kind::SlowHost { 500_000 } else { 5_000_000 };
            fault.by = Some(At(i64::from(strength) * longest));
        }
        Kind::SlowReader | Kind::Suspend => fault.target = vec![among(&clients, rng)],
        Kind::Wipe => {
            let spare = |(host, part): (HostId, Part)| part.may_lose_its_disk().then_some(host);
            let hosts: Vec<HostId> = cast.hosts().filter_map(spare).collect();
            fault.target = vec![cast.name(hosts[strength as usize % hosts.len()]).to_owned()];
        }
        Kind::Fin | Kind::Reset | Kind::HalfOpen | Kind::NatDrop => {
            (fault.from, fault.to) = (vec![one], vec!["*".to_owned()]);
            // Cheap translators forget after a minute or less.
            fault.by = (kind == Kind::NatDrop).then_some(At(i64::from(strength) * 600_000_000));
        }
        Kind::Failover => {
            let replicated = cast.hosts().find(|(_, part)| *part == Part::Database);
            fault.target =
                replicated.map(|(host, _)| cast.name(host).to_owned()).into_iter().collect();
            // Replicas lag by milliseconds to seconds.
            fault.by = millis(strength * 30);
        }
        Kind::ClockStep => {
            fault.target = vec![one];
            // Up to a minute and a half, either way.
            let by = i64::from(strength) * 900_000_000;
            fault.by = Some(At(if rng.random() { by } else { -by }));
        }
        Kind::ClockDrift => {
            fault.target = vec![one];
            let ppm = i64::from(strength) * 500;
            fault.ppm = Some(if rng.random() { ppm } else { -ppm });
        }
        Kind::Drain | Kind::Deploy => {
            let gateways = &cast.directory.gateways;
            let host = gateways[strength as usize % gateways.len()];
            fault.target = vec![cast.name(host).to_owned()];
            if kind == Kind::Deploy {
                fault.grace = fault.lasts.take();
            }
        }
        Kind::Partition | Kind::OneWay => {
            fault.from = vec![one];
            fault.to = if strength <= 50 { vec!["*".to_owned()] } else { vec![other] };
        }
        Kind::OffsetLoss | Kind::PoisonRecord => {
            fault.target = vec![cast.name(cast.directory.event_log).to_owned()];
        }
        Kind::Slow => {
            (fault.from, fault.to) = (vec![one], vec!["*".to_owned()]);
            fault.by = millis(strength * 30);
        }
        Kind::Loss => {
            (fault.from, fault.to) = (vec![one], vec!["*".to_owned()]);
            fault.share = Some(Share(strength * 6_000));
        }
        Kind::Duplicate => {
            (fault.from, fault.to) = (vec![one], vec!["*".to_owned()]);
            fault.share = Some(Share(strength * 5_000));
        }
        Kind::Reorder => {
            (fault.from, fault.to) = (vec![one], vec!["*".to_owned()]);
            fault.share = Some(Share(strength * 5_000));
            fault.by = millis(strength * 20);
        }
    }
    fault
}

/// The atlas: a host has one fault at a time, and of the hosts of one kind that can stand in for
/// each other (servers, apps, workers, monitors, consumers), half stay up.
fn is_fair(new: &Busy, busy: &[Busy], cast: &Cast) -> bool {
    let overlapping = || busy.iter().filter(|old| old.from < new.until && new.from < old.until);
    if overlapping().any(|old| old.hosts.iter().any(|host| new.hosts.contains(host))) {
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
        matches!(part, Part::Client(_)) || peers == 1 || (down + 1) * 2 <= peers
    })
}

/// What a fault that began must undo.
#[derive(Clone, Debug, Default)]
pub struct Undo {
    rules: Vec<RuleId>,
}

/// Begins a fault: calls the world's verbs.
pub fn begin<C: Crew>(fault: &Fault, cast: &Cast, world: &mut World<C>) -> Undo {
    let named = |names: &[String]| -> Vec<HostId> {
        names.iter().flat_map(|name| hosts_named(name, cast)).collect()
    };
    let target = named(&fault.target);
    let by = fault.by.unwrap_or_default().0;
    let share = fault.share.unwrap_or_default().0;
    let wait = Duration::from_nanos(by.unsigned_abs());
    let effect = match fault.kind {
        Kind::Crash => return each(&target, |host| world.crash(host)),
        Kind::Failover => return each(&target, |host| world.fail_over(host, by.unsigned_abs())),
        Kind::PowerCut => return each(&target, |host| world.power_cut(host)),
        Kind::Pause => return each(&target, |host| world.pause(host)),
        Kind::SlowHost => return each(&target, |host| world.slow_down(host, by.unsigned_abs())),
        Kind::Suspend => return each(&target, |host| world.suspend(host)),
        Kind::SlowReader => return each(&target, |host| world.stop_reading(host)),
        Kind::Wipe => return each(&target, |host| world.wipe(host)),
        Kind::DiskSlow => return each(&target, |host| world.slow_disk(host, by.unsigned_abs())),
        Kind::DiskFull => return each(&target, |host| world.fill_disk(host)),
        Kind::OffsetLoss => return order(&target, Command::ForgetOffsets, world),
        Kind::PoisonRecord => return order(&target, Command::Garble, world),
        Kind::Fin | Kind::Reset | Kind::HalfOpen => {
            let (from, to) = (hosts(named(&fault.from)), hosts(named(&fault.to)));
            let everybody = hosts(cast.hosts().map(|(host, _)| host));
            let told = if fault.kind == Kind::HalfOpen { &from } else { &everybody };
            let fin = fault.kind == Kind::Fin;
            let cause = if fin { CloseCause::Fin } else { CloseCause::Reset };
            world.sever(&from, &to, told, cause);
            return Undo::default();
        }
        Kind::NatDrop => Effect::Forget(wait),
        Kind::ClockStep => return each(&target, |host| world.step_clock(host, by)),
        Kind::ClockDrift => {
            let ppm = fault.ppm.unwrap_or_default();
            return each(&target, |host| world.drift_clock(host, ppm));
        }
        Kind::Drain => return each(&target, |host| drain(host, cast, world)),
        Kind::Deploy => unreachable!("a deploy goes host by host"),
        Kind::Partition | Kind::OneWay => Effect::Cut,
        Kind::Slow => Effect::Slow(wait),
        Kind::Loss => Effect::Loss(share),
        Kind::Duplicate => Effect::Duplicate(share),
        Kind::Reorder => Effect::Reorder(share, wait),
    };
    let (from, to) = (hosts(named(&fault.from)), hosts(named(&fault.to)));
    let mut rules = vec![world.impose(from.clone(), to.clone(), effect)];
    if fault.kind != Kind::OneWay {
        rules.push(world.impose(to, from, effect));
    }
    Undo { rules }
}

/// Ends a fault that began.
pub fn end<C: Crew>(fault: &Fault, undo: Undo, cast: &Cast, world: &mut World<C>) {
    if fault.permanent {
        return;
    }
    let target: Vec<HostId> =
        fault.target.iter().flat_map(|name| hosts_named(name, cast)).collect();
    for host in target {
        match fault.kind {
            Kind::Crash | Kind::PowerCut | Kind::Failover | Kind::Wipe => world.start(host),
            Kind::SlowHost => world.slow_down(host, 0),
            Kind::Suspend => world.wake(host),
            Kind::SlowReader => world.read_again(host),
            Kind::DiskSlow => world.slow_disk(host, 0),
            Kind::DiskFull => world.make_room(host),
            Kind::Pause => world.resume(host),
            Kind::ClockStep => world.step_clock(host, -fault.by.unwrap_or_default().0),
            Kind::ClockDrift => world.drift_clock(host, 0),
            Kind::Drain => restart(host, world),
            Kind::Deploy => unreachable!("a deploy goes host by host"),
            Kind::OffsetLoss | Kind::PoisonRecord => {}
            Kind::Fin
            | Kind::Reset
            | Kind::HalfOpen
            | Kind::NatDrop
            | Kind::Partition
            | Kind::OneWay
            | Kind::Slow
            | Kind::Loss
            | Kind::Duplicate
            | Kind::Reorder => {}
        }
    }
    undo.rules.into_iter().for_each(|rule| world.lift(rule));
}

/// An operator takes a host out, if it is one that can be: the others are just stopped later.
pub fn drain<C: Crew>(host: HostId, cast: &Cast, world: &mut World<C>) {
    if cast.part(host) == Part::Gateway {
        world.command(host, Command::Drain);
    }
}

/// A host's process is stopped and started again. One that another fault has taken away stays away.
pub fn restart<C: Crew>(host: HostId, world: &mut World<C>) {
    if world.role(host).is_some() {
        world.stop(host);
        world.start(host);
    }
}

fn order<C: Crew>(target: &[HostId], command: Command, world: &mut World<C>) -> Undo {
    each(target, |host| {
        world.command(host, command.clone());
    })
}

fn each(target: &[HostId], mut verb: impl FnMut(HostId)) -> Undo {
    target.iter().for_each(|host| verb(*host));
    Undo::default()
}
