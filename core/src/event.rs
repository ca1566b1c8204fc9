//! Typed events: everything observable that the core does. Drivers turn them into log lines, counters and traces.

use alloc::string::String;

use crate::ids::{SessionId, Zxid};

/// Something that happened. Names are stable: adding is free, renaming breaks scenarios.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session begins (its createSession is on its way).
    SessionCreating {
        /// The session.
        session: SessionId,
        /// ms.
        timeout_ms: i32,
    },
    /// A session showed no life for its timeout; its closeSession is on its way.
    SessionExpiring {
        /// The session.
        session: SessionId,
    },
    /// The log is rolled and a snapshot begun.
    SnapshotStarted {
        /// Last zxid logged.
        zxid: Zxid,
    },
    /// A snapshot is durable.
    SnapshotDone {
        /// The zxid in its name.
        zxid: Zxid,
    },
    /// Recovery skipped a snapshot that did not hold together.
    SnapshotSkipped {
        /// The file.
        file: String,
        /// What was wrong with it.
        why: String,
    },
    /// Recovery dropped a torn record at the end of a log file.
    TornTailDropped {
        /// The file.
        file: String,
        /// Where the torn record began.
        offset: u64,
    },
    /// The tree's digest differs from the one recorded.
    DigestMismatch {
        /// At this zxid.
        zxid: Zxid,
    },
}
