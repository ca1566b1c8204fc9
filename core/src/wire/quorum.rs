//! The packets of the quorum port (quorum protocol B2), every type with its payload:
//!
//! ```text
//! i32 type | i64 zxid | buffer data | vector<Id> authinfo
//! ```
//!
//! Null and empty data differ: a leader drops a learner whose PING or ACKEPOCH comes back with null, and null in
//! FOLLOWERINFO means an ancient learner. Both are typed here, so that neither can be sent by mistake. Where a type has
//! no payload, data that came nevertheless is ignored, as Java ignores it.

use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

use super::jute::{Jute, Reader, put_len, record};
use super::records::Id;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::ids::{SessionId, Sid, Zxid};

record! {
    /// A session that showed life, with the timeout its connection negotiated.
    #[derive(Copy)]
    Touch {
        /// The session.
        session: SessionId,
        /// ms.
        timeout_ms: i32,
    }
}

/// Which end of the connection sent the packets: PING and REVALIDATE carry other data up than down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The leader, or a follower that serves observers.
    Leader,
    /// A follower or observer, which dialled.
    Learner,
}

/// One packet. *L* is the leader (or an observer master), *F* a follower, *O* an observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuorumPacket {
    /// F, O → L: a client's request.
    Request(ForwardedRequest),
    /// L → F (and O inside a sync): a txn to log.
    Proposal {
        /// The txn's.
        zxid: Zxid,
        /// Header, body, digest: as the log holds it.
        txn: Bytes,
    },
    /// F, O → L: everything up to here is durable; with a counter of 0: NEWLEADER, UPTODATE.
    Ack {
        /// Of the txn, or the new epoch's first.
        zxid: Zxid,
    },
    /// L → F (and O inside a sync): a proposal is committed.
    Commit {
        /// The txn's.
        zxid: Zxid,
    },
    /// L → F, O: are you there?
    Ping {
        /// Last proposed.
        zxid: Zxid,
    },
    /// F, O → L: yes, and so are these sessions. Never null on the wire.
    PingReply {
        /// As in the PING.
        zxid: Zxid,
        /// Touched since the last reply.
        touches: Vec<Touch>,
    },
    /// F, O → L: does this session, which came to me, still live?
    Revalidate {
        /// The session and its timeout, ms.
        touch: Touch,
    },
    /// L → F, O: the answer.
    Revalidated {
        /// The session.
        session: SessionId,
        /// Whether it lives.
        valid: bool,
    },
    /// L → F, O: everything before the learner's oldest pending sync is committed.
    Sync,
    /// L → O: a committed txn.
    Inform {
        /// The txn's.
        zxid: Zxid,
        /// As in a proposal.
        txn: Bytes,
    },
    /// L → F: a reconfig txn is committed, and this server is to lead.
    CommitAndActivate {
        /// The txn's.
        zxid: Zxid,
        /// The designated leader.
        leader: Sid,
    },
    /// L → O: the same for observers, with the txn.
    InformAndActivate {
        /// The txn's.
        zxid: Zxid,
        /// The designated leader.
        leader: Sid,
        /// As in a proposal.
        txn: Bytes,
    },
    /// L → F, O: the end of the sync; to be acknowledged when all before it is durable.
    NewLeader {
        /// The new epoch's first.
        zxid: Zxid,
        /// Text of the leader's last seen config; `None` towards learners of 3.3.
        config: Option<Bytes>,
    },
    /// F → L, first packet.
    FollowerInfo {
        /// Its accepted epoch's first zxid (3.3: its last zxid).
        zxid: Zxid,
        /// Who it is; `None` is anonymous and ancient.
        learner: Option<LearnerInfo>,
    },
    /// O → L, first packet.
    ObserverInfo {
        /// As in FOLLOWERINFO.
        zxid: Zxid,
        /// As in FOLLOWERINFO.
        learner: Option<LearnerInfo>,
    },
    /// L → F, O: serve clients.
    UpToDate,
    /// L → F, O: a sync by txns begins.
    Diff {
        /// Informative.
        zxid: Zxid,
    },
    /// L → F, O: cut back.
    Trunc {
        /// The last txn to keep.
        zxid: Zxid,
    },
    /// L → F, O: the bytes of a snapshot follow, outside the packets.
    Snap {
        /// Last zxid in it.
        zxid: Zxid,
    },
    /// L → F, O: the epoch is decided.
    LeaderInfo {
        /// Its first zxid.
        zxid: Zxid,
        /// [`PROTOCOL_VERSION`].
        protocol_version: i32,
    },
    /// F, O → L: the epoch is accepted. Never null on the wire.
    AckEpoch {
        /// The learner's last zxid.
        zxid: Zxid,
        /// Its current epoch; `None` (-1) if it had accepted this epoch before: then it does not count.
        current_epoch: Option<u32>,
    },
    /// A type that names nothing here: Java logs it and goes on.
    Unknown {
        /// Its number.
        kind: i32,
        /// Its zxid.
        zxid: Zxid,
        /// Its payload.
        data: Option<Bytes>,
    },
}

