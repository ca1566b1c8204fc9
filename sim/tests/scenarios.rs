//! Every scenario that ships holds, and a run is the same every time.

use std::path::{Path, PathBuf};

use zk_sim::crashpoints;
use zk_sim::report;
use zk_sim::run::{Options, run};
use zk_sim::scenario::Scenario;

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
}

fn shipped() -> Vec<(PathBuf, Scenario)> {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios"), &mut found);
    found.sort();
    assert!(found.len() >= 8, "the scenarios are there");
    let load = |path: PathBuf| {
        let scenario = Scenario::load(&path).unwrap_or_else(|error| panic!("{error}"));
        (path, scenario)
    };
    found.into_iter().map(load).collect()
}

#[test]
fn every_scenario_holds_and_says_why_it_is_there() {
    for (path, scenario) in shipped() {
        assert!(
            !scenario.title.is_empty() && scenario.why.len() > 80,
            "{}: a paragraph of prose",
            path.display()
        );
        let seed = scenario.seed.unwrap_or(1);
        let run =
            run(&scenario, seed, Options::default()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(run.verdict.is_good(), "{}: {:?}", path.display(), run.verdict);
    }
}

#[test]
fn a_run_is_the_same_every_time_whoever_watches() {
    for (path, scenario) in shipped() {
        let hash = |readable| {
            let run = run(&scenario, 7, Options { readable, ..Options::default() }).unwrap();
            (run.world.trace.hash(), run.world.trace.events(), run.world.now)
        };
        assert_eq!(hash(false), hash(true), "{}", path.display());
    }
}

#[test]
fn seeds_differ() {
    let (_, scenario) = shipped().swap_remove(0);
    let hash = |seed| run(&scenario, seed, Options::default()).unwrap().world.trace.hash();
    assert_ne!(hash(1), hash(2));
}

#[test]
fn every_seventh_boundary_can_be_crashed_at() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/crash-anywhere.toml");
    let report = crashpoints::visit(&Scenario::load(&path).unwrap(), 1, 1, 7).unwrap();
    assert!(report.boundaries > 300 && report.visited > 80, "{report:?}");
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

#[test]
fn what_this_version_cannot_do_is_refused() {
    let refused =
        |verb: &str| Scenario::parse(&format!("[[fault]]\nat = \"1s\"\ndo = {{ {verb} }}")).unwrap_err();
    assert_eq!(refused("reconfig = \"x\""), ":3:8: \"reconfig\" is not in this version");
    assert_eq!(refused("loss = \"kill\""), ":3:6: \"do\" needs exactly one verb");
}

#[test]
fn the_summary_tells_what_happened() {
    let text = "title = \"A kill\"\nduration = \"2s\"\n[[workload]]\nclients = 1\nthink = \"50ms\"\n\
                [[fault]]\nat = \"1s\"\ndo = { crash = \"node:1\", loss = \"power\" }\nfor = \"100ms\"\n";
    let scenario = Scenario::parse(text).unwrap();
    let run = run(&scenario, 3, Options::default()).unwrap();
    let summary = report::summary("a-kill.toml", &scenario, 3, &run);
    let lines: Vec<&str> = summary.lines().collect();
    assert_eq!(lines[0], "A kill  (a-kill.toml, seed 3)");
    assert!(lines[1].ends_with("node 1    starts at 0x0 with 5 znodes"), "{summary}");
    assert!(lines[2].ends_with("fault     crash node:1 (power)"), "{summary}");
    assert!(summary.contains("\nHELD\n") && summary.contains("power-cut 1"), "{summary}");
    assert_eq!(report::json("a-kill.toml", 3, &run)["verdict"], "held");
}
