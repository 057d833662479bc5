//! The catalogue of designs: what each alternative of each choice means, who documents it, whether
//! it is sound, and which invariants it is known to break.
//!
//! What it says is held to: `courier matrix` runs every alternative against every scenario and
//! ends with 1 if a sound one breaks anything, or another breaks nothing of what stands here.

use crate::document::nearest;
use courier::design::Design;
use schemars::JsonSchema;
use serde::Serialize;

/// The names of the guarantee's invariants, I1 to I17, and of what background jobs promise.
pub const GUARANTEE: &[&str] = &[
    "no-loss",
    "no-duplicate",
    "in-order",
    "sequence",
    "gap",
    "fresh-registry",
    "one-owner",
    "stale-bound",
    "presence",
    "persist-ack",
    "claim",
    "liveness",
    "retry-budget",
    "expiry",
    "receipts",
    "dedupe",
    "phantom",
    "one-run",
];

/// One choice, and the alternatives that the literature offers for it.
#[derive(Debug)]
pub struct Choice {
    /// As scenarios write it: `dead-peer`.
    pub name: &'static str,
    /// What is chosen, as a question.
    pub question: &'static str,
    /// The first is the default.
    pub alternatives: &'static [Alternative],
}

/// One alternative of a choice.
#[derive(Debug)]
pub struct Alternative {
    pub name: &'static str,
    /// Whether the guarantee holds with it.
    pub sound: bool,
    /// The invariants that it is known to break; each of them in some scenario, not all in each.
    pub breaks: &'static [&'static str],
    /// Where it is documented: a write-up, a manual, an incident.
    pub source: &'static str,
    pub meaning: &'static str,
}

/// One line of `courier designs --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// As scenarios write it: `dead-peer`.
    pub choice: &'static str,
    pub alternative: &'static str,
    /// Whether the guarantee holds with it.
    pub sound: bool,
    /// The invariants that it is known to break.
    pub breaks: &'static [&'static str],
    /// Where it is documented: a write-up, a manual, an incident.
    pub source: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

/// Every alternative of every choice, in the order of the design.
pub fn entries() -> impl Iterator<Item = Entry> {
    CATALOGUE.iter().flat_map(|choice| {
        choice.alternatives.iter().map(|alternative| Entry {
            choice: choice.name,
            alternative: alternative.name,
            sound: alternative.sound,
            breaks: alternative.breaks,
            source: alternative.source,
            meaning: alternative.meaning,
        })
    })
}

/// Finds an alternative by its names; what is wrong with them and the way out, otherwise.
pub fn find(choice: &str, alternative: &str) -> Result<Entry, (String, String)> {
    let names = || CATALOGUE.iter().map(|known| known.name);
    let Some(known) = CATALOGUE.iter().find(|known| known.name == choice) else {
        let help = match nearest(choice, names()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("write one of {}", names().collect::<Vec<_>>().join(", ")),
        };
        return Err((format!("there is no choice `{choice}`"), help));
    };
    let of_choice = || entries().filter(|entry| entry.choice == known.name);
    of_choice().find(|entry| entry.alternative == alternative).ok_or_else(|| {
        let names: Vec<&str> = of_choice().map(|entry| entry.alternative).collect();
        let help = match nearest(alternative, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("write one of {}", names.join(", ")),
        };
        (format!("`{choice}` has no alternative `{alternative}`"), help)
    })
}

/// What a design is known to break: whatever one of its alternatives breaks.
pub fn known_breaks(design: &Design) -> Vec<&'static str> {
    let chosen = super::chosen(design);
    let broken: Vec<&str> = entries()
        .filter(|entry| chosen.contains(&(entry.choice.to_owned(), entry.alternative.to_owned())))
        .flat_map(|entry| entry.breaks)
        .copied()
        .collect();
    GUARANTEE.iter().copied().filter(|name| broken.contains(name)).collect()
}

/// Whether every alternative that a design chooses is sound.
pub fn is_sound(design: &Design) -> bool {
    let chosen = super::chosen(design);
    entries().all(|entry| {
        entry.sound || !chosen.contains(&(entry.choice.to_owned(), entry.alternative.to_owned()))
    })
}

