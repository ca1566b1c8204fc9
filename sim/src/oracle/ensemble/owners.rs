//! I31: who asks for a session, as its leader has heard it.
//!
//! The server that a session came to last asks for it. A leader that has let a session move takes nothing more from the
//! server where it was, but a close.

use std::collections::BTreeMap;

use bytes::Buf;
use zk_core::action::{Action, LogRecord, SessionAnswer};
use zk_core::error::OpError;
use zk_core::ids::SessionId;
use zk_core::input::{Input, LinkEvent, SessionAsk};
use zk_core::wire::client::op;
use zk_core::wire::quorum::QuorumPacket;
use zk_core::wire::txn::{Txn, TxnBody};

use super::super::invariant::{Invariant, Violation, ensure};
use super::Ensemble;

/// What a leader has heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    /// Servers by session.
    owners: BTreeMap<SessionId, u32>,
    /// What is being dealt with, and whose it is.
    asking: Option<(u32, Asking)>,
}

#[derive(Clone, Copy, Debug)]
enum Asking {
    Request(SessionId, i32),
    Session(SessionId),
}

impl Owners {
    /// A leader is told this by that node.
    pub(super) fn told(&mut self, node: u32, peer: Option<u32>, input: &Input) {
        self.asking = match input {
            Input::Request(request) => Some((node, Asking::Request(request.session, request.xid))),
            Input::Connect { ask: SessionAsk::Reattach { session, .. }, .. } => {
                Some((node, Asking::Session(*session)))
            }
            Input::Link { event: LinkEvent::Packet(packet), .. } => {
                peer.and_then(|peer| Some((peer, asked_in(packet)?)))
            }
            _ => None,
        };
    }

    /// A session goes on elsewhere.
    pub(super) fn moves(&mut self, action: &Action) {
        let moved = match action {
            Action::Session { answer: SessionAnswer::Attached { session, .. }, .. } => session,
            Action::Send { packet: QuorumPacket::Revalidated { session, valid: true }, .. } => session,
            _ => return,
        };
        if let Some((server, Asking::Session(session))) = self.asking
            && session == *moved
        {
            self.owners.insert(session, server);
        }
    }

    /// The leader makes a txn of what was asked: the server from which it is, and the one whose session it is, which is the
    /// first to ask. `None` where nobody asked for it.
    fn asked(&mut self, record: &LogRecord) -> Option<(SessionId, u32, u32)> {
        let mut header = &record.bytes[..];
        let (session, cxid) = (SessionId(header.try_get_i64().ok()?), header.try_get_i32().ok()?);
        let (server, Asking::Request(asking, number)) = self.asking? else { return None };
        if (asking, number) != (session, cxid) {
            return None;
        }
        let owner = *self.owners.entry(session).or_insert(server);
        Some((session, server, owner))
    }
}

fn asked_in(packet: &QuorumPacket) -> Option<Asking> {
    match packet {
        QuorumPacket::Request(request) if request.op != op::CREATE_SESSION => {
            Some(Asking::Request(request.session, request.cxid))
        }
        QuorumPacket::Revalidate { touch } => Some(Asking::Session(touch.session)),
        _ => None,
    }
}

impl Ensemble {
    /// A leader has made a new txn.
    pub(super) fn check_owner(&mut self, node: u32, record: &LogRecord) -> Result<(), Violation> {
        let Some((session, server, owner)) = self.machine(node).part.owners.asked(record) else {
            return Ok(());
        };
        if server == owner {
            return ensure(!says_moved(record), Invariant::I31, || {
                format!(
                    "refuses {} of session {session}, which has not moved from node {server}",
                    record.zxid
                )
            });
        }
        let body = Txn::decode(record.bytes.clone()).expect("the core's own encoding").body;
        let refused = |err| err == OpError::SessionMoved.code() || err == OpError::SessionExpired.code();
        let held = match body {
            TxnBody::Error { err } => refused(err),
            TxnBody::CloseSession { .. } => true,
            _ => false,
        };
        ensure(held, Invariant::I31, || {
            format!(
                "takes {} for session {session} from node {server}, though it has moved to node {owner}",
                record.zxid
            )
        })
    }
}

/// The txn is the error by which a server hears that a session is another's.
fn says_moved(record: &LogRecord) -> bool {
    const HEADER_LEN: usize = 32;
    let moved = || Txn::decode(record.bytes.clone()).is_ok_and(|txn| txn.body == MOVED);
    record.bytes.len() <= HEADER_LEN + size_of::<i32>() && moved()
}

const MOVED: TxnBody = TxnBody::Error { err: OpError::SessionMoved.code() };
