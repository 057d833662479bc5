//! I11, claim: one lease per row at a time, and nothing done under an older term.
//!
//! The database states when it grants the right to deliver a row, when it lets it go on, and when
//! it is over. It may grant a row only while nobody holds it, and terms only rise. Whatever it does
//! for a holder (a renewal, which a settlement is too; a completion, a release, the taking back of
//! a job, the running out of a lease) must name the lease that is in force: a holder that was
//! overtaken is answered, and changes nothing.
//!
//! Leases live in the database's memory. When its process ends they are all over; their terms are
//! not forgotten.

use super::findings::{Findings, Words};
use super::{Anomaly, Invariant};
use crate::history::{Fact, History, Life};
use courier::id::{ConversationId, DeviceId, HostId, Term};
use courier::note::{LeaseEnd, Note};
use std::collections::BTreeMap;

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let mut leases = Leases {
        words: Words(&history.cast),
        rows: BTreeMap::new(),
        findings: Findings::of(Invariant::Claim),
    };
    for entry in &history.entries {
        match &entry.fact {
            Fact::Noted { host, note } => leases.noted(entry.at, *host, note),
            Fact::Host { host, life: Life::Started | Life::Crashed | Life::PowerCut } => {
                leases.forgotten(*host)
            }
            _ => {}
        }
    }
    leases.findings.finish(anomalies);
}

/// What a database has said of one row.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// The lease in force, and since when it is.
    held: Option<(Term, u64)>,
    newest: Term,
}

type Key = (HostId, DeviceId, ConversationId);

struct Leases<'h> {
    words: Words<'h>,
    rows: BTreeMap<Key, Row>,
    findings: Findings,
}

impl Leases<'_> {
    fn noted(&mut self, at: u64, host: HostId, note: &Note) {
        match *note {
            Note::LeaseGranted { device, conversation, term } => {
                self.granted(at, (host, device, conversation), term)
            }
            Note::LeaseRenewed { device, conversation, term } => {
                self.in_force(at, (host, device, conversation), term, "renewed");
            }
            Note::LeaseEnded { device, conversation, term, why } => {
                let how = match why {
                    LeaseEnd::Completed => "completed",
                    LeaseEnd::Released => "released",
                    LeaseEnd::TakenBack => "taken back",
                };
                self.ended(at, (host, device, conversation), term, how)
            }
            Note::LeaseExpired { device, conversation, term } => {
                self.ended(at, (host, device, conversation), term, "given up for expired")
            }
            _ => {}
        }
    }

    fn granted(&mut self, at: u64, key: Key, term: Term) {
        let earlier = self.rows.insert(key, Row { held: Some((term, at)), newest: term });
        let Some(Row { held, newest }) = earlier else { return };
        let wrong = match held {
            Some((other, since)) => {
                let since = self.words.time(since);
                Some(format!("{other} is in force since {since}"))
            }
            None if newest >= term => Some(format!("{newest} was there before")),
            None => None,
        };
        if let Some(wrong) = wrong {
            self.found(at, key, &format!("leased as {term}"), &wrong);
        }
    }

    /// Whether something was done under the lease in force.
    fn in_force(&mut self, at: u64, key: Key, term: Term, how: &str) -> bool {
        let held = self.rows.get(&key).and_then(|row| row.held);
        if held.is_some_and(|(current, _)| current == term) {
            return true;
        }
        let wrong = match held {
            Some((current, _)) => format!("{current} is in force"),
            None => "no lease is in force".to_owned(),
        };
        self.found(at, key, &format!("{how} under {term}"), &wrong);
        false
    }

    fn ended(&mut self, at: u64, key: Key, term: Term, how: &str) {
        if self.in_force(at, key, term, how)
            && let Some(row) = self.rows.get_mut(&key)
        {
            row.held = None;
        }
    }

    fn forgotten(&mut self, database: HostId) {
        self.rows.iter_mut().filter(|(key, _)| key.0 == database).for_each(|(_, row)| {
            row.held = None;
        });
    }

    fn found(&mut self, at: u64, (_, device, conversation): Key, what: &str, but: &str) {
        let what = format!(
            "the row of {} in {} was {what} at {}, but {but}",
            self.words.device(device),
            self.words.conversation(conversation),
            self.words.time(at),
        );
        self.findings.add(at, None, Some(device), what);
    }
}
