//! What a replica needs to know of its configuration.

use crate::ids::Sid;

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
    /// `globalOutstandingLimit`: requests between the door and their reply.
    pub outstanding_max: u32,
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
