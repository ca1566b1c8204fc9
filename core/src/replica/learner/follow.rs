//! Behind an established leader: its stream, and the clients of this server (quorum protocol B6).
//!
//! ```text
//! PROPOSAL(z) ─► Disk(Append) ─► Durable ─► ACK(z)          in zxid order, one ACK per txn
//! COMMIT(z)   ─► Apply          whether durable here or not: a quorum holds it
//! client      ─► REQUEST ─► … ─► COMMIT of the txn with its session and cxid ─► its reply
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::commit_log::Entry;
use super::super::local::{Ask, Locals};
use super::super::outbox::Turn;
use super::super::reconfig::config_in;
use super::super::role::{Leave, PeerFault, SyncKind};
use super::requests::Requests;
use super::{LearnerKind, changes_part, unexpected};
use crate::action::{Action, Commit, SessionAnswer, SessionScope};
use crate::config::quorum_config::QuorumConfig;
use crate::event::Event;
use crate::ids::{ConnId, LinkId, SessionId, Sid, Zxid};
use crate::input::{ClientRequest, SessionAsk, Touch};
use crate::session::SessionInfo;
use crate::time::Mono;
use crate::tree::ApplyMode;
use crate::wire::quorum::QuorumPacket;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    epoch: u32,
    sync: SyncKind,
    /// Where the history ended that was taken over.
    began: Zxid,
    /// The last proposal that was acknowledged. What the sync brought is, with NEWLEADER.
    acked: Zxid,
    requests: Requests,
    /// Sessions of this server alone.
    locals: Locals,
}

/// A reconfig is committed, and comes into force. `leaders`: who leads, and who is to.
fn activate(
    zxid: Zxid,
    config: Option<Result<Arc<QuorumConfig>, PeerFault>>,
    leaders: (Sid, Sid),
    kind: LearnerKind,
    turn: &mut Turn<'_>,
) -> Result<(), Leave> {
    let config = config.unwrap_or(Err(PeerFault::NotReconfig { zxid })).map_err(Leave::Fault)?;
    let before = turn.put_in_force(config);
    let (leader, designated) = leaders;
    if changes_part(&before, designated, leader, kind, turn) {
        return Err(Leave::Reconfigured { leader: Some(designated) });
    }
    Ok(())
}

impl Serving {
    pub(super) fn begin(epoch: u32, sync: SyncKind, end: Zxid, turn: &Turn<'_>) -> Self {
        let locals = Locals::new(turn.ensemble().local_sessions, turn.config.tick_ms, turn.now.mono);
        Self { epoch, sync, began: end, acked: end, requests: Requests::default(), locals }
    }

    pub(super) fn on_packet(
        &mut self,
        leader: Sid,
        link: LinkId,
        kind: LearnerKind,
        packet: QuorumPacket,
        turn: &mut Turn<'_>,
    ) -> Result<(), Leave> {
        match packet {
            QuorumPacket::Proposal { zxid, txn } if kind == LearnerKind::Follower => {
                let entry = turn.read_txn(zxid, txn)?;
                self.on_proposal(entry, turn)
            }
            QuorumPacket::Commit { zxid } => self.on_commit(zxid, turn),
            QuorumPacket::Inform { zxid, txn } if kind == LearnerKind::Observer => {
                let entry = turn.read_txn(zxid, txn)?;
                self.on_inform(entry, turn)
            }
            QuorumPacket::Ping { zxid } => {
                let touches = self.requests.take_touches();
                turn.send(link, QuorumPacket::PingReply { zxid, touches });
                Ok(())
            }
            QuorumPacket::Sync => self.on_sync(turn),
            QuorumPacket::Revalidated { session, valid } => self.on_revalidated(session, valid, turn),
            QuorumPacket::Unknown { .. } => Ok(()),
            QuorumPacket::CommitAndActivate { .. } | QuorumPacket::InformAndActivate { .. }
                if !turn.config.reconfig.is_enabled() =>
            {
                Err(Leave::Fault(PeerFault::Reconfiguration { packet: packet.name() }))
            }
            QuorumPacket::CommitAndActivate { zxid, leader: designated } => {
                let config = turn.log.first_uncommitted().and_then(|entry| config_in(&entry.txn));
                self.on_commit(zxid, turn)?;
                activate(zxid, config, (leader, designated), kind, turn)
            }
            QuorumPacket::InformAndActivate { zxid, leader: designated, txn }
                if kind == LearnerKind::Observer =>
            {
                let entry = turn.read_txn(zxid, txn)?;
                let config = config_in(&entry.txn);
                self.on_inform(entry, turn)?;
                activate(zxid, config, (leader, designated), kind, turn)
            }
            packet => Err(unexpected(&packet, "behind UPTODATE")),
        }
    }

    /// To the disk with it; acknowledged when it is durable.
    pub(super) fn on_proposal(&self, entry: Entry, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let (found, last) = (entry.zxid, turn.log.logged());
        if found.epoch() != self.epoch {
            return Err(Leave::Fault(PeerFault::WrongEpoch { epoch: self.epoch, found }));
        }
        if !found.may_follow(last) {
            return Err(Leave::Fault(PeerFault::Hole { last, found }));
        }
        turn.see_txn(&entry.txn)?;
        turn.log.append(entry);
        Ok(())
    }

