//! Creates of every kind (client protocol §7, semantics §4, §5).

use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

use super::overlay::Node;
use super::{CollectRules, Prep, Proposal, parent_of, raise_pzxid};
use crate::auth;
use crate::error::OpError;
use crate::text::Text;
use crate::tree::{Growth, NodeKind, check_path, owner, path};
use crate::wire::client::{CreateRequest, CreateTtlRequest};
use crate::wire::records::{Acl, StatPersisted, perms};
use crate::wire::txn::{CreateKind, CreateTxn, TxnBody};

/// What the flags of a create ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) ephemeral: bool,
    pub(super) sequential: bool,
    pub(super) container: bool,
    pub(super) ttl: bool,
}

impl Flags {
    /// Java: `CreateMode.fromFlag`.
    pub(super) const fn decode(flags: i32) -> Result<Self, OpError> {
        let none = Self { ephemeral: false, sequential: false, container: false, ttl: false };
        Ok(match flags {
            0 => none,
            1 => Self { ephemeral: true, ..none },
            2 => Self { sequential: true, ..none },
            3 => Self { ephemeral: true, sequential: true, ..none },
            4 => Self { container: true, ..none },
            5 => Self { ttl: true, ..none },
            6 => Self { ttl: true, sequential: true, ..none },
            _ => return Err(OpError::BadArguments),
        })
    }
}

/// A create whose flags have been understood.
struct Wanted {
    kind: CreateKind,
    path: Text,
    data: Option<Bytes>,
    acl: Vec<Acl>,
    flags: Flags,
}

impl Prep {
    /// create, create2, createContainer on their own: the opcode says what comes of it, the container flag nothing.
    pub(super) fn create(
        &mut self,
        at: &Proposal<'_>,
        kind: CreateKind,
        request: CreateRequest,
    ) -> Result<TxnBody, OpError> {
        let CreateRequest { path, data, acl, flags } = request;
        let flags = Flags::decode(flags)?;
        if flags.ttl {
            // These opcodes carry no ttl, and none is out of range.
            let types = at.tree.node_types();
            return Err(if types.has_ttl() { OpError::BadArguments } else { OpError::Unimplemented });
        }
        self.create_node(at, Wanted { kind, path, data, acl, flags })
    }

    /// createTTL, which needs `extendedTypesEnabled`. A mode without a time to live is refused whatever its ttl: with a
    /// negative one Java logs a txn that ends the process at every start (client protocol §19).
    pub(super) fn create_ttl(
        &mut self,
        at: &Proposal<'_>,
        request: CreateTtlRequest,
    ) -> Result<TxnBody, OpError> {
        let CreateTtlRequest { path, data, acl, flags, ttl_ms } = request;
        let flags = Flags::decode(flags)?;
        if flags.ttl && !at.tree.node_types().has_ttl() {
            return Err(OpError::Unimplemented);
        }
        if !flags.ttl || !(1..=owner::TTL_MAX_MS).contains(&ttl_ms) {
            return Err(OpError::BadArguments);
        }
        self.create_node(at, Wanted { kind: CreateKind::Ttl(ttl_ms), path, data, acl, flags })
    }

    /// A create or create2 inside a multi: there the flags say whether a container comes of it (client protocol §7, last
    /// paragraph).
    pub(super) fn create_in_multi(
        &mut self,
        at: &Proposal<'_>,
        kind: CreateKind,
        flags: Flags,
        request: CreateRequest,
    ) -> Result<TxnBody, OpError> {
        let CreateRequest { path, data, acl, .. } = request;
        let kind = if flags.container { CreateKind::Container } else { kind };
        self.create_node(at, Wanted { kind, path, data, acl, flags })
    }

