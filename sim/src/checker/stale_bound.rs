//! I8, stale-bound: a row that leads to a dead or wrong server does not outlive its bound.
//!
//! A row leads to a dead server from the moment its gateway's incarnation ends: the process died,
//! stepped down, or serves under a later incarnation. It leads to a wrong server while its device
//! is connected under a greater epoch. A row may be wrong from its first moment, when the consumer
//! lags; then that moment counts.
//!
//! The bound is for a fleet that is left alone: time counts only in one piece in which none of
//! those that could mend the row (registry, event log, consumers, cleaner, monitors, database, the
//! gateway of the newer connection, and its own gateway once that runs again) was down, paused or
//! under a fault. That its own gateway is down is no excuse: this is what the bound is about. If
//! the run ends first, nothing is known.
//!
//! A crash of the registry may lose the rows of its last moments without a word; from then on
//! nothing is held against those. One that has lost its disk, or whose replica took its place, has
//! the rows that it restores, from then on.

use super::findings::{Findings, Words, nanos, seconds};
use super::fresh_registry::LOSSY_TAIL;
use super::weather::{Spans, Weather};
use super::{Anomaly, Bounds, Invariant};
use crate::history::{Fact, History, Life};
use courier::id::{DeviceId, HostId, Incarnation, Session};
use courier::note::Note;
use std::collections::BTreeMap;

pub(super) fn check(history: &History, bounds: &Bounds, anomalies: &mut Vec<Anomaly>) {
    let weather = Weather::of(history);
    let records = Records::of(history, &weather);
    let judge = Judge {
        words: Words(&history.cast),
        bound: nanos(bounds.stale),
        menders: menders(history, &weather),
        weather,
        records: &records,
    };
    let mut findings = Findings::of(Invariant::StaleBound);
    for row in &records.rows {
        // Most rows are right, and of the others most do not live long enough to matter.
        if row.to.saturating_sub(row.from) > judge.bound {
            judge.judge(row, &mut findings);
        }
    }
    findings.finish(anomalies);
}

/// When any of the servers that every repair needs was disturbed.
fn menders(history: &History, weather: &Weather) -> Spans {
    let directory = &history.cast.directory;
    let one_of_a_kind = [directory.registry, directory.event_log, directory.database];
    let several = [&directory.cleaners, &directory.monitors, &directory.consumers];
    let hosts = one_of_a_kind.iter().chain(several.into_iter().flatten());
    let disturbed: Vec<Spans> = hosts.map(|host| weather.disturbed(*host)).collect();
    Spans::union(&disturbed)
}

/// How long a row was in the registry.
#[derive(Clone, Copy, Debug)]
struct Row {
    session: Session,
    from: u64,
    to: u64,
}

/// How long a device used a connection.
#[derive(Clone, Copy, Debug)]
struct Connection {
    session: Session,
    from: u64,
    to: u64,
}

/// What the history says of rows, gateways and connections.
#[derive(Default)]
struct Records {
    rows: Vec<Row>,
    /// The row of each device that is there now, by index.
    current: BTreeMap<DeviceId, usize>,
    /// Each device's connections, in order.
    connections: BTreeMap<DeviceId, Vec<Connection>>,
    /// What each gateway serves as, while it does.
    serving: BTreeMap<HostId, Incarnation>,
    deaths: BTreeMap<(HostId, Incarnation), u64>,
}

impl Records {
    fn of(history: &History, weather: &Weather) -> Self {
        let registry = history.cast.directory.registry;
        let disturbed = weather.disturbed(registry);
        let mut records = Self::default();
        for entry in &history.entries {
            match &entry.fact {
                Fact::Noted { host, note } => match history.cast.device_at(*host) {
                    Some(device) => records.device_noted(entry.at, device, note),
                    None => records.server_noted(entry.at, *host, note),
                },
                Fact::Host { host, life: Life::Wiped | Life::Promoted } if *host == registry => {
                    records.rows_lost(entry.at, 0);
                }
                Fact::Host { host, life } => {
                    let died = matches!(life, Life::Crashed | Life::Stopped | Life::PowerCut);
                    if let Some(device) = history.cast.device_at(*host) {
                        records.hung_up(entry.at, device);
                    } else if died && *host == registry {
                        let tail = disturbed.reach_back(entry.at, nanos(LOSSY_TAIL));
                        records.rows_lost(entry.at, tail);
                    } else if died && let Some(incarnation) = records.serving.remove(host) {
                        records.deaths.entry((*host, incarnation)).or_insert(entry.at);
                    }
                }
                Fact::Fault { .. } | Fact::Healed | Fact::Panicked { .. } => {}
            }
        }
        records.end(history.end);
        records
    }

