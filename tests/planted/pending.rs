//! Bugs of what is pending: nobody is told of it, it goes too early, it is stored twice.

use crate::crew::Bug;
use crate::stage::scene;
use courier::design::Dedupe;
use courier::node::Event;
use courier::time::Instant;
use courier::wire::Wire;
use courier_sim::cast::Part;
use courier_sim::scenario::Scenario;
use std::time::Duration;

fn database(part: Part) -> bool {
    part == Part::Database
}

fn gateway(part: Part) -> bool {
    part == Part::Gateway
}

/// centrifugo #925 and its kin: the way to the client was stuck in the server while its heartbeats
/// were answered, so that everybody held the connection for healthy.
pub fn a_gateway_drops_what_it_is_to_deliver() -> (Scenario, Bug) {
    let scene = scene(
        "240s",
        r#"
        step   = [{ at = "1s", from = "alice", to = "bob" }]
        expect = { reached = ["shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(gateway, |gateway, now, event| match event {
        Event::Received { wire: Wire::Offer { .. } | Wire::Behind { .. }, .. }
            if now.mono < Instant(0) + Duration::from_secs(150) =>
        {
            Vec::new()
        }
        event => gateway.sound(now, event),
    });
    (scene, bug)
}

/// A retention of a minute where thirty days were meant: a unit that was taken for another.
pub fn a_database_drops_what_is_a_minute_old() -> (Scenario, Bug) {
    let scene = scene(
        "240s",
        r#"
        step   = [
            { at = "1s", from = "bob", do = "go-offline" },
            { at = "5s", from = "alice", to = "bob" },
            { at = "120s", from = "bob", do = "go-online" },
        ]
        expect = { reached = ["parked"] }
        "#,
    );
    let bug = Bug::in_timing_of(database, |timing| timing.expiry = Duration::from_secs(60));
    (scene, bug)
}

/// Matrix' transaction ids before they were kept: the answer to a send was lost, and its repetition
/// became another message.
pub fn a_database_forgets_what_it_has_stored() -> (Scenario, Bug) {
    let scene = scene(
        "90s",
        r#"
        fault  = [{ kind = "one-way", from = "app-*", to = "server-1", at = "0s", lasts = "12s" }]
        step   = [{ at = "1s", from = "alice", to = "bob" }]
        expect = { reached = ["resent", "accepted", "shown"] }
        "#,
    );
    let bug = Bug::in_design_of(database, |design| design.dedupe = Dedupe::None);
    (scene, bug)
}
