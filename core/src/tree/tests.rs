use std::vec;

use super::*;
use crate::time::WallMs;
use crate::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};

#[test]
fn a_fresh_tree_is_what_java_starts_with() {
    let tree = Tree::new();
    assert_eq!(tree.node_count(), 5);
    assert_eq!(tree.digest(), 0x51c6_d660);
    assert_eq!(tree.data_size(), 44);
    let stat = |path| tree.node(path).expect("reserved").stat();
    assert_eq!(stat("/"), Stat { cversion: -1, num_children: 1, ..Stat::default() });
    assert_eq!(stat(""), stat("/"));
    assert_eq!(stat("/zookeeper"), Stat { cversion: -2, num_children: 2, ..Stat::default() });
    assert_eq!(stat("/zookeeper/quota"), Stat::default());
    assert_eq!(stat("/zookeeper/config"), Stat { aversion: -1, ..Stat::default() });
    assert_eq!(tree.node("/zookeeper/config").expect("reserved").acl()[..], [Acl::world(1)]);
    assert_eq!(tree.node("/").expect("reserved").acl_id(), -1);
    assert_eq!(tree.acl_table().len(), 1);
}

fn txn(zxid: i64, body: TxnBody) -> Txn {
    let header =
        TxnHeader { session: SessionId(7), cxid: 0, zxid: Zxid(zxid), time: WallMs(zxid * 10), kind: 0 };
    Txn { header, body, digest: None }
}

fn create(path: &'static str, parent_cversion: i32) -> TxnBody {
    let (kind, data, acl) = (CreateKind::Create, None, vec![Acl::world(31)]);
    let path = Text::from_static(path);
    TxnBody::Create(CreateTxn { kind, path, data, acl, ephemeral: false, parent_cversion })
}

fn creates_and_pzxid(tree: &Tree) -> (i32, Zxid) {
    let stat = tree.node("/").expect("the root").persisted();
    (stat.cversion, stat.pzxid)
}

#[test]
fn a_creates_counter_that_would_wrap_stands_still_with_its_pzxid() {
    let mut tree = Tree::new();
    let mut apply = |zxid, path, to| {
        tree.apply(&txn(zxid, create(path, to)), ApplyMode::Live, &mut Vec::new());
        creates_and_pzxid(&tree)
    };
    assert_eq!(apply(1, "/a", i32::MAX), (i32::MAX, Zxid(1)));
    assert_eq!(apply(2, "/b", i32::MIN), (i32::MAX, Zxid(1)));
    assert_eq!(apply(3, "/c", -1), (i32::MAX, Zxid(1)));
    assert_eq!(tree.node("/").expect("the root").stat().cversion, i32::MAX.wrapping_mul(2).wrapping_sub(4));
}

#[test]
fn a_create_without_a_parent_counter_counts_one_up() {
    let mut tree = Tree::new();
    tree.apply(&txn(1, create("/a", -1)), ApplyMode::Live, &mut Vec::new());
    tree.apply(&txn(2, create("/b", -1)), ApplyMode::Live, &mut Vec::new());
    assert_eq!(creates_and_pzxid(&tree), (2, Zxid(2)));
}

#[test]
fn descendants_are_counted_at_any_depth() {
    let mut tree = Tree::new();
    for (zxid, path) in (1..).zip(["/a", "/a/b", "/a/b/c", "/a/d", "/e"]) {
        tree.apply(&txn(zxid, create(path, -1)), ApplyMode::Live, &mut Vec::new());
    }
    let below = |path| tree.node(path).expect("it was made").descendant_count();
    assert_eq!(["/", "/a", "/a/b", "/a/b/c", "/e"].map(below), [8, 3, 1, 0, 0]);
    assert_eq!(below("/zookeeper"), 2);
}

#[test]
fn replay_answers_what_java_answers_and_still_advances() {
    let mut tree = Tree::new();
    let mut replay = |zxid, body| tree.apply(&txn(zxid, body), ApplyMode::Replay, &mut Vec::new());
    let path = Text::from_static("/a/b");
    assert_eq!(replay(5, create("/a/b", 1)), TxnResult::Failed { err: -101 });
    assert_eq!(replay(4, TxnBody::Delete { path: path.clone() }), TxnResult::Failed { err: -101 });
    assert_eq!(replay(6, create("/zookeeper", 1)), TxnResult::Failed { err: -110 });
    assert_eq!(replay(3, TxnBody::Error { err: -6 }), TxnResult::Failed { err: -6 });
    assert_eq!(replay(7, create("a", 1)), TxnResult::Failed { err: -8 });
    assert_eq!(replay(8, TxnBody::Delete { path: Text::from_static("/") }), TxnResult::Failed { err: -101 });
    assert_eq!((tree.last_zxid(), tree.node_count()), (Zxid(8), 5));
}

#[test]
#[should_panic(expected = "invariant: a live txn was validated against this state, but 0x2 meets no node")]
fn a_live_txn_that_contradicts_the_tree_is_a_broken_invariant() {
    let mut tree = Tree::new();
    tree.apply(&txn(2, create("/a/b", 1)), ApplyMode::Live, &mut Vec::new());
}

