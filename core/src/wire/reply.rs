//! [`Reply`]: the body behind a reply header, by the opcode of the request it answers. Clients need it.

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::client::{
    Create2Response, CreateResponse, ErrorResponse, ExistsResponse, GetAclResponse,
    GetAllChildrenNumberResponse, GetChildren2Response, GetChildrenResponse, GetDataResponse,
    GetEphemeralsResponse, SetAclResponse, SetDataResponse, SetSaslResponse, SyncResponse, WhoAmIResponse,
    op,
};
use super::jute::{Jute, Reader};
use super::multi::{self, MultiResult};
use crate::error::DecodeError;

/// The body of a reply whose header says err 0 (client protocol §5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // one variant per response record
pub enum Reply {
    /// Operations that answer with their header only.
    Empty,
    Create(CreateResponse),
    /// create2, createContainer and createTTL.
    Create2(Create2Response),
    SetData(SetDataResponse),
    SetAcl(SetAclResponse),
    /// multi and multiRead.
    Multi(Vec<MultiResult>),
    Exists(ExistsResponse),
    /// getData and reconfig.
    GetData(GetDataResponse),
    GetAcl(GetAclResponse),
    GetChildren(GetChildrenResponse),
    GetChildren2(GetChildren2Response),
    GetAllChildrenNumber(GetAllChildrenNumberResponse),
    GetEphemerals(GetEphemeralsResponse),
    Sync(SyncResponse),
    AddWatch(ErrorResponse),
    Sasl(SetSaslResponse),
    WhoAmI(WhoAmIResponse),
}

impl Reply {
    /// Decodes the body of a successful reply to a request of this opcode. `Ok(None)`: no reply answers it with err 0.
    pub fn decode(op: i32, body: Bytes) -> Result<Option<Self>, DecodeError> {
        let r = &mut Reader::new(body);
        Ok(Some(match op {
            op::CREATE => Self::Create(Jute::decode(r)?),
            op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => Self::Create2(Jute::decode(r)?),
            op::SET_DATA => Self::SetData(Jute::decode(r)?),
            op::SET_ACL => Self::SetAcl(Jute::decode(r)?),
            op::MULTI | op::MULTI_READ => Self::Multi(multi::decode_results(r)?),
            op::EXISTS => Self::Exists(Jute::decode(r)?),
            op::GET_DATA | op::RECONFIG => Self::GetData(Jute::decode(r)?),
            op::GET_ACL => Self::GetAcl(Jute::decode(r)?),
            op::GET_CHILDREN => Self::GetChildren(Jute::decode(r)?),
            op::GET_CHILDREN2 => Self::GetChildren2(Jute::decode(r)?),
            op::GET_ALL_CHILDREN_NUMBER => Self::GetAllChildrenNumber(Jute::decode(r)?),
            op::GET_EPHEMERALS => Self::GetEphemerals(Jute::decode(r)?),
            op::SYNC => Self::Sync(Jute::decode(r)?),
            op::ADD_WATCH => Self::AddWatch(Jute::decode(r)?),
            op::SASL => Self::Sasl(Jute::decode(r)?),
            op::WHO_AM_I => Self::WhoAmI(Jute::decode(r)?),
            op::DELETE
            | op::DELETE_CONTAINER
            | op::CHECK_WATCHES
            | op::REMOVE_WATCHES
            | op::SET_WATCHES
            | op::SET_WATCHES2
            | op::AUTH
            | op::PING
            | op::CLOSE_SESSION => Self::Empty,
            _ => return Ok(None),
        }))
    }

    /// Appends the body that follows the reply header.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Empty => {}
            Self::Create(reply) => reply.encode(out),
            Self::Create2(reply) => reply.encode(out),
            Self::SetData(reply) => reply.encode(out),
            Self::SetAcl(reply) => reply.encode(out),
            Self::Multi(results) => multi::encode_results(results, out),
            Self::Exists(reply) => reply.encode(out),
            Self::GetData(reply) => reply.encode(out),
            Self::GetAcl(reply) => reply.encode(out),
            Self::GetChildren(reply) => reply.encode(out),
            Self::GetChildren2(reply) => reply.encode(out),
            Self::GetAllChildrenNumber(reply) => reply.encode(out),
            Self::GetEphemerals(reply) => reply.encode(out),
            Self::Sync(reply) => reply.encode(out),
            Self::AddWatch(reply) => reply.encode(out),
            Self::Sasl(reply) => reply.encode(out),
            Self::WhoAmI(reply) => reply.encode(out),
        }
    }
}
