//! Byte streams between servers, on both of their ports (simulation brief §5.1).
//!
//! A wire is one TCP connection: two directions, each first in, first out, from the dial to the last byte.
//!
//! - *Dials* are answered at once, refused, or knock again and again where nobody answers, until the dialler has had enough.
//! - *A partition* holds back what is sent. It waits, and arrives when the partition heals; a sender that hears no
//!   acknowledgement for too long gives up, and then its end is gone and the other one knows nothing of it.
//! - *A killed process* leaves a kernel that says goodbye, in order or by a reset; *a machine without power* says nothing. Who
//!   sends to it waits until he gives up, or until the machine runs again and knows nothing of the connection.
//! - *A reset* lets a part of what is under way through, cut at any byte, and each end learns of it in its own time, which may
//!   be after a new connection stands.
//! - *Hung dials* knock as where nobody answers, while connections that stand go on.
//! - *Slow paths* let so many bytes per second through; *held* ones (a zero window) nothing, and nobody gives up.
//! - *Garbled paths* flip bits that checksums did not catch.
//!
//! Every draw is named by the connection (who dials whom, on which port, for how many-th time) and its number on it.

mod paths;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use zk_core::election::links;
use zk_core::ids::{LinkId, Sid};

use crate::clock::Time;
use crate::dice::{self, Site};
use crate::network::{self, Arrival, Delay, Stream};
use crate::node::Loss;
pub use paths::{Cut, CutId, Kind, Paths};

/// A port of a server that other servers connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// Votes.
    Election,
    /// Everything else.
    Quorum,
}

/// What a server calls an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// On the election port.
    Election(links::LinkId),
    /// On the quorum port.
    Quorum(LinkId),
}

impl Name {
    /// On which port it is.
    pub const fn port(self) -> Port {
        match self {
            Self::Election(_) => Port::Election,
            Self::Quorum(_) => Port::Quorum,
        }
    }
}

/// What a server does with a connection.
#[derive(Clone, Debug)]
pub enum Command {
    /// Connect to a server.
    Dial(Sid),
    /// Send.
    Send(Bytes),
    /// Close behind what was sent.
    Close,
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireId(pub u64);

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Who dialled.
    Dialler,
    /// Who was dialled.
    Acceptor,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Dialler, Self::Acceptor];

    const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// Something that will happen on a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireDue {
    /// A dial reaches the other machine, or tries again.
    Knock(WireId),
    /// Something arrives at an end.
    Arrive(WireId, Side),
    /// Nothing that was sent to this end was acknowledged since then.
    GiveUp(WireId, Side, Time),
}

/// What stands at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// A machine without power: nobody answers.
    Off,
    /// A machine that knows nothing of the connection, or does not listen.
    Refuses,
    /// A process that takes what comes.
    Answers,
}

/// One end.
#[derive(Clone, Debug)]
struct End {
    node: u32,
    name: Option<Name>,
    open: bool,
    /// What is on its way to it.
    stream: Stream,
    /// Something that is on its way to it was held up.
    stalled: bool,
    /// Since when nothing that was sent to it has been acknowledged.
    doubt: Option<Time>,
    /// A slow path to it is busy until then.
    busy: Time,
    /// Its own machine has told it that the connection is gone: no path can hold that up.
    is_told: bool,
}

impl End {
    fn new(node: u32, name: Option<Name>) -> Self {
        let stream = Stream::default();
        let open = name.is_some();
        Self { node, name, open, stream, stalled: false, doubt: None, busy: Time(0), is_told: false }
    }
}

/// One connection.
#[derive(Clone, Debug)]
struct Wire {
    port: Port,
    /// Names its draws.
    key: u64,
    draws: u64,
    since: Time,
    is_up: bool,
    knocks: u32,
    ends: [End; 2],
}

impl Wire {
    fn draw(&mut self, seed: u64) -> u64 {
        self.draws += 1;
        dice::mix(seed, Site::Wire, self.key, self.draws)
    }

