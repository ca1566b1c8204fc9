//! What our tools print of log files and snapshots is what Java's print of the same files: those of the fixtures, and ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use live::client::{java, python, run};
use live::java::class_path;
use live::process::Process;
use live::zoarium::{Zoarium, binary};

/// Every log and snapshot below a directory, sorted.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if name.starts_with("log.") || name.starts_with("snapshot.") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Java keeps children and sessions in hash tables, and they come in that order.
fn in_order(said: &str) -> Vec<&str> {
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    lines
}

/// The two languages do not agree on how many replacement characters stand for malformed UTF-8.
fn legible(said: &str) -> String {
    said.split(char::REPLACEMENT_CHARACTER).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("?")
}

/// Our tool's words about a file, and nothing else on its output.
fn ours(args: &[&str], file: &Path) -> Result<String> {
    let output = Command::new(binary()?).args(args).arg(file).output()?;
    ensure!(output.status.success(), "{args:?} {}: {output:?}", file.display());
    Ok(String::from_utf8(output.stdout)?)
}

/// Compares the dumps of all files; how many.
fn dumps_are_alike(files: &[PathBuf]) -> Result<usize> {
    let names: Vec<_> = files.iter().map(|file| file.to_str().context("UTF-8")).collect::<Result<_>>()?;
    let mut javas = java("JavaFiles", &names)?;
    javas.env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
    let javas = run(javas, "")?;
    let mut compared = 0;
    for (at, file) in files.iter().enumerate() {
        let begins = format!("=== {}\n", file.display());
        let (_, rest) = javas.split_once(&begins).with_context(|| format!("Java on {}", file.display()))?;
        let next = names.get(at + 1).map(|next| format!("=== {next}\n"));
        let javas = next.and_then(|next| rest.split_once(&next)).map_or(rest, |(said, _)| said);
        let is_log = names[at].contains("/log.");
        let ours = ours(if is_log { &["txnlog", "dump"] } else { &["snapshot", "dump", "-d"] }, file)?;
        if is_log {
            ensure!(
                legible(javas).starts_with(&legible(&ours)),
                "{}\n--- Java\n{javas}\n--- ours\n{ours}",
                file.display()
            );
        } else {
            // The last snapshot is followed by what the JVM complains of.
            let javas = javas.split_once("SLF4J").map_or(javas, |(said, _)| said);
            let alike = in_order(javas) == in_order(&ours);
            ensure!(alike, "{}\n--- Java\n{javas}\n--- ours\n{ours}", file.display());
        }
        compared += 1;
    }
    Ok(compared)
}

#[test]
fn dumps_of_the_fixtures_are_java_s() -> Result<()> {
    let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/golden/data"));
    let compared = dumps_are_alike(&files_below(golden)?)?;
    ensure!(compared > 50, "only {compared} files");
    Ok(())
}

#[test]
fn dumps_of_what_our_server_wrote_are_java_s() -> Result<()> {
    for method in ["", "gz", "snappy"] {
        let dir = tempfile::tempdir()?;
        let lines = format!("snapCount=60\npreAllocSize=64\nsnapshot.compression.method={method}");
        let mut server = Zoarium::start(dir.path(), &lines)?;
        run(python("kazoo_history.py", &[&server.address(), "1"]), "")?;
        stop(&mut server.process)?;
        let compared = dumps_are_alike(&files_below(&dir.path().join("data/version-2"))?)?;
        ensure!(compared >= 6, "only {compared} files");
    }
    Ok(())
}

fn stop(process: &mut Process) -> Result<()> {
    ensure!(process.terminate()?.success(), "{}", process.output());
    Ok(())
}

#[test]
fn comparing_snapshots_says_what_java_says() -> Result<()> {
    let dir = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../core/tests/golden/data/3.8.0/data-ensemble-plain/data/version-2"
    ));
    let told = |said: String| {
        said.lines().filter(|line| !line.ends_with("seconds")).map(str::to_owned).collect::<Vec<_>>()
    };
    for (left, right, bytes) in
        [("snapshot.10000001c", "snapshot.100000039", "2"), ("snapshot.200000018", "snapshot.0", "40")]
    {
        let (left, right) = (dir.join(left), dir.join(right));
        let mut javas = Command::new("java");
        javas.args(["-cp", class_path()?, "org.apache.zookeeper.server.SnapshotComparer", "-l"]);
        javas.arg(&left).arg("-r").arg(&right).args(["-b", bytes, "-n", "1"]);
        let javas = String::from_utf8(javas.output()?.stdout)?;
        let left = left.to_str().context("UTF-8")?;
        let ours = ours(&["snapshot", "compare", "-l", left, "-b", bytes, "-n", "1", "-r"], &right)?;
        ensure!(told(ours.clone()) == told(javas.clone()), "--- Java\n{javas}\n--- ours\n{ours}");
    }
    Ok(())
}
