//! Ensembles of processes that are killed, stopped and emptied: nothing acknowledged is lost, and all come to the same.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use live::client::{Conversation, c_shell, java, python, run};
use live::ensemble::{Ensemble, Kind, Part};
use live::zoarium::Profile;
use rustix::process::Signal;

const OURS: (Kind, Part) = (Kind::Zoarium(Profile::Same), Part::Voter);
const JAVAS: (Kind, Part) = (Kind::Java, Part::Voter);
const WRITES: usize = 10_000;
const KILLS: usize = 20;
/// Small numbers on purpose: the log rolls and snapshots are under way when the kills fall.
const BUSY: &str = "snapCount=300\npreAllocSize=64";

/// Three of ours that serve, below `dir`.
fn three(dir: &Path, lines: &str) -> Result<Ensemble> {
    let mut ensemble = Ensemble::new(dir, &[OURS; 3], &format!("maxSessionTimeout=60000\n{lines}\n"))?;
    ensemble.start()?;
    Ok(ensemble)
}

/// Runs `kazoo_kills.py` over all servers, and does `disturb` after every so many acknowledgements: so often. When all is
/// written `at_the_end` happens before it is read back.
fn writers_go_on(
    ensemble: &mut Ensemble,
    writes: usize,
    disturbances: usize,
    mut disturb: impl FnMut(&mut Ensemble, usize) -> Result<()>,
    at_the_end: impl FnOnce(&mut Ensemble) -> Result<()>,
) -> Result<()> {
    let mut client =
        Conversation::start(python("kazoo_kills.py", &[&ensemble.addresses(), &writes.to_string()]))?;
    let (mut done, mut held, mut at_the_end) = (0, false, Some(at_the_end));
    while let Some(line) = client.line().with_context(|| ensemble.said())? {
        let acked = line.strip_prefix("ACKED ").map(str::parse::<usize>).transpose()?;
        if acked.is_some_and(|n| done < disturbances && n >= (done + 1) * writes / (disturbances + 1)) {
            done += 1;
            disturb(ensemble, done)?;
        }
        if line == "WRITTEN" {
            at_the_end.take().context("it is written once")?(ensemble)?;
            client.say("go")?;
        }
        if line.starts_with("HELD ") {
            println!("{line} acknowledged writes of {writes} or more, over {done} disturbances");
        }
        held |= line.strip_prefix("HELD ").is_some_and(|n| n.parse::<usize>().is_ok_and(|n| n >= writes));
    }
    let status = client.end()?;
    ensure!(status.success() && held, "the client ended with {status}, held: {held}\n{}", ensemble.said());
    ensure!(done == disturbances, "only {done} disturbances");
    Ok(())
}

/// SIGTERM, to a clean end.
fn stop(ensemble: &mut Ensemble, n: u32) -> Result<()> {
    let status = ensemble.terminate(n)?;
    ensure!(status.success(), "server {n} ended with {status}\n{}", ensemble.said());
    Ok(())
}

fn nothing(_: &mut Ensemble) -> Result<()> {
    Ok(())
}

#[test]
fn no_acknowledged_write_is_lost_over_twenty_kills_of_the_leader() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut ensemble = three(dir.path(), BUSY)?;
    let kill = |ensemble: &mut Ensemble, _: usize| {
        // The one killed before is back, so that there is a quorum without this one.
        let leader = ensemble.wait_serving()?;
        ensemble.kill_nine(leader)?;
        ensemble.launch(leader)
    };
    let kill_all = |ensemble: &mut Ensemble| {
        ensemble.wait_serving()?;
        (1..=3).try_for_each(|n| ensemble.kill_nine(n))?;
        (1..=3).try_for_each(|n| ensemble.launch(n))?;
        ensemble.wait_serving().map(drop)
    };
    writers_go_on(&mut ensemble, WRITES, KILLS, kill, kill_all)?;
    ensemble.wait_serving()?;
    ensemble.agree()?;
    (1..=3).try_for_each(|n| stop(&mut ensemble, n))
}

#[test]
fn writers_go_on_past_servers_that_stand_still() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut ensemble = three(dir.path(), BUSY)?;
    let mut still = None;
    let stop_or_go = |ensemble: &mut Ensemble, round: usize| {
        if let Some(n) = still.take() {
            ensemble.member_mut(n)?.process()?.signal(Signal::CONT)?;
            ensemble.wait_serving()?;
        } else {
            // In turns the leader, and another.
            let leader = ensemble.wait_serving()?;
            let n = if round % 4 == 1 { leader } else { leader % 3 + 1 };
            ensemble.member_mut(n)?.process()?.signal(Signal::STOP)?;
            still = Some(n);
        }
        Ok(())
    };
    writers_go_on(&mut ensemble, 2000, 8, stop_or_go, nothing)?;
    ensemble.wait_serving()?;
    ensure!(ensemble.agree()? > 0, "no digest was compared");
    Ok(())
}

#[test]
fn a_leader_that_is_asked_to_stop_leaves_while_writers_go_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut ensemble = three(dir.path(), BUSY)?;
    let replace = |ensemble: &mut Ensemble, _: usize| {
        let leader = ensemble.wait_serving()?;
        stop(ensemble, leader)?;
        ensemble.launch(leader)
    };
    writers_go_on(&mut ensemble, 2000, 6, replace, nothing)?;
    ensemble.wait_serving()?;
    ensure!(ensemble.agree()? > 0, "no digest was compared");
    Ok(())
}

