//! Committed txns under the gate: so many that entering is paid once, so few that readers do not wait long.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use zk_core::action::Commit;
use zk_core::front::{self, Connections, FrontConfig, Intake, Watches};
use zk_core::ids::Zxid;
use zk_core::tree::Tree;

use crate::clock::Clock;

/// Commits under one hold of the gate.
const COMMITS_MAX: usize = 256;
/// The same in time.
const HOLD_MAX: Duration = Duration::from_micros(200);
/// Commits between two looks at the clock.
const PART: usize = 16;

/// What a batch needs besides the tree.
#[derive(Debug)]
pub(crate) struct Batch<'a, C, W> {
    pub(crate) front: &'a FrontConfig,
    pub(crate) conns: &'a C,
    pub(crate) watches: &'a W,
    pub(crate) clock: &'a Clock,
    pub(crate) digests: &'a Digests,
}

impl<C: Connections, W: Watches> Batch<'_, C, W> {
    /// Applies commits in order until the batch is full; the rest.
    pub(crate) fn apply<'c>(
        &self,
        tree: &mut Tree,
        commits: &'c [Commit],
        intake: &mut Intake,
    ) -> &'c [Commit] {
        let (batch, later) = commits.split_at(commits.len().min(COMMITS_MAX));
        let mut rest = batch;
        let mut now = self.clock.now();
        let until = now.mono + HOLD_MAX;
        while !rest.is_empty() && (now.mono < until || rest.len() == batch.len()) {
            let (part, behind) = rest.split_at(part_len(rest));
            front::apply(self.front, tree, part, self.conns, self.watches, now, intake);
            self.digests.record(tree);
            rest = behind;
            if !rest.is_empty() {
                now = self.clock.now();
            }
        }
        &commits[commits.len() - later.len() - rest.len()..]
    }
}

/// A part ends at every zxid whose digest is recorded.
fn part_len(commits: &[Commit]) -> usize {
    let recorded =
        |commit: &Commit| matches!(commit, Commit::Txn { txn, .. } if Digests::wants(txn.header.zxid));
    let part = &commits[..commits.len().min(PART)];
    part.iter().position(recorded).map_or(part.len(), |at| at + 1)
}

/// The tree's digest at every 128th zxid, for the four-letter word `hash`. Java: DataTree.logZxidDigest.
#[derive(Debug, Default)]
pub(crate) struct Digests(Mutex<VecDeque<(Zxid, u64)>>);

impl Digests {
    const EVERY: i64 = 128;
    const KEPT: usize = 1024;

    const fn wants(zxid: Zxid) -> bool {
        zxid.0 % Self::EVERY == 0
    }

    fn record(&self, tree: &Tree) {
        let zxid = tree.last_zxid();
        if !Self::wants(zxid) {
            return;
        }
        let mut all = self.0.lock();
        // A sync behind the txn comes by with the same zxid.
        if all.back().is_none_or(|(last, _)| *last < zxid) {
            if all.len() == Self::KEPT {
                all.pop_front();
            }
            all.push_back((zxid, tree.digest()));
        }
    }

    /// Oldest first.
    pub(crate) fn list(&self) -> Vec<(Zxid, u64)> {
        self.0.lock().iter().copied().collect()
    }
}
