//! Outstanding changes: what the tree will look like once everything prepared so far is applied (semantics §8).
//!
//! One record per path that a prepared and not yet applied txn changes, holding the node as the *last* such txn leaves
//! it. Whatever has no record is as in the tree. Java keys the root as both `""` and `/`, here it is `""` only, so
//! that a pending setACL on the root binds creates below it.
//!
//! Per changed node: one hash lookup, two CRC-32 of 60 bytes for the digest, two reference counts.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::ids::{SessionId, Zxid};
use crate::text::Text;
use crate::tree::{AclList, NodeKind, NodeTypes, Tree, digest};
use crate::wire::records::{Acl, StatPersisted, perms};

/// A node as it will be.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) stat: StatPersisted,
    pub(super) child_count: usize,
    pub(super) acl: AclList,
    /// Bytes of data.
    pub(super) data_len: usize,
    /// CRC-32 of path and data, the prefix of the node's digest.
    pub(super) crc: u32,
}

impl Node {
    /// True for nodes that end with a session: they may not have children.
    pub(super) const fn is_ephemeral(&self, types: NodeTypes) -> bool {
        matches!(types.kind(self.stat.ephemeral_owner), NodeKind::Ephemeral(_))
    }
}

/// What becomes of a path.
#[derive(Clone, Debug)]
struct Pending {
    /// The last txn that changes it.
    zxid: Zxid,
    /// `None` if that txn deletes it.
    node: Option<Node>,
}

/// What becomes of an ephemeral.
#[derive(Clone, Copy, Debug)]
struct PendingEphemeral {
    zxid: Zxid,
    /// False if the txn deletes it.
    lives: bool,
}

/// Undoes one change, for multis that fail half-way.
#[derive(Clone, Debug)]
enum Undo {
    Node(Text, Option<Pending>),
    Ephemeral((SessionId, Text), Option<PendingEphemeral>),
}

/// Outstanding changes over a tree.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    types: NodeTypes,
    /// Never iterated.
    nodes: HashMap<Text, Pending, FixedState>,
    ephemerals: BTreeMap<(SessionId, Text), PendingEphemeral>,
    /// What to look at when a zxid has been applied, in zxid order.
    history: VecDeque<(Zxid, Text)>,
    /// `None` outside of a multi.
    undo: Option<Vec<Undo>>,
    /// Digest of the tree once everything is applied; `None` if digests are off.
    digest: Option<u64>,
    /// `world:anyone` with all permissions, which most nodes have.
    open_acl: AclList,
}

/// A point to which a failing multi returns.
#[derive(Debug)]
pub(super) struct Mark {
    digest: Option<u64>,
    history: usize,
}

impl Overlay {
    pub(super) fn new(tree: &Tree, digest: bool) -> Self {
        Self {
            types: tree.node_types(),
            nodes: HashMap::with_hasher(FixedState::default()),
            ephemerals: BTreeMap::new(),
            history: VecDeque::new(),
            undo: None,
            digest: digest.then(|| tree.digest()),
            open_acl: Arc::new([Acl::world(perms::ALL)]),
        }
    }

    /// The node at a literal path. `""` and `/` are the root.
    pub(super) fn node(&self, tree: &Tree, path: &str) -> Option<Node> {
        let key = if path == "/" { "" } else { path };
        if let Some(pending) = self.nodes.get(key.as_bytes()) {
            return pending.node.clone();
        }
        let node = tree.node(key)?;
        let (stat, child_count) = (node.persisted(), node.child_count());
        let data_len = node.data().map_or(0, <[u8]>::len);
        Some(Node { stat, child_count, acl: node.acl(), data_len, crc: node.digest() })
    }

    /// A new node comes, one that [`Self::node`] does not know.
    pub(super) fn insert(&mut self, zxid: Zxid, path: &Text, node: Node) {
        self.count_out_in(path, None, Some(&node));
        if let Some(session) = self.types.session_of(node.stat.ephemeral_owner) {
            self.note_ephemeral(session, path, PendingEphemeral { zxid, lives: true });
        }
        self.put(zxid, path.clone(), Some(node));
    }

    /// A node changes from `old` to `new`; not its owner.
    pub(super) fn update(&mut self, zxid: Zxid, path: Text, old: &StatPersisted, old_crc: u32, new: Node) {
        let path = if path == *"/" { Text::EMPTY } else { path };
        if self.digest.is_some() && digest::counts(&path) {
            let old = digest::from_prefix(old_crc, old);
            self.move_digest(old, digest::from_prefix(new.crc, &new.stat));
        }
        self.put(zxid, path, Some(new));
    }

