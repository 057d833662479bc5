//! A connection on which nobody says anything, and what the kernels make of it.

use super::*;

/// Linux' numbers, if a socket asks.
const USUAL: Keepalive = Keepalive { idle: 7_200_000_000_000, interval: 75_000_000_000, probes: 9 };

const HOUR: Duration = Duration::from_secs(3_600);

fn connected_with(keepalive: Keepalive) -> World<Recorders> {
    let mut world = two_hosts();
    world.keep_alive(keepalive);
    connects(world)
}

#[test]
fn nobody_notices_a_peer_that_is_gone_unless_somebody_asks() {
    let mut world = connected();
    world.power_cut(B);
    pass(&mut world, 48 * HOUR);
    assert_eq!(seen(&world, A).len(), 1, "it believes in the connection for ever");

    let mut world = connected_with(USUAL);
    world.power_cut(B);
    pass(&mut world, 2 * HOUR + Duration::from_secs(11 * 60));
    assert_eq!(seen(&world, A).len(), 1, "the ninth probe may be answered yet");
    pass(&mut world, Duration::from_secs(20));
    assert_eq!(seen(&world, A)[1..], [closed(CloseCause::TimedOut)]);
}

#[test]
fn the_silence_counts_from_what_arrived_last() {
    let mut world = connected_with(USUAL);
    pass(&mut world, 2 * HOUR - Duration::from_secs(60));
    tell(&mut world, "write");
    pass(&mut world, Duration::from_secs(30));
    world.power_cut(A);
    pass(&mut world, 2 * HOUR);
    assert_eq!(seen(&world, B).len(), 2, "nothing but the opening and a frame");
    pass(&mut world, HOUR / 4);
    assert_eq!(seen(&world, B)[2..], [closed(CloseCause::TimedOut)]);
}

#[test]
fn who_cannot_be_heard_hears_that_it_was_given_up() {
    let mut world = connected_with(USUAL);
    world.impose(hosts([A]), hosts([B]), Effect::Cut);
    pass(&mut world, 3 * HOUR);
    let ends = [A, B].map(|host| seen(&world, host).last().cloned());
    // B's end opened a moment before A's, so it gives up first; A would have a moment later.
    assert_eq!(ends, [Some(closed(CloseCause::Reset)), Some(closed(CloseCause::TimedOut))]);
}

#[test]
fn a_kernel_that_does_not_know_the_connection_says_so() {
    let mut world = connected_with(USUAL);
    world.power_cut(B);
    pass(&mut world, HOUR);
    world.start(B);
    pass(&mut world, HOUR / 2);
    assert_eq!(seen(&world, A).len(), 1);
    pass(&mut world, HOUR);
    assert_eq!(seen(&world, A)[1..], [closed(CloseCause::Reset)]);
}

#[test]
fn the_kernel_of_a_process_that_hangs_answers_for_it() {
    let mut world = connected_with(USUAL);
    world.pause(B);
    pass(&mut world, 24 * HOUR);
    assert_eq!(seen(&world, A).len(), 1);
}

#[test]
fn a_probe_that_is_answered_begins_the_count_anew() {
    let mut world = connected_with(USUAL);
    for _ in 0..3 {
        let cut = world.impose(hosts([B]), hosts([A]), Effect::Cut);
        pass(&mut world, 2 * HOUR + Duration::from_secs(500));
        world.lift(cut);
        pass(&mut world, Duration::from_secs(100));
    }
    assert_eq!(seen(&world, A).len(), 1);
    world.impose(hosts([B]), hosts([A]), Effect::Cut);
    pass(&mut world, 3 * HOUR);
    assert_eq!(seen(&world, A)[1..], [closed(CloseCause::TimedOut)], "its answers cannot be heard");
}

#[test]
fn a_mapping_lives_on_probes_that_come_sooner_than_it_forgets() {
    let minute = Duration::from_secs(60);
    for (idle, lives) in [(minute / 2, true), (2 * minute, false)] {
        let mut world = connected_with(Keepalive { idle: idle.as_nanos() as u64, ..USUAL });
        world.impose(everybody(), everybody(), Effect::Forget(minute));
        pass(&mut world, HOUR);
        let end = closed(CloseCause::TimedOut);
        assert_eq!(seen(&world, A).last() != Some(&end), lives, "{:?}", seen(&world, A));
        assert_eq!(seen(&world, B).last() != Some(&end), lives);
    }
}
