//! What a connection may take, how long it may be silent, and what is counted and reported about it.

mod one_server;

use bytes::Bytes;
use one_server::{Server, TICK_MS, fresh, front_config};
use zk_core::action::CloseReason;
use zk_core::front::FrontConfig;
use zk_core::ids::{ConnId, Zxid};
use zk_core::input::Input;
use zk_core::time::Mono;
use zk_core::wire::client::*;
use zk_core::wire::records::Acl;
use zk_core::wire::request::Request;

fn create(path: &str, data: Bytes) -> Request {
    Request::Create(CreateRequest {
        path: path.into(),
        data: Some(data),
        acl: vec![Acl::world(31)],
        flags: 0,
    })
}

fn get(path: &str) -> Request {
    Request::GetData(GetDataRequest { path: path.into(), watch: false })
}

fn set(path: &str, data: Bytes) -> Request {
    Request::SetData(SetDataRequest { path: path.into(), data: Some(data), version: -1 })
}

fn served(config: FrontConfig) -> (Server, ConnId) {
    let mut server = Server::with_config(config);
    let conn = server.connect();
    server.take(conn);
    (server, conn)
}

fn reads(server: &Server, conn: ConnId) -> bool {
    server.with(conn, |c| c.wants_input())
}

/// Reports of life that reached the replica, ms.
fn touches(server: &mut Server, at_ms: &[u64], mut act: impl FnMut(&mut Server)) -> Vec<u64> {
    let mut reported = vec![];
    for at in at_ms {
        let now = server.now.mono.millis();
        server.pass(at - now);
        server.inputs.clear();
        act(server);
        if server.inputs.iter().any(|input| matches!(input, Input::Touched(_))) {
            reported.push(*at);
        }
    }
    reported
}

#[test]
fn life_is_reported_at_once_and_then_at_most_once_per_quarter_tick() {
    let (mut server, conn) = served(front_config());
    let quarter = u64::from(TICK_MS) / 4;
    let at = [0, 1, quarter - 1, quarter, quarter + 1, 2 * quarter - 1, 2 * quarter];
    let reported = touches(&mut server, &at, |server| server.send_as(conn, xid::PING, &Request::Ping));
    assert_eq!(reported, [0, quarter, 2 * quarter]);
}

#[test]
fn every_kind_of_frame_reports_life_and_what_goes_to_the_replica_does_so_by_itself() {
    let (mut server, conn) = served(front_config());
    let auth = Request::Auth(AuthPacket { kind: 0, scheme: Some("ip".into()), auth: None });
    let sasl = Request::Sasl(GetSaslRequest { token: Some(Bytes::new()) });
    for (n, request) in (1..).zip([get("/"), auth, sasl, Request::WhoAmI]) {
        let reported = touches(&mut server, &[n * 1000], |server| {
            server.send(conn, &request);
        });
        assert_eq!(reported, [n * 1000], "{request:?}");
    }
    let write = set("/", Bytes::new());
    let reported = touches(&mut server, &[5000], |server| {
        server.send(conn, &write);
        server.send(conn, &get("/"));
    });
    assert!(reported.is_empty(), "the write itself is the sign of life");
}

#[test]
fn a_client_that_only_reads_keeps_its_session_and_a_silent_one_does_not() {
    let mut server = Server::new();
    let conn = server.accept();
    server.send_connect(conn, &fresh(4000));
    let session = server.session_of(conn);
    for _ in 0..20 {
        server.pass(3999);
        server.send(conn, &get("/"));
        assert_eq!(server.closed(conn), None);
    }
    // A timeout, a tick, and the quarter of a tick that the table grants.
    server.pass(4000 + 2000 + 500);
    assert_eq!(server.closed(conn), Some(&CloseReason::SessionExpired));
    assert_eq!(server.tree.session(session), None);
}

