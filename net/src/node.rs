//! [`Node`]: one server, from its directories to its port, and down again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tracing::{debug, error, info, warn};
use zk_core::action::CloseReason;
use zk_core::disk::planner::LogPlanner;
use zk_core::disk::recovery::{self, Recovered};
use zk_core::disk::{Dir, DiskConfig, FileName, FileOp, Vfs};
use zk_core::error::DiskFault;
use zk_core::front::FrontConfig;
use zk_core::input::Input;
use zk_core::replica::{Outbox, Replica, ReplicaConfig};

use crate::client::four_letter::{EnsembleFacts, Facts};
use crate::client::limits::Limits;
use crate::client::listener;
use crate::client::{socket, sweep};
use crate::clock::Clock;
use crate::consensus::Consensus;
use crate::disk::directories::{Directories, DirectoryError, Missing};
use crate::disk::errands;
use crate::disk::executor::Executor;
use crate::disk::files::Files;
use crate::log::Hand;
use crate::peer::{PeerConfig, Peers, reactor};
use crate::shared::{OnFailure, Parts, Shared};
use crate::snapshot::{Background, Done};

/// Everything a server needs to know. The core's own configurations are taken as they are.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// `dataDir`.
    pub data_dir: PathBuf,
    /// `dataLogDir`; may be the same.
    pub data_log_dir: PathBuf,
    /// What is done about missing directories.
    pub missing_dirs: Missing,
    /// Where clients are served: a name or address (`None`: all addresses) and a port (0: any).
    pub client_host: Option<String>,
    /// See `client_host`.
    pub client_port: u16,
    /// `clientPortListenBacklog`; `None` is Java's default.
    pub listen_backlog: Option<u32>,
    /// Connections.
    pub limits: Limits,
    /// Formats and syncs. The hash seed is drawn at start, whatever stands here.
    pub disk: DiskConfig,
    /// What clients may do.
    pub front: FrontConfig,
    /// Sessions, snapshots, requests in flight.
    pub replica: ReplicaConfig,
    /// The other servers; `None` if there are none. Goes with [`ReplicaConfig::ensemble`].
    pub peers: Option<PeerConfig>,
    /// `autopurge.snapRetainCount`.
    pub snap_retain_count: usize,
    /// `autopurge.purgeInterval`; `None` is never.
    pub purge_interval: Option<Duration>,
    /// Threads that serve clients; `None`: what the machine has, less two, and at least one.
    pub workers: Option<usize>,
    /// Version as four-letter words tell it.
    pub version: String,
    /// Words that are answered.
    pub whitelist: std::collections::BTreeSet<String>,
    /// Keys and values of the word `envi`.
    pub environment: Vec<(String, String)>,
}

