//! Fast leader election (quorum protocol part A; Java: `FastLeaderElection`).
//!
//! [`Election`] counts votes and knows nothing of connections; [`links::Links`] decides about the connections of the
//! election port and knows nothing of votes; [`port::ElectionPort`] is both, as a server has them. All three are plain
//! values that take one input at a time and append what should be done. None holds encoded bytes, and all can be cloned,
//! compared and hashed, so that a model checker can walk through their states.

mod counting;
pub mod links;
pub mod port;
mod strangers;
mod tally;
mod unhashed;
pub mod vote;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::quorum_config::QuorumConfig;
use crate::ids::{PeerState, Sid, Zxid};
use crate::quorum::{Membership, Standing};
use crate::time::Mono;
use counting::{Counted, Looking};
use strangers::Strangers;
pub use tally::Tally;
use unhashed::Unhashed;
use vote::{Heard, NOTIFICATION_VERSION, Notification, Vote};

/// How patient an election is. All in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ElectionSettings {
    /// `zookeeper.fastleader.minNotificationInterval`: the first wait in silence before votes are sent again.
    pub notification_min_ms: u64,
    /// `zookeeper.fastleader.maxNotificationInterval`: waits double up to this one.
    pub notification_max_ms: u64,
    /// `finalizeWait`: how long a quorum must stand without a better vote.
    pub finalize_ms: u64,
    /// `reconfigEnabled`: whether newer configs that votes carry are adopted.
    pub reconfig: bool,
    /// A bug to plant.
    #[cfg(feature = "museum")]
    pub museum: Option<crate::museum::Exhibit>,
}

impl Default for ElectionSettings {
    fn default() -> Self {
        Self {
            notification_min_ms: 200,
            notification_max_ms: 60_000,
            finalize_ms: 200,
            reconfig: false,
            #[cfg(feature = "museum")]
            museum: None,
        }
    }
}

/// What a server brings into an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Last logged zxid, uncommitted tail included; -1 if the database was never initialised: such a server hears no
    /// votes of others that are looking, and counts for nobody.
    pub zxid: Zxid,
    /// Its file `currentEpoch`.
    pub current_epoch: u32,
}

/// What an election wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell another server.
    Send {
        /// Whom.
        to: Sid,
        /// What.
        notification: Notification,
    },
    /// Nothing was heard and nothing could be delivered: try to connect to everybody.
    ConnectAll,
    /// The election is over.
    Decided(Decision),
    /// A voter in the middle of its election told of a newer config: take it as last seen and in force. If its members
    /// differ, the election is to be started again, with fresh connections.
    Adopt(Arc<QuorumConfig>),
    /// A voter is looking while this server is not; the leader that it was elected by may want to know
    /// (`leader.maxTimeToWaitForEpoch`).
    SeenLooking {
        /// Who.
        sid: Sid,
    },
}

/// How an election ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// LEADING, FOLLOWING or OBSERVING.
    pub state: PeerState,
    /// The vote that won.
    pub vote: Vote,
    /// In which round.
    pub round: i64,
    /// The voters by whose votes.
    pub supporters: Vec<Sid>,
}

/// Whether messages leave this server at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// At least one peer took all that was sent to it.
    Some,
    /// Every queue has an unsent message, or there is none yet.
    None,
}

/// One server's part in elections, from its start to its end.
///
/// Begin each election with [`Self::start`]; pass every notification in, whatever the server does meanwhile, for it also
/// answers others; call [`Self::on_timer`] when [`Self::deadline`] has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Election {
    me: Sid,
    settings: ElectionSettings,
    membership: Arc<Membership>,
    /// Logical clock: counts elections of this process, and is set to that of others. Not persisted.
    round: i64,
    /// What is told to others while not looking; `None` before the first election.
    current: Option<(Vote, i64)>,
    strangers: Strangers,
    /// Leaders that were elected in vain since the last epoch that this server saw established, and how often.
    failed: BTreeMap<Sid, u32>,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Between roles. Votes are kept, the last one of each voter, for the election to come: their senders may not
    /// repeat them for a minute.
    Idle(BTreeMap<Sid, Notification>),
    Looking(Looking),
    Settled(PeerState),
}

impl Election {
    /// An idle one. Its first round is 1.
    pub fn new(me: Sid, settings: ElectionSettings, membership: Arc<Membership>) -> Self {
        let phase = Phase::Idle(BTreeMap::new());
        Self {
            me,
            settings,
            membership,
            round: 0,
            current: None,
            strangers: Strangers::default(),
            failed: BTreeMap::new(),
            phase,
        }
    }

