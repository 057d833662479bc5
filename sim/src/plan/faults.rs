//! What faults may say besides their kind: on what they wait, and which groups of hosts they name.
//!
//! Part of the plan. A trigger becomes a time once the plan has run.

use super::{Fault, Kind, Plan, hosts_named, no_such};
use crate::cast::{Cast, Part};
use crate::document::Impossible;
use crate::place;
use crate::span::At;
use courier::note::Note;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use strum::VariantNames;

/// "The third time that app-1 parks a message." Notes before T=0 do not count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoteTrigger {
    /// What is noted: `parked`.
    pub note: String,
    /// The first time is 1.
    #[serde(skip_serializing_if = "is_first")]
    pub nth: u32,
    /// Who notes it: a host, `app-*` or a zone; anybody if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

fn first() -> u32 {
    1
}

fn is_first(nth: &u32) -> bool {
    *nth == first()
}

/// A trigger written at length.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Spelled {
    note: String,
    #[serde(default = "first")]
    nth: u32,
    #[serde(default)]
    host: Option<String>,
}

impl<'de> Deserialize<'de> for NoteTrigger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> serde::de::Visitor<'de> for Written {
            type Value = NoteTrigger;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a note's name, or a table like { note = \"parked\", nth = 3 }")
            }
            fn visit_str<E>(self, note: &str) -> Result<NoteTrigger, E> {
                Ok(NoteTrigger { note: note.to_owned(), nth: first(), host: None })
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                map: A,
            ) -> Result<NoteTrigger, A::Error> {
                let Spelled { note, nth, host } =
                    Spelled::deserialize(MapAccessDeserializer::new(map))?;
                Ok(NoteTrigger { note, nth, host })
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// Hosts that fail together: a rack, a room, a data centre.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ZoneSpec {
    /// A fault names it like a host.
    pub name: String,
    pub hosts: Vec<String>,
}

impl Fault {
    /// A fault with a begin and nothing else yet.
    pub fn new(kind: Kind, at: At) -> Self {
        Self {
            kind,
            at: Some(at),
            when: None,
            delay: None,
            lasts: None,
            permanent: false,
            target: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            one_way: false,
            by: None,
            share: None,
            ppm: None,
            grace: None,
            pause: None,
            set: BTreeMap::new(),
        }
    }

    /// Whether it has exactly one begin, and one that can come.
    pub(super) fn validate_begin(
        &self,
        at: usize,
        cast: &Cast,
        heal_at: u64,
    ) -> Result<(), Impossible> {
        let wrong = |key: &str, what: String, help: &str| {
            Err(Impossible::new(place!["fault", at, key], what, help))
        };
        let trigger = match (&self.at, &self.when) {
            (Some(_), Some(_)) => {
                return wrong("at", "has both a time and a trigger".into(), "keep `at` or `when`");
            }
            (None, None) => {
                let what = "has neither a time nor a trigger".to_owned();
                return wrong("kind", what, "add `at` or `when`");
            }
            (Some(_), None) if self.delay.is_some() => {
                return wrong("delay", "only a trigger has a `delay`".into(), "move `at` instead");
            }
            (Some(time), None) if time.since_start(cast.zero) >= heal_at => {
                let what = format!("`{time}` is after everything has healed");
                let help = "move it before the end, or make the run longer";
                return wrong("at", what, help);
            }
            (Some(_), None) => return Ok(()),
            (None, Some(trigger)) => trigger,
        };
        if self.kind == Kind::Deploy {
            let what = "a deploy goes by the clock".to_owned();
            return wrong("when", what, "write `at` instead");
        }
        if !Note::VARIANTS.contains(&trigger.note.as_str()) {
            let place = place!["fault", at, "when", "note"];
            return Err(no_such(place, "note", &trigger.note, Note::VARIANTS));
        }
        if trigger.nth == 0 {
            let place = place!["fault", at, "when", "nth"];
            return Err(Impossible::new(place, "the first time is 1", "write 1 or more"));
        }
        if let Some(host) = &trigger.host
            && hosts_named(host, cast).is_empty()
        {
            return Err(no_such(place!["fault", at, "when", "host"], "host", host, cast.names()));
        }
        Ok(())
    }

