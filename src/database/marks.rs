//! The database's marks: how far every member of a conversation is, and which devices know it.
//!
//! A delivered mark follows from the acknowledgement of any of the user's devices, a read mark is
//! what a person said. Both only move forward and are told when they are durable. Every move of a
//! mark has a number; a device says up to which number it knows everything, and is told what is
//! newer: at once when it asks for the first time on a connection, afterwards at most once per
//! [`limits::TELL_EVERY`]. Who follows is not kept on disk: the devices ask again. It never decides
//! what is delivered; that is the cursor's business.

use super::{Database, Durable, Key};
use crate::directory::Directory;
use crate::disk::Record;
use crate::id::{ConversationId, DeviceId, Session, Stamp, UserId};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::note::Note;
use crate::wire::{Mark, Wire};
use std::collections::{BTreeMap, BTreeSet};

/// A mark, and when it last moved.
#[derive(Clone, Copy, Debug)]
struct Kept {
    mark: Mark,
    /// The number of its last move, 0 before the first.
    moved: u64,
    /// The number of the last move of its read mark: what the reader's own devices are told.
    read_moved: u64,
}

/// A connected device that is told of marks.
#[derive(Clone, Copy, Debug)]
struct Follower {
    session: Session,
    /// It knows every move up to this number.
    version: u64,
    /// Answers since it last said so.
    unanswered: u32,
}

/// All marks that are durable.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// Moves so far: counted in the order of the disk, so a restart counts the same.
    moves: u64,
    kept: BTreeMap<(ConversationId, UserId), Kept>,
    /// What each user is told of, by the number of its last move.
    feeds: BTreeMap<UserId, BTreeMap<u64, (ConversationId, UserId)>>,
    followers: BTreeMap<DeviceId, Follower>,
    /// Followers with something newer.
    behind: BTreeSet<DeviceId>,
}

/// Moves of one epoch of the sequence; the next begins to count above.
const MOVES_BITS: u32 = 40;

impl Marks {
    /// Moves may be lost with the tail that a promoted replica lacks; what is counted from now on
    /// must be greater than what any device has heard.
    pub(super) fn begin_epoch(&mut self, timeline: u32) {
        self.moves = self.moves.max(u64::from(timeline) << MOVES_BITS);
    }

    fn of(&self, conversation: ConversationId, user: UserId) -> Mark {
        match self.kept.get(&(conversation, user)) {
            Some(kept) => kept.mark,
            None => Mark { conversation, user, delivered: None, read: None },
        }
    }

    /// A mark that is durable now, of this boot or an earlier one. Returns it as it stands, with
    /// whoever is to be told, if it has moved.
    pub(super) fn move_on(
        &mut self,
        directory: &Directory,
        news: Mark,
    ) -> Option<(Mark, Vec<UserId>)> {
        let Mark { conversation, user, delivered, read } = news;
        let key = (conversation, user);
        let before = match self.kept.get(&key) {
            Some(kept) => *kept,
            None => Kept { mark: self.of(conversation, user), moved: 0, read_moved: 0 },
        };
        let delivered = before.mark.delivered.max(delivered);
        let read = before.mark.read.max(read);
        let mark = Mark { delivered, read, ..before.mark };
        if mark == before.mark {
            return None;
        }
        self.moves += 1;
        let mut told = others(directory, conversation, user);
        for other in &told {
            self.list(*other, before.moved, key);
        }
        let mut kept = Kept { mark, moved: self.moves, read_moved: before.read_moved };
        // The reader's other devices follow, and the one that was read on has its answer.
        if mark.read != before.mark.read {
            self.list(user, before.read_moved, key);
            kept.read_moved = self.moves;
            told.push(user);
        }
        self.kept.insert(key, kept);
        Some((mark, told))
    }

    /// Puts a mark at the end of a user's feed, out of its earlier place.
    fn list(&mut self, user: UserId, earlier: u64, key: (ConversationId, UserId)) {
        let feed = self.feeds.entry(user).or_default();
        feed.remove(&earlier);
        feed.insert(self.moves, key);
    }

    /// The number of the last move that the user's devices are told of.
    fn head(&self, user: UserId) -> u64 {
        let last = self.feeds.get(&user).and_then(|feed| feed.last_key_value());
        last.map_or(0, |(number, _)| *number)
    }

    /// What the user's devices are told of after this move, as much as fits, and the number of the
    /// last move among it.
    fn after(&self, user: UserId, version: u64) -> Option<(u64, Vec<Mark>)> {
        let newer = self.feeds.get(&user)?.range(version + 1..).take(limits::MARKS_MAX);
        let (numbers, marks): (Vec<u64>, Vec<Mark>) =
            newer.map(|(number, key)| (*number, self.kept[key].mark)).unzip();
        numbers.last().map(|last| (*last, marks))
    }
}

