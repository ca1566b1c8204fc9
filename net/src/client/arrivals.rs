//! [`Arrivals`]: how long requests have waited at the door while `request_throttle_max_requests` held them back.

use std::collections::VecDeque;

use zk_core::time::Mono;

use super::limits::{RequestThrottle, Stale};
use crate::metrics::Metrics;

/// When the bytes came that are read and not served yet. Notes nothing, and costs nothing, without a throttle.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// Bytes that came together.
    came: Option<VecDeque<(Mono, usize)>>,
    /// How long the frames taken since the last report had waited, microseconds.
    waits: Vec<u64>,
}

/// What becomes of a request, as its waiting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is carried out.
    InTime,
    /// It is refused with -127.
    Late,
    /// Its connection is closed.
    Stale,
}

impl Arrivals {
    pub(super) fn new(throttle: &RequestThrottle) -> Self {
        Self { came: throttle.requests.map(|_| VecDeque::new()), waits: Vec::new() }
    }

    pub(super) const fn are_noted(&self) -> bool {
        self.came.is_some()
    }

    /// Bytes came.
    pub(super) fn came(&mut self, bytes: usize, now: impl FnOnce() -> Mono) {
        if let Some(came) = &mut self.came {
            came.push_back((now(), bytes));
        }
    }

    /// The next frame is taken, with so many bytes.
    pub(super) fn judge(
        &mut self,
        bytes: usize,
        now: Mono,
        timeout_ms: i32,
        throttle: &RequestThrottle,
        metrics: &Metrics,
    ) -> Judgement {
        let Some(since) = self.take(bytes) else { return Judgement::InTime };
        let waited_us = now.since(since) / 1000;
        self.waits.push(waited_us);
        // Before the handshake there is no timeout.
        let timeout_us = u64::try_from(timeout_ms).unwrap_or(0) * 1000;
        if timeout_us > 0 && waited_us > timeout_us {
            match throttle.stale {
                Stale::Served => {}
                Stale::Counted => metrics.stale.increment(),
                Stale::Dropped => {
                    metrics.stale_dropped.increment();
                    return Judgement::Stale;
                }
            }
        }
        if throttle.late_after.is_some_and(|limit| u128::from(waited_us) > limit.as_micros()) {
            metrics.throttled_ops.increment();
            return Judgement::Late;
        }
        Judgement::InTime
    }

    /// Takes bytes off; when the first of them came.
    fn take(&mut self, mut bytes: usize) -> Option<Mono> {
        let came = self.came.as_mut()?;
        let first = came.front()?.0;
        while let Some((_, there)) = came.front_mut() {
            if *there > bytes {
                *there -= bytes;
                break;
            }
            bytes -= *there;
            came.pop_front();
        }
        Some(first)
    }

    /// Adds to the metrics what was taken since the last time.
    pub(super) fn report(&mut self, metrics: &Metrics) {
        if !self.waits.is_empty() {
            let mut rare = metrics.rare.lock();
            self.waits.drain(..).for_each(|wait| rare.throttle_waits.record(wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(late_ms: u64, stale: Stale) -> RequestThrottle {
        let late_after = Some(std::time::Duration::from_millis(late_ms));
        RequestThrottle { requests: Some(1), late_after, stale }
    }

    #[test]
    fn a_frame_has_waited_since_its_first_byte_came() {
        let throttle = throttle(100, Stale::Served);
        let (mut arrivals, metrics) = (Arrivals::new(&throttle), Metrics::new(1));
        let at = Mono::from_millis;
        arrivals.came(10, || at(0));
        arrivals.came(30, || at(50));
        let judge =
            |arrivals: &mut Arrivals, bytes, now| arrivals.judge(bytes, at(now), 4000, &throttle, &metrics);
        assert_eq!(judge(&mut arrivals, 15, 101), Judgement::Late);
        assert_eq!(judge(&mut arrivals, 15, 101), Judgement::InTime);
        assert_eq!(judge(&mut arrivals, 10, 10_000), Judgement::Late);
        arrivals.report(&metrics);
        assert_eq!(metrics.rare.lock().throttle_waits.count, 3);
        assert_eq!((metrics.throttled_ops.get(), metrics.stale.get()), (2, 0));
    }

    #[test]
    fn who_waited_for_longer_than_a_timeout_is_stale_if_that_is_looked_at() {
        for (stale, expected, counts) in [
            (Stale::Served, Judgement::InTime, (0, 0)),
            (Stale::Counted, Judgement::InTime, (1, 0)),
            (Stale::Dropped, Judgement::Stale, (0, 1)),
        ] {
            let throttle = throttle(1_000_000, stale);
            let (mut arrivals, metrics) = (Arrivals::new(&throttle), Metrics::new(1));
            arrivals.came(1, || Mono::from_millis(0));
            let judged = arrivals.judge(1, Mono::from_millis(4001), 4000, &throttle, &metrics);
            assert_eq!(
                (judged, metrics.stale.get(), metrics.stale_dropped.get()),
                (expected, counts.0, counts.1)
            );
        }
    }

    #[test]
    fn without_a_throttle_nothing_is_noted() {
        let throttle = RequestThrottle { requests: None, ..throttle(0, Stale::Dropped) };
        let (mut arrivals, metrics) = (Arrivals::new(&throttle), Metrics::new(1));
        arrivals.came(1, || unreachable!("no clock is asked"));
        let judged = arrivals.judge(1, Mono::from_millis(9000), 4000, &throttle, &metrics);
        assert_eq!(judged, Judgement::InTime);
    }
}
