//! The two servers, started alike and loaded alike.

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use live::ensemble::{Ensemble, Kind, Member, Part};
use live::java::Java;
use live::zoarium::{Profile, Zoarium, binary_of};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Contestant {
    /// Apache ZooKeeper.
    Java,
    /// Ours.
    Zoarium,
}

impl Display for Contestant {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Java => "Java",
            Self::Zoarium => "Zoarium",
        })
    }
}

/// Lines of zoo.cfg beside the usual ones. forceSync and snapCount are left as they are: on, and 100000.
pub(super) const ZOO_CFG: &str = "tickTime=2000\n";

/// A server that runs.
#[derive(Debug)]
pub(super) enum Running {
    Java(Java),
    Zoarium(Zoarium),
    Ensemble(Ensemble),
}

impl Contestant {
    /// Starts so many over fresh data directories in `dir`; the JVM gets these options.
    pub(super) fn start_all(self, voters: u32, dir: &Path, jvm: &[&str]) -> Result<Running> {
        if voters == 1 {
            self.start(dir, jvm)
        } else {
            Ok(Running::Ensemble(self.ensemble(voters, dir, jvm)?))
        }
    }

    /// An ensemble of so many voters, all of which serve.
    pub(super) fn ensemble(self, voters: u32, dir: &Path, jvm: &[&str]) -> Result<Ensemble> {
        let kind = match self {
            Self::Java => Kind::Java,
            Self::Zoarium => Kind::Zoarium(Profile::Release),
        };
        let kinds = vec![(kind, Part::Voter); voters as usize];
        let mut ensemble = Ensemble::new(dir, &kinds, ZOO_CFG)?.with_jvm(jvm);
        ensemble.start()?;
        Ok(ensemble)
    }

    /// Starts one over a fresh data directory in `dir`; the JVM gets these options.
    pub(super) fn start(self, dir: &Path, jvm: &[&str]) -> Result<Running> {
        Ok(match self {
            Self::Java => Running::Java(Java::start_with(dir, ZOO_CFG, jvm)?),
            Self::Zoarium => Running::Zoarium(Zoarium::start_as(Profile::Release, dir, ZOO_CFG)?),
        })
    }
}

impl Running {
    /// Loads it and gives the report; fails if any operation failed or if its zxid moved otherwise than it should.
    pub(super) fn bench(&self, args: &[&str]) -> Result<Value> {
        let mut command = Command::new(binary_of(Profile::Release)?);
        command.args(["bench", &self.address(), "--json"]).args(args);
        for pid in self.pids() {
            command.args(["--pid", &pid.to_string()]);
        }
        let output = command.output().context("cannot run the load generator")?;
        let report = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} ended with {}:\n{report}{complaints}", output.status);
        let report: Value = serde_json::from_str(&report).context("the load generator's report")?;
        let writes = report["writes"].as_u64();
        ensure!(
            writes.is_some() && report["zxid_advance"].as_u64() == writes,
            "{args:?}: the zxid advanced by {} over {} writes",
            report["zxid_advance"],
            report["writes"]
        );
        Ok(report)
    }

    /// Its processes.
    pub(super) fn pids(&self) -> Vec<u32> {
        match self {
            Self::Java(server) => vec![server.process.pid()],
            Self::Zoarium(server) => vec![server.process.pid()],
            Self::Ensemble(servers) => servers.members.iter().filter_map(Member::pid).collect(),
        }
    }

    /// Ends it as an operator would.
    pub(super) fn stop(self) -> Result<()> {
        // Java's status tells of the signal, ours that all went well: the end is what matters here.
        match self {
            Self::Java(mut server) => server.process.terminate().map(drop),
            Self::Zoarium(mut server) => server.process.terminate().map(drop),
            Self::Ensemble(servers) => servers.stop(),
        }
    }

    fn address(&self) -> String {
        match self {
            Self::Java(server) => server.address(),
            Self::Zoarium(server) => server.address(),
            Self::Ensemble(servers) => servers.addresses(),
        }
    }
}
