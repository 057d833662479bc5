//! The consumer group, as its coordinator keeps it: who is in it, and who owns which partition.
//!
//! A rebalance counts a new generation and gives every partition to one member. It counts when it
//! is durable, so that a generation never comes back and what was asked under an older one stays
//! refused. Members are not on disk: a log that restarts begins an empty group, and its members
//! join again. The coordinator decides nothing about what members do with their partitions.

use crate::id::HostId;
use crate::limits;
use crate::time::Instant;
use std::collections::BTreeMap;

/// One process of the group. A host has at most one: Kafka's static membership
/// (`group.instance.id`), where a new process takes the place of the one that it succeeds.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// The process's own number.
    id: u64,
    heard: Instant,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    members: BTreeMap<HostId, Member>,
    /// The generation in force, and who owns each partition in it.
    generation: u32,
    owners: Vec<(HostId, u64)>,
    /// Generations that were begun, durable or not.
    begun: u32,
}

impl Group {
    /// The group whose last durable generation was this.
    pub fn after(generation: u32) -> Self {
        Self { generation, begun: generation, ..Self::default() }
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn members(&self) -> impl Iterator<Item = (HostId, u64)> + '_ {
        self.members.iter().map(|(host, member)| (*host, member.id))
    }

    /// Counts a process in. Returns whether the group has changed.
    pub fn join(&mut self, now: Instant, host: HostId, id: u64) -> bool {
        let earlier = self.members.insert(host, Member { id, heard: now });
        earlier.is_none_or(|earlier| earlier.id != id)
    }

    /// A sign of life. Returns whether the process is a member.
    pub fn heard(&mut self, now: Instant, host: HostId, id: u64) -> bool {
        match self.members.get_mut(&host).filter(|member| member.id == id) {
            Some(member) => {
                member.heard = now;
                true
            }
            None => false,
        }
    }

    /// Counts a process out. Returns whether the group has changed.
    pub fn leave(&mut self, host: HostId, id: u64) -> bool {
        let is_member = self.members.get(&host).is_some_and(|member| member.id == id);
        is_member && self.members.remove(&host).is_some()
    }

    /// Counts out who has been silent for too long. Returns whether the group has changed.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.members.len();
        self.members.retain(|_, member| now.since(member.heard) < limits::SESSION_TIMEOUT);
        self.members.len() < before
    }

    /// The number of the next generation. It is in force once it is durable.
    pub fn begin(&mut self) -> u32 {
        self.begun += 1;
        self.begun
    }

    /// This generation is durable: whoever is a member now shares the partitions.
    pub fn enter(&mut self, generation: u32) {
        self.generation = generation;
        let members: Vec<(HostId, u64)> = self.members().collect();
        let partitions = limits::LOG_PARTITIONS as usize;
        // Kafka's range assignor: neighbours stay together.
        let owner = |partition: usize| members[partition * members.len() / partitions];
        let shared = if members.is_empty() { 0 } else { partitions };
        self.owners = (0..shared).map(owner).collect();
    }

    /// The partitions of a member in the generation in force. None if that generation was shared
    /// out before it joined; it is told when the next one is.
    pub fn assigned(&self, host: HostId, id: u64) -> Option<Vec<u32>> {
        let own = |at: &usize| self.owners[*at] == (host, id);
        let partitions: Vec<u32> =
            (0..self.owners.len()).filter(own).map(|partition| partition as u32).collect();
        let settled = self.begun == self.generation;
        (settled || !partitions.is_empty()).then_some(partitions)
    }

    /// Whether this host owns the partition in the generation that it asks under.
    pub fn may(&self, host: HostId, generation: u32, partition: u32) -> bool {
        let owner = self.owners.get(partition as usize);
        generation == self.generation && owner.is_some_and(|(owner, _)| *owner == host)
    }
}
