//! Everything that real servers said to one another, decoded, compared with what the recorder noted, encoded again.

mod captures;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use captures::{Kind, Side, captures};
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::disk::snapshot_reader::BodyParser;
use zk_core::ids::{Sid, Zxid};
use zk_core::tree::TreeConfig;
use zk_core::wire::client::op;
use zk_core::wire::election::{Handshake, HandshakeForm, Notification, NotificationForm};
use zk_core::wire::framing::{FrameReader, put_frame};
use zk_core::wire::limits::{ELECTION_MESSAGE_MAX, JUTE_MAX_FIELD};
use zk_core::wire::quorum::{LearnerInfo, QuorumPacket, Sender};
use zk_core::wire::quorum_auth::{AuthStatus, QuorumAuthPacket};
use zk_core::wire::quorum_stream::{PacketReader, put_signature};
use zk_core::wire::txn::{Txn, TxnBody, kind};

/// One record of a capture, understood.
#[derive(Debug, PartialEq)]
enum Item {
    Handshake(Handshake),
    Auth(QuorumAuthPacket),
    Notification(Notification),
    Packet(QuorumPacket),
    /// The body, with its numbers of sessions, ACLs and nodes.
    Snapshot(Bytes, [usize; 3]),
    Signature,
}

impl Item {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Handshake(handshake) => handshake.encode(&mut out),
            Self::Auth(packet) => packet.encode(&mut out),
            Self::Notification(notification) => put_frame(&mut out, |out| notification.encode(out)),
            Self::Packet(packet) => packet.encode(&mut out),
            Self::Snapshot(body, _) => out.extend_from_slice(body),
            Self::Signature => put_signature(&mut out),
        }
        out.freeze()
    }

    fn note(&self) -> String {
        match self {
            Self::Handshake(Handshake { form, sid, addresses }) => {
                let form = match form {
                    HandshakeForm::V0 => return format!("handshake V0 sid={sid}"),
                    HandshakeForm::V1 => -65536,
                    HandshakeForm::V2 => -65535,
                };
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                format!("handshake {form} sid={sid} addr={}", addresses.join("|"))
            }
            Self::Auth(QuorumAuthPacket { status, token }) => {
                let status = match status {
                    AuthStatus::InProgress => 0,
                    AuthStatus::Success => 1,
                    AuthStatus::Error => -1,
                };
                let token = token.as_ref().expect("no captured token is null");
                let start = std::str::from_utf8(&token[..token.len().min(80)]).unwrap();
                format!("SASL status={status} token=b'{start}'")
            }
            Self::Notification(n) => {
                let NotificationForm::Versioned { version, config: Some(config) } = &n.form else {
                    panic!("no captured server is that old: {n:?}");
                };
                format!(
                    "{} leader={} zxid={:#x} electionEpoch={:#x} peerEpoch={:#x} version={version} config={}",
                    n.state,
                    n.leader.0,
                    n.zxid.0,
                    n.round,
                    n.peer_epoch,
                    quoted(config)
                )
            }
            Self::Packet(packet) => note_of(packet),
            Self::Snapshot(_, [sessions, acls, nodes]) => {
                format!("snapshot stream: {sessions} sessions, {acls} acls, {nodes} nodes")
            }
            Self::Signature => "signature 'BenWasHere'".into(),
        }
    }
}

