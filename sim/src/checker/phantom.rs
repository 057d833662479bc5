//! I17, phantom: nothing is shown that was not sent, and nothing whose send definitely failed.
//!
//! Sent means `Invoked`, earlier in the history and to the same conversation: what turns up
//! elsewhere was not sent there. A definite failure is final in both directions of time: it
//! promises that nobody will show the message, and says that nobody has. An answer that never
//! came is no failure, and says nothing.

use super::findings::{Findings, Words};
use super::{Anomaly, Invariant};
use crate::history::History;
use courier::id::{ConversationId, DeviceId, MessageId};
use courier::note::Note;
use std::collections::BTreeMap;

/// A message was shown, or accepted: somebody takes it for sent.
struct Sign {
    at: u64,
    id: MessageId,
    conversation: ConversationId,
    device: Option<DeviceId>,
    /// `was shown by bob`, `was accepted`.
    how: String,
}

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let words = Words(&history.cast);
    let mut findings = Findings::of(Invariant::Phantom);
    let mut invoked: BTreeMap<MessageId, ConversationId> = BTreeMap::new();
    let failed = failures(history);
    for (at, host, note) in history.notes() {
        let (id, conversation, shown) = match *note {
            Note::Invoked { id, conversation, .. } => {
                invoked.entry(id).or_insert(conversation);
                continue;
            }
            Note::Shown { id, conversation, .. } => (id, conversation, true),
            Note::Accepted { id, conversation, .. } => (id, conversation, false),
            _ => continue,
        };
        let sent_to = invoked.get(&id).copied();
        let failed_at = failed.get(&id).copied();
        if sent_to == Some(conversation) && failed_at.is_none() {
            continue;
        }
        let device = history.cast.device_at(host);
        let how = match device.filter(|_| shown) {
            Some(device) => format!("was shown by {}", words.device(device)),
            None => "was accepted".to_owned(),
        };
        let sign = Sign { at, id, conversation, device, how };
        unsent(words, &sign, sent_to, &mut findings);
        refused(words, &sign, failed_at, &mut findings);
    }
    findings.finish(anomalies);
}

/// Sends that definitely failed, and when their devices first learned so.
fn failures(history: &History) -> BTreeMap<MessageId, u64> {
    let mut failed = BTreeMap::new();
    for (at, _, note) in history.notes() {
        if let Note::Failed { id, .. } = *note {
            failed.entry(id).or_insert(at);
        }
    }
    failed
}

fn unsent(words: Words<'_>, sign: &Sign, sent_to: Option<ConversationId>, findings: &mut Findings) {
    let Sign { at, id, conversation, device, how } = sign;
    let why = match sent_to {
        Some(sent_to) if sent_to == *conversation => return,
        Some(sent_to) => format!("had been sent to {}", words.conversation(sent_to)),
        None => "had not been sent".to_owned(),
    };
    let (message, time) = (words.message(*id, *conversation), words.time(*at));
    findings.add(*at, Some(*id), *device, format!("{message} {how} at {time} but {why}"));
}

fn refused(words: Words<'_>, sign: &Sign, failed_at: Option<u64>, findings: &mut Findings) {
    let Sign { at, id, conversation, device, how } = sign;
    let Some(failed_at) = failed_at else { return };
    let (message, time) = (words.message(*id, *conversation), words.time(*at));
    let what =
        format!("{message} {how} at {time} although its send failed at {}", words.time(failed_at));
    findings.add((*at).max(failed_at), Some(*id), *device, what);
}
