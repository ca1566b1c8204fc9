//! `sim scenarios/FILE.toml` replays a scenario and says what came of it. Exit codes: 0 held, 1 an invariant broke, 2 usage
//! or scenario error, 3 not live, 4 an expectation failed, 5 not deterministic.

mod commands;
mod explore_command;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Replays faults against the code that ships: seeded, the same to the byte every time.
#[derive(Parser)]
#[command(name = "sim", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(clap::Args)]
struct RunArguments {
    /// Scenario files, or folders of them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Another seed than the file's.
    #[arg(long)]
    seed: Option<u64>,
    /// Print a line per event.
    #[arg(long)]
    events: bool,
    /// Run twice and compare; exit with 5 at the first event that differs.
    #[arg(long)]
    check_determinism: bool,
    /// Print JSON, one object per run.
    #[arg(long)]
    json: bool,
    /// Only `protocol` (this simulator) runs here.
    #[arg(long, default_value = "protocol")]
    engine: String,
}

#[derive(Subcommand)]
enum Command {
    /// Replay scenario files (the word may be left out).
    Run(RunArguments),
    /// Run scenario files with many seeds.
    Sweep {
        /// Scenario files, or folders of them.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How many seeds; the file's `seeds` if it is not given.
        #[arg(long)]
        seeds: Option<u64>,
    },
    /// Crash at every boundary of a run, once with kill and once with power loss.
    Crashpoints {
        /// A scenario file.
        file: PathBuf,
        /// Another seed than the file's.
        #[arg(long)]
        seed: Option<u64>,
        /// Visit only every n-th boundary.
        #[arg(long, default_value_t = 1)]
        every: u64,
    },
    /// Read scenario files and say what is wrong with them.
    Lint {
        /// Scenario files, or folders of them.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Events that `on = { event = … }` may wait for.
    ListEvents,
    /// Situations that `seen`, `sometimes` and `never` may name.
    ListMarks,
    /// Invariants that are checked in every run.
    ListInvariants,
    /// Walk every interleaving of an election, within bounds; exit with 4 if not all of it was seen.
    Explore(explore_command::ExploreArguments),
    /// Events per second under the standard load of one server.
    Bench,
}

fn main() -> ExitCode {
    let Arguments { command, run } = Arguments::parse();
    let code = match command {
        None => commands::run(&run.into()),
        Some(Command::Run(arguments)) => commands::run(&arguments.into()),
        Some(Command::Sweep { files, seeds }) => commands::sweep(&files, seeds),
        Some(Command::Crashpoints { file, seed, every }) => commands::crashpoints(&file, seed, every),
        Some(Command::Lint { files }) => commands::lint(&files),
        Some(Command::ListEvents) => commands::list_events(),
        Some(Command::ListMarks) => commands::list_marks(),
        Some(Command::ListInvariants) => commands::list_invariants(),
        Some(Command::Explore(arguments)) => explore_command::run(arguments),
        Some(Command::Bench) => commands::bench(),
    };
    ExitCode::from(code)
}

impl From<RunArguments> for commands::RunOptions {
    fn from(a: RunArguments) -> Self {
        let RunArguments { files, seed, events, check_determinism, json, engine } = a;
        Self { files, seed, events, check_determinism, json, engine }
    }
}
