//! A checker that was never seen to fail is not trusted: for each invariant across servers, a conversation that breaks it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use zk_core::action::{Action, Commit, DiskCommand, HangReason, LogRecord};
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::disk::epochs::{EpochKind, Epochs};
use zk_core::election::links::{self, LinkCommand};
use zk_core::election::port::PortInput;
use zk_core::election::vote::{Notification, Vote};
use zk_core::election::{Candidate, Delivery, Election, ElectionSettings};
use zk_core::event::Event;
use zk_core::ids::{LinkId, PeerState, SessionId, Sid, Zxid};
use zk_core::input::{Input, LinkEvent, Token};
use zk_core::quorum::Membership;
use zk_core::replica::{ClientService, Leave, PeerFault, Phase, RoleKind, Standing, SyncKind};
use zk_core::time::{Mono, WallMs};
use zk_core::tree::{ApplyMode, Tree};
use zk_core::wire::quorum::{ForwardedRequest, LearnerInfo, PROTOCOL_VERSION, QuorumPacket, Touch};
use zk_core::wire::txn::{Txn, TxnBody, TxnHeader};
use zk_sim::oracle::{Destroyed, Ensemble, Invariant, Limits, Load, Violation};

fn membership(servers: &[i64]) -> Arc<Membership> {
    let lines: Vec<_> = servers.iter().map(|n| format!("server.{n}=h{n}:1:2:participant")).collect();
    Arc::new(Membership::settled(Arc::new(QuorumConfig::parse(&lines.join("\n")).unwrap())))
}

const LINK: LinkId = LinkId::Accepted(1);

const fn z(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(epoch, counter)
}

fn txn(zxid: Zxid) -> Arc<Txn> {
    let header = TxnHeader { session: SessionId(1), cxid: 0, zxid, time: WallMs(0), kind: -1 };
    Arc::new(Txn { header, body: TxnBody::Error { err: -101 }, digest: None })
}

fn record(zxid: Zxid) -> LogRecord {
    LogRecord { zxid, bytes: txn(zxid).to_bytes() }
}

/// Three voters, as the oracle sees them.
#[derive(Clone)]
struct Scene {
    oracle: Ensemble,
    token: u64,
    now: Mono,
}

type Judged = Result<(), Violation>;

impl Scene {
    fn new() -> Self {
        let nodes = [1, 2, 3].map(|node| (node, Sid(i64::from(node))));
        let oracle = Ensemble::new(membership(&[1, 2, 3]).quorums().clone(), nodes);
        let mut scene = Self { oracle, token: 0, now: Mono(0) };
        for node in 1..=3 {
            scene.oracle.booted(node, Zxid::ZERO, Some(Epochs::default())).unwrap();
        }
        scene
    }

    fn act(&mut self, node: u32, action: Action) -> Judged {
        self.oracle.action(node, &action)
    }

    fn event(&mut self, node: u32, event: Event) -> Judged {
        self.act(node, Action::Event(event))
    }

    fn send(&mut self, node: u32, packet: QuorumPacket) -> Judged {
        self.act(node, Action::Send { link: LINK, packet })
    }

    fn arrive(&mut self, node: u32, from: u32, packet: QuorumPacket) -> Judged {
        let event = LinkEvent::Packet(packet);
        self.oracle.input(node, Some(from), self.now, &Input::Link { link: LINK, event })
    }

    fn say(&mut self, from: u32, to: u32, packet: QuorumPacket) -> Judged {
        self.send(from, packet.clone())?;
        self.arrive(to, from, packet)
    }

    fn stand(&mut self, node: u32, role: RoleKind, phase: Phase, leader: Option<u32>) -> Judged {
        let leader = leader.map(|node| Sid(i64::from(node)));
        self.act(node, Action::Role(Standing { role, phase, leader, clients: ClientService::Closed }))
    }

    fn order(&mut self, node: u32, command: impl FnOnce(Token) -> DiskCommand) -> Judged {
        self.token += 1;
        let command = command(Token(self.token));
        self.act(node, Action::Disk(command))
    }

    fn sync(&mut self, node: u32) -> Judged {
        self.oracle.input(node, None, self.now, &Input::Durable(Token(self.token)))
    }

    fn set(&mut self, node: u32, which: EpochKind, epoch: u32) -> Judged {
        self.order(node, |token| DiskCommand::SetEpoch { token, which, epoch })?;
        self.sync(node)
    }

