//! From files to a tree (disk format §7).
//!
//! The newest snapshot that reads with right checksums, and every logged txn behind it, in order and without a hole.
//! Nothing on the disk is changed here: what should change is in [`Recovered::repairs`], and a driver carries it out before
//! anything else. Recovering again, before or after the repairs, yields the same.
//!
//! **What was read is not durable for that.** A process that was killed leaves records in the page cache that no sync has
//! brought to the disk, and after a sync that failed the cache even claims that they are there. They are about to be shown
//! to clients, so the repairs write the end of the log again (as much as one batch may have been) and sync it, and the
//! directories.
//!
//! Where Java goes on and data that was promised may be missing, this refuses: a hole in the zxids of an epoch (also
//! between snapshot and log), damage in a log that no power cut explains ([`super::txnlog`]), and a log that ends before a
//! snapshot that cannot be read any more: its name says what was there once.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use super::epochs::{self, Epochs};
use super::snapshot_reader::{self, SnapshotDigest, SnapshotParser};
use super::txnlog::{LogEnd, LogReader, Record};
use super::{Dir, DiskConfig, FileName, FileOp, Vfs, layout, purge, snapshot};
use crate::error::DiskFault;
use crate::event::Event;
use crate::ids::Zxid;
use crate::tree::{ApplyMode, Changes, Tree};
use crate::wire::txn::Txn;

/// What recovery found.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The tree with everything replayed.
    pub tree: Tree,
    /// The last zxid of snapshot or log.
    pub last_zxid: Zxid,
    /// What the epoch files say; `None` where there are none. They do not contradict the log.
    pub epochs: Option<Epochs>,
    /// The last (at most 500) txns replayed, for DIFF.
    pub recent: Vec<Arc<Txn>>,
    /// What an operator should hear.
    pub events: Vec<Event>,
    /// File operations to carry out (in order) before anything else: such as removing an empty newest log.
    pub repairs: Vec<FileOp>,
}

/// How many replayed txns are kept (Java: `commitLogCount`).
pub const RECENT: usize = 500;
/// How many snapshots are tried (Java: 100).
const CANDIDATES: usize = 100;

/// Reads snapshots and logs and replays them. Refuses, naming file and offset, whenever data that was promised might
/// be missing; changes nothing on disk (what should change is in [`Recovered::repairs`]).
pub fn recover(vfs: &mut impl Vfs, config: &DiskConfig) -> Result<Recovered, DiskFault> {
    let mut events = Vec::new();
    let logs = list_logs(vfs)?;
    let Newest { base, unread } = newest_snapshot(vfs, config, &mut events, Bound::Everything)?;
    let base = match base {
        Some(base) => base,
        None => without_snapshot(vfs, config, &logs)?,
    };
    let snapshot = base.0.last_zxid();
    let mut replay = Replay::over(base, config, events, Bound::Everything);
    replay.read(vfs, &logs)?;
    replay.reaches(unread)?;
    replay.drop_what_does_not_join(vfs, &logs, snapshot)?;
    replay.finish_files(vfs)?;
    replay.recovered(vfs)
}

/// The state as of `to`, which is what a server needs whose leader wants it cut back: the files stay as they are, and there
/// are no repairs. Refused if no snapshot goes back so far. A fuzzy one may hold effects of txns beyond `to`, so it must
/// say in its sections that it does not.
pub fn recover_to(vfs: &mut impl Vfs, config: &DiskConfig, to: Zxid) -> Result<Recovered, DiskFault> {
    let mut events = Vec::new();
    let logs = list_logs(vfs)?;
    let Some(base) = newest_snapshot(vfs, config, &mut events, Bound::Through(to))?.base else {
        let what = format!("there is no snapshot in it from which the state as of {to} could be rebuilt");
        return Err(DiskFault::Missing { file: String::from("version-2"), what });
    };
    let mut replay = Replay::over(base, config, events, Bound::Through(to));
    replay.read(vfs, &logs)?;
    replay.repairs.clear();
    replay.recovered(vfs)
}

/// How much of the history counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Everything,
    /// Nothing beyond this zxid.
    Through(Zxid),
}

impl Bound {
    fn holds(self, zxid: Zxid) -> bool {
        match self {
            Self::Everything => true,
            Self::Through(to) => zxid <= to,
        }
    }

