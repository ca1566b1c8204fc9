//! The files of members beside zoo.cfg, as a running server rewrites them (quorum protocol B8; Java:
//! `QuorumPeerConfig.writeDynamicConfig`, `editStaticConfig`).
//!
//! | file | holds |
//! |---|---|
//! | `zoo.cfg.bak` | zoo.cfg as it was when it still had members in it |
//! | `zoo.cfg.dynamic.<version>` | the members of the config in force; the version is hexadecimal, and not in the file |
//! | `zoo.cfg.dynamic.next` | the config seen last, with its version, as long as it is not in force |
//! | `zoo.cfg` | everything else, and `dynamicConfigFile=`; unlike Java's it keeps its comments and its order |
//!
//! Each is written whole under another name, synced, renamed, and the directory synced.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::ids::{Sid, Zxid};
use zk_core::quorum::Membership;

use crate::config::dynamic::{beside, next_file, version_file};
use crate::config::properties;

/// The files of one server.
#[derive(Debug)]
pub(crate) struct ConfigFiles {
    zoo_cfg: PathBuf,
    me: Sid,
    written: Mutex<Written>,
}

/// Versions that the files have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    in_force: Zxid,
    next: Option<Zxid>,
}

impl ConfigFiles {
    /// As they were read.
    pub(crate) fn new(zoo_cfg: &Path, me: Sid, membership: &Membership) -> Self {
        let next = membership.quorums().last_seen().map(|_| membership.last_seen().version());
        let written = Mutex::new(Written { in_force: membership.in_force().version(), next });
        Self { zoo_cfg: zoo_cfg.to_owned(), me, written }
    }

    /// Keeps zoo.cfg as it is, before it is ever rewritten.
    pub(crate) fn back_up(&self) -> io::Result<()> {
        write_whole(&beside(&self.zoo_cfg, ".bak"), &fs::read(&self.zoo_cfg)?)
    }

    /// Makes the files say what the configs are.
    pub(crate) fn record(&self, membership: &Membership) -> io::Result<()> {
        let mut written = self.written.lock();
        let (in_force, last_seen) = (membership.in_force(), membership.last_seen());
        let next = membership.quorums().last_seen().map(|_| last_seen.version());
        if written.in_force != in_force.version() {
            let dynamic = version_file(&self.zoo_cfg, in_force.version());
            write_whole(&dynamic, sorted(&in_force.members_text()).as_bytes())?;
            let ports = match in_force.member(self.me).and_then(|member| member.client.as_ref()) {
                Some(_) => ClientPort::InMembers,
                None => ClientPort::InZooCfg,
            };
            let text = fs::read(&self.zoo_cfg)?;
            let edited = edited(&text, &fs::canonicalize(&dynamic)?, ports)?;
            write_whole(&self.zoo_cfg, &edited)?;
            written.in_force = in_force.version();
        }
        if written.next != next {
            let path = next_file(&self.zoo_cfg);
            match next {
                Some(_) => write_whole(&path, sorted(&whole(last_seen)).as_bytes())?,
                None => remove(&path)?,
            }
            written.next = next;
        }
        Ok(())
    }
}

/// Where it stands where clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientPort {
    /// In the server's own line.
    InMembers,
    /// `clientPort`.
    InZooCfg,
}

fn whole(config: &QuorumConfig) -> String {
    format!("{}\nversion={:x}", config.members_text(), config.version().0)
}

/// Java sorts the lines as text.
fn sorted(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// zoo.cfg without members, and with the file that has them.
fn edited(text: &[u8], dynamic: &Path, ports: ClientPort) -> io::Result<Vec<u8>> {
    let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
    let entries = properties::parse("zoo.cfg", text).map_err(|error| invalid(error.to_string()))?;
    let goes = |key: &str| {
        let members = ["server.", "group", "weight", "dynamicConfigFile", "peerType"];
        members.iter().any(|family| key.starts_with(family))
            || ports == ClientPort::InMembers && key.starts_with("clientPort") && key != BACKLOG
    };
    let mut gone =
        entries.iter().filter(|entry| goes(&entry.key)).map(|entry| entry.line as usize).peekable();
    let (mut kept, mut continues) = (Vec::new(), false);
    for (number, line) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
        // A setting may go on in the lines below it.
        let drops = continues || gone.next_if_eq(&number).is_some();
        let ending = line.trim_ascii_end();
        continues = drops && ending.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
        if !drops {
            kept.extend_from_slice(line);
        }
    }
    if kept.last().is_some_and(|last| *last != b'\n') {
        kept.push(b'\n');
    }
    let path = dynamic.to_str().ok_or_else(|| invalid(format!("{} is no text", dynamic.display())))?;
    writeln!(kept, "dynamicConfigFile={}", path.replace('\\', "\\\\"))?;
    Ok(kept)
}

