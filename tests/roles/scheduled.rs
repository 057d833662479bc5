//! The scheduled job of several cleaners: a lease on it, a term with every order, and a registry
//! that compares terms.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::cleaner::{self, Cleaner};
use courier::database::{self, Database};
use courier::design::{Cron, Design};
use courier::directory::Directory;
use courier::disk::Disk;
use courier::id::{HostId, Incarnation, Term};
use courier::limits::{JOB_LEASE, JOB_RENEW_EVERY};
use courier::node::Action;
use courier::note::Note;
use courier::registry::{self, Registry};
use courier::wire::Wire;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Another cleaner.
const SECOND_CLEANER: HostId = HostId(8);

fn cleaner(cron: Cron) -> Script<Cleaner> {
    let cleaners = vec![CLEANER, SECOND_CLEANER];
    let directory = Arc::new(Directory { cleaners, ..directory() });
    let design = Design { cron, ..Design::default() };
    let config = cleaner::Config { directory, timing: Arc::default(), design };
    Script::new(CLEANER, Cleaner::boot(config)).without(&["Judge"])
}

fn leased(ask: u64, lease: Option<u64>) -> Wire {
    Wire::JobLeased { ask, term: lease.map(Term), lasts: JOB_LEASE }
}

fn suspected(t: &mut Script<Cleaner>) {
    let (gateway, incarnation) = (server(3), Incarnation(1));
    for observer in [monitor(1), monitor(2)] {
        let silent_for = Duration::from_secs(50);
        t.receives(observer, Wire::Suspect { gateway, incarnation, silent_for });
    }
}

fn judged(t: &Script<Cleaner>) -> bool {
    let judges = |action: &Action| matches!(action, Action::Note(Note::DeclaredDead { .. }));
    t.done.iter().any(judges)
}

#[test]
fn the_leader_asks_once_more_and_acts_on_the_answer() {
    let mut t = cleaner(Cron::Leased);
    t.boots().receives(DATABASE, leased(1, Some(7)));
    suspected(&mut t);
    t.pass(SECOND);
    t.beat("it still leads").receives(DATABASE, leased(2, Some(7)));
    t.receives(REGISTRY, Wire::Swept { gateway: server(3), upto: Incarnation(1), rows: 4 });
    t.beat("renewed").pass(JOB_RENEW_EVERY);
    golden!(t);
}

#[test]
fn who_does_not_lead_judges_nobody() {
    let mut t = cleaner(Cron::Leased);
    t.boots().receives(DATABASE, leased(1, None));
    suspected(&mut t);
    t.pass(SECOND);
    assert!(!judged(&t), "{}", t.trace());
    // An answer to an earlier question means nothing.
    t.pass(JOB_RENEW_EVERY).receives(DATABASE, leased(1, Some(7)));
    suspected(&mut t);
    t.pass(SECOND);
    assert!(!judged(&t), "{}", t.trace());
}

#[test]
fn a_leader_whose_lease_runs_out_begins_nothing_more() {
    let mut t = cleaner(Cron::Leased);
    t.boots().receives(DATABASE, leased(1, Some(7)));
    t.unseen(|t| {
        t.pass(JOB_LEASE);
    });
    suspected(&mut t);
    t.pass(SECOND);
    assert!(!judged(&t), "{}", t.trace());
}

#[test]
fn a_leader_that_was_overtaken_leaves_the_job_to_the_other() {
    let mut t = cleaner(Cron::Leased);
    t.boots().receives(DATABASE, leased(1, Some(7)));
    suspected(&mut t);
    t.pass(SECOND).receives(DATABASE, leased(2, Some(7)));
    let (gateway, upto) = (server(3), Incarnation(1));
    t.receives(REGISTRY, Wire::SweepRefused { gateway, upto, newest: Term(8) });
    t.beat("it leads no more, and says nothing more of server-3");
    suspected(&mut t);
    t.pass(4 * SECOND);
    golden!(t);
}

#[test]
fn everywhere_each_of_them_does_it() {
    let mut t = cleaner(Cron::Everywhere);
    t.boots();
    suspected(&mut t);
    t.pass(SECOND);
    let (gateway, upto) = (server(3), Incarnation(1));
    assert!(t.sent(&Wire::SweepUnder { gateway, upto, term: Term::UNLEASED }), "{}", t.trace());
}

