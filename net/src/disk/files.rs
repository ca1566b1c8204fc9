//! [`Files`]: the core's file operations on a real file system, exactly as named and in the order given.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use zk_core::disk::{Dir, FileName, FileOp, Vfs};
use zk_core::error::DiskFault;

/// The three directories of a server, and its open files.
#[derive(Debug)]
pub struct Files {
    paths: Paths,
    writing: HashMap<FileName, File>,
    /// The file read last: recovery reads one file after the other.
    reading: Option<(FileName, File)>,
}

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `dataDir`.
    pub data: PathBuf,
    /// `dataDir/version-2`.
    pub snap: PathBuf,
    /// `dataLogDir/version-2`.
    pub log: PathBuf,
}

impl Paths {
    /// The directory itself.
    pub fn dir(&self, dir: Dir) -> &Path {
        match dir {
            Dir::Snap => &self.snap,
            Dir::Log => &self.log,
            Dir::Data => &self.data,
        }
    }

    /// The file's path.
    pub fn of(&self, file: &FileName) -> PathBuf {
        self.dir(file.dir).join(&file.name)
    }
}

impl Files {
    /// Nothing is opened before it is needed.
    pub fn new(paths: Paths) -> Self {
        Self { paths, writing: HashMap::new(), reading: None }
    }

    /// Where they are.
    pub const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Forgets what is open for reading: others may have put another file in its place.
    pub(super) fn look_again(&mut self) {
        self.reading = None;
    }

    /// The log file that is open for writing, if any.
    pub(super) fn writing_log(&self) -> Option<FileName> {
        self.writing.keys().find(|file| file.dir == Dir::Log).cloned()
    }

    /// Carries out operations in order, up to the first that fails.
    pub fn execute(&mut self, ops: &[FileOp]) -> Result<(), DiskFault> {
        ops.iter().try_for_each(|op| self.one(op))
    }

    fn one(&mut self, op: &FileOp) -> Result<(), DiskFault> {
        if matches!(op, FileOp::Create(_) | FileOp::Rename { .. } | FileOp::Unlink(_)) {
            // A name may mean another file from here on.
            self.reading = None;
        }
        match op {
            FileOp::Create(file) => self.create(file),
            FileOp::Allocate { file, len } => self.on(file, "fallocate", |handle| allocate(handle, *len)),
            FileOp::WriteAt { file, offset, bytes } => {
                self.on(file, "write", |handle| handle.write_all_at(bytes, *offset))
            }
            FileOp::SetLen { file, len } => self.on(file, "truncate", |handle| handle.set_len(*len)),
            FileOp::SyncData(file) => self.on(file, "fdatasync", File::sync_data),
            FileOp::Rename { from, to } => {
                let done = fs::rename(self.paths.of(from), self.paths.of(to));
                self.writing.remove(from);
                done.map_err(|error| self.fault(from, "rename", &error))
            }
            FileOp::SyncDir(dir) => {
                let path = self.paths.dir(*dir);
                let synced = File::open(path).and_then(|handle| handle.sync_all());
                synced.map_err(|error| io_fault(path, "fsync", &error))
            }
            FileOp::Unlink(file) => {
                self.writing.remove(file);
                match fs::remove_file(self.paths.of(file)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(self.fault(file, "unlink", &error))
                    }
                    _ => Ok(()),
                }
            }
            FileOp::Close(file) => {
                self.writing.remove(file);
                Ok(())
            }
        }
    }

    fn create(&mut self, file: &FileName) -> Result<(), DiskFault> {
        let opened = OpenOptions::new().write(true).create(true).truncate(true).open(self.paths.of(file));
        let handle = opened.map_err(|error| self.fault(file, "create", &error))?;
        self.writing.insert(file.clone(), handle);
        Ok(())
    }

    /// Does something with a file that is open for writing, or is opened for it now (repairs at start).
    fn on(
        &mut self,
        file: &FileName,
        op: &'static str,
        act: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), DiskFault> {
        if !self.writing.contains_key(file) {
            let opened = OpenOptions::new().write(true).open(self.paths.of(file));
            let handle = opened.map_err(|error| self.fault(file, "open", &error))?;
            self.writing.insert(file.clone(), handle);
        }
        act(&self.writing[file]).map_err(|error| self.fault(file, op, &error))
    }

    fn fault(&self, file: &FileName, op: &'static str, error: &io::Error) -> DiskFault {
        io_fault(&self.paths.of(file), op, error)
    }

    fn read(&mut self, file: &FileName, offset: u64, len: usize) -> io::Result<Bytes> {
        if self.reading.as_ref().is_none_or(|(name, _)| name != file) {
            self.reading = Some((file.clone(), File::open(self.paths.of(file))?));
        }
        let (_, handle) = self.reading.as_ref().expect("opened above");
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match handle.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes.into())
    }
}

