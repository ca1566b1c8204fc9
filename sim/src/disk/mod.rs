//! A disk that loses, tears and lies (simulation brief §5.3).
//!
//! **The fault model.** A process sees the page cache. A power cut leaves what is on the platters, which a sync makes equal
//! to the cache, file by file: bytes and length with [`FileOp::SyncData`], names with [`FileOp::SyncDir`].
//!
//! - *Power cut*: of every 512-byte sector written since the file's last sync any version survives: the synced one, the last
//!   one, or one in between, each sector by a draw of its own, so that later writes may survive where earlier ones are
//!   lost, and records are torn anywhere. So with the file's length, and with each change to a directory (a rename
//!   is one change).
//! - *Kill*: the cache lives on. A write that was under way may have got as far as any of its pages ([`Disk::interrupt`]).
//! - *A sync fails*: each dirty sector was brought down or not, and all are clean from then on, as real kernels have it: a
//!   second sync succeeds and saves nothing. Another write to the same 4 KiB page makes its sectors dirty again.
//! - *A sync lies*: it does nothing and succeeds.
//! - *A write fails*, or the disk is full: a part of it was written, as long as there was room.
//! - *A read fails*, a number of times or for ever, or brings one wrong bit; sectors go bad and cannot be read until they
//!   are written; bits rot in what was synced. Each can be confined to logs, snapshots or epoch files.
//!
//! What is not modelled: writes that land in the wrong place. Java's formats have nothing by which a record could tell.
//!
//! Clones share pages, so that a world can be forked at every operation.

mod content;
mod directory;
mod file;
mod spare;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use zk_core::disk::{Dir, FileName, FileOp, Vfs, layout};

use crate::dice::{self, Site};
use content::PAGE;
use directory::{Directory, FileId};
use file::File;

/// What a disk writes at once or not at all.
pub const SECTOR: u64 = content::SECTOR as u64;

/// The system's words.
const EIO: &str = "EIO";
const ENOSPC: &str = "ENOSPC";
const ENOENT: &str = "ENOENT";

/// Files by what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum FileClass {
    /// All of them.
    #[default]
    Any,
    /// Transaction logs.
    Log,
    /// Snapshots, finished or not.
    Snapshot,
    /// `acceptedEpoch` and `currentEpoch`.
    Epoch,
}

impl FileClass {
    /// True if a file of this name is of the class.
    pub fn has(self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Log => layout::log_zxid(name).is_some(),
            Self::Snapshot => layout::snapshot(name).is_some(),
            Self::Epoch => name.contains("Epoch"),
        }
    }
}

/// What the next operations meet. Counts are of operations that fail; `u32::MAX` is all from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// So many syncs fail.
    pub fail_syncs: u32,
    /// So many writes (and preallocations) fail.
    pub fail_writes: u32,
    /// So many reads fail.
    pub fail_reads: u32,
    /// So many reads bring a wrong bit.
    pub flip_reads: u32,
    /// Syncs return without doing anything.
    pub lying: bool,
    /// Bytes that all files together may have; none is no limit.
    pub capacity: Option<u64>,
    /// Only these files meet failing syncs, writes and reads.
    pub files: FileClass,
}

/// One of so many strikes.
const fn strike(count: &mut u32) -> bool {
    let strikes = *count > 0;
    if strikes && *count < u32::MAX {
        *count -= 1;
    }
    strikes
}

/// One node's disk.
#[derive(Clone, Debug)]
pub struct Disk {
    seed: u64,
    /// Names the disk in draws.
    entity: u32,
    files: BTreeMap<FileId, Arc<File>>,
    dirs: BTreeMap<Dir, Arc<Directory>>,
    next_file: FileId,
    /// What the next operations meet.
    pub faults: DiskFaults,
    power_cuts: u64,
    failed_syncs: u64,
    short_writes: u64,
    flipped_reads: u64,
    /// Something that was durable has been destroyed: rot, or a lie that a power cut exposed.
    destroyed: bool,
}

