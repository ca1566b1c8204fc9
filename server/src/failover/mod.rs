//! `server failover`: writes to an ensemble through whatever happens to it, and says how long nothing was acknowledged
//! and that nothing acknowledged was lost.
//!
//! Each writer has a znode of its own and writes 1, 2, 3, … into it, one request at a time. A writer whose connection
//! ends, or whose answer does not come, goes on with the next server. At the end each znode must hold at least the last
//! number that its writer was told was written.

mod writer;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::bench::{resolve, seconds};
use writer::{Told, Writer};

/// Writes to an ensemble through whatever happens to it, and says how long nothing was acknowledged.
///
/// Start it, then kill or stop servers. The exit status is 1 if a write that had been acknowledged is missing at the end.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// HOST:PORT[,HOST:PORT…]
    #[arg(value_name = "SERVERS")]
    pub servers: String,
    /// Writers, each with a connection and a znode of its own
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub writers: u32,
    /// How long to write
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub duration: Duration,
    /// How long a writer waits for an answer before it goes on with another server
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub patience: Duration,
    /// Session timeout to ask for, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(i32).range(1..))]
    pub session_timeout: i32,
    /// Where the znodes are; they stay
    #[arg(long, value_name = "PATH", default_value = "/failover")]
    pub root: String,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// A time without any acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Silence {
    /// The last acknowledgement before it, ms since 1970.
    pub from_unix_ms: f64,
    /// The first one after it, ms since 1970.
    pub to_unix_ms: f64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Writes that were sent and never answered: nobody knows whether they were carried out.
    pub in_doubt: u64,
    /// Acknowledged, and not there at the end.
    pub lost: u64,
    /// Connections that ended, or were given up.
    pub reconnects: u64,
    /// The longest times without an acknowledgement, longest first.
    pub silences: Vec<Silence>,
}

/// Silences that a report names.
const SILENCES: usize = 5;

/// Writes, reads back, prints. True if nothing was lost.
pub fn run(args: &Args) -> Result<bool> {
    let servers = resolve(&args.servers)?;
    ensure!(
        args.root.len() > 1 && args.root.starts_with('/'),
        "--root {:?}: expected a path such as /failover",
        args.root
    );
    let started = Instant::now();
    let started_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3;
    let ends = started + args.duration;
    let told = std::thread::scope(|scope| -> Result<Vec<Told>> {
        let threads: Vec<_> = (0..args.writers as usize)
            .map(|nth| {
                let writer = writer(args, &servers, nth);
                scope.spawn(move || writer.write_until(started, ends))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a writer does not panic")).collect()
    })?;
    let mut report = Report {
        acknowledged: told.iter().map(|told| told.acknowledged.len() as u64).sum(),
        in_doubt: told.iter().map(|told| told.in_doubt).sum(),
        lost: 0,
        reconnects: told.iter().map(|told| told.reconnects).sum(),
        silences: silences(&told, started_unix_ms),
    };
    for (nth, told) in told.iter().enumerate() {
        let found = writer(args, &servers, nth).read_back()?;
        report.lost += told.last.saturating_sub(found);
    }
    show(&report, args.json)?;
    Ok(report.lost == 0)
}

fn writer(args: &Args, servers: &[SocketAddr], nth: usize) -> Writer {
    Writer {
        servers: servers.to_vec(),
        at: nth,
        root: args.root.clone(),
        nth,
        timeout_ms: args.session_timeout,
        patience: args.patience,
    }
}

/// The longest times between two acknowledgements that follow each other, whoever got them.
fn silences(told: &[Told], started_unix_ms: f64) -> Vec<Silence> {
    let mut times: Vec<Duration> = told.iter().flat_map(|told| told.acknowledged.iter().copied()).collect();
    times.sort_unstable();
    let unix = |time: Duration| started_unix_ms + time.as_secs_f64() * 1e3;
    let mut all: Vec<Silence> = times
        .windows(2)
        .map(|pair| Silence { from_unix_ms: unix(pair[0]), to_unix_ms: unix(pair[1]) })
        .collect();
    all.sort_by(|a, b| b.length_ms().total_cmp(&a.length_ms()));
    all.truncate(SILENCES);
    all
}

impl Silence {
    /// How long it was.
    pub fn length_ms(&self) -> f64 {
        self.to_unix_ms - self.from_unix_ms
    }
}

fn show(report: &Report, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    println!(
        "{} writes acknowledged, {} in doubt, {} lost; {} reconnects",
        report.acknowledged, report.in_doubt, report.lost, report.reconnects
    );
    let lengths: Vec<String> =
        report.silences.iter().map(|silence| format!("{:.1}", silence.length_ms())).collect();
    println!("longest times without an acknowledgement, ms: {}", lengths.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_one_that_all_writers_shared() {
        let told = |times: &[u64]| Told {
            acknowledged: times.iter().map(|ms| Duration::from_millis(*ms)).collect(),
            ..Told::default()
        };
        let found = silences(&[told(&[10, 20, 500]), told(&[15, 300])], 1000.0);
        assert_eq!(found[0], Silence { from_unix_ms: 1020.0, to_unix_ms: 1300.0 });
        assert_eq!(found[1], Silence { from_unix_ms: 1300.0, to_unix_ms: 1500.0 });
        assert!(silences(&[told(&[7])], 0.0).is_empty());
    }
}
