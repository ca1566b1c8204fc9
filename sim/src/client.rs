//! A client: connects, asks, pings, reconnects with what it last saw, sets its watches again.
//!
//! It behaves as stock clients do: one connection at a time, any server of its list, a ping at a third of the session
//! timeout, another server after two thirds without a word. It knows no more than a client knows; what it does and sees goes
//! to the oracle, which judges.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use zk_core::ids::{SessionId, Zxid};
use zk_core::text::Text;
use zk_core::wire::client::{
    AuthPacket, ConnectRequest, ConnectResponse, DeleteRequest, ReplyHeader, SetWatches, WatcherEvent, op,
    xid,
};
use zk_core::wire::framing::{FrameReader, put_frame, put_request};
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::records::Id;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

use crate::clock::Time;
use crate::dice::{Dice, Site};
use crate::oracle::{Seen, event};
use crate::workload::{self, Operation, Workload};

/// What a client wants done.
#[derive(Clone, Debug)]
pub enum Act {
    /// Connect to the n-th server of its list.
    Dial(u32),
    /// Send these bytes.
    Send(Bytes),
    /// Close the connection.
    Hang,
    /// Tell the oracle.
    Tell(Seen),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits until `wake` to connect.
    Away,
    /// Its ConnectRequest is on its way.
    Greeting,
    Connected,
}

#[derive(Clone, Debug)]
struct Session {
    id: SessionId,
    password: Option<Bytes>,
    timeout_ms: i32,
}

#[derive(Clone, Debug)]
struct Waiting {
    xid: i32,
    request: Arc<Request>,
}

/// One client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Names it in draws and histories.
    pub entity: u32,
    workload: Arc<Workload>,
    servers: u32,
    phase: Phase,
    session: Option<Session>,
    wanted_timeout_ms: i32,
    last_zxid: Zxid,
    next_xid: i32,
    waiting: VecDeque<Waiting>,
    frames: FrameReader,
    /// Requests are put into bytes here, and take the memory with them piece by piece.
    unsent: BytesMut,
    /// Paths by registry: data, exist, child.
    watches: [BTreeSet<Text>; 3],
    heard: Time,
    sent: Time,
    /// When it wants to be woken at the latest.
    wake: Time,
    next_op: Time,
    operations: u64,
    /// Requests that were never answered.
    pub lost: u64,
    /// How often a server let it in.
    pub welcomes: u64,
    /// Sessions that were lost to expiry.
    pub expired: u64,
    /// No new operations; it pings on, and waits for what is under way.
    pub quiet: bool,
    silent_until: Time,
    /// It is connected to a server that has no leader, and looks for another then.
    leaves_at: Option<Time>,
    /// Sequential nodes that it made lately, to be deleted again.
    made: VecDeque<Text>,
}

/// A frame that a server may send.
const FRAME_MAX: usize = 8 << 20;
/// Bytes: some dozens of requests.
const ROOM: usize = 4 << 10;
/// How long a client stays where it can only read before it looks for another server, ms.
const READ_ONLY_MS: u64 = 2_000;
/// How long a client waits before it dials again, ms: between this and five times this.
const RETRY_MS: u64 = 20;

impl Client {
    /// A client that connects at `start`.
    pub fn new(entity: u32, workload: Arc<Workload>, servers: u32, start: Time, dice: &mut Dice) -> Self {
        let (low, high) = workload.timeout_ms;
        let wanted_timeout_ms = dice.between(Site::Plan, entity | 1 << 20, low, high) as i32;
        Self {
            entity,
            workload,
            servers,
            phase: Phase::Away,
            session: None,
            wanted_timeout_ms,
            last_zxid: Zxid::ZERO,
            next_xid: 1,
            waiting: VecDeque::new(),
            frames: FrameReader::new(FRAME_MAX),
            unsent: BytesMut::with_capacity(ROOM),
            watches: Default::default(),
            heard: start,
            sent: start,
            wake: start,
            next_op: start,
            operations: 0,
            lost: 0,
            welcomes: 0,
            expired: 0,
            quiet: false,
            silent_until: Time(0),
            leaves_at: None,
            made: VecDeque::new(),
        }
    }

    /// When it wants to be woken.
    pub const fn deadline(&self) -> Time {
        self.wake
    }

    /// Its session, if it has one.
    pub fn session(&self) -> Option<SessionId> {
        self.session.as_ref().map(|session| session.id)
    }

