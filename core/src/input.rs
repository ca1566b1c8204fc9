//! The whole vocabulary that goes into a [`crate::replica::Replica`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::LogRecord;
use crate::auth::AuthInfo;
use crate::disk::recovery::Recovered;
use crate::election::port::PortInput;
use crate::error::{DiskFault, OpError};
use crate::ids::{ConnId, LinkId, SessionId, Zxid};
use crate::tree::Tree;
use crate::wire::quorum::QuorumPacket;
pub use crate::wire::quorum::Touch;
use crate::wire::request::Request;

/// Names a disk command; tokens grow, and `Durable(t)` covers every command up to `t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token(pub u64);

/// Names a question to the log on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// What a driver tells the replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// `now` has reached [`crate::replica::Replica::deadline`].
    Tick,
    /// A client's handshake passed the front's checks (password included, for a re-attach).
    Connect {
        /// The connection that waits for its ConnectResponse.
        conn: ConnId,
        /// What it asks for.
        ask: SessionAsk,
        /// What its client is content with.
        access: Access,
    },
    /// A write, a sync or a close, in the order the connection sent them.
    Request(ClientRequest),
    /// A connection is gone; its session lives on until it expires.
    Gone {
        /// The connection.
        conn: ConnId,
    },
    /// Sessions that showed life since the last report.
    Touched(Vec<Touch>),
    /// Every disk command up to this token survives a power cut.
    Durable(Token),
    /// The tree has reached this zxid: prep may forget older overlay records.
    Applied(Zxid),
    /// The background snapshot that an [`crate::action::Action::Snapshot`] started is durable under its name.
    SnapshotDone {
        /// The zxid in its name.
        zxid: Zxid,
    },
    /// Something happened on the election port.
    Election(PortInput),
    /// Something happened on the quorum port.
    Link {
        /// On this connection.
        link: LinkId,
        /// What.
        event: LinkEvent,
    },
    /// The answer to an [`crate::action::Action::ReadLog`].
    LogPart {
        /// Which one.
        query: QueryId,
        /// What the log holds.
        part: LogPart,
    },
    /// The answer to an [`crate::action::Action::Reload`]: the state as of the zxid that was asked for, or why it cannot
    /// be had. Nothing on the disk has changed.
    Reloaded(Result<Box<Recovered>, DiskFault>),
    /// A disk operation failed. There is no retry: the replica answers with `Fatal`.
    DiskFailed(DiskFault),
    /// An operator's (or the shutting-down driver's) command.
    Admin(AdminCommand),
}

/// What happens on a connection of the quorum port. In the order of the stream; nothing comes after `Down` and `DialFailed`.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    /// A dial succeeded, or a connection was accepted (and, where it is asked for, authenticated).
    Up,
    /// A dial failed or took too long.
    DialFailed,
    /// A packet came.
    Packet(QuorumPacket),
    /// Part of the snapshot behind a SNAP packet went out, or came in: the other side lives. To be told at least once per
    /// tick while it goes on, and (by the sender) when the last of it has been given to the operating system.
    SnapshotMoved,
    /// The whole snapshot behind a SNAP packet came, with its signature; the tree is as of the zxid in the packet.
    Snapshot(Box<Tree>),
    /// The connection is gone, by itself or because of bytes that are no packets. Not told of links that were hung up.
    Down(String),
}

/// What the log on disk holds for a learner that is far behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPart {
    /// Everything from the last txn at or before the first zxid asked for through the first at or after the last, in
    /// order.
    Records(Vec<LogRecord>),
    /// It does not reach back so far, or is longer than the limit.
    Unfit,
}

/// What a handshake asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionAsk {
    /// A new session with this (already clamped) timeout.
    New {
        /// ms.
        timeout_ms: i32,
    },
    /// This session again; its password was right.
    Reattach {
        /// The session.
        session: SessionId,
        /// Clamped timeout, ms.
        timeout_ms: i32,
    },
}

/// What a client is content with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A server that takes writes.
    ReadWrite,
    /// One without a leader as well.
    ReadOnly,
}

/// A request on its way to the replica.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    /// Where the answer goes.
    pub conn: ConnId,
    /// Who asks.
    pub session: SessionId,
    /// The client's number for it.
    pub xid: i32,
    /// The identities attached when the request was read from the socket.
    pub auth: Arc<AuthInfo>,
    /// What is asked.
    pub body: RequestBody,
}

/// What a [`ClientRequest`] asks.
#[derive(Clone, Debug)]
pub enum RequestBody {
    /// A decoded write, sync or closeSession.
    Op(Request),
    /// A write that is refused already but still takes its zxid, as an undecodable multi does (client protocol §4).
    Refused(OpError),
}

/// Commands that do not come from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminCommand {
    /// Take a snapshot now.
    Snapshot,
    /// Take no more requests; let what is in flight finish.
    Drain,
}