    /// Begins a new round, whatever was going on.
    pub fn start(&mut self, now: Mono, candidate: Candidate, out: &mut Vec<Effect>) {
        let kept = match &mut self.phase {
            Phase::Idle(kept) => core::mem::take(kept),
            Phase::Looking(_) | Phase::Settled(_) => BTreeMap::new(),
        };
        let peer_epoch = i64::from(candidate.current_epoch);
        self.current.get_or_insert((Vote { leader: self.me, zxid: candidate.zxid, peer_epoch }, -1));
        // Another server's word may have driven it to the end of its range.
        self.round = self.round.saturating_add(1);
        self.phase = Phase::Looking(Looking::new(self.own_vote(candidate), self.settings, &self.failed));
        let counted = self.with_looking(|looking, room| looking.begin(now, room, out));
        self.conclude(counted, out);
        for (from, notification) in kept {
            self.on_notification(now, from, notification, out);
        }
    }

    /// Leaves a role without electing yet: until [`Self::start`] this server says that it is looking.
    pub fn pause(&mut self) {
        if !matches!(self.phase, Phase::Idle(_)) {
            self.phase = Phase::Idle(BTreeMap::new());
        }
    }

    /// Takes what `from` said.
    pub fn on_notification(
        &mut self,
        now: Mono,
        from: Sid,
        notification: Notification,
        out: &mut Vec<Effect>,
    ) {
        if self.adopts(&notification, out) {
            return;
        }
        if !self.membership.quorums().is_voter(from) {
            return self.answer_stranger(now, from, &notification, out);
        }
        match &mut self.phase {
            Phase::Idle(kept) => {
                kept.insert(from, notification);
            }
            Phase::Looking(_) => {
                let counted =
                    self.with_looking(|looking, room| looking.hear(now, from, &notification, room, out));
                self.conclude(counted, out);
            }
            Phase::Settled(state) => {
                let state = *state;
                if notification.state == PeerState::Looking {
                    out.push(Effect::SeenLooking { sid: from });
                    let (vote, round) = self.current.expect("invariant: who is settled had an election");
                    out.push(Effect::Send { to: from, notification: self.notification(state, vote, round) });
                }
            }
        }
    }

