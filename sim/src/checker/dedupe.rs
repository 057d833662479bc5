//! I16, dedupe: a message is stored once, and a resend is recognised only if its original is there.
//!
//! A message may be persisted a second time only in a later epoch of the sequence, when the first
//! place was lost. A resend that was answered with the original's place, and accepted for it, must
//! have an original that was persisted.

use super::findings::{Findings, Words};
use super::{Anomaly, Invariant};
use crate::history::History;
use courier::id::{ConversationId, MessageId, Stamp};
use courier::note::Note;
use std::collections::BTreeMap;

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let words = Words(&history.cast);
    let mut findings = Findings::of(Invariant::Dedupe);
    let mut persisted: BTreeMap<MessageId, (u64, Stamp)> = BTreeMap::new();
    let mut suppressed: BTreeMap<MessageId, u64> = BTreeMap::new();
    let mut accepted: BTreeMap<MessageId, ConversationId> = BTreeMap::new();
    for (at, _, note) in history.notes() {
        match *note {
            Note::Persisted { id, conversation, stamp }
            | Note::MessageRestored { id, conversation, stamp } => {
                let earlier = persisted.insert(id, (at, stamp));
                if let Some((first, place)) =
                    earlier.filter(|(_, place)| *place != stamp && place.epoch == stamp.epoch)
                {
                    let what = format!(
                        "{} was persisted at {} as {place}, and again at {} as {stamp}",
                        words.message(id, conversation),
                        words.time(first),
                        words.time(at),
                    );
                    findings.add(at, Some(id), None, what);
                }
            }
            Note::Deduplicated { id, .. } => {
                suppressed.entry(id).or_insert(at);
            }
            Note::Accepted { id, conversation, .. } => {
                accepted.insert(id, conversation);
            }
            _ => {}
        }
    }
    for (id, at) in suppressed {
        let Some(conversation) = accepted.get(&id) else { continue };
        if !persisted.contains_key(&id) {
            let what = format!(
                "a resend of {} was taken for a repetition at {}; nothing was ever persisted",
                words.message(id, *conversation),
                words.time(at),
            );
            findings.add(at, Some(id), None, what);
        }
    }
    findings.finish(anomalies);
}
