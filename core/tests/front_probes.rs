//! Probes of a server's behaviour that have surprised people (semantics §19); what is expected was seen on real
//! servers. (8 needs a second server, 20 the read-only mode.)

mod one_server;

use bytes::{Bytes, BytesMut};
use one_server::{Frame, Server, again, fresh, front_config};
use zk_core::action::CloseReason;
use zk_core::error::OpError;
use zk_core::front::FrontConfig;
use zk_core::ids::{ConnId, Zxid};
use zk_core::text::Text;
use zk_core::wire::client::*;
use zk_core::wire::jute::Jute;
use zk_core::wire::limits::JUTE_MAXBUFFER;
use zk_core::wire::multi::MultiResult;
use zk_core::wire::records::{Acl, Id, Stat, perms};
use zk_core::wire::reply::Reply;
use zk_core::wire::request::{MultiOp, Request};

fn create_as(path: &str, flags: i32, acl: Vec<Acl>) -> Request {
    Request::Create(CreateRequest { path: path.into(), data: Some(Bytes::new()), acl, flags })
}

fn create(path: &str, flags: i32) -> Request {
    create_as(path, flags, vec![Acl::world(31)])
}

fn delete(path: &str) -> Request {
    Request::Delete(DeleteRequest { path: path.into(), version: -1 })
}

fn set(path: &str, data: Option<&'static str>) -> Request {
    let data = data.map(|d| Bytes::from_static(d.as_bytes()));
    Request::SetData(SetDataRequest { path: path.into(), data, version: -1 })
}

fn get(path: &str, watch: bool) -> Request {
    Request::GetData(GetDataRequest { path: path.into(), watch })
}

fn exists(path: &str, watch: bool) -> Request {
    Request::Exists(ExistsRequest { path: path.into(), watch })
}

fn children(path: &str, watch: bool) -> Request {
    Request::GetChildren(GetChildrenRequest { path: path.into(), watch })
}

fn add_watch(path: &str, mode: i32) -> Request {
    Request::AddWatch(AddWatchRequest { path: path.into(), mode })
}

fn remove_watches(path: &str, kind: i32) -> Request {
    Request::RemoveWatches(RemoveWatchesRequest { path: path.into(), kind })
}

fn check_watches(path: &str, kind: i32) -> Request {
    Request::CheckWatches(CheckWatchesRequest { path: path.into(), kind })
}

fn auth(scheme: &str, credentials: &'static str) -> Request {
    let auth = Some(Bytes::from_static(credentials.as_bytes()));
    Request::Auth(AuthPacket { kind: 0, scheme: Some(scheme.into()), auth })
}

/// A server and a client with a session.
fn served() -> (Server, ConnId) {
    let mut server = Server::new();
    let conn = server.connect();
    server.take(conn);
    (server, conn)
}

impl Server {
    fn ok(&mut self, conn: ConnId, request: &Request) -> Reply {
        self.call(conn, request).reply()
    }
    fn code(&mut self, conn: ConnId, request: &Request) -> i32 {
        self.call(conn, request).header().err
    }
    fn stat(&mut self, conn: ConnId, path: &str) -> Stat {
        let Reply::Exists(reply) = self.ok(conn, &exists(path, false)) else { panic!("not a stat") };
        reply.stat
    }
    /// What happened for a client: events as (kind, path, zxid), replies as (0, "", zxid).
    fn heard(&mut self, conn: ConnId) -> Vec<(i32, String, i64)> {
        let frames = self.take(conn).into_iter().map(|frame| match frame {
            Frame::Event(header, event) => (event.kind, event.path.as_str().to_owned(), header.zxid.0),
            other => (0, String::new(), other.header().zxid.0),
        });
        frames.collect()
    }
}

fn event(kind: i32, path: &str, zxid: i64) -> (i32, String, i64) {
    (kind, path.to_owned(), zxid)
}

fn reply(zxid: i64) -> (i32, String, i64) {
    event(0, "", zxid)
}

#[test]
fn probe_1_the_root_of_a_new_database_has_cversion_minus_one() {
    let (mut server, conn) = served();
    assert_eq!(server.stat(conn, "/"), Stat { cversion: -1, num_children: 1, ..Stat::default() });
}

