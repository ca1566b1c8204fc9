//! Who leads, what is logged behind what, and what is committed.

use bytes::Bytes;
use zk_core::action::{Action, DiskCommand, HangReason, LogRecord};
use zk_core::disk::epochs::{EpochKind, Epochs};
use zk_core::event::Event;
use zk_core::ids::{Sid, Zxid};
use zk_core::replica::{Leave, PeerFault, Phase, RoleKind, SyncKind};
use zk_core::tree::Tree;
use zk_core::wire::quorum::{LearnerInfo, QuorumPacket};
use zk_sim::oracle::Invariant;

use crate::scene::{LINK, Scene, breaks, record, txn, usurp, z};

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
