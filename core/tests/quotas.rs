//! Quotas (semantics §11): what is counted where, what is refused, and what a restart makes of it.

use bytes::Bytes;
use proptest::prelude::*;
use zk_core::auth::AuthInfo;
use zk_core::ids::{SessionId, Zxid};
use zk_core::prep::{Prep, PrepSettings, Proposal};
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Changes, Tree, TreeLoader};
use zk_core::wire::client::{CreateRequest, DeleteRequest, SetDataRequest};
use zk_core::wire::records::Acl;
use zk_core::wire::request::{MultiOp, Request};
use zk_core::wire::txn::{Txn, TxnBody};

const EXCEEDED: i32 = -125;
const BAD_VERSION: i32 = -103;
const NO_NODE: i32 = -101;

struct Desk {
    tree: Tree,
    prep: Prep,
    last: i64,
    changes: Changes,
}

impl Desk {
    fn new() -> Self {
        let tree = Tree::new();
        let settings = PrepSettings { digest: true, skip_acl: false, enforce_quota: true };
        let prep = Prep::new(&tree, settings);
        Self { tree, prep, last: 0, changes: Changes::new() }
    }

    fn prepare(&mut self, request: Request) -> Txn {
        self.last += 1;
        let at = Proposal {
            tree: &self.tree,
            zxid: Zxid(self.last),
            time: WallMs(1),
            session: SessionId(9),
            cxid: 0,
            auth: &AuthInfo::default(),
            no_ephemerals: None,
        };
        self.prep.request(&at, request)
    }

    fn apply(&mut self, txn: &Txn) {
        self.changes.clear();
        self.tree.apply(txn, ApplyMode::Live, &mut self.changes);
        // Here the digest that was predicted is compared with the tree's.
        self.prep.applied(txn.header.zxid, &self.tree);
    }

    /// The refusal; 0 if there is none.
    fn ask(&mut self, request: Request) -> i32 {
        let txn = self.prepare(request);
        self.apply(&txn);
        if let TxnBody::Error { err } = txn.body { err } else { 0 }
    }

    fn make(&mut self, path: &str, data: &str) -> i32 {
        self.ask(Request::Create(create(path, data)))
    }

    fn quota(&mut self, path: &str, limits: &str) {
        let mut at = String::from("/zookeeper/quota");
        for name in path.split('/').skip(1) {
            at = format!("{at}/{name}");
            self.make(&at, "");
        }
        assert_eq!(self.make(&format!("{at}/zookeeper_limits"), limits), 0);
        assert_eq!(self.make(&format!("{at}/zookeeper_stats"), "count=0,bytes=0"), 0);
    }

    fn stats(&self, path: &str) -> String {
        stats(&self.tree, path)
    }
}

fn stats(tree: &Tree, path: &str) -> String {
    let node = tree.node(&format!("/zookeeper/quota{path}/zookeeper_stats")).unwrap();
    String::from_utf8(node.data().unwrap().to_vec()).unwrap()
}

fn create(path: &str, data: &str) -> CreateRequest {
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    CreateRequest { path: path.into(), data, acl: vec![Acl::world(31)], flags: 0 }
}

fn set(path: &str, data: &str, version: i32) -> Request {
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    Request::SetData(SetDataRequest { path: path.into(), data, version })
}

fn delete(path: &str) -> Request {
    Request::Delete(DeleteRequest { path: path.into(), version: -1 })
}

/// As a server that starts finds it.
fn reloaded(tree: &Tree) -> Tree {
    let mut loader = TreeLoader::new();
    tree.acl_table().into_iter().for_each(|(id, list)| loader.acl(id, list.to_vec()));
    let mut walk = tree.walk();
    while let Some(step) = walk.next() {
        let node = step.node;
        loader.node(step.path, node.data(), node.acl_id(), node.persisted()).unwrap();
    }
    loader.finish(tree.last_zxid()).unwrap()
}

