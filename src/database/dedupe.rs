//! How the database knows a resend.
//!
//! The sound record is written with the message and lives as long. The others forget.

use crate::design;
use crate::id::{ConversationId, MessageId, Stamp};
use crate::limits;
use crate::time::Instant;
use std::collections::BTreeMap;

/// Where a message was put, and when.
#[derive(Clone, Copy, Debug)]
struct Placed {
    conversation: ConversationId,
    stamp: Stamp,
    at: Instant,
}

#[derive(Clone, Debug)]
pub(super) struct Dedupe {
    design: design::Dedupe,
    placed: BTreeMap<MessageId, Placed>,
}

impl Dedupe {
    pub fn new(design: design::Dedupe) -> Self {
        Self { design, placed: BTreeMap::new() }
    }

    /// Where this message is already, as far as this design knows.
    pub fn known(&self, now: Instant, id: MessageId) -> Option<(ConversationId, Stamp)> {
        let Placed { conversation, stamp, at } = *self.placed.get(&id)?;
        match self.design {
            design::Dedupe::WithAppend => Some((conversation, stamp)),
            design::Dedupe::CacheWithTtl => {
                (now.since(at) < limits::DEDUPE_TTL).then_some((conversation, stamp))
            }
            design::Dedupe::None => None,
        }
    }

    /// A transaction puts a message there.
    pub fn remember(
        &mut self,
        now: Instant,
        id: MessageId,
        conversation: ConversationId,
        stamp: Stamp,
    ) {
        self.placed.insert(id, Placed { conversation, stamp, at: now });
    }

    /// A boot finds that message in the log.
    pub fn recover(&mut self, id: MessageId, conversation: ConversationId, stamp: Stamp) {
        match self.design {
            design::Dedupe::WithAppend => self.remember(Instant(0), id, conversation, stamp),
            // The cache died with its process.
            design::Dedupe::CacheWithTtl | design::Dedupe::None => {}
        }
    }
}
