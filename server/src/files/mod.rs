//! Tools for an operator's hands: what is in a log or a snapshot, read by the same code that the server starts with.
//!
//! They print what the tools of Apache ZooKeeper 3.8 print (TxnLogToolkit, SnapshotFormatter, SnapshotComparer, and 3.9's
//! SnapshotRecursiveSummary), so that scripts go on working, and read a file a piece at a time, however long it is. Times are
//! UTC, whatever the zone of the machine.

mod compare;
mod dump;
mod json;
mod recursive;
mod summary;
mod txn_text;
mod txnlog;

use std::cell::RefCell;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use thiserror::Error;
use zk_core::disk::snapshot_reader::{Sections, Sink, read_into};
use zk_core::disk::{Compression, Dir, FileName, layout};
use zk_core::ids::Zxid;
use zk_core::wire::limits::JUTE_MAXBUFFER;
use zk_net::disk::files::{Files, Paths};

use crate::exit;

/// Looks into transaction logs, and mends them.
#[derive(Debug, Args)]
pub struct TxnlogArgs {
    #[command(subcommand)]
    command: TxnlogCommand,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Subcommand)]
enum TxnlogCommand {
    /// Prints every transaction of a log file, as TxnLogToolkit does.
    Dump {
        /// A log file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Says whether log files are sound, as the server would find at its start; exits with 1 if one is not.
    Check {
        /// Log files, or directories of which all are meant.
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
    },
    /// Writes FILE.fixed with right checksums, as TxnLogToolkit -r does. What was damaged stays what it is: only a person can
    /// know whether it is still meant.
    Recover {
        /// A log file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Sets every wrong checksum right without asking.
        #[arg(short, long)]
        yes: bool,
        /// Prints all transactions, not only those that were mended.
        #[arg(short, long)]
        verbose: bool,
    },
}

/// Looks into snapshots.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    command: SnapshotCommand,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Subcommand)]
enum SnapshotCommand {
    /// Prints every znode and session, as SnapshotFormatter does, once the whole file has proved sound.
    Dump {
        /// A snapshot.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The data of the znodes, too, in Base64.
        #[arg(short, long, conflicts_with = "json")]
        data: bool,
        /// As JSON for ncdu.
        #[arg(long)]
        json: bool,
    },
    /// Counts what is in a snapshot, and compares the digest that it carries with that of its znodes.
    Summary {
        /// A snapshot.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    // Its own words describe it.
    Compare(compare::Args),
    /// Prints how many znodes and bytes are below a znode and below its descendants, as SnapshotRecursiveSummary does.
    RecursiveSummary {
        /// A snapshot.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where to begin.
        #[arg(value_name = "PATH")]
        start: String,
        /// How many levels below it are printed; 0 is all.
        #[arg(value_name = "DEPTH")]
        depth: usize,
    },
}

/// What the servers that wrote the files were told.
#[derive(Clone, Copy, Debug, Args)]
struct Limit {
    /// The jute.maxbuffer of the servers that wrote the file, bytes: a longer record is taken for damage.
    #[arg(long = "jute-maxbuffer", value_name = "BYTES", default_value_t = JUTE_MAXBUFFER, global = true)]
    maxbuffer: usize,
}

impl Limit {
    /// With the extra size, which is as much again unless somebody says otherwise.
    const fn record_max(self) -> usize {
        self.maxbuffer.saturating_mul(2)
    }
}

/// A tool ends with words of its own, and a status that scripts know.
#[derive(Debug, Error)]
#[error("{words}")]
struct Refused {
    status: u8,
    words: String,
}

fn refused(status: u8, words: String) -> anyhow::Error {
    Refused { status, words }.into()
}

/// Does what is asked of logs; the exit status.
pub fn txnlog(args: &TxnlogArgs) -> u8 {
    let limit = args.limit;
    ended(with_output(|out| match &args.command {
        TxnlogCommand::Dump { file } => txnlog::dump(file, limit, out),
        TxnlogCommand::Check { paths } => txnlog::check(paths, limit, out),
        TxnlogCommand::Recover { file, yes, verbose } => {
            let asks = if *yes { txnlog::Fix::All } else { txnlog::Fix::Ask };
            let shows = if *verbose { txnlog::Shows::All } else { txnlog::Shows::Mended };
            txnlog::recover(file, limit, asks, shows, out)
        }
    }))
}

/// Does what is asked of snapshots; the exit status.
pub fn snapshot(args: &SnapshotArgs) -> u8 {
    let limit = args.limit;
    ended(with_output(|out| match &args.command {
        SnapshotCommand::Dump { file, json: true, .. } => json::dump(&Snapshot::open(file, limit)?, out),
        SnapshotCommand::Dump { file, data, .. } => {
            let shows = if *data { dump::Shows::Data } else { dump::Shows::Length };
            dump::dump(&Snapshot::open(file, limit)?, shows, out)
        }
        SnapshotCommand::Summary { file } => summary::summary(&Snapshot::open(file, limit)?, out),
        SnapshotCommand::Compare(args) => compare::compare(args, limit, out),
        SnapshotCommand::RecursiveSummary { file, start, depth } => {
            recursive::summary(&Snapshot::open(file, limit)?, start, *depth, out)
        }
    }))
}

fn with_output(tool: impl FnOnce(&mut dyn Write) -> Result<u8>) -> Result<u8> {
    let mut out = BufWriter::new(io::stdout().lock());
    let status = tool(&mut out);
    // What was found before an error is printed before it.
    out.flush()?;
    status
}

/// Says why a tool failed. Whoever reads the output may have seen enough of it.
fn ended(outcome: Result<u8>) -> u8 {
    let error = match outcome {
        Ok(status) => return status,
        Err(error) => error,
    };
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(broken) {
        return exit::CLEAN;
    }
    eprintln!("{error:#}");
    error.downcast_ref::<Refused>().map_or(exit::UNEXPECTED, |refused| refused.status)
}

/// The file and its directory, as the disk room takes them.
fn opened(path: &Path, dir: Dir) -> Result<(Files, FileName, u64)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} names no file", path.display()))?.to_owned();
    let size = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let paths = Paths { data: parent.clone(), snap: parent.clone(), log: parent };
    Ok((Files::new(paths), FileName { dir, name }, size))
}

