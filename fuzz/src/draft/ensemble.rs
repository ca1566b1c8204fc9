//! What goes wrong among servers in a draft.
//!
//! Bits of what servers send one another are not flipped here: the wire has no checksum of its own, in Java's protocol
//! neither, so a wrong bit that gets through TCP's is a wrong txn, and nothing could be told from a bug.

use super::faults::{Kind, some_node};
use super::{Draw, Topology};

/// What can happen among servers.
pub(super) const KINDS: &[Kind] = &[
    partition, partition, one_way, pair, hold, dial_hang, throttle, reset, together, twin, wipe, backup,
    rollback,
];

/// Whether a server alone can make nothing of an action.
pub(super) fn is_among_servers(action: &str) -> bool {
    ["wipe", "rollback", "twin", "partition", "hold", "dial_hang", "throttle"]
        .iter()
        .any(|verb| action.starts_with(&format!("{{ {verb} =")))
}

/// Some servers on one side, everybody else on the other, on one port or both. Between two ports, what is said on one
/// contradicts what is heard on the other.
fn partition(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let (side, highest) = side(draw, topology);
    let ports = draw.of(&["all", "all", "all", "election", "quorum", "client"]);
    (format!("{{ partition = [\"{side}\", \"rest\"], ports = \"{ports}\" }}"), highest)
}

/// They hear everybody, or everybody hears them.
fn one_way(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let (side, highest) = side(draw, topology);
    let direction = draw.of(&["in", "out"]);
    let ports = draw.of(&["all", "all", "election", "quorum"]);
    let more = format!("direction = \"{direction}\", ports = \"{ports}\"");
    (format!("{{ partition = [\"{side}\", \"rest\"], {more} }}"), highest)
}

/// Two servers do not hear each other, and everybody else hears both.
fn pair(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let (a, highest) = some_node(draw, topology);
    let (b, other) = some_node(draw, topology);
    let direction = draw.of(&["both", "both", "in", "out"]);
    (format!("{{ partition = [\"{a}\", \"{b}\"], direction = \"{direction}\" }}"), highest.max(other))
}

/// What is under way arrives late, and nobody hangs up for it.
fn hold(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let (side, highest) = side(draw, topology);
    let direction = draw.of(&["both", "in", "out"]);
    let ports = draw.of(&["all", "all", "election", "quorum"]);
    (format!("{{ hold = \"{side}\", direction = \"{direction}\", ports = \"{ports}\" }}"), highest)
}

/// Connections go on, and new ones do not come about.
fn dial_hang(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let (side, highest) = side(draw, topology);
    let ports = draw.of(&["all", "election", "quorum"]);
    (format!("{{ dial_hang = \"{side}\", ports = \"{ports}\" }}"), highest)
}

fn throttle(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let (node, highest) = some_node(draw, topology);
    (format!("{{ throttle = \"{node}\", rate = \"{}\" }}", draw.doubling(512, 8)), highest)
}

/// Frames are cut anywhere, and one end may hear of it late.
fn reset(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let (node, highest) = some_node(draw, topology);
    let ports = draw.of(&["all", "all", "election", "quorum"]);
    (format!("{{ reset = \"{node}\", ports = \"{ports}\" }}"), highest)
}

/// Several servers end at once.
fn together(draw: &mut Draw, _: &Topology) -> (String, u32) {
    let who = draw.of(&["all", "quorum", "minority(with leader)", "random(2)"]);
    let loss = draw.of(&["kill", "power", "power"]);
    (format!("{{ crash = \"{who}\", loss = \"{loss}\" }}"), 0)
}

fn twin(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let node = draw.between(1, u64::from(topology.count())) as u32;
    (format!("{{ twin = \"node:{node}\" }}"), node)
}

/// One at a time; more than the ensemble can bear over a run, now and then. The oracle knows when too little is left.
fn wipe(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let (node, highest) = some_node(draw, topology);
    (format!("{{ wipe = \"{node}\" }}"), highest)
}

fn backup(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let who = draw.between(1, u64::from(topology.count())) as u32;
    (format!("{{ backup = \"node:{who}\" }}"), who)
}

/// Of a server without a backup: everything is gone.
fn rollback(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let who = draw.between(1, u64::from(topology.count())) as u32;
    (format!("{{ rollback = \"node:{who}\" }}"), who)
}

/// Servers to be cut off.
fn side(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    if draw.chance(1, 2) {
        return some_node(draw, topology);
    }
    let half = format!("random({})", topology.count().div_ceil(2));
    let sides = ["leader", "minority(with leader)", "minority(without leader)", "quorum", half.as_str()];
    (draw.of(&sides).to_owned(), 0)
}
