//! What the commands of `sim` do. Each returns the exit code.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use zk_sim::crashpoints;
use zk_sim::node::EVENTS;
use zk_sim::oracle::Invariant;
use zk_sim::report;
use zk_sim::run::{Options, Run, run as run_one};
use zk_sim::scenario::Scenario;
use zk_sim::sweep;
use zk_sim::trace::{CHECKPOINT, MARKS};

/// How scenario files are run.
pub(crate) struct RunOptions {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) seed: Option<u64>,
    pub(crate) events: bool,
    pub(crate) check_determinism: bool,
    pub(crate) json: bool,
    pub(crate) engine: String,
}

const USAGE: u8 = 2;
const NOT_DETERMINISTIC: u8 = 5;

/// Prints; a reader who has seen enough and closed the pipe is no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn complain(error: &str) -> u8 {
    eprintln!("{error}");
    USAGE
}

/// Files, and the scenario files in folders, sorted.
fn gather(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut stack = vec![path.clone()];
        let mut found = Vec::new();
        while let Some(dir) = stack.pop() {
            let entries = std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            for entry in entries {
                let path = entry.map_err(|error| format!("{}: {error}", dir.display()))?.path();
                if path.is_dir() {
                    stack.push(path);
                } else if path.extension().is_some_and(|extension| extension == "toml") {
                    found.push(path);
                }
            }
        }
        if found.is_empty() {
            return Err(format!("{}: there is no scenario file in this folder", path.display()));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// An error that knows its place, or does not, in this file.
fn within(file: &Path, error: &str) -> String {
    let colon = if error.starts_with(':') { "" } else { ": " };
    format!("{}{colon}{error}", file.display())
}

fn each_scenario(paths: &[PathBuf], mut f: impl FnMut(&Path, &Scenario) -> Result<u8, String>) -> u8 {
    let files = match gather(paths) {
        Ok(files) => files,
        Err(error) => return complain(&error),
    };
    let mut worst = 0;
    for file in files {
        let outcome = Scenario::load(&file)
            .and_then(|scenario| f(&file, &scenario).map_err(|error| within(&file, &error)));
        let code = outcome.unwrap_or_else(|error| complain(&error));
        if worst == 0 {
            worst = code;
        }
    }
    worst
}

pub(crate) fn run(options: &RunOptions) -> u8 {
    if options.engine == "madsim" {
        return complain("--engine madsim: the madsim runs of the network shim are not in this version");
    }
    if options.engine != "protocol" {
        return complain(&format!("--engine {}: expected protocol", options.engine));
    }
    each_scenario(&options.files, |file, scenario| {
        let seed = options.seed.or(scenario.seed).unwrap_or(1);
        let wanted = Options { readable: options.events, ..Options::default() };
        let start = Instant::now();
        let run = run_one(scenario, seed, wanted)?;
        let name = file.display().to_string();
        if options.json {
            print(&format!("{}\n", report::json(&name, seed, &run)));
        } else {
            let mut text = String::new();
            for line in run.world.trace.lines() {
                text.push_str(line);
                text.push('\n');
            }
            text.push_str(&report::summary(&name, scenario, seed, &run));
            text.push_str(&format!("{:.3} s\n\n", start.elapsed().as_secs_f64()));
            print(&text);
        }
        if options.check_determinism {
            let again = run_one(scenario, seed, wanted)?;
            if let Some(difference) = differs(scenario, seed, &run, &again)? {
                eprintln!("{name}: {difference}");
                return Ok(NOT_DETERMINISTIC);
            }
        }
        Ok(run.verdict.exit_code())
    })
}

/// Where two runs of one seed part, to the event.
fn differs(scenario: &Scenario, seed: u64, a: &Run, b: &Run) -> Result<Option<String>, String> {
    if a.world.trace.hash() == b.world.trace.hash() {
        return Ok(None);
    }
    let (left, right) = (a.world.trace.checkpoints(), b.world.trace.checkpoints());
    let same = left.iter().zip(right).take_while(|(a, b)| a == b).count() as u64;
    // Both again with their lines, up to the thousand events in which they part.
    let wanted = Options { readable: true, max_events: Some((same + 1) * CHECKPOINT) };
    let (a, b) = (run_one(scenario, seed, wanted)?, run_one(scenario, seed, wanted)?);
    let (left, right) = (a.world.trace.lines(), b.world.trace.lines());
    let line = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let nothing = "(nothing)".to_owned();
    Ok(Some(format!(
        "two runs of seed {seed} differ between events {} and {}:\n  {}\n  {}",
        same * CHECKPOINT,
        (same + 1) * CHECKPOINT,
        left.get(line).unwrap_or(&nothing),
        right.get(line).unwrap_or(&nothing)
    )))
}

fn progress(length: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<40} {bar:30} {pos}/{len} {eta}");
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    bar.set_style(style.expect("the template is well formed"));
    bar.set_message(what.to_owned());
    bar
}

pub(crate) fn sweep(files: &[PathBuf], seeds: Option<u64>) -> u8 {
    each_scenario(files, |file, scenario| {
        let seeds = match (seeds, &scenario.seeds) {
            (Some(n), _) => (1..=n).collect(),
            (None, Some(seeds)) => seeds.clone().collect(),
            (None, None) => (1..=100).collect::<Vec<u64>>(),
        };
        let bar = progress(seeds.len() as u64, &scenario.title);
        let start = Instant::now();
        let totals = sweep::sweep(scenario, &seeds, &|| bar.inc(1))?;
        bar.finish_and_clear();
        print(&format!("{}\n", report::totals(&scenario.title, &totals, start.elapsed().as_secs_f64())));
        let unseen: Vec<_> = scenario
            .expect
            .sometimes
            .iter()
            .map(String::as_str)
            .filter(|mark| !totals.marks.contains_key(mark))
            .collect();
        if !unseen.is_empty() {
            eprintln!("{}: never seen over {} seeds: {unseen:?}", file.display(), totals.runs);
            return Ok(4);
        }
        for seed in totals.failures.keys().take(1) {
            eprintln!("repro: cargo run -p sim -- {} --seed {seed}", file.display());
        }
        Ok(totals.failures.values().next().map_or(0, |verdict| verdict.exit_code()))
    })
}

pub(crate) fn crashpoints(file: &Path, seed: Option<u64>, every: u64) -> u8 {
    each_scenario(&[file.to_owned()], |file, scenario| {
        let seed = seed.or(scenario.seed).unwrap_or(1);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let reports = Mutex::new(Vec::new());
        let start = Instant::now();
        sweep::parallel(cores, |core| {
            let step = every.max(1) * cores as u64;
            let report = crashpoints::visit(scenario, seed, 1 + core as u64 * every.max(1), step)?;
            reports.lock().expect("no visit panics").push(report);
            Ok(())
        })?;
        let reports = reports.into_inner().expect("no visit panicked");
        let boundaries = reports.iter().map(|report| report.boundaries).max().unwrap_or(0);
        let visited: u64 = reports.iter().map(|report| report.visited).sum();
        let mut failures: Vec<_> = reports.into_iter().flat_map(|report| report.failures).collect();
        failures.sort_by_key(|(boundary, loss, _)| (*boundary, *loss));
        print(&format!(
            "{}: {boundaries} boundaries, {visited} crashes played on, {} failed, {:.1} s\n",
            file.display(),
            failures.len(),
            start.elapsed().as_secs_f64()
        ));
        for (boundary, loss, verdict) in failures.iter().take(5) {
            eprintln!("  boundary {boundary}, {loss:?}: {verdict:?}");
        }
        Ok(failures.first().map_or(0, |(.., verdict)| verdict.exit_code()))
    })
}

pub(crate) fn lint(files: &[PathBuf]) -> u8 {
    each_scenario(files, |file, scenario| {
        zk_sim::run::Runner::new(scenario, scenario.seed.unwrap_or(1), Options::default())?;
        print(&format!("{}: well formed\n", file.display()));
        Ok(0)
    })
}

pub(crate) fn list_events() -> u8 {
    for (name, meaning) in EVENTS {
        print(&format!("{name:<20} {meaning}\n"));
    }
    0
}

pub(crate) fn list_marks() -> u8 {
    for (name, meaning) in MARKS {
        print(&format!("{name:<32} {meaning}\n"));
    }
    0
}

pub(crate) fn list_invariants() -> u8 {
    for invariant in Invariant::ALL {
        print(&format!("{}  {:<34} {}\n", invariant.id(), invariant.name(), invariant.statement()));
    }
    0
}

/// The standard load of one server: ten clients, a hundred operations per second each, no faults.
const ONE: &str =
    "title = \"one server\"\nduration = \"60s\"\n[[workload]]\nclients = 10\nrate = \"1000/s\"\n";

/// The standard load of an ensemble: three voters, ten clients, a hundred operations per second of all together, a fault every
/// ten seconds.
const STD3: &str = "title = \"std3\"\nduration = \"300s\"\n[cluster]\nvoters = 3\n[[workload]]\nclients = 10\nrate = \"100/s\"\n\
                    [[random]]\nfaults = [\"crash\", \"power\", \"pause\", \"partition\", \"reset-servers\"]\nevery = \"10s\"\n\
                    duration = \"1s..3s\"\n";

pub(crate) fn bench() -> u8 {
    let mut worst = 0;
    for (name, text) in [("one server", ONE), ("std3", STD3)] {
        let scenario = Scenario::parse(text).expect("the scenario is well formed");
        let start = Instant::now();
        let run = match run_one(&scenario, 1, Options::default()) {
            Ok(run) => run,
            Err(error) => return complain(&error),
        };
        let seconds = start.elapsed().as_secs_f64();
        let (events, checked) = (run.world.trace.events(), run.world.histories.checked());
        print(&format!(
            "{name}: {events} events in {seconds:.2} s: {:.0} events/s; {:.0} client operations checked per second; {:.0} \
             simulated seconds per second\n",
            events as f64 / seconds,
            checked as f64 / seconds,
            run.world.now.0 as f64 / 1e9 / seconds
        ));
        if !run.verdict.is_good() {
            eprintln!("{name}: {:?}", run.verdict);
        }
        worst = worst.max(run.verdict.exit_code());
    }
    worst
}
