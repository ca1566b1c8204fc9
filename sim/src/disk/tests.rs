use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use zk_core::action::{DiskCommand, LogRecord};
use zk_core::disk::planner::LogPlanner;
use zk_core::disk::{Compression, DiskConfig};
use zk_core::ids::Zxid;
use zk_core::input::Token;
use zk_core::tree::TreeConfig;

use super::*;

fn name(name: &str) -> FileName {
    FileName { dir: Dir::Log, name: name.to_owned() }
}

fn write(file: &str, offset: u64, bytes: &[u8]) -> FileOp {
    FileOp::WriteAt { file: name(file), offset, bytes: Bytes::copy_from_slice(bytes) }
}

fn content(disk: &mut Disk, file: &str) -> Option<Vec<u8>> {
    let there = disk.list(Dir::Log).unwrap().iter().any(|(n, _)| n == file);
    there.then(|| disk.read_at(&name(file), 0, 1 << 20).unwrap().to_vec())
}

fn run(disk: &mut Disk, ops: &[FileOp]) {
    ops.iter().for_each(|op| disk.run(op).unwrap());
}

/// A disk with one synced file.
fn with_file(seed: u64, file: &str, bytes: &[u8]) -> Disk {
    let mut disk = Disk::new(seed, 1);
    let ops = [
        FileOp::Create(name(file)),
        write(file, 0, bytes),
        FileOp::SyncData(name(file)),
        FileOp::SyncDir(Dir::Log),
    ];
    run(&mut disk, &ops);
    disk
}

/// What a power cut leaves of a file, over many seeds.
fn outcomes(ops: &[FileOp], file: &str) -> BTreeSet<Option<Vec<u8>>> {
    let outcome = |seed| {
        let mut disk = Disk::new(seed, 1);
        run(&mut disk, ops);
        disk.lose_power();
        content(&mut disk, file)
    };
    (0..300).map(outcome).collect()
}

#[test]
fn what_is_synced_with_its_name_survives_every_power_cut() {
    let synced = [
        FileOp::Create(name("a")),
        write("a", 0, b"x"),
        FileOp::SyncData(name("a")),
        FileOp::SyncDir(Dir::Log),
    ];
    assert_eq!(outcomes(&synced, "a"), BTreeSet::from([Some(b"x".to_vec())]));
    assert_eq!(outcomes(&synced[..3], "a"), BTreeSet::from([None, Some(b"x".to_vec())]));
}

#[test]
fn unsynced_sectors_survive_in_any_subset() {
    let ops = [
        FileOp::Create(name("a")),
        FileOp::Allocate { file: name("a"), len: 1024 },
        FileOp::SyncData(name("a")),
        FileOp::SyncDir(Dir::Log),
        write("a", 0, &[7; 1024]),
    ];
    let sectors: BTreeSet<(u8, u8)> =
        outcomes(&ops, "a").into_iter().flatten().map(|c| (c[0], c[600])).collect();
    assert_eq!(sectors, BTreeSet::from([(0, 0), (0, 7), (7, 0), (7, 7)]));
}

#[test]
fn a_record_is_torn_at_any_of_its_sectors() {
    let ops = [FileOp::Create(name("a")), FileOp::SyncDir(Dir::Log), write("a", 0, &[1; 1500])];
    let torn: BTreeSet<(usize, bool)> =
        outcomes(&ops, "a").into_iter().flatten().map(|c| (c.len(), c.iter().all(|b| *b == 1))).collect();
    assert_eq!(torn, BTreeSet::from([(0, true), (1500, false), (1500, true)]));
}

#[test]
fn a_killed_write_got_as_far_as_any_of_its_pages() {
    let lengths = |offset: u64, len: usize| -> BTreeSet<usize> {
        (0..100)
            .map(|seed| {
                let mut disk = with_file(seed, "a", b"");
                disk.interrupt(&write("a", offset, &vec![1; len]));
                content(&mut disk, "a").unwrap().len()
            })
            .collect()
    };
    assert_eq!(lengths(0, 10_000), BTreeSet::from([0, 4096, 8192]));
    assert_eq!(lengths(4000, 200), BTreeSet::from([0, 4096]));
    assert_eq!(lengths(0, 100), BTreeSet::from([0]));
}

#[test]
fn a_failed_sync_brings_down_a_part_and_a_second_one_nothing() {
    let mut left = BTreeSet::new();
    for seed in 0..100 {
        let mut disk = with_file(seed, "a", &[0; 1024]);
        run(&mut disk, &[write("a", 0, &[9; 1024])]);
        disk.faults.fail_syncs = 1;
        assert_eq!(disk.run(&FileOp::SyncData(name("a"))), Err("EIO"));
        assert_eq!(disk.run(&FileOp::SyncData(name("a"))), Ok(()), "and it claims to have worked");
        assert_eq!(content(&mut disk, "a"), Some(vec![9; 1024]), "a killed process would find it");
        disk.lose_power();
        let found = content(&mut disk, "a").unwrap();
        left.insert((found[0], found[600]));
    }
    assert_eq!(left, BTreeSet::from([(0, 0), (0, 9), (9, 0), (9, 9)]));
}

