//! A conversation with one role, written down as it happens.
//!
//! Each call is one event; the script steps the role and adds the event and everything the role
//! did about it to the trace. It keeps the role's timers, so that `pass` fires what is due, and
//! its disk, so that `reboot` finds there what was synced and nothing else. It answers nothing
//! by itself: what the others say is the test's to write.

use crate::cast::name;
use crate::render::render;
use courier::disk::{Disk, Record};
use courier::frame::Frame;
use courier::id::{ConnId, HostId};
use courier::node::{Action, CloseCause, Command, Event, Outbox, Role, Timer};
use courier::time::{Instant, Now, Wall};
use courier::wire::Wire;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

pub struct Script<R> {
    host: HostId,
    pub role: R,
    now: Now,
    /// Where the trace's own time begins.
    began: Instant,
    /// When each timer fires, and the order of setting among those of one moment.
    timers: BTreeMap<Timer, (Instant, u64)>,
    timers_set: u64,
    /// Durable before this boot.
    disk: Vec<Record>,
    /// How often a replica of it was promoted.
    timeline: u32,
    /// Appended in this boot, and how many of these are durable.
    appended: Vec<Record>,
    synced: usize,
    /// The other end of each connection.
    peers: BTreeMap<ConnId, HostId>,
    /// What the trace leaves out: whole verbs (`append`), or first words (`Ping`).
    hidden: &'static [&'static str],
    silent: bool,
    trace: String,
    /// What the last step did.
    pub last: Vec<Action>,
    /// What all steps did.
    pub done: Vec<Action>,
}

