//! The nemesis: draws random faults and writes them into a plan, and carries out a plan's faults.
//!
//! Drawn once, when the plan is written; a run applies what stands there. Every seed draws for
//! itself which kinds are on and how often (swarm testing), every fault lasts long enough to
//! matter, and an atlas says what may not be down at the same time, so that a failure is a bug and
//! not an unfair fault.

mod draw;

use crate::cast::{Cast, Part};
use crate::plan::{Fault, Kind, hosts_named};
use crate::world::net::{Effect, RuleId, hosts};
use crate::world::{Crew, World};
use courier::id::HostId;
use courier::node::{CloseCause, Command};
use std::time::Duration;

pub use draw::{NemesisSpec, Profile, write};

/// What a fault that began must undo.
#[derive(Clone, Debug, Default)]
pub struct Undo {
    rules: Vec<RuleId>,
}

/// Begins the fault of this number: calls the world's verbs.
pub fn begin<C: Crew>(number: usize, fault: &Fault, cast: &Cast, world: &mut World<C>) -> Undo {
    let named = |names: &[String]| all_named(names, cast);
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
        Kind::Fin | Kind::Reset | Kind::HalfOpen => return sever(fault, cast, world),
        Kind::NatDrop => Effect::Forget(wait),
        Kind::StaleReads => {
            return each(&target, |host| world.read_from_replica(host, by.unsigned_abs()));
        }
        Kind::ReplicaCut => return each(&target, |host| world.lose_replica(host)),
        Kind::SplitBrain => {
            let reached_by = hosts(named(&fault.from));
            return each(&target, |host| world.split(host, by.unsigned_abs(), reached_by.clone()));
        }
        Kind::Configure => return each(&target, |host| configure(host, Some(number), world)),
        Kind::Unanswered => Effect::Swallow(share),
        Kind::ClockStep => return each(&target, |host| world.step_clock(host, by)),
        Kind::ClockDrift => {
            let ppm = fault.ppm.unwrap_or_default();
            return each(&target, |host| world.drift_clock(host, ppm));
        }
        Kind::Drain => return each(&target, |host| drain(host, cast, world)),
        Kind::Deploy => unreachable!("a deploy goes host by host"),
        Kind::Partition | Kind::OneWay => Effect::Cut,
        Kind::Flapping => Effect::Flap { since: world.now(), each: by.unsigned_abs() },
        Kind::Slow => Effect::Slow(wait),
        Kind::Loss => Effect::Loss(share),
        Kind::Duplicate => Effect::Duplicate(share),
        Kind::Reorder => Effect::Reorder(share, wait),
    };
    let (from, to, back) = match fault.kind {
        Kind::Unanswered => (target, everybody(cast), false),
        Kind::OneWay => (named(&fault.from), named(&fault.to), false),
        _ => (named(&fault.from), named(&fault.to), !fault.one_way),
    };
    let (from, to) = (hosts(from), hosts(to));
    let mut rules = vec![world.impose(from.clone(), to.clone(), effect)];
    if back {
        rules.push(world.impose(to, from, effect));
    }
    Undo { rules }
}

/// Ends a fault that began. A host that one of the `others` in force keeps in the same state stays
/// in it.
pub fn end<C: Crew>(
    fault: &Fault,
    undo: Undo,
    others: &[&Fault],
    cast: &Cast,
    world: &mut World<C>,
) {
    let others = others.iter().filter(|other| is_same_state(other.kind, fault.kind));
    let kept: Vec<HostId> = others.flat_map(|other| all_named(&other.target, cast)).collect();
    for host in all_named(&fault.target, cast) {
        // A clock was stepped by each of them.
        if kept.contains(&host) && fault.kind != Kind::ClockStep {
            continue;
        }
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
            Kind::StaleReads => world.read_from_primary(host),
            Kind::ReplicaCut => world.find_replica(host),
            Kind::SplitBrain => world.unite(host),
            Kind::Configure => configure(host, None, world),
            Kind::Drain => restart(host, world),
            Kind::Deploy => unreachable!("a deploy goes host by host"),
            Kind::OffsetLoss | Kind::PoisonRecord => {}
            Kind::Fin
            | Kind::Reset
            | Kind::HalfOpen
            | Kind::NatDrop
            | Kind::Partition
            | Kind::OneWay
            | Kind::Flapping
            | Kind::Slow
            | Kind::Loss
            | Kind::Duplicate
            | Kind::Unanswered
            | Kind::Reorder => {}
        }
    }
    undo.rules.into_iter().for_each(|rule| world.lift(rule));
}

/// Whether two kinds leave a host in the same state while they last.
fn is_same_state(a: Kind, b: Kind) -> bool {
    let is_down = |kind| matches!(kind, Kind::Crash | Kind::PowerCut | Kind::Failover | Kind::Wipe);
    a == b || (is_down(a) && is_down(b))
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

/// A host restarts with another configuration.
fn configure<C: Crew>(host: HostId, configuration: Option<usize>, world: &mut World<C>) {
    world.configure(host, configuration);
    restart(host, world);
}

/// Something on the way ends connections.
fn sever<C: Crew>(fault: &Fault, cast: &Cast, world: &mut World<C>) -> Undo {
    let (from, to) = (hosts(all_named(&fault.from, cast)), hosts(all_named(&fault.to, cast)));
    let everybody = hosts(everybody(cast));
    let (told, cause) = match fault.kind {
        Kind::Fin => (&everybody, CloseCause::Fin),
        Kind::HalfOpen => (&from, CloseCause::Reset),
        _ => (&everybody, CloseCause::Reset),
    };
    world.sever(&from, &to, told, cause);
    Undo::default()
}

fn all_named(names: &[String], cast: &Cast) -> Vec<HostId> {
    names.iter().flat_map(|name| hosts_named(name, cast)).collect()
}

fn everybody(cast: &Cast) -> Vec<HostId> {
    cast.hosts().map(|(host, _)| host).collect()
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
