//! Workloads: who writes to whom, and when. They write operations into a plan.

use crate::document::Impossible;
use crate::input::message_trace::MessageTrace;
use crate::place;
use crate::plan::{Deed, GroupSpec, Op, Plan, Trigger, UserSpec};
use crate::scenario::Inputs;
use crate::seed::Seed;
use crate::span::{At, Share, Span};
use courier::limits::WATCHED_USERS_MAX;
use rand::Rng;
use rand::seq::IndexedRandom;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// `[workload]` of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WorkloadSpec {
    pub kind: WorkloadKind,

    /// Chat: sends of the whole fleet per second, as a Poisson process.
    #[serde(default)]
    pub sends_per_s: Option<f64>,
    /// Chat: the share of messages that the recipient answers after having seen it.
    #[serde(default)]
    pub answered: Share,
    /// Chat: each user writes to this many others.
    #[serde(default)]
    pub friends: Option<u32>,
    /// Chat: groups to make, and how many members each has.
    #[serde(default)]
    pub groups: u32,
    #[serde(default)]
    pub group_size: Option<u32>,
    /// Chat: the share of messages that go to a group.
    #[serde(default)]
    pub to_groups: Share,
    /// Chat: the share of messages that somebody reads after having seen them.
    #[serde(default)]
    pub read: Share,
    /// Chat: friends watch each other's presence.
    #[serde(default)]
    pub watch_friends: bool,

    /// Trace: where in the trace to begin.
    #[serde(default)]
    pub start: Span,
    /// Trace: how much of it to replay.
    #[serde(default)]
    pub length: Option<Span>,
    /// Trace: how many seconds of it pass in one second of the run.
    #[serde(default)]
    pub time_scale: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// People who write to their friends and groups at random times, and answer.
    Chat,
    /// The sends of a real message trace, given with `--workload-trace`.
    Trace,
}

/// Most operations that a workload writes: a plan is a file that somebody may want to read.
const OPS_MAX: usize = 2_000_000;

/// How long people think before they answer, at most.
const THINK_MAX: Span = Span::from_secs(20);

pub fn write(
    spec: &WorkloadSpec,
    seed: Seed,
    inputs: &Inputs,
    plan: &mut Plan,
) -> Result<(), Impossible> {
    match spec.kind {
        WorkloadKind::Chat => chat(spec, seed, plan),
        WorkloadKind::Trace => trace(spec, inputs, plan),
    }
}

fn refuse(key: &str, what: &str, help: &str) -> Result<(), Impossible> {
    Err(Impossible::new(place!["workload", key], what, help))
}

fn send(name: String, at: At, from: &str, to: &str) -> Op {
    Op {
        name,
        at: Some(at),
        when: None,
        delay: None,
        deed: Deed::Send,
        from: from.to_owned(),
        to: Some(to.to_owned()),
        body: None,
        answers: None,
    }
}

fn chat(spec: &WorkloadSpec, seed: Seed, plan: &mut Plan) -> Result<(), Impossible> {
    let Some(rate) = spec.sends_per_s.filter(|rate| *rate > 0.0 && rate.is_finite()) else {
        return refuse("kind", "chat needs `sends-per-s`", "add how many are sent per second");
    };
    let names: Vec<String> = (0..plan.fleet.users as usize)
        .map(|at| plan.user.get(at).map_or_else(|| format!("u{at}"), |user| user.name.clone()))
        .collect();
    if names.len() < 2 {
        return refuse("kind", "chat needs at least two users", "raise fleet.users");
    }
    make_groups(spec, seed, &names, plan)?;
    let mut rng = seed.generator("workload", 0);
    let friends = spec.friends.unwrap_or(8).max(1) as usize;
    let mut read_rng = seed.generator("workload.reads", 0);
    if spec.watch_friends {
        watch_friends(friends.min(names.len() - 1), &names, plan);
    }
    let end = plan.duration.0.as_secs_f64();
    let mut at = 0.0;
    let mut written: Vec<Op> = Vec::new();
    loop {
        // The time to the next event of a Poisson process.
        at += -libm::log(1.0 - rng.random::<f64>()) / rate;
        if at >= end {
            break;
        }
        if written.len() >= OPS_MAX {
            return refuse("sends-per-s", "writes too many operations", "lower it");
        }
        let time = At::from_nanos((at * 1e9) as i64);
        let name = format!("m{}", plan.op.len() + written.len() + 1);
        let from = rng.random_range(0..names.len());
        let group = plan.group.choose(&mut rng).filter(|_| draw(spec.to_groups, &mut rng));
        let op = match group {
            Some(group) => {
                let from = group.members.choose(&mut rng).expect("a group has members");
                send(name, time, from, &group.name)
            }
            None => {
                // Friends are one's neighbours in the list: a sparse graph, without a table.
                let step = rng.random_range(1..=friends.min(names.len() - 1));
                let to = (from + step) % names.len();
                let (from, to) = if rng.random() { (from, to) } else { (to, from) };
                send(name, time, &names[from], &names[to])
            }
        };
        let answer = draw(spec.answered, &mut rng).then(|| answer(&op, plan, &mut rng, &written));
        let read = draw(spec.read, &mut read_rng).then(|| read(&op, plan, &mut read_rng));
        written.push(op);
        written.extend(answer.flatten());
        if let Some(mut read) = read.flatten() {
            read.name = format!("m{}", plan.op.len() + written.len() + 1);
            written.push(read);
        }
    }
    plan.op.append(&mut written);
    Ok(())
}

fn draw(share: Share, rng: &mut impl Rng) -> bool {
    rng.random_range(0..1_000_000) < share.0
}

