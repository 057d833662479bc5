//! A device's way to its connection, and away from it.
//!
//! It talks to the balancer and says hello to a gateway. It never trusts a silent connection.

use super::{Client, Config, Durable, Link};
use crate::design::DeadPeer;
use crate::disk::Record;
use crate::frame::Frame;
use crate::id::{ConnId, HostId, Incarnation};
use crate::node::{Outbox, Timer};
use crate::note::{Disconnect, Note};
use crate::wire::Wire;
use crate::{jitter, limits};
use std::collections::BTreeSet;
use std::time::Duration;

impl Client {
    /// Counts the next connection. The count must be durable before anybody hears of it, or a
    /// restarted device would greet with an epoch that it used before.
    pub(super) fn prepare(&mut self, out: &mut Outbox) {
        self.epoch += 1;
        self.link = Link::Preparing;
        self.append(Record::ConnectionEpoch(self.epoch), Durable::Epoch(self.epoch), out);
        out.note(Note::Connecting { attempt: self.attempt });
    }

    pub(super) fn place(&mut self, out: &mut Outbox) {
        self.link = Link::Placing;
        let question = Wire::Place { device: self.config.device, epoch: self.epoch };
        out.send(self.config.directory.balancer, question);
        out.set_timer(Timer::ConnectLimit, limits::CONNECT_LIMIT);
    }

    pub(super) fn open(&mut self, gateway: HostId, out: &mut Outbox) {
        let conn = ConnId { opener: self.config.host, number: self.epoch };
        self.link = Link::Opening { conn, gateway };
        out.open(conn, gateway);
    }

    pub(super) fn greet(&mut self, out: &mut Outbox) {
        let Link::Opening { conn, gateway } = self.link else { return };
        self.link = Link::Greeting { conn, gateway };
        out.write(conn, self.hello());
    }

    fn hello(&self) -> Frame {
        let Config { device, protocol, .. } = *self.config;
        Frame::Hello { device, epoch: self.epoch, protocol }
    }

    /// Whether the device speaks the version of the protocol that this belongs to. A gateway that
    /// is sound never writes what the device does not know.
    pub(super) fn knows(&self, frame: &Frame) -> bool {
        let spoken = match frame {
            Frame::Welcome { protocol, .. } => *protocol,
            other => other.since(),
        };
        spoken <= self.config.protocol
    }

    pub(super) fn go_live(&mut self, conn: ConnId, incarnation: Incarnation, out: &mut Outbox) {
        let Link::Greeting { gateway, .. } = self.link else { return };
        self.link = Link::Live { conn };
        self.attempt = 0;
        out.cancel_timer(Timer::ConnectLimit);
        out.note(Note::Connected { gateway, incarnation, epoch: self.epoch });
        self.keep_alive(out);
        self.catch_up(conn, out);
        self.watch_contacts(conn, out);
        self.ask_for_marks(conn, out);
        // Once for each conversation, in the order of their first messages.
        let mut seen = BTreeSet::new();
        let waiting = self.outbox.iter().map(|outgoing| outgoing.message.conversation);
        let first: Vec<_> = waiting.filter(|conversation| seen.insert(*conversation)).collect();
        for conversation in first {
            self.send_next(conversation, out);
        }
    }

    /// How the device will find out that its connection is dead.
    ///
    /// With TCP alone it does not, until it writes: a connection on which nothing is sent lives for
    /// ever, whatever has become of the other end (keep-alive is off unless asked for, and then
    /// waits two hours), and what is sent into the void is repeated for a quarter of an hour
    /// (`tcp_retries2`). So do clients that trust `onclose`.
    fn keep_alive(&mut self, out: &mut Outbox) {
        match self.config.design.dead_peer {
            DeadPeer::Heartbeats => {
                // The first one is spread, so that a fleet that reconnected together does not beat
                // together for ever after.
                let first = jitter::up_to(
                    self.config.timing.heartbeat,
                    self.config.entropy,
                    u64::from(self.epoch) << 32,
                );
                out.set_timer(Timer::Heartbeat, first);
            }
            DeadPeer::TcpOnly => {}
        }
    }

