//! Servers that a text plays: they say what it tells them to, and what they are told is only shown. So the orders of older
//! Java servers can be played, and those of servers that are broken.

use bytes::Bytes;
use zk_core::election::links::{self, Hello};
use zk_core::election::port::PortInput;
use zk_core::election::vote::{NOTIFICATION_VERSION, Notification, Vote};
use zk_core::ids::{LinkId, PeerState, SessionId, Sid, Zxid};
use zk_core::input::{Input, LinkEvent, Touch};
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Changes, Tree};
use zk_core::wire::quorum::{ForwardedRequest, LearnerInfo, PROTOCOL_VERSION, QuorumPacket};
use zk_core::wire::records::Acl;
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};

use super::World;
use super::wires::{End, Item, Name, Wire};

impl World {
    /// It claims to be in this state behind this leader, to every server that runs.
    pub(crate) fn puppet_votes(&mut self, sid: Sid, state: PeerState, vote: Vote, round: i64) {
        let notification = Notification {
            state,
            vote,
            round,
            version: NOTIFICATION_VERSION,
            config: Some(self.config.clone()),
        };
        for to in self.running() {
            if sid > to && self.wire_between(sid, to, true).is_none() {
                let (name, theirs) = self.puppet_names(true);
                self.wires.push(Wire::new([end(sid, name), end(to, theirs)]));
                let Name::Election(link) = theirs else { panic!("a name of the election port") };
                let event = |event| Input::Election(PortInput::Link { link, event });
                self.step(to, event(links::LinkEvent::Accepted));
                self.step(to, event(links::LinkEvent::Heard(Hello { sid, addresses: vec![] })));
            }
            // Who is larger dials, when it has something to say.
            self.run();
            let (wire, at) =
                self.wire_between(sid, to, true).unwrap_or_else(|| panic!("{to} has not dialled {sid}"));
            self.wires[wire].put(at, Item::Vote(notification.clone()));
        }
    }

    /// It connects to a leader's quorum port.
    pub(crate) fn puppet_dials(&mut self, sid: Sid, to: Sid) {
        assert!(self.up(to).listening, "{to} does not listen");
        let (name, theirs) = self.puppet_names(false);
        self.wires.push(Wire::new([end(sid, name), end(to, theirs)]));
        let Name::Quorum(link) = theirs else { panic!("a name of the quorum port") };
        self.step(to, Input::Link { link, event: LinkEvent::Up });
    }

    pub(crate) fn puppet_says(&mut self, from: Sid, to: Sid, item: Item) {
        let found = self.wire_between(from, to, false);
        let (wire, at) = found.unwrap_or_else(|| panic!("no quorum link between {from} and {to}"));
        self.wires[wire].put(at, item);
    }

    pub(crate) fn puppet_hangs_up(&mut self, from: Sid, to: Sid) {
        let (wire, at) = self.wire_between(from, to, false).unwrap();
        self.wires[wire].close(at);
    }

    pub(crate) fn puppet_names(&mut self, election: bool) -> (Name, Name) {
        self.accepted += 1;
        let n = self.accepted;
        if election {
            (Name::Election(links::LinkId::Dialled(n)), Name::Election(links::LinkId::Accepted(n)))
        } else {
            (Name::Quorum(LinkId::Dialled(n)), Name::Quorum(LinkId::Accepted(n)))
        }
    }

    /// The newest open wire of this port between two servers, and the end of the first.
    fn wire_between(&self, a: Sid, b: Sid, election: bool) -> Option<(usize, usize)> {
        let right = |wire: &Wire, at: usize| {
            wire.ends[at].sid == a
                && wire.ends[1 - at].sid == b
                && wire.ends.iter().all(|end| end.open)
                && matches!(wire.ends[at].name, Name::Election(_)) == election
        };
        let mut newest = self.wires.iter().enumerate().rev();
        newest.find_map(|(i, wire)| (0..2).find(|at| right(wire, *at)).map(|at| (i, at)))
    }
}

const fn end(sid: Sid, name: Name) -> End {
    End { sid, name, open: true }
}

/// A create of this path, or for `session` a createSession.
pub(crate) fn txn(zxid: Zxid, what: &str) -> Txn {
    let body = if what == "session" {
        TxnBody::CreateSession { timeout_ms: 4000 }
    } else if what == "error" {
        TxnBody::Error { err: -101 }
    } else {
        TxnBody::Create(CreateTxn {
            kind: CreateKind::Create,
            path: what.into(),
            data: None,
            acl: vec![Acl::world(31)],
            ephemeral: false,
            parent_cversion: -1,
        })
    };
    let header = TxnHeader { session: SessionId(0x77), cxid: 1, zxid, time: WallMs(1), kind: body.kind() };
    Txn { header, body, digest: None }
}

