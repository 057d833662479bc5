//! The network: how long a message takes on a link, and whether it gets there at all.
//!
//! A link is an ordered pair of hosts. Its weather is the profile of the two hosts' zones, the
//! distance between their sites if a latency matrix is given, and whatever rules are in force. No
//! link keeps state: every draw is keyed by the link and the instant.

use super::latency::Latency;
use crate::seed::{Seed, Stream};
use courier::id::HostId;
use fixedbitset::FixedBitSet;
use std::sync::Arc;
use std::time::Duration;

/// A set of hosts that a rule names.
pub type Hosts = Arc<FixedBitSet>;

/// Collects hosts into a set.
pub fn hosts(of: impl IntoIterator<Item = HostId>) -> Hosts {
    Arc::new(of.into_iter().map(|host| host.0 as usize).collect())
}

/// Probabilities are parts per million: integers, so that they mean the same everywhere.
pub type Ppm = u32;

/// The usual weather between two zones, in one direction.
#[derive(Clone, Debug)]
pub struct Profile {
    pub latency: Latency,
    /// Per transmission. The transport repeats it, so a loss shows as a delay; only when every
    /// repetition is lost too is the message gone.
    pub loss: Ppm,
    /// Per message between servers: a proxy or a client library sends it again by itself.
    pub duplicate: Ppm,
}

/// What a rule does to the links it covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Nothing gets through.
    Cut,
    /// Nothing gets through for so many nanoseconds from `since` on, then everything for as long,
    /// and so on.
    Flap {
        since: u64,
        each: u64,
    },
    /// Every message takes this much longer.
    Slow(Duration),
    Loss(Ppm),
    Duplicate(Ppm),
    /// Messages of this share take up to that much longer, and so overtake each other.
    Reorder(Ppm, Duration),
    /// A connection on which nothing arrived for this long is forgotten on the way.
    Forget(Duration),
    /// Messages of this share are gone for good: nobody repeats them.
    Swallow(Ppm),
}

impl Effect {
    fn is_cut(self, now: u64) -> bool {
        match self {
            Effect::Cut => true,
            Effect::Flap { since, each } => ((now - since) / each).is_multiple_of(2),
            _ => false,
        }
    }
}

#[derive(Clone, Debug)]
struct Rule {
    id: RuleId,
    from: Hosts,
    to: Hosts,
    effect: Effect,
}

/// Names a rule in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u32);

/// One-way delays between sites, in nanoseconds; `delays[from][to]`.
#[derive(Clone, Debug)]
pub struct Matrix {
    pub delays: Vec<Vec<u64>>,
}

#[derive(Clone, Debug)]
pub struct Net {
    zones: usize,
    /// Row by row: from zone, to zone.
    profiles: Arc<[Profile]>,
    matrix: Option<Arc<Matrix>>,
    rules: Vec<Rule>,
    rules_made: u32,
    latency: Stream,
    loss: Stream,
    duplicate: Stream,
    reorder: Stream,
    swallow: Stream,
}

/// One end of a link.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub host: HostId,
    pub zone: u8,
    /// Where it stands in the latency matrix, if there is one.
    pub site: u16,
}

/// First repetition of a lost transmission; doubles each time. Linux' minimal RTO.
const RETRANSMIT_FIRST: u64 = 200_000_000;

/// Repetitions of one transmission before a request between servers is given up: 0.2 + 0.4 + …
/// + 6.4 s, longer than anybody waits for an answer.
const RETRANSMITS: u32 = 6;

const MILLION: u64 = 1_000_000;

impl Net {
    /// `profiles` holds `zones` rows of `zones` profiles.
    pub fn new(seed: Seed, zones: usize, profiles: Vec<Profile>) -> Self {
        assert_eq!(profiles.len(), zones * zones, "one profile per pair of zones");
        Self {
            zones,
            profiles: profiles.into(),
            matrix: None,
            rules: Vec::new(),
            rules_made: 0,
            latency: seed.stream("net.latency"),
            loss: seed.stream("net.loss"),
            duplicate: seed.stream("net.duplicate"),
            reorder: seed.stream("net.reorder"),
            swallow: seed.stream("net.swallow"),
        }
    }

