//! Delivered and read: what a device says, what the database keeps, and who is told.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::client::{self, Client};
use courier::database::{Config, Database};
use courier::design::Design;
use courier::directory::Directory;
use courier::disk::Disk;
use courier::frame::{Frame, PROTOCOL_NEWEST};
use courier::id::{ConversationId, Incarnation, UserId};
use courier::limits::{MARKS_UNANSWERED_MAX, RECEIPT_MEMBERS_MAX, TELL_EVERY};
use courier::node::{Action, Command, Timer};
use courier::note::Note;
use courier::timing::Timing;
use courier::wire::{Mark, Wire};
use std::sync::Arc;

fn database_of(directory: Directory) -> Script<Database> {
    let config = Config {
        directory: Arc::new(directory),
        timing: Arc::default(),
        design: Design::default(),
    };
    let mut t = Script::new(DATABASE, Database::boot(config, &Disk::default()));
    t.unseen(|t| {
        t.boots().synced();
    });
    t
}

fn boot(disk: &Disk) -> Database {
    Database::boot(
        Config { directory: fleet(), timing: std::sync::Arc::default(), design: Design::default() },
        disk,
    )
}

/// User 1 wrote this many messages to user 2.
fn holding(messages: u32) -> Script<Database> {
    let mut t = database_of(directory());
    t.unseen(|t| {
        for counter in 1..=messages {
            let message = message(1, counter, pair(1, 2));
            t.receives(app(1), Wire::Append { message, number: None }).synced();
        }
    });
    t
}

/// User 2's device acknowledges everything up to this place.
fn advance(seq: u64) -> Wire {
    Wire::Advance { device: u(2), conversation: pair(1, 2), upto: stamp(seq) }
}

fn read(seq: u64) -> Wire {
    let session = session(2, 1, 2);
    Wire::Read { session, conversation: pair(1, 2), upto: stamp(seq) }
}

/// User 1's device, on its first connection.
fn asks(version: u64) -> Wire {
    Wire::MarksAfter { session: session(1, 1, 1), version }
}

fn marked(t: &Script<Database>) -> bool {
    t.last.iter().any(|action| matches!(action, Action::Note(Note::Marked { .. })))
}

fn tells(t: &Script<Database>) -> usize {
    let marks = |action: &&Action| matches!(action, Action::Send { wire: Wire::Marks { .. }, .. });
    t.last.iter().filter(marks).count()
}

#[test]
fn a_mark_is_told_when_it_is_durable_and_what_follows_together() {
    let mut t = holding(3);
    t.receives(server(1), asks(0));
    t.receives(server(2), advance(1)).beat("until now a crash could take it back").synced();
    t.receives(server(2), advance(3)).synced().receives(server(2), read(2)).synced();
    t.beat("the last of each").pass(TELL_EVERY);
    t.receives(server(1), asks(3)).pass(TELL_EVERY);
    golden!(t);
}

#[test]
fn who_comes_back_is_told_at_once_what_it_missed() {
    let mut t = holding(3);
    t.unseen(|t| {
        t.receives(server(2), advance(3)).synced().receives(server(2), read(3)).synced();
    });
    t.receives(server(1), asks(1));
    t.beat("and the reader has its answer, on each device");
    t.receives(server(2), Wire::MarksAfter { session: session(2, 4, 2), version: 0 });
    golden!(t);
}

#[test]
fn late_and_repeated_words_move_no_mark_back() {
    let mut t = holding(3);
    t.receives(server(2), read(3)).synced();
    assert!(marked(&t));
    for late in [read(2), read(3), advance(1)] {
        t.receives(server(2), late).synced();
        assert!(!marked(&t));
    }
}

#[test]
fn a_restart_counts_the_same_and_a_heartbeat_finds_who_follows() {
    let mut t = holding(2);
    t.unseen(|t| {
        t.receives(server(2), advance(1)).synced().receives(server(2), read(1)).synced();
        t.receives(server(1), asks(0)).receives(server(1), asks(2));
        t.reboot(boot).synced();
    });
    t.receives(server(1), Wire::Heads { sessions: vec![(session(1, 1, 1), Some(1))] });
    t.beat("it knows everything already").receives(server(1), asks(2));
    t.receives(server(2), advance(2)).synced().pass(TELL_EVERY);
    golden!(t);
}

#[test]
fn a_follower_that_does_not_answer_is_left_alone_until_it_beats() {
    let mut t = holding(9);
    t.receives(server(1), asks(0));
    let mut told = 0;
    for seq in 1..=9 {
        t.receives(server(2), advance(seq)).synced().fires(Timer::TellMarks);
        told += tells(&t);
    }
    assert_eq!(told, MARKS_UNANSWERED_MAX as usize, "{}", t.trace());
    t.receives(server(1), Wire::Heads { sessions: vec![(session(1, 1, 1), Some(1))] });
    assert_eq!(tells(&t), 1, "it should ask");
    t.receives(server(1), asks(0));
    assert_eq!(tells(&t), 1, "{}", t.trace());
}

