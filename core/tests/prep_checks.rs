//! Which refusal wins (client protocol §7), and what the txns look like (disk format §4).

use bytes::Bytes;
use zk_core::auth::AuthInfo;
use zk_core::ids::{SessionId, Zxid};
use zk_core::prep::{Prep, PrepSettings, Proposal};
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Changes, NodeTypes, Tree, TreeConfig, TxnResult};
use zk_core::wire::client::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, GetDataRequest, ReconfigRequest,
    SetAclRequest, SetDataRequest,
};
use zk_core::wire::records::{Acl, Id};
use zk_core::wire::request::{MultiOp, Request};
use zk_core::wire::txn::{CreateKind, Txn, TxnBody};

const BAD_ARGUMENTS: i32 = -8;
const UNIMPLEMENTED: i32 = -6;
const MARSHALLING: i32 = -5;
const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const BAD_VERSION: i32 = -103;
const EPHEMERAL_PARENT: i32 = -108;
const NODE_EXISTS: i32 = -110;
const NOT_EMPTY: i32 = -111;
const INVALID_ACL: i32 = -114;

/// A tree, a prep over it, and one session without proven identities.
struct Desk {
    tree: Tree,
    prep: Prep,
    next: i64,
    auth: AuthInfo,
}

impl Desk {
    fn new() -> Self {
        Self::over(Tree::new())
    }

    /// A furnished desk with TTL nodes.
    fn extended() -> Self {
        let config = TreeConfig { hash_seed: 0, types: NodeTypes::Extended };
        Self::over(Tree::with_config(config)).furnish()
    }

    fn over(tree: Tree) -> Self {
        let prep = Prep::new(&tree, PrepSettings { digest: true, skip_acl: false, enforce_quota: false });
        let auth = AuthInfo { ids: vec![id("ip", "10.0.0.1")] };
        Self { tree, prep, next: 1, auth }
    }

    /// A desk with an open `/o`, a full `/full/child`, an ephemeral `/e`, a container `/c`, and `/locked` with
    /// `/locked/child`, which are nobody's.
    fn furnished() -> Self {
        Self::new().furnish()
    }

    fn furnish(mut self) -> Self {
        let desk = &mut self;
        let nobodys = vec![acl(31, "digest", "nobody:h")];
        for (path, flags, acl) in [
            ("/o", 0, open()),
            ("/full", 0, open()),
            ("/full/child", 0, open()),
            ("/e", 1, open()),
            ("/locked", 0, nobodys.clone()),
        ] {
            let txn = desk.ask(Request::Create(create_with(path, flags, acl)));
            assert!(!matches!(txn.body, TxnBody::Error { .. }), "{txn:?}");
        }
        desk.ask(Request::CreateContainer(create("/c", 4)));
        desk.auth.ids.push(id("super", ""));
        desk.ask(Request::Create(create_with("/locked/child", 0, nobodys)));
        desk.auth.ids.pop();
        self
    }

    fn prepare(&mut self, request: Request) -> Txn {
        let at = Proposal {
            tree: &self.tree,
            zxid: Zxid(self.next),
            time: WallMs(1000 + self.next),
            session: SessionId(0x0100_0000_0000_0009),
            cxid: 7,
            auth: &self.auth,
            no_ephemerals: None,
        };
        self.next += 1;
        self.prep.request(&at, request)
    }

    fn apply(&mut self, txn: &Txn) -> TxnResult {
        let result = self.tree.apply(txn, ApplyMode::Live, &mut Changes::new());
        self.prep.applied(txn.header.zxid, &self.tree);
        result
    }

    fn ask(&mut self, request: Request) -> Txn {
        let txn = self.prepare(request);
        self.apply(&txn);
        txn
    }

    /// The refusal; 0 if there is none.
    fn code(&mut self, request: Request) -> i32 {
        match self.ask(request).body {
            TxnBody::Error { err } => err,
            _ => 0,
        }
    }
}

fn id(scheme: &str, id: &str) -> Id {
    Id { scheme: scheme.into(), id: id.into() }
}

