//! Starts that the server refuses: the status says what kind of trouble it is, the message where, and the data is as before.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use live::client::{python, run};
use live::java::Java;
use live::port;
use live::process::{Process, wait_until};
use live::zoarium::{Zoarium, binary};

/// Every file below a directory with its content, but for the lock, which is no data.
fn content(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(content(&path)?);
        } else if !path.ends_with("zoarium.lock") {
            all.insert(path.display().to_string(), fs::read(&path)?);
        }
    }
    Ok(all)
}

/// A directory with a zoo.cfg and some history, and no server over it.
fn history() -> Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    let mut server = Zoarium::start(dir.path(), "preAllocSize=64")?;
    run(python("kazoo_history.py", &[&server.address(), "1"]), "")?;
    server.process.terminate()?;
    fs::remove_file(dir.path().join("server.log"))?;
    Ok(dir)
}

/// Starts over `dir`, and what it says when it ends with `status`, having changed no byte of the data.
fn refused(dir: &Path, status: i32) -> Result<String> {
    refused_by(Zoarium::spawn(dir)?, dir, status)
}

fn refused_by(mut process: Process, dir: &Path, status: i32) -> Result<String> {
    let data = dir.join("data");
    let before = content(&data)?;
    let ended = process.wait_end()?;
    let said = process.output();
    ensure!(ended.code() == Some(status), "expected status {status}, found {ended}:\n{said}");
    let after = content(&data)?;
    let changed: Vec<_> =
        before.iter().filter(|(file, bytes)| after.get(*file) != Some(*bytes)).map(|b| b.0).collect();
    let made: Vec<_> = after.keys().filter(|file| !before.contains_key(*file)).collect();
    ensure!(
        changed.is_empty() && made.is_empty(),
        "a start changed {changed:?} and made {made:?}, and ended with:\n{said}"
    );
    Ok(said)
}

#[test]
fn a_bad_line_is_named_by_file_and_number() -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::create_dir(dir.path().join("data"))?;
    let config = format!("# ours\ndataDir={}/data\ntickTime=soon\n", dir.path().display());
    fs::write(dir.path().join("zoo.cfg"), config)?;
    let said = refused(dir.path(), 2)?;
    ensure!(said.contains("zoo.cfg, line 3: tickTime") && said.contains("\"soon\""), "{said}");
    ensure!(said.contains("\nInvalid config, exiting abnormally\n"), "{said}");
    ensure!(content(&dir.path().join("data"))?.is_empty());
    Ok(())
}

#[test]
fn a_missing_file_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::create_dir(dir.path().join("data"))?;
    let said = refused(dir.path(), 2)?;
    ensure!(said.contains("zoo.cfg: No such file"), "{said}");
    Ok(())
}

#[test]
fn a_port_in_use_is_named() -> Result<()> {
    let dir = history()?;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = taken.local_addr()?.port();
    let config = fs::read_to_string(dir.path().join("zoo.cfg"))?;
    fs::write(dir.path().join("zoo.cfg"), format!("{config}\nclientPort={port}\n"))?;
    let said = refused(dir.path(), 1)?;
    ensure!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("in use"), "{said}");
    Ok(())
}

#[test]
fn a_second_server_over_the_same_data_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let first = Zoarium::start(dir.path(), "")?;
    // Its own first snapshot is a change that the second start must not be blamed for.
    let snapshot = dir.path().join("data/version-2/snapshot.0");
    wait_until("the first snapshot", || Ok(snapshot.exists()))?;
    let config = fs::read_to_string(dir.path().join("zoo.cfg"))?;
    fs::write(dir.path().join("zoo.cfg"), format!("{config}\nclientPort={}\n", port::free()?))?;
    let said = refused(dir.path(), 3)?;
    ensure!(said.contains(&format!("in use by process {}", first.process.pid())), "{said}");
    Ok(())
}

#[test]
fn data_that_java_serves_is_left_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let java = Java::start(dir.path(), "")?;
    // It opens its log with its first transaction.
    run(python("kazoo_history.py", &[&java.address(), "1"]), "")?;
    let config = fs::read_to_string(dir.path().join("java.cfg"))?;
    fs::write(dir.path().join("zoo.cfg"), format!("{config}\nclientPort={}\n", port::free()?))?;
    let said = refused(dir.path(), 3)?;
    ensure!(said.contains(&format!("process {}", java.process.pid())) && said.contains("log."), "{said}");
    Ok(())
}

