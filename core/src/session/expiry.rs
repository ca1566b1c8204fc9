//! Expiry buckets of one tick (Java: `ExpiryQueue`).
//!
//! A session stands in one bucket. A touch only raises the time in its table entry, which costs nothing here; when a
//! bucket is due, whoever was touched since moves on to the bucket of their new time, the others have expired.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::SessionId;
use crate::time::Mono;

/// When each session is looked at next.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    tick_ms: u64,
    /// By the time, in ms, at which they are due.
    due: BTreeMap<u64, Vec<SessionId>>,
}

impl Buckets {
    pub(super) fn new(tick_ms: u32) -> Self {
        assert!(tick_ms > 0, "invariant: a tick takes time");
        Self { tick_ms: tick_ms.into(), due: BTreeMap::new() }
    }

    /// The end of the tick in which `timeout_ms` from `now` are over: later than that by up to one tick.
    pub(super) fn end_of(&self, now: Mono, timeout_ms: u64) -> u64 {
        ((now.millis() + timeout_ms) / self.tick_ms + 1) * self.tick_ms
    }

    pub(super) fn put(&mut self, session: SessionId, at_ms: u64) {
        self.due.entry(at_ms).or_default().push(session);
    }

    /// The next bucket that is due, emptied.
    pub(super) fn take_due(&mut self, now: Mono) -> Option<Vec<SessionId>> {
        let entry = self.due.first_entry()?;
        (*entry.key() <= now.millis()).then(|| entry.remove())
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.due.first_key_value().map(|(at_ms, _)| Mono::from_millis(*at_ms))
    }
}