/// A request on its way to the leader, which trusts every word of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedRequest {
    /// Who asks; with `cxid` the key by which the learner finds the txn again.
    pub session: SessionId,
    /// The client's number for it.
    pub cxid: i32,
    /// Opcode.
    pub op: i32,
    /// The request's record.
    pub body: Bytes,
    /// The client's identities; `None` for requests without a client, as createSession.
    pub auth: Option<Vec<Id>>,
}

/// Who a learner is. Older ones say less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LearnerInfo {
    /// Its sid.
    pub sid: Sid,
    /// `None` in 8 bytes: it counts as 1. Below [`PROTOCOL_VERSION`] there is no discovery.
    pub protocol_version: Option<i32>,
    /// Version of its config in force; `None` in fewer than 20 bytes, or without a protocol version.
    pub config_version: Option<Zxid>,
}

/// Spoken since 3.4.
pub const PROTOCOL_VERSION: i32 = 0x10000;

/// Type numbers.
pub mod kind {
    #![allow(missing_docs)]
    pub const REQUEST: i32 = 1;
    pub const PROPOSAL: i32 = 2;
    pub const ACK: i32 = 3;
    pub const COMMIT: i32 = 4;
    pub const PING: i32 = 5;
    pub const REVALIDATE: i32 = 6;
    pub const SYNC: i32 = 7;
    pub const INFORM: i32 = 8;
    pub const COMMIT_AND_ACTIVATE: i32 = 9;
    pub const NEW_LEADER: i32 = 10;
    pub const FOLLOWER_INFO: i32 = 11;
    pub const UP_TO_DATE: i32 = 12;
    pub const DIFF: i32 = 13;
    pub const TRUNC: i32 = 14;
    pub const SNAP: i32 = 15;
    pub const OBSERVER_INFO: i32 = 16;
    pub const LEADER_INFO: i32 = 17;
    pub const ACK_EPOCH: i32 = 18;
    pub const INFORM_AND_ACTIVATE: i32 = 19;
}

/// The zxid of packets that speak of none.
const NO_ZXID: Zxid = Zxid(-1);

