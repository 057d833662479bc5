//! I14, expiry: what is dropped is too old or too much, by the documented limits, and is explained.
//!
//! A message may be dropped for a device when it has been pending for as long as messages are kept,
//! when the device has more pending than it may have, or when the device has rejected it as often
//! as that takes. Whoever drops says so; a device that comes back and stays learns of the hole and
//! its reason; and no device is told of a hole that nobody made.
//!
//! Ages are held against true time, with a tenth to spare where the database's clock was tampered
//! with while the message waited.

use super::findings::{Findings, Words, nanos};
use super::standing::Devices;
use super::weather::{Spans, Weather};
use super::{Anomaly, Bounds, Invariant};
use crate::history::{Fact, History};
use courier::id::{ConversationId, DeviceId};
use courier::limits;
use courier::note::Note;
use courier::wire::{Hole, HoleReason};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far a clock that nobody tampered with may be off: the boot's own millisecond and a timer's.
const SLACK: Duration = Duration::from_secs(1);

/// A device that is back learns of its holes within two heartbeats and a full sync.
const TOLD_WITHIN: Duration = Duration::from_secs(120);

type Key = (DeviceId, ConversationId);

pub(super) fn check(history: &History, bounds: &Bounds, anomalies: &mut Vec<Anomaly>) {
    let mut judge = Judge {
        history,
        bounds,
        words: Words(&history.cast),
        weather: Weather::of(history),
        persisted: BTreeMap::new(),
        cursors: BTreeMap::new(),
        rejected: BTreeMap::new(),
        dropped: Vec::new(),
        explained: BTreeMap::new(),
        findings: Findings::of(Invariant::Expiry),
    };
    let mut devices = Devices::of(&history.cast);
    for entry in &history.entries {
        devices.take(entry);
        if let Fact::Noted { host, note } = &entry.fact {
            judge.noted(entry.at, history.cast.device_at(*host), note);
        }
    }
    judge.untold(&devices);
    judge.findings.finish(anomalies);
}

struct Judge<'h> {
    history: &'h History,
    bounds: &'h Bounds,
    words: Words<'h>,
    weather: Weather,
    /// When each number of a conversation was persisted.
    persisted: BTreeMap<ConversationId, BTreeMap<u64, u64>>,
    /// What each device has acknowledged.
    cursors: BTreeMap<Key, u64>,
    /// How often a device has rejected a number.
    rejected: BTreeMap<(Key, u64), u32>,
    dropped: Vec<(u64, Key, Hole)>,
    explained: BTreeMap<Key, Vec<Hole>>,
    findings: Findings,
}