#[test]
fn statistics_begin_with_a_count_and_follow_every_change_without_a_trace() {
    let mut desk = Desk::new();
    desk.make("/q", "abc");
    desk.make("/q/a", "de");
    desk.quota("/q", "count=-1,bytes=-1");
    assert_eq!(desk.stats("/q"), "count=2,bytes=5");
    let before = desk.tree.node("/zookeeper/quota/q/zookeeper_stats").unwrap().stat();

    desk.make("/q/b", "xyz");
    assert_eq!(desk.changes.len(), 1, "nobody hears of statistics");
    assert_eq!(desk.stats("/q"), "count=3,bytes=8");
    desk.ask(set("/q", "", -1));
    assert_eq!(desk.stats("/q"), "count=3,bytes=5");
    desk.ask(delete("/q/a"));
    assert_eq!(desk.stats("/q"), "count=2,bytes=3");
    desk.make("/qq", "not below /q");
    assert_eq!(desk.stats("/q"), "count=2,bytes=3");

    desk.make("/q/padding", &"x".repeat(100));
    let after = desk.tree.node("/zookeeper/quota/q/zookeeper_stats").unwrap().stat();
    assert_eq!(desk.stats("/q"), "count=3,bytes=103");
    assert_eq!(after.data_length, before.data_length + 2);
    assert_eq!((after.version, after.mzxid, after.mtime), (before.version, before.mzxid, before.mtime));
}

#[test]
fn only_the_longest_prefix_counts_until_a_restart_counts_anew() {
    let mut desk = Desk::new();
    for path in ["/o", "/o/i"] {
        desk.make(path, "");
        desk.quota(path, "count=-1,bytes=-1");
    }
    desk.make("/o/i/x", "12345");
    desk.make("/o/y", "1");
    assert_eq!(
        (desk.stats("/o").as_str(), desk.stats("/o/i").as_str()),
        ("count=3,bytes=1", "count=2,bytes=5")
    );
    let tree = reloaded(&desk.tree);
    assert_eq!(
        (stats(&tree, "/o").as_str(), stats(&tree, "/o/i").as_str()),
        ("count=4,bytes=6", "count=2,bytes=5")
    );
    assert_eq!(tree.digest(), desk.tree.digest(), "the digest knows nothing of statistics");

    // Without limits nothing is counted any more, though the statistics stay.
    desk.ask(delete("/zookeeper/quota/o/i/zookeeper_limits"));
    desk.make("/o/i/z", "1");
    assert_eq!(
        (desk.stats("/o").as_str(), desk.stats("/o/i").as_str()),
        ("count=4,bytes=2", "count=2,bytes=5")
    );
}

#[test]
fn hard_limits_are_kept_between_existence_and_version() {
    let mut desk = Desk::new();
    desk.make("/h", "1234");
    desk.quota("/h", "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3");
    assert_eq!(desk.make("/h/a", ""), 0);
    assert_eq!(desk.make("/h/b", "1234567"), EXCEEDED, "11 bytes");
    assert_eq!(desk.make("/h/b", "123456"), 0);
    assert_eq!(desk.make("/h/c", ""), EXCEEDED, "4 nodes");
    assert_eq!(desk.make("/h/no/c", ""), NO_NODE);
    assert_eq!(desk.ask(set("/h/b", "1234567", 9)), EXCEEDED, "before the version");
    assert_eq!(desk.ask(set("/h/b", "abcdef", 9)), BAD_VERSION, "as long as before");
    assert_eq!(desk.ask(set("/h/none", "1234567", -1)), NO_NODE);
    // What shrinks is refused as long as it is too much still.
    desk.ask(set("/zookeeper/quota/h/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=2", -1));
    assert_eq!(desk.ask(set("/h/b", "abc", -1)), EXCEEDED);
    assert_eq!(desk.ask(delete("/h/b")), 0);
    assert_eq!(desk.ask(set("/h", "ab", -1)), 0);
}