#[test]
#[should_panic(expected = "invariant: live txns come in zxid order: 0x1 after 0x1")]
fn a_live_txn_that_comes_twice_is_a_broken_invariant() {
    let mut tree = Tree::new();
    tree.apply(&txn(1, create("/a", 1)), ApplyMode::Live, &mut Vec::new());
    tree.apply(&txn(1, TxnBody::Error { err: -101 }), ApplyMode::Live, &mut Vec::new());
}

#[test]
fn an_acl_that_a_fuzzy_snapshot_lacks_lets_nobody_in_until_replay_brings_it() {
    let mut loader = TreeLoader::new();
    loader.acl(3, vec![Acl::world(1)]);
    loader.acl(4, vec![Acl::world(2)]);
    for (path, acl) in [("", -1), ("/a", 3), ("/b", 9), ("/c", i64::MAX)] {
        loader.node(path, None, acl, StatPersisted::default()).expect("parents come first");
    }
    let mut tree = loader.finish(Zxid(1)).expect("whole");
    let table =
        |tree: &Tree| tree.acl_table().into_iter().map(|(id, list)| (id, list[0].perms)).collect::<Vec<_>>();
    assert_eq!(table(&tree), [(3, 1)], "nobody has 4; /zookeeper/config shares 3");
    assert_eq!(tree.unknown_acls(), [9, 10]);
    assert_eq!(tree.node("/b").expect("loaded").acl()[..], [Acl::world(0)]);

    tree.apply(&txn(2, create("/b", 1)), ApplyMode::Replay, &mut Vec::new());
    tree.apply(&txn(3, create("/c", 2)), ApplyMode::Replay, &mut Vec::new());
    assert_eq!(table(&tree), [(3, 1), (11, 31)]);
    assert_eq!(tree.unknown_acls(), Vec::<i64>::new());
}

#[test]
fn acl_numbers_beyond_31_bits_get_smaller_ones() {
    let mut loader = TreeLoader::new();
    loader.acl(1 << 40, vec![Acl::world(3)]);
    loader.acl(2, vec![Acl::world(1)]);
    for (path, acl) in [("", 2), ("/a", 1 << 40)] {
        loader.node(path, None, acl, StatPersisted::default()).expect("parents come first");
    }
    let tree = loader.finish(Zxid(1)).expect("whole");
    assert_eq!(tree.node("/a").map(|n| (n.acl_id(), n.acl()[0].perms)), Some((3, 3)));
}

#[test]
fn a_snapshot_from_before_the_config_node_gets_one() {
    let mut loader = TreeLoader::new();
    for path in ["", "/zookeeper", "/zookeeper/quota"] {
        loader.node(path, Some(b""), -1, StatPersisted::default()).expect("parents come first");
    }
    let tree = loader.finish(Zxid(1)).expect("whole");
    assert_eq!((tree.digest(), tree.node_count(), tree.data_size()), (0x51c6_d660, 5, 44));
}

#[test]
fn the_config_node_shows_the_membership_and_moves_neither_zxid_nor_digest() {
    let mut tree = Tree::new();
    let (zxid, digest, size) = (tree.last_zxid(), tree.digest(), tree.data_size());
    tree.set_config(b"server.1=a:1:2:participant\nversion=0", Zxid(0), WallMs(7));
    tree.set_config(b"version=100000000", Zxid(0x1_0000_0000), WallMs(9));
    assert_eq!((tree.last_zxid(), tree.digest(), tree.data_size()), (zxid, digest, size + 17));
    let node = tree.node("/zookeeper/config").unwrap();
    let stat = node.persisted();
    assert_eq!(node.data(), Some(&b"version=100000000"[..]));
    assert_eq!(
        (stat.mzxid, stat.mtime, stat.version, stat.czxid),
        (Zxid(0x1_0000_0000), WallMs(9), -1, Zxid(0))
    );
}

#[test]
fn a_learned_txn_that_contradicts_the_tree_fails_and_a_right_one_is_told_to_watchers() {
    let mut tree = Tree::new();
    let mut changes = Changes::new();
    let mut learn = |zxid, body: TxnBody| {
        let header = TxnHeader {
            session: SessionId(1),
            cxid: 0,
            zxid: Zxid(zxid),
            time: WallMs(0),
            kind: body.kind(),
        };
        let txn = Txn { header, body, digest: None };
        (tree.apply(&txn, ApplyMode::Learned, &mut changes), core::mem::take(&mut changes).len())
    };
    let delete = |path: &'static str| TxnBody::Delete { path: Text::from_static(path) };
    let create = |path: &'static str| {
        TxnBody::Create(CreateTxn {
            kind: CreateKind::Create,
            path: Text::from_static(path),
            data: None,
            acl: vec![],
            ephemeral: false,
            parent_cversion: 1,
        })
    };
    assert_eq!(learn(1, delete("/a")), (TxnResult::Failed { err: -101 }, 0));
    assert_eq!(learn(2, create("/a")).1, 1);
    assert_eq!(learn(3, create("/a")), (TxnResult::Failed { err: -110 }, 0));
    assert_eq!(learn(4, create("/a/b")).1, 1);
    assert_eq!(learn(5, delete("/a")), (TxnResult::Failed { err: -111 }, 0));
    assert_eq!(learn(6, delete("/a/b")), (TxnResult::Done, 1));
}
