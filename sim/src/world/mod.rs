//! The world: a heap of events, and everything they happen to (simulation brief §1, architecture §8).
//!
//! One event at a time, in order of time; what is due at the same moment comes in an order that the seed draws. There are
//! no threads. A world can be cloned and goes on in both copies: that is what sweeps over crash points and searches do.

mod clients;
mod servers;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use zk_core::ids::ConnId;
use zk_core::quorum::{Membership, Quorums};

use crate::client::{Act, Client};
use crate::clock::Time;
use crate::dice::{self, Dice, Site};
use crate::network::{Arrival, Delay, Stream, Way};
use crate::node::{Context, Effect, Loss, Node, NodeEvent, Stop};
use crate::oracle::{Commits, Ensemble, Histories, Violation};
use crate::trace::Trace;
use crate::wires::{WireDue, Wires};

/// Something that will happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// To a node, unless another process runs there by then.
    Node(u32, u32, NodeEvent),
    /// Bytes arrive at an end of a client's connection.
    Arrive(ConnId, Way),
    /// Something happens on a connection between servers.
    Wire(WireDue),
    /// A client wakes.
    Wake(u32),
    /// A fault begins, by its number.
    Begin(u32),
    /// A fault ends, by its number and how many-th time it was.
    End(u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: Time,
    tie: u64,
    seq: u64,
    due: Due,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.tie, self.seq).cmp(&(other.at, other.tie, other.seq))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A connection between a client and a node.
#[derive(Clone, Debug)]
pub struct Link {
    client: u32,
    node: u32,
    up: Stream,
    down: Stream,
    /// The server has taken it.
    accepted: bool,
}

impl Link {
    /// Names its draws.
    fn entity(&self, way: Way) -> u32 {
        self.client * 2 + u32::from(way == Way::Down)
    }

