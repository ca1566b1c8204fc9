//! The captured client conversations again, with this server in Java's place: every frame is compared with Java's.
//!
//! The clients' frames are sent in the order of their times, and every one is answered before the next is sent. Fields
//! that cannot agree are made equal on both sides by [`Masks`], and by nothing else: session ids (passwords are checked
//! against them), wall-clock times, and the order of lists that have none. What differs beyond that is listed in
//! [`sent_here`] and [`as_by_395`], with the reasons.

mod one_server;
mod recorded;

use std::collections::BTreeMap;

use bytes::Bytes;
use one_server::{Frame, Server, frame_of};
use recorded::{Capture, captures};
use zk_core::error::OpError;
use zk_core::ids::{ConnId, SessionId, Zxid};
use zk_core::session::password;
use zk_core::time::WallMs;
use zk_core::wire::client::{
    ConnectRequest, ConnectResponse, CreateRequest, CreateTtlRequest, ReplyHeader, RequestHeader,
    WatcherEvent, op, xid,
};
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::multi::MultiResult;
use zk_core::wire::records::Stat;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::{MultiOp, Request};

/// A frame in which all that may differ is gone.
#[derive(Debug, PartialEq)]
enum Masked {
    Session(ConnectResponse),
    Reply(ReplyHeader, Reply),
    Failure(ReplyHeader),
    Event(ReplyHeader, WatcherEvent),
}

/// One side's names for its sessions, in the order of their beginning.
#[derive(Default)]
struct Masks(Vec<SessionId>);

impl Masks {
    fn session(&mut self, id: SessionId) -> SessionId {
        if id == SessionId::NONE {
            return id;
        }
        let at = self.0.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.0.push(id);
            self.0.len() - 1
        });
        SessionId(at as i64 + 1)
    }

    fn mask(&mut self, frame: Frame) -> Masked {
        match frame {
            Frame::Session(response) => {
                let expected = match response.session {
                    SessionId::NONE => [0; 16],
                    session => password(session),
                };
                assert_eq!(response.password.as_deref(), Some(&expected[..]));
                Masked::Session(ConnectResponse {
                    session: self.session(response.session),
                    password: None,
                    ..response
                })
            }
            Frame::Reply { header, .. } if header.err != 0 => Masked::Failure(header),
            Frame::Reply { op, header, body } => {
                let reply = Reply::decode(op, body.clone()).unwrap().expect("an opcode that is answered");
                let mut again = bytes::BytesMut::new();
                reply.encode(&mut again);
                assert_eq!(again, body, "nothing is behind the reply");
                Masked::Reply(header, self.reply(reply))
            }
            Frame::Event(header, event) => Masked::Event(header, event),
        }
    }

    fn reply(&mut self, mut reply: Reply) -> Reply {
        match &mut reply {
            Reply::Create2(r) => self.stat(&mut r.stat),
            Reply::SetData(r) => self.stat(&mut r.stat),
            Reply::SetAcl(r) => self.stat(&mut r.stat),
            Reply::Exists(r) => self.stat(&mut r.stat),
            Reply::GetData(r) => self.stat(&mut r.stat),
            Reply::GetAcl(r) => self.stat(&mut r.stat),
            Reply::GetChildren(r) => r.children.sort(),
            Reply::GetChildren2(r) => {
                r.children.sort();
                self.stat(&mut r.stat);
            }
            Reply::GetEphemerals(r) => r.paths.sort(),
            Reply::WhoAmI(r) => r.clients.sort_by(|a, b| (&a.scheme, &a.user).cmp(&(&b.scheme, &b.user))),
            Reply::Multi(results) => results.iter_mut().for_each(|result| match result {
                MultiResult::Create2(r) => self.stat(&mut r.stat),
                MultiResult::SetData(r) => self.stat(&mut r.stat),
                MultiResult::GetData(r) => self.stat(&mut r.stat),
                MultiResult::GetChildren(r) => r.children.sort(),
                MultiResult::Create(_) | MultiResult::Delete | MultiResult::Check | MultiResult::Error(_) => {
                }
            }),
            Reply::Empty
            | Reply::Create(_)
            | Reply::GetAllChildrenNumber(_)
            | Reply::Sync(_)
            | Reply::AddWatch(_)
            | Reply::Sasl(_) => {}
        }
        reply
    }

    fn stat(&mut self, stat: &mut Stat) {
        stat.ephemeral_owner = self.session(SessionId(stat.ephemeral_owner)).0;
        (stat.ctime, stat.mtime) = (WallMs(0), WallMs(0));
    }
}

/// What Java sent on one connection.
fn java_frames(capture: &Capture, nth: usize) -> Vec<Frame> {
    let (client, server) = &capture.connections[nth];
    let mut asked: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for frame in &client.frames[1..] {
        let header = RequestHeader::from_bytes(frame.slice(4..)).unwrap();
        asked.entry(header.xid).or_default().push(header.op);
    }
    let understand = |(i, frame): (usize, &Bytes)| {
        let r = &mut Reader::new(frame.slice(4..));
        if i == 0 {
            return Frame::Session(ConnectResponse::decode(r).unwrap());
        }
        let header = ReplyHeader::decode(r).unwrap();
        if header.xid == xid::NOTIFICATION {
            return Frame::Event(header, WatcherEvent::decode(r).unwrap());
        }
        let op = asked.get_mut(&header.xid).expect("a reply to a request").remove(0);
        Frame::Reply { op, header, body: r.rest() }
    };
    server.frames.iter().enumerate().map(understand).collect()
}

/// All clients' frames in the order of their times: connection, and which of its frames.
fn order(capture: &Capture) -> Vec<(usize, usize)> {
    let sent = capture.connections.iter().enumerate();
    let mut all: Vec<_> = sent
        .flat_map(|(c, (client, _))| client.times.iter().enumerate().map(move |(f, t)| (*t, c, f)))
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(_, c, f)| (c, f)).collect()
}

