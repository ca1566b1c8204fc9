//! `server diff` and `server check` on real servers: an ensemble of both kinds, their data, and writes meanwhile.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use live::client::{python, run};
use live::ensemble::{Ensemble, Kind, Part};
use live::zoarium::{Profile, Zoarium, binary};

const OURS: (Kind, Part) = (Kind::Zoarium(Profile::Same), Part::Voter);
const JAVAS: (Kind, Part) = (Kind::Java, Part::Voter);

fn server(args: &[&str]) -> Result<Output> {
    Ok(Command::new(binary()?).args(args).output()?)
}

/// Its output, if it ends with this status.
fn said(args: &[&str], status: i32) -> Result<String> {
    let output = server(args)?;
    let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(status), "{args:?} ended with {}:\n{text}", output.status);
    Ok(text)
}

const ALICE: [&str; 2] = ["--auth", "digest:alice:secret"];

#[test]
fn servers_of_both_kinds_and_their_data_are_compared() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut ensemble = Ensemble::new(dir.path(), &[OURS, JAVAS, OURS], "")?;
    ensemble.start()?;
    let at = |ensemble: &Ensemble, sid| -> Result<String> { Ok(ensemble.member(sid)?.address()) };
    let [first, second, third] = [at(&ensemble, 1)?, at(&ensemble, 2)?, at(&ensemble, 3)?];
    run(python("kazoo_history.py", &[&first, "1"]), "")?;
    let equal = said(&["diff", &first, &second, ALICE[0], ALICE[1]], 0)?;
    ensure!(equal.contains("both at zxid 0x1") && equal.contains(" are equal, 0 differ"), "{equal}");
    let hidden = said(&["diff", &first, &second], 2)?;
    ensure!(hidden.contains("1 znodes are hidden by their ACLs"), "{hidden}");

    // While they are written, too.
    let mut writes = Command::new(binary()?);
    writes.args(["bench", &third, "--op", "set", "--sessions", "4", "--duration", "4", "--warm-up", "0"]);
    let writes = std::thread::spawn(move || run(writes, ""));
    for _ in 0..3 {
        let status = server(&["diff", &first, &second, ALICE[0], ALICE[1]])?;
        let text = String::from_utf8(status.stdout)?;
        ensure!(status.status.code() != Some(1), "no difference, but\n{text}");
    }
    writes.join().map_err(|_| anyhow::anyhow!("the writing thread panicked"))??;
    let equal = said(&["diff", &second, &third, ALICE[0], ALICE[1]], 0)?;
    ensure!(equal.contains("digests are equal, the last at zxid"), "{equal}");

    // What the other servers are, before one of them is replaced.
    let config = ensemble.member(2)?.dir.join("zoo.cfg").display().to_string();
    let checked = said(&["check", &config], 0)?;
    ensure!(checked.contains("is in use by process"), "{checked}");
    // Their client ports differ, and no line says them.
    ensure!(checked.matches("ok    server 2 of 3 in an ensemble").count() == 1, "{checked}");

    // The data of a server that has ended, against those that run, and against another's.
    let [data, other] = [2, 3].map(|sid| dir.path().join(sid.to_string()).join("data").display().to_string());
    ensemble.terminate(2)?;
    let checked = said(&["check", &config], 0)?;
    ensure!(checked.contains("nothing is in the way") && !checked.contains("in use"), "{checked}");
    said(&["diff", &data, &first, ALICE[0], ALICE[1]], 0)?;
    let leader = ensemble.wait_serving()?;
    ensemble.terminate(if leader == 3 { 1 } else { 3 })?;
    ensemble.terminate(leader)?;
    said(&["diff", &data, &other], 0).context("both as of the zxid that both have")?;
    Ok(())
}

#[test]
fn what_differs_is_named() -> Result<()> {
    let dirs = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut servers = Vec::new();
    for dir in &dirs {
        let server = Zoarium::start(dir.path(), "")?;
        run(python("kazoo_history.py", &[&server.address(), "1"]), "")?;
        servers.push(server);
    }
    run(python("kazoo_history.py", &[&servers[1].address(), "2"]), "")?;
    let [left, right] = [servers[0].address(), servers[1].address()];
    let told = said(&["diff", &left, &right, ALICE[0], ALICE[1], "--print", "1000"], 1)?;
    for expected in
        ["/round2: only on the right\n", "/round1/eph: ", "data (100 bytes and 100 bytes)", "ctime ("]
    {
        ensure!(told.contains(expected), "{expected:?} is not in\n{told}");
    }
    ensure!(!told.contains("/round2/"), "what is below it goes without saying:\n{told}");
    let nobody = said(&["diff", &left, "127.0.0.1:1"], 2)?;
    ensure!(nobody.contains("no connection to 127.0.0.1:1"), "{nobody}");
    Ok(())
}
