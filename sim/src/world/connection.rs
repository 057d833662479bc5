//! Connections as the two kernels keep them: ends, order, and what has not got through yet.
//!
//! Like TCP: ordered, without loss or duplication while both ends live, and half-open when one end
//! has vanished without a word. What a cut link or a dark host swallows stays with the sender's
//! kernel, which repeats it at growing intervals and finally gives up.

use courier::frame::Frame;
use courier::id::{ConnId, HostId};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Opener,
    Acceptor,
}

impl Side {
    pub fn of(host: HostId, conn: ConnId) -> Self {
        if conn.opener == host { Side::Opener } else { Side::Acceptor }
    }

    pub fn other(self) -> Self {
        match self {
            Side::Opener => Side::Acceptor,
            Side::Acceptor => Side::Opener,
        }
    }
}

/// What travels on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    Syn,
    SynAck,
    Data(Frame),
    Fin,
    Rst,
}

/// First repetition of a SYN (Linux: 1, 3, 7, 15, 31, 63 s after the first).
const SYN_RETRY_FIRST: u64 = 1_000_000_000;
/// Then the connection attempt has failed (`tcp_syn_retries` = 6: 127 s).
const SYN_GIVE_UP: u64 = 127_000_000_000;
/// First repetition of anything else: the minimal RTO.
const DATA_RETRY_FIRST: u64 = 200_000_000;
/// Longest wait between repetitions (`TCP_RTO_MAX`).
const DATA_RETRY_CAP: u64 = 120_000_000_000;
/// Then the connection has failed (`tcp_retries2` = 15: about 924 s).
const DATA_GIVE_UP: u64 = 924_600_000_000;

/// One direction.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// When the last segment arrives; later ones never overtake it.
    last_arrival: u64,
    /// Segments sent so far.
    sent: u32,
    /// What has not got through. Almost always nothing.
    held: Option<Box<Held>>,
}

/// Segments that wait for the path to open.
#[derive(Clone, Debug)]
struct Held {
    /// By their numbers: one that was under way when another was held goes before it, or after.
    segments: BTreeMap<u32, Segment>,
    /// Wait before the next repetition.
    wait: u64,
    /// When that is.
    due: u64,
    /// How long it has been tried.
    waited: u64,
    syn: bool,
}

#[derive(Clone, Debug)]
pub struct Connection {
    number: u32,
    peer: HostId,
    /// Which boot of its host each end belongs to; none if that end is closed.
    ends: [Option<u32>; 2],
    lanes: [Lane; 2],
    /// Whatever kept its state on the way has forgotten it: nothing gets through any more.
    forgotten: bool,
}

impl Connection {
    pub fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    /// When something last arrived at either end.
    pub fn last_arrival(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.last_arrival).max().unwrap_or(0)
    }

    /// When something last arrived at this end.
    pub fn heard(&self, side: Side) -> u64 {
        self.lanes[side.other() as usize].last_arrival
    }

    pub fn end(&self, side: Side) -> Option<u32> {
        self.ends[side as usize]
    }

    pub fn is_open(&self, side: Side) -> bool {
        self.end(side).is_some()
    }

    pub fn is_blocked(&self, side: Side) -> bool {
        self.lanes[side as usize].held.is_some()
    }

    /// Whether something that was sent from here before this is still to come.
    pub fn holds_earlier(&self, side: Side, number: u32) -> bool {
        let held = self.lanes[side as usize].held.as_ref();
        let first = held.and_then(|held| held.segments.first_key_value());
        first.is_some_and(|(first, _)| *first < number)
    }

    /// Whether what is held at this side is tried again at this time.
    pub fn tries_again_at(&self, side: Side, now: u64) -> bool {
        self.lanes[side as usize].held.as_ref().is_some_and(|held| held.due == now)
    }

    /// From the host at `side` to the host at the other.
    pub fn route(&self, conn: ConnId, side: Side) -> (HostId, HostId) {
        match side {
            Side::Opener => (conn.opener, self.peer),
            Side::Acceptor => (self.peer, conn.opener),
        }
    }
}

/// The connections that one host has opened. Few: a device has one, and the remains of others.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    list: Vec<Connection>,
}

impl Connections {
    pub fn open(&mut self, conn: ConnId, boots: u32, peer: HostId) {
        let number = conn.number;
        assert!(self.get(conn).is_none(), "{conn} opened twice");
        let (ends, lanes) = ([Some(boots), None], Default::default());
        if self.list.is_empty() {
            self.list.reserve_exact(1);
        }
        self.list.push(Connection { number, peer, ends, lanes, forgotten: false });
    }

