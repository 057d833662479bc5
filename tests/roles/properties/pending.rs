//! Pending rows under any interleaving of claims, settlements, releases, lost leases and crashes.

use crate::cast::*;
use crate::properties::config;
use crate::script::Script;
use courier::database::{Config, Database};
use courier::design::Design;
use courier::disk::{Disk, Record};
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
    Settle {
        holder: prop::sample::Index,
        short: u64,
    },
    Release {
        holder: prop::sample::Index,
        seconds: u64,
    },
    Renew {
        holder: prop::sample::Index,
    },
    /// The device's own word, about any place.
    Advance {
        seq: u64,
    },
    Wake,
    Pass {
        seconds: u64,
    },
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
        2 => any::<prop::sample::Index>().prop_map(|holder| Op::Renew { holder }),
        1 => (1..20u64).prop_map(|seq| Op::Advance { seq }),
        1 => Just(Op::Wake),
        3 => (1..8u64).prop_map(|seconds| Op::Pass { seconds }),
        6 => Just(Op::Sync),
        1 => Just(Op::Crash),
    ]
}

fn boot(disk: &Disk) -> Database {
    Database::boot(
        Config { directory: fleet(), timing: std::sync::Arc::default(), design: Design::default() },
        disk,
    )
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
    /// Every claim granted so far, with what its holder is to deliver now.
    granted: Vec<Claim>,
    /// The only term under which a settlement or a release may count.
    lease: Option<Lease>,
    /// Messages that have a place, and how many of these are durable.
    log: u64,
    head: u64,
    /// The device's cursor as the notes state it, and whether one stated less than before.
    cursor: u64,
    cursor_went_back: bool,
}

impl Rows {
    fn new() -> Self {
        let mut script = Script::new(DATABASE, boot(&Disk::default())).untold();
        script.boots().synced();
        Self {
            script,
            sent: 0,
            sent_at: BTreeMap::new(),
            granted: Vec::new(),
            lease: None,
            log: 0,
            head: 0,
            cursor: 1,
            cursor_went_back: false,
        }
    }

    fn step(&mut self, op: &Op) {
        let (device, conversation) = (u(2), pair(1, 2));
        let t = &mut self.script;
        match op {
            Op::Send => {
                self.sent += 1;
                self.sent_at.insert(self.sent, t.now());
                t.receives(
                    app(1),
                    Wire::Append { message: message(1, self.sent, conversation), number: None },
                );
            }
            Op::Claim => {
                t.receives(WORKER, Wire::Claim { most: 10 });
            }
            Op::Settle { holder, short } if !self.granted.is_empty() => {
                let Claim { term, batch, .. } = holder.get(&self.granted);
                let last = batch.upto().seq;
                let (term, upto) = (*term, stamp(last.saturating_sub(*short).max(1)));
                t.receives(WORKER, Wire::Settle { device, conversation, term, upto });
                let ends = t.now() + LEASE;
                if let Some(lease) = self.took(term) {
                    lease.ends = ends; // The holder goes on.
                }
            }
            Op::Release { holder, seconds } if !self.granted.is_empty() => {
                let term = holder.get(&self.granted).term;
                let retry_after = Duration::from_secs(*seconds);
                t.receives(
                    WORKER,
                    Wire::Release { device, conversation, term, retry_after, rejected: None },
                );
                if self.took(term).is_some() {
                    self.lease = None;
                }
            }
            Op::Renew { holder } if !self.granted.is_empty() => {
                let term = holder.get(&self.granted).term;
                t.receives(WORKER, Wire::Renew { device, conversation, term });
                let held = t.sent(&Wire::Renewed { device, conversation, term, held: true });
                let ends = t.now() + LEASE;
                match self.took(term) {
                    Some(lease) if held => lease.ends = ends,
                    Some(_) => self.lease = None, // Taken back.
                    None => assert!(!held, "an old term was renewed"),
                }
            }
            Op::Settle { .. } | Op::Release { .. } | Op::Renew { .. } => return,
            Op::Advance { seq } => {
                let upto = stamp(*seq);
                t.receives(server(1), Wire::Advance { device, conversation, upto });
            }
            Op::Wake => {
                t.receives(CONSUMER, Wire::Wake { devices: vec![device] });
            }
            Op::Pass { seconds } => {
                t.pass(Duration::from_secs(*seconds));
                return;
            }
            Op::Sync => {
                t.synced();
            }
            Op::Crash => {
                t.reboot(boot);
                self.lease = None;
                self.log = self.head;
            }
        }
        self.observe();
    }

