//! What members of an ensemble count, under Java's names.

use parking_lot::Mutex;
use zk_core::action::{Commit, LogRecord};
use zk_core::replica::{LearnerStanding, Phase, RoleKind, Standing, SyncKind};
use zk_core::time::{Mono, WallMs};

use crate::metrics::{Counter, Sizes, Summary};

/// See the module.
#[derive(Debug)]
pub struct EnsembleMetrics {
    /// `election_time`, ms.
    pub election: Mutex<Elections>,
    /// `diff_count`.
    pub diffs: Counter,
    /// `snap_count`.
    pub snaps: Counter,
    /// Syncs that cut a learner's history back; Java has no name for them.
    pub truncs: Counter,
    /// Learners that went; Java has no name for them.
    pub learners_lost: Counter,
    /// `looking_count`.
    pub looking: Counter,
    /// `proposal_count` of a leader.
    pub proposals: Counter,
    /// `commit_count` of a leader.
    pub commits: Counter,
    /// `learner_proposal_received_count`.
    pub learner_proposals: Counter,
    /// `learner_commit_received_count`.
    pub learner_commits: Counter,
    /// `last_proposal_size` and the like, of a leader since its election.
    pub sizes: Mutex<Sizes>,
    /// `unavailable_time`, ms.
    pub unavailable: Mutex<Summary>,
    /// Once per group of txns.
    pub latencies: Mutex<Latencies>,
    /// `inflight_diff_count` and `inflight_snap_count`: learners that are brought up to date as one more begins.
    pub in_flight: Mutex<InFlight>,
}

/// How long after its making, by the leader's wall clock, a txn had got how far here; milliseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// `quorum_ack_latency`: at a leader, until a quorum had it.
    pub quorum_ack: Summary,
    /// `proposal_latency`: at a learner, until it was proposed.
    pub proposal: Summary,
    /// `commit_propagation_latency`: at a learner, until its commit was heard of.
    pub commit: Summary,
    /// `propagation_latency`: until it could be read.
    pub propagation: Summary,
}

/// See [`EnsembleMetrics::in_flight`].
#[derive(Clone, Debug)]
pub struct InFlight {
    /// By txns.
    pub diffs: Summary,
    /// By a snapshot.
    pub snaps: Summary,
}

/// Elections: how long they took, and the one that goes on.
#[derive(Clone, Debug)]
pub struct Elections {
    /// Milliseconds.
    pub took: Summary,
    began: Option<Mono>,
    unavailable_since: Option<Mono>,
    /// Since when clients are served.
    pub serves_since: Option<Mono>,
    /// `follower_sync_time`: from the election until clients are served, ms.
    pub follower_syncs: Summary,
    /// `observer_sync_time`.
    pub observer_syncs: Summary,
    learns_since: Option<Mono>,
}

impl EnsembleMetrics {
    pub(crate) fn new() -> Self {
        Self {
            election: Mutex::new(Elections {
                took: Summary::basic(),
                began: None,
                unavailable_since: None,
                serves_since: None,
                follower_syncs: Summary::basic(),
                observer_syncs: Summary::basic(),
                learns_since: None,
            }),
            diffs: Counter::default(),
            snaps: Counter::default(),
            truncs: Counter::default(),
            learners_lost: Counter::default(),
            looking: Counter::default(),
            proposals: Counter::default(),
            commits: Counter::default(),
            learner_proposals: Counter::default(),
            learner_commits: Counter::default(),
            sizes: Mutex::default(),
            unavailable: Mutex::new(Summary::basic()),
            latencies: Mutex::new(Latencies {
                quorum_ack: Summary::advanced(),
                proposal: Summary::advanced(),
                commit: Summary::advanced(),
                propagation: Summary::advanced(),
            }),
            in_flight: Mutex::new(InFlight { diffs: Summary::basic(), snaps: Summary::basic() }),
        }
    }

    /// The server is something else now.
    pub(crate) fn stands(&self, standing: &Standing, now: Mono) {
        let mut election = self.election.lock();
        match (standing.role, standing.phase) {
            (RoleKind::Looking, _) => {
                self.looking.increment();
                (election.serves_since, election.learns_since) = (None, None);
                election.unavailable_since.get_or_insert(now);
                *self.sizes.lock() = Sizes::default();
            }
            (_, Phase::Broadcast) => {
                election.serves_since = Some(now);
                election.learned(standing.role, now);
                if let Some(since) = election.unavailable_since.take() {
                    self.unavailable.lock().record(now.since(since) / 1_000_000);
                }
            }
            (RoleKind::Following | RoleKind::Observing, _) => {
                election.learns_since.get_or_insert(now);
            }
            _ => {}
        }
    }

