//! Agreeing on an epoch (quorum protocol B3, the leader's side).
//!
//! ```text
//! …INFO from a quorum   ─► [acceptedEpoch = e durable] ─► LEADERINFO(e)     e: newer than any of them has accepted
//! ACKEPOCH from a quorum, none of it ahead of the leader ─► the leader's history is that of epoch e
//! ```

use super::super::outbox::Turn;
use super::super::role::{Leave, Phase};
use super::progress::Who;
use crate::disk::epochs::EpochKind;
use crate::event::Event;
use crate::ids::Zxid;
use crate::input::Token;
use crate::quorum::Acks;
use crate::time::Mono;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    /// What this leader has: the epoch that it established last, and the end of its history. Nobody in the quorum may
    /// have more.
    summary: (u32, Zxid),
    stage: Stage,
    until: Mono,
    /// P08: the highest epoch that anybody else has accepted.
    #[cfg(feature = "museum")]
    of_learners: u32,
    /// A bug to plant.
    #[cfg(feature = "museum")]
    museum: Option<crate::museum::Exhibit>,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The highest epoch that anybody who came has accepted, and the voters among them.
    Gathering {
        highest: u32,
        arrived: Acks,
    },
    Proposing {
        epoch: u32,
        token: Token,
    },
    /// Voters that accepted the epoch.
    Acknowledging {
        epoch: u32,
        acks: Acks,
    },
}

impl Discovery {
    pub(super) fn begin(turn: &mut Turn<'_>) -> Self {
        let (accepted, current) = (turn.epochs().accepted(), turn.epochs().current());
        let mut arrived = Acks::new(turn.membership().quorums().clone());
        arrived.add(turn.config.sid);
        let until = turn.after_ticks(turn.ensemble().init_limit);
        let stage = Stage::Gathering { highest: accepted.max(turn.member().outdone_by), arrived };
        #[cfg(feature = "museum")]
        if planted!(turn.config.museum, P09) {
            turn.member().plants.claimed = Zxid::new(accepted + 1, 0);
        }
        Self {
            summary: (current, turn.log.logged()),
            stage,
            until,
            #[cfg(feature = "museum")]
            of_learners: 0,
            #[cfg(feature = "museum")]
            museum: turn.config.museum,
        }
    }

    /// The epoch, once it is durable that this server proposed it: it stands, whoever comes.
    pub(super) const fn epoch(&self) -> Option<u32> {
        match &self.stage {
            Stage::Acknowledging { epoch, .. } => Some(*epoch),
            Stage::Gathering { .. } | Stage::Proposing { .. } => None,
        }
    }

    /// The epoch, once it is on its way to the disk.
    pub(super) const fn proposed(&self) -> Option<u32> {
        match &self.stage {
            Stage::Proposing { epoch, .. } | Stage::Acknowledging { epoch, .. } => Some(*epoch),
            Stage::Gathering { .. } => None,
        }
    }

    /// Somebody came, who has accepted that epoch.
    pub(super) fn arrive(&mut self, who: Who, accepted: u32) {
        if let Stage::Gathering { highest, arrived } = &mut self.stage {
            *highest = accepted.max(*highest);
            #[cfg(feature = "museum")]
            {
                self.of_learners = accepted.max(self.of_learners);
            }
            who.follower().map(|sid| arrived.add(sid));
        }
    }

    /// Its link is gone.
    pub(super) fn forget(&mut self, who: Who) {
        match &mut self.stage {
            Stage::Gathering { arrived: acks, .. } | Stage::Acknowledging { acks, .. } => {
                acks.remove(who.sid)
            }
            Stage::Proposing { .. } => false,
        };
    }

    /// Proposes the epoch once a quorum is there.
    pub(super) fn propose_if_quorum(&mut self, turn: &mut Turn<'_>) {
        if let Stage::Gathering { highest, arrived } = &self.stage
            && arrived.has_quorum()
        {
            #[allow(unused_mut, reason = "a planted bug changes it")]
            let mut epoch = highest + 1;
            #[cfg(feature = "museum")]
            if planted!(turn.config.museum, P08) && self.of_learners < *highest {
                epoch = *highest;
            }
            let token = turn.set_epoch(EpochKind::Accepted, epoch);
            self.stage = Stage::Proposing { epoch, token };
        }
    }

    /// True if the epoch is durable now.
    pub(super) fn on_durable(&mut self, token: Token, turn: &mut Turn<'_>) -> bool {
        let Stage::Proposing { epoch, token: awaited } = self.stage else { return false };
        if token < awaited {
            return false;
        }
        let mut acks = Acks::new(turn.membership().quorums().clone());
        acks.add(turn.config.sid);
        self.stage = Stage::Acknowledging { epoch, acks };
        self.until = turn.after_ticks(turn.ensemble().init_limit);
        turn.event(Event::EpochProposed { epoch });
        true
    }

    /// False if the learner has more than this leader. Who had accepted the epoch before (`None`) is not counted.
    pub(super) fn acknowledge(&mut self, who: Who, zxid: Zxid, current_epoch: Option<u32>) -> bool {
        let Stage::Acknowledging { acks, .. } = &mut self.stage else { return true };
        let Some(current_epoch) = current_epoch else { return true };
        if (current_epoch, zxid) > self.summary && !planted!(self.museum, P10) {
            return false;
        }
        who.follower().map(|sid| acks.add(sid));
        true
    }

    /// The epoch, once a quorum has accepted it.
    pub(super) fn agreed(&self) -> Option<u32> {
        match &self.stage {
            Stage::Acknowledging { epoch, acks } if acks.has_quorum() => Some(*epoch),
            _ => None,
        }
    }

    pub(super) fn on_tick(&self, now: Mono) -> Result<(), Leave> {
        if self.until <= now { Err(Leave::NoQuorum(Phase::Discovery)) } else { Ok(()) }
    }

    pub(super) const fn deadline(&self) -> Mono {
        self.until
    }
}
