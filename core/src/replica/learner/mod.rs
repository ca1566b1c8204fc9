//! A server behind a leader: follower or observer, with or without a vote, from the end of the election until the leader is
//! lost (quorum protocol B3, B5, B6; Java: `Learner`, `Follower`, `Observer`).
//!
//! ```text
//! Dialling ─► Handshake ─► Syncing ─► Taking ─► Serving
//!             LEADERINFO   DIFF…      NEWLEADER UPTODATE
//! ```
//! Each stage is moved into the next. What it promises, it promises behind the disk: ACKEPOCH behind the accepted epoch,
//! the ack of NEWLEADER behind the whole history *and then* the current epoch, the ack of a proposal behind its record.

mod follow;
mod handshake;
mod observe;
mod requests;
mod sync;

use alloc::vec::Vec;

use super::outbox::Turn;
use super::reconfig::keeps_leader;
use super::role::{ClientService, Leave, PeerFault, Phase, RoleKind, Standing, SyncKind};
use super::settings::ReplicaConfig;
use crate::action::{CloseReason, HangReason};
use crate::config::quorum_config::QuorumConfig;
use crate::ids::{ConnId, LinkId, Sid, Zxid};
use crate::input::{Input, LinkEvent};
use crate::quorum;
use crate::session::SessionInfo;
use crate::time::Mono;
use crate::wire::quorum::QuorumPacket;
use follow::Serving;
use handshake::{Dialling, Handshake};
pub(super) use requests::decode_forwarded;
use sync::{Syncing, Taking};

/// Which stream the leader sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LearnerKind {
    /// PROPOSAL and COMMIT; acknowledges.
    Follower,
    /// INFORM.
    Observer,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Learning {
    leader: Sid,
    kind: LearnerKind,
    link: LinkId,
    /// When the leader was last known to live.
    heard: Mono,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Dialling(Dialling),
    Handshake(Handshake),
    Syncing(Syncing),
    Taking(Taking),
    Serving(Serving),
}

impl Learning {
    /// Goes behind the leader that was elected.
    pub(super) fn begin(leader: Sid, kind: LearnerKind, turn: &mut Turn<'_>) -> Self {
        let (dialling, link) = Dialling::begin(leader, turn);
        let learning = Self { leader, kind, link, heard: turn.now.mono, stage: Stage::Dialling(dialling) };
        turn.stand(learning.standing());
        learning
    }

