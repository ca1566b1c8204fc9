//! What a run says of itself: text for people, JSON for programs, both from one value.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::Serialize;

use zk_core::ids::Zxid;
use zk_core::wire::client::op;

use super::args::{Created, Loop, Operation, Plan};
use super::latency::{Latencies, Summary};
use super::run::{Cost, Findings};

/// Everything that is worth keeping of a run. Times of CPU and latencies are in microseconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    servers: Vec<String>,
    operation: &'static str,
    sessions: usize,
    outstanding: usize,
    size_bytes: usize,
    paths: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reads_percent: Option<u8>,
    /// Operations per second that fell due; absent in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    warm_up_seconds: f64,
    /// From the opening of the window to the last answer.
    seconds: f64,
    /// Measured operations that succeeded.
    operations: u64,
    operations_per_second: f64,
    /// Measured operations that did not, by the error's name.
    errors: BTreeMap<String, u64>,
    /// Operations before the window.
    warm_up_operations: u64,
    warm_up_errors: BTreeMap<String, u64>,
    /// Operations that change the tree, warm-up included.
    writes: u64,
    /// How far the servers' zxid has moved meanwhile; absent if the epoch changed.
    zxid_advance: Option<u64>,
    /// Of all measured operations.
    latency_us: Option<Summary>,
    /// The same by kind, if there are several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    latency_us_by_kind: BTreeMap<&'static str, Summary>,
    /// Absent if the servers' processes cannot be seen.
    server: Option<ServerCost>,
    client: ClientCost,
    /// Cores that this machine spent on anything but client and server: what disturbed the measurement.
    other_cores: Option<f64>,
    lost_sessions: Vec<String>,
}

/// What the servers' processes used.
#[derive(Clone, Debug, Serialize)]
struct ServerCost {
    pids: Vec<u32>,
    cpu_us_per_operation: f64,
    /// CPU seconds per second.
    cores: f64,
    resident_bytes_before: u64,
    resident_bytes_after: u64,
}

/// What this process used.
#[derive(Clone, Debug, Serialize)]
struct ClientCost {
    cpu_us_per_operation: f64,
    cores: f64,
}

/// Above this share of its one core the client may be what limits the throughput.
const CLIENT_BOUND_CORES: f64 = 0.9;

impl Report {
    pub(super) fn new(plan: &Plan, pids: &[u32], found: &Findings, losses: &[String]) -> Self {
        let seconds = (found.last_end.saturating_sub(found.opened.at) as f64 / 1e9).max(1e-9);
        let answered = found.measured.answered;
        let window = Duration::from_nanos(found.closed.at.saturating_sub(found.opened.at));
        let rates = |cpu: Duration| {
            let per_operation = cpu.as_secs_f64() * 1e6 / answered.max(1) as f64;
            (per_operation, cpu.as_secs_f64() / window.as_secs_f64().max(1e-9))
        };
        let (own, own_cores) = rates(found.closed.own - found.opened.own);
        Self {
            servers: plan.servers.iter().map(ToString::to_string).collect(),
            operation: operation(plan),
            sessions: plan.sessions,
            outstanding: plan.outstanding,
            size_bytes: plan.size,
            paths: plan.paths,
            reads_percent: (plan.operation == Operation::Mixed).then_some(plan.reads_percent),
            rate: match plan.pace {
                Loop::Closed => None,
                Loop::Open { rate } => Some(rate),
            },
            warm_up_seconds: plan.warm_up.as_secs_f64(),
            seconds,
            operations: found.measured.succeeded,
            operations_per_second: found.measured.succeeded as f64 / seconds,
            errors: found.measured.failed.clone(),
            warm_up_operations: found.warm_up.succeeded,
            warm_up_errors: found.warm_up.failed.clone(),
            writes: found.writes,
            zxid_advance: advance(found.zxids),
            latency_us: all(found.latencies.values()).summary(),
            latency_us_by_kind: by_kind(&found.latencies),
            server: server_cost(found, pids, rates),
            client: ClientCost { cpu_us_per_operation: own, cores: own_cores },
            other_cores: other_cpu(&found.opened, &found.closed).map(|cpu| rates(cpu).1),
            lost_sessions: losses.to_vec(),
        }
    }

    /// True if every operation succeeded and every session lived.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.warm_up_errors.is_empty() && self.lost_sessions.is_empty()
    }
}

const fn operation(plan: &Plan) -> &'static str {
    match (plan.operation, plan.created) {
        (Operation::Get, _) => "get",
        (Operation::Set, _) => "set",
        (Operation::Mixed, _) => "mixed",
        (Operation::Create, Created::Persistent) => "create",
        (Operation::Create, Created::Ephemeral) => "create ephemeral",
        (Operation::Create, Created::Sequential) => "create sequential",
        (Operation::Create, Created::EphemeralSequential) => "create ephemeral sequential",
    }
}