    pub fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.list.iter().find(|connection| connection.number == conn.number)
    }

    fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.list.iter_mut().find(|connection| connection.number == conn.number)
    }

    /// Their numbers and peers.
    pub fn all(&self) -> impl Iterator<Item = (u32, HostId)> + '_ {
        self.list.iter().map(|connection| (connection.number, connection.peer))
    }

    /// Nothing gets through on this connection any more.
    pub fn forget_way(&mut self, conn: ConnId) {
        if let Some(connection) = self.get_mut(conn) {
            connection.forgotten = true;
        }
    }

    /// This end has heard of the other.
    pub fn hear(&mut self, conn: ConnId, side: Side, now: u64) {
        if let Some(connection) = self.get_mut(conn) {
            let lane = &mut connection.lanes[side.other() as usize];
            lane.last_arrival = lane.last_arrival.max(now);
        }
    }

    /// The number of the next segment that this side sends.
    pub fn number(&mut self, conn: ConnId, side: Side) -> u32 {
        let Some(connection) = self.get_mut(conn) else { return 0 };
        let lane = &mut connection.lanes[side as usize];
        lane.sent += 1;
        lane.sent
    }

    pub fn accept(&mut self, conn: ConnId, boots: u32) {
        if let Some(connection) = self.get_mut(conn) {
            connection.ends[Side::Acceptor as usize] = Some(boots);
        }
    }

    /// This end is closed in order: what it sent before still goes out.
    pub fn close_end(&mut self, conn: ConnId, side: Side) {
        if let Some(connection) = self.get_mut(conn) {
            connection.ends[side as usize] = None;
        }
        self.forget_finished();
    }

    /// This end is gone with its process: nothing more goes out.
    pub fn drop_end(&mut self, conn: ConnId, side: Side) {
        if let Some(connection) = self.get_mut(conn) {
            connection.ends[side as usize] = None;
            connection.lanes[side as usize].held = None;
        }
        self.forget_finished();
    }

    fn forget_finished(&mut self) {
        self.list.retain(|connection| {
            connection.ends != [None, None]
                || connection.lanes.iter().any(|lane| lane.held.is_some())
        });
    }

    /// The ends that `host` has in the connections of `opener`, whose list this is: open ones, and
    /// ends that their process has closed while the kernel still holds what they sent.
    pub fn ends_at(&self, opener: HostId, host: HostId, ends: &mut Vec<(ConnId, Side)>) {
        for connection in &self.list {
            let conn = ConnId { opener, number: connection.number };
            for side in [Side::Opener, Side::Acceptor] {
                let there = connection.is_open(side) || connection.is_blocked(side);
                if there && connection.route(conn, side).0 == host {
                    ends.push((conn, side));
                }
            }
        }
    }

    /// When a segment that could arrive at `earliest` arrives.
    pub fn arrival(&mut self, conn: ConnId, side: Side, earliest: u64) -> u64 {
        let Some(connection) = self.get_mut(conn) else { return earliest };
        let lane = &mut connection.lanes[side as usize];
        lane.last_arrival = earliest.max(lane.last_arrival + 1);
        lane.last_arrival
    }

    /// Holds a segment that did not get through, or that has to wait for one before it. Returns
    /// when it is tried again, if that is not settled already.
    pub fn hold_back(
        &mut self,
        conn: ConnId,
        side: Side,
        number: u32,
        segment: Segment,
        now: u64,
    ) -> Option<u64> {
        let lane = &mut self.get_mut(conn)?.lanes[side as usize];
        if let Some(held) = &mut lane.held {
            held.segments.insert(number, segment);
            return None;
        }
        let syn = segment == Segment::Syn;
        let wait = if syn { SYN_RETRY_FIRST } else { DATA_RETRY_FIRST };
        let (segments, due) = (BTreeMap::from([(number, segment)]), now + wait);
        lane.held = Some(Box::new(Held { segments, wait, due, waited: 0, syn }));
        Some(due)
    }

    /// What is held, if anything is, is tried again now.
    pub fn retry_now(&mut self, conn: ConnId, side: Side, now: u64) {
        if let Some(connection) = self.get_mut(conn)
            && let Some(held) = &mut connection.lanes[side as usize].held
        {
            held.due = now;
        }
    }

    /// The path is open again: everything that was held goes out.
    pub fn release(&mut self, conn: ConnId, side: Side) -> BTreeMap<u32, Segment> {
        let Some(connection) = self.get_mut(conn) else { return BTreeMap::new() };
        let held = connection.lanes[side as usize].held.take();
        self.forget_finished();
        held.map(|held| held.segments).unwrap_or_default()
    }

    /// When the next repetition is, or none when the kernel gives up.
    pub fn try_again(&mut self, conn: ConnId, side: Side, now: u64) -> Option<u64> {
        let lane = &mut self.get_mut(conn)?.lanes[side as usize];
        let held = lane.held.as_mut()?;
        held.waited += held.wait;
        held.wait = (held.wait * 2).min(DATA_RETRY_CAP);
        let give_up = if held.syn { SYN_GIVE_UP } else { DATA_GIVE_UP };
        if held.waited < give_up {
            held.due = now + held.wait;
            return Some(held.due);
        }
        lane.held = None;
        self.forget_finished();
        None
    }
}
