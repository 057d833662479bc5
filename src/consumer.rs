//! A registry consumer: one member of the group that carries session events from the log into the
//! registry, at its own rate.
//!
//! The log gives each member its partitions, for one generation. The member reads them, applies
//! each batch at the registry, tells the database what changed, has displaced connections closed,
//! and commits only after applying. Applying is by epoch, so a batch that is read twice, or applied
//! late by a member that was paused and has lost its partitions meanwhile, changes nothing; its
//! commit is refused. A consumer never judges an event, but it may be unable to read one
//! ([`poison`]); and it keeps no place of its own beyond its generation ([`place`]).

mod place;
mod poison;

use crate::design::Design;
use crate::directory::Directory;
use crate::id::{DeviceId, Place};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::Note;
use crate::time::{Instant, Now};
use crate::timing::Timing;
use crate::wire::{Displacement, SessionEvent, Wire};
use poison::Look;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What a consumer is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: Arc<Directory>,
    pub timing: Arc<Timing>,
    pub design: Design,
    /// Names this process among all that ever run on this host (Kafka's member id).
    pub entropy: u64,
}

/// Where the consumer stands with one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Waiting for entries from `from` on (none: from where the group committed).
    Polling { from: Option<Place> },
    /// Waiting for the registry to have applied these.
    Applying { next: Place, events: Vec<SessionEvent>, since: Instant },
    /// Waiting for the log to have noted that.
    Committing { next: Place },
}

/// A partition of this member.
#[derive(Clone, Debug)]
struct Owned {
    stage: Stage,
    known: Known,
    /// How often the entry that is next could not be read.
    refused: u32,
}

/// Since when a partition's entries have been known to this consumer.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Entries before this offset have been known for as long as the consumer lags.
    ripe: u64,
    /// Offsets up to which entries are known, and since when; oldest first.
    young: VecDeque<(u64, Instant)>,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    config: Config,
    /// The generation that it is a member of, if it is.
    generation: Option<u32>,
    /// When the log last answered as this group's coordinator.
    answered: Instant,
    partitions: BTreeMap<u32, Owned>,
    /// Connections whose gateways have not confirmed yet that they are closed, and since when.
    displacing: BTreeMap<Displacement, Instant>,
}

impl Consumer {
    pub fn boot(config: Config) -> Self {
        Self {
            config,
            generation: None,
            answered: Instant::default(),
            partitions: BTreeMap::new(),
            displacing: BTreeMap::new(),
        }
    }

    /// What the group calls this process.
    pub fn member(&self) -> u64 {
        self.config.entropy
    }
}

impl Role for Consumer {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => self.join(out),
            Event::Fired(Timer::GroupHeartbeat) => self.beat(now.mono, out),
            Event::Received { wire: Wire::Assigned { member, generation, partitions }, .. } => {
                if member == self.member() {
                    self.assigned(now.mono, generation, partitions, out);
                }
            }
            Event::Received { wire: Wire::UnknownMember { member }, .. } => {
                if member == self.member() && self.generation.is_some() {
                    self.drop_out();
                    self.join(out);
                }
            }
            // The group has gone on. What it is in now, the answer to a join says.
            Event::Received { wire: Wire::Fenced { generation, .. }, .. } => {
                if self.generation == Some(generation) {
                    self.join(out);
                }
            }

            // Nothing new, or no answer: ask (again) whatever this stage asks.
            Event::Fired(Timer::Retry(partition)) => self.ask(partition, out),
            Event::Received {
                wire: Wire::Polled { generation, partition, from, events, epoch, end },
                ..
            } => {
                if self.generation == Some(generation) {
                    self.polled(now, partition, Entries { from, events, epoch, end }, out);
                }
            }
            Event::Received { wire: Wire::Unplaced { generation, partition, end }, .. } => {
                if self.generation == Some(generation) {
                    self.unplaced(partition, end, out);
                }
            }
            Event::Received {
                wire: Wire::Diverged { generation, partition, from, at }, ..
            } => {
                if self.generation == Some(generation) {
                    self.diverged(partition, from, at, out);
                }
            }
            Event::Received {
                wire: Wire::Applied { partition, next, displaced, dead }, ..
            } => {
                for displacement in displaced {
                    self.displace(now.mono, displacement, out);
                }
                // The cleaner tells them too, but may have forgotten; the registry never does.
                for (gateway, incarnation) in dead {
                    out.send(gateway, Wire::DeclaredDead { incarnation });
                }
                self.applied(partition, next, out);
            }
            Event::Received { wire: Wire::Committed { generation, partition, next }, .. } => {
                if self.generation == Some(generation) {
                    self.committed(partition, next, out);
                }
            }

