//! `cargo xtask compatibility`: writes the tables of the file that is named anew.

use std::{env, fs};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let file = env::args().nth(1).context("which file?")?;
    let text = fs::read_to_string(&file).with_context(|| file.clone())?;
    let text =
        zk_server::compatibility::renew(&text).with_context(|| format!("{file} has no place for tables"))?;
    fs::write(&file, text).with_context(|| file.clone())
}
