//! Without a leader: the disk comes to rest, then votes are asked for (quorum protocol part A).
//!
//! An election begins only when everything that was logged is durable and everything that is committed is applied. So a
//! vote never claims what a power cut would take back, nothing that was ordered in one role can become durable in the next,
//! and a sync finds log and tree as they will stay.

use alloc::vec::Vec;

use super::outbox::Turn;
use super::read_only::ReadOnly;
use super::role::Standing;
use crate::election::{Candidate, Decision};
use crate::event::Event;
use crate::ids::{PeerState, Sid};
use crate::input::Input;
use crate::quorum;
use crate::session::SessionInfo;
use crate::time::Mono;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Looking {
    stage: Stage,
    /// Who leads by the word of a reconfig: nobody is asked.
    designated: Option<Sid>,
    readers: ReadOnly,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Not yet: observers leave the voters some time.
    Waiting(Mono),
    /// As soon as disk and tree have come to rest.
    #[default]
    Settling,
    /// Votes are asked for.
    Electing,
}

impl Looking {
    /// Leaves whatever was before.
    pub(super) fn begin(begin_at: Mono, designated: Option<Sid>, turn: &mut Turn<'_>) -> Self {
        turn.member().port.pause();
        turn.member().decided = None;
        turn.stand(Standing::LOOKING);
        Self { stage: Stage::Waiting(begin_at), designated, readers: ReadOnly::begin(turn) }
    }

    /// What clients ask, and time.
    pub(super) fn step(&mut self, input: Input, turn: &mut Turn<'_>) {
        self.readers.step(input, turn);
    }

    pub(super) fn standing(&self) -> Standing {
        Standing { clients: self.readers.clients(), ..Standing::LOOKING }
    }

    /// Sessions of those who read.
    pub(super) fn local_sessions(&self) -> Vec<SessionInfo> {
        self.readers.sessions()
    }

    /// Asks for votes, if it is time.
    pub(super) fn elect_if_settled(&mut self, turn: &mut Turn<'_>) {
        match self.stage {
            Stage::Waiting(at) if at <= turn.now.mono => self.stage = Stage::Settling,
            Stage::Waiting(_) | Stage::Settling | Stage::Electing => {}
        }
        let is_settled = turn.log.is_settled() || planted!(turn.config.museum, P24);
        if self.stage != Stage::Settling || !is_settled {
            return;
        }
        self.stage = Stage::Electing;
        if let Some(leader) = self.designated.take() {
            return go_behind(leader, turn);
        }
        let (zxid, current_epoch) = (turn.log.logged(), turn.epochs().current());
        #[cfg(feature = "museum")]
        let zxid = zxid.max(turn.member().plants.claimed);
        turn.event(Event::ElectionBegun { zxid, epoch: current_epoch });
        turn.elect(|port, now, out| port.start(now, Candidate { zxid, current_epoch }, out));
    }

    /// The members have changed: whoever was asked was not everybody.
    pub(super) fn elect_again(&mut self, turn: &mut Turn<'_>) {
        if self.stage == Stage::Electing {
            self.stage = Stage::Settling;
            self.elect_if_settled(turn);
        }
    }

    /// When it wants a `Tick`.
    pub(super) fn deadline(&self) -> Option<Mono> {
        let own = match self.stage {
            Stage::Waiting(at) => Some(at),
            Stage::Settling | Stage::Electing => None,
        };
        own.into_iter().chain(self.readers.deadline()).min()
    }
}

/// A reconfig has named the leader, because it acknowledged most. Whether it may lead is found out in discovery, as always.
fn go_behind(leader: Sid, turn: &mut Turn<'_>) {
    let state = match turn.own_standing() {
        _ if leader == turn.config.sid => PeerState::Leading,
        quorum::Standing::Voter | quorum::Standing::Stranger => PeerState::Following,
        quorum::Standing::Observer => PeerState::Observing,
    };
    let zxid = turn.membership().in_force().version();
    let port = &mut turn.member().port;
    port.settle(leader, zxid, state);
    let (vote, round) = port.election().current_vote().expect("invariant: it was just set");
    turn.member().decided = Some(Decision { state, vote, round, supporters: Vec::new() });
}
