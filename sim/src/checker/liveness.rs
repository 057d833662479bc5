//! I12, liveness: once the faults are healed, all that can complete does so within its bound.
//!
//! Three things are owed. A send is answered, with yes or no. A message that was accepted is shown
//! on every device of its audience. A device that can connect is connected when the run ends.
//!
//! The clock of each starts at the latest of: the heal, the moment it became owed (the send, the
//! acceptance, the loss of the connection), and the moment the device became able to do its part.
//! A device that is switched off, paused or in flight mode owes nothing; one that comes back has
//! the whole bound again. What is still within its bound when the run ends is not judged, and nor
//! is a run that never healed or ended sooner than the bound after it. What is never shown is
//! `no-loss`'s; here it is late, or it is a send without an answer.

use super::findings::{Findings, Words, nanos, seconds};
use super::standing::Devices;
use super::{Anomaly, Bounds, Invariant};
use crate::history::{Fact, History};
use courier::id::{ConversationId, DeviceId, MessageId};
use courier::note::Note;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) fn check(history: &History, bounds: &Bounds, anomalies: &mut Vec<Anomaly>) {
    let drain = nanos(bounds.drain);
    let Some(healed) = healed_at(history) else { return };
    if history.end < healed.saturating_add(drain) {
        return;
    }
    let mut findings = Findings::of(Invariant::Liveness);
    let (completions, unanswered, devices) = follow(history);
    let words = Words(&history.cast);
    for completion in completions {
        let since = completion.owed_since(healed);
        if completion.at.saturating_sub(since) > drain {
            late(words, &completion, since, drain, &mut findings);
        }
    }
    for (id, (invoked_at, conversation)) in unanswered {
        let device = devices.at(history.cast.host_of(id.device));
        let Some(able_since) = device.able_since() else { continue };
        let since = healed.max(invoked_at).max(able_since);
        if history.end.saturating_sub(since) > drain {
            let message = words.message(id, conversation);
            let (sent, time) = (words.time(invoked_at), words.time(since));
            let what = format!("{message} was sent at {sent}, and since {time} is not answered");
            findings.add(since.saturating_add(drain), Some(id), Some(id.device), what);
        }
    }
    for (host, device) in history.cast.devices() {
        let Some(astray_since) = devices.at(host).astray_since() else { continue };
        let since = healed.max(astray_since);
        if history.end.saturating_sub(since) > drain {
            let (name, time) = (words.device(device), words.time(since));
            let what = format!("{name} could connect since {time} and is not connected");
            findings.add(since.saturating_add(drain), None, Some(device), what);
        }
    }
    findings.finish(anomalies);
}

/// How long the backlog took: the longest that any showing or answer of a message sent before the
/// heal came after the heal, or after its device came back if that was later. Zero if nothing was
/// left, or nothing was healed.
pub fn drain(history: &History) -> Duration {
    let Some(healed) = healed_at(history) else { return Duration::ZERO };
    let (completions, ..) = follow(history);
    let backlog = completions.iter().filter(|completion| completion.invoked_before(healed));
    let took = backlog.map(|completion| {
        completion.at.saturating_sub(healed.max(completion.able_since.unwrap_or(0)))
    });
    Duration::from_nanos(took.max().unwrap_or(0))
}

/// Unlike [`History::healed_at`], none if the faults never were.
fn healed_at(history: &History) -> Option<u64> {
    let healed = history.entries.iter().find(|entry| entry.fact == Fact::Healed);
    healed.map(|entry| entry.at)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Answered,
    Shown,
}

/// Something that was owed and came.
struct Completion {
    step: Step,
    at: u64,
    id: MessageId,
    conversation: ConversationId,
    device: DeviceId,
    invoked_at: Option<u64>,
    /// When the message was accepted, if that was before.
    accepted_at: Option<u64>,
    /// Since when the device that did it had been able to.
    able_since: Option<u64>,
}

impl Completion {
    fn invoked_before(&self, healed: u64) -> bool {
        self.invoked_at.is_some_and(|at| at <= healed)
    }

    /// Since when it was owed. A showing is owed only once the message is accepted: until then it
    /// cannot be late.
    fn owed_since(&self, healed: u64) -> u64 {
        let owed = match self.step {
            Step::Answered => self.invoked_at,
            Step::Shown => self.accepted_at,
        };
        owed.map_or(self.at, |owed| owed.max(healed).max(self.able_since.unwrap_or(0)))
    }
}

type Unanswered = BTreeMap<MessageId, (u64, ConversationId)>;

/// Everything that completed, in order; the sends that did not; and the devices at the end.
fn follow(history: &History) -> (Vec<Completion>, Unanswered, Devices) {
    let mut devices = Devices::of(&history.cast);
    let mut messages = Messages::default();
    let mut completions = Vec::new();
    for entry in &history.entries {
        devices.take(entry);
        let Fact::Noted { host, note } = &entry.fact else { continue };
        let Some(device) = history.cast.device_at(*host) else { continue };
        let able = devices.at(*host).able_since();
        completions.extend(messages.take(entry.at, device, able, note));
    }
    (completions, messages.unanswered, devices)
}

#[derive(Default)]
struct Messages {
    unanswered: Unanswered,
    invoked: BTreeMap<MessageId, u64>,
    accepted: BTreeMap<MessageId, u64>,
    shown: BTreeSet<(MessageId, DeviceId)>,
}

impl Messages {
    /// Takes a device's note. The first answer of a send and the first showing of a message on a
    /// device complete something; what is said again does not.
    fn take(
        &mut self,
        at: u64,
        device: DeviceId,
        able_since: Option<u64>,
        note: &Note,
    ) -> Option<Completion> {
        let (step, id, conversation) = match *note {
            Note::Invoked { id, conversation, .. } => {
                self.invoked.entry(id).or_insert(at);
                self.unanswered.insert(id, (at, conversation));
                return None;
            }
            Note::Accepted { id, conversation, .. } => {
                self.accepted.entry(id).or_insert(at);
                self.unanswered.remove(&id)?;
                (Step::Answered, id, conversation)
            }
            Note::Failed { id, .. } => {
                let (_, conversation) = self.unanswered.remove(&id)?;
                (Step::Answered, id, conversation)
            }
            Note::Shown { id, conversation, .. } if self.shown.insert((id, device)) => {
                (Step::Shown, id, conversation)
            }
            _ => return None,
        };
        let invoked_at = self.invoked.get(&id).copied();
        let accepted_at = self.accepted.get(&id).copied();
        Some(Completion { step, at, id, conversation, device, invoked_at, accepted_at, able_since })
    }
}

fn late(
    words: Words<'_>,
    completion: &Completion,
    since: u64,
    drain: u64,
    findings: &mut Findings,
) {
    let Completion { step, at, id, conversation, device, .. } = *completion;
    let how = match step {
        Step::Answered => "was answered".to_owned(),
        Step::Shown => format!("was shown by {}", words.device(device)),
    };
    let what = format!(
        "{} {how} at {}, {} after it could have been at {}; the bound is {}",
        words.message(id, conversation),
        words.time(at),
        seconds(at.saturating_sub(since)),
        words.time(since),
        seconds(drain),
    );
    findings.add(at, Some(id), Some(device), what);
}
