//! [`Request`]: a client frame's body, by opcode.

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::client::{
    AddWatchRequest, AuthPacket, CheckVersionRequest, CheckWatchesRequest, CreateRequest, CreateTtlRequest,
    DeleteContainerRequest, DeleteRequest, ExistsRequest, GetAclRequest, GetAllChildrenNumberRequest,
    GetChildren2Request, GetChildrenRequest, GetDataRequest, GetEphemeralsRequest, GetSaslRequest,
    ReconfigRequest, RemoveWatchesRequest, SetAclRequest, SetDataRequest, SetWatches, SetWatches2,
    SyncRequest, op,
};
use super::jute::{Jute, Reader};
use super::multi::{self, MultiKind};
use crate::error::DecodeError;
use crate::text::Text;

/// A decoded request. The opcode decides the variant (client protocol §5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // one variant per opcode
pub enum Request {
    Create(CreateRequest),
    Create2(CreateRequest),
    CreateContainer(CreateRequest),
    CreateTtl(CreateTtlRequest),
    Delete(DeleteRequest),
    DeleteContainer(DeleteContainerRequest),
    SetData(SetDataRequest),
    SetAcl(SetAclRequest),
    Check(CheckVersionRequest),
    Multi(Vec<MultiOp>),
    MultiRead(Vec<MultiOp>),
    Reconfig(ReconfigRequest),
    Exists(ExistsRequest),
    GetData(GetDataRequest),
    GetAcl(GetAclRequest),
    GetChildren(GetChildrenRequest),
    GetChildren2(GetChildren2Request),
    GetAllChildrenNumber(GetAllChildrenNumberRequest),
    GetEphemerals(GetEphemeralsRequest),
    Sync(SyncRequest),
    CheckWatches(CheckWatchesRequest),
    RemoveWatches(RemoveWatchesRequest),
    AddWatch(AddWatchRequest),
    SetWatches(SetWatches),
    SetWatches2(SetWatches2),
    Auth(AuthPacket),
    Sasl(GetSaslRequest),
    WhoAmI,
    Ping,
    CreateSession { timeout_ms: i32 },
    CloseSession,
}

/// One operation inside a multi or multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // one variant per opcode
pub enum MultiOp {
    Create(CreateRequest),
    Create2(CreateRequest),
    CreateContainer(CreateRequest),
    CreateTtl(CreateTtlRequest),
    Delete(DeleteRequest),
    SetData(SetDataRequest),
    Check(CheckVersionRequest),
    GetData(GetDataRequest),
    GetChildren(GetChildrenRequest),
}

impl Request {
    /// Decodes the body that follows a request header. `Ok(None)`: the opcode names no request.
    /// Trailing bytes are ignored, as Java ignores them.
    ///
    /// Every opcode that has a body is decoded, those included that a server accepts from its peers only
    /// (createSession, deleteContainer) or inside a multi only (check); the front turns those away.
    pub fn decode(op: i32, body: Bytes) -> Result<Option<Self>, DecodeError> {
        let r = &mut Reader::new(body);
        Ok(Some(match op {
            op::CREATE => Self::Create(Jute::decode(r)?),
            op::CREATE2 => Self::Create2(Jute::decode(r)?),
            op::CREATE_CONTAINER => Self::CreateContainer(Jute::decode(r)?),
            op::CREATE_TTL => Self::CreateTtl(Jute::decode(r)?),
            op::DELETE => Self::Delete(Jute::decode(r)?),
            op::DELETE_CONTAINER => Self::DeleteContainer(Jute::decode(r)?),
            op::SET_DATA => Self::SetData(Jute::decode(r)?),
            op::SET_ACL => Self::SetAcl(Jute::decode(r)?),
            op::CHECK => Self::Check(Jute::decode(r)?),
            op::MULTI => Self::Multi(multi::decode_ops(MultiKind::Write, r)?),
            op::MULTI_READ => Self::MultiRead(multi::decode_ops(MultiKind::Read, r)?),
            op::RECONFIG => Self::Reconfig(Jute::decode(r)?),
            op::EXISTS => Self::Exists(Jute::decode(r)?),
            op::GET_DATA => Self::GetData(Jute::decode(r)?),
            op::GET_ACL => Self::GetAcl(Jute::decode(r)?),
            op::GET_CHILDREN => Self::GetChildren(Jute::decode(r)?),
            op::GET_CHILDREN2 => Self::GetChildren2(Jute::decode(r)?),
            op::GET_ALL_CHILDREN_NUMBER => Self::GetAllChildrenNumber(Jute::decode(r)?),
            op::GET_EPHEMERALS => Self::GetEphemerals(Jute::decode(r)?),
            op::SYNC => Self::Sync(Jute::decode(r)?),
            op::CHECK_WATCHES => {
                Self::CheckWatches(CheckWatchesRequest { path: watched(r)?, kind: Jute::decode(r)? })
            }
            op::REMOVE_WATCHES => {
                Self::RemoveWatches(RemoveWatchesRequest { path: watched(r)?, kind: Jute::decode(r)? })
            }
            op::ADD_WATCH => Self::AddWatch(AddWatchRequest { path: watched(r)?, mode: Jute::decode(r)? }),
            op::SET_WATCHES => Self::SetWatches(Jute::decode(r)?),
            op::SET_WATCHES2 => Self::SetWatches2(Jute::decode(r)?),
            op::AUTH => Self::Auth(Jute::decode(r)?),
            op::SASL => Self::Sasl(Jute::decode(r)?),
            op::WHO_AM_I => Self::WhoAmI,
            op::PING => Self::Ping,
            op::CREATE_SESSION => Self::CreateSession { timeout_ms: Jute::decode(r)? },
            op::CLOSE_SESSION => Self::CloseSession,
            _ => return Ok(None),
        }))
    }

