//! `fuzz --seeds N` looks for faults that break an invariant; `fuzz --check codec` feeds every decoder. Exit codes as
//! `sim`'s: 0 nothing found, 1 something found, 2 usage.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use zk_fuzz::hunt::{self, Servers};
use zk_fuzz::targets;
use zk_sim::report;
use zk_sim::sweep::Totals;

/// Random faults against the invariants; hostile bytes against the decoders.
#[derive(Parser)]
#[command(name = "fuzz", version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed; without it, seeds that nobody has run before.
    #[arg(long)]
    first: Option<u64>,
    /// Drafts with how many servers.
    #[arg(long, value_enum, default_value = "any")]
    servers: Servers,
    /// Where a failure is written down.
    #[arg(long, default_value = "scenarios/regress")]
    out: PathBuf,
    /// Seconds to shrink a failure.
    #[arg(long, default_value_t = 60)]
    shrink: u64,
    /// Feed decoders instead.
    #[arg(long)]
    check: Option<Check>,
    /// Inputs per decoder.
    #[arg(long, default_value_t = 20_000)]
    count: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Check {
    /// Every decoder.
    Codec,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() << 20);
    let first = arguments.first.unwrap_or_else(fresh);
    match arguments.check {
        Some(Check::Codec) => codec(first, arguments.count),
        None => search(first, &arguments),
    }
}

fn bar(length: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<24} {bar:40} {pos}/{len} {eta}");
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    bar.set_style(style.expect("the template is well formed"));
    bar.set_message(what.to_owned());
    bar
}

fn search(first: u64, arguments: &Arguments) -> ExitCode {
    let n = arguments.seeds;
    let seeds = hunt::seeds(first, n, arguments.servers);
    println!("seeds {first}..={}", seeds.last().copied().unwrap_or(first));
    let bar = bar(n, "random faults");
    // A panic is a finding like any other, and told of below.
    std::panic::set_hook(Box::new(|_| ()));
    let start = Instant::now();
    let outcome = hunt::hunt(&seeds, Duration::from_secs(arguments.shrink), &arguments.out, &|| bar.inc(1));
    bar.finish_and_clear();
    let (totals, found) = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    println!("{}", report::totals("random faults", &totals, seconds));
    println!("{:.0} seeds per minute; seen: {:?}", n as f64 / seconds * 60.0, totals.marks);
    for (kind, seeds) in by_kind(&totals) {
        println!("{kind}: {} seeds, {:?}", seeds.len(), &seeds[..seeds.len().min(8)]);
    }
    for failure in &found {
        println!("\nFAIL seed {}: {:?}", failure.seed, failure.verdict);
        println!(
            "shrunk to {} faults and {} operations: {}",
            failure.faults,
            failure.operations,
            failure.file.display()
        );
        println!("repro: cargo run -p sim -- {}", failure.file.display());
    }
    ExitCode::from(u8::from(!totals.failures.is_empty()))
}

fn by_kind(totals: &Totals) -> BTreeMap<String, Vec<u64>> {
    let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (seed, verdict) in &totals.failures {
        kinds.entry(verdict.kind()).or_default().push(*seed);
    }
    kinds
}

fn codec(first: u64, count: u64) -> ExitCode {
    let start = Instant::now();
    for (i, (name, target)) in targets::ALL.iter().enumerate() {
        let bar = bar(count, name);
        for n in 0..count {
            let input = targets::input(i, first.wrapping_add(n));
            // A panic ends the process; this tells which input it was.
            let told = Told { target: name, seed: first.wrapping_add(n), armed: true };
            target(&input);
            told.held();
            if n % 1_000 == 0 {
                bar.inc(1_000.min(count - n));
            }
        }
        bar.finish_and_clear();
    }
    let (targets, seconds) = (targets::ALL.len(), start.elapsed().as_secs_f64());
    println!("{targets} decoders, {count} inputs each from seed {first}: nothing found, {seconds:.1} s");
    ExitCode::SUCCESS
}

/// Names the input under which a decoder panicked.
struct Told {
    target: &'static str,
    seed: u64,
    armed: bool,
}

impl Told {
    fn held(mut self) {
        self.armed = false;
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if self.armed {
            let Self { target, seed, .. } = self;
            eprintln!("decoder {target} panicked: fuzz --check codec --first {seed} --count 1");
        }
    }
}
