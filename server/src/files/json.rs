//! `snapshot dump --json`: the tree as nested arrays, which ncdu shows.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use zk_core::disk::snapshot_reader::Sink;
use zk_core::ids::SessionId;
use zk_core::tree::path;
use zk_core::wire::records::{Acl, StatPersisted};

use super::{Failed, Snapshot};
use crate::exit;

pub(super) fn dump(snapshot: &Snapshot, out: &mut dyn Write) -> Result<u8> {
    // Nothing is printed of a file that is damaged.
    snapshot.read(Unheeded)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    write!(out, r#"[1,0,{{"progname":"SnapshotFormatter.java","progver":"0.01","timestamp":{now}}}"#)?;
    let mut nested = snapshot.print(|failed| Nested {
        out: &mut *out,
        failed,
        open: Vec::new(),
        waiting: None,
        count: 0,
    })?;
    nested.end()?;
    write!(out, "]")?;
    Ok(exit::CLEAN)
}

struct Unheeded;

impl Sink for Unheeded {
    fn session(&mut self, _: SessionId, _: i32) {}

    fn acl(&mut self, _: i64, _: Vec<Acl>) {}

    fn node(&mut self, _: &str, _: Option<&[u8]>, _: i64, _: StatPersisted) -> Result<(), String> {
        Ok(())
    }
}

/// A znode is printed when the next one shows whether it has children.
struct Nested<'a> {
    out: &'a mut dyn Write,
    failed: Failed,
    /// Paths of the znodes whose children come now.
    open: Vec<String>,
    /// The znode read last: its path and what is printed of it.
    waiting: Option<(String, String)>,
    count: u64,
}

impl Sink for Nested<'_> {
    fn session(&mut self, _: SessionId, _: i32) {}

    fn acl(&mut self, _: i64, _: Vec<Acl>) {}

    fn node(&mut self, path: &str, data: Option<&[u8]>, _: i64, _: StatPersisted) -> Result<(), String> {
        let settled = self.settle(Some(path));
        self.failed.note(settled)?;
        self.count += 1;
        let name = path::split(path).map_or("/", |(_, name)| name);
        let (name, len) = (serde_json::json!(name), data.map_or(0, <[u8]>::len));
        let number = FIRST + self.count;
        let shown = format!(r#"{{"name":{name},"asize":{len},"dsize":{len},"dev":0,"ino":{number}}}"#);
        self.waiting = Some((path.to_owned(), shown));
        Ok(())
    }
}

/// Java's numbers begin behind this one.
const FIRST: u64 = 1000;

impl Nested<'_> {
    /// Prints the znode that waits, now that it is known which one comes next.
    fn settle(&mut self, next: Option<&str>) -> io::Result<()> {
        let parent = next.and_then(|next| path::split(next)).map(|(parent, _)| parent);
        if let Some((path, shown)) = self.waiting.take() {
            let has_children = parent == Some(path.as_str());
            write!(self.out, ",{}{shown}", if has_children { "[" } else { "" })?;
            if has_children {
                self.open.push(path);
            }
        }
        while self.open.last().is_some_and(|open| parent != Some(open.as_str())) {
            self.open.pop();
            write!(self.out, "]")?;
        }
        if parent.is_some() && self.open.is_empty() {
            return Err(io::Error::other("its nodes are not in the order in which servers write them"));
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.settle(None)
    }
}
