//! I15 again: marks arrive. When everything has healed and some time has passed, what a device has
//! said to be read is known at the database, and what the database has marked is shown by every
//! connected device that is to know of it: delivered and read by the devices of the other members,
//! read by the user's own. In a group that is too large for receipts only the latter.
//!
//! Judged at the end of the run, and only of what has not changed in the last [`SETTLED_AFTER`]:
//! marks, connections, and the peace of the hosts on the way. That is two heartbeats, each of which
//! lets the database tell again what was lost, and some seconds for what is told once a second. A
//! device that has restarted shows nothing until it is told again. A failover takes back marks that
//! the replica had not got, and what was read of a history that is gone does not count; so after
//! one only what was marked since is asked for.

use super::findings::{Findings, Words, nanos};
use super::standing::Devices;
use super::weather::Weather;
use super::{Anomaly, Bounds, Invariant};
use crate::history::{Entry, Fact, History, Life};
use courier::id::{ConversationId, DeviceId, HostId, Stamp, UserId};
use courier::limits;
use courier::note::Note;
use std::collections::BTreeMap;
use std::time::Duration;

/// Beyond two heartbeats: what is told at most once a second, in some answers, and the way there.
const SLACK: Duration = Duration::from_secs(5);

/// How far somebody is: delivered, read.
type Pair = (Option<Stamp>, Option<Stamp>);

/// How far somebody is, and since when.
type Marked = BTreeMap<(ConversationId, UserId), (Pair, u64)>;

pub(super) fn check(history: &History, bounds: &Bounds, anomalies: &mut Vec<Anomaly>) {
    let weather = Weather::of(history);
    let settled_after = nanos(bounds.timing.heartbeat * 2 + SLACK);
    if weather.unsettled || history.end < settled_after {
        return;
    }
    let mut end = End {
        history,
        words: Words(&history.cast),
        weather,
        settled: history.end - settled_after,
        devices: Devices::of(&history.cast),
        read: BTreeMap::new(),
        marked: BTreeMap::new(),
        shown: BTreeMap::new(),
        failed_over: false,
        findings: Findings::of(Invariant::Receipts),
    };
    history.entries.iter().for_each(|entry| end.take(entry));
    end.reads_are_marked();
    end.marks_are_shown();
    end.findings.finish(anomalies);
}

/// The end of a run.
struct End<'h> {
    history: &'h History,
    words: Words<'h>,
    weather: Weather,
    /// What has been so since then must have been told.
    settled: u64,
    devices: Devices,
    /// What each device has said to be read, and when it first said so.
    read: BTreeMap<(DeviceId, ConversationId), (Stamp, u64)>,
    /// What the database has made durable, and when.
    marked: Marked,
    /// What each device shows since it started.
    shown: BTreeMap<HostId, BTreeMap<(ConversationId, UserId), Pair>>,
    failed_over: bool,
    findings: Findings,
}

impl End<'_> {
    fn take(&mut self, entry: &Entry) {
        self.devices.take(entry);
        match &entry.fact {
            Fact::Host { host, life: Life::Started } => {
                self.shown.remove(host);
            }
            Fact::Host { host, life: Life::Promoted }
                if *host == self.history.cast.directory.database =>
            {
                self.failed_over = true;
                self.marked.clear();
            }
            Fact::Noted { host, note } => self.noted(entry.at, *host, note),
            _ => {}
        }
    }

    fn noted(&mut self, at: u64, host: HostId, note: &Note) {
        match *note {
            Note::Read { conversation, upto } => {
                let Some(device) = self.history.cast.device_at(host) else { return };
                self.read.insert((device, conversation), (upto, at));
            }
            Note::Marked { conversation, user, delivered, read } => {
                self.marked.insert((conversation, user), ((delivered, read), at));
            }
            Note::MarkShown { conversation, user, delivered, read } => {
                let shown = self.shown.entry(host).or_default();
                shown.insert((conversation, user), (delivered, read));
            }
            _ => {}
        }
    }

    /// Whether the device has long been connected, and nothing has hindered it, its server or the
    /// database since this.
    fn is_settled(&self, device: DeviceId, since: u64) -> bool {
        let host = self.history.cast.host_of(device);
        let Some(connection) = self.devices.at(host).connection() else { return false };
        let database = self.history.cast.directory.database;
        let way = [host, connection.gateway, database];
        since.max(connection.since) <= self.settled
            && !way.iter().any(|host| self.weather.disturbs(*host, self.settled, self.history.end))
    }

    fn reads_are_marked(&mut self) {
        if self.failed_over {
            return;
        }
        for ((device, conversation), (upto, at)) in std::mem::take(&mut self.read) {
            let marked = self.marked.get(&(conversation, device.user)).map(|(marks, _)| *marks);
            let read = marked.and_then(|(_, read)| read);
            if read < Some(upto) && self.is_settled(device, at) {
                let what = format!(
                    "{} has read {upto} in {} at {}, but the database never heard of it",
                    self.words.device(device),
                    self.words.conversation(conversation),
                    self.words.time(at),
                );
                self.findings.add(self.history.end, None, Some(device), what);
            }
        }
    }

    fn marks_are_shown(&mut self) {
        for ((conversation, user), ((delivered, read), at)) in std::mem::take(&mut self.marked) {
            let directory = &self.history.cast.directory;
            let members = directory.members(conversation);
            let all = members.len() <= limits::RECEIPT_MEMBERS_MAX;
            let told = members.into_iter().filter(|member| all || *member == user);
            let devices: Vec<DeviceId> = told.flat_map(|user| directory.devices(user)).collect();
            for device in devices {
                let host = self.history.cast.host_of(device);
                let shown =
                    self.shown.get(&host).and_then(|shown| shown.get(&(conversation, user)));
                let shown = shown.copied().unwrap_or_default();
                let missing = match device.user == user {
                    true => [(read, shown.1, "read"), (None, None, "delivered")],
                    false => [(read, shown.1, "read"), (delivered, shown.0, "delivered")],
                };
                let missing = missing.into_iter().find(|(mark, shown, _)| shown < mark);
                if let Some((Some(mark), _, what)) = missing
                    && self.is_settled(device, at)
                {
                    let what = format!(
                        "{} never showed {} as {what} up to {mark} in {}, marked at {}",
                        self.words.device(device),
                        self.history.cast.user_name(user),
                        self.words.conversation(conversation),
                        self.words.time(at),
                    );
                    self.findings.add(self.history.end, None, Some(device), what);
                }
            }
        }
    }
}
