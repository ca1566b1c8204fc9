//! Taking over the leader's history (quorum protocol B5, the order that is safe in every case).
//!
//! ```text
//! DIFF | TRUNC(z) | SNAP(z) tree
//! (PROPOSAL COMMIT)*     committed: logged as it comes, or applied to the tree that came
//! NEWLEADER(e)           [all of that durable] ─► [currentEpoch = e durable] ─► ACK(e)
//! …                      kept
//! UPTODATE               a quorum has done the same: the history is committed, and applied
//! ```
//! Before UPTODATE nothing of it enters the tree that clients will read: until a quorum holds the history another leader may
//! still cut it off. It is the log's tail, like any other. Only a snapshot cannot be kept apart; with it the tree goes.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use super::super::commit_log::Entry;
use super::super::outbox::Turn;
use super::super::reconfig::parse;
use super::super::role::{Leave, PeerFault, SyncKind};
use super::follow::Serving;
use super::{LearnerKind, changes_part, unexpected};
use crate::action::{Action, DiskCommand};
use crate::config::quorum_config::QuorumConfig;
use crate::disk::epochs::EpochKind;
use crate::disk::recovery::Recovered;
use crate::error::DiskFault;
use crate::event::Event;
use crate::ids::{LinkId, Sid, Zxid};
use crate::input::Token;
use crate::tree::{ApplyMode, Changes, Tree};
use crate::wire::quorum::QuorumPacket;

/// From ACKEPOCH to NEWLEADER.
#[derive(Clone, Debug)]
pub(super) struct Syncing {
    epoch: u32,
    base: Base,
    /// Nothing may be missing behind this one; `None` until the base is known.
    last: Option<Zxid>,
    /// Not committed, as far as has been heard.
    proposed: VecDeque<Entry>,
    /// Bytes held back here.
    held: usize,
    /// NEWLEADER has come, with the config that its leader saw last.
    concluded: Option<Config>,
}

/// The config of a leader; none of one that says none.
type Config = Option<Arc<QuorumConfig>>;

/// What the leader's history continues.
#[derive(Clone, Debug)]
enum Base {
    Unknown,
    /// This server's own log, cut back perhaps.
    Log(SyncKind),
    /// A snapshot that is on its way.
    Coming(Zxid),
    /// A snapshot. From Java it is fuzzy: txns that come behind it may be in it already (disk format §6).
    Tree(Box<Tree>),
    /// The log, once the tree is rebuilt without what is to be cut off.
    Reloading {
        to: Zxid,
        waiting: VecDeque<QuorumPacket>,
    },
}

impl Syncing {
    pub(super) const fn new(epoch: u32) -> Self {
        let proposed = VecDeque::new();
        Self { epoch, base: Base::Unknown, last: None, proposed, held: 0, concluded: None }
    }

    pub(super) const fn kind(&self) -> Option<SyncKind> {
        match &self.base {
            Base::Unknown => None,
            Base::Log(kind) => Some(*kind),
            Base::Coming(_) | Base::Tree(_) => Some(SyncKind::Snap),
            Base::Reloading { .. } => Some(SyncKind::Trunc),
        }
    }

    /// True while the disk is at work for it.
    pub(super) const fn is_busy(&self) -> bool {
        matches!(self.base, Base::Reloading { .. })
    }