    /// Whether a snapshot of this name may be read at all, and, once it is read, begun with.
    fn allows(self, named: Zxid, digest: Option<&SnapshotDigest>) -> bool {
        match self {
            Self::Everything => true,
            Self::Through(to) => named <= to && digest.map_or(named == Zxid::ZERO, |d| d.zxid <= to),
        }
    }
}

/// Where a log file stands among those that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// There are newer ones.
    Earlier,
    /// All that may hold something behind the snapshot were read before it.
    Newest,
    /// It is the newest, and the ones before it were not read: that it is there at all says that they hold nothing behind the
    /// snapshot, whatever has become of them. So it stays.
    BehindTheSnapshot,
}

/// A log file: first zxid by its name, name, size.
type LogFile = (Zxid, String, u64);

fn list_logs(vfs: &mut impl Vfs) -> Result<Vec<LogFile>, DiskFault> {
    let all = vfs.list(Dir::Log).map_err(|error| list_error(Dir::Log, error))?;
    let mut logs: Vec<LogFile> =
        all.into_iter().filter_map(|(name, size)| Some((layout::log_zxid(&name)?, name, size))).collect();
    logs.sort_unstable();
    Ok(logs)
}

fn list_error(dir: Dir, error: String) -> DiskFault {
    DiskFault::Io { file: format!("{dir:?} directory"), op: "list", error }
}

/// No snapshot is usable: a new database, or a refusal.
fn without_snapshot(
    vfs: &mut impl Vfs,
    config: &DiskConfig,
    logs: &[LogFile],
) -> Result<(Tree, Option<SnapshotDigest>), DiskFault> {
    let snapshots = vfs.list(Dir::Snap).map_err(|error| list_error(Dir::Snap, error))?;
    let broken: Vec<_> = snapshots.iter().filter(|(name, _)| layout::snapshot(name).is_some()).collect();
    let finished = broken.iter().filter(|(name, _)| !name.ends_with(".tmp")).count();
    if finished > 0 {
        let what = format!("none of the {finished} snapshots in it can be read");
        return Err(DiskFault::Missing { file: String::from("version-2"), what });
    }
    for (_, name, size) in logs {
        let file = FileName { dir: Dir::Log, name: name.clone() };
        let mut reader = LogReader::open(vfs, file, *size, config.record_max)?;
        if reader.next_record()?.is_some() && !config.trust_empty {
            let what = format!(
                "there is no snapshot, though {name} holds transactions (snapshot.trust.empty is false)"
            );
            return Err(DiskFault::Missing { file: String::from("version-2"), what });
        }
    }
    Ok((Tree::with_config(config.tree), None))
}

/// What the snapshots yield.
#[derive(Default)]
struct Newest {
    /// The newest one that reads.
    base: Option<(Tree, Option<SnapshotDigest>)>,
    /// The newest finished one that does not, by its name, and the file.
    unread: Option<(Zxid, String)>,
}

fn newest_snapshot(
    vfs: &mut impl Vfs,
    config: &DiskConfig,
    events: &mut Vec<Event>,
    bound: Bound,
) -> Result<Newest, DiskFault> {
    let all = vfs.list(Dir::Snap).map_err(|error| list_error(Dir::Snap, error))?;
    let mut candidates: Vec<_> =
        all.into_iter().filter_map(|(name, size)| Some((layout::snapshot(&name)?, name, size))).collect();
    candidates.retain(|(named, ..)| bound.holds(named.zxid));
    // Finished ones first, each kind newest first.
    candidates.sort_unstable_by(|a, b| {
        (a.0.temporary, core::cmp::Reverse(a.0.zxid), &a.1).cmp(&(
            b.0.temporary,
            core::cmp::Reverse(b.0.zxid),
            &b.1,
        ))
    });
    let mut newest = Newest::default();
    for (named, name, size) in candidates.into_iter().take(CANDIDATES) {
        let why = if purge::is_whole(vfs, named.compression, &name, size)? {
            match read_snapshot(vfs, config, named, &name) {
                Ok(read) if bound.allows(named.zxid, read.1.as_ref()) => {
                    newest.base = Some(read);
                    return Ok(newest);
                }
                Ok(_) => continue,
                Err(DiskFault::Corrupt { offset, what, .. }) => format!("at byte {offset}: {what}"),
                Err(fault) => return Err(fault),
            }
        } else {
            snapshot::describe(named.compression)
        };
        if !named.temporary {
            newest.unread.get_or_insert_with(|| (named.zxid, name.clone()));
        }
        events.push(Event::SnapshotSkipped { file: name, why });
    }
    Ok(newest)
}

