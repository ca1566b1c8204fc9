//! A server at its limits and at its end: no descriptors, no space, no configuration, and what it says about it.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use live::client::{python, run};
use live::port;
use live::process::{Process, four_letter, wait_until};
use live::zoarium::{Zoarium, binary};
use rustix::process::Signal;
use zookeeper_client::{Acls, Client, CreateMode};

/// A server under limits of the shell's `ulimit`.
fn limited(dir: &Path, limit: &str) -> Result<Process> {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$1\"")]);
    command.arg(binary()?).arg(dir.join("zoo.cfg"));
    Process::start(command, &dir.join("server.log"))
}

#[test]
fn a_server_without_descriptors_takes_connections_again_when_there_are_some() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Zoarium::start(dir.path(), "")?;
    server.process.terminate()?;
    server.process = limited(dir.path(), "-n 60")?;
    server.process.wait_serving(server.port)?;
    let crowd = (0..100)
        .map(|_| TcpStream::connect(("127.0.0.1", server.port)))
        .collect::<Result<Vec<_>, _>>()
        .context("the backlog takes them, if the server does not")?;
    wait_until("the server complains", || Ok(server.process.output().contains("Too many open files")))?;
    drop(crowd);
    wait_until("it serves again", || {
        Ok(four_letter(server.port, "ruok").is_ok_and(|answer| answer == "imok"))
    })?;
    let complaints = server.process.output().matches("Too many open files").count();
    ensure!(complaints < 5, "it complained {complaints} times about one thing");
    ensure!(server.process.terminate()?.success(), "{}", server.process.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_disk_without_space_ends_the_server_and_loses_nothing_acknowledged() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Zoarium::start(dir.path(), "preAllocSize=64")?;
    server.process.terminate()?;
    // bash counts in KiB. No file may grow beyond that: as good as a full disk, and no mount is needed.
    server.process = limited(dir.path(), "-f 512")?;
    server.process.wait_serving(server.port)?;
    let mut acknowledged = 0;
    {
        let client = Client::connect(&server.address()).await?;
        client.create("/full", b"", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await?;
        while let Ok(stat) = client.set_data("/full", &[7; 10_000], None).await {
            acknowledged = stat.version;
        }
    }
    let status = server.process.wait_end()?;
    let said = server.process.output();
    ensure!(status.code() == Some(1), "expected status 1, found {status}:\n{said}");
    ensure!(said.contains("log.") && said.contains("File too large"), "{said}");
    ensure!(acknowledged > 10, "only {acknowledged} writes went before");

    server.restart()?;
    let client = Client::connect(&server.address()).await?;
    let (_, stat) = client.get_data("/full").await?;
    ensure!(stat.version >= acknowledged, "{acknowledged} were acknowledged, {} are there", stat.version);
    Ok(())
}

#[test]
fn without_a_file_the_first_line_says_how_to_connect() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let port = port::free()?;
    let mut command = Command::new(binary()?);
    command.current_dir(dir.path()).args([&format!("-DclientPort={port}"), "-Xmx1g"]);
    let mut process = Process::start(command, &dir.path().join("server.log"))?;
    process.wait_serving(port)?;
    let said = process.output();
    let first = said.lines().next().unwrap_or_default();
    ensure!(
        first.contains(&format!("zkCli.sh -server 127.0.0.1:{port}")) && first.contains("./data"),
        "{said}"
    );
    run(python("kazoo_history.py", &[&format!("127.0.0.1:{port}"), "1"]), "")?;
    ensure!(process.terminate()?.success(), "{}", process.output());
    ensure!(dir.path().join("data/version-2/log.1").exists());
    Ok(())
}

#[test]
fn a_second_sigterm_does_not_spoil_a_clean_stop() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Zoarium::start(dir.path(), "")?;
    for _ in 0..3 {
        server.process.signal(Signal::TERM)?;
    }
    let status = server.process.wait_end()?;
    let said = server.process.output();
    ensure!(status.success() && said.matches("stopped").count() == 1, "{status}:\n{said}");
    Ok(())
}

#[test]
fn java_s_flags_in_the_environment_count_and_the_command_line_wins() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (port, other) = (port::free()?, port::free()?);
    let mut command = Command::new(binary()?);
    command
        .current_dir(dir.path())
        .env("SERVER_JVMFLAGS", format!("-Xmx1g -DclientPort={other} -DtickTime=777"));
    command.args(["run", "-D", &format!("clientPort={port}"), "-Dzookeeper.4lw.commands.whitelist=conf"]);
    let mut process = Process::start(command, &dir.path().join("server.log"))?;
    process.wait_serving(port)?;
    ensure!(four_letter(port, "conf")?.contains("tickTime=777\n"));
    let said = process.output();
    let line = said.lines().find(|line| line.contains("wins over")).context("nothing about two ports")?;
    ensure!(line.contains("-D option") && line.contains("SERVER_JVMFLAGS"), "{line}");
    Ok(())
}

#[test]
fn log_lines_are_json_if_asked_for() -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("zoo.cfg"), format!("dataDir={}/data\nclientPort=0\n", dir.path().display()))?;
    let mut command = Command::new(binary()?);
    command.args(["--log-format", "json", "--log-level", "debug"]).arg(dir.path().join("zoo.cfg"));
    let mut process = Process::start(command, &dir.path().join("server.log"))?;
    wait_until("it serves", || Ok(process.output().contains("serving clients")))?;
    ensure!(process.terminate()?.success(), "{}", process.output());
    let said = process.output();
    for line in said.lines() {
        let json: serde_json::Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        ensure!(json["level"].is_string() && json["timestamp"].is_string() && json["message"].is_string());
    }
    let recovered = said.lines().find(|line| line.contains("\"recovered\"")).context("no such line")?;
    ensure!(recovered.contains("\"zxid\":\"0x0\""), "{recovered}");
    Ok(())
}

#[test]
fn help_and_version_need_no_server() -> Result<()> {
    for (option, expected) in
        [("--help", "Usage: server"), ("--version", "compatible with Apache ZooKeeper 3.9")]
    {
        let output = Command::new(binary()?).arg(option).output()?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success() && said.contains(expected), "{option}: {said}");
    }
    let output = Command::new(binary()?).arg("--no-such-option").output()?;
    ensure!(output.status.code() == Some(2));
    Ok(())
}
