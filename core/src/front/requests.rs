//! Frames of an established session: which are answered here and now, which wait, which go to the replica.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{Buf, BufMut, Bytes};

use super::connection::Connection;
use super::pipeline::{Owed, Pending};
use super::serve_read::{Read, Reader};
use super::{Coming, Connections, FrontConfig, Host, Intake, Watches};
use crate::action::{CloseReason, SessionScope};
use crate::auth;
use crate::error::OpError;
use crate::ids::{SessionId, Zxid};
use crate::input::{ClientRequest, Input, RequestBody, Touch};
use crate::time::Mono;
use crate::wire::client::{AuthPacket, GetSaslRequest, RequestHeader, op};
use crate::wire::jute::{Jute, Reader as JuteReader};
use crate::wire::multi::{self, MultiKind};
use crate::wire::request::Request;

/// The zxid of replies that are made beside the order of requests.
const OUT_OF_BAND: Zxid = Zxid::ZERO;
/// The zxid of the reply to an opcode that names nothing.
const NO_ZXID: Zxid = Zxid(-1);

/// Takes one frame of a session.
pub(super) fn take<C: Connections, W: Watches>(
    conn: &mut Connection,
    session: SessionId,
    mut frame: Bytes,
    coming: Coming,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    let frame_len = frame.len();
    if frame_len < RequestHeader::MIN_LEN {
        let why = format!("a frame of {frame_len} bytes is too short for a request header");
        return conn.close(CloseReason::Malformed(why));
    }
    let (xid, op) = (frame.get_i32(), frame.get_i32());
    let at = Arrived { session, xid, op, frame_len };
    match op {
        op::AUTH => take_auth(conn, &at, frame, host),
        op::SASL => take_sasl(conn, &at, frame),
        _ if !host.config.enforced_schemes.is_empty() && !is_authenticated(conn, host.config) => {
            conn.outgoing.refusal(at.xid, OUT_OF_BAND, OpError::SessionClosedRequireSaslAuth);
            return conn.close(CloseReason::AuthRequired);
        }
        // Between servers, or inside a multi: never from a client on its own.
        op::CHECK | op::DELETE_CONTAINER | op::CREATE_SESSION => return refuse_opcode(conn, &at),
        _ => match Request::decode(op, frame.clone()) {
            Ok(None) => return refuse_opcode(conn, &at),
            _ if coming == Coming::Late && !matches!(op, op::PING | op::CLOSE_SESSION) => {
                return read(conn, &at, Read::Throttled { op }, host, intake);
            }
            Ok(Some(request)) => return take_request(conn, &at, request, host, intake),
            Err(_) => return take_undecodable(conn, &at, frame, host, intake),
        },
    }
    conn.report_touch(session, host, intake);
}

/// True if the client has an identity of a scheme that is asked for.
fn is_authenticated(conn: &Connection, config: &FrontConfig) -> bool {
    conn.auth.ids.iter().any(|id| config.enforced_schemes.iter().any(|scheme| id.scheme == **scheme))
}

/// A frame's header and whereabouts.
struct Arrived {
    session: SessionId,
    xid: i32,
    op: i32,
    frame_len: usize,
}

fn refuse_opcode(conn: &mut Connection, at: &Arrived) {
    conn.outgoing.refusal(at.xid, NO_ZXID, OpError::Unimplemented);
    conn.close(CloseReason::UnknownOpcode(at.op));
}

/// Identities are attached when the packet is read: its reply may overtake others, and requests before it keep what
/// they came with (client protocol §11).
fn take_auth<C, W>(conn: &mut Connection, at: &Arrived, body: Bytes, host: &Host<'_, C, W>) {
    let packet = match AuthPacket::from_bytes(body) {
        Ok(packet) => packet,
        Err(error) => return conn.close(CloseReason::Malformed(format!("auth packet: {error}"))),
    };
    let super_digest = host.config.super_digest.as_deref();
    match auth::authenticate(packet.scheme.as_deref(), packet.auth.as_deref(), super_digest) {
        Ok(ids) => {
            let attached = Arc::make_mut(&mut conn.auth);
            ids.into_iter().for_each(|id| attached.add(id));
            conn.outgoing.header(at.xid, OUT_OF_BAND, 0);
        }
        Err(_) => {
            conn.outgoing.refusal(at.xid, OUT_OF_BAND, OpError::AuthFailed);
            conn.close(CloseReason::AuthFailed);
        }
    }
}

/// A server without SASL answers with a null token, and goes on.
fn take_sasl(conn: &mut Connection, at: &Arrived, body: Bytes) {
    match GetSaslRequest::from_bytes(body) {
        // Java stumbles over a null one, and hangs up.
        Ok(GetSaslRequest { token: None }) => {
            conn.close(CloseReason::Malformed("sasl packet: null where a token is required".into()));
        }
        Ok(_) => conn.outgoing.reply(at.xid, OUT_OF_BAND, |out| out.put_i32(-1)),
        Err(error) => conn.close(CloseReason::Malformed(format!("sasl packet: {error}"))),
    }
}

