//! [`Directories`]: whose data this is, settled before a byte of it is read.
//!
//! One process serves a data directory. The lock is `flock` on `zoarium.lock` beside `version-2`, which Java takes no
//! notice of; the system drops it when the process ends, however it ends. Java's server takes no lock at all, so its
//! open log file is looked for in /proc instead.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::files::Paths;
use super::holders;

/// What is done about a directory that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is made (`datadir.autocreate=true`).
    Create,
    /// The start is refused.
    Refuse,
}

/// Why the data directory cannot be used. Nothing in it has been changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DirectoryError {
    /// Not there.
    #[error("{key} {dir} does not exist, and datadir.autocreate=false forbids to make it")]
    Missing {
        /// `dataDir` or `dataLogDir`.
        key: &'static str,
        /// The directory.
        dir: String,
    },
    /// The system refuses something that is needed.
    #[error("{key} {path}: cannot {what}: {error}")]
    Unusable {
        /// `dataDir` or `dataLogDir`.
        key: &'static str,
        /// The directory or file.
        path: String,
        /// What was tried.
        what: &'static str,
        /// The system's words.
        error: String,
    },
    /// Another process has it.
    #[error("{key} {dir} is in use by {by}; two servers over one directory would destroy its data")]
    Held {
        /// `dataDir` or `dataLogDir`.
        key: &'static str,
        /// The directory.
        dir: String,
        /// Who.
        by: String,
    },
    /// A file in the directory of the other kind, as Java refuses it.
    #[error(
        "{dir} holds {file}, which belongs into {belongs}: dataDir and dataLogDir have changed places, or one of them was set later without moving the files"
    )]
    Misplaced {
        /// Where it is.
        dir: String,
        /// Which file.
        file: String,
        /// Where it should be.
        belongs: String,
    },
}

/// The directories of one server, held as long as this exists.
#[derive(Debug)]
pub struct Directories {
    paths: Paths,
    _locks: Vec<File>,
}

const LOCK: &str = "zoarium.lock";

impl Directories {
    /// Makes the directories if they are to be made, checks what is in them, and takes them for this process.
    pub fn claim(data: &Path, log: &Path, missing: Missing) -> Result<Self, DirectoryError> {
        let (data, log) = (Root { key: "dataDir", dir: data }, Root { key: "dataLogDir", dir: log });
        data.ensure(missing)?;
        log.ensure(missing)?;
        let together = data.canonical()? == log.canonical()?;
        let mut locks = vec![data.lock()?];
        if !together {
            locks.push(log.lock()?);
        }
        let paths = Paths { data: data.dir.to_owned(), snap: data.version_2(), log: log.version_2() };
        for (root, dir) in [(&data, &paths.snap), (&log, &paths.log)] {
            root.make(dir)?;
        }
        if !together {
            let (snap_dir, log_dir) = (&paths.snap, &paths.log);
            log.refuse_files(log_dir, "snapshot.", snap_dir)?;
            data.refuse_files(snap_dir, "log.", log_dir)?;
        }
        if let Some(by) = holders::writer_in(&log.canonical()?.join(VERSION_2)) {
            return Err(DirectoryError::Held { key: log.key, dir: shown(log.dir), by });
        }
        Ok(Self { paths, _locks: locks })
    }

    /// Where the files are.
    pub const fn paths(&self) -> &Paths {
        &self.paths
    }
}

/// Who has these directories, in words; takes nothing and changes nothing.
pub fn user_of(data: &Path, log: &Path) -> Option<String> {
    for dir in [data, log] {
        let lock = File::open(dir.join(LOCK)).ok();
        if lock.is_some_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))) {
            return Some("a running Zoarium".to_owned());
        }
    }
    holders::writer_in(&fs::canonicalize(log).ok()?.join(VERSION_2))
}

const VERSION_2: &str = "version-2";

/// One of the two directories that an operator names.
struct Root<'a> {
    key: &'static str,
    dir: &'a Path,
}