    /// `now` has reached [`Self::deadline`].
    pub fn on_timer(&mut self, now: Mono, delivery: Delivery, out: &mut Vec<Effect>) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let counted = self.with_looking(|looking, room| looking.silence(now, delivery, room, out));
        self.conclude(counted, out);
    }

    /// The new epoch is established: the leader has its quorum, or the learner is up to date. From now on this server's
    /// vote names it. The zxid and the round stay those of the election; rejoining servers could collect no quorum of
    /// equal votes otherwise.
    pub fn establish_epoch(&mut self, epoch: u32) {
        self.failed.clear();
        if let Some((vote, _)) = &mut self.current {
            vote.peer_epoch = i64::from(epoch);
        }
    }

    /// The leader that was elected, perhaps this server itself, established no epoch: it could not be reached, or said nothing,
    /// or found no quorum. Its votes come by way of others, or by links that carry nothing else; who went by votes alone would
    /// elect it for ever. So in the next elections those are preferred that failed less often, until an epoch is established.
    /// (Java has no such memory: a server that only some can reach keeps all others from electing.)
    pub fn leader_failed(&mut self, leader: Sid) {
        let times = self.failed.entry(leader).or_default();
        *times = times.saturating_add(1);
    }

    /// Goes into a role without an election, by the word of a reconfig (quorum protocol B8).
    pub fn settle(&mut self, leader: Sid, zxid: Zxid, state: PeerState) {
        assert!(state != PeerState::Looking, "invariant: a reconfig names a role");
        let (peer_epoch, round) =
            self.current.map_or((0, self.round), |(vote, round)| (vote.peer_epoch, round));
        self.current = Some((Vote { leader, zxid, peer_epoch }, round));
        self.phase = Phase::Settled(state);
    }

    /// Votes are counted by these configs from now on. The caller starts the election again if the members changed.
    pub fn set_membership(&mut self, membership: Arc<Membership>) {
        self.membership = membership;
    }

    /// When [`Self::on_timer`] wants to be called.
    pub const fn deadline(&self) -> Option<Mono> {
        match &self.phase {
            Phase::Looking(looking) => Some(looking.deadline()),
            Phase::Idle(_) | Phase::Settled(_) => None,
        }
    }

    /// What this server says of itself.
    pub const fn state(&self) -> PeerState {
        match self.phase {
            Phase::Idle(_) | Phase::Looking(_) => PeerState::Looking,
            Phase::Settled(state) => state,
        }
    }

    /// True while the votes of a quorum agree, and only silence is waited for.
    pub const fn finalises(&self) -> bool {
        match &self.phase {
            Phase::Looking(looking) => looking.finalises(),
            Phase::Idle(_) | Phase::Settled(_) => false,
        }
    }

    /// The logical clock.
    pub const fn round(&self) -> i64 {
        self.round
    }

    /// What it proposes while it elects.
    pub const fn proposal(&self) -> Option<Vote> {
        match &self.phase {
            Phase::Looking(looking) => Some(looking.proposal()),
            Phase::Idle(_) | Phase::Settled(_) => None,
        }
    }

    /// What its last election ended with (or what a reconfig said), and in which round.
    pub const fn current_vote(&self) -> Option<(Vote, i64)> {
        self.current
    }

    /// Votes of this election, and votes of an ensemble that is established without it; `None` unless it elects.
    pub const fn tallies(&self) -> Option<(&Tally, &Tally)> {
        match &self.phase {
            Phase::Looking(looking) => Some(looking.tallies()),
            Phase::Idle(_) | Phase::Settled(_) => None,
        }
    }

    /// The configs by which it counts.
    pub const fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    fn own_vote(&self, Candidate { zxid, current_epoch }: Candidate) -> Vote {
        let peer_epoch = i64::from(current_epoch);
        match self.membership.standing(self.me) {
            Standing::Voter => Vote { leader: self.me, zxid, peer_epoch },
            Standing::Stranger => Vote { leader: Sid::NONE, zxid, peer_epoch },
            Standing::Observer => Vote { leader: Sid::NONE, zxid: Zxid(i64::MIN), peer_epoch: i64::MIN },
        }
    }

    fn notification(&self, state: PeerState, vote: Vote, round: i64) -> Notification {
        self.room().notification(state, vote, round)
    }

    fn room(&self) -> Room<'_> {
        Room { me: self.me, round: self.round, settings: &self.settings, membership: &self.membership }
    }

    /// Runs a step of the count; the round may come out changed.
    fn with_looking(
        &mut self,
        step: impl FnOnce(&mut Looking, &mut Room<'_>) -> Option<Counted>,
    ) -> Option<Counted> {
        let Self { me, settings, membership, round, phase, .. } = self;
        let Phase::Looking(looking) = phase else { return None };
        let mut room = Room { me: *me, round: *round, settings, membership };
        let counted = step(looking, &mut room);
        *round = room.round;
        counted
    }

    fn conclude(&mut self, counted: Option<Counted>, out: &mut Vec<Effect>) {
        let Some(Counted { vote, supporters }) = counted else { return };
        let state = match self.membership.standing(self.me) {
            _ if vote.leader == self.me => PeerState::Leading,
            Standing::Voter | Standing::Stranger => PeerState::Following,
            Standing::Observer => PeerState::Observing,
        };
        let round = self.round;
        self.current = Some((vote, round));
        self.phase = Phase::Settled(state);
        out.push(Effect::Decided(Decision { state, vote, round, supporters }));
    }

    /// Takes over a newer config, if it elects and configs may change. True if the message is thereby dealt with, because
    /// it was sent among other members than ours.
    fn adopts(&self, notification: &Notification, out: &mut Vec<Effect>) -> bool {
        let ours = self.membership.in_force();
        let elects = self.settings.reconfig && self.state() == PeerState::Looking;
        let Some(theirs) = notification.config.as_ref().filter(|c| elects && c.version() > ours.version())
        else {
            return false;
        };
        out.push(Effect::Adopt(theirs.clone()));
        !theirs.same_as(ours)
    }

    /// Answers a server that has no vote here, observers above all: what it says counts for nothing, but it wants to know.
    fn answer_stranger(&mut self, now: Mono, from: Sid, said: &Notification, out: &mut Vec<Effect>) {
        let Some((vote, _)) = self.current else { return };
        if self.strangers.wants_answer(now, from, said) {
            out.push(Effect::Send {
                to: from,
                notification: self.notification(self.state(), vote, self.round),
            });
        }
    }
}

/// What the count sees of the server that it happens in.
struct Room<'a> {
    me: Sid,
    round: i64,
    settings: &'a ElectionSettings,
    membership: &'a Membership,
}

impl Room<'_> {
    fn notification(&self, state: PeerState, vote: Vote, round: i64) -> Notification {
        let config = Some(self.membership.in_force().clone());
        Notification { state, vote, round, version: NOTIFICATION_VERSION, config }
    }

    /// Whether `new` should replace `old`. A server that weighs nothing is never better.
    fn is_better(&self, new: &Vote, old: &Vote) -> bool {
        let better = new > old || planted!(self.settings.museum, P01) && new.zxid > old.zxid;
        self.may_lead(new.leader) && better
    }

    fn may_lead(&self, sid: Sid) -> bool {
        self.membership.quorums().in_force().may_lead(sid)
    }
}

fn after(now: Mono, ms: u64) -> Unhashed<Mono> {
    Unhashed(now + Duration::from_millis(ms))
}
