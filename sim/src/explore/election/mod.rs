//! Elections of a few servers, with the links between them: the real [`ElectionPort`]s over made-up wires.
//!
//! What comes after an election is coarse: a leader and the followers that it may take (a quorum with it, none of them ahead
//! of it) are synchronised in one move, which gives them a new epoch. A role is lost when there is nobody to share it with.
//! What a server sends has left at once; dials succeed or are refused, and none hangs.
//!
//! [`Planted`] bugs are put between the wires and the elections, which stay as they are.

mod drive;
mod roles;
mod rules;
mod show;
mod wires;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use foldhash::quality::FixedState;
use zk_core::config::member::Member;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::election::Election;
use zk_core::election::links::LinkId;
use zk_core::election::port::ElectionPort;
use zk_core::ids::{PeerState, Sid, Zxid};
use zk_core::quorum::Membership;
use zk_core::time::Mono;

use super::{Broken, World};
use rules::{Heard, Stand};
use wires::{NodeId, Wire};

/// What may happen, and how often, all servers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Bounds {
    /// Waits in silence after which a server repeats its vote.
    pub silences: u8,
    /// Links that are reset.
    pub breaks: u8,
    /// Processes that end, their links being closed by the system; each comes back.
    pub crashes: u8,
    /// The same with nobody to close the links.
    pub power_cuts: u8,
    /// Roles that are lost for want of a leader or a quorum.
    pub lost_roles: u8,
    /// Ensembles that are established.
    pub epochs: u8,
}

/// How connections come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wiring {
    /// Dial by dial and greeting by greeting, between all other moves.
    Fine,
    /// At once.
    Coarse,
}

/// Where the walk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Beginning {
    /// All servers are down; each starts at some time.
    Cold,
    /// All have just begun to elect.
    Together,
    /// The servers have elected and established an epoch, and nothing is on its way.
    Established,
}

/// A bug for the walk to find; see the museum of bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Planted {
    /// P01: the zxid goes before the epoch.
    ZxidBeforeEpoch,
    /// P02: words of FOLLOWING and LEADING servers count in whatever round.
    RoundsIgnored,
    /// P04: words of FOLLOWING and LEADING servers count in the own round only.
    RoundsMustAgree,
    /// P05: a server that is believed to be connected is not let in again.
    OldLinkKept,
    /// P06: a link that ends ends the hearing of all others for ever.
    OneEndEndsAll,
    /// I13: what non-voters say is taken for what a voter says.
    StrangersCount,
    /// One that is planted in the elections themselves.
    #[cfg(feature = "museum")]
    Exhibit(zk_core::museum::Exhibit),
}

/// A world to begin with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Current epoch and last zxid of servers 1, 2, …, which vote.
    pub voters: Vec<(u32, i64)>,
    /// The same of the servers with the next sids, which do not.
    pub observers: Vec<(u32, i64)>,
    /// How many voters of those, the last ones, never come up.
    pub absent: usize,
    /// Where to begin.
    pub beginning: Beginning,
    /// How connections come about.
    pub wiring: Wiring,
    /// What may happen.
    pub bounds: Bounds,
    /// A bug.
    pub planted: Option<Planted>,
}

/// The servers, and what is between them.
#[derive(Clone, Debug)]
pub struct Ensemble {
    shared: Arc<Shared>,
    nodes: Vec<Arc<Node>>,
    wires: Vec<Wire>,
    dials: Vec<Dial>,
    accepted: u64,
    /// No part of what the world is: it only goes on.
    clock: Mono,
    left: Bounds,
}

/// What does not change.
#[derive(Debug)]
struct Shared {
    membership: Arc<Membership>,
    voters: Vec<Sid>,
    /// Those that come up.
    present: Vec<NodeId>,
    wiring: Wiring,
    /// True if the walk begins with an ensemble.
    established: bool,
    planted: Option<Planted>,
}

/// A server, shared between worlds in which it is the same.
#[derive(Clone, Debug, Default)]
struct Node {
    server: Server,
    /// Its fingerprint, once somebody has asked for it.
    print: OnceLock<u64>,
}

#[derive(Clone, Debug, Default, Hash)]
struct Server {
    /// `None` while it is down.
    port: Option<ElectionPort>,
    /// Current epoch and last zxid, on its disk.
    data: (u32, i64),
    /// The epoch in which it is synchronised.
    synced: Option<u32>,
    /// Leaders that its process lost since it was synchronised last, and how often: for the rules.
    lost: BTreeMap<Sid, u32>,
    /// What was delivered in this election and may still count: for the rules.
    heard: BTreeSet<Heard>,
    /// P06.
    deaf: bool,
}

