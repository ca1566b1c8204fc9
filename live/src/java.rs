//! Apache ZooKeeper as a process: Debian's 3.8.0, the peer that everything is compared with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::port;
use crate::process::Process;
use crate::zoo_cfg;

const JAR: &str = "/usr/share/java/zookeeper.jar";

/// The class path of Debian's `zookeeper` and `libzookeeper-java` packages.
pub fn class_path() -> Result<&'static str> {
    ensure!(
        Path::new(JAR).exists(),
        "{JAR} is missing: apt-get install zookeeper libzookeeper-java (cargo xtask setup does it)"
    );
    Ok("/etc/zookeeper/conf_example:/usr/share/java/zookeeper.jar")
}

/// Apache's server over a zoo.cfg: this main class of `org.apache.zookeeper.server`, with these options of the JVM.
pub(crate) fn server<O: AsRef<OsStr>>(
    class: &str,
    options: impl IntoIterator<Item = O>,
    config: &Path,
) -> Result<Command> {
    let mut command = Command::new("java");
    command.args(options).args(["-cp", class_path()?]);
    command.args(["-Dzookeeper.log.dir=/tmp", "-Dlog4j.rootLogger=INFO,CONSOLE"]);
    command.arg(format!("org.apache.zookeeper.server.{class}")).arg(config);
    Ok(command)
}

/// An Apache ZooKeeper server, standalone.
#[derive(Debug)]
pub struct Java {
    /// Where zoo.cfg, data and log are.
    pub dir: PathBuf,
    /// Client port.
    pub port: u16,
    /// The running process.
    pub process: Process,
}

impl Java {
    /// Starts one over `dir/data` with these further lines of zoo.cfg.
    pub fn start(dir: &Path, lines: &str) -> Result<Self> {
        Self::start_with(dir, lines, &["-Xmx512m"])
    }

    /// The same with these options of the JVM.
    pub fn start_with(dir: &Path, lines: &str, options: &[&str]) -> Result<Self> {
        let port = port::free()?;
        std::fs::write(dir.join("java.cfg"), zoo_cfg::lines(dir, port) + lines)?;
        let command = server("ZooKeeperServerMain", options, &dir.join("java.cfg"))?;
        let mut process = Process::start(command, &dir.join("java.log"))?;
        process.wait_serving(port)?;
        Ok(Self { dir: dir.to_owned(), port, process })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
