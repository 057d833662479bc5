//! Who is who: the addresses that a deployment gives to every process, and the groups that exist.
//!
//! Fixed for a run and shared by all roles. It says where a service should be, never whether it
//! is there.

use crate::id::{ConversationId, DeviceId, HostId, UserId};
use std::collections::BTreeMap;

/// The addresses of the fleet and its standing data.
#[derive(Clone, Debug)]
pub struct Directory {
    pub gateways: Vec<HostId>,
    pub routers: Vec<HostId>,
    pub monitors: Vec<HostId>,
    pub balancer: HostId,
    pub registry: HostId,
    pub event_log: HostId,
    /// The members of the group that carries session events into the registry.
    pub consumers: Vec<HostId>,
    pub database: HostId,
    pub presence: HostId,
    /// One of them does what is to be done once: see [`crate::design::Cron`].
    pub cleaners: Vec<HostId>,
    /// Members of each group, in id order.
    pub groups: BTreeMap<ConversationId, Vec<UserId>>,
    /// Devices per user, for users with more than one.
    pub devices: BTreeMap<UserId, u8>,
    /// Gateways that a user's devices are placed on first, in order of preference.
    pub affinity: BTreeMap<UserId, Vec<HostId>>,
    /// Whose presence a user's devices show, for users who care.
    pub watches: BTreeMap<UserId, Vec<UserId>>,
}

impl Directory {
    /// Members of a conversation, in id order; none if there is no such group.
    pub fn members(&self, conversation: ConversationId) -> Vec<UserId> {
        match conversation.pair() {
            Some([a, b]) if a == b => vec![a],
            Some(pair) => pair.to_vec(),
            None => self.groups.get(&conversation).cloned().unwrap_or_default(),
        }
    }

    /// Whether a user is a member. Members are in id order, and may be a million.
    pub fn is_member(&self, conversation: ConversationId, user: UserId) -> bool {
        match conversation.pair() {
            Some(pair) => pair.contains(&user),
            None => {
                let members = self.groups.get(&conversation);
                members.is_some_and(|members| members.binary_search(&user).is_ok())
            }
        }
    }

    /// Whether a conversation has more than so many members.
    pub fn is_larger_than(&self, conversation: ConversationId, most: usize) -> bool {
        self.groups.get(&conversation).is_some_and(|members| members.len() > most)
    }

    /// Every device of a user.
    pub fn devices(&self, user: UserId) -> impl Iterator<Item = DeviceId> + use<> {
        let count = self.devices.get(&user).copied().unwrap_or(1);
        (0..count).map(move |slot| DeviceId { user, slot })
    }

    /// Every device that must show a message: all devices of all members except the one that
    /// wrote it.
    pub fn recipients(
        &self,
        conversation: ConversationId,
        author: DeviceId,
    ) -> impl Iterator<Item = DeviceId> + use<'_> {
        self.members(conversation)
            .into_iter()
            .flat_map(|user| self.devices(user))
            .filter(move |device| *device != author)
    }
}
