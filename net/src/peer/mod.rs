//! The ports between servers: sockets and bytes. Who dials whom, which link is kept and what is said on it is decided by
//! [`zk_core::replica`]; what bytes mean by [`zk_core::peer`].

mod agreement;
mod complaints;
mod dial;
mod election_link;
pub mod metrics;
pub mod outgoing;
mod ports;
pub(crate) mod quorum_link;
pub(crate) mod reactor;
mod regroup;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::{debug, warn};
use zk_core::action::HangReason;
use zk_core::address::HostPort;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::election::links;
use zk_core::ids::{LinkId, Sid};
use zk_core::input::{Input, LinkEvent};
use zk_core::peer::quorum_link::QuorumReader;
use zk_core::quorum::Membership;
use zk_core::tree::{TreeConfig, TreeView};
use zk_core::wire::quorum::{QuorumPacket, Sender};

use crate::client::socket::{self, PeerSocket};
use crate::pace::Complaints;
use crate::shared::Shared;
use complaints::{About, Port};
use outgoing::Waits;
use quorum_link::{QuorumLink, Receiving};
use reactor::Reactor;
pub use regroup::Record;

/// What the shim needs to know of the ensemble.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// This server.
    pub me: Sid,
    /// Where everybody is, to begin with.
    pub membership: Arc<Membership>,
    /// Where changes of it are written down.
    pub record: Record,
    /// `quorumListenOnAllIPs`.
    pub listen_on: ListenOn,
    /// `electionPortBindRetry`.
    pub bind_retry: BindRetry,
    /// `cnxTimeout`: how long a dial may take.
    pub dial_timeout: Duration,
    /// `tcpKeepAlive`, on the election port.
    pub keep_alive: KeepAlive,
    /// The longest payload of a packet and the longest field of a snapshot, bytes.
    pub data_max: usize,
}

/// Where the ports between servers are listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenOn {
    /// The hosts of the own server line.
    OwnAddresses,
    /// All addresses of the machine.
    AllAddresses,
}

/// How patiently the election port is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindRetry {
    /// A port in use is tried three times, as Java does; a name that does not resolve yet, or that is no address of this
    /// machine yet, again and again.
    UnlessInUse,
    /// So many times.
    Tries(u32),
    /// Again and again.
    Forever,
}

impl BindRetry {
    const JAVA: u32 = 3;
}

/// Whether the system probes silent connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// Connections to the quorum port that have not said anything; the one that has waited longest makes room for another.
const UNNAMED_MAX: usize = 64;

/// The other servers, as this one reaches them.
#[derive(Debug)]
pub(crate) struct Peers {
    config: PeerConfig,
    /// Who belongs to the ensemble by now.
    membership: Mutex<Arc<Membership>>,
    runtime: Handle,
    tree: TreeConfig,
    election: Mutex<HashMap<links::LinkId, election_link::Commands>>,
    quorum: Mutex<BTreeMap<LinkId, Arc<QuorumLink>>>,
    /// Dials of the quorum port that are under way.
    dials: Mutex<HashMap<LinkId, AbortHandle>>,
    /// Why the last of them that failed did, and whose port it was.
    refused: Mutex<Option<(Sid, io::Error)>>,
    accepted: AtomicU64,
    leading: Mutex<Option<AbortHandle>>,
    voting: Mutex<Option<AbortHandle>>,
    /// What waits for the sockets of the quorum port.
    pub(crate) reactor: Arc<Reactor>,
    /// Links that are not read until there is room for what they say, and whether there are any.
    held_back: Mutex<Vec<Arc<QuorumLink>>>,
    holds_back: AtomicBool,
    complaints: Complaints<(About, Option<Sid>)>,
    /// Who could not be reached when it was tried last.
    missing: Mutex<BTreeSet<Sid>>,
}

/// The election port, taken before the server is there to listen.
#[derive(Debug)]
pub(crate) struct ElectionPort(Vec<socket::Bound>);

impl PeerConfig {
    /// Takes the election port. The error comes with the place.
    pub(crate) fn take_election_port(&self) -> Result<ElectionPort, (String, io::Error)> {
        let own = self.membership.in_force().member(self.me);
        let own = own.into_iter().flat_map(|member| member.election_addresses());
        let places = ports::places(own, self.listen_on);
        ports::take("election", &places, self.bind_retry).map(ElectionPort)
    }
}

