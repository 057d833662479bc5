//! A world of two hosts and a recorder: what each verb does, as the other side sees it.

use super::keepalive::Keepalive;
use super::latency::Latency;
use super::net::{Effect, Matrix, Net, Profile, hosts};
use super::replica::Replica;
use super::{Crew, Machine, World};
use crate::history::{Entry, Fact, Life};
use crate::seed::Seed;
use courier::disk::{Disk, Record};
use courier::frame::Frame;
use courier::id::{ConnId, HostId, Incarnation};
use courier::node::{CloseCause, Command, Draft, Event, Outbox, Role, Timer};
use courier::time::Now;
use courier::wire::Wire;
use std::sync::Arc;
use std::time::Duration;

mod keepalive;
mod replica;

const A: HostId = HostId(0);
const B: HostId = HostId(1);
const CONN: ConnId = ConnId { opener: A, number: 1 };

/// Writes down what happens to it. `GoOnline` opens a connection to B, `GoOffline` closes it, and
/// a draft's body says what else to do.
#[derive(Clone, Default)]
struct Recorder {
    seen: Vec<Event>,
    times: Vec<Now>,
    found: Disk,
    /// The version of its program.
    version: u32,
}

impl Role for Recorder {
    fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match &event {
            Event::Commanded(Command::GoOnline) => out.open(CONN, B),
            Event::Commanded(Command::GoOffline) => out.close(CONN),
            Event::Commanded(Command::Send(draft)) => match &*draft.body {
                "ping" => out.send(B, Wire::Ping { nonce: 1 }),
                "commit" => out.send(B, Wire::Ping { nonce: COMMIT }),
                "read" => out.send(B, READ),
                "write" => out.write(CONN, Frame::Heartbeat),
                "timer" => out.set_timer(Timer::Probe, Duration::from_secs(10)),
                "cancel" => out.cancel_timer(Timer::Probe),
                "append" => out.append(Record::Booted(Incarnation(1))),
                "sync" => out.sync(),
                "panic" => panic!("asked to"),
                other => unreachable!("{other}"),
            },
            Event::Received { wire: Wire::Ping { nonce: COMMIT }, .. } => {
                out.append(Record::Booted(Incarnation(1)));
                out.sync();
            }
            Event::Synced { .. } if self.was_asked_to_commit() => {
                out.send(A, Wire::Ping { nonce: COMMITTED })
            }
            Event::Received { wire: READ, .. } => {
                out.send(A, Wire::Ping { nonce: self.seen.len() as u64 })
            }
            _ => {}
        }
        self.times.push(now);
        self.seen.push(event);
    }
}

/// What a store is asked by A, and answers.
const COMMIT: u64 = 1_000;
const COMMITTED: u64 = 1_001;
const READ: Wire = Wire::ListUsers { gateway: A };

impl Recorder {
    fn was_asked_to_commit(&self) -> bool {
        let asked = Wire::Ping { nonce: COMMIT };
        self.seen
            .iter()
            .any(|event| matches!(event, Event::Received { wire, .. } if *wire == asked))
    }
}

/// Knows the version of B's program.
#[derive(Clone, Default)]
struct Recorders {
    version: u32,
}

impl Crew for Recorders {
    type Role = Recorder;

    fn boot(&self, _host: HostId, disk: &Disk, _boots: u32) -> Recorder {
        Recorder { found: disk.clone(), version: self.version, ..Recorder::default() }
    }

    fn upgrade(&mut self, host: HostId) {
        assert_eq!(host, B);
        self.version += 1;
    }
}

/// Two hosts, 10 ms apart, with an fsync of 1 ms.
fn two_hosts() -> World<Recorders> {
    replicated(Replica::Asynchronous)
}

