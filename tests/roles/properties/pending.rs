//! Pending rows under any interleaving of claims, settlements, releases, lost leases and crashes.

use crate::cast::*;
use crate::properties::config;
use crate::script::Script;
use courier::database::{Config, Database};
use courier::disk::Disk;
use courier::id::Term;
use courier::limits::LEASE;
use courier::node::Action;
use courier::note::Note;
use courier::time::Instant;
use courier::wire::{Claim, Wire};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Op {
    Send,
    Claim,
    /// The holder of one of the terms granted so far settles: all of its claim, or less.
    Settle { holder: prop::sample::Index, short: u64 },
    Release { holder: prop::sample::Index, seconds: u64 },
    /// The device's own word, about any place.
    Advance { seq: u64 },
    Wake,
    Pass { seconds: u64 },
    Sync,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Send),
        4 => Just(Op::Claim),
        3 => (any::<prop::sample::Index>(), 0..2u64)
            .prop_map(|(holder, short)| Op::Settle { holder, short }),
        2 => (any::<prop::sample::Index>(), 0..20u64)
            .prop_map(|(holder, seconds)| Op::Release { holder, seconds }),
        1 => (1..20u64).prop_map(|seq| Op::Advance { seq }),
        1 => Just(Op::Wake),
        3 => (1..8u64).prop_map(|seconds| Op::Pass { seconds }),
        6 => Just(Op::Sync),
        1 => Just(Op::Crash),
    ]
}

fn boot(disk: &Disk) -> Database {
    Database::boot(Config { directory: fleet() }, disk)
}

/// A lease as its holder knows it.
#[derive(Clone, Copy, Debug)]
struct Lease {
    term: Term,
    ends: Instant,
}

struct Rows {
    script: Script<Database>,
    sent: u32,
    sent_at: BTreeMap<u32, Instant>,
    /// Every claim granted so far.
    granted: Vec<Claim>,
    /// The lease that must be valid now, if any.
    lease: Option<Lease>,
    /// Durable: the last message, and the device's cursor by the latest note.
    head: u64,
    cursor: u64,
    cursor_went_back: bool,
}

impl Rows {
    fn new() -> Self {
        let mut script = Script::new(DATABASE, boot(&Disk::default()));
        script.boots().synced();
        Self {
            script,
            sent: 0,
            sent_at: BTreeMap::new(),
            granted: Vec::new(),
            lease: None,
            head: 0,
            cursor: 1,
            cursor_went_back: false,
        }
    }

    fn step(&mut self, op: &Op) {
        let (device, conversation) = (u(2), pair(1, 2));
        match op {
            Op::Send => {
                self.sent += 1;
                self.sent_at.insert(self.sent, self.script.now());
                let message = message(1, self.sent, conversation);
                self.script.receives(app(1), Wire::Append { message });
            }
            Op::Claim => {
                self.script.receives(WORKER, Wire::Claim { most: 10 });
            }
            Op::Settle { holder, short } => {
                let Some(claim) = self.holder(holder) else { return };
                let last = claim.entries.last().expect("never empty").stamp.seq;
                let (term, upto) = (claim.term, stamp(last.saturating_sub(*short).max(1)));
                let valid = self.valid(term);
                self.script.receives(WORKER, Wire::Settle { device, conversation, term, upto });
                assert_eq!(!valid, self.stale(), "{term} is settled while {:?}", self.lease);
                if valid {
                    // The holder goes on: the lease begins again.
                    self.lease = Some(Lease { term, ends: self.script.now() + LEASE });
                }
            }
            Op::Release { holder, seconds } => {
                let Some(claim) = self.holder(holder) else { return };
                let (term, retry_after) = (claim.term, Duration::from_secs(*seconds));
                let valid = self.valid(term);
                self.script
                    .receives(WORKER, Wire::Release { device, conversation, term, retry_after });
                assert_eq!(!valid, self.stale(), "{term} is released while {:?}", self.lease);
                if valid {
                    self.lease = None;
                }
            }
            Op::Advance { seq } => {
                let upto = stamp(*seq);
                self.script.receives(server(1), Wire::Advance { device, conversation, upto });
            }
            Op::Wake => {
                self.script.receives(CONSUMER, Wire::Wake { devices: vec![device] });
            }
            Op::Pass { seconds } => {
                self.script.pass(Duration::from_secs(*seconds));
                return;
            }
            Op::Sync => {
                self.script.synced();
            }
            Op::Crash => {
                self.script.reboot(boot);
                self.lease = None;
            }
        }
        self.observe();
    }

    fn holder(&self, holder: &prop::sample::Index) -> Option<Claim> {
        (!self.granted.is_empty()).then(|| holder.get(&self.granted).clone())
    }

    /// Whether the database must take this term for the current one. A lease that has run out
    /// stays current until somebody else claims the row.
    fn valid(&self, term: Term) -> bool {
        self.lease.is_some_and(|lease| lease.term == term)
    }

    fn stale(&self) -> bool {
        self.script.last.iter().any(|a| matches!(a, Action::Note(Note::StaleTerm { .. })))
    }

    fn observe(&mut self) {
        for action in self.script.last.clone() {
            match action {
                Action::Note(Note::Persisted { stamp, .. }) => self.head = stamp.seq,
                Action::Note(Note::Settled { next, .. }) => {
                    self.cursor_went_back |= next < self.cursor;
                    self.cursor = self.cursor.max(next);
                }
                Action::Send { wire: Wire::Appended { id, claims, .. }, .. } => {
                    let since = self.sent_at[&id.counter];
                    claims.into_iter().for_each(|claim| self.grant(claim, since));
                }
                Action::Send { wire: Wire::Claimed { claims }, .. } => {
                    let now = self.script.now();
                    claims.into_iter().for_each(|claim| self.grant(claim, now));
                }
                Action::Send { wire: Wire::Settled { term, next, .. }, .. } => {
                    match next.last() {
                        Some(_) => self.granted.push(Claim { entries: next, ..claim(0, 1..=1) }),
                        None if self.valid(term) => self.lease = None,
                        None => {}
                    }
                    if let Some(last) = self.granted.last_mut().filter(|last| last.term == claim(0, 1..=1).term) {
                        last.term = term;
                    }
                }
                _ => {}
            }
        }
        // A device that has acknowledged everything has no row, and so no lease.
        if self.cursor > self.head && self.script.role.clone_is_without(&self.script) {
            self.lease = None;
        }
    }

    fn grant(&mut self, claim: Claim, since: Instant) {
        let now = self.script.now();
        if let Some(lease) = self.lease {
            assert!(now >= lease.ends, "{} was granted while {lease:?}", claim.term);
            assert!(claim.term > lease.term, "terms grow");
        }
        let newest = self.granted.iter().map(|claim| claim.term).max();
        assert!(newest < Some(claim.term), "{} is not new", claim.term);
        let first = claim.entries.first().expect("a claim is never empty").stamp.seq;
        let last = claim.entries.last().expect("a claim is never empty").stamp.seq;
        assert!(first >= self.cursor, "#{first} is acknowledged and claimed again");
        assert!(last <= self.head, "#{last} is claimed and not durable");
        self.lease = Some(Lease { term: claim.term, ends: since + LEASE });
        self.granted.push(claim);
    }
}
