//! Clients that ask for too much: each is bounded by a named limit and seen in a counter, and the others are served on.
#![cfg(not(feature = "loom"))]

mod served;

use std::io::Write;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use served::{Client, config, create, get, set, start, try_client, until};
use zk_core::error::OpError;
use zk_core::front::throttle::ThrottleSettings;
use zk_core::wire::client::{CreateRequest, GetDataResponse, op};
use zk_core::wire::framing::put_frame;
use zk_core::wire::records::{Acl, perms};
use zk_core::wire::request::{MultiOp, Request};
use zk_net::client::limits::{LargeRequests, RequestThrottle, Stale};

fn version_of(client: &mut Client, path: &str) -> i32 {
    client.ask(get(path)).decode::<GetDataResponse>().stat.version
}

#[test]
fn a_flood_of_connections_is_let_in_as_fast_as_tokens_come_and_who_is_in_is_served_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let tokens =
        ThrottleSettings { tokens: 5, fill_time_ms: 3_600_000, fill_count: 1, ..ThrottleSettings::OFF };
    config.limits.handshakes = tokens;
    let served = start(config);
    let mut inside = served.client();
    let flood: Vec<_> = (0..30).filter_map(|_| try_client(&served)).collect();
    assert_eq!(flood.len(), 4);
    assert_eq!(inside.ask(create("/a", b"")).header.err, 0);
    until("those who were turned away are counted", || served.mntr("connection_rejected") == 26.0);
    assert_eq!(
        (served.mntr("cnt_connection_token_deficit"), served.mntr("max_connection_token_deficit")),
        (5.0, 5.0)
    );
    assert_eq!(served.mntr("connection_drop_probability"), 0.0);
}

#[test]
fn large_requests_take_no_more_memory_than_they_may() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.limits.large = Some(LargeRequests { above: 10_000, total: 250_000 });
    config.front.large_above = Some(10_000);
    let served = start(config);
    let mut small = served.client();
    small.ask(create("/a", b""));
    // One at a time has room; a request that alone is too large is refused before its bytes come.
    for _ in 0..20 {
        assert_eq!(small.ask(set("/a", &[1; 200_000])).header.err, 0);
    }
    let mut greedy = served.client();
    greedy.socket.write_all(&300_000_i32.to_be_bytes()).unwrap();
    assert!(greedy.is_closed());
    assert_eq!(served.mntr("large_requests_rejected"), 1.0);
    assert_eq!(small.ask(set("/a", &[1; 9_000])).header.err, 0);
    // What a connection had in flight is given back when it ends.
    for _ in 0..10 {
        let mut client = served.client();
        client.send(&[set("/a", &[2; 120_000]), set("/a", &[2; 120_000])]);
        drop(client);
    }
    until("there is room again", || try_set(&mut served.client(), 200_000));
}

/// False if the server hung up instead of an answer.
fn try_set(client: &mut Client, bytes: usize) -> bool {
    client.send(&[set("/a", &vec![3; bytes])]);
    client.next().is_some_and(|frame| frame.header.err == 0)
}

#[test]
fn no_more_requests_are_carried_out_at_a_time_than_the_throttle_allows_whoever_sent_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.limits.requests = RequestThrottle { requests: Some(1), late_after: None, stale: Stale::Dropped };
    let served = start(config);
    served.client().ask(create("/a", b""));
    let clients: Vec<_> = (0..6).map(|_| served.client()).collect();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                for xid in client.send(&vec![set("/a", b"value"); 100]) {
                    let frame = client.next().unwrap();
                    assert_eq!((frame.header.xid, frame.header.err), (xid, 0));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(version_of(&mut served.client(), "/a"), 600);
    // A look at the number and the step behind it are no one act: each worker may let one in.
    assert!(served.mntr("max_sync_processor_batch_size") <= 3.0);
    assert!(served.mntr("request_throttle_wait_count") > 0.0);
    assert!(served.mntr("max_request_throttle_queue_time_ms") > 0.0);
}