/// The same, with this replica behind each of them.
fn replicated(replica: Replica) -> World<Recorders> {
    let latency = Latency::constant(Duration::from_millis(10));
    let profile = Profile { latency, loss: 0, duplicate: 0 };
    let fsync = Latency::constant(Duration::from_millis(1));
    let machine = Machine { zone: 0, site: 0, fsync, replica: Some(replica) };
    let net = Net::new(Seed(1), 1, vec![profile]);
    let mut world = World::new(Seed(1), Recorders::default(), vec![machine.clone(), machine], net);
    world.start(A);
    world.start(B);
    world
}

fn pass(world: &mut World<Recorders>, span: Duration) {
    let until = world.now() + span.as_nanos() as u64;
    while world.next_at().is_some_and(|at| at <= until) {
        world.step();
    }
    world.advance_to(until);
}

fn tell(world: &mut World<Recorders>, what: &str) {
    let conversation = courier::id::ConversationId::FIRST;
    let draft = Draft { op: 0, conversation, body: Arc::from(what), answers: None };
    world.command(A, Command::Send(draft));
}

/// What a host has seen, besides what it was told to do.
fn seen(world: &World<Recorders>, host: HostId) -> Vec<Event> {
    let role = world.role(host).expect("it runs");
    let own = |event: &&Event| !matches!(event, Event::Commanded(_) | Event::Booted);
    role.seen.iter().filter(own).cloned().collect()
}

/// What has befallen a host's process.
fn lives(world: &World<Recorders>, of: HostId) -> Vec<Life> {
    let life = |entry: &Entry| match entry.fact {
        Fact::Host { host, life } if host == of => Some(life),
        _ => None,
    };
    world.facts.iter().filter_map(life).collect()
}

fn connected() -> World<Recorders> {
    connects(two_hosts())
}

fn connects(mut world: World<Recorders>) -> World<Recorders> {
    world.command(A, Command::GoOnline);
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, A), [Event::Opened { conn: CONN }]);
    assert_eq!(seen(&world, B), [Event::Opened { conn: CONN }]);
    world
}

fn closed(cause: CloseCause) -> Event {
    Event::Closed { conn: CONN, cause }
}

fn everybody() -> super::Hosts {
    hosts([A, B])
}

#[test]
fn a_process_that_crashes_is_refused_and_resets_its_connections() {
    let mut world = connected();
    world.crash(B);
    pass(&mut world, Duration::from_millis(10));
    assert_eq!(seen(&world, A).last(), Some(&closed(CloseCause::Reset)));
    tell(&mut world, "ping");
    pass(&mut world, Duration::from_secs(1));
    let refused = Event::Refused { to: B, wire: Wire::Ping { nonce: 1 } };
    assert_eq!(seen(&world, A).last(), Some(&refused));
    world.start(B);
    tell(&mut world, "ping");
    pass(&mut world, Duration::from_secs(1));
    let received = Event::Received { from: A, wire: Wire::Ping { nonce: 1 } };
    assert_eq!(seen(&world, B), [received]);
}

#[test]
fn a_power_cut_is_silent_until_the_host_is_back() {
    let mut world = connected();
    world.power_cut(B);
    tell(&mut world, "ping");
    tell(&mut world, "write");
    pass(&mut world, Duration::from_secs(60));
    assert_eq!(seen(&world, A).len(), 1, "nothing but the opening: the connection is half-open");
    world.start(B);
    pass(&mut world, Duration::from_secs(60));
    // The kernel repeats what it could not send, and the new one does not know the connection.
    assert_eq!(seen(&world, A).last(), Some(&closed(CloseCause::Reset)));
}

#[test]
fn a_kernel_gives_a_dead_connection_up_after_a_quarter_of_an_hour() {
    let mut world = connected();
    world.power_cut(B);
    tell(&mut world, "write");
    pass(&mut world, Duration::from_secs(800));
    assert_eq!(seen(&world, A).len(), 1);
    pass(&mut world, Duration::from_secs(400));
    assert_eq!(seen(&world, A).last(), Some(&closed(CloseCause::TimedOut)));
}

