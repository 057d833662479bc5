//! The registry consumer: carries session events from the log into the registry, at its own rate.
//!
//! It reads the log, applies each batch at the registry, tells displaced gateways and the database
//! what changed, and commits only after that. Applying is idempotent and by epoch, so reading a
//! batch twice changes nothing. It never judges an event, and keeps no position of its own.

use crate::design::Design;
use crate::directory::Directory;
use crate::id::DeviceId;
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::Note;
use crate::time::{Instant, Now};
use crate::timing::Timing;
use crate::wire::{SessionEvent, Wire};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a consumer is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: Arc<Directory>,
    pub timing: Arc<Timing>,
    pub design: Design,
}

/// Where the consumer stands with one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Waiting for entries from `from` on (none: from where the group committed).
    Polling { from: Option<u64> },
    /// Waiting for the registry to have applied these.
    Applying { next: u64, events: Vec<SessionEvent> },
    /// Waiting for the log to have noted that.
    Committing { next: u64 },
}

#[derive(Clone, Debug)]
pub struct Consumer {
    config: Config,
    partitions: Vec<Stage>,
    known: Vec<Known>,
}

/// Since when a partition's entries have been known to this consumer.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Entries before this offset have been known for as long as the consumer lags.
    ripe: u64,
    /// Offsets up to which entries are known, and since when; oldest first.
    young: VecDeque<(u64, Instant)>,
}

impl Consumer {
    pub fn boot(config: Config) -> Self {
        let polling = Stage::Polling { from: None };
        let count = limits::LOG_PARTITIONS as usize;
        Self { config, partitions: vec![polling; count], known: vec![Known::default(); count] }
    }
}

impl Role for Consumer {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => (0..limits::LOG_PARTITIONS).for_each(|partition| {
                self.ask(partition, out);
            }),
            // Nothing new, or no answer: ask (again) whatever this stage asks.
            Event::Fired(Timer::Retry(partition)) => self.ask(partition, out),
            Event::Received { wire: Wire::Polled { partition, from, events, end }, .. } => {
                self.polled(now, partition, from, events, end, out)
            }
            Event::Received {
                wire: Wire::Applied { partition, next, displaced, dead }, ..
            } => {
                let stage = &mut self.partitions[partition as usize];
                let Stage::Applying { next: awaited, events } = stage else { return };
                if *awaited != next {
                    return; // The answer to an earlier try.
                }
                let opened = opened(events);
                *stage = Stage::Committing { next };
                out.note(Note::ConsumerApplied { partition, next });
                for displacement in displaced {
                    out.send(displacement.loser.gateway, Wire::Displace(displacement));
                }
                // The cleaner tells them too, but may have forgotten; the registry never does.
                for (gateway, incarnation) in dead {
                    out.send(gateway, Wire::DeclaredDead { incarnation });
                }
                if !opened.is_empty() {
                    out.send(self.config.directory.database, Wire::Wake { devices: opened });
                }
                self.ask(partition, out);
            }
            Event::Received { wire: Wire::Committed { partition, next }, .. } => {
                let stage = &mut self.partitions[partition as usize];
                // The group may have committed more already, in this consumer's earlier life.
                if matches!(stage, Stage::Committing { next: ours } if *ours <= next) {
                    *stage = Stage::Polling { from: Some(next) };
                    // The controlled rate: one batch per poll interval.
                    out.set_timer(Timer::Retry(partition), limits::CONSUMER_POLL);
                }
            }
            Event::Received { wire: Wire::SteppedDown { .. }, .. } => {} // The cleaner's business.
            // A store that is down is asked again when the timer fires; a gateway that is down has
            // no session to displace.
            Event::Refused { .. } => {}
            other => unreachable!("not for a consumer: {other:?}"),
        }
    }
}

impl Consumer {
    fn ask(&self, partition: u32, out: &mut Outbox) {
        let Directory { registry, event_log, .. } = *self.config.directory;
        match &self.partitions[partition as usize] {
            Stage::Polling { from } => {
                let (from, most) = (*from, limits::CONSUMER_BATCH);
                out.send(event_log, Wire::Poll { partition, from, most });
            }
            Stage::Applying { next, events } => {
                let (next, events) = (*next, events.clone());
                out.send(registry, Wire::Apply { partition, next, events });
            }
            Stage::Committing { next } => {
                out.send(event_log, Wire::Commit { partition, next: *next })
            }
        }
        out.set_timer(Timer::Retry(partition), limits::RETRY_STORE);
    }

    fn polled(
        &mut self,
        now: Now,
        partition: u32,
        from: u64,
        mut events: Vec<SessionEvent>,
        end: u64,
        out: &mut Outbox,
    ) {
        let stage = &mut self.partitions[partition as usize];
        match stage {
            Stage::Polling { from: asked } if asked.is_none_or(|asked| asked == from) => {}
            _ => return, // The answer to an earlier try.
        }
        let next = self.ripe(now.mono, partition, end).min(from + events.len() as u64);
        events.truncate(next.saturating_sub(from) as usize);
        if events.is_empty() {
            self.partitions[partition as usize] = Stage::Polling { from: Some(from) };
            out.set_timer(Timer::Retry(partition), limits::CONSUMER_POLL);
        } else {
            self.partitions[partition as usize] = Stage::Applying { next, events };
            self.ask(partition, out);
        }
    }
}

impl Consumer {
    /// Up to where entries have been known for as long as this consumer lags, when entries before
    /// `end` are known now. By its own monotonic clock: the log's wall clock may be minutes ahead,
    /// and a lag that compares two hosts' clocks then lasts as long as they disagree.
    fn ripe(&mut self, now: Instant, partition: u32, end: u64) -> u64 {
        let Known { ripe, young } = &mut self.known[partition as usize];
        if young.back().map_or(*ripe, |(upto, _)| *upto) < end {
            young.push_back((end, now));
        }
        let lag = self.config.timing.consumer_lag;
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
