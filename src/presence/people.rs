//! A person as presence knows them: their devices, and what follows from when each was heard.
//!
//! Pure arithmetic on times. It never decides who is told.

use crate::design::Online;
use crate::id::Session;
use crate::limits;
use crate::note::Status;
use crate::time::Instant;
use crate::timing::Timing;
use crate::wire::Version;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long ago a device may have been heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    online: Duration,
    offline: Duration,
}

impl Thresholds {
    /// What the design calls online.
    pub(super) fn of(design: Online, timing: &Timing) -> Self {
        let offline = timing.offline;
        match design {
            Online::Slack => Self { online: timing.online, offline },
            // "Online: seen less than 30 s ago", where the heartbeat is 30 s: the last one is
            // always just too old when the next is on its way.
            Online::Literal => Self { online: timing.heartbeat, offline },
        }
    }
}

impl Thresholds {
    /// Within this everybody who is there has been heard.
    pub(super) fn online(&self) -> Duration {
        self.online
    }
}

/// One device, by its newest connection.
#[derive(Clone, Copy, Debug)]
struct Phone {
    /// Of the newest connection that presence has heard of.
    epoch: u32,
    /// The last heartbeat; none if only an end was heard.
    last_seen: Option<Instant>,
    /// When it closed that connection in order, if it did.
    ended: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Person {
    /// By slot.
    phones: BTreeMap<u8, Phone>,
    /// What others are shown, if presence has said anything.
    pub(super) shown: Option<(Status, Version)>,
    /// When they are looked at again.
    pub(super) deadline: Option<Instant>,
}

impl Person {
    /// A heartbeat on this connection. A report about an older connection, or about one that has
    /// ended, came late: it says nothing of now.
    pub(super) fn seen(&mut self, now: Instant, session: Session) {
        let epoch = session.epoch;
        let fresh = Phone { epoch, last_seen: Some(now), ended: None };
        let phone = self.phones.entry(session.device.slot).or_insert(fresh);
        if epoch > phone.epoch || (epoch == phone.epoch && phone.ended.is_none()) {
            *phone = fresh;
        }
    }

    /// The device closed this connection in order. Returns whether that is news of its newest one.
    pub(super) fn ended(&mut self, now: Instant, session: Session) -> bool {
        let epoch = session.epoch;
        let unheard = Phone { epoch: 0, last_seen: None, ended: None };
        let phone = self.phones.entry(session.device.slot).or_insert(unheard);
        let news = epoch > phone.epoch || (epoch == phone.epoch && phone.ended.is_none());
        if news {
            // An end makes nobody look more alive than they did.
            *phone = Phone { epoch, ended: phone.ended.or(Some(now)), ..*phone };
        }
        news
    }

    /// What the person is now, and until when at least if nothing more is heard.
    pub(super) fn stands(
        &self,
        now: Instant,
        thresholds: &Thresholds,
    ) -> (Status, Option<Instant>) {
        let phones = self.phones.values().map(|phone| phone.stands(now, thresholds));
        // The best of them, for as long as any of the best lasts.
        let best = phones.min_by_key(|(status, until)| (*status, std::cmp::Reverse(*until)));
        best.unwrap_or((Status::Offline, None))
    }
}

impl Phone {
    fn stands(&self, now: Instant, thresholds: &Thresholds) -> (Status, Option<Instant>) {
        let Some(last_seen) = self.last_seen else { return (Status::Offline, None) };
        let gone_at = self.ended.map(|ended| ended + limits::PRESENCE_LINGER);
        let offline_at = last_seen + thresholds.offline;
        let offline_at = gone_at.map_or(offline_at, |gone_at| gone_at.min(offline_at));
        let away_at = (last_seen + thresholds.online).min(offline_at);
        if now < away_at {
            (Status::Online, Some(away_at))
        } else if now < offline_at {
            (Status::Away, Some(offline_at))
        } else {
            (Status::Offline, None)
        }
    }
}
