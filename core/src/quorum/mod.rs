//! Quorum arithmetic: which sets of servers may decide. Nothing here knows what is decided.
//!
//! Only participants of a config count. Whoever else acknowledges, an observer or a server that the config does not know,
//! is never asked: a quorum is found by going through the voters, not through the acknowledgements.

mod acks;
mod hierarchical;
mod majority;
mod membership;

pub use acks::Acks;
pub use hierarchical::Hierarchical;
pub use majority::Majority;
pub use membership::{Membership, Quorums, Standing};

use crate::config::quorum_config::QuorumConfig;
use crate::ids::Sid;

/// Who decides under one config. Any two quorums of it have a voter in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QuorumVerifier {
    /// More than half of the participants.
    Majority(Majority),
    /// More than half of the groups, in each more than half of the weight.
    Hierarchical(Hierarchical),
}

impl QuorumVerifier {
    /// The rule of a config.
    pub fn of(config: &QuorumConfig) -> Self {
        match config.hierarchy() {
            None => Self::Majority(Majority::new(config.voters())),
            Some(hierarchy) => Self::Hierarchical(Hierarchical::new(config.voters(), hierarchy)),
        }
    }

    /// The participants, ascending.
    pub fn voters(&self) -> &[Sid] {
        match self {
            Self::Majority(majority) => majority.voters(),
            Self::Hierarchical(hierarchical) => hierarchical.voters(),
        }
    }

    /// True for participants.
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.voters().binary_search(&sid).is_ok()
    }

    /// False for servers that weigh nothing, who must not lead. Where the majority rules everybody weighs something, as in
    /// Java: whether somebody votes at all is another question.
    pub fn may_lead(&self, sid: Sid) -> bool {
        match self {
            Self::Majority(_) => true,
            Self::Hierarchical(hierarchical) => hierarchical.weight(sid) > 0,
        }
    }

    /// Whether the voters of whom `acked` is true are a quorum.
    pub fn contains_quorum(&self, acked: impl Fn(Sid) -> bool) -> bool {
        match self {
            Self::Majority(majority) => majority.contains_quorum(acked),
            Self::Hierarchical(hierarchical) => hierarchical.contains_quorum(acked),
        }
    }
}
