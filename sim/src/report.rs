//! What people read of a run.

use std::fmt::Write as _;

use crate::run::{Run, Verdict};
use crate::scenario::Scenario;
use crate::sweep::Totals;
use crate::trace::Trace;

/// The summary of one run: what happened, the verdict, the figures, how to see it again.
pub fn summary(file: &str, scenario: &Scenario, seed: u64, run: &Run) -> String {
    let mut out = String::new();
    let world = &run.world;
    let _ = writeln!(out, "{}  ({file}, seed {seed})", scenario.title);
    let headlines = world.trace.headlines();
    let shown = headlines.len().min(HEADLINES_SHOWN);
    for line in &headlines[..shown] {
        let _ = writeln!(out, "{line}");
    }
    if headlines.len() > shown {
        let _ = writeln!(out, "             … and {} more (--events shows all)", headlines.len() - shown);
    }
    let _ = writeln!(out, "{}", verdict(run));
    let _ = writeln!(
        out,
        "{:.1} s simulated, {} events, {} commits, {} answers checked, {} connections lost",
        world.now.0 as f64 / 1e9,
        world.trace.events(),
        world.commits.len(),
        world.histories.checked(),
        world.disconnects
    );
    let _ = writeln!(out, "seen: {}", marks(&world.trace));
    let _ = writeln!(out, "trace {:016x}", world.trace.hash());
    if !run.verdict.is_good() {
        let _ = writeln!(out, "repro: cargo run -p sim -- {file} --seed {seed} --events");
    }
    out
}

const HEADLINES_SHOWN: usize = 40;

/// One line, or more for a failure.
pub fn verdict(run: &Run) -> String {
    let world = &run.world;
    let place = || {
        let at = world.now.0;
        format!("at {}.{:06} s, event {}", at / 1_000_000_000, at / 1_000 % 1_000_000, world.trace.events())
    };
    match &run.verdict {
        Verdict::Held => "HELD".to_owned(),
        Verdict::Refused(why) => format!("HELD: the server refuses to serve what is damaged: {why}"),
        Verdict::Lost(violation) => {
            format!("HELD: more was destroyed on purpose than the protocol survives: {violation}")
        }
        Verdict::Violated(violation) => {
            format!("FAIL {}  {}\n  {}", violation.invariant, place(), violation.what)
        }
        Verdict::NotLive(what) => format!("FAIL I41 liveness  {}\n  {what}", place()),
        Verdict::Unexpected(what) => format!("FAIL expectation  {}\n  {what}", place()),
    }
}

fn marks(trace: &Trace) -> String {
    let marks: Vec<String> = trace.marks().iter().map(|(mark, count)| format!("{mark} {count}")).collect();
    if marks.is_empty() { "nothing out of the ordinary".to_owned() } else { marks.join(", ") }
}

/// The line of a sweep.
pub fn totals(title: &str, totals: &Totals, seconds: f64) -> String {
    let mut out = format!(
        "{:<76} {:>6} seeds {:>10} events {:>8} commits {:>9} answers {:>4} refused {:>3} failed {:>7.1} s",
        title,
        totals.runs,
        totals.events,
        totals.commits,
        totals.checked,
        totals.refused,
        totals.failures.len(),
        seconds
    );
    for (seed, verdict) in totals.failures.iter().take(5) {
        let _ = write!(out, "\n  seed {seed}: {verdict:?}");
    }
    out
}

/// A run as JSON.
pub fn json(file: &str, seed: u64, run: &Run) -> serde_json::Value {
    let world = &run.world;
    let (verdict, what) = match &run.verdict {
        Verdict::Held => ("held", None),
        Verdict::Refused(why) => ("refused", Some(why.clone())),
        Verdict::Lost(violation) => ("lost", Some(violation.to_string())),
        Verdict::Violated(violation) => ("violated", Some(violation.to_string())),
        Verdict::NotLive(what) => ("not-live", Some(what.clone())),
        Verdict::Unexpected(what) => ("unexpected", Some(what.clone())),
    };
    serde_json::json!({
        "schema": 1,
        "file": file,
        "seed": seed,
        "verdict": verdict,
        "what": what,
        "simulated_ns": world.now.0,
        "events": world.trace.events(),
        "commits": world.commits.len(),
        "answers_checked": world.histories.checked(),
        "disconnects": world.disconnects,
        "fatals": world.fatals,
        "marks": world.trace.marks(),
        "trace": format!("{:016x}", world.trace.hash()),
    })
}
