//! Log records → file operations: names, preallocation, rolling, and what is synced in which order (disk format §3).
//!
//! A batch is one contiguous write behind everything that is durable, and one sync. A file's directory entry is synced
//! with its first batch, which Java forgets. The next batch is planned only when the driver has carried out the last one's
//! sync, so what a power cut can tear is one batch.

use alloc::vec::Vec;
use bytes::{BufMut, BytesMut};

use super::rewrite::Rewrite;
use super::txnlog::{self, BATCH_MAX, HEADER, HEADER_LEN, LogEnd, LogReader};
use super::{Dir, DiskConfig, FileName, FileOp, Vfs, epochs, layout};
use crate::action::{DiskCommand, LogRecord};
use crate::error::DiskFault;
use crate::ids::Zxid;

/// The file that is being written.
#[derive(Clone, Debug)]
struct Current {
    file: FileName,
    /// Everything before is written, or in the batch.
    position: u64,
    /// Preallocation included.
    size: u64,
    /// Its directory entry is not durable yet.
    fresh: bool,
}

/// Plans the transaction log. Holds the name and the position of the file being written, and the batch.
#[derive(Clone, Debug)]
pub struct LogPlanner {
    config: DiskConfig,
    current: Option<Current>,
    /// Records planned since the last flush, as they go into the file.
    batch: BytesMut,
    /// Where the batch begins in the current file.
    batch_at: u64,
}

impl LogPlanner {
    /// A planner that begins a new file with its first record: a file found at start is never continued.
    pub fn new(config: DiskConfig) -> Self {
        Self { config, current: None, batch: BytesMut::new(), batch_at: 0 }
    }

    /// Plans one command's writes. They are not durable before the operations of [`Self::commit`] have been carried out.
    ///
    /// Some: the command replaces history. Once everything planned so far has been carried out, the rewrite's own pieces
    /// follow; when they are carried out, the command is durable.
    pub fn plan(&mut self, command: &DiskCommand, ops: &mut Vec<FileOp>) -> Option<Rewrite> {
        match command {
            DiskCommand::Append { records, .. } => records.iter().for_each(|record| self.append(record, ops)),
            DiskCommand::Roll => self.roll(ops),
            DiskCommand::SetEpoch { which, epoch, .. } => {
                // What was appended before must not be less durable than the epoch that speaks of it.
                self.commit(ops);
                epochs::plan_set(*which, *epoch, ops);
            }
            DiskCommand::Truncate { to, .. } => {
                if planted!(self.config.museum, P13) {
                    self.commit(ops);
                } else {
                    self.roll(ops);
                }
                return Some(Rewrite::truncate(*to, self.config));
            }
            DiskCommand::Install { view, .. } => {
                self.roll(ops);
                return Some(Rewrite::install((**view).clone(), self.config));
            }
        }
        None
    }

    /// Plans one record's write.
    pub fn append(&mut self, record: &LogRecord, ops: &mut Vec<FileOp>) {
        if self.batch.len() + record.bytes.len() > (BATCH_MAX / 2) as usize {
            // A batch beyond that could not be told from rot if it were torn.
            self.commit(ops);
        }
        if self.current.is_none() {
            self.create(record.zxid, ops);
        }
        let prealloc = self.config.prealloc;
        let current = self.current.as_mut().expect("created above");
        let size = padded_size(current.position, current.size, prealloc);
        if size > current.size {
            ops.push(FileOp::Allocate { file: current.file.clone(), len: size });
            current.size = size;
        }
        let before = self.batch.len();
        txnlog::put_record(&record.bytes, &mut self.batch);
        current.position += (self.batch.len() - before) as u64;
        current.size = current.size.max(current.position);
    }

    /// Plans what makes everything planned so far durable: group commit is many `plan`s and one `commit`.
    pub fn commit(&mut self, ops: &mut Vec<FileOp>) {
        self.flush(ops);
        let Some(current) = &mut self.current else { return };
        if self.config.force_sync {
            ops.push(FileOp::SyncData(current.file.clone()));
            if core::mem::take(&mut current.fresh) {
                ops.push(FileOp::SyncDir(Dir::Log));
            }
        }
    }

