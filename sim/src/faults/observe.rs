//! What predicates see of the world.

use zk_core::ids::Zxid;
use zk_core::replica::{Phase, RoleKind, SyncKind};

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
        Value::Acks(zxid) => {
            let zxid = Zxid(number(zxid, world));
            let leader = select::leader(world).map(|id| &world.nodes[id as usize - 1]);
            leader.and_then(|node| node.server.as_ref()).map_or(0, |server| server.acks(zxid) as i64)
        }
        Value::DurableCount(zxid) => {
            let zxid = Zxid(number(zxid, world));
            match &world.ensemble {
                Some(ensemble) => ensemble.holders(zxid).len() as i64,
                None => {
                    world.nodes.iter().filter(|node| observe(node, Observable::Durable) >= zxid.0).count()
                        as i64
                }
            }
        }
        Value::Global(global) => observe_world(*global, world),
    }
}

fn observe_world(global: Global, world: &World) -> i64 {
    match global {
        Global::Commits => world.commits.len() as i64,
        Global::Quorum => {
            world.quorums().map_or(1, |quorums| quorums.in_force().voters().len() as i64 / 2 + 1)
        }
        Global::Leaders => {
            world.nodes.iter().filter(|node| node.rules() || node.is_up() && !node.is_member()).count() as i64
        }
        Global::EpochMax => world.nodes.iter().map(|node| i64::from(select::epoch(node))).max().unwrap_or(0),
        Global::HealedFor => world.healed_since.map_or(0, |since| (world.now.0 - since.0) as i64),
        Global::UnknownOutcomes => world.seats.iter().map(|seat| seat.client.lost as i64).sum(),
        Global::Expired => world.seats.iter().map(|seat| seat.client.expired as i64).sum(),
        Global::Now => world.now.0 as i64,
    }
}

fn observe(node: &Node, observable: Observable) -> i64 {
    let Some(server) = &node.server else { return 0 };
    let replica = &server.replica;
    match observable {
        Observable::Logged => replica.last_logged().0,
        Observable::Durable => replica.last_durable().0,
        Observable::Committed => replica.last_committed().0,
        Observable::Applied => server.tree.last_zxid().0,
        Observable::SessionCount => server.tree.sessions().count() as i64,
        Observable::Snapshotting => i64::from(server.is_snapshotting()),
        Observable::Up => 1,
        Observable::Role => role(replica.standing().role),
        Observable::Phase => phase(replica.standing().phase),
        Observable::Round => replica.election().map_or(0, |port| port.election().round()),
        Observable::AcceptedEpoch => replica.epochs().map_or(0, |epochs| i64::from(epochs.accepted)),
        Observable::CurrentEpoch => replica.epochs().map_or(0, |epochs| i64::from(epochs.current)),
        Observable::SyncKind => replica.sync_kind().map_or(0, sync_kind),
    }
}

/// As the words of predicates have it.
const fn role(role: RoleKind) -> i64 {
    match role {
        RoleKind::Standalone => 0,
        RoleKind::Looking => 1,
        RoleKind::Following => 2,
        RoleKind::Observing => 3,
        RoleKind::Leading => 4,
    }
}

const fn phase(phase: Phase) -> i64 {
    match phase {
        Phase::Election => 1,
        Phase::Discovery => 2,
        Phase::Synchronization => 3,
        Phase::Broadcast => 4,
    }
}

const fn sync_kind(kind: SyncKind) -> i64 {
    match kind {
        SyncKind::Diff => 1,
        SyncKind::Trunc => 2,
        SyncKind::Snap => 3,
    }
}
