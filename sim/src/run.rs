//! A run: a plan becomes a history.
//!
//! The runner owns a world and an agenda: when which host starts, which fault begins and ends,
//! which operation is due. It applies each at its time and lets the world do the rest. It is a
//! value like the world, so a run can be cloned at any point and both go on identically.
//!
//! Every run is shelled in a madsim runtime of its own, on a thread of its own, whose clock follows
//! the world's: should any dependency reach for the time, entropy or a hash seed, it gets the same
//! for the same seed.

use crate::cast::{Cast, Part};
use crate::document::Problem;
use crate::fleet::Fleet;
use crate::history::{Entry, Fact, History, Phase};
use crate::input::latency_matrix::{self, LatencyMatrix};
use crate::nemesis::{self, Undo};
use crate::plan::{
    self, Commit, Deed, DelaySpec, InputFile, KeepaliveSpec, Kind, LinkSpec, Op, Plan,
};
use crate::seed::Seed;
use crate::trace::Names;
use crate::world::keepalive::Keepalive;
use crate::world::latency::Latency;
use crate::world::net::{Matrix, Net, Profile};
use crate::world::replica::Replica;
use crate::world::{Crew, Machine, World};
use courier::id::{ConversationId, HostId, MessageId, Stamp};
use courier::jitter;
use courier::node::{Command, Draft};
use courier::note::Note;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use strum::VariantNames;

/// Something that the plan does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Start(HostId),
    FaultBegins(usize),
    FaultEnds(usize),
    /// This host's turn in a deploy begins: fault, and which of its hosts.
    DeployDrains(usize, usize),
    DeployRestarts(usize, usize),
    Op(usize),
    Heal,
}

/// After everything has drained, a run goes on for this long: a duplicate or a flap that recovery
/// causes late would otherwise be missed.
const SETTLE: Duration = Duration::from_secs(30);

/// A plan being run.
#[derive(Clone)]
pub struct Runner<C: Crew> {
    plan: Arc<Plan>,
    cast: Arc<Cast>,
    pub world: World<C>,
    agenda: BTreeMap<(u64, u32), Item>,
    agenda_made: u32,
    active: BTreeMap<usize, Undo>,
    /// Facts up to here have been looked at.
    looked: usize,
    messages: Messages,
    watches: Vec<Watch>,
    /// When which triggered fault began.
    fired: BTreeMap<usize, u64>,
    backlog: Backlog,
    healed_at: Option<u64>,
    drained_at: Option<u64>,
}

/// Which operation became which message, and what waits for it.
#[derive(Clone, Debug, Default)]
struct Messages {
    by_name: BTreeMap<String, usize>,
    op_of: BTreeMap<MessageId, usize>,
    id_of: BTreeMap<usize, MessageId>,
    /// Operations that wait for a message to be shown on a host.
    waiting: BTreeMap<(usize, HostId), Vec<usize>>,
}

/// A fault that waits for a note.
#[derive(Clone, Debug)]
struct Watch {
    fault: usize,
    note: &'static str,
    /// Who must note it; anybody if empty.
    hosts: Vec<HostId>,
    /// How many more of them it takes.
    more: u32,
}

/// A triggered fault begins so much later at least: everything that happens at the instant of the
/// note has happened then, in this run and in a replay, where the fault has this time.
const TRIGGER_DELAY_MIN: u64 = 1;

/// What is still to be done, followed fact by fact.
#[derive(Clone, Debug, Default)]
struct Backlog {
    unanswered: BTreeSet<MessageId>,
    unseen: BTreeMap<MessageId, u32>,
    seen_early: BTreeMap<MessageId, u32>,
    /// Where the unseen ones are.
    placed: BTreeMap<(ConversationId, Stamp), MessageId>,
}

