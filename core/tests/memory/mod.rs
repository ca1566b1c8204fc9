//! A little file system in memory that forgets what was not synced: enough to test formats and the order of writes.

#![allow(dead_code)] // not every test uses all of it

use std::collections::BTreeMap;

use bytes::Bytes;
use zk_core::disk::{Compression, Dir, DiskConfig, FileName, FileOp, Vfs};
use zk_core::tree::{NodeTypes, TreeConfig};

/// How it is read and written, unless a test says otherwise.
pub(crate) const CONFIG: DiskConfig = DiskConfig {
    prealloc: 16 << 10,
    force_sync: true,
    compression: Compression::None,
    trust_empty: false,
    digest: true,
    record_max: 2 << 20,
    tree: TreeConfig { hash_seed: 0, types: NodeTypes::Plain },
};

const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
struct File {
    /// As the page cache has it.
    bytes: Vec<u8>,
    /// As the disk has it.
    durable: Vec<u8>,
}

/// The files of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    files: Vec<File>,
    names: BTreeMap<FileName, usize>,
    durable_names: BTreeMap<FileName, usize>,
}

impl Memory {
    /// With these files, durable.
    pub(crate) fn with(files: impl IntoIterator<Item = (FileName, Vec<u8>)>) -> Self {
        let mut memory = Self::default();
        for (name, bytes) in files {
            memory.names.insert(name, memory.files.len());
            memory.files.push(File { durable: bytes.clone(), bytes });
        }
        memory.durable_names = memory.names.clone();
        memory
    }

    pub(crate) fn run(&mut self, ops: &[FileOp]) {
        ops.iter().for_each(|op| self.op(op));
    }

    pub(crate) fn op(&mut self, op: &FileOp) {
        match op {
            FileOp::Create(name) => {
                self.names.insert(name.clone(), self.files.len());
                self.files.push(File::default());
            }
            FileOp::Allocate { file, len } | FileOp::SetLen { file, len } => {
                let shrinks = matches!(op, FileOp::SetLen { .. });
                let bytes = &mut self.file(file).bytes;
                if shrinks || bytes.len() < *len as usize {
                    bytes.resize(*len as usize, 0);
                }
            }
            FileOp::WriteAt { file, offset, bytes } => {
                let (from, to) = (*offset as usize, *offset as usize + bytes.len());
                let file = &mut self.file(file).bytes;
                if file.len() < to {
                    file.resize(to, 0);
                }
                file[from..to].copy_from_slice(bytes);
            }
            FileOp::SyncData(file) => {
                let file = self.file(file);
                file.durable = file.bytes.clone();
            }
            FileOp::Rename { from, to } => {
                let file = self.names.remove(from).expect("renamed files exist");
                self.names.insert(to.clone(), file);
            }
            FileOp::SyncDir(dir) => {
                self.durable_names.retain(|name, _| name.dir != *dir);
                let synced = self.names.iter().filter(|(name, _)| name.dir == *dir);
                self.durable_names.extend(synced.map(|(name, file)| (name.clone(), *file)));
            }
            FileOp::Unlink(name) => {
                self.names.remove(name);
            }
            FileOp::Close(_) => {}
        }
    }

    /// The power goes. `survives` decides for every sector that was written and not synced whether it reached the disk,
    /// and for every changed directory entry.
    pub(crate) fn lose_power(&mut self, mut survives: impl FnMut() -> bool) {
        let mut names = self.durable_names.clone();
        for (name, file) in &self.names {
            if self.durable_names.get(name) != Some(file) && survives() {
                names.insert(name.clone(), *file);
            }
        }
        for name in self.durable_names.keys().filter(|name| !self.names.contains_key(name)) {
            if survives() {
                names.remove(name);
            }
        }
        for file in &mut self.files {
            let len = if survives() { file.bytes.len() } else { file.durable.len().min(file.bytes.len()) };
            let mut bytes = file.durable.clone();
            bytes.resize(len, 0);
            for from in (0..len).step_by(SECTOR) {
                let to = (from + SECTOR).min(len);
                let written = file.bytes.get(from..to).unwrap_or_default();
                if written.len() == to - from && written != &bytes[from..to] && survives() {
                    bytes[from..to].copy_from_slice(written);
                }
            }
            file.bytes = bytes.clone();
            file.durable = bytes;
        }
        self.names = names.clone();
        self.durable_names = names;
    }

    pub(crate) fn bytes(&mut self, name: &FileName) -> &mut Vec<u8> {
        &mut self.file(name).bytes
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.names.keys().map(|name| name.name.as_str()).collect()
    }

    pub(crate) fn remove(&mut self, name: &FileName) {
        self.names.remove(name);
    }

    pub(crate) fn rename(&mut self, from: &FileName, to: &FileName) {
        self.op(&FileOp::Rename { from: from.clone(), to: to.clone() });
    }

    fn file(&mut self, name: &FileName) -> &mut File {
        let file = self.names.get(name).unwrap_or_else(|| panic!("{name:?} is written and not there"));
        &mut self.files[*file]
    }
}

impl Vfs for Memory {
    fn list(&mut self, dir: Dir) -> Result<Vec<(String, u64)>, String> {
        let within = self.names.iter().filter(|(name, _)| name.dir == dir);
        Ok(within.map(|(name, file)| (name.name.clone(), self.files[*file].bytes.len() as u64)).collect())
    }

    fn read_at(&mut self, file: &FileName, offset: u64, len: usize) -> Result<Bytes, String> {
        let bytes = &self.file(file).bytes;
        let from = (offset as usize).min(bytes.len());
        Ok(Bytes::copy_from_slice(&bytes[from..from.saturating_add(len).min(bytes.len())]))
    }
}

/// A file of the snapshot directory.
pub(crate) fn snap(name: &str) -> FileName {
    FileName { dir: Dir::Snap, name: name.into() }
}

/// A file of the log directory.
pub(crate) fn log(name: &str) -> FileName {
    FileName { dir: Dir::Log, name: name.into() }
}

/// A file of the directory that its name says it belongs to.
pub(crate) fn named(name: &str) -> FileName {
    if name.starts_with("log.") { log(name) } else { snap(name) }
}
