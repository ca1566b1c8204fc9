//! [`Table`]: all connections and the sessions that they serve; [`Shards`]: all watches. What the core asks for as
//! traits, with locks around it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use zk_core::front::connection::Connection;
use zk_core::front::throttle::Handshake;
use zk_core::front::{Connections, EventKind, Watches};
use zk_core::ids::{ConnId, SessionId};
use zk_core::time::Mono;
use zk_core::watch::{SHARDS, WatchShard};
use zk_core::wire::client::op;

use super::Client;
use crate::metrics::{Answered, Tally};
use crate::shared::Shared;

/// Locks of the table; a power of two.
const PARTS: usize = 64;

/// Connections by number, sessions by id.
#[derive(Debug)]
pub(crate) struct Table {
    clients: Parts<ConnId, Arc<Client>>,
    sessions: Parts<SessionId, ConnId>,
    last: AtomicU64,
    len: AtomicUsize,
}

type Parts<K, V> = Box<[CachePadded<Mutex<HashMap<K, V>>>]>;

fn parts<K, V>() -> Parts<K, V> {
    (0..PARTS).map(|_| CachePadded::default()).collect()
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { clients: parts(), sessions: parts(), last: AtomicU64::new(0), len: AtomicUsize::new(0) }
    }

    /// A number for the next connection.
    pub(crate) fn next_id(&self) -> ConnId {
        ConnId(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn insert(&self, client: Arc<Client>) {
        self.part(client.id).lock().insert(client.id, client);
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, conn: ConnId) {
        if self.part(conn).lock().remove(&conn).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<Arc<Client>> {
        self.part(conn).lock().get(&conn).cloned()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// All of them, by number. No lock is held while the caller looks at them.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        let mut all = Vec::with_capacity(self.len());
        for part in &self.clients {
            all.extend(part.lock().values().cloned());
        }
        all.sort_unstable_by_key(|client| client.id);
        all
    }

    fn part(&self, conn: ConnId) -> &Mutex<HashMap<ConnId, Arc<Client>>> {
        &self.clients[conn.0 as usize % PARTS]
    }

    fn sessions(&self, session: SessionId) -> &Mutex<HashMap<SessionId, ConnId>> {
        &self.sessions[session.0 as usize % PARTS]
    }
}

/// The table for the length of one call into the core, with what is counted meanwhile.
pub(crate) struct Desk<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) tally: &'a Tally,
}

impl Connections for Desk<'_> {
    fn with<R>(&self, conn: ConnId, f: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let client = self.shared.table.get(conn)?;
        let mut state = client.state.lock();
        let done = self.tally.of(&mut state, f);
        if let Some(large) = &self.shared.large {
            large.settle(&client.large, state.large_bytes());
        }
        Some(done)
    }

    fn bind(&self, session: SessionId, conn: ConnId) -> Option<ConnId> {
        self.shared.table.sessions(session).lock().insert(session, conn)
    }

    fn unbind(&self, session: SessionId, conn: ConnId) {
        let mut sessions = self.shared.table.sessions(session).lock();
        if sessions.get(&session) == Some(&conn) {
            sessions.remove(&session);
        }
    }

    fn conn_of(&self, session: SessionId) -> Option<ConnId> {
        self.shared.table.sessions(session).lock().get(&session).copied()
    }

    fn admits(&self, what: Handshake, now: Mono) -> bool {
        self.shared.admits(what, now)
    }

    fn answered(&self, op: i32, latency_ns: u64) {
        self.tally.answered(kind_of(op), latency_ns / 1000);
    }

    fn fired(&self, kind: EventKind, watchers: usize, bytes: usize) {
        self.tally.fired(kind, watchers, bytes);
    }
}

/// What takes a zxid is a write (Java: requests with a txn header).
const fn kind_of(op: i32) -> Answered {
    match op {
        op::CREATE
        | op::CREATE2
        | op::CREATE_CONTAINER
        | op::CREATE_TTL
        | op::DELETE
        | op::SET_DATA
        | op::SET_ACL
        | op::MULTI
        | op::RECONFIG
        | op::CREATE_SESSION
        | op::CLOSE_SESSION => Answered::Write,
        _ => Answered::Read,
    }
}

/// The watch shards, each behind its lock.
#[derive(Debug)]
pub(crate) struct Shards(Box<[CachePadded<Mutex<WatchShard>>]>);

impl Shards {
    /// Clients should not be able to guess the seed.
    pub(crate) fn new(hash_seed: u64) -> Self {
        let shard = |_| CachePadded::new(Mutex::new(WatchShard::with_hash_seed(hash_seed)));
        Self((0..SHARDS).map(shard).collect())
    }
}

impl Watches for Shards {
    fn shard<R>(&self, index: usize, f: impl FnOnce(&mut WatchShard) -> R) -> R {
        f(&mut self.0[index].lock())
    }
}
