//! The command line of `server bench`, and the plan that it is checked into.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use zk_core::wire::limits::JUTE_MAXBUFFER;

/// Loads ZooKeeper servers with one kind of operation and says how fast they were and what it cost them.
///
/// Works on any ZooKeeper server. One thread, one connection per session. Znodes are made below --root before the
/// run and removed after it. The exit status is 1 if any operation failed or stayed without an answer.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// HOST:PORT[,HOST:PORT…]; sessions are dealt out to them in turn
    #[arg(value_name = "SERVERS")]
    pub servers: String,
    /// What the sessions do
    #[arg(long, value_enum, default_value_t = Operation::Get)]
    pub op: Operation,
    /// mixed: how many of a hundred operations are gets, the others being sets
    #[arg(long, value_name = "PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub reads: u8,
    /// create: the kind of znode
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Created::Persistent)]
    pub create: Created,
    /// Sessions, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub sessions: u32,
    /// Requests that a session has in flight at most [default: 1; with --rate 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub outstanding: Option<u32>,
    /// Data of each znode, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    pub size: usize,
    /// get, set, mixed: znodes to choose from; create: directories that the new znodes are dealt out to
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub paths: u32,
    /// Operations per second that fall due, over all sessions, whether or not earlier ones are answered (open loop).
    /// Latencies then count from the moment at which an operation was due. Without it each session sends its next
    /// request as soon as it may (closed loop)
    #[arg(long, value_name = "OPS", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub rate: Option<u64>,
    /// Unmeasured seconds before the measured ones
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub warm_up: Duration,
    /// Measured seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, conflicts_with = "count")]
    pub duration: Duration,
    /// Measured operations, instead of a duration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Seconds to wait for an answer before the run is given up
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub patience: Duration,
    /// Session timeout to ask for, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(i32).range(1..))]
    pub session_timeout: i32,
    /// Where the znodes of the run are
    #[arg(long, value_name = "PATH", default_value = "/bench")]
    pub root: String,
    /// Leave the znodes of the run behind
    #[arg(long)]
    pub keep: bool,
    /// Chooses paths, and gets or sets, the same way in each run with the same seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// A server's process, for its CPU time and memory; may be repeated. Without it, for servers on this machine's
    /// loopback addresses, whoever listens on the port
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// What the sessions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// getData, no watch
    Get,
    /// setData, any version
    Set,
    /// create, below one of --paths directories
    Create,
    /// getData and setData by --reads
    Mixed,
}

/// The znodes that `create` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Created {
    /// They stay
    Persistent,
    /// They go with their session
    Ephemeral,
    /// They stay, and the server numbers them
    Sequential,
    /// They go with their session, and the server numbers them
    EphemeralSequential,
}

impl Created {
    /// Flags of the create request (client protocol §6).
    pub(super) const fn flags(self) -> i32 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral => 1,
            Self::Sequential => 2,
            Self::EphemeralSequential => 3,
        }
    }
}

/// When the measured part ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// After a time.
    For(Duration),
    /// After so many operations.
    Count(u64),
}

/// When the next operation starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loop {
    /// As soon as its session has room.
    Closed,
    /// When it falls due, this many per second over all sessions.
    Open {
        /// Operations per second.
        rate: u64,
    },
}

/// What happens to the znodes of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// They are removed.
    Remove,
    /// They stay.
    Keep,
}

/// The arguments, checked and resolved.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) operation: Operation,
    pub(super) reads_percent: u8,
    pub(super) created: Created,
    pub(super) sessions: usize,
    pub(super) outstanding: usize,
    pub(super) size: usize,
    pub(super) paths: u32,
    pub(super) pace: Loop,
    pub(super) warm_up: Duration,
    pub(super) extent: Extent,
    pub(super) patience: Duration,
    pub(super) session_timeout_ms: i32,
    pub(super) root: String,
    pub(super) afterwards: Afterwards,
    pub(super) seed: u64,
    pub(super) pids: Vec<u32>,
}

/// Room for a request's header, path and ACL beside the data.
const FRAME_OVERHEAD: usize = 1024;

/// Requests that a session of an open loop may have in flight: enough that a server which answers in time never
/// makes one wait.
const OUTSTANDING_OPEN: u32 = 64;

impl Plan {
    /// Checks the arguments and resolves the servers' names.
    pub(super) fn new(args: &Args) -> Result<Self> {
        ensure!(
            args.size <= JUTE_MAXBUFFER - FRAME_OVERHEAD,
            "--size {}: a request of more than {JUTE_MAXBUFFER} bytes is refused by every server",
            args.size
        );
        check_root(&args.root)?;
        let (pace, outstanding) = match args.rate {
            Some(rate) => (Loop::Open { rate }, OUTSTANDING_OPEN),
            None => (Loop::Closed, 1),
        };
        let extent = args.count.map_or(Extent::For(args.duration), Extent::Count);
        ensure!(extent != Extent::For(Duration::ZERO), "--duration 0 measures nothing");
        ensure!(!args.patience.is_zero(), "--patience 0 waits for no answer");
        Ok(Self {
            servers: resolve(&args.servers)?,
            operation: args.op,
            reads_percent: args.reads,
            created: args.create,
            sessions: args.sessions as usize,
            outstanding: args.outstanding.unwrap_or(outstanding) as usize,
            size: args.size,
            paths: args.paths,
            pace,
            warm_up: args.warm_up,
            extent,
            patience: args.patience,
            session_timeout_ms: args.session_timeout,
            root: args.root.clone(),
            afterwards: if args.keep { Afterwards::Keep } else { Afterwards::Remove },
            seed: args.seed,
            pids: args.pid.clone(),
        })
    }
}

