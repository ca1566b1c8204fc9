//! Plain counters and histograms; names and formats are [`crate::client::four_letter`]'s business.
//!
//! What every request counts is kept per gate entry, so that threads that serve do not meet here either; a batch of frames
//! costs one uncontended lock. What happens once per group of writes, or more rarely, has one lock for all.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use zk_core::front::EventKind;
use zk_core::front::connection::Connection;
use zk_core::time::Mono;

use crate::gate::Entry;
use crate::peer::metrics::EnsembleMetrics;

/// What one call into the core counts before it is added to an entry's numbers.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    received: Cell<u64>,
    sent: Cell<u64>,
    /// Latencies of reads and of writes, microseconds.
    reads: RefCell<Vec<u64>>,
    writes: RefCell<Vec<u64>>,
    sizes: Cell<Sizes>,
    /// Events with their watchers and the bytes of one frame.
    events: RefCell<Vec<(EventKind, usize, usize)>>,
}

/// Sizes of replies, bytes; all 0 before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The last one's.
    pub last: u64,
    /// The smallest's.
    pub min: u64,
    /// The largest's.
    pub max: u64,
}

impl Sizes {
    /// With one more.
    #[must_use]
    pub const fn with(self, size: u64) -> Self {
        let min = if self.min == 0 || size < self.min { size } else { self.min };
        Self { last: size, min, max: if size > self.max { size } else { self.max } }
    }

    const fn and(self, later: Self) -> Self {
        if later.max == 0 {
            return self;
        }
        let Self { last, .. } = later;
        let Self { min, max, .. } = self.with(later.min).with(later.max);
        Self { last, min, max }
    }
}

impl Tally {
    /// Does something with a connection and counts the frames that came and went.
    pub(crate) fn of<R>(&self, conn: &mut Connection, f: impl FnOnce(&mut Connection) -> R) -> R {
        let (received, sent, len) = (conn.stats().received, conn.stats().sent, conn.output().len());
        let done = f(conn);
        self.received.set(self.received.get() + conn.stats().received - received);
        let frames = conn.stats().sent - sent;
        self.sent.set(self.sent.get() + frames);
        if frames == 1 {
            let size = conn.output().len().saturating_sub(len) as u64;
            self.sizes.set(self.sizes.get().with(size));
        }
        done
    }

    /// A request was answered.
    pub(crate) fn answered(&self, kind: Answered, latency_us: u64) {
        match kind {
            Answered::Read => self.reads.borrow_mut().push(latency_us),
            Answered::Write => self.writes.borrow_mut().push(latency_us),
        }
    }

    /// So many connections watch for an event.
    pub(crate) fn fired(&self, kind: EventKind, watchers: usize, bytes: usize) {
        self.events.borrow_mut().push((kind, watchers, bytes));
    }
}

/// From a client, or to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// What kind of request was answered, as Java tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// `readlatency`.
    Read,
    /// `updatelatency`.
    Write,
}

/// Count, sum, extremes and, for Java's ADVANCED summaries, quantiles. Microseconds, or plain numbers.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The smallest; 0 before the first.
    pub min: u64,
    /// The largest.
    pub max: u64,
    histogram: Option<Histogram<u64>>,
}

impl Summary {
    /// Without quantiles.
    pub const fn basic() -> Self {
        Self { count: 0, sum: 0, min: 0, max: 0, histogram: None }
    }

    /// With quantiles to two digits, of up to an hour in microseconds.
    pub fn advanced() -> Self {
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("the bounds are in order");
        Self { histogram: Some(histogram), ..Self::basic() }
    }

    /// Counts one.
    pub fn record(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(value);
        }
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        if let (Some(to), Some(from)) = (&mut self.histogram, &other.histogram) {
            to.add(from).expect("all have the same bounds");
        }
    }

    /// The value below which this share is; 0 before the first. Only for advanced ones.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let histogram = self.histogram.as_ref()?;
        Some(if self.count == 0 { 0 } else { histogram.value_at_quantile(share).min(self.max) })
    }
}

/// Numbers of one gate entry.
#[derive(Clone, Debug)]
pub struct Served {
    /// Frames from clients.
    pub received: u64,
    /// Frames to clients.
    pub sent: u64,
    /// Bytes from clients.
    pub bytes_received: u64,
    /// Latency of reads, microseconds.
    pub reads: Summary,
    /// Latency of writes, microseconds.
    pub writes: Summary,
    /// Of reads and writes together, since the last `srst`; microseconds.
    pub stats: Summary,
    /// Frames from clients since the last `srst`.
    pub stats_received: u64,
    /// Frames to clients since the last `srst`.
    pub stats_sent: u64,
    /// Sizes of replies since the last `srst`.
    pub sizes: Sizes,
    /// When the last of them was made.
    sized: Mono,
}

