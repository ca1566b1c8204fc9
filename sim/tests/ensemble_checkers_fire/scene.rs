//! Three voters as the oracle sees them, and what they say and do.

use std::sync::Arc;

use zk_core::action::{Action, Commit, DiskCommand, LogRecord};
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::disk::epochs::{EpochKind, Epochs};
use zk_core::event::Event;
use zk_core::ids::{LinkId, SessionId, Sid, Zxid};
use zk_core::input::{Input, LinkEvent, Token};
use zk_core::quorum::Membership;
use zk_core::replica::{ClientService, Leave, Phase, RoleKind, Standing, SyncKind};
use zk_core::time::{Mono, WallMs};
use zk_core::tree::ApplyMode;
use zk_core::wire::quorum::{LearnerInfo, PROTOCOL_VERSION, QuorumPacket};
use zk_core::wire::txn::{Txn, TxnBody, TxnHeader};
use zk_sim::oracle::{Ensemble, Invariant, Violation};

pub(crate) fn membership(servers: &[i64]) -> Arc<Membership> {
    let lines: Vec<_> = servers.iter().map(|n| format!("server.{n}=h{n}:1:2:participant")).collect();
    Arc::new(Membership::settled(Arc::new(QuorumConfig::parse(&lines.join("\n")).unwrap())))
}

pub(crate) const LINK: LinkId = LinkId::Accepted(1);

pub(crate) const fn z(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(epoch, counter)
}

pub(crate) fn txn(zxid: Zxid) -> Arc<Txn> {
    let header = TxnHeader { session: SessionId(1), cxid: 0, zxid, time: WallMs(0), kind: -1 };
    Arc::new(Txn { header, body: TxnBody::Error { err: -101 }, digest: None })
}

pub(crate) fn record(zxid: Zxid) -> LogRecord {
    LogRecord { zxid, bytes: txn(zxid).to_bytes() }
}

/// Three voters, as the oracle sees them.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) oracle: Ensemble,
    pub(crate) token: u64,
    pub(crate) now: Mono,
}

pub(crate) type Judged = Result<(), Violation>;

impl Scene {
    pub(crate) fn new() -> Self {
        let nodes = [1, 2, 3].map(|node| (node, Sid(i64::from(node))));
        let oracle = Ensemble::new(membership(&[1, 2, 3]).quorums().clone(), nodes);
        let mut scene = Self { oracle, token: 0, now: Mono(0) };
        for node in 1..=3 {
            scene.oracle.booted(node, Zxid::ZERO, Some(Epochs::default())).unwrap();
        }
        scene
    }

    pub(crate) fn act(&mut self, node: u32, action: Action) -> Judged {
        self.oracle.action(node, &action)
    }

    pub(crate) fn event(&mut self, node: u32, event: Event) -> Judged {
        self.act(node, Action::Event(event))
    }

    pub(crate) fn send(&mut self, node: u32, packet: QuorumPacket) -> Judged {
        self.act(node, Action::Send { link: LINK, packet })
    }

    pub(crate) fn arrive(&mut self, node: u32, from: u32, packet: QuorumPacket) -> Judged {
        let event = LinkEvent::Packet(packet);
        self.oracle.input(node, Some(from), self.now, &Input::Link { link: LINK, event })
    }

    pub(crate) fn say(&mut self, from: u32, to: u32, packet: QuorumPacket) -> Judged {
        self.send(from, packet.clone())?;
        self.arrive(to, from, packet)
    }

    pub(crate) fn stand(&mut self, node: u32, role: RoleKind, phase: Phase, leader: Option<u32>) -> Judged {
        let leader = leader.map(|node| Sid(i64::from(node)));
        self.act(node, Action::Role(Standing { role, phase, leader, clients: ClientService::Closed }))
    }

    pub(crate) fn order(&mut self, node: u32, command: impl FnOnce(Token) -> DiskCommand) -> Judged {
        self.token += 1;
        let command = command(Token(self.token));
        self.act(node, Action::Disk(command))
    }

    pub(crate) fn sync(&mut self, node: u32) -> Judged {
        self.oracle.input(node, None, self.now, &Input::Durable(Token(self.token)))
    }

    pub(crate) fn set(&mut self, node: u32, which: EpochKind, epoch: u32) -> Judged {
        self.order(node, |token| DiskCommand::SetEpoch { token, which, epoch })?;
        self.sync(node)
    }

    pub(crate) fn append(&mut self, node: u32, zxids: &[Zxid]) -> Judged {
        let records = zxids.iter().map(|zxid| record(*zxid)).collect();
        self.order(node, |token| DiskCommand::Append { token, records })
    }

    pub(crate) fn apply(&mut self, node: u32, zxid: Zxid) -> Judged {
        self.act(
            node,
            Action::Apply(vec![Commit::Txn { txn: txn(zxid), origin: None, mode: ApplyMode::Live }]),
        )
    }

    /// These have elected `leader`; each had a log that ended there, and had established that epoch.
    pub(crate) fn elect(&mut self, leader: u32, servers: &[(u32, Zxid, u32)]) {
        for &(node, zxid, epoch) in servers {
            self.event(node, Event::ElectionBegun { zxid, epoch }).unwrap();
            self.event(node, Event::ElectionDecided { leader: Sid(i64::from(leader)) }).unwrap();
            let role = if node == leader { RoleKind::Leading } else { RoleKind::Following };
            self.stand(node, role, Phase::Discovery, Some(leader)).unwrap();
        }
    }

