//! Keepalive, as a kernel does it: probes on a connection on which nothing arrives any more.
//!
//! Off unless a socket asks for it. It asks whether the other kernel still knows the connection,
//! and nothing else: a process that hangs answers through its kernel. It keeps translators on the
//! way from forgetting the connection. A probe and its answer take no time here, and are lost only
//! where nothing gets through.

use super::connection::{Segment, Side};
use super::{Crew, Due, World};
use courier::id::ConnId;
use courier::node::CloseCause;

/// When a kernel probes, in nanoseconds (`tcp_keepalive_time`, `_intvl` and `_probes`).
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// So long after the last arrival.
    pub idle: u64,
    /// So long after a probe that nobody answered.
    pub interval: u64,
    /// After so many of them the connection has failed.
    pub probes: u32,
}

/// What comes of a probe.
enum Probe {
    Answered,
    /// The other kernel knows no such connection.
    Refused,
    Lost,
}

impl<C: Crew> World<C> {
    /// From now on sockets are opened with keepalive.
    pub fn keep_alive(&mut self, keepalive: Keepalive) {
        self.keepalive = Some(keepalive);
    }

    /// An end has opened: its kernel looks after it.
    pub(super) fn look_after(&mut self, conn: ConnId, side: Side) {
        if let Some(Keepalive { idle, .. }) = self.keepalive {
            self.push(self.now + idle, Due::Keepalive { conn, side, unanswered: 0 });
        }
    }

    pub(super) fn keepalive_due(&mut self, conn: ConnId, side: Side, unanswered: u32) {
        let Some(Keepalive { idle, interval, probes }) = self.keepalive else { return };
        let Some(connection) = self.host(conn.opener).connections.get(conn) else { return };
        if !connection.is_open(side) {
            return;
        }
        let (here, _) = connection.route(conn, side);
        // What is on its way is repeated without being asked for, and a machine that stands still
        // asks nothing.
        let asks = !connection.is_blocked(side) && self.host(here).answers();
        let silent_since = connection.heard(side);
        let (wait, unanswered) = if !asks {
            (idle, 0)
        } else if self.now < silent_since + idle {
            (silent_since + idle - self.now, 0)
        } else if unanswered == probes {
            // The other end may hear, if it cannot be heard.
            self.transmit(conn, side, Segment::Rst);
            return self.end_closed(conn, side, CloseCause::TimedOut);
        } else {
            match self.probe(conn, side) {
                Probe::Answered => (idle, 0),
                Probe::Refused => return self.end_closed(conn, side, CloseCause::Reset),
                Probe::Lost => (interval, unanswered + 1),
            }
        };
        self.push(self.now + wait, Due::Keepalive { conn, side, unanswered });
    }

    fn probe(&mut self, conn: ConnId, side: Side) -> Probe {
        let Some(connection) = self.host(conn.opener).connections.get(conn) else {
            return Probe::Refused;
        };
        let (here, there) = connection.route(conn, side);
        let far = connection.end(side.other());
        let owes = connection.is_blocked(side.other());
        let cut = self.net.is_cut(here, there, self.now) || self.net.is_cut(there, here, self.now);
        if cut || self.is_forgotten(conn, here, there) || !self.host(there).answers() {
            return Probe::Lost;
        }
        // Its process may have closed it, and the kernel still owe the end of it.
        if !self.host(there).knows_end(far) && !owes {
            return Probe::Refused;
        }
        let now = self.now;
        self.host_mut(conn.opener).connections.hear(conn, side, now);
        Probe::Answered
    }
}
