//! Which of several cleaners does the job: whoever has the lease on it.
//!
//! All of them hear the monitors, so that each could do it at once; one does. It asks the database
//! for the lease, and for longer while it has it. Before it has rows removed it asks once more and
//! acts on the answer, naming its term. Between the answer and the act it may stop running for
//! longer than the lease lasts, wherever it looks at a clock; so the registry compares terms, and a
//! cleaner that is refused steps back. A cleaner without others needs no lease, and has none.

use super::Cleaner;
use crate::design::Cron;
use crate::id::{HostId, Incarnation, Term};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::time::Instant;
use crate::wire::Wire;
use std::time::Duration;

/// What a cleaner knows of the lease on its job.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    /// Questions so far; only the last one's answer counts.
    ask: u64,
    asked_at: Instant,
    /// The term that it was given last, and until when that lasts by its own clock.
    held: Option<(Term, Instant)>,
}

/// Who does the job, as far as one cleaner is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// This one, and there is no other.
    Alone,
    /// This one, whatever the others do.
    Everybody,
    /// Whoever has the lease.
    Leased,
}

impl Cleaner {
    fn turn(&self) -> Turn {
        match self.config.design.cron {
            _ if self.config.directory.cleaners.len() == 1 => Turn::Alone,
            Cron::Everywhere => Turn::Everybody,
            Cron::Leased | Cron::LeasedWithoutFencing => Turn::Leased,
        }
    }

    /// Asks for the lease, if there is one, and again in time to renew it.
    pub(super) fn campaign(&mut self, now: Instant, out: &mut Outbox) {
        if self.turn() == Turn::Leased {
            self.ask(now, out);
            out.set_timer(Timer::Campaign, limits::JOB_RENEW_EVERY);
        }
    }

    fn ask(&mut self, now: Instant, out: &mut Outbox) {
        self.lease.ask += 1;
        self.lease.asked_at = now;
        let (ask, held) = (self.lease.ask, self.lease.held.map(|(term, _)| term));
        out.send(self.config.directory.database, Wire::LeaseJob { ask, held });
    }

    /// Whether it is its turn to begin something.
    pub(super) fn may_begin(&self, now: Instant) -> bool {
        match self.turn() {
            Turn::Alone | Turn::Everybody => true,
            Turn::Leased => self.lease.held.is_some_and(|(_, until)| now < until),
        }
    }

    /// Has an incarnation's rows removed; at once, or when the lease is confirmed.
    pub(super) fn sweep(
        &mut self,
        now: Instant,
        gateway: HostId,
        upto: Incarnation,
        out: &mut Outbox,
    ) {
        let registry = self.config.directory.registry;
        match self.turn() {
            Turn::Alone => out.send(registry, Wire::Sweep { gateway, upto }),
            Turn::Everybody => {
                out.send(registry, Wire::SweepUnder { gateway, upto, term: Term::UNLEASED })
            }
            Turn::Leased => self.ask(now, out),
        }
    }

    /// The database has answered. What was begun goes on: the answer says that it may.
    pub(super) fn leased(
        &mut self,
        ask: u64,
        term: Option<Term>,
        lasts: Duration,
        out: &mut Outbox,
    ) {
        if ask != self.lease.ask {
            return; // A later question is on its way.
        }
        self.lease.held = term.map(|term| (term, self.lease.asked_at + lasts));
        let Some(term) = term else { return self.step_back() };
        for (gateway, verdict) in self.verdicts.iter().filter(|(_, verdict)| !verdict.swept) {
            let (gateway, upto) = (*gateway, verdict.incarnation);
            out.send(self.config.directory.registry, Wire::SweepUnder { gateway, upto, term });
        }
    }

    /// The registry has refused: another one has the job.
    pub(super) fn overtaken(&mut self, newest: Term) {
        if self.lease.held.is_some_and(|(term, _)| term < newest) {
            self.lease.held = None;
            self.step_back();
        }
    }

    /// What it had begun is the other's to judge and to do. What was done stays done, and the
    /// gateway is still told of it.
    fn step_back(&mut self) {
        self.verdicts.retain(|_, verdict| verdict.swept);
    }
}