/// Reads one snapshot file. The tree is as of the zxid in its name, if it is exact; a fuzzy one has effects of later txns.
pub fn read_snapshot(
    vfs: &mut impl Vfs,
    config: &DiskConfig,
    named: layout::SnapshotName,
    name: &str,
) -> Result<(Tree, Option<SnapshotDigest>), DiskFault> {
    let file = FileName { dir: Dir::Snap, name: String::from(name) };
    let corrupt = |offset, what| DiskFault::Corrupt { file: layout::shown(&file), offset, what };
    let parser = SnapshotParser::new(config.record_max, config.tree);
    let parser = snapshot_reader::feed(vfs, &file, named.compression, parser)?;
    parser.finish(named.zxid).map_err(|(offset, what)| corrupt(offset, what))
}

/// The log over a snapshot.
struct Replay<'a> {
    tree: Tree,
    last: Zxid,
    config: &'a DiskConfig,
    bound: Bound,
    snapshot_digest: Option<SnapshotDigest>,
    recent: VecDeque<Arc<Txn>>,
    events: Vec<Event>,
    repairs: Vec<FileOp>,
    changes: Changes,
    mismatch_told: bool,
    /// The last file that has records, and where they end.
    tail: Option<(FileName, u64)>,
}

impl<'a> Replay<'a> {
    fn over(
        (tree, snapshot_digest): (Tree, Option<SnapshotDigest>),
        config: &'a DiskConfig,
        events: Vec<Event>,
        bound: Bound,
    ) -> Self {
        #[cfg(feature = "museum")]
        let tree = tree.with_museum(config.museum);
        Self {
            last: tree.last_zxid(),
            tree,
            config,
            bound,
            snapshot_digest,
            recent: VecDeque::new(),
            events,
            repairs: Vec::new(),
            changes: Changes::new(),
            mismatch_told: false,
            tail: None,
        }
    }

    fn read(&mut self, vfs: &mut impl Vfs, logs: &[LogFile]) -> Result<(), DiskFault> {
        self.compare_snapshot();
        // The last file that begins at or before the snapshot may hold what follows it, unless that begins a file itself.
        let next = logs.iter().position(|(zxid, ..)| Some(*zxid) == self.last.next());
        let first = next.or_else(|| logs.iter().rposition(|(zxid, ..)| *zxid <= self.last)).unwrap_or(0);
        for (i, log) in logs.iter().enumerate().skip(first) {
            if self.bound.holds(log.0) {
                let place = if i + 1 < logs.len() {
                    Place::Earlier
                } else if i > first || i == 0 {
                    Place::Newest
                } else {
                    Place::BehindTheSnapshot
                };
                self.file(vfs, log, place)?;
            }
        }
        Ok(())
    }

    /// A finished snapshot is renamed into place when it is durable, so what its name says was there. If it cannot be read and
    /// the log ends before that, what looks like the torn end of a log is not one.
    fn reaches(&self, unread: Option<(Zxid, String)>) -> Result<(), DiskFault> {
        let Some((zxid, name)) = unread.filter(|(zxid, _)| *zxid > self.last) else { return Ok(()) };
        let file = layout::shown(&FileName { dir: Dir::Snap, name });
        let what = format!("it cannot be read, and without it the data ends at {} before {zxid}", self.last);
        Err(DiskFault::Missing { file, what })
    }

