//! Every order of what can happen to one delivery, to a depth.
//!
//! The environment of a router is played by its most liberal version: whatever was asked may be
//! answered in every possible way, any number of times, at any later moment, also after the
//! attempt that asked is over; timers fire, claims of newer and of older terms arrive. After each
//! step a small model, which sees only events and actions, says what the router may and may not
//! have done. States that look the same from here on are explored once.

use crate::cast::*;
use courier::design::Design;
use courier::directory::Directory;
use courier::id::{HostId, Session, Term};
use courier::node::{Action, Event, Outbox, Role, Timer};
use courier::note::{Note, Parking};
use courier::router::{Config, Router};
use courier::time::Now;
use courier::wire::{Batch, OfferOutcome, SendOutcome, Wire};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const DEPTH: usize = 8;

/// How the one attempt that may be open stands, as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Open {
    Locating,
    Offering(Session),
    /// The gateway has written it.
    Waiting(Session),
    Settling(Session),
}

#[derive(Clone)]
struct World {
    router: Router,
    timers: BTreeSet<Timer>,
    attempt: Option<(Term, Open)>,
    /// Every question ever asked: each may still be answered.
    asked: BTreeMap<String, (HostId, Wire)>,
    /// Claims begun but not yet ended; must agree with `attempt`.
    begun: u32,
    ended: u32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum End {
    Released,
    Settled,
    LeftToTheLease,
    Superseded,
    /// The database said that the lease is gone.
    LeaseLost,
}

fn tiny() -> Arc<Directory> {
    Arc::new(Directory { groups: BTreeMap::new(), ..directory() })
}

impl World {
    fn new() -> Self {
        Self {
            router: Router::boot(Config {
                directory: tiny(),
                entropy: 7,
                design: Design::default(),
            }),
            timers: BTreeSet::new(),
            attempt: None,
            asked: BTreeMap::new(),
            begun: 0,
            ended: 0,
        }
    }

    /// What tells this state from another: the router, its timers, and what may be answered.
    fn fingerprint(&self) -> String {
        let asked: Vec<_> = self.asked.keys().collect();
        format!("{:?} {:?} {:?} {asked:?}", self.router, self.timers, self.attempt)
    }

    /// Everything that the environment may do next.
    fn possible(&self, claims: &[u64]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut answer = |from: HostId, wire: Wire| events.push(Event::Received { from, wire });
        for (to, wire) in self.asked.values() {
            match wire.clone() {
                // A claim per lease; those of later leases came with later messages.
                Wire::Append { message, .. } => {
                    for lease in claims {
                        let id = message.id;
                        let outcome = SendOutcome::Accepted(stamp(1));
                        let claims = vec![claim(*lease, 1..=1)];
                        answer(*to, Wire::Appended { id, outcome, claims });
                    }
                }
                Wire::Locate { device, conversation } => {
                    for session in [None, Some(session(2, 4, 1)), Some(session(2, 5, 3))] {
                        answer(*to, Wire::Located { device, conversation, session });
                    }
                }
                Wire::Offer { session, conversation, term, batch } => {
                    let upto = batch.upto();
                    for outcome in [
                        OfferOutcome::Acknowledged(upto),
                        OfferOutcome::NotHere,
                        OfferOutcome::Busy,
                        OfferOutcome::Rejected(upto),
                    ] {
                        answer(*to, Wire::Offered { session, conversation, term, outcome });
                    }
                    answer(*to, Wire::Taken { session, conversation, term });
                }
                Wire::Renew { device, conversation, term } => {
                    for held in [true, false] {
                        answer(*to, Wire::Renewed { device, conversation, term, held });
                    }
                }
                Wire::Settle { device, conversation, term, .. } => {
                    for next in [Batch::default(), batch(2..=2)] {
                        answer(*to, Wire::Settled { device, conversation, term, next });
                    }
                }
                _ => continue, // Only refusals come back.
            }
        }
        let refusals = self.asked.values().cloned().map(|(to, wire)| Event::Refused { to, wire });
        events.extend(refusals);
        events.extend(self.timers.iter().map(|timer| Event::Fired(*timer)));
        events
    }

    /// Steps the router and holds what it did against the rules.
    fn after(&self, event: &Event, ends: &mut BTreeMap<End, u64>) -> Self {
        let mut next = self.clone();
        if let Event::Fired(timer) = event {
            next.timers.remove(timer);
        }
        let mut out = Outbox::default();
        next.router.step(Now::default(), event.clone(), &mut out);
        let actions: Vec<Action> = out.drain().collect();
        let rules = Rules { before: self, event, actions: &actions };
        for action in &actions {
            rules.hold(action);
            next.note(action);
        }
        next.follow(event, &actions, ends);
        next.consistent(event, &actions);
        next
    }

