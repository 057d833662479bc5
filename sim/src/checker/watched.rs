//! I9 again, as those see it who watch: what a connected watcher shows is what presence says.
//!
//! Not at once: a change is collected for a second, a message may be lost and is asked for again
//! ten seconds later, and a device may believe in a connection that has just died. So a device that
//! has been connected for as long as that takes, while neither it, its gateway nor presence was
//! disturbed, must show of whoever it watches what presence last said. While presence has just
//! restarted it has said nothing, and nothing is owed. What a device shows while it is not
//! connected is its own business.

use super::findings::{Findings, Words, nanos, seconds};
use super::standing::{Connection, Devices};
use super::weather::{Spans, Weather};
use super::{Anomaly, Bounds, Invariant};
use crate::history::{Fact, History, Life};
use courier::id::{HostId, UserId};
use courier::limits::WATCHED_USERS_MAX;
use courier::note::{Note, Status};
use std::collections::BTreeMap;
use std::time::Duration;

/// Two repeats of a gateway's question (one may be lost), a batch, a connection's retransmissions.
const SLACK: Duration = Duration::from_secs(30);

pub(super) fn check(history: &History, bounds: &Bounds, anomalies: &mut Vec<Anomaly>) {
    let directory = &history.cast.directory;
    if directory.watches.is_empty() {
        return;
    }
    let mut watch = Watch::of(history, bounds);
    for entry in &history.entries {
        let touched = watch.devices.take(entry);
        match &entry.fact {
            Fact::Noted { note: Note::PresenceChanged { user, status }, .. } => {
                watch.said.insert(*user, (*status, entry.at));
                watch.look_at_watchers_of(entry.at, *user);
            }
            Fact::Noted { host, note: Note::PresenceShown { user, status } } => {
                watch.shown.insert((*host, *user), *status);
                watch.look(entry.at, *host, *user);
            }
            Fact::Host { host, life } if *host == directory.presence => {
                if matches!(life, Life::Started | Life::Crashed | Life::PowerCut) {
                    watch.said.clear();
                    watch.look_at_all(entry.at);
                }
            }
            Fact::Host { host, life: Life::Started } => {
                watch.shown.retain(|(device, _), _| device != host);
            }
            _ => {}
        }
        if let Some(host) = touched {
            watch.look_at_list_of(entry.at, host);
        }
    }
    watch.look_at_all(history.end);
    watch.findings.finish(anomalies);
}

/// A device shows something else than presence says, or nothing.
#[derive(Clone, Copy, Debug)]
struct Owed {
    since: u64,
    gateway: HostId,
}

struct Watch<'h> {
    history: &'h History,
    words: Words<'h>,
    weather: Weather,
    devices: Devices,
    limit: u64,
    /// Whom each device watches, and by which devices each user is watched.
    lists: BTreeMap<HostId, Vec<UserId>>,
    watchers: BTreeMap<UserId, Vec<HostId>>,
    /// What presence last said of each user since it started, and when.
    said: BTreeMap<UserId, (Status, u64)>,
    shown: BTreeMap<(HostId, UserId), Status>,
    owed: BTreeMap<(HostId, UserId), Owed>,
    findings: Findings,
}

impl<'h> Watch<'h> {
    fn of(history: &'h History, bounds: &Bounds) -> Self {
        let cast = &history.cast;
        let mut lists: BTreeMap<HostId, Vec<UserId>> = BTreeMap::new();
        let mut watchers: BTreeMap<UserId, Vec<HostId>> = BTreeMap::new();
        for (host, device) in cast.devices() {
            let list = cast.directory.watches.get(&device.user);
            for user in list.into_iter().flatten().take(WATCHED_USERS_MAX) {
                lists.entry(host).or_default().push(*user);
                watchers.entry(*user).or_default().push(host);
            }
        }
        let timing = &bounds.timing;
        Self {
            history,
            words: Words(cast),
            weather: Weather::of(history),
            devices: Devices::of(cast),
            limit: nanos(timing.heartbeat + timing.heartbeat_wait + SLACK),
            lists,
            watchers,
            said: BTreeMap::new(),
            shown: BTreeMap::new(),
            owed: BTreeMap::new(),
            findings: Findings::of(Invariant::Presence),
        }
    }

    fn look_at_list_of(&mut self, at: u64, host: HostId) {
        for user in self.lists.get(&host).cloned().unwrap_or_default() {
            self.look(at, host, user);
        }
    }

    fn look_at_watchers_of(&mut self, at: u64, user: UserId) {
        for host in self.watchers.get(&user).cloned().unwrap_or_default() {
            self.look(at, host, user);
        }
    }

    fn look_at_all(&mut self, at: u64) {
        for host in self.lists.keys().copied().collect::<Vec<_>>() {
            self.look_at_list_of(at, host);
        }
    }

    /// Something has changed between the two: was it wrong for too long, and is it now?
    fn look(&mut self, at: u64, host: HostId, user: UserId) {
        if let Some(owed) = self.owed.remove(&(host, user)) {
            self.settle(at, host, user, owed);
        }
        let (Some(Connection { gateway, .. }), Some((status, _))) =
            (self.devices.at(host).connection(), self.said.get(&user))
        else {
            return;
        };
        if self.shown.get(&(host, user)) != Some(status) {
            self.owed.insert((host, user), Owed { since: at, gateway });
        }
    }

    fn settle(&mut self, at: u64, host: HostId, user: UserId, owed: Owed) {
        let Owed { since, gateway } = owed;
        let presence = self.history.cast.directory.presence;
        let disturbed = [host, gateway, presence].map(|host| self.weather.disturbed(host));
        let Some(over) = Spans::union(&disturbed).clear_for(since, at, self.limit) else { return };
        let name = self.history.cast.user_name(user);
        let what = format!(
            "{} had not been told by {} what presence says of {name}, {} after it could have been",
            self.words.host(host),
            self.words.time(over),
            seconds(over - since),
        );
        self.findings.add(over, None, self.history.cast.device_at(host), what);
    }
}
