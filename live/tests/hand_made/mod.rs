//! Data directories made by hand, with the server's own writer: histories that a live ensemble would come to only by accident.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use zk_core::action::LogRecord;
use zk_core::disk::epochs::{EpochKind, plan_set};
use zk_core::disk::planner::LogPlanner;
use zk_core::disk::recovery::recover;
use zk_core::disk::snapshot::SnapshotWriter;
use zk_core::disk::{Compression, DiskConfig, FileOp};
use zk_core::ids::{SessionId, Zxid};
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Changes, Tree, TreeConfig, digest};
use zk_core::wire::records::Acl;
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnDigest, TxnHeader};
use zk_net::disk::files::{Files, Paths};

const CONFIG: DiskConfig = DiskConfig {
    prealloc: 64 << 10,
    force_sync: true,
    compression: Compression::None,
    trust_empty: false,
    digest: true,
    record_max: 4 << 20,
    tree: TreeConfig { hash_seed: 0, types: zk_core::tree::NodeTypes::Plain },
};

/// A dataDir that is written.
pub(crate) struct HandMade {
    files: Files,
    log: LogPlanner,
    tree: Tree,
    ops: Vec<FileOp>,
}

impl HandMade {
    /// Begins with nothing below `data`: whatever is there goes.
    pub(crate) fn new(data: &Path) -> Result<Self> {
        let below = data.join("version-2");
        if below.exists() {
            fs::remove_dir_all(&below)?;
        }
        fs::create_dir_all(&below)?;
        Ok(Self::over(data, Tree::new()))
    }

    /// Goes on with what a server has left below `data`.
    pub(crate) fn after(data: &Path) -> Result<Self> {
        let mut files = Self::over(data, Tree::new());
        let found = recover(&mut files.files, &CONFIG)?;
        files.files.execute(&found.repairs)?;
        Ok(Self::over(data, found.tree))
    }

    fn over(data: &Path, tree: Tree) -> Self {
        let below = data.join("version-2");
        let paths = Paths { data: data.into(), snap: below.clone(), log: below };
        Self { files: Files::new(paths), log: LogPlanner::new(CONFIG), tree, ops: Vec::new() }
    }

    /// What it has come to.
    pub(crate) fn zxid(&self) -> Zxid {
        self.tree.last_zxid()
    }

    /// Creates a znode with every zxid up to `last`, of this epoch; the names tell branches of history apart.
    pub(crate) fn creates(&mut self, branch: &str, epoch: u32, last: u32) -> Result<()> {
        let first = if self.zxid().epoch() == epoch { self.zxid().counter() + 1 } else { 1 };
        ensure!(first <= last, "{} is there already", self.zxid());
        for counter in first..=last {
            self.create(branch, Zxid::new(epoch, counter))?;
        }
        self.log.commit(&mut self.ops);
        self.carry_out()
    }

    /// The same without a log: as if it had been purged.
    pub(crate) fn creates_without_log(&mut self, branch: &str, epoch: u32, last: u32) -> Result<()> {
        self.creates(branch, epoch, last)?;
        self.log.forget();
        let below = self.files.paths().log.clone();
        for entry in fs::read_dir(below)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("log.") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn create(&mut self, branch: &str, zxid: Zxid) -> Result<()> {
        let root = self.tree.node("/").context("there is a root")?;
        let path = format!("/{branch}-{:x}", zxid.0);
        let body = TxnBody::Create(CreateTxn {
            kind: CreateKind::Create,
            path: path.as_str().into(),
            data: Some(Bytes::from(path.repeat(3))),
            acl: vec![Acl::world(31)],
            ephemeral: false,
            parent_cversion: root.persisted().cversion + 1,
        });
        let time = WallMs(1_700_000_000_000 + i64::from(zxid.counter()));
        let header = TxnHeader { session: SessionId(1), cxid: 0, zxid, time, kind: body.kind() };
        let mut txn = Txn { header, body, digest: None };
        self.tree.apply(&txn, ApplyMode::Replay, &mut Changes::new());
        let after = self.tree.digest().cast_signed();
        txn.digest = Some(TxnDigest { version: digest::VERSION, digest: after });
        self.log.append(&LogRecord { zxid, bytes: txn.to_bytes() }, &mut self.ops);
        Ok(())
    }

    /// Writes a snapshot of what it has come to.
    pub(crate) fn snapshot(&mut self) -> Result<()> {
        let mut writer = SnapshotWriter::new(self.tree.view(), CONFIG);
        while !writer.next(1 << 20, &mut self.ops) {}
        self.carry_out()
    }

    /// Writes both epoch files.
    pub(crate) fn epoch(&mut self, epoch: u32) -> Result<()> {
        plan_set(EpochKind::Accepted, epoch, &mut self.ops);
        plan_set(EpochKind::Current, epoch, &mut self.ops);
        self.carry_out()
    }

    fn carry_out(&mut self) -> Result<()> {
        let done = self.files.execute(&self.ops);
        self.ops.clear();
        Ok(done?)
    }
}
