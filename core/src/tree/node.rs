//! The record of one node: 96 bytes, name and data apart.

use super::payload::Payload;
use crate::ids::Zxid;
use crate::time::WallMs;
use crate::wire::records::StatPersisted;

/// A node's place in the slab. Reused after a delete: never kept beyond the tree or view it came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct NodeId(pub(super) u32);

impl NodeId {
    /// No node. Slot 0 of the slab is never given out.
    pub(super) const NIL: Self = Self(0);

    /// `None` for [`Self::NIL`].
    pub(super) fn some(self) -> Option<Self> {
        (self != Self::NIL).then_some(self)
    }
}

/// A node. Children are a list threaded through `first_child` and the children's `next` and `prev`.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) czxid: Zxid,
    pub(super) mzxid: Zxid,
    pub(super) pzxid: Zxid,
    pub(super) ctime: WallMs,
    pub(super) mtime: WallMs,
    /// As stored: a session, or the container or TTL code.
    pub(super) owner: i64,
    /// `None` in slots that hold no node.
    pub(super) payload: Option<Payload>,
    pub(super) version: i32,
    /// The creates counter.
    pub(super) cversion: i32,
    pub(super) aversion: i32,
    /// In [`super::acl::AclTable`].
    pub(super) acl: i32,
    pub(super) parent: NodeId,
    pub(super) first_child: NodeId,
    /// The next sibling; in a free slot the next free slot.
    pub(super) next: NodeId,
    pub(super) prev: NodeId,
    pub(super) child_count: u32,
    /// CRC-32 of path and data, from which the node's digest goes on: it saves reading a parent's path and data when
    /// only its pzxid and counter move.
    pub(super) crc: u32,
}

const _: () = assert!(size_of::<Record>() == 96, "the memory budget counts on it");

impl Record {
    /// A slot without a node.
    pub(super) const VACANT: Self = Self {
        czxid: Zxid::ZERO,
        mzxid: Zxid::ZERO,
        pzxid: Zxid::ZERO,
        ctime: WallMs(0),
        mtime: WallMs(0),
        owner: 0,
        payload: None,
        version: 0,
        cversion: 0,
        aversion: 0,
        acl: 0,
        parent: NodeId::NIL,
        first_child: NodeId::NIL,
        next: NodeId::NIL,
        prev: NodeId::NIL,
        child_count: 0,
        crc: 0,
    };

    /// A node that is not linked yet.
    pub(super) fn new(payload: Payload, acl: i32, crc: u32, stat: &StatPersisted) -> Self {
        Self {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            pzxid: stat.pzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            owner: stat.ephemeral_owner,
            payload: Some(payload),
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            acl,
            crc,
            ..Self::VACANT
        }
    }

    fn payload(&self) -> &Payload {
        self.payload.as_ref().expect("invariant: only slots with a node are reachable")
    }

    pub(super) fn name(&self) -> &str {
        self.payload().name()
    }

    pub(super) fn data(&self) -> Option<&[u8]> {
        self.payload().data()
    }

    pub(super) fn set_data(&mut self, data: Option<&[u8]>) {
        self.payload.as_mut().expect("invariant: only slots with a node are reachable").replace_data(data);
    }

    pub(super) const fn persisted(&self) -> StatPersisted {
        StatPersisted {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion,
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            pzxid: self.pzxid,
        }
    }
}
