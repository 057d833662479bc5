//! The timers that one process has set: by name, each with the number of its setting, and when it
//! is due on the clock of its own host.
//!
//! A heap entry fires only if its number is still the current one, so cancelling costs nothing.
//! When the clock changes its pace all are set anew. A client has a handful, kept in a list; a busy
//! router has thousands, kept in a map.

use courier::node::Timer;
use courier::time::Instant;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct Timers {
    few: Vec<(Timer, Setting)>,
    /// Those that did not fit into the list.
    many: BTreeMap<Timer, Setting>,
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    id: u64,
    due: Instant,
}

/// Up to this many, looking through the list is faster than a map, and smaller.
const FEW: usize = 8;

impl Timers {
    pub fn set(&mut self, timer: Timer, id: u64, due: Instant) {
        let setting = Setting { id, due };
        if let Some(set) = self.few.iter_mut().find(|(name, _)| *name == timer) {
            set.1 = setting;
        } else if let Some(set) = self.many.get_mut(&timer) {
            *set = setting;
        } else if self.few.len() < FEW {
            if self.few.len() == self.few.capacity() {
                self.few.reserve_exact(2);
            }
            self.few.push((timer, setting));
        } else {
            self.many.insert(timer, setting);
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

    /// Whether this is the timer's current setting.
    pub fn is_current(&self, timer: Timer, id: u64) -> bool {
        let few = self.few.iter().find(|(name, _)| *name == timer);
        let setting = few.map(|(_, setting)| setting).or_else(|| self.many.get(&timer));
        setting.is_some_and(|setting| setting.id == id)
    }

    /// Takes a timer out if this is still its current setting.
    pub fn take_if(&mut self, timer: Timer, id: u64) -> bool {
        let current = self.is_current(timer, id);
        if current {
            self.cancel(timer);
        }
        current
    }

    /// All that are set, with what each is due at.
    pub fn all(&self) -> Vec<(Timer, Instant)> {
        let many = self.many.iter().map(|(timer, setting)| (*timer, *setting));
        let all = self.few.iter().copied().chain(many);
        all.map(|(timer, setting)| (timer, setting.due)).collect()
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
        let due = |id| Instant(7 * id);
        let mut timers = Timers::default();
        (0..100).for_each(|n| timers.set(name(n), u64::from(n), due(u64::from(n))));
        (0..100).step_by(2).for_each(|n| {
            let id = 1_000 + u64::from(n);
            timers.set(name(n), id, due(id));
        });
        (0..100).step_by(5).for_each(|n| timers.cancel(name(n)));
        let all = timers.all();
        for n in 0..100 {
            let current = if n % 2 == 0 { 1_000 + u64::from(n) } else { u64::from(n) };
            let set = n % 5 != 0;
            assert_eq!(all.contains(&(name(n), due(current))), set, "timer {n}");
            assert!(!timers.take_if(name(n), current + 1));
            assert_eq!(timers.take_if(name(n), current), set, "timer {n}");
            assert!(!timers.take_if(name(n), current), "a timer fires once");
        }
        assert_eq!((all.len(), timers.all().len()), (80, 0));
    }
}