fn acl(perms: i32, scheme: &str, name: &str) -> Acl {
    Acl { perms, id: id(scheme, name) }
}

fn open() -> Vec<Acl> {
    vec![Acl::world(31)]
}

fn create_with(path: &str, flags: i32, acl: Vec<Acl>) -> CreateRequest {
    CreateRequest { path: path.into(), data: Some(Bytes::from_static(b"d")), acl, flags }
}

fn create(path: &str, flags: i32) -> CreateRequest {
    create_with(path, flags, open())
}

fn delete(path: &str, version: i32) -> DeleteRequest {
    DeleteRequest { path: path.into(), version }
}

fn set_data(path: &str, version: i32) -> SetDataRequest {
    SetDataRequest { path: path.into(), data: None, version }
}

fn set_acl(path: &str, acl: Vec<Acl>, version: i32) -> Request {
    Request::SetAcl(SetAclRequest { path: path.into(), acl, version })
}

fn check(path: &str, version: i32) -> MultiOp {
    MultiOp::Check(CheckVersionRequest { path: path.into(), version })
}

#[test]
fn a_create_is_refused_in_the_order_of_javas_checks() {
    let mut desk = Desk::furnished();
    let bad_acl = || vec![acl(31, "nonesuch", "x")];
    for (path, flags, acl, expected) in [
        ("no slash", 9, bad_acl(), BAD_ARGUMENTS),
        ("no slash", 5, bad_acl(), UNIMPLEMENTED),
        ("no slash", 0, bad_acl(), BAD_ARGUMENTS),
        ("", 0, open(), BAD_ARGUMENTS),
        ("/nul\0", 0, bad_acl(), BAD_ARGUMENTS),
        ("/absent/x", 0, bad_acl(), INVALID_ACL),
        ("/absent/x", 0, vec![], INVALID_ACL),
        ("/absent/.", 0, open(), NO_NODE),
        ("/o/./a", 0, open(), NO_NODE),
        ("/locked/.", 0, open(), NO_AUTH),
        ("/locked/child", 0, open(), NO_AUTH),
        ("/e/.", 0, open(), BAD_ARGUMENTS),
        ("/full/", 0, open(), BAD_ARGUMENTS),
        ("/full/child", 0, open(), NODE_EXISTS),
        ("/", 0, open(), NODE_EXISTS),
        ("/e/child", 0, open(), EPHEMERAL_PARENT),
        ("/e/child", 3, open(), EPHEMERAL_PARENT),
        ("/c/child", 1, open(), 0),
        ("/o/new", 0, open(), 0),
        ("/zookeeper/new", 0, open(), 0),
        ("/zookeeper/config/new", 0, open(), NO_AUTH),
    ] {
        let request = create_with(path, flags, acl);
        assert_eq!(desk.code(Request::Create(request.clone())), expected, "create {path:?} {flags}");
        if expected != 0 {
            assert_eq!(desk.code(Request::Create2(request.clone())), expected, "create2 {path:?} {flags}");
            assert_eq!(
                desk.code(Request::CreateContainer(request)),
                expected,
                "createContainer {path:?} {flags}"
            );
        }
    }
}

#[test]
fn a_create_with_ttl_is_refused_while_extended_types_are_off() {
    let mut desk = Desk::furnished();
    for (flags, ttl_ms, expected) in [
        (5, 1000, UNIMPLEMENTED),
        (6, -1, UNIMPLEMENTED),
        (0, 1000, BAD_ARGUMENTS),
        (0, -1, BAD_ARGUMENTS),
        (9, 1, BAD_ARGUMENTS),
    ] {
        let CreateRequest { path, data, acl, .. } = create("/o/ttl", 0);
        let request = CreateTtlRequest { path, data, acl, flags, ttl_ms };
        assert_eq!(desk.code(Request::CreateTtl(request)), expected, "{flags} {ttl_ms}");
    }
}

