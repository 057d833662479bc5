//! The world: hosts with clocks and disks, links between them, and one heap of what happens next.
//!
//! It steps roles and carries out what they ask. It knows no role, no message and no fault by name:
//! a fault is a call of one of its verbs (crash, power cut, pause, impose a rule on links), made by
//! whoever runs the plan. It is a plain value. A clone of it at any event goes on identically.
//!
//! Time is true time in nanoseconds since the start; roles are told their own host's clocks.

mod clock;
mod connection;
mod disk;
mod heap;
pub mod keepalive;
pub mod latency;
mod middlebox;
pub mod net;
pub mod replica;
mod strain;
#[cfg(test)]
mod tests;
mod timers;

use crate::history::{Entry, Fact, Life};
use crate::seed::{Seed, Stream};
use crate::trace::Trace;
use clock::Clock;
use connection::{Connections, Segment, Side};
use courier::disk::{Disk, Record};
use courier::frame::Frame;
use courier::id::{ConnId, HostId};
use courier::node::{Action, CloseCause, Command, Event, Outbox, Role, Timer};
use courier::time::Now;
use courier::wire::Wire;
use disk::Platter;
use heap::Heap;
use keepalive::Keepalive;
use latency::Latency;
use middlebox::Cut;
use net::{Effect, Hosts, Matrix, Net, Place, RuleId};
use replica::{Follower, Replica, Rival};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use strain::Strain;
use timers::Timers;

/// Who runs on which host: makes the role of a host from what its disk holds.
pub trait Crew: Clone {
    type Role: Role + Clone;

    /// The process of `host` starts for the `boots`-th time.
    fn boot(&self, host: HostId, disk: &Disk, boots: u32) -> Self::Role;

    /// From its next start on, `host` runs the next version of its program. A crew that knows only
    /// one version goes on with that.
    fn upgrade(&mut self, _host: HostId) {}

    /// From its next start on, `host` runs with this configuration, or with its usual one. A crew
    /// that has only one goes on with that.
    fn configure(&mut self, _host: HostId, _configuration: Option<usize>) {}
}

/// What kind of machine a host is.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Chooses its links' profiles.
    pub zone: u8,
    /// Its place in the latency matrix.
    pub site: u16,
    /// How long an fsync takes.
    pub fsync: Latency,
    /// Follows its disk and can be promoted in its place.
    pub replica: Option<Replica>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    Down,
    Up,
    /// Stopped, or its machine is: the kernel goes on accepting for it.
    Paused,
    /// Its whole machine stands still: nobody accepts for it.
    Asleep,
}

/// What waits for a process.
#[derive(Clone, Debug)]
enum Mail {
    Event(Event),
    /// A timer counts only if it is still set when the process gets to it: its number.
    Timer(Timer, u64),
    /// An fsync completed that covers so many records. They are durable when the process learns
    /// of it: what a paused process has not learnt, its crash may undo.
    Synced(u64),
}

#[derive(Clone)]
struct Host<R> {
    machine: Machine,
    powered: bool,
    process: Process,
    role: Option<R>,
    /// Counts process starts; what was meant for an earlier one is dropped.
    boots: u32,
    clock: Clock,
    platter: Platter,
    timers: Timers,
    mailbox: VecDeque<Mail>,
    connections: Connections,
    strain: Strain,
    /// Since when its replica has been cut off from it.
    replica_lost: Option<u64>,
    /// Answers reads in its place, late.
    follower: Option<Box<Follower<R>>>,
    /// Another process at the same address, which some still reach.
    rival: Option<Box<Rival<R>>>,
    /// This is the process that was superseded.
    superseded: bool,
}

