//! Zoarium's own server as a process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use crate::port;
use crate::process::Process;

/// The server binary of the profile that this code was built with, built once per test process.
pub fn binary() -> Result<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BINARY.get_or_init(|| build().map_err(|e| format!("{e:#}")));
    built.as_deref().map_err(|e| anyhow::anyhow!("{e}"))
}

fn build() -> Result<PathBuf> {
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--quiet", "-p", "server", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    ensure!(cargo.status()?.success(), "{cargo:?} failed");
    let exe = std::env::current_exe()?;
    let profile = exe
        .ancestors()
        .find(|dir| dir.join("server").is_file())
        .with_context(|| format!("no server binary beside {}", exe.display()))?;
    Ok(profile.join("server"))
}

/// A Zoarium server over one dataDir; it can be killed and started again on the same port.
#[derive(Debug)]
pub struct Zoarium {
    /// Where zoo.cfg, data and log are.
    pub dir: PathBuf,
    /// Client port.
    pub port: u16,
    /// The running process.
    pub process: Process,
}

impl Zoarium {
    /// Starts one over `dir/data` with these further lines of zoo.cfg.
    pub fn start(dir: &Path, lines: &str) -> Result<Self> {
        let port = port::free()?;
        let config = format!(
            "tickTime=500\ndataDir={}/data\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\n{lines}",
            dir.display()
        );
        std::fs::write(dir.join("zoo.cfg"), config)?;
        let process = Self::spawn(dir)?;
        let mut server = Self { dir: dir.to_owned(), port, process };
        server.process.wait_serving(port)?;
        Ok(server)
    }

    /// The process alone, over a zoo.cfg that is already in `dir`; does not wait for anything.
    pub fn spawn(dir: &Path) -> Result<Process> {
        let mut command = Command::new(binary()?);
        command.arg(dir.join("zoo.cfg"));
        Process::start(command, &dir.join("server.log"))
    }

    /// Starts it again on the same port and data.
    pub fn restart(&mut self) -> Result<()> {
        self.process = Self::spawn(&self.dir)?;
        self.process.wait_serving(self.port)
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
