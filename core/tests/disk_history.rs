//! Commands that replace history, the state as of an earlier zxid, and parts of the log: over files, with power cuts at every
//! point.

mod memory;

use bytes::Bytes;
use memory::{Memory, log, snap};
use proptest::prelude::*;
use zk_core::action::{DiskCommand, LogRecord};
use zk_core::disk::epochs::{EpochKind, Epochs};
use zk_core::disk::history;
use zk_core::disk::layout::snapshot;
use zk_core::disk::planner::LogPlanner;
use zk_core::disk::purge;
use zk_core::disk::recovery::{recover, recover_to};
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::disk::{DiskConfig, FileOp, Vfs};
use zk_core::error::DiskFault;
use zk_core::ids::{SessionId, Zxid};
use zk_core::input::{LogPart, Token};
use zk_core::replica::LogShare;
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Tree};
use zk_core::wire::records::Acl;
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};

const CONFIG: DiskConfig = DiskConfig { prealloc: 4 << 10, ..memory::CONFIG };

/// A server's disk, and the tree of what was logged.
#[derive(Clone)]
struct Scene {
    memory: Memory,
    planner: LogPlanner,
    tree: Tree,
}

fn create(tree: &mut Tree, zxid: Zxid, branch: &str) -> LogRecord {
    let body = TxnBody::Create(CreateTxn {
        kind: CreateKind::Create,
        path: Text::from(format!("/{branch}{:x}", zxid.0)),
        data: Some(Bytes::from(vec![7; 200])),
        acl: vec![Acl::world(31)],
        ephemeral: false,
        parent_cversion: -1,
    });
    let header = TxnHeader { session: SessionId(7), cxid: 1, zxid, time: WallMs(5), kind: body.kind() };
    let txn = Txn { header, body, digest: None };
    tree.apply(&txn, ApplyMode::Live, &mut Vec::new());
    LogRecord { zxid, bytes: txn.to_bytes() }
}

impl Scene {
    /// A new database.
    fn new() -> Self {
        let mut scene =
            Self { memory: Memory::default(), planner: LogPlanner::new(CONFIG), tree: Tree::new() };
        let ops =
            scene.plan(&DiskCommand::SetEpoch { token: Token(0), which: EpochKind::Accepted, epoch: 9 });
        scene.memory.run(&ops);
        let ops = scene.plan(&DiskCommand::SetEpoch { token: Token(0), which: EpochKind::Current, epoch: 0 });
        scene.memory.run(&ops);
        scene.snapshot();
        scene
    }

    fn snapshot(&mut self) {
        let mut ops = Vec::new();
        let mut writer = SnapshotWriter::new(self.tree.view(), CONFIG);
        while !writer.next(700, &mut ops) {}
        self.memory.run(&ops);
    }

    fn append(&mut self, branch: &str, zxids: impl IntoIterator<Item = Zxid>) {
        let tree = &mut self.tree;
        let records = zxids.into_iter().map(|zxid| create(tree, zxid, branch)).collect();
        let ops = self.plan(&DiskCommand::Append { token: Token(0), records });
        self.memory.run(&ops);
    }

    fn roll(&mut self) {
        let ops = self.plan(&DiskCommand::Roll);
        self.memory.run(&ops);
    }

    /// All operations of a command, as a driver would carry them out: a rewrite's pieces are planned over what came before.
    fn plan(&mut self, command: &DiskCommand) -> Vec<FileOp> {
        let mut ops = Vec::new();
        let rewrite = self.planner.plan(command, &mut ops);
        self.planner.commit(&mut ops);
        let mut disk = self.memory.clone();
        disk.run(&ops);
        if let Some(mut rewrite) = rewrite {
            loop {
                let mut piece = Vec::new();
                let done = rewrite.next(&mut disk, 500, &mut piece).unwrap();
                disk.run(&piece);
                ops.extend(piece);
                if done {
                    break;
                }
            }
        }
        ops
    }

