//! What a consumer does with a record that it cannot read: a pure function of what is next.
//!
//! Sound: it tries a few times, since a schema may be on its way, then sets the record aside and
//! goes on; it stays in the log under its offset, where a person finds it. In the wild a consumer
//! that throws on a record polls it again for ever, and everybody in its partition waits behind it
//! (KAFKA-4740, `RecordDeserializationException`); or a handler drops it without a word (Kafka
//! Streams' `LogAndContinueExceptionHandler`). Readable entries before the record are never held
//! up by it.

use crate::design::Poison;
use crate::limits;
use crate::wire::SessionEvent;

/// What to do about the entries that are next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Apply the first so many.
    Readable { count: usize },
    /// The first cannot be read: try it again later.
    Refused { tries: u32 },
    /// The first cannot be read: go on after it, and say so or not.
    SetAside { noted: bool },
}

/// Looks at entries, of which there is at least one. `refused` counts the tries at an unreadable
/// one.
pub(super) fn look(poison: Poison, events: &[SessionEvent], refused: &mut u32) -> Look {
    let count = events.iter().take_while(|event| event.is_readable()).count();
    let tries = *refused + 1;
    *refused = 0;
    if count > 0 {
        return Look::Readable { count };
    }
    let look = match poison {
        Poison::DeadLetter if tries < limits::RECORD_TRIES_MAX => Look::Refused { tries },
        Poison::DeadLetter => Look::SetAside { noted: true },
        Poison::RetryForEver => Look::Refused { tries },
        Poison::Drop => Look::SetAside { noted: false },
    };
    if let Look::Refused { tries } = look {
        *refused = tries;
    }
    look
}