    /// Bytes in the present log file, preallocation included (Java's `snapSizeLimitInKb` counts those).
    pub fn log_size(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.size)
    }

    /// Forgets the file being written: after a truncation its position means nothing (bug museum P13).
    pub fn forget(&mut self) {
        assert!(self.batch.is_empty(), "invariant: a log is truncated with nothing under way");
        self.current = None;
    }

    fn create(&mut self, first: Zxid, ops: &mut Vec<FileOp>) {
        let file = layout::log_name(first);
        ops.push(FileOp::Create(file.clone()));
        self.batch.put_slice(&HEADER);
        self.batch_at = 0;
        self.current = Some(Current { file, position: HEADER_LEN, size: HEADER_LEN, fresh: true });
    }

    fn flush(&mut self, ops: &mut Vec<FileOp>) {
        if self.batch.is_empty() {
            return;
        }
        let current = self.current.as_ref().expect("invariant: a batch has a file");
        let bytes = self.batch.split().freeze();
        let offset = self.batch_at;
        self.batch_at += bytes.len() as u64;
        ops.push(FileOp::WriteAt { file: current.file.clone(), offset, bytes });
    }

    /// The next record begins a new file; this one is durable and closed before.
    fn roll(&mut self, ops: &mut Vec<FileOp>) {
        if self.current.is_some() {
            self.commit(ops);
            let current = self.current.take().expect("tested above");
            ops.push(FileOp::Close(current.file));
        }
    }
}

/// The size of a file that is about to get a record at `position` (Java: FilePadding.calculateFileSizeWithPadding).
const fn padded_size(position: u64, size: u64, prealloc: u64) -> u64 {
    if prealloc == 0 || position + 4096 < size {
        return size;
    }
    if position > size {
        let grown = position + prealloc;
        return grown - grown % prealloc;
    }
    size + prealloc
}

/// Plans the truncation of log and snapshots to `to`: records with a higher zxid go, and so does every file that holds
/// nothing else, and every snapshot that may hold their effects (bug museum P12, P20). What is left is durable when the
/// operations have been carried out; a crash between any two leaves a log that ends at or beyond `to`, without a hole.
pub fn plan_truncate(vfs: &mut impl Vfs, config: &DiskConfig, to: Zxid) -> Result<Vec<FileOp>, DiskFault> {
    let mut ops = Vec::new();
    let io = |error| DiskFault::Io { file: alloc::string::String::from("version-2"), op: "list", error };
    let snapshots = vfs.list(Dir::Snap).map_err(io)?;
    let beyond = |name: &str| layout::snapshot(name).is_some_and(|snapshot| snapshot.zxid > to);
    let mut names: Vec<_> = snapshots.into_iter().map(|(name, _)| name).filter(|name| beyond(name)).collect();
    names.sort_unstable();
    if planted!(config.museum, P20) {
        names.clear();
    }
    for name in names {
        ops.push(FileOp::Unlink(FileName { dir: Dir::Snap, name }));
    }
    if !ops.is_empty() {
        ops.push(FileOp::SyncDir(Dir::Snap));
    }
    let mut logs: Vec<_> = vfs
        .list(Dir::Log)
        .map_err(io)?
        .into_iter()
        .filter_map(|(name, size)| Some((layout::log_zxid(&name)?, name, size)))
        .collect();
    logs.sort_unstable();
    // The newest first: what is left in between is never a log with a hole.
    for (first, name, size) in logs.into_iter().rev() {
        let file = FileName { dir: Dir::Log, name };
        if first > to {
            ops.push(FileOp::Unlink(file));
            ops.push(FileOp::SyncDir(Dir::Log));
            continue;
        }
        let last = if planted!(config.museum, P12) { Zxid(to.0 - 1) } else { to };
        if let Some(cut) = cut_after(vfs, &file, size, config.record_max, last)? {
            ops.push(FileOp::SetLen { file: file.clone(), len: cut });
            ops.push(FileOp::SyncData(file));
        }
        break;
    }
    Ok(ops)
}

/// Where the file's first record beyond `to` begins; `None` if there is none and the file ends cleanly.
fn cut_after(
    vfs: &mut impl Vfs,
    file: &FileName,
    size: u64,
    record_max: usize,
    to: Zxid,
) -> Result<Option<u64>, DiskFault> {
    let mut reader = LogReader::open(vfs, file.clone(), size, record_max)?;
    while let Some(record) = reader.next_record()? {
        if record.zxid().is_none_or(|zxid| zxid > to) {
            return Ok(Some(record.offset));
        }
    }
    Ok(match reader.end() {
        Some(LogEnd::Torn { offset }) => Some(offset),
        _ => None,
    })
}
