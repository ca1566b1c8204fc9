//! What a member of an ensemble keeps from role to role: its epochs, its part in elections, its numbers.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::settings::Ensemble;
use crate::disk::epochs::{EpochKind, Epochs};
use crate::election::Decision;
use crate::election::port::ElectionPort;
use crate::ids::{LinkId, Sid, Zxid};
use crate::input::{QueryId, Token};
use crate::quorum::Membership;
use crate::rng::Dice;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) epochs: EpochBook,
    /// Who belongs to the ensemble by now.
    pub(super) membership: Arc<Membership>,
    pub(super) port: ElectionPort,
    /// An election has ended, and its outcome has not been taken yet.
    pub(super) decided: Option<Decision>,
    /// An election goes on among others than it began among.
    pub(super) elects_others: bool,
    /// What a leader wanted cut off could not be cut off: the next one is asked for all it has.
    pub(super) claims_nothing: bool,
    /// The latest epoch of which a member said that it had accepted it when it came too late to be heard in discovery. Not
    /// persisted: it saves elections, and promises nothing.
    pub(super) outdone_by: u32,
    /// No clients have been served yet by this process: what it recovered is worth a snapshot.
    pub(super) is_new: bool,
    /// Peers that broke the protocol.
    pub(super) faults: u64,
    /// The tree has once come to something else than a leader predicted.
    pub(super) digest_differs: bool,
    /// For pauses of observers, and nothing that is promised.
    pub(super) dice: Dice,
    next_link: u64,
    next_query: u64,
    /// What planted bugs keep.
    #[cfg(feature = "museum")]
    pub(super) plants: Plants,
}

/// What planted bugs keep from role to role.
#[cfg(feature = "museum")]
#[derive(Clone, Debug, Default)]
pub(super) struct Plants {
    /// P09: claimed in elections, whatever is logged.
    pub(super) claimed: Zxid,
    /// P26: was on its way to a leader that is gone.
    pub(super) unanswered: alloc::vec::Vec<crate::wire::quorum::ForwardedRequest>,
}

impl Member {
    pub(super) fn new(sid: Sid, ensemble: &Ensemble, epochs: Epochs, seed: u64) -> Self {
        let membership = ensemble.membership.clone();
        Self {
            epochs: EpochBook::new(epochs),
            port: ElectionPort::new(sid, ensemble.election, ensemble.links.clone(), membership.clone()),
            membership,
            #[cfg(feature = "museum")]
            plants: Default::default(),
            decided: None,
            elects_others: false,
            claims_nothing: false,
            outdone_by: 0,
            is_new: true,
            faults: 0,
            digest_differs: false,
            dice: Dice::new(seed, 1),
            next_link: 0,
            next_query: 0,
        }
    }

    pub(super) const fn next_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId::Dialled(self.next_link)
    }

    pub(super) const fn next_query(&mut self) -> QueryId {
        self.next_query += 1;
        QueryId(self.next_query)
    }
}

/// Both epochs: as they were ordered to be, and as they are on the disk.
#[derive(Clone, Debug)]
pub(super) struct EpochBook {
    ordered: Epochs,
    durable: Epochs,
    marks: VecDeque<(Token, Epochs)>,
}

impl EpochBook {
    const fn new(epochs: Epochs) -> Self {
        Self { ordered: epochs, durable: epochs, marks: VecDeque::new() }
    }

    pub(super) const fn accepted(&self) -> u32 {
        self.ordered.accepted
    }

    pub(super) const fn current(&self) -> u32 {
        self.ordered.current
    }

    /// What a power cut would leave.
    pub(super) const fn durable(&self) -> Epochs {
        self.durable
    }

    /// A new value is on its way to the disk. Neither ever falls, and what is established was accepted.
    pub(super) fn set(&mut self, which: EpochKind, epoch: u32, token: Token) {
        let file = match which {
            EpochKind::Accepted => &mut self.ordered.accepted,
            EpochKind::Current => &mut self.ordered.current,
        };
        assert!(*file <= epoch, "invariant: epochs do not fall: {which:?} {epoch} after {file}");
        *file = epoch;
        assert!(
            self.ordered.current <= self.ordered.accepted,
            "invariant: an epoch is accepted before it is established: {:?}",
            self.ordered
        );
        self.marks.push_back((token, self.ordered));
    }

    pub(super) fn on_durable(&mut self, token: Token) {
        while let Some((_, epochs)) = self.marks.pop_front_if(|(marked, _)| *marked <= token) {
            self.durable = epochs;
        }
    }
}

/// What a server would have after a power cut, for whoever checks what it says (invariant I17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurableFacts {
    /// The last zxid of the log, or of the snapshot that took its place.
    pub zxid: Zxid,
    /// Both epoch files.
    pub epochs: Epochs,
}
