//! Clients and their connections.

use zk_core::error::OpError;
use zk_core::ids::ConnId;

use super::{Due, Link, World};
use crate::client::Act;
use crate::dice::Site;
use crate::network::{self, Arrival, Stream, Way};
use crate::oracle::{ClientId, Seen, Violation};

impl World {
    pub(super) fn send(&mut self, conn: ConnId, way: Way, arrival: Arrival) {
        let Arrival::Bytes(mut rest) = arrival else { return self.send_chunk(conn, way, arrival) };
        let Some(link) = self.links.get(&conn) else { return };
        let entity = link.entity(way);
        while !rest.is_empty() {
            let chunk = network::next_chunk(&mut rest, || self.dice.draw(Site::Chunk, entity));
            self.send_chunk(conn, way, Arrival::Bytes(chunk));
        }
    }

    fn send_chunk(&mut self, conn: ConnId, way: Way, arrival: Arrival) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let at = self.now.plus(self.client_delay.draw(&mut self.dice, Site::Delay, link.entity(way)));
        if let Some(at) = link.stream(way).send(at, arrival) {
            self.schedule(at, Due::Arrive(conn, way));
        }
    }

    pub(super) fn arrive(&mut self, conn: ConnId, way: Way) -> Result<(), Violation> {
        let now = self.now;
        if let Some(link) = self.links.get(&conn)
            && way == Way::Up
            && self.nodes[link.node as usize - 1].is_paused
        {
            self.held.push((link.node, Due::Arrive(conn, way)));
            return Ok(());
        }
        if let Some(link) = self.links.get(&conn).filter(|link| self.is_out_of_reach(link.node)) {
            self.kept_out.push((link.node, Due::Arrive(conn, way)));
            return Ok(());
        }
        loop {
            let Some(link) = self.links.get_mut(&conn) else { return Ok(()) };
            let (client, node) = (link.client, link.node);
            let Some(arrival) = link.stream(way).take(now) else { return Ok(()) };
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
        if arrival == Arrival::Opened && !self.nodes[node as usize - 1].opens() {
            self.turn_away(conn);
            return Ok(());
        }
        if !self.nodes[node as usize - 1].is_up() {
            self.reset(conn);
            return Ok(());
        }
        if let Some(link) = self.links.get_mut(&conn) {
            link.accepted = true;
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
        if let Some(link) = self.links.get(&conn) {
            self.disconnects += u64::from(link.accepted);
            self.turn_away(conn);
        }
    }

    /// The same where there never was a connection to speak of.
    fn turn_away(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
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

    pub(super) fn wake(&mut self, entity: u32) -> Result<(), Violation> {
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
                    let link = Link {
                        client: entity,
                        node,
                        up: Stream::default(),
                        down: Stream::default(),
                        accepted: false,
                    };
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
                    if matches!(seen, Seen::Replied { err, .. } if err == OpError::QuotaExceeded.code()) {
                        self.trace.mark("over-quota");
                    }
                    self.show_reply(entity, &seen)?;
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

    /// The oracle sees what servers tell clients.
    fn show_reply(&mut self, entity: u32, seen: &Seen) -> Result<(), Violation> {
        let (Some(ensemble), Seen::Replied { zxid, .. }) = (&mut self.ensemble, seen) else { return Ok(()) };
        if self.seats[entity as usize].client.only_reads() {
            return Ok(());
        }
        let conn = self.seats[entity as usize].conn;
        match conn.and_then(|conn| self.links.get(&conn)) {
            Some(link) => ensemble.replied(link.node, *zxid),
            None => Ok(()),
        }
    }

    /// From now on nothing passes between these nodes and clients; what was sent waits.
    pub fn keep_clients_out(&mut self, nodes: Vec<u32>) -> u64 {
        let id = self.out_of_reach.last_key_value().map_or(0, |(last, _)| last + 1);
        self.out_of_reach.insert(id, nodes);
        id
    }

    /// That ends.
    pub fn let_in(&mut self, id: u64) {
        self.out_of_reach.remove(&id);
        let (out, within): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.kept_out).into_iter().partition(|(node, _)| self.is_out_of_reach(*node));
        self.kept_out = out;
        within.into_iter().for_each(|(_, due)| self.schedule(self.now, due));
    }

    /// All of that ends.
    pub fn let_clients_in(&mut self) {
        let ids: Vec<u64> = self.out_of_reach.keys().copied().collect();
        ids.into_iter().for_each(|id| self.let_in(id));
    }

    /// True of a connection to a server that stands still or cannot be reached: nothing comes, and nobody knows.
    pub fn is_held_up(&self, conn: Option<ConnId>) -> bool {
        let link = conn.and_then(|conn| self.links.get(&conn));
        link.is_some_and(|link| {
            self.nodes[link.node as usize - 1].is_paused || self.is_out_of_reach(link.node)
        })
    }

    fn is_out_of_reach(&self, node: u32) -> bool {
        self.out_of_reach.values().any(|nodes| nodes.contains(&node))
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
