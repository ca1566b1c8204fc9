//! One server without sockets, files and clocks: replica, tree, front, and as much of a driver as they need.
//!
//! It checks on its own behalf what drivers rely on: that no connection is asked for while another, or a watch shard,
//! is held; that whatever has output or is to be closed is named; that nothing is applied before it is durable.

#![allow(dead_code, unreachable_pub)] // every test file uses its part

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use zk_core::action::{Action, CloseReason, Commit, DiskCommand};
use zk_core::disk::recovery::Recovered;
use zk_core::front::connection::Connection;
use zk_core::front::{
    Connections, FrontConfig, Host, Intake, Watches, answer_session, apply, gone, receive, receive_late,
};
use zk_core::ids::{ConnId, SessionId, Sid, Zxid};
use zk_core::input::{Input, Token};
use zk_core::replica::{Outbox, ReaperSettings, Reconfig, Replica, ReplicaConfig};
use zk_core::time::{Mono, Now, WallMs};
use zk_core::tree::Tree;
use zk_core::watch::{SHARDS, WatchShard};
use zk_core::wire::client::{ConnectRequest, ConnectResponse, ReplyHeader, RequestHeader, WatcherEvent, xid};
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::limits::JUTE_MAXBUFFER;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

/// The server as a connection sees it.
macro_rules! host {
    ($server:expr) => {
        Host {
            config: &$server.config,
            tree: &$server.tree,
            conns: &$server.table,
            watches: &$server.shards,
            now: $server.now,
        }
    };
}

pub const TICK_MS: u32 = 2000;

pub fn front_config() -> FrontConfig {
    FrontConfig {
        min_session_timeout_ms: 2 * TICK_MS as i32,
        max_session_timeout_ms: 20 * TICK_MS as i32,
        tick_ms: TICK_MS,
        frame_max: JUTE_MAXBUFFER,
        in_flight_max: 1000,
        large_above: None,
        output_high: 4 << 20,
        skip_acl: false,
        // super:admin
        super_digest: Some("super:xQJmxLMiHGwaqBvst5y6rkB6HQs=".into()),
        enforced_schemes: Vec::new(),
    }
}

const REPLICA: ReplicaConfig = ReplicaConfig {
    sid: Sid(1),
    tick_ms: TICK_MS,
    snap_count: 100_000,
    snap_size_limit: 0,
    digest: true,
    skip_acl: false,
    enforce_quota: false,
    reaper: ReaperSettings::JAVAS,
    outstanding_max: 1000,
    reconfig: Reconfig::Disabled,
    ensemble: None,
};

/// The driver's table of connections.
#[derive(Default)]
pub struct Table {
    conns: RefCell<BTreeMap<ConnId, Rc<RefCell<Connection>>>>,
    bound: RefCell<BTreeMap<SessionId, ConnId>>,
    /// A connection is held.
    held: Cell<bool>,
    /// A watch shard is held.
    shard_held: Rc<Cell<bool>>,
}

impl Table {
    fn get(&self, conn: ConnId) -> Option<Rc<RefCell<Connection>>> {
        self.conns.borrow().get(&conn).cloned()
    }

    fn hold<R>(&self, conn: &RefCell<Connection>, f: impl FnOnce(&mut Connection) -> R) -> R {
        assert!(!self.held.replace(true), "a connection is asked for while another is held");
        assert!(!self.shard_held.get(), "a connection is asked for while a watch shard is held");
        let done = f(&mut conn.borrow_mut());
        self.held.set(false);
        done
    }
}

impl Connections for Table {
    fn with<R>(&self, conn: ConnId, f: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let conn = self.get(conn)?;
        Some(self.hold(&conn, f))
    }
    fn bind(&self, session: SessionId, conn: ConnId) -> Option<ConnId> {
        self.bound.borrow_mut().insert(session, conn)
    }
    fn unbind(&self, session: SessionId, conn: ConnId) {
        let mut bound = self.bound.borrow_mut();
        if bound.get(&session) == Some(&conn) {
            bound.remove(&session);
        }
    }
    fn conn_of(&self, session: SessionId) -> Option<ConnId> {
        self.bound.borrow().get(&session).copied()
    }
}

pub struct Shards {
    shards: Vec<RefCell<WatchShard>>,
    held: Rc<Cell<bool>>,
}

impl Watches for Shards {
    fn shard<R>(&self, index: usize, f: impl FnOnce(&mut WatchShard) -> R) -> R {
        assert!(!self.held.replace(true), "a watch shard is asked for while another is held");
        let done = f(&mut self.shards[index].borrow_mut());
        self.held.set(false);
        done
    }
}

