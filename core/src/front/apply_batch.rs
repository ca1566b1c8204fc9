//! Committed txns, one after the other: into the tree, to the watchers, to whoever asked, to the reads behind.

use alloc::sync::Arc;

use super::connection::Connection;
use super::events::Bell;
use super::outgoing::Outgoing;
use super::pipeline::{Owed, Pending};
use super::reply::put_txn_reply;
use super::{Coming, Connections, FrontConfig, Host, Intake, Scratch, Watches, deliver, receive_in};
use crate::action::{CloseReason, Commit, SessionScope};
use crate::error::OpError;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::time::Now;
use crate::tree::{ApplyMode, Tree, TxnResult};
use crate::watch::RECURSIVE_SHARD;
use crate::wire::client::op;
use crate::wire::jute::Jute;
use crate::wire::txn::{Txn, TxnBody};

/// A batch under one hold of the tree.
pub(super) struct Batch<'a, C, W> {
    pub(super) config: &'a FrontConfig,
    pub(super) conns: &'a C,
    pub(super) watches: &'a W,
    pub(super) now: Now,
    pub(super) intake: &'a mut Intake,
}

/// What comes with a txn.
#[derive(Clone, Copy)]
struct Order {
    origin: Option<ConnId>,
    mode: ApplyMode,
    any_recursive: bool,
}

impl<C: Connections, W: Watches> Batch<'_, C, W> {
    pub(super) fn apply(&mut self, tree: &mut Tree, commits: &[Commit]) {
        let mut scratch = core::mem::take(&mut self.intake.scratch);
        let any_recursive = self.watches.shard(RECURSIVE_SHARD, |shard| shard.has_recursive());
        for commit in commits {
            match commit {
                Commit::Txn { txn, origin, mode } => {
                    let origin = *origin;
                    self.txn(tree, txn, Order { origin, mode: *mode, any_recursive }, &mut scratch);
                }
                Commit::Sync { conn } => self.sync(tree, *conn),
                Commit::Refused { conn, error } => self.refuse(tree, *conn, *error),
                Commit::Closed { conn } => self.close(tree, *conn),
            }
        }
        self.intake.scratch = scratch;
    }

    fn txn(
        &mut self,
        tree: &mut Tree,
        txn: &Arc<Txn>,
        Order { origin, mode, any_recursive }: Order,
        scratch: &mut Scratch,
    ) {
        let mut changes = core::mem::take(&mut scratch.changes);
        let result = tree.apply(txn, mode, &mut changes);
        let (zxid, dirty) = (txn.header.zxid, &mut self.intake.dirty);
        let (config, conns, watches) = (self.config, self.conns, self.watches);
        let mut bell = Bell { config, conns, watches, zxid, any_recursive, scratch: &mut *scratch, dirty };
        changes.iter().for_each(|change| bell.ring(change));
        changes.clear();
        scratch.changes = changes;
        match (&txn.body, origin) {
            (TxnBody::CreateSession { timeout_ms }, Some(conn)) => {
                let session = txn.header.session;
                let begun = Begun { session, timeout_ms: *timeout_ms, scope: SessionScope::Global };
                begin_session(conn, begun, &self.host(tree), self.intake);
            }
            (TxnBody::CloseSession { .. }, origin) => self.end_session(tree, txn, origin),
            (_, Some(conn)) => self.answer(tree, txn, conn, &result),
            (_, None) => {}
        }
    }

    fn answer(&mut self, tree: &Tree, txn: &Txn, conn: ConnId, result: &TxnResult) {
        self.complete(tree, conn, |out, pending| {
            let &Pending { xid, owed: Owed::Write { op, refusal }, .. } = pending else {
                unreachable!("invariant: commits come in the order of requests: {pending:?} meets {txn:?}");
            };
            assert!(xid == txn.header.cxid, "invariant: commits come in the order of requests: {txn:?}");
            match (result, refusal) {
                (TxnResult::Failed { .. }, Some(error)) => out.refusal(xid, txn.header.zxid, error),
                _ => put_txn_reply(out, xid, op, txn, result),
            }
            op
        });
    }

    fn sync(&mut self, tree: &Tree, conn: ConnId) {
        self.complete(tree, conn, |out, pending| {
            let Pending { xid, owed: Owed::Sync { path }, .. } = pending else {
                unreachable!("invariant: a sync is answered in the order of requests, not {pending:?}");
            };
            out.reply(*xid, tree.last_zxid(), |out| path.encode(out));
            op::SYNC
        });
    }

    /// What a server without a leader cannot do.
    fn refuse(&mut self, tree: &Tree, conn: ConnId, error: OpError) {
        self.complete(tree, conn, |out, pending| {
            out.refusal(pending.xid, tree.last_zxid(), error);
            match &pending.owed {
                Owed::Write { op, .. } => *op,
                Owed::Sync { .. } => op::SYNC,
                Owed::Close | Owed::Read { .. } => {
                    unreachable!("invariant: only a write or a sync is refused, not {pending:?}")
                }
            }
        });
    }

    /// A session that only this server knew is closed: there is no txn.
    fn close(&mut self, tree: &Tree, conn: ConnId) {
        let (zxid, host) = (tree.last_zxid(), self.host(tree));
        deliver(conn, &host, self.intake, |conn, _| close_answered(conn, zxid, &host));
    }

    /// Answers the oldest request of a connection, then the reads that waited for it. Nothing, if the connection is
    /// gone or closing. `put` appends the reply and says which opcode it answers.
    fn complete(&mut self, tree: &Tree, conn: ConnId, put: impl FnOnce(&mut Outgoing, &Pending) -> i32) {
        let host = self.host(tree);
        deliver(conn, &host, self.intake, |conn, _| {
            if conn.closing.is_some() {
                return;
            }
            let pending = conn.pipeline.pop_committed();
            let pending = pending.expect("invariant: a commit answers a request of its connection");
            let op = put(&mut conn.outgoing, &pending);
            conn.answered(op, pending.xid, tree.last_zxid(), pending.started, &host);
            conn.serve_parked(&host);
        });
    }

    /// The reply to whoever asked for the end, and the end of the connection that serves the session by now. Its binding
    /// goes with the connection.
    fn end_session(&mut self, tree: &Tree, txn: &Txn, origin: Option<ConnId>) {
        let (session, zxid) = (txn.header.session, txn.header.zxid);
        let host = self.host(tree);
        if let Some(conn) = origin {
            deliver(conn, &host, self.intake, |conn, _| {
                close_answered(conn, zxid, &host);
            });
        }
        let Some(serving) = self.conns.conn_of(session) else { return };
        if origin != Some(serving) {
            let why = if origin.is_some() { CloseReason::SessionClosed } else { CloseReason::SessionExpired };
            deliver(serving, &host, self.intake, |conn, _| conn.close(why));
        }
    }

    fn host<'t>(&self, tree: &'t Tree) -> Host<'t, C, W>
    where
        Self: 't,
    {
        Host { config: self.config, tree, conns: self.conns, watches: self.watches, now: self.now }
    }
}

