//! What the tests need beyond Rust: real ZooKeeper clients and servers from Debian, kazoo's own tests, and cargo-deny.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::step::{root, run, works};

/// Debian packages, each with a command that works once it is installed.
const PACKAGES: [(&str, &[&str]); 9] = [
    ("default-jdk-headless", &["javac", "-version"]),
    ("libzookeeper-java", &["test", "-e", "/usr/share/java/zookeeper.jar"]),
    ("zookeeper", &["test", "-e", "/usr/share/zookeeper/bin/zkCli.sh"]),
    ("zookeeper-bin", &["test", "-x", "/usr/lib/zookeeper/bin/cli_mt"]),
    ("libcurator-recipes-java", &["test", "-e", "/usr/share/java/curator-recipes.jar"]),
    ("libcurator-discovery-java", &["test", "-e", "/usr/share/java/curator-x-discovery.jar"]),
    ("python3-kazoo", &["/usr/bin/python3", "-c", "import kazoo"]),
    ("python3-venv", &["/usr/bin/python3", "-c", "import ensurepip"]),
    // Some of what kazoo's tests use is compiled when it is installed.
    ("python3-dev", &["/usr/bin/python3-config", "--includes"]),
];

/// Of what `setup` does.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also puts the jars of Apache ZooKeeper 3.9.5 into this directory: a download of 456 MB. Live tests take them for Java's
    /// server if `ZOOKEEPER_JARS` names the directory, `differ` with `--jars`.
    #[arg(long, value_name = "DIR")]
    java_3_9: Option<PathBuf>,
}

/// Apache publishes no package that pip or apt could install; this one carries the jars in its source distribution.
const CARRIER: (&str, &str) = ("pyspark==4.3.0", "pyspark-4.3.0.tar.gz");

/// What 3.9.5 needs of what is carried.
const JARS: [&str; 12] = [
    "zookeeper-*",
    "slf4j-api-*",
    "log4j-*",
    "metrics-core-*",
    "snappy-java-*",
    "netty-*",
    "commons-io-*",
    "commons-cli-*",
    "jackson-*",
    "audience-annotations-*",
    "jline-2*",
    "curator-*",
];

pub(crate) fn setup(args: &Args) -> Result<()> {
    install_missing()?;
    args.java_3_9.as_deref().map_or(Ok(()), jars_of_java_3_9)
}

fn jars_of_java_3_9(dir: &Path) -> Result<()> {
    if dir.join("zookeeper-3.9.5.jar").exists() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    let (into, (package, file)) = (dir.to_str().context("the directory's name is UTF-8")?, CARRIER);
    let pip =
        ["python3", "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", into, package];
    run("jars of 3.9.5", &pip)?;
    let archive = dir.join(file);
    let patterns = JARS.map(|jar| format!("*/deps/jars/{jar}.jar"));
    let mut tar = vec![
        "tar",
        "-xzf",
        archive.to_str().context("UTF-8")?,
        "-C",
        into,
        "--strip-components=3",
        "--wildcards",
    ];
    tar.extend(patterns.iter().map(String::as_str));
    run("jars of 3.9.5", &tar)?;
    Ok(fs::remove_file(archive)?)
}

/// Installs what is missing; does nothing on a machine that has it all.
pub(crate) fn install_missing() -> Result<()> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, probe)| !works(probe)).map(|(package, _)| *package).collect();
    if !missing.is_empty() {
        run("setup", &["apt-get", "update", "-q"])?;
        let mut line = vec!["apt-get", "install", "-q", "-y", "--no-install-recommends"];
        line.extend(missing);
        run("setup", &line)?;
    }
    if !works(&["cargo", "deny", "--version"]) {
        // A debug build of it takes a third of the time and checks the same.
        run("setup", &["cargo", "install", "--quiet", "--locked", "--debug", "cargo-deny"])?;
    }
    install_kazoo()
}

/// Kazoo's own tests and what they need, in a virtual environment: `target/kazoo`.
fn install_kazoo() -> Result<()> {
    let (list, installed) =
        (root().join("live/kazoo/requirements.txt"), root().join("target/kazoo/requirements.txt"));
    let wanted = fs::read(&list)?;
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    run("setup", &["/usr/bin/python3", "-m", "venv", "--clear", "target/kazoo"])?;
    run(
        "setup",
        &["target/kazoo/bin/pip", "install", "-q", "--no-input", "-r", "live/kazoo/requirements.txt"],
    )?;
    Ok(fs::write(installed, wanted)?)
}
