//! Which servers a draft has, and how they are set up.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Draw;

/// The members of an ensemble, or a server alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Servers with a vote: nodes 1, 2, …
    pub voters: u32,
    /// Servers without: the nodes behind them.
    pub observers: u32,
    /// Voters by groups; none: majorities.
    pub groups: Vec<Vec<u32>>,
    /// Lines about single nodes.
    pub nodes: BTreeMap<u32, Vec<String>>,
}

impl Topology {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        if draw.chance(1, 3) {
            return Self { voters: 1, ..Self::default() };
        }
        let voters = draw.of(&[2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7]);
        let observers = draw.of(&[0, 0, 0, 1, 2]);
        let mut topology = Self { voters, observers, ..Self::default() };
        if voters >= 5 && draw.chance(1, 3) {
            topology.draw_groups(draw);
        }
        if draw.chance(1, 4) {
            topology.draw_histories(draw);
        }
        topology
    }

    /// Groups of one to three, and here and there a server that weighs more than others, or nothing.
    fn draw_groups(&mut self, draw: &mut Draw) {
        let mut next = 1;
        while next <= self.voters {
            let size = draw.between(1, 3).min(u64::from(self.voters - next + 1)) as u32;
            self.groups.push((next..next + size).collect());
            next += size;
        }
        for group in self.groups.clone().iter().filter(|group| group.len() > 1) {
            if draw.chance(1, 3) {
                let weight = draw.of(&[0, 2, 3]);
                self.nodes.entry(group[0]).or_default().push(format!("weight = {weight}"));
            }
        }
    }

    /// What servers may hold that have met before. Either all have some part of one leader's log. Or a quorum has followed
    /// another leader since, and has some part of its log, if that has anything yet, and who was not among them may have a tail
    /// that is lost. Any of them may have a snapshot of what its log ends with: Java takes such before anybody has confirmed
    /// anything.
    fn draw_histories(&mut self, draw: &mut Draw) {
        let common = draw.doubling(4, 6);
        let first = |counter: u64| 1u64 << 32 | counter;
        let later = if draw.chance(1, 2) { None } else { Some(draw.between(2, 3)) };
        let outside = u64::from(if self.groups.is_empty() { (self.voters - 1) / 2 } else { 0 });
        let followed = self.voters - draw.below(outside + 1) as u32;
        let nothing_yet = draw.chance(1, 2);
        let shift = draw.below(u64::from(self.voters)) as u32;
        for id in 1..=self.count() {
            let followed = id <= self.voters && (id - 1 + shift) % self.voters < followed;
            let (epoch, zxid) = match later {
                None => (1, first(common - draw.below(4))),
                Some(epoch) if followed => {
                    let tail = if nothing_yet { 0 } else { draw.below(4) };
                    (epoch, if tail == 0 { first(common) } else { epoch << 32 | tail })
                }
                Some(_) if id <= self.voters => (1, first(common + draw.below(4))),
                Some(_) => (1, first(common)),
            };
            let is_lost = epoch == 1 && zxid > first(common);
            let branch = if is_lost { format!(", branch = {}", first(common)) } else { String::new() };
            let snapshot = if draw.chance(1, 3) { format!(", snapshot = {zxid}") } else { String::new() };
            let line = format!("start = {{ epoch = {epoch}, zxid = {zxid}{branch}{snapshot} }}");
            self.nodes.entry(id).or_default().push(line);
        }
    }

    /// All of them.
    pub const fn count(&self) -> u32 {
        self.voters + self.observers
    }

    /// The next smaller ones, the most wanted first.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut put = |change: &dyn Fn(&mut Self)| {
            let mut candidate = self.clone();
            change(&mut candidate);
            if candidate != *self {
                let count = candidate.count();
                candidate.nodes.retain(|id, lines| *id <= count && !lines.is_empty());
                all.push(candidate);
            }
        };
        put(&|t| *t = Self { voters: 1, ..Self::default() });
        put(&|t| {
            t.groups.clear();
            t.nodes.values_mut().for_each(|lines| lines.retain(|line| !line.starts_with("weight")));
        });
        put(&|t| t.observers = 0);
        if self.groups.is_empty() && self.observers == 0 {
            put(&|t| t.voters = 3.min(t.voters));
            put(&|t| t.voters = (t.voters - 1).max(1));
        }
        put(&|t| t.nodes.values_mut().for_each(|lines| lines.retain(|line| !line.starts_with("start"))));
        all
    }

    pub(super) fn put_members(&self, out: &mut String) {
        let _ = writeln!(out, "voters = {}", self.voters);
        if self.observers > 0 {
            let _ = writeln!(out, "observers = {}", self.observers);
        }
        if !self.groups.is_empty() {
            let _ = writeln!(out, "groups = {:?}", self.groups);
        }
    }

    pub(super) fn put_nodes(&self, out: &mut String) {
        for (id, lines) in &self.nodes {
            let _ = writeln!(out, "\n[cluster.node.{id}]");
            lines.iter().for_each(|line| out.push_str(&format!("{line}\n")));
        }
    }
}

