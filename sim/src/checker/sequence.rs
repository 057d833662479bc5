//! I4, sequence: a place names one message, a message has one place, and numbers never go back.
//!
//! A place is a conversation, an epoch and a sequence number; it is named when a message is
//! persisted, when its sender learns of it, and when a device shows it. All who name it must mean
//! the same. What is persisted in a conversation goes up: inside an epoch by the sequence number,
//! and never back to an epoch that is over (a store that was failed over and still writes).
//!
//! The same message persisted again at its own place is no regress: a database that recovered may
//! say so twice. Nor is a hole: which numbers are used is the writer's affair.

use super::findings::{Findings, Words};
use super::{Anomaly, Invariant};
use crate::history::History;
use courier::id::{ConversationId, MessageId, Stamp};
use courier::note::Note;
use std::collections::{BTreeMap, BTreeSet};

type Place = (ConversationId, Stamp);

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let mut sequence = Sequence {
        words: Words(&history.cast),
        names: BTreeMap::new(),
        places: BTreeMap::new(),
        persisted: BTreeSet::new(),
        heads: BTreeMap::new(),
        findings: Findings::of(Invariant::Sequence),
    };
    for (at, _, note) in history.notes() {
        match *note {
            Note::Accepted { id, conversation, stamp }
            | Note::Shown { id, conversation, stamp } => {
                sequence.named(at, id, (conversation, stamp));
            }
            Note::Persisted { id, conversation, stamp }
            | Note::MessageRestored { id, conversation, stamp } => {
                sequence.persisted(at, id, (conversation, stamp));
            }
            _ => {}
        }
    }
    sequence.findings.finish(anomalies);
}

struct Sequence<'h> {
    words: Words<'h>,
    names: BTreeMap<Place, MessageId>,
    /// Per epoch: when the sequence begins again, what was lost may be sent again.
    places: BTreeMap<(MessageId, u32), Place>,
    persisted: BTreeSet<(MessageId, u32)>,
    /// The last message persisted in each conversation.
    heads: BTreeMap<ConversationId, (Stamp, MessageId)>,
    findings: Findings,
}

impl Sequence<'_> {
    /// Somebody names a place. Returns whether it agrees with all that was said before.
    fn named(&mut self, at: u64, id: MessageId, place: Place) -> bool {
        let named = *self.names.entry(place).or_insert(id);
        let (conversation, stamp) = place;
        let placed = *self.places.entry((id, stamp.epoch)).or_insert(place);
        if named != id {
            let what = format!(
                "{stamp} of {} names {named}, and at {} also {id}",
                self.words.conversation(conversation),
                self.words.time(at),
            );
            self.findings.add(at, Some(id), None, what);
        }
        if placed != place {
            let what = format!(
                "{} has the place {} in {}, and at {} also {stamp} in {}",
                self.words.message(id, placed.0),
                placed.1,
                self.words.conversation(placed.0),
                self.words.time(at),
                self.words.conversation(conversation),
            );
            self.findings.add(at, Some(id), None, what);
        }
        named == id && placed == place
    }

    /// What was persisted before, or is at odds with what was said before, is no regress as well.
    fn persisted(&mut self, at: u64, id: MessageId, place: Place) {
        let agrees = self.named(at, id, place);
        if !self.persisted.insert((id, place.1.epoch)) || !agrees {
            return;
        }
        let (conversation, stamp) = place;
        let head = self.heads.entry(conversation).or_insert((stamp, id));
        if stamp < head.0 {
            let what = format!(
                "{} was persisted as {stamp} at {}, after {} had been as {}",
                self.words.message(id, conversation),
                self.words.time(at),
                head.1,
                head.0,
            );
            self.findings.add(at, Some(id), None, what);
        }
        *head = (*head).max((stamp, id));
    }
}
