//! Transactions as the log, PROPOSAL and INFORM carry them (disk format §4).

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::framing::put_frame;
use super::jute::{Jute, Reader, put_len, record};
use super::records::Acl;
use crate::error::{DecodeError, DecodeErrorKind};
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
    Multi(Vec<Self>),
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

/// Bytes of an encoded [`TxnDigest`].
const DIGEST_LEN: usize = <TxnDigest as Jute>::MIN_LEN;

/// The only version of the digest algorithm (disk format §10).
const DIGEST_VERSION: i32 = 2;

impl Txn {
    /// Appends header, body and digest: the bytes that the log, PROPOSAL and INFORM carry.
    pub fn encode(&self, out: &mut BytesMut) {
        assert_eq!(self.header.kind, self.body.kind(), "a txn's header names the type of its body");
        self.header.encode(out);
        self.body.encode(out);
        if let Some(digest) = &self.digest {
            digest.encode(out);
        }
    }

    /// The encoding on its own.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        self.encode(&mut out);
        out.freeze()
    }

    /// Decodes a whole txn. Unlike a client's request it may not have trailing bytes: they would be lost when the
    /// txn is forwarded.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(bytes);
        let header = TxnHeader::decode(r)?;
        let body = TxnBody::decode(header.kind, r)?;
        let digest = if r.left() == 0 { None } else { Some(TxnDigest::decode(r)?) };
        end(r)?;
        Ok(Self { header, body, digest })
    }
}

impl TxnBody {
    /// Its type number, one of [`kind`].
    pub const fn kind(&self) -> i32 {
        match self {
            Self::CreateSession { .. } => kind::CREATE_SESSION,
            Self::CloseSession { .. } => kind::CLOSE_SESSION,
            Self::Error { .. } => kind::ERROR,
            Self::Create(txn) => txn.kind.number(),
            Self::Delete { .. } => kind::DELETE,
            Self::DeleteContainer { .. } => kind::DELETE_CONTAINER,
            Self::SetData { .. } => kind::SET_DATA,
            Self::Reconfig { .. } => kind::RECONFIG,
            Self::SetAcl { .. } => kind::SET_ACL,
            Self::Check { .. } => kind::CHECK,
            Self::Multi(_) => kind::MULTI,
        }
    }

    /// Appends the body without its header.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::CreateSession { timeout_ms } => timeout_ms.encode(out),
            Self::CloseSession { paths } => {
                if let Some(paths) = paths {
                    paths.encode(out);
                }
            }
            Self::Error { err } => err.encode(out),
            Self::Create(txn) => txn.encode(out),
            Self::Delete { path } | Self::DeleteContainer { path } => path.encode(out),
            Self::SetData { path, data, version } | Self::Reconfig { path, data, version } => {
                path.encode(out);
                data.encode(out);
                version.encode(out);
            }
            Self::SetAcl { path, acl, version } => {
                path.encode(out);
                acl.encode(out);
                version.encode(out);
            }
            Self::Check { path, version } => {
                path.encode(out);
                version.encode(out);
            }
            Self::Multi(entries) => encode_multi(entries, out),
        }
    }

    /// Decodes a body of type `number`, leaving the reader at the digest, if there is one.
    fn decode(number: i32, r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match number {
            kind::CREATE_SESSION => Self::CreateSession { timeout_ms: Jute::decode(r)? },
            kind::CLOSE_SESSION => Self::CloseSession { paths: decode_closed_paths(r)? },
            kind::SET_ACL => {
                Self::SetAcl { path: Jute::decode(r)?, acl: Jute::decode(r)?, version: Jute::decode(r)? }
            }
            kind::RECONFIG => {
                Self::Reconfig { path: Jute::decode(r)?, data: Jute::decode(r)?, version: Jute::decode(r)? }
            }
            kind::MULTI => Self::Multi(decode_multi(r)?),
            other => return Self::decode_entry(other, r),
        })
    }

    /// Decodes a body of a type that may stand inside a multi, too. A multi inside a multi is refused, as in Java,
    /// so that no input decides how deep we recurse.
    fn decode_entry(number: i32, r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match number {
            kind::ERROR => Self::Error { err: Jute::decode(r)? },
            kind::CREATE => Self::Create(CreateTxn::decode(CreateKind::Create, r)?),
            kind::CREATE2 => Self::Create(CreateTxn::decode(CreateKind::Create2, r)?),
            kind::CREATE_CONTAINER => Self::Create(CreateTxn::decode(CreateKind::Container, r)?),
            kind::CREATE_TTL => Self::Create(CreateTxn::decode(CreateKind::Ttl(0), r)?),
            kind::DELETE => Self::Delete { path: Jute::decode(r)? },
            kind::DELETE_CONTAINER => Self::DeleteContainer { path: Jute::decode(r)? },
            kind::SET_DATA => {
                Self::SetData { path: Jute::decode(r)?, data: Jute::decode(r)?, version: Jute::decode(r)? }
            }
            kind::CHECK => Self::Check { path: Jute::decode(r)?, version: Jute::decode(r)? },
            _ => return Err(r.error(DecodeErrorKind::Unknown { what: "txn type", found: number.into() })),
        })
    }
}

