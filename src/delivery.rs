//! One attempt to put a leased row's messages before its device: what router and worker share.
//!
//! Locate, offer, settle. Every way in which it can end is one arm of [`Deliveries::step`], and
//! three of them must not be confused: there is no session, the gateway definitely said no, and
//! there was no answer. After the first two the row is given back; after the third only the lease
//! may decide, because the device may have the messages.
//!
//! While the device is waited for, the lease is renewed. An attempt that is told that its lease is
//! gone ends at once and leaves the row alone. A gateway that gives no word is another matter than
//! a phone that gives none: only the first one counts against its [`breaker`].

mod breaker;
mod budget;

pub use budget::Budget;

use crate::design::Retry;
use crate::directory::Directory;
use crate::id::{ConversationId, DeviceId, Session};
use crate::node::{Event, Outbox, Timer};
use crate::note::{Note, Parking};
use crate::time::Now;
use crate::wire::{Claim, OfferOutcome, Wire};
use crate::{jitter, limits};
use breaker::{Admission, Breakers};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Locating,
    Offering(Session),
    /// The gateway has written it; the device's word is awaited.
    Waiting(Session),
    /// The device has acknowledged; the database is being told.
    Settling(Session),
}

#[derive(Clone, Debug)]
struct Attempt {
    claim: Claim,
    stage: Stage,
}

type Key = (DeviceId, ConversationId);

/// The attempts that one host has under way, at most one per device and conversation.
#[derive(Clone, Debug)]
pub struct Deliveries {
    directory: Arc<Directory>,
    entropy: u64,
    retry: Retry,
    attempts: BTreeMap<Key, Attempt>,
    breakers: Breakers,
    /// Attempts that a device has acknowledged since somebody last asked.
    delivered: u32,
}

impl Deliveries {
    pub fn new(directory: Arc<Directory>, entropy: u64, retry: Retry) -> Self {
        let breakers = Breakers::new(retry, entropy);
        Self { directory, entropy, retry, attempts: BTreeMap::new(), breakers, delivered: 0 }
    }

    /// How many attempts have delivered since the last call.
    pub fn take_delivered(&mut self) -> u32 {
        std::mem::take(&mut self.delivered)
    }

    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Begins an attempt. A claim with a newer term takes the place of an older one, never the
    /// other way round: claims may arrive twice and late.
    pub fn begin(&mut self, claim: Claim, out: &mut Outbox) {
        let Claim { device, conversation, term, .. } = claim;
        if self.attempts.get(&(device, conversation)).is_some_and(|a| a.claim.term >= term) {
            return;
        }
        if claim.attempts > 0 {
            let stamp = claim.entries[0].stamp;
            out.note(Note::Redelivered { device, conversation, stamp });
        }
        let key = (device, conversation);
        let attempt = Attempt { claim, stage: Stage::Locating };
        if let Some(earlier) = self.attempts.insert(key, attempt) {
            self.leave(earlier.stage, key);
            out.cancel_timer(Timer::Renew(device, conversation));
        }
        out.send(self.directory.registry, Wire::Locate { device, conversation });
        out.set_timer(Timer::Attempt(device, conversation), limits::ATTEMPT_LIMIT);
    }

    /// Takes an event that belongs to an attempt.
    pub fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Received { wire: Wire::Located { device, conversation, session }, .. } => {
                if !self.at((device, conversation), Stage::Locating) {
                    return; // The attempt has moved on.
                }
                match session {
                    Some(session) => self.try_offer(now, (device, conversation), session, out),
                    None => self.park((device, conversation), Parking::NoSession, out),
                }
            }
            Event::Refused { wire: Wire::Locate { device, conversation }, .. } => {
                if self.at((device, conversation), Stage::Locating) {
                    self.park((device, conversation), Parking::RegistryDown, out);
                }
            }

