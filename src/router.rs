//! A router (people call it `app-2`): takes a message in and makes the first attempt to deliver it.
//!
//! It is asked by gateways, appends at the database, and runs one delivery attempt per recipient
//! device under the lease that came with the append. It keeps nothing that matters: whatever it
//! was doing when it dies is a leased row that comes due, or a send that its device repeats.

use crate::delivery::Deliveries;
use crate::design::Design;
use crate::directory::Directory;
use crate::id::{HostId, MessageId, Session};
use crate::limits;
use crate::node::{Event, Outbox, Role, Timer};
use crate::note::{Note, Parking};
use crate::time::Now;
use crate::wire::Wire;
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
    deliveries: Deliveries,
}

impl Router {
    pub fn boot(config: Config) -> Self {
        let deliveries =
            Deliveries::new(config.directory.clone(), config.entropy, config.design.retry);
        Self { directory: config.directory, appends: BTreeMap::new(), deliveries }
    }
}

impl Role for Router {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Booted => {}
            Event::Received { from, wire: Wire::Route { session, message } } => {
                let id = message.id;
                if self.appends.len() == limits::APPENDS_MAX {
                    out.note(Note::RouteDropped { id });
                    return;
                }
                // A resend that meets its earlier self only changes who is to be answered.
                self.appends.insert(id, Origin { gateway: from, session });
                out.send(self.directory.database, Wire::Append { message });
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
            Event::Refused { wire: Wire::Append { message }, .. } => {
                out.cancel_timer(Timer::AppendLimit(message.id));
                self.appends.remove(&message.id);
            }
            Event::Fired(Timer::AppendLimit(id)) => {
                self.appends.remove(&id);
            }
            Event::Refused { wire: Wire::Routed { .. }, .. } => {} // Likewise.
            other => self.deliveries.step(now, other, out),
        }
    }
}
