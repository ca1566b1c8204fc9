//! What has to be read from the disk while the server goes on: history for learners that are far behind, and earlier states.

use tracing::{info, warn};
use zk_core::disk::{DiskConfig, history, recovery};
use zk_core::ids::Zxid;
use zk_core::input::{Input, LogPart, QueryId};
use zk_core::replica::LogShare;
use zk_core::tree::Tree;

use super::files::Files;
use crate::lanes::{Lane, Taken};

/// Slow things that nobody waits for with a lock in hand.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Read the log for a learner.
    ReadLog {
        /// Which question it answers.
        query: QueryId,
        /// Where the learner's history ends.
        from: Zxid,
        /// Where what is in memory begins.
        to: Zxid,
        /// How much may be read.
        limit: LogShare,
    },
    /// Rebuild the state as of this zxid.
    Rebuild {
        /// The last that counts.
        to: Zxid,
    },
    /// Give back the memory of a tree that another has replaced: millions of nodes take their time.
    Forget(Box<Tree>),
}

/// Runs errands until the lane is closed; `answer` hears what came of each.
pub(crate) fn run(config: DiskConfig, mut files: Files, errands: &Lane<Errand>, answer: impl Fn(Input)) {
    let mut batch = Vec::new();
    while errands.take(&mut batch, None) != Taken::Closed {
        for errand in batch.drain(..) {
            files.look_again();
            match errand {
                Errand::ReadLog { query, from, to, limit } => {
                    let part = history::read(&mut files, &config, from, to, limit).unwrap_or_else(|fault| {
                        warn!(%from, %to, %fault, "the log cannot be read; the learner gets a snapshot");
                        LogPart::Unfit
                    });
                    answer(Input::LogPart { query, part });
                }
                Errand::Rebuild { to } => {
                    info!(%to, "rebuilding an earlier state, as the leader wants it");
                    let reloaded = recovery::recover_to(&mut files, &config, to);
                    answer(Input::Reloaded(reloaded.map(Box::new)));
                }
                Errand::Forget(tree) => drop(tree),
            }
        }
    }
}
