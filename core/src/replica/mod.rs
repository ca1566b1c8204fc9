//! The replica: decides, and never changes the tree.
//!
//! It takes one [`Input`] at a time and appends [`Action`]s, whose order is the safety argument:
//!
//! - an `Apply` that holds a txn follows the `Durable` that covers the txn's append, so nothing is answered that a
//!   power cut could take back;
//! - commits are applied in zxid order, a sync behind all that was proposed before it;
//! - after `Fatal` nothing is emitted any more.
//!
//! A driver calls [`Replica::open`] once, then [`Replica::step`] for every input, and with `Tick` when
//! [`Replica::deadline`] has come. [`Replica::credit`] says how many more requests to let in.

#[expect(dead_code, reason = "the roles of an ensemble are on their way")]
mod commit_log;
#[expect(dead_code, reason = "the roles of an ensemble are on their way")]
mod outbox;
#[expect(dead_code, reason = "the roles of an ensemble are on their way")]
mod proposer;
mod role;
mod settings;
mod snapshots;
mod standalone;

use alloc::format;
use alloc::vec::Vec;

use crate::action::{Action, CloseReason, DiskCommand};
use crate::disk::recovery::Recovered;
use crate::event::Event;
use crate::ids::Zxid;
use crate::input::{AdminCommand, Input};
use crate::session::{SessionIds, SessionInfo};
use crate::time::{Mono, Now};
use crate::tree::Tree;
use commit_log::{CommitLog, Window};
pub use outbox::Outbox;
use outbox::Turn;
pub use role::{ClientService, Leave, PeerFault, Phase, RoleKind, Standing, SyncKind};
pub use settings::{LogShare, ReplicaConfig};
use snapshots::SnapshotSchedule;
use standalone::Standalone;

/// What the replica can still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Requests.
    pub requests: u32,
}

/// How much the replica still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Serving,
    /// Takes no more requests; what is in flight finishes.
    Draining,
    /// The disk failed: it may have lost anything, so nothing is promised any more.
    Failed,
}

/// One server's mind.
#[derive(Clone, Debug)]
pub struct Replica {
    config: ReplicaConfig,
    life: Life,
    log: CommitLog,
    session_ids: SessionIds,
    snapshots: SnapshotSchedule,
    standalone: Standalone,
    /// True until the first snapshot of a new database is durable. Nothing is logged before: a log without a snapshot
    /// under it looks like one whose snapshots are lost, and recovery refuses it, as Java's does (disk format §7).
    founding: bool,
}

impl Replica {
    /// Starts from what recovery found. `seed` feeds snapshot staggering and nothing that is promised.
    ///
    /// Every session of the recovered tree has its full timeout from now on. Sessions that own nodes and are in no
    /// table are closed. A snapshot is taken, as Java does at start, so that the next recovery is short.
    pub fn open(config: ReplicaConfig, recovered: &Recovered, seed: u64, now: Now, out: &mut Outbox) -> Self {
        let tree = &recovered.tree;
        let last = recovered.last_zxid;
        assert!(
            last == tree.last_zxid(),
            "invariant: recovery replays all it finds: {last}, not {}",
            tree.last_zxid()
        );
        let mut replica = Self {
            life: Life::Serving,
            log: CommitLog::new(last, &recovered.recent, Window::NONE),
            session_ids: SessionIds::new(config.sid, last, now.wall),
            snapshots: SnapshotSchedule::new(seed, config.snap_count, config.snap_size_limit),
            standalone: Standalone::new(&config, tree, now),
            founding: last == Zxid::ZERO,
            config,
        };
        replica.snapshots.ask();
        let (standalone, mut turn) = replica.turn(now, tree, out);
        standalone.close_lost(&mut turn);
        replica.flush(out);
        replica
    }

