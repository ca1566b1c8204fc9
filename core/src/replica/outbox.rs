//! What a role works with during one step: what it may look at, and where what it decides goes.

use alloc::vec::Vec;

use super::commit_log::CommitLog;
use super::{Life, ReplicaConfig};
use crate::action::Action;
use crate::event::Event;
use crate::session::SessionIds;
use crate::time::Now;
use crate::tree::Tree;

/// Actions of one or more steps, in order. Reused by drivers.
pub type Outbox = Vec<Action>;

/// One step's surroundings.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    /// Has everything that an `Applied` reported, or more.
    pub(super) tree: &'a Tree,
    pub(super) config: &'a ReplicaConfig,
    pub(super) life: Life,
    pub(super) log: &'a mut CommitLog,
    pub(super) session_ids: &'a mut SessionIds,
    pub(super) out: &'a mut Outbox,
}

impl Turn<'_> {
    pub(super) fn event(&mut self, event: Event) {
        self.out.push(Action::Event(event));
    }
}
