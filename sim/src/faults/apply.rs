//! What faults do, and how each is undone.

use zk_core::input::AdminCommand;

use super::select::{select_clients, select_nodes, select_sides};
use crate::dice::Site;
use crate::node::{Loss, NodeEvent};
use crate::oracle::{Destroyed, Ledger, Violation};
use crate::scenario::units::{Drawn, Ratio, Size};
use crate::scenario::words::Selector;
use crate::scenario::{Action, ClientAction, ClockAction, DiskAction};
use crate::wires::{Cut, CutId, Kind, Port};
use crate::world::World;

/// What ends a fault.
#[derive(Clone, Debug)]
pub(super) enum Undo {
    Boot(Vec<u32>),
    Unpause(Vec<u32>),
    Slow(Vec<u32>),
    HealDisk(Vec<u32>),
    ClockRate(Vec<u32>),
    Mend(Vec<CutId>),
    LetIn(u64),
    Paths(Vec<(u32, u32)>),
    EndTwin(u32),
    Nothing,
}

/// Where a fault comes from: its number, and the node of the event that it waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    pub(super) i: u32,
    pub(super) event_node: Option<u32>,
}

impl Cause {
    fn nodes(self, who: &Selector, world: &mut World) -> Vec<u32> {
        select_nodes(who, self.event_node, self.i, world)
    }
}

/// Bytes per second of a throttled path, unless the fault says how many.
const THROTTLED: Size = Size(16 << 10);
/// One chunk in so many is garbled, unless the fault says how many.
const GARBLED_ONE_IN: u64 = 50;
/// Longer than any session lives without a word.
const SILENCE_NS: u64 = 60_000_000_000;

/// Does it. `rots` tells one time that bits rot from the next.
pub(super) fn apply(
    action: &Action,
    cause: Cause,
    rots: &mut u64,
    world: &mut World,
) -> Result<Undo, Violation> {
    if let Some(undo) = apply_to_processes(action, cause, world)? {
        return Ok(undo);
    }
    if let Some(undo) = apply_to_links(action, cause, world) {
        return Ok(undo);
    }
    if let Some(who) = &action.wipe {
        let ids = cause.nodes(who, world);
        ids.iter().for_each(|id| lose_data(*id, None, world));
        return Ok(Undo::Boot(ids));
    }
    if let Some(who) = &action.backup {
        for id in cause.nodes(who, world) {
            let node = &mut world.nodes[id as usize - 1];
            let mut image = node.disk.clone();
            image.faults = Default::default();
            image.lose_power();
            node.backup = Some(Box::new(image));
        }
        return Ok(Undo::Nothing);
    }
    if let Some(who) = &action.rollback {
        let ids = cause.nodes(who, world);
        for id in &ids {
            let backup = world.nodes[*id as usize - 1].backup.clone();
            lose_data(*id, backup, world);
        }
        return Ok(Undo::Boot(ids));
    }
    if let Some(who) = &action.twin {
        let twin = cause.nodes(who, world).first().and_then(|id| begin_twin(*id, world));
        return Ok(twin.map_or(Undo::Nothing, Undo::EndTwin));
    }
    if let Some(disk) = &action.disk {
        let ids = cause.nodes(disk.node.as_ref().unwrap_or(&Selector::All), world);
        ids.iter().for_each(|id| hurt_disk(*id, disk, cause.i, rots, world));
        return Ok(Undo::HealDisk(ids));
    }
    if let Some(clock) = &action.clock {
        let ids = cause.nodes(clock.node.as_ref().unwrap_or(&Selector::All), world);
        ids.iter().for_each(|id| skew(*id, clock, cause.i, world));
        return Ok(Undo::ClockRate(ids));
    }
    if let Some(client) = &action.client {
        trouble(client, cause.i, world);
    }
    Ok(Undo::Nothing)
}