/// What this server sends when the clients say what they said to Java.
fn our_frames(capture: &Capture) -> Vec<Vec<Frame>> {
    let mut server = Server::new();
    let mut conns: Vec<ConnId> = vec![];
    let mut sessions = BTreeMap::new();
    for (c, f) in order(capture) {
        let frame = capture.connections[c].0.frames[f].slice(4..);
        if f == 0 {
            conns.push(server.accept());
            let mut request = ConnectRequest::from_bytes(frame).unwrap();
            if let Some(ours) = sessions.get(&request.session) {
                request.session = *ours;
                request.password = Some(Bytes::copy_from_slice(&password(*ours)));
            }
            server.send_connect(conns[c], &request);
            let Frame::Session(java) = &java_frames(capture, c)[0] else { panic!("no handshake") };
            if let Some(session) = server.table_session(conns[c]) {
                sessions.insert(java.session, session);
            }
        } else {
            server.send_raw(conns[c], sent_here(frame));
        }
    }
    conns.into_iter().map(|conn| server.take(conn)).collect()
}

/// The captured server had `extendedTypesEnabled`, which is off by default and here: createTTL is sent as create2, which
/// answers and shows to clients what a TTL node would. (`ttl_nodes_are_refused_as_by_a_default_java` sends the real one.)
fn sent_here(frame: Bytes) -> Bytes {
    let plain = |r: CreateTtlRequest| {
        let flags = if r.flags == 6 { 2 } else { 0 };
        CreateRequest { path: r.path, data: r.data, acl: r.acl, flags }
    };
    let header = RequestHeader::from_bytes(frame.clone()).unwrap();
    match Request::decode(header.op, frame.slice(8..)).unwrap() {
        Some(Request::CreateTtl(r)) => frame_of(header.xid, &Request::Create2(plain(r))),
        Some(Request::Multi(ops)) => {
            let ops = ops.into_iter().map(|op| match op {
                MultiOp::CreateTtl(r) => MultiOp::Create2(plain(r)),
                other => other,
            });
            frame_of(header.xid, &Request::Multi(ops.collect()))
        }
        _ => frame,
    }
}

/// What 3.8.0 sent, as 3.9.5 would have sent it (client protocol §17). Three differences, each of which has to be there:
/// events carry no zxid; a create2 in a multi answers as a create; adding a persistent watch takes the standard one's
/// place, so that a setData does not use that one up and checkWatches still finds it.
fn as_by_395(java: &mut [Masked], ours: &[Masked]) -> usize {
    let mut rewritten = 0;
    for (java, ours) in java.iter_mut().zip(ours) {
        match (java, ours) {
            (Masked::Event(java, _), Masked::Event(ours, _)) if java.zxid == Zxid(-1) && *java != *ours => {
                java.zxid = ours.zxid;
                rewritten += 1;
            }
            (Masked::Reply(_, Reply::Multi(java)), Masked::Reply(_, Reply::Multi(ours))) => {
                for (java, ours) in java.iter_mut().zip(ours) {
                    if let (MultiResult::Create(created), MultiResult::Create2(with_stat)) = (&*java, ours) {
                        assert_eq!(created.path, with_stat.path);
                        *java = ours.clone();
                        rewritten += 1;
                    }
                }
            }
            (java @ Masked::Reply(..), Masked::Failure(ours)) if ours.err == OpError::NoWatcher.code() => {
                let Masked::Reply(header, Reply::Empty) = &*java else { panic!("{java:?}") };
                assert_eq!((header.xid, header.zxid), (ours.xid, ours.zxid));
                *java = Masked::Failure(*ours);
                rewritten += 1;
            }
            _ => {}
        }
    }
    rewritten
}

#[test]
fn every_captured_client_hears_from_us_what_it_heard_from_java() {
    let (mut compared, mut rewritten) = (0, 0);
    for capture in captures() {
        let (mut java_masks, mut our_masks) = (Masks::default(), Masks::default());
        for (nth, ours) in our_frames(&capture).into_iter().enumerate() {
            let ours: Vec<_> = ours.into_iter().map(|f| our_masks.mask(f)).collect();
            let mut java: Vec<_> =
                java_frames(&capture, nth).into_iter().map(|f| java_masks.mask(f)).collect();
            if capture.name.starts_with("3.8.0") {
                rewritten += as_by_395(&mut java, &ours);
            }
            for (at, (java, ours)) in java.iter().zip(&ours).enumerate() {
                assert_eq!(ours, java, "{}, connection {nth}, frame {at}", capture.name);
            }
            assert_eq!(ours.len(), java.len(), "{}, connection {nth}", capture.name);
            compared += java.len();
        }
    }
    assert_eq!((compared, rewritten), (240, 8), "frames of the servers in the captures");
}

#[test]
fn ttl_nodes_are_refused_as_by_a_default_java() {
    let mut server = Server::new();
    let conn = server.connect();
    server.take(conn);
    let capture = captures().into_iter().find(|c| c.name == "3.9.5/client-all-ops").unwrap();
    let frames = capture.connections[0].0.frames[1..].iter().map(|f| f.slice(4..));
    let (mut asked, mut refused) = (0, 0);
    for frame in frames.filter(|f| RequestHeader::from_bytes(f.clone()).unwrap().op == op::CREATE_TTL) {
        server.send_raw(conn, frame);
        asked += 1;
        refused +=
            server.take(conn).iter().filter(|f| f.header().err == OpError::Unimplemented.code()).count();
    }
    assert_eq!((asked, refused), (3, 3));
    assert_eq!(server.closed(conn), None, "it is a plain error");
}