    pub(super) fn on_packet(&mut self, packet: QuorumPacket, turn: &mut Turn<'_>) -> Result<(), Leave> {
        if let Base::Reloading { waiting, .. } = &mut self.base {
            self.held += packet.weight();
            waiting.push_back(packet);
            return within(self.held, turn);
        }
        match packet {
            QuorumPacket::Diff { zxid } => self.on_diff(zxid, turn),
            QuorumPacket::Trunc { zxid } => self.on_trunc(zxid, turn),
            QuorumPacket::Snap { zxid } => self.on_snap(zxid, turn),
            QuorumPacket::Proposal { zxid, txn } => {
                let entry = turn.read_txn(zxid, txn)?;
                self.on_proposal(entry, turn)
            }
            QuorumPacket::Commit { zxid } => self.on_commit(zxid, turn),
            // What is activated here is so with NEWLEADER's config, at the latest.
            QuorumPacket::CommitAndActivate { zxid, .. } if turn.config.reconfig.is_enabled() => {
                self.on_commit(zxid, turn)
            }
            QuorumPacket::InformAndActivate { zxid, txn, .. } if turn.config.reconfig.is_enabled() => {
                self.on_inform(zxid, txn, turn)
            }
            QuorumPacket::Inform { zxid, txn } => self.on_inform(zxid, txn, turn),
            QuorumPacket::NewLeader { zxid, config } => self.on_new_leader(zxid, config, turn),
            // Java's learners do not answer in a sync, and its leaders do not expect it.
            QuorumPacket::Ping { .. } | QuorumPacket::Unknown { .. } => Ok(()),
            QuorumPacket::CommitAndActivate { .. } | QuorumPacket::InformAndActivate { .. } => {
                Err(Leave::Fault(PeerFault::Reconfiguration { packet: packet.name() }))
            }
            packet => Err(unexpected(&packet, "before NEWLEADER")),
        }
    }

    fn begin(&mut self, base: Base, kind: SyncKind, zxid: Zxid, turn: &mut Turn<'_>) -> Result<(), Leave> {
        if !matches!(self.base, Base::Unknown) {
            let packet = "a second DIFF, TRUNC or SNAP";
            return Err(Leave::Fault(PeerFault::Unexpected { packet, when: "within a sync" }));
        }
        turn.event(Event::SyncBegun { kind, zxid });
        self.base = base;
        Ok(())
    }

    fn on_diff(&mut self, zxid: Zxid, turn: &mut Turn<'_>) -> Result<(), Leave> {
        // Who claims to have nothing is given everything from the beginning on.
        let (base, last) = if turn.member().claims_nothing {
            (Base::Tree(Box::default()), Zxid::ZERO)
        } else {
            (Base::Log(SyncKind::Diff), turn.log.logged())
        };
        self.begin(base, SyncKind::Diff, zxid, turn)?;
        self.last = Some(last);
        Ok(())
    }

    fn on_snap(&mut self, zxid: Zxid, turn: &mut Turn<'_>) -> Result<(), Leave> {
        self.begin(Base::Coming(zxid), SyncKind::Snap, zxid, turn)
    }

    pub(super) fn on_snapshot(&mut self, tree: Box<Tree>) -> Result<(), Leave> {
        let Base::Coming(announced) = self.base else {
            return Err(Leave::Fault(PeerFault::Unexpected { packet: "a snapshot", when: "without SNAP" }));
        };
        let found = tree.last_zxid();
        if found != announced {
            return Err(Leave::Fault(PeerFault::WrongSnapshot { announced, found }));
        }
        self.base = Base::Tree(tree);
        Ok(())
    }

    /// What is beyond `to` is not in the leader's history, so it is not committed and never will be.
    fn on_trunc(&mut self, to: Zxid, turn: &mut Turn<'_>) -> Result<(), Leave> {
        if turn.member().claims_nothing {
            return Err(unexpected(&QuorumPacket::Trunc { zxid: to }, "though nothing was claimed"));
        }
        turn.keeps_committed(to)?;
        if to < turn.log.committed() {
            // What recovery replayed is in the tree already; nobody could tell that it was not committed.
            assert!(turn.log.is_settled(), "invariant: a sync begins when the disk has come to rest");
            self.begin(Base::Reloading { to, waiting: VecDeque::new() }, SyncKind::Trunc, to, turn)?;
            turn.out.push(Action::Reload { to });
            return Ok(());
        }
        self.begin(Base::Log(SyncKind::Trunc), SyncKind::Trunc, to, turn)?;
        let command = turn.log.truncate(to);
        turn.out.push(Action::Disk(command));
        self.cut(to, turn)
    }

