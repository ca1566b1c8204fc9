//! What no conversation can reach: the end of an epoch's numbers, and crowds.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::action::{Commit, ConfigNode, HangReason};
use crate::config::quorum_config::QuorumConfig;
use crate::election::ElectionSettings;
use crate::election::links::LinkSettings;
use crate::ids::{ConnId, LinkId, SessionId, Sid};
use crate::input::{Access, LinkEvent, SessionAsk, Token};
use crate::quorum::Membership;
use crate::time::WallMs;
use crate::tree::{ApplyMode, Changes};
use crate::wire::quorum::{LearnerInfo, PROTOCOL_VERSION, QuorumPacket};
use crate::wire::txn::{Txn, TxnBody, TxnHeader, kind};

/// An ensemble of one, with a disk and a tree that do at once what they are told.
struct Scene {
    replica: Replica,
    tree: Tree,
    now: Now,
    left: Vec<Leave>,
    created: Vec<Zxid>,
    hung: Vec<(LinkId, HangReason)>,
}

fn config() -> ReplicaConfig {
    let members = QuorumConfig::parse("server.1=h:1:2:participant").unwrap();
    let ensemble = Ensemble {
        membership: Arc::new(Membership::settled(Arc::new(members))),
        election: ElectionSettings::default(),
        links: LinkSettings { addresses: vec![], dial_timeout_ms: 5000, hello_timeout_ms: 5000 },
        init_limit: 10,
        sync_limit: 5,
        connect_limit: None,
        window_count: 500,
        window_bytes: 1 << 20,
        log_share: LogShare::Any,
        sync_choice: SyncChoice::Least,
        syncs_max: SyncsMax { snap: 1, diff: 2 },
        sync_reads: SyncReads::Confirmed,
        backlog_max: 1 << 20,
        held_max: 1 << 20,
        local_sessions: LocalSessions::Off,
        read_only_after_ms: None,
        leader_serves: ClientService::Open,
        observer_delay_ms: 0,
    };
    ReplicaConfig {
        sid: Sid(1),
        tick_ms: 1000,
        snap_count: 1000,
        snap_size_limit: 0,
        digest: false,
        skip_acl: false,
        enforce_quota: false,
        reaper: ReaperSettings::JAVAS,
        outstanding_max: 1000,
        reconfig: Reconfig::Disabled,
        ensemble: Some(ensemble),
    }
}

fn info(sid: i64) -> LearnerInfo {
    LearnerInfo { sid: Sid(sid), protocol_version: Some(PROTOCOL_VERSION), config_version: None }
}

impl Scene {
    fn start() -> Self {
        let now = Now { mono: Mono::from_millis(0), wall: WallMs(0) };
        let tree = Tree::new();
        let recovered = Recovered {
            tree: tree.clone(),
            last_zxid: Zxid::ZERO,
            epochs: None,
            recent: vec![],
            events: vec![],
            repairs: vec![],
        };
        let mut out = Outbox::new();
        let replica = Replica::open(config(), &recovered, 7, now, &mut out);
        let mut scene = Self { replica, tree, now, left: vec![], created: vec![], hung: vec![] };
        scene.carry_out(out);
        scene
    }

