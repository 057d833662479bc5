//! Histories written by hand: one that breaks each rule, and its legal neighbour.
//!
//! A story is told in true time. Whoever is not mentioned runs and is not connected, so most
//! stories owe nothing to most devices. All checkers judge every story: that exactly one of them
//! objects is part of what is tested.

mod claims;
mod jobs;
mod pending;
mod receipts;
mod retries;
mod seen;

use super::{Anomaly, Bounds, Invariant, check, drain};
use crate::cast::{Cast, Numbers, Person};
use crate::history::{Entry, Fact, History, Life, Phase};
use courier::id::{
    ConversationId, DeviceId, HostId, Incarnation, MessageId, Session, Stamp, UserId,
};
use courier::note::{Disconnect, Note, Removal, SessionEnd, Status};
use courier::timing::Timing;
use courier::wire::Rejection;
use std::sync::Arc;
use std::time::Duration;

/// The stale and the drain bound of these tests.
const MINUTE: Duration = Duration::from_secs(60);

struct Story {
    history: History,
    now: u64,
    /// The hosts of each fault so far.
    faults: Vec<Vec<HostId>>,
}

/// Alice, Bob and Carol have one device each, Dora has two and watches Bob. `team` is Alice, Bob
/// and Dora.
fn story() -> Story {
    let watching = |name: &str, devices, watches: &[&str]| Person {
        name: name.into(),
        devices,
        servers: Vec::new(),
        watches: watches.iter().map(|name| (*name).to_owned()).collect(),
    };
    let person = |name: &str, devices| watching(name, devices, &[]);
    let people =
        [person("alice", 1), person("bob", 1), person("carol", 1), watching("dora", 2, &["bob"])];
    let numbers =
        Numbers { servers: 3, apps: 1, workers: 1, monitors: 2, consumers: 2, cleaners: 1 };
    let team = ("team".to_owned(), vec![UserId(0), UserId(1), UserId(3)]);
    let cast = Cast::new(&numbers, &people, &[team], nanos(10.0));
    Story { history: History::new(Arc::new(cast)), now: 0, faults: Vec::new() }
}

fn nanos(seconds: f64) -> u64 {
    Duration::from_secs_f64(seconds).as_nanos() as u64
}

/// The telling.
impl Story {
    fn at(mut self, seconds: f64) -> Self {
        assert!(nanos(seconds) >= self.now, "a story goes forward");
        self.now = nanos(seconds);
        self
    }

    fn fact(mut self, fact: Fact) -> Self {
        self.history.entries.push(Entry { at: self.now, fact });
        self
    }

    fn note(self, host: &str, note: Note) -> Self {
        let host = self.host(host);
        self.fact(Fact::Noted { host, note })
    }

    fn life(self, host: &str, life: Life) -> Self {
        let host = self.host(host);
        self.fact(Fact::Host { host, life })
    }

    fn crashed(self, host: &str) -> Self {
        self.life(host, Life::Crashed)
    }

    fn started(self, host: &str) -> Self {
        self.life(host, Life::Started)
    }

    /// A fault begins; the first one is number 0.
    fn fault(mut self, hosts: &[&str]) -> Self {
        let hosts: Vec<HostId> = hosts.iter().map(|host| self.host(host)).collect();
        self.faults.push(hosts.clone());
        let number = self.faults.len() - 1;
        self.fact(Fact::Fault { number, phase: Phase::Begins, kind: "partition".into(), hosts })
    }

    fn fault_ends(self, number: usize) -> Self {
        let hosts = self.faults[number].clone();
        self.fact(Fact::Fault { number, phase: Phase::Ends, kind: "partition".into(), hosts })
    }

    /// A fault of this host, over at once.
    fn cut_off(self, host: &str) -> Self {
        let number = self.faults.len();
        self.fault(&[host]).fault_ends(number)
    }

    fn healed(self) -> Self {
        self.fact(Fact::Healed)
    }

    fn panicked(self, host: &str) -> Self {
        let (host, event, message) = (self.host(host), "booted ".into(), "broken".into());
        self.fact(Fact::Panicked { host, event, message })
    }
}

/// Messages. `#n` is the author's nth; `to` is a person or a group.
impl Story {
    fn invoked(self, author: &str, n: u32, to: &str) -> Self {
        self.wrote(author, n, to, None)
    }

    fn answered(self, author: &str, n: u32, to: &str, answers: (&str, u32)) -> Self {
        let answers = Some(self.id(answers.0, answers.1));
        self.wrote(author, n, to, answers)
    }

    fn wrote(self, author: &str, n: u32, to: &str, answers: Option<MessageId>) -> Self {
        let (id, conversation) = (self.id(author, n), self.conversation(author, to));
        self.note(author, Note::Invoked { op: n, id, conversation, answers })
    }

    fn persisted(self, author: &str, n: u32, to: &str, seq: u64) -> Self {
        self.persisted_in(author, n, to, Stamp { epoch: 1, seq })
    }

    fn persisted_in(self, author: &str, n: u32, to: &str, stamp: Stamp) -> Self {
        let (id, conversation) = (self.id(author, n), self.conversation(author, to));
        self.note("db", Note::Persisted { id, conversation, stamp })
    }

    fn restored(self, author: &str, n: u32, to: &str, seq: u64) -> Self {
        let (id, conversation) = (self.id(author, n), self.conversation(author, to));
        self.note("db", Note::MessageRestored { id, conversation, stamp: Stamp { epoch: 1, seq } })
    }

    fn accepted(self, author: &str, n: u32, to: &str, seq: u64) -> Self {
        self.accepted_in(author, n, to, Stamp { epoch: 1, seq })
    }

    fn accepted_in(self, author: &str, n: u32, to: &str, stamp: Stamp) -> Self {
        let (id, conversation) = (self.id(author, n), self.conversation(author, to));
        self.note(author, Note::Accepted { id, conversation, stamp })
    }

    fn failed(self, author: &str, n: u32) -> Self {
        let id = self.id(author, n);
        self.note(author, Note::Failed { id, why: Rejection::TooLarge })
    }

