//! The transaction log: its bytes, and a reader that tells a torn end from damage (disk format §3).
//!
//! ```text
//! file   = header, record*, zero padding
//! header = "ZKLG" | i32 version = 2 | i64 dbid = 0                              16 bytes
//! record = i64 checksum | i32 length | length bytes | byte 'B'                  13 + length bytes
//! ```
//!
//! **What a crash leaves.** [`super::planner`] writes a batch of records behind everything that is durable, into zeros, and
//! syncs it. Until that is done nobody was promised any of it. A power cut leaves any subset of the batch's 512-byte sectors;
//! the others read as the zeros that were there. A write that fails, or a process that dies in it, leaves a part of the
//! batch from its beginning on, cut at any byte, and zeros behind. That is *torn*: the log ends before it.
//!
//! **What rot leaves** are bits that were never written. Where no sound record is, and no crash explains it
//! ([`super::damage`] has the rules), a record was durable once and may have been promised, and so may everything behind it:
//! the reader refuses, naming file and offset. Java stops silently or fails, depending on the record's last byte; dropping
//! records that follow is how promised txns get lost (bug museum P29).

use alloc::format;
use alloc::string::String;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{FileName, Vfs, damage, layout};
use crate::error::DiskFault;
use crate::ids::Zxid;
use crate::wire::txn::Txn;

/// Bytes of a file's header.
pub const HEADER_LEN: u64 = 16;
/// The first bytes of every log file.
pub const HEADER: [u8; HEADER_LEN as usize] = *b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0";
/// Bytes of a record besides its txn.
pub const OVERHEAD: u64 = 13;
/// A record's last byte.
const END: u8 = b'B';
/// A disk writes so many bytes at once or not at all.
pub const SECTOR: u64 = 512;
/// The most that a batch of the planner may hold, so that it can be told what a power cut tore. Bytes.
pub const BATCH_MAX: u64 = 8 << 20;

/// Appends a record.
pub fn put_record(txn: &[u8], out: &mut BytesMut) {
    out.reserve(txn.len() + OVERHEAD as usize);
    out.put_i64(i64::from(adler(txn)));
    out.put_i32(i32::try_from(txn.len()).expect("limit: a txn is far smaller than 2 GiB"));
    out.put_slice(txn);
    out.put_u8(END);
}

pub(super) fn adler(bytes: &[u8]) -> u32 {
    let mut sum = adler2::Adler32::new();
    sum.write_slice(bytes);
    sum.checksum()
}

/// One record that checks out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins in its file.
    pub offset: u64,
    /// The txn's bytes.
    pub bytes: Bytes,
    /// False if its last byte is missing, though the checksum holds: all of it was written but that.
    pub has_end: bool,
}

impl Record {
    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64 + OVERHEAD
    }

    /// The txn's zxid, without decoding the rest.
    pub fn zxid(&self) -> Option<Zxid> {
        self.bytes.get(12..20).and_then(|b| b.try_into().ok()).map(|b| Zxid(i64::from_be_bytes(b)))
    }

    /// The txn.
    pub fn txn(&self, file: &FileName) -> Result<Txn, DiskFault> {
        Txn::decode(self.bytes.clone())
            .map_err(|e| corrupt(file, self.offset, format!("its txn does not decode: {e}")))
    }
}

/// What stands where a record should begin, sound or not: for tools that look into damaged files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A checksum, a length, and as many bytes.
    Whole {
        /// Where it begins.
        offset: u64,
        /// The checksum that it has.
        checksum: i64,
        /// The txn's bytes.
        bytes: Bytes,
        /// The byte behind them, which should be `B`; `None` if the file ends there.
        end: Option<u8>,
    },
    /// The length is 0: what follows should be padding.
    Padding,
    /// The file ends before the record does.
    Cut,
    /// The length is none.
    Length(i32),
}

impl Entry {
    /// A record's last byte.
    pub const END: u8 = END;

    /// The checksum that a txn of these bytes should have.
    pub fn checksum_of(bytes: &[u8]) -> i64 {
        adler(bytes).into()
    }
}

/// How the records of a file end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// Behind the last record there are only zeros, or nothing.
    Clean,
    /// What begins here was torn by a power cut.
    Torn {
        /// Where the first record that is lost begins.
        offset: u64,
    },
}

/// Reads one log file, a large piece at a time.
#[derive(Debug)]
pub struct LogReader<'a, V> {
    vfs: &'a mut V,
    file: FileName,
    /// As listed. Bytes.
    size: u64,
    record_max: usize,
    buffer: BytesMut,
    /// Offset in the file of the buffer's first byte.
    at: u64,
    end: Option<LogEnd>,
    /// Version and dbid, which nobody checks.
    header: Option<(i32, i64)>,
    /// P29: rot is taken for a torn end.
    #[cfg(feature = "museum")]
    forgives: bool,
}

