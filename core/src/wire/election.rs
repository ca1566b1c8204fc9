//! The election port: handshakes and notifications (quorum protocol A2, A4).
//!
//! ```text
//! handshake     i64 sid                                              V0, sid >= 0: 3.4
//!               i64 -65536 | i64 sid | i32 n | n bytes host:port      V1: 3.5 and later
//!               i64 -65535 | i64 sid | i32 n | n bytes host:port|...  V2: several addresses
//! message       i32 length | payload (framing.rs, at most ELECTION_MESSAGE_MAX)
//! notification  i32 state | i64 leader | i64 zxid | i64 round [| i64 peerEpoch [| i32 version [| i32 n | n bytes]]]
//! ```

use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use core::fmt;

use super::jute::{Reader, put_len};
use super::limits::HANDSHAKE_ADDRESSES_MAX;
use crate::address::HostPort;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::ids::{PeerState, Sid, Zxid};

/// Which form of handshake; acceptors take all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeForm {
    /// A bare sid: 3.4, which tells no address.
    V0,
    /// One address: what is sent unless `multiAddress.enabled`; 3.5 closes on V2.
    V1,
    /// Several addresses.
    V2,
}

/// The dialler's first bytes. The acceptor answers with none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handshake {
    /// How it is written.
    pub form: HandshakeForm,
    /// Who dials.
    pub sid: Sid,
    /// The dialler's own election addresses, in its order; empty in V0.
    pub addresses: Vec<HostPort>,
}

const V1: i64 = -65536;
const V2: i64 = -65535;

impl Handshake {
    /// Appends the bytes. They must leave in one piece: Java reads the addresses with a single `read`.
    pub fn encode(&self, out: &mut BytesMut) {
        match self.form {
            HandshakeForm::V0 => return out.put_i64(self.sid.0),
            HandshakeForm::V1 => out.put_i64(V1),
            HandshakeForm::V2 => out.put_i64(V2),
        }
        out.put_i64(self.sid.0);
        let addresses: Vec<_> = self.addresses.iter().map(HostPort::to_string).collect();
        let addresses = addresses.join("|");
        put_len(out, addresses.len());
        out.put_slice(addresses.as_bytes());
    }

    /// Takes the handshake from the front of what was received; `None` until more bytes come. What follows it, a
    /// message or the first token of SASL, stays in the buffer.
    pub fn take(buffer: &mut BytesMut) -> Result<Option<Self>, DecodeError> {
        let Some(first) = buffer.first_chunk().copied() else { return Ok(None) };
        let form = match i64::from_be_bytes(first) {
            sid if sid >= 0 => {
                buffer.advance(8);
                return Ok(Some(Self { form: HandshakeForm::V0, sid: Sid(sid), addresses: Vec::new() }));
            }
            V1 => HandshakeForm::V1,
            V2 => HandshakeForm::V2,
            found => {
                let kind = DecodeErrorKind::Unknown { what: "election handshake version", found };
                return Err(DecodeError { offset: 0, kind });
            }
        };
        let Some(head) = buffer.first_chunk::<20>() else { return Ok(None) };
        let found = i32::from_be_bytes([head[16], head[17], head[18], head[19]]);
        let Some(len) = usize::try_from(found).ok().filter(|n| (1..=HANDSHAKE_ADDRESSES_MAX).contains(n))
        else {
            let kind = DecodeErrorKind::Length { found: found.into(), limit: HANDSHAKE_ADDRESSES_MAX };
            return Err(DecodeError { offset: 16, kind });
        };
        if buffer.len() < 20 + len {
            return Ok(None);
        }
        let r = &mut Reader::new(buffer.split_to(20 + len).freeze());
        r.i64()?;
        let sid = Sid(r.i64()?);
        r.i32()?;
        let malformed = r.error(DecodeErrorKind::Malformed("expected host:port, or several between |"));
        let addresses = r.take(len)?;
        let addresses = core::str::from_utf8(&addresses).ok();
        let addresses = addresses.and_then(|text| text.split('|').map(HostPort::parse).collect());
        Ok(Some(Self { form, sid, addresses: addresses.ok_or(malformed)? }))
    }
}

/// How a notification is written: each line of servers wrote more than the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationForm {
    /// 28 bytes, without a peer epoch: 3.3.
    Bare,
    /// 40 bytes: 3.4.6 and later. What they write as their version is not read by anybody.
    Unversioned {
        /// The last four bytes.
        unread: i32,
    },
    /// 44 bytes and more: 3.5 and later.
    Versioned {
        /// 2 today.
        version: i32,
        /// Text of the sender's config in force, UTF-8 if it is well; `None` below version 2.
        config: Option<Bytes>,
    },
}

