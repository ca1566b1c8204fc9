//! Faults: when they come, what they do, and how they are undone (simulation brief §5, §6).

mod apply;
mod describe;
mod observe;
mod random;
mod select;

use zk_core::ids::SessionId;

use crate::clock::Time;
use crate::dice::{Dice, Site};
use crate::oracle::Violation;
use crate::scenario::units::Ratio;
use crate::scenario::words::Selector;
use crate::scenario::{Fault, Lasting, Scenario, parse_after};
use crate::world::{Due, World};
use apply::{Cause, Undo, apply};
use describe::describe;
use observe::evaluate;
pub use random::RANDOM_KINDS;
use random::draw_random;
pub(crate) use select::{leader, members, shuffle};

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
    /// The faults of a scenario, and those that are drawn for it.
    pub fn new(scenario: &Scenario, until: Time, dice: &mut Dice) -> Self {
        let mut all = scenario.fault.clone();
        for (i, random) in scenario.random.iter().enumerate() {
            all.extend(draw_random(random, i as u32, until, dice));
        }
        let watching = all.iter().any(|fault| fault.when.is_some() || fault.on.is_some());
        let entry = |fault| Entry { fault, begun: 0, last: None, seen: 0, held_since: None, armed: true };
        Self { entries: all.into_iter().map(entry).collect(), undos: Vec::new(), until, rots: 0, watching }
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
        let undo = apply(&fault.action, Cause { i, event_node }, &mut self.rots, world)?;
        self.undos.push((i, nth, undo));
        world.healed_since = None;
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
        apply::undo(undo, world);
        world.healed_since = self.undos.is_empty().then_some(world.now);
        if let Some(name) = self.entries[i as usize].fault.name.clone() {
            self.followers(&name, true, world);
        }
    }

    /// Everything is put right within a core of nodes, and nothing begins any more. Who is outside stays as it is, for ever:
    /// down, paused, cut off, or still shouting.
    pub fn heal(&mut self, core: &[u32], world: &mut World) {
        self.until = world.now;
        self.undos.clear();
        let now = world.now;
        world.heal_paths(core);
        for id in 1..=world.nodes.len() as u32 {
            let node = &mut world.nodes[id as usize - 1];
            if node.is_twin && node.is_up() {
                world.crash(id, crate::node::Loss::Kill);
                continue;
            }
            node.is_frozen = !core.contains(&id);
            if node.is_frozen {
                continue;
            }
            node.disk.faults = Default::default();
            node.crash_at = None;
            node.slow_syncs(1);
            node.clock.set_rate(now, (1, 1));
            let is_up = node.is_up();
            world.resume(id);
            if !is_up {
                world.boot_later(id);
            }
        }
    }

    /// Faults that come after this one.
    fn followers(&self, name: &str, ended: bool, world: &mut World) {
        for (i, entry) in self.entries.iter().enumerate() {
            let Some(after) = &entry.fault.after else { continue };
            let Some((who, wants_end, delay)) = parse_after(after) else { continue };
            if who == name && wants_end == ended {
                world.schedule(world.now.plus(delay.0), Due::Begin(i as u32));
            }
        }
    }
}

/// How long a fault lasts that does not say: a crash until its node is started again, and so on.
const DEFAULT_NS: u64 = 1_000_000_000;

/// Sessions that nobody holds any more.
pub fn orphans(world: &World) -> Vec<SessionId> {
    let held: Vec<SessionId> = world.seats.iter().filter_map(|seat| seat.client.session()).collect();
    world.commits.states().living().map(|(id, _)| id).filter(|id| !held.contains(id)).collect()
}
