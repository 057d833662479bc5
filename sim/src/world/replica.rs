//! Verbs for stores that have a replica: promoted in their place, answering in their place, cut
//! off, or promoted while the primary goes on.
//!
//! A replica is the primary as it was: its disk without the last records, or a clone of its process
//! that has taken the same events up to a moment ago. A role knows nothing of it.

use super::disk::Platter;
use super::latency::Latency;
use super::net::Hosts;
use super::timers::Timers;
use super::{Crew, Host, Mail, Process, World};
use crate::history::Life;
use courier::id::HostId;
use courier::node::{Action, Event, Outbox, Role};
use courier::time::Now;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What follows a host's disk.
#[derive(Clone, Debug)]
pub enum Replica {
    /// The primary does not wait for it: what was durable there may be lost with the primary
    /// (PostgreSQL's `synchronous_commit = local`, Redis without `WAIT`).
    Asynchronous,
    /// An fsync completes when the replica has synced as well (`synchronous_commit = on`, `WAIT 1`,
    /// Kafka's `acks=all`): each takes a round trip and its fsync longer, and nothing is lost with
    /// the primary.
    Synchronous { way: Latency, fsync: Latency },
}

impl Replica {
    pub(super) fn is_synchronous(&self) -> bool {
        matches!(self, Self::Synchronous { .. })
    }

    /// In nanoseconds, for a drawn number.
    pub(super) fn confirms_after(&self, draw: u64) -> u64 {
        match self {
            Self::Asynchronous => 0,
            Self::Synchronous { way, fsync } => {
                // One draw serves three: its digits are shuffled.
                let other = |turn: u32| draw.rotate_left(turn).wrapping_mul(SHUFFLE);
                way.pick(other(16)) + fsync.pick(other(32)) + way.pick(other(48))
            }
        }
    }
}

/// An odd number without a pattern (the golden ratio's fraction in 64 bits).
const SHUFFLE: u64 = 0x9e37_79b9_7f4a_7c15;

/// A clone of a process that is some time behind, and what it has not taken yet.
#[derive(Clone)]
pub(super) struct Follower<R> {
    /// It answers reads, so many nanoseconds late. Without it, it only keeps what it will need if
    /// it comes to that: a replica that is cut off.
    answers: Option<u64>,
    role: R,
    behind: VecDeque<(u64, Now, Event)>,
}

/// A process that was superseded and does not know.
#[derive(Clone)]
pub(super) struct Rival<R> {
    /// Who still talks to it.
    reached_by: Hosts,
    process: Process,
    role: Option<R>,
    boots: u32,
    platter: Platter,
    timers: Timers,
    mailbox: VecDeque<Mail>,
}

impl<R> Host<R> {
    /// Whether an fsync that begins now waits until something changes: until there is room, or
    /// until the replica that has to confirm it is back.
    pub(super) fn holds_syncs(&self) -> bool {
        let waits = self.machine.replica.as_ref().is_some_and(Replica::is_synchronous);
        self.strain.is_full() || (waits && self.replica_lost.is_some())
    }

    /// Up to when a replica that lags by so many nanoseconds has taken what its primary took. What
    /// it had heard of when it was cut off it goes on taking.
    fn replica_has(&self, now: u64, lag: u64) -> u64 {
        let until = now.saturating_sub(lag);
        self.replica_lost.map_or(until, |lost| lost.min(until))
    }

    /// From now on a clone of the process takes what it takes, later.
    fn begin_following(&mut self)
    where
        R: Clone,
    {
        let role = self.role.clone();
        if self.follower.is_none() {
            let follower = |role| Follower { answers: None, role, behind: VecDeque::new() };
            self.follower = role.map(follower).map(Box::new);
        }
    }

    /// Which of the processes at this address `from` reaches, by its number.
    pub(super) fn boots_for(&self, from: HostId) -> u32 {
        let rival = self.rival.as_ref();
        let rival = rival.filter(|rival| rival.reached_by.contains(from.0 as usize));
        rival.map_or(self.boots, |rival| rival.boots)
    }

    /// Puts the rival in the process's place, or back.
    fn change_places(&mut self) {
        let Some(rival) = &mut self.rival else { return };
        std::mem::swap(&mut self.process, &mut rival.process);
        std::mem::swap(&mut self.role, &mut rival.role);
        std::mem::swap(&mut self.boots, &mut rival.boots);
        std::mem::swap(&mut self.platter, &mut rival.platter);
        std::mem::swap(&mut self.timers, &mut rival.timers);
        std::mem::swap(&mut self.mailbox, &mut rival.mailbox);
        self.superseded = !self.superseded;
    }
}

impl<C: Crew> World<C> {
    /// The process dies, and what starts in its place is its replica, which lagged by so many
    /// nanoseconds: what became durable since is gone, although it was durable. A synchronous
    /// replica does not lag.
    pub fn fail_over(&mut self, host: HostId, lag: u64) {
        self.crash(host);
        self.promote(host, lag);
    }

