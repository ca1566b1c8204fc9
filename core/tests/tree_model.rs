//! The tree against its reference model: random histories, views, snapshots, replay over fuzzy snapshots.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use zk_core::error::OpError;
use zk_core::ids::{SessionId, Zxid};
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::tree::model::Model;
use zk_core::tree::{ApplyMode, Tree, TreeLoader};
use zk_core::wire::records::{Acl, StatPersisted};
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};

/// A wish; the history maker below turns it into what a prep would make of it.
#[derive(Clone, Debug)]
enum Wish {
    Create { path: String, data: Option<Vec<u8>>, acl: i32, kind: u8, ephemeral: bool },
    Delete { path: String },
    SetData { path: String, data: Option<Vec<u8>> },
    SetAcl { path: String, acl: i32 },
    Check { path: String },
    OpenSession,
    CloseSession { listed: bool },
    Multi(Vec<Self>),
}

fn path() -> impl Strategy<Value = String> {
    let name = || select(vec!["a", "b", "ü"]);
    prop_oneof![
        8 => vec(name(), 1..4).prop_map(|names| format!("/{}", names.join("/"))),
        1 => name().prop_map(|n| format!("/zookeeper/{n}")),
        1 => select(vec!["/", "/zookeeper", "/zookeeper/config"]).prop_map(str::to_owned),
    ]
}

fn data() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(vec(any::<u8>(), 0..4))
}

fn simple_wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        8 => (path(), data(), 1..5i32, 0..8u8, any::<bool>())
            .prop_map(|(path, data, acl, kind, ephemeral)| Wish::Create { path, data, acl, kind, ephemeral }),
        4 => path().prop_map(|path| Wish::Delete { path }),
        3 => (path(), data()).prop_map(|(path, data)| Wish::SetData { path, data }),
        2 => (path(), 1..5i32).prop_map(|(path, acl)| Wish::SetAcl { path, acl }),
        1 => path().prop_map(|path| Wish::Check { path }),
    ]
}

fn wish() -> impl Strategy<Value = (Wish, i64)> {
    let wish = prop_oneof![
        12 => simple_wish(),
        1 => Just(Wish::OpenSession),
        1 => any::<bool>().prop_map(|listed| Wish::CloseSession { listed }),
        2 => vec(simple_wish(), 0..5).prop_map(Wish::Multi),
    ];
    (wish, 1..4i64)
}

fn header(session: i64, zxid: i64) -> TxnHeader {
    TxnHeader { session: SessionId(session), cxid: 0, zxid: Zxid(zxid), time: WallMs(1_000 + zxid), kind: 0 }
}

fn txn(header: TxnHeader, body: TxnBody) -> Txn {
    Txn { header, body, digest: None }
}

/// What a valid prep would log for the wish in this state.
fn prepare(model: &Model, header: TxnHeader, wish: &Wish) -> TxnBody {
    let error = |e: OpError| TxnBody::Error { err: e.code() };
    let reserved = |p: &str| zk_core::tree::path::RESERVED.contains(&p);
    let bytes = |d: &Option<Vec<u8>>| d.clone().map(Bytes::from);
    let session_lives = model.sessions.contains_key(&header.session);
    match wish {
        Wish::Create { path, data, acl, kind, ephemeral } => {
            let Some(parent) = model.node(path.rsplit_once('/').expect("generated with a slash").0) else {
                return error(OpError::NoNode);
            };
            if model.node(path).is_some() {
                return error(OpError::NodeExists);
            }
            if ![0, i64::MIN].contains(&parent.stat.ephemeral_owner) {
                return error(OpError::NoChildrenForEphemerals);
            }
            let kind = match kind {
                0..4 => CreateKind::Create,
                4..6 => CreateKind::Create2,
                6 => CreateKind::Container,
                _ => CreateKind::Ttl(77),
            };
            let ephemeral =
                *ephemeral && session_lives && matches!(kind, CreateKind::Create | CreateKind::Create2);
            TxnBody::Create(CreateTxn {
                kind,
                path: Text::from(path.as_str()),
                data: bytes(data),
                acl: vec![Acl::world(*acl)],
                ephemeral,
                parent_cversion: parent.stat.cversion.wrapping_add(1),
            })
        }
        Wish::Delete { path } if reserved(path) => error(OpError::BadArguments),
        Wish::Delete { path } if model.node(path).is_none() => error(OpError::NoNode),
        Wish::Delete { path } if !model.children(path).is_empty() => error(OpError::NotEmpty),
        Wish::Delete { path } => TxnBody::Delete { path: Text::from(path.as_str()) },
        Wish::SetData { path, data } => match model.node(path) {
            None => error(OpError::NoNode),
            Some(n) => TxnBody::SetData {
                path: Text::from(path.as_str()),
                data: bytes(data),
                version: n.stat.version.wrapping_add(1),
            },
        },
        Wish::SetAcl { path, acl } => match model.node(path) {
            None => error(OpError::NoNode),
            Some(n) => TxnBody::SetAcl {
                path: Text::from(path.as_str()),
                acl: vec![Acl::world(*acl), Acl::world(16)],
                version: n.stat.aversion.wrapping_add(1),
            },
        },
        Wish::Check { path } => match model.node(path) {
            None => error(OpError::NoNode),
            Some(n) => {
                TxnBody::Check { path: Text::from(path.as_str()), version: n.stat.version.wrapping_add(1) }
            }
        },
        Wish::OpenSession => TxnBody::CreateSession { timeout_ms: 4_000 },
        Wish::CloseSession { listed } => {
            let own = || model.ephemerals(header.session).into_iter().rev().map(Text::from).collect();
            TxnBody::CloseSession { paths: listed.then(own) }
        }
        Wish::Multi(wishes) => prepare_multi(model, header, wishes),
    }
}

