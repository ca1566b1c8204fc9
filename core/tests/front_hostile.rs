//! Frames that no honest client sends: whatever comes, nothing panics, little is kept, and others are served on.

mod one_server;

use bytes::{BufMut, Bytes, BytesMut};
use one_server::{Server, frame_of, fresh};
use proptest::collection::vec;
use proptest::prelude::*;
use zk_core::ids::ConnId;
use zk_core::wire::client::*;
use zk_core::wire::jute::Jute;
use zk_core::wire::multi::{MultiKind, decode_ops};
use zk_core::wire::records::Acl;
use zk_core::wire::request::{MultiOp, Request};

/// Every opcode, and some that are none.
const OPS: std::ops::RangeInclusive<i32> = -12..=110;

#[derive(Clone, Debug)]
enum Attack {
    /// Any bytes at all.
    Bytes(Vec<u8>),
    /// A header and any bytes.
    Body(i32, i32, Vec<u8>),
    /// An honest frame with bytes changed, cut off or added.
    Bent {
        which: usize,
        flips: Vec<(usize, u8)>,
        cut: Option<usize>,
        tail: Vec<u8>,
    },
    Durable,
    Apply,
}

fn attack() -> impl Strategy<Value = Attack> {
    let bytes = |max| vec(prop_oneof![3 => Just(0u8), 1 => Just(0xff), 2 => any::<u8>()], 0..max);
    prop_oneof![
        1 => bytes(40).prop_map(Attack::Bytes),
        4 => (any::<i32>(), OPS, bytes(60)).prop_map(|(xid, op, body)| Attack::Body(xid, op, body)),
        8 => (any::<usize>(), vec((any::<usize>(), any::<u8>()), 0..4), proptest::option::of(any::<usize>()), bytes(9))
            .prop_map(|(which, flips, cut, tail)| Attack::Bent { which, flips, cut, tail }),
        1 => Just(Attack::Durable),
        1 => Just(Attack::Apply),
    ]
}

fn honest() -> Vec<Bytes> {
    let create = CreateRequest { path: "/a".into(), data: None, acl: vec![Acl::world(31)], flags: 2 };
    let get = GetDataRequest { path: "/a".into(), watch: true };
    let paths = || Some(vec!["/a".into(), "".into(), "/\u{0}".into()]);
    let requests = [
        Request::Create(create.clone()),
        Request::GetData(get.clone()),
        Request::Multi(vec![MultiOp::Create(create.clone()), MultiOp::CreateContainer(create)]),
        Request::MultiRead(vec![MultiOp::GetData(get)]),
        Request::SetWatches2(SetWatches2 {
            relative_zxid: zk_core::ids::Zxid(-1),
            data: paths(),
            exist: paths(),
            child: paths(),
            persistent: paths(),
            recursive: paths(),
        }),
        Request::AddWatch(AddWatchRequest { path: "".into(), mode: 1 }),
        Request::RemoveWatches(RemoveWatchesRequest { path: "/".into(), kind: 3 }),
        Request::Auth(AuthPacket { kind: 0, scheme: Some("digest".into()), auth: None }),
        Request::GetEphemerals(GetEphemeralsRequest { prefix: None }),
        Request::Sync(SyncRequest { path: None }),
        Request::CloseSession,
    ];
    (0..).zip(requests).map(|(xid, request)| frame_of(xid, &request)).collect()
}

impl Attack {
    fn frame(&self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        match self {
            Self::Bytes(bytes) => out.put_slice(bytes),
            Self::Body(xid, op, body) => {
                RequestHeader { xid: *xid, op: *op }.encode(&mut out);
                out.put_slice(body);
            }
            Self::Bent { which, flips, cut, tail } => {
                let frames = honest();
                out.put_slice(&frames[which % frames.len()]);
                for (at, with) in flips {
                    let len = out.len();
                    out[at % len] ^= with;
                }
                if let Some(cut) = cut {
                    out.truncate(cut % (out.len() + 1));
                }
                out.put_slice(tail);
            }
            Self::Durable | Self::Apply => return None,
        }
        Some(out.freeze())
    }
}

