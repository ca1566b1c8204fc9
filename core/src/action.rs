//! The whole vocabulary that comes out of a [`crate::replica::Replica`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::disk::epochs::EpochKind;
use crate::election::links;
use crate::error::OpError;
use crate::event::Event;
use crate::ids::{ConnId, LinkId, SessionId, Sid, Zxid};
use crate::input::{QueryId, Token};
use crate::quorum::Membership;
use crate::replica::{LogShare, PeerFault, Standing};
use crate::time::WallMs;
use crate::tree::{ApplyMode, Tree, TreeView};
use crate::wire::quorum::QuorumPacket;
use crate::wire::txn::Txn;

/// What the replica wants done. Order matters: a driver carries actions out in the order they were emitted.
#[derive(Clone, Debug)]
pub enum Action {
    /// To the disk queue, which is one FIFO. Answered by `Input::Durable` (or `DiskFailed`).
    Disk(DiskCommand),
    /// Hand these to [`crate::front`] in this order; answered with `Input::Applied`.
    Apply(Vec<Commit>),
    /// Start a background snapshot of the tree as it is when this is carried out. Answered by `SnapshotDone`.
    Snapshot,
    /// The answer to a re-attach (new sessions are answered by applying their createSession txn).
    Session {
        /// The connection that asked.
        conn: ConnId,
        /// The verdict.
        answer: SessionAnswer,
    },
    /// Close this connection after what is queued for it.
    Close {
        /// The connection.
        conn: ConnId,
        /// Why, for the log.
        why: CloseReason,
    },
    /// From here on this is the server's tree. In one queue with `Apply`, and answered with `Applied` of its last zxid,
    /// which may be lower than one reported before.
    Adopt(Box<Tree>),
    /// Write the membership into `/zookeeper/config` of this server's tree ([`Tree::set_config`]). No txn, no zxid. In one
    /// queue with `Apply`; not answered.
    ConfigNode(ConfigNode),
    /// Who belongs to the ensemble from here on. To be written down where the server finds it when it starts again, durably,
    /// before anything is carried out that follows; and whoever is dialled is to be found there, and the own ports are to be
    /// where it says.
    Membership(Arc<Membership>),
    /// Rebuild, beside the tree that is in use, the state as of this zxid from snapshots and log; change nothing on the
    /// disk. Asked only while no disk command is under way. Answered by `Input::Reloaded`.
    Reload {
        /// The last zxid that counts.
        to: Zxid,
    },
    /// Read the log on disk from the last txn at or before `from` through the first at or after `to`. Answered by
    /// `Input::LogPart`.
    ReadLog {
        /// To tell answers apart.
        query: QueryId,
        /// Where a learner's history ends.
        from: Zxid,
        /// Where what is in memory begins.
        to: Zxid,
        /// When the answer is to be `Unfit`.
        limit: LogShare,
    },
    /// Do this with a connection of the election port ([`crate::election::links`]).
    Election {
        /// Which.
        link: links::LinkId,
        /// What.
        command: links::LinkCommand,
    },
    /// Accept connections on the quorum port from now on.
    Listen,
    /// Accept none any more. Those that there are go on.
    Unlisten,
    /// Open a connection to a server's quorum port: answered by `Up` or `DialFailed` for this link.
    Dial {
        /// Whose.
        sid: Sid,
        /// What it will be called.
        link: LinkId,
    },
    /// Send a packet, behind everything sent on this link before.
    Send {
        /// Where.
        link: LinkId,
        /// What.
        packet: QuorumPacket,
    },
    /// Send SNAP with this view's zxid, the view, and the signature, behind everything sent on this link before. What
    /// follows on this link waits; nothing else does.
    SendView {
        /// Where.
        link: LinkId,
        /// What.
        view: Box<TreeView>,
    },
    /// Close a link at once; what has not been sent may be lost. Nothing more is to be told of it.
    Hang {
        /// Which.
        link: LinkId,
        /// Why, for the log.
        why: HangReason,
    },
    /// The server's standing changed: when it ceases to serve, all client connections are to be closed at once; before it
    /// serves none are to be accepted.
    Role(Standing),
    /// Another server has taken this session over: close the connection that serves it here, if there is one.
    SessionMoved {
        /// The session.
        session: SessionId,
    },
    /// A session that only this server knew has expired: close the connection that serves it, if there is one.
    SessionExpired {
        /// The session.
        session: SessionId,
    },
    /// Something worth telling: log line, counter, trace.
    Event(Event),
    /// Stop this process; nothing more may be promised.
    Fatal(String),
}

