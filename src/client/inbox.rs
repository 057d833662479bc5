//! A device's inbox: what it holds of each conversation, and what it is missing.
//!
//! It takes what the gateway delivers and asks for what is missing. Where numbers count, it never
//! shows a message before everything in front of it: a message or a hole with a reason. Where they
//! do not, it shows what arrives when it arrives, because it cannot know better.

use super::{Client, Durable, Held, Inbox, Link};
use crate::disk::Record;
use crate::frame::Frame;
use crate::id::{ConversationId, Stamp};
use crate::node::{Outbox, Timer};
use crate::note::Note;
use crate::wire::{Batch, Entry, Hole, HoleReason, SendOutcome};
use crate::{limits, sequence};

impl Client {
    pub(super) fn arrived(&mut self, frame: Frame, out: &mut Outbox) {
        match frame {
            Frame::HeartbeatAck => {
                self.unanswered = false;
                out.cancel_timer(Timer::HeartbeatLimit);
            }
            Frame::Outcome { id, outcome } => self.answered(id, outcome, out),
            Frame::Deliver { conversation, batch } => self.take(conversation, batch, out),
            Frame::Behind { heads } => {
                for (conversation, head) in heads {
                    self.take(conversation, Batch { head, ..Batch::default() }, out);
                }
            }
            Frame::Truncated { conversation } => self.sync_fully(conversation, out),
            Frame::Renumbered { epoch } => self.hear_of(epoch, out),
            Frame::Statuses { statuses } => self.show_statuses(statuses, out),
            Frame::Marks { upto, marks } => self.show_marks(upto, marks, out),
            // Handled before, or spoken only by devices.
            Frame::Welcome { .. }
            | Frame::Displaced { .. }
            | Frame::GoAway
            | Frame::Busy { .. } => {}
            Frame::Hello { .. }
            | Frame::Send(_)
            | Frame::Ack { .. }
            | Frame::CatchUp { .. }
            | Frame::FullSync { .. }
            | Frame::Reject { .. }
            | Frame::Heartbeat
            | Frame::Watch { .. }
            | Frame::Read { .. }
            | Frame::MarksAfter { .. } => {}
        }
    }

    /// Takes what arrived into the store as far as it may, holds the rest, and asks for what is
    /// missing up to the head.
    pub(super) fn take(&mut self, conversation: ConversationId, batch: Batch, out: &mut Outbox) {
        let Batch { entries, holes, head, renumbered } = batch;
        let inbox =
            self.inboxes.entry(conversation).or_insert_with(|| Inbox::new(head.epoch.max(1)));
        if head.epoch < inbox.epoch {
            return; // From before the sequence began again.
        }
        // Also a conversation that is new to it tells it so: of others it may hold what is void.
        let later = head.epoch > inbox.epoch;
        self.hear_of(head.epoch, out);
        if later {
            match renumbered {
                Some(void) => self.renumber(conversation, head.epoch, void, out),
                // Only the server knows how much of the earlier epoch is left.
                None => {
                    let inbox = self.inboxes.get_mut(&conversation).expect("just made");
                    inbox.hear_of_head(head);
                    return self.ask(conversation, out);
                }
            }
        }
        let inbox = self.inboxes.get_mut(&conversation).expect("just made");
        inbox.hear_of_head(head);
        let counted = sequence::is_counted(self.config.design.sequence);
        let repeated = if counted {
            self.take_in_order(conversation, entries, &holes, out)
        } else {
            self.take_as_it_comes(conversation, entries, out)
        };
        let inbox = self.inboxes.get_mut(&conversation).expect("just made");
        let acknowledged = inbox.acknowledged().filter(|_| repeated);
        self.sync(out);
        // The server repeats what it does not know to be acknowledged: tell it again.
        if let (Some(upto), Link::Live { conn }) = (acknowledged, self.link) {
            out.write(conn, Frame::Ack { conversation, upto });
        }
        self.fetch_missing(conversation, out);
    }

