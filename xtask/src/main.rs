//! Developer commands. `cargo xtask ci` does everything that CI does, on a fresh Debian machine too.

mod ci;
mod faceoff;
mod fresh;
mod museum;
mod setup;
mod step;
mod tidy;

use std::process::ExitCode;

use clap::Parser;

/// Zoarium's developer commands.
#[derive(Parser)]
#[command(name = "cargo xtask", about)]
enum Command {
    /// Everything that CI does: set-up, format, lints, licences, tests, simulation, fuzzing, real clients.
    Ci,
    /// Installs what the tests need (Debian packages, kazoo's own tests, cargo-deny).
    Setup(setup::Args),
    /// The house rules that no compiler knows: file lengths, forbidden words, sleeping tests.
    Tidy,
    Faceoff(faceoff::Args),
    Museum(museum::Arguments),
    /// Writes the tables of docs/compatibility.md anew, from those in the code. (A test of `server` compares them.)
    Compatibility,
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Ci => ci::everything(),
        Command::Setup(args) => setup::setup(&args),
        Command::Tidy => tidy::check(),
        Command::Faceoff(args) => faceoff::run(&args),
        Command::Museum(arguments) => museum::open(&arguments),
        Command::Compatibility => step::run(
            "compatibility",
            &[
                "cargo",
                "run",
                "-q",
                "-p",
                "server",
                "--example",
                "compatibility",
                "--",
                "docs/compatibility.md",
            ],
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What the step printed tells more than where in this program the step was called.
            eprintln!("\n=== failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
