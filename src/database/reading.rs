//! What devices ask the database for: pages from where they are, and whether they miss something.
//!
//! Asked by gateways in their devices' names. It only says what is durable, and takes what a device
//! says that it holds as an acknowledgement.

use super::pending::Telling;
use super::{Database, Key};
use crate::id::{ConversationId, HostId, Session, Stamp};
use crate::limits;
use crate::node::Outbox;
use crate::time::Now;
use crate::wire::{Batch, Hole, Wire};
use std::collections::BTreeMap;

impl Database {
    /// What may be put before a device from `next` on: messages, and holes in their places.
    pub(super) fn offerable(&self, key: Key, next: u64) -> Batch {
        self.batch_with(key, next, |telling| telling == Telling::Inline)
    }

    fn batch_with(&self, key: Key, next: u64, tells: impl Fn(Telling) -> bool) -> Batch {
        let dropped = self.rows.get(&key).map_or(&[][..], |row| &row.dropped);
        let mut batch = self.batch(key.1, next, dropped);
        let full = batch.entries.len() == limits::BATCH_ENTRIES_MAX;
        let end = match batch.entries.last() {
            Some(entry) if full => entry.stamp.seq,
            _ => u64::MAX,
        };
        let told =
            |hole: &&Hole| hole.upto >= next && hole.from <= end && tells(self.telling(hole.why));
        batch.holes.extend(dropped.iter().filter(told));
        batch.holes.sort_unstable();
        batch
    }

    /// Some of what comes at or after `next` was dropped, and the device does not know.
    fn is_truncated(&self, key: Key, next: u64) -> bool {
        let dropped = self.rows.get(&key).map_or(&[][..], |row| &row.dropped);
        let untold =
            |hole: &Hole| hole.upto >= next && self.telling(hole.why) == Telling::OnFullSync;
        dropped.iter().any(untold)
    }

    #[expect(clippy::too_many_arguments, reason = "what the frame says, and who said it")]
    pub(super) fn catch_up(
        &mut self,
        now: Now,
        from: HostId,
        session: Session,
        epoch: u32,
        next: &[(ConversationId, Stamp)],
        all: bool,
        out: &mut Outbox,
    ) {
        self.tell_epoch(from, session, Some(epoch), out);
        let device = session.device;
        let mut wanted: BTreeMap<ConversationId, (u64, Option<u64>)> = BTreeMap::new();
        for (conversation, held) in next {
            if !self.config.directory.is_member(*conversation, device.user) {
                continue;
            }
            let from = self.in_this_epoch(*conversation, *held, 0);
            wanted.insert(*conversation, (from, self.void_from(*conversation, held.epoch)));
            // What the device says it holds is an acknowledgement.
            self.move_cursor(now, (device, *conversation), from, None, out);
        }
        if all {
            for key in self.rows_of(device) {
                wanted.entry(key.1).or_insert((self.rows[&key].next, None));
            }
        }
        for (conversation, (next, renumbered)) in wanted {
            let key = (device, conversation);
            if self.is_truncated(key, next) && renumbered.is_none() {
                out.send(from, Wire::Truncated { session, conversation });
                continue;
            }
            let batch = Batch { renumbered, ..self.offerable(key, next) };
            if !batch.is_empty() {
                out.send(from, Wire::Page { session, conversation, batch });
            }
        }
    }

    /// Everything that there is to know from `next` on.
    pub(super) fn full_sync(
        &self,
        from: HostId,
        session: Session,
        conversation: ConversationId,
        next: Stamp,
        out: &mut Outbox,
    ) {
        if !self.config.directory.is_member(conversation, session.device.user) {
            return;
        }
        let renumbered = self.void_from(conversation, next.epoch);
        let next = self.in_this_epoch(conversation, next, 0);
        let key = (session.device, conversation);
        let batch = self.batch_with(key, next, |telling| telling != Telling::Never);
        let batch = Batch { renumbered, ..batch };
        out.send(from, Wire::Page { session, conversation, batch });
    }

    /// Tells a device that has heard of an earlier epoch of the sequence which one it is in now,
    /// and again whenever the device shows that it does not know.
    fn tell_epoch(&self, from: HostId, session: Session, heard_of: Option<u32>, out: &mut Outbox) {
        if heard_of.is_some_and(|epoch| epoch < self.epoch()) {
            out.send(from, Wire::Renumbered { session, epoch: self.epoch() });
        }
    }

    /// Tells a device that has beaten in which conversations it has had something undelivered for
    /// a while, and in which epoch the sequence is.
    pub(super) fn tell_heads(
        &mut self,
        now: Now,
        from: HostId,
        session: Session,
        heard_of: Option<u32>,
        out: &mut Outbox,
    ) {
        self.tell_epoch(from, session, heard_of, out);
        let device = session.device;
        let old = |key: &Key| now.mono.since(self.rows[key].since) >= limits::BEHIND_AFTER;
        let heads: Vec<_> = self
            .rows_of(device)
            .into_iter()
            .filter(old)
            .map(|(_, conversation)| (conversation, self.head(conversation)))
            .filter(|(_, head)| head.seq > 0)
            .collect();
        if !heads.is_empty() {
            out.send(from, Wire::Behind { session, heads });
        }
    }
}