    /// Invoked, persisted and accepted.
    fn sent(self, author: &str, n: u32, to: &str, seq: u64) -> Self {
        self.invoked(author, n, to).persisted(author, n, to, seq).accepted(author, n, to, seq)
    }

    fn shown(self, device: &str, author: &str, n: u32, to: &str, seq: u64) -> Self {
        let (id, conversation) = (self.id(author, n), self.conversation(author, to));
        let stamp = Stamp { epoch: 1, seq };
        self.note(device, Note::Shown { id, conversation, stamp })
    }

    fn dropped(self, device: &str, author: &str, n: u32, seq: u64) -> Self {
        let (id, stamp) = (self.id(author, n), Stamp { epoch: 1, seq });
        self.note(device, Note::DuplicateDropped { id, stamp })
    }
}

/// Connections, the registry, presence.
impl Story {
    fn connected(self, device: &str, server: &str, epoch: u32) -> Self {
        self.welcomed(device, server, epoch, 1)
    }

    fn welcomed(self, device: &str, server: &str, epoch: u32, incarnation: u32) -> Self {
        let (gateway, incarnation) = (self.host(server), Incarnation(incarnation));
        self.note(device, Note::Connected { gateway, incarnation, epoch })
    }

    fn disconnected(self, device: &str, epoch: u32) -> Self {
        self.note(device, Note::Disconnected { epoch, cause: Disconnect::Silence })
    }

    fn flight_mode(self, device: &str, epoch: u32) -> Self {
        self.note(device, Note::Disconnected { epoch, cause: Disconnect::FlightMode })
    }

    fn ended(self, device: &str, epoch: u32, server: &str) -> Self {
        let session = self.session(device, epoch, server, 1);
        self.note(server, Note::SessionEnded { session, cause: SessionEnd::Displaced })
    }

    fn serving(self, server: &str, incarnation: u32) -> Self {
        self.note(server, Note::Serving { incarnation: Incarnation(incarnation) })
    }

    fn row(self, device: &str, epoch: u32, server: &str, incarnation: u32) -> Self {
        let session = self.session(device, epoch, server, incarnation);
        self.note("registry", Note::RowWritten { session })
    }

    fn gone(self, device: &str, epoch: u32, server: &str, inc: u32, why: Removal) -> Self {
        let session = self.session(device, epoch, server, inc);
        self.note("registry", Note::RowRemoved { session, why })
    }

    fn declared_dead(self, server: &str, incarnation: u32) -> Self {
        let (gateway, incarnation) = (self.host(server), Incarnation(incarnation));
        self.note("cleaner", Note::DeclaredDead { gateway, incarnation })
    }

    fn cleaned(self, server: &str, incarnation: u32) -> Self {
        let (gateway, incarnation) = (self.host(server), Incarnation(incarnation));
        self.note("cleaner", Note::Cleaned { gateway, incarnation, rows: 0 })
    }

    fn seen_as(self, user: &str, status: Status) -> Self {
        let user = self.history.cast.user(user).expect("a user of the story");
        self.note("presence", Note::PresenceChanged { user, status })
    }
}

/// Receipts. Places are of the conversation that `author` has with `to`.
impl Story {
    fn sees(self, watcher: &str, user: &str, status: Status) -> Self {
        let user = self.device(user).user;
        self.note(watcher, Note::PresenceShown { user, status })
    }

    /// `reader` reads up to here what is between them and `to`.
    fn has_read(self, reader: &str, to: &str, seq: u64) -> Self {
        let conversation = self.conversation(reader, to);
        self.note(reader, Note::Read { conversation, upto: Stamp { epoch: 1, seq } })
    }

    fn marked(self, user: &str, to: &str, delivered: u64, read: u64) -> Self {
        let conversation = self.conversation(user, to);
        let (delivered, read) = (place(delivered), place(read));
        let user = self.device(user).user;
        self.note("db", Note::Marked { conversation, user, delivered, read })
    }

    /// `device` shows how far `user` is in what is between them, or in the group `to`.
    fn mark(self, device: &str, user: &str, to: &str, delivered: u64, read: u64) -> Self {
        let conversation = self.conversation(user, to);
        let (delivered, read) = (place(delivered), place(read));
        let user = self.device(user).user;
        self.note(device, Note::MarkShown { conversation, user, delivered, read })
    }
}

/// 0 is nothing.
fn place(seq: u64) -> Option<Stamp> {
    (seq > 0).then_some(Stamp { epoch: 1, seq })
}

/// The names.
impl Story {
    fn host(&self, name: &str) -> HostId {
        self.history.cast.host(name).unwrap_or_else(|| panic!("nobody is called {name}"))
    }

    fn device(&self, name: &str) -> DeviceId {
        self.history.cast.device_at(self.host(name)).expect("a device")
    }

    fn id(&self, author: &str, counter: u32) -> MessageId {
        MessageId { device: self.device(author), counter }
    }

    fn conversation(&self, author: &str, to: &str) -> ConversationId {
        let cast = &self.history.cast;
        match cast.group(to) {
            Some(group) => group,
            None => ConversationId::between(self.device(author).user, self.device(to).user),
        }
    }

    fn session(&self, device: &str, epoch: u32, server: &str, incarnation: u32) -> Session {
        let (device, gateway) = (self.device(device), self.host(server));
        Session { device, epoch, gateway, incarnation: Incarnation(incarnation) }
    }
}

/// The judgement.
impl Story {
    fn told(mut self) -> History {
        self.history.end = self.now;
        self.registered().history
    }

    /// A story that does not speak of a device's rows is not about them: each connection has had
    /// its row at once.
    fn registered(mut self) -> Self {
        let registry = self.history.cast.directory.registry;
        let spoken_of: Vec<DeviceId> =
            self.history.entries.iter().filter_map(|entry| row_of(&entry.fact)).collect();
        let mut entries = Vec::new();
        let mut held = std::collections::BTreeMap::new();
        for entry in std::mem::take(&mut self.history.entries) {
            let session = connection_of(&self.history, &entry.fact);
            let at = entry.at;
            entries.push(entry);
            let Some(session) = session.filter(|s| !spoken_of.contains(&s.device)) else {
                continue;
            };
            let closed = held.insert(session.device, session);
            let closed = closed.map(|session| Note::RowRemoved { session, why: Removal::Closed });
            for note in closed.into_iter().chain([Note::RowWritten { session }]) {
                entries.push(Entry { at, fact: Fact::Noted { host: registry, note } });
            }
        }
        self.history.entries = entries;
        self
    }

