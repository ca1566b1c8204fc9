//! Members that change while real servers serve.

use std::fs;

use anyhow::{Context, Result, ensure};
use live::client::{python, run};
use live::ensemble::{Ensemble, Kind, Part};
use live::process::wait_until;
use live::zoarium::Profile;

const OURS: (Kind, Part) = (Kind::Zoarium(Profile::Same), Part::Voter);

fn reconfig(ensemble: &Ensemble, at: u32, joining: &str, leaving: &str) -> Result<()> {
    run(python("kazoo_reconfig.py", &[&ensemble.member(at)?.address(), joining, leaving]), "")
        .map(drop)
        .with_context(|| ensemble.said())
}

fn wait_mode(ensemble: &Ensemble, sid: u32, mode: &str) -> Result<()> {
    wait_until(&format!("server {sid} is {mode}"), || {
        Ok(ensemble.member(sid)?.mode().as_deref() == Some(mode))
    })
    .with_context(|| ensemble.said())
}

#[test]
fn a_fourth_observes_then_votes_and_the_leader_goes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut ensemble = Ensemble::new(dir.path(), &[OURS; 4], "reconfigEnabled=true\nskipACL=yes\n")?;
    let mut fourth = String::new();
    for sid in 1..=3 {
        let path = ensemble.member(sid)?.dir.join("zoo.cfg");
        let text = fs::read_to_string(&path)?;
        let (own, others): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("server.4="));
        fourth = own.first().context("its line")?.to_string();
        fs::write(&path, others.join("\n") + "\n")?;
    }
    for sid in [1, 2, 3] {
        ensemble.launch(sid)?;
    }
    let leader = ensemble.wait_serving()?;
    ensemble.launch(4)?;
    ensemble.wait_serving()?;
    let client = ensemble.member(4)?.address();
    reconfig(&ensemble, leader % 3 + 1, &format!("{fourth}:observer;{client}"), "-")?;
    wait_mode(&ensemble, 4, "observer")?;
    reconfig(&ensemble, leader % 3 + 1, &format!("{fourth}:participant;{client}"), "-")?;
    wait_mode(&ensemble, 4, "follower")?;
    ensure!(ensemble.member(leader)?.mntr("quorum_size")? == 4.0, "{}", ensemble.said());

    reconfig(&ensemble, 4, "-", &leader.to_string())?;
    wait_until("another leads", || Ok(ensemble.leader().is_some_and(|now| now != leader)))
        .with_context(|| ensemble.said())?;
    ensemble.wait_serving()?;
    run(python("kazoo_history.py", &[&ensemble.member(4)?.address(), "1"]), "")
        .with_context(|| ensemble.said())?;
    // Whoever is put out follows on.
    wait_mode(&ensemble, leader, "follower")?;

    // What the files say is what a server is when it comes back.
    let zoo_cfg = fs::read_to_string(ensemble.member(4)?.dir.join("zoo.cfg"))?;
    ensure!(zoo_cfg.contains("dynamicConfigFile=") && !zoo_cfg.contains("server."), "{zoo_cfg}");
    ensemble.kill_nine(4)?;
    ensemble.launch(4)?;
    ensemble.wait_serving()?;
    ensure!(ensemble.member(4)?.mntr("quorum_size")? == 3.0, "{}", ensemble.said());
    ensure!(ensemble.agree()? > 0, "no digest was compared");
    ensemble.stop()
}
