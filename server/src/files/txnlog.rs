//! `txnlog`: what is in a log file, whether it is sound, and a copy of it with right checksums.

use std::fs::{self, File};
use std::io::{self, BufRead, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use zk_core::disk::txnlog::{self, Entry, HEADER, HEADER_LEN, LogEnd, LogReader};
use zk_core::disk::{Dir, layout};
use zk_core::error::DiskFault;
use zk_core::ids::Zxid;
use zk_core::wire::txn::Txn;
use zk_net::disk::files::Files;

use super::{Limit, opened, refused, txn_text};
use crate::exit;

/// Whose word it takes to set a checksum right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fix {
    /// A person is asked.
    Ask,
    /// Nobody's.
    All,
}

/// What `recover` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Mended,
    All,
}

/// A log file that is read entry by entry, sound or not.
struct Log {
    files: Files,
    file: zk_core::disk::FileName,
    size: u64,
}

impl Log {
    fn open(path: &Path) -> Result<Self> {
        if !path.is_file() {
            let words = format!("File doesn't exist or not readable: {}", path.display());
            return Err(refused(exit::UNEXPECTED, words));
        }
        let (files, file, size) = opened(path, Dir::Log)?;
        Ok(Self { files, file, size })
    }

    /// Positioned at the first entry; prints what the header says.
    fn begin(&mut self, limit: Limit, out: &mut dyn Write) -> Result<LogReader<'_, Files>> {
        let magic = |name: &str| refused(exit::INVALID_CONFIG, format!("Invalid magic number for {name}"));
        ensure!(self.size >= HEADER_LEN, "{}: shorter than a log's header", self.file.name);
        let opened = LogReader::open(&mut self.files, self.file.clone(), self.size, limit.record_max());
        let reader = match opened {
            Err(DiskFault::Corrupt { .. }) => return Err(magic(&self.file.name)),
            opened => opened?,
        };
        let Some((version, dbid)) = reader.header() else { return Err(magic(&self.file.name)) };
        writeln!(out, "ZooKeeper Transactional Log File with dbid {dbid} txnlog format version {version}")?;
        Ok(reader)
    }
}

/// Prints every txn.
pub(super) fn dump(path: &Path, limit: Limit, out: &mut dyn Write) -> Result<u8> {
    let mut log = Log::open(path)?;
    let mut reader = log.begin(limit, out)?;
    let read = each_entry(&mut reader, out, |checksum, bytes, out| {
        if checksum != Entry::checksum_of(bytes) {
            writeln!(out, "CRC ERROR - {}", shown(bytes))?;
        }
        Ok(writeln!(out, "{}", shown(bytes))?)
    })?;
    writeln!(out, "EOF reached after {read} txns.")?;
    Ok(exit::CLEAN)
}

/// Passes each entry to `take`, up to where they end; how many there are.
fn each_entry(
    reader: &mut LogReader<'_, Files>,
    out: &mut dyn Write,
    mut take: impl FnMut(i64, &Bytes, &mut dyn Write) -> Result<()>,
) -> Result<u64> {
    let mut count = 0;
    loop {
        let at = reader.offset();
        match reader.next_entry()? {
            Entry::Padding | Entry::Cut => return Ok(count),
            Entry::Length(length) => bail!("Unreasonable length = {length} at byte {at}"),
            Entry::Whole { checksum, bytes, end, .. } => {
                take(checksum, &bytes, out)?;
                if end != Some(Entry::END) {
                    return Err(refused(exit::UNEXPECTED, "Last transaction was partial.".to_owned()));
                }
                count += 1;
            }
        }
    }
}

/// A txn in words; if its bytes make none, why.
fn shown(bytes: &Bytes) -> String {
    match Txn::decode(bytes.clone()) {
        Ok(txn) => txn_text::line(&txn),
        Err(error) => format!("{} bytes that make no transaction: {error}", bytes.len()),
    }
}

