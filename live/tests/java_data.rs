//! One dataDir under both servers: what one wrote, the other serves, and back again.

use std::path::Path;

use anyhow::{Result, ensure};
use live::client::{java, python, run};
use live::java::Java;
use live::process::four_letter;
use live::zoarium::Zoarium;

/// The tree as Java's client reads it, and the digest-relevant zxid.
fn tree(address: &str) -> Result<String> {
    let out = run(java("TreeDump", &[address])?, "")?;
    Ok(out.lines().filter(|line| line.starts_with("TREE ")).collect::<Vec<_>>().join("\n"))
}

fn work(address: &str, round: usize) -> Result<()> {
    run(python("kazoo_history.py", &[address, &round.to_string()]), "").map(drop)
}

fn no_digest_mismatch(port: u16) -> Result<()> {
    let mntr = four_letter(port, "mntr")?;
    let mismatches = mntr.lines().find_map(|l| l.strip_prefix("zk_digest_mismatches_count\t"));
    ensure!(mismatches == Some("0"), "digest mismatches: {mismatches:?}");
    Ok(())
}

fn there_and_back(dir: &Path, lines: &str) -> Result<()> {
    let mut ours = Zoarium::start(dir, lines)?;
    work(&ours.address(), 1)?;
    let written = tree(&ours.address())?;
    ensure!(written.lines().count() > 100, "the history made too little:\n{written}");
    ours.process.kill_nine()?;

    let mut theirs = Java::start(dir, lines)?;
    let served = tree(&theirs.address())?;
    ensure!(
        served == written,
        "Java serves another tree than we wrote:\n--- ours\n{written}\n--- Java\n{served}"
    );
    no_digest_mismatch(theirs.port)?;
    work(&theirs.address(), 2)?;
    let written = tree(&theirs.address())?;
    theirs.process.kill_nine()?;

    let mut ours = Zoarium::start(dir, lines)?;
    let served = tree(&ours.address())?;
    ensure!(
        served == written,
        "we serve another tree than Java wrote:\n--- Java\n{written}\n--- ours\n{served}"
    );
    no_digest_mismatch(ours.port)?;
    work(&ours.address(), 3)?;
    let written = tree(&ours.address())?;
    ensure!(ours.process.terminate()?.success(), "a clean stop:\n{}", ours.process.output());

    let theirs = Java::start(dir, lines)?;
    let served = tree(&theirs.address())?;
    ensure!(
        served == written,
        "Java serves another tree after our clean stop:\n--- ours\n{written}\n--- Java\n{served}"
    );
    no_digest_mismatch(theirs.port)
}

#[test]
fn java_serves_our_data_and_we_serve_java_s() -> Result<()> {
    let dir = tempfile::tempdir()?;
    there_and_back(dir.path(), "snapCount=60\npreAllocSize=64\nmaxSessionTimeout=600000")
}

#[test]
fn java_serves_our_data_with_compressed_snapshots() -> Result<()> {
    for method in ["gz", "snappy"] {
        let dir = tempfile::tempdir()?;
        there_and_back(
            dir.path(),
            &format!(
                "snapCount=60\npreAllocSize=64\nmaxSessionTimeout=600000\nsnapshot.compression.method={method}"
            ),
        )?;
    }
    Ok(())
}