pub(super) fn draw_settings(topology: &Topology, draw: &mut Draw) -> Vec<String> {
    let is_ensemble = topology.count() > 1;
    // A snapshot that takes longer than a learner is waited for never gets through, in any implementation.
    let slow_snapshots = draw.chance(1, 3);
    let ticks: &[u64] = if is_ensemble && slow_snapshots { &[1000] } else { &[50, 200, 1000] };
    let tick = draw.of(ticks);
    let mut snap_count = draw.doubling(2, 9);
    let mut lines = vec![
        format!("tick = \"{tick}ms\""),
        format!("prealloc = \"{}\"", draw.of(&[0, 512, 4096, 16384, 65536])),
        format!("compression = \"{}\"", draw.of(&["none", "none", "gz", "snappy"])),
        format!("restart_after = \"{}ms\"", draw.doubling(20, 5)),
        format!("snapshot_piece = \"{}\"", draw.doubling(64, 8)),
    ];
    if draw.chance(1, 2) {
        lines.push(format!("purge_interval = \"{}ms\"", draw.doubling(100, 5)));
    }
    if draw.chance(1, 4) {
        lines.push(format!("outstanding = {}", draw.doubling(1, 6)));
    }
    if draw.chance(1, 3) {
        let (min_us, mean_us) = (draw.doubling(10, 9), draw.doubling(10, 10));
        lines.push(format!("fsync = {{ min = \"{min_us}us\", mean = \"{mean_us}us\" }}"));
        if min_us + mean_us > SLOW_FSYNC_US {
            snap_count = snap_count.max(SNAP_COUNT_SLOW_MIN);
        }
    }
    lines.push(format!("snap_count = {snap_count}"));
    if slow_snapshots {
        let doublings = if is_ensemble { 6 } else { 9 };
        lines.push(format!(
            "snapshot_pause = {{ min = \"10us\", mean = \"{}us\" }}",
            draw.doubling(50, doublings)
        ));
    }
    if is_ensemble {
        draw_ensemble(draw, &mut lines, slow_snapshots);
    }
    lines
}

/// Each new log costs fsyncs of its own. A disk that takes so long for each keeps up with the load no more if a new one is begun
/// every few txns.
const SLOW_FSYNC_US: u64 = 4_000;
const SNAP_COUNT_SLOW_MIN: u64 = 32;

/// What only members of an ensemble have. Extremes, on purpose: windows of nothing, patience of one tick.
fn draw_ensemble(draw: &mut Draw, lines: &mut Vec<String>, slow_snapshots: bool) {
    if draw.chance(1, 2) {
        lines.push(format!("window = \"{}\"", draw.doubling(64, 10)));
    }
    if draw.chance(1, 3) {
        lines.push(format!("log_share = \"{}\"", draw.of(&["never", "any", "100", "2000"])));
    }
    if draw.chance(1, 10) {
        lines.push("force_snapshot_sync = true".to_owned());
    }
    if draw.chance(1, 10) {
        lines.push("leader_serves = \"no\"".to_owned());
    }
    if draw.chance(1, 3) {
        lines.push(format!("sessions = \"{}\"", draw.of(&["local", "upgrading"])));
    }
    if draw.chance(1, 3) {
        lines.push(format!("read_only_after = \"{}ms\"", draw.doubling(100, 6)));
    }
    if draw.chance(1, 4) && !slow_snapshots {
        lines.push(format!("init_limit = {}", draw.between(2, 20)));
        lines.push(format!("sync_limit = {}", draw.between(2, 10)));
    }
}
