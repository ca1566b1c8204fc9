//! [`Log`]: the transaction log, written by one thread at a time, in the order in which the replica said what to write.
//!
//! A thread that may wait for the disk writes and syncs what it has put there itself: a link's thread, which another one
//! stands in for. To hand it to the disk thread would cost two switches for each write. A thread that clients wait for rings
//! for the disk thread. Whoever finds the log taken leaves: who sits there looks again afterwards ([`Seat`]), so that groups
//! grow with the load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tracing::{error, warn};
use zk_core::action::DiskCommand;
use zk_core::input::Input;

use crate::bell::Bell;
use crate::disk::executor::{Executor, Group};
use crate::seat::{Coming, Left, Seat};
use crate::shared::Shared;

/// See the module.
#[derive(Debug)]
pub(crate) struct Log {
    /// No executor: it has failed, or the log is closed.
    seat: Seat<Option<Executor>, DiskCommand>,
    /// Commands that were put there and are not done with.
    waiting: AtomicUsize,
    full_at: usize,
    /// Of the disk thread.
    bell: Bell,
    rung: AtomicU64,
    closed: AtomicBool,
}

/// What a thread that steps the replica does about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// It must not wait for the disk: it rings for the disk thread.
    Rings,
    /// It writes the log itself when it is through with what it is at.
    Writes,
}

/// What came of a group.
enum Wrote {
    /// Nothing that anybody waits for.
    Nothing,
    /// The replica is to hear of it.
    Durable,
    Failed,
}

impl Log {
    /// That is full at this many commands. It takes what comes all the same: whoever fills it asks for [`Self::room`] before
    /// taking on more work.
    pub(crate) fn new(executor: Executor, full_at: usize) -> Self {
        Self {
            seat: Seat::new(Some(executor)),
            waiting: AtomicUsize::new(0),
            full_at,
            bell: Bell::default(),
            rung: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Appends a command. Somebody has to come afterwards.
    pub(crate) fn put(&self, command: DiskCommand) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.seat.put_one(command);
    }

    /// How many more commands fit before it is full, what is being worked on included.
    pub(crate) fn room(&self) -> usize {
        self.full_at.saturating_sub(self.waiting.load(Ordering::SeqCst))
    }

    /// True if nobody needs to come.
    pub(crate) fn is_empty(&self) -> bool {
        self.seat.waiting() == 0
    }

    /// True if there is something to write and nobody at it: whoever hears so has to come, or to call somebody.
    pub(crate) fn wants_writer(&self) -> bool {
        !self.is_empty() && self.seat.is_free()
    }

    /// The disk thread is to come, unless somebody is there.
    pub(crate) fn call(&self) {
        if self.seat.is_free() {
            self.ring();
        }
    }

    fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Relaxed);
        self.bell.ring();
    }

    /// No more commands come; what is there is still to be written.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.ring();
    }

    /// How often the disk thread was rung for.
    pub(crate) fn rung(&self) -> u64 {
        self.rung.load(Ordering::Relaxed)
    }
}

/// A sync that takes longer than this is told about (Java: `fsync.warningthresholdms`), microseconds.
const SLOW_SYNC_US: u64 = 1_000_000;

impl Shared {
    /// Writes what was put into the log, and does what follows from it.
    pub(crate) fn write_log(self: &Arc<Self>, coming: Coming) {
        let turn = |executor: &mut _, commands: &mut Vec<DiskCommand>| self.write_group(executor, commands);
        let left = self.log.seat.come(coming, turn, |wrote| self.follow_up(wrote));
        if left == Left::Filling {
            self.log.ring();
        }
    }

    /// The replica hears of it in the order of the groups: before the next thread sits down.
    fn write_group(&self, executor: &mut Option<Executor>, commands: &mut Vec<DiskCommand>) -> Wrote {
        let taken = commands.len();
        if taken == 0 {
            return Wrote::Nothing;
        }
        // Nothing is tried twice: one that has failed is gone.
        let group = executor.as_mut().map(|executor| executor.group(commands, &self.rewrites));
        commands.clear();
        let group = match group {
            None => return Wrote::Nothing,
            Some(Ok(group)) => group,
            Some(Err(fault)) => {
                *executor = None;
                self.consensus.submit_one(Input::DiskFailed(fault));
                return Wrote::Failed;
            }
        };
        self.note_group(&group, taken);
        self.log.waiting.fetch_sub(taken, Ordering::SeqCst);
        self.relieve();
        let Some(token) = group.durable else { return Wrote::Nothing };
        self.consensus.submit_one(Input::Durable(token));
        Wrote::Durable
    }

    fn follow_up(self: &Arc<Self>, wrote: Wrote) {
        match wrote {
            Wrote::Nothing => {}
            // There is more to write: others are to see to what follows.
            Wrote::Durable if !self.log.is_empty() => self.consensus.ring(),
            Wrote::Durable | Wrote::Failed => self.decide(Hand::Writes),
        }
    }

    fn note_group(&self, group: &Group, commands: usize) {
        let metrics = &self.metrics;
        metrics.txns.add(group.txns as u64);
        let mut rare = metrics.rare.lock();
        rare.group.record(group.took_us);
        rare.queue.record(commands as u64);
        let Some(us) = group.sync_us else { return };
        rare.fsync.record(us);
        rare.batch.record(group.txns as u64);
        drop(rare);
        if us >= SLOW_SYNC_US {
            metrics.slow_syncs.increment();
            warn!(ms = us / 1000, "syncing the transaction log took long; clients wait for it");
        }
    }

    /// The disk thread.
    pub(crate) fn run_disk(self: &Arc<Self>) {
        self.log.bell.belongs_here();
        loop {
            // Looked at before: what was put there before it was closed is written.
            let closed = self.log.closed.load(Ordering::Acquire);
            self.write_log(Coming::ToStay);
            if closed {
                break;
            }
            self.log.bell.wait(None);
        }
        let executor = self.log.seat.look().take();
        if let Some(Err(fault)) = executor.map(Executor::finish) {
            error!(%fault, "the last sync failed; everything acknowledged was synced before");
        }
    }
}