    const fn end(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// From the other end to this one.
    const fn path_to(&self, side: Side) -> (u32, u32) {
        (self.ends[side.other() as usize].node, self.ends[side as usize].node)
    }
}

/// All connections between servers, and the paths that they take.
#[derive(Clone, Debug)]
pub struct Wires {
    seed: u64,
    all: BTreeMap<WireId, Wire>,
    names: BTreeMap<(u32, Name), (WireId, Side)>,
    dialled: BTreeMap<(u32, u32, Port), u64>,
    next: u64,
    /// What lies between the servers.
    pub paths: Paths,
    /// A sender that hears nothing for so long gives up, ns.
    pub give_up_after: u64,
    /// So does a dialler on the quorum port, ns. On the election port the core has its own patience.
    pub dial_limit: u64,
    due: Vec<(Time, WireDue)>,
}

/// The first pause before a dial, or what was held up, is tried again, ns.
const RETRY_NS: u64 = 200_000_000;
/// Pauses double up to this one, ns.
const RETRY_MAX_NS: u64 = 3_000_000_000;
/// One reset in so many is heard of late by one of the ends.
const LATE_ONE_IN: u64 = 4;
/// How late, ns.
const LATE_NS: u64 = 3_000_000_000;

impl Wires {
    /// No connections, and paths that take as long as this.
    pub fn new(seed: u64, delay: Delay) -> Self {
        Self {
            seed,
            all: BTreeMap::new(),
            names: BTreeMap::new(),
            dialled: BTreeMap::new(),
            next: 1,
            paths: Paths::new(delay),
            give_up_after: 15_000_000_000,
            dial_limit: 2_000_000_000,
            due: Vec::new(),
        }
    }

    /// What is to happen, since this was asked last.
    pub fn take_due(&mut self, into: &mut Vec<(Time, WireDue)>) {
        into.append(&mut self.due);
    }

    /// A node dials another.
    pub fn dial(&mut self, now: Time, node: u32, name: Name, to: u32) {
        let port = name.port();
        let nth = self.dialled.entry((node, to, port)).or_default();
        *nth += 1;
        let key = u64::from(node) << 48 | u64::from(to) << 32 | (port as u64) << 31 | *nth;
        let id = WireId(self.next);
        self.next += 1;
        let ends = [End::new(node, Some(name)), End::new(to, None)];
        let mut wire = Wire { port, key, draws: 0, since: now, is_up: false, knocks: 0, ends };
        let delay = self.paths.delay(node, to).pick(|| wire.draw(self.seed));
        self.all.insert(id, wire);
        self.names.insert((node, name), (id, Side::Dialler));
        self.due.push((now.plus(delay), WireDue::Knock(id)));
    }

    /// Who is dialled on which port, if the dialler still waits.
    pub fn dialled(&self, id: WireId) -> Option<(u32, Port)> {
        let wire = self.all.get(&id)?;
        (!wire.is_up).then_some((wire.ends[1].node, wire.port))
    }

    /// A dial reaches the other machine.
    pub fn knock(&mut self, now: Time, id: WireId, machine: Machine) {
        let Some(wire) = self.all.get_mut(&id).filter(|wire| !wire.is_up) else { return };
        let (from, to) = wire.path_to(Side::Acceptor);
        let port = wire.port;
        if self.paths.hangs(from, to, port) || machine == Machine::Off {
            let patience = if port == Port::Quorum { self.dial_limit } else { self.give_up_after };
            let pause = (RETRY_NS << wire.knocks.min(8)).min(RETRY_MAX_NS);
            wire.knocks += 1;
            let again = now.plus(pause).min(wire.since.plus(patience));
            if again > now {
                self.due.push((again, WireDue::Knock(id)));
            } else {
                wire.end(Side::Dialler).is_told = true;
                self.tell_dialler(now, id, Arrival::Closed);
            }
            return;
        }
        let delay = self.paths.delay(to, from).pick(|| wire.draw(self.seed));
        if machine == Machine::Refuses {
            self.tell_dialler(now.plus(delay), id, Arrival::Closed);
            return;
        }
        wire.is_up = true;
        let name = match port {
            Port::Election => Name::Election(links::LinkId::Accepted(id.0)),
            Port::Quorum => Name::Quorum(LinkId::Accepted(id.0)),
        };
        let end = wire.end(Side::Acceptor);
        (end.name, end.open) = (Some(name), true);
        let at = end.stream.send(now, Arrival::Opened).expect("nothing was sent before");
        self.names.insert((to, name), (id, Side::Acceptor));
        self.due.push((at, WireDue::Arrive(id, Side::Acceptor)));
        self.tell_dialler(now.plus(delay), id, Arrival::Opened);
    }

