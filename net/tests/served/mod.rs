//! A server in this process, and a client of few words.

#![allow(dead_code, unreachable_pub)] // every test file uses its part

pub mod ensemble;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use zk_core::disk::{Compression, DiskConfig};
use zk_core::front::FrontConfig;
use zk_core::ids::{SessionId, Sid, Zxid};
use zk_core::replica::{ReaperSettings, Reconfig, ReplicaConfig};
use zk_core::tree::TreeConfig;
use zk_core::wire::client::{
    ConnectRequest, ConnectResponse, CreateRequest, GetDataRequest, ReplyHeader, SetDataRequest, xid,
};
use zk_core::wire::framing::{FrameReader, put_frame, put_request};
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::limits::JUTE_MAXBUFFER;
use zk_core::wire::records::{Acl, perms};
use zk_core::wire::request::Request;
use zk_net::client::four_letter::Word;
use zk_net::client::limits::Limits;
use zk_net::disk::directories::Missing;
use zk_net::node::{Node, NodeConfig, StartError};

/// Nothing here takes as long unless something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A small server over `dir`, on any port of loopback.
pub fn config(dir: &Path) -> NodeConfig {
    NodeConfig {
        data_dir: dir.join("data"),
        data_log_dir: dir.join("data"),
        missing_dirs: Missing::Create,
        client_host: Some("127.0.0.1".into()),
        client_port: 0,
        listen_backlog: None,
        limits: Limits::NONE,
        disk: DiskConfig {
            prealloc: 64 << 10,
            force_sync: true,
            compression: Compression::None,
            trust_empty: false,
            digest: true,
            record_max: 2 * JUTE_MAXBUFFER,
            tree: TreeConfig::default(),
        },
        front: FrontConfig {
            min_session_timeout_ms: 4000,
            max_session_timeout_ms: 40_000,
            tick_ms: 2000,
            frame_max: JUTE_MAXBUFFER,
            in_flight_max: 1000,
            large_above: None,
            output_high: 1 << 20,
            skip_acl: false,
            super_digest: None,
            enforced_schemes: Vec::new(),
        },
        replica: ReplicaConfig {
            sid: Sid(1),
            tick_ms: 2000,
            snap_count: 100_000,
            snap_size_limit: 0,
            digest: true,
            skip_acl: false,
            enforce_quota: false,
            reaper: ReaperSettings::JAVAS,
            outstanding_max: 1000,
            reconfig: Reconfig::Disabled,
            ensemble: None,
        },
        peers: None,
        snap_retain_count: 3,
        purge_interval: None,
        workers: Some(2),
        version: "3.9.5-test, built on never".into(),
        whitelist: Word::names().map(str::to_owned).collect::<BTreeSet<_>>(),
        environment: vec![("zookeeper.version".into(), "3.9.5-test".into())],
    }
}

/// A running server, and why it failed, if it does.
pub struct Served {
    pub node: Node,
    pub failures: Receiver<String>,
}

pub fn try_start(config: NodeConfig) -> Result<Served, StartError> {
    let (tell, failures) = channel();
    let on_failure = Box::new(move |why| {
        let _ = tell.send(why);
    });
    Ok(Served { node: Node::start(config, on_failure)?, failures })
}

pub fn start(config: NodeConfig) -> Served {
    try_start(config).unwrap()
}

impl Served {
    pub fn client(&self) -> Client {
        let mut client = self.socket();
        let response = client.handshake(SessionId::NONE, None);
        assert!(response.timeout_ms > 0, "{response:?}");
        client
    }

    /// A connection that has not said anything.
    pub fn socket(&self) -> Client {
        Client::new(TcpStream::connect(self.node.client_address()).unwrap())
    }

    /// The whole answer to a four-letter word.
    pub fn word(&self, word: &[u8]) -> String {
        let mut client = self.socket();
        client.socket.write_all(word).unwrap();
        client.rest()
    }

    /// A number that `mntr` tells.
    pub fn mntr(&self, name: &str) -> f64 {
        let all = self.word(b"mntr");
        let line = all.lines().find_map(|line| line.strip_prefix(&format!("zk_{name}\t")));
        line.unwrap_or_else(|| panic!("no {name} in:\n{all}")).parse().unwrap()
    }
}

