//! Random schedules over a few servers: everything that is on its way arrives in any order that the wires allow, disks and
//! trees are slow, processes end and start again with any part of what their disks were told, the network is cut and heals.
//!
//! Whatever happens, the world checks that all servers apply one history with equal digests, that a quorum holds on disk what is
//! committed, that nobody promises what a power cut would take back, and that an epoch has one leader. At the end
//! everything is mended: the servers must agree on a leader, hold every create that was answered, and be equal.
//!
//! `SEED=N cargo test -p core --test ensemble_schedules -- --nocapture` runs one schedule and shows it.

mod cluster;

use std::collections::BTreeMap;
use std::env;

use cluster::{Options, World};
use proptest::prelude::*;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::ids::{ConnId, Sid};
use zk_core::input::SessionAsk;
use zk_core::replica::{LogShare, Phase, SyncChoice};
use zk_core::rng::Dice;
use zk_core::time::Mono;
use zk_core::wire::client::{CreateRequest, DeleteRequest, SetDataRequest, SyncRequest};
use zk_core::wire::records::Acl;
use zk_core::wire::request::Request;

const THREE: &str = "server.1=h1:1:2\nserver.2=h2:1:2\nserver.3=h3:1:2";
const FIVE_AND_ONE: &str = "server.1=h1:1:2\nserver.2=h2:1:2\nserver.3=h3:1:2\nserver.4=h4:1:2\nserver.5=h5:1:2\n\
    server.6=h6:1:2:observer";
const GROUPED: &str = "server.1=h1:1:2\nserver.2=h2:1:2\nserver.3=h3:1:2\nserver.4=h4:1:2\nserver.5=h5:1:2\n\
    group.1=1:2\ngroup.2=3\ngroup.3=4:5";

/// How often what happens, in thousandths of the steps.
#[derive(Clone, Copy, Debug)]
struct Odds {
    request: u64,
    crash: u64,
    restart: u64,
    cut: u64,
    time: u64,
}

