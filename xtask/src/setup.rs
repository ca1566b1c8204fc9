//! What the tests need beyond Rust: real ZooKeeper clients and servers from Debian, and cargo-deny.

use anyhow::Result;

use crate::step::{run, works};

/// Debian packages, each with a command that works once it is installed.
const PACKAGES: [(&str, &[&str]); 5] = [
    ("default-jdk-headless", &["javac", "-version"]),
    ("libzookeeper-java", &["test", "-e", "/usr/share/java/zookeeper.jar"]),
    ("zookeeper", &["test", "-e", "/usr/share/zookeeper/bin/zkCli.sh"]),
    ("zookeeper-bin", &["test", "-x", "/usr/lib/zookeeper/bin/cli_mt"]),
    ("python3-kazoo", &["/usr/bin/python3", "-c", "import kazoo"]),
];

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
    Ok(())
}