/// Why a server does not start. No byte of data was changed.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// What is in it cannot be trusted, or not be read.
    #[error("the data in {dir} cannot be used: {fault}")]
    Data {
        /// The directory that holds the file.
        dir: String,
        /// File, place and reason.
        fault: DiskFault,
    },
    /// The client port cannot be taken.
    #[error("cannot take the client port {host}:{port}: {error}")]
    Port {
        /// As configured.
        host: String,
        /// As configured.
        port: u16,
        /// The system's words.
        error: io::Error,
    },
    /// The election port cannot be taken.
    #[error("cannot take the election port {at}: {error}")]
    ElectionPort {
        /// As configured.
        at: String,
        /// The system's words.
        error: io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// How long a stop waits for requests in flight, and for clients to take their last bytes.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
const FAREWELL_PATIENCE: Duration = Duration::from_secs(2);

/// A running server.
pub struct Node {
    shared: Arc<Shared>,
    runtime: Runtime,
    threads: Vec<JoinHandle<()>>,
    directories: Directories,
}

impl Node {
    /// Recovers, takes the port, and serves. `on_failure` is called at most once, from any thread, if the server cannot go
    /// on later; nothing is acknowledged from then on.
    pub fn start(mut config: NodeConfig, on_failure: OnFailure) -> Result<Self, StartError> {
        let clock = Clock::start();
        let directories = Directories::claim(&config.data_dir, &config.data_log_dir, config.missing_dirs)?;
        // Before recovery: a port in use is found out at once, and before anything is repaired.
        let port = socket::bind(config.client_host.as_deref(), config.client_port).map_err(|error| {
            let host = config.client_host.clone().unwrap_or_else(|| "*".to_owned());
            StartError::Port { host, port: config.client_port, error }
        })?;
        let votes = config.peers.as_ref().map(PeerConfig::take_election_port).transpose();
        let votes = votes.map_err(|(at, error)| StartError::ElectionPort { at, error })?;
        config.disk.tree.hash_seed = seed();
        let started = Instant::now();
        let mut files = Files::new(directories.paths().clone());
        let recovered = recover(&mut files, &config)?;
        let recovery_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);

        let workers = config.workers.unwrap_or_else(default_workers);
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name("client")
            .enable_io()
            .enable_time()
            .build()
            .map_err(StartError::Thread)?;
        let peers = config.peers.clone();
        let peers =
            peers.map(|peers| Peers::new(peers, runtime.handle().clone(), config.disk.tree)).transpose();
        let peers = peers.map_err(StartError::Thread)?;
        let mut outbox = Outbox::new();
        let replica = Replica::open(config.replica.clone(), &recovered, seed(), clock.now(), &mut outbox);
        let facts = facts(&config, &directories);
        let shared = Arc::new(Shared::new(Parts {
            front: config.front.clone(),
            facts,
            clock,
            tree: recovered.tree,
            hash_seed: seed(),
            consensus: Consensus::new(replica, outbox),
            executor: Executor::new(LogPlanner::new(config.disk), Files::new(directories.paths().clone())),
            peers,
            outstanding_max: config.replica.outstanding_max,
            limits: config.limits,
            client_address: port.address(),
            // The workers, and the threads of consensus, disk, background and links.
            entries: workers + 3 + reactor::THREADS,
            on_failure,
        }));
        recovered.events.iter().for_each(|event| shared.tell(event));
        {
            let mut rare = shared.metrics.rare.lock();
            rare.recovery.record(recovery_us);
            rare.txns_replayed.record(recovered.recent.len() as u64);
        }
        let mut node = Self { shared, runtime, threads: Vec::new(), directories };
        node.start_threads(&config)?;
        if let Some(port) = votes {
            node.shared.listen_for_votes(port);
        }
        node.listen(port, &config)?;
        Ok(node)
    }

    fn start_threads(&mut self, config: &NodeConfig) -> Result<(), StartError> {
        let paths = self.directories.paths().clone();
        let background = Background::new(
            config.disk,
            Files::new(paths.clone()),
            config.snap_retain_count,
            config.purge_interval,
        );
        let shared = Arc::clone(&self.shared);
        self.spawn("disk", move || shared.run_disk())?;
        let shared = Arc::clone(&self.shared);
        self.spawn("background", move || {
            background.run(&shared.views, &shared.rewrites, |done| report(&shared, done));
        })?;
        if self.shared.peers.is_some() {
            let (shared, disk, files) = (Arc::clone(&self.shared), config.disk, Files::new(paths.clone()));
            for _ in 0..reactor::THREADS {
                let shared = Arc::clone(&shared);
                self.spawn("links", move || shared.run_links())?;
            }
            self.spawn("errands", move || {
                errands::run(disk, files, &shared.errands, |answer| shared.hear(&mut vec![answer]));
            })?;
        }
        let shared = Arc::clone(&self.shared);
        self.spawn("consensus", move || shared.run_consensus())
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(StartError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    fn listen(&self, port: socket::Bound, config: &NodeConfig) -> Result<(), StartError> {
        let address = port.address();
        let _inside = self.runtime.enter();
        let listener = port.listen(config.listen_backlog).map_err(|error| StartError::Port {
            host: address.ip().to_string(),
            port: address.port(),
            error,
        })?;
        let accepting = self.runtime.spawn(listener::accept_all(Arc::clone(&self.shared), listener));
        self.shared.entrance.opened(address, accepting.abort_handle());
        self.runtime.spawn(sweep::rounds(Arc::clone(&self.shared)));
        Ok(())
    }

    /// Where clients are served.
    pub fn client_address(&self) -> SocketAddr {
        self.shared.entrance.address()
    }

    /// Stops: takes no more requests, finishes those in flight, says goodbye to clients, syncs and closes the log. False
    /// if not everything could be finished (nothing that was acknowledged is lost even then).
    pub fn stop(self) -> bool {
        let Self { shared, runtime, threads, directories } = self;
        // A server that has failed finishes nothing any more.
        let drained = !shared.has_failed() && shared.drain(DRAIN_PATIENCE);
        if !drained && !shared.has_failed() {
            warn!("requests are still in flight after {DRAIN_PATIENCE:?}; stopping all the same");
        }
        // What the others wait for goes before clients are sent to them.
        shared.say_all(FAREWELL_PATIENCE);
        for client in shared.table.all() {
            client.close(CloseReason::ShuttingDown);
        }
        let until = Instant::now() + FAREWELL_PATIENCE;
        while shared.table.len() > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        // The listener and whoever has not left go with their tasks.
        runtime.shutdown_timeout(FAREWELL_PATIENCE);
        if let Some(peers) = &shared.peers {
            peers.reactor.close();
        }
        shared.log.close();
        shared.views.close();
        shared.errands.close();
        shared.stop();
        for thread in threads {
            if thread.join().is_err() {
                error!("a thread panicked while the server stopped");
            }
        }
        drop(directories);
        debug!(disk = shared.log.rung(), "wake-ups");
        drained && !shared.has_failed()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node {{ client_address: {} }}", self.client_address())
    }
}

/// Reads everything; only when all of it holds together is anything repaired.
fn recover(files: &mut Files, config: &NodeConfig) -> Result<Recovered, StartError> {
    let data =
        |files: &Files, fault| StartError::Data { dir: files.paths().data.display().to_string(), fault };
    let recovered = recovery::recover(files, &config.disk).map_err(|fault| data(files, fault))?;
    if let (Some(epochs), None) = (recovered.epochs, &config.peers) {
        info!(
            accepted = epochs.accepted,
            current = epochs.current,
            "the data comes from a member of an ensemble; it is served alone now"
        );
    }
    let mut repairs = recovered.repairs.clone();
    let initialize = FileName { dir: Dir::Data, name: "initialize".to_owned() };
    let there = files.list(Dir::Data).unwrap_or_default();
    if there.iter().any(|(name, _)| *name == initialize.name) {
        // It allows an empty database once.
        repairs.push(FileOp::Unlink(initialize));
        repairs.push(FileOp::SyncDir(Dir::Data));
    }
    files.execute(&repairs).map_err(|fault| data(files, fault))?;
    let tree = &recovered.tree;
    info!(zxid = %recovered.last_zxid, znodes = tree.node_count(), sessions = tree.sessions().count(), "recovered");
    for acl in tree.unknown_acls() {
        warn!(acl, "an ACL that nodes refer to is in no snapshot; only super may use these nodes");
    }
    Ok(recovered)
}

fn facts(config: &NodeConfig, directories: &Directories) -> Facts {
    Facts {
        version: config.version.clone(),
        whitelist: config.whitelist.clone(),
        paths: directories.paths().clone(),
        tick_ms: config.replica.tick_ms,
        connections_per_address: config.limits.per_address.unwrap_or(0),
        min_session_timeout_ms: config.front.min_session_timeout_ms,
        max_session_timeout_ms: config.front.max_session_timeout_ms,
        listen_backlog: config.listen_backlog,
        environment: config.environment.clone(),
        ensemble: config.replica.ensemble.as_ref().map(|ensemble| EnsembleFacts {
            me: config.replica.sid,
            init_limit: ensemble.init_limit,
            sync_limit: ensemble.sync_limit,
        }),
    }
}

/// What the background thread has to say.
fn report(shared: &Arc<Shared>, done: Done) {
    match done {
        Done::Snapshot { zxid, took_us } => {
            shared.metrics.rare.lock().snapshot.record(took_us);
            shared.consensus.submit_one(Input::SnapshotDone { zxid });
        }
        Done::Failed(fault) => shared.consensus.submit_one(Input::DiskFailed(fault)),
    }
    shared.decide(Hand::Rings);
}

fn default_workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from).saturating_sub(2).max(1)
}

/// 64 bits that nobody can guess: every `RandomState` has keys of its own, from the system's entropy.
fn seed() -> u64 {
    RandomState::new().hash_one(0_u8)
}