/// A session, unless the server turns everybody away.
pub fn try_client(server: &Served) -> Option<Client> {
    let mut client = server.socket();
    client.send_handshake(SessionId::NONE, None);
    let response = ConnectResponse::from_bytes(client.frame()?).unwrap();
    assert!(response.timeout_ms > 0, "{response:?}");
    Some(client)
}

/// A reply or an event, undecoded.
#[derive(Clone, Debug)]
pub struct Frame {
    pub header: ReplyHeader,
    pub body: Bytes,
}

impl Frame {
    pub fn decode<T: Jute>(&self) -> T {
        T::decode(&mut Reader::new(self.body.clone())).unwrap()
    }
}

/// One connection.
pub struct Client {
    pub socket: TcpStream,
    frames: FrameReader,
    last_xid: i32,
}

impl Client {
    fn new(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, frames: FrameReader::new(64 << 20), last_xid: 0 }
    }

    pub fn handshake(&mut self, session: SessionId, password: Option<Bytes>) -> ConnectResponse {
        self.send_handshake(session, password);
        ConnectResponse::from_bytes(self.frame().expect("a response")).unwrap()
    }

    pub fn send_handshake(&mut self, session: SessionId, password: Option<Bytes>) {
        self.ask_for_session(session, password, false);
    }

    /// The handshake of a client that may be content with reading.
    pub fn ask_for_session(&mut self, session: SessionId, password: Option<Bytes>, read_only: bool) {
        let password = Some(password.unwrap_or_else(|| Bytes::from_static(&[0; 16])));
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 30_000,
            session,
            password,
            read_only: Some(read_only),
        };
        let mut out = BytesMut::new();
        put_frame(&mut out, |out| request.encode(out));
        self.socket.write_all(&out).unwrap();
    }

    /// Sends requests in one go; their xids.
    pub fn send(&mut self, requests: &[Request]) -> Vec<i32> {
        let mut out = BytesMut::new();
        let mut xids = Vec::new();
        for request in requests {
            self.last_xid += 1;
            xids.push(self.last_xid);
            put_request(&mut out, self.last_xid, request);
        }
        self.socket.write_all(&out).unwrap();
        xids
    }

    /// The next frame; `None` if the server has closed the connection.
    pub fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                return Some(frame);
            }
            let mut piece = [0; 64 << 10];
            let read = match self.socket.read(&mut piece) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
                Err(error) => panic!("{error}"),
            };
            if read == 0 {
                assert_eq!(self.frames.buffered(), 0, "the stream ends inside a frame");
                return None;
            }
            self.frames.push(&piece[..read]);
        }
    }

    /// The next reply or event; `None` at the end.
    pub fn next(&mut self) -> Option<Frame> {
        let mut body = self.frame()?;
        let header = ReplyHeader { xid: body.get_i32(), zxid: Zxid(body.get_i64()), err: body.get_i32() };
        Some(Frame { header, body })
    }

    /// Asks and waits for the reply; events before it are dropped.
    pub fn ask(&mut self, request: Request) -> Frame {
        let xid = self.send(&[request])[0];
        loop {
            let frame = self.next().expect("a reply");
            if frame.header.xid == xid {
                return frame;
            }
            assert_eq!(frame.header.xid, xid::NOTIFICATION);
        }
    }

    /// True once the server has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        self.next().is_none()
    }

    /// Everything up to the end, as text.
    pub fn rest(&mut self) -> String {
        let mut text = String::new();
        self.socket.read_to_string(&mut text).unwrap();
        text
    }

    pub fn hang_up(self) {
        self.socket.shutdown(Shutdown::Both).unwrap();
    }
}

pub fn create(path: &str, data: &[u8]) -> Request {
    let acl = vec![Acl::world(perms::ALL)];
    Request::Create(CreateRequest {
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data)),
        acl,
        flags: 0,
    })
}

pub fn set(path: &str, data: &[u8]) -> Request {
    let data = Some(Bytes::copy_from_slice(data));
    Request::SetData(SetDataRequest { path: path.into(), data, version: -1 })
}

pub fn get(path: &str) -> Request {
    Request::GetData(GetDataRequest { path: path.into(), watch: false })
}

pub fn get_and_watch(path: &str) -> Request {
    Request::GetData(GetDataRequest { path: path.into(), watch: true })
}

/// Asks again and again until it holds: for what other threads of this process do.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "gave up waiting until {what}");
        std::thread::yield_now();
    }
}
