//! A store and whoever asks it, when the store has a replica.

use super::*;

const NOTHING: [u64; 0] = [];

/// What B has told A, in its order.
fn answers(world: &World<Recorders>) -> Vec<u64> {
    let answer = |event| match event {
        Event::Received { wire: Wire::Ping { nonce }, .. } => Some(nonce),
        _ => None,
    };
    seen(world, A).into_iter().filter_map(answer).collect()
}

fn synchronous() -> Replica {
    let constant = |millis| Latency::constant(Duration::from_millis(millis));
    Replica::Synchronous { way: constant(5), fsync: constant(2) }
}

fn second(world: &mut World<Recorders>) {
    pass(world, Duration::from_secs(1));
}

#[test]
fn a_failover_loses_what_the_replica_had_not_and_a_synchronous_one_nothing() {
    for (replica, found) in [(Replica::Asynchronous, 1), (synchronous(), 2)] {
        let mut world = replicated(replica);
        tell(&mut world, "commit");
        second(&mut world);
        tell(&mut world, "commit");
        second(&mut world);
        assert_eq!(answers(&world), [COMMITTED, COMMITTED]);
        world.fail_over(B, Duration::from_millis(1_500).as_nanos() as u64);
        world.start(B);
        let disk = &world.role(B).expect("it runs").found;
        assert_eq!((disk.records.len(), disk.timeline), (found, 1));
        assert_eq!(lives(&world, B)[1..], [Life::Crashed, Life::Promoted, Life::Started]);
    }
}

#[test]
fn a_synchronous_replica_costs_a_round_trip_and_its_own_fsync() {
    // There and back in 20 ms, an fsync in 1; the replica is 5 ms away and its fsync takes 2.
    for (replica, millis) in [(Replica::Asynchronous, 21), (synchronous(), 33)] {
        let mut world = replicated(replica);
        tell(&mut world, "commit");
        pass(&mut world, Duration::from_millis(millis - 1));
        assert_eq!(answers(&world), NOTHING);
        pass(&mut world, Duration::from_millis(1));
        assert_eq!(answers(&world), [COMMITTED]);
    }
}

#[test]
fn a_superseded_primary_goes_on_for_those_who_reach_it_and_is_thrown_away() {
    let mut world = two_hosts();
    tell(&mut world, "commit");
    second(&mut world);
    world.split(B, 0, hosts([A]));
    tell(&mut world, "commit");
    tell(&mut world, "read");
    second(&mut world);
    // The old process remembers the first commit; the new one has heard of nothing.
    assert_eq!(answers(&world), [COMMITTED, 3 + 1, COMMITTED]);
    assert_eq!(seen(&world, B), []);
    assert_eq!(world.records(B).len(), 1, "the second is on the old one's disk only");
    world.unite(B);
    tell(&mut world, "read");
    second(&mut world);
    assert_eq!(answers(&world).last(), Some(&1), "the new one had seen its own boot");
    assert_eq!(world.records(B).len(), 1);
}

#[test]
fn everybody_else_reaches_the_promoted_replica() {
    let mut world = two_hosts();
    tell(&mut world, "commit");
    second(&mut world);
    world.split(B, Duration::from_secs(2).as_nanos() as u64, hosts([]));
    tell(&mut world, "commit");
    second(&mut world);
    assert_eq!(answers(&world), [COMMITTED, COMMITTED]);
    let disk = &world.role(B).expect("it runs").found;
    assert_eq!((disk.records.len(), disk.timeline), (0, 1), "it had lagged by two seconds");
    assert_eq!(world.records(B).len(), 1);
}

#[test]
fn a_superseded_primary_that_waits_for_its_replica_commits_nothing() {
    let mut world = replicated(synchronous());
    tell(&mut world, "commit");
    // Its fsync is under way when its replica is promoted.
    pass(&mut world, Duration::from_millis(11));
    world.split(B, 0, hosts([A]));
    tell(&mut world, "commit");
    pass(&mut world, Duration::from_secs(60));
    assert_eq!(answers(&world), NOTHING);
}

#[test]
fn a_primary_that_waits_for_a_replica_that_is_cut_off_commits_when_it_is_back() {
    let mut world = replicated(synchronous());
    world.lose_replica(B);
    tell(&mut world, "commit");
    pass(&mut world, Duration::from_secs(60));
    assert_eq!(answers(&world), NOTHING);
    world.fill_disk(B);
    world.find_replica(B);
    second(&mut world);
    assert_eq!(answers(&world), NOTHING, "there is no room either");
    world.make_room(B);
    second(&mut world);
    assert_eq!(answers(&world), [COMMITTED]);
}

