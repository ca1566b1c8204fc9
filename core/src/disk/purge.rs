//! Which files are no longer needed (disk format §8).

use alloc::vec::Vec;

use super::{FileOp, Vfs};
use crate::error::DiskFault;

/// Plans a purge that keeps the `retain` newest *valid* snapshots and every log needed with the oldest of them.
pub fn plan(_vfs: &mut impl Vfs, _retain: usize) -> Result<Vec<FileOp>, DiskFault> {
    unreachable!("written by the disk room")
}
