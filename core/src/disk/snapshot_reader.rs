//! Snapshot bytes → tree, a piece at a time, with bounded memory: from a file, or from the stream behind a SNAP packet.
//! Or to any other [`Sink`], for tools that need no tree.
//!
//! The end of the body is found by parsing, as nothing announces it. Memory beyond the tree is one item: an entry of a
//! table, or a node.

use alloc::format;
use alloc::string::{String, ToString};
use bytes::{Buf, BytesMut};

use super::snapshot::{HEADER, NODE_FIXED, SLASH};
use super::stream::Decompressor;
use super::{Compression, FileName, Vfs, layout};
use crate::error::{DecodeErrorKind, DiskFault};
use crate::ids::{SessionId, Zxid};
use crate::tree::{Tree, TreeConfig, TreeLoader};
use crate::wire::jute::{Jute, Reader};
use crate::wire::records::{Acl, StatPersisted};

/// What went wrong: where in the uncompressed bytes, and what.
pub type Misread = (u64, String);

/// Takes what a snapshot holds, in the order in which it stands there.
pub trait Sink {
    /// A session of the table.
    fn session(&mut self, id: SessionId, timeout_ms: i32);
    /// An entry of the ACL table.
    fn acl(&mut self, id: i64, list: alloc::vec::Vec<Acl>);
    /// A node, the root as `""`; `Err` says why it cannot be taken, and ends the reading.
    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StatPersisted) -> Result<(), String>;
}

impl Sink for TreeLoader {
    fn session(&mut self, id: SessionId, timeout_ms: i32) {
        Self::session(self, id, timeout_ms);
    }

    fn acl(&mut self, id: i64, list: alloc::vec::Vec<Acl>) {
        Self::acl(self, id, list);
    }

    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StatPersisted) -> Result<(), String> {
        Self::node(self, path, data, acl, stat)
    }
}

/// Parses the body of a snapshot: sessions, ACL table, nodes, end.
#[derive(Clone, Debug)]
pub struct BodyParser<S = TreeLoader> {
    sink: S,
    stage: BodyStage,
    field_max: usize,
    /// Bytes consumed.
    at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyStage {
    SessionCount,
    Sessions(u32),
    AclCount,
    Acls(u32),
    Nodes,
    Done,
}

impl BodyParser {
    /// A parser that accepts strings and buffers of up to `field_max` bytes.
    pub fn new(field_max: usize, tree: TreeConfig) -> Self {
        Self::into(TreeLoader::with_config(tree), field_max)
    }

    /// The tree as of `zxid`, once the body is whole.
    pub fn finish(self, zxid: Zxid) -> Result<Tree, String> {
        self.end()?.finish(zxid)
    }
}

impl<S: Sink> BodyParser<S> {
    /// The same for something that is no tree.
    const fn into(sink: S, field_max: usize) -> Self {
        Self { sink, stage: BodyStage::SessionCount, field_max, at: 0 }
    }

    /// Consumes what it can of `input`; true once the body is whole. `consumed` hears every piece, in order.
    pub fn take(&mut self, input: &mut BytesMut, mut consumed: impl FnMut(&[u8])) -> Result<bool, Misread> {
        // Items are read from shared bytes; what is left over of a piece is put back.
        let mut piece = core::mem::take(input).freeze();
        let mut from = 0;
        let outcome = loop {
            if self.stage == BodyStage::Done {
                break Ok(true);
            }
            let mut reader = Reader::with_field_max(piece.slice(from..), self.field_max);
            match self.item(&mut reader) {
                Ok(()) => {
                    let len = reader.offset();
                    consumed(&piece[from..from + len]);
                    from += len;
                    self.at += len as u64;
                }
                Err(Stop::More) => break Ok(false),
                Err(Stop::Wrong(offset, what)) => break Err((self.at + offset as u64, what)),
            }
        };
        piece.advance(from);
        *input = piece.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        outcome
    }

    /// Whatever took the body, once that is whole.
    fn end(self) -> Result<S, String> {
        if self.stage == BodyStage::Done { Ok(self.sink) } else { Err(String::from("it is cut off")) }
    }

    fn item(&mut self, r: &mut Reader) -> Result<(), Stop> {
        self.stage = match self.stage {
            BodyStage::SessionCount => match count(r)? {
                0 => BodyStage::AclCount,
                n => BodyStage::Sessions(n),
            },
            BodyStage::Sessions(n) => {
                let (session, timeout_ms) = (SessionId::decode(r)?, r.i32()?);
                self.sink.session(session, timeout_ms);
                if n == 1 { BodyStage::AclCount } else { BodyStage::Sessions(n - 1) }
            }
            BodyStage::AclCount => match count(r)? {
                0 => BodyStage::Nodes,
                n => BodyStage::Acls(n),
            },
            BodyStage::Acls(n) => {
                let id = r.i64()?;
                let list = acl_list(r)?;
                self.sink.acl(id, list);
                if n == 1 { BodyStage::Nodes } else { BodyStage::Acls(n - 1) }
            }
            BodyStage::Nodes => self.node(r)?,
            BodyStage::Done => BodyStage::Done,
        };
        Ok(())
    }