    fn append(&mut self, node: u32, zxids: &[Zxid]) -> Judged {
        let records = zxids.iter().map(|zxid| record(*zxid)).collect();
        self.order(node, |token| DiskCommand::Append { token, records })
    }

    fn apply(&mut self, node: u32, zxid: Zxid) -> Judged {
        self.act(
            node,
            Action::Apply(vec![Commit::Txn { txn: txn(zxid), origin: None, mode: ApplyMode::Live }]),
        )
    }

    /// These have elected `leader`; each had a log that ended there, and had established that epoch.
    fn elect(&mut self, leader: u32, servers: &[(u32, Zxid, u32)]) {
        for &(node, zxid, epoch) in servers {
            self.event(node, Event::ElectionBegun { zxid, epoch }).unwrap();
            self.event(node, Event::ElectionDecided { leader: Sid(i64::from(leader)) }).unwrap();
            let role = if node == leader { RoleKind::Leading } else { RoleKind::Following };
            self.stand(node, role, Phase::Discovery, Some(leader)).unwrap();
        }
    }

    /// The leader proposes an epoch to its follower.
    fn propose(&mut self, leader: u32, follower: u32, had: u32, epoch: u32) -> Judged {
        let sid = Sid(i64::from(follower));
        let info = Some(LearnerInfo::new(sid, Zxid::ZERO));
        self.say(follower, leader, QuorumPacket::FollowerInfo { zxid: z(had, 0), learner: info })?;
        self.set(leader, EpochKind::Accepted, epoch)?;
        self.event(leader, Event::EpochProposed { epoch })?;
        let info = QuorumPacket::LeaderInfo { zxid: z(epoch, 0), protocol_version: PROTOCOL_VERSION };
        self.say(leader, follower, info)
    }

    /// The follower accepts it.
    fn accept(&mut self, leader: u32, follower: u32, had: (Zxid, u32), epoch: u32) -> Judged {
        self.set(follower, EpochKind::Accepted, epoch)?;
        self.event(follower, Event::EpochAccepted { epoch })?;
        let ack = QuorumPacket::AckEpoch { zxid: had.0, current_epoch: Some(had.1) };
        self.say(follower, leader, ack)?;
        self.stand(follower, RoleKind::Following, Phase::Synchronization, Some(leader))
    }

    fn lead(&mut self, leader: u32, epoch: u32) -> Judged {
        self.order(leader, |token| DiskCommand::SetEpoch { token, which: EpochKind::Current, epoch })?;
        self.stand(leader, RoleKind::Leading, Phase::Synchronization, Some(leader))
    }

    /// The follower, which lacks nothing, takes the history over.
    fn take_over(&mut self, leader: u32, follower: u32, end: Zxid, epoch: u32) -> Judged {
        let choice =
            Event::SyncChosen { learner: Sid(i64::from(follower)), kind: SyncKind::Diff, from: end, to: end };
        self.event(leader, choice)?;
        self.event(follower, Event::SyncBegun { kind: SyncKind::Diff, zxid: end })?;
        self.set(follower, EpochKind::Current, epoch)?;
        self.say(follower, leader, QuorumPacket::Ack { zxid: z(epoch, 0) })?;
        self.event(follower, Event::NewLeaderAcked { epoch, zxid: end })
    }

    fn establish(&mut self, node: u32, leader: u32, end: Zxid, epoch: u32) -> Judged {
        let role = if node == leader { RoleKind::Leading } else { RoleKind::Following };
        self.event(node, Event::EpochEstablished { epoch, zxid: end })?;
        self.stand(node, role, Phase::Broadcast, Some(leader))
    }