    /// Starts again: repairs, and a planner that has written nothing.
    fn restart(&mut self) -> Tree {
        let recovered = recover(&mut self.memory, &CONFIG).unwrap();
        self.memory.run(&recovered.repairs);
        self.planner = LogPlanner::new(CONFIG);
        recovered.tree
    }
}

fn zxids(epoch: u32, counters: std::ops::RangeInclusive<u32>) -> impl Iterator<Item = Zxid> {
    counters.map(move |counter| Zxid::new(epoch, counter))
}

fn equal(a: &Tree, b: &Tree) -> bool {
    (a.last_zxid(), a.digest(), a.node_count()) == (b.last_zxid(), b.digest(), b.node_count())
}

#[test]
fn epochs_are_written_behind_what_was_appended_and_read_back() {
    let mut scene = Scene::new();
    scene.append("a", zxids(1, 1..=2));
    let ops = scene.plan(&DiskCommand::SetEpoch { token: Token(1), which: EpochKind::Current, epoch: 1 });
    scene.memory.run(&ops);
    let recovered = recover(&mut scene.memory, &CONFIG).unwrap();
    assert_eq!(recovered.epochs, Some(Epochs { accepted: 9, current: 1 }));
}

#[test]
fn the_state_as_of_an_earlier_zxid_is_that_of_then() {
    let mut scene = Scene::new();
    let mut states = vec![scene.tree.clone()];
    for counter in 1..=12 {
        scene.append("a", [Zxid::new(1, counter)]);
        states.push(scene.tree.clone());
        if counter % 4 == 0 {
            scene.snapshot();
            scene.roll();
        }
    }
    let names = format!("{:?}", scene.memory.names());
    for (counter, state) in states.iter().enumerate() {
        let to = if counter == 0 { Zxid::ZERO } else { Zxid::new(1, counter as u32) };
        let recovered = recover_to(&mut scene.memory, &CONFIG, to).unwrap();
        assert!(equal(&recovered.tree, state), "{to}");
        assert_eq!((recovered.last_zxid, recovered.repairs), (state.last_zxid(), vec![]));
        let last = recovered.recent.last().map(|txn| txn.header.zxid);
        assert!(last.is_none_or(|last| last == to), "{to}: {last:?}");
    }
    assert_eq!(format!("{:?}", scene.memory.names()), names);
    // What lies between two txns is as of the first.
    let between = recover_to(&mut scene.memory, &CONFIG, Zxid::new(2, 5)).unwrap();
    assert_eq!(between.last_zxid, Zxid::new(1, 12));
}

#[test]
fn without_a_snapshot_so_old_there_is_no_going_back() {
    let mut scene = Scene::new();
    scene.append("a", zxids(1, 1..=3));
    scene.snapshot();
    let first = FileOp::Unlink(snap("snapshot.0"));
    scene.memory.op(&first);
    let fault = recover_to(&mut scene.memory, &CONFIG, Zxid::new(1, 2)).unwrap_err();
    assert!(matches!(fault, DiskFault::Missing { .. }), "{fault}");
}

#[test]
fn a_snapshot_that_may_hold_what_is_to_be_cut_off_is_not_begun_with() {
    // Fuzzy, as Java writes them: its name is behind what its sections say.
    let mut scene = Scene::new();
    scene.append("a", zxids(1, 1..=3));
    scene.snapshot();
    let bytes = scene.memory.bytes(&snap("snapshot.100000003")).clone();
    scene.memory.op(&FileOp::Unlink(snap("snapshot.100000003")));
    scene.memory.op(&FileOp::Create(snap("snapshot.100000002")));
    *scene.memory.bytes(&snap("snapshot.100000002")) = bytes;
    let recovered = recover_to(&mut scene.memory, &CONFIG, Zxid::new(1, 2)).unwrap();
    assert_eq!(recovered.tree.node("/a100000003").map(|n| n.stat()), None);
    scene.memory.op(&FileOp::Unlink(snap("snapshot.0")));
    recover_to(&mut scene.memory, &CONFIG, Zxid::new(1, 2)).unwrap_err();
    assert_eq!(recover_to(&mut scene.memory, &CONFIG, Zxid::new(1, 3)).unwrap().last_zxid, Zxid::new(1, 3));
}

