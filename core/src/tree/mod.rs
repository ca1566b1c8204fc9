//! The znode tree: applies committed transactions, answers reads, knows nothing of quorums or sockets.
//! Java: DataTree, DataNode, ReferenceCountedACLCache, NodeHashMapImpl.
//!
//! A node of 15 bytes of name and 100 of data costs 96 bytes of record (`slab`), 128 of payload and some 15 in the index;
//! a look-up costs one hash and about four cache misses per path component, a create twice that.
//!
//! Not here: who may do what (`prep`, `auth`), whether a session is alive (`session`), who watches (`watch`).

mod acl;
mod apply;
mod children;
mod cow;
pub mod digest;
mod index;
mod load;
pub mod model;
mod node;
mod ordered;
pub mod owner;
pub mod path;
mod payload;
mod quota;
mod sessions;
mod slab;
mod view;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::ids::{SessionId, Zxid};
use crate::text::Text;
use crate::wire::records::{Acl, Stat, StatPersisted};

use acl::AclTable;
use index::Index;
use node::{NodeId, Record};
use owner::Ending;
pub use owner::{NodeKind, NodeTypes};
use sessions::Sessions;
use slab::Slab;

pub use load::TreeLoader;
pub use path::check_path;
pub use quota::Growth;
use quota::Quotas;
pub use view::{Walk, Walked};

/// An interned access control list.
pub type AclList = Arc<[Acl]>;

/// How [`Tree::apply`] meets effects that are already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyMode {
    /// A txn that this server validated against exactly this state: a contradiction is a broken invariant of ours.
    Live,
    /// A txn that a leader validated, perhaps one of Java's: a contradiction is its fault, and no reason to end here. What
    /// can be done is done, as in a replay, and watchers hear of it.
    Learned,
    /// A log over a snapshot that may be fuzzy: effects may be there already (disk format §6).
    Replay,
}

/// The replicated state: nodes, ACL table, sessions, digest. `Clone` is O(1); clones share what is equal.
///
/// Every part is copy-on-write behind one `Arc`, so a clone is a handful of reference counts, and a write after it
/// copies a leaf of 21 records, not the tree.
#[derive(Clone)]
pub struct Tree {
    nodes: Slab,
    root: NodeId,
    index: Index,
    acls: AclTable,
    sessions: Sessions,
    ending: Ending,
    quotas: Quotas,
    last_zxid: Zxid,
    digest: u64,
    /// As Java counts: the root twice.
    node_count: usize,
    /// Java's approximateDataSize, bytes.
    data_size: u64,
    /// A bug to plant.
    #[cfg(feature = "museum")]
    museum: Option<crate::museum::Exhibit>,
}

/// What a tree needs to know of its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeConfig {
    /// Seeds the hashing of the index, which clients should not be able to guess. Nothing that a client, a disk or another
    /// server sees depends on it.
    pub hash_seed: u64,
    /// How stored owners are read.
    pub types: NodeTypes,
}

/// A point-in-time handle: the state at exactly one zxid, for snapshots, long listings and dumps.
pub type TreeView = Tree;

/// What a change means to watchers; [`crate::watch`] and [`crate::front`] turn it into events (semantics §9.2).
#[derive(Clone, Debug)]
pub struct Change {
    /// What happened to the node.
    pub kind: ChangeKind,
    /// The node.
    pub path: Text,
    /// The node's ACL (for a delete: the one it had), for the READ filter.
    pub acl: AclList,
    /// The parent's ACL, for the READ filter of NodeChildrenChanged; `None` for `DataChanged`.
    pub parent_acl: Option<AclList>,
}

/// Kinds of [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ChangeKind {
    Created,
    Deleted,
    DataChanged,
}

/// Changes of one txn, in trigger order; a buffer that is reused.
pub type Changes = Vec<Change>;

