//! `sim scenarios/leader-crash.toml`: replays a scenario and says what came of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use zk_sim::run::{Options, run};
use zk_sim::scenario::Scenario;

/// Replays faults against the code that ships.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Arguments {
    /// A scenario file.
    file: PathBuf,
    /// Another seed than the file's.
    #[arg(long)]
    seed: Option<u64>,
    /// Print a line per event.
    #[arg(long)]
    events: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let scenario = match Scenario::load(&arguments.file) {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let seed = arguments.seed.or(scenario.seed).unwrap_or(1);
    let start = Instant::now();
    match run(&scenario, seed, Options { readable: arguments.events, ..Options::default() }) {
        Ok(run) => {
            for line in run.world.trace.lines() {
                println!("{line}");
            }
            let secs = start.elapsed().as_secs_f64();
            println!("{:?}", run.verdict);
            println!(
                "events {} in {:.3} s = {:.0}/s, commits {}, checked {}, hash {:016x}, marks {:?}",
                run.world.trace.events(),
                secs,
                run.world.trace.events() as f64 / secs,
                run.world.commits.len(),
                run.world.histories.checked(),
                run.world.trace.hash(),
                run.world.trace.marks()
            );
            ExitCode::from(run.verdict.exit_code())
        }
        Err(error) => {
            eprintln!("{}: {error}", arguments.file.display());
            ExitCode::from(2)
        }
    }
}