/// What happens at a time.
#[derive(Clone, Debug)]
enum Due {
    /// A process that is slow has finished its step.
    Turn { host: HostId, boots: u32 },
    /// Something for the process that was running when it was caused.
    Mail { host: HostId, boots: u32, mail: Mail },
    /// A message between hosts arrives.
    Message { from: HostId, to: HostId, sent: u64, wire: Wire },
    /// Part of a connection's traffic, numbered by its sender, arrives at `side`.
    Segment { conn: ConnId, side: Side, number: u32, segment: Segment },
    /// The kernel at `side` tries again what did not get through.
    Retransmit { conn: ConnId, side: Side },
    /// The kernel at `side` has heard nothing for a while, or no answer to so many probes.
    Keepalive { conn: ConnId, side: Side, unanswered: u32 },
}

#[derive(Clone)]
pub struct World<C: Crew> {
    crew: C,
    now: u64,
    heap: Heap<Due>,
    hosts: Vec<Host<C::Role>>,
    net: Net,
    /// Where connections between hosts were ended, in order.
    cuts: Vec<Cut>,
    keepalive: Option<Keepalive>,
    fsync: Stream,
    tear: Stream,
    tail: Stream,
    timers_set: u64,
    /// Counts what one step causes: tells draws made on one link at one instant apart.
    draws: u64,
    outbox: Outbox,
    /// Roles stepped so far.
    events: u64,
    pub facts: Vec<Entry>,
    pub trace: Trace,
    panicked: bool,
}

impl<C: Crew> World<C> {
    pub fn new(seed: Seed, crew: C, machines: Vec<Machine>, net: Net) -> Self {
        let host = |machine| Host {
            machine,
            powered: true,
            process: Process::Down,
            role: None,
            boots: 0,
            clock: Clock::default(),
            platter: Platter::default(),
            timers: Timers::default(),
            mailbox: VecDeque::new(),
            connections: Connections::default(),
            strain: Strain::default(),
            replica_lost: None,
            follower: None,
            rival: None,
            superseded: false,
        };
        Self {
            crew,
            now: 0,
            heap: Heap::new(seed.stream("world.ties")),
            hosts: machines.into_iter().map(host).collect(),
            net,
            cuts: Vec::new(),
            keepalive: None,
            fsync: seed.stream("disk.fsync"),
            tear: seed.stream("disk.tear"),
            tail: seed.stream("disk.tail"),
            timers_set: 0,
            draws: 0,
            outbox: Outbox::default(),
            events: 0,
            facts: Vec::new(),
            trace: Trace::new(seed),
            panicked: false,
        }
    }

    /// True time in nanoseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// How many times a role was stepped.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// A role panicked; nothing happens any more.
    pub fn panicked(&self) -> bool {
        self.panicked
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<u64> {
        if self.panicked { None } else { self.heap.peek() }
    }

    /// Lets the next thing happen. Returns false if there is none.
    pub fn step(&mut self) -> bool {
        if self.panicked {
            return false;
        }
        let Some((at, due)) = self.heap.pop() else { return false };
        assert!(at >= self.now, "time goes forward");
        self.now = at;
        self.draws = 0;
        match due {
            Due::Turn { host, boots } => self.turn(host, boots),
            Due::Mail { host, boots, mail } => self.deliver(host, boots, mail),
            Due::Message { from, to, sent, wire } => self.message_arrives(from, to, sent, wire),
            Due::Segment { conn, side, number, segment } => {
                self.segment_arrives(conn, side, number, segment)
            }
            Due::Retransmit { conn, side } => self.retransmit(conn, side),
            Due::Keepalive { conn, side, unanswered } => self.keepalive_due(conn, side, unanswered),
        }
        true
    }

    fn push(&mut self, at: u64, due: Due) {
        let pair = |high: HostId, low: HostId| u64::from(high.0) << 32 | u64::from(low.0);
        let whom = match &due {
            Due::Mail { host, .. } | Due::Turn { host, .. } => pair(*host, *host),
            Due::Message { from, to, .. } => pair(*from, *to),
            Due::Segment { conn, side, .. }
            | Due::Retransmit { conn, side }
            | Due::Keepalive { conn, side, .. } => pair(conn.opener, HostId(!(*side as u32))),
        };
        self.heap.push(at, whom, due);
    }

    /// Lets time pass up to `until`, before which nothing happens.
    pub fn advance_to(&mut self, until: u64) {
        assert!(self.next_at().is_none_or(|at| at >= until), "something happens before");
        self.now = self.now.max(until);
        self.draws = 0;
    }

    /// The role of a host, while its process runs.
    pub fn role(&self, host: HostId) -> Option<&C::Role> {
        self.host(host).role.as_ref()
    }

    /// What is durable on a host's disk.
    pub fn records(&self, host: HostId) -> &[Record] {
        self.host(host).platter.records()
    }
}

// Verbs: what a plan can do to a host.
impl<C: Crew> World<C> {
    /// Switches the host on, if it is off, and starts its process from its disk.
    pub fn start(&mut self, host: HostId) {
        if self.host(host).process != Process::Down {
            return;
        }
        let now = self.now;
        let crew = self.crew.clone();
        let target = self.host_mut(host);
        if !std::mem::replace(&mut target.powered, true) || target.boots == 0 {
            target.clock.power_on(now);
        }
        target.boots += 1;
        let (disk, boots) = (target.platter.boot(), target.boots);
        target.process = Process::Up;
        self.life(host, Life::Started);
        let made = catch_unwind(AssertUnwindSafe(|| crew.boot(host, &disk, boots)));
        match made {
            Ok(role) => {
                self.host_mut(host).role = Some(role);
                self.step_role(host, Event::Booted);
            }
            Err(_) => self.role_panicked(host, format!("boot from {} records", disk.records.len())),
        }
    }

