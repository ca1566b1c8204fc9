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
pub(super) struct Looking {
    /// Not before this; `None` once the election is on.
    begin_at: Option<Mono>,
}

impl Looking {
    /// Before anything was.
    pub(super) const fn at(begin_at: Mono) -> Self {
        Self { begin_at: Some(begin_at) }
    }

    /// Leaves whatever was before.
    pub(super) fn begin(begin_at: Mono, turn: &mut Turn<'_>) -> Self {
        turn.member().port.pause();
        turn.member().decided = None;
        turn.stand(Standing::LOOKING);
        Self { begin_at: Some(begin_at) }
    }

    /// Asks for votes, if it is time.
    pub(super) fn elect_if_settled(&mut self, turn: &mut Turn<'_>) {
        if self.begin_at.is_none_or(|at| at > turn.now.mono) || !turn.log.is_settled() {
            return;
        }
        self.begin_at = None;
        let (zxid, current_epoch) = (turn.log.logged(), turn.epochs().current());
        turn.event(Event::ElectionBegun { zxid, epoch: current_epoch });
        turn.elect(|port, now, out| port.start(now, Candidate { zxid, current_epoch }, out));
    }

    /// When it wants a `Tick`.
    pub(super) const fn deadline(&self) -> Option<Mono> {
        self.begin_at
    }
}
