//! One run: load and faults, then everything is healed, and the world must become well again within bounds (simulation
//! brief §8).

mod expectations;
mod recovery;

use crate::clock::Time;
use crate::faults::Faults;
use crate::oracle::{Ensemble, Invariant, Violation};
use crate::scenario::units::Span;
use crate::scenario::{Core, InvariantSet, Scenario};
use crate::setup;
use crate::world::{Step, World};

/// How a run is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep a line per event.
    pub readable: bool,
    /// Stop after so many events.
    pub max_events: Option<u64>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Everything held.
    Held,
    /// The server refused to serve damaged data, as it must.
    Refused(String),
    /// Faults destroyed more than the protocol survives, and it did not survive it: this broke.
    Lost(Violation),
    /// An invariant broke.
    Violated(Violation),
    /// It did not become well again.
    NotLive(String),
    /// Something that the scenario expects did not come about.
    Unexpected(String),
}

impl Verdict {
    /// The process exit code (simulation brief §6).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Held | Self::Refused(_) | Self::Lost(_) => 0,
            Self::Violated(_) => 1,
            Self::NotLive(_) => 3,
            Self::Unexpected(_) => 4,
        }
    }

    /// True if nothing is wrong.
    pub const fn is_good(&self) -> bool {
        self.exit_code() == 0
    }

    /// What failed, in a word that does not change with seeds: shrinking keeps to it.
    pub fn kind(&self) -> String {
        match self {
            Self::Held | Self::Refused(_) | Self::Lost(_) => String::new(),
            Self::Violated(violation) => violation.invariant.id().to_owned(),
            Self::NotLive(_) => Invariant::I41.id().to_owned(),
            Self::Unexpected(what) => what.split(':').next().unwrap_or_default().to_owned(),
        }
    }
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What came of it.
    pub verdict: Verdict,
    /// The world at its end.
    pub world: World,
    /// When load and faults ended.
    pub healed_at: Time,
}

/// A run under way. Clones go their own ways.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The world.
    pub world: World,
    /// What goes wrong in it.
    pub faults: Faults,
    until: Time,
    heal_within: Span,
    options: Options,
    /// Something goes wrong that is none of the scenario's faults.
    pub injected: bool,
    /// The longest time without a commit, and when the last one was.
    gap: (u64, Time, usize),
    core: Core,
}

impl Runner {
    /// Draws everything; nothing has happened yet.
    pub fn new(scenario: &Scenario, seed: u64, options: Options) -> Result<Self, String> {
        let mut world = setup::world(scenario, seed, options.readable)?;
        let duration =
            scenario.duration.as_ref().map_or(Span(10_000_000_000), |d| d.draw(&mut world.dice, 1 << 19));
        let heal_within = scenario.expect.heal_within.as_ref();
        let heal_within = heal_within.map_or(Span(30_000_000_000), |w| w.draw(&mut world.dice, 1 << 18));
        let until = Time(duration.0);
        let faults = Faults::new(scenario, until, &mut world.dice);
        faults.arm(&mut world);
        Ok(Self {
            world,
            faults,
            until,
            heal_within,
            options,
            injected: false,
            gap: (0, Time(0), 0),
            core: scenario.expect.core,
        })
    }

    /// One event of load and faults; false when they are over.
    pub fn one(&mut self) -> Result<bool, Verdict> {
        let step = self.step(self.until)?;
        Ok(!matches!(step, Step::Quiet))
    }

    /// One step of the world, and what the faults make of it.
    fn step(&mut self, until: Time) -> Result<Step, Verdict> {
        let stepped = self.world.step(until).and_then(|step| {
            match step {
                Step::Event => self.faults.look(&mut self.world)?,
                Step::Begin(i) => self.faults.begin(i, None, &mut self.world)?,
                Step::End(i, nth) => self.faults.end(i, nth, &mut self.world),
                Step::Quiet => {}
            }
            Ok(step)
        });
        // Behind what is lost nothing can be judged.
        if let Some(lost) = self.world.ensemble.as_ref().and_then(Ensemble::lost) {
            return Err(Verdict::Lost(lost.clone()));
        }
        stepped.map_err(Verdict::Violated)
    }

    /// Load and faults, to their end.
    pub fn phase_one(&mut self) -> Result<(), Verdict> {
        self.go(self.until, |_| false).map(|_| ())
    }

    /// Goes on until `until`, or until `done`; true in the second case.
    pub fn go(&mut self, until: Time, done: impl Fn(&World) -> bool) -> Result<bool, Verdict> {
        let most = self.options.max_events.unwrap_or(u64::MAX);
        loop {
            match self.step(until)? {
                Step::Event => self.note_gap(),
                Step::Begin(_) | Step::End(..) => {}
                Step::Quiet => return Ok(done(&self.world)),
            }
            if done(&self.world) {
                return Ok(true);
            }
            if self.world.trace.events() >= most {
                return Err(Verdict::Unexpected(format!("max-events: {most} events were not enough")));
            }
        }
    }

    fn note_gap(&mut self) {
        let commits = self.world.commits.len();
        let (longest, since, last) = &mut self.gap;
        if commits != *last {
            *longest = (*longest).max(self.world.now.0 - since.0);
            (*since, *last) = (self.world.now, commits);
        }
    }

    /// The whole run.
    pub fn finish(mut self, scenario: &Scenario) -> Run {
        let healed_at = self.until;
        let outcome = self.phase_one().and_then(|()| self.phase_two());
        let verdict = match outcome {
            Err(verdict) => verdict,
            Ok(()) => Verdict::Held,
        };
        let verdict = filter(scenario, verdict);
        let verdict = expectations::check(&self, scenario, verdict);
        Run { verdict, world: self.world, healed_at }
    }
}

/// Invariants that a scenario leaves out do not count.
fn filter(scenario: &Scenario, verdict: Verdict) -> Verdict {
    let Verdict::Violated(violation) = &verdict else { return verdict };
    let id = violation.invariant.id();
    let counts = match &scenario.expect.invariants {
        None | Some(InvariantSet::All(_)) => true,
        Some(InvariantSet::Only(only)) => only.iter().any(|one| one == id),
        Some(InvariantSet::Except { except }) => !except.iter().any(|one| one == id),
    };
    if counts { verdict } else { Verdict::Held }
}

/// Runs a scenario with a seed.
pub fn run(scenario: &Scenario, seed: u64, options: Options) -> Result<Run, String> {
    Ok(Runner::new(scenario, seed, options)?.finish(scenario))
}
