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

/// A device that was asked to go elsewhere comes back within this: half a second spreads what a
/// server that steps down closes at once (with half of it, most of a small crowd may fall into one
/// tenth of a second), and nobody notices it. It is not a failure, so no backoff.
pub const HAND_OFF_SPREAD: Duration = Duration::from_millis(500);

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

/// A delivery attempt gives up waiting for a server (the registry's answer, the gateway's word that
/// it has the offer, the database's after the device has acknowledged): unknown. Below the lease,
/// so that a holder who hears nothing is done before its row can be claimed again.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(8);

/// A delivery attempt gives up waiting for the device, once its gateway has written to it. TCP
/// repeats what was lost after 0.2, 0.6, 1.4, 3, 6.2 and 12.6 seconds: this allows for all of them
/// and a slow phone's disk. Longer than a lease, which is renewed meanwhile.
pub const ACKNOWLEDGE_LIMIT: Duration = Duration::from_secs(20);

/// Length of a lease on a pending row: an attempt that hears from no server, and a margin for
/// clocks and the way back. A holder that dies costs its row no more than this.
pub const LEASE: Duration = Duration::from_secs(12);

/// A holder renews its lease this often while it waits for a device. What comes before takes at
/// most `ATTEMPT_LIMIT`, so that the first renewal is in time for the lease it began with.
pub const RENEW_EVERY: Duration = Duration::from_secs(3);

/// A lease is renewed no longer than this after it was granted, or after the work under it last
/// got anywhere; then the database takes the row back. Above the limits of all stages of an
/// attempt together (44 s): only a holder that hangs, or has forgotten the row and goes on
/// renewing, comes here.
pub const JOB_LIMIT: Duration = Duration::from_secs(60);

/// Offers in a row that a gateway leaves unanswered or refuses until its breaker opens. A few:
/// one is weather, and every further one costs an attempt that hangs.
pub const BREAKER_FAILURES: u32 = 5;

/// A breaker cools off for this long, then lets one probe through; doubles each time it fails.
pub const BREAKER_BASE: Duration = Duration::from_secs(4);

/// Longest time that a breaker cools off: a recovered gateway is found again within this.
pub const BREAKER_CAP: Duration = Duration::from_secs(30);

/// Fruitless attempts that a worker may make at once, from an untouched budget. A row beyond it
/// stays due in the database. Four full claims: a restarted database has every row due at once.
pub const RETRY_TOKENS_MAX: u32 = 1_024;

/// Attempts per second that a worker may make whatever became of the earlier ones, so that an empty
/// budget does not starve. A million absent devices that are tried once per `ABSENT_CAP` need
/// 1,100 a second: eleven workers.
pub const RETRY_TOKENS_PER_S: u32 = 100;

/// Attempts that deliver until a worker may make one more fruitless one: a tenth, as gRPC's and
/// Finagle's retry budgets have it.
pub const RETRY_EARNED_BY: u32 = 10;

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

/// A record of the log that its consumer could not read this often is set aside: the first time the
/// schema may have been on its way. Each try waits for `RETRY_STORE`, so its neighbours wait for
/// some seconds at most.
pub const RECORD_TRIES_MAX: u32 = 3;

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

/// A message that its device has rejected this often is dead: the first may be bad luck with a key
/// that was on its way, the third is not.
pub const REJECTIONS_MAX: u32 = 3;

/// How long the cache of `dedupe = "cache-with-ttl"` remembers a message. A minute, as such caches
/// do: longer than any resend of a connected device, and shorter than a tunnel.
pub const DEDUPE_TTL: Duration = Duration::from_secs(60);

/// How often `acknowledge = "when-cached"` writes its cache to the disk: MySQL's flush with
/// `innodb_flush_log_at_trx_commit = 0`.
pub const CACHE_FLUSH: Duration = Duration::from_secs(1);

/// After how long `queue = "auto-commit"` counts as done what it handed out: Kafka's
/// `auto.commit.interval.ms`.
pub const AUTO_COMMIT: Duration = Duration::from_secs(5);

/// Numbers in a block that a router reserves: PostgreSQL's documentation suggests such caches for
/// sequences under load.
pub const SEQUENCE_BLOCK: u32 = 100;

/// Machine ids of ten bits, as Snowflake has them.
pub const MACHINES: u32 = 1_024;

/// How long a machine id is leased. A router that cannot renew it in time stops numbering.
pub const MACHINE_LEASE: Duration = Duration::from_secs(60);

/// A router asks again for a number that it has not got. Messages wait meanwhile; their devices
/// repeat them after `RESEND_AFTER`.
pub const NUMBER_RETRY: Duration = Duration::from_secs(1);

/// Messages that wait at a router for a number. Further ones are not answered; the device resends.
pub const UNNUMBERED_MAX: usize = 20_000;
/// A takeover is committed after this long without the older connection's gateway having confirmed
/// that it is closed: five tries of the consumer. The epoch fences whatever that connection still
/// says; if its gateway lives, its silence limit closes it.
pub const TAKEOVER_LIMIT: Duration = Duration::from_secs(10);

/// A member of the consumer group says this often that it is there (Kafka's
/// `heartbeat.interval.ms`). The log looks for silent members as often.
pub const GROUP_HEARTBEAT: Duration = Duration::from_secs(3);

