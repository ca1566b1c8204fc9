//! Java's files: formats, the order of writes, and recovery. Names files; never opens one.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::tree::TreeConfig;

mod damage;
pub mod epochs;
pub mod history;
pub mod layout;
pub mod planner;
pub mod purge;
pub mod recovery;
pub mod rewrite;
mod snappy;
pub mod snapshot;
pub mod snapshot_reader;
mod stream;
pub mod txnlog;

/// Which directory a file is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dir {
    /// `dataDir/version-2`: snapshots and epoch files.
    Snap,
    /// `dataLogDir/version-2`: transaction logs. May be the same directory as `Snap`.
    Log,
    /// `dataDir` itself: `myid`, `initialize`.
    Data,
}

/// A file by directory and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// Where.
    pub dir: Dir,
    /// Its name there.
    pub name: String,
}

/// One operation on a file. Both drivers execute exactly these, in this order; a crash may fall between any two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOp {
    /// Create or truncate to nothing.
    Create(FileName),
    /// Extend to `len` bytes of zeros beyond the present end (preallocation).
    Allocate {
        /// The file.
        file: FileName,
        /// New length, bytes.
        len: u64,
    },
    /// Write these bytes there.
    WriteAt {
        /// The file.
        file: FileName,
        /// Where.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// Cut or extend to `len` bytes.
    SetLen {
        /// The file.
        file: FileName,
        /// New length, bytes.
        len: u64,
    },
    /// The file's data (and length) survive a power cut from here on.
    SyncData(FileName),
    /// Replaces `to`.
    Rename {
        /// Present name.
        from: FileName,
        /// New name, in the same directory.
        to: FileName,
    },
    /// The directory's entries survive a power cut from here on.
    SyncDir(Dir),
    /// Remove the file; not an error if it is not there.
    Unlink(FileName),
    /// The planner is done with this file: a driver may close its handle.
    Close(FileName),
}

/// Reading files at start: the one synchronous interface of the core. Errors are the operating system's words.
pub trait Vfs {
    /// Names and sizes of the files in `dir`, in any order; an absent directory is empty.
    fn list(&mut self, dir: Dir) -> Result<Vec<(String, u64)>, String>;
    /// Reads up to `len` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&mut self, file: &FileName, offset: u64, len: usize) -> Result<Bytes, String>;
}

/// What the disk room needs to know of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// `preAllocSize` in bytes; 0 is off.
    pub prealloc: u64,
    /// `forceSync`: false skips every sync of the log, as Java's `forceSync=no` does.
    pub force_sync: bool,
    /// `zookeeper.snapshot.compression.method`.
    pub compression: Compression,
    /// `zookeeper.snapshot.trust.empty`.
    pub trust_empty: bool,
    /// `zookeeper.digest.enabled`: write digest sections.
    pub digest: bool,
    /// `jute.maxbuffer` + extrasize: the longest record, bytes.
    pub record_max: usize,
    /// Of the tree that is read.
    pub tree: TreeConfig,
    /// A bug to plant.
    #[cfg(feature = "museum")]
    pub museum: Option<crate::museum::Exhibit>,
}

/// How snapshots are compressed, and what their name ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
}