    fn is_serving(&self) -> bool {
        self.election.lock().serves_since.is_some()
    }

    /// Txns are given to the disk: proposed by a leader, or to a learner.
    pub(crate) fn logged(&self, role: RoleKind, records: &[LogRecord], now: WallMs) {
        match role {
            RoleKind::Leading => {
                self.proposals.add(records.len() as u64);
                let mut sizes = self.sizes.lock();
                for record in records {
                    *sizes = sizes.with(record.bytes.len() as u64);
                }
            }
            RoleKind::Following | RoleKind::Observing => {
                self.learner_proposals.add(records.len() as u64);
                // What a learner is brought up to date with is old.
                if self.is_serving() {
                    let mut latencies = self.latencies.lock();
                    let made = records.iter().filter_map(|record| made_at(&record.bytes));
                    made.for_each(|made| latencies.proposal.record(since(made, now)));
                }
            }
            RoleKind::Standalone | RoleKind::Looking => {}
        }
    }

    /// Txns are given to the tree.
    pub(crate) fn committed(&self, role: RoleKind, commits: &[Commit], now: WallMs) {
        let counter = match role {
            RoleKind::Leading => &self.commits,
            RoleKind::Following | RoleKind::Observing => &self.learner_commits,
            RoleKind::Standalone | RoleKind::Looking => return,
        };
        counter.add(times(commits).count() as u64);
        if self.is_serving() {
            let mut latencies = self.latencies.lock();
            let Latencies { quorum_ack, commit, .. } = &mut *latencies;
            let summary = if role == RoleKind::Leading { quorum_ack } else { commit };
            times(commits).for_each(|made| summary.record(since(made, now)));
        }
    }

    /// They are in the tree, and whoever waited for them has been answered.
    pub(crate) fn applied(&self, role: RoleKind, commits: &[Commit], now: WallMs) {
        if !matches!(role, RoleKind::Standalone | RoleKind::Looking) && self.is_serving() {
            let mut latencies = self.latencies.lock();
            times(commits).for_each(|made| latencies.propagation.record(since(made, now)));
        }
    }

    /// An election begins, unless one goes on.
    pub(crate) fn election_begins(&self, now: Mono) {
        self.election.lock().began.get_or_insert(now);
    }

    /// It has ended; it took so many milliseconds.
    pub(crate) fn election_ends(&self, now: Mono) -> u64 {
        let mut election = self.election.lock();
        let took_ms = election.began.take().map_or(0, |began| now.since(began) / 1_000_000);
        election.took.record(took_ms);
        took_ms
    }

    /// A learner is to be brought up to date like this, as one of these.
    pub(crate) fn sync_chosen(&self, kind: SyncKind, learners: &[LearnerStanding]) {
        let by_snapshot = |kind: SyncKind| kind == SyncKind::Snap;
        let alike = |learner: &&LearnerStanding| {
            learner.syncs_by.is_some_and(|other| by_snapshot(other) == by_snapshot(kind))
        };
        let count = learners.iter().filter(alike).count() as u64;
        let InFlight { diffs, snaps } = &mut *self.in_flight.lock();
        (if by_snapshot(kind) { snaps } else { diffs }).record(count);
        match kind {
            SyncKind::Diff => self.diffs.increment(),
            SyncKind::Trunc => self.truncs.increment(),
            SyncKind::Snap => self.snaps.increment(),
        }
    }
}

impl Elections {
    /// Clients are served; how long that took a learner.
    fn learned(&mut self, role: RoleKind, now: Mono) {
        let Some(began) = self.learns_since.take() else { return };
        let summary = match role {
            RoleKind::Following => &mut self.follower_syncs,
            RoleKind::Observing => &mut self.observer_syncs,
            _ => return,
        };
        summary.record(now.since(began) / 1_000_000);
    }
}

/// When these txns were made.
fn times(commits: &[Commit]) -> impl Iterator<Item = WallMs> {
    commits.iter().filter_map(|commit| match commit {
        Commit::Txn { txn, .. } => Some(txn.header.time),
        Commit::Sync { .. } | Commit::Refused { .. } | Commit::Closed { .. } => None,
    })
}

/// When a serialised txn was made: session, cxid and zxid stand before it.
fn made_at(bytes: &[u8]) -> Option<WallMs> {
    let time = bytes.get(20..28)?;
    Some(WallMs(i64::from_be_bytes(time.try_into().ok()?)))
}

/// 0 if this clock is behind the leader's.
fn since(made: WallMs, now: WallMs) -> u64 {
    u64::try_from(now.0.saturating_sub(made.0)).unwrap_or(0)
}
