//! The times and sizes that a deployment chooses, and a scenario may set under `[timing]`.
//!
//! The defaults are those of the literature, made sound where the literature is not: each says
//! which. Times that follow from the protocol itself are constants in [`crate::limits`].

use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Timing {
    /// A device sends a heartbeat this often. The literature's 30 s: phones sleep, NATs forget
    /// idle connections after a minute or more.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// A device gives its connection up when a heartbeat is unanswered for this long.
    #[serde(with = "humantime_serde")]
    pub heartbeat_wait: Duration,
    /// A gateway gives a connection up after this much silence: two heartbeats and a slow round
    /// trip, so that one lost heartbeat costs nothing.
    #[serde(with = "humantime_serde")]
    pub silence: Duration,
    /// The balancer and the monitors probe each gateway this often.
    #[serde(with = "humantime_serde")]
    pub probe: Duration,
    /// The cleaner removes the rows of a gateway that has been silent for this long. The
    /// literature's 45 s.
    #[serde(with = "humantime_serde")]
    pub clean_after: Duration,
    /// The registry consumer applies an entry no earlier than this after the log took it: how far
    /// it lags. Zero when it keeps up.
    #[serde(with = "humantime_serde")]
    pub consumer_lag: Duration,
    /// Seen less than this ago is online. Twice the heartbeat and slack, not the literature's
    /// 30 s: with a limit equal to the heartbeat a healthy user flaps.
    #[serde(with = "humantime_serde")]
    pub online: Duration,
    /// A message that has been pending for a device for this long is dropped for it. The
    /// literature's 30 days.
    #[serde(with = "humantime_serde")]
    pub expiry: Duration,
    /// Messages that may be pending for a device; beyond that the oldest are dropped.
    pub pending_depth: u32,
    /// Seen longer ago than this is offline; in between is away. The literature's 5 min.
    #[serde(with = "humantime_serde")]
    pub offline: Duration,
    /// A gateway takes in one new session per this time, and after a quiet while as many at once
    /// as [`crate::limits::ADMISSION_BURST`] allows. A thousand per second and server: what TLS
    /// handshakes leave of its cores.
    #[serde(with = "humantime_serde")]
    pub admit: Duration,
    /// A gateway passes one catch-up or full sync per this time on to the database, likewise.
    #[serde(with = "humantime_serde")]
    pub catch_up: Duration,
    /// A gateway that is drained asks one device per this time to go elsewhere. Slower than
    /// `admit` by far, since all that it sends away knocks at the others.
    #[serde(with = "humantime_serde")]
    pub hand_off: Duration,
    /// A gateway that is drained closes whoever is left after this long.
    #[serde(with = "humantime_serde")]
    pub drain_limit: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(30),
            heartbeat_wait: Duration::from_secs(10),
            silence: Duration::from_secs(75),
            probe: Duration::from_secs(1),
            clean_after: Duration::from_secs(45),
            consumer_lag: Duration::ZERO,
            online: Duration::from_secs(75),
            expiry: Duration::from_secs(30 * 24 * 3600),
            pending_depth: 10_000,
            offline: Duration::from_secs(300),
            admit: Duration::from_millis(1),
            catch_up: Duration::from_millis(1),
            hand_off: Duration::from_millis(20),
            drain_limit: Duration::from_secs(300),
        }
    }
}
