//! From a decided election to the beginning of the sync (quorum protocol B3, the learner's side).
//!
//! ```text
//! dial ─► FOLLOWERINFO(accepted) ─► … LEADERINFO(e) ─► [acceptedEpoch = e durable] ─► ACKEPOCH(last logged, current)
//! ```

use super::super::outbox::Turn;
use super::super::role::{Leave, PeerFault};
use super::{LearnerKind, unexpected};
use crate::action::Action;
use crate::disk::epochs::EpochKind;
use crate::event::Event;
use crate::ids::{LinkId, Sid, Zxid};
use crate::input::Token;
use crate::time::Mono;
use crate::wire::quorum::{LearnerInfo, QuorumPacket};

/// Dials per leader (Java: `leaderConnectDelayDuringRetryMs`, five tries).
const DIALS_MAX: u32 = 5;
/// Between two dials, ms.
const DIAL_PAUSE_MS: u64 = 100;

/// The leader's quorum port is being dialled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialling {
    dials: u32,
    /// When to dial again; `None` while a dial is under way.
    again_at: Option<Mono>,
    give_up_at: Mono,
}

impl Dialling {
    pub(super) fn begin(leader: Sid, turn: &mut Turn<'_>) -> (Self, LinkId) {
        let limit = turn.ensemble().connect_ticks();
        let dialling = Self { dials: 1, again_at: None, give_up_at: turn.after_ticks(limit) };
        (dialling, dial(leader, turn))
    }

    pub(super) fn failed(&mut self, turn: &Turn<'_>) -> Result<(), Leave> {
        if self.dials == DIALS_MAX {
            return Err(Leave::Unreachable);
        }
        self.dials += 1;
        self.again_at = Some(turn.after_ms(DIAL_PAUSE_MS));
        Ok(())
    }

    /// The link of a new dial, if one is due.
    pub(super) fn on_tick(&mut self, leader: Sid, turn: &mut Turn<'_>) -> Result<Option<LinkId>, Leave> {
        if self.give_up_at <= turn.now.mono {
            return Err(Leave::Unreachable);
        }
        if self.again_at.is_none_or(|at| at > turn.now.mono) {
            return Ok(None);
        }
        self.again_at = None;
        Ok(Some(dial(leader, turn)))
    }

    pub(super) fn deadline(&self) -> Mono {
        self.again_at.map_or(self.give_up_at, |at| at.min(self.give_up_at))
    }
}

fn dial(sid: Sid, turn: &mut Turn<'_>) -> LinkId {
    let link = turn.member().next_link();
    turn.out.push(Action::Dial { sid, link });
    link
}

/// The link is up; the epoch is being agreed upon.
#[derive(Clone, Copy, Debug)]
pub(super) enum Handshake {
    /// LEADERINFO has not come.
    Asking,
    /// It has come, and its epoch is on its way to the disk.
    Accepting { epoch: u32, token: Token },
}

impl Handshake {
    /// Says who this server is.
    pub(super) fn begin(kind: LearnerKind, link: LinkId, turn: &mut Turn<'_>) -> Self {
        let zxid = Zxid::new(turn.epochs().accepted(), 0);
        let learner = Some(LearnerInfo::new(turn.config.sid, turn.membership().in_force().version()));
        let packet = match kind {
            LearnerKind::Follower => QuorumPacket::FollowerInfo { zxid, learner },
            LearnerKind::Observer => QuorumPacket::ObserverInfo { zxid, learner },
        };
        turn.send(link, packet);
        Self::Asking
    }

    /// Some: the epoch is accepted, and ACKEPOCH is sent.
    pub(super) fn on_packet(
        &mut self,
        link: LinkId,
        packet: &QuorumPacket,
        turn: &mut Turn<'_>,
    ) -> Result<Option<u32>, Leave> {
        let (Self::Asking, QuorumPacket::LeaderInfo { zxid, .. }) = (*self, packet) else {
            return match packet {
                QuorumPacket::Ping { .. } | QuorumPacket::Unknown { .. } => Ok(None),
                _ => Err(unexpected(packet, "before the epoch was accepted")),
            };
        };
        let epoch = epoch_of(*zxid)?;
        let accepted = turn.epochs().accepted();
        if epoch < accepted {
            return Err(Leave::EpochBehind);
        }
        if epoch == accepted {
            // Accepted before, perhaps of this very leader: it must not count a second time.
            ack_epoch(link, None, turn);
            return Ok(Some(epoch));
        }
        let token = turn.set_epoch(EpochKind::Accepted, epoch);
        *self = Self::Accepting { epoch, token };
        Ok(None)
    }

    /// True while the disk is at work for it.
    pub(super) const fn is_busy(&self) -> bool {
        matches!(self, Self::Accepting { .. })
    }

    /// Some: the epoch is accepted, and ACKEPOCH is sent.
    pub(super) fn on_durable(&mut self, link: LinkId, token: Token, turn: &mut Turn<'_>) -> Option<u32> {
        let Self::Accepting { epoch, token: awaited } = *self else { return None };
        if token < awaited {
            return None;
        }
        turn.event(Event::EpochAccepted { epoch });
        ack_epoch(link, Some(turn.epochs().current()), turn);
        Some(epoch)
    }
}

/// A leader's first zxid names its epoch. Java writes epochs as an int: they stay below 2^31.
fn epoch_of(zxid: Zxid) -> Result<u32, Leave> {
    if zxid.0 < 0 || zxid.counter() != 0 {
        return Err(Leave::Fault(PeerFault::WrongEpoch { epoch: 0, found: zxid }));
    }
    Ok(zxid.epoch())
}

fn ack_epoch(link: LinkId, current_epoch: Option<u32>, turn: &mut Turn<'_>) {
    let zxid = turn.claimed_zxid();
    turn.send(link, QuorumPacket::AckEpoch { zxid, current_epoch });
}