            // Displaced connections. A gateway's process that is not there has none.
            Event::Received { wire: Wire::Displaced(displacement), .. }
            | Event::Refused { wire: Wire::Displace(displacement), .. } => {
                if self.displacing.remove(&displacement).is_some() {
                    out.send(self.config.directory.registry, Wire::Displaced(displacement));
                }
            }
            Event::Fired(Timer::Displace) => self.displace_again(now.mono, out),
            Event::Received { wire: Wire::SteppedDown { .. }, .. } => {} // The cleaner's business.
            // A store that is down is asked again when the timer fires.
            Event::Refused { .. } => {}
            other => unreachable!("not for a consumer: {other:?}"),
        }
    }
}

// The group.
impl Consumer {
    fn join(&self, out: &mut Outbox) {
        let member = self.member();
        out.send(self.config.directory.event_log, Wire::JoinGroup { member });
        out.set_timer(Timer::GroupHeartbeat, limits::RETRY_STORE);
    }

    /// Says that it is there; or that it is not, if it cannot do its part.
    fn beat(&mut self, now: Instant, out: &mut Outbox) {
        let Some(generation) = self.generation else { return self.join(out) };
        let event_log = self.config.directory.event_log;
        let member = self.member();
        if now.since(self.answered) >= limits::SESSION_TIMEOUT {
            // The group has counted it out by now, or its coordinator is gone.
            self.drop_out();
            self.join(out);
        } else if self.partitions.values().any(|owned| owned.is_stuck(now)) {
            self.drop_out();
            out.send(event_log, Wire::LeaveGroup { member });
            out.set_timer(Timer::GroupHeartbeat, limits::SESSION_TIMEOUT);
        } else {
            out.send(event_log, Wire::GroupHeartbeat { member, generation });
            out.set_timer(Timer::GroupHeartbeat, limits::GROUP_HEARTBEAT);
        }
    }

    fn drop_out(&mut self) {
        self.generation = None;
        self.partitions.clear();
    }

    fn assigned(&mut self, now: Instant, generation: u32, partitions: Vec<u32>, out: &mut Outbox) {
        self.answered = now;
        if self.generation >= Some(generation) {
            return; // As it knows, or overtaken by a later one.
        }
        // What stays goes on where it is; whoever had a partition in between has committed.
        let follows = self.generation == generation.checked_sub(1);
        let mut earlier = std::mem::take(&mut self.partitions);
        earlier.retain(|_, _| follows);
        self.generation = Some(generation);
        for partition in partitions {
            let owned = earlier.remove(&partition).unwrap_or_else(|| Owned::from(None));
            let asks_again = !matches!(owned.stage, Stage::Applying { .. });
            self.partitions.insert(partition, owned);
            if asks_again {
                self.ask(partition, out);
            }
        }
        out.set_timer(Timer::GroupHeartbeat, limits::GROUP_HEARTBEAT);
    }
}

// One partition.
impl Consumer {
    fn ask(&self, partition: u32, out: &mut Outbox) {
        let Directory { registry, event_log, .. } = *self.config.directory;
        let Some(generation) = self.generation else { return };
        let Some(owned) = self.partitions.get(&partition) else { return };
        match &owned.stage {
            Stage::Polling { from } => {
                let (from, most) = (*from, limits::CONSUMER_BATCH);
                out.send(event_log, Wire::Poll { generation, partition, from, most });
            }
            Stage::Applying { next, events, .. } => {
                let (next, events) = (*next, events.clone());
                out.send(registry, Wire::Apply { partition, next, events });
            }
            Stage::Committing { next } => {
                out.send(event_log, Wire::Commit { generation, partition, next: *next })
            }
        }
        out.set_timer(Timer::Retry(partition), limits::RETRY_STORE);
    }

