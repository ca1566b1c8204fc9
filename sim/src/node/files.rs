//! What a node does to its disk: the log in batches, snapshots piece by piece, the purge.

use std::collections::VecDeque;

use zk_core::disk::rewrite::Rewrite;
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::disk::{FileOp, history, purge, recovery};
use zk_core::error::DiskFault;
use zk_core::input::{Input, LogPart, Token};

use super::{Context, Effect, Node, NodeEvent, Stop};
use crate::dice::Site;
use crate::oracle::{Invariant, Violation};

/// What is on its way to the disk at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    ops: VecDeque<FileOp>,
    /// Pieces of it follow when the operations are done.
    rewrite: Option<Rewrite>,
    /// What is durable when all of it is.
    token: Option<Token>,
    is_under_way: bool,
}

impl Batch {
    pub(super) const fn is_under_way(&self) -> bool {
        self.is_under_way
    }
}

impl Node {
    /// Begins the next batch: all commands that wait, up to one that replaces history, and one sync for them.
    pub(super) fn pump_disk(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let server = self.server();
        if server.batch.is_under_way || server.commands.is_empty() {
            return Ok(());
        }
        let mut ops = Vec::new();
        let mut batch = Batch { is_under_way: true, ..Batch::default() };
        while let Some(command) = server.commands.pop_front() {
            batch.rewrite = server.planner.plan(&command, &mut ops);
            batch.token = command.token().or(batch.token);
            if batch.rewrite.is_some() {
                break;
            }
        }
        server.planner.commit(&mut ops);
        batch.ops = ops.into();
        server.batch = batch;
        self.advance_disk(cx)
    }

    /// Writes at once, as the page cache takes them; the next sync, and the end of the batch, take their time.
    pub(super) fn advance_disk(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        loop {
            let is_sync = |op: &FileOp| matches!(op, FileOp::SyncData(_) | FileOp::SyncDir(_));
            let Some(op) = self.server().batch.ops.front() else { break };
            if is_sync(op) {
                break;
            }
            let op = self.server().batch.ops.pop_front().expect("looked at above");
            self.boundary()?;
            self.run_op(&op, cx)?;
        }
        let mut after = self.settings.write.draw(cx.dice, Site::DiskWrite, self.id);
        if !self.server().batch.ops.is_empty() {
            after += self.settings.sync.draw(cx.dice, Site::DiskSync, self.id) * self.sync_factor;
        }
        cx.effects.push(Effect::Schedule(cx.at.plus(after), NodeEvent::Disk));
        Ok(())
    }

    /// A sync is done, or the last write.
    pub(super) fn disk_done(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        if let Some(op) = self.server().batch.ops.pop_front() {
            self.boundary()?;
            self.run_op(&op, cx)?;
            if !self.server().batch.ops.is_empty() {
                return self.advance_disk(cx);
            }
        }
        if let Some(mut rewrite) = self.server().batch.rewrite.take() {
            self.boundary()?;
            return self.rewrite_on(&mut rewrite, cx);
        }
        self.boundary()?;
        let batch = std::mem::take(&mut self.server().batch);
        if let Some(token) = batch.token {
            self.input(Input::Durable(token), cx)?;
        }
        self.pump_disk(cx)
    }

    /// The next piece of a command that replaces history.
    fn rewrite_on(&mut self, rewrite: &mut Rewrite, cx: &mut Context<'_>) -> Result<(), Stop> {
        let mut ops = Vec::new();
        match rewrite.next(&mut self.disk, self.settings.snapshot.1, &mut ops) {
            Ok(done) => {
                let batch = &mut self.server().batch;
                batch.ops = ops.into();
                batch.rewrite = (!done).then(|| rewrite.clone());
                self.advance_disk(cx)
            }
            Err(fault) => self.input(Input::DiskFailed(fault), cx),
        }
    }

    /// The disk is read; that takes its time.
    pub(super) fn schedule_reading(&self, cx: &mut Context<'_>) {
        let after = self.settings.sync.draw(cx.dice, Site::DiskSync, self.id);
        cx.effects.push(Effect::Schedule(cx.at.plus(after), NodeEvent::Read));
    }

