//! Power cuts at every point, and damage of every kind: what recovery makes of them (disk format §7, §9).

mod memory;

use bytes::Bytes;
use memory::{CONFIG, Memory, log, snap};
use proptest::prelude::*;
use zk_core::action::{DiskCommand, LogRecord};
use zk_core::disk::planner::{LogPlanner, plan_truncate};
use zk_core::disk::recovery::{Recovered, recover};
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::disk::{Compression, Dir, DiskConfig, FileOp, Vfs, txnlog};
use zk_core::error::DiskFault;
use zk_core::event::Event;
use zk_core::ids::{SessionId, Zxid};
use zk_core::input::Token;
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Tree};
use zk_core::wire::records::Acl;
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnDigest, TxnHeader};

/// Writes like a server: one txn after the other into tree and log.
#[derive(Clone)]
struct Writer {
    config: DiskConfig,
    planner: LogPlanner,
    tree: Tree,
    nodes: u32,
    tokens: u64,
}

impl Writer {
    fn over(tree: Tree, config: DiskConfig) -> Self {
        let nodes = tree.node("/").unwrap().persisted().cversion.try_into().unwrap_or(0);
        Self { config, planner: LogPlanner::new(config), tree, nodes, tokens: 0 }
    }

    /// The next txn: a node with `size` bytes of data.
    fn txn(&mut self, size: usize) -> Txn {
        let zxid = self.tree.last_zxid().next().unwrap();
        self.nodes += 1;
        let body = TxnBody::Create(CreateTxn {
            kind: CreateKind::Create,
            path: Text::from(format!("/n{:06}", zxid.counter())),
            data: Some(Bytes::from(vec![zxid.counter() as u8 | 1; size])),
            acl: vec![Acl::world(31)],
            ephemeral: false,
            parent_cversion: self.nodes as i32,
        });
        let header = TxnHeader { session: SessionId(7), cxid: 1, zxid, time: WallMs(5), kind: body.kind() };
        let mut txn = Txn { header, body, digest: None };
        self.tree.apply(&txn, ApplyMode::Live, &mut Vec::new());
        txn.digest = Some(TxnDigest { version: 2, digest: self.tree.digest() as i64 });
        txn
    }

    fn append(&mut self, sizes: &[usize], ops: &mut Vec<FileOp>) {
        let records = sizes.iter().map(|size| {
            let txn = self.txn(*size);
            LogRecord { zxid: txn.header.zxid, bytes: txn.to_bytes() }
        });
        let records = records.collect();
        self.tokens += 1;
        self.planner.plan(&DiskCommand::Append { token: Token(self.tokens), records }, ops);
        self.planner.commit(ops);
    }

    fn snapshot(&self, ops: &mut Vec<FileOp>) {
        let mut writer = SnapshotWriter::new(self.tree.view(), self.config);
        while !writer.next(700, ops) {}
    }
}

/// A server that has just started on an empty disk, with its first snapshot durable.
fn founded(config: DiskConfig) -> (Writer, Memory) {
    let writer = Writer::over(Tree::new(), config);
    let (mut memory, mut ops) = (Memory::default(), Vec::new());
    writer.snapshot(&mut ops);
    memory.run(&ops);
    (writer, memory)
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Roll,
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sizes = proptest::collection::vec(prop_oneof![4 => 0usize..300, 1 => 400usize..5_000], 1..6);
    let step =
        prop_oneof![6 => sizes.prop_map(Step::Append), 1 => Just(Step::Roll), 1 => Just(Step::Snapshot)];
    proptest::collection::vec(step, 1..12)
}