#[test]
fn a_time_to_live_goes_with_its_flags_and_has_40_bits() {
    let mut desk = Desk::extended();
    let ask = |path: &str, flags, ttl_ms| {
        let CreateRequest { path, data, acl, .. } = create(path, 0);
        CreateTtlRequest { path, data, acl, flags, ttl_ms }
    };
    for (flags, ttl_ms, expected) in [
        (5, 0, BAD_ARGUMENTS),
        (5, -1, BAD_ARGUMENTS),
        (5, 1 << 40, BAD_ARGUMENTS),
        (0, 1000, BAD_ARGUMENTS),
        (0, -1, BAD_ARGUMENTS),
        (4, 1000, BAD_ARGUMENTS),
        (7, 1000, BAD_ARGUMENTS),
        (5, (1 << 40) - 1, 0),
        (6, 1, 0),
    ] {
        let found = desk.code(Request::CreateTtl(ask("/o/t", flags, ttl_ms)));
        assert_eq!(found, expected, "{flags} {ttl_ms}");
        let in_multi = desk.ask(Request::Multi(vec![MultiOp::CreateTtl(ask("/o/m", flags, ttl_ms))]));
        let TxnBody::Multi(entries) = &in_multi.body else { panic!("{in_multi:?}") };
        let in_multi = if let [TxnBody::Error { err }] = entries[..] { err } else { 0 };
        // A mode without a ttl makes a plain node there, or a container: the ttl is not looked at.
        let expected = match flags {
            0 if ttl_ms == 1000 => 0,
            0 | 4 => NODE_EXISTS,
            5 if expected == 0 => NODE_EXISTS,
            _ => expected,
        };
        assert_eq!(in_multi, expected, "{flags} {ttl_ms} in a multi");
    }
    assert_eq!(desk.tree.node("/o/t").unwrap().persisted().ephemeral_owner as u64, 0xff00_00ff_ffff_ffff);
    assert_eq!(desk.tree.node("/o/t").unwrap().stat().ephemeral_owner, 0);
    // Opcodes without a ttl have none in range.
    for flags in [5, 6] {
        assert_eq!(desk.code(Request::Create(create("/o/n", flags))), BAD_ARGUMENTS);
        assert_eq!(desk.code(Request::Create2(create("/o/n", flags))), BAD_ARGUMENTS);
        assert_eq!(desk.code(Request::CreateContainer(create("/o/n", flags))), BAD_ARGUMENTS);
    }
    // It may have children, and ends with no session.
    assert_eq!(desk.code(Request::Create(create("/o/t/child", 0))), 0);
    assert_eq!(desk.tree.ephemeral_count(), 1, "but for /e");
}

#[test]
fn a_delete_is_refused_in_the_order_of_javas_checks() {
    let mut desk = Desk::furnished();
    for (path, version, expected) in [
        ("", -1, BAD_ARGUMENTS),
        ("no slash", -1, BAD_ARGUMENTS),
        ("/absent/\0", -1, BAD_ARGUMENTS),
        ("/", -1, BAD_ARGUMENTS),
        ("/zookeeper", -1, BAD_ARGUMENTS),
        ("/zookeeper/quota", -1, BAD_ARGUMENTS),
        ("/zookeeper/config", -1, BAD_ARGUMENTS),
        ("/absent/x", -1, NO_NODE),
        ("/locked/absent", -1, NO_AUTH),
        ("/locked/child", -1, NO_AUTH),
        ("/o/", -1, NO_NODE),
        ("/absent", 3, NO_NODE),
        ("/full", 3, BAD_VERSION),
        ("/o", -2, BAD_VERSION),
        ("/full", 0, NOT_EMPTY),
        ("/full/child", 0, 0),
        ("/full", -1, 0),
        ("/o", 0, 0),
    ] {
        assert_eq!(desk.code(Request::Delete(delete(path, version))), expected, "{path:?} {version}");
    }
}

#[test]
fn a_nodes_own_acl_does_not_save_it_from_deletion() {
    let mut desk = Desk::new();
    desk.ask(Request::Create(create("/p", 0)));
    desk.ask(Request::Create(create_with("/p/mine", 0, vec![acl(31, "digest", "nobody:h")])));
    assert_eq!(desk.code(Request::Delete(delete("/p/mine", -1))), 0);
}

