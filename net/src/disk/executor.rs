//! The disk thread: the replica's commands as file operations, in order, many at a time.
//!
//! Group commit: whatever has gathered in the lane is planned together, written together, and made durable by one
//! `fdatasync`; then one [`Input::Durable`] covers it all. While one group is being synced the next one gathers, so
//! groups grow with the load and a single writer never waits for company.
//!
//! A write or a sync that fails is never tried again: after a failed sync the system may have dropped the very pages, and a
//! second one would succeed over nothing.

use std::time::Instant;

use zk_core::action::DiskCommand;
use zk_core::disk::FileOp;
use zk_core::disk::planner::LogPlanner;
use zk_core::error::DiskFault;
use zk_core::input::Token;

use super::files::Files;
use super::rewrites::Rewrites;

/// Plans and carries out the log's commands.
#[derive(Debug)]
pub struct Executor {
    planner: LogPlanner,
    files: Files,
    ops: Vec<FileOp>,
}

/// Bytes of a snapshot that a command installs, written at a time.
const PIECE: usize = 1 << 20;

/// What one group cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Everything up to this is durable; `None` for a group that promised nothing.
    pub durable: Option<Token>,
    /// Txns in it.
    pub txns: usize,
    /// Time of its last sync, microseconds; `None` if there was none.
    pub sync_us: Option<u64>,
    /// Time of all of it, microseconds.
    pub took_us: u64,
}

impl Executor {
    /// Over these files.
    pub const fn new(planner: LogPlanner, files: Files) -> Self {
        Self { planner, files, ops: Vec::new() }
    }

    /// Carries out a group of commands; when this returns they survive a power cut.
    ///
    /// Commands that replace history have the files for themselves.
    pub fn group(&mut self, commands: &[DiskCommand], rewrites: &Rewrites) -> Result<Group, DiskFault> {
        let began = Instant::now();
        let mut group = Group::default();
        for command in commands {
            let rewrite = self.planner.plan(command, &mut self.ops);
            if let DiskCommand::Append { records, .. } = command {
                group.txns += records.len();
            }
            if let Some(mut rewrite) = rewrite {
                let _files = rewrites.hold();
                self.carry_out(&mut group)?;
                while !rewrite.next(&mut self.files, PIECE, &mut self.ops)? {
                    self.carry_out(&mut group)?;
                }
            }
            group.durable = command.token().or(group.durable);
        }
        self.planner.commit(&mut self.ops);
        self.carry_out(&mut group)?;
        group.took_us = micros(began);
        Ok(group)
    }

    fn carry_out(&mut self, group: &mut Group) -> Result<(), DiskFault> {
        for op in &self.ops {
            let is_sync = matches!(op, FileOp::SyncData(_));
            let started = is_sync.then(Instant::now);
            self.files.execute(std::slice::from_ref(op))?;
            if let Some(started) = started {
                group.sync_us = Some(micros(started));
            }
        }
        self.ops.clear();
        Ok(())
    }

    /// The last act of a clean stop: the log is synced and closed, also with `forceSync=no`.
    pub fn finish(mut self) -> Result<(), DiskFault> {
        let current = self.files.writing_log();
        let rewrite = self.planner.plan(&DiskCommand::Roll, &mut self.ops);
        assert!(rewrite.is_none(), "invariant: to begin a new file replaces nothing");
        let before_close = self.ops.iter().filter(|op| !matches!(op, FileOp::Close(_)));
        let ops: Vec<FileOp> =
            before_close.cloned().chain(current.into_iter().map(FileOp::SyncData)).collect();
        self.files.execute(&ops)
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
