//! I7, one-owner: a device has one routable connection, and who is connected has it.
//!
//! Three things are owed. A session that lost its row to a newer one of the same device (or came
//! too late to get it) is closed: its gateway is told until it confirms, and closes a silent
//! connection in any case. A device that is connected is routable: the registry's row names its
//! session. And a gateway that nothing has happened to is not declared dead.
//!
//! All three are held only against a fleet that is left alone. A loser's gateway is told by one
//! consumer within seconds, so that bound does not count if registry, consumers or gateway were
//! disturbed at any time in it; then the gateway's own limit for silence does, in one piece without
//! a disturbance of the gateway. A connected device must be routable after
//! [`limits::ROUTABLE_WITHIN`] and the consumers' lag, in one piece in which device, gateway, log
//! and registry were undisturbed, some consumer was, and none of them came, went, was paused or
//! under a fault: one that is plainly down has been replaced within the bound. What the run's end
//! cuts short is not judged.
//!
//! Rows are replayed from the registry's notes. When it crashes its rows are gone, until the next
//! boot notes which it has found: a row that was lost with the last second must come back.

use super::findings::{Findings, Words, nanos, seconds};
use super::weather::{Spans, Weather};
use super::{Anomaly, Bounds, Invariant};
use crate::history::{Fact, History, Life};
use courier::id::{DeviceId, HostId, Incarnation, Session};
use courier::limits;
use courier::note::Note;
use std::collections::BTreeMap;
use std::time::Duration;

/// On top of a limit of silence: looking for the silent every so often, and slack for its timer.
const SLACK: Duration = Duration::from_secs(1);

pub(super) fn check(history: &History, bounds: &Bounds, anomalies: &mut Vec<Anomaly>) {
    let weather = Weather::of(history);
    let records = Records::of(history);
    let judge = Judge {
        history,
        words: Words(&history.cast),
        way: way(history, &weather),
        tellers: tellers(history, &weather),
        routable: nanos(limits::ROUTABLE_WITHIN.saturating_add(bounds.timing.consumer_lag)),
        silence: nanos(bounds.timing.silence * 6 / 5 + SLACK),
        dead_for: nanos(bounds.timing.clean_after + SLACK * 5),
        weather,
        records: &records,
    };
    let mut findings = Findings::of(Invariant::OneOwner);
    for displaced in &records.displaced {
        judge.closed(displaced, &mut findings);
    }
    for (device, connections) in &records.connections {
        let rows = records.rows.get(device).map_or(&[][..], Vec::as_slice);
        for connection in connections {
            judge.routable(connection, rows, &mut findings);
        }
    }
    for verdict in &records.verdicts {
        judge.alive(*verdict, &mut findings);
    }
    findings.finish(anomalies);
}

/// When something that every registration passes was disturbed.
fn way(history: &History, weather: &Weather) -> Spans {
    let directory = &history.cast.directory;
    let consumers = &directory.consumers;
    let mut spans: Vec<Spans> = [directory.registry, directory.event_log]
        .map(|host| weather.disturbed(host))
        .into_iter()
        .chain(consumers.iter().map(|host| weather.hindered(*host)))
        .collect();
    let disturbed = consumers.iter().map(|host| weather.disturbed(*host));
    spans.extend(disturbed.reduce(|all, one| all.within(&one)));
    Spans::union(&spans)
}

/// When one of those who have displaced connections closed was disturbed.
fn tellers(history: &History, weather: &Weather) -> Spans {
    let directory = &history.cast.directory;
    let hosts = directory.consumers.iter().chain([&directory.registry]);
    let disturbed: Vec<Spans> = hosts.map(|host| weather.disturbed(*host)).collect();
    Spans::union(&disturbed)
}

/// A session, and from when to when it was somewhere.
#[derive(Clone, Copy, Debug)]
struct Stay {
    session: Session,
    from: u64,
    to: u64,
}