    fn cut(&mut self, to: Zxid, turn: &Turn<'_>) -> Result<(), Leave> {
        let found = turn.log.logged();
        if found != to {
            return Err(Leave::Fault(PeerFault::TruncTarget { to, found }));
        }
        self.last = Some(to);
        Ok(())
    }

    /// The state as of the target stands beside the tree: now the log can be cut.
    pub(super) fn on_reloaded(
        &mut self,
        reloaded: Result<Recovered, DiskFault>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Leave> {
        let Base::Reloading { to, waiting } = &mut self.base else { return Ok(()) };
        let (to, waiting) = (*to, core::mem::take(waiting));
        let recovered = match reloaded {
            Ok(recovered) if recovered.last_zxid == to => recovered,
            Ok(recovered) => {
                return Err(Leave::Fault(PeerFault::TruncTarget { to, found: recovered.last_zxid }));
            }
            Err(_) => {
                // Java ends here. A snapshot from the leader takes the place of what is here, and not before it is durable.
                turn.member().claims_nothing = true;
                return Err(Leave::CannotTruncate);
            }
        };
        turn.log.restart(to, &recovered.recent);
        let command = turn.log.truncate(to);
        turn.out.push(Action::Disk(command));
        turn.out.push(Action::Adopt(Box::new(recovered.tree)));
        self.base = Base::Log(SyncKind::Trunc);
        self.held = 0;
        self.cut(to, turn)?;
        waiting.into_iter().try_for_each(|packet| self.on_packet(packet, turn))
    }

    fn on_inform(&mut self, zxid: Zxid, txn: Bytes, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let entry = turn.read_txn(zxid, txn)?;
        self.on_proposal(entry, turn)?;
        self.on_commit(zxid, turn)
    }

    fn on_proposal(&mut self, entry: Entry, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let found = entry.zxid;
        let follows = match (&self.base, self.last) {
            (Base::Log(_), Some(last)) => found.may_follow(last),
            // A leader goes on while it sends its snapshot: what is queued behind may begin before its end.
            (Base::Tree(tree), None) => found <= tree.last_zxid() || found.may_follow(tree.last_zxid()),
            (Base::Tree(_), Some(last)) => found.may_follow(last),
            _ => {
                return Err(Leave::Fault(PeerFault::Unexpected {
                    packet: "a txn",
                    when: "before DIFF, TRUNC or SNAP",
                }));
            }
        };
        if !follows {
            let last = self.last.unwrap_or_else(|| turn.log.logged());
            return Err(Leave::Fault(PeerFault::Hole { last, found }));
        }
        turn.see_txn(&entry.txn)?;
        self.last = Some(found);
        self.held += entry.bytes.len();
        self.proposed.push_back(entry);
        within(self.held, turn)
    }

    fn on_commit(&mut self, zxid: Zxid, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let Some(entry) = self.proposed.pop_front_if(|entry| entry.zxid == zxid) else {
            let oldest = self.proposed.front().map(|entry| entry.zxid);
            return Err(Leave::Fault(PeerFault::CommitOutOfOrder { oldest, found: zxid }));
        };
        self.held -= entry.bytes.len();
        match &mut self.base {
            Base::Log(_) => turn.log.append(entry),
            Base::Tree(tree) => drop(tree.apply(&entry.txn, ApplyMode::Replay, &mut Changes::new())),
            Base::Unknown | Base::Coming(_) | Base::Reloading { .. } => {
                panic!("invariant: a proposal is only kept behind a base")
            }
        }
        Ok(())
    }

    fn on_new_leader(&mut self, zxid: Zxid, config: Option<Bytes>, turn: &Turn<'_>) -> Result<(), Leave> {
        if zxid != Zxid::new(self.epoch, 0) {
            return Err(Leave::Fault(PeerFault::WrongEpoch { epoch: self.epoch, found: zxid }));
        }
        if matches!(self.base, Base::Unknown | Base::Coming(_)) {
            let packet = QuorumPacket::NewLeader { zxid, config: None };
            return Err(unexpected(&packet, "before DIFF, TRUNC or SNAP"));
        }
        let text = config.filter(|text| turn.config.reconfig.is_enabled() && !text.is_empty());
        let config = text.map(|text| parse(&text)).transpose();
        self.concluded = Some(config.map_err(|error| Leave::Fault(PeerFault::NoConfig { zxid, error }))?);
        Ok(())
    }

    /// Once NEWLEADER has come: orders the disk to hold what came before it.
    pub(super) fn take_history(
        &mut self,
        link: LinkId,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Taking>, Leave> {
        let Some(config) = self.concluded.take() else { return Ok(None) };
        let kind = self.kind().expect("invariant: NEWLEADER comes behind DIFF, TRUNC or SNAP");
        if let Base::Tree(tree) = core::mem::replace(&mut self.base, Base::Unknown) {
            turn.keeps_committed(tree.last_zxid())?;
            install(tree, turn);
        }
        config.iter().for_each(|config| turn.see_config(config.clone()));
        turn.flush();
        let barrier = if turn.epochs().current() == self.epoch {
            turn.log.last_token()
        } else {
            turn.set_epoch(EpochKind::Current, self.epoch)
        };
        let mut taking = Taking {
            epoch: self.epoch,
            kind,
            end: turn.log.logged(),
            config,
            barrier: Some(barrier),
            proposed: core::mem::take(&mut self.proposed),
            waiting: VecDeque::new(),
            held: self.held,
        };
        // Perhaps there was nothing to do.
        taking.on_durable(link, turn);
        Ok(Some(taking))
    }
}

/// Starts from the leader's state; our own history is gone with its log.
fn install(tree: Box<Tree>, turn: &mut Turn<'_>) {
    turn.log.restart(tree.last_zxid(), &[]);
    turn.member().claims_nothing = false;
    turn.snapshots.done();
    let token = turn.log.token();
    turn.out.push(Action::Disk(DiskCommand::Install { token, view: tree.clone() }));
    turn.out.push(Action::Adopt(tree));
}

/// From NEWLEADER to UPTODATE.
#[derive(Clone, Debug)]
pub(super) struct Taking {
    epoch: u32,
    kind: SyncKind,
    /// Where the history ends that is being taken over.
    end: Zxid,
    config: Config,
    /// What has to be durable before NEWLEADER is acknowledged; `None` once it is.
    barrier: Option<Token>,
    /// Came before NEWLEADER without a commit: to be logged and acknowledged behind UPTODATE.
    proposed: VecDeque<Entry>,
    /// Came since.
    waiting: VecDeque<QuorumPacket>,
    held: usize,
}

impl Taking {
    pub(super) const fn kind(&self) -> SyncKind {
        self.kind
    }

    pub(super) const fn is_acked(&self) -> bool {
        self.barrier.is_none()
    }

    /// Epoch and end of history, once they are acknowledged.
    pub(super) const fn acked(&self) -> Option<(u32, Zxid)> {
        if self.is_acked() { Some((self.epoch, self.end)) } else { None }
    }

    /// True if NEWLEADER is acknowledged now.
    pub(super) fn on_durable(&mut self, link: LinkId, turn: &mut Turn<'_>) -> bool {
        let done = |barrier: &mut Token| planted!(turn.config.museum, P15) || turn.log.is_durable(*barrier);
        if self.barrier.take_if(done).is_none() {
            return false;
        }
        if planted!(turn.config.museum, P16) {
            let early: Vec<_> = turn.log.range(self.end, turn.log.durable_zxid()).map(|e| e.zxid).collect();
            early.into_iter().for_each(|zxid| turn.send(link, QuorumPacket::Ack { zxid }));
        }
        turn.send(link, QuorumPacket::Ack { zxid: Zxid::new(self.epoch, 0) });
        turn.event(Event::NewLeaderAcked { epoch: self.epoch, zxid: self.end });
        true
    }

    /// Some: UPTODATE came.
    pub(super) fn on_packet(
        &mut self,
        leader: Sid,
        link: LinkId,
        kind: LearnerKind,
        packet: QuorumPacket,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Serving>, Leave> {
        match packet {
            QuorumPacket::UpToDate if self.is_acked() => self.up_to_date(leader, link, kind, turn).map(Some),
            QuorumPacket::Proposal { zxid, txn } if planted!(turn.config.museum, P16) => {
                core::mem::take(&mut self.proposed).into_iter().for_each(|entry| turn.log.append(entry));
                let entry = turn.read_txn(zxid, txn)?;
                turn.log.append(entry);
                Ok(None)
            }
            QuorumPacket::CommitAndActivate { .. } | QuorumPacket::InformAndActivate { .. }
                if !turn.config.reconfig.is_enabled() =>
            {
                Err(Leave::Fault(PeerFault::Reconfiguration { packet: packet.name() }))
            }
            QuorumPacket::Proposal { .. }
            | QuorumPacket::Commit { .. }
            | QuorumPacket::Inform { .. }
            | QuorumPacket::CommitAndActivate { .. }
            | QuorumPacket::InformAndActivate { .. } => {
                self.held += packet.weight();
                self.waiting.push_back(packet);
                within(self.held, turn)?;
                Ok(None)
            }
            QuorumPacket::Ping { .. } | QuorumPacket::Unknown { .. } => Ok(None),
            packet => Err(unexpected(&packet, "between NEWLEADER and UPTODATE")),
        }
    }

    /// A quorum holds the history: it is committed.
    fn up_to_date(
        &mut self,
        leader: Sid,
        link: LinkId,
        kind: LearnerKind,
        turn: &mut Turn<'_>,
    ) -> Result<Serving, Leave> {
        turn.send(link, QuorumPacket::Ack { zxid: Zxid::new(self.epoch, 0) });
        #[cfg(feature = "museum")]
        let began = turn.log.committed();
        let entries = turn.log.commit(self.end);
        turn.apply(entries, ApplyMode::Replay, |_| None);
        // A leader that has proposed a reconfig says so to who comes, too; it is committed when its commit comes.
        let committed = |config: &Arc<QuorumConfig>| {
            config.version() <= self.end || config.version() == Zxid::new(self.epoch, 0)
        };
        let before = self.config.take().filter(committed).map(|config| turn.put_in_force(config));
        turn.establish(self.epoch, self.end);
        if before.is_some_and(|before| changes_part(&before, leader, leader, kind, turn)) {
            return Err(Leave::Reconfigured { leader: None });
        }
        #[cfg(feature = "museum")]
        if planted!(turn.config.museum, P18) {
            turn.log.leave_out(began, self.end);
        } else if planted!(turn.config.museum, P17) {
            turn.log.hold_back();
        }
        let mut serving = Serving::begin(self.epoch, self.kind, self.end, turn);
        for entry in core::mem::take(&mut self.proposed) {
            serving.on_proposal(entry, turn)?;
        }
        for packet in core::mem::take(&mut self.waiting) {
            serving.on_packet(leader, link, kind, packet, turn)?;
        }
        Ok(serving)
    }
}

/// What is held back has a bound: beyond it the leader should have sent a snapshot.
fn within(bytes: usize, turn: &Turn<'_>) -> Result<(), Leave> {
    let limit = turn.ensemble().held_max;
    if bytes > limit { Err(Leave::Fault(PeerFault::TooMuch { bytes, limit })) } else { Ok(()) }
}