    /// The process dies; the kernel resets its connections and refuses what comes.
    pub fn crash(&mut self, host: HostId) {
        self.exit(host, Life::Crashed);
    }

    /// The process is told to end and does. To its kernel that is no different.
    pub fn stop(&mut self, host: HostId) {
        self.exit(host, Life::Stopped);
    }

    /// Installs the next version of what runs on a host; its next start runs it.
    pub fn upgrade(&mut self, host: HostId) {
        self.crew.upgrade(host);
    }

    /// Gives a host another configuration; its next start reads it.
    pub fn configure(&mut self, host: HostId, configuration: Option<usize>) {
        self.crew.configure(host, configuration);
    }

    fn exit(&mut self, host: HostId, how: Life) {
        if self.host(host).process == Process::Down {
            return;
        }
        self.life(host, how);
        self.end_process(host);
        let draw = self.tail.draw(u64::from(host.0), self.now);
        self.host_mut(host).platter.crash(draw);
        self.abandon_connections(host, true);
    }

    /// The host goes dark: nobody is told.
    pub fn power_cut(&mut self, host: HostId) {
        if !self.host(host).powered {
            return;
        }
        self.life(host, Life::PowerCut);
        let tail = self.tail.draw(u64::from(host.0), self.now);
        let tears = self.tear.draw(u64::from(host.0), self.now).is_multiple_of(2);
        self.end_process(host);
        let target = self.host_mut(host);
        target.powered = false;
        target.platter.power_cut(tears, tail);
        self.abandon_connections(host, false);
    }

    /// The process stops running; its kernel keeps accepting, its timers keep running out.
    pub fn pause(&mut self, host: HostId) {
        if self.host(host).process == Process::Up {
            self.host_mut(host).process = Process::Paused;
            self.life(host, Life::Paused);
        }
    }

    /// The process goes on, with everything that came meanwhile.
    pub fn resume(&mut self, host: HostId) {
        if self.host(host).process != Process::Paused {
            return;
        }
        self.host_mut(host).process = Process::Up;
        self.life(host, Life::Resumed);
        self.catch_up(host);
    }

    /// Steps a host's wall clock.
    pub fn step_clock(&mut self, host: HostId, by_nanos: i64) {
        self.host_mut(host).clock.step(by_nanos);
    }

    /// Makes a host's clocks run fast or slow.
    pub fn drift_clock(&mut self, host: HostId, ppm: i64) {
        let now = self.now;
        self.host_mut(host).clock.drift(now, ppm);
        if self.host(host).process != Process::Asleep {
            self.reset_timers(host);
        }
    }