    /// Whatever is older than the snapshot goes if the log does not lead up to it. That is so when a power cut came right after
    /// a leader's snapshot had been installed, or when a follower's own snapshot, of what others hold, was faster than its log.
    /// The log that is written from now on would look like the continuation of the old one, since an epoch may begin with any
    /// number: learners would be given a history with a hole in it, and so would the next recovery if this snapshot rots.
    fn drop_what_does_not_join(
        &mut self,
        vfs: &mut impl Vfs,
        logs: &[LogFile],
        snapshot: Zxid,
    ) -> Result<(), DiskFault> {
        let older: Vec<_> = logs.iter().filter(|(first, ..)| *first <= snapshot).collect();
        let joins = older.last().is_some_and(|log| self.may_hold(vfs, log, snapshot));
        // Java names snapshots by epochs without a txn, too.
        if snapshot.counter() == 0 || joins {
            return Ok(());
        }
        let names = vfs.list(Dir::Snap).map_err(|error| list_error(Dir::Snap, error))?;
        let is_older = |name: &str| layout::snapshot(name).is_some_and(|named| named.zxid < snapshot);
        let mut names: Vec<_> =
            names.into_iter().map(|(name, _)| name).filter(|name| is_older(name)).collect();
        names.sort_unstable();
        for name in names {
            self.repairs.push(FileOp::Unlink(FileName { dir: Dir::Snap, name }));
        }
        // No old snapshot without its log.
        self.repairs.push(FileOp::SyncDir(Dir::Snap));
        for (_, name, _) in older {
            let file = FileName { dir: Dir::Log, name: name.clone() };
            self.tail.take_if(|(tail, _)| *tail == file);
            self.repairs.push(FileOp::Unlink(file));
        }
        Ok(())
    }