/// A frame from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    Session(ConnectResponse),
    /// The opcode is that of the request it answers.
    Reply {
        op: i32,
        header: ReplyHeader,
        body: Bytes,
    },
    Event(ReplyHeader, WatcherEvent),
}

impl Frame {
    pub fn header(&self) -> ReplyHeader {
        match self {
            Self::Reply { header, .. } | Self::Event(header, _) => *header,
            Self::Session(_) => panic!("a handshake has no header"),
        }
    }
    /// The body of a successful reply.
    pub fn reply(&self) -> Reply {
        match self {
            Self::Reply { op, header, body } if header.err == 0 => {
                Reply::decode(*op, body.clone()).unwrap().expect("an opcode with replies")
            }
            other => panic!("no success: {other:?}"),
        }
    }
}

/// What the client's side of a connection knows.
#[derive(Default)]
struct Peer {
    /// It only listens: what it hears is not understood.
    is_hostile: bool,
    sent_connect: bool,
    got_connect: bool,
    /// Opcodes by xid, in the order of asking.
    asked: BTreeMap<i32, VecDeque<i32>>,
    raw: Vec<Bytes>,
    frames: Vec<Frame>,
    closed: Option<CloseReason>,
    next_xid: i32,
}

pub struct Server {
    pub config: FrontConfig,
    pub replica: Replica,
    pub tree: Tree,
    pub now: Now,
    pub table: Table,
    pub shards: Shards,
    pub events: Vec<zk_core::event::Event>,
    /// All inputs that the front made, for tests of touches.
    pub inputs: Vec<Input>,
    /// Appends that are not durable yet.
    pub disk: VecDeque<Token>,
    pub to_apply: VecDeque<Vec<Commit>>,
    /// Everything is durable and applied as soon as it may be.
    pub instantly: bool,
    /// Frames have waited at the door for too long.
    pub late: bool,
    /// A client whose socket takes nothing.
    pub stalled: Option<ConnId>,
    peers: BTreeMap<ConnId, Peer>,
    intake: Intake,
    last_conn: u64,
}

impl Server {
    pub fn new() -> Self {
        Self::with_config(front_config())
    }

    pub fn with_config(config: FrontConfig) -> Self {
        let tree = Tree::new();
        let now = Now { mono: Mono::from_millis(0), wall: WallMs(1_000_000) };
        let recovered = Recovered {
            epochs: None,
            last_zxid: Zxid::ZERO,
            tree: tree.clone(),
            recent: vec![],
            events: vec![],
            repairs: vec![],
        };
        let mut out = Outbox::new();
        let replica_config = ReplicaConfig { skip_acl: config.skip_acl, ..REPLICA };
        let replica = Replica::open(replica_config, &recovered, 7, now, &mut out);
        let table = Table::default();
        let shards = Shards {
            shards: (0..SHARDS).map(|_| RefCell::default()).collect(),
            held: table.shard_held.clone(),
        };
        let mut server = Self {
            config,
            replica,
            tree,
            now,
            table,
            shards,
            events: vec![],
            inputs: vec![],
            disk: VecDeque::new(),
            to_apply: VecDeque::new(),
            instantly: true,
            late: false,
            stalled: None,
            peers: BTreeMap::new(),
            intake: Intake::default(),
            last_conn: 0,
        };
        server.carry_out(out);
        server.settle();
        server
    }

    /// A client dials.
    pub fn accept(&mut self) -> ConnId {
        self.last_conn += 1;
        let id = ConnId(self.last_conn);
        let conn = Connection::new(id, "127.0.0.1".into(), self.now);
        self.table.conns.borrow_mut().insert(id, Rc::new(RefCell::new(conn)));
        self.peers.insert(id, Peer { next_xid: 1, ..Peer::default() });
        id
    }

    /// A client dials and asks for a new session.
    pub fn connect(&mut self) -> ConnId {
        let conn = self.accept();
        self.send_connect(conn, &fresh(10_000));
        conn
    }

    pub fn send_connect(&mut self, conn: ConnId, request: &ConnectRequest) {
        self.send_raw(conn, request.to_bytes());
    }

    /// Sends a request under the next xid, which it returns.
    pub fn send(&mut self, conn: ConnId, request: &Request) -> i32 {
        let peer = self.peers.get_mut(&conn).unwrap();
        let xid = peer.next_xid;
        peer.next_xid += 1;
        self.send_as(conn, xid, request);
        xid
    }

    pub fn send_as(&mut self, conn: ConnId, xid: i32, request: &Request) {
        self.send_raw(conn, frame_of(xid, request));
    }

    /// Sends one frame's payload.
    pub fn send_raw(&mut self, conn: ConnId, frame: Bytes) {
        self.send_all(conn, vec![frame]);
    }

