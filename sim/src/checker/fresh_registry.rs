//! I6, fresh-registry: an older session never replaces or removes a newer row.
//!
//! The registry's own notes are replayed. A write must carry a greater connection epoch than
//! whatever is known of its device, or be the very session that is known: a gateway announces its
//! live sessions again, and that brings back one that was evicted. A session that closed never
//! comes back, and neither does an incarnation whose rows were swept. A removal names exactly the
//! row that is there; one by a sweep, moreover, only an incarnation that is over.
//!
//! The registry syncs its disk once a second, so a crash may lose the last writes and removals,
//! and nobody notes which. After one, every state that a device had within the lossy tail is held
//! for possible, and what any of them would allow is legal. The tail is longer if the registry
//! was paused or under a fault (a slow disk): that time does not count. A registry that lost its
//! whole disk is one that never knew anybody.

use super::findings::{Findings, Words, nanos};
use super::weather::{Spans, Weather};
use super::{Anomaly, Invariant};
use crate::history::{Fact, History, Life};
use courier::id::{DeviceId, HostId, Incarnation, Session};
use courier::limits;
use courier::note::{Note, Removal};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What a crash of an undisturbed registry can lose: the flush interval, and the fsync itself,
/// which takes milliseconds on a healthy disk and is given a second.
pub(super) const LOSSY_TAIL: Duration =
    limits::REGISTRY_FLUSH.saturating_add(Duration::from_secs(1));

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let registry = history.cast.directory.registry;
    let mut replay = Replay {
        words: Words(&history.cast),
        disturbed: Weather::of(history).disturbed(registry),
        rows: BTreeMap::new(),
        swept: BTreeMap::new(),
        over: BTreeMap::new(),
        declared: BTreeMap::new(),
        journal: VecDeque::new(),
        crashes: 0,
        findings: Findings::of(Invariant::FreshRegistry),
    };
    for entry in &history.entries {
        match &entry.fact {
            Fact::Noted { host, note } => replay.noted(entry.at, *host, note),
            Fact::Host { host, life: Life::Crashed | Life::Stopped | Life::PowerCut }
                if *host == registry =>
            {
                replay.crashed(entry.at)
            }
            Fact::Host { host, life: Life::Wiped } if *host == registry => replay.wiped(),
            _ => {}
        }
    }
    replay.findings.finish(anomalies);
}

/// A row, or what is remembered of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    session: Session,
    removed: Option<Removal>,
}

/// What the registry may hold of a device. Only a crash makes it more than one thing; the next
/// write or removal settles it.
#[derive(Clone, Debug, Default)]
struct Known {
    row: Option<Row>,
    or: Vec<Option<Row>>,
}

impl Known {
    fn certainly(session: Session, removed: Option<Removal>) -> Self {
        Self { row: Some(Row { session, removed }), or: Vec::new() }
    }

    fn possible(&self) -> impl Iterator<Item = Option<Row>> + '_ {
        std::iter::once(self.row).chain(self.or.iter().copied())
    }

    fn admits(&self, session: Session) -> bool {
        self.possible().any(|row| match row {
            None => true,
            Some(row) if row.session == session => row.removed != Some(Removal::Closed),
            Some(row) => session.epoch > row.session.epoch,
        })
    }

    fn holds(&self, session: Session) -> bool {
        self.possible().flatten().any(|row| row.session == session && row.removed.is_none())
    }
}

/// What something was before it changed.
#[derive(Debug)]
enum Change {
    Row(DeviceId, Known),
    Swept(HostId, Option<Incarnation>),
}

struct Replay<'h> {
    words: Words<'h>,
    /// When the registry was not itself.
    disturbed: Spans,
    rows: BTreeMap<DeviceId, Known>,
    /// The rows of each gateway's incarnations up to here were swept.
    swept: BTreeMap<HostId, Incarnation>,
    /// Each gateway's incarnations up to here are over, or were declared dead.
    over: BTreeMap<HostId, Incarnation>,
    /// How often the registry had crashed when an incarnation was declared dead.
    declared: BTreeMap<(HostId, Incarnation), u32>,
    /// What changed within the lossy tail.
    journal: VecDeque<(u64, Change)>,
    crashes: u32,
    findings: Findings,
}

