//! One of the two servers, with a connection for each session.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use zk_core::ids::{SessionId, Zxid};
use zk_core::wire::client::{ConnectRequest, op, xid};
use zk_core::wire::framing::{FrameReader, put_frame, put_request};
use zk_core::wire::jute::Jute;
use zk_core::wire::request::Request;

use super::seen::{Meanings, Seen, connected};
use super::step::{Act, Before, Password, Reattach, Step};

/// Replies may be larger than any request.
const FRAME_MAX: usize = 64 << 20;
/// What has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a session asks for unless a step says otherwise, ms.
const TIMEOUT_MS: i32 = 60_000;

/// What each session saw in a step, by number of the session.
pub type Sights = Vec<Vec<Seen>>;

/// A server and the sessions on it.
#[derive(Debug)]
pub struct Side {
    address: String,
    sessions: Vec<Session>,
    meanings: Meanings,
}

#[derive(Debug, Default)]
struct Session {
    id: i64,
    password: Bytes,
    seen: Zxid,
    last_xid: i32,
    wire: Option<Wire>,
    /// What was sent and may be answered: xid and opcode.
    owed: Vec<(i32, i32)>,
}

#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    reader: FrameReader,
}

enum Arrived {
    Frame(Bytes),
    End(Seen),
}

impl Side {
    /// `sessions` of them on the server at `address`; each connects when it is first needed.
    pub fn new(address: String, sessions: usize) -> Self {
        let sessions = (0..sessions).map(|_| Session::default()).collect();
        Self { address, sessions, meanings: Meanings::default() }
    }

    /// Begins a step: what does not need the server's answer to go on has been sent afterwards.
    pub fn begin(&mut self, step: &Step, sights: &mut Sights) -> Result<()> {
        sights.clear();
        sights.resize(self.sessions.len(), Vec::new());
        match &step.act {
            Act::Reattach(how) => self.reattach(step.session, how, sights),
            Act::Ask(asks) => {
                self.open(step.session, sights)?;
                let session = &mut self.sessions[step.session];
                let Some(wire) = &mut session.wire else { return Ok(()) };
                let mut out = BytesMut::new();
                for ask in asks {
                    session.last_xid += 1;
                    session.owed.push((session.last_xid, ask.op()));
                    ask.put(session.last_xid, session.seen, &mut out);
                }
                // What stands behind a closeSession may be answered with -112 or not at all.
                if !step.closes() {
                    put_request(&mut out, xid::PING, &Request::Ping);
                }
                wire.write(&out);
                Ok(())
            }
        }
    }

    /// Ends it: all that the server sends because of it has been seen afterwards.
    pub fn end(&mut self, step: &Step, sights: &mut Sights) -> Result<()> {
        if matches!(step.act, Act::Ask(_)) {
            self.gather(step.session, &mut sights[step.session])?;
        }
        let others: Vec<usize> = (0..self.sessions.len()).filter(|other| *other != step.session).collect();
        let mut ping = BytesMut::new();
        put_request(&mut ping, xid::PING, &Request::Ping);
        for other in &others {
            if let Some(wire) = &mut self.sessions[*other].wire {
                wire.write(&ping);
            }
        }
        others.into_iter().try_for_each(|other| self.gather(other, &mut sights[other]))
    }

