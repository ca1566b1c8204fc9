//! From the first frame to an established session (client protocol §3.4).

use alloc::collections::VecDeque;
use alloc::format;
use bytes::Bytes;

use super::connection::{Connection, Limits, Phase, Waiting};
use super::throttle::Handshake;
use super::{Connections, Host, Intake};
use crate::action::CloseReason;
use crate::ids::SessionId;
use crate::input::{Access, Input, SessionAsk};
use crate::session;
use crate::wire::client::ConnectRequest;
use crate::wire::jute::Jute;

/// Takes a ConnectRequest: refuses it, or asks the replica for the session.
pub(super) fn greet<C: Connections, W>(
    conn: &mut Connection,
    frame: Bytes,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    let request = match ConnectRequest::from_bytes(frame) {
        Ok(request) => request,
        Err(error) => return conn.close(CloseReason::Malformed(format!("ConnectRequest: {error}"))),
    };
    let what = match request.session {
        SessionId::NONE => Handshake::New,
        _ => Handshake::Renewed,
    };
    if !host.conns.admits(what, host.now.mono) {
        return conn.close(CloseReason::Throttled);
    }
    // A server that is behind its client would show it the past.
    let (seen, last) = (request.last_zxid_seen, host.tree.last_zxid());
    if seen > last {
        let why = format!("the client has seen zxid {seen}, this server has {last}");
        return conn.close(CloseReason::Refused(why));
    }
    let config = host.config;
    let timeout_ms = request.timeout_ms.max(config.min_session_timeout_ms).min(config.max_session_timeout_ms);
    let session = request.session;
    let ask = if session == SessionId::NONE {
        SessionAsk::New { timeout_ms }
    } else {
        // As Java does, before the password is looked at.
        if let Some(old) = host.conns.conn_of(session).filter(|old| *old != conn.id) {
            intake.close.push((old, CloseReason::SessionTakenOver));
        }
        if !session::is_right(session, request.password.as_deref()) {
            let why = format!("wrong password for session {session}");
            return conn.refuse_session(request.read_only, CloseReason::Refused(why));
        }
        SessionAsk::Reattach { session, timeout_ms }
    };
    conn.timeout_ms = timeout_ms;
    conn.limits = Limits::of(config);
    conn.pipeline.count_above(config.large_above);
    let (read_only, since) = (request.read_only, host.now.mono);
    conn.phase = Phase::Waiting(Waiting { read_only, since, behind: VecDeque::new() });
    let access = if read_only == Some(true) { Access::ReadOnly } else { Access::ReadWrite };
    intake.inputs.push(Input::Connect { conn: conn.id, ask, access });
}
