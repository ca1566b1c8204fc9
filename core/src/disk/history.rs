//! What the log on disk holds for a learner that is far behind (quorum protocol B4, rule 4).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::txnlog::LogReader;
use super::{Dir, DiskConfig, FileName, Vfs, layout};
use crate::action::LogRecord;
use crate::error::DiskFault;
use crate::ids::Zxid;
use crate::input::LogPart;
use crate::replica::LogShare;

/// Bytes of txns that are read for one learner at most. Whoever lacks more gets a snapshot.
const PART_MAX: usize = 256 << 20;

/// Reads the log from the last txn at or before `from` through the first at or after `to`.
///
/// The log may be written meanwhile: what is read lies far before its end. An error means that the learner had better get
/// a snapshot, and nothing worse.
pub fn read(
    vfs: &mut impl Vfs,
    config: &DiskConfig,
    from: Zxid,
    to: Zxid,
    limit: LogShare,
) -> Result<LogPart, DiskFault> {
    let mut logs: Vec<_> = list(vfs, Dir::Log)?
        .into_iter()
        .filter_map(|(name, size)| Some((layout::log_zxid(&name)?, name, size)))
        .collect();
    logs.sort_unstable();
    let Some(first) = logs.iter().rposition(|(begins, ..)| *begins <= from) else {
        return Ok(LogPart::Unfit);
    };
    logs.drain(..first);
    if !is_short(vfs, logs.iter().map(|(.., size)| size).sum(), limit)? {
        return Ok(LogPart::Unfit);
    }
    let mut records: Vec<LogRecord> = Vec::new();
    let mut bytes = 0;
    for (_, name, size) in logs {
        let file = FileName { dir: Dir::Log, name };
        let mut reader = LogReader::open(vfs, file.clone(), size, config.record_max)?;
        while let Some(record) = reader.next_record()? {
            let Some(zxid) = record.zxid() else { continue };
            if zxid <= from {
                records.clear();
                bytes = 0;
            } else if records.last().is_some_and(|last| zxid <= last.zxid) {
                // A file that begins again with what the torn end of the one before it held.
                continue;
            }
            bytes += record.bytes.len();
            if bytes > PART_MAX {
                return Ok(LogPart::Unfit);
            }
            records.push(LogRecord { zxid, bytes: record.bytes });
            if zxid >= to {
                return Ok(LogPart::Records(records));
            }
        }
    }
    Ok(LogPart::Unfit)
}

/// Whether files of this many bytes may be sent instead of a snapshot. Padding counts, as in Java.
fn is_short(vfs: &mut impl Vfs, bytes: u64, limit: LogShare) -> Result<bool, DiskFault> {
    Ok(match limit {
        LogShare::Never => false,
        LogShare::Any => true,
        LogShare::OfSnapshot { permille } => {
            let snapshots = list(vfs, Dir::Snap)?;
            let newest = snapshots
                .into_iter()
                .filter_map(|(name, size)| {
                    layout::snapshot(&name).filter(|s| !s.temporary).map(|s| (s.zxid, size))
                })
                .max();
            newest
                .is_some_and(|(_, size)| u128::from(bytes) * 1000 <= u128::from(size) * u128::from(permille))
        }
    })
}

fn list(vfs: &mut impl Vfs, dir: Dir) -> Result<Vec<(String, u64)>, DiskFault> {
    vfs.list(dir).map_err(|error| DiskFault::Io { file: format!("{dir:?} directory"), op: "list", error })
}