#[test]
fn connecting_to_a_black_hole_takes_two_minutes_and_to_a_closed_port_an_instant() {
    let mut world = two_hosts();
    world.power_cut(B);
    world.command(A, Command::GoOnline);
    pass(&mut world, Duration::from_secs(100));
    assert_eq!(seen(&world, A), []);
    pass(&mut world, Duration::from_secs(60));
    assert_eq!(seen(&world, A), [closed(CloseCause::TimedOut)]);

    let mut world = two_hosts();
    world.crash(B);
    world.command(A, Command::GoOnline);
    pass(&mut world, Duration::from_millis(20));
    assert_eq!(seen(&world, A), [closed(CloseCause::Reset)]);
}

#[test]
fn a_close_in_order_delivers_what_was_written_before() {
    let mut world = connected();
    tell(&mut world, "write");
    world.command(A, Command::GoOffline);
    pass(&mut world, Duration::from_secs(1));
    let arrived = Event::Arrived { conn: CONN, frame: Frame::Heartbeat };
    assert_eq!(seen(&world, B)[1..], [arrived, closed(CloseCause::Fin)]);
}

#[test]
fn a_cut_link_delays_a_connection_and_loses_a_message() {
    let mut world = connected();
    let cut = world.impose(hosts([A]), hosts([B]), Effect::Cut);
    tell(&mut world, "ping");
    tell(&mut world, "write");
    pass(&mut world, Duration::from_secs(30));
    assert_eq!(seen(&world, B).len(), 1);
    world.lift(cut);
    pass(&mut world, Duration::from_secs(60));
    let arrived = Event::Arrived { conn: CONN, frame: Frame::Heartbeat };
    assert_eq!(seen(&world, B)[1..], [arrived], "the frame came late, the message never");
}

#[test]
fn a_link_that_flaps_is_down_and_up_in_turn() {
    let mut world = two_hosts();
    let minute = Duration::from_secs(60);
    let flap = Effect::Flap { since: world.now(), each: minute.as_nanos() as u64 };
    let rule = world.impose(hosts([A]), hosts([B]), flap);
    let mut heard = Vec::new();
    for _ in 0..4 {
        pass(&mut world, minute / 2);
        tell(&mut world, "ping");
        pass(&mut world, minute / 2);
        heard.push(seen(&world, B).len());
    }
    assert_eq!(heard, [0, 1, 1, 2]);
    world.lift(rule);
    tell(&mut world, "ping");
    pass(&mut world, minute);
    assert_eq!(seen(&world, B).len(), 3);
}

#[test]
fn a_message_is_repeated_until_a_link_that_flaps_is_up() {
    let mut world = two_hosts();
    let each = Duration::from_millis(150).as_nanos() as u64;
    world.impose(hosts([A]), hosts([B]), Effect::Flap { since: world.now(), each });
    tell(&mut world, "ping");
    pass(&mut world, Duration::from_millis(209));
    assert_eq!(seen(&world, B), []);
    pass(&mut world, Duration::from_millis(2));
    assert_eq!(seen(&world, B).len(), 1, "its first repetition, after 200 ms");
}

#[test]
fn what_a_connection_carries_gets_through_a_link_that_flaps_late_and_in_order() {
    let mut world = connected();
    let each = Duration::from_secs(5).as_nanos() as u64;
    world.impose(everybody(), everybody(), Effect::Flap { since: world.now(), each });
    for _ in 0..6 {
        tell(&mut world, "write");
        pass(&mut world, Duration::from_secs(4));
    }
    pass(&mut world, Duration::from_secs(30));
    assert_eq!(seen(&world, B).len(), 1 + 6);
    assert_eq!(seen(&world, A).len(), 1, "it is never given up");
}

#[test]
fn a_one_way_cut_is_one_way() {
    let mut world = two_hosts();
    world.impose(hosts([B]), hosts([A]), Effect::Cut);
    tell(&mut world, "ping");
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, B).len(), 1, "A is heard");
    world.crash(B);
    tell(&mut world, "ping");
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, A), [], "B's kernel refuses, and cannot be heard");
}

