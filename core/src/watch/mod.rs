//! Who wants to hear of which node (semantics §9).

use crate::ids::ConnId;
use crate::text::Text;

/// Number of shards a driver keeps; a power of two.
pub const SHARDS: usize = 64;

/// The shard in which a path's watches are.
pub fn shard_of(_path: &str) -> usize {
    unreachable!("written by the front room")
}

/// Watches on the paths of one shard. A plain struct: a driver puts a lock around it if it needs one.
#[derive(Clone, Debug, Default)]
pub struct WatchShard {}

impl WatchShard {
    /// Watches in this shard, as (path, connection) pairs, for `wchs`, `wchc` and `wchp`; sorted by path.
    pub fn list(&self) -> impl Iterator<Item = (&Text, ConnId)> + '_ {
        core::iter::empty()
    }
}