impl Disk {
    /// An empty disk.
    pub fn new(seed: u64, entity: u32) -> Self {
        Self {
            seed,
            entity,
            files: BTreeMap::new(),
            dirs: BTreeMap::new(),
            next_file: 1,
            faults: DiskFaults::default(),
            power_cuts: 0,
            failed_syncs: 0,
            short_writes: 0,
            flipped_reads: 0,
            destroyed: false,
        }
    }

    /// True once something durable was destroyed: the node may have to refuse.
    pub const fn is_destroyed(&self) -> bool {
        self.destroyed
    }

    /// Bytes in all files, preallocation included.
    pub fn used(&self) -> u64 {
        self.named().map(|(_, _, file)| self.files[&file].len()).sum()
    }

    /// Carries out one operation. The error is the operating system's word for it.
    pub fn run(&mut self, op: &FileOp) -> Result<(), &'static str> {
        match op {
            FileOp::Create(name) => {
                if let Some(file) = self.find(name) {
                    self.file(file).set_len(0);
                } else {
                    let file = self.next_file;
                    self.next_file += 1;
                    self.files.insert(file, Arc::default());
                    self.dir(name.dir).link(&name.name, file);
                }
            }
            FileOp::Allocate { file, len } => self.allocate(file, *len)?,
            FileOp::WriteAt { file, offset, bytes } => self.write(file, *offset, bytes)?,
            FileOp::SetLen { file, len } => self.set_len(file, *len)?,
            FileOp::SyncData(file) => self.sync(file)?,
            FileOp::Rename { from, to } => {
                if !self.dir(from.dir).rename(&from.name, &to.name) {
                    return Err(ENOENT);
                }
            }
            FileOp::SyncDir(dir) => self.sync_dir(*dir)?,
            FileOp::Unlink(name) => self.dir(name.dir).unlink(&name.name),
            FileOp::Close(_) => {}
        }
        Ok(())
    }

    /// The process is killed in the middle of this operation: of a write, some of its pages were written; of everything
    /// else nothing was done that can be seen.
    pub fn interrupt(&mut self, op: &FileOp) {
        let FileOp::WriteAt { file, offset, bytes } = op else { return };
        let Some(id) = self.find(file) else { return };
        let first = PAGE - *offset as usize % PAGE;
        let pages = 1 + bytes.len().saturating_sub(first).div_ceil(PAGE) as u64;
        self.short_writes += 1;
        let whole = dice::scale(self.mix(Site::ShortWrite, self.short_writes, 0), pages);
        if whole > 0 {
            let end = (first + (whole as usize - 1) * PAGE).min(bytes.len());
            self.file(id).write(*offset, &bytes[..end]);
        }
    }

    /// The power goes: what was not synced survives by chance.
    pub fn lose_power(&mut self) {
        self.power_cuts += 1;
        let (seed, cut) = (self.seed, u64::from(self.entity) << 32 | self.power_cuts);
        let mut lied = false;
        for (dir, directory) in &mut self.dirs {
            let entity = cut ^ (*dir as u64 + 1) << 56;
            let survives = |n| dice::mix(seed, Site::Survive, entity, n) & 1 == 1;
            lied |= Arc::make_mut(directory).lose_power(survives);
        }
        self.drop_unreachable();
        for (id, file) in &mut self.files {
            // The file's number in the high half keeps its draws apart from other files'.
            let mut choose =
                |place: u64, n: u64| dice::scale(dice::mix(seed, Site::Survive, cut ^ *id << 40, place), n);
            lied |= Arc::make_mut(file).lose_power(&mut choose);
        }
        self.destroyed |= lied;
    }

    /// Lets `bits` bits of what is durable rot, in files whose name begins with `prefix`; `nth` tells one time from the
    /// next. True if there was anything.
    pub fn rot(&mut self, prefix: &str, bits: u32, nth: u64) -> bool {
        let mut rotten = false;
        for bit in 0..u64::from(bits) {
            let draw = |n| self.mix(Site::Rot, nth, bit * 4 + n);
            let Some((id, at)) = self.durable_byte(prefix, draw(0), draw(1)) else { break };
            let mask = 1 << (draw(2) & 7);
            let file = self.file(id);
            // Rot is not a write: nothing gets dirty by it.
            file.flip(at, mask);
            rotten = true;
        }
        self.destroyed |= rotten;
        rotten
    }

    /// A durable sector of a file whose name begins with `prefix` cannot be read any more. True if there was one.
    pub fn spoil(&mut self, prefix: &str, nth: u64) -> bool {
        let draw = |n| self.mix(Site::Rot, nth, u64::MAX - n);
        let Some((id, at)) = self.durable_byte(prefix, draw(0), draw(1)) else { return false };
        self.file(id).spoil(at / SECTOR);
        self.destroyed = true;
        true
    }

    /// Removes the newest snapshot, if an older one is there; how many are left then.
    pub fn drop_newest_snapshot(&mut self) -> usize {
        let zxid = |name: &str| layout::snapshot(name).filter(|s| !s.temporary).map(|s| s.zxid);
        let mut snapshots: Vec<_> = self
            .named()
            .filter(|(dir, ..)| *dir == Dir::Snap)
            .filter_map(|(_, name, _)| Some((zxid(name)?, name.to_owned())))
            .collect();
        snapshots.sort_unstable();
        if snapshots.len() < 2 {
            return 0;
        }
        let (_, newest) = snapshots.pop().expect("there are two");
        self.dir(Dir::Snap).unlink(&newest);
        snapshots.len()
    }

    /// The files of an older image take the place of all that there is.
    pub fn put_back(&mut self, image: Self) {
        self.files = image.files;
        self.dirs = image.dirs;
        self.next_file = self.next_file.max(image.next_file);
        self.destroyed = true;
    }

    /// Removes every file: another disk, or a wiped directory.
    pub fn wipe(&mut self) {
        self.files.clear();
        self.dirs.clear();
        self.destroyed = true;
    }
}

