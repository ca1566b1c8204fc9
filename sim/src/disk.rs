//! A disk that loses, tears and lies (simulation brief §5.3).
//!
//! **The fault model.** A file has what the page cache has, which a reading process sees, and what the platters have, which
//! is what a power cut leaves. A write goes to the cache. Sync brings a file's dirty sectors and its length to the platters.
//! Names live in directories of which the same holds: create, rename and unlink are in the cache until the directory is
//! synced. At a power cut every dirty 512-byte sector, every changed length and every changed directory entry survives or
//! not by a draw of its own; later writes may survive where earlier ones are lost. A killed process loses nothing of the
//! cache.
//!
//! Faults: a sync fails, and the pages it should have brought down are clean from then on and lost at the next power cut,
//! as real kernels do it; a sync lies, and does nothing; a write fails, after a part of it; the disk is full; a read fails
//! once or for ever; bits rot in what was synced. Clones share file contents until one of them writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use zk_core::disk::{Dir, FileName, FileOp, Vfs, layout};

use crate::dice::{self, Site};

/// What a disk writes at once or not at all.
pub const SECTOR: u64 = 512;

#[derive(Clone, Debug, Default)]
struct Inode {
    cache: Arc<Vec<u8>>,
    platters: Arc<Vec<u8>>,
    dirty: BTreeSet<u64>,
    /// Bytes a failed sync has lost: clean in the cache, not on the platters.
    lost: BTreeSet<u64>,
}

/// What the next operations meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// So many syncs fail.
    pub fail_syncs: u32,
    /// So many writes fail.
    pub fail_writes: u32,
    /// So many reads fail; `u32::MAX` is for ever.
    pub fail_reads: u32,
    /// Syncs return without doing anything.
    pub lying: bool,
    /// Bytes that all files together may have; none is no limit.
    pub capacity: Option<u64>,
}

/// One node's disk.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Names the disk in draws.
    entity: u32,
    seed: u64,
    inodes: Vec<Inode>,
    names: BTreeMap<FileName, usize>,
    durable_names: BTreeMap<FileName, usize>,
    /// What the next operations meet.
    pub faults: DiskFaults,
    power_cuts: u64,
    writes: u64,
    /// Something that was durable has been destroyed: rot, or a lie that a power cut exposed.
    destroyed: bool,
}

impl Disk {
    /// An empty disk.
    pub fn new(seed: u64, entity: u32) -> Self {
        Self {
            entity,
            seed,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            faults: DiskFaults::default(),
            power_cuts: 0,
            writes: 0,
            destroyed: false,
        }
    }

    /// True once something durable was destroyed: the node may have to refuse.
    pub const fn is_destroyed(&self) -> bool {
        self.destroyed
    }

