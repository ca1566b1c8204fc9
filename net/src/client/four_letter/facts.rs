//! `conf`, `envi` and `dirs`: what does not change while the server runs, and the size of its directories.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use zk_core::config::member::{Address, Role};
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::ids::Sid;

use crate::disk::files::Paths;
use crate::shared::Shared;

/// What words tell about the configuration.
#[derive(Clone, Debug)]
pub struct Facts {
    /// As `srvr` prints it behind `Zookeeper version: `.
    pub version: String,
    /// Words that are answered.
    pub whitelist: BTreeSet<String>,
    /// Where the files are.
    pub paths: Paths,
    /// ms.
    pub tick_ms: u32,
    /// `maxClientCnxns`; 0 is no limit.
    pub connections_per_address: u32,
    /// ms.
    pub min_session_timeout_ms: i32,
    /// ms.
    pub max_session_timeout_ms: i32,
    /// `clientPortListenBacklog`; `None` is the system's.
    pub listen_backlog: Option<u32>,
    /// Keys and values of `envi`, in order.
    pub environment: Vec<(String, String)>,
    /// `None`: a server alone.
    pub ensemble: Option<EnsembleFacts>,
}

/// What `conf` tells of an ensemble.
#[derive(Clone, Debug)]
pub struct EnsembleFacts {
    /// This server.
    pub me: Sid,
    /// Ticks.
    pub init_limit: u32,
    /// Ticks.
    pub sync_limit: u32,
}

pub(super) fn conf(shared: &Shared) -> String {
    let facts = &shared.facts;
    let (snap, log) = (&facts.paths.snap, &facts.paths.log);
    let backlog = facts.listen_backlog.map_or(-1, i64::from);
    let mut out = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(out, "{key}={value}");
    };
    line("clientPort", &shared.entrance.address().port());
    line("secureClientPort", &-1);
    line("dataDir", &snap.display());
    line("dataDirSize", &size_of(snap));
    line("dataLogDir", &log.display());
    line("dataLogSize", &size_of(log));
    line("tickTime", &facts.tick_ms);
    line("maxClientCnxns", &facts.connections_per_address);
    line("minSessionTimeout", &facts.min_session_timeout_ms);
    line("maxSessionTimeout", &facts.max_session_timeout_ms);
    line("clientPortListenBacklog", &backlog);
    match &facts.ensemble {
        // Java's standalone server says 0, though its session ids begin with 1.
        None => line("serverId", &0),
        Some(ensemble) => put_ensemble(ensemble, &shared.peers().members(), &mut out),
    }
    out
}

/// Ends without a newline, as in Java.
fn put_ensemble(ensemble: &EnsembleFacts, config: &QuorumConfig, out: &mut String) {
    let EnsembleFacts { me, init_limit, sync_limit } = ensemble;
    let _ = write!(out, "serverId={me}\ninitLimit={init_limit}\nsyncLimit={sync_limit}\nelectionAlg=3\n");
    if let Some(member) = config.member(*me) {
        let observes = u8::from(member.role == Role::Observer);
        if let Some(Address { quorum_port, election_port, .. }) = member.addresses.first() {
            let _ = write!(out, "electionPort={election_port}\nquorumPort={quorum_port}\n");
        }
        let _ = writeln!(out, "peerType={observes}");
    }
    let _ = write!(out, "membership: \n{config}");
}

pub(super) fn envi(shared: &Shared) -> String {
    let mut out = String::from("Environment:\n");
    for (key, value) in &shared.facts.environment {
        let _ = writeln!(out, "{key}={value}");
    }
    out
}

pub(super) fn dirs(shared: &Shared) -> String {
    let paths = &shared.facts.paths;
    format!("datadir_size: {}\nlogdir_size: {}\n", size_of(&paths.snap), size_of(&paths.log))
}

/// Lengths of all files in a directory, bytes; what is preallocated counts, as in Java. Files that go meanwhile do not.
fn size_of(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(|about| about.is_file())
        .map(|about| about.len())
        .sum()
}
