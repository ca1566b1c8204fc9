//! One election from the inside: proposals, rounds, and when a quorum is enough (Java: `lookForLeader`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};

use super::{Delivery, Effect, ElectionSettings, Heard, Notification, Room, Tally, Unhashed, Vote, after};
use crate::ids::{PeerState, Sid, Zxid};
use crate::time::Mono;

/// The state of a server that elects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Looking {
    own: Vote,
    proposal: Vote,
    /// Votes of this round, those of FOLLOWING and LEADING servers among them (Java: `recvset`).
    in_round: Tally,
    /// What FOLLOWING and LEADING servers say, of whatever round (Java: `outofelection`).
    established: Tally,
    failures: Failures,
    /// The next wait in silence, ms.
    interval_ms: u64,
    wait: Wait,
    deadline: Unhashed<Mono>,
}

/// What the deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wait {
    /// Repeating ourselves.
    Votes,
    /// Taking the quorum's word.
    Finalize,
}

/// How often each candidate was elected in vain, since this server last saw an epoch established: who failed less often is
/// preferred to who has the better vote, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Failures {
    /// At the begin of every round.
    remembered: BTreeMap<Sid, u32>,
    counts: BTreeMap<Sid, u32>,
    /// Waits in silence of this round, as far as they matter.
    silences: u32,
    /// After so many nothing is held against anybody any more.
    patience: u32,
}

/// What a wait in silence was too much for.
enum Patience {
    Lasts,
    GivesWay,
    TakesAnyone,
}

impl Failures {
    fn new(remembered: &BTreeMap<Sid, u32>) -> Self {
        let patience = TAKE_ANYONE_AFTER + if remembered.is_empty() { 0 } else { LONGER_IF_OTHERS_DO };
        Self { counts: remembered.clone(), remembered: remembered.clone(), silences: 0, patience }
    }

    fn begin_round(&mut self) {
        self.counts.clone_from(&self.remembered);
        self.silences = 0;
    }

    /// There were failures, and the round's patience is over.
    fn are_forgotten(&self) -> bool {
        !self.remembered.is_empty() && self.silences >= self.patience
    }

    fn of(&self, sid: Sid) -> u32 {
        self.counts.get(&sid).copied().unwrap_or(0)
    }

    /// It is not to be voted for again in this round, as long as anybody else is.
    fn give_up(&mut self, sid: Sid) {
        self.counts.insert(sid, u32::MAX);
    }

    /// `others_will_do`: those that are heard could elect without whom they failed to reach more often than others.
    fn on_silence(&mut self, others_will_do: bool) -> Patience {
        if self.silences >= self.patience {
            return Patience::Lasts;
        }
        self.silences += 1;
        match self.silences {
            GIVE_WAY_AFTER => Patience::GivesWay,
            n if n == self.patience || n >= TAKE_ANYONE_AFTER && !others_will_do => {
                self.silences = self.patience;
                self.counts.clear();
                Patience::TakesAnyone
            }
            _ => Patience::Lasts,
        }
    }
}

/// The vote that won, and by whom.
pub(super) struct Counted {
    pub(super) vote: Vote,
    pub(super) supporters: Vec<Sid>,
}

/// The zxid of a database that was never initialised.
const NEVER_INITIALISED: Zxid = Zxid(-1);

/// Waits in silence after which a server that goes on voting for somebody else than the others may give way.
const GIVE_WAY_AFTER: u32 = 2;
/// After which it votes for whoever is best, if those that it could reach do not suffice.
const TAKE_ANYONE_AFTER: u32 = 3;
/// If they do, it waits for them for so many more: they may be trying to reach the same leader still.
const LONGER_IF_OTHERS_DO: u32 = 2;

impl Looking {
    pub(super) fn new(own: Vote, settings: ElectionSettings, failed: &BTreeMap<Sid, u32>) -> Self {
        Self {
            own,
            proposal: own,
            in_round: Tally::default(),
            established: Tally::default(),
            failures: Failures::new(failed),
            interval_ms: settings.notification_min_ms,
            wait: Wait::Votes,
            deadline: Unhashed::default(),
        }
    }

    /// Tells everybody, and counts the own vote.
    pub(super) fn begin(&mut self, now: Mono, room: &mut Room<'_>, out: &mut Vec<Effect>) -> Option<Counted> {
        self.deadline = after(now, self.interval_ms);
        self.tell_everybody(room, out);
        self.count_round(now, room);
        None
    }

