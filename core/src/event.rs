//! Typed events: everything observable that the core does. Drivers turn them into log lines, counters and traces.

use alloc::string::String;

use crate::ids::{LinkId, SessionId, Sid, Zxid};
use crate::replica::{Leave, SyncKind};
use crate::text::Text;

/// Something that happened. Names are stable: adding is free, renaming breaks scenarios.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session begins (its createSession is on its way).
    SessionCreating {
        /// The session.
        session: SessionId,
        /// ms.
        timeout_ms: i32,
    },
    /// A session showed no life for its timeout; its closeSession is on its way.
    SessionExpiring {
        /// The session.
        session: SessionId,
    },
    /// A container that is used no more, or a TTL node whose time is over; its deletion is on its way.
    NodeCollecting {
        /// The node.
        path: Text,
    },
    /// A session begins that only this server knows.
    LocalSessionBegun {
        /// The session.
        session: SessionId,
        /// ms.
        timeout_ms: i32,
    },
    /// A session that only this server knows becomes one of the ensemble: its createSession is on its way.
    LocalSessionUpgraded {
        /// The session.
        session: SessionId,
    },
    /// A session that only this server knew showed no life for its timeout, and is gone.
    LocalSessionExpired {
        /// The session.
        session: SessionId,
    },
    /// The log is rolled and a snapshot begun.
    SnapshotStarted {
        /// Last zxid logged.
        zxid: Zxid,
    },
    /// A snapshot is durable.
    SnapshotDone {
        /// The zxid in its name.
        zxid: Zxid,
    },
    /// Recovery skipped a snapshot that did not hold together.
    SnapshotSkipped {
        /// The file.
        file: String,
        /// What was wrong with it.
        why: String,
    },
    /// Recovery dropped a torn record at the end of a log file.
    TornTailDropped {
        /// The file.
        file: String,
        /// Where the torn record began.
        offset: u64,
    },
    /// The tree's digest differs from the one recorded.
    DigestMismatch {
        /// At this zxid.
        zxid: Zxid,
    },
    /// Votes are asked for: a new round of the election begins.
    ElectionBegun {
        /// The last zxid logged, which this server claims.
        zxid: Zxid,
        /// The epoch it established last.
        epoch: u32,
    },
    /// The election is decided.
    ElectionDecided {
        /// Who is to lead.
        leader: Sid,
    },
    /// Leader: a quorum is here, and an epoch that none of it knows is durable.
    EpochProposed {
        /// The epoch.
        epoch: u32,
    },
    /// Learner: the leader's epoch is durable here.
    EpochAccepted {
        /// The epoch.
        epoch: u32,
    },
    /// Leader: how a learner is to be brought up to date.
    SyncChosen {
        /// The learner.
        learner: Sid,
        /// How.
        kind: SyncKind,
        /// Where its history ends.
        from: Zxid,
        /// Where the history ends that it is sent.
        to: Zxid,
    },
    /// Learner: the leader has decided how to bring this server up to date.
    SyncBegun {
        /// How.
        kind: SyncKind,
        /// The zxid in its packet.
        zxid: Zxid,
    },
    /// Learner: the leader's history and its epoch are durable here, which was acknowledged.
    NewLeaderAcked {
        /// The epoch.
        epoch: u32,
        /// The last zxid of that history.
        zxid: Zxid,
    },
    /// A quorum holds the leader's history: its epoch is established. Told by the leader, and by learners when they hear
    /// UPTODATE.
    EpochEstablished {
        /// The epoch.
        epoch: u32,
        /// The last zxid of its initial history.
        zxid: Zxid,
    },
    /// Everything up to here is committed. Told in ensembles only.
    Committed {
        /// The last zxid of it.
        zxid: Zxid,
    },
    /// A config was proposed, or a leader began with it: from here on it decides along with the one in force.
    ConfigSeen {
        /// Its version.
        version: Zxid,
    },
    /// A config is in force.
    ConfigInForce {
        /// Its version.
        version: Zxid,
    },
    /// A role ends; the next begins with an election, or by the word of a reconfig.
    RoleLeft {
        /// Why.
        why: Leave,
    },
    /// A learner's link is gone, or another took its place.
    LearnerLost {
        /// The learner, if it had said who it is.
        learner: Option<Sid>,
        /// The link.
        link: LinkId,
    },
}