    fn tell_dialler(&mut self, at: Time, id: WireId, what: Arrival) {
        let Some(wire) = self.all.get_mut(&id) else { return };
        let stream = &mut wire.end(Side::Dialler).stream;
        let at = if what == Arrival::Closed { stream.finish(at) } else { stream.send(at, what) };
        self.due.extend(at.map(|at| (at, WireDue::Arrive(id, Side::Dialler))));
    }

    /// A node sends.
    pub fn send(&mut self, now: Time, node: u32, name: Name, bytes: Bytes) {
        let Some((id, side)) = self.names.get(&(node, name)).copied() else { return };
        let wire = self.all.get_mut(&id).expect("invariant: names are those of wires");
        let (to, seed) = (side.other(), self.seed);
        let (from_node, to_node) = wire.path_to(to);
        let mut rest = bytes;
        while !rest.is_empty() {
            let chunk = network::next_chunk(&mut rest, || wire.draw(seed));
            let chunk = self.paths.garble(from_node, to_node, chunk, || wire.draw(seed));
            let mut at = now.plus(self.paths.delay(from_node, to_node).pick(|| wire.draw(seed)));
            let end = wire.end(to);
            if let Some(rate) = self.paths.rate(from_node, to_node) {
                end.busy = end.busy.max(now).plus(1_000_000_000 * chunk.len() as u64 / rate.max(1));
                at = at.max(end.busy);
            }
            if let Some(at) = end.stream.send(at, Arrival::Bytes(chunk)) {
                self.due.push((at, WireDue::Arrive(id, to)));
            }
        }
    }

    /// A node closes its end.
    pub fn close(&mut self, now: Time, node: u32, name: Name) {
        let Some((id, side)) = self.names.remove(&(node, name)) else { return };
        let wire = self.all.get_mut(&id).expect("invariant: names are those of wires");
        let (from, to) = wire.path_to(side.other());
        let delay = self.paths.delay(from, to).pick(|| wire.draw(self.seed));
        let end = wire.end(side);
        end.open = false;
        end.stream.silence();
        let is_up = wire.is_up;
        let at = wire.end(side.other()).stream.finish(now.plus(delay));
        if is_up {
            self.due.extend(at.map(|at| (at, WireDue::Arrive(id, side.other()))));
        }
        self.drop_if_over(id);
    }

    /// What has arrived at an end by now, if anybody is there to hear it.
    pub fn arrive(&mut self, now: Time, id: WireId, side: Side, machine: Machine) -> Option<(Name, Arrival)> {
        let give_up_after = self.give_up_after;
        let wire = self.all.get_mut(&id)?;
        wire.end(side).stream.next().filter(|at| *at <= now)?;
        let (from, to) = wire.path_to(side);
        let port = wire.port;
        let kind = self.paths.blocked(from, to, port).filter(|_| !wire.ends[side as usize].is_told);
        if kind.is_some() || machine == Machine::Off {
            wire.end(side).stalled = true;
            if kind != Some(Kind::Hold) {
                self.doubt(now, id, side);
            }
            return None;
        }
        if self.paths.blocked(to, from, port) == Some(Kind::Lose) && wire.end(side).doubt.is_none() {
            // It arrives, and the sender does not hear that it did.
            wire.end(side).doubt = Some(now);
            self.due.push((now.plus(give_up_after), WireDue::GiveUp(id, side, now)));
        }
        if !wire.end(side).open {
            self.refuse_bytes(now, id, side);
            return None;
        }
        let arrival = wire.end(side).stream.take(now)?;
        let name = wire.end(side).name.expect("invariant: an open end has a name");
        if arrival == Arrival::Closed {
            wire.end(side).open = false;
            self.names.remove(&(to, name));
            if wire.end(side.other()).open && !wire.end(side.other()).stream.is_deaf() {
                // The other end knows nothing of it: what it sends is to be refused.
                wire.end(side).stream = Stream::default();
            }
            self.drop_if_over(id);
        }
        Some((name, arrival))
    }

