//! The cleaner of the textbook: a job that is scheduled when one observer misses a gateway.
//!
//! "About 45 seconds after the death a cleaner removes its stale entries": the job runs when its
//! time has come, whether the gateway is back by then or not, and the gateway is not told. By
//! server name it deletes every row with that name, also those that devices have got since from the
//! gateway's next process. By user it deletes the keys of those who were on the gateway when it
//! died, as the registry then believed, wherever they are now: the blind delete after a reconnect's
//! upsert, as in interval/server #27. The sound cleaner is beside it, in [`super`].

use super::Cleaner;
use crate::design;
use crate::id::{HostId, Incarnation, UserId};
use crate::limits;
use crate::node::Outbox;
use crate::note::Note;
use crate::time::Instant;
use crate::wire::Wire;
use std::time::Duration;

/// A job that deletes a gateway's rows, or has.
#[derive(Clone, Debug)]
pub(super) struct Job {
    incarnation: Incarnation,
    due: Instant,
    /// Who was on it, if that matters and the registry has answered.
    users: Option<Vec<UserId>>,
    begun: bool,
    done: bool,
    asked_at: Instant,
}

impl Cleaner {
    /// One observer's word is enough. A gateway that has died again gets another job.
    pub(super) fn schedule(
        &mut self,
        now: Instant,
        gateway: HostId,
        incarnation: Incarnation,
        silent_for: Duration,
        out: &mut Outbox,
    ) {
        let rest = self.config.timing.clean_after.saturating_sub(silent_for);
        let died_at = now.0.saturating_sub(silent_for.as_nanos() as u64);
        if self.jobs.get(&gateway).is_some_and(|job| !job.done || died_at <= job.due.0) {
            return;
        }
        let (due, users) = (now + rest, None);
        let job = Job { incarnation, due, users, begun: false, done: false, asked_at: now };
        self.jobs.insert(gateway, job);
        if self.config.design.cleaner == design::Cleaner::ByUser {
            out.send(self.config.directory.registry, Wire::ListUsers { gateway });
        }
    }

    pub(super) fn users_on(&mut self, gateway: HostId, users: Vec<UserId>) {
        if let Some(job) = self.jobs.get_mut(&gateway) {
            job.users.get_or_insert(users);
        }
    }

    pub(super) fn has_jobs(&self) -> bool {
        self.jobs.values().any(|job| !job.done)
    }

    /// Carries out what is due, and asks again what was not answered.
    pub(super) fn carry_out(&mut self, now: Instant, out: &mut Outbox) {
        let registry = self.config.directory.registry;
        let by_user = self.config.design.cleaner == design::Cleaner::ByUser;
        for (gateway, job) in self.jobs.iter_mut().filter(|(_, job)| !job.done) {
            let (gateway, incarnation) = (*gateway, job.incarnation);
            let asked_lately = now.since(job.asked_at) < limits::RETRY_STORE;
            let due = now >= job.due;
            let question = match &job.users {
                None if by_user && !asked_lately => Wire::ListUsers { gateway },
                None if by_user => continue,
                _ if !due || (job.begun && asked_lately) => continue,
                Some(users) => Wire::DeleteUsers { gateway, incarnation, users: users.clone() },
                None => Wire::DeleteByServer { gateway, incarnation },
            };
            if due && !std::mem::replace(&mut job.begun, true) {
                out.note(Note::DeclaredDead { gateway, incarnation });
            }
            job.asked_at = now;
            out.send(registry, question);
        }
    }

    /// The registry has deleted so many rows.
    pub(super) fn carried_out(&mut self, gateway: HostId, rows: u32, out: &mut Outbox) {
        if let Some(job) = self.jobs.get_mut(&gateway).filter(|job| job.begun && !job.done) {
            job.done = true;
            out.note(Note::Cleaned { gateway, incarnation: job.incarnation, rows });
        }
    }
}
