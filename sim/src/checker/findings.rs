//! What one checker found, and the words in which it says so.
//!
//! A broken run breaks the same invariant thousands of times; the first hundred say all there is
//! to say. The rest is counted, never dropped in silence.

use super::{Anomaly, Invariant};
use crate::cast::Cast;
use courier::id::{ConversationId, DeviceId, HostId, MessageId, Session};

/// Anomalies that one checker describes. Further ones are only counted, in one last anomaly.
pub(super) const ANOMALIES_MAX: usize = 100;

/// The anomalies of one checker, up to the limit.
pub(super) struct Findings {
    invariant: Invariant,
    described: Vec<Anomaly>,
    /// How many there were beyond the limit, and when the last of all was certain.
    more: usize,
    last_at: u64,
}

impl Findings {
    pub fn of(invariant: Invariant) -> Self {
        Self { invariant, described: Vec::new(), more: 0, last_at: 0 }
    }

    /// An anomaly that was certain `at`, about this message on this device if it has such.
    pub fn add(
        &mut self,
        at: u64,
        message: Option<MessageId>,
        device: Option<DeviceId>,
        what: String,
    ) {
        self.last_at = self.last_at.max(at);
        if self.described.len() == ANOMALIES_MAX {
            self.more += 1;
            return;
        }
        self.described.push(Anomaly { invariant: self.invariant, at, what, message, device });
    }

    /// Hands everything over. The count comes last, also once all are sorted by time.
    pub fn finish(self, anomalies: &mut Vec<Anomaly>) {
        let Self { invariant, described, more, last_at } = self;
        anomalies.extend(described);
        if more > 0 {
            let what = format!("… and {more} more");
            let (message, device) = (None, None);
            anomalies.push(Anomaly { invariant, at: last_at, what, message, device });
        }
    }
}

/// Names and times as a person reads them: those of the cast, relative to its T=0.
#[derive(Clone, Copy)]
pub(super) struct Words<'a>(pub &'a Cast);

impl<'a> Words<'a> {
    pub fn host(self, host: HostId) -> &'a str {
        self.0.name(host)
    }

    pub fn device(self, device: DeviceId) -> &'a str {
        self.0.name(self.0.host_of(device))
    }

    /// `T+31.204s`, or `T-1.000s` in the warm-up.
    pub fn time(self, at: u64) -> String {
        let sign = if at < self.0.zero { '-' } else { '+' };
        let millis = at.abs_diff(self.0.zero) / 1_000_000;
        format!("T{sign}{}.{:03}s", millis / 1_000, millis % 1_000)
    }

    /// `m3.1 (alice → bob)`.
    pub fn message(self, id: MessageId, conversation: ConversationId) -> String {
        let sender = id.device.user;
        let to = match conversation.pair() {
            Some([a, b]) => self.0.user_name(if a == sender { b } else { a }).to_owned(),
            None => conversation.to_string(),
        };
        format!("{id} ({} → {to})", self.device(id.device))
    }

    /// `alice ~ bob`, or the group's number.
    pub fn conversation(self, conversation: ConversationId) -> String {
        match conversation.pair() {
            Some([a, b]) => format!("{} ~ {}", self.0.user_name(a), self.0.user_name(b)),
            None => conversation.to_string(),
        }
    }

    /// `alice e5 at server-7 i1`.
    pub fn session(self, session: Session) -> String {
        let Session { device, epoch, gateway, incarnation } = session;
        format!("{} e{epoch} at {} {incarnation}", self.device(device), self.host(gateway))
    }
}

/// A span in nanoseconds, which a history counts in.
pub(super) fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A span of the history's nanoseconds in seconds: `61.250s`.
pub(super) fn seconds(span: u64) -> String {
    let millis = span / 1_000_000;
    format!("{}.{:03}s", millis / 1_000, millis % 1_000)
}