fn advance((before, after): (Zxid, Zxid)) -> Option<u64> {
    (before.epoch() == after.epoch()).then(|| u64::from(after.counter().saturating_sub(before.counter())))
}

fn all<'a>(kinds: impl Iterator<Item = &'a Latencies>) -> Latencies {
    let mut all = Latencies::new();
    kinds.for_each(|kind| all.add(kind));
    all
}

fn by_kind(latencies: &BTreeMap<i32, Latencies>) -> BTreeMap<&'static str, Summary> {
    if latencies.len() < 2 {
        return BTreeMap::new();
    }
    let name = |op| match op {
        op::GET_DATA => "get",
        op::SET_DATA => "set",
        op::CREATE => "create",
        _ => "never sent",
    };
    latencies.iter().filter_map(|(op, kind)| Some((name(*op), kind.summary()?))).collect()
}

fn server_cost(found: &Findings, pids: &[u32], rates: impl Fn(Duration) -> (f64, f64)) -> Option<ServerCost> {
    let (cpu_us_per_operation, cores) = rates(found.closed.servers?.checked_sub(found.opened.servers?)?);
    Some(ServerCost {
        pids: pids.to_vec(),
        cpu_us_per_operation,
        cores,
        resident_bytes_before: found.opened.resident?,
        resident_bytes_after: found.closed.resident?,
    })
}

/// CPU time of everybody else between two moments. The sources count in different ways; less than nothing is nothing.
fn other_cpu(opened: &Cost, closed: &Cost) -> Option<Duration> {
    let machine = closed.machine?.checked_sub(opened.machine?)?;
    let servers = closed
        .servers
        .zip(opened.servers)
        .map_or(Duration::ZERO, |(after, before)| after.saturating_sub(before));
    Some(machine.saturating_sub(closed.own - opened.own).saturating_sub(servers))
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let pace = self.rate.map_or_else(|| "closed loop".into(), |rate| format!("{rate} due per second"));
        let reads = self.reads_percent.map_or_else(String::new, |reads| format!(" ({reads} % gets)"));
        writeln!(f, "servers      {}", self.servers.join(", "))?;
        writeln!(
            f,
            "load         {}{reads}, {} bytes, {} paths; {} sessions, {} outstanding; {pace}",
            self.operation, self.size_bytes, self.paths, self.sessions, self.outstanding
        )?;
        writeln!(
            f,
            "operations   {} in {:.2} s: {:.0}/s (before them {} in {:.1} s of warm-up)",
            self.operations,
            self.seconds,
            self.operations_per_second,
            self.warm_up_operations,
            self.warm_up_seconds
        )?;
        match self.zxid_advance {
            Some(advance) => {
                writeln!(f, "zxid         advanced by {advance}; {} writes were sent", self.writes)?
            }
            None => writeln!(f, "zxid         the epoch changed; {} writes were sent", self.writes)?,
        }
        latency_lines(f, self.latency_us, &self.latency_us_by_kind)?;
        match &self.server {
            Some(server) => writeln!(f, "server       {server}")?,
            None => writeln!(f, "server       its process cannot be seen (see --pid)")?,
        }
        writeln!(f, "client       {}", self.client)?;
        if let Some(cores) = self.other_cores {
            writeln!(f, "others       {cores:.2} cores of this machine")?;
        }
        for (phase, errors) in [("warm-up", &self.warm_up_errors), ("", &self.errors)] {
            for (name, count) in errors {
                writeln!(f, "ERROR        {count} × {name} {phase}")?;
            }
        }
        self.lost_sessions.iter().try_for_each(|loss| writeln!(f, "LOST         {loss}"))
    }
}

fn latency_lines(
    f: &mut Formatter<'_>,
    overall: Option<Summary>,
    by_kind: &BTreeMap<&'static str, Summary>,
) -> fmt::Result {
    writeln!(
        f,
        "latency, µs  {:>11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "count", "min", "mean", "p50", "p90", "p99", "p99.9", "max"
    )?;
    let lines = overall.iter().map(|all| ("all", all)).chain(by_kind.iter().map(|(kind, s)| (*kind, s)));
    for (kind, s) in lines {
        writeln!(
            f,
            "  {kind:<10} {:>11} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1}",
            s.count, s.min, s.mean, s.p50, s.p90, s.p99, s.p999, s.max
        )?;
    }
    Ok(())
}

impl Display for ServerCost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "{:.2} µs CPU per operation, {:.2} cores; resident {:.1} MiB before, {:.1} MiB after; pid {}",
            self.cpu_us_per_operation,
            self.cores,
            mib(self.resident_bytes_before),
            mib(self.resident_bytes_after),
            self.pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        )
    }
}

impl Display for ClientCost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} µs CPU per operation, {:.2} cores", self.cpu_us_per_operation, self.cores)?;
        if self.cores > CLIENT_BOUND_CORES {
            write!(f, ": the throughput may be the client's limit, not the server's")?;
        }
        Ok(())
    }
}