impl Backlog {
    fn take(&mut self, note: &Note, cast: &Cast) {
        match note {
            Note::Invoked { id, .. } => {
                self.unanswered.insert(*id);
            }
            Note::Failed { id, .. } => {
                self.unanswered.remove(id);
            }
            Note::Accepted { id, conversation, stamp } => {
                if !self.unanswered.remove(id) {
                    return;
                }
                let early = self.seen_early.remove(id).unwrap_or(0);
                let rest = audience_len(cast, *conversation).saturating_sub(early);
                if rest > 0 {
                    self.unseen.insert(*id, rest);
                    self.placed.insert((*conversation, *stamp), *id);
                }
            }
            Note::Shown { id, .. } => self.seen(*id),
            // As good as seen: the device knows that it will never be.
            Note::HoleExplained { conversation, epoch, hole } => {
                let first = (*conversation, Stamp { epoch: 0, seq: 0 });
                let last = (*conversation, Stamp { epoch: *epoch, seq: u64::MAX });
                let holds = |stamp: Stamp| (hole.from..=hole.upto).contains(&stamp.seq);
                let placed = self.placed.range(first..=last);
                let covered = placed.filter(|((_, stamp), _)| holds(*stamp));
                for id in covered.map(|(_, id)| *id).collect::<Vec<_>>() {
                    self.seen(id);
                }
            }
            _ => {}
        }
    }

    fn seen(&mut self, id: MessageId) {
        match self.unseen.get_mut(&id) {
            Some(rest) if *rest > 1 => *rest -= 1,
            Some(_) => {
                self.unseen.remove(&id);
            }
            None if self.unanswered.contains(&id) => {
                *self.seen_early.entry(id).or_default() += 1;
            }
            None => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.unanswered.is_empty() && self.unseen.is_empty()
    }
}

fn audience_len(cast: &Cast, conversation: ConversationId) -> u32 {
    cast.audience(conversation).len() as u32
}

impl Runner<Fleet> {
    /// A courier fleet, ready to run this plan.
    pub fn new(plan: Arc<Plan>) -> Result<Self, Problem> {
        let cast = Arc::new(plan.cast());
        let fleet = Fleet::of(&plan, cast.clone());
        Self::with_crew(plan, cast, fleet)
    }
}

impl<C: Crew> Runner<C> {
    /// The same with another crew: how tests plant bugs.
    pub fn with_crew(plan: Arc<Plan>, cast: Arc<Cast>, crew: C) -> Result<Self, Problem> {
        let seed = Seed(plan.seed);
        let (net, machines) = place_hosts(&plan, &cast, seed)?;
        let mut world = World::new(seed, crew, machines, net);
        if let Some(KeepaliveSpec { idle, interval, probes }) = plan.network.keepalive {
            let (idle, interval) = (idle.nanos(), interval.nanos());
            world.keep_alive(Keepalive { idle, interval, probes });
        }
        if plan.network.keep_tails {
            let servers = cast.hosts().filter(|(_, part)| !matches!(part, Part::Client(_)));
            servers.for_each(|(host, _)| world.keep_tail(host));
        }
        world.trace.set_names(Names {
            hosts: cast.names().clone(),
            users: cast.first_devices().clone(),
            zero: plan.zero(),
        });
        let mut runner = Self {
            world,
            agenda: BTreeMap::new(),
            agenda_made: 0,
            active: BTreeMap::new(),
            looked: 0,
            messages: Messages::default(),
            watches: watches(&plan, &cast),
            fired: BTreeMap::new(),
            backlog: Backlog::default(),
            healed_at: None,
            drained_at: None,
            cast,
            plan,
        };
        runner.write_agenda(seed);
        Ok(runner)
    }

