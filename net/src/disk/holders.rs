//! Who else writes into a directory: Java's server takes no lock, but keeps its log file open.

use std::fs;
use std::path::Path;

/// A process, other than this one, that has a file of `dir` open for writing; in words. Sees the processes of the same
/// user only, unless this one is root's.
pub(super) fn writer_in(dir: &Path) -> Option<String> {
    let own = std::process::id();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid != own
            && let Some(file) = written_by(&process.path(), dir)
        {
            return Some(format!("process {pid}, which has {file} open for writing"));
        }
    }
    None
}

fn written_by(process: &Path, dir: &Path) -> Option<String> {
    let open = fs::read_dir(process.join("fd")).ok()?;
    for fd in open.flatten() {
        let Ok(target) = fs::read_link(fd.path()) else { continue };
        if target.parent() == Some(dir) && is_for_writing(process, &fd.file_name()) {
            return Some(target.file_name()?.to_string_lossy().into_owned());
        }
    }
    None
}

/// The `flags` of fdinfo are octal; their last two bits are 0 for read-only.
fn is_for_writing(process: &Path, fd: &std::ffi::OsStr) -> bool {
    let info = fs::read_to_string(process.join("fdinfo").join(fd)).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & 3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    /// A shell that has opened `file` and waits for the end of its input.
    fn holder(redirection: &str) -> (std::process::Child, String) {
        let script = format!("exec 3{redirection}; echo open; read -r line");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "open\n");
        let pid = child.id().to_string();
        (child, pid)
    }

    fn end(mut child: std::process::Child) {
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_writes_is_found_and_one_that_reads_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let above = fs::canonicalize(dir.path()).unwrap();
        let dir = above.join("version-2");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("log.1"), "").unwrap();
        assert_eq!(writer_in(&dir), None);
        let (reader, _) = holder(&format!("<{}/log.1", dir.display()));
        assert_eq!(writer_in(&dir), None);
        let (writer, pid) = holder(&format!(">>{}/log.1", dir.display()));
        let found = writer_in(&dir).unwrap();
        assert!(found.contains(&pid) && found.contains("log.1"), "{found}");
        assert_eq!(writer_in(&above), None);
        end(reader);
        end(writer);
        assert_eq!(writer_in(&dir), None);
    }
}
