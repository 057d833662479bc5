//! A device's receipts: what its person has read, and how far the others are.
//!
//! It tells the gateway what was read, again and again until the user's own mark comes back, and
//! shows the marks that it is told. It never says that something was read which it does not hold,
//! and never moves a mark back.

use super::{Client, Durable, Inbox, Link};
use crate::disk::Record;
use crate::frame::Frame;
use crate::id::{ConnId, ConversationId, Stamp, UserId};
use crate::node::Outbox;
use crate::note::Note;
use crate::wire::Mark;
use std::collections::BTreeMap;

/// How far the device's person has read one conversation.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Written down, if not durable yet.
    upto: Stamp,
    /// Durable, and so told.
    durable: Option<Stamp>,
    /// The server knows `durable`.
    known: bool,
}

/// Boxed: a phone that nobody writes to holds no memory for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Receipts(Option<Box<Kept>>);

#[derive(Clone, Debug, Default)]
struct Kept {
    readings: BTreeMap<ConversationId, Reading>,
    /// The marks that are shown. Not kept on disk: after a restart the device asks for all.
    shown: BTreeMap<(ConversationId, UserId), Mark>,
    /// Every move of a mark up to this one is known.
    version: u64,
}

impl Receipts {
    pub(super) fn recover(&mut self, conversation: ConversationId, upto: Stamp) {
        let reading = Reading { upto, durable: Some(upto), known: false };
        self.kept().readings.insert(conversation, reading);
    }

    fn kept(&mut self) -> &mut Kept {
        self.0.get_or_insert_default()
    }

    fn version(&self) -> u64 {
        self.0.as_ref().map_or(0, |kept| kept.version)
    }
}

impl Client {
    /// The person reads what the device shows. Nothing new is nothing to tell.
    pub(super) fn read(&mut self, conversation: ConversationId, out: &mut Outbox) {
        let shown = self.inboxes.get(&conversation).and_then(Inbox::acknowledged);
        let Some(upto) = shown else { return };
        let unread = Reading { upto, durable: None, known: false };
        let readings = &mut self.receipts.kept().readings;
        let reading = readings.entry(conversation).or_insert(unread);
        if reading.upto < upto || reading.durable.is_none() {
            reading.upto = upto;
            let record = Record::Read { conversation, upto };
            self.append(record, Durable::Read { conversation, upto }, out);
        }
    }

    pub(super) fn has_read(&mut self, conversation: ConversationId, upto: Stamp, out: &mut Outbox) {
        let own = (conversation, self.config.device.user);
        let Kept { readings, shown, .. } = self.receipts.kept();
        let reading = readings.get_mut(&conversation).expect("written down");
        if reading.durable >= Some(upto) {
            return; // The person looked twice before the disk was done.
        }
        // Somebody who reads on two devices may have been further on the other one.
        let known = shown.get(&own).is_some_and(|mark| mark.read >= Some(upto));
        (reading.durable, reading.known) = (Some(upto), known);
        out.note(Note::Read { conversation, upto });
        if let (Link::Live { conn }, false) = (self.link, known) {
            out.write(conn, Frame::Read { conversation, upto });
        }
    }

    /// The connection is new: tell again what may not have arrived, and ask for what was missed.
    pub(super) fn ask_for_marks(&mut self, conn: ConnId, out: &mut Outbox) {
        self.repeat_reads(conn, out);
        out.write(conn, Frame::MarksAfter { version: self.receipts.version() });
    }

    pub(super) fn repeat_reads(&self, conn: ConnId, out: &mut Outbox) {
        for (conversation, reading) in self.receipts.0.iter().flat_map(|kept| &kept.readings) {
            if let (Some(upto), false) = (reading.durable, reading.known) {
                out.write(conn, Frame::Read { conversation: *conversation, upto });
            }
        }
    }

    /// The database has lost some of what it was told: tell all of it again.
    pub(super) fn read_again(&mut self, conn: ConnId, out: &mut Outbox) {
        for reading in self.receipts.0.iter_mut().flat_map(|kept| kept.readings.values_mut()) {
            reading.known = false;
        }
        self.repeat_reads(conn, out);
    }

    pub(super) fn show_marks(&mut self, upto: u64, marks: Vec<Mark>, out: &mut Outbox) {
        let own = self.config.device.user;
        if !marks.is_empty() {
            let kept = self.receipts.kept();
            kept.version = kept.version.max(upto);
        }
        for Mark { conversation, user, delivered, read } in marks {
            let nothing = Mark { conversation, user, delivered: None, read: None };
            let Kept { readings, shown, .. } = self.receipts.kept();
            let shown = shown.entry((conversation, user)).or_insert(nothing);
            let before = *shown;
            shown.delivered = before.delivered.max(delivered);
            shown.read = before.read.max(read);
            let Mark { delivered, read, .. } = *shown;
            if *shown != before {
                out.note(Note::MarkShown { conversation, user, delivered, read });
            }
            if user == own
                && let Some(reading) = readings.get_mut(&conversation)
            {
                reading.known |= reading.durable <= read;
            }
        }
        // The acknowledgement of these, and the question for the next.
        if let Link::Live { conn } = self.link {
            out.write(conn, Frame::MarksAfter { version: self.receipts.version() });
        }
    }
}