    fn polled(&mut self, now: Now, partition: u32, entries: Entries, out: &mut Outbox) {
        let Entries { from, mut events, epoch, end } = entries;
        let lag = self.config.timing.consumer_lag;
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        match owned.stage {
            Stage::Polling { from: asked } if asked.is_none_or(|asked| asked == from) => {}
            _ => return, // The answer to an earlier try.
        }
        let ripe = owned.known.ripe(now.mono, lag, end).saturating_sub(from.offset);
        events.truncate(usize::try_from(ripe).unwrap_or(usize::MAX));
        if events.is_empty() {
            owned.stage = Stage::Polling { from: Some(from) };
            out.set_timer(Timer::Retry(partition), limits::CONSUMER_POLL);
            return;
        }
        let after = |entries: usize| Place { epoch, offset: from.offset + entries as u64 };
        match poison::look(self.config.design.poison, &events, &mut owned.refused) {
            Look::Readable { count } => {
                events.truncate(count);
                owned.stage = Stage::Applying { next: after(count), events, since: now.mono };
                self.ask(partition, out);
            }
            Look::Refused { tries } => {
                out.note(Note::RecordRefused { partition, offset: from.offset, tries });
                owned.stage = Stage::Polling { from: Some(from) };
                out.set_timer(Timer::Retry(partition), limits::RETRY_STORE);
            }
            Look::SetAside { noted } => {
                if noted {
                    out.note(Note::RecordSetAside { partition, offset: from.offset });
                }
                owned.stage = Stage::Committing { next: after(1) };
                self.ask(partition, out);
            }
        }
    }

    fn applied(&mut self, partition: u32, next: Place, out: &mut Outbox) {
        let Some(Owned { stage, .. }) = self.partitions.get_mut(&partition) else { return };
        let Stage::Applying { next: awaited, events, .. } = stage else { return };
        if *awaited != next {
            return; // The answer to an earlier try.
        }
        let opened = opened(events);
        *stage = Stage::Committing { next };
        out.note(Note::ConsumerApplied { partition, next: next.offset });
        if !opened.is_empty() {
            out.send(self.config.directory.database, Wire::Wake { devices: opened });
        }
        self.ask(partition, out);
    }

    fn committed(&mut self, partition: u32, next: Place, out: &mut Outbox) {
        let Some(Owned { stage, .. }) = self.partitions.get_mut(&partition) else { return };
        // The group may have committed more already, in this consumer's earlier life.
        if matches!(stage, Stage::Committing { next: ours } if *ours <= next) {
            *stage = Stage::Polling { from: Some(next) };
            // The controlled rate: one batch per poll interval.
            out.set_timer(Timer::Retry(partition), limits::CONSUMER_POLL);
        }
    }
}

// Displaced connections.
impl Consumer {
    fn displace(&mut self, now: Instant, displacement: Displacement, out: &mut Outbox) {
        if self.displacing.is_empty() {
            out.set_timer(Timer::Displace, limits::RETRY_STORE);
        }
        self.displacing.entry(displacement).or_insert(now);
        out.send(displacement.loser.gateway, Wire::Displace(displacement));
    }

    /// Asks again who has not answered, until the takeover is committed without them.
    fn displace_again(&mut self, now: Instant, out: &mut Outbox) {
        self.displacing.retain(|_, since| now.since(*since) < limits::TAKEOVER_LIMIT);
        for displacement in self.displacing.keys() {
            out.send(displacement.loser.gateway, Wire::Displace(*displacement));
        }
        if !self.displacing.is_empty() {
            out.set_timer(Timer::Displace, limits::RETRY_STORE);
        }
    }
}

/// What the log has answered to a poll.
struct Entries {
    from: Place,
    events: Vec<SessionEvent>,
    /// The leader's who wrote them.
    epoch: u32,
    /// Where the log ends.
    end: u64,
}

impl Owned {
    /// A partition of which nothing is known but where to go on.
    fn from(place: Option<Place>) -> Self {
        Self { stage: Stage::Polling { from: place }, known: Known::default(), refused: 0 }
    }

    /// The registry has not taken this batch for so long that another member should try.
    fn is_stuck(&self, now: Instant) -> bool {
        let Stage::Applying { since, .. } = self.stage else { return false };
        now.since(since) >= limits::POLL_INTERVAL_MAX
    }
}

impl Known {
    /// Up to where entries have been known for as long as this consumer lags, when entries before
    /// `end` are known now. By its own monotonic clock: the log's wall clock may be minutes ahead,
    /// and a lag that compares two hosts' clocks then lasts as long as they disagree.
    fn ripe(&mut self, now: Instant, lag: std::time::Duration, end: u64) -> u64 {
        let Self { ripe, young } = self;
        if young.back().map_or(*ripe, |(upto, _)| *upto) < end {
            young.push_back((end, now));
        }
        while let Some((upto, _)) = young.pop_front_if(|(_, since)| now.since(*since) >= lag) {
            *ripe = upto;
        }
        (*ripe).min(end)
    }
}

/// Devices that have become reachable, each once.
fn opened(events: &[SessionEvent]) -> Vec<DeviceId> {
    let mut devices: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Opened(session) => Some(session.device),
            SessionEvent::Closed(_) => None,
        })
        .collect();
    devices.sort_unstable();
    devices.dedup();
    devices
}