#[test]
fn writing_goes_on_behind_a_truncation() {
    let mut scene = Scene::new();
    scene.append("a", zxids(1, 1..=3));
    scene.roll();
    scene.append("a", zxids(1, 4..=5));
    let mut kept = recover_to(&mut scene.memory, &CONFIG, Zxid::new(1, 2)).unwrap().tree;
    let ops = scene.plan(&DiskCommand::Truncate { token: Token(1), to: Zxid::new(1, 2) });
    scene.memory.run(&ops);
    scene.tree = kept.clone();
    scene.append("b", zxids(2, 1..=2));
    zxids(2, 1..=2).for_each(|zxid| drop(create(&mut kept, zxid, "b")));
    let found = scene.restart();
    assert!(equal(&found, &kept), "{found:?}, not {kept:?}");
    assert!(found.node("/a100000003").is_none() && found.node("/b200000002").is_some());
}

#[test]
fn a_lost_branch_never_comes_back_behind_an_installed_state() {
    // B5: SNAP(5_1) over a log that has 5_3.
    let mut scene = Scene::new();
    scene.append("lost", zxids(5, 1..=3));
    scene.snapshot();
    let mut theirs = Tree::new();
    create(&mut theirs, Zxid::new(5, 1), "theirs");
    let view = Box::new(theirs.view());
    let ops = scene.plan(&DiskCommand::Install { token: Token(1), view });
    scene.memory.run(&ops);
    assert_eq!(scene.memory.names().len(), 3, "{:?}", scene.memory.names());
    scene.tree = theirs.clone();
    scene.append("theirs", zxids(5, 2..=2));
    create(&mut theirs, Zxid::new(5, 2), "theirs");
    let found = scene.restart();
    assert!(equal(&found, &theirs), "{found:?}, not {theirs:?}");
}

#[test]
fn parts_of_the_log_reach_from_before_the_learner_to_the_window() {
    let mut scene = Scene::new();
    scene.append("a", zxids(1, 1..=3));
    scene.roll();
    scene.append("a", zxids(2, 1..=3));
    scene.roll();
    scene.append("a", zxids(2, 4..=6));
    let mut part = |from, to, limit| history::read(&mut scene.memory, &CONFIG, from, to, limit).unwrap();
    let span = |part: LogPart| match part {
        LogPart::Records(records) => {
            assert!(records.is_sorted_by(|a, b| b.zxid.may_follow(a.zxid)));
            Some((records[0].zxid, records[records.len() - 1].zxid, records.len()))
        }
        LogPart::Unfit => None,
    };
    let z = Zxid::new;
    assert_eq!(span(part(z(1, 2), z(2, 5), LogShare::Any)), Some((z(1, 2), z(2, 5), 7)));
    assert_eq!(span(part(z(1, 9), z(2, 2), LogShare::Any)), Some((z(1, 3), z(2, 2), 3)));
    assert_eq!(span(part(z(2, 3), z(2, 4), LogShare::Any)), Some((z(2, 3), z(2, 4), 2)));
    assert_eq!(span(part(z(1, 0), z(2, 4), LogShare::Any)), None, "it does not reach back so far");
    assert_eq!(span(part(z(1, 1), z(2, 7), LogShare::Any)), None, "nor so far forward");
    assert_eq!(span(part(z(1, 1), z(2, 4), LogShare::Never)), None);
    // Three files of 4 KiB and a header each; the snapshot has next to nothing in it.
    assert_eq!(span(part(z(1, 1), z(2, 4), LogShare::OfSnapshot { permille: 330 })), None);
    assert!(span(part(z(1, 1), z(2, 4), LogShare::OfSnapshot { permille: 1_000_000 })).is_some());
}

