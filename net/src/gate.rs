//! [`Gate`]: many readers that do not meet, and one writer that keeps them all out for the length of a batch.
//!
//! There is one reader-writer lock for every entry, each on a cache line of its own. A reader takes the lock of its
//! own entry, so readers on different cores write to no common memory; the writer takes all of them, in order, which
//! costs some 10 ns for each and is paid once for a batch. The value itself is not in any of the locks, hence the one
//! `unsafe` here; `tests` puts it under loom (feature `loom`).

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use crate::sync::{Guard, Lock, Locked};

/// A value behind one lock per entry.
pub struct Gate<T> {
    entries: Box<[CachePadded<Lock>]>,
    value: UnsafeCell<T>,
}

// SAFETY: as for a reader-writer lock: `&T` is handed out only under a shared hold of an entry, `&mut T` only under an
// exclusive hold of all of them.
unsafe impl<T: Send + Sync> Sync for Gate<T> {}

impl<T> Gate<T> {
    /// With this many entries; as many as there are threads that read often.
    pub fn new(value: T, entries: usize) -> Self {
        let entries = (0..entries.max(1)).map(|_| CachePadded::new(Lock::new())).collect();
        Self { entries, value: UnsafeCell::new(value) }
    }

    /// Enters for reading. A thread enters once at a time: it would wait for a writer that waits for it.
    pub fn enter(&self, entry: Entry) -> Entered<'_, T> {
        let lock = self.entries[entry.0 % self.entries.len()].share();
        // SAFETY: a writer holds every entry exclusively, this one too; it is shared until `lock` is dropped.
        let value = unsafe { &*self.value.get() };
        Entered { value, _lock: lock }
    }

    /// Holds everybody out. All entries are taken in the same order by everyone, so two writers do not meet halfway.
    pub fn hold(&self) -> Held<'_, T> {
        let locks = self.entries.iter().map(|entry| entry.lock()).collect();
        Held { gate: self, _locks: locks }
    }
}

impl<T> fmt::Debug for Gate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate {{ entries: {} }}", self.entries.len())
    }
}

/// Inside, for reading.
#[derive(Debug)]
pub struct Entered<'a, T> {
    value: &'a T,
    _lock: Guard<'a>,
}

impl<T> Deref for Entered<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.value
    }
}

/// Alone inside.
#[derive(Debug)]
pub struct Held<'a, T> {
    gate: &'a Gate<T>,
    _locks: Vec<Locked<'a>>,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: every entry is held exclusively until this is dropped.
        unsafe { &*self.gate.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: every entry is held exclusively until this is dropped, and `self` is borrowed uniquely.
        unsafe { &mut *self.gate.value.get() }
    }
}

/// Which entry a thread uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub usize);

impl Entry {
    /// This thread's own: threads are numbered as they ask for the first time.
    pub fn of_this_thread() -> Self {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static ENTRY: Entry = Entry(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        ENTRY.with(|entry| *entry)
    }
}

#[cfg(all(test, feature = "loom"))]
mod tests {
    use super::*;
    use loom::cell::UnsafeCell as Watched;
    use loom::sync::Arc;
    use loom::thread;

    /// loom reports every read that overlaps a write of the watched cell.
    #[test]
    fn loom_readers_never_meet_a_writer() {
        loom::model(|| {
            let gate = Arc::new(Gate::new(Watched::new(0_u32), 2));
            let readers: Vec<_> = (0..2)
                .map(|n| {
                    let gate = Arc::clone(&gate);
                    thread::spawn(move || gate.enter(Entry(n)).with(|value| unsafe { *value }))
                })
                .collect();
            gate.hold().with_mut(|value| unsafe { *value = 7 });
            for reader in readers {
                let seen = reader.join().unwrap();
                assert!(seen == 0 || seen == 7);
            }
        });
    }

    #[test]
    fn loom_two_writers_wait_for_each_other() {
        loom::model(|| {
            let gate = Arc::new(Gate::new(Watched::new(0_u32), 2));
            let other = Arc::clone(&gate);
            let add = |gate: &Gate<Watched<u32>>| gate.hold().with_mut(|value| unsafe { *value += 1 });
            let thread = thread::spawn(move || add(&other));
            add(&gate);
            thread.join().unwrap();
            assert_eq!(gate.enter(Entry(0)).with(|value| unsafe { *value }), 2);
        });
    }
}
