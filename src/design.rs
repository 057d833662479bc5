//! The design choices of the system, where its literature offers alternatives.
//!
//! The first alternative of each choice is the sound one, and the default. The others are
//! documented in the wild and stay in the code on purpose: the testbed must find what they break.
//! Each is a strategy beside its sound sibling, in the role that it belongs to; a role asks its
//! [`Design`] once, where the choice is made, and nowhere else. What each alternative means, who
//! describes it and what it is known to break is the testbed's catalogue, not the fleet's business.

use serde::{Deserialize, Serialize};

/// An enum of alternatives, the sound one first.
macro_rules! choice {
    (
        $(#[$about:meta])*
        $Choice:ident {
            $(#[$sound_about:meta])* $Sound:ident,
            $($(#[$other_about:meta])* $Other:ident,)*
        }
    ) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            Serialize, Deserialize, strum::VariantNames,
        )]
        #[serde(rename_all = "kebab-case")]
        #[strum(serialize_all = "kebab-case")]
        pub enum $Choice {
            $(#[$sound_about])*
            #[default]
            $Sound,
            $($(#[$other_about])* $Other,)*
        }
    };
}

choice! {
    /// Who gives a message its number.
    Sequence {
        /// The database, inside the append transaction: 1, 2, 3, without a hole.
        SingleWriter,
        /// A counter in the cache (`INCR`), asked by the router before it appends.
        RedisCounter,
        /// Each router takes numbers from a block that it has reserved.
        Block,
        /// Each router makes one of its wall clock, its leased machine id and a counter, and waits
        /// while its clock is behind the last number it gave.
        Snowflake,
        /// The same, without looking whether the clock went back.
        SnowflakeUnguarded,
        /// The device's Lamport clock, ties broken by the device.
        Lamport,
    }
}

choice! {
    /// When the sender is told that its message is accepted.
    Acknowledge {
        /// When the transaction is durable.
        AfterDurable,
        /// When it is committed in memory; its fsync is on the way.
        BeforeDurable,
        /// When it is in the cache, which is written to disk every so often.
        WhenCached,
    }
}

choice! {
    /// What brings a message to a device that the first attempt did not reach.
    Fallback {
        /// A pending row, made in the transaction of the append.
        SameTransaction,
        /// A pending row, made after the push has failed.
        AfterFailedPush,
        /// Nothing: the device asks when it comes back.
        None,
    }
}

choice! {
    /// What settles a delivery.
    Settle {
        /// The device's own acknowledgement.
        ClientAck,
        /// That the gateway has written it to the connection.
        GatewayAccepted,
    }
}

choice! {
    /// How a late write of a connection that is over is told from that of the current one.
    Fencing {
        /// By the connection's epoch and the gateway's incarnation.
        Epoch,
        /// By the gateway's address.
        ServerId,
        /// Not at all: the last write wins.
        None,
    }
}

choice! {
    /// How a dead gateway's rows are removed.
    Cleaner {
        /// Those of the incarnation that two observers hold for dead; nothing of it returns.
        CompareAndDelete,
        /// One observer's word; every row with the server's name, whatever its incarnation.
        ByServerName,
        /// The users that were on it when it died are removed, wherever they are now.
        ByUser,
    }
}

choice! {
    /// Who of several cleaners does what is to be done once.
    Cron {
        /// Whoever holds the lease on it, under a term by which the registry refuses an earlier
        /// holder.
        Leased,
        /// Each of them.
        Everywhere,
        /// Whoever believes that it holds the lease; the registry compares no terms.
        LeasedWithoutFencing,
    }
}

choice! {
    /// How the registry learns of a session.
    Registration {
        /// Through the event log, and announced again at a rate while it lives.
        LogAndAnnounce,
        /// Through the event log, once.
        LogOnly,
        /// The gateway writes the row itself, once.
        DirectWrite,
    }
}

choice! {
    /// How a resend is recognised.
    Dedupe {
        /// By a record that is written with the message and lives as long.
        WithAppend,
        /// By a cache that forgets after a while, and when its process dies.
        CacheWithTtl,
        /// Not at all.
        None,
    }
}

choice! {
    /// Where the work of delivering waits, and when it is considered done.
    Queue {
        /// On disk, leased under a term; done when its holder says so under that term.
        Leased,
        /// A durable broker: hidden for a while when handed out, done when acknowledged by anybody.
        AtLeastOnce,
        /// In the memory of its server.
        InMemory,
        /// A broker that counts what it handed out as done after an interval.
        AutoCommit,
        /// A task queue that forgets a task when a worker takes it.
        EarlyAck,
    }
}

choice! {
    /// How long one waits before trying again.
    Retry {
        /// Exponentially longer with full jitter, within a budget; a breaker that half-opens.
        BackoffFullJitter,
        /// Not at all.
        Immediate,
        /// The same time, always.
        Fixed,
        /// Exponentially longer, everybody alike.
        BackoffNoJitter,
        /// As the sound one, but a breaker that has opened stays open.
        BreakerNeverCloses,
    }
}

choice! {
    /// What becomes of a message that its device cannot take, and of a record that its consumer
    /// cannot read.
    Poison {
        /// It is tried a few times, then leaves a dead letter and a hole with a reason.
        DeadLetter,
        /// It is tried for ever.
        RetryForEver,
        /// It is skipped, and nobody is told.
        Drop,
    }
}

choice! {
    /// How a connection is found to be dead.
    DeadPeer {
        /// By heartbeats both ways.
        Heartbeats,
        /// By TCP alone.
        TcpOnly,
    }
}

choice! {
    /// When a user counts as online.
    Online {
        /// Seen within two heartbeats and some slack.
        Slack,
        /// Seen within 30 s, which is the heartbeat.
        Literal,
    }
}

choice! {
    /// What a device learns of messages that were dropped while it was away.
    Overflow {
        /// That they are gone, and why: a hole with a reason, after a full sync.
        ExplainedHole,
        /// Nothing.
        SilentDrop,
    }
}

choice! {
    /// Where a consumer goes on if its group's place in the log is forgotten.
    OffsetReset {
        /// At the first entry: everything again.
        Earliest,
        /// At the end: what was waiting is skipped.
        Latest,
    }
}

/// Every choice, by its name in scenarios (with `-` for `_`).
macro_rules! design {
    ($($choice:ident: $Choice:ident,)*) => {
        /// One alternative for each choice.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub struct Design {
            $(pub $choice: $Choice,)*
        }

        /// Some choices that differ from a design that is given elsewhere.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub struct Changes {
            $(pub $choice: Option<$Choice>,)*
        }

        impl Changes {
            /// The design that has these and for the rest what `base` has.
            pub fn of(self, base: Design) -> Design {
                Design { $($choice: self.$choice.unwrap_or(base.$choice),)* }
            }
        }

        impl Design {
            /// Each choice's name and its alternatives', the sound one first.
            pub const CHOICES: &[(&str, &[&str])] =
                &[$((stringify!($choice), <$Choice as strum::VariantNames>::VARIANTS),)*];
        }
    };
}

design! {
    sequence: Sequence,
    acknowledge: Acknowledge,
    fallback: Fallback,
    settle: Settle,
    fencing: Fencing,
    cleaner: Cleaner,
    cron: Cron,
    registration: Registration,
    dedupe: Dedupe,
    queue: Queue,
    retry: Retry,
    poison: Poison,
    dead_peer: DeadPeer,
    presence: Online,
    overflow: Overflow,
    offset_reset: OffsetReset,
}

impl Design {
    /// The textbook's system, taken literally.
    pub const AS_WRITTEN: Self = Self {
        sequence: Sequence::SingleWriter,
        acknowledge: Acknowledge::AfterDurable,
        fallback: Fallback::AfterFailedPush,
        settle: Settle::GatewayAccepted,
        fencing: Fencing::None,
        cleaner: Cleaner::ByServerName,
        cron: Cron::Leased,
        registration: Registration::LogOnly,
        dedupe: Dedupe::WithAppend,
        queue: Queue::AtLeastOnce,
        retry: Retry::BackoffFullJitter,
        poison: Poison::RetryForEver,
        dead_peer: DeadPeer::Heartbeats,
        presence: Online::Literal,
        overflow: Overflow::SilentDrop,
        // The textbook does not say; its log never forgets.
        offset_reset: OffsetReset::Earliest,
    };
}
