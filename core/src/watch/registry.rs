//! [`Registry`]: path → the connections that watch it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};
use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::Modes;
use crate::ids::ConnId;

/// Connections by number with their modes, at one path.
type Crowd = BTreeMap<ConnId, Modes>;

/// Watched paths in slots whose numbers stand as long as anybody watches the path.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    slots: Vec<Slot>,
    /// Slots that hold no path, the last one is used first.
    vacant: Vec<u32>,
    /// By the path's hash. Never iterated.
    index: HashTable<u32>,
    /// Who watches the path of a slot, where it is more than one.
    crowds: BTreeMap<u32, Crowd>,
    hasher: FixedState,
    /// As Java counts ([`Modes::count`]).
    watches: usize,
}

#[derive(Clone, Debug)]
struct Slot {
    path: Box<str>,
    who: Who,
}

const _: () = assert!(size_of::<Slot>() == 24, "the memory budget counts on it");

/// One connection and its modes in 60 and 4 bits; without modes: nobody, or a crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Who(u64);

impl Who {
    const CROWD_OR_NOBODY: Self = Self(0);
    const CONN_BITS: u32 = 60;

    fn one(conn: ConnId, modes: Modes) -> Self {
        assert!(conn.0 >> Self::CONN_BITS == 0, "invariant: no process accepts 2^60 connections");
        Self(conn.0 | u64::from(modes.bits()) << Self::CONN_BITS)
    }

    const fn get(self) -> Option<(ConnId, Modes)> {
        let modes = Modes::from_bits((self.0 >> Self::CONN_BITS) as u8);
        if modes.is_empty() { None } else { Some((ConnId(self.0 & ((1 << Self::CONN_BITS) - 1)), modes)) }
    }
}

impl Registry {
    pub(super) fn new(hash_seed: u64) -> Self {
        Self { hasher: FixedState::with_seed(hash_seed), ..Self::default() }
    }

    /// Watches, as Java counts them.
    pub(super) const fn watches(&self) -> usize {
        self.watches
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.watches == 0
    }

    /// `conn` watches `path` with these modes, too. The path's slot.
    pub(super) fn add(&mut self, path: &str, conn: ConnId, modes: Modes) -> u32 {
        let slot = self.find(path).unwrap_or_else(|| self.take_slot(path));
        let before = self.modes_at(slot, conn);
        self.set_modes(slot, conn, before, before.with(modes));
        slot
    }

    /// How `conn` watches `path`.
    pub(super) fn modes(&self, path: &str, conn: ConnId) -> Modes {
        self.find(path).map_or(Modes::NONE, |slot| self.modes_at(slot, conn))
    }

    /// Takes these modes from `conn`'s watch. What it had of them, and the slot if none is left.
    pub(super) fn remove(&mut self, path: &str, conn: ConnId, modes: Modes) -> (Modes, Option<u32>) {
        let Some(slot) = self.find(path) else { return (Modes::NONE, None) };
        let before = self.modes_at(slot, conn);
        let after = before.without(modes);
        self.set_modes(slot, conn, before, after);
        let spent = !before.is_empty() && after.is_empty();
        (before.common(modes), spent.then_some(slot))
    }

    /// `conn` watches the path of this slot no more, if it does: the slot may have been left since `conn` heard of it.
    pub(super) fn forget(&mut self, slot: u32, conn: ConnId) {
        if slot as usize >= self.slots.len() {
            return;
        }
        let before = self.modes_at(slot, conn);
        self.set_modes(slot, conn, before, Modes::NONE);
    }

    /// Calls `each` with every connection that watches `path` with one of `heard`, having taken `taken` from it: the
    /// connection, and the slot if no mode is left.
    pub(super) fn fire(
        &mut self,
        path: &str,
        heard: Modes,
        taken: Modes,
        mut each: impl FnMut(ConnId, Option<u32>),
    ) {
        let Some(slot) = self.find(path) else { return };
        let mut hear = |conn, before: Modes| {
            let after = before.without(taken);
            if before.meets(heard) {
                each(conn, after.is_empty().then_some(slot));
            }
            after
        };
        if let Some((conn, before)) = self.slots[slot as usize].who.get() {
            let after = hear(conn, before);
            self.set_modes(slot, conn, before, after);
            return;
        }
        let crowd =
            self.crowds.get_mut(&slot).expect("invariant: a path in the index is watched by somebody");
        crowd.retain(|conn, modes| {
            let before = core::mem::replace(modes, hear(*conn, *modes));
            self.watches = self.watches - before.count() + modes.count();
            !modes.is_empty()
        });
        self.settle(slot);
    }