    /// Bytes in all files, preallocation included.
    pub fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].cache.len() as u64).sum()
    }

    /// Carries out one operation. The error is the operating system's word for it.
    pub fn run(&mut self, op: &FileOp) -> Result<(), &'static str> {
        match op {
            FileOp::Create(name) => {
                self.names.insert(name.clone(), self.inodes.len());
                self.inodes.push(Inode::default());
            }
            FileOp::Allocate { file, len } => self.resize(file, *len, false)?,
            FileOp::SetLen { file, len } => self.resize(file, *len, true)?,
            FileOp::WriteAt { file, offset, bytes } => self.write(file, *offset, bytes)?,
            FileOp::SyncData(file) => self.sync(file)?,
            FileOp::Rename { from, to } => {
                let inode = self.names.remove(from).ok_or("ENOENT")?;
                self.names.insert(to.clone(), inode);
            }
            FileOp::SyncDir(dir) => self.sync_dir(*dir)?,
            FileOp::Unlink(name) => {
                self.names.remove(name);
            }
            FileOp::Close(_) => {}
        }
        Ok(())
    }

    fn inode(&mut self, name: &FileName) -> Result<&mut Inode, &'static str> {
        let inode = *self.names.get(name).ok_or("ENOENT")?;
        Ok(&mut self.inodes[inode])
    }

    fn resize(&mut self, name: &FileName, len: u64, may_shrink: bool) -> Result<(), &'static str> {
        let inode = *self.names.get(name).ok_or("ENOENT")?;
        let old = self.inodes[inode].cache.len() as u64;
        if len > old {
            self.room_for(len - old)?;
        } else if !may_shrink {
            return Ok(());
        }
        let file = &mut self.inodes[inode];
        Arc::make_mut(&mut file.cache).resize(len as usize, 0);
        // What was cut off is no longer dirty; what grew is zeros, which an unsynced length makes of it anyway.
        file.dirty.retain(|sector| sector * SECTOR < len);
        file.lost.retain(|sector| sector * SECTOR < len);
        if len < old {
            file.dirty.insert(len / SECTOR);
        }
        Ok(())
    }

    fn room_for(&self, more: u64) -> Result<(), &'static str> {
        match self.faults.capacity {
            Some(capacity) if self.used() + more > capacity => Err("ENOSPC"),
            _ => Ok(()),
        }
    }

    fn write(&mut self, name: &FileName, offset: u64, bytes: &[u8]) -> Result<(), &'static str> {
        let inode = *self.names.get(name).ok_or("ENOENT")?;
        self.writes += 1;
        let old = self.inodes[inode].cache.len() as u64;
        let room = self.room_for((offset + bytes.len() as u64).saturating_sub(old));
        let fails = self.faults.fail_writes > 0;
        // A write that fails may have written a part.
        let part = if room.is_err() || fails {
            let draw = dice::mix(self.seed, Site::ShortWrite, self.entity.into(), self.writes);
            let whole = (bytes.len() as u64).min(old.saturating_sub(offset));
            dice::scale(draw, whole + 1) as usize
        } else {
            bytes.len()
        };
        let file = &mut self.inodes[inode];
        let (from, to) = (offset as usize, offset as usize + part);
        let cache = Arc::make_mut(&mut file.cache);
        if cache.len() < to {
            cache.resize(to, 0);
        }
        cache[from..to].copy_from_slice(&bytes[..part]);
        if part > 0 {
            for sector in offset / SECTOR..=(to as u64 - 1) / SECTOR {
                file.dirty.insert(sector);
                file.lost.remove(&sector);
            }
        }
        room?;
        if fails {
            self.faults.fail_writes -= 1;
            return Err("EIO");
        }
        Ok(())
    }

    fn sync(&mut self, name: &FileName) -> Result<(), &'static str> {
        if self.faults.lying {
            return Ok(());
        }
        if self.faults.fail_syncs > 0 {
            self.faults.fail_syncs -= 1;
            let file = self.inode(name)?;
            let dirty = std::mem::take(&mut file.dirty);
            file.lost.extend(dirty);
            return Err("EIO");
        }
        let file = self.inode(name)?;
        let dirty = std::mem::take(&mut file.dirty);
        if dirty.is_empty() && file.platters.len() == file.cache.len() {
            return Ok(());
        }
        let platters = Arc::make_mut(&mut file.platters);
        platters.resize(file.cache.len(), 0);
        for sector in dirty {
            let from = (sector * SECTOR) as usize;
            let to = (from + SECTOR as usize).min(file.cache.len());
            if from < to {
                platters[from..to].copy_from_slice(&file.cache[from..to]);
            }
        }
        Ok(())
    }

    fn sync_dir(&mut self, dir: Dir) -> Result<(), &'static str> {
        if self.faults.lying {
            return Ok(());
        }
        if self.faults.fail_syncs > 0 {
            self.faults.fail_syncs -= 1;
            return Err("EIO");
        }
        self.durable_names.retain(|name, _| name.dir != dir);
        let synced = self.names.iter().filter(|(name, _)| name.dir == dir);
        self.durable_names.extend(synced.map(|(name, inode)| (name.clone(), *inode)));
        Ok(())
    }

    /// The power goes: what was not synced survives by chance.
    pub fn lose_power(&mut self) {
        self.power_cuts += 1;
        let (seed, entity, cut) = (self.seed, u64::from(self.entity), self.power_cuts);
        let mut n = 0;
        let mut survives = || {
            n += 1;
            dice::mix(seed, Site::Survive, entity << 32 | cut, n) & 1 == 1
        };
        let mut names = self.durable_names.clone();
        for (name, inode) in &self.names {
            if self.durable_names.get(name) != Some(inode) && survives() {
                names.insert(name.clone(), *inode);
            }
        }
        for name in self.durable_names.keys().filter(|name| !self.names.contains_key(*name)) {
            if survives() {
                names.remove(name);
            }
        }
        self.names = names;
        self.durable_names = self.names.clone();
        for inode in self.names.values().copied().collect::<BTreeSet<_>>() {
            let file = &mut self.inodes[inode];
            if file.dirty.is_empty() && file.lost.is_empty() && file.cache.len() == file.platters.len() {
                continue;
            }
            let len = if survives() { file.cache.len() } else { file.platters.len() };
            let mut platters = file.platters.to_vec();
            platters.resize(len, 0);
            for sector in &file.dirty {
                let from = (sector * SECTOR) as usize;
                let to = (from + SECTOR as usize).min(len).min(file.cache.len());
                if from < to && survives() {
                    platters[from..to].copy_from_slice(&file.cache[from..to]);
                }
            }
            let platters = Arc::new(platters);
            *file = Inode { cache: Arc::clone(&platters), platters, ..Inode::default() };
        }
    }

    /// Lets `bits` bits of what is durable rot, in files whose name begins with `prefix`. True if there was anything.
    pub fn rot(&mut self, prefix: &str, bits: u32, nth: u64) -> bool {
        let candidates: Vec<usize> = self
            .names
            .iter()
            .filter(|(name, inode)| {
                name.name.starts_with(prefix) && !self.inodes[**inode].platters.is_empty()
            })
            .map(|(_, inode)| *inode)
            .collect();
        if candidates.is_empty() {
            return false;
        }
        for bit in 0..u64::from(bits) {
            let draw = |n| dice::mix(self.seed, Site::Rot, u64::from(self.entity) << 32 | nth, bit * 4 + n);
            let inode = candidates[dice::scale(draw(0), candidates.len() as u64) as usize];
            let file = &mut self.inodes[inode];
            // Rot in padding hurts nobody: it falls where something is written.
            let written = file.platters.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1) as u64;
            let at = dice::scale(draw(1), written) as usize;
            let mask = 1 << (draw(2) & 7);
            Arc::make_mut(&mut file.platters)[at] ^= mask;
            if !file.dirty.contains(&(at as u64 / SECTOR)) && at < file.cache.len() {
                Arc::make_mut(&mut file.cache)[at] ^= mask;
            }
        }
        self.destroyed = true;
        true
    }

    /// A lying sync is about to be found out.
    pub const fn note_destroyed(&mut self) {
        self.destroyed = true;
    }

    /// Removes the newest snapshot, if an older one is there; how many are left then.
    pub fn drop_newest_snapshot(&mut self) -> usize {
        let zxid = |name: &FileName| layout::snapshot(&name.name).filter(|s| !s.temporary).map(|s| s.zxid);
        let mut snapshots: Vec<_> =
            self.names.keys().filter_map(|name| Some((zxid(name)?, name.clone()))).collect();
        snapshots.sort_unstable();
        if snapshots.len() < 2 {
            return 0;
        }
        let (_, newest) = snapshots.pop().expect("there are two");
        self.names.remove(&newest);
        snapshots.len()
    }

    /// Removes every file: another disk, or a wiped directory.
    pub fn wipe(&mut self) {
        self.names.clear();
        self.durable_names.clear();
        self.inodes.clear();
        self.destroyed = true;
    }

    fn read_fails(&mut self) -> bool {
        match self.faults.fail_reads {
            0 => false,
            u32::MAX => true,
            _ => {
                self.faults.fail_reads -= 1;
                true
            }
        }
    }
}

