//! (parent, name) → node: linear hashing over small tables.
//!
//! A table holds (hash, id) pairs and the 32-bit hash is kept, so growing never touches a node. Tables are added one
//! by one as entries come: each step splits one table of some hundred entries, so that there is no moment at which
//! ten million entries are moved. Never iterated: order cannot leak.

use core::hash::{BuildHasher, Hasher};
use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::cow::CowVec;
use super::node::NodeId;

/// Entries per table on average. Copying a table, the price of a write under a view, stays near 2 µs.
const TABLE_TARGET: usize = 512;

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    id: NodeId,
}

#[derive(Clone, Debug)]
pub(super) struct Index {
    tables: CowVec<HashTable<Entry>>,
    len: usize,
    hasher: FixedState,
}

impl Index {
    /// An empty one. Who knows the seed can name nodes so that they collide.
    pub(super) fn new(seed: u64) -> Self {
        let mut tables = CowVec::new();
        tables.push(HashTable::new());
        Self { tables, len: 0, hasher: FixedState::with_seed(seed) }
    }

    /// The hash under which a node is found.
    pub(super) fn hash(&self, parent: NodeId, name: &str) -> u32 {
        let mut h = self.hasher.build_hasher();
        h.write_u32(parent.0);
        h.write(name.as_bytes());
        (h.finish() >> 32) as u32
    }

    /// The table of a hash: with 2^k ≤ n < 2^(k+1) tables, those below n - 2^k are split already.
    fn table_of(&self, hash: u32) -> usize {
        let n = self.tables.len();
        let whole = n.next_power_of_two();
        let at = hash as usize & (whole - 1);
        if at < n { at } else { at & (whole / 2 - 1) }
    }

    pub(super) fn find(&self, hash: u32, is_it: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let table = self.tables.get(self.table_of(hash));
        table.find(spread(hash), |e| e.hash == hash && is_it(e.id)).map(|e| e.id)
    }

    /// Adds a node that is not there.
    pub(super) fn insert(&mut self, hash: u32, id: NodeId) {
        let at = self.table_of(hash);
        self.tables.get_mut(at).insert_unique(spread(hash), Entry { hash, id }, |e| spread(e.hash));
        self.len += 1;
        if self.len > self.tables.len() * TABLE_TARGET {
            self.split();
        }
    }

    /// Removes a node that is there.
    pub(super) fn remove(&mut self, hash: u32, id: NodeId) {
        let at = self.table_of(hash);
        let table = self.tables.get_mut(at);
        let entry = table.find_entry(spread(hash), |e| e.id == id);
        entry.expect("invariant: every node but the root is indexed under its parent and name").remove();
        if table.len() < table.capacity() / 8 {
            table.shrink_to_fit(|e| spread(e.hash));
        }
        self.len -= 1;
    }

    /// Adds a table and moves to it what belongs there; all of that comes from one other table.
    fn split(&mut self) {
        let n = self.tables.len();
        let from = n & !(1 << n.ilog2());
        self.tables.push(HashTable::new());
        let (mut stay, mut go) = (HashTable::new(), HashTable::new());
        for e in self.tables.get(from) {
            let to = if self.table_of(e.hash) == n { &mut go } else { &mut stay };
            to.insert_unique(spread(e.hash), *e, |e| spread(e.hash));
        }
        *self.tables.get_mut(from) = stay;
        *self.tables.get_mut(n) = go;
    }
}

/// 64 bits for a table's own use; entries of one table share their low bits, so these must not decide alone.
const fn spread(hash: u32) -> u64 {
    let x = (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    fn has(index: &Index, id: u32) -> bool {
        let hash = index.hash(NodeId(id / 7), &std::format!("n{id}"));
        index.find(hash, |found| found.0 == id).is_some()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn it_finds_exactly_what_is_in_it_while_it_grows_and_its_clones_stand_still(
            seed: u64,
            runs in proptest::collection::vec((any::<bool>(), 1..5_000u32, 1..1_500u32), 1..12),
        ) {
            let (mut index, mut model) = (Index::new(seed), BTreeSet::new());
            let mut kept = Vec::new();
            for (insert, from, len) in runs {
                kept.push((index.clone(), model.clone()));
                for id in from..from + len {
                    let hash = index.hash(NodeId(id / 7), &std::format!("n{id}"));
                    if insert && model.insert(id) {
                        index.insert(hash, NodeId(id));
                    } else if !insert && model.remove(&id) {
                        index.remove(hash, NodeId(id));
                    }
                }
            }
            kept.push((index, model));
            for (index, model) in kept {
                prop_assert_eq!(index.len, model.len());
                prop_assert!((1..6_500).all(|id| has(&index, id) == model.contains(&id)));
            }
        }
    }

    #[test]
    fn tables_stay_small_however_many_there_are() {
        let mut index = Index::new(1);
        for id in 1..40_000 {
            index.insert(index.hash(NodeId(id % 3), &std::format!("n{id}")), NodeId(id));
        }
        let largest = (0..index.tables.len()).map(|i| index.tables.get(i).len()).max();
        assert!(index.tables.len() >= 40_000 / TABLE_TARGET);
        assert!(largest < Some(3 * TABLE_TARGET), "{largest:?}");
    }
}