    fn anomalies(self) -> Vec<Anomaly> {
        judged(&self.told(), Timing::default())
    }

    fn holds(self) {
        let anomalies = self.anomalies();
        assert!(anomalies.is_empty(), "a legal story: {anomalies:#?}");
    }

    /// This invariant is broken, once, and no other.
    fn breaks(self, invariant: Invariant) -> String {
        let anomalies = self.anomalies();
        assert!(anomalies.len() == 1, "one anomaly of {}: {anomalies:#?}", invariant.name());
        assert_eq!(anomalies[0].invariant, invariant, "{anomalies:#?}");
        anomalies[0].what.clone()
    }

    /// These invariants are broken, however often each.
    fn breaks_all(self, invariants: &[Invariant]) {
        let anomalies = self.anomalies();
        let mut broken: Vec<Invariant> = anomalies.iter().map(|a| a.invariant).collect();
        broken.dedup();
        assert_eq!(broken, invariants, "{anomalies:#?}");
    }
}

fn row_of(fact: &Fact) -> Option<DeviceId> {
    match fact {
        Fact::Noted {
            note:
                Note::RowWritten { session }
                | Note::RowRestored { session }
                | Note::RowRemoved { session, .. },
            ..
        } => Some(session.device),
        _ => None,
    }
}

fn connection_of(history: &History, fact: &Fact) -> Option<Session> {
    let Fact::Noted { host, note: Note::Connected { gateway, incarnation, epoch } } = *fact else {
        return None;
    };
    let device = history.cast.device_at(host)?;
    Some(Session { device, epoch, gateway, incarnation })
}

fn judged(history: &History, timing: Timing) -> Vec<Anomaly> {
    check(history, &Bounds { stale: MINUTE, drain: MINUTE, timing })
}

use Invariant::{
    Claim, Dedupe, Expiry, FreshRegistry, Gap, InOrder, Liveness, NoDuplicate, NoLoss, OneOwner,
    OneRun, PersistAck, Phantom, Presence, Receipts, RetryBudget, Sequence, StaleBound,
};

#[test]
fn nothing_happened() {
    story().holds();
    story().at(10_000.0).holds();
    story().healed().at(59.0).sent("alice", 1, "bob", 1).holds();
}

mod loss {
    use super::*;

    fn unshown() -> Story {
        story()
            .at(11.0)
            .connected("bob", "server-1", 1)
            .at(12.0)
            .sent("alice", 1, "bob", 1)
            .at(90.0)
    }

    #[test]
    fn an_accepted_message_that_an_online_device_never_showed_is_lost() {
        let what = unshown().breaks(NoLoss);
        let expected = "m0.1 (alice → bob) was accepted as #1 at T+2.000s; \
                        bob never showed it and is online since T+1.000s";
        assert_eq!(what, expected);
    }

    #[test]
    fn shown_at_the_last_moment_is_not_lost() {
        unshown().shown("bob", "alice", 1, "bob", 1).holds();
    }

    #[test]
    fn a_device_that_is_not_there_at_the_end_is_excused() {
        unshown().disconnected("bob", 1).holds();
        unshown().flight_mode("bob", 1).holds();
        unshown().crashed("bob").holds();
        unshown().life("bob", Life::PowerCut).holds();
        unshown().life("bob", Life::Paused).holds();
        unshown().crashed("bob").at(95.0).started("bob").holds();
    }

    #[test]
    fn a_device_that_came_back_is_not_excused() {
        unshown().life("bob", Life::Paused).at(95.0).life("bob", Life::Resumed).breaks(NoLoss);
        let reconnected = unshown().crashed("bob").started("bob").connected("bob", "server-2", 2);
        reconnected.breaks(NoLoss);
    }

    #[test]
    fn the_author_must_show_its_own_message_too() {
        story().connected("alice", "server-1", 1).sent("alice", 1, "bob", 1).at(9.0).breaks(NoLoss);
    }

    #[test]
    fn every_device_of_every_member_of_a_group_counts() {
        let to_team = story()
            .connected("bob", "server-1", 1)
            .connected("carol", "server-1", 1)
            .connected("dora", "server-1", 1)
            .connected("dora/1", "server-2", 1)
            .sent("alice", 1, "team", 1)
            .shown("bob", "alice", 1, "team", 1)
            .shown("dora", "alice", 1, "team", 1);
        let what = to_team.breaks(NoLoss);
        assert!(what.contains("m0.1 (alice → g0)") && what.contains("dora/1 never"), "{what}");
    }

    #[test]
    fn a_message_whose_sender_never_learned_is_not_acknowledged() {
        let story = story().connected("bob", "server-1", 1).invoked("alice", 1, "bob");
        story.persisted("alice", 1, "bob", 1).at(60.0).holds();
    }

    #[test]
    fn a_run_that_ended_in_a_panic_or_under_a_fault_is_not_judged() {
        unshown().panicked("db").holds();
        unshown().fault(&["server-1"]).at(100.0).holds();
        unshown().fault(&["server-1"]).at(95.0).healed().at(100.0).breaks(NoLoss);
    }

    #[test]
    fn accepted_again_after_a_crash_is_one_message() {
        unshown().accepted("alice", 1, "bob", 1).breaks(NoLoss);
    }
}

mod duplicate {
    use super::*;

    fn shown() -> Story {
        story().sent("alice", 1, "bob", 1).at(1.0).shown("bob", "alice", 1, "bob", 1)
    }

    #[test]
    fn a_message_that_is_shown_twice() {
        shown().at(2.0).shown("bob", "alice", 1, "bob", 1).breaks(NoDuplicate);
        // In the same instant, too.
        shown().shown("bob", "alice", 1, "bob", 1).breaks(NoDuplicate);
    }