#[test]
fn a_paused_process_is_connected_to_and_finds_everything_when_it_goes_on() {
    let mut world = two_hosts();
    world.pause(B);
    world.command(A, Command::GoOnline);
    tell(&mut world, "ping");
    pass(&mut world, Duration::from_secs(50));
    assert_eq!(seen(&world, A), [Event::Opened { conn: CONN }], "its kernel accepted");
    assert_eq!(seen(&world, B), []);
    world.resume(B);
    assert_eq!(seen(&world, B).len(), 2);
}

#[test]
fn a_timer_runs_on_the_hosts_own_clock_and_not_after_it_is_cancelled() {
    let mut world = two_hosts();
    world.drift_clock(A, 250_000); // A quarter fast: ten of its seconds are eight.
    tell(&mut world, "timer");
    pass(&mut world, Duration::from_millis(7_999));
    assert_eq!(seen(&world, A), []);
    pass(&mut world, Duration::from_millis(2));
    assert_eq!(seen(&world, A), [Event::Fired(Timer::Probe)]);
    tell(&mut world, "timer");
    tell(&mut world, "cancel");
    pass(&mut world, Duration::from_secs(20));
    assert_eq!(seen(&world, A).len(), 1);
}

#[test]
fn a_timer_that_is_set_goes_at_the_pace_of_its_clock() {
    let mut world = two_hosts();
    tell(&mut world, "timer");
    pass(&mut world, Duration::from_secs(5));
    world.drift_clock(A, 250_000); // What is left, five of its seconds, are four.
    pass(&mut world, Duration::from_millis(3_999));
    assert_eq!(seen(&world, A), []);
    pass(&mut world, Duration::from_millis(2));
    assert_eq!(seen(&world, A), [Event::Fired(Timer::Probe)]);

    tell(&mut world, "timer");
    world.pause(A);
    pass(&mut world, Duration::from_secs(9));
    world.drift_clock(A, -500_000); // It has run out already, and nobody has looked.
    world.resume(A);
    pass(&mut world, Duration::from_millis(1));
    assert_eq!(seen(&world, A).len(), 2);
    pass(&mut world, Duration::from_secs(60));
    assert_eq!(seen(&world, A).len(), 2, "and it fires once");
}

#[test]
fn a_step_of_the_wall_clock_does_not_touch_timers() {
    let mut world = two_hosts();
    tell(&mut world, "timer");
    world.step_clock(A, 3_600_000_000_000);
    pass(&mut world, Duration::from_millis(10_001));
    assert_eq!(seen(&world, A), [Event::Fired(Timer::Probe)]);
    let times = &world.role(A).expect("it runs").times;
    let (told, fired) = (times[times.len() - 2], times[times.len() - 1]);
    assert_eq!(fired.mono.since(told.mono), Duration::from_secs(10));
    assert_eq!(fired.wall - told.wall, Duration::from_secs(3_610));
}

#[test]
fn a_crash_loses_what_was_not_synced() {
    let mut world = two_hosts();
    for what in ["append", "append", "sync", "append"] {
        tell(&mut world, what);
    }
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, A), [Event::Synced { records: 2 }]);
    tell(&mut world, "append");
    world.crash(A);
    world.start(A);
    let found = &world.role(A).expect("it runs").found;
    assert_eq!(found.records.len(), 2);
    assert!(!found.torn, "a kernel that lives writes whole pages");
}

#[test]
fn a_power_cut_may_tear_the_first_lost_record_and_no_other() {
    let torn = (0..40).filter(|millis| {
        let mut world = two_hosts();
        for what in ["append", "sync"] {
            tell(&mut world, what);
        }
        pass(&mut world, Duration::from_secs(1) + Duration::from_millis(*millis));
        tell(&mut world, "append");
        world.power_cut(A);
        world.start(A);
        let found = world.role(A).expect("it runs").found.clone();
        assert_eq!(found.records.len(), 1);
        // The boot that found it has cut it off.
        world.crash(A);
        world.start(A);
        assert!(!world.role(A).expect("it runs").found.torn);
        found.torn
    });
    assert!((5..35).contains(&torn.count()), "about half of the cuts tear");
}

