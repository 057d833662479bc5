//! I1, no-loss: what was accepted is shown on every device of every member, or that device holds
//! an explicit hole with a reason that covers it.
//!
//! Counted from `Accepted` as the sending device notes it: a message that is persisted but whose
//! sender never learned so is not acknowledged, and nothing is owed. The audience is every device
//! of every member, the one that wrote the message among them.
//!
//! Excused is a device that is not there when the run ends (switched off, paused, in flight mode,
//! between connections): what it has not shown it may still show. Absence counts only once it can
//! no longer be mended, so a run that ended in a panic or under a fault is not judged here at
//! all. Late is not lost: that is `liveness`.

use super::findings::{Findings, Words};
use super::standing::Devices;
use super::weather::Weather;
use super::{Anomaly, Invariant};
use crate::history::History;
use courier::id::{ConversationId, DeviceId, MessageId, Stamp};
use courier::note::Note;
use courier::wire::{Hole, HoleReason};
use std::collections::BTreeMap;

struct Accepted {
    at: u64,
    conversation: ConversationId,
    stamp: Stamp,
}

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    if Weather::of(history).unsettled {
        return;
    }
    let (accepted, shown) = collect(history);
    let excuses = Excuses::of(history);
    let devices = at_the_end(history);
    let mut findings = Findings::of(Invariant::NoLoss);
    for (id, accepted) in &accepted {
        for device in history.cast.audience(accepted.conversation) {
            if shown.binary_search(&(*id, device)).is_ok() {
                continue;
            }
            if excuses.cover(device, accepted) {
                continue;
            }
            let standing = devices.at(history.cast.host_of(device));
            if let Some(connection) = standing.connection() {
                let what = describe(history, *id, accepted, device, connection.since);
                findings.add(history.end, Some(*id), Some(device), what);
            }
        }
    }
    findings.finish(anomalies);
}

/// What devices know that they do not have, and why.
#[derive(Default)]
struct Excuses {
    /// Holes with the epoch of their numbers. Numbers that were merely never used excuse nothing:
    /// an accepted message had one.
    holes: BTreeMap<(DeviceId, ConversationId), Vec<(u32, Hole)>>,
    /// The epoch of the sequence that a device has heard of.
    heard: BTreeMap<DeviceId, u32>,
    /// Where each epoch began, after the first.
    began: BTreeMap<(ConversationId, u32), u64>,
}

impl Excuses {
    fn of(history: &History) -> Self {
        let mut excuses = Self::default();
        for (_, host, note) in history.notes() {
            let device = history.cast.device_at(host);
            match (*note, device) {
                (Note::HoleExplained { conversation, epoch, hole }, Some(device))
                    if hole.why != HoleReason::Unused =>
                {
                    let known = excuses.holes.entry((device, conversation)).or_default();
                    known.push((epoch, hole));
                }
                (Note::EpochHeard { epoch }, Some(device)) => {
                    excuses.heard.insert(device, epoch);
                }
                (Note::EpochBegan { conversation, epoch, from }, _) => {
                    excuses.began.insert((conversation, epoch), from);
                }
                _ => {}
            }
        }
        excuses
    }

    fn cover(&self, device: DeviceId, accepted: &Accepted) -> bool {
        let Accepted { conversation, stamp, .. } = *accepted;
        let holes = self.holes.get(&(device, conversation)).into_iter().flatten();
        let mut known = holes.filter(|(epoch, hole)| {
            stamp.epoch <= *epoch && (hole.from..=hole.upto).contains(&stamp.seq)
        });
        let heard = self.heard.get(&device).copied().unwrap_or(1);
        // A conversation of which nothing was left began at 1.
        let void =
            |epoch| stamp.seq >= self.began.get(&(conversation, epoch)).copied().unwrap_or(1);
        known.next().is_some() || (stamp.epoch + 1..=heard).any(void)
    }
}

/// What was accepted, and in order who showed what.
fn collect(history: &History) -> (BTreeMap<MessageId, Accepted>, Vec<(MessageId, DeviceId)>) {
    let (mut accepted, mut shown) = (BTreeMap::new(), Vec::new());
    for (at, host, note) in history.notes() {
        match *note {
            // A device that crashed before it could forget the message is told again.
            Note::Accepted { id, conversation, stamp } => {
                accepted.entry(id).or_insert(Accepted { at, conversation, stamp });
            }
            Note::Shown { id, .. } => {
                shown.extend(history.cast.device_at(host).map(|device| (id, device)))
            }
            _ => {}
        }
    }
    shown.sort_unstable();
    (accepted, shown)
}

fn at_the_end(history: &History) -> Devices {
    let mut devices = Devices::of(&history.cast);
    for entry in &history.entries {
        devices.take(entry);
    }
    devices
}

fn describe(
    history: &History,
    id: MessageId,
    accepted: &Accepted,
    device: DeviceId,
    online_since: u64,
) -> String {
    let words = Words(&history.cast);
    format!(
        "{} was accepted as {} at {}; {} never showed it and is online since {}",
        words.message(id, accepted.conversation),
        accepted.stamp,
        words.time(accepted.at),
        words.device(device),
        words.time(online_since),
    )
}
