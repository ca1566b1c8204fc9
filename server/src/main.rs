//! The command line: one binary, a sub-command for each thing that it does.

use std::process::ExitCode;

use clap::Parser;
use zk_server::bench::{self, Verdict};
use zk_server::exit;

/// A ZooKeeper-compatible server.
#[derive(Parser)]
#[command(name = "server", version)]
enum Command {
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let Command::Bench(args) = Command::parse();
    match bench::run(&args) {
        Ok(Verdict::Clean) => exit::CLEAN.into(),
        Ok(Verdict::Failures) => exit::UNEXPECTED.into(),
        Err(error) => {
            eprintln!("{error:#}");
            exit::UNEXPECTED.into()
        }
    }
}
