//! `snapshot dump`: every znode and session, in the order of the file.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zk_core::disk::snapshot_reader::Sink;
use zk_core::ids::SessionId;
use zk_core::tree::NodeTypes;
use zk_core::wire::records::{Acl, StatPersisted};
use zk_net::client::four_letter::date::java_date;

use super::{Failed, Snapshot};
use crate::exit;

/// What is shown of a znode's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Length,
    Data,
}

pub(super) fn dump(snapshot: &Snapshot, shows: Shows, out: &mut dyn Write) -> Result<u8> {
    // Read twice: nothing is printed of a file that is damaged, and the count comes first.
    let (counted, _) = snapshot.read(Counted::default())?;
    // As Java counts, who keeps the root under two names.
    writeln!(out, "ZNode Details (count={}):", counted.nodes + 1)?;
    let printer = snapshot.print(|failed| Printer { out: &mut *out, failed, shows, last: 0 })?;
    let last = printer.last.max(snapshot.zxid.0);
    writeln!(out, "----")?;
    writeln!(out, "Session Details (sid, timeout, ephemeralCount):")?;
    for (session, (timeout_ms, ephemerals)) in &counted.sessions {
        writeln!(out, "{:#016x}, {timeout_ms}, {ephemerals}", session.0)?;
    }
    writeln!(out, "----\nLast zxid: {last:#x}")?;
    Ok(exit::CLEAN)
}

/// How many znodes there are, and sessions with the number of their ephemerals.
#[derive(Default)]
struct Counted {
    nodes: u64,
    sessions: BTreeMap<SessionId, (i32, u64)>,
}

impl Sink for Counted {
    fn session(&mut self, id: SessionId, timeout_ms: i32) {
        self.sessions.insert(id, (timeout_ms, 0));
    }

    fn acl(&mut self, _: i64, _: Vec<Acl>) {}

    fn node(&mut self, _: &str, _: Option<&[u8]>, _: i64, stat: StatPersisted) -> Result<(), String> {
        self.nodes += 1;
        // A TTL node's owner is no session of the table.
        let owner = NodeTypes::Plain.session_of(stat.ephemeral_owner);
        if let Some((_, ephemerals)) = owner.and_then(|session| self.sessions.get_mut(&session)) {
            *ephemerals += 1;
        }
        Ok(())
    }
}

struct Printer<'a> {
    out: &'a mut dyn Write,
    failed: Failed,
    shows: Shows,
    /// The largest zxid in any stat.
    last: i64,
}

impl Sink for Printer<'_> {
    fn session(&mut self, _: SessionId, _: i32) {}

    fn acl(&mut self, _: i64, _: Vec<Acl>) {}

    fn node(&mut self, path: &str, data: Option<&[u8]>, _: i64, stat: StatPersisted) -> Result<(), String> {
        self.last = self.last.max(stat.mzxid.0).max(stat.pzxid.0);
        let printed = self.print(path, data.unwrap_or_default(), &stat);
        self.failed.note(printed)
    }
}

impl Printer<'_> {
    fn print(&mut self, path: &str, data: &[u8], stat: &StatPersisted) -> std::io::Result<()> {
        let out = &mut self.out;
        writeln!(out, "----\n{}", if path.is_empty() { "/" } else { path })?;
        writeln!(out, "  cZxid = {:#016x}", stat.czxid.0)?;
        writeln!(out, "  ctime = {}", java_date(stat.ctime.0))?;
        writeln!(out, "  mZxid = {:#016x}", stat.mzxid.0)?;
        writeln!(out, "  mtime = {}", java_date(stat.mtime.0))?;
        writeln!(out, "  pZxid = {:#016x}", stat.pzxid.0)?;
        writeln!(out, "  cversion = {}", stat.cversion)?;
        writeln!(out, "  dataVersion = {}", stat.version)?;
        writeln!(out, "  aclVersion = {}", stat.aversion)?;
        writeln!(out, "  ephemeralOwner = {:#016x}", stat.ephemeral_owner)?;
        match self.shows {
            Shows::Length => writeln!(out, "  dataLength = {}", data.len()),
            Shows::Data => writeln!(out, "  data = {}", STANDARD.encode(data)),
        }
    }
}
