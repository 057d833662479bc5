//! Every bound, with its name, its reason and what happens when it is reached.

use std::time::Duration;

/// Longest message body. A longer one is rejected, for good (`Rejection::TooLarge`).
/// 4 KiB holds any chat message; attachments travel elsewhere.
pub const BODY_BYTES_MAX: usize = 4096;

/// Messages that a device keeps until they are accepted. The next one fails at once
/// (`Rejection::OutboxFull`): a person sees "not sent", which is a definite answer.
pub const OUTBOX_MESSAGES_MAX: usize = 1_000;

/// Messages that a device holds back because earlier ones are missing, per conversation. Further
/// ones are dropped and fetched again, in order, once the hole is filled.
pub const HELD_MESSAGES_MAX: usize = 256;

/// Unacknowledged messages on one connection. The next offer is answered `Busy` and its row
/// waits: a slow reader costs its gateway at most this many messages.
pub const UNACKED_MESSAGES_MAX: usize = 256;

/// Connections that one gateway accepts. The next one is closed at once and its device goes to
/// the balancer again.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// What a gateway that had little to do takes in at once, of sessions and of requests for missing
/// messages: as many as it would have taken in within this time. The rest wait: of sessions at the
/// device (`Frame::Busy`), of requests in the gateway's backlog.
pub const ADMISSION_BURST: Duration = Duration::from_secs(1);

/// Longest wait that a device is told when it is turned away. In a storm beyond that, those who are
/// told the same wait spread over half of it again, and are turned away again.
pub const BUSY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Catch-up requests that wait at one gateway: at the default rate, twenty seconds' worth. Further
/// ones are dropped (`Note::WorkDropped`); the device asks again after `REFETCH_AFTER`, or learns
/// that it is behind at its next heartbeat.
pub const CATCH_UPS_WAITING_MAX: usize = 20_000;

/// Full syncs that wait at one gateway. They are rare and large; further ones are dropped in the
/// same way.
pub const FULL_SYNCS_WAITING_MAX: usize = 1_000;

/// Messages in pages that one device has not acknowledged: two full catch-up requests. Its further
/// requests wait in the backlog from half of it on; what comes beyond it all the same closes the
/// connection (`Note::SlowReader`), and the device goes on from where it is when it comes back.
pub const PAGED_MESSAGES_MAX: usize = 2 * CATCH_UP_CONVERSATIONS_MAX * BATCH_ENTRIES_MAX;

/// A connection with `UNACKED_MESSAGES_MAX` that has acknowledged nothing for this long is closed:
/// a device that reads acknowledges within its round trip and an fsync, and each `Busy` costs an
/// attempt. Two attempts' time, so that one lost second on a train does not count.
pub const STALLED_AFTER: Duration = Duration::from_secs(16);

/// Requests in a gateway's backlog are looked at again after this long if all of them wait for
/// their own device's acknowledgements.
pub const BACKLOG_POLL: Duration = Duration::from_millis(100);

/// A device that was asked to go elsewhere comes back within this: a quarter of a second spreads
/// what a server closes at once, and nobody notices it. It is not a failure, so no backoff.
pub const HAND_OFF_SPREAD: Duration = Duration::from_millis(250);

/// Points of each gateway on the ring of consistent hashing: with this many, no gateway's share is
/// far from the others' (its relative spread is about one over the root of it, 9 %).
pub const VIRTUAL_NODES: u32 = 128;

/// Under consistent hashing a gateway holds at most this share of the average, in percent; beyond
/// it, devices go on to the next on the ring (Mirrokni, Thorup and Zadimoghaddam, SODA 2018).
pub const RING_LOAD_PERCENT: u64 = 125;

/// Devices whose last gateway a balancer with session affinity remembers. Beyond it the one that
/// was placed longest ago is forgotten, and placed as if it were new.
pub const PLACEMENTS_REMEMBERED_MAX: usize = 1_000_000;

/// Delivery attempts that one router or worker has under way. A router's further claims are
/// released at once (`Parking::Overload`); a worker stops claiming.
pub const ATTEMPTS_MAX: usize = 20_000;

/// Sends that one router has at the database. Further ones are not answered; the device resends.
pub const APPENDS_MAX: usize = 20_000;

/// Entries in one offer or page: with bodies of a few hundred bytes, one frame of some ten
/// kilobytes. What remains follows when these are acknowledged.
pub const BATCH_ENTRIES_MAX: usize = 64;

/// Conversations in one catch-up request. A device with more asks in several.
pub const CATCH_UP_CONVERSATIONS_MAX: usize = 256;