/// Seconds as people write them: `10`, `0.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    // A day is beyond every use, and keeps nanoseconds in 64 bits.
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err(format!("{text} seconds: expected 0 to 86400"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn check_root(root: &str) -> Result<()> {
    let names: Vec<&str> = root.split('/').skip(1).collect();
    let sound = root.starts_with('/') && names.iter().all(|name| !matches!(*name, "" | "." | ".."));
    ensure!(sound, "--root {root:?}: expected an absolute path such as /bench");
    ensure!(names[0] != "zookeeper", "--root {root:?}: /zookeeper belongs to the server");
    Ok(())
}

/// The addresses of `HOST:PORT,…`.
pub(crate) fn resolve(servers: &str) -> Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for server in servers.split(',') {
        let found = server
            .to_socket_addrs()
            .with_context(|| format!("server {server:?}: expected HOST:PORT"))?
            .next();
        let Some(address) = found else { bail!("server {server:?} has no address") };
        addresses.push(address);
    }
    Ok(addresses)
}

#[cfg(test)]
impl Plan {
    /// A closed loop of one get on one session, without warm-up, for tests to change.
    pub(super) fn example() -> Self {
        Self {
            servers: Vec::new(),
            operation: Operation::Get,
            reads_percent: 90,
            created: Created::Persistent,
            sessions: 1,
            outstanding: 1,
            size: 0,
            paths: 1,
            pace: Loop::Closed,
            warm_up: Duration::ZERO,
            extent: Extent::Count(1),
            patience: Duration::from_secs(1),
            session_timeout_ms: 1000,
            root: "/bench".into(),
            afterwards: Afterwards::Remove,
            seed: 1,
            pids: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|e| e.to_string())?;
        Plan::new(&cli.args).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn a_server_alone_is_a_closed_loop_of_gets() {
        let plan = plan("127.0.0.1:2181").expect("a plan");
        assert_eq!(plan.servers, ["127.0.0.1:2181".parse().expect("an address")]);
        assert_eq!((plan.operation, plan.pace, plan.outstanding), (Operation::Get, Loop::Closed, 1));
        assert_eq!(plan.extent, Extent::For(Duration::from_secs(10)));
        assert_eq!(plan.afterwards, Afterwards::Remove);
    }

    #[test]
    fn every_option_reaches_the_plan() {
        let plan = plan(
            "127.0.0.1:1,127.0.0.1:2 --op create --create ephemeral-sequential --sessions 64 --outstanding 3 \
             --size 0 --paths 7 --rate 500 --warm-up 0.5 --count 99 --patience 3 --session-timeout 4000 \
             --root /a/b --keep --seed 5 --pid 11 --pid 12 --reads 40",
        )
        .expect("a plan");
        assert_eq!(plan.servers.len(), 2);
        assert_eq!((plan.operation, plan.created.flags()), (Operation::Create, 3));
        assert_eq!((plan.sessions, plan.outstanding, plan.size, plan.paths), (64, 3, 0, 7));
        assert_eq!((plan.pace, plan.extent), (Loop::Open { rate: 500 }, Extent::Count(99)));
        assert_eq!((plan.warm_up, plan.patience), (Duration::from_millis(500), Duration::from_secs(3)));
        assert_eq!((plan.session_timeout_ms, plan.root.as_str()), (4000, "/a/b"));
        assert_eq!((plan.afterwards, plan.seed, plan.reads_percent), (Afterwards::Keep, 5, 40));
        assert_eq!(plan.pids, [11, 12]);
    }

    #[test]
    fn an_open_loop_has_more_in_flight_unless_told() {
        assert_eq!(plan("127.0.0.1:1 --rate 9").expect("a plan").outstanding, 64);
        assert_eq!(plan("127.0.0.1:1 --rate 9 --outstanding 2").expect("a plan").outstanding, 2);
    }

    #[test]
    fn senseless_arguments_are_refused_by_name() {
        for (line, word) in [
            ("", "SERVERS"),
            ("127.0.0.1", "HOST:PORT"),
            ("127.0.0.1:1,", "HOST:PORT"),
            ("127.0.0.1:1 --sessions 0", "--sessions"),
            ("127.0.0.1:1 --outstanding 0", "--outstanding"),
            ("127.0.0.1:1 --paths 0", "--paths"),
            ("127.0.0.1:1 --rate 0", "--rate"),
            ("127.0.0.1:1 --reads 101", "--reads"),
            ("127.0.0.1:1 --duration 0", "--duration"),
            ("127.0.0.1:1 --duration 1 --count 1", "--count"),
            ("127.0.0.1:1 --duration -1", "-1"),
            ("127.0.0.1:1 --duration nan", "nan"),
            ("127.0.0.1:1 --warm-up soon", "soon"),
            ("127.0.0.1:1 --size 1048575", "--size"),
            ("127.0.0.1:1 --root bench", "--root"),
            ("127.0.0.1:1 --root /", "--root"),
            ("127.0.0.1:1 --root /a/", "--root"),
            ("127.0.0.1:1 --root /zookeeper/x", "--root"),
            ("127.0.0.1:1 --op delete", "--op"),
        ] {
            let error = plan(line).map(|_| ()).expect_err(line);
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