    /// Returns whether something arrived that the device had already.
    fn take_in_order(
        &mut self,
        conversation: ConversationId,
        entries: Vec<Entry>,
        holes: &[Hole],
        out: &mut Outbox,
    ) -> bool {
        let inbox = self.inboxes.get_mut(&conversation).expect("taken into an inbox");
        let mut repeated = false;
        for entry in entries {
            let Stamp { seq, .. } = entry.stamp;
            if seq < inbox.next || inbox.held.contains_key(&seq) {
                out.note(Note::DuplicateDropped { id: entry.message.id, stamp: entry.stamp });
                repeated = true;
            } else if seq == inbox.next || inbox.held.len() < limits::HELD_MESSAGES_MAX {
                inbox.held.insert(seq, Held::Entry(entry));
            }
        }
        for hole in holes {
            if hole.upto >= inbox.next {
                let from = hole.from.max(inbox.next);
                inbox.held.insert(from, Held::Hole(Hole { from, ..*hole }));
            } else {
                repeated = true;
            }
        }
        while let Some(held) = self.next_held(conversation) {
            match held {
                Held::Entry(entry) if self.can_read(&entry) => self.show(conversation, entry, out),
                Held::Entry(entry) => {
                    self.reject(conversation, &entry, out);
                    break;
                }
                Held::Hole(hole) => self.explain(conversation, hole, out),
            }
        }
        repeated
    }

    /// What is held for the first number that is missing, if something is.
    fn next_held(&mut self, conversation: ConversationId) -> Option<Held> {
        let inbox = self.inboxes.get_mut(&conversation).expect("taken into an inbox");
        while let Some(first) = inbox.held.first_entry() {
            if *first.key() > inbox.next {
                return None;
            }
            match first.remove() {
                Held::Entry(entry) if entry.stamp.seq == inbox.next => {
                    return Some(Held::Entry(entry));
                }
                Held::Hole(hole) if hole.upto >= inbox.next => {
                    return Some(Held::Hole(Hole { from: inbox.next, ..hole }));
                }
                Held::Entry(_) | Held::Hole(_) => {} // Covered by a hole meanwhile.
            }
        }
        None
    }

    /// Numbers that do not count: whatever is new is shown at once.
    fn take_as_it_comes(
        &mut self,
        conversation: ConversationId,
        entries: Vec<Entry>,
        out: &mut Outbox,
    ) -> bool {
        let mut repeated = false;
        for entry in entries {
            let readable = self.can_read(&entry);
            let inbox = self.inboxes.get_mut(&conversation).expect("taken into an inbox");
            if inbox.seen.contains(&entry.stamp.seq) {
                out.note(Note::DuplicateDropped { id: entry.message.id, stamp: entry.stamp });
                repeated = true;
            } else if readable {
                inbox.seen.insert(entry.stamp.seq);
                self.show(conversation, entry, out);
            } else {
                self.reject(conversation, &entry, out);
            }
        }
        repeated
    }

    /// Its own words it knows; those of others its decoder may refuse.
    fn can_read(&self, entry: &Entry) -> bool {
        entry.message.is_readable() || entry.message.id.device == self.config.device
    }

    /// Only what fills the hole answers the question; anything else crossed it.
    fn filled(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let inbox = self.inboxes.get_mut(&conversation).expect("filled in an inbox");
        if std::mem::take(&mut inbox.fetching) {
            out.cancel_timer(Timer::Refetch(conversation));
        }
    }

    fn show(&mut self, conversation: ConversationId, entry: Entry, out: &mut Outbox) {
        let Entry { message, stamp } = entry;
        let (id, clock) = (message.id, message.clock);
        self.clock = self.clock.max(clock);
        self.filled(conversation, out);
        let inbox = self.inboxes.get_mut(&conversation).expect("shown in an inbox");
        inbox.next = inbox.next.max(stamp.seq + 1);
        let latest = inbox.authors.entry(id.device).or_default();
        // The same message in another place: the first place is gone with an earlier epoch.
        let again = inbox.epoch > 1 && id.counter <= *latest;
        *latest = id.counter.max(*latest);
        let (numbering, next) = (inbox.epoch, inbox.next);
        if again {
            out.note(Note::DuplicateDropped { id, stamp });
        }
        self.append_later(
            Record::Shown { id, conversation, stamp },
            Durable::Shown { id, conversation, stamp, again, numbering, next },
            out,
        );
        // Its own message came round before its answer did: that is an answer too.
        if id.device == self.config.device {
            self.finish(id, SendOutcome::Accepted(stamp), out);
        }
    }

