//! Log records → file operations: names, preallocation, rolling, and what is synced in which order.

use alloc::vec::Vec;

use super::{DiskConfig, FileOp};
use crate::action::{DiskCommand, LogRecord};

/// Plans the transaction log. Holds the name and the position of the file being written, nothing else.
#[derive(Clone, Debug)]
pub struct LogPlanner {
    _config: DiskConfig,
}

impl LogPlanner {
    /// A planner that begins a new file with its first record: a file found at start is never continued.
    pub fn new(config: DiskConfig) -> Self {
        Self { _config: config }
    }
    /// Plans one command's writes. They are not durable before the operations of [`Self::commit`] have been carried out.
    pub fn plan(&mut self, _command: &DiskCommand, _ops: &mut Vec<FileOp>) {
        unreachable!("written by the disk room")
    }
    /// Plans one record's write.
    pub fn append(&mut self, _record: &LogRecord, _ops: &mut Vec<FileOp>) {
        unreachable!()
    }
    /// Plans what makes everything planned so far durable: group commit is many `plan`s and one `commit`.
    pub fn commit(&mut self, _ops: &mut Vec<FileOp>) {
        unreachable!()
    }
    /// Bytes in the present log file, preallocation included (Java's `snapSizeLimitInKb` counts those).
    pub fn log_size(&self) -> u64 {
        unreachable!()
    }
}
