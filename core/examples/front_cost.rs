//! What a request costs from its frame to its reply's bytes, sockets and disk apart. Prints; checks nothing.
//!
//! `cargo run --release -p core --example front_cost [ZNODES]`; a hundred thousand by default, 1 KiB each.

#![allow(clippy::disallowed_types)] // a measurement needs a clock

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use zk_core::action::Commit;
use zk_core::front::connection::Connection;
use zk_core::front::{Connections, FrontConfig, Host, Intake, Watches, apply, receive};
use zk_core::ids::{ConnId, SessionId, Zxid};
use zk_core::text::Text;
use zk_core::time::{Now, WallMs};
use zk_core::tree::{ApplyMode, Tree};
use zk_core::watch::{SHARDS, WatchShard};
use zk_core::wire::client::{ConnectRequest, GetDataRequest, RequestHeader, SetDataRequest};
use zk_core::wire::jute::Jute;
use zk_core::wire::records::Acl;
use zk_core::wire::request::Request;
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const CONN: ConnId = ConnId(1);
const SESSION: SessionId = SessionId(7);
const ROUNDS: usize = 1_000_000;
const BATCH: usize = 16;

/// One connection and its session.
struct Only(RefCell<Connection>);

impl Connections for Only {
    fn with<R>(&self, _conn: ConnId, f: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        Some(f(&mut self.0.borrow_mut()))
    }
    fn bind(&self, _session: SessionId, _conn: ConnId) -> Option<ConnId> {
        None
    }
    fn unbind(&self, _session: SessionId, _conn: ConnId) {}
    fn conn_of(&self, _session: SessionId) -> Option<ConnId> {
        Some(CONN)
    }
}

struct Shards(Vec<RefCell<WatchShard>>);

impl Watches for Shards {
    fn shard<R>(&self, index: usize, f: impl FnOnce(&mut WatchShard) -> R) -> R {
        f(&mut self.0[index].borrow_mut())
    }
}

fn path(i: usize) -> String {
    format!("/services/group-{:04}/node-{i:07}", i / 1000)
}

fn frame(xid: i32, request: &Request) -> Bytes {
    let mut out = BytesMut::new();
    RequestHeader { xid, op: request.op() }.encode(&mut out);
    request.encode(&mut out);
    out.freeze()
}

fn commit(zxid: i64, cxid: i32, body: TxnBody, origin: Option<ConnId>) -> Commit {
    let header =
        TxnHeader { session: SESSION, cxid, zxid: Zxid(zxid), time: WallMs(zxid), kind: body.kind() };
    Commit::Txn { txn: Arc::new(Txn { header, body, digest: None }), origin, mode: ApplyMode::Live }
}

fn create(path: String, data: &Bytes) -> TxnBody {
    let (kind, acl) = (CreateKind::Create, vec![Acl::world(31)]);
    let (path, data) = (Text::from(path), Some(data.clone()));
    TxnBody::Create(CreateTxn { kind, path, data, acl, ephemeral: false, parent_cversion: -1 })
}

fn main() {
    let znodes: usize = std::env::args().nth(1).map_or(100_000, |n| n.parse().expect("a number of znodes"));
    let config = FrontConfig {
        min_session_timeout_ms: 4000,
        max_session_timeout_ms: 40_000,
        tick_ms: 2000,
        frame_max: 1 << 20,
        in_flight_max: 1000,
        large_above: None,
        output_high: 4 << 20,
        skip_acl: false,
        super_digest: None,
        enforced_schemes: Vec::new(),
    };
    let now = Now::default();
    let only = Only(RefCell::new(Connection::new(CONN, "127.0.0.1".into(), now)));
    let shards = Shards((0..SHARDS).map(|_| RefCell::default()).collect());
    let (mut tree, mut intake, data, mut zxid) =
        (Tree::new(), Intake::default(), Bytes::from(vec![7; 1024]), 0);
    let mut next = |body| {
        zxid += 1;
        commit(zxid, 0, body, None)
    };
    let mut commits = vec![next(create("/services".into(), &data))];
    for i in 0..znodes {
        if i % 1000 == 0 {
            commits.push(next(create(format!("/services/group-{:04}", i / 1000), &data)));
        }
        commits.push(next(create(path(i), &data)));
    }
    apply(&config, &mut tree, &commits, &only, &shards, now, &mut intake);

    let connect = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: 10_000,
        session: SessionId(0),
        password: None,
        read_only: None,
    };
    let host = Host { config: &config, tree: &tree, conns: &only, watches: &shards, now };
    receive(&mut only.0.borrow_mut(), connect.to_bytes(), &host, &mut intake);
    let begin = commit(zxid + 1, 0, TxnBody::CreateSession { timeout_ms: 10_000 }, Some(CONN));
    apply(&config, &mut tree, &[begin], &only, &shards, now, &mut intake);

    let scattered = |i: usize| i.wrapping_mul(2_654_435_761) % znodes;
    let gets: Vec<_> = (0..znodes)
        .map(|i| {
            frame(
                1,
                &Request::GetData(GetDataRequest { path: path(scattered(i)).as_str().into(), watch: false }),
            )
        })
        .collect();
    let host = Host { config: &config, tree: &tree, conns: &only, watches: &shards, now };
    let start = Instant::now();
    for i in 0..ROUNDS {
        let mut conn = only.0.borrow_mut();
        receive(&mut conn, gets[i % gets.len()].clone(), &host, &mut intake);
        if i % BATCH == BATCH - 1 {
            conn.output().clear();
        }
        intake.inputs.clear();
        intake.dirty.clear();
    }
    println!("get, frame to reply          {} ns", start.elapsed().as_nanos() as usize / ROUNDS);

    let sets: Vec<_> = (0..znodes)
        .map(|i| {
            let path = path(scattered(i)).as_str().into();
            frame(1, &Request::SetData(SetDataRequest { path, data: Some(data.clone()), version: -1 }))
        })
        .collect();
    let (mut door, mut applied) = (0, 0);
    let mut at = zxid + 2;
    for i in 0..ROUNDS / BATCH {
        let host = Host { config: &config, tree: &tree, conns: &only, watches: &shards, now };
        let start = Instant::now();
        for n in 0..BATCH {
            receive(&mut only.0.borrow_mut(), sets[(i * BATCH + n) % sets.len()].clone(), &host, &mut intake);
        }
        door += start.elapsed().as_nanos();
        let commits: Vec<_> = (0..BATCH)
            .map(|n| {
                let path = Text::from(path(scattered((i * BATCH + n) % sets.len())));
                commit(
                    at + n as i64,
                    1,
                    TxnBody::SetData { path, data: Some(data.clone()), version: 1 },
                    Some(CONN),
                )
            })
            .collect();
        at += BATCH as i64;
        intake.inputs.clear();
        let start = Instant::now();
        apply(&config, &mut tree, &commits, &only, &shards, now, &mut intake);
        applied += start.elapsed().as_nanos();
        only.0.borrow_mut().output().clear();
        intake.dirty.clear();
    }
    println!("set, frame to replica        {} ns", door as usize / ROUNDS);
    println!("set, commit to reply         {} ns, in batches of {BATCH}", applied as usize / ROUNDS);
}
