//! What goes wrong in a draft.

use super::{Draw, Strike, Topology, ensemble};

/// A kind of fault, and how one is drawn: the action, and the highest node that it names.
pub(super) type Kind = fn(&mut Draw, &Topology) -> (String, u32);

/// Swarm testing: each kind is there or not, then one of those that are there is drawn every now and then.
pub(super) fn draw(topology: &Topology, duration_ms: u64, draw: &mut Draw) -> Vec<Strike> {
    let mut kinds: Vec<Kind> = ANY.iter().copied().filter(|_| draw.chance(1, 2)).collect();
    if topology.count() > 1 {
        kinds.extend(ensemble::KINDS.iter().copied().filter(|_| draw.chance(1, 2)));
    }
    if topology.count() == 1 && draw.chance(1, 8) {
        // Rot ends most runs of a server alone: it must refuse.
        kinds.push(rot);
    }
    let every_ms = draw.doubling(60, 5);
    let mut faults = Vec::new();
    let mut at_ms = draw.below(every_ms);
    while at_ms < duration_ms && faults.len() < 60 && !kinds.is_empty() {
        let (action, node) = draw.of(&kinds)(draw, topology);
        faults.push(Strike { at_ms, for_ms: draw.doubling(5, 8), node, action });
        at_ms += 1 + draw.between(every_ms / 2, every_ms * 2);
    }
    faults
}

/// What can happen to a server, whether it is alone or not.
const ANY: &[Kind] = &[
    kill,
    power,
    power,
    crash_between,
    pause,
    |_, _| ("{ reset = \"all\" }".to_owned(), 0),
    |draw, t| clock(draw, t, |draw| format!("jump = \"{}ms\"", draw.doubling(1, 20))),
    |draw, t| clock(draw, t, |draw| format!("back = \"{}ms\"", draw.doubling(1, 20))),
    |draw, t| clock(draw, t, |draw| format!("rate = \"{}/1000\"", draw.between(500, 2_000))),
    |draw, t| disk(draw, t, |draw| format!("fsync = \"eio\", times = {}", draw.between(1, 3))),
    |draw, t| disk(draw, t, |draw| format!("write = \"eio\", times = {}", draw.between(1, 3))),
    |draw, t| disk(draw, t, |draw| format!("write = \"enospc\", free = \"{}\"", draw.doubling(1, 17))),
    |draw, t| disk(draw, t, |draw| format!("fsync = \"slow\", factor = {}", draw.doubling(2, 6))),
    |_, _| ("{ client = { who = \"any\", silent = true } }".to_owned(), 0),
    |draw, t| {
        let (node, highest) = some_node(draw, t);
        (format!("{{ snapshot = \"{node}\" }}"), highest)
    },
];

/// A node by number; in an ensemble now and then by what it is.
pub(super) fn some_node(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let count = topology.count();
    if count > 1 && draw.chance(1, 3) {
        return (draw.of(&["leader", "follower:any", "follower:max_zxid", "random(1)"]).to_owned(), 0);
    }
    let node = if count > 1 { draw.between(1, u64::from(count)) as u32 } else { 1 };
    (format!("node:{node}"), node)
}

fn kill(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    crash(draw, topology, "kill")
}

fn power(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    crash(draw, topology, "power")
}

fn crash(draw: &mut Draw, topology: &Topology, loss: &str) -> (String, u32) {
    let (node, highest) = some_node(draw, topology);
    (format!("{{ crash = \"{node}\", loss = \"{loss}\" }}"), highest)
}

fn crash_between(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let (node, highest) = some_node(draw, topology);
    let loss = draw.of(&["kill", "power"]);
    (format!("{{ crash = \"{node}\", loss = \"{loss}\", point = \"before-next-effect\" }}"), highest)
}

fn pause(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    let (node, highest) = some_node(draw, topology);
    (format!("{{ pause = \"{node}\" }}"), highest)
}

fn clock(draw: &mut Draw, topology: &Topology, how: fn(&mut Draw) -> String) -> (String, u32) {
    let (node, highest) = some_node(draw, topology);
    (format!("{{ clock = {{ node = \"{node}\", {} }} }}", how(draw)), highest)
}

fn disk(draw: &mut Draw, topology: &Topology, how: fn(&mut Draw) -> String) -> (String, u32) {
    let (node, highest) = some_node(draw, topology);
    (format!("{{ disk = {{ node = \"{node}\", {} }} }}", how(draw)), highest)
}

fn rot(draw: &mut Draw, topology: &Topology) -> (String, u32) {
    disk(draw, topology, |draw| format!("rot = \"{}\", bits = 1", draw.of(&["log", "log", "snapshot"])))
}
