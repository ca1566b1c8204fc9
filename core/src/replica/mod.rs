//! The replica: decides, and never changes the tree.
//!
//! It takes one [`Input`] at a time and appends [`Action`]s, whose order is the safety argument:
//!
//! - what promises is emitted behind the `Durable` that it needs: ACKEPOCH behind the accepted epoch, the ack of NEWLEADER
//!   behind history and current epoch, the ack of a proposal behind its record;
//! - an `Apply` of a client's txn follows its commit: by the own disk (standalone), by a quorum of disks (ensemble). So
//!   nothing is answered that a power cut could take back;
//! - commits are applied in zxid order, a sync behind all that was proposed before it;
//! - after `Fatal` nothing is emitted any more.
//!
//! A driver calls [`Replica::open`] once, then [`Replica::step`] for every input, and with `Tick` when
//! [`Replica::deadline`] has come. [`Replica::credit`] says how many more requests to let in. Before the first action of
//! `open` the driver carries out [`Recovered::repairs`].

mod commit_log;
mod leader;
mod learner;
mod local;
mod looking;
mod member;
mod outbox;
mod proposer;
mod read_only;
mod reaper;
mod reconfig;
mod role;
mod settings;
mod snapshots;
mod standalone;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::{Action, CloseReason, DiskCommand, HangReason};
use crate::disk::epochs::{EpochKind, Epochs};
use crate::disk::recovery::Recovered;
use crate::election::port::{ElectionPort, PortAction};
use crate::event::Event;
use crate::ids::{PeerState, Zxid};
use crate::input::{AdminCommand, Input, LinkEvent};
use crate::quorum::Membership;
use crate::session::{SessionIds, SessionInfo};
use crate::time::{Mono, Now};
use crate::tree::{Tree, digest};
use commit_log::{CommitLog, Window};
use leader::Leading;
use learner::{LearnerKind, Learning};
use looking::Looking;
pub use member::DurableFacts;
use member::Member;
pub use outbox::Outbox;
use outbox::Turn;
use role::Role;
pub use role::{
    ClientService, LearnerRole, LearnerStanding, Leave, PeerFault, Phase, RoleKind, Standing, SyncKind,
};
pub use settings::{
    Ensemble, LocalSessions, LogShare, ReaperSettings, Reconfig, ReplicaConfig, SyncChoice, SyncReads,
    SyncsMax,
};
use snapshots::SnapshotSchedule;
use standalone::Standalone;

/// What the election port wants done in one step.
type PortActions = Vec<PortAction>;

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
    role: Role,
    /// `None`: standalone.
    member: Option<Member>,
    /// True until the first snapshot of a new standalone database is durable. Nothing is logged before: a log without a
    /// snapshot under it looks like one whose snapshots are lost, and recovery refuses it, as Java's does (disk format
    /// §7).
    founding: bool,
}

impl Replica {
    /// Starts from what recovery found. `seed` feeds the staggering of snapshots and of observers and the ids of local
    /// sessions, and nothing that is promised.
    ///
    /// Standalone: every session of the recovered tree has its full timeout from now on. Sessions that own nodes and are
    /// in no table are closed. A snapshot is taken, as Java does at start, so that the next recovery is short.
    ///
    /// In an ensemble: a leader is looked for. What was recovered may have a tail that nobody else has, so no snapshot
    /// is taken of it before a leader has confirmed it.
    pub fn open(config: ReplicaConfig, recovered: &Recovered, seed: u64, now: Now, out: &mut Outbox) -> Self {
        let config = config.with_elections_told();
        let tree = &recovered.tree;
        let last = recovered.last_zxid;
        assert!(
            last == tree.last_zxid(),
            "invariant: recovery replays all it finds: {last}, not {}",
            tree.last_zxid()
        );
        let window = config.ensemble.as_ref().map_or(Window::NONE, Ensemble::window);
        let role = match &config.ensemble {
            None => Role::Standalone(Standalone::new(&config, tree, now)),
            Some(_) => Role::Looking(Looking::default()),
        };
        let first = Epochs { accepted: last.epoch(), current: last.epoch() };
        let epochs = recovered.epochs.unwrap_or(first);
        let member = config.ensemble.as_ref().map(|e| Member::new(config.sid, e, epochs, seed));
        let mut replica = Self {
            life: Life::Serving,
            log: CommitLog::new(last, &recovered.recent, window),
            session_ids: SessionIds::new(config.sid, last, now.wall).with_salt(seed),
            snapshots: SnapshotSchedule::new(seed, config.snap_count, config.snap_size_limit),
            role,
            founding: member.is_none() && last == Zxid::ZERO,
            member,
            config,
        };
        if replica.member.is_none() {
            replica.snapshots.ask();
        }
        let (role, mut turn) = replica.turn(now, tree, out);
        match role {
            Role::Standalone(standalone) => standalone.close_lost(&mut turn),
            Role::Looking(looking) => found(looking, recovered, &mut turn),
            Role::Leading(_) | Role::Learning(_) => {}
        }
        replica.flush(out);
        replica
    }

