//! One attempt to put a leased row's messages before its device: what router and worker share.
//!
//! Locate, offer, settle. Every way in which it can end is one arm of [`Deliveries::step`], and
//! three of them must not be confused: there is no session, the gateway definitely said no, and
//! there was no answer. After the first two the row is given back; after the third only the lease
//! may decide, because the device may have the messages.

use crate::directory::Directory;
use crate::id::{ConversationId, DeviceId, Session, Stamp};
use crate::node::{Event, Outbox, Timer};
use crate::note::{Note, Parking};
use crate::time::Now;
use crate::wire::{Claim, OfferOutcome, Wire};
use crate::{jitter, limits};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Locating,
    Offering(Session),
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
    attempts: BTreeMap<Key, Attempt>,
}

impl Deliveries {
    pub fn new(directory: Arc<Directory>, entropy: u64) -> Self {
        Self { directory, entropy, attempts: BTreeMap::new() }
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
        self.attempts.insert(
            (device, conversation),
            Attempt { claim, stage: Stage::Locating, rejected: None },
        );
        out.send(self.directory.registry, Wire::Locate { device, conversation });
        out.set_timer(Timer::Attempt(device, conversation), limits::ATTEMPT_LIMIT);
    }

    /// Takes an event that belongs to an attempt.
    pub fn step(&mut self, _now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Received { wire: Wire::Located { device, conversation, session }, .. } => {
                if !self.at((device, conversation), Stage::Locating) {
                    return; // The attempt has moved on.
                }
                match session {
                    Some(session) => self.offer((device, conversation), session, out),
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
                let awaited = self.at(key, Stage::Offering(session)) && self.term_is(key, term);
                match outcome {
                    OfferOutcome::Acknowledged(upto) if awaited => {
                        self.attempts.get_mut(&key).expect("awaited").stage =
                            Stage::Settling(session);
                        let (device, conversation) = key;
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
            Event::Refused { wire: Wire::Offer { session, conversation, term, .. }, .. } => {
                let key = (session.device, conversation);
                if self.at(key, Stage::Offering(session)) && self.term_is(key, term) {
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

            Event::Fired(Timer::Attempt(device, conversation)) => {
                let key = (device, conversation);
                let Some(attempt) = self.attempts.remove(&key) else { return };
                match attempt.stage {
                    // No answer is not a no. The lease runs out by itself.
                    Stage::Locating | Stage::Offering(_) => {
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
    pub fn give_back(
        &self,
        claim: &Claim,
        why: Parking,
        rejected: Option<Stamp>,
        out: &mut Outbox,
    ) {
        note_parked(claim, why, out);
        let Claim { device, conversation, term, attempts, .. } = *claim;
        let entropy = self.entropy ^ term.0;
        let cap = match why {
            Parking::NoSession => limits::ABSENT_CAP,
            Parking::Refused
            | Parking::NotHere
            | Parking::Busy
            | Parking::NoAnswer
            | Parking::RegistryDown
            | Parking::Overload
            | Parking::Rejected => limits::RETRY_CAP,
        };
        let retry_after = jitter::backoff(limits::RETRY_BASE, cap, attempts, entropy);
        out.send(
            self.directory.database,
            Wire::Release { device, conversation, term, retry_after, rejected },
        );
    }

    fn at(&self, key: Key, stage: Stage) -> bool {
        self.attempts.get(&key).is_some_and(|attempt| attempt.stage == stage)
    }

    fn term_is(&self, key: Key, term: crate::id::Term) -> bool {
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
        let attempt = self.attempts.remove(&key).expect("an attempt is under way");
        out.cancel_timer(Timer::Attempt(key.0, key.1));
        self.give_back(&attempt.claim, why, attempt.rejected, out);
    }

    fn end(&mut self, key: Key, out: &mut Outbox) {
        self.attempts.remove(&key);
        out.cancel_timer(Timer::Attempt(key.0, key.1));
    }
}

fn note_parked(claim: &Claim, why: Parking, out: &mut Outbox) {
    let Claim { device, conversation, .. } = *claim;
    let stamp = claim.batch.first();
    out.note(Note::Parked { device, conversation, stamp, why });
}
