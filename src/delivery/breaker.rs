//! Circuit breakers, one per gateway: who does not answer is left alone, then probed.
//!
//! Closed, until a few offers in a row are refused or get no word from the gateway. Open for a
//! cool-off, in which attempts are parked at once instead of hanging. Then half-open: exactly one
//! offer goes through; any answer closes the breaker, none opens it again for longer. "Not here"
//! and "busy" are answers, and a phone that stays silent says nothing about its gateway.
//!
//! A breaker is about one incarnation: a process that has booted since is another one, and owes
//! nothing for what its predecessor did.

use crate::design::Retry;
use crate::id::{ConversationId, DeviceId, HostId, Incarnation, Session};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::note::Note;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// An attempt, by the row that it is about.
type Key = (DeviceId, ConversationId);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Failures in a row so far.
    Closed { failures: u32 },
    /// Until then, or for ever.
    Open { until: Option<Instant> },
    /// The attempt that probes, if there is one.
    HalfOpen { probe: Option<Key> },
}

#[derive(Clone, Copy, Debug)]
struct Breaker {
    incarnation: Incarnation,
    state: State,
    /// How often it has opened since it was last closed.
    trips: u32,
}

/// Whether an offer may go to its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Go,
    /// Not now; ask again after this long.
    Wait(Duration),
}

/// The breakers of one router or worker. Only gateways that have failed have one.
#[derive(Clone, Debug)]
pub(super) struct Breakers {
    retry: Retry,
    entropy: u64,
    breakers: BTreeMap<HostId, Breaker>,
}

impl Breakers {
    pub fn new(retry: Retry, entropy: u64) -> Self {
        Self { retry, entropy, breakers: BTreeMap::new() }
    }

    /// May this row's messages be offered to that session's gateway? If it is the probe that a
    /// half-open breaker waits for, it goes.
    pub fn admit(
        &mut self,
        now: Instant,
        session: Session,
        key: Key,
        out: &mut Outbox,
    ) -> Admission {
        self.forgive(session, out);
        let Some(breaker) = self.breakers.get_mut(&session.gateway) else { return Admission::Go };
        if breaker.incarnation > session.incarnation {
            return Admission::Go; // To a process that is gone; the one that came after says so.
        }
        match &mut breaker.state {
            State::Closed { .. } => Admission::Go,
            State::Open { until: Some(until) } => Admission::Wait(until.since(now)),
            State::Open { until: None } => Admission::Wait(limits::RETRY_CAP),
            // As long as the shortest cool-off: the probe may take its whole limit.
            State::HalfOpen { probe: Some(_) } => Admission::Wait(limits::BREAKER_BASE),
            State::HalfOpen { probe } => {
                *probe = Some(key);
                Admission::Go
            }
        }
    }

    /// The gateway said something.
    pub fn answered(&mut self, session: Session, out: &mut Outbox) {
        if self.concerns(session) {
            self.close(session.gateway, out);
        }
    }

    /// An offer was refused, or got no word from the gateway.
    pub fn failed(&mut self, now: Instant, session: Session, key: Key, out: &mut Outbox) {
        if !self.retry.is_guarded() {
            return;
        }
        self.forgive(session, out);
        let Session { gateway, incarnation, .. } = session;
        let breaker = self.breakers.entry(gateway).or_insert(Breaker {
            incarnation,
            state: State::Closed { failures: 0 },
            trips: 0,
        });
        if breaker.incarnation > incarnation {
            return; // An earlier process at that address; that it is gone is no news.
        }
        match &mut breaker.state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= limits::BREAKER_FAILURES {
                    self.open(now, gateway, out);
                }
            }
            State::HalfOpen { probe } if *probe == Some(key) => self.open(now, gateway, out),
            // An offer from before it opened.
            State::HalfOpen { .. } | State::Open { .. } => {}
        }
    }

    /// The attempt is over, and said nothing about the gateway. If it was the probe, the next one
    /// is.
    pub fn gave_up(&mut self, gateway: HostId, key: Key) {
        if let Some(Breaker { state: State::HalfOpen { probe }, .. }) =
            self.breakers.get_mut(&gateway)
            && *probe == Some(key)
        {
            *probe = None;
        }
    }

    /// The cool-off is over.
    pub fn cooled_off(&mut self, gateway: HostId, out: &mut Outbox) {
        if let Some(breaker) = self.breakers.get_mut(&gateway)
            && matches!(breaker.state, State::Open { .. })
        {
            breaker.state = State::HalfOpen { probe: None };
            out.note(Note::BreakerHalfOpened { gateway });
        }
    }

    fn open(&mut self, now: Instant, gateway: HostId, out: &mut Outbox) {
        let breaker = self.breakers.get_mut(&gateway).expect("it has failed");
        let (base, cap) = (limits::BREAKER_BASE, limits::BREAKER_CAP);
        let entropy = self.entropy ^ u64::from(gateway.0);
        let cool_off = self.retry.cool_off(base, cap, breaker.trips, entropy);
        breaker.state = State::Open { until: cool_off.map(|span| now + span) };
        breaker.trips += 1;
        out.note(Note::BreakerOpened { gateway });
        if let Some(span) = cool_off {
            out.set_timer(Timer::Breaker(gateway), span);
        }
    }

    fn close(&mut self, gateway: HostId, out: &mut Outbox) {
        match self.breakers.get(&gateway).map(|breaker| breaker.state) {
            None | Some(State::Open { until: None }) => return, // It never closes.
            Some(State::Closed { .. }) => {}
            Some(State::Open { .. } | State::HalfOpen { .. }) => {
                out.cancel_timer(Timer::Breaker(gateway));
                out.note(Note::BreakerClosed { gateway });
            }
        }
        self.breakers.remove(&gateway);
    }

    /// The word of this session's process counts: there is no newer one at its address.
    fn concerns(&self, session: Session) -> bool {
        let breaker = self.breakers.get(&session.gateway);
        breaker.is_some_and(|breaker| breaker.incarnation <= session.incarnation)
    }

    /// A newer process at that address begins with a clean slate.
    fn forgive(&mut self, session: Session, out: &mut Outbox) {
        let breaker = self.breakers.get(&session.gateway);
        if breaker.is_some_and(|breaker| breaker.incarnation < session.incarnation) {
            self.close(session.gateway, out);
        }
    }
}
