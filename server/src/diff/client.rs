//! A session that asks many things at once, and waits for all the answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use zk_core::ids::Zxid;
use zk_core::wire::client::{AuthPacket, ConnectResponse, ReplyHeader, xid};
use zk_core::wire::framing::{FrameReader, put_request};
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

use crate::bench::put_session_request;

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Asked for, in ms; requests keep it alive.
const TIMEOUT_MS: i32 = 60_000;
/// A list of a few million names still fits.
const FRAME_MAX: usize = 256 << 20;

/// A session on one server.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) server: String,
    stream: TcpStream,
    reader: FrameReader,
    xid: i32,
    /// The server's zxid when it answered last.
    pub(super) zxid: Zxid,
}

/// The first address of a name that takes a connection.
pub(crate) fn connected(server: &str, patience: Duration) -> Result<TcpStream> {
    let addresses: Vec<SocketAddr> =
        server.to_socket_addrs().with_context(|| format!("{server}: no address"))?.collect();
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error).with_context(|| format!("no connection to {server}")),
        None => bail!("{server}: no address"),
    }
}

impl Client {
    /// Connects, and says who asks: `scheme:auth`.
    pub(super) fn open(server: &str, identities: &[String]) -> Result<Self> {
        let stream = connected(server, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let reader = FrameReader::new(FRAME_MAX);
        let mut client = Self { server: server.to_owned(), stream, reader, xid: 0, zxid: Zxid::ZERO };
        let mut out = BytesMut::new();
        put_session_request(TIMEOUT_MS, &mut out);
        client.stream.write_all(&out)?;
        let response = ConnectResponse::from_bytes(client.frame()?)?;
        ensure!(response.timeout_ms > 0, "{server} refused the session");
        for identity in identities {
            client.identify(identity)?;
        }
        Ok(client)
    }

    fn identify(&mut self, identity: &str) -> Result<()> {
        let (scheme, auth) =
            identity.split_once(':').with_context(|| format!("expected SCHEME:AUTH, found {identity:?}"))?;
        let packet = AuthPacket {
            kind: 0,
            scheme: Some(scheme.into()),
            auth: Some(Bytes::copy_from_slice(auth.as_bytes())),
        };
        let mut out = BytesMut::new();
        put_request(&mut out, xid::AUTH, &Request::Auth(packet));
        self.stream.write_all(&out)?;
        let header = self.header()?.0;
        ensure!(header.err == 0, "{} does not take the identity {scheme}: error {}", self.server, header.err);
        Ok(())
    }

    /// The answers to all of these, in order; an error code is an answer.
    pub(super) fn ask(&mut self, requests: &[Request]) -> Result<Vec<Result<Reply, i32>>> {
        let mut out = BytesMut::new();
        let first = self.xid;
        for request in requests {
            self.xid += 1;
            put_request(&mut out, self.xid, request);
        }
        self.stream.write_all(&out).with_context(|| format!("asking {}", self.server))?;
        let mut answers = Vec::with_capacity(requests.len());
        for (request, expected) in requests.iter().zip(first + 1..) {
            let (header, body) = self.header()?;
            ensure!(header.xid == expected, "expected the answer to {expected}, found {}", header.xid);
            self.zxid = self.zxid.max(header.zxid);
            answers.push(match header.err {
                0 => Ok(Reply::decode(request.op(), body)?.context("every request here has a reply")?),
                err => Err(err),
            });
        }
        Ok(answers)
    }

    fn header(&mut self) -> Result<(ReplyHeader, Bytes)> {
        let mut reader = Reader::new(self.frame()?);
        let header = ReplyHeader::decode(&mut reader)?;
        Ok((header, reader.rest()))
    }

    fn frame(&mut self) -> Result<Bytes> {
        let mut bytes = [0; 64 * 1024];
        loop {
            if let Some(frame) = self.reader.next_frame()? {
                return Ok(frame);
            }
            let read = self.stream.read(&mut bytes);
            let n = read.with_context(|| format!("waiting for {}", self.server))?;
            ensure!(n > 0, "{} closed the connection", self.server);
            self.reader.push(&bytes[..n]);
        }
    }
}

/// The answer to a four-letter word; `None` if there is none.
pub(crate) fn four_letter(server: &str, word: &str, patience: Duration) -> Option<String> {
    let mut stream = connected(server, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}
