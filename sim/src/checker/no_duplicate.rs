//! I2, no-duplicate: no device shows a message twice, and a redelivery is the same message in the
//! same place.
//!
//! Redelivery itself is not an anomaly: at-least-once on the wire is how nothing gets lost, and
//! dropping what is shown already is how nothing is doubled. But a redelivery that names another
//! place than the one the device shows the message at is not a repetition, whatever the device
//! made of it. That two devices disagree about a place is `in-order` and `sequence`.

use super::findings::{Findings, Words};
use super::{Anomaly, Invariant};
use crate::history::History;
use courier::id::{ConversationId, DeviceId, MessageId, Stamp};
use courier::note::Note;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Where and when a device first showed a message.
type Showings = BTreeMap<(DeviceId, MessageId), (u64, ConversationId, Stamp)>;

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let mut findings = Findings::of(Invariant::NoDuplicate);
    let mut showings = Showings::new();
    let mut dropped = Vec::new();
    for (at, host, note) in history.notes() {
        let Some(device) = history.cast.device_at(host) else { continue };
        match *note {
            Note::Shown { id, conversation, stamp } => {
                let showing = (at, conversation, stamp);
                match showings.entry((device, id)) {
                    Entry::Vacant(first) => {
                        first.insert(showing);
                    }
                    Entry::Occupied(first) => {
                        shown_again(history, device, id, *first.get(), showing, &mut findings)
                    }
                }
            }
            Note::DuplicateDropped { id, stamp } => dropped.push((at, device, id, stamp)),
            _ => {}
        }
    }
    // What was dropped may be held back still, and shown only later.
    for (at, device, id, stamp) in dropped {
        if let Some((_, conversation, first)) = showings.get(&(device, id))
            && *first != stamp
            // What was lost with an earlier epoch may be sent again in a later one.
            && first.epoch == stamp.epoch
        {
            let words = Words(&history.cast);
            let (message, name) = (words.message(id, *conversation), words.device(device));
            let at_time = words.time(at);
            let what = format!(
                "{name} shows {message} as {first}, but it came again as {stamp} at {at_time}"
            );
            findings.add(at, Some(id), Some(device), what);
        }
    }
    findings.finish(anomalies);
}

fn shown_again(
    history: &History,
    device: DeviceId,
    id: MessageId,
    first: (u64, ConversationId, Stamp),
    again: (u64, ConversationId, Stamp),
    findings: &mut Findings,
) {
    let words = Words(&history.cast);
    let (at, conversation, stamp) = again;
    let what = format!(
        "{} showed {} as {} at {} and again as {stamp} in {} at {}",
        words.device(device),
        words.message(id, first.1),
        first.2,
        words.time(first.0),
        words.conversation(conversation),
        words.time(at),
    );
    findings.add(at, Some(id), Some(device), what);
}
