//! `snapshot summary`: what is in a snapshot, on one screen.

use std::io::Write;

use anyhow::Result;
use zk_core::disk::snapshot_reader::Sink;
use zk_core::ids::SessionId;
use zk_core::tree::{digest, owner};
use zk_core::wire::records::{Acl, StatPersisted};

use super::Snapshot;
use crate::exit;

/// Prints it; 1 if the znodes do not have the digest that the file claims.
pub(super) fn summary(snapshot: &Snapshot, out: &mut dyn Write) -> Result<u8> {
    let (found, sections) = snapshot.read(Found::default())?;
    writeln!(out, "file: {}", snapshot.path.display())?;
    writeln!(out, "bytes: {}, compression: {:?}", snapshot.size, snapshot.compression)?;
    writeln!(out, "zxid in its name: {}", snapshot.zxid)?;
    writeln!(out, "znodes: {}, bytes of data: {}", found.nodes, found.bytes)?;
    let Found { ephemerals, containers, ttl, .. } = found;
    writeln!(out, "ephemerals: {ephemerals}, containers: {containers}, with a time to live: {ttl}")?;
    writeln!(out, "sessions: {}, ACL lists: {}", found.sessions, found.acls)?;
    writeln!(out, "deepest: {} ({} levels)", found.deepest.0, found.deepest.1)?;
    writeln!(out, "largest: {} ({} bytes)", found.largest.0, found.largest.1)?;
    if let Some(zxid) = sections.last_zxid {
        writeln!(out, "last zxid when it was complete: {zxid}")?;
    }
    let Some(claimed) = sections.digest else {
        writeln!(out, "digest: {:#x}; the file claims none", found.digest)?;
        return Ok(exit::CLEAN);
    };
    // Java's file has zeros if nothing was applied since its server's start.
    let empty = claimed.zxid.0 == 0 && claimed.digest == 0;
    if empty || claimed.digest == found.digest {
        let note = if empty { "; the file leaves it open" } else { ", as the file claims" };
        writeln!(out, "digest: {:#x}{note}", found.digest)?;
        return Ok(exit::CLEAN);
    }
    if claimed.zxid > snapshot.zxid {
        let when = claimed.zxid;
        writeln!(
            out,
            "digest: {:#x}; the file claims {:#x} as of {when}, and is fuzzy",
            found.digest, claimed.digest
        )?;
        return Ok(exit::CLEAN);
    }
    writeln!(out, "digest: {:#x}, BUT the file claims {:#x}", found.digest, claimed.digest)?;
    Ok(exit::UNEXPECTED)
}

#[derive(Default)]
struct Found {
    nodes: u64,
    bytes: u64,
    ephemerals: u64,
    containers: u64,
    ttl: u64,
    sessions: u64,
    acls: u64,
    digest: u64,
    deepest: (String, usize),
    largest: (String, usize),
}

impl Sink for Found {
    fn session(&mut self, _: SessionId, _: i32) {
        self.sessions += 1;
    }

    fn acl(&mut self, _: i64, _: Vec<Acl>) {
        self.acls += 1;
    }

    fn node(&mut self, path: &str, data: Option<&[u8]>, _: i64, stat: StatPersisted) -> Result<(), String> {
        let len = data.map_or(0, <[u8]>::len);
        self.nodes += 1;
        self.bytes += len as u64;
        match stat.ephemeral_owner {
            0 => {}
            owner::CONTAINER => self.containers += 1,
            // With extended types; without them it is a session of server 255.
            other if other.cast_unsigned() >> 56 == 0xff => self.ttl += 1,
            _ => self.ephemerals += 1,
        }
        if digest::counts(path) {
            let node = digest::node_digest(path, data, &stat);
            self.digest = self.digest.wrapping_add(node.into());
        }
        let shown = if path.is_empty() { "/" } else { path };
        let levels = path.matches('/').count();
        if self.deepest.0.is_empty() || levels > self.deepest.1 {
            self.deepest = (shown.to_owned(), levels);
        }
        if self.largest.0.is_empty() || len > self.largest.1 {
            self.largest = (shown.to_owned(), len);
        }
        Ok(())
    }
}
