//! One run: a scheduled job runs once, and under the newest term only.
//!
//! Not among the seventeen, which are about messages: this is what a job owes whose effects outlive
//! it (a bill, a mail, a page at night). A store that carries the job out states for what it did so
//! and under which term. For one incarnation of a server that is once, whoever asks and however
//! often; and once it has acted under a term it never acts under an older one, whose holder was
//! overtaken and does not know. A store that has started again may have come back without the last
//! of what it knew: what it did before then is not held against it.

use super::findings::{Findings, Words};
use super::{Anomaly, Invariant};
use crate::history::{Fact, History, Life};
use courier::id::{HostId, Incarnation, Term};
use courier::note::Note;
use std::collections::BTreeMap;

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let mut runs = Runs {
        words: Words(&history.cast),
        ran: BTreeMap::new(),
        newest: BTreeMap::new(),
        findings: Findings::of(Invariant::OneRun),
    };
    for entry in &history.entries {
        match &entry.fact {
            Fact::Noted { host, note: Note::JobRan { leader, gateway, incarnation, term } } => {
                let run = Run { at: entry.at, leader: *leader, term: *term };
                runs.take(*host, (*gateway, *incarnation), run)
            }
            Fact::Host { host, life: Life::Started } => runs.forgets(*host),
            _ => {}
        }
    }
    runs.findings.finish(anomalies);
}

/// A job that was carried out: when, for whom, and under which term.
#[derive(Clone, Copy, Debug)]
struct Run {
    at: u64,
    leader: HostId,
    term: Term,
}

struct Runs<'h> {
    words: Words<'h>,
    /// What each store has done for which incarnation.
    ran: BTreeMap<(HostId, HostId, Incarnation), Run>,
    /// The newest term under which each store has acted.
    newest: BTreeMap<HostId, Run>,
    findings: Findings,
}

impl Runs<'_> {
    fn take(&mut self, store: HostId, of: (HostId, Incarnation), run: Run) {
        let (gateway, incarnation) = of;
        let newest = self.newest.get(&store).copied();
        if let Some(newer) = newest.filter(|newest| run.term < newest.term) {
            let but = format!(
                "{} had overtaken it with {} at {}",
                self.words.host(newer.leader),
                newer.term,
                self.words.time(newer.at),
            );
            self.found(of, run, &format!("under {}", run.term), &but);
        } else {
            self.newest.insert(store, run);
        }
        let earlier = self.ran.insert((store, gateway, incarnation), run);
        if let Some(earlier) = earlier {
            let but = format!(
                "it had run for {} at {}",
                self.words.host(earlier.leader),
                self.words.time(earlier.at),
            );
            self.found(of, run, "once more", &but);
        }
    }

    fn forgets(&mut self, store: HostId) {
        self.ran.retain(|(of, ..), _| *of != store);
        self.newest.remove(&store);
    }

    fn found(
        &mut self,
        (gateway, incarnation): (HostId, Incarnation),
        run: Run,
        how: &str,
        but: &str,
    ) {
        let what = format!(
            "the cleaning up after {} {incarnation} ran {how} at {} for {}, but {but}",
            self.words.host(gateway),
            self.words.time(run.at),
            self.words.host(run.leader),
        );
        self.findings.add(run.at, None, None, what);
    }
}
