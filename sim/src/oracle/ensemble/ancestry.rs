//! [`Ancestry`]: every txn that was ever logged anywhere, and which one it follows.
//!
//! Zab gives a zxid to one txn only, behind one other. So the end of a history names the whole of it: whatever a server
//! holds is one zxid here, and "A's history continues B's" is a walk over the epochs in between.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::quality::FixedState;
use zk_core::action::LogRecord;
use zk_core::ids::Zxid;

use super::super::invariant::{Invariant, Violation, ensure};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Ancestry {
    epochs: BTreeMap<u32, Arc<Epoch>>,
    /// Of what is not committed yet.
    bodies: BTreeMap<Zxid, Bytes>,
}

/// The txns of one epoch.
#[derive(Clone, Debug)]
struct Epoch {
    /// What the first of them follows.
    follows: Zxid,
    /// Counter of the first.
    first: u32,
    /// Of the txns from there on; `None` where only a snapshot is known.
    prints: Vec<Option<u64>>,
}

impl Epoch {
    fn print(&self, counter: u32) -> Option<&Option<u64>> {
        self.prints.get(counter.checked_sub(self.first)? as usize)
    }
}

/// Whether a txn was known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Logged here for the first time.
    New,
    /// Logged before, here or elsewhere.
    Before,
}

impl Ancestry {
    /// A history begins with a snapshot, whose txns nobody has.
    pub(super) fn root(&mut self, zxid: Zxid) {
        if zxid > Zxid::ZERO && !self.knows(zxid) {
            let root = Epoch { follows: Zxid::ZERO, first: zxid.counter(), prints: vec![None] };
            self.epochs.insert(zxid.epoch(), Arc::new(root));
        }
    }

    /// A record goes behind a history that ends at `last`. The first to log a txn decides what it is and what it follows;
    /// all others must agree.
    pub(super) fn log(&mut self, last: Zxid, record: &LogRecord) -> Result<Known, Violation> {
        let zxid = record.zxid;
        let print = FixedState::default().hash_one(&record.bytes[..]);
        ensure(zxid.may_follow(last), Invariant::I15, || format!("{zxid} is logged behind {last}"))?;
        if let Some(follows) = self.parent(zxid) {
            ensure(follows == last, Invariant::I02, || {
                format!("{zxid} is logged behind {last}, and elsewhere behind {follows}")
            })?;
            let known = self.print(zxid).copied().flatten();
            ensure(known.is_none_or(|known| known == print), Invariant::I03, || {
                format!("{zxid} is another txn than the one that was logged before under that zxid")
            })?;
            return Ok(Known::Before);
        }
        if let Some(epoch) = self.epochs.get_mut(&zxid.epoch()) {
            let epoch = Arc::make_mut(epoch);
            let next = u64::from(epoch.first) + epoch.prints.len() as u64;
            ensure(
                u64::from(zxid.counter()) == next && last.epoch() == zxid.epoch(),
                Invariant::I15,
                || format!("{zxid} is logged behind {last}; the next one of its epoch is number {next}"),
            )?;
            epoch.prints.push(Some(print));
        } else {
            let epoch = Epoch { follows: last, first: zxid.counter(), prints: vec![Some(print)] };
            self.epochs.insert(zxid.epoch(), Arc::new(epoch));
        }
        self.bodies.insert(zxid, record.bytes.clone());
        Ok(Known::New)
    }

    /// True if this txn was ever logged.
    pub(super) fn knows(&self, zxid: Zxid) -> bool {
        zxid == Zxid::ZERO || self.print(zxid).is_some()
    }

    /// The txn that this one follows; `None` for the beginning, and for what was never logged.
    pub(super) fn parent(&self, zxid: Zxid) -> Option<Zxid> {
        let epoch = self.epochs.get(&zxid.epoch())?;
        epoch.print(zxid.counter())?;
        Some(if zxid.counter() == epoch.first { epoch.follows } else { Zxid(zxid.0 - 1) })
    }

    /// True if the history that ends at `end` has `zxid`, which is or was logged.
    pub(super) fn contains(&self, end: Zxid, zxid: Zxid) -> bool {
        if zxid == Zxid::ZERO {
            return true;
        }
        let mut at = end;
        while at > zxid {
            let Some(epoch) = self.epochs.get(&at.epoch()) else { return false };
            if at.epoch() == zxid.epoch() {
                return epoch.print(zxid.counter()).is_some();
            }
            at = epoch.follows;
        }
        at == zxid
    }

    /// It is committed: its bytes are kept elsewhere.
    pub(super) fn committed(&mut self, zxid: Zxid) -> Option<Bytes> {
        self.bodies.remove(&zxid)
    }

    fn print(&self, zxid: Zxid) -> Option<&Option<u64>> {
        self.epochs.get(&zxid.epoch())?.print(zxid.counter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u32, counter: u32) -> LogRecord {
        LogRecord { zxid: Zxid::new(epoch, counter), bytes: Bytes::from_static(b"a") }
    }

    /// 1_1 1_2 1_3, and on the second of them 2_1 2_2, and on that 4_1.
    fn two_branches() -> Ancestry {
        let mut all = Ancestry::default();
        let mut last = Zxid::ZERO;
        for (epoch, counter) in [(1, 1), (1, 2), (1, 3)] {
            assert_eq!(all.log(last, &record(epoch, counter)), Ok(Known::New));
            last = Zxid::new(epoch, counter);
        }
        last = Zxid::new(1, 2);
        for (epoch, counter) in [(2, 1), (2, 2), (4, 1)] {
            assert_eq!(all.log(last, &record(epoch, counter)), Ok(Known::New));
            last = Zxid::new(epoch, counter);
        }
        all
    }

    #[test]
    fn a_history_is_known_by_its_end() {
        let all = two_branches();
        let z = Zxid::new;
        assert!(all.contains(z(4, 1), z(1, 2)) && all.contains(z(4, 1), z(2, 1)));
        assert!(!all.contains(z(4, 1), z(1, 3)) && !all.contains(z(1, 2), z(1, 3)));
        assert!(all.contains(z(1, 3), Zxid::ZERO) && all.contains(z(1, 3), z(1, 3)));
        assert_eq!(all.parent(z(2, 1)), Some(z(1, 2)));
        assert_eq!(all.parent(z(3, 1)), None);
    }

    #[test]
    fn a_zxid_is_one_txn_behind_one_other() {
        let mut all = two_branches();
        let z = Zxid::new;
        assert_eq!(all.log(z(1, 2), &record(2, 1)), Ok(Known::Before));
        assert_eq!(all.log(z(1, 3), &record(2, 1)).unwrap_err().invariant, Invariant::I02);
        let other = LogRecord { zxid: z(2, 1), bytes: Bytes::from_static(b"b") };
        assert_eq!(all.log(z(1, 2), &other).unwrap_err().invariant, Invariant::I03);
        assert_eq!(all.log(z(2, 2), &record(2, 4)).unwrap_err().invariant, Invariant::I15);
    }
}
