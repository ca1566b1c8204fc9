//! A node's clocks: its monotonic one runs at a rate of its own, its wall clock jumps (simulation brief §5.4).

use zk_core::time::{Mono, Now, WallMs};

/// True time of the simulation, ns since its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Time(pub u64);

impl Time {
    /// From whole milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// This much later.
    pub const fn plus(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

/// 2026-01-01 00:00:00 UTC, ms: where wall clocks stand when a simulation begins.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// The clocks of one node.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Ticks of the monotonic clock per tick of true time, as a ratio.
    rate: (u64, u64),
    /// True time and monotonic time at the last change of the rate.
    base: (Time, u64),
    /// Wall minus true time, ms.
    wall_offset_ms: i64,
}

impl Clock {
    /// A clock with this rate that showed `offset_ns` when the simulation began.
    pub const fn new(rate: (u64, u64), offset_ns: u64) -> Self {
        assert!(rate.0 > 0 && rate.1 > 0, "a clock runs forward");
        Self { rate, base: (Time(0), offset_ns), wall_offset_ms: 0 }
    }

    /// What both clocks show.
    pub const fn now(&self, at: Time) -> Now {
        let wall = EPOCH_MS + (at.0 / 1_000_000) as i64 + self.wall_offset_ms;
        Now { mono: Mono(self.mono(at)), wall: WallMs(wall) }
    }

    const fn mono(&self, at: Time) -> u64 {
        let elapsed = at.0.saturating_sub(self.base.0.0);
        self.base.1 + (elapsed as u128 * self.rate.0 as u128 / self.rate.1 as u128) as u64
    }

    /// The first moment of true time at which the monotonic clock shows `mono` or more.
    pub const fn when(&self, mono: Mono) -> Time {
        let ahead = mono.0.saturating_sub(self.base.1) as u128;
        Time(self.base.0.0 + (ahead * self.rate.1 as u128).div_ceil(self.rate.0 as u128) as u64)
    }

    /// From `at` on the monotonic clock runs at this rate.
    pub const fn set_rate(&mut self, at: Time, rate: (u64, u64)) {
        assert!(rate.0 > 0 && rate.1 > 0, "a clock runs forward");
        self.base = (at, self.mono(at));
        self.rate = rate;
    }

    /// The wall clock is set forward or back.
    pub const fn jump_wall(&mut self, ms: i64) {
        self.wall_offset_ms += ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_its_own_time_and_is_woken_in_time() {
        let mut clock = Clock::new((3, 2), 100);
        assert_eq!(clock.now(Time(1_000)).mono, Mono(1_600));
        for mono in [100, 101, 1_599, 1_600, 1_601, 999_999] {
            let when = clock.when(Mono(mono));
            assert!(clock.now(when).mono >= Mono(mono));
            assert!(when.0 == 0 || clock.now(Time(when.0 - 1)).mono < Mono(mono));
        }
        clock.set_rate(Time(1_000), (1, 2));
        assert_eq!(clock.now(Time(3_000)).mono, Mono(2_600));
        assert_eq!(clock.when(Mono(2_600)), Time(3_000));
    }

    #[test]
    fn the_wall_jumps_and_the_monotonic_clock_does_not() {
        let mut clock = Clock::new((1, 1), 0);
        let before = clock.now(Time::from_millis(5_000));
        clock.jump_wall(-3_600_000);
        let after = clock.now(Time::from_millis(5_000));
        assert_eq!(after.mono, before.mono);
        assert_eq!(after.wall.0, before.wall.0 - 3_600_000);
    }
}