#[test]
fn a_replica_that_is_cut_off_lacks_all_since_and_answers_as_of_then() {
    let mut world = two_hosts();
    tell(&mut world, "commit");
    second(&mut world);
    world.read_from_replica(B, 0);
    world.lose_replica(B);
    tell(&mut world, "commit");
    pass(&mut world, Duration::from_secs(60));
    assert_eq!(answers(&world), [COMMITTED, COMMITTED], "nobody waits for it");
    tell(&mut world, "read");
    second(&mut world);
    assert_eq!(answers(&world).last(), Some(&3), "a boot, a commit, and its sync");
    world.fail_over(B, 0);
    world.start(B);
    assert_eq!(world.role(B).expect("it runs").found.records.len(), 1);
}

#[test]
fn what_a_superseded_primary_waits_for_nobody_else_is_told() {
    let mut world = replicated(synchronous());
    world.lose_replica(B);
    (0..3).for_each(|_| tell(&mut world, "commit"));
    second(&mut world);
    world.split(B, 0, hosts([]));
    tell(&mut world, "append");
    world.find_replica(B);
    second(&mut world);
    assert_eq!(seen(&world, B), []);
    tell(&mut world, "commit");
    second(&mut world);
    assert_eq!(answers(&world), [COMMITTED]);
    assert_eq!(world.records(B).len(), 1);
}

#[test]
fn what_waits_for_a_replica_is_on_its_own_disk_and_a_failover_loses_it() {
    for (full, fails_over, found) in
        [(false, false, 1), (true, false, 0), (false, true, 0), (true, true, 0)]
    {
        let mut world = replicated(synchronous());
        world.lose_replica(B);
        if full {
            world.fill_disk(B);
        }
        tell(&mut world, "commit");
        second(&mut world);
        if fails_over {
            world.fail_over(B, 0);
        } else {
            world.crash(B);
        }
        world.start(B);
        let records = world.role(B).expect("it runs").found.records.len();
        assert_eq!(records, found, "full {full}, fails over {fails_over}");
        assert_eq!(answers(&world), NOTHING);
    }
}

#[test]
fn what_is_promoted_twice_in_a_cut_loses_what_came_in_between_and_no_more() {
    let mut world = two_hosts();
    tell(&mut world, "commit");
    second(&mut world);
    world.lose_replica(B);
    second(&mut world);
    for lost in 1..=2 {
        tell(&mut world, "commit");
        second(&mut world);
        world.fail_over(B, 0);
        world.start(B);
        assert_eq!(world.role(B).expect("it runs").found.records.len(), 1, "failover {lost}");
    }
    tell(&mut world, "commit");
    second(&mut world);
    world.find_replica(B);
    world.fail_over(B, 0);
    world.start(B);
    assert_eq!(world.role(B).expect("it runs").found.records.len(), 2);
}

#[test]
fn a_replica_that_was_cut_off_before_it_answers_knows_nothing_since() {
    let mut world = two_hosts();
    world.lose_replica(B);
    tell(&mut world, "ping");
    second(&mut world);
    world.read_from_replica(B, 0);
    tell(&mut world, "read");
    second(&mut world);
    assert_eq!(answers(&world), [1], "its boot");
    world.find_replica(B);
    tell(&mut world, "read");
    second(&mut world);
    assert_eq!(answers(&world), [1, 2]);
    world.read_from_primary(B);
    tell(&mut world, "read");
    second(&mut world);
    assert_eq!(answers(&world), [1, 2, 2]);
}

#[test]
fn a_replica_answers_what_only_reads_as_of_a_while_ago() {
    let mut world = two_hosts();
    world.read_from_replica(B, Duration::from_secs(5).as_nanos() as u64);
    for _ in 0..3 {
        tell(&mut world, "ping");
    }
    second(&mut world);
    tell(&mut world, "read");
    second(&mut world);
    assert_eq!(answers(&world), [1], "only the boot had happened five seconds ago");
    assert_eq!(seen(&world, B).len(), 3, "the primary was not asked");
    pass(&mut world, Duration::from_secs(5));
    tell(&mut world, "read");
    second(&mut world);
    assert_eq!(answers(&world), [1, 4]);
    world.read_from_primary(B);
    tell(&mut world, "ping");
    tell(&mut world, "read");
    second(&mut world);
    assert_eq!(answers(&world), [1, 4, 5]);
}

#[test]
fn a_swallowed_message_is_gone_in_one_direction() {
    let mut world = two_hosts();
    let rule = world.impose(hosts([B]), everybody(), Effect::Swallow(1_000_000));
    tell(&mut world, "commit");
    pass(&mut world, Duration::from_secs(60));
    assert_eq!(world.records(B).len(), 1, "it was done");
    assert_eq!(answers(&world), NOTHING, "and nobody was told");
    world.lift(rule);
    tell(&mut world, "commit");
    second(&mut world);
    assert_eq!(answers(&world), [COMMITTED]);
}
