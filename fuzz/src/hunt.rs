//! Many drafts on all cores; the first failure is shrunk and written down.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use zk_sim::run::Verdict;
use zk_sim::sweep::{Totals, parallel};

use crate::attempt::attempt;
use crate::draft::Draft;
use crate::shrink::shrink;

/// A failure, small and on the disk.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed that failed.
    pub seed: u64,
    /// How it failed.
    pub verdict: Verdict,
    /// The scenario file.
    pub file: PathBuf,
    /// What is left of it.
    pub faults: usize,
    /// What is left of it.
    pub operations: u64,
}

/// The first `n` seeds from `first` on whose drafts have so many servers.
pub fn seeds(first: u64, n: u64, servers: Servers) -> Vec<u64> {
    let wanted = |seed: &u64| match servers {
        Servers::Any => true,
        Servers::One => Draft::draw(*seed).topology.count() == 1,
        Servers::Many => Draft::draw(*seed).topology.count() > 1,
    };
    (first..).filter(wanted).take(n as usize).collect()
}

/// Which drafts are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Servers {
    /// All of them.
    Any,
    /// Those of one server alone.
    One,
    /// Those of ensembles.
    Many,
}

/// Runs the drafts of these seeds; `each` hears of every run's end. One failure of each kind, three at most, is
/// shrunk for at most `shrink_for`.
pub fn hunt(
    seeds: &[u64],
    shrink_for: Duration,
    out: &Path,
    each: &(dyn Fn() + Sync),
) -> Result<(Totals, Vec<Found>), String> {
    let totals = Mutex::new(Totals::default());
    parallel(seeds.len(), |i| {
        let seed = seeds[i];
        let attempt = attempt(&Draft::draw(seed));
        let mut totals = totals.lock().expect("no run panics while it adds");
        match (&attempt.run, attempt.failure) {
            (Some(run), _) => totals.add(seed, run),
            (None, failure) => {
                let what = failure.map_or_else(String::new, |failure| failure.what);
                totals.failures.insert(seed, Verdict::Unexpected(format!("panic: {what}")));
            }
        }
        drop(totals);
        each();
        Ok(())
    })?;
    let totals = totals.into_inner().expect("no run panicked while it added");
    let mut found: Vec<Found> = Vec::new();
    for (seed, verdict) in &totals.failures {
        // One of each kind is enough to begin with.
        if found.iter().all(|other| other.verdict.kind() != verdict.kind()) && found.len() < 3 {
            found.push(write_down(*seed, verdict, shrink_for, out)?);
        }
    }
    Ok((totals, found))
}

fn write_down(seed: u64, verdict: &Verdict, shrink_for: Duration, out: &Path) -> Result<Found, String> {
    let kind = verdict.kind();
    let draft = Draft::draw(seed);
    let fails = |candidate: &Draft| attempt(candidate).failure.is_some_and(|failure| failure.kind == kind);
    let small = shrink(&draft, shrink_for, fails);
    let verdict = attempt(&small).run.map_or_else(|| verdict.clone(), |run| run.verdict);
    let title = format!("{kind}, found by seed {seed}");
    let text = small.to_toml(&title, &format!("Before it was mended: {verdict:?}"));
    let file = out.join(format!("{}-{seed:x}.toml", kind.to_lowercase()));
    let io = |error| format!("{}: {error}", file.display());
    std::fs::create_dir_all(out).map_err(io)?;
    std::fs::write(&file, text).map_err(io)?;
    let operations = small.workloads.iter().map(|load| load.clients * load.operations).sum();
    Ok(Found { seed, verdict, file, faults: small.faults.len(), operations })
}
