//! `snapshot recursive-summary`: znodes and bytes below a znode and its descendants.

use std::io::Write;

use anyhow::{Result, bail};
use zk_core::disk::snapshot_reader::Sink;
use zk_core::ids::SessionId;
use zk_core::tree::path;
use zk_core::wire::records::{Acl, StatPersisted};

use super::Snapshot;
use crate::exit;

/// Prints the znode at `start` and what is below it, `depth` levels deep; 0 is all of them.
pub(super) fn summary(snapshot: &Snapshot, start: &str, depth: usize, out: &mut dyn Write) -> Result<u8> {
    let below = if start == "/" { "" } else { start };
    let depth = if depth == 0 { usize::MAX } else { depth };
    let sums = Sums { start: below.to_owned(), depth, open: Vec::new(), rows: Vec::new(), found: false };
    let (mut sums, _) = snapshot.read(sums)?;
    sums.close_to(0);
    if !sums.found {
        bail!("{start} is not in {}", snapshot.path.display());
    }
    for row in &sums.rows {
        let indent = "--".repeat(row.level);
        let path = if row.path.is_empty() { "/" } else { &row.path };
        writeln!(out, "{indent} {path}")?;
        writeln!(out, "{indent}   children: {}", row.sum.nodes)?;
        writeln!(out, "{indent}   data: {}", row.sum.bytes)?;
    }
    // Java ends what it prints with a line of its own.
    writeln!(out)?;
    Ok(exit::CLEAN)
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// Znodes below it.
    nodes: u64,
    /// Its own data, and that of all below.
    bytes: u64,
}

/// A znode that is printed.
#[derive(Debug)]
struct Row {
    level: usize,
    path: String,
    sum: Sum,
}

/// A znode whose descendants are coming.
#[derive(Debug)]
struct Open {
    path: String,
    sum: Sum,
    /// Its row, once it has a child.
    row: Option<usize>,
}

/// Holds the way from the start to the present znode, and the rows.
struct Sums {
    start: String,
    depth: usize,
    open: Vec<Open>,
    rows: Vec<Row>,
    found: bool,
}

impl Sink for Sums {
    fn session(&mut self, _: SessionId, _: i32) {}

    fn acl(&mut self, _: i64, _: Vec<Acl>) {}

    fn node(&mut self, path: &str, data: Option<&[u8]>, _: i64, _: StatPersisted) -> Result<(), String> {
        let is_start = path == self.start;
        let is_below = path.strip_prefix(&self.start).is_some_and(|rest| rest.starts_with('/'));
        if !is_start && !is_below {
            return Ok(());
        }
        self.found |= is_start;
        let level = if is_start { 0 } else { self.level_of(path) };
        self.close_to(level);
        if !is_start && self.open.is_empty() {
            return Err(format!("{path:?} is not behind its parent, where servers write it"));
        }
        let parent = level.checked_sub(1);
        if let Some(parent) = parent.filter(|parent| *parent <= self.depth) {
            let open = &mut self.open[parent];
            if open.row.is_none() {
                open.row = Some(self.rows.len());
                self.rows.push(Row { level: parent, path: open.path.clone(), sum: Sum::default() });
            }
        }
        let bytes = data.map_or(0, |data| data.len() as u64);
        self.open.push(Open { path: path.to_owned(), sum: Sum { nodes: 0, bytes }, row: None });
        Ok(())
    }
}

impl Sums {
    /// How far a znode is from the start: behind its parent, if that is open.
    fn level_of(&self, path: &str) -> usize {
        let parent = path::split(path).map(|(parent, _)| parent);
        self.open.iter().rposition(|open| Some(open.path.as_str()) == parent).map_or(0, |at| at + 1)
    }

    /// Everything below this level is complete, and is added to what is above it.
    fn close_to(&mut self, level: usize) {
        while self.open.len() > level {
            let Some(Open { sum, row, .. }) = self.open.pop() else { return };
            if let Some(row) = row {
                self.rows[row].sum = sum;
            }
            if let Some(parent) = self.open.last_mut() {
                parent.sum.nodes += sum.nodes + 1;
                parent.sum.bytes += sum.bytes;
            }
        }
    }
}
