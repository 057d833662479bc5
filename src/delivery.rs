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

use crate::design::{Design, Fallback, Queue};
use crate::directory::Directory;
use crate::id::{ConversationId, DeviceId, Session, Stamp, Term};
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
    /// What the device could not take.
    rejected: Option<Stamp>,
}

type Key = (DeviceId, ConversationId);

/// The attempts that one host has under way, at most one per device and conversation.
#[derive(Clone, Debug)]
pub struct Deliveries {
    directory: Arc<Directory>,
    entropy: u64,
    design: Design,
    attempts: BTreeMap<Key, Attempt>,
    breakers: Breakers,
    /// Attempts that a device has acknowledged since somebody last asked.
    delivered: u32,
}

impl Deliveries {
    pub fn new(directory: Arc<Directory>, entropy: u64, design: Design) -> Self {
        let breakers = Breakers::new(design.retry, entropy);
        Self { directory, entropy, design, attempts: BTreeMap::new(), breakers, delivered: 0 }
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
            let stamp = claim.batch.first();
            out.note(Note::Redelivered { device, conversation, stamp });
        }
        let key = (device, conversation);
        let attempt = Attempt { claim, stage: Stage::Locating, rejected: None };
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
                        self.delivered = self.delivered.saturating_add(1);
                        self.settle(key, session, term, upto, out);
                    }
                    OfferOutcome::NotHere if awaited => {
                        self.evict(session, out);
                        self.park(key, Parking::NotHere, out);
                    }
                    OfferOutcome::Busy if awaited => self.park(key, Parking::Busy, out),
                    OfferOutcome::Rejected(at) if awaited => {
                        let attempt = self.attempts.get_mut(&key).expect("awaited");
                        attempt.rejected = Some(at);
                        self.park(key, Parking::Rejected, out)
                    }
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
                    OfferOutcome::Rejected(at) => {
                        let (device, conversation) = key;
                        out.send(
                            self.directory.database,
                            Wire::Reject { device, conversation, at },
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
                    let attempt = self.attempts.get_mut(&key).expect("awaited");
                    attempt.stage = Stage::Waiting(session);
                    let has_lease = attempt.claim.term != Term::UNLEASED;
                    let timer = Timer::Attempt(session.device, conversation);
                    out.set_timer(timer, limits::ACKNOWLEDGE_LIMIT);
                    // Without a lease there is nothing to renew, and nothing to lose.
                    if has_lease {
                        let timer = Timer::Renew(session.device, conversation);
                        out.set_timer(timer, limits::RENEW_EVERY);
                    }
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
                    attempt.claim.batch = next;
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
                    Stage::Offering(session) => {
                        self.unanswered(&attempt.claim, out);
                        self.breakers.failed(now.mono, session, key, out);
                    }
                    Stage::Locating | Stage::Waiting(_) => self.unanswered(&attempt.claim, out),
                    // Delivered; if the database did not hear, it is delivered again.
                    Stage::Settling(_) => {}
                }
            }

            // Stores that are down: leases run out, evictions are repeated on the next contact.
            Event::Refused { .. } => {}
            other => unreachable!("not part of a delivery: {other:?}"),
        }
    }

    fn settle(&mut self, key: Key, session: Session, term: Term, upto: Stamp, out: &mut Outbox) {
        let ((device, conversation), database) = (key, self.directory.database);
        if term == Term::UNLEASED {
            self.end(key, out);
            return out.send(database, Wire::Advance { device, conversation, upto });
        }
        self.attempts.get_mut(&key).expect("awaited").stage = Stage::Settling(session);
        out.cancel_timer(Timer::Renew(device, conversation));
        out.send(database, Wire::Settle { device, conversation, term, upto });
    }

    /// No answer is not a no. A lease runs out by itself; without one, silence counts as a failure.
    fn unanswered(&self, claim: &Claim, out: &mut Outbox) {
        match self.is_leased(claim) {
            true => note_parked(claim, Parking::NoAnswer, out),
            false => self.give_back(claim, Parking::NoAnswer, out),
        }
    }

    /// Gives a claim back that was not attempted.
    pub fn give_back(&self, claim: &Claim, why: Parking, out: &mut Outbox) {
        self.give_up(claim, why, self.wait_after(claim, why), None, out);
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
            | Parking::Rejected
            | Parking::BreakerOpen => limits::RETRY_CAP,
        };
        self.design.retry.wait(limits::RETRY_BASE, cap, claim.attempts, self.entropy ^ claim.term.0)
    }

    /// An attempt came to nothing. What keeps its messages?
    ///
    /// The lease does, in the sound design: the row was there before the attempt. A push server
    /// without one makes the row only now, as the textbook has it, or keeps nothing; a worker that
    /// has acknowledged its task puts another one into the queue.
    fn give_up(
        &self,
        claim: &Claim,
        why: Parking,
        retry_after: Duration,
        rejected: Option<Stamp>,
        out: &mut Outbox,
    ) {
        note_parked(claim, why, out);
        let Claim { device, conversation, term, .. } = *claim;
        let database = self.directory.database;
        let Design { fallback, queue, .. } = self.design;
        match (fallback, queue) {
            (_, Queue::EarlyAck) | (Fallback::AfterFailedPush, _) if !self.is_leased(claim) => {
                let from = claim.batch.first();
                out.send(database, Wire::Park { device, conversation, from });
            }
            (Fallback::None, _) if !self.is_leased(claim) => {}
            _ => {
                let release = Wire::Release { device, conversation, term, retry_after, rejected };
                out.send(database, release);
            }
        }
    }

    /// Whether something outside of this process keeps what is attempted.
    fn is_leased(&self, claim: &Claim) -> bool {
        claim.term != Term::UNLEASED && self.design.queue != Queue::EarlyAck
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
                self.give_up(&attempt.claim, Parking::BreakerOpen, span + spread, None, out);
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

    fn term_is(&self, key: Key, term: Term) -> bool {
        self.attempts.get(&key).is_some_and(|attempt| attempt.claim.term == term)
    }

    fn offer(&mut self, key: Key, session: Session, out: &mut Outbox) {
        let attempt = self.attempts.get_mut(&key).expect("an attempt is under way");
        attempt.stage = Stage::Offering(session);
        let Claim { conversation, term, .. } = attempt.claim;
        let batch = attempt.claim.batch.clone();
        out.send(session.gateway, Wire::Offer { session, conversation, term, batch });
    }

    /// The row in the registry leads nowhere: remove exactly that row, if it is still there.
    fn evict(&self, session: Session, out: &mut Outbox) {
        out.note(Note::StaleRoute { session });
        out.send(self.directory.registry, Wire::Evict { session });
    }

    fn park(&mut self, key: Key, why: Parking, out: &mut Outbox) {
        let Attempt { claim, rejected, .. } = self.take(key, out);
        self.give_up(&claim, why, self.wait_after(&claim, why), rejected, out);
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
    let stamp = claim.batch.first();
    out.note(Note::Parked { device, conversation, stamp, why });
}
