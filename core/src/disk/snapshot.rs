//! Snapshot files: written from an exact view, read back even when fuzzy (disk format §5).
//!
//! ```text
//! "ZKSN" | i32 version = 2 | i64 dbid = -1
//! i32 n, n × (i64 session, i32 timeout) | i32 n, n × (i64 id, vector<ACL>)          ┐ the body: also what
//! (ustring path, buffer data, i64 acl, StatPersisted 60 bytes)* | ustring "/"       ┘ follows a SNAP packet
//! i64 Adler-32 of all before | ustring "/"
//! [ i64 zxid | i32 2 | i64 digest | Adler | "/" ]  [ i64 last zxid | Adler | "/" ]
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

use super::stream::Compressor;
use super::{Compression, Dir, DiskConfig, FileName, FileOp, layout};
use crate::ids::{SessionId, Zxid};
use crate::tree::{TreeView, Walk, digest};
use crate::wire::jute::Jute;
use crate::wire::records::{Acl, StatPersisted};

/// Version and dbid behind the magic, which nobody checks.
pub(super) const HEADER: [u8; 16] = *b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff";
/// The ustring "/".
pub(super) const SLASH: [u8; 5] = [0, 0, 0, 1, b'/'];

/// Writes the body of a snapshot, a piece at a time: sessions, ACL table, nodes, end.
#[derive(Clone, Debug)]
pub struct BodyWriter {
    walk: Walk,
    stage: BodyStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyStage {
    Tables,
    Nodes,
    Done,
}

impl BodyWriter {
    /// The body of this view.
    pub fn new(view: &TreeView) -> Self {
        Self { walk: view.walk(), stage: BodyStage::Tables }
    }

    /// Appends about `budget` bytes; true when these were the last.
    pub fn next(&mut self, budget: usize, out: &mut BytesMut) -> bool {
        let until = out.len() + budget.max(1);
        if self.stage == BodyStage::Tables {
            self.put_tables(out);
            self.stage = BodyStage::Nodes;
        }
        while self.stage == BodyStage::Nodes && out.len() < until {
            match self.walk.next() {
                Some(step) => {
                    put_bytes(step.path.as_bytes(), out);
                    match step.node.data() {
                        Some(data) => put_bytes(data, out),
                        None => out.put_i32(-1),
                    }
                    step.node.acl_id().encode(out);
                    step.node.persisted().encode(out);
                }
                None => {
                    out.put_slice(&SLASH);
                    self.stage = BodyStage::Done;
                }
            }
        }
        self.stage == BodyStage::Done
    }

    fn put_tables(&self, out: &mut BytesMut) {
        let view = self.walk.view();
        let sessions: Vec<(SessionId, i32)> = view.sessions().collect();
        put_count(sessions.len(), out);
        for (session, timeout_ms) in sessions {
            session.encode(out);
            timeout_ms.encode(out);
        }
        let acls = view.acl_table();
        put_count(acls.len(), out);
        for (id, list) in acls {
            id.encode(out);
            put_count(list.len(), out);
            list.iter().for_each(|acl: &Acl| acl.encode(out));
        }
    }
}

fn put_count(n: usize, out: &mut BytesMut) {
    out.put_i32(i32::try_from(n).expect("limit: tables of a snapshot have fewer than 2^31 entries"));
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    put_count(bytes.len(), out);
    out.put_slice(bytes);
}

/// Bytes of a node besides path and data.
pub(super) const NODE_FIXED: usize = 8 + <StatPersisted as Jute>::MIN_LEN;

/// Writes one snapshot file, a piece at a time, so that the driver can interleave it with anything else.
#[derive(Clone)]
pub struct SnapshotWriter {
    body: BodyWriter,
    config: DiskConfig,
    file: FileName,
    stage: Stage,
    /// Of everything uncompressed so far.
    sum: adler2::Adler32,
    compressor: Option<Compressor>,
    /// Where the next piece goes.
    offset: u64,
    /// P34: the zxid that it claims.
    #[cfg(feature = "museum")]
    label: Option<Zxid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    Body,
    Done,
}

impl core::fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SnapshotWriter {{ file: {:?}, offset: {} }}", self.file.name, self.offset)
    }
}