/// A session that lost to a newer one.
#[derive(Clone, Copy, Debug)]
struct Displaced {
    loser: Session,
    winner: u32,
    at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Verdict {
    gateway: HostId,
    incarnation: Incarnation,
    at: u64,
}

/// What the history says of rows, sessions and gateways.
#[derive(Default)]
struct Records {
    /// The rows of each device, in order; what is there now is open-ended.
    rows: BTreeMap<DeviceId, Vec<Stay>>,
    /// Each device's connections as it knows them, in order.
    connections: BTreeMap<DeviceId, Vec<Stay>>,
    displaced: Vec<Displaced>,
    verdicts: Vec<Verdict>,
    /// When each gateway said that a session was over.
    ended: BTreeMap<Session, u64>,
    /// What each gateway serves as, while it does; and when its earlier incarnations were over.
    serving: BTreeMap<HostId, Incarnation>,
    deaths: BTreeMap<(HostId, Incarnation), u64>,
    end: u64,
}

impl Records {
    fn of(history: &History) -> Self {
        let registry = history.cast.directory.registry;
        let mut records = Self { end: history.end, ..Self::default() };
        for entry in &history.entries {
            match &entry.fact {
                Fact::Noted { host, note } => match history.cast.device_at(*host) {
                    Some(device) => records.device_noted(entry.at, device, note),
                    None => records.server_noted(entry.at, *host, note),
                },
                Fact::Host { host, life: Life::Crashed | Life::PowerCut } => {
                    if let Some(device) = history.cast.device_at(*host) {
                        records.hung_up(entry.at, device);
                    } else if *host == registry {
                        records.rows_gone(entry.at);
                    } else if let Some(incarnation) = records.serving.remove(host) {
                        records.deaths.entry((*host, incarnation)).or_insert(entry.at);
                    }
                }
                Fact::Host { .. } | Fact::Fault { .. } | Fact::Healed | Fact::Panicked { .. } => {}
            }
        }
        records
    }

    fn device_noted(&mut self, at: u64, device: DeviceId, note: &Note) {
        match *note {
            Note::Connected { gateway, incarnation, epoch } => {
                self.hung_up(at, device);
                let session = Session { device, epoch, gateway, incarnation };
                let stay = Stay { session, from: at, to: u64::MAX };
                self.connections.entry(device).or_default().push(stay);
            }
            Note::Disconnected { .. } => self.hung_up(at, device),
            _ => {}
        }
    }

