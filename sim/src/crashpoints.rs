//! Every boundary of a run, visited: crash there once with kill and once with power loss, and play on.
//!
//! A boundary lies between any two actions that a step of the server emitted, and between any two operations on its files.
//! The run goes forward once; at each event that passes boundaries the world is forked once per boundary and loss, so the
//! cost grows with their number and not with its square.

use crate::node::Loss;
use crate::run::{Options, Runner, Verdict};
use crate::scenario::Scenario;

/// What a sweep found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Boundaries that the run passed.
    pub boundaries: u64,
    /// Worlds that were played on.
    pub visited: u64,
    /// What went wrong, where.
    pub failures: Vec<(u64, Loss, Verdict)>,
}

/// Visits every `step`-th boundary from `first` on, of node 1.
pub fn visit(scenario: &Scenario, seed: u64, first: u64, step: u64) -> Result<Report, String> {
    let mut runner = Runner::new(scenario, seed, Options::default())?;
    let mut report = Report::default();
    let mut next = first;
    loop {
        let before = runner.clone();
        let from = runner.world.nodes[0].boundaries;
        let more = runner.one().map_err(|verdict| format!("without any crash: {verdict:?}"))?;
        let to = runner.world.nodes[0].boundaries;
        while next <= to {
            if next > from {
                for loss in [Loss::Kill, Loss::Power] {
                    report.visited += 1;
                    let verdict = crash_and_play_on(before.clone(), next, loss);
                    if !verdict.is_good() {
                        report.failures.push((next, loss, verdict));
                    }
                }
            }
            next += step;
        }
        if !more {
            report.boundaries = to;
            return Ok(report);
        }
    }
}

/// Plays one crash: from this world on it comes at this boundary.
pub fn crash_and_play_on(mut runner: Runner, boundary: u64, loss: Loss) -> Verdict {
    runner.world.nodes[0].crash_at = Some((boundary, loss));
    runner.injected = true;
    let until = runner.world.now.plus(PLAY_ON_NS);
    let outcome = runner.go(until, |_| false).and_then(|_| runner.phase_two());
    match outcome {
        Err(verdict) => verdict,
        Ok(()) => Verdict::Held,
    }
}

/// How long load goes on behind a crash.
const PLAY_ON_NS: u64 = 1_000_000_000;