#[test]
fn what_a_paused_process_has_not_learnt_its_crash_undoes() {
    let mut world = two_hosts();
    tell(&mut world, "append");
    tell(&mut world, "sync");
    world.pause(A);
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(world.records(A), []);
    world.crash(A);
    world.start(A);
    assert_eq!(world.role(A).expect("it runs").found.records, []);
}

#[test]
fn slowness_loss_duplication_and_reordering_do_what_they_say() {
    let sent = |effect: Effect, count: usize| {
        let mut world = two_hosts();
        world.impose(everybody(), everybody(), effect);
        for _ in 0..count {
            tell(&mut world, "ping");
            pass(&mut world, Duration::from_millis(1));
        }
        pass(&mut world, Duration::from_secs(60));
        let role = world.role(B).expect("it runs");
        let times: Vec<_> = role.times[1..].iter().map(|now| now.mono.0 / 1_000_000).collect();
        times
    };
    let second = Duration::from_secs(1);
    assert_eq!(sent(Effect::Slow(second), 1), [1_010]);
    let doubled = sent(Effect::Duplicate(500_000), 200).len();
    assert!((260..340).contains(&doubled), "{doubled} of 200, half of them twice");
    // Half of the transmissions are lost: what arrives is late by its repetitions, and of seven
    // transmissions in a row hardly ever all are lost.
    let lossy = sent(Effect::Loss(500_000), 200);
    assert!((190..=200).contains(&lossy.len()), "{} of 200", lossy.len());
    assert!(lossy.iter().max() > Some(&600), "some were repeated twice");
    assert_eq!(sent(Effect::Loss(1_000_000), 20), Vec::<u64>::new());
    let reordered = sent(Effect::Reorder(500_000, second), 50);
    assert_eq!(reordered.len(), 50);
    assert!(reordered.iter().max() > Some(&200), "some took longer");
}

#[test]
fn a_matrix_adds_the_distance_between_sites() {
    let latency = Latency::constant(Duration::from_millis(10));
    let profile = Profile { latency: latency.clone(), loss: 0, duplicate: 0 };
    let mut net = Net::new(Seed(1), 1, vec![profile]);
    net.set_matrix(Matrix { delays: vec![vec![0, 90_000_000], vec![90_000_000, 0]] });
    let machine = |site| Machine { zone: 0, site, fsync: latency.clone(), replica: None };
    let mut world = World::new(Seed(1), Recorders::default(), vec![machine(0), machine(1)], net);
    world.start(A);
    world.start(B);
    tell(&mut world, "ping");
    pass(&mut world, Duration::from_millis(99));
    assert_eq!(seen(&world, B), []);
    pass(&mut world, Duration::from_millis(2));
    assert_eq!(seen(&world, B).len(), 1);
}

