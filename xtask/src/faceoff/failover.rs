//! How long an ensemble acknowledges nothing after its leader was killed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use live::zoarium::{Profile, binary_of};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::JVM;
use super::contestant::Contestant;

/// Kills of each ensemble.
const KILLS: u32 = 3;
/// Writing before a kill, so that what is measured is a service at work.
const BEFORE: Duration = Duration::from_secs(3);
/// How long writers write; longer than any failover.
const SECONDS: &str = "12";

/// One kill.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Failover {
    pub(super) round: u32,
    pub(super) server: Contestant,
    /// From the kill to the first write acknowledged after the silence that it began.
    pub(super) ms: f64,
    /// Writes that nobody answered.
    pub(super) in_doubt: u64,
}

/// Kills the leader of a fresh ensemble under writers, several times.
pub(super) fn measure(server: Contestant, round: u32, voters: u32, dir: &Path) -> Result<Vec<Failover>> {
    let mut ensemble = server.ensemble(voters, dir, JVM)?;
    let mut all = Vec::new();
    for _ in 0..KILLS {
        let leader = ensemble.wait_serving()?;
        let mut command = Command::new(binary_of(Profile::Release)?);
        command.args(["failover", &ensemble.addresses(), "--json", "--duration", SECONDS]);
        let writers = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("the writers")?;
        sleep(BEFORE);
        let killed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3;
        ensemble.kill_nine(leader)?;
        let output = writers.wait_with_output()?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} ended with {}:\n{complaints}", output.status);
        let report: Value = serde_json::from_slice(&output.stdout).context("the writers' report")?;
        let failover = Failover {
            round,
            server,
            ms: first_write(&report, killed).context("no silence is around the kill")? - killed,
            in_doubt: report["in_doubt"].as_u64().context("in_doubt")?,
        };
        println!("round {round}, {server}: first write {:.0} ms after the leader was killed", failover.ms);
        all.push(failover);
        ensemble.launch(leader)?;
    }
    ensemble.wait_serving()?;
    ensemble.stop()?;
    Ok(all)
}

/// When the longest silence ended of those that the kill fell into, or that began just after it.
fn first_write(report: &Value, killed: f64) -> Option<f64> {
    // What was on its way to the clients when the leader died may still arrive.
    const ON_ITS_WAY_MS: f64 = 100.0;
    report["silences"].as_array()?.iter().find_map(|silence| {
        let (from, to) = (silence["from_unix_ms"].as_f64()?, silence["to_unix_ms"].as_f64()?);
        (from < killed + ON_ITS_WAY_MS && to > killed).then_some(to)
    })
}
