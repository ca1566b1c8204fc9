//! [`Modes`]: the ways in which one connection watches one path.

use core::fmt;

use crate::error::OpError;

/// A set of watch modes. They are independent: adding one leaves the others as they were (ZooKeeper 3.9).
///
/// Java keeps two registries, *data* and *child*, each with modes of its own. A persistent watch is always in both, a
/// recursive one in the data registry only, so four bits say it all.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Modes(u8);

impl Modes {
    /// No watch.
    pub const NONE: Self = Self(0);
    /// Data registry, gone with its first event (exists, getData).
    pub const DATA: Self = Self(1);
    /// Child registry, gone with its first event (getChildren).
    pub const CHILD: Self = Self(2);
    /// Both registries, until removed.
    pub const PERSISTENT: Self = Self(4);
    /// Data registry, until removed, for the path and all below it.
    pub const RECURSIVE: Self = Self(8);
    /// Every mode.
    pub const ANY: Self = Self(15);
    /// The bits, below 16.
    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    pub(super) const fn from_bits(bits: u8) -> Self {
        assert!(bits < 16, "invariant: there are four modes");
        Self(bits)
    }

    /// True if there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if they have one in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those of either.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of both.
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True if a watch with these modes is in Java's data registry.
    pub const fn in_data(self) -> bool {
        self.meets(Self::DATA.with(Self::PERSISTENT).with(Self::RECURSIVE))
    }

    /// True if a watch with these modes is in Java's child registry.
    pub const fn in_child(self) -> bool {
        self.meets(Self::CHILD.with(Self::PERSISTENT))
    }

    /// How many watches Java would count for these modes: one for each registry.
    pub const fn count(self) -> usize {
        self.in_data() as usize + self.in_child() as usize
    }

    /// What a `WatcherType` of checkWatches and removeWatches asks for (client protocol §6).
    ///
    /// # Errors
    /// [`OpError::MarshallingError`] for numbers that name no type.
    pub const fn of_watcher_type(kind: i32) -> Result<Self, OpError> {
        Ok(match kind {
            1 => Self::CHILD,
            2 => Self::DATA,
            3 => Self::ANY,
            4 => Self::PERSISTENT,
            5 => Self::RECURSIVE,
            _ => return Err(OpError::MarshallingError),
        })
    }

    /// What the mode of an addWatch asks for.
    ///
    /// # Errors
    /// [`OpError::MarshallingError`] for numbers that name no mode.
    pub const fn of_add_watch(mode: i32) -> Result<Self, OpError> {
        Ok(match mode {
            0 => Self::PERSISTENT,
            1 => Self::RECURSIVE,
            _ => return Err(OpError::MarshallingError),
        })
    }
}

impl fmt::Debug for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::DATA, "data"),
            (Self::CHILD, "child"),
            (Self::PERSISTENT, "persistent"),
            (Self::RECURSIVE, "recursive"),
        ];
        f.debug_set().entries(names.iter().filter(|(m, _)| self.meets(*m)).map(|(_, name)| name)).finish()
    }
}