struct Run {
    world: World,
    dice: Dice,
    odds: Odds,
    conns: u64,
    names: u64,
    syncs: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 0);
        let config = [THREE, THREE, THREE, FIVE_AND_ONE, GROUPED][dice.below(5) as usize];
        let options = Options {
            log_share: if dice.chance(1, 3) { LogShare::Never } else { LogShare::Any },
            sync_choice: if dice.chance(1, 10) { SyncChoice::Snapshot } else { SyncChoice::Least },
            // So small that learners are soon beyond the window.
            window_bytes: if dice.chance(1, 2) { 300 } else { 1 << 20 },
            snap_count: if dice.chance(1, 2) { 20 } else { 1000 },
            ..Options::default()
        };
        let odds = Odds {
            request: 10 + dice.below(60),
            crash: [0, 1, 3, 8][dice.below(4) as usize],
            restart: 2 + dice.below(20),
            cut: [0, 1, 4][dice.below(3) as usize],
            time: [1, 5, 20][dice.below(3) as usize],
        };
        let mut world = World::new(QuorumConfig::parse(config).unwrap(), options);
        let sids: Vec<_> = world.config.members().map(|member| member.sid).collect();
        sids.into_iter().for_each(|sid| world.start(sid));
        Self { world, dice, odds, conns: 0, names: 0, syncs: 0 }
    }

    fn sids(&self) -> Vec<Sid> {
        self.world.servers.keys().copied().collect()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.dice.below(from.len() as u64) as usize]) }
    }

    fn happens(&mut self, thousandths: u64) -> bool {
        self.dice.chance(thousandths, 1000)
    }

    fn step(&mut self) {
        if self.happens(self.odds.request) {
            self.request();
        }
        if self.happens(self.odds.crash)
            && let Some(sid) = self.pick(&self.world.running())
        {
            let kept = self.dice.below(1 + self.world.servers[&sid].disk.queue.len() as u64);
            self.world.say(&format!("{sid} crashes, {kept} commands are kept"));
            self.world.crash(sid, kept as usize);
        }
        if self.happens(self.odds.restart) {
            let down: Vec<_> =
                self.sids().into_iter().filter(|sid| self.world.servers[sid].up.is_none()).collect();
            if let Some(sid) = self.pick(&down) {
                self.world.say(&format!("{sid} starts"));
                self.world.start(sid);
            }
        }
        if self.happens(self.odds.cut) {
            self.cut();
        }
        let choices = self.world.choices();
        let time = self.happens(self.odds.time);
        match self.pick(&choices) {
            Some(choice) if !time => self.world.choose(choice),
            _ => self.wait(),
        }
    }

    fn cut(&mut self) {
        let sids = self.sids();
        let (Some(a), Some(b)) = (self.pick(&sids), self.pick(&sids)) else { return };
        if a == b {
            // One server on its own.
            sids.iter().filter(|b| **b != a).for_each(|b| self.world.cut(a, *b));
        } else if self.dice.chance(1, 2) {
            self.world.cut(a, b);
        } else {
            self.world.cut.clear();
        }
    }

    fn wait(&mut self) {
        let Some(next) = self.world.next_timer() else { return };
        self.world.now = self.world.now.max(next) + std::time::Duration::from_millis(self.dice.below(20));
        self.world.tick();
    }

    fn request(&mut self) {
        let serving: Vec<_> = self
            .world
            .running()
            .into_iter()
            .filter(|sid| self.world.replica(*sid).standing().phase == Phase::Broadcast)
            .collect();
        let Some(sid) = self.pick(&serving) else { return };
        let conns: Vec<_> = self
            .world
            .up(sid)
            .conns
            .iter()
            .filter(|(_, session)| session.is_some())
            .map(|(c, _)| *c)
            .collect();
        let Some(conn) = self.pick(&conns).filter(|_| !self.dice.chance(1, 10)) else {
            self.conns += 1;
            let known = self.world.sessions.clone();
            let conn = ConnId(self.conns);
            let ask = match self.pick(&known).filter(|_| self.dice.chance(1, 2)) {
                Some(session) => SessionAsk::Reattach { session, timeout_ms: 4000 },
                None => SessionAsk::New { timeout_ms: 4000 + self.dice.below(8000) as i32 },
            };
            return self.world.connect(sid, conn, ask);
        };
        self.names += 1;
        let shared = format!("/s{}", self.dice.below(4));
        let acl = vec![Acl::world(31)];
        let create = |path: String, flags| {
            Request::Create(CreateRequest { path: path.into(), data: None, acl: acl.clone(), flags })
        };
        let op = match self.dice.below(12) {
            0..5 => create(format!("/unique{}", self.names), 0),
            5..7 => create(shared, 1),
            7 => Request::Delete(DeleteRequest { path: shared.into(), version: -1 }),
            8..10 => Request::SetData(SetDataRequest { path: shared.into(), data: None, version: -1 }),
            10 => {
                self.syncs += 1;
                Request::Sync(SyncRequest { path: None })
            }
            _ if self.dice.chance(1, 4) => Request::CloseSession,
            _ => create(format!("/unique{}", self.names), 0),
        };
        self.world.op(sid, conn, op);
    }

    /// Everything is mended, and nothing new is asked.
    fn mend(&mut self) {
        self.world.say("everything is mended");
        self.world.cut.clear();
        for sid in self.sids() {
            if self.world.servers[&sid].up.is_none() {
                self.world.start(sid);
            }
        }
        let until = Mono::from_millis(self.world.now.millis() + 300_000);
        let serves = |world: &World, sid: Sid| world.replica(sid).standing().phase == Phase::Broadcast;
        self.world.run();
        loop {
            self.world.pass(500);
            let last = self.world.leader().map(|leader| self.world.replica(leader).last_committed());
            let all = self.sids();
            // Sessions have ended by now, so the leader proposes nothing more.
            let quiet =
                self.world.leader().is_some_and(|leader| self.world.replica(leader).sessions().is_empty());
            if quiet
                && all.iter().all(|sid| {
                    serves(&self.world, *sid) && Some(self.world.replica(*sid).last_applied()) == last
                })
            {
                break;
            }
            assert!(self.world.now < until, "I41: no leader that all follow");
        }
    }

    fn check(&mut self) {
        let sids = self.sids();
        let first = self.world.up(sids[0]).tree.clone();
        for sid in &sids {
            let faults = self.world.replica(*sid).faults();
            assert_eq!(faults, 0, "I09: server {sid} met what cannot be");
            let tree = &self.world.up(*sid).tree;
            assert_eq!((tree.last_zxid(), tree.digest()), (first.last_zxid(), first.digest()), "I20");
            assert_eq!(tree.ephemeral_count(), 0, "I26: no session lives, so none owns anything");
        }
        let unique: BTreeMap<_, _> =
            self.world.answered.iter().filter(|(path, _)| path.starts_with("/unique")).collect();
        for (path, zxid) in unique {
            assert!(first.node(path).is_some(), "I34: {path} was answered at {zxid}, and is gone");
        }
    }
}

fn run(seed: u64, steps: u64) {
    let mut run = Run::new(seed);
    for _ in 0..steps {
        run.step();
        if env::var_os("SEED").is_some() {
            print!("{}", std::mem::take(&mut run.world.said));
        }
    }
    run.mend();
    if env::var_os("SEED").is_some() {
        print!("{}", std::mem::take(&mut run.world.said));
    }
    run.check();
}

#[test]
fn whatever_happens_there_is_one_durable_history() {
    if let Ok(seed) = env::var("SEED") {
        return run(seed.parse().unwrap(), steps());
    }
    let cases = env::var("CASES").map_or(60, |n| n.parse().unwrap());
    let from: u64 = env::var("FROM").map_or(0, |n| n.parse().unwrap());
    for seed in from..from + cases {
        let failed = std::panic::catch_unwind(|| run(seed, steps()));
        assert!(failed.is_ok(), "seed {seed}");
    }
}

fn steps() -> u64 {
    env::var("STEPS").map_or(4000, |n| n.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn a_schedule_runs_twice_the_same(seed in any::<u64>()) {
        let said = |seed| {
            let mut run = Run::new(seed);
            run.world.verbose = true;
            (0..1500).for_each(|_| run.step());
            run.world.said
        };
        prop_assert!(said(seed) == said(seed));
    }
}