/// What applying a txn yields for the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnResult {
    /// createSession.
    SessionCreated,
    /// closeSession.
    SessionClosed,
    /// Any create: the path with its suffix, and the new node's stat.
    Created {
        /// Full path.
        path: Text,
        /// The new node's stat.
        stat: Stat,
    },
    /// delete, check.
    Done,
    /// setData, setACL, reconfig: the stat afterwards.
    Changed {
        /// The stat afterwards.
        stat: Stat,
    },
    /// multi: one result per entry.
    Multi(Vec<Self>),
    /// An error txn, or an entry of a failed multi. The code is as logged: it may be 0 for entries before the
    /// failing one.
    Failed {
        /// Client protocol §9.
        err: i32,
    },
}

impl Tree {
    /// A fresh database: `/`, `/zookeeper`, `/zookeeper/quota`, `/zookeeper/config`; zxid 0.
    pub fn new() -> Self {
        Self::with_config(TreeConfig::default())
    }

    /// The same, configured.
    pub fn with_config(config: TreeConfig) -> Self {
        let mut tree = Self::bare(config);
        tree.place_root(Some(b""), acl::OPEN, &StatPersisted::default());
        tree.add_reserved();
        tree
    }

    /// Without even a root.
    fn bare(config: TreeConfig) -> Self {
        Self {
            nodes: Slab::new(),
            root: NodeId::NIL,
            index: Index::new(config.hash_seed),
            acls: AclTable::new(),
            sessions: Sessions::new(),
            ending: Ending::new(config.types),
            quotas: Quotas::default(),
            last_zxid: Zxid::ZERO,
            digest: 0,
            node_count: 0,
            data_size: 0,
            #[cfg(feature = "museum")]
            museum: None,
        }
    }

    /// The same with a bug in it.
    #[cfg(feature = "museum")]
    pub(crate) const fn with_museum(mut self, museum: Option<crate::museum::Exhibit>) -> Self {
        self.museum = museum;
        self
    }

    /// The zxid of the last txn applied, failed ones included.
    pub const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Version-2 digest of the tree (disk format §10).
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Nodes, counted as Java counts them (a fresh tree has 5: the root is there under two names).
    pub const fn node_count(&self) -> usize {
        self.node_count
    }

    /// Java's `approximate_data_size`: lengths of all paths (UTF-16 units) and data, bytes.
    pub const fn data_size(&self) -> u64 {
        self.data_size
    }

    /// Nodes that sessions own.
    pub const fn ephemeral_count(&self) -> usize {
        self.ending.ephemeral_count()
    }

    /// The node at a literal path; `""` is an alias of `/`.
    pub fn node(&self, path: &str) -> Option<NodeRef<'_>> {
        self.resolve(path).map(|id| self.node_ref(id))
    }

    const fn node_ref(&self, id: NodeId) -> NodeRef<'_> {
        NodeRef { tree: self, id }
    }

    /// Sessions with their timeouts in ms, by id.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, i32)> + '_ {
        self.sessions.iter()
    }

    /// The timeout in ms of a session that lives at this zxid.
    pub fn session(&self, id: SessionId) -> Option<i32> {
        self.sessions.timeout_ms(id)
    }

    /// Paths of a session's ephemerals, sorted: replicas with different histories agree on the order.
    pub fn ephemerals(&self, session: SessionId) -> Vec<Text> {
        let mut paths: Vec<Text> = self.ending.of(session).map(|id| self.path_of(id)).collect();
        paths.sort_unstable();
        paths
    }

    /// Sessions that own ephemerals (also such as are not in the session table), by id.
    pub fn ephemeral_owners(&self) -> Vec<SessionId> {
        self.ending.owners()
    }

    /// How stored owners are read here.
    pub const fn node_types(&self) -> NodeTypes {
        self.ending.types()
    }

    /// Containers and TTL nodes behind `behind` (`None`: all), in an order of this server's own, each as of now.
    pub fn collectable(&self, behind: Option<Slot>) -> impl Iterator<Item = (Slot, NodeRef<'_>)> {
        let first = behind.map_or(NodeId::NIL, |Slot(node)| NodeId(node.0 + 1));
        self.ending.collectable_from(first).map(|id| (Slot(id), self.node_ref(id)))
    }

    /// The state at this very zxid, O(1).
    pub fn view(&self) -> Self {
        self.clone()
    }

    /// The ACL table as snapshots hold it: ids from 1 up with their lists.
    pub fn acl_table(&self) -> Vec<(i64, AclList)> {
        self.acls.iter().map(|(id, list)| (id.into(), Arc::clone(list))).collect()
    }

    /// ACL ids that nodes have but the snapshot's table lacked, and that no replayed txn has settled since. Nodes with
    /// such an id let nobody in but `super`.
    pub fn unknown_acls(&self) -> Vec<i64> {
        self.acls.unknown().map(i64::from).collect()
    }

    /// All nodes, parents first, resumable; the root comes first as `""`.
    pub fn walk(&self) -> Walk {
        Walk::new(self.view())
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { last_zxid, node_count, digest, .. } = self;
        write!(f, "Tree {{ last_zxid: {last_zxid}, node_count: {node_count}, digest: {digest:#x} }}")
    }
}