#[test]
fn a_set_data_is_refused_in_the_order_of_javas_checks() {
    let mut desk = Desk::furnished();
    for (path, version, expected) in [
        ("/absent/", -1, BAD_ARGUMENTS),
        ("/absent", 5, NO_NODE),
        ("/locked", 5, NO_AUTH),
        ("/o", 1, BAD_VERSION),
        ("/o", -2, BAD_VERSION),
        ("/o", 0, 0),
        ("/o", 0, BAD_VERSION),
        ("/o", 1, 0),
        ("/o", -1, 0),
        ("/", -1, 0),
        ("/zookeeper/config", -1, NO_AUTH),
    ] {
        assert_eq!(desk.code(Request::SetData(set_data(path, version))), expected, "{path:?} {version}");
    }
}

#[test]
fn a_set_acl_is_refused_in_the_order_of_javas_checks() {
    let mut desk = Desk::furnished();
    for (path, acl, version, expected) in [
        ("/absent/", vec![], -1, BAD_ARGUMENTS),
        ("/absent", vec![], -1, INVALID_ACL),
        ("/absent", open(), 9, NO_NODE),
        ("/locked", open(), 9, NO_AUTH),
        ("/o", open(), 9, BAD_VERSION),
        ("/o", vec![Acl::world(15)], 0, 0),
        ("/o", open(), 1, NO_AUTH),
    ] {
        assert_eq!(desk.code(set_acl(path, acl, version)), expected, "{path:?} {version}");
    }
}

#[test]
fn a_check_is_refused_in_the_order_of_javas_checks() {
    let mut desk = Desk::furnished();
    for (path, version, expected) in [
        ("/absent/", 0, BAD_ARGUMENTS),
        ("/absent", 5, NO_NODE),
        ("/locked", 5, NO_AUTH),
        ("/o", 1, BAD_VERSION),
    ] {
        let txn = desk.ask(Request::Multi(vec![check(path, version)]));
        assert_eq!(txn.body, TxnBody::Multi(vec![TxnBody::Error { err: expected }]), "{path:?} {version}");
    }
}

#[test]
fn a_pending_acl_of_the_root_binds_creates_below_it() {
    let mut desk = Desk::new();
    let closed = desk.prepare(set_acl("/", vec![Acl::world(17)], -1));
    let refused = desk.prepare(Request::Create(create("/a", 0)));
    assert_eq!(refused.body, TxnBody::Error { err: NO_AUTH });
    let opened = desk.prepare(set_acl("/", open(), 1));
    let created = desk.prepare(Request::Create(create("/a", 0)));
    for txn in [&closed, &refused, &opened, &created] {
        desk.apply(txn);
    }
    assert!(desk.tree.node("/a").is_some());
}

