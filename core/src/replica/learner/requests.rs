//! What clients of a learner wait for: their requests go to the leader and come back as commits.
//!
//! The leader's answers carry no number of ours. A txn is the answer to the oldest request of its session with its cxid, a
//! SYNC to the oldest sync of all, a REVALIDATE to the oldest question about its session (quorum protocol B6). Nothing here
//! outlives the role: when the leader is lost the connections are closed, and no request is ever sent again, since the
//! first copy may have been carried out (bug museum P26).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use crate::ids::{ConnId, SessionId};
use crate::input::{ClientRequest, RequestBody, Touch};
use crate::wire::client::op;
use crate::wire::jute::Jute;
use crate::wire::quorum::ForwardedRequest;
use crate::wire::request::Request;
use crate::wire::txn::TxnHeader;

/// A request that was passed on.
#[derive(Clone, Copy, Debug)]
struct Pending {
    cxid: i32,
    /// Nobody waits for a session to become the ensemble's.
    conn: Option<ConnId>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    pending: BTreeMap<SessionId, VecDeque<Pending>>,
    pending_count: usize,
    syncs: VecDeque<ConnId>,
    asked: BTreeMap<SessionId, VecDeque<(ConnId, i32)>>,
    touched: BTreeMap<SessionId, i32>,
    /// P26: what was passed on.
    #[cfg(feature = "museum")]
    sent: Vec<ForwardedRequest>,
}

impl Requests {
    /// A new session, whose id this server has chosen, or one that only this server knew: the question for the leader.
    pub(super) fn create_session(
        &mut self,
        conn: Option<ConnId>,
        session: SessionId,
        timeout_ms: i32,
    ) -> ForwardedRequest {
        self.wait(session, 0, conn);
        let body = timeout_ms.to_bytes();
        ForwardedRequest { session, cxid: 0, op: op::CREATE_SESSION, body, auth: None }
    }

    /// A request as the leader gets it.
    pub(super) fn forward(&mut self, request: ClientRequest) -> ForwardedRequest {
        let ClientRequest { conn, session, xid: cxid, auth, body } = request;
        let (op, body) = match body {
            RequestBody::Op(request) => {
                let mut out = BytesMut::new();
                request.encode(&mut out);
                (request.op(), out.freeze())
            }
            // What could not be read here is not read there either, and so takes its zxid as an error.
            RequestBody::Refused(_) => (op::MULTI, Bytes::new()),
        };
        if op == op::SYNC {
            self.syncs.push_back(conn);
        } else {
            self.wait(session, cxid, Some(conn));
        }
        let forwarded = ForwardedRequest { session, cxid, op, body, auth: Some(auth.ids.clone()) };
        #[cfg(feature = "museum")]
        self.sent.push(forwarded.clone());
        forwarded
    }

    /// P26: the writes that were never answered.
    #[cfg(feature = "museum")]
    pub(super) fn unanswered(&mut self) -> Vec<ForwardedRequest> {
        let waits = |request: &ForwardedRequest| {
            let pending = self.pending.get(&request.session).into_iter().flatten();
            pending.into_iter().any(|pending| pending.cxid == request.cxid)
        };
        self.sent.iter().filter(|request| waits(request)).cloned().collect()
    }

    fn wait(&mut self, session: SessionId, cxid: i32, conn: Option<ConnId>) {
        self.pending_count += 1;
        self.pending.entry(session).or_default().push_back(Pending { cxid, conn });
    }

    /// Who waits for this txn.
    pub(super) fn origin(&mut self, header: &TxnHeader) -> Option<ConnId> {
        let waiting = self.pending.get_mut(&header.session)?;
        let Pending { conn, .. } = waiting.pop_front_if(|pending| pending.cxid == header.cxid)?;
        self.pending_count -= 1;
        if waiting.is_empty() {
            self.pending.remove(&header.session);
        }
        conn
    }

    /// Whose sync a SYNC answers.
    pub(super) fn synced(&mut self) -> Option<ConnId> {
        self.syncs.pop_front()
    }

    /// A client wants its session back: the leader knows whether it lives.
    pub(super) fn ask(&mut self, conn: ConnId, touch: Touch) {
        self.asked.entry(touch.session).or_default().push_back((conn, touch.timeout_ms));
    }

    /// Who asked about this session, and with which timeout, ms.
    pub(super) fn asker(&mut self, session: SessionId) -> Option<(ConnId, i32)> {
        let waiting = self.asked.get_mut(&session)?;
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.asked.remove(&session);
        }
        first
    }

    /// Sessions showed life: the leader hears of it with the next PING.
    pub(super) fn touch(&mut self, touches: &[Touch]) {
        self.touched.extend(touches.iter().map(|touch| (touch.session, touch.timeout_ms)));
    }

    /// What the leader is to hear now.
    pub(super) fn take_touches(&mut self) -> Vec<Touch> {
        let touched = core::mem::take(&mut self.touched);
        touched.into_iter().map(|(session, timeout_ms)| Touch { session, timeout_ms }).collect()
    }

    /// True if the session, or this connection with a sync, waits for the leader.
    pub(super) fn owes(&self, session: SessionId, conn: ConnId) -> bool {
        self.pending.contains_key(&session) || self.syncs.contains(&conn)
    }

    /// True if an id that this server chose is on its way to become a session.
    pub(super) fn is_creating(&self, session: SessionId) -> bool {
        self.pending.contains_key(&session)
    }

    /// Requests between the door and their reply.
    pub(super) fn outstanding(&self) -> usize {
        self.pending_count + self.syncs.len()
    }
}

/// Decodes what a learner passed on. An undecodable body is refused as the leader's own prep would refuse it.
pub(in crate::replica) fn decode_forwarded(op: i32, body: Bytes) -> Option<RequestBody> {
    match Request::decode(op, body) {
        Ok(request) => request.map(RequestBody::Op),
        Err(_) => Some(RequestBody::Refused(crate::error::OpError::MarshallingError)),
    }
}