impl QuorumPacket {
    /// The name of its type.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "REQUEST",
            Self::Proposal { .. } => "PROPOSAL",
            Self::Ack { .. } => "ACK",
            Self::Commit { .. } => "COMMIT",
            Self::Ping { .. } => "PING",
            Self::PingReply { .. } => "the reply to a PING",
            Self::Revalidate { .. } => "REVALIDATE",
            Self::Revalidated { .. } => "the reply to a REVALIDATE",
            Self::Sync => "SYNC",
            Self::Inform { .. } => "INFORM",
            Self::CommitAndActivate { .. } => "COMMITANDACTIVATE",
            Self::InformAndActivate { .. } => "INFORMANDACTIVATE",
            Self::NewLeader { .. } => "NEWLEADER",
            Self::FollowerInfo { .. } => "FOLLOWERINFO",
            Self::ObserverInfo { .. } => "OBSERVERINFO",
            Self::UpToDate => "UPTODATE",
            Self::Diff { .. } => "DIFF",
            Self::Trunc { .. } => "TRUNC",
            Self::Snap { .. } => "SNAP",
            Self::LeaderInfo { .. } => "LEADERINFO",
            Self::AckEpoch { .. } => "ACKEPOCH",
            Self::Unknown { .. } => "a packet of an unknown type",
        }
    }

    /// About how many bytes it holds, for bounds of queues.
    pub fn weight(&self) -> usize {
        const FIXED: usize = 64;
        FIXED
            + match self {
                Self::Proposal { txn, .. }
                | Self::Inform { txn, .. }
                | Self::InformAndActivate { txn, .. } => txn.len(),
                Self::Request(request) => request.body.len(),
                Self::Unknown { data, .. } => data.as_ref().map_or(0, |data| data.len()),
                _ => 0,
            }
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut BytesMut) {
        let head = |out: &mut BytesMut, kind: i32, zxid: Zxid| {
            out.put_i32(kind);
            zxid.encode(out);
        };
        let plain = |out: &mut BytesMut, kind, zxid, data: Option<&Bytes>| {
            head(out, kind, zxid);
            data.cloned().encode(out);
        };
        let built = |out: &mut BytesMut, kind, zxid, write: &dyn Fn(&mut BytesMut)| {
            head(out, kind, zxid);
            put_buffer(out, write);
        };
        match self {
            Self::Request(request) => {
                built(out, kind::REQUEST, NO_ZXID, &|out| request.encode_data(out));
                return request.auth.encode(out);
            }
            Self::Proposal { zxid, txn } => plain(out, kind::PROPOSAL, *zxid, Some(txn)),
            Self::Ack { zxid } => plain(out, kind::ACK, *zxid, None),
            Self::Commit { zxid } => plain(out, kind::COMMIT, *zxid, None),
            Self::Ping { zxid } => plain(out, kind::PING, *zxid, None),
            Self::PingReply { zxid, touches } => {
                built(out, kind::PING, *zxid, &|out| touches.iter().for_each(|touch| touch.encode(out)));
            }
            Self::Revalidate { touch } => built(out, kind::REVALIDATE, NO_ZXID, &|out| touch.encode(out)),
            Self::Revalidated { session, valid } => built(out, kind::REVALIDATE, NO_ZXID, &|out| {
                session.encode(out);
                valid.encode(out);
            }),
            Self::Sync => plain(out, kind::SYNC, Zxid::ZERO, None),
            Self::Inform { zxid, txn } => plain(out, kind::INFORM, *zxid, Some(txn)),
            Self::CommitAndActivate { zxid, leader } => {
                built(out, kind::COMMIT_AND_ACTIVATE, *zxid, &|out| out.put_i64(leader.0));
            }
            Self::InformAndActivate { zxid, leader, txn } => {
                built(out, kind::INFORM_AND_ACTIVATE, *zxid, &|out| {
                    out.put_i64(leader.0);
                    out.put_slice(txn);
                });
            }
            Self::NewLeader { zxid, config } => plain(out, kind::NEW_LEADER, *zxid, config.as_ref()),
            Self::FollowerInfo { zxid, learner } => {
                plain(out, kind::FOLLOWER_INFO, *zxid, learner.map(|l| l.to_bytes()).as_ref());
            }
            Self::ObserverInfo { zxid, learner } => {
                plain(out, kind::OBSERVER_INFO, *zxid, learner.map(|l| l.to_bytes()).as_ref());
            }
            Self::UpToDate => plain(out, kind::UP_TO_DATE, NO_ZXID, None),
            Self::Diff { zxid } => plain(out, kind::DIFF, *zxid, None),
            Self::Trunc { zxid } => plain(out, kind::TRUNC, *zxid, None),
            Self::Snap { zxid } => plain(out, kind::SNAP, *zxid, None),
            Self::LeaderInfo { zxid, protocol_version } => {
                built(out, kind::LEADER_INFO, *zxid, &|out| out.put_i32(*protocol_version));
            }
            Self::AckEpoch { zxid, current_epoch } => {
                let epoch = current_epoch
                    .map_or(-1, |e| i32::try_from(e).expect("invariant: epochs stay below 2^31 (B9)"));
                built(out, kind::ACK_EPOCH, *zxid, &|out| out.put_i32(epoch));
            }
            Self::Unknown { kind, zxid, data } => plain(out, *kind, *zxid, data.as_ref()),
        }
        Option::<Vec<Id>>::None.encode(out);
    }

    /// The encoding on its own.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.weight());
        self.encode(&mut out);
        out.freeze()
    }

    /// Decodes one whole packet from `sender`. `data_max`: the longest payload, bytes.
    pub fn decode(bytes: Bytes, sender: Sender, data_max: usize) -> Result<Self, DecodeError> {
        let r = &mut Reader::with_field_max(bytes, data_max);
        let number = r.i32()?;
        let zxid = Zxid::decode(r)?;
        let at = r.offset() + 4;
        let data = r.buffer()?;
        let auth = Option::<Vec<Id>>::decode(r)?;
        Self::from_parts(number, zxid, Data { at, data }, auth, sender)
    }

    fn from_parts(
        number: i32,
        zxid: Zxid,
        data: Data,
        auth: Option<Vec<Id>>,
        sender: Sender,
    ) -> Result<Self, DecodeError> {
        Ok(match (number, sender) {
            (kind::REQUEST, _) => Self::Request(data.read("a request", |r| {
                Ok(ForwardedRequest {
                    session: Jute::decode(r)?,
                    cxid: r.i32()?,
                    op: r.i32()?,
                    body: r.rest(),
                    auth,
                })
            })?),
            (kind::PROPOSAL, _) => Self::Proposal { zxid, txn: data.read("a txn", |r| Ok(r.rest()))? },
            (kind::ACK, _) => Self::Ack { zxid },
            (kind::COMMIT, _) => Self::Commit { zxid },
            (kind::PING, Sender::Leader) => Self::Ping { zxid },
            (kind::PING, Sender::Learner) => {
                Self::PingReply { zxid, touches: data.read("a list of sessions", decode_touches)? }
            }
            (kind::REVALIDATE, Sender::Learner) => {
                Self::Revalidate { touch: data.read("a session", Touch::decode)? }
            }
            (kind::REVALIDATE, Sender::Leader) => data.read("a session's fate", |r| {
                Ok(Self::Revalidated { session: Jute::decode(r)?, valid: Jute::decode(r)? })
            })?,
            (kind::SYNC, _) => Self::Sync,
            (kind::INFORM, _) => Self::Inform { zxid, txn: data.read("a txn", |r| Ok(r.rest()))? },
            (kind::COMMIT_AND_ACTIVATE, _) => {
                Self::CommitAndActivate { zxid, leader: data.read("a sid", |r| Ok(Sid(r.i64()?)))? }
            }
            (kind::INFORM_AND_ACTIVATE, _) => data.read("a sid and a txn", |r| {
                Ok(Self::InformAndActivate { zxid, leader: Sid(r.i64()?), txn: r.rest() })
            })?,
            (kind::NEW_LEADER, _) => Self::NewLeader { zxid, config: data.data },
            (kind::FOLLOWER_INFO, _) => Self::FollowerInfo { zxid, learner: data.learner()? },
            (kind::OBSERVER_INFO, _) => Self::ObserverInfo { zxid, learner: data.learner()? },
            (kind::UP_TO_DATE, _) => Self::UpToDate,
            (kind::DIFF, _) => Self::Diff { zxid },
            (kind::TRUNC, _) => Self::Trunc { zxid },
            (kind::SNAP, _) => Self::Snap { zxid },
            (kind::LEADER_INFO, _) => {
                Self::LeaderInfo { zxid, protocol_version: data.read("a protocol version", Reader::i32)? }
            }
            (kind::ACK_EPOCH, _) => {
                Self::AckEpoch { zxid, current_epoch: data.read("an epoch", decode_epoch)? }
            }
            (kind, _) => Self::Unknown { kind, zxid, data: data.data },
        })
    }
}