fn apply_to_processes(action: &Action, cause: Cause, world: &mut World) -> Result<Option<Undo>, Violation> {
    if let Some(who) = &action.crash {
        let loss = if action.loss.as_deref() == Some("power") { Loss::Power } else { Loss::Kill };
        let ids = cause.nodes(who, world);
        for id in &ids {
            let node = &mut world.nodes[*id as usize - 1];
            if action.point.is_some() {
                node.crash_at = Some((node.boundaries + 1, loss));
            } else if node.is_up() {
                world.crash(*id, loss);
            }
        }
        return Ok(Some(Undo::Boot(ids)));
    }
    if let Some(who) = &action.restart {
        let ids = cause.nodes(who, world);
        for id in &ids {
            if world.nodes[*id as usize - 1].is_up() {
                world.with_node(*id, |node, cx| node.admin(AdminCommand::Drain, cx))?;
                world.crash(*id, Loss::Kill);
            }
        }
        return Ok(Some(Undo::Boot(ids)));
    }
    if let Some(who) = &action.pause {
        let ids = cause.nodes(who, world);
        ids.iter().for_each(|id| world.pause(*id));
        return Ok(Some(Undo::Unpause(ids)));
    }
    if let Some(who) = &action.slow {
        let ids = cause.nodes(who, world);
        for id in &ids {
            world.nodes[*id as usize - 1].slow_syncs(action.factor.unwrap_or(10).into());
        }
        return Ok(Some(Undo::Slow(ids)));
    }
    if let Some(who) = &action.snapshot {
        for id in cause.nodes(who, world) {
            if world.nodes[id as usize - 1].is_up() {
                world.with_node(id, |node, cx| node.admin(AdminCommand::Snapshot, cx))?;
            }
        }
        return Ok(Some(Undo::Nothing));
    }
    if let Some(who) = &action.purge {
        for id in cause.nodes(who, world) {
            if world.nodes[id as usize - 1].is_up() {
                world.with_node(id, |node, cx| node.event(NodeEvent::Purge, cx))?;
            }
        }
        return Ok(Some(Undo::Nothing));
    }
    Ok(None)
}

fn apply_to_links(action: &Action, cause: Cause, world: &mut World) -> Option<Undo> {
    if let Some(sides) = &action.partition {
        let sides = select_sides(sides, cause.event_node, cause.i, world);
        world.trace.mark("partition");
        if action.ports.as_deref() == Some("client") {
            return Some(Undo::LetIn(world.keep_clients_out(sides.into_iter().next().unwrap_or_default())));
        }
        return Some(Undo::Mend(cut(&sides, action, Kind::Lose, world)));
    }
    let stuck = [(&action.hold, Kind::Hold, "links-held"), (&action.dial_hang, Kind::Hang, "dials-hang")];
    if let Some((Some(who), kind, mark)) = stuck.into_iter().find(|(who, ..)| who.is_some()) {
        let side = cause.nodes(who, world);
        let rest = world.nodes.iter().map(|node| node.id).filter(|id| !side.contains(id)).collect();
        world.trace.mark(mark);
        return Some(Undo::Mend(cut(&[side, rest], action, kind, world)));
    }
    if action.heal.is_some() {
        world.mend(&world.wires.paths.cuts());
        world.let_clients_in();
        return Some(Undo::Nothing);
    }
    if let Some(who) = &action.reset {
        match select_clients(who, world).filter(|_| *who != Selector::All) {
            Some(clients) => clients.into_iter().for_each(|client| world.break_client(client)),
            None => {
                if *who == Selector::All {
                    world.break_links(|_| true);
                }
                let nodes = cause.nodes(who, world);
                let ports = action.ports.clone();
                let on_port = |port| is_of(ports.as_deref(), port);
                world.reset_wires(|a, b, port| on_port(port) && (nodes.contains(&a) || nodes.contains(&b)));
            }
        }
        world.trace.mark("connection-reset");
        return Some(Undo::Nothing);
    }
    let (who, is_garbled) = match (&action.throttle, &action.garble) {
        (Some(who), _) => (who, false),
        (_, Some(who)) => (who, true),
        _ => return None,
    };
    let rate = action.rate.as_ref().map_or(THROTTLED, |rate| rate.draw(&mut world.dice, 1 << 19 | cause.i)).0;
    let one_in = action.one_in.map_or(GARBLED_ONE_IN, u64::from);
    let side = cause.nodes(who, world);
    let all: Vec<u32> = world.nodes.iter().map(|node| node.id).collect();
    let pairs: Vec<(u32, u32)> = side
        .iter()
        .flat_map(|a| all.iter().filter(move |b| a != *b).flat_map(|b| [(*a, *b), (*b, *a)]))
        .collect();
    for (from, to) in &pairs {
        if is_garbled {
            world.wires.paths.set_garbled(*from, *to, Some(one_in));
        } else {
            world.wires.paths.set_rate(*from, *to, Some(rate));
        }
    }
    world.trace.mark(if is_garbled { "garbled" } else { "throttled" });
    if let Some(ensemble) = world.ensemble.as_mut().filter(|_| is_garbled) {
        ensemble.garbled();
    }
    Some(Undo::Paths(pairs))
}