    /// A voter said something.
    pub(super) fn hear(
        &mut self,
        now: Mono,
        from: Sid,
        n: &Notification,
        room: &mut Room<'_>,
        out: &mut Vec<Effect>,
    ) -> Option<Counted> {
        if n.state == PeerState::Looking && n.round < room.round {
            // It lags behind: help it up.
            let notification = room.notification(PeerState::Looking, self.proposal, room.round);
            out.push(Effect::Send { to: from, notification });
        }
        if self.wait == Wait::Finalize {
            if !self.is_better(&n.vote, &self.proposal, room) && !self.takes_back(from, n, room) {
                // Not better, whatever else it says: it prolongs the silence to wait for, and is lost.
                self.deadline = after(now, room.settings.finalize_ms);
                return None;
            }
            self.wait = Wait::Votes;
        }
        self.deadline = after(now, self.interval_ms);
        if !room.membership.quorums().is_voter(n.vote.leader) {
            return None;
        }
        match n.state {
            PeerState::Looking => {
                self.hear_looking(now, from, n, room, out);
                None
            }
            PeerState::Observing => None,
            PeerState::Following | PeerState::Leading => self.hear_established(from, n, room),
        }
    }

    /// Whether `from` supported the proposal in this round, and votes for somebody else now whom this server does not prefer.
    /// (Among Java's servers nobody does.)
    fn takes_back(&self, from: Sid, n: &Notification, room: &Room<'_>) -> bool {
        let other = n.state == PeerState::Looking && n.round == room.round && n.vote != self.proposal;
        other && self.in_round.looking(from, n.round) == Some(self.proposal)
    }

    fn hear_looking(
        &mut self,
        now: Mono,
        from: Sid,
        n: &Notification,
        room: &mut Room<'_>,
        out: &mut Vec<Effect>,
    ) {
        if self.own.zxid == NEVER_INITIALISED || n.vote.zxid == NEVER_INITIALISED || n.round < room.round {
            return;
        }
        let comes_late = self.in_round.looking(from, n.round).is_none();
        if n.round > room.round {
            room.round = n.round;
            self.in_round.clear();
            self.failures.begin_round();
            // Against the own candidate, not the proposal: that was of the round left behind.
            self.proposal = if self.is_better(&n.vote, &self.own, room) { n.vote } else { self.own };
            self.tell_everybody(room, out);
        } else {
            let before = self.proposal;
            if comes_late && self.failures.are_forgotten() && room.membership.quorums().is_voter(room.me) {
                // Without it nobody else would do; with it perhaps.
                self.failures.begin_round();
                self.proposal = self.best_in_round(room);
            }
            if self.is_better(&n.vote, &self.proposal, room) {
                self.proposal = n.vote;
            }
            if self.proposal != before {
                self.tell_everybody(room, out);
            }
        }
        if comes_late {
            // Whoever comes late may know better: it has failed to reach the same leader, perhaps.
            self.failures.silences = 0;
            self.interval_ms = room.settings.notification_min_ms;
            self.deadline = after(now, self.interval_ms);
        }
        self.in_round.insert(from, Heard { vote: n.vote, round: n.round, state: n.state, version: 0 });
        self.count_round(now, room);
    }

    /// Somebody follows or leads: perhaps a quorum does, and this server need not be asked any more.
    fn hear_established(&mut self, from: Sid, n: &Notification, room: &mut Room<'_>) -> Option<Counted> {
        let Notification { vote, mut round, state, version, .. } = *n;
        if planted!(room.settings.museum, P02) {
            round = room.round;
        }
        let probe = Heard { vote, round, state, version };
        if round == room.round {
            // The version is forgotten here and kept below, as in Java: of this round only the leader is compared.
            self.in_round.insert(from, Heard { version: 0, ..probe });
            if let Some(counted) = Self::count_established(&self.in_round, &probe, room) {
                return Some(counted);
            }
        }
        self.established.insert(from, probe);
        let counted = Self::count_established(&self.established, &probe, room)?;
        room.round = round;
        Some(counted)
    }

    /// Decides by a quorum behind a leader that says itself that it leads. If that is this server, only its own round
    /// can have made it so.
    fn count_established(tally: &Tally, probe: &Heard, room: &Room<'_>) -> Option<Counted> {
        let (leader, quorums) = (probe.vote.leader, room.membership.quorums());
        let strict = Heard { state: PeerState::Looking, ..*probe };
        let probe = if planted!(room.settings.museum, P04) { &strict } else { probe };
        let led = if leader == room.me { probe.round == room.round } else { tally.hears_leading(leader) };
        let decided = led && tally.has_quorum(quorums, probe);
        decided.then(|| Counted { vote: probe.vote, supporters: tally.supporters(quorums, probe) })
    }

    /// The deadline came without a word.
    pub(super) fn silence(
        &mut self,
        now: Mono,
        delivery: Delivery,
        room: &mut Room<'_>,
        out: &mut Vec<Effect>,
    ) -> Option<Counted> {
        if self.wait == Wait::Finalize {
            let (probe, quorums) = (self.probe(room.round), room.membership.quorums());
            return Some(Counted {
                vote: self.proposal,
                supporters: self.in_round.supporters(quorums, &probe),
            });
        }
        self.interval_ms = self.interval_ms.saturating_mul(2).min(room.settings.notification_max_ms);
        self.deadline = after(now, self.interval_ms);
        self.reconsider(room);
        match delivery {
            Delivery::Some => {
                self.tell_everybody(room, out);
                self.count_round(now, room);
            }
            Delivery::None => out.push(Effect::ConnectAll),
        }
        None
    }

