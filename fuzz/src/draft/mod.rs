//! [`Draft`]: a scenario with nothing left open, drawn from a seed, made so that parts of it can be left out.

mod api;
mod ensemble;
mod faults;
mod load;
mod topology;

use std::fmt::Write as _;

use zk_sim::dice::{Dice, Site};
use zk_sim::run::{Options, Run, run};
use zk_sim::scenario::Scenario;

pub use topology::Topology;

/// A scenario in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Also the seed of the run.
    pub seed: u64,
    /// How long load and faults last.
    pub duration_ms: u64,
    /// The servers.
    pub topology: Topology,
    /// Other lines of `[cluster]`.
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
    /// The highest node that it names; 0 if it names none.
    pub node: u32,
    /// `do = { … }`
    pub action: String,
}

/// Draws of one entity do not touch another's.
struct Draw(Dice, u32);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(Site::Plan, self.1, bound)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.between(Site::Plan, self.1, low, high)
    }

    /// Evenly over orders of magnitude: `low · 2^n`.
    fn doubling(&mut self, low: u64, times: u64) -> u64 {
        let base = low << self.below(times + 1);
        base + self.below(base)
    }

    fn chance(&mut self, num: u64, den: u64) -> bool {
        self.0.chance(Site::Plan, self.1, num, den)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

impl Draft {
    /// The draft of a seed: one in three is a server alone.
    pub fn draw(seed: u64) -> Self {
        let mut draw = Draw(Dice::new(seed), 0);
        let topology = Topology::draw(&mut draw);
        let duration_ms = draw.between(2_000, 12_000);
        let api = api::draw(&mut Draw(Dice::new(seed), 1));
        let mut cluster = topology::draw_settings(&topology, &mut draw);
        cluster.extend(api.cluster.iter().cloned());
        let loads = draw.between(1, 2);
        let workloads = (0..loads).map(|_| load::draw(&mut draw, &api)).collect();
        let faults = faults::draw(&topology, duration_ms, &mut draw);
        Self { seed, duration_ms, topology, cluster, workloads, faults }
    }

    /// As a scenario file.
    pub fn to_toml(&self, title: &str, why: &str) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "title = {title:?}\nwhy = {why:?}");
        let _ = writeln!(out, "seed = {}\nduration = \"{}ms\"\n\n[cluster]", self.seed, self.duration_ms);
        self.topology.put_members(&mut out);
        self.cluster.iter().for_each(|line| out.push_str(&format!("{line}\n")));
        self.topology.put_nodes(&mut out);
        for load in &self.workloads {
            let _ =
                writeln!(out, "\n[[workload]]\nclients = {}\noperations = {}", load.clients, load.operations);
            load.lines.iter().for_each(|line| out.push_str(&format!("{line}\n")));
        }
        for Strike { at_ms, for_ms, action, .. } in &self.faults {
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
            + self.topology.count() as usize
            + self.workloads.iter().map(|load| (load.clients * load.operations) as usize).sum::<usize>()
    }

    /// With fewer servers, and without the faults of those that are gone.
    pub(crate) fn with_topology(&self, topology: Topology) -> Self {
        let mut smaller = self.clone();
        smaller.faults.retain(|strike| strike.node <= topology.count());
        if topology.count() == 1 {
            // What is destroyed among servers others make good; alone it is only lost.
            smaller.faults.retain(|strike| !ensemble::is_among_servers(&strike.action));
        }
        smaller.topology = topology;
        smaller
    }
}
