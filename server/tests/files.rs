//! The tools for files, as an operator runs them: on directories that real Java servers left, on damaged files, and on files
//! that are larger than the memory they get.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bytes::{Bytes, BytesMut};
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::disk::txnlog::{HEADER, put_record};
use zk_core::disk::{Compression, DiskConfig};
use zk_core::ids::{SessionId, Zxid};
use zk_core::time::WallMs;
use zk_core::tree::TreeConfig;
use zk_core::tree::{ApplyMode, Changes, Tree};
use zk_core::wire::records::Acl;
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};
use zk_net::disk::files::{Files, Paths};

/// A file of the fixtures.
fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/golden/data")).join(name)
}

fn tool(args: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command.args(args).current_dir(dir).output().unwrap()
}

/// Status, output and complaints, in letters that can be reviewed.
fn said(output: &Output) -> String {
    let readable = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.chars().map(|c| if c.is_control() && c != '\n' { '·' } else { c }).collect::<String>()
    };
    let status = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
    format!("{}--- {status}\n{}", readable(&output.stdout), readable(&output.stderr))
}

const ENSEMBLE: &str = "3.8.0/data-ensemble-plain/data/version-2";

#[test]
fn a_log_is_dumped_as_java_dumps_it() {
    let dir = golden(ENSEMBLE);
    insta::assert_snapshot!(said(&tool(&["txnlog", "dump", "log.10000001e"], &dir)));
}

#[test]
fn snapshots_are_dumped_whatever_their_compression() {
    let plain = tool(&["snapshot", "dump", "snapshot.10000001c"], &golden(ENSEMBLE));
    insta::assert_snapshot!("plain", said(&plain));
    for file in [
        "data-standalone-gzip/data/version-2/snapshot.20.gz",
        "data-standalone-snappy/data/version-2/snapshot.21.snappy",
    ] {
        let said = said(&tool(&["snapshot", "dump", "-d", file], &golden("3.8.0")));
        assert!(said.starts_with("ZNode Details (count=") && said.ends_with("--- 0\n"), "{said}");
        assert!(said.contains("/app/bin\n") && said.contains("  data = AAECAwQFBgcICQoLDA0ODx"), "{said}");
    }
}

#[test]
fn sizes_are_summed_compared_and_printed_as_json() {
    let dir = golden(ENSEMBLE);
    let recursive = tool(&["snapshot", "recursive-summary", "snapshot.100000051", "/", "2"], &dir);
    insta::assert_snapshot!("recursive", said(&recursive));
    let below = tool(&["snapshot", "recursive-summary", "snapshot.100000051", "/zookeeper", "0"], &dir);
    insta::assert_snapshot!("recursive_below", said(&below));
    insta::assert_snapshot!("summary", said(&tool(&["snapshot", "summary", "snapshot.100000051"], &dir)));
    let compare =
        ["snapshot", "compare", "-l", "snapshot.10000001c", "-r", "snapshot.100000039", "-b", "2", "-n", "1"];
    let compared = said(&tool(&compare, &dir));
    let lines: Vec<_> = compared.lines().filter(|line| !line.ends_with("seconds")).collect();
    insta::assert_snapshot!("compare", lines.join("\n"));
    let json = tool(&["snapshot", "dump", "--json", "snapshot.100000051"], &dir);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let zookeeper = value[3].as_array().unwrap().iter().find(|node| node[0]["name"] == "zookeeper").unwrap();
    assert_eq!(value[3][0]["name"], "/");
    let names: Vec<_> = zookeeper.as_array().unwrap().iter().map(|n| n["name"].as_str()).collect();
    assert!(names.contains(&Some("config")), "{zookeeper}");
}

/// A copy of a golden log, changed.
fn damaged(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(golden(ENSEMBLE).join("log.100000001")).unwrap();
    change(&mut bytes);
    let path = dir.join("log.100000001");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn damage_is_told_from_torn_ends_by_check_and_by_status() {
    let dir = tempfile::tempdir().unwrap();
    let run = |verb: &str| said(&tool(&["txnlog", verb, "log.100000001"], dir.path()));
    damaged(dir.path(), |_| {});
    insta::assert_snapshot!("check_sound", run("check"));
    // A byte of the path in the second record, which begins at 77.
    damaged(dir.path(), |bytes| bytes[77 + 12 + 36] ^= 2);
    insta::assert_snapshot!("check_flipped", run("check"));
    assert!(run("dump").contains("CRC ERROR - 11/20/26, "), "{}", run("dump"));
    damaged(dir.path(), |bytes| bytes.truncate(300));
    insta::assert_snapshot!("check_cut", run("check"));
    damaged(dir.path(), |bytes| bytes[3] = b'X');
    insta::assert_snapshot!("dump_magic", run("dump"));
    damaged(dir.path(), |bytes| bytes[77 + 8..77 + 12].copy_from_slice(&(-5_i32).to_be_bytes()));
    insta::assert_snapshot!("dump_length", run("dump"));
    let missing = tool(&["txnlog", "dump", "log.7"], dir.path());
    assert_eq!(said(&missing), "--- 1\nFile doesn't exist or not readable: log.7\n");
    let missing = tool(&["snapshot", "dump", "snapshot.7"], dir.path());
    assert!(said(&missing).starts_with("--- 2\nFile '/"), "{}", said(&missing));
}

#[test]
fn a_recovered_log_has_right_checksums_and_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let log = damaged(dir.path(), |bytes| bytes[77 + 12 + 36] ^= 2);
    let recover = ["txnlog", "recover", "-y", "log.100000001"];
    insta::assert_snapshot!("recover", said(&tool(&recover, dir.path())));
    insta::assert_snapshot!("recover_again", said(&tool(&recover, dir.path())));
    let fixed = tool(&["txnlog", "check", "log.100000001.fixed"], dir.path());
    assert!(said(&fixed).contains("29 txns, 0x100000001 to 0x10000001d, ends cleanly"), "{}", said(&fixed));
    let (before, after) =
        (fs::read(&log).unwrap(), fs::read(dir.path().join("log.100000001.fixed")).unwrap());
    let differ = (0..after.len()).filter(|at| before[*at] != after[*at]).count();
    assert!((1..=4).contains(&differ), "{differ} bytes differ");
}