/// What [`LogReader::look`] sees.
enum Look {
    /// Not even a length.
    End,
    /// The length is 0.
    Zero,
    /// The length is none.
    Length(i32),
    /// A record, which may not be all there.
    Record { checksum: i64, length: usize },
}

/// Bytes asked for at a time.
const PIECE: usize = 1 << 20;

impl<'a, V: Vfs> LogReader<'a, V> {
    /// Opens a file of `size` bytes. A file without even a header has no records; one whose header is not there, or
    /// not all of it, was torn before anything in it could be promised.
    pub fn open(vfs: &'a mut V, file: FileName, size: u64, record_max: usize) -> Result<Self, DiskFault> {
        let mut reader = Self {
            vfs,
            file,
            size,
            record_max,
            buffer: BytesMut::new(),
            at: 0,
            end: None,
            header: None,
            #[cfg(feature = "museum")]
            forgives: false,
        };
        if size < HEADER_LEN {
            reader.end = Some(if size == 0 { LogEnd::Clean } else { LogEnd::Torn { offset: 0 } });
            return Ok(reader);
        }
        reader.fill(HEADER_LEN as usize)?;
        if reader.buffer.starts_with(&HEADER[..4]) {
            let (version, dbid) = reader.buffer[4..HEADER_LEN as usize].split_at(4);
            let version = i32::from_be_bytes(version.try_into().expect("4 bytes"));
            reader.header = Some((version, i64::from_be_bytes(dbid.try_into().expect("8 bytes"))));
            reader.skip(HEADER_LEN);
        } else if reader.buffer[..HEADER_LEN as usize].iter().all(|b| *b == 0) {
            reader.end = Some(reader.judge(0, None)?);
        } else if reader.header_is_cut()? {
            reader.end = Some(LogEnd::Torn { offset: 0 });
        } else {
            return Err(corrupt(&reader.file, 0, String::from("expected the magic ZKLG at its beginning")));
        }
        Ok(reader)
    }

    /// True if there is nothing in the file but the beginning of its header: the first write was cut short, on a disk without
    /// room or by a crash.
    fn header_is_cut(&mut self) -> Result<bool, DiskFault> {
        let Some(last) = self.last_content(0)? else { return Ok(true) };
        let written = self.buffer.get(..=last as usize);
        Ok(written.is_some_and(|written| HEADER.starts_with(written)))
    }

    /// The next record; `None` at the end, which [`Self::end`] then describes.
    pub fn next_record(&mut self) -> Result<Option<Record>, DiskFault> {
        if self.end.is_some() {
            return Ok(None);
        }
        let offset = self.at;
        let (checksum, length) = match self.look()? {
            Look::End | Look::Zero => {
                self.end = Some(self.judge(offset, None)?);
                return Ok(None);
            }
            Look::Length(length) => {
                let what = format!("a record's length is {length}, expected at most {}", self.record_max);
                return Err(corrupt(&self.file, offset, what));
            }
            Look::Record { checksum, length } => (checksum, length),
        };
        let sound = self.buffer.get(12..12 + length).is_some_and(|txn| i64::from(adler(txn)) == checksum);
        let has_end = self.buffer.get(12 + length) == Some(&END);
        // The last byte proves nothing that the checksum does not; if all else is there, so is the txn.
        let end_is_lost = self.buffer.get(12 + length).is_none_or(|b| *b == 0);
        if !sound || !(has_end || end_is_lost) {
            self.end = Some(self.judge(offset, Some(length + OVERHEAD as usize))?);
            return Ok(None);
        }
        let bytes = self.take(length);
        Ok(Some(Record { offset, bytes, has_end }))
    }

    /// What stands at the present place, without judging it; goes on behind it if it is whole.
    pub fn next_entry(&mut self) -> Result<Entry, DiskFault> {
        let offset = self.at;
        Ok(match self.look()? {
            Look::End => Entry::Cut,
            Look::Zero => Entry::Padding,
            Look::Length(length) => Entry::Length(length),
            Look::Record { length, .. } if self.buffer.len() < 12 + length => Entry::Cut,
            Look::Record { checksum, length } => {
                let end = self.buffer.get(12 + length).copied();
                Entry::Whole { offset, checksum, bytes: self.take(length), end }
            }
        })
    }

    /// Checksum and length at the present place, and as much of the record as there is in the buffer.
    fn look(&mut self) -> Result<Look, DiskFault> {
        if !self.fill(12)? {
            return Ok(Look::End);
        }
        let checksum = i64::from_be_bytes(self.buffer[..8].try_into().expect("8 bytes"));
        let length = i32::from_be_bytes(self.buffer[8..12].try_into().expect("4 bytes"));
        if length == 0 {
            return Ok(Look::Zero);
        }
        let Some(fits) = usize::try_from(length).ok().filter(|length| *length <= self.record_max) else {
            return Ok(Look::Length(length));
        };
        self.fill(fits + OVERHEAD as usize)?;
        Ok(Look::Record { checksum, length: fits })
    }

