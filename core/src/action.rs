//! The whole vocabulary that comes out of a [`crate::replica::Replica`].

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::event::Event;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::input::Token;
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
    },
    /// Every write proposed before this sync has been applied: answer it.
    Sync {
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
    },
    /// Unknown, expired or closing: the invalid-session response, then close.
    Invalid,
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
    /// Bytes that are not the protocol; the text says which.
    Malformed(String),
    /// An opcode that names nothing.
    UnknownOpcode(i32),
    /// An auth packet failed.
    AuthFailed,
    /// No handshake, or no traffic, for too long.
    Idle,
    /// The client does not read what it asked for.
    SlowReader,
    /// The server stops.
    ShuttingDown,
}
