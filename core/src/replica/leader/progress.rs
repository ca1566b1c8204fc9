//! One learner, as its leader sees it: how far it has got, and whether it is still there. Its stages are changed here and
//! nowhere else.
//!
//! ```text
//! Arrived ─► AwaitingEpoch ─► AckingEpoch ─► AwaitingSync ─► (ReadingLog) ─► Syncing ─► Synced ─► Live
//!     …INFO           LEADERINFO      ACKEPOCH        DIFF… NEWLEADER      ACK      UPTODATE
//! ```

use alloc::collections::{BTreeMap, VecDeque};

use super::super::role::SyncKind;
use crate::ids::{LinkId, Sid, Zxid};
use crate::input::QueryId;
use crate::time::Mono;

/// Who a learner is, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) sid: Sid,
    pub(super) stream: Stream,
}

impl Who {
    /// Its sid, if its word may count: whether it does is for the configs to say, which change.
    pub(super) fn follower(self) -> Option<Sid> {
        (self.stream == Stream::Proposals).then_some(self.sid)
    }
}

/// What a learner is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// PROPOSAL and COMMIT.
    Proposals,
    /// INFORM.
    Informs,
}

/// How far it has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connected, and has not said who it is.
    Arrived,
    /// Waits for the epoch.
    AwaitingEpoch,
    /// Has the epoch, and has not accepted it yet.
    AckingEpoch,
    /// Has accepted it; its history ends here. Waits for a quorum to do so.
    AwaitingSync(Zxid),
    /// Its sync waits for a part of the log on disk.
    ReadingLog(QueryId, Zxid),
    /// Has been sent everything through NEWLEADER, and live traffic behind it.
    Syncing,
    /// Holds the leader's history. Waits for a quorum to do so.
    Synced,
    /// Serves clients.
    Live,
}

/// A PING that has not been answered.
#[derive(Clone, Copy, Debug)]
struct Ping {
    round: u64,
    at: Mono,
    /// [`Learner::sent`] when it left.
    sent: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Learner {
    who: Option<Who>,
    stage: Stage,
    heard: Mono,
    /// Counts towards the leader's quorum through this tick (quorum protocol B7).
    counts_until: u64,
    /// Follower: the last commit it was told of. Those between NEWLEADER and UPTODATE are held back: learners of 3.5 to
    /// 3.9.2 break off if they hear of one (ZOOKEEPER-4394).
    commits_told: Zxid,
    /// How it is brought up to date.
    sync: Option<SyncKind>,
    pings: VecDeque<Ping>,
    /// The newest round of PINGs that it answered, and when that round began.
    answered_round: u64,
    answered_at: Mono,
    /// The oldest proposal that it has not acknowledged, roughly, and since when it could have. Before UPTODATE it owes nothing:
    /// what is proposed while a snapshot is on its way arrives behind it, and waits there.
    unacked: Option<(Zxid, Mono)>,
    last_proposed: Zxid,
    /// Bytes of live traffic sent, and those of it that it is known to have read.
    sent: u64,
    read: u64,
}

impl Learner {
    pub(super) fn new(now: Mono, counts_until: u64) -> Self {
        Self {
            who: None,
            stage: Stage::Arrived,
            heard: now,
            counts_until,
            commits_told: Zxid::ZERO,
            sync: None,
            pings: VecDeque::new(),
            answered_round: 0,
            answered_at: now,
            unacked: None,
            last_proposed: Zxid::ZERO,
            sent: 0,
            read: 0,
        }
    }

    pub(super) const fn who(&self) -> Option<Who> {
        self.who
    }

    pub(super) const fn stage(&self) -> Stage {
        self.stage
    }

    /// See [`Who::follower`].
    pub(super) fn follower(&self) -> Option<Sid> {
        self.who.and_then(Who::follower)
    }

    /// How it is being brought up to date; `None` before and after.
    pub(super) fn syncs_by(&self) -> Option<SyncKind> {
        self.sync.filter(|_| matches!(self.stage, Stage::Syncing | Stage::Synced))
    }

    /// True from NEWLEADER on: it gets all live traffic of this stream.
    pub(super) fn gets(&self, stream: Stream) -> bool {
        let listens = matches!(self.stage, Stage::Syncing | Stage::Synced | Stage::Live);
        listens && self.who.is_some_and(|who| who.stream == stream)
    }

    /// A packet came, or part of a snapshot went.
    pub(super) fn heard(&mut self, now: Mono, counts_until: u64) {
        self.heard = now;
        self.counts_until = self.counts_until.max(counts_until);
    }

    pub(super) const fn heard_at(&self) -> Mono {
        self.heard
    }

    pub(super) const fn counts_at(&self, tick: u64) -> bool {
        tick <= self.counts_until
    }

    pub(super) fn introduce(&mut self, who: Who) {
        self.who = Some(who);
        self.stage = Stage::AwaitingEpoch;
    }

    pub(super) fn told_epoch(&mut self, now: Mono) {
        (self.stage, self.heard) = (Stage::AckingEpoch, now);
    }

    pub(super) const fn acked_epoch(&mut self, zxid: Zxid) {
        self.stage = Stage::AwaitingSync(zxid);
    }