/// A snapshot of what the log does not lead up to, as a power cut leaves it right after a leader's snapshot has been installed, or
/// when a follower's own was faster than its log.
fn with_a_snapshot_beyond_the_log() -> Scene {
    let mut scene = Scene::new();
    scene.append("a", zxids(1, 1..=3));
    for zxid in zxids(2, 1..=2) {
        create(&mut scene.tree, zxid, "a");
    }
    scene.snapshot();
    scene
}

#[test]
fn a_log_that_does_not_lead_up_to_the_snapshot_is_not_gone_on_with() {
    let mut scene = with_a_snapshot_beyond_the_log();
    let tree = scene.restart();
    assert!(equal(&tree, &scene.tree));
    scene.append("a", zxids(2, 3..=4));
    let z = Zxid::new;
    let part = history::read(&mut scene.memory, &CONFIG, z(1, 2), z(2, 4), LogShare::Any).unwrap();
    assert_eq!(part, LogPart::Unfit, "a learner would miss what only the snapshot has");
    assert!(equal(&scene.restart(), &scene.tree));
    // The snapshot rots: there is nothing to fall back to, and nobody is told a history with a hole in it.
    scene.memory.bytes(&snap("snapshot.200000002"))[100] ^= 1;
    assert!(matches!(recover(&mut scene.memory, &CONFIG), Err(DiskFault::Missing { .. })));
}

#[test]
fn a_log_that_leads_up_to_the_snapshot_stays_with_all_before_it() {
    let mut scene = Scene::new();
    scene.append("a", zxids(1, 1..=3));
    scene.snapshot();
    scene.roll();
    scene.append("a", zxids(1, 4..=4));
    let before = scene.memory.clone();
    scene.restart();
    assert_eq!(before.names(), scene.memory.names());
}

/// Whatever the newest snapshots are worth: older ones and the log yield what was logged, or nothing. And no learner is told
/// a part of the log that leaves out anything.
fn assert_no_hole(scene: &Scene, history: &[Zxid]) -> Result<(), TestCaseError> {
    let z = scene.tree.last_zxid();
    for (i, from) in history.iter().enumerate() {
        let mut memory = scene.memory.clone();
        if let Ok(LogPart::Records(records)) = history::read(&mut memory, &CONFIG, *from, z, LogShare::Any) {
            let told: Vec<_> = records.iter().map(|record| record.zxid).filter(|zxid| zxid > from).collect();
            prop_assert_eq!(&told, &history[i + 1..], "behind {}", from);
        }
    }
    let mut memory = scene.memory.clone();
    let mut snapshots: Vec<_> = scene.memory.clone().list(snap("x").dir).unwrap();
    snapshots.retain(|(name, _)| snapshot(name).is_some());
    snapshots.sort_unstable_by_key(|(name, _)| snapshot(name).map(|named| named.zxid));
    while let Some((newest, _)) = snapshots.pop() {
        match recover(&mut memory, &CONFIG) {
            Ok(found) => prop_assert!(equal(&found.tree, &scene.tree), "{:?}", memory.names()),
            Err(DiskFault::Missing { .. } | DiskFault::Gap { .. }) => return Ok(()),
            Err(other) => return Err(TestCaseError::fail(format!("{other}"))),
        }
        memory.remove(&snap(&newest));
    }
    Ok(())
}

