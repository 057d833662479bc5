//! Bugs of the app on somebody's phone.

use crate::crew::{Bug, Carrier};
use crate::stage::scene;
use courier::disk::Record;
use courier::frame::Frame;
use courier::id::{ConnId, MessageId};
use courier::node::{Action, Event, Timer};
use courier::note::Note;
use courier::wire::{Message, Rejection, SendOutcome};
use courier_sim::cast::Part;
use courier_sim::scenario::Scenario;

fn device(part: Part) -> bool {
    matches!(part, Part::Client(_))
}

/// nats-server #7564: acknowledged from memory, minutes before the fsync. Here the phone's battery
/// dies in between, and nobody delivers again what was acknowledged.
pub fn a_device_acknowledges_what_it_has_not_stored() -> (Scenario, Bug) {
    let scene = scene(
        "60s",
        r#"
        network = { client-fsync = { median = "5s", p99 = "6s" } }
        fault   = [{ kind = "power-cut", target = "bob", at = "8500ms", lasts = "5s" }]
        step    = [{ at = "1s", from = "alice", to = "bob" }]
        expect  = { reached = ["lease-renewed", "session-ended", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(device, |device, now, event| {
        let mut early = Vec::new();
        if let Event::Arrived { conn, frame: Frame::Deliver { conversation, batch } } = &event
            && let Some(last) = batch.entries.last()
        {
            let frame = Frame::Ack { conversation: *conversation, upto: last.stamp };
            early.push(Action::Write { conn: *conn, frame });
        }
        let mut actions = device.sound(now, event);
        actions.append(&mut early);
        actions
    });
    (scene, bug)
}

/// socket.io #5419: recovered messages did not move the client's offset, so every resume replayed
/// the same batch. Here a phone restarts without its offsets.
pub fn a_device_forgets_at_reboot_what_it_has_shown() -> (Scenario, Bug) {
    let scene = scene(
        "60s",
        r#"
        fault  = [{ kind = "crash", target = "bob", at = "10s", lasts = "5s" }]
        step   = [
            { at = "1s", from = "alice", to = "bob" },
            { at = "30s", from = "alice", to = "bob" },
        ]
        expect = { reached = ["shown", "session-ended"] }
        "#,
    );
    let bug = Bug::in_disks_of(device, |disk| {
        disk.records.retain(|record| !matches!(record, Record::Shown { .. }))
    });
    (scene, bug)
}

/// Signal-Server 8fe87b77e: a new message started another read of the queue while earlier ones were
/// not acknowledged yet, and the device got those again.
pub fn a_device_shows_what_is_delivered_again() -> (Scenario, Bug) {
    let scene = scene(
        "60s",
        r#"
        fault  = [
            { kind = "duplicate", from = "app-*", to = "server-*", share = 1.0, at = "0s" },
        ]
        step   = [{ at = "1s", from = "alice", to = "bob" }]
        expect = { reached = ["duplicate-dropped"] }
        "#,
    );
    let bug = Bug::in_steps_of(device, |device, now, event| {
        let conversation = match &event {
            Event::Arrived { frame: Frame::Deliver { conversation, .. }, .. } => {
                Some(*conversation)
            }
            _ => None,
        };
        let mut actions = device.sound(now, event);
        for action in &mut actions {
            if let Action::Note(note @ Note::DuplicateDropped { .. }) = action
                && let (Note::DuplicateDropped { id, stamp }, Some(conversation)) =
                    (*note, conversation)
            {
                *note = Note::Shown { id, conversation, stamp };
            }
        }
        actions
    });
    (scene, bug)
}

/// What a device that writes without waiting must know.
#[derive(Clone, Default)]
pub struct Pipeline {
    conn: Option<ConnId>,
    outbox: Vec<Message>,
}

/// WuKongIM d24445308: a hundred workers drained one queue, so a later message of a channel could
/// pass an earlier one. Here a device hands its whole outbox to whichever app is free.
pub fn a_device_sends_the_next_message_before_the_last_is_answered() -> (Scenario, Bug<Pipeline>) {
    let scene = scene(
        "60s",
        r#"
        fault  = [{ kind = "slow", from = "app-1", to = "db", by = "1s", at = "0s", lasts = "20s" }]
        step   = [
            { at = "1000ms", from = "alice", to = "bob" },
            { at = "1010ms", from = "alice", to = "bob" },
            { at = "1020ms", from = "alice", to = "bob" },
            { at = "1030ms", from = "alice", to = "bob" },
        ]
        expect = { reached = ["accepted", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(device, |device: &mut Carrier<Pipeline>, now, event| {
        if let Event::Arrived { conn, frame: Frame::Welcome { .. } } = event {
            device.memory.conn = Some(conn);
        }
        let mut actions = device.sound(now, event);
        let Pipeline { conn, outbox } = &mut device.memory;
        for action in actions.clone() {
            match action {
                Action::Append(Record::Outgoing(message)) => outbox.push(message),
                Action::Note(Note::Invoked { id, .. }) => {
                    let message = outbox.iter().find(|message| message.id == id).cloned();
                    if let (Some(conn), Some(message)) = (*conn, message) {
                        let write = Action::Write { conn, frame: Frame::Send(message) };
                        if !actions.contains(&write) {
                            actions.push(write);
                        }
                    }
                }
                _ => {}
            }
        }
        actions
    });
    (scene, bug)
}

/// RabbitMQ #14589: what was sent into a partition was never sent again, and nobody missed it.
pub fn a_device_never_sends_again_what_is_not_answered() -> (Scenario, Bug) {
    let scene = scene(
        "60s",
        r#"
        fault  = [{ kind = "one-way", from = "server-*", to = "app-*", at = "0s", lasts = "4s" }]
        step   = [{ at = "1s", from = "alice", to = "bob" }]
        expect = { reached = ["resent", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(device, |device, now, event| match event {
        Event::Fired(Timer::Resend(_)) => Vec::new(),
        event => device.sound(now, event),
    });
    (scene, bug)
}

/// element-web #8041: a receipt was sent for whatever arrived in the room that happened to be open,
/// and its writers were told that it was read.
pub fn a_device_has_read_whatever_it_shows() -> (Scenario, Bug<Option<ConnId>>) {
    let scene = scene(
        "60s",
        r#"
        step   = [
            { at = "1s", from = "alice", to = "bob" },
            { at = "10s", do = "read", from = "bob", to = "alice" },
            { at = "20s", from = "alice", to = "bob" },
        ]
        expect = { reached = ["read", "marked", "mark-shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(device, |device: &mut Carrier<Option<ConnId>>, now, event| {
        if let Event::Arrived { conn, frame: Frame::Welcome { .. } } = event {
            device.memory = Some(conn);
        }
        let mut actions = device.sound(now, event);
        for action in actions.clone() {
            if let (Action::Note(Note::Shown { conversation, stamp, .. }), Some(conn)) =
                (action, device.memory)
            {
                let frame = Frame::Read { conversation, upto: stamp };
                actions.push(Action::Write { conn, frame });
            }
        }
        actions
    });
    (scene, bug)
}

/// zulip #31219: the request succeeded, its answer was lost, and the client said "not sent".
pub fn a_device_takes_no_answer_for_a_no() -> (Scenario, Bug<Option<(ConnId, MessageId)>>) {
    let scene = scene(
        "60s",
        r#"
        fault  = [{ kind = "one-way", from = "db", to = "app-*", at = "0s", lasts = "8s" }]
        step   = [{ at = "1s", from = "alice", to = "bob" }]
        expect = { reached = ["resent", "deduplicated", "shown"] }
        "#,
    );
    let bug = Bug::in_steps_of(device, |device, now, event| {
        let event = match (event, device.memory) {
            (Event::Fired(Timer::Resend(_)), Some((conn, id))) => {
                let outcome = SendOutcome::Rejected(Rejection::OutboxFull);
                Event::Arrived { conn, frame: Frame::Outcome { id, outcome } }
            }
            (event, _) => event,
        };
        let actions = device.sound(now, event);
        for action in &actions {
            if let Action::Write { conn, frame: Frame::Send(message) } = action {
                device.memory = Some((*conn, message.id));
            }
        }
        actions
    });
    (scene, bug)
}
