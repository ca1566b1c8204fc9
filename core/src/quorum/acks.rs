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
}

impl Acks {
    /// Nobody yet.
    pub fn new(quorums: Quorums) -> Self {
        Self { quorums, acked: SmallVec::new() }
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
        self.quorums.contains_quorum(|sid| self.contains(sid))
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
