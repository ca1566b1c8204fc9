//! One server: the same rooms that ship, driven by events instead of threads.
//!
//! Every queue of the real driver is a queue here: disk commands, commits on their way to the tree, a snapshot in the
//! background, connections with their frames. A crash may fall between any two actions that a step emitted and between any
//! two file operations: each is a *boundary*, and boundaries are counted, so that a sweep can visit them all.

mod connections;
mod files;
mod serving;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use zk_core::action::{Action, Commit, DiskCommand};
use zk_core::disk::planner::LogPlanner;
use zk_core::disk::recovery::{self, Recovered};
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::disk::{DiskConfig, FileOp};
use zk_core::error::DiskFault;
use zk_core::event::Event;
use zk_core::front::{self, FrontConfig, Host, Intake};
use zk_core::ids::{ConnId, SessionId};
use zk_core::input::{Input, Token};
use zk_core::replica::{Replica, ReplicaConfig};
use zk_core::time::{Mono, Now};
use zk_core::tree::Tree;

use crate::clock::{Clock, Time};
use crate::dice::{Dice, Site};
use crate::disk::Disk;
use crate::network::Delay;
use crate::oracle::{Commits, Histories, Invariant, Ledger, Violation};
use crate::trace::Trace;

pub use connections::{Conns, Shards};

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
    planner: LogPlanner,
    commands: VecDeque<DiskCommand>,
    /// Operations of the batch under way, and what is durable when they are done.
    ops: VecDeque<FileOp>,
    ops_token: Option<Token>,
    applying: VecDeque<Vec<Commit>>,
    snapshot: Option<SnapshotWriter>,
    armed: Option<Mono>,
    /// When each session was last heard here; from the start on, all of them are.
    heard: BTreeMap<SessionId, Mono>,
    started: Mono,
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

    /// The process ends; what it leaves is up to the loss.
    pub fn crash(&mut self, loss: Loss) {
        self.server = None;
        self.incarnation += 1;
        if loss == Loss::Power {
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

    /// Starts the process: recovery, repairs, replica.
    pub fn boot(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        assert!(self.server.is_none(), "one process at a time");
        self.incarnation += 1;
        self.refused = None;
        let recovered = match recovery::recover(&mut self.disk, &self.settings.disk) {
            Ok(recovered) => recovered,
            Err(fault) => {
                cx.trace.headline(cx.at, &self.name(), &format!("refuses to start: {fault}"));
                cx.trace.mark("recovery-refused");
                self.refused = Some(fault);
                return Ok(());
            }
        };
        for op in &recovered.repairs {
            self.boundary()?;
            if let Err(error) = self.disk.run(op) {
                return Err(Stop::Fatal(format!("repair: {error}")));
            }
        }
        self.boundary()?;
        self.check_recovered(&recovered, cx)?;
        self.tell_recovered(&recovered, cx);
        let seed = cx.dice.draw(Site::ReplicaSeed, self.id);
        let now = self.clock.now(cx.at);
        let mut out = Vec::new();
        let replica = Replica::open(self.settings.replica.clone(), &recovered, seed, now, &mut out);
        self.server = Some(Box::new(Server {
            replica,
            tree: recovered.tree,
            conns: Conns::default(),
            watches: Shards::new(),
            planner: LogPlanner::new(self.settings.disk),
            commands: VecDeque::new(),
            ops: VecDeque::new(),
            ops_token: None,
            applying: VecDeque::new(),
            snapshot: None,
            armed: None,
            heard: BTreeMap::new(),
            started: now.mono,
        }));
        self.carry_out(out, cx)?;
        cx.effects.push(Effect::Schedule(cx.at.plus(IDLE_CHECK_NS), NodeEvent::Idle));
        if let Some((every, _)) = self.settings.purge {
            cx.effects.push(Effect::Schedule(cx.at.plus(every / 2), NodeEvent::Purge));
        }
        self.arm(cx);
        Ok(())
    }

    fn tell_recovered(&self, recovered: &Recovered, cx: &mut Context<'_>) {
        let what = format!("starts at {} with {} znodes", recovered.last_zxid, recovered.tree.node_count());
        cx.trace.headline(cx.at, &self.name(), &what);
        for event in &recovered.events {
            let what = match event {
                Event::TornTailDropped { file, offset } => {
                    cx.trace.mark("torn-tail-dropped");
                    format!("drops the torn end of {file} from byte {offset} on")
                }
                Event::SnapshotSkipped { file, why } => {
                    cx.trace.mark("snapshot-skipped");
                    format!("passes over {file}: {why}")
                }
                other => format!("{other:?}"),
            };
            cx.trace.headline(cx.at, &self.name(), &what);
        }
    }

    /// I18, I20, I23, I24: what came back is what was promised, and comes back the same from any snapshot.
    fn check_recovered(&mut self, recovered: &Recovered, cx: &mut Context<'_>) -> Result<(), Stop> {
        if self.disk.is_destroyed() && recovered.last_zxid < self.ledger.promised() {
            let what = format!(
                "serves at {} though {} was promised: damage must be refused",
                recovered.last_zxid,
                self.ledger.promised()
            );
            return Err(Violation { invariant: Invariant::I18, what }.into());
        }
        for event in &recovered.events {
            if let Event::DigestMismatch { zxid } = event {
                let what = format!("recovery finds another digest at {zxid}");
                return Err(Violation { invariant: Invariant::I20, what }.into());
            }
        }
        for txn in self.ledger.recovered(&recovered.tree)? {
            commit(&txn, cx)?;
            cx.trace.mark("unacknowledged-write-recovered");
        }
        cx.commits.compare(&recovered.tree)?;
        self.check_other_snapshots(recovered)
    }

    fn check_other_snapshots(&self, recovered: &Recovered) -> Result<(), Stop> {
        let mut disk = self.disk.clone();
        disk.faults = Default::default();
        let again = |disk: &mut Disk| recovery::recover(disk, &self.settings.disk);
        let differs = |what: String| Stop::from(Violation { invariant: Invariant::I24, what });
        let second =
            again(&mut disk).map_err(|fault| differs(format!("a second recovery refuses: {fault}")))?;
        if (second.last_zxid, second.tree.digest()) != (recovered.last_zxid, recovered.tree.digest()) {
            return Err(differs(format!("a second recovery ends at {}", second.last_zxid)));
        }
        if !self.disk.is_destroyed() && disk.drop_newest_snapshot() > 0 {
            let older =
                again(&mut disk).map_err(|fault| differs(format!("from an older snapshot: {fault}")))?;
            if (older.last_zxid, older.tree.digest()) != (recovered.last_zxid, recovered.tree.digest()) {
                return Err(differs(format!(
                    "from an older snapshot recovery ends at {} with digest {:#x}, not {} with {:#x}",
                    older.last_zxid,
                    older.tree.digest(),
                    recovered.last_zxid,
                    recovered.tree.digest()
                )));
            }
        }
        Ok(())
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
                }
            }
            NodeEvent::Disk => self.disk_done(cx)?,
            NodeEvent::Apply => self.apply(cx)?,
            NodeEvent::Snapshot => self.snapshot(cx)?,
            NodeEvent::Idle => self.drop_idle(cx)?,
            NodeEvent::Purge => self.purge(cx)?,
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

    fn input(&mut self, input: Input, cx: &mut Context<'_>) -> Result<(), Stop> {
        let now = self.clock.now(cx.at);
        let server = self.server.as_mut().expect("a running process");
        let mut out = Vec::new();
        server.replica.step(now, input, &server.tree, &mut out);
        self.carry_out(out, cx)
    }

    /// An operator's command.
    pub fn admin(&mut self, command: zk_core::input::AdminCommand, cx: &mut Context<'_>) -> Result<(), Stop> {
        self.input(Input::Admin(command), cx)
    }

    fn carry_out(&mut self, actions: Vec<Action>, cx: &mut Context<'_>) -> Result<(), Stop> {
        for action in actions {
            self.boundary()?;
            match action {
                Action::Disk(command) => {
                    if let DiskCommand::Append { records, .. } = &command {
                        self.ledger.log(records)?;
                    }
                    self.server().commands.push_back(command);
                    self.pump_disk(cx)?;
                }
                Action::Apply(commits) => {
                    for commit in &commits {
                        if let Commit::Txn { txn, .. } = commit {
                            self.ledger.promise(txn.header.zxid)?;
                        }
                    }
                    self.server().applying.push_back(commits);
                    if self.server().applying.len() == 1 {
                        let after = self.settings.apply.draw(cx.dice, Site::ApplyDelay, self.id);
                        cx.effects.push(Effect::Schedule(cx.at.plus(after), NodeEvent::Apply));
                    }
                }
                Action::Snapshot => self.begin_snapshot(cx),
                Action::Session { conn, answer } => {
                    if let zk_core::action::SessionAnswer::Attached { session, .. } = answer {
                        self.check_attached(session, cx)?;
                    }
                    let mut intake = Intake::default();
                    let now = self.clock.now(cx.at);
                    let (config, server) = self.split();
                    let host = server.host(config, now);
                    front::answer_session(conn, answer, &host, &mut intake);
                    self.take_in(intake, cx)?;
                    self.read_on(conn, cx)?;
                }
                Action::Close { conn, why } => self.close(conn, why, cx)?,
                Action::Event(event) => self.note(&event, cx)?,
                Action::Fatal(reason) => return Err(Stop::Fatal(reason)),
                other => return Err(Stop::Fatal(format!("a server on its own has no use for {other:?}"))),
            }
        }
        Ok(())
    }

    /// I28: a session that is closed at this server's own state is never accepted again.
    fn check_attached(&mut self, session: SessionId, cx: &Context<'_>) -> Result<(), Stop> {
        let applied = self.server().tree.last_zxid();
        let life = cx.commits.states().session(session);
        let closed = life.and_then(|life| life.closed).filter(|closed| *closed <= applied);
        match closed {
            Some(closed) => {
                let what = format!("node {} re-attaches {session}, closed at {closed}", self.id);
                Err(Violation { invariant: Invariant::I28, what }.into())
            }
            None => Ok(()),
        }
    }

    fn note(&mut self, event: &Event, cx: &mut Context<'_>) -> Result<(), Stop> {
        if let Event::SessionExpiring { session } = event {
            self.check_expiry(*session, cx)?;
        }
        let name = match event {
            Event::SessionCreating { .. } => "SessionCreating",
            Event::SessionExpiring { .. } => "SessionExpiring",
            Event::SnapshotStarted { .. } => "SnapshotStarted",
            Event::SnapshotDone { .. } => "SnapshotDone",
            _ => "Other",
        };
        cx.trace.tell(cx.at, || self.name(), || format!("{event:?}"));
        cx.events.push((self.id, name));
        Ok(())
    }

    /// I29: nobody expires who was heard within the timeout.
    fn check_expiry(&mut self, session: SessionId, cx: &mut Context<'_>) -> Result<(), Stop> {
        cx.trace.mark("session-expired");
        let now = self.clock.now(cx.at).mono;
        let server = self.server();
        let heard = server.heard.remove(&session).unwrap_or(server.started);
        let info = server.replica.sessions().into_iter().find(|info| info.session == session);
        let timeout_ms = info.map_or(0, |info| info.timeout_ms as u64);
        if now.since(heard) < timeout_ms * 1_000_000 {
            let what = format!(
                "session {session} with a timeout of {timeout_ms} ms expires {} ms after it was heard",
                now.since(heard) / 1_000_000
            );
            return Err(Violation { invariant: Invariant::I29, what }.into());
        }
        Ok(())
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("a running process")
    }

    fn split(&mut self) -> (&FrontConfig, &mut Server) {
        (&self.settings.front, self.server.as_mut().expect("a running process"))
    }

    fn apply(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let batch = self.server().applying.pop_front().expect("scheduled with a batch");
        for step in &batch {
            if let Commit::Txn { txn, .. } = step {
                commit(txn, cx)?;
            }
        }
        let mut intake = Intake::default();
        let now = self.clock.now(cx.at);
        let (config, server) = self.split();
        front::apply(config, &mut server.tree, &batch, &server.conns, &server.watches, now, &mut intake);
        let zxid = server.tree.last_zxid();
        let digest = server.tree.digest();
        if digest != cx.commits.digest_at(zxid) {
            let what = format!(
                "node {} at {zxid}: digest {digest:#x}, not {:#x}",
                self.id,
                cx.commits.digest_at(zxid)
            );
            return Err(Violation { invariant: Invariant::I20, what }.into());
        }
        self.ledger.applied(zxid);
        if !self.server().applying.is_empty() {
            let after = self.settings.apply.draw(cx.dice, Site::ApplyDelay, self.id);
            cx.effects.push(Effect::Schedule(cx.at.plus(after), NodeEvent::Apply));
        }
        self.input(Input::Applied(zxid), cx)?;
        self.take_in(intake, cx)?;
        self.read_all(cx)
    }
}

impl Server {
    fn host<'a>(&'a self, config: &'a FrontConfig, now: Now) -> Host<'a, Conns, Shards> {
        Host { config, tree: &self.tree, conns: &self.conns, watches: &self.watches, now }
    }

    /// True while something is on its way to the disk or to the tree.
    pub fn is_busy(&self) -> bool {
        !self.ops.is_empty()
            || !self.commands.is_empty()
            || !self.applying.is_empty()
            || self.replica.outstanding() > 0
    }

    /// True while a snapshot is being written.
    pub const fn is_snapshotting(&self) -> bool {
        self.snapshot.is_some()
    }
}

/// A txn is committed: the oracle judges it, and watches are owed.
fn commit(txn: &Arc<zk_core::wire::txn::Txn>, cx: &mut Context<'_>) -> Result<(), Violation> {
    if cx.commits.commit(txn)? {
        cx.histories.committed(cx.commits);
    }
    Ok(())
}

/// How often connections are looked at for silence.
const IDLE_CHECK_NS: u64 = 1_000_000_000;
