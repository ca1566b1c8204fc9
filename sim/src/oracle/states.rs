//! [`States`]: what the tree was at every zxid, by rules simple enough to be checked by reading.
//!
//! A second opinion on `zk_core::tree`, with which it shares no code: nodes by full path, each with the versions that it
//! went through. A reply names the zxid it was made at, so it can be compared with the state of that very zxid
//! (simulation brief §10.1). Cloning costs reference counts: worlds are forked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use zk_core::error::OpError;
use zk_core::ids::{SessionId, Zxid};
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::tree::{ChangeKind, TxnResult};
use zk_core::wire::records::{Acl, Stat, StatPersisted};
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};

/// A node at one zxid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// Its ACL.
    pub acl: Arc<[Acl]>,
    /// As snapshots hold it.
    pub stat: StatPersisted,
    /// How many children.
    pub child_count: i32,
    /// How it ends, if nobody deletes it.
    pub end: End,
}

/// How a node ends, if nobody deletes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not at all.
    Never,
    /// With this session.
    Session(SessionId),
    /// When it has had children and has none.
    Childless,
    /// So many ms after its last change, unless it has children then.
    After(i64),
}

/// What servers are configured to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// extendedTypesEnabled.
    pub extended_types: bool,
    /// znode.container.maxNeverUsedIntervalMs.
    pub never_used_ms: Option<i64>,
    /// enforceQuota.
    pub enforce_quota: bool,
}

impl Node {
    /// As clients see it.
    pub fn seen(&self) -> Stat {
        let data_length = self.data.as_ref().map_or(0, |data| data.len() as i32);
        self.stat.seen(data_length, self.child_count, self.owner().unwrap_or(SessionId::NONE))
    }

    /// The session that it ends with.
    pub const fn owner(&self) -> Option<SessionId> {
        if let End::Session(session) = self.end { Some(session) } else { None }
    }

    /// True if it is to be collected at this time (semantics §5).
    pub fn is_over(&self, now: WallMs, rules: Rules) -> bool {
        let unchanged = now.0 - self.stat.mtime.0;
        let is_over = match self.end {
            End::Never | End::Session(_) => false,
            End::Childless if self.stat.cversion > 0 => true,
            End::Childless => rules.never_used_ms.is_some_and(|most| unchanged > most),
            End::After(ms) => unchanged > ms,
        };
        is_over && self.child_count == 0
    }

    /// The node's part of the version-2 digest (disk format §10).
    fn digest(&self, path: &str) -> u64 {
        let s = &self.stat;
        let mut crc = crc32fast::Hasher::new();
        crc.update(path.as_bytes());
        crc.update(self.data.as_deref().unwrap_or_default());
        for long in [s.czxid.0, s.mzxid.0, s.pzxid.0, s.ctime.0, s.mtime.0] {
            crc.update(&long.to_be_bytes());
        }
        for int in [s.version, s.cversion, s.aversion] {
            crc.update(&int.to_be_bytes());
        }
        crc.update(&s.ephemeral_owner.to_be_bytes());
        crc.finalize().into()
    }
}

/// A session's life, in zxids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its createSession.
    pub opened: Zxid,
    /// Its closeSession, once committed.
    pub closed: Option<Zxid>,
    /// ms, as created.
    pub timeout_ms: i32,
}

#[derive(Clone, Debug)]
struct Version {
    at: Zxid,
    node: Option<Arc<Node>>,
}

/// Every state since the beginning.
#[derive(Clone, Debug)]
pub struct States {
    /// Versions by path, oldest first; the root is `""`.
    nodes: BTreeMap<Text, Arc<Vec<Version>>>,
    /// Names that a node's children ever had, each with the zxids at which it came and went in turn.
    names: BTreeMap<Text, Arc<BTreeMap<Text, Vec<Zxid>>>>,
    owned: BTreeMap<SessionId, BTreeSet<Text>>,
    sessions: BTreeMap<SessionId, Life>,
    last: Zxid,
    digest: u64,
    count: usize,
    rules: Rules,
}

/// A change that watchers hear of, in trigger order.
pub(super) type Told = (ChangeKind, Text);