    /// Bytes came for a connection that this machine does not know.
    fn refuse_bytes(&mut self, now: Time, id: WireId, side: Side) {
        let Some(wire) = self.all.get_mut(&id) else { return };
        wire.end(side).stream.silence();
        let (to, from) = wire.path_to(side);
        let delay = self.paths.delay(from, to).pick(|| wire.draw(self.seed));
        let at = wire.end(side.other()).stream.finish(now.plus(delay));
        self.due.extend(at.map(|at| (at, WireDue::Arrive(id, side.other()))));
        self.drop_if_over(id);
    }

    /// From now on the sender to this end wonders whether anything arrives.
    fn doubt(&mut self, now: Time, id: WireId, side: Side) {
        let Some(wire) = self.all.get_mut(&id) else { return };
        let end = wire.end(side);
        if end.doubt.is_none() {
            end.doubt = Some(now);
            self.due.push((now.plus(self.give_up_after), WireDue::GiveUp(id, side, now)));
        }
    }

    /// Nothing was acknowledged for too long: the sender's end is gone.
    pub fn give_up(&mut self, now: Time, id: WireId, side: Side, since: Time) {
        let Some(wire) = self.all.get_mut(&id) else { return };
        if wire.end(side).doubt != Some(since) || !wire.end(side.other()).open {
            return;
        }
        let end = wire.end(side);
        (end.stream, end.stalled, end.doubt) = (Stream::default(), false, None);
        let sender = wire.end(side.other());
        if sender.stream.is_deaf() {
            return;
        }
        sender.stalled = false;
        sender.stream = Stream::default();
        let at = sender.stream.finish(now).expect("a fresh stream");
        (sender.doubt, sender.is_told) = (None, true);
        self.due.push((at, WireDue::Arrive(id, side.other())));
    }

    /// A process is gone.
    pub fn crash(&mut self, now: Time, node: u32, loss: Loss) {
        let of_node =
            |(key, place): (&(u32, Name), &(WireId, Side))| (key.0 == node).then_some((*key, *place));
        let ends: Vec<_> = self.names.range((node, FIRST)..).map_while(of_node).collect();
        for (key, (id, side)) in ends {
            self.names.remove(&key);
            let wire = self.all.get_mut(&id).expect("invariant: names are those of wires");
            wire.end(side).open = false;
            if loss == Loss::Power {
                wire.end(side).stream = Stream::default();
            } else {
                wire.end(side).stream.silence();
                let (from, to) = wire.path_to(side.other());
                let (delay, reset) = (self.paths.delay(from, to).clone(), wire.draw(self.seed) & 1 == 0);
                let at = now.plus(delay.pick(|| wire.draw(self.seed)));
                let bits = wire.draw(self.seed);
                let stream = &mut wire.end(side.other()).stream;
                let at = if reset { stream.cut_off(at, bits) } else { stream.finish(at) };
                if wire.is_up {
                    self.due.extend(at.map(|at| (at, WireDue::Arrive(id, side.other()))));
                }
            }
            self.drop_if_over(id);
        }
    }

    /// A machine runs again: what was sent to it meanwhile meets a kernel that knows nothing of it.
    pub fn booted(&mut self, now: Time, node: u32) {
        let is_there = |_: &Paths, _: u32, to: u32, _: Port| to == node;
        self.send_again(now, is_there);
    }

    /// Breaks connections of which this is true: of the nodes that dialled and accepted, and the port.
    pub fn reset(&mut self, now: Time, which: impl Fn(u32, u32, Port) -> bool) -> u64 {
        let broken = |(id, wire): (&WireId, &Wire)| {
            (wire.is_up && which(wire.ends[0].node, wire.ends[1].node, wire.port)).then_some(*id)
        };
        let broken: Vec<WireId> = self.all.iter().filter_map(broken).collect();
        for id in &broken {
            let wire = self.all.get_mut(id).expect("listed above");
            for side in Side::BOTH {
                let (from, to) = wire.path_to(side);
                let delay = self.paths.delay(from, to).clone();
                let mut at = now.plus(delay.pick(|| wire.draw(self.seed)));
                if dice::scale(wire.draw(self.seed), LATE_ONE_IN) == 0 {
                    at = at.plus(dice::scale(wire.draw(self.seed), LATE_NS));
                }
                let bits = wire.draw(self.seed);
                let at = wire.end(side).stream.cut_off(at, bits);
                self.due.extend(at.map(|at| (at, WireDue::Arrive(*id, side))));
            }
        }
        broken.len() as u64
    }

