//! The stream of the quorum port: packets without a length, and behind SNAP a snapshot without any framing at all
//! (quorum protocol B1, B4). [`PacketReader`] finds where a packet ends before it decodes it, and goes on where it stopped
//! when more bytes come.

use bytes::{Buf, BufMut, BytesMut};

use super::quorum::{QuorumPacket, Sender};
use crate::error::{DecodeError, DecodeErrorKind};

/// Cuts the stream of one direction into packets.
///
/// Packets are slices of the receive buffer. Nothing is allocated for a length that was only claimed: memory follows the
/// bytes that came, at most one packet of `data_max` bytes of payload and as many of authinfo, and what was read with it.
#[derive(Clone, Debug)]
pub struct PacketReader {
    buffer: BytesMut,
    sender: Sender,
    data_max: usize,
    scan: Scan,
    phase: Phase,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Packets,
    Snapshot,
}

/// How far the structure of the packet at the front is known.
#[derive(Clone, Copy, Debug)]
struct Scan {
    /// Bytes known to belong to it. May lie beyond what was received.
    at: usize,
    /// The length that stands there.
    next: Next,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Data,
    AuthCount,
    AuthField { left: usize },
    Packet,
}

/// What precedes a packet's payload: type and zxid.
const HEAD_LEN: usize = 12;

/// What ends a snapshot in the stream: a string.
const SIGNATURE: &[u8; 14] = b"\0\0\0\x0aBenWasHere";

impl Scan {
    const START: Self = Self { at: HEAD_LEN, next: Next::Data };
}

impl PacketReader {
    /// Reads what `sender` sends; payloads up to `data_max` bytes, `jute.maxbuffer` plus extrasize.
    pub fn new(sender: Sender, data_max: usize) -> Self {
        Self { buffer: BytesMut::new(), sender, data_max, scan: Scan::START, phase: Phase::Packets }
    }

    /// Another limit for the payloads that follow.
    pub const fn set_data_max(&mut self, data_max: usize) {
        self.data_max = data_max;
    }

    /// Goes on with bytes that another reader, that of SASL, has left over.
    pub fn with_buffer(mut self, buffer: BytesMut) -> Self {
        self.buffer = buffer;
        self
    }

    /// Appends bytes from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The receive buffer: for drivers that read from a socket right into it, which only append, and for the parser of a
    /// snapshot, which takes from its front.
    pub const fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Bytes received and not yet handed out.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// True from the SNAP packet until [`Self::end_snapshot`] has seen the signature.
    pub fn in_snapshot(&self) -> bool {
        self.phase == Phase::Snapshot
    }

    /// The next whole packet; `None` until more bytes come. After SNAP the caller takes the snapshot from the buffer and
    /// calls [`Self::end_snapshot`] before it asks for packets again. After an error the stream is lost.
    pub fn next_packet(&mut self) -> Result<Option<QuorumPacket>, DecodeError> {
        assert!(!self.in_snapshot(), "invariant: a snapshot is taken from the buffer before the next packet");
        let Some(len) = self.packet_len()? else { return Ok(None) };
        let packet = QuorumPacket::decode(self.buffer.split_to(len).freeze(), self.sender, self.data_max)?;
        self.scan = Scan::START;
        if matches!(packet, QuorumPacket::Snap { .. }) {
            self.phase = Phase::Snapshot;
        }
        Ok(Some(packet))
    }

    /// Takes the signature behind a snapshot; false until all of it has come.
    pub fn end_snapshot(&mut self) -> Result<bool, DecodeError> {
        assert!(self.in_snapshot(), "invariant: only a snapshot ends with a signature");
        let come = self.buffer.len().min(SIGNATURE.len());
        if let Some(offset) = (0..come).find(|i| self.buffer[*i] != SIGNATURE[*i]) {
            let kind = DecodeErrorKind::Malformed("expected the signature BenWasHere behind the snapshot");
            return Err(DecodeError { offset, kind });
        }
        if come < SIGNATURE.len() {
            return Ok(false);
        }
        self.buffer.advance(SIGNATURE.len());
        self.phase = Phase::Packets;
        Ok(true)
    }

    /// The length of the packet at the front, once all of it has come.
    fn packet_len(&mut self) -> Result<Option<usize>, DecodeError> {
        loop {
            let Scan { at, next } = self.scan;
            if let Next::Packet = next {
                return Ok((self.buffer.len() >= at).then_some(at));
            }
            let Some(found) = self.buffer.get(at..).and_then(|rest| rest.first_chunk().copied()) else {
                return Ok(None);
            };
            self.scan = self.step(at, next, i32::from_be_bytes(found))?;
        }
    }

    /// Goes behind the length `found` at `at`.
    fn step(&self, at: usize, next: Next, found: i32) -> Result<Scan, DecodeError> {
        let limited = |len: i32, limit: usize| {
            let kind = DecodeErrorKind::Length { found: len.into(), limit };
            usize::try_from(len).ok().filter(|len| *len <= limit).ok_or(DecodeError { offset: at, kind })
        };
        let behind = at + 4;
        Ok(match next {
            Next::Data => {
                let len = if found == -1 { 0 } else { limited(found, self.data_max)? };
                Scan { at: behind + len, next: Next::AuthCount }
            }
            // Java takes any other negative count for an empty list.
            Next::AuthCount if found <= 0 => Scan { at: behind, next: Next::Packet },
            Next::AuthCount => {
                let left = 2 * limited(found, self.data_max / AUTH_ID_MIN_LEN)?;
                Scan { at: behind, next: Next::AuthField { left } }
            }
            Next::AuthField { left } => {
                let len = if found == -1 { 0 } else { limited(found, self.data_max)? };
                let at = behind + len;
                let packet_max = HEAD_LEN + 8 + 2 * self.data_max;
                if at > packet_max {
                    let kind = DecodeErrorKind::Length {
                        found: found.into(),
                        limit: packet_max.saturating_sub(behind),
                    };
                    return Err(DecodeError { offset: at - len - 4, kind });
                }
                Scan { at, next: if left == 1 { Next::Packet } else { Next::AuthField { left: left - 1 } } }
            }
            Next::Packet => Scan { at, next },
        })
    }
}

