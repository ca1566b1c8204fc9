//! The framing inside multi and multiRead (client protocol §8): `header, body, header, body, …, last header`.
//!
//! Requests and results have the same shape; the header before each body names its type, and a header with `done`
//! set ends the list.

use alloc::vec::Vec;
use bytes::BytesMut;

use super::client::{
    Create2Response, CreateResponse, ErrorResponse, GetChildrenResponse, GetDataResponse, MultiHeader,
    SetDataResponse, op,
};
use super::jute::{Jute, Reader};
use super::request::MultiOp;
use crate::error::{DecodeError, DecodeErrorKind};

/// Which of the two opcodes: each has its own set of operations, and they do not mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiKind {
    /// multi (14).
    Write,
    /// multiRead (22).
    Read,
}

/// The outcome of one operation inside a multi or multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // one variant per result type
pub enum MultiResult {
    Create(CreateResponse),
    /// Also the result of createContainer and createTTL, which have no types of their own.
    Create2(Create2Response),
    Delete,
    SetData(SetDataResponse),
    Check,
    GetData(GetDataResponse),
    GetChildren(GetChildrenResponse),
    /// A code of [`crate::error::OpError`], or 0 for an operation before the one that failed the multi.
    Error(i32),
}

const LAST: MultiHeader = MultiHeader { kind: -1, done: true, err: -1 };

impl MultiOp {
    /// The type in the header before it.
    pub const fn op(&self) -> i32 {
        match self {
            Self::Create(_) => op::CREATE,
            Self::Create2(_) => op::CREATE2,
            Self::CreateContainer(_) => op::CREATE_CONTAINER,
            Self::CreateTtl(_) => op::CREATE_TTL,
            Self::Delete(_) => op::DELETE,
            Self::SetData(_) => op::SET_DATA,
            Self::Check(_) => op::CHECK,
            Self::GetData(_) => op::GET_DATA,
            Self::GetChildren(_) => op::GET_CHILDREN,
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Create(r) | Self::Create2(r) | Self::CreateContainer(r) => r.encode(out),
            Self::CreateTtl(r) => r.encode(out),
            Self::Delete(r) => r.encode(out),
            Self::SetData(r) => r.encode(out),
            Self::Check(r) => r.encode(out),
            Self::GetData(r) => r.encode(out),
            Self::GetChildren(r) => r.encode(out),
        }
    }

    fn decode(kind: MultiKind, op: i32, r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match (kind, op) {
            (MultiKind::Write, op::CREATE) => Self::Create(Jute::decode(r)?),
            (MultiKind::Write, op::CREATE2) => Self::Create2(Jute::decode(r)?),
            (MultiKind::Write, op::CREATE_CONTAINER) => Self::CreateContainer(Jute::decode(r)?),
            (MultiKind::Write, op::CREATE_TTL) => Self::CreateTtl(Jute::decode(r)?),
            (MultiKind::Write, op::DELETE) => Self::Delete(Jute::decode(r)?),
            (MultiKind::Write, op::SET_DATA) => Self::SetData(Jute::decode(r)?),
            (MultiKind::Write, op::CHECK) => Self::Check(Jute::decode(r)?),
            (MultiKind::Read, op::GET_DATA) => Self::GetData(Jute::decode(r)?),
            (MultiKind::Read, op::GET_CHILDREN) => Self::GetChildren(Jute::decode(r)?),
            (MultiKind::Write, _) => return Err(unknown(r, "type inside a multi", op)),
            (MultiKind::Read, _) => return Err(unknown(r, "type inside a multiRead", op)),
        })
    }
}

impl MultiResult {
    /// The type in the header before it.
    pub const fn kind(&self) -> i32 {
        match self {
            Self::Create(_) => op::CREATE,
            Self::Create2(_) => op::CREATE2,
            Self::Delete => op::DELETE,
            Self::SetData(_) => op::SET_DATA,
            Self::Check => op::CHECK,
            Self::GetData(_) => op::GET_DATA,
            Self::GetChildren(_) => op::GET_CHILDREN,
            Self::Error(_) => op::ERROR,
        }
    }

    /// The err in the header before it: that of an error, 0 for everything else.
    const fn err(&self) -> i32 {
        if let Self::Error(err) = self { *err } else { 0 }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Create(r) => r.encode(out),
            Self::Create2(r) => r.encode(out),
            Self::Delete | Self::Check => {}
            Self::SetData(r) => r.encode(out),
            Self::GetData(r) => r.encode(out),
            Self::GetChildren(r) => r.encode(out),
            Self::Error(err) => ErrorResponse { err: *err }.encode(out),
        }
    }

    fn decode(kind: i32, r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match kind {
            op::CREATE => Self::Create(Jute::decode(r)?),
            op::CREATE2 => Self::Create2(Jute::decode(r)?),
            op::DELETE => Self::Delete,
            op::SET_DATA => Self::SetData(Jute::decode(r)?),
            op::CHECK => Self::Check,
            op::GET_DATA => Self::GetData(Jute::decode(r)?),
            op::GET_CHILDREN => Self::GetChildren(Jute::decode(r)?),
            op::ERROR => Self::Error(ErrorResponse::decode(r)?.err),
            _ => return Err(unknown(r, "result type", kind)),
        })
    }
}

/// Appends the operations of a multi or multiRead request.
pub fn encode_ops(ops: &[MultiOp], out: &mut BytesMut) {
    for op in ops {
        MultiHeader { kind: op.op(), done: false, err: -1 }.encode(out);
        op.encode(out);
    }
    LAST.encode(out);
}

/// Reads the operations of a request up to its last header, whose type and err mean nothing.
pub fn decode_ops(kind: MultiKind, r: &mut Reader) -> Result<Vec<MultiOp>, DecodeError> {
    let mut ops = Vec::new();
    loop {
        let header = MultiHeader::decode(r)?;
        if header.done {
            return Ok(ops);
        }
        ops.push(MultiOp::decode(kind, header.kind, r)?);
    }
}

/// Appends the results of a multi or multiRead.
pub fn encode_results(results: &[MultiResult], out: &mut BytesMut) {
    for result in results {
        MultiHeader { kind: result.kind(), done: false, err: result.err() }.encode(out);
        result.encode(out);
    }
    LAST.encode(out);
}

/// Reads the results of a multi or multiRead, as a client does.
pub fn decode_results(r: &mut Reader) -> Result<Vec<MultiResult>, DecodeError> {
    let mut results = Vec::new();
    loop {
        let header = MultiHeader::decode(r)?;
        if header.done {
            return Ok(results);
        }
        results.push(MultiResult::decode(header.kind, r)?);
    }
}

fn unknown(r: &Reader, what: &'static str, found: i32) -> DecodeError {
    r.error(DecodeErrorKind::Unknown { what, found: found.into() })
}
