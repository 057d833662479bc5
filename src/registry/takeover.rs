//! Takeovers: a device has connected again while its older connection was thought to be open.
//!
//! In two phases. The takeover begins when the newer session is written: its row is pending, and
//! the consumer has the older session's gateway close that connection. It is committed when the
//! gateway says that the connection is closed or not there, when the log brings its close, or when
//! its incarnation is swept; and after [`limits::TAKEOVER_LIMIT`] in any case, since a dead gateway
//! confirms nothing and a row must not wait for one.
//!
//! A pending row is routable already, and the older session is not. The device itself says by its
//! greater epoch that it has left the older connection: what is offered there can only wait for a
//! lease to run out, and "nowhere" would park messages for a device that is listening. So no
//! message is lost or waits because of a takeover, and there is one routable connection throughout.
//! What waits for the commit is the memory of the loser, so that it is told until it is closed;
//! what it still says is fenced by its epoch, before the commit and after.
//!
//! Takeovers are not on disk: a registry that restarts has forgotten whom it was displacing. The
//! consumer still tells them, and an announcement of the loser is fenced and displaced again.

use crate::id::{HostId, Incarnation, Session};
use crate::limits;
use crate::node::{Outbox, Timer};
use crate::note::Note;
use crate::time::Instant;
use crate::wire::Displacement;
use std::collections::BTreeMap;

/// The takeovers that have begun and are not committed, and since when.
#[derive(Clone, Debug, Default)]
pub(super) struct Takeovers(BTreeMap<Displacement, Instant>);

impl Takeovers {
    pub fn begin(&mut self, now: Instant, displacement: Displacement, out: &mut Outbox) {
        let Displacement { loser, winner } = displacement;
        out.note(Note::TakeoverBegun { loser, winner });
        if self.0.is_empty() {
            out.set_timer(Timer::Takeover, limits::TAKEOVER_LIMIT);
        }
        self.0.insert(displacement, now);
    }

    /// The takeover that a session has begun, if it is not committed: an announcement repeats it,
    /// since whoever was told of it may have died.
    pub fn begun_by(&self, session: Session) -> Option<Displacement> {
        let first =
            Session { epoch: 0, gateway: HostId(0), incarnation: Incarnation(0), ..session };
        let since = Displacement { loser: first, winner: 0 };
        let mut own = self.0.range(since..).map(|(displacement, _)| *displacement);
        own.by_ref()
            .take_while(|displacement| displacement.loser.device == session.device)
            .find(|displacement| displacement.winner == session.epoch)
    }

    /// The loser's gateway has confirmed.
    pub fn confirmed(&mut self, displacement: Displacement, out: &mut Outbox) {
        if self.0.remove(&displacement).is_some() {
            commit(displacement, true, out);
        }
    }

    /// The log says that this session has closed.
    pub fn closed(&mut self, session: Session, out: &mut Outbox) {
        self.commit_where(|displacement, _| displacement.loser == session, true, out);
    }

    /// Nobody is left who could confirm.
    pub fn swept(&mut self, gateway: HostId, upto: Incarnation, out: &mut Outbox) {
        let over = |loser: &Session| loser.gateway == gateway && loser.incarnation <= upto;
        self.commit_where(|displacement, _| over(&displacement.loser), true, out);
    }

    /// Commits what nobody has confirmed in time.
    pub fn expire(&mut self, now: Instant, out: &mut Outbox) {
        let late = |since: Instant| now.since(since) >= limits::TAKEOVER_LIMIT;
        self.commit_where(|_, since| late(since), false, out);
        if let Some(oldest) = self.0.values().min() {
            let rest = limits::TAKEOVER_LIMIT.saturating_sub(now.since(*oldest));
            out.set_timer(Timer::Takeover, rest);
        }
    }

    fn commit_where(
        &mut self,
        which: impl Fn(&Displacement, Instant) -> bool,
        confirmed: bool,
        out: &mut Outbox,
    ) {
        self.0.retain(|displacement, since| {
            let stays = !which(displacement, *since);
            if !stays {
                commit(*displacement, confirmed, out);
            }
            stays
        });
    }
}

fn commit(Displacement { loser, winner }: Displacement, confirmed: bool, out: &mut Outbox) {
    out.note(Note::TakeoverCommitted { loser, winner, confirmed });
}
