//! Sessions that one server alone knows, and servers without a leader that are read from, over real sockets.
#![cfg(not(feature = "loom"))]

mod served;

use bytes::Bytes;

use served::ensemble::{Servers, mode};
use served::{Client, create, get, get_and_watch, set, until};
use zk_core::error::OpError;
use zk_core::ids::SessionId;
use zk_core::replica::LocalSessions;
use zk_core::wire::client::{ConnectResponse, CreateRequest, GetDataResponse, SyncRequest};
use zk_core::wire::jute::Jute;
use zk_core::wire::records::{Acl, perms};
use zk_core::wire::request::Request;
use zk_net::node::NodeConfig;

fn ephemeral(path: &str) -> Request {
    let acl = vec![Acl::world(perms::ALL)];
    Request::Create(CreateRequest { path: path.into(), data: None, acl, flags: 1 })
}

fn three(sessions: LocalSessions, read_only_after_ms: Option<u32>) -> (Servers, usize) {
    let mut servers = Servers::new(3);
    servers.change = Some(Box::new(move |config: &mut NodeConfig| {
        let ensemble = config.replica.ensemble.as_mut().unwrap();
        ensemble.local_sessions = sessions;
        ensemble.read_only_after_ms = read_only_after_ms;
    }));
    (1..=3).for_each(|n| servers.start(n));
    let leader = servers.elect();
    (servers, leader)
}

fn error_of(client: &mut Client, request: Request) -> i32 {
    client.ask(request).header.err
}

#[test]
fn local_sessions_begin_and_end_without_a_transaction_and_make_no_ephemerals() {
    let (servers, leader) = three(LocalSessions::On, None);
    for n in [leader, leader % 3 + 1] {
        let server = servers.server(n);
        let mut first = servers.socket(n);
        let response = first.handshake(SessionId::NONE, None);
        let mut client = servers.client(n);
        let path = format!("/{n}");
        let made = client.ask(create(&path, b"x")).header;
        assert_eq!(made.err, 0);
        let refused = client.ask(ephemeral("/e")).header;
        assert_eq!((refused.err, refused.zxid.0), (OpError::EphemeralOnLocalSession.code(), made.zxid.0 + 1));
        assert_eq!((server.mntr("local_sessions"), server.mntr("global_sessions")), (2.0, 0.0));
        let dump = server.word(b"dump");
        assert!(dump.contains("Local Session Sets (") && dump.contains(")/(2):\n"), "{dump}");
        let global = if n == leader { "Global Session Sets (0)/(0):\n" } else { "Global Sessions(0):\n" };
        assert!(dump.contains(global), "{dump}");
        // Here it is known, elsewhere it is not.
        let mut elsewhere = servers.socket(n % 3 + 1);
        assert_eq!(elsewhere.handshake(response.session, response.password.clone()).session, SessionId::NONE);
        let mut again = servers.socket(n);
        assert_eq!(again.handshake(response.session, response.password.clone()), response);
        assert!(first.is_closed());
        let xids = again.send(&[set(&path, b"y"), Request::CloseSession, get(&path)]);
        assert_eq!(again.next().map(|frame| (frame.header.xid, frame.header.err)), Some((xids[0], 0)));
        let closed = again.next().unwrap().header;
        assert_eq!((closed.xid, closed.err, closed.zxid.0), (xids[1], 0, refused.zxid.0 + 1));
        assert!(again.is_closed());
        assert_eq!(server.mntr("local_sessions"), 1.0);
        assert_eq!(error_of(&mut client, Request::CloseSession), 0);
    }
}

#[test]
fn a_session_that_makes_an_ephemeral_becomes_the_ensemble_s_and_moves() {
    let (servers, leader) = three(LocalSessions::Upgrading, None);
    for n in [leader, leader % 3 + 1] {
        let mut client = servers.socket(n);
        let response = client.handshake(SessionId::NONE, None);
        let plain = client.ask(create(&format!("/plain{n}"), b"")).header;
        let made = client.ask(ephemeral(&format!("/e{n}"))).header;
        assert_eq!((made.err, made.zxid.0), (0, plain.zxid.0 + 2), "a createSession comes between them");
        let server = servers.server(n);
        assert_eq!((server.mntr("local_sessions"), server.mntr("global_sessions")), (0.0, 1.0));
        let mut elsewhere = servers.socket(n % 3 + 1);
        let again = elsewhere.handshake(response.session, response.password.clone());
        assert_eq!(again.session, response.session);
        assert_eq!(error_of(&mut elsewhere, Request::CloseSession), 0);
        // Closed at another server: this one may not know yet, unless it is asked to wait.
        let (mut reader, path) = (servers.client(n), format!("/e{n}"));
        assert_eq!(error_of(&mut reader, Request::Sync(SyncRequest { path: Some(path.as_str().into()) })), 0);
        assert_eq!(error_of(&mut reader, get(&path)), OpError::NoNode.code());
    }
}