/// True and false as a seed has it.
fn coins(seed: u64) -> impl FnMut() -> bool {
    let mut bits = seed;
    move || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bits >> 63 == 1
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A purge, or the cleaning up behind a leader's snapshot that a learner has just installed, and the power fails.
    #[test]
    fn a_power_cut_among_removals_leaves_no_hole(
        parts in prop::collection::vec((0u32..2, 1u32..4, any::<bool>()), 4..8),
        installs in any::<bool>(),
        crash_at in 0usize..40,
        seed in any::<u64>(),
    ) {
        let mut scene = Scene::new();
        let mut history: Vec<Zxid> = Vec::new();
        let mut last = Zxid::new(1, 0);
        for (epochs, txns, snapshots) in parts {
            let first = if epochs > 0 { 1 } else { last.counter() + 1 };
            last = Zxid::new(last.epoch() + epochs, first + txns - 1);
            history.extend(zxids(last.epoch(), first..=last.counter()));
            scene.append("a", zxids(last.epoch(), first..=last.counter()));
            if snapshots {
                scene.snapshot();
            }
            scene.roll();
        }
        let ops = if installs {
            let view = Box::new(scene.tree.view());
            scene.plan(&DiskCommand::Install { token: Token(1), view })
        } else {
            purge::plan(&mut scene.memory.clone(), 3).unwrap()
        };
        ops.iter().take(crash_at).for_each(|op| scene.memory.op(op));
        scene.memory.lose_power(coins(seed));
        assert_no_hole(&scene, &history)?;
        let whole = scene.tree.clone();
        prop_assert!(equal(&scene.restart(), &whole));
        scene.append("a", zxids(last.epoch() + 1, 1..=2));
        history.extend(zxids(last.epoch() + 1, 1..=2));
        assert_no_hole(&scene, &history)?;
    }

    /// Whatever survives of a rewrite that a power cut ends: our own history, without a tail at the most, or what was to come.
    #[test]
    fn a_power_cut_in_a_rewrite_leaves_the_old_history_or_the_new_one(
        before in 1u32..8,
        after in 0u32..5,
        to in 0u32..10,
        snapshots in (any::<bool>(), any::<bool>()),
        installs in any::<bool>(),
        crash_at in 0usize..60,
        seed in any::<u64>(),
    ) {
        let mut scene = Scene::new();
        scene.append("a", zxids(1, 1..=before));
        if snapshots.0 {
            scene.snapshot();
            scene.roll();
        }
        if after > 0 {
            scene.append("a", zxids(2, 1..=after));
        }
        if snapshots.1 {
            scene.snapshot();
        }
        let old = scene.tree.clone();
        let to = if to == 0 { Zxid::ZERO } else { Zxid::new(1, to.min(before)) };
        let mut new = recover_to(&mut scene.memory, &CONFIG, to).unwrap().tree;
        let command = if installs {
            new = Tree::new();
            create(&mut new, Zxid::new(1, before), "theirs");
            DiskCommand::Install { token: Token(1), view: Box::new(new.view()) }
        } else {
            DiskCommand::Truncate { token: Token(1), to }
        };
        let end = new.last_zxid();
        let ops = scene.plan(&command);
        let done = crash_at >= ops.len();
        ops.iter().take(crash_at).for_each(|op| scene.memory.op(op));
        scene.memory.lose_power(coins(seed));
        let found = scene.restart();
        if equal(&found, &new) {
            return Ok(());
        }
        prop_assert!(!done, "what is durable is not there: {found:?}, not {new:?}");
        // Not the new one: then it is a prefix of the old one that reaches at least to where it was to be cut.
        prop_assert!(found.node("/theirs100000001").is_none());
        prop_assert!(found.last_zxid() <= old.last_zxid());
        prop_assert!(found.last_zxid() >= end.min(old.last_zxid()), "{found:?}, cut to {end}");
        let log_end = found.last_zxid();
        let same = zxids(1, 1..=before).chain(zxids(2, 1..=after)).filter(|zxid| *zxid <= log_end);
        for zxid in same {
            let path = format!("/a{:x}", zxid.0);
            prop_assert!(found.node(&path).is_some(), "{path} is missing in {found:?}");
        }
        let list = scene.memory.list(log("x").dir).unwrap();
        prop_assert!(list.len() <= 6);
    }
}