    /// Sends frames that arrive together: all of them are taken before anything else happens.
    pub fn send_all(&mut self, conn: ConnId, frames: Vec<Bytes>) {
        for frame in frames {
            let peer = self.peers.get_mut(&conn).unwrap();
            if !peer.sent_connect {
                peer.sent_connect = true;
            } else if frame.len() >= 8 {
                let header = RequestHeader::from_bytes(frame.clone()).unwrap();
                let xid = if header.op == zk_core::wire::client::op::PING { xid::PING } else { header.xid };
                peer.asked.entry(xid).or_default().push_back(header.op);
            }
            let Some(held) = self.table.get(conn) else { continue };
            let host = host!(self);
            let receive = if self.late { receive_late::<Table, Shards> } else { receive };
            self.table.hold(&held, |c| receive(c, frame, &host, &mut self.intake));
        }
        self.settle();
    }

    /// Sends a frame to whose answers no request can be found.
    pub fn send_hostile(&mut self, conn: ConnId, frame: Bytes) {
        self.peers.get_mut(&conn).unwrap().is_hostile = true;
        self.send_all(conn, vec![frame]);
    }

    /// The client's socket goes away.
    pub fn hang_up(&mut self, conn: ConnId) {
        self.remove(conn, None);
        self.settle();
    }

    /// What has come for a client since the last time.
    pub fn take(&mut self, conn: ConnId) -> Vec<Frame> {
        std::mem::take(&mut self.peers.get_mut(&conn).unwrap().frames)
    }

    /// The same as the bytes of each frame, without the length prefix. Everything since the connection began.
    pub fn raw(&self, conn: ConnId) -> &[Bytes] {
        &self.peers[&conn].raw
    }

    /// Sends a request; the frames that come are the reply, alone.
    pub fn call(&mut self, conn: ConnId, request: &Request) -> Frame {
        self.send(conn, request);
        let mut frames = self.take(conn);
        assert_eq!(frames.len(), 1, "{frames:?}");
        frames.remove(0)
    }

    /// Sends a request and forgets what comes.
    pub fn call_and_forget(&mut self, conn: ConnId, request: &Request) {
        self.send(conn, request);
        self.take(conn);
    }