    /// The connection is gone and the device knows.
    pub(super) fn lost(&mut self, cause: Disconnect, out: &mut Outbox) {
        out.note(Note::Disconnected { epoch: self.epoch, cause });
        self.forget_connection(out);
        self.retry(out);
    }

    /// Ends whatever connection or attempt there is.
    pub(super) fn hang_up(&mut self, out: &mut Outbox, cause: Disconnect) {
        // Going into flight mode is news in any state: from now on nobody waits for this device.
        if matches!(self.link, Link::Live { .. }) || cause == Disconnect::FlightMode {
            out.note(Note::Disconnected { epoch: self.epoch, cause });
        }
        self.abandon(out);
        self.forget_connection(out);
    }

    pub(super) fn abandon(&mut self, out: &mut Outbox) {
        if let Link::Opening { conn, .. } | Link::Greeting { conn, .. } | Link::Live { conn } =
            self.link
        {
            out.close(conn);
        }
        out.cancel_timer(Timer::ConnectLimit);
    }

    pub(super) fn forget_connection(&mut self, out: &mut Outbox) {
        out.cancel_timer(Timer::Heartbeat);
        out.cancel_timer(Timer::HeartbeatLimit);
        self.unanswered = false;
        for outgoing in &mut self.outbox {
            if std::mem::take(&mut outgoing.written) {
                out.cancel_timer(Timer::Resend(outgoing.message.conversation));
            }
        }
        for (conversation, inbox) in &mut self.inboxes {
            if std::mem::take(&mut inbox.fetching) {
                out.cancel_timer(Timer::Refetch(*conversation));
            }
        }
    }

    pub(super) fn failed(&mut self, out: &mut Outbox) {
        out.note(Note::ConnectFailed { attempt: self.attempt });
        self.retry(out);
    }

    pub(super) fn retry(&mut self, out: &mut Outbox) {
        let wait = self.config.design.retry.wait(
            limits::RECONNECT_BASE,
            limits::RECONNECT_CAP,
            self.attempt,
            self.config.entropy ^ u64::from(self.epoch),
        );
        self.attempt += 1;
        self.wait(wait, out);
    }

    /// Goes to the balancer again, not sooner than `least`, and within `spread` after that.
    pub(super) fn come_back(&mut self, least: Duration, spread: Duration, out: &mut Outbox) {
        let draw = u64::from(self.epoch) << 32 | u64::from(u32::MAX);
        self.wait(least + jitter::up_to(spread, self.config.entropy, draw), out);
    }

    fn wait(&mut self, wait: Duration, out: &mut Outbox) {
        self.link = Link::Waiting;
        out.cancel_timer(Timer::ConnectLimit);
        out.set_timer(Timer::Reconnect, wait);
    }

    pub(super) fn beat(&mut self, out: &mut Outbox) {
        let Link::Live { conn } = self.link else { return };
        out.write(conn, Frame::Heartbeat);
        self.fetch_all_missing(out);
        self.repeat_reads(conn, out);
        out.set_timer(Timer::Heartbeat, self.config.timing.heartbeat);
        // The limit belongs to the first heartbeat without an answer; later ones do not extend it.
        if !std::mem::replace(&mut self.unanswered, true) {
            out.set_timer(Timer::HeartbeatLimit, self.config.timing.heartbeat_wait);
        }
    }

    /// Asks for everything from last + 1 on, in every conversation.
    pub(super) fn catch_up(&mut self, conn: ConnId, out: &mut Outbox) {
        let next: Vec<_> =
            self.inboxes.iter().map(|(id, inbox)| (*id, inbox.held_up_to())).collect();
        let epoch = self.heard_of;
        let mut pages = next.chunks(limits::CATCH_UP_CONVERSATIONS_MAX).peekable();
        if pages.peek().is_none() {
            out.write(conn, Frame::CatchUp { epoch, next: Vec::new(), all: true });
        }
        // What is undelivered elsewhere is asked for once; with more conversations than fit, the
        // device may be sent some of its own again, and drops them.
        let mut all = true;
        for page in pages {
            out.write(conn, Frame::CatchUp { epoch, next: page.to_vec(), all });
            all = false;
        }
    }
}
