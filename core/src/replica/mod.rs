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

mod snapshots;
mod standalone;

use alloc::format;
use alloc::vec::Vec;

use crate::action::{Action, CloseReason, DiskCommand, SessionAnswer};
use crate::auth::AuthInfo;
use crate::disk::recovery::Recovered;
use crate::event::Event;
use crate::ids::{ConnId, SessionId, Sid, Zxid};
use crate::input::{AdminCommand, ClientRequest, Input, RequestBody, SessionAsk, Token, Touch};
use crate::prep::Prep;
use crate::session::{SessionIds, SessionInfo, SessionTable};
use crate::time::{Mono, Now};
use crate::tree::Tree;
use crate::wire::request::Request;
use crate::wire::txn::TxnBody;
use snapshots::SnapshotSchedule;
use standalone::Pipeline;

/// Actions of one or more steps, in order. Reused by drivers.
pub type Outbox = Vec<Action>;

/// What a replica needs to know of its configuration.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// This server; the high byte of the session ids it hands out. Standalone: 1.
    pub sid: Sid,
    /// ms.
    pub tick_ms: u32,
    /// `snapCount`: roll and snapshot after a random number of txns in [n/2 + 1, n].
    pub snap_count: u32,
    /// `snapSizeLimitInKb` in bytes; 0 is off.
    pub snap_size_limit: u64,
    /// `zookeeper.digest.enabled`.
    pub digest: bool,
    /// `zookeeper.skipACL=yes`.
    pub skip_acl: bool,
    /// `globalOutstandingLimit`: requests between the door and their reply.
    pub outstanding_max: u32,
}

/// What the replica can still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Requests.
    pub requests: u32,
}

/// How much the replica still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
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
    phase: Phase,
    prep: Prep,
    pipeline: Pipeline,
    sessions: SessionTable,
    session_ids: SessionIds,
    snapshots: SnapshotSchedule,
    /// True until the first snapshot of a new database is durable. Nothing is logged before: a log without a snapshot
    /// under it looks like one whose snapshots are lost, and recovery refuses it, as Java's does (disk format §7).
    founding: bool,
}

