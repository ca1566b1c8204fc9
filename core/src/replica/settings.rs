//! What a replica needs to know of its configuration.

use alloc::sync::Arc;
use core::time::Duration;

use super::commit_log::Window;
use super::role::{ClientService, SyncKind};
use crate::config::change::FewestVoters;
use crate::election::ElectionSettings;
use crate::election::links::LinkSettings;
use crate::ids::Sid;
use crate::quorum::Membership;

/// What every server needs to know.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// This server; the high byte of the session ids it hands out. Standalone: 1.
    pub sid: Sid,
    /// ms.
    pub tick_ms: u32,
    /// `snapCount`: roll and snapshot after a random number of txns in [n/2 + 1, n].
    pub snap_count: u32,
    /// `snapSizeLimitInKb` in bytes; 0 is off.
    pub snap_size_limit: u64,
    /// `zookeeper.digest.enabled`.
    pub digest: bool,
    /// `zookeeper.skipACL=yes`.
    pub skip_acl: bool,
    /// `zookeeper.enforceQuota`.
    pub enforce_quota: bool,
    /// How containers and TTL nodes are taken away.
    pub reaper: ReaperSettings,
    /// `globalOutstandingLimit`: requests between the door and their reply.
    pub outstanding_max: u32,
    /// Whether members may change while servers run.
    pub reconfig: Reconfig,
    /// `None`: standalone.
    pub ensemble: Option<Ensemble>,
    /// A bug to plant.
    #[cfg(feature = "museum")]
    pub museum: Option<crate::museum::Exhibit>,
}

impl ReplicaConfig {
    /// Elections know of reconfigs, and of planted bugs.
    pub(super) fn with_elections_told(mut self) -> Self {
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.election.reconfig = self.reconfig.is_enabled();
            #[cfg(feature = "museum")]
            {
                ensemble.election.museum = self.museum;
            }
        }
        self
    }

    pub(super) fn ensemble(&self) -> &Ensemble {
        self.ensemble.as_ref().expect("invariant: only members of an ensemble have these roles")
    }

    pub(super) fn ticks(&self, ticks: u32) -> Duration {
        Duration::from_millis(u64::from(ticks) * u64::from(self.tick_ms))
    }

    /// Requests that this server lets in. Those of all learners meet at the leader, so each of so many voters has a share
    /// (semantics §15).
    pub(super) fn requests_max(&self, voters: usize) -> u32 {
        let share = if voters > 2 { u32::try_from(voters - 1).unwrap_or(u32::MAX) } else { 1 };
        (self.outstanding_max / share).max(1)
    }
}

/// How containers and TTL nodes are taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaperSettings {
    /// `znode.container.checkIntervalMs`: how often it is looked for what is over, ms; at least 1.
    pub interval_ms: u32,
    /// `znode.container.maxPerMinute`: deletions, at least 1.
    pub per_minute: u32,
    /// `znode.container.maxNeverUsedIntervalMs`: a container that never had a child goes after this time; `None`: it stays.
    pub never_used_ms: Option<i64>,
}

/// Java's.
impl Default for ReaperSettings {
    fn default() -> Self {
        Self::JAVAS
    }
}

impl ReaperSettings {
    /// Java's defaults.
    pub const JAVAS: Self = Self { interval_ms: 60_000, per_minute: 10_000, never_used_ms: None };

    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.max(1).into())
    }

    /// Between two deletions.
    pub(super) fn pace(&self) -> Duration {
        Duration::from_nanos(60_000_000_000 / u64::from(self.per_minute.max(1)))
    }
}

/// Whether members may change while servers run (`reconfigEnabled`). It is to be the same for all of an ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconfig {
    /// The members are those of the configuration; what other servers say of them is not heard.
    Disabled,
    /// They change by reconfig requests.
    Enabled {
        /// `standaloneEnabled`.
        fewest: FewestVoters,
    },
}

impl Reconfig {
    /// Whether they may.
    pub const fn is_enabled(self) -> bool {
        matches!(self, Self::Enabled { .. })
    }
}

