//! Hierarchical quorums (Java: `QuorumHierarchical`): more than half of the groups that weigh something, in each of them
//! more than half of its weight.
//!
//! Java also counts the weight of observers that are listed in a group, towards the weight to be exceeded. They never
//! acknowledge, so its quorums there are a subset of ours, and any of ours still meets any of its.

use alloc::vec::Vec;

use crate::config::quorum_config::Hierarchy;
use crate::ids::Sid;

/// Groups and weights of the participants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hierarchical {
    /// Ascending.
    voters: Vec<Sid>,
    /// Those that weigh something.
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Group {
    /// Sid and weight.
    members: Vec<(Sid, u32)>,
    weight: u64,
}

impl Hierarchical {
    /// Members of groups that are no voters are left out; a voter without a weight weighs 1.
    pub fn new(voters: impl IntoIterator<Item = Sid>, hierarchy: &Hierarchy) -> Self {
        let mut voters: Vec<_> = voters.into_iter().collect();
        voters.sort_unstable();
        voters.dedup();
        let weight = |sid: Sid| (sid, hierarchy.weights.get(&sid).copied().unwrap_or(1));
        let groups = hierarchy.groups.values().map(|sids| {
            let members: Vec<_> =
                sids.iter().filter(|sid| voters.binary_search(sid).is_ok()).map(|sid| weight(*sid)).collect();
            let weight = members.iter().map(|(_, weight)| u64::from(*weight)).sum();
            Group { members, weight }
        });
        let groups = groups.filter(|group| group.weight > 0).collect();
        Self { voters, groups }
    }

    /// The participants, ascending.
    pub fn voters(&self) -> &[Sid] {
        &self.voters
    }

    /// 0 for those who are in no group.
    pub fn weight(&self, sid: Sid) -> u32 {
        let mut members = self.groups.iter().flat_map(|group| &group.members);
        members.find(|(member, _)| *member == sid).map_or(0, |(_, weight)| *weight)
    }

    /// Whether the voters of whom `acked` is true are a quorum.
    pub fn contains_quorum(&self, acked: impl Fn(Sid) -> bool) -> bool {
        let won = self.groups.iter().filter(|group| group.is_won(&acked)).count();
        won > self.groups.len() / 2
    }
}

impl Group {
    fn is_won(&self, acked: &impl Fn(Sid) -> bool) -> bool {
        let acked = self.members.iter().filter(|(sid, _)| acked(*sid));
        acked.map(|(_, weight)| u64::from(*weight)).sum::<u64>() > self.weight / 2
    }
}