impl Default for States {
    fn default() -> Self {
        Self::new()
    }
}

impl States {
    /// A fresh database.
    pub fn new() -> Self {
        let mut states = Self {
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            owned: BTreeMap::new(),
            sessions: BTreeMap::new(),
            last: Zxid::ZERO,
            digest: 0,
            count: 0,
            rules: Rules::default(),
        };
        for (path, perms, aversion, child_count) in [
            ("", 31, 0, 1),
            ("/zookeeper", 31, 0, 2),
            ("/zookeeper/quota", 31, 0, 0),
            ("/zookeeper/config", 1, -1, 0),
        ] {
            let stat = StatPersisted { aversion, ..StatPersisted::default() };
            let acl = Arc::new([Acl::world(perms)]);
            let node = Node { data: Some(Bytes::new()), acl, stat, child_count, end: End::Never };
            states.put(Text::from_static(path), Some(node));
        }
        states
    }

    /// The servers are configured so.
    pub const fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// How the servers are configured.
    pub const fn rules(&self) -> Rules {
        self.rules
    }

    /// True if quotas are kept, and the path, or what it is below, ever had limits. Whether a write exceeds them is decided by
    /// statistics of the leader's own, which no txn tells.
    pub fn may_be_limited(&self, path: &str) -> bool {
        let above = std::iter::successors(Some(path), |at| Some(&at[..at.rfind('/')?]));
        let had_limits = |at: &str| {
            let limits = format!("/zookeeper/quota{at}/zookeeper_limits");
            self.nodes.contains_key(limits.as_bytes())
        };
        self.rules.enforce_quota && above.take_while(|at| !at.is_empty()).any(had_limits)
    }

    /// The last txn applied.
    pub const fn last(&self) -> Zxid {
        self.last
    }

    /// Version-2 digest after it.
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Nodes that are there now, the root once.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The node now; `/` is the root.
    pub fn node(&self, path: &str) -> Option<&Arc<Node>> {
        self.nodes.get(key(path).as_bytes())?.last()?.node.as_ref()
    }

    /// The node as it was when `at` was the last txn applied.
    pub fn node_at(&self, path: &str, at: Zxid) -> Option<&Arc<Node>> {
        let versions = self.nodes.get(key(path).as_bytes())?;
        let after = versions.partition_point(|version| version.at <= at);
        versions[..after].last()?.node.as_ref()
    }

    /// Names of the children then, sorted.
    pub fn children_at(&self, path: &str, at: Zxid) -> Vec<Text> {
        let Some(names) = self.names.get(key(path).as_bytes()) else { return Vec::new() };
        let there = |turns: &[Zxid]| turns.iter().take_while(|turn| **turn <= at).count() % 2 == 1;
        names.iter().filter(|(_, turns)| there(turns)).map(|(name, _)| name.clone()).collect()
    }

    /// Paths that are there now with their nodes, sorted; the root is `""`.
    pub fn all(&self) -> impl Iterator<Item = (&Text, &Arc<Node>)> {
        self.nodes.iter().filter_map(|(path, versions)| Some((path, versions.last()?.node.as_ref()?)))
    }

    /// What a session owns now.
    pub fn owned(&self, session: SessionId) -> impl Iterator<Item = &Text> {
        self.owned.get(&session).into_iter().flatten()
    }

    /// Sessions that own something now.
    pub fn owners(&self) -> impl Iterator<Item = SessionId> {
        self.owned.keys().copied()
    }

    /// A session's life, if it ever began.
    pub fn session(&self, id: SessionId) -> Option<Life> {
        self.sessions.get(&id).copied()
    }

    /// Sessions that live now with their timeouts, by id.
    pub fn living(&self) -> impl Iterator<Item = (SessionId, i32)> {
        self.sessions
            .iter()
            .filter(|(_, life)| life.closed.is_none())
            .map(|(id, life)| (*id, life.timeout_ms))
    }

