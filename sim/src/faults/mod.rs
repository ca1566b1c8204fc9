//! Faults: when they come, what they do, and how they are undone (simulation brief §5, §6).

mod check;
mod describe;
mod observe;
mod random;
mod select;

use zk_core::ids::SessionId;
use zk_core::input::AdminCommand;

use crate::clock::Time;
use crate::dice::{Dice, Site};
use crate::node::{Loss, NodeEvent};
use crate::oracle::Violation;
use crate::scenario::units::{Drawn, Ratio, Size, Span};
use crate::scenario::words::Selector;
use crate::scenario::{Action, ClientAction, ClockAction, DiskAction, Fault, Lasting, Scenario};
use crate::world::{Due, World};
use check::check;
use describe::describe;
use observe::evaluate;
pub use random::RANDOM_KINDS;
use random::draw_random;
use select::{select_clients, select_nodes};

/// One fault with what became of it.
#[derive(Clone, Debug)]
struct Entry {
    fault: Fault,
    /// How often it began.
    begun: u32,
    last: Option<Time>,
    /// Events that it waits for and has seen.
    seen: u32,
    /// Since when its predicate holds.
    held_since: Option<Time>,
    armed: bool,
}

/// What ends a fault.
#[derive(Clone, Debug)]
enum Undo {
    Boot(Vec<u32>),
    Unpause(Vec<u32>),
    Slow(Vec<u32>),
    HealDisk(Vec<u32>),
    ClockRate(Vec<u32>),
    Nothing,
}

/// All faults of a run.
#[derive(Clone, Debug)]
pub struct Faults {
    entries: Vec<Entry>,
    undos: Vec<(u32, u32, Undo)>,
    /// Nothing begins after this.
    until: Time,
    rots: u64,
    /// Faults that are waited for by predicate or by event.
    watching: bool,
}

impl Faults {
    /// The faults of a scenario; refuses what this version cannot do.
    pub fn new(scenario: &Scenario, until: Time, dice: &mut Dice) -> Result<Self, String> {
        let mut all = scenario.fault.clone();
        for (i, random) in scenario.random.iter().enumerate() {
            all.extend(draw_random(random, i as u32, until, dice)?);
        }
        for (i, fault) in all.iter().enumerate() {
            check(fault).map_err(|what| format!("fault {}: {what}", i + 1))?;
        }
        let watching = all.iter().any(|fault| fault.when.is_some() || fault.on.is_some());
        let entry = |fault| Entry { fault, begun: 0, last: None, seen: 0, held_since: None, armed: true };
        Ok(Self {
            entries: all.into_iter().map(entry).collect(),
            undos: Vec::new(),
            until,
            rots: 0,
            watching,
        })
    }

    /// True if nothing goes wrong.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts what comes at a known time on the heap.
    pub fn arm(&self, world: &mut World) {
        for (i, entry) in self.entries.iter().enumerate() {
            let fault = &entry.fault;
            let start = fault.at.as_ref().or(fault.every.as_ref());
            if let Some(start) = start {
                let at = Time(start.draw(&mut world.dice, 1 << 24 | i as u32).0);
                world.schedule(at, Due::Begin(i as u32));
            }
        }
    }

    /// Looks at triggers that wait for a state or an event. Cheap if there are none.
    pub fn look(&mut self, world: &mut World) -> Result<(), Violation> {
        if !self.watching {
            world.node_events.clear();
            return Ok(());
        }
        let events = std::mem::take(&mut world.node_events);
        for i in 0..self.entries.len() {
            let entry = &mut self.entries[i];
            if let Some(on) = &entry.fault.on {
                let (wanted, nth) = (on.event.clone(), on.nth.unwrap_or(1));
                let node = match &on.node {
                    Some(Selector::Node(id)) => Some(*id),
                    _ => None,
                };
                for (id, name) in &events {
                    if *name == wanted && node.is_none_or(|node| node == *id) {
                        self.entries[i].seen += 1;
                        if self.entries[i].seen == nth {
                            self.begin(i as u32, Some(*id), world)?;
                        }
                    }
                }
                continue;
            }
            let Some(when) = &entry.fault.when else { continue };
            let holds = evaluate(&when.0, world, &mut entry.held_since);
            let rises = holds && entry.armed;
            entry.armed = !holds;
            if rises {
                self.begin(i as u32, None, world)?;
            }
        }
        Ok(())
    }