#[test]
fn soft_limits_and_unreadable_ones_refuse_nothing() {
    let mut desk = Desk::new();
    for (path, limits) in [("/s", "count=1,bytes=1"), ("/u", "countHardLimit=one")] {
        desk.make(path, "");
        desk.quota(path, limits);
        assert_eq!(desk.make(&format!("{path}/a"), "12"), 0, "{limits}");
    }
    // What cannot be read has counted nothing. Java ends when it comes to that.
    desk.ask(set("/zookeeper/quota/s/zookeeper_stats", "nonsense", -1));
    desk.make("/s/b", "123");
    assert_eq!(desk.stats("/s"), "count=1,bytes=3");
    // The root has no quota, and a limits node elsewhere makes none.
    desk.make("/zookeeper/quota/zookeeper_limits", "count=-1,bytes=-1=;countHardLimit=0");
    desk.make("/zookeeper/quota/zookeeper_stats", "");
    desk.make("/s/zookeeper_limits", "count=-1,bytes=-1=;countHardLimit=0");
    assert_eq!(desk.make("/t", ""), 0);
    assert_eq!(desk.make("/s/c", ""), 0);
}

#[test]
fn what_is_on_its_way_may_overshoot() {
    let mut desk = Desk::new();
    desk.make("/m", "");
    desk.quota("/m", "count=-1,bytes=-1=;countHardLimit=2");
    let ops = ["/m/a", "/m/b", "/m/c"].map(|path| MultiOp::Create(create(path, "")));
    assert_eq!(desk.ask(Request::Multi(ops.to_vec())), 0);
    assert_eq!(desk.stats("/m"), "count=4,bytes=0");
    let failed = desk.prepare(Request::Multi(vec![MultiOp::Create(create("/m/d", ""))]));
    assert_eq!(failed.body, TxnBody::Multi(vec![TxnBody::Error { err: EXCEEDED }]));
    desk.apply(&failed);
    // The length of data that is on its way is known, the sum is not.
    desk.ask(set("/zookeeper/quota/m/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=5", -1));
    let txns: Vec<_> = ["12345", "123456", "12345"].map(|data| desk.prepare(set("/m/a", data, -1))).into();
    let refused: Vec<_> = txns.iter().map(|txn| matches!(txn.body, TxnBody::Error { .. })).collect();
    assert_eq!(refused, [false, false, false], "0+5, 0+1, 0-1");
    txns.iter().for_each(|txn| desk.apply(txn));
    assert_eq!(desk.stats("/m"), "count=4,bytes=5");
}

#[derive(Clone, Debug)]
enum Wish {
    Create(usize, usize, usize),
    Set(usize, usize, usize),
    Delete(usize, usize),
    CloseAndReload,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn statistics_are_what_a_count_would_find(wishes in prop::collection::vec(prop_oneof![
        6 => (0..3usize, 0..4usize, 0..9usize).prop_map(|(q, n, len)| Wish::Create(q, n, len)),
        4 => (0..3usize, 0..5usize, 0..9usize).prop_map(|(q, n, len)| Wish::Set(q, n, len)),
        3 => (0..3usize, 0..5usize).prop_map(|(q, n)| Wish::Delete(q, n)),
        1 => Just(Wish::CloseAndReload),
    ], 1..40)) {
        let mut desk = Desk::new();
        let tops = ["/a", "/b", "/c"];
        for top in tops {
            desk.make(top, "");
            desk.quota(top, "count=1,bytes=1");
        }
        let path = |q: usize, n: usize| if n == 4 { tops[q].to_owned() } else { format!("{}/n{n}", tops[q]) };
        for wish in wishes {
            match wish {
                Wish::Create(q, n, len) => drop(desk.make(&path(q, n), &"x".repeat(len))),
                Wish::Set(q, n, len) => drop(desk.ask(set(&path(q, n), &"y".repeat(len), -1))),
                Wish::Delete(q, n) if n < 4 => drop(desk.ask(delete(&path(q, n)))),
                Wish::Delete(..) => {}
                Wish::CloseAndReload => {
                    desk.tree = reloaded(&desk.tree);
                    let settings = PrepSettings { digest: true, skip_acl: false, enforce_quota: true };
                    desk.prep = Prep::new(&desk.tree, settings);
                }
            }
            for top in tops {
                let len = |path: &str| desk.tree.node(path).map(|n| n.data().map_or(0, <[u8]>::len));
                let all = (0..5).filter_map(|n| len(&path(tops.iter().position(|t| *t == top).unwrap(), n)));
                let all: Vec<_> = all.collect();
                let expected = format!("count={},bytes={}", all.len(), all.iter().sum::<usize>());
                prop_assert_eq!(desk.stats(top), expected);
            }
        }
    }
}