/// One vote on the wire. Who sent it is known from the connection only.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    /// The sender's state.
    pub state: PeerState,
    /// Proposed or present leader.
    pub leader: Sid,
    /// Last zxid of the proposed leader.
    pub zxid: Zxid,
    /// `electionEpoch`: the sender's logical clock.
    pub round: i64,
    /// `currentEpoch` of the proposed leader. Not a field of the bare form, in which the zxid's epoch stands for it.
    pub peer_epoch: i64,
    /// The rest, and how all of it is written.
    pub form: NotificationForm,
}

/// Lengths at which Java stops reading.
const BARE_LEN: usize = 28;
const UNVERSIONED_LEN: usize = 40;

/// Versions above this one carry a config.
const LAST_VERSION_WITHOUT_CONFIG: i32 = 1;

impl Notification {
    /// What the sender's version counts for: older forms have none, whatever they wrote.
    pub const fn version(&self) -> i32 {
        match self.form {
            NotificationForm::Bare | NotificationForm::Unversioned { .. } => 0,
            NotificationForm::Versioned { version, .. } => version,
        }
    }

    /// Appends the payload, without its length prefix (`framing::put_frame`).
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_i32(self.state.number());
        out.put_i64(self.leader.0);
        out.put_i64(self.zxid.0);
        out.put_i64(self.round);
        match &self.form {
            NotificationForm::Bare => {}
            NotificationForm::Unversioned { unread } => {
                out.put_i64(self.peer_epoch);
                out.put_i32(*unread);
            }
            NotificationForm::Versioned { version, config } => {
                out.put_i64(self.peer_epoch);
                out.put_i32(*version);
                let config = config.as_deref().unwrap_or_default();
                out.reserve(size_of::<i32>() + config.len());
                put_len(out, config.len());
                out.put_slice(config);
            }
        }
    }

    /// Decodes a payload by its length, as 3.9 does. Whoever sent an undecodable one goes on being listened to: Java
    /// skips it, and 3.4.5 sends nothing else.
    pub fn decode(payload: Bytes) -> Result<Self, DecodeError> {
        let len = payload.len();
        let r = &mut Reader::new(payload);
        let state = PeerState::decode(r)?;
        let (leader, zxid, round) = (Sid(r.i64()?), Zxid(r.i64()?), r.i64()?);
        if len == BARE_LEN {
            let peer_epoch = zxid.0 >> 32;
            return Ok(Self { state, leader, zxid, round, peer_epoch, form: NotificationForm::Bare });
        }
        let peer_epoch = r.i64()?;
        let version = r.i32()?;
        let form = if len == UNVERSIONED_LEN {
            NotificationForm::Unversioned { unread: version }
        } else {
            NotificationForm::Versioned { version, config: decode_config(version, r)? }
        };
        Ok(Self { state, leader, zxid, round, peer_epoch, form })
    }
}

fn decode_config(version: i32, r: &mut Reader) -> Result<Option<Bytes>, DecodeError> {
    if version <= LAST_VERSION_WITHOUT_CONFIG {
        return Ok(None);
    }
    let short = r.clone();
    let found = r.i32()?;
    let limit = r.left();
    let length = DecodeErrorKind::Length { found: found.into(), limit };
    let len = usize::try_from(found).ok().filter(|len| *len <= limit).ok_or_else(|| short.error(length))?;
    Ok(Some(r.take(len)?))
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, leader, zxid, round, peer_epoch, form } = self;
        write!(f, "{state} leader={leader} zxid={zxid} round={round} peer_epoch={peer_epoch} {form:?}")
    }
}

