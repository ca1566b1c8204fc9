//! Names of files, and what they say (disk format §1).

use alloc::format;
use alloc::string::String;

use super::{Compression, Dir, FileName};
use crate::ids::Zxid;

/// `log.<zxid of its first record>`.
pub fn log_name(first: Zxid) -> FileName {
    FileName { dir: Dir::Log, name: format!("log.{:x}", first.0) }
}

/// `snapshot.<zxid>`, with the extension of its compression.
pub fn snapshot_name(zxid: Zxid, compression: Compression) -> FileName {
    let extension = match compression {
        Compression::None => "",
        Compression::Gzip => ".gz",
        Compression::Snappy => ".snappy",
    };
    FileName { dir: Dir::Snap, name: format!("snapshot.{:x}{extension}", zxid.0) }
}

/// The name a file has until it is whole and durable.
pub fn temporary(file: &FileName) -> FileName {
    FileName { dir: file.dir, name: format!("{}.tmp", file.name) }
}

/// The zxid in the name of a log file; `None` for every other file.
pub fn log_zxid(name: &str) -> Option<Zxid> {
    zxid_in(name, "log.")
}

/// A snapshot by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotName {
    /// The state in it is at least of this zxid.
    pub zxid: Zxid,
    /// As the name says.
    pub compression: Compression,
    /// It was not whole, or not durable, when its writer ended. Java takes it for a snapshot like any other.
    pub temporary: bool,
}

/// What the name of a snapshot says; `None` for every other file.
pub fn snapshot(name: &str) -> Option<SnapshotName> {
    let zxid = zxid_in(name, "snapshot.")?;
    let temporary = name.ends_with(".tmp");
    let compression = match name.trim_end_matches(".tmp").rsplit_once('.') {
        Some((_, "gz")) => Compression::Gzip,
        Some((_, "snappy")) => Compression::Snappy,
        _ => Compression::None,
    };
    Some(SnapshotName { zxid, compression, temporary })
}

/// The hex number behind the prefix, up to the next dot.
fn zxid_in(name: &str, prefix: &str) -> Option<Zxid> {
    let digits = name.strip_prefix(prefix)?.split('.').next()?;
    let plain = digits.starts_with(|c: char| c.is_ascii_hexdigit());
    if plain { i64::from_str_radix(digits, 16).ok().map(Zxid) } else { None }
}

/// The file's name with its directory, as an operator knows it.
pub(super) fn shown(file: &FileName) -> String {
    file.name.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_java_s() {
        assert_eq!(log_name(Zxid(0x1_0000_0001)).name, "log.100000001");
        assert_eq!(snapshot_name(Zxid(0), Compression::None).name, "snapshot.0");
        assert_eq!(temporary(&snapshot_name(Zxid(0x1f), Compression::Gzip)).name, "snapshot.1f.gz.tmp");
        assert_eq!(log_zxid("log.1c"), Some(Zxid(0x1c)));
        for other in ["log", "log.", "log.x", "log.-1", "logs.1", "snapshot.1", "log.8000000000000000"] {
            assert_eq!(log_zxid(other), None, "{other}");
        }
    }

    #[test]
    fn the_last_part_of_a_snapshot_s_name_says_how_it_is_compressed() {
        let named = |name| snapshot(name).map(|s| (s.zxid.0, s.compression, s.temporary));
        assert_eq!(named("snapshot.5"), Some((5, Compression::None, false)));
        assert_eq!(named("snapshot.5.gz"), Some((5, Compression::Gzip, false)));
        assert_eq!(named("snapshot.5.snappy"), Some((5, Compression::Snappy, false)));
        assert_eq!(named("snapshot.5.tmp"), Some((5, Compression::None, true)));
        assert_eq!(named("snapshot.5.gz.tmp"), Some((5, Compression::Gzip, true)));
        assert_eq!(named("snapshot.5.other"), Some((5, Compression::None, false)));
        assert_eq!(named("acceptedEpoch"), None);
    }
}
