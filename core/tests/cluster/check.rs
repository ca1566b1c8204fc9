//! What must hold whatever happens (invariants of the simulation brief; the simulator has more of them).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use zk_core::ids::{Sid, Zxid};

use super::disk::Image;

/// What is known of the one history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// By zxid: bytes, what came before, and the digest of the tree behind it.
    committed: BTreeMap<Zxid, (Bytes, Zxid, u64)>,
    after: BTreeMap<Zxid, Zxid>,
    established: BTreeMap<u32, Sid>,
}

impl Ledger {
    /// `zxid` is applied behind `before`, on a quorum's word. True if nobody had applied it yet.
    pub(crate) fn applied(&mut self, zxid: Zxid, before: Zxid, bytes: Bytes, digest: u64) -> bool {
        let known = (bytes, before, digest);
        let new = !self.committed.contains_key(&zxid);
        let found = self.committed.entry(zxid).or_insert_with(|| known.clone());
        assert!(
            *found == known,
            "I02, I20: {zxid} behind {before} with digest {digest:#x}, elsewhere {found:?}"
        );
        let next = *self.after.entry(before).or_insert(zxid);
        assert_eq!(next, zxid, "I02: two txns follow {before}");
        new
    }

    /// A quorum holds every committed txn of these, the newest above all (I16).
    pub(crate) fn is_durable(
        &self,
        zxids: impl IntoIterator<Item = Zxid>,
        images: &BTreeMap<Sid, &Image>,
        quorum: impl Fn(&BTreeSet<Sid>) -> bool,
    ) {
        for zxid in zxids {
            let (bytes, ..) = &self.committed[&zxid];
            let holders = images.iter().filter(|(_, image)| image.holds(zxid, bytes)).map(|(sid, _)| *sid);
            let holders: BTreeSet<Sid> = holders.collect();
            assert!(quorum(&holders), "I16: {zxid} is committed, and only {holders:?} have it on disk");
        }
    }

    /// A tree that came about in another way than by applying txns one by one.
    pub(crate) fn is_as_committed(&self, zxid: Zxid, digest: u64, what: &str) {
        if let Some((.., known)) = self.committed.get(&zxid) {
            assert_eq!(*known, digest, "I20: {what} at {zxid}");
        }
    }

    /// The newest committed txns.
    pub(crate) fn newest(&self, n: usize) -> Vec<Zxid> {
        self.committed.keys().rev().take(n).copied().collect()
    }

    pub(crate) fn last(&self) -> Option<Zxid> {
        self.committed.last_key_value().map(|(zxid, _)| *zxid)
    }

    /// One leader per epoch (I01).
    pub(crate) fn leads(&mut self, epoch: u32, sid: Sid) {
        let leader = *self.established.entry(epoch).or_insert(sid);
        assert_eq!(leader, sid, "I01: two leaders of epoch {epoch}");
    }
}
