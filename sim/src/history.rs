//! What happened, as the checkers may know it: facts in the order of true time.
//!
//! Roles state most of them as notes; the world adds what befell a host, the run what it did to the
//! fleet. Checkers read a history and nothing else, so a live system that writes the same facts
//! down is judged by the same checkers. [`History::ops`] is the same history in Jepsen's words.

use crate::cast::Cast;
use courier::id::HostId;
use courier::note::Note;
use serde::Serialize;
use std::sync::Arc;

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// True time since the start of the run, in nanoseconds.
    pub at: u64,
    pub fact: Fact,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// A role stated something.
    Noted { host: HostId, note: Note },
    /// Something befell a host.
    Host { host: HostId, life: Life },
    /// A fault of the plan began or ended.
    Fault { number: usize, phase: Phase, kind: String, hosts: Vec<HostId> },
    /// Every fault has ended; from now on the fleet must recover by itself.
    Healed,
    /// A role panicked while it took an event. The run ends here.
    Panicked { host: HostId, event: String, message: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Life {
    /// The process started, for the first time or again.
    Started,
    /// The process died; the host's kernel goes on.
    Crashed,
    /// Somebody ended the process in order.
    Stopped,
    /// The host lost its power.
    PowerCut,
    /// Nothing is left on its disk.
    Wiped,
    Paused,
    Resumed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Begins,
    Ends,
}

/// A run's history, and who took part in it.
#[derive(Clone, Debug)]
pub struct History {
    pub cast: Arc<Cast>,
    pub entries: Vec<Entry>,
    /// When the run ended, in nanoseconds.
    pub end: u64,
}

impl History {
    pub fn new(cast: Arc<Cast>) -> Self {
        Self { cast, entries: Vec::new(), end: 0 }
    }

    /// The notes, with their time and host.
    pub fn notes(&self) -> impl Iterator<Item = (u64, HostId, &Note)> {
        self.entries.iter().filter_map(|entry| match &entry.fact {
            Fact::Noted { host, note } => Some((entry.at, *host, note)),
            _ => None,
        })
    }

    /// When the faults were healed; the end if they never were.
    pub fn healed_at(&self) -> u64 {
        let healed = self.entries.iter().find(|entry| entry.fact == Fact::Healed);
        healed.map_or(self.end, |entry| entry.at)
    }

    /// The history as Jepsen writes one.
    pub fn ops(&self) -> impl Iterator<Item = Op<'_>> {
        self.entries.iter().enumerate().map(|(index, entry)| {
            let (kind, f, process) = match &entry.fact {
                Fact::Noted { host, note } => {
                    let (kind, f) = match note {
                        Note::Invoked { .. } => (OpType::Invoke, "send"),
                        Note::Accepted { .. } => (OpType::Ok, "send"),
                        Note::Failed { .. } | Note::Declined { .. } => (OpType::Fail, "send"),
                        Note::Shown { .. } => (OpType::Ok, "show"),
                        other => (OpType::Info, other.name()),
                    };
                    (kind, f, self.cast.name(*host).to_owned())
                }
                Fact::Host { host, .. } => (OpType::Info, "host", self.cast.name(*host).to_owned()),
                Fact::Fault { .. } => (OpType::Info, "fault", "nemesis".to_owned()),
                Fact::Healed => (OpType::Info, "heal", "nemesis".to_owned()),
                Fact::Panicked { host, .. } => {
                    (OpType::Info, "panic", self.cast.name(*host).to_owned())
                }
            };
            Op { index, time: entry.at, process, kind, f, value: &entry.fact }
        })
    }
}

/// One line of a Jepsen history.
#[derive(Debug, Serialize)]
pub struct Op<'a> {
    pub index: usize,
    /// Nanoseconds.
    pub time: u64,
    pub process: String,
    #[serde(rename = "type")]
    pub kind: OpType,
    pub f: &'a str,
    pub value: &'a Fact,
}

/// `Info` is a fact, or an operation whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpType {
    Invoke,
    Ok,
    Fail,
    Info,
}
