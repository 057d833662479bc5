//! Taking a gateway out of service: nobody new, and those who are here go elsewhere, one at a time.
//!
//! It talks to devices (`GoAway`) and to the balancer, which hears of it in the answers to its
//! probes. Sessions end in order: each device closes its end, so what is on its way still arrives,
//! and `Closed` is published as for any other. It never keeps a device, and never drops one that
//! still may go by itself.

use super::Gateway;
use crate::frame::Frame;
use crate::id::{ConnId, HostId};
use crate::node::{Outbox, Timer};
use crate::note::{Note, SessionEnd};
use crate::wire::Wire;

/// How far an operator has taken this gateway out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    /// Handing off.
    Draining,
    /// Nobody is left; the process may be stopped.
    Drained,
}

impl Gateway {
    /// The answer to a probe.
    pub(super) fn pong(&self, to: HostId, nonce: u64, out: &mut Outbox) {
        let connections = self.connections.len() as u32;
        let draining = self.drain != Stage::Serving;
        out.send(to, Wire::Pong { nonce, incarnation: self.incarnation, connections, draining });
    }

    pub(super) fn begin_drain(&mut self, out: &mut Outbox) {
        if self.drain != Stage::Serving {
            return; // Told twice.
        }
        self.drain = Stage::Draining;
        let (incarnation, connections) = (self.incarnation, self.connections.len() as u32);
        out.note(Note::Draining { incarnation, connections });
        // The balancer need not wait for its next probe. If this is lost, it does.
        if self.serving {
            self.pong(self.config.directory.balancer, 0, out);
        }
        out.set_timer(Timer::DrainLimit, self.config.timing.drain_limit);
        out.set_timer(Timer::HandOff, self.config.timing.hand_off);
        self.finish_drain_if_empty(out);
    }

    /// Asks one more device to go elsewhere.
    pub(super) fn hand_off(&mut self, out: &mut Outbox) {
        if self.drain != Stage::Draining {
            return;
        }
        if let Some(conn) = self.next_to_go() {
            self.write(conn, Frame::GoAway, out);
            self.connections.get_mut(&conn).expect("it was just found").leaving = true;
        }
        if self.connections.values().any(|connection| !connection.leaving) {
            out.set_timer(Timer::HandOff, self.config.timing.hand_off);
        }
    }

    /// Whoever has nothing to acknowledge goes first, so that the others can.
    fn next_to_go(&self) -> Option<ConnId> {
        let mut staying = self.connections.iter().filter(|(_, c)| !c.leaving).peekable();
        let first = staying.peek().map(|(conn, _)| **conn);
        let idle = staying.find(|(_, c)| c.offers.is_empty() && c.pages.is_empty());
        idle.map(|(conn, _)| *conn).or(first)
    }

    /// The limit has passed: whoever is left was asked and does not go.
    pub(super) fn end_drain(&mut self, out: &mut Outbox) {
        if self.drain != Stage::Draining {
            return;
        }
        let left: Vec<_> = self.connections.keys().copied().collect();
        let count = left.len() as u32;
        for conn in left {
            self.end_session(conn, SessionEnd::Drained, out);
            out.close(conn);
        }
        self.drained(count, out);
    }

    /// It is over when the last connection has gone and the log knows of it.
    pub(super) fn finish_drain_if_empty(&mut self, out: &mut Outbox) {
        let over = self.connections.is_empty() && self.unpublished.is_empty();
        if self.drain == Stage::Draining && over {
            self.drained(0, out);
        }
    }

    fn drained(&mut self, left: u32, out: &mut Outbox) {
        self.drain = Stage::Drained;
        out.cancel_timer(Timer::HandOff);
        out.cancel_timer(Timer::DrainLimit);
        out.note(Note::Drained { incarnation: self.incarnation, left });
    }
}
