//! Sweeps as a scheduled job: once for each incarnation, and under the newest term only.
//!
//! A lease keeps several cleaners from doing the same job as long as all of them run and agree on
//! the time. One that stopped running in the middle of its job wakes up as if nothing had happened;
//! its lease has run out, another has done the job, and it goes on. So whoever is acted upon looks
//! at the term, the fencing token of Kleppmann (How to do distributed locking, 2016), and refuses
//! an older one than it has seen. [`Cron::LeasedWithoutFencing`] is what a lock in Redis gives,
//! and [`Cron::Everywhere`] what a `@Scheduled` method does that is deployed three times: the
//! registry does as it is told, as often as it is told.

use super::Registry;
use crate::design::Cron;
use crate::disk::Record;
use crate::id::{HostId, Incarnation, Term};
use crate::node::Outbox;
use crate::note::Note;
use crate::wire::Wire;

/// What is to be done with a request to run the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Run,
    /// It has been done: whoever asks takes it over from one that did not hear the answer.
    Done,
    Stale,
}

fn request(cron: Cron, newest: Term, term: Term, done: bool) -> Request {
    match cron {
        Cron::Leased if term < newest => Request::Stale,
        Cron::Leased if done => Request::Done,
        Cron::Leased | Cron::Everywhere | Cron::LeasedWithoutFencing => Request::Run,
    }
}

impl Registry {
    pub(super) fn sweep_under(
        &mut self,
        leader: HostId,
        gateway: HostId,
        upto: Incarnation,
        term: Term,
        out: &mut Outbox,
    ) {
        let newest = self.job_term;
        let done = self.swept.get(&gateway).is_some_and(|floor| upto <= *floor);
        let request = request(self.design.cron, newest, term, done);
        if request == Request::Stale {
            out.note(Note::StaleLeader { leader, gateway, incarnation: upto, term, newest });
            out.send(leader, Wire::SweepRefused { gateway, upto, newest });
            return;
        }
        if term > newest {
            self.job_term = term;
            self.record(Record::JobTerm(term), out);
        }
        let (rows, ran) = match request {
            Request::Run => {
                let rows = self.sweep(gateway, upto, out);
                (rows, Some(Note::JobRan { leader, gateway, incarnation: upto, term }))
            }
            Request::Done | Request::Stale => (0, None),
        };
        let answer = Wire::Swept { gateway, upto, rows };
        self.swept_at.push_back((self.appended, leader, answer, ran));
        out.sync();
    }
}
