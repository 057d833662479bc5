//! A fleet with a bug in it: courier's own roles, and something between the world and some of them.
//!
//! A bug sits in every host of one kind. It may alter what a boot finds, what the role is told and
//! what it then says; everything else is the role's own, so a bug is as large as its few lines.

use courier::design::Design;
use courier::disk::Disk;
use courier::id::HostId;
use courier::node::{Action, Event, Outbox, Role};
use courier::time::Now;
use courier::timing::Timing;
use courier_sim::cast::Part;
use courier_sim::fleet::{Fleet, Member};
use courier_sim::world::Crew;
use std::sync::Arc;

/// Takes an event in a role's place. Most ask [`Carrier::sound`] what the role would have done.
pub type Step<M> = fn(&mut Carrier<M>, Now, Event) -> Vec<Action>;

/// A bug, before it is planted. `M` is what it remembers between two steps.
pub struct Bug<M = ()> {
    /// Whether a host of this kind has it.
    kind: fn(Part) -> bool,
    timing: fn(&mut Timing),
    design: fn(&mut Design),
    disk: fn(&mut Disk),
    step: Step<M>,
}

impl<M> Bug<M> {
    const fn nowhere() -> Self {
        Self {
            kind: |_| false,
            timing: |_| {},
            design: |_| {},
            disk: |_| {},
            step: |carrier, now, event| carrier.sound(now, event),
        }
    }

    /// In what hosts of this kind do with events.
    pub const fn in_steps_of(kind: fn(Part) -> bool, step: Step<M>) -> Self {
        Self { kind, step, ..Self::nowhere() }
    }

    /// In what they find on their disk.
    pub const fn in_disks_of(kind: fn(Part) -> bool, disk: fn(&mut Disk)) -> Self {
        Self { kind, disk, ..Self::nowhere() }
    }

    /// In the times that they are configured with. The checkers keep to the plan's.
    pub const fn in_timing_of(kind: fn(Part) -> bool, timing: fn(&mut Timing)) -> Self {
        Self { kind, timing, ..Self::nowhere() }
    }

    /// In the design that they follow, while the others keep to the plan's.
    pub const fn in_design_of(kind: fn(Part) -> bool, design: fn(&mut Design)) -> Self {
        Self { kind, design, ..Self::nowhere() }
    }
}

// By hand: a derived one would ask for an `M` that can be copied.
impl<M> Clone for Bug<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Bug<M> {}

/// The crew of a fleet in which a bug is planted.
#[derive(Clone)]
pub struct Planted<M> {
    pub fleet: Fleet,
    pub bug: Bug<M>,
}

/// A role, and the bug that its host has.
#[derive(Clone)]
pub struct Carrier<M> {
    member: Member,
    bug: Option<Step<M>>,
    /// How often the host has started.
    pub boots: u32,
    pub memory: M,
}

impl<M> Carrier<M> {
    /// What the role does when there is no bug in it.
    pub fn sound(&mut self, now: Now, event: Event) -> Vec<Action> {
        let mut out = Outbox::default();
        self.member.step(now, event, &mut out);
        out.drain().collect()
    }
}

impl<M: Clone + Default> Crew for Planted<M> {
    type Role = Carrier<M>;

    fn upgrade(&mut self, host: HostId) {
        self.fleet.upgrade(host);
    }

    fn boot(&self, host: HostId, disk: &Disk, boots: u32) -> Carrier<M> {
        let memory = M::default();
        if !(self.bug.kind)(self.fleet.cast.part(host)) {
            let member = self.fleet.boot(host, disk, boots);
            return Carrier { member, bug: None, boots, memory };
        }
        let (mut fleet, mut disk) = (self.fleet.clone(), disk.clone());
        (self.bug.timing)(Arc::make_mut(&mut fleet.timing));
        (self.bug.design)(&mut fleet.design);
        (self.bug.disk)(&mut disk);
        let member = fleet.boot(host, &disk, boots);
        Carrier { member, bug: Some(self.bug.step), boots, memory }
    }
}

impl<M> Role for Carrier<M> {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match self.bug {
            Some(bug) => bug(self, now, event).into_iter().for_each(|action| put(action, out)),
            None => self.member.step(now, event, out),
        }
    }
}

fn put(action: Action, out: &mut Outbox) {
    match action {
        Action::Send { to, wire } => out.send(to, wire),
        Action::Open { conn, to } => out.open(conn, to),
        Action::Write { conn, frame } => out.write(conn, frame),
        Action::Close { conn } => out.close(conn),
        Action::SetTimer { timer, after } => out.set_timer(timer, after),
        Action::CancelTimer(timer) => out.cancel_timer(timer),
        Action::Append(record) => out.append(record),
        Action::Sync => out.sync(),
        Action::Note(note) => out.note(note),
    }
}
