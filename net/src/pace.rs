//! [`Pace`]: complaints that come no faster than somebody can read them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Complaints about one thing come no closer than this.
const QUIET: Duration = Duration::from_secs(10);

/// Lets a complaint through now and then, with the number of those that were kept back.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<Instant>,
    kept_back: u64,
}

impl Pace {
    pub(crate) fn complain(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < QUIET) {
            self.kept_back += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.kept_back))
    }
}

/// A [`Pace`] for each thing that may be complained about. They are few: whoever is complained about does not choose them.
#[derive(Debug)]
pub(crate) struct Complaints<K>(Mutex<BTreeMap<K, Pace>>);

impl<K: Ord> Complaints<K> {
    /// Says it, unless it was said a moment ago; `say` hears how often it was not.
    pub(crate) fn about(&self, what: K, say: impl FnOnce(u64)) {
        let passed = self.0.lock().entry(what).or_default().complain();
        if let Some(more) = passed {
            say(more);
        }
    }
}

impl<K> Default for Complaints<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_complained_about_once_and_another_all_the_same() {
        let complaints = Complaints::default();
        let mut said = Vec::new();
        for what in ["a", "a", "b", "a"] {
            complaints.about(what, |more| said.push((what, more)));
        }
        assert_eq!(said, [("a", 0), ("b", 0)]);
        complaints.0.lock().get_mut("a").unwrap().last = None;
        complaints.about("a", |more| said.push(("a", more)));
        assert_eq!(said[2], ("a", 2));
    }
}