    /// Votes differ, and go on differing. First this server gives way, if it is all that a worse candidate lacks; if that
    /// comes to nothing, it votes for whoever is best, reached or not.
    fn reconsider(&mut self, room: &Room<'_>) {
        let quorums = room.membership.quorums();
        let heard = |sid| sid == room.me || self.in_round.hears(sid);
        let least = quorums.voters().filter(|sid| heard(*sid)).map(|sid| self.failures.of(sid)).min();
        let could = |sid| sid == room.me || heard(sid) && Some(self.failures.of(sid)) == least;
        let others_will_do = quorums.contains_quorum(could);
        match self.failures.on_silence(others_will_do) {
            Patience::Lasts => {}
            Patience::GivesWay => {
                let Some(vote) = self.lacks_only_me(room) else { return };
                self.failures.give_up(self.proposal.leader);
                self.proposal = vote;
            }
            Patience::TakesAnyone => {
                let best = self.best_in_round(room);
                if room.is_better(&best, &self.proposal) {
                    self.proposal = best;
                }
            }
        }
    }

    /// Of the votes of this round and what this server has itself, as it sees them now.
    fn best_in_round(&self, room: &Room<'_>) -> Vote {
        let heard = self.in_round.votes().filter(|(_, heard)| heard.state == PeerState::Looking);
        let better = |best, vote| if self.is_better(&vote, &best, room) { vote } else { best };
        heard.map(|(_, heard)| heard.vote).fold(self.own, better)
    }

    /// The best candidate, worse than the proposal, that is no worse than what this server has, and that may win with its vote
    /// and not without, or is this server: by the votes for it, and of those that would rather vote for it once they hear of it.
    fn lacks_only_me(&self, room: &Room<'_>) -> Option<Vote> {
        let quorums = room.membership.quorums();
        if !quorums.is_voter(room.me) {
            return None;
        }
        let lacks_only_me = |candidate: &Vote| {
            let vote = |sid| self.in_round.looking(sid, room.round).filter(|_| sid != room.me);
            let votes = |sid| vote(sid).is_some_and(|vote| vote == *candidate);
            let would = |sid| sid == room.me || vote(sid).is_some_and(|vote| vote <= *candidate);
            // Whom others elect alone they do not need this server for; but itself it is waited for.
            let is_needed = candidate.leader == room.me || !quorums.contains_quorum(votes);
            is_needed && quorums.contains_quorum(would)
        };
        let votes = self.in_round.votes().map(|(_, heard)| heard.vote).chain([self.own]);
        let others = votes.filter(|vote| self.has_enough(vote) && *vote < self.proposal);
        let others = others.filter(|vote| quorums.in_force().may_lead(vote.leader) && lacks_only_me(vote));
        others.max_by_key(|vote| (Reverse(self.failures.of(vote.leader)), *vote))
    }

    /// Nobody votes for a server that has less than itself.
    fn has_enough(&self, vote: &Vote) -> bool {
        (vote.peer_epoch, vote.zxid) >= (self.own.peer_epoch, self.own.zxid)
    }

    fn is_better(&self, new: &Vote, old: &Vote, room: &Room<'_>) -> bool {
        match self.failures.of(new.leader).cmp(&self.failures.of(old.leader)) {
            Ordering::Less => room.may_lead(new.leader) && self.has_enough(new),
            Ordering::Equal => room.is_better(new, old),
            Ordering::Greater => false,
        }
    }

    /// Sends the proposal to every voter. This server's own vote takes the same way, and is counted where it counts.
    fn tell_everybody(&mut self, room: &Room<'_>, out: &mut Vec<Effect>) {
        let quorums = room.membership.quorums();
        let initialised = self.own.zxid != NEVER_INITIALISED && self.proposal.zxid != NEVER_INITIALISED;
        for to in quorums.voters() {
            if to == room.me {
                if initialised && quorums.is_voter(self.proposal.leader) {
                    self.in_round.insert(to, self.probe(room.round));
                }
            } else {
                let notification = room.notification(PeerState::Looking, self.proposal, room.round);
                out.push(Effect::Send { to, notification });
            }
        }
    }

    /// Waits for silence if the votes of this round are a quorum for the proposal.
    fn count_round(&mut self, now: Mono, room: &Room<'_>) {
        if self.in_round.has_quorum(room.membership.quorums(), &self.probe(room.round)) {
            self.wait = Wait::Finalize;
            self.deadline = after(now, room.settings.finalize_ms);
        }
    }

    const fn probe(&self, round: i64) -> Heard {
        Heard { vote: self.proposal, round, state: PeerState::Looking, version: 0 }
    }

    pub(super) const fn proposal(&self) -> Vote {
        self.proposal
    }

    pub(super) const fn finalises(&self) -> bool {
        matches!(self.wait, Wait::Finalize)
    }

    pub(super) const fn deadline(&self) -> Mono {
        self.deadline.0
    }

    pub(super) const fn tallies(&self) -> (&Tally, &Tally) {
        (&self.in_round, &self.established)
    }
}
