//! What a run ends with (simulation brief §8): a core of servers is healed, and has to serve again within bounds; whoever is
//! outside of it stays as it is.
//!
//! Faults that always heal by luck hide that servers keep one another from working. So the core is drawn: everybody, or a
//! quorum and perhaps some more, among others that are down for ever, stand still, or shout without hearing.

use zk_core::ids::{Sid, Zxid};
use zk_core::text::Text;

use super::{Runner, Verdict};
use crate::dice::Site;
use crate::faults;
use crate::node::Node;
use crate::oracle::{self, ClientId, End, Invariant, Violation};
use crate::scenario::Core;
use crate::setup;
use crate::world::World;

/// How long a core that is well is watched for elections that come too often, ns.
const WATCH_NS: u64 = 20_000_000_000;
/// Containers are waited for that are looked for as often as this, ms.
const PATIENCE_MS: u32 = 5_000;
/// A session and a few writes.
const PROBE_COMMITS: usize = 3;

/// Elections of one server after a core was well. One that had not heard yet that its connection was reset looks for a leader
/// then, and once more if it is told of the leader that it had; one that is sent a snapshot slowly may have to ask again.
const ELECTIONS_MAX: u64 = 4;

/// It takes part in an ensemble that stands.
fn serves_or_rules(node: &Node) -> bool {
    node.serves() || node.rules()
}

impl Runner {
    /// The core is healed; it becomes well again, and then quiet.
    pub fn phase_two(&mut self) -> Result<(), Verdict> {
        let core = self.draw_core();
        self.faults.heal(&core, &mut self.world);
        setup::add_probe(&mut self.world);
        let bound = self.world.now.plus(self.heal_within.0);
        let commits = self.world.commits.len();
        let welcomes: Vec<u64> = self.world.seats.iter().map(|seat| seat.client.welcomes).collect();
        let of_core = |world: &World, holds: &dyn Fn(&Node) -> bool| {
            core.iter().all(|id| holds(&world.nodes[*id as usize - 1]))
        };
        // While somebody outside takes part, the ensemble may stand with him and not with all of the core: who comes back
        // has to hear of a leader from a quorum, and may not reach that one.
        let serve = |world: &World| {
            let takes_part = |node: &Node| node.is_frozen && serves_or_rules(node);
            let stands = faults::leader(world).is_some_and(|id| world.nodes[id as usize - 1].rules());
            of_core(world, &serves_or_rules) || stands && world.nodes.iter().any(takes_part)
        };
        // All at one time are not: a client may end its session as often as it likes, and ask next where somebody outside keeps
        // it waiting for as long as it has patience.
        let has_been_let_in = |world: &World| {
            world.seats.iter().zip(&welcomes).all(|(seat, before)| {
                let client = &seat.client;
                client.is_connected() || client.welcomes > *before || client.is_silent(world.now)
            })
        };
        let well = |world: &World| {
            serve(world) && has_been_let_in(world) && world.commits.len() > commits + PROBE_COMMITS
        };
        if !self.go(bound, well)? {
            return Err(self.not_well(&core, commits));
        }
        // Who of the core cannot reach a leader outside of it goes on looking for one that it can reach.
        let standing: Vec<u32> = core.iter().copied().filter(|id| self.serves_or_rules(*id)).collect();
        let elections = self.elections(&standing);
        // Load ends; what is under way comes to its end.
        self.world.seats.iter_mut().for_each(|seat| seat.client.quiet = true);
        let settled = |world: &World| {
            world.seats.iter().all(|seat| seat.client.under_way() == 0 || seat.client.is_silent(world.now))
                && of_core(world, &|node| node.server.as_ref().is_some_and(|server| !server.is_busy()))
        };
        if !self.go(self.world.now.plus(self.heal_within.0), settled)? {
            let waiting: usize = self.world.seats.iter().map(|seat| seat.client.under_way()).sum();
            return Err(Verdict::NotLive(format!(
                "{waiting} requests were not answered within {}",
                self.heal_within
            )));
        }
        self.expire_orphans()?;
        self.collect_containers()?;
        self.go(self.world.now.plus(1_000_000_000), |_| false)?;
        self.check_alike(&core)?;
        // The session of a silent client may have expired just now: its watchers are about to hear. So are clients of a server
        // outside of the core, whose leader lost power: it follows nobody until it has waited for its sync limit, and they
        // hear of what they missed where they go from there.
        self.go(self.world.now.plus(self.heal_within.0), |world| all_have_heard(world).is_ok())?;
        self.last_checks().map_err(Verdict::Violated)?;
        if core.len() < faults::members(&self.world).count() {
            self.go(self.world.now.plus(WATCH_NS), |_| false)?;
        }
        self.check_elections(&standing, &elections)?;
        self.check_quiet()
    }