    fn promote(&mut self, host: HostId, lag: u64) {
        let now = self.now;
        let target = self.host_mut(host);
        let waits = target.machine.replica.as_ref().is_some_and(Replica::is_synchronous);
        // What is durable there has been confirmed by the replica.
        let has = if waits { now } else { target.replica_has(now, lag) };
        target.platter.promote(has);
        // The replica of the new primary has what that began with.
        target.replica_lost = target.replica_lost.map(|_| now);
        self.life(host, Life::Promoted);
    }

    /// The replica is cut off from its primary: it takes nothing more, and confirms nothing.
    pub fn lose_replica(&mut self, host: HostId) {
        let now = self.now;
        let target = self.host_mut(host);
        target.replica_lost.get_or_insert(now);
        target.begin_following();
    }

    /// The replica is back and takes at once what it has missed.
    pub fn find_replica(&mut self, host: HostId) {
        let target = self.host_mut(host);
        target.replica_lost = None;
        if target.follower.as_ref().is_some_and(|follower| follower.answers.is_none()) {
            target.follower = None;
        }
        self.release_syncs(host);
    }

    /// A replica that lagged by so many nanoseconds is promoted while the primary goes on:
    /// `reached_by` talk to the old one, everybody else to the new. Nothing happens if no process
    /// runs.
    pub fn split(&mut self, host: HostId, lag: u64, reached_by: Hosts) {
        let target = self.host_mut(host);
        if target.process != Process::Up || target.rival.is_some() {
            return;
        }
        target.follower = None;
        target.rival = Some(Box::new(Rival {
            reached_by,
            process: std::mem::replace(&mut target.process, Process::Down),
            role: target.role.take(),
            boots: target.boots,
            platter: target.platter.clone(),
            timers: std::mem::take(&mut target.timers),
            mailbox: std::mem::take(&mut target.mailbox),
        }));
        self.promote(host, lag);
        self.start(host);
    }

    /// The superseded process is found and ended. Whatever it wrote is thrown away.
    pub fn unite(&mut self, host: HostId) {
        self.host_mut(host).rival = None;
    }

    pub(super) fn deliver_to_rival(&mut self, host: HostId, boots: u32, mail: Mail) {
        let rival = self.host(host).rival.as_ref();
        if rival.is_none_or(|rival| rival.boots != boots) {
            return;
        }
        let waits = self.host(host).machine.replica.as_ref();
        if matches!(mail, Mail::Synced(_)) && waits.is_some_and(Replica::is_synchronous) {
            return;
        }
        self.host_mut(host).change_places();
        self.deliver(host, boots, mail);
        self.host_mut(host).change_places();
    }

    /// From now on a replica that lags by so many nanoseconds answers what only reads.
    pub fn read_from_replica(&mut self, host: HostId, lag: u64) {
        let target = self.host_mut(host);
        target.begin_following();
        if let Some(follower) = &mut target.follower {
            follower.answers = Some(lag);
        }
    }

    pub fn read_from_primary(&mut self, host: HostId) {
        let target = self.host_mut(host);
        let is_lost = target.replica_lost.is_some();
        target.follower.take_if(|follower| {
            follower.answers = None;
            !is_lost
        });
    }

    /// What the process takes, its follower will.
    pub(super) fn follow(&mut self, host: HostId, now: Now, event: &Event) {
        let at = self.now;
        if let Some(follower) = &mut self.host_mut(host).follower {
            follower.behind.push_back((at, now, event.clone()));
        }
    }

    /// Lets the follower answer, if there is one and it may. What it says goes out as the host's;
    /// what it would do besides, it leaves to the primary.
    pub(super) fn follower_answers(&mut self, host: HostId, event: &Event) -> bool {
        let reads = matches!(event, Event::Received { wire, .. } if wire.is_read());
        let follower = self.host(host).follower.as_ref();
        let Some(lag) = follower.and_then(|follower| follower.answers).filter(|_| reads) else {
            return false;
        };
        self.events += 1;
        self.trace.event(self.now, host, event);
        let true_now = self.now;
        let now = self.host(host).clock.read(true_now);
        let mut out = Outbox::default();
        let Some(mut follower) = self.host_mut(host).follower.take() else { return false };
        let until = self.host(host).replica_has(true_now, lag);
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            follower.catch_up(until);
            follower.role.clone().step(now, event.clone(), &mut out);
        }));
        self.host_mut(host).follower = Some(follower);
        if stepped.is_err() {
            let (what, which) = event.name();
            self.role_panicked(host, format!("{what} {which}"));
            return true;
        }
        for action in out.drain() {
            if matches!(action, Action::Send { .. }) {
                self.act(host, action);
            }
        }
        true
    }
}

impl<R: Role> Follower<R> {
    /// Takes what the primary had taken by then.
    fn catch_up(&mut self, until: u64) {
        let mut out = Outbox::default();
        while let Some((_, when, event)) = self.behind.pop_front_if(|(at, ..)| *at <= until) {
            self.role.step(when, event, &mut out);
            out.drain().for_each(drop);
        }
    }
}