    /// There is nothing at these numbers, and the device knows why.
    fn explain(&mut self, conversation: ConversationId, hole: Hole, out: &mut Outbox) {
        self.filled(conversation, out);
        let inbox = self.inboxes.get_mut(&conversation).expect("a hole in an inbox");
        inbox.next = hole.upto + 1;
        let (epoch, next) = (inbox.epoch, inbox.next);
        self.append_later(
            Record::Explained { conversation, epoch, hole },
            Durable::Explained { conversation, epoch, hole, numbering: epoch, next },
            out,
        );
    }

    /// Says that it cannot take a message. It will be sent again, so this waits for a while.
    fn reject(&mut self, conversation: ConversationId, entry: &Entry, out: &mut Outbox) {
        let (id, stamp) = (entry.message.id, entry.stamp);
        out.note(Note::Rejected { id, conversation, stamp });
        let inbox = self.inboxes.get_mut(&conversation).expect("taken into an inbox");
        inbox.fetching = true;
        let at = Stamp { epoch: inbox.epoch, seq: stamp.seq };
        out.set_timer(Timer::Refetch(conversation), limits::REFETCH_AFTER);
        if let Link::Live { conn } = self.link {
            out.write(conn, Frame::Reject { conversation, at });
        }
    }
}

// What is missing.
impl Client {
    pub(super) fn fetch_missing(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let inbox = self.inboxes.get(&conversation);
        if inbox.is_some_and(|inbox| inbox.lacks(self.heard_of)) {
            self.ask(conversation, out);
        }
    }

    /// Asks again for all that is known to be missing: an answer may have been lost, or have come
    /// from a replica that lags.
    pub(super) fn fetch_all_missing(&mut self, out: &mut Outbox) {
        let lacking = self.inboxes.iter().filter(|(_, inbox)| inbox.lacks(self.heard_of));
        let lacking: Vec<ConversationId> = lacking.map(|(conversation, _)| *conversation).collect();
        lacking.into_iter().for_each(|conversation| self.ask(conversation, out));
    }

    /// Asks for everything from the first missing number on.
    fn ask(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let Link::Live { conn } = self.link else { return };
        let inbox = self.inboxes.get_mut(&conversation).expect("asked for an inbox");
        if std::mem::replace(&mut inbox.fetching, true) {
            return;
        }
        out.note(Note::GapNoticed { conversation, from: inbox.next, head: inbox.head });
        let next = vec![(conversation, inbox.held_up_to())];
        let epoch = self.heard_of;
        out.write(conn, Frame::CatchUp { epoch, next, all: false });
        out.set_timer(Timer::Refetch(conversation), limits::REFETCH_AFTER);
    }

    /// Some of what it asked for is gone: asks for all that there is to know.
    fn sync_fully(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let Link::Live { conn } = self.link else { return };
        let epoch = self.heard_of;
        let inbox = self.inboxes.entry(conversation).or_insert_with(|| Inbox::new(epoch));
        inbox.fetching = true;
        out.note(Note::FullSyncAsked { conversation });
        out.write(conn, Frame::FullSync { conversation, next: inbox.held_up_to() });
        out.set_timer(Timer::Refetch(conversation), limits::REFETCH_AFTER);
    }
}

// The epoch of the sequence.
impl Client {
    /// The sequence began again. Where, the server says conversation by conversation.
    fn hear_of(&mut self, epoch: u32, out: &mut Outbox) {
        if epoch <= self.heard_of {
            return;
        }
        self.heard_of = epoch;
        out.note(Note::EpochHeard { epoch });
        self.append(Record::HeardOfEpoch(epoch), Durable::Finished, out);
        if let Link::Live { conn } = self.link {
            self.catch_up(conn, out);
            self.read_again(conn, out);
        }
    }

    /// What the device holds from `void` on is of a history that is gone. It stays on the screen;
    /// other messages come in its place.
    fn renumber(&mut self, conversation: ConversationId, epoch: u32, void: u64, out: &mut Outbox) {
        let inbox = self.inboxes.get_mut(&conversation).expect("renumbered in an inbox");
        let earlier = inbox.epoch;
        inbox.renumber(epoch, void);
        out.cancel_timer(Timer::Refetch(conversation));
        let hole = Hole { from: void, upto: u64::MAX, why: HoleReason::Renumbered };
        let next = inbox.next;
        self.append_later(
            Record::Explained { conversation, epoch, hole },
            Durable::Explained { conversation, epoch: earlier, hole, numbering: epoch, next },
            out,
        );
    }
}