            Event::Received {
                wire: Wire::Offered { session, conversation, term, outcome },
                ..
            } => {
                let key = (session.device, conversation);
                let awaited = self.is_offered(key, session) && self.term_is(key, term);
                self.breakers.answered(session, out);
                match outcome {
                    OfferOutcome::Acknowledged(upto) if awaited => {
                        self.attempts.get_mut(&key).expect("awaited").stage =
                            Stage::Settling(session);
                        self.delivered = self.delivered.saturating_add(1);
                        let (device, conversation) = key;
                        out.cancel_timer(Timer::Renew(device, conversation));
                        out.send(
                            self.directory.database,
                            Wire::Settle { device, conversation, term, upto },
                        );
                    }
                    OfferOutcome::NotHere if awaited => {
                        self.evict(session, out);
                        self.park(key, Parking::NotHere, out);
                    }
                    OfferOutcome::Busy if awaited => self.park(key, Parking::Busy, out),
                    // The attempt is over, but the device's word still counts: it moves the
                    // cursor without any lease.
                    OfferOutcome::Acknowledged(upto) => {
                        out.note(Note::LateAnswer { device: session.device });
                        let (device, conversation) = key;
                        out.send(
                            self.directory.database,
                            Wire::Advance { device, conversation, upto },
                        );
                    }
                    OfferOutcome::NotHere | OfferOutcome::Busy => {
                        out.note(Note::LateAnswer { device: session.device })
                    }
                }
            }
            Event::Received { wire: Wire::Taken { session, conversation, term }, .. } => {
                let key = (session.device, conversation);
                self.breakers.answered(session, out);
                if self.at(key, Stage::Offering(session)) && self.term_is(key, term) {
                    self.attempts.get_mut(&key).expect("awaited").stage = Stage::Waiting(session);
                    let timer = Timer::Attempt(session.device, conversation);
                    out.set_timer(timer, limits::ACKNOWLEDGE_LIMIT);
                    out.set_timer(Timer::Renew(session.device, conversation), limits::RENEW_EVERY);
                }
            }
            Event::Refused { wire: Wire::Offer { session, conversation, term, .. }, .. } => {
                let key = (session.device, conversation);
                if self.is_offered(key, session) && self.term_is(key, term) {
                    self.breakers.failed(now.mono, session, key, out);
                    self.evict(session, out);
                    self.park(key, Parking::Refused, out);
                }
            }

            Event::Received {
                wire: Wire::Settled { device, conversation, term, next }, ..
            } => {
                let key = (device, conversation);
                let Some(attempt) = self.attempts.get_mut(&key) else { return };
                let Stage::Settling(session) = attempt.stage else { return };
                if attempt.claim.term != term {
                    return;
                }
                if next.is_empty() {
                    self.end(key, out);
                } else {
                    // More has come meanwhile; the device is there and the lease goes on.
                    attempt.claim.entries = next;
                    out.set_timer(Timer::Attempt(device, conversation), limits::ATTEMPT_LIMIT);
                    self.offer(key, session, out);
                }
            }

            Event::Fired(Timer::Renew(device, conversation)) => {
                let Some(attempt) = self.attempts.get(&(device, conversation)) else { return };
                let term = attempt.claim.term;
                out.send(self.directory.database, Wire::Renew { device, conversation, term });
                out.set_timer(Timer::Renew(device, conversation), limits::RENEW_EVERY);
            }
            Event::Received {
                wire: Wire::Renewed { device, conversation, term, held }, ..
            } => {
                let key = (device, conversation);
                // What is being settled needs no lease: its answer says what became of it.
                if !held && self.term_is(key, term) && !self.is_settling(key) {
                    out.note(Note::LeaseLost { device, conversation, term });
                    self.end(key, out);
                }
            }
            Event::Fired(Timer::Breaker(gateway)) => self.breakers.cooled_off(gateway, out),

            Event::Fired(Timer::Attempt(device, conversation)) => {
                let key = (device, conversation);
                let Some(attempt) = self.attempts.remove(&key) else { return };
                out.cancel_timer(Timer::Renew(device, conversation));
                match attempt.stage {
                    // No answer is not a no. The lease runs out by itself.
                    Stage::Offering(session) => {
                        note_parked(&attempt.claim, Parking::NoAnswer, out);
                        self.breakers.failed(now.mono, session, key, out);
                    }
                    Stage::Locating | Stage::Waiting(_) => {
                        note_parked(&attempt.claim, Parking::NoAnswer, out)
                    }
                    // Delivered; if the database did not hear, it is delivered again.
                    Stage::Settling(_) => {}
                }
            }

