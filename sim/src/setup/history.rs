//! Logs that servers begin with: `[cluster.node.N] start = { epoch = 1, zxid = 0x1000000a0 }`.
//!
//! Their txns are made of nothing but their places in one tree of histories, so that equal zxids are equal txns. A history of epoch `e` has of every earlier
//! epoch what is common to all servers that begin in that one: up to the shortest of their logs, or up to where one of them
//! branches off.

use std::collections::BTreeMap;

use bytes::Bytes;
use zk_core::action::{DiskCommand, LogRecord};
use zk_core::disk::epochs::{EpochKind, Epochs};
use zk_core::disk::planner::LogPlanner;
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::disk::{DiskConfig, FileOp};
use zk_core::ids::{SessionId, Zxid};
use zk_core::input::Token;
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Changes, Tree};
use zk_core::wire::records::Acl;
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};

use crate::node::Node;
use crate::scenario::{Scenario, StartSpec};
use crate::world::World;

/// The longest log that a server may begin with.
const RECORDS_MAX: u32 = 100_000;

/// Writes the logs of all nodes that begin with one.
pub(super) fn lay_down(scenario: &Scenario, world: &mut World) -> Result<(), String> {
    let (cluster, places) = (&scenario.cluster, &scenario.places);
    let wrong = |id: u32, what: &str| Err(places.fail(&format!("cluster.node.{id}.start"), what));
    let starts: BTreeMap<u32, StartSpec> =
        cluster.node.iter().filter_map(|(id, spec)| Some((id.parse().ok()?, spec.start?))).collect();
    let mut common: BTreeMap<u32, u32> = BTreeMap::new();
    for (id, start) in &starts {
        if let Some(what) = wrong_with(*start) {
            return wrong(*id, what);
        }
        let zxid = Zxid(start.zxid);
        let counter = Zxid(start.branch.unwrap_or(start.zxid)).counter();
        let shortest = common.entry(zxid.epoch()).or_insert(counter);
        *shortest = counter.min(*shortest);
    }
    for (id, start) in starts {
        let last = Zxid(start.zxid);
        let earlier = common.range(..last.epoch()).map(|(epoch, counter)| (*epoch, *counter));
        let epochs = earlier.chain([(last.epoch(), last.counter())]);
        let zxids = epochs.flat_map(|(epoch, last)| (1..=last).map(move |counter| Zxid::new(epoch, counter)));
        let records: Vec<LogRecord> = zxids
            .filter(|zxid| zxid.epoch() > 0)
            .enumerate()
            .map(|(i, zxid)| record(i as i32 + 1, zxid))
            .collect();
        for record in &records {
            world.commits.give(record.zxid);
        }
        let epochs = Epochs { accepted: start.epoch, current: start.epoch };
        let snapshot = start.snapshot.map(Zxid);
        if snapshot.is_some_and(|at| records.iter().all(|record| record.zxid != at)) {
            return wrong(id, "snapshot: expected the zxid of a txn of its log");
        }
        write(&mut world.nodes[id as usize - 1], &records, snapshot, epochs);
        let Some(ensemble) = &mut world.ensemble else {
            return wrong(id, "only members of an ensemble begin with a log");
        };
        ensemble.found(id, Zxid::ZERO, &records, epochs).map_err(|violation| violation.to_string())?;
    }
    Ok(())
}

fn wrong_with(start: StartSpec) -> Option<&'static str> {
    let zxid = Zxid(start.zxid);
    if zxid.0 <= 0 || zxid.epoch() == 0 || zxid.counter() == 0 || zxid.counter() > RECORDS_MAX {
        return Some("zxid: expected an epoch and a counter, such as 0x1000000a0, of at most 100,000 txns");
    }
    if zxid.epoch() > start.epoch {
        return Some("the log cannot be of a later epoch than currentEpoch");
    }
    let branches = |branch| Zxid(branch).epoch() == zxid.epoch() && branch <= zxid.0;
    if start.branch.is_some_and(|branch| !branches(branch)) {
        return Some("branch: expected a zxid of the same epoch that is not beyond the last one");
    }
    None
}

/// The `nth` txn of a history: a znode under the root, which changes its cversion.
fn record(nth: i32, zxid: Zxid) -> LogRecord {
    let body = TxnBody::Create(CreateTxn {
        kind: CreateKind::Create,
        path: Text::from(format!("/before-{:x}-{:x}", zxid.epoch(), zxid.counter())),
        data: Some(Bytes::from_static(b"before")),
        acl: vec![Acl::world(31)],
        ephemeral: false,
        parent_cversion: nth,
    });
    let header = TxnHeader { session: SessionId(1), cxid: 0, zxid, time: WallMs(0), kind: body.kind() };
    LogRecord { zxid, bytes: Txn { header, body, digest: None }.to_bytes() }
}

/// The files that a server would have written itself.
fn write(node: &mut Node, records: &[LogRecord], snapshot: Option<Zxid>, epochs: Epochs) {
    let config = node.settings.disk;
    let mut ops: Vec<FileOp> = Vec::new();
    let mut tree = Tree::new();
    plan_snapshot(&tree, config, &mut ops);
    let mut planner = LogPlanner::new(config);
    let token = Token::default();
    for (which, epoch) in [(EpochKind::Accepted, epochs.accepted), (EpochKind::Current, epochs.current)] {
        planner.plan(&DiskCommand::SetEpoch { token, which, epoch }, &mut ops);
    }
    planner.plan(&DiskCommand::Append { token, records: records.to_vec() }, &mut ops);
    planner.commit(&mut ops);
    if let Some(snapshot) = snapshot {
        let mut changes = Changes::new();
        for record in records.iter().filter(|record| record.zxid <= snapshot) {
            let txn = Txn::decode(record.bytes.clone()).expect("it was encoded here");
            tree.apply(&txn, ApplyMode::Replay, &mut changes);
        }
        plan_snapshot(&tree, config, &mut ops);
    }
    for op in &ops {
        node.disk.run(op).expect("a disk without faults");
    }
}

fn plan_snapshot(tree: &Tree, config: DiskConfig, ops: &mut Vec<FileOp>) {
    let mut writer = SnapshotWriter::new(tree.view(), config);
    while !writer.next(1 << 20, ops) {}
}