#[test]
fn a_panic_in_a_role_ends_the_world_and_is_told() {
    let run = || {
        crate::panics::keep_quiet();
        let mut world = two_hosts();
        tell(&mut world, "panic");
        assert!(world.panicked());
        assert!(!world.step());
        world.facts.pop().expect("it was noted").fact
    };
    // On a thread of its own: that thread keeps its panics quiet from then on.
    let panicked = std::thread::scope(|scope| scope.spawn(run).join());
    match panicked.expect("the world caught it") {
        crate::history::Fact::Panicked { host, event, message } => {
            assert_eq!((host, event.trim()), (A, "commanded"));
            assert!(message.contains("asked to"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_process_that_is_stopped_starts_again_as_the_version_that_was_installed() {
    let mut world = connected();
    world.upgrade(B);
    assert_eq!(world.role(B).expect("it runs").version, 0, "installing restarts nothing");
    world.stop(B);
    assert!(world.role(B).is_none());
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, A).last(), Some(&closed(CloseCause::Reset)));
    world.start(B);
    assert_eq!(world.role(B).expect("it runs again").version, 1);
    assert_eq!(lives(&world, B), [Life::Started, Life::Stopped, Life::Started]);
}

#[test]
fn a_middlebox_ends_a_connection_for_both_or_for_one() {
    for cause in [CloseCause::Fin, CloseCause::Reset] {
        let mut world = connected();
        tell(&mut world, "write");
        world.sever(&hosts([A]), &hosts([B]), &everybody(), cause);
        pass(&mut world, Duration::from_secs(1));
        assert_eq!(seen(&world, A)[1..], [closed(cause)]);
        assert_eq!(seen(&world, B)[1..], [closed(cause)], "what was on its way is gone");
    }
    let mut world = connected();
    world.sever(&hosts([B]), &hosts([A]), &hosts([B]), CloseCause::Reset);
    pass(&mut world, Duration::from_secs(600));
    assert_eq!(seen(&world, B)[1..], [closed(CloseCause::Reset)]);
    assert_eq!(seen(&world, A).len(), 1, "A believes in it");
    tell(&mut world, "write");
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, A)[1..], [closed(CloseCause::Reset)], "until it sends");
}

#[test]
fn what_is_under_way_between_servers_is_gone_with_their_connections() {
    // There and back takes 20 ms, the commit in between 1.
    for (cut_at, done) in [(5, false), (10, true), (15, true)] {
        let mut world = two_hosts();
        tell(&mut world, "commit");
        pass(&mut world, Duration::from_millis(cut_at));
        world.sever(&hosts([A]), &hosts([B]), &everybody(), CloseCause::Reset);
        pass(&mut world, Duration::from_secs(60));
        assert_eq!(world.records(B).len(), usize::from(done), "cut at {cut_at}");
        let answered = seen(&world, A).len();
        assert_eq!(answered, usize::from(cut_at == 10), "nobody had answered yet at 10 ms");
        tell(&mut world, "ping");
        pass(&mut world, Duration::from_secs(1));
        let ping = Event::Received { from: A, wire: Wire::Ping { nonce: 1 } };
        assert!(seen(&world, B).contains(&ping), "the next one goes over a new connection");
    }
}

#[test]
fn a_mapping_that_was_idle_is_forgotten_and_nobody_is_told() {
    let mut world = connected();
    let minute = Duration::from_secs(60);
    let rule = world.impose(everybody(), everybody(), Effect::Forget(minute));
    pass(&mut world, minute / 2);
    tell(&mut world, "write");
    pass(&mut world, minute);
    assert_eq!(seen(&world, B).len(), 2, "half a minute is not too long");
    pass(&mut world, minute);
    tell(&mut world, "write");
    world.lift(rule);
    pass(&mut world, Duration::from_secs(900));
    assert_eq!(seen(&world, B).len(), 2);
    assert_eq!(seen(&world, A).len(), 1);
    pass(&mut world, Duration::from_secs(200));
    assert_eq!(seen(&world, A)[1..], [closed(CloseCause::TimedOut)], "its kernel gives up");
    assert_eq!(seen(&world, B).len(), 2, "the other one never learns of it");
}

#[test]
fn who_does_not_read_is_written_to_all_the_same() {
    let mut world = connected();
    world.stop_reading(B);
    tell(&mut world, "write");
    tell(&mut world, "write");
    tell(&mut world, "ping");
    pass(&mut world, Duration::from_secs(3_000));
    assert_eq!(seen(&world, A).len(), 1, "a closed window times nothing out");
    assert_eq!(seen(&world, B).len(), 2, "the opening and the message, which needs no connection");
    world.command(A, Command::GoOffline);
    pass(&mut world, Duration::from_secs(1));
    world.read_again(B);
    let arrived = || Event::Arrived { conn: CONN, frame: Frame::Heartbeat };
    assert_eq!(seen(&world, B)[2..], [arrived(), arrived(), closed(CloseCause::Fin)]);
}

#[test]
fn a_reset_discards_what_was_not_read() {
    let mut world = connected();
    world.stop_reading(B);
    tell(&mut world, "write");
    pass(&mut world, Duration::from_secs(1));
    world.crash(A);
    pass(&mut world, Duration::from_secs(1));
    world.read_again(B);
    assert_eq!(seen(&world, B)[1..], [closed(CloseCause::Reset)]);
}

#[test]
fn a_slow_process_takes_everything_late_and_in_order() {
    let mut world = two_hosts();
    world.slow_down(B, 1_000_000_000);
    for _ in 0..3 {
        tell(&mut world, "ping");
    }
    pass(&mut world, Duration::from_millis(1_005));
    assert_eq!(seen(&world, B).len(), 0);
    pass(&mut world, Duration::from_millis(10));
    assert_eq!(seen(&world, B).len(), 1);
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, B).len(), 2);
    world.slow_down(B, 0);
    assert_eq!(seen(&world, B).len(), 3, "it catches up");
    tell(&mut world, "ping");
    pass(&mut world, Duration::from_secs(5));
    assert_eq!(seen(&world, B).len(), 4);
}