#[test]
fn silence_is_allowed_up_to_the_timeout_and_ten_seconds() {
    let mut server = Server::new();
    server.pass(3000);
    let conn = server.accept();
    let idle = |server: &Server| server.with(conn, |c| c.idle_deadline());
    assert_eq!(idle(&server), Mono::from_millis(20_000), "ten seconds for the handshake, rounded up to ten");
    server.pass(1000);
    server.instantly = false;
    server.send_connect(conn, &fresh(7000));
    assert_eq!(idle(&server), Mono::from_millis(20_000));
    server.instantly = true;
    server.settle();
    server.pass(5000);
    server.send_as(conn, xid::PING, &Request::Ping);
    assert_eq!(server.now.mono, Mono::from_millis(9000));
    assert_eq!(idle(&server), Mono::from_millis(20_000));
    server.pass(4000);
    server.send_as(conn, xid::PING, &Request::Ping);
    assert_eq!(idle(&server), Mono::from_millis(30_000), "13 s and 7 s are 20 s, and a bucket ends later");
}

#[test]
fn bytes_in_flight_stop_the_reading_before_their_number_does() {
    let config = FrontConfig { frame_max: 1000, ..front_config() };
    let (mut server, conn) = served(config);
    server.instantly = false;
    server.send(conn, &create("/a", Bytes::from(vec![1; 900])));
    assert!(reads(&server, conn));
    server.send(conn, &create("/b", Bytes::from(vec![1; 900])));
    assert!(reads(&server, conn));
    server.send(conn, &create("/c", Bytes::from(vec![1; 200])));
    assert!(!reads(&server, conn));
    assert!(server.durable() && server.apply());
    assert!(reads(&server, conn));
}

