//! `server bench` against real servers, Apache's and ours: what it reports is what the server saw.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use live::java::Java;
use live::process::{Process, four_letter};
use live::zoarium::{Zoarium, binary};
use serde_json::Value;

const SESSIONS: u64 = 3;
const PATHS: u64 = 20;

/// Runs a short bench and gives its report.
fn bench(address: &str, more: &[&str]) -> Result<Value> {
    let mut command = Command::new(binary()?);
    command.args(["bench", address, "--json", "--warm-up", "0.2", "--size", "100"]);
    command.args(["--sessions", &SESSIONS.to_string(), "--paths", &PATHS.to_string()]).args(more);
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("the report is not JSON")
}

fn number(report: &Value, pointer: &str) -> Result<u64> {
    report.pointer(pointer).and_then(Value::as_u64).with_context(|| format!("no {pointer} in {report}"))
}

/// The server's own zxid and number of znodes.
fn seen_by_server(port: u16) -> Result<(u64, u64)> {
    let answer = four_letter(port, "srvr")?;
    let field = |name: &str| {
        answer
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .with_context(|| format!("no {name} in {answer}"))
    };
    let zxid = u64::from_str_radix(field("Zxid: 0x")?, 16)?;
    Ok((zxid, field("Node count: ")?.parse()?))
}

/// A server under test: its client port, and its process.
struct Server<'a> {
    port: u16,
    process: &'a Process,
}

impl Server<'_> {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Holds a check against both servers, one after the other.
fn both(check: impl Fn(&Server<'_>) -> Result<()>) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let java = Java::start(dir.path(), "")?;
    check(&Server { port: java.port, process: &java.process }).context("Java")?;
    drop(java);
    let dir = tempfile::tempdir()?;
    let zoarium = Zoarium::start(dir.path(), "")?;
    check(&Server { port: zoarium.port, process: &zoarium.process }).context("Zoarium")
}

#[test]
fn counts_of_sets_are_the_server_s_zxids_and_nothing_is_left_behind() -> Result<()> {
    both(|server| {
        let (zxid, znodes) = seen_by_server(server.port)?;
        let report = bench(&server.address(), &["--op", "set", "--count", "500", "--outstanding", "4"])?;
        ensure!(number(&report, "/operations")? == 500, "{report}");
        let writes = number(&report, "/writes")?;
        ensure!(writes == 500 + number(&report, "/warm_up_operations")?, "{report}");
        ensure!(number(&report, "/zxid_advance")? == writes, "{report}");
        ensure!(number(&report, "/latency_us/count")? == 500, "{report}");
        let (zxid_after, znodes_after) = seen_by_server(server.port)?;
        // Sessions are opened and closed, --root and the paths are made and removed.
        let around = 2 * SESSIONS + 2 * (1 + PATHS);
        ensure!(zxid_after - zxid == writes + around, "zxid {zxid} → {zxid_after}: {report}");
        ensure!(znodes_after == znodes, "{znodes} znodes before, {znodes_after} after");
        Ok(())
    })
}

#[test]
fn an_open_loop_starts_what_is_due_and_gets_write_nothing() -> Result<()> {
    both(|server| {
        let report = bench(&server.address(), &["--op", "get", "--rate", "1000", "--duration", "1"])?;
        ensure!(number(&report, "/operations")? == 1000, "{report}");
        ensure!(number(&report, "/zxid_advance")? == 0 && number(&report, "/writes")? == 0, "{report}");
        ensure!(number(&report, "/server/pids/0")? == u64::from(server.process.pid()), "{report}");
        let cpu = report.pointer("/server/cpu_us_per_operation").and_then(Value::as_f64);
        ensure!(cpu.is_some_and(|us| us > 0.0), "a server that answers uses CPU time: {report}");
        Ok(())
    })
}

#[test]
fn created_znodes_of_every_kind_are_removed() -> Result<()> {
    both(|server| {
        let (_, znodes) = seen_by_server(server.port)?;
        for kind in ["persistent", "ephemeral", "sequential", "ephemeral-sequential"] {
            let report = bench(&server.address(), &["--op", "create", "--create", kind, "--count", "200"])?;
            ensure!(number(&report, "/operations")? == 200, "{kind}: {report}");
            ensure!(number(&report, "/zxid_advance")? == number(&report, "/writes")?, "{kind}: {report}");
            let (_, after) = seen_by_server(server.port)?;
            ensure!(after == znodes, "{kind}: {znodes} znodes before, {after} after");
        }
        Ok(())
    })
}

#[test]
fn kept_znodes_stay_and_cannot_be_made_again() -> Result<()> {
    both(|server| {
        let (_, znodes) = seen_by_server(server.port)?;
        let mut command = Command::new(binary()?);
        command.args(["bench", &server.address(), "--json", "--op", "create", "--count", "200", "--keep"]);
        command.args(["--warm-up", "0", "--paths", "10"]);
        ensure!(command.output()?.status.success(), "{command:?}");
        let (_, after) = seen_by_server(server.port)?;
        // --root, the directories, and the znodes.
        ensure!(after == znodes + 1 + 10 + 200, "{znodes} znodes before, {after} after");
        let again = command.output()?;
        ensure!(again.status.code() == Some(1), "the same znodes cannot be made twice: {again:?}");
        let report: Value = serde_json::from_slice(&again.stdout)?;
        ensure!(number(&report, "/errors/node exists (-110)")? == 200, "{report}");
        Ok(())
    })
}