    /// Reads up to the reply to a ping, or to the connection's end. The ping behind a reply that ends the connection may be
    /// answered or not.
    fn gather(&mut self, at: usize, sights: &mut Vec<Seen>) -> Result<()> {
        let session = &mut self.sessions[at];
        let mut ends = false;
        while let Some(wire) = &mut session.wire {
            let frame = match wire.next()? {
                Arrived::Frame(frame) => frame,
                Arrived::End(seen) => {
                    sights.push(seen);
                    session.wire = None;
                    break;
                }
            };
            let owed = &mut session.owed;
            let mut asked = |xid| owed.iter().position(|owed| owed.0 == xid).map(|at| owed.remove(at).1);
            let mut closes = false;
            let seen = self.meanings.of_frame(&frame, |xid| {
                let op = asked(xid);
                closes = op == Some(op::CLOSE_SESSION);
                op
            });
            let pong = matches!(seen, Seen::Reply { xid: xid::PING, .. });
            if pong && ends {
                continue;
            }
            ends |= seen.ends_connection();
            if let Seen::Reply { zxid, .. } = &seen {
                session.seen = session.seen.max(*zxid);
            }
            sights.push(seen);
            if closes {
                session.id = 0;
            }
            if pong {
                break;
            }
        }
        session.owed.clear();
        Ok(())
    }

    /// Connects a session that has no connection, as the one it was or as a new one.
    fn open(&mut self, at: usize, sights: &mut Sights) -> Result<()> {
        if self.sessions[at].wire.is_some() {
            return Ok(());
        }
        let how = Reattach {
            before: Before::Cut,
            password: Password::Right,
            seen: 0,
            timeout_ms: TIMEOUT_MS,
            read_only: Some(false),
        };
        self.reattach(at, &how, sights)
    }

    fn reattach(&mut self, at: usize, how: &Reattach, sights: &mut Sights) -> Result<()> {
        let before = self.sessions[at].wire.take();
        let mut before = before.filter(|_| how.before == Before::Open);
        let session = &mut self.sessions[at];
        let mut password = session.password.to_vec();
        if how.password == Password::Wrong
            && let Some(first) = password.first_mut()
        {
            *first ^= 0x5a;
        }
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(session.seen.0 + how.seen),
            timeout_ms: how.timeout_ms,
            session: SessionId(session.id),
            password: Some(if session.id == 0 { Bytes::from_static(&[0; 16]) } else { password.into() }),
            read_only: how.read_only,
        };
        let mut wire = Wire::connect(&self.address)?;
        let mut out = BytesMut::new();
        put_frame(&mut out, |out| request.encode(out));
        wire.write(&out);
        let arrived = wire.next()?;
        let answer = match &arrived {
            Arrived::Frame(frame) => connected(frame, session.id, &session.password),
            Arrived::End(_) => None,
        };
        let sights = &mut sights[at];
        match (answer, arrived) {
            (Some((seen, response)), _) => {
                sights.push(seen);
                session.id = response.session.0;
                if response.timeout_ms > 0 {
                    session.password = response.password.unwrap_or_default();
                    self.meanings.session_is(session.id, at);
                    session.wire = Some(wire);
                } else {
                    session.id = if how.password == Password::Wrong { request.session.0 } else { 0 };
                    sights.push(wire.last()?);
                }
            }
            (None, Arrived::End(seen)) => {
                // Refused before anybody looked at the session: its connection lives on.
                sights.push(seen);
                session.wire = before.take();
            }
            (None, Arrived::Frame(frame)) => sights.push(self.meanings.of_frame(&frame, |_| None)),
        }
        if let Some(before) = &mut before {
            sights.push(before.last()?);
        }
        Ok(())
    }
}

impl Wire {
    fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, reader: FrameReader::new(FRAME_MAX) })
    }

    /// A server that has gone shows when its answer is read.
    fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn next(&mut self) -> Result<Arrived> {
        loop {
            if let Some(frame) = self.reader.next_frame()? {
                return Ok(Arrived::Frame(frame));
            }
            let mut bytes = [0; 16 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(Arrived::End(Seen::Closed)),
                Ok(n) => self.reader.push(&bytes[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(Arrived::End(Seen::Silence));
                }
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Ok(Arrived::End(Seen::Closed));
                }
                Err(error) => return Err(error).context("reading from the server"),
            }
        }
    }

    /// How the connection ends, after whatever else comes.
    fn last(&mut self) -> Result<Seen> {
        loop {
            if let Arrived::End(seen) = self.next()? {
                return Ok(seen);
            }
        }
    }
}