#[test]
fn a_full_disk_writes_what_has_room() {
    let mut disk = Disk::new(1, 1);
    disk.faults.capacity = Some(10);
    run(&mut disk, &[FileOp::Create(name("a")), write("a", 0, b"12345678")]);
    assert_eq!(disk.run(&write("a", 8, b"9ab")), Err("ENOSPC"));
    assert_eq!(content(&mut disk, "a").unwrap(), b"123456789a");
    assert_eq!(disk.run(&write("a", 2, b"xyz")), Ok(()), "nothing grows by it");
    assert_eq!(disk.run(&FileOp::Allocate { file: name("a"), len: 64 }), Err("ENOSPC"));
    disk.faults.capacity = Some(64);
    assert_eq!(disk.run(&FileOp::Allocate { file: name("a"), len: 64 }), Ok(()));
    assert_eq!(disk.used(), 64);
    run(&mut disk, &[FileOp::Unlink(name("a"))]);
    assert_eq!(disk.used(), 0);
}

#[test]
fn a_failing_write_stops_anywhere_and_keeps_what_was_there() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let mut disk = with_file(seed, "a", b"....");
        disk.faults.fail_writes = 1;
        assert_eq!(disk.run(&write("a", 2, b"1234")), Err("EIO"));
        seen.insert(content(&mut disk, "a").unwrap());
        assert_eq!(disk.run(&write("a", 0, b"x")), Ok(()), "once");
    }
    let expected: [&[u8]; 5] = [b"....", b"..1.", b"..12", b"..123", b"..1234"];
    assert_eq!(seen, expected.into_iter().map(<[u8]>::to_vec).collect());
}

#[test]
fn reads_fail_once_or_for_ever_and_only_in_their_class() {
    let mut disk = with_file(1, "log.1", b"x");
    run(&mut disk, &[FileOp::Create(name("other"))]);
    disk.faults.fail_reads = 1;
    disk.faults.files = FileClass::Log;
    assert!(disk.read_at(&name("other"), 0, 1).is_ok() && disk.list(Dir::Log).is_ok());
    assert!(disk.read_at(&name("log.1"), 0, 1).is_err());
    assert!(disk.read_at(&name("log.1"), 0, 1).is_ok());
    disk.faults.fail_reads = u32::MAX;
    assert!((0..3).all(|_| disk.read_at(&name("log.1"), 0, 1).is_err()));
}

#[test]
fn a_read_may_bring_one_wrong_bit_and_the_next_the_right_one() {
    let mut disk = with_file(1, "a", &[0; 64]);
    disk.faults.flip_reads = 1;
    let mut ones = || disk.read_at(&name("a"), 0, 64).unwrap().iter().map(|b| b.count_ones()).sum::<u32>();
    assert_eq!((ones(), ones()), (1, 0));
}

#[test]
fn rot_falls_on_what_is_written_and_durable_and_on_nothing_else() {
    let mut places = BTreeSet::new();
    for seed in 0..400 {
        let mut disk = with_file(seed, "a", &[0x55; 600]);
        run(&mut disk, &[FileOp::Allocate { file: name("a"), len: 1 << 16 }, FileOp::SyncData(name("a"))]);
        run(&mut disk, &[write("a", 512, &[0x55; 88]), FileOp::Create(name("fresh"))]);
        assert!(!disk.is_destroyed());
        assert!(disk.rot("a", 1, 0));
        let found = content(&mut disk, "a").unwrap();
        let changed: Vec<usize> = (0..600).filter(|i| found[*i] != 0x55).collect();
        assert_eq!(changed.len(), 1);
        places.insert(changed[0] / 128);
        assert!(!disk.rot("fresh", 1, 0), "nothing of it is durable");
        assert!(disk.is_destroyed());
    }
    assert_eq!(places, BTreeSet::from([0, 1, 2, 3]), "the second sector is dirty");
}

#[test]
fn a_spoilt_sector_cannot_be_read_and_survives_power_cuts() {
    let mut disk = with_file(3, "a", &[1; 2048]);
    assert!(disk.spoil("a", 0));
    disk.lose_power();
    let readable: Vec<u64> = (0..4).filter(|s| disk.read_at(&name("a"), s * 512, 512).is_ok()).collect();
    assert_eq!(readable.len(), 3);
}