    fn on_commit(&mut self, zxid: Zxid, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let oldest = turn.log.first_uncommitted().map(|entry| entry.zxid);
        if oldest != Some(zxid) {
            return Err(Leave::Fault(PeerFault::CommitOutOfOrder { oldest, found: zxid }));
        }
        let entries = turn.log.commit(zxid);
        turn.log.prove();
        turn.apply(entries, ApplyMode::Learned, |txn| self.requests.origin(&txn.header));
        turn.event(Event::Committed { zxid });
        self.close_locals(turn);
        Ok(())
    }

    /// What is durable and was not acknowledged is.
    pub(super) fn on_durable(&mut self, link: LinkId, kind: LearnerKind, turn: &mut Turn<'_>) {
        let durable = turn.log.durable_zxid();
        if kind == LearnerKind::Observer || durable <= self.acked {
            return;
        }
        let Turn { log, out, .. } = turn;
        for entry in log.range(self.acked, durable) {
            self.acked = entry.zxid;
            out.push(Action::Send { link, packet: QuorumPacket::Ack { zxid: entry.zxid } });
        }
        if self.acked < durable {
            // What was committed before it was durable here may have left memory. It needs this acknowledgement no more, but
            // the leader waits for it.
            self.acked = durable;
            out.push(Action::Send { link, packet: QuorumPacket::Ack { zxid: durable } });
        }
    }

    /// It answers the oldest sync, behind every commit that came before it on the link.
    fn on_sync(&mut self, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let Some(conn) = self.requests.synced() else {
            return Err(Leave::Fault(PeerFault::Unasked { packet: QuorumPacket::Sync.name() }));
        };
        turn.out.push(Action::Apply([Commit::Sync { conn }].into()));
        self.close_locals(turn);
        Ok(())
    }

    fn on_revalidated(&mut self, session: SessionId, valid: bool, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let Some((conn, timeout_ms)) = self.requests.asker(session) else {
            let packet = QuorumPacket::Revalidated { session, valid };
            return Err(Leave::Fault(PeerFault::Unasked { packet: packet.name() }));
        };
        let attached = SessionAnswer::Attached { session, timeout_ms, scope: SessionScope::Global };
        let answer = if valid { attached } else { SessionAnswer::Invalid };
        turn.out.push(Action::Session { conn, answer });
        Ok(())
    }

    pub(super) fn on_connect(&mut self, link: LinkId, conn: ConnId, ask: SessionAsk, turn: &mut Turn<'_>) {
        match ask {
            SessionAsk::New { timeout_ms } if self.locals.are_on() => {
                let (tree, requests) = (turn.tree, &self.requests);
                let taken = |id| tree.session(id).is_some() || requests.is_creating(id);
                self.locals.open(conn, timeout_ms, turn, taken);
            }
            SessionAsk::New { timeout_ms } => {
                let tree = turn.tree;
                let taken = |id| tree.session(id).is_some() || self.requests.is_creating(id);
                let session = turn.session_ids.next(taken);
                turn.event(Event::SessionCreating { session, timeout_ms });
                let request = self.requests.create_session(Some(conn), session, timeout_ms);
                turn.send(link, QuorumPacket::Request(request));
            }
            SessionAsk::Reattach { session, timeout_ms } => {
                let touch = Touch { session, timeout_ms };
                if let Some(answer) = self.locals.reattach(touch, turn.now.mono) {
                    turn.out.push(Action::Session { conn, answer });
                    return;
                }
                self.requests.ask(conn, touch);
                turn.send(link, QuorumPacket::Revalidate { touch });
            }
        }
    }

    /// Whether a session of the ensemble lives, and whether it may ask through this server, is for the leader to say.
    pub(super) fn on_request(&mut self, link: LinkId, request: ClientRequest, turn: &mut Turn<'_>) {
        match self.locals.ask(&request, turn.now.mono) {
            Ask::Closing => return,
            Ask::Close => return self.close_locals(turn),
            Ask::Upgrade { timeout_ms } => {
                let session = request.session;
                turn.event(Event::LocalSessionUpgraded { session });
                let create = self.requests.create_session(None, session, timeout_ms);
                turn.send(link, QuorumPacket::Request(create));
            }
            Ask::Foreign | Ask::Local => {}
        }
        let request = self.requests.forward(request);
        turn.send(link, QuorumPacket::Request(request));
    }

    pub(super) fn on_touched(&mut self, touches: Vec<Touch>, now: Mono) {
        let others = self.locals.touched(touches, now);
        self.requests.touch(&others);
    }

    /// Answers the closes of local sessions that have nothing before them any more.
    pub(super) fn close_locals(&mut self, turn: &mut Turn<'_>) {
        let Self { locals, requests, .. } = self;
        locals.close_answered(turn, |session, conn| requests.owes(session, conn));
    }

    /// Time has passed for local sessions.
    pub(super) fn on_tick(&mut self, turn: &mut Turn<'_>) {
        self.locals.on_tick(turn);
    }

    /// When [`Self::on_tick`] wants to be called.
    pub(super) fn local_deadline(&self) -> Option<Mono> {
        self.locals.deadline()
    }

    pub(super) fn local_sessions(&self) -> Vec<SessionInfo> {
        self.locals.list()
    }

    pub(super) const fn sync_kind(&self) -> SyncKind {
        self.sync
    }

    pub(super) const fn leader_ack(&self) -> (u32, Zxid) {
        (self.epoch, self.began)
    }

    pub(super) fn outstanding(&self) -> usize {
        self.requests.outstanding()
    }

    pub(super) const fn requests_mut(&mut self) -> &mut Requests {
        &mut self.requests
    }
}
