//! Who acknowledged one thing, counted by the rules of its beginning.

use smallvec::SmallVec;

use super::Quorums;
use crate::ids::Sid;

/// A set of acknowledgements, by server: however many connections or processes speak for one sid, it counts once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acks {
    quorums: Quorums,
    /// Ascending; voters of either config only.
    acked: SmallVec<[Sid; 7]>,
    /// P22: servers that were counted twice.
    #[cfg(feature = "museum")]
    again: usize,
}

impl Acks {
    /// Nobody yet.
    pub fn new(quorums: Quorums) -> Self {
        Self {
            quorums,
            acked: SmallVec::new(),
            #[cfg(feature = "museum")]
            again: 0,
        }
    }

    /// Counts a server; false if it does not count, or has been counted.
    pub fn add(&mut self, sid: Sid) -> bool {
        let Err(at) = self.acked.binary_search(&sid) else { return false };
        let counts = self.quorums.is_voter(sid);
        if counts {
            self.acked.insert(at, sid);
        }
        counts
    }

    /// Takes a server's word back, as when its connection is gone; false if it was not there.
    pub fn remove(&mut self, sid: Sid) -> bool {
        let found = self.acked.binary_search(&sid);
        found.is_ok_and(|at| {
            self.acked.remove(at);
            true
        })
    }

    /// True once a quorum has acknowledged.
    pub fn has_quorum(&self) -> bool {
        #[cfg(feature = "museum")]
        if self.again > 0 && 2 * (self.acked.len() + self.again) > self.quorums.in_force().voters().len() {
            return true;
        }
        self.quorums.contains_quorum(|sid| self.contains(sid))
    }

    /// P22: a server that was counted is counted once more.
    #[cfg(feature = "museum")]
    pub(crate) const fn count_again(&mut self) {
        self.again += 1;
    }

    /// Whether this server's word counts already.
    pub fn contains(&self, sid: Sid) -> bool {
        self.acked.binary_search(&sid).is_ok()
    }

    /// Who was counted, ascending.
    pub fn sids(&self) -> &[Sid] {
        &self.acked
    }

    /// The rules.
    pub const fn quorums(&self) -> &Quorums {
        &self.quorums
    }
}