/// Disk work that the replica orders. [`crate::disk::planner`] turns it into file operations.
#[derive(Clone, Debug)]
pub enum DiskCommand {
    /// Append records and make them durable.
    Append {
        /// Reported back when durable.
        token: Token,
        /// In zxid order.
        records: Vec<LogRecord>,
    },
    /// The next append begins a new log file.
    Roll,
    /// Remove everything beyond `to`: log records, and snapshots with a name beyond it.
    Truncate {
        /// Reported back when durable.
        token: Token,
        /// The last zxid that stays.
        to: Zxid,
    },
    /// Write one of the epoch files.
    SetEpoch {
        /// Reported back when durable.
        token: Token,
        /// Which.
        which: EpochKind,
        /// Its new value.
        epoch: u32,
    },
    /// Write the view as a snapshot under its own zxid; then remove the log records and the snapshots beyond that zxid,
    /// which a lost branch of history left (quorum protocol B5). Durable when all that is.
    Install {
        /// Reported back when durable.
        token: Token,
        /// The state that the server starts from.
        view: Box<TreeView>,
    },
}

impl DiskCommand {
    /// The token by which it is reported durable; `None` for what promises nothing.
    pub const fn token(&self) -> Option<Token> {
        match self {
            Self::Append { token, .. }
            | Self::Truncate { token, .. }
            | Self::SetEpoch { token, .. }
            | Self::Install { token, .. } => Some(*token),
            Self::Roll => None,
        }
    }
}

/// What `/zookeeper/config` is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigNode {
    /// Config text.
    pub text: Bytes,
    /// The config's version: the node's mzxid.
    pub version: Zxid,
    /// This server's wall clock: the node's mtime.
    pub time: WallMs,
}

/// Why a link of the quorum port is hung up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HangReason {
    /// The peer broke the protocol.
    Fault(PeerFault),
    /// This server does not lead (any more), or left this leader.
    RoleLost,
    /// A newer link of the same server took its place.
    Replaced,
    /// Nothing came for too long.
    Silent,
    /// The learner has more history than this leader, which must not lead it.
    AheadOfLeader,
    /// The leader's epoch is older than one that was accepted.
    EpochBehind,
    /// The learner's config is newer than the leader's.
    ConfigAhead,
    /// Speaks a protocol from before 3.4.
    TooOld,
    /// Claims to be this very server.
    Twin,
    /// No config names it, and so many of its kind are connected that no more are taken.
    TooManyStrangers,
    /// An observer, while as many learners as may be are brought up to date.
    TooManySyncs,
    /// Too much is queued for it, or it acknowledges too slowly: it may come back and be synchronised.
    TooSlow,
    /// What the leader wants cut off cannot be cut off here. A snapshot is asked for next time.
    CannotTruncate,
}

/// One record of the transaction log: the serialised txn, shared with everyone else who sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// The txn's zxid.
    pub zxid: Zxid,
    /// Header, body, digest.
    pub bytes: Bytes,
}

/// One step of the committed order.
#[derive(Clone, Debug)]
pub enum Commit {
    /// A committed transaction.
    Txn {
        /// The transaction.
        txn: Arc<Txn>,
        /// The connection of this server that asked for it, if any.
        origin: Option<ConnId>,
        /// How it is to be applied.
        mode: ApplyMode,
    },
    /// Every write proposed before this sync has been applied: answer it.
    Sync {
        /// The connection that asked.
        conn: ConnId,
    },
    /// The oldest request of this connection is refused, without a place in the order.
    Refused {
        /// The connection that asked.
        conn: ConnId,
        /// With what.
        error: OpError,
    },
    /// A session that only this server knew is closed, as this connection asked.
    Closed {
        /// The connection that asked.
        conn: ConnId,
    },
}

/// The verdict on a re-attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionAnswer {
    /// The session goes on here.
    Attached {
        /// The session.
        session: SessionId,
        /// Negotiated timeout, ms.
        timeout_ms: i32,
        /// Who knows it.
        scope: SessionScope,
    },
    /// Unknown, expired or closing: the invalid-session response, then close.
    Invalid,
}

/// Who knows a session, and what that means for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionScope {
    /// The ensemble.
    #[default]
    Global,
    /// This server, until it makes an ephemeral.
    Upgradable,
    /// This server: ephemerals are refused.
    Local,
    /// This server, which has no leader: everything but reads is refused.
    ReadOnly,
}

/// Why a connection is closed by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client's closeSession was carried out.
    SessionClosed,
    /// The session expired.
    SessionExpired,
    /// Another connection took the session over.
    SessionTakenOver,
    /// The handshake was refused; the text says why.
    Refused(String),
    /// More connections begin than `connection_throttle_tokens` lets in.
    Throttled,
    /// The requests in flight that are larger than `largeRequestThreshold` come to `largeRequestMaxBytes`.
    LargeRequest,
    /// Its requests waited for longer than its session's timeout.
    Stale,
    /// Bytes that are not the protocol; the text says which.
    Malformed(String),
    /// An opcode that names nothing.
    UnknownOpcode(i32),
    /// An auth packet failed.
    AuthFailed,
    /// A request came without an identity that is asked for.
    AuthRequired,
    /// No handshake, or no traffic, for too long.
    Idle,
    /// The client does not read what it asked for.
    SlowReader,
    /// The server stops.
    ShuttingDown,
    /// Another server serves the session by now.
    SessionMoved,
    /// The server has no leader.
    NotServing,
}
