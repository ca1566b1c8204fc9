//! Votes by the server that cast them: a later one replaces the earlier, and nobody counts twice, whatever number of
//! connections or processes speaks for one sid.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::vote::{Heard, Vote};
use crate::ids::{PeerState, Sid};
use crate::quorum::Quorums;

/// The votes heard in one election, of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Tally {
    votes: BTreeMap<Sid, Heard>,
}

impl Tally {
    pub(super) fn insert(&mut self, from: Sid, heard: Heard) {
        self.votes.insert(from, heard);
    }

    pub(super) fn clear(&mut self) {
        self.votes.clear();
    }

    /// Whether those whose vote agrees with `probe` are a quorum.
    pub(super) fn has_quorum(&self, quorums: &Quorums, probe: &Heard) -> bool {
        quorums.contains_quorum(|sid| self.votes.get(&sid).is_some_and(|heard| heard.agrees_with(probe)))
    }

    /// The voters whose vote agrees with `probe`, ascending.
    pub(super) fn supporters(&self, quorums: &Quorums, probe: &Heard) -> Vec<Sid> {
        let agreeing = self.votes.iter().filter(|(_, heard)| heard.agrees_with(probe));
        agreeing.map(|(sid, _)| *sid).filter(|sid| quorums.is_voter(*sid)).collect()
    }

    /// The vote of a voter that elects in this round.
    pub(super) fn looking(&self, sid: Sid, round: i64) -> Option<Vote> {
        let heard = self.votes.get(&sid)?;
        (heard.state == PeerState::Looking && heard.round == round).then_some(heard.vote)
    }

    /// Whether this voter voted.
    pub(super) fn hears(&self, sid: Sid) -> bool {
        self.votes.contains_key(&sid)
    }

    /// Whether `leader` itself says that it leads. (Java: `checkLeader`.)
    pub(super) fn hears_leading(&self, leader: Sid) -> bool {
        self.votes.get(&leader).is_some_and(|heard| heard.state == PeerState::Leading)
    }

    /// Every vote, by its sender.
    pub fn votes(&self) -> impl Iterator<Item = (Sid, &Heard)> {
        self.votes.iter().map(|(sid, heard)| (*sid, heard))
    }
}