#[test]
fn a_lying_sync_destroys_what_it_claimed_at_the_next_power_cut() {
    let mut disk = with_file(1, "a", b"old");
    disk.faults.lying = true;
    run(&mut disk, &[write("a", 0, b"new"), FileOp::SyncData(name("a")), FileOp::SyncDir(Dir::Log)]);
    assert!(!disk.is_destroyed());
    disk.lose_power();
    assert!(disk.is_destroyed());
}

#[test]
fn clones_go_their_own_ways() {
    let mut disk = with_file(1, "a", b"one");
    let mut fork = disk.clone();
    run(&mut fork, &[write("a", 0, b"two"), FileOp::Create(name("b"))]);
    assert_eq!((content(&mut disk, "a"), content(&mut disk, "b")), (Some(b"one".to_vec()), None));
    assert_eq!(content(&mut fork, "a"), Some(b"two".to_vec()));
}

/// A file as a list of everything that it was since its last sync.
type Past = Vec<Vec<u8>>;

/// The naive model: whole contents, whole histories.
#[derive(Clone, Debug, Default)]
struct Model {
    files: Vec<Past>,
    entries: BTreeMap<String, usize>,
    /// Which files each name stood for since the last directory sync; `None` is no file.
    meant: BTreeMap<String, BTreeSet<Option<usize>>>,
}

impl Model {
    fn set(&mut self, name: &str, file: Option<usize>) {
        let before = self.entries.get(name).copied();
        self.meant.entry(name.to_owned()).or_insert_with(|| BTreeSet::from([before])).insert(file);
        match file {
            Some(file) => self.entries.insert(name.to_owned(), file),
            None => self.entries.remove(name),
        };
    }

    fn change(&mut self, name: &str, f: impl FnOnce(&mut Vec<u8>)) {
        let past = &mut self.files[self.entries[name]];
        let mut next = past.last().expect("a file was something").clone();
        f(&mut next);
        past.push(next);
    }

    fn run(&mut self, op: &FileOp) {
        match op {
            FileOp::Create(n) if self.entries.contains_key(&n.name) => self.change(&n.name, Vec::clear),
            FileOp::Create(n) => {
                self.files.push(vec![Vec::new()]);
                self.set(&n.name, Some(self.files.len() - 1));
            }
            FileOp::Allocate { file, len } => {
                self.change(&file.name, |c| c.resize(c.len().max(*len as usize), 0));
            }
            FileOp::SetLen { file, len } => self.change(&file.name, |c| c.resize(*len as usize, 0)),
            FileOp::WriteAt { file, offset, bytes } => self.change(&file.name, |c| {
                let end = *offset as usize + bytes.len();
                c.resize(c.len().max(end), 0);
                c[*offset as usize..end].copy_from_slice(bytes);
            }),
            FileOp::SyncData(file) => {
                let past = &mut self.files[self.entries[&file.name]];
                past.drain(..past.len() - 1);
            }
            FileOp::Rename { from, to } => {
                let file = self.entries[&from.name];
                self.set(&from.name, None);
                self.set(&to.name, Some(file));
            }
            FileOp::SyncDir(_) => self.meant.clear(),
            FileOp::Unlink(n) => self.set(&n.name, None),
            FileOp::Close(_) => {}
        }
    }

    /// True if a power cut may have left this of the file.
    fn may_be(&self, file: usize, found: &[u8]) -> bool {
        let past = &self.files[file];
        let sector = |content: &[u8], at: usize| {
            let mut bytes: Vec<u8> =
                content.iter().skip(at).take((found.len() - at).min(512)).copied().collect();
            bytes.resize((found.len() - at).min(512), 0);
            bytes
        };
        past.iter().any(|p| p.len() == found.len())
            && (0..found.len()).step_by(512).all(|at| past.iter().any(|p| sector(p, at) == sector(found, at)))
    }
}

/// Names of the files that random operations use.
const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Draw {
    Create(usize),
    Write(usize, u64, usize),
    Allocate(usize, u64),
    SetLen(usize, u64),
    Sync(usize),
    Rename(usize, usize),
    SyncDir,
    Unlink(usize),
}

fn draw() -> impl Strategy<Value = Draw> {
    let (file, len) = (0..NAMES.len(), 0u64..6_000);
    prop_oneof![
        2 => file.clone().prop_map(Draw::Create),
        6 => (file.clone(), len.clone(), 1usize..3_000).prop_map(|(f, at, n)| Draw::Write(f, at, n)),
        1 => (file.clone(), len.clone()).prop_map(|(f, n)| Draw::Allocate(f, n)),
        1 => (file.clone(), len).prop_map(|(f, n)| Draw::SetLen(f, n)),
        3 => file.clone().prop_map(Draw::Sync),
        1 => (file.clone(), file.clone()).prop_map(|(a, b)| Draw::Rename(a, b)),
        2 => Just(Draw::SyncDir),
        1 => file.prop_map(Draw::Unlink),
    ]
}

