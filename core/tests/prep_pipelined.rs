//! Prep against its oracle: the same requests, each applied before the next is prepared.
//!
//! However far the tree lags behind, the txns must come out the same, and each must predict the digest that the tree
//! has after it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use zk_core::auth::AuthInfo;
use zk_core::ids::{SessionId, Zxid};
use zk_core::prep::{Prep, PrepSettings, Proposal};
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Changes, Tree};
use zk_core::wire::client::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, SetAclRequest, SetDataRequest,
};
use zk_core::wire::records::{Acl, Id, perms};
use zk_core::wire::request::{MultiOp, Request};
use zk_core::wire::txn::{Txn, TxnBody};

#[derive(Clone, Debug)]
enum Asked {
    Op(Request),
    Open,
    Close,
}

#[derive(Clone, Debug)]
struct Step {
    session: usize,
    asked: Asked,
    /// How many txns may stay unapplied after this one.
    lag: usize,
}

const SESSIONS: usize = 4;

fn session(n: usize) -> SessionId {
    SessionId(0x0100_0000_0000_0001 + n as i64)
}

/// The identities of the n-th session: the last is super.
fn auth(n: usize) -> AuthInfo {
    let id = |scheme: &str, id: &str| Id { scheme: scheme.into(), id: id.into() };
    AuthInfo {
        ids: match n {
            0 => vec![id("ip", "10.0.0.1"), id("digest", "anne:h")],
            1 => vec![id("ip", "10.0.0.2"), id("digest", "bob:h")],
            2 => vec![id("ip", "10.0.0.3")],
            _ => vec![id("super", "")],
        },
    }
}

/// Runs the steps; the tree is behind by at most the lag of each. Yields the txns and the tree with all of them.
fn run(steps: &[Step], lags: bool) -> (Vec<Arc<Txn>>, Tree) {
    let mut tree = Tree::new();
    let mut prep = Prep::new(&tree, PrepSettings { digest: true, skip_acl: false, enforce_quota: false });
    let mut behind: VecDeque<Arc<Txn>> = VecDeque::new();
    let mut txns = vec![];
    let apply = |tree: &mut Tree, txn: &Txn| {
        let before = tree.digest();
        tree.apply(txn, ApplyMode::Live, &mut Changes::new());
        let failed = matches!(txn.body, TxnBody::Error { .. });
        assert_eq!(txn.digest.is_none(), failed, "error txns, and no others, carry no digest: {txn:?}");
        let expected = txn.digest.map_or(before, |d| d.digest as u64);
        assert_eq!(tree.digest(), expected, "after {txn:?}");
    };
    for (n, step) in steps.iter().enumerate() {
        let auth = auth(step.session);
        let at = Proposal {
            tree: &tree,
            zxid: Zxid(n as i64 + 1),
            time: WallMs(1_000_000 + n as i64 % 7),
            session: session(step.session),
            cxid: n as i32,
            auth: &auth,
            no_ephemerals: None,
        };
        let txn = Arc::new(match &step.asked {
            Asked::Op(request) => prep.request(&at, request.clone()),
            Asked::Open => prep.create_session(&at, 4000),
            Asked::Close => prep.close_session(&at),
        });
        txns.push(Arc::clone(&txn));
        behind.push_back(txn);
        let mut applied = None;
        while behind.len() > if lags { step.lag } else { 0 } {
            let txn = behind.pop_front().unwrap();
            apply(&mut tree, &txn);
            applied = Some(txn.header.zxid);
        }
        if let Some(zxid) = applied {
            prep.applied(zxid, &tree);
        }
    }
    behind.iter().for_each(|txn| apply(&mut tree, txn));
    prep.applied(Zxid(steps.len() as i64), &tree);
    (txns, tree)
}

