//! I15, receipts: delivered and read marks only move forward, and never name what was not.
//!
//! What a device shows of a member is held against that member's own devices. Delivered up to a
//! place means that one of them has shown that place or a later one (that nothing before it is
//! missing is I1's business); read up to a place means that the person read so far on one of them,
//! and that is never further than what they hold. Nothing may be shown that was not durable at the
//! database: a restart of it would take it back. All of this must have been so before the mark is
//! shown, in the order of the history; nothing excuses a mark that lies, and a late one is merely
//! late. A failover of the database may take marks back, on devices that have forgotten them.

use super::findings::{Findings, Words};
use super::{Anomaly, Invariant};
use crate::history::{Fact, History, Life};
use courier::id::{ConversationId, DeviceId, HostId, MessageId, Stamp, UserId};
use courier::note::Note;
use courier::wire::HoleReason;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let mut marks = Marks {
        words: Words(&history.cast),
        history,
        held: BTreeMap::new(),
        holds: BTreeMap::new(),
        read: BTreeMap::new(),
        places: BTreeMap::new(),
        failed_over: false,
        restarted: BTreeSet::new(),
        began: BTreeMap::new(),
        durable: BTreeMap::new(),
        shown: BTreeMap::new(),
        findings: Findings::of(Invariant::Receipts),
    };
    for entry in &history.entries {
        match &entry.fact {
            Fact::Noted { host, note } => marks.take(entry.at, *host, note),
            Fact::Host { host, life: Life::Started } => marks.forgets(*host),
            _ => {}
        }
    }
    marks.findings.finish(anomalies);
}

/// How far somebody is: delivered, read.
type Pair = (Option<Stamp>, Option<Stamp>);

struct Marks<'h> {
    words: Words<'h>,
    history: &'h History,
    /// The last place that any device of a user has shown.
    held: BTreeMap<(UserId, ConversationId), Stamp>,
    /// The same by device.
    holds: BTreeMap<(DeviceId, ConversationId), Stamp>,
    /// The last place that a person has read, on any device.
    read: BTreeMap<(UserId, ConversationId), Stamp>,
    /// Where each device shows what it shows.
    places: BTreeMap<(DeviceId, MessageId), (ConversationId, Stamp)>,
    /// The database has been failed over.
    failed_over: bool,
    /// Devices that have restarted, and may not have asked again before a failover.
    restarted: BTreeSet<HostId>,
    /// Where each epoch of the sequence began, after the first.
    began: BTreeMap<(ConversationId, u32), u64>,
    /// What the database has made durable.
    durable: BTreeMap<(UserId, ConversationId), Pair>,
    /// What each device shows of others.
    shown: BTreeMap<(HostId, UserId, ConversationId), Pair>,
    findings: Findings,
}