    fn note(&mut self, action: &Action) {
        match action {
            Action::Send { to, wire } => {
                self.asked.insert(format!("{to} {wire:?}"), (*to, wire.clone()));
            }
            Action::SetTimer { timer, .. } => {
                self.timers.insert(*timer);
            }
            Action::CancelTimer(timer) => {
                self.timers.remove(timer);
            }
            _ => {}
        }
    }

    /// Follows the attempt by what the router asked, said and was told.
    fn follow(&mut self, event: &Event, actions: &[Action], ends: &mut BTreeMap<End, u64>) {
        let mut end = |attempt: &mut Option<(Term, Open)>, how| {
            assert!(attempt.take().is_some(), "{event:?} ended an attempt that was not open");
            *ends.entry(how).or_default() += 1;
        };
        for action in actions {
            if let Action::Note(Note::LeaseLost { .. }) = action {
                end(&mut self.attempt, End::LeaseLost);
                self.ended += 1;
            }
            let Action::Send { wire, .. } = action else { continue };
            match wire {
                Wire::Locate { .. } => {
                    let Event::Received { wire: Wire::Appended { claims, .. }, .. } = event else {
                        panic!("located after {event:?}, which brought no claim")
                    };
                    if self.attempt.is_some() {
                        end(&mut self.attempt, End::Superseded);
                        self.ended += 1;
                    }
                    self.attempt = Some((claims[0].term, Open::Locating));
                    self.begun += 1;
                }
                Wire::Offer { session, term, .. } => {
                    self.attempt = Some((*term, Open::Offering(*session)));
                }
                Wire::Settle { term, .. } => {
                    let Some((_, Open::Offering(session) | Open::Waiting(session))) = self.attempt
                    else {
                        panic!("settled what was not being offered")
                    };
                    self.attempt = Some((*term, Open::Settling(session)));
                }
                Wire::Release { .. } => {
                    end(&mut self.attempt, End::Released);
                    self.ended += 1;
                }
                _ => {}
            }
        }
        match (event, self.attempt) {
            (
                Event::Received { wire: Wire::Taken { session, term, .. }, .. },
                Some((t, Open::Offering(at))),
            ) if *term == t && *session == at => self.attempt = Some((t, Open::Waiting(at))),
            (Event::Received { wire: Wire::Settled { term, next, .. }, .. }, Some((t, open)))
                if *term == t && next.is_empty() && matches!(open, Open::Settling(_)) =>
            {
                end(&mut self.attempt, End::Settled);
                self.ended += 1;
            }
            (Event::Fired(Timer::Attempt(..)), Some((_, open))) => {
                let how = match open {
                    Open::Settling(_) => End::Settled,
                    _ => End::LeftToTheLease,
                };
                end(&mut self.attempt, how);
                self.ended += 1;
            }
            _ => {}
        }
    }

    /// What holds between any two steps.
    fn consistent(&self, event: &Event, actions: &[Action]) {
        let attempts = self.timers.iter().filter(|timer| matches!(timer, Timer::Attempt(..)));
        let open = u32::from(self.attempt.is_some());
        assert_eq!(
            attempts.count() as u32,
            open,
            "an open attempt is bounded by a timer, and none is left: {event:?} -> {actions:?}"
        );
        assert_eq!(self.begun, self.ended + open, "an attempt ends exactly once: {event:?}");
        let renewing = self.timers.iter().any(|timer| matches!(timer, Timer::Renew(..)));
        let waiting = matches!(self.attempt, Some((_, Open::Waiting(_))));
        assert_eq!(renewing, waiting, "a lease is renewed while a device is waited for: {event:?}");
    }
}

/// What the router may do in one step, given what had been seen until then.
struct Rules<'a> {
    before: &'a World,
    event: &'a Event,
    actions: &'a [Action],
}

