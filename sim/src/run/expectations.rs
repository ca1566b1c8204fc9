//! `[expect]`: what a scenario says must come of it.

use zk_core::ids::Zxid;
use zk_core::replica::{RoleKind, SyncKind};

use super::{Runner, Verdict};
use crate::faults;
use crate::node::Node;
use crate::scenario::units::Span;
use crate::scenario::words::Selector;
use crate::scenario::{Last, NodeExpect, RoleWord, Scenario, SyncWord};

/// The verdict, unless something that was expected did not come about.
pub(super) fn check(runner: &Runner, scenario: &Scenario, verdict: Verdict) -> Verdict {
    match (&verdict, scenario.expect.refused) {
        (Verdict::Held, true) => {
            Verdict::Unexpected("refused: damaged data should be refused, and is served".to_owned())
        }
        (Verdict::Held, false) => unmet(runner, scenario).map_or(verdict, Verdict::Unexpected),
        (Verdict::Lost(_), true) => {
            Verdict::Unexpected("refused: damaged data should be refused, and was lost".to_owned())
        }
        (Verdict::Refused(_) | Verdict::Lost(_), _) => {
            never(runner, scenario).map_or(verdict, Verdict::Unexpected)
        }
        _ => verdict,
    }
}

fn unmet(runner: &Runner, scenario: &Scenario) -> Option<String> {
    let (expect, world) = (&scenario.expect, &runner.world);
    let commits = world.commits.len() as u64;
    if let Some(least) = expect.min_commits.filter(|least| commits < *least) {
        return Some(format!("min_commits: {commits} commits, {least} expected"));
    }
    if let Some(most) = &expect.max_unavailable {
        let most = most.draw(&mut world.dice.clone(), 1 << 17);
        if runner.gap.0 > most.0 {
            return Some(format!("max_unavailable: {} without a commit", Span(runner.gap.0)));
        }
    }
    if let Some(mark) = expect.seen.iter().find(|mark| !world.trace.marks().contains_key(mark.as_str())) {
        return Some(format!("seen: {mark} was not seen"));
    }
    let leads = faults::leader(world);
    if let Some(leader) = expect.leader.filter(|leader| leads != Some(*leader)) {
        return Some(format!("leader: {leads:?} leads at the end, {leader} expected"));
    }
    let of_node = expect.node.iter().find_map(|(id, expect)| {
        match id.parse().map(|id: usize| world.nodes.get(id - 1)) {
            Ok(Some(node)) => unmet_by(node, expect),
            _ => Some(format!("node.{id}: there is no such node")),
        }
    });
    of_node.or_else(|| unmet_at_last(expect.last.as_ref()?, world)).or_else(|| never(runner, scenario))
}

fn never(runner: &Runner, scenario: &Scenario) -> Option<String> {
    let marks = runner.world.trace.marks();
    let seen = scenario.expect.never.iter().find(|mark| marks.contains_key(mark.as_str()))?;
    Some(format!("never: {seen} was seen"))
}

fn unmet_by(node: &Node, expect: &NodeExpect) -> Option<String> {
    let id = node.id;
    if let Some(role) = &expect.role {
        let found = node.server.as_ref().map(|server| server.replica.standing().role);
        let wanted = match role {
            RoleWord::Leading => RoleKind::Leading,
            RoleWord::Following => RoleKind::Following,
            RoleWord::Observing => RoleKind::Observing,
        };
        if found != Some(wanted) {
            return Some(format!("node.{id}.role: {found:?} at the end, {wanted:?} expected"));
        }
    }
    if let Some(sync) = &expect.sync {
        let wanted = match sync {
            SyncWord::Diff => SyncKind::Diff,
            SyncWord::Trunc => SyncKind::Trunc,
            SyncWord::Snap => SyncKind::Snap,
        };
        if !node.syncs.contains(&wanted) {
            return Some(format!("node.{id}.sync: {wanted:?} expected, found {:?}", node.syncs));
        }
    }
    None
}

fn unmet_at_last(last: &Last, world: &crate::world::World) -> Option<String> {
    let is_meant = |node: &&Node| match last.node {
        None | Some(Selector::All) => !node.is_twin,
        Some(Selector::Node(id)) => node.id == id,
        _ => false,
    };
    let nodes: Vec<&Node> = world.nodes.iter().filter(is_meant).collect();
    if nodes.is_empty() {
        return Some("final.node: expected all or node:N of a node that there is".to_owned());
    }
    let state =
        |node: &Node| node.server.as_ref().map(|server| (server.tree.last_zxid(), server.tree.digest()));
    if let Some(up) = last.up
        && let Some(other) = nodes.iter().find(|node| node.is_up() != up)
    {
        return Some(format!("final.up: {up} expected, node {} is otherwise", other.id));
    }
    let newest = world.commits.states().last();
    let stale = |node: &&&Node| state(node).is_none_or(|(zxid, _)| zxid < newest);
    if last.converged == Some(true)
        && let Some(stale) = nodes.iter().find(stale)
    {
        let found: Option<Zxid> = state(stale).map(|(zxid, _)| zxid);
        return Some(format!("final.converged: node {} is at {found:?}, {newest} is committed", stale.id));
    }
    None
}