/// Who else is told of a member's marks: everybody, unless there are too many.
fn others(directory: &Directory, conversation: ConversationId, user: UserId) -> Vec<UserId> {
    if directory.is_larger_than(conversation, limits::RECEIPT_MEMBERS_MAX) {
        return Vec::new();
    }
    let mut members = directory.members(conversation);
    members.retain(|member| *member != user);
    members
}

// What moves them.
impl Database {
    /// One of the user's devices acknowledged everything up to here. Durable with its cursor, which
    /// is appended next.
    pub(super) fn delivered(&mut self, key: Key, upto: Stamp, out: &mut Outbox) {
        let (DeviceId { user, .. }, conversation) = key;
        let mark = self.marks.of(conversation, user);
        let told = !others(&self.config.directory, conversation, user).is_empty();
        if told && mark.delivered < Some(upto) {
            let mark = Mark { delivered: Some(upto), ..mark };
            self.append_later(Record::Mark(mark), Durable::Mark(mark), out);
        }
    }

    /// A person read on one of the user's devices.
    pub(super) fn read(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        upto: Stamp,
        out: &mut Outbox,
    ) {
        let Stamp { epoch, seq: head } = self.head(conversation);
        // What it read of a history that is gone does not count.
        let seq = self.in_this_epoch(conversation, upto, 1).saturating_sub(1).min(head);
        if seq == 0 || !self.config.directory.is_member(conversation, user) {
            return; // A device of another history.
        }
        let read = Some(Stamp { epoch, seq });
        let mark = self.marks.of(conversation, user);
        if mark.read < read {
            // What is read on a device is on that device, also if its acknowledgement comes later.
            let mark = Mark { delivered: mark.delivered.max(read), read, ..mark };
            self.append(Record::Mark(mark), Durable::Mark(mark), out);
        }
    }

    /// A mark is durable.
    pub(super) fn marked(&mut self, mark: Mark, out: &mut Outbox) {
        let Some((mark, told)) = self.marks.move_on(&self.config.directory, mark) else { return };
        let Mark { conversation, user, delivered, read } = mark;
        out.note(Note::Marked { conversation, user, delivered, read });
        let directory = self.config.directory.clone();
        for device in told.into_iter().flat_map(|user| directory.devices(user)) {
            if self.marks.followers.contains_key(&device) {
                self.tell_later(device, out);
            }
        }
    }
}

// Who is told.
impl Database {
    /// A device asks for what is newer than this.
    pub(super) fn follow(&mut self, session: Session, version: u64, out: &mut Outbox) {
        let device = session.device;
        let earlier = self.marks.followers.get(&device).copied();
        if earlier.is_some_and(|earlier| earlier.session.epoch > session.epoch) {
            return; // A question of an earlier connection that came late.
        }
        let known = earlier.filter(|earlier| earlier.session == session);
        // Questions may overtake each other; what a device knew it still knows.
        let version = known.map_or(version, |known| version.max(known.version));
        self.marks.followers.insert(device, Follower { session, version, unanswered: 0 });
        if known.is_none() {
            self.tell(device, out);
        } else if self.marks.head(device.user) > version {
            self.tell_later(device, out);
        }
    }

    /// A device's connection is alive. If an answer was lost on the way it is given again; if it is
    /// not known how far the device is, it should ask.
    pub(super) fn beats(&mut self, session: Session, out: &mut Outbox) {
        let device = session.device;
        let head = self.marks.head(device.user);
        match self.marks.followers.get(&device).copied() {
            Some(follower) if follower.session == session && head > follower.version => {
                self.tell_later(device, out)
            }
            // It knows everything, or has a newer connection.
            Some(follower) if follower.session.epoch >= session.epoch => {}
            _ if head > 0 => {
                let marks = Vec::new();
                out.send(session.gateway, Wire::Marks { session, upto: 0, marks });
            }
            _ => {}
        }
    }

    fn tell_later(&mut self, device: DeviceId, out: &mut Outbox) {
        if self.marks.behind.is_empty() {
            out.set_timer(Timer::TellMarks, limits::TELL_EVERY);
        }
        self.marks.behind.insert(device);
    }

    pub(super) fn tell_marks(&mut self, out: &mut Outbox) {
        for device in std::mem::take(&mut self.marks.behind) {
            self.tell(device, out);
        }
    }

    fn tell(&mut self, device: DeviceId, out: &mut Outbox) {
        let Some(Follower { session, version, unanswered }) =
            self.marks.followers.get(&device).copied()
        else {
            return;
        };
        let Some((upto, marks)) = self.marks.after(device.user, version) else { return };
        if unanswered == limits::MARKS_UNANSWERED_MAX {
            self.marks.followers.remove(&device);
            return;
        }
        let follower = Follower { session, version, unanswered: unanswered + 1 };
        self.marks.followers.insert(device, follower);
        out.send(session.gateway, Wire::Marks { session, upto, marks });
    }
}