impl Rules<'_> {
    fn hold(&self, action: &Action) {
        let Self { before, event, actions } = self;
        let open = before.attempt;
        match action {
            Action::Send { wire: Wire::Settle { term, upto, .. }, .. } => {
                let Event::Received {
                    wire: Wire::Offered { session, term: t, outcome, .. }, ..
                } = event
                else {
                    panic!("settled after {event:?}")
                };
                assert_eq!(*outcome, OfferOutcome::Acknowledged(*upto), "only the device's word");
                assert_eq!(t, term, "under the term that it acknowledged");
                let offered = [Open::Offering(*session), Open::Waiting(*session)];
                let current = offered.map(|stage| Some((*term, stage)));
                assert!(current.contains(&open), "the current attempt, not {open:?}");
            }
            Action::Send { wire: Wire::Release { term, .. }, .. } => {
                let definite = match event {
                    Event::Received { wire: Wire::Located { session: None, .. }, .. }
                    | Event::Refused { wire: Wire::Locate { .. }, .. } => {
                        open.map(|(_, open)| open) == Some(Open::Locating)
                    }
                    // The gateway is being left alone.
                    Event::Received { wire: Wire::Located { session: Some(_), .. }, .. } => {
                        actions.iter().any(|action| {
                            let why = Parking::BreakerOpen;
                            matches!(action, Action::Note(Note::Parked { why: w, .. }) if *w == why)
                        })
                    }
                    Event::Received {
                        wire:
                            Wire::Offered {
                                session,
                                term: t,
                                outcome:
                                    OfferOutcome::NotHere
                                    | OfferOutcome::Busy
                                    | OfferOutcome::Rejected(_),
                                ..
                            },
                        ..
                    }
                    | Event::Refused { wire: Wire::Offer { session, term: t, .. }, .. } => {
                        let offered = [Open::Offering(*session), Open::Waiting(*session)];
                        t == term && offered.map(|stage| Some((*term, stage))).contains(&open)
                    }
                    _ => false,
                };
                assert!(definite, "released after {event:?}, which is not a no to {open:?}");
                assert_eq!(open.map(|(term, _)| term), Some(*term), "under the current term");
            }
            Action::Send { wire: Wire::Evict { session }, .. } => {
                let refused = match event {
                    Event::Received {
                        wire: Wire::Offered { session: s, outcome: OfferOutcome::NotHere, .. },
                        ..
                    }
                    | Event::Refused { wire: Wire::Offer { session: s, .. }, .. } => s == session,
                    _ => false,
                };
                assert!(refused, "{session} was evicted after {event:?}");
            }
            Action::Send { wire: Wire::Advance { upto, .. }, .. } => {
                let acknowledged = matches!(event, Event::Received {
                    wire: Wire::Offered { outcome: OfferOutcome::Acknowledged(u), .. }, ..
                } if u == upto);
                assert!(acknowledged, "a cursor moved after {event:?}");
            }
            Action::Note(Note::Parked { why: Parking::NoAnswer, .. }) => {
                assert!(matches!(event, Event::Fired(Timer::Attempt(..))));
                let says = |action: &Action| matches!(action, Action::Send { .. });
                assert!(!actions.iter().any(says), "after silence, only the lease decides");
            }
            Action::Send { wire: Wire::Renew { term, .. }, .. } => {
                assert!(matches!(event, Event::Fired(Timer::Renew(..))));
                assert_eq!(open.map(|(term, _)| term), Some(*term), "the current lease");
            }
            Action::Note(Note::LeaseLost { term, .. }) => {
                assert!(matches!(event, Event::Received {
                    wire: Wire::Renewed { term: t, held: false, .. }, ..
                } if t == term));
                let says = |action: &Action| matches!(action, Action::Send { .. });
                assert!(!actions.iter().any(says), "the row is somebody else's");
            }
            _ => {}
        }
    }
}

/// Breadth first, each state once; returns how many states and steps there were.
fn explore(claims: &[u64], depth: usize) -> (usize, usize, BTreeMap<End, u64>) {
    let mut ends = BTreeMap::new();
    let route = Wire::Route { session: session(1, 1, 3), message: message(1, 1, pair(1, 2)) };
    let routed = Event::Received { from: server(3), wire: route };
    let first = World::new().after(&routed, &mut ends);
    let mut seen = BTreeSet::from([first.fingerprint()]);
    let mut level = vec![first];
    let mut steps = 0;
    for _ in 0..depth {
        let mut next = Vec::new();
        for world in &level {
            for event in world.possible(claims) {
                steps += 1;
                let after = world.after(&event, &mut ends);
                if seen.insert(after.fingerprint()) {
                    next.push(after);
                }
            }
        }
        level = next;
    }
    (seen.len(), steps, ends)
}

#[test]
fn whatever_the_order_of_answers_an_attempt_ends_once_and_for_a_reason() {
    let (states, steps, ends) = explore(&[1, 2], DEPTH);
    println!("{states} states, {steps} steps, {ends:?}");
    assert!(states > 1_000, "explored only {states} states");
    assert!(steps > 10_000, "explored only {steps} steps");
    for end in [End::Released, End::Settled, End::LeftToTheLease, End::Superseded, End::LeaseLost] {
        assert!(ends.contains_key(&end), "no attempt was ever {end:?}");
    }
}
