//! When the log is rolled and a snapshot begun (disk format §8).

use crate::rng::Dice;

/// Counts what has been logged since the last roll.
///
/// A snapshot is due after a random number of txns in `[n/2 + 1, n]`, so that the members of an ensemble do not all
/// take theirs at once; the same with the bytes of the log. While one is running none begins: then the next is due as
/// soon as that one is done and another txn is logged.
#[derive(Clone, Debug)]
pub(super) struct SnapshotSchedule {
    dice: Dice,
    /// `snapCount`, at least 2.
    count_max: u64,
    /// Bytes; 0 is off.
    bytes_max: u64,
    count: u64,
    bytes: u64,
    due_count: u64,
    due_bytes: u64,
    running: bool,
    /// An operator asked for one while one was running.
    asked: bool,
}

impl SnapshotSchedule {
    pub(super) fn new(seed: u64, snap_count: u32, bytes_max: u64) -> Self {
        let mut schedule = Self {
            dice: Dice::new(seed, 0),
            // Java's own lower bound.
            count_max: u64::from(snap_count.max(2)),
            bytes_max,
            count: 0,
            bytes: 0,
            due_count: 0,
            due_bytes: 0,
            running: false,
            asked: false,
        };
        schedule.draw();
        schedule
    }

    /// A record of this many bytes was logged.
    pub(super) const fn logged(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes as u64;
    }

    /// An operator asks for one, due or not.
    pub(super) const fn ask(&mut self) {
        self.asked = true;
    }

    /// True if one is to begin now; from then on it is running.
    pub(super) fn begin_if_due(&mut self) -> bool {
        let full = self.count > self.due_count || (self.bytes_max > 0 && self.bytes > self.due_bytes);
        let begin = !self.running && (full || self.asked);
        if begin {
            self.running = true;
            self.asked = false;
            (self.count, self.bytes) = (0, 0);
            self.draw();
        }
        begin
    }

    pub(super) const fn done(&mut self) {
        self.running = false;
    }

    pub(super) const fn is_running(&self) -> bool {
        self.running
    }

    fn draw(&mut self) {
        let half = self.count_max / 2;
        self.due_count = half + self.dice.below(half);
        let half = self.bytes_max / 2;
        self.due_bytes = half + self.dice.below(half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    fn txns_until_due(schedule: &mut SnapshotSchedule, bytes: usize) -> u64 {
        (1..)
            .find(|_| {
                schedule.logged(bytes);
                schedule.begin_if_due()
            })
            .unwrap()
    }

    #[test]
    fn snapshots_come_after_half_to_all_of_snap_count() {
        let mut schedule = SnapshotSchedule::new(7, 10, 0);
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            seen.insert(txns_until_due(&mut schedule, 1_000_000));
            schedule.done();
        }
        assert_eq!(seen, BTreeSet::from([6, 7, 8, 9, 10]));
    }

    #[test]
    fn bytes_make_a_snapshot_due_too() {
        let mut schedule = SnapshotSchedule::new(7, 1_000_000, 1000);
        for _ in 0..50 {
            let txns = txns_until_due(&mut schedule, 100);
            assert!((6..=10).contains(&txns), "{txns}");
            schedule.done();
        }
    }

    #[test]
    fn none_begins_while_one_is_running() {
        let mut schedule = SnapshotSchedule::new(7, 4, 0);
        txns_until_due(&mut schedule, 1);
        for _ in 0..20 {
            schedule.logged(1);
            assert!(!schedule.begin_if_due());
        }
        schedule.done();
        assert!(schedule.begin_if_due());
    }

    #[test]
    fn an_operator_is_served_at_once_or_after_the_running_one() {
        let mut schedule = SnapshotSchedule::new(7, 1000, 0);
        schedule.ask();
        assert!(schedule.begin_if_due());
        schedule.ask();
        assert!(!schedule.begin_if_due());
        schedule.done();
        assert!(schedule.begin_if_due());
        schedule.done();
        assert!(!schedule.begin_if_due());
    }
}
