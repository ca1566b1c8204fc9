//! What a server can be, how that looks from outside, and why it ceases to be it.
//!
//! ```text
//!              decided: me              quorum          quorum              quorum
//!  Looking ──────────────► Leading: discovery ──► synchronization ──► broadcast (serves)
//!   ▲ │  ▲                             └──────────────────┴──────────────────┘
//!   │ │  └──────────────────────────────────────── Leave ┘
//!   │ └── decided: another ──► Learning: discovery ──► synchronization ──► broadcast (serves)
//!   └──────────────────────────────────────── Leave ◄─────────┴──────────────────┘
//! ```

use alloc::string::String;
use thiserror::Error;

use super::leader::Leading;
use super::learner::Learning;
use super::looking::Looking;
use super::standalone::Standalone;
use crate::error::DecodeError;
use crate::ids::{SessionId, Sid, Zxid};

/// What this server is. A state is moved from one role to the next; nothing of a role outlives it.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Standalone(Standalone),
    Looking(Looking),
    Leading(Leading),
    Learning(Learning),
}

/// A role's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleKind {
    /// No ensemble.
    Standalone,
    /// Has no leader.
    Looking,
    /// Leads, or is about to.
    Leading,
    /// Follows a leader, or is about to. With or without a vote.
    Following,
    /// Observes a leader, or is about to.
    Observing,
}

/// Zab's phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Who is to lead?
    Election,
    /// Which epoch, and is anybody ahead of the leader?
    Discovery,
    /// The leader's history is taken over.
    Synchronization,
    /// Requests are served.
    Broadcast,
}

/// What a server is at the moment, for operators, simulators and drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Its role.
    pub role: RoleKind,
    /// How far it has got in it.
    pub phase: Phase,
    /// Who leads; itself, if it does.
    pub leader: Option<Sid>,
    /// Whether clients are served: in the broadcast phase, unless the leader is not to serve any.
    pub clients: ClientService,
}

/// A learner as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LearnerStanding {
    /// Who, by its own word.
    pub sid: Sid,
    /// As what.
    pub role: LearnerRole,
    /// Whether it serves clients and has shown life within `syncLimit`.
    pub synced: bool,
    /// How it is being brought up to date; `None` before and after.
    pub syncs_by: Option<SyncKind>,
}

/// What a server is to its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnerRole {
    /// It counts towards quorums.
    Voter,
    /// It follows, and counts for nothing.
    NonVotingFollower,
    /// It observes.
    Observer,
}

/// Whether clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientService {
    /// They may come.
    Open,
    /// Those may come that are content with reading what this server has, while it has no leader.
    ReadOnly,
    /// They have to go.
    Closed,
}

impl Standing {
    /// Without an ensemble.
    pub(super) const STANDALONE: Self = Self {
        role: RoleKind::Standalone,
        phase: Phase::Broadcast,
        leader: None,
        clients: ClientService::Open,
    };
    /// Without a leader.
    pub(super) const LOOKING: Self = Self {
        role: RoleKind::Looking,
        phase: Phase::Election,
        leader: None,
        clients: ClientService::Closed,
    };
}

/// How a learner is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncKind {
    /// By txns behind what it has.
    Diff,
    /// By cutting off what nobody else has, and then by txns.
    Trunc,
    /// By the whole state, and then by txns.
    Snap,
}

impl SyncKind {
    /// The packet's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Diff => "DIFF",
            Self::Trunc => "TRUNC",
            Self::Snap => "SNAP",
        }
    }
}

/// Why a server ceases to lead or to learn and looks for a leader again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Leave {
    /// Leader: no quorum of servers came, or agreed, within `initLimit`.
    #[error("no quorum of servers {} in time", if *.0 == Phase::Discovery { "came" } else { "took the history over" })]
    NoQuorum(Phase),
    /// Leader: the quorum that followed is gone.
    #[error("the quorum that followed is gone")]
    LostQuorum,
    /// Leader: a member has accepted a later epoch, of a leader that came to nothing, and may not follow this one. The next
    /// election takes all of them to an epoch that it can follow. (Java's leader stays, and the member stays out.)
    #[error("a member has accepted epoch {accepted}")]
    EpochOutdone {
        /// What it has accepted.
        accepted: u32,
    },
    /// Leader: the epoch has no zxids left (quorum protocol B9).
    #[error("the epoch has no zxids left")]
    CounterUsedUp,
    /// A reconfig gave this server another part, or the ensemble another leader.
    #[error("a reconfig changes who leads, or what this server is")]
    Reconfigured {
        /// Who is to lead without an election, if anybody is.
        leader: Option<Sid>,
    },
    /// Learner: the leader cannot be reached.
    #[error("the leader cannot be reached")]
    Unreachable,
    /// Learner: the link to the leader broke; the text says how.
    #[error("the link to the leader is gone ({0})")]
    LinkDown(String),
    /// Learner: nothing came from the leader for too long.
    #[error("nothing was heard of the leader for too long")]
    LeaderSilent,
    /// Learner: the leader's epoch is older than one that was accepted.
    #[error("the leader's epoch is older than one that was accepted")]
    EpochBehind,
    /// Learner: the leader broke the protocol.
    #[error("the leader breaks the protocol ({0})")]
    Fault(PeerFault),
    /// Learner: what the leader wants cut off cannot be cut off here.
    #[error("what the leader wants cut off cannot be cut off here")]
    CannotTruncate,
}