    fn server_noted(&mut self, at: u64, host: HostId, note: &Note) {
        match *note {
            Note::RowWritten { session } => self.row_written(at, session),
            Note::RowRestored { session } => {
                let stay = Stay { session, from: at, to: u64::MAX };
                self.rows.entry(session.device).or_default().push(stay);
            }
            Note::RowRemoved { session, .. } => self.row_gone(at, session),
            Note::RowFenced { session } => self.row_fenced(at, session),
            Note::SessionEnded { session, .. } => {
                self.ended.entry(session).or_insert(at);
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
            Note::DeclaredDead { gateway, incarnation } => {
                self.verdicts.push(Verdict { gateway, incarnation, at });
            }
            _ => {}
        }
    }

    fn row(&mut self, device: DeviceId) -> Option<&mut Stay> {
        let last = self.rows.get_mut(&device)?.last_mut()?;
        (last.to == u64::MAX).then_some(last)
    }

    fn row_written(&mut self, at: u64, session: Session) {
        if let Some(row) = self.row(session.device) {
            row.to = at;
            let (loser, winner) = (row.session, session.epoch);
            if loser.epoch < winner {
                self.displaced.push(Displaced { loser, winner, at });
            }
        }
        let stay = Stay { session, from: at, to: u64::MAX };
        self.rows.entry(session.device).or_default().push(stay);
    }

    fn row_gone(&mut self, at: u64, session: Session) {
        if let Some(row) = self.row(session.device).filter(|row| row.session == session) {
            row.to = at;
        }
    }

    /// It came too late to get the row: its connection, if it still is one, is not routable.
    fn row_fenced(&mut self, at: u64, loser: Session) {
        let winner = self.row(loser.device).map(|row| row.session.epoch);
        if let Some(winner) = winner.filter(|winner| loser.epoch < *winner) {
            self.displaced.push(Displaced { loser, winner, at });
        }
    }

    fn rows_gone(&mut self, at: u64) {
        for row in self.rows.values_mut().filter_map(|rows| rows.last_mut()) {
            row.to = row.to.min(at);
        }
    }

    fn hung_up(&mut self, at: u64, device: DeviceId) {
        if let Some(last) = self.connections.get_mut(&device).and_then(|all| all.last_mut()) {
            last.to = last.to.min(at);
        }
    }

    /// When a session was over at its gateway, or the run.
    fn over_at(&self, session: Session) -> u64 {
        let death = self.deaths.get(&(session.gateway, session.incarnation));
        let ended = self.ended.get(&session);
        let over = death.into_iter().chain(ended).copied().min();
        over.map_or(self.end, |over| over.min(self.end))
    }
}

struct Judge<'h> {
    history: &'h History,
    words: Words<'h>,
    way: Spans,
    tellers: Spans,
    routable: u64,
    silence: u64,
    dead_for: u64,
    weather: Weather,
    records: &'h Records,
}

impl Judge<'_> {
    /// A displaced session is closed.
    fn closed(&self, displaced: &Displaced, findings: &mut Findings) {
        let Displaced { loser, winner, at } = *displaced;
        let over_at = self.records.over_at(loser);
        let told = at.saturating_add(nanos(limits::DISPLACED_WITHIN));
        if over_at <= told {
            return;
        }
        let theirs = self.weather.disturbed(loser.gateway);
        let undisturbed = !theirs.touch(at, told) && !self.tellers.touch(at, told);
        let silent = || theirs.clear_for(at, over_at, self.silence);
        let Some(late) = undisturbed.then_some(told).or_else(silent) else { return };
        let what = format!(
            "{} lost to connection {winner} at {}, and was not closed at {}",
            self.words.session(loser),
            self.words.time(at),
            self.words.time(late),
        );
        findings.add(late, None, Some(loser.device), what);
    }

    /// A connected device is routable.
    fn routable(&self, connection: &Stay, rows: &[Stay], findings: &mut Findings) {
        let Stay { session, from, to } = *connection;
        let to = to.min(self.records.over_at(session));
        if to.saturating_sub(from) <= self.routable {
            return;
        }
        let named = rows.iter().filter(|row| row.session == session);
        let covered = Spans::new(named.map(|row| (row.from, row.to)).collect());
        for (from, to) in Spans::new(vec![(from, to)]).without(&covered).iter() {
            if to.saturating_sub(from) <= self.routable {
                continue;
            }
            let device = self.weather.disturbed(self.history.cast.host_of(session.device));
            let gateway = self.weather.disturbed(session.gateway);
            let excused = Spans::union([&self.way, &device, &gateway]);
            let Some(late) = excused.clear_for(from, to, self.routable) else { continue };
            let what = format!(
                "{} was connected and had no row since {}, and still had none at {}; \
                 the bound is {}",
                self.words.session(session),
                self.words.time(from),
                self.words.time(late),
                seconds(self.routable),
            );
            findings.add(late, None, Some(session.device), what);
            return; // One anomaly per connection is enough.
        }
    }

    /// A gateway that nothing has happened to is not declared dead. Observers to whom something has
    /// may be wrong, as long as those who must agree are not all of that kind.
    fn alive(&self, verdict: Verdict, findings: &mut Findings) {
        let Verdict { gateway, incarnation, at } = verdict;
        if self.weather.disturbs(gateway, 0, at) {
            return;
        }
        let since = at.saturating_sub(self.dead_for);
        let monitors = &self.history.cast.directory.monitors;
        let misled = monitors.iter().filter(|host| self.weather.disturbs(**host, since, at));
        if misled.count() >= limits::OBSERVERS_MIN {
            return;
        }
        let what = format!(
            "{} {incarnation} was declared dead at {}, and nothing had happened to it",
            self.words.host(gateway),
            self.words.time(at),
        );
        findings.add(at, None, None, what);
    }
}
