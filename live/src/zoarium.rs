//! Zoarium's own server as a process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use crate::port;
use crate::process::Process;
use crate::zoo_cfg;

/// A profile that cargo builds with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The one that this code was built with.
    Same,
    /// Optimised, whatever this code was built with.
    Release,
}

/// The server binary of the profile that this code was built with, built once per test process.
pub fn binary() -> Result<&'static Path> {
    binary_of(Profile::Same)
}

/// The server binary of a profile, built once per process.
pub fn binary_of(profile: Profile) -> Result<&'static Path> {
    static BINARIES: [OnceLock<Result<PathBuf, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let built = BINARIES[profile as usize].get_or_init(|| build(profile).map_err(|e| format!("{e:#}")));
    built.as_deref().map_err(|e| anyhow::anyhow!("{e}"))
}

fn build(profile: Profile) -> Result<PathBuf> {
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--quiet", "-p", "server", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    let below = match profile {
        Profile::Same if cfg!(debug_assertions) => "server",
        Profile::Same => {
            cargo.arg("--release");
            "server"
        }
        Profile::Release => {
            cargo.arg("--release");
            "release/server"
        }
    };
    ensure!(cargo.status()?.success(), "{cargo:?} failed");
    let exe = std::env::current_exe()?;
    exe.ancestors()
        .map(|dir| dir.join(below))
        .find(|binary| binary.is_file())
        .with_context(|| format!("no {below} beside or above {}", exe.display()))
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
    profile: Profile,
}

impl Zoarium {
    /// Starts one over `dir/data` with these further lines of zoo.cfg.
    pub fn start(dir: &Path, lines: &str) -> Result<Self> {
        Self::start_as(Profile::Same, dir, lines)
    }

    /// The same with the binary of a profile.
    pub fn start_as(profile: Profile, dir: &Path, lines: &str) -> Result<Self> {
        let port = port::free()?;
        std::fs::write(dir.join("zoo.cfg"), zoo_cfg::lines(dir, port) + lines)?;
        let process = spawn(profile, dir)?;
        let mut server = Self { dir: dir.to_owned(), port, process, profile };
        server.process.wait_serving(port)?;
        Ok(server)
    }

    /// The process alone, over a zoo.cfg that is already in `dir`; does not wait for anything.
    pub fn spawn(dir: &Path) -> Result<Process> {
        spawn(Profile::Same, dir)
    }

    /// Starts it again on the same port and data.
    pub fn restart(&mut self) -> Result<()> {
        self.process = spawn(self.profile, &self.dir)?;
        self.process.wait_serving(self.port)
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn spawn(profile: Profile, dir: &Path) -> Result<Process> {
    let mut command = Command::new(binary_of(profile)?);
    command.arg(dir.join("zoo.cfg"));
    Process::start(command, &dir.join("server.log"))
}
