//! Memory of sectors that were dirty once, for those that become dirty next: a log writes a few of them between any two syncs.

use std::sync::Arc;

use super::content::{SECTOR, Sector};

/// Lists of sectors kept, and sectors: what one batch of a busy log writes.
const SPARE_MAX: usize = 32;

/// See the module. A clone shares nothing and has none.
#[derive(Debug, Default)]
pub(super) struct Spare {
    lists: Vec<Vec<Sector>>,
    sectors: Vec<Sector>,
}

impl Clone for Spare {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Spare {
    /// A sector with what `fill` writes into all of it.
    pub(super) fn sector(&mut self, fill: impl FnOnce(&mut [u8; SECTOR])) -> Sector {
        let mut sector = self.sectors.pop().unwrap_or_else(|| Arc::new([0; SECTOR]));
        fill(Arc::get_mut(&mut sector).expect("invariant: nobody else has a spare sector"));
        sector
    }

    /// An empty list.
    pub(super) fn list(&mut self) -> Vec<Sector> {
        self.lists.pop().unwrap_or_default()
    }

    /// These are not needed any more. Sectors that clones of the file still have stay theirs.
    pub(super) fn give(&mut self, mut versions: Vec<Sector>) {
        for mut sector in versions.drain(..) {
            if self.sectors.len() < SPARE_MAX && Arc::get_mut(&mut sector).is_some() {
                self.sectors.push(sector);
            }
        }
        if self.lists.len() < SPARE_MAX {
            self.lists.push(versions);
        }
    }
}
