//! What a stored ephemeralOwner means, and which nodes each session owns.
//!
//! `zookeeper.extendedTypesEnabled` is off: an owner of the form 0xff… is the session of that number (disk format §4).

use alloc::vec::Vec;

use super::node::NodeId;
use super::ordered::OrderedMap;
use crate::ids::SessionId;

/// The owner stored in containers. No session has this number.
pub const CONTAINER: i64 = i64::MIN;

/// The owner stored in a TTL node that lives `ttl_ms` (1 … 2^40 - 1) beyond its last change.
pub const fn ttl(ttl_ms: i64) -> i64 {
    ttl_ms | (0xff << 56)
}

/// The session that owns a node with this stored owner.
pub const fn session_of(owner: i64) -> Option<SessionId> {
    if owner == 0 || owner == CONTAINER { None } else { Some(SessionId(owner)) }
}

/// Ephemeral nodes by session.
#[derive(Clone, Debug)]
pub(super) struct Ephemerals(OrderedMap<(SessionId, NodeId), ()>);

impl Ephemerals {
    pub(super) fn new() -> Self {
        Self(OrderedMap::new())
    }

    /// Notes a node with this stored owner; nothing to note if no session owns it.
    pub(super) fn add(&mut self, owner: i64, node: NodeId) {
        if let Some(session) = session_of(owner) {
            self.0.insert((session, node), ());
        }
    }

    pub(super) fn remove(&mut self, owner: i64, node: NodeId) {
        if let Some(session) = session_of(owner) {
            self.0.remove(&(session, node));
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn of(&self, session: SessionId) -> impl Iterator<Item = NodeId> {
        let all = self.0.iter_from((session, NodeId::NIL));
        all.map(|(k, ())| *k).take_while(move |(s, _)| *s == session).map(|(_, n)| n)
    }

    /// Sessions that own nodes, by id.
    pub(super) fn owners(&self) -> Vec<SessionId> {
        let mut owners: Vec<_> = self.0.iter().map(|((s, _), ())| *s).collect();
        owners.dedup();
        owners
    }
}
