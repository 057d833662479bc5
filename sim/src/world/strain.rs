//! Verbs for what strains a host without taking its process away: slow, asleep, not reading, short
//! of disk.

use super::connection::{Segment, Side};
use super::{Crew, Due, Host, Mail, Process, World};
use crate::history::Life;
use courier::id::{ConnId, HostId};
use courier::node::{CloseCause, Event};
use std::collections::VecDeque;

/// The strain that a host is under. Almost always none.
#[derive(Clone, Debug, Default)]
pub(super) struct Strain {
    /// In nanoseconds: every step takes this long.
    step: u64,
    /// A step is being taken; its end is on the heap.
    busy: bool,
    /// Since when it sleeps.
    asleep_since: Option<u64>,
    /// What its own machine owes its process and would have come due while it slept, and when.
    frozen: Vec<(u64, Mail)>,
    /// Reads nothing from its connections, and this is what it has not read.
    unread: Option<VecDeque<(ConnId, Side, Segment)>>,
    /// In nanoseconds: an fsync takes this much longer.
    fsync: u64,
    full: bool,
    /// Syncs that wait for room, or for a replica: whose, by its boot, and how many records each
    /// covers.
    held: Vec<(u32, u64)>,
}

impl Strain {
    pub fn step_takes(&self) -> Option<u64> {
        (self.step > 0 || self.busy).then_some(self.step)
    }

    pub fn freeze(&mut self, due: u64, mail: Mail) {
        match mail {
            // No message arrives at a kernel that stands still, and timers stand still with it.
            Mail::Event(Event::Received { .. } | Event::Refused { .. }) | Mail::Timer(..) => {}
            Mail::Event(_) | Mail::Synced(_) => self.frozen.push((due, mail)),
        }
    }

    pub fn reads_nothing(&self) -> bool {
        self.unread.is_some()
    }

    pub fn leave_unread(&mut self, conn: ConnId, side: Side, segment: Segment) {
        self.unread.get_or_insert_default().push_back((conn, side, segment));
    }

    /// A reset empties the buffer: what was not read never will be.
    pub fn discard_unread(&mut self, conn: ConnId) {
        if let Some(unread) = &mut self.unread {
            unread.retain(|(other, ..)| *other != conn);
        }
    }

    pub fn fsync_takes_more(&self) -> u64 {
        self.fsync
    }

    pub fn is_full(&self) -> bool {
        self.full
    }

    pub fn hold_sync(&mut self, boots: u32, records: u64) {
        self.held.push((boots, records));
    }

    /// What belonged to a process that is gone.
    pub fn forget_process(&mut self) {
        self.busy = false;
        self.frozen.clear();
        self.held.clear();
        if let Some(unread) = &mut self.unread {
            unread.clear();
        }
    }
}

impl<R> Host<R> {
    /// Whether its kernel takes in what arrives.
    pub(super) fn answers(&self) -> bool {
        self.powered && self.process != Process::Asleep
    }

    /// Whether the process that runs has an end of a connection that was given to that boot.
    pub(super) fn knows_end(&self, boots: Option<u32>) -> bool {
        boots == Some(self.boots) && self.process != Process::Down
    }
}

impl<C: Crew> World<C> {
    /// Every step of this host's process takes so many nanoseconds. With 0 it is itself again, and
    /// catches up at once.
    pub fn slow_down(&mut self, host: HostId, step: u64) {
        self.host_mut(host).strain.step = step;
        if step > 0 || self.host(host).process != Process::Up {
            return;
        }
        self.host_mut(host).strain.busy = false;
        self.catch_up(host);
    }

    /// Something waits its turn at a slow process.
    pub(super) fn queue(&mut self, host: HostId, mail: Mail, lag: u64) {
        let at = self.now + lag;
        let target = self.host_mut(host);
        target.mailbox.push_back(mail);
        let boots = target.boots;
        if !std::mem::replace(&mut target.strain.busy, true) {
            self.push(at, Due::Turn { host, boots });
        }
    }

    /// A slow process has come to what is first in its line.
    pub(super) fn turn(&mut self, host: HostId, boots: u32) {
        let target = self.host_mut(host);
        if target.boots != boots || !std::mem::take(&mut target.strain.busy) {
            return;
        }
        if target.process != Process::Up {
            // It is paused or asleep: whoever wakes it lets it catch up.
            return;
        }
        let lag = target.strain.step;
        if let Some(mail) = target.mailbox.pop_front() {
            self.handle(host, mail);
        }
        let at = self.now + lag;
        let target = self.host_mut(host);
        if target.process == Process::Up && !target.mailbox.is_empty() {
            target.strain.busy = true;
            self.push(at, Due::Turn { host, boots });
        }
    }