#[derive(Clone, Copy, Debug)]
struct Dial {
    from: NodeId,
    link: LinkId,
    to: NodeId,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    /// A server comes up and begins to elect.
    Start(NodeId),
    /// A dial gets through or is refused.
    Dial(usize),
    /// The first thing on its way to an end of a wire arrives.
    Deliver(usize, usize),
    /// The silence that ends an election.
    Finalize(NodeId),
    /// The silence after which a vote is repeated.
    Silence(NodeId),
    /// A wire is reset.
    Break(usize),
    /// A process ends.
    Crash(NodeId),
    /// A process ends, and its links stay half open.
    PowerCut(NodeId),
    /// A leader and its followers are synchronised.
    Establish(NodeId),
    /// A server leaves its role and elects.
    LoseRole(NodeId),
}

const fn sid(node: NodeId) -> Sid {
    Sid(node as i64 + 1)
}

/// `None` for sids that are nobody's.
fn node_of(sid: Sid) -> Option<NodeId> {
    usize::try_from(sid.0 - 1).ok()
}

impl Ensemble {
    /// The world at its beginning. Panics if the servers cannot even begin, which is a mistake in the setup.
    pub fn new(setup: &Setup) -> Self {
        let (voters, observers) = (setup.voters.iter(), setup.observers.iter());
        let roles = voters.map(|data| (data, "")).chain(observers.map(|data| (data, ":observer")));
        let (mut nodes, mut members) = (vec![], vec![]);
        for (node, (data, role)) in roles.enumerate() {
            let text = format!("h{}:1:2{role}", sid(node));
            members.push(Member::parse(sid(node), &text).expect("it is in the grammar"));
            let server = Server { data: *data, ..Server::default() };
            nodes.push(Arc::new(Node { server, print: OnceLock::new() }));
        }
        let config = QuorumConfig::new(Zxid::ZERO, members, None).expect("a setup has voters");
        let absent = setup.voters.len() - setup.absent..setup.voters.len();
        let shared = Shared {
            membership: Arc::new(Membership::settled(Arc::new(config))),
            voters: (0..setup.voters.len()).map(sid).collect(),
            present: (0..nodes.len()).filter(|node| !absent.contains(node)).collect(),
            wiring: setup.wiring,
            established: setup.beginning == Beginning::Established,
            planted: setup.planted,
        };
        let left = setup.bounds;
        let mut world = Self {
            shared: Arc::new(shared),
            nodes,
            wires: vec![],
            dials: vec![],
            accepted: 0,
            clock: Mono(0),
            left,
        };
        let begun = match setup.beginning {
            Beginning::Cold => Ok(()),
            Beginning::Together => world.present().into_iter().try_for_each(|node| world.start(node)),
            Beginning::Established => world.establish_all(),
        };
        begun.unwrap_or_else(|broken| panic!("the world breaks before the walk begins: {broken:?}"));
        world
    }

    fn present(&self) -> Vec<NodeId> {
        self.shared.present.clone()
    }

    fn server(&self, node: NodeId) -> &Server {
        &self.nodes[node].server
    }

    fn server_mut(&mut self, node: NodeId) -> &mut Server {
        let node = Arc::make_mut(&mut self.nodes[node]);
        node.print = OnceLock::new();
        &mut node.server
    }

    fn election(&self, node: NodeId) -> Option<&Election> {
        self.server(node).port.as_ref().map(ElectionPort::election)
    }

    fn state(&self, node: NodeId) -> Option<PeerState> {
        self.election(node).map(Election::state)
    }

    /// Whom a server follows (or, leading, itself).
    fn leader_of(&self, node: NodeId) -> Option<NodeId> {
        let election = self.election(node)?;
        let (vote, _) = election.current_vote().filter(|_| election.state() != PeerState::Looking)?;
        node_of(vote.leader)
    }

    fn stand(&self, node: NodeId) -> Stand {
        let election = self.election(node);
        Stand { round: election.map_or(0, Election::round), proposal: election.and_then(Election::proposal) }
    }
}

impl World for Ensemble {
    type Move = Move;