    /// A person does something with a device. Nothing happens if its process is not running.
    pub fn command(&mut self, host: HostId, command: Command) -> bool {
        let boots = self.host(host).boots;
        let running = !matches!(self.host(host).process, Process::Down | Process::Asleep);
        if running {
            self.deliver(host, boots, Mail::Event(Event::Commanded(command)));
        }
        running
    }
}

// Verbs: what a plan can do to links.
impl<C: Crew> World<C> {
    /// Puts a rule in force on every link from one set of hosts to another.
    pub fn impose(&mut self, from: Hosts, to: Hosts, effect: Effect) -> RuleId {
        self.net.impose(from, to, effect)
    }

    pub fn lift(&mut self, rule: RuleId) {
        self.net.lift(rule);
    }

    pub fn set_matrix(&mut self, matrix: Matrix) {
        self.net.set_matrix(matrix);
    }
}

// Hosts.
impl<C: Crew> World<C> {
    fn host(&self, host: HostId) -> &Host<C::Role> {
        &self.hosts[host.0 as usize]
    }

    fn host_mut(&mut self, host: HostId) -> &mut Host<C::Role> {
        &mut self.hosts[host.0 as usize]
    }

    fn place(&self, host: HostId) -> Place {
        let Machine { zone, site, .. } = self.host(host).machine;
        Place { host, zone, site }
    }

    fn life(&mut self, host: HostId, life: Life) {
        self.trace.life(self.now, host, life);
        self.facts.push(Entry { at: self.now, fact: Fact::Host { host, life } });
    }

    fn end_process(&mut self, host: HostId) {
        self.wake_clock(host);
        let target = self.host_mut(host);
        target.strain.forget_process();
        target.follower = None;
        target.process = Process::Down;
        target.role = None;
        target.timers.clear();
        target.mailbox.clear();
    }

    /// Hands something to a process: now if it runs, later if it is paused, never if it is not the
    /// one it was meant for.
    fn deliver(&mut self, host: HostId, boots: u32, mail: Mail) {
        let now = self.now;
        let target = self.host_mut(host);
        if target.boots != boots {
            self.deliver_to_rival(host, boots, mail);
            return;
        }
        match (target.process, mail) {
            (Process::Down, _) => {}
            (_, Mail::Timer(timer, id)) if !target.timers.is_current(timer, id) => {}
            (Process::Asleep, mail) => target.strain.freeze(now, mail),
            (Process::Paused, mail) => target.mailbox.push_back(mail),
            (Process::Up, mail) => match target.strain.step_takes() {
                Some(lag) => self.queue(host, mail, lag),
                None => self.handle(host, mail),
            },
        }
    }

    /// The process takes something.
    fn handle(&mut self, host: HostId, mail: Mail) {
        if let Mail::Event(event) = &mail
            && self.follower_answers(host, event)
        {
            return;
        }
        let now = self.now;
        let target = self.host_mut(host);
        match mail {
            Mail::Event(event) => self.step_role(host, event),
            Mail::Synced(records) => {
                let replicated = target.machine.replica.is_some().then_some(now);
                let records = target.platter.sync(records, replicated);
                self.step_role(host, Event::Synced { records });
            }
            Mail::Timer(timer, id) => {
                if target.timers.take_if(timer, id) {
                    self.step_role(host, Event::Fired(timer));
                }
            }
        }
    }

    fn step_role(&mut self, host: HostId, event: Event) {
        if self.panicked {
            return;
        }
        self.events += 1;
        self.trace.event(self.now, host, &event);
        let now = self.host(host).clock.read(self.now);
        self.follow(host, now, &event);
        let mut out = std::mem::take(&mut self.outbox);
        if let Err(event) = self.role_step(host, now, event, &mut out) {
            self.role_panicked(host, event);
            return;
        }
        for action in out.drain() {
            self.act(host, action);
        }
        self.outbox = out;
    }

