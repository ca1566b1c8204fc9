//! One file: what a process sees, and everything that a power cut might leave of it.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{Content, PAGE, SECTOR, Sector};
use super::spare::Spare;

/// Un-synced versions of one sector that are remembered, besides the synced one. A write-back may have come between any
/// two writes; beyond so many the oldest ones are not worth their memory.
const VERSIONS_MAX: usize = 8;

/// A file with its un-synced past.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// What a process sees.
    cache: Content,
    /// Sectors written since the last sync: what they held before, the synced version first. The platters hold one of these,
    /// or what the cache has.
    dirty: BTreeMap<u64, Vec<Sector>>,
    /// Lengths since the last sync, the synced one first; the platters have one of these or the cache's. Empty: unchanged.
    lengths: Vec<u64>,
    /// Sectors that a failed sync left clean in the cache: what the platters hold, and a later sync does not mend.
    stray: BTreeMap<u64, Sector>,
    /// Sectors that cannot be read.
    bad: BTreeSet<u64>,
    /// A sync claimed to have brought down what is dirty.
    lied: bool,
    /// Memory of what was dirty once.
    spare: Spare,
}

/// Chooses one of `n` possibilities for a sector; sector `u64::MAX` stands for the length.
pub(super) type Choose<'a> = &'a mut dyn FnMut(u64, u64) -> u64;

impl File {
    pub(super) const fn len(&self) -> u64 {
        self.cache.len()
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        self.cache.read(offset, len)
    }

    /// The first sector in this range that cannot be read.
    pub(super) fn bad_sector(&self, offset: u64, len: usize) -> Option<u64> {
        let end = self.len().min(offset.saturating_add(len as u64));
        let sectors = offset / SECTOR as u64..end.div_ceil(SECTOR as u64);
        if sectors.is_empty() { None } else { self.bad.range(sectors).next().copied() }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        for sector in offset / SECTOR as u64..end.div_ceil(SECTOR as u64) {
            self.remember(sector);
            self.bad.remove(&sector);
        }
        self.dirty_again(offset, end);
        if end > self.len() {
            self.lengths.push(self.len());
        }
        self.cache.write(offset, bytes);
    }

    /// Longer, with zeros at the end; never shorter.
    pub(super) fn allocate(&mut self, len: u64) {
        if len > self.len() {
            self.lengths.push(self.len());
            self.cache.grow(len);
        }
    }

    /// Exactly this long.
    pub(super) fn set_len(&mut self, len: u64) {
        if len == self.len() {
            return;
        }
        // What is cut off comes back if the new length does not last.
        for sector in len / SECTOR as u64..self.len().div_ceil(SECTOR as u64) {
            if !self.cache.is_hole(sector) {
                self.remember(sector);
            }
        }
        self.dirty_again(len.min(self.len()), self.len());
        self.lengths.push(self.len());
        self.cache.resize(len);
    }

    /// Everything is on the platters, as far as anybody knows.
    pub(super) fn sync(&mut self) {
        while let Some((_, versions)) = self.dirty.pop_first() {
            self.spare.give(versions);
        }
        self.lengths.clear();
        self.lied = false;
    }

    /// The sync does nothing, and says that it did.
    pub(super) fn lie(&mut self) {
        self.lied |= self.is_dirty();
    }

    /// The sync fails: each dirty sector was written or not, and all are clean now, as real kernels have it. A second sync
    /// has nothing to do, and succeeds.
    pub(super) fn fail_sync(&mut self, choose: Choose<'_>) {
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            let chosen = choose(sector, versions.len() as u64 + 1) as usize;
            match versions.into_iter().nth(chosen) {
                Some(old) => self.stray.insert(sector, old),
                None => self.stray.remove(&sector),
            };
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.lengths.is_empty()
    }

    /// True if the synced bytes of this sector are what a process sees.
    pub(super) fn is_clean(&self, sector: u64) -> bool {
        !self.dirty.contains_key(&sector) && !self.stray.contains_key(&sector)
    }