    /// Which hosts each kind can befall.
    pub(super) fn validate_parts(&self, at: usize, cast: &Cast) -> Result<(), Impossible> {
        let kind = self.kind.name();
        let (possible, help): (fn(Part) -> bool, _) = match self.kind {
            Kind::Drain => (|part| part == Part::Gateway, "only servers hold connections"),
            Kind::Deploy => (
                |part| matches!(part, Part::Gateway | Part::Router | Part::Worker),
                "servers, apps and workers can be restarted one after the other",
            ),
            Kind::Wipe => (
                |part| part.may_lose_its_disk(),
                "only registry and presence hold nothing that exists nowhere else",
            ),
            Kind::Failover | Kind::SplitBrain | Kind::ReplicaCut => {
                (|part| part.has_replica(), "only db, registry and log have a replica")
            }
            Kind::StaleReads => {
                (|part| part.answers_reads(), "only db and registry have one that answers")
            }
            Kind::OffsetLoss | Kind::PoisonRecord => {
                (|part| part == Part::EventLog, "only log has records and offsets")
            }
            Kind::SlowReader => {
                (|part| matches!(part, Part::Client(_)), "only people's devices do that")
            }
            _ => (|_| true, ""),
        };
        for (nth, name) in self.target.iter().enumerate() {
            if !hosts_named(name, cast).iter().all(|host| possible(cast.part(*host))) {
                let what = format!("`{name}` cannot be the target of a {kind}");
                return Err(Impossible::new(place!["fault", at, "target", nth], what, help));
            }
        }
        Ok(())
    }
}

impl Plan {
    pub(super) fn validate_zones(&self, cast: &Cast) -> Result<(), Impossible> {
        for (at, zone) in self.zone.iter().enumerate() {
            let taken = cast.host(&zone.name).is_some() || zone.name == "users";
            let twice = self.zone[..at].iter().any(|other| other.name == zone.name);
            if taken || twice || zone.name.is_empty() || zone.name.ends_with('*') {
                let what = format!("`{}` cannot be the name of a zone", zone.name);
                let help = "choose a name that no host and no other zone has";
                return Err(Impossible::new(place!["zone", at, "name"], what, help));
            }
            if zone.hosts.is_empty() {
                let what = format!("zone `{}` has no hosts", zone.name);
                return Err(Impossible::new(place!["zone", at, "hosts"], what, "name some"));
            }
            for (nth, name) in zone.hosts.iter().enumerate() {
                if cast.zone(name).is_some() || hosts_named(name, cast).is_empty() {
                    let place = place!["zone", at, "hosts", nth];
                    return Err(no_such(place, "host", name, cast.names()));
                }
            }
        }
        Ok(())
    }

    /// Whether a fault of it waits for something to happen.
    pub fn has_triggers(&self) -> bool {
        self.fault.iter().any(|fault| fault.when.is_some())
    }

    /// The plan as it went: every trigger became the time at which it fired. Also returned are the
    /// triggers that never did; their faults are left out.
    pub fn concrete(&self, fired: &BTreeMap<usize, u64>) -> (Plan, Vec<NoteTrigger>) {
        let mut plan = self.clone();
        let mut silent = Vec::new();
        plan.fault.clear();
        for (number, fault) in self.fault.iter().enumerate() {
            let mut fault = fault.clone();
            if let Some(trigger) = fault.when.take() {
                let Some(at) = fired.get(&number) else {
                    silent.push(trigger);
                    continue;
                };
                fault.at = Some(At(*at as i64 - self.zero() as i64));
                fault.delay = None;
            }
            plan.fault.push(fault);
        }
        (plan, silent)
    }
}

impl NoteTrigger {
    /// As a person would say it.
    pub fn spell(&self) -> String {
        let host = self.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        match self.nth {
            1 => format!("`{}`{host}", self.note),
            nth => format!("`{}` number {nth}{host}", self.note),
        }
    }
}
