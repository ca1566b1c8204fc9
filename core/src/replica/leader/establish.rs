//! From acknowledgements of NEWLEADER to the broadcast phase (quorum protocol B5, the leader's side).
//!
//! ```text
//! NEWLEADER acknowledged by a quorum, this server's own file included ─► the history is committed
//!                              ─► applied here ─► UPTODATE to whoever acknowledged, now and later
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::outbox::Turn;
use super::super::reconfig::keeps_leader;
use super::super::role::{Leave, PeerFault};
use super::broadcast::{Broadcast, commit_of};
use super::progress::{Learner, Stage, Stream};
use super::{Leading, State};
use crate::ids::{LinkId, Zxid};
use crate::input::Token;
use crate::quorum::Acks;
use crate::time::Mono;
use crate::tree::ApplyMode;
use crate::wire::quorum::QuorumPacket;

/// Waits for a quorum that holds this leader's history.
#[derive(Clone, Debug)]
pub(super) struct Synchronization {
    pub(super) epoch: u32,
    /// Voters that acknowledged NEWLEADER. This server's own word is the file `currentEpoch`.
    pub(super) acks: Acks,
    pub(super) own: Token,
    pub(super) until: Mono,
    /// A quorum does, and this is what is being applied.
    pub(super) applying: Option<Zxid>,
}

impl Leading {
    /// NEWLEADER and UPTODATE are acknowledged with the epoch's first zxid, proposals with their own. Learners of some
    /// versions acknowledge proposals of the sync before NEWLEADER (ZOOKEEPER-4685): each ack is taken for what it says.
    pub(super) fn on_ack(&mut self, link: LinkId, zxid: Zxid, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let epoch = self.epoch();
        let Some(learner) = self.learners.get_mut(link) else { return Ok(()) };
        if zxid.counter() == 0 {
            if zxid != Zxid::new(epoch, 0) {
                self.fault(link, PeerFault::WrongEpoch { epoch, found: zxid }, turn);
                return Ok(());
            }
            if learner.stage() == Stage::Syncing {
                learner.acked_new_leader();
                return self.on_new_leader_acked(link, turn);
            }
            return Ok(());
        }
        if planted!(turn.config.museum, P16) && learner.stage() == Stage::Syncing {
            return Err(Leave::Fault(PeerFault::WrongEpoch { epoch, found: zxid }));
        }
        let (follower, seen) = (learner.follower(), learner.acked(zxid, turn.now.mono));
        if zxid > self.history_end(turn.log) && !seen {
            let sent = turn.log.logged();
            self.fault(link, PeerFault::AckUnseen { sent, found: zxid }, turn);
            return Ok(());
        }
        if let (Some(sid), State::Broadcast(broadcast)) = (follower, &mut self.state) {
            broadcast.on_ack(sid, zxid, &mut self.learners, turn);
        }
        Ok(())
    }

    fn on_new_leader_acked(&mut self, link: LinkId, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let follower = self.learners.get(link).and_then(Learner::follower);
        match &mut self.state {
            State::Synchronization(sync) => {
                if let Some(sid) = follower {
                    sync.acks.add(sid);
                }
                self.commit_history_if_quorum(turn)
            }
            State::Broadcast(_) => {
                self.up_to_date(link, turn);
                Ok(())
            }
            State::Discovery(_) => {
                panic!("invariant: nobody is synchronised before the epoch is agreed upon")
            }
        }
    }

    /// A quorum holds this leader's history: whatever of it was not committed is.
    pub(super) fn commit_history_if_quorum(&mut self, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let State::Synchronization(sync) = &mut self.state else { return Ok(()) };
        // Perhaps a quorum of others was faster than the own disk: an epoch is not established while its leader may wake up
        // in an older one.
        if sync.applying.is_some() || !sync.acks.has_quorum() || !turn.log.is_durable(sync.own) {
            return Ok(());
        }
        let end = turn.log.logged();
        sync.applying = Some(end);
        let tail = turn.log.commit(end);
        turn.log.prove();
        turn.apply(tail, ApplyMode::Replay, |_| None);
        self.broadcast_if_applied(turn)
    }

    /// Serves, once the tree has the whole history: what is asked from now on is validated against it.
    pub(super) fn broadcast_if_applied(&mut self, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let State::Synchronization(Synchronization { epoch, applying: Some(end), .. }) = self.state else {
            return Ok(());
        };
        if !turn.log.tree_has(end) {
            return Ok(());
        }
        // What was left half-way is brought to its end with the history.
        let config = turn.membership().last_seen().clone();
        let before = turn.put_in_force(config);
        turn.establish(epoch, end);
        let mut broadcast = Box::new(Broadcast::begin(epoch, turn));
        if !keeps_leader(&before, turn.membership(), self.me) {
            broadcast.resign(None, turn);
        }
        let closed = broadcast.close_lost(turn);
        self.state = State::Broadcast(broadcast);
        self.tick = 0;
        self.half = false;
        self.beat_at = turn.now.mono + turn.ticks(1) / 2;
        turn.stand(self.standing());
        let synced = self.learners.iter().filter(|(_, learner)| learner.stage() == Stage::Synced);
        let synced: Vec<_> = synced.map(|(link, _)| link).collect();
        synced.into_iter().for_each(|link| self.up_to_date(link, turn));
        closed
    }

    /// The learner may serve. The commits that were held back from it follow.
    fn up_to_date(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        let Some(learner) = self.learners.get_mut(link) else { return };
        let committed = turn.log.committed();
        let told = learner.sent_up_to_date(committed, turn.now.mono);
        let informs = learner.gets(Stream::Informs);
        turn.send(link, QuorumPacket::UpToDate);
        if informs {
            return;
        }
        // They are of this epoch, one after the other: what is older was committed with the history.
        let mut zxid = told.max(Zxid::new(committed.epoch(), 0));
        while zxid < committed {
            zxid = zxid.next().expect("invariant: it is below another of its epoch");
            let activated = match &self.state {
                State::Broadcast(broadcast) => broadcast.activated(zxid),
                _ => None,
            };
            turn.send(link, commit_of(zxid, activated));
        }
    }
}
