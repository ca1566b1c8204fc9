//! `cargo run -p live --bin differ`: Apache's server and ours, compared over random requests. Exit codes: 0 they agree,
//! 1 they differ, 2 usage.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Parser;
use live::differ::draw::Draw;
use live::differ::pair::Pair;
use live::differ::shrink::Shrinker;
use live::differ::tally::Tally;
use live::differ::worlds::{WORLDS, World};
use live::java::Install;

/// The same random requests to Apache ZooKeeper and to Zoarium, everything they send compared.
#[derive(Parser)]
#[command(name = "differ", version)]
struct Arguments {
    /// How many operations.
    #[arg(long, default_value_t = 20_000)]
    operations: u64,
    /// The seed of all chapters; without it, one that nobody has run before.
    #[arg(long)]
    seed: Option<u64>,
    /// The only chapter to play.
    #[arg(long)]
    chapter: Option<u64>,
    /// Operations of a chapter.
    #[arg(long, default_value_t = 250)]
    length: usize,
    /// Compares with the 3.9.5 whose jars are in this directory, instead of with Debian's 3.8.0.
    #[arg(long)]
    jars: Option<PathBuf>,
    /// Only the world of this name.
    #[arg(long)]
    world: Option<String>,
    /// Seconds to shrink a difference.
    #[arg(long, default_value_t = 60)]
    shrink: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match compare(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("differ: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if nothing differs.
fn compare(arguments: &Arguments) -> Result<bool> {
    let install = match &arguments.jars {
        Some(dir) => Install::of_jars(dir)?,
        None => Install::debian()?,
    };
    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = arguments.seed.unwrap_or_else(fresh);
    let chosen = |world: &&World| arguments.world.as_deref().is_none_or(|name| name == world.name);
    let worlds: Vec<&World> = WORLDS.iter().filter(chosen).collect();
    anyhow::ensure!(!worlds.is_empty(), "there is no such world");
    let start = Instant::now();
    let mut tally = Tally::default();
    for (nth, world) in worlds.iter().enumerate() {
        let mut pair = Pair::start(&install, world)?;
        let upto = arguments.operations * (nth as u64 + 1) / worlds.len() as u64;
        let mut chapter = arguments.chapter.unwrap_or(0);
        while tally.operations < upto {
            let steps = Draw::new(seed, chapter, install.release, world).steps(arguments.length);
            if let Some(difference) = pair.play(&steps, &mut tally)? {
                println!("world {}, seed {seed}, chapter {chapter}: {difference}", world.name);
                report(&install, world, &steps, arguments)?;
                println!("{tally}");
                return Ok(false);
            }
            chapter += 1;
            if arguments.chapter.is_some() {
                break;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f32();
    println!("{tally}\nno difference to {:?} over seed {seed}, in {seconds:.1} s", install.release);
    Ok(true)
}

/// Prints a short sequence that shows a difference.
fn report(
    install: &Install,
    world: &World,
    steps: &[live::differ::step::Step],
    arguments: &Arguments,
) -> Result<()> {
    let mut shrinker = Shrinker::new(install, world, Duration::from_secs(arguments.shrink));
    match shrinker.shrink(steps)? {
        None => println!("fresh servers do not differ over this chapter: it needs the chapters before"),
        Some((steps, difference)) => {
            println!("\nshrunk to {} steps:", steps.len());
            steps.iter().for_each(|step| print!("{step}"));
            println!("{difference}");
        }
    }
    Ok(())
}