    fn node(&mut self, r: &mut Reader) -> Result<BodyStage, Stop> {
        let path =
            r.buffer()?.ok_or_else(|| Stop::Wrong(0, String::from("null where a path is required")))?;
        if path[..] == *b"/" {
            return Ok(BodyStage::Done);
        }
        let path =
            core::str::from_utf8(&path).map_err(|_| Stop::Wrong(4, String::from("a path is not UTF-8")))?;
        let data = r.buffer()?;
        if r.left() < NODE_FIXED {
            return Err(Stop::More);
        }
        let acl = r.i64()?;
        let stat = StatPersisted::decode(r)?;
        self.sink.node(path, data.as_deref(), acl, stat).map_err(|what| Stop::Wrong(0, what))?;
        Ok(BodyStage::Nodes)
    }
}

/// Why an item was not read.
enum Stop {
    /// It is not all there.
    More,
    /// At this offset within it.
    Wrong(usize, String),
}

impl From<crate::error::DecodeError> for Stop {
    fn from(error: crate::error::DecodeError) -> Self {
        match error.kind {
            DecodeErrorKind::Short { .. } => Self::More,
            kind => Self::Wrong(error.offset, kind.to_string()),
        }
    }
}

fn count(r: &mut Reader) -> Result<u32, Stop> {
    let n = r.i32()?;
    u32::try_from(n).map_err(|_| Stop::Wrong(0, format!("a table has {n} entries")))
}

/// A vector of ACLs that may not be all there: its count is no reason to allocate, nor to refuse.
fn acl_list(r: &mut Reader) -> Result<alloc::vec::Vec<Acl>, Stop> {
    let n = r.i32()?;
    let mut list = alloc::vec::Vec::new();
    for _ in 0..n.max(0) {
        list.push(Acl::decode(r)?);
    }
    Ok(list)
}

/// A digest that a snapshot carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotDigest {
    /// The tree has this digest when this txn is the last applied; not before the zxid in the file's name.
    pub zxid: Zxid,
    /// Only those of version 2 can be compared.
    pub digest: u64,
}

/// What stands behind the nodes. A section that the writer's version did not know is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sections {
    /// A digest of version 2.
    pub digest: Option<SnapshotDigest>,
    /// The last zxid as of when the section was written. From a file the name counts, not this (disk format §5).
    pub last_zxid: Option<Zxid>,
}

impl Sections {
    /// A section's zxid if it is before the one in the file's name, where no server puts it. A digest of no txn says nothing.
    fn before(&self, named: Zxid) -> Option<Zxid> {
        let digest = self.digest.map(|digest| digest.zxid).filter(|zxid| *zxid != Zxid::ZERO);
        digest.into_iter().chain(self.last_zxid).find(|zxid| *zxid < named)
    }
}

/// Parses a whole snapshot file, uncompressed.
#[derive(Debug)]
pub struct SnapshotParser<S = TreeLoader> {
    input: BytesMut,
    body: BodyParser<S>,
    sum: adler2::Adler32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Body,
    Sections,
}

impl SnapshotParser {
    /// A parser that accepts strings and buffers of up to `field_max` bytes.
    pub fn new(field_max: usize, tree: TreeConfig) -> Self {
        Self::into(TreeLoader::with_config(tree), field_max)
    }

    /// The file has ended: the tree as of `zxid`, the zxid in its name, and the digest if there is one.
    pub fn finish(self, zxid: Zxid) -> Result<(Tree, Option<SnapshotDigest>), Misread> {
        let at = self.at();
        let (loader, sections) = self.end()?;
        if let Some(says) = sections.before(zxid) {
            return Err((
                at,
                format!("it is of {says}, not of {zxid} as its name says: is it another file?"),
            ));
        }
        let tree = loader.finish(zxid).map_err(|what| (at, what))?;
        Ok((tree, sections.digest))
    }
}

impl<S: Sink> SnapshotParser<S> {
    /// The same for something that is no tree.
    fn into(sink: S, field_max: usize) -> Self {
        Self {
            input: BytesMut::new(),
            body: BodyParser::into(sink, field_max),
            sum: adler2::Adler32::new(),
            stage: Stage::Header,
        }
    }

    /// The buffer to append the file's (uncompressed) bytes to, before [`Self::advance`].
    pub const fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Takes what the buffer has.
    pub fn advance(&mut self) -> Result<(), Misread> {
        if self.stage == Stage::Header {
            if self.input.len() < HEADER.len() {
                return Ok(());
            }
            if self.input[..4] != HEADER[..4] {
                return Err((0, String::from("expected the magic ZKSN")));
            }
            self.sum.write_slice(&self.input[..HEADER.len()]);
            self.input.advance(HEADER.len());
            self.stage = Stage::Body;
        }
        if self.stage == Stage::Body {
            let sum = &mut self.sum;
            let whole = self.body.take(&mut self.input, |piece| sum.write_slice(piece));
            if whole.map_err(|(at, what)| (HEADER.len() as u64 + at, what))? {
                self.stage = Stage::Sections;
            }
        }
        if self.stage == Stage::Sections && self.input.len() > SECTIONS_MAX {
            return Err((self.at(), String::from("there is more behind the nodes than any version writes")));
        }
        Ok(())
    }