impl Vfs for Files {
    fn list(&mut self, dir: Dir) -> Result<Vec<(String, u64)>, String> {
        let path = self.paths.dir(dir);
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| in_words(path, &error))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| in_words(path, &error))?;
            let about = entry.metadata().map_err(|error| in_words(&entry.path(), &error))?;
            // A name that is not UTF-8 is none of ours.
            if let (true, Ok(name)) = (about.is_file(), entry.file_name().into_string()) {
                files.push((name, about.len()));
            }
        }
        Ok(files)
    }

    fn read_at(&mut self, file: &FileName, offset: u64, len: usize) -> Result<Bytes, String> {
        self.read(file, offset, len).map_err(|error| in_words(&self.paths.of(file), &error))
    }
}

/// Blocks for the file up to `len`. Where the file system cannot promise them the length alone is set, as Java does.
fn allocate(handle: &File, len: u64) -> io::Result<()> {
    let present = handle.metadata()?.len();
    let Some(more) = len.checked_sub(present).filter(|more| *more > 0) else { return Ok(()) };
    match rustix::fs::fallocate(handle, FallocateFlags::empty(), present, more) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => handle.set_len(len),
        done => Ok(done?),
    }
}

fn in_words(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn io_fault(path: &Path, op: &'static str, error: &io::Error) -> DiskFault {
    DiskFault::Io { file: path.display().to_string(), op, error: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> Files {
        let paths = Paths { data: dir.into(), snap: dir.join("s"), log: dir.join("l") };
        fs::create_dir(&paths.snap).unwrap();
        fs::create_dir(&paths.log).unwrap();
        Files::new(paths)
    }

    fn log(name: &str) -> FileName {
        FileName { dir: Dir::Log, name: name.into() }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        let (tmp, file) = (log("log.1.tmp"), log("log.1"));
        let ops = [
            FileOp::Create(tmp.clone()),
            FileOp::Allocate { file: tmp.clone(), len: 4096 },
            FileOp::WriteAt { file: tmp.clone(), offset: 2, bytes: Bytes::from_static(b"abc") },
            FileOp::SyncData(tmp.clone()),
            FileOp::Close(tmp.clone()),
            FileOp::Rename { from: tmp, to: file.clone() },
            FileOp::SyncDir(Dir::Log),
        ];
        files.execute(&ops).unwrap();
        assert_eq!(files.list(Dir::Log).unwrap(), [("log.1".to_owned(), 4096)]);
        assert_eq!(files.read_at(&file, 0, 6).unwrap(), b"\0\0abc\0"[..]);
        assert_eq!(files.read_at(&file, 4095, 10).unwrap().len(), 1);
        let cut = [FileOp::SetLen { file: file.clone(), len: 3 }, FileOp::SyncData(file.clone())];
        files.execute(&cut).unwrap();
        assert_eq!(files.read_at(&file, 0, 10).unwrap(), b"\0\0a"[..]);
        files.execute(&[FileOp::Unlink(file.clone()), FileOp::Unlink(file)]).unwrap();
        assert!(files.list(Dir::Log).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_takes_the_place_of_another_is_the_one_that_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        let file = log("log.1");
        for content in [&b"old"[..], b"new"] {
            let ops = [
                FileOp::Unlink(file.clone()),
                FileOp::Create(file.clone()),
                FileOp::WriteAt { file: file.clone(), offset: 0, bytes: Bytes::from_static(content) },
            ];
            files.execute(&ops).unwrap();
            assert_eq!(files.read_at(&file, 0, 10).unwrap(), content);
        }
    }

    #[test]
    fn allocation_never_shortens_and_keeps_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        let file = log("log.1");
        let ops = [
            FileOp::Create(file.clone()),
            FileOp::WriteAt { file: file.clone(), offset: 0, bytes: Bytes::from_static(b"abc") },
            FileOp::Allocate { file: file.clone(), len: 2 },
            FileOp::Allocate { file: file.clone(), len: 5 },
        ];
        files.execute(&ops).unwrap();
        assert_eq!(files.read_at(&file, 0, 10).unwrap(), b"abc\0\0"[..]);
    }

    #[test]
    fn an_absent_directory_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths { data: dir.path().into(), snap: dir.path().join("s"), log: dir.path().join("l") };
        assert!(Files::new(paths).list(Dir::Snap).unwrap().is_empty());
    }

    #[test]
    fn a_failure_names_file_operation_and_reason() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        // A device that is always full.
        std::os::unix::fs::symlink("/dev/full", dir.path().join("l/log.1")).unwrap();
        let file = log("log.1");
        let ops = [FileOp::WriteAt { file, offset: 0, bytes: Bytes::from_static(b"abc") }];
        let DiskFault::Io { file, op, error } = files.execute(&ops).unwrap_err() else {
            panic!("another fault")
        };
        assert!(
            file.ends_with("/l/log.1") && op == "write" && error.contains("No space left"),
            "{file} {error}"
        );
    }
}
