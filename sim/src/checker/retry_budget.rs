//! I13, retry-budget: trying again does not multiply load, comes in no waves, and never stops.
//!
//! - A device begins at most 30 connection attempts in any minute. Its own restarts begin anew.
//! - Devices that lose their connections together do not come back together: of 16 or more whose
//!   n-th attempts follow losses within one second, no more than two thirds fall into one tenth of
//!   a second. What a person's flight mode ends is not among them, nor is a device that was paused
//!   or restarted meanwhile (it wakes when it is woken) or whose server sent it away (at a rate of
//!   the server's).
//! - A message is offered to the same device at most 30 times again in any minute.
//! - A breaker is a pause and not an end: within a minute of its opening it half-opens or closes,
//!   as long as its holder runs.
//!
//! A wait that doubles from a second up to half a minute makes eight attempts in the first minute
//! and four in each later one. With full jitter some minutes have more, but 15 in one are already
//! a matter of one in ten million; twice as many leave room for connections that succeed and are
//! lost again. Where devices wait for up to a second, a tenth of them is what one expects in a
//! tenth of a second.

use super::findings::{Findings, Words, nanos};
use super::weather::Weather;
use super::{Anomaly, Invariant};
use crate::history::{Fact, History, Life};
use courier::id::{ConversationId, DeviceId, HostId, Stamp};
use courier::note::{Disconnect, Note};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What a device, or a message, may be tried in any [`WINDOW`].
const ATTEMPTS_MAX: usize = 30;
const WINDOW: Duration = Duration::from_secs(60);

/// Fewer devices than this make no wave.
const WAVE_MIN: usize = 16;
/// Losses within this time are one event.
const TOGETHER: Duration = Duration::from_secs(1);
/// Attempts within this time arrive at once.
const AT_ONCE: Duration = Duration::from_millis(100);

/// A breaker that is open for longer is not going to close.
const OPEN_MAX: Duration = Duration::from_secs(60);

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let mut watch = Watch {
        history,
        words: Words(&history.cast),
        connecting: BTreeMap::new(),
        offering: BTreeMap::new(),
        losses: Losses::default(),
        open: BTreeMap::new(),
        findings: Findings::of(Invariant::RetryBudget),
    };
    for entry in &history.entries {
        match &entry.fact {
            Fact::Noted { host, note } => watch.noted(entry.at, *host, note),
            Fact::Host { host, life } => watch.lived(*host, *life),
            _ => {}
        }
    }
    watch.judge_waves();
    watch.judge_breakers();
    watch.findings.finish(anomalies);
}

/// The moments of the last window, and whether too many have been reported already.
#[derive(Default)]
struct Recent {
    at: VecDeque<u64>,
    reported: bool,
}

impl Recent {
    /// Counts one more. Returns how many there are if they have just become too many.
    fn count(&mut self, at: u64) -> Option<usize> {
        self.at.push_back(at);
        while self.at.front().is_some_and(|first| at - first > nanos(WINDOW)) {
            self.at.pop_front();
        }
        let over = self.at.len() > ATTEMPTS_MAX;
        let news = over && !self.reported;
        self.reported = over;
        news.then_some(self.at.len())
    }
}

/// Who lost their connections together, and when they tried to come back.
#[derive(Default)]
struct Losses {
    /// When each cohort's first connection was lost, and its n-th attempts for each n.
    cohorts: Vec<(u64, Vec<Vec<u64>>)>,
    /// The cohort of each device that is on its way back, and its attempts so far.
    returning: BTreeMap<HostId, (usize, usize)>,
}

impl Losses {
    fn lost(&mut self, at: u64, device: HostId) {
        if self.cohorts.last().is_none_or(|(first, _)| at - first > nanos(TOGETHER)) {
            self.cohorts.push((at, Vec::new()));
        }
        self.returning.insert(device, (self.cohorts.len() - 1, 0));
    }

    fn tries(&mut self, at: u64, device: HostId) {
        let Some((cohort, attempts)) = self.returning.get_mut(&device) else { return };
        let rounds = &mut self.cohorts[*cohort].1;
        if rounds.len() == *attempts {
            rounds.push(Vec::new());
        }
        rounds[*attempts].push(at);
        *attempts += 1;
    }

    /// It is back, or its next attempt is not its own idea.
    fn left(&mut self, device: HostId) {
        self.returning.remove(&device);
    }
}

struct Watch<'h> {
    history: &'h History,
    words: Words<'h>,
    connecting: BTreeMap<HostId, Recent>,
    offering: BTreeMap<(DeviceId, ConversationId), (Stamp, Recent)>,
    losses: Losses,
    /// Breakers that are open, by holder and gateway, and since when. Then those that were for
    /// too long, or until the end.
    open: BTreeMap<(HostId, HostId), u64>,
    findings: Findings,
}

