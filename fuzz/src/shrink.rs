//! From a failing draft to a small one that fails in the same way (simulation brief §9).
//!
//! Decisions are named by site and entity, so leaving a fault out leaves the rest as it was, and most of what does not
//! matter can go.

use std::time::{Duration, Instant};

use crate::draft::Draft;

/// Shrinks for at most `budget`. `fails` says whether a draft still fails in the same way.
pub fn shrink(draft: &Draft, budget: Duration, fails: impl Fn(&Draft) -> bool) -> Draft {
    let mut best = draft.clone();
    let end = Instant::now() + budget;
    loop {
        let before = best.clone();
        for pass in [faults, servers, operations, workloads, clients, duration, lines] {
            pass(&mut best, &|candidate: &Draft| Instant::now() < end && fails(candidate));
        }
        if best == before || Instant::now() >= end {
            return best;
        }
    }
}

type Fails<'a> = &'a dyn Fn(&Draft) -> bool;

fn take(best: &mut Draft, candidate: Draft, fails: Fails<'_>) -> bool {
    let smaller = candidate != *best && fails(&candidate);
    if smaller {
        *best = candidate;
    }
    smaller
}

/// Leaves out faults, large parts first.
fn faults(best: &mut Draft, fails: Fails<'_>) {
    let mut part = best.faults.len();
    while part > 0 {
        let mut at = 0;
        while at < best.faults.len() {
            let mut candidate = best.clone();
            candidate.faults.drain(at..(at + part).min(candidate.faults.len()));
            if !take(best, candidate, fails) {
                at += part;
            }
        }
        part /= 2;
    }
}

/// Fewer servers, of fewer kinds.
fn servers(best: &mut Draft, fails: Fails<'_>) {
    while best.topology.smaller().into_iter().any(|smaller| {
        let candidate = best.with_topology(smaller);
        take(best, candidate, fails)
    }) {}
}

fn operations(best: &mut Draft, fails: Fails<'_>) {
    for i in 0..best.workloads.len() {
        let (mut low, mut high) = (0, best.workloads[i].operations);
        while low + 1 < high {
            let middle = low.midpoint(high);
            let mut candidate = best.clone();
            candidate.workloads[i].operations = middle;
            if take(best, candidate, fails) { high = middle } else { low = middle }
        }
    }
}

fn workloads(best: &mut Draft, fails: Fails<'_>) {
    let mut i = 0;
    while best.workloads.len() > 1 && i < best.workloads.len() {
        let mut candidate = best.clone();
        candidate.workloads.remove(i);
        if !take(best, candidate, fails) {
            i += 1;
        }
    }
}

fn clients(best: &mut Draft, fails: Fails<'_>) {
    for i in 0..best.workloads.len() {
        while best.workloads[i].clients > 1 {
            let mut candidate = best.clone();
            candidate.workloads[i].clients -= 1;
            if !take(best, candidate, fails) {
                break;
            }
        }
    }
}

fn duration(best: &mut Draft, fails: Fails<'_>) {
    for part in [8, 4, 2] {
        let mut candidate = best.clone();
        candidate.duration_ms = best.duration_ms / part;
        if take(best, candidate, fails) {
            break;
        }
    }
}

/// Settings that do not matter go back to their defaults.
fn lines(best: &mut Draft, fails: Fails<'_>) {
    let mut i = 0;
    while i < best.cluster.len() {
        let mut candidate = best.clone();
        candidate.cluster.remove(i);
        if !take(best, candidate, fails) {
            i += 1;
        }
    }
    for load in 0..best.workloads.len() {
        let mut i = 0;
        while i < best.workloads[load].lines.len() {
            let mut candidate = best.clone();
            candidate.workloads[load].lines.remove(i);
            if !take(best, candidate, fails) {
                i += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_goes() {
        let draft = (1..).map(Draft::draw).find(|draft| draft.faults.len() > 20).expect("some have many");
        // It fails as long as these two faults and nine operations are there.
        let needed = [draft.faults[3].clone(), draft.faults[17].clone()];
        let fails = |d: &Draft| {
            needed.iter().all(|fault| d.faults.contains(fault))
                && d.workloads.iter().any(|load| load.operations >= 9)
        };
        let small = shrink(&draft, Duration::from_secs(20), fails);
        assert_eq!(small.faults, needed);
        assert_eq!(small.workloads.len(), 1);
        assert_eq!((small.workloads[0].clients, small.workloads[0].operations), (1, 9));
        assert!(small.cluster.is_empty() && small.workloads[0].lines.is_empty());
        assert!(small.duration_ms < draft.duration_ms);
    }

    #[test]
    fn drafts_are_scenarios_and_the_same_for_the_same_seed() {
        for seed in 0..50 {
            let draft = Draft::draw(seed);
            assert_eq!(draft, Draft::draw(seed));
            zk_sim::scenario::Scenario::parse(&draft.to_toml("t", "w"))
                .unwrap_or_else(|e| panic!("{seed}{e}"));
        }
    }
}