/// Everybody's friends watch them: those within so many places in the list, as in the sends.
fn watch_friends(friends: usize, names: &[String], plan: &mut Plan) {
    for name in &names[plan.user.len()..] {
        let (name, servers) = (name.clone(), Vec::new());
        plan.user.push(UserSpec { name, servers, devices: 1, watches: Vec::new() });
    }
    let count = names.len();
    let most = WATCHED_USERS_MAX / 2;
    for (at, user) in plan.user.iter_mut().enumerate() {
        let steps = 1..=friends.min(most);
        let near = steps.flat_map(|step| [(at + step) % count, (at + count - step) % count]);
        let near: BTreeSet<usize> = near.filter(|other| *other != at).collect();
        user.watches = near.into_iter().map(|other| names[other].clone()).collect();
    }
}

/// Somebody who could answer a message, and where to.
fn reader(op: &Op, plan: &Plan, rng: &mut impl Rng) -> Option<(String, String)> {
    let to = op.to.as_deref()?;
    let group = plan.group.iter().find(|group| group.name == to);
    Some(match group {
        Some(group) => {
            let others: Vec<_> = group.members.iter().filter(|m| **m != op.from).collect();
            ((*others.choose(rng)?).clone(), to.to_owned())
        }
        None => (to.to_owned(), op.from.clone()),
    })
}

/// Somebody reads a message some time after having seen it. The name is the caller's to give.
fn read(op: &Op, plan: &Plan, rng: &mut impl Rng) -> Option<Op> {
    let (from, back) = reader(op, plan, rng)?;
    let think = rng.random_range(0..THINK_MAX.nanos());
    Some(Op {
        name: String::new(),
        at: None,
        when: Some(Trigger { shown: op.name.clone(), to: from.clone() }),
        delay: Some(Span(std::time::Duration::from_nanos(think))),
        deed: Deed::Read,
        from,
        to: Some(back),
        body: None,
        answers: None,
    })
}

/// Somebody who sees a message answers it, into the same conversation.
fn answer(op: &Op, plan: &Plan, rng: &mut impl Rng, written: &[Op]) -> Option<Op> {
    let (from, back) = reader(op, plan, rng)?;
    let think = rng.random_range(0..THINK_MAX.nanos());
    Some(Op {
        name: format!("m{}", plan.op.len() + written.len() + 2),
        at: None,
        when: Some(Trigger { shown: op.name.clone(), to: from.clone() }),
        delay: Some(Span(std::time::Duration::from_nanos(think))),
        deed: Deed::Send,
        from,
        to: Some(back),
        body: None,
        answers: Some(op.name.clone()),
    })
}

fn make_groups(
    spec: &WorkloadSpec,
    seed: Seed,
    names: &[String],
    plan: &mut Plan,
) -> Result<(), Impossible> {
    let size = spec.group_size.unwrap_or(5) as usize;
    if spec.groups > 0 && (size < 2 || size > names.len()) {
        let help = "write 2 or more, and no more than there are users";
        return refuse("group-size", "a group cannot have this many members", help);
    }
    let mut rng = seed.generator("workload.groups", 0);
    for number in 1..=spec.groups {
        let members: BTreeSet<&String> = names.choose_multiple(&mut rng, size).collect();
        let members = members.into_iter().cloned().collect();
        plan.group.push(GroupSpec { name: format!("group-{number}"), members });
    }
    Ok(())
}

fn trace(spec: &WorkloadSpec, inputs: &Inputs, plan: &mut Plan) -> Result<(), Impossible> {
    let Some(messages) = &inputs.messages else {
        let help = "run it with --workload-trace FILE (a CSV with the columns t,src,dst)";
        return refuse("kind", "needs a message trace, and none was given", help);
    };
    let scale = spec.time_scale.unwrap_or(1.0);
    if scale.is_nan() || scale <= 0.0 {
        return refuse("time-scale", "must be greater than 0", "1 replays in real time");
    }
    let length = spec.length.map_or(u64::MAX, |span| span.0.as_secs());
    let start = spec.start.0.as_secs();
    let rows = messages.window(start, length);
    let Some(first) = messages.rows.first().map(|row| row.t) else {
        return refuse("kind", "the message trace is empty", "give one with rows");
    };
    if rows.is_empty() {
        return refuse("start", "no message falls into this window", "choose another start");
    }
    if rows.len() > OPS_MAX {
        return refuse("length", "holds too many messages", "choose a shorter window");
    }
    // Everybody in the trace is there, by the trace's own number, also who is silent just then.
    let people = MessageTrace::users(&messages.rows).into_iter();
    let people: BTreeMap<u32, String> = people.map(|user| (user, format!("p{user}"))).collect();
    plan.user.extend(people.values().map(|name| UserSpec {
        name: name.clone(),
        servers: Vec::new(),
        devices: 1,
        watches: Vec::new(),
    }));
    plan.fleet.users = plan.fleet.users.max(plan.user.len() as u32);
    for row in rows {
        let seconds = (row.t - first - start) as f64 / scale;
        let at = At::from_nanos((seconds * 1e9) as i64);
        let name = format!("m{}", plan.op.len() + 1);
        plan.op.push(send(name, at, &people[&row.src], &people[&row.dst]));
    }
    let last = plan.op.iter().filter_map(|op| op.at).max().unwrap_or_default();
    if last.0 > plan.duration.nanos() as i64 {
        let what = format!("its last message would be sent at {last}, after the end");
        let help = "raise time-scale, shorten length, or make duration longer";
        return Err(Impossible::new(place!["workload", "time-scale"], what, help));
    }
    Ok(())
}