impl Watch<'_> {
    fn noted(&mut self, at: u64, host: HostId, note: &Note) {
        match *note {
            Note::Connecting { .. } => {
                self.losses.tries(at, host);
                self.connects(at, host);
            }
            Note::Disconnected { cause: Disconnect::FlightMode | Disconnect::GoneAway, .. }
            | Note::Connected { .. } => self.losses.left(host),
            Note::Disconnected { .. } => self.losses.lost(at, host),
            Note::Redelivered { device, conversation, stamp } => {
                self.offers(at, device, conversation, stamp)
            }
            Note::BreakerOpened { gateway } => {
                self.judge_breaker(at, host, gateway);
                self.open.insert((host, gateway), at);
            }
            Note::BreakerHalfOpened { gateway } | Note::BreakerClosed { gateway } => {
                self.judge_breaker(at, host, gateway)
            }
            _ => {}
        }
    }

    fn lived(&mut self, host: HostId, life: Life) {
        self.losses.left(host);
        if matches!(life, Life::Started | Life::Crashed | Life::PowerCut) {
            self.connecting.remove(&host);
            // A breaker is forgotten with its process; it did not get the time to half-open.
            self.open.retain(|(holder, _), _| *holder != host);
        }
    }

    fn connects(&mut self, at: u64, host: HostId) {
        let Some(device) = self.history.cast.device_at(host) else { return };
        let Some(count) = self.connecting.entry(host).or_default().count(at) else { return };
        let what = format!(
            "{} began {count} connection attempts within {}s by {}",
            self.words.device(device),
            WINDOW.as_secs(),
            self.words.time(at),
        );
        self.findings.add(at, None, Some(device), what);
    }

    fn offers(&mut self, at: u64, device: DeviceId, conversation: ConversationId, stamp: Stamp) {
        let (last, recent) = self
            .offering
            .entry((device, conversation))
            .or_insert_with(|| (stamp, Recent::default()));
        if *last != stamp {
            (*last, *recent) = (stamp, Recent::default()); // The row has moved on.
        }
        let Some(count) = recent.count(at) else { return };
        let what = format!(
            "{stamp} of {} was tried for {} again {count} times within {}s by {}",
            self.words.conversation(conversation),
            self.words.device(device),
            WINDOW.as_secs(),
            self.words.time(at),
        );
        self.findings.add(at, None, Some(device), what);
    }

    fn judge_waves(&mut self) {
        for (lost_at, rounds) in std::mem::take(&mut self.losses.cohorts) {
            // One wave is like the next.
            let Some((round, (at, count, of))) =
                (1..).zip(rounds).find_map(|(round, attempts)| Some((round, wave(&attempts)?)))
            else {
                continue;
            };
            let what = format!(
                "{count} of {of} devices that lost their connections together at {} began their \
                 {} attempt within {}ms by {}",
                self.words.time(lost_at),
                ordinal(round),
                AT_ONCE.as_millis(),
                self.words.time(at),
            );
            self.findings.add(at, None, None, what);
        }
    }

    /// What is still open at the end has been so until then.
    fn judge_breakers(&mut self) {
        for (holder, gateway) in self.open.keys().copied().collect::<Vec<_>>() {
            self.judge_breaker(self.history.end, holder, gateway);
        }
    }

    fn judge_breaker(&mut self, at: u64, holder: HostId, gateway: HostId) {
        let Some(since) = self.open.remove(&(holder, gateway)) else { return };
        if at - since <= nanos(OPEN_MAX) {
            return;
        }
        let paused = Weather::of(self.history).paused(holder);
        if let Some(over) = paused.clear_for(since, at, nanos(OPEN_MAX)) {
            let what = format!(
                "{} left {} alone since {} and had not tried it again by {}",
                self.words.host(holder),
                self.words.host(gateway),
                self.words.time(since),
                self.words.time(over),
            );
            self.findings.add(over, None, None, what);
        }
    }
}

/// If most of these attempts (in order of time) fall together: when, how many, of how many.
fn wave(attempts: &[u64]) -> Option<(u64, usize, usize)> {
    let of = attempts.len();
    if of < WAVE_MIN {
        return None;
    }
    attempts.iter().enumerate().find_map(|(last, at)| {
        let first = attempts.partition_point(|other| at - other.min(at) > nanos(AT_ONCE));
        let count = last + 1 - first;
        (3 * count > 2 * of).then_some((*at, count, of))
    })
}

/// `1st`, `2nd`, …: which attempt since the loss.
fn ordinal(number: u32) -> String {
    let ending = match number {
        1 => "st",
        2 => "nd",
        3 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}
