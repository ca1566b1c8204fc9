//! The config in force and the last one seen. While the latter is newer, every decision needs a quorum of both
//! (quorum protocol B8, Java: `SyncedLearnerTracker`).

use alloc::sync::Arc;
use core::hash::{Hash, Hasher};

use super::QuorumVerifier;
use crate::config::quorum_config::QuorumConfig;
use crate::ids::Sid;

/// The rules by which something is decided: one, or two at once during a reconfig. Cheap to clone, so that whatever is
/// being decided keeps the rules of its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quorums {
    in_force: Arc<QuorumVerifier>,
    last_seen: Option<Arc<QuorumVerifier>>,
}

impl Quorums {
    /// One rule, or two: `last_seen` only if it is newer than the one in force.
    pub const fn new(in_force: Arc<QuorumVerifier>, last_seen: Option<Arc<QuorumVerifier>>) -> Self {
        Self { in_force, last_seen }
    }

    /// The rule of the config in force.
    pub fn in_force(&self) -> &QuorumVerifier {
        &self.in_force
    }

    /// The rule of the config to come, if there is one.
    pub fn last_seen(&self) -> Option<&QuorumVerifier> {
        self.last_seen.as_deref()
    }

    /// True for voters of either.
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.in_force.is_voter(sid) || self.last_seen.as_ref().is_some_and(|last| last.is_voter(sid))
    }

    /// Voters of either, ascending.
    pub fn voters(&self) -> impl Iterator<Item = Sid> + '_ {
        let (mut a, mut b) =
            (self.in_force.voters(), self.last_seen().map_or(&[][..], QuorumVerifier::voters));
        core::iter::from_fn(move || {
            let next = *match (a.first(), b.first()) {
                (Some(x), Some(y)) => x.min(y),
                (Some(only), None) | (None, Some(only)) => only,
                (None, None) => return None,
            };
            a = a.strip_prefix(&[next]).unwrap_or(a);
            b = b.strip_prefix(&[next]).unwrap_or(b);
            Some(next)
        })
    }

    /// Whether those of whom `acked` is true are a quorum of each.
    pub fn contains_quorum(&self, acked: impl Fn(Sid) -> bool) -> bool {
        self.in_force.contains_quorum(&acked)
            && self.last_seen.as_ref().is_none_or(|last| last.contains_quorum(&acked))
    }
}

/// Both configs, with the rules that follow from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    in_force: Arc<QuorumConfig>,
    last_seen: Arc<QuorumConfig>,
    quorums: Quorums,
}

/// What a server is in a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It votes.
    Voter,
    /// It is listed, without a vote.
    Observer,
    /// It is not listed: it may follow, as one does before it is added and after it is removed, and has no vote.
    Stranger,
}

impl Membership {
    /// `last_seen` counts only while it is newer.
    pub fn new(in_force: Arc<QuorumConfig>, last_seen: Arc<QuorumConfig>) -> Self {
        let verifier = |config: &QuorumConfig| Arc::new(QuorumVerifier::of(config));
        let newer = (last_seen.version() > in_force.version()).then(|| verifier(&last_seen));
        let quorums = Quorums::new(verifier(&in_force), newer);
        Self { in_force, last_seen, quorums }
    }

    /// Without a reconfig on its way.
    pub fn settled(in_force: Arc<QuorumConfig>) -> Self {
        Self::new(in_force.clone(), in_force)
    }

    /// The config in force.
    pub const fn in_force(&self) -> &Arc<QuorumConfig> {
        &self.in_force
    }

    /// The newest config seen, committed or not.
    pub const fn last_seen(&self) -> &Arc<QuorumConfig> {
        &self.last_seen
    }

    /// By which both decide.
    pub const fn quorums(&self) -> &Quorums {
        &self.quorums
    }

    /// What a server is in the config in force.
    pub fn standing(&self, sid: Sid) -> Standing {
        if self.quorums.in_force().is_voter(sid) {
            Standing::Voter
        } else if self.in_force.member(sid).is_some() {
            Standing::Observer
        } else {
            Standing::Stranger
        }
    }
}

/// By versions, as configs hash.
impl Hash for Membership {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.in_force.hash(state);
        self.last_seen.hash(state);
    }
}
