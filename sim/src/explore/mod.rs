//! Layer L0: every interleaving of a small world, within stated bounds (simulation brief §13).
//!
//! A [`World`] is walked depth first. States are known by a 64-bit fingerprint of what they are; time is abstract, so that a
//! timer may fire whenever it is armed; faults and timers come from a budget that is part of the state. As budgets end, so
//! does every path, and the walk is complete: a state that was seen is not entered again. One state would be missed if it
//! shared its fingerprint with another; among ten million states the odds of any such pair are below one in 100,000.
//!
//! Every step is checked against the rules of its world. Every state in which no move is left is then healed and driven on
//! by a fair schedule, and must come to rest as it should. All other states have a path to one of these, so that some
//! schedule decides from everywhere.

pub mod election;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use foldhash::quality::FixedState;

/// Something that can be walked.
pub trait World: Clone {
    /// One step.
    type Move: Copy;

    /// Everything that may happen next, in a fixed order.
    fn moves(&self) -> Vec<Self::Move>;
    /// What kind of move it is, for counting.
    fn kind(step: &Self::Move) -> &'static str;
    /// Kinds that the bounds allow; each must be taken somewhere.
    fn expected(&self) -> Vec<&'static str>;
    /// Makes a move and checks it.
    fn take(&mut self, step: &Self::Move) -> Result<(), Broken>;
    /// What it is, without what does not matter.
    fn fingerprint(&self) -> u64;
    /// Heals everything and drives on; an error if that does not come to rest as it should.
    fn settle(&mut self) -> Result<(), Broken>;
    /// A move from here, for the reader of a counterexample.
    fn narrate(&self, step: &Self::Move) -> String;
    /// The world, for the same reader.
    fn describe(&self) -> String;
}

/// A rule that a step broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// As the simulation brief numbers it: I10 and so on.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

/// What a walk found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Moves made.
    pub moves: u64,
    /// Moves by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// The longest path.
    pub depth: usize,
    /// States without a move left, all of which came to rest.
    pub ends: usize,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every state within the bounds was seen, and every kind of move was taken.
    Complete,
    /// The limit of states was reached.
    Cut,
    /// A kind of move that the bounds allow was never taken: the walk is not what it seems.
    Untaken(&'static str),
    /// A rule was broken.
    Broken {
        /// Which, and how.
        broken: Broken,
        /// The moves that led there.
        path: Vec<String>,
        /// The world just before the last of them.
        world: String,
    },
}

/// Walks everything that can come of `world`, or `states_max` states of it.
pub fn explore<W: World>(world: W, states_max: usize) -> Report {
    let expected = world.expected();
    let mut walk = Walk {
        seen: HashSet::default(),
        path: Vec::new(),
        moves: 0,
        kinds: BTreeMap::new(),
        depth: 0,
        ends: 0,
    };
    let outcome = match walk.run(world, states_max) {
        Err(broken) => walk.broken(broken),
        Ok(Reached::Limit) => Outcome::Cut,
        Ok(Reached::Everything) => expected
            .into_iter()
            .find(|kind| !walk.kinds.contains_key(kind))
            .map_or(Outcome::Complete, Outcome::Untaken),
    };
    let Walk { seen, moves, kinds, depth, ends, .. } = walk;
    Report { states: seen.len(), moves, kinds, depth, ends, outcome }
}

struct Walk<W: World> {
    seen: HashSet<u64, FixedState>,
    path: Vec<Step<W>>,
    moves: u64,
    kinds: BTreeMap<&'static str, u64>,
    depth: usize,
    ends: usize,
}

/// A world on the path, the move that was made from it, and those that come next.
struct Step<W: World> {
    world: W,
    taken: Option<W::Move>,
    next: std::vec::IntoIter<W::Move>,
}

enum Reached {
    Everything,
    Limit,
}

impl<W: World> Walk<W> {
    fn run(&mut self, world: W, states_max: usize) -> Result<Reached, Broken> {
        self.enter(world)?;
        while let Some(step) = self.path.last_mut() {
            let Some(taken) = step.next.next() else {
                self.path.pop();
                continue;
            };
            let mut world = step.world.clone();
            step.taken = Some(taken);
            self.moves += 1;
            *self.kinds.entry(W::kind(&taken)).or_default() += 1;
            world.take(&taken)?;
            self.enter(world)?;
            if self.seen.len() >= states_max {
                return Ok(Reached::Limit);
            }
        }
        Ok(Reached::Everything)
    }

