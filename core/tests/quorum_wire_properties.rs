//! Round trips of everything that servers say to one another, and what hostile bytes can do: nothing but be refused.

mod hostile;

use bytes::{Bytes, BytesMut};
use hostile::{bounded, damage};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use zk_core::address::HostPort;
use zk_core::ids::{PeerState, SessionId, Sid, Zxid};
use zk_core::wire::election::{Handshake, HandshakeForm, Notification, NotificationForm};
use zk_core::wire::quorum::{ForwardedRequest, LearnerInfo, QuorumPacket, Sender, Touch, kind};
use zk_core::wire::quorum_auth::{AuthStatus, QuorumAuthPacket};
use zk_core::wire::quorum_stream::{PacketReader, put_signature};
use zk_core::wire::records::Id;

fn config() -> ProptestConfig {
    // No regression files: a failing case is printed, and becomes a test of its own.
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

fn bytes() -> BoxedStrategy<Bytes> {
    vec(any::<u8>(), 0..24).prop_map(Bytes::from).boxed()
}

fn zxid() -> BoxedStrategy<Zxid> {
    any::<i64>().prop_map(Zxid).boxed()
}

fn sid() -> BoxedStrategy<Sid> {
    any::<i64>().prop_map(Sid).boxed()
}

fn state() -> BoxedStrategy<PeerState> {
    use PeerState::{Following, Leading, Looking, Observing};
    prop_oneof![Just(Looking), Just(Following), Just(Leading), Just(Observing)].boxed()
}

fn handshake() -> BoxedStrategy<Handshake> {
    let host = prop_oneof!["[a-z][a-z0-9.-]{0,12}", "[0-9a-f:]{1,6}:[0-9a-f]{1,4}"];
    let address = (host, 1u16..).prop_map(|(host, port)| HostPort { host, port });
    let bare = (0i64..).prop_map(|sid| (HandshakeForm::V0, Sid(sid), vec![]));
    let form = prop_oneof![Just(HandshakeForm::V1), Just(HandshakeForm::V2)];
    let full = (form, sid(), vec(address, 1..4));
    prop_oneof![bare, full].prop_map(|(form, sid, addresses)| Handshake { form, sid, addresses }).boxed()
}

fn notification() -> BoxedStrategy<Notification> {
    let old = any::<i32>().prop_map(|unread| NotificationForm::Unversioned { unread });
    let plain = (i32::MIN..=1).prop_map(|version| NotificationForm::Versioned { version, config: None });
    let full = (2i32.., bytes())
        .prop_map(|(version, config)| NotificationForm::Versioned { version, config: Some(config) });
    let form = prop_oneof![Just(NotificationForm::Bare), old, plain, full];
    (state(), sid(), zxid(), any::<i64>(), any::<i64>(), form)
        .prop_map(|(state, leader, zxid, round, peer_epoch, form)| {
            let peer_epoch = if form == NotificationForm::Bare { zxid.0 >> 32 } else { peer_epoch };
            Notification { state, leader, zxid, round, peer_epoch, form }
        })
        .boxed()
}

fn auth() -> BoxedStrategy<QuorumAuthPacket> {
    let status =
        prop_oneof![Just(AuthStatus::InProgress), Just(AuthStatus::Success), Just(AuthStatus::Error)];
    (status, option::of(bytes())).prop_map(|(status, token)| QuorumAuthPacket { status, token }).boxed()
}

fn touch() -> BoxedStrategy<Touch> {
    (any::<i64>(), any::<i32>())
        .prop_map(|(session, timeout_ms)| Touch { session: SessionId(session), timeout_ms })
        .boxed()
}

fn learner() -> BoxedStrategy<Option<LearnerInfo>> {
    let versions = option::of((any::<i32>(), option::of(zxid())));
    option::of((sid(), versions).prop_map(|(sid, versions)| LearnerInfo {
        sid,
        protocol_version: versions.map(|(version, _)| version),
        config_version: versions.and_then(|(_, config)| config),
    }))
    .boxed()
}

fn request() -> BoxedStrategy<QuorumPacket> {
    let id = (".{0,6}", ".{0,12}").prop_map(|(scheme, id)| Id { scheme: scheme.into(), id: id.into() });
    (any::<i64>(), any::<i32>(), any::<i32>(), bytes(), option::of(vec(id, 0..4)))
        .prop_map(|(session, cxid, op, body, auth)| {
            QuorumPacket::Request(ForwardedRequest { session: SessionId(session), cxid, op, body, auth })
        })
        .boxed()
}

fn from_learner() -> BoxedStrategy<QuorumPacket> {
    use QuorumPacket as P;
    prop_oneof![
        request(),
        zxid().prop_map(|zxid| P::Ack { zxid }),
        (zxid(), vec(touch(), 0..4)).prop_map(|(zxid, touches)| P::PingReply { zxid, touches }),
        touch().prop_map(|touch| P::Revalidate { touch }),
        (zxid(), learner()).prop_map(|(zxid, learner)| P::FollowerInfo { zxid, learner }),
        (zxid(), learner()).prop_map(|(zxid, learner)| P::ObserverInfo { zxid, learner }),
        (zxid(), option::of(0..1u32 << 31))
            .prop_map(|(zxid, current_epoch)| P::AckEpoch { zxid, current_epoch }),
    ]
    .boxed()
}

fn from_leader() -> BoxedStrategy<QuorumPacket> {
    use QuorumPacket as P;
    let with_txn = (zxid(), sid(), bytes()).prop_flat_map(|(zxid, leader, txn)| {
        prop_oneof![
            Just(P::Proposal { zxid, txn: txn.clone() }),
            Just(P::Inform { zxid, txn: txn.clone() }),
            Just(P::InformAndActivate { zxid, leader, txn }),
        ]
    });
    let of_zxid = zxid().prop_flat_map(|zxid| {
        prop_oneof![
            Just(P::Commit { zxid }),
            Just(P::Ping { zxid }),
            Just(P::Diff { zxid }),
            Just(P::Trunc { zxid }),
            Just(P::Snap { zxid }),
        ]
    });
    prop_oneof![
        with_txn,
        of_zxid,
        Just(P::Sync),
        Just(P::UpToDate),
        (any::<i64>(), any::<bool>())
            .prop_map(|(session, valid)| P::Revalidated { session: SessionId(session), valid }),
        (zxid(), sid()).prop_map(|(zxid, leader)| P::CommitAndActivate { zxid, leader }),
        (zxid(), option::of(bytes())).prop_map(|(zxid, config)| P::NewLeader { zxid, config }),
        (zxid(), any::<i32>()).prop_map(|(zxid, protocol_version)| P::LeaderInfo { zxid, protocol_version }),
        (kind::INFORM_AND_ACTIVATE + 1.., zxid(), option::of(bytes()))
            .prop_map(|(kind, zxid, data)| P::Unknown { kind, zxid, data }),
    ]
    .boxed()
}

/// Packets of one direction.
fn stream() -> BoxedStrategy<(Sender, Vec<QuorumPacket>)> {
    prop_oneof![
        vec(from_leader(), 0..6).prop_map(|packets| (Sender::Leader, packets)),
        vec(from_learner(), 0..6).prop_map(|packets| (Sender::Learner, packets)),
    ]
    .boxed()
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

const DATA_MAX: usize = 200;

/// Everything that a reader makes of a stream that came in pieces; snapshots are empty.
fn read(sender: Sender, stream: &[u8], piece: usize) -> Option<Vec<QuorumPacket>> {
    let (mut reader, mut found) = (PacketReader::new(sender, DATA_MAX), vec![]);
    for bytes in stream.chunks(piece) {
        reader.push(bytes);
        loop {
            if reader.in_snapshot() && !reader.end_snapshot().ok()? {
                break;
            }
            let Some(packet) = reader.next_packet().ok()? else { break };
            found.push(packet);
        }
    }
    (reader.buffered() == 0).then_some(found)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn handshakes_come_back_from_their_bytes_and_from_no_prefix_of_them(handshake in handshake()) {
        let bytes = encoded(|out| handshake.encode(out));
        for len in 0..bytes.len() {
            prop_assert_eq!(Handshake::take(&mut BytesMut::from(&bytes[..len])), Ok(None));
        }
        prop_assert_eq!(Handshake::take(&mut BytesMut::from(bytes)), Ok(Some(handshake)));
    }

    #[test]
    fn notifications_come_back_from_their_bytes(notification in notification()) {
        let bytes = encoded(|out| notification.encode(out));
        prop_assert_eq!(Notification::decode(bytes), Ok(notification));
    }

    #[test]
    fn sasl_packets_come_back_from_their_bytes_and_from_no_prefix_of_them(packet in auth()) {
        let bytes = encoded(|out| packet.encode(out));
        for len in 0..bytes.len() {
            prop_assert_eq!(QuorumAuthPacket::take(&mut BytesMut::from(&bytes[..len])), Ok(None));
        }
        prop_assert_eq!(QuorumAuthPacket::take(&mut BytesMut::from(bytes)), Ok(Some(packet)));
    }

    #[test]
    fn packets_come_back_from_a_stream_in_any_pieces((sender, packets) in stream(), piece in 1usize..50) {
        let stream = encoded(|out| for packet in &packets {
            packet.encode(out);
            if matches!(packet, QuorumPacket::Snap { .. }) {
                put_signature(out);
            }
        });
        prop_assert_eq!(read(sender, &stream, piece), Some(packets));
    }

    #[test]
    fn arbitrary_bytes_are_decoded_or_refused_within_the_memory_limit(bytes in vec(any::<u8>(), 0..400)) {
        decode_with_everything(&bytes.into());
    }

    #[test]
    fn damaged_packets_are_decoded_or_refused_within_the_memory_limit(
        (sender, packets) in stream(),
        damage in damage(),
        piece in 1usize..100,
    ) {
        let stream = damage.apply(&encoded(|out| packets.iter().for_each(|packet| packet.encode(out))));
        bounded("PacketReader", &stream, |bytes| read(sender, &bytes, piece).is_some());
    }

    #[test]
    fn damaged_election_messages_are_decoded_or_refused_within_the_memory_limit(
        notification in notification(),
        handshake in handshake(),
        damage in damage(),
    ) {
        decode_with_everything(&damage.apply(&encoded(|out| notification.encode(out))));
        decode_with_everything(&damage.apply(&encoded(|out| handshake.encode(out))));
    }

    #[test]
    fn a_notification_that_decodes_encodes_to_what_was_read_of_it(bytes in vec(any::<u8>(), 0..60)) {
        let mut bytes = bytes;
        bytes.iter_mut().take(3).for_each(|byte| *byte = 0);
        let bytes = Bytes::from(bytes);
        if let Ok(notification) = Notification::decode(bytes.clone()) {
            let again = encoded(|out| notification.encode(out));
            prop_assert_eq!(Notification::decode(again), Ok(notification));
        }
    }
}

fn decode_with_everything(bytes: &Bytes) {
    bounded("Handshake", bytes, |bytes| Handshake::take(&mut BytesMut::from(bytes)).is_ok());
    bounded("QuorumAuthPacket", bytes, |bytes| QuorumAuthPacket::take(&mut BytesMut::from(bytes)).is_ok());
    bounded("Notification", bytes, |bytes| Notification::decode(bytes).is_ok());
    for sender in [Sender::Leader, Sender::Learner] {
        bounded("QuorumPacket", bytes, |bytes| QuorumPacket::decode(bytes, sender, DATA_MAX).is_ok());
        bounded("PacketReader", bytes, |bytes| read(sender, &bytes, 7).is_some());
    }
}

/// The densest payload: a count of ids that are two empty strings each.
#[test]
fn a_packet_full_of_identities_stays_within_the_memory_limit() {
    let auth = Some(vec![Id { scheme: "".into(), id: "".into() }; 20_000]);
    let body = Bytes::new();
    let request = ForwardedRequest { session: SessionId(1), cxid: 1, op: 1, body, auth };
    let bytes = QuorumPacket::Request(request).to_bytes();
    assert!(bounded("Request", &bytes, |bytes| QuorumPacket::decode(bytes, Sender::Learner, 1 << 20).is_ok()));
}

/// A claimed length costs nothing until its bytes come.
#[test]
fn a_claimed_payload_reserves_nothing() {
    let head = encoded(|out| {
        QuorumPacket::Ack { zxid: Zxid(1) }.encode(out);
        out.truncate(12);
        out.extend_from_slice(&(1i32 << 20).to_be_bytes());
    });
    assert!(bounded("PacketReader", &head, |bytes| {
        let mut reader = PacketReader::new(Sender::Leader, 1 << 20);
        reader.push(&bytes);
        reader.next_packet() == Ok(None)
    }));
}