impl SnapshotWriter {
    /// A snapshot of this view, named by its zxid.
    pub fn new(view: TreeView, config: DiskConfig) -> Self {
        let file = layout::snapshot_name(view.last_zxid(), config.compression);
        Self {
            body: BodyWriter::new(&view),
            config,
            file,
            stage: Stage::Begin,
            sum: adler2::Adler32::new(),
            compressor: None,
            offset: 0,
            #[cfg(feature = "museum")]
            label: None,
        }
    }

    /// The zxid in its name.
    pub fn zxid(&self) -> Zxid {
        self.body.walk.view().last_zxid()
    }

    /// Plans the next operations, about `budget` bytes of data; true when these were the last. Written under another
    /// name, synced, renamed, directory synced: a crash at any point leaves no half file under the final name.
    pub fn next(&mut self, budget: usize, ops: &mut Vec<FileOp>) -> bool {
        let temporary = layout::temporary(&self.file);
        let mut plain = BytesMut::new();
        let mut out = BytesMut::new();
        if self.stage == Stage::Begin {
            ops.push(FileOp::Create(temporary.clone()));
            self.compressor = Some(Compressor::new(self.config.compression, &mut out));
            plain.put_slice(&HEADER);
            self.stage = Stage::Body;
        }
        if self.stage == Stage::Done {
            return true;
        }
        let last = self.body.next(budget, &mut plain);
        self.sum.write_slice(&plain);
        if last {
            self.put_sections(&mut plain);
        }
        let compressor = self.compressor.as_mut().expect("invariant: made at the beginning");
        compressor.push(&plain, &mut out);
        if last {
            compressor.finish(&mut out);
        }
        if !out.is_empty() {
            let bytes: Bytes = out.freeze();
            let offset = self.offset;
            self.offset += bytes.len() as u64;
            ops.push(FileOp::WriteAt { file: temporary.clone(), offset, bytes });
        }
        if last {
            ops.push(FileOp::SyncData(temporary.clone()));
            ops.push(FileOp::Close(temporary.clone()));
            ops.push(FileOp::Rename { from: temporary, to: self.final_name() });
            ops.push(FileOp::SyncDir(Dir::Snap));
            self.stage = Stage::Done;
        }
        last
    }

    fn final_name(&self) -> FileName {
        #[cfg(feature = "museum")]
        if let Some(label) = self.label {
            return layout::snapshot_name(label, self.config.compression);
        }
        self.file.clone()
    }

    /// P34: the driver tells at the end what has been applied by then.
    #[cfg(feature = "museum")]
    pub fn completed_at(&mut self, applied: Zxid) {
        if planted!(self.config.museum, P34) {
            self.label = Some(applied);
        }
    }

    /// The seal behind the body, and the sections that 3.9 writes, each with its own. `out` ends with the body, which is
    /// summed already.
    fn put_sections(&mut self, out: &mut BytesMut) {
        let view = self.body.walk.view();
        let (zxid, digest) = (view.last_zxid(), view.digest());
        #[cfg(feature = "museum")]
        let zxid = self.label.unwrap_or(zxid);
        let mut section = |bytes: &[u8], out: &mut BytesMut| {
            let mut part = BytesMut::from(bytes);
            self.sum.write_slice(&part);
            part.put_i64(i64::from(self.sum.checksum()));
            part.put_slice(&SLASH);
            self.sum.write_slice(&part[bytes.len()..]);
            out.put_slice(&part);
        };
        section(&[], out);
        if self.config.digest {
            let mut bytes = BytesMut::new();
            zxid.encode(&mut bytes);
            digest::VERSION.encode(&mut bytes);
            (digest as i64).encode(&mut bytes);
            section(&bytes, out);
        }
        section(&zxid.0.to_be_bytes(), out);
    }
}

/// True if the file may be a whole snapshot, judged by its first and last bytes as Java judges it.
pub fn looks_whole(compression: Compression, first: &[u8], last: &[u8], size: u64) -> bool {
    match compression {
        Compression::None => size >= 10 && last.ends_with(&SLASH),
        Compression::Gzip => first.starts_with(&[0x1f, 0x8b]),
        Compression::Snappy => first.starts_with(&super::snappy::MAGIC),
    }
}

/// What a snapshot's file name and content are told apart by, for messages.
pub(super) fn describe(compression: Compression) -> String {
    String::from(match compression {
        Compression::None => "the last five bytes are not those of a whole snapshot",
        Compression::Gzip => "no gzip header at its beginning",
        Compression::Snappy => "no snappy header at its beginning",
    })
}