    fn moves(&self) -> Vec<Move> {
        let (left, nodes) = (&self.left, self.present());
        let down = nodes.iter().filter(|node| self.election(**node).is_none());
        let mut moves: Vec<_> = down.map(|node| Move::Start(*node)).collect();
        moves.extend((0..self.dials.len()).map(Move::Dial));
        for (i, wire) in self.wires.iter().enumerate() {
            moves.extend((0..2).filter(|at| !wire.queues[*at].is_empty()).map(|at| Move::Deliver(i, at)));
            let whole = wire.ends.iter().all(|end| end.open);
            moves.extend((left.breaks > 0 && whole).then_some(Move::Break(i)));
        }
        for node in nodes {
            let Some(election) = self.election(node) else { continue };
            moves.extend(election.finalises().then_some(Move::Finalize(node)));
            let waits = election.deadline().is_some() && !election.finalises();
            moves.extend((left.silences > 0 && waits).then_some(Move::Silence(node)));
            moves.extend((left.crashes > 0).then_some(Move::Crash(node)));
            moves.extend((left.power_cuts > 0).then_some(Move::PowerCut(node)));
            moves.extend((left.epochs > 0 && self.can_establish(node)).then_some(Move::Establish(node)));
            moves.extend((left.lost_roles > 0 && self.is_astray(node)).then_some(Move::LoseRole(node)));
        }
        moves
    }

    fn kind(step: &Move) -> &'static str {
        match step {
            Move::Start(_) => "start",
            Move::Dial(_) => "dial",
            Move::Deliver(..) => "deliver",
            Move::Finalize(_) => "finalize",
            Move::Silence(_) => "silence",
            Move::Break(_) => "break",
            Move::Crash(_) => "crash",
            Move::PowerCut(_) => "power cut",
            Move::Establish(_) => "establish",
            Move::LoseRole(_) => "lose role",
        }
    }

    fn expected(&self) -> Vec<&'static str> {
        let Bounds { silences, breaks, crashes, power_cuts, lost_roles, epochs } = self.left;
        let down = self.present().iter().any(|node| self.server(*node).port.is_none());
        let allowed = [
            ("start", down || crashes > 0 || power_cuts > 0),
            ("dial", self.shared.wiring == Wiring::Fine && down),
            ("deliver", true),
            // Whoever comes back to an ensemble joins by its word.
            ("finalize", !self.shared.established || lost_roles > 0),
            ("silence", silences > 0),
            ("break", breaks > 0),
            ("crash", crashes > 0),
            ("power cut", power_cuts > 0),
            ("establish", epochs > 0),
            ("lose role", lost_roles > 0),
        ];
        allowed.iter().filter(|(_, allowed)| *allowed).map(|(kind, _)| *kind).collect()
    }

    fn take(&mut self, step: &Move) -> Result<(), Broken> {
        match *step {
            Move::Start(node) => return self.start(node),
            Move::Dial(at) => self.dial(at)?,
            Move::Deliver(wire, at) => self.deliver(wire, at)?,
            Move::Finalize(node) => self.fire(node)?,
            Move::Silence(node) => {
                self.left.silences -= 1;
                self.fire(node)?;
            }
            Move::Break(wire) => {
                self.left.breaks -= 1;
                self.wires[wire].reset();
            }
            Move::Crash(node) => {
                self.left.crashes -= 1;
                self.end(node, false);
            }
            Move::PowerCut(node) => {
                self.left.power_cuts -= 1;
                self.end(node, true);
            }
            Move::Establish(node) => {
                self.left.epochs -= 1;
                self.establish(node)?;
            }
            Move::LoseRole(node) => {
                self.left.lost_roles -= 1;
                return self.start(node);
            }
        }
        self.hurry()
    }

    fn fingerprint(&self) -> u64 {
        let state = FixedState::with_seed(0);
        let wires = self.wires.iter().map(|wire| {
            let mut hasher = state.build_hasher();
            for (end, queue) in wire.ends.iter().zip(&wire.queues) {
                (end.node, end.open, end.open.then(|| self.part_of(end)), queue).hash(&mut hasher);
            }
            wire.hole.hash(&mut hasher);
            hasher.finish()
        });
        let mut wires: Vec<u64> = wires.collect();
        wires.sort_unstable();
        let mut dials: Vec<_> = self.dials.iter().map(|dial| (dial.from, dial.to)).collect();
        dials.sort_unstable();
        let nodes = self.nodes.iter().map(|node| *node.print.get_or_init(|| state.hash_one(&node.server)));
        state.hash_one((nodes.collect::<Vec<_>>(), wires, dials, self.left))
    }

    fn settle(&mut self) -> Result<(), Broken> {
        self.come_to_rest()
    }

    fn narrate(&self, step: &Move) -> String {
        self.show_move(step)
    }

    fn describe(&self) -> String {
        self.show_all()
    }
}