    /// A fault begins.
    pub fn begin(&mut self, i: u32, event_node: Option<u32>, world: &mut World) -> Result<(), Violation> {
        let now = world.now;
        let entry = &mut self.entries[i as usize];
        let fault = entry.fault.clone();
        if now >= self.until {
            return Ok(());
        }
        if let Some(every) = &fault.every {
            let next = now.plus(every.draw(&mut world.dice, 1 << 25 | i).0.max(1));
            let last = fault
                .until
                .as_ref()
                .map_or(self.until, |until| Time(until.draw(&mut world.dice, 1 << 26 | i).0));
            if next < last {
                world.schedule(next, Due::Begin(i));
            }
        }
        // What waits for a state or an event happens once, unless more is asked for.
        let once = if fault.every.is_some() { u32::MAX } else { 1 };
        let most = fault.times.unwrap_or(once);
        let cooling =
            fault.cooldown.as_ref().zip(entry.last).is_some_and(|(cooldown, last)| {
                now < last.plus(cooldown.draw(&mut world.dice, 1 << 27 | i).0)
            });
        if entry.begun >= most || cooling {
            return Ok(());
        }
        if let Some(prob) = &fault.prob {
            let Ratio(num, den) = prob.draw(&mut world.dice, 1 << 28 | i);
            if !world.dice.chance(Site::RandomFault, i, num, den) {
                return Ok(());
            }
        }
        entry.begun += 1;
        entry.last = Some(now);
        let nth = entry.begun;
        world.trace.headline(now, "fault", &describe(&fault.action));
        let undo = self.apply(i, &fault.action, event_node, world)?;
        self.undos.push((i, nth, undo));
        match &fault.lasting {
            Some(Lasting::For(span)) => {
                let end = now.plus(span.draw(&mut world.dice, 1 << 29 | i).0);
                world.schedule(end, Due::End(i, nth));
            }
            Some(Lasting::Forever) => {}
            None => world.schedule(now.plus(DEFAULT_NS), Due::End(i, nth)),
        }
        if let Some(name) = &fault.name {
            self.followers(name, false, world);
        }
        Ok(())
    }

    /// A fault ends.
    pub fn end(&mut self, i: u32, nth: u32, world: &mut World) {
        let Some(at) = self.undos.iter().position(|(fault, n, _)| (*fault, *n) == (i, nth)) else { return };
        let (_, _, undo) = self.undos.remove(at);
        undo_it(undo, world);
        if let Some(name) = self.entries[i as usize].fault.name.clone() {
            self.followers(&name, true, world);
        }
    }

    /// Everything that is still wrong is put right; nothing begins any more.
    pub fn heal(&mut self, world: &mut World) {
        self.until = world.now;
        for (_, _, undo) in std::mem::take(&mut self.undos) {
            undo_it(undo, world);
        }
        for id in 1..=world.nodes.len() as u32 {
            world.resume(id);
            let now = world.now;
            let node = &mut world.nodes[id as usize - 1];
            node.disk.faults = Default::default();
            node.crash_at = None;
            node.slow_syncs(1);
            node.clock.set_rate(now, (1, 1));
            if !node.is_up() {
                world.boot_later(id);
            }
        }
    }

    /// Faults that come after this one.
    fn followers(&self, name: &str, ended: bool, world: &mut World) {
        for (i, entry) in self.entries.iter().enumerate() {
            let Some(after) = &entry.fault.after else { continue };
            let (who, delay) = after.split_once('+').unwrap_or((after, "0ns"));
            let (who, wants_end) = match who.trim().strip_suffix(".end") {
                Some(who) => (who, true),
                None => (who.trim(), false),
            };
            if who == name && wants_end == ended {
                let delay = crate::scenario::units::Unit::parse(delay.trim()).unwrap_or(Span(0));
                world.schedule(world.now.plus(delay.0), Due::Begin(i as u32));
            }
        }
    }

