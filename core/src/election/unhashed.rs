//! What belongs to a state and not to its fingerprint.

use core::fmt;
use core::hash::{Hash, Hasher};

/// A value that is compared but not hashed: deadlines, names of links, settings.
///
/// A model checker abstracts from the first two: a timer may fire whenever it is armed, and a link is what it connects. States
/// that differ in nothing else then have one fingerprint. (Equal values still hash equally, which is all that `Hash` asks.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Unhashed<T>(pub(super) T);

impl<T> Hash for Unhashed<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<T: fmt::Debug> fmt::Debug for Unhashed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
