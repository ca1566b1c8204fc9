//! [`Draft`]: a scenario with nothing left open, drawn from a seed, made so that parts of it can be left out.

use std::fmt::Write as _;

use zk_sim::dice::{Dice, Site};
use zk_sim::run::{Options, Run, run};
use zk_sim::scenario::Scenario;

/// A scenario in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Also the seed of the run.
    pub seed: u64,
    /// How long load and faults last.
    pub duration_ms: u64,
    /// Lines of `[cluster]`.
    pub cluster: Vec<String>,
    /// Groups of clients.
    pub workloads: Vec<Load>,
    /// What goes wrong, in order of time.
    pub faults: Vec<Strike>,
}

/// A group of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many.
    pub clients: u64,
    /// Operations per client at most.
    pub operations: u64,
    /// The other lines.
    pub lines: Vec<String>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// When it begins.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// `do = { … }`
    pub action: String,
}

struct Draw(Dice);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(Site::Plan, 0, bound)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.between(Site::Plan, 0, low, high)
    }

    /// Evenly over orders of magnitude: `low · 2^n`.
    fn doubling(&mut self, low: u64, times: u64) -> u64 {
        let base = low << self.below(times + 1);
        base + self.below(base)
    }

    fn chance(&mut self, num: u64, den: u64) -> bool {
        self.0.chance(Site::Plan, 0, num, den)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

impl Draft {
    /// The draft of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut draw = Draw(Dice::new(seed));
        let duration_ms = draw.between(2_000, 12_000);
        let cluster = draw_cluster(&mut draw);
        let loads = draw.between(1, 2);
        let workloads = (0..loads).map(|_| draw_load(&mut draw)).collect();
        let faults = draw_faults(&mut draw, duration_ms);
        Self { seed, duration_ms, cluster, workloads, faults }
    }

    /// As a scenario file.
    pub fn to_toml(&self, title: &str, why: &str) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "title = {title:?}\nwhy = {why:?}");
        let _ = writeln!(out, "seed = {}\nduration = \"{}ms\"\n\n[cluster]", self.seed, self.duration_ms);
        self.cluster.iter().for_each(|line| out.push_str(&format!("{line}\n")));
        for load in &self.workloads {
            let _ =
                writeln!(out, "\n[[workload]]\nclients = {}\noperations = {}", load.clients, load.operations);
            load.lines.iter().for_each(|line| out.push_str(&format!("{line}\n")));
        }
        for Strike { at_ms, for_ms, action } in &self.faults {
            let _ = writeln!(out, "\n[[fault]]\nat = \"{at_ms}ms\"\ndo = {action}\nfor = \"{for_ms}ms\"");
        }
        let _ = writeln!(out, "\n[expect]\nheal_within = \"40s\"");
        out
    }

    /// Runs it.
    pub fn run(&self) -> Run {
        let scenario = Scenario::parse(&self.to_toml("draft", "")).expect("drafts are well formed");
        run(&scenario, self.seed, Options::default()).expect("drafts ask for nothing that is not there")
    }

    /// Parts that could still be left out.
    pub fn size(&self) -> usize {
        self.faults.len()
            + self.workloads.iter().map(|load| (load.clients * load.operations) as usize).sum::<usize>()
    }
}

fn draw_cluster(draw: &mut Draw) -> Vec<String> {
    let mut lines = vec![
        format!("tick = \"{}ms\"", draw.of(&[50, 200, 1000])),
        format!("snap_count = {}", draw.doubling(2, 9)),
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
        lines.push(format!(
            "fsync = {{ min = \"{}us\", mean = \"{}us\" }}",
            draw.doubling(10, 9),
            draw.doubling(10, 10)
        ));
    }
    if draw.chance(1, 3) {
        lines.push(format!("snapshot_pause = {{ min = \"10us\", mean = \"{}us\" }}", draw.doubling(50, 9)));
    }
    lines
}

