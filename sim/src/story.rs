//! The story of a run: what happened to those whom the scenario names, second by second.
//!
//! Told from the history alone, in the words of the literature. A scenario that names nobody has
//! its faults told.

use crate::cast::{Cast, Part};
use crate::history::{Fact, History, Life, Phase};
use crate::plan::Plan;
use courier::design::Registration;
use courier::id::{ConversationId, DeviceId, HostId, MessageId, Session, Stamp, UserId};
use courier::node::CloseCause;
use courier::note::{Disconnect, Note, Parking, Removal, SessionEnd, Status};
use std::collections::{BTreeMap, BTreeSet};

/// One line of the story.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Nanoseconds relative to T=0.
    pub at: i64,
    pub who: String,
    pub what: String,
    pub tone: Tone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// A fault, or what it did.
    Bad,
    /// A message reached somebody.
    Good,
    Plain,
}

/// What comes more than this before T=0 is the warm-up, which nobody wants to read.
const TOLD_FROM: i64 = -1_000_000_000;

/// Most lines of a story; the rest is only counted.
pub const LINES_MAX: usize = 120;

/// Tells the whole run.
pub fn tell(plan: &Plan, history: &History) -> Vec<Line> {
    let cast = &history.cast;
    let mut named: BTreeSet<UserId> =
        plan.user.iter().filter_map(|user| cast.user(&user.name)).collect();
    if named.len() > NAMED_MAX {
        named.clear();
    }
    let (rows, read, attempts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (down, takeovers) = (BTreeSet::new(), BTreeSet::new());
    let by_gateway = plan.design.registration == Registration::DirectWrite;
    let mut teller = Teller { cast, named, rows, read, attempts, down, takeovers, by_gateway };
    let mut lines = Vec::new();
    for entry in &history.entries {
        let at = entry.at as i64 - cast.zero as i64;
        let told = teller.fact(&entry.fact);
        if at >= TOLD_FROM {
            lines.extend(told.into_iter().map(|(who, what, tone)| Line { at, who, what, tone }));
        }
    }
    lines
}

/// A cast of more named users than this is a crowd, and only its faults are told.
const NAMED_MAX: usize = 12;

/// The journey of one message: everything in the history that names it or its place.
pub fn journey(history: &History, message: MessageId, device: Option<DeviceId>) -> Vec<String> {
    let cast = &history.cast;
    let place = history.notes().find_map(|(_, _, note)| match note {
        Note::Persisted { id, conversation, stamp }
        | Note::Accepted { id, conversation, stamp }
            if *id == message =>
        {
            Some((*conversation, *stamp))
        }
        _ => None,
    });
    let concerns = |note: &Note| match *note {
        Note::Invoked { id, .. }
        | Note::Accepted { id, .. }
        | Note::Failed { id, .. }
        | Note::Resent { id }
        | Note::RouteDropped { id }
        | Note::Deduplicated { id, .. }
        | Note::Persisted { id, .. } => id == message,
        Note::Shown { id, .. } | Note::DuplicateDropped { id, .. } => id == message,
        Note::Parked { device: d, conversation, stamp, .. }
        | Note::Redelivered { device: d, conversation, stamp } => {
            Some((conversation, stamp)) == place && device.is_none_or(|device| d == device)
        }
        _ => false,
    };
    let mut lines = Vec::new();
    for (at, host, note) in history.notes().filter(|(_, _, note)| concerns(note)) {
        let time = crate::report::clock(at as i64 - cast.zero as i64);
        let said = cast_spell(cast, &format!("{note:?}"));
        lines.push(format!("{time}  {:<10} {said}", cast.name(host)));
    }
    lines
}

fn cast_spell(cast: &Cast, text: &str) -> String {
    let names = crate::trace::Names {
        hosts: cast.names().clone(),
        users: cast.first_devices().clone(),
        zero: cast.zero,
    };
    names.spell(text)
}

struct Teller<'a> {
    cast: &'a Cast,
    named: BTreeSet<UserId>,
    /// Where the registry sends the named users' devices.
    rows: BTreeMap<DeviceId, Session>,
    /// How far each device sees the others to have read.
    read: BTreeMap<(DeviceId, ConversationId, UserId), Stamp>,
    /// How often each row's attempts have been told.
    attempts: BTreeMap<(DeviceId, Stamp), u32>,
    /// Hosts whose process is not there.
    down: BTreeSet<HostId>,
    /// The connections that are being displaced, and were told of.
    takeovers: BTreeSet<Session>,
    /// Gateways write the registry's rows themselves.
    by_gateway: bool,
}

