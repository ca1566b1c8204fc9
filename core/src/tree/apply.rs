//! Applying transactions (semantics §2, §6; disk format §6). Java: DataTree.processTxn and what it calls.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::node::{NodeId, Record};
use super::payload::Payload;
use super::{ApplyMode, Change, ChangeKind, Changes, Tree, TxnResult, digest, owner, path};
use crate::error::OpError;
use crate::ids::{SessionId, Zxid};
use crate::text::Text;
use crate::time::WallMs;
use crate::wire::records::{Acl, StatPersisted};
use crate::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader, kind};

impl Tree {
    /// Applies one committed txn and appends what watchers should hear to `changes` (nothing in
    /// [`ApplyMode::Replay`]: no one is listening yet).
    ///
    /// # Panics
    /// In [`ApplyMode::Live`], if the txn contradicts the tree: then the prep that validated it was wrong.
    pub fn apply(&mut self, txn: &Txn, mode: ApplyMode, changes: &mut Changes) -> TxnResult {
        let header = &txn.header;
        assert!(
            mode == ApplyMode::Replay || header.zxid > self.last_zxid,
            "invariant: live txns come in zxid order: {} after {}",
            header.zxid,
            self.last_zxid
        );
        let result = Apply { tree: self, header, mode, changes }.body(&txn.body);
        self.last_zxid = self.last_zxid.max(header.zxid);
        result
    }
}

/// What is not a txn.
impl Tree {
    /// The membership that is in force here, as `/zookeeper/config` shows it: no txn and no zxid, since every server writes
    /// it for itself, and outside of the digest (quorum protocol B5). Java: ZKDatabase.initConfigInZKDatabase.
    pub fn set_config(&mut self, text: &[u8], version: Zxid, time: WallMs) {
        let path = Text::from_static("/zookeeper/config");
        self.add_reserved();
        let header =
            TxnHeader { session: SessionId::NONE, cxid: 0, zxid: version, time, kind: kind::SET_DATA };
        let mut apply =
            Apply { tree: self, header: &header, mode: ApplyMode::Replay, changes: &mut Changes::new() };
        apply.set_data(&path, Some(text), -1).expect("invariant: reserved nodes have just been added");
    }
}

/// One txn on its way into the tree.
struct Apply<'a> {
    tree: &'a mut Tree,
    header: &'a TxnHeader,
    mode: ApplyMode,
    changes: &'a mut Changes,
}

