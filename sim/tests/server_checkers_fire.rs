//! What is held against a single server for what it keeps: files beside one another, and watches. Each is seen to fire in a
//! run in which nothing else is wrong.

use zk_core::disk::FileOp;
use zk_core::disk::recovery::recover;
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::front::Watches;
use zk_core::ids::{ConnId, SessionId, Zxid};
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Changes};
use zk_core::watch::{Modes, shard_of};
use zk_core::wire::records::Acl;
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};
use zk_sim::node::{Loss, Node};
use zk_sim::run::{Options, Runner, Verdict};
use zk_sim::scenario::Scenario;

const LOAD: &str = r#"
duration = "20s"
[cluster]
snap_count = 40
snapshot_piece = "256"
snapshot_pause = { min = "5ms", mean = "5ms" }
[[workload]]
clients = 3
rate = "200/s"
mix = { create = 2, set = 3, get = 1 }
"#;

fn begin() -> Runner {
    Runner::new(&Scenario::parse(LOAD).unwrap(), 1, Options::default()).unwrap()
}

fn node(runner: &mut Runner) -> &mut Node {
    &mut runner.world.nodes[0]
}

/// Goes on until something holds of the server, and nothing may be wrong before.
fn until(runner: &mut Runner, holds: impl Fn(&Node) -> bool) {
    for _ in 0..200_000 {
        runner.one().expect("nothing is wrong yet");
        if holds(&runner.world.nodes[0]) {
            return;
        }
    }
    panic!("it never comes to this");
}

/// Goes on until something is wrong.
fn broken(runner: &mut Runner) -> Verdict {
    (0..200_000).find_map(|_| runner.one().err()).expect("something is wrong")
}

fn applied(node: &Node) -> Zxid {
    node.server.as_ref().map_or(Zxid::ZERO, |server| server.tree.last_zxid())
}

fn is_snapshotting(node: &Node) -> bool {
    node.server.as_ref().is_some_and(|server| server.is_snapshotting())
}

/// The node's disk gets a snapshot as of the end of its log, with a znode that no txn made or without any.
fn plant_snapshot(node: &mut Node, made: Option<&'static str>) {
    let mut tree = recover(&mut node.disk.clone(), &node.settings.disk).expect("the disk is sound").tree;
    if let Some(path) = made {
        let body = TxnBody::Create(CreateTxn {
            kind: CreateKind::Create,
            path: Text::from_static(path),
            data: None,
            acl: vec![Acl::world(31)],
            ephemeral: false,
            parent_cversion: 1_000,
        });
        let zxid = tree.last_zxid();
        let header = TxnHeader { session: SessionId(1), cxid: 0, zxid, time: WallMs(0), kind: body.kind() };
        tree.apply(&Txn { header, body, digest: None }, ApplyMode::Replay, &mut Changes::new());
        assert!(tree.node(path).is_some(), "it is there");
    }
    let mut ops: Vec<FileOp> = Vec::new();
    let mut writer = SnapshotWriter::new(tree.view(), node.settings.disk);
    while !writer.next(1 << 20, &mut ops) {}
    ops.iter().for_each(|op| node.disk.run(op).expect("a disk without faults"));
}

#[test]
fn i23_a_snapshot_with_the_log_over_it_is_not_the_live_tree() {
    let run = |made| {
        let mut runner = begin();
        until(&mut runner, |node| applied(node).0 > 60 && is_snapshotting(node));
        let began = applied(node(&mut runner));
        until(&mut runner, |node| applied(node).0 > began.0 + 5);
        assert!(is_snapshotting(node(&mut runner)), "it goes on");
        plant_snapshot(node(&mut runner), made);
        runner
    };
    assert_eq!(broken(&mut run(Some("/nobody-s"))).kind(), "I23");
    until(&mut run(None), |node| !is_snapshotting(node));
}

#[test]
fn i24_recovery_from_an_older_snapshot_ends_otherwise() {
    let run = |made| {
        let mut runner = begin();
        until(&mut runner, |node| applied(node).0 > 60 && is_snapshotting(node));
        until(&mut runner, |node| !is_snapshotting(node));
        plant_snapshot(node(&mut runner), made);
        until(&mut runner, is_snapshotting);
        until(&mut runner, |node| !is_snapshotting(node));
        runner.world.crash(1, Loss::Power);
        let now = runner.world.now;
        runner.world.boot_at(1, now);
        runner
    };
    assert_eq!(broken(&mut run(Some("/nobody-s"))).kind(), "I24");
    until(&mut run(None), Node::serves);
}

#[test]
fn i37_a_connection_that_is_gone_still_watches() {
    let run = |conn: Option<ConnId>| {
        let mut runner = begin();
        until(&mut runner, Node::serves);
        if let (Some(conn), Some(server)) = (conn, &node(&mut runner).server) {
            let (path, at) = ("/nobody-s", shard_of("/nobody-s"));
            server.watches.shard(at, |shard| shard.add(at, path, conn, Modes::DATA));
        }
        runner.phase_one().unwrap();
        runner.phase_two()
    };
    assert_eq!(run(Some(ConnId(1 << 40))).expect_err("nobody has it").kind(), "I37");
    run(None).expect("nothing is wrong");
}
