//! Servers without a vote here that asked, and when they were answered.
//!
//! Java answers every message of a non-voter. Two servers with configs that do not know one another then answer each
//! other's answers, as fast as the network carries them. So one message is answered once in a while only; who really asks
//! again has waited longer, or says something new.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::{Notification, Unhashed, Vote};
use crate::ids::{PeerState, Sid};
use crate::time::Mono;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Strangers {
    answered: BTreeMap<Sid, Answered>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Answered {
    said: (PeerState, Vote, i64),
    at: Unhashed<Mono>,
}

/// Half of the shortest wait after which Java repeats itself.
const SAME_AGAIN: Duration = Duration::from_millis(100);

/// Strangers that are remembered; the one answered longest ago goes first.
const STRANGERS_MAX: usize = 64;

impl Strangers {
    /// Whether to answer what `from` said; counts as answered then.
    pub(super) fn wants_answer(&mut self, now: Mono, from: Sid, said: &Notification) -> bool {
        let said = (said.state, said.vote, said.round);
        if self.answered.get(&from).is_some_and(|last| last.said == said && now < last.at.0 + SAME_AGAIN) {
            return false;
        }
        if self.answered.len() >= STRANGERS_MAX && !self.answered.contains_key(&from) {
            let oldest = self.answered.iter().min_by_key(|(_, last)| last.at).map(|(sid, _)| *sid);
            oldest.and_then(|sid| self.answered.remove(&sid));
        }
        self.answered.insert(from, Answered { said, at: Unhashed(now) });
        true
    }
}
