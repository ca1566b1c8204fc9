//! One step of a run: its name, its command, its time.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs a command line at the root, its output passed through; fails if it fails.
pub(crate) fn run(name: &str, line: &[&str]) -> Result<()> {
    println!("\n=== {name}: {}", line.join(" "));
    let start = Instant::now();
    let status = Command::new(line[0])
        .args(&line[1..])
        .current_dir(root())
        .status()
        .with_context(|| format!("{name}: cannot run {}", line[0]))?;
    ensure!(status.success(), "{name}: {} ended with {status}", line.join(" "));
    println!("=== {name}: {:.1} s", start.elapsed().as_secs_f32());
    Ok(())
}

/// True if the command exists and ends well; its output is thrown away.
pub(crate) fn works(line: &[&str]) -> bool {
    Command::new(line[0]).args(&line[1..]).output().is_ok_and(|out| out.status.success())
}