/// A snapshot that can be read as often as need be.
#[derive(Debug)]
struct Snapshot {
    path: PathBuf,
    file: FileName,
    compression: Compression,
    /// As its name says; -1 if it says none.
    zxid: Zxid,
    size: u64,
    limit: Limit,
}

impl Snapshot {
    fn open(path: &Path, limit: Limit) -> Result<Self> {
        if !path.is_file() {
            let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let words = format!("File '{}' does not exist.", shown.display());
            return Err(refused(exit::INVALID_CONFIG, words));
        }
        let (_, file, size) = opened(path, Dir::Snap)?;
        let named = layout::snapshot(&file.name);
        let compression = named.map_or_else(|| by_extension(&file.name), |named| named.compression);
        let zxid = named.map_or(Zxid(-1), |named| named.zxid);
        Ok(Self { path: path.to_owned(), file, compression, zxid, size, limit })
    }

    /// Passes all that is in it to something that prints, and notes in `failed` why it could not.
    fn print<S: Sink>(&self, sink: impl FnOnce(Failed) -> S) -> Result<S> {
        let failed = Failed::default();
        let read = self.read(sink(failed.clone()));
        // The reason, and not what the reader made of it.
        match failed.0.take() {
            Some(error) => Err(error.into()),
            None => Ok(read?.0),
        }
    }

    /// Passes all that is in it to something.
    fn read<S: Sink>(&self, sink: S) -> Result<(S, Sections)> {
        let (mut files, ..) = opened(&self.path, Dir::Snap)?;
        Ok(read_into(&mut files, &self.file, self.compression, self.limit.record_max(), sink)?)
    }
}

/// Why printing has failed, for whoever had it done: a reader of files knows only words.
#[derive(Clone, Debug, Default)]
struct Failed(Rc<RefCell<Option<io::Error>>>);

impl Failed {
    fn note(&self, done: io::Result<()>) -> Result<(), String> {
        done.map_err(|error| {
            let words = error.to_string();
            self.0.replace(Some(error));
            words
        })
    }
}

fn by_extension(name: &str) -> Compression {
    match name.rsplit_once('.') {
        Some((_, "gz")) => Compression::Gzip,
        Some((_, "snappy")) => Compression::Snappy,
        _ => Compression::None,
    }
}
