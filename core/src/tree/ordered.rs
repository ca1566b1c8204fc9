//! [`OrderedMap`]: a sorted map whose clones share everything until one of them writes.
//!
//! A list of sorted chunks, each behind its own `Arc`. Cloning costs one reference count; a write costs two binary
//! searches, and on the first write after a clone a copy of the chunk list and of one chunk. Made for what is small
//! beside the nodes: sessions, ephemerals, ACL lists.

use alloc::sync::Arc;
use alloc::vec::Vec;

const CHUNK_MAX: usize = 64;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

#[derive(Debug)]
pub(super) struct OrderedMap<K, V> {
    /// In key order; no chunk is empty.
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Clone for OrderedMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<K: Ord + Copy, V: Clone> OrderedMap<K, V> {
    pub(super) fn new() -> Self {
        Self { chunks: Arc::new(Vec::new()), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The chunk in which `key` is or belongs; 0 if there are none.
    fn chunk_of(&self, key: &K) -> usize {
        self.chunks.partition_point(|c| c[0].0 <= *key).saturating_sub(1)
    }

    fn find(&self, key: &K) -> Option<(usize, usize)> {
        let c = self.chunk_of(key);
        let i = self.chunks.get(c)?.binary_search_by_key(key, |e| e.0).ok()?;
        Some((c, i))
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.find(key).map(|(c, i)| &self.chunks[c][i].1)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (c, i) = self.find(key)?;
        Some(&mut Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[c])[i].1)
    }

    /// Sets the value; the one it replaces.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let c = self.chunk_of(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.is_empty() {
            chunks.push(Arc::new(Vec::new()));
        }
        let chunk = Arc::make_mut(&mut chunks[c]);
        match chunk.binary_search_by_key(&key, |e| e.0) {
            Ok(i) => return Some(core::mem::replace(&mut chunk[i].1, value)),
            Err(i) => chunk.insert(i, (key, value)),
        }
        self.len += 1;
        if chunk.len() > CHUNK_MAX {
            let upper = chunk.split_off(chunk.len() / 2);
            chunks.insert(c + 1, Arc::new(upper));
        }
        None
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (c, i) = self.find(key)?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[c]);
        let (_, value) = chunk.remove(i);
        if chunk.is_empty() {
            chunks.remove(c);
        }
        self.len -= 1;
        Some(value)
    }

    /// All entries in key order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|c| c.iter().map(|(k, v)| (k, v)))
    }

    /// Entries with a key not below `key`, in order.
    pub(super) fn iter_from(&self, key: K) -> impl Iterator<Item = (&K, &V)> {
        let first = self.chunk_of(&key).min(self.chunks.len());
        self.chunks[first..]
            .iter()
            .flat_map(|c| c.iter().map(|(k, v)| (k, v)))
            .skip_while(move |(k, _)| **k < key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_is_a_sorted_map_and_its_clones_stand_still(ops in proptest::collection::vec((any::<bool>(), 0u16..300, any::<u8>()), 1..600)) {
            let (mut ours, mut model) = (OrderedMap::new(), BTreeMap::new());
            let mut kept = Vec::new();
            for (i, (insert, key, value)) in ops.into_iter().enumerate() {
                if i % 97 == 0 {
                    kept.push((ours.clone(), model.clone()));
                }
                if insert {
                    prop_assert_eq!(ours.insert(key, value), model.insert(key, value));
                } else {
                    prop_assert_eq!(ours.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(ours.get(&key), model.get(&key));
            }
            kept.push((ours, model));
            for (ours, model) in kept {
                prop_assert_eq!(ours.len(), model.len());
                prop_assert!(ours.iter().eq(model.iter()));
                prop_assert!(ours.iter_from(150).eq(model.range(150..)));
            }
        }
    }
}