/// A place among [`Tree::collectable`], to go on from in a tree that has changed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(NodeId);

/// One node of a tree that cannot change while this is held.
#[derive(Clone, Copy, Debug)]
pub struct NodeRef<'a> {
    tree: &'a Tree,
    id: NodeId,
}

impl<'a> NodeRef<'a> {
    fn record(&self) -> &'a Record {
        self.tree.nodes.get(self.id)
    }

    /// The full path, `/` for the root.
    pub fn path(&self) -> Text {
        self.tree.path_of(self.id)
    }

    /// What its owner makes of it.
    pub fn kind(&self) -> NodeKind {
        self.tree.node_types().kind(self.record().owner)
    }

    /// The last component of the path, `""` for the root.
    pub fn name(&self) -> &'a str {
        self.record().name()
    }

    /// The data; null and empty differ.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.record().data()
    }

    /// As clients see it.
    pub fn stat(&self) -> Stat {
        let record = self.record();
        // Both come from frames and from counts of nodes, far below 2^31.
        let data_length = record.data().map_or(0, |d| d.len() as i32);
        let owner = self.tree.node_types().session_of(record.owner).unwrap_or(SessionId::NONE);
        record.persisted().seen(data_length, record.child_count as i32, owner)
    }

    /// As snapshots hold it.
    pub fn persisted(&self) -> StatPersisted {
        self.record().persisted()
    }

    /// The ACL.
    pub fn acl(&self) -> AclList {
        self.tree.acls.list(self.record().acl)
    }

    /// The ACL, borrowed: reads on all cores would else count references of the one list that nearly all nodes have.
    pub fn acl_entries(&self) -> &'a [Acl] {
        self.tree.acls.entries(self.record().acl)
    }

    /// The ACL's number in the snapshot's table; -1 for the implicit world:anyone.
    pub fn acl_id(&self) -> i64 {
        self.record().acl.into()
    }

    /// How many children.
    pub fn child_count(&self) -> usize {
        self.record().child_count as usize
    }

    /// How many nodes are below it, at any depth. Walks them all.
    pub fn descendant_count(&self) -> usize {
        self.tree.descendants(self.id)
    }

    /// The child of this name.
    pub fn child(&self, name: &str) -> Option<Self> {
        self.tree.child(self.id, name).map(|id| self.tree.node_ref(id))
    }

    /// Children's names, in no order that means anything (but the same on every run).
    pub fn child_names(&self) -> impl Iterator<Item = &'a str> + 'a {
        let tree = self.tree;
        tree.children(self.id).map(|id| tree.nodes.get(id).name())
    }

    /// CRC-32 after path and data, the prefix of the node's digest: [`digest::from_prefix`] goes on from it.
    pub fn digest(&self) -> u32 {
        self.record().crc
    }
}

#[cfg(test)]
mod tests;
