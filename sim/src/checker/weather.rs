//! When which host was not itself: down, paused, or named by a fault of the plan.
//!
//! Bounds in time hold for a fleet that is left alone. Checkers of such bounds ask here for the
//! time that does not count, and hold a run only to what remains in one piece: a bound of a
//! minute is not kept or broken by six spells of ten seconds.

use crate::history::{Fact, History, Life, Phase};
use courier::id::HostId;
use std::collections::BTreeMap;

/// Kinds of fault that are none: what operators do every week, and what befalls a record and not a
/// host.
const ORDERLY: [&str; 4] = ["drain", "deploy", "offset-loss", "poison-record"];

/// Spans of true time, in order, apart from each other; both ends belong to a span.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(Vec<(u64, u64)>);

impl Spans {
    pub fn new(mut spans: Vec<(u64, u64)>) -> Self {
        spans.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(spans.len());
        for (from, to) in spans {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    pub fn union<'a>(all: impl IntoIterator<Item = &'a Spans>) -> Self {
        Self::new(all.into_iter().flat_map(|spans| spans.0.iter().copied()).collect())
    }

    /// What is in these spans and in those.
    pub fn within(&self, those: &Spans) -> Self {
        self.without(&self.without(those))
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// What is in these spans and not inside those.
    pub fn without(&self, those: &Spans) -> Self {
        let mut rest = Vec::new();
        for &(from, to) in &self.0 {
            let mut begin = from;
            for (cut, end) in those.overlapping(from, to) {
                if begin < cut {
                    rest.push((begin, cut));
                }
                begin = begin.max(end);
            }
            if begin < to {
                rest.push((begin, to));
            }
        }
        Self::new(rest)
    }

    fn overlapping(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = self.0.partition_point(|(_, end)| *end < from);
        self.0[first..].iter().copied().take_while(move |(begin, _)| *begin <= to)
    }

    /// Whether any moment from `from` to `to` is in a span.
    pub fn touch(&self, from: u64, to: u64) -> bool {
        self.overlapping(from, to).next().is_some()
    }

    /// The ends of the spans, as spans of no length: where a clock begins again.
    fn edges(&self) -> Self {
        Self::new(self.0.iter().flat_map(|(from, to)| [(*from, *from), (*to, *to)]).collect())
    }

    /// When, between `from` and `to`, there had first been more than `length` without a span.
    pub fn clear_for(&self, from: u64, to: u64, length: u64) -> Option<u64> {
        let mut since = from;
        for (begin, end) in self.overlapping(from, to) {
            if begin > since.saturating_add(length) {
                break;
            }
            since = since.max(end);
        }
        let over = since.saturating_add(length);
        (to > over).then_some(over)
    }

    /// Since when a tail of `length` reaches back from `at` if time inside the spans does not
    /// count. Never goes back as `at` goes on.
    pub fn reach_back(&self, at: u64, length: u64) -> u64 {
        let mut since = at.saturating_sub(length);
        let known = self.0.partition_point(|(begin, _)| *begin <= at);
        for (begin, end) in self.0[..known].iter().rev() {
            if *end < since {
                break;
            }
            since = since.min(begin.saturating_sub(length));
        }
        since
    }
}

/// The weather of a whole run. Only hosts that had any are in the maps: there may be a million
/// devices.
#[derive(Debug, Default)]
pub(super) struct Weather {
    down: BTreeMap<HostId, Spans>,
    paused: BTreeMap<HostId, Spans>,
    faulted: BTreeMap<HostId, Spans>,
    /// Faults that name no host are everybody's.
    everywhere: Spans,
    /// The run ended with a panic, or under a fault that was to end: what had not happened by
    /// then still might have.
    pub unsettled: bool,
}

impl Weather {
    pub fn of(history: &History) -> Self {
        let mut reading = Reading::default();
        for entry in &history.entries {
            reading.take(entry.at, &entry.fact);
        }
        reading.end(history.end)
    }

    /// When the host's process was down, paused, or under a fault.
    pub fn disturbed(&self, host: HostId) -> Spans {
        let named = [&self.down, &self.paused, &self.faulted].map(|map| map.get(&host));
        Spans::union(named.into_iter().flatten().chain([&self.everywhere]))
    }

    /// Whether the host was disturbed at any moment from `from` to `to`.
    pub fn disturbs(&self, host: HostId, from: u64, to: u64) -> bool {
        let named = [&self.down, &self.paused, &self.faulted].map(|map| map.get(&host));
        named.into_iter().flatten().chain([&self.everywhere]).any(|spans| spans.touch(from, to))
    }

    pub fn paused(&self, host: HostId) -> Spans {
        self.paused.get(&host).cloned().unwrap_or_default()
    }

    /// When the host's process was there and yet hindered; its comings and goings are edges. Time
    /// in which it was plainly down is not among them.
    pub fn hindered(&self, host: HostId) -> Spans {
        let down = self.down.get(&host).cloned().unwrap_or_default();
        let faulted = self.faulted.get(&host).into_iter().chain([&self.everywhere]);
        let faulted = Spans::union(faulted).without(&down);
        Spans::union([&faulted, &self.paused(host), &down.edges()])
    }
}

/// Spans that have begun and, if they have ended, when.
#[derive(Debug, Default)]
struct Reading {
    down_since: BTreeMap<HostId, u64>,
    paused_since: BTreeMap<HostId, u64>,
    /// Faults in force, by number.
    in_force: BTreeMap<usize, (u64, Vec<HostId>)>,
    down: BTreeMap<HostId, Vec<(u64, u64)>>,
    paused: BTreeMap<HostId, Vec<(u64, u64)>>,
    faulted: BTreeMap<HostId, Vec<(u64, u64)>>,
    everywhere: Vec<(u64, u64)>,
    healed: bool,
    panicked: bool,
}

impl Reading {
    fn take(&mut self, at: u64, fact: &Fact) {
        match fact {
            Fact::Host { host, life } => self.life(at, *host, *life),
            // In operation as usual: a fleet must bear it without an excuse.
            Fact::Fault { kind, .. } if ORDERLY.contains(&kind.as_str()) => {}
            Fact::Fault { number, phase: Phase::Begins, hosts, .. } => {
                self.in_force.insert(*number, (at, hosts.clone()));
            }
            Fact::Fault { number, phase: Phase::Ends, .. } => {
                if let Some((since, hosts)) = self.in_force.remove(number) {
                    self.fault_ended(since, at, hosts);
                }
            }
            Fact::Healed => self.healed = true,
            Fact::Panicked { .. } => self.panicked = true,
            Fact::Noted { .. } => {}
        }
    }

    fn life(&mut self, at: u64, host: HostId, life: Life) {
        match life {
            Life::Crashed | Life::Stopped | Life::PowerCut => {
                self.down_since.entry(host).or_insert(at);
                self.resumed(at, host);
            }
            Life::Started => {
                if let Some(since) = self.down_since.remove(&host) {
                    self.down.entry(host).or_default().push((since, at));
                }
            }
            Life::Paused => {
                self.paused_since.entry(host).or_insert(at);
            }
            Life::Resumed => self.resumed(at, host),
        }
    }

    fn resumed(&mut self, at: u64, host: HostId) {
        if let Some(since) = self.paused_since.remove(&host) {
            self.paused.entry(host).or_default().push((since, at));
        }
    }

    fn fault_ended(&mut self, since: u64, at: u64, hosts: Vec<HostId>) {
        if hosts.is_empty() {
            self.everywhere.push((since, at));
        }
        for host in hosts {
            self.faulted.entry(host).or_default().push((since, at));
        }
    }

    /// What is in force when a healed run ends was permanent: it goes on hindering its hosts, but
    /// the fleet was to do without them.
    fn end(mut self, end: u64) -> Weather {
        let unsettled = self.panicked || !(self.healed || self.in_force.is_empty());
        for (since, hosts) in std::mem::take(&mut self.in_force).into_values() {
            self.fault_ended(since, end, hosts);
        }
        for (host, since) in std::mem::take(&mut self.down_since) {
            self.down.entry(host).or_default().push((since, end));
        }
        for (host, since) in std::mem::take(&mut self.paused_since) {
            self.paused.entry(host).or_default().push((since, end));
        }
        let merged = |spans: BTreeMap<HostId, Vec<(u64, u64)>>| {
            spans.into_iter().map(|(host, spans)| (host, Spans::new(spans))).collect()
        };
        Weather {
            down: merged(self.down),
            paused: merged(self.paused),
            faulted: merged(self.faulted),
            everywhere: Spans::new(self.everywhere),
            unsettled,
        }
    }
}
