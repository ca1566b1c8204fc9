//! [`OwnWatches`]: one connection's watches, as the connection knows them.

use alloc::collections::BTreeSet;

use super::Watches;
use crate::ids::ConnId;
use crate::watch::{Modes, RECURSIVE_SHARD, WatchRef, shard_of};

/// Where a connection's watches are, so that its end costs no more than they are.
#[derive(Clone, Debug)]
pub(super) struct OwnWatches {
    conn: ConnId,
    refs: BTreeSet<WatchRef>,
}

impl OwnWatches {
    pub(super) const fn new(conn: ConnId) -> Self {
        Self { conn, refs: BTreeSet::new() }
    }

    /// How many there are: pairs of path and kind (recursive, or all else).
    pub(super) fn len(&self) -> usize {
        self.refs.len()
    }

    /// Watches `path` in these modes, too.
    pub(super) fn add<W: Watches>(&mut self, path: &str, modes: Modes, watches: &W) {
        let (recursive, exact) = (modes.common(Modes::RECURSIVE), modes.without(Modes::RECURSIVE));
        let homes = [(RECURSIVE_SHARD, recursive), (shard_of(path), exact)];
        for (home, modes) in homes.into_iter().filter(|(_, modes)| !modes.is_empty()) {
            self.refs.insert(watches.shard(home, |shard| shard.add(home, path, self.conn, modes)));
        }
    }

    /// How `path` is watched.
    pub(super) fn modes<W: Watches>(&self, path: &str, watches: &W) -> Modes {
        let in_shard = |home| watches.shard(home, |shard| shard.modes(path, self.conn));
        in_shard(shard_of(path)).with(in_shard(RECURSIVE_SHARD))
    }

    /// Watches `path` in these modes no more. Those it was watched in.
    pub(super) fn remove<W: Watches>(&mut self, path: &str, modes: Modes, watches: &W) -> Modes {
        let mut had = Modes::NONE;
        for home in [shard_of(path), RECURSIVE_SHARD] {
            let (had_here, spent) = watches.shard(home, |shard| shard.remove(home, path, self.conn, modes));
            had = had.with(had_here);
            spent.iter().flatten().for_each(|watch| self.spent(*watch));
        }
        had
    }

    /// The last watch at its path has fired, or was removed.
    pub(super) fn spent(&mut self, watch: WatchRef) {
        self.refs.remove(&watch);
    }

    /// Drops them all.
    pub(super) fn drop_all<W: Watches>(&mut self, watches: &W) {
        while let Some(watch) = self.refs.pop_first() {
            watches.shard(watch.shard(), |shard| shard.forget(watch, self.conn));
        }
    }
}
