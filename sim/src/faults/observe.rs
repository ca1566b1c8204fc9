//! What predicates see of the world.

use super::select;
use crate::clock::Time;
use crate::node::Node;
use crate::scenario::predicate::{Global, Observable, Predicate, Value, Whose};
use crate::world::World;

pub(super) fn evaluate(predicate: &Predicate, world: &World, held_since: &mut Option<Time>) -> bool {
    match predicate {
        Predicate::Compare(a, comparison, b) => comparison.holds(number(a, world), number(b, world)),
        Predicate::Truth(value) => number(value, world) != 0,
        Predicate::And(a, b) => evaluate(a, world, held_since) && evaluate(b, world, held_since),
        Predicate::Or(a, b) => evaluate(a, world, held_since) || evaluate(b, world, held_since),
        Predicate::Not(inner) => !evaluate(inner, world, held_since),
        Predicate::Held(inner, span) => {
            if !evaluate(inner, world, &mut None) {
                *held_since = None;
                return false;
            }
            let since = *held_since.get_or_insert(world.now);
            world.now >= since.plus(span.0)
        }
    }
}

fn number(value: &Value, world: &World) -> i64 {
    match value {
        Value::Number(number) => *number,
        Value::Of(whose, observable) => {
            let id = match whose {
                Whose::Leader => select::leader(world).unwrap_or(0),
                Whose::Node(id) => *id,
            };
            world.nodes.get((id as usize).wrapping_sub(1)).map_or(0, |node| observe(node, *observable))
        }
        Value::Global(Global::Commits) => world.commits.len() as i64,
        Value::Global(Global::Quorum) => 1,
        Value::Global(Global::Leaders) => {
            world.nodes.iter().filter(|node| node.rules() || node.is_up() && !node.is_member()).count() as i64
        }
        Value::Global(Global::UnknownOutcomes) => {
            world.seats.iter().map(|seat| seat.client.lost as i64).sum()
        }
        Value::Global(Global::Expired) => world.seats.iter().map(|seat| seat.client.expired as i64).sum(),
        Value::Global(Global::Now) => world.now.0 as i64,
        Value::Global(Global::EpochMax | Global::HealedFor) | Value::Acks(_) | Value::DurableCount(_) => 0,
    }
}

fn observe(node: &Node, observable: Observable) -> i64 {
    let Some(server) = &node.server else { return 0 };
    match observable {
        Observable::Logged => server.replica.last_logged().0,
        Observable::Durable | Observable::Committed => server.replica.last_committed().0,
        Observable::Applied => server.tree.last_zxid().0,
        Observable::SessionCount => server.tree.sessions().count() as i64,
        Observable::Snapshotting => i64::from(server.is_snapshotting()),
        Observable::Up => 1,
        _ => 0,
    }
}