fn recovered(memory: &mut Memory, config: &DiskConfig) -> Recovered {
    recover(memory, config).unwrap_or_else(|fault| panic!("recovery refuses: {fault}; {:?}", memory.names()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_power_cut_anywhere_loses_nothing_durable_and_invents_nothing(
        lives in proptest::collection::vec((steps(), 0usize..200, any::<u64>()), 1..4),
        prealloc in prop_oneof![Just(0u64), Just(1 << 10), Just(16 << 10)],
        compression in prop_oneof![Just(Compression::None), Just(Compression::Gzip), Just(Compression::Snappy)],
    ) {
        let config = DiskConfig { prealloc, compression, ..CONFIG };
        let (mut writer, mut memory) = founded(config);
        for (steps, crash_at, seed) in lives {
            let mut durable = writer.tree.last_zxid();
            let mut left = crash_at;
            'life: for step in &steps {
                let mut ops = Vec::new();
                match step {
                    Step::Append(sizes) => writer.append(sizes, &mut ops),
                    Step::Roll => drop(writer.planner.plan(&DiskCommand::Roll, &mut ops)),
                    Step::Snapshot => writer.snapshot(&mut ops),
                }
                for op in &ops {
                    if left == 0 {
                        break 'life;
                    }
                    left -= 1;
                    memory.op(op);
                }
                durable = writer.tree.last_zxid();
            }
            let mut draw = seed;
            memory.lose_power(|| {
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                draw >> 63 == 1
            });
            let found = recovered(&mut memory, &config);
            prop_assert!(found.last_zxid >= durable, "{} of {durable}", found.last_zxid);
            prop_assert!(found.last_zxid <= writer.tree.last_zxid());
            let differs = found.events.iter().any(|event| matches!(event, Event::DigestMismatch { .. }));
            prop_assert!(!differs, "digests agree");
            prop_assert_eq!(found.tree.node_count(), 5 + found.last_zxid.counter() as usize);
            // A crash in the middle of the repairs, and all of them: the same comes of it.
            for done in 0..=found.repairs.len() {
                let mut again = memory.clone();
                again.run(&found.repairs[..done]);
                let again = recovered(&mut again, &config);
                prop_assert_eq!((again.last_zxid, again.tree.digest()), (found.last_zxid, found.tree.digest()));
            }
            memory.run(&found.repairs);
            let changes = |op: &FileOp| matches!(op, FileOp::SetLen { .. } | FileOp::Unlink(_));
            let left = recovered(&mut memory, &config).repairs;
            prop_assert!(!left.iter().any(changes), "nothing is left to repair");
            writer = Writer::over(found.tree, config);
        }
    }

    #[test]
    fn a_truncated_log_ends_where_it_should(steps in steps(), to in 0u32..40, crash_at in 0usize..12) {
        let (mut writer, mut memory) = founded(CONFIG);
        for step in &steps {
            let mut ops = Vec::new();
            match step {
                Step::Append(sizes) => writer.append(sizes, &mut ops),
                Step::Roll => drop(writer.planner.plan(&DiskCommand::Roll, &mut ops)),
                Step::Snapshot => writer.snapshot(&mut ops),
            }
            memory.run(&ops);
        }
        let to = Zxid(i64::from(to)).min(writer.tree.last_zxid());
        let ops = plan_truncate(&mut memory, &CONFIG, to).unwrap();
        let mut cut_short = memory.clone();
        cut_short.run(&ops[..crash_at.min(ops.len())]);
        cut_short.lose_power(|| true);
        let found = recovered(&mut cut_short, &CONFIG).last_zxid;
        prop_assert!(found >= to && found <= writer.tree.last_zxid());
        memory.run(&ops);
        memory.lose_power(|| false);
        let found = recovered(&mut memory, &CONFIG);
        prop_assert_eq!(found.last_zxid, to);
        // And goes on from there, with the position of the new file.
        let mut writer = Writer::over(found.tree, CONFIG);
        let mut ops = Vec::new();
        writer.append(&[10, 20], &mut ops);
        memory.run(&ops);
        memory.lose_power(|| false);
        prop_assert_eq!(recovered(&mut memory, &CONFIG).last_zxid, writer.tree.last_zxid());
    }

    #[test]
    fn no_bytes_upset_recovery(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        at in 0usize..4_000,
        which in 0usize..3,
    ) {
        let mut memory = three_logs();
        let name = [log("log.1"), log("log.5"), snap("snapshot.4")][which].clone();
        let bytes = memory.bytes(&name);
        for (i, byte) in noise.iter().enumerate() {
            if let Some(target) = bytes.get_mut(at + i) {
                *target = *byte;
            }
        }
        if let Ok(found) = recover(&mut memory, &CONFIG) {
            // Nothing promised may be lost, whatever the noise says: the log's last file is untouched.
            prop_assert!(found.last_zxid >= Zxid(8) || which == 1, "{}", found.last_zxid);
        }
    }
}

/// Logs 1 to 4 and 5 to 8 and 9 to 10, snapshots 0, 4 and 8; everything durable.
fn three_logs() -> Memory {
    let (mut writer, mut memory) = founded(CONFIG);
    for n in [4, 4, 2] {
        let mut ops = Vec::new();
        for _ in 0..n {
            writer.append(&[200], &mut ops);
        }
        if n == 4 {
            writer.planner.plan(&DiskCommand::Roll, &mut ops);
            writer.snapshot(&mut ops);
        }
        memory.run(&ops);
    }
    memory.lose_power(|| false);
    memory
}

/// Offset of record `i` in a log of `three_logs`, and its length.
fn place(memory: &mut Memory, name: &str, i: usize) -> (usize, usize) {
    let size = memory.bytes(&log(name)).len() as u64;
    let mut reader = txnlog::LogReader::open(memory, log(name), size, CONFIG.record_max).unwrap();
    for _ in 0..i {
        reader.next_record().unwrap().unwrap();
    }
    let record = reader.next_record().unwrap().unwrap();
    (record.offset as usize, record.end() as usize - record.offset as usize)
}

fn damaged(damage: impl FnOnce(&mut Memory)) -> Result<Recovered, DiskFault> {
    let mut memory = three_logs();
    damage(&mut memory);
    recover(&mut memory, &CONFIG)
}

fn served(damage: impl FnOnce(&mut Memory)) -> i64 {
    damaged(damage).unwrap_or_else(|fault| panic!("refused: {fault}")).last_zxid.0
}

fn refused(damage: impl FnOnce(&mut Memory)) -> String {
    match damaged(damage) {
        Ok(found) => panic!("serves at {}", found.last_zxid),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn files_have_java_s_names_and_sizes() {
    let mut memory = three_logs();
    assert_eq!(memory.names(), ["snapshot.0", "snapshot.4", "snapshot.8", "log.1", "log.5", "log.9"]);
    assert_eq!(memory.list(Dir::Log).unwrap()[0], ("log.1".to_owned(), 16_400));
    assert!(memory.bytes(&log("log.1")).starts_with(b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0"));
}

#[test]
fn undamaged_it_serves_everything() {
    assert_eq!(served(|_| {}), 10);
}

#[test]
fn a_torn_tail_is_dropped_and_told() {
    let (at, len) = place(&mut three_logs(), "log.9", 1);
    assert_eq!(served(|m| m.bytes(&log("log.9")).truncate(at + len / 2)), 9);
    // From the middle of the record to the end of its sector and beyond nothing was written.
    let zeroed = |m: &mut Memory| m.bytes(&log("log.9"))[at + 30..].fill(0);
    let found = damaged(zeroed).unwrap();
    assert_eq!(found.last_zxid, Zxid(9));
    assert_eq!(found.events, [Event::TornTailDropped { file: "log.9".into(), offset: at as u64 }]);
    assert_eq!(found.repairs[0], FileOp::SetLen { file: log("log.9"), len: at as u64 });
}

#[test]
fn a_write_that_was_cut_at_any_byte_is_dropped() {
    let (at, len) = place(&mut three_logs(), "log.9", 1);
    for cut in 0..len {
        let found = damaged(|m| m.bytes(&log("log.9"))[at + cut..].fill(0))
            .unwrap_or_else(|fault| panic!("{cut}: {fault}"));
        // Without its last byte alone it is whole.
        assert_eq!(found.last_zxid, Zxid(if cut == len - 1 { 10 } else { 9 }), "{cut}");
    }
}

#[test]
fn whatever_sectors_of_a_batch_are_lost_it_is_a_torn_tail_wherever_it_begins() {
    const SECTOR: usize = 512;
    let end_of = |size: usize| {
        let (mut writer, mut memory) = founded(CONFIG);
        let mut ops = Vec::new();
        writer.append(&[size], &mut ops);
        memory.run(&ops);
        let (at, len) = place(&mut memory, "log.1", 0);
        (writer, memory, at + len)
    };
    let (_, _, plain) = end_of(0);
    for begins_at in SECTOR - 20..SECTOR + 4 {
        let (mut writer, mut memory, begin) = end_of((SECTOR + begins_at - plain % SECTOR) % SECTOR);
        assert_eq!(begin % SECTOR, begins_at % SECTOR);
        let before = memory.bytes(&log("log.1")).clone();
        let mut ops = Vec::new();
        writer.append(&[300, 700], &mut ops);
        memory.run(&ops);
        let after = memory.bytes(&log("log.1")).clone();
        let changed: Vec<usize> = (0..after.len().div_ceil(SECTOR))
            .filter(|s| after[s * SECTOR..].iter().take(SECTOR).ne(before[s * SECTOR..].iter().take(SECTOR)))
            .collect();
        for lost in 0..1_u32 << changed.len() {
            let mut cut = memory.clone();
            for (_, sector) in changed.iter().enumerate().filter(|(n, _)| lost >> n & 1 == 1) {
                let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(before.len()));
                cut.bytes(&log("log.1"))[from..to].copy_from_slice(&before[from..to]);
            }
            let found = recover(&mut cut, &CONFIG)
                .unwrap_or_else(|fault| panic!("begins at {begins_at}, lost {lost:#b}: {fault}"));
            assert!(found.last_zxid >= Zxid(1) && (lost != 0 || found.last_zxid == Zxid(3)));
        }
    }
}

#[test]
fn what_was_read_from_the_page_cache_is_durable_before_it_is_shown() {
    let (mut writer, mut memory) = founded(CONFIG);
    let mut ops = Vec::new();
    writer.append(&[10, 20], &mut ops);
    writer.append(&[30, 40], &mut ops);
    // A killed process: neither the second batch nor the directory entry has been synced.
    ops.retain(|op| !matches!(op, FileOp::SyncData(_) | FileOp::SyncDir(_)));
    memory.run(&ops);
    let found = recovered(&mut memory, &CONFIG);
    assert_eq!(found.last_zxid, Zxid(4));
    memory.run(&found.repairs);
    memory.lose_power(|| false);
    assert_eq!(recovered(&mut memory, &CONFIG).last_zxid, Zxid(4));
}

#[test]
fn a_record_without_its_last_byte_is_whole() {
    let (at, len) = place(&mut three_logs(), "log.9", 1);
    let found = damaged(|m| m.bytes(&log("log.9"))[at + len - 1] = 0).unwrap();
    assert_eq!(found.last_zxid, Zxid(10));
    let mut memory = three_logs();
    memory.run(&found.repairs);
    assert_eq!(place(&mut memory, "log.9", 1), (at, len));
}

#[test]
fn rot_is_refused_with_file_and_offset() {
    let (first, len) = place(&mut three_logs(), "log.9", 0);
    let (last, _) = place(&mut three_logs(), "log.9", 1);
    for (at, offset) in
        [(first + 40, first), (last + 40, last), (last + len - 2, last), (first, first), (first + 7, first)]
    {
        let fault = refused(|m| m.bytes(&log("log.9"))[at] ^= 0x10);
        assert!(fault.starts_with(&format!("log.9: corrupt at byte {offset}: ")), "{fault}");
    }
}

#[test]
fn rot_in_an_older_log_is_refused_only_if_a_snapshot_does_not_cover_it() {
    let (at, _) = place(&mut three_logs(), "log.5", 1);
    assert_eq!(served(|m| m.bytes(&log("log.5"))[at + 40] ^= 1), 10, "the snapshot at 8 covers it");
    let fault = refused(|m| {
        m.bytes(&log("log.5"))[at + 40] ^= 1;
        m.remove(&snap("snapshot.8"));
    });
    assert!(fault.starts_with(&format!("log.5: corrupt at byte {at}: ")), "{fault}");
}

#[test]
fn absurd_lengths_are_refused() {
    let (at, len) = place(&mut three_logs(), "log.9", 1);
    for length in [i32::MAX, -16, -1] {
        let fault = refused(|m| {
            m.bytes(&log("log.9"))[at + len + 8..at + len + 12].copy_from_slice(&length.to_be_bytes())
        });
        assert!(fault.contains(&format!("a record's length is {length}")), "{fault}");
    }
}

#[test]
fn a_newest_log_without_records_goes() {
    for bytes in [&b""[..], b"ZKLG\0\0\0\x02", b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0", &[0; 600]] {
        let found = damaged(|m| {
            m.op(&FileOp::Create(log("log.b")));
            m.bytes(&log("log.b")).extend_from_slice(bytes);
        })
        .unwrap();
        assert_eq!(found.last_zxid, Zxid(10));
        let goes = bytes.len() < 16;
        assert_eq!(found.repairs.contains(&FileOp::Unlink(log("log.b"))), goes, "{} bytes", bytes.len());
    }
}

#[test]
fn a_newest_log_without_records_stays_if_the_one_before_it_was_not_read() {
    // The snapshot at 8 covers log.5, and that log.9 was begun says so: without it the rot could hide what followed.
    let (at, _) = place(&mut three_logs(), "log.5", 1);
    for bytes in [&b""[..], b"ZKLG\0\0\0\x02", b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0\x01torn"] {
        let mut memory = three_logs();
        memory.bytes(&log("log.5"))[at + 40] ^= 1;
        *memory.bytes(&log("log.9")) = bytes.to_vec();
        let found = recover(&mut memory, &CONFIG).unwrap();
        assert_eq!(found.last_zxid, Zxid(8));
        for op in &found.repairs {
            memory.op(op);
            assert_eq!(recover(&mut memory, &CONFIG).unwrap().last_zxid, Zxid(8), "after {op:?}");
        }
        let again = recover(&mut memory, &CONFIG).unwrap();
        assert!(again.events.is_empty(), "there is nothing left to repair: {:?}", again.events);
    }
}

#[test]
fn a_wrong_magic_is_refused_and_a_wrong_version_is_not() {
    assert!(
        refused(|m| m.bytes(&log("log.9"))[0] = b'X')
            .contains("log.9: corrupt at byte 0: expected the magic ZKLG")
    );
    assert_eq!(served(|m| m.bytes(&log("log.9"))[7] = 3), 10);
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    let cut = |m: &mut Memory| {
        let bytes = m.bytes(&snap("snapshot.8"));
        bytes.truncate(bytes.len() - 20);
    };
    let flip = |m: &mut Memory| m.bytes(&snap("snapshot.8"))[100] ^= 1;
    for found in [damaged(cut).unwrap(), damaged(flip).unwrap()] {
        assert_eq!(found.last_zxid, Zxid(10));
        assert!(matches!(&found.events[..], [Event::SnapshotSkipped { file, .. }] if file == "snapshot.8"));
    }
    // Cut at a section, it is one of an older version.
    for shorter in [21, 21 + 33] {
        let found = damaged(|m| {
            let bytes = m.bytes(&snap("snapshot.8"));
            bytes.truncate(bytes.len() - shorter);
        });
        assert_eq!(found.unwrap().events, []);
    }
    assert_eq!(served(|m| m.bytes(&snap("snapshot.8")).extend_from_slice(&[0, 0, 0, 1, b'/'])), 10);
    assert_eq!(served(|m| m.rename(&snap("snapshot.8"), &snap("snapshot.8.tmp"))), 10);
}

#[test]
fn a_log_that_ends_before_a_damaged_snapshot_is_refused() {
    let both = |m: &mut Memory| {
        m.bytes(&snap("snapshot.8"))[100] ^= 1;
        let bytes = m.bytes(&log("log.5"));
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes.truncate(end - 20);
        m.remove(&log("log.9"));
    };
    let what = "snapshot.8: it cannot be read, and without it the data ends at";
    let why = refused(both);
    assert!(why.contains(what), "{why}");
}

#[test]
fn logs_without_any_snapshot_are_refused() {
    let none =
        |m: &mut Memory| ["snapshot.0", "snapshot.4", "snapshot.8"].iter().for_each(|s| m.remove(&snap(s)));
    assert!(refused(none).contains("there is no snapshot, though log.1 holds transactions"));
    let all_cut = |m: &mut Memory| {
        ["snapshot.0", "snapshot.4", "snapshot.8"].iter().for_each(|s| m.bytes(&snap(s)).truncate(30))
    };
    assert!(refused(all_cut).contains("none of the 3 snapshots in it can be read"));
    let mut memory = three_logs();
    none(&mut memory);
    assert_eq!(
        recover(&mut memory, &DiskConfig { trust_empty: true, ..CONFIG }).unwrap().last_zxid,
        Zxid(10)
    );
}

#[test]
fn missing_transactions_are_refused() {
    let hole = |m: &mut Memory| {
        m.remove(&snap("snapshot.4"));
        m.remove(&snap("snapshot.8"));
        m.remove(&log("log.5"));
    };
    assert_eq!(
        refused(hole),
        "log.9: zxid 0x9 follows 0x4 at byte 16: transactions are missing between them"
    );
    assert_eq!(
        refused(|m| {
            m.remove(&snap("snapshot.8"));
            m.remove(&log("log.5"));
        }),
        "log.9: zxid 0x9 follows 0x4 at byte 16: transactions are missing between them",
        "between snapshot and log too"
    );
    assert_eq!(served(|m| ["log.1", "log.5", "log.9"].iter().for_each(|l| m.remove(&log(l)))), 8);
}

#[test]
fn records_beyond_one_batch_behind_a_lost_sector_are_refused() {
    let (mut writer, mut memory) = founded(CONFIG);
    let mut ops = Vec::new();
    for _ in 0..20 {
        writer.append(&[1 << 20], &mut ops);
    }
    memory.run(&ops);
    memory.bytes(&log("log.1"))[1024..1536].fill(0);
    let fault = recover(&mut memory, &CONFIG).expect_err("20 MiB were not one batch").to_string();
    assert!(fault.starts_with("log.1: corrupt at byte 16: "), "{fault}");
}

#[test]
fn a_snapshot_written_while_the_tree_goes_on_is_exact() {
    let (mut writer, mut memory) = founded(CONFIG);
    let mut ops = Vec::new();
    writer.append(&[50; 40], &mut ops);
    let (at, digest) = (writer.tree.last_zxid(), writer.tree.digest());
    let mut snapshot = SnapshotWriter::new(writer.tree.view(), CONFIG);
    while !snapshot.next(100, &mut ops) {
        writer.txn(30);
    }
    assert!(writer.tree.last_zxid() > Zxid(at.0 + 20));
    memory.run(&ops);
    memory.remove(&log("log.1"));
    let found = recovered(&mut memory, &CONFIG);
    assert_eq!((found.last_zxid, found.tree.digest()), (at, digest));
}

#[test]
fn only_the_last_five_hundred_txns_are_kept() {
    let (mut writer, mut memory) = founded(CONFIG);
    let mut ops = Vec::new();
    writer.append(&[1; 700], &mut ops);
    memory.run(&ops);
    let recent = recovered(&mut memory, &CONFIG).recent;
    assert_eq!((recent.len(), recent[0].header.zxid), (500, Zxid(201)));
}

mod epochs {
    use super::*;
    use zk_core::disk::epochs::{EpochKind, Epochs, plan_set, read};

    fn with(accepted: Option<&str>, current: Option<&str>, last: Zxid) -> Result<Option<Epochs>, String> {
        let files = [("acceptedEpoch", accepted), ("currentEpoch", current)];
        let files =
            files.into_iter().filter_map(|(name, text)| Some((snap(name), text?.as_bytes().to_vec())));
        read(&mut Memory::with(files), last, &mut Vec::new()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn epochs_are_read_as_java_writes_them() {
        assert_eq!(with(None, None, Zxid(3)), Ok(None));
        assert_eq!(
            with(Some("2"), Some("2\n"), Zxid::new(2, 9)),
            Ok(Some(Epochs { accepted: 2, current: 2 }))
        );
        assert_eq!(with(Some("3"), Some("2"), Zxid::new(1, 9)), Ok(Some(Epochs { accepted: 3, current: 2 })));
    }

    #[test]
    fn a_crash_in_mid_synchronisation_leaves_the_established_epoch_standing() {
        assert_eq!(with(Some("3"), Some("2"), Zxid::new(3, 1)), Ok(Some(Epochs { accepted: 3, current: 2 })));
    }

    #[test]
    fn an_epoch_that_was_about_to_be_established_counts() {
        let with = |name: &str, text: &str| {
            let files = [("acceptedEpoch", "3"), ("currentEpoch", "2"), (name, text)];
            let files = files.into_iter().map(|(name, text)| (snap(name), text.as_bytes().to_vec()));
            read(&mut Memory::with(files), Zxid::new(3, 1), &mut Vec::new()).unwrap().unwrap().current
        };
        assert_eq!(with("currentEpoch.tmp", "3"), 3);
        assert_eq!(with("updatingEpoch", ""), 3);
        for torn in ["", "x", "4", "1"] {
            assert_eq!(with("currentEpoch.tmp", torn), 2, "{torn:?}");
        }
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        let wrong = |accepted, current, last| with(accepted, current, last).expect_err("a contradiction");
        assert!(
            wrong(Some("1"), Some("2"), Zxid(0))
                .starts_with("currentEpoch: epoch 2 contradicts acceptedEpoch")
        );
        assert!(
            wrong(Some("1"), Some("1"), Zxid::new(2, 1))
                .starts_with("acceptedEpoch: epoch 1 contradicts the log")
        );
        assert!(wrong(None, Some("1"), Zxid(0)).starts_with("acceptedEpoch: it is not there"));
        assert!(wrong(Some("x"), Some("1"), Zxid(0)).starts_with("acceptedEpoch: corrupt at byte 0"));
        assert!(wrong(Some(""), Some("1"), Zxid(0)).contains("expected a decimal epoch, found \"\""));
    }

    #[test]
    fn a_change_is_the_old_epoch_or_the_new_one_at_every_crash() {
        let mut ops = Vec::new();
        plan_set(EpochKind::Accepted, 5, &mut ops);
        for done in 0..=ops.len() {
            for fate in [false, true] {
                let mut memory = Memory::with([
                    (snap("acceptedEpoch"), b"4".to_vec()),
                    (snap("currentEpoch"), b"4".to_vec()),
                ]);
                memory.run(&ops[..done]);
                memory.lose_power(|| fate);
                let epochs = read(&mut memory, Zxid(0), &mut Vec::new()).unwrap().unwrap();
                assert!(epochs.accepted == 4 || epochs.accepted == 5);
                assert!(done < ops.len() || epochs.accepted == 5);
            }
        }
    }
}

#[test]
fn a_header_that_was_cut_short_is_a_torn_write_and_one_with_anything_behind_it_is_not() {
    let header = b"ZKLG\0\0\0\x02";
    for written in 0..=header.len() {
        let mut file = header[..written].to_vec();
        file.resize(64, 0);
        let (txns, end) = txnlog::decode(&Bytes::from(file.clone()), CONFIG.record_max).unwrap();
        let expected = if (1..4).contains(&written) {
            txnlog::LogEnd::Torn { offset: 0 }
        } else {
            txnlog::LogEnd::Clean
        };
        assert_eq!((txns.len(), end), (0, expected), "{written}");
        if (1..4).contains(&written) {
            file[40] = 1;
            txnlog::decode(&Bytes::from(file), CONFIG.record_max).unwrap_err();
        }
    }
}