#[test]
fn parked_reads_stop_the_reading_so_that_their_replies_stay_bounded() {
    let (mut server, conn) = served(front_config());
    server.instantly = false;
    server.send(conn, &create("/a", Bytes::new()));
    for n in 1..=128 {
        assert!(reads(&server, conn), "{n}");
        server.send(conn, &get("/a"));
    }
    assert!(!reads(&server, conn));
    server.instantly = true;
    server.settle();
    assert!(reads(&server, conn));
    assert_eq!(server.take(conn).len(), 129);
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_until_its_output_goes() {
    let (mut server, conn) = served(FrontConfig { output_high: 3000, ..front_config() });
    server.send(conn, &create("/a", Bytes::from(vec![1; 1000])));
    server.take(conn);
    server.stalled = Some(conn);
    for _ in 0..3 {
        assert!(reads(&server, conn));
        server.send(conn, &get("/a"));
    }
    assert!(!reads(&server, conn));
    server.stalled = None;
    server.write_out(conn);
    assert!(reads(&server, conn));
}

#[test]
fn a_client_that_lets_events_pile_up_is_closed() {
    let (mut server, conn) = served(FrontConfig { output_high: 1000, ..front_config() });
    let other = server.connect();
    server.send(conn, &Request::AddWatch(AddWatchRequest { path: "/".into(), mode: 1 }));
    server.take(conn);
    server.stalled = Some(conn);
    let mut sent = 0;
    while server.closed(conn).is_none() {
        assert!(server.with(conn, |c| c.output().len()) <= 8 * 1000 + 100);
        server.send(other, &set("/", Bytes::new()));
        sent += 1;
        assert!(sent < 1000, "the pile grows for ever");
    }
    assert_eq!(server.closed(conn), Some(&CloseReason::SlowReader));
    assert!(sent > 200, "{sent} events of 35 bytes are not yet a pile");
}

#[test]
fn numbers_for_cons_follow_what_happened() {
    let (mut server, conn) = served(front_config());
    let stats = |server: &Server| server.with(conn, |c| c.stats().clone());
    let s = stats(&server);
    assert_eq!(
        (s.received, s.sent, s.last_op, s.last_zxid, s.established_ms),
        (1, 1, "SESS", Zxid(1), 1_000_000)
    );
    server.instantly = false;
    server.send(conn, &create("/a", Bytes::new()));
    server.send_as(conn, xid::PING, &Request::Ping);
    server.pass(7);
    assert!(server.durable() && server.apply());
    let s = stats(&server);
    assert_eq!((s.received, s.sent, s.replies), (3, 3, 3));
    assert_eq!((s.last_op, s.last_cxid, s.last_zxid), ("PING", 1, Zxid(2)), "a ping has no cxid of note");
    assert_eq!((s.min_latency_ms, s.max_latency_ms, s.last_latency_ms, s.total_latency_ms), (0, 7, 7, 14));
    assert_eq!(s.last_response_ms, 7);
    server.with(conn, |c| c.reset_stats());
    let s = stats(&server);
    assert_eq!((s.received, s.sent, s.replies, s.last_op, s.last_cxid), (0, 0, 0, "NA", -1));
    assert_eq!(s.established_ms, 1_000_000);
}

#[test]
fn a_connection_that_goes_takes_its_watches_and_its_binding_with_it() {
    let (mut server, conn) = served(front_config());
    let session = server.session_of(conn);
    for n in 0..100 {
        let path = format!("/n{n}").as_str().into();
        server.send(conn, &Request::Exists(ExistsRequest { path, watch: true }));
    }
    server.send(conn, &Request::AddWatch(AddWatchRequest { path: "/".into(), mode: 1 }));
    assert_eq!((server.watch_count(), server.with(conn, |c| c.watch_count())), (101, 101));
    server.inputs.clear();
    server.hang_up(conn);
    assert_eq!(server.watch_count(), 0);
    assert_eq!(server.bound(session), None);
    assert!(matches!(server.inputs[..], [Input::Gone { conn: gone }] if gone == conn));
    // One that never said anything is none of the replica's business.
    server.inputs.clear();
    let silent = server.accept();
    server.hang_up(silent);
    assert!(server.inputs.is_empty());
}

#[test]
fn a_client_that_goes_before_its_session_begins_leaves_nothing_behind() {
    let mut server = Server::new();
    server.instantly = false;
    let conn = server.connect();
    server.hang_up(conn);
    assert!(server.durable() && server.apply());
    let (session, _) = server.tree.sessions().next().expect("the session lives until it expires");
    assert_eq!(server.bound(session), None);
    server.instantly = true;
    let back = server.accept();
    server.send_connect(back, &one_server::again(session, 10_000));
    assert_eq!(server.bound(session), Some(back));
}

#[test]
fn timeouts_are_clamped_on_both_sides() {
    let mut server = Server::new();
    for (asked, given) in [(1, 4000), (-5, 4000), (4001, 4001), (1_000_000, 40_000), (i32::MIN, 4000)] {
        let conn = server.accept();
        server.send_connect(conn, &fresh(asked));
        assert_eq!(server.with(conn, |c| c.timeout_ms()), given, "{asked}");
    }
}

#[test]
fn a_request_that_waited_too_long_is_refused_in_its_turn_and_not_carried_out() {
    let (mut server, conn) = served(front_config());
    server.call_and_forget(conn, &create("/a", Bytes::new()));
    server.instantly = false;
    let write = server.send(conn, &set("/a", Bytes::from_static(b"1")));
    server.late = true;
    let late = [server.send(conn, &set("/a", Bytes::from_static(b"2"))), server.send(conn, &get("/a"))];
    server.send_as(conn, xid::PING, &Request::Ping);
    assert_eq!(server.take(conn), [], "all wait for the write in front of them");
    server.instantly = true;
    server.settle();
    let answers: Vec<_> =
        server.take(conn).iter().map(|f| (f.header().xid, f.header().zxid.0, f.header().err)).collect();
    assert_eq!(answers, [(write, 3, 0), (late[0], 3, -127), (late[1], 3, -127), (xid::PING, 3, 0)]);
    server.send(conn, &Request::CloseSession);
    assert_eq!(server.take(conn)[0].header().err, 0, "who wants to go may");
}

#[test]
fn large_requests_are_counted_until_they_are_answered() {
    let (mut server, conn) = served(FrontConfig { large_above: Some(1000), ..front_config() });
    let large = |server: &Server| server.with(conn, |c| c.large_bytes());
    server.instantly = false;
    server.send(conn, &create("/small", Bytes::from(vec![1; 500])));
    assert_eq!(large(&server), 0);
    server.send(conn, &create("/large", Bytes::from(vec![1; 5000])));
    assert!((5000..5100).contains(&large(&server)), "{}", large(&server));
    server.instantly = true;
    server.settle();
    assert_eq!(large(&server), 0);
}
