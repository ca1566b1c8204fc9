//! One server: the same rooms that ship, driven by events instead of threads.
//!
//! Every queue of the real driver is a queue here: disk commands, commits on their way to the tree, a snapshot in the
//! background, connections with their frames. A crash may fall between any two actions that a step emitted and between any
//! two file operations: each is a *boundary*, and boundaries are counted, so that a sweep can visit them all.

mod actions;
mod connections;
mod events;
mod files;
mod links;
mod recovery;
mod serving;

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use zk_core::action::{Action, Commit, ConfigNode, DiskCommand};
use zk_core::disk::DiskConfig;
use zk_core::disk::planner::LogPlanner;
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::election::vote::Notification;
use zk_core::error::DiskFault;
use zk_core::front::{FrontConfig, Host};
use zk_core::ids::{ConnId, SessionId, Zxid};
use zk_core::input::{Input, QueryId};
use zk_core::replica::{LogShare, Phase, Replica, ReplicaConfig, RoleKind, SyncKind};
use zk_core::time::{Mono, Now};
use zk_core::tree::Tree;

use crate::clock::{Clock, Time};
use crate::dice::Dice;
use crate::disk::Disk;
use crate::network::Delay;
use crate::oracle::{Commits, Ensemble, Histories, Ledger, Violation};
use crate::trace::Trace;
use crate::wires::{Command, Name, Wires};
use files::Batch;
use links::Link;

pub use connections::{Conns, Shards};
pub use events::EVENTS;

/// How a process ends when it did not mean to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The process alone: the page cache lives on.
    Kill,
    /// The machine: what was not synced survives by chance.
    Power,
}

/// Why a node stops in the middle of what it does.
#[derive(Clone, Debug)]
pub enum Stop {
    /// It crashes here.
    Crash(Loss),
    /// It ends itself.
    Fatal(String),
    /// An invariant is broken.
    Violation(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// What happens to a node, besides bytes from clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// The machine starts the process.
    Boot,
    /// The replica's deadline.
    Tick,
    /// The disk's next operation ends.
    Disk,
    /// The next batch of commits reaches the tree.
    Apply,
    /// The background snapshot goes on.
    Snapshot,
    /// Silent connections are looked for.
    Idle,
    /// Old files are looked for.
    Purge,
    /// The state as of an earlier zxid, or a part of the log, has been read.
    Read,
    /// The next piece of a snapshot goes to another server.
    Stream(Name),
}

impl NodeEvent {
    /// As traces have it.
    pub const fn number(self) -> u64 {
        match self {
            Self::Boot => 0,
            Self::Tick => 1,
            Self::Disk => 2,
            Self::Apply => 3,
            Self::Snapshot => 4,
            Self::Idle => 5,
            Self::Purge => 6,
            Self::Read => 7,
            Self::Stream(_) => 8,
        }
    }
}

/// What a node does to the world.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Wake me for this.
    Schedule(Time, NodeEvent),
    /// Bytes for a client.
    Send(ConnId, Bytes),
    /// Close a client's connection, after what was sent.
    Close(ConnId),
    /// Do something with a connection to another server.
    Wire(Name, Command),
}

/// How a node is set up, and how fast its parts are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For the core.
    pub replica: ReplicaConfig,
    /// For the core.
    pub front: FrontConfig,
    /// For the core.
    pub disk: DiskConfig,
    /// Of a write.
    pub write: Delay,
    /// Of a sync.
    pub sync: Delay,
    /// From a commit to the tree.
    pub apply: Delay,
    /// Between two pieces of a snapshot, and the size of a piece in bytes.
    pub snapshot: (Delay, usize),
    /// How often old files are purged, ns of true time, and how many snapshots stay; none is never.
    pub purge: Option<(u64, usize)>,
}