    /// True while it is connected with an established session.
    pub const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    /// True if the server that it was connected to last had no leader, as far as it knows.
    pub const fn only_reads(&self) -> bool {
        self.leaves_at.is_some()
    }

    /// Requests under way.
    pub fn under_way(&self) -> usize {
        self.waiting.len()
    }

    /// Operations begun so far.
    pub const fn operations(&self) -> u64 {
        self.operations
    }

    /// Hears and says nothing until then: a client that hangs, with its socket open.
    pub const fn fall_silent(&mut self, until: Time) {
        self.silent_until = until;
    }

    /// True while it hangs.
    pub fn is_silent(&self, now: Time) -> bool {
        now < self.silent_until
    }

    /// Time has come to `now`.
    pub fn wake(&mut self, now: Time, dice: &mut Dice, acts: &mut Vec<Act>) {
        if self.is_silent(now) {
            self.wake = self.silent_until;
            return;
        }
        match self.phase {
            Phase::Away => self.dial(now, dice, acts),
            Phase::Greeting => {
                if now >= self.heard.plus(ms(self.patience_ms())) {
                    self.lose(now, dice, acts, Some(Act::Hang));
                }
            }
            Phase::Connected => self.work(now, dice, acts),
        }
        self.arm(now);
    }

    /// Bytes came.
    pub fn receive(&mut self, now: Time, bytes: &[u8], dice: &mut Dice, acts: &mut Vec<Act>) {
        self.heard = now;
        self.frames.push(bytes);
        while let Some(frame) = self.frames.next_frame().expect("servers send frames below the limit") {
            match self.phase {
                Phase::Greeting => self.welcome(now, frame, dice, acts),
                Phase::Connected => self.frame(now, frame, dice, acts),
                Phase::Away => {}
            }
        }
        if self.phase == Phase::Connected {
            self.work(now, dice, acts);
        }
        self.arm(now);
    }

    /// The connection ended, or never came about.
    pub fn disconnected(&mut self, now: Time, dice: &mut Dice, acts: &mut Vec<Act>) {
        self.lose(now, dice, acts, None);
        self.arm(now);
    }