    /// Whether the last step took this term's word; then it must be the current one.
    fn took(&mut self, term: Term) -> Option<&mut Lease> {
        let stale = |action: &Action| matches!(action, Action::Note(Note::StaleTerm { .. }));
        if self.script.last.iter().any(stale) {
            return None;
        }
        let lease = self.lease.as_mut();
        assert_eq!(lease.as_ref().map(|lease| lease.term), Some(term), "an old term counted");
        lease
    }

    fn observe(&mut self) {
        for action in self.script.last.clone() {
            match action {
                Action::Append(Record::Appended { stamp, .. }) => self.log = stamp.seq,
                // Nothing is undelivered any more: the row is gone, and its lease with it.
                Action::Append(Record::Cursor { next, .. }) if next > self.log => self.lease = None,
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
                    let current = self.lease.is_some_and(|lease| lease.term == term);
                    if next.is_empty() && current {
                        self.lease = None;
                    } else if !next.is_empty() {
                        assert!(current, "{term} goes on, and is over");
                        let mut granted = self.granted.iter_mut();
                        granted.find(|claim| claim.term == term).expect("granted").batch = next;
                    }
                }
                _ => {}
            }
        }
    }

    fn grant(&mut self, claim: Claim, since: Instant) {
        let now = self.script.now();
        if let Some(lease) = self.lease {
            assert!(now >= lease.ends, "{} was granted at {now} while {lease:?}", claim.term);
        }
        let newest = self.granted.iter().map(|claim| claim.term).max();
        assert!(newest < Some(claim.term), "{} is not new", claim.term);
        let places: Vec<u64> = claim.batch.entries.iter().map(|entry| entry.stamp.seq).collect();
        assert!(places[0] >= self.cursor, "claimed although acknowledged: {places:?}");
        assert!(places.windows(2).all(|two| two[1] == two[0] + 1), "not in order: {places:?}");
        assert!(*places.last().expect("never empty") <= self.head, "not durable: {places:?}");
        self.lease = Some(Lease { term: claim.term, ends: since + LEASE });
        self.granted.push(claim);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn one_lease_is_valid_at_a_time_and_nothing_undelivered_is_forgotten(
        ops in prop::collection::vec(op(), 0..60)
    ) {
        let mut rows = Rows::new();
        for op in &ops {
            rows.step(op);
        }
        // Every holder has died, the disk keeps up, and one worker is left.
        for _ in 0..2 {
            rows.step(&Op::Sync);
        }
        rows.step(&Op::Pass { seconds: 60 });
        let mut delivered = rows.cursor - 1;
        loop {
            let granted = rows.granted.len();
            rows.step(&Op::Claim);
            let Some(claim) = rows.granted.get(granted) else { break };
            prop_assert_eq!(claim.batch.entries[0].stamp.seq, delivered + 1);
            delivered = claim.batch.entries.last().expect("never empty").stamp.seq;
            let (term, device, conversation) = (claim.term, claim.device, claim.conversation);
            let wire = Wire::Settle { device, conversation, term, upto: stamp(delivered) };
            rows.script.receives(WORKER, wire);
            rows.observe();
            rows.step(&Op::Sync);
        }
        prop_assert_eq!(delivered, rows.head);
    }

    #[test]
    fn a_stated_cursor_never_goes_back(ops in prop::collection::vec(op(), 0..60)) {
        let mut rows = Rows::new();
        for op in &ops {
            rows.step(op);
        }
        prop_assert!(!rows.cursor_went_back);
    }
}