    fn write_agenda(&mut self, seed: Seed) {
        let plan = self.plan.clone();
        let cast = self.cast.clone();
        let arrivals = seed.stream("run.arrivals");
        for (host, part) in cast.hosts() {
            let at = match part {
                Part::Client(_) => {
                    let draw = arrivals.draw(u64::from(host.0), 0);
                    let arrives = jitter::up_to(plan.fleet.arrive.0, draw, 0);
                    (plan::FLEET_STARTS.0 + arrives).as_nanos() as u64
                }
                _ => 0,
            };
            self.note_down(at, Item::Start(host));
        }
        let (zero, heal) = (plan.zero(), plan.heal_at());
        for (number, fault) in plan.fault.iter().enumerate() {
            if fault.kind == Kind::Deploy {
                for (nth, step) in fault.deploy_steps(&cast).into_iter().enumerate() {
                    self.note_down(step.drains, Item::DeployDrains(number, nth));
                    self.note_down(step.restarts, Item::DeployRestarts(number, nth));
                }
                continue;
            }
            if let Some(at) = fault.at {
                self.schedule_fault(number, at.since_start(zero));
            }
        }
        self.messages.by_name =
            plan.op.iter().enumerate().map(|(number, op)| (op.name.clone(), number)).collect();
        for (number, op) in plan.op.iter().enumerate() {
            match (&op.at, &op.when) {
                (Some(at), _) => self.note_down(at.since_start(zero), Item::Op(number)),
                (None, Some(trigger)) => {
                    let shown = self.messages.by_name.get(&trigger.shown).copied();
                    let host = cast.host(&trigger.to);
                    if let (Some(shown), Some(host)) = (shown, host) {
                        self.messages.waiting.entry((shown, host)).or_default().push(number);
                    }
                }
                (None, None) => unreachable!("a valid plan's operation has a time or a trigger"),
            }
        }
        self.note_down(heal, Item::Heal);
    }

    fn schedule_fault(&mut self, number: usize, begins: u64) {
        self.note_down(begins, Item::FaultBegins(number));
        if let Some(lasts) = self.plan.fault[number].lasts {
            let ends = begins.saturating_add(lasts.nanos()).min(self.plan.heal_at());
            self.note_down(ends, Item::FaultEnds(number));
        }
    }

    /// Faults that waited for this note begin. After the heal nothing does.
    fn watch(&mut self, at: u64, host: HostId, note: &Note) {
        if self.watches.is_empty() || at < self.plan.zero() {
            return;
        }
        let name = note.name();
        let mut due = Vec::new();
        self.watches.retain_mut(|watch| {
            if watch.note == name && (watch.hosts.is_empty() || watch.hosts.contains(&host)) {
                watch.more -= 1;
            }
            if watch.more == 0 {
                due.push(watch.fault);
            }
            watch.more > 0
        });
        for number in due {
            let delay = self.plan.fault[number].delay.unwrap_or_default().nanos();
            let begins = at.saturating_add(delay.max(TRIGGER_DELAY_MIN));
            if begins < self.plan.heal_at() {
                self.fired.insert(number, begins);
                self.schedule_fault(number, begins);
            }
        }
    }

    fn note_down(&mut self, at: u64, item: Item) {
        self.agenda.insert((at, self.agenda_made), item);
        self.agenda_made += 1;
    }

    /// Does the next thing, of the plan or of the world. Returns false when the run is over.
    pub fn step(&mut self) -> bool {
        let end = self.end_at();
        let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let world = self.world.next_at();
        // At one instant the plan acts first: a fault at T=20 precedes what happens at T=20.
        match (planned, world) {
            (Some(at), next) if next.is_none_or(|next| at <= next) && at <= end => {
                let ((at, _), item) = self.agenda.pop_first().expect("just seen");
                self.world.advance_to(at.max(self.world.now()));
                self.carry_out(item);
            }
            (_, Some(next)) if next <= end => {
                self.world.step();
            }
            _ => return false,
        }
        self.look();
        !self.world.panicked()
    }

    /// When the run ends at the latest, by what is known now.
    fn end_at(&self) -> u64 {
        let latest = self.plan.heal_at() + self.plan.quiesce.nanos();
        match self.drained_at {
            Some(at) => latest.min(at + SETTLE.as_nanos() as u64),
            None => latest,
        }
    }

