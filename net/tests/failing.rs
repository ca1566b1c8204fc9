//! Starts that are refused, disks that fail: what is said, and that nothing is changed and nothing falsely acknowledged.
#![cfg(not(feature = "loom"))]

mod served;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;

use served::{PATIENCE, config, create, set, start, try_start, until};

/// Every file below a directory with its content, but for the lock, which is no data.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(content(&path));
        } else if !path.ends_with("zoarium.lock") {
            all.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    all
}

/// A data directory with some history in it.
fn history(dir: &Path) {
    let served = start(config(dir));
    let mut client = served.client();
    client.ask(create("/a", b""));
    for _ in 0..20 {
        client.ask(set("/a", &[5; 100]));
    }
    assert!(served.node.stop());
}

fn refused(dir: &Path) -> String {
    let before = content(dir);
    let why = try_start(config(dir)).err().expect("a refusal").to_string();
    assert!(content(dir) == before, "a refused start changed the data: {why}");
    why
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused_with_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    history(dir.path());
    let log = dir.path().join("data/version-2/log.1");
    let mut bytes = fs::read(&log).unwrap();
    bytes[600] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let why = refused(dir.path());
    assert!(why.contains("log.1") && why.contains("byte "), "{why}");
}

#[test]
fn snapshots_that_are_all_damaged_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    history(dir.path());
    let snapshot = dir.path().join("data/version-2/snapshot.0");
    let mut bytes = fs::read(&snapshot).unwrap();
    bytes[40] ^= 1;
    fs::write(&snapshot, &bytes).unwrap();
    let why = refused(dir.path());
    assert!(why.contains("snapshot"), "{why}");
}

#[test]
fn epoch_files_that_contradict_one_another_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    history(dir.path());
    let version_2 = dir.path().join("data/version-2");
    fs::write(version_2.join("acceptedEpoch"), "1").unwrap();
    fs::write(version_2.join("currentEpoch"), "2").unwrap();
    let why = refused(dir.path());
    assert!(why.contains("currentEpoch") && why.contains('2'), "{why}");
}

#[test]
fn a_port_in_use_is_refused_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    history(dir.path());
    // A torn last record would be cut off by a start that gets further.
    let log = dir.path().join("data/version-2/log.1");
    let mut bytes = fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes[end - 3..].fill(0);
    fs::write(&log, &bytes).unwrap();
    let before = content(dir.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(dir.path());
    config.client_port = taken.local_addr().unwrap().port();
    let why = try_start(config.clone()).err().expect("a refusal").to_string();
    assert!(why.contains(&config.client_port.to_string()) && why.contains("in use"), "{why}");
    assert!(content(dir.path()) == before);
    drop(taken);
    drop(start(config));
}

#[test]
fn a_second_server_over_the_same_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let why = try_start(config(dir.path())).err().expect("a refusal").to_string();
    assert!(why.contains("in use") && why.contains(&std::process::id().to_string()), "{why}");
    assert_eq!(served.client().ask(create("/a", b"")).header.err, 0);
}

#[test]
fn a_disk_that_is_full_ends_the_server_and_acknowledges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let version_2 = dir.path().join("data/version-2");
    fs::create_dir_all(&version_2).unwrap();
    // Where the first log file would be made there is a device that takes no bytes.
    let served = start(config(dir.path()));
    until("the first snapshot is there", || version_2.join("snapshot.0").exists());
    symlink("/dev/full", version_2.join("log.1")).unwrap();
    let mut client = served.socket();
    let mut hello = bytes::BytesMut::new();
    zk_core::wire::framing::put_frame(&mut hello, |out| out.extend_from_slice(&[0; 45]));
    std::io::Write::write_all(&mut client.socket, &hello).unwrap();
    let why = served.failures.recv_timeout(PATIENCE).unwrap();
    assert!(why.contains("log.1"), "{why}");
    served.node.stop();
    // The createSession could not be made durable: its connection closes without an answer.
    assert_eq!(client.rest(), "");
}

#[test]
fn a_torn_last_record_is_dropped_and_told_about() {
    let dir = tempfile::tempdir().unwrap();
    history(dir.path());
    let log = dir.path().join("data/version-2/log.1");
    let mut bytes = fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes[end - 3..].fill(0);
    fs::write(&log, &bytes).unwrap();
    let served = start(config(dir.path()));
    let reply: zk_core::wire::client::GetDataResponse = served.client().ask(served::get("/a")).decode();
    assert_eq!(reply.stat.version, 19);
}
