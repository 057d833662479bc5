//! Drafts: what is drawn of a plan, before names and numbers are made to fit each other.
//!
//! Every part is drawn by itself and refers to others by a number that is taken modulo how many
//! there turn out to be. So any part can shrink or go without making the rest impossible.

use courier::balancer::Balance;
use courier::frame::{PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use courier::timing::Timing;
use courier_sim::cast::Part;
use courier_sim::plan::{
    BoundsSpec, Commit, Deed, DelaySpec, Expect, FORMAT, Fault, FleetSpec, GroupSpec,
    KeepaliveSpec, Kind, LinkSpec, NetworkSpec, Op, Plan, ReplicationSpec, Trigger, UserSpec,
};
use courier_sim::span::{At, Share, Span};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;
use strum::IntoEnumIterator;

/// Times are drawn in milliseconds.
fn span(millis: u64) -> Span {
    Span(Duration::from_millis(millis))
}

fn at(millis: u64) -> At {
    At(millis as i64 * 1_000_000)
}

/// A number for somebody or something, whoever there is.
type Who = usize;

#[derive(Clone, Debug)]
struct People {
    /// How many devices each user has.
    devices: Vec<u8>,
    /// Members of each group.
    groups: Vec<Vec<Who>>,
}

/// Somebody writes, perhaps somebody reads and answers; or a phone is in flight mode for a while.
#[derive(Clone, Debug)]
enum Doing {
    Send { at: u64, from: Who, to: Who, answered: Option<(Who, u64)> },
    Fly { at: u64, who: Who, lasts: Option<u64> },
}

#[derive(Clone, Debug)]
struct Trouble {
    kind: Kind,
    at: u64,
    /// Without it, until everything heals.
    lasts: Option<u64>,
    permanent: bool,
    who: Who,
    /// The other end of a link; without it, everybody.
    other: Option<Who>,
    /// In percent of the worst.
    strength: u32,
    back: bool,
}

fn people() -> impl Strategy<Value = People> {
    let devices = vec(prop_oneof![3 => Just(1_u8), 1 => Just(2)], 2..=8);
    let groups = vec(vec(any::<Who>(), 2..=6), 0..=2);
    (devices, groups).prop_map(|(devices, groups)| People { devices, groups })
}

fn fleet() -> impl Strategy<Value = FleetSpec> {
    let balance = prop_oneof![
        Just(Balance::LeastConnections),
        Just(Balance::RoundRobin),
        Just(Balance::ConsistentHashing),
        Just(Balance::SessionAffinity),
    ];
    let versions = (PROTOCOL_OLDEST..=PROTOCOL_NEWEST, 0..=1_000_000_u32);
    (1..=4_u32, 1..=3_u32, 1..=2_u32, 2..=3_u32, balance, versions).prop_map(
        |(servers, apps, workers, monitors, balance, (protocol, old))| FleetSpec {
            servers,
            apps,
            workers,
            monitors,
            consumers: monitors - 1,
            cleaners: 2 * monitors - 3,
            users: 2,
            balance,
            arrive: Span::from_secs(3),
            protocol,
            old_phones: Share(old),
        },
    )
}

/// Of a delay: its median in microseconds, and how many times that the slowest of a hundred takes.
fn delay(medians: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = (Span, Span)> {
    (medians, 1..=8_u64).prop_map(|(median, times)| {
        let span = |micros| Span(Duration::from_micros(micros));
        (span(median), span(median * times))
    })
}

fn link(
    medians: std::ops::RangeInclusive<u64>,
    loss_max: u32,
    duplicate_max: u32,
) -> impl Strategy<Value = LinkSpec> {
    (delay(medians), 0..=loss_max, 0..=duplicate_max).prop_map(
        |((median, p99), loss, duplicate)| LinkSpec {
            median,
            p99,
            loss: Share(loss),
            duplicate: Share(duplicate),
        },
    )
}

fn network() -> impl Strategy<Value = NetworkSpec> {
    let fsync = || delay(100..=20_000).prop_map(|(median, p99)| DelaySpec { median, p99 });
    let (client, backbone) =
        (link(1_000..=200_000, 50_000, 0), link(100..=20_000, 10_000, 200_000));
    let keepalive = (1..=60_u64, 1..=20_u64, 1..=9_u32).prop_map(|(idle, interval, probes)| {
        let (idle, interval) = (Span::from_secs(idle), Span::from_secs(interval));
        KeepaliveSpec { idle, interval, probes }
    });
    let parts = (client, backbone, fsync(), fsync(), any::<bool>(), option::of(keepalive));
    parts.prop_map(|(client, backbone, fsync, client_fsync, keep_tails, keepalive)| NetworkSpec {
        client,
        backbone,
        fsync,
        client_fsync,
        keep_tails,
        keepalive,
        latency_matrix: None,
    })
}

fn replication() -> impl Strategy<Value = ReplicationSpec> {
    let commit = || prop_oneof![3 => Just(Commit::Asynchronous), 1 => Just(Commit::Synchronous)];
    (commit(), commit(), commit()).prop_map(|(db, registry, log)| ReplicationSpec {
        db,
        registry,
        log,
    })
}

/// When something happens, in thousandths of the plan's duration.
const MOMENTS: std::ops::Range<u64> = 0..1_000;

fn doing() -> impl Strategy<Value = Doing> {
    let answered = option::weighted(0.3, (any::<Who>(), 0..10_000_u64));
    let send = (MOMENTS, any::<Who>(), any::<Who>(), answered)
        .prop_map(|(at, from, to, answered)| Doing::Send { at, from, to, answered });
    let fly = (MOMENTS, any::<Who>(), option::weighted(0.8, 100..60_000_u64))
        .prop_map(|(at, who, lasts)| Doing::Fly { at, who, lasts });
    prop_oneof![5 => send, 1 => fly]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let kinds: Vec<Kind> = Kind::iter().filter(|kind| kind.is_drawn()).collect();
    // That a server lives and is held for dead needs most to come together.
    let silent = vec![Kind::Pause, Kind::Suspend, Kind::Partition];
    let kinds =
        prop_oneof![3 => proptest::sample::select(kinds), 1 => proptest::sample::select(silent)];
    // Long enough, now and then, for a server that lives to be held for dead.
    let lasts = option::weighted(0.9, 100..90_000_u64);
    let flags = (prop::bool::weighted(0.1), any::<bool>());
    let other = option::weighted(0.5, any::<Who>());
    (kinds, MOMENTS, lasts, flags, any::<Who>(), other, 1..=100_u32).prop_map(
        |(kind, at, lasts, (permanent, back), who, other, strength)| Trouble {
            kind,
            at,
            lasts,
            permanent,
            who,
            other,
            strength,
            back,
        },
    )
}

/// Any plan that the fleet is to survive.
pub fn plan() -> impl Strategy<Value = Plan> {
    let days = (any::<u64>(), 30_000..120_000_u64, 0..5_000_u64);
    let story = (vec(doing(), 1..40), vec(trouble(), 0..10));
    (days, fleet(), people(), (network(), replication()), story).prop_map(
        |((seed, lasts, lag), fleet, people, (network, replication), (doings, troubles))| {
            let timing = Timing { consumer_lag: Duration::from_millis(lag), ..Timing::default() };
            let mut plan = Plan {
                format: FORMAT,
                scenario: "drawn".to_owned(),
                // TOML's integers end there.
                seed: seed >> 1,
                warmup: Span::from_secs(15),
                duration: span(lasts),
                quiesce: Span::from_secs(240),
                fleet,
                timing,
                design: courier::design::Design::default(),
                network,
                bounds: BoundsSpec::default(),
                expect: Expect::default(),
                user: Vec::new(),
                group: Vec::new(),
                zone: Vec::new(),
                replication,
                fault: Vec::new(),
                op: Vec::new(),
            };
            settle(&people, &mut plan);
            doings.iter().for_each(|doing| write(doing, lasts, &mut plan));
            troubles.iter().for_each(|trouble| befall(trouble, lasts, &mut plan));
            plan
        },
    )
}

fn settle(people: &People, plan: &mut Plan) {
    let name = |number: usize| format!("u{number}");
    let next = |number: usize| name((number + 1) % people.devices.len());
    plan.user = people
        .devices
        .iter()
        .enumerate()
        .map(|(number, devices)| UserSpec {
            name: name(number),
            servers: Vec::new(),
            devices: *devices,
            watches: vec![next(number)],
        })
        .collect();
    plan.fleet.users = plan.user.len() as u32;
    for (number, members) in people.groups.iter().enumerate() {
        let mut members: BTreeSet<usize> =
            members.iter().map(|who| who % plan.user.len()).collect();
        // A group of one is none.
        let first = *members.first().expect("members are drawn");
        members.insert((first + 1) % plan.user.len());
        let members = members.into_iter().map(name).collect();
        plan.group.push(GroupSpec { name: format!("group-{number}"), members });
    }
}

/// Any device, by its host's name.
fn device(who: Who, plan: &Plan) -> String {
    let cast = plan.cast();
    let devices: Vec<_> = cast.devices().map(|(host, _)| cast.name(host).to_owned()).collect();
    devices[who % devices.len()].clone()
}

fn op(number: usize, deed: Deed, from: String) -> Op {
    let name = format!("m{number}");
    let (at, when, delay, to, body, answers) = (None, None, None, None, None, None);
    Op { name, at, when, delay, deed, from, to, body, answers }
}

fn write(doing: &Doing, lasts: u64, plan: &mut Plan) {
    let moment = |share: u64| at(share * lasts / 1_000);
    match doing {
        Doing::Send { at, from, to, answered } => {
            let from = device(*from, plan);
            let to = to % (plan.user.len() + plan.group.len());
            // A conversation is named by who writes: "to u2" is another one for everybody.
            let (to, back, members) = match plan.group.get(to.wrapping_sub(plan.user.len())) {
                Some(group) => (group.name.clone(), group.name.clone(), group.members.clone()),
                None => {
                    let author = from.split('/').next().unwrap_or(&from).to_owned();
                    (plan.user[to].name.clone(), author, vec![plan.user[to].name.clone()])
                }
            };
            let sent =
                Op { at: Some(moment(*at)), to: Some(to), ..op(plan.op.len(), Deed::Send, from) };
            let shown = sent.name.clone();
            plan.op.push(sent);
            if let Some((who, delay)) = answered {
                let who = members[who % members.len()].clone();
                let when = Some(Trigger { shown: shown.clone(), to: who.clone() });
                let (delay, to, answers) = (Some(span(*delay)), Some(back), Some(shown));
                let reads = op(plan.op.len(), Deed::Read, who.clone());
                plan.op.push(Op { when: when.clone(), delay, to: to.clone(), ..reads });
                let answer = op(plan.op.len(), Deed::Send, who);
                plan.op.push(Op { when, delay, to, answers, ..answer });
            }
        }
        Doing::Fly { at, who, lasts: flight } => {
            let (who, begins) = (device(*who, plan), moment(*at));
            let leaves = op(plan.op.len(), Deed::GoOffline, who.clone());
            plan.op.push(Op { at: Some(begins), ..leaves });
            if let Some(flight) = flight {
                let lands = At((begins.0 + *flight as i64 * 1_000_000).min(moment(1_000).0));
                let returns = op(plan.op.len(), Deed::GoOnline, who);
                plan.op.push(Op { at: Some(lands), ..returns });
            }
        }
    }
}

fn befall(trouble: &Trouble, lasts: u64, plan: &mut Plan) {
    let Trouble { kind, back, .. } = *trouble;
    let cast = plan.cast();
    let hosts: Vec<_> = cast.hosts().collect();
    let (host, part) = hosts[trouble.who % hosts.len()];
    let one = cast.name(host).to_owned();
    let other = trouble.other.map(|who| cast.name(hosts[who % hosts.len()].0).to_owned());
    // Whoever there is one of comes back, and so does the first of several.
    let spare = match part {
        Part::Client(_) => true,
        Part::Monitor => one == "monitor-3",
        Part::Router | Part::Worker | Part::Gateway => !one.ends_with("-1"),
        _ => false,
    };
    let down = matches!(kind, Kind::Crash | Kind::PowerCut);
    let permanent = trouble.permanent && spare && down;
    let mut fault = Fault::new(kind, at(trouble.at * lasts / 1_000));
    fault.lasts = trouble.lasts.filter(|_| !permanent && !kind.is_instant()).map(span);
    fault.permanent = permanent;
    match kind {
        Kind::Crash | Kind::PowerCut | Kind::Pause | Kind::ClockStep | Kind::ClockDrift => {
            fault.target = vec![one];
        }
        Kind::SlowHost | Kind::DiskSlow | Kind::DiskFull | Kind::Suspend => {
            fault.target = vec![one];
        }
        Kind::Unanswered => fault.target = vec![one],
        Kind::StaleReads => fault.target = vec!["db".to_owned(), "registry".to_owned()],
        Kind::SplitBrain | Kind::Configure => unreachable!("they are not drawn"),
        Kind::SlowReader => fault.target = vec!["users".to_owned()],
        Kind::Wipe => fault.target = vec!["registry".to_owned()],
        Kind::Failover | Kind::ReplicaCut => {
            let stores = ["db", "registry", "log"];
            fault.target = vec![stores[trouble.who % stores.len()].to_owned()];
        }
        Kind::OffsetLoss | Kind::PoisonRecord => fault.target = vec!["log".to_owned()],
        Kind::Drain | Kind::Deploy => {
            let number = trouble.who as u32 % plan.fleet.servers + 1;
            fault.target = vec![format!("server-{number}")];
        }
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
        | Kind::Reorder => {
            let ends = [vec![one], vec![other.unwrap_or_else(|| "*".to_owned())]];
            [fault.from, fault.to] = ends;
            if back {
                std::mem::swap(&mut fault.from, &mut fault.to);
            }
        }
    }
    give_strength(trouble, lasts, &mut fault);
    plan.fault.push(fault);
}

fn give_strength(trouble: &Trouble, lasts: u64, fault: &mut Fault) {
    let strength = i64::from(trouble.strength);
    let sign = if trouble.back { -1 } else { 1 };
    let millis = |most: i64| Some(At(most * 10_000 * strength));
    let share = Some(Share(trouble.strength * 8_000));
    match fault.kind {
        Kind::ClockStep => fault.by = millis(sign * 90_000),
        Kind::ClockDrift => fault.ppm = Some(sign * strength * 500),
        Kind::NatDrop => fault.by = millis(100_000),
        Kind::SlowHost | Kind::DiskSlow => fault.by = millis(50),
        Kind::Failover | Kind::StaleReads => fault.by = millis(5_000),
        Kind::Flapping => fault.by = millis(10_000),
        Kind::Unanswered => fault.share = share,
        Kind::Slow => fault.by = millis(3_000),
        Kind::Reorder => {
            fault.by = millis(2_000);
            fault.share = share;
        }
        Kind::Loss | Kind::Duplicate => fault.share = share,
        Kind::Deploy => {
            // It is over when everything heals.
            let left = lasts - trouble.at * lasts / 1_000;
            fault.grace = Some(span(
                fault.lasts.take().map_or(left, |lasts| lasts.0.as_millis() as u64).min(left),
            ));
        }
        Kind::Crash
        | Kind::PowerCut
        | Kind::Pause
        | Kind::Fin
        | Kind::Reset
        | Kind::HalfOpen
        | Kind::SlowReader
        | Kind::Suspend
        | Kind::Wipe
        | Kind::DiskFull
        | Kind::OffsetLoss
        | Kind::PoisonRecord
        | Kind::Partition
        | Kind::OneWay
        | Kind::ReplicaCut
        | Kind::SplitBrain
        | Kind::Configure
        | Kind::Drain => {}
    }
}