    /// The leader proposes an epoch to its follower.
    pub(crate) fn propose(&mut self, leader: u32, follower: u32, had: u32, epoch: u32) -> Judged {
        let sid = Sid(i64::from(follower));
        let info = Some(LearnerInfo::new(sid, Zxid::ZERO));
        self.say(follower, leader, QuorumPacket::FollowerInfo { zxid: z(had, 0), learner: info })?;
        self.set(leader, EpochKind::Accepted, epoch)?;
        self.event(leader, Event::EpochProposed { epoch })?;
        let info = QuorumPacket::LeaderInfo { zxid: z(epoch, 0), protocol_version: PROTOCOL_VERSION };
        self.say(leader, follower, info)
    }

    /// The follower accepts it.
    pub(crate) fn accept(&mut self, leader: u32, follower: u32, had: (Zxid, u32), epoch: u32) -> Judged {
        self.set(follower, EpochKind::Accepted, epoch)?;
        self.event(follower, Event::EpochAccepted { epoch })?;
        let ack = QuorumPacket::AckEpoch { zxid: had.0, current_epoch: Some(had.1) };
        self.say(follower, leader, ack)?;
        self.stand(follower, RoleKind::Following, Phase::Synchronization, Some(leader))
    }

    pub(crate) fn lead(&mut self, leader: u32, epoch: u32) -> Judged {
        self.order(leader, |token| DiskCommand::SetEpoch { token, which: EpochKind::Current, epoch })?;
        self.stand(leader, RoleKind::Leading, Phase::Synchronization, Some(leader))
    }

    /// The follower, which lacks nothing, takes the history over.
    pub(crate) fn take_over(&mut self, leader: u32, follower: u32, end: Zxid, epoch: u32) -> Judged {
        let choice =
            Event::SyncChosen { learner: Sid(i64::from(follower)), kind: SyncKind::Diff, from: end, to: end };
        self.event(leader, choice)?;
        self.event(follower, Event::SyncBegun { kind: SyncKind::Diff, zxid: end })?;
        self.set(follower, EpochKind::Current, epoch)?;
        self.say(follower, leader, QuorumPacket::Ack { zxid: z(epoch, 0) })?;
        self.event(follower, Event::NewLeaderAcked { epoch, zxid: end })
    }

    pub(crate) fn establish(&mut self, node: u32, leader: u32, end: Zxid, epoch: u32) -> Judged {
        let role = if node == leader { RoleKind::Leading } else { RoleKind::Following };
        self.event(node, Event::EpochEstablished { epoch, zxid: end })?;
        self.stand(node, role, Phase::Broadcast, Some(leader))
    }

    /// 1 leads epoch 1 with 2 behind it.
    pub(crate) fn epoch_1() -> Self {
        let mut scene = Self::new();
        let had = (Zxid::ZERO, 0);
        scene.elect(1, &[(1, Zxid::ZERO, 0), (2, Zxid::ZERO, 0)]);
        scene.propose(1, 2, 0, 1).unwrap();
        scene.accept(1, 2, had, 1).unwrap();
        scene.lead(1, 1).unwrap();
        scene.take_over(1, 2, Zxid::ZERO, 1).unwrap();
        scene.sync(1).unwrap();
        scene.establish(1, 1, Zxid::ZERO, 1).unwrap();
        scene.send(1, QuorumPacket::UpToDate).unwrap();
        scene.establish(2, 1, Zxid::ZERO, 1).unwrap();
        scene
    }

    /// The same, and 1_1 is committed.
    pub(crate) fn one_commit() -> Self {
        let mut scene = Self::epoch_1();
        scene.append(1, &[z(1, 1)]).unwrap();
        scene.append(2, &[z(1, 1)]).unwrap();
        scene.sync(1).unwrap();
        scene.sync(2).unwrap();
        scene.send(2, QuorumPacket::Ack { zxid: z(1, 1) }).unwrap();
        scene.apply(1, z(1, 1)).unwrap();
        scene.event(1, Event::Committed { zxid: z(1, 1) }).unwrap();
        scene
    }

    pub(crate) fn leave(&mut self, node: u32) {
        self.event(node, Event::RoleLeft { why: Leave::LeaderSilent }).unwrap();
        self.stand(node, RoleKind::Looking, Phase::Election, None).unwrap();
    }
}

#[track_caller]
pub(crate) fn breaks(invariant: Invariant, outcome: Judged) {
    let violation = outcome.expect_err("it should break");
    assert_eq!(violation.invariant, invariant, "{violation}");
}

/// 3 leads epoch `epoch` with an empty log, for it takes 2 to have nothing and to have accepted nothing.
pub(crate) fn usurp(scene: &mut Scene, epoch: u32) -> Judged {
    scene.leave(2);
    let has = scene.oracle.committed();
    scene.elect(3, &[(2, has, 1), (3, Zxid::ZERO, 0)]);
    let learner = Some(LearnerInfo::new(Sid(2), Zxid::ZERO));
    scene.arrive(3, 2, QuorumPacket::FollowerInfo { zxid: Zxid::ZERO, learner })?;
    scene.set(3, EpochKind::Accepted, epoch)?;
    scene.event(3, Event::EpochProposed { epoch })?;
    scene.arrive(3, 2, QuorumPacket::AckEpoch { zxid: Zxid::ZERO, current_epoch: Some(0) })?;
    scene.lead(3, epoch)
}
