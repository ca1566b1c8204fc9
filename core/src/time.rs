//! Time is only ever an argument.

use core::ops::Add;

/// Nanoseconds on this node's own monotonic clock. The zero point has no meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// This instant in whole milliseconds.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// An instant from whole milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// Nanoseconds from `earlier` to this instant; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<core::time::Duration> for Mono {
    type Output = Self;
    fn add(self, d: core::time::Duration) -> Self {
        Self(self.0.saturating_add(d.as_nanos() as u64))
    }
}

/// Wall-clock milliseconds since 1970. Only ever stored (ctime, mtime); the one decision by it is
/// when a node has not changed for so long that it goes (containers, TTL nodes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WallMs(pub i64);

/// Both clocks of a node at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For deadlines.
    pub mono: Mono,
    /// For stats.
    pub wall: WallMs,
}