/// The reply to a close, and the end of the connection.
fn close_answered<C: Connections, W>(conn: &mut Connection, zxid: Zxid, host: &Host<'_, C, W>) {
    if conn.closing.is_some() {
        return;
    }
    let pending = conn.pipeline.pop_committed();
    let pending = pending.expect("invariant: a commit answers a request of its connection");
    assert!(
        matches!(pending.owed, Owed::Close),
        "invariant: commits come in the order of requests: {pending:?} meets a close at {zxid}"
    );
    conn.outgoing.header(pending.xid, zxid, 0);
    conn.answered(op::CLOSE_SESSION, pending.xid, zxid, pending.started, host);
    conn.close(CloseReason::SessionClosed);
}

/// A session that a connection serves from here on.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    pub(super) session: SessionId,
    pub(super) timeout_ms: i32,
    pub(super) scope: SessionScope,
}

/// A session begins, or goes on, on this connection: its handshake is answered and what came behind it is served.
pub(super) fn begin_session<C: Connections, W: Watches>(
    conn: ConnId,
    begun: Begun,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    let session = begun.session;
    // Two clients may hold the same session's password; the later one stays.
    if let Some(old) = host.conns.bind(session, conn).filter(|old| *old != conn) {
        intake.close.push((old, CloseReason::SessionTakenOver));
    }
    let begin = |conn: &mut Connection, intake: &mut Intake| {
        let Some((behind, since)) = conn.establish(begun) else { return false };
        conn.answered(op::CREATE_SESSION, 0, host.tree.last_zxid(), since, host);
        behind.into_iter().for_each(|frame| receive_in(conn, frame, Coming::InTime, host, intake));
        true
    };
    if deliver(conn, host, intake, begin) != Some(true) {
        host.conns.unbind(session, conn);
    }
}