    /// Takes one input; never blocks, never fails: whatever goes wrong becomes an action.
    ///
    /// `tree` has at least everything that an `Applied` reported.
    pub fn step(&mut self, now: Now, input: Input, tree: &Tree, out: &mut Outbox) {
        if self.life == Life::Failed {
            return;
        }
        match &input {
            Input::Connect { conn, .. } if self.life == Life::Draining => {
                out.push(Action::Close { conn: *conn, why: CloseReason::ShuttingDown });
                return;
            }
            Input::Request(request) if self.life == Life::Draining => {
                out.push(Action::Close { conn: request.conn, why: CloseReason::ShuttingDown });
                return;
            }
            Input::Durable(token) => self.log.durable(*token),
            Input::Applied(zxid) => self.log.applied(*zxid),
            Input::SnapshotDone { zxid } => {
                self.snapshots.done();
                self.founding = false;
                out.push(Action::Event(Event::SnapshotDone { zxid: *zxid }));
            }
            Input::DiskFailed(fault) => {
                self.life = Life::Failed;
                out.push(Action::Fatal(format!("{fault}")));
                return;
            }
            Input::Admin(AdminCommand::Snapshot) => self.snapshots.ask(),
            Input::Admin(AdminCommand::Drain) => self.life = Life::Draining,
            _ => {}
        }
        let (standalone, mut turn) = self.turn(now, tree, out);
        standalone.step(input, &mut turn);
        self.flush(out);
    }

    /// The role, and what it works with.
    fn turn<'a>(
        &'a mut self,
        now: Now,
        tree: &'a Tree,
        out: &'a mut Outbox,
    ) -> (&'a mut Standalone, Turn<'a>) {
        let Self { config, life, log, session_ids, standalone, .. } = self;
        (standalone, Turn { now, tree, config, life: *life, log, session_ids, out })
    }

    /// Sends what the step proposed to the disk, and begins a snapshot behind it if one is due.
    fn flush(&mut self, out: &mut Outbox) {
        let snapshots = &mut self.snapshots;
        if !self.founding {
            self.log.flush(out, |bytes| snapshots.logged(bytes));
        }
        if snapshots.begin_if_due() {
            out.push(Action::Disk(DiskCommand::Roll));
            out.push(Action::Snapshot);
            out.push(Action::Event(Event::SnapshotStarted { zxid: self.log.logged() }));
        }
    }
}

/// What drivers ask between steps.
impl Replica {
    /// The earliest time it wants a `Tick`.
    pub fn deadline(&self) -> Option<Mono> {
        if self.life == Life::Serving { self.standalone.deadline() } else { None }
    }

    /// What it can still take. Nothing while it drains or has failed.
    pub fn credit(&self) -> Credit {
        let limit = if self.life == Life::Serving { self.config.outstanding_max } else { 0 };
        let taken = u32::try_from(self.outstanding()).unwrap_or(u32::MAX);
        Credit { requests: limit.saturating_sub(taken) }
    }

    /// Requests between the door and their reply.
    pub fn outstanding(&self) -> usize {
        self.log.unapplied() + self.standalone.syncs()
    }

    /// True once a drain was ordered and nothing is in flight any more.
    pub fn is_drained(&self) -> bool {
        self.life == Life::Draining && self.outstanding() == 0
    }
}

/// What simulators and operators look at.
impl Replica {
    /// Sessions that live or are closing, by id.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.standalone.sessions()
    }

    /// The last zxid given to the disk.
    pub const fn last_logged(&self) -> Zxid {
        self.log.logged()
    }

    /// The last zxid that the disk reported durable. Standalone, that commits it.
    pub const fn last_committed(&self) -> Zxid {
        self.log.committed()
    }

    /// The last zxid that the tree was reported to have.
    pub const fn last_applied(&self) -> Zxid {
        self.log.applied_zxid()
    }

    /// True while a snapshot that it ordered is being written.
    pub const fn snapshot_is_running(&self) -> bool {
        self.snapshots.is_running()
    }
}