    /// The power goes. True if a sync had claimed more than it did.
    pub(super) fn lose_power(&mut self, choose: Choose<'_>) -> bool {
        let now = self.len();
        let lengths: Vec<u64> = self.lengths.drain(..).chain([now]).collect();
        let len = lengths[choose(u64::MAX, lengths.len() as u64) as usize];
        // Long enough for every sector that may come back.
        self.cache.grow(lengths.iter().copied().max().unwrap_or(now));
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            // What was cut off was never written anew.
            let newest = u64::from(sector * (SECTOR as u64) < now);
            let chosen = choose(sector, versions.len() as u64 + newest) as usize;
            if let Some(version) = versions.get(chosen) {
                self.cache.set_sector(sector, version);
            }
        }
        for (sector, held) in std::mem::take(&mut self.stray) {
            self.cache.set_sector(sector, &held);
        }
        self.cache.resize(len);
        std::mem::take(&mut self.lied)
    }

    /// Flips bits of one byte, on the platters and in what is read from them.
    pub(super) fn flip(&mut self, at: u64, mask: u8) {
        let byte = self.cache.read(at, 1)[0];
        self.cache.write(at, &[byte ^ mask]);
    }

    /// The sector cannot be read any more, until it is written.
    pub(super) fn spoil(&mut self, sector: u64) {
        self.bad.insert(sector);
    }

    /// The place behind the last byte that is not 0.
    pub(super) fn written(&self) -> u64 {
        let mut end = self.len();
        while end > 0 {
            let from = (end - 1) / PAGE as u64 * PAGE as u64;
            let page = if self.cache.is_hole(from / SECTOR as u64) {
                Vec::new()
            } else {
                self.cache.read(from, (end - from) as usize)
            };
            if let Some(last) = page.iter().rposition(|byte| *byte != 0) {
                return from + last as u64 + 1;
            }
            end = from;
        }
        0
    }

    /// A sector is about to change.
    fn remember(&mut self, sector: u64) {
        let held = self.spare.sector(|bytes| self.cache.copy_sector(sector, bytes));
        let versions = self.dirty.entry(sector).or_insert_with(|| self.spare.list());
        if let Some(stray) = self.stray.remove(&sector) {
            versions.push(stray);
        }
        versions.push(held);
        if versions.len() > VERSIONS_MAX {
            versions.remove(1);
        }
    }

    /// A write makes its whole pages dirty, so that what a failed sync left behind in them gets another chance.
    fn dirty_again(&mut self, from: u64, to: u64) {
        if self.stray.is_empty() {
            return;
        }
        let page = PAGE as u64;
        let sectors = (from / page * page) / SECTOR as u64..to.div_ceil(page) * page / SECTOR as u64;
        let again: Vec<u64> = self.stray.range(sectors).map(|(sector, _)| *sector).collect();
        for sector in again {
            let held = self.stray.remove(&sector).expect("listed above");
            self.dirty.insert(sector, vec![held]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_bytes(file: &File, sectors: usize) -> Vec<u8> {
        (0..sectors).map(|sector| file.read((sector * SECTOR) as u64, 1)[0]).collect()
    }

    /// Always the oldest possibility.
    fn oldest(_: u64, _: u64) -> u64 {
        0
    }

    /// Always the newest.
    fn newest(_: u64, n: u64) -> u64 {
        n - 1
    }

    #[test]
    fn any_version_since_the_last_sync_may_survive() {
        let mut file = File::default();
        file.write(0, &[1; SECTOR]);
        file.sync();
        file.write(0, &[2; SECTOR]);
        file.write(0, &[3; SECTOR]);
        let mut seen = BTreeSet::new();
        for version in 0..3 {
            let mut cut = file.clone();
            cut.lose_power(&mut |sector, n| if sector == 0 { version % n } else { 0 });
            seen.insert(cut.read(0, 1)[0]);
        }
        assert_eq!(seen, BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn a_cut_off_end_comes_back_if_the_cut_does_not_last() {
        let mut file = File::default();
        file.write(0, &[7; 3 * SECTOR]);
        file.sync();
        file.set_len(SECTOR as u64);
        let mut kept = file.clone();
        kept.lose_power(&mut newest);
        assert_eq!(kept.len(), SECTOR as u64);
        file.lose_power(&mut oldest);
        assert_eq!((file.len(), first_bytes(&file, 3)), (3 * SECTOR as u64, vec![7, 7, 7]));
    }

    #[test]
    fn a_failed_sync_loses_what_a_second_one_claims_to_have_saved() {
        let mut file = File::default();
        file.allocate(2 * SECTOR as u64);
        file.sync();
        file.write(0, &[5; SECTOR]);
        file.fail_sync(&mut oldest);
        assert!(!file.is_dirty(), "a second sync has nothing to do");
        file.sync();
        assert_eq!(first_bytes(&file, 1), [5], "a killed process would find it");
        file.lose_power(&mut newest);
        assert_eq!(first_bytes(&file, 1), [0]);
    }

    #[test]
    fn a_write_to_the_same_page_gives_a_failed_sector_another_chance() {
        let mut file = File::default();
        file.allocate(2 * SECTOR as u64);
        file.sync();
        file.write(0, &[5; SECTOR]);
        file.fail_sync(&mut oldest);
        file.write(SECTOR as u64, &[6]);
        file.sync();
        file.lose_power(&mut oldest);
        assert_eq!(first_bytes(&file, 2), [5, 6]);
    }

    #[test]
    fn a_lie_is_found_out_by_a_power_cut_unless_a_true_sync_comes_first() {
        let mut file = File::default();
        file.write(0, &[1]);
        file.lie();
        let mut honest = file.clone();
        honest.sync();
        assert!(!honest.lose_power(&mut oldest));
        assert!(file.lose_power(&mut oldest));
        assert!(!file.lose_power(&mut oldest), "only once");
    }

    #[test]
    fn the_end_of_what_is_written_ignores_padding() {
        let mut file = File::default();
        file.write(0, &[1; 5_000]);
        file.allocate(1 << 20);
        assert_eq!(file.written(), 5_000);
        assert_eq!(File::default().written(), 0);
    }

    #[test]
    fn a_bad_sector_is_mended_by_a_write() {
        let mut file = File::default();
        file.write(0, &[1; 4 * SECTOR]);
        file.spoil(2);
        assert_eq!(file.bad_sector(0, 2 * SECTOR), None);
        assert_eq!(file.bad_sector(600, usize::MAX), Some(2));
        file.write(2 * SECTOR as u64, &[2; SECTOR]);
        assert_eq!(file.bad_sector(0, usize::MAX), None);
    }
}
