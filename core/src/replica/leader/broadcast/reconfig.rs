//! Reconfigs at the leader: what one would come to, when it comes into force, and who leads then (quorum protocol B8).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::super::outbox::Turn;
use super::super::super::reconfig::keeps_leader;
use super::super::super::role::Leave;
use super::super::super::settings::Reconfig;
use super::super::progress::{Learners, Stage};
use super::{Broadcast, has_quorum};
use crate::config::change::Change;
use crate::config::quorum_config::QuorumConfig;
use crate::error::OpError;
use crate::ids::{Sid, Zxid};
use crate::quorum::QuorumVerifier;
use crate::time::Mono;
use crate::wire::client::ReconfigRequest;

/// A reconfig has put this leader aside: it commits nothing more, and takes no requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resigned {
    /// Who is to lead; `None` if that is for an election to say.
    to: Option<Sid>,
    /// Since when.
    at: Mono,
}

impl Broadcast {
    /// What a reconfig asked for comes to, in Java's order of refusals but for the last one: whether the caller may write the
    /// config node is for prep to say.
    pub(super) fn next_config(
        &self,
        request: &ReconfigRequest,
        zxid: Zxid,
        learners: &Learners,
        turn: &Turn<'_>,
    ) -> Result<Arc<QuorumConfig>, OpError> {
        let Reconfig::Enabled { fewest } = turn.config.reconfig else {
            return Err(OpError::ReconfigDisabled);
        };
        let membership = turn.membership();
        if membership.quorums().last_seen().is_some() {
            return Err(OpError::ReconfigInProgress);
        }
        let current = membership.last_seen();
        if request.config != -1 && request.config != current.version().0 {
            return Err(OpError::BadVersion);
        }
        let change = Change {
            joining: request.joining.as_deref(),
            leaving: request.leaving.as_deref(),
            members: request.new_members.as_deref(),
        };
        let next = change.apply(current, zxid, fewest)?;
        let me = turn.config.sid;
        let synced =
            |sid| learners.of(sid).is_some_and(|l| l.follower().is_some() && l.stage() == Stage::Live);
        if !QuorumVerifier::of(&next).contains_quorum(|sid| sid == me || synced(sid)) {
            return Err(OpError::NewConfigNoQuorum);
        }
        Ok(Arc::new(next))
    }

    /// If a reconfig is among what is ready, it is the last for now, and comes into force: whom it designates.
    pub(super) fn take_reconfig(&mut self, ready: &mut usize, turn: &mut Turn<'_>) -> Option<Sid> {
        let (zxid, _) = self.pending.as_ref()?;
        let zxid = *zxid;
        let before = turn.log.range(turn.log.committed(), zxid).count();
        if *ready < before {
            return None;
        }
        *ready = before;
        let (_, config) = self.pending.take()?;
        let old = turn.put_in_force(config);
        let me = turn.config.sid;
        let leader =
            if keeps_leader(&old, turn.membership(), me) { me } else { self.designate(before - 1, turn) };
        self.activated.push((zxid, leader));
        Some(leader)
    }

    /// Of those who have acknowledged the reconfig at this place and may lead in the new config, one who has acknowledged the
    /// most behind it.
    fn designate(&self, at: usize, turn: &Turn<'_>) -> Sid {
        let rules = turn.membership().quorums().in_force();
        let may = |sid: &Sid| *sid != turn.config.sid && rules.is_voter(*sid) && rules.may_lead(*sid);
        let mut candidates: Vec<Sid> = self.acks[at].sids().iter().copied().filter(may).collect();
        for acks in self.acks.range(at + 1..) {
            if candidates.iter().any(|sid| acks.contains(*sid)) {
                candidates.retain(|sid| acks.contains(*sid));
            }
        }
        *candidates.first().expect("invariant: a quorum of the new config has acknowledged it")
    }

    /// Whom the reconfig with this zxid designated; `None` for what is no reconfig of this epoch.
    pub(in crate::replica::leader) fn activated(&self, zxid: Zxid) -> Option<Sid> {
        self.activated.iter().rev().find(|(of, _)| *of == zxid).map(|(_, leader)| *leader)
    }

    /// Commits nothing from here on. Clients are to look for another server.
    pub(in crate::replica::leader) fn resign(&mut self, to: Option<Sid>, turn: &Turn<'_>) {
        self.resigned = Some(Resigned { to, at: turn.now.mono });
    }

    pub(in crate::replica::leader) const fn has_resigned(&self) -> bool {
        self.resigned.is_some()
    }

    /// Whoever hears of the next leader hangs up by itself. The last one to do so ends this role, so that all hear of it; for
    /// those of whom a quorum does not need to hear it lasts a tick at most.
    pub(in crate::replica::leader) fn step_down(
        &self,
        learners: &Learners,
        turn: &Turn<'_>,
    ) -> Result<(), Leave> {
        let Some(Resigned { to, at }) = self.resigned else { return Ok(()) };
        let is_heard = learners.iter().any(|(_, learner)| learner.stage() == Stage::Live);
        let needed = has_quorum(learners, turn, |learner| learner.stage() == Stage::Live);
        let ticks = if needed { turn.ensemble().sync_limit } else { 1 };
        if is_heard && turn.now.mono < at + turn.ticks(ticks) {
            return Ok(());
        }
        Err(Leave::Reconfigured { leader: to })
    }
}
