//! The lease on the scheduled job: which of several cleaners does what is to be done once.
//!
//! Asked by cleaners. A lease is granted under a term that is newer than all before, renewed by
//! whoever names that term, and over when it was not renewed in time. It keeps others from trying;
//! it does not keep an earlier holder from acting late, which is why whoever is acted upon compares
//! terms. Leases are not on disk: a database that has restarted grants a new one, and its terms are
//! newer than those of every earlier boot.

use super::Database;
use crate::id::{HostId, Term};
use crate::limits;
use crate::node::Outbox;
use crate::note::Note;
use crate::time::{Instant, Now};
use crate::wire::Wire;

/// Who has the scheduled job, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    holder: HostId,
    term: Term,
    until: Instant,
}

impl Database {
    pub(super) fn lease_job(
        &mut self,
        now: Now,
        from: HostId,
        ask: u64,
        held: Option<Term>,
        out: &mut Outbox,
    ) {
        if !self.serving() {
            return; // Terms begin with a boot number that is not durable yet. It will ask again.
        }
        let lasts = limits::JOB_LEASE;
        let until = now.mono + lasts;
        let in_force = self.job.filter(|lease| now.mono < lease.until);
        let granted = match in_force {
            Some(lease) if lease.holder == from && held == Some(lease.term) => Some(lease.term),
            // Another's; or its own host's, of a process that has died.
            Some(_) => None,
            None => {
                let term = self.next_term();
                out.note(Note::LeaderElected { leader: from, term });
                Some(term)
            }
        };
        if let Some(term) = granted {
            self.job = Some(Lease { holder: from, term, until });
        }
        out.send(from, Wire::JobLeased { ask, term: granted, lasts });
    }
}
