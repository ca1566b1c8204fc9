//! What Java's servers said to one another on the quorum port, with one of ours in the place of one of them: it hears what
//! Java's heard, in the same order, and must say what Java's said. Where it says something else the difference has a name,
//! here.

mod captures;
mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use captures::{Capture, Connection, Kind, capture};
use cluster::wires::Item;
use cluster::{Options, World, disk::Disk, puppets};
use zk_core::action::LogRecord;
use zk_core::auth::AuthInfo;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::ids::{ConnId, PeerState, SessionId, Sid, Zxid};
use zk_core::input::{Access, ClientRequest, Input, RequestBody, SessionAsk};
use zk_core::peer::quorum_link::{Arrival, QuorumReader};
use zk_core::replica::Phase;
use zk_core::tree::{Tree, TreeConfig};
use zk_core::wire::client::op;
use zk_core::wire::jute::Jute;
use zk_core::wire::limits::JUTE_MAX_FIELD;
use zk_core::wire::quorum::{ForwardedRequest, QuorumPacket, Sender};
use zk_core::wire::request::Request;
use zk_core::wire::txn::{Txn, TxnBody, TxnHeader, kind};

/// One thing that one side of a connection said.
#[derive(Clone, Debug)]
struct Said {
    time: f64,
    by: Sender,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Packet(QuorumPacket),
    /// SNAP and what came behind it.
    View(Box<Tree>),
}

/// A connection of the quorum port, both sides in the order of time.
struct Talk {
    name: String,
    learner: Sid,
    leader: Sid,
    said: Vec<Said>,
}

fn sid(server: &str) -> Option<Sid> {
    server.strip_prefix("server")?.parse().ok().map(Sid)
}

fn side(connection: &Connection, by: Sender) -> Vec<Said> {
    let side = match by {
        Sender::Leader => &connection.from_listener,
        Sender::Learner => &connection.from_dialer,
    };
    let mut reader = QuorumReader::new(by, JUTE_MAX_FIELD, TreeConfig::default());
    let mut said = vec![];
    for record in &side.records {
        reader.push(&record.bytes);
        while let Ok(Some(arrival)) = reader.next_arrival() {
            let what = match arrival {
                Arrival::Packet(QuorumPacket::Snap { .. }) => continue,
                Arrival::Packet(packet) => What::Packet(packet),
                Arrival::Snapshot { tree, .. } => What::View(tree),
            };
            said.push(Said { time: record.time, by, what });
        }
    }
    said
}

fn talks(capture: &Capture) -> Vec<Talk> {
    let mut talks = vec![];
    for connection in capture.connections.iter().filter(|c| c.kind == Kind::Quorum) {
        let (Some(learner), Some(leader)) = (sid(&connection.dialer), sid(&connection.listener)) else {
            continue;
        };
        let mut said = side(connection, Sender::Learner);
        said.extend(side(connection, Sender::Leader));
        said.sort_by(|a, b| a.time.total_cmp(&b.time));
        talks.push(Talk {
            name: format!("{} connection {}", capture.name, connection.n),
            learner,
            leader,
            said,
        });
    }
    talks
}

impl Talk {
    fn packets(&self, by: Sender) -> impl Iterator<Item = &QuorumPacket> {
        self.said.iter().filter(move |said| said.by == by).filter_map(|said| match &said.what {
            What::Packet(packet) => Some(packet),
            What::View(_) => None,
        })
    }

    fn began(&self) -> f64 {
        self.said[0].time
    }

