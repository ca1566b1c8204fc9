//! Majority quorums (Java: `QuorumMaj`).

use alloc::vec::Vec;

use crate::ids::Sid;

/// More than half of the participants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Majority {
    /// Ascending.
    voters: Vec<Sid>,
}

impl Majority {
    /// `voters` come in any order.
    pub fn new(voters: impl IntoIterator<Item = Sid>) -> Self {
        let mut voters: Vec<_> = voters.into_iter().collect();
        voters.sort_unstable();
        voters.dedup();
        Self { voters }
    }

    /// The participants, ascending.
    pub fn voters(&self) -> &[Sid] {
        &self.voters
    }

    /// Whether the voters of whom `acked` is true are a quorum.
    pub fn contains_quorum(&self, acked: impl Fn(Sid) -> bool) -> bool {
        self.voters.iter().filter(|sid| acked(**sid)).count() > self.voters.len() / 2
    }
}
