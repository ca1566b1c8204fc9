//! Conversations as text: a file is a list of blocks, each of commands, `----`, and what came of them. Lines that begin
//! with `#` are prose. `UPDATE=1` writes what comes of them now, and the diff is the review; `ONLY=word` plays the files
//! with that word in their path.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

/// Plays every text of `tests/<folder>`, of which there are at least so many. `scene` begins a file; what it returns carries
/// out one command and says what came of it.
pub(crate) fn play<F: FnMut(&str) -> String>(folder: &str, at_least: usize, mut scene: impl FnMut() -> F) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(files.len() >= at_least, "the conversations are in {}", dir.display());
    if let Ok(only) = env::var("ONLY") {
        files.retain(|file| file.to_str().unwrap().contains(&only));
    }
    let mut differ = vec![];
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let found = rewrite(&written, scene());
        if env::var_os("UPDATE").is_some() {
            fs::write(&file, &found).unwrap();
        } else if written != found {
            let line = written.lines().zip(found.lines()).take_while(|(a, b)| a == b).count();
            let found = found.lines().nth(line).unwrap_or("the end");
            let written = written.lines().nth(line).unwrap_or("the end");
            differ.push(format!("{}:{}: found {found:?}, written {written:?}", file.display(), line + 1));
        }
    }
    assert!(differ.is_empty(), "{}\nreview with UPDATE=1 and a diff", differ.join("\n"));
}

/// The file with the outputs of now.
fn rewrite(written: &str, run: impl FnMut(&str) -> String) -> String {
    let (mut run, mut out) = (run, String::new());
    for block in written.split("\n\n") {
        let lines: Vec<_> = block.trim().lines().take_while(|line| *line != "----").collect();
        for line in &lines {
            writeln!(out, "{line}").unwrap();
        }
        let commands: Vec<_> = lines.into_iter().filter(|line| !line.starts_with('#')).collect();
        if !commands.is_empty() {
            let said: String = commands.into_iter().map(&mut run).collect();
            write!(out, "----\n{said}").unwrap();
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}
