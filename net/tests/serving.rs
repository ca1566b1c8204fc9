//! What clients see of a whole server: durability over restarts, order under pressure, limits, and the end.
#![cfg(not(feature = "loom"))]

mod served;

use std::io::Write;

use served::{Client, config, create, get, get_and_watch, set, start, until};
use zk_core::ids::SessionId;
use zk_core::wire::client::{GetDataResponse, SetDataResponse, WatcherEvent, xid};
use zk_core::wire::request::Request;
use zk_net::client::limits::Limits;

fn data_of(client: &mut Client, path: &str) -> (Vec<u8>, i32) {
    let reply: GetDataResponse = client.ask(get(path)).decode();
    (reply.data.unwrap().to_vec(), reply.stat.version)
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let served = start(config(dir.path()));
        let mut client = served.client();
        if round == 0 {
            assert_eq!(client.ask(create("/a", b"0")).header.err, 0);
        } else {
            assert_eq!(data_of(&mut client, "/a"), (round.to_string().into_bytes(), round));
        }
        let next = (round + 1).to_string();
        let reply: SetDataResponse = client.ask(set("/a", next.as_bytes())).decode();
        assert_eq!(reply.stat.version, round + 1);
        assert!(served.node.stop());
    }
}

#[test]
fn a_session_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut client = served.socket();
    let first = client.handshake(SessionId::NONE, None);
    assert!(served.node.stop());
    assert!(client.is_closed());
    let served = start(config(dir.path()));
    let again = served.socket().handshake(first.session, first.password.clone());
    assert_eq!(again, first);
    let stranger = served.socket().handshake(first.session, None);
    assert_eq!((stranger.timeout_ms, stranger.session), (0, SessionId::NONE));
}

#[test]
fn a_second_connection_of_a_session_ends_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut first = served.socket();
    let response = first.handshake(SessionId::NONE, None);
    let mut second = served.socket();
    assert_eq!(second.handshake(response.session, response.password.clone()), response);
    assert!(first.is_closed());
    assert_eq!(second.ask(create("/a", b"")).header.err, 0);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_see_the_writes_before_them() {
    const ROUNDS: i32 = 2000;
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let address = served.node.client_address();
    served.client().ask(create("/a", b"0"));
    let clients: Vec<_> = (0..4).map(|_| served.client()).collect();
    let threads: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(n, mut client)| {
            std::thread::spawn(move || {
                let own = format!("/own{n}");
                client.ask(create(&own, b"-1"));
                let requests: Vec<_> = (0..ROUNDS)
                    .flat_map(|i| {
                        [set(&own, i.to_string().as_bytes()), get(&own), set("/a", b"x"), get(&own)]
                    })
                    .collect();
                let mut xids = Vec::new();
                // What is sent at once does not fit into the server's in-flight limits.
                for part in requests.chunks(400) {
                    xids.extend(client.send(part));
                }
                for (i, four) in xids.chunks(4).enumerate() {
                    for (k, xid) in four.iter().enumerate() {
                        let frame = client.next().unwrap();
                        assert_eq!((frame.header.xid, frame.header.err), (*xid, 0));
                        if k % 2 == 1 {
                            let reply: GetDataResponse = frame.decode();
                            assert_eq!(reply.data.unwrap(), i.to_string().as_bytes());
                        }
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut last = served.client();
    assert_eq!(data_of(&mut last, "/a").1, 4 * ROUNDS);
    assert_eq!(address, served.node.client_address());
}

#[test]
fn more_requests_than_the_server_takes_wait_at_the_door_and_are_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.replica.outstanding_max = 3;
    let served = start(config);
    served.client().ask(create("/a", b""));
    let clients: Vec<_> = (0..8).map(|_| served.client()).collect();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                let xids = client.send(&vec![set("/a", b"value"); 300]);
                for xid in xids {
                    let frame = client.next().unwrap();
                    assert_eq!((frame.header.xid, frame.header.err), (xid, 0));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(data_of(&mut served.client(), "/a").1, 8 * 300);
    assert!(served.mntr("request_throttle_wait_count") > 0.0);
    // One request of each connection may come in over the limit.
    assert!(served.mntr("max_sync_processor_batch_size") <= 3.0 + 8.0);
}

#[test]
fn a_client_that_reads_late_gets_every_reply_and_the_server_keeps_little_of_them() {
    const GETS: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.front.output_high = 256 << 10;
    let served = start(config);
    let mut client = served.client();
    let data = vec![7; 500_000];
    client.ask(create("/big", &data));
    let xids = client.send(&vec![get("/big"); GETS]);
    let mut watcher = served.client();
    // 200 MB would wait here if nobody held them back; others are served meanwhile.
    until("the server stops answering the deaf", || {
        let before = served.mntr("packets_sent");
        watcher.ask(get("/zookeeper"));
        served.mntr("packets_sent") - before <= 3.0
    });
    assert!((served.mntr("cnt_readlatency") as usize) < GETS);
    for xid in xids {
        let frame = client.next().unwrap();
        assert_eq!((frame.header.xid, frame.header.err), (xid, 0));
        assert_eq!(frame.body.len(), 4 + data.len() + 68);
    }
}

#[test]
fn a_watcher_hears_of_a_change_by_another_client() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let (mut watcher, mut writer) = (served.client(), served.client());
    writer.ask(create("/a", b"0"));
    watcher.ask(get_and_watch("/a"));
    writer.ask(set("/a", b"1"));
    let event = watcher.next().unwrap();
    assert_eq!(event.header.xid, xid::NOTIFICATION);
    let event: WatcherEvent = event.decode();
    assert_eq!((event.kind, &*event.path), (3, "/a"));
    assert_eq!(served.mntr("watch_count"), 0.0);
}

#[test]
fn watches_and_places_go_with_their_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.limits = Limits { per_address: Some(3), ..Limits::NONE };
    let served = start(config);
    let (mut first, mut second) = (served.client(), served.client());
    first.ask(create("/a", b""));
    first.ask(get_and_watch("/a"));
    second.ask(get_and_watch("/a"));
    let mut third = served.socket();
    assert!(served.socket().is_closed());
    third.handshake(SessionId::NONE, None);
    first.hang_up();
    until("the place is free", || {
        let mut client = served.socket();
        client.socket.write_all(b"wchs").unwrap();
        client.rest().starts_with("1 connections watching 1 paths")
    });
    until("the word's own place is free, too", || {
        served.word(b"mntr").lines().any(|line| line.starts_with("zk_connection_rejected\t"))
    });
    assert!(served.mntr("connection_rejected") >= 1.0);
}

#[test]
fn all_addresses_together_have_no_more_places_than_max_cnxns() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.limits = Limits { total: Some(2), ..Limits::NONE };
    let served = start(config);
    let (_first, mut second) = (served.client(), served.client());
    assert!(served.socket().is_closed());
    assert_eq!(second.ask(create("/a", b"")).header.err, 0);
}

#[test]
fn bytes_that_are_no_frames_cost_their_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut good = served.client();
    for bad in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 8], &[0, 0, 0, 0], &[0, 0, 0, 2, 1, 2]] {
        let mut client = served.socket();
        client.socket.write_all(bad).unwrap();
        assert!(client.is_closed(), "{bad:?}");
        let mut client = served.client();
        client.socket.write_all(bad).unwrap();
        assert!(client.is_closed(), "{bad:?} in a session");
    }
    assert_eq!(good.ask(create("/a", b"")).header.err, 0);
    assert_eq!(served.mntr("connection_drop_count"), 8.0);
}

