//! `cargo xtask museum`: bugs that other servers had, planted one at a time, and what found them.

use anyhow::Result;
use clap::Args;

use crate::step::run;

/// Plants the bugs of the museum one at a time, and looks for each (docs/museum.md).
#[derive(Args)]
pub(crate) struct Arguments {
    /// Rows, as P08; all of them if none is given.
    rows: Vec<String>,
    /// Seconds per row.
    #[arg(long, default_value = "300")]
    budget: String,
    /// Drafts that are run with nothing planted.
    #[arg(long, default_value = "2000")]
    control: String,
    /// Writes the table into docs/museum.md.
    #[arg(long)]
    write: bool,
}

/// Rows that are found within seconds by one searcher each: that CI runs them shows that the museum is open.
const SMOKE: [&str; 4] = ["P05", "P25", "P28", "P32"];

/// Runs it.
pub(crate) fn open(arguments: &Arguments) -> Result<()> {
    let Arguments { rows, budget, control, write } = arguments;
    let mut line = vec!["cargo", "run", "-q", "-p", "fuzz", "--features", "museum", "--bin", "museum", "--"];
    line.extend(["--budget", budget, "--control", control]);
    if *write {
        line.extend(["--write", "docs/museum.md"]);
    }
    line.extend(rows.iter().map(String::as_str));
    run("museum", &line)
}

/// A few rows.
pub(crate) fn smoke() -> Result<()> {
    let rows = SMOKE.map(str::to_owned).to_vec();
    open(&Arguments { rows, budget: "60".to_owned(), control: "50".to_owned(), write: false })
}
