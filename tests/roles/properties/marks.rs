//! Marks under any order of acknowledgements and reads, with losses, repeats and crashes.

use crate::cast::*;
use crate::properties::config;
use crate::script::Script;
use courier::database::{Config, Database};
use courier::design::Design;
use courier::disk::Disk;
use courier::id::{Stamp, UserId};
use courier::limits::TELL_EVERY;
use courier::node::Action;
use courier::wire::{Mark, Wire};
use proptest::prelude::*;

/// Messages that user 1 has written to user 2.
const MESSAGES: u64 = 12;

#[derive(Clone, Debug)]
enum Op {
    /// User 2's device acknowledges, or its person reads, up to this place.
    Acknowledge(u64),
    Read(u64),
    /// User 1's device says how far it is; of what it was told since, this share arrived.
    Ask {
        heard: prop::sample::Index,
    },
    Beat,
    Pass,
    Sync,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..=MESSAGES).prop_map(Op::Acknowledge),
        3 => (1..=MESSAGES).prop_map(Op::Read),
        3 => any::<prop::sample::Index>().prop_map(|heard| Op::Ask { heard }),
        1 => Just(Op::Beat),
        3 => Just(Op::Pass),
        4 => Just(Op::Sync),
        1 => Just(Op::Crash),
    ]
}

fn boot(disk: &Disk) -> Database {
    Database::boot(
        Config { directory: fleet(), timing: std::sync::Arc::default(), design: Design::default() },
        disk,
    )
}

fn holding() -> Script<Database> {
    let mut t = Script::new(DATABASE, boot(&Disk::default())).untold();
    t.boots().synced();
    for counter in 1..=MESSAGES as u32 {
        t.receives(app(1), Wire::Append { message: message(1, counter, pair(1, 2)), number: None })
            .synced();
    }
    t
}

fn acknowledge(seq: u64) -> Wire {
    Wire::Advance { device: u(2), conversation: pair(1, 2), upto: stamp(seq) }
}

fn read(seq: u64) -> Wire {
    Wire::Read { session: session(2, 1, 2), conversation: pair(1, 2), upto: stamp(seq) }
}

fn ask(version: u64) -> Wire {
    Wire::MarksAfter { session: session(1, 1, 1), version }
}

/// What user 1's device was told since the last look.
fn answers(t: &mut Script<Database>) -> Vec<(u64, Vec<Mark>)> {
    let answers = t.done.drain(..).filter_map(|action| match action {
        Action::Send { wire: Wire::Marks { upto, marks, .. }, .. } => Some((upto, marks)),
        _ => None,
    });
    answers.collect()
}

/// What user 1's device knows: up to which move, and how far user 2 is.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    version: u64,
    delivered: Option<Stamp>,
    read: Option<Stamp>,
}

impl Known {
    fn hear(&mut self, (upto, marks): (u64, Vec<Mark>)) {
        self.version = self.version.max(upto);
        for mark in marks.into_iter().filter(|mark| mark.user == UserId(2)) {
            self.delivered = self.delivered.max(mark.delivered);
            self.read = self.read.max(mark.read);
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn marks_never_say_more_than_was_said_and_all_of_it_in_the_end(
        ops in prop::collection::vec(op(), 1..60)
    ) {
        let mut t = holding();
        let mut known = Known::default();
        let (mut most, mut most_read) = (0, 0);
        for op in ops {
            match op {
                Op::Acknowledge(seq) => {
                    most = most.max(seq);
                    t.receives(server(2), acknowledge(seq));
                }
                Op::Read(seq) => {
                    // Nobody reads what the device does not hold.
                    most = most.max(seq);
                    most_read = most_read.max(seq);
                    t.receives(server(2), read(seq));
                }
                Op::Ask { heard } => {
                    let told = answers(&mut t);
                    let heard = heard.index(told.len() + 1);
                    told.into_iter().take(heard).for_each(|answer| known.hear(answer));
                    t.receives(server(1), ask(known.version));
                }
                Op::Beat => {
                    let sessions = vec![(session(1, 1, 1), Some(1))];
                    t.receives(server(1), Wire::Heads { sessions });
                }
                Op::Pass => {
                    t.pass(TELL_EVERY);
                }
                Op::Sync => {
                    t.synced();
                }
                Op::Crash => {
                    t.reboot(boot);
                }
            }
            prop_assert!(known.read <= known.delivered, "{known:?}");
            prop_assert!(known.delivered <= Some(stamp(most)), "{known:?}");
            prop_assert!(known.read <= Some(stamp(most_read)), "{known:?}");
        }
        // The devices say again what they have not been answered, and a heartbeat goes through.
        for again in [acknowledge(most.max(1)), read(most_read.max(1))] {
            t.receives(server(2), again).synced();
        }
        t.receives(server(1), Wire::Heads { sessions: vec![(session(1, 1, 1), Some(1))] });
        for _ in 0..3 {
            t.receives(server(1), ask(known.version)).pass(TELL_EVERY);
            answers(&mut t).into_iter().for_each(|answer| known.hear(answer));
        }
        prop_assert!(known.read >= Some(stamp(most_read.max(1))), "{known:?}");
        prop_assert!(known.delivered >= known.read, "{known:?}");
    }
}
