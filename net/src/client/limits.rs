//! [`Limits`]: how much clients may ask of a server at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use zk_core::front::throttle::ThrottleSettings;

/// Bounds that an operator sets; see `docs/compatibility.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `maxClientCnxns`: connections from one address; `None` is no limit.
    pub per_address: Option<u32>,
    /// `maxCnxns`: connections in all; `None` is no limit.
    pub total: Option<u32>,
    /// `connection_throttle_*`: handshakes per time.
    pub handshakes: ThrottleSettings,
    /// `largeRequestThreshold`, `largeRequestMaxBytes`; `None`: large requests are as good as others.
    pub large: Option<LargeRequests>,
    /// `request_throttle_*` and its kin.
    pub requests: RequestThrottle,
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self {
        per_address: None,
        total: None,
        handshakes: ThrottleSettings::OFF,
        large: None,
        requests: RequestThrottle { requests: None, late_after: None, stale: Stale::Served },
    };
}

/// Memory that large requests may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeRequests {
    /// Requests longer than that are large, bytes.
    pub above: usize,
    /// What those in flight may come to together, bytes. Who sends one more is hung up on.
    pub total: usize,
}

/// How many requests are carried out at a time, whoever sent them. `globalOutstandingLimit` lets every connection have one
/// all the same; this does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestThrottle {
    /// `request_throttle_max_requests`; `None` is no limit.
    pub requests: Option<u32>,
    /// `throttled_op_wait_time`: who waited longer is refused with -127; `None`: nobody is.
    pub late_after: Option<Duration>,
    /// What becomes of a request that waited for longer than its session's timeout.
    pub stale: Stale,
}

/// See [`RequestThrottle::stale`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It is carried out (`request_stale_latency_check=false`).
    Served,
    /// It is carried out, and counted (`request_throttle_drop_stale=false`).
    Counted,
    /// It is not carried out, and its connection is closed.
    Dropped,
}

/// [`LargeRequests`] in flight.
#[derive(Debug)]
pub(crate) struct LargeGuard {
    limits: LargeRequests,
    in_flight: AtomicUsize,
}

impl LargeGuard {
    pub(crate) const fn new(limits: LargeRequests) -> Self {
        Self { limits, in_flight: AtomicUsize::new(0) }
    }

    /// Might a request of this length come in now? Asked when its length is known and its bytes are still to come.
    pub(crate) fn may_come(&self, len: usize) -> bool {
        len <= self.limits.above || self.in_flight.load(Ordering::Relaxed) + len <= self.limits.total
    }

    /// A request of this length comes in; `None` if there is no room. Else what it takes of the room, bytes.
    pub(crate) fn take(&self, len: usize) -> Option<usize> {
        if len <= self.limits.above {
            return Some(0);
        }
        let with = |now: usize| now.checked_add(len).filter(|sum| *sum <= self.limits.total);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).is_ok().then_some(len)
    }

    /// A connection that took so much room has only so much in flight by now.
    pub(crate) fn settle(&self, taken: &AtomicUsize, in_flight: usize) {
        let before = taken.load(Ordering::Relaxed);
        if in_flight < before {
            taken.store(in_flight, Ordering::Relaxed);
            self.in_flight.fetch_sub(before - in_flight, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_requests_together_take_no_more_room_than_there_is() {
        let guard = LargeGuard::new(LargeRequests { above: 10, total: 50 });
        assert_eq!((guard.take(10), guard.take(30)), (Some(0), Some(30)));
        assert!(guard.may_come(10) && guard.may_come(20) && !guard.may_come(21));
        assert_eq!((guard.take(21), guard.take(20)), (None, Some(20)));
        let taken = AtomicUsize::new(30);
        guard.settle(&taken, 12);
        guard.settle(&taken, 40);
        assert_eq!((taken.load(Ordering::Relaxed), guard.take(18)), (12, Some(18)));
    }
}