            // Stores that are down: leases run out, evictions are repeated on the next contact.
            Event::Refused { .. } => {}
            other => unreachable!("not part of a delivery: {other:?}"),
        }
    }

    /// Gives a claim back that was not attempted, or not successfully.
    pub fn give_back(&self, claim: &Claim, why: Parking, out: &mut Outbox) {
        let retry_after = self.wait_after(claim, why);
        self.release(claim, why, retry_after, out);
    }

    fn wait_after(&self, claim: &Claim, why: Parking) -> Duration {
        let cap = match why {
            Parking::NoSession => limits::ABSENT_CAP,
            Parking::Refused
            | Parking::NotHere
            | Parking::Busy
            | Parking::NoAnswer
            | Parking::RegistryDown
            | Parking::Overload
            | Parking::BreakerOpen => limits::RETRY_CAP,
        };
        self.retry.wait(limits::RETRY_BASE, cap, claim.attempts, self.entropy ^ claim.term.0)
    }

    fn release(&self, claim: &Claim, why: Parking, retry_after: Duration, out: &mut Outbox) {
        note_parked(claim, why, out);
        let Claim { device, conversation, term, .. } = *claim;
        out.send(
            self.directory.database,
            Wire::Release { device, conversation, term, retry_after },
        );
    }

    /// Offers, unless the gateway is being left alone: then the row is given back until it may be
    /// probed. Spread, for whoever waits for that moment is not alone.
    fn try_offer(&mut self, now: Now, key: Key, session: Session, out: &mut Outbox) {
        match self.breakers.admit(now.mono, session, key, out) {
            Admission::Go => self.offer(key, session, out),
            Admission::Wait(span) => {
                let attempt = self.take(key, out);
                let entropy = self.entropy ^ attempt.claim.term.0;
                let spread = jitter::up_to(limits::RETRY_BASE, entropy, 0);
                self.release(&attempt.claim, Parking::BreakerOpen, span + spread, out);
            }
        }
    }

    fn at(&self, key: Key, stage: Stage) -> bool {
        self.attempts.get(&key).is_some_and(|attempt| attempt.stage == stage)
    }

    /// It is offered on this session, and the device's word is still to come.
    fn is_offered(&self, key: Key, session: Session) -> bool {
        self.at(key, Stage::Offering(session)) || self.at(key, Stage::Waiting(session))
    }

    fn is_settling(&self, key: Key) -> bool {
        self.attempts.get(&key).is_some_and(|a| matches!(a.stage, Stage::Settling(_)))
    }

    fn term_is(&self, key: Key, term: crate::id::Term) -> bool {
        self.attempts.get(&key).is_some_and(|attempt| attempt.claim.term == term)
    }

    fn offer(&mut self, key: Key, session: Session, out: &mut Outbox) {
        let attempt = self.attempts.get_mut(&key).expect("an attempt is under way");
        attempt.stage = Stage::Offering(session);
        let Claim { conversation, term, .. } = attempt.claim;
        let entries = attempt.claim.entries.clone();
        out.send(session.gateway, Wire::Offer { session, conversation, term, entries });
    }

    /// The row in the registry leads nowhere: remove exactly that row, if it is still there.
    fn evict(&self, session: Session, out: &mut Outbox) {
        out.note(Note::StaleRoute { session });
        out.send(self.directory.registry, Wire::Evict { session });
    }

    fn park(&mut self, key: Key, why: Parking, out: &mut Outbox) {
        let attempt = self.take(key, out);
        self.give_back(&attempt.claim, why, out);
    }

    fn end(&mut self, key: Key, out: &mut Outbox) {
        self.take(key, out);
    }

    /// Takes an attempt out, with everything that was set for it.
    fn take(&mut self, key: Key, out: &mut Outbox) -> Attempt {
        let attempt = self.attempts.remove(&key).expect("an attempt is under way");
        out.cancel_timer(Timer::Attempt(key.0, key.1));
        out.cancel_timer(Timer::Renew(key.0, key.1));
        self.leave(attempt.stage, key);
        attempt
    }

    /// An attempt at this stage is over without a verdict about its gateway.
    fn leave(&mut self, stage: Stage, key: Key) {
        if let Stage::Offering(Session { gateway, .. }) = stage {
            self.breakers.gave_up(gateway, key);
        }
    }
}

fn note_parked(claim: &Claim, why: Parking, out: &mut Outbox) {
    let Claim { device, conversation, .. } = *claim;
    let stamp = claim.entries[0].stamp;
    out.note(Note::Parked { device, conversation, stamp, why });
}