fn note_of(packet: &QuorumPacket) -> String {
    use QuorumPacket as P;
    let simple = |name: &str, zxid: i64| format!("{name} zxid={zxid:#x} data=null");
    match packet {
        P::Request(request) => {
            let mut note = "REQUEST zxid=0xffffffffffffffff".to_owned();
            if let Some(ids) = &request.auth {
                let ids: Vec<_> = ids
                    .iter()
                    .map(|id| format!("{{'scheme': '{}', 'id': '{}'}}", id.scheme, id.id))
                    .collect();
                write!(note, " auth=[{}]", ids.join(", ")).unwrap();
            }
            let (op, len) = (op_name(request.op), request.body.len());
            write!(note, " sess={:#x} cxid={} op={op} body={len} bytes", request.session.0, request.cxid)
                .unwrap();
            note
        }
        P::Proposal { zxid, txn } => format!("PROPOSAL zxid={:#x} {{{}}}", zxid.0, note_of_txn(txn)),
        P::Inform { zxid, txn } => format!("INFORM zxid={:#x} {{{}}}", zxid.0, note_of_txn(txn)),
        P::Ack { zxid } => simple("ACK", zxid.0),
        P::Commit { zxid } => simple("COMMIT", zxid.0),
        P::Ping { zxid } => simple("PING", zxid.0),
        P::PingReply { zxid, touches } => {
            let touches: Vec<_> =
                touches.iter().map(|t| format!("('{:#x}', {})", t.session.0, t.timeout_ms)).collect();
            format!("PING zxid={:#x} touch=[{}]", zxid.0, touches.join(", "))
        }
        P::Revalidate { touch } => {
            format!("REVALIDATE zxid={:#x} sess={:#x} timeout={}", -1i64, touch.session.0, touch.timeout_ms)
        }
        P::Revalidated { session, valid } => {
            let valid = if *valid { "True" } else { "False" };
            format!("REVALIDATE zxid={:#x} sess={:#x} valid={valid}", -1i64, session.0)
        }
        P::Sync => simple("SYNC", 0),
        P::CommitAndActivate { zxid, leader } => {
            format!("COMMITANDACTIVATE zxid={:#x} leader={leader}", zxid.0)
        }
        P::InformAndActivate { zxid, leader, txn } => {
            format!("INFORMANDACTIVATE zxid={:#x} leader={leader} {{{}}}", zxid.0, note_of_txn(txn))
        }
        P::NewLeader { zxid, config } => {
            format!("NEWLEADER zxid={:#x} config={}", zxid.0, quoted(config.as_ref().unwrap()))
        }
        P::FollowerInfo { zxid, learner } => note_of_learner("FOLLOWERINFO", zxid.0, learner.unwrap()),
        P::ObserverInfo { zxid, learner } => note_of_learner("OBSERVERINFO", zxid.0, learner.unwrap()),
        P::UpToDate => simple("UPTODATE", -1),
        P::Diff { zxid } => simple("DIFF", zxid.0),
        P::Trunc { zxid } => simple("TRUNC", zxid.0),
        P::Snap { zxid } => simple("SNAP", zxid.0),
        P::LeaderInfo { zxid, protocol_version } => {
            format!("LEADERINFO zxid={:#x} proto={protocol_version:#x}", zxid.0)
        }
        P::AckEpoch { zxid, current_epoch } => {
            format!("ACKEPOCH zxid={:#x} currentEpoch={}", zxid.0, current_epoch.map_or(-1, i64::from))
        }
        P::Unknown { .. } => panic!("no captured type is unknown: {packet:?}"),
    }
}

fn note_of_learner(name: &str, zxid: i64, learner: LearnerInfo) -> String {
    let LearnerInfo { sid, protocol_version, config_version } = learner;
    let (version, config) = (protocol_version.unwrap(), config_version.unwrap());
    format!("{name} zxid={zxid:#x} sid={sid} proto={version:#x} configVersion={:#x}", config.0)
}

fn note_of_txn(txn: &Bytes) -> String {
    let txn = Txn::decode(txn.clone()).unwrap();
    let h = &txn.header;
    let (name, path) = match &txn.body {
        TxnBody::Create(create) => ("create", create.path.to_string()),
        TxnBody::Delete { path } => ("delete", path.to_string()),
        TxnBody::SetData { path, .. } => ("setData", path.to_string()),
        TxnBody::Reconfig { path, .. } => ("reconfig", path.to_string()),
        body => match body.kind() {
            kind::CREATE_SESSION => ("createSession", String::new()),
            kind::CLOSE_SESSION => ("closeSession", String::new()),
            kind::ERROR => ("error", String::new()),
            other => panic!("no captured txn is of type {other}"),
        },
    };
    let mut note = format!("{name} zxid={:#x} sess={:#x} cxid={}", h.zxid.0, h.session.0, h.cxid);
    if !path.is_empty() {
        write!(note, " {path}").unwrap();
    }
    if let Some(digest) = txn.digest {
        write!(note, " digest=v{}:{:#x}", digest.version, digest.digest).unwrap();
    }
    note
}