    #[test]
    fn a_redelivery_that_is_dropped_is_legal() {
        shown().at(2.0).dropped("bob", "alice", 1, 1).holds();
    }

    #[test]
    fn a_redelivery_at_another_place_is_not_the_same_message() {
        shown().at(2.0).dropped("bob", "alice", 1, 2).breaks(NoDuplicate);
    }

    #[test]
    fn several_devices_show_it_once_each() {
        let story = story().sent("alice", 1, "dora", 1).shown("dora", "alice", 1, "dora", 1);
        story.shown("dora/1", "alice", 1, "dora", 1).shown("alice", "alice", 1, "dora", 1).holds();
    }
}

mod order {
    use super::*;

    fn two() -> Story {
        story().sent("alice", 1, "bob", 1).sent("alice", 2, "bob", 2).at(1.0)
    }

    #[test]
    fn a_conversation_that_is_shown_out_of_sequence() {
        let story = two().shown("bob", "alice", 2, "bob", 2).at(2.0);
        story.shown("bob", "alice", 1, "bob", 1).breaks(InOrder);
    }

    #[test]
    fn a_hole_is_no_matter_of_order() {
        let story = two().sent("alice", 3, "bob", 3).shown("bob", "alice", 1, "bob", 1);
        story.shown("bob", "alice", 3, "bob", 3).holds();
    }

    #[test]
    fn conversations_do_not_order_each_other() {
        let story = two().sent("carol", 1, "bob", 1).shown("bob", "alice", 1, "bob", 1);
        story.shown("bob", "carol", 1, "bob", 1).shown("bob", "alice", 2, "bob", 2).holds();
    }

    #[test]
    fn devices_that_disagree_about_a_place_break_the_sequence_as_well() {
        let story = story().sent("alice", 1, "dora", 1).shown("dora", "alice", 1, "dora", 1);
        story.shown("dora/1", "alice", 1, "dora", 2).breaks_all(&[InOrder, Sequence]);
    }

    #[test]
    fn a_sender_whose_later_message_got_the_earlier_place() {
        let story = story().invoked("alice", 1, "bob").invoked("alice", 2, "bob");
        let story = story.persisted("alice", 2, "bob", 1).accepted("alice", 2, "bob", 1);
        story.persisted("alice", 1, "bob", 2).accepted("alice", 1, "bob", 2).breaks(InOrder);
    }

    #[test]
    fn two_senders_are_not_ordered_by_when_they_wrote() {
        let story = story().invoked("alice", 1, "bob").at(1.0).invoked("bob", 1, "alice");
        story.persisted("bob", 1, "alice", 1).persisted("alice", 1, "bob", 2).holds();
    }

    /// Alice asks the team, Bob reads it and answers.
    fn answered() -> Story {
        let story = story().sent("alice", 1, "team", 1).shown("bob", "alice", 1, "team", 1).at(1.0);
        story.answered("bob", 1, "team", ("alice", 1)).persisted("bob", 1, "team", 2)
    }

    #[test]
    fn an_answer_that_is_shown_after_what_it_answers() {
        let story = answered().shown("dora", "alice", 1, "team", 1);
        story.shown("dora", "bob", 1, "team", 2).holds();
    }

    #[test]
    fn an_answer_in_another_conversation_that_is_shown_first() {
        let story = story().sent("alice", 1, "team", 1).shown("bob", "alice", 1, "team", 1).at(1.0);
        let story = story.answered("bob", 1, "dora", ("alice", 1)).persisted("bob", 1, "dora", 1);
        let story = story.shown("dora", "bob", 1, "dora", 1).at(2.0);
        story.shown("dora", "alice", 1, "team", 1).breaks(InOrder);
    }

    #[test]
    fn an_answer_that_got_the_place_before_what_it_answers() {
        let story = story().invoked("alice", 1, "team").shown("bob", "alice", 1, "team", 2);
        let story = story.answered("bob", 1, "team", ("alice", 1));
        let story = story.persisted("bob", 1, "team", 1);
        story.persisted("alice", 1, "team", 2).breaks_all(&[InOrder, PersistAck]);
    }

    #[test]
    fn an_answer_to_what_its_author_had_not_seen_is_concurrent() {
        let story = story().invoked("alice", 1, "team").at(1.0);
        let story = story.answered("bob", 1, "team", ("alice", 1));
        story.persisted("bob", 1, "team", 1).persisted("alice", 1, "team", 2).holds();
    }
}

mod places {
    use super::*;

    fn two() -> Story {
        story().invoked("alice", 1, "bob").invoked("bob", 1, "alice")
    }

    #[test]
    fn a_place_that_names_two_messages() {
        two().persisted("alice", 1, "bob", 1).persisted("bob", 1, "alice", 1).breaks(Sequence);
    }

    #[test]
    fn a_message_with_two_places() {
        let twice = two().persisted("alice", 1, "bob", 1).persisted("alice", 1, "bob", 2);
        twice.breaks_all(&[Sequence, Dedupe]);
    }

    #[test]
    fn numbers_that_go_back() {
        two().persisted("alice", 1, "bob", 2).persisted("bob", 1, "alice", 1).breaks(Sequence);
    }

    #[test]
    fn persisted_again_at_its_own_place_after_a_recovery() {
        two().persisted("alice", 1, "bob", 1).persisted("alice", 1, "bob", 1).holds();
        // Also when others have been persisted since.
        let later = two().persisted("alice", 1, "bob", 1).persisted("bob", 1, "alice", 2);
        later.persisted("alice", 1, "bob", 1).holds();
    }

    #[test]
    fn the_same_number_in_another_conversation_or_epoch() {
        let story = two().invoked("carol", 1, "bob").persisted("alice", 1, "bob", 1);
        let story = story.persisted("carol", 1, "bob", 1);
        story.persisted_in("bob", 1, "alice", Stamp { epoch: 2, seq: 1 }).holds();
    }

    #[test]
    fn an_epoch_that_is_over_and_still_written() {
        let story = two().persisted_in("alice", 1, "bob", Stamp { epoch: 2, seq: 1 });
        story.persisted("bob", 1, "alice", 7).breaks(Sequence);
    }
}

