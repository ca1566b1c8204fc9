//! Elections (I10 to I13), judged by the votes that really arrived and not by what a server remembers of them.

use std::collections::{BTreeMap, BTreeSet};

use zk_core::election::Election;
use zk_core::election::vote::{Notification, Vote};
use zk_core::ids::{PeerState, Sid, Zxid};
use zk_core::replica::Leave;

use super::super::invariant::{Invariant, Violation, ensure};
use super::Ensemble;

/// A server's part in elections.
#[derive(Clone, Debug, Default)]
pub(super) struct Ballot {
    /// While it elects: its round and its vote.
    stand: Option<(i64, Vote)>,
    /// Votes that reached it since it last had a role.
    heard: BTreeSet<Heard>,
    /// It has a role.
    settled: bool,
    /// The round that it was in after its last step.
    round: i64,
    /// How its last elections ended.
    decided: Vec<Vote>,
    /// Leaders that it lost since it last saw an epoch established, and how often.
    failed: BTreeMap<Sid, u32>,
    /// Rounds in which it voted, with what it had: the epoch it established, and the end of its log.
    had: Vec<(i64, (i64, Zxid))>,
}

/// A vote as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Heard {
    from: Sid,
    looking: bool,
    leads: bool,
    round: i64,
    vote: Vote,
}

/// Rounds that are remembered of each server.
const ROUNDS_MAX: usize = 32;
/// So many votes of one election make it worth to forget those of its earlier rounds.
const HEARD_MANY: usize = 4096;

impl Ballot {
    /// Another process: what the last one said may still be under way.
    pub(super) fn restart(&mut self) {
        *self = Self { had: std::mem::take(&mut self.had), ..Self::default() };
    }

    /// It votes in this round, with this on its disk.
    pub(super) fn asks(&mut self, round: i64, has: (i64, Zxid)) {
        if self.had.contains(&(round, has)) {
            return;
        }
        if self.had.len() == ROUNDS_MAX {
            self.had.remove(0);
        }
        self.had.push((round, has));
    }

    /// It has a role, by this vote, whose epoch may have become another since. True if it is another than before.
    fn decides(&mut self, election: &Election) -> bool {
        let Some((vote, _)) = election.current_vote() else { return false };
        let is_new = self.decided.last() != Some(&vote);
        if is_new {
            if self.decided.len() == ROUNDS_MAX {
                self.decided.remove(0);
            }
            self.decided.push(vote);
        }
        is_new
    }

    /// It leaves whom it elected, perhaps itself.
    pub(super) fn leaves(&mut self, leader: Option<Sid>, established: bool, why: &Leave) {
        if established {
            self.failed.clear();
        }
        let in_vain = match why {
            Leave::Unreachable | Leave::LeaderSilent | Leave::NoQuorum(_) | Leave::LostQuorum => true,
            Leave::LinkDown(_) => !established,
            _ => false,
        };
        if let Some(leader) = leader.filter(|_| in_vain) {
            *self.failed.entry(leader).or_default() += 1;
        }
    }

    fn failures(&self, sid: Sid) -> u32 {
        self.failed.get(&sid).copied().unwrap_or(0)
    }

    /// True if one of its elections ended with this vote.
    pub(super) fn has_decided(&self, vote: &Vote) -> bool {
        self.decided.contains(vote)
    }

    /// Whether it had this when it voted in that round. Rounds come again: who joins an ensemble takes over the round in
    /// which that was elected.
    pub(super) fn had(&self, round: i64, claimed: (i64, Zxid)) -> bool {
        self.had.contains(&(round, claimed))
    }

    /// The least that it had when it voted in that round.
    fn had_least(&self, round: i64) -> Option<(i64, Zxid)> {
        self.had.iter().filter(|(asked, _)| *asked == round).map(|(_, had)| *had).min()
    }
}

impl Ensemble {
    /// A vote arrives.
    pub(super) fn hears(&mut self, node: u32, peer: Option<u32>, said: &Notification) {
        let Some(from) = peer.and_then(|peer| self.machines.get(&peer)).map(|machine| machine.sid) else {
            return;
        };
        let ballot = &mut self.machine(node).ballot;
        if !ballot.settled {
            if ballot.heard.len() % HEARD_MANY == HEARD_MANY - 1 {
                let round = ballot.stand.map_or(i64::MIN, |(round, _)| round);
                ballot.heard.retain(|heard| !heard.looking || heard.round >= round);
            }
            ballot.heard.insert(Heard {
                from,
                looking: said.state == PeerState::Looking,
                leads: said.state == PeerState::Leading,
                round: said.round,
                vote: said.vote,
            });
        }
    }

    /// A server has taken a step.
    pub(super) fn elects_on(&mut self, node: u32, election: &Election) -> Result<(), Violation> {
        let machine = self.machine(node);
        let has = machine.has();
        let ballot = &mut machine.ballot;
        let before = ballot.stand.take();
        let round = election.round();
        let last = std::mem::replace(&mut ballot.round, round);
        match (election.state(), election.proposal()) {
            (PeerState::Looking, Some(vote)) => {
                if before.is_none_or(|(was, _)| was != round) {
                    ballot.asks(round, has);
                }
                ballot.stand = Some((round, vote));
                ballot.settled = false;
                let back = before.is_some_and(|(was, _)| round < was);
                let worse = before.is_some_and(|(was, old)| round == was && vote < old);
                return ensure(
                    !back && (!worse || self.gives_way(node, round, before, vote)),
                    Invariant::I10,
                    || format!("votes for {vote:?} in round {round} after {before:?}"),
                );
            }
            (PeerState::Looking, None) => ballot.settled = false,
            _ => {
                if ballot.decides(election) && before.is_none() {
                    // A whole election in one step, in which it asked and was told at once: what it asked waits on links that do
                    // not stand yet. Or its epoch is another, and it asks nothing.
                    ballot.asks(last + 1, has);
                }
                if ballot.settled {
                    return Ok(());
                }
                let judged = self.check_decision(node, before, election);
                let ballot = &mut self.machine(node).ballot;
                ballot.settled = true;
                ballot.heard.clear();
                return judged;
            }
        }
        Ok(())
    }

