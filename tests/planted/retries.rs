//! Bugs of those who try again: in leases, in waits, in breakers.

use crate::crew::{Bug, Carrier};
use crate::stage::scene;
use courier::design::Retry;
use courier::id::{ConversationId, DeviceId, Term};
use courier::node::{Action, Event};
use courier::note::Note;
use courier::wire::Wire;
use courier_sim::cast::Part;
use courier_sim::scenario::Scenario;
use std::collections::BTreeMap;

/// The lease in force of each row, as the database has stated it.
type Leases = BTreeMap<(DeviceId, ConversationId), Term>;

/// oban #1488: a renewal matched the row by its name only, so a leader that had lost its lease in a
/// stall renewed whatever row there was, and went on. Here the database looks whether the row is
/// leased, and not to whom.
pub fn a_database_takes_the_word_of_a_holder_that_was_overtaken() -> (Scenario, Bug<Leases>) {
    let scene = scene(
        "90s",
        r#"
        fault  = [
            { kind = "partition", from = "bob", to = "server-*", at = "0s", lasts = "60s" },
            { kind = "pause", target = ["app-1", "app-2"], at = "4s", lasts = "30s" },
        ]
        step   = [{ at = "2s", from = "alice", to = "bob" }]
        expect = { reached = ["lease-expired", "redelivered", "stale-term", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(|part| part == Part::Database, takes_any_holders_word);
    (scene, bug)
}

fn takes_any_holders_word(
    database: &mut Carrier<Leases>,
    now: courier::time::Now,
    mut event: Event,
) -> Vec<Action> {
    let mut overtaken = None;
    if let Event::Received {
        wire:
            Wire::Renew { device, conversation, term }
            | Wire::Settle { device, conversation, term, .. }
            | Wire::Release { device, conversation, term, .. },
        ..
    } = &mut event
        && let Some(current) = database.memory.get(&(*device, *conversation))
    {
        overtaken = Some((*current, std::mem::replace(term, *current)));
    }
    let mut actions = database.sound(now, event);
    for action in &mut actions {
        match action {
            Action::Note(Note::LeaseGranted { device, conversation, term }) => {
                database.memory.insert((*device, *conversation), *term);
            }
            Action::Note(Note::LeaseEnded { device, conversation, .. }) => {
                database.memory.remove(&(*device, *conversation));
            }
            _ => {}
        }
        // It says whose word it took.
        if let Some((current, asked)) = overtaken
            && let Action::Note(Note::LeaseRenewed { term, .. } | Note::LeaseEnded { term, .. }) =
                action
            && *term == current
        {
            *term = asked;
        }
    }
    actions
}

/// emqx #15773: clients that came back at once, again and again, piled up on the cleanup of their
/// own earlier sessions.
pub fn a_device_reconnects_at_once() -> (Scenario, Bug) {
    let scene = scene(
        "60s",
        r#"
        fault  = [
            { kind = "crash", target = ["balancer", "server-2"], at = "1s", lasts = "20s" },
        ]
        expect = { reached = ["connect-failed", "connected"] }
        "#,
    );
    let bug = Bug::in_design_of(
        |part| matches!(part, Part::Client(_)),
        |design| design.retry = Retry::Immediate,
    );
    (scene, bug)
}

/// What the half-open state is for (Nygard, "Release It!", 2007): a breaker that only success
/// closes, for once it is open nothing can succeed.
/// Bob gets what was written to him all the same, by asking for it when he beats, and nobody
/// notices that the worker has given his server up.
pub fn a_breaker_has_no_half_open_state() -> (Scenario, Bug) {
    let scene = scene(
        "180s",
        r#"
        group  = [{ name = "team", members = ["alice", "bob", "carol"] }]
        fault  = [
            { kind = "partition", from = ["app-*", "worker-1", "db"], to = "server-2",
              at = "0s", lasts = "50s" },
        ]
        step   = [
            { at = "1s", from = "alice", to = "bob" },
            { at = "1s", from = "carol", to = "bob" },
            { at = "1s", from = "alice", to = "team" },
        ]
        expect = { reached = ["breaker-opened", "breaker-half-opened", "shown"] }
        "#,
    );
    let bug = Bug::in_design_of(
        |part| part == Part::Worker,
        |design| design.retry = Retry::BreakerNeverCloses,
    );
    (scene, bug)
}