    fn carry_out(&mut self, item: Item) {
        let plan = self.plan.clone();
        match item {
            Item::Start(host) => self.world.start(host),
            Item::FaultBegins(number) => {
                self.note_fault(number, Phase::Begins, plan.fault[number].hosts(&self.cast));
                let undo = nemesis::begin(number, &plan.fault[number], &self.cast, &mut self.world);
                self.active.insert(number, undo);
                if plan.fault[number].kind.is_instant() {
                    self.end_fault(number);
                }
            }
            Item::FaultEnds(number) => self.end_fault(number),
            Item::DeployDrains(number, nth) => {
                let host = plan.fault[number].deploy_steps(&self.cast)[nth].host;
                self.note_fault(number, Phase::Begins, vec![host]);
                nemesis::drain(host, &self.cast, &mut self.world);
            }
            Item::DeployRestarts(number, nth) => {
                let host = plan.fault[number].deploy_steps(&self.cast)[nth].host;
                self.world.upgrade(host);
                nemesis::restart(host, &mut self.world);
                self.note_fault(number, Phase::Ends, vec![host]);
            }
            Item::Op(number) => self.perform(number),
            Item::Heal => {
                for number in self.active.keys().copied().collect::<Vec<_>>() {
                    self.end_fault(number);
                }
                let at = self.world.now();
                self.world.facts.push(Entry { at, fact: Fact::Healed });
                self.healed_at = Some(at);
            }
        }
    }

    fn end_fault(&mut self, number: usize) {
        let plan = self.plan.clone();
        let fault = &plan.fault[number];
        if fault.permanent {
            return;
        }
        if let Some(undo) = self.active.remove(&number) {
            let others: Vec<_> = self.active.keys().map(|number| &plan.fault[*number]).collect();
            nemesis::end(fault, undo, &others, &self.cast, &mut self.world);
            self.note_fault(number, Phase::Ends, fault.hosts(&self.cast));
        }
    }

    fn note_fault(&mut self, number: usize, phase: Phase, hosts: Vec<HostId>) {
        let kind = self.plan.fault[number].kind.name().to_owned();
        let fact = Fact::Fault { number, phase, kind, hosts };
        self.world.facts.push(Entry { at: self.world.now(), fact });
    }

    fn perform(&mut self, number: usize) {
        let op = &self.plan.clone().op[number];
        let host = self.cast.host(&op.from).expect("a valid plan names its hosts");
        let command = match op.deed {
            Deed::Send => Command::Send(self.draft(number, op)),
            Deed::GoOffline => Command::GoOffline,
            Deed::GoOnline => Command::GoOnline,
            Deed::HandleDeadLetters => Command::HandleDeadLetters,
            Deed::Read => {
                let conversation = plan::conversation(op, &self.cast);
                Command::Read { conversation: conversation.expect("a valid plan's read has one") }
            }
        };
        // A phone that is off takes no orders; its person does nothing then.
        self.world.command(host, command);
    }

    fn draft(&self, number: usize, op: &Op) -> Draft {
        let to = op.to.as_deref().unwrap_or_default();
        let conversation = plan::conversation(op, &self.cast).expect("a valid plan's send has one");
        let answered = op.answers.as_ref();
        let answers = answered
            .and_then(|name| self.messages.by_name.get(name).copied())
            .and_then(|at| self.messages.id_of.get(&at).copied());
        let body = op.body.clone().unwrap_or_else(|| format!("{} to {to}", op.name));
        Draft { op: number as u32, conversation, body: body.into(), answers }
    }