impl<R: Role> Script<R> {
    pub fn new(host: HostId, role: R) -> Self {
        Self {
            host,
            role,
            now: Now { mono: Instant(0), wall: Wall(0) },
            began: Instant(0),
            timers: BTreeMap::new(),
            timers_set: 0,
            disk: Vec::new(),
            timeline: 0,
            appended: Vec::new(),
            synced: 0,
            peers: BTreeMap::new(),
            hidden: &[],
            silent: false,
            trace: String::new(),
            last: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Leaves these out of the trace: a verb (`append`), or what begins with a word (`Ping`).
    pub fn without(mut self, words: &'static [&'static str]) -> Self {
        self.hidden = words;
        self
    }

    /// The host was switched on this long ago.
    pub fn after(mut self, uptime: Duration) -> Self {
        self.advance(self.now.mono + uptime);
        self.began = self.now.mono;
        self
    }

    /// Nothing is written down; for tests that do not read the trace.
    pub fn untold(mut self) -> Self {
        self.silent = true;
        self
    }

    /// One line of prose in the trace: what this is about.
    pub fn beat(&mut self, prose: &str) -> &mut Self {
        self.line(|_| format!("# {prose}"));
        self
    }

    /// The way to where the story begins; not part of the trace.
    pub fn unseen(&mut self, prologue: impl FnOnce(&mut Self)) -> &mut Self {
        self.silent = true;
        prologue(self);
        self.silent = false;
        self
    }

    pub fn boots(&mut self) -> &mut Self {
        self.line(|_| "(boots)".into());
        self.step(Event::Booted)
    }

    pub fn receives(&mut self, from: HostId, wire: Wire) -> &mut Self {
        self.line(|t| row(name(from), "→", name(t.host), render(&wire)));
        self.step(Event::Received { from, wire })
    }

    pub fn refused(&mut self, to: HostId, wire: Wire) -> &mut Self {
        self.line(|t| row(name(to), "✗", name(t.host), render(&wire)));
        self.step(Event::Refused { to, wire })
    }

    pub fn commanded(&mut self, command: Command) -> &mut Self {
        self.line(|t| row("person".into(), "→", name(t.host), render(&command)));
        self.step(Event::Commanded(command))
    }

    pub fn opened(&mut self, conn: ConnId) -> &mut Self {
        self.peers.entry(conn).or_insert(conn.opener);
        self.line(|t| row(t.far_end(conn), "⇒", t.near_end(conn), "(opened)".into()));
        self.step(Event::Opened { conn })
    }

    pub fn arrives(&mut self, conn: ConnId, frame: Frame) -> &mut Self {
        self.line(|t| row(t.far_end(conn), "⇒", t.near_end(conn), render(&frame)));
        self.step(Event::Arrived { conn, frame })
    }

    pub fn closed(&mut self, conn: ConnId, cause: CloseCause) -> &mut Self {
        self.line(|t| row(t.far_end(conn), "⇒", t.near_end(conn), format!("(closed: {cause:?})")));
        self.step(Event::Closed { conn, cause })
    }

    /// Everything that was appended becomes durable.
    pub fn synced(&mut self) -> &mut Self {
        self.synced_up_to(self.appended.len())
    }

    /// The first `records` of this boot become durable.
    pub fn synced_up_to(&mut self, records: usize) -> &mut Self {
        assert!(records <= self.appended.len(), "only what was appended can be durable");
        self.synced = records;
        self.line(|_| format!("(the disk has {records})"));
        self.step(Event::Synced { records: records as u64 })
    }

    /// Time passes; timers fire when they are due.
    pub fn pass(&mut self, span: Duration) -> &mut Self {
        self.line(|_| format!("({span:?} pass)"));
        let end = self.now.mono + span;
        while let Some((timer, at)) = self.next_timer().filter(|(_, at)| *at <= end) {
            self.advance(at);
            self.timers.remove(&timer);
            let before = self.trace.len();
            self.line(|t| {
                let at = Instant(at.0 - t.began.0);
                let what = format!("{} at {at}", render(&timer));
                row(name(t.host), " ", "fires".into(), what)
            });
            self.step(Event::Fired(timer));
            // A timer that only set itself again, or did what is left out, is not worth a line.
            let rearmed = |action: &Action| match action {
                Action::SetTimer { timer: again, .. } => *again == timer,
                _ => false,
            };
            let untold = |action: &Action| rearmed(action) || self.hides(action);
            if !self.last.is_empty() && self.last.iter().all(untold) {
                self.trace.truncate(before);
            }
        }
        self.advance(end);
        self
    }

    /// A timer fires, whatever the time.
    pub fn fires(&mut self, timer: Timer) -> &mut Self {
        self.timers.remove(&timer);
        self.line(|t| row(name(t.host), " ", "fires".into(), render(&timer)));
        self.step(Event::Fired(timer))
    }

    pub fn now(&self) -> Instant {
        self.now.mono
    }

    /// A timer that this story is not about never fires.
    pub fn forgets(&mut self, timer: Timer) {
        self.timers.remove(&timer);
    }

    /// The process dies, and boots from what its disk kept.
    pub fn reboot(&mut self, boot: impl FnOnce(&Disk) -> R) -> &mut Self {
        self.dies();
        self.line(|t| format!("(crash; the disk kept {})", t.disk.len()));
        self.boots_from_disk(boot)
    }

    /// The process dies, and a replica takes over that lacks the last so many durable records; it
    /// lacks none of those that are kept apart.
    pub fn fails_over(&mut self, lacks: usize, boot: impl FnOnce(&Disk) -> R) -> &mut Self {
        self.dies();
        let lost = self.disk.split_off(self.disk.len().saturating_sub(lacks));
        self.disk.extend(lost.into_iter().filter(Record::is_kept_apart));
        self.timeline += 1;
        self.line(|t| format!("(failover; the replica has {})", t.disk.len()));
        self.boots_from_disk(boot)
    }

    pub fn is_set(&self, timer: Timer) -> bool {
        self.timers.contains_key(&timer)
    }

    /// Whether the last step sent this.
    pub fn sent(&self, wire: &Wire) -> bool {
        self.last.iter().any(|action| matches!(action, Action::Send { wire: w, .. } if w == wire))
    }

    pub fn trace(&self) -> &str {
        &self.trace
    }
}

impl<R: Role> Script<R> {
    fn dies(&mut self) {
        let kept = self.appended.drain(..).take(self.synced);
        self.disk.extend(kept);
        self.synced = 0;
        self.timers.clear();
        self.peers.clear();
    }

    fn boots_from_disk(&mut self, boot: impl FnOnce(&Disk) -> R) -> &mut Self {
        let (records, timeline) = (self.disk.clone(), self.timeline);
        self.role = boot(&Disk { records, timeline, ..Disk::default() });
        self.boots()
    }