    /// Steps a role. A panic in it is a finding, not a failure of the testbed.
    fn role_step(
        &mut self,
        host: HostId,
        now: Now,
        event: Event,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let role = self.hosts[host.0 as usize].role.as_mut().expect("a process has a role");
        let (what, which) = event.name();
        catch_unwind(AssertUnwindSafe(|| role.step(now, event, out)))
            .map_err(|_| format!("{what} {which}"))
    }

    fn role_panicked(&mut self, host: HostId, event: String) {
        self.panicked = true;
        let message = crate::panics::take();
        self.trace.panicked(self.now, host, &message);
        self.facts.push(Entry { at: self.now, fact: Fact::Panicked { host, event, message } });
    }

    fn act(&mut self, host: HostId, action: Action) {
        self.draws += 1;
        self.trace.action(self.now, host, &action);
        match action {
            Action::Send { to, wire } => self.send(host, to, wire),
            Action::Open { conn, to } => self.open(host, conn, to),
            Action::Write { conn, frame } => self.write(host, conn, frame),
            Action::Close { conn } => self.close(host, conn),
            Action::SetTimer { timer, after } => self.set_timer(host, timer, after),
            Action::CancelTimer(timer) => {
                self.host_mut(host).timers.cancel(timer);
            }
            Action::Append(record) => self.host_mut(host).platter.append(record),
            Action::Sync => self.sync(host),
            Action::Note(note) => {
                self.trace.note(self.now, host, &note);
                self.facts.push(Entry { at: self.now, fact: Fact::Noted { host, note } });
            }
        }
    }

    fn set_timer(&mut self, host: HostId, timer: Timer, after: std::time::Duration) {
        self.timers_set += 1;
        let id = self.timers_set;
        let now = self.now;
        let target = self.host_mut(host);
        target.timers.set(timer, id, target.clock.read(now).mono + after);
        let at = now.saturating_add(target.clock.stretch(after));
        let boots = target.boots;
        self.push(at, Due::Mail { host, boots, mail: Mail::Timer(timer, id) });
    }

    /// The host's clock goes at another pace, or goes on: its timers are due when it says so.
    fn reset_timers(&mut self, host: HostId) {
        let target = self.host(host);
        let mono = target.clock.read(self.now).mono;
        for (timer, due) in target.timers.all() {
            self.set_timer(host, timer, due.since(mono));
        }
    }

    fn sync(&mut self, host: HostId) {
        let draw = self.fsync.draw(u64::from(host.0), self.instant());
        let now = self.now;
        let target = self.host_mut(host);
        let mut at = now + target.machine.fsync.pick(draw) + target.strain.fsync_takes_more();
        let (boots, records) = (target.boots, target.platter.appended());
        match &target.machine.replica {
            // Its replica is another's now: nobody confirms, and it waits for ever.
            Some(replica) if replica.is_synchronous() && target.superseded => return,
            Some(replica) => at += replica.confirms_after(draw),
            None => {}
        }
        if target.holds_syncs() {
            if !target.strain.is_full() {
                target.platter.flush(records);
            }
            target.strain.hold_sync(boots, records);
            return;
        }
        self.push(at, Due::Mail { host, boots, mail: Mail::Synced(records) });
    }
}

// Messages between hosts: a request or an answer, each on its own.
impl<C: Crew> World<C> {
    /// Tells this draw from others on the same link at the same instant.
    fn instant(&self) -> u64 {
        self.now ^ self.draws << 48
    }

    fn send(&mut self, from: HostId, to: HostId, wire: Wire) {
        let (source, target, instant) = (self.place(from), self.place(to), self.instant());
        if self.net.duplicates(source, target, instant)
            && let Some(time) = self.net.travel(source, target, self.now, !instant)
        {
            let message = Due::Message { from, to, sent: self.now, wire: wire.clone() };
            self.push(self.now + time, message);
        }
        match self.net.travel(source, target, self.now, instant) {
            Some(time) => {
                self.push(self.now + time, Due::Message { from, to, sent: self.now, wire })
            }
            None => self.trace.lost(self.now, from, to, &wire),
        }
    }