#[test]
fn a_damaged_snapshot_is_refused_before_anything_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(golden(ENSEMBLE).join("snapshot.100000051")).unwrap();
    bytes[3000] ^= 1;
    fs::write(dir.path().join("snapshot.100000051"), bytes).unwrap();
    for args in [&["dump"][..], &["dump", "--json"], &["summary"]] {
        let args = [&["snapshot"], args, &["snapshot.100000051"]].concat();
        let output = tool(&args, dir.path());
        assert!(output.stdout.is_empty() && output.status.code() == Some(1), "{}", said(&output));
        assert!(said(&output).contains("snapshot.100000051: corrupt at byte"), "{}", said(&output));
    }
}

const MIB: usize = 1 << 20;
/// Nodes of a MiB each.
const LARGE: i64 = 180;
/// What the tools may have of address space, KiB: less than the files.
const ALLOWED: usize = 160 * 1024;

fn large_create(n: i64) -> Txn {
    let kind = CreateKind::Create;
    let data = Some(Bytes::from(vec![n as u8; MIB]));
    let path = format!("/n{n}").as_str().into();
    let acl = vec![Acl::world(31)];
    let body =
        TxnBody::Create(CreateTxn { kind, path, data, acl, ephemeral: false, parent_cversion: n as i32 });
    let header =
        TxnHeader { session: SessionId(1), cxid: 0, zxid: Zxid(n), time: WallMs(n), kind: body.kind() };
    Txn { header, body, digest: None }
}

#[test]
fn files_larger_than_the_memory_there_is_are_read_through() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = File::create(dir.path().join("log.1")).unwrap();
    log.write_all(&HEADER).unwrap();
    let (mut tree, mut changes) = (Tree::new(), Changes::new());
    for n in 1..=LARGE {
        let txn = large_create(n);
        let mut record = BytesMut::new();
        put_record(&txn.to_bytes(), &mut record);
        log.write_all(&record).unwrap();
        tree.apply(&txn, ApplyMode::Replay, &mut changes);
        changes.clear();
    }
    let paths = Paths { data: dir.path().into(), snap: dir.path().into(), log: dir.path().into() };
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
        let config = DiskConfig {
            prealloc: 0,
            force_sync: false,
            compression,
            trust_empty: false,
            digest: true,
            record_max: 2 * MIB,
            tree: TreeConfig::default(),
        };
        let (mut writer, mut files, mut ops) =
            (SnapshotWriter::new(tree.view(), config), Files::new(paths.clone()), Vec::new());
        while !writer.next(MIB, &mut ops) {
            files.execute(&ops).unwrap();
            ops.clear();
        }
        files.execute(&ops).unwrap();
    }
    assert!(dir.path().join("log.1").metadata().unwrap().len() > 1024 * ALLOWED as u64);
    let bounded = |args: &str| {
        let script = format!("ulimit -v {ALLOWED}; exec \"$0\" {args}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_server")]).current_dir(dir.path()).output().unwrap()
    };
    let checked = said(&bounded("txnlog check log.1"));
    assert!(checked.starts_with("log.1: 180 txns, 0x1 to 0xb4, ends cleanly"), "{checked}");
    let dumped = bounded("txnlog dump log.1 > dumped");
    assert!(dumped.status.success(), "{}", said(&dumped));
    assert!(dir.path().join("dumped").metadata().unwrap().len() > LARGE as u64 * MIB as u64);
    let recovered = bounded("txnlog recover log.1");
    assert!(recovered.status.success(), "{}", said(&recovered));
    for file in ["snapshot.b4", "snapshot.b4.gz", "snapshot.b4.snappy"] {
        for args in ["summary", "dump", "dump --json"] {
            let output = bounded(&format!("snapshot {args} {file}"));
            assert!(output.status.success(), "{args} {file}: {}", said(&output));
        }
        let summed = said(&bounded(&format!("snapshot recursive-summary {file} / 1")));
        assert!(summed.contains("  children: 183\n"), "{summed}");
        let same = said(&bounded(&format!("snapshot compare -l {file} -r snapshot.b4 -b 0 -n 0")));
        assert!(same.ends_with("Analysis for depth 2\nAll layers compared.\n--- 0\n"), "{same}");
    }
}