impl Replay<'_> {
    fn noted(&mut self, at: u64, host: HostId, note: &Note) {
        match *note {
            Note::RowWritten { session } => self.written(at, session),
            Note::RowRemoved { session, why } => self.removed(at, session, why),
            Note::RowMistaken { named, row } => self.mistaken(at, named, row),
            Note::Serving { incarnation: Incarnation(now) } => {
                self.is_over(host, Incarnation(now.saturating_sub(1)))
            }
            Note::SteppedDown { incarnation } => self.is_over(host, incarnation),
            Note::DeclaredDead { gateway, incarnation } => {
                self.is_over(gateway, incarnation);
                self.declared.insert((gateway, incarnation), self.crashes);
            }
            // The sweep itself happened after the verdict; a crash of the registry since then may
            // have undone it.
            Note::Cleaned { gateway, incarnation, .. }
                if self.declared.get(&(gateway, incarnation)) == Some(&self.crashes) =>
            {
                self.sweep(at, gateway, incarnation)
            }
            _ => {}
        }
    }

    fn written(&mut self, at: u64, session: Session) {
        let Session { device, gateway, incarnation, .. } = session;
        if let Some(upto) = self.swept.get(&gateway).filter(|upto| incarnation <= **upto) {
            let what = format!(
                "{} was written at {}, after the rows of {} had been swept up to {upto}",
                self.words.session(session),
                self.words.time(at),
                self.words.host(gateway),
            );
            self.findings.add(at, None, Some(device), what);
        }
        if let Some(known) = self.rows.get(&device).filter(|known| !known.admits(session)) {
            let what = format!(
                "{} was written at {} over {}",
                self.words.session(session),
                self.words.time(at),
                self.describe(known),
            );
            self.findings.add(at, None, Some(device), what);
        }
        self.set(at, device, Known::certainly(session, None));
    }

    fn removed(&mut self, at: u64, session: Session, why: Removal) {
        let Session { device, gateway, incarnation, .. } = session;
        let known = self.rows.get(&device);
        if !known.is_some_and(|known| known.holds(session)) {
            let found = known.map_or_else(|| "nothing".to_owned(), |known| self.describe(known));
            let what = format!(
                "{} was removed at {}, but the registry held {found}",
                self.words.session(session),
                self.words.time(at),
            );
            self.findings.add(at, None, Some(device), what);
        }
        if why == Removal::Swept {
            if self.over.get(&gateway).is_none_or(|upto| incarnation > *upto) {
                let what = format!(
                    "{} was swept at {}, but {incarnation} was not over",
                    self.words.session(session),
                    self.words.time(at),
                );
                self.findings.add(at, None, Some(device), what);
            }
            self.sweep(at, gateway, incarnation);
        }
        // A removal of something else leaves a newer row where it was.
        if known_epoch(self.rows.get(&device)) <= session.epoch {
            self.set(at, device, Known::certainly(session, Some(why)));
        }
    }

    /// A removal took another row than the one it named.
    fn mistaken(&mut self, at: u64, named: Session, row: Session) {
        if named.epoch < row.epoch {
            let what = format!(
                "{} was removed at {} in the name of {}",
                self.words.session(row),
                self.words.time(at),
                self.words.session(named),
            );
            self.findings.add(at, None, Some(row.device), what);
        }
    }

    fn is_over(&mut self, gateway: HostId, upto: Incarnation) {
        let over = self.over.entry(gateway).or_insert(upto);
        *over = (*over).max(upto);
    }

    fn sweep(&mut self, at: u64, gateway: HostId, upto: Incarnation) {
        let earlier = self.swept.get(&gateway).copied();
        if earlier < Some(upto) {
            self.swept.insert(gateway, upto);
            self.remember(at, Change::Swept(gateway, earlier));
        }
    }

    fn set(&mut self, at: u64, device: DeviceId, known: Known) {
        let earlier = self.rows.insert(device, known).unwrap_or_default();
        self.remember(at, Change::Row(device, earlier));
    }

    fn remember(&mut self, at: u64, change: Change) {
        self.journal.push_back((at, change));
        self.forget_durable(at);
    }

    /// What is older than the lossy tail is durable.
    fn forget_durable(&mut self, at: u64) {
        let tail = self.disturbed.reach_back(at, nanos(LOSSY_TAIL));
        while self.journal.pop_front_if(|(changed_at, _)| *changed_at < tail).is_some() {}
    }

    /// Everything in the tail may or may not have happened. What is there after the restart is
    /// on the disk, so a second crash does not reach behind the first.
    fn crashed(&mut self, at: u64) {
        self.crashes += 1;
        self.forget_durable(at);
        // Newest first, so that the oldest floor is the one that stays.
        for (_, change) in std::mem::take(&mut self.journal).into_iter().rev() {
            match change {
                Change::Row(device, earlier) => {
                    let known = self.rows.entry(device).or_default();
                    known.or.extend(earlier.possible());
                }
                Change::Swept(gateway, Some(earlier)) => {
                    self.swept.insert(gateway, earlier);
                }
                Change::Swept(gateway, None) => {
                    self.swept.remove(&gateway);
                }
            }
        }
    }

    /// It never heard of anybody. What it is told late can be of a session that is over; how long
    /// such a row may lead there is the stale bound's business.
    fn wiped(&mut self) {
        self.journal.clear();
        self.rows.clear();
        self.swept.clear();
    }

    fn describe(&self, known: &Known) -> String {
        let Some(Row { session, removed }) = known.row else { return "nothing".to_owned() };
        let session = self.words.session(session);
        match removed {
            None => session,
            Some(Removal::Closed) => format!("{session}, which had closed"),
            Some(Removal::Evicted) => format!("{session}, which had been evicted"),
            Some(Removal::Swept) => format!("{session}, which had been swept"),
        }
    }
}

fn known_epoch(known: Option<&Known>) -> u32 {
    let rows = known.into_iter().flat_map(Known::possible).flatten();
    rows.map(|row| row.session.epoch).max().unwrap_or(0)
}
