//! Connections and watches of a server, as `core::front` wants to see them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use zk_core::front::connection::Connection;
use zk_core::front::{Connections, Watches};
use zk_core::ids::{ConnId, SessionId};
use zk_core::watch::{SHARDS, WatchShard};
use zk_core::wire::framing::FrameReader;

/// Connections of a server.
#[derive(Clone, Debug, Default)]
pub struct Conns {
    pub(super) all: BTreeMap<ConnId, RefCell<(Connection, FrameReader)>>,
    pub(super) bound: RefCell<BTreeMap<SessionId, ConnId>>,
}

impl Conns {
    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// True if it is there.
    pub fn contains(&self, conn: ConnId) -> bool {
        self.all.contains_key(&conn)
    }
}

impl Connections for Conns {
    fn with<R>(&self, conn: ConnId, f: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        self.all.get(&conn).map(|cell| f(&mut cell.borrow_mut().0))
    }

    fn bind(&self, session: SessionId, conn: ConnId) -> Option<ConnId> {
        self.bound.borrow_mut().insert(session, conn).filter(|old| *old != conn)
    }

    fn unbind(&self, session: SessionId, conn: ConnId) {
        let mut bound = self.bound.borrow_mut();
        if bound.get(&session) == Some(&conn) {
            bound.remove(&session);
        }
    }

    fn conn_of(&self, session: SessionId) -> Option<ConnId> {
        self.bound.borrow().get(&session).copied()
    }
}

/// Watches of a server.
#[derive(Clone, Debug)]
pub struct Shards(pub(super) Vec<RefCell<WatchShard>>);

impl Shards {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| RefCell::new(WatchShard::default())).collect())
    }

    /// Connections that hold watches.
    pub fn holders(&self) -> Vec<ConnId> {
        let mut holders: Vec<ConnId> = Vec::new();
        for shard in &self.0 {
            holders.extend(shard.borrow().list().map(|(_, conn, _)| conn));
        }
        holders.sort_unstable();
        holders.dedup();
        holders
    }
}

impl Watches for Shards {
    fn shard<R>(&self, index: usize, f: impl FnOnce(&mut WatchShard) -> R) -> R {
        f(&mut self.0[index].borrow_mut())
    }
}