    /// Whether a log file holds a txn. If it cannot be read through nobody knows, and it may.
    fn may_hold(&self, vfs: &mut impl Vfs, (_, name, size): &LogFile, zxid: Zxid) -> bool {
        let file = FileName { dir: Dir::Log, name: name.clone() };
        let Ok(mut reader) = LogReader::open(vfs, file, *size, self.config.record_max) else { return true };
        loop {
            match reader.next_record() {
                Ok(Some(record)) if record.zxid() == Some(zxid) => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    /// What was read becomes durable, and what was torn goes.
    fn finish_files(&mut self, vfs: &mut impl Vfs) -> Result<(), DiskFault> {
        if let Some((file, end)) = self.tail.take() {
            self.write_again(vfs, &file, end)?;
        }
        self.repairs.push(FileOp::SyncDir(Dir::Log));
        self.repairs.push(FileOp::SyncDir(Dir::Snap));
        Ok(())
    }

    fn recovered(self, vfs: &mut impl Vfs) -> Result<Recovered, DiskFault> {
        let Self { tree, last, recent, events, mut repairs, .. } = self;
        assert!(
            last == tree.last_zxid(),
            "invariant: all that was read was replayed: {last}, not {}",
            tree.last_zxid()
        );
        let epochs = epochs::read(vfs, last, &mut repairs)?;
        Ok(Recovered { tree, last_zxid: last, epochs, recent: recent.into(), events, repairs })
    }

    fn file(&mut self, vfs: &mut impl Vfs, (_, name, size): &LogFile, place: Place) -> Result<(), DiskFault> {
        let file = FileName { dir: Dir::Log, name: name.clone() };
        let newest = place != Place::Earlier;
        if planted!(self.config.museum, P28) && newest && *size < super::txnlog::HEADER_LEN {
            return Err(super::txnlog::corrupt(&file, 0, String::from("shorter than its header")));
        }
        let mut reader = LogReader::open(vfs, file.clone(), *size, self.config.record_max)?;
        #[cfg(feature = "museum")]
        if planted!(self.config.museum, P29) {
            reader.forgive();
        }
        let mut records = 0;
        while let Some(record) = reader.next_record()? {
            if record.zxid().is_some_and(|zxid| !self.bound.holds(zxid)) {
                return Ok(());
            }
            records += 1;
            if !record.has_end {
                self.complete(&file, &record);
            }
            self.record(&file, &record)?;
        }
        let end = reader.end().expect("invariant: a reader without a record has an end");
        if records > 0 {
            self.tail = Some((file.clone(), reader.offset()));
        }
        if planted!(self.config.museum, P29) && matches!(end, LogEnd::Torn { .. }) {
            self.bound = Bound::Through(self.last);
        }
        if let LogEnd::Torn { offset } = end {
            self.events.push(Event::TornTailDropped { file: name.clone(), offset });
        }
        match end {
            // Nothing in it was ever promised, and a file of this name may be begun again.
            _ if records == 0 && newest && (*size < super::txnlog::HEADER_LEN || end != LogEnd::Clean) => {
                if place == Place::BehindTheSnapshot {
                    self.begin_again(file);
                } else {
                    self.repairs.push(FileOp::Unlink(file));
                }
            }
            // Behind the cut there may be records of the torn batch: neither Java nor a later start should meet them.
            LogEnd::Torn { offset } if offset >= super::txnlog::HEADER_LEN => {
                self.repairs.push(FileOp::SetLen { file: file.clone(), len: offset });
                self.repairs.push(FileOp::SyncData(file));
            }
            LogEnd::Torn { .. } | LogEnd::Clean => {}
        }
        Ok(())
    }

    /// A log with nothing in it takes the place of this one.
    fn begin_again(&mut self, file: FileName) {
        let bytes = Bytes::from_static(&super::txnlog::HEADER);
        self.repairs.push(FileOp::Create(file.clone()));
        self.repairs.push(FileOp::WriteAt { file: file.clone(), offset: 0, bytes });
        self.repairs.push(FileOp::SyncData(file));
    }

    /// The last records of a file, from the page cache to the disk, whatever the cache believes.
    fn write_again(&mut self, vfs: &mut impl Vfs, file: &FileName, end: u64) -> Result<(), DiskFault> {
        let from = end.saturating_sub(super::txnlog::BATCH_MAX);
        let io = |error| DiskFault::Io { file: layout::shown(file), op: "read", error };
        let bytes = vfs.read_at(file, from, (end - from) as usize).map_err(io)?;
        // A last byte that was lost is in the repairs already, and must not be taken back.
        let whole = bytes.len() as u64 == end - from;
        let len = if whole { bytes.len() } else { bytes.len().min((end - from - 1) as usize) };
        let bytes = if self.completes(file, end) {
            bytes.slice(..len - usize::from(whole))
        } else {
            bytes.slice(..len)
        };
        self.repairs.push(FileOp::WriteAt { file: file.clone(), offset: from, bytes });
        self.repairs.push(FileOp::SyncData(file.clone()));
        Ok(())
    }

    /// True if the repairs set the byte before `end`.
    fn completes(&self, file: &FileName, end: u64) -> bool {
        self.repairs
            .iter()
            .any(|op| matches!(op, FileOp::WriteAt { file: f, offset, .. } if f == file && offset + 1 == end))
    }

    /// All of a record was written but its last byte: it counts, and gets what it lacks.
    fn complete(&mut self, file: &FileName, record: &Record) {
        let bytes = Bytes::from_static(b"B");
        self.repairs.push(FileOp::WriteAt { file: file.clone(), offset: record.end() - 1, bytes });
        self.repairs.push(FileOp::SyncData(file.clone()));
    }

    fn record(&mut self, file: &FileName, record: &Record) -> Result<(), DiskFault> {
        let txn = record.txn(file)?;
        let zxid = txn.header.zxid;
        if zxid <= self.last {
            return Ok(());
        }
        let same_epoch = zxid.epoch() == self.last.epoch();
        // The first txn of an epoch may have any counter (quorum protocol, Part D 13).
        let begins_epoch = self.last.counter() == 0 && self.last.epoch() > 0;
        if same_epoch && Some(zxid) != self.last.next() && !begins_epoch {
            return Err(DiskFault::Gap {
                file: layout::shown(file),
                offset: record.offset,
                last: self.last,
                found: zxid,
            });
        }
        self.tree.apply(&txn, ApplyMode::Replay, &mut self.changes);
        self.last = zxid;
        self.compare(&txn);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::new(txn));
        Ok(())
    }

    /// Java's is all zeros if its server has applied no txn since it started (disk format §5).
    fn compare_snapshot(&mut self) {
        if let Some(SnapshotDigest { zxid, digest }) = self.snapshot_digest
            && zxid == self.last
            && zxid != Zxid::ZERO
        {
            self.expect_digest(digest);
        }
    }

    fn compare(&mut self, txn: &Txn) {
        self.compare_snapshot();
        // Before the snapshot's own zxid is reached a fuzzy tree has effects that its txns do not have yet.
        let fuzzy = self.snapshot_digest.is_some_and(|snapshot| snapshot.zxid > self.last);
        if let Some(digest) = &txn.digest
            && digest.version == crate::tree::digest::VERSION
            && !fuzzy
        {
            self.expect_digest(digest.digest as u64);
        }
    }

    fn expect_digest(&mut self, expected: u64) {
        if self.tree.digest() != expected && !self.mismatch_told {
            self.mismatch_told = true;
            self.events.push(Event::DigestMismatch { zxid: self.last });
        }
    }
}