/// What the words say: a packet's name as in the protocol, its zxid, and what it carries.
pub(crate) fn item(from: Sid, words: &[&str]) -> Item {
    let zxid = words.get(1).and_then(|word| i64::from_str_radix(word, 16).ok()).map(Zxid);
    let z = || zxid.unwrap_or_else(|| panic!("{words:?} needs a zxid"));
    let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let encoded = || txn(z(), words[2]).to_bytes();
    let learner =
        || Some(LearnerInfo::new(Sid(value("sid").map_or(from.0, |n| n.parse().unwrap())), Zxid(0)));
    Item::Packet(match words[0] {
        "FOLLOWERINFO" if value("old").is_some() => QuorumPacket::FollowerInfo { zxid: z(), learner: None },
        "FOLLOWERINFO" => QuorumPacket::FollowerInfo { zxid: z(), learner: learner() },
        "OBSERVERINFO" => QuorumPacket::ObserverInfo { zxid: z(), learner: learner() },
        "LEADERINFO" => QuorumPacket::LeaderInfo { zxid: z(), protocol_version: PROTOCOL_VERSION },
        "ACKEPOCH" => {
            let current_epoch = value("epoch").and_then(|epoch| epoch.parse().ok());
            QuorumPacket::AckEpoch { zxid: z(), current_epoch }
        }
        "DIFF" => QuorumPacket::Diff { zxid: z() },
        "TRUNC" => QuorumPacket::Trunc { zxid: z() },
        "SNAP" => return Item::View(Box::new(tree(z(), &words[2..]))),
        "NEWLEADER" => QuorumPacket::NewLeader { zxid: z(), config: Some(Bytes::new()) },
        "UPTODATE" => QuorumPacket::UpToDate,
        "PROPOSAL" => QuorumPacket::Proposal { zxid: z(), txn: encoded() },
        "GARBAGE" => QuorumPacket::Proposal { zxid: z(), txn: Bytes::from_static(b"?") },
        "MISLABELLED" => QuorumPacket::Proposal { zxid: Zxid(z().0 + 1), txn: encoded() },
        "INFORM" => QuorumPacket::Inform { zxid: z(), txn: encoded() },
        "COMMIT" => QuorumPacket::Commit { zxid: z() },
        "COMMITANDACTIVATE" => QuorumPacket::CommitAndActivate { zxid: z(), leader: Sid(1) },
        "ACK" => QuorumPacket::Ack { zxid: z() },
        "PING" => QuorumPacket::Ping { zxid: z() },
        "PONG" => QuorumPacket::PingReply { zxid: z(), touches: vec![] },
        "SYNC" => QuorumPacket::Sync,
        "REVALIDATE" => {
            QuorumPacket::Revalidate { touch: Touch { session: SessionId(z().0), timeout_ms: 4000 } }
        }
        "REVALIDATED" => QuorumPacket::Revalidated { session: SessionId(z().0), valid: true },
        "REQUEST" => QuorumPacket::Request(ForwardedRequest {
            session: SessionId(z().0),
            cxid: 7,
            op: words[2].parse().unwrap(),
            body: Bytes::from_static(&[0, 0, 0x0f, 0xa0]),
            auth: None,
        }),
        "UNKNOWN" => QuorumPacket::Unknown { kind: 99, zxid: z(), data: None },
        other => panic!("no packet {other:?}"),
    })
}

/// A tree as of `zxid` with these nodes: from Java it may have those of later txns, too.
pub(crate) fn tree(zxid: Zxid, paths: &[&str]) -> Tree {
    let mut tree = Tree::new();
    let mut apply = |txn| drop(tree.apply(&txn, ApplyMode::Replay, &mut Changes::new()));
    for path in paths.iter().filter(|path| path.starts_with('/')) {
        apply(txn(Zxid(1), path));
    }
    apply(txn(zxid, "error"));
    tree
}

/// A notification's vote.
pub(crate) fn vote(leader: Sid, zxid: Zxid, peer_epoch: i64) -> Vote {
    Vote { leader, zxid, peer_epoch }
}

/// A state by its name.
pub(crate) fn state(name: &str) -> PeerState {
    match name {
        "looking" => PeerState::Looking,
        "following" => PeerState::Following,
        "leading" => PeerState::Leading,
        other => panic!("no state {other:?}"),
    }
}
