//! ACL lists, interned and numbered as in Java's snapshots (its ReferenceCountedACLCache).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};
use foldhash::quality::FixedState;

use super::AclList;
use super::ordered::OrderedMap;
use crate::wire::records::{Acl, perms};

/// The id of the implicit `world:anyone` with all permissions, which the reserved nodes have.
pub(super) const OPEN: i32 = -1;

#[derive(Clone, Debug)]
struct Entry {
    list: AclList,
    /// Nodes that have it.
    uses: u32,
    /// False for an id that a fuzzy snapshot's node had and its table lacked.
    known: bool,
}

#[derive(Clone, Debug)]
pub(super) struct AclTable {
    by_id: OrderedMap<i32, Entry>,
    /// (hash of the list, id): equal lists are found under equal hashes.
    by_list: OrderedMap<(u64, i32), ()>,
    /// The highest id given out so far.
    last: i32,
    open: AclList,
}

impl AclTable {
    pub(super) fn new() -> Self {
        let open: AclList = Arc::new([Acl::world(perms::ALL)]);
        Self { by_id: OrderedMap::new(), by_list: OrderedMap::new(), last: 0, open }
    }

    /// The list of an id in use.
    pub(super) fn list(&self, id: i32) -> AclList {
        Arc::clone(self.shared(id))
    }

    /// The entries of an id in use.
    pub(super) fn entries(&self, id: i32) -> &[Acl] {
        self.shared(id)
    }

    fn shared(&self, id: i32) -> &AclList {
        if id == OPEN {
            return &self.open;
        }
        let entry =
            self.by_id.get(&id).expect("invariant: a node's ACL id is in the table as long as the node is");
        &entry.list
    }

    /// One more use of this list: its id, a new one if no node has it yet.
    pub(super) fn acquire(&mut self, list: &[Acl]) -> i32 {
        let hash = hash(list);
        let id = self.find(hash, list).unwrap_or_else(|| {
            let id = self.unused_id();
            self.define(id, hash, list.into());
            id
        });
        self.acquire_id(id);
        id
    }

    /// One more use of a list that is in the table.
    pub(super) fn acquire_id(&mut self, id: i32) {
        if id != OPEN {
            self.by_id.get_mut(&id).expect("invariant: only ids of the table are acquired").uses += 1;
        }
    }

    /// One use less; a list that no node has is forgotten.
    pub(super) fn release(&mut self, id: i32) {
        if id == OPEN {
            return;
        }
        let entry = self
            .by_id
            .get_mut(&id)
            .expect("invariant: a node's ACL id is in the table as long as the node is");
        entry.uses -= 1;
        if entry.uses == 0 {
            self.forget(id);
        }
    }

    /// Adds a list under a number that is not taken, without a use. Loading only.
    pub(super) fn load(&mut self, id: i32, list: Vec<Acl>) {
        self.last = self.last.max(id);
        self.define(id, hash(&list), list.into());
    }

    /// Adds a number whose list is not known, without a use. Until a replayed txn brings the list nobody is let in
    /// (but `super`).
    pub(super) fn load_unknown(&mut self, id: i32) {
        self.last = self.last.max(id);
        let list: AclList = Arc::new([Acl::world(0)]);
        self.by_id.insert(id, Entry { list, uses: 0, known: false });
    }

    pub(super) fn contains(&self, id: i32) -> bool {
        id == OPEN || self.by_id.get(&id).is_some()
    }

    /// Drops what no node uses. Loading only: otherwise `release` keeps it so.
    pub(super) fn drop_unused(&mut self) {
        let unused: Vec<i32> = self.by_id.iter().filter(|(_, e)| e.uses == 0).map(|(id, _)| *id).collect();
        unused.into_iter().for_each(|id| self.forget(id));
    }

    /// Ids and lists, by id; without those that are not known.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, &AclList)> {
        self.by_id.iter().filter(|(_, e)| e.known).map(|(id, e)| (*id, &e.list))
    }

    /// Ids in use whose list is not known.
    pub(super) fn unknown(&self) -> impl Iterator<Item = i32> {
        self.by_id.iter().filter(|(_, e)| !e.known).map(|(id, _)| *id)
    }

    fn find(&self, hash: u64, list: &[Acl]) -> Option<i32> {
        let same_hash = self.by_list.iter_from((hash, i32::MIN)).take_while(|((h, _), ())| *h == hash);
        same_hash.map(|((_, id), ())| *id).find(|id| self.by_id.get(id).is_some_and(|e| *e.list == *list))
    }

    fn define(&mut self, id: i32, hash: u64, list: AclList) {
        self.by_list.insert((hash, id), ());
        self.by_id.insert(id, Entry { list, uses: 0, known: true });
    }

    fn forget(&mut self, id: i32) {
        let entry = self.by_id.remove(&id).expect("both callers found it there");
        self.by_list.remove(&(hash(&entry.list), id));
    }

    /// Java counts up for ever in 64 bits; in 32 bits the gaps are used once the end is reached.
    pub(super) fn unused_id(&mut self) -> i32 {
        if let Some(next) = self.last.checked_add(1) {
            self.last = next;
            return next;
        }
        let gap = (1..).zip(self.by_id.iter_from(1)).find(|(expected, (id, _))| expected != *id);
        gap.map(|(free, _)| free).expect("limit: fewer than 2^31 - 1 different ACLs at a time")
    }
}

fn hash(list: &[Acl]) -> u64 {
    let mut h = FixedState::default().build_hasher();
    for Acl { perms, id } in list {
        h.write_i32(*perms);
        h.write_usize(id.scheme.as_bytes().len());
        h.write(id.scheme.as_bytes());
        h.write(id.id.as_bytes());
    }
    h.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn ids_count_up_and_leave_with_their_last_use() {
        let mut table = AclTable::new();
        let (a, b) = ([Acl::world(1)], [Acl::world(2)]);
        assert_eq!((table.acquire(&a), table.acquire(&b), table.acquire(&a)), (1, 2, 1));
        table.release(1);
        assert_eq!(table.iter().count(), 2);
        table.release(1);
        assert_eq!(table.iter().map(|(id, _)| id).collect::<Vec<_>>(), [2]);
        assert_eq!(table.acquire(&a), 3);
    }

    #[test]
    fn the_last_id_is_followed_by_the_first_gap() {
        let mut table = AclTable::new();
        table.load(1, vec![Acl::world(1)]);
        table.load(i32::MAX, vec![Acl::world(2)]);
        assert_eq!(table.acquire(&[Acl::world(3)]), 2);
        assert_eq!(table.acquire(&[Acl::world(4)]), 3);
    }
}