/// A packet's payload, and where in the packet it begins.
struct Data {
    at: usize,
    data: Option<Bytes>,
}

impl Data {
    /// Reads the payload, which must be there; what is left over is ignored.
    fn read<T>(
        self,
        what: &'static str,
        decode: impl FnOnce(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let null = DecodeError { offset: self.at - 4, kind: DecodeErrorKind::Null(what) };
        let reader = &mut Reader::new(self.data.ok_or(null)?);
        decode(reader).map_err(|error| DecodeError { offset: self.at + error.offset, ..error })
    }

    fn learner(self) -> Result<Option<LearnerInfo>, DecodeError> {
        if self.data.is_none() {
            return Ok(None);
        }
        self.read("who the learner is", LearnerInfo::decode).map(Some)
    }
}

impl ForwardedRequest {
    fn encode_data(&self, out: &mut BytesMut) {
        self.session.encode(out);
        out.put_i32(self.cxid);
        out.put_i32(self.op);
        out.put_slice(&self.body);
    }
}

impl LearnerInfo {
    /// What Zoarium says of itself.
    pub const fn new(sid: Sid, config_version: Zxid) -> Self {
        Self { sid, protocol_version: Some(PROTOCOL_VERSION), config_version: Some(config_version) }
    }

    /// True if the learner knows of discovery: LEADERINFO and ACKEPOCH.
    pub fn has_discovery(&self) -> bool {
        self.protocol_version.is_some_and(|version| version >= PROTOCOL_VERSION)
    }