    fn step(&mut self, input: Input) {
        let mut out = Outbox::new();
        self.replica.step(self.now, input, &self.tree, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Outbox) {
        let mut inputs = VecDeque::new();
        for action in out {
            match action {
                Action::Disk(command) => inputs.extend(command.token().map(Input::Durable)),
                Action::Apply(commits) => {
                    for commit in commits {
                        let Commit::Txn { txn, mode, .. } = commit else { continue };
                        self.tree.apply(&txn, mode, &mut Changes::new());
                        self.created.push(txn.header.zxid);
                    }
                    inputs.push_back(Input::Applied(self.tree.last_zxid()));
                }
                Action::ConfigNode(ConfigNode { text, version, time }) => {
                    self.tree.set_config(&text, version, time);
                }
                Action::Event(Event::RoleLeft { why }) => self.left.push(why),
                Action::Hang { link, why } => self.hung.push((link, why)),
                Action::Fatal(why) => panic!("{why}"),
                _ => {}
            }
        }
        inputs.into_iter().for_each(|input| self.step(input));
    }

    fn pass(&mut self, ms: u64) {
        let until = Mono::from_millis(self.now.mono.millis() + ms);
        while let Some(next) = self.replica.deadline().filter(|next| *next <= until) {
            self.now.mono = self.now.mono.max(next);
            self.step(Input::Tick);
        }
        self.now.mono = until;
    }

    /// As if so many txns had come before.
    fn jump_to(&mut self, last: Zxid) {
        let header =
            TxnHeader { session: SessionId(1), cxid: 0, zxid: last, time: WallMs(0), kind: kind::ERROR };
        let txn = Txn { header, body: TxnBody::Error { err: -101 }, digest: None };
        self.tree.apply(&txn, ApplyMode::Replay, &mut Changes::new());
        self.replica.log = CommitLog::new(last, &[], Window { count: 500, bytes: 1 << 20 });
        self.replica.log.durable(Token(0));
        let Role::Leading(leading) = &mut self.replica.role else { panic!("it leads") };
        leading.begin_broadcast_again(&self.replica.config, &self.tree, last);
    }

    fn say(&mut self, link: u64, packet: QuorumPacket) {
        self.step(Input::Link { link: LinkId::Accepted(link), event: LinkEvent::Packet(packet) });
    }

    /// Somebody dials, and says that it follows.
    fn follower(&mut self, link: u64, sid: i64) {
        self.step(Input::Link { link: LinkId::Accepted(link), event: LinkEvent::Up });
        self.say(link, QuorumPacket::FollowerInfo { zxid: Zxid::ZERO, learner: Some(info(sid)) });
    }

    /// Somebody dials, says that it observes, and goes on until it is brought up to date.
    fn observer(&mut self, link: u64, sid: i64) {
        self.step(Input::Link { link: LinkId::Accepted(link), event: LinkEvent::Up });
        self.say(link, QuorumPacket::ObserverInfo { zxid: Zxid::ZERO, learner: Some(info(sid)) });
        self.say(link, QuorumPacket::AckEpoch { zxid: Zxid::ZERO, current_epoch: Some(0) });
    }

    fn connect(&mut self, conn: u64) {
        self.step(Input::Connect {
            conn: ConnId(conn),
            ask: SessionAsk::New { timeout_ms: 60_000 },
            access: Access::ReadWrite,
        });
    }
}

#[test]
fn used_up_counter_ends_the_epoch_and_no_zxid_wraps_into_the_next() {
    let mut scene = Scene::start();
    scene.pass(1000);
    assert_eq!(scene.replica.standing().phase, Phase::Broadcast);
    let epochs = Some(Epochs { accepted: 1, current: 1 });
    assert_eq!(scene.replica.epochs(), epochs);
    scene.jump_to(Zxid::new(1, u32::MAX - 3));
    scene.connect(1);
    scene.connect(2);
    let last = Zxid::new(1, u32::MAX - 1);
    assert_eq!((scene.created.last(), &scene.left[..]), (Some(&last), &[][..]));

    // Whoever would get 0xffffffff makes the leader step down; the next epoch begins with 1.
    scene.connect(3);
    assert_eq!(scene.left, [Leave::CounterUsedUp]);
    assert_eq!((scene.replica.last_logged(), scene.replica.standing().role), (last, RoleKind::Looking));
    scene.pass(1000);
    assert_eq!(scene.replica.epochs(), Some(Epochs { accepted: 2, current: 2 }));
    scene.connect(4);
    assert_eq!(scene.created.last(), Some(&Zxid::new(2, 1)));
}

#[test]
fn ensemble_of_one_serves_syncs_and_expires_sessions() {
    let mut scene = Scene::start();
    scene.pass(1000);
    scene.step(Input::Connect {
        conn: ConnId(1),
        ask: SessionAsk::New { timeout_ms: 4000 },
        access: Access::ReadWrite,
    });
    assert_eq!(scene.created, [Zxid::new(1, 1)]);
    scene.pass(3000);
    assert_eq!(scene.replica.sessions().len(), 1);
    scene.pass(3500);
    assert_eq!((scene.replica.sessions().len(), scene.created.len()), (0, 2));
}

#[test]
fn of_servers_that_no_config_names_only_so_many_are_led() {
    const MOST: u64 = leader::STRANGERS_MAX as u64;
    let mut scene = Scene::start();
    scene.pass(1000);
    scene.hung.clear();
    (0..=MOST).for_each(|n| scene.follower(n, 100 + n as i64));
    assert_eq!(scene.hung, [(LinkId::Accepted(MOST), HangReason::TooManyStrangers)]);
    // One that comes again takes its own place.
    scene.follower(MOST + 1, 100);
    assert_eq!(scene.hung[1..], [(LinkId::Accepted(0), HangReason::Replaced)]);
}

#[test]
fn observers_are_turned_away_while_as_many_as_may_be_are_brought_up_to_date() {
    let mut scene = Scene::start();
    scene.pass(1000);
    scene.hung.clear();
    (1..=3).for_each(|n| scene.observer(n, 100 + n as i64));
    assert_eq!(scene.hung, [(LinkId::Accepted(3), HangReason::TooManySyncs)]);
    // Whoever follows is waited for by clients, and does not have to come again.
    scene.follower(4, 104);
    scene.say(4, QuorumPacket::AckEpoch { zxid: Zxid::ZERO, current_epoch: Some(0) });
    assert_eq!(scene.hung.len(), 1);
    for link in [1, 4] {
        scene.say(link, QuorumPacket::Ack { zxid: Zxid::new(1, 0) });
    }
    scene.observer(5, 103);
    scene.observer(6, 106);
    assert_eq!(scene.hung[1..], [(LinkId::Accepted(6), HangReason::TooManySyncs)]);
}
