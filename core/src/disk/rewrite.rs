//! Commands that replace history: cutting it back, and starting from another server's state.
//!
//! They have to look at what is on the disk, and an installed snapshot is large, so they are planned a piece at a time,
//! each piece when the one before has been carried out.
//!
//! **Install.** A snapshot that came from a leader says nothing of how its history continues ours. Once its name stands in
//! the directory recovery starts from it, so by then no log record beyond it may be left: a lost branch would be replayed
//! over it, as Java does (quorum protocol B5). The order is
//!
//! 1. the snapshot under its temporary name, synced;
//! 2. every snapshot and every log record beyond its zxid goes. A power cut here leaves our own history without a tail
//!    that the leader does not have;
//! 3. the snapshot gets its name. A power cut from here on leaves the leader's state;
//! 4. whatever is older goes, too. Kept, it would be what recovery falls back to when the new snapshot rots, and the log
//!    that is written from now on would be replayed over a history that it does not continue.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::planner::plan_truncate;
use super::snapshot::SnapshotWriter;
use super::{Dir, DiskConfig, FileName, FileOp, Vfs, layout};
use crate::error::DiskFault;
use crate::ids::Zxid;
use crate::tree::TreeView;

/// A command of this kind on its way to the disk.
#[derive(Clone, Debug)]
pub struct Rewrite {
    config: DiskConfig,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Truncate(Zxid),
    Write(Box<SnapshotWriter>),
    CleanUp(Zxid),
    Done,
}

impl Rewrite {
    pub(super) const fn truncate(to: Zxid, config: DiskConfig) -> Self {
        Self { config, stage: Stage::Truncate(to) }
    }

    pub(super) fn install(view: TreeView, config: DiskConfig) -> Self {
        Self { config, stage: Stage::Write(Box::new(SnapshotWriter::new(view, config))) }
    }

    /// Plans the next operations, with about `budget` bytes of data; true when these were the last. Everything planned
    /// before must have been carried out.
    pub fn next(
        &mut self,
        vfs: &mut impl Vfs,
        budget: usize,
        ops: &mut Vec<FileOp>,
    ) -> Result<bool, DiskFault> {
        match &mut self.stage {
            Stage::Truncate(to) => {
                ops.extend(plan_truncate(vfs, &self.config, *to)?);
                self.stage = Stage::Done;
            }
            Stage::Write(writer) => {
                let zxid = writer.zxid();
                let before = ops.len();
                if writer.next(budget, ops) {
                    let named = ops[before..].iter().position(|op| matches!(op, FileOp::Rename { .. }));
                    let at = before + named.expect("invariant: a snapshot's last piece gives it its name");
                    let kept = layout::temporary(&layout::snapshot_name(zxid, self.config.compression)).name;
                    let beyond = plan_truncate(vfs, &self.config, zxid)?;
                    let is_kept = |op: &FileOp| matches!(op, FileOp::Unlink(file) if file.dir == Dir::Snap && file.name == kept);
                    ops.splice(at..at, beyond.into_iter().filter(|op| !is_kept(op)));
                    self.stage = Stage::CleanUp(zxid);
                }
            }
            Stage::CleanUp(zxid) => {
                plan_clean_up(vfs, &layout::snapshot_name(*zxid, self.config.compression), ops)?;
                self.stage = Stage::Done;
            }
            Stage::Done => {}
        }
        Ok(matches!(self.stage, Stage::Done))
    }
}

/// Plans the removal of every snapshot but `kept`, and of every log file: they hold nothing beyond it. No old snapshot is
/// left without its log, and the logs go one by one, the oldest first, so that what is left is never a log with a hole.
fn plan_clean_up(vfs: &mut impl Vfs, kept: &FileName, ops: &mut Vec<FileOp>) -> Result<(), DiskFault> {
    let io = |error| DiskFault::Io { file: String::from("version-2"), op: "list", error };
    let snapshots = vfs.list(Dir::Snap).map_err(io)?;
    let old = snapshots
        .into_iter()
        .filter_map(|(name, _)| (name != kept.name).then_some((layout::snapshot(&name)?.zxid, name)))
        .collect();
    plan_unlink(Dir::Snap, old, ops);
    let logs = vfs.list(Dir::Log).map_err(io)?;
    let logs = logs.into_iter().filter_map(|(name, _)| Some((layout::log_zxid(&name)?, name))).collect();
    plan_unlink(Dir::Log, logs, ops);
    Ok(())
}

/// Plans the removal of files, the oldest first, none before it is durable that those before it are gone.
pub(super) fn plan_unlink(dir: Dir, mut files: Vec<(Zxid, String)>, ops: &mut Vec<FileOp>) {
    files.sort_unstable();
    for (_, name) in files {
        ops.push(FileOp::Unlink(FileName { dir, name }));
        ops.push(FileOp::SyncDir(dir));
    }
}
