//! Bugs of those who watch: the cleaner and presence.

use crate::crew::Bug;
use crate::stage::scene;
use courier::design::Cron;
use courier::node::{Action, Event, Timer};
use courier::wire::Wire;
use courier_sim::cast::Part;
use courier_sim::scenario::Scenario;

fn cleaner(part: Part) -> bool {
    part == Part::Cleaner
}

fn gateway(part: Part) -> bool {
    part == Part::Gateway
}

fn registry(part: Part) -> bool {
    part == Part::Registry
}

fn presence(part: Part) -> bool {
    part == Part::Presence
}

/// Signal-Server 92d36b725: entries of a crashed server had no expiry, and stayed for ever when the
/// pruning of its peers missed them. Nobody writes to Bob, so nobody else finds out.
pub fn a_cleaner_never_sweeps() -> (Scenario, Bug) {
    let scene = scene(
        "120s",
        r#"
        fault  = [
            { kind = "power-cut", target = ["server-2", "bob"], at = "1s", permanent = true },
        ]
        expect = { reached = ["declared-dead", "cleaned"] }
        "#,
    );
    let bug = Bug::in_steps_of(cleaner, |cleaner, now, event| {
        let mut actions = cleaner.sound(now, event);
        actions.retain(|action| !matches!(action, Action::Send { wire: Wire::Sweep { .. }, .. }));
        actions
    });
    (scene, bug)
}

/// synapse #16771: the client's period was the very time after which its owner held it for gone.
pub fn presence_waits_no_longer_than_one_heartbeat() -> (Scenario, Bug) {
    let scene = scene("10m", r#"expect = { reached = ["presence-changed"] }"#);
    (scene, Bug::in_timing_of(presence, |timing| timing.online = timing.heartbeat))
}

/// Rocket.Chat #27468: the sessions of a vanished instance were never removed, and its users stayed
/// online.
pub fn presence_never_looks_who_has_fallen_silent() -> (Scenario, Bug) {
    let scene = scene(
        "8m",
        r#"
        fault  = [{ kind = "power-cut", target = "bob", at = "0s", permanent = true }]
        expect = { reached = ["presence-changed"] }
        "#,
    );
    let bug = Bug::in_steps_of(presence, |presence, now, event| match event {
        Event::Fired(Timer::Sweep) => Vec::new(),
        event => presence.sound(now, event),
    });
    (scene, bug)
}

/// cheogram #36: a remote server that restarted had forgotten who was in its rooms, and those went
/// on without being told anything. Here presence does, and Carol's server does not ask again.
pub fn a_gateway_never_asks_again_whom_its_devices_watch() -> (Scenario, Bug) {
    let scene = scene(
        "6m",
        r#"
        fault  = [{ kind = "crash", target = "presence", at = "1s", lasts = "2s" }]
        step   = [{ at = "60s", do = "go-offline", from = "bob" }]
        expect = { reached = ["presence-shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(gateway, |gateway, now, event| match event {
        Event::Fired(Timer::Watch) => Vec::new(),
        event => gateway.sound(now, event),
    });
    (scene, bug)
}

/// HBASE-2312 and its kin: a server that was paused beyond its lease went on writing, since the
/// store it wrote to did not ask whose turn it was.
pub fn a_registry_does_not_look_at_the_term() -> (Scenario, Bug) {
    let mut scene = scene(
        "120s",
        r#"
        fault  = [
            { kind = "power-cut", target = ["server-2", "bob"], at = "0s", permanent = true },
            { kind = "crash", target = ["cleaner-2", "cleaner-3"], at = "1s", lasts = "30s" },
            { kind = "pause", target = "cleaner-1", lasts = "40s",
              when = { note = "declared-dead", host = "cleaner-1" } },
        ]
        expect = { reached = ["leader-elected", "stale-leader", "job-ran", "cleaned"] }
        "#,
    );
    scene.fleet.cleaners = 3;
    (scene, Bug::in_design_of(registry, |design| design.cron = Cron::LeasedWithoutFencing))
}
