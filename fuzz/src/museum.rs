//! Plants the bugs of the museum one at a time, and looks for each as for any other: by walking through elections, by random
//! drafts, the same for all, by the scenarios of ensembles when half of the time is over, and by more drafts.

use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zk_core::museum::Exhibit;
use zk_sim::explore::election::{Beginning, Bounds, Ensemble, Planted, Setup, Wiring};
use zk_sim::explore::{Outcome, explore};
use zk_sim::run::{Options, run};
use zk_sim::scenario::Scenario;

use crate::attempt::{Failure, attempt};
use crate::draft::Draft;

/// How a bug was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// By what.
    pub by: Searcher,
    /// Which invariant broke, and how.
    pub failure: Failure,
}

/// What looked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Searcher {
    /// A walk through so many states of elections.
    Walk {
        /// States.
        states: usize,
    },
    /// Random drafts.
    Drafts {
        /// The first seed that failed, counted from 0.
        seed: u64,
    },
    /// A scenario, with its own seed.
    Scenario {
        /// The file's name.
        file: String,
    },
}

/// What came of one exhibit.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub exhibit: Exhibit,
    /// `None` if it was not found in time.
    pub caught: Option<Caught>,
    /// Drafts that were run.
    pub drafts: u64,
    /// How long it took.
    pub took: Duration,
}

/// Looks for one bug, for at most `budget`.
pub fn look_for(exhibit: Exhibit, budget: Duration) -> Row {
    let began = Instant::now();
    let mut caught = if is_in_elections(exhibit) { walk(Some(exhibit)).1 } else { None };
    let mut drafts = 0;
    let mut search_until = |end| {
        let found = search(Some(exhibit), drafts, Bound::Until(end));
        drafts = found.next;
        found.first.map(|(seed, failure)| Caught { by: Searcher::Drafts { seed }, failure })
    };
    // What only scenarios come by is still found within the budget.
    caught = caught.or_else(|| search_until(began + budget / 2));
    caught = caught.or_else(|| play(Some(exhibit)));
    caught = caught.or_else(|| search_until(began + budget));
    Row { exhibit, caught, drafts, took: began.elapsed() }
}

/// What was found where nothing was planted: it should be nothing.
pub fn control(drafts: u64) -> Vec<(String, Failure)> {
    let walked = walk(None).1.map(|caught| ("a walk".to_owned(), caught.failure));
    let found = search(None, 0, Bound::Drafts(drafts)).first;
    let played = play(None).map(|caught| (format!("{:?}", caught.by), caught.failure));
    walked
        .into_iter()
        .chain(played)
        .chain(found.map(|(seed, failure)| (format!("draft {seed}"), failure)))
        .collect()
}

/// Bugs that a walk through elections can meet.
const fn is_in_elections(exhibit: Exhibit) -> bool {
    matches!(exhibit, Exhibit::P01 | Exhibit::P02 | Exhibit::P03 | Exhibit::P04 | Exhibit::P05 | Exhibit::P06)
}

const NONE: Bounds = Bounds { silences: 0, breaks: 0, crashes: 0, power_cuts: 0, lost_roles: 0, epochs: 0 };

/// The elections that are walked through: small enough that all of them together take a minute.
fn setups() -> Vec<Setup> {
    let three = |voters: Vec<(u32, i64)>, beginning, wiring, bounds| Setup {
        voters,
        observers: vec![],
        absent: 0,
        beginning,
        wiring,
        bounds,
        planted: None,
    };
    let empty = || vec![(0, 0); 3];
    vec![
        three(vec![(1, 5), (1, 9), (2, 1)], Beginning::Together, Wiring::Coarse, NONE),
        three(empty(), Beginning::Together, Wiring::Coarse, Bounds { breaks: 1, ..NONE }),
        three(empty(), Beginning::Established, Wiring::Fine, Bounds { power_cuts: 1, ..NONE }),
        three(
            empty(),
            Beginning::Established,
            Wiring::Coarse,
            Bounds { crashes: 1, lost_roles: 2, epochs: 1, ..NONE },
        ),
    ]
}

/// States that each walk may take.
const STATES_MAX: usize = 3_000_000;

/// Walks, and how many states it saw.
fn walk(exhibit: Option<Exhibit>) -> (usize, Option<Caught>) {
    let mut states = 0;
    for setup in setups() {
        let planted = exhibit.map(Planted::Exhibit);
        let report = explore(Ensemble::new(&Setup { planted, ..setup }), STATES_MAX);
        states += report.states;
        if let Outcome::Broken { broken, .. } = report.outcome {
            let failure = Failure { kind: broken.rule.to_owned(), what: broken.what };
            return (states, Some(Caught { by: Searcher::Walk { states }, failure }));
        }
    }
    (states, None)
}

/// Plays the scenarios of ensembles until one does not end as it says.
fn play(exhibit: Option<Exhibit>) -> Option<Caught> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/cluster");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("scenarios are there").flatten().map(|entry| entry.path()).collect();
    files.sort_unstable();
    files.iter().find_map(|path| {
        let text = std::fs::read_to_string(path).expect("a scenario is text");
        let plant = exhibit.map_or_else(String::new, |exhibit| format!("plant = \"{exhibit}\"\n"));
        let planted = text.replacen("[cluster]\n", &format!("[cluster]\n{plant}"), 1);
        let scenario = Scenario::parse(&planted).expect("scenarios are well formed");
        let ran = catch_unwind(|| run(&scenario, 1, Options::default()));
        let failure = match ran {
            Ok(run) => {
                let verdict = run.expect("scenarios ask for nothing that is not there").verdict;
                let failure = Failure { kind: verdict.kind(), what: format!("{verdict:?}") };
                (!verdict.is_good()).then_some(failure)
            }
            Err(_) => Some(Failure { kind: "panic".to_owned(), what: "an assertion of the core".to_owned() }),
        };
        let file = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        failure.map(|failure| Caught { by: Searcher::Scenario { file }, failure })
    })
}

/// When a search ends that finds nothing.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Until(Instant),
    Drafts(u64),
}

struct Search {
    /// The first seed that was not run.
    next: u64,
    first: Option<(u64, Failure)>,
}

/// Runs the drafts of seeds `from`, `from` + 1, … on all cores until one fails.
fn search(exhibit: Option<Exhibit>, from: u64, bound: Bound) -> Search {
    let (next, done) = (AtomicU64::new(from), AtomicBool::new(false));
    let first: Mutex<Option<(u64, Failure)>> = Mutex::new(None);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if matches!(bound, Bound::Until(end) if Instant::now() >= end) {
                        return;
                    }
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if matches!(bound, Bound::Drafts(n) if seed >= n) {
                        return;
                    }
                    let mut draft = Draft::draw(seed);
                    draft.cluster.extend(exhibit.map(|exhibit| format!("plant = \"{exhibit}\"")));
                    if let Some(failure) = attempt(&draft).failure {
                        done.store(true, Ordering::Relaxed);
                        let mut first = first.lock().expect("nobody panics with it");
                        if first.as_ref().is_none_or(|(other, _)| seed < *other) {
                            *first = Some((seed, failure));
                        }
                    }
                }
            });
        }
    });
    let first = first.into_inner().expect("nobody panicked with it");
    Search { next: next.into_inner(), first }
}
