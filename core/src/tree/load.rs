//! [`TreeLoader`]: from a snapshot's tables and nodes to a tree.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Tree, TreeConfig, acl, digest, path};
use crate::ids::{SessionId, Zxid};
use crate::wire::records::{Acl, StatPersisted};

/// Builds a tree from a snapshot, which may be fuzzy: parents come before their children, nothing else is relied on.
#[derive(Clone, Debug)]
pub struct TreeLoader {
    tree: Tree,
    root_seen: bool,
    /// Numbers of the file beyond 31 bits, and ours for them.
    renumbered: BTreeMap<i64, i32>,
    /// Tables whose number cannot be kept, until all that can be kept are known.
    large: Vec<(i64, Vec<Acl>)>,
}

impl Default for TreeLoader {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeLoader {
    /// An empty one.
    pub fn new() -> Self {
        Self::with_config(TreeConfig::default())
    }

    /// The same, configured.
    pub fn with_config(config: TreeConfig) -> Self {
        Self { tree: Tree::bare(config), root_seen: false, renumbered: BTreeMap::new(), large: Vec::new() }
    }

    /// A session of the table.
    pub fn session(&mut self, id: SessionId, timeout_ms: i32) {
        self.tree.sessions.open(id, timeout_ms);
    }

    /// An entry of the ACL table; all of them come before the first node.
    pub fn acl(&mut self, id: i64, list: Vec<Acl>) {
        match i32::try_from(id) {
            Ok(id) if id > 0 => self.tree.acls.load(id, list),
            _ => self.large.push((id, list)),
        }
    }

    /// A node; its parent came before. `Err` says what does not hold together.
    pub fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: StatPersisted,
    ) -> Result<(), String> {
        if path.is_empty() {
            return self.root(data, acl, &stat);
        }
        if !self.root_seen {
            return Err(format!("node {path:?} comes before the root"));
        }
        let Some((parent_path, name)) = path::split(path).filter(|(_, name)| !name.is_empty()) else {
            return Err(format!("{path:?} is not the path of a node"));
        };
        let Some(parent) = self.tree.resolve(parent_path).filter(|_| parent_path != "/") else {
            return Err(format!("the parent of {path:?} does not come before it"));
        };
        if self.tree.child(parent, name).is_some() {
            return Err(format!("node {path:?} is there twice"));
        }
        let acl = self.acl_number(acl);
        self.tree.acls.acquire_id(acl);
        self.tree.add(parent, path, name, data, acl, &stat);
        Ok(())
    }

    /// The tree as of `zxid` (the zxid in the snapshot's name). ACL lists that no node has are dropped; reserved nodes
    /// that a snapshot from before 3.5 lacks are added, as Java does.
    pub fn finish(mut self, zxid: Zxid) -> Result<Tree, String> {
        if !self.root_seen {
            return Err(String::from("there is no root"));
        }
        self.tree.acls.drop_unused();
        self.tree.add_reserved();
        self.tree.find_quotas();
        self.tree.last_zxid = zxid;
        Ok(self.tree)
    }

    fn root(&mut self, data: Option<&[u8]>, acl: i64, stat: &StatPersisted) -> Result<(), String> {
        if core::mem::replace(&mut self.root_seen, true) {
            return Err(String::from("the root is there twice"));
        }
        let acl = self.acl_number(acl);
        self.tree.acls.acquire_id(acl);
        self.tree.place_root(data, acl, stat);
        Ok(())
    }

    /// Our number for the file's; a number that the table lacks stays open for a replayed txn to settle.
    fn acl_number(&mut self, id: i64) -> i32 {
        for (large, list) in core::mem::take(&mut self.large) {
            let ours = self.tree.acls.unused_id();
            self.tree.acls.load(ours, list);
            self.renumbered.insert(large, ours);
        }
        if id == i64::from(acl::OPEN) {
            return acl::OPEN;
        }
        let kept = i32::try_from(id).ok().filter(|id| *id > 0);
        let ours = kept.or_else(|| self.renumbered.get(&id).copied()).unwrap_or_else(|| {
            let ours = self.tree.acls.unused_id();
            self.renumbered.insert(id, ours);
            ours
        });
        if !self.tree.acls.contains(ours) {
            self.tree.acls.load_unknown(ours);
        }
        ours
    }
}

impl Tree {
    /// Adds those of the reserved nodes that are missing, as a fresh database has them.
    pub(super) fn add_reserved(&mut self) {
        for path in ["/zookeeper", "/zookeeper/quota"] {
            self.add_missing(path, acl::OPEN, &StatPersisted::default());
        }
        if self.resolve("/zookeeper/config").is_none() {
            let read_only = self.acls.acquire(&[Acl::world(crate::wire::records::perms::READ)]);
            let stat = StatPersisted { aversion: -1, ..StatPersisted::default() };
            self.add_missing("/zookeeper/config", read_only, &stat);
        }
    }

    fn add_missing(&mut self, path: &str, acl: i32, stat: &StatPersisted) {
        if self.resolve(path).is_some() {
            return;
        }
        let (parent, name) = path::split(path).expect("reserved paths have a slash");
        let parent = self.resolve(parent).expect("reserved parents are added before their children");
        self.add(parent, path, name, Some(b""), acl, stat);
    }

    /// Fills the root's slot, which is the first thing a tree gets.
    pub(super) fn place_root(&mut self, data: Option<&[u8]>, acl: i32, stat: &StatPersisted) {
        let crc = digest::prefix("", data);
        let record = super::node::Record::new(super::payload::Payload::new("", data), acl, crc, stat);
        self.root = self.nodes.insert(record);
        self.digest = digest::from_prefix(crc, stat).into();
        self.ending.add(stat.ephemeral_owner, self.root);
        // Java keeps the root under "" and "/". It counts both names, and at load the root's data twice, which we do not.
        self.node_count = 2;
        self.data_size = 1 + data.map_or(0, |d| d.len() as u64);
    }
}