#[test]
fn servers_that_lost_their_data_or_were_away_for_long_come_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut ensemble = three(dir.path(), BUSY)?;
    let leader = ensemble.wait_serving()?;
    let (empty, late) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    // One at a time, under writers: the other two are the quorum.
    let disturb = |ensemble: &mut Ensemble, round: usize| match round {
        1 => {
            ensemble.kill_nine(empty)?;
            fs::remove_dir_all(ensemble.member(empty)?.dir.join("data/version-2"))?;
            ensemble.launch(empty)
        }
        2 => {
            ensemble.wait_serving()?;
            ensemble.kill_nine(late)
        }
        _ => ensemble.launch(late),
    };
    writers_go_on(&mut ensemble, 4000, 3, disturb, nothing)?;
    ensemble.wait_serving()?;
    ensure!(ensemble.agree()? > 0, "no digest was compared");
    for (n, kind) in [(empty, "SNAP"), (late, "SNAP")] {
        let said = ensemble.member_mut(n)?.process()?.output();
        ensure!(said.contains(&format!("kind=\"{kind}\"")), "server {n} was not sent a {kind}:\n{said}");
    }
    Ok(())
}

#[test]
fn sessions_ephemerals_and_watches_survive_the_fall_of_their_server() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut ensemble = three(dir.path(), "")?;
    let mut client = Conversation::start(python("kazoo_sessions.py", &[&ensemble.addresses()]))?;
    let mut held = false;
    while let Some(line) = client.line()? {
        match line.as_str() {
            // All clients lose their server with the leader.
            "RESTART" => {
                let leader = ensemble.wait_serving()?;
                ensemble.kill_nine(leader)?;
                ensemble.launch(leader)?;
                ensemble.wait_serving()?;
                client.say("done")?;
            }
            other => held |= other == "HELD",
        }
    }
    let status = client.end()?;
    ensure!(status.success() && held, "the client ended with {status}\n{}", ensemble.said());
    Ok(())
}

#[test]
fn five_and_an_observer_serve_clients_in_three_languages_at_every_kind_of_server() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut kinds = [OURS; 6];
    kinds[5].1 = Part::Observer;
    let mut ensemble = Ensemble::new(dir.path(), &kinds, "")?;
    let leader = ensemble.start()?;
    ensure!(ensemble.member(6)?.mode().as_deref() == Some("observer"), "{}", ensemble.said());
    let found = ["learners", "synced_followers", "synced_observers", "quorum_size"];
    let found: Vec<_> =
        found.iter().map(|name| ensemble.member(leader)?.mntr(name)).collect::<Result<_>>()?;
    ensure!(found == [5.0, 4.0, 1.0, 5.0], "{found:?}");
    run(python("kazoo_ops.py", &[&ensemble.member(6)?.address()]), "")?;
    run(java("JavaOps", &[&ensemble.member(leader % 5 + 1)?.address()])?, "")?;
    c_shell(&ensemble.addresses())?;
    // Two may fall.
    let (one, two) = (leader, leader % 5 + 1);
    ensemble.kill_nine(one)?;
    ensemble.kill_nine(two)?;
    ensemble.wait_serving()?;
    run(python("kazoo_history.py", &[&ensemble.member(6)?.address(), "1"]), "")?;
    ensemble.launch(one)?;
    ensemble.launch(two)?;
    ensemble.wait_serving()?;
    ensure!(ensemble.agree()? > 0, "no digest was compared");
    Ok(())
}

/// Writes and reads at every server, the fall of one, and equal digests at the end. Server 3 leads.
fn mixed(kinds: &[(Kind, Part); 3]) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut ensemble = Ensemble::new(dir.path(), kinds, "")?;
    // These two are a quorum, and of two that have nothing the larger leads.
    ensemble.launch(3)?;
    ensemble.launch(1)?;
    ensemble.wait_serving()?;
    ensemble.launch(2)?;
    let leader = ensemble.wait_serving()?;
    ensure!(leader == 3, "server {leader} leads\n{}", ensemble.said());
    for n in 1..=3 {
        run(python("kazoo_history.py", &[&ensemble.member(n)?.address(), &n.to_string()]), "")
            .with_context(|| ensemble.said())?;
    }
    ensure!(ensemble.agree()? > 0, "no digest was compared");
    // Whoever follows comes back to what happened meanwhile.
    ensemble.kill_nine(1)?;
    run(python("kazoo_history.py", &[&ensemble.member(leader)?.address(), "4"]), "")?;
    ensemble.launch(1)?;
    ensemble.wait_serving()?;
    run(python("kazoo_ops.py", &[&ensemble.member(1)?.address()]), "").with_context(|| ensemble.said())?;
    ensure!(ensemble.agree()? > 0, "no digest was compared");
    Ok(())
}

#[test]
fn ours_follows_java_s_leader() -> Result<()> {
    mixed(&[OURS, JAVAS, JAVAS])
}

#[test]
fn java_s_servers_follow_our_leader() -> Result<()> {
    mixed(&[JAVAS, JAVAS, OURS])
}