    /// The file has ended.
    fn end(mut self) -> Result<(S, Sections), Misread> {
        if self.stage != Stage::Sections {
            return Err((self.at() + self.input.len() as u64, String::from("it is cut off")));
        }
        self.seal(0)?;
        let mut sections = Sections::default();
        if self.input.len() >= DIGEST_LEN + SEAL_LEN && self.input[8..12] == [0, 0, 0, 2] {
            let digest = self.field(12) as u64;
            sections.digest = Some(SnapshotDigest { zxid: Zxid(self.field(0)), digest });
            self.seal(DIGEST_LEN)?;
        }
        if self.input.len() >= 8 + SEAL_LEN {
            sections.last_zxid = Some(Zxid(self.field(0)));
            self.seal(8)?;
        }
        let at = self.at();
        let sink = self.body.end().map_err(|what| (at, what))?;
        Ok((sink, sections))
    }

    fn field(&self, at: usize) -> i64 {
        i64::from_be_bytes(self.input[at..at + 8].try_into().expect("8 bytes"))
    }

    /// A section of `len` bytes and its seal.
    fn seal(&mut self, len: usize) -> Result<(), Misread> {
        let at = self.at();
        if self.input.len() < len + SEAL_LEN {
            return Err((at, String::from("a seal is cut off")));
        }
        self.sum.write_slice(&self.input[..len]);
        let expected = i64::from(self.sum.checksum());
        let found = i64::from_be_bytes(self.input[len..len + 8].try_into().expect("8 bytes"));
        if found != expected {
            return Err((
                at + len as u64,
                format!("checksum {found:#x} where the content has {expected:#x}"),
            ));
        }
        self.sum.write_slice(&self.input[len..len + SEAL_LEN]);
        self.input.advance(len + SEAL_LEN);
        Ok(())
    }

    const fn at(&self) -> u64 {
        HEADER.len() as u64 + self.body.at
    }
}

/// Adler-32 as a long, and the ustring "/".
const SEAL_LEN: usize = 8 + SLASH.len();
/// zxid, version, digest.
const DIGEST_LEN: usize = 20;
/// Sections and seals come to 67 bytes, a digest as text of before 3.6 included to less than this.
const SECTIONS_MAX: usize = 1024;

/// Reads one snapshot file through, into whatever takes it. Holds a piece of the file and one item of it.
pub fn read_into<S: Sink>(
    vfs: &mut impl Vfs,
    file: &FileName,
    compression: Compression,
    field_max: usize,
    sink: S,
) -> Result<(S, Sections), DiskFault> {
    let parser = SnapshotParser::into(sink, field_max);
    let corrupt = |(offset, what)| DiskFault::Corrupt { file: layout::shown(file), offset, what };
    feed(vfs, file, compression, parser)?.end().map_err(corrupt)
}

/// Bytes asked for at a time.
const PIECE: usize = 1 << 20;

/// Bytes uncompressed at a time: they may become a thousand times as many.
const PART: usize = 8 << 10;

/// Passes a file through a parser.
pub(super) fn feed<S: Sink>(
    vfs: &mut impl Vfs,
    file: &FileName,
    compression: Compression,
    mut parser: SnapshotParser<S>,
) -> Result<SnapshotParser<S>, DiskFault> {
    let corrupt = |offset, what| DiskFault::Corrupt { file: layout::shown(file), offset, what };
    let mut decompressor = Decompressor::new(compression);
    let mut at = 0;
    loop {
        let read = vfs.read_at(file, at, PIECE);
        let piece = read.map_err(|error| DiskFault::Io { file: layout::shown(file), op: "read", error })?;
        if piece.is_empty() {
            break;
        }
        for part in piece.chunks(PART) {
            decompressor.push(part, parser.input()).map_err(|what| corrupt(at, what))?;
            at += part.len() as u64;
            parser.advance().map_err(|(offset, what)| corrupt(offset, what))?;
        }
    }
    decompressor.finish().map_err(|what| corrupt(at, what))?;
    Ok(parser)
}

/// Parses a snapshot file that is in memory.
pub fn decode(bytes: &[u8], field_max: usize) -> Result<(Tree, Option<SnapshotDigest>), Misread> {
    let mut parser = SnapshotParser::new(field_max, TreeConfig::default());
    for piece in bytes.chunks(64 * 1024) {
        parser.input().extend_from_slice(piece);
        parser.advance()?;
    }
    parser.finish(Zxid::ZERO)
}
