//! Where figures were taken: without it they mean nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::step::root;

/// The machine and the programs of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory_gib: u64,
    pub(super) kernel: String,
    /// Type and device of the file system that the data directories are on.
    pub(super) file_system: String,
    /// Zoarium's commit, with `-dirty` if the work tree had changes.
    pub(super) commit: String,
    pub(super) java: String,
    pub(super) zookeeper: String,
}

impl Machine {
    /// This one; the data will be below `dir`.
    pub(super) fn this(dir: &Path) -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let kib: u64 = first_word(meminfo.strip_prefix("MemTotal:").unwrap_or(""))?.parse()?;
        Ok(Self {
            cpu: cpu.map_or("unknown", |(_, name)| name).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: kib.div_ceil(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system: file_system(&fs::read_to_string("/proc/self/mounts")?, dir)?,
            commit: output(&["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])?,
            java: first_line(&output(&["java", "--version"])?),
            zookeeper: output(&["dpkg-query", "-f", "${Package} ${Version}", "-W", "libzookeeper-java"])?,
        })
    }
}

fn first_word(text: &str) -> Result<&str> {
    text.split_ascii_whitespace().next().with_context(|| format!("no word in {text:?}"))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("").to_owned()
}

fn output(line: &[&str]) -> Result<String> {
    let output = Command::new(line[0])
        .args(&line[1..])
        .current_dir(root())
        .output()
        .with_context(|| format!("cannot run {}", line[0]))?;
    ensure!(output.status.success(), "{} ended with {}", line.join(" "), output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// `type on device` of the mount that holds a directory: the longest mount point above it.
fn file_system(mounts: &str, dir: &Path) -> Result<String> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<&str>>());
    let holding = fields.filter(|f| f.len() > 2 && dir.starts_with(f[1])).max_by_key(|f| f[1].len());
    let mount = holding.with_context(|| format!("no mount holds {}", dir.display()))?;
    Ok(format!("{} on {}", mount[2], mount[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_holds_the_directory() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /work tmpfs rw 0 0\n/dev/b /work/data xfs rw 0 0\n";
        let found = |dir: &str| file_system(mounts, Path::new(dir)).expect("a mount");
        assert_eq!(found("/work/data/zk"), "xfs on /dev/b");
        assert_eq!(found("/work/database"), "tmpfs on tmpfs");
        assert_eq!(found("/tmp"), "ext4 on /dev/a");
    }
}