/// A handshake of a client that is content with reading; `None` if it is turned away.
fn read_only(client: &mut Client, session: SessionId, password: Option<Bytes>) -> Option<ConnectResponse> {
    client.ask_for_session(session, password, true);
    client.frame().map(|frame| ConnectResponse::from_bytes(frame).unwrap())
}

#[test]
fn a_server_without_its_quorum_is_read_from_until_it_has_one_again() {
    let (mut servers, leader) = three(LocalSessions::Upgrading, Some(400));
    let (alone, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let mut global = servers.socket(alone);
    let of_before = global.handshake(SessionId::NONE, None);
    assert_eq!(of_before.read_only, Some(false));
    assert_eq!(error_of(&mut global, create("/a", b"kept")), 0);
    assert_eq!(error_of(&mut global, ephemeral("/e")), 0);
    servers.stop(other);
    servers.stop(leader);
    while global.next().is_some() {}
    let server = servers.server(alone);
    until("it serves readers", || mode(server) == "read-only");
    assert_eq!(server.word(b"isro"), "ro");
    assert!(server.word(b"srvr").contains("READ-ONLY mode; serving only read-only clients\nLatency"));
    assert_eq!(server.word(b"mntr").lines().nth(1), Some("zk_server_state\tread-only"));
    // Who wants more is turned away, and so is a session of the ensemble.
    let mut turned_away = servers.socket(alone);
    turned_away.send_handshake(SessionId::NONE, None);
    assert!(turned_away.is_closed());
    assert_eq!(read_only(&mut servers.socket(alone), of_before.session, of_before.password.clone()), None);

    let mut reader = servers.socket(alone);
    let response = read_only(&mut reader, SessionId::NONE, None).unwrap();
    assert_eq!((response.read_only, response.timeout_ms), (Some(true), 30_000));
    let data = reader.ask(get_and_watch("/a")).decode::<GetDataResponse>().data;
    assert_eq!(data.as_deref(), Some(&b"kept"[..]));
    let not = OpError::NotReadOnly.code();
    let sync = Request::Sync(SyncRequest { path: Some("/".into()) });
    for request in [create("/b", b""), ephemeral("/f"), set("/a", b""), sync, Request::Multi(vec![])] {
        assert_eq!(error_of(&mut reader, request), not);
    }
    // Answers keep the order of what was asked.
    let xids = reader.send(&[set("/a", b""), get("/a"), set("/a", b""), Request::Ping]);
    let answers: Vec<_> = (0..4).map(|_| reader.next().unwrap().header).map(|h| (h.xid, h.err)).collect();
    assert_eq!(answers, [(xids[0], not), (xids[1], 0), (xids[2], not), (-2, 0)]);
    let mut leaving = servers.socket(alone);
    read_only(&mut leaving, SessionId::NONE, None).unwrap();
    assert_eq!(server.mntr("local_sessions"), 2.0);
    assert_eq!(error_of(&mut leaving, Request::CloseSession), 0);
    assert!(leaving.is_closed());

    servers.start(other);
    assert!(reader.is_closed(), "everybody has to find out who serves now");
    servers.elect();
    assert_eq!(servers.server(alone).word(b"isro"), "rw");
    let mut again = servers.socket(alone);
    assert_eq!(read_only(&mut again, response.session, response.password).unwrap().session, SessionId::NONE);
    let mut global = servers.socket(alone);
    let back = global.handshake(of_before.session, of_before.password.clone());
    assert_eq!((back.session, back.read_only), (of_before.session, Some(false)));
    assert_eq!(error_of(&mut global, set("/a", b"new")), 0);
    assert_eq!(error_of(&mut global, get("/e")), 0);
}
