//! The engine against a server of a few lines on the loopback address.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use bytes::{Bytes, BytesMut};
use zk_core::ids::SessionId;
use zk_core::wire::client::{
    ConnectRequest, ConnectResponse, ExistsRequest, ExistsResponse, ReplyHeader, RequestHeader,
};
use zk_core::wire::framing::{FrameReader, put_frame, put_reply, put_reply_header};
use zk_core::wire::jute::Jute;
use zk_core::wire::records::Stat;

use super::super::setup::describe;
use super::*;

/// What the server does with the request that has this number on its connection, counted from 1.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answer,
    Refuse(i32),
    /// Answers with the xid of the request after it.
    Confuse,
    /// Answers with a body that is too short.
    Truncate,
    /// Closes the connection.
    Hang,
    /// Reads on and answers nothing any more.
    Ignore,
}

/// Serves one connection until it is closed, and sends each reply in pieces of `piece` bytes.
fn serve(mut stream: TcpStream, piece: usize, fate: impl Fn(usize) -> Fate) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = FrameReader::new(1 << 20);
    let mut bytes = [0; 1 << 16];
    let (mut number, mut ignoring) = (0, false);
    loop {
        let mut out = BytesMut::new();
        while let Some(frame) = reader.next_frame().ok()? {
            if number == 0 {
                let asked = ConnectRequest::from_bytes(frame).ok()?;
                put_frame(&mut out, |out| session(&asked).encode(out));
            } else if !ignoring {
                let request = RequestHeader::from_bytes(frame).ok()?;
                let fate = fate(number);
                ignoring = matches!(fate, Fate::Ignore);
                answer(&mut out, request.xid, fate)?;
            }
            number += 1;
        }
        out.chunks(piece).try_for_each(|piece| stream.write_all(piece)).ok()?;
        match stream.read(&mut bytes).ok()? {
            0 => return None,
            n => reader.push(&bytes[..n]),
        }
    }
}

fn session(asked: &ConnectRequest) -> ConnectResponse {
    ConnectResponse {
        protocol_version: 0,
        timeout_ms: asked.timeout_ms,
        session: SessionId(1),
        password: Some(Bytes::from_static(&[0; 16])),
        read_only: Some(false),
    }
}

/// `None`: the connection is to be closed.
fn answer(out: &mut BytesMut, xid: i32, fate: Fate) -> Option<()> {
    let header = ReplyHeader { xid, zxid: Zxid(7), err: 0 };
    let body = ExistsResponse { stat: Stat::default() };
    match fate {
        Fate::Answer => put_reply(out, header, &body),
        Fate::Refuse(err) => put_reply_header(out, ReplyHeader { err, ..header }),
        Fate::Confuse => put_reply(out, ReplyHeader { xid: xid + 1, ..header }, &body),
        Fate::Truncate => put_reply(out, header, &1_i32),
        Fate::Hang => return None,
        Fate::Ignore => {}
    }
    Some(())
}

/// A server with one thread for each of so many connections.
fn start(connections: usize, piece: usize, fate: fn(usize, usize) -> Fate) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("bound");
    let server = thread::spawn(move || {
        let threads: Vec<_> = (0..connections)
            .map(|connection| {
                let (stream, _) = listener.accept().expect("a client");
                thread::spawn(move || serve(stream, piece, |number| fate(connection, number)))
            })
            .collect();
        threads.into_iter().for_each(|thread| {
            thread.join().expect("the serving thread does not panic");
        });
    });
    (address, server)
}

/// So many requests, and how they ended.
struct Tally {
    left: usize,
    outstanding: usize,
    ended: BTreeMap<String, usize>,
}

impl Source for Tally {
    fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn turn(&mut self, _now: u64) {}

    fn next(&mut self, _session: usize, now: u64) -> Next {
        if self.left == 0 {
            return Next::Done;
        }
        self.left -= 1;
        let request = Request::Exists(ExistsRequest { path: "/z".into(), watch: false });
        Next::Send { request, started: now, tag: 0 }
    }

    fn ended(&mut self, _sent: &Sent, outcome: Outcome, _now: u64) {
        *self.ended.entry(describe(&outcome)).or_default() += 1;
    }
}

/// How `requests` end on `sessions` sessions, and why sessions were lost.
fn play(
    sessions: usize,
    requests: usize,
    piece: usize,
    patience: Duration,
    fate: fn(usize, usize) -> Fate,
) -> (BTreeMap<String, usize>, Vec<String>) {
    let (address, server) = start(sessions, piece, fate);
    let mut engine = Engine::connect(&[address], sessions, 60_000, patience).expect("sessions");
    let mut tally = Tally { left: requests, outstanding: 10, ended: BTreeMap::new() };
    engine.drive(&mut tally).expect("a loop without faults of its own");
    let losses = engine.losses().to_vec();
    drop(engine);
    server.join().expect("the server does not panic");
    (tally.ended, losses)
}

const LONG: Duration = Duration::from_secs(60);

fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn every_request_is_answered_once_however_the_bytes_arrive() {
    for piece in [1, 7, 1 << 20] {
        let (ended, losses) = play(3, 2_000, piece, LONG, |_, _| Fate::Answer);
        assert_eq!((ended, losses.len()), (counts(&[("answered", 2_000)]), 0), "pieces of {piece}");
    }
}

#[test]
fn refusals_and_unreadable_replies_end_their_own_request_only() {
    let (ended, losses) = play(1, 100, 1 << 20, LONG, |_, number| match number {
        5 => Fate::Refuse(-101),
        6 => Fate::Refuse(-999),
        7 => Fate::Truncate,
        _ => Fate::Answer,
    });
    let malformed = ended.keys().find(|name| name.starts_with("malformed")).expect("one reply was short");
    let expected = [("answered", 97), ("no node (-101)", 1), ("error -999", 1), (malformed.as_str(), 1)];
    assert_eq!(ended, counts(&expected));
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn a_lost_connection_leaves_its_requests_unanswered_and_the_others_go_on() {
    let (ended, losses) =
        play(
            2,
            1_000,
            1 << 20,
            LONG,
            |connection, number| {
                if connection == 0 && number == 1 { Fate::Hang } else { Fate::Answer }
            },
        );
    assert_eq!(ended.values().sum::<usize>(), 1_000);
    let unanswered = ended["no answer"];
    assert!((1..=10).contains(&unanswered), "{ended:?}");
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert!(losses[0].contains("127.0.0.1"), "{losses:?}");
}

#[test]
fn a_reply_to_another_request_ends_the_session() {
    let (ended, losses) =
        play(1, 100, 1 << 20, LONG, |_, n| if n == 20 { Fate::Confuse } else { Fate::Answer });
    assert_eq!(ended["answered"], 19);
    assert!(losses[0].contains("out of order"), "{losses:?}");
}

#[test]
fn silence_beyond_patience_ends_the_session() {
    let (ended, losses) = play(1, 100, 1 << 20, Duration::from_millis(300), |_, number| {
        if number == 20 { Fate::Ignore } else { Fate::Answer }
    });
    assert_eq!((ended["answered"], ended["no answer"]), (19, 10));
    assert!(losses[0].contains("no answer for 300ms"), "{losses:?}");
}

#[test]
fn a_server_that_refuses_the_session_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("bound");
    let server = thread::spawn(move || drop(listener.accept()));
    let error = Engine::connect(&[address], 1, 1_000, LONG).map(|_| ()).expect_err("closed at once");
    server.join().expect("the server does not panic");
    assert!(format!("{error:#}").contains(&address.to_string()), "{error:#}");
}
