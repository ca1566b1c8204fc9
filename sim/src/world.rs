//! The world: a heap of events, and everything they happen to (simulation brief §1, architecture §8).
//!
//! One event at a time, in order of time; what is due at the same moment comes in an order that the seed draws. There are
//! no threads. A world can be cloned and goes on in both copies: that is what sweeps over crash points and searches do.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use zk_core::ids::ConnId;

use crate::client::{Act, Client};
use crate::clock::Time;
use crate::dice::{self, Dice, Site};
use crate::network::{self, Arrival, Delay, Stream, Way};
use crate::node::{Context, Effect, Loss, Node, NodeEvent, Stop};
use crate::oracle::{ClientId, Commits, Histories, Violation};
use crate::trace::Trace;

/// Something that will happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// To a node, unless another process runs there by then.
    Node(u32, u32, NodeEvent),
    /// Bytes arrive at an end of a connection.
    Arrive(ConnId, Way),
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
    /// The order of all commits.
    pub commits: Commits,
    /// What clients saw.
    pub histories: Histories,
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
    /// What waits for a node to go on.
    held: Vec<(u32, Due)>,
    effects: Vec<Effect>,
    acts: Vec<Act>,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64, readable: bool, client_delay: Delay, restart_after: u64) -> Self {
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
            commits: Commits::default(),
            histories: Histories::default(),
            node_events: Vec::new(),
            client_delay,
            restart_after,
            fatals: 0,
            disconnects: 0,
            held: Vec::new(),
            effects: Vec::new(),
            acts: Vec::new(),
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
            Due::Wake(entity) => self.wake(entity)?,
            Due::Begin(fault) => return Ok(Step::Begin(fault)),
            Due::End(fault, nth) => return Ok(Step::End(fault, nth)),
        }
        Ok(Step::Event)
    }

    // --- nodes --------------------------------------------------------------------------------------------------------

    fn node_event(&mut self, id: u32, incarnation: u32, event: NodeEvent) -> Result<(), Violation> {
        let node = &self.nodes[id as usize - 1];
        let is_boot = event == NodeEvent::Boot;
        if node.incarnation != incarnation || node.is_up() == is_boot {
            return Ok(());
        }
        if node.is_paused {
            self.held.push((id, Due::Node(id, incarnation, event)));
            return Ok(());
        }
        self.trace.event(self.now, 1, u64::from(id), event as u64);
        self.with_node(id, |node, cx| node.event(event, cx))?;
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
        };
        let outcome = f(node, &mut cx);
        let incarnation = self.nodes[id as usize - 1].incarnation;
        for effect in effects.drain(..) {
            match effect {
                Effect::Schedule(at, event) => self.schedule(at, Due::Node(id, incarnation, event)),
                Effect::Send(conn, bytes) => self.send(conn, Way::Down, Arrival::Bytes(bytes)),
                Effect::Close(conn) => self.send(conn, Way::Down, Arrival::Closed),
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

    // --- connections --------------------------------------------------------------------------------------------------

    fn send(&mut self, conn: ConnId, way: Way, arrival: Arrival) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let entity = link.client * 2 + u32::from(way == Way::Down);
        let pieces = match arrival {
            Arrival::Bytes(bytes) => {
                network::chunks(bytes, &mut self.dice, entity).into_iter().map(Arrival::Bytes).collect()
            }
            other => vec![other],
        };
        for piece in pieces {
            let at = self.now.plus(self.client_delay.draw(&mut self.dice, Site::Delay, entity));
            let link = self.links.get_mut(&conn).expect("looked up above");
            let stream = if way == Way::Up { &mut link.up } else { &mut link.down };
            if let Some(at) = stream.send(at, piece) {
                self.schedule(at, Due::Arrive(conn, way));
            }
        }
    }

    fn arrive(&mut self, conn: ConnId, way: Way) -> Result<(), Violation> {
        let now = self.now;
        if let Some(link) = self.links.get(&conn)
            && way == Way::Up
            && self.nodes[link.node as usize - 1].is_paused
        {
            self.held.push((link.node, Due::Arrive(conn, way)));
            return Ok(());
        }
        loop {
            let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
            let (client, node) = (link.client, link.node);
            let stream = if way == Way::Up { &mut link.up } else { &mut link.down };
            let Some(arrival) = stream.take(now) else { return Ok(()) };
            let content = match &arrival {
                Arrival::Bytes(bytes) => u64::from(crc32fast::hash(bytes)) << 20 | bytes.len() as u64,
                Arrival::Opened => 1,
                Arrival::Closed => 2,
            };
            self.trace.event(now, 2 + u64::from(way == Way::Down), conn.0, content);
            match way {
                Way::Up => self.arrive_at_node(conn, node, arrival)?,
                Way::Down => self.arrive_at_client(conn, client, arrival)?,
            }
        }
    }

    fn arrive_at_node(&mut self, conn: ConnId, node: u32, arrival: Arrival) -> Result<(), Violation> {
        if !self.nodes[node as usize - 1].is_up() {
            self.reset(conn);
            return Ok(());
        }
        match arrival {
            Arrival::Opened => self.with_node(node, |node, cx| {
                node.accept(conn, cx);
                Ok(())
            }),
            Arrival::Bytes(bytes) => self.with_node(node, |node, cx| node.bytes(conn, &bytes, cx)),
            Arrival::Closed => self.with_node(node, |node, cx| node.hung_up(conn, cx)),
        }
    }

    fn arrive_at_client(&mut self, conn: ConnId, client: u32, arrival: Arrival) -> Result<(), Violation> {
        let now = self.now;
        let seat = &mut self.seats[client as usize];
        if seat.conn != Some(conn) || seat.client.is_silent(now) {
            return Ok(());
        }
        let mut acts = std::mem::take(&mut self.acts);
        match arrival {
            Arrival::Opened => {}
            Arrival::Bytes(bytes) => seat.client.receive(now, &bytes, &mut self.dice, &mut acts),
            Arrival::Closed => {
                seat.conn = None;
                seat.client.disconnected(now, &mut self.dice, &mut acts);
            }
        }
        self.act(client, acts)
    }

    /// Both ends of a connection learn that it is broken, each in its own time.
    pub fn reset(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        self.disconnects += 1;
        let entity = link.client;
        let delay = &self.client_delay;
        let up = self.now.plus(delay.draw(&mut self.dice, Site::Delay, entity));
        let down = self.now.plus(delay.draw(&mut self.dice, Site::Delay, entity));
        let up = link.up.reset(up, &mut self.dice, entity);
        let down = link.down.reset(down, &mut self.dice, entity);
        for (at, way) in [(up, Way::Up), (down, Way::Down)] {
            if let Some(at) = at {
                self.schedule(at, Due::Arrive(conn, way));
            }
        }
    }

    /// Breaks all connections of which this is true.
    pub fn break_links(&mut self, which: impl Fn(&Link) -> bool) {
        let broken: Vec<ConnId> =
            self.links.iter().filter(|(_, link)| which(link)).map(|(conn, _)| *conn).collect();
        for conn in broken {
            self.reset(conn);
        }
    }

    /// Breaks the connections of one client.
    pub fn break_client(&mut self, client: u32) {
        self.break_links(|link| link.client == client);
    }

    // --- clients ------------------------------------------------------------------------------------------------------

    fn wake(&mut self, entity: u32) -> Result<(), Violation> {
        let now = self.now;
        let seat = &mut self.seats[entity as usize];
        if seat.armed > now || seat.client.deadline() > now {
            // It has heard something meanwhile: wake it later.
            if seat.armed <= now {
                self.arm_client(entity);
            }
            return Ok(());
        }
        self.trace.event(now, 4, u64::from(entity), 0);
        let mut acts = std::mem::take(&mut self.acts);
        seat.client.wake(now, &mut self.dice, &mut acts);
        self.act(entity, acts)
    }

    fn arm_client(&mut self, entity: u32) {
        let seat = &mut self.seats[entity as usize];
        let deadline = seat.client.deadline();
        seat.armed = deadline;
        self.schedule(deadline, Due::Wake(entity));
    }

    /// Does what a client wants.
    fn act(&mut self, entity: u32, mut acts: Vec<Act>) -> Result<(), Violation> {
        let now = self.now;
        for act in acts.drain(..) {
            match act {
                Act::Dial(server) => {
                    let conn = ConnId(self.next_conn);
                    self.next_conn += 1;
                    let node = server % self.nodes.len() as u32 + 1;
                    let link = Link { client: entity, node, up: Stream::default(), down: Stream::default() };
                    self.links.insert(conn, link);
                    self.seats[entity as usize].conn = Some(conn);
                    self.send(conn, Way::Up, Arrival::Opened);
                }
                Act::Send(bytes) => {
                    if let Some(conn) = self.seats[entity as usize].conn {
                        self.send(conn, Way::Up, Arrival::Bytes(bytes));
                    }
                }
                Act::Hang => {
                    if let Some(conn) = self.seats[entity as usize].conn.take() {
                        self.send(conn, Way::Up, Arrival::Closed);
                    }
                }
                Act::Tell(seen) => {
                    self.trace.tell(now, || format!("client {entity}"), || format!("{seen:?}"));
                    self.histories.take(ClientId(entity), seen, &mut self.commits)?;
                }
            }
        }
        self.acts = acts;
        let seat = &self.seats[entity as usize];
        if seat.armed <= now || seat.client.deadline() < seat.armed {
            self.arm_client(entity);
        }
        self.drop_dead_links();
        Ok(())
    }

    /// Connections of which nothing is left to arrive.
    fn drop_dead_links(&mut self) {
        if self.links.len() <= 2 * self.seats.len() + 8 {
            return;
        }
        let seats = &self.seats;
        self.links.retain(|conn, link| {
            link.up.next().is_some()
                || link.down.next().is_some()
                || seats[link.client as usize].conn == Some(*conn)
        });
    }
}