fn op_name(number: i32) -> &'static str {
    match number {
        op::CREATE => "create",
        op::DELETE => "delete",
        op::SET_DATA => "setData",
        op::SYNC => "sync",
        op::RECONFIG => "reconfig",
        op::CREATE_SESSION => "createSession",
        op::CLOSE_SESSION => "closeSession",
        other => panic!("no captured request has opcode {other}"),
    }
}

/// A config text as Python shows it.
fn quoted(text: &Bytes) -> String {
    format!("'{}'", std::str::from_utf8(text).unwrap().replace('\n', "\\n"))
}

/// Everything on one side of an election connection.
fn decode_election(stream: &[u8], piece: usize, dialled: bool) -> Vec<Item> {
    let (mut frames, mut items) = (FrameReader::new(ELECTION_MESSAGE_MAX), vec![]);
    for bytes in stream.chunks(piece) {
        frames.push(bytes);
        loop {
            let buffer = frames.buffer_mut();
            let item = if dialled && items.is_empty() {
                Handshake::take(buffer).unwrap().map(Item::Handshake)
            } else if QuorumAuthPacket::begins(buffer) != Some(false) {
                QuorumAuthPacket::take(buffer).unwrap().map(Item::Auth)
            } else {
                let frame = frames.next_frame().unwrap();
                frame.map(|frame| Item::Notification(Notification::decode(frame).unwrap()))
            };
            let Some(item) = item else { break };
            items.push(item);
        }
    }
    assert_eq!(frames.buffered(), 0);
    items
}

/// Everything on one side of a quorum connection.
fn decode_quorum(stream: &[u8], piece: usize, sender: Sender) -> Vec<Item> {
    let (mut reader, mut items) = (PacketReader::new(sender, JUTE_MAX_FIELD), vec![]);
    let (mut parser, mut body) = (None, BytesMut::new());
    for bytes in stream.chunks(piece) {
        reader.push(bytes);
        loop {
            let item = if reader.in_snapshot() && !matches!(items.last(), Some(Item::Snapshot(..))) {
                let parser =
                    parser.get_or_insert_with(|| BodyParser::new(JUTE_MAX_FIELD, TreeConfig::default()));
                let whole = parser.take(reader.buffer_mut(), |piece| body.extend_from_slice(piece)).unwrap();
                whole.then(|| Item::Snapshot(body.split().freeze(), [0; 3]))
            } else if reader.in_snapshot() {
                reader.end_snapshot().unwrap().then_some(Item::Signature)
            } else if QuorumAuthPacket::begins(reader.buffer_mut()) != Some(false) {
                QuorumAuthPacket::take(reader.buffer_mut()).unwrap().map(Item::Auth)
            } else {
                reader.next_packet().unwrap().map(Item::Packet)
            };
            match item {
                None => break,
                Some(Item::Snapshot(body, _)) => {
                    let tree = parser.take().unwrap().finish(Zxid::ZERO).unwrap();
                    let nodes = tree.node("").unwrap().descendant_count() + 1;
                    let counts = [tree.sessions().count(), tree.view().acl_table().len(), nodes];
                    items.push(Item::Snapshot(body, counts));
                }
                Some(item) => items.push(item),
            }
        }
    }
    assert_eq!(reader.buffered(), 0);
    items
}