const fn sound(name: &'static str, meaning: &'static str, source: &'static str) -> Alternative {
    Alternative { name, sound: true, breaks: &[], source, meaning }
}

const fn breaks(
    name: &'static str,
    breaks: &'static [&'static str],
    meaning: &'static str,
    source: &'static str,
) -> Alternative {
    Alternative { name, sound: false, breaks, source, meaning }
}

/// All choices, in the order of the design.
pub const CATALOGUE: &[Choice] = &[
    Choice {
        name: "sequence",
        question: "Who gives a message its number?",
        alternatives: &[
            sound(
                "single-writer",
                "The database counts inside the append transaction: 1, 2, 3, without a hole, so a \
                 device sees what it misses.",
                "Kafka documentation, Design: a partition's one leader gives records their offsets",
            ),
            breaks(
                "redis-counter",
                &["no-loss", "in-order", "sequence"],
                "A router asks a counter in the cache before it appends; a cache that comes back \
                 without its last second gives numbers a second time.",
                "Redis documentation, INCR and appendfsync everysec; open-im-server #342; turms \
                 #1569",
            ),
            breaks(
                "block",
                &["no-loss", "in-order", "sequence", "expiry", "receipts"],
                "Each router takes numbers from a block that it has reserved, so what is sent \
                 later through another router may have the smaller number.",
                "PostgreSQL documentation, CREATE SEQUENCE … CACHE; commanded/eventstore #3",
            ),
            breaks(
                "snowflake",
                &["no-loss", "in-order", "sequence"],
                "Each router makes a number of its wall clock, its leased machine id and a \
                 counter; numbers are unique, and their order is that of clocks which differ.",
                "Twitter, Announcing Snowflake (2010): ids are roughly sortable",
            ),
            breaks(
                "snowflake-unguarded",
                &["no-loss", "in-order", "sequence"],
                "Snowflake by a router that does not look whether its clock went back, and then \
                 makes the same numbers again.",
                "twitter-archive/snowflake #6; bwmarrin/snowflake #20, #53; hutool #1206",
            ),
            breaks(
                "lamport",
                &["no-loss", "in-order", "sequence", "expiry"],
                "The device's Lamport clock numbers its messages, ties broken by the device: an \
                 order of causes, in which no device can see that something is missing.",
                "Lamport, Time, Clocks, and the Ordering of Events, CACM 21(7), 1978",
            ),
        ],
    },
    Choice {
        name: "acknowledge",
        question: "When is the sender told that its message is accepted?",
        alternatives: &[
            sound(
                "after-durable",
                "When the transaction is on disk.",
                "PostgreSQL documentation, synchronous_commit = on; RFC 5321, section 6.1",
            ),
            breaks(
                "before-durable",
                &["no-loss", "persist-ack"],
                "When the transaction is committed in memory, its fsync still on the way: a power \
                 cut takes back what was acknowledged.",
                "PostgreSQL documentation, synchronous_commit = off; nats-server #7564; Jepsen, \
                 NATS 2.12.1",
            ),
            breaks(
                "when-cached",
                &["no-loss", "persist-ack", "expiry"],
                "When the message is in the cache, which is written to disk every second.",
                "Redis documentation, appendfsync everysec; open-im-server #3080",
            ),
        ],
    },
    Choice {
        name: "fallback",
        question: "What brings a message to a device that the first attempt did not reach?",
        alternatives: &[
            sound(
                "same-transaction",
                "A pending row that was made in the transaction of the append.",
                "Richardson, Microservices Patterns (2018), chapter 3: transactional outbox",
            ),
            breaks(
                "after-failed-push",
                &["no-loss", "gap", "expiry"],
                "A pending row that is made once the push has failed: a router that dies between \
                 the two leaves nothing behind.",
                "Chat-system write-ups: no answer means offline, offline means pending_deliveries; \
                 ejabberd 7caec56e9",
            ),
            breaks(
                "none",
                &["no-loss", "gap"],
                "Nothing: the device asks when it comes back, and one that never noticed does not \
                 ask.",
                "Redis documentation, Pub/Sub: at-most-once delivery; centrifugo #1189",
            ),
        ],
    },
    Choice {
        name: "settle",
        question: "What settles a delivery?",
        alternatives: &[
            sound(
                "client-ack",
                "The device's own acknowledgement, once the message is on its disk.",
                "XEP-0198, Stream Management; MQTT 5.0, section 4.3.2 (PUBACK)",
            ),
            breaks(
                "gateway-accepted",
                &["no-loss", "gap", "receipts"],
                "That the gateway has written it to the connection, which succeeds on a half-open \
                 one as well.",
                "ejabberd #417, #1151, #3086; Rocket.Chat #6610",
            ),
        ],
    },
    Choice {
        name: "fencing",
        question: "How is a late write of a connection that is over told from the current one's?",
        alternatives: &[
            sound(
                "epoch",
                "By the connection's epoch, which the device counts, and the gateway's \
                 incarnation, which each boot counts.",
                "Kleppmann, How to do distributed locking (2016): fencing tokens",
            ),
            breaks(
                "server-id",
                &["fresh-registry", "one-owner", "stale-bound"],
                "By the gateway's address: who comes back to the same server is removed by the \
                 late close of its own earlier connection.",
                "Signal-Server 8c7975d89",
            ),
            breaks(
                "none",
                &["fresh-registry", "one-owner"],
                "Not at all: the last write wins, and the last to arrive need not be the latest.",
                "KAFKA-12525 (adacfea2d6c); interval/server PR #27",
            ),
        ],
    },
    Choice {
        name: "cleaner",
        question: "How are a dead gateway's rows removed?",
        alternatives: &[
            sound(
                "compare-and-delete",
                "Those of the incarnation that two observers hold for dead are removed one by one, \
                 each only if it is still the same.",
                "emqx #17382 (f582fe622d), #14248",
            ),
            breaks(
                "by-server-name",
                &["fresh-registry", "one-owner"],
                "On one observer's word, every row with the server's name, also those of the \
                 server that has booted since.",
                "emqx #16317 (99fdb27f21), PR #14248",
            ),
            breaks(
                "by-user",
                &["fresh-registry", "one-owner"],
                "The users that were on it when it died are removed, wherever they are by now.",
                "interval/server PR #27",
            ),
        ],
    },
    Choice {
        name: "cron",
        question: "Who of several cleaners does what is to be done once?",
        alternatives: &[
            sound(
                "leased",
                "Whoever holds the lease on it, under a term; the registry refuses an older term \
                 than it has seen, and does nothing twice.",
                "Kleppmann, How to do distributed locking (2016); Burrows, The Chubby lock service \
                 (2006), section 2.4: sequencers",
            ),
            breaks(
                "everywhere",
                &["one-run"],
                "Each of them, as a job does that is scheduled in the process and deployed three \
                 times.",
                "ShedLock's README: Spring runs a scheduled method on every node; Kubernetes \
                 documentation, CronJob: two Jobs might be created",
            ),
            breaks(
                "leased-without-fencing",
                &["one-run"],
                "Whoever believes that it holds the lease; one that was paused in the middle of \
                 its job goes on with it after another has done it.",
                "Kleppmann, How to do distributed locking (2016): a pause between the check and \
                 the write; HBase's early bug of that kind, HBASE-2312",
            ),
        ],
    },
    Choice {
        name: "registration",
        question: "How does the registry learn of a session?",
        alternatives: &[
            sound(
                "log-and-announce",
                "Through the event log, and again at a limited rate for as long as it lives.",
                "emqx #17269 (8e4045ff67): forced registration of all local clients after a heal",
            ),
            breaks(
                "log-only",
                &["one-owner"],
                "Through the event log, once: an event that is lost or a row that is removed by \
                 mistake is never mended.",
                "emqx #17269: connected clients that no registry knows; VerneMQ #1369",
            ),
            breaks(
                "direct-write",
                &["one-owner"],
                "The gateway writes the row itself, once: one that the registry does not hear \
                 leaves a device that is connected and cannot be found.",
                "Signal-Server 830a07012",
            ),
        ],
    },
    Choice {
        name: "dedupe",
        question: "How is a resend recognised?",
        alternatives: &[
            sound(
                "with-append",
                "By a record that is written in the transaction of the message and lives as long.",
                "Matrix specification, Client-Server API: transaction identifiers",
            ),
            breaks(
                "cache-with-ttl",
                &["no-duplicate", "sequence", "persist-ack", "dedupe"],
                "By a cache that forgets after a while, and when its process dies.",
                "NATS documentation, JetStream duplicate_window; nats-server #6415",
            ),
            breaks(
                "none",
                &["no-duplicate", "sequence", "persist-ack", "dedupe"],
                "Not at all: each resend is a message of its own.",
                "zulip #31219; zulip-flutter #1929",
            ),
        ],
    },
    Choice {
        name: "queue",
        question: "Where does the work of delivering wait, and when is it done?",
        alternatives: &[
            sound(
                "leased",
                "On disk, leased under a term, and done when its holder says so under that term.",
                "Gray and Cheriton, Leases, SOSP 1989; River and Oban: rows claimed under a lease",
            ),
            sound(
                "at-least-once",
                "A durable broker hides it for a while when it hands it out, and counts it as done \
                 when anybody acknowledges; a second attempt offers the same message in the same \
                 place, which a device shows once, so nothing breaks.",
                "Amazon SQS documentation, visibility timeout; nats-server #4786",
            ),
            breaks(
                "in-memory",
                &["no-loss", "gap"],
                "In the memory of its server, and gone with it.",
                "tinode c7508ee9 (#786): unprocessed messages are dropped with the connection",
            ),
            breaks(
                "auto-commit",
                &["no-loss", "gap"],
                "A broker counts what it has handed out as done after an interval, whether it was \
                 done or not.",
                "Kafka documentation, enable.auto.commit and auto.commit.interval.ms",
            ),
            breaks(
                "early-ack",
                &["no-loss", "gap"],
                "A task queue forgets a task when a worker takes it.",
                "Celery documentation, task_acks_late = False (the default)",
            ),
        ],
    },
    Choice {
        name: "retry",
        question: "How long does one wait before trying again?",
        alternatives: &[
            sound(
                "backoff-full-jitter",
                "Exponentially longer with full jitter, within a budget, behind a breaker that \
                 half-opens.",
                "Brooker, Exponential Backoff And Jitter, AWS Architecture Blog (2015)",
            ),
            breaks(
                "immediate",
                &["retry-budget"],
                "Not at all.",
                "emqx #15773; centrifuge bd330d7f (#591)",
            ),
            breaks(
                "fixed",
                &["retry-budget"],
                "The same time, always: whoever failed together comes back together.",
                "Google, Site Reliability Engineering (2016), chapter 22: Cascading Failures",
            ),
            breaks(
                "backoff-no-jitter",
                &["retry-budget"],
                "Exponentially longer, everybody alike: the waves are rarer and as high.",
                "Brooker, Exponential Backoff And Jitter: backoff alone leaves clusters of calls",
            ),
            breaks(
                "breaker-never-closes",
                &["no-loss", "liveness", "retry-budget"],
                "As the sound one, but a breaker that has opened stays open, and the gateway \
                 behind it is never tried again.",
                "Nygard, Release It! (2007), Circuit Breaker, without its half-open state",
            ),
        ],
    },
    Choice {
        name: "poison",
        question: "What becomes of what nobody can take: a message, a record of the log?",
        alternatives: &[
            sound(
                "dead-letter",
                "It is tried a few times, then leaves a dead letter and a hole with a reason.",
                "RabbitMQ 4.0, delivery-limit (#11937); Amazon SQS documentation, dead-letter \
                 queues",
            ),
            breaks(
                "retry-for-ever",
                &["no-loss", "one-owner"],
                "It is tried for ever, and its neighbours wait behind it.",
                "linagora/james #5304; emqx #13277; KAFKA-4740",
            ),
            breaks(
                "drop",
                &["no-loss", "expiry"],
                "It is skipped, and nobody is told.",
                "Kafka Streams documentation, LogAndContinueExceptionHandler",
            ),
        ],
    },
    Choice {
        name: "dead-peer",
        question: "How is a connection found to be dead?",
        alternatives: &[
            sound(
                "heartbeats",
                "By heartbeats both ways.",
                "XEP-0199, XMPP Ping; RFC 6455, section 5.5.2",
            ),
            breaks(
                "tcp-only",
                &["no-loss"],
                "By TCP alone, for which an idle connection to a host that went dark lives for \
                 hours.",
                "RFC 9293, section 3.5.1 (half-open connections); Linux tcp(7), \
                 tcp_keepalive_time; ejabberd #1415",
            ),
        ],
    },
    Choice {
        name: "presence",
        question: "When does a user count as online?",
        alternatives: &[
            sound(
                "slack",
                "When it was seen within two heartbeats and some slack.",
                "LinkedIn Engineering, Now You See Me, Now You Don't (2018): d + 2ε",
            ),
            breaks(
                "literal",
                &["presence"],
                "When it was seen within 30 s, which is the heartbeat: a healthy user flaps.",
                "Chat-system write-ups: heartbeat every 30 s, online means seen less than 30 s ago",
            ),
        ],
    },
    Choice {
        name: "overflow",
        question: "What does a device learn of messages that were dropped while it was away?",
        alternatives: &[
            sound(
                "explained-hole",
                "That they are gone, and why: a full sync, and a hole with a reason.",
                "XEP-0313, item-not-found; Centrifugo documentation, recovered: false",
            ),
            breaks(
                "silent-drop",
                &["no-loss", "expiry"],
                "Nothing: its next number follows on one that it never saw.",
                "mosquitto #1593; emqx #14608",
            ),
        ],
    },
    Choice {
        name: "offset-reset",
        question: "Where does a consumer go on if its group's place in the log is forgotten?",
        alternatives: &[
            sound(
                "earliest",
                "At the first entry: everything again, which changes nothing, since it is applied \
                 by epoch.",
                "Kafka documentation, auto.offset.reset = earliest",
            ),
            breaks(
                "latest",
                &["one-owner"],
                "At the end: what was waiting is skipped, and who connected meanwhile is not \
                 found.",
                "Kafka documentation, auto.offset.reset = latest, the default; KAFKA-4682",
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::Invariant;
    use std::collections::BTreeSet;
    use strum::IntoEnumIterator;

    #[test]
    fn the_catalogue_and_the_design_name_the_same_alternatives_in_the_same_order() {
        let catalogue: Vec<(String, Vec<&str>)> = CATALOGUE
            .iter()
            .map(|choice| {
                let names = choice.alternatives.iter().map(|alternative| alternative.name);
                (choice.name.to_owned(), names.collect())
            })
            .collect();
        let design: Vec<(String, Vec<&str>)> = Design::CHOICES
            .iter()
            .map(|(choice, names)| (choice.replace('_', "-"), names.to_vec()))
            .collect();
        assert_eq!(catalogue, design);
    }

    #[test]
    fn what_is_not_sound_breaks_something_and_what_is_sound_breaks_nothing() {
        for choice in CATALOGUE {
            assert!(choice.alternatives[0].sound, "{}: the default is sound", choice.name);
        }
        for Entry { choice, alternative, sound, breaks, source, meaning } in entries() {
            assert_eq!(sound, breaks.is_empty(), "{choice}={alternative}");
            assert!(!source.is_empty(), "{choice}={alternative}");
            assert!(meaning.ends_with('.'), "{choice}={alternative}: a sentence");
            for name in breaks {
                assert!(GUARANTEE.contains(name), "{choice}={alternative} breaks {name}?");
            }
            let names: BTreeSet<&str> = breaks.iter().copied().collect();
            assert_eq!(names.len(), breaks.len(), "{choice}={alternative}: each once");
        }
    }

    #[test]
    fn every_checker_has_a_place_in_the_guarantee() {
        for invariant in Invariant::iter() {
            assert!(GUARANTEE.contains(&invariant.name()), "{}", invariant.name());
        }
    }

    #[test]
    fn a_design_breaks_what_its_alternatives_break() {
        assert!(is_sound(&Design::default()));
        assert_eq!(known_breaks(&Design::default()), [""; 0]);
        assert!(!is_sound(&Design::AS_WRITTEN));
        let broken = known_breaks(&Design::AS_WRITTEN);
        for name in ["no-loss", "fresh-registry", "presence"] {
            assert!(broken.contains(&name), "{broken:?}");
        }
        assert!(!broken.contains(&"phantom"));
    }
}