impl Judge<'_> {
    fn noted(&mut self, at: u64, device: Option<DeviceId>, note: &Note) {
        match *note {
            Note::Persisted { conversation, stamp, .. } => {
                self.persisted.entry(conversation).or_default().insert(stamp.seq, at);
            }
            Note::Settled { device, conversation, next } => {
                let cursor = self.cursors.entry((device, conversation)).or_default();
                *cursor = next.max(*cursor);
            }
            Note::Dropped { device, conversation, hole } => {
                self.judge(at, (device, conversation), hole);
                self.dropped.push((at, (device, conversation), hole));
            }
            Note::Rejected { conversation, stamp, .. } => {
                let Some(device) = device else { return };
                *self.rejected.entry(((device, conversation), stamp.seq)).or_default() += 1;
            }
            Note::HoleExplained { conversation, hole, .. } => {
                let Some(device) = device else { return };
                let key = (device, conversation);
                self.explained.entry(key).or_default().push(hole);
                self.founded(at, key, hole);
            }
            _ => {}
        }
    }

    fn judge(&mut self, at: u64, key: Key, hole: Hole) {
        let why = match hole.why {
            HoleReason::Expired => self.too_young(at, key, hole),
            HoleReason::Depth => self.room_left(at, key),
            HoleReason::Poison => {
                let times = self.rejected.get(&(key, hole.from)).copied().unwrap_or(0);
                let few = times < limits::REJECTIONS_MAX;
                few.then(|| format!("it had rejected it {times} times"))
            }
            HoleReason::Unused | HoleReason::Renumbered => Some("that is no reason".to_owned()),
        };
        if let Some(why) = why {
            let what = format!(
                "#{} to #{} of {} were dropped for {} at {} as {:?}, but {why}",
                hole.from,
                hole.upto,
                self.words.conversation(key.1),
                self.words.device(key.0),
                self.words.time(at),
                hole.why,
            );
            self.findings.add(at, None, Some(key.0), what);
        }
    }

    fn too_young(&self, at: u64, key: Key, hole: Hole) -> Option<String> {
        let database = self.history.cast.directory.database;
        let log = self.persisted.get(&key.1)?;
        log.range(hole.from..=hole.upto).find_map(|(seq, persisted)| {
            let tampered = self.weather.disturbs(database, *persisted, at);
            let expiry = self.bounds.timing.expiry;
            let slack = if tampered { expiry / 10 } else { SLACK };
            let age = Duration::from_nanos(at - persisted);
            let young = age + slack < expiry;
            young.then(|| format!("#{seq} was only {}s old", age.as_secs()))
        })
    }

    fn room_left(&self, at: u64, key: Key) -> Option<String> {
        let device = key.0;
        let pending: usize = self
            .persisted
            .iter()
            .filter(|(conversation, _)| {
                self.history.cast.audience(**conversation).contains(&device)
            })
            .map(|(conversation, log)| {
                let cursor = self.cursors.get(&(device, *conversation)).copied().unwrap_or(1);
                log.range(cursor..).filter(|(_, persisted)| **persisted <= at).count()
            })
            .sum();
        let depth = self.bounds.timing.pending_depth as usize;
        (pending <= depth).then(|| format!("only {pending} were pending, of {depth}"))
    }

    /// A device knows of a hole: somebody must have made it.
    fn founded(&mut self, at: u64, key: Key, hole: Hole) {
        let drop = matches!(hole.why, HoleReason::Expired | HoleReason::Depth | HoleReason::Poison);
        // A drop becomes visible to its device before its own note is durable.
        let mut made = self.dropped.iter().filter(|(_, dropped, _)| *dropped == key);
        if drop && !made.any(|(_, _, d)| d.why == hole.why && d.from <= hole.upto) {
            let what = format!(
                "{} was told at {} that #{} to #{} of {} are gone as {:?}; nobody dropped them",
                self.words.device(key.0),
                self.words.time(at),
                hole.from,
                hole.upto,
                self.words.conversation(key.1),
                hole.why,
            );
            self.findings.add(at, None, Some(key.0), what);
        }
    }

    /// Devices that are back for long enough and do not know what they miss.
    fn untold(&mut self, devices: &Devices) {
        if self.weather.unsettled {
            return;
        }
        for (at, key, hole) in std::mem::take(&mut self.dropped) {
            let host = self.history.cast.host_of(key.0);
            let Some(connection) = devices.at(host).connection() else { continue };
            let known = self.explained.get(&key).into_iter().flatten();
            let mut covers =
                known.filter(|known| known.from <= hole.from && hole.upto <= known.upto);
            let shown = self.cursors.get(&key).is_some_and(|cursor| *cursor > hole.upto);
            if covers.next().is_some() || shown {
                continue;
            }
            let end = self.history.end;
            let excused = Spans::union(&[
                self.weather.disturbed(host),
                self.weather.disturbed(connection.gateway),
                self.weather.disturbed(self.history.cast.directory.database),
            ]);
            let since = at.max(connection.since);
            if let Some(over) = excused.clear_for(since, end, nanos(TOLD_WITHIN)) {
                let what = format!(
                    "{} is connected since {} and was not told by {} that #{} to #{} of {} are \
                     gone",
                    self.words.device(key.0),
                    self.words.time(connection.since),
                    self.words.time(over),
                    hole.from,
                    hole.upto,
                    self.words.conversation(key.1),
                );
                self.findings.add(over, None, Some(key.0), what);
            }
        }
    }
}
