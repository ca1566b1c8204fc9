//! What a role works with during one step: what it may look at, and where what it decides goes.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::commit_log::{CommitLog, Entry};
use super::member::{EpochBook, Member};
use super::role::{Leave, PeerFault, Standing};
use super::settings::{Ensemble, ReplicaConfig};
use super::snapshots::SnapshotSchedule;
use super::{Life, PortActions};
use crate::action::{Action, CloseReason, Commit, ConfigNode, DiskCommand, HangReason};
use crate::disk::epochs::EpochKind;
use crate::election::port::{ElectionPort, PortAction};
use crate::error::OpError;
use crate::event::Event;
use crate::ids::{ConnId, LinkId, Zxid};
use crate::input::Token;
use crate::session::SessionIds;
use crate::time::{Mono, Now};
use crate::tree::{ApplyMode, Tree};
use crate::wire::quorum::QuorumPacket;
use crate::wire::txn::{Txn, TxnBody};

/// Actions of one or more steps, in order. Reused by drivers.
pub type Outbox = Vec<Action>;

/// One step's surroundings.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    /// Has everything that an `Applied` reported, or more.
    pub(super) tree: &'a Tree,
    pub(super) config: &'a ReplicaConfig,
    pub(super) life: Life,
    pub(super) log: &'a mut CommitLog,
    pub(super) snapshots: &'a mut SnapshotSchedule,
    pub(super) session_ids: &'a mut SessionIds,
    /// `None`: standalone.
    pub(super) member: Option<&'a mut Member>,
    pub(super) out: &'a mut Outbox,
}

/// What every role does.
impl Turn<'_> {
    pub(super) fn event(&mut self, event: Event) {
        self.out.push(Action::Event(event));
    }

    pub(super) fn close(&mut self, conn: ConnId, why: CloseReason) {
        self.out.push(Action::Close { conn, why });
    }

    /// A container or TTL node is taken away.
    pub(super) fn collecting(&mut self, entry: &Entry) {
        if let TxnBody::DeleteContainer { path } = &entry.txn.body {
            self.event(Event::NodeCollecting { path: path.clone() });
        }
    }

    /// Gives the disk what was appended to the log.
    pub(super) fn flush(&mut self) {
        let snapshots = &mut *self.snapshots;
        self.log.flush(self.out, |bytes| snapshots.logged(bytes));
    }
}

/// What members of an ensemble do.
impl Turn<'_> {
    pub(super) fn ensemble(&self) -> &Ensemble {
        self.config.ensemble()
    }

    pub(super) fn member(&mut self) -> &mut Member {
        self.member.as_deref_mut().expect("invariant: only members of an ensemble have these roles")
    }

    pub(super) fn epochs(&mut self) -> &EpochBook {
        &self.member().epochs
    }

    pub(super) fn ticks(&self, ticks: u32) -> Duration {
        self.config.ticks(ticks)
    }

    pub(super) fn after_ticks(&self, ticks: u32) -> Mono {
        self.now.mono + self.ticks(ticks)
    }

    pub(super) fn after_ms(&self, ms: u64) -> Mono {
        self.now.mono + Duration::from_millis(ms)
    }

    pub(super) fn send(&mut self, link: LinkId, packet: QuorumPacket) {
        self.out.push(Action::Send { link, packet });
    }

    pub(super) fn hang(&mut self, link: LinkId, why: HangReason) {
        if matches!(why, HangReason::Fault(_)) {
            self.member().faults += 1;
        }
        self.out.push(Action::Hang { link, why });
    }

    /// Tells the driver what this server is now.
    pub(super) fn stand(&mut self, standing: Standing) {
        self.out.push(Action::Role(standing));
    }

    /// Orders one of the epoch files to be written, behind all that was ordered before.
    pub(super) fn set_epoch(&mut self, which: EpochKind, epoch: u32) -> Token {
        self.flush();
        let token = self.log.token();
        self.member().epochs.set(which, epoch, token);
        self.out.push(Action::Disk(DiskCommand::SetEpoch { token, which, epoch }));
        token
    }

    /// Lets the election port do something, and passes on what it wants.
    pub(super) fn elect(&mut self, step: impl FnOnce(&mut ElectionPort, Mono, &mut PortActions)) {
        let now = self.now.mono;
        let mut actions = PortActions::new();
        step(&mut self.member().port, now, &mut actions);
        for action in actions {
            match action {
                PortAction::Link { link, command } => self.out.push(Action::Election { link, command }),
                PortAction::Decided(decision) => self.member().decided = Some(decision),
                PortAction::Adopt(config) => {
                    let others = self.adopt_config(config);
                    self.member().elects_others |= others;
                }
                // A leader that waits for its quorum has a limit.
                PortAction::SeenLooking { .. } => {}
            }
        }
    }

    /// A txn as a peer sent it.
    pub(super) fn read_txn(&self, zxid: Zxid, bytes: Bytes) -> Result<Entry, Leave> {
        let txn = Txn::decode(bytes.clone())
            .map_err(|error| Leave::Fault(PeerFault::Undecodable { zxid, error }))?;
        if txn.header.zxid != zxid {
            return Err(Leave::Fault(PeerFault::WrongZxid { packet: zxid, txn: txn.header.zxid }));
        }
        Ok(Entry { zxid, bytes, txn: Arc::new(txn) })
    }

    /// Refuses a history that ends at `found` if more than that is known to be committed.
    pub(super) fn keeps_committed(&self, found: Zxid) -> Result<(), Leave> {
        let proven = self.log.proven();
        if found < proven { Err(Leave::Fault(PeerFault::LosesCommitted { proven, found })) } else { Ok(()) }
    }

    /// The last zxid that this server claims to a leader.
    pub(super) fn claimed_zxid(&mut self) -> Zxid {
        if self.member().claims_nothing { Zxid::ZERO } else { self.log.logged() }
    }

    /// Hands committed txns over. `origin` knows who waits for one.
    pub(super) fn apply(
        &mut self,
        entries: Vec<Entry>,
        mode: ApplyMode,
        mut origin: impl FnMut(&Txn) -> Option<ConnId>,
    ) {
        let mut superseded = Vec::new();
        let commits = entries.into_iter().map(|Entry { txn, .. }| {
            let mut origin = origin(&txn);
            if txn.body == (TxnBody::Error { err: OpError::SessionMoved.code() }) {
                // No reply tells of this: the connection is closed (semantics §13.4).
                superseded.extend(origin.take());
            }
            Commit::Txn { txn, origin, mode }
        });
        let commits: Vec<_> = commits.collect();
        if !commits.is_empty() {
            self.out.push(Action::Apply(commits));
        }
        superseded.into_iter().for_each(|conn| self.close(conn, CloseReason::SessionMoved));
    }

    /// A quorum holds the leader's history through `zxid`: this epoch is established.
    pub(super) fn establish(&mut self, epoch: u32, zxid: Zxid) {
        self.log.prove();
        self.member().port.establish_epoch(epoch);
        if core::mem::take(&mut self.member().is_new) {
            self.snapshots.ask();
        }
        let config = self.membership().in_force();
        let (text, version) = (Bytes::from(config.to_string()), config.version());
        self.out.push(Action::ConfigNode(ConfigNode { text, version, time: self.now.wall }));
        self.session_ids.reach(self.log.logged());
        self.event(Event::EpochEstablished { epoch, zxid });
    }
}
