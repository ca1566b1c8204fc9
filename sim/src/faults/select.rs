//! Whom a fault is about.

use crate::dice::Site;
use crate::node::Node;
use crate::scenario::words::Selector;
use crate::world::World;

/// The node that leads: of those that believe so the one with the newest epoch, and of these the one that has got furthest.
pub(super) fn leader(world: &World) -> Option<u32> {
    let claims = world.nodes.iter().filter(|node| node.leads() || is_alone(node));
    claims.max_by_key(|node| (node.rules(), epoch(node), node.id)).map(|node| node.id)
}

/// A server without an ensemble leads itself.
fn is_alone(node: &Node) -> bool {
    node.is_up() && !node.is_member()
}

fn epoch(node: &Node) -> u32 {
    let epochs = node.server.as_ref().and_then(|server| server.replica.epochs());
    epochs.map_or(0, |epochs| epochs.accepted)
}

pub(super) fn select_nodes(
    selector: &Selector,
    event_node: Option<u32>,
    i: u32,
    world: &mut World,
) -> Vec<u32> {
    let all = world.nodes.len() as u32;
    match selector {
        Selector::Node(id) if *id <= all => vec![*id],
        Selector::EventNode => event_node.into_iter().collect(),
        Selector::Leader => leader(world).into_iter().collect(),
        Selector::All | Selector::LeaderClaimed | Selector::Quorum(_) => (1..=all).collect(),
        Selector::Any | Selector::Random(_) => {
            vec![1 + world.dice.below(Site::Selector, i, all.into()) as u32]
        }
        _ => Vec::new(),
    }
}

/// `None`: it selects no clients.
pub(super) fn select_clients(selector: &Selector, world: &World) -> Option<Vec<u32>> {
    match selector {
        Selector::Client(n) => Some(vec![*n]),
        Selector::Clients | Selector::All => Some((0..world.seats.len() as u32).collect()),
        _ => None,
    }
}