    fn device_noted(&mut self, at: u64, device: DeviceId, note: &Note) {
        match *note {
            Note::Connected { gateway, incarnation, epoch } => {
                self.hung_up(at, device);
                let session = Session { device, epoch, gateway, incarnation };
                let connection = Connection { session, from: at, to: u64::MAX };
                self.connections.entry(device).or_default().push(connection);
            }
            Note::Disconnected { .. } => self.hung_up(at, device),
            _ => {}
        }
    }

    fn server_noted(&mut self, at: u64, host: HostId, note: &Note) {
        match *note {
            Note::RowWritten { session } | Note::RowRestored { session } => {
                let held = self.current.get(&session.device).map(|row| self.rows[*row].session);
                if held != Some(session) {
                    self.row_gone(at, session.device);
                    self.current.insert(session.device, self.rows.len());
                    self.rows.push(Row { session, from: at, to: u64::MAX });
                }
            }
            Note::RowRemoved { session, .. } => {
                let held = self.current.get(&session.device).map(|row| self.rows[*row].session);
                if held == Some(session) {
                    self.row_gone(at, session.device);
                }
            }
            Note::Serving { incarnation } => {
                if let Some(earlier) = self.serving.insert(host, incarnation) {
                    self.deaths.entry((host, earlier)).or_insert(at);
                }
            }
            Note::SteppedDown { incarnation } => {
                self.serving.remove(&host);
                self.deaths.entry((host, incarnation)).or_insert(at);
            }
            _ => {}
        }
    }

    fn row_gone(&mut self, at: u64, device: DeviceId) {
        if let Some(row) = self.current.remove(&device) {
            self.rows[row].to = at;
        }
    }

    fn rows_lost(&mut self, at: u64, since: u64) {
        let rows = &mut self.rows;
        self.current.retain(|_, row| {
            let stays = rows[*row].from < since;
            if !stays {
                rows[*row].to = at;
            }
            stays
        });
    }

    /// Whatever happens to a device's process, its connection is not what it was.
    fn hung_up(&mut self, at: u64, device: DeviceId) {
        if let Some(last) = self.connections.get_mut(&device).and_then(|all| all.last_mut()) {
            last.to = last.to.min(at);
        }
    }

    fn end(&mut self, end: u64) {
        for row in &mut self.rows {
            row.to = row.to.min(end);
        }
        for connection in self.connections.values_mut().flatten() {
            let Session { gateway, incarnation, .. } = connection.session;
            let death = self.deaths.get(&(gateway, incarnation)).copied().unwrap_or(end);
            // A welcome may still arrive after the gateway that wrote it has died.
            connection.to = connection.to.min(end).min(death).max(connection.from);
        }
    }
}

struct Judge<'h> {
    words: Words<'h>,
    bound: u64,
    menders: Spans,
    weather: Weather,
    records: &'h Records,
}

impl Judge<'_> {
    /// One anomaly per row is enough.
    fn judge(&self, row: &Row, findings: &mut Findings) {
        if !self.dead(row, findings) {
            self.wrong(row, findings);
        }
    }

    fn dead(&self, row: &Row, findings: &mut Findings) -> bool {
        let Session { gateway, incarnation, .. } = row.session;
        let Some(died_at) = self.records.deaths.get(&(gateway, incarnation)) else { return false };
        let from = row.from.max(*died_at);
        if row.to.saturating_sub(from) <= self.bound {
            return false;
        }
        let excused = Spans::union([&self.menders, &self.weather.hindered(gateway)]);
        let Some(over) = excused.clear_for(from, row.to, self.bound) else { return false };
        let server = self.words.host(gateway);
        let died = self.words.time(*died_at);
        let why = format!("{server} {incarnation} was over since {died}");
        self.report(row, over, &why, findings);
        true
    }

    fn wrong(&self, row: &Row, findings: &mut Findings) {
        let Session { device, epoch, .. } = row.session;
        let Some(connections) = self.records.connections.get(&device) else { return };
        let first = connections.partition_point(|connection| connection.to <= row.from);
        let during = connections[first..].iter().take_while(|connection| connection.from < row.to);
        for connection in during.filter(|connection| connection.session.epoch > epoch) {
            let (from, to) = (row.from.max(connection.from), row.to.min(connection.to));
            if to.saturating_sub(from) <= self.bound {
                continue;
            }
            let theirs = self.weather.disturbed(connection.session.gateway);
            let excused = Spans::union([&self.menders, &theirs]);
            if let Some(over) = excused.clear_for(from, to, self.bound) {
                let session = self.words.session(connection.session);
                let since = self.words.time(connection.from);
                let why = format!("its device was connected as {session} since {since}");
                return self.report(row, over, &why, findings);
            }
        }
    }

    fn report(&self, row: &Row, over: u64, why: &str, findings: &mut Findings) {
        let what = format!(
            "the row {}, written at {}, was still there at {}, although {why}; the bound is {}",
            self.words.session(row.session),
            self.words.time(row.from),
            self.words.time(over),
            seconds(self.bound),
        );
        findings.add(over, None, Some(row.session.device), what);
    }
}
