//! One writer: a blocking client that connects anew as often as it must.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::{Bytes, BytesMut};
use zk_core::error::OpError;
use zk_core::text::Text;
use zk_core::wire::client::{
    ConnectResponse, CreateRequest, GetDataRequest, ReplyHeader, SetDataRequest, SyncRequest,
};
use zk_core::wire::framing::{FrameReader, put_request};
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::records::{Acl, perms};
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

use crate::bench::put_session_request;

/// Between two attempts to connect.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);
/// How long to look for a server before and after the writing, when all is expected to be well.
const WELL: Duration = Duration::from_secs(60);
/// Larger answers do not come.
const FRAME_MAX: usize = 1 << 20;

/// Who writes what to whom.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) servers: Vec<SocketAddr>,
    /// Which of the servers is next.
    pub(super) at: usize,
    pub(super) root: String,
    /// The writer's number.
    pub(super) nth: usize,
    pub(super) timeout_ms: i32,
    pub(super) patience: Duration,
}

/// What a writer was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// When each acknowledgement came, after the start.
    pub(super) acknowledged: Vec<Duration>,
    /// The last number that was acknowledged.
    pub(super) last: u64,
    pub(super) in_doubt: u64,
    pub(super) reconnects: u64,
}

impl Writer {
    /// Makes its znode and writes numbers into it until the time has come.
    pub(super) fn write_until(mut self, started: Instant, ends: Instant) -> Result<Told> {
        let mut connection = self.connected(Instant::now() + WELL)?;
        for path in [self.root.clone(), self.path()] {
            let acl = vec![Acl::world(perms::ALL)];
            let request = CreateRequest { path: Text::from(path), data: Some(Bytes::new()), acl, flags: 0 };
            match connection.ask(&Request::Create(request))? {
                Err(code) if code != OpError::NodeExists.code() => {
                    bail!("cannot create below {}: error {code}", self.root)
                }
                _ => {}
            }
        }
        let mut told = Told::default();
        let mut number = 0;
        while Instant::now() < ends {
            number += 1;
            let data = Some(Bytes::from(number.to_string()));
            let request = SetDataRequest { path: Text::from(self.path()), data, version: -1 };
            match connection.ask(&Request::SetData(request)) {
                Ok(Ok(_)) => {
                    told.acknowledged.push(started.elapsed());
                    told.last = number;
                }
                Ok(Err(code)) => bail!("setData of {} was refused: error {code}", self.path()),
                Err(_) => {
                    told.in_doubt += 1;
                    told.reconnects += 1;
                    match self.connected(ends) {
                        Ok(next) => connection = next,
                        Err(_) if Instant::now() >= ends => break,
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(told)
    }

    /// The number in its znode, as the whole ensemble has it.
    pub(super) fn read_back(mut self) -> Result<u64> {
        let mut connection = self.connected(Instant::now() + WELL)?;
        let path = Text::from(self.path());
        connection
            .ask(&Request::Sync(SyncRequest { path: Some(path.clone()) }))?
            .map_err(|code| anyhow!("sync was refused: error {code}"))?;
        let get = Request::GetData(GetDataRequest { path, watch: false });
        let Ok(Reply::GetData(found)) = connection.ask(&get)? else { bail!("{} is gone", self.path()) };
        let data = found.data.unwrap_or_default();
        if data.is_empty() {
            return Ok(0);
        }
        std::str::from_utf8(&data)?.parse().with_context(|| format!("{} holds no number", self.path()))
    }

    fn path(&self) -> String {
        format!("{}/writer-{}", self.root, self.nth)
    }

    /// A session with whoever takes one, looked for until then.
    fn connected(&mut self, until: Instant) -> Result<Connection> {
        loop {
            let server = self.servers[self.at % self.servers.len()];
            self.at += 1;
            match Connection::open(server, self.timeout_ms, self.patience) {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => std::thread::sleep(BETWEEN_ATTEMPTS),
            }
        }
    }
}

/// A session with one request at a time.
struct Connection {
    stream: TcpStream,
    reader: FrameReader,
    xid: i32,
}

impl Connection {
    fn open(server: SocketAddr, timeout_ms: i32, patience: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&server, patience)
            .with_context(|| format!("no connection to {server}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        let mut connection = Self { stream, reader: FrameReader::new(FRAME_MAX), xid: 0 };
        let mut out = BytesMut::new();
        put_session_request(timeout_ms, &mut out);
        connection.stream.write_all(&out)?;
        let response = ConnectResponse::from_bytes(connection.frame()?)?;
        ensure!(response.timeout_ms > 0, "{server} refused the session");
        Ok(connection)
    }

    /// Asks and waits; an error code is an answer.
    fn ask(&mut self, request: &Request) -> Result<Result<Reply, i32>> {
        self.xid += 1;
        let mut out = BytesMut::new();
        put_request(&mut out, self.xid, request);
        self.stream.write_all(&out)?;
        let mut reader = Reader::new(self.frame()?);
        let header = ReplyHeader::decode(&mut reader)?;
        ensure!(header.xid == self.xid, "expected the answer to {}, found {}", self.xid, header.xid);
        if header.err != 0 {
            return Ok(Err(header.err));
        }
        let reply = Reply::decode(request.op(), reader.rest())?;
        Ok(Ok(reply.context("every request here has a reply")?))
    }

    fn frame(&mut self) -> Result<Bytes> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(frame) = self.reader.next_frame()? {
                return Ok(frame);
            }
            let n = self.stream.read(&mut bytes)?;
            ensure!(n > 0, "the server closed the connection");
            self.reader.push(&bytes[..n]);
        }
    }
}
