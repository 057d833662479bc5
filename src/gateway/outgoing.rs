//! What a gateway has written to its devices and they have not acknowledged, and the one place
//! where it writes.
//!
//! It talks to devices, and passes their requests on to the database at a rate. A device that does
//! not keep up loses its connection, not its messages: they are the database's, and it asks for
//! them when it comes back. It never writes a frame that the other end does not know.

use super::admission::Request;
use super::{Connection, Gateway};
use crate::frame::{Frame, PROTOCOL_OLDEST};
use crate::id::{ConnId, ConversationId, Session, Stamp};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::note::{Class, Note, SessionEnd};
use crate::time::{Instant, Now};
use crate::wire::{Batch, Wire};

/// A page that the device has not acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Page {
    conversation: ConversationId,
    upto: Stamp,
    entries: usize,
}

impl Connection {
    /// A connection on which nothing has been said yet.
    pub(super) fn opened(now: Instant) -> Self {
        Self {
            session: None,
            last_heard: now,
            offers: Vec::new(),
            heard_of: None,
            protocol: PROTOCOL_OLDEST,
            leaving: false,
            pages: Vec::new(),
            progress: now,
        }
    }

    /// Messages in pages that the device has not acknowledged.
    fn paged(&self) -> usize {
        self.pages.iter().map(|page| page.entries).sum()
    }

    /// Something is about to be written: if the device owed no acknowledgement, it does from now.
    fn owes_from(&mut self, now: Instant) {
        if self.offers.is_empty() && self.pages.is_empty() {
            self.progress = now;
        }
    }

    pub(super) fn acknowledges(&mut self, now: Instant, conversation: ConversationId, upto: Stamp) {
        self.progress = now;
        self.pages.retain(|page| page.conversation != conversation || page.upto > upto);
    }

    /// Whether the device owes acknowledgements and has not given one for too long.
    fn is_stalled(&self, now: Instant) -> bool {
        now.since(self.progress) > limits::STALLED_AFTER
    }
}

impl Gateway {
    /// Writes a frame, if the device knows it. All frames leave here.
    pub(super) fn write(&self, conn: ConnId, frame: Frame, out: &mut Outbox) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let protocol = connection.protocol;
        if frame.since() <= protocol {
            out.write(conn, frame);
        } else if let Some(Session { device, .. }) = connection.session {
            out.note(Note::FrameWithheld { device, protocol });
        }
    }

    pub(super) fn page(
        &mut self,
        now: Now,
        session: Session,
        conversation: ConversationId,
        batch: Batch,
        out: &mut Outbox,
    ) {
        let Some(conn) = self.connection_of(session) else { return };
        let connection = self.connections.get_mut(&conn).expect("devices have connections");
        if !batch.entries.is_empty() {
            let entries = batch.entries.len();
            if connection.paged() + entries > limits::PAGED_MESSAGES_MAX {
                self.close_slow_reader(conn, session, out);
                return;
            }
            connection.owes_from(now.mono);
            connection.pages.push(Page { conversation, upto: batch.upto(), entries });
        }
        self.write(conn, Frame::Deliver { conversation, batch }, out);
    }

    /// Before an offer: if it finds the connection full and the device reads nothing, there is no
    /// connection any more.
    pub(super) fn look_at_reader(
        &mut self,
        now: Now,
        session: Session,
        conversation: ConversationId,
        entries: usize,
        out: &mut Outbox,
    ) {
        let Some(conn) = self.connection_of(session) else { return };
        let connection = self.connections.get_mut(&conn).expect("devices have connections");
        connection.owes_from(now.mono);
        let others = connection.offers.iter().filter(|offer| offer.conversation != conversation);
        let held: usize = others.map(|offer| offer.entries).sum();
        let full = held + entries > limits::UNACKED_MESSAGES_MAX;
        if full && connection.is_stalled(now.mono) {
            self.close_slow_reader(conn, session, out);
        }
    }

    /// Closes a connection whose device does not acknowledge. It finds out when it reads again, and
    /// catches up on its next connection.
    pub(super) fn close_slow_reader(&mut self, conn: ConnId, session: Session, out: &mut Outbox) {
        let connection = &self.connections[&conn];
        let offered: usize = connection.offers.iter().map(|offer| offer.entries).sum();
        let unacknowledged = (offered + connection.paged()) as u32;
        out.note(Note::SlowReader { device: session.device, unacknowledged });
        self.end_session(conn, SessionEnd::SlowReader, out);
        out.close(conn);
        self.finish_drain_if_empty(out);
    }

    /// Asks the database on a device's behalf: now, if the rate allows it and nobody waits, else in
    /// its turn. What people write does not come this way.
    pub(super) fn take_on(
        &mut self,
        now: Now,
        class: Class,
        session: Session,
        question: Wire,
        out: &mut Outbox,
    ) {
        let waiting = !self.backlog.is_empty();
        if !self.backlog.push(class, (session, question)) {
            out.note(Note::WorkDropped { device: session.device, class });
        }
        // While some wait, the timer runs.
        if !waiting {
            self.serve_backlog(now, out);
        }
    }

    pub(super) fn serve_backlog(&mut self, now: Now, out: &mut Outbox) {
        while let Some((_, question)) = self.next_request(now) {
            out.send(self.config.directory.database, question);
        }
        if let Some(wait) = self.backlog.wait(now.mono) {
            out.set_timer(Timer::Backlog, wait);
        }
    }

    fn next_request(&mut self, now: Now) -> Option<Request> {
        let (devices, connections) = (&self.devices, &self.connections);
        self.backlog.pop(now.mono, |session| {
            let connection = &connections[devices.get(&session.device)?];
            let half = limits::PAGED_MESSAGES_MAX / 2;
            (connection.session == Some(session)).then(|| connection.paged() <= half)
        })
    }
}