    /// Appends the body that follows the request header.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Create(request) => request.encode(out),
            Self::Create2(request) => request.encode(out),
            Self::CreateContainer(request) => request.encode(out),
            Self::CreateTtl(request) => request.encode(out),
            Self::Delete(request) => request.encode(out),
            Self::DeleteContainer(request) => request.encode(out),
            Self::SetData(request) => request.encode(out),
            Self::SetAcl(request) => request.encode(out),
            Self::Check(request) => request.encode(out),
            Self::Multi(ops) => multi::encode_ops(ops, out),
            Self::MultiRead(ops) => multi::encode_ops(ops, out),
            Self::Reconfig(request) => request.encode(out),
            Self::Exists(request) => request.encode(out),
            Self::GetData(request) => request.encode(out),
            Self::GetAcl(request) => request.encode(out),
            Self::GetChildren(request) => request.encode(out),
            Self::GetChildren2(request) => request.encode(out),
            Self::GetAllChildrenNumber(request) => request.encode(out),
            Self::GetEphemerals(request) => request.encode(out),
            Self::Sync(request) => request.encode(out),
            Self::CheckWatches(request) => request.encode(out),
            Self::RemoveWatches(request) => request.encode(out),
            Self::AddWatch(request) => request.encode(out),
            Self::SetWatches(request) => request.encode(out),
            Self::SetWatches2(request) => request.encode(out),
            Self::Auth(request) => request.encode(out),
            Self::Sasl(request) => request.encode(out),
            Self::CreateSession { timeout_ms } => timeout_ms.encode(out),
            Self::WhoAmI | Self::Ping | Self::CloseSession => {}
        }
    }

    /// The opcode.
    pub const fn op(&self) -> i32 {
        match self {
            Self::Create(_) => op::CREATE,
            Self::Create2(_) => op::CREATE2,
            Self::CreateContainer(_) => op::CREATE_CONTAINER,
            Self::CreateTtl(_) => op::CREATE_TTL,
            Self::Delete(_) => op::DELETE,
            Self::DeleteContainer(_) => op::DELETE_CONTAINER,
            Self::SetData(_) => op::SET_DATA,
            Self::SetAcl(_) => op::SET_ACL,
            Self::Check(_) => op::CHECK,
            Self::Multi(_) => op::MULTI,
            Self::MultiRead(_) => op::MULTI_READ,
            Self::Reconfig(_) => op::RECONFIG,
            Self::Exists(_) => op::EXISTS,
            Self::GetData(_) => op::GET_DATA,
            Self::GetAcl(_) => op::GET_ACL,
            Self::GetChildren(_) => op::GET_CHILDREN,
            Self::GetChildren2(_) => op::GET_CHILDREN2,
            Self::GetAllChildrenNumber(_) => op::GET_ALL_CHILDREN_NUMBER,
            Self::GetEphemerals(_) => op::GET_EPHEMERALS,
            Self::Sync(_) => op::SYNC,
            Self::CheckWatches(_) => op::CHECK_WATCHES,
            Self::RemoveWatches(_) => op::REMOVE_WATCHES,
            Self::AddWatch(_) => op::ADD_WATCH,
            Self::SetWatches(_) => op::SET_WATCHES,
            Self::SetWatches2(_) => op::SET_WATCHES2,
            Self::Auth(_) => op::AUTH,
            Self::Sasl(_) => op::SASL,
            Self::WhoAmI => op::WHO_AM_I,
            Self::Ping => op::PING,
            Self::CreateSession { .. } => op::CREATE_SESSION,
            Self::CloseSession => op::CLOSE_SESSION,
        }
    }
}

/// The path of a request about watches. A null one is taken (by Java, too), and a watch there never fires, no more than one at
/// the empty path, which it is read as.
fn watched(r: &mut Reader) -> Result<Text, DecodeError> {
    Ok(Option::<Text>::decode(r)?.unwrap_or_default())
}
