//! What a node does to its disk: the log in batches, snapshots piece by piece, the purge.

use zk_core::action::DiskCommand;
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::disk::{FileOp, purge, recovery};
use zk_core::error::DiskFault;
use zk_core::input::Input;

use super::{Context, Effect, Node, NodeEvent, Stop};
use crate::dice::Site;
use crate::oracle::{Invariant, Violation};

impl Node {
    /// Begins the next batch: all commands that wait, and one sync for them.
    pub(super) fn pump_disk(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let server = self.server();
        if !server.ops.is_empty() || server.commands.is_empty() {
            return Ok(());
        }
        let mut ops = Vec::new();
        for command in server.commands.drain(..) {
            server.planner.plan(&command, &mut ops);
            if let DiskCommand::Append { token, .. } = command {
                server.ops_token = Some(token);
            }
        }
        server.planner.commit(&mut ops);
        server.ops = ops.into();
        self.advance_disk(cx)
    }

    /// Writes at once, as the page cache takes them; the next sync takes its time.
    pub(super) fn advance_disk(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        while let Some(op) = self.server().ops.front() {
            if matches!(op, FileOp::SyncData(_) | FileOp::SyncDir(_)) {
                let write = self.settings.write.draw(cx.dice, Site::DiskWrite, self.id);
                let sync = self.settings.sync.draw(cx.dice, Site::DiskSync, self.id) * self.sync_factor;
                cx.effects.push(Effect::Schedule(cx.at.plus(write + sync), NodeEvent::Disk));
                return Ok(());
            }
            let op = self.server().ops.pop_front().expect("looked at above");
            self.boundary()?;
            self.run_op(&op, cx)?;
        }
        Ok(())
    }

    /// A sync is done.
    pub(super) fn disk_done(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let op = self.server().ops.pop_front().expect("scheduled for a sync");
        self.boundary()?;
        self.run_op(&op, cx)?;
        self.advance_disk(cx)?;
        if !self.server().ops.is_empty() {
            return Ok(());
        }
        self.boundary()?;
        if let Some(token) = self.server().ops_token.take() {
            self.input(Input::Durable(token), cx)?;
        }
        self.pump_disk(cx)
    }

    fn run_op(&mut self, op: &FileOp, cx: &mut Context<'_>) -> Result<(), Stop> {
        let Err(error) = self.disk.run(op) else { return Ok(()) };
        #[cfg(feature = "museum")]
        if self.settings.disk.museum == Some(zk_core::museum::Exhibit::P30) && self.disk.run(op).is_ok() {
            return Ok(());
        }
        if matches!(op, FileOp::SyncData(_) | FileOp::SyncDir(_)) {
            self.ledger.fsync_failed();
            cx.trace.mark("fsync-failed");
        }
        let fault = DiskFault::Io {
            file: format!("{op:?}").chars().take(60).collect(),
            op: "file operation",
            error: error.into(),
        };
        cx.trace.tell(cx.at, || self.name(), || fault.to_string());
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
        if recovered.last_zxid <= cx.commits.states().last() {
            cx.commits.compare(&recovered.tree).map_err(|v| wrong(v.what))?;
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