/// How a peer broke the protocol. None of these happens among servers that work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerFault {
    /// A packet that has no place where the conversation stands.
    #[error("{packet} came {when}")]
    Unexpected {
        /// Its type.
        packet: &'static str,
        /// Where the conversation stands.
        when: &'static str,
    },
    /// A txn that cannot be read.
    #[error("the txn {zxid} does not decode: {error}")]
    Undecodable {
        /// As the packet says.
        zxid: Zxid,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A packet and the txn in it disagree.
    #[error("a packet of zxid {packet} holds the txn {txn}")]
    WrongZxid {
        /// In the packet.
        packet: Zxid,
        /// In the txn.
        txn: Zxid,
    },
    /// Txns are missing, or come again.
    #[error("txn {found} came behind {last}")]
    Hole {
        /// The last one.
        last: Zxid,
        /// The one that does not follow it.
        found: Zxid,
    },
    /// A txn of an epoch that is not the leader's, or an acknowledgement of one.
    #[error("zxid {found} came in epoch {epoch}")]
    WrongEpoch {
        /// The leader's.
        epoch: u32,
        /// What came.
        found: Zxid,
    },
    /// A commit that is not the oldest proposal's.
    #[error("the commit of {found} came, the oldest proposal is {oldest:?}")]
    CommitOutOfOrder {
        /// The oldest proposal that waits.
        oldest: Option<Zxid>,
        /// What is to be committed.
        found: Zxid,
    },
    /// An acknowledgement of what was not sent.
    #[error("{found} was acknowledged, {sent} was the last that was sent")]
    AckUnseen {
        /// The last zxid that was sent.
        sent: Zxid,
        /// What was acknowledged.
        found: Zxid,
    },
    /// To be cut back to a txn that is not here.
    #[error("TRUNC to {to}, behind which nothing may be missing, but the log ends at {found}")]
    TruncTarget {
        /// Where to.
        to: Zxid,
        /// Where the log would end.
        found: Zxid,
    },
    /// History that this server knows to be committed would be lost.
    #[error("the leader's history ends at {found}, though {proven} is committed")]
    LosesCommitted {
        /// Known to be held by a quorum.
        proven: Zxid,
        /// What would be left.
        found: Zxid,
    },
    /// A snapshot other than the one that was announced.
    #[error("SNAP announced {announced}, the snapshot is of {found}")]
    WrongSnapshot {
        /// In the packet.
        announced: Zxid,
        /// In the tree.
        found: Zxid,
    },
    /// A request that no learner passes on.
    #[error("a request with opcode {op} was forwarded")]
    UnknownRequest {
        /// The opcode.
        op: i32,
    },
    /// A new session that is there already.
    #[error("session {session} was to be created, and it lives")]
    SessionTwice {
        /// The session.
        session: SessionId,
    },
    /// An answer that nobody asked for.
    #[error("{packet} answers no question")]
    Unasked {
        /// Its type.
        packet: &'static str,
    },
    /// Reconfiguration, which is not enabled here.
    #[error("{packet} came, though reconfiguration is disabled here")]
    Reconfiguration {
        /// Its type.
        packet: &'static str,
    },
    /// A reconfig without a config, or a leader with none.
    #[error("the config of {zxid} is none: {error}")]
    NoConfig {
        /// The reconfig, or the leader's first zxid.
        zxid: Zxid,
        /// What is wrong with it.
        error: String,
    },
    /// A reconfig whose config is that of another.
    #[error("the reconfig {zxid} holds the config of {found}")]
    WrongConfig {
        /// The reconfig.
        zxid: Zxid,
        /// The config's version.
        found: Zxid,
    },
    /// A commit that activates what is no reconfig.
    #[error("{zxid} is to be activated, and is no reconfig")]
    NotReconfig {
        /// The txn.
        zxid: Zxid,
    },
    /// More than the bound between two steps of the handshake.
    #[error("{bytes} bytes of txns came before NEWLEADER, the limit is {limit}")]
    TooMuch {
        /// Held.
        bytes: usize,
        /// Bound.
        limit: usize,
    },
}
