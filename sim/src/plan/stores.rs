//! What a plan says of its stores: whether each waits for its replica, and which configurations are
//! pushed.
//!
//! Part of the plan. What the words do is the world's business.

use super::{Fault, Kind, Plan};
use crate::cast::Part;
use crate::document::Impossible;
use crate::place;
use courier::timing::Timing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `[replication]`: when a store calls a record durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ReplicationSpec {
    pub db: Commit,
    pub registry: Commit,
    pub log: Commit,
}

impl ReplicationSpec {
    /// What this part's primary waits for.
    pub fn commit(&self, part: Part) -> Commit {
        match part {
            Part::Database => self.db,
            Part::Registry => self.registry,
            Part::EventLog => self.log,
            _ => Commit::Asynchronous,
        }
    }

    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Commit {
    /// As soon as it is on the primary's own disk; the replica follows.
    #[default]
    Asynchronous,
    /// When it is on the replica's disk as well.
    Synchronous,
}

impl Plan {
    /// The configurations that its faults push, by the fault's number.
    pub fn pushed(&self) -> BTreeMap<usize, Arc<Timing>> {
        let faults = self.fault.iter().enumerate().filter(|(_, f)| f.kind == Kind::Configure);
        faults
            .map(|(number, fault)| {
                let timing = fault.configuration(&self.timing).expect("a valid plan's can be read");
                (number, Arc::new(timing))
            })
            .collect()
    }
}

impl Fault {
    /// The fleet's times with those that this fault sets. Fails with what is wrong with a key.
    fn configuration(&self, usual: &Timing) -> Result<Timing, (String, String)> {
        let mut all = toml::Table::try_from(usual).expect("times can be written");
        for (key, value) in &self.set {
            all.insert(key.clone(), value.clone());
            let read: Result<Timing, _> = all.clone().try_into();
            read.map_err(|wrong| (key.clone(), wrong.message().to_owned()))?;
        }
        Ok(all.try_into().expect("it was read with the last of them"))
    }

    pub(super) fn validate_configuration(
        &self,
        at: usize,
        usual: &Timing,
    ) -> Result<(), Impossible> {
        let kind = self.kind.name();
        let wrong =
            |what: String, help: &str| Err(Impossible::new(place!["fault", at, "set"], what, help));
        match (self.kind == Kind::Configure, self.set.is_empty()) {
            (true, true) => {
                let place = place!["fault", at, "kind"];
                let help = "add `set`, a table with keys of [timing]";
                return Err(Impossible::new(place, format!("a {kind} needs `set`"), help));
            }
            (false, false) => return wrong(format!("a {kind} has no `set`"), "remove it"),
            _ => {}
        }
        let read = self.configuration(usual).map(|_| ());
        read.map_err(|(key, what)| {
            let place = place!["fault", at, "set", key.as_str()];
            Impossible::new(place, what, "write a key of [timing] and its value")
        })
    }
}