    pub(super) const fn reads_log(&mut self, query: QueryId, zxid: Zxid) {
        self.stage = Stage::ReadingLog(query, zxid);
    }

    /// NEWLEADER was sent behind the history through `end`.
    pub(super) fn sent_new_leader(&mut self, kind: SyncKind, end: Zxid, now: Mono) {
        (self.stage, self.heard) = (Stage::Syncing, now);
        self.sync = Some(kind);
        self.commits_told = end;
    }

    pub(super) const fn acked_new_leader(&mut self) {
        self.stage = Stage::Synced;
    }

    /// UPTODATE was sent. The commits that were held back follow: those behind the zxid that comes back.
    pub(super) fn sent_up_to_date(&mut self, committed: Zxid, now: Mono) -> Zxid {
        self.stage = Stage::Live;
        (self.heard, self.answered_at) = (now, now);
        self.unacked = self.unacked.map(|(zxid, _)| (zxid, now));
        core::mem::replace(&mut self.commits_told, committed)
    }

    /// True if it is to hear of this commit now.
    pub(super) fn tell_commit(&mut self, zxid: Zxid) -> bool {
        let live = self.stage == Stage::Live && self.gets(Stream::Proposals);
        if live {
            self.commits_told = zxid;
        }
        live
    }

    /// Live traffic left for it.
    pub(super) const fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// A proposal left for it.
    pub(super) fn proposed(&mut self, zxid: Zxid, now: Mono) {
        self.last_proposed = zxid;
        self.unacked.get_or_insert((zxid, now));
    }

    /// It acknowledged a proposal. False if it was not sent that one: it cannot have it.
    pub(super) fn acked(&mut self, zxid: Zxid, now: Mono) -> bool {
        if self.unacked.is_some_and(|(oldest, _)| oldest <= zxid) {
            let more = self.last_proposed > zxid;
            self.unacked = more.then_some((self.last_proposed, now));
        }
        zxid <= self.last_proposed
    }

    /// Since when it owes an acknowledgement.
    pub(super) fn owes_since(&self) -> Option<Mono> {
        self.unacked.filter(|_| self.stage == Stage::Live).map(|(_, since)| since)
    }

    /// Bytes of live traffic that may be on their way to it.
    pub(super) const fn backlog(&self) -> u64 {
        self.sent - self.read
    }

    /// True if a PING is to be sent. Only live learners answer; others just hear that the leader lives. Who has many to
    /// answer gets no more of them.
    pub(super) fn ping(&mut self, round: u64, at: Mono) -> bool {
        match self.stage {
            Stage::Live if self.pings.len() < PINGS_MAX => {
                self.pings.push_back(Ping { round, at, sent: self.sent });
                true
            }
            Stage::Syncing | Stage::Synced => true,
            _ => false,
        }
    }

    /// A PING was answered: learners answer each, in order.
    pub(super) fn answered(&mut self) {
        if let Some(Ping { round, at, sent }) = self.pings.pop_front() {
            (self.answered_round, self.answered_at, self.read) = (round, at, sent);
        }
    }

    pub(super) const fn answered_round(&self) -> u64 {
        self.answered_round
    }

    pub(super) const fn answered_at(&self) -> Mono {
        self.answered_at
    }
}

/// PINGs that one learner may owe answers to.
const PINGS_MAX: usize = 64;

/// All learners, by link. A sid has one link, the newest: what comes on an older one is the word of a process, or of a
/// connection, that was (bug museum P22).
#[derive(Clone, Debug, Default)]
pub(super) struct Learners {
    links: BTreeMap<LinkId, Learner>,
    by_sid: BTreeMap<Sid, LinkId>,
}

impl Learners {
    pub(super) fn arrive(&mut self, link: LinkId, learner: Learner) {
        self.links.insert(link, learner);
    }

    pub(super) fn get_mut(&mut self, link: LinkId) -> Option<&mut Learner> {
        self.links.get_mut(&link)
    }

    pub(super) fn get(&self, link: LinkId) -> Option<&Learner> {
        self.links.get(&link)
    }

    /// Gives the sid this link; the one that it had.
    pub(super) fn name(&mut self, link: LinkId, who: Who) -> Option<LinkId> {
        if let Some(learner) = self.links.get_mut(&link) {
            learner.introduce(who);
        }
        self.by_sid.insert(who.sid, link).filter(|old| *old != link)
    }

    pub(super) fn remove(&mut self, link: LinkId) -> Option<Learner> {
        let learner = self.links.remove(&link)?;
        if let Some(who) = learner.who
            && self.by_sid.get(&who.sid) == Some(&link)
        {
            self.by_sid.remove(&who.sid);
        }
        Some(learner)
    }

    /// In the order of their links.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Learner)> {
        self.links.iter().map(|(link, learner)| (*link, learner))
    }

    /// In the order of their links.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut Learner)> {
        self.links.iter_mut().map(|(link, learner)| (*link, learner))
    }

    /// Everybody who has said who it is.
    pub(super) fn sids(&self) -> impl Iterator<Item = Sid> {
        self.by_sid.keys().copied()
    }

    /// The learner of a sid.
    pub(super) fn of(&self, sid: Sid) -> Option<&Learner> {
        self.by_sid.get(&sid).and_then(|link| self.links.get(link))
    }
}
