//! Verbs for what befalls connections on their way: proxies, firewalls and translators that end
//! them, or forget them.

use super::connection::Side;
use super::net::Hosts;
use super::{Crew, World};
use courier::id::{ConnId, HostId};
use courier::node::CloseCause;

/// When connections between two sets of hosts were ended.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    at: u64,
    sides: [Hosts; 2],
}

impl Cut {
    /// Whether this ends what was sent then: it was under way.
    pub fn ends(&self, from: HostId, to: HostId, sent: u64) -> bool {
        let across = |a: usize, b: usize| {
            self.sides[a].contains(from.0 as usize) && self.sides[b].contains(to.0 as usize)
        };
        sent < self.at && (across(0, 1) || across(1, 0))
    }
}

/// What was under way longer ago than this has arrived or was lost, in nanoseconds: all repetitions
/// take 13 s, and links are slow by seconds. Older cuts are forgotten.
const UNDER_WAY_MAX: u64 = 600_000_000_000;

impl<C: Crew> World<C> {
    /// Ends every connection between two sets of hosts, those of servers' pools as well: the
    /// requests and answers that are under way on them are gone, and whoever waits does not know
    /// whether it was done. The ends in `told` learn the cause, if
    /// their kernels hear anything; those elsewhere keep believing in it. What has not got through
    /// to an end that is told is gone.
    pub fn sever(&mut self, from: &Hosts, to: &Hosts, told: &Hosts, cause: CloseCause) {
        let now = self.now;
        self.cuts.retain(|cut| now - cut.at < UNDER_WAY_MAX);
        self.cuts.push(Cut { at: now, sides: [from.clone(), to.clone()] });
        let is_in = |hosts: &Hosts, host: HostId| hosts.contains(host.0 as usize);
        for (conn, [opener, peer]) in self.connections() {
            let between = (is_in(from, opener) && is_in(to, peer))
                || (is_in(to, opener) && is_in(from, peer));
            if !between {
                continue;
            }
            for (side, here) in [(Side::Opener, opener), (Side::Acceptor, peer)] {
                let hears = is_in(told, here) && self.host(here).answers();
                if hears && self.end_is_open(conn, side) {
                    self.host_mut(here).strain.discard_unread(conn);
                    self.end_closed(conn, side, cause);
                    self.host_mut(conn.opener).connections.drop_end(conn, side);
                }
            }
        }
    }

    /// Every connection, by name, with its opener and the other host.
    fn connections(&self) -> Vec<(ConnId, [HostId; 2])> {
        let openers = self.hosts.iter().enumerate();
        let all = openers.flat_map(|(opener, host)| {
            let opener = HostId(opener as u32);
            host.connections
                .all()
                .map(move |(number, peer)| (ConnId { opener, number }, [opener, peer]))
        });
        all.collect()
    }

    /// Whether what kept the state of a connection on its way has forgotten it; then it has for
    /// good.
    pub(super) fn is_forgotten(&mut self, conn: ConnId, from: HostId, to: HostId) -> bool {
        let Some(connection) = self.host(conn.opener).connections.get(conn) else { return false };
        if connection.is_forgotten() {
            return true;
        }
        let Some(idle) = self.net.forgets_after(from, to) else { return false };
        // One that is only being opened has nothing to forget.
        let last = connection.last_arrival();
        let forgotten = last > 0 && self.now > last.saturating_add(idle);
        if forgotten {
            self.host_mut(conn.opener).connections.forget_way(conn);
        }
        forgotten
    }
}
