//! The kinds of fault: what each really is, how it ends, and where it is documented.
//!
//! Part of the plan. Which keys a kind takes is checked in `plan.rs`, which of the world's verbs it
//! is in `nemesis.rs`.

use serde::{Deserialize, Serialize};

/// What a fault does.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumIter,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// The process dies and its kernel goes on: it resets every connection, and refuses what comes
    /// until the process is back (RFC 9293 3.10.7.1). What was not synced is gone. It starts again
    /// from its disk at the end.
    Crash,
    /// The host goes dark: nobody is told. Peers learn of it by their own timeouts, which for a
    /// kernel that has something to send is a quarter of an hour (Linux, tcp_retries2), or from a
    /// reset once the host is back. What was not synced is gone, and the first lost record may be
    /// torn (ALICE, Pillai et al., OSDI 2014). It starts again from its disk at the end.
    PowerCut,
    /// A store dies and at the end its replica takes over, without the last records: those of the
    /// time that it lagged. They were durable and may have been acknowledged (PostgreSQL with
    /// asynchronous replication; GitHub, 2018-10-21; Kafka's unclean leader election, or `acks=all`
    /// when one broker is all that is in sync). What a consumer group has committed is another
    /// topic, with leaders of its own, and stays: it may point beyond what is left. Under
    /// `[replication]` a store can be told to wait for its replica; then nothing is lost.
    Failover,
    /// The process stops running (a garbage collector, SIGSTOP, a hypervisor): its kernel completes
    /// handshakes and acknowledges data for it, its timers run out and wait. At the end it takes
    /// everything at once, in the order in which it came, and believes that no time has passed.
    Pause,
    /// Nothing gets through between two sets of hosts, in both directions. Messages are lost; what
    /// is on a connection is repeated by its kernel, at growing intervals, and arrives after the
    /// heal or never (RFC 6298). Bailis and Kingsbury, "The network is reliable", 2014.
    Partition,
    /// Nothing gets through from one set of hosts to another, and everything comes back: a switch
    /// with a bad port, a firewall rule. Each side sees another failure (Alfatafta et al., "Toward
    /// a generic fault tolerance technique for partial network partitioning", OSDI 2020).
    OneWay,
    /// A link between two sets of hosts goes down and comes back, for `by` each, again and again (a
    /// loose cable, a port that negotiates, a route that is announced and withdrawn: RFC 2439). The
    /// transport repeats what was sent into the gap, so that of short gaps only the delay is seen.
    Flapping,
    /// Every message between two sets of hosts takes `by` longer (a saturated link, a detour).
    Slow,
    /// A `share` more of the transmissions between two sets of hosts is lost. The transport repeats
    /// each after 0.2 s, 0.4 s and so on (Linux' minimal RTO): what arrives is late, not missing.
    Loss,
    /// A `share` more of the messages between two sets of hosts arrives twice: a request that was
    /// repeated because its answer was late. Never on a connection.
    Duplicate,
    /// A `share` of the messages between two sets of hosts takes up to `by` longer, and is
    /// overtaken: requests that go over several connections of a pool. Never on a connection.
    Reorder,
    /// A host's wall clock jumps by `by`, as NTP steps it; it jumps back at the end, if there is
    /// one. Its monotonic clock and its timers do not.
    ClockStep,
    /// A host's clocks run fast or slow by `ppm`, both of them, until the end: a bad crystal (up to
    /// 200), a virtual machine that is starved (any number).
    ClockDrift,
    /// A server takes nobody in any more and sends its devices elsewhere, some at a time, as before
    /// maintenance. At the end its process is restarted and serves again.
    Drain,
    /// Hosts are brought to the next version, one after the other: each is drained if it is a
    /// server, and restarted after its grace. Meanwhile both versions are alive. It ends with the
    /// last host.
    Deploy,
    /// A middlebox ends every connection between two sets of hosts in order: both ends read an end
    /// of file, and what was on its way is gone. Proxies do so when they are reloaded. Between
    /// servers it is their pools that end: a request in flight was done or was not, and nobody says
    /// so (PostgreSQL's 08006 in the middle of a transaction). It happens at once and has no end.
    Fin,
    /// A middlebox resets every connection between two sets of hosts: both ends are told, unless
    /// its word to one of them cannot be heard (RFC 9293 3.10.7.4; firewalls do it at a reload).
    /// Between servers as for `fin`. It happens at once and has no end.
    Reset,
    /// The ends of connections at `from` vanish, and their peers at `to` are not told: the other
    /// process sees a reset, as after a crash of the path; this one believes in a connection until
    /// it sends and is answered with a reset (RFC 9293 3.5.1). It happens at once.
    HalfOpen,
    /// A mapping between two sets of hosts through which nothing went for `by` is forgotten: what
    /// comes later is dropped, in both directions and even after the fault has ended, and nobody
    /// is told. Kernels repeat it until they give up. RFC 5382 asks for 124 minutes at least;
    /// Azure's balancer drops silently after 4 by default, home routers after less.
    NatDrop,
    /// A device reads nothing from its connection, while its kernel goes on acknowledging what
    /// fits and answers probes of the closed window, so the peer's kernel never gives up (RFC 9293
    /// 3.8.6.1). What was written waits, and arrives in order at the end. A reset discards it.
    SlowReader,
    /// Every step of a process takes `by` longer: what happens to it waits in line and is handled
    /// late, in order (a noisy neighbour, swapping; "gray failure", Huang et al., HotOS 2017).
    SlowHost,
    /// The machine sleeps, a phone in a pocket or a server whose owner suspends it: nothing runs,
    /// nothing is acknowledged, timers stand still and so does the monotonic clock
    /// (CLOCK_MONOTONIC does not count suspend); the wall clock goes on. At the end everything is
    /// late, and whoever held a lease believes that he has it.
    Suspend,
    /// The host loses its power, and what starts at the end finds an empty disk (an ephemeral
    /// volume; Redis without persistence that is restarted by its supervisor).
    Wipe,
    /// An fsync takes `by` longer (a cloud volume out of burst credit, a scrub).
    DiskSlow,
    /// Nothing more fits on a disk: no append becomes durable and no fsync completes until there
    /// is room again, at the end. A store that retries after ENOSPC and answers nobody meanwhile
    /// looks like this (Kafka and PostgreSQL stop instead: for that write a crash).
    DiskFull,
    /// A share of what a host says never arrives, although it did what was asked: connections die
    /// after the COMMIT was sent, and its outcome is unknown (PostgreSQL, 08006 and 08007; Kafka's
    /// REQUEST_TIMED_OUT after the append). Nobody repeats it on the way.
    Unanswered,
    /// A store's replica answers whatever only reads, and is `by` behind (a Redis replica that
    /// serves GET; a PostgreSQL standby under load). Writes still go to the primary.
    StaleReads,
    /// A store's replica is cut off from its primary, and what devices and servers see of the store
    /// is as before. One that waits for its replica can call nothing durable (a PostgreSQL primary
    /// whose only `synchronous_standby_names` is away hangs on every COMMIT; Kafka's
    /// `min.insync.replicas`). What waits is on its own disk all the same: a restart finds it, and
    /// a failover loses it. One that does not wait goes on, and a failover loses all since.
    ReplicaCut,
    /// A store's replica, which was `by` behind, is promoted while the primary goes on; hosts in
    /// `from` still talk to the old one. At the end that one is found and thrown away, with all
    /// that it has accepted (Redis Sentinel and a partition, Jepsen 2013; a PostgreSQL primary
    /// that nobody fenced). Told to wait for its replica, it can accept nothing.
    SplitBrain,
    /// A configuration is pushed to hosts without a canary: all of them restart at once and run
    /// with `set` instead of their `[timing]`. At the end it is rolled back the same way
    /// (Cloudflare, 2019-07-02; Google Cloud, 2025-06-12).
    Configure,
    /// The log forgets what its consumer group has committed, at once: after
    /// `offsets.retention.minutes`, which before Kafka 2.1 ran for idle partitions of a living
    /// group (KAFKA-4682), or by an operator's tool. Members go on where they are; whoever takes a
    /// partition over finds no place, and goes on by its reset policy.
    OffsetLoss,
    /// Somebody writes a record that no consumer can read to every partition of the log, at once:
    /// a producer with a newer schema, a console producer in the wrong topic (KAFKA-4740). It stays
    /// there for good.
    PoisonRecord,
}

impl Kind {
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether a fleet sees it in an ordinary month, and loses neither reach nor what is durable.
    pub fn is_ordinary(self) -> bool {
        use Kind::*;
        matches!(self, Crash | Pause | Slow | Loss | Duplicate | Reorder | ClockDrift)
            || matches!(self, Drain | Deploy | Fin | Reset | SlowReader | SlowHost | Suspend)
            || matches!(self, DiskSlow)
    }

    /// Whether the sound design promises anything under it, so that it may be drawn at random. What
    /// a superseded primary accepts nobody can keep, and what a configuration says is anybody's.
    pub fn is_drawn(self) -> bool {
        !matches!(self, Self::SplitBrain | Self::Configure)
    }

    /// Whether it is over as soon as it has happened.
    pub fn is_instant(self) -> bool {
        matches!(self, Kind::Fin | Kind::Reset | Kind::HalfOpen)
            || matches!(self, Kind::OffsetLoss | Kind::PoisonRecord)
    }
}
