//! A device's outbox: messages under one id until they are answered.
//!
//! It writes to the gateway, one message of a conversation at a time. It never forgets a message
//! that nobody has answered.

use super::{Client, Durable, Link, Outgoing};
use crate::disk::Record;
use crate::frame::Frame;
use crate::id::{ConversationId, MessageId};
use crate::limits;
use crate::node::{Draft, Outbox, Timer};
use crate::note::Note;
use crate::wire::{Batch, Entry, Message, Rejection, SendOutcome};

impl Client {
    pub(super) fn write_down(&mut self, draft: Draft, out: &mut Outbox) {
        if self.outbox.len() == limits::OUTBOX_MESSAGES_MAX {
            out.note(Note::Declined { op: draft.op, why: Rejection::OutboxFull });
            return;
        }
        self.counter += 1;
        let id = MessageId { device: self.config.device, counter: self.counter };
        let op = draft.op;
        self.clock += 1;
        let message = draft.numbered(id, self.clock);
        let record = Record::Outgoing(message.clone());
        self.outbox.push_back(Outgoing { message, durable: false, written: false });
        self.append(record, Durable::Outgoing { op, id }, out);
    }

    /// Writes the first unanswered message of a conversation. One at a time: a later message must
    /// not be numbered before an earlier one (I3).
    pub(super) fn send_next(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let Link::Live { conn } = self.link else { return };
        let mut queue = self.outbox.iter_mut();
        let Some(first) = queue.find(|o| o.message.conversation == conversation) else { return };
        if first.durable && !first.written {
            first.written = true;
            out.write(conn, Frame::Send(first.message.clone()));
            out.set_timer(Timer::Resend(conversation), limits::RESEND_AFTER);
        }
    }

    pub(super) fn resend(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let mut queue = self.outbox.iter_mut();
        let Some(first) = queue.find(|o| o.message.conversation == conversation) else { return };
        first.written = false;
        out.note(Note::Resent { id: first.message.id });
        self.send_next(conversation, out);
    }

    pub(super) fn answered(&mut self, id: MessageId, outcome: SendOutcome, out: &mut Outbox) {
        let Some(waiting) = self.outbox.iter().find(|o| o.message.id == id) else { return };
        // An accepted message takes its place in the sender's own conversation, and only then
        // leaves the outbox: a crash in between must find it in one of them. If something in front
        // of it is missing, the record that it is finished says where it will come.
        if let SendOutcome::Accepted(stamp) = outcome {
            let message = waiting.message.clone();
            let conversation = message.conversation;
            let entries = vec![Entry { message, stamp }];
            self.take(conversation, Batch { entries, head: stamp, ..Batch::default() }, out);
        }
        self.finish(id, outcome, out);
    }

    /// Takes a message out of the outbox, for good, and lets the next one go.
    pub(super) fn finish(&mut self, id: MessageId, outcome: SendOutcome, out: &mut Outbox) {
        let Some(at) = self.outbox.iter().position(|o| o.message.id == id) else { return };
        let Message { conversation, .. } = self.outbox.remove(at).expect("in range").message;
        out.cancel_timer(Timer::Resend(conversation));
        let accepted = match outcome {
            SendOutcome::Accepted(stamp) => Some(stamp),
            SendOutcome::Rejected(_) => None,
        };
        self.append(Record::Finished { id, accepted }, Durable::Finished, out);
        match outcome {
            SendOutcome::Accepted(stamp) => out.note(Note::Accepted { id, conversation, stamp }),
            SendOutcome::Rejected(why) => out.note(Note::Failed { id, why }),
        }
        self.send_next(conversation, out);
    }
}