    /// The txn of a record that is there, and goes on behind it.
    fn take(&mut self, length: usize) -> Bytes {
        self.buffer.advance(12);
        let bytes = self.buffer.split_to(length).freeze();
        if !self.buffer.is_empty() {
            self.buffer.advance(1);
        }
        self.at += length as u64 + OVERHEAD;
        bytes
    }

    /// Version and dbid of the file's header, if it has one.
    pub const fn header(&self) -> Option<(i32, i64)> {
        self.header
    }

    /// How the records end, once [`Self::next_record`] has said that they do.
    pub const fn end(&self) -> Option<LogEnd> {
        self.end
    }

    /// Where the next record would begin.
    pub const fn offset(&self) -> u64 {
        self.at
    }

    /// Makes at least `n` bytes available, or all that are left; false in that case.
    fn fill(&mut self, n: usize) -> Result<bool, DiskFault> {
        while self.buffer.len() < n {
            let from = self.at + self.buffer.len() as u64;
            let piece = self.read(from, PIECE.max(n - self.buffer.len()))?;
            if piece.is_empty() {
                return Ok(false);
            }
            self.buffer.extend_from_slice(&piece);
        }
        Ok(true)
    }

    fn read(&mut self, offset: u64, len: usize) -> Result<Bytes, DiskFault> {
        let file = &self.file;
        let io = |error| DiskFault::Io { file: layout::shown(file), op: "read", error };
        self.vfs.read_at(&self.file, offset, len).map_err(io)
    }

    /// P29.
    #[cfg(feature = "museum")]
    pub(super) const fn forgive(&mut self) {
        self.forgives = true;
    }

    const fn forgives(&self) -> bool {
        #[cfg(feature = "museum")]
        return self.forgives;
        #[cfg(not(feature = "museum"))]
        return false;
    }

    fn skip(&mut self, n: u64) {
        self.buffer.advance(n as usize);
        self.at += n;
    }

    /// No sound record is at `offset`: padding, or what a crash tore; else the server must refuse.
    fn judge(&mut self, offset: u64, claimed: Option<usize>) -> Result<LogEnd, DiskFault> {
        let Some(last) = self.last_content(offset)? else { return Ok(LogEnd::Clean) };
        // A little more than a batch is enough to see that it is more.
        let len = (last + 1 - offset).min(BATCH_MAX) as usize;
        let rest = self.read(offset, len)?;
        if damage::is_torn(offset, claimed, &rest) || self.forgives() {
            return Ok(LogEnd::Torn { offset });
        }
        let what =
            "no sound record, though no crash tore it, and what is here or behind it may have been promised";
        Err(corrupt(&self.file, offset, String::from(what)))
    }

    /// The last byte from `offset` on that is not zero.
    fn last_content(&mut self, offset: u64) -> Result<Option<u64>, DiskFault> {
        let mut found = None;
        let mut from = offset;
        while from < self.size {
            let piece = self.read(from, PIECE)?;
            if piece.is_empty() {
                break;
            }
            if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
                found = Some(from + last as u64);
            }
            from += piece.len() as u64;
        }
        Ok(found)
    }
}

/// Decodes a log file that is in memory: every record's txn, then how they end.
pub fn decode(bytes: &Bytes, record_max: usize) -> Result<(alloc::vec::Vec<Txn>, LogEnd), DiskFault> {
    let file = layout::log_name(Zxid::ZERO);
    let mut vfs = One(bytes.clone());
    let mut reader = LogReader::open(&mut vfs, file.clone(), bytes.len() as u64, record_max)?;
    let mut txns = alloc::vec::Vec::new();
    while let Some(record) = reader.next_record()? {
        txns.push(record.txn(&file)?);
    }
    Ok((txns, reader.end().expect("the records have ended")))
}

/// One file.
struct One(Bytes);

impl Vfs for One {
    fn list(&mut self, _: super::Dir) -> Result<alloc::vec::Vec<(String, u64)>, String> {
        Ok(alloc::vec::Vec::new())
    }

    fn read_at(&mut self, _: &FileName, offset: u64, len: usize) -> Result<Bytes, String> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        Ok(self.0.slice(from..from.saturating_add(len).min(self.0.len())))
    }
}

pub(super) fn corrupt(file: &FileName, offset: u64, what: String) -> DiskFault {
    DiskFault::Corrupt { file: layout::shown(file), offset, what }
}
