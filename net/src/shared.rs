//! [`Shared`]: what the threads of one server have in common.
//!
//! Lock order: seat → gate → connection → watch shard or table part; the inbox, lanes and metrics are taken last and
//! held for a few instructions. Nobody writes to a socket or a file while holding a lock that others wait for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use zk_core::front::FrontConfig;
use zk_core::front::throttle::{Admission, ConnectionThrottle, Handshake};
use zk_core::replica::{ClientService, Phase, Replica, Standing};
use zk_core::time::Mono;
use zk_core::tree::Tree;

use crate::apply::Digests;
use crate::client::Client;
use crate::client::four_letter::{Facts, TRACE_MASK};
use crate::client::limits::{LargeGuard, Limits, RequestThrottle};
use crate::client::listener::Entrance;
use crate::client::table::{Shards, Table};
use crate::clock::Clock;
use crate::consensus::Consensus;
use crate::disk::errands::Errand;
use crate::disk::executor::Executor;
use crate::disk::rewrites::{Order, Rewrites};
use crate::gate::Gate;
use crate::lanes::Lane;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::pace::Complaints;
use crate::peer::Peers;

/// Called with the reason when the server cannot go on.
pub type OnFailure = Box<dyn Fn(String) + Send + Sync>;

/// One server.
pub(crate) struct Shared {
    pub(crate) front: FrontConfig,
    pub(crate) facts: Facts,
    pub(crate) entrance: Entrance,
    pub(crate) clock: Clock,
    pub(crate) gate: Gate<Tree>,
    pub(crate) table: Table,
    pub(crate) watches: Shards,
    pub(crate) consensus: Consensus,
    pub(crate) log: Log,
    /// To the background thread.
    pub(crate) views: Lane<Order>,
    /// To the thread that reads files.
    pub(crate) errands: Lane<Errand>,
    pub(crate) rewrites: Rewrites,
    /// `None`: a server alone.
    pub(crate) peers: Option<Peers>,
    /// As it was told last.
    pub(crate) standing: Mutex<Standing>,
    pub(crate) digests: Digests,
    pub(crate) metrics: Metrics,
    /// What clients without a session did.
    pub(crate) strangers: Complaints<&'static str>,
    pub(crate) requests: RequestThrottle,
    pub(crate) large: Option<LargeGuard>,
    handshakes: Option<Mutex<ConnectionThrottle>>,
    /// Connections that are not read until there is credit again.
    starved: Mutex<Vec<Arc<Client>>>,
    /// Of `gtmk` and `stmk`.
    trace_mask: AtomicI64,
    stopping: AtomicBool,
    failed: AtomicBool,
    on_failure: OnFailure,
}

/// What a [`Shared`] is made of besides what begins empty.
pub(crate) struct Parts {
    pub(crate) front: FrontConfig,
    pub(crate) facts: Facts,
    pub(crate) clock: Clock,
    pub(crate) tree: Tree,
    pub(crate) hash_seed: u64,
    pub(crate) consensus: Consensus,
    pub(crate) executor: Executor,
    pub(crate) peers: Option<Peers>,
    pub(crate) outstanding_max: u32,
    pub(crate) limits: Limits,
    pub(crate) client_address: SocketAddr,
    /// Threads that read the tree often.
    pub(crate) entries: usize,
    pub(crate) on_failure: OnFailure,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { front, facts, clock, tree, hash_seed, consensus, executor, peers, .. } = parts;
        let Parts { outstanding_max, limits, client_address, entries, on_failure, .. } = parts;
        let throttle = || Mutex::new(ConnectionThrottle::new(limits.handshakes, hash_seed, clock.mono()));
        let handshakes = (limits.handshakes.tokens > 0).then(throttle);
        let standing = consensus.look(Replica::standing);
        Self {
            front,
            facts,
            entrance: Entrance::new(client_address, limits),
            clock,
            gate: Gate::new(tree, entries),
            table: Table::new(),
            watches: Shards::new(hash_seed),
            consensus,
            // A command holds at least one txn, and a roll comes along now and then.
            log: Log::new(executor, outstanding_max as usize + 2),
            views: Lane::new(),
            errands: Lane::new(),
            rewrites: Rewrites::default(),
            peers,
            standing: Mutex::new(standing),
            digests: Digests::default(),
            metrics: Metrics::new(entries),
            strangers: Complaints::default(),
            requests: limits.requests,
            large: limits.large.map(LargeGuard::new),
            handshakes,
            starved: Mutex::new(Vec::new()),
            trace_mask: AtomicI64::new(TRACE_MASK),
            stopping: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            on_failure,
        }
    }

    /// The connection waits until there is credit; false if there is some by now.
    pub(crate) fn starve(&self, client: &Arc<Client>) -> bool {
        if !client.starves.swap(true, Ordering::AcqRel) {
            self.starved.lock().push(Arc::clone(client));
        }
        // Credit that came before the push has fed nobody.
        if self.has_credit() {
            return false;
        }
        self.metrics.throttled.increment();
        true
    }

    /// True while anybody may ask for more.
    fn has_credit(&self) -> bool {
        self.consensus.has_credit() && !self.is_throttled()
    }

    /// True while as many requests are carried out as `request_throttle_max_requests` allows.
    pub(crate) fn is_throttled(&self) -> bool {
        self.requests.requests.is_some_and(|max| self.consensus.in_process() >= i64::from(max))
    }

    /// May a connection begin with this handshake?
    pub(crate) fn admits(&self, what: Handshake, now: Mono) -> bool {
        let Some(throttle) = &self.handshakes else { return true };
        match throttle.lock().admit(what, now) {
            Admission::Unlimited => {}
            Admission::Granted { deficit } => self.metrics.rare.lock().token_deficit.record(deficit),
            Admission::Denied => return false,
        }
        true
    }

    /// How likely a handshake is turned away by chance, millionths.
    pub(crate) fn drop_probability(&self) -> u32 {
        self.handshakes.as_ref().map_or(0, |throttle| throttle.lock().drop_probability())
    }

    /// Lets those read again that waited for credit, if there is any.
    pub(crate) fn feed_starved(&self) {
        if !self.has_credit() {
            return;
        }
        let fed = std::mem::take(&mut *self.starved.lock());
        for client in fed {
            client.starves.store(false, Ordering::Release);
            client.ring();
        }
    }

    /// There may be room for what other servers say.
    pub(crate) fn relieve(&self) {
        if let Some(peers) = self.peers.as_ref().filter(|peers| peers.holds_back())
            && !self.is_pressed()
        {
            peers.relieve();
        }
    }

    /// What it is now.
    pub(crate) fn standing(&self) -> Standing {
        *self.standing.lock()
    }

    /// True if clients are served, be it for reading.
    pub(crate) fn serves(&self) -> bool {
        let standing = self.standing();
        standing.phase == Phase::Broadcast || standing.clients == ClientService::ReadOnly
    }

    /// The server cannot go on: whoever started it hears why, once. Nothing is promised any more.
    pub(crate) fn fail(&self, reason: String) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            (self.on_failure)(reason);
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn trace_mask(&self) -> i64 {
        self.trace_mask.load(Ordering::Relaxed)
    }

    pub(crate) fn set_trace_mask(&self, mask: i64) {
        self.trace_mask.store(mask, Ordering::Relaxed);
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.consensus.ring();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
