//! I10, persist-ack: nothing is acknowledged before it is durable.
//!
//! The sender's acknowledgement is `Accepted`; it must come after the database noted the same
//! message as `Persisted`, or found it on its disk when it booted, at the same place. What others
//! see is an acknowledgement too: a device that did not write the message must not show it before
//! it is durable, or a crash of the database would take back what people have read. After means
//! later in the history, whatever the clocks say. The author's own device may show what it wrote.

use super::findings::{Findings, Words};
use super::{Anomaly, Invariant};
use crate::history::History;
use courier::id::{MessageId, Stamp};
use courier::note::Note;
use std::collections::BTreeMap;

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let words = Words(&history.cast);
    let mut findings = Findings::of(Invariant::PersistAck);
    // What was lost with an epoch of the sequence may be persisted again in the next.
    let mut durable: BTreeMap<MessageId, Vec<Stamp>> = BTreeMap::new();
    for (at, host, note) in history.notes() {
        match *note {
            Note::Persisted { id, stamp, .. } | Note::MessageRestored { id, stamp, .. } => {
                durable.entry(id).or_default().push(stamp);
            }
            Note::Accepted { id, conversation, stamp }
                if !durable.get(&id).is_some_and(|places| places.contains(&stamp)) =>
            {
                let message = words.message(id, conversation);
                let time = words.time(at);
                let found = match durable.get(&id) {
                    Some(others) => format!("durable as {}", others[0]),
                    None => "not durable yet".to_owned(),
                };
                let what = format!("{message} was accepted as {stamp} at {time}, but was {found}");
                findings.add(at, Some(id), Some(id.device), what);
            }
            Note::Shown { id, conversation, stamp } if !durable.contains_key(&id) => {
                let device = history.cast.device_at(host);
                if let Some(device) = device.filter(|device| *device != id.device) {
                    let what = format!(
                        "{} showed {} as {stamp} at {}, but it was not durable yet",
                        words.device(device),
                        words.message(id, conversation),
                        words.time(at),
                    );
                    findings.add(at, Some(id), Some(device), what);
                }
            }
            _ => {}
        }
    }
    findings.finish(anomalies);
}
