//! [`Pace`]: complaints that come no faster than somebody can read them.

use std::time::{Duration, Instant};

/// Complaints about one thing come no closer than this.
const QUIET: Duration = Duration::from_secs(10);

/// Lets a complaint through now and then, with the number of those that were kept back.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<Instant>,
    kept_back: u64,
}

impl Pace {
    pub(crate) fn complain(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < QUIET) {
            self.kept_back += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.kept_back))
    }
}