    /// Looks at the facts since the last look: triggers fire, the backlog shrinks.
    fn look(&mut self) {
        while let Some(entry) = self.world.facts.get(self.looked) {
            self.looked += 1;
            let Fact::Noted { host, note } = entry.fact else { continue };
            let at = entry.at;
            self.backlog.take(&note, &self.cast);
            self.watch(at, host, &note);
            match note {
                Note::Invoked { op, id, .. } => {
                    self.messages.op_of.insert(id, op as usize);
                    self.messages.id_of.insert(op as usize, id);
                }
                Note::Shown { id, .. } => {
                    let op = self.messages.op_of.get(&id).copied();
                    let due = op.and_then(|op| self.messages.waiting.remove(&(op, host)));
                    for number in due.into_iter().flatten() {
                        let delay = self.plan.op[number].delay.unwrap_or_default();
                        self.note_down(at + delay.nanos(), Item::Op(number));
                    }
                }
                _ => {}
            }
        }
        if self.healed_at.is_some() && self.agenda.is_empty() {
            // Answers may still be written while the fleet drains; then it has not drained.
            if !self.backlog.is_empty() {
                self.drained_at = None;
            } else if self.drained_at.is_none() {
                self.drained_at = Some(self.world.now());
            }
        }
    }

    /// What the run has left behind.
    pub fn finish(mut self) -> Outcome {
        let end = if self.world.panicked() { self.world.now() } else { self.end_at() };
        let mut history = History::new(self.cast);
        history.entries = std::mem::take(&mut self.world.facts);
        history.end = end;
        Outcome {
            history,
            digest: self.world.trace.digest(),
            events: self.world.events(),
            ops: self.messages.id_of,
            fired: self.fired,
        }
    }
}

/// What a run has left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub history: History,
    pub digest: u64,
    /// How many times a role was stepped.
    pub events: u64,
    /// Which message each operation of the plan became.
    pub ops: BTreeMap<usize, MessageId>,
    /// When each fault that waited for a note began, in nanoseconds since the start.
    pub fired: BTreeMap<usize, u64>,
}

/// The faults of a plan that wait for notes.
fn watches(plan: &Plan, cast: &Cast) -> Vec<Watch> {
    let faults = plan.fault.iter().enumerate();
    let waiting = faults.filter_map(|(fault, waits)| {
        let trigger = waits.when.as_ref()?;
        let note = Note::VARIANTS.iter().find(|name| **name == trigger.note)?;
        let named = trigger.host.as_deref();
        let hosts = named.map(|name| plan::hosts_named(name, cast)).unwrap_or_default();
        Some(Watch { fault, note, hosts, more: trigger.nth })
    });
    waiting.collect()
}

/// Zones of the network.
const CLIENTS: u8 = 0;
const SERVERS: u8 = 1;

fn place_hosts(plan: &Plan, cast: &Cast, seed: Seed) -> Result<(Net, Vec<Machine>), Problem> {
    let profile = |link: LinkSpec| Profile {
        latency: Latency::log_normal(link.median.0, link.p99.0),
        loss: link.loss.0,
        duplicate: link.duplicate.0,
    };
    let delay = |spec: DelaySpec| Latency::log_normal(spec.median.0, spec.p99.0);
    let (client, backbone) = (profile(plan.network.client), profile(plan.network.backbone));
    // Devices talk to servers only; their zone's own profile is never used.
    let profiles = vec![client.clone(), client.clone(), client, backbone.clone()];
    let mut net = Net::new(seed, 2, profiles);
    let sites = match &plan.network.latency_matrix {
        Some(input) => {
            let matrix = load_matrix(input)?;
            let sites = matrix.sites;
            net.set_matrix(Matrix { delays: matrix.one_way_ns });
            sites as u64
        }
        None => 1,
    };
    let site_of = seed.stream("run.sites");
    let servers_site = site_of.draw(u64::MAX, 0) % sites;
    let (fsync, client_fsync) = (delay(plan.network.fsync), delay(plan.network.client_fsync));
    let machine = |(host, part): (HostId, Part)| match part {
        Part::Client(_) => Machine {
            zone: CLIENTS,
            site: (site_of.draw(u64::from(host.0), 0) % sites) as u16,
            fsync: client_fsync.clone(),
            replica: None,
        },
        part => Machine {
            zone: SERVERS,
            site: servers_site as u16,
            fsync: fsync.clone(),
            replica: part.has_replica().then(|| match plan.replication.commit(part) {
                Commit::Asynchronous => Replica::Asynchronous,
                Commit::Synchronous => {
                    Replica::Synchronous { way: backbone.latency.clone(), fsync: fsync.clone() }
                }
            }),
        },
    };
    Ok((net, cast.hosts().map(machine).collect()))
}