    fn to_bytes(self) -> Bytes {
        let mut out = BytesMut::with_capacity(20);
        out.put_i64(self.sid.0);
        if let Some(version) = self.protocol_version {
            out.put_i32(version);
            if let Some(config_version) = self.config_version {
                config_version.encode(&mut out);
            }
        }
        out.freeze()
    }

    /// Lengths between 8, 12 and 20 read as the next shorter one.
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let sid = Sid(r.i64()?);
        let protocol_version = if r.left() < 4 { None } else { Some(r.i32()?) };
        let config_version = if r.left() < 8 { None } else { Some(Zxid::decode(r)?) };
        Ok(Self { sid, protocol_version, config_version })
    }
}

fn decode_touches(r: &mut Reader) -> Result<Vec<Touch>, DecodeError> {
    let mut touches = Vec::with_capacity(r.left() / Touch::MIN_LEN);
    while r.left() > 0 {
        touches.push(Touch::decode(r)?);
    }
    Ok(touches)
}

fn decode_epoch(r: &mut Reader) -> Result<Option<u32>, DecodeError> {
    let at = r.clone();
    match r.i32()? {
        -1 => Ok(None),
        found => {
            let malformed = || at.error(DecodeErrorKind::Malformed("expected an epoch of 0 or more, or -1"));
            u32::try_from(found).map(Some).map_err(|_| malformed())
        }
    }
}

