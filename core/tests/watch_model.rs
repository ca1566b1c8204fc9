//! The watch shards against a plain list of (connection, path, modes).

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use zk_core::ids::ConnId;
use zk_core::watch::{Hearer, Modes, RECURSIVE_SHARD, SHARDS, WatchRef, WatchShard, once_each, shard_of};

#[derive(Clone, Debug)]
enum Step {
    Add(u64, &'static str, Modes),
    Remove(u64, &'static str, Modes),
    Gone(u64),
    /// A standard mode, as an event's trigger names it.
    Fire(&'static str, Modes),
}

/// Literal paths that name no node are watched, too; what happens, happens at nodes.
const WATCHED: [&str; 9] = ["/", "/a", "/a/b", "/a/b/c", "/a/bc", "/ab", "", "/a/", "/z"];
const NODES: [&str; 6] = ["/", "/a", "/a/b", "/a/b/c", "/a/bc", "/ab"];
const MODES: [Modes; 4] = [Modes::DATA, Modes::CHILD, Modes::PERSISTENT, Modes::RECURSIVE];
const BOTH: Modes = Modes::DATA.with(Modes::CHILD);

fn step() -> impl Strategy<Value = Step> {
    let conn = || prop_oneof![0..4u64, Just((1 << 60) - 1)];
    prop_oneof![
        8 => (conn(), select(&WATCHED[..]), select(&MODES[..])).prop_map(|(c, p, m)| Step::Add(c, p, m)),
        3 => (conn(), select(&WATCHED[..]), select(&MODES[..])).prop_map(|(c, p, m)| Step::Remove(c, p, m)),
        1 => (conn(), select(&WATCHED[..])).prop_map(|(c, p)| Step::Remove(c, p, Modes::ANY)),
        1 => conn().prop_map(Step::Gone),
        5 => (select(&NODES[..]), select(vec![Modes::DATA, Modes::CHILD, BOTH]))
            .prop_map(|(p, m)| Step::Fire(p, m)),
    ]
}

/// Shards, and each connection's own list.
struct Watched {
    shards: Vec<WatchShard>,
    own: BTreeMap<ConnId, BTreeSet<WatchRef>>,
}

impl Watched {
    fn new(seed: u64) -> Self {
        Self { shards: vec![WatchShard::with_hash_seed(seed); SHARDS], own: BTreeMap::new() }
    }

    fn home(path: &str, mode: Modes) -> usize {
        if mode == Modes::RECURSIVE { RECURSIVE_SHARD } else { shard_of(path) }
    }

    fn modes(&self, conn: ConnId, path: &str) -> Modes {
        let exact = self.shards[shard_of(path)].modes(path, conn);
        exact.with(self.shards[RECURSIVE_SHARD].modes(path, conn))
    }

    fn add(&mut self, conn: ConnId, path: &str, mode: Modes) {
        let home = Self::home(path, mode);
        let watch = self.shards[home].add(home, path, conn, mode);
        self.own.entry(conn).or_default().insert(watch);
    }

    fn remove(&mut self, conn: ConnId, path: &str, modes: Modes) -> Modes {
        let mut had = Modes::NONE;
        for home in BTreeSet::from([shard_of(path), RECURSIVE_SHARD]) {
            let (had_here, spent) = self.shards[home].remove(home, path, conn, modes);
            had = had.with(had_here);
            for watch in spent.into_iter().flatten() {
                assert!(self.own.get_mut(&conn).unwrap().remove(&watch));
            }
        }
        had
    }

    fn gone(&mut self, conn: ConnId) {
        for watch in self.own.remove(&conn).unwrap_or_default() {
            self.shards[watch.shard()].forget(watch, conn);
        }
    }

    fn fire(&mut self, path: &str, standard: Modes) -> Vec<ConnId> {
        let mut hearers: Vec<Hearer> = vec![];
        let home = shard_of(path);
        self.shards[home].fire(home, path, standard, &mut hearers);
        if standard.meets(Modes::DATA) && self.shards[RECURSIVE_SHARD].has_recursive() {
            self.shards[RECURSIVE_SHARD].fire_recursive(path, &mut hearers);
        }
        once_each(&mut hearers);
        for Hearer { conn, spent } in &hearers {
            if let Some(watch) = spent {
                assert!(self.own.get_mut(conn).unwrap().remove(watch));
            }
        }
        hearers.iter().map(|h| h.conn).collect()
    }

    fn list(&self) -> BTreeMap<(ConnId, String), Modes> {
        let mut all = BTreeMap::<_, Modes>::new();
        for (path, conn, modes) in self.shards.iter().flat_map(WatchShard::list) {
            let entry = all.entry((conn, path.to_owned())).or_default();
            *entry = entry.with(modes);
        }
        all
    }
}

/// The same as a list that is searched from end to end.
#[derive(Default)]
struct Naive(Vec<(ConnId, &'static str, Modes)>);

impl Naive {
    fn remove(&mut self, conn: ConnId, path: &str, modes: Modes) -> Modes {
        let mut had = Modes::NONE;
        self.0.retain(|(c, p, m)| {
            let hit = *c == conn && *p == path && m.meets(modes);
            if hit {
                had = had.with(*m);
            }
            !hit
        });
        had
    }

    fn fire(&mut self, path: &str, standard: Modes) -> Vec<ConnId> {
        let mut heard = BTreeSet::new();
        self.0.retain(|(conn, watched, mode)| {
            let below = *watched == "/" || path == *watched || path.starts_with(&format!("{watched}/"));
            let at = path == *watched;
            let hears = match *mode {
                Modes::RECURSIVE => below && !watched.is_empty() && standard.meets(Modes::DATA),
                Modes::PERSISTENT => at,
                mode => at && mode.meets(standard),
            };
            if hears {
                heard.insert(*conn);
            }
            !(hears && mode.meets(BOTH))
        });
        heard.into_iter().collect()
    }
}

proptest! {
    #[test]
    fn shards_do_what_a_list_does(seed: u64, steps in vec(step(), 1..80)) {
        let (mut watched, mut naive) = (Watched::new(seed), Naive::default());
        for step in steps {
            match step {
                Step::Add(conn, path, mode) => {
                    watched.add(ConnId(conn), path, mode);
                    if !naive.0.contains(&(ConnId(conn), path, mode)) {
                        naive.0.push((ConnId(conn), path, mode));
                    }
                }
                Step::Remove(conn, path, modes) => {
                    let conn = ConnId(conn);
                    prop_assert_eq!(watched.remove(conn, path, modes), naive.remove(conn, path, modes));
                }
                Step::Gone(conn) => {
                    watched.gone(ConnId(conn));
                    naive.0.retain(|(c, ..)| *c != ConnId(conn));
                }
                Step::Fire(path, standard) => {
                    prop_assert_eq!(watched.fire(path, standard), naive.fire(path, standard), "{}", path);
                }
            }
            let mut all = BTreeMap::<_, Modes>::new();
            for (conn, path, mode) in &naive.0 {
                let entry = all.entry((*conn, (*path).to_owned())).or_default();
                *entry = entry.with(*mode);
            }
            prop_assert_eq!(&watched.list(), &all);
            for (conn, path) in all.keys() {
                prop_assert_eq!(watched.modes(*conn, path), all[&(*conn, path.clone())]);
            }
            let count: usize = watched.shards.iter().map(WatchShard::count).sum();
            let apart = |m: &Modes| m.common(Modes::RECURSIVE).count() + m.without(Modes::RECURSIVE).count();
            prop_assert_eq!(count, all.values().map(apart).sum::<usize>());
            let listed = watched.own.values().map(BTreeSet::len).sum::<usize>();
            let entries = |m: &Modes| {
                usize::from(m.meets(Modes::RECURSIVE)) + usize::from(!m.without(Modes::RECURSIVE).is_empty())
            };
            prop_assert_eq!(listed, all.values().map(entries).sum::<usize>());
        }
    }
}

#[test]
fn a_spent_watch_may_be_forgotten_again_after_its_slot_has_gone() {
    let mut shard = WatchShard::default();
    let watch = shard.add(0, "/a", ConnId(1), Modes::DATA);
    let mut hearers = vec![];
    shard.fire(0, "/a", Modes::DATA, &mut hearers);
    assert_eq!(hearers, [Hearer { conn: ConnId(1), spent: Some(watch) }]);
    shard.forget(watch, ConnId(1));
    let other = shard.add(0, "/b", ConnId(2), Modes::DATA);
    assert_eq!(other, watch, "the slot is used again");
    shard.forget(watch, ConnId(1));
    assert_eq!(shard.modes("/b", ConnId(2)), Modes::DATA);
}

#[test]
fn many_connections_on_one_path_all_hear_of_it_once() {
    let mut shard = WatchShard::default();
    for conn in 0..10_000 {
        shard.add(0, "/config", ConnId(conn), Modes::DATA);
    }
    assert_eq!(shard.count(), 10_000);
    let mut hearers = vec![];
    shard.fire(0, "/config", Modes::DATA, &mut hearers);
    assert_eq!(hearers.len(), 10_000);
    assert!(hearers.iter().all(|h| h.spent.is_some()));
    hearers.clear();
    shard.fire(0, "/config", Modes::DATA, &mut hearers);
    assert!(hearers.is_empty());
    assert_eq!(shard.count(), 0);
}
