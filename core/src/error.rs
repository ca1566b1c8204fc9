//! Who is to blame, as types: bad bytes, a refused operation, a sick disk.

use alloc::string::String;
use thiserror::Error;

use crate::ids::Zxid;

/// Bytes that are not what the protocol says. Carries the offset within the frame or file part being decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at byte {offset}: {kind}")]
pub struct DecodeError {
    /// Offset of the first byte of the offending field.
    pub offset: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// What was wrong with the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeErrorKind {
    /// The input ended inside a field.
    #[error("{needed} more bytes expected, {left} left")]
    Short {
        /// Bytes the field needs.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A length or count outside its limit.
    #[error("length {found} is outside 0..={limit}")]
    Length {
        /// The length in the input.
        found: i64,
        /// The largest that is accepted.
        limit: usize,
    },
    /// A null where a value is required.
    #[error("null where {0} is required")]
    Null(&'static str),
    /// A number that names nothing.
    #[error("{what} {found} is unknown")]
    Unknown {
        /// What the number should have named.
        what: &'static str,
        /// The number.
        found: i64,
    },
    /// A magic, end marker or fixed byte that differs.
    #[error("{0}")]
    Malformed(&'static str),
}

/// An operation's refusal, one for each code that a server sends (client protocol §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
#[repr(i32)]
#[allow(missing_docs)] // the names are the field's own
pub enum OpError {
    #[error("runtime inconsistency")]
    RuntimeInconsistency = -2,
    #[error("marshalling error")]
    MarshallingError = -5,
    #[error("unimplemented")]
    Unimplemented = -6,
    #[error("bad arguments")]
    BadArguments = -8,
    #[error("new config has no quorum")]
    NewConfigNoQuorum = -13,
    #[error("reconfig in progress")]
    ReconfigInProgress = -14,
    #[error("no node")]
    NoNode = -101,
    #[error("no auth")]
    NoAuth = -102,
    #[error("bad version")]
    BadVersion = -103,
    #[error("no children for ephemerals")]
    NoChildrenForEphemerals = -108,
    #[error("node exists")]
    NodeExists = -110,
    #[error("not empty")]
    NotEmpty = -111,
    #[error("session expired")]
    SessionExpired = -112,
    #[error("invalid ACL")]
    InvalidAcl = -114,
    #[error("auth failed")]
    AuthFailed = -115,
    #[error("session moved")]
    SessionMoved = -118,
    #[error("not read-only")]
    NotReadOnly = -119,
    #[error("ephemeral on local session")]
    EphemeralOnLocalSession = -120,
    #[error("no watcher")]
    NoWatcher = -121,
    #[error("reconfig disabled")]
    ReconfigDisabled = -123,
    #[error("session closed: SASL auth required")]
    SessionClosedRequireSaslAuth = -124,
    #[error("quota exceeded")]
    QuotaExceeded = -125,
    #[error("throttled")]
    ThrottledOp = -127,
}

impl OpError {
    /// Every refusal.
    const ALL: [Self; 23] = [
        Self::RuntimeInconsistency,
        Self::MarshallingError,
        Self::Unimplemented,
        Self::BadArguments,
        Self::NewConfigNoQuorum,
        Self::ReconfigInProgress,
        Self::NoNode,
        Self::NoAuth,
        Self::BadVersion,
        Self::NoChildrenForEphemerals,
        Self::NodeExists,
        Self::NotEmpty,
        Self::SessionExpired,
        Self::InvalidAcl,
        Self::AuthFailed,
        Self::SessionMoved,
        Self::NotReadOnly,
        Self::EphemeralOnLocalSession,
        Self::NoWatcher,
        Self::ReconfigDisabled,
        Self::SessionClosedRequireSaslAuth,
        Self::QuotaExceeded,
        Self::ThrottledOp,
    ];

    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The refusal that a number on the wire stands for: clients name what they were answered.
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.code() == code)
    }
}

/// What a disk (or a file on it) did to us. Every variant says where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DiskFault {
    /// Bytes that must not be there: refusing is the only safe answer.
    #[error("{file}: corrupt at byte {offset}: {what}")]
    Corrupt {
        /// File name as the operator sees it.
        file: String,
        /// Offset of the damage.
        offset: u64,
        /// What was expected and what was found.
        what: String,
    },
    /// Data that must be there and is not.
    #[error("{file}: {what}")]
    Missing {
        /// The file, or the directory that lacks it.
        file: String,
        /// What is missing.
        what: String,
    },
    /// The operating system refused.
    #[error("{file}: {op} failed: {error}")]
    Io {
        /// File name.
        file: String,
        /// The operation.
        op: &'static str,
        /// The system's words.
        error: String,
    },
    /// Epoch files that contradict the data (disk format §2).
    #[error("{file}: epoch {found} contradicts {what}")]
    Epoch {
        /// Which epoch file.
        file: String,
        /// Its value.
        found: i64,
        /// What it contradicts.
        what: String,
    },
    /// Records of one epoch do not follow one another.
    #[error("{file}: zxid {found} follows {last} at byte {offset}: transactions are missing between them")]
    Gap {
        /// The log file.
        file: String,
        /// Offset of the record after the hole.
        offset: u64,
        /// The last zxid before the hole.
        last: Zxid,
        /// The first zxid after it.
        found: Zxid,
    },
}
