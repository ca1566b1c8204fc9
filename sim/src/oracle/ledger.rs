//! What one node logged and promised, and what it comes back with (I14, I15, I18, I19).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use zk_core::action::LogRecord;
use zk_core::ids::Zxid;
use zk_core::tree::Tree;
use zk_core::wire::txn::Txn;

use super::commits::Commits;
use super::invariant::{Invariant, Violation, ensure};

/// One node's log as it was handed to the disk.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Records that are not applied yet, oldest first.
    logged: VecDeque<(Zxid, Bytes)>,
    last: Zxid,
    promised: Zxid,
    /// An fsync failed in this incarnation.
    sick: bool,
}

impl Ledger {
    /// Records go to the disk.
    pub fn log(&mut self, records: &[LogRecord]) -> Result<(), Violation> {
        for record in records {
            let (last, zxid) = (self.last, record.zxid);
            let follows = zxid.epoch() > last.epoch() || zxid == Zxid(last.0 + 1);
            ensure(follows && zxid > last, Invariant::I15, || format!("{zxid} is logged after {last}"))?;
            self.last = zxid;
            self.logged.push_back((zxid, record.bytes.clone()));
        }
        Ok(())
    }

    /// The node promises everything up to `zxid` to somebody: it is durable, or the node lies.
    pub fn promise(&mut self, zxid: Zxid) -> Result<(), Violation> {
        ensure(!self.sick, Invariant::I19, || format!("{zxid} is promised after an fsync failed"))?;
        self.promised = self.promised.max(zxid);
        Ok(())
    }

    /// The tree has everything up to `zxid`.
    pub fn applied(&mut self, zxid: Zxid) {
        while self.logged.pop_front_if(|(logged, _)| *logged <= zxid).is_some() {}
    }

    /// An fsync failed.
    pub const fn fsync_failed(&mut self) {
        self.sick = true;
    }

    /// The last zxid logged.
    pub const fn last(&self) -> Zxid {
        self.last
    }

    /// What was promised so far.
    pub const fn promised(&self) -> Zxid {
        self.promised
    }

    /// What would be recovered from the durable image now: everything promised, nothing that was never logged.
    pub fn would_recover(&self, tree: &Tree, commits: &Commits) -> Result<(), Violation> {
        let last = tree.last_zxid();
        ensure(last >= self.promised, Invariant::I18, || {
            format!("recovery ends at {last}, {} was promised", self.promised)
        })?;
        ensure(last <= self.last, Invariant::I18, || {
            format!("recovery ends at {last}, only {} was logged", self.last)
        })?;
        if last <= commits.states().last() {
            return commits.compare(tree);
        }
        Ok(())
    }

    /// The node is back with this tree. Standalone, whatever its log holds is committed by that: the txns that nobody
    /// had applied are returned, in their order.
    pub fn recovered(&mut self, tree: &Tree) -> Result<Vec<Arc<Txn>>, Violation> {
        let last = tree.last_zxid();
        ensure(last >= self.promised && last <= self.last, Invariant::I18, || {
            format!("recovery ended at {last}; logged {}, promised {}", self.last, self.promised)
        })?;
        let mut txns = Vec::new();
        for (zxid, bytes) in std::mem::take(&mut self.logged) {
            if zxid <= last {
                txns.push(Arc::new(Txn::decode(bytes).expect("the core's own encoding")));
            }
        }
        self.last = last;
        self.promised = last;
        self.sick = false;
        Ok(txns)
    }
}