#[test]
fn damage_in_the_log_is_named_by_file_and_offset() -> Result<()> {
    let dir = history()?;
    let log = dir.path().join("data/version-2/log.1");
    let mut bytes = fs::read(&log)?;
    bytes[5000] ^= 0x10;
    fs::write(&log, bytes)?;
    let said = refused(dir.path(), 1)?;
    ensure!(said.contains("log.1") && said.contains("byte "), "{said}");
    Ok(())
}

#[test]
fn a_snapshot_that_rotted_with_none_behind_it_is_named() -> Result<()> {
    let dir = history()?;
    let version_2 = dir.path().join("data/version-2");
    let mut damaged = 0;
    for entry in fs::read_dir(version_2)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snapshot.")) {
            let mut bytes = fs::read(&path)?;
            bytes[30] ^= 0x10;
            fs::write(&path, bytes)?;
            damaged += 1;
        }
    }
    ensure!(damaged > 0);
    let said = refused(dir.path(), 1)?;
    ensure!(said.contains("snapshots in it can be read"), "{said}");
    Ok(())
}

#[test]
fn epoch_files_that_contradict_are_named() -> Result<()> {
    let dir = history()?;
    let version_2 = dir.path().join("data/version-2");
    fs::write(version_2.join("acceptedEpoch"), "3")?;
    fs::write(version_2.join("currentEpoch"), "4")?;
    let said = refused(dir.path(), 1)?;
    ensure!(said.contains("currentEpoch") && said.contains("acceptedEpoch"), "{said}");
    Ok(())
}

#[test]
fn a_read_only_file_system_is_refused() -> Result<()> {
    let dir = history()?;
    let data = dir.path().join("data");
    // In a mount namespace of its own; the server's output goes to the directory above.
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && exec \"$2\" \"$3\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(&data).arg(binary()?).arg(dir.path().join("zoo.cfg"));
    let said = refused_by(Process::start(command, &dir.path().join("server.log"))?, dir.path(), 3)?;
    ensure!(said.contains("Read-only file system") && said.contains(&data.display().to_string()), "{said}");
    Ok(())
}

#[test]
fn directories_that_changed_places_are_refused() -> Result<()> {
    let dir = history()?;
    let config = fs::read_to_string(dir.path().join("zoo.cfg"))?;
    let log = dir.path().join("log");
    fs::write(dir.path().join("zoo.cfg"), format!("{config}\ndataLogDir={}\n", log.display()))?;
    let said = refused(dir.path(), 3)?;
    ensure!(said.contains("log.1") && said.contains("belongs"), "{said}");
    Ok(())
}

#[test]
fn a_missing_directory_is_refused_where_it_may_not_be_made() -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::create_dir(dir.path().join("data"))?;
    let absent = dir.path().join("absent");
    let config = format!("dataDir={}\nclientPort=0\ndatadir.autocreate=false\n", absent.display());
    fs::write(dir.path().join("zoo.cfg"), config)?;
    let said = refused(dir.path(), 3)?;
    ensure!(said.contains("datadir.autocreate=false") && !absent.exists(), "{said}");
    Ok(())
}

#[test]
fn a_member_that_does_not_know_who_it_is_is_refused() -> Result<()> {
    let dir = history()?;
    let config = fs::read_to_string(dir.path().join("zoo.cfg"))?;
    let lines = "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4\nserver.3=127.0.0.1:5:6\n";
    fs::write(dir.path().join("zoo.cfg"), format!("{config}\n{lines}"))?;
    let said = refused(dir.path(), 2)?;
    ensure!(said.contains("data/myid: No such file"), "{said}");
    fs::write(dir.path().join("data/myid"), "four\n")?;
    let said = refused(dir.path(), 2)?;
    ensure!(said.contains("data/myid: expected the N") && said.contains("\"four\""), "{said}");
    fs::write(dir.path().join("data/myid"), "4\n")?;
    let said = refused(dir.path(), 2)?;
    ensure!(said.contains("no server.4 among server.1, server.2, server.3"), "{said}");
    Ok(())
}

#[test]
fn an_election_port_in_use_is_named() -> Result<()> {
    let dir = history()?;
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (port, other) = (holder.local_addr()?.port(), port::free()?);
    let config = fs::read_to_string(dir.path().join("zoo.cfg"))?;
    let lines =
        format!("server.1=127.0.0.1:{other}:{port}\nserver.2=127.0.0.1:1:2\nelectionPortBindRetry=1\n");
    fs::write(dir.path().join("zoo.cfg"), format!("{config}\n{lines}"))?;
    fs::write(dir.path().join("data/myid"), "1\n")?;
    let said = refused(dir.path(), 14)?;
    ensure!(said.contains(&format!("election port 127.0.0.1:{port}")), "{said}");
    Ok(())
}
