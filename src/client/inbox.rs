//! A device's inbox: what it holds of each conversation, and what it is missing.
//!
//! It takes what the gateway delivers and asks for what is missing. It never shows a message before
//! everything in front of it.

use super::{Client, Durable, Link};
use crate::disk::Record;
use crate::frame::Frame;
use crate::id::{ConversationId, Stamp};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::note::Note;
use crate::wire::{Entry, Message, SendOutcome};

impl Client {
    pub(super) fn arrived(&mut self, frame: Frame, out: &mut Outbox) {
        match frame {
            Frame::HeartbeatAck => {
                self.unanswered = false;
                out.cancel_timer(Timer::HeartbeatLimit);
            }
            Frame::Outcome { id, outcome } => self.answered(id, outcome, out),
            Frame::Deliver { conversation, entries, head } => {
                let inbox = self.inboxes.entry(conversation).or_default();
                // Only what fills the hole answers the question; anything else crossed it.
                let fills = entries.iter().any(|entry| entry.stamp.seq == inbox.next);
                if fills && std::mem::take(&mut inbox.fetching) {
                    out.cancel_timer(Timer::Refetch(conversation));
                }
                self.take(conversation, entries, head, out);
            }
            Frame::Behind { heads } => {
                for (conversation, head) in heads {
                    self.take(conversation, Vec::new(), head, out);
                }
            }
            // Handled before, or spoken only by devices.
            Frame::Welcome { .. }
            | Frame::Displaced { .. }
            | Frame::GoAway
            | Frame::Busy { .. } => {}
            Frame::Hello { .. }
            | Frame::Send(_)
            | Frame::Ack { .. }
            | Frame::CatchUp { .. }
            | Frame::Heartbeat => {}
        }
    }

    /// Takes what arrived into the store as far as it is contiguous, holds the rest, and asks for
    /// what is missing up to `head`.
    pub(super) fn take(
        &mut self,
        conversation: ConversationId,
        entries: Vec<Entry>,
        head: u64,
        out: &mut Outbox,
    ) {
        let inbox = self.inboxes.entry(conversation).or_default();
        inbox.head = inbox.head.max(head);
        let mut repeated = false;
        for entry in entries {
            let Stamp { seq, .. } = entry.stamp;
            if seq < inbox.next || inbox.held.contains_key(&seq) {
                out.note(Note::DuplicateDropped { id: entry.message.id, stamp: entry.stamp });
                repeated = true;
            } else if seq == inbox.next || inbox.held.len() < limits::HELD_MESSAGES_MAX {
                inbox.held.insert(seq, entry);
            }
        }
        let acknowledged = inbox.durable.filter(|_| repeated);
        let mut ready = Vec::new();
        while let Some(entry) = inbox.held.remove(&inbox.next) {
            inbox.next += 1;
            ready.push(entry);
        }
        for entry in ready {
            let Entry { message: Message { id, .. }, stamp } = entry;
            self.append_later(
                Record::Shown { id, conversation, stamp },
                Durable::Shown { id, conversation, stamp },
                out,
            );
            // Its own message came round before its answer did: that is an answer too.
            if id.device == self.config.device {
                self.finish(id, SendOutcome::Accepted(stamp), out);
            }
        }
        self.sync(out);
        // The server repeats what it does not know to be acknowledged: tell it again.
        if let (Some(upto), Link::Live { conn }) = (acknowledged, self.link) {
            out.write(conn, Frame::Ack { conversation, upto });
        }
        self.fetch_missing(conversation, out);
    }

    pub(super) fn fetch_missing(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let Link::Live { conn } = self.link else { return };
        let Some(inbox) = self.inboxes.get_mut(&conversation) else { return };
        // What is on its way to the disk would only be sent again.
        let storing = inbox.held_up_to() < inbox.next;
        if inbox.next > inbox.head || inbox.fetching || storing {
            return;
        }
        inbox.fetching = true;
        out.note(Note::GapNoticed { conversation, from: inbox.next, head: inbox.head });
        let next = vec![(conversation, inbox.held_up_to())];
        out.write(conn, Frame::CatchUp { next, all: false });
        out.set_timer(Timer::Refetch(conversation), limits::REFETCH_AFTER);
    }
}
