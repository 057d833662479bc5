//! How a router gets the number of a message that it appends.
//!
//! In the sound design it does not: the database numbers inside the append. The alternatives fetch
//! a number first, from a counter, a reserved block or a clock of their own. Whatever they number,
//! the database takes as it is.

use crate::design::Sequence;
use crate::directory::Directory;
use crate::id::{ConversationId, MessageId};
use crate::limits;
use crate::node::{Event, Outbox, Timer};
use crate::sequence::{Block, Snowflake};
use crate::time::{Instant, Now};
use crate::wire::{Message, Wire};
use std::collections::{BTreeMap, VecDeque};

/// A message that may be appended, and the number that it got from here.
type Numbered = (Message, Option<u64>);

/// Where numbers come from.
#[derive(Clone, Debug)]
enum Source {
    Database,
    Counter,
    Blocks(BTreeMap<ConversationId, Block>),
    Clock { guarded: bool, maker: Option<Maker> },
}

/// A maker of ids under a leased machine id.
#[derive(Clone, Copy, Debug)]
struct Maker {
    machine: u16,
    snowflake: Snowflake,
    /// By then the machine id is another's.
    leased_until: Instant,
}

#[derive(Clone, Debug)]
pub(super) struct Numbers {
    source: Source,
    /// Messages that wait for a number, in the order in which they came.
    waiting: VecDeque<Message>,
    /// When the machine id was asked for: its lease counts from here.
    asked_at: Instant,
}

impl Numbers {
    pub fn new(sequence: Sequence) -> Self {
        let source = match sequence {
            Sequence::SingleWriter | Sequence::Lamport => Source::Database,
            Sequence::RedisCounter => Source::Counter,
            Sequence::Block => Source::Blocks(BTreeMap::new()),
            Sequence::Snowflake => Source::Clock { guarded: true, maker: None },
            Sequence::SnowflakeUnguarded => Source::Clock { guarded: false, maker: None },
        };
        Self { source, waiting: VecDeque::new(), asked_at: Instant(0) }
    }

    pub fn begin(&self, directory: &Directory, out: &mut Outbox) {
        if let Source::Clock { .. } = self.source {
            out.send(directory.database, Wire::LeaseMachine { held: None });
            out.set_timer(Timer::Machine, limits::NUMBER_RETRY);
        }
    }

    /// Whether an event is about numbers.
    pub fn takes(event: &Event) -> bool {
        matches!(
            event,
            Event::Received {
                wire: Wire::Counted { .. } | Wire::Reserved { .. } | Wire::MachineLeased { .. },
                ..
            } | Event::Fired(Timer::Machine | Timer::Renumber(_))
                | Event::Refused {
                    wire: Wire::Count { .. } | Wire::Reserve { .. } | Wire::LeaseMachine { .. },
                    ..
                }
        )
    }

    /// Numbers a message, or lets it wait for its number.
    pub fn number(
        &mut self,
        now: Now,
        message: Message,
        directory: &Directory,
        out: &mut Outbox,
    ) -> Vec<Numbered> {
        if let Source::Database = self.source {
            return vec![(message, None)];
        }
        let waits = self.waiting.iter().any(|other| other.id == message.id);
        if !waits && self.waiting.len() < limits::UNNUMBERED_MAX {
            self.ask(&message, directory, out);
            self.waiting.push_back(message);
        }
        self.give(now, out)
    }

    pub fn step(
        &mut self,
        now: Now,
        event: Event,
        directory: &Directory,
        out: &mut Outbox,
    ) -> Vec<Numbered> {
        match event {
            Event::Received { wire: Wire::Counted { id, number, .. }, .. } => {
                return self.counted(id, number, out);
            }
            Event::Received { wire: Wire::Reserved { conversation, first, count }, .. } => {
                if let Source::Blocks(blocks) = &mut self.source {
                    blocks.insert(conversation, Block::new(first, count));
                }
            }
            Event::Received { wire: Wire::MachineLeased { machine, lasts }, .. } => {
                self.leased(machine, self.asked_at + lasts)
            }
            Event::Fired(Timer::Machine) => self.renew(now, directory, out),
            Event::Fired(Timer::Renumber(id)) => {
                if let Some(message) = self.waiting.iter().find(|message| message.id == id) {
                    self.ask(message, directory, out);
                }
            }
            // Asked again when the timer fires.
            _ => {}
        }
        self.give(now, out)
    }

    /// Asks for what this message needs and is not here.
    fn ask(&self, message: &Message, directory: &Directory, out: &mut Outbox) {
        let Message { conversation, id, .. } = *message;
        match &self.source {
            Source::Counter => out.send(directory.registry, Wire::Count { conversation, id }),
            Source::Blocks(blocks) if !blocks.contains_key(&conversation) => {
                out.send(directory.database, Wire::Reserve { conversation })
            }
            Source::Blocks(_) | Source::Clock { .. } | Source::Database => {}
        }
        out.set_timer(Timer::Renumber(id), limits::NUMBER_RETRY);
    }

    fn counted(&mut self, id: MessageId, number: u64, out: &mut Outbox) -> Vec<Numbered> {
        let Some(at) = self.waiting.iter().position(|message| message.id == id) else {
            return Vec::new(); // Numbered already: this number is never used.
        };
        out.cancel_timer(Timer::Renumber(id));
        let message = self.waiting.remove(at).expect("in range");
        vec![(message, Some(number))]
    }

    /// Gives numbers to those who wait, as far as there are numbers here.
    fn give(&mut self, now: Now, out: &mut Outbox) -> Vec<Numbered> {
        let mut numbered = Vec::new();
        let mut still = VecDeque::new();
        for message in std::mem::take(&mut self.waiting) {
            match self.take(now, message.conversation) {
                Some(number) => {
                    out.cancel_timer(Timer::Renumber(message.id));
                    numbered.push((message, Some(number)));
                }
                None => still.push_back(message),
            }
        }
        self.waiting = still;
        numbered
    }

    fn take(&mut self, now: Now, conversation: ConversationId) -> Option<u64> {
        match &mut self.source {
            Source::Blocks(blocks) => {
                let number = blocks.get_mut(&conversation)?.take();
                if number.is_none() {
                    blocks.remove(&conversation); // Used up; the next asker reserves another.
                }
                number
            }
            Source::Clock { maker: Some(maker), .. } if now.mono < maker.leased_until => {
                maker.snowflake.next(now.wall).ok()
            }
            Source::Clock { .. } | Source::Counter | Source::Database => None,
        }
    }

    fn leased(&mut self, machine: u16, until: Instant) {
        let Source::Clock { guarded, maker } = &mut self.source else { return };
        match maker {
            Some(maker) if maker.machine == machine => maker.leased_until = until,
            _ => {
                let snowflake = Snowflake::new(machine, *guarded);
                *maker = Some(Maker { machine, snowflake, leased_until: until });
            }
        }
    }

    /// Asks for its machine id again while it has it, and for a new one when it has not.
    fn renew(&mut self, now: Now, directory: &Directory, out: &mut Outbox) {
        let Source::Clock { maker, .. } = &self.source else { return };
        let held = maker.filter(|maker| now.mono < maker.leased_until);
        self.asked_at = now.mono;
        let machine = held.map(|maker| maker.machine);
        out.send(directory.database, Wire::LeaseMachine { held: machine });
        // A third of the lease leaves room for two lost questions.
        let after = held.map_or(limits::NUMBER_RETRY, |_| limits::MACHINE_LEASE / 3);
        out.set_timer(Timer::Machine, after);
    }
}
