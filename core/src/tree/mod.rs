//! The znode tree: applies committed transactions, answers reads, knows nothing of quorums or sockets.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::error::OpError;
use crate::ids::{SessionId, Zxid};
use crate::text::Text;
use crate::wire::records::{Acl, Stat, StatPersisted};
use crate::wire::txn::Txn;

/// An interned access control list.
pub type AclList = Arc<[Acl]>;

/// How [`Tree::apply`] meets effects that are already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyMode {
    /// A txn that was validated against exactly this state: a contradiction is a broken invariant of ours.
    Live,
    /// A log over a snapshot that may be fuzzy: effects may be there already (disk format §6).
    Replay,
}

/// The replicated state: nodes, ACL table, sessions, digest. `Clone` is O(1); clones share what is equal.
#[derive(Clone, Debug)]
pub struct Tree {}

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
    Multi(Vec<TxnResult>),
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
        unreachable!("written by the tree room")
    }

    /// The zxid of the last txn applied, failed ones included.
    pub fn last_zxid(&self) -> Zxid {
        unreachable!()
    }

    /// Version-2 digest of the tree (disk format §10).
    pub fn digest(&self) -> u64 {
        unreachable!()
    }

    /// Nodes, counted as Java counts them (a fresh tree has 5: the root is there under two names).
    pub fn node_count(&self) -> usize {
        unreachable!()
    }

    /// Applies one committed txn and appends what watchers should hear to `changes`.
    pub fn apply(&mut self, _txn: &Txn, _mode: ApplyMode, _changes: &mut Changes) -> TxnResult {
        unreachable!()
    }

    /// The node at a literal path; `""` is an alias of `/`.
    pub fn node(&self, _path: &str) -> Option<NodeRef<'_>> {
        unreachable!()
    }

    /// Sessions with their timeouts in ms, by id.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, i32)> + '_ {
        core::iter::empty()
    }

    /// The timeout in ms of a session that lives at this zxid.
    pub fn session(&self, _id: SessionId) -> Option<i32> {
        unreachable!()
    }

    /// Paths of a session's ephemerals, in a stable order.
    pub fn ephemerals(&self, _session: SessionId) -> Vec<Text> {
        unreachable!()
    }

    /// Sessions that own ephemerals (also such as are not in the session table), by id.
    pub fn ephemeral_owners(&self) -> Vec<SessionId> {
        unreachable!()
    }

    /// The state at this very zxid, O(1).
    pub fn view(&self) -> TreeView {
        self.clone()
    }

    /// The ACL table as snapshots hold it: ids from 1 up with their lists.
    pub fn acl_table(&self) -> Vec<(i64, AclList)> {
        unreachable!()
    }

    /// All nodes, parents first, resumable; the root comes first as `""`.
    pub fn walk(&self) -> Walk {
        unreachable!()
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

/// One node of a tree that cannot change while this is held.
#[derive(Clone, Copy, Debug)]
pub struct NodeRef<'a> {
    _tree: &'a Tree,
}

impl<'a> NodeRef<'a> {
    /// The data; null and empty differ.
    pub fn data(&self) -> Option<&'a [u8]> {
        unreachable!()
    }
    /// As clients see it.
    pub fn stat(&self) -> Stat {
        unreachable!()
    }
    /// As snapshots hold it.
    pub fn persisted(&self) -> StatPersisted {
        unreachable!()
    }
    /// The ACL.
    pub fn acl(&self) -> AclList {
        unreachable!()
    }
    /// The ACL's number in the snapshot's table; -1 for the implicit world:anyone.
    pub fn acl_id(&self) -> i64 {
        unreachable!()
    }
    /// How many children.
    pub fn child_count(&self) -> usize {
        unreachable!()
    }
    /// Children's names, in no order that means anything (but the same on every run).
    pub fn child_names(&self) -> impl Iterator<Item = &'a str> + 'a {
        core::iter::empty()
    }
    /// CRC-32 state after path and data: the prefix of the node's digest (disk format §10).
    pub fn digest(&self) -> u32 {
        unreachable!()
    }
}

/// A resumable walk over a view; owns its view.
#[derive(Clone, Debug)]
pub struct Walk {}

/// One step of a [`Walk`].
#[derive(Debug)]
pub struct Walked<'a> {
    /// Full path, `""` for the root.
    pub path: &'a str,
    /// The node.
    pub node: NodeRef<'a>,
}

impl Walk {
    /// The next node, parents before children.
    #[allow(clippy::should_implement_trait)] // it lends
    pub fn next(&mut self) -> Option<Walked<'_>> {
        unreachable!()
    }
}

/// Builds a tree from a snapshot.
#[derive(Debug, Default)]
pub struct TreeLoader {}

impl TreeLoader {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
    /// A session of the table.
    pub fn session(&mut self, _id: SessionId, _timeout_ms: i32) {}
    /// An entry of the ACL table.
    pub fn acl(&mut self, _id: i64, _list: Vec<Acl>) {}
    /// A node; its parent came before. `Err` says what does not hold together.
    pub fn node(&mut self, _path: &str, _data: Option<&[u8]>, _acl: i64, _stat: StatPersisted) -> Result<(), String> {
        unreachable!()
    }
    /// The tree as of `zxid` (the zxid in the snapshot's name).
    pub fn finish(self, _zxid: Zxid) -> Result<Tree, String> {
        unreachable!()
    }
}

/// Checks a path as Java does for setData, setACL, check, and create (semantics §3).
pub fn check_path(_path: &str) -> Result<(), OpError> {
    unreachable!()
}
