//! [`WatchShard`]: the watches on the paths of one shard.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::registry::Registry;
use super::{Modes, RECURSIVE_SHARD, SHARDS, self_and_ancestors};
use crate::ids::ConnId;

/// Where one connection's watch on one path is, for the connection's own list: so that its end costs no more than its
/// own watches. 32 bits: shard, registry, slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchRef(u32);

impl WatchRef {
    const SLOT_BITS: u32 = 25;
    pub(super) const SLOT_MAX: u32 = (1 << Self::SLOT_BITS) - 1;

    fn exact(shard: usize, slot: u32) -> Self {
        assert!(shard < SHARDS, "invariant: there are {SHARDS} shards, {shard} is none of them");
        Self((shard as u32) << (Self::SLOT_BITS + 1) | slot)
    }

    const fn recursive(slot: u32) -> Self {
        Self((RECURSIVE_SHARD as u32) << (Self::SLOT_BITS + 1) | 1 << Self::SLOT_BITS | slot)
    }

    /// The shard it is in.
    pub const fn shard(self) -> usize {
        (self.0 >> (Self::SLOT_BITS + 1)) as usize
    }

    const fn is_recursive(self) -> bool {
        self.0 >> Self::SLOT_BITS & 1 == 1
    }

    const fn slot(self) -> u32 {
        self.0 & Self::SLOT_MAX
    }
}

/// A connection that is to hear of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hearer {
    /// The connection.
    pub conn: ConnId,
    /// To be struck from the connection's own list: it watches that path no more.
    pub spent: Option<WatchRef>,
}

/// Watches on the paths of one shard. A plain struct: a driver puts a lock around it if it needs one.
///
/// Which shard it is, is for the caller to know: paths of other shards are not refused, only never found again.
#[derive(Clone, Debug, Default)]
pub struct WatchShard {
    exact: Registry,
    recursive: Registry,
}

impl WatchShard {
    /// An empty one. Clients that know the seed can name paths so that they collide; nothing that a client sees
    /// depends on it.
    pub fn with_hash_seed(seed: u64) -> Self {
        Self { exact: Registry::new(seed), recursive: Registry::new(seed) }
    }

    /// `conn` watches `path`, too, with modes that are none but recursive, or all but recursive.
    /// `shard` is this shard's number.
    pub fn add(&mut self, shard: usize, path: &str, conn: ConnId, modes: Modes) -> WatchRef {
        assert!(!modes.is_empty(), "invariant: a watch has a mode");
        if modes == Modes::RECURSIVE {
            assert!(shard == RECURSIVE_SHARD, "invariant: recursive watches are in one shard");
            return WatchRef::recursive(self.recursive.add(path, conn, modes));
        }
        assert!(!modes.meets(Modes::RECURSIVE), "invariant: recursive watches are apart from others");
        WatchRef::exact(shard, self.exact.add(path, conn, modes))
    }

    /// How `conn` watches `path`, as far as this shard knows.
    pub fn modes(&self, path: &str, conn: ConnId) -> Modes {
        self.exact.modes(path, conn).with(self.recursive.modes(path, conn))
    }

    /// Takes modes from `conn`'s watches on `path`: those it had, and what is to be struck from its list.
    pub fn remove(
        &mut self,
        shard: usize,
        path: &str,
        conn: ConnId,
        modes: Modes,
    ) -> (Modes, [Option<WatchRef>; 2]) {
        let (had, slot) = self.exact.remove(path, conn, modes);
        let exact = slot.map(|slot| WatchRef::exact(shard, slot));
        let (had_recursive, slot) = self.recursive.remove(path, conn, modes);
        (had.with(had_recursive), [exact, slot.map(WatchRef::recursive)])
    }

    /// A connection is gone: one of its watches. It may have been spent meanwhile.
    pub fn forget(&mut self, watch: WatchRef, conn: ConnId) {
        let registry = if watch.is_recursive() { &mut self.recursive } else { &mut self.exact };
        registry.forget(watch.slot(), conn);
    }

    /// Something happened at `path` that watches with the standard mode `standard` (data, child, or both) and
    /// persistent ones hear of. Appends those who do; the standard ones are spent.
    pub fn fire(&mut self, shard: usize, path: &str, standard: Modes, hearers: &mut Vec<Hearer>) {
        self.exact.fire(path, standard.with(Modes::PERSISTENT), standard, |conn, slot| {
            let spent = slot.map(|slot| WatchRef::exact(shard, slot));
            hearers.push(Hearer { conn, spent });
        });
    }

    /// Appends those who watch `path` or an ancestor of it recursively.
    pub fn fire_recursive(&mut self, path: &str, hearers: &mut Vec<Hearer>) {
        for at in self_and_ancestors(path) {
            self.recursive.fire(at, Modes::RECURSIVE, Modes::NONE, |conn, _| {
                hearers.push(Hearer { conn, spent: None });
            });
        }
    }

    /// True if there are recursive watches in this shard.
    pub const fn has_recursive(&self) -> bool {
        !self.recursive.is_empty()
    }

    /// Watches in this shard, as Java counts them for `zk_watch_count`: one for every connection, path and registry.
    pub const fn count(&self) -> usize {
        self.exact.watches() + self.recursive.watches()
    }

    /// Watches in this shard, for `wchs`, `wchc` and `wchp`; sorted by path, then connection.
    pub fn list(&self) -> impl Iterator<Item = (&str, ConnId, Modes)> + '_ {
        let mut all: Vec<_> = self.exact.iter().chain(self.recursive.iter()).collect();
        all.sort_unstable_by_key(|(path, conn, modes)| (*path, *conn, modes.bits()));
        all.into_iter()
    }
}

/// Each connection hears of an event once, whatever it watches; in the order of connections.
pub fn once_each(hearers: &mut Vec<Hearer>) {
    if hearers.len() > 1 {
        hearers.sort_unstable_by_key(|h| (h.conn, Reverse(h.spent)));
        hearers.dedup_by_key(|h| h.conn);
    }
}