    fn apply(
        &mut self,
        i: u32,
        action: &Action,
        event_node: Option<u32>,
        world: &mut World,
    ) -> Result<Undo, Violation> {
        let nodes = |selector: &Selector, world: &mut World| select_nodes(selector, event_node, i, world);
        if let Some(who) = &action.crash {
            let loss = if action.loss.as_deref() == Some("power") { Loss::Power } else { Loss::Kill };
            let ids = nodes(who, world);
            for id in &ids {
                if action.point.is_some() {
                    let node = &mut world.nodes[*id as usize - 1];
                    node.crash_at = Some((node.boundaries + 1, loss));
                } else if world.nodes[*id as usize - 1].is_up() {
                    world.crash(*id, loss);
                }
            }
            return Ok(Undo::Boot(ids));
        }
        if let Some(who) = &action.restart {
            let ids = nodes(who, world);
            for id in &ids {
                if world.nodes[*id as usize - 1].is_up() {
                    world.with_node(*id, |node, cx| node.admin(AdminCommand::Drain, cx))?;
                    world.crash(*id, Loss::Kill);
                }
            }
            return Ok(Undo::Boot(ids));
        }
        if let Some(who) = &action.pause {
            let ids = nodes(who, world);
            for id in &ids {
                world.pause(*id);
            }
            return Ok(Undo::Unpause(ids));
        }
        if let Some(who) = &action.slow {
            let ids = nodes(who, world);
            for id in &ids {
                world.nodes[*id as usize - 1].slow_syncs(action.factor.unwrap_or(10).into());
            }
            return Ok(Undo::Slow(ids));
        }
        if let Some(who) = &action.reset {
            match select_clients(who, world) {
                Some(clients) => clients.into_iter().for_each(|client| world.break_client(client)),
                None => world.break_links(|_| true),
            }
            world.trace.mark("connection-reset");
            return Ok(Undo::Nothing);
        }
        if let Some(who) = &action.snapshot {
            for id in nodes(who, world) {
                if world.nodes[id as usize - 1].is_up() {
                    world.with_node(id, |node, cx| node.admin(AdminCommand::Snapshot, cx))?;
                }
            }
            return Ok(Undo::Nothing);
        }
        if let Some(who) = &action.purge {
            for id in nodes(who, world) {
                if world.nodes[id as usize - 1].is_up() {
                    world.with_node(id, |node, cx| node.event(NodeEvent::Purge, cx))?;
                }
            }
            return Ok(Undo::Nothing);
        }
        if let Some(disk) = &action.disk {
            let ids = nodes(disk.node.as_ref().unwrap_or(&Selector::All), world);
            ids.iter().for_each(|id| self.hurt_disk(*id, disk, i, world));
            return Ok(Undo::HealDisk(ids));
        }
        if let Some(clock) = &action.clock {
            let ids = nodes(clock.node.as_ref().unwrap_or(&Selector::All), world);
            ids.iter().for_each(|id| skew(*id, clock, i, world));
            return Ok(Undo::ClockRate(ids));
        }
        if let Some(client) = &action.client {
            trouble(client, i, world);
        }
        Ok(Undo::Nothing)
    }

    fn hurt_disk(&mut self, id: u32, action: &DiskAction, i: u32, world: &mut World) {
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
        if let Some(what) = &action.rot {
            self.rots += 1;
            if node.disk.rot(what, action.bits.unwrap_or(1), self.rots) {
                world.trace.mark("rot");
            }
        }
    }
}

/// How long a fault lasts that does not say: a crash until its node is started again, and so on.
const DEFAULT_NS: u64 = 1_000_000_000;

fn undo_it(undo: Undo, world: &mut World) {
    match undo {
        Undo::Boot(ids) => {
            for id in ids {
                if !world.nodes[id as usize - 1].is_up() {
                    world.boot_at(id, world.now);
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
            let now = world.now;
            ids.iter().for_each(|id| world.nodes[*id as usize - 1].clock.set_rate(now, (1, 1)));
        }
        Undo::Nothing => {}
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

/// Longer than any session lives without a word.
const SILENCE_NS: u64 = 60_000_000_000;

/// Sessions that nobody holds any more.
pub fn orphans(world: &World) -> Vec<SessionId> {
    let held: Vec<SessionId> = world.seats.iter().filter_map(|seat| seat.client.session()).collect();
    world.commits.states().living().map(|(id, _)| id).filter(|id| !held.contains(id)).collect()
}