#[test]
fn frames_arrive_in_pieces_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut client = served.client();
    let big = vec![9; 900_000];
    assert_eq!(client.ask(create("/big", &big)).header.err, 0);
    let mut bytes = bytes::BytesMut::new();
    zk_core::wire::framing::put_request(&mut bytes, 7, &set("/big", b"piecewise"));
    for byte in &bytes {
        client.socket.write_all(&[*byte]).unwrap();
    }
    assert_eq!(client.next().unwrap().header.xid, 7);
    assert_eq!(data_of(&mut client, "/big").0, b"piecewise");
}

#[test]
fn a_closed_session_gets_its_reply_and_then_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut client = served.client();
    // What is sent behind the close is not answered, and must not reset the connection either.
    let xids = client.send(&[create("/a", b""), Request::CloseSession, get("/a")]);
    assert_eq!(client.next().unwrap().header.xid, xids[0]);
    assert_eq!(client.next().unwrap().header.xid, xids[1]);
    assert!(client.is_closed());
    assert_eq!(served.mntr("global_sessions"), 0.0);
}

#[test]
fn a_stop_answers_what_is_in_flight_or_closes_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut client = served.client();
    client.ask(create("/a", b""));
    client.send(&vec![set("/a", b"value"); 500]);
    assert!(served.node.stop());
    let mut answered = 0;
    while let Some(frame) = client.next() {
        assert_eq!(frame.header.err, 0);
        answered += 1;
    }
    let served = start(config(dir.path()));
    assert!(data_of(&mut served.client(), "/a").1 >= answered);
}

#[test]
fn snapshots_are_taken_on_the_way_and_old_ones_purged() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.replica.snap_count = 50;
    let served = start(config.clone());
    let mut client = served.client();
    client.ask(create("/a", b""));
    let count = |prefix: &str| {
        let files = std::fs::read_dir(dir.path().join("data/version-2")).unwrap();
        files.filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().starts_with(prefix)).count()
    };
    until("there are many snapshots", || {
        client.ask(set("/a", b"value"));
        count("snapshot.") > 6
    });
    let (_, version) = data_of(&mut client, "/a");
    assert!(served.node.stop());
    let logs = count("log.");
    config.purge_interval = Some(std::time::Duration::from_millis(20));
    let served = start(config);
    until("only three are left", || count("snapshot.") == 3);
    until("logs went with them", || count("log.") < logs);
    assert_eq!(data_of(&mut served.client(), "/a").1, version);
}