#[test]
fn probe_2_sequence_suffixes_count_creates_and_not_deletes() {
    let (mut server, conn) = served();
    server.ok(conn, &create("/a", 0));
    for expected in ["/a/n0000000000", "/a/n0000000001"] {
        let Reply::Create(made) = server.ok(conn, &create("/a/n", 2)) else { panic!() };
        assert_eq!(made.path, expected);
        server.ok(conn, &delete(expected));
    }
    assert_eq!(server.stat(conn, "/a").cversion, 4);
    let Reply::Create(made) = server.ok(conn, &create("/a/n", 2)) else { panic!() };
    assert_eq!(made.path, "/a/n0000000002");
}

#[test]
fn probe_3_a_failing_write_takes_a_zxid_and_a_failing_read_none() {
    let (mut server, conn) = served();
    let last = server.tree.last_zxid().0;
    for (request, code, zxid) in [
        (delete("/nope"), -101, last + 1),
        (get("/nope", false), -101, last + 1),
        (create("/zookeeper", 0), -110, last + 2),
    ] {
        let header = server.call(conn, &request).header();
        assert_eq!((header.err, header.zxid.0), (code, zxid));
    }
}

#[test]
fn probe_4_a_failed_multi_is_a_success_with_the_failure_inside() {
    let (mut server, conn) = served();
    let ops = vec![
        MultiOp::Create(CreateRequest { path: "/m".into(), data: None, acl: vec![Acl::world(31)], flags: 0 }),
        MultiOp::Delete(DeleteRequest { path: "/nope".into(), version: -1 }),
        MultiOp::Delete(DeleteRequest { path: "/m".into(), version: -1 }),
    ];
    let last = server.tree.last_zxid().0;
    let frame = server.call(conn, &Request::Multi(ops));
    assert_eq!(frame.header().zxid.0, last + 1);
    let expected = [0, -101, -2].map(MultiResult::Error).to_vec();
    assert_eq!(frame.reply(), Reply::Multi(expected));
    assert_eq!(server.code(conn, &exists("/m", false)), -101);
}

#[test]
fn probe_5_a_container_in_a_multi_answers_as_create2() {
    let (mut server, conn) = served();
    let container = CreateRequest { path: "/c".into(), data: None, acl: vec![Acl::world(31)], flags: 4 };
    let Reply::Multi(results) = server.ok(conn, &Request::Multi(vec![MultiOp::CreateContainer(container)]))
    else {
        panic!()
    };
    let [MultiResult::Create2(made)] = &results[..] else { panic!("{results:?}") };
    assert_eq!((made.path.as_str(), made.stat.ephemeral_owner), ("/c", 0));
}

#[test]
fn the_opcode_of_a_container_in_a_multi_makes_one_whatever_its_flags() {
    let (mut server, conn) = served();
    let plain = CreateRequest { path: "/c".into(), data: None, acl: vec![Acl::world(31)], flags: 0 };
    let Reply::Multi(results) = server.ok(conn, &Request::Multi(vec![MultiOp::CreateContainer(plain)]))
    else {
        panic!()
    };
    assert!(matches!(&results[..], [MultiResult::Create2(_)]), "{results:?}");
}

#[test]
fn flags_that_name_no_mode_fail_a_ttl_create_in_a_multi_in_its_turn_and_a_whole_multi_elsewhere() {
    let (mut server, conn) = served();
    let delete = || MultiOp::Delete(DeleteRequest { path: "/nope".into(), version: -1 });
    let (path, acl) = (Text::from("/n"), vec![Acl::world(31)]);
    let ttl = CreateTtlRequest { path: path.clone(), data: None, acl: acl.clone(), flags: 7, ttl_ms: 1000 };
    for (ops, codes) in [
        (vec![MultiOp::CreateTtl(ttl.clone()), delete()], [-8, -2]),
        (vec![delete(), MultiOp::CreateTtl(ttl)], [-101, -2]),
    ] {
        let Reply::Multi(results) = server.ok(conn, &Request::Multi(ops)) else { panic!() };
        assert_eq!(results, codes.map(MultiResult::Error));
    }
    let plain = CreateRequest { path, data: None, acl, flags: 7 };
    assert_eq!(server.code(conn, &Request::Multi(vec![delete(), MultiOp::Create(plain)])), -5);
}

