//! Clients of a node: their bytes in, their answers out, by the order of `core::front`.

use std::cell::RefCell;

use zk_core::action::CloseReason;
use zk_core::front::connection::Connection;
use zk_core::front::{self, Connections, Intake};
use zk_core::ids::ConnId;
use zk_core::wire::framing::FrameReader;

use super::{Context, Effect, IDLE_CHECK_NS, Node, NodeEvent, Stop};

impl Node {
    /// A client connected.
    pub fn accept(&mut self, conn: ConnId, cx: &Context<'_>) {
        let now = self.clock.now(cx.at);
        let frame_max = self.settings.front.frame_max;
        let fresh = (Connection::new(conn, "10.0.0.1".to_owned(), now), FrameReader::new(frame_max));
        self.server().conns.all.insert(conn, RefCell::new(fresh));
    }

    /// Bytes from a client.
    pub fn bytes(&mut self, conn: ConnId, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), Stop> {
        if let Some(cell) = self.server().conns.all.get(&conn) {
            cell.borrow_mut().1.push(bytes);
        }
        self.read_on(conn, cx)?;
        self.arm(cx);
        Ok(())
    }

    /// A client is gone.
    pub fn hung_up(&mut self, conn: ConnId, cx: &mut Context<'_>) -> Result<(), Stop> {
        self.forget(conn, cx)?;
        self.arm(cx);
        Ok(())
    }

    /// Serves the frames of a connection as far as it is to be read from.
    pub(super) fn read_on(&mut self, conn: ConnId, cx: &mut Context<'_>) -> Result<(), Stop> {
        loop {
            if !self.server.as_ref().is_some_and(|server| server.conns.contains(conn)) {
                return Ok(());
            }
            let now = self.clock.now(cx.at);
            let (config, server) = self.split();
            let credit = server.replica.credit().requests;
            let mut cell = server.conns.all[&conn].borrow_mut();
            let (connection, frames) = &mut *cell;
            if !connection.wants_input() {
                return Ok(());
            }
            // Nobody is kept out altogether: a connection with nothing under way may always ask for one thing.
            if credit == 0 && connection.in_flight() > 0 {
                cx.trace.mark("no-credit");
                return Ok(());
            }
            let frame = match frames.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(error) => {
                    drop(cell);
                    return self.close(conn, CloseReason::Malformed(error.to_string()), cx);
                }
            };
            let mut intake = Intake::default();
            let host = server.host(config, now);
            front::receive(connection, frame, &host, &mut intake);
            let session = connection.session();
            drop(cell);
            if let Some(session) = session {
                self.server().heard.insert(session, now.mono);
            }
            self.take_in(intake, cx)?;
        }
    }

    /// Frames may have waited for room.
    pub(super) fn read_all(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let waiting = |(conn, cell): (&ConnId, &RefCell<(Connection, FrameReader)>)| {
            (cell.borrow().1.buffered() > 0).then_some(*conn)
        };
        let mut waiting: Vec<ConnId> = self.server().conns.all.iter().filter_map(waiting).collect();
        // Whoever comes first takes the credit: a different one each time.
        if !waiting.is_empty() {
            let first = cx.trace.events() as usize % waiting.len();
            waiting.rotate_left(first);
        }
        for conn in waiting {
            self.read_on(conn, cx)?;
        }
        Ok(())
    }

    /// Does what a call into the front asked for.
    pub(super) fn take_in(&mut self, intake: Intake, cx: &mut Context<'_>) -> Result<(), Stop> {
        let Intake { inputs, dirty, close, .. } = intake;
        for input in inputs {
            self.input(input, cx)?;
        }
        for (conn, why) in close {
            self.close(conn, why, cx)?;
        }
        for conn in dirty {
            self.flush(conn, cx)?;
        }
        Ok(())
    }

    /// Sends what a connection has to say, and closes it if it is to be closed.
    pub(super) fn flush(&mut self, conn: ConnId, cx: &mut Context<'_>) -> Result<(), Stop> {
        let Some(cell) = self.server().conns.all.get(&conn) else { return Ok(()) };
        let (output, closing) = {
            let connection = &mut cell.borrow_mut().0;
            (connection.output().split().freeze(), connection.closing().is_some())
        };
        if !output.is_empty() {
            self.boundary()?;
            cx.effects.push(Effect::Send(conn, output));
        }
        if closing {
            cx.effects.push(Effect::Close(conn));
            self.forget(conn, cx)?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self, conn: ConnId, why: CloseReason, cx: &mut Context<'_>) -> Result<(), Stop> {
        cx.trace.tell(cx.at, || self.name(), || format!("closes connection {}: {why:?}", conn.0));
        if why == CloseReason::SessionMoved {
            cx.trace.mark("session-moved");
        }
        if self.server().conns.with(conn, |connection| connection.close(why)).is_some() {
            self.flush(conn, cx)?;
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, conn: ConnId, cx: &mut Context<'_>) -> Result<(), Stop> {
        let server = self.server();
        let Some(cell) = server.conns.all.remove(&conn) else { return Ok(()) };
        let mut intake = Intake::default();
        front::gone(&mut cell.into_inner().0, &server.conns, &server.watches, &mut intake);
        self.take_in(intake, cx)
    }

    pub(super) fn drop_idle(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let now = self.clock.now(cx.at).mono;
        let all = &self.server().conns.all;
        let idle = |(conn, cell): (&ConnId, &RefCell<(Connection, FrameReader)>)| {
            (cell.borrow().0.idle_deadline() <= now).then_some(*conn)
        };
        let idle: Vec<ConnId> = all.iter().filter_map(idle).collect();
        for conn in idle {
            self.close(conn, CloseReason::Idle, cx)?;
        }
        cx.effects.push(Effect::Schedule(cx.at.plus(IDLE_CHECK_NS), NodeEvent::Idle));
        Ok(())
    }
}