    /// Whether a server may vote for a worse candidate than before: one that is as good as itself, and that was lost less
    /// often, or that a quorum with it votes for, or would once it heard of it.
    fn gives_way(&self, node: u32, round: i64, before: Option<(i64, Vote)>, vote: Vote) -> bool {
        let machine = &self.machines[&node];
        let ballot = &machine.ballot;
        let voted = |sid| {
            let mut heard = ballot.heard.iter();
            heard.any(|h| h.from == sid && h.looking && h.round == round && h.vote <= vote)
        };
        let as_good = (vote.peer_epoch, vote.zxid) >= machine.has();
        let failed_less =
            before.is_some_and(|(_, old)| ballot.failures(vote.leader) < ballot.failures(old.leader));
        as_good && (failed_less || self.quorums.contains_quorum(|sid| sid == machine.sid || voted(sid)))
    }

    /// An election has ended: by a quorum of equal votes in one round and the silence behind them, or by the word of a
    /// leader and a quorum behind it.
    fn check_decision(
        &self,
        node: u32,
        before: Option<(i64, Vote)>,
        election: &Election,
    ) -> Result<(), Violation> {
        let Some((vote, round)) = election.current_vote() else { return Ok(()) };
        let machine = &self.machines[&node];
        let decided = Decided { me: machine.sid, vote, before, heard: &machine.ballot.heard };
        let broken = |invariant, why: &str| {
            let what = format!(
                "is behind {} ({vote:?}) as of round {round}: {why}; it stood at {before:?} and heard {:?}",
                vote.leader, machine.ballot.heard
            );
            Err(Violation { invariant, what })
        };
        if !self.quorums.is_voter(vote.leader) || !self.quorums.in_force().may_lead(vote.leader) {
            return broken(Invariant::I13, "who has no vote");
        }
        let quorum = |supports: &dyn Fn(Sid) -> bool| self.quorums.contains_quorum(supports);
        let in_round = quorum(&|sid| decided.in_round(sid));
        if in_round && quorum(&|sid| decided.by_votes(sid)) {
            let mut claimed = (vote.peer_epoch, vote.zxid);
            if decided.me == vote.leader {
                // A leader that comes back before its ensemble has noticed leads it again, by the votes of then. It has what it
                // has now.
                claimed = claimed.max(machine.has());
            }
            if quorum(&|sid| decided.by_votes(sid) && self.had(sid, round).is_none_or(|had| had <= claimed)) {
                return Ok(());
            }
            // Who has no vote is told how the last election ended, by servers that are in the next one already (quorum
            // protocol A5): it may go behind a leader of the past, who will not be there.
            if !decided.leads() && self.quorums.is_voter(machine.sid) {
                return broken(Invariant::I12, "those who voted for it had more");
            }
        }
        if !in_round && !quorum(&|sid| decided.in_epoch(sid)) {
            return broken(Invariant::I11, "no quorum supports it, in one round or one established epoch");
        }
        if !decided.leads() && vote.leader != machine.sid && self.quorums.is_voter(machine.sid) {
            return broken(Invariant::I11, "the leader itself never said that it leads");
        }
        Ok(())
    }

    /// What a server had when it voted in that round.
    fn had(&self, sid: Sid, round: i64) -> Option<(i64, Zxid)> {
        let machine = self.machines.values().find(|machine| machine.sid == sid)?;
        machine.ballot.had_least(round)
    }
}

/// What there is to judge a decision by.
struct Decided<'a> {
    me: Sid,
    vote: Vote,
    /// Round and vote of the server just before.
    before: Option<(i64, Vote)>,
    heard: &'a BTreeSet<Heard>,
}

impl Decided<'_> {
    fn said(&self, sid: Sid) -> impl Iterator<Item = &Heard> {
        let vote = Vote { leader: Sid(i64::MIN), zxid: Zxid(i64::MIN), peer_epoch: i64::MIN };
        let first = Heard { from: sid, looking: false, leads: false, round: i64::MIN, vote };
        self.heard.range(first..).take_while(move |heard| heard.from == sid)
    }

    fn own(&self, sid: Sid) -> bool {
        sid == self.me && self.before.is_none_or(|(_, vote)| vote == self.vote)
    }

    /// The very same vote, in the round that the server was in; its sender may have a role by it already.
    fn by_votes(&self, sid: Sid) -> bool {
        self.own(sid)
            || self.said(sid).any(|heard| {
                heard.vote == self.vote && self.before.is_none_or(|(round, _)| heard.round == round)
            })
    }

    /// The same, or the word of a member that came in by that round.
    fn in_round(&self, sid: Sid) -> bool {
        let member = |heard: &Heard| {
            !heard.looking
                && heard.vote.leader == self.vote.leader
                && self.before.is_none_or(|(round, _)| heard.round == round)
        };
        self.by_votes(sid) || self.said(sid).any(member)
    }

    /// A member of the ensemble that this leader established.
    fn in_epoch(&self, sid: Sid) -> bool {
        let named = |vote: &Vote| (vote.leader, vote.peer_epoch);
        self.said(sid).any(|heard| !heard.looking && named(&heard.vote) == named(&self.vote))
    }

    /// Its own word.
    fn leads(&self) -> bool {
        self.said(self.vote.leader).any(|heard| heard.leads && heard.vote.leader == self.vote.leader)
    }
}