mod registry {
    use super::*;
    use Removal::{Closed, Evicted, Swept};

    #[test]
    fn an_older_session_that_replaces_a_newer_row() {
        let what = story().row("bob", 5, "server-1", 1).at(9.0).row("bob", 4, "server-2", 1);
        let expected = "bob e4 at server-2 i1 was written at T-1.000s over bob e5 at server-1 i1";
        assert_eq!(what.breaks(FreshRegistry), expected);
    }

    #[test]
    fn a_newer_session_replaces_an_older_row() {
        story().row("bob", 4, "server-2", 1).row("bob", 5, "server-1", 1).holds();
        // Rows of two devices of one user know nothing of each other.
        story().row("dora", 4, "server-2", 1).row("dora/1", 3, "server-1", 1).holds();
    }

    #[test]
    fn announced_again_after_an_eviction_is_legal_and_after_its_close_is_not() {
        let gone = |why| story().row("bob", 5, "server-1", 1).gone("bob", 5, "server-1", 1, why);
        gone(Evicted).row("bob", 5, "server-1", 1).holds();
        gone(Closed).row("bob", 5, "server-1", 1).breaks(FreshRegistry);
        gone(Closed).row("bob", 6, "server-1", 1).holds();
    }

    #[test]
    fn a_removal_names_exactly_the_row_that_is_there() {
        let story = || story().row("bob", 4, "server-1", 1).row("bob", 5, "server-2", 1);
        story().gone("bob", 5, "server-2", 1, Evicted).holds();
        story().gone("bob", 4, "server-1", 1, Evicted).breaks(FreshRegistry);
        story().gone("bob", 6, "server-1", 1, Closed).breaks(FreshRegistry);
        let twice = story().gone("bob", 5, "server-2", 1, Evicted);
        twice.gone("bob", 5, "server-2", 1, Evicted).breaks(FreshRegistry);
    }

    #[test]
    fn a_swept_incarnation_never_owns_a_row_again() {
        let swept = || {
            let story = story().cut_off("server-1").row("bob", 5, "server-1", 1);
            let story = story.declared_dead("server-1", 1);
            story.gone("bob", 5, "server-1", 1, Swept).cleaned("server-1", 1)
        };
        swept().row("carol", 1, "server-1", 1).breaks(FreshRegistry);
        swept().row("carol", 1, "server-1", 2).holds();
        // Without a row to remove, the cleaner's word is all there is.
        let cleaned =
            story().cut_off("server-1").declared_dead("server-1", 1).cleaned("server-1", 1);
        cleaned.row("carol", 1, "server-1", 1).breaks(FreshRegistry);
    }

    #[test]
    fn a_sweep_takes_only_incarnations_that_are_over() {
        let row = || story().serving("server-1", 2).row("bob", 5, "server-1", 2);
        row().gone("bob", 5, "server-1", 2, Swept).breaks(FreshRegistry);
        row().serving("server-1", 3).gone("bob", 5, "server-1", 2, Swept).holds();
        row()
            .cut_off("server-1")
            .declared_dead("server-1", 2)
            .gone("bob", 5, "server-1", 2, Swept)
            .holds();
    }

    fn restarted(story: Story) -> Story {
        story.crashed("registry").at(15.0).started("registry")
    }

    #[test]
    fn a_crash_may_lose_the_last_second() {
        let written = || story().row("bob", 4, "server-1", 1).at(9.5).row("bob", 5, "server-2", 1);
        let lost = || restarted(written().at(10.0));
        // The old row is back: written over, or removed.
        lost().row("bob", 5, "server-2", 1).holds();
        lost().row("bob", 4, "server-1", 1).holds();
        lost().gone("bob", 4, "server-1", 1, Evicted).holds();
        // The first write after it settles what is there.
        let settled = lost().row("bob", 5, "server-2", 1);
        settled.row("bob", 4, "server-1", 1).breaks(FreshRegistry);
    }

    #[test]
    fn a_crash_may_lose_a_removal_and_a_sweep() {
        let story = story()
            .row("bob", 5, "server-1", 1)
            .at(9.5)
            .cut_off("server-1")
            .declared_dead("server-1", 1);
        let story = story.gone("bob", 5, "server-1", 1, Swept).at(10.0);
        let story = restarted(story).cleaned("server-1", 1);
        story.row("carol", 1, "server-1", 1).gone("bob", 5, "server-1", 1, Evicted).holds();
    }

    #[test]
    fn a_crash_loses_nothing_older() {
        let story = story().row("bob", 4, "server-1", 1).at(1.0).row("bob", 5, "server-2", 1);
        let story = restarted(story.at(10.0));
        story.row("bob", 4, "server-1", 1).breaks(FreshRegistry);
    }

    #[test]
    fn a_pause_before_the_crash_makes_the_lossy_tail_longer() {
        let story = story().row("bob", 4, "server-1", 1).at(5.0).row("bob", 5, "server-2", 1);
        let story = story.at(5.5).life("registry", Life::Paused).at(14.0);
        restarted(story).row("bob", 4, "server-1", 1).holds();
    }

    #[test]
    fn a_registry_that_lost_its_disk_knows_nobody_but_whom_it_restores() {
        for life in [Life::Wiped, Life::Promoted] {
            let known = || story().row("bob", 5, "server-2", 1).at(10.0);
            let lost = || known().life("registry", Life::PowerCut).life("registry", life);
            let back = || lost().at(11.0).started("registry");
            back().row("bob", 4, "server-1", 1).holds();
            let restored = |story: Story| {
                let session = story.session("bob", 5, "server-2", 1);
                story.note("registry", Note::RowRestored { session })
            };
            restored(back()).row("bob", 4, "server-1", 1).breaks(FreshRegistry);
        }
    }
}

mod owner {
    use super::*;

    /// Bob connects at 20 s; nobody writes his row.
    fn unregistered() -> Story {
        let story = story().row("bob", 1, "server-2", 1);
        let story = story.gone("bob", 1, "server-2", 1, Removal::Closed).at(20.0);
        story.connected("bob", "server-1", 2)
    }

