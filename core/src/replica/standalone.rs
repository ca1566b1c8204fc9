//! A server without an ensemble: what its own disk holds is committed.
//!
//! ```text
//! request ─ prep ─ zxid ─► Disk(Append t) ─► Durable(t) ─► Apply
//! sync ───────────────── behind the last proposal ───────► Apply
//! ```
//! The one promise is made by `Apply`: the driver answers clients from there. Nothing is in an `Apply` before the
//! `Durable` that covers it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::BytesMut;

use super::Outbox;
use crate::action::{Action, Commit, DiskCommand, LogRecord};
use crate::auth::AuthInfo;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::input::Token;
use crate::prep::Proposal;
use crate::time::Now;
use crate::tree::Tree;
use crate::wire::txn::{Txn, TxnBody};

/// A commit that waits for the disk.
#[derive(Clone, Debug)]
struct Waiting {
    token: Token,
    commit: Commit,
}

/// Proposals between zxid and tree.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    waiting: VecDeque<Waiting>,
    /// Records that have not been given to the disk yet.
    batch: Vec<LogRecord>,
    /// Proposed and not yet applied.
    unapplied: VecDeque<Zxid>,
    /// Syncs among those that wait.
    syncs: usize,
    last_token: Token,
    logged: Zxid,
    committed: Zxid,
    applied: Zxid,
}

impl Pipeline {
    /// Goes on after `last`, which is durable and applied.
    pub(super) const fn new(last: Zxid) -> Self {
        Self {
            waiting: VecDeque::new(),
            batch: Vec::new(),
            unapplied: VecDeque::new(),
            syncs: 0,
            last_token: Token(0),
            logged: last,
            committed: last,
            applied: last,
        }
    }

    /// The zxid of the next proposal.
    ///
    /// A counter never wraps into the epoch: after counter 2^32 - 1 the next epoch begins with 1, as an ensemble's
    /// epochs do. (Java's standalone server adds one to the whole number and logs counter 0 of the next epoch, which
    /// in an ensemble is the zxid of no txn.)
    fn next_zxid(&self) -> Zxid {
        self.logged.next().unwrap_or_else(|| Zxid::new(self.logged.epoch() + 1, 1))
    }

    /// What a session asks, with the place in the order that it will have.
    pub(super) fn proposal<'a>(
        &self,
        now: Now,
        session: SessionId,
        cxid: i32,
        auth: &'a AuthInfo,
        tree: &'a Tree,
    ) -> Proposal<'a> {
        Proposal { tree, zxid: self.next_zxid(), time: now.wall, session, cxid, auth }
    }

    /// A txn with [`Self::next_zxid`] goes to the disk when the step ends.
    pub(super) fn propose(&mut self, txn: Txn, origin: Option<ConnId>) {
        let zxid = txn.header.zxid;
        assert!(zxid == self.next_zxid(), "invariant: no zxid is left out: {zxid} after {}", self.logged);
        self.logged = zxid;
        let mut bytes = BytesMut::with_capacity(encoded_len_hint(&txn.body));
        txn.encode(&mut bytes);
        self.batch.push(LogRecord { zxid, bytes: bytes.freeze() });
        self.unapplied.push_back(zxid);
        let commit = Commit::Txn { txn: Arc::new(txn), origin };
        self.waiting.push_back(Waiting { token: Token(self.last_token.0 + 1), commit });
    }

    /// A sync is answered when everything proposed before it is: at once, if nothing is under way.
    pub(super) fn sync(&mut self, conn: ConnId, out: &mut Outbox) {
        let commit = Commit::Sync { conn };
        if let Some(&Waiting { token, .. }) = self.waiting.back() {
            self.syncs += 1;
            self.waiting.push_back(Waiting { token, commit });
        } else {
            out.push(Action::Apply(Vec::from([commit])));
        }
    }

    /// Emits what was proposed since the last time as one append. `logged` hears of every record's length in bytes.
    pub(super) fn flush(&mut self, out: &mut Outbox, mut logged: impl FnMut(usize)) {
        if self.batch.is_empty() {
            return;
        }
        self.batch.iter().for_each(|record| logged(record.bytes.len()));
        self.last_token.0 += 1;
        let records = core::mem::take(&mut self.batch);
        out.push(Action::Disk(DiskCommand::Append { token: self.last_token, records }));
    }

    /// The disk holds everything up to `token`: commits it. `each` sees every txn that is committed.
    pub(super) fn durable(&mut self, token: Token, out: &mut Outbox, mut each: impl FnMut(&Txn)) {
        assert!(token <= self.last_token, "invariant: only what was appended becomes durable");
        let ready = self.waiting.iter().take_while(|w| w.token <= token).count();
        if ready == 0 {
            return;
        }
        let mut commits = Vec::with_capacity(ready);
        for Waiting { commit, .. } in self.waiting.drain(..ready) {
            match &commit {
                Commit::Txn { txn, .. } => {
                    self.committed = txn.header.zxid;
                    each(txn);
                }
                Commit::Sync { .. } => self.syncs -= 1,
            }
            commits.push(commit);
        }
        out.push(Action::Apply(commits));
    }

    /// The tree has reached `zxid`.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        assert!(
            zxid <= self.committed,
            "invariant: only what is committed is applied: {zxid} after {}",
            self.committed
        );
        while self.unapplied.pop_front_if(|z| *z <= zxid).is_some() {}
        self.applied = self.applied.max(zxid);
    }

    /// Requests between the door and their reply.
    pub(super) fn outstanding(&self) -> usize {
        self.unapplied.len() + self.syncs
    }

    pub(super) const fn logged(&self) -> Zxid {
        self.logged
    }

    pub(super) const fn committed(&self) -> Zxid {
        self.committed
    }

    pub(super) const fn applied_up_to(&self) -> Zxid {
        self.applied
    }
}

/// About how long the encoding will be, so that most records are one allocation. Bytes.
fn encoded_len_hint(body: &TxnBody) -> usize {
    const HEADER_AND_DIGEST: usize = 32 + 12;
    const ACL: usize = 64;
    HEADER_AND_DIGEST
        + match body {
            TxnBody::Create(txn) => {
                32 + txn.path.as_bytes().len()
                    + txn.data.as_ref().map_or(0, |d| d.len())
                    + txn.acl.len() * ACL
            }
            TxnBody::SetData { path, data, .. } | TxnBody::Reconfig { path, data, .. } => {
                12 + path.as_bytes().len() + data.as_ref().map_or(0, |d| d.len())
            }
            TxnBody::SetAcl { path, acl, .. } => 12 + path.as_bytes().len() + acl.len() * ACL,
            TxnBody::Delete { path } | TxnBody::DeleteContainer { path } | TxnBody::Check { path, .. } => {
                8 + path.as_bytes().len()
            }
            TxnBody::CreateSession { .. } | TxnBody::Error { .. } => 4,
            TxnBody::CloseSession { paths } => {
                4 + paths.iter().flatten().map(|p| 4 + p.as_bytes().len()).sum::<usize>()
            }
            TxnBody::Multi(entries) => 4 + entries.iter().map(|e| 8 + encoded_len_hint(e)).sum::<usize>(),
        }
}
