//! Numbers that routers make: under any clock, in any order.

use super::config;
use courier::id::{DeviceId, UserId};
use courier::sequence::{Block, Snowflake, lamport, lamport_seen};
use courier::time::Wall;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// 2026-01-01, in the wall clock's milliseconds.
const NEW_YEAR: i64 = 1_767_225_600_000;

/// A wall clock that is read again and again: it goes on, stands still, and is set back.
fn clock() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(prop_oneof![4 => 0..3_i64, 1 => -2_000..2_000_i64], 1..400)
}

fn read(steps: &[i64]) -> impl Iterator<Item = Wall> {
    steps.iter().scan(NEW_YEAR, |now, step| {
        *now += step;
        Some(Wall(*now))
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_guarded_snowflake_never_goes_back(steps in clock()) {
        let mut maker = Snowflake::new(5, true);
        let mut last = 0;
        for wall in read(&steps) {
            match maker.next(wall) {
                Ok(id) => {
                    prop_assert!(id > last, "{id} after {last}");
                    last = id;
                }
                Err(wait) => {
                    let later = maker.next(wall + wait);
                    prop_assert!(later.is_ok(), "it said that {wait:?} would do");
                    last = later.expect("just seen");
                }
            }
        }
    }

    #[test]
    fn two_machines_never_make_the_same_id(steps in clock(), others in clock()) {
        let made = |machine, steps: &[i64]| -> BTreeSet<u64> {
            let mut maker = Snowflake::new(machine, true);
            read(steps).filter_map(|wall| maker.next(wall).ok()).collect()
        };
        prop_assert!(made(1, &steps).is_disjoint(&made(2, &others)));
    }

    /// What the guard is for: without it, a clock that is set back makes an id a second time.
    #[test]
    fn an_unguarded_snowflake_repeats_itself_when_its_clock_is_set_back(back in 1..1_000_i64) {
        let mut maker = Snowflake::new(5, false);
        let made: Vec<u64> = (0..=back)
            .chain(0..=back)
            .filter_map(|ms| maker.next(Wall(NEW_YEAR + ms)).ok())
            .collect();
        let distinct: BTreeSet<u64> = made.iter().copied().collect();
        prop_assert!(distinct.len() < made.len());
    }

    #[test]
    fn blocks_that_do_not_overlap_never_give_the_same_number(
        counts in prop::collection::vec(1..50_u32, 1..9)
    ) {
        let (mut first, mut given) = (1, BTreeSet::new());
        for count in &counts {
            let mut block = Block::new(first, *count);
            while let Some(number) = block.take() {
                prop_assert!(given.insert(number));
            }
            prop_assert_eq!(block.take(), None);
            first += u64::from(*count);
        }
        let all: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        prop_assert_eq!(given.len() as u64, all);
    }

    /// Whoever has seen a message writes after it; two who have not seen each other's are told
    /// apart by who they are.
    #[test]
    fn lamports_order_agrees_with_what_was_seen(
        seen in prop::collection::vec((0..4_u32, any::<bool>()), 1..60)
    ) {
        let mut clocks = [0_u64; 4];
        let mut numbers = BTreeSet::new();
        let mut latest = 0;
        for (user, reads) in seen {
            let clock = &mut clocks[user as usize];
            if reads {
                *clock = lamport_seen(*clock, latest);
            }
            *clock += 1;
            let number = lamport(*clock, DeviceId { user: UserId(user), slot: 0 });
            prop_assert!(!reads || number > latest, "{number} was written after {latest} was seen");
            prop_assert!(numbers.insert(number), "{number} twice");
            latest = number;
        }
    }
}
