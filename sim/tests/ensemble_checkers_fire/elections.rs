//! Votes, and what is made of them.

use zk_core::disk::epochs::Epochs;
use zk_core::election::links;
use zk_core::election::port::PortInput;
use zk_core::election::vote::{Notification, Vote};
use zk_core::election::{Candidate, Delivery, Election, ElectionSettings};
use zk_core::ids::{PeerState, Sid, Zxid};
use zk_core::input::Input;
use zk_core::time::Mono;
use zk_sim::oracle::Invariant;

use crate::scene::{Judged, Scene, breaks, membership, record, z};

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
