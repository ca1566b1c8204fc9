//! Records of the client protocol (§6), in wire order.

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::jute::{Jute, Reader, record};
use super::records::{Acl, Stat};
use crate::error::DecodeError;
use crate::ids::{SessionId, Zxid};
use crate::text::Text;

/// Opcodes (§5).
pub mod op {
    #![allow(missing_docs)]
    pub const NOTIFICATION: i32 = 0;
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const SASL: i32 = 102;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CREATE_SESSION: i32 = -10;
    pub const CLOSE_SESSION: i32 = -11;
    pub const ERROR: i32 = -1;
}

/// Reserved xids (§4).
pub mod xid {
    #![allow(missing_docs)]
    pub const NOTIFICATION: i32 = -1;
    pub const PING: i32 = -2;
    pub const AUTH: i32 = -4;
    pub const SET_WATCHES: i32 = -8;
}

/// A client's first frame. `read_only` is `None` when the byte was absent: then the response must omit it too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // fields as in the protocol
pub struct ConnectRequest {
    pub protocol_version: i32,
    pub last_zxid_seen: Zxid,
    pub timeout_ms: i32,
    pub session: SessionId,
    pub password: Option<Bytes>,
    pub read_only: Option<bool>,
}

/// The server's first frame. A timeout of 0 tells the client that its session is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // fields as in the protocol
pub struct ConnectResponse {
    pub protocol_version: i32,
    pub timeout_ms: i32,
    pub session: SessionId,
    pub password: Option<Bytes>,
    pub read_only: Option<bool>,
}

impl Jute for ConnectRequest {
    const MIN_LEN: usize = 28;

    fn encode(&self, out: &mut BytesMut) {
        self.protocol_version.encode(out);
        self.last_zxid_seen.encode(out);
        self.timeout_ms.encode(out);
        self.session.encode(out);
        self.password.encode(out);
        encode_flag(self.read_only, out);
    }

    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: Jute::decode(r)?,
            last_zxid_seen: Jute::decode(r)?,
            timeout_ms: Jute::decode(r)?,
            session: Jute::decode(r)?,
            password: Jute::decode(r)?,
            read_only: decode_flag(r)?,
        })
    }
}

impl Jute for ConnectResponse {
    const MIN_LEN: usize = 20;

    fn encode(&self, out: &mut BytesMut) {
        self.protocol_version.encode(out);
        self.timeout_ms.encode(out);
        self.session.encode(out);
        self.password.encode(out);
        encode_flag(self.read_only, out);
    }

    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: Jute::decode(r)?,
            timeout_ms: Jute::decode(r)?,
            session: Jute::decode(r)?,
            password: Jute::decode(r)?,
            read_only: decode_flag(r)?,
        })
    }
}

/// The readOnly byte of the handshake, which clients of before 3.4 (and Go's of today) leave out.
fn encode_flag(flag: Option<bool>, out: &mut BytesMut) {
    if let Some(flag) = flag {
        flag.encode(out);
    }
}

fn decode_flag(r: &mut Reader) -> Result<Option<bool>, DecodeError> {
    if r.left() == 0 { Ok(None) } else { bool::decode(r).map(Some) }
}

record! {
    /// Before every request but the first.
    #[derive(Copy)]
    RequestHeader {
        /// The client's number for it, echoed in the reply.
        xid: i32,
        /// One of [`op`].
        op: i32,
    }
}

record! {
    /// Before every reply but the first.
    #[derive(Copy)]
    ReplyHeader {
        /// The request's, or one of [`xid`].
        xid: i32,
        /// The last zxid applied when the reply was made (§4).
        zxid: Zxid,
        /// 0, or an error code (§9).
        err: i32,
    }
}

macro_rules! records {
    ($($name:ident { $($field:ident : $t:ty),* $(,)? })*) => {$(
        record! {
            #[allow(missing_docs)] // fields as in the protocol
            $name { $($field: $t),* }
        }
    )*};
}

records! {
    CreateRequest { path: Text, data: Option<Bytes>, acl: Vec<Acl>, flags: i32 }
    CreateTtlRequest { path: Text, data: Option<Bytes>, acl: Vec<Acl>, flags: i32, ttl_ms: i64 }
    CreateResponse { path: Text }
    Create2Response { path: Text, stat: Stat }
    DeleteRequest { path: Text, version: i32 }
    DeleteContainerRequest { path: Text }
    ExistsRequest { path: Text, watch: bool }
    ExistsResponse { stat: Stat }
    GetDataRequest { path: Text, watch: bool }
    GetDataResponse { data: Option<Bytes>, stat: Stat }
    SetDataRequest { path: Text, data: Option<Bytes>, version: i32 }
    SetDataResponse { stat: Stat }
    GetAclRequest { path: Text }
    GetAclResponse { acl: Vec<Acl>, stat: Stat }
    SetAclRequest { path: Text, acl: Vec<Acl>, version: i32 }
    SetAclResponse { stat: Stat }
    GetChildrenRequest { path: Text, watch: bool }
    GetChildrenResponse { children: Vec<Text> }
    GetChildren2Request { path: Text, watch: bool }
    GetChildren2Response { children: Vec<Text>, stat: Stat }
    GetAllChildrenNumberRequest { path: Text }
    GetAllChildrenNumberResponse { total: i32 }
    GetEphemeralsRequest { prefix: Option<Text> }
    GetEphemeralsResponse { paths: Vec<Text> }
    SyncRequest { path: Option<Text> }
    SyncResponse { path: Option<Text> }
    CheckVersionRequest { path: Text, version: i32 }
    ReconfigRequest { joining: Option<Text>, leaving: Option<Text>, new_members: Option<Text>, config: i64 }
    CheckWatchesRequest { path: Text, kind: i32 }
    RemoveWatchesRequest { path: Text, kind: i32 }
    AddWatchRequest { path: Text, mode: i32 }
    SetWatches {
        relative_zxid: Zxid, data: Option<Vec<Text>>, exist: Option<Vec<Text>>, child: Option<Vec<Text>>,
    }
    SetWatches2 {
        relative_zxid: Zxid, data: Option<Vec<Text>>, exist: Option<Vec<Text>>, child: Option<Vec<Text>>,
        persistent: Option<Vec<Text>>, recursive: Option<Vec<Text>>,
    }
    AuthPacket { kind: i32, scheme: Option<Text>, auth: Option<Bytes> }
    GetSaslRequest { token: Option<Bytes> }
    SetSaslResponse { token: Option<Bytes> }
    ClientInfo { scheme: Text, user: Text }
    WhoAmIResponse { clients: Vec<ClientInfo> }
    ErrorResponse { err: i32 }
    MultiHeader { kind: i32, done: bool, err: i32 }
    WatcherEvent { kind: i32, state: i32, path: Text }
}