fn draw_load(draw: &mut Draw) -> Load {
    let weights =
        ["create", "set", "delete", "get", "exists", "children", "multi", "sync_get", "acl", "ping"];
    let mut mix: Vec<String> = Vec::new();
    for name in weights {
        if draw.chance(2, 3) {
            mix.push(format!("{name} = {}", draw.doubling(1, 5)));
        }
    }
    if mix.is_empty() {
        mix.push("set = 1".to_owned());
    }
    let timeout = draw.doubling(300, 5);
    let lines = vec![
        format!("sessions = {{ timeout = \"{timeout}ms..{}ms\" }}", timeout * 2),
        format!("mix = {{ {} }}", mix.join(", ")),
        format!(
            "paths = {{ space = {}, depth = {}, ephemeral = \"{}/4\", sequential = \"{}/4\" }}",
            draw.doubling(1, 5),
            draw.between(1, 3),
            draw.below(5),
            draw.below(4)
        ),
        format!("think = \"{}us\"", draw.doubling(500, 7)),
        format!("watch = \"{}/4\"", draw.below(5)),
        format!("pipeline = {}", draw.doubling(1, 6)),
        format!("data = \"{}\"", draw.doubling(1, 12)),
        format!("closing = \"1/{}\"", draw.doubling(20, 6)),
        format!("auth = {}", draw.chance(1, 4)),
    ];
    Load { clients: draw.between(1, 6), operations: draw.doubling(50, 3), lines }
}

fn draw_faults(draw: &mut Draw, duration_ms: u64) -> Vec<Strike> {
    let mut kinds: Vec<usize> = (0..KINDS).filter(|_| draw.chance(1, 2)).collect();
    if draw.chance(1, 8) {
        // Rot ends most runs: the server must refuse.
        kinds.push(KINDS);
    }
    let every_ms = draw.doubling(60, 5);
    let mut faults = Vec::new();
    let mut at_ms = draw.below(every_ms);
    while at_ms < duration_ms && faults.len() < 60 && !kinds.is_empty() {
        let kind = draw.of(&kinds);
        let action = draw_action(draw, kind);
        faults.push(Strike { at_ms, for_ms: draw.doubling(5, 8), action });
        at_ms += 1 + draw.between(every_ms / 2, every_ms * 2);
    }
    faults
}

const KINDS: usize = 15;

fn draw_action(draw: &mut Draw, kind: usize) -> String {
    let node = "node = \"node:1\"";
    match kind {
        0 => "{ crash = \"node:1\", loss = \"kill\" }".to_owned(),
        1 | 2 => "{ crash = \"node:1\", loss = \"power\" }".to_owned(),
        3 => {
            let loss = draw.of(&["kill", "power"]);
            format!("{{ crash = \"node:1\", loss = \"{loss}\", point = \"before-next-effect\" }}")
        }
        4 => "{ pause = \"node:1\" }".to_owned(),
        5 => "{ reset = \"all\" }".to_owned(),
        6 => format!("{{ clock = {{ {node}, jump = \"{}ms\" }} }}", draw.doubling(1, 20)),
        7 => format!("{{ clock = {{ {node}, back = \"{}ms\" }} }}", draw.doubling(1, 20)),
        8 => format!("{{ clock = {{ {node}, rate = \"{}/1000\" }} }}", draw.between(500, 2_000)),
        9 => format!("{{ disk = {{ {node}, fsync = \"eio\", times = {} }} }}", draw.between(1, 3)),
        10 => format!("{{ disk = {{ {node}, write = \"eio\", times = {} }} }}", draw.between(1, 3)),
        11 => format!("{{ disk = {{ {node}, write = \"enospc\", free = \"{}\" }} }}", draw.doubling(1, 17)),
        12 => format!("{{ disk = {{ {node}, fsync = \"slow\", factor = {} }} }}", draw.doubling(2, 6)),
        13 => "{ client = { who = \"any\", silent = true } }".to_owned(),
        14 => "{ snapshot = \"node:1\" }".to_owned(),
        _ => {
            format!("{{ disk = {{ {node}, rot = \"{}\", bits = 1 }} }}", draw.of(&["log", "log", "snapshot"]))
        }
    }
}