/// Rows that a worker claims at once: what it can deliver well within one lease.
pub const CLAIM_ROWS_MAX: u32 = 256;

/// Session events in one publish. What remains follows in the next batch.
pub const PUBLISH_EVENTS_MAX: usize = 1_000;

/// Session events that wait for the log at one gateway. Further ones are dropped, oldest first;
/// re-announcing repairs an `Opened`, and an offer answered `NotHere` repairs a `Closed`.
pub const UNPUBLISHED_EVENTS_MAX: usize = 1_000_000;

/// Probes without an answer until the balancer takes a gateway out: one loss is weather.
pub const PROBES_MISSED_MAX: u32 = 2;

/// Observers that must agree before the cleaner acts: one may be cut off by itself.
pub const OBSERVERS_MIN: usize = 2;

/// First wait of a device that reconnects; the wait doubles with each failure, with full jitter.
pub const RECONNECT_BASE: Duration = Duration::from_secs(1);

/// Longest wait of a device that reconnects: a recovered fleet is found again within this.
pub const RECONNECT_CAP: Duration = Duration::from_secs(30);

/// Balancer's answer, handshake and welcome together. Linux repeats a lost SYN after 1, 3 and 7
/// seconds; this allows for three.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A device sends the same id again after this long without an answer: longer than a slow phone's
/// round trip and a database failing over a connection.
pub const RESEND_AFTER: Duration = Duration::from_secs(5);

/// A device asks for missing messages again after this long.
pub const REFETCH_AFTER: Duration = Duration::from_secs(5);

/// A router gives up waiting for the database. Below `RESEND_AFTER`, so that a resend never meets
/// its own earlier self still waiting.
pub const APPEND_LIMIT: Duration = Duration::from_secs(4);

/// A delivery attempt (locate, offer, the device's acknowledgement) gives up: unknown. Below the
/// lease, so that an attempt is over before its row can be claimed again.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(8);

/// Length of a lease on a pending row: an attempt, and a margin for clocks and the way back.
pub const LEASE: Duration = Duration::from_secs(12);

/// First wait of a row that could not be delivered; doubles per attempt, with full jitter.
pub const RETRY_BASE: Duration = Duration::from_secs(1);

/// Longest wait of a row. A device that registers wakes its rows at once; this bounds how long
/// they wait if that wake-up is lost.
pub const RETRY_CAP: Duration = Duration::from_secs(30);

/// Longest wait of a row whose device is connected nowhere. It is woken when the device registers,
/// and the device asks for itself when it connects and when it beats, so this is only the net under
/// both: an absent device must not cost an attempt every half minute for a month.
pub const ABSENT_CAP: Duration = Duration::from_secs(15 * 60);

/// A worker looks for due rows this often when it has found none.
pub const WORKER_POLL: Duration = Duration::from_millis(500);

/// A row must have been undelivered for this long before an idle device is told: younger ones are
/// most likely being delivered.
pub const BEHIND_AFTER: Duration = Duration::from_secs(5);

/// A monitor speaks up after this many unanswered probes; the cleaner decides much later.
pub const SUSPECT_PROBES: u32 = 5;

/// A suspicion that is not repeated for this many probes is forgotten: its observer sees the
/// gateway again.
pub const SUSPICION_PROBES: u32 = 4;

/// A gateway repeats an unacknowledged publish, the consumer an unanswered question, the cleaner
/// a verdict, after this long.
pub const RETRY_STORE: Duration = Duration::from_secs(2);

/// The consumer waits this long between two batches of a partition, and before it looks again at
/// entries that are too young. A poll that finds nothing is held by the log until there is
/// something, as Kafka does (`fetch.max.wait.ms`).
pub const CONSUMER_POLL: Duration = Duration::from_millis(100);

/// Entries that the consumer applies per partition and batch: its controlled rate is this many per
/// `CONSUMER_POLL`.
pub const CONSUMER_BATCH: u32 = 500;

/// A gateway collects heartbeats for this long before it reports them, and announces sessions again
/// at most this often.
pub const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A gateway announces all its live sessions again once per this time, spread evenly: what the
/// registry lost comes back within it.
pub const ANNOUNCE_PERIOD: Duration = Duration::from_secs(300);

/// Redis' `appendfsync everysec`: what the registry can lose in a crash.
pub const REGISTRY_FLUSH: Duration = Duration::from_secs(1);

/// Partitions of the event log.
pub const LOG_PARTITIONS: u32 = 8;