fn take_request<C: Connections, W: Watches>(
    conn: &mut Connection,
    at: &Arrived,
    request: Request,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    match &request {
        Request::Create(_)
        | Request::Create2(_)
        | Request::CreateContainer(_)
        | Request::CreateTtl(_)
        | Request::Delete(_)
        | Request::SetData(_)
        | Request::SetAcl(_)
        | Request::Multi(_)
        | Request::Reconfig(_) => {
            let refusal = refusal_of(conn.scope, &request);
            let owed = Owed::Write { op: at.op, refusal };
            ask_replica(conn, at, owed, RequestBody::Op(request), host, intake);
        }
        Request::Sync(r) => {
            let owed = Owed::Sync { path: r.path.clone() };
            ask_replica(conn, at, owed, RequestBody::Op(request), host, intake);
        }
        Request::CloseSession => {
            ask_replica(conn, at, Owed::Close, RequestBody::Op(request), host, intake);
        }
        Request::Exists(_)
        | Request::GetData(_)
        | Request::GetAcl(_)
        | Request::GetChildren(_)
        | Request::GetChildren2(_)
        | Request::GetAllChildrenNumber(_)
        | Request::GetEphemerals(_)
        | Request::CheckWatches(_)
        | Request::RemoveWatches(_)
        | Request::AddWatch(_)
        | Request::SetWatches(_)
        | Request::SetWatches2(_)
        | Request::MultiRead(_)
        | Request::WhoAmI
        | Request::Ping => read(conn, at, Read::Request(request), host, intake),
        Request::Auth(_)
        | Request::Sasl(_)
        | Request::Check(_)
        | Request::DeleteContainer(_)
        | Request::CreateSession { .. } => {
            unreachable!("invariant: `take` has dealt with these opcodes: {request:?}")
        }
    }
}

/// A session that only this server knows and that cannot become the ensemble's hears why it makes no ephemerals, though its
/// leader refuses them as it refuses sessions that it does not know (semantics §13.5).
const fn refusal_of(scope: SessionScope, request: &Request) -> Option<OpError> {
    match (scope, request) {
        (SessionScope::Local, Request::Create(r) | Request::Create2(r)) if matches!(r.flags, 1 | 3) => {
            Some(OpError::EphemeralOnLocalSession)
        }
        _ => None,
    }
}

/// An undecodable request is refused in its turn and takes no zxid, but for a multi, which does (client protocol §4).
fn take_undecodable<C: Connections, W: Watches>(
    conn: &mut Connection,
    at: &Arrived,
    body: Bytes,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    if at.op == op::MULTI {
        let refused = RequestBody::Refused(OpError::MarshallingError);
        return ask_replica(conn, at, Owed::Write { op: at.op, refusal: None }, refused, host, intake);
    }
    let ends_a_multi =
        at.op == op::MULTI_READ && multi::decode_ops(MultiKind::Write, &mut JuteReader::new(body)).is_ok();
    read(conn, at, Read::Undecodable { op: at.op, ends_a_multi }, host, intake);
}

fn ask_replica<C, W>(
    conn: &mut Connection,
    at: &Arrived,
    owed: Owed,
    body: RequestBody,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    if conn.pipeline.ends() {
        return;
    }
    let &Arrived { session, xid, frame_len, .. } = at;
    // The replica takes the request itself for a sign of life.
    conn.touch_reported = Some(host.now.mono);
    conn.pipeline.push(Pending { xid, started: host.now.mono, frame_len, owed });
    let auth = Arc::clone(&conn.auth);
    intake.inputs.push(Input::Request(ClientRequest { conn: conn.id, session, xid, auth, body }));
}

fn read<C: Connections, W: Watches>(
    conn: &mut Connection,
    at: &Arrived,
    read: Read,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    let &Arrived { session, xid, frame_len, .. } = at;
    conn.report_touch(session, host, intake);
    let started = host.now.mono;
    if conn.pipeline.is_empty() || planted!(host.config.museum, P25) {
        conn.serve(session, xid, started, &read, None, host);
    } else if !conn.pipeline.ends() {
        let auth = Arc::clone(&conn.auth);
        conn.pipeline.push(Pending { xid, started, frame_len, owed: Owed::Read { read, auth } });
    }
}

impl Connection {
    /// Serves a read with the identities it came with; `None`: those of now.
    fn serve<C: Connections, W: Watches>(
        &mut self,
        session: SessionId,
        xid: i32,
        started: Mono,
        read: &Read,
        auth: Option<&auth::AuthInfo>,
        host: &Host<'_, C, W>,
    ) {
        let Self { auth: current, watches, outgoing: out, .. } = self;
        let auth = auth.unwrap_or(current);
        Reader { session, auth, watches, out }.serve(xid, read, host);
        self.answered(read.op(), xid, host.tree.last_zxid(), started, host);
    }

    /// Notes that a request was answered just now.
    pub(super) fn answered<C: Connections, W>(
        &mut self,
        op: i32,
        xid: i32,
        zxid: Zxid,
        started: Mono,
        host: &Host<'_, C, W>,
    ) {
        self.outgoing.answered(op, xid, zxid, started, host.now);
        host.conns.answered(op, host.now.mono.since(started));
    }

    /// Serves the reads that have nothing before them any more.
    pub(super) fn serve_parked<C: Connections, W: Watches>(&mut self, host: &Host<'_, C, W>) {
        let Some(session) = self.session() else { return };
        while let Some(Pending { xid, started, owed, .. }) = self.pipeline.pop_read() {
            let Owed::Read { read, auth } = owed else {
                unreachable!("invariant: `pop_read` yields reads");
            };
            self.serve(session, xid, started, &read, Some(&auth), host);
        }
    }

    /// Tells the replica that the session is alive, at most once per quarter of a tick: a session table adds that
    /// quarter to what it grants.
    fn report_touch<C, W>(&mut self, session: SessionId, host: &Host<'_, C, W>, intake: &mut Intake) {
        let quarter_ns = u64::from(host.config.tick_ms) * 1_000_000 / 4;
        let now = host.now.mono;
        if self.touch_reported.is_some_and(|at| now.since(at) < quarter_ns) {
            return;
        }
        self.touch_reported = Some(now);
        let touch = Touch { session, timeout_ms: self.timeout_ms };
        if let Some(Input::Touched(touches)) = intake.inputs.last_mut() {
            touches.push(touch);
        } else {
            intake.inputs.push(Input::Touched(Vec::from([touch])));
        }
    }
}