    /// Takes one input; never blocks, never fails: whatever goes wrong becomes an action.
    ///
    /// `tree` has at least everything that an `Applied` reported.
    pub fn step(&mut self, now: Now, input: Input, tree: &Tree, out: &mut Outbox) {
        if self.life == Life::Failed || self.is_refused(&input, out) {
            return;
        }
        self.note(&input, tree, out);
        if self.life == Life::Failed {
            return;
        }
        let (role, mut turn) = self.turn(now, tree, out);
        if let Role::Standalone(standalone) = role {
            standalone.step(input, &mut turn);
        } else {
            if let Err(why) = step_member(role, input, &mut turn) {
                leave(role, why, &mut turn);
            }
            settle(role, &mut turn);
        }
        self.flush(out);
    }

    /// A server that drains takes nothing new.
    fn is_refused(&self, input: &Input, out: &mut Outbox) -> bool {
        let conn = match input {
            Input::Connect { conn, .. } => *conn,
            Input::Request(request) => request.conn,
            _ => return false,
        };
        let refused = self.life == Life::Draining;
        if refused {
            out.push(Action::Close { conn, why: CloseReason::ShuttingDown });
        }
        refused
    }

    /// What an input means to the server, whatever its role.
    fn note(&mut self, input: &Input, tree: &Tree, out: &mut Outbox) {
        match input {
            Input::Durable(token) => {
                self.log.durable(*token);
                self.member.iter_mut().for_each(|member| member.epochs.on_durable(*token));
            }
            Input::Applied(zxid) => {
                self.compare_digest(*zxid, tree, out);
                self.log.applied(*zxid);
            }
            Input::SnapshotDone { zxid } => {
                self.snapshots.done();
                self.founding = false;
                out.push(Action::Event(Event::SnapshotDone { zxid: *zxid }));
            }
            Input::DiskFailed(_) if planted!(self.config.museum, P33) && self.member.is_some() => {}
            Input::DiskFailed(fault) => {
                self.life = Life::Failed;
                out.push(Action::Fatal(format!("{fault}")));
            }
            Input::Admin(AdminCommand::Snapshot) => self.snapshots.ask(),
            Input::Admin(AdminCommand::Drain) => self.life = Life::Draining,
            _ => {}
        }
    }

    /// A learner's tree must come to what its leader predicted. It is told once: whatever differs goes on differing.
    fn compare_digest(&mut self, zxid: Zxid, tree: &Tree, out: &mut Outbox) {
        let Some(member) = self.member.as_mut().filter(|member| !member.digest_differs) else { return };
        if !self.config.digest || tree.last_zxid() != zxid || !matches!(self.role, Role::Learning(_)) {
            return;
        }
        let predicted = self.log.get(zxid).and_then(|entry| entry.txn.digest);
        let differs =
            |d: crate::wire::txn::TxnDigest| d.version == digest::VERSION && d.digest as u64 != tree.digest();
        if predicted.is_some_and(differs) {
            member.digest_differs = true;
            out.push(Action::Event(Event::DigestMismatch { zxid }));
        }
    }