impl Peers {
    pub(crate) fn new(config: PeerConfig, runtime: Handle, tree: TreeConfig) -> io::Result<Self> {
        Ok(Self {
            membership: Mutex::new(Arc::clone(&config.membership)),
            config,
            runtime,
            tree,
            election: Mutex::default(),
            quorum: Mutex::default(),
            dials: Mutex::default(),
            refused: Mutex::default(),
            accepted: AtomicU64::new(0),
            leading: Mutex::default(),
            voting: Mutex::default(),
            reactor: Arc::new(Reactor::new()?),
            held_back: Mutex::default(),
            holds_back: AtomicBool::new(false),
            complaints: Complaints::default(),
            missing: Mutex::default(),
        })
    }

    /// The config in force.
    pub(crate) fn members(&self) -> Arc<QuorumConfig> {
        Arc::clone(self.membership.lock().in_force())
    }

    /// Where a server leads: as the config in force has it, then as the one has it that was seen last.
    fn quorum_addresses(&self, sid: Sid) -> Vec<HostPort> {
        let membership = self.membership.lock();
        let mut places = Vec::new();
        for config in [membership.in_force(), membership.last_seen()] {
            let new = config.member(sid).into_iter().flat_map(|member| member.quorum_addresses());
            let new: Vec<_> = new.filter(|place| !places.contains(place)).collect();
            places.extend(new);
        }
        places
    }

    fn next_number(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A link of the quorum port.
    pub(crate) fn quorum_link(&self, link: LinkId) -> Option<Arc<QuorumLink>> {
        self.quorum.lock().get(&link).cloned()
    }

    /// How packets to those who dialled us waited, by who they are.
    pub(crate) fn waits(&self) -> BTreeMap<Sid, Waits> {
        let quorum = self.quorum.lock();
        let learners = quorum.iter().filter(|(id, _)| matches!(id, LinkId::Accepted(_)));
        // Of two links the newer counts: numbers grow.
        learners.filter_map(|(_, link)| Some((link.sid()?, link.waits()))).collect()
    }

    fn forget_quorum(&self, link: LinkId) {
        self.quorum.lock().remove(&link);
    }

    /// True if all that was said to others is with the system.
    pub(crate) fn has_said_all(&self) -> bool {
        self.quorum.lock().values().all(|link| link.is_empty())
    }

    /// True if some links are not read for the moment.
    pub(crate) fn holds_back(&self) -> bool {
        self.holds_back.load(Ordering::SeqCst)
    }

    /// Lets them be read again.
    pub(crate) fn relieve(&self) {
        let links = {
            let mut held_back = self.held_back.lock();
            self.holds_back.store(false, Ordering::SeqCst);
            std::mem::take(&mut *held_back)
        };
        for link in links {
            link.held_back.store(false, Ordering::Release);
            link.ring();
        }
    }
}

/// What the replica wants done with the ports.
impl Shared {
    /// Only a server of an ensemble is asked for its peers.
    pub(crate) fn peers(&self) -> &Peers {
        self.peers.as_ref().expect("invariant: a server alone is in no ensemble")
    }

    /// Listens on the election port, until it moves.
    pub(crate) fn listen_for_votes(self: &Arc<Self>, port: ElectionPort) {
        let accepting = ports::accept_all(Arc::clone(self), port.0, "election", Self::accept_election);
        let peers = self.peers();
        peers.vote_with(peers.runtime.spawn(accepting).abort_handle());
    }

    /// Accepts connections on the quorum port from now on.
    pub(crate) fn listen_for_learners(self: &Arc<Self>) {
        let peers = self.peers();
        let members = peers.members();
        let own = members.member(peers.config.me).into_iter().flat_map(|member| member.quorum_addresses());
        let places = ports::places(own, peers.config.listen_on);
        let task = peers.runtime.spawn(ports::open(Arc::clone(self), places, "quorum", Self::accept_quorum));
        if let Some(before) = peers.leading.lock().replace(task.abort_handle()) {
            before.abort();
        }
    }

    /// Accepts none any more.
    pub(crate) fn ignore_learners(&self) {
        if let Some(task) = self.peers().leading.lock().take() {
            task.abort();
        }
    }

    fn accept_quorum(self: &Arc<Self>, stream: TcpStream) {
        let peers = self.peers();
        peers.make_room();
        let id = LinkId::Accepted(peers.next_number());
        if let Err(error) = self.serve_quorum(id, stream, None) {
            debug!(%error, "a connection broke at once");
        }
    }