    /// The bound: a consumer and its gateway's checks and announcements, and five retries.
    const ROUTABLE: f64 = 63.0;

    #[test]
    fn who_is_connected_for_long_enough_has_its_row() {
        let what = unregistered().at(20.5 + ROUTABLE).breaks(OneOwner);
        let expected = "bob e2 at server-1 i1 was connected and had no row since T+10.000s, \
                        and still had none at T+73.000s; the bound is 63.000s";
        assert_eq!(what, expected);
        let in_time = || unregistered().at(19.5 + ROUTABLE);
        in_time().row("bob", 2, "server-1", 1).at(500.0).holds();
        in_time().disconnected("bob", 2).holds();
        in_time().crashed("bob").holds();
    }

    #[test]
    fn a_row_that_goes_under_a_living_connection_must_come_back() {
        let there = || unregistered().row("bob", 2, "server-1", 1).at(100.0);
        let gone = || there().gone("bob", 2, "server-1", 1, Removal::Evicted);
        gone().at(101.0 + ROUTABLE).breaks(OneOwner);
        gone().at(120.0).row("bob", 2, "server-1", 1).at(500.0).holds();
    }

    #[test]
    fn a_registry_that_restarts_says_what_it_has_found() {
        let there = || unregistered().row("bob", 2, "server-1", 1).at(100.0).crashed("registry");
        let back = || there().at(101.0).started("registry");
        back().at(102.0 + ROUTABLE).breaks(OneOwner);
        let restored = |story: Story| {
            let session = story.session("bob", 2, "server-1", 1);
            story.note("registry", Note::RowRestored { session })
        };
        restored(back()).at(500.0).holds();
    }

    #[test]
    fn time_in_which_the_way_to_the_registry_was_disturbed_does_not_count() {
        for host in ["bob", "server-1", "log", "registry", "consumer-2"] {
            let story = || unregistered().at(60.0);
            let faulted = || story().fault(&[host]).at(200.0).fault_ends(0);
            faulted().at(199.0 + ROUTABLE).holds();
            faulted().at(201.0 + ROUTABLE).breaks(OneOwner);
        }
    }

    #[test]
    fn a_consumer_that_is_down_is_replaced_but_not_if_it_is_the_last() {
        let story = || unregistered().at(60.0).crashed("consumer-1");
        story().at(59.0 + ROUTABLE).holds();
        story().at(61.0 + ROUTABLE).breaks(OneOwner);
        story().crashed("consumer-2").at(500.0).holds();
    }

    /// Bob's newer connection gets the row at 20 s.
    fn displaced() -> Story {
        let story = story().row("bob", 1, "server-1", 1).at(20.0);
        story.row("bob", 2, "server-2", 1)
    }

    fn ended(story: Story) -> Story {
        story.ended("bob", 1, "server-1")
    }

    #[test]
    fn a_displaced_connection_is_closed() {
        let what = displaced().at(33.0).breaks(OneOwner);
        let expected = "bob e1 at server-1 i1 lost to connection 2 at T+10.000s, \
                        and was not closed at T+22.000s";
        assert_eq!(what, expected);
        ended(displaced().at(31.0)).at(500.0).holds();
        ended(story().row("bob", 1, "server-1", 1)).row("bob", 2, "server-2", 1).at(90.0).holds();
        displaced().at(31.0).holds();
    }

    #[test]
    fn who_could_not_be_told_is_closed_for_its_silence() {
        for host in ["server-1", "consumer-1", "registry"] {
            let disturbed = || displaced().at(25.0).fault(&[host]).at(26.0).fault_ends(0);
            ended(disturbed().at(100.0)).at(500.0).holds();
            disturbed().at(120.0).breaks(OneOwner);
        }
        // Nor is anybody told whose process is gone.
        let served = story().serving("server-1", 1).row("bob", 1, "server-1", 1).at(15.0);
        served.crashed("server-1").row("bob", 2, "server-2", 1).at(500.0).holds();
    }

    #[test]
    fn a_session_that_came_too_late_is_closed_too() {
        let late = story().row("bob", 2, "server-2", 1).at(20.0);
        let session = late.session("bob", 1, "server-1", 1);
        late.note("registry", Note::RowFenced { session }).at(33.0).breaks(OneOwner);
    }

    #[test]
    fn a_server_that_nothing_happened_to_is_not_declared_dead() {
        let what = story().at(50.0).declared_dead("server-1", 1).breaks(OneOwner);
        assert_eq!(
            what,
            "server-1 i1 was declared dead at T+40.000s, and nothing had happened to it"
        );
        let faulted = |hosts: &[&str]| story().fault(hosts).at(50.0).declared_dead("server-1", 1);
        faulted(&["server-1", "app-1"]).holds();
        // One observer may be misled; the two that must agree may not.
        faulted(&["monitor-1"]).breaks(OneOwner);
        faulted(&["monitor-1", "monitor-2"]).holds();
    }
}

mod stale {
    use super::*;

    /// Server 1 dies under Bob's row at 20 s.
    fn dead() -> Story {
        let story = story().serving("server-1", 1).row("bob", 1, "server-1", 1);
        story.at(20.0).crashed("server-1")
    }

    #[test]
    fn a_row_is_gone_with_the_registrys_disk_unless_it_is_restored() {
        let lost = || dead().at(40.0).life("registry", Life::PowerCut);
        let back = || lost().life("registry", Life::Wiped).at(41.0).started("registry");
        back().at(200.0).holds();
        let restored = |story: Story| {
            let session = story.session("bob", 1, "server-1", 1);
            story.note("registry", Note::RowRestored { session })
        };
        restored(back()).at(200.0).breaks(StaleBound);
    }

    #[test]
    fn a_row_that_leads_to_a_dead_server_for_too_long() {
        let what = dead().at(90.0).breaks(StaleBound);
        assert!(what.contains("still there at T+70.000s"), "{what}");
        assert!(what.contains("server-1 i1 was over since T+10.000s"), "{what}");
    }