    /// 1 leads epoch 1 with 2 behind it.
    fn epoch_1() -> Self {
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
    fn one_commit() -> Self {
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

    fn leave(&mut self, node: u32) {
        self.event(node, Event::RoleLeft { why: Leave::LeaderSilent }).unwrap();
        self.stand(node, RoleKind::Looking, Phase::Election, None).unwrap();
    }
}

#[track_caller]
fn breaks(invariant: Invariant, outcome: Judged) {
    let violation = outcome.expect_err("it should break");
    assert_eq!(violation.invariant, invariant, "{violation}");
}

#[test]
fn a_good_run_breaks_nothing() {
    let mut scene = Scene::one_commit();
    scene.send(1, QuorumPacket::Commit { zxid: z(1, 1) }).unwrap();
    scene.apply(2, z(1, 1)).unwrap();
    scene.oracle.replied(1, z(1, 1)).unwrap();
    assert_eq!(scene.oracle.holders(z(1, 1)), [Sid(1), Sid(2)]);
    assert_eq!(scene.oracle.take_committed(), [txn(z(1, 1))]);
    // 3 has nothing; 2, which has, leads the next epoch with it.
    scene.leave(2);
    scene.elect(2, &[(2, z(1, 1), 1), (3, Zxid::ZERO, 0)]);
    scene.propose(2, 3, 0, 2).unwrap();
    scene.accept(2, 3, (Zxid::ZERO, 0), 2).unwrap();
    scene.lead(2, 2).unwrap();
}

/// 3 leads epoch `epoch` with an empty log, for it takes 2 to have nothing and to have accepted nothing.
fn usurp(scene: &mut Scene, epoch: u32) -> Judged {
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

#[test]
fn i01_an_epoch_is_led_twice() {
    breaks(Invariant::I01, usurp(&mut Scene::epoch_1(), 1));
}

#[test]
fn i02_a_txn_follows_two_others() {
    let mut scene = Scene::epoch_1();
    scene.append(1, &[z(1, 1), z(1, 2)]).unwrap();
    breaks(Invariant::I02, scene.append(2, &[z(1, 2)]));
}

#[test]
fn i03_a_txn_is_none_that_a_leader_broadcast() {
    breaks(Invariant::I03, Scene::epoch_1().append(2, &[z(1, 1)]));
    let mut scene = Scene::epoch_1();
    scene.append(1, &[z(1, 1)]).unwrap();
    let other = LogRecord { zxid: z(1, 1), bytes: Bytes::from_static(b"another") };
    let found = scene.order(2, |token| DiskCommand::Append { token, records: vec![other] });
    breaks(Invariant::I03, found);
    breaks(Invariant::I03, Scene::epoch_1().apply(1, z(1, 1)));
    let unknown = QuorumPacket::Proposal { zxid: z(1, 2), txn: Bytes::new() };
    breaks(Invariant::I03, Scene::epoch_1().send(1, unknown));
}

#[test]
fn i04_two_servers_deliver_what_the_other_will_not() {
    let mut scene = Scene::one_commit();
    scene.oracle.found(3, Zxid::ZERO, &[record(z(2, 1))], Epochs { accepted: 2, current: 2 }).unwrap();
    scene.act(3, Action::Adopt(Box::new(Tree::new()))).unwrap();
    breaks(Invariant::I04, scene.apply(3, z(2, 1)));
}

#[test]
fn i05_i06_a_txn_is_left_out() {
    let mut scene = Scene::one_commit();
    scene.append(1, &[z(1, 2), z(1, 3)]).unwrap();
    breaks(Invariant::I06, scene.apply(1, z(1, 3)));
    breaks(Invariant::I05, scene.apply(2, z(1, 2)));
}

#[test]
fn i07_an_old_epoch_is_committed_behind_a_new_one() {
    let mut scene = Scene::one_commit();
    scene.append(1, &[z(1, 2)]).unwrap();
    scene.leave(2);
    scene.elect(2, &[(2, z(1, 1), 1), (3, Zxid::ZERO, 0)]);
    scene.propose(2, 3, 0, 2).unwrap();
    scene.accept(2, 3, (Zxid::ZERO, 0), 2).unwrap();
    scene.lead(2, 2).unwrap();
    scene.append(3, &[z(1, 1)]).unwrap();
    scene.sync(3).unwrap();
    scene.take_over(2, 3, z(1, 1), 2).unwrap();
    scene.sync(2).unwrap();
    scene.establish(2, 2, z(1, 1), 2).unwrap();
    scene.apply(2, z(1, 1)).unwrap();
    scene.append(2, &[z(2, 1)]).unwrap();
    scene.append(3, &[z(2, 1)]).unwrap();
    scene.sync(3).unwrap();
    scene.sync(2).unwrap();
    scene.apply(2, z(2, 1)).unwrap();
    breaks(Invariant::I07, scene.apply(1, z(1, 2)));
}

#[test]
fn i08_a_leader_lacks_what_is_committed_or_will_be() {
    breaks(Invariant::I08, usurp(&mut Scene::one_commit(), 2));
    let mut scene = Scene::epoch_1();
    usurp(&mut scene, 2).unwrap();
    scene.append(1, &[z(1, 1)]).unwrap();
    scene.append(2, &[z(1, 1)]).unwrap();
    scene.sync(2).unwrap();
    breaks(Invariant::I08, scene.apply(1, z(1, 1)));
}

#[test]
fn i09_the_protocol_is_broken_though_nothing_was_garbled() {
    let fault = || PeerFault::Unasked { packet: "SYNC" };
    let hang = || Action::Hang { link: LINK, why: HangReason::Fault(fault()) };
    breaks(Invariant::I09, Scene::epoch_1().act(1, hang()));
    let left = Event::RoleLeft { why: Leave::Fault(fault()) };
    breaks(Invariant::I09, Scene::epoch_1().event(2, left));
    let mut scene = Scene::epoch_1();
    scene.oracle.garbled();
    scene.act(1, hang()).unwrap();
}

/// A server that votes, as if these were the voters.
struct Voter {
    node: u32,
    election: Election,
}

impl Voter {
    fn new(scene: &mut Scene, node: u32, voters: &[i64], zxid: Zxid) -> Self {
        let settings = ElectionSettings::default();
        let election = Election::new(Sid(i64::from(node)), settings, membership(voters));
        let mut voter = Self { node, election };
        scene.oracle.voted(node, &voter.election).unwrap();
        voter.election.start(Mono(0), Candidate { zxid, current_epoch: 0 }, &mut Vec::new());
        voter
    }

    fn hear(&mut self, scene: &mut Scene, from: u32, state: PeerState, vote: (i64, i64, i64), round: i64) {
        let (leader, zxid, peer_epoch) = vote;
        let vote = Vote { leader: Sid(leader), zxid: Zxid(zxid), peer_epoch };
        let said = Notification { state, vote, round, version: 2, config: None };
        let link = links::LinkId::Accepted(1);
        let input = PortInput::Notification { link, notification: said.clone() };
        scene.oracle.input(self.node, Some(from), Mono(0), &Input::Election(input)).unwrap();
        self.election.on_notification(Mono(0), Sid(i64::from(from)), said, &mut Vec::new());
    }

    fn silence(&mut self) {
        let now = self.election.deadline().expect("it waits");
        self.election.on_timer(now, Delivery::Some, &mut Vec::new());
    }

    fn judged(&self, scene: &mut Scene) -> Judged {
        scene.oracle.voted(self.node, &self.election)
    }
}

#[test]
fn i10_a_vote_gets_worse() {
    let mut scene = Scene::new();
    let mut voter = Voter::new(&mut scene, 1, &[1, 2, 3], Zxid::ZERO);
    voter.hear(&mut scene, 3, PeerState::Looking, (3, 0, 0), 1);
    voter.judged(&mut scene).unwrap();
    let mut fresh = Election::new(Sid(1), ElectionSettings::default(), membership(&[1, 2, 3]));
    fresh.start(Mono(0), Candidate { zxid: Zxid::ZERO, current_epoch: 0 }, &mut Vec::new());
    breaks(Invariant::I10, scene.oracle.voted(1, &fresh));
}

#[test]
fn i11_a_leader_is_taken_without_a_quorum_or_without_its_word() {
    let mut scene = Scene::new();
    let mut alone = Voter::new(&mut scene, 1, &[1], Zxid::ZERO);
    if alone.election.deadline().is_some() {
        alone.silence();
    }
    breaks(Invariant::I11, alone.judged(&mut scene));
    // In an ensemble of two, as this server believes, the word of the other is enough.
    let mut scene = Scene::new();
    let mut voter = Voter::new(&mut scene, 1, &[1, 2], Zxid::ZERO);
    voter.judged(&mut scene).unwrap();
    voter.election = Voter::new(&mut Scene::new(), 1, &[2], Zxid::ZERO).election;
    voter.hear(&mut scene, 2, PeerState::Leading, (2, 0, 0), 9);
    breaks(Invariant::I11, voter.judged(&mut scene));
}

#[test]
fn i12_who_is_elected_has_less_than_who_voted_for_it() {
    let mut scene = Scene::new();
    scene.oracle.found(2, Zxid::ZERO, &[record(z(1, 1))], Epochs { accepted: 1, current: 1 }).unwrap();
    let other = Voter::new(&mut scene, 2, &[1, 2, 3], z(1, 1));
    other.judged(&mut scene).unwrap();
    let mut voter = Voter::new(&mut scene, 1, &[1, 2, 3], Zxid::ZERO);
    voter.judged(&mut scene).unwrap();
    voter.hear(&mut scene, 2, PeerState::Looking, (1, 0, 0), 1);
    voter.judged(&mut scene).unwrap();
    voter.silence();
    breaks(Invariant::I12, voter.judged(&mut scene));
}

#[test]
fn who_led_and_comes_back_is_measured_by_what_it_has() {
    let mut scene = Scene::new();
    for node in [1, 3] {
        let epochs = Epochs { accepted: 1, current: 1 };
        scene.oracle.found(node, Zxid::ZERO, &[record(z(1, 1))], epochs).unwrap();
    }
    // The other was away, too, and had come into the round of the ensemble when it heard that it stands.
    let mut other = Voter::new(&mut scene, 3, &[1, 2, 3], z(1, 1));
    other.hear(&mut scene, 2, PeerState::Looking, (2, 0, 0), 4);
    other.judged(&mut scene).unwrap();
    let mut voter = Voter::new(&mut scene, 1, &[1, 2, 3], z(1, 1));
    voter.judged(&mut scene).unwrap();
    // They follow it still, as of that round, in which its log was empty.
    voter.hear(&mut scene, 3, PeerState::Looking, (3, 0, 0), 4);
    voter.judged(&mut scene).unwrap();
    for other in [2, 3] {
        voter.hear(&mut scene, other, PeerState::Following, (1, 0, 0), 4);
        voter.judged(&mut scene).expect("it has more than it had when they voted for it");
    }
    assert_eq!(voter.election.state(), PeerState::Leading);
}

#[test]
fn i13_a_server_without_a_vote_is_elected() {
    let mut scene = Scene::new();
    let mut voter = Voter::new(&mut scene, 1, &[1, 4], Zxid::ZERO);
    voter.hear(&mut scene, 3, PeerState::Looking, (4, 0, 0), 1);
    voter.judged(&mut scene).unwrap();
    let vote = Vote { leader: Sid(4), zxid: Zxid::ZERO, peer_epoch: 0 };
    let said = Notification { state: PeerState::Looking, vote, round: 1, version: 2, config: None };
    voter.election.on_notification(Mono(0), Sid(4), said, &mut Vec::new());
    voter.judged(&mut scene).unwrap();
    voter.silence();
    breaks(Invariant::I13, voter.judged(&mut scene));
}

#[test]
fn i14_an_epoch_falls_or_is_established_before_it_is_accepted() {
    breaks(Invariant::I14, Scene::new().set(1, EpochKind::Current, 1));
    breaks(Invariant::I14, Scene::epoch_1().set(1, EpochKind::Accepted, 0));
    let fell = Some(Epochs { accepted: 0, current: 0 });
    breaks(Invariant::I14, Scene::epoch_1().oracle.booted(1, Zxid::ZERO, fell));
}

#[test]
fn i15_a_log_has_a_hole_or_is_cut_where_it_is_not() {
    breaks(Invariant::I15, Scene::epoch_1().append(1, &[z(1, 1), z(1, 3)]));
    let cut = |token| DiskCommand::Truncate { token, to: z(1, 1) };
    breaks(Invariant::I15, Scene::epoch_1().order(2, cut));
}

#[test]
fn i16_what_is_committed_is_not_held_by_a_quorum() {
    let mut scene = Scene::epoch_1();
    scene.append(1, &[z(1, 1)]).unwrap();
    scene.sync(1).unwrap();
    scene.append(2, &[z(1, 1)]).unwrap();
    breaks(Invariant::I16, scene.apply(1, z(1, 1)));
    let cut = |token| DiskCommand::Truncate { token, to: Zxid::ZERO };
    breaks(Invariant::I16, Scene::one_commit().order(1, cut));
    let mut scene = Scene::one_commit();
    scene.order(2, cut).expect("it does not know, and others may hold it");
    breaks(Invariant::I16, scene.sync(2));
    let mut scene = Scene::one_commit();
    scene.append(1, &[z(1, 2)]).unwrap();
    breaks(Invariant::I16, scene.send(1, QuorumPacket::Commit { zxid: z(1, 2) }));
    breaks(Invariant::I16, scene.oracle.replied(1, z(1, 2)));
}

#[test]
fn i17_more_is_said_than_the_disk_holds() {
    let mut scene = Scene::epoch_1();
    scene.append(1, &[z(1, 1)]).unwrap();
    scene.append(2, &[z(1, 1)]).unwrap();
    breaks(Invariant::I17, scene.send(2, QuorumPacket::Ack { zxid: z(1, 1) }));
    // Of an epoch.
    let mut scene = Scene::new();
    scene.elect(1, &[(1, Zxid::ZERO, 0), (2, Zxid::ZERO, 0)]);
    scene.propose(1, 2, 0, 1).unwrap();
    let ack = QuorumPacket::AckEpoch { zxid: Zxid::ZERO, current_epoch: Some(0) };
    breaks(Invariant::I17, scene.send(2, ack));
    let info = QuorumPacket::LeaderInfo { zxid: z(2, 0), protocol_version: PROTOCOL_VERSION };
    breaks(Invariant::I17, scene.send(1, info));
    scene.accept(1, 2, (Zxid::ZERO, 0), 1).unwrap();
    // Of a history.
    breaks(Invariant::I17, scene.send(2, QuorumPacket::Ack { zxid: z(1, 0) }));
    breaks(Invariant::I17, scene.send(1, QuorumPacket::UpToDate));
    // Of oneself, in an election.
    let vote = Vote { leader: Sid(1), zxid: z(1, 1), peer_epoch: 0 };
    let said = Notification { state: PeerState::Looking, vote, round: 1, version: 2, config: None };
    let link = links::LinkId::Accepted(1);
    breaks(Invariant::I17, scene.act(1, Action::Election { link, command: LinkCommand::Send(said) }));
}

#[test]
fn i18_recovery_ends_where_the_disk_never_was() {
    let mut scene = Scene::one_commit();
    let epochs = Some(Epochs { accepted: 1, current: 1 });
    breaks(Invariant::I18, scene.oracle.booted(2, Zxid::ZERO, epochs));
    breaks(Invariant::I18, scene.oracle.booted(2, z(1, 2), epochs));
    scene.append(1, &[z(1, 2), z(1, 3)]).unwrap();
    let mut half_written = scene.oracle.clone();
    half_written.booted(1, z(1, 2), epochs).unwrap();
    breaks(Invariant::I18, scene.oracle.refused(2));
}

#[test]
fn i19_a_sick_disk_promises() {
    let mut scene = Scene::one_commit();
    scene.oracle.fsync_failed(2);
    breaks(Invariant::I19, scene.send(2, QuorumPacket::Ack { zxid: z(1, 1) }));
    breaks(Invariant::I19, scene.send(2, QuorumPacket::Ack { zxid: z(1, 0) }));
}

#[test]
fn zab_has_no_such_step() {
    let at = |scene: &mut Scene| scene.event(2, Event::ElectionBegun { zxid: Zxid::ZERO, epoch: 1 });
    breaks(Invariant::Zab, at(&mut Scene::epoch_1()));
    // An epoch that those who came had accepted before.
    let mut scene = Scene::new();
    scene.elect(1, &[(1, Zxid::ZERO, 0), (2, Zxid::ZERO, 0)]);
    let learner = Some(LearnerInfo::new(Sid(2), Zxid::ZERO));
    scene.arrive(1, 2, QuorumPacket::FollowerInfo { zxid: z(1, 0), learner }).unwrap();
    scene.set(1, EpochKind::Accepted, 1).unwrap();
    breaks(Invariant::Zab, scene.event(1, Event::EpochProposed { epoch: 1 }));
    // Led without anybody's word.
    breaks(Invariant::Zab, scene.lead(1, 1));
    // Established without a quorum that took the history over.
    let mut scene = Scene::new();
    scene.elect(1, &[(1, Zxid::ZERO, 0), (2, Zxid::ZERO, 0)]);
    scene.propose(1, 2, 0, 1).unwrap();
    scene.accept(1, 2, (Zxid::ZERO, 0), 1).unwrap();
    scene.lead(1, 1).unwrap();
    scene.sync(1).unwrap();
    breaks(Invariant::Zab, scene.establish(1, 1, Zxid::ZERO, 1));
    // Served before that.
    breaks(Invariant::Zab, scene.stand(2, RoleKind::Following, Phase::Broadcast, Some(1)));
    // Committed by a learner before its leader.
    let mut scene = Scene::epoch_1();
    scene.append(1, &[z(1, 1)]).unwrap();
    scene.append(2, &[z(1, 1)]).unwrap();
    breaks(Invariant::Zab, scene.apply(2, z(1, 1)));
    // A sync that leads elsewhere.
    let choice = Event::SyncChosen { learner: Sid(3), kind: SyncKind::Trunc, from: Zxid::ZERO, to: z(1, 1) };
    breaks(Invariant::Zab, scene.event(1, choice));
}

#[test]
fn what_faults_destroyed_is_not_held_against_the_servers() {
    let mut scene = Scene::one_commit();
    scene.oracle.destroyed(2, Destroyed::Wipe);
    assert!(scene.oracle.is_in_doubt(), "only one server is left that has it");
    scene.oracle.booted(2, Zxid::ZERO, None).unwrap();
    scene.elect(3, &[(2, Zxid::ZERO, 0), (3, Zxid::ZERO, 0)]);
    scene.propose(3, 2, 0, 1).unwrap();
    scene.accept(3, 2, (Zxid::ZERO, 0), 1).unwrap();
    assert_eq!(scene.oracle.lost(), None);
    scene.lead(3, 1).unwrap();
    assert_eq!(scene.oracle.lost().map(|lost| lost.invariant), Some(Invariant::I01));
}

#[test]
fn a_wiped_server_that_is_synchronised_again_ends_the_doubt() {
    let mut scene = Scene::one_commit();
    scene.oracle.destroyed(2, Destroyed::Rot);
    scene.oracle.refused(2).unwrap();
    assert!(scene.oracle.is_in_doubt());
    scene.oracle.destroyed(2, Destroyed::Wipe);
    scene.oracle.booted(2, Zxid::ZERO, None).unwrap();
    scene.set(2, EpochKind::Accepted, 1).unwrap();
    scene.append(2, &[z(1, 1)]).unwrap();
    assert!(scene.oracle.is_in_doubt());
    scene.sync(2).unwrap();
    assert!(scene.oracle.is_in_doubt(), "it may have accepted the epoch of anybody");
    scene.set(2, EpochKind::Current, 1).unwrap();
    assert!(!scene.oracle.is_in_doubt());
}

const SESSION: SessionId = SessionId(0x0200_0000_0000_0001);

/// A session with this timeout is asked for at node 2, and opened by node 1, which leads.
fn open(scene: &mut Scene, timeout_ms: i32) {
    let body = TxnBody::CreateSession { timeout_ms };
    let header = TxnHeader { session: SESSION, cxid: 0, zxid: z(1, 1), time: WallMs(0), kind: body.kind() };
    let bytes = Txn { header, body, digest: None }.to_bytes();
    scene
        .order(1, |token| DiskCommand::Append { token, records: vec![LogRecord { zxid: z(1, 1), bytes }] })
        .unwrap();
}

#[test]
fn i29_a_session_expires_though_its_client_was_heard() {
    let ms = |ms: u64| Mono(ms * 1_000_000);
    let touched = |timeout_ms| vec![Touch { session: SESSION, timeout_ms }];
    let expire = |scene: &mut Scene, at| {
        scene.now = at;
        scene.oracle.input(1, None, at, &Input::Tick).unwrap();
        scene.event(1, Event::SessionExpiring { session: SESSION })
    };
    let mut scene = Scene::epoch_1();
    open(&mut scene, 4_000);
    breaks(Invariant::I29, expire(&mut scene.clone(), ms(3_999)));
    expire(&mut scene.clone(), ms(4_000)).unwrap();
    // By a learner's report; with a timeout that the client has asked for since.
    scene.now = ms(3_000);
    scene.arrive(1, 2, QuorumPacket::PingReply { zxid: z(1, 1), touches: touched(6_000) }).unwrap();
    breaks(Invariant::I29, expire(&mut scene.clone(), ms(8_999)));
    expire(&mut scene.clone(), ms(9_000)).unwrap();
    // By a request that a learner passes on, and by one of its own client.
    let request = ForwardedRequest { session: SESSION, cxid: 1, op: 4, body: Bytes::new(), auth: None };
    scene.now = ms(8_000);
    scene.arrive(1, 2, QuorumPacket::Request(request)).unwrap();
    breaks(Invariant::I29, expire(&mut scene.clone(), ms(13_999)));
    scene.oracle.input(1, None, ms(13_000), &Input::Touched(touched(6_000))).unwrap();
    breaks(Invariant::I29, expire(&mut scene.clone(), ms(18_999)));
    // A client comes to another server with it.
    scene.now = ms(18_000);
    let touch = Touch { session: SESSION, timeout_ms: 2_000 };
    scene.arrive(1, 3, QuorumPacket::Revalidate { touch }).unwrap();
    scene.send(1, QuorumPacket::Revalidated { session: SESSION, valid: true }).unwrap();
    breaks(Invariant::I29, expire(&mut scene.clone(), ms(19_999)));
    expire(&mut scene, ms(20_000)).unwrap();
}

#[test]
fn i29_a_learner_keeps_what_it_has_heard_of_a_client_to_itself() {
    let heard = Input::Touched(vec![Touch { session: SESSION, timeout_ms: 4_000 }]);
    let answer = |touches| QuorumPacket::PingReply { zxid: z(1, 1), touches };
    let mut scene = Scene::epoch_1();
    scene.oracle.input(2, None, Mono(0), &heard).unwrap();
    breaks(Invariant::I29, scene.clone().send(2, answer(vec![])));
    scene.send(2, answer(vec![Touch { session: SESSION, timeout_ms: 4_000 }])).unwrap();
    scene.send(2, answer(vec![])).unwrap();
}

#[test]
fn i40_a_server_holds_more_than_it_may() {
    let alone = Duration::from_secs(3);
    let limits = Limits { requests: 3, election_links: 4, quorum_links: 2, queued: 100, alone };
    let most =
        Load { requests: 3, election_links: 4, quorum_links: 2, queued: 100, alone, is_overdue: false };
    let mut scene = Scene::epoch_1();
    scene.oracle = scene.oracle.within(limits);
    scene.oracle.carries(1, &most).unwrap();
    for more in [
        Load { requests: 4, ..most },
        Load { election_links: 5, ..most },
        Load { quorum_links: 3, ..most },
        Load { queued: 101, ..most },
        Load { alone: alone + Duration::from_nanos(1), ..most },
        Load { is_overdue: true, ..most },
    ] {
        breaks(Invariant::I40, scene.oracle.carries(1, &more));
    }
}

#[test]
fn i31_a_session_that_has_moved_asks_from_where_it_was() {
    let request = |cxid| {
        QuorumPacket::Request(ForwardedRequest {
            session: SessionId(1),
            cxid,
            op: 5,
            body: Bytes::new(),
            auth: None,
        })
    };
    let made = |cxid, zxid, body: TxnBody| {
        let header = TxnHeader { session: SessionId(1), cxid, zxid, time: WallMs(0), kind: body.kind() };
        LogRecord { zxid, bytes: Txn { header, body, digest: None }.to_bytes() }
    };
    let set = || TxnBody::SetData { path: "/a".into(), data: None, version: 1 };
    let ask = |scene: &mut Scene, from, cxid, record: LogRecord| {
        scene.arrive(1, from, request(cxid)).unwrap();
        scene.order(1, |token| DiskCommand::Append { token, records: vec![record] })
    };
    let mut scene = Scene::epoch_1();
    ask(&mut scene, 2, 1, made(1, z(1, 1), set())).unwrap();
    breaks(Invariant::I31, ask(&mut scene.clone(), 3, 2, made(2, z(1, 2), set())));
    // Whoever comes is asked for at the leader, and has it then.
    let touch = Touch { session: SessionId(1), timeout_ms: 4000 };
    scene.arrive(1, 3, QuorumPacket::Revalidate { touch }).unwrap();
    scene.send(1, QuorumPacket::Revalidated { session: SessionId(1), valid: true }).unwrap();
    let moved = || TxnBody::Error { err: -118 };
    breaks(Invariant::I31, ask(&mut scene.clone(), 3, 3, made(3, z(1, 2), moved())));
    ask(&mut scene, 3, 3, made(3, z(1, 2), set())).unwrap();
    ask(&mut scene, 2, 4, made(4, z(1, 3), moved())).unwrap();
    breaks(Invariant::I31, ask(&mut scene, 2, 5, made(5, z(1, 4), set())));
}