#[test]
fn sequential_names_count_creates_prepared_and_not_yet_applied() {
    let mut desk = Desk::furnished();
    let path_of = |txn: &Txn| match &txn.body {
        TxnBody::Create(create) => create.path.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    let first = desk.prepare(Request::Create(create("/o/s-", 2)));
    let plain = desk.prepare(Request::Create(create("/o/plain", 0)));
    let gone = desk.prepare(Request::Delete(delete("/o/plain", -1)));
    let refused = desk.prepare(Request::Create(create("/o/s-0000000000", 0)));
    let bare = desk.prepare(Request::Create2(create("/o/", 3)));
    assert_eq!(path_of(&first), "/o/s-0000000000");
    assert_eq!(refused.body, TxnBody::Error { err: NODE_EXISTS });
    assert_eq!(path_of(&bare), "/o/0000000002");
    for txn in [&first, &plain, &gone, &refused, &bare] {
        desk.apply(txn);
    }
    assert_eq!(path_of(&desk.ask(Request::Create(create("/o/s-", 2)))), "/o/s-0000000003");
}

#[test]
fn the_opcode_decides_what_a_single_create_makes() {
    let mut desk = Desk::new();
    let owner = |desk: &Desk, path: &str| desk.tree.node(path).unwrap().persisted().ephemeral_owner;
    let kind = |txn: Txn| match txn.body {
        TxnBody::Create(create) => (create.kind, create.ephemeral),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(desk.ask(Request::Create(create("/plain", 4)))), (CreateKind::Create, false));
    assert_eq!(owner(&desk, "/plain"), 0);
    assert_eq!(kind(desk.ask(Request::CreateContainer(create("/c", 1)))), (CreateKind::Container, false));
    assert_eq!(owner(&desk, "/c"), i64::MIN);
    assert_eq!(kind(desk.ask(Request::CreateContainer(create("/c", 2)))), (CreateKind::Container, false));
    assert!(desk.tree.node("/c0000000002").is_some());
    assert_eq!(kind(desk.ask(Request::Create2(create("/e", 1)))), (CreateKind::Create2, true));
    assert_eq!(owner(&desk, "/e"), 0x0100_0000_0000_0009);
}

#[test]
fn the_flags_decide_what_a_create_in_a_multi_makes() {
    let mut desk = Desk::new();
    let CreateRequest { path, data, acl, .. } = create("/f", 0);
    let txn = desk.ask(Request::Multi(vec![
        MultiOp::Create2(create("/a", 0)),
        MultiOp::Create(create("/b", 4)),
        MultiOp::CreateContainer(create("/c", 0)),
        MultiOp::CreateContainer(create("/d", 1)),
        MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags: 0, ttl_ms: 5 }),
    ]));
    let TxnBody::Multi(entries) = &txn.body else { panic!("{txn:?}") };
    let made: Vec<_> = entries
        .iter()
        .map(|entry| match entry {
            TxnBody::Create(create) => (create.path.as_str(), create.kind, create.ephemeral),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        made,
        [
            ("/a", CreateKind::Create2, false),
            ("/b", CreateKind::Container, false),
            ("/c", CreateKind::Container, false),
            ("/d", CreateKind::Container, false),
            ("/f", CreateKind::Create, false),
        ]
    );
}

#[test]
fn a_multi_that_java_cannot_read_is_one_marshalling_error() {
    let mut desk = Desk::furnished();
    let read = GetDataRequest { path: "/o".into(), watch: false };
    for op in [
        MultiOp::Create(create("/x", 5)),
        MultiOp::Create2(create("/x", 6)),
        MultiOp::CreateContainer(create("/x", 7)),
        MultiOp::Create(create("/x", -1)),
        MultiOp::GetData(read),
    ] {
        let request = Request::Multi(vec![MultiOp::Delete(delete("/o", -1)), op.clone()]);
        assert_eq!(desk.code(request), MARSHALLING, "{op:?}");
    }
    assert!(desk.tree.node("/o").is_some());
}

#[test]
fn a_failed_multi_keeps_what_came_before_the_failure_and_changes_nothing() {
    let mut desk = Desk::furnished();
    let digest = desk.tree.digest();
    let txn = desk.prepare(Request::Multi(vec![
        check("/o", 0),
        MultiOp::Create(create("/o/a", 1)),
        MultiOp::Delete(delete("/o", -1)),
        MultiOp::SetData(set_data("/o", -1)),
        check("/absent", 0),
    ]));
    let TxnBody::Multi(entries) = &txn.body else { panic!("{txn:?}") };
    assert!(matches!(&entries[0], TxnBody::Check { version: 1, .. }), "a check says the version after");
    assert!(matches!(&entries[1], TxnBody::Create(create) if create.path == *"/o/a"));
    assert_eq!(entries[2], TxnBody::Error { err: NOT_EMPTY });
    assert_eq!(entries[3..], [TxnBody::Error { err: -2 }, TxnBody::Error { err: -2 }]);
    assert_eq!(txn.digest.map(|d| d.digest as u64), Some(digest));

    // What was rolled back is not seen by who comes next, applied or not.
    let again = desk.prepare(Request::Create(create("/o/a", 0)));
    assert!(matches!(again.body, TxnBody::Create(_)));
    let gone = desk.prepare(Request::Delete(delete("/o/a", 0)));
    assert!(matches!(gone.body, TxnBody::Delete { .. }));
    for txn in [&txn, &again, &gone] {
        desk.apply(txn);
    }
    assert_eq!(desk.tree.node("/o").unwrap().persisted().version, 0);
}