impl Apply<'_> {
    fn body(&mut self, body: &TxnBody) -> TxnResult {
        let outcome = match body {
            TxnBody::CreateSession { timeout_ms } => {
                self.tree.sessions.open(self.header.session, *timeout_ms);
                Ok(TxnResult::SessionCreated)
            }
            TxnBody::CloseSession { paths } => {
                self.close_session(paths.as_deref().unwrap_or_default());
                Ok(TxnResult::SessionClosed)
            }
            TxnBody::Error { err } => Ok(TxnResult::Failed { err: *err }),
            TxnBody::Create(create) => self.create(create),
            TxnBody::Delete { path } | TxnBody::DeleteContainer { path } => self.delete(path),
            TxnBody::SetData { path, data, version } | TxnBody::Reconfig { path, data, version } => {
                self.set_data(path, data.as_deref(), *version)
            }
            TxnBody::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            TxnBody::Check { .. } => Ok(TxnResult::Done),
            TxnBody::Multi(entries) => Ok(TxnResult::Multi(self.multi(entries))),
        };
        outcome.unwrap_or_else(|error| {
            assert!(
                self.mode != ApplyMode::Live,
                "invariant: a live txn was validated against this state, but {} meets {error}: {body:?}",
                self.header.zxid
            );
            TxnResult::Failed { err: error.code() }
        })
    }

    /// All entries, or none if one is an error; then the results are what Java reports: 0 before the failing entry,
    /// its code, -2 after it.
    fn multi(&mut self, entries: &[TxnBody]) -> Vec<TxnResult> {
        let Some(failing) = entries.iter().position(|e| matches!(e, TxnBody::Error { .. })) else {
            return entries.iter().map(|e| self.body(e)).collect();
        };
        let result_of = |(i, entry): (usize, &TxnBody)| match entry {
            TxnBody::Error { err } => TxnResult::Failed { err: *err },
            _ if i < failing => TxnResult::Failed { err: 0 },
            _ => TxnResult::Failed { err: OpError::RuntimeInconsistency.code() },
        };
        entries.iter().enumerate().map(result_of).collect()
    }

    fn create(&mut self, txn: &CreateTxn) -> Result<TxnResult, OpError> {
        let Some((parent_path, name)) = path::split(&txn.path).filter(|(_, name)| !name.is_empty()) else {
            return Err(OpError::BadArguments);
        };
        let parent = self.tree.resolve(parent_path).ok_or(OpError::NoNode)?;
        if let Some(node) = self.tree.child(parent, name) {
            self.meet_existing(node, parent, parent_path, txn);
            return Err(OpError::NodeExists);
        }
        self.raise_creates(parent, parent_path, txn.parent_cversion);
        let stat = self.new_stat(txn);
        let acl = self.tree.acls.acquire(&txn.acl);
        let node = self.tree.add(parent, &txn.path, name, txn.data.as_deref(), acl, &stat);
        // What the client hears of new statistics is what it sent, as in Java.
        let stat = self.tree.node_ref(node).stat();
        self.tree.quota_created(&txn.path, txn.data.as_ref().map_or(0, |d| d.len()));
        self.tell(ChangeKind::Created, &txn.path, node);
        Ok(TxnResult::Created { path: txn.path.clone(), stat })
    }

    fn new_stat(&self, txn: &CreateTxn) -> StatPersisted {
        let ephemeral_owner = match txn.kind {
            CreateKind::Container => owner::CONTAINER,
            CreateKind::Ttl(ttl_ms) => owner::ttl(ttl_ms),
            CreateKind::Create | CreateKind::Create2 if txn.ephemeral => self.header.session.0,
            CreateKind::Create | CreateKind::Create2 => 0,
        };
        let &TxnHeader { zxid, time, .. } = self.header;
        let born = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ..Default::default()
        };
        StatPersisted { ephemeral_owner, ..born }
    }

    /// A replayed create of a node that a fuzzy snapshot has already: what the snapshot may have missed of it.
    ///
    /// Java raises the parent's counter only for txns of type 1; what the leader's parent had is right for every type.
    fn meet_existing(&mut self, node: NodeId, parent: NodeId, parent_path: &str, txn: &CreateTxn) {
        if self.mode != ApplyMode::Live {
            self.tree.set_acl(node, &txn.acl);
            self.raise_creates(parent, parent_path, txn.parent_cversion);
        }
    }

    /// Counter and pzxid of the parent of a new node. They only ever rise (ZOOKEEPER-3249); a counter that wraps
    /// stands still.
    fn raise_creates(&mut self, parent: NodeId, parent_path: &str, to: i32) {
        let zxid = self.header.zxid;
        let now = self.tree.nodes.get(parent).cversion;
        let to = if to == -1 { now.wrapping_add(1) } else { to };
        if to > now {
            self.tree.change(parent, digest::counts(parent_path), |p| {
                p.cversion = to;
                p.pzxid = zxid;
            });
        }
    }

    fn delete(&mut self, path: &Text) -> Result<TxnResult, OpError> {
        let (parent_path, name) = path::split(path).ok_or(OpError::BadArguments)?;
        let parent = self.tree.resolve(parent_path).ok_or(OpError::NoNode)?;
        let zxid = self.header.zxid;
        // Even if the node is gone: a fuzzy snapshot may have the parent from before and miss the node.
        if self.tree.nodes.get(parent).pzxid < zxid {
            self.tree.change(parent, digest::counts(parent_path), |p| p.pzxid = zxid);
        }
        let node = self.tree.child(parent, name).ok_or(OpError::NoNode)?;
        if planted!(self.tree.museum, P32) && self.mode == ApplyMode::Replay {
            self.tree.change(parent, digest::counts(parent_path), |p| p.cversion -= 1);
        }
        if self.tree.nodes.get(node).child_count > 0 {
            if self.mode != ApplyMode::Replay {
                return Err(OpError::NotEmpty);
            }
            // A fuzzy snapshot has a later node of this name with its children; the log brings them all again.
            self.tree.remove_below(node);
        }
        self.tell(ChangeKind::Deleted, path, node);
        let data_len = self.tree.nodes.get(node).data().map_or(0, <[u8]>::len);
        self.tree.remove(node, path);
        self.tree.quota_deleted(path, data_len);
        Ok(TxnResult::Done)
    }

    fn set_data(&mut self, path: &Text, data: Option<&[u8]>, version: i32) -> Result<TxnResult, OpError> {
        let node = self.tree.resolve(path).ok_or(OpError::NoNode)?;
        let &TxnHeader { zxid, time, .. } = self.header;
        let len = |data: Option<&[u8]>| data.map_or(0, <[u8]>::len);
        let before = len(self.tree.nodes.get(node).data());
        self.tree.data_size = self.tree.data_size - before as u64 + len(data) as u64;
        self.tree.change(node, digest::counts(path), |n| {
            n.set_data(data);
            n.crc = digest::prefix(path, data);
            n.version = version;
            n.mzxid = zxid;
            n.mtime = time;
        });
        let stat = self.tree.node_ref(node).stat();
        self.tree.quota_changed(path, before, len(data));
        self.tell(ChangeKind::DataChanged, path, node);
        Ok(TxnResult::Changed { stat })
    }

    fn set_acl(&mut self, path: &Text, acl: &[Acl], version: i32) -> Result<TxnResult, OpError> {
        let node = self.tree.resolve(path).ok_or(OpError::NoNode)?;
        self.tree.set_acl(node, acl);
        self.tree.change(node, digest::counts(path), |n| n.aversion = version);
        Ok(TxnResult::Changed { stat: self.tree.node_ref(node).stat() })
    }

    /// Deletes the listed nodes in the list's order, then whatever else the session owns, by path.
    fn close_session(&mut self, listed: &[Text]) {
        let session: SessionId = self.header.session;
        for path in listed {
            // Not there: deleted since the list was made, or missed by a fuzzy snapshot.
            let _ = self.delete(path);
        }
        for path in self.tree.ephemerals(session) {
            let _ = self.delete(&path);
        }
        self.tree.sessions.close(session);
    }

    fn tell(&mut self, kind: ChangeKind, path: &Text, node: NodeId) {
        if self.mode == ApplyMode::Replay {
            return;
        }
        let record = self.tree.nodes.get(node);
        let parent_acl = match kind {
            ChangeKind::Created | ChangeKind::Deleted => {
                Some(self.tree.acls.list(self.tree.nodes.get(record.parent).acl))
            }
            ChangeKind::DataChanged => None,
        };
        let acl = self.tree.acls.list(record.acl);
        self.changes.push(Change { kind, path: path.clone(), acl, parent_acl });
    }
}