#[test]
fn who_waited_too_long_is_told_so_in_turn_and_nothing_of_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let late_after = Some(Duration::from_micros(1));
    config.limits.requests = RequestThrottle { requests: Some(1), late_after, stale: Stale::Served };
    let served = start(config);
    let mut client = served.client();
    while client.ask(create("/a", b"")).header.err != 0 {}
    let (mut done, mut late) = (0, 0);
    for xid in client.send(&vec![set("/a", b"value"); 500]) {
        let frame = client.next().unwrap();
        assert_eq!(frame.header.xid, xid);
        match OpError::from_code(frame.header.err) {
            None => done += 1,
            Some(error) => {
                assert_eq!(error, OpError::ThrottledOp);
                late += 1;
            }
        }
    }
    assert!(late > 0, "{done} were done");
    assert!(served.mntr("throttled_ops") >= f64::from(late));
    let version =
        std::iter::repeat_with(|| served.client().ask(get("/a"))).find(|frame| frame.header.err == 0);
    assert_eq!(version.unwrap().decode::<GetDataResponse>().stat.version, done);
}

#[test]
fn what_a_client_that_is_gone_still_waited_for_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.limits.requests = RequestThrottle { requests: Some(1), late_after: None, stale: Stale::Served };
    let served = start(config);
    served.client().ask(create("/a", b""));
    until("requests of clients that hung up are dropped", || {
        let mut client = served.client();
        client.send(&vec![set("/a", b"value"); 300]);
        client.hang_up();
        served.mntr("stale_requests_dropped") > 0.0
    });
    assert_eq!(served.client().ask(set("/a", b"last")).header.err, 0);
}

#[test]
fn a_multi_is_no_larger_than_a_frame_may_be_and_one_that_is_as_large_is_carried_out() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut other = served.client();
    let acl = vec![Acl::world(perms::ALL)];
    let create = |n: usize| {
        let path = format!("/n{n:06}").as_str().into();
        MultiOp::Create(CreateRequest { path, data: None, acl: acl.clone(), flags: 0 })
    };
    // Some 58 bytes each.
    let mut client = served.client();
    assert_eq!(client.ask(Request::Multi((0..17_000).map(create).collect())).header.err, 0);
    assert_eq!(served.mntr("znode_count"), 17_005.0);
    assert_eq!(other.ask(get("/n016999")).header.err, 0);
    let mut client = served.client();
    let mut larger = BytesMut::new();
    zk_core::wire::framing::put_request(
        &mut larger,
        1,
        &Request::Multi((20_000..40_000).map(create).collect()),
    );
    // It is refused for its length alone.
    client.socket.write_all(&larger[..8]).unwrap();
    assert!(client.is_closed());
    assert_eq!(served.mntr("connection_drop_count"), 1.0);
    assert_eq!(served.mntr("znode_count"), 17_005.0);
}

#[test]
fn a_multi_that_promises_more_operations_than_it_holds_costs_its_sender_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut client = served.client();
    let mut frame = BytesMut::new();
    put_frame(&mut frame, |out| {
        out.put_i32(1);
        out.put_i32(op::MULTI);
        // A create whose path has a length of 2 GiB.
        out.put_slice(&[0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    });
    client.socket.write_all(&frame).unwrap();
    assert_eq!(client.next().unwrap().header.err, OpError::MarshallingError.code());
    assert_eq!(client.ask(create("/a", b"")).header.err, 0);
}

#[test]
fn endless_pipelining_is_held_back_while_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.front.in_flight_max = 10;
    let served = start(config);
    let mut other = served.client();
    other.ask(create("/a", b""));
    let pipelining = served.client();
    let mut socket = pipelining.socket.try_clone().unwrap();
    let mut requests = BytesMut::new();
    for n in 0..1000 {
        zk_core::wire::framing::put_request(&mut requests, n, &set("/a", &[7; 1000]));
    }
    // It writes without end, and never reads: until nobody takes its bytes any more.
    socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while socket.write_all(&requests).is_ok() {}
    let most = served.mntr("max_sync_processor_batch_size");
    assert!(most <= 12.0, "{most} writes at a time");
    assert_eq!(other.ask(get("/a")).header.err, 0);
}
