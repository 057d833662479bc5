//! I3, in-order: every device shows a conversation in sequence order, the same for all.
//!
//! Four rules. A device's first showings in a conversation go up in the sequence (second ones are
//! `no-duplicate`'s). All devices show a message at the same place. What one device sends to one
//! conversation keeps the order in which it was written. And an answer comes after what it
//! answers: on every device that shows both, and in the sequence if they share a conversation.
//!
//! An answer counts as one only if its author could know what it answers: the device had shown it,
//! or written it itself. Otherwise the two are concurrent, and no order between them is owed.
//! Holes are no matter of order: a device may show 1 and 3, and `no-loss` asks for 2.

use super::findings::{Findings, Words};
use super::{Anomaly, Invariant};
use crate::history::History;
use courier::id::{ConversationId, DeviceId, MessageId, Stamp};
use courier::note::Note;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Something that a device wrote.
struct Invocation {
    at: u64,
    id: MessageId,
    conversation: ConversationId,
    /// What it answers, if its author knew that.
    answers: Option<MessageId>,
}

/// A device took a message into its conversation.
#[derive(Clone, Copy)]
struct Showing {
    /// Its rank among the notes: two showings may share an instant.
    rank: usize,
    at: u64,
    device: DeviceId,
    id: MessageId,
    conversation: ConversationId,
    stamp: Stamp,
}

#[derive(Default)]
struct Story {
    /// In the order of writing.
    invocations: Vec<Invocation>,
    invoked: BTreeMap<MessageId, ConversationId>,
    /// The first of each message on each device.
    showings: BTreeMap<(DeviceId, MessageId), Showing>,
    /// The last of each conversation on each device.
    last: BTreeMap<(DeviceId, ConversationId), Showing>,
    /// The first of each message on any device.
    first: BTreeMap<MessageId, Showing>,
    /// Where a message was first said to be, by anybody.
    places: BTreeMap<MessageId, Stamp>,
}

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let words = Words(&history.cast);
    let mut findings = Findings::of(Invariant::InOrder);
    let mut story = Story::default();
    for (rank, (at, host, note)) in history.notes().enumerate() {
        match *note {
            Note::Persisted { id, stamp, .. } | Note::Accepted { id, stamp, .. } => {
                story.places.entry(id).or_insert(stamp);
            }
            Note::Invoked { id, conversation, answers, .. } => {
                let answers = answers.filter(|answered| story.knows(id.device, *answered));
                story.invoked.insert(id, conversation);
                story.invocations.push(Invocation { at, id, conversation, answers });
            }
            Note::Shown { id, conversation, stamp } => {
                let Some(device) = history.cast.device_at(host) else { continue };
                let showing = Showing { rank, at, device, id, conversation, stamp };
                story.shown(words, showing, &mut findings);
            }
            _ => {}
        }
    }
    story.senders(words, &mut findings);
    story.answers(history, &mut findings);
    findings.finish(anomalies);
}

impl Story {
    /// Whether a device has shown a message or written it.
    fn knows(&self, device: DeviceId, id: MessageId) -> bool {
        let wrote = id.device == device && self.invoked.contains_key(&id);
        wrote || self.showings.contains_key(&(device, id))
    }

    fn shown(&mut self, words: Words<'_>, showing: Showing, findings: &mut Findings) {
        let Showing { device, id, conversation, stamp, .. } = showing;
        let Entry::Vacant(unshown) = self.showings.entry((device, id)) else { return };
        unshown.insert(showing);
        self.places.entry(id).or_insert(stamp);
        if let Some(last) = self.last.insert((device, conversation), showing)
            && stamp <= last.stamp
        {
            regressed(words, last, showing, findings);
        }
        let first = *self.first.entry(id).or_insert(showing);
        // What was lost with an earlier epoch may come again in a later one.
        if first.stamp != stamp && first.stamp.epoch == stamp.epoch {
            disagreed(words, first, showing, findings);
        }
    }

    /// What one device sends to one conversation keeps its order. An equal place is `sequence`'s.
    fn senders(&self, words: Words<'_>, findings: &mut Findings) {
        let mut latest: BTreeMap<(DeviceId, ConversationId), (Stamp, MessageId)> = BTreeMap::new();
        for Invocation { at, id, conversation, .. } in &self.invocations {
            let Some(stamp) = self.places.get(id) else { continue };
            let latest = latest.entry((id.device, *conversation)).or_insert((*stamp, *id));
            if *stamp < latest.0 {
                let what = format!(
                    "{} was written at {}, after {}, but took the place {stamp} before {}",
                    words.message(*id, *conversation),
                    words.time(*at),
                    latest.1,
                    latest.0,
                );
                findings.add(*at, Some(*id), Some(id.device), what);
            }
            *latest = (*latest).max((*stamp, *id));
        }
    }

    /// An answer comes after what it answers.
    fn answers(&self, history: &History, findings: &mut Findings) {
        let words = Words(&history.cast);
        for answer in &self.invocations {
            let Some(answered) = answer.answers else { continue };
            let conversation = self.invoked.get(&answered);
            if conversation == Some(&answer.conversation) {
                self.answer_placed_before(words, answer, answered, findings);
            }
            for device in history.cast.audience(answer.conversation) {
                let shown = |id| self.showings.get(&(device, id));
                if let (Some(early), Some(late)) = (shown(answer.id), shown(answered))
                    && early.rank < late.rank
                    && !self.was_replaced(answered, late.stamp)
                {
                    let what = format!(
                        "{} showed {} at {}, before {answered} that it answers, at {}",
                        words.device(device),
                        words.message(answer.id, answer.conversation),
                        words.time(early.at),
                        words.time(late.at),
                    );
                    findings.add(late.at, Some(answer.id), Some(device), what);
                }
            }
        }
    }

    /// It was lost with an earlier epoch, after it had been answered, and came again in this one.
    fn was_replaced(&self, id: MessageId, stamp: Stamp) -> bool {
        self.places.get(&id).is_some_and(|first| first.epoch < stamp.epoch)
    }

    fn answer_placed_before(
        &self,
        words: Words<'_>,
        answer: &Invocation,
        answered: MessageId,
        findings: &mut Findings,
    ) {
        let place = |id| self.places.get(&id);
        if let (Some(own), Some(other)) = (place(answer.id), place(answered))
            && own < other
            && own.epoch == other.epoch
        {
            let what = format!(
                "{} took the place {own}, before {answered} that it answers, at {other}",
                words.message(answer.id, answer.conversation),
            );
            findings.add(answer.at, Some(answer.id), None, what);
        }
    }
}

fn regressed(words: Words<'_>, last: Showing, showing: Showing, findings: &mut Findings) {
    let Showing { at, device, id, conversation, stamp, .. } = showing;
    let what = format!(
        "{} showed {} as {stamp} at {}, after {} as {} at {}",
        words.device(device),
        words.message(id, conversation),
        words.time(at),
        last.id,
        last.stamp,
        words.time(last.at),
    );
    findings.add(at, Some(id), Some(device), what);
}

fn disagreed(words: Words<'_>, first: Showing, showing: Showing, findings: &mut Findings) {
    let Showing { at, device, id, conversation, stamp, .. } = showing;
    let what = format!(
        "{} shows {} as {stamp}, {} as {}",
        words.device(device),
        words.message(id, conversation),
        words.device(first.device),
        first.stamp,
    );
    findings.add(at, Some(id), Some(device), what);
}