/// Writes the file anew with right checksums.
pub(super) fn recover(path: &Path, limit: Limit, fix: Fix, shows: Shows, out: &mut dyn Write) -> Result<u8> {
    let fixed = PathBuf::from(format!("{}.fixed", path.display()));
    let mut log = Log::open(path)?;
    let exists = || {
        let words = format!("Recovery file {} already exists or not writable", fixed.display());
        refused(exit::UNEXPECTED, words)
    };
    let file = File::options().write(true).create_new(true).open(&fixed).map_err(|_| exists())?;
    let mut copy = BufWriter::new(file);
    let mut reader = log.begin(limit, out)?;
    copy.write_all(&HEADER)?;
    let mut mended = 0;
    let mut record = BytesMut::new();
    let outcome = each_entry(&mut reader, out, |checksum, bytes, out| {
        let right = Entry::checksum_of(bytes);
        record.clear();
        txnlog::put_record(bytes, &mut record);
        if checksum != right {
            let word = if fix == Fix::All { "CRC FIXED" } else { "CRC ERROR" };
            writeln!(out, "{word} - {}", shown(bytes))?;
            if fix == Fix::All || is_meant(out)? {
                mended += 1;
            } else {
                record[..8].copy_from_slice(&checksum.to_be_bytes());
            }
        }
        if shows == Shows::All {
            writeln!(out, "{}", shown(bytes))?;
        }
        Ok(copy.write_all(&record)?)
    });
    // What could be read is there for whoever has to make do with it.
    copy.flush()?;
    copy.get_ref().sync_all()?;
    writeln!(out, "EOF reached after {} txns.", outcome?)?;
    writeln!(out, "Recovery file {} has been written with {mended} fixed CRC error(s)", fixed.display())?;
    Ok(exit::CLEAN)
}

/// Asks whether a txn whose checksum is wrong is as it should be.
fn is_meant(out: &mut dyn Write) -> Result<bool> {
    let mut lines = io::stdin().lock().lines();
    loop {
        write!(out, "Would you like to fix it (Yes/No/Abort) ? ")?;
        out.flush()?;
        let answer = lines.next().context("nobody answers")??;
        match answer.trim_start().chars().next().map(|c| c.to_ascii_uppercase()) {
            Some('Y') => return Ok(true),
            Some('N') => return Ok(false),
            Some('A') => return Err(refused(exit::CLEAN, "Recovery aborted.".to_owned())),
            _ => {}
        }
    }
}

/// Says of each file whether it is sound.
pub(super) fn check(paths: &[PathBuf], limit: Limit, out: &mut dyn Write) -> Result<u8> {
    let mut status = exit::CLEAN;
    for path in files_of(paths)? {
        match sound(&path, limit) {
            Ok(found) => writeln!(out, "{}: {found}", path.display())?,
            Err(error) => {
                status = exit::UNEXPECTED;
                writeln!(out, "{}: DAMAGED: {error:#}", path.display())?;
            }
        }
    }
    Ok(status)
}

/// The files that are meant: those of a directory in the order of their zxids.
fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut logs = Vec::new();
        for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
            let name = entry?.file_name();
            if let Some(zxid) = name.to_str().and_then(layout::log_zxid) {
                logs.push((zxid, path.join(name)));
            }
        }
        ensure!(!logs.is_empty(), "no log files in {}", path.display());
        logs.sort_unstable();
        files.extend(logs.into_iter().map(|(_, path)| path));
    }
    Ok(files)
}

/// What a sound file holds; an error says what is wrong, and where.
fn sound(path: &Path, limit: Limit) -> Result<String> {
    let mut log = Log::open(path)?;
    let file = log.file.clone();
    let mut reader = LogReader::open(&mut log.files, file.clone(), log.size, limit.record_max())?;
    let (mut count, mut first, mut last) = (0_u64, None, None::<Zxid>);
    while let Some(record) = reader.next_record()? {
        let zxid = record.txn(&file)?.header.zxid;
        if let Some(before) = last
            && !zxid.may_follow(before)
        {
            bail!(
                "zxid {zxid} follows {before} at byte {}: transactions are missing between them",
                record.offset
            );
        }
        first.get_or_insert(zxid);
        last = Some(zxid);
        count += 1;
    }
    let end = match reader.end() {
        Some(LogEnd::Torn { offset }) => {
            format!("torn at byte {offset}: what follows was never acknowledged, and a start cuts it off")
        }
        _ => format!("ends cleanly at byte {}", reader.offset()),
    };
    Ok(match (first, last) {
        (Some(first), Some(last)) => format!("{count} txns, {first} to {last}, {end}"),
        _ => format!("no txns, {end}"),
    })
}