    /// Everything there is, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, ConnId, Modes)> {
        self.slots.iter().zip(0..).flat_map(|(slot, number)| {
            let crowd = self.crowds.get(&number).into_iter().flatten().map(|(conn, modes)| (*conn, *modes));
            slot.who.get().into_iter().chain(crowd).map(|(conn, modes)| (&*slot.path, conn, modes))
        })
    }

    fn hash(&self, path: &str) -> u64 {
        let mut h = self.hasher.build_hasher();
        h.write(path.as_bytes());
        h.finish()
    }

    fn find(&self, path: &str) -> Option<u32> {
        if self.index.is_empty() {
            return None;
        }
        self.index.find(self.hash(path), |slot| *self.slots[*slot as usize].path == *path).copied()
    }

    fn modes_at(&self, slot: u32, conn: ConnId) -> Modes {
        match self.slots[slot as usize].who.get() {
            Some((one, modes)) if one == conn => modes,
            Some(_) => Modes::NONE,
            None => self.crowds.get(&slot).and_then(|crowd| crowd.get(&conn)).copied().unwrap_or_default(),
        }
    }

    /// Every change of one connection's modes goes through here.
    fn set_modes(&mut self, slot: u32, conn: ConnId, before: Modes, after: Modes) {
        if before == after {
            return;
        }
        self.watches = self.watches - before.count() + after.count();
        let who = &mut self.slots[slot as usize].who;
        match who.get() {
            Some((one, _)) if one == conn && after.is_empty() => self.leave_slot(slot),
            Some((one, modes)) if one != conn => {
                *who = Who::CROWD_OR_NOBODY;
                self.crowds.insert(slot, Crowd::from([(one, modes), (conn, after)]));
            }
            None if self.crowds.contains_key(&slot) => {
                let crowd = self.crowds.get_mut(&slot).expect("it was found");
                if after.is_empty() {
                    crowd.remove(&conn);
                } else {
                    crowd.insert(conn, after);
                }
                self.settle(slot);
            }
            _ => *who = Who::one(conn, after),
        }
    }

    /// A crowd that has shrunk: one is no crowd, and nobody needs no slot.
    fn settle(&mut self, slot: u32) {
        let crowd = &self.crowds[&slot];
        if crowd.len() > 1 {
            return;
        }
        match crowd.first_key_value().map(|(conn, modes)| Who::one(*conn, *modes)) {
            Some(who) => self.slots[slot as usize].who = who,
            None => self.leave_slot(slot),
        }
        self.crowds.remove(&slot);
    }

    fn take_slot(&mut self, path: &str) -> u32 {
        let new = Slot { path: path.into(), who: Who::CROWD_OR_NOBODY };
        let slot = if let Some(slot) = self.vacant.pop() {
            self.slots[slot as usize] = new;
            slot
        } else {
            if self.slots.len() == self.slots.capacity() {
                // By a quarter: doubling would leave a third of the room empty on average.
                self.slots.reserve_exact(self.slots.len() / 4 + 4);
            }
            self.slots.push(new);
            (self.slots.len() - 1) as u32
        };
        assert!(slot <= super::WatchRef::SLOT_MAX, "limit: 2^25 watched paths in one shard");
        let hash = self.hash(path);
        let Self { slots, hasher, index, .. } = self;
        index.insert_unique(hash, slot, |slot| {
            let mut h = hasher.build_hasher();
            h.write(slots[*slot as usize].path.as_bytes());
            h.finish()
        });
        slot
    }

    fn leave_slot(&mut self, slot: u32) {
        let path = core::mem::take(&mut self.slots[slot as usize].path);
        self.slots[slot as usize].who = Who::CROWD_OR_NOBODY;
        let entry = self.index.find_entry(self.hash(&path), |s| *s == slot);
        entry.expect("invariant: a slot with a path is in the index").remove();
        self.vacant.push(slot);
        if self.index.is_empty() {
            // Nobody watches anything: what a storm of watches took is given back.
            (self.slots, self.vacant, self.index) = (Vec::new(), Vec::new(), HashTable::new());
        }
    }
}