impl Marks<'_> {
    fn take(&mut self, at: u64, host: HostId, note: &Note) {
        match *note {
            Note::Shown { id, conversation, stamp } => {
                let Some(device) = self.history.cast.device_at(host) else { return };
                self.places.insert((device, id), (conversation, stamp));
                forward(&mut self.held, (device.user, conversation), stamp);
                forward(&mut self.holds, (device, conversation), stamp);
            }
            // It has the message, and now knows it under this place too.
            Note::DuplicateDropped { id, stamp } => {
                let Some(device) = self.history.cast.device_at(host) else { return };
                let Some((conversation, shown)) = self.places.get(&(device, id)).copied() else {
                    return;
                };
                if shown.epoch == stamp.epoch {
                    return;
                }
                forward(&mut self.held, (device.user, conversation), stamp);
                forward(&mut self.holds, (device, conversation), stamp);
            }
            // A hole with a reason is held as a message is.
            Note::HoleExplained { conversation, epoch, hole }
                if hole.why != HoleReason::Renumbered =>
            {
                let Some(device) = self.history.cast.device_at(host) else { return };
                let stamp = Stamp { epoch, seq: hole.upto };
                forward(&mut self.held, (device.user, conversation), stamp);
                forward(&mut self.holds, (device, conversation), stamp);
            }
            Note::EpochBegan { conversation, epoch, from } => {
                self.began.insert((conversation, epoch), from);
                self.failed_over = true;
                let Self { shown, restarted, .. } = self;
                shown.retain(|(host, ..), _| !restarted.contains(host));
            }
            Note::Read { conversation, upto } => {
                let Some(device) = self.history.cast.device_at(host) else { return };
                self.has_read(at, device, conversation, upto);
            }
            Note::Marked { conversation, user, delivered, read } => {
                let durable = self.durable.entry((user, conversation)).or_default();
                *durable = (durable.0.max(delivered), durable.1.max(read));
            }
            Note::MarkShown { conversation, user, delivered, read } => {
                self.is_shown(at, host, (user, conversation), (delivered, read))
            }
            _ => {}
        }
    }

    /// A device that restarts knows only what the database tells it, and what that told before may
    /// be lost with the tail that a promoted replica lacks.
    fn forgets(&mut self, host: HostId) {
        self.restarted.insert(host);
        if self.failed_over {
            self.shown.retain(|(other, ..), _| *other != host);
        }
    }

    fn has_read(&mut self, at: u64, device: DeviceId, conversation: ConversationId, upto: Stamp) {
        let holds = self.holds.get(&(device, conversation)).copied();
        if !self.reaches(conversation, holds, Some(upto)) {
            let what = format!(
                "{} was told at {} that {upto} in {} is read, but the device shows {}",
                self.words.device(device),
                self.words.time(at),
                self.words.conversation(conversation),
                place(holds),
            );
            self.findings.add(at, None, Some(device), what);
        }
        forward(&mut self.read, (device.user, conversation), upto);
    }

    /// Whether who is at `held` has everything up to `mark`. A place before an epoch began is the
    /// same place in it.
    fn reaches(
        &self,
        conversation: ConversationId,
        held: Option<Stamp>,
        mark: Option<Stamp>,
    ) -> bool {
        let (Some(held), Some(mark)) = (held, mark) else { return held >= mark };
        let between = held.epoch + 1..=mark.epoch;
        let began = between.filter_map(|epoch| self.began.get(&(conversation, epoch)));
        let same = began.min().is_none_or(|began| mark.seq < *began);
        held >= mark || (same && held.seq >= mark.seq)
    }

    fn is_shown(&mut self, at: u64, host: HostId, of: (UserId, ConversationId), mark: Pair) {
        let (user, conversation) = of;
        let (delivered, read) = mark;
        let before = self.shown.insert((host, user, conversation), mark).unwrap_or_default();
        let durable = self.durable.get(&of).copied().unwrap_or_default();
        let held = self.held.get(&of).copied();
        let has_read = self.read.get(&of).copied();
        let name = self.history.cast.user_name(user);
        let lies = [
            (delivered < before.0, "delivered", delivered, format!("showed {}", place(before.0))),
            (read < before.1, "read", read, format!("showed {}", place(before.1))),
            (
                !self.reaches(conversation, held, delivered),
                "delivered",
                delivered,
                format!("{name} holds {}", place(held)),
            ),
            (
                !self.reaches(conversation, has_read, read),
                "read",
                read,
                format!("{name} had read {}", place(has_read)),
            ),
            (delivered < read, "read", read, format!("{} is delivered", place(delivered))),
            (
                durable.0 < delivered,
                "delivered",
                delivered,
                format!("the database kept {}", place(durable.0)),
            ),
            (durable.1 < read, "read", read, format!("the database kept {}", place(durable.1))),
        ];
        // The first says it all: the others follow from it.
        if let Some((_, mark, upto, but)) = lies.into_iter().find(|(lie, ..)| *lie) {
            let what = format!(
                "{} shows {name} as {mark} up to {} in {} at {}, but {but}",
                self.words.host(host),
                place(upto),
                self.words.conversation(conversation),
                self.words.time(at),
            );
            self.findings.add(at, None, self.history.cast.device_at(host), what);
        }
    }
}

fn forward<K: Ord>(places: &mut BTreeMap<K, Stamp>, key: K, stamp: Stamp) {
    let place = places.entry(key).or_insert(stamp);
    *place = stamp.max(*place);
}

fn place(upto: Option<Stamp>) -> String {
    upto.map_or_else(|| "nothing".to_owned(), |stamp| stamp.to_string())
}