/// One machine with its disk and clocks; the server process on it comes and goes.
#[derive(Clone, Debug)]
pub struct Node {
    /// 1, 2, …
    pub id: u32,
    /// How it is set up.
    pub settings: Settings,
    /// Its files.
    pub disk: Disk,
    /// Its clocks.
    pub clock: Clock,
    /// What it logged and promised.
    pub ledger: Ledger,
    /// The running process.
    pub server: Option<Box<Server>>,
    /// Processes so far; what was scheduled for an earlier one is dropped.
    pub incarnation: u32,
    /// Why the last start failed, if it did.
    pub refused: Option<DiskFault>,
    /// Boundaries passed.
    pub boundaries: u64,
    /// Crash at this boundary.
    pub crash_at: Option<(u64, Loss)>,
    /// It stands still; events wait.
    pub is_paused: bool,
    /// The machine has no power, and answers to nobody.
    pub is_off: bool,
    /// It is a copy of another server, and no member of its own.
    pub is_twin: bool,
    /// It stays as it is: nobody starts it again.
    pub is_frozen: bool,
    /// A copy of its disk.
    pub backup: Option<Box<Disk>>,
    /// How often it asked for votes.
    pub elections: u64,
    /// How leaders brought it up to date, in order.
    pub syncs: Vec<SyncKind>,
    sync_factor: u64,
}

/// The process.
#[derive(Clone, Debug)]
pub struct Server {
    /// Decides.
    pub replica: Replica,
    /// Answers.
    pub tree: Tree,
    /// Client connections.
    pub conns: Conns,
    /// Who wants to hear of what.
    pub watches: Shards,
    /// Connections to other servers.
    links: BTreeMap<Name, Link>,
    /// What was said last in an election, as it is written.
    told: Option<(Notification, Bytes)>,
    /// Packets are put into bytes here, and take the memory with them piece by piece.
    unsent: BytesMut,
    /// What the replica is still to be told.
    inputs: VecDeque<Input>,
    /// Used again and again.
    outbox: Vec<Action>,
    /// Connections to read on from when the replica is done.
    unread: Vec<ConnId>,
    is_stepping: bool,
    is_listening: bool,
    serves: bool,
    /// Those who are content with reading are let in as well.
    serves_readers: bool,
    planner: LogPlanner,
    commands: VecDeque<DiskCommand>,
    batch: Batch,
    applying: VecDeque<Job>,
    /// The state as of this zxid is being rebuilt.
    reload: Option<Zxid>,
    log_reads: VecDeque<(QueryId, Zxid, Zxid, LogShare)>,
    snapshot: Option<SnapshotWriter>,
    armed: Option<Mono>,
    /// When each session was last heard here; standing alone, from the start on all of them are.
    heard: BTreeMap<SessionId, Mono>,
    started: Mono,
}

/// What is on its way to the tree.
#[derive(Clone, Debug)]
enum Job {
    Commits(Vec<Commit>),
    Adopt(Box<Tree>),
    Config(ConfigNode),
}

/// What a node sees of the world while it does something.
#[derive(Debug)]
pub struct Context<'a> {
    /// True time.
    pub at: Time,
    /// All decisions.
    pub dice: &'a mut Dice,
    /// The record.
    pub trace: &'a mut Trace,
    /// The order of all commits.
    pub commits: &'a mut Commits,
    /// What clients saw.
    pub histories: &'a mut Histories,
    /// What the node does to the world.
    pub effects: &'a mut Vec<Effect>,
    /// Typed events for triggers, with the node that had them.
    pub events: &'a mut Vec<(u32, &'static str)>,
    /// The judge of what servers do to one another, if there are several.
    pub ensemble: &'a mut Option<Ensemble>,
    /// Connections between servers, to look at.
    pub wires: &'a Wires,
}

impl Node {
    /// A machine with an empty disk, switched off.
    pub fn new(id: u32, seed: u64, settings: Settings, clock: Clock) -> Self {
        Self {
            id,
            settings,
            disk: Disk::new(seed, id),
            clock,
            ledger: Ledger::default(),
            server: None,
            incarnation: 0,
            refused: None,
            boundaries: 0,
            crash_at: None,
            is_paused: false,
            is_off: false,
            is_twin: false,
            is_frozen: false,
            backup: None,
            elections: 0,
            syncs: Vec::new(),
            sync_factor: 1,
        }
    }

    /// Syncs take so many times as long.
    pub const fn slow_syncs(&mut self, factor: u64) {
        self.sync_factor = factor;
    }