#[test]
fn in_a_large_group_only_the_reader_is_told() {
    let mut large = directory();
    let members = (1..=RECEIPT_MEMBERS_MAX as u32 + 1).map(UserId).collect();
    large.groups.insert(group(), members);
    let mut t = database_of(large);
    let sent = message(1, 1, group());
    t.receives(app(1), Wire::Append { message: sent, number: None }).synced();
    t.receives(server(1), asks(0));
    t.receives(server(2), Wire::MarksAfter { session: session(2, 1, 2), version: 0 });
    let upto = stamp(1);
    t.receives(server(2), Wire::Advance { device: u(2), conversation: group(), upto }).synced();
    assert!(!marked(&t), "{}", t.trace());
    let session = session(2, 1, 2);
    t.receives(server(2), Wire::Read { session, conversation: group(), upto }).synced();
    assert!(marked(&t));
    t.pass(TELL_EVERY);
    assert_eq!(tells(&t), 1, "{}", t.trace());
    let told =
        t.last.iter().any(|action| matches!(action, Action::Send { to, .. } if *to == server(2)));
    assert!(told, "{}", t.trace());
}

#[test]
fn nobody_reads_what_is_not_theirs_or_not_there() {
    let mut t = holding(1);
    let stranger = session(3, 1, 1);
    t.receives(
        server(1),
        Wire::Read { session: stranger, conversation: pair(1, 2), upto: stamp(1) },
    );
    assert_eq!(t.last, []);
    t.receives(server(2), read(9)).synced();
    let upto = Some(stamp(1));
    let mark =
        Note::Marked { conversation: pair(1, 2), user: UserId(2), delivered: upto, read: upto };
    assert!(t.last.contains(&Action::Note(mark)), "{}", t.trace());
}

/// User 2's device, connected and in possession of two messages of user 1.
fn device() -> Script<Client> {
    let mut t = Script::new(phone(2), boot_client(&Disk::default()));
    t.unseen(|t| {
        t.boots();
        connects(t, 1);
        t.arrives(conn(2, 1), Frame::Deliver { conversation: pair(1, 2), batch: batch(1..=2) });
        t.synced();
    });
    t
}

fn boot_client(disk: &Disk) -> Client {
    let (host, device, directory) = (phone(2), u(2), fleet());
    let (timing, design) = (Arc::new(Timing::default()), Design::default());
    let config = client::Config {
        host,
        device,
        entropy: 7,
        directory,
        timing,
        design,
        protocol: PROTOCOL_NEWEST,
    };
    Client::boot(config, disk)
}

fn connects(t: &mut Script<Client>, epoch: u32) {
    t.synced().receives(BALANCER, Wire::Placed { epoch, gateway: Some(server(1)) });
    t.opened(conn(2, epoch));
    t.arrives(
        conn(2, epoch),
        Frame::Welcome { epoch, incarnation: Incarnation(1), protocol: PROTOCOL_NEWEST },
    );
}

fn reads(conversation: ConversationId) -> Command {
    Command::Read { conversation }
}

/// How far a user is in their conversation with the other one; 0 is nothing.
fn mark(user: u32, delivered: u64, read: u64) -> Mark {
    let place = |seq: u64| (seq > 0).then(|| stamp(seq));
    let (delivered, read) = (place(delivered), place(read));
    Mark { conversation: pair(1, 2), user: UserId(user), delivered, read }
}

#[test]
fn a_reader_is_heard_when_it_is_durable_and_repeats_itself_until_it_is_known() {
    let mut t = device();
    t.beat("there is nothing to read here").commanded(reads(pair(2, 3)));
    t.commanded(reads(pair(1, 2))).synced();
    t.commanded(reads(pair(1, 2)));
    t.beat("with the next heartbeat, since nobody has answered").fires(Timer::Heartbeat);
    t.arrives(conn(2, 1), Frame::Marks { upto: 5, marks: vec![mark(2, 2, 2)] });
    t.fires(Timer::Heartbeat);
    golden!(t);
}

#[test]
fn a_device_that_restarts_says_again_what_was_read_and_asks_for_every_mark() {
    let mut t = device();
    t.unseen(|t| {
        t.commanded(reads(pair(1, 2))).synced();
        t.arrives(conn(2, 1), Frame::Marks { upto: 5, marks: vec![mark(1, 2, 0)] });
        t.reboot(boot_client);
    });
    connects(&mut t, 2);
    golden!(t);
}

#[test]
fn a_device_shows_no_mark_that_goes_back() {
    let mut t = device();
    let marks = |upto, marks: &[Mark]| Frame::Marks { upto, marks: marks.to_vec() };
    t.arrives(conn(2, 1), marks(4, &[mark(1, 2, 1)]));
    t.arrives(conn(2, 1), marks(3, &[mark(1, 1, 0)]));
    t.arrives(conn(2, 1), marks(4, &[mark(1, 2, 1)]));
    t.beat("the server does not know how far it is").arrives(conn(2, 1), marks(0, &[]));
    golden!(t);
}
