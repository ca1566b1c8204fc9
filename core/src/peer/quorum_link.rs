//! One connection of the quorum port: packets, and the snapshot that follows a SNAP packet.

use alloc::boxed::Box;
use alloc::string::String;
use bytes::BytesMut;
use thiserror::Error;

use crate::disk::snapshot::BodyWriter;
use crate::disk::snapshot_reader::BodyParser;
use crate::error::DecodeError;
use crate::ids::Zxid;
use crate::tree::{Tree, TreeConfig, TreeView};
use crate::wire::quorum::{QuorumPacket, Sender};
use crate::wire::quorum_stream::{PacketReader, put_signature};

/// Reads what the other side sends.
///
/// A driver that wants SASL takes its packets from [`Self::buffer_mut`] before it asks for anything else.
#[derive(Clone, Debug)]
pub struct QuorumReader {
    packets: PacketReader,
    data_max: usize,
    tree: TreeConfig,
    snapshot: Option<Loading>,
}

/// The longest payload of a learner's first packet, bytes: 20 are used. Whoever has not said who he is gets little memory.
const GREETING_MAX: usize = 4096;

/// A snapshot on its way.
#[derive(Clone, Debug)]
struct Loading {
    zxid: Zxid,
    body: BodyParser,
    /// True when only the signature is missing.
    whole: bool,
}

/// What came.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// A packet; SNAP, too, when its snapshot has only begun to come.
    Packet(QuorumPacket),
    /// The snapshot behind SNAP, as of that packet's zxid.
    Snapshot {
        /// The zxid.
        zxid: Zxid,
        /// The tree; fuzzy if a Java leader sent it.
        tree: Box<Tree>,
    },
}

/// Why nothing that follows on the connection can be understood: it is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StreamFault {
    /// A packet is none.
    #[error("packet: {0}")]
    Packet(DecodeError),
    /// A snapshot is none.
    #[error("snapshot as of {zxid}: at byte {offset}: {what}")]
    Snapshot {
        /// As SNAP said.
        zxid: Zxid,
        /// Offset from the snapshot's first byte.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// What follows a snapshot is not its signature.
    #[error("behind the snapshot: {0}")]
    Signature(DecodeError),
}

impl QuorumReader {
    /// Reads what `sender` sends. `data_max`: the longest payload and the longest field of a snapshot, bytes; `tree`:
    /// how a snapshot's is configured.
    pub fn new(sender: Sender, data_max: usize, tree: TreeConfig) -> Self {
        let first = if sender == Sender::Learner { data_max.min(GREETING_MAX) } else { data_max };
        Self { packets: PacketReader::new(sender, first), data_max, tree, snapshot: None }
    }

    /// Appends bytes from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.packets.push(bytes);
    }

    /// The receive buffer, to read into or for SASL to take from.
    pub const fn buffer_mut(&mut self) -> &mut BytesMut {
        self.packets.buffer_mut()
    }

    /// What came next; `None` until more bytes come.
    pub fn next_arrival(&mut self) -> Result<Option<Arrival>, StreamFault> {
        if self.snapshot.is_some() {
            return self.load();
        }
        let Some(packet) = self.packets.next_packet().map_err(StreamFault::Packet)? else { return Ok(None) };
        self.packets.set_data_max(self.data_max);
        if let QuorumPacket::Snap { zxid } = packet {
            let body = BodyParser::new(self.data_max, self.tree);
            self.snapshot = Some(Loading { zxid, body, whole: false });
        }
        Ok(Some(Arrival::Packet(packet)))
    }

    fn load(&mut self) -> Result<Option<Arrival>, StreamFault> {
        let Some(Loading { zxid, body, whole }) = &mut self.snapshot else { return Ok(None) };
        let zxid = *zxid;
        let misread = |(offset, what)| StreamFault::Snapshot { zxid, offset, what };
        if !*whole {
            *whole = body.take(self.packets.buffer_mut(), |_| {}).map_err(misread)?;
        }
        if !*whole || !self.packets.end_snapshot().map_err(StreamFault::Signature)? {
            return Ok(None);
        }
        let loaded = self.snapshot.take().map(|loading| loading.body.finish(zxid));
        let tree = loaded.transpose().map_err(|what| misread((0, what)))?;
        Ok(tree.map(|tree| Arrival::Snapshot { zxid, tree: Box::new(tree) }))
    }
}

/// Writes the snapshot behind a SNAP packet, a piece at a time: body and signature.
#[derive(Clone, Debug)]
pub struct SnapshotStream {
    body: BodyWriter,
}