    /// Everybody, or a quorum and perhaps some more.
    fn draw_core(&mut self) -> Vec<u32> {
        let world = &mut self.world;
        let all: Vec<u32> = faults::members(world).map(|node| node.id).collect();
        let Some(quorums) = world.quorums() else { return all };
        if self.core == Core::All || world.dice.chance(Site::Core, 0, 1, 2) {
            return all;
        }
        let mut order = all;
        faults::shuffle(&mut order, &mut world.dice, 1 << 18);
        let mut core: Vec<u32> = Vec::new();
        for id in order {
            let is_in = |sid: Sid| core.iter().any(|id| Sid(i64::from(*id)) == sid);
            let is_needed = !quorums.contains_quorum(is_in) && quorums.is_voter(Sid(i64::from(id)));
            if is_needed || world.dice.chance(Site::Core, 0, 1, 4) {
                core.push(id);
            }
        }
        core.sort_unstable();
        world.trace.headline(world.now, "heal", &format!("nodes {core:?}"));
        world.trace.mark("healed-in-part");
        core
    }

    fn elections(&self, core: &[u32]) -> Vec<u64> {
        core.iter().map(|id| self.world.nodes[*id as usize - 1].elections).collect()
    }

    /// Who is well stays so, or is again after a moment.
    fn check_elections(&self, core: &[u32], before: &[u64]) -> Result<(), Verdict> {
        // Whose link to a leader outside was dead already, without its knowing, looks for another from then on.
        let outside =
            faults::leader(&self.world).is_some_and(|id| !core.contains(&id) && self.serves_or_rules(id));
        let counts = |id: u32| !outside || self.serves_or_rules(id);
        let now = self.elections(core);
        let more = core.iter().zip(now.iter().zip(before)).filter(|(id, _)| counts(**id));
        let most = more.map(|(_, (now, before))| now - before).max().unwrap_or(0);
        if most > ELECTIONS_MAX {
            return Err(Verdict::NotLive(format!("{most} more elections in a core that was well: {core:?}")));
        }
        Ok(())
    }

    /// Sessions that nobody holds expire; events that are due arrive.
    fn expire_orphans(&mut self) -> Result<(), Verdict> {
        let living = self.world.commits.states().living();
        let longest = living.map(|(_, timeout_ms)| timeout_ms as u64).max().unwrap_or(0);
        let bound = self.world.now.plus((2 * longest + 2_000) * 1_000_000);
        let gone =
            |world: &World| faults::orphans(world).iter().all(|session| held_by_silent(world, *session));
        self.go(self.world.now.plus(1_000_000_000), |_| false)?;
        if !self.go(bound, gone)? {
            let what = format!("sessions {:?} live on, and nobody holds them", faults::orphans(&self.world));
            return Err(Verdict::Violated(Violation { invariant: Invariant::I30, what }));
        }
        Ok(())
    }

    /// Containers that are used no more go, where it is looked for them often enough to wait for that. (TTL nodes may stay
    /// for as long as a wall clock was ahead when they were made.)
    fn collect_containers(&mut self) -> Result<(), Verdict> {
        let reaper = self.world.nodes[0].settings.replica.reaper;
        if reaper.interval_ms > PATIENCE_MS {
            return Ok(());
        }
        let is_over = |node: &oracle::Node| {
            node.end == End::Childless && node.child_count == 0 && node.stat.cversion > 0
        };
        // Others may follow, when sessions of silent clients expire.
        let containers = self.world.commits.states().all();
        let due: Vec<_> =
            containers.filter(|(_, node)| is_over(node)).map(|(p, n)| (p.clone(), n.stat.czxid)).collect();
        let left = |world: &World| {
            let still = |(path, czxid): &(Text, Zxid)| {
                let node = world.commits.states().node(path).filter(|node| node.stat.czxid == *czxid);
                node.is_some_and(|node| is_over(node))
            };
            due.iter().filter(|due| still(due)).count()
        };
        let containers = self.world.commits.states().all().filter(|(_, node)| node.end != End::Never);
        let all_ms = containers.count() as u64 * 60_000 / u64::from(reaper.per_minute);
        let bound_ms = 4 * u64::from(reaper.interval_ms) + 2 * all_ms + 2_000;
        if self.go(self.world.now.plus(bound_ms * 1_000_000), |world| left(world) == 0)? {
            return Ok(());
        }
        let left = left(&self.world);
        Err(Verdict::NotLive(format!(
            "{left} containers that were used no more are still there {bound_ms} ms later"
        )))
    }

