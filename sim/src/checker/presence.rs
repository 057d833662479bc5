//! I9, presence: who beats is not offline, who is silent is, and nobody flaps.
//!
//! Presence is judged against the devices' own notes. A user with a device that has been connected
//! without a break for as long as a threshold takes must not be shown beyond that threshold, nor
//! offline once a heartbeat must have come through, whatever was heard of an earlier connection;
//! nor may they go away and come back twice within ten minutes. A user none of whose devices is
//! connected, or shows any sign of trying, must be shown offline once the threshold, the silence
//! that a gateway grants a dead connection, and some slack have passed.
//!
//! Excused are the first two by a disturbance of the presence server, the device or its gateway,
//! and for two minutes after it: heartbeats need to get through before they count. The third is
//! excused while the presence server is disturbed or any gateway is paused (what a paused gateway
//! had not read yet, it reports as fresh). A presence server that restarts has forgotten
//! everybody, so nothing is owed of a user until it shows them online again.

use super::findings::{Findings, Words, nanos, seconds};
use super::standing::{Connection, Devices};
use super::weather::{Spans, Weather};
use super::{Anomaly, Bounds, Invariant};
use crate::history::{Fact, History, Life};
use courier::id::{DeviceId, HostId, UserId};
use courier::note::{Note, Status};
use courier::timing::Timing;
use std::time::Duration;

/// What a heartbeat's way and the presence server's sweep may add: a second to collect reports, a
/// second between sweeps, a connection's retransmissions.
const SLACK: Duration = Duration::from_secs(10);

/// How long after a disturbance heartbeats may not have settled yet.
const TAIL: Duration = Duration::from_secs(120);

/// A user goes away and comes back at most once in this time.
const FLIP_WINDOW: Duration = Duration::from_secs(600);

pub(super) fn check(history: &History, bounds: &Bounds, anomalies: &mut Vec<Anomaly>) {
    let mut watch = Watch::of(history, &bounds.timing);
    let presence = history.cast.directory.presence;
    for entry in &history.entries {
        let touched = watch.devices.take(entry);
        match &entry.fact {
            Fact::Noted { note: Note::PresenceChanged { user, status }, .. } => {
                watch.changed(entry.at, *user, *status)
            }
            Fact::Host { host, life } if *host == presence => watch.forgets(entry.at, *life),
            _ => {}
        }
        if let Some(device) = touched.and_then(|host| history.cast.device_at(host)) {
            watch.stirred(entry.at, device.user);
        }
    }
    for user in history.cast.users() {
        watch.settle(history.end, user);
    }
    watch.findings.finish(anomalies);
}

/// What presence shows of a user, and what follows from it.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    /// None until presence speaks of them.
    status: Option<Status>,
    since: u64,
    /// The last time they went away and came back: when each was shown.
    flip: Option<(u64, u64)>,
    /// Since when they should be on their way to offline.
    silent_since: Option<u64>,
}

struct Watch<'h> {
    history: &'h History,
    words: Words<'h>,
    timing: &'h Timing,
    weather: Weather,
    /// Time that does not count towards being shown offline.
    deaf: Spans,
    devices: Devices,
    /// By user id.
    users: Vec<Shown>,
    findings: Findings,
}

impl<'h> Watch<'h> {
    fn of(history: &'h History, timing: &'h Timing) -> Self {
        let weather = Weather::of(history);
        let directory = &history.cast.directory;
        let paused = directory.gateways.iter().map(|gateway| weather.paused(*gateway));
        let deaf: Vec<Spans> = paused.chain([weather.disturbed(directory.presence)]).collect();
        Self {
            history,
            words: Words(&history.cast),
            timing,
            weather,
            deaf: Spans::union(&deaf),
            devices: Devices::of(&history.cast),
            users: vec![Shown::default(); history.cast.users().count()],
            findings: Findings::of(Invariant::Presence),
        }
    }

    fn shown(&mut self, user: UserId) -> &mut Shown {
        &mut self.users[user.0 as usize]
    }