impl Root<'_> {
    fn version_2(&self) -> PathBuf {
        self.dir.join(VERSION_2)
    }

    fn ensure(&self, missing: Missing) -> Result<(), DirectoryError> {
        match fs::metadata(self.dir) {
            Ok(about) if about.is_dir() => Ok(()),
            Ok(_) => {
                let error = io::Error::from(io::ErrorKind::NotADirectory);
                Err(self.unusable(self.dir, "use it", &error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => match missing {
                Missing::Create => self.make(self.dir),
                Missing::Refuse => Err(DirectoryError::Missing { key: self.key, dir: shown(self.dir) }),
            },
            Err(error) => Err(self.unusable(self.dir, "look at it", &error)),
        }
    }

    fn make(&self, dir: &Path) -> Result<(), DirectoryError> {
        fs::create_dir_all(dir).map_err(|error| self.unusable(dir, "create it", &error))
    }

    fn canonical(&self) -> Result<PathBuf, DirectoryError> {
        fs::canonicalize(self.dir).map_err(|error| self.unusable(self.dir, "resolve it", &error))
    }

    /// Takes the lock, and leaves this process' number in it for whoever comes second.
    fn lock(&self) -> Result<File, DirectoryError> {
        let path = self.dir.join(LOCK);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(|error| self.unusable(&path, "write to it", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only a word of help: whoever holds it may be writing its number just now.
                let _ = file.read_to_string(&mut pid);
                let by = match pid.trim().parse::<u32>() {
                    Ok(pid) => format!("process {pid}"),
                    Err(_) => "another process".to_owned(),
                };
                return Err(DirectoryError::Held { key: self.key, dir: shown(self.dir), by });
            }
            Err(TryLockError::Error(error)) => return Err(self.unusable(&path, "lock it", &error)),
        }
        let pid = format!("{}\n", std::process::id());
        let noted =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes()));
        noted.map_err(|error| self.unusable(&path, "write to it", &error))?;
        Ok(file)
    }

    fn refuse_files(&self, dir: &Path, prefix: &str, belongs: &Path) -> Result<(), DirectoryError> {
        let entries = fs::read_dir(dir).map_err(|error| self.unusable(dir, "list it", &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| self.unusable(dir, "list it", &error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(prefix) {
                let (dir, belongs) = (shown(dir), shown(belongs));
                return Err(DirectoryError::Misplaced { dir, file: name, belongs });
            }
        }
        Ok(())
    }

    fn unusable(&self, path: &Path, what: &'static str, error: &io::Error) -> DirectoryError {
        DirectoryError::Unusable { key: self.key, path: shown(path), what, error: error.to_string() }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(data: &Path, log: &Path) -> Result<Directories, DirectoryError> {
        Directories::claim(data, log, Missing::Create)
    }

    #[test]
    fn missing_directories_are_made_unless_that_is_forbidden() {
        let dir = tempfile::tempdir().unwrap();
        let (data, log) = (dir.path().join("a/data"), dir.path().join("b/log"));
        let refused = Directories::claim(&data, &log, Missing::Refuse).unwrap_err();
        assert!(
            refused.to_string().contains("dataDir") && refused.to_string().contains("a/data"),
            "{refused}"
        );
        assert!(!data.exists());
        let claimed = claim(&data, &log).unwrap();
        assert!(claimed.paths().snap.is_dir() && claimed.paths().log.is_dir());
        assert_eq!(claimed.paths().log, log.join("version-2"));
    }

    #[test]
    fn a_directory_is_claimed_once_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (data, log) = (dir.path().join("data"), dir.path().join("log"));
        let first = claim(&data, &log).unwrap();
        assert!(user_of(&data, &log).is_some() && user_of(&data.join("other"), &log).is_some());
        let refused = claim(&data, &data).unwrap_err();
        let pid = format!("process {}", std::process::id());
        assert!(refused.to_string().contains(&pid), "{refused}");
        // The log directory alone is enough to be in the way.
        let refused = claim(&dir.path().join("other"), &log).unwrap_err();
        assert!(matches!(refused, DirectoryError::Held { key: "dataLogDir", .. }), "{refused}");
        drop(first);
        assert_eq!(user_of(&data, &log), None);
        claim(&data, &log).unwrap();
    }

    #[test]
    fn files_of_the_other_kind_are_refused_if_the_directories_differ() {
        for (file, in_log) in [("snapshot.5", true), ("log.1", false)] {
            let dir = tempfile::tempdir().unwrap();
            let (data, log) = (dir.path().join("data"), dir.path().join("log"));
            drop(claim(&data, &log).unwrap());
            let root = if in_log { &log } else { &data };
            fs::write(root.join("version-2").join(file), "").unwrap();
            let refused = claim(&data, &log).unwrap_err();
            assert!(refused.to_string().contains(file), "{refused}");
            drop(claim(&data, &data).unwrap());
        }
    }

    #[test]
    fn a_file_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = claim(&file, &file).unwrap_err().to_string();
        assert!(refused.contains("not a directory"), "{refused}");
    }
}
