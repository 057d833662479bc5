//! Dead letters: messages that a device could not take, kept aside for a person to look at.
//!
//! A queue that nobody consumes fills in silence, so this one watches itself: it states an alert
//! when a letter has waited for too long and when there are too many, again once per period while
//! that is so, and that it is over when a person has dealt with them. Letters and their age are on
//! disk; a database that has restarted states again what still holds. It never decides what is
//! dead, which is [`super::pending`]'s business, and never deals with a letter by itself.

use super::{Database, Durable, Key};
use crate::design::Poison;
use crate::disk::Record;
use crate::id::Stamp;
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::note::{Alarm, Note};
use crate::time::{Instant, Now, Wall};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The letters that wait, and the alarms that sound.
#[derive(Clone, Debug, Default)]
pub(super) struct Letters {
    /// When each of them died, the oldest first.
    died: VecDeque<Wall>,
    /// When each alarm was last stated.
    stated: BTreeMap<Alarm, Instant>,
}

impl Letters {
    pub(super) fn recover(&mut self, at: Wall) {
        self.died.push_back(at);
    }

    pub(super) fn handled(&mut self) {
        self.died.clear();
    }
}

impl Database {
    /// A message is given up for a device. Durable with its hole, which is appended next.
    pub(super) fn set_aside(&mut self, now: Now, key: Key, stamp: Stamp, out: &mut Outbox) {
        match self.config.design.poison {
            Poison::DeadLetter => {}
            Poison::RetryForEver | Poison::Drop => return, // Nothing is kept aside.
        }
        let at = self.wall(now);
        let (device, conversation) = key;
        let record = Record::DeadLetter { device, conversation, stamp, at };
        self.append_later(record, Durable::Letter, out);
        self.letters.died.push_back(at);
        self.watch_letters(now, out);
    }

    /// Looks whether something is to be stated, and when to look again.
    pub(super) fn watch_letters(&mut self, now: Now, out: &mut Outbox) {
        let Some(oldest) = self.letters.died.front().copied() else { return };
        let wall = self.wall(now);
        // A clock that was set back makes nothing younger than new.
        let age = if wall > oldest { wall - oldest } else { Duration::ZERO };
        let letters = self.letters.died.len() as u32;
        let mut next = limits::ALERT_PERIOD;
        for alarm in [Alarm::DeadLettersOld, Alarm::DeadLettersMany] {
            let sounds = match alarm {
                Alarm::DeadLettersOld => age >= limits::DEAD_LETTER_AGE_MAX,
                Alarm::DeadLettersMany => letters > limits::DEAD_LETTERS_MAX,
            };
            let stated = self.letters.stated.get(&alarm).copied();
            let since = stated.map_or(limits::ALERT_PERIOD, |stated| now.mono.since(stated));
            if sounds && since >= limits::ALERT_PERIOD {
                out.note(Note::Alerted { alarm, letters, oldest: age });
                self.letters.stated.insert(alarm, now.mono);
            } else if sounds {
                next = next.min(limits::ALERT_PERIOD - since);
            }
        }
        if age < limits::DEAD_LETTER_AGE_MAX {
            // A wall clock counts milliseconds: not a fraction of one too early.
            let rest = limits::DEAD_LETTER_AGE_MAX - age + Duration::from_millis(1);
            next = next.min(rest);
        }
        out.set_timer(Timer::DeadLetters, next);
    }

    /// A person has dealt with all that waited.
    pub(super) fn letters_handled(&mut self, out: &mut Outbox) {
        if self.letters.died.is_empty() {
            return;
        }
        let letters = self.letters.died.len() as u32;
        self.append(Record::DeadLettersHandled, Durable::LettersHandled { letters }, out);
        self.letters.handled();
        out.cancel_timer(Timer::DeadLetters);
    }

    /// That is durable, and what had been stated is over.
    pub(super) fn letters_are_handled(&mut self, letters: u32, out: &mut Outbox) {
        out.note(Note::DeadLettersHandled { letters });
        for alarm in std::mem::take(&mut self.letters.stated).into_keys() {
            out.note(Note::AlertCleared { alarm });
        }
    }
}
