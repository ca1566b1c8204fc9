//! Containers and TTL nodes are taken away when their time is over (semantics §5; Java: `ContainerManager`).
//!
//! Every so often all of them are looked at, some at a time. What is over is deleted by a txn of no session, at no more than
//! a given pace, and over everything prepared so far, so that no deletion is refused.

use core::time::Duration;

use super::proposer::Place;
use super::settings::ReaperSettings;
use crate::prep::CollectRules;
use crate::text::Text;
use crate::time::Mono;
use crate::tree::{Slot, Tree};

/// Nodes looked at in one step: fewer than a millisecond takes.
const LOOK_MAX: usize = 1_000;
/// Between two looks of one round.
const BREATH: Duration = Duration::from_millis(1);

/// Who leads, or stands alone, has one.
#[derive(Clone, Debug)]
pub(super) struct Reaper {
    settings: ReaperSettings,
    /// When the round began that is under way, or when the next one begins.
    round: Mono,
    /// When it does something.
    due: Mono,
    /// The last node that was looked at in this round.
    behind: Option<Slot>,
}

impl Reaper {
    /// The first round begins an interval from now.
    pub(super) fn new(settings: ReaperSettings, now: Mono) -> Self {
        let due = now + settings.interval();
        Self { settings, round: due, due, behind: None }
    }

    /// When it wants to be called.
    pub(super) const fn deadline(&self) -> Mono {
        self.due
    }

    /// Nothing is deleted any more for an interval.
    pub(super) fn rest(&mut self, now: Mono) {
        *self = Self::new(self.settings, now);
    }

    /// The next node that goes, if one does. `try_one` has it deleted, or knows better.
    pub(super) fn step<T>(
        &mut self,
        at: Place<'_>,
        mut try_one: impl FnMut(Text, CollectRules) -> Option<T>,
    ) -> Option<T> {
        let now = at.now.mono;
        if now < self.due {
            return None;
        }
        let rules = CollectRules { never_used_ms: self.settings.never_used_ms };
        match self.look(at.tree, |path| try_one(path, rules)) {
            Looked::Found(found) => {
                self.due = now + self.settings.pace();
                return Some(found);
            }
            Looked::More => self.due = now + BREATH,
            Looked::All => {
                // Rounds that took longer than the interval follow one another with a pause, and none is made up for.
                self.round = (self.round + self.settings.interval()).max(now + BREATH);
                (self.due, self.behind) = (self.round, None);
            }
        }
        None
    }

    fn look<T>(&mut self, tree: &Tree, mut try_one: impl FnMut(Text) -> Option<T>) -> Looked<T> {
        for (looked, (slot, node)) in tree.collectable(self.behind).enumerate() {
            if looked == LOOK_MAX {
                return Looked::More;
            }
            self.behind = Some(slot);
            if node.child_count() == 0
                && let Some(found) = try_one(node.path())
            {
                return Looked::Found(found);
            }
        }
        Looked::All
    }
}

enum Looked<T> {
    Found(T),
    More,
    All,
}