#[test]
fn operations_of_a_multi_see_those_before_them() {
    let mut desk = Desk::new();
    let txn = desk.ask(Request::Multi(vec![
        MultiOp::Create(create("/m", 0)),
        MultiOp::Create(create("/m/s", 2)),
        MultiOp::Create(create("/m/s", 2)),
        MultiOp::SetData(set_data("/m", 0)),
        check("/m", 1),
        MultiOp::Delete(delete("/m/s0000000000", 0)),
    ]));
    let TxnBody::Multi(entries) = &txn.body else { panic!("{txn:?}") };
    assert!(entries.iter().all(|entry| !matches!(entry, TxnBody::Error { .. })), "{entries:?}");
    let children: Vec<_> = desk.tree.node("/m").unwrap().child_names().collect();
    assert_eq!(children, ["s0000000001"]);
    assert_eq!(desk.ask(Request::Multi(vec![])).body, TxnBody::Multi(vec![]));
}

#[test]
fn a_closing_session_takes_what_it_is_about_to_own() {
    let mut desk = Desk::furnished();
    let made = desk.prepare(Request::Create(create("/o/e", 1)));
    let gone = desk.prepare(Request::Delete(delete("/e", -1)));
    let failed =
        desk.prepare(Request::Multi(vec![MultiOp::Create(create("/o/never", 1)), check("/absent", 0)]));
    let at = Proposal {
        tree: &desk.tree,
        zxid: Zxid(desk.next),
        time: WallMs(1),
        session: SessionId(0x0100_0000_0000_0009),
        cxid: 8,
        auth: &desk.auth,
        no_ephemerals: None,
    };
    desk.next += 1;
    let close = desk.prep.close_session(&at);
    assert_eq!(close.body, TxnBody::CloseSession { paths: Some(vec![Text::from("/o/e")]) });
    // The parent's child is gone for all who come behind.
    let parent = desk.prepare(Request::Delete(delete("/o", -1)));
    assert!(matches!(parent.body, TxnBody::Delete { .. }));
    for txn in [&made, &gone, &failed, &close, &parent] {
        desk.apply(txn);
    }
    assert!(desk.tree.ephemerals(SessionId(0x0100_0000_0000_0009)).is_empty());
}

#[test]
fn what_is_no_write_is_refused_with_its_zxid() {
    let mut desk = Desk::new();
    assert_eq!(desk.code(Request::WhoAmI), UNIMPLEMENTED);
    let reconfig = ReconfigRequest { joining: None, leaving: None, new_members: None, config: -1 };
    assert_eq!(desk.code(Request::Reconfig(reconfig)), -123);
    assert_eq!(desk.tree.last_zxid(), Zxid(2));
}

#[test]
fn the_first_session_of_a_new_tree_shows_its_digest() {
    let tree = Tree::new();
    let mut prep = Prep::new(&tree, PrepSettings { digest: true, skip_acl: false, enforce_quota: false });
    let auth = AuthInfo::default();
    let session = SessionId(1);
    let at = Proposal {
        tree: &tree,
        zxid: Zxid(1),
        time: WallMs(0),
        session,
        cxid: 0,
        auth: &auth,
        no_ephemerals: None,
    };
    let digest = prep.create_session(&at, 4000).digest.unwrap();
    // Disk format §10: what a real server logs.
    assert_eq!((digest.version, digest.digest), (2, 0x51c6_d660));
    let mut silent = Prep::new(&tree, PrepSettings { digest: false, skip_acl: false, enforce_quota: false });
    assert_eq!(silent.create_session(&at, 4000).digest, None);
}
