//! `cargo run -p live --bin kazoo`: kazoo's own tests on our servers. Every one that passes on Java's passes here. Exit codes: 0
//! they do, 1 they do not, 2 usage.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use live::java::Install;
use live::kazoo::{Outcome, Outcomes, Servers, Suite, Tests, folder};
use live::zoarium;

/// Kazoo's own tests on Zoarium, compared with what became of them on Apache ZooKeeper 3.9.5.
#[derive(Parser)]
#[command(name = "kazoo", version)]
struct Arguments {
    /// Runs them on the 3.9.5 whose jars are in this directory instead, one after the other, and keeps the outcomes.
    #[arg(long, value_name = "DIR")]
    java: Option<PathBuf>,
    /// How many tests run at once; each has three servers. Most of their time they wait.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Where the suite is installed.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/kazoo"))]
    environment: PathBuf,
    /// Where what the tests print goes.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/kazoo.log"))]
    log: PathBuf,
}

/// What cannot pass here yet, and is not tried: a client that asks for SASL goes on asking.
const EXCEPTED: [(&str, &str); 3] = [
    ("test_client.py::TestSSLClient::", "TLS is not in this version"),
    ("test_sasl.py::TestLegacySASLDigestAuthentication::", "SASL is not in this version"),
    ("test_sasl.py::TestSASLDigestAuthentication::", "SASL is not in this version"),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.java {
        Some(jars) => on_java(&arguments, jars),
        None => on_zoarium(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kazoo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Java's outcomes, as they were when somebody last looked.
fn list() -> PathBuf {
    folder().join("java-3.9.5.txt")
}

fn on_java(arguments: &Arguments, jars: &Path) -> Result<bool> {
    // An error about jars that are not there, rather than hundreds about servers that do not start.
    Install::of_jars(jars)?;
    let suite = Suite::find(&arguments.environment)?;
    let java = Servers::Java(jars.canonicalize()?);
    let mut outcomes = suite.run(&java, &Tests::AllBut(&[]), 1, &arguments.log)?;
    // The same second chance as ours get.
    let failed: Vec<_> = outcomes.with(Outcome::Failed).map(str::to_owned).collect();
    if !failed.is_empty() {
        let failed: Vec<_> = failed.iter().map(String::as_str).collect();
        let log = arguments.log.with_extension("again.log");
        outcomes.0.extend(suite.run(&java, &Tests::Only(&failed), 1, &log)?.0);
    }
    let lines: String = outcomes.lines().map(|line| line + "\n").collect();
    let head =
        "# Kazoo 2.11.0's own tests on Apache ZooKeeper 3.9.5: cargo run -p live --bin kazoo -- --java DIR\n";
    std::fs::write(list(), head.to_owned() + &lines)?;
    println!("Apache ZooKeeper 3.9.5: {outcomes}; see {}", list().display());
    Ok(true)
}

fn on_zoarium(arguments: &Arguments) -> Result<bool> {
    let start = Instant::now();
    let text = std::fs::read_to_string(list()).with_context(|| list().display().to_string())?;
    let java = Outcomes::parse(&text)?;
    let suite = Suite::find(&arguments.environment)?;
    let servers = Servers::Zoarium(zoarium::binary()?.to_owned());
    let excepted = EXCEPTED.map(|(tests, _)| tests);
    let ours = suite.run(&servers, &Tests::AllBut(&excepted), arguments.workers, &arguments.log)?;
    println!("kazoo 2.11.0's own tests, in {:.0} s", start.elapsed().as_secs_f32());
    println!("  Apache ZooKeeper 3.9.5: {java}\n  Zoarium:                {ours}");
    let mut missing = passed_there_alone(&java, &ours);
    for (tests, why) in EXCEPTED {
        let (not_tried, rest) = missing.into_iter().partition::<Vec<_>, _>(|test| test.starts_with(tests));
        missing = rest;
        not_tried.iter().for_each(|test| println!("  not tried: {test}: {why}"));
    }
    let holds = hold_alone(&suite, &servers, &missing, &arguments.log)?;
    // Nothing is asked of these; that they are known is enough.
    for test in java.with(Outcome::Failed) {
        println!("  failed on Java: {test}: {} here", ours.0.get(test).map_or("not run", |had| had.word()));
    }
    Ok(holds)
}

fn passed_there_alone<'a>(java: &'a Outcomes, ours: &Outcomes) -> Vec<&'a str> {
    java.with(Outcome::Passed).filter(|test| ours.0.get(*test) != Some(&Outcome::Passed)).collect()
}

/// Many of the tests give a client a second or two for something, which a busy machine may take. What did not hold beside
/// others gets one more chance by itself, and it is told that it needed it.
fn hold_alone(suite: &Suite, servers: &Servers, missing: &[&str], log: &Path) -> Result<bool> {
    if missing.is_empty() {
        return Ok(true);
    }
    let log = log.with_extension("again.log");
    let again = suite.run(servers, &Tests::Only(missing), 1, &log)?;
    let (held, failed) =
        missing.iter().partition::<Vec<&str>, _>(|test| again.0.get(**test) == Some(&Outcome::Passed));
    held.iter().for_each(|test| println!("held alone, not beside others: {test}"));
    if !failed.is_empty() {
        println!("{}", std::fs::read_to_string(&log)?);
        failed.iter().for_each(|test| println!("passes on Java and not here: {test}"));
    }
    Ok(failed.is_empty())
}
