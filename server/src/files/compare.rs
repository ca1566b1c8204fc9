//! `snapshot compare`: which subtrees differ in size between two snapshots, as Java's SnapshotComparer tells it.
//!
//! Both trees are held in memory without their data: a path and three numbers for each znode.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use zk_core::disk::snapshot_reader::Sink;
use zk_core::ids::SessionId;
use zk_core::tree::path;
use zk_core::wire::records::{Acl, StatPersisted};

use super::{Limit, Snapshot};
use crate::exit;

/// Compares the sizes of two snapshots, level by level, as SnapshotComparer does.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The left snapshot.
    #[arg(short, long, value_name = "FILE")]
    left: PathBuf,
    /// The right snapshot.
    #[arg(short, long, value_name = "FILE")]
    right: PathBuf,
    /// A difference of more than this many bytes is printed.
    #[arg(short, long, value_name = "BYTES")]
    bytes: i64,
    /// A difference of more than this many descendants is printed.
    #[arg(short, long, value_name = "NODES")]
    nodes: i64,
    /// Says what is compared, and what is left out.
    #[arg(short, long)]
    debug: bool,
}

/// A znode without its data.
#[derive(Debug)]
struct Node {
    path: Box<str>,
    /// Bytes of it and all below.
    bytes: i64,
    /// Znodes below it.
    below: i64,
}

#[derive(Debug, Default)]
struct Sizes {
    /// By level, and in each by path.
    levels: Vec<Vec<Node>>,
}

impl Sink for Sizes {
    fn session(&mut self, _: SessionId, _: i32) {}

    fn acl(&mut self, _: i64, _: Vec<Acl>) {}

    fn node(&mut self, path: &str, data: Option<&[u8]>, _: i64, _: StatPersisted) -> Result<(), String> {
        let level = path.matches('/').count();
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        let bytes = data.map_or(0, |data| data.len() as i64);
        self.levels[level].push(Node { path: path.into(), bytes, below: 0 });
        Ok(())
    }
}

impl Sizes {
    /// Adds every znode to its parent, the deepest first.
    fn add_up(&mut self) {
        self.levels.iter_mut().for_each(|level| level.sort_unstable_by(|a, b| a.path.cmp(&b.path)));
        for at in (1..self.levels.len()).rev() {
            let (above, below) = self.levels.split_at_mut(at);
            let parents = &mut above[at - 1];
            for node in &below[0] {
                let parent = path::split(&node.path).map_or("", |(parent, _)| parent);
                if let Ok(found) = parents.binary_search_by(|candidate| (*candidate.path).cmp(parent)) {
                    parents[found].bytes += node.bytes;
                    parents[found].below += node.below + 1;
                }
            }
        }
    }

    fn level(&self, depth: usize) -> &[Node] {
        self.levels.get(depth).map_or(&[], Vec::as_slice)
    }

    fn print(&self, out: &mut dyn Write) -> Result<()> {
        let count: usize = self.levels.iter().map(Vec::len).sum();
        let bytes = self.levels.first().and_then(|level| level.first()).map_or(0, |root| root.bytes);
        writeln!(out, "Node count: {count}\nTotal size: {bytes}\nMax depth: {}", self.levels.len())?;
        for (depth, level) in self.levels.iter().enumerate() {
            writeln!(out, "Count of nodes at depth {depth}: {}", level.len())?;
        }
        Ok(writeln!(out)?)
    }
}

pub(super) fn compare(args: &Args, limit: Limit, out: &mut dyn Write) -> Result<u8> {
    writeln!(out, "Successfully parsed options!")?;
    let left = sizes(&Snapshot::open(&args.left, limit)?, out)?;
    let right = sizes(&Snapshot::open(&args.right, limit)?, out)?;
    left.print(out)?;
    right.print(out)?;
    writeln!(
        out,
        "Printing analysis for nodes difference larger than {} bytes or node count difference larger than {}.",
        args.bytes, args.nodes
    )?;
    for depth in 0..left.levels.len().max(right.levels.len()) {
        writeln!(out, "Analysis for depth {depth}")?;
        compare_level(args, left.level(depth), right.level(depth), out)?;
    }
    writeln!(out, "All layers compared.")?;
    Ok(exit::CLEAN)
}

fn sizes(snapshot: &Snapshot, out: &mut dyn Write) -> Result<Sizes> {
    let begun = Instant::now();
    let (mut sizes, _) =
        snapshot.read(Sizes::default()).with_context(|| snapshot.path.display().to_string())?;
    let read = begun.elapsed().as_secs_f64();
    writeln!(out, "Deserialized snapshot in {} in {read:.6} seconds", snapshot.file.name)?;
    let begun = Instant::now();
    sizes.add_up();
    writeln!(out, "Processed data tree in {:.6} seconds", begun.elapsed().as_secs_f64())?;
    Ok(sizes)
}

fn compare_level(args: &Args, left: &[Node], right: &[Node], out: &mut dyn Write) -> Result<()> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(l), Some(r)) => {
                if args.debug {
                    writeln!(out, "Comparing {} to {}", l.path, r.path)?;
                }
                let order = l.path.cmp(&r.path);
                if args.debug {
                    writeln!(
                        out,
                        "{}",
                        ["left is less", "same", "right is less"][(order as i8 + 1) as usize]
                    )?;
                }
                order
            }
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return Ok(()),
        };
        let l = if order.is_le() { left.next() } else { None };
        let r = if order.is_ge() { right.next() } else { None };
        tell(args, l, r, out)?;
    }
}

/// One znode, in one of the trees or in both.
fn tell(args: &Args, left: Option<&Node>, right: Option<&Node>, out: &mut dyn Write) -> Result<()> {
    let bytes = |node: Option<&Node>| node.map_or(0, |node| node.bytes);
    let below = |node: Option<&Node>| node.map_or(0, |node| node.below);
    let (by_bytes, by_nodes) = (bytes(right) - bytes(left), below(right) - below(left));
    let tells = by_bytes.abs() > args.bytes || by_nodes.abs() > args.nodes;
    match (left, right) {
        (Some(node), Some(_)) if tells => writeln!(
            out,
            "Node {} found in both trees. Delta: {by_bytes} bytes, {by_nodes} descendants",
            node.path
        )?,
        (Some(l), Some(r)) if args.debug => {
            writeln!(out, "Filtered nodes of size {}, {}", l.bytes, r.bytes)?;
        }
        (Some(_), Some(_)) | (None, None) => {}
        (Some(node), None) | (None, Some(node)) => {
            let side = if left.is_some() { "left" } else { "right" };
            if tells {
                writeln!(
                    out,
                    "Node {} found only in {side} tree. Descendant size: {}. Descendant count: {}",
                    node.path, node.bytes, node.below
                )?;
            } else if args.debug {
                writeln!(out, "Filtered node of size {}", node.bytes)?;
            }
        }
    }
    Ok(())
}
