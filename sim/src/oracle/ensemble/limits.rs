//! I40: queues have bounds, timers that were due are not due any more, and nobody waits for a process that is gone beyond
//! its time.
//!
//! A node measures itself when it has dealt with a deadline: what has a bound is kept to it there at the latest.

use std::time::Duration;

use super::super::invariant::{Invariant, Violation, ensure};
use super::Ensemble;

/// What a server may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests that a learner passed on and has not answered. (A leader has those of all learners, and behind what earlier
    /// leaders left uncommitted: of that there may be any number.)
    pub requests: usize,
    /// Connections of the election port.
    pub election_links: usize,
    /// Connections of the quorum port.
    pub quorum_links: usize,
    /// Bytes behind a connection to a learner that serves.
    pub queued: usize,
    /// How long a connection is kept at whose other end nobody is.
    pub alone: Duration,
}

/// What it holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// See [`Limits::requests`].
    pub requests: usize,
    /// See [`Limits::election_links`].
    pub election_links: usize,
    /// See [`Limits::quorum_links`].
    pub quorum_links: usize,
    /// Of the connection that has most.
    pub queued: usize,
    /// Of the connection that has been kept longest.
    pub alone: Duration,
    /// Its deadline has passed, and it has just dealt with that.
    pub is_overdue: bool,
}

/// Without bounds.
impl Default for Limits {
    fn default() -> Self {
        let most = usize::MAX;
        Self { requests: most, election_links: most, quorum_links: most, queued: most, alone: Duration::MAX }
    }
}

impl Ensemble {
    /// The same, with these limits to every server.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// A node has dealt with a deadline, and holds this.
    pub fn carries(&mut self, node: u32, load: &Load) -> Result<(), Violation> {
        let judged = self.check_load(load);
        self.judge(node, judged)
    }

    fn check_load(&self, load: &Load) -> Result<(), Violation> {
        let limits = &self.limits;
        let counts = [
            ("requests under way", load.requests, limits.requests),
            ("connections of the election port", load.election_links, limits.election_links),
            ("connections of the quorum port", load.quorum_links, limits.quorum_links),
            ("bytes behind one connection", load.queued, limits.queued),
        ];
        for (what, found, most) in counts {
            ensure(found <= most, Invariant::I40, || format!("{found} {what}; {most} at most"))?;
        }
        ensure(load.alone <= limits.alone, Invariant::I40, || {
            format!(
                "keeps a connection to a process that is gone since {:?}; {:?} at most",
                load.alone, limits.alone
            )
        })?;
        ensure(!load.is_overdue, Invariant::I40, || "a deadline that was dealt with is still due".to_owned())
    }
}
