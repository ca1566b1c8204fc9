//! What disks hold, what is said of them, and what faults have destroyed.

use zk_core::action::{Action, DiskCommand};
use zk_core::disk::epochs::{EpochKind, Epochs};
use zk_core::election::links::{self, LinkCommand};
use zk_core::election::vote::{Notification, Vote};
use zk_core::ids::{PeerState, Sid, Zxid};
use zk_core::wire::quorum::{PROTOCOL_VERSION, QuorumPacket};
use zk_sim::oracle::{Destroyed, Invariant};

use crate::scene::{Scene, breaks, z};

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
