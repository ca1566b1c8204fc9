//! [`Clock`]: both clocks of the core, from the operating system's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zk_core::time::{Mono, Now, WallMs};

/// Where this process' monotonic time begins.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Time begins now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now { mono: self.mono(), wall: wall() }
    }

    /// The monotonic clock alone.
    pub fn mono(&self) -> Mono {
        Mono(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long from now until `at`; nothing if that has passed.
    pub fn until(&self, at: Mono) -> Duration {
        Duration::from_nanos(at.since(self.mono()))
    }
}

/// Milliseconds since 1970; 0 before.
pub fn wall() -> WallMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
