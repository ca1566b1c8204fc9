//! [`Rewrites`]: a leader's state that takes the place of everything on the disk, and the snapshot that the background
//! thread may be writing meanwhile.
//!
//! From the moment when an install is ordered the core counts on no snapshot of what was before; and the install removes
//! every file that it does not know, half-written ones too. So a snapshot of the state before it ends without a word, and
//! nobody touches the files while they are being replaced.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use zk_core::tree::TreeView;

/// See the module.
#[derive(Debug, Default)]
pub struct Rewrites {
    ordered: AtomicU64,
    files: Mutex<()>,
}

/// A view to be written as a snapshot, unless an install comes between.
#[derive(Debug)]
pub struct Order {
    pub(crate) view: TreeView,
    state: u64,
}

impl Rewrites {
    /// An install is about to be put into the disk's queue.
    pub fn ordered(&self) {
        self.ordered.fetch_add(1, Ordering::AcqRel);
    }

    /// A view of the tree as it is now.
    pub fn about(&self, view: TreeView) -> Order {
        Order { view, state: self.now() }
    }

    fn now(&self) -> u64 {
        self.ordered.load(Ordering::Acquire)
    }

    /// Nobody else replaces, purges or writes snapshot files while this is held.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.files.lock()
    }

    /// The same for the next piece of a snapshot of this state; `None` if it is history.
    pub fn hold_for(&self, state: OfState) -> Option<MutexGuard<'_, ()>> {
        let held = self.files.lock();
        (self.now() == state.0).then_some(held)
    }
}

/// Which state an [`Order`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfState(u64);

impl Order {
    /// See there.
    pub const fn state(&self) -> OfState {
        OfState(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zk_core::tree::Tree;

    #[test]
    fn a_snapshot_of_a_state_that_is_replaced_does_not_go_on() {
        let rewrites = Rewrites::default();
        let order = rewrites.about(Tree::new().view());
        assert!(rewrites.hold_for(order.state()).is_some());
        rewrites.ordered();
        assert!(rewrites.hold_for(order.state()).is_none());
        let order = rewrites.about(Tree::new().view());
        assert!(rewrites.hold_for(order.state()).is_some());
    }
}
