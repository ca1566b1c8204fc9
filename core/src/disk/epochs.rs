//! The epoch files (disk format §2): what a server accepted, and what it established.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

use super::{Dir, FileName, FileOp, Vfs, layout};
use crate::error::DiskFault;
use crate::ids::Zxid;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EpochKind {
    /// The newest epoch that a leader proposed and this server agreed to.
    Accepted,
    /// The newest epoch whose leader's history this server took over.
    Current,
}

impl EpochKind {
    /// The file's name, as Java's.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch",
            Self::Current => "currentEpoch",
        }
    }
}

/// Both epochs of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Epochs {
    /// See [`EpochKind::Accepted`].
    pub accepted: u32,
    /// See [`EpochKind::Current`].
    pub current: u32,
}

/// Plans a durable change of one of the files.
pub fn plan_set(kind: EpochKind, epoch: u32, ops: &mut Vec<FileOp>) {
    let file = FileName { dir: Dir::Snap, name: String::from(kind.file()) };
    let temporary = layout::temporary(&file);
    let bytes = Bytes::from(epoch.to_string());
    ops.push(FileOp::Create(temporary.clone()));
    ops.push(FileOp::WriteAt { file: temporary.clone(), offset: 0, bytes });
    ops.push(FileOp::SyncData(temporary.clone()));
    ops.push(FileOp::Close(temporary.clone()));
    ops.push(FileOp::Rename { from: temporary, to: file });
    ops.push(FileOp::SyncDir(Dir::Snap));
}

/// Reads the files of a server whose log ends at `last`; `None` where there are none, as standalone.
///
/// A log that reaches into an epoch that was accepted and not established is what a crash in mid-synchronisation leaves;
/// the server then stands by the epoch that it had established, since it cannot know that it has all of the newer one's
/// history (ZOOKEEPER-4643). Everything else that does not fit together is refused.
///
/// An established epoch that was concluded from what a crash left beside its file is to be written before anybody is told of it,
/// since what it was concluded from may be lost with the power: that is added to `repairs`.
pub fn read(vfs: &mut impl Vfs, last: Zxid, repairs: &mut Vec<FileOp>) -> Result<Option<Epochs>, DiskFault> {
    let accepted = read_one(vfs, EpochKind::Accepted)?;
    let written = read_one(vfs, EpochKind::Current)?;
    let (accepted, current) = match (accepted, written) {
        (None, None) => return Ok(None),
        (Some(accepted), Some(current)) => (accepted, current),
        (None, Some(current)) => return Err(missing(EpochKind::Accepted, current)),
        // The first epoch of a server is accepted before any is established.
        (Some(accepted), None) => (accepted, last.epoch().min(accepted)),
    };
    let current = taken_over(vfs, last, Epochs { accepted, current })?;
    if current > accepted {
        let what = format!("acceptedEpoch, which is {accepted} and must be at least that");
        return Err(contradiction(EpochKind::Current, current, what));
    }
    if last.epoch() > accepted {
        let what = format!("the log, which ends at {last}, in an epoch that was never accepted");
        return Err(contradiction(EpochKind::Accepted, accepted, what));
    }
    if written != Some(current) {
        plan_set(EpochKind::Current, current, repairs);
    }
    Ok(Some(Epochs { accepted, current }))
}

/// The established epoch where a crash fell between the history of a new one and its file: what is about to become the
/// file tells of an epoch whose history is durable already, and so does the marker of 3.4 (disk format §2).
fn taken_over(vfs: &mut impl Vfs, last: Zxid, epochs: Epochs) -> Result<u32, DiskFault> {
    let Epochs { accepted, current } = epochs;
    if last.epoch() <= current {
        return Ok(current);
    }
    let io = |error| DiskFault::Io { file: String::from("version-2"), op: "list", error };
    let names = vfs.list(Dir::Snap).map_err(io)?;
    let there = |wanted: &str| names.iter().any(|(name, _)| name == wanted);
    if there("updatingEpoch") && last.epoch() <= accepted {
        return Ok(last.epoch());
    }
    let temporary = "currentEpoch.tmp";
    if !there(temporary) {
        return Ok(current);
    }
    let file = FileName { dir: Dir::Snap, name: String::from(temporary) };
    let bytes = vfs.read_at(&file, 0, 64).map_err(|error| DiskFault::Io {
        file: file.name.clone(),
        op: "read",
        error,
    })?;
    let about_to_be = core::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse::<u32>().ok());
    Ok(about_to_be.filter(|epoch| (current..=accepted).contains(epoch)).unwrap_or(current))
}

fn read_one(vfs: &mut impl Vfs, kind: EpochKind) -> Result<Option<u32>, DiskFault> {
    let file = FileName { dir: Dir::Snap, name: String::from(kind.file()) };
    let io = |error| DiskFault::Io { file: String::from(kind.file()), op: "read", error };
    if !vfs.list(Dir::Snap).map_err(io)?.iter().any(|(name, _)| name == kind.file()) {
        return Ok(None);
    }
    let bytes = vfs.read_at(&file, 0, 64).map_err(io)?;
    let text = String::from_utf8_lossy(&bytes);
    let number = text.lines().next().unwrap_or_default().trim();
    match number.parse::<i32>().ok().and_then(|epoch| u32::try_from(epoch).ok()) {
        Some(epoch) => Ok(Some(epoch)),
        None => Err(DiskFault::Corrupt {
            file: String::from(kind.file()),
            offset: 0,
            what: format!("expected a decimal epoch, found {number:?}"),
        }),
    }
}

fn contradiction(kind: EpochKind, found: u32, what: String) -> DiskFault {
    DiskFault::Epoch { file: String::from(kind.file()), found: found.into(), what }
}

fn missing(kind: EpochKind, other: u32) -> DiskFault {
    let what = format!("it is not there, and the other epoch file says {other}");
    DiskFault::Missing { file: String::from(kind.file()), what }
}