    /// Lends a connection as a driver that has read from its socket does.
    pub fn lend(&mut self, conn: ConnId, f: impl FnOnce(&mut Connection, &Host<'_, Table, Shards>)) {
        let held = self.table.get(conn).expect("the connection is there");
        let host = host!(self);
        self.table.hold(&held, |c| f(c, &host));
    }

    /// Why the server closed the connection, if it did.
    pub fn closed(&self, conn: ConnId) -> Option<&CloseReason> {
        self.peers[&conn].closed.as_ref()
    }

    pub fn session_of(&self, conn: ConnId) -> SessionId {
        self.with(conn, |c| c.session()).expect("a session")
    }

    /// The session that a connection serves, if it is there and serves one.
    pub fn table_session(&self, conn: ConnId) -> Option<SessionId> {
        self.table.with(conn, |c| c.session()).flatten()
    }

    pub fn try_with<R>(&self, conn: ConnId, f: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        self.table.with(conn, f)
    }

    pub fn with<R>(&self, conn: ConnId, f: impl FnOnce(&mut Connection) -> R) -> R {
        self.table.with(conn, f).expect("the connection is there")
    }

    /// The connection that serves a session.
    pub fn bound(&self, session: SessionId) -> Option<ConnId> {
        self.table.conn_of(session)
    }

    pub fn watch_count(&self) -> usize {
        self.shards.shards.iter().map(|shard| shard.borrow().count()).sum()
    }

    /// Time passes; the replica has its tick.
    pub fn pass(&mut self, ms: u64) {
        self.now.mono = Mono::from_millis(self.now.mono.millis() + ms);
        self.now.wall = WallMs(self.now.wall.0 + ms as i64);
        if self.replica.deadline().is_some_and(|at| at <= self.now.mono) {
            self.intake.inputs.push(Input::Tick);
        }
        self.settle();
    }

    /// The disk has the next append, if there is one.
    pub fn durable(&mut self) -> bool {
        let Some(token) = self.disk.pop_front() else { return false };
        self.step(Input::Durable(token));
        self.settle();
        true
    }

    /// The next batch is applied, if there is one.
    pub fn apply(&mut self) -> bool {
        let Some(commits) = self.to_apply.pop_front() else { return false };
        let Self { config, tree, table, shards, now, intake, .. } = self;
        apply(config, tree, &commits, table, shards, *now, intake);
        self.intake.inputs.push(Input::Applied(self.tree.last_zxid()));
        self.settle();
        true
    }

    /// Does all that there is to do.
    pub fn settle(&mut self) {
        loop {
            for conn in std::mem::take(&mut self.intake.dirty) {
                self.write_out(conn);
            }
            for (conn, why) in std::mem::take(&mut self.intake.close) {
                self.remove(conn, Some(why));
            }
            let inputs = std::mem::take(&mut self.intake.inputs);
            let idle = inputs.is_empty() && self.intake.dirty.is_empty() && self.intake.close.is_empty();
            for input in inputs {
                self.inputs.push(input.clone());
                self.step(input);
            }
            if idle {
                break;
            }
        }
        for (id, conn) in self.table.conns.borrow().iter() {
            let mut conn = conn.borrow_mut();
            let stalled = self.stalled == Some(*id);
            assert!(stalled || conn.output().is_empty(), "{id:?} has output and was not named");
            assert!(conn.closing().is_none(), "{id:?} is to be closed and was not named");
        }
        if self.instantly && (self.durable() || self.apply()) {
            self.settle();
        }
    }

    fn step(&mut self, input: Input) {
        let mut out = Outbox::new();
        self.replica.step(self.now, input, &self.tree, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Outbox) {
        for action in out {
            match action {
                Action::Disk(DiskCommand::Append { token, .. }) => self.disk.push_back(token),
                Action::Disk(DiskCommand::Roll) => {}
                Action::Apply(commits) => self.to_apply.push_back(commits),
                Action::Snapshot => {
                    self.intake.inputs.push(Input::SnapshotDone { zxid: self.tree.last_zxid() });
                }
                Action::Session { conn, answer } => {
                    let host = host!(self);
                    answer_session(conn, answer, &host, &mut self.intake);
                }
                Action::Close { conn, why } => {
                    self.table.with(conn, |c| c.close(why));
                    self.intake.dirty.push(conn);
                }
                Action::Event(event) => self.events.push(event),
                Action::Fatal(why) => panic!("fatal: {why}"),
                other => panic!("a standalone server has no use for {other:?}"),
            }
        }
    }

    pub fn write_out(&mut self, conn: ConnId) {
        if self.stalled == Some(conn) && self.with(conn, |c| c.closing().is_none()) {
            return;
        }
        let Some((bytes, closing)) = self.table.with(conn, |c| (c.output().split(), c.closing().cloned()))
        else {
            return;
        };
        self.peers.get_mut(&conn).unwrap().read(bytes);
        if let Some(why) = closing {
            self.remove(conn, Some(why));
        }
    }

    fn remove(&mut self, conn: ConnId, why: Option<CloseReason>) {
        let Some(removed) = self.table.conns.borrow_mut().remove(&conn) else { return };
        self.peers.get_mut(&conn).unwrap().closed = why;
        gone(&mut removed.borrow_mut(), &self.table, &self.shards, &mut self.intake);
        assert_eq!(removed.borrow().watch_count(), 0);
    }
}

impl Peer {
    fn read(&mut self, mut bytes: BytesMut) {
        while !bytes.is_empty() {
            let len = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            let _prefix = bytes.split_to(4);
            let frame = bytes.split_to(len).freeze();
            self.raw.push(frame.clone());
            if self.is_hostile {
                continue;
            }
            let frame = self.understand(frame);
            self.frames.push(frame);
        }
    }

    fn understand(&mut self, frame: Bytes) -> Frame {
        if !std::mem::replace(&mut self.got_connect, true) {
            return Frame::Session(ConnectResponse::from_bytes(frame).unwrap());
        }
        let r = &mut Reader::new(frame);
        let header = ReplyHeader::decode(r).unwrap();
        let asked = self.asked.get_mut(&header.xid).and_then(VecDeque::pop_front);
        match asked {
            Some(op) => Frame::Reply { op, header, body: r.rest() },
            None if header.xid == xid::NOTIFICATION => Frame::Event(header, WatcherEvent::decode(r).unwrap()),
            None => panic!("a reply to nothing: {header:?}"),
        }
    }
}

/// A request for a new session.
pub fn fresh(timeout_ms: i32) -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms,
        session: SessionId::NONE,
        password: Some(Bytes::from_static(&[0; 16])),
        read_only: Some(false),
    }
}

/// A request for this session again.
pub fn again(session: SessionId, timeout_ms: i32) -> ConnectRequest {
    let password = Some(Bytes::copy_from_slice(&zk_core::session::password(session)));
    ConnectRequest { session, password, ..fresh(timeout_ms) }
}

pub fn frame_of(xid: i32, request: &Request) -> Bytes {
    let mut out = BytesMut::new();
    RequestHeader { xid, op: request.op() }.encode(&mut out);
    request.encode(&mut out);
    out.freeze()
}
