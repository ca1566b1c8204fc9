//! Many seeds, on all cores: one world per seed, nothing shared.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::run::{Options, Run, Verdict, run};
use crate::scenario::Scenario;

/// What all runs together came to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Runs.
    pub runs: u64,
    /// Events delivered.
    pub events: u64,
    /// Txns committed.
    pub commits: u64,
    /// Answers judged.
    pub checked: u64,
    /// Simulated time, ns.
    pub simulated: u64,
    /// Runs that ended with the server refusing damaged data, as it must.
    pub refused: u64,
    /// Runs in which more was destroyed than the protocol survives.
    pub lost: u64,
    /// How often each situation came about.
    pub marks: BTreeMap<&'static str, u64>,
    /// What went wrong, by seed.
    pub failures: BTreeMap<u64, Verdict>,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, seed: u64, run: &Run) {
        self.runs += 1;
        self.events += run.world.trace.events();
        self.commits += run.world.commits.len() as u64;
        self.checked += run.world.histories.checked();
        self.simulated += run.world.now.0;
        self.refused += u64::from(matches!(run.verdict, Verdict::Refused(_)));
        self.lost += u64::from(matches!(run.verdict, Verdict::Lost(_)));
        for (mark, count) in run.world.trace.marks() {
            *self.marks.entry(mark).or_default() += count;
        }
        if !run.verdict.is_good() {
            self.failures.insert(seed, run.verdict.clone());
        }
    }
}

/// Runs a scenario with all these seeds; `each` hears of every run's end.
pub fn sweep(scenario: &Scenario, seeds: &[u64], each: &(dyn Fn() + Sync)) -> Result<Totals, String> {
    let totals = Mutex::new(Totals::default());
    parallel(seeds.len(), |i| {
        let run = run(scenario, seeds[i], Options::default())?;
        totals.lock().expect("no run panics while it adds").add(seeds[i], &run);
        each();
        Ok(())
    })?;
    Ok(totals.into_inner().expect("no run panicked while it added"))
}

/// Does `n` things on all cores; the first error ends it.
pub fn parallel(n: usize, job: impl Fn(usize) -> Result<(), String> + Sync) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(n.max(1));
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= n || failed.lock().expect("set only once").is_some() {
                        return;
                    }
                    if let Err(error) = job(i) {
                        *failed.lock().expect("set only once") = Some(error);
                        return;
                    }
                }
            });
        }
    });
    failed.into_inner().expect("set only once").map_or(Ok(()), Err)
}
