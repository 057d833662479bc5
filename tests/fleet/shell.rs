//! The madsim shell: whatever a dependency might reach for by accident inside a run (the order of
//! a hash map, the time, entropy) is the same for the same seed.

use crate::support::small_swarm;
use courier::disk::Disk;
use courier::id::{DeviceId, HostId, MessageId, UserId};
use courier::node::{Event, Outbox, Role};
use courier::note::Note;
use courier::time::Now;
use courier_sim::run::{Runner, execute};
use courier_sim::seed::Seed;
use courier_sim::world::Crew;
use std::sync::Arc;

/// A role that does everything a role may not, and states what it found.
#[derive(Clone)]
struct Careless;

impl Role for Careless {
    #[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "that is the point")]
    fn step(&mut self, _now: Now, event: Event, out: &mut Outbox) {
        if event != Event::Booted {
            return;
        }
        let map: std::collections::HashMap<u32, ()> = (0..64).map(|key| (key, ())).collect();
        let order = map.keys().fold(0_u64, |sum, key| sum.wrapping_mul(31) + u64::from(*key));
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let began = std::time::Instant::now();
        let mut entropy = [0_u8; 8];
        getrandom::fill(&mut entropy).unwrap();
        for found in [
            order,
            since_1970.unwrap().as_nanos() as u64,
            began.elapsed().as_nanos() as u64,
            u64::from_le_bytes(entropy),
        ] {
            let device = DeviceId { user: UserId((found >> 32) as u32), slot: 0 };
            out.note(Note::Resent { id: MessageId { device, counter: found as u32 } });
        }
    }
}

#[derive(Clone)]
struct CarelessCrew;

impl Crew for CarelessCrew {
    type Role = Careless;

    fn boot(&self, _host: HostId, _disk: &Disk, _boots: u32) -> Careless {
        Careless
    }
}

fn found(seed: u64) -> Vec<Note> {
    let mut plan = (*small_swarm(1)).clone();
    plan.seed = seed;
    plan.op.clear();
    plan.fault.clear();
    let cast = Arc::new(plan.cast());
    let runner = Runner::with_crew(Arc::new(plan), cast, CarelessCrew).unwrap();
    execute(runner).history.notes().map(|(_, _, note)| *note).collect()
}

#[test]
fn accidents_are_the_same_for_the_same_seed_and_differ_between_seeds() {
    let first = found(11);
    assert!(first.len() > 100, "every host has stated what it found");
    assert_eq!(first, found(11));
    let beside = std::thread::scope(|scope| {
        let other = scope.spawn(|| found(12));
        let again = found(11);
        (again, other.join().unwrap())
    });
    assert_eq!(first, beside.0);
    assert_ne!(first, beside.1);
}

#[test]
fn the_shells_clock_follows_the_worlds() {
    // A host that starts later in the world reads a later time.
    let times = |notes: &[Note]| -> Vec<u64> {
        let wall = notes.iter().skip(1).step_by(4);
        wall.map(|note| match note {
            Note::Resent { id } => u64::from(id.device.user.0) << 32 | u64::from(id.counter),
            other => panic!("{other:?}"),
        })
        .collect()
    };
    let times = times(&found(Seed(13).0));
    let (first, last) = (times[0], times[times.len() - 1]);
    assert!(times.is_sorted());
    assert!(last - first > 1_000_000_000, "clients start seconds after the servers");
}