    /// A node goes.
    pub(super) fn remove(&mut self, zxid: Zxid, path: &Text, old: &Node) {
        self.count_out_in(path, Some(old), None);
        if let Some(session) = self.types.session_of(old.stat.ephemeral_owner) {
            self.note_ephemeral(session, path, PendingEphemeral { zxid, lives: false });
        }
        self.put(zxid, path.clone(), None);
    }

    /// What the session will own: nodes of the tree and of txns under way, without those under way to be deleted.
    /// Sorted.
    pub(super) fn ephemerals(&self, tree: &Tree, session: SessionId) -> Vec<Text> {
        let mut owned: BTreeSet<Text> = tree.ephemerals(session).into_iter().collect();
        let pending = self.ephemerals.range((session, Text::EMPTY)..).take_while(|((s, _), _)| *s == session);
        for ((_, path), ephemeral) in pending {
            if ephemeral.lives {
                owned.insert(path.clone());
            } else {
                owned.remove(path);
            }
        }
        owned.into_iter().collect()
    }

    /// The digest of the tree once everything is applied; `None` if digests are off.
    pub(super) const fn digest(&self) -> Option<u64> {
        self.digest
    }

    /// CRC-32 of path and data, if digests are on; they are what it is for.
    pub(super) fn crc(&self, path: &str, data: Option<&[u8]>) -> u32 {
        if self.digest.is_some() { digest::prefix(path, data) } else { 0 }
    }

    /// The list in the form in which nodes hold it.
    pub(super) fn share_acl(&self, acl: &[Acl]) -> AclList {
        if *acl == *self.open_acl { Arc::clone(&self.open_acl) } else { acl.into() }
    }

    /// From here on changes can be undone.
    pub(super) fn begin(&mut self) -> Mark {
        assert!(self.undo.is_none(), "invariant: multis do not nest");
        self.undo = Some(Vec::new());
        Mark { digest: self.digest, history: self.history.len() }
    }

    /// The changes since [`Self::begin`] stay.
    pub(super) fn keep(&mut self, _mark: Mark) {
        self.undo = None;
    }

    /// The changes since [`Self::begin`] are undone.
    pub(super) fn roll_back(&mut self, mark: Mark) {
        for undo in self.undo.take().unwrap_or_default().into_iter().rev() {
            match undo {
                Undo::Node(path, Some(pending)) => drop(self.nodes.insert(path, pending)),
                Undo::Node(path, None) => drop(self.nodes.remove(&path)),
                Undo::Ephemeral(key, Some(pending)) => drop(self.ephemerals.insert(key, pending)),
                Undo::Ephemeral(key, None) => drop(self.ephemerals.remove(&key)),
            }
        }
        self.history.truncate(mark.history);
        self.digest = mark.digest;
    }

    /// The tree has everything up to `zxid`: records that say no more than the tree does are dropped.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        while let Some((_, path)) = self.history.pop_front_if(|(changed, _)| *changed <= zxid) {
            if self.nodes.get(&path).is_some_and(|pending| pending.zxid <= zxid) {
                self.nodes.remove(&path);
            }
        }
        if !self.ephemerals.is_empty() {
            self.ephemerals.retain(|_, pending| pending.zxid > zxid);
        }
        assert!(
            !self.history.is_empty() || self.nodes.is_empty(),
            "invariant: every pending record is in the history"
        );
    }

    fn put(&mut self, zxid: Zxid, path: Text, node: Option<Node>) {
        let old = self.nodes.insert(path.clone(), Pending { zxid, node });
        if let Some(undo) = &mut self.undo {
            undo.push(Undo::Node(path.clone(), old));
        }
        self.history.push_back((zxid, path));
    }

    fn note_ephemeral(&mut self, session: SessionId, path: &Text, pending: PendingEphemeral) {
        let key = (session, path.clone());
        let old = self.ephemerals.insert(key.clone(), pending);
        if let Some(undo) = &mut self.undo {
            undo.push(Undo::Ephemeral(key, old));
        }
    }

    fn count_out_in(&mut self, path: &str, old: Option<&Node>, new: Option<&Node>) {
        if self.digest.is_some() && digest::counts(path) {
            let digest_of = |node: Option<&Node>| node.map_or(0, |n| digest::from_prefix(n.crc, &n.stat));
            self.move_digest(digest_of(old), digest_of(new));
        }
    }

    fn move_digest(&mut self, old: u32, new: u32) {
        self.digest = self.digest.map(|sum| sum.wrapping_sub(old.into()).wrapping_add(new.into()));
    }
}