/// Changes of single nodes, which keep index, sibling lists, ephemerals, ACL uses, digest and sizes in step.
impl Tree {
    /// Adds a node whose parent is there and has no child of this name. The parent's stat is the caller's business;
    /// so is the use of `acl`, which passes to the node.
    pub(super) fn add(
        &mut self,
        parent: NodeId,
        path: &str,
        name: &str,
        data: Option<&[u8]>,
        acl: i32,
        stat: &StatPersisted,
    ) -> NodeId {
        let crc = digest::prefix(path, data);
        let mut record = Record::new(Payload::new(name, data), acl, crc, stat);
        let first = self.nodes.get(parent).first_child;
        record.parent = parent;
        record.next = first;
        let node = self.nodes.insert(record);
        if let Some(first) = first.some() {
            self.nodes.get_mut(first).prev = node;
        }
        let p = self.nodes.get_mut(parent);
        p.first_child = node;
        p.child_count += 1;
        let hash = self.index.hash(parent, name);
        self.index.insert(hash, node);
        self.ending.add(stat.ephemeral_owner, node);
        if digest::counts(path) {
            self.digest = self.digest.wrapping_add(digest::from_prefix(crc, stat).into());
        }
        self.data_size += path::utf16_len(path) + data.map_or(0, |d| d.len() as u64);
        self.node_count += 1;
        node
    }

    /// Removes a node without children; its parent's stat is the caller's business.
    fn remove(&mut self, node: NodeId, path: &str) {
        let record = self.nodes.get(node);
        assert!(record.child_count == 0, "invariant: only nodes without children are removed");
        let &Record { parent, next, prev, acl, owner, crc, .. } = record;
        let data_len = record.data().map_or(0, |d| d.len() as u64);
        if digest::counts(path) {
            self.digest = self.digest.wrapping_sub(digest::from_prefix(crc, &record.persisted()).into());
        }
        let hash = self.index.hash(parent, record.name());
        self.index.remove(hash, node);
        match prev.some() {
            Some(prev) => self.nodes.get_mut(prev).next = next,
            None => self.nodes.get_mut(parent).first_child = next,
        }
        if let Some(next) = next.some() {
            self.nodes.get_mut(next).prev = prev;
        }
        self.nodes.get_mut(parent).child_count -= 1;
        self.nodes.remove(node);
        self.acls.release(acl);
        self.ending.remove(owner, node);
        self.data_size -= path::utf16_len(path) + data_len;
        self.node_count -= 1;
    }

    /// Removes all descendants of a node, leaves first, without recursion: depth is bounded only by the frame size.
    fn remove_below(&mut self, top: NodeId) {
        let mut at = top;
        loop {
            let record = self.nodes.get(at);
            if let Some(child) = record.first_child.some() {
                at = child;
            } else if at == top {
                return;
            } else {
                let parent = record.parent;
                let data_len = record.data().map_or(0, <[u8]>::len);
                let path = self.path_of(at).as_str().to_owned();
                self.remove(at, &path);
                self.quota_deleted(&path, data_len);
                at = parent;
            }
        }
    }

    /// Changes a node's record and moves the tree's digest along, if the node counts.
    fn change(&mut self, node: NodeId, counts: bool, f: impl FnOnce(&mut Record)) {
        let record = self.nodes.get_mut(node);
        let digest_of = |r: &Record| u64::from(digest::from_prefix(r.crc, &r.persisted()));
        if counts {
            self.digest = self.digest.wrapping_sub(digest_of(record));
        }
        f(record);
        if counts {
            self.digest = self.digest.wrapping_add(digest_of(record));
        }
    }

    fn set_acl(&mut self, node: NodeId, acl: &[Acl]) {
        let new = self.acls.acquire(acl);
        let old = core::mem::replace(&mut self.nodes.get_mut(node).acl, new);
        self.acls.release(old);
    }
}