impl Disk {
    fn allocate(&mut self, name: &FileName, len: u64) -> Result<(), &'static str> {
        let id = self.find(name).ok_or(ENOENT)?;
        if self.faults.files.has(&name.name) && strike(&mut self.faults.fail_writes) {
            return Err(EIO);
        }
        if len.saturating_sub(self.files[&id].len()) > self.room() {
            return Err(ENOSPC);
        }
        self.file(id).allocate(len);
        Ok(())
    }

    fn set_len(&mut self, name: &FileName, len: u64) -> Result<(), &'static str> {
        let id = self.find(name).ok_or(ENOENT)?;
        if len.saturating_sub(self.files[&id].len()) > self.room() {
            return Err(ENOSPC);
        }
        self.file(id).set_len(len);
        Ok(())
    }

    fn write(&mut self, name: &FileName, offset: u64, bytes: &[u8]) -> Result<(), &'static str> {
        let id = self.find(name).ok_or(ENOENT)?;
        let fails = self.faults.files.has(&name.name) && strike(&mut self.faults.fail_writes);
        let fits = (self.files[&id].len() + self.room()).saturating_sub(offset);
        let fits = usize::try_from(fits).unwrap_or(usize::MAX).min(bytes.len());
        if !fails && fits == bytes.len() {
            self.file(id).write(offset, bytes);
            return Ok(());
        }
        // A full disk takes what has room; a failing one stops anywhere.
        let part = if fails {
            self.short_writes += 1;
            dice::scale(self.mix(Site::ShortWrite, self.short_writes, 0), fits as u64 + 1) as usize
        } else {
            fits
        };
        self.file(id).write(offset, &bytes[..part]);
        Err(if fails { EIO } else { ENOSPC })
    }

    fn sync(&mut self, name: &FileName) -> Result<(), &'static str> {
        let id = self.find(name).ok_or(ENOENT)?;
        let met = self.faults.files.has(&name.name);
        if met && self.faults.lying {
            self.file(id).lie();
        } else if met && strike(&mut self.faults.fail_syncs) {
            self.failed_syncs += 1;
            let (seed, entity) = (self.seed, u64::from(self.entity) << 32 | self.failed_syncs);
            let mut choose = |sector, n| dice::scale(dice::mix(seed, Site::Survive, !entity, sector), n);
            self.file(id).fail_sync(&mut choose);
            return Err(EIO);
        } else {
            self.file(id).sync();
        }
        Ok(())
    }

    fn sync_dir(&mut self, dir: Dir) -> Result<(), &'static str> {
        let met = self.faults.files == FileClass::Any;
        if met && self.faults.lying {
            self.dir(dir).lie();
        } else if met && strike(&mut self.faults.fail_syncs) {
            return Err(EIO);
        } else {
            self.dir(dir).sync();
            self.drop_unreachable();
        }
        Ok(())
    }

    /// Bytes that files may still grow by.
    fn room(&self) -> u64 {
        self.faults.capacity.map_or(u64::MAX / 2, |capacity| capacity.saturating_sub(self.used()))
    }

    fn find(&self, name: &FileName) -> Option<FileId> {
        self.dirs.get(&name.dir)?.entries().get(&name.name).copied()
    }

    fn file(&mut self, id: FileId) -> &mut File {
        Arc::make_mut(self.files.get_mut(&id).expect("invariant: a name refers to a file"))
    }

    fn dir(&mut self, dir: Dir) -> &mut Directory {
        Arc::make_mut(self.dirs.entry(dir).or_default())
    }

    fn named(&self) -> impl Iterator<Item = (Dir, &str, FileId)> {
        self.dirs.iter().flat_map(|(dir, directory)| {
            directory.entries().iter().map(|(name, file)| (*dir, name.as_str(), *file))
        })
    }

    /// Forgets files that no directory can bring back.
    fn drop_unreachable(&mut self) {
        let mut reachable: Vec<FileId> =
            self.dirs.values().flat_map(|directory| directory.may_have()).collect();
        reachable.sort_unstable();
        self.files.retain(|id, _| reachable.binary_search(id).is_ok());
    }

    fn mix(&self, site: Site, nth: u64, n: u64) -> u64 {
        dice::mix(self.seed, site, u64::from(self.entity) << 32 | nth, n)
    }

    /// A byte that a sync has brought down, in front of a file's padding: damage there is seen.
    fn durable_byte(&self, prefix: &str, which: u64, place: u64) -> Option<(FileId, u64)> {
        let mut places = Vec::new();
        for (_, name, id) in self.named().filter(|(_, name, _)| name.starts_with(prefix)) {
            let file = &self.files[&id];
            let written = file.written();
            let clean: Vec<u64> = (0..written.div_ceil(SECTOR)).filter(|s| file.is_clean(*s)).collect();
            if !clean.is_empty() {
                places.push((name, id, written, clean));
            }
        }
        let (_, id, written, clean) = places.get(dice::scale(which, places.len() as u64) as usize)?;
        // A byte of the clean sectors laid end to end; the last one may be cut short by the end of what is written.
        let len = |sector: u64| SECTOR.min(written - sector * SECTOR);
        let total: u64 = clean.iter().map(|sector| len(*sector)).sum();
        let at = dice::scale(place, total);
        Some((*id, clean[(at / SECTOR) as usize] * SECTOR + at % SECTOR))
    }
}

impl Vfs for Disk {
    fn list(&mut self, dir: Dir) -> Result<Vec<(String, u64)>, String> {
        if self.faults.files == FileClass::Any && strike(&mut self.faults.fail_reads) {
            return Err(EIO.to_owned());
        }
        let within = self.named().filter(|(d, ..)| *d == dir);
        Ok(within.map(|(_, name, file)| (name.to_owned(), self.files[&file].len())).collect())
    }

    fn read_at(&mut self, name: &FileName, offset: u64, len: usize) -> Result<Bytes, String> {
        let id = self.find(name).ok_or(ENOENT)?;
        let met = self.faults.files.has(&name.name);
        if met && strike(&mut self.faults.fail_reads) || self.files[&id].bad_sector(offset, len).is_some() {
            return Err(EIO.to_owned());
        }
        let mut bytes = self.files[&id].read(offset, len);
        if met && !bytes.is_empty() && strike(&mut self.faults.flip_reads) {
            self.flipped_reads += 1;
            let bit = dice::scale(self.mix(Site::Rot, !self.flipped_reads, 0), bytes.len() as u64 * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        Ok(Bytes::from(bytes))
    }
}