    /// The role, and what it works with.
    fn turn<'a>(&'a mut self, now: Now, tree: &'a Tree, out: &'a mut Outbox) -> (&'a mut Role, Turn<'a>) {
        let Self { config, life, log, session_ids, snapshots, role, member, .. } = self;
        let member = member.as_mut();
        (role, Turn { now, tree, config, life: *life, log, snapshots, session_ids, member, out })
    }

    /// Sends what the step proposed to the disk, and begins a snapshot behind it if one is due. Members of an ensemble take
    /// them only of what a quorum holds (bug museum P35).
    fn flush(&mut self, out: &mut Outbox) {
        let snapshots = &mut self.snapshots;
        if !self.founding {
            self.log.flush(out, |bytes| snapshots.logged(bytes));
        }
        // A tree that is about to be replaced holds what has just been cut off (bug museum P20).
        let confirmed = self.standing().phase == Phase::Broadcast || planted!(self.config.museum, P35);
        let worthy = confirmed && self.log.tree_has(Zxid::ZERO);
        if worthy && self.snapshots.begin_if_due() {
            out.push(Action::Disk(DiskCommand::Roll));
            out.push(Action::Snapshot);
            out.push(Action::Event(Event::SnapshotStarted { zxid: self.log.logged() }));
        }
    }
}

/// A member's first steps: a new database gets the snapshot that its log will stand on, and epoch files that are missing
/// are written, as Java does (disk format §2, §7).
fn found(looking: &mut Looking, recovered: &Recovered, turn: &mut Turn<'_>) {
    if recovered.last_zxid == Zxid::ZERO {
        let token = turn.log.token();
        let view = Box::new(recovered.tree.view());
        turn.out.push(Action::Disk(DiskCommand::Install { token, view }));
    }
    if recovered.epochs.is_none() {
        let epoch = recovered.last_zxid.epoch();
        turn.set_epoch(EpochKind::Accepted, epoch);
        turn.set_epoch(EpochKind::Current, epoch);
    }
    *looking = Looking::begin(turn.now.mono, None, turn);
    looking.elect_if_settled(turn);
}

/// One input for a member of an ensemble.
fn step_member(role: &mut Role, input: Input, turn: &mut Turn<'_>) -> Result<(), Leave> {
    match input {
        Input::Election(input) => {
            turn.elect(|port, now, out| port.step(now, input, out));
            return Ok(());
        }
        Input::Tick if turn.member().port.deadline().is_some_and(|at| at <= turn.now.mono) => {
            turn.elect(|port, now, out| port.on_timer(now, out));
        }
        _ => {}
    }
    match (role, input) {
        (Role::Leading(_) | Role::Learning(_), Input::DiskFailed(_)) => Err(Leave::LostQuorum),
        (Role::Leading(leading), input) => leading.step(input, turn),
        (Role::Learning(learning), input) => learning.step(input, turn),
        (_, Input::Link { link, event: LinkEvent::Up }) => {
            turn.hang(link, HangReason::RoleLost);
            Ok(())
        }
        (Role::Looking(looking), input) => {
            looking.step(input, turn);
            Ok(())
        }
        (Role::Standalone(_), _) => panic!("invariant: a member of an ensemble does not stand alone"),
    }
}

