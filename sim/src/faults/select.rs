//! Whom a fault is about.

use zk_core::ids::Sid;
use zk_core::replica::RoleKind;

use crate::dice::{Dice, Site};
use crate::node::Node;
use crate::scenario::words::{Leadership, Selector, Which};
use crate::world::World;

/// The node that leads: of those that believe so the one that serves, and of these the one with the newest epoch.
pub(crate) fn leader(world: &World) -> Option<u32> {
    let claims = world.nodes.iter().filter(|node| node.leads() || is_alone(node));
    claims.max_by_key(|node| (node.rules(), epoch(node), node.id)).map(|node| node.id)
}

/// All nodes but twins.
pub(crate) fn members(world: &World) -> impl Iterator<Item = &Node> {
    world.nodes.iter().filter(|node| !node.is_twin)
}

/// A server without an ensemble leads itself.
fn is_alone(node: &Node) -> bool {
    node.is_up() && !node.is_member()
}

pub(super) fn epoch(node: &Node) -> u32 {
    let epochs = node.server.as_ref().and_then(|server| server.replica.epochs());
    epochs.map_or(0, |epochs| epochs.accepted)
}

/// Nodes, ascending. Where nobody is what the selector asks for, nobody is selected.
pub(super) fn select_nodes(
    selector: &Selector,
    event_node: Option<u32>,
    i: u32,
    world: &mut World,
) -> Vec<u32> {
    let all = members(world).count() as u32;
    let mut nodes = match selector {
        Selector::Node(id) if (1..=all).contains(id) => vec![*id],
        Selector::EventNode => event_node.into_iter().collect(),
        Selector::Leader => leader(world).into_iter().collect(),
        Selector::LeaderClaimed => {
            world.nodes.iter().filter(|node| node.leads() || is_alone(node)).map(|node| node.id).collect()
        }
        Selector::Follower(which) => one_of(RoleKind::Following, *which, i, world).into_iter().collect(),
        Selector::Observer(which) => one_of(RoleKind::Observing, *which, i, world).into_iter().collect(),
        Selector::Quorum(leadership) => some_voters(Wanted::Quorum, *leadership, i, world),
        Selector::Minority(leadership) => some_voters(Wanted::Minority, *leadership, i, world),
        Selector::All => (1..=all).collect(),
        Selector::Any => vec![1 + world.dice.below(Site::Selector, i, all.into()) as u32],
        Selector::Random(count) => {
            let mut nodes: Vec<u32> = (1..=all).collect();
            shuffle(&mut nodes, &mut world.dice, i);
            nodes.truncate(*count as usize);
            nodes
        }
        Selector::Node(_) | Selector::Rest | Selector::Client(_) | Selector::Clients => Vec::new(),
    };
    nodes.sort_unstable();
    nodes
}

/// Lists of nodes, each selected for itself; `rest` is everybody in no other list, and the second list where there is one
/// only. Who is in an earlier list is in no later one.
pub(super) fn select_sides(
    selectors: &[Selector],
    event_node: Option<u32>,
    i: u32,
    world: &mut World,
) -> Vec<Vec<u32>> {
    let mut sides: Vec<Vec<u32>> = Vec::new();
    for selector in selectors {
        let mut side = select_nodes(selector, event_node, i, world);
        side.retain(|node| !sides.iter().any(|other| other.contains(node)));
        sides.push(side);
    }
    let rest: Vec<u32> =
        members(world).map(|node| node.id).filter(|id| !sides.iter().any(|side| side.contains(id))).collect();
    match selectors.iter().position(|selector| *selector == Selector::Rest) {
        Some(at) => sides[at] = rest,
        None if selectors.len() == 1 => sides.push(rest),
        None => {}
    }
    sides
}

/// `None`: it selects no clients.
pub(super) fn select_clients(selector: &Selector, world: &World) -> Option<Vec<u32>> {
    match selector {
        Selector::Client(n) => Some(vec![*n]),
        Selector::Clients | Selector::All => Some((0..world.seats.len() as u32).collect()),
        _ => None,
    }
}

fn one_of(role: RoleKind, which: Which, i: u32, world: &mut World) -> Option<u32> {
    let rank = |node: &Node| {
        let server = node.server.as_ref()?;
        (server.replica.standing().role == role).then_some(())?;
        let last = match which {
            Which::Slowest => server.replica.last_durable(),
            Which::Any | Which::MaxZxid | Which::MinZxid => server.replica.last_logged(),
        };
        Some((last, node.id))
    };
    let mut ranked: Vec<_> = world.nodes.iter().filter_map(rank).collect();
    ranked.sort_unstable();
    let chosen = match which {
        Which::Any => world.dice.below(Site::Selector, i, ranked.len() as u64) as usize,
        Which::MaxZxid => ranked.len().wrapping_sub(1),
        Which::MinZxid | Which::Slowest => 0,
    };
    ranked.get(chosen).map(|(_, id)| *id)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// As few as are a quorum.
    Quorum,
    /// As many as are none.
    Minority,
}

/// Voters in a drawn order, the leader first or left out, until they are what is wanted.
fn some_voters(wanted: Wanted, leadership: Leadership, i: u32, world: &mut World) -> Vec<u32> {
    let Some(quorums) = world.quorums() else { return (1..=world.nodes.len() as u32).collect() };
    let mut voters: Vec<u32> = quorums.voters().filter_map(|sid| u32::try_from(sid.0).ok()).collect();
    shuffle(&mut voters, &mut world.dice, i);
    if let Some(leader) = leader(world).filter(|leader| voters.contains(leader)) {
        voters.retain(|id| *id != leader);
        match leadership {
            Leadership::With => voters.insert(0, leader),
            Leadership::Without => {}
            Leadership::Either => {
                let at = world.dice.below(Site::Selector, i, voters.len() as u64 + 1) as usize;
                voters.insert(at, leader);
            }
        }
    }
    let is_quorum =
        |ids: &[u32]| quorums.contains_quorum(|sid| ids.iter().any(|id| Sid(i64::from(*id)) == sid));
    let mut chosen = Vec::new();
    for id in voters {
        chosen.push(id);
        match (is_quorum(&chosen), wanted) {
            (true, Wanted::Quorum) => break,
            (true, Wanted::Minority) => {
                chosen.pop();
            }
            (false, _) => {}
        }
    }
    chosen
}

pub(crate) fn shuffle(ids: &mut [u32], dice: &mut Dice, entity: u32) {
    for last in (1..ids.len()).rev() {
        ids.swap(last, dice.below(Site::Selector, entity, last as u64 + 1) as usize);
    }
}
