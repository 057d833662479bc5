//! The trace of a run: a digest over everything that happened and, if wanted, a line for each.
//!
//! The digest takes in every event with its payload, every action and every note, in order, so two
//! runs with one digest did the same. Lines cost time and are kept only when somebody asked.

use crate::seed::Seed;
use courier::id::HostId;
use courier::node::{Action, Event};
use courier::note::Note;
use courier::wire::Wire;
use foldhash::quality::{FixedState, FoldHasher};
use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use tracing::level_filters::LevelFilter;

#[derive(Clone)]
pub struct Trace {
    digest: FoldHasher<'static>,
    lines: Option<Lines>,
    names: Arc<Names>,
}

/// How hosts and users are called in lines and logs.
#[derive(Debug, Default)]
pub struct Names {
    /// By host id.
    pub hosts: Arc<[Box<str>]>,
    /// The host of each user's first device, which is called as its user is; by user id.
    pub users: Arc<[HostId]>,
    /// True time of T=0, in nanoseconds.
    pub zero: u64,
}

#[derive(Clone, Debug, Default)]
struct Lines {
    waiting: Vec<String>,
}

impl Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trace({:016x})", self.digest())
    }
}

impl Trace {
    pub fn new(seed: Seed) -> Self {
        let mut digest = FixedState::with_seed(0).build_hasher();
        seed.0.hash(&mut digest);
        Self { digest, lines: None, names: Arc::default() }
    }

    pub fn set_names(&mut self, names: Names) {
        self.names = Arc::new(names);
    }

    /// Keeps a line for everything from now on, until [`Trace::drain_lines`] takes them.
    pub fn keep_lines(&mut self) {
        self.lines.get_or_insert_default();
    }

    /// The lines since the last call.
    pub fn drain_lines(&mut self) -> impl Iterator<Item = String> + '_ {
        self.lines.iter_mut().flat_map(|lines| lines.waiting.drain(..))
    }

    /// The digest over everything so far.
    pub fn digest(&self) -> u64 {
        self.digest.clone().finish()
    }

    pub(crate) fn event(&mut self, at: u64, host: HostId, event: &Event) {
        self.take('<', at, host, event);
        self.tell(at, host, LevelFilter::DEBUG, |line| tracing::debug!("{line}"), '<', event);
    }

    pub(crate) fn action(&mut self, at: u64, host: HostId, action: &Action) {
        if let Action::Note(_) = action {
            return; // Taken as a note.
        }
        self.take('>', at, host, action);
        self.tell(at, host, LevelFilter::TRACE, |line| tracing::trace!("{line}"), '>', action);
    }

    pub(crate) fn note(&mut self, at: u64, host: HostId, note: &Note) {
        self.take('!', at, host, note);
        self.tell(at, host, LevelFilter::INFO, |line| tracing::info!("{line}"), '!', note);
    }

    pub(crate) fn life(&mut self, at: u64, host: HostId, life: crate::history::Life) {
        self.take('*', at, host, &life);
        self.tell(at, host, LevelFilter::WARN, |line| tracing::warn!("{line}"), '*', &life);
    }

    pub(crate) fn lost(&mut self, at: u64, from: HostId, to: HostId, wire: &Wire) {
        self.take('x', at, from, &(to, wire));
        let what = (to, wire);
        self.tell(at, from, LevelFilter::DEBUG, |line| tracing::debug!("{line}"), 'x', &what);
    }

    pub(crate) fn panicked(&mut self, at: u64, host: HostId, message: &str) {
        self.take('#', at, host, &message);
        self.tell(at, host, LevelFilter::ERROR, |line| tracing::error!("{line}"), '#', &message);
    }

    #[inline]
    fn take(&mut self, mark: char, at: u64, host: HostId, what: &impl Hash) {
        (mark as u32, at, host.0).hash(&mut self.digest);
        what.hash(&mut self.digest);
    }

    #[inline]
    fn tell(
        &mut self,
        at: u64,
        host: HostId,
        level: LevelFilter,
        log: impl Fn(&str),
        mark: char,
        what: &impl Debug,
    ) {
        let logs = level <= LevelFilter::current();
        if !logs && self.lines.is_none() {
            return;
        }
        let said = self.names.spell(&format!("{what:?}"));
        let name = self.names.host(host);
        if logs {
            LOG_AT.set(at as i64 - self.names.zero as i64);
            LOG_HOST.with_borrow_mut(|current| name.clone_into(current));
            log(&format!("{mark} {said}"));
        }
        if let Some(lines) = &mut self.lines {
            let time = Relative(at as i64 - self.names.zero as i64);
            lines.waiting.push(format!("{time} {name:<10} {mark} {said}"));
        }
    }
}

/// Time relative to T=0, with microseconds: `T+20.001350`.
#[derive(Clone, Copy, Debug)]
pub struct Relative(pub i64);

impl std::fmt::Display for Relative {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let micros = self.0.unsigned_abs() / 1_000;
        write!(f, "T{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

impl Names {
    pub fn host(&self, host: HostId) -> &str {
        self.hosts.get(host.0 as usize).map_or("?", |name| name)
    }

    /// Replaces `h12` and `u3` in a text by the names of that host and user.
    pub fn spell(&self, text: &str) -> String {
        let mut spelt = String::with_capacity(text.len() + 16);
        let mut rest = text;
        let mut before = ' ';
        while let Some(letter) = rest.chars().next() {
            let after = &rest[letter.len_utf8()..];
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let known = (matches!(letter, 'h' | 'u') && !before.is_alphanumeric())
                .then(|| after[..digits].parse::<usize>().ok())
                .flatten()
                .and_then(|number| match letter {
                    'h' => self.hosts.get(number),
                    'u' => self.users.get(number).and_then(|host| self.hosts.get(host.0 as usize)),
                    _ => None,
                });
            match known {
                Some(name) => {
                    spelt.push_str(name);
                    before = '0';
                    rest = &after[digits..];
                }
                None => {
                    spelt.push(letter);
                    before = letter;
                    rest = after;
                }
            }
        }
        spelt
    }
}

thread_local! {
    static LOG_AT: Cell<i64> = const { Cell::new(0) };
    static LOG_HOST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Stamps log lines with the simulated time and the host, instead of a clock nobody lives by.
pub struct SimulatedTime;

impl tracing_subscriber::fmt::time::FormatTime for SimulatedTime {
    fn format_time(&self, w: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        LOG_HOST.with_borrow(|host| write!(w, "{} {host}", Relative(LOG_AT.get())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_only_where_an_id_stands() {
        let names = Names {
            hosts: ["db".into(), "server-7".into(), "alice".into()].into(),
            users: [HostId(2)].into(),
            zero: 0,
        };
        assert_eq!(names.spell("u0 e2 at h1 i3"), "alice e2 at server-7 i3");
        assert_eq!(names.spell("oh1 h9 hu0 h"), "oh1 h9 hu0 h");
        assert_eq!(names.spell("grüße an u0"), "grüße an alice");
    }
}
