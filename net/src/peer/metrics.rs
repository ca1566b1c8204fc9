//! What members of an ensemble count, under Java's names.

use parking_lot::Mutex;
use zk_core::action::LogRecord;
use zk_core::replica::{Phase, RoleKind, Standing, SyncKind};
use zk_core::time::Mono;

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
}

impl EnsembleMetrics {
    pub(crate) fn new() -> Self {
        Self {
            election: Mutex::new(Elections {
                took: Summary::basic(),
                began: None,
                unavailable_since: None,
                serves_since: None,
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
        }
    }

    /// The server is something else now.
    pub(crate) fn stands(&self, standing: &Standing, now: Mono) {
        let mut election = self.election.lock();
        match (standing.role, standing.phase) {
            (RoleKind::Looking, _) => {
                self.looking.increment();
                election.serves_since = None;
                election.unavailable_since.get_or_insert(now);
                *self.sizes.lock() = Sizes::default();
            }
            (_, Phase::Broadcast) => {
                election.serves_since = Some(now);
                if let Some(since) = election.unavailable_since.take() {
                    self.unavailable.lock().record(now.since(since) / 1_000_000);
                }
            }
            _ => {}
        }
    }

    /// Txns are given to the disk: proposed by a leader, or to a learner.
    pub(crate) fn logged(&self, role: RoleKind, records: &[LogRecord]) {
        match role {
            RoleKind::Leading => {
                self.proposals.add(records.len() as u64);
                let mut sizes = self.sizes.lock();
                for record in records {
                    *sizes = sizes.with(record.bytes.len() as u64);
                }
            }
            RoleKind::Following | RoleKind::Observing => self.learner_proposals.add(records.len() as u64),
            RoleKind::Standalone | RoleKind::Looking => {}
        }
    }

    /// Txns are given to the tree.
    pub(crate) fn committed(&self, role: RoleKind, commits: usize) {
        match role {
            RoleKind::Leading => self.commits.add(commits as u64),
            RoleKind::Following | RoleKind::Observing => self.learner_commits.add(commits as u64),
            RoleKind::Standalone | RoleKind::Looking => {}
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

    /// A learner is to be brought up to date like this.
    pub(crate) fn sync_chosen(&self, kind: SyncKind) {
        match kind {
            SyncKind::Diff => self.diffs.increment(),
            SyncKind::Trunc => self.truncs.increment(),
            SyncKind::Snap => self.snaps.increment(),
        }
    }
}