/// The role ends, with everything that waited in it; the log stays.
fn leave(role: &mut Role, why: Leave, turn: &mut Turn<'_>) {
    let mut begin_at = turn.now.mono;
    match role {
        Role::Leading(leading) => {
            leading.end(turn);
            if matches!(why, Leave::NoQuorum(_) | Leave::LostQuorum) {
                let me = turn.config.sid;
                turn.member().port.leader_failed(me);
            }
        }
        // Such a leader stays, and would be asked again and again without a pause.
        Role::Learning(learning) if matches!(why, Leave::EpochBehind | Leave::Fault(_)) => {
            learning.end(&why, turn);
            begin_at = turn.after_ms(LEADER_UNFIT_PAUSE_MS);
        }
        Role::Learning(learning) => {
            learning.end(&why, turn);
            // Whose link breaks while it leads has ended, most likely, and may lead again when it comes back.
            let serves = learning.standing().phase == Phase::Broadcast;
            let in_vain = match why {
                Leave::Unreachable | Leave::LeaderSilent => true,
                Leave::LinkDown(_) => !serves,
                _ => false,
            };
            if in_vain {
                turn.member().port.leader_failed(learning.leader());
            }
            if learning.standing().role == RoleKind::Observing && !matches!(why, Leave::Reconfigured { .. }) {
                let delay = u64::from(turn.ensemble().observer_delay_ms);
                let delay_ms = turn.member().dice.below(delay);
                begin_at = turn.after_ms(delay_ms);
            }
        }
        Role::Standalone(_) | Role::Looking(_) => {
            panic!("invariant: only leaders and learners leave: {why:?}")
        }
    }
    #[cfg(feature = "museum")]
    if planted!(turn.config.museum, P17) {
        turn.log.lose_batch();
    }
    turn.flush();
    let designated = match why {
        Leave::Reconfigured { leader } => leader,
        _ => None,
    };
    turn.event(Event::RoleLeft { why });
    *role = Role::Looking(Looking::begin(begin_at, designated, turn));
}

/// How long a server waits whose leader is of an older epoch than it may follow, or breaks the protocol, ms.
const LEADER_UNFIT_PAUSE_MS: u64 = 1_000;

/// Asks for votes if it is time, and goes where the election has decided.
fn settle(role: &mut Role, turn: &mut Turn<'_>) {
    if let Role::Looking(looking) = role {
        looking.elect_if_settled(turn);
        while turn.member.as_deref_mut().is_some_and(|member| core::mem::take(&mut member.elects_others)) {
            looking.elect_again(turn);
        }
    }
    let Some(decision) = turn.member.as_deref_mut().and_then(|member| member.decided.take()) else { return };
    let leader = decision.vote.leader;
    turn.event(Event::ElectionDecided { leader });
    *role = match decision.state {
        PeerState::Leading => Role::Leading(Leading::begin(turn)),
        PeerState::Following => Role::Learning(Learning::begin(leader, LearnerKind::Follower, turn)),
        PeerState::Observing => Role::Learning(Learning::begin(leader, LearnerKind::Observer, turn)),
        PeerState::Looking => panic!("invariant: an election ends with a role"),
    };
}

/// What drivers ask between steps.
impl Replica {
    /// The earliest time it wants a `Tick`.
    pub fn deadline(&self) -> Option<Mono> {
        let own = match (&self.role, self.life) {
            (_, Life::Failed) | (Role::Standalone(_), Life::Draining) => return None,
            (Role::Standalone(standalone), _) => standalone.deadline(),
            (Role::Looking(looking), _) => looking.deadline(),
            (Role::Leading(leading), _) => leading.deadline(&self.config),
            (Role::Learning(learning), _) => learning.deadline(&self.config),
        };
        let port = self.member.as_ref().and_then(|member| member.port.deadline());
        own.into_iter().chain(port).min()
    }

    /// What it can still take. Nothing while it drains or has failed.
    pub fn credit(&self) -> Credit {
        let voters =
            self.member.as_ref().map_or(1, |member| member.membership.quorums().in_force().voters().len());
        let limit = if self.life == Life::Serving { self.config.requests_max(voters) } else { 0 };
        let taken = u32::try_from(self.outstanding()).unwrap_or(u32::MAX);
        Credit { requests: limit.saturating_sub(taken) }
    }

    /// Requests between the door and their reply.
    pub fn outstanding(&self) -> usize {
        match &self.role {
            Role::Standalone(standalone) => self.log.unapplied() + standalone.syncs(),
            Role::Leading(leading) => self.log.unapplied() + leading.syncs(),
            Role::Learning(learning) => learning.outstanding(),
            Role::Looking(_) => 0,
        }
    }

    /// True once a drain was ordered and nothing is in flight any more.
    pub fn is_drained(&self) -> bool {
        self.life == Life::Draining && self.outstanding() == 0
    }
}