    #[test]
    fn swept_or_replaced_within_the_bound() {
        let swept = dead().at(66.0).declared_dead("server-1", 1);
        swept.gone("bob", 1, "server-1", 1, Removal::Swept).at(500.0).holds();
        dead().at(79.0).row("bob", 2, "server-2", 1).at(500.0).holds();
        // Nor does a run that ends first know anything.
        dead().at(80.0).holds();
    }

    #[test]
    fn a_server_that_is_back_as_another_or_stepped_down_is_dead_too() {
        let served = || story().serving("server-1", 1).row("bob", 1, "server-1", 1).at(20.0);
        served().serving("server-1", 2).at(90.0).breaks(StaleBound);
        let stepped_down = Note::SteppedDown { incarnation: Incarnation(1) };
        served().note("server-1", stepped_down).at(90.0).breaks(StaleBound);
        served().at(500.0).holds();
    }

    #[test]
    fn a_row_that_was_written_too_late_counts_from_its_writing() {
        let late = || story().serving("server-1", 1).at(20.0).crashed("server-1").at(50.0);
        let late = || late().row("bob", 1, "server-1", 1);
        late().at(109.0).holds();
        late().at(111.0).breaks(StaleBound);
    }

    #[test]
    fn time_under_a_fault_of_who_could_mend_it_does_not_count() {
        for mender in ["registry", "log", "consumer-1", "cleaner", "db", "monitor-2"] {
            let faulted = || dead().at(60.0).fault(&["server-3", mender]).at(100.0).fault_ends(0);
            faulted().at(159.0).holds();
            faulted().at(161.0).breaks(StaleBound);
        }
        // That the dead server is dead is no excuse; nor is what happens to others.
        dead().fault(&["server-1", "server-3", "app-1"]).at(90.0).breaks(StaleBound);
    }

    #[test]
    fn a_server_that_is_back_but_cut_off_cannot_sweep_its_leftovers() {
        let cut_off = dead().at(30.0).fault(&["server-1"]).at(50.0).started("server-1");
        cut_off.at(200.0).fault_ends(0).at(259.0).holds();
    }

    /// Bob moves to server 2 at 20 s; the row still says server 1.
    fn wrong() -> Story {
        let story = story().connected("bob", "server-1", 1).row("bob", 1, "server-1", 1);
        let story = story.at(20.0).disconnected("bob", 1).ended("bob", 1, "server-1");
        story.connected("bob", "server-2", 2)
    }

    #[test]
    fn a_row_that_leads_to_the_wrong_server_for_too_long() {
        let what = wrong().at(82.0).breaks(StaleBound);
        assert!(what.contains("connected as bob e2 at server-2 i1 since T+10.000s"), "{what}");
    }

    #[test]
    fn a_device_that_left_again_is_at_no_server() {
        wrong().at(70.0).disconnected("bob", 2).at(500.0).holds();
        wrong().at(70.0).row("bob", 2, "server-2", 1).at(500.0).holds();
    }

    #[test]
    fn the_server_of_the_newer_connection_must_be_able_to_say_so() {
        let cut_off = || wrong().fault(&["server-2"]).at(200.0).fault_ends(0);
        cut_off().at(259.0).holds();
        cut_off().at(261.0).breaks(StaleBound);
    }

    #[test]
    fn a_row_that_a_crash_of_the_registry_may_have_lost() {
        let lost = || {
            let story = story().serving("server-1", 1).at(19.0).row("bob", 1, "server-1", 1);
            story.at(20.0).crashed("server-1").crashed("registry").at(21.0).started("registry")
        };
        lost().at(500.0).holds();
        lost().row("bob", 1, "server-1", 1).at(90.0).breaks(StaleBound);
    }
}

mod durability {
    use super::*;

    #[test]
    fn accepted_before_it_is_durable() {
        let story = story().invoked("alice", 1, "bob").accepted("alice", 1, "bob", 1);
        story.persisted("alice", 1, "bob", 1).breaks(PersistAck);
    }

    #[test]
    fn accepted_as_another_place_than_the_durable_one() {
        let story = story().invoked("alice", 1, "bob").persisted("alice", 1, "bob", 1);
        story.accepted("alice", 1, "bob", 2).breaks_all(&[Sequence, PersistAck]);
    }

    #[test]
    fn accepted_where_it_is_after_a_failover() {
        let (first, again) = (Stamp { epoch: 1, seq: 3 }, Stamp { epoch: 2, seq: 1 });
        let twice = || {
            let story = story().invoked("alice", 1, "bob");
            story.persisted_in("alice", 1, "bob", first).persisted_in("alice", 1, "bob", again)
        };
        twice().accepted_in("alice", 1, "bob", again).holds();
        // The first answer may come late: it was durable when it was given.
        twice().accepted_in("alice", 1, "bob", first).holds();
    }

    #[test]
    fn shown_to_others_before_it_is_durable() {
        let story = || story().invoked("alice", 1, "bob");
        story().shown("bob", "alice", 1, "bob", 1).breaks(PersistAck);
        // What its author shows, it wrote.
        story().shown("alice", "alice", 1, "bob", 1).persisted("alice", 1, "bob", 1).holds();
    }

    #[test]
    fn durable_before_the_crash_and_said_after_it() {
        let found = || story().invoked("alice", 1, "bob").restored("alice", 1, "bob", 1);
        found().shown("bob", "alice", 1, "bob", 1).accepted("alice", 1, "bob", 1).holds();
        found().accepted("alice", 1, "bob", 2).breaks_all(&[Sequence, PersistAck]);
        let twice = found().at(1.0).persisted("alice", 1, "bob", 2);
        twice.breaks_all(&[Sequence, Dedupe]);
    }

    #[test]
    fn durable_in_the_same_instant_and_before() {
        story().sent("alice", 1, "bob", 1).holds();
    }
}

mod drained {
    use super::*;

    fn all_connected() -> Story {
        ["alice", "bob", "carol", "dora", "dora/1"]
            .into_iter()
            .fold(story(), |story, device| story.connected(device, "server-1", 1))
    }

