//! Seeds that nobody has run before, though the same whenever a commit is judged.
//!
//! A search that begins with the clock tells a different story of the same commit every time: whoever changes a word in the
//! README is stopped by a bug that was there all along, and cannot see it again without the log. So the first seed comes from the
//! sources: every change of them is judged by seeds of its own, and a verdict can be repeated. Seeds without end are
//! for `fuzz` by hand.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::step::root;
use crate::tidy::rust_files;

/// A first seed from everything that a search runs through: the same for the same sources.
pub(crate) fn first_seed() -> Result<u64> {
    let mut files: Vec<PathBuf> = Vec::new();
    for package in ["core", "sim", "fuzz"] {
        rust_files(&root().join(package).join("src"), &mut files)?;
    }
    ensure!(files.len() > 50, "only {} source files: wrong directory?", files.len());
    let mut contents = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    contents.sort_unstable();
    let mut hasher = DefaultHasher::new();
    contents.iter().for_each(|content| hasher.write(content));
    // Room for as many seeds as anybody runs, and numbers that are no burden to read.
    Ok(hasher.finish() >> 24)
}