    /// Opens a connection to a server's quorum port.
    pub(crate) fn dial_quorum(self: &Arc<Self>, sid: Sid, id: LinkId) {
        let peers = self.peers();
        let hosts = peers.quorum_addresses(sid);
        let shared = Arc::clone(self);
        // Held until the dial is noted: it may fail before that.
        let mut dials = peers.dials.lock();
        let task = peers.runtime.spawn(async move {
            let connected = dial::connect(&hosts, shared.peers().config.dial_timeout).await;
            if let Err(error) = shared.dialled(sid, id, connected) {
                debug!(%sid, %error, "the leader cannot be reached");
                *shared.peers().refused.lock() = Some((sid, error));
                shared.hear(&mut vec![Input::Link { link: id, event: LinkEvent::DialFailed }]);
            }
        });
        dials.insert(id, task.abort_handle());
    }

    /// A dial has ended; an error is to be told.
    fn dialled(self: &Arc<Self>, sid: Sid, id: LinkId, connected: io::Result<TcpStream>) -> io::Result<()> {
        // Held until the link is there, so that whoever hangs up finds the one or the other.
        let mut dials = self.peers().dials.lock();
        match dials.remove(&id) {
            // Hung up on meanwhile.
            None => Ok(()),
            Some(_) => self.serve_quorum(id, connected?, Some(sid)),
        }
    }

    /// `leader`: whom we dialled; `None` for whoever dialled us.
    fn serve_quorum(self: &Arc<Self>, id: LinkId, stream: TcpStream, leader: Option<Sid>) -> io::Result<()> {
        let peers = self.peers();
        let peer = stream.peer_addr()?.to_string();
        let sender = if leader.is_some() { Sender::Leader } else { Sender::Learner };
        let reader = QuorumReader::new(sender, peers.config.data_max, peers.tree);
        let receiving = Receiving::new(reader, self.facts.tick_ms);
        let (socket, reactor) = (PeerSocket::new(stream)?, Arc::clone(&peers.reactor));
        let link = Arc::new(QuorumLink::new(id, peer, leader, socket, reactor, receiving));
        peers.quorum.lock().insert(id, Arc::clone(&link));
        peers.reactor.add(&link).inspect_err(|_| peers.forget_quorum(id))?;
        Ok(())
    }

    /// Does not read a link before there is room for what it says.
    pub(crate) fn hold_back(&self, link: &Arc<QuorumLink>) {
        let peers = self.peers();
        if !link.held_back.swap(true, Ordering::AcqRel) {
            let mut held_back = peers.held_back.lock();
            held_back.push(Arc::clone(link));
            peers.holds_back.store(true, Ordering::SeqCst);
        }
        // Room that there was before that has relieved nobody.
        self.relieve();
    }

    /// Waits until all that was said to others is with the system, at most so long.
    pub(crate) fn say_all(&self, patience: Duration) {
        let until = Instant::now() + patience;
        while self.peers.as_ref().is_some_and(|peers| !peers.has_said_all()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Queues a packet; the link, which is to be flushed.
    pub(crate) fn send(&self, link: LinkId, packet: &QuorumPacket) -> Option<Arc<QuorumLink>> {
        // One that has broken is still to say so.
        let link = self.peers().quorum_link(link)?;
        link.put(packet);
        Some(link)
    }

    /// Queues a snapshot.
    pub(crate) fn send_view(&self, link: LinkId, view: &TreeView) -> Option<Arc<QuorumLink>> {
        let link = self.peers().quorum_link(link)?;
        link.put_view(view);
        Some(link)
    }

    /// Ends a link, or a dial.
    pub(crate) fn hang_up(&self, id: LinkId, why: &HangReason) {
        let peers = self.peers();
        let dial = peers.dials.lock().remove(&id);
        dial.iter().for_each(AbortHandle::abort);
        let Some(link) = peers.quorum.lock().remove(&id) else { return };
        peers.tell_hung_up(&link, why);
        link.hang_up();
    }
}

impl Peers {
    /// Somebody connects to the quorum port: of too many that have said nothing the oldest goes.
    fn make_room(&self) {
        let quorum = self.quorum.lock();
        let silent = |(id, link): &(&LinkId, &Arc<QuorumLink>)| {
            matches!(id, LinkId::Accepted(_)) && !link.greeted.load(Ordering::Acquire)
        };
        // Numbers grow.
        let mut silent = quorum.iter().filter(silent);
        if silent.clone().count() >= UNNAMED_MAX
            && let Some((_, oldest)) = silent.next()
        {
            oldest.cut();
            drop(quorum);
            self.complain(About::Silent(Port::Quorum), None, |more| {
                warn!(
                    since_last_time = more,
                    "too many connections to the quorum port say nothing: the oldest goes"
                );
            });
        }
    }
}
