//! Scheduled jobs: once, and under the newest term only.

use super::*;
use courier::id::Term;

impl Story {
    /// The registry has cleaned up after a server's first incarnation.
    fn job_ran(self, server: &str, lease: u64) -> Story {
        let (leader, gateway) = (self.host("cleaner"), self.host(server));
        let (incarnation, term) = (Incarnation(1), Term(lease));
        self.note("registry", Note::JobRan { leader, gateway, incarnation, term })
    }

    fn job_refused(self, server: &str, lease: u64, newest: u64) -> Story {
        let (leader, gateway) = (self.host("cleaner"), self.host(server));
        let (term, newest) = (Term(lease), Term(newest));
        let incarnation = Incarnation(1);
        self.note("registry", Note::StaleLeader { leader, gateway, incarnation, term, newest })
    }
}

#[test]
fn each_job_once_under_terms_that_rise() {
    let story = story().at(11.0).job_ran("server-1", 1).job_ran("server-2", 1);
    story.at(12.0).job_ran("server-3", 2).job_refused("server-1", 1, 2).holds();
}

#[test]
fn a_job_that_runs_twice() {
    let what =
        story().at(11.0).job_ran("server-1", 1).at(12.0).job_ran("server-1", 1).breaks(OneRun);
    let expected = "the cleaning up after server-1 i1 ran once more at T+2.000s for cleaner, but \
                    it had run for cleaner at T+1.000s";
    assert_eq!(what, expected);
    story().at(11.0).job_ran("server-1", 1).job_ran("server-1", 2).breaks(OneRun);
}

#[test]
fn a_job_under_an_older_term() {
    let what =
        story().at(11.0).job_ran("server-1", 2).at(12.0).job_ran("server-2", 1).breaks(OneRun);
    let expected = "the cleaning up after server-2 i1 ran under t0.1 at T+2.000s for cleaner, but \
                    cleaner had overtaken it with t0.2 at T+1.000s";
    assert_eq!(what, expected);
}

#[test]
fn what_a_store_did_before_it_started_again_is_not_held_against_it() {
    let story = story().at(11.0).job_ran("server-1", 2).crashed("registry").at(12.0);
    story.started("registry").job_ran("server-1", 1).holds();
}