    /// Alice's message is on its way when the faults heal at 100 s.
    fn backlog() -> Story {
        let story = all_connected().at(50.0).fault(&["db"]).sent("alice", 1, "bob", 1);
        let story = story.shown("alice", "alice", 1, "bob", 1);
        story.at(100.0).fault_ends(0).healed()
    }

    #[test]
    fn late_by_more_than_the_bound() {
        backlog().at(160.0).shown("bob", "alice", 1, "bob", 1).at(300.0).holds();
        backlog().at(161.0).shown("bob", "alice", 1, "bob", 1).at(300.0).breaks(Liveness);
    }

    #[test]
    fn never_is_not_late() {
        backlog().at(300.0).breaks_all(&[NoLoss, Gap]);
    }

    #[test]
    fn a_device_that_came_back_has_the_whole_bound_again() {
        let away = || backlog().flight_mode("bob", 1).at(200.0).connected("bob", "server-2", 2);
        away().at(250.0).shown("bob", "alice", 1, "bob", 1).at(300.0).holds();
        away().at(261.0).shown("bob", "alice", 1, "bob", 1).at(300.0).breaks(Liveness);
        let rebooted = backlog().crashed("bob").at(200.0).started("bob").at(201.0);
        let rebooted = rebooted.connected("bob", "server-2", 2).at(250.0);
        rebooted.shown("bob", "alice", 1, "bob", 1).at(300.0).holds();
    }

    #[test]
    fn a_send_without_an_answer() {
        let sent = || all_connected().at(50.0).invoked("alice", 1, "bob").at(100.0).healed();
        sent().at(300.0).breaks(Liveness);
        sent().at(150.0).failed("alice", 1).at(300.0).holds();
        sent().at(170.0).failed("alice", 1).at(300.0).breaks(Liveness);
        // Its device is off; it will ask again.
        sent().at(110.0).crashed("alice").at(300.0).holds();
        sent().at(110.0).flight_mode("alice", 1).at(300.0).holds();
    }

    #[test]
    fn what_is_within_its_bound_when_the_run_ends_is_not_judged() {
        let story = all_connected().healed().at(100.0).invoked("alice", 1, "bob");
        story.at(160.0).holds();
    }

    #[test]
    fn a_run_that_never_healed_or_ended_too_soon() {
        let unhealed = all_connected().invoked("alice", 1, "bob");
        unhealed.at(500.0).holds();
        let soon = all_connected().invoked("alice", 1, "bob").at(100.0).healed();
        soon.at(130.0).panicked("db").holds();
    }

    #[test]
    fn a_device_that_does_not_come_back() {
        let lost = || all_connected().at(50.0).disconnected("bob", 1).at(100.0).healed();
        lost().at(159.0).holds();
        lost().at(161.0).breaks(Liveness);
        lost().at(150.0).connected("bob", "server-2", 2).at(300.0).holds();
        // Just now between two connections.
        all_connected().healed().at(290.0).disconnected("bob", 1).at(300.0).holds();
        all_connected().flight_mode("bob", 1).healed().at(300.0).holds();
        all_connected().crashed("bob").healed().at(300.0).holds();
    }

    #[test]
    fn the_drain_is_the_slowest_of_the_backlog() {
        let nothing = backlog().shown("bob", "alice", 1, "bob", 1).at(300.0);
        assert_eq!(drain(&nothing.told()), Duration::ZERO);
        let slow = backlog().at(130.0).shown("bob", "alice", 1, "bob", 1).at(140.0);
        let slow = slow.sent("bob", 1, "alice", 2).at(170.0).shown("bob", "bob", 1, "alice", 2);
        assert_eq!(drain(&slow.told()), Duration::from_secs(30));
        let away = backlog().flight_mode("bob", 1).at(200.0).connected("bob", "server-2", 2);
        let away = away.at(204.0).shown("bob", "alice", 1, "bob", 1);
        assert_eq!(drain(&away.told()), Duration::from_secs(4));
        assert_eq!(drain(&story().told()), Duration::ZERO);
    }
}

mod phantoms {
    use super::*;

    #[test]
    fn shown_but_never_sent() {
        let story = story().persisted("alice", 1, "bob", 1);
        story.shown("bob", "alice", 1, "bob", 1).breaks(Phantom);
    }

    #[test]
    fn shown_before_it_was_sent() {
        let story = story().persisted("alice", 1, "bob", 1).shown("bob", "alice", 1, "bob", 1);
        story.at(1.0).invoked("alice", 1, "bob").breaks(Phantom);
    }

    #[test]
    fn accepted_but_never_sent() {
        let story = story().persisted("alice", 1, "bob", 1);
        story.accepted("alice", 1, "bob", 1).breaks(Phantom);
    }

    #[test]
    fn shown_where_it_was_not_sent() {
        let story = story().invoked("alice", 1, "bob").persisted("alice", 1, "team", 1);
        story.shown("dora", "alice", 1, "team", 1).breaks(Phantom);
    }

    #[test]
    fn shown_although_its_send_failed() {
        let refused = || story().invoked("alice", 1, "bob").failed("alice", 1).at(1.0);
        refused().holds();
        let shown = refused().persisted("alice", 1, "bob", 1).shown("bob", "alice", 1, "bob", 1);
        shown.breaks(Phantom);
        let before = story().invoked("alice", 1, "bob").persisted("alice", 1, "bob", 1);
        before.shown("bob", "alice", 1, "bob", 1).at(1.0).failed("alice", 1).breaks(Phantom);
    }

    #[test]
    fn a_send_without_an_answer_may_be_shown() {
        let story = story().invoked("alice", 1, "bob").persisted("alice", 1, "bob", 1);
        story.shown("bob", "alice", 1, "bob", 1).holds();
    }
}

#[test]
fn a_broken_run_is_described_up_to_a_limit_and_counted_beyond() {
    let mut story = story();
    for n in 1..=150 {
        story = story.at(f64::from(n)).persisted("alice", n, "bob", u64::from(n));
        story = story.shown("bob", "alice", n, "bob", u64::from(n));
    }
    let anomalies = story.anomalies();
    assert_eq!(anomalies.len(), 101);
    assert_eq!(anomalies[100].what, "… and 50 more");
}