fn prepare_multi(model: &Model, header: TxnHeader, wishes: &[Wish]) -> TxnBody {
    let mut ahead = model.clone();
    let mut failed = false;
    let entry = |wish: &Wish| {
        if failed {
            return TxnBody::Error { err: OpError::RuntimeInconsistency.code() };
        }
        let body = prepare(&ahead, header, wish);
        failed = matches!(body, TxnBody::Error { .. });
        ahead.apply(&txn(header, body.clone()));
        body
    };
    TxnBody::Multi(wishes.iter().map(entry).collect())
}

/// Txns that follow one another validly, and the model after all of them.
fn history(wishes: &[(Wish, i64)]) -> (Vec<Txn>, Model) {
    let mut model = Model::new();
    let mut txns = Vec::new();
    for (i, (wish, session)) in wishes.iter().enumerate() {
        let header = header(*session, i as i64 + 1);
        let next = txn(header, prepare(&model, header, wish));
        model.apply(&next);
        txns.push(next);
    }
    (txns, model)
}

/// Puts the list of ephemerals into every closeSession. Without it replay cannot tell a parent that a node which the
/// snapshot missed is gone, nor that the node of that name is a later one: that is why 3.6 added it.
fn with_lists(wishes: &mut [(Wish, i64)]) {
    for (wish, _) in wishes {
        if let Wish::CloseSession { listed } = wish {
            *listed = true;
        }
    }
}

fn applied(txns: &[Txn]) -> Tree {
    let mut tree = Tree::new();
    for txn in txns {
        tree.apply(txn, ApplyMode::Live, &mut Vec::new());
    }
    tree
}

/// Loads what a snapshot of `tree` would hold.
fn reloaded(tree: &Tree) -> Tree {
    let mut loader = TreeLoader::new();
    tree.sessions().for_each(|(id, timeout)| loader.session(id, timeout));
    tree.acl_table().into_iter().for_each(|(id, list)| loader.acl(id, list.to_vec()));
    let mut walk = tree.walk();
    while let Some(step) = walk.next() {
        let node = step.node;
        loader.node(step.path, node.data(), node.acl_id(), node.persisted()).expect("a walk is loadable");
    }
    loader.finish(tree.last_zxid()).expect("a walk is a whole tree")
}

fn same(model: &Model, tree: &Tree) -> Result<(), TestCaseError> {
    match model.difference(tree) {
        None => Ok(()),
        Some(difference) => Err(TestCaseError::fail(difference)),
    }
}

/// Java's way of writing a snapshot while txns go on: sessions and ACLs as of the start, then each node as it is when
/// visited, with the children it has then. `pace` says how many txns happen before each visit.
struct FuzzyWriter<'a> {
    tree: Tree,
    todo: std::slice::Iter<'a, Txn>,
    pace: std::slice::Iter<'a, usize>,
    loader: TreeLoader,
}