fn path() -> impl Strategy<Value = Text> {
    let component = prop_oneof![4 => Just("a"), 3 => Just("b"), 1 => Just("c")];
    let deep = prop::collection::vec(component, 1..4).prop_map(|c| format!("/{}", c.join("/")));
    let odd = prop::sample::select(vec![
        "/",
        "",
        "/zookeeper",
        "/zookeeper/a",
        "/zookeeper/quota",
        "/a/",
        "a",
        "/./a",
    ]);
    prop_oneof![9 => deep, 1 => odd.prop_map(String::from)].prop_map(Text::from)
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    prop_oneof![
        Just(None),
        Just(Some(Bytes::new())),
        "[x-z]{1,9}".prop_map(|s| Some(Bytes::from(s.into_bytes()))),
    ]
}

fn acl() -> impl Strategy<Value = Vec<Acl>> {
    let acl = |perms, scheme: &str, id: &str| Acl { perms, id: Id { scheme: scheme.into(), id: id.into() } };
    prop_oneof![
        12 => Just(vec![Acl::world(perms::ALL)]),
        1 => Just(vec![Acl::world(perms::READ)]),
        1 => Just(vec![acl(31, "auth", "")]),
        1 => Just(vec![acl(31, "ip", "10.0.0.0/30"), acl(3, "digest", "bob:h")]),
        1 => Just(vec![]),
        1 => Just(vec![acl(31, "nonesuch", "x")]),
    ]
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![6 => Just(-1), 3 => 0..3, 1 => Just(-2)]
}

fn create() -> impl Strategy<Value = CreateRequest> {
    let flags = prop_oneof![3 => Just(0), 3 => Just(1), 2 => Just(2), 1 => Just(3), 1 => 4..8];
    (path(), data(), acl(), flags).prop_map(|(path, data, acl, flags)| CreateRequest {
        path,
        data,
        acl,
        flags,
    })
}

fn multi_op() -> impl Strategy<Value = MultiOp> {
    prop_oneof![
        3 => create().prop_map(MultiOp::Create),
        1 => create().prop_map(MultiOp::Create2),
        1 => create().prop_map(MultiOp::CreateContainer),
        1 => (create(), -1..3i64).prop_map(|(CreateRequest { path, data, acl, flags }, ttl_ms)| {
            MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags, ttl_ms })
        }),
        2 => (path(), version()).prop_map(|(path, version)| MultiOp::Delete(DeleteRequest { path, version })),
        2 => (path(), data(), version())
            .prop_map(|(path, data, version)| MultiOp::SetData(SetDataRequest { path, data, version })),
        1 => (path(), version()).prop_map(|(path, version)| MultiOp::Check(CheckVersionRequest { path, version })),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    prop_oneof![
        8 => create().prop_map(|r| Asked::Op(Request::Create(r))),
        2 => create().prop_map(|r| Asked::Op(Request::Create2(r))),
        1 => create().prop_map(|r| Asked::Op(Request::CreateContainer(r))),
        4 => (path(), version()).prop_map(|(path, version)| Asked::Op(Request::Delete(DeleteRequest { path, version }))),
        4 => (path(), data(), version())
            .prop_map(|(path, data, version)| Asked::Op(Request::SetData(SetDataRequest { path, data, version }))),
        2 => (path(), acl(), version())
            .prop_map(|(path, acl, version)| Asked::Op(Request::SetAcl(SetAclRequest { path, acl, version }))),
        4 => prop::collection::vec(multi_op(), 0..5).prop_map(|ops| Asked::Op(Request::Multi(ops))),
        1 => Just(Asked::Open),
        2 => Just(Asked::Close),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (0..SESSIONS, asked(), 0..12usize).prop_map(|(session, asked, lag)| Step { session, asked, lag });
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn pipelined_requests_yield_the_txns_of_serial_ones(steps in steps()) {
        let (serial, tree) = run(&steps, false);
        let (pipelined, lagging) = run(&steps, true);
        prop_assert_eq!(serial, pipelined);
        prop_assert_eq!(tree.digest(), lagging.digest());
        prop_assert_eq!(tree.node_count(), lagging.node_count());
    }
}
