//! What hostile bytes may do to a decoder: be decoded or refused, within the memory limit.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use proptest::option;
use proptest::prelude::*;

/// One field overwritten with an extreme number, and the end cut off.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    at: prop::sample::Index,
    word: i32,
    keep: Option<prop::sample::Index>,
}

pub(crate) fn damage() -> BoxedStrategy<Damage> {
    let extreme =
        prop_oneof![Just(i32::MAX), Just(i32::MIN), Just(-1), Just(-2), Just(0), 0..100_000, any::<i32>(),];
    (any::<prop::sample::Index>(), extreme, option::weighted(0.3, any::<prop::sample::Index>()))
        .prop_map(|(at, word, keep)| Damage { at, word, keep })
        .boxed()
}

impl Damage {
    pub(crate) fn apply(&self, bytes: &Bytes) -> Bytes {
        let mut bytes = bytes.to_vec();
        if bytes.len() >= 4 {
            let at = self.at.index(bytes.len() - 3);
            bytes[at..at + 4].copy_from_slice(&self.word.to_be_bytes());
        }
        if let Some(keep) = self.keep {
            bytes.truncate(keep.index(bytes.len() + 1));
        }
        bytes.into()
    }
}

/// The most that a decoder may hold at once, for each byte of its input and beside it. The widest is a multi's entry:
/// 104 bytes of struct for 14 of input, twice that in a vector that grows, half as much again while it moves.
const HELD_PER_BYTE: usize = 32;
const HELD_BESIDE: usize = 1024;

/// Runs a decoder under the memory limit and passes its answer on.
pub(crate) fn bounded(what: &str, input: &Bytes, decode: impl FnOnce(Bytes) -> bool) -> bool {
    let copy = input.clone();
    let (decoded, held) = peak_of(|| decode(copy));
    let limit = HELD_PER_BYTE * input.len() + HELD_BESIDE;
    assert!(
        held <= limit,
        "{what} held {held} bytes for an input of {}: {:?}…",
        input.len(),
        input.slice(..input.len().min(400))
    );
    decoded
}

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread holds.
struct Counting;

impl Counting {
    fn add(len: usize) {
        HELD.set(HELD.get() + len);
        PEAK.set(PEAK.get().max(HELD.get()));
    }
    fn remove(len: usize) {
        HELD.set(HELD.get().saturating_sub(len));
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches no memory of ours.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        Self::remove(layout.size());
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The answer of `run`, and the most bytes that this thread held at once meanwhile, beyond what it held before.
pub(crate) fn peak_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let answer = run();
    (answer, PEAK.get() - before)
}