/// The caller of what the server does by itself.
const NOBODY: &AuthInfo = &AuthInfo { ids: Vec::new() };

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
        let mut sessions = SessionTable::new(config.tick_ms);
        tree.sessions().for_each(|(session, timeout_ms)| sessions.open(session, timeout_ms, now.mono));
        let mut replica = Self {
            phase: Phase::Serving,
            prep: Prep::new(tree, config.digest, config.skip_acl),
            pipeline: Pipeline::new(last),
            sessions,
            session_ids: SessionIds::new(config.sid, last, now.wall),
            snapshots: SnapshotSchedule::new(seed, config.snap_count, config.snap_size_limit),
            founding: last == Zxid::ZERO,
            config,
        };
        replica.snapshots.ask();
        let lost = tree.ephemeral_owners().into_iter().filter(|owner| tree.session(*owner).is_none());
        for session in lost {
            replica.sessions.open_closing(session);
            replica.propose_close(now, session, tree);
        }
        replica.flush(out);
        replica
    }

    /// Takes one input; never blocks, never fails: whatever goes wrong becomes an action.
    ///
    /// `tree` has at least everything that an `Applied` reported.
    pub fn step(&mut self, now: Now, input: Input, tree: &Tree, out: &mut Outbox) {
        if self.phase == Phase::Failed {
            return;
        }
        match input {
            Input::Tick => self.on_tick(now, tree, out),
            Input::Connect { conn, ask } => self.on_connect(now, conn, ask, tree, out),
            Input::Request(request) => self.on_request(now, request, tree, out),
            // The session lives on until it expires or another connection re-attaches.
            Input::Gone { .. } => {}
            Input::Touched(touches) => self.on_touched(now, &touches),
            Input::Durable(token) => self.on_durable(token, out),
            Input::Applied(zxid) => {
                self.pipeline.applied(zxid);
                self.prep.applied(zxid, tree);
            }
            Input::SnapshotDone { zxid } => {
                self.snapshots.done();
                self.founding = false;
                out.push(Action::Event(Event::SnapshotDone { zxid }));
            }
            Input::DiskFailed(fault) => {
                self.phase = Phase::Failed;
                out.push(Action::Fatal(format!("{fault}")));
                return;
            }
            Input::Admin(AdminCommand::Snapshot) => self.snapshots.ask(),
            Input::Admin(AdminCommand::Drain) => self.phase = Phase::Draining,
        }
        self.flush(out);
    }

    fn on_tick(&mut self, now: Now, tree: &Tree, out: &mut Outbox) {
        if self.phase == Phase::Draining {
            return;
        }
        for session in self.sessions.expire(now.mono) {
            out.push(Action::Event(Event::SessionExpiring { session }));
            self.propose_close(now, session, tree);
        }
    }

    fn on_connect(&mut self, now: Now, conn: ConnId, ask: SessionAsk, tree: &Tree, out: &mut Outbox) {
        if self.phase == Phase::Draining {
            out.push(Action::Close { conn, why: CloseReason::ShuttingDown });
            return;
        }
        match ask {
            SessionAsk::New { timeout_ms } => {
                let session = self.session_ids.next(|id| self.sessions.contains(id));
                self.sessions.open(session, timeout_ms, now.mono);
                out.push(Action::Event(Event::SessionCreating { session, timeout_ms }));
                let txn = self
                    .prep
                    .create_session(&self.pipeline.proposal(now, session, 0, NOBODY, tree), timeout_ms);
                self.pipeline.propose(txn, Some(conn));
            }
            SessionAsk::Reattach { session, timeout_ms } => {
                let answer = if self.sessions.touch(session, timeout_ms, now.mono) {
                    SessionAnswer::Attached { session, timeout_ms }
                } else {
                    SessionAnswer::Invalid
                };
                out.push(Action::Session { conn, answer });
            }
        }
    }

    fn on_request(&mut self, now: Now, request: ClientRequest, tree: &Tree, out: &mut Outbox) {
        let ClientRequest { conn, session, xid, auth, body } = request;
        if self.phase == Phase::Draining {
            out.push(Action::Close { conn, why: CloseReason::ShuttingDown });
            return;
        }
        if !self.sessions.touch_by_request(session, now.mono) {
            // Dropped without a reply (client protocol §14). A closing session's connection is closed by the commit of
            // its close, behind the reply to it; closing it here would cut that off.
            if !self.sessions.contains(session) {
                out.push(Action::Close { conn, why: CloseReason::SessionExpired });
            }
            return;
        }
        let at = self.pipeline.proposal(now, session, xid, &auth, tree);
        let txn = match body {
            RequestBody::Op(Request::Sync(_)) => return self.pipeline.sync(conn, out),
            RequestBody::Op(Request::CloseSession) => {
                assert!(
                    self.sessions.begin_close(session),
                    "invariant: a session that was touched can be closed"
                );
                self.prep.close_session(&at)
            }
            RequestBody::Op(request) => self.prep.request(&at, request),
            RequestBody::Refused(error) => self.prep.refuse(&at, error),
        };
        self.pipeline.propose(txn, Some(conn));
    }

    fn on_touched(&mut self, now: Now, touches: &[Touch]) {
        for touch in touches {
            // A touch of a session that is gone by now comes too late, and changes nothing.
            let _ = self.sessions.touch(touch.session, touch.timeout_ms, now.mono);
        }
    }

    fn on_durable(&mut self, token: Token, out: &mut Outbox) {
        let sessions = &mut self.sessions;
        self.pipeline.durable(token, out, |txn| {
            if matches!(txn.body, TxnBody::CloseSession { .. }) {
                sessions.remove(txn.header.session);
            }
        });
    }

    /// Closes a session that is marked as closing, by nobody's request.
    fn propose_close(&mut self, now: Now, session: SessionId, tree: &Tree) {
        assert!(self.sessions.is_closing(session), "invariant: a session is closed once");
        let txn = self.prep.close_session(&self.pipeline.proposal(now, session, 0, NOBODY, tree));
        self.pipeline.propose(txn, None);
    }

    /// Sends what the step proposed to the disk, and begins a snapshot behind it if one is due.
    fn flush(&mut self, out: &mut Outbox) {
        let snapshots = &mut self.snapshots;
        if !self.founding {
            self.pipeline.flush(out, |bytes| snapshots.logged(bytes));
        }
        if snapshots.begin_if_due() {
            out.push(Action::Disk(DiskCommand::Roll));
            out.push(Action::Snapshot);
            out.push(Action::Event(Event::SnapshotStarted { zxid: self.pipeline.logged() }));
        }
    }
}

/// What drivers ask between steps.
impl Replica {
    /// The earliest time it wants a `Tick`.
    pub fn deadline(&self) -> Option<Mono> {
        if self.phase == Phase::Serving { self.sessions.deadline() } else { None }
    }

    /// What it can still take. Nothing while it drains or has failed.
    pub fn credit(&self) -> Credit {
        let limit = if self.phase == Phase::Serving { self.config.outstanding_max } else { 0 };
        let taken = u32::try_from(self.outstanding()).unwrap_or(u32::MAX);
        Credit { requests: limit.saturating_sub(taken) }
    }

    /// Requests between the door and their reply.
    pub fn outstanding(&self) -> usize {
        self.pipeline.outstanding()
    }

    /// True once a drain was ordered and nothing is in flight any more.
    pub fn is_drained(&self) -> bool {
        self.phase == Phase::Draining && self.outstanding() == 0
    }
}

/// What simulators and operators look at.
impl Replica {
    /// Sessions that live or are closing, by id.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.sessions.list()
    }

    /// The last zxid given to the disk.
    pub const fn last_logged(&self) -> Zxid {
        self.pipeline.logged()
    }

    /// The last zxid that the disk reported durable. Standalone, that commits it.
    pub const fn last_committed(&self) -> Zxid {
        self.pipeline.committed()
    }

    /// The last zxid that the tree was reported to have.
    pub const fn last_applied(&self) -> Zxid {
        self.pipeline.applied_up_to()
    }

    /// True while a snapshot that it ordered is being written.
    pub const fn snapshot_is_running(&self) -> bool {
        self.snapshots.is_running()
    }
}