    fn dial(&mut self, now: Time, dice: &mut Dice, acts: &mut Vec<Act>) {
        let server = dice.below(Site::ClientServer, self.entity, self.servers.into()) as u32;
        acts.push(Act::Dial(server));
        let (session, password) = match &self.session {
            Some(session) => (session.id, session.password.clone()),
            None => (SessionId::NONE, Some(Bytes::from_static(&[0; 16]))),
        };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.wanted_timeout_ms,
            session,
            password,
            read_only: Some(self.workload.read_only),
        };
        let mut out = BytesMut::new();
        put_frame(&mut out, |out| request.encode(out));
        acts.push(Act::Send(out.freeze()));
        self.frames = FrameReader::new(FRAME_MAX);
        self.phase = Phase::Greeting;
        (self.heard, self.sent) = (now, now);
    }

    fn welcome(&mut self, now: Time, frame: Bytes, dice: &mut Dice, acts: &mut Vec<Act>) {
        let response =
            ConnectResponse::decode(&mut Reader::new(frame)).expect("servers answer handshakes well");
        if response.timeout_ms <= 0 {
            // The session is gone, and with it everything that it waited for.
            self.session = None;
            self.expired += 1;
            self.watches = Default::default();
            self.last_zxid = Zxid::ZERO;
            self.lose(now, dice, acts, Some(Act::Hang));
            return;
        }
        let known = self.session.as_ref().is_some_and(|session| session.id == response.session);
        if !known {
            self.watches = Default::default();
        }
        let timeout_ms = response.timeout_ms;
        self.session = Some(Session { id: response.session, password: response.password, timeout_ms });
        self.phase = Phase::Connected;
        self.welcomes += 1;
        let read_only = response.read_only == Some(true);
        self.leaves_at = read_only.then(|| now.plus(ms(READ_ONLY_MS)));
        let (session, identities) = (response.session, self.identities());
        acts.push(Act::Tell(Seen::Connected { session, identities, read_only }));
        if self.workload.auth {
            let auth = AuthPacket {
                kind: 0,
                scheme: Some(Text::from_static("digest")),
                auth: Some(Bytes::from(self.credentials())),
            };
            self.send(now, xid::AUTH, &Arc::new(Request::Auth(auth)), acts);
        }
        self.set_watches_again(now, acts);
        self.next_op = now;
    }

    fn credentials(&self) -> String {
        format!("client{}:secret", self.entity)
    }

    /// What its requests carry: its address, and its credentials if it presents any.
    fn identities(&self) -> Arc<[Id]> {
        let mut ids = vec![Id { scheme: Text::from_static("ip"), id: Text::from_static("10.0.0.1") }];
        if self.workload.auth {
            let id = Text::from(zk_core::auth::hash_credentials(&self.credentials()));
            ids.push(Id { scheme: Text::from_static("digest"), id });
        }
        ids.into()
    }

    fn set_watches_again(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.watches.iter().all(BTreeSet::is_empty) {
            return;
        }
        let [data, exist, child] = &self.watches;
        let list = |paths: &BTreeSet<Text>| Some(paths.iter().cloned().collect());
        let request = SetWatches {
            relative_zxid: self.last_zxid,
            data: list(data),
            exist: list(exist),
            child: list(child),
        };
        // From here on the server says what of it still stands.
        self.ask(now, xid::SET_WATCHES, Arc::new(Request::SetWatches(request)), acts);
    }

    fn frame(&mut self, now: Time, frame: Bytes, dice: &mut Dice, acts: &mut Vec<Act>) {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader).expect("servers send whole headers");
        // What is shown without a leader may never have been committed, and an ensemble without it would have to be avoided
        // until it has come so far.
        if header.zxid.0 > 0 && self.leaves_at.is_none() {
            self.last_zxid = self.last_zxid.max(header.zxid);
        }
        match header.xid {
            xid::NOTIFICATION => {
                let event = WatcherEvent::decode(&mut reader).expect("servers send whole events");
                self.forget_watch(&event);
                acts.push(Act::Tell(Seen::Notified {
                    zxid: header.zxid,
                    kind: event.kind,
                    path: event.path,
                }));
            }
            xid::PING | xid::AUTH => {}
            _ => self.reply(now, header, &reader, dice, acts),
        }
    }

    fn reply(
        &mut self,
        now: Time,
        header: ReplyHeader,
        reader: &Reader,
        dice: &mut Dice,
        acts: &mut Vec<Act>,
    ) {
        let request = self.waiting.pop_front().map(|waiting| waiting.request);
        let decoded = request.as_ref().filter(|_| header.err == 0).map(|request| {
            Reply::decode(request.op(), reader.rest()).ok().flatten().expect("servers send whole replies")
        });
        if let (Some(Request::Create(asked)), Some(Reply::Create(made))) = (request.as_deref(), &decoded)
            && asked.flags & 2 != 0
        {
            self.made.push_back(made.path.clone());
        }
        let ReplyHeader { xid, zxid, err } = header;
        acts.push(Act::Tell(Seen::Replied { xid, zxid, err, reply: decoded }));
        let Some(request) = request else { return };
        self.remember_watch(&request, err);
        if matches!(*request, Request::CloseSession) {
            // What was asked behind it is not answered.
            self.waiting.clear();
            self.session = None;
            self.watches = Default::default();
            self.last_zxid = Zxid::ZERO;
            self.lose(now, dice, acts, Some(Act::Hang));
        }
    }

    fn remember_watch(&mut self, request: &Request, err: i32) {
        let (registry, path) = match request {
            Request::GetData(r) if r.watch && err == 0 => (0, &r.path),
            Request::Exists(r) if r.watch && err == 0 => (0, &r.path),
            Request::Exists(r) if r.watch && err == -101 => (1, &r.path),
            Request::GetChildren(r) if r.watch && err == 0 => (2, &r.path),
            Request::GetChildren2(r) if r.watch && err == 0 => (2, &r.path),
            _ => return,
        };
        self.watches[registry].insert(path.clone());
    }

    /// As stock clients do it: what an event may have consumed is forgotten.
    fn forget_watch(&mut self, event: &WatcherEvent) {
        let [data, exist, child] = &mut self.watches;
        match event.kind {
            event::CREATED | event::DATA_CHANGED => {
                data.remove(&event.path);
                exist.remove(&event.path);
            }
            event::DELETED => {
                data.remove(&event.path);
                exist.remove(&event.path);
                child.remove(&event.path);
            }
            _ => {
                child.remove(&event.path);
            }
        }
    }

    fn work(&mut self, now: Time, dice: &mut Dice, acts: &mut Vec<Act>) {
        let timeout_ms = self.session.as_ref().map_or(0, |session| session.timeout_ms) as u64;
        let leaves = self.leaves_at.is_some_and(|at| now >= at);
        if leaves || now >= self.heard.plus(ms(timeout_ms * 2 / 3)) {
            self.lose(now, dice, acts, Some(Act::Hang));
            return;
        }
        if now >= self.sent.plus(ms(timeout_ms / 3)) {
            self.send(now, xid::PING, &Arc::new(Request::Ping), acts);
        }
        while !self.quiet && now >= self.next_op && self.waiting.len() < self.workload.pipeline as usize {
            if self.workload.operations.is_some_and(|most| self.operations >= most) {
                self.quiet = true;
                return;
            }
            self.operations += 1;
            self.operate(now, dice, acts);
            let think = dice.exponential(Site::ClientThink, self.entity, self.workload.think);
            self.next_op = now.plus(think.as_nanos() as u64);
        }
    }

    fn operate(&mut self, now: Time, dice: &mut Dice, acts: &mut Vec<Act>) {
        let (num, den) = self.workload.closing;
        if num > 0 && dice.chance(Site::ClientOp, self.entity, num, den) {
            let xid = self.xid();
            self.ask(now, xid, Arc::new(Request::CloseSession), acts);
            return;
        }
        let requests = match workload::draw(&self.workload, dice, self.entity, self.operations) {
            // What has no end of names must not grow without end.
            Operation::One(request) if matches!(*request, Request::Delete(_)) && !self.made.is_empty() => {
                let path = self.made.pop_front().expect("tested");
                [Some(Arc::new(Request::Delete(DeleteRequest { path, version: -1 }))), Some(request)]
            }
            Operation::One(request) => [Some(request), None],
            Operation::Two(first, second) => [Some(first), Some(second)],
        };
        for request in requests.into_iter().flatten() {
            if matches!(*request, Request::Ping) {
                self.send(now, xid::PING, &request, acts);
                continue;
            }
            let xid = self.xid();
            self.ask(now, xid, request, acts);
        }
    }

    fn xid(&mut self) -> i32 {
        self.next_xid += 1;
        self.next_xid - 1
    }

    fn ask(&mut self, now: Time, xid: i32, request: Arc<Request>, acts: &mut Vec<Act>) {
        acts.push(Act::Tell(Seen::Asked { xid, request: Arc::clone(&request) }));
        self.send(now, xid, &request, acts);
        self.waiting.push_back(Waiting { xid, request });
        debug_assert!(self.waiting.back().is_some_and(|waiting| waiting.xid == xid));
    }

    fn send(&mut self, now: Time, xid: i32, request: &Request, acts: &mut Vec<Act>) {
        put_request(&mut self.unsent, xid, request);
        acts.push(Act::Send(self.unsent.split().freeze()));
        self.sent = now;
        debug_assert!(request.op() != op::NOTIFICATION);
    }

    fn lose(&mut self, now: Time, dice: &mut Dice, acts: &mut Vec<Act>, hang: Option<Act>) {
        if self.phase == Phase::Away {
            return;
        }
        self.lost += self.waiting.len() as u64;
        self.waiting.clear();
        acts.extend(hang);
        acts.push(Act::Tell(Seen::Lost));
        self.phase = Phase::Away;
        let back = dice.between(Site::ClientBack, self.entity, RETRY_MS, RETRY_MS * 5);
        self.wake = now.plus(ms(back));
    }

    /// How long it waits for the answer to its handshake.
    fn patience_ms(&self) -> u64 {
        (self.wanted_timeout_ms as u64 / 3).max(200)
    }

    fn arm(&mut self, now: Time) {
        let timeout_ms = self.session.as_ref().map_or(0, |session| session.timeout_ms) as u64;
        self.wake = match self.phase {
            Phase::Away => self.wake,
            Phase::Greeting => self.heard.plus(ms(self.patience_ms())),
            Phase::Connected => {
                let ping = self.sent.plus(ms(timeout_ms / 3));
                let give_up = self.heard.plus(ms(timeout_ms * 2 / 3));
                let idle = self.quiet || self.waiting.len() >= self.workload.pipeline as usize;
                let work = if idle { give_up } else { self.next_op };
                let leave = self.leaves_at.unwrap_or(give_up);
                ping.min(give_up).min(work).min(leave).max(now.plus(1))
            }
        };
    }
}

const fn ms(ms: u64) -> u64 {
    ms * 1_000_000
}
