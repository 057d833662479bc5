//! Bugs of the database and the registry.

use crate::crew::{Bug, Carrier};
use crate::stage::scene;
use courier::disk::Record;
use courier::id::{DeviceId, Session};
use courier::node::{Action, Event};
use courier::note::{Note, Removal};
use courier::wire::{SendOutcome, SessionEvent, Wire};
use courier_sim::cast::Part;
use courier_sim::scenario::Scenario;
use std::collections::BTreeMap;

fn database(part: Part) -> bool {
    part == Part::Database
}

fn registry(part: Part) -> bool {
    part == Part::Registry
}

/// GitHub's outage of 2018-10-21: the failover lost commits that were visible already, and their
/// ids were given out again. Alice's phone is gone, so nobody repeats the lost message.
pub fn a_database_gives_a_lost_number_out_again() -> (Scenario, Bug) {
    let scene = scene(
        "60s",
        r#"
        fault  = [
            { kind = "one-way", from = "db", to = "app-*", at = "0s", lasts = "10s" },
            { kind = "power-cut", target = "alice", at = "3s", permanent = true },
            { kind = "crash", target = "db", at = "4s", lasts = "2s" },
        ]
        step   = [
            { at = "1s", from = "alice", to = "bob" },
            { at = "12s", from = "bob", to = "alice" },
        ]
        expect = { reached = ["persisted", "accepted", "shown"] }
        "#,
    );
    let bug = Bug::in_disks_of(database, |disk| {
        let appended = |record: &Record| matches!(record, Record::Appended { .. });
        if let Some(last) = disk.records.iter().rposition(appended) {
            disk.records.remove(last);
        }
    });
    (scene, bug)
}

/// eventstore #3: numbers were drawn in one order and became visible in another.
pub fn a_database_commits_a_later_number_first() -> (Scenario, Bug) {
    let scene = scene(
        "60s",
        r#"
        network = { fsync = { median = "800ms", p99 = "1s" } }
        group   = [{ name = "team", members = ["alice", "bob", "carol"] }]
        step    = [
            { at = "1s", from = "alice", to = "team" },
            { at = "1s", from = "bob", to = "team" },
            { at = "1s", from = "carol", to = "team" },
        ]
        expect  = { reached = ["persisted", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(database, |database, now, event| {
        let (mut commits, rest): (Vec<Action>, Vec<Action>) = database
            .sound(now, event)
            .into_iter()
            .partition(|action| matches!(action, Action::Note(Note::Persisted { .. })));
        commits.reverse();
        commits.extend(rest);
        commits
    });
    (scene, bug)
}

/// synapse #17127: the sender was answered "ok" whatever became of the write.
pub fn a_database_answers_before_its_disk_does() -> (Scenario, Bug) {
    let scene = scene(
        "60s",
        r#"
        network = { fsync = { median = "800ms", p99 = "1s" } }
        step    = [{ at = "1s", from = "alice", to = "bob" }]
        expect  = { reached = ["accepted", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(database, |database, now, event| {
        let asker = match &event {
            Event::Received { from, wire: Wire::Append { .. } } => Some(*from),
            _ => None,
        };
        let mut actions = database.sound(now, event);
        let appended = actions.iter().find_map(|action| match action {
            Action::Append(Record::Appended { message, stamp, .. }) => Some((message.id, *stamp)),
            _ => None,
        });
        if let (Some(to), Some((id, stamp))) = (asker, appended) {
            let (outcome, claims) = (SendOutcome::Accepted(stamp), Vec::new());
            actions.push(Action::Send { to, wire: Wire::Appended { id, outcome, claims } });
        }
        actions
    });
    (scene, bug)
}

/// tinode #818: after a restart the same number was tried and refused for ever, and the topic took
/// no more writes.
pub fn a_database_that_has_restarted_takes_no_message() -> (Scenario, Bug) {
    let scene = scene(
        "60s",
        r#"
        fault  = [{ kind = "crash", target = "db", at = "5s", lasts = "2s" }]
        step   = [
            { at = "1s", from = "alice", to = "bob" },
            { at = "10s", from = "alice", to = "bob" },
        ]
        expect = { reached = ["accepted", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(database, |database, now, event| match event {
        Event::Received { wire: Wire::Append { .. }, .. } if database.boots > 1 => Vec::new(),
        event => database.sound(now, event),
    });
    (scene, bug)
}

/// The newest session of each device, as the registry has heard.
type Rows = BTreeMap<DeviceId, Session>;

/// Signal-Server 8c7975d89: the late close of a device's old connection deleted the entry of its
/// new one. The row's device is compared, not its epoch.
pub fn the_close_of_an_older_session_removes_a_newer_row() -> (Scenario, Bug<Rows>) {
    let scene = scene(
        "90s",
        r#"
        fault  = [{ kind = "pause", target = "server-2", at = "0s", lasts = "60s" }]
        step   = [{ at = "70s", from = "alice", to = "bob" }]
        expect = { reached = ["row-fenced", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(registry, |registry: &mut Carrier<Rows>, now, mut event| {
        // What was asked to be removed, and what is removed in its place.
        let mut mistaken = Vec::new();
        if let Event::Received { wire: Wire::Apply { events, .. }, .. } = &mut event {
            for event in events {
                let held = registry.memory.entry(event.session().device);
                match event {
                    SessionEvent::Opened(session) => {
                        let newest = held.or_insert(*session);
                        *newest = if newest.epoch > session.epoch { *newest } else { *session };
                    }
                    SessionEvent::Closed(session) => {
                        let newest = *held.or_insert(*session);
                        mistaken.push((newest, *session));
                        *session = newest;
                    }
                }
            }
        }
        let mut actions = registry.sound(now, event);
        for action in &mut actions {
            if let Action::Note(Note::RowRemoved { session, why: Removal::Closed }) = action
                && let Some((_, asked)) = mistaken.iter().find(|(removed, _)| removed == session)
            {
                *session = *asked;
            }
        }
        actions
    });
    (scene, bug)
}