#[test]
fn a_host_that_sleeps_loses_the_time_and_its_timers_with_it() {
    let mut world = two_hosts();
    tell(&mut world, "timer");
    pass(&mut world, Duration::from_secs(4));
    world.suspend(A);
    pass(&mut world, Duration::from_secs(100));
    assert_eq!(seen(&world, A), []);
    assert!(!world.command(A, Command::GoOnline), "it takes no orders");
    world.wake(A);
    pass(&mut world, Duration::from_millis(5_999));
    assert_eq!(seen(&world, A), []);
    pass(&mut world, Duration::from_millis(2));
    assert_eq!(seen(&world, A), [Event::Fired(Timer::Probe)]);
    let times = &world.role(A).expect("it runs").times;
    let (told, fired) = (times[times.len() - 2], times[times.len() - 1]);
    assert_eq!(fired.mono.since(told.mono), Duration::from_secs(10));
    assert_eq!(fired.wall - told.wall, Duration::from_secs(110), "the wall clock went on");
    // A timer that is due after the sleep is late by all of it, and one set later by nothing.
    tell(&mut world, "timer");
    pass(&mut world, Duration::from_secs(1));
    world.suspend(A);
    pass(&mut world, Duration::from_secs(2));
    world.wake(A);
    pass(&mut world, Duration::from_millis(8_999));
    assert_eq!(seen(&world, A).len(), 1);
    pass(&mut world, Duration::from_millis(2));
    assert_eq!(seen(&world, A).len(), 2);
}

#[test]
fn what_is_sent_to_a_host_that_sleeps_is_repeated_and_its_own_goes_out_when_it_wakes() {
    let mut world = connected();
    world.suspend(B);
    tell(&mut world, "write");
    tell(&mut world, "ping");
    pass(&mut world, Duration::from_secs(60));
    assert_eq!(seen(&world, B).len(), 1);
    world.wake(B);
    pass(&mut world, Duration::from_secs(120));
    let arrived = Event::Arrived { conn: CONN, frame: Frame::Heartbeat };
    assert_eq!(seen(&world, B).len(), 2);
    assert_eq!(seen(&world, B)[1], arrived, "the frame came late, the message never");
    // The other way round: what A's kernel could not send waits while A sleeps.
    let cut = world.impose(hosts([A]), hosts([B]), Effect::Cut);
    tell(&mut world, "write");
    world.suspend(A);
    pass(&mut world, Duration::from_secs(2_000));
    world.lift(cut);
    world.wake(A);
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, B)[2..], [arrived]);
}