    /// Applies a committed txn: its result, and what watchers hear.
    pub fn apply(&mut self, txn: &Txn) -> (TxnResult, Vec<Told>) {
        let header = &txn.header;
        self.last = self.last.max(header.zxid);
        match &txn.body {
            TxnBody::CreateSession { timeout_ms } => {
                let life = Life { opened: header.zxid, closed: None, timeout_ms: *timeout_ms };
                self.sessions.insert(header.session, life);
                return (TxnResult::SessionCreated, Vec::new());
            }
            TxnBody::CloseSession { .. } => {
                if let Some(life) = self.sessions.get_mut(&header.session) {
                    life.closed = Some(header.zxid);
                }
            }
            _ => {}
        }
        let mut pending = Pending::new(self);
        let result = pending.apply(header, &txn.body);
        let Pending { changed, told, .. } = pending;
        for (path, node) in changed {
            self.put(path, node);
        }
        (result, told)
    }

    fn put(&mut self, path: Text, node: Option<Node>) {
        let before = self.node(&path).cloned();
        if !path.starts_with("/zookeeper/") {
            let part = |node: Option<&Node>| node.map_or(0, |node| node.digest(&path));
            self.digest = self.digest.wrapping_sub(part(before.as_deref())).wrapping_add(part(node.as_ref()));
        }
        self.count = self.count - usize::from(before.is_some()) + usize::from(node.is_some());
        self.own(&path, before.as_deref(), node.as_ref());
        if before.is_some() != node.is_some()
            && let Some((parent, name)) = path.rsplit_once('/')
        {
            let names = Arc::make_mut(self.names.entry(Text::from(parent)).or_default());
            names.entry(Text::from(name)).or_default().push(self.last);
        }
        let version = Version { at: self.last, node: node.map(Arc::new) };
        Arc::make_mut(self.nodes.entry(path).or_default()).push(version);
    }

    fn own(&mut self, path: &Text, before: Option<&Node>, after: Option<&Node>) {
        if let Some(owner) = before.and_then(Node::owner) {
            let owned = self.owned.entry(owner).or_default();
            owned.remove(path);
            if owned.is_empty() {
                self.owned.remove(&owner);
            }
        }
        if let Some(owner) = after.and_then(Node::owner) {
            self.owned.entry(owner).or_default().insert(path.clone());
        }
    }
}

fn key(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

/// The present state with changes that are not part of it yet.
#[derive(Debug)]
pub struct Pending<'a> {
    states: &'a States,
    changed: BTreeMap<Text, Option<Node>>,
    told: Vec<Told>,
}

impl<'a> Pending<'a> {
    /// No changes yet.
    pub const fn new(states: &'a States) -> Self {
        Self { states, changed: BTreeMap::new(), told: Vec::new() }
    }

    /// How the servers are configured.
    pub const fn rules(&self) -> Rules {
        self.states.rules
    }

    /// See [`States::may_be_limited`].
    pub fn may_be_limited(&self, path: &str) -> bool {
        self.states.may_be_limited(path)
    }

    /// The node with all changes.
    pub fn node(&self, path: &str) -> Option<&Node> {
        match self.changed.get(key(path).as_bytes()) {
            Some(changed) => changed.as_ref(),
            None => self.states.node(path).map(|node| &**node),
        }
    }

    /// What a session owns with all changes, sorted.
    pub fn owned(&self, session: SessionId) -> BTreeSet<Text> {
        let mut owned: BTreeSet<Text> = self.states.owned(session).cloned().collect();
        for (path, node) in &self.changed {
            if node.as_ref().is_some_and(|node| node.owner() == Some(session)) {
                owned.insert(path.clone());
            } else {
                owned.remove(path);
            }
        }
        owned
    }