impl CreateKind {
    /// The txn type number.
    pub const fn number(self) -> i32 {
        match self {
            Self::Create => kind::CREATE,
            Self::Create2 => kind::CREATE2,
            Self::Container => kind::CREATE_CONTAINER,
            Self::Ttl(_) => kind::CREATE_TTL,
        }
    }
}

impl CreateTxn {
    fn encode(&self, out: &mut BytesMut) {
        self.path.encode(out);
        self.data.encode(out);
        self.acl.encode(out);
        if matches!(self.kind, CreateKind::Create | CreateKind::Create2) {
            self.ephemeral.encode(out);
        }
        self.parent_cversion.encode(out);
        if let CreateKind::Ttl(ttl_ms) = self.kind {
            ttl_ms.encode(out);
        }
    }

    /// `kind` says which record to expect; the ttl in it is replaced by the one that is read.
    fn decode(kind: CreateKind, r: &mut Reader) -> Result<Self, DecodeError> {
        let path = Jute::decode(r)?;
        let data = Jute::decode(r)?;
        let acl = Jute::decode(r)?;
        let ephemeral = matches!(kind, CreateKind::Create | CreateKind::Create2) && bool::decode(r)?;
        // Logs of 3.3 end here (Java: CreateTxnV0); they have no digest either.
        let old = kind == CreateKind::Create && r.left() == 0;
        let parent_cversion = if old { -1 } else { Jute::decode(r)? };
        let kind = if let CreateKind::Ttl(_) = kind { CreateKind::Ttl(Jute::decode(r)?) } else { kind };
        Ok(Self { kind, path, data, acl, ephemeral, parent_cversion })
    }
}

/// The list of a closeSession, which may be absent while a digest is there: 12 bytes that begin with the digest's
/// version are a digest, since a list of two paths is at least 14 bytes long. (Java loses the digest here.)
fn decode_closed_paths(r: &mut Reader) -> Result<Option<Vec<Text>>, DecodeError> {
    let absent = match r.left() {
        0 => true,
        DIGEST_LEN => r.clone().i32()? == DIGEST_VERSION,
        _ => false,
    };
    if absent { Ok(None) } else { Jute::decode(r).map(Some) }
}

/// A vector of (type, body in a buffer).
fn encode_multi(entries: &[TxnBody], out: &mut BytesMut) {
    put_len(out, entries.len());
    for entry in entries {
        entry.kind().encode(out);
        put_frame(out, |out| entry.encode(out));
    }
}

fn decode_multi(r: &mut Reader) -> Result<Vec<TxnBody>, DecodeError> {
    let count = r.count_of(MULTI_ENTRY_MIN)?.unwrap_or(0);
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let number = r.i32()?;
        let at = r.offset();
        let null = DecodeError { offset: at, kind: DecodeErrorKind::Null("a multi's entry") };
        let body = &mut Reader::new(r.buffer()?.ok_or(null)?);
        let within = |e: DecodeError| DecodeError { offset: at + 4 + e.offset, kind: e.kind };
        entries.push(TxnBody::decode_entry(number, body).map_err(within)?);
        // Java's leader, once it has carried out a multi that failed, calls all of its entries errors and leaves their
        // bodies as they were; so it sends it to learners that come back (and reads the first four bytes as the code).
        if number != kind::ERROR {
            end(body).map_err(within)?;
        }
    }
    Ok(entries)
}

/// Bytes of a multi's shortest entry: type, length, an error code or the length of an empty path.
const MULTI_ENTRY_MIN: usize = 12;

fn end(r: &Reader) -> Result<(), DecodeError> {
    if r.left() == 0 {
        Ok(())
    } else {
        Err(r.error(DecodeErrorKind::Malformed("bytes behind the end of a txn")))
    }
}
