//! The command line: sub-commands, of which `run` need not be named.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::bench::{self, Verdict};
use crate::logging::Logging;
use crate::{check, diff, exit, failover, files, jvm_flags, run};

/// A coordination server that speaks ZooKeeper's protocol and keeps ZooKeeper's files.
#[derive(Debug, Parser)]
#[command(name = "server", version = VERSION, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

/// Also shown by `--version`.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (compatible with Apache ZooKeeper 3.9)");

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves clients; the default.
    Run(Run),
    // Its own words describe it.
    Bench(bench::Args),
    Failover(failover::Args),
    Txnlog(files::TxnlogArgs),
    Snapshot(files::SnapshotArgs),
    Diff(diff::Args),
    Check(check::Args),
}

/// What `run` takes.
#[derive(Debug, Args)]
pub struct Run {
    /// A zoo.cfg; or, as Java takes it, `<clientPort> <dataDir> [tickTime] [maxClientCnxns]`; or nothing: port 2181, data in
    /// ./data.
    #[arg(value_name = "CONFIG", num_args = 0..=4)]
    pub config: Vec<String>,
    /// A property that wins over the configuration: -Dzookeeper.snapCount=1000, -Djute.maxbuffer=4194304. Also taken from
    /// SERVER_JVMFLAGS and JVMFLAGS.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub properties: Vec<String>,
    /// Options of the Java virtual machine are taken and mean nothing here.
    #[arg(short = 'X', hide = true, allow_hyphen_values = true)]
    pub jvm: Vec<String>,
    #[command(flatten)]
    pub logging: Logging,
}

/// Does what the command line says; the process' exit status.
pub fn main() -> ExitCode {
    let Cli { command, run } = Cli::parse();
    ExitCode::from(match command.unwrap_or(Command::Run(run)) {
        Command::Run(run) => run::run(&run, &jvm_flags::from_environment()),
        Command::Bench(args) => measure(&args),
        Command::Failover(args) => outage(&args),
        Command::Txnlog(args) => files::txnlog(&args),
        Command::Snapshot(args) => files::snapshot(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Check(args) => check::run(&args),
    })
}

fn measure(args: &bench::Args) -> u8 {
    match bench::run(args) {
        Ok(Verdict::Clean) => exit::CLEAN,
        Ok(Verdict::Failures) => exit::UNEXPECTED,
        Err(error) => {
            eprintln!("{error:#}");
            exit::UNEXPECTED
        }
    }
}

fn outage(args: &failover::Args) -> u8 {
    match failover::run(args) {
        Ok(true) => exit::CLEAN,
        Ok(false) => exit::UNEXPECTED,
        Err(error) => {
            eprintln!("{error:#}");
            exit::UNEXPECTED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run_of(line: &[&str]) -> Run {
        let Cli { command, run } = Cli::try_parse_from(line).unwrap();
        let Command::Run(run) = command.unwrap_or(Command::Run(run)) else { panic!("another command") };
        run
    }

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_need_not_be_named() {
        for line in [&["server", "zoo.cfg"][..], &["server", "run", "zoo.cfg"]] {
            assert_eq!(run_of(line).config, ["zoo.cfg"]);
        }
        assert!(run_of(&["server"]).config.is_empty());
        assert_eq!(run_of(&["server", "2181", "/data", "2000"]).config, ["2181", "/data", "2000"]);
    }

    #[test]
    fn java_s_options_are_taken_anywhere() {
        let run = run_of(&["server", "-Xmx512m", "-Da=b", "-XX:+UseG1GC", "zoo.cfg", "-Dc=d=e", "-D", "f=g"]);
        assert_eq!(run.config, ["zoo.cfg"]);
        assert_eq!(run.properties, ["a=b", "c=d=e", "f=g"]);
    }

    #[test]
    fn too_many_arguments_are_refused() {
        assert!(Cli::try_parse_from(["server", "1", "2", "3", "4", "5"]).is_err());
    }
}
