//! A gateway's messages: routing what a device sends, offering it what is sent to it.
//!
//! It talks to routers, workers and the database. It never keeps a message: what its device has not
//! acknowledged is the database's to deliver again.

use super::{Gateway, Offer};
use crate::design::Settle;
use crate::frame::Frame;
use crate::id::{ConnId, ConversationId, HostId, Session, Stamp, Term};
use crate::limits;
use crate::node::Outbox;
use crate::note::Note;
use crate::time::Now;
use crate::wire::{Batch, Message, OfferOutcome, Rejection, SendOutcome, Wire};

impl Gateway {
    pub(super) fn route(&mut self, now: Now, session: Session, message: Message, out: &mut Outbox) {
        if message.body.len() > limits::BODY_BYTES_MAX {
            let outcome = SendOutcome::Rejected(Rejection::TooLarge);
            if let Some(conn) = self.connection_of(session) {
                self.write(conn, Frame::Outcome { id: message.id, outcome }, out);
            }
            return;
        }
        self.avoided.retain(|_, until| *until > now.mono);
        let routers = &self.config.directory.routers;
        let candidates = (1..=routers.len()).map(|step| (self.router + step) % routers.len());
        let Some(chosen) =
            candidates.into_iter().find(|at| !self.avoided.contains_key(&routers[*at]))
        else {
            // All refused a moment ago. The device sends it again.
            out.note(Note::RouteDropped { id: message.id });
            return;
        };
        self.router = chosen;
        out.send(routers[chosen], Wire::Route { session, message });
    }

    pub(super) fn offer(
        &mut self,
        from: HostId,
        session: Session,
        conversation: ConversationId,
        term: Term,
        batch: Batch,
        out: &mut Outbox,
    ) {
        let answer = |outcome| Wire::Offered { session, conversation, term, outcome };
        // A device that was asked to go elsewhere reads nothing any more: that is a no as well.
        let here = self.connection_of(session).filter(|conn| !self.connections[conn].leaving);
        let Some(conn) = here else {
            out.note(Note::OfferFenced { device: session.device, epoch: session.epoch });
            out.send(from, answer(OfferOutcome::NotHere));
            return;
        };
        let connection = self.connections.get_mut(&conn).expect("devices have connections");
        let same = |offer: &Offer| offer.conversation == conversation;
        if connection.offers.iter().any(|offer| same(offer) && offer.term > term) {
            return; // Overtaken by a later attempt at the same row, whose holder is answered.
        }
        connection.offers.retain(|offer| !same(offer));
        let unacknowledged: usize = connection.offers.iter().map(|offer| offer.entries).sum();
        if unacknowledged + batch.entries.len() > limits::UNACKED_MESSAGES_MAX {
            out.note(Note::OfferBusy { device: session.device });
            out.send(from, answer(OfferOutcome::Busy));
            return;
        }
        let (upto, entries) = (batch.upto(), batch.entries.len());
        let offer = Offer { from, conversation, term, upto, entries };
        self.write(conn, Frame::Deliver { conversation, batch }, out);
        self.written(conn, session, offer, out);
    }

    /// The device cannot take what is at this place. Whoever offered it is told, or the database if
    /// the device had asked for it by itself.
    pub(super) fn reject(
        &mut self,
        conn: ConnId,
        session: Session,
        conversation: ConversationId,
        at: Stamp,
        out: &mut Outbox,
    ) {
        let connection = self.connections.get_mut(&conn).expect("it just spoke");
        let holds = |offer: &Offer| offer.conversation == conversation && offer.upto >= at;
        match connection.offers.iter().position(holds) {
            Some(offered) => {
                let Offer { from, term, .. } = connection.offers.remove(offered);
                let outcome = OfferOutcome::Rejected(at);
                out.send(from, Wire::Offered { session, conversation, term, outcome });
            }
            None => out.send(
                self.config.directory.database,
                Wire::Reject { device: session.device, conversation, at },
            ),
        }
    }

    /// An offer is written to its connection. What does that prove?
    ///
    /// Nothing about the device: a write to a half-open socket succeeds, and so does one into the
    /// buffer of a phone that is about to die. Only its own acknowledgement settles the offer.
    /// Push servers that answer "delivered" when the write returns take the kernel's word for the
    /// phone's.
    fn written(&mut self, conn: ConnId, session: Session, offer: Offer, out: &mut Outbox) {
        let Offer { from, conversation, term, upto, .. } = offer;
        match self.config.design.settle {
            Settle::ClientAck => {
                let connection = self.connections.get_mut(&conn).expect("written to");
                connection.offers.push(offer);
                out.send(from, Wire::Taken { session, conversation, term });
            }
            Settle::GatewayAccepted => {
                let outcome = OfferOutcome::Acknowledged(upto);
                out.send(from, Wire::Offered { session, conversation, term, outcome });
            }
        }
    }

    pub(super) fn acknowledge(
        &mut self,
        conn: ConnId,
        session: Session,
        conversation: ConversationId,
        upto: Stamp,
        out: &mut Outbox,
    ) {
        let connection = self.connections.get_mut(&conn).expect("it just spoke");
        let covered = |offer: &Offer| offer.conversation == conversation && offer.upto <= upto;
        match connection.offers.iter().position(covered) {
            Some(at) => {
                let Offer { from, term, .. } = connection.offers.remove(at);
                let outcome = OfferOutcome::Acknowledged(upto);
                out.send(from, Wire::Offered { session, conversation, term, outcome });
            }
            // It caught up by itself.
            None => out.send(
                self.config.directory.database,
                Wire::Advance { device: session.device, conversation, upto },
            ),
        }
    }
}
