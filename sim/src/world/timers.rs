//! The timers that one process has set: by name, each with the number of its setting.
//!
//! A heap entry fires only if its number is still the current one, so cancelling costs nothing. A
//! client has a handful, kept in a list; a busy router has thousands, kept in a map.

use courier::node::Timer;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct Timers {
    few: Vec<(Timer, u64)>,
    /// Those that did not fit into the list.
    many: BTreeMap<Timer, u64>,
}

/// Up to this many, looking through the list is faster than a map, and smaller.
const FEW: usize = 8;

impl Timers {
    pub fn set(&mut self, timer: Timer, id: u64) {
        if let Some(set) = self.few.iter_mut().find(|(name, _)| *name == timer) {
            set.1 = id;
        } else if let Some(set) = self.many.get_mut(&timer) {
            *set = id;
        } else if self.few.len() < FEW {
            if self.few.len() == self.few.capacity() {
                self.few.reserve_exact(2);
            }
            self.few.push((timer, id));
        } else {
            self.many.insert(timer, id);
        }
    }

    pub fn cancel(&mut self, timer: Timer) {
        match self.few.iter().position(|(name, _)| *name == timer) {
            Some(at) => {
                self.few.swap_remove(at);
            }
            None => {
                self.many.remove(&timer);
            }
        }
    }

    /// Takes a timer out if this is still its current setting.
    pub fn take_if(&mut self, timer: Timer, id: u64) -> bool {
        let current = self.few.iter().find(|(name, _)| *name == timer);
        let current = current.map(|(_, id)| *id).or_else(|| self.many.get(&timer).copied());
        let due = current == Some(id);
        if due {
            self.cancel(timer);
        }
        due
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use courier::id::{ConversationId, UserId};

    #[test]
    fn only_the_last_setting_of_a_timer_fires_however_many_there_are() {
        let name = |n| Timer::Resend(ConversationId::between(UserId(0), UserId(n)));
        let mut timers = Timers::default();
        (0..100).for_each(|n| timers.set(name(n), u64::from(n)));
        (0..100).step_by(2).for_each(|n| timers.set(name(n), 1_000 + u64::from(n)));
        (0..100).step_by(5).for_each(|n| timers.cancel(name(n)));
        for n in 0..100 {
            let current = if n % 2 == 0 { 1_000 + u64::from(n) } else { u64::from(n) };
            assert!(!timers.take_if(name(n), current + 1));
            assert_eq!(timers.take_if(name(n), current), n % 5 != 0, "timer {n}");
            assert!(!timers.take_if(name(n), current), "a timer fires once");
        }
    }
}