    /// True while the process runs.
    pub const fn is_up(&self) -> bool {
        self.server.is_some()
    }

    /// True while clients are let in.
    pub fn serves(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.serves)
    }

    /// True while anybody is let in, be it for reading.
    pub fn opens(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.serves || server.serves_readers)
    }

    /// True if it belongs to an ensemble.
    pub const fn is_member(&self) -> bool {
        self.settings.replica.ensemble.is_some()
    }

    /// True while it leads, or is about to.
    pub fn leads(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.replica.standing().role == RoleKind::Leading)
    }

    /// True while it leads, and its epoch is established.
    pub fn rules(&self) -> bool {
        self.leads()
            && self.server.as_ref().is_some_and(|server| server.replica.standing().phase == Phase::Broadcast)
    }

    /// The process ends; what it leaves is up to the loss.
    pub fn crash(&mut self, loss: Loss) {
        self.server = None;
        self.incarnation += 1;
        if loss == Loss::Power {
            self.is_off = true;
            self.disk.lose_power();
        }
    }

    fn boundary(&mut self) -> Result<(), Stop> {
        self.boundaries += 1;
        match self.crash_at {
            Some((at, loss)) if at == self.boundaries => Err(Stop::Crash(loss)),
            _ => Ok(()),
        }
    }

    /// How traces name it.
    pub fn name(&self) -> String {
        format!("node {}", self.id)
    }

    /// Something is due.
    pub fn event(&mut self, event: NodeEvent, cx: &mut Context<'_>) -> Result<(), Stop> {
        match event {
            NodeEvent::Boot => return self.boot(cx),
            NodeEvent::Tick => {
                let server = self.server.as_mut().expect("events of dead processes are dropped");
                server.armed = None;
                if server.replica.deadline().is_some_and(|deadline| deadline <= self.clock.now(cx.at).mono) {
                    self.input(Input::Tick, cx)?;
                    self.weigh(cx)?;
                }
            }
            NodeEvent::Disk => self.disk_done(cx)?,
            NodeEvent::Apply => self.apply(cx)?,
            NodeEvent::Snapshot => self.snapshot(cx)?,
            NodeEvent::Idle => self.drop_idle(cx)?,
            NodeEvent::Purge => self.purge(cx)?,
            NodeEvent::Read => self.read_disk(cx)?,
            NodeEvent::Stream(name) => self.stream(name, cx)?,
        }
        self.arm(cx);
        Ok(())
    }

    /// Wakes the replica in time.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let Some(server) = &mut self.server else { return };
        let Some(deadline) = server.replica.deadline() else { return };
        if server.armed.is_none_or(|armed| deadline < armed) {
            server.armed = Some(deadline);
            let when = self.clock.when(deadline).max(cx.at);
            cx.effects.push(Effect::Schedule(when, NodeEvent::Tick));
        }
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("a running process")
    }

    fn split(&mut self) -> (&FrontConfig, &mut Server) {
        (&self.settings.front, self.server.as_mut().expect("a running process"))
    }
}

impl Server {
    fn host<'a>(&'a self, config: &'a FrontConfig, now: Now) -> Host<'a, Conns, Shards> {
        Host { config, tree: &self.tree, conns: &self.conns, watches: &self.watches, now }
    }

    /// True while something is on its way to the disk or to the tree.
    pub fn is_busy(&self) -> bool {
        self.batch.is_under_way()
            || !self.commands.is_empty()
            || !self.applying.is_empty()
            || self.replica.outstanding() > 0
    }

    /// How many servers, with itself, have told this leader that they hold this txn.
    pub fn acks(&self, zxid: Zxid) -> usize {
        let own = usize::from(self.replica.last_durable() >= zxid);
        own + self.links.values().filter(|link| link.acked() >= zxid).count()
    }

    /// True while servers may connect to its quorum port.
    pub const fn listens(&self) -> bool {
        self.is_listening
    }

    /// True while a snapshot is being written.
    pub const fn is_snapshotting(&self) -> bool {
        self.snapshot.is_some()
    }
}

/// How often connections are looked at for silence.
const IDLE_CHECK_NS: u64 = 1_000_000_000;
