//! Quotas (semantics §11): which nodes have one, and the statistics that every server keeps of what is below them.
//!
//! Limits and statistics are nodes that clients make: `/zookeeper/quota<path>/zookeeper_limits` and `…/zookeeper_stats`. The
//! statistics' text is replaced in place: no version, no zxid, no event, and no part of the digest. Servers may differ in
//! it, since a server that loads a snapshot counts anew: never compare them.
//!
//! Answers to Java's `Quotas`, `PathTrie` and `StatsTrack`.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::node::NodeId;
use super::{Tree, digest};

/// Above all limits and statistics.
const ROOT: &str = "/zookeeper/quota";
/// The name of a node with limits.
const LIMITS: &str = "zookeeper_limits";
/// The name of a node with statistics.
const STATS: &str = "zookeeper_stats";

const COUNT: &str = "count";
const BYTES: &str = "bytes";
const COUNT_HARD: &str = "countHardLimit";
const BYTES_HARD: &str = "byteHardLimit";

/// Paths that have a quota. Few, so that a clone shares all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotas(Arc<BTreeSet<Box<str>>>);

impl Quotas {
    /// The longest of them that `path` is, or is below.
    fn above<'p>(&self, path: &'p str) -> Option<&'p str> {
        if self.0.is_empty() {
            return None;
        }
        let ancestors = core::iter::successors(Some(path), |at| Some(&at[..at.rfind('/')?]));
        ancestors.take_while(|at| !at.is_empty()).find(|at| self.0.contains(*at))
    }

    fn insert(&mut self, path: &str) {
        Arc::make_mut(&mut self.0).insert(path.into());
    }

    fn remove(&mut self, path: &str) {
        if self.0.contains(path) {
            Arc::make_mut(&mut self.0).remove(path);
        }
    }
}

/// The numbers in the text of a node of either kind: `count=5,bytes=-1=;byteHardLimit=10`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Numbers(BTreeMap<String, i64>);

impl Numbers {
    /// Nothing counted.
    fn zero() -> Self {
        Self::of(0, 0)
    }

    fn of(count: i64, bytes: i64) -> Self {
        Self(BTreeMap::from([(COUNT.into(), count), (BYTES.into(), bytes)]))
    }

    /// `None` for what Java cannot read: it ends then, or answers -5.
    fn parse(data: Option<&[u8]>) -> Option<Self> {
        let text = String::from_utf8_lossy(data?);
        let mut numbers = BTreeMap::new();
        // Several separators are as good as one, and at the end as none; one at the beginning has an empty pair before it.
        let text = text.trim_end_matches([',', ';']);
        if text.is_empty() {
            return Some(Self::default());
        }
        let pairs = text.split([',', ';']).enumerate();
        for (_, pair) in pairs.filter(|(i, pair)| *i == 0 || !pair.is_empty()) {
            // Java's `split` drops empty parts at the end, and so the `=` behind the old numbers.
            let (key, value) = pair.trim_end_matches('=').split_once('=')?;
            let value = value.split('=').next().unwrap_or_default();
            let value = if value.is_empty() { -1 } else { value.parse().ok()? };
            numbers.insert(key.into(), value);
        }
        Some(Self(numbers))
    }

    /// -1 for what is not there.
    fn get(&self, key: &str) -> i64 {
        self.0.get(key).copied().unwrap_or(-1)
    }

    /// The old numbers first; an odd `=` keeps old parsers from reading on.
    fn text(&self) -> String {
        let mut text = format!("{COUNT}={},{BYTES}={}", self.get(COUNT), self.get(BYTES));
        let others = self.0.iter().filter(|(key, _)| *key != COUNT && *key != BYTES);
        for (i, (key, value)) in others.enumerate() {
            text.push_str(&format!("{};{key}={value}", if i == 0 { "=" } else { "" }));
        }
        text
    }
}

/// What a write would add below a node with a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Nodes.
    pub count: i64,
    /// Bytes of data.
    pub bytes: i64,
}

impl Tree {
    /// True if a hard limit is in the way of this growth at `path`. By what is applied: what is prepared and not applied
    /// yet is not counted, as in Java. Limits and statistics that cannot be read limit nothing and have counted nothing.
    pub fn exceeds_quota(&self, path: &str, growth: Growth) -> bool {
        let Some(limited) = self.quotas.above(path) else { return false };
        let node = |name: &str| self.node(&format!("{ROOT}{limited}/{name}"));
        let Some(limits) = node(LIMITS).and_then(|node| Numbers::parse(node.data())) else { return false };
        let Some(stats) = node(STATS) else { return false };
        let stats = Numbers::parse(stats.data()).unwrap_or_else(Numbers::zero);
        let over = |growth: i64, counted: &str, hard: &str| {
            let limit = limits.get(hard);
            growth != 0 && limit > -1 && stats.get(counted).saturating_add(growth) > limit
        };
        over(growth.count, COUNT, COUNT_HARD) || over(growth.bytes, BYTES, BYTES_HARD)
    }

