//! When operations of an open loop fall due.
//!
//! A server that stalls must not slow the load that it is measured with: an operation is due at its place in the
//! schedule, whatever became of the ones before it, and its latency counts from there. Otherwise a stall of a second
//! would be counted once, though every operation that should have started in that second met it.

use std::time::Duration;

/// Nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// Operations dealt out to the sessions in turn at a fixed rate.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// When operation 0 is due, nanoseconds of the run's clock.
    start: u64,
    /// Operations per second over all sessions.
    rate: u64,
    /// For each session, its next operation's number; operation `n` belongs to session `n % sessions`.
    next: Vec<u64>,
}

impl Schedule {
    /// Operation 0 is due at `start`.
    pub(super) fn new(start: u64, rate: u64, sessions: usize) -> Self {
        Self { start, rate, next: (0..sessions as u64).collect() }
    }

    /// The number of the session's next operation.
    pub(super) fn number(&self, session: usize) -> u64 {
        self.next[session]
    }

    /// When the session's next operation is due.
    pub(super) fn due(&self, session: usize) -> u64 {
        self.time_of(self.next[session])
    }

    /// When an operation is due.
    pub(super) fn time_of(&self, number: u64) -> u64 {
        let ns = u128::from(number) * SECOND / u128::from(self.rate);
        self.start + u64::try_from(ns).expect("a run lasts less than 584 years")
    }

    /// The first operation that is due this long after the start or later; as a length, how many fall due within it.
    pub(super) fn number_at(&self, after: Duration) -> u64 {
        let number = (after.as_nanos() * u128::from(self.rate)).div_ceil(SECOND);
        u64::try_from(number).expect("rates and times are bounded by the command line")
    }

    /// How many sessions take turns.
    pub(super) fn sessions(&self) -> usize {
        self.next.len()
    }

    /// The session's next operation has been started, or given up.
    pub(super) fn advance(&mut self, session: usize) {
        self.next[session] += self.next.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sessions_take_turns_at_even_distances() {
        let mut schedule = Schedule::new(100, 1_000_000, 2);
        assert_eq!((schedule.due(0), schedule.due(1)), (100, 1_100));
        schedule.advance(0);
        assert_eq!((schedule.due(0), schedule.due(1)), (2_100, 1_100));
    }

    proptest! {
        #[test]
        fn an_operation_s_number_and_its_time_agree(rate in 1..2_000_000_u64, ms in 0..100_000_u64) {
            let schedule = Schedule::new(0, rate, 3);
            let number = schedule.number_at(Duration::from_millis(ms));
            // Times are cut to nanoseconds, so an operation may be due that much early.
            prop_assert!(schedule.time_of(number) + 1 >= ms * 1_000_000);
            prop_assert!(number == 0 || schedule.time_of(number - 1) < ms * 1_000_000);
        }

        #[test]
        fn a_second_holds_as_many_operations_as_the_rate_says(rate in 1..20_000_u64, sessions in 1..50_usize) {
            let mut schedule = Schedule::new(7, rate, sessions);
            let mut due = Vec::new();
            for session in 0..sessions {
                while schedule.due(session) < 7 + 1_000_000_000 {
                    due.push(schedule.due(session));
                    schedule.advance(session);
                }
            }
            due.sort_unstable();
            prop_assert_eq!(due.len() as u64, rate);
            let period = 1_000_000_000 / rate;
            prop_assert!(due.windows(2).all(|w| (period..=period + 1).contains(&(w[1] - w[0]))));
        }
    }
}