fn database() -> Script<Database> {
    let mut t = Script::new(DATABASE, boot(&Disk::default()));
    t.unseen(|t| {
        t.boots().synced();
    });
    t
}

fn boot(disk: &Disk) -> Database {
    let design = Design::default();
    Database::boot(database::Config { directory: fleet(), timing: Arc::default(), design }, disk)
}

fn lease_job(ask: u64, held: Option<Term>) -> Wire {
    Wire::LeaseJob { ask, held }
}

#[test]
fn one_cleaner_at_a_time_has_the_lease_on_the_job() {
    let mut t = database();
    t.receives(CLEANER, lease_job(1, None)).receives(SECOND_CLEANER, lease_job(1, None));
    t.pass(10 * SECOND).receives(CLEANER, lease_job(2, Some(term(1))));
    t.beat("it was renewed").pass(10 * SECOND).receives(SECOND_CLEANER, lease_job(2, None));
    t.beat("a process that has taken the place of the holder has no lease yet");
    t.receives(CLEANER, lease_job(1, None));
    t.beat("it ran out").pass(5 * SECOND).receives(SECOND_CLEANER, lease_job(3, None));
    t.receives(CLEANER, lease_job(3, Some(term(1))));
    golden!(t);
}

#[test]
fn the_terms_of_a_restarted_database_are_newer() {
    let mut t = database();
    t.receives(CLEANER, lease_job(1, None));
    t.reboot(boot);
    t.beat("terms begin with a boot that is not durable yet").receives(CLEANER, lease_job(2, None));
    t.synced().receives(SECOND_CLEANER, lease_job(1, None));
    golden!(t);
}

fn registry(cron: Cron) -> Script<Registry> {
    let registry = Registry::boot(of(cron), &Disk::default());
    let mut t = Script::new(REGISTRY, registry).without(&["Flush"]);
    t.unseen(|t| {
        t.boots().synced();
    });
    t
}

fn of(cron: Cron) -> registry::Config {
    registry::Config { design: Design { cron, ..Design::default() } }
}

fn sweep(on: u32, lease: u64) -> Wire {
    Wire::SweepUnder { gateway: server(on), upto: Incarnation(1), term: Term(lease) }
}

fn runs(t: &Script<Registry>) -> usize {
    let ran = |action: &&Action| matches!(action, Action::Note(Note::JobRan { .. }));
    t.done.iter().filter(ran).count()
}

#[test]
fn a_job_runs_once_and_an_older_term_is_refused() {
    let mut t = registry(Cron::Leased);
    t.receives(CLEANER, sweep(3, 7)).receives(CLEANER, sweep(3, 7)).synced();
    t.beat("another one has taken over, and finds it done");
    t.receives(SECOND_CLEANER, sweep(3, 8)).synced();
    t.beat("the first one wakes up").receives(CLEANER, sweep(2, 7));
    t.reboot(|disk| Registry::boot(of(Cron::Leased), disk)).synced();
    t.beat("nor has a restart made it young again").receives(CLEANER, sweep(2, 7));
    t.receives(SECOND_CLEANER, sweep(3, 8)).synced();
    golden!(t);
    assert_eq!(runs(&t), 1);
}

#[test]
fn a_job_that_was_lost_with_the_registrys_tail_runs_again() {
    let mut t = registry(Cron::Leased);
    t.receives(CLEANER, sweep(3, 7));
    assert_eq!(runs(&t), 0, "nothing has happened that could not be lost");
    t.reboot(|disk| Registry::boot(of(Cron::Leased), disk)).synced();
    t.receives(CLEANER, sweep(3, 7)).synced();
    assert_eq!(runs(&t), 1, "{}", t.trace());
}

#[test]
fn a_registry_that_compares_no_terms_does_as_it_is_told() {
    for cron in [Cron::Everywhere, Cron::LeasedWithoutFencing] {
        let mut t = registry(cron);
        t.receives(SECOND_CLEANER, sweep(3, 8)).receives(CLEANER, sweep(3, 7)).synced();
        assert_eq!(runs(&t), 2, "{}", t.trace());
    }
}
