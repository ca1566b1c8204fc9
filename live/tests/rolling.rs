//! An ensemble of Apache's servers becomes one of ours, one server at a time, and one of Apache's again, under clients that
//! write, read, watch and lock all the while; on the way leaders of both kinds are killed.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use live::client::{Conversation, java, python, run};
use live::ensemble::{Ensemble, Kind, Member, Part};
use live::zoarium::{Profile, binary};

const OURS: Kind = Kind::Zoarium(Profile::Same);
const SERVERS: [u32; 3] = [1, 2, 3];

/// How many writes each client must have acknowledged between a change and the look at what came of it.
const PROGRESS: usize = 30;

/// A client program, and how many of its writes are acknowledged.
struct Client {
    talk: Conversation,
    acked: usize,
}

impl Client {
    fn start(command: Command) -> Result<Self> {
        Ok(Self { talk: Conversation::start(command)?, acked: 0 })
    }

    /// Reads on until it says a line that begins with this; what stands behind.
    fn until(&mut self, prefix: &str) -> Result<String> {
        while let Some(line) = self.talk.line()? {
            if let Some(acked) = line.strip_prefix("ACKED ") {
                self.acked = acked.parse()?;
            }
            if let Some(rest) = line.strip_prefix(prefix) {
                return Ok(rest.to_owned());
            }
        }
        bail!("a client ended before it said {prefix:?}")
    }

    fn goes_on(&mut self) -> Result<()> {
        let before = self.acked;
        while self.acked < before + PROGRESS {
            self.until("ACKED ")?;
        }
        Ok(())
    }
}

/// The ensemble under its clients.
struct Stage {
    ensemble: Ensemble,
    clients: [Client; 2],
    /// Kinds of the leaders that were killed.
    killed: BTreeSet<&'static str>,
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Java => "Java",
        Kind::Zoarium(_) => "Zoarium",
    }
}

impl Stage {
    /// Clients get on, come to rest, find what must hold, and all servers have the same; then they go on.
    fn look(&mut self, what: &str) -> Result<()> {
        let said = |ensemble: &Ensemble| format!("{what}\n{}", ensemble.said());
        for client in &mut self.clients {
            client.goes_on().with_context(|| said(&self.ensemble))?;
        }
        let leader = self.ensemble.wait_serving()?;
        for client in &mut self.clients {
            client.talk.say("pause")?;
            client.until("PAUSED").with_context(|| said(&self.ensemble))?;
        }
        let digests = self.ensemble.agree().with_context(|| said(&self.ensemble))?;
        ensure!(digests > 0, "{what}: no digest was compared");
        let [a, b, c] = SERVERS.map(|sid| self.ensemble.member(sid).map(Member::address));
        let (a, b, c) = (a?, b?, c?);
        for other in [b, c] {
            let mut diff = Command::new(binary()?);
            diff.args(["diff", &a, &other]);
            run(diff, "").with_context(|| said(&self.ensemble))?;
        }
        let kinds: Vec<_> = self.ensemble.members.iter().map(|member| name(member.kind)).collect();
        let acked: Vec<_> = self.clients.iter().map(|client| client.acked).collect();
        println!(
            "{what}: {kinds:?}, {leader} leads, {acked:?} writes acknowledged, {digests} digests and the trees are the same"
        );
        self.clients.iter_mut().try_for_each(|client| client.talk.say("go"))
    }

    /// Whoever follows is swapped first, and the leader last, as an operator would do it.
    fn swap_one(&mut self, to: Kind) -> Result<()> {
        let leader = self.ensemble.wait_serving()?;
        let others = self.ensemble.members.iter().filter(|member| member.kind != to).map(|member| member.sid);
        let sid = others.min_by_key(|sid| *sid == leader).context("one is left to be swapped")?;
        self.ensemble.terminate(sid)?;
        self.ensemble.member_mut(sid)?.kind = to;
        self.ensemble.launch(sid)?;
        self.ensemble.wait_serving()?;
        self.look(&format!("server {sid} swapped"))
    }

    fn kill_leader(&mut self) -> Result<()> {
        let leader = self.ensemble.wait_serving()?;
        self.killed.insert(name(self.ensemble.member(leader)?.kind));
        self.ensemble.kill_nine(leader)?;
        self.ensemble.launch(leader)?;
        self.look(&format!("the leader {leader} killed"))
    }
}

#[test]
fn an_ensemble_of_java_s_becomes_ours_and_java_s_again_under_clients() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lines = "maxSessionTimeout=60000\nsnapCount=2000\npreAllocSize=64\n";
    let mut ensemble = Ensemble::new(dir.path(), &[(Kind::Java, Part::Voter); 3], lines)?;
    ensemble.start()?;
    let addresses = ensemble.addresses();
    let clients = [
        Client::start(python("kazoo_rolling.py", &[&addresses]))?,
        Client::start(java("JavaRolling", &[&addresses])?)?,
    ];
    let mut stage = Stage { ensemble, clients, killed: BTreeSet::new() };
    stage.look("before")?;
    for kind in [OURS, Kind::Java] {
        stage.swap_one(kind)?;
        // Two kinds in one ensemble, and the leader of either falls.
        stage.kill_leader()?;
        stage.swap_one(kind)?;
        stage.swap_one(kind)?;
        stage.kill_leader()?;
    }
    ensure!(stage.killed.len() == 2, "leaders were killed of these kinds: {:?}", stage.killed);
    for client in &mut stage.clients {
        client.talk.say("end")?;
        println!("{} acknowledged writes are read back", client.until("HELD ")?);
    }
    println!("locks were held {} times", stage.clients[0].until("LOCKS ")?);
    for client in stage.clients {
        ensure!(client.talk.end()?.success(), "a client failed");
    }
    stage.ensemble.stop()
}