/// A reply bears no more than what was asked for, and a read's answer; here nodes are small.
fn attack_with(server: &mut Server, conn: ConnId, attacks: &[Attack]) {
    for attack in attacks {
        match attack {
            Attack::Durable => drop(server.durable()),
            Attack::Apply => drop(server.apply()),
            frame => {
                let frame = frame.frame().unwrap();
                let len = frame.len();
                let before: usize = server.raw(conn).iter().map(Bytes::len).sum();
                server.send_hostile(conn, frame);
                let after: usize = server.raw(conn).iter().map(Bytes::len).sum();
                assert!(
                    after - before <= 2000 + 40 * len,
                    "{} bytes for {len}: {frame:?}",
                    after - before,
                    frame = attack
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_hostile_client_hurts_nobody(greeted: bool, attacks in vec(attack(), 1..30)) {
        let mut server = Server::new();
        let honest = server.connect();
        let hostile = server.accept();
        if greeted {
            server.send_connect(hostile, &fresh(10_000));
        }
        server.instantly = false;
        attack_with(&mut server, hostile, &attacks);
        server.instantly = true;
        server.settle();
        server.take(honest);
        let frame = server.call(honest, &Request::Exists(ExistsRequest { path: "/".into(), watch: false }));
        prop_assert_eq!(frame.header().err, 0);
        server.hang_up(hostile);
        prop_assert_eq!(server.watch_count(), 0);
    }
}

#[test]
fn a_promise_of_millions_of_paths_is_not_believed() {
    let mut server = Server::new();
    let conn = server.connect();
    server.take(conn);
    for op in [op::SET_WATCHES, op::SET_WATCHES2] {
        let mut frame = BytesMut::new();
        RequestHeader { xid: 1, op }.encode(&mut frame);
        frame.put_i64(0);
        frame.put_i32(i32::MAX);
        server.send_raw(conn, frame.freeze());
        assert_eq!(server.take(conn)[0].header().err, -5);
    }
    assert_eq!(server.closed(conn), None);
}

#[test]
fn what_is_behind_a_well_formed_body_is_ignored() {
    let mut server = Server::new();
    let conn = server.accept();
    let with_tail = |frame: Bytes| Bytes::from([&frame[..], b"tail"].concat());
    server.send_raw(conn, with_tail(fresh(10_000).to_bytes()));
    let get = Request::GetData(GetDataRequest { path: "/".into(), watch: false });
    server.send_raw(conn, with_tail(frame_of(1, &get)));
    server.send_raw(conn, with_tail(frame_of(xid::PING, &Request::Ping)));
    server.send_raw(conn, with_tail(frame_of(2, &Request::CloseSession)));
    let codes: Vec<_> = server.take(conn)[1..].iter().map(|f| f.header().err).collect();
    assert_eq!(codes, [0, 0, 0]);
}

#[test]
fn a_multi_read_of_writes_fails_with_the_end_of_a_multi_behind_it() {
    let mut server = Server::new();
    let conn = server.connect();
    server.take(conn);
    let delete = DeleteRequest { path: "/a".into(), version: -1 };
    let get = GetDataRequest { path: "/a".into(), watch: false };
    let writes = vec![MultiOp::Delete(delete.clone())];
    let mixed = vec![MultiOp::GetData(get), MultiOp::Delete(delete)];
    for (ops, end) in [(writes, &b"\xff\xff\xff\xff\x01\xff\xff\xff\xff"[..]), (mixed, b"")] {
        let before = server.tree.last_zxid();
        server.send(conn, &Request::MultiRead(ops));
        let reply = server.raw(conn).last().unwrap().clone();
        assert_eq!(server.take(conn)[0].header().err, -5);
        assert_eq!(&reply[16..], end);
        assert_eq!(server.tree.last_zxid(), before, "nothing was written");
    }
    let mut empty =
        zk_core::wire::jute::Reader::new(Bytes::from_static(b"\xff\xff\xff\xff\x01\xff\xff\xff\xff"));
    assert_eq!(decode_ops(MultiKind::Read, &mut empty), Ok(vec![]));
}

#[test]
fn the_empty_path_is_the_root_to_reads_and_a_watch_on_it_never_fires() {
    let mut server = Server::new();
    let conn = server.connect();
    let exists = |path: &str| Request::Exists(ExistsRequest { path: path.into(), watch: true });
    server.take(conn);
    assert_eq!(server.call(conn, &exists("")).header().err, 0);
    assert_eq!(server.call(conn, &exists("/\0")).header().err, -8);
    assert_eq!(server.call(conn, &exists("/a/")).header().err, -101);
    let create = CreateRequest { path: "/a".into(), data: None, acl: vec![Acl::world(31)], flags: 0 };
    server.call(conn, &Request::Create(create));
    let set = SetDataRequest { path: "/".into(), data: None, version: -1 };
    assert_eq!(server.call(conn, &Request::SetData(set)).header().err, 0);
    assert_eq!(server.watch_count(), 2);
}

#[test]
fn xids_come_back_as_they_were_but_for_pings() {
    let mut server = Server::new();
    let conn = server.connect();
    server.take(conn);
    for xid in [0, -1, -7, i32::MIN, i32::MAX, 5, 5] {
        server.send_as(conn, xid, &Request::WhoAmI);
        assert_eq!(server.take(conn)[0].header().xid, xid);
        server.send_as(conn, xid, &Request::Ping);
        assert_eq!(server.take(conn)[0].header().xid, xid::PING);
    }
}
