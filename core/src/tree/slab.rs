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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::payload::Payload;
    use crate::wire::records::StatPersisted;
    use std::vec::Vec;

    /// More than one mid of leaves.
    const MANY: u32 = 6_000;

    #[test]
    fn payloads_are_dropped_with_the_last_slab_that_has_them_and_slots_are_used_again() {
        let payload = Payload::new("counted", Some(b"data"));
        let record = || Record::new(payload.clone(), 0, 0, &StatPersisted::default());
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..MANY).map(|_| slab.insert(record())).collect();
        assert_eq!(payload.refs(), 1 + MANY);

        let view = slab.clone();
        assert_eq!(payload.refs(), 1 + MANY, "a clone copies nothing");
        ids.iter().for_each(|id| slab.remove(*id));
        assert_eq!(payload.refs(), 1 + MANY, "the view still has all of them");
        assert!(ids.iter().all(|id| view.get(*id).name() == "counted"));
        assert!(ids.iter().all(|id| slab.get(*id).payload.is_none()));
        drop(view);
        assert_eq!(payload.refs(), 1);

        let mut again: Vec<_> = (0..MANY).map(|_| slab.insert(record())).collect();
        again.sort_unstable();
        assert_eq!(again, ids, "no slot is lost and none is new");
        assert!(slab.insert(record()) > ids[ids.len() - 1]);
        drop(slab);
        assert_eq!(payload.refs(), 1);
    }

    #[test]
    fn a_write_under_a_view_copies_one_leaf() {
        let payload = Payload::new("counted", None);
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..MANY)
            .map(|_| slab.insert(Record::new(payload.clone(), 0, 0, &StatPersisted::default())))
            .collect();
        let view = slab.clone();
        slab.get_mut(ids[3_000]).version = 7;
        assert_eq!(payload.refs(), 1 + MANY + LEAF as u32);
        assert_eq!((view.get(ids[3_000]).version, slab.get(ids[3_000]).version), (0, 7));
    }
}
