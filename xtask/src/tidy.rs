//! The house rules that no compiler knows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::step::root;

/// Lines after which a file has a second noun in it.
const LINES_MAX: usize = 800;

/// Words that stand for work not done.
const LEFTOVERS: [&str; 5] = ["todo!(", "unimplemented!(", "FIXME", "XXX", "#[ignore"];

pub(crate) fn check() -> Result<()> {
    println!("\n=== tidy");
    let mut faults = Vec::new();
    let mut files = Vec::new();
    for package in ["core", "sim", "net", "server", "fuzz", "live", "xtask"] {
        rust_files(&root().join(package), &mut files)?;
    }
    ensure!(files.len() > 50, "tidy looked at only {} files: wrong directory?", files.len());
    for file in &files {
        let text = fs::read_to_string(file)?;
        let name = file.strip_prefix(root()).unwrap_or(file).display().to_string();
        if text.lines().count() > LINES_MAX {
            faults.push(format!("{name}: {} lines, {LINES_MAX} at most", text.lines().count()));
        }
        let judged = !name.ends_with("xtask/src/tidy.rs");
        for (number, line) in text.lines().enumerate().filter(|_| judged) {
            if let Some(word) = LEFTOVERS.iter().find(|word| line.contains(**word)) {
                faults.push(format!("{name}:{}: {word}", number + 1));
            }
            // `live` polls real processes in one place; nobody else may wait for time.
            let sleeps = line.contains("thread::sleep(") || line.contains("time::sleep(");
            if sleeps && name.contains("/tests/") && !name.contains("live/") {
                faults.push(format!("{name}:{}: a test that waits for time", number + 1));
            }
        }
    }
    for package in ["net", "server", "live"] {
        let manifest = root().join(package).join("Cargo.toml");
        if fs::read_to_string(&manifest)?.contains("museum") {
            faults.push(format!("{package}/Cargo.toml: nothing that is shipped knows the museum"));
        }
    }
    let page = "ARCHITECTURE.md";
    let text = fs::read_to_string(root().join(page))?;
    let missing = named_files(&text).filter(|name| !root().join(name).is_file());
    faults.extend(missing.map(|name| format!("{page}: there is no {name}")));
    ensure!(faults.is_empty(), "tidy:\n{}", faults.join("\n"));
    println!("=== tidy: {} files", files.len());
    Ok(())
}

/// Source files that a page names with their whole path.
fn named_files(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2).filter(|name| name.contains("/src/") && name.ends_with(".rs"))
}

/// All Rust files below a directory.
pub(crate) fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_whole_path() {
        let page = "see `net/src/gate.rs` (`seat.rs`), `core/src/front`, and `core/src/tree/mod.rs`.";
        assert!(named_files(page).eq(["net/src/gate.rs", "core/src/tree/mod.rs"]));
    }
}
