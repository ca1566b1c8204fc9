//! Snapshot files: written from an exact view, read back even when fuzzy (disk format §5).

use alloc::vec::Vec;

use super::{DiskConfig, FileOp};
use crate::ids::Zxid;
use crate::tree::TreeView;

/// Writes one snapshot, a piece at a time, so that the driver can interleave it with anything else.
#[derive(Clone, Debug)]
pub struct SnapshotWriter {}

impl SnapshotWriter {
    /// A snapshot of this view, named by its zxid.
    pub fn new(_view: TreeView, _config: DiskConfig) -> Self {
        unreachable!("written by the disk room")
    }
    /// The zxid in its name.
    pub fn zxid(&self) -> Zxid {
        unreachable!()
    }
    /// Plans the next operations, about `budget` bytes of data; true when these were the last. Written under another
    /// name, synced, renamed, directory synced: a crash at any point leaves no half file under the final name.
    pub fn next(&mut self, _budget: usize, _ops: &mut Vec<FileOp>) -> bool {
        unreachable!()
    }
}
