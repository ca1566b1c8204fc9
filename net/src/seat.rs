//! [`Seat`]: a state that whichever thread has something for it works on, one at a time, so that nobody is woken for it.
//!
//! Things to do go into an inbox. Whoever put something there sits down if the seat is free, and works through the inbox;
//! if it is taken, whoever sits there looks into the inbox again *after* it has freed the seat. So nothing is left lying:
//! what was put there before that look is seen by it, and whoever puts something there after it finds the seat free, or
//! taken by one who will look in turn. `tests` puts that under loom (feature `loom`).

use crate::sync::{Mutex, MutexGuard};

/// A state `S` with an inbox of `I`.
#[derive(Debug)]
pub(crate) struct Seat<S, I> {
    inbox: Mutex<Vec<I>>,
    state: Mutex<S>,
}

/// How a thread comes to the seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coming {
    /// It has other work: if the seat is taken, or the inbox keeps filling, it goes.
    By,
    /// This is its work.
    ToStay,
}

/// How a thread leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Left {
    /// Nothing to do is left, or somebody else does it.
    Done,
    /// There is more; somebody has to be told.
    Filling,
}

/// An inbox for more than so many is given back to the allocator.
const KEPT: usize = 64;

/// Turns after which a thread with other work goes.
const TURNS_MAX: usize = 4;

impl<S, I> Seat<S, I> {
    pub(crate) fn new(state: S) -> Self {
        Self { inbox: Mutex::new(Vec::new()), state: Mutex::new(state) }
    }

    /// Puts things into the inbox, in order. Somebody has to come afterwards.
    pub(crate) fn put(&self, items: &mut Vec<I>) {
        self.inbox.lock().append(items);
    }

    /// One thing.
    pub(crate) fn put_one(&self, item: I) {
        self.inbox.lock().push(item);
    }

    /// How many things wait.
    pub(crate) fn waiting(&self) -> usize {
        self.inbox.lock().len()
    }

    /// True if nobody sits there: whoever has put something into the inbox is to send somebody [`ToStay`](Coming::ToStay),
    /// also because another one may just have found the seat taken by this look. Otherwise nobody has to come.
    pub(crate) fn is_free(&self) -> bool {
        self.state.try_lock().is_some()
    }

    /// The state, for a look.
    pub(crate) fn look(&self) -> MutexGuard<'_, S> {
        self.state.lock()
    }

    /// Works through the inbox: `turn` gets the state and what is in the inbox, in order, at least once; `afterwards` gets
    /// what came of it when the seat is free again.
    pub(crate) fn come<D>(
        &self,
        coming: Coming,
        mut turn: impl FnMut(&mut S, &mut Vec<I>) -> D,
        mut afterwards: impl FnMut(D),
    ) -> Left {
        let mut items = Vec::new();
        let mut turns = 0;
        loop {
            let mut state = match coming {
                Coming::By => match self.state.try_lock() {
                    Some(state) => state,
                    None => return Left::Done,
                },
                Coming::ToStay => self.state.lock(),
            };
            std::mem::swap(&mut *self.inbox.lock(), &mut items);
            let done = turn(&mut state, &mut items);
            debug_assert!(items.is_empty(), "a turn deals with everything that it is given");
            drop(state);
            afterwards(done);
            if self.is_done_with(&mut items) {
                return Left::Done;
            }
            turns += 1;
            if coming == Coming::By && turns == TURNS_MAX {
                return Left::Filling;
            }
        }
    }

    /// True if nothing more is in the inbox, which gets its memory back: every wake-up would ask for some otherwise.
    fn is_done_with(&self, items: &mut Vec<I>) -> bool {
        let mut inbox = self.inbox.lock();
        if inbox.capacity() == 0 && items.capacity() <= KEPT {
            std::mem::swap(&mut *inbox, items);
        }
        inbox.is_empty()
    }
}

#[cfg(all(test, feature = "loom"))]
mod tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Two threads come by, as many do in a server; a third one stays in a server, and would hide what they leave.
    #[test]
    fn loom_nothing_is_left_in_the_inbox() {
        loom::model(|| {
            let seat = Arc::new(Seat::new(Vec::new()));
            let work = |seat: &Seat<Vec<u8>, u8>, item| {
                seat.put_one(item);
                seat.come(Coming::By, |state, items| state.append(items), |()| {})
            };
            let other = {
                let seat = Arc::clone(&seat);
                thread::spawn(move || work(&seat, 1))
            };
            let left = [work(&seat, 2), other.join().unwrap()];
            assert!(left == [Left::Done; 2]);
            let mut done = seat.look().clone();
            done.sort_unstable();
            assert_eq!(done, [1, 2]);
            assert!(seat.inbox.lock().is_empty());
        });
    }

    /// One thread comes by; the other one must not sit down, and sends a third only if nobody sits there.
    #[test]
    fn loom_whoever_looks_first_leaves_nothing_in_the_inbox() {
        loom::model(|| {
            let seat = Arc::new(Seat::new(Vec::new()));
            let work = |seat: &Seat<Vec<u8>, u8>, coming| {
                let left = seat.come(coming, |state, items| state.append(items), |()| {});
                assert!(left == Left::Done);
            };
            let other = {
                let seat = Arc::clone(&seat);
                thread::spawn(move || {
                    seat.put_one(1);
                    work(&seat, Coming::By);
                })
            };
            seat.put_one(2);
            if seat.is_free() {
                work(&seat, Coming::ToStay);
            }
            other.join().unwrap();
            assert_eq!(seat.look().len(), 2);
            assert!(seat.inbox.lock().is_empty());
        });
    }
}