#[test]
fn the_empty_path_has_one_descendant_more_than_the_root() {
    // Java looks for names that begin with the path and a slash, and knows the root under both names.
    let (mut server, conn) = served();
    let total = |server: &mut Server, path: &str| {
        let request = GetAllChildrenNumberRequest { path: path.into() };
        match server.ok(conn, &Request::GetAllChildrenNumber(request)) {
            Reply::GetAllChildrenNumber(reply) => reply.total,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(total(&mut server, "") - total(&mut server, "/"), 1);
}

#[test]
fn probe_6_the_response_has_a_read_only_byte_if_the_request_had_one() {
    let mut server = Server::new();
    for (read_only, len) in [(Some(false), 37), (Some(true), 37), (None, 36)] {
        let conn = server.accept();
        server.send_connect(conn, &ConnectRequest { read_only, ..fresh(10_000) });
        assert_eq!(server.raw(conn)[0].len(), len);
        let session = server.session_of(conn);
        let stranger = server.accept();
        let wrong = ConnectRequest { password: None, read_only, ..again(session, 10_000) };
        server.send_connect(stranger, &wrong);
        assert_eq!(server.raw(stranger)[0].len(), len);
    }
}

#[test]
fn probe_7_a_wrong_password_ends_the_connection_that_serves_the_session() {
    let (mut server, conn) = served();
    let session = server.session_of(conn);
    let stranger = server.accept();
    let password = Some(Bytes::from_static(&[1; 16]));
    server.send_connect(stranger, &ConnectRequest { password, ..again(session, 10_000) });
    let [Frame::Session(response)] = &server.take(stranger)[..] else { panic!() };
    assert_eq!((response.timeout_ms, response.session.0), (0, 0));
    assert_eq!(response.password.as_deref(), Some(&[0; 16][..]));
    assert!(matches!(server.closed(stranger), Some(CloseReason::Refused(_))));
    assert_eq!(server.closed(conn), Some(&CloseReason::SessionTakenOver));
    // The session itself goes on.
    let back = server.accept();
    server.send_connect(back, &again(session, 10_000));
    assert_eq!(server.session_of(back), session);
}

#[test]
fn probe_9_an_event_comes_before_the_reply_to_the_write_that_caused_it_and_bears_its_zxid() {
    let (mut server, conn) = served();
    server.ok(conn, &create("/a", 0));
    server.ok(conn, &get("/a", true));
    server.ok(conn, &children("/", true));
    let zxid = server.tree.last_zxid().0;
    server.send(conn, &set("/a", Some("x")));
    assert_eq!(server.heard(conn), [event(3, "/a", zxid + 1), reply(zxid + 1)]);
    server.send(conn, &create("/b", 0));
    assert_eq!(server.heard(conn), [event(4, "/", zxid + 2), reply(zxid + 2)]);
}

#[test]
fn probe_10_returning_clients_hear_what_they_missed_but_for_lasting_watches() {
    let (mut server, conn) = served();
    server.ok(conn, &create("/old", 0));
    let relative_zxid = server.tree.last_zxid();
    server.ok(conn, &create("/new", 0));
    server.ok(conn, &set("/new", None));
    server.ok(conn, &create("/old/child", 0));
    let now = server.tree.last_zxid().0;
    let paths = |list: &[&str]| Some(list.iter().map(|p| (*p).into()).collect());
    server.send_as(
        conn,
        xid::SET_WATCHES,
        &Request::SetWatches2(SetWatches2 {
            relative_zxid,
            data: paths(&["/old", "/new", "/gone"]),
            exist: paths(&["/old", "/gone"]),
            child: paths(&["/old", "/new", "/gone"]),
            persistent: paths(&["/new", "/gone"]),
            recursive: paths(&["/"]),
        }),
    );
    let told = [
        event(3, "/new", -1),
        event(2, "/gone", -1),
        // However old it is: a client that waits for it has not seen it.
        event(1, "/old", -1),
        event(4, "/old", -1),
        event(4, "/new", -1),
        event(2, "/gone", -1),
        reply(now),
    ];
    // The pzxid of a node that has had no children is its czxid.
    assert_eq!(server.heard(conn), told);
    for (path, kind, expected) in [
        ("/old", 2, 0),
        ("/new", 2, -121),
        ("/gone", 2, 0),
        ("/old", 1, -121),
        ("/new", 1, -121),
        ("/new", 4, 0),
        ("/gone", 4, 0),
        ("/", 5, 0),
    ] {
        assert_eq!(server.code(conn, &check_watches(path, kind)), expected, "{path} {kind}");
    }
}

#[test]
fn probe_10_a_null_list_ends_it_and_takes_nothing_back() {
    let (mut server, conn) = served();
    server.ok(conn, &create("/a", 0));
    let request = SetWatches {
        relative_zxid: server.tree.last_zxid(),
        data: Some(vec!["/a".into()]),
        exist: None,
        child: Some(vec!["/a".into()]),
    };
    assert_eq!(server.code(conn, &Request::SetWatches(request)), -5);
    assert_eq!(server.code(conn, &check_watches("/a", 2)), 0);
    assert_eq!(server.code(conn, &check_watches("/a", 1)), -121);
}

#[test]
fn probe_11_removing_one_type_of_watch_leaves_the_others() {
    let (mut server, conn) = served();
    server.ok(conn, &create("/a", 0));
    let set_all = [get("/a", true), children("/a", true), add_watch("/a", 0), add_watch("/a", 1)];
    set_all.iter().for_each(|request| drop(server.ok(conn, request)));
    assert_eq!(server.ok(conn, &remove_watches("/a", 2)), Reply::Empty);
    assert_eq!(server.code(conn, &remove_watches("/a", 2)), -121);
    let left = [1, 4, 5, 3].map(|kind| server.code(conn, &check_watches("/a", kind)));
    assert_eq!(left, [0; 4]);
    assert_eq!(server.ok(conn, &remove_watches("/a", 4)), Reply::Empty);
    assert_eq!(server.code(conn, &check_watches("/a", 1)), 0);
    assert_eq!(server.ok(conn, &remove_watches("/a", 3)), Reply::Empty);
    assert_eq!(server.code(conn, &check_watches("/a", 3)), -121);
    assert_eq!((server.watch_count(), server.with(conn, |c| c.watch_count())), (0, 0));
    for kind in [0, 6, -1] {
        assert_eq!(server.code(conn, &remove_watches("/a", kind)), -5);
        assert_eq!(server.code(conn, &check_watches("/a", kind)), -5);
    }
    assert_eq!(server.code(conn, &add_watch("/a", 2)), -5);
}

#[test]
fn probe_12_a_node_that_is_absent_can_be_watched_by_exists_only() {
    let (mut server, conn) = served();
    let asks = [exists("/a", true), get("/b", true), children("/c", true)];
    assert_eq!(asks.map(|request| server.code(conn, &request)), [-101; 3]);
    let kept = ["/a", "/b", "/c"].map(|path| server.code(conn, &check_watches(path, 3)));
    assert_eq!(kept, [0, -121, -121]);
    let zxid = server.tree.last_zxid().0 + 1;
    server.send(conn, &create("/a", 0));
    assert_eq!(server.heard(conn), [event(1, "/a", zxid), reply(zxid)]);
}

#[test]
fn probe_13_a_delete_needs_only_the_parents_permission() {
    let (mut server, conn) = served();
    server.ok(conn, &create("/p", 0));
    server.ok(conn, &create_as("/p/locked", 0, vec![Acl::world(0)]));
    assert_eq!(server.code(conn, &get("/p/locked", false)), -102);
    assert_eq!(server.code(conn, &exists("/p/locked", true)), -102);
    assert_eq!(server.code(conn, &check_watches("/p/locked", 3)), -121, "no watch on what may not be read");
    assert_eq!(server.ok(conn, &delete("/p/locked")), Reply::Empty);
}

#[test]
fn probe_14_a_sequential_create_may_end_in_a_slash() {
    let (mut server, conn) = served();
    server.ok(conn, &create("/a", 0));
    let Reply::Create(made) = server.ok(conn, &create("/a/", 2)) else { panic!() };
    assert_eq!(made.path, "/a/0000000000");
    assert_eq!(server.code(conn, &create("/a/", 0)), -8);
}

#[test]
fn probe_15_null_and_empty_data_stay_different() {
    let (mut server, conn) = served();
    server.ok(conn, &create("/a", 0));
    for data in [None, Some("")] {
        server.ok(conn, &set("/a", data));
        let Reply::GetData(got) = server.ok(conn, &get("/a", false)) else { panic!() };
        assert_eq!((got.data.as_deref(), got.stat.data_length), (data.map(str::as_bytes), 0));
    }
}

#[test]
fn probe_16_an_unknown_opcode_is_answered_beside_the_order_and_ends_the_connection() {
    // Those of servers among themselves, check on its own, and numbers that name nothing.
    for op in [0, -1, 10, 23, 99, 108, i32::MIN, op::CHECK, op::DELETE_CONTAINER, op::CREATE_SESSION] {
        let (mut server, conn) = served();
        server.instantly = false;
        server.send(conn, &create("/in-flight", 0));
        let mut frame = BytesMut::new();
        RequestHeader { xid: 77, op }.encode(&mut frame);
        server.send_raw(conn, frame.freeze());
        let frames = server.take(conn);
        assert_eq!(frames.len(), 1, "{frames:?}");
        let expected = ReplyHeader { xid: 77, zxid: Zxid(-1), err: OpError::Unimplemented.code() };
        assert_eq!(frames[0].header(), expected, "opcode {op}");
        assert_eq!(server.closed(conn), Some(&CloseReason::UnknownOpcode(op)));
        // The write is carried out, and nobody hears of it.
        server.instantly = true;
        server.settle();
        assert!(server.tree.node("/in-flight").is_some());
        assert!(server.take(conn).is_empty());
    }
}

#[test]
fn probe_17_an_auth_reply_overtakes_and_its_identity_is_for_requests_after_it() {
    let (mut server, conn) = served();
    let id = Id { scheme: "digest".into(), id: "anne:x".into() };
    let anne = zk_core::auth::hash_credentials("anne:pw");
    let only_anne = vec![Acl { perms: perms::ALL, id: Id { id: anne.into(), ..id } }];
    server.ok(conn, &create_as("/hers", 0, only_anne));
    server.instantly = false;
    let write = server.send(conn, &create("/slow", 0));
    let before = server.send(conn, &get("/hers", false));
    server.send_as(conn, xid::AUTH, &auth("digest", "anne:pw"));
    let after = server.send(conn, &get("/hers", false));
    let header = |zxid: i64, xid, err| ReplyHeader { xid, zxid: Zxid(zxid), err };
    let frames = server.take(conn);
    assert_eq!(frames.iter().map(Frame::header).collect::<Vec<_>>(), [header(0, xid::AUTH, 0)]);
    server.instantly = true;
    server.settle();
    let zxid = server.tree.last_zxid().0;
    let headers: Vec<_> = server.take(conn).iter().map(Frame::header).collect();
    assert_eq!(headers, [header(zxid, write, 0), header(zxid, before, -102), header(zxid, after, 0)]);
}

#[test]
fn probe_17_a_failed_auth_ends_the_connection_and_not_the_session() {
    for packet in [auth("world", "anyone"), auth("sasl", ""), auth("nonesuch", "a:b")] {
        let (mut server, conn) = served();
        let session = server.session_of(conn);
        server.send_as(conn, xid::AUTH, &packet);
        let headers: Vec<_> = server.take(conn).iter().map(Frame::header).collect();
        assert_eq!(headers, [ReplyHeader { xid: xid::AUTH, zxid: Zxid(0), err: -115 }]);
        assert_eq!(server.closed(conn), Some(&CloseReason::AuthFailed));
        let back = server.accept();
        server.send_connect(back, &again(session, 10_000));
        assert_eq!(server.session_of(back), session);
    }
}

#[test]
fn probe_18_set_acl_leaves_mzxid_and_fires_nothing() {
    let (mut server, conn) = served();
    server.ok(conn, &create("/a", 0));
    server.ok(conn, &get("/a", true));
    server.ok(conn, &add_watch("/", 1));
    let before = server.stat(conn, "/a");
    let acl = SetAclRequest { path: "/a".into(), acl: vec![Acl::world(perms::READ)], version: 0 };
    let Reply::SetAcl(after) = server.ok(conn, &Request::SetAcl(acl)) else { panic!() };
    assert_eq!(after.stat, Stat { aversion: 1, ..before });
}

#[test]
fn probe_19_the_largest_frame_is_served() {
    let (mut server, conn) = served();
    server.ok(conn, &create("/a", 0));
    let empty = one_server::frame_of(2, &set("/a", Some(""))).len();
    let data = Some(Bytes::from(vec![7; JUTE_MAXBUFFER - empty]));
    let request = Request::SetData(SetDataRequest { path: "/a".into(), data: data.clone(), version: -1 });
    assert_eq!(one_server::frame_of(2, &request).len(), 1_048_575);
    let Reply::SetData(_) = server.ok(conn, &request) else { panic!() };
    let Reply::GetData(got) = server.ok(conn, &get("/a", false)) else { panic!() };
    assert_eq!(got.data, data);
}

#[test]
fn who_has_no_identity_that_is_asked_for_is_refused_everything_but_auth() {
    let asking = |scheme: &str| {
        let config = FrontConfig { enforced_schemes: vec![scheme.into()], ..front_config() };
        let mut server = Server::with_config(config);
        let conn = server.connect();
        server.take(conn);
        (server, conn)
    };
    for request in [Request::Ping, get("/", false), Request::CloseSession, Request::WhoAmI] {
        let (mut server, conn) = asking("digest");
        let xid = if request == Request::Ping { xid::PING } else { 7 };
        server.send_as(conn, xid, &request);
        let headers: Vec<_> = server.take(conn).iter().map(Frame::header).collect();
        assert_eq!(headers, [ReplyHeader { xid, zxid: Zxid(0), err: -124 }], "{request:?}");
        assert_eq!(server.closed(conn), Some(&CloseReason::AuthRequired));
    }
    let (mut server, conn) = asking("digest");
    server.send_as(conn, xid::AUTH, &auth("digest", "anne:secret"));
    server.take(conn);
    assert_eq!(server.code(conn, &get("/", false)), 0);
    // An address is an identity that everybody has.
    let (mut server, conn) = asking("ip");
    assert_eq!(server.code(conn, &get("/", false)), 0);
}

#[test]
fn a_watch_may_be_at_no_path_and_never_fires() {
    let (mut server, conn) = served();
    let mut ask = |op, number: i32| {
        let mut body = BytesMut::new();
        Option::<Text>::None.encode(&mut body);
        number.encode(&mut body);
        let request = Request::decode(op, body.freeze()).unwrap().unwrap();
        server.code(conn, &request)
    };
    let (mut told, add, check, remove) = (vec![], op::ADD_WATCH, op::CHECK_WATCHES, op::REMOVE_WATCHES);
    for (op, number) in [(add, 0), (add, 1), (check, 1), (check, 3), (remove, 4), (remove, 5), (remove, 3)] {
        told.push(ask(op, number));
    }
    assert_eq!(told, [0, 0, -121, 0, 0, 0, -121]);
}

#[test]
fn a_sasl_packet_without_a_token_ends_the_connection() {
    let (mut server, conn) = served();
    server.send(conn, &Request::Sasl(GetSaslRequest { token: None }));
    assert_eq!(server.take(conn).len(), 0);
    assert!(matches!(server.closed(conn), Some(CloseReason::Malformed(_))));
}

#[test]
fn an_acl_may_name_nobody_where_its_scheme_looks_at_no_id() {
    let (mut server, conn) = served();
    let create = |server: &mut Server, scheme: &str| {
        let mut body = BytesMut::new();
        for part in [Some("/a"), None] {
            part.map(Text::from).encode(&mut body);
        }
        [1, perms::ALL].iter().for_each(|number| number.encode(&mut body));
        for part in [Some(scheme), None] {
            part.map(Text::from).encode(&mut body);
        }
        0.encode(&mut body);
        match Request::decode(op::CREATE, body.freeze()) {
            Ok(request) => server.code(conn, &request.unwrap()),
            Err(_) => OpError::MarshallingError.code(),
        }
    };
    assert_eq!(["auth", "x509", "super"].map(|scheme| create(&mut server, scheme)), [-114; 3]);
    assert_eq!(["world", "digest", "ip"].map(|scheme| create(&mut server, scheme)), [-5; 3]);
    server.send_as(conn, xid::AUTH, &auth("digest", "anne:secret"));
    server.take(conn);
    assert_eq!(create(&mut server, "auth"), 0);
}