    fn step(&mut self, event: Event) -> &mut Self {
        let mut out = Outbox::default();
        self.role.step(self.now, event, &mut out);
        self.last = out.drain().collect();
        self.done.extend_from_slice(&self.last);
        for action in self.last.clone() {
            self.does(&action);
        }
        self
    }

    fn does(&mut self, action: &Action) {
        match action {
            Action::SetTimer { timer, after } => {
                self.timers_set += 1;
                self.timers.insert(*timer, (self.now.mono + *after, self.timers_set));
            }
            // Cancelling what is not set changes nothing and is not shown.
            Action::CancelTimer(timer) if !self.timers.contains_key(timer) => return,
            Action::CancelTimer(timer) => {
                self.timers.remove(timer);
            }
            Action::Append(record) => self.appended.push(record.clone()),
            Action::Open { conn, to } => {
                self.peers.insert(*conn, *to);
            }
            _ => {}
        }
        if !self.silent && !self.hides(action) {
            self.line(|t| t.shown(action));
        }
    }

    fn shown(&self, action: &Action) -> String {
        let inside = |verb: &str, what| row(String::new(), " ", verb.into(), what);
        match action {
            Action::Send { to, wire } => row(name(self.host), "→", name(*to), render(wire)),
            Action::Open { conn, to } => row(self.near_end(*conn), "⇒", name(*to), "(open)".into()),
            Action::Write { conn, frame } => {
                row(self.near_end(*conn), "⇒", self.far_end(*conn), render(frame))
            }
            Action::Close { conn } => {
                row(self.near_end(*conn), "⇒", self.far_end(*conn), "(close)".into())
            }
            Action::SetTimer { timer, after } => {
                inside("timer", format!("{} in {after:.3?}", render(timer)))
            }
            Action::CancelTimer(timer) => inside("cancel", render(timer)),
            Action::Append(record) => inside("append", render(record)),
            Action::Sync => inside("sync", String::new()),
            Action::Note(note) => inside("note", render(note)),
        }
    }

    fn hides(&self, action: &Action) -> bool {
        let (verb, what) = match action {
            Action::Send { wire, .. } => ("send", render(wire)),
            Action::Write { frame, .. } => ("write", render(frame)),
            Action::SetTimer { timer, .. } => ("timer", render(timer)),
            Action::CancelTimer(timer) => ("cancel", render(timer)),
            Action::Append(record) => ("append", render(record)),
            Action::Note(note) => ("note", render(note)),
            Action::Sync => ("sync", String::new()),
            Action::Open { .. } | Action::Close { .. } => return false,
        };
        let first = what.split(' ').next().expect("even nothing has a first part");
        self.hidden.iter().any(|word| *word == verb || *word == first)
    }

    fn line(&mut self, line: impl FnOnce(&Self) -> String) {
        if !self.silent {
            let line = line(self);
            writeln!(self.trace, "{}", line.trim_end()).expect("strings take everything");
        }
    }

    /// A connection's own end is named after the connection at the device, the server elsewhere.
    fn near_end(&self, conn: ConnId) -> String {
        if conn.opener == self.host { render(&conn) } else { name(self.host) }
    }

    fn far_end(&self, conn: ConnId) -> String {
        match self.peers.get(&conn) {
            Some(peer) if conn.opener == self.host => name(*peer),
            _ => render(&conn),
        }
    }

    fn next_timer(&self) -> Option<(Timer, Instant)> {
        let next = self.timers.iter().min_by_key(|(_, due)| **due);
        next.map(|(timer, (at, _))| (*timer, *at))
    }

    fn advance(&mut self, to: Instant) {
        self.now = Now { mono: to, wall: Wall((to.0 / 1_000_000) as i64) };
    }
}

fn row(from: String, arrow: &str, to: String, what: String) -> String {
    format!("{from:>9} {arrow} {to:<9}  {what}")
}

/// Compares a script's trace with the golden one of the calling test, whose name is its title.
macro_rules! golden {
    ($script:expr) => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here);
        let mut path = path.split("::").skip(1);
        let role = path.next().expect("a test is in its role's module");
        let title = path.next().expect("a test has a name");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(format!("traces/{role}"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_description(title.replace('_', " "));
        settings.bind(|| insta::assert_snapshot!(title, $script.trace()));
    }};
}
pub(crate) use golden;