impl Served {
    fn new() -> Self {
        Self {
            received: 0,
            sent: 0,
            bytes_received: 0,
            reads: Summary::advanced(),
            writes: Summary::advanced(),
            stats: Summary::basic(),
            stats_received: 0,
            stats_sent: 0,
            sizes: Sizes::default(),
            sized: Mono(0),
        }
    }

    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.sent += other.sent;
        self.bytes_received += other.bytes_received;
        self.reads.add(&other.reads);
        self.writes.add(&other.writes);
        self.stats.add(&other.stats);
        self.stats_received += other.stats_received;
        self.stats_sent += other.stats_sent;
        // The last of all is that of whoever counted last.
        let (earlier, later) =
            if self.sized <= other.sized { (self.sizes, other.sizes) } else { (other.sizes, self.sizes) };
        self.sizes = earlier.and(later);
        self.sized = self.sized.max(other.sized);
    }
}

/// Numbers that have one owner or change rarely.
#[derive(Clone, Debug)]
pub struct Rare {
    /// `fsynctime`, microseconds.
    pub fsync: Summary,
    /// `sync_processor_batch_size`: txns per sync.
    pub batch: Summary,
    /// `sync_process_time`: a group of commands on the disk thread, microseconds.
    pub group: Summary,
    /// `sync_processor_queue_size`: commands that had gathered for a group.
    pub queue: Summary,
    /// `node_created_watch_count` and the like: watchers of an event, by [`EventKind`] from 1.
    pub watchers: [Summary; 4],
    /// `watch_bytes`: bytes of events, to all who heard.
    pub watch_bytes: u64,
    /// `snapshottime`, microseconds.
    pub snapshot: Summary,
    /// `dbinittime`: recovery, microseconds.
    pub recovery: Summary,
    /// `startup_txns_loaded`: txns replayed at start.
    pub txns_replayed: Summary,
    /// `connection_token_deficit`: tokens that are missing when a handshake is let in.
    pub token_deficit: Summary,
    /// `request_throttle_queue_time_ms`: how long requests waited at the door, microseconds.
    pub throttle_waits: Summary,
}

/// A counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// That many more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All numbers of one server.
#[derive(Debug)]
pub struct Metrics {
    entries: Box<[CachePadded<Mutex<Served>>]>,
    /// See [`Rare`].
    pub rare: Mutex<Rare>,
    /// `connection_request_count`: handshakes begun.
    pub connection_requests: Counter,
    /// `connection_rejected`: refused at the door for a limit.
    pub connections_rejected: Counter,
    /// `connection_drop_count`: closed for a fault of the client.
    pub connections_dropped: Counter,
    /// `sessionless_connections_expired`.
    pub sessionless_expired: Counter,
    /// `stale_sessions_expired`.
    pub sessions_expired: Counter,
    /// `auth_failed_count`.
    pub auth_failed: Counter,
    /// `response_bytes`.
    pub bytes_sent: Counter,
    /// `digest_mismatches_count`.
    pub digest_mismatches: Counter,
    /// `fsync_threshold_exceed_count`: syncs that took a second or more.
    pub slow_syncs: Counter,
    /// `prep_processor_request_queued`: requests given to the replica.
    pub requests: Counter,
    /// `sync_processor_request_queued`: txns given to the disk.
    pub txns: Counter,
    /// `request_throttle_wait_count`: how often a connection was not read for want of credit.
    pub throttled: Counter,
    /// `large_requests_rejected`.
    pub large_rejected: Counter,
    /// `throttled_ops`: refused for having waited too long.
    pub throttled_ops: Counter,
    /// `stale_requests`: carried out though they had waited for longer than their session's timeout.
    pub stale: Counter,
    /// `stale_requests_dropped`: the same, but dropped; and those whose connection had gone.
    pub stale_dropped: Counter,
    /// See there.
    pub ensemble: EnsembleMetrics,
}

impl Metrics {
    /// All zero.
    pub fn new(entries: usize) -> Self {
        let rare = Rare {
            fsync: Summary::basic(),
            batch: Summary::basic(),
            group: Summary::basic(),
            queue: Summary::basic(),
            watchers: [const { Summary::basic() }; 4],
            watch_bytes: 0,
            snapshot: Summary::basic(),
            recovery: Summary::basic(),
            txns_replayed: Summary::basic(),
            token_deficit: Summary::basic(),
            throttle_waits: Summary::advanced(),
        };
        Self {
            entries: (0..entries.max(1)).map(|_| CachePadded::new(Mutex::new(Served::new()))).collect(),
            rare: Mutex::new(rare),
            connection_requests: Counter::default(),
            connections_rejected: Counter::default(),
            connections_dropped: Counter::default(),
            sessionless_expired: Counter::default(),
            sessions_expired: Counter::default(),
            auth_failed: Counter::default(),
            bytes_sent: Counter::default(),
            digest_mismatches: Counter::default(),
            slow_syncs: Counter::default(),
            requests: Counter::default(),
            txns: Counter::default(),
            throttled: Counter::default(),
            large_rejected: Counter::default(),
            throttled_ops: Counter::default(),
            stale: Counter::default(),
            stale_dropped: Counter::default(),
            ensemble: EnsembleMetrics::new(),
        }
    }

