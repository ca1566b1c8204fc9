//! What an observer does otherwise: it is told of txns when they are committed, and acknowledges none.

use super::super::commit_log::Entry;
use super::super::outbox::Turn;
use super::super::role::Leave;
use super::follow::Serving;
use crate::event::Event;
use crate::tree::ApplyMode;

impl Serving {
    /// Logged, so that a restart finds it, and applied at once: a quorum holds it.
    pub(super) fn on_inform(&mut self, entry: Entry, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let zxid = entry.zxid;
        self.on_proposal(entry, turn)?;
        let entries = turn.log.commit(zxid);
        turn.log.prove();
        let requests = self.requests_mut();
        turn.apply(entries, ApplyMode::Learned, |txn| requests.origin(&txn.header));
        turn.event(Event::Committed { zxid });
        self.close_locals(turn);
        Ok(())
    }
}
