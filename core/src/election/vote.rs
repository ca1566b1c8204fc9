//! Votes: what they say, which one is better, and when two are the same (quorum protocol A6, A7).

use alloc::sync::Arc;
use core::cmp::Ordering;

use crate::config::quorum_config::QuorumConfig;
use crate::ids::{PeerState, Sid, Zxid};

/// Whom a server wants to lead, and the history for which it wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    /// The proposed leader; [`Sid::NONE`] from a server that is no voter of its own config.
    pub leader: Sid,
    /// Its last logged zxid, uncommitted tail included.
    pub zxid: Zxid,
    /// The last epoch that it established, or in which it was synchronised: its file `currentEpoch`. `i64` because an
    /// observer has none and says `i64::MIN`.
    pub peer_epoch: i64,
}

/// Better votes are greater. *Not* by zxid first: of two servers the one with the later established epoch may have the
/// smaller zxid, and what the other has above it was never committed. All comparisons are signed.
impl Ord for Vote {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |vote: &Self| (vote.peer_epoch, vote.zxid, vote.leader);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Vote {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What one server tells another. Who told it is known from the link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// The sender's state.
    pub state: PeerState,
    /// What it proposes; unless it is looking, what its election ended with.
    pub vote: Vote,
    /// The sender's round (`electionEpoch`, logical clock); unless it is looking, that of the election that ended.
    pub round: i64,
    /// Of the message's form: 0 for those of 3.4 and before, 2 since 3.5. It changes what is compared.
    pub version: i32,
    /// The sender's config in force; `None` in old forms, and where the text did not parse.
    pub config: Option<Arc<QuorumConfig>>,
}

/// The version of the notifications that we send.
pub const NOTIFICATION_VERSION: i32 = 2;

/// A vote as it is kept for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heard {
    /// What it says.
    pub vote: Vote,
    /// In which round.
    pub round: i64,
    /// In which state.
    pub state: PeerState,
    /// Of which version; 0 where Java forgets it.
    pub version: i32,
}

impl Heard {
    /// Whether two votes support the same leadership (Java: `Vote.equals`).
    ///
    /// Votes of an election must agree in everything. Those of an established ensemble name the round and zxid of the
    /// election by which each member came in, which differ once a member has joined later: comparing them kept servers
    /// out of healthy ensembles for ever (ZOOKEEPER-1732, -1805). Between a version and none only the leader counts.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let looking = |heard: &Self| heard.state == PeerState::Looking;
        if looking(self) || looking(other) {
            self.vote == other.vote && self.round == other.round
        } else if (self.version > 0) != (other.version > 0) {
            self.vote.leader == other.vote.leader
        } else {
            self.vote.leader == other.vote.leader && self.vote.peer_epoch == other.vote.peer_epoch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(peer_epoch: i64, zxid: i64, leader: i64) -> Vote {
        Vote { leader: Sid(leader), zxid: Zxid(zxid), peer_epoch }
    }

    #[test]
    fn the_established_epoch_goes_before_the_zxid_and_the_zxid_before_the_sid() {
        assert!(vote(5, 1, 1) > vote(1, 0x1_0000_0009, 3));
        assert!(vote(1, 2, 1) > vote(1, 1, 3));
        assert!(vote(1, 1, 3) > vote(1, 1, 2));
        assert!(vote(i64::MIN, i64::MIN, i64::MIN) < vote(0, 0, 0));
    }

    #[test]
    fn votes_of_an_election_agree_in_everything_or_not_at_all() {
        let heard = |vote, round, state| Heard { vote, round, state, version: 0 };
        let a = heard(vote(1, 7, 3), 2, PeerState::Looking);
        assert!(a.agrees_with(&a));
        assert!(a.agrees_with(&heard(vote(1, 7, 3), 2, PeerState::Following)));
        for other in [
            heard(vote(1, 7, 2), 2, PeerState::Looking),
            heard(vote(1, 8, 3), 2, PeerState::Looking),
            heard(vote(2, 7, 3), 2, PeerState::Following),
            heard(vote(1, 7, 3), 3, PeerState::Leading),
        ] {
            assert!(!a.agrees_with(&other) && !other.agrees_with(&a), "{other:?}");
        }
    }

    #[test]
    fn votes_of_an_ensemble_agree_by_leader_and_epoch_or_across_versions_by_leader() {
        let heard = |vote, version| Heard { vote, round: 1, state: PeerState::Following, version };
        let a = heard(vote(2, 7, 3), 2);
        let joined_later = Heard { round: 9, state: PeerState::Leading, ..heard(vote(2, 99, 3), 2) };
        assert!(a.agrees_with(&joined_later));
        assert!(!a.agrees_with(&heard(vote(1, 7, 3), 2)), "another epoch");
        assert!(a.agrees_with(&heard(vote(1, 7, 3), 0)), "another epoch, but of an old server");
        assert!(!heard(vote(1, 7, 3), 0).agrees_with(&heard(vote(2, 7, 3), 0)), "two old servers");
        assert!(!a.agrees_with(&heard(vote(2, 7, 2), 0)));
    }
}
