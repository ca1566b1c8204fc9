//! What a stored ephemeralOwner means, which nodes each session owns, and which nodes end by themselves.

use alloc::vec::Vec;

use super::node::NodeId;
use super::ordered::OrderedMap;
use crate::ids::SessionId;

/// The owner stored in containers. No session has this number.
pub const CONTAINER: i64 = i64::MIN;

/// The longest time to live, ms: 40 bits of a stored owner.
pub const TTL_MAX_MS: i64 = 0xff_ffff_ffff;

/// The high byte of owners that are no sessions where there are more types of nodes; no server has it for its id then.
const EXTENDED: i64 = 0xff << 56;

/// The owner stored in a TTL node that lives `ttl_ms` (1 … [`TTL_MAX_MS`]) beyond its last change.
pub const fn ttl(ttl_ms: i64) -> i64 {
    ttl_ms | EXTENDED
}

/// Which types of nodes a stored owner may tell of. All servers of an ensemble have to agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeTypes {
    /// Ephemerals and containers: every other owner is a session's number.
    #[default]
    Plain,
    /// TTL nodes as well (`zookeeper.extendedTypesEnabled`).
    Extended,
    /// And those that 3.5.3 made: every negative owner but the containers' (`zookeeper.emulate353TTLNodes`).
    Emulate353,
}

/// What a node's stored owner makes of it. Java: `EphemeralType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Stays until it is deleted.
    Persistent,
    /// Ends with this session.
    Ephemeral(SessionId),
    /// Ends when its last child has.
    Container,
    /// Ends when it has not changed for so many ms and has no children.
    Ttl(i64),
    /// Of a type that is not known here, so that nobody knows when it should end. (Java does not start with such a node.)
    Unknown,
}

impl NodeTypes {
    /// What a node with this stored owner is.
    pub const fn kind(self, owner: i64) -> NodeKind {
        let feature = (owner & !EXTENDED) >> 40;
        match self {
            _ if owner == 0 => NodeKind::Persistent,
            _ if owner == CONTAINER => NodeKind::Container,
            Self::Emulate353 if owner < 0 => NodeKind::Ttl(owner & TTL_MAX_MS),
            Self::Extended if owner & EXTENDED == EXTENDED && feature == 0 => {
                NodeKind::Ttl(owner & TTL_MAX_MS)
            }
            Self::Extended if owner & EXTENDED == EXTENDED => NodeKind::Unknown,
            _ => NodeKind::Ephemeral(SessionId(owner)),
        }
    }

    /// The session that owns a node with this stored owner.
    pub const fn session_of(self, owner: i64) -> Option<SessionId> {
        if let NodeKind::Ephemeral(session) = self.kind(owner) { Some(session) } else { None }
    }

    /// True where createTTL does something.
    pub const fn has_ttl(self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// Nodes that end without being deleted by a client.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    types: NodeTypes,
    ephemerals: OrderedMap<(SessionId, NodeId), ()>,
    /// Containers and TTL nodes.
    collectable: OrderedMap<NodeId, ()>,
}

impl Ending {
    pub(super) fn new(types: NodeTypes) -> Self {
        Self { types, ephemerals: OrderedMap::new(), collectable: OrderedMap::new() }
    }

    pub(super) const fn types(&self) -> NodeTypes {
        self.types
    }

    /// Notes a node with this stored owner; nothing to note if it stays until it is deleted.
    pub(super) fn add(&mut self, owner: i64, node: NodeId) {
        match self.types.kind(owner) {
            NodeKind::Ephemeral(session) => drop(self.ephemerals.insert((session, node), ())),
            NodeKind::Container | NodeKind::Ttl(_) => drop(self.collectable.insert(node, ())),
            NodeKind::Persistent | NodeKind::Unknown => {}
        }
    }

    pub(super) fn remove(&mut self, owner: i64, node: NodeId) {
        match self.types.kind(owner) {
            NodeKind::Ephemeral(session) => drop(self.ephemerals.remove(&(session, node))),
            NodeKind::Container | NodeKind::Ttl(_) => drop(self.collectable.remove(&node)),
            NodeKind::Persistent | NodeKind::Unknown => {}
        }
    }

    pub(super) const fn ephemeral_count(&self) -> usize {
        self.ephemerals.len()
    }

    pub(super) fn of(&self, session: SessionId) -> impl Iterator<Item = NodeId> {
        let all = self.ephemerals.iter_from((session, NodeId::NIL));
        all.map(|(k, ())| *k).take_while(move |(s, _)| *s == session).map(|(_, n)| n)
    }

    /// Sessions that own nodes, by id.
    pub(super) fn owners(&self) -> Vec<SessionId> {
        let mut owners: Vec<_> = self.ephemerals.iter().map(|((s, _), ())| *s).collect();
        owners.dedup();
        owners
    }

    /// Containers and TTL nodes from `first` on, in the order of their slots.
    pub(super) fn collectable_from(&self, first: NodeId) -> impl Iterator<Item = NodeId> {
        self.collectable.iter_from(first).map(|(node, ())| *node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_as_the_switches_say() {
        let session = |owner: i64| NodeKind::Ephemeral(SessionId(owner));
        let cases = [
            (0, [NodeKind::Persistent; 3]),
            (CONTAINER, [NodeKind::Container; 3]),
            (0x0100_0000_0000_0001, [session(0x0100_0000_0000_0001); 3]),
            (ttl(5), [session(ttl(5)), NodeKind::Ttl(5), NodeKind::Ttl(5)]),
            (
                ttl(TTL_MAX_MS),
                [session(ttl(TTL_MAX_MS)), NodeKind::Ttl(TTL_MAX_MS), NodeKind::Ttl(TTL_MAX_MS)],
            ),
            // What 3.5.3 stored for a ttl of 7.
            (CONTAINER | 7, [session(CONTAINER | 7), session(CONTAINER | 7), NodeKind::Ttl(7)]),
            (ttl(5) | 1 << 40, [session(ttl(5) | 1 << 40), NodeKind::Unknown, NodeKind::Ttl(5)]),
        ];
        for (owner, kinds) in cases {
            let found = [NodeTypes::Plain, NodeTypes::Extended, NodeTypes::Emulate353].map(|t| t.kind(owner));
            assert_eq!(found, kinds, "{owner:#x}");
        }
    }
}
