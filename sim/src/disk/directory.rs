//! Names of files, and which of their changes a power cut may take back.

use std::collections::BTreeMap;

/// Names a file for as long as anything refers to it.
pub(super) type FileId = u64;

/// A change since the directory was synced last. A rename is one change: both names or neither.
#[derive(Clone, Debug)]
enum Change {
    Link { name: String, file: FileId },
    Rename { from: String, to: String, file: FileId },
    Unlink { name: String },
}

/// One directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    entries: BTreeMap<String, FileId>,
    durable: BTreeMap<String, FileId>,
    changes: Vec<Change>,
    /// A sync claimed to have brought down the changes.
    lied: bool,
}

impl Directory {
    pub(super) const fn entries(&self) -> &BTreeMap<String, FileId> {
        &self.entries
    }

    pub(super) fn link(&mut self, name: &str, file: FileId) {
        self.entries.insert(name.to_owned(), file);
        self.changes.push(Change::Link { name: name.to_owned(), file });
    }

    /// False if there is no such file.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(file) = self.entries.remove(from) else { return false };
        self.entries.insert(to.to_owned(), file);
        self.changes.push(Change::Rename { from: from.to_owned(), to: to.to_owned(), file });
        true
    }

    /// Nothing happens if there is no such file.
    pub(super) fn unlink(&mut self, name: &str) {
        if self.entries.remove(name).is_some() {
            self.changes.push(Change::Unlink { name: name.to_owned() });
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.entries);
        self.changes.clear();
        self.lied = false;
    }

    /// The sync does nothing, and says that it did.
    pub(super) fn lie(&mut self) {
        self.lied |= !self.changes.is_empty();
    }

    /// The power goes; `survives` decides on every change by its number, in order. True if a sync had claimed more than it
    /// did.
    pub(super) fn lose_power(&mut self, mut survives: impl FnMut(u64) -> bool) -> bool {
        let mut entries = std::mem::take(&mut self.durable);
        for (n, change) in std::mem::take(&mut self.changes).into_iter().enumerate() {
            if !survives(n as u64) {
                continue;
            }
            match change {
                Change::Link { name, file } => {
                    entries.insert(name, file);
                }
                Change::Rename { from, to, file } => {
                    if entries.get(&from) == Some(&file) {
                        entries.remove(&from);
                    }
                    entries.insert(to, file);
                }
                Change::Unlink { name } => {
                    entries.remove(&name);
                }
            }
        }
        self.durable.clone_from(&entries);
        self.entries = entries;
        std::mem::take(&mut self.lied)
    }

    /// Files that the directory may have, now or after a power cut; some more than once.
    pub(super) fn may_have(&self) -> impl Iterator<Item = FileId> {
        let changed = self.changes.iter().filter_map(|change| match change {
            Change::Link { file, .. } | Change::Rename { file, .. } => Some(*file),
            Change::Unlink { .. } => None,
        });
        self.entries.values().chain(self.durable.values()).copied().chain(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What is left for every subset of the changes that survives.
    fn outcomes(directory: &Directory) -> BTreeSet<Vec<(String, FileId)>> {
        let subsets = 0..1_u64 << directory.changes.len();
        let cut = |subset: u64| {
            let mut directory = directory.clone();
            directory.lose_power(|n| subset >> n & 1 == 1);
            directory.entries().iter().map(|(name, file)| (name.clone(), *file)).collect()
        };
        subsets.map(cut).collect()
    }

    fn names(list: &[(&str, FileId)]) -> Vec<(String, FileId)> {
        list.iter().map(|(name, file)| ((*name).to_owned(), *file)).collect()
    }

    #[test]
    fn a_synced_entry_survives_and_a_fresh_one_may() {
        let mut directory = Directory::default();
        directory.link("a", 1);
        directory.sync();
        directory.link("b", 2);
        assert_eq!(outcomes(&directory), BTreeSet::from([names(&[("a", 1)]), names(&[("a", 1), ("b", 2)])]));
    }

    #[test]
    fn a_rename_leaves_the_old_file_or_the_new_one_under_its_name() {
        let mut directory = Directory::default();
        directory.link("epoch", 1);
        directory.link("epoch.tmp", 2);
        directory.sync();
        directory.rename("epoch.tmp", "epoch");
        let expected = [names(&[("epoch", 1), ("epoch.tmp", 2)]), names(&[("epoch", 2)])];
        assert_eq!(outcomes(&directory), BTreeSet::from(expected));
    }

    #[test]
    fn a_rename_may_survive_without_the_creation_before_it() {
        let mut directory = Directory::default();
        directory.link("new.tmp", 1);
        directory.rename("new.tmp", "new");
        let expected = [names(&[]), names(&[("new.tmp", 1)]), names(&[("new", 1)])];
        assert_eq!(outcomes(&directory), BTreeSet::from(expected));
    }

    #[test]
    fn an_unlink_that_is_not_synced_may_be_taken_back() {
        let mut directory = Directory::default();
        directory.link("a", 1);
        directory.sync();
        directory.unlink("a");
        directory.unlink("nobody");
        assert!(directory.may_have().any(|file| file == 1), "its bytes are still needed");
        assert_eq!(outcomes(&directory), BTreeSet::from([names(&[]), names(&[("a", 1)])]));
        directory.sync();
        assert_eq!(directory.may_have().count(), 0);
    }

    #[test]
    fn a_lie_is_found_out_by_a_power_cut() {
        let mut directory = Directory::default();
        directory.lie();
        assert!(!directory.lose_power(|_| true), "there was nothing to lie about");
        directory.link("a", 1);
        directory.lie();
        assert!(directory.lose_power(|_| false));
        assert!(directory.entries().is_empty());
    }
}
