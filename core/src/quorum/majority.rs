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
        let (mut acks, mut others) = (self.voters.len() / 2 + 1, self.voters.len().div_ceil(2));
        for sid in &self.voters {
            let left = if acked(*sid) { &mut acks } else { &mut others };
            *left -= 1;
            if *left == 0 {
                return acks == 0;
            }
        }
        false
    }
}