    pub(super) fn step(&mut self, input: Input, turn: &mut Turn<'_>) -> Result<(), Leave> {
        match input {
            Input::Link { link, event } if link == self.link => self.on_link(event, turn)?,
            // Nobody is to dial a server that does not lead.
            Input::Link { link, event: LinkEvent::Up } => turn.hang(link, HangReason::RoleLost),
            Input::Reloaded(reloaded) => {
                if let Stage::Syncing(syncing) = &mut self.stage {
                    syncing.on_reloaded(reloaded.map(|boxed| *boxed), turn)?;
                    self.take_history(turn)?;
                }
            }
            Input::Durable(token) => self.on_durable(token, turn),
            Input::Tick => self.on_tick(turn)?,
            Input::Connect { conn, ask, .. } => match &mut self.stage {
                Stage::Serving(serving) => serving.on_connect(self.link, conn, ask, turn),
                _ => refuse(conn, turn),
            },
            Input::Request(request) => match &mut self.stage {
                Stage::Serving(serving) => serving.on_request(self.link, request, turn),
                _ => refuse(request.conn, turn),
            },
            Input::Touched(touches) => {
                if let Stage::Serving(serving) = &mut self.stage {
                    serving.on_touched(touches, turn.now.mono);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_link(&mut self, event: LinkEvent, turn: &mut Turn<'_>) -> Result<(), Leave> {
        self.heard = turn.now.mono;
        match event {
            LinkEvent::Up => {
                if matches!(self.stage, Stage::Dialling(_)) {
                    self.stage = Stage::Handshake(Handshake::begin(self.kind, self.link, turn));
                }
                Ok(())
            }
            LinkEvent::DialFailed => match &mut self.stage {
                Stage::Dialling(dialling) => dialling.failed(turn),
                _ => Ok(()),
            },
            LinkEvent::Packet(packet) => self.on_packet(packet, turn),
            LinkEvent::SnapshotMoved => Ok(()),
            LinkEvent::Snapshot(tree) => match &mut self.stage {
                Stage::Syncing(syncing) => syncing.on_snapshot(tree),
                _ => {
                    Err(Leave::Fault(PeerFault::Unexpected { packet: "a snapshot", when: "outside a sync" }))
                }
            },
            LinkEvent::Down(why) => Err(Leave::LinkDown(why)),
        }
    }

    fn on_packet(&mut self, packet: QuorumPacket, turn: &mut Turn<'_>) -> Result<(), Leave> {
        match &mut self.stage {
            Stage::Dialling(_) => return Err(unexpected(&packet, "on a link that is not up")),
            Stage::Handshake(handshake) => {
                if let Some(epoch) = handshake.on_packet(self.link, &packet, turn)? {
                    self.synchronise(epoch, turn);
                }
            }
            Stage::Syncing(syncing) => {
                syncing.on_packet(packet, turn)?;
                self.take_history(turn)?;
            }
            Stage::Taking(taking) => {
                if let Some(serving) = taking.on_packet(self.leader, self.link, self.kind, packet, turn)? {
                    #[cfg(feature = "museum")]
                    for request in core::mem::take(&mut turn.member().plants.unanswered) {
                        turn.send(self.link, QuorumPacket::Request(request));
                    }
                    self.stage = Stage::Serving(serving);
                    turn.stand(self.standing());
                }
            }
            Stage::Serving(serving) => serving.on_packet(self.leader, self.link, self.kind, packet, turn)?,
        }
        Ok(())
    }

    fn on_durable(&mut self, token: crate::input::Token, turn: &mut Turn<'_>) {
        match &mut self.stage {
            Stage::Handshake(handshake) => {
                if let Some(epoch) = handshake.on_durable(self.link, token, turn) {
                    self.heard = turn.now.mono;
                    self.synchronise(epoch, turn);
                }
            }
            Stage::Taking(taking) => {
                if taking.on_durable(self.link, turn) {
                    // While this server was busy the leader waited for it, not the other way round.
                    self.heard = turn.now.mono;
                }
            }
            Stage::Serving(serving) => serving.on_durable(self.link, self.kind, turn),
            Stage::Dialling(_) | Stage::Syncing(_) => {}
        }
    }

    fn synchronise(&mut self, epoch: u32, turn: &mut Turn<'_>) {
        self.stage = Stage::Syncing(Syncing::new(epoch));
        turn.stand(self.standing());
    }

    /// Behind NEWLEADER the history is made durable.
    fn take_history(&mut self, turn: &mut Turn<'_>) -> Result<(), Leave> {
        if let Stage::Syncing(syncing) = &mut self.stage
            && let Some(taking) = syncing.take_history(self.link, turn)?
        {
            self.stage = Stage::Taking(taking);
        }
        Ok(())
    }

    fn on_tick(&mut self, turn: &mut Turn<'_>) -> Result<(), Leave> {
        if let Stage::Serving(serving) = &mut self.stage {
            serving.on_tick(turn);
        }
        if let Stage::Dialling(dialling) = &mut self.stage {
            if let Some(link) = dialling.on_tick(self.leader, turn)? {
                self.link = link;
            }
        } else if self.silent_at(turn.config).is_some_and(|at| at <= turn.now.mono) {
            return Err(Leave::LeaderSilent);
        }
        Ok(())
    }

    /// When the leader's silence is too long; `None` while it is for this server to say something (quorum protocol B7).
    fn silent_at(&self, config: &ReplicaConfig) -> Option<Mono> {
        let limits = config.ensemble();
        let ticks = match &self.stage {
            Stage::Dialling(_) => return None,
            Stage::Handshake(handshake) if handshake.is_busy() => return None,
            Stage::Syncing(syncing) if syncing.is_busy() => return None,
            Stage::Taking(taking) if !taking.is_acked() => return None,
            Stage::Handshake(_) | Stage::Syncing(_) => limits.init_limit,
            Stage::Taking(_) | Stage::Serving(_) => limits.sync_limit,
        };
        Some(self.heard + config.ticks(ticks))
    }

    /// When it wants a `Tick`.
    pub(super) fn deadline(&self, config: &ReplicaConfig) -> Option<Mono> {
        match &self.stage {
            Stage::Dialling(dialling) => Some(dialling.deadline()),
            Stage::Serving(serving) => {
                self.silent_at(config).into_iter().chain(serving.local_deadline()).min()
            }
            _ => self.silent_at(config),
        }
    }

    /// The link goes with the role.
    pub(super) fn end(&mut self, why: &Leave, turn: &mut Turn<'_>) {
        #[cfg(feature = "museum")]
        if planted!(turn.config.museum, P26)
            && let Stage::Serving(serving) = &mut self.stage
        {
            turn.member().plants.unanswered = serving.requests_mut().unanswered();
        }
        let why = match why {
            Leave::LinkDown(_) => return,
            Leave::Fault(fault) => HangReason::Fault(fault.clone()),
            Leave::LeaderSilent => HangReason::Silent,
            Leave::EpochBehind => HangReason::EpochBehind,
            Leave::CannotTruncate => HangReason::CannotTruncate,
            _ => HangReason::RoleLost,
        };
        turn.hang(self.link, why);
    }

    pub(super) fn standing(&self) -> Standing {
        let role = match self.kind {
            LearnerKind::Follower => RoleKind::Following,
            LearnerKind::Observer => RoleKind::Observing,
        };
        let (phase, clients) = match self.stage {
            Stage::Dialling(_) | Stage::Handshake(_) => (Phase::Discovery, ClientService::Closed),
            Stage::Syncing(_) | Stage::Taking(_) => (Phase::Synchronization, ClientService::Closed),
            Stage::Serving(_) => (Phase::Broadcast, ClientService::Open),
        };
        Standing { role, phase, leader: Some(self.leader), clients }
    }

    /// Whom it follows, or tries to.
    pub(super) const fn leader(&self) -> Sid {
        self.leader
    }

    /// How the leader brought this server up to date, once that is known.
    pub(super) const fn sync_kind(&self) -> Option<SyncKind> {
        match &self.stage {
            Stage::Dialling(_) | Stage::Handshake(_) => None,
            Stage::Syncing(syncing) => syncing.kind(),
            Stage::Taking(taking) => Some(taking.kind()),
            Stage::Serving(serving) => Some(serving.sync_kind()),
        }
    }

    /// Sessions that only this server knows.
    pub(super) fn local_sessions(&self) -> Vec<SessionInfo> {
        match &self.stage {
            Stage::Serving(serving) => serving.local_sessions(),
            _ => Vec::new(),
        }
    }

    /// Requests between the door and their reply.
    pub(super) fn outstanding(&self) -> usize {
        match &self.stage {
            Stage::Serving(serving) => serving.outstanding(),
            _ => 0,
        }
    }

    /// The epoch, and where the history that was taken over ends: known once the leader is acknowledged.
    pub(super) const fn acked_leader(&self) -> Option<(u32, Zxid)> {
        match &self.stage {
            Stage::Taking(taking) => taking.acked(),
            Stage::Serving(serving) => Some(serving.leader_ack()),
            _ => None,
        }
    }
}

fn refuse(conn: ConnId, turn: &mut Turn<'_>) {
    turn.close(conn, CloseReason::NotServing);
}

/// Whether a config that came into force instead of `before` ends this role: another leads, or the leader is elsewhere, or this
/// server is to be sent another stream.
fn changes_part(
    before: &QuorumConfig,
    designated: Sid,
    leader: Sid,
    kind: LearnerKind,
    turn: &Turn<'_>,
) -> bool {
    let part = match turn.own_standing() {
        // Whoever belongs to nothing follows, without a vote.
        quorum::Standing::Voter | quorum::Standing::Stranger => LearnerKind::Follower,
        quorum::Standing::Observer => LearnerKind::Observer,
    };
    part != kind || designated != leader || !keeps_leader(before, turn.membership(), leader)
}

/// A packet that has no place where the conversation stands.
fn unexpected(packet: &QuorumPacket, when: &'static str) -> Leave {
    Leave::Fault(PeerFault::Unexpected { packet: packet.name(), when })
}