impl Vfs for Disk {
    fn list(&mut self, dir: Dir) -> Result<Vec<(String, u64)>, String> {
        let within = self.names.iter().filter(|(name, _)| name.dir == dir);
        Ok(within.map(|(name, inode)| (name.name.clone(), self.inodes[*inode].cache.len() as u64)).collect())
    }

    fn read_at(&mut self, file: &FileName, offset: u64, len: usize) -> Result<Bytes, String> {
        if self.read_fails() {
            return Err("EIO".to_owned());
        }
        let cache = Arc::clone(&self.inode(file)?.cache);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(cache.len());
        Ok(Bytes::copy_from_slice(&cache[from..from.saturating_add(len).min(cache.len())]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> FileName {
        FileName { dir: Dir::Log, name: name.to_owned() }
    }

    fn write(file: &str, offset: u64, bytes: &'static [u8]) -> FileOp {
        FileOp::WriteAt { file: name(file), offset, bytes: Bytes::from_static(bytes) }
    }

    fn content(disk: &mut Disk, file: &str) -> Option<Vec<u8>> {
        let there = disk.list(Dir::Log).unwrap().iter().any(|(n, _)| n == file);
        there.then(|| disk.read_at(&name(file), 0, 1 << 20).unwrap().to_vec())
    }

    fn run(disk: &mut Disk, ops: &[FileOp]) {
        ops.iter().for_each(|op| disk.run(op).unwrap());
    }

    /// What a power cut leaves, over many seeds.
    fn outcomes(ops: &[FileOp], file: &str) -> BTreeSet<Option<Vec<u8>>> {
        let outcome = |seed| {
            let mut disk = Disk::new(seed, 1);
            run(&mut disk, ops);
            disk.lose_power();
            content(&mut disk, file)
        };
        (0..200).map(outcome).collect()
    }

    #[test]
    fn what_is_synced_with_its_name_survives_every_power_cut() {
        let ops = [
            FileOp::Create(name("a")),
            write("a", 0, b"synced"),
            FileOp::SyncData(name("a")),
            FileOp::SyncDir(Dir::Log),
        ];
        assert_eq!(outcomes(&ops, "a"), BTreeSet::from([Some(b"synced".to_vec())]));
    }

    #[test]
    fn a_file_without_a_synced_directory_may_be_gone() {
        let ops = [FileOp::Create(name("a")), write("a", 0, b"x"), FileOp::SyncData(name("a"))];
        assert_eq!(outcomes(&ops, "a"), BTreeSet::from([None, Some(b"x".to_vec())]));
    }

    #[test]
    fn unsynced_sectors_survive_in_any_subset() {
        static TWO: [u8; 1024] = [7; 1024];
        let ops = [
            FileOp::Create(name("a")),
            FileOp::Allocate { file: name("a"), len: 1024 },
            FileOp::SyncData(name("a")),
            FileOp::SyncDir(Dir::Log),
            write("a", 0, &TWO),
        ];
        let sectors: BTreeSet<(u8, u8)> =
            outcomes(&ops, "a").into_iter().flatten().map(|c| (c[0], c[600])).collect();
        assert_eq!(sectors, BTreeSet::from([(0, 0), (0, 7), (7, 0), (7, 7)]));
    }

    #[test]
    fn an_unsynced_rename_leaves_the_old_file_or_the_new() {
        let ops = [
            FileOp::Create(name("a")),
            write("a", 0, b"old"),
            FileOp::SyncData(name("a")),
            FileOp::SyncDir(Dir::Log),
            FileOp::Create(name("b")),
            write("b", 0, b"new"),
            FileOp::SyncData(name("b")),
            FileOp::Rename { from: name("b"), to: name("a") },
        ];
        assert_eq!(outcomes(&ops, "a"), BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]));
    }

    #[test]
    fn a_failed_sync_loses_what_a_second_one_would_have_saved() {
        let mut disk = Disk::new(1, 1);
        run(&mut disk, &[FileOp::Create(name("a")), FileOp::SyncDir(Dir::Log), write("a", 0, b"gone")]);
        disk.faults.fail_syncs = 1;
        assert_eq!(disk.run(&FileOp::SyncData(name("a"))), Err("EIO"));
        assert_eq!(disk.run(&FileOp::SyncData(name("a"))), Ok(()), "and it claims to have worked");
        assert_eq!(content(&mut disk, "a"), Some(b"gone".to_vec()), "a killed process would find it");
        disk.lose_power();
        assert_eq!(content(&mut disk, "a").map(|c| c.iter().all(|b| *b == 0)), Some(true));
    }

    #[test]
    fn a_full_disk_writes_what_has_room() {
        let mut disk = Disk::new(1, 1);
        disk.faults.capacity = Some(10);
        run(&mut disk, &[FileOp::Create(name("a")), write("a", 0, b"12345678")]);
        assert_eq!(disk.run(&write("a", 8, b"9ab")), Err("ENOSPC"));
        assert_eq!(disk.run(&FileOp::Allocate { file: name("a"), len: 64 }), Err("ENOSPC"));
        disk.faults.capacity = Some(11);
        assert_eq!(disk.run(&write("a", 8, b"9ab")), Ok(()));
        assert_eq!(disk.used(), 11);
    }

    #[test]
    fn rot_changes_what_is_durable_and_nothing_else() {
        let mut disk = Disk::new(5, 1);
        run(
            &mut disk,
            &[FileOp::Create(name("a")), write("a", 0, b"0123456789"), FileOp::SyncData(name("a"))],
        );
        run(&mut disk, &[FileOp::Create(name("other")), write("other", 0, b"x"), FileOp::SyncDir(Dir::Log)]);
        assert!(disk.rot("a", 1, 0));
        let rotten = content(&mut disk, "a").unwrap();
        let changed: u32 = rotten.iter().zip(b"0123456789").map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(changed, 1);
        assert!(!disk.rot("other", 1, 0), "nothing of it is durable");
        assert!(disk.is_destroyed());
    }

    #[test]
    fn clones_go_their_own_ways() {
        let mut disk = Disk::new(1, 1);
        run(&mut disk, &[FileOp::Create(name("a")), write("a", 0, b"one")]);
        let mut fork = disk.clone();
        run(&mut fork, &[write("a", 0, b"two")]);
        assert_eq!(content(&mut disk, "a"), Some(b"one".to_vec()));
        assert_eq!(content(&mut fork, "a"), Some(b"two".to_vec()));
    }
}