/// The operation, unless it is one that no planner asks for: on a file that is not there.
fn op(draw: &Draw, fill: u8, model: &Model) -> Option<FileOp> {
    let there = |i: &usize| model.entries.contains_key(NAMES[*i]).then(|| name(NAMES[*i]));
    Some(match draw {
        Draw::Create(i) => FileOp::Create(name(NAMES[*i])),
        Draw::Write(i, offset, len) => {
            FileOp::WriteAt { file: there(i)?, offset: *offset, bytes: Bytes::from(vec![fill; *len]) }
        }
        Draw::Allocate(i, len) => FileOp::Allocate { file: there(i)?, len: *len },
        Draw::SetLen(i, len) => FileOp::SetLen { file: there(i)?, len: *len },
        Draw::Sync(i) => FileOp::SyncData(there(i)?),
        Draw::Rename(a, b) if a != b => FileOp::Rename { from: there(a)?, to: name(NAMES[*b]) },
        Draw::Rename(..) => return None,
        Draw::SyncDir => FileOp::SyncDir(Dir::Log),
        Draw::Unlink(i) => FileOp::Unlink(there(i)?),
    })
}

proptest! {
    #[test]
    fn a_process_sees_plain_files_and_a_power_cut_leaves_what_may_be_left(
        draws in proptest::collection::vec(draw(), 1..40),
        seed in any::<u64>(),
    ) {
        let (mut disk, mut model) = (Disk::new(seed, 1), Model::default());
        for (n, draw) in draws.iter().enumerate() {
            let Some(op) = op(draw, n as u8 + 1, &model) else { continue };
            prop_assert_eq!(disk.run(&op), Ok(()));
            model.run(&op);
            for (file, id) in &model.entries {
                prop_assert_eq!(content(&mut disk, file), model.files[*id].last().cloned());
            }
            prop_assert_eq!(disk.list(Dir::Log).unwrap().len(), model.entries.len());
        }
        let mut again = disk.clone();
        disk.lose_power();
        again.lose_power();
        for file in NAMES {
            let found = content(&mut disk, file);
            prop_assert_eq!(&content(&mut again, file), &found, "the same draws leave the same");
            let now = model.entries.get(file).copied();
            let meant = model.meant.get(file).cloned().unwrap_or_else(|| BTreeSet::from([now]));
            let fits = meant.iter().any(|meant| match (meant, &found) {
                (None, None) => true,
                (Some(id), Some(found)) => model.may_be(*id, found),
                _ => false,
            });
            prop_assert!(fits, "{file} is left as {:?} bytes; it was {meant:?}", found.map(|f| f.len()));
        }
        // Whatever is left is durable: a second cut changes nothing.
        let left: Vec<_> = NAMES.iter().map(|file| content(&mut disk, file)).collect();
        disk.lose_power();
        prop_assert_eq!(NAMES.iter().map(|file| content(&mut disk, file)).collect::<Vec<_>>(), left);
    }

    #[test]
    fn batches_of_the_real_planner_are_whole_or_the_last_one(
        batches in proptest::collection::vec(proptest::collection::vec(1usize..2_000, 1..5), 1..10),
        cut in 0usize..60,
        seed in any::<u64>(),
    ) {
        let config = DiskConfig {
            prealloc: 16 << 10,
            force_sync: true,
            compression: Compression::None,
            trust_empty: true,
            digest: true,
            record_max: 1 << 20,
            tree: TreeConfig::default(),
        };
        let (mut planner, mut disk) = (LogPlanner::new(config), Disk::new(seed, 1));
        let (mut zxid, mut written, mut durable) = (0, Vec::new(), 0);
        let mut left = cut;
        'life: for (token, sizes) in batches.iter().enumerate() {
            let records: Vec<LogRecord> = sizes
                .iter()
                .map(|size| {
                    zxid += 1;
                    LogRecord { zxid: Zxid(zxid), bytes: Bytes::from(vec![zxid as u8 | 1; *size]) }
                })
                .collect();
            let mut ops = Vec::new();
            planner.plan(&DiskCommand::Append { token: Token(token as u64), records: records.clone() }, &mut ops);
            planner.commit(&mut ops);
            written.extend(records);
            for op in &ops {
                if left == 0 {
                    break 'life;
                }
                left -= 1;
                prop_assert_eq!(disk.run(op), Ok(()));
            }
            durable = written.len();
        }
        disk.lose_power();
        let log = content(&mut disk, "log.1").unwrap_or_default();
        let found = |record: &LogRecord| log.windows(record.bytes.len()).any(|w| w == record.bytes);
        for record in &written[..durable] {
            prop_assert!(found(record), "{:?} was durable", record.zxid);
        }
    }
}
