//! Which files are no longer needed (disk format §8).

use alloc::string::String;
use alloc::vec::Vec;

use super::rewrite::plan_unlink;
use super::{Dir, FileName, FileOp, Vfs, layout, snapshot};
use crate::error::DiskFault;
use crate::ids::Zxid;

/// Fewer retained snapshots than this are not allowed, as in Java.
pub const RETAIN_MIN: usize = 3;

/// Plans a purge that keeps the `retain` newest *valid* snapshots and every log needed with the oldest of them.
///
/// The oldest files go first, logs after snapshots, and each is gone for good before the next one goes: a power cut in
/// between leaves no log with a hole, which neither a recovery nor a learner would see between two epochs. Snapshots that never became whole go with those older than the oldest that is kept.
pub fn plan(vfs: &mut impl Vfs, retain: usize) -> Result<Vec<FileOp>, DiskFault> {
    let io = |error| DiskFault::Io { file: String::from("version-2"), op: "list", error };
    let mut snapshots = Vec::new();
    for (name, size) in vfs.list(Dir::Snap).map_err(io)? {
        if let Some(named) = layout::snapshot(&name) {
            snapshots.push((named, name, size));
        }
    }
    snapshots.sort_unstable_by(|a, b| (b.0.zxid, &b.1).cmp(&(a.0.zxid, &a.1)));
    let mut kept = 0;
    let mut oldest = None;
    for (named, name, size) in &snapshots {
        if kept == retain.max(RETAIN_MIN) {
            break;
        }
        if !named.temporary && is_whole(vfs, named.compression, name, *size)? {
            kept += 1;
            oldest = Some(named.zxid);
        }
    }
    if kept < retain.max(RETAIN_MIN) {
        return Ok(Vec::new());
    }
    let oldest: Zxid = oldest.expect("at least three were kept");
    let mut ops = Vec::new();
    let doomed = snapshots.into_iter().filter(|(named, ..)| named.zxid < oldest);
    plan_unlink(Dir::Snap, doomed.map(|(named, name, _)| (named.zxid, name)).collect(), &mut ops);
    let logs = vfs.list(Dir::Log).map_err(io)?;
    let mut logs: Vec<_> =
        logs.into_iter().filter_map(|(name, _)| Some((layout::log_zxid(&name)?, name))).collect();
    logs.sort_unstable();
    // The last file that begins at or before the snapshot's zxid may hold the txns right behind it.
    let needed = logs.iter().rposition(|(first, _)| *first <= oldest).unwrap_or(0);
    logs.truncate(needed);
    plan_unlink(Dir::Log, logs, &mut ops);
    Ok(ops)
}

/// The test that recovery makes before it reads a snapshot.
pub(super) fn is_whole(
    vfs: &mut impl Vfs,
    compression: super::Compression,
    name: &str,
    size: u64,
) -> Result<bool, DiskFault> {
    let file = FileName { dir: Dir::Snap, name: String::from(name) };
    let mut read = |offset| {
        vfs.read_at(&file, offset, 8).map_err(|error| DiskFault::Io {
            file: layout::shown(&file),
            op: "read",
            error,
        })
    };
    let (first, last) = (read(0)?, read(size.saturating_sub(5))?);
    Ok(snapshot::looks_whole(compression, &first, &last, size))
}