#[test]
fn what_was_under_way_to_a_host_that_sleeps_keeps_its_place() {
    let mut world = connected();
    tell(&mut world, "write");
    world.impose(hosts([A]), hosts([B]), Effect::Slow(Duration::from_millis(100)));
    tell(&mut world, "write");
    world.suspend(B);
    pass(&mut world, Duration::from_millis(50));
    world.command(A, Command::GoOffline); // Behind the second, which has not arrived yet.
    pass(&mut world, Duration::from_millis(40));
    world.wake(B);
    pass(&mut world, Duration::from_secs(60));
    let arrived = || Event::Arrived { conn: CONN, frame: Frame::Heartbeat };
    assert_eq!(seen(&world, B)[1..], [arrived(), arrived(), closed(CloseCause::Fin)]);
}

#[test]
fn who_sleeps_does_not_hear_that_his_connection_is_over() {
    let mut world = connected();
    world.suspend(A);
    world.sever(&hosts([A]), &hosts([B]), &everybody(), CloseCause::Reset);
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, B)[1..], [closed(CloseCause::Reset)]);
    world.wake(A);
    pass(&mut world, Duration::from_secs(600));
    assert_eq!(seen(&world, A).len(), 1, "it believes in it");
    tell(&mut world, "write");
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, A)[1..], [closed(CloseCause::Reset)], "until it writes");
}

#[test]
fn what_a_sleeper_had_not_read_it_reads_when_it_wakes() {
    let mut world = connected();
    world.stop_reading(B);
    tell(&mut world, "write");
    pass(&mut world, Duration::from_secs(1));
    world.suspend(B);
    world.read_again(B);
    pass(&mut world, Duration::from_secs(60));
    assert_eq!(seen(&world, B).len(), 1);
    world.wake(B);
    pass(&mut world, Duration::from_millis(1));
    let arrived = Event::Arrived { conn: CONN, frame: Frame::Heartbeat };
    assert_eq!(seen(&world, B)[1..], [arrived], "its kernel had taken it in");
}

#[test]
fn a_host_without_its_disk_finds_nothing_and_is_known_to_be_another() {
    let mut world = two_hosts();
    tell(&mut world, "append");
    tell(&mut world, "sync");
    pass(&mut world, Duration::from_secs(1));
    world.wipe(A);
    world.start(A);
    let found = world.role(A).expect("it runs").found.clone();
    assert_eq!((found.records, found.timeline), (Vec::new(), 1));
}

#[test]
fn a_slow_disk_syncs_late_and_a_full_one_when_there_is_room() {
    let mut world = two_hosts();
    world.slow_disk(A, 1_000_000_000);
    tell(&mut world, "append");
    tell(&mut world, "sync");
    pass(&mut world, Duration::from_secs(1));
    assert_eq!(seen(&world, A), []);
    pass(&mut world, Duration::from_millis(2));
    assert_eq!(seen(&world, A), [Event::Synced { records: 1 }]);
    world.slow_disk(A, 0);
    world.fill_disk(A);
    tell(&mut world, "append");
    tell(&mut world, "sync");
    pass(&mut world, Duration::from_secs(100));
    assert_eq!(seen(&world, A).len(), 1);
    world.make_room(A);
    pass(&mut world, Duration::from_millis(1));
    assert_eq!(seen(&world, A)[1..], [Event::Synced { records: 2 }]);
}

#[test]
fn a_crash_may_leave_some_of_what_was_not_synced() {
    let left = |keeps: bool| -> Vec<usize> {
        let crash = |millis| {
            let mut world = two_hosts();
            if keeps {
                world.keep_tail(A);
            }
            (0..3).for_each(|_| tell(&mut world, "append"));
            pass(&mut world, Duration::from_millis(millis));
            world.crash(A);
            world.start(A);
            world.role(A).expect("it runs").found.records.len()
        };
        (0..80).map(crash).collect()
    };
    assert!(left(false).iter().all(|records| *records == 0));
    let left = left(true);
    for records in 0..=3 {
        assert!(left.contains(&records), "{records} of three survive now and then");
    }
}