fn is_of(ports: Option<&str>, port: Port) -> bool {
    match ports {
        Some("election") => port == Port::Election,
        Some("quorum") => port == Port::Quorum,
        _ => true,
    }
}

/// Cuts every pair of sides apart: what the first of them hears (`in`), what it says (`out`), or both.
fn cut(sides: &[Vec<u32>], action: &Action, kind: Kind, world: &mut World) -> Vec<CutId> {
    let port = match action.ports.as_deref() {
        Some("election") => Some(Port::Election),
        Some("quorum") => Some(Port::Quorum),
        _ => None,
    };
    let direction = action.direction.as_deref().unwrap_or("both");
    let mut cuts = Vec::new();
    for (i, a) in sides.iter().enumerate() {
        for b in &sides[i + 1..] {
            for (from, to, skipped) in [(a, b, "in"), (b, a, "out")] {
                if direction != skipped {
                    let cut = Cut { from: from.clone(), to: to.clone(), port, kind };
                    cuts.push(world.wires.cut(cut));
                }
            }
        }
    }
    cuts
}

/// The process ends, and its disk holds nothing any more, or what it held once.
fn lose_data(id: u32, image: Option<Box<crate::disk::Disk>>, world: &mut World) {
    if world.nodes[id as usize - 1].is_up() {
        world.crash(id, Loss::Kill);
    }
    world.trace.mark(if image.is_some() { "rolled-back" } else { "wiped" });
    let loss = if image.is_some() { Destroyed::Rollback } else { Destroyed::Wipe };
    let node = &mut world.nodes[id as usize - 1];
    match image {
        Some(image) => node.disk.put_back(*image),
        None => node.disk.wipe(),
    }
    node.ledger = Ledger::default();
    node.refused = None;
    if let Some(ensemble) = &mut world.ensemble {
        ensemble.destroyed(id, loss);
    }
}

/// A copy of a server's data directory is started on another machine, under the same id.
fn begin_twin(id: u32, world: &mut World) -> Option<u32> {
    let sid = world.nodes[id as usize - 1].settings.replica.sid;
    let of_sid =
        |node: &&crate::node::Node| node.is_twin && !node.is_up() && node.settings.replica.sid == sid;
    let twin = world.nodes.iter().find(of_sid)?.id;
    let mut image = world.nodes[id as usize - 1].disk.clone();
    image.faults = Default::default();
    image.lose_power();
    world.nodes[twin as usize - 1].disk.put_back(image);
    if let Some(ensemble) = &mut world.ensemble {
        ensemble.destroyed(twin, Destroyed::Rollback);
        ensemble.destroyed(id, Destroyed::Twin);
    }
    world.trace.mark("twin");
    world.boot_at(twin, world.now);
    Some(twin)
}