    /// Epoch and config of the leader.
    fn new_leader(&self) -> (u32, QuorumConfig) {
        let found = self.packets(Sender::Leader).find_map(|packet| match packet {
            QuorumPacket::NewLeader { zxid, config: Some(config) } => {
                Some((zxid.epoch(), QuorumConfig::parse(std::str::from_utf8(config).unwrap()).unwrap()))
            }
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{}: no NEWLEADER", self.name))
    }
}

/// Every txn of the capture, by zxid.
fn history(capture: &Capture) -> BTreeMap<Zxid, Bytes> {
    let mut history = BTreeMap::new();
    for talk in talks(capture) {
        for packet in talk.packets(Sender::Leader) {
            if let QuorumPacket::Proposal { zxid, txn } | QuorumPacket::Inform { zxid, txn } = packet {
                history.insert(*zxid, txn.clone());
            }
        }
    }
    history
}

/// The newest snapshot in the capture that is not beyond this.
fn snapshot(capture: &Capture, last: Zxid) -> Option<Tree> {
    let said = talks(capture).into_iter().flat_map(|talk| talk.said);
    let views = said.filter_map(|said| match said.what {
        What::View(tree) if tree.last_zxid() <= last => Some(*tree),
        _ => None,
    });
    views.max_by_key(Tree::last_zxid)
}

/// A disk with the capture's txns through `last`; what the capture lacks of them is made up.
fn seed(capture: &Capture, last: Zxid, accepted: u32, current: u32) -> Disk {
    let mut disk = Disk::default();
    let image = &mut disk.image;
    image.accepted = Some(accepted);
    image.current = Some(current);
    let history = history(capture);
    let record = |(zxid, bytes): (&Zxid, &Bytes)| LogRecord { zxid: *zxid, bytes: bytes.clone() };
    if let Some(base) = snapshot(capture, last).filter(|base| base.last_zxid().counter() > 0) {
        image.log =
            history.range(..=last).filter(|(zxid, _)| **zxid > base.last_zxid()).map(record).collect();
        image.snapshots.insert(base.last_zxid(), base);
        return disk;
    }
    image.log = history.range(..=last).map(record).collect();
    let found = image.log.last().map_or(Zxid::ZERO, |record| record.zxid);
    let mut base = Tree::new();
    if found < last {
        // A few txns that change nothing, so that there is something to be cut off.
        let first = last.counter().saturating_sub(4).max(1);
        for counter in first..=last.counter() {
            let zxid = Zxid::new(last.epoch(), counter);
            if zxid > found {
                image.log.push(LogRecord { zxid, bytes: nothing(zxid) });
            }
        }
        base = puppets::tree(Zxid::new(last.epoch(), first - 1), &[]);
    }
    image.snapshots.insert(base.last_zxid(), base);
    disk
}

fn nothing(zxid: Zxid) -> Bytes {
    let header =
        TxnHeader { session: SessionId(1), cxid: 0, zxid, time: zk_core::time::WallMs(0), kind: kind::ERROR };
    Txn { header, body: TxnBody::Error { err: -101 }, digest: None }.to_bytes()
}

fn world(config: QuorumConfig, real: Sid) -> World {
    let mut world = World::new(config, Options::default());
    world.puppets = world.config.members().map(|member| member.sid).filter(|sid| *sid != real).collect();
    world
}

/// What a client asked for, from what a learner made of it.
fn asked(request: &ForwardedRequest) -> RequestBody {
    let decoded = Request::decode(request.op, request.body.clone());
    RequestBody::Op(decoded.unwrap().unwrap_or_else(|| panic!("opcode {}", request.op)))
}

/// Sequences by the kind of packet: how they interleave depends on threads and disks.
#[derive(Debug, Default, PartialEq)]
struct Sequences(BTreeMap<&'static str, Vec<QuorumPacket>>);

impl Sequences {
    fn put(&mut self, packet: QuorumPacket) {
        let family = match &packet {
            QuorumPacket::Ack { zxid } if zxid.counter() > 0 => "acks",
            QuorumPacket::Ping { .. } | QuorumPacket::PingReply { .. } => "pings",
            QuorumPacket::Request(_) => "requests",
            QuorumPacket::Proposal { .. } => "proposals",
            QuorumPacket::Commit { .. } => "commits",
            QuorumPacket::Inform { .. } => "informs",
            QuorumPacket::Sync => "syncs",
            QuorumPacket::Revalidate { .. } | QuorumPacket::Revalidated { .. } => "sessions",
            _ => "handshake",
        };
        self.0.entry(family).or_default().push(packet);
    }

    fn of(packets: impl IntoIterator<Item = QuorumPacket>) -> Self {
        let mut sequences = Self::default();
        packets.into_iter().for_each(|packet| sequences.put(packet));
        sequences
    }

    fn drop_family(&mut self, family: &str) {
        self.0.remove(family);
    }
}

fn assert_same(name: &str, found: &Sequences, java: &Sequences) {
    let families: BTreeSet<_> = found.0.keys().chain(java.0.keys()).collect();
    for family in families {
        let (found, java) = (found.0.get(family), java.0.get(family));
        assert_eq!(found, java, "{name}: {family}");
    }
}

/// Ours in the place of the learner.
fn learn(capture: &Capture, talk: &Talk) {
    let (epoch, config) = talk.new_leader();
    let mut accepted = 0;
    let mut last = Zxid::ZERO;
    let mut current = None;
    let mut observes = false;
    for packet in talk.packets(Sender::Learner) {
        match packet {
            QuorumPacket::FollowerInfo { zxid, .. } => accepted = zxid.epoch(),
            QuorumPacket::ObserverInfo { zxid, .. } => (accepted, observes) = (zxid.epoch(), true),
            QuorumPacket::AckEpoch { zxid, current_epoch } => (last, current) = (*zxid, *current_epoch),
            _ => {}
        }
    }
    let mut world = world(config, talk.learner);
    let history = history(capture);
    world.history_is_made_up = last > Zxid::ZERO && !history.contains_key(&last);
    let disk = seed(capture, last, accepted, current.unwrap_or(accepted));
    world.place_disk(talk.learner, disk);
    world.start(talk.learner);
    let vote = puppets::vote(talk.leader, Zxid(0), i64::from(epoch) - 1);
    let voters: Vec<_> = world.config.voters().filter(|sid| *sid != talk.learner).collect();
    for voter in voters {
        let state = if voter == talk.leader { PeerState::Leading } else { PeerState::Following };
        world.puppet_votes(voter, state, vote, 1);
    }
    world.pass(300);
    assert!(observes || talk.learner != talk.leader);
    let mut replies = talk.packets(Sender::Learner).filter_map(|packet| match packet {
        QuorumPacket::PingReply { touches, .. } => Some(touches.clone()),
        _ => None,
    });
    let mut up_to_date = false;
    for Said { by, what, .. } in &talk.said {
        match (by, what) {
            (Sender::Leader, What::View(tree)) => {
                world.puppet_says(talk.leader, talk.learner, Item::View(tree.clone()));
            }
            (Sender::Leader, What::Packet(packet)) => {
                up_to_date |= *packet == QuorumPacket::UpToDate;
                if up_to_date && matches!(packet, QuorumPacket::Ping { .. }) {
                    // Its clients show life as they did with Java.
                    let Some(touches) = replies.next() else { continue };
                    world.step(talk.learner, Input::Touched(touches));
                }
                world.puppet_says(talk.leader, talk.learner, Item::Packet(packet.clone()));
            }
            (Sender::Learner, What::Packet(QuorumPacket::Request(request))) => {
                client_asks(&mut world, talk.learner, request);
            }
            (Sender::Learner, What::Packet(QuorumPacket::Revalidate { touch })) => {
                let ask = SessionAsk::Reattach { session: touch.session, timeout_ms: touch.timeout_ms };
                world.step(talk.learner, Input::Connect { conn: ConnId(1), ask, access: Access::ReadWrite });
            }
            _ => {}
        }
        world.run();
    }
    let mut java = Sequences::of(talk.packets(Sender::Learner).cloned().map(masked));
    let mut found = Sequences::of(world.heard.iter().cloned().map(|(_, _, packet)| masked(packet)));
    // 3.8.0 acknowledges what the sync brought by itself, too (B5); NEWLEADER says it for us, as it does for 3.9.5.
    let synced = synced(talk);
    if let Some(acks) = java.0.get_mut("acks") {
        acks.retain(|packet| !matches!(packet, QuorumPacket::Ack { zxid } if synced.contains(zxid)));
    }
    if java.0.get("acks").is_some_and(Vec::is_empty) {
        java.drop_family("acks");
    }
    // The recording ends in the middle of things: of what was on its way then, either side may have said more.
    for family in ["acks", "pings"] {
        let len = |s: &Sequences| s.0.get(family).map_or(0, Vec::len);
        let (ours, theirs) = (len(&found), len(&java));
        assert!(ours.abs_diff(theirs) <= 2, "{}: {ours} {family}, Java's {theirs}", talk.name);
        let common = ours.min(theirs);
        for sequences in [&mut found, &mut java] {
            sequences.0.entry(family).or_default().truncate(common);
        }
    }
    assert_same(&talk.name, &found, &java);
    let replica = world.replica(talk.learner);
    assert_eq!(replica.faults(), 0, "{}", talk.name);
    assert_eq!(replica.standing().phase, Phase::Broadcast, "{}", talk.name);
    let committed = talk.packets(Sender::Leader).filter_map(|packet| match packet {
        QuorumPacket::Commit { zxid } | QuorumPacket::Inform { zxid, .. } => Some(*zxid),
        _ => None,
    });
    if let Some(last) = committed.max() {
        // Digests were compared on the way: a difference ends the test.
        assert_eq!(replica.last_applied(), last, "{}", talk.name);
    }
}

/// Txns that came before NEWLEADER.
fn synced(talk: &Talk) -> BTreeSet<Zxid> {
    talk.packets(Sender::Leader)
        .take_while(|packet| !matches!(packet, QuorumPacket::NewLeader { .. }))
        .filter_map(|packet| match packet {
            QuorumPacket::Proposal { zxid, .. } => Some(*zxid),
            _ => None,
        })
        .collect()
}

fn client_asks(world: &mut World, learner: Sid, request: &ForwardedRequest) {
    let conn = ConnId(1);
    let input = if request.op == op::CREATE_SESSION {
        let timeout_ms = i32::from_bytes(request.body.clone()).unwrap();
        Input::Connect { conn, ask: SessionAsk::New { timeout_ms }, access: Access::ReadWrite }
    } else {
        let auth = Arc::new(AuthInfo { ids: request.auth.clone().unwrap_or_default() });
        let (session, xid) = (request.session, request.cxid);
        Input::Request(ClientRequest { conn, session, xid, auth, body: asked(request) })
    };
    world.step(learner, input);
}

/// The one difference of a learner: it chooses the ids of its new sessions.
fn masked(packet: QuorumPacket) -> QuorumPacket {
    match packet {
        QuorumPacket::Request(request) if request.op == op::CREATE_SESSION => {
            QuorumPacket::Request(ForwardedRequest { session: SessionId(0), ..request })
        }
        packet => packet,
    }
}

#[test]
fn in_the_place_of_a_learner_ours_says_what_java_s_said() {
    let mut talked = 0;
    for version in ["3.8.0", "3.9.5"] {
        for scenario in [
            "start-crash-rejoin",
            "trunc",
            "snap-and-observer",
            "rollover",
            "multi-address",
            "observer-master",
        ] {
            let capture = capture(version, scenario);
            for talk in talks(&capture) {
                learn(&capture, &talk);
                talked += 1;
            }
        }
    }
    assert_eq!(talked, 34);
}

/// Ours in the place of the leader, with all its learners.
fn lead(capture: &Capture, leader: Sid, epoch: u32, talks: &[&Talk]) {
    let (_, config) = talks[0].new_leader();
    let history = history(capture);
    let before = |zxid: &&Zxid| zxid.epoch() < epoch;
    // What the first learner is told of where the leader's history ends.
    let told = talks[0].packets(Sender::Leader).find_map(|packet| match packet {
        QuorumPacket::Diff { zxid } => Some(*zxid),
        _ => None,
    });
    let last = history.keys().rfind(before).copied().max(told.filter(|zxid| zxid.epoch() < epoch));
    let mut world = world(config, leader);
    let disk = seed(capture, last.unwrap_or_default(), epoch - 1, epoch - 1);
    let has_history =
        history.keys().any(|zxid| zxid.epoch() < epoch) || last.unwrap_or_default() == Zxid::ZERO;
    world.place_disk(leader, disk);
    world.start(leader);
    let vote = puppets::vote(leader, last.unwrap_or_default(), i64::from(epoch) - 1);
    let voters: Vec<_> = world.config.voters().filter(|sid| *sid != leader).collect();
    voters.into_iter().for_each(|voter| world.puppet_votes(voter, PeerState::Looking, vote, 1));
    world.pass(300);
    let times = times(&history, epoch);
    let mut said: Vec<_> =
        talks.iter().enumerate().flat_map(|(i, talk)| talk.said.iter().map(move |said| (i, said))).collect();
    said.sort_by(|(_, a), (_, b)| a.time.total_cmp(&b.time));
    let mut dialled = BTreeSet::new();
    for (i, Said { by, what, .. }) in said {
        let learner = talks[i].learner;
        let (Sender::Learner, What::Packet(packet)) = (by, what) else { continue };
        if dialled.insert(i) {
            world.puppet_dials(learner, leader);
        }
        if let QuorumPacket::Request(request) = packet
            && let Some(time) = times.get(&(request.session, request.cxid))
        {
            world.wall_ms = Some(*time);
        }
        world.puppet_says(learner, leader, Item::Packet(packet.clone()));
        world.run();
    }
    for talk in talks {
        let ours =
            world.heard.iter().filter(|(_, to, _)| *to == talk.learner).map(|(.., packet)| packet.clone());
        let digestless = |packet| if has_history { packet } else { without_digest(packet) };
        let mut found = Sequences::of(ours.map(digestless));
        let mut java = Sequences::of(talk.packets(Sender::Leader).cloned().map(digestless));
        // Its timer is not ours.
        found.drop_family("pings");
        java.drop_family("pings");
        name_differences(talk, &mut found, &mut java);
        assert_same(&talk.name, &found, &java);
    }
    assert_eq!(world.replica(leader).faults(), 0);
}

/// Where ours leads otherwise than Java.
fn name_differences(talk: &Talk, found: &mut Sequences, java: &mut Sequences) {
    let is_snap = talk.said.iter().any(|said| matches!(said.what, What::View(_)));
    let handshake = java.0.get_mut("handshake").unwrap();
    if is_snap {
        // Java's tree of a new epoch is as of its first zxid, so that a newcomer with nothing lacks something; ours is as of its
        // last txn, which is none: DIFF will do.
        let at =
            handshake.iter().position(|packet| matches!(packet, QuorumPacket::NewLeader { .. })).unwrap();
        handshake.insert(at, QuorumPacket::Diff { zxid: Zxid::ZERO });
    }
    if let Some(sessions) = found.0.get("sessions") {
        assert_eq!(sessions.len(), 1, "{}", talk.name);
    }
}

/// The trees differ where the recording lacks what came before it.
fn without_digest(packet: QuorumPacket) -> QuorumPacket {
    match packet {
        QuorumPacket::Proposal { zxid, txn } => {
            let txn = Txn { digest: None, ..Txn::decode(txn).unwrap() };
            QuorumPacket::Proposal { zxid, txn: txn.to_bytes() }
        }
        packet => packet,
    }
}

/// When Java's leader prepared the txn of a request.
fn times(history: &BTreeMap<Zxid, Bytes>, epoch: u32) -> BTreeMap<(SessionId, i32), i64> {
    let of_epoch = history.iter().filter(|(zxid, _)| zxid.epoch() == epoch);
    let txns = of_epoch.map(|(_, bytes)| Txn::decode(bytes.clone()).unwrap().header);
    txns.map(|header| ((header.session, header.cxid), header.time.0)).collect()
}

#[test]
fn in_the_place_of_a_leader_ours_says_what_java_s_said() {
    let mut led = 0;
    for version in ["3.8.0", "3.9.5"] {
        for scenario in ["start-crash-rejoin", "trunc", "rollover", "multi-address", "observer-master"] {
            let capture = capture(version, scenario);
            let talks = talks(&capture);
            let mut terms = BTreeMap::<(u32, Sid), Vec<&Talk>>::new();
            for talk in &talks {
                terms.entry((talk.new_leader().0, talk.leader)).or_default().push(talk);
            }
            for ((epoch, leader), mut talks) in terms {
                if scenario == "rollover" && epoch == 1 {
                    // Its counter was made to begin at 0xfffffff8, which ours cannot be.
                    continue;
                }
                talks.sort_by(|a, b| a.began().total_cmp(&b.began()));
                lead(&capture, leader, epoch, &talks);
                led += 1;
            }
        }
    }
    assert_eq!(led, 12);
}
