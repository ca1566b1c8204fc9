//! `cargo xtask faceoff`: Zoarium and Apache ZooKeeper in turn, on the same machine, with the same settings and loads.
//!
//! Absolute figures of a shared machine drift; what is compared are the two servers of one round, and the order within
//! a round changes from round to round. Every load is checked while it is measured: no operation may fail, and the
//! server's zxid must move by as much as was written.

mod contestant;
mod failover;
mod machine;
mod matrix;
mod memory;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use live::zoarium::{Profile, binary_of};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::step::root;
use contestant::Contestant;
use failover::Failover;
use machine::Machine;
use matrix::{Cell, SIZE_BYTES, WARM_UPS};
use memory::Memory;

/// Options of the JVM while speed is measured. A heap of fixed size, large enough that collections are short.
const JVM: &[&str] = &["-Xms1g", "-Xmx1g"];
/// Seconds of each load that precedes the first cell.
const JIT_SECONDS: &str = "10";

/// Files of results.
const SPEED: &str = "speed.json";
const MEMORY: &str = "memory.json";
const ENSEMBLE: &str = "ensemble.json";

/// Compares the speed, the CPU time and the memory of Zoarium and Apache ZooKeeper.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Times that each server is started, loaded and stopped
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measured seconds of each cell
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Unmeasured seconds before them
    #[arg(long, default_value_t = 5.0)]
    warm_up: f64,
    /// Servers of each kind: one alone, or an ensemble, which is also killed and measured until it writes again
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=7))]
    voters: u32,
    /// Names of the cells to run [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    cells: Vec<String>,
    /// One server alone
    #[arg(long, value_enum)]
    only: Option<Contestant>,
    /// Resident memory per znode instead of speed
    #[arg(long)]
    memory: bool,
    /// --memory: znodes
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    znodes: u64,
    /// Where the data directories are made: the disk that is measured
    #[arg(long, value_name = "DIR", default_value = "target/faceoff")]
    dir: PathBuf,
    /// Where the results are kept: speed.json and memory.json
    #[arg(long, value_name = "DIR", default_value = "target/faceoff")]
    results: PathBuf,
    /// Measures nothing: puts the tables of the results into docs/benchmarks.md
    #[arg(long)]
    render: bool,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Results {
    command: String,
    machine: Machine,
    rounds: u32,
    seconds: f64,
    warm_up_seconds: f64,
    voters: u32,
    servers: Vec<Contestant>,
    runs: Vec<Run>,
    memory: Vec<Memory>,
    failovers: Vec<Failover>,
}

/// One load on one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Run {
    round: u32,
    server: Contestant,
    cell: String,
    /// As the load generator printed it.
    report: Value,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let kept = root().join(&args.results);
    if args.render {
        return render(&kept);
    }
    let dir = root().join(&args.dir);
    for made in [&dir, &kept] {
        fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
    }
    let dir = dir.canonicalize()?;
    let cells = chosen(args)?;
    binary_of(Profile::Release)?;
    let mut results = Results {
        command: std::env::args().skip(1).fold("cargo xtask".into(), |line, word| line + " " + &word),
        machine: Machine::this(&dir)?,
        rounds: args.rounds,
        seconds: args.seconds,
        warm_up_seconds: args.warm_up,
        voters: args.voters,
        servers: args.only.map_or_else(|| vec![Contestant::Java, Contestant::Zoarium], |only| vec![only]),
        runs: Vec::new(),
        memory: Vec::new(),
        failovers: Vec::new(),
    };
    if args.memory {
        for server in &results.servers {
            let fresh = tempfile::tempdir_in(&dir)?;
            let memory = memory::measure(*server, fresh.path(), args.znodes)?;
            println!("{server}: {:.0} bytes per znode", memory.per_znode());
            results.memory.push(memory);
        }
    } else {
        for round in 1..=args.rounds {
            one_round(&mut results, round, &cells, &dir)?;
        }
    }
    println!("\n{}", table::markdown(&results)?);
    let out = kept.join(match args {
        Args { memory: true, .. } => MEMORY,
        Args { voters: 1, .. } => SPEED,
        _ => ENSEMBLE,
    });
    fs::write(&out, serde_json::to_string_pretty(&results)?)
        .with_context(|| format!("cannot write {}", out.display()))?;
    println!("results: {}", out.display());
    Ok(())
}

fn chosen(args: &Args) -> Result<Vec<Cell>> {
    let (cells, names) = (matrix::cells(args.voters), &args.cells);
    for name in names {
        let known: Vec<&str> = cells.iter().map(|cell| cell.name).collect();
        ensure!(known.contains(&name.as_str()), "no cell {name:?}; there are {}", known.join(", "));
    }
    let wanted = |cell: &&Cell| names.is_empty() || names.iter().any(|name| name == cell.name);
    Ok(cells.iter().filter(wanted).copied().collect())
}

/// Each server once, on a data directory of its own; the first of one round is the second of the next.
fn one_round(results: &mut Results, round: u32, cells: &[Cell], dir: &Path) -> Result<()> {
    let mut servers = results.servers.clone();
    if round.is_multiple_of(2) {
        servers.reverse();
    }
    let (seconds, warm_up) = (results.seconds.to_string(), results.warm_up_seconds.to_string());
    for server in servers {
        let fresh = tempfile::tempdir_in(dir)?;
        let running = server.start_all(results.voters, fresh.path(), JVM)?;
        for load in WARM_UPS {
            let times = ["--warm-up", "0", "--duration", JIT_SECONDS, "--size", SIZE_BYTES];
            running.bench(&[&times[..], load].concat())?;
        }
        for cell in cells {
            let times = ["--warm-up", &warm_up, "--duration", &seconds, "--size", SIZE_BYTES];
            let report = running.bench(&[&times[..], cell.load].concat())?;
            println!(
                "round {round}, {server}, {}: {:.0} operations/s, {:.2} µs of server CPU each",
                cell.name,
                report["operations_per_second"].as_f64().unwrap_or(f64::NAN),
                report["server"]["cpu_us_per_operation"].as_f64().unwrap_or(f64::NAN)
            );
            results.runs.push(Run { round, server, cell: cell.name.into(), report });
        }
        running.stop()?;
        if results.voters > 1 {
            let fresh = tempfile::tempdir_in(dir)?;
            results.failovers.extend(failover::measure(server, round, results.voters, fresh.path())?);
        }
    }
    Ok(())
}

/// Puts what there is of speed and memory into the page.
fn render(kept: &Path) -> Result<()> {
    let page = root().join("docs/benchmarks.md");
    let old = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let mut tables = String::new();
    for name in [SPEED, MEMORY, ENSEMBLE] {
        let file = kept.join(name);
        if !file.exists() {
            println!("{} is not there: its table is left out", file.display());
            continue;
        }
        let results: Results = serde_json::from_str(&fs::read_to_string(&file)?)
            .with_context(|| format!("{}: results of another version", file.display()))?;
        if results.machine.commit.ends_with("-dirty") {
            bail!("{} is of a work tree with changes: commit, then measure again", file.display());
        }
        tables += &table::markdown(&results)?;
    }
    fs::write(&page, table::replace_between_markers(&old, &tables)?)?;
    println!("written: {}", page.display());
    Ok(())
}