impl PeerState {
    const fn number(self) -> i32 {
        match self {
            Self::Looking => 0,
            Self::Following => 1,
            Self::Leading => 2,
            Self::Observing => 3,
        }
    }

    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let at = r.clone();
        Ok(match r.i32()? {
            0 => Self::Looking,
            1 => Self::Following,
            2 => Self::Leading,
            3 => Self::Observing,
            found => {
                return Err(at.error(DecodeErrorKind::Unknown { what: "server state", found: found.into() }));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn notification(form: NotificationForm) -> Notification {
        let (zxid, peer_epoch) = (Zxid::new(7, 9), 7);
        Notification { state: PeerState::Looking, leader: Sid(3), zxid, round: 2, peer_epoch, form }
    }

    fn payload(form: NotificationForm) -> BytesMut {
        let mut out = BytesMut::new();
        notification(form).encode(&mut out);
        out
    }

    #[test]
    fn every_form_has_the_length_by_which_it_is_known() {
        let versioned = |version, config| NotificationForm::Versioned { version, config };
        for (form, len, version) in [
            (NotificationForm::Bare, 28, 0),
            (NotificationForm::Unversioned { unread: 1 }, 40, 0),
            (versioned(1, None), 44, 1),
            (versioned(2, Some(Bytes::new())), 44, 2),
            (versioned(2, Some(Bytes::from_static(b"version=0"))), 53, 2),
        ] {
            let bytes = payload(form.clone()).freeze();
            assert_eq!(bytes.len(), len);
            let read = Notification::decode(bytes).unwrap();
            assert_eq!((read.version(), read), (version, notification(form)));
        }
    }

    #[test]
    fn other_lengths_are_refused_as_java_skips_them() {
        let bytes = payload(NotificationForm::Unversioned { unread: 1 }).freeze();
        for len in (0..28).chain(29..40) {
            let error = Notification::decode(bytes.slice(..len)).unwrap_err();
            assert!(matches!(error.kind, DecodeErrorKind::Short { .. }), "{len}: {error}");
        }
        let longer = payload(NotificationForm::Versioned { version: 2, config: None }).freeze();
        for len in 41..44 {
            assert!(Notification::decode(longer.slice(..len)).is_err(), "{len}");
        }
    }

    #[test]
    fn a_config_longer_than_the_message_is_refused() {
        for claimed in [-1, 10, i32::MAX] {
            let mut bytes =
                payload(NotificationForm::Versioned { version: 2, config: Some("123456789".into()) });
            bytes[40..44].copy_from_slice(&claimed.to_be_bytes());
            let limit = 9;
            let kind = DecodeErrorKind::Length { found: claimed.into(), limit };
            assert_eq!(Notification::decode(bytes.freeze()), Err(DecodeError { offset: 40, kind }));
        }
    }

    #[test]
    fn a_state_that_names_nothing_is_refused() {
        let mut bytes = payload(NotificationForm::Bare);
        bytes[3] = 4;
        let kind = DecodeErrorKind::Unknown { what: "server state", found: 4 };
        assert_eq!(Notification::decode(bytes.freeze()), Err(DecodeError { offset: 0, kind }));
    }

    #[test]
    fn every_form_of_handshake_is_read_from_any_pieces_and_leaves_what_follows() {
        let address = |text| HostPort::parse(text).unwrap();
        for (form, addresses) in [
            (HandshakeForm::V0, vec![]),
            (HandshakeForm::V1, vec![address("h1:3888")]),
            (HandshakeForm::V2, vec![address("[::1]:3888"), address("10.0.0.1:3889")]),
        ] {
            let handshake = Handshake { form, sid: Sid(2), addresses };
            let mut bytes = BytesMut::new();
            handshake.encode(&mut bytes);
            let len = bytes.len();
            bytes.put_slice(b"next");
            let mut buffer = BytesMut::new();
            for (i, byte) in bytes.iter().enumerate() {
                assert!(i >= len || Handshake::take(&mut buffer).unwrap().is_none(), "after {i} bytes");
                buffer.put_u8(*byte);
            }
            assert_eq!(Handshake::take(&mut buffer).unwrap(), Some(handshake));
            assert_eq!(buffer, "next");
        }
    }

    #[test]
    fn handshakes_that_are_none_are_refused_before_their_end_comes() {
        let refused = |fields: &[i64], len: Option<i32>, rest: &[u8]| {
            let mut buffer = BytesMut::new();
            fields.iter().for_each(|field| buffer.put_i64(*field));
            len.into_iter().for_each(|len| buffer.put_i32(len));
            buffer.put_slice(rest);
            Handshake::take(&mut buffer).unwrap_err()
        };
        assert_eq!(refused(&[-65534], None, b"").offset, 0);
        for len in [-1, 0, 2049] {
            assert_eq!(refused(&[V1, 2], Some(len), b"").offset, 16);
        }
        for text in ["host", "h:1|", "h:0", "h:99999", "\u{fffd}"] {
            let error = refused(&[V1, 2], Some(text.len() as i32), text.as_bytes());
            assert_eq!(error.offset, 20, "{text}");
        }
    }
}