    /// A path is cut; what it does until it is mended is up to `cut`.
    pub fn cut(&mut self, cut: Cut) -> CutId {
        self.paths.cut(cut)
    }

    /// It is mended: what waited is sent again.
    pub fn mend(&mut self, now: Time, id: CutId) {
        self.paths.mend(id);
        let passes = |paths: &Paths, from: u32, to: u32, port: Port| paths.blocked(from, to, port).is_none();
        self.send_again(now, passes);
    }

    /// Between these nodes nothing is in the way any more; nor will it be.
    pub fn heal(&mut self, now: Time, core: &[u32]) {
        self.paths.heal(core);
        self.let_flow(now);
        let passes = |paths: &Paths, from: u32, to: u32, port: Port| paths.blocked(from, to, port).is_none();
        self.send_again(now, passes);
    }

    /// What queued before a path that was slow, and is not any more, goes on its way.
    pub fn let_flow(&mut self, now: Time) {
        for (id, wire) in &mut self.all {
            for side in Side::BOTH {
                let (from, to) = wire.path_to(side);
                if wire.end(side).busy <= now || self.paths.rate(from, to).is_some() {
                    continue;
                }
                let at = now.plus(self.paths.delay(from, to).pick(|| wire.draw(self.seed)));
                let end = wire.end(side);
                end.busy = now;
                let moved = end.stream.hasten(at);
                self.due.extend(std::iter::repeat_n((at, WireDue::Arrive(*id, side)), moved));
            }
        }
    }

    fn send_again(&mut self, now: Time, passes: impl Fn(&Paths, u32, u32, Port) -> bool) {
        for (id, wire) in &mut self.all {
            for side in Side::BOTH {
                let (from, to) = wire.path_to(side);
                if !passes(&self.paths, from, to, wire.port) {
                    continue;
                }
                let bits = if wire.end(side).stalled { wire.draw(self.seed) } else { 0 };
                let end = wire.end(side);
                let waited = now.0 - end.doubt.take().unwrap_or(now).0;
                if std::mem::take(&mut end.stalled) {
                    let pause = dice::scale(bits, waited.clamp(RETRY_NS, RETRY_MAX_NS));
                    self.due.push((now.plus(pause), WireDue::Arrive(*id, side)));
                }
            }
        }
    }

    /// Bytes that a node has sent on a connection and that have not arrived.
    pub fn in_flight(&self, node: u32, name: Name) -> usize {
        let place = self.names.get(&(node, name));
        place.map_or(0, |(id, side)| self.all[id].ends[side.other() as usize].stream.len())
    }

    /// True of a connection that stood, and at whose other end nobody is any more.
    pub fn is_alone(&self, node: u32, name: Name) -> bool {
        let place = self.names.get(&(node, name));
        place.is_some_and(|(id, side)| {
            let wire = &self.all[id];
            wire.is_up && !wire.ends[side.other() as usize].open
        })
    }

    /// The node at the other end of a connection.
    pub fn peer(&self, node: u32, name: Name) -> Option<u32> {
        let (id, side) = self.names.get(&(node, name))?;
        Some(self.all[id].ends[side.other() as usize].node)
    }

    /// Whose an end is.
    pub fn node_at(&self, id: WireId, side: Side) -> Option<u32> {
        self.all.get(&id).map(|wire| wire.ends[side as usize].node)
    }

    /// Connections that stand or come about.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn drop_if_over(&mut self, id: WireId) {
        if self.all.get(&id).is_some_and(|wire| !wire.ends[0].open && !wire.ends[1].open) {
            self.all.remove(&id);
        }
    }
}

/// Sorts before all names.
const FIRST: Name = Name::Election(links::LinkId::Accepted(0));
