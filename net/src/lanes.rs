//! [`Lane`]: a queue between two threads that is emptied all at once and wakes its reader only when that sleeps.
//!
//! A wake-up costs its sender two system calls' time, and the reader a switch; under load the reader finds the next
//! items there when it comes back, and nobody is woken.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A queue of `T`.
#[derive(Debug)]
pub struct Lane<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: Vec<T>,
    reader_sleeps: bool,
    closed: bool,
}

/// What a reader got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Items.
    Some,
    /// Nothing came in the time given.
    Nothing,
    /// The lane is closed and empty.
    Closed,
}

impl<T> Lane<T> {
    /// Nothing in it.
    pub const fn new() -> Self {
        let state = State { items: Vec::new(), reader_sleeps: false, closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new() }
    }

    /// Appends an item.
    pub fn push(&self, item: T) {
        let mut state = self.state.lock();
        state.items.push(item);
        if std::mem::take(&mut state.reader_sleeps) {
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Moves everything that is there into `into`, which is empty; waits for something to come, at most until `until`.
    pub fn take(&self, into: &mut Vec<T>, until: Option<Instant>) -> Taken {
        debug_assert!(into.is_empty(), "the batch before is done");
        let mut state = self.state.lock();
        while state.items.is_empty() {
            if state.closed {
                return Taken::Closed;
            }
            state.reader_sleeps = true;
            match until {
                None => self.filled.wait(&mut state),
                Some(until) => {
                    if self.filled.wait_until(&mut state, until).timed_out() && state.items.is_empty() {
                        state.reader_sleeps = false;
                        return if state.closed { Taken::Closed } else { Taken::Nothing };
                    }
                }
            }
        }
        state.reader_sleeps = false;
        std::mem::swap(&mut state.items, into);
        Taken::Some
    }

    /// No more items come; what is there is still to be taken.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
    }

    /// True once it is closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A point in time that far ahead; `None` if that is beyond what clocks can say.
pub fn after(wait: Duration) -> Option<Instant> {
    Instant::now().checked_add(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn everything_comes_in_order_and_the_end_after_it() {
        let lane = Arc::new(Lane::new());
        let filler = Arc::clone(&lane);
        let thread = std::thread::spawn(move || {
            (0..1000).for_each(|n| filler.push(n));
            filler.close();
        });
        let (mut all, mut batch) = (Vec::new(), Vec::new());
        while lane.take(&mut batch, None) == Taken::Some {
            all.append(&mut batch);
        }
        thread.join().unwrap();
        assert!(all.iter().copied().eq(0..1000));
    }

    #[test]
    fn a_reader_that_is_awake_is_not_woken() {
        let lane = Lane::new();
        lane.push(1);
        lane.push(2);
        let mut batch = Vec::new();
        assert_eq!(lane.take(&mut batch, None), Taken::Some);
        assert_eq!(batch, [1, 2]);
        assert!(!lane.state.lock().reader_sleeps);
    }

    #[test]
    fn a_reader_does_not_wait_longer_than_it_said() {
        let lane = Lane::<u8>::new();
        assert_eq!(lane.take(&mut Vec::new(), after(Duration::ZERO)), Taken::Nothing);
        lane.close();
        assert_eq!(lane.take(&mut Vec::new(), after(Duration::ZERO)), Taken::Closed);
    }
}
