//! What spreads load: the token bucket, the slots of those turned away, the ring, the backlog.

use super::config;
use crate::cast::*;
use courier::balancer::ring::Ring;
use courier::gateway::admission::{Backlog, Bucket, Door};
use courier::id::{DeviceId, HostId};
use courier::limits::{ADMISSION_BURST, BUSY_WAIT_MAX};
use courier::note::Class;
use courier::time::Instant;
use courier::wire::Wire;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// Moments in order, with pauses of up to so many milliseconds between them.
fn moments(most: u64) -> impl Strategy<Value = Vec<Instant>> {
    vec(0..=most, 1..200).prop_map(|pauses| {
        let mut at = 0;
        let mut pass = |pause: u64| {
            at += pause * 1_000_000;
            Instant(at)
        };
        pauses.into_iter().map(&mut pass).collect()
    })
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The gateway that each of so many devices is sent to.
fn homes(gateways: &[HostId]) -> BTreeMap<DeviceId, HostId> {
    let ring = Ring::new(gateways);
    (0..2_000).map(|user| (u(user), ring.from(u(user)).next().expect("a gateway"))).collect()
}

proptest! {
    #![proptest_config(config())]

    /// In no stretch of time does it give more than its burst and what it fills by meanwhile.
    #[test]
    fn a_bucket_never_gives_more_than_its_rate(
        period in 1..100_u64, burst in 1..1_000_u64, moments in moments(50),
    ) {
        let (period, burst) = (millis(period), millis(burst));
        let mut bucket = Bucket::new(period, burst);
        let taken: Vec<Instant> = moments.into_iter().filter(|now| bucket.take(*now)).collect();
        let full = burst.max(period);
        for (first, from) in taken.iter().enumerate() {
            for (number, to) in (1..).zip(&taken[first..]) {
                let most = (full + to.since(*from)).as_nanos() / period.as_nanos();
                prop_assert!(number <= most, "{number} in {:?}", to.since(*from));
            }
        }
    }

    /// Whoever waits as long as it says gets a token.
    #[test]
    fn a_bucket_says_how_long_it_takes(period in 1..100_u64, moments in moments(50)) {
        let mut bucket = Bucket::new(millis(period), ADMISSION_BURST);
        for now in moments {
            let wait = bucket.wait(now);
            prop_assert_eq!(bucket.clone().take(now), wait.is_zero());
            prop_assert!(bucket.clone().take(now + wait));
            bucket.take(now);
        }
    }

    /// Everybody who comes at once and again in their slot is in after as long as the rate needs.
    #[test]
    fn a_storm_of_devices_that_keep_their_slots_is_over_in_time(
        period in 1..50_u64, devices in 1..1_000_u32,
    ) {
        let period = millis(period);
        let mut door = Door::new(period);
        let mut knocks: BTreeMap<Instant, u32> = BTreeMap::from([(Instant(0), devices)]);
        let (mut last, mut turned_away) = (Instant(0), 0);
        while let Some((now, count)) = knocks.pop_first() {
            for _ in 0..count {
                match door.knock(now) {
                    Ok(()) => last = now,
                    Err(wait) => {
                        prop_assert!(wait > Duration::ZERO && wait <= BUSY_WAIT_MAX);
                        turned_away += 1;
                        *knocks.entry(now + wait).or_default() += 1;
                    }
                }
            }
        }
        prop_assert!(last <= Instant(0) + period * devices, "{last} for {devices}");
        // Within the longest wait everybody needs one slot.
        prop_assert!(turned_away <= devices, "{turned_away} for {devices}");
    }

    /// A gateway that goes moves its own devices and nobody else's, and about one in n of all.
    #[test]
    fn the_ring_moves_only_what_the_gateway_held(count in 2..30_usize, gone in any::<usize>()) {
        let all: Vec<HostId> = (1..=count as u32).map(server).collect();
        let gone = all[gone % count];
        let rest: Vec<HostId> = all.iter().copied().filter(|host| *host != gone).collect();
        let (before, after) = (homes(&all), homes(&rest));
        let moved = before.iter().filter(|(device, home)| after[*device] != **home);
        let moved: Vec<_> = moved.collect();
        prop_assert!(moved.iter().all(|(_, home)| **home == gone));
        prop_assert!(moved.len() <= 2 * before.len() / count, "{} of {count}", moved.len());
    }

    /// Catch-ups go before full syncs, each in order; a device that cannot take one is passed over.
    #[test]
    fn the_backlog_serves_by_class_and_then_in_order(
        requests in vec((any::<bool>(), 0..4_u32), 1..60), slow in 0..4_u32, gone in 0..4_u32,
    ) {
        let mut backlog = Backlog::new(millis(1));
        let mut wanted: [Vec<u64>; 2] = Default::default();
        for (number, (full, user)) in (0..).zip(&requests) {
            let class = if *full { Class::FullSync } else { Class::CatchUp };
            let session = session(*user, 1, 1);
            let next = vec![(pair(1, 2), stamp(number))];
            let question = Wire::CatchUp { session, epoch: 1, next, all: false };
            prop_assert!(backlog.push(class, (session, question)));
            if *user != slow && *user != gone {
                wanted[usize::from(*full)].push(number);
            }
        }
        let ready = |session: courier::id::Session| {
            let user = session.device.user.0;
            (user != gone).then_some(user != slow)
        };
        let (mut now, mut served) = (Instant(0), Vec::new());
        for _ in 0..2 * requests.len() {
            while let Some((_, question)) = backlog.pop(now, ready) {
                let Wire::CatchUp { next, .. } = question else { unreachable!() };
                served.push(next[0].1.seq);
            }
            now = now + millis(1);
        }
        prop_assert_eq!(served, wanted.concat());
        let waiting = requests.iter().filter(|(_, user)| *user == slow && slow != gone).count();
        prop_assert_eq!(backlog.len(), waiting);
    }
}
