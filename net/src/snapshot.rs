//! The background thread: snapshots of views, and the purge of what they make superfluous.
//!
//! One thread for both, so that a purge never counts a snapshot that is being written. Writing is cut into pieces; after
//! each the thread looks whether the server stops. The file is synced as it grows: left to the end, hundreds of megabytes
//! would go to the disk at once and every write behind them would wait.

use std::time::{Duration, Instant};

use tracing::{debug, info};
use zk_core::disk::purge;
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::disk::{DiskConfig, FileName, FileOp};
use zk_core::error::DiskFault;
use zk_core::ids::Zxid;

use crate::disk::files::Files;
use crate::disk::rewrites::{Order, Rewrites};
use crate::lanes::{Lane, Taken, after};

/// Bytes of a snapshot between two looks around.
const PIECE: usize = 256 << 10;
/// Pieces between two syncs.
const PIECES_PER_SYNC: u32 = 32;

/// What the background thread does, and for whom.
#[derive(Debug)]
pub struct Background {
    config: DiskConfig,
    files: Files,
    retain: usize,
    purge_every: Option<Duration>,
}

/// What came of a piece of background work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// A snapshot is durable under its name.
    Snapshot {
        /// The zxid in it.
        zxid: Zxid,
        /// How long it took, microseconds.
        took_us: u64,
    },
    /// The disk failed.
    Failed(DiskFault),
}

/// How the writing of a snapshot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    /// As it should.
    Durable(Done),
    /// A leader's state took the place of what it was about.
    Overtaken,
    /// The server stops.
    Stopped,
}

impl Background {
    /// Keeps `retain` snapshots and purges the rest every so often; `None` never.
    pub const fn new(config: DiskConfig, files: Files, retain: usize, purge_every: Option<Duration>) -> Self {
        Self { config, files, retain, purge_every }
    }

    /// Takes views out of the lane until it is closed. `report` hears what came of each.
    pub fn run(mut self, views: &Lane<Order>, rewrites: &Rewrites, report: impl Fn(Done)) {
        // Java purges at once when it starts, and then in intervals.
        let mut next_purge = self.purge_every.and_then(|_| after(Duration::ZERO));
        let mut batch = Vec::new();
        loop {
            match views.take(&mut batch, next_purge) {
                Taken::Closed => return,
                Taken::Nothing => {
                    if let Err(fault) = self.purge(rewrites) {
                        return report(Done::Failed(fault));
                    }
                    next_purge = self.purge_every.and_then(after);
                }
                Taken::Some => {}
            }
            for order in batch.drain(..) {
                match self.snapshot(order, views, rewrites) {
                    Ok(Ended::Durable(done)) => report(done),
                    Ok(Ended::Overtaken) => {}
                    Ok(Ended::Stopped) => return,
                    Err(fault) => return report(Done::Failed(fault)),
                }
            }
        }
    }

    /// Writes one. What there is of it goes if the server stops before it is whole.
    fn snapshot(
        &mut self,
        order: Order,
        views: &Lane<Order>,
        rewrites: &Rewrites,
    ) -> Result<Ended, DiskFault> {
        let started = Instant::now();
        let state = order.state();
        let mut writer = SnapshotWriter::new(order.view, self.config);
        let mut ops = Vec::new();
        let mut pieces = 0_u32;
        let mut temporary: Option<FileName> = None;
        loop {
            let Some(_files) = rewrites.hold_for(state) else {
                // Whoever replaced the state has removed what was written of it.
                self.files.execute(&temporary.map(FileOp::Close).into_iter().collect::<Vec<_>>())?;
                return Ok(Ended::Overtaken);
            };
            let last = writer.next(PIECE, &mut ops);
            self.files.execute(&ops)?;
            temporary = temporary.or_else(|| ops.iter().find_map(created));
            ops.clear();
            if last {
                break;
            }
            pieces += 1;
            if let Some(file) = temporary.as_ref().filter(|_| pieces.is_multiple_of(PIECES_PER_SYNC)) {
                self.files.execute(&[FileOp::SyncData(file.clone())])?;
            }
            if views.is_closed() {
                self.files.execute(&temporary.map(FileOp::Unlink).into_iter().collect::<Vec<_>>())?;
                return Ok(Ended::Stopped);
            }
        }
        let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(zxid = %writer.zxid(), took_us, "snapshot written");
        Ok(Ended::Durable(Done::Snapshot { zxid: writer.zxid(), took_us }))
    }

    fn purge(&mut self, rewrites: &Rewrites) -> Result<(), DiskFault> {
        let _files = rewrites.hold();
        let ops = purge::plan(&mut self.files, self.retain)?;
        self.files.execute(&ops)?;
        for op in &ops {
            if let FileOp::Unlink(file) = op {
                info!(file = file.name, "purged");
            }
        }
        Ok(())
    }
}

fn created(op: &FileOp) -> Option<FileName> {
    if let FileOp::Create(file) = op { Some(file.clone()) } else { None }
}