    /// Applies one txn body. A contradiction shows as a `Failed` result.
    pub fn apply(&mut self, header: &TxnHeader, body: &TxnBody) -> TxnResult {
        let outcome = match body {
            TxnBody::CreateSession { .. } => Ok(TxnResult::SessionCreated),
            TxnBody::CloseSession { .. } => {
                for path in self.owned(header.session) {
                    self.delete(header, &path).expect("what a session owns is there");
                }
                Ok(TxnResult::SessionClosed)
            }
            TxnBody::Error { err } => Ok(TxnResult::Failed { err: *err }),
            TxnBody::Check { .. } => Ok(TxnResult::Done),
            TxnBody::Create(create) => self.create(header, create),
            TxnBody::Delete { path } | TxnBody::DeleteContainer { path } => self.delete(header, path),
            TxnBody::SetData { path, data, version } | TxnBody::Reconfig { path, data, version } => {
                let changed = self.change(path, |node| {
                    node.data.clone_from(data);
                    node.stat.version = *version;
                    node.stat.mzxid = header.zxid;
                    node.stat.mtime = header.time;
                });
                self.told.push((ChangeKind::DataChanged, path.clone()));
                changed
            }
            TxnBody::SetAcl { path, acl, version } => self.change(path, |node| {
                node.acl = acl.as_slice().into();
                node.stat.aversion = *version;
            }),
            TxnBody::Multi(entries) => Ok(TxnResult::Multi(self.multi(header, entries))),
        };
        outcome.unwrap_or_else(|error| TxnResult::Failed { err: error.code() })
    }

    fn multi(&mut self, header: &TxnHeader, entries: &[TxnBody]) -> Vec<TxnResult> {
        let failing = entries.iter().position(|entry| matches!(entry, TxnBody::Error { .. }));
        let Some(failing) = failing else {
            return entries.iter().map(|entry| self.apply(header, entry)).collect();
        };
        let results = entries.iter().enumerate().map(|(i, entry)| match entry {
            TxnBody::Error { err } => TxnResult::Failed { err: *err },
            _ => {
                TxnResult::Failed { err: if i < failing { 0 } else { OpError::RuntimeInconsistency.code() } }
            }
        });
        results.collect()
    }

    fn create(&mut self, header: &TxnHeader, create: &CreateTxn) -> Result<TxnResult, OpError> {
        let (parent, _) = create.path.rsplit_once('/').ok_or(OpError::BadArguments)?;
        if self.node(&create.path).is_some() {
            return Err(OpError::NodeExists);
        }
        self.change(&Text::from(parent), |node| {
            node.child_count += 1;
            // A counter that wraps stands still.
            if create.parent_cversion > node.stat.cversion {
                node.stat.cversion = create.parent_cversion;
                node.stat.pzxid = header.zxid;
            }
        })?;
        let (ephemeral_owner, end) = match create.kind {
            CreateKind::Container => (i64::MIN, End::Childless),
            CreateKind::Ttl(ttl_ms) => ((-1 << 56) | ttl_ms, End::After(ttl_ms)),
            CreateKind::Create | CreateKind::Create2 if create.ephemeral => {
                (header.session.0, End::Session(header.session))
            }
            CreateKind::Create | CreateKind::Create2 => (0, End::Never),
        };
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner,
            ..StatPersisted::default()
        };
        let acl = create.acl.as_slice().into();
        let node = Node { data: create.data.clone(), acl, stat, child_count: 0, end };
        let result = TxnResult::Created { path: create.path.clone(), stat: node.seen() };
        self.changed.insert(create.path.clone(), Some(node));
        self.told.push((ChangeKind::Created, create.path.clone()));
        Ok(result)
    }

    fn delete(&mut self, header: &TxnHeader, path: &Text) -> Result<TxnResult, OpError> {
        let (parent, _) = path.rsplit_once('/').ok_or(OpError::BadArguments)?;
        let node = self.node(path).ok_or(OpError::NoNode)?;
        if node.child_count > 0 {
            return Err(OpError::NotEmpty);
        }
        self.change(&Text::from(parent), |node| {
            node.child_count -= 1;
            node.stat.pzxid = node.stat.pzxid.max(header.zxid);
        })?;
        self.changed.insert(path.clone(), None);
        self.told.push((ChangeKind::Deleted, path.clone()));
        Ok(TxnResult::Done)
    }

    fn change(&mut self, path: &Text, f: impl FnOnce(&mut Node)) -> Result<TxnResult, OpError> {
        let mut node = self.node(path).ok_or(OpError::NoNode)?.clone();
        f(&mut node);
        let result = TxnResult::Changed { stat: node.seen() };
        self.changed.insert(Text::from(key(path)), Some(node));
        Ok(result)
    }
}
