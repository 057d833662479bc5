//! Numbers that the database gives: one by one inside the append, or away in blocks.
//!
//! Asked by [`super::append`] and by routers that number for themselves. It never gives a number
//! twice in an epoch, and never a machine id to two routers at a time.

use super::{Database, Durable};
use crate::design::Sequence;
use crate::disk::Record;
use crate::id::{ConversationId, HostId, Stamp};
use crate::limits;
use crate::node::Outbox;
use crate::sequence::lamport;
use crate::wire::{Message, Wire};

impl Database {
    /// The place of a message that has none yet.
    pub(super) fn place(&mut self, message: &Message, number: Option<u64>) -> Stamp {
        let epoch = self.epoch();
        let log = self.log_mut(message.conversation);
        let next = log.allocated + 1;
        let seq = match self.config.design.sequence {
            Sequence::SingleWriter => next,
            Sequence::RedisCounter
            | Sequence::Block
            | Sequence::Snowflake
            | Sequence::SnowflakeUnguarded => number.unwrap_or(next),
            Sequence::Lamport => lamport(message.clock, message.id.device),
        };
        let log = self.log_mut(message.conversation);
        log.allocated = log.allocated.max(seq);
        log.placed = log.placed.max(seq);
        log.goes_past(message.id);
        Stamp { epoch, seq }
    }

    /// A block for one router. Durable before it is given: a restart must not give it again.
    pub(super) fn reserve(&mut self, to: HostId, conversation: ConversationId, out: &mut Outbox) {
        let log = self.log_mut(conversation);
        let (first, count) = (log.allocated + 1, limits::SEQUENCE_BLOCK);
        let upto = log.allocated + u64::from(count);
        log.allocated = upto;
        let wire = Wire::Reserved { conversation, first, count };
        self.append(Record::Reserved { conversation, upto }, Durable::Answer { to, wire }, out);
    }

    /// A machine id that nobody had for a long time, or the one that the asker has. Ids are given
    /// in turn, so one comes round again only after all the others, long after its lease.
    pub(super) fn lease_machine(&mut self, to: HostId, held: Option<u16>, out: &mut Outbox) {
        let lasts = limits::MACHINE_LEASE;
        if let Some(machine) = held {
            out.send(to, Wire::MachineLeased { machine, lasts });
            return;
        }
        let machine = (self.machine % limits::MACHINES) as u16;
        self.machine += 1;
        let wire = Wire::MachineLeased { machine, lasts };
        let record = Record::MachineLeased { next: self.machine };
        self.append(record, Durable::Answer { to, wire }, out);
    }
}
