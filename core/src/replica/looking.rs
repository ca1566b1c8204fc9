//! Without a leader: the disk comes to rest, then votes are asked for (quorum protocol part A).
//!
//! An election begins only when everything that was logged is durable and everything that is committed is applied. So a
//! vote never claims what a power cut would take back, nothing that was ordered in one role can become durable in the next,
//! and a sync finds log and tree as they will stay.

use super::outbox::Turn;
use super::role::Standing;
use crate::election::Candidate;
use crate::event::Event;
use crate::time::Mono;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) enum Looking {
    /// Not yet: observers leave the voters some time.
    Waiting(Mono),
    /// As soon as disk and tree have come to rest.
    Settling,
    /// Votes are asked for.
    Electing,
}

impl Looking {
    /// Leaves whatever was before.
    pub(super) fn begin(begin_at: Mono, turn: &mut Turn<'_>) -> Self {
        turn.member().port.pause();
        turn.member().decided = None;
        turn.stand(Standing::LOOKING);
        Self::Waiting(begin_at)
    }

    /// Asks for votes, if it is time.
    pub(super) fn elect_if_settled(&mut self, turn: &mut Turn<'_>) {
        match *self {
            Self::Waiting(at) if at <= turn.now.mono => *self = Self::Settling,
            Self::Waiting(_) | Self::Settling | Self::Electing => {}
        }
        if !matches!(self, Self::Settling) || !(turn.log.is_settled() || planted!(turn.config.museum, P24)) {
            return;
        }
        *self = Self::Electing;
        let (zxid, current_epoch) = (turn.log.logged(), turn.epochs().current());
        #[cfg(feature = "museum")]
        let zxid = zxid.max(turn.member().plants.claimed);
        turn.event(Event::ElectionBegun { zxid, epoch: current_epoch });
        turn.elect(|port, now, out| port.start(now, Candidate { zxid, current_epoch }, out));
    }

    /// When it wants a `Tick`.
    pub(super) const fn deadline(&self) -> Option<Mono> {
        match self {
            Self::Waiting(at) => Some(*at),
            Self::Settling | Self::Electing => None,
        }
    }
}