    fn message_arrives(&mut self, from: HostId, to: HostId, sent: u64, wire: Wire) {
        let target = self.host(to);
        if !target.answers() || self.cuts.iter().any(|cut| cut.ends(from, to, sent)) {
            self.trace.lost(self.now, from, to, &wire);
        } else if target.process == Process::Down {
            // The kernel answers: nothing listens here.
            let time = self.net.travel(self.place(to), self.place(from), self.now, self.instant());
            let boots = self.host(from).boots;
            if let Some(time) = time {
                let mail = Mail::Event(Event::Refused { to, wire });
                self.push(self.now + time, Due::Mail { host: from, boots, mail });
            }
        } else {
            let boots = target.boots_for(from);
            self.deliver(to, boots, Mail::Event(Event::Received { from, wire }));
        }
    }
}

// Connections.
impl<C: Crew> World<C> {
    fn open(&mut self, host: HostId, conn: ConnId, to: HostId) {
        assert_eq!(conn.opener, host, "a connection is named by who opens it");
        let boots = self.host(host).boots;
        self.host_mut(host).connections.open(conn, boots, to);
        self.transmit(conn, Side::Opener, Segment::Syn);
    }

    fn write(&mut self, host: HostId, conn: ConnId, frame: Frame) {
        let side = Side::of(host, conn);
        if self.end_is_open(conn, side) {
            self.transmit(conn, side, Segment::Data(frame));
        }
    }

    fn close(&mut self, host: HostId, conn: ConnId) {
        let side = Side::of(host, conn);
        if self.end_is_open(conn, side) {
            self.transmit(conn, side, Segment::Fin);
            self.close_end(conn, side);
        }
    }

    fn end_is_open(&self, conn: ConnId, side: Side) -> bool {
        let found = self.host(conn.opener).connections.get(conn);
        found.is_some_and(|connection| connection.is_open(side))
    }

    fn close_end(&mut self, conn: ConnId, side: Side) {
        self.host_mut(conn.opener).connections.close_end(conn, side);
    }

    /// Puts a segment on its way, behind everything that its side sent before.
    fn transmit(&mut self, conn: ConnId, side: Side, segment: Segment) {
        let number = self.host_mut(conn.opener).connections.number(conn, side);
        self.transmit_again(conn, side, number, segment);
    }

    fn transmit_again(&mut self, conn: ConnId, side: Side, number: u32, segment: Segment) {
        let Some(connection) = self.host(conn.opener).connections.get(conn) else { return };
        let (from, to) = connection.route(conn, side);
        let waits = connection.is_blocked(side) && segment != Segment::Rst;
        if waits || self.is_forgotten(conn, from, to) {
            self.hold_back(conn, side, number, segment);
            return;
        }
        let travel = self.net.travel(self.place(from), self.place(to), self.now, self.instant());
        match travel {
            Some(time) => {
                let earliest = self.now + time;
                let at = self.host_mut(conn.opener).connections.arrival(conn, side, earliest);
                self.push(at, Due::Segment { conn, side: side.other(), number, segment });
            }
            None => self.hold_back(conn, side, number, segment),
        }
    }

    /// A segment that does not get through stays with its sender's kernel, which tries again. A
    /// reset is sent once.
    fn hold_back(&mut self, conn: ConnId, side: Side, number: u32, segment: Segment) {
        if segment == Segment::Rst {
            return;
        }
        let now = self.now;
        let connections = &mut self.host_mut(conn.opener).connections;
        if let Some(due) = connections.hold_back(conn, side, number, segment, now) {
            self.push(due, Due::Retransmit { conn, side });
        }
    }

    /// What the kernel at `side` holds goes out now, if it can.
    fn retry_now(&mut self, conn: ConnId, side: Side) {
        let now = self.now;
        self.host_mut(conn.opener).connections.retry_now(conn, side, now);
        self.push(now, Due::Retransmit { conn, side });
    }