impl SnapshotStream {
    /// Of this view, whose zxid the SNAP packet tells.
    pub fn new(view: &TreeView) -> Self {
        Self { body: BodyWriter::new(view) }
    }

    /// Appends about `budget` bytes; true when these were the last.
    pub fn next(&mut self, budget: usize, out: &mut BytesMut) -> bool {
        let done = self.body.next(budget, out);
        if done {
            put_signature(out);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::time::WallMs;
    use crate::tree::{ApplyMode, Changes};
    use crate::wire::records::Acl;
    use crate::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};
    use alloc::vec;
    use bytes::BufMut;

    fn tree() -> Tree {
        let mut tree = Tree::new();
        let body = TxnBody::Create(CreateTxn {
            kind: CreateKind::Create,
            path: "/a".into(),
            data: Some("data".into()),
            acl: vec![Acl::world(31)],
            ephemeral: false,
            parent_cversion: 1,
        });
        let (session, time) = (SessionId(1), WallMs(0));
        let header = TxnHeader { session, cxid: 0, zxid: Zxid(7), time, kind: body.kind() };
        tree.apply(&Txn { header, body, digest: None }, ApplyMode::Live, &mut Changes::new());
        tree
    }

    fn stream() -> BytesMut {
        let mut bytes = QuorumPacket::Snap { zxid: Zxid(7) }.to_bytes().try_into_mut().unwrap();
        let mut snapshot = SnapshotStream::new(&tree().view());
        while !snapshot.next(1, &mut bytes) {}
        QuorumPacket::UpToDate.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_snapshot_comes_out_as_the_tree_it_was_made_of_in_any_pieces() {
        for piece in [1, 13, 10_000] {
            let (mut reader, mut came) =
                (QuorumReader::new(Sender::Leader, 1000, TreeConfig::default()), vec![]);
            for bytes in stream().chunks(piece) {
                reader.push(bytes);
                while let Some(arrival) = reader.next_arrival().unwrap() {
                    came.push(arrival);
                }
            }
            let [Arrival::Packet(snap), Arrival::Snapshot { zxid, tree: found }, Arrival::Packet(last)] =
                &came[..]
            else {
                panic!("{came:?}");
            };
            assert_eq!((snap, last), (&QuorumPacket::Snap { zxid: Zxid(7) }, &QuorumPacket::UpToDate));
            assert_eq!((*zxid, found.last_zxid(), found.digest()), (Zxid(7), Zxid(7), tree().digest()));
            assert_eq!(found.node("/a").unwrap().data(), Some(&b"data"[..]));
        }
    }

    #[test]
    fn a_learner_greets_shortly_and_may_say_more_then() {
        let request = |len: usize| {
            let mut bytes = BytesMut::new();
            bytes.put_i32(1);
            bytes.put_i64(0);
            bytes.put_i32(len as i32);
            bytes
        };
        let mut reader = QuorumReader::new(Sender::Learner, 100_000, TreeConfig::default());
        reader.push(&request(GREETING_MAX + 1));
        assert!(matches!(reader.next_arrival(), Err(StreamFault::Packet(_))));
        let mut reader = QuorumReader::new(Sender::Learner, 100_000, TreeConfig::default());
        reader.push(&QuorumPacket::Ack { zxid: Zxid(1) }.to_bytes());
        assert!(matches!(reader.next_arrival(), Ok(Some(Arrival::Packet(_)))));
        reader.push(&request(GREETING_MAX + 1));
        assert!(matches!(reader.next_arrival(), Ok(None)));
    }

    #[test]
    fn what_is_no_snapshot_is_refused_with_its_zxid() {
        let mut bytes = stream();
        bytes[20..24].copy_from_slice(&(-2i32).to_be_bytes());
        let mut reader = QuorumReader::new(Sender::Leader, 1000, TreeConfig::default());
        reader.push(&bytes);
        reader.next_arrival().unwrap();
        let error = reader.next_arrival().unwrap_err();
        assert!(matches!(error, StreamFault::Snapshot { zxid: Zxid(7), offset: 0, .. }), "{error}");

        let mut bytes = stream();
        let at = bytes.len() - 21;
        bytes[at] = b'!';
        let mut reader = QuorumReader::new(Sender::Leader, 1000, TreeConfig::default());
        reader.push(&bytes);
        reader.next_arrival().unwrap();
        assert!(matches!(reader.next_arrival(), Err(StreamFault::Signature(_))));
    }
}