    /// Adds what a call into the core has counted.
    pub(crate) fn count(&self, entry: Entry, tally: &Tally, bytes_received: u64, now: Mono) {
        let mut events = tally.events.borrow_mut();
        if !events.is_empty() {
            let mut rare = self.rare.lock();
            for (kind, watchers, bytes) in events.drain(..) {
                rare.watchers[kind as usize - 1].record(watchers as u64);
                rare.watch_bytes += (watchers * bytes) as u64;
            }
        }
        let mut served = self.entries[entry.0 % self.entries.len()].lock();
        served.bytes_received += bytes_received;
        let (received, sent) = (tally.received.take(), tally.sent.take());
        served.received += received;
        served.stats_received += received;
        served.sent += sent;
        served.stats_sent += sent;
        let sizes = tally.sizes.take();
        if sizes != Sizes::default() {
            served.sizes = served.sizes.and(sizes);
            served.sized = now;
        }
        for latency_us in tally.reads.borrow_mut().drain(..) {
            served.reads.record(latency_us);
            served.stats.record(latency_us);
        }
        for latency_us in tally.writes.borrow_mut().drain(..) {
            served.writes.record(latency_us);
            served.stats.record(latency_us);
        }
    }

    /// A four-letter word is a frame each way, as in Java.
    pub(crate) fn count_word(&self, entry: Entry, way: Way) {
        let mut served = self.entries[entry.0 % self.entries.len()].lock();
        let (all, stats) = match way {
            Way::In => {
                let Served { received, stats_received, .. } = &mut *served;
                (received, stats_received)
            }
            Way::Out => {
                let Served { sent, stats_sent, .. } = &mut *served;
                (sent, stats_sent)
            }
        };
        *all += 1;
        *stats += 1;
    }

    /// The sum over all entries.
    pub fn served(&self) -> Served {
        let mut sum = Served::new();
        self.entries.iter().for_each(|entry| sum.add(&entry.lock()));
        sum
    }

    /// `srst`: what `srvr` and `stat` show begins again.
    pub fn reset_stats(&self) {
        for entry in &self.entries {
            let mut served = entry.lock();
            served.stats = Summary::basic();
            (served.stats_received, served.stats_sent) = (0, 0);
            served.sizes = Sizes::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_add_up() {
        let (mut a, mut b, mut all) = (Summary::advanced(), Summary::advanced(), Summary::advanced());
        for n in 1..=1000 {
            if n % 3 == 0 {
                a.record(n)
            } else {
                b.record(n)
            }
            all.record(n);
        }
        a.add(&b);
        a.add(&Summary::advanced());
        assert_eq!((a.count, a.sum, a.min, a.max), (1000, 500_500, 1, 1000));
        for share in [0.5, 0.95, 0.99, 0.999] {
            assert_eq!(a.quantile(share), all.quantile(share));
            let exact = share * 1000.0;
            let found = a.quantile(share).unwrap() as f64;
            assert!((found - exact).abs() <= exact * 0.01 + 1.0, "{share}: {found}");
        }
        assert_eq!(Summary::advanced().quantile(0.5), Some(0));
        assert_eq!(Summary::basic().quantile(0.5), None);
    }

    #[test]
    fn the_last_size_is_the_last_one_s_wherever_it_was_counted() {
        let metrics = Metrics::new(2);
        let count = |entry, sizes: &[u64], at| {
            let tally = Tally::default();
            sizes.iter().for_each(|size| tally.sizes.set(tally.sizes.get().with(*size)));
            metrics.count(Entry(entry), &tally, 0, Mono(at));
        };
        count(1, &[50, 70], 1);
        count(0, &[90, 20], 2);
        count(1, &[], 3);
        assert_eq!(metrics.served().sizes, Sizes { last: 20, min: 20, max: 90 });
        count(1, &[60], 4);
        assert_eq!(metrics.served().sizes, Sizes { last: 60, min: 20, max: 90 });
    }

    #[test]
    fn srst_resets_what_srvr_shows_and_nothing_else() {
        let metrics = Metrics::new(2);
        let tally = Tally::default();
        tally.answered(Answered::Read, 1500);
        tally.answered(Answered::Write, 2500);
        metrics.count(Entry(0), &tally, 10, Mono(1));
        metrics.count(Entry(1), &tally, 5, Mono(2));
        assert_eq!((metrics.served().stats.count, metrics.served().bytes_received), (2, 15));
        metrics.reset_stats();
        let served = metrics.served();
        assert_eq!((served.stats.count, served.reads.count, served.writes.max), (0, 1, 2500));
    }
}
