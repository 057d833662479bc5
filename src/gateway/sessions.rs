//! A gateway's connections: greeting a device, ending its session, finding the silent.
//!
//! It talks to devices and tells [`super::registration`]. It never decides where a device should
//! be.

use super::drain::Stage;
use super::{Gateway, SILENCE_CHECKS};
use crate::design::{DeadPeer, Fencing};
use crate::frame::Frame;
use crate::id::{ConnId, DeviceId, Session};
use crate::limits;
use crate::node::{CloseCause, Outbox, Timer};
use crate::note::{Note, SessionEnd};
use crate::time::Now;
use crate::wire::{OfferOutcome, SessionEvent, Wire};

impl Gateway {
    pub(super) fn may_accept(&self) -> bool {
        self.serving
            && self.drain == Stage::Serving
            && self.connections.len() < limits::CONNECTIONS_MAX
    }

    /// The connection that a session means, if it is here. Whatever is said in the name of another
    /// one (an offer, an answer, a displacement that is late) finds nothing.
    pub(super) fn connection_of(&self, session: Session) -> Option<ConnId> {
        let conn = *self.devices.get(&session.device)?;
        let is_it = match self.config.design.fencing {
            Fencing::Epoch => self.connections[&conn].session == Some(session),
            // It came to this address: any connection of the device will do.
            Fencing::ServerId | Fencing::None => true,
        };
        is_it.then_some(conn)
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
        self.check_registry_later(out);
        self.beat(session, None, out);
        let incarnation = self.incarnation;
        self.write(conn, Frame::Welcome { epoch, incarnation, protocol }, out);
        self.tell(SessionEvent::Opened(session), out);
    }

    /// Forgets a connection and tells the log, once. Who waits for its device's word is told that
    /// it will not come: otherwise their rows wait for the end of their leases.
    pub(super) fn end_session(&mut self, conn: ConnId, cause: SessionEnd, out: &mut Outbox) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        self.unwatch(conn);
        let Some(session) = connection.session else { return };
        for offer in connection.offers {
            let (conversation, term) = (offer.conversation, offer.term);
            let outcome = OfferOutcome::NotHere;
            out.send(offer.from, Wire::Offered { session, conversation, term, outcome });
        }
        if self.devices.get(&session.device) == Some(&conn) {
            self.devices.remove(&session.device);
        }
        if cause == SessionEnd::Closed(CloseCause::Fin) {
            self.leave(session, out);
        }
        out.note(Note::SessionEnded { session, cause });
        self.tell(SessionEvent::Closed(session), out);
    }

    /// What becomes, every so often, of connections that may be dead.
    pub(super) fn look_after(&mut self, now: Now, out: &mut Outbox) {
        let silence = self.config.timing.silence;
        match self.config.design.dead_peer {
            DeadPeer::Heartbeats => self.close_silent(now, out),
            DeadPeer::TcpOnly => self.vouch(out),
        }
        out.set_timer(Timer::Silence, silence / SILENCE_CHECKS);
    }

    /// Nobody beats, so the gateway speaks for whoever has a socket here: servers without
    /// heartbeats of their own refresh presence from their table of connections. It cannot know
    /// which of these have nobody at the other end any more.
    fn vouch(&mut self, out: &mut Outbox) {
        let connections = self.connections.values();
        let here: Vec<_> =
            connections.filter_map(|c| c.session.map(|session| (session, c.heard_of))).collect();
        here.into_iter().for_each(|(session, heard_of)| self.beat(session, heard_of, out));
    }

    fn close_silent(&mut self, now: Now, out: &mut Outbox) {
        let silence = self.config.timing.silence;
        let silent =
            self.connections.iter().filter(|(_, c)| now.mono.since(c.last_heard) > silence);
        for conn in silent.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.end_session(conn, SessionEnd::Silence, out);
            out.close(conn);
        }
        self.finish_drain_if_empty(out);
    }
}
