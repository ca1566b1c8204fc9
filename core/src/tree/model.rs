//! The reference model: what a tree means, written so that it can be checked by reading.
//!
//! Deliberately naive (a sorted map of full paths, everything else computed from it) and sharing no code with the tree.
//! Property tests compare the two, and the simulator's oracle judges histories by it.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{ChangeKind, Tree, TxnResult};
use crate::error::OpError;
use crate::ids::{SessionId, Zxid};
use crate::text::Text;
use crate::wire::records::{Acl, Stat, StatPersisted};
use crate::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};

/// One node of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ModelNode {
    pub data: Option<Vec<u8>>,
    pub acl: Vec<Acl>,
    pub stat: StatPersisted,
}

/// A tree as a map of full paths; the root is `""`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Nodes by path.
    pub nodes: BTreeMap<String, ModelNode>,
    /// Timeouts in ms by session.
    pub sessions: BTreeMap<SessionId, i32>,
    /// The last txn applied.
    pub last_zxid: Zxid,
    /// What watchers hear of the last txn, in trigger order.
    pub told: Vec<(ChangeKind, String)>,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// A fresh database.
    pub fn new() -> Self {
        let node = |perms, aversion| ModelNode {
            data: Some(Vec::new()),
            acl: Vec::from([Acl::world(perms)]),
            stat: StatPersisted { aversion, ..StatPersisted::default() },
        };
        let open = ["", "/zookeeper", "/zookeeper/quota"].map(|p| (p.to_owned(), node(31, 0)));
        let mut nodes = BTreeMap::from(open);
        nodes.insert("/zookeeper/config".to_owned(), node(1, -1));
        Self { nodes, sessions: BTreeMap::new(), last_zxid: Zxid::ZERO, told: Vec::new() }
    }

    /// The node at a path; `/` is the root.
    pub fn node(&self, path: &str) -> Option<&ModelNode> {
        self.nodes.get(if path == "/" { "" } else { path })
    }

    /// Names of the children, sorted.
    pub fn children(&self, path: &str) -> Vec<&str> {
        let prefix = format!("{}/", if path == "/" { "" } else { path });
        let below = self.nodes.range(prefix.clone()..).take_while(|(p, _)| p.starts_with(&prefix));
        below.map(|(p, _)| &p[prefix.len()..]).filter(|rest| !rest.contains('/')).collect()
    }

    /// A node's stat as clients see it.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        let node = self.node(path)?;
        let StatPersisted { czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeral_owner, pzxid } =
            node.stat;
        let num_children = self.children(path).len() as i32;
        let cversion = cversion.wrapping_mul(2).wrapping_sub(num_children);
        let ephemeral_owner = if ephemeral_owner == i64::MIN { 0 } else { ephemeral_owner };
        let data_length = node.data.as_ref().map_or(0, |d| d.len() as i32);
        let seen = Stat { czxid, mzxid, ctime, mtime, version, cversion, aversion, pzxid, ..Stat::default() };
        Some(Stat { ephemeral_owner, data_length, num_children, ..seen })
    }

    /// Paths of a session's ephemerals, sorted.
    pub fn ephemerals(&self, session: SessionId) -> Vec<String> {
        let own = self.nodes.iter().filter(|(_, n)| n.stat.ephemeral_owner == session.0);
        own.map(|(p, _)| p.clone()).collect()
    }

    /// The version-2 digest from scratch.
    pub fn digest(&self) -> u64 {
        let counted = self.nodes.iter().filter(|(p, _)| !p.starts_with("/zookeeper/"));
        counted.fold(0, |sum: u64, (path, n)| {
            let s = &n.stat;
            let longs = |v: &[i64]| v.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
            let ints = [s.version, s.cversion, s.aversion].into_iter().flat_map(i32::to_be_bytes).collect();
            let first = longs(&[s.czxid.0, s.mzxid.0, s.pzxid.0, s.ctime.0, s.mtime.0]);
            let data = n.data.clone().unwrap_or_default();
            let all = [path.as_bytes().to_vec(), data, first, ints, longs(&[s.ephemeral_owner])].concat();
            sum.wrapping_add(crc32fast::hash(&all).into())
        })
    }

    /// Applies a txn by the rules that hold on replay, which on exact states are the live ones too.
    pub fn apply(&mut self, txn: &Txn) -> TxnResult {
        self.told.clear();
        let result = self.body(&txn.header, &txn.body);
        self.last_zxid = self.last_zxid.max(txn.header.zxid);
        result
    }

    fn body(&mut self, h: &TxnHeader, body: &TxnBody) -> TxnResult {
        let result = match body {
            TxnBody::CreateSession { timeout_ms } => {
                self.sessions.insert(h.session, *timeout_ms);
                return TxnResult::SessionCreated;
            }
            TxnBody::CloseSession { paths } => {
                let listed = paths.iter().flatten().map(|p| p.to_string());
                for path in listed.chain(self.ephemerals(h.session)).collect::<Vec<_>>() {
                    let _ = self.delete(h, &path);
                }
                self.sessions.remove(&h.session);
                return TxnResult::SessionClosed;
            }
            TxnBody::Error { err } => return TxnResult::Failed { err: *err },
            TxnBody::Check { .. } => return TxnResult::Done,
            TxnBody::Multi(entries) => return self.multi(h, entries),
            TxnBody::Create(c) => self.create(h, c),
            TxnBody::Delete { path } | TxnBody::DeleteContainer { path } => self.delete(h, path),
            TxnBody::SetData { path, data, version } | TxnBody::Reconfig { path, data, version } => {
                self.set(ChangeKind::DataChanged, path, |n| {
                    n.data = data.as_ref().map(|d| d.to_vec());
                    n.stat = StatPersisted { version: *version, mzxid: h.zxid, mtime: h.time, ..n.stat };
                })
            }
            TxnBody::SetAcl { path, acl, version } => {
                let told = self.told.len();
                let result = self.set(ChangeKind::DataChanged, path, |n| {
                    n.acl.clone_from(acl);
                    n.stat.aversion = *version;
                });
                self.told.truncate(told);
                result
            }
        };
        result.unwrap_or_else(|e| TxnResult::Failed { err: e.code() })
    }

    fn multi(&mut self, h: &TxnHeader, entries: &[TxnBody]) -> TxnResult {
        if !entries.iter().any(|e| matches!(e, TxnBody::Error { .. })) {
            return TxnResult::Multi(entries.iter().map(|e| self.body(h, e)).collect());
        }
        let mut after = false;
        let result_of = |e: &TxnBody| match e {
            TxnBody::Error { err } => {
                after = true;
                TxnResult::Failed { err: *err }
            }
            _ => TxnResult::Failed { err: if after { -2 } else { 0 } },
        };
        TxnResult::Multi(entries.iter().map(result_of).collect())
    }

    fn create(&mut self, h: &TxnHeader, c: &CreateTxn) -> Result<TxnResult, OpError> {
        let (parent_path, _) = c.path.rsplit_once('/').ok_or(OpError::BadArguments)?;
        let parent = self.nodes.get_mut(parent_path).ok_or(OpError::NoNode)?;
        let creates = match c.parent_cversion {
            -1 => parent.stat.cversion.wrapping_add(1),
            given => given,
        };
        if creates > parent.stat.cversion {
            parent.stat.cversion = creates;
            parent.stat.pzxid = h.zxid;
        }
        if let Some(node) = self.nodes.get_mut(&*c.path) {
            node.acl.clone_from(&c.acl);
            return Err(OpError::NodeExists);
        }
        let ephemeral_owner = match c.kind {
            CreateKind::Container => i64::MIN,
            CreateKind::Ttl(ttl) => -1 << 56 | ttl,
            _ if c.ephemeral => h.session.0,
            _ => 0,
        };
        let (z, t) = (h.zxid, h.time);
        let stat = StatPersisted {
            czxid: z,
            mzxid: z,
            pzxid: z,
            ctime: t,
            mtime: t,
            ephemeral_owner,
            ..Default::default()
        };
        let node = ModelNode { data: c.data.as_ref().map(|d| d.to_vec()), acl: c.acl.clone(), stat };
        self.nodes.insert(c.path.to_string(), node);
        self.told.push((ChangeKind::Created, c.path.to_string()));
        let stat = self.stat(&c.path).expect("inserted above");
        Ok(TxnResult::Created { path: c.path.clone(), stat })
    }

    fn delete(&mut self, h: &TxnHeader, path: &str) -> Result<TxnResult, OpError> {
        let (parent_path, _) = path.rsplit_once('/').ok_or(OpError::BadArguments)?;
        let parent = self.nodes.get_mut(parent_path).ok_or(OpError::NoNode)?;
        parent.stat.pzxid = parent.stat.pzxid.max(h.zxid);
        self.nodes.remove(path).ok_or(OpError::NoNode)?;
        let below = format!("{path}/");
        self.nodes.retain(|p, _| !p.starts_with(&below));
        self.told.push((ChangeKind::Deleted, path.to_owned()));
        Ok(TxnResult::Done)
    }

    fn set(
        &mut self,
        kind: ChangeKind,
        path: &Text,
        f: impl FnOnce(&mut ModelNode),
    ) -> Result<TxnResult, OpError> {
        let key = if *path == "/" { "" } else { path.as_str() };
        f(self.nodes.get_mut(key).ok_or(OpError::NoNode)?);
        self.told.push((kind, path.to_string()));
        Ok(TxnResult::Changed { stat: self.stat(path).expect("it is there") })
    }

    /// The first difference between this and `tree`: nodes, stats, data, ACLs, children, sessions, ephemerals, counts,
    /// zxid, digest, and the order of the tree's walk.
    pub fn difference(&self, tree: &Tree) -> Option<String> {
        let fail = |what: &str, model: &dyn core::fmt::Debug, tree: &dyn core::fmt::Debug| {
            Some(format!("{what}: the model says {model:?}, the tree {tree:?}"))
        };
        let mut walk = tree.walk();
        let mut seen: Vec<String> = Vec::new();
        while let Some(step) = walk.next() {
            let (path, node) = (step.path, step.node);
            let Some(expected) = self.nodes.get(path) else { return fail(path, &"no node", &node.stat()) };
            let parent_first =
                path.rsplit_once('/').is_none_or(|(parent, _)| seen.iter().any(|s| s == parent));
            if !parent_first {
                return fail(path, &"its parent is walked first", &"it is walked before its parent");
            }
            if node.persisted() != expected.stat || Some(node.stat()) != self.stat(path) {
                return fail(path, &expected.stat, &node.persisted());
            }
            if node.data() != expected.data.as_deref() {
                return fail(path, &expected.data, &node.data());
            }
            if node.acl()[..] != expected.acl {
                return fail(path, &expected.acl, &node.acl());
            }
            let mut names: Vec<&str> = node.child_names().collect();
            names.sort_unstable();
            if names != self.children(path) || names.len() != node.child_count() {
                return fail(path, &self.children(path), &names);
            }
            if tree.node(path).map(|n| n.persisted()) != Some(expected.stat) {
                return fail(path, &"it is found by its path", &tree.node(path));
            }
            seen.push(path.to_owned());
        }
        if seen.len() != self.nodes.len() {
            return fail("nodes", &self.nodes.keys(), &seen);
        }
        self.difference_in_sums(tree)
    }

    fn difference_in_sums(&self, tree: &Tree) -> Option<String> {
        let owners: Vec<SessionId> = {
            let owners =
                self.nodes.values().map(|n| n.stat.ephemeral_owner).filter(|o| *o != 0 && *o != i64::MIN);
            owners.map(|o| (SessionId(o), ())).collect::<BTreeMap<_, _>>().into_keys().collect()
        };
        let sizes =
            self.nodes.iter().map(|(p, n)| p.encode_utf16().count() + n.data.as_ref().map_or(0, Vec::len));
        // The root's other name "/" is a byte long and counts as a node.
        let (size, count) = (1 + sizes.sum::<usize>() as u64, self.nodes.len() + 1);
        let sessions = self.sessions.iter().map(|(id, timeout)| (*id, *timeout));
        let ephemerals = owners.iter().map(|o| self.ephemerals(*o)).collect::<Vec<_>>();
        let theirs = owners.iter().map(|o| tree.ephemerals(*o).iter().map(ToString::to_string).collect());
        let checks = [
            ("last zxid", self.last_zxid == tree.last_zxid()),
            ("digest", self.digest() == tree.digest()),
            ("node count", count == tree.node_count()),
            ("data size", size == tree.data_size()),
            ("sessions", sessions.eq(tree.sessions())),
            ("owners", owners == tree.ephemeral_owners()),
            ("ephemerals", ephemerals == theirs.collect::<Vec<Vec<String>>>()),
            ("ephemeral count", ephemerals.iter().map(Vec::len).sum::<usize>() == tree.ephemeral_count()),
        ];
        let wrong = checks.iter().find(|(_, same)| !same)?;
        Some(format!("{}: the model is {self:#?}, the tree {tree:?}", wrong.0))
    }
}