/// What either side sent, and how to read it in pieces.
fn each_side(mut visit: impl FnMut(&str, &Side, &dyn Fn(&[u8], usize) -> Vec<Item>)) {
    for capture in captures() {
        for c in &capture.connections {
            for (side, dialled) in [(&c.from_dialer, true), (&c.from_listener, false)] {
                let name = format!("{} {} dialled={dialled}", capture.name, c.n);
                let sender = if dialled { Sender::Learner } else { Sender::Leader };
                match c.kind {
                    Kind::Election => visit(&name, side, &|s, piece| decode_election(s, piece, dialled)),
                    Kind::Quorum => visit(&name, side, &|s, piece| decode_quorum(s, piece, sender)),
                }
            }
        }
    }
}

#[test]
fn every_captured_record_decodes_to_what_was_noted_and_encodes_to_the_same_bytes() {
    let mut count = 0;
    each_side(|name, side, decode| {
        let stream = side.stream();
        let items = decode(&stream, stream.len().max(1));
        assert_eq!(items.len(), side.records.len(), "{name}");
        for (item, record) in items.iter().zip(&side.records) {
            assert_eq!(item.note(), record.note, "{name}");
            assert_eq!(item.encode(), record.bytes, "{name}: {item:?}");
            count += 1;
        }
    });
    assert_eq!(count, 2021, "records in the captures");
}

#[test]
fn captured_streams_cut_anywhere_give_the_same_records() {
    each_side(|name, side, decode| {
        let stream = side.stream();
        let whole = decode(&stream, stream.len().max(1));
        for piece in [1, 3, 17, 1000] {
            assert!(decode(&stream, piece) == whole, "{name} in pieces of {piece}");
        }
    });
}

#[test]
fn every_captured_config_text_comes_back_as_it_was() {
    let mut versions = vec![];
    let mut check = |text: &Bytes| {
        let text = std::str::from_utf8(text).unwrap();
        let config = QuorumConfig::parse(text).unwrap();
        assert_eq!(config.to_string(), text);
        versions.push(config.version());
    };
    each_side(|_, side, decode| {
        for item in decode(&side.stream(), usize::MAX) {
            match item {
                Item::Notification(Notification {
                    form: NotificationForm::Versioned { config, .. }, ..
                }) => {
                    check(&config.unwrap());
                }
                Item::Packet(QuorumPacket::NewLeader { config, .. }) => check(&config.unwrap()),
                Item::Packet(
                    QuorumPacket::Proposal { txn, .. } | QuorumPacket::InformAndActivate { txn, .. },
                ) => {
                    if let TxnBody::Reconfig { data, .. } = Txn::decode(txn).unwrap().body {
                        check(&data.unwrap());
                    }
                }
                _ => {}
            }
        }
    });
    assert_eq!(versions.len(), 402);
    assert!(versions.iter().any(|version| version.counter() > 0), "one of a reconfig");
}

/// As reconfigs left them beside zoo.cfg: the version is in the name.
#[test]
fn every_dynamic_file_comes_back_as_it_was() {
    let mut versions = vec![];
    for server in ["3.8.0", "3.9.5"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/quorum").join(server);
        for file in fs::read_dir(directory.join("reconfig/dynamic")).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(QuorumConfig::parse(&text).unwrap().members_text(), text, "{}", path.display());
            versions.push(path.extension().unwrap().to_str().unwrap().to_owned());
        }
    }
    versions.sort();
    versions.dedup();
    assert_eq!(versions, ["100000000", "100000003", "100000006"]);
}

#[test]
fn the_captures_hold_what_they_are_kept_for() {
    let (mut forms, mut learners) = (vec![], vec![]);
    each_side(|_, side, decode| {
        for item in decode(&side.stream(), usize::MAX) {
            match item {
                Item::Handshake(handshake) => forms.push(handshake.form),
                Item::Packet(QuorumPacket::ObserverInfo { learner: Some(learner), .. }) => {
                    learners.push(learner.sid)
                }
                _ => {}
            }
        }
    });
    assert!(forms.contains(&HandshakeForm::V1) && forms.contains(&HandshakeForm::V2));
    assert!(learners.contains(&Sid(4)));
}
