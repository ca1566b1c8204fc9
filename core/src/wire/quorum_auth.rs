//! SASL between servers (quorum protocol B10): `i64 magic | i32 status | buffer token`, on the election port after the
//! handshake, on the quorum port before everything.

use bytes::{BufMut, Bytes, BytesMut};

use super::jute::{Jute, Reader};
use super::limits::SASL_TOKEN_MAX;
use crate::error::{DecodeError, DecodeErrorKind};

/// How far the exchange has come, in its sender's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthStatus {
    /// The token wants an answer.
    InProgress,
    /// The learner is who it says.
    Success,
    /// It is not.
    Error,
}

/// One step of the exchange. The dialler speaks first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumAuthPacket {
    /// Whether more follows.
    pub status: AuthStatus,
    /// The mechanism's bytes. Null and empty differ; the dialler's first one may be empty.
    pub token: Option<Bytes>,
}

/// Java writes it as -0xa0dbcafecafe1234, which overflows into this.
const MAGIC: i64 = 0x5f24_3501_3501_edcc;

impl QuorumAuthPacket {
    /// Whether a connection begins with SASL; `None` until its first eight bytes are there.
    pub fn begins(received: &[u8]) -> Option<bool> {
        received.first_chunk().map(|first| i64::from_be_bytes(*first) == MAGIC)
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_i64(MAGIC);
        out.put_i32(match self.status {
            AuthStatus::InProgress => 0,
            AuthStatus::Success => 1,
            AuthStatus::Error => -1,
        });
        self.token.encode(out);
    }

    /// Takes a packet from the front of what was received; `None` until more bytes come.
    pub fn take(buffer: &mut BytesMut) -> Result<Option<Self>, DecodeError> {
        let at = |offset, kind| DecodeError { offset, kind };
        if Self::begins(buffer) == Some(false) {
            return Err(at(
                0,
                DecodeErrorKind::Malformed("expected the magic number of SASL between servers"),
            ));
        }
        let Some(head) = buffer.first_chunk::<16>() else { return Ok(None) };
        let number = |i: usize| i32::from_be_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let status = match number(8) {
            0 => AuthStatus::InProgress,
            1 => AuthStatus::Success,
            -1 => AuthStatus::Error,
            found => {
                return Err(at(8, DecodeErrorKind::Unknown { what: "SASL status", found: found.into() }));
            }
        };
        let len = match usize::try_from(number(12)) {
            Ok(len) if len <= SASL_TOKEN_MAX => len,
            Err(_) if number(12) == -1 => 0,
            _ => {
                let kind = DecodeErrorKind::Length { found: number(12).into(), limit: SASL_TOKEN_MAX };
                return Err(at(12, kind));
            }
        };
        if buffer.len() < 16 + len {
            return Ok(None);
        }
        let r = &mut Reader::new(buffer.split_to(16 + len).freeze());
        r.take(12)?;
        Ok(Some(Self { status, token: r.buffer()? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_read_from_any_pieces_and_leaves_what_follows() {
        for token in [None, Some(Bytes::new()), Some(Bytes::from_static(b"realm=\"zk\""))] {
            for status in [AuthStatus::InProgress, AuthStatus::Success, AuthStatus::Error] {
                let packet = QuorumAuthPacket { status, token: token.clone() };
                let mut bytes = BytesMut::new();
                packet.encode(&mut bytes);
                let mut buffer = BytesMut::new();
                for byte in &bytes {
                    assert_eq!(QuorumAuthPacket::take(&mut buffer), Ok(None));
                    buffer.put_u8(*byte);
                }
                buffer.put_slice(b"next");
                assert_eq!(QuorumAuthPacket::take(&mut buffer), Ok(Some(packet)));
                assert_eq!(buffer, "next");
            }
        }
    }

    #[test]
    fn what_is_no_packet_is_refused_at_its_first_wrong_field() {
        let mut good = BytesMut::new();
        QuorumAuthPacket { status: AuthStatus::Success, token: None }.encode(&mut good);
        for (at, byte, offset) in [(7, 0, 0), (11, 2, 8), (13, 0x10, 12), (12, 0x80, 12)] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            if offset == 12 {
                bytes[12..16].copy_from_slice(&if at == 12 { i32::MIN } else { 65537 }.to_be_bytes());
            }
            assert_eq!(QuorumAuthPacket::take(&mut bytes).unwrap_err().offset, offset);
        }
    }
}
