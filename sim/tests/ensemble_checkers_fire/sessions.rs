//! Sessions and their owners, and what a server may hold of them.

use bytes::Bytes;
use std::time::Duration;

use zk_core::action::{DiskCommand, LogRecord};
use zk_core::event::Event;
use zk_core::ids::SessionId;
use zk_core::input::Input;
use zk_core::time::{Mono, WallMs};
use zk_core::wire::quorum::{ForwardedRequest, QuorumPacket, Touch};
use zk_core::wire::txn::{Txn, TxnBody, TxnHeader};
use zk_sim::oracle::{Invariant, Limits, Load};

use crate::scene::{Scene, breaks, z};

const SESSION: SessionId = SessionId(0x0200_0000_0000_0001);

/// A session with this timeout is asked for at node 2, and opened by node 1, which leads.
fn open(scene: &mut Scene, timeout_ms: i32) {
    let body = TxnBody::CreateSession { timeout_ms };
    let header = TxnHeader { session: SESSION, cxid: 0, zxid: z(1, 1), time: WallMs(0), kind: body.kind() };
    let bytes = Txn { header, body, digest: None }.to_bytes();
    scene
        .order(1, |token| DiskCommand::Append { token, records: vec![LogRecord { zxid: z(1, 1), bytes }] })
        .unwrap();
}

#[test]
fn i29_a_session_expires_though_its_client_was_heard() {
    let ms = |ms: u64| Mono(ms * 1_000_000);
    let touched = |timeout_ms| vec![Touch { session: SESSION, timeout_ms }];
    let expire = |scene: &mut Scene, at| {
        scene.now = at;
        scene.oracle.input(1, None, at, &Input::Tick).unwrap();
        scene.event(1, Event::SessionExpiring { session: SESSION })
    };
    let mut scene = Scene::epoch_1();
    open(&mut scene, 4_000);
    breaks(Invariant::I29, expire(&mut scene.clone(), ms(3_999)));
    expire(&mut scene.clone(), ms(4_000)).unwrap();
    // By a learner's report; with a timeout that the client has asked for since.
    scene.now = ms(3_000);
    scene.arrive(1, 2, QuorumPacket::PingReply { zxid: z(1, 1), touches: touched(6_000) }).unwrap();
    breaks(Invariant::I29, expire(&mut scene.clone(), ms(8_999)));
    expire(&mut scene.clone(), ms(9_000)).unwrap();
    // By a request that a learner passes on, and by one of its own client.
    let request = ForwardedRequest { session: SESSION, cxid: 1, op: 4, body: Bytes::new(), auth: None };
    scene.now = ms(8_000);
    scene.arrive(1, 2, QuorumPacket::Request(request)).unwrap();
    breaks(Invariant::I29, expire(&mut scene.clone(), ms(13_999)));
    scene.oracle.input(1, None, ms(13_000), &Input::Touched(touched(6_000))).unwrap();
    breaks(Invariant::I29, expire(&mut scene.clone(), ms(18_999)));
    // A client comes to another server with it.
    scene.now = ms(18_000);
    let touch = Touch { session: SESSION, timeout_ms: 2_000 };
    scene.arrive(1, 3, QuorumPacket::Revalidate { touch }).unwrap();
    scene.send(1, QuorumPacket::Revalidated { session: SESSION, valid: true }).unwrap();
    breaks(Invariant::I29, expire(&mut scene.clone(), ms(19_999)));
    expire(&mut scene, ms(20_000)).unwrap();
}

#[test]
fn i29_a_learner_keeps_what_it_has_heard_of_a_client_to_itself() {
    let heard = Input::Touched(vec![Touch { session: SESSION, timeout_ms: 4_000 }]);
    let answer = |touches| QuorumPacket::PingReply { zxid: z(1, 1), touches };
    let mut scene = Scene::epoch_1();
    scene.oracle.input(2, None, Mono(0), &heard).unwrap();
    breaks(Invariant::I29, scene.clone().send(2, answer(vec![])));
    scene.send(2, answer(vec![Touch { session: SESSION, timeout_ms: 4_000 }])).unwrap();
    scene.send(2, answer(vec![])).unwrap();
}

#[test]
fn i40_a_server_holds_more_than_it_may() {
    let alone = Duration::from_secs(3);
    let limits = Limits { requests: 3, election_links: 4, quorum_links: 2, queued: 100, alone };
    let most =
        Load { requests: 3, election_links: 4, quorum_links: 2, queued: 100, alone, is_overdue: false };
    let mut scene = Scene::epoch_1();
    scene.oracle = scene.oracle.within(limits);
    scene.oracle.carries(1, &most).unwrap();
    for more in [
        Load { requests: 4, ..most },
        Load { election_links: 5, ..most },
        Load { quorum_links: 3, ..most },
        Load { queued: 101, ..most },
        Load { alone: alone + Duration::from_nanos(1), ..most },
        Load { is_overdue: true, ..most },
    ] {
        breaks(Invariant::I40, scene.oracle.carries(1, &more));
    }
}

#[test]
fn i31_a_session_that_has_moved_asks_from_where_it_was() {
    let request = |cxid| {
        QuorumPacket::Request(ForwardedRequest {
            session: SessionId(1),
            cxid,
            op: 5,
            body: Bytes::new(),
            auth: None,
        })
    };
    let made = |cxid, zxid, body: TxnBody| {
        let header = TxnHeader { session: SessionId(1), cxid, zxid, time: WallMs(0), kind: body.kind() };
        LogRecord { zxid, bytes: Txn { header, body, digest: None }.to_bytes() }
    };
    let set = || TxnBody::SetData { path: "/a".into(), data: None, version: 1 };
    let ask = |scene: &mut Scene, from, cxid, record: LogRecord| {
        scene.arrive(1, from, request(cxid)).unwrap();
        scene.order(1, |token| DiskCommand::Append { token, records: vec![record] })
    };
    let mut scene = Scene::epoch_1();
    ask(&mut scene, 2, 1, made(1, z(1, 1), set())).unwrap();
    breaks(Invariant::I31, ask(&mut scene.clone(), 3, 2, made(2, z(1, 2), set())));
    // Whoever comes is asked for at the leader, and has it then.
    let touch = Touch { session: SessionId(1), timeout_ms: 4000 };
    scene.arrive(1, 3, QuorumPacket::Revalidate { touch }).unwrap();
    scene.send(1, QuorumPacket::Revalidated { session: SessionId(1), valid: true }).unwrap();
    let moved = || TxnBody::Error { err: -118 };
    breaks(Invariant::I31, ask(&mut scene.clone(), 3, 3, made(3, z(1, 2), moved())));
    ask(&mut scene, 3, 3, made(3, z(1, 2), set())).unwrap();
    ask(&mut scene, 2, 4, made(4, z(1, 3), moved())).unwrap();
    breaks(Invariant::I31, ask(&mut scene, 2, 5, made(5, z(1, 4), set())));
}
