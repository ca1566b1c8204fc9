//! What an election must hold at every step (I10 to I13), judged by what was really sent and not by what the election
//! under test remembers of it.

use std::collections::{BTreeMap, BTreeSet};

use zk_core::election::Decision;
use zk_core::election::vote::Vote;
use zk_core::ids::{PeerState, Sid};

use super::Broken;

/// Where one server stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub(super) round: i64,
    /// While it elects.
    pub(super) proposal: Option<Vote>,
}

impl Stand {
    /// Whether a vote may still be counted: those of an election only in its round. (Votes for others than the own proposal
    /// may: with the word of a leader and in its round they support it.)
    pub(super) const fn may_count(&self, heard: &Heard) -> bool {
        !matches!(heard.state, PeerState::Looking) || heard.round >= self.round
    }
}

/// I10: within a round a proposal only gets better, and while a server elects its rounds only grow. A server may go over to a
/// worse candidate that is as good as itself, if it lost that one less often, or after a silence, if a quorum with it votes for
/// that one. `order` gives what a vote claims as (epoch, zxid).
pub(super) fn check_stand(
    evidence: &Evidence<'_>,
    after: Stand,
    order: impl Fn(&Vote) -> (i64, i64),
) -> Result<(), Broken> {
    let Evidence { me, before, by, data: (epoch, zxid), .. } = *evidence;
    let (Some(was), Some(is)) = (before.proposal, after.proposal) else { return Ok(()) };
    let voted =
        |heard: &Heard| (heard.state, heard.round, heard.vote) == (PeerState::Looking, after.round, is);
    let lost = |vote: Vote| evidence.lost.get(&vote.leader).copied().unwrap_or(0);
    let gives_way = || {
        let by_silence =
            || by == By::Silence && evidence.is_quorum(|sid| sid == me || evidence.said(sid).any(voted));
        order(&is) >= (i64::from(epoch), zxid) && (lost(is) < lost(was) || by_silence())
    };
    let regressed = after.round < before.round || (after.round == before.round && is < was && !gives_way());
    if regressed {
        let what =
            format!("{me} went from {was:?} in round {} to {is:?} in round {}", before.round, after.round);
        return Err(Broken { rule: "I10", what });
    }
    Ok(())
}

/// A vote as it was delivered, and what its sender had when it sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Heard {
    pub(super) from: Sid,
    pub(super) state: PeerState,
    pub(super) vote: Vote,
    pub(super) round: i64,
    /// Epoch and zxid.
    pub(super) data: (u32, i64),
}

/// What there is to judge a decision by.
pub(super) struct Evidence<'a> {
    pub(super) me: Sid,
    /// Epoch and zxid of the server that decided.
    pub(super) data: (u32, i64),
    pub(super) voters: &'a [Sid],
    /// Where the server stood just before.
    pub(super) before: Stand,
    /// Everything that was delivered to it in this election.
    pub(super) heard: &'a BTreeSet<Heard>,
    /// Leaders that it lost since it was synchronised last, and how often.
    pub(super) lost: &'a BTreeMap<Sid, u32>,
    pub(super) by: By,
}

/// How an election ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By votes of one round and silence after them.
    Silence,
    /// By the word of a leader and its followers.
    Word,
}

/// I11, I12, I13 for one decision. `order` gives what a vote claims as (epoch, zxid).
pub(super) fn check_decision(
    evidence: &Evidence<'_>,
    decision: &Decision,
    order: impl Fn(&Vote) -> (i64, i64),
) -> Result<(), Broken> {
    let Evidence { me, voters, .. } = *evidence;
    let broken = |rule, why: &str| {
        let Decision { state, vote, round, .. } = decision;
        let what = format!("{me} decided {state} behind {} ({vote:?}) in round {round}: {why}", vote.leader);
        Err(Broken { rule, what })
    };
    let voter = |sid: &Sid| voters.contains(sid);
    if !decision.supporters.iter().all(voter) || !voter(&decision.vote.leader) {
        return broken("I13", "somebody without a vote was counted");
    }
    if 2 * decision.supporters.len() <= voters.len() {
        return broken("I11", "its supporters are no quorum");
    }
    if !evidence.is_quorum(|sid| evidence.in_one_round(decision, sid))
        && !evidence.is_quorum(|sid| evidence.in_one_epoch(decision, sid))
    {
        return broken("I11", "no quorum ever supported it, in one round or one established epoch");
    }
    if evidence.by == By::Word && decision.vote.leader != me && !evidence.hears_leading(decision.vote.leader)
    {
        return broken("I11", "the leader itself never said that it leads");
    }
    if evidence.by == By::Silence {
        let claimed = order(&decision.vote);
        let better = evidence.supporters_data(decision).find(|data| (i64::from(data.0), data.1) > claimed);
        if let Some((epoch, zxid)) = better {
            return broken("I12", &format!("a voter behind it had zxid {zxid:#x} of epoch {epoch}"));
        }
    }
    Ok(())
}

impl Evidence<'_> {
    fn is_quorum(&self, supports: impl Fn(Sid) -> bool) -> bool {
        2 * self.voters.iter().filter(|sid| supports(**sid)).count() > self.voters.len()
    }

    fn said(&self, sid: Sid) -> impl Iterator<Item = &Heard> {
        self.heard.iter().filter(move |heard| heard.from == sid)
    }

    /// A vote of the round that the server was in, for the same leader; a LOOKING one for the very same vote.
    fn in_one_round(&self, decision: &Decision, sid: Sid) -> bool {
        let Stand { round, proposal } = self.before;
        let own = sid == self.me && proposal == Some(decision.vote);
        own || self.said(sid).any(|heard| {
            let same = if heard.state == PeerState::Looking {
                heard.vote == decision.vote
            } else {
                heard.vote.leader == decision.vote.leader
            };
            same && heard.round == round
        })
    }

    /// A member of the ensemble that this leader established.
    fn in_one_epoch(&self, decision: &Decision, sid: Sid) -> bool {
        let named = |vote: &Vote| (vote.leader, vote.peer_epoch);
        self.said(sid).any(|h| h.state != PeerState::Looking && named(&h.vote) == named(&decision.vote))
    }

    fn hears_leading(&self, leader: Sid) -> bool {
        self.said(leader).any(|heard| heard.state == PeerState::Leading && heard.vote.leader == leader)
    }

    /// Epoch and zxid that the voters behind it had when they voted.
    fn supporters_data(&self, decision: &Decision) -> impl Iterator<Item = (u32, i64)> {
        let (round, vote) = (self.before.round, decision.vote);
        let votes = self.heard.iter().filter(move |heard| {
            let same = (heard.state, heard.round, heard.vote) == (PeerState::Looking, round, vote);
            same && self.voters.contains(&heard.from)
        });
        let own = self.voters.contains(&self.me).then_some(self.data);
        votes.map(|heard| heard.data).chain(own)
    }
}