    pub fn set_matrix(&mut self, matrix: Matrix) {
        self.matrix = Some(Arc::new(matrix));
    }

    pub fn impose(&mut self, from: Hosts, to: Hosts, effect: Effect) -> RuleId {
        self.rules_made += 1;
        let id = RuleId(self.rules_made);
        self.rules.push(Rule { id, from, to, effect });
        id
    }

    pub fn lift(&mut self, id: RuleId) {
        self.rules.retain(|rule| rule.id != id);
    }

    fn effects(&self, from: HostId, to: HostId) -> impl Iterator<Item = Effect> {
        let covers = move |rule: &&Rule| {
            rule.from.contains(from.0 as usize) && rule.to.contains(to.0 as usize)
        };
        self.rules.iter().filter(covers).map(|rule| rule.effect)
    }

    pub fn is_cut(&self, from: HostId, to: HostId, now: u64) -> bool {
        !self.rules.is_empty() && self.effects(from, to).any(|effect| effect.is_cut(now))
    }

    /// After how many nanoseconds without traffic a connection between these is forgotten.
    pub fn forgets_after(&self, a: HostId, b: HostId) -> Option<u64> {
        if self.rules.is_empty() {
            return None;
        }
        let idle = |effect| match effect {
            Effect::Forget(idle) => Some(idle.as_nanos() as u64),
            _ => None,
        };
        self.effects(a, b).chain(self.effects(b, a)).filter_map(idle).min()
    }

    /// How long a message that leaves now takes, in nanoseconds, counting the repetitions of what
    /// is lost on the way; `None` if it never arrives. `instant` tells messages of one link apart.
    pub fn travel(&self, from: Place, to: Place, now: u64, instant: u64) -> Option<u64> {
        let link = u64::from(from.host.0) << 32 | u64::from(to.host.0);
        let profile = &self.profiles[from.zone as usize * self.zones + to.zone as usize];
        let mut time = profile.latency.pick(self.latency.draw(link, instant));
        if let Some(matrix) = &self.matrix {
            time += matrix.delays[from.site as usize][to.site as usize];
        }
        let mut loss = u64::from(profile.loss);
        let mut flaps = false;
        if !self.rules.is_empty() {
            for effect in self.effects(from.host, to.host) {
                match effect {
                    Effect::Cut => return None,
                    Effect::Flap { .. } => flaps = true,
                    Effect::Slow(by) => time += by.as_nanos() as u64,
                    Effect::Loss(ppm) => loss = (loss + u64::from(ppm)).min(MILLION),
                    Effect::Duplicate(_) | Effect::Forget(_) => {}
                    Effect::Swallow(ppm) => {
                        if self.swallow.draw(link, instant) % MILLION < u64::from(ppm) {
                            return None;
                        }
                    }
                    Effect::Reorder(ppm, by) => {
                        let draw = self.reorder.draw(link, instant);
                        if draw % MILLION < u64::from(ppm) {
                            time += courier::jitter::up_to(by, draw, 1).as_nanos() as u64;
                        }
                    }
                }
            }
        }
        if loss == 0 && !flaps {
            return Some(time);
        }
        let (mut waited, mut wait) = (0, RETRANSMIT_FIRST);
        for repetition in 0..=RETRANSMITS {
            let draw = self.loss.draw(link ^ u64::from(repetition) << 62, instant ^ wait);
            let down = flaps && self.is_cut(from.host, to.host, now + waited);
            if draw % MILLION >= loss && !down {
                return Some(time + waited);
            }
            waited += wait;
            wait *= 2;
        }
        None
    }

    /// Whether this message between servers is sent twice.
    pub fn duplicates(&self, from: Place, to: Place, instant: u64) -> bool {
        let profile = &self.profiles[from.zone as usize * self.zones + to.zone as usize];
        let mut share = u64::from(profile.duplicate);
        if !self.rules.is_empty() {
            for effect in self.effects(from.host, to.host) {
                if let Effect::Duplicate(ppm) = effect {
                    share = (share + u64::from(ppm)).min(MILLION);
                }
            }
        }
        if share == 0 {
            return false;
        }
        let link = u64::from(from.host.0) << 32 | u64::from(to.host.0);
        self.duplicate.draw(link, instant) % MILLION < share
    }
}
