//! I5, gap: a device that misses something learns of it within a bound, also if nothing more comes.
//!
//! What is persisted for a device that is connected, and stays so, is shown there, or the device
//! notes that it misses it: a gap that covers it, a hole with a reason. The bound is what it takes
//! when every message is lost on its way: two heartbeats, of which the first may be lost, the time
//! for which the database takes a message to be on its way, and some slack.
//!
//! Time does not count in which the device, its gateway or the database is disturbed, and it must
//! pass in one piece on one connection.

use super::findings::{Findings, Words, nanos, seconds};
use super::standing::Devices;
use super::weather::{Spans, Weather};
use super::{Anomaly, Bounds, Invariant};
use crate::history::{Fact, History};
use courier::id::{ConversationId, DeviceId, HostId, MessageId, Stamp};
use courier::limits;
use courier::note::Note;
use std::collections::BTreeMap;
use std::time::Duration;

/// For round trips, retransmissions and the second for which a gateway collects heartbeats.
const SLACK: Duration = Duration::from_secs(20);

/// One spell of a device on one connection.
#[derive(Clone, Copy, Debug)]
struct Spell {
    gateway: HostId,
    from: u64,
    to: u64,
}

struct Persisted {
    id: MessageId,
    at: u64,
    conversation: ConversationId,
    stamp: Stamp,
}

pub(super) fn check(history: &History, bounds: &Bounds, anomalies: &mut Vec<Anomaly>) {
    let weather = Weather::of(history);
    let record = Record::of(history);
    let bound = nanos(bounds.timing.heartbeat * 2 + limits::BEHIND_AFTER + SLACK);
    let words = Words(&history.cast);
    let database = weather.disturbed(history.cast.directory.database);
    let mut excused: BTreeMap<(HostId, HostId), Spans> = BTreeMap::new();
    let mut findings = Findings::of(Invariant::Gap);
    for persisted in &record.persisted {
        let Persisted { id, at, conversation, stamp } = *persisted;
        for device in history.cast.audience(conversation) {
            if device == id.device {
                continue; // It has it in its outbox until it is told.
            }
            let known = record.known(device, conversation, stamp).unwrap_or(history.end);
            if known.saturating_sub(at) <= bound {
                continue;
            }
            let host = history.cast.host_of(device);
            for spell in record.spells.get(&device).into_iter().flatten() {
                let (from, to) = (spell.from.max(at), spell.to.min(known));
                if to.saturating_sub(from) <= bound {
                    continue;
                }
                let excused = excused.entry((host, spell.gateway)).or_insert_with(|| {
                    let theirs = [weather.disturbed(host), weather.disturbed(spell.gateway)];
                    Spans::union(theirs.iter().chain([&database]))
                });
                if let Some(over) = excused.clear_for(from, to, bound) {
                    let what = format!(
                        "{}, persisted at {}, was neither shown nor missed by {} at {}, although \
                         it was connected since {}; the bound is {}",
                        words.message(id, conversation),
                        words.time(at),
                        words.device(device),
                        words.time(over),
                        words.time(spell.from),
                        seconds(bound),
                    );
                    findings.add(over, Some(id), Some(device), what);
                    break;
                }
            }
        }
    }
    findings.finish(anomalies);
}

/// When a device came to know something of a conversation, and up to where.
type Knowledge = BTreeMap<(DeviceId, ConversationId), Vec<(u64, u64)>>;

#[derive(Default)]
struct Record {
    persisted: Vec<Persisted>,
    spells: BTreeMap<DeviceId, Vec<Spell>>,
    /// By time; the second is the greatest number that it knew to exist by then.
    knowledge: Knowledge,
    /// When each device heard of each epoch of the sequence.
    heard: BTreeMap<DeviceId, Vec<(u64, u32)>>,
    /// Where each epoch began, after the first.
    began: BTreeMap<(ConversationId, u32), u64>,
}

impl Record {
    fn of(history: &History) -> Self {
        let mut record = Self::default();
        let mut devices = Devices::of(&history.cast);
        let mut open: BTreeMap<DeviceId, Spell> = BTreeMap::new();
        for entry in &history.entries {
            if let Some(device) = devices.take(entry).and_then(|host| history.cast.device_at(host))
            {
                let now = devices.at(history.cast.host_of(device)).connection();
                if let Some(spell) = open.remove(&device) {
                    record.ended(device, Spell { to: entry.at, ..spell });
                }
                if let Some(connection) = now {
                    let (gateway, from) = (connection.gateway, connection.since);
                    open.insert(device, Spell { gateway, from, to: u64::MAX });
                }
            }
            if let Fact::Noted { host, note } = &entry.fact {
                record.noted(entry.at, history.cast.device_at(*host), note);
            }
        }
        for (device, spell) in open {
            record.ended(device, Spell { to: history.end, ..spell });
        }
        record
    }

    fn ended(&mut self, device: DeviceId, spell: Spell) {
        self.spells.entry(device).or_default().push(spell);
    }

    fn noted(&mut self, at: u64, device: Option<DeviceId>, note: &Note) {
        if let Note::Persisted { id, conversation, stamp } = *note {
            self.persisted.push(Persisted { id, at, conversation, stamp });
        }
        match (*note, device) {
            (Note::EpochBegan { conversation, epoch, from }, _) => {
                self.began.insert((conversation, epoch), from);
            }
            (Note::EpochHeard { epoch }, Some(device)) => {
                self.heard.entry(device).or_default().push((at, epoch));
            }
            _ => {}
        }
        let (conversation, upto) = match *note {
            Note::Shown { conversation, stamp, .. } => (conversation, stamp.seq),
            Note::GapNoticed { conversation, head, .. } => (conversation, head),
            Note::HoleExplained { conversation, hole, .. } => (conversation, hole.upto),
            Note::Rejected { conversation, stamp, .. } => (conversation, stamp.seq),
            // It has asked for everything that there is to know.
            Note::FullSyncAsked { conversation } => (conversation, u64::MAX),
            _ => return,
        };
        let Some(device) = device else { return };
        let known = self.knowledge.entry((device, conversation)).or_default();
        if known.last().is_none_or(|(_, most)| *most < upto) {
            known.push((at, upto));
        }
    }

    /// When the device first knew of this place, or that it is void.
    fn known(&self, device: DeviceId, conversation: ConversationId, place: Stamp) -> Option<u64> {
        let known = self.knowledge.get(&(device, conversation)).into_iter().flatten();
        let known = known.filter(|(_, upto)| *upto >= place.seq).map(|(at, _)| *at);
        let void = |epoch: u32| {
            let began = self.began.get(&(conversation, epoch)).copied().unwrap_or(1);
            epoch > place.epoch && place.seq >= began
        };
        let heard = self.heard.get(&device).into_iter().flatten();
        let heard = heard.filter(|(_, epoch)| (place.epoch..=*epoch).any(void)).map(|(at, _)| *at);
        known.chain(heard).min()
    }
}
