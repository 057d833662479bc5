//! Bugs of the connection servers.

use crate::crew::Bug;
use crate::stage::scene;
use courier::frame::Frame;
use courier::limits;
use courier::node::{Action, Event};
use courier::wire::{OfferOutcome, Rejection, SendOutcome, SessionEvent, Wire};
use courier_sim::cast::Part;
use courier_sim::scenario::Scenario;

fn gateway(part: Part) -> bool {
    part == Part::Gateway
}

/// ejabberd #417: what was written to a dead phone's socket counted as delivered.
pub fn a_gateway_takes_a_write_for_a_delivery() -> (Scenario, Bug) {
    let scene = scene(
        "90s",
        r#"
        fault  = [{ kind = "partition", from = "bob", to = "server-*", at = "0s", lasts = "60s" }]
        step   = [{ at = "2s", from = "alice", to = "bob" }]
        expect = { reached = ["parked", "redelivered", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(gateway, |gateway, now, event| {
        let offer = match &event {
            Event::Received { from, wire: Wire::Offer { session, conversation, term, batch } } => {
                let upto = batch.upto();
                let outcome = OfferOutcome::Acknowledged(upto);
                let (session, conversation, term) = (*session, *conversation, *term);
                let wire = Wire::Offered { session, conversation, term, outcome };
                Some(Action::Send { to: *from, wire })
            }
            _ => None,
        };
        let mut actions = gateway.sound(now, event);
        let written =
            |action: &Action| matches!(action, Action::Write { frame: Frame::Deliver { .. }, .. });
        if actions.iter().any(written) {
            actions.extend(offer);
        }
        actions
    });
    (scene, bug)
}

/// ejabberd 0e96d64e6: the recipient was told of a message that its sender got back as refused.
pub fn a_gateway_refuses_a_message_and_passes_its_beginning_on() -> (Scenario, Bug) {
    let body = "a long story ".repeat(limits::BODY_BYTES_MAX / 10);
    let happens = format!(
        r#"
        step   = [{{ at = "1s", from = "alice", to = "bob", body = "{body}" }}]
        expect = {{ reached = ["failed"] }}
        "#
    );
    let bug = Bug::in_steps_of(gateway, |gateway, now, mut event| {
        let mut refusal = Vec::new();
        if let Event::Arrived { conn, frame: Frame::Send(message) } = &mut event
            && message.body.len() > limits::BODY_BYTES_MAX
        {
            message.body = message.body[..limits::BODY_BYTES_MAX].into();
            let outcome = SendOutcome::Rejected(Rejection::TooLarge);
            let frame = Frame::Outcome { id: message.id, outcome };
            refusal.push(Action::Write { conn: *conn, frame });
        }
        let mut actions = gateway.sound(now, event);
        actions.append(&mut refusal);
        actions
    });
    (scene("60s", &happens), bug)
}

/// Signal-Server ab08a3a0e: a failed renewal of presence was only logged, and the client went on
/// without one.
pub fn a_gateway_reports_one_heartbeat_in_three() -> (Scenario, Bug<u32>) {
    let scene = scene("10m", r#"expect = { reached = ["presence-changed"] }"#);
    let bug = Bug::in_steps_of(gateway, |gateway, now, event| {
        let mut actions = gateway.sound(now, event);
        let reports = &mut gateway.memory;
        actions.retain(|action| {
            let report = matches!(action, Action::Send { wire: Wire::Seen { .. }, .. });
            *reports += u32::from(report);
            !report || *reports % 3 == 1
        });
        actions
    });
    (scene, bug)
}

/// interval/server #27, as its users saw it: the socket is alive, and its row is missing. Bob's
/// messages reach him when he asks for them, half a minute late.
pub fn a_gateway_publishes_what_happens_and_never_an_opening() -> (Scenario, Bug) {
    let scene = scene(
        "120s",
        r#"
        step   = [{ at = "10s", from = "alice", to = "bob" }]
        expect = { reached = ["row-written", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(gateway, |gateway, now, event| {
        let mut actions = gateway.sound(now, event);
        for action in &mut actions {
            if let Action::Send { wire: Wire::Publish { events, .. }, .. } = action {
                events.retain(|event| matches!(event, SessionEvent::Closed(_)));
            }
        }
        actions
    });
    (scene, bug)
}

/// emqx 7e2ca9e287: the kick of a stuck old session timed out, that was logged, and two sessions
/// lived on. Here Carol's phone comes back on the emptier server, and the other one does not
/// listen.
pub fn a_gateway_is_deaf_to_displacements() -> (Scenario, Bug) {
    let scene = scene(
        "120s",
        r#"
        fault  = [{ kind = "power-cut", target = "carol", at = "1s", lasts = "5s" }]
        step   = [{ at = "20s", from = "alice", to = "carol" }]
        expect = { reached = ["takeover-begun", "takeover-committed", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(gateway, |gateway, now, event| match event {
        Event::Received { wire: Wire::Displace(_), .. } => Vec::new(),
        event => gateway.sound(now, event),
    });
    (scene, bug)
}

/// A server that wakes up after it was declared dead, and dies of the news.
pub fn a_gateway_panics_when_it_is_declared_dead() -> (Scenario, Bug) {
    let scene = scene(
        "90s",
        r#"
        fault  = [{ kind = "pause", target = "server-2", at = "0s", lasts = "60s" }]
        step   = [{ at = "5s", from = "alice", to = "bob" }]
        expect = { reached = ["declared-dead", "stepped-down"] }
        "#,
    );
    let bug = Bug::in_steps_of(gateway, |gateway, now, event| {
        if let Event::Received { wire: Wire::DeclaredDead { incarnation }, .. } = event {
            panic!("{incarnation} is not dead");
        }
        gateway.sound(now, event)
    });
    (scene, bug)
}

/// A frame of a kind that a rewritten gateway no longer passed on: everything worked, and nobody
/// saw any more who had read what.
pub fn a_gateway_keeps_the_marks_to_itself() -> (Scenario, Bug) {
    let scene = scene(
        "60s",
        r#"
        step   = [
            { at = "1s", from = "alice", to = "bob" },
            { at = "10s", do = "read", from = "bob", to = "alice" },
        ]
        expect = { reached = ["read", "marked", "mark-shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(gateway, |gateway, now, event| {
        let mut actions = gateway.sound(now, event);
        actions
            .retain(|action| !matches!(action, Action::Write { frame: Frame::Marks { .. }, .. }));
        actions
    });
    (scene, bug)
}
