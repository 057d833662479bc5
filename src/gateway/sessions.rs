//! A gateway's connections: greeting a device, ending its session, finding the silent.
//!
//! It talks to devices and tells [`super::registration`]. It never decides where a device should
//! be.

use super::drain::Stage;
use super::{Gateway, SILENCE_CHECKS};
use crate::frame::Frame;
use crate::id::{ConnId, DeviceId, Session};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::note::{Note, SessionEnd};
use crate::time::Now;
use crate::wire::SessionEvent;

impl Gateway {
    pub(super) fn may_accept(&self) -> bool {
        self.serving
            && self.drain == Stage::Serving
            && self.connections.len() < limits::CONNECTIONS_MAX
    }

    pub(super) fn connection_of(&self, session: Session) -> Option<ConnId> {
        let conn = *self.devices.get(&session.device)?;
        (self.connections[&conn].session == Some(session)).then_some(conn)
    }

    pub(super) fn greet(
        &mut self,
        now: Now,
        conn: ConnId,
        device: DeviceId,
        epoch: u32,
        out: &mut Outbox,
    ) {
        let held = self.devices.get(&device).copied();
        let held_epoch =
            held.and_then(|old| self.connections[&old].session).map_or(0, |old| old.epoch);
        if held_epoch >= epoch {
            // A hello that was overtaken by a later connection of the same device.
            self.write(conn, Frame::Displaced { winner: held_epoch }, out);
            self.connections.remove(&conn);
            out.close(conn);
            return;
        }
        if self.drain != Stage::Serving {
            // It connected a moment before the operator's command.
            self.write(conn, Frame::GoAway, out);
            self.connections.remove(&conn);
            out.close(conn);
            return;
        }
        if let Err(wait) = self.door.knock(now.mono) {
            out.note(Note::TurnedAway { device, wait });
            self.write(conn, Frame::Busy { retry_after: wait }, out);
            self.connections.remove(&conn);
            out.close(conn);
            return;
        }
        if let Some(old) = held {
            self.write(old, Frame::Displaced { winner: epoch }, out);
            self.end_session(old, SessionEnd::Displaced, out);
            out.close(old);
        }
        let gateway = self.config.host;
        let session = Session { device, epoch, gateway, incarnation: self.incarnation };
        let connection = self.connections.get_mut(&conn).expect("it just spoke");
        connection.session = Some(session);
        let protocol = connection.protocol;
        self.devices.insert(device, conn);
        self.beat(session, out);
        let incarnation = self.incarnation;
        self.write(conn, Frame::Welcome { epoch, incarnation, protocol }, out);
        self.tell(SessionEvent::Opened(session), out);
    }

    /// Forgets a connection and tells the log, once.
    pub(super) fn end_session(&mut self, conn: ConnId, cause: SessionEnd, out: &mut Outbox) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        let Some(session) = connection.session else { return };
        if self.devices.get(&session.device) == Some(&conn) {
            self.devices.remove(&session.device);
        }
        out.note(Note::SessionEnded { session, cause });
        self.tell(SessionEvent::Closed(session), out);
    }

    pub(super) fn close_silent(&mut self, now: Now, out: &mut Outbox) {
        let silence = self.config.timing.silence;
        let silent =
            self.connections.iter().filter(|(_, c)| now.mono.since(c.last_heard) > silence);
        for conn in silent.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.end_session(conn, SessionEnd::Silence, out);
            out.close(conn);
        }
        self.finish_drain_if_empty(out);
        out.set_timer(Timer::Silence, silence / SILENCE_CHECKS);
    }
}
