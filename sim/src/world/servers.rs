//! Connections between servers.

use zk_core::ids::Sid;

use super::{Due, World};
use crate::dice::Site;
use crate::network::Arrival;
use crate::node::Node;
use crate::oracle::Violation;
use crate::wires::{Command, CutId, Machine, Name, Port, Side, WireDue, WireId};

impl World {
    /// Puts on the heap what connections have in store.
    pub(crate) fn schedule_wires(&mut self) {
        let mut due = std::mem::take(&mut self.wire_due);
        self.wires.take_due(&mut due);
        for (at, due) in due.drain(..) {
            self.schedule(at, Due::Wire(due));
        }
        self.wire_due = due;
    }

    /// Cuts end: what waited is sent again.
    pub fn mend(&mut self, cuts: &[CutId]) {
        for cut in cuts {
            self.wires.mend(self.now, *cut);
        }
        self.schedule_wires();
    }

    /// A path may be as fast as ever.
    pub fn let_flow(&mut self) {
        self.wires.let_flow(self.now);
        self.schedule_wires();
    }

    /// Between these nodes, and between them and clients, nothing is in the way any more.
    pub fn heal_paths(&mut self, core: &[u32]) {
        self.wires.heal(self.now, core);
        for nodes in self.out_of_reach.values_mut() {
            nodes.retain(|node| !core.contains(node));
        }
        self.let_in(u64::MAX);
        self.schedule_wires();
    }

    /// Breaks connections between servers of which this is true: of the nodes at their ends, and the port.
    pub fn reset_wires(&mut self, which: impl Fn(u32, u32, Port) -> bool) {
        self.wires.reset(self.now, which);
        self.schedule_wires();
    }

    /// A node does something with a connection.
    pub(super) fn wire_command(&mut self, node: u32, name: Name, command: Command) {
        match command {
            Command::Dial(sid) => {
                if let Some(to) = self.node_of(sid, node) {
                    self.wires.dial(self.now, node, name, to);
                }
            }
            Command::Send(bytes) => self.wires.send(self.now, node, name, bytes),
            Command::Close => self.wires.close(self.now, node, name),
        }
        self.schedule_wires();
    }

    /// The machine that a server's address leads to; one of them, if there are several servers with its id.
    fn node_of(&mut self, sid: Sid, asks: u32) -> Option<u32> {
        let of_sid = |node: &&Node| {
            node.settings.replica.sid == sid && node.id != asks && (!node.is_twin || node.is_up())
        };
        let count = self.nodes.iter().filter(of_sid).count() as u64;
        let nth = if count > 1 { self.dice.below(Site::Twin, asks, count) } else { 0 };
        self.nodes.iter().filter(of_sid).nth(nth as usize).map(|node| node.id)
    }

    pub(super) fn wire_due(&mut self, due: WireDue) -> Result<(), Violation> {
        match due {
            WireDue::Knock(id) => {
                if let Some((node, port)) = self.wires.dialled(id) {
                    let machine = self.machine(node, Some(port));
                    self.wires.knock(self.now, id, machine);
                }
            }
            WireDue::Arrive(id, side) => return self.arrive_on_wire(id, side),
            WireDue::GiveUp(id, side, since) => self.wires.give_up(self.now, id, side, since),
        }
        self.schedule_wires();
        Ok(())
    }

    /// What answers at a node: on a port that is dialled, or on connections that stand.
    fn machine(&self, node: u32, dialled: Option<Port>) -> Machine {
        let node = &self.nodes[node as usize - 1];
        match &node.server {
            None if node.is_off => Machine::Off,
            None => Machine::Refuses,
            Some(server) if dialled == Some(Port::Quorum) && !server.listens() => Machine::Refuses,
            Some(_) => Machine::Answers,
        }
    }

    fn arrive_on_wire(&mut self, id: WireId, side: Side) -> Result<(), Violation> {
        let Some(node) = self.wires.node_at(id, side) else { return Ok(()) };
        if self.nodes[node as usize - 1].is_paused {
            self.held.push((node, Due::Wire(WireDue::Arrive(id, side))));
            return Ok(());
        }
        while let Some((name, arrival)) = self.wires.arrive(self.now, id, side, self.machine(node, None)) {
            let content = match &arrival {
                Arrival::Bytes(bytes) => u64::from(crc32fast::hash(bytes)) << 20 | bytes.len() as u64,
                Arrival::Opened => 1,
                Arrival::Closed => 2,
            };
            self.trace.event(self.now, 5 + side as u64, id.0, content);
            self.with_node(node, |node, cx| node.wire(name, arrival, cx))?;
        }
        self.schedule_wires();
        Ok(())
    }
}
