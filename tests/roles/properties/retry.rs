//! Waits, budgets and breakers under any history of failures.

use crate::properties::config;
use courier::delivery::Budget;
use courier::design::Retry;
use courier::limits::{RETRY_EARNED_BY, RETRY_TOKENS_MAX, RETRY_TOKENS_PER_S};
use courier::time::Instant;
use proptest::prelude::*;
use std::time::Duration;

const EACH: [Retry; 5] = [
    Retry::BackoffFullJitter,
    Retry::Immediate,
    Retry::Fixed,
    Retry::BackoffNoJitter,
    Retry::BreakerNeverCloses,
];

#[derive(Clone, Copy, Debug)]
enum Op {
    Pass {
        millis: u64,
    },
    /// Claims a share of what is allowed, in percent.
    Claim {
        percent: u32,
    },
    /// Some of the attempts under way deliver, the others turn out to be in vain.
    End {
        percent: u32,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0..3_000u64).prop_map(|millis| Op::Pass { millis }),
        3 => (0..=100u32).prop_map(|percent| Op::Claim { percent }),
        2 => (0..=100u32).prop_map(|percent| Op::End { percent }),
    ]
}

proptest! {
    #![proptest_config(config())]

    /// Whatever happens, fruitless attempts stay within: what was saved, what time adds, and a
    /// tenth of those that delivered.
    #[test]
    fn a_budget_bounds_what_is_in_vain(ops in prop::collection::vec(op(), 0..200)) {
        let (mut budget, mut now) = (Budget::full(), Instant(0));
        let (mut begun, mut under_way, mut delivered) = (0u64, 0u32, 0u64);
        for op in ops {
            match op {
                Op::Pass { millis } => now = now + Duration::from_millis(millis),
                Op::Claim { percent } => {
                    let some = budget.allows(now) * percent / 100;
                    budget.spend(some);
                    begun += u64::from(some);
                    under_way += some;
                }
                Op::End { percent } => {
                    let some = under_way * percent / 100;
                    budget.earn(some);
                    delivered += u64::from(some);
                    under_way = 0;
                }
            }
            let in_vain = begun - delivered;
            let floor = now.0 * u64::from(RETRY_TOKENS_PER_S) / 1_000_000_000;
            let share = delivered / u64::from(RETRY_EARNED_BY);
            prop_assert!(in_vain <= u64::from(RETRY_TOKENS_MAX) + floor + share + 1);
        }
    }

    /// However empty, it allows the floor's worth after each second.
    #[test]
    fn a_budget_never_starves(spent in 0..10_000u32, seconds in 1..100u64, at in 0..1_000u64) {
        let mut budget = Budget::full();
        let now = Instant(0) + Duration::from_secs(at);
        budget.allows(now);
        budget.spend(spent);
        let later = budget.allows(now + Duration::from_secs(seconds));
        let floor = (seconds * u64::from(RETRY_TOKENS_PER_S)).min(u64::from(RETRY_TOKENS_MAX));
        prop_assert!(u64::from(later) >= floor);
        prop_assert!(later <= RETRY_TOKENS_MAX);
    }

    /// A backlog whose devices are there is not slowed down.
    #[test]
    fn a_budget_that_delivers_all_is_full(claims in prop::collection::vec(1..64u32, 1..200)) {
        let mut budget = Budget::full();
        for claim in claims {
            let some = claim.min(budget.allows(Instant(0)));
            prop_assert_eq!(some, claim);
            budget.spend(some);
            budget.earn(some);
        }
        prop_assert_eq!(budget.allows(Instant(0)), RETRY_TOKENS_MAX);
    }

    #[test]
    fn a_wait_keeps_to_its_cap_and_is_the_same_again(
        base in 1..10_000u64, cap in 1..100_000u64, attempt in 0..u32::MAX, entropy: u64
    ) {
        let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
        for retry in EACH {
            let wait = retry.wait(base, cap, attempt, entropy);
            prop_assert!(wait <= cap, "{:?} waits {:?}", retry, wait);
            prop_assert_eq!(wait, retry.wait(base, cap, attempt, entropy));
        }
    }

    /// A breaker is a pause: never none at all, never longer than its cap.
    #[test]
    fn a_breaker_cools_off_for_at_least_half_and_at_most_its_limit(
        trip in 0..u32::MAX, entropy: u64
    ) {
        let (base, cap) = (Duration::from_secs(4), Duration::from_secs(30));
        let least = base.min(cap) / 2;
        let span = Retry::default().cool_off(base, cap, trip, entropy).expect("it half-opens");
        prop_assert!(least <= span && span <= cap, "{:?}", span);
        prop_assert_eq!(Retry::BreakerNeverCloses.cool_off(base, cap, trip, entropy), None);
    }
}
