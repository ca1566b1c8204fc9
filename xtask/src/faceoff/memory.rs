//! What a znode costs in resident memory: a server with a million of them, less the same server without.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::contestant::{Contestant, Running};

/// Room for a million znodes and for the garbage of making them; the heap starts small, so that an empty server is.
pub(super) const JVM: &[&str] = &["-Xmx2g"];
/// Names of 15 bytes, in directories of a thousand.
const LOAD: &[&str] = &["--op", "create", "--outstanding", "64", "--warm-up", "0", "--size", "100", "--keep"];
const FAN_OUT: u64 = 1000;
/// Allocators and collectors give memory back late: the lowest of what is seen for so long counts.
const SETTLING: Duration = Duration::from_secs(15);

/// Bytes of resident memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) server: Contestant,
    pub(super) znodes: u64,
    pub(super) empty_bytes: u64,
    pub(super) full_bytes: u64,
    /// Java: bytes of live objects in the heap before and after, whatever the heap's own size.
    pub(super) live_heap_bytes: Option<(u64, u64)>,
}

impl Memory {
    /// Growth per znode, bytes.
    pub(super) fn per_znode(&self) -> f64 {
        self.full_bytes.saturating_sub(self.empty_bytes) as f64 / self.znodes as f64
    }

    /// Growth of live objects per znode, bytes.
    pub(super) fn live_heap_per_znode(&self) -> Option<f64> {
        let (empty, full) = self.live_heap_bytes?;
        Some(full.saturating_sub(empty) as f64 / self.znodes as f64)
    }
}

/// Fills a fresh server with this many znodes and looks at it before and after.
pub(super) fn measure(server: Contestant, dir: &Path, znodes: u64) -> Result<Memory> {
    let running = server.start(dir, JVM)?;
    let (empty_bytes, heap_before) = settled(&running)?;
    let paths = znodes.div_ceil(FAN_OUT).to_string();
    let count = znodes.to_string();
    let mut load = LOAD.to_vec();
    load.extend(["--count", &count, "--paths", &paths]);
    running.bench(&load)?;
    let (full_bytes, heap_after) = settled(&running)?;
    running.stop()?;
    Ok(Memory { server, znodes, empty_bytes, full_bytes, live_heap_bytes: heap_before.zip(heap_after) })
}

/// Resident bytes at rest, and Java's live heap. Java is made to collect first: garbage is not what a znode costs.
fn settled(running: &Running) -> Result<(u64, Option<u64>)> {
    let pid = *running.pids().first().context("a server alone has a process")?;
    let heap = match running {
        Running::Java(_) => {
            jcmd(pid, "GC.run")?;
            Some(live_heap(&jcmd(pid, "GC.heap_info")?)?)
        }
        Running::Zoarium(_) | Running::Ensemble(_) => None,
    };
    let start = Instant::now();
    let mut lowest = u64::MAX;
    while start.elapsed() < SETTLING {
        lowest = lowest.min(resident(pid)?);
        std::thread::sleep(Duration::from_millis(250));
    }
    Ok((lowest, heap))
}

fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_ascii_whitespace().next().context("VmRSS has no value")?.parse()?;
    Ok(kib * 1024)
}

fn jcmd(pid: u32, command: &str) -> Result<String> {
    let output = Command::new("jcmd")
        .args([&pid.to_string(), command])
        .output()
        .context("jcmd is missing: apt-get install default-jdk-headless")?;
    ensure!(output.status.success(), "jcmd {command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// `… heap   total 1024K, used 512K [...`
fn live_heap(info: &str) -> Result<u64> {
    let used = info.lines().find(|line| line.contains(" heap ")).and_then(|line| {
        let (_, rest) = line.split_once("used ")?;
        rest.split_once('K')?.0.parse::<u64>().ok()
    });
    Ok(used.with_context(|| format!("no heap in {info:?}"))? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_full_less_empty() {
        let memory = Memory {
            server: Contestant::Java,
            znodes: 1000,
            empty_bytes: 5_000,
            full_bytes: 705_000,
            live_heap_bytes: Some((1_000, 601_000)),
        };
        assert_eq!((memory.per_znode(), memory.live_heap_per_znode()), (700.0, Some(600.0)));
    }

    #[test]
    fn the_collector_s_words_hold_the_live_heap() {
        let info = "8:\n garbage-first heap   total 63488K, used 10240K [0x0, 0x1)\n  region size 1024K\n \
                    Metaspace       used 9000K, committed 9500K\n";
        assert_eq!(live_heap(info).expect("a heap"), 10240 * 1024);
        let serial = "8:\n def new generation   total 1K, used 1K\n";
        assert!(live_heap(serial).is_err());
    }
}