    /// A process takes everything that waits for it.
    pub(super) fn catch_up(&mut self, host: HostId) {
        while self.host(host).process == Process::Up
            && let Some(mail) = self.host_mut(host).mailbox.pop_front()
        {
            self.handle(host, mail);
        }
    }

    /// The whole machine stands still: no step, no acknowledgement, no time on its monotonic
    /// clock.
    pub fn suspend(&mut self, host: HostId) {
        if self.host(host).process != Process::Up {
            return;
        }
        let now = self.now;
        let target = self.host_mut(host);
        target.process = Process::Asleep;
        target.strain.asleep_since = Some(now);
        target.clock.stop(now);
        self.life(host, Life::Paused);
    }

    /// The machine goes on. Its timers have lost the time that it slept, and what its kernel had
    /// to send goes out.
    pub fn wake(&mut self, host: HostId) {
        if self.host(host).process != Process::Asleep {
            return;
        }
        let Some(slept) = self.wake_clock(host) else { return };
        let target = self.host_mut(host);
        target.process = Process::Up;
        let boots = target.boots;
        let frozen = std::mem::take(&mut target.strain.frozen);
        self.life(host, Life::Resumed);
        self.reset_timers(host);
        for (due, mail) in frozen {
            // A disk had to go on; what had arrived is there.
            let at = if matches!(mail, Mail::Synced(_)) { due + slept } else { self.now };
            self.push(at, Due::Mail { host, boots, mail });
        }
        let mut ends = Vec::new();
        for (opener, found) in self.hosts.iter().enumerate() {
            found.connections.ends_at(HostId(opener as u32), host, &mut ends);
        }
        for (conn, side) in ends {
            self.retry_now(conn, side);
        }
        self.catch_up(host);
    }

    /// Lets a sleeping host's clocks go on. Returns how long they stood.
    pub(super) fn wake_clock(&mut self, host: HostId) -> Option<u64> {
        let now = self.now;
        let target = self.host_mut(host);
        let since = target.strain.asleep_since.take()?;
        target.clock.go_on(now);
        Some(now - since)
    }

    /// The process reads nothing from its connections; its kernel goes on.
    pub fn stop_reading(&mut self, host: HostId) {
        self.host_mut(host).strain.unread.get_or_insert_default();
    }

    /// The process reads again, first what has collected.
    pub fn read_again(&mut self, host: HostId) {
        let unread = self.host_mut(host).strain.unread.take();
        for (conn, side, segment) in unread.into_iter().flatten() {
            let boots = self.host(host).boots;
            if !self.end_is_open(conn, side) {
                continue;
            }
            match segment {
                Segment::Data(frame) => {
                    self.deliver(host, boots, Mail::Event(Event::Arrived { conn, frame }));
                }
                Segment::Fin => {
                    self.end_closed(conn, side, CloseCause::Fin);
                    self.close_end(conn, side.other());
                }
                Segment::Syn | Segment::SynAck | Segment::Rst => {}
            }
        }
    }

    /// The power goes, and nothing is left on the disk.
    pub fn wipe(&mut self, host: HostId) {
        self.power_cut(host);
        self.host_mut(host).platter.wipe();
        self.life(host, Life::Wiped);
    }

    /// Every fsync of this host that begins from now on takes so many nanoseconds longer.
    pub fn slow_disk(&mut self, host: HostId, by: u64) {
        self.host_mut(host).strain.fsync = by;
    }

    /// No fsync completes that begins from now on.
    pub fn fill_disk(&mut self, host: HostId) {
        self.host_mut(host).strain.full = true;
    }

    /// There is room again: what waited is written.
    pub fn make_room(&mut self, host: HostId) {
        self.host_mut(host).strain.full = false;
        self.release_syncs(host);
    }

    /// What was held up completes, unless something else still holds it up.
    pub(super) fn release_syncs(&mut self, host: HostId) {
        let target = self.host_mut(host);
        if target.holds_syncs() {
            return;
        }
        for (boots, records) in std::mem::take(&mut target.strain.held) {
            self.push(self.now, Due::Mail { host, boots, mail: Mail::Synced(records) });
        }
    }

    /// From now on a crash of this host may leave some of what was not synced: durable, and nobody
    /// was told.
    pub fn keep_tail(&mut self, host: HostId) {
        self.host_mut(host).platter.keep_tail();
    }
}
