//! How every device stands as the history goes on: running, in flight mode, connected.
//!
//! From the device's own notes and what befell its host, nothing else: what the servers believe
//! of a device is what the checkers are there to judge.

use crate::cast::Cast;
use crate::history::{Entry, Fact, Life};
use courier::id::HostId;
use courier::note::{Disconnect, Note};

/// A connection, as the device knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub gateway: HostId,
    /// Since when it has been in use without a break. A pause is a break.
    pub since: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    down: bool,
    paused: bool,
    flight_mode: bool,
    connection: Option<Connection>,
    /// Since when it could do its part: it runs, and nobody switched its network off.
    able_since: u64,
    /// When it last lost a connection.
    lost_at: u64,
}

impl Standing {
    /// The connection, if the device runs and has one.
    pub fn connection(&self) -> Option<Connection> {
        self.connection.filter(|_| !self.down && !self.paused)
    }

    /// Since when the device could do its part, if it can.
    pub fn able_since(&self) -> Option<u64> {
        (!self.down && !self.paused && !self.flight_mode).then_some(self.able_since)
    }

    /// Since when it has been able to connect and has not, if that is so.
    pub fn astray_since(&self) -> Option<u64> {
        let able = self.able_since().filter(|_| self.connection.is_none());
        able.map(|since| since.max(self.lost_at))
    }

    fn lived(&mut self, at: u64, life: Life) {
        match life {
            // Flight mode is a switch of the running process: a restarted one connects.
            Life::Started => *self = Self { able_since: at, lost_at: at, ..Self::default() },
            Life::Crashed | Life::Stopped | Life::PowerCut => {
                *self = Self { down: true, lost_at: at, ..Self::default() }
            }
            Life::Wiped => {} // It was down already.
            Life::Paused => self.paused = true,
            Life::Resumed => {
                self.paused = false;
                self.able_since = at;
                if let Some(connection) = &mut self.connection {
                    connection.since = at;
                }
            }
        }
    }

    fn noted(&mut self, at: u64, note: &Note) -> bool {
        match note {
            Note::Connected { gateway, .. } => {
                self.leave_flight_mode(at);
                self.connection = Some(Connection { gateway: *gateway, since: at });
            }
            Note::Disconnected { cause, .. } => {
                self.connection = None;
                self.lost_at = at;
                self.flight_mode = *cause == Disconnect::FlightMode;
            }
            Note::ConnectFailed { .. } => self.leave_flight_mode(at),
            _ => return false,
        }
        true
    }

    /// Nobody notes the switch itself; the first attempt to connect shows that it was used.
    fn leave_flight_mode(&mut self, at: u64) {
        if std::mem::replace(&mut self.flight_mode, false) {
            self.able_since = at;
        }
    }
}

/// All devices, by host.
pub(super) struct Devices(Vec<Standing>);

impl Devices {
    /// Before the first entry: everybody runs and nobody is connected.
    pub fn of(cast: &Cast) -> Self {
        Self(vec![Standing::default(); cast.names().len()])
    }

    /// Takes the next entry. Returns the host whose standing it concerns, a server's too.
    pub fn take(&mut self, entry: &Entry) -> Option<HostId> {
        match &entry.fact {
            Fact::Host { host, life } => {
                self.0[host.0 as usize].lived(entry.at, *life);
                Some(*host)
            }
            Fact::Noted { host, note } => {
                self.0[host.0 as usize].noted(entry.at, note).then_some(*host)
            }
            Fact::Fault { .. } | Fact::Healed | Fact::Panicked { .. } => None,
        }
    }

    pub fn at(&self, host: HostId) -> &Standing {
        &self.0[host.0 as usize]
    }
}
