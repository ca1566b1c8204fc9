//! A server's disk as the replica means it: commands in a queue, and what they leave.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use zk_core::action::{DiskCommand, LogRecord};
use zk_core::disk::epochs::{EpochKind, Epochs};
use zk_core::disk::recovery::{RECENT, Recovered};
use zk_core::error::DiskFault;
use zk_core::ids::Zxid;
use zk_core::input::{LogPart, Token};
use zk_core::replica::LogShare;
use zk_core::tree::{ApplyMode, Changes, Tree};
use zk_core::wire::txn::Txn;

/// What is durable, and what is ordered behind it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) image: Image,
    pub(crate) queue: VecDeque<DiskCommand>,
}

/// What a power cut leaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) snapshots: BTreeMap<Zxid, Tree>,
    pub(crate) log: Vec<LogRecord>,
    pub(crate) accepted: Option<u32>,
    pub(crate) current: Option<u32>,
}

impl Disk {
    /// Carries out the next command; its token.
    pub(crate) fn advance(&mut self) -> Option<Token> {
        let command = self.queue.pop_front()?;
        let token = command.token();
        self.image.carry_out(command);
        token
    }

    /// What is found at the next start if `kept` commands more than were reported made it to the disk.
    pub(crate) fn power_cut(&mut self, kept: usize) {
        for command in self.queue.drain(..).take(kept) {
            self.image.carry_out(command);
        }
        self.queue.clear();
    }
}

impl Image {
    fn carry_out(&mut self, command: DiskCommand) {
        match command {
            DiskCommand::Append { records, .. } => {
                for record in records {
                    self.check_hole(record.zxid);
                    self.log.push(record);
                }
            }
            DiskCommand::Roll => {}
            DiskCommand::Truncate { to, .. } => {
                self.log.retain(|record| record.zxid <= to);
                self.snapshots.retain(|zxid, _| *zxid <= to);
            }
            DiskCommand::SetEpoch { which, epoch, .. } => {
                let file = match which {
                    EpochKind::Accepted => &mut self.accepted,
                    EpochKind::Current => &mut self.current,
                };
                assert!(file.is_none_or(|old| old <= epoch), "I14: {which:?} falls to {epoch}");
                *file = Some(epoch);
            }
            DiskCommand::Install { view, .. } => {
                self.log.clear();
                self.snapshots = [(view.last_zxid(), *view)].into();
            }
        }
    }

    /// A snapshot may be ahead of the log: what is committed is applied, durable here or not.
    fn check_hole(&self, next: Zxid) {
        let logged = self.log.last().map(|record| record.zxid);
        assert!(logged.is_none_or(|last| last < next), "the log goes back: {next} behind {logged:?}");
        let snapshot = self.snapshots.range(..next).next_back().map(|(zxid, _)| *zxid);
        let covered = self.snapshots.range(next..).next().is_some();
        let last = logged.max(snapshot).unwrap_or_default();
        assert!(covered || next.may_follow(last), "a hole in the log: {next} behind {last}");
    }

    /// Where the recovered history would end.
    pub(crate) fn last(&self) -> Option<Zxid> {
        let snapshot = self.snapshots.last_key_value().map(|(zxid, _)| *zxid);
        self.log.last().map(|record| record.zxid).max(snapshot)
    }

    /// Whether this txn is in what a start would find.
    pub(crate) fn holds(&self, zxid: Zxid, bytes: &[u8]) -> bool {
        self.snapshots.keys().any(|snapshot| *snapshot >= zxid)
            || self.log.iter().any(|record| record.zxid == zxid && record.bytes == bytes)
    }

    pub(crate) fn recover(&self) -> Recovered {
        self.recover_to(Zxid(i64::MAX)).expect("a disk that was ever started from has a snapshot")
    }

    /// The state as of `to`, or of the last txn before.
    pub(crate) fn recover_to(&self, to: Zxid) -> Result<Recovered, DiskFault> {
        if self.snapshots.is_empty() && self.log.is_empty() {
            return Ok(recovered(Tree::new(), vec![], self.epochs(Zxid::ZERO)));
        }
        let Some((_, snapshot)) = self.snapshots.range(..=to).next_back() else {
            let what = format!("no snapshot as old as {to}");
            return Err(DiskFault::Missing { file: "version-2".into(), what });
        };
        let mut tree = snapshot.clone();
        let mut recent = vec![];
        for record in &self.log {
            if record.zxid <= tree.last_zxid() || record.zxid > to {
                continue;
            }
            assert!(record.zxid.may_follow(tree.last_zxid()), "a hole between snapshot and log");
            let txn = Txn::decode(record.bytes.clone()).unwrap();
            tree.apply(&txn, ApplyMode::Live, &mut Changes::new());
            recent.push(Arc::new(txn));
        }
        recent.drain(..recent.len().saturating_sub(RECENT));
        let last = tree.last_zxid();
        Ok(recovered(tree, recent, self.epochs(last)))
    }

    /// As `zk_core::disk::epochs::read` has it.
    fn epochs(&self, last: Zxid) -> Option<Epochs> {
        let (accepted, current) = match (self.accepted, self.current) {
            (None, None) => return None,
            (Some(accepted), Some(current)) => (accepted, current),
            (Some(accepted), None) => (accepted, last.epoch().min(accepted)),
            (None, Some(current)) => panic!("currentEpoch {current} without acceptedEpoch"),
        };
        assert!(current <= accepted, "currentEpoch {current}, acceptedEpoch {accepted}");
        assert!(last.epoch() <= accepted, "the log ends at {last}, acceptedEpoch is {accepted}");
        Some(Epochs { accepted, current })
    }

    pub(crate) fn read_log(&self, from: Zxid, to: Zxid, limit: LogShare) -> LogPart {
        let Some(first) = self.log.iter().rposition(|record| record.zxid <= from) else {
            return LogPart::Unfit;
        };
        let Some(last) = self.log.iter().position(|record| record.zxid >= to) else { return LogPart::Unfit };
        if limit == LogShare::Never {
            LogPart::Unfit
        } else {
            LogPart::Records(self.log[first..=last].to_vec())
        }
    }
}

fn recovered(tree: Tree, recent: Vec<Arc<Txn>>, epochs: Option<Epochs>) -> Recovered {
    Recovered { last_zxid: tree.last_zxid(), tree, epochs, recent, events: vec![], repairs: vec![] }
}