/// How many connections may wait is no address, and stays where it is.
const BACKLOG: &str = "clientPortListenBacklog";

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let write = || {
        let unfinished = beside(path, ".tmp");
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_directory_of(path)
    };
    write().map_err(named)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_directory_of(path),
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const ZOO_CFG: &str = "# ours\ntickTime=2000\nserver.1=a:1:2\\\n  ;9\nclientPort=9\n\
        clientPortListenBacklog=5\n\npeerType=participant\ndataDir=/d";

    fn config(text: &str) -> Arc<QuorumConfig> {
        Arc::new(QuorumConfig::parse(text).unwrap())
    }

    #[test]
    fn zoo_cfg_loses_its_members_and_keeps_what_else_there_is() {
        let dynamic = Path::new("/d/zoo.cfg.dynamic.7");
        let text = edited(ZOO_CFG.as_bytes(), dynamic, ClientPort::InMembers).unwrap();
        let expected = "# ours\ntickTime=2000\nclientPortListenBacklog=5\n\ndataDir=/d\n\
            dynamicConfigFile=/d/zoo.cfg.dynamic.7\n";
        assert_eq!(String::from_utf8(text.clone()).unwrap(), expected);
        assert_eq!(edited(&text, dynamic, ClientPort::InMembers).unwrap(), text, "a second time");
        let text = edited(ZOO_CFG.as_bytes(), dynamic, ClientPort::InZooCfg).unwrap();
        assert!(String::from_utf8(text).unwrap().contains("\nclientPort=9\n"));
    }

    #[test]
    fn files_go_along_with_a_reconfig() {
        let dir = tempfile::tempdir().unwrap();
        let zoo_cfg = dir.path().join("zoo.cfg");
        fs::write(&zoo_cfg, ZOO_CFG).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let one = config("server.1=a:1:2;9\nserver.10=b:1:2;9\nserver.2=c:1:2;9");
        let files = ConfigFiles::new(&zoo_cfg, Sid(1), &Membership::settled(one.clone()));
        files.back_up().unwrap();
        assert_eq!(read("zoo.cfg.bak"), ZOO_CFG);
        // Seen: nothing but the next one changes.
        let two = config("server.1=a:1:2;9\nserver.3=c:1:2\nversion=10000000a");
        files.record(&Membership::new(one.clone(), two.clone())).unwrap();
        assert_eq!(read("zoo.cfg"), ZOO_CFG);
        let next = "server.1=a:1:2:participant;0.0.0.0:9\nserver.3=c:1:2:participant\nversion=10000000a";
        assert_eq!(read("zoo.cfg.dynamic.next"), next);
        // In force.
        files.record(&Membership::settled(two)).unwrap();
        assert_eq!(read("zoo.cfg.dynamic.10000000a"), next.replace("\nversion=10000000a", ""));
        assert!(!dir.path().join("zoo.cfg.dynamic.next").exists());
        let line = format!(
            "dynamicConfigFile={}/zoo.cfg.dynamic.10000000a\n",
            fs::canonicalize(dir.path()).unwrap().display()
        );
        assert!(read("zoo.cfg").ends_with(&line) && !read("zoo.cfg").contains("server."));
        // A first config that gets its version: Java's order of lines.
        files.record(&Membership::settled(Arc::new((*one).clone().with_version(Zxid::new(2, 0))))).unwrap();
        let lines: Vec<_> = read("zoo.cfg.dynamic.200000000").lines().map(|l| l[..9].to_owned()).collect();
        assert_eq!(lines, ["server.10", "server.1=", "server.2="]);
    }
}
