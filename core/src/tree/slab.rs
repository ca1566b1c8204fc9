//! Node records by [`NodeId`], copy-on-write: leaves of 21 records behind `Arc`.

use super::cow::CowVec;
use super::node::{NodeId, Record};

/// 21 × 96 bytes and the two counts of an `Arc` are 2032 bytes: they fill a 2 KiB size class. With 32 records a leaf
/// would occupy 3.5 KiB of jemalloc's, 112 bytes for each record.
const LEAF: usize = 21;

type Leaf = [Record; LEAF];

#[derive(Clone, Debug)]
pub(super) struct Slab {
    leaves: CowVec<Leaf>,
    /// Head of the list of freed slots, threaded through `next`.
    free: NodeId,
    /// Slots ever given out, slot 0 included.
    high: u32,
}

impl Slab {
    pub(super) fn new() -> Self {
        Self { leaves: CowVec::new(), free: NodeId::NIL, high: 1 }
    }

    pub(super) fn get(&self, id: NodeId) -> &Record {
        let i = id.0 as usize;
        &self.leaves.get(i / LEAF)[i % LEAF]
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> &mut Record {
        let i = id.0 as usize;
        &mut self.leaves.get_mut(i / LEAF)[i % LEAF]
    }

    pub(super) fn insert(&mut self, record: Record) -> NodeId {
        let id = match self.free.some() {
            Some(id) => {
                self.free = self.get(id).next;
                id
            }
            None => {
                let id = NodeId(self.high);
                self.high = self.high.checked_add(1).expect("limit: 2^32 - 1 znodes, beyond any memory");
                while self.leaves.len() <= id.0 as usize / LEAF {
                    self.leaves.push([const { Record::VACANT }; LEAF]);
                }
                id
            }
        };
        *self.get_mut(id) = record;
        id
    }

    /// Frees the slot; its payload is dropped here (or with the last view that still has it).
    pub(super) fn remove(&mut self, id: NodeId) {
        *self.get_mut(id) = Record { next: self.free, ..Record::VACANT };
        self.free = id;
    }
}