/// What a member of an ensemble needs to know. Ticks are of [`ReplicaConfig::tick_ms`].
#[derive(Clone, Debug)]
pub struct Ensemble {
    /// Who belongs to it when the server starts. A server that is no voter of it observes, or follows without a vote.
    pub membership: Arc<Membership>,
    /// How patient elections are.
    pub election: ElectionSettings,
    /// The connections of the election port.
    pub links: LinkSettings,
    /// `initLimit`: until the leader is acknowledged, ticks.
    pub init_limit: u32,
    /// `syncLimit`: how far behind a learner may be, ticks.
    pub sync_limit: u32,
    /// `connectToLearnerMasterLimit`: how long a leader is dialled, ticks; `init_limit` if it is not set.
    pub connect_limit: Option<u32>,
    /// `zookeeper.commitLogCount`: committed txns that are kept for learners that come back; 500 at least.
    pub window_count: u32,
    /// Bytes of them; where they are larger, fewer are kept.
    pub window_bytes: usize,
    /// `zookeeper.snapshotSizeFactor`.
    pub log_share: LogShare,
    /// `zookeeper.forceSnapshotSync`.
    pub sync_choice: SyncChoice,
    /// How many learners may be brought up to date at a time before observers are turned away.
    pub syncs_max: SyncsMax,
    /// What a client's sync waits for.
    pub sync_reads: SyncReads,
    /// Bytes that may be on their way to a learner behind its sync. Who has more is hung up on, and may come back.
    pub backlog_max: usize,
    /// Bytes of txns that a learner holds in memory between two steps of a sync.
    pub held_max: usize,
    /// `leaderServes`.
    pub leader_serves: ClientService,
    /// `localSessionsEnabled`, `localSessionsUpgradingEnabled`.
    pub local_sessions: LocalSessions,
    /// `readonlymode.enabled`: how long a leader is looked for before reads are served without one, ms; `None`: never.
    pub read_only_after_ms: Option<u32>,
    /// `zookeeper.observer.election.DelayMs`: an observer that has lost its leader waits up to this long, ms.
    pub observer_delay_ms: u32,
}

impl Ensemble {
    /// How long a leader is dialled, ticks.
    pub(super) fn connect_ticks(&self) -> u32 {
        self.connect_limit.unwrap_or(self.init_limit)
    }

    pub(super) fn window(&self) -> Window {
        Window { count: self.window_count.max(500) as usize, bytes: self.window_bytes }
    }
}

/// Whether new sessions are known to one server only until they need more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalSessions {
    /// Every session is the ensemble's.
    Off,
    /// They make no ephemerals.
    On,
    /// Those that make an ephemeral become the ensemble's first.
    Upgrading,
}

/// How a learner is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncChoice {
    /// By the least that will do (quorum protocol B4).
    Least,
    /// By a snapshot, always.
    Snapshot,
}

/// How many learners are brought up to date at a time. Voters always are, and count; an observer that would be one more is hung
/// up on, and comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncsMax {
    /// `zookeeper.leader.maxConcurrentSnapSyncs`: by a snapshot.
    pub snap: u32,
    /// `zookeeper.leader.maxConcurrentDiffSyncs`: by txns, cut back before or not.
    pub diff: u32,
}

/// Java's.
impl Default for SyncsMax {
    fn default() -> Self {
        Self { snap: 10, diff: 100 }
    }
}

impl SyncsMax {
    /// Of this kind.
    pub(super) const fn of(self, kind: SyncKind) -> u32 {
        match kind {
            SyncKind::Snap => self.snap,
            SyncKind::Diff | SyncKind::Trunc => self.diff,
        }
    }
}

/// What a client's sync waits for before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncReads {
    /// All that was proposed before is committed, and a quorum has told the leader, after the sync came, that it still
    /// follows. Then no other leader can have committed anything before it came: a read behind the sync is up to date.
    Confirmed,
    /// As in Java, all that was proposed before is committed. A leader that has been deposed and does not know it yet may
    /// answer.
    Unconfirmed,
}

/// How long a log may be that is sent instead of a snapshot (`zookeeper.snapshotSizeFactor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogShare {
    /// No log is read: a learner beyond the window gets a snapshot. (Java: a negative factor.)
    Never,
    /// Its files may have so many thousandths of the size of the newest snapshot. (Java: 0.33, which is 330.)
    OfSnapshot {
        /// Thousandths.
        permille: u32,
    },
    /// Any length. (Java: 0.)
    Any,
}
