//! Byte targets: every decoder as a plain function of bytes. None may panic, none may take memory that the input does not
//! pay for, and what decodes encodes again to what decodes to the same.

use bytes::{Bytes, BytesMut};
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::disk::{layout, snapshot_reader, txnlog};
use zk_core::wire::client::{ConnectRequest, ConnectResponse, RequestHeader};
use zk_core::wire::election::{Handshake, Notification};
use zk_core::wire::framing::FrameReader;
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::quorum::{QuorumPacket, Sender};
use zk_core::wire::quorum_auth::QuorumAuthPacket;
use zk_core::wire::quorum_stream::PacketReader;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;
use zk_core::wire::txn::Txn;
use zk_sim::scenario::Scenario;

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: &[Target] = &[
    ("client-frames", client_frames),
    ("connect", connect),
    ("request", request),
    ("reply", reply),
    ("txn", txn),
    ("txn-log", txn_log),
    ("snapshot", snapshot),
    ("file-names", file_names),
    ("quorum-packet", quorum_packet),
    ("quorum-stream", quorum_stream),
    ("quorum-auth", quorum_auth),
    ("election-handshake", election_handshake),
    ("election-notification", election_notification),
    ("config-text", config_text),
    ("scenario", scenario),
];

const FRAME_MAX: usize = 0xf_ffff;

fn client_frames(bytes: &[u8]) {
    let mut frames = FrameReader::new(FRAME_MAX);
    for piece in bytes.chunks(7) {
        frames.push(piece);
        while let Ok(Some(frame)) = frames.next_frame() {
            request(&frame);
        }
    }
}

fn connect(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(decoded) = ConnectRequest::from_bytes(bytes.clone()) {
        assert_eq!(ConnectRequest::from_bytes(decoded.to_bytes()), Ok(decoded));
    }
    if let Ok(decoded) = ConnectResponse::from_bytes(bytes) {
        assert_eq!(ConnectResponse::from_bytes(decoded.to_bytes()), Ok(decoded));
    }
}

fn request(bytes: &[u8]) {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let Ok(header) = RequestHeader::decode(&mut reader) else { return };
    if let Ok(Some(request)) = Request::decode(header.op, reader.rest()) {
        let mut again = BytesMut::new();
        request.encode(&mut again);
        assert_eq!(Request::decode(header.op, again.freeze()), Ok(Some(request)));
    }
}

fn reply(bytes: &[u8]) {
    let Some((op, body)) = bytes.split_first() else { return };
    let op = i32::from(*op as i8);
    if let Ok(Some(reply)) = Reply::decode(op, Bytes::copy_from_slice(body)) {
        let mut again = BytesMut::new();
        reply.encode(&mut again);
        assert_eq!(Reply::decode(op, again.freeze()), Ok(Some(reply)));
    }
}

fn txn(bytes: &[u8]) {
    if let Ok(txn) = Txn::decode(Bytes::copy_from_slice(bytes)) {
        assert_eq!(Txn::decode(txn.to_bytes()), Ok(txn));
    }
}

fn txn_log(bytes: &[u8]) {
    let mut file = txnlog::HEADER.to_vec();
    file.extend_from_slice(bytes);
    let _ = txnlog::decode(&Bytes::from(file), FRAME_MAX);
    let _ = txnlog::decode(&Bytes::copy_from_slice(bytes), FRAME_MAX);
}

fn snapshot(bytes: &[u8]) {
    let _ = snapshot_reader::decode(bytes, FRAME_MAX);
    let mut file = b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff".to_vec();
    file.extend_from_slice(bytes);
    let _ = snapshot_reader::decode(&file, FRAME_MAX);
}

fn file_names(bytes: &[u8]) {
    let name = String::from_utf8_lossy(bytes);
    let _ = (layout::snapshot(&name), layout::log_zxid(&name));
}

fn quorum_packet(bytes: &[u8]) {
    for sender in [Sender::Leader, Sender::Learner] {
        let _ = QuorumPacket::decode(Bytes::copy_from_slice(bytes), sender, FRAME_MAX);
    }
}

fn quorum_stream(bytes: &[u8]) {
    for sender in [Sender::Leader, Sender::Learner] {
        let mut packets = PacketReader::new(sender, FRAME_MAX);
        for piece in bytes.chunks(5) {
            packets.push(piece);
            while next_of_stream(&mut packets) {}
        }
    }
}

/// Takes one thing from the front, as a driver does: a packet, or behind SNAP the end of an empty snapshot.
fn next_of_stream(packets: &mut PacketReader) -> bool {
    if packets.in_snapshot() {
        return packets.end_snapshot() == Ok(true);
    }
    matches!(packets.next_packet(), Ok(Some(_)))
}

fn quorum_auth(bytes: &[u8]) {
    let _ = QuorumAuthPacket::take(&mut BytesMut::from(bytes));
}

fn election_handshake(bytes: &[u8]) {
    if let Ok(Some(handshake)) = Handshake::take(&mut BytesMut::from(bytes)) {
        let mut again = BytesMut::new();
        handshake.encode(&mut again);
        assert_eq!(Handshake::take(&mut again), Ok(Some(handshake)));
    }
}

fn election_notification(bytes: &[u8]) {
    let _ = Notification::decode(Bytes::copy_from_slice(bytes));
}

fn config_text(bytes: &[u8]) {
    let _ = QuorumConfig::parse(&String::from_utf8_lossy(bytes));
}

fn scenario(bytes: &[u8]) {
    let _ = Scenario::parse(&String::from_utf8_lossy(bytes));
}

/// Input `n` for target `i`: noise, or lengths and numbers that formats are made of, strung together.
pub fn input(target: usize, n: u64) -> Vec<u8> {
    use zk_sim::dice::{Site, mix, scale};
    let draw = |k: u64| mix(n, Site::Plan, target as u64, k);
    let len = scale(draw(0), 1 << scale(draw(1), 10)) as usize;
    let mut bytes = Vec::with_capacity(len + 16);
    let mut k = 2;
    while bytes.len() < len {
        k += 2;
        match scale(draw(k), 8) {
            0 => bytes.extend_from_slice(&(scale(draw(k + 1), 40) as i32 - 4).to_be_bytes()),
            1 => bytes.extend_from_slice(&(draw(k + 1) as i32).to_be_bytes()),
            2 => bytes.extend_from_slice(&(scale(draw(k + 1), 300) as i64 - 100).to_be_bytes()),
            3 => bytes.extend_from_slice(b"\0\0\0\x02/a"),
            4 => bytes.extend_from_slice(&[0; 8][..scale(draw(k + 1), 9) as usize]),
            5 => bytes.extend_from_slice(b"world"),
            _ => bytes.push(draw(k + 1) as u8),
        }
    }
    bytes
}
