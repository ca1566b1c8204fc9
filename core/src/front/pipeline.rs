//! [`Pipeline`]: what a connection has asked and not been answered yet, in the order of asking.
//!
//! ```text
//! oldest                                             youngest
//! write │ read │ read │ write │ sync │ read │ close
//! └─ always a write, a sync or a close: a read in front would have been served
//! ```
//! Writes, syncs and closes wait for the replica. A read behind one of them is parked: it is served right after the
//! commit in front of it and before the next txn, so that it sees what its session wrote before it and nothing that
//! its session wrote after it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use crate::auth::AuthInfo;
use crate::error::OpError;
use crate::text::Text;
use crate::time::Mono;

use super::serve_read::Read;

/// A request between door and reply.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The client's number for it.
    pub(super) xid: i32,
    /// When it arrived.
    pub(super) started: Mono,
    /// Its frame, bytes.
    pub(super) frame_len: usize,
    /// What answers it.
    pub(super) owed: Owed,
}

/// What answers a request.
#[derive(Clone, Debug)]
pub(super) enum Owed {
    /// The commit of a txn; the opcode says how the reply looks.
    Write {
        /// Client protocol §5.
        op: i32,
        /// What its client hears if it fails, whatever the leader refused it with.
        refusal: Option<OpError>,
    },
    /// The commit of the session's closeSession, after which there are no more replies.
    Close,
    /// [`crate::action::Commit::Sync`]; the path comes back.
    Sync {
        /// As the client sent it.
        path: Option<Text>,
    },
    /// The tree, once it is this request's turn.
    Read {
        /// The read.
        read: Read,
        /// The identities attached when it was read from the socket.
        auth: Arc<AuthInfo>,
    },
}

/// One connection's requests in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipeline {
    pending: VecDeque<Pending>,
    bytes: usize,
    /// Requests longer than that are counted apart, bytes.
    large_above: Option<usize>,
    large: usize,
    parked: usize,
    /// A closeSession is among them.
    closes: bool,
}

impl Pipeline {
    /// Counts requests longer than that, bytes, apart. Nothing may be pending.
    pub(super) fn count_above(&mut self, large_above: Option<usize>) {
        debug_assert!(self.is_empty());
        self.large_above = large_above;
    }

    /// Appends a request. A read may only come behind something.
    pub(super) fn push(&mut self, pending: Pending) {
        match pending.owed {
            Owed::Read { .. } => {
                assert!(
                    !self.pending.is_empty(),
                    "invariant: a read with nothing before it is served at once"
                );
                self.parked += 1;
            }
            Owed::Close => self.closes = true,
            Owed::Write { .. } | Owed::Sync { .. } => {}
        }
        self.bytes += pending.frame_len;
        self.large += self.large_part(&pending);
        self.pending.push_back(pending);
    }

    /// What waits for the replica longest.
    pub(super) fn pop_committed(&mut self) -> Option<Pending> {
        debug_assert!(!matches!(self.pending.front(), Some(Pending { owed: Owed::Read { .. }, .. })));
        let pending = self.pending.pop_front()?;
        self.bytes -= pending.frame_len;
        self.large -= self.large_part(&pending);
        Some(pending)
    }

    /// The next read that has nothing before it any more.
    pub(super) fn pop_read(&mut self) -> Option<Pending> {
        let pending = self.pending.pop_front_if(|p| matches!(p.owed, Owed::Read { .. }))?;
        self.bytes -= pending.frame_len;
        self.large -= self.large_part(&pending);
        self.parked -= 1;
        Some(pending)
    }

    pub(super) fn clear(&mut self) {
        *self = Self { large_above: self.large_above, ..Self::default() };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of frames that are held, at most.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same of those that are large.
    pub(super) const fn large(&self) -> usize {
        self.large
    }

    fn large_part(&self, pending: &Pending) -> usize {
        let large = self.large_above.is_some_and(|above| pending.frame_len > above);
        if large { pending.frame_len } else { 0 }
    }

    /// Reads that wait.
    pub(super) const fn parked(&self) -> usize {
        self.parked
    }

    /// True once the client has asked to close its session: what it asks afterwards is not answered.
    pub(super) const fn ends(&self) -> bool {
        self.closes
    }
}