    fn changed(&mut self, at: u64, user: UserId, status: Status) {
        let Shown { status: earlier, since, .. } = *self.shown(user);
        match status {
            Status::Online if earlier == Some(Status::Away) => self.came_back(at, user, since),
            Status::Online => {}
            Status::Away => {
                self.must_not_be(at, user, status, self.timing.online + self.timing.heartbeat)
            }
            // Also when it was said to have gone: its newest connection is what counts.
            Status::Offline => self.must_not_be(at, user, status, self.timing.heartbeat),
        }
        let shown = self.shown(user);
        (shown.status, shown.since) = (Some(status), at);
        // Away is on the way to offline: the clock of a silent user goes on.
        if status != Status::Away {
            self.stirred(at, user);
        }
    }

    /// A user is shown as gone. Nobody who has been connected for this long may be.
    fn must_not_be(&mut self, at: u64, user: UserId, status: Status, after: Duration) {
        let tail = at.saturating_sub(nanos(TAIL));
        let long_since = at.saturating_sub(nanos(after + SLACK));
        let found = self.steady(user, tail, at).find(|(_, since)| *since < long_since);
        if let Some((device, since)) = found {
            let what = format!(
                "{} was shown {} at {}, but {} is connected since {}",
                self.history.cast.user_name(user),
                name(status),
                self.words.time(at),
                self.words.device(device),
                self.words.time(since),
            );
            self.findings.add(at, None, Some(device), what);
        }
    }

    fn came_back(&mut self, at: u64, user: UserId, away_at: u64) {
        let flip = self.shown(user).flip.replace((away_at, at));
        let Some((first_away, first_back)) = flip else { return };
        if at - first_back > nanos(FLIP_WINDOW) {
            return;
        }
        let tail = first_away.saturating_sub(nanos(TAIL));
        let found = self.steady(user, tail, at).find(|(_, since)| *since < first_away);
        if let Some((device, since)) = found {
            let what = format!(
                "{} came back online at {} and again at {}, but {} is connected since {}",
                self.history.cast.user_name(user),
                self.words.time(first_back),
                self.words.time(at),
                self.words.device(device),
                self.words.time(since),
            );
            self.findings.add(at, None, Some(device), what);
        }
    }

    /// The user's devices that are connected, and since when, if nothing on the way of their
    /// heartbeats was disturbed between `from` and `to`.
    fn steady(&self, user: UserId, from: u64, to: u64) -> impl Iterator<Item = (DeviceId, u64)> {
        let presence = self.history.cast.directory.presence;
        let calm = move |host: HostId| !self.weather.disturbs(host, from, to);
        self.devices_of(user).filter_map(move |(device, host)| {
            let Connection { gateway, since } = self.devices.at(host).connection()?;
            (calm(presence) && calm(host) && calm(gateway)).then_some((device, since))
        })
    }

    fn devices_of(&self, user: UserId) -> impl Iterator<Item = (DeviceId, HostId)> {
        let cast = &self.history.cast;
        cast.directory.devices(user).map(|device| (device, cast.host_of(device)))
    }

    /// A device of the user did something, or presence did with the user: the clock of silence
    /// begins again, if there is silence.
    fn stirred(&mut self, at: u64, user: UserId) {
        self.settle(at, user);
        let connected =
            self.devices_of(user).any(|(_, host)| self.devices.at(host).connection().is_some());
        let shown = self.shown(user);
        let visible = matches!(shown.status, Some(Status::Online | Status::Away));
        shown.silent_since = (visible && !connected).then_some(at);
    }

    /// A silence ends, by whatever it was broken. Was it too long?
    fn settle(&mut self, at: u64, user: UserId) {
        let Some(since) = self.shown(user).silent_since.take() else { return };
        let limit = nanos(self.timing.offline + self.timing.silence + SLACK);
        if let Some(over) = self.deaf.clear_for(since, at, limit) {
            let what = format!(
                "{} was not shown offline by {}, {} after the last sign of any device",
                self.history.cast.user_name(user),
                self.words.time(over),
                seconds(over - since),
            );
            self.findings.add(over, None, None, what);
        }
    }

    fn forgets(&mut self, at: u64, life: Life) {
        if matches!(life, Life::Started | Life::Crashed | Life::Stopped | Life::PowerCut) {
            for user in self.history.cast.users() {
                self.settle(at, user);
                *self.shown(user) = Shown::default();
            }
        }
    }
}

fn name(status: Status) -> &'static str {
    status.into()
}
