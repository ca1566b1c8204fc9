//! Who wants to hear of which node (semantics §9). Java: WatchManager, PathParentIterator.
//!
//! A driver keeps [`SHARDS`] plain [`WatchShard`]s, each under a lock if it needs one. Watches at a path are in the
//! path's shard ([`shard_of`]). Recursive watches, which are few, are all in [`RECURSIVE_SHARD`]: whoever applies
//! txns asks that one shard once per batch whether there are any, and only then looks at a change's ancestors.
//!
//! What a watch costs (`examples/watch_memory.rs`, a million watches): 46 bytes and the path in an allocation of its own,
//! of which 24 are the entry, some 10 its place in the index and 8 the connection's own list. A path that many
//! connections watch is there once; each of them costs 30 bytes. Setting a watch or firing one hashes the path once.
//!
//! Not here: what connections are, whether they may read what they would hear of, and how an event looks ([`crate::front`]).

mod modes;
mod registry;
mod shard;

pub use modes::Modes;

pub use shard::{Hearer, WatchRef, WatchShard, once_each};

use core::hash::{BuildHasher, Hasher};
use foldhash::fast::FixedState;

/// Number of shards a driver keeps; a power of two.
pub const SHARDS: usize = 64;

/// The shard in which all recursive watches are (beside the others of its paths).
pub const RECURSIVE_SHARD: usize = 0;

/// The shard in which a path's watches are, but for recursive ones.
pub fn shard_of(path: &str) -> usize {
    let mut h = FixedState::default().build_hasher();
    h.write(path.as_bytes());
    (h.finish() >> 40) as usize & (SHARDS - 1)
}

/// The path and all its ancestors, the root last: where a recursive watch hears of a change at the path.
fn self_and_ancestors(path: &str) -> impl Iterator<Item = &str> {
    core::iter::successors(Some(path), |at| match at.rfind('/')? {
        0 if at.len() == 1 => None,
        0 => Some("/"),
        slash => Some(&at[..slash]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    #[test]
    fn ancestors_end_with_the_root() {
        let of = |path| self_and_ancestors(path).collect::<Vec<_>>();
        assert_eq!(of("/a/bc/d"), ["/a/bc/d", "/a/bc", "/a", "/"]);
        assert_eq!(of("/a"), ["/a", "/"]);
        assert_eq!(of("/"), ["/"]);
    }

    #[test]
    fn paths_spread_over_all_shards() {
        let mut counts = [0; SHARDS];
        (0..6400).for_each(|i| counts[shard_of(&format!("/service/member-{i:010}"))] += 1);
        assert!(counts.iter().all(|n| (50..=150).contains(n)), "{counts:?}");
    }
}