    const fn stream(&mut self, way: Way) -> &mut Stream {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

/// A client with its connection.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The client.
    pub client: Client,
    /// Its connection, if it has one.
    pub conn: Option<ConnId>,
    armed: Time,
}

/// What a step came to.
#[derive(Clone, Debug)]
pub enum Step {
    /// An event was delivered.
    Event,
    /// A fault is to begin.
    Begin(u32),
    /// A fault is to end.
    End(u32, u32),
    /// Nothing is due before the given time.
    Quiet,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct World {
    /// True time.
    pub now: Time,
    heap: BinaryHeap<Reverse<Entry>>,
    seq: u64,
    /// All decisions.
    pub dice: Dice,
    /// The record.
    pub trace: Trace,
    /// Node `i + 1` is at `i`.
    pub nodes: Vec<Node>,
    /// All clients.
    pub seats: Vec<Seat>,
    links: BTreeMap<ConnId, Link>,
    next_conn: u64,
    /// Connections between servers.
    pub wires: Wires,
    /// The order of all commits.
    pub commits: Commits,
    /// What clients saw.
    pub histories: Histories,
    /// The judge of what servers do to one another, if there are several.
    pub ensemble: Option<Ensemble>,
    /// Typed events of nodes since they were last taken.
    pub node_events: Vec<(u32, &'static str)>,
    /// Of bytes between clients and nodes.
    pub client_delay: Delay,
    /// How long a process that ended by itself stays away, ns.
    pub restart_after: u64,
    /// Processes that ended themselves.
    pub fatals: u64,
    /// Connections broken by faults or ended by crashes.
    pub disconnects: u64,
    /// Who belongs to the ensemble, if there is one.
    pub membership: Option<Arc<Membership>>,
    /// Since when no fault lasts.
    pub healed_since: Option<Time>,
    /// Nodes that clients cannot reach at the moment, by what keeps them out.
    out_of_reach: BTreeMap<u64, Vec<u32>>,
    /// What waits for clients to be let in.
    kept_out: Vec<(u32, Due)>,
    /// What waits for a node to go on.
    held: Vec<(u32, Due)>,
    effects: Vec<Effect>,
    acts: Vec<Act>,
    wire_due: Vec<(Time, WireDue)>,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64, readable: bool, client_delay: Delay, wires: Wires, restart_after: u64) -> Self {
        Self {
            now: Time(0),
            heap: BinaryHeap::new(),
            seq: 0,
            dice: Dice::new(seed),
            trace: Trace::new(readable),
            nodes: Vec::new(),
            seats: Vec::new(),
            links: BTreeMap::new(),
            next_conn: 1,
            wires,
            commits: Commits::default(),
            histories: Histories::default(),
            ensemble: None,
            node_events: Vec::new(),
            client_delay,
            restart_after,
            fatals: 0,
            disconnects: 0,
            membership: None,
            healed_since: Some(Time(0)),
            out_of_reach: BTreeMap::new(),
            kept_out: Vec::new(),
            held: Vec::new(),
            effects: Vec::new(),
            acts: Vec::new(),
            wire_due: Vec::new(),
        }
    }

    /// Adds a node, which is switched on at `at`.
    pub fn add_node(&mut self, node: Node, at: Time) {
        let (id, incarnation) = (node.id, node.incarnation);
        self.nodes.push(node);
        self.schedule(at, Due::Node(id, incarnation, NodeEvent::Boot));
    }

    /// Adds a client.
    pub fn add_client(&mut self, client: Client) {
        let (entity, armed) = (client.entity, client.deadline());
        self.seats.push(Seat { client, conn: None, armed });
        self.schedule(armed, Due::Wake(entity));
    }

    /// Who decides in the ensemble, if there is one.
    pub fn quorums(&self) -> Option<Quorums> {
        self.membership.as_ref().map(|membership| membership.quorums().clone())
    }

    /// Something happens at that time.
    pub fn schedule(&mut self, at: Time, due: Due) {
        self.seq += 1;
        let tie = dice::mix(self.dice.seed(), Site::Tie, 0, self.seq);
        self.heap.push(Reverse(Entry { at: at.max(self.now), tie, seq: self.seq, due }));
    }

    /// When the next thing happens.
    pub fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Delivers the next event that is due by `until`.
    pub fn step(&mut self, until: Time) -> Result<Step, Violation> {
        if self.next().is_none_or(|at| at > until) {
            self.now = self.now.max(until);
            return Ok(Step::Quiet);
        }
        let Reverse(Entry { at, due, .. }) = self.heap.pop().expect("something is due");
        self.now = at;
        match due {
            Due::Node(id, incarnation, event) => self.node_event(id, incarnation, event)?,
            Due::Arrive(conn, way) => self.arrive(conn, way)?,
            Due::Wire(due) => self.wire_due(due)?,
            Due::Wake(entity) => self.wake(entity)?,
            Due::Begin(fault) => return Ok(Step::Begin(fault)),
            Due::End(fault, nth) => return Ok(Step::End(fault, nth)),
        }
        Ok(Step::Event)
    }

    fn node_event(&mut self, id: u32, incarnation: u32, event: NodeEvent) -> Result<(), Violation> {
        let node = &self.nodes[id as usize - 1];
        let is_boot = event == NodeEvent::Boot;
        if node.incarnation != incarnation || node.is_up() == is_boot || node.is_frozen && is_boot {
            return Ok(());
        }
        if node.is_paused {
            self.held.push((id, Due::Node(id, incarnation, event)));
            return Ok(());
        }
        self.trace.event(self.now, 1, u64::from(id), event.number());
        self.with_node(id, |node, cx| node.event(event, cx))?;
        if is_boot {
            self.wires.booted(self.now, id);
            self.schedule_wires();
        }
        if is_boot && self.nodes[id as usize - 1].refused.is_some() {
            self.boot_later(id);
        }
        Ok(())
    }

    /// Runs something on a node, and deals with how it ends.
    pub fn with_node(
        &mut self,
        id: u32,
        f: impl FnOnce(&mut Node, &mut Context<'_>) -> Result<(), Stop>,
    ) -> Result<(), Violation> {
        let mut effects = std::mem::take(&mut self.effects);
        let node = &mut self.nodes[id as usize - 1];
        let mut cx = Context {
            at: self.now,
            dice: &mut self.dice,
            trace: &mut self.trace,
            commits: &mut self.commits,
            histories: &mut self.histories,
            effects: &mut effects,
            events: &mut self.node_events,
            ensemble: &mut self.ensemble,
            wires: &self.wires,
        };
        let outcome = f(node, &mut cx);
        let incarnation = self.nodes[id as usize - 1].incarnation;
        for effect in effects.drain(..) {
            match effect {
                Effect::Schedule(at, event) => self.schedule(at, Due::Node(id, incarnation, event)),
                Effect::Send(conn, bytes) => self.send(conn, Way::Down, Arrival::Bytes(bytes)),
                Effect::Close(conn) => self.send(conn, Way::Down, Arrival::Closed),
                Effect::Wire(name, command) => self.wire_command(id, name, command),
            }
        }
        self.effects = effects;
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Violation(violation)) => Err(violation),
            Err(Stop::Crash(loss)) => {
                self.crash(id, loss);
                self.boot_later(id);
                Ok(())
            }
            Err(Stop::Fatal(reason)) => {
                self.trace.headline(self.now, &format!("node {id}"), &format!("ends itself: {reason}"));
                self.trace.mark("fatal");
                self.fatals += 1;
                self.crash(id, Loss::Kill);
                self.boot_later(id);
                Ok(())
            }
        }
    }

    /// The process on a node ends, now.
    pub fn crash(&mut self, id: u32, loss: Loss) {
        let how = match loss {
            Loss::Kill => "is killed",
            Loss::Power => "loses power",
        };
        self.trace.headline(self.now, &format!("node {id}"), how);
        self.trace.mark(match loss {
            Loss::Kill => "killed",
            Loss::Power => "power-cut",
        });
        self.nodes[id as usize - 1].crash(loss);
        self.break_links(|link| link.node == id);
        self.wires.crash(self.now, id, loss);
        self.schedule_wires();
    }

    /// A node stands still: what happens to it waits.
    pub fn pause(&mut self, id: u32) {
        self.nodes[id as usize - 1].is_paused = true;
        self.trace.mark("paused");
    }

    /// It goes on, with everything overdue.
    pub fn resume(&mut self, id: u32) {
        self.nodes[id as usize - 1].is_paused = false;
        let (of_node, others) = std::mem::take(&mut self.held).into_iter().partition(|(node, _)| *node == id);
        self.held = others;
        let due: Vec<(u32, Due)> = of_node;
        due.into_iter().for_each(|(_, due)| self.schedule(self.now, due));
    }

    /// A supervisor starts the process again after a while.
    pub fn boot_later(&mut self, id: u32) {
        let after =
            dice::scale(self.dice.draw(Site::Restart, id), self.restart_after) + self.restart_after / 2;
        self.boot_at(id, self.now.plus(after));
    }

    /// The process is started at that time, unless it runs by then.
    pub fn boot_at(&mut self, id: u32, at: Time) {
        let incarnation = self.nodes[id as usize - 1].incarnation;
        self.schedule(at, Due::Node(id, incarnation, NodeEvent::Boot));
    }
}