    fn enter(&mut self, world: W) -> Result<(), Broken> {
        if !self.seen.insert(world.fingerprint()) {
            return Ok(());
        }
        let moves = world.moves();
        self.depth = self.depth.max(self.path.len());
        if moves.is_empty() {
            self.ends += 1;
            return world.clone().settle();
        }
        self.path.push(Step { world, taken: None, next: moves.into_iter() });
        Ok(())
    }

    fn broken(&self, broken: Broken) -> Outcome {
        let path = self.path.iter().filter_map(|step| Some(step.world.narrate(step.taken.as_ref()?)));
        let world = self.path.last().map_or_else(String::new, |step| step.world.describe());
        Outcome::Broken { broken, path: path.collect(), world }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, moves, kinds, depth, ends, outcome } = self;
        writeln!(f, "{states} states, {moves} moves, depth {depth}, {ends} ends")?;
        for (kind, count) in kinds {
            writeln!(f, "  {kind} {count}")?;
        }
        match outcome {
            Outcome::Complete => writeln!(f, "complete"),
            Outcome::Cut => writeln!(f, "cut off: not everything was seen"),
            Outcome::Untaken(kind) => writeln!(f, "incomplete: no move of kind {kind} was ever possible"),
            Outcome::Broken { broken, path, world } => {
                writeln!(f, "BROKEN {}: {}\nafter", broken.rule, broken.what)?;
                path.iter().try_for_each(|step| writeln!(f, "  {step}"))?;
                writeln!(f, "in\n{world}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter to three by ones or twos; a fault sets it back once.
    #[derive(Clone)]
    struct Counter {
        at: u8,
        faults: u8,
        forbidden: Option<u8>,
        rests_at: u8,
    }

    impl World for Counter {
        type Move = &'static str;

        fn moves(&self) -> Vec<Self::Move> {
            let fault = (self.faults > 0 && self.at > 0).then_some("fault");
            let add = (self.at < 3).then_some("one").into_iter().chain((self.at < 2).then_some("two"));
            add.chain(fault).collect()
        }
        fn kind(step: &Self::Move) -> &'static str {
            step
        }
        fn expected(&self) -> Vec<&'static str> {
            vec!["one", "two", "fault"]
        }
        fn take(&mut self, step: &Self::Move) -> Result<(), Broken> {
            match *step {
                "fault" => (self.at, self.faults) = (0, self.faults - 1),
                "one" => self.at += 1,
                _ => self.at += 2,
            }
            if Some(self.at) == self.forbidden {
                return Err(Broken { rule: "I00", what: format!("at {}", self.at) });
            }
            Ok(())
        }
        fn fingerprint(&self) -> u64 {
            u64::from(self.at) << 8 | u64::from(self.faults)
        }
        fn settle(&mut self) -> Result<(), Broken> {
            let rest = Broken { rule: "I41", what: format!("rests at {}", self.at) };
            if self.at == self.rests_at { Ok(()) } else { Err(rest) }
        }
        fn narrate(&self, step: &Self::Move) -> String {
            (*step).to_owned()
        }
        fn describe(&self) -> String {
            format!("at {}", self.at)
        }
    }

    const COUNTER: Counter = Counter { at: 0, faults: 1, forbidden: None, rests_at: 3 };

    #[test]
    fn every_state_is_seen_once_and_every_end_comes_to_rest() {
        let report = explore(COUNTER, 100);
        assert_eq!(report.outcome, Outcome::Complete);
        assert_eq!((report.states, report.ends), (8, 1), "0 to 3, with a fault left or none");
    }

    #[test]
    fn a_broken_rule_comes_with_the_way_there() {
        let report = explore(Counter { forbidden: Some(3), ..COUNTER }, 100);
        let Outcome::Broken { broken, path, world } = report.outcome else { panic!("{report}") };
        assert_eq!((broken.rule, &*world), ("I00", "at 2"));
        assert_eq!(path, ["one", "one", "one"]);
    }

    #[test]
    fn an_end_that_does_not_rest_as_it_should_is_broken() {
        let report = explore(Counter { rests_at: 2, ..COUNTER }, 100);
        assert!(
            matches!(report.outcome, Outcome::Broken { broken: Broken { rule: "I41", .. }, .. }),
            "{report}"
        );
    }

    #[test]
    fn a_walk_that_never_met_a_fault_is_not_complete() {
        assert_eq!(explore(Counter { faults: 0, ..COUNTER }, 100).outcome, Outcome::Untaken("fault"));
        assert_eq!(explore(COUNTER, 3).outcome, Outcome::Cut);
    }
}