    fn create_node(&mut self, at: &Proposal<'_>, wanted: Wanted) -> Result<TxnBody, OpError> {
        let Wanted { kind, path, data, acl, flags } = wanted;
        if let Some(error) = at.no_ephemerals.filter(|_| flags.ephemeral) {
            return Err(error);
        }
        let (parent_path, _) = path::split(&path).ok_or(OpError::BadArguments)?;
        let acl = auth::fix_up(acl, at.auth)?;
        let mut parent = self.overlay.node(at.tree, parent_path).ok_or(OpError::NoNode)?;
        self.permit(&parent, perms::CREATE, at)?;
        let path = if flags.sequential {
            Text::from(format!("{}{:010}", path.as_str(), parent.stat.cversion))
        } else {
            path
        };
        check_path(&path)?;
        if self.overlay.node(at.tree, &path).is_some() {
            return Err(OpError::NodeExists);
        }
        if parent.is_ephemeral(at.tree.node_types()) {
            return Err(OpError::NoChildrenForEphemerals);
        }
        let data_len = data.as_ref().map_or(0, |d| d.len());
        self.check_quota(at, &path, Growth { count: 1, bytes: data_len as i64 })?;

        let ephemeral = flags.ephemeral && matches!(kind, CreateKind::Create | CreateKind::Create2);
        let ephemeral_owner = match kind {
            CreateKind::Container => owner::CONTAINER,
            CreateKind::Ttl(ttl_ms) => owner::ttl(ttl_ms),
            CreateKind::Create | CreateKind::Create2 if ephemeral => at.session.0,
            CreateKind::Create | CreateKind::Create2 => 0,
        };
        let parent_cversion = parent.stat.cversion.wrapping_add(1);
        let (old, crc) = (parent.stat, parent.crc);
        parent.child_count += 1;
        // A counter that wraps stands still, and pzxid with it, as when the txn is applied.
        if parent_cversion > parent.stat.cversion {
            parent.stat.cversion = parent_cversion;
            parent.stat.pzxid = at.zxid;
        }
        self.overlay.update(at.zxid, parent_of(&path), &old, crc, parent);
        let stat = born(at, ephemeral_owner);
        let node = Node {
            stat,
            child_count: 0,
            acl: self.overlay.share_acl(&acl),
            data_len,
            crc: self.overlay.crc(&path, data.as_deref()),
        };
        self.overlay.insert(at.zxid, &path, node);
        Ok(TxnBody::Create(CreateTxn { kind, path, data, acl, ephemeral, parent_cversion }))
    }

    /// delete.
    pub(super) fn delete(&mut self, at: &Proposal<'_>, path: Text, version: i32) -> Result<TxnBody, OpError> {
        let (parent_path, _) = path::split(&path).ok_or(OpError::BadArguments)?;
        if path::RESERVED.contains(&path.as_str()) {
            return Err(OpError::BadArguments);
        }
        let parent = self.overlay.node(at.tree, parent_path).ok_or(OpError::NoNode)?;
        // Only the parent's ACL counts: the node's own says nothing about its end.
        self.permit(&parent, perms::DELETE, at)?;
        let node = self.overlay.node(at.tree, &path).ok_or(OpError::NoNode)?;
        super::next_version(node.stat.version, version)?;
        if node.child_count > 0 {
            return Err(OpError::NotEmpty);
        }
        self.remove(at, &path, &node, parent);
        Ok(TxnBody::Delete { path })
    }

    /// Whether a container is used no more, or a TTL node's time is over, as of everything prepared so far; then it goes, by
    /// nobody's request. Java decides over what is applied and prepares a deletion whatever has come of the node since, which
    /// is then refused (-111, a zxid for nothing) or, where a persistent node has taken its place, is not.
    pub(super) fn collected(
        &mut self,
        at: &Proposal<'_>,
        path: Text,
        rules: CollectRules,
    ) -> Option<TxnBody> {
        let node = self.overlay.node(at.tree, &path)?;
        if node.child_count > 0 || !rules.is_over(&node.stat, at) {
            return None;
        }
        let parent =
            self.overlay.node(at.tree, &parent_of(&path)).expect("invariant: every node has a parent");
        self.remove(at, &path, &node, parent);
        Some(TxnBody::DeleteContainer { path })
    }

    /// Takes a node without children out of the pending view.
    pub(super) fn remove(&mut self, at: &Proposal<'_>, path: &Text, node: &Node, mut parent: Node) {
        let (old, crc) = (parent.stat, parent.crc);
        parent.child_count -= 1;
        raise_pzxid(&mut parent.stat, at.zxid);
        self.overlay.update(at.zxid, parent_of(path), &old, crc, parent);
        self.overlay.remove(at.zxid, path, node);
    }
}

impl CollectRules {
    /// True of a node without children that may go (semantics §5).
    fn is_over(self, stat: &StatPersisted, at: &Proposal<'_>) -> bool {
        let unchanged_ms = at.time.0.saturating_sub(stat.mtime.0);
        match at.tree.node_types().kind(stat.ephemeral_owner) {
            NodeKind::Container if stat.cversion > 0 => true,
            NodeKind::Container => self.never_used_ms.is_some_and(|most| unchanged_ms > most),
            NodeKind::Ttl(ttl_ms) => ttl_ms != 0 && unchanged_ms > ttl_ms,
            NodeKind::Persistent | NodeKind::Ephemeral(_) | NodeKind::Unknown => false,
        }
    }
}

/// The stat of a new node.
fn born(at: &Proposal<'_>, ephemeral_owner: i64) -> StatPersisted {
    StatPersisted {
        czxid: at.zxid,
        mzxid: at.zxid,
        pzxid: at.zxid,
        ctime: at.time,
        mtime: at.time,
        ephemeral_owner,
        ..StatPersisted::default()
    }
}
