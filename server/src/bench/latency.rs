//! Latencies: a histogram in nanoseconds, and the figures that are quoted from it.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies of one kind of operation, to three significant digits.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Histogram::new(3).expect("three digits are within the library's bounds"))
    }

    /// Counts one, in nanoseconds. The histogram grows to whatever comes.
    pub(super) fn record(&mut self, ns: u64) {
        self.0.record(ns).expect("a histogram that resizes itself takes every value");
    }

    /// Adds all of another kind's.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("a histogram that resizes itself takes every value");
    }

    /// The figures to quote; `None` if nothing was counted.
    pub(super) fn summary(&self) -> Option<Summary> {
        if self.0.is_empty() {
            return None;
        }
        let us = |ns: u64| ns as f64 / 1_000.0;
        let at = |quantile: f64| us(self.0.value_at_quantile(quantile));
        Some(Summary {
            count: self.0.len(),
            min: us(self.0.min()),
            mean: self.0.mean() / 1_000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: us(self.0.max()),
        })
    }
}

/// Microseconds, but for the count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    /// Operations counted.
    pub(super) count: u64,
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_counted_has_no_figures() {
        assert_eq!(Latencies::new().summary(), None);
    }

    #[test]
    fn one_slow_answer_shows_in_the_tail_alone() {
        let mut latencies = Latencies::new();
        (0..999).for_each(|_| latencies.record(1_000_000));
        latencies.record(5_000_000_000);
        let summary = latencies.summary().expect("a thousand");
        assert_eq!(summary.count, 1_000);
        assert!((summary.p999 / 1_000.0 - 1.0).abs() < 0.001, "{summary:?}");
        assert!((summary.max / 5_000_000.0 - 1.0).abs() < 0.001, "{summary:?}");
    }

    proptest! {
        #[test]
        fn figures_are_the_sorted_list_s_to_three_digits(
            mut list in prop::collection::vec(1..100_000_000_000_u64, 1..400),
            cut in 0..400_usize,
        ) {
            let cut = cut.min(list.len());
            let (mut first, mut second) = (Latencies::new(), Latencies::new());
            list[..cut].iter().for_each(|ns| first.record(*ns));
            list[cut..].iter().for_each(|ns| second.record(*ns));
            first.add(&second);
            let summary = first.summary().expect("at least one");
            list.sort_unstable();
            prop_assert_eq!(summary.count, list.len() as u64);
            let rank = |q: f64| list[((q * list.len() as f64).ceil() as usize).max(1) - 1] as f64 / 1_000.0;
            let pairs = [
                (summary.min, rank(0.0)),
                (summary.p50, rank(0.5)),
                (summary.p90, rank(0.9)),
                (summary.p99, rank(0.99)),
                (summary.p999, rank(0.999)),
                (summary.max, rank(1.0)),
            ];
            for (found, expected) in pairs {
                prop_assert!((found - expected).abs() <= expected * 0.001 + 0.001, "{} {}", found, expected);
            }
        }
    }
}