impl FuzzyWriter<'_> {
    fn visit(&mut self, path: &str) {
        for _ in 0..self.pace.next().copied().unwrap_or(0) {
            if let Some(txn) = self.todo.next() {
                self.tree.apply(txn, ApplyMode::Live, &mut Vec::new());
            }
        }
        let tree = self.tree.clone();
        let Some(node) = tree.node(path) else { return };
        self.loader
            .node(path, node.data(), node.acl_id(), node.persisted())
            .expect("parents are visited first");
        for name in node.child_names() {
            self.visit(&format!("{path}/{name}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_txn_leaves_tree_and_model_alike_and_views_stand_still(wishes in vec(wish(), 1..60)) {
        let (txns, _) = history(&wishes);
        let (mut tree, mut model, mut views) = (Tree::new(), Model::new(), Vec::new());
        let mut changes = Vec::new();
        for (i, txn) in txns.iter().enumerate() {
            if i % 5 == 0 {
                views.push((tree.view(), model.clone()));
            }
            prop_assert_eq!(tree.apply(txn, ApplyMode::Live, &mut changes), model.apply(txn));
            let told: Vec<_> = changes.drain(..).map(|c| (c.kind, c.path.to_string())).collect();
            prop_assert_eq!(&told, &model.told);
            same(&model, &tree)?;
        }
        for (view, then) in views {
            same(&then, &view)?;
        }
    }

    #[test]
    fn a_loaded_snapshot_is_the_tree_it_was_taken_of(wishes in vec(wish(), 1..60), cut in 0..60usize) {
        let (txns, model) = history(&wishes);
        let (before, after) = txns.split_at(cut.min(txns.len()));
        let tree = applied(before);
        let mut loaded = reloaded(&tree);
        prop_assert_eq!(loaded.acl_table(), tree.acl_table());
        prop_assert_eq!(loaded.unknown_acls(), Vec::<i64>::new());
        for txn in after {
            loaded.apply(txn, ApplyMode::Live, &mut Vec::new());
        }
        same(&model, &loaded)?;
    }

    #[test]
    fn replaying_any_suffix_again_changes_nothing(mut wishes in vec(wish(), 1..60), from in 0..60usize) {
        with_lists(&mut wishes);
        let (txns, model) = history(&wishes);
        let mut tree = applied(&txns);
        let mut changes = Vec::new();
        for txn in &txns[from.min(txns.len())..] {
            tree.apply(txn, ApplyMode::Replay, &mut changes);
        }
        same(&model, &tree)?;
        prop_assert!(changes.is_empty());
    }

    #[test]
    fn replay_over_a_fuzzy_snapshot_converges(
        mut wishes in vec(wish(), 1..80),
        start in 0..40usize,
        pace in vec(0..4usize, 0..40),
    ) {
        with_lists(&mut wishes);
        let (txns, model) = history(&wishes);
        let start = start.min(txns.len());
        let tree = applied(&txns[..start]);
        let name = tree.last_zxid();
        let mut loader = TreeLoader::new();
        tree.sessions().for_each(|(id, timeout)| loader.session(id, timeout));
        tree.acl_table().into_iter().for_each(|(id, list)| loader.acl(id, list.to_vec()));
        let mut writer = FuzzyWriter { tree, todo: txns[start..].iter(), pace: pace.iter(), loader };
        writer.visit("");
        let mut loaded = writer.loader.finish(name).expect("a fuzzy snapshot loads");
        let mut naive = Model { nodes: BTreeMap::new(), ..Model::new() };
        naive.sessions = loaded.sessions().collect();
        naive.last_zxid = name;
        let mut walk = loaded.walk();
        while let Some(step) = walk.next() {
            let (data, acl) = (step.node.data().map(<[u8]>::to_vec), step.node.acl().to_vec());
            let stat = step.node.persisted();
            naive.nodes.insert(step.path.to_owned(), zk_core::tree::model::ModelNode { data, acl, stat });
        }
        for txn in &txns[start..] {
            prop_assert_eq!(loaded.apply(txn, ApplyMode::Replay, &mut Vec::new()), naive.apply(txn));
            same(&naive, &loaded)?;
        }
        same(&model, &loaded)?;
        prop_assert_eq!(loaded.unknown_acls(), Vec::<i64>::new());
    }
}

#[test]
fn a_loader_refuses_what_does_not_hold_together_and_says_what() {
    let stat = StatPersisted::default;
    let refusal = |paths: &[&str]| {
        let mut loader = TreeLoader::new();
        let loaded = paths.iter().try_for_each(|p| loader.node(p, None, -1, stat()));
        loaded.and_then(|()| loader.finish(Zxid(1)).map(drop)).expect_err("refused")
    };
    assert_eq!(refusal(&[]), "there is no root");
    assert_eq!(refusal(&["/a"]), "node \"/a\" comes before the root");
    assert_eq!(refusal(&["", ""]), "the root is there twice");
    assert_eq!(refusal(&["", "/a", "/a"]), "node \"/a\" is there twice");
    assert_eq!(refusal(&["", "/a/b"]), "the parent of \"/a/b\" does not come before it");
    assert_eq!(refusal(&["", "//b"]), "the parent of \"//b\" does not come before it");
    assert_eq!(refusal(&["", "/a", "/a/"]), "\"/a/\" is not the path of a node");
    assert_eq!(refusal(&["", "a"]), "\"a\" is not the path of a node");
}