/// Two empty strings.
const AUTH_ID_MIN_LEN: usize = 8;

/// Appends the signature behind a snapshot.
pub fn put_signature(out: &mut BytesMut) {
    out.put_slice(SIGNATURE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DecodeErrorKind::Length;
    use crate::ids::{SessionId, Zxid};
    use crate::wire::quorum::{ForwardedRequest, kind};
    use crate::wire::records::Id;
    use alloc::vec;
    use alloc::vec::Vec;
    use bytes::Bytes;

    fn request(ids: usize) -> QuorumPacket {
        let id = Id { scheme: "ip".into(), id: "127.0.0.1".into() };
        let body = Bytes::from_static(b"body");
        let auth = (ids > 0).then(|| vec![id; ids]);
        QuorumPacket::Request(ForwardedRequest { session: SessionId(5), cxid: 1, op: 1, body, auth })
    }

    #[test]
    fn packets_come_out_of_any_pieces_as_they_went_in() {
        let packets = [request(2), QuorumPacket::UpToDate, request(0), QuorumPacket::Diff { zxid: Zxid(3) }];
        let stream: Vec<u8> = packets.iter().flat_map(|packet| packet.to_bytes()).collect();
        for piece in [1, 2, 7, 20, 1000] {
            let mut reader = PacketReader::new(Sender::Learner, 100);
            let mut found = vec![];
            for bytes in stream.chunks(piece) {
                reader.push(bytes);
                while let Some(packet) = reader.next_packet().unwrap() {
                    found.push(packet);
                }
            }
            assert_eq!((&found[..], reader.buffered()), (&packets[..], 0), "in pieces of {piece}");
        }
    }

    #[test]
    fn lengths_beyond_their_limit_are_refused_before_their_bytes_come() {
        let refused = |lengths: &[i32]| {
            let mut reader = PacketReader::new(Sender::Learner, 100);
            reader.push(&[0; HEAD_LEN]);
            lengths.iter().for_each(|len| reader.push(&len.to_be_bytes()));
            let error = reader.next_packet().unwrap_err();
            assert_eq!(reader.next_packet(), Err(error.clone()), "the error stays");
            error
        };
        let length = |offset, found, limit| DecodeError { offset, kind: Length { found, limit } };
        assert_eq!(refused(&[101]), length(12, 101, 100));
        assert_eq!(refused(&[-2]), length(12, -2, 100));
        assert_eq!(refused(&[-1, 13]), length(16, 13, 12));
        assert_eq!(refused(&[-1, 1, 101]), length(20, 101, 100));
    }

    #[test]
    fn authinfo_is_bounded_as_a_whole() {
        let mut reader = PacketReader::new(Sender::Learner, 100);
        let mut bytes = BytesMut::new();
        bytes.put_slice(&[0; HEAD_LEN]);
        bytes.put_i32(-1);
        bytes.put_i32(3);
        for _ in 0..3 {
            bytes.put_i32(90);
            bytes.put_slice(&[b'x'; 90]);
            bytes.put_i32(0);
        }
        reader.push(&bytes);
        let error = reader.next_packet().unwrap_err();
        assert!(
            matches!(error, DecodeError { offset: 216, kind: Length { found: 90, limit: 0 } }),
            "{error}"
        );
    }

    #[test]
    fn behind_snap_come_bytes_that_are_no_packets_until_the_signature() {
        let mut bytes = BytesMut::new();
        QuorumPacket::Snap { zxid: Zxid(1) }.encode(&mut bytes);
        bytes.put_slice(b"snapshot");
        put_signature(&mut bytes);
        QuorumPacket::UpToDate.encode(&mut bytes);

        let mut reader = PacketReader::new(Sender::Leader, 100);
        reader.push(&bytes[..33]);
        assert_eq!(reader.next_packet(), Ok(Some(QuorumPacket::Snap { zxid: Zxid(1) })));
        assert_eq!(reader.buffer_mut().split_to(8), "snapshot");
        assert_eq!(reader.end_snapshot(), Ok(false));
        reader.push(&bytes[33..]);
        assert_eq!(reader.end_snapshot(), Ok(true));
        assert_eq!(reader.next_packet(), Ok(Some(QuorumPacket::UpToDate)));
    }

    #[test]
    fn a_snapshot_that_ends_with_anything_else_is_refused() {
        let mut reader = PacketReader::new(Sender::Leader, 100);
        reader.push(&QuorumPacket::Snap { zxid: Zxid(1) }.to_bytes());
        reader.next_packet().unwrap();
        reader.push(b"\0\0\0\x0aBenIs");
        assert_eq!(reader.end_snapshot().unwrap_err().offset, 7);
    }

    #[test]
    fn a_negative_count_of_ids_reads_as_none() {
        let mut bytes = BytesMut::new();
        bytes.put_i32(kind::COMMIT);
        bytes.put_i64(9);
        bytes.put_i32(-1);
        bytes.put_i32(-5);
        let mut reader = PacketReader::new(Sender::Leader, 100);
        reader.push(&bytes);
        assert_eq!(reader.next_packet(), Ok(Some(QuorumPacket::Commit { zxid: Zxid(9) })));
    }
}
