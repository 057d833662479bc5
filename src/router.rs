//! A router (people call it `app-2`): takes a message in and makes the first attempt to deliver it.
//!
//! It is asked by gateways, appends at the database, and runs one delivery attempt per recipient
//! device under the lease that came with the append. It keeps nothing that matters: whatever it
//! was doing when it dies is a leased row that comes due, or a send that its device repeats.

mod numbering;

use crate::delivery::Deliveries;
use crate::design::Design;
use crate::directory::Directory;
use crate::id::{HostId, MessageId, Session};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::{Note, Parking};
use crate::time::Now;
use crate::wire::{Message, Wire};
use numbering::Numbers;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a router is told at boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: Arc<Directory>,
    /// One number drawn by the shell, for jittered waits.
    pub entropy: u64,
    pub design: Design,
}

/// Who waits for the answer to a send.
#[derive(Clone, Copy, Debug)]
struct Origin {
    gateway: HostId,
    session: Session,
}

#[derive(Clone, Debug)]
pub struct Router {
    directory: Arc<Directory>,
    appends: BTreeMap<MessageId, Origin>,
    numbers: Numbers,
    deliveries: Deliveries,
}

impl Router {
    pub fn boot(config: Config) -> Self {
        let deliveries = Deliveries::new(config.directory.clone(), config.entropy, config.design);
        Self {
            numbers: Numbers::new(config.design.sequence),
            directory: config.directory,
            appends: BTreeMap::new(),
            deliveries,
        }
    }
}

impl Role for Router {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => self.numbers.begin(&self.directory, out),
            Event::Received { from, wire: Wire::Route { session, message } } => {
                let id = message.id;
                if self.appends.len() == limits::APPENDS_MAX {
                    out.note(Note::RouteDropped { id });
                    return;
                }
                // A resend that meets its earlier self only changes who is to be answered.
                self.appends.insert(id, Origin { gateway: from, session });
                self.number(now, message, out);
                out.set_timer(Timer::AppendLimit(id), limits::APPEND_LIMIT);
            }
            Event::Received { wire: Wire::Appended { id, outcome, claims }, .. } => {
                out.cancel_timer(Timer::AppendLimit(id));
                if let Some(Origin { gateway, session }) = self.appends.remove(&id) {
                    out.send(gateway, Wire::Routed { session, id, outcome });
                }
                // The claims are leased to this router whether or not anybody still waits.
                for claim in claims {
                    if self.deliveries.len() < limits::ATTEMPTS_MAX {
                        self.deliveries.begin(claim, out);
                    } else {
                        self.deliveries.give_back(&claim, Parking::Overload, out);
                    }
                }
            }
            // The device repeats the send; the database knows whether it is new.
            Event::Refused { wire: Wire::Append { message, .. }, .. } => {
                out.cancel_timer(Timer::AppendLimit(message.id));
                self.appends.remove(&message.id);
            }
            Event::Fired(Timer::AppendLimit(id)) => {
                self.appends.remove(&id);
            }
            Event::Refused { wire: Wire::Routed { .. }, .. } => {} // Likewise.
            event if Numbers::takes(&event) => self.numbered(now, event, out),
            other => self.deliveries.step(now, other, out),
        }
    }
}

// Numbers, where it is the router that gives or fetches them.
impl Router {
    /// Appends a message as soon as it has its number.
    fn number(&mut self, now: Now, message: Message, out: &mut Outbox) {
        let directory = self.directory.clone();
        for (message, number) in self.numbers.number(now, message, &directory, out) {
            out.send(directory.database, Wire::Append { message, number });
        }
    }

    fn numbered(&mut self, now: Now, event: Event, out: &mut Outbox) {
        let directory = self.directory.clone();
        for (message, number) in self.numbers.step(now, event, &directory, out) {
            out.send(directory.database, Wire::Append { message, number });
        }
    }
}
