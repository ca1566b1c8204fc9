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

/// A release of Apache ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Debian's.
    V3_8_0,
    /// The one whose behaviour is copied.
    V3_9_5,
}

/// A release on this machine.
#[derive(Clone, Debug)]
pub struct Install {
    /// Which.
    pub release: Release,
    class_path: String,
}

impl Install {
    /// Debian's packages.
    pub fn debian() -> Result<Self> {
        Ok(Self { release: Release::V3_8_0, class_path: class_path()?.into() })
    }

    /// The jars of 3.9.5 in a directory, where `cargo xtask setup --java-3-9 DIR` puts them.
    pub fn of_jars(dir: &Path) -> Result<Self> {
        let jar = dir.join("zookeeper-3.9.5.jar");
        ensure!(jar.exists(), "{} is missing: cargo xtask setup --java-3-9 {}", jar.display(), dir.display());
        Ok(Self { release: Release::V3_9_5, class_path: format!("{}/*", dir.display()) })
    }
}

/// A server over a zoo.cfg, Debian's unless `ZOOKEEPER_JARS` names a directory with the jars of 3.9.5: this main class of
/// `org.apache.zookeeper.server`, with these options of the JVM.
pub(crate) fn server<O: AsRef<OsStr>>(
    class: &str,
    options: impl IntoIterator<Item = O>,
    config: &Path,
) -> Result<Command> {
    let install = match std::env::var_os("ZOOKEEPER_JARS") {
        Some(dir) => Install::of_jars(Path::new(&dir))?,
        None => Install::debian()?,
    };
    server_of(&install, class, options, config)
}

/// The same of any release.
fn server_of<O: AsRef<OsStr>>(
    install: &Install,
    class: &str,
    options: impl IntoIterator<Item = O>,
    config: &Path,
) -> Result<Command> {
    let mut command = Command::new("java");
    command.args(options).args(["-cp", &install.class_path]);
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
        Self::start_of(&Install::debian()?, dir, lines, options)
    }

    /// The same of any release.
    pub fn start_of(install: &Install, dir: &Path, lines: &str, options: &[&str]) -> Result<Self> {
        let port = port::free()?;
        std::fs::write(dir.join("java.cfg"), zoo_cfg::lines(dir, port) + lines)?;
        let command = server_of(install, "ZooKeeperServerMain", options, &dir.join("java.cfg"))?;
        let mut process = Process::start(command, &dir.join("java.log"))?;
        process.wait_serving(port)?;
        Ok(Self { dir: dir.to_owned(), port, process })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