fn hurt_disk(id: u32, action: &DiskAction, i: u32, rots: &mut u64, world: &mut World) {
    let times = action.times.unwrap_or(1);
    let free = action.free.as_ref().map(|free: &Drawn<Size>| free.draw(&mut world.dice, 1 << 30 | i).0);
    let node = &mut world.nodes[id as usize - 1];
    match action.fsync.as_deref() {
        Some("eio") => node.disk.faults.fail_syncs = times,
        Some("lie") => node.disk.faults.lying = true,
        Some("slow") => node.slow_syncs(action.factor.unwrap_or(20).into()),
        _ => {}
    }
    match action.write.as_deref() {
        Some("eio") => node.disk.faults.fail_writes = times,
        Some("enospc") => node.disk.faults.capacity = Some(node.disk.used() + free.unwrap_or(0)),
        _ => {}
    }
    if action.read.as_deref() == Some("eio") {
        node.disk.faults.fail_reads = times;
    }
    let Some(what) = &action.rot else { return };
    *rots += 1;
    if node.disk.rot(what, action.bits.unwrap_or(1), *rots) {
        world.trace.mark("rot");
        if let Some(ensemble) = &mut world.ensemble {
            ensemble.destroyed(id, Destroyed::Rot);
        }
    }
}

fn skew(id: u32, action: &ClockAction, i: u32, world: &mut World) {
    let now = world.now;
    let rate = action.rate.as_ref().map(|rate| rate.draw(&mut world.dice, 1 << 22 | i));
    let jump = action.jump.as_ref().map(|jump| jump.draw(&mut world.dice, 1 << 21 | i).millis() as i64);
    let back =
        action.back.as_ref().map(|back| back.draw(&mut world.dice, 1 << 20 | 1 << 21 | i).millis() as i64);
    let clock = &mut world.nodes[id as usize - 1].clock;
    if let Some(Ratio(num, den)) = rate.filter(|rate| rate.0 > 0) {
        clock.set_rate(now, (num, den));
    }
    if let Some(ms) = jump {
        clock.jump_wall(ms);
    }
    if let Some(ms) = back {
        clock.jump_wall(-ms);
    }
    world.trace.mark("clock-fault");
}

fn trouble(action: &ClientAction, i: u32, world: &mut World) {
    let all = select_clients(action.who.as_ref().unwrap_or(&Selector::Any), world);
    let one = world.dice.below(Site::Selector, 1 << 16 | i, world.seats.len().max(1) as u64) as u32;
    for client in all.unwrap_or_else(|| vec![one]) {
        if action.reset {
            world.break_client(client);
        }
        if action.silent {
            let until = world.now.plus(SILENCE_NS);
            if let Some(seat) = world.seats.get_mut(client as usize) {
                seat.client.fall_silent(until);
            }
            world.trace.mark("client-silent");
        }
    }
}

/// Undoes it.
pub(super) fn undo(undo: Undo, world: &mut World) {
    let now = world.now;
    match undo {
        Undo::Boot(ids) => {
            for id in ids {
                if !world.nodes[id as usize - 1].is_up() {
                    world.boot_at(id, now);
                }
            }
        }
        Undo::Unpause(ids) => ids.into_iter().for_each(|id| world.resume(id)),
        Undo::Slow(ids) => ids.iter().for_each(|id| world.nodes[*id as usize - 1].slow_syncs(1)),
        Undo::HealDisk(ids) => {
            for id in ids {
                let node = &mut world.nodes[id as usize - 1];
                node.disk.faults = Default::default();
                node.slow_syncs(1);
            }
        }
        Undo::ClockRate(ids) => {
            ids.iter().for_each(|id| world.nodes[*id as usize - 1].clock.set_rate(now, (1, 1)));
        }
        Undo::Mend(cuts) => world.mend(&cuts),
        Undo::LetIn(id) => world.let_in(id),
        Undo::Paths(pairs) => {
            for (from, to) in pairs {
                world.wires.paths.set_rate(from, to, None);
                world.wires.paths.set_garbled(from, to, None);
            }
            world.let_flow();
        }
        Undo::EndTwin(id) => {
            if world.nodes[id as usize - 1].is_up() {
                world.crash(id, Loss::Kill);
            }
        }
        Undo::Nothing => {}
    }
}