    fn retransmit(&mut self, conn: ConnId, side: Side) {
        let Some(connection) = self.host(conn.opener).connections.get(conn) else { return };
        let (from, to) = connection.route(conn, side);
        if !self.host(from).answers() || !connection.tries_again_at(side, self.now) {
            return;
        }
        let through = !connection.is_forgotten() && !self.net.is_cut(from, to, self.now);
        if self.host(to).answers() && through {
            let held = self.host_mut(conn.opener).connections.release(conn, side);
            for (number, segment) in held {
                self.draws += 1;
                self.transmit_again(conn, side, number, segment);
            }
            return;
        }
        let now = self.now;
        match self.host_mut(conn.opener).connections.try_again(conn, side, now) {
            Some(due) => self.push(due, Due::Retransmit { conn, side }),
            None => self.end_closed(conn, side, CloseCause::TimedOut),
        }
    }

    fn segment_arrives(&mut self, conn: ConnId, side: Side, number: u32, segment: Segment) {
        let Some(connection) = self.host(conn.opener).connections.get(conn) else { return };
        let (here, _) = connection.route(conn, side);
        let host = self.host(here);
        let overtakes = connection.holds_earlier(side.other(), number) && segment != Segment::Rst;
        if !host.answers() || overtakes {
            // Nobody acknowledges it: it is still its sender's.
            self.hold_back(conn, side.other(), number, segment);
            return;
        }
        let (boots, listening) = (host.boots, host.process != Process::Down);
        let open = host.knows_end(connection.end(side));
        match segment {
            Segment::Syn if listening => {
                self.host_mut(conn.opener).connections.accept(conn, boots);
                self.look_after(conn, side);
                self.transmit(conn, side, Segment::SynAck);
                self.deliver(here, boots, Mail::Event(Event::Opened { conn }));
            }
            Segment::Rst => {
                self.host_mut(here).strain.discard_unread(conn);
                self.end_closed(conn, side, CloseCause::Reset);
            }
            Segment::Data(_) | Segment::Fin if open && host.strain.reads_nothing() => {
                self.host_mut(here).strain.leave_unread(conn, side, segment);
            }
            Segment::Fin if open => {
                self.end_closed(conn, side, CloseCause::Fin);
                self.close_end(conn, side.other());
            }
            Segment::SynAck if open => {
                self.look_after(conn, side);
                self.deliver(here, boots, Mail::Event(Event::Opened { conn }))
            }
            Segment::Data(frame) if open => {
                self.deliver(here, boots, Mail::Event(Event::Arrived { conn, frame }))
            }
            // A connection that this kernel does not know.
            Segment::Syn | Segment::SynAck | Segment::Data(_) | Segment::Fin => {
                self.transmit(conn, side, Segment::Rst)
            }
        }
    }

    /// One end learns that the connection is over.
    fn end_closed(&mut self, conn: ConnId, side: Side, cause: CloseCause) {
        let Some(connection) = self.host(conn.opener).connections.get(conn) else { return };
        let (here, _) = connection.route(conn, side);
        let Some(boots) = connection.end(side) else { return };
        self.close_end(conn, side);
        self.deliver(here, boots, Mail::Event(Event::Closed { conn, cause }));
    }

    /// Every connection of a host that went down loses this end; a kernel that lives says so.
    fn abandon_connections(&mut self, host: HostId, tell: bool) {
        let mut ends = Vec::new();
        for (opener, found) in self.hosts.iter().enumerate() {
            found.connections.ends_at(HostId(opener as u32), host, &mut ends);
        }
        for (conn, side) in ends {
            if !tell {
                self.host_mut(conn.opener).connections.drop_end(conn, side);
            } else if self.end_is_open(conn, side) {
                self.draws += 1;
                self.transmit(conn, side, Segment::Rst);
                self.host_mut(conn.opener).connections.drop_end(conn, side);
            }
        }
    }
}