/// Appends a `buffer` whose content `write` appends; the length is filled in afterwards.
fn put_buffer(out: &mut BytesMut, write: &dyn Fn(&mut BytesMut)) {
    let at = out.len();
    put_len(out, 0);
    write(out);
    let len =
        i32::try_from(out.len() - at - 4).expect("no payload reaches 2 GiB: limits are checked at the door");
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn decode(kind: i32, sender: Sender, data: Option<&[u8]>) -> Result<QuorumPacket, DecodeError> {
        let mut out = BytesMut::new();
        out.put_i32(kind);
        out.put_i64(7);
        data.map(Bytes::copy_from_slice).encode(&mut out);
        out.put_i32(-1);
        QuorumPacket::decode(out.freeze(), sender, 1000)
    }

    #[test]
    fn a_packet_without_data_has_twenty_bytes() {
        for packet in [QuorumPacket::Ack { zxid: Zxid(1) }, QuorumPacket::Sync, QuorumPacket::UpToDate] {
            let bytes = packet.to_bytes();
            assert_eq!((bytes.len(), &bytes[12..]), (20, &[0xff; 8][..]));
        }
    }

    #[test]
    fn an_empty_list_of_sessions_is_empty_and_not_null() {
        let bytes = QuorumPacket::PingReply { zxid: Zxid(1), touches: vec![] }.to_bytes();
        assert_eq!(&bytes[12..], [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn null_is_refused_where_java_drops_the_connection_for_it() {
        for (kind, sender) in [
            (kind::REQUEST, Sender::Learner),
            (kind::PROPOSAL, Sender::Leader),
            (kind::PING, Sender::Learner),
            (kind::REVALIDATE, Sender::Learner),
            (kind::REVALIDATE, Sender::Leader),
            (kind::INFORM, Sender::Leader),
            (kind::COMMIT_AND_ACTIVATE, Sender::Leader),
            (kind::INFORM_AND_ACTIVATE, Sender::Leader),
            (kind::LEADER_INFO, Sender::Leader),
            (kind::ACK_EPOCH, Sender::Learner),
        ] {
            let error = decode(kind, sender, None).unwrap_err();
            assert!(
                matches!(error, DecodeError { offset: 12, kind: DecodeErrorKind::Null(_) }),
                "{kind}: {error}"
            );
        }
        assert_eq!(decode(kind::PING, Sender::Leader, None), Ok(QuorumPacket::Ping { zxid: Zxid(7) }));
        let anonymous = QuorumPacket::FollowerInfo { zxid: Zxid(7), learner: None };
        assert_eq!(decode(kind::FOLLOWER_INFO, Sender::Learner, None), Ok(anonymous));
        let ancient = QuorumPacket::NewLeader { zxid: Zxid(7), config: None };
        assert_eq!(decode(kind::NEW_LEADER, Sender::Leader, None), Ok(ancient));
    }

    #[test]
    fn a_learner_says_who_it_is_in_any_of_the_lengths() {
        let all: Vec<u8> = [0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 99].into();
        for len in 0..=all.len() {
            let found = decode(kind::OBSERVER_INFO, Sender::Learner, Some(&all[..len]));
            if len < 8 {
                assert_eq!(found.unwrap_err().offset, 16, "{len}");
                continue;
            }
            let protocol_version = (len >= 12).then_some(PROTOCOL_VERSION);
            let config_version = (len >= 20).then_some(Zxid(9));
            let learner = LearnerInfo { sid: Sid(5), protocol_version, config_version };
            assert_eq!(learner.has_discovery(), len >= 12);
            let packet = QuorumPacket::ObserverInfo { zxid: Zxid(7), learner: Some(learner) };
            assert_eq!(found, Ok(packet), "{len}");
        }
    }

    #[test]
    fn an_epoch_of_minus_one_does_not_count_and_any_other_below_zero_is_refused() {
        let epoch = |found: i32| decode(kind::ACK_EPOCH, Sender::Learner, Some(&found.to_be_bytes()));
        let ack = |current_epoch| Ok(QuorumPacket::AckEpoch { zxid: Zxid(7), current_epoch });
        assert_eq!((epoch(0), epoch(-1)), (ack(Some(0)), ack(None)));
        assert_eq!(epoch(-2).unwrap_err().offset, 16);
    }

    #[test]
    fn half_a_session_in_a_ping_is_refused() {
        let error = decode(kind::PING, Sender::Learner, Some(&[0; 17])).unwrap_err();
        assert_eq!(error.offset, 16 + 12);
    }

    #[test]
    fn a_type_of_the_future_is_kept_as_it_is() {
        let data = Some(Bytes::from_static(b"?"));
        let packet = QuorumPacket::Unknown { kind: 20, zxid: Zxid(7), data };
        assert_eq!(decode(20, Sender::Leader, Some(b"?")), Ok(packet));
    }

    #[test]
    fn txns_are_slices_of_what_was_received() {
        let bytes = QuorumPacket::Proposal { zxid: Zxid(1), txn: Bytes::from_static(b"txn") }.to_bytes();
        let QuorumPacket::Proposal { txn, .. } =
            QuorumPacket::decode(bytes.clone(), Sender::Leader, 1000).unwrap()
        else {
            panic!("a proposal");
        };
        assert_eq!(txn.as_ptr(), bytes[16..].as_ptr());
    }
}