/// Reads the matrix that a plan refers to, if it is still the one that it was written with.
fn load_matrix(input: &InputFile) -> Result<LatencyMatrix, Problem> {
    let matrix = latency_matrix::read(Path::new(&input.path))?;
    let checksum = format!("{:016x}", matrix.checksum);
    if checksum != input.checksum {
        let what = format!("has the checksum {checksum}, but the plan wants {}", input.checksum);
        let help = "give the file that the plan was written with";
        return Err(Problem::whole(&input.path, what, help));
    }
    Ok(matrix)
}

/// Runs a plan to its end, in a shell of its own.
pub fn run(plan: Arc<Plan>) -> Result<Outcome, Problem> {
    let runner = Runner::new(plan)?;
    Ok(execute(runner))
}

/// The same, writing a line for everything that happens. Fails if the lines cannot be written.
pub fn run_traced(plan: Arc<Plan>, to: Box<dyn Write + Send>) -> Result<Outcome, TraceError> {
    let mut runner = Runner::new(plan).map_err(TraceError::Problem)?;
    runner.world.trace.keep_lines();
    let failed = Arc::new(std::sync::Mutex::new(None));
    let sink = Sink { to, failed: failed.clone() };
    let outcome = in_shell(runner, Some(sink));
    match failed.lock().expect("a run's thread has ended").take() {
        Some(cause) => Err(TraceError::Write(cause)),
        None => Ok(outcome),
    }
}

/// Why a traced run has no outcome.
#[derive(Debug)]
pub enum TraceError {
    Problem(Problem),
    Write(std::io::Error),
}

struct Sink {
    to: Box<dyn Write + Send>,
    failed: Arc<std::sync::Mutex<Option<std::io::Error>>>,
}

/// Runs a runner to its end, in a shell of its own.
pub fn execute<C>(runner: Runner<C>) -> Outcome
where
    C: Crew + Send + 'static,
    C::Role: Send,
{
    in_shell(runner, None)
}

/// Runs to the end on a fresh thread inside a fresh madsim runtime: a thread draws the keys of its
/// hash maps once, so a used one would make two runs differ.
fn in_shell<C>(mut runner: Runner<C>, mut sink: Option<Sink>) -> Outcome
where
    C: Crew + Send + 'static,
    C::Role: Send,
{
    let seed = runner.plan.seed;
    let thread = std::thread::Builder::new().name(format!("seed-{seed}"));
    let body = move || {
        crate::panics::keep_quiet();
        let shell = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
        shell.block_on(async move {
            let clock = madsim::time::TimeHandle::current();
            let mut shown = 0;
            let mut goes_on = true;
            while goes_on {
                goes_on = runner.step();
                let now = runner.world.now();
                if now > shown {
                    clock.advance(Duration::from_nanos(now - shown));
                    shown = now;
                }
                if let Some(sink) = &mut sink
                    && let Err(cause) = write_lines(&mut runner, sink, goes_on)
                {
                    *sink.failed.lock().expect("nobody else holds it") = Some(cause);
                    break;
                }
            }
            runner.finish()
        })
    };
    let run = thread.spawn(body).expect("the system has a thread to spare");
    match run.join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn write_lines<C: Crew>(
    runner: &mut Runner<C>,
    sink: &mut Sink,
    more: bool,
) -> std::io::Result<()> {
    for line in runner.world.trace.drain_lines() {
        sink.to.write_all(line.as_bytes())?;
        sink.to.write_all(b"\n")?;
    }
    if more { Ok(()) } else { sink.to.flush() }
}