/// What simulators and operators look at.
impl Replica {
    /// Its role, and how far it has got in it.
    pub fn standing(&self) -> Standing {
        match &self.role {
            Role::Standalone(_) => Standing::STANDALONE,
            Role::Looking(looking) => looking.standing(),
            Role::Leading(leading) => leading.standing(),
            Role::Learning(learning) => learning.standing(),
        }
    }

    /// Sessions that live or are closing, by id. Only who leads, or stands alone, knows of them.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        match &self.role {
            Role::Standalone(standalone) => standalone.sessions(),
            Role::Leading(leading) => leading.sessions(),
            Role::Looking(_) | Role::Learning(_) => Vec::new(),
        }
    }

    /// Whether new sessions are known to this server only.
    pub fn has_local_sessions(&self) -> bool {
        let ensemble = self.config.ensemble.as_ref();
        ensemble.is_some_and(|ensemble| ensemble.local_sessions != LocalSessions::Off)
    }

    /// Sessions that only this server knows, by id.
    pub fn local_sessions(&self) -> Vec<SessionInfo> {
        match &self.role {
            Role::Standalone(_) => Vec::new(),
            Role::Looking(looking) => looking.local_sessions(),
            Role::Leading(leading) => leading.local_sessions(),
            Role::Learning(learning) => learning.local_sessions(),
        }
    }

    /// Everybody behind this leader; nobody, if it does not lead.
    pub fn learners(&self) -> Vec<LearnerStanding> {
        match &self.role {
            Role::Leading(leading) => {
                let member = self.member.as_ref();
                let membership = &member.expect("invariant: who leads is a member").membership;
                leading.followers(membership.quorums())
            }
            _ => Vec::new(),
        }
    }

    /// Who belongs to the ensemble; `None` standalone.
    pub fn membership(&self) -> Option<&Arc<Membership>> {
        self.member.as_ref().map(|member| &member.membership)
    }

    /// Syncs that wait for a quorum's word.
    pub fn pending_syncs(&self) -> usize {
        match &self.role {
            Role::Leading(leading) => leading.syncs(),
            _ => 0,
        }
    }

    /// The last zxid given to the disk.
    pub const fn last_logged(&self) -> Zxid {
        self.log.logged()
    }

    /// The last zxid that the disk reported durable.
    pub const fn last_durable(&self) -> Zxid {
        self.log.durable_zxid()
    }

    /// The last zxid given to the tree: what recovery found, and what was committed since.
    pub const fn last_committed(&self) -> Zxid {
        self.log.committed()
    }

    /// The last zxid that the tree was reported to have.
    pub const fn last_applied(&self) -> Zxid {
        self.log.applied_zxid()
    }

    /// Both epochs as they were ordered to the disk; `None` standalone.
    pub fn epochs(&self) -> Option<Epochs> {
        let epochs = &self.member.as_ref()?.epochs;
        Some(Epochs { accepted: epochs.accepted(), current: epochs.current() })
    }

    /// What a power cut would leave at least: no message may promise more (invariant I17). `None` standalone.
    pub fn durable_facts(&self) -> Option<DurableFacts> {
        let epochs = self.member.as_ref()?.epochs.durable();
        Some(DurableFacts { zxid: self.log.durable_zxid(), epochs })
    }

    /// Votes and links of the election port; `None` standalone.
    pub fn election(&self) -> Option<&ElectionPort> {
        self.member.as_ref().map(|member| &member.port)
    }

    /// How this learner's leader brought it up to date, once that is known.
    pub const fn sync_kind(&self) -> Option<SyncKind> {
        match &self.role {
            Role::Learning(learning) => learning.sync_kind(),
            _ => None,
        }
    }

    /// The epoch whose leader this learner has acknowledged, and where the history ended that it took over.
    pub const fn acked_leader(&self) -> Option<(u32, Zxid)> {
        match &self.role {
            Role::Learning(learning) => learning.acked_leader(),
            _ => None,
        }
    }

    /// How often a peer broke the protocol (invariant I09).
    pub fn faults(&self) -> u64 {
        self.member.as_ref().map_or(0, |member| member.faults)
    }

    /// True while a snapshot that it ordered is being written.
    pub const fn snapshot_is_running(&self) -> bool {
        self.snapshots.is_running()
    }
}