    pub(super) fn read_disk(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        self.boundary()?;
        if let Some(to) = self.server().reload.take() {
            let reloaded = recovery::recover_to(&mut self.disk, &self.settings.disk, to).map(Box::new);
            cx.trace.mark("state-reloaded");
            return self.input(Input::Reloaded(reloaded), cx);
        }
        let Some((query, from, to, limit)) = self.server().log_reads.pop_front() else { return Ok(()) };
        let part =
            history::read(&mut self.disk, &self.settings.disk, from, to, limit).unwrap_or(LogPart::Unfit);
        if let LogPart::Records(_) = part {
            cx.trace.mark("diff-from-the-log-on-disk");
        }
        self.input(Input::LogPart { query, part }, cx)
    }

    fn run_op(&mut self, op: &FileOp, cx: &mut Context<'_>) -> Result<(), Stop> {
        let Err(error) = self.disk.run(op) else { return Ok(()) };
        #[cfg(feature = "museum")]
        if self.settings.disk.museum == Some(zk_core::museum::Exhibit::P30) && self.disk.run(op).is_ok() {
            return Ok(());
        }
        if matches!(op, FileOp::SyncData(_) | FileOp::SyncDir(_)) {
            self.ledger.fsync_failed();
            if let Some(ensemble) = &mut *cx.ensemble {
                ensemble.fsync_failed(self.id);
            }
            cx.trace.mark("fsync-failed");
        }
        let fault = DiskFault::Io {
            file: format!("{op:?}").chars().take(60).collect(),
            op: "file operation",
            error: error.into(),
        };
        cx.trace.tell(cx.at, || self.name(), || fault.to_string());
        // Nothing is tried again, and nothing that was to follow is done.
        self.server().batch = Batch { is_under_way: true, ..Batch::default() };
        self.input(Input::DiskFailed(fault), cx)
    }

    pub(super) fn begin_snapshot(&mut self, cx: &mut Context<'_>) {
        let config = self.settings.disk;
        let server = self.server();
        assert!(server.snapshot.is_none(), "invariant: one snapshot at a time");
        server.snapshot = Some(SnapshotWriter::new(server.tree.view(), config));
        self.schedule_snapshot(cx);
    }

    fn schedule_snapshot(&self, cx: &mut Context<'_>) {
        let after = self.settings.snapshot.0.draw(cx.dice, Site::SnapshotDelay, self.id);
        cx.effects.push(Effect::Schedule(cx.at.plus(after), NodeEvent::Snapshot));
    }

    pub(super) fn snapshot(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let piece = self.settings.snapshot.1;
        let server = self.server();
        let Some(writer) = &mut server.snapshot else { return Ok(()) };
        #[cfg(feature = "museum")]
        writer.completed_at(server.tree.last_zxid());
        let mut ops = Vec::new();
        let last = writer.next(piece, &mut ops);
        let zxid = writer.zxid();
        if server.tree.last_zxid() > zxid {
            cx.trace.mark("writes-during-snapshot");
        }
        for op in &ops {
            self.boundary()?;
            self.run_op(op, cx)?;
        }
        if !last {
            self.schedule_snapshot(cx);
            return Ok(());
        }
        self.boundary()?;
        self.server().snapshot = None;
        self.check_snapshot(cx)?;
        self.input(Input::SnapshotDone { zxid }, cx)
    }

    /// I23: the snapshot with the log over it is the live tree, as far as the log is there.
    fn check_snapshot(&mut self, cx: &Context<'_>) -> Result<(), Stop> {
        if self.disk.is_destroyed() {
            return Ok(());
        }
        let mut fork = self.disk.clone();
        fork.faults = Default::default();
        let wrong = |what: String| Stop::from(Violation { invariant: Invariant::I23, what });
        let recovered = recovery::recover(&mut fork, &self.settings.disk)
            .map_err(|fault| wrong(format!("refused: {fault}")))?;
        cx.commits.compare_committed(&recovered.tree).map_err(|v| wrong(v.what))?;
        // What is logged and not committed yet says nothing: then the state as of what the tree has is looked at, if there is one.
        let live = self.server().tree.last_zxid();
        if recovered.last_zxid > live
            && let Ok(there) = recovery::recover_to(&mut fork, &self.settings.disk, live)
        {
            cx.commits.compare_committed(&there.tree).map_err(|v| wrong(v.what))?;
        }
        Ok(())
    }

    pub(super) fn purge(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let Some((every, retain)) = self.settings.purge else { return Ok(()) };
        if let Ok(ops) = purge::plan(&mut self.disk, retain) {
            if !ops.is_empty() {
                cx.trace.mark("purged");
            }
            for op in &ops {
                self.boundary()?;
                self.run_op(op, cx)?;
            }
        }
        cx.effects.push(Effect::Schedule(cx.at.plus(every), NodeEvent::Purge));
        Ok(())
    }
}
