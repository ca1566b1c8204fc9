//! One connection with its session: the handshake, requests out, replies in, in the order of the requests.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};

use zk_core::ids::{SessionId, Zxid};
use zk_core::wire::client::{ConnectRequest, ConnectResponse, ReplyHeader, xid};
use zk_core::wire::framing::{FrameReader, put_frame, put_request};
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::request::Request;

/// Servers do not bound what they send; a list of a few million names still fits.
const FRAME_MAX: usize = 256 << 20;

/// A request that waits for its reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    xid: i32,
    /// Its opcode.
    pub(super) op: i32,
    /// When it was sent, or was due: nanoseconds of the run's clock.
    pub(super) started: u64,
    /// The sender's own mark.
    pub(super) tag: u64,
}

impl Sent {
    /// True of the pings that keep an idle session alive: nobody asked for them, nobody counts them.
    pub(super) const fn is_ping(&self) -> bool {
        self.xid == xid::PING
    }
}

#[cfg(test)]
impl Sent {
    /// A request that never saw a connection.
    pub(super) const fn for_test(op: i32, started: u64, tag: u64) -> Self {
        Self { xid: 1, op, started, tag }
    }
}

/// What reading from a connection brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// Bytes, or nothing yet.
    Open,
    /// The server has closed the connection.
    End,
}

/// What a socket did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It took all.
    Nothing,
    /// It is full; the rest goes when it has room.
    Some,
}

/// Appends the request for a new session.
pub(crate) fn put_session_request(timeout_ms: i32, out: &mut BytesMut) {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms,
        session: SessionId::NONE,
        password: Some(Bytes::from_static(&[0; 16])),
        read_only: Some(false),
    };
    put_frame(out, |out| request.encode(out));
}

/// A session on its own connection.
#[derive(Debug)]
pub(super) struct Session {
    stream: TcpStream,
    server: SocketAddr,
    reader: FrameReader,
    out: BytesMut,
    in_flight: VecDeque<Sent>,
    last_xid: i32,
    timeout: Duration,
    /// When it last sent anything.
    last_sent: u64,
    /// When a reply last came, or waiting for one began.
    heard: u64,
}

impl Session {
    /// Connects and asks for a session; [`Self::establish`] waits for it.
    pub(super) fn open(server: SocketAddr, timeout_ms: i32, patience: Duration) -> Result<Self> {
        let mut stream = TcpStream::connect_timeout(&server, patience)
            .with_context(|| format!("cannot connect to {server}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        let mut out = BytesMut::new();
        put_session_request(timeout_ms, &mut out);
        stream.write_all(&out).with_context(|| format!("cannot send to {server}"))?;
        out.clear();
        Ok(Self {
            stream,
            server,
            reader: FrameReader::new(FRAME_MAX),
            out,
            in_flight: VecDeque::new(),
            last_xid: 0,
            timeout: Duration::ZERO,
            last_sent: 0,
            heard: 0,
        })
    }

    /// Waits for the answer to the handshake; from here on the connection never blocks.
    pub(super) fn establish(&mut self, now: u64) -> Result<()> {
        let server = self.server;
        let mut bytes = [0; 256];
        let frame = loop {
            if let Some(frame) = self.reader.next_frame()? {
                break frame;
            }
            let n = self
                .stream
                .read(&mut bytes)
                .with_context(|| format!("{server} did not answer the request for a session"))?;
            ensure!(
                n > 0,
                "{server} closed the connection instead of opening a session: it may not be serving, \
                 or maxClientCnxns (60 by default) is reached"
            );
            self.reader.push(&bytes[..n]);
        };
        let response = ConnectResponse::from_bytes(frame).with_context(|| format!("{server}: handshake"))?;
        let Some(timeout_ms) = u64::try_from(response.timeout_ms).ok().filter(|ms| *ms > 0) else {
            bail!("{server} refused the session");
        };
        self.timeout = Duration::from_millis(timeout_ms);
        self.last_sent = now;
        self.stream.set_nonblocking(true)?;
        Ok(())
    }

    /// Queues a request.
    pub(super) fn put(&mut self, request: &Request, started: u64, tag: u64, now: u64) {
        let xid = if matches!(request, Request::Ping) {
            xid::PING
        } else {
            self.last_xid = self.last_xid.checked_add(1).unwrap_or(1);
            self.last_xid
        };
        if self.in_flight.is_empty() {
            self.heard = now;
        }
        put_request(&mut self.out, xid, request);
        self.in_flight.push_back(Sent { xid, op: request.op(), started, tag });
        self.last_sent = now;
    }

    /// Queues a ping if the session has been silent for a third of its timeout.
    pub(super) fn keep_alive(&mut self, now: u64) {
        if Duration::from_nanos(now - self.last_sent) >= self.timeout / 3 {
            self.put(&Request::Ping, now, 0, now);
        }
    }

    /// Sends what is queued, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> io::Result<Left> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(n) if n == self.out.len() => self.out.clear(),
                Ok(n) => self.out.advance(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Left::Some),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Left::Nothing)
    }

    /// Reads once, through `scratch`. What is left in the socket shows at the next turn.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) -> io::Result<Arrived> {
        match self.stream.read(scratch) {
            Ok(0) => Ok(Arrived::End),
            Ok(n) => {
                self.reader.push(&scratch[..n]);
                Ok(Arrived::Open)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(Arrived::Open)
            }
            Err(e) => Err(e),
        }
    }

    /// The next whole reply with the request that it answers, and the reader at its body.
    pub(super) fn next_reply(&mut self, now: u64) -> Result<Option<(Sent, ReplyHeader, Bytes)>> {
        let Some(frame) = self.reader.next_frame()? else { return Ok(None) };
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader).context("reply header")?;
        let Some(sent) = self.in_flight.pop_front() else {
            bail!("a reply with xid {} came though no request waits", header.xid);
        };
        ensure!(
            sent.xid == header.xid,
            "a reply with xid {} came where {} was next: replies are out of order",
            header.xid,
            sent.xid
        );
        self.heard = now;
        Ok(Some((sent, header, reader.rest())))
    }

    /// How long nothing has come though something is awaited.
    pub(super) fn waited(&self, now: u64) -> Duration {
        let ns = if self.in_flight.is_empty() { 0 } else { now.saturating_sub(self.heard) };
        Duration::from_nanos(ns)
    }

    /// Takes the requests that nobody will answer any more.
    pub(super) fn take_in_flight(&mut self) -> VecDeque<Sent> {
        std::mem::take(&mut self.in_flight)
    }

    /// Requests that wait for their replies.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The server at the other end.
    pub(super) const fn server(&self) -> SocketAddr {
        self.server
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
