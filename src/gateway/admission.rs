//! A gateway's admission control: how many new sessions and how much catching up it takes on.
//!
//! Pure bookkeeping that [`super::Gateway`] asks. When everybody comes back at once, those who do
//! not fit are told when to come again, each a slot of their own, and requests for what a device
//! missed wait behind what people write at the moment. It never delays a live message, never lets
//! anything wait without a bound, and keeps no message.

use crate::frame::Frame;
use crate::id::Session;
use crate::limits;
use crate::note::Class;
use crate::time::Instant;
use crate::wire::Wire;
use std::collections::VecDeque;
use std::time::Duration;

/// A token bucket, as the one number that describes it: when it will be full again (the generic
/// cell rate algorithm of ATM). It fills by one token per `period` and holds `burst` worth of them.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    period: Duration,
    burst: Duration,
    full_at: Instant,
}

impl Bucket {
    /// A full bucket. It always holds at least one token.
    pub fn new(period: Duration, burst: Duration) -> Self {
        Self { period, burst: burst.max(period), full_at: Instant::default() }
    }

    /// How long until there is a token; zero if there is one.
    pub fn wait(&self, now: Instant) -> Duration {
        let missing = self.full_at.since(now) + self.period;
        missing.saturating_sub(self.burst)
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let there = self.wait(now).is_zero();
        if there {
            self.full_at = self.full_at.max(now) + self.period;
        }
        there
    }
}

/// Takes in sessions at a rate, and gives everybody else a slot.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    bucket: Bucket,
    /// Slots up to here have been promised to devices that were turned away.
    promised: Instant,
}

impl Door {
    pub fn new(period: Duration) -> Self {
        let bucket = Bucket::new(period, limits::ADMISSION_BURST);
        Self { bucket, promised: Instant::default() }
    }

    /// Takes a session in, or says after how long its device should come again.
    ///
    /// Those turned away are given one slot after the other at the rate of the door: told the same
    /// wait, they would all be here again at the same moment. A slot is not kept for anybody.
    pub fn knock(&mut self, now: Instant) -> Result<(), Duration> {
        if self.bucket.take(now) {
            return Ok(());
        }
        let first = now + self.bucket.wait(now);
        let last = now + limits::BUSY_WAIT_MAX;
        self.promised = first.max(self.promised + self.bucket.period).min(last);
        Err(self.promised.since(now))
    }
}

impl Class {
    /// How urgent what a device says is.
    pub fn of(frame: &Frame) -> Self {
        match frame {
            Frame::CatchUp { .. } => Class::CatchUp,
            Frame::FullSync { .. } => Class::FullSync,
            _ => Class::Live,
        }
    }
}

/// A request that waits for its turn: on whose behalf, and what is to be asked of the database.
pub type Request = (Session, Wire);

/// Requests that are not live, served at a rate, by class.
#[derive(Clone, Debug)]
pub struct Backlog {
    bucket: Bucket,
    catch_ups: VecDeque<Request>,
    full_syncs: VecDeque<Request>,
}

impl Backlog {
    pub fn new(period: Duration) -> Self {
        Self {
            bucket: Bucket::new(period, limits::ADMISSION_BURST),
            catch_ups: VecDeque::new(),
            full_syncs: VecDeque::new(),
        }
    }

    /// Lets a request wait. If as many wait as may, it is dropped, and the answer is false.
    pub fn push(&mut self, class: Class, request: Request) -> bool {
        let (queue, most) = match class {
            Class::Live => unreachable!("live traffic never waits"),
            Class::CatchUp => (&mut self.catch_ups, limits::CATCH_UPS_WAITING_MAX),
            Class::FullSync => (&mut self.full_syncs, limits::FULL_SYNCS_WAITING_MAX),
        };
        let room = queue.len() < most;
        if room {
            queue.push_back(request);
        }
        room
    }

    /// The next request whose turn it is, if the rate allows one now: catch-ups first, each class
    /// in its order. `ready` says whether its device can take an answer now; one that cannot is
    /// passed over and keeps its place. Those of sessions that are over (`None`) are forgotten.
    pub fn pop(
        &mut self,
        now: Instant,
        ready: impl Fn(Session) -> Option<bool>,
    ) -> Option<Request> {
        if !self.bucket.wait(now).is_zero() {
            return None;
        }
        for queue in [&mut self.catch_ups, &mut self.full_syncs] {
            let mut at = 0;
            while let Some((session, _)) = queue.get(at) {
                match ready(*session) {
                    Some(true) => {
                        self.bucket.take(now);
                        return queue.remove(at);
                    }
                    Some(false) => at += 1,
                    None => drop(queue.remove(at)),
                }
            }
        }
        None
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.catch_ups.len() + self.full_syncs.len()
    }

    /// When to look again, if anything waits.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let wait = self.bucket.wait(now);
        let wait = if wait.is_zero() { limits::BACKLOG_POLL } else { wait };
        (!self.is_empty()).then_some(wait)
    }
}
