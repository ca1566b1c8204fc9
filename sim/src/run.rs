//! One run: load and faults, then everything is healed, and the world must become well again within bounds (simulation
//! brief §8).

use crate::clock::Time;
use crate::faults::{self, Faults};
use crate::oracle::{ClientId, Invariant, Violation};
use crate::scenario::units::Span;
use crate::scenario::{InvariantSet, Scenario};
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
            Self::Held | Self::Refused(_) => 0,
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
            Self::Held | Self::Refused(_) => String::new(),
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
        let faults = Faults::new(scenario, until, &mut world.dice)?;
        faults.arm(&mut world);
        Ok(Self { world, faults, until, heal_within, options, injected: false, gap: (0, Time(0), 0) })
    }

    /// One event of load and faults; false when they are over.
    pub fn one(&mut self) -> Result<bool, Verdict> {
        match self.world.step(self.until).map_err(Verdict::Violated)? {
            Step::Event => self.faults.look(&mut self.world).map_err(Verdict::Violated)?,
            Step::Begin(i) => self.faults.begin(i, None, &mut self.world).map_err(Verdict::Violated)?,
            Step::End(i, nth) => self.faults.end(i, nth, &mut self.world),
            Step::Quiet => return Ok(false),
        }
        Ok(true)
    }

    /// Load and faults, to their end.
    pub fn phase_one(&mut self) -> Result<(), Verdict> {
        self.go(self.until, |_| false).map(|_| ())
    }

    /// Goes on until `until`, or until `done`; true in the second case.
    pub fn go(&mut self, until: Time, done: impl Fn(&World) -> bool) -> Result<bool, Verdict> {
        let most = self.options.max_events.unwrap_or(u64::MAX);
        loop {
            match self.world.step(until).map_err(Verdict::Violated)? {
                Step::Event => {
                    self.faults.look(&mut self.world).map_err(Verdict::Violated)?;
                    self.note_gap();
                }
                Step::Begin(i) => self.faults.begin(i, None, &mut self.world).map_err(Verdict::Violated)?,
                Step::End(i, nth) => self.faults.end(i, nth, &mut self.world),
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

    /// Everything is healed; the world becomes well again, and then quiet.
    pub fn phase_two(&mut self) -> Result<(), Verdict> {
        self.faults.heal(&mut self.world);
        setup::add_probe(&mut self.world);
        let bound = self.world.now.plus(self.heal_within.0);
        let commits = self.world.commits.len();
        let well = |world: &World| {
            world.nodes.iter().all(|node| node.is_up())
                && world
                    .seats
                    .iter()
                    .all(|seat| seat.client.is_connected() || seat.client.is_silent(world.now))
                && world.commits.len() > commits + PROBE_COMMITS
        };
        if !self.go(bound, well)? {
            return Err(self.not_well(commits));
        }
        // Load ends; what is under way comes to its end.
        self.world.seats.iter_mut().for_each(|seat| seat.client.quiet = true);
        let settled = |world: &World| {
            world.seats.iter().all(|seat| seat.client.under_way() == 0 || seat.client.is_silent(world.now))
                && world.nodes.iter().all(|node| node.server.as_ref().is_some_and(|server| !server.is_busy()))
        };
        if !self.go(self.world.now.plus(self.heal_within.0), settled)? {
            let waiting: usize = self.world.seats.iter().map(|seat| seat.client.under_way()).sum();
            return Err(Verdict::NotLive(format!(
                "{waiting} requests were not answered within {}",
                self.heal_within
            )));
        }
        // Sessions that nobody holds expire; events that are due arrive.
        let longest =
            self.world.commits.states().living().map(|(_, timeout_ms)| timeout_ms as u64).max().unwrap_or(0);
        let bound = self.world.now.plus((2 * longest + 2_000) * 1_000_000);
        let gone =
            |world: &World| faults::orphans(world).iter().all(|session| held_by_silent(world, *session));
        self.go(self.world.now.plus(1_000_000_000), |_| false)?;
        if !self.go(bound, gone)? {
            let what = format!("sessions {:?} live on, and nobody holds them", faults::orphans(&self.world));
            return Err(Verdict::Violated(Violation { invariant: Invariant::I30, what }));
        }
        self.go(self.world.now.plus(1_000_000_000), |_| false)?;
        // The session of a silent client may have expired just now: its watchers are about to hear.
        self.go(self.world.now.plus(1_000_000_000), |world| all_have_heard(world).is_ok())?;
        self.last_checks().map_err(Verdict::Violated)?;
        self.check_quiet()
    }

    fn not_well(&self, commits: usize) -> Verdict {
        let refused = self.world.nodes.iter().find_map(|node| Some((node, node.refused.as_ref()?)));
        if let Some((node, fault)) = refused {
            if node.disk.is_destroyed() {
                return Verdict::Refused(format!("node {}: {fault}", node.id));
            }
            return Verdict::NotLive(format!(
                "node {} refuses to start though nothing was destroyed: {fault}",
                node.id
            ));
        }
        let up = self.world.nodes.iter().filter(|node| node.is_up()).count();
        let connected = self.world.seats.iter().filter(|seat| seat.client.is_connected()).count();
        Verdict::NotLive(format!(
            "{} after the last fault {up} of {} nodes are up, {connected} of {} clients connected, {} commits made",
            self.heal_within,
            self.world.nodes.len(),
            self.world.seats.len(),
            self.world.commits.len() - commits
        ))
    }

    /// I42: where nothing is injected nothing breaks.
    fn check_quiet(&self) -> Result<(), Verdict> {
        if self.injected || !self.faults.is_empty() {
            return Ok(());
        }
        let lost: u64 = self.world.seats.iter().map(|seat| seat.client.lost + seat.client.expired).sum();
        if self.world.disconnects + self.world.fatals + lost > 0 {
            let what = format!(
                "without faults {} connections broke, {lost} requests or sessions were lost, {} processes ended",
                self.world.disconnects, self.world.fatals
            );
            return Err(Verdict::Violated(Violation { invariant: Invariant::I42, what }));
        }
        Ok(())
    }

    /// What holds when nothing is under way.
    fn last_checks(&self) -> Result<(), Violation> {
        let listens =
            |client: ClientId| !self.world.seats[client.0 as usize].client.is_silent(self.world.now);
        self.world.histories.settled(listens)?;
        for node in &self.world.nodes {
            let Some(server) = &node.server else { continue };
            self.world.commits.compare(&server.tree)?;
            let leaked: Vec<_> =
                server.watches.holders().into_iter().filter(|c| !server.conns.contains(*c)).collect();
            if !leaked.is_empty() {
                let what = format!("node {}: watches of {leaked:?}, which are gone", node.id);
                return Err(Violation { invariant: Invariant::I37, what });
            }
        }
        Ok(())
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
        let verdict = self.expect(scenario, verdict);
        Run { verdict, world: self.world, healed_at }
    }

    fn expect(&self, scenario: &Scenario, verdict: Verdict) -> Verdict {
        let expect = &scenario.expect;
        match (&verdict, expect.refused) {
            (Verdict::Held, true) => {
                return Verdict::Unexpected(
                    "refused: the server should refuse its damaged data, and serves".to_owned(),
                );
            }
            (Verdict::Held, false) | (Verdict::Refused(_), _) => {}
            _ => return verdict,
        }
        let commits = self.world.commits.len() as u64;
        if let Some(least) = expect.min_commits.filter(|least| commits < *least)
            && matches!(verdict, Verdict::Held)
        {
            return Verdict::Unexpected(format!("min_commits: {commits} commits, {least} expected"));
        }
        for never in &expect.never {
            if self.world.trace.marks().contains_key(never.as_str()) {
                return Verdict::Unexpected(format!("never: {never} was seen"));
            }
        }
        if let Some(most) = &expect.max_unavailable {
            let most = most.draw(&mut self.world.dice.clone(), 1 << 17);
            if self.gap.0 > most.0 {
                return Verdict::Unexpected(format!(
                    "max_unavailable: {} without a commit",
                    Span(self.gap.0)
                ));
            }
        }
        verdict
    }
}

/// Every client that listens has heard all that it is owed.
fn all_have_heard(world: &World) -> Result<(), Violation> {
    let listens = |client: ClientId| !world.seats[client.0 as usize].client.is_silent(world.now);
    world.histories.settled(listens)
}

/// A session and a few writes.
const PROBE_COMMITS: usize = 3;

fn held_by_silent(world: &World, session: zk_core::ids::SessionId) -> bool {
    world.seats.iter().any(|seat| seat.client.is_silent(world.now) && seat.client.session() == Some(session))
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