    /// A node has come: it may be limits or statistics, and it counts.
    pub(super) fn quota_created(&mut self, path: &str, data_len: usize) {
        match limited_by(path) {
            // There is none for the root. (Java ends when it comes to that.)
            Some((limited, LIMITS)) if !limited.is_empty() => self.quotas.insert(limited),
            Some((limited, STATS)) => self.recount(limited),
            _ => {}
        }
        self.charge(path, Growth { count: 1, bytes: data_len as i64 });
    }

    /// A node has gone.
    pub(super) fn quota_deleted(&mut self, path: &str, data_len: usize) {
        if let Some((limited, LIMITS)) = limited_by(path) {
            self.quotas.remove(limited);
        }
        self.charge(path, Growth { count: -1, bytes: -(data_len as i64) });
    }

    /// A node's data has changed.
    pub(super) fn quota_changed(&mut self, path: &str, old_len: usize, new_len: usize) {
        self.charge(path, Growth { count: 0, bytes: new_len as i64 - old_len as i64 });
    }

    /// After a snapshot was loaded: what has limits is known again, and counted.
    pub(super) fn find_quotas(&mut self) {
        let Some(root) = self.resolve(ROOT) else { return };
        let mut found: Vec<NodeId> = Vec::new();
        self.visit_below(root, |id, record| {
            if record.child_count == 0 && record.name() == LIMITS {
                found.push(id);
            }
        });
        let paths: Vec<_> = found.into_iter().map(|id| self.path_of(id)).collect();
        for path in paths {
            if let Some((limited, _)) = limited_by(&path).filter(|(limited, _)| !limited.is_empty()) {
                self.recount(limited);
                self.quotas.insert(limited);
            }
        }
    }

    /// Adds to the statistics of the nearest node with a quota.
    fn charge(&mut self, path: &str, growth: Growth) {
        let Some(limited) = self.quotas.above(path) else { return };
        let Some(node) = self.resolve(&format!("{ROOT}{limited}/{STATS}")) else { return };
        let data = self.nodes.get(node).data();
        let mut numbers = Numbers::parse(data).unwrap_or_else(Numbers::zero);
        for (key, by) in [(COUNT, growth.count), (BYTES, growth.bytes)] {
            let sum = numbers.get(key).wrapping_add(by);
            numbers.0.insert(key.into(), sum);
        }
        self.put_stats(node, &numbers);
    }

    /// Counts a node and all below it.
    fn recount(&mut self, limited: &str) {
        let Some(stats) = self.resolve(&format!("{ROOT}{limited}/{STATS}")) else { return };
        let (mut count, mut bytes) = (0, 0);
        if let Some(top) = self.resolve(limited) {
            let mut add = |data: Option<&[u8]>| {
                count += 1;
                bytes += data.map_or(0, |data| data.len() as i64);
            };
            add(self.nodes.get(top).data());
            self.visit_below(top, |_, record| add(record.data()));
        }
        self.put_stats(stats, &Numbers::of(count, bytes));
    }

    fn put_stats(&mut self, node: NodeId, numbers: &Numbers) {
        let text = numbers.text();
        let path = self.path_of(node);
        let record = self.nodes.get_mut(node);
        let before = record.data().map_or(0, |data| data.len() as u64);
        record.set_data(Some(text.as_bytes()));
        record.crc = digest::prefix(&path, Some(text.as_bytes()));
        self.data_size = self.data_size - before + text.len() as u64;
    }
}

/// The node to which a node below [`ROOT`] belongs (`""`: the root), and the name that says how.
fn limited_by(path: &str) -> Option<(&str, &str)> {
    let below = path.strip_prefix(ROOT).filter(|below| below.starts_with('/'))?;
    below.rsplit_once('/').filter(|(_, name)| matches!(*name, LIMITS | STATS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        Numbers::parse(Some(text.as_bytes())).map(|numbers| numbers.text())
    }

    #[test]
    fn numbers_are_read_and_written_as_java_does() {
        for (text, expected) in [
            ("count=5,bytes=10", "count=5,bytes=10"),
            (
                "count=5,bytes=10=;byteHardLimit=7;countHardLimit=3",
                "count=5,bytes=10=;byteHardLimit=7;countHardLimit=3",
            ),
            ("countHardLimit=3;count=1", "count=1,bytes=-1=;countHardLimit=3"),
            ("bytes=-1,,;count=+7;;", "count=7,bytes=-1"),
            ("", "count=-1,bytes=-1"),
            (";", "count=-1,bytes=-1"),
            ("count==,bytes=1", ""),
            ("count=,bytes=1", ""),
            ("count", ""),
            (",count=1", ""),
            ("count=x", ""),
            ("count= 1", ""),
        ] {
            assert_eq!(read(text).unwrap_or_default(), expected, "{text:?}");
        }
        assert_eq!(Numbers::parse(None), None);
    }

    #[test]
    fn the_longest_prefix_counts_by_component() {
        let mut quotas = Quotas::default();
        assert_eq!(quotas.above("/a"), None);
        quotas.insert("/a");
        quotas.insert("/a/b/c");
        for (path, expected) in [
            ("/a", Some("/a")),
            ("/ab", None),
            ("/a/b", Some("/a")),
            ("/a/b/c", Some("/a/b/c")),
            ("/a/b/cd", Some("/a")),
            ("/a/b/c/d/e", Some("/a/b/c")),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(quotas.above(path), expected, "{path}");
        }
    }
}
