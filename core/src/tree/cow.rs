//! [`CowVec`]: an array whose clones share everything until one of them writes.
//!
//! ```text
//! root (one Arc) → mids of 256 → items, each behind its own Arc
//! ```
//!
//! Cloning costs one reference count. The first write after a clone copies the root (one pointer per 256 items), one mid
//! and one item; writes to what is not shared copy nothing.

use alloc::sync::Arc;
use alloc::vec::Vec;

const MID: usize = 256;

/// 256 items; the last mid of an array may be shorter.
type Mid<T> = Arc<Vec<Arc<T>>>;

#[derive(Debug)]
pub(super) struct CowVec<T> {
    root: Arc<Vec<Mid<T>>>,
    len: usize,
}

impl<T> Clone for CowVec<T> {
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root), len: self.len }
    }
}

impl<T: Clone> CowVec<T> {
    pub(super) fn new() -> Self {
        Self { root: Arc::new(Vec::new()), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, i: usize) -> &T {
        &self.root[i / MID][i % MID]
    }

    pub(super) fn get_mut(&mut self, i: usize) -> &mut T {
        let mid = &mut Arc::make_mut(&mut self.root)[i / MID];
        Arc::make_mut(&mut Arc::make_mut(mid)[i % MID])
    }

    pub(super) fn push(&mut self, item: T) {
        let root = Arc::make_mut(&mut self.root);
        if self.len.is_multiple_of(MID) {
            root.push(Arc::new(Vec::new()));
        }
        let mid = root.last_mut().expect("the line above made sure of one");
        Arc::make_mut(mid).push(Arc::new(item));
        self.len += 1;
    }
}