/// A member of the consumer group that has not been heard for this long is out of it, and its
/// partitions go to the others (Kafka's `session.timeout.ms`, three heartbeats). A member that has
/// not been answered for as long takes itself for out.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A consumer that cannot get a batch applied for this long leaves the group for one
/// `SESSION_TIMEOUT` (Kafka's `max.poll.interval.ms`, which is 5 min): another member may reach the
/// registry that it cannot.
pub const POLL_INTERVAL_MAX: Duration = Duration::from_secs(30);

/// A gateway with connections asks the registry this often which of its boots it is in, and the log
/// under which leader: a registry that has restarted may have lost rows, a new leader events.
pub const REGISTRY_CHECK: Duration = Duration::from_secs(10);

/// Unanswered checks after which a gateway takes itself for cut off from the registry: when it is
/// answered again it announces its sessions again. Fewer are weather.
pub const REGISTRY_CHECKS_MISSED_MAX: u32 = 2;

/// A gateway that has found the registry restarted, was cut off from it, or has found the log under
/// another leader announces all its live sessions again within this time, spread evenly, but never
/// more than `PUBLISH_EVENTS_MAX` per `REPORT_EVERY`: a gateway with more than 30,000 connections
/// takes longer.
pub const REANNOUNCE_PERIOD: Duration = Duration::from_secs(30);

/// A device that has been connected for this long, and `consumer_lag` besides, in a fleet that is
/// left alone has its row in the registry. The worst case, one after the other: the consumer of its
/// partition is found dead and replaced, its gateway finds out that the registry has restarted and
/// announces it again, and on the way to the log, the group and the registry an unanswered question
/// is asked again five times.
pub const ROUTABLE_WITHIN: Duration = SESSION_TIMEOUT
    .saturating_add(GROUP_HEARTBEAT)
    .saturating_add(REGISTRY_CHECK)
    .saturating_add(REANNOUNCE_PERIOD)
    .saturating_add(RETRY_STORE.saturating_mul(5));

/// A connection that has lost its row to a newer one is closed within this in a fleet that is left
/// alone: the tries of a takeover, and the way there.
pub const DISPLACED_WITHIN: Duration = TAKEOVER_LIMIT.saturating_add(RETRY_STORE);
/// After a device has closed its connection in order it is still shown as before for this long.
/// A phone that changes networks, and one whose server asked it to go elsewhere, are back within
/// it: a first wait of up to `RECONNECT_BASE`, one attempt that fails after `CONNECT_LIMIT`, a
/// second wait of up to 2 s, a second attempt and a report. Coming back is shown at once.
pub const PRESENCE_LINGER: Duration = Duration::from_secs(15);

/// Users that one device watches. Those beyond it, in the order of its list, are not watched, and
/// the device shows nothing of them: nobody looks at more contacts at once.
pub const WATCHED_USERS_MAX: usize = 256;

/// Connections of one gateway that are told of one user's changes. A further one is told the
/// status once, when it asks, and of no change: the presence of a celebrity is not worth a
/// broadcast.
pub const WATCHERS_MAX: usize = 10_000;

/// Users in one message about watching. What remains follows in the next one.
pub const WATCH_BATCH_MAX: usize = 1_000;

/// A gateway says this often which users are watched at it and what it knows of them: what a
/// presence server forgot in a restart, or a lost message, comes back within it.
pub const WATCH_PERIOD: Duration = Duration::from_secs(10);

/// Presence tells a gateway of a user's changes for this long after it was last asked: two repeats
/// may be lost. Afterwards nobody watches the user there, or the gateway is gone.
pub const WATCH_LEASE: Duration = Duration::from_secs(30);

/// Presence tells one gateway of changes at most this often, and the database one device of marks;
/// of what changed several times in between only the last is told.
pub const TELL_EVERY: Duration = Duration::from_secs(1);

/// Marks in one answer. What remains follows when these are acknowledged.
pub const MARKS_MAX: usize = 256;

/// Members of a conversation up to which everybody is told how far everybody is. A message to n
/// members moves n marks, each told to n others, so the cost grows with the square. In larger
/// groups no delivered mark is kept, and a read mark is told to the reader's own devices only.
pub const RECEIPT_MEMBERS_MAX: usize = 32;

/// Answers with marks that a device leaves without a word until the database stops telling it:
/// its connection is most likely gone. A heartbeat of it begins anew.
pub const MARKS_UNANSWERED_MAX: u32 = 3;

/// Length of the lease on the scheduled job: three tries to renew it. When the cleaner that has it
/// dies, another one takes the job over within this and `JOB_RENEW_EVERY`, well before a gateway's
/// rows are a minute old.
pub const JOB_LEASE: Duration = Duration::from_secs(15);

/// A cleaner asks this often for the lease on the scheduled job, or for longer.
pub const JOB_RENEW_EVERY: Duration = Duration::from_secs(5);

/// A dead letter that nobody has dealt with for this long is stated as an alert: a quarter of an
/// hour is what a person on call has to look at it before somebody else asks why.
pub const DEAD_LETTER_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// Dead letters that may wait without an alert. A few are a phone with a lost key; more than these
/// are a release that encodes wrongly, and grow with every message.
pub const DEAD_LETTERS_MAX: u32 = 10;

/// An alert that still holds is stated again after this long: pages that repeat more often are
/// muted, and then nobody hears the next one.
pub const ALERT_PERIOD: Duration = Duration::from_secs(15 * 60);