    fn serves_or_rules(&self, id: u32) -> bool {
        serves_or_rules(&self.world.nodes[id as usize - 1])
    }

    /// The core comes to one state, as far as it serves.
    fn check_alike(&mut self, core: &[u32]) -> Result<(), Verdict> {
        let state = |world: &World, id: &u32| {
            let server = world.nodes[*id as usize - 1].server.as_ref();
            server.map(|server| (server.tree.last_zxid(), server.tree.digest()))
        };
        // Who leaves a leader outside of the core meanwhile has what it had.
        let serving = |world: &World| -> Vec<u32> {
            core.iter().copied().filter(|id| serves_or_rules(&world.nodes[*id as usize - 1])).collect()
        };
        let alike = |world: &World| {
            let serving = serving(world);
            let first = serving.first().map(|id| state(world, id));
            first.is_some_and(|first| serving.iter().all(|id| state(world, id) == first))
        };
        if self.go(self.world.now.plus(self.heal_within.0), alike)? {
            return Ok(());
        }
        let states: Vec<_> = core.iter().map(|id| (id, state(&self.world, id))).collect();
        Err(Verdict::NotLive(format!("nodes, with their last zxids and digests, differ: {states:x?}")))
    }

    fn not_well(&self, core: &[u32], commits: usize) -> Verdict {
        let world = &self.world;
        let of_core = || core.iter().map(|id| &world.nodes[*id as usize - 1]);
        if let Some((node, fault)) = of_core().find_map(|node| Some((node, node.refused.as_ref()?))) {
            if node.disk.is_destroyed() {
                return Verdict::Refused(format!("node {}: {fault}", node.id));
            }
            return Verdict::NotLive(format!(
                "node {} refuses to start though nothing was destroyed: {fault}",
                node.id
            ));
        }
        if let Some(ensemble) = world.ensemble.as_ref().filter(|ensemble| ensemble.is_in_doubt()) {
            return Verdict::Refused(format!(
                "too little is left of what was committed through {}",
                ensemble.committed()
            ));
        }
        let up = of_core().filter(|node| node.is_up()).count();
        let serving = of_core().filter(|node| node.serves()).count();
        let connected = world.seats.iter().filter(|seat| seat.client.is_connected()).count();
        Verdict::NotLive(format!(
            "{} after the last fault {up} of {} nodes are up, {serving} serve, {connected} of {} clients are connected, {} \
             commits made; healed are {core:?}",
            self.heal_within,
            core.len(),
            world.seats.len(),
            world.commits.len() - commits
        ))
    }

    /// I42: where nothing is injected nothing breaks.
    fn check_quiet(&self) -> Result<(), Verdict> {
        if self.injected || !self.faults.is_empty() {
            return Ok(());
        }
        // An observer that comes when the leader brings up as many as may be asks again.
        let patient = self.world.trace.marks().contains_key("observer-turned-away");
        let votes = |id: u32| self.world.quorums().is_none_or(|quorums| quorums.is_voter(Sid(i64::from(id))));
        let asks_again = |node: &&Node| node.elections > 1 && (votes(node.id) || !patient);
        if let Some(node) = self.world.nodes.iter().find(asks_again) {
            let what = format!("without faults node {} asked for votes {} times", node.id, node.elections);
            return Err(Verdict::Violated(Violation { invariant: Invariant::I42, what }));
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
        all_have_heard(&self.world)?;
        for node in &self.world.nodes {
            let Some(server) = &node.server else { continue };
            self.world.commits.compare_committed(&server.tree)?;
            let leaked: Vec<_> =
                server.watches.holders().into_iter().filter(|c| !server.conns.contains(*c)).collect();
            if !leaked.is_empty() {
                let what = format!("node {}: watches of {leaked:?}, which are gone", node.id);
                return Err(Violation { invariant: Invariant::I37, what });
            }
        }
        Ok(())
    }
}

/// Every client that listens, and whose server speaks, has heard all that it is owed.
fn all_have_heard(world: &World) -> Result<(), Violation> {
    let listens = |client: ClientId| {
        let seat = &world.seats[client.0 as usize];
        !seat.client.is_silent(world.now) && !world.is_held_up(seat.conn)
    };
    world.histories.settled(listens)
}

fn held_by_silent(world: &World, session: zk_core::ids::SessionId) -> bool {
    world.seats.iter().any(|seat| seat.client.is_silent(world.now) && seat.client.session() == Some(session))
}
