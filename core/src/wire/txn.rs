//! Transactions as the log, PROPOSAL and INFORM carry them (disk format §4).

use alloc::vec::Vec;
use bytes::Bytes;

use super::jute::record;
use super::records::Acl;
use crate::ids::{SessionId, Zxid};
use crate::text::Text;
use crate::time::WallMs;

record! {
    /// The 32 bytes before every txn body.
    #[derive(Copy)]
    TxnHeader {
        /// The session that asked.
        session: SessionId,
        /// That session's xid.
        cxid: i32,
        /// This txn's place in the order of all.
        zxid: Zxid,
        /// The leader's wall clock when it was prepared, ms.
        time: WallMs,
        /// One of [`kind`].
        kind: i32,
    }
}

/// Txn type numbers.
pub mod kind {
    #![allow(missing_docs)]
    pub const CREATE_SESSION: i32 = -10;
    pub const CLOSE_SESSION: i32 = -11;
    pub const ERROR: i32 = -1;
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const SET_DATA: i32 = 5;
    pub const SET_ACL: i32 = 7;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const CREATE_TTL: i32 = 21;
}

/// Which of the create txns; they differ on the wire and, on replay, in effect (disk format §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CreateKind {
    /// Type 1.
    Create,
    /// Type 15.
    Create2,
    /// Type 19.
    Container,
    /// Type 21, with the time to live in ms.
    Ttl(i64),
}

/// What a create txn does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTxn {
    /// Which opcode.
    pub kind: CreateKind,
    /// Full path, sequence suffix included.
    pub path: Text,
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// Resolved list: no `auth` entries.
    pub acl: Vec<Acl>,
    /// True for ephemerals; always false for containers and TTL nodes, which do not carry it on the wire.
    pub ephemeral: bool,
    /// The parent's new creates counter; -1 (or absent, before 3.4) means "one more".
    pub parent_cversion: i32,
}

/// What a txn does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnBody {
    /// A session begins; the header's session is the new one. Timeout in ms.
    CreateSession {
        /// Negotiated timeout, ms.
        timeout_ms: i32,
    },
    /// A session ends; `None` when the log was written without the list (≤ 3.5).
    CloseSession {
        /// The ephemerals to delete.
        paths: Option<Vec<Text>>,
    },
    /// A refused write: it changes nothing but the last zxid.
    Error {
        /// An error code (client protocol §9).
        err: i32,
    },
    /// Any kind of create.
    Create(CreateTxn),
    /// A node goes.
    Delete {
        /// Its path.
        path: Text,
    },
    /// A container or expired TTL node goes (by the leader's own hand).
    DeleteContainer {
        /// Its path.
        path: Text,
    },
    /// New data.
    SetData {
        /// The node.
        path: Text,
        /// Null and empty differ.
        data: Option<Bytes>,
        /// The *new* version.
        version: i32,
    },
    /// New membership: as `SetData` on `/zookeeper/config`.
    Reconfig {
        /// The node.
        path: Text,
        /// Config text.
        data: Option<Bytes>,
        /// Always -1.
        version: i32,
    },
    /// New ACL.
    SetAcl {
        /// The node.
        path: Text,
        /// Resolved list.
        acl: Vec<Acl>,
        /// The *new* aversion.
        version: i32,
    },
    /// A version check; only inside a multi, never verified on apply.
    Check {
        /// The node.
        path: Text,
        /// The incremented version.
        version: i32,
    },
    /// All or nothing. If any entry is an `Error`, nothing is applied.
    Multi(Vec<TxnBody>),
}

record! {
    /// The digest of the tree *after* a txn (disk format §10).
    #[derive(Copy)]
    TxnDigest {
        /// 2.
        version: i32,
        /// Sum of node digests modulo 2^64.
        digest: i64,
    }
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// Who, when, where in the order.
    pub header: TxnHeader,
    /// What.
    pub body: TxnBody,
    /// The tree's digest afterwards; absent on error txns and where digests are off.
    pub digest: Option<TxnDigest>,
}