/// Attempts at one message that are told; a phone that is off for days would drown the rest.
const ATTEMPTS_TOLD_MAX: u32 = 4;

type Told = Vec<(String, String, Tone)>;

/// What befalls a host is told by the host.
fn tells_itself(kind: &str) -> bool {
    matches!(kind, "crash" | "power-cut" | "pause" | "drain" | "deploy")
}

impl Teller<'_> {
    fn fact(&mut self, fact: &Fact) -> Told {
        match fact {
            Fact::Noted { host, note } => self.note(*host, note),
            Fact::Host { host, life } => {
                if *life == Life::Started && self.cast.part(*host) == Part::Registry {
                    self.rows.clear(); // It says what it has found on its disk.
                }
                self.life(*host, *life)
            }
            Fact::Fault { phase: Phase::Begins, kind, hosts, .. } => {
                if tells_itself(kind) {
                    Vec::new()
                } else {
                    self.fault(kind, hosts, "begins")
                }
            }
            Fact::Fault { phase: Phase::Ends, kind, hosts, .. } => {
                if tells_itself(kind) {
                    Vec::new()
                } else {
                    self.fault(kind, hosts, "ends")
                }
            }
            Fact::Healed => one("nemesis", "every fault has ended", Tone::Plain),
            Fact::Panicked { host, event, message } => {
                one(self.cast.name(*host), &format!("panics on {event}: {message}"), Tone::Bad)
            }
        }
    }

    fn fault(&self, kind: &str, hosts: &[HostId], verb: &str) -> Told {
        let names: Vec<&str> = hosts.iter().take(4).map(|host| self.cast.name(*host)).collect();
        let more = if hosts.len() > 4 { ", …" } else { "" };
        one("nemesis", &format!("{kind} {verb}: {}{more}", names.join(", ")), Tone::Bad)
    }

    fn life(&mut self, host: HostId, life: Life) -> Told {
        match life {
            Life::Started => self.down.remove(&host),
            Life::Stopped | Life::Crashed | Life::PowerCut => self.down.insert(host),
            Life::Paused | Life::Resumed | Life::Wiped | Life::Promoted => false,
        };
        let what = match (life, self.cast.part(host)) {
            (Life::Started, Part::Client(device)) if !self.named.contains(&device.user) => {
                return Vec::new();
            }
            (Life::Started, _) => "starts",
            (Life::Stopped, _) => "is stopped in order",
            (Life::Crashed, Part::Gateway) => "dies; its kernel resets every connection",
            (Life::Crashed, _) => "dies",
            (Life::PowerCut, _) => "loses power; nobody is told",
            (Life::Wiped, _) => "has lost its disk",
            (Life::Promoted, _) => "is its replica from now on",
            (Life::Paused, Part::Client(_)) => "stops running",
            (Life::Paused, _) => "stops running; its kernel goes on",
            (Life::Resumed, _) => "runs again",
        };
        let tone = if matches!(life, Life::Started | Life::Stopped | Life::Resumed) {
            Tone::Plain
        } else {
            Tone::Bad
        };
        one(self.cast.name(host), what, tone)
    }

    fn is_named(&self, device: DeviceId) -> bool {
        self.named.contains(&device.user)
    }

    fn device(&self, device: DeviceId) -> String {
        self.cast.name(self.cast.host_of(device)).to_owned()
    }

    fn note(&mut self, host: HostId, note: &Note) -> Told {
        if let Note::RowRestored { session } = *note {
            self.rows.insert(session.device, session);
        }
        let me = self.cast.name(host).to_owned();
        match self.cast.device_at(host) {
            Some(device) if self.is_named(device) => self.device_note(device, me, note),
            Some(_) => Vec::new(),
            None => self.fleet_note(me, note),
        }
    }

    /// What a named user's device says.
    fn device_note(&mut self, own: DeviceId, me: String, note: &Note) -> Told {
        match *note {
            Note::Connected { gateway, epoch, .. } => {
                let server = self.cast.name(gateway);
                one(&me, &format!("is on {server} (connection {epoch})"), Tone::Plain)
            }
            Note::Disconnected { cause, .. } => {
                let why = match cause {
                    Disconnect::Closed(CloseCause::Reset) => "loses its connection (reset)",
                    Disconnect::Closed(CloseCause::Fin) => "is disconnected",
                    Disconnect::Closed(CloseCause::TimedOut) => "gives its connection up (timeout)",
                    Disconnect::Silence => "hears nothing back and gives its connection up",
                    Disconnect::Displaced => "is displaced by a newer connection",
                    Disconnect::GoneAway => "is asked to connect elsewhere",
                    Disconnect::FlightMode => "goes offline",
                    Disconnect::Unintelligible => "does not understand its server",
                };
                one(&me, why, Tone::Bad)
            }
            Note::ConnectFailed { .. } => one(&me, "cannot connect; waits", Tone::Plain),
            Note::Invoked { id, conversation, .. } => {
                let others = self.others(conversation, id.device);
                let mut told = one(&me, &format!("sends {id} to {others}"), Tone::Plain);
                for device in self.cast.audience(conversation) {
                    if device != id.device && self.is_named(device) {
                        told.push(self.row_of(device));
                    }
                }
                told
            }
            Note::Accepted { id, stamp, .. } => {
                one(&me, &format!("is told that {id} is accepted as {stamp}"), Tone::Plain)
            }
            Note::Failed { id, .. } => one(&me, &format!("is told that {id} failed"), Tone::Bad),
            Note::Resent { id } => one(&me, &format!("sends {id} again"), Tone::Plain),
            Note::Shown { id, stamp, .. } if id.device != own => {
                let from = self.device(id.device);
                one(&me, &format!("sees {id} from {from}, {stamp}"), Tone::Good)
            }
            Note::DuplicateDropped { id, .. } => {
                one(&me, &format!("drops {id}, which it has"), Tone::Plain)
            }
            Note::GapNoticed { from, head, .. } => {
                one(&me, &format!("misses #{from} to #{head} and asks for them"), Tone::Plain)
            }
            Note::Read { conversation, upto } => {
                let name = self.cast.conversation_name(conversation);
                one(&me, &format!("has read {name} up to {upto}"), Tone::Plain)
            }
            Note::MarkShown { conversation, user, read: Some(upto), .. } if user != own.user => {
                let told = self.read.insert((own, conversation, user), upto);
                if told == Some(upto) {
                    return Vec::new(); // Only more was delivered.
                }
                let name = self.cast.user_name(user);
                one(&me, &format!("sees that {name} has read up to {upto}"), Tone::Good)
            }
            Note::PresenceShown { user, status } => {
                let (name, status): (&str, &str) = (self.cast.user_name(user), status.into());
                one(&me, &format!("sees {name} as {status}"), Tone::Plain)
            }
            Note::TornRecord => one(&me, "finds a torn record on its disk", Tone::Bad),
            _ => Vec::new(),
        }
    }

    /// What a server says of a named user's device, or of another server.
    fn fleet_note(&mut self, me: String, note: &Note) -> Told {
        match *note {
            Note::Parked { device, stamp, why, .. } if self.is_named(device) => {
                let told = self.attempts.entry((device, stamp)).or_default();
                *told += 1;
                match *told {
                    ATTEMPTS_TOLD_MAX => {
                        let to = self.device(device);
                        let what = format!("goes on trying {stamp} for {to}, ever more seldom");
                        return one(&me, &what, Tone::Plain);
                    }
                    told if told > ATTEMPTS_TOLD_MAX => return Vec::new(),
                    _ => {}
                }
                let to = self.device(device);
                let why = match why {
                    Parking::NoSession => "the registry knows no connection",
                    Parking::Refused => "the push is refused",
                    Parking::NotHere => "the server says: not here",
                    Parking::Busy => "the connection is full",
                    Parking::NoAnswer => "no answer, which is not a no",
                    Parking::RegistryDown => "the registry refuses",
                    Parking::Overload => "too much under way",
                    Parking::Rejected => "the device cannot take it",
                    Parking::BreakerOpen => "that server is left alone for a while",
                };
                one(&me, &format!("parks {stamp} for {to}: {why}"), Tone::Bad)
            }
            Note::Redelivered { device, stamp, .. } if self.is_named(device) => {
                if self
                    .attempts
                    .get(&(device, stamp))
                    .is_some_and(|told| *told >= ATTEMPTS_TOLD_MAX - 1)
                {
                    return Vec::new();
                }
                one(&me, &format!("tries {stamp} for {} again", self.device(device)), Tone::Plain)
            }
            Note::StaleRoute { session } if self.is_named(session.device) => {
                let (device, server) =
                    (self.device(session.device), self.cast.name(session.gateway));
                let what = format!("has the stale row {device} → {server} removed");
                one(&me, &what, Tone::Plain)
            }
            Note::RowWritten { session } if self.is_named(session.device) => {
                self.rows.insert(session.device, session);
                let (device, server) =
                    (self.device(session.device), self.cast.name(session.gateway));
                let what = format!("writes {device} → {server} (connection {})", session.epoch);
                one(if self.by_gateway { server } else { "consumer" }, &what, Tone::Plain)
            }
            Note::RowRemoved { session, why } if self.is_named(session.device) => {
                self.rows.remove(&session.device);
                let (device, server) =
                    (self.device(session.device), self.cast.name(session.gateway));
                let why = match why {
                    Removal::Closed => "it closed",
                    Removal::Evicted => "nobody there",
                    Removal::Swept => "swept",
                };
                one(&me, &format!("removes {device} → {server}: {why}"), Tone::Plain)
            }
            Note::RowFenced { session } if self.is_named(session.device) => {
                let device = self.device(session.device);
                let what = format!("ignores old news of {device} (connection {})", session.epoch);
                one(&me, &what, Tone::Plain)
            }
            Note::SessionEnded { session, cause: SessionEnd::Silence }
                if self.is_named(session.device) =>
            {
                let what = format!("closes {}: no heartbeat", self.device(session.device));
                one(&me, &what, Tone::Plain)
            }
            Note::SteppedDown { incarnation } => {
                let what = format!("was held for dead as {incarnation}; closes its connections");
                one(&me, &what, Tone::Bad)
            }
            Note::DeclaredDead { gateway, incarnation } => {
                let server = self.cast.name(gateway);
                one(&me, &format!("holds {server} {incarnation} for dead"), Tone::Bad)
            }
            Note::Cleaned { gateway, rows, .. } => {
                let server = self.cast.name(gateway);
                one(&me, &format!("has removed {rows} rows of {server}"), Tone::Plain)
            }
            Note::Health { gateway, healthy } => {
                let server = self.cast.name(gateway);
                let what = if healthy { "sends devices to" } else { "takes out" };
                one(&me, &format!("{what} {server}"), Tone::Plain)
            }
            Note::PresenceChanged { user, status } if self.named.contains(&user) => {
                let name: &str = status.into();
                let tone = if status == Status::Online { Tone::Plain } else { Tone::Bad };
                one(&me, &format!("shows {} as {name}", self.cast.user_name(user)), tone)
            }
            Note::TornRecord => one(&me, "finds a torn record on its disk", Tone::Bad),
            _ => self.handover_note(me, note),
        }
    }

    /// What a server says of one that takes another's place: a connection, a member of the group,
    /// a cleaner.
    fn handover_note(&mut self, me: String, note: &Note) -> Told {
        match *note {
            // From a server that is dead she moves; nobody is displaced there.
            Note::TakeoverBegun { loser, winner }
                if self.is_named(loser.device) && !self.down.contains(&loser.gateway) =>
            {
                self.takeovers.insert(loser);
                let (device, server) = (self.device(loser.device), self.cast.name(loser.gateway));
                let what = format!(
                    "has {device}'s connection {} at {server} closed: connection {winner} takes \
                     over (pending)",
                    loser.epoch
                );
                one(&me, &what, Tone::Plain)
            }
            Note::SessionEnded { session, cause: SessionEnd::Displaced }
                if self.is_named(session.device) =>
            {
                let device = self.device(session.device);
                let what = format!("closes {device}'s connection {}: displaced", session.epoch);
                one(&me, &what, Tone::Plain)
            }
            Note::TakeoverCommitted { loser, winner, confirmed }
                if self.takeovers.remove(&loser) =>
            {
                let (device, server) = (self.device(loser.device), self.cast.name(loser.gateway));
                let how = match confirmed {
                    true => format!("connection {} at {server} is closed", loser.epoch),
                    false => format!("{server} has not confirmed, and is waited for no longer"),
                };
                let what = format!("commits {device}'s connection {winner}: {how}");
                one(&me, &what, Tone::Plain)
            }
            Note::Rebalanced { generation, members } => {
                let to = if members == 1 { "one consumer" } else { "its consumers" };
                let what = match members {
                    0 => format!("has no consumers left (generation {generation})"),
                    _ => format!("shares its partitions out to {to} (generation {generation})"),
                };
                one(&me, &what, Tone::Plain)
            }
            Note::CommitFenced { member, partition, generation, current } => {
                let member = self.cast.name(member);
                let what = format!(
                    "refuses {member}'s offset of partition {partition}: generation {generation} \
                     is over, this is {current}"
                );
                one(&me, &what, Tone::Bad)
            }
            Note::LeaderElected { leader, .. } => {
                let what = format!("gives {} the cleaners' job", self.cast.name(leader));
                one(&me, &what, Tone::Plain)
            }
            Note::StaleLeader { leader, gateway, .. } => {
                let (leader, server) = (self.cast.name(leader), self.cast.name(gateway));
                let what = format!("refuses {leader}, which was overtaken, to clean up {server}");
                one(&me, &what, Tone::Bad)
            }
            Note::JobRan { leader, gateway, .. } => {
                let (leader, server) = (self.cast.name(leader), self.cast.name(gateway));
                one(&me, &format!("has cleaned up {server} for {leader}"), Tone::Plain)
            }
            _ => self.load_note(me, note),
        }
    }

    /// What a server says of having too much, or of going out of service.
    fn load_note(&self, me: String, note: &Note) -> Told {
        match *note {
            Note::TurnedAway { device, wait } if self.is_named(device) => {
                let who = self.device(device);
                one(&me, &format!("is full: {who} is to come again in {wait:.1?}"), Tone::Bad)
            }
            Note::SlowReader { device, unacknowledged } if self.is_named(device) => {
                let who = self.device(device);
                let what = format!("closes {who}, who has not acknowledged {unacknowledged}");
                one(&me, &what, Tone::Bad)
            }
            Note::Draining { connections, .. } => {
                let what = format!("is drained: {connections} connections are to go elsewhere");
                one(&me, &what, Tone::Plain)
            }
            Note::DeadLettered { id, device, rejections, .. } if self.is_named(device) => {
                let who = self.device(device);
                let what =
                    format!("sets {id} aside for a person: {who} refused it {rejections} times");
                one(&me, &what, Tone::Bad)
            }
            Note::Alerted { alarm, letters, oldest } => {
                let name: &str = alarm.into();
                let age = oldest.as_secs();
                let what = format!("alerts: {name}: {letters} wait, the oldest for {age} s");
                one(&me, &what, Tone::Bad)
            }
            Note::DeadLettersHandled { letters } => {
                one(&me, &format!("is rid of {letters} dead letters"), Tone::Plain)
            }
            Note::AlertCleared { alarm } => {
                let name: &str = alarm.into();
                one(&me, &format!("says that {name} is over"), Tone::Plain)
            }
            Note::Drained { left: 0, .. } => one(&me, "is empty", Tone::Plain),
            Note::Drained { left, .. } => {
                one(&me, &format!("closes the last {left} connections"), Tone::Bad)
            }
            _ => Vec::new(),
        }
    }

    fn row_of(&self, device: DeviceId) -> (String, String, Tone) {
        let name = self.device(device);
        let what = match self.rows.get(&device) {
            Some(row) => format!("says {name} → {}", self.cast.name(row.gateway)),
            None => format!("has no row for {name}"),
        };
        ("registry".to_owned(), what, Tone::Plain)
    }

    fn others(&self, conversation: courier::id::ConversationId, author: DeviceId) -> String {
        let members = self.cast.directory.members(conversation);
        let names = members.into_iter().filter(|user| *user != author.user);
        let names: Vec<&str> = names.map(|user| self.cast.user_name(user)).collect();
        match names.len() {
            0 => self.cast.user_name(author.user).to_owned(),
            1..=4 => names.join(" and "),
            many => format!("{many} people"),
        }
    }
}

fn one(who: &str, what: &str, tone: Tone) -> Told {
    vec![(who.to_owned(), what.to_owned(), tone)]
}
