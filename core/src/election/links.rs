//! The connections of the election port: who dials whom, which link is kept, what is sent again (quorum protocol A1, A3;
//! Java: `QuorumCnxManager`).
//!
//! Decided here and not by the drivers, so that it is simulated: a driver opens, closes, copies and keeps no timer. Its part:
//!
//! - it numbers the connections that it accepts, and never uses a number twice;
//! - it tells [`LinkEvent`]s in the order in which they happened on each link, a handshake that came before a close first;
//! - it carries [`LinkCommand`]s out in order; commands for links that are gone do nothing, and events of links that
//!   were hung up may still come: they are ignored;
//! - SASL, if there is any, runs between a handshake and what follows it: its success is part of `Heard` on the one side and
//!   precedes what is sent, and the hang-up, on the other.
//!
//! Between two servers there is one link, dialled by the one with the larger sid. The smaller one only rings: it says who it is
//! and hangs up, and the larger one dials back. Nothing is acknowledged. A peer has room for one unsent message, which a newer
//! one replaces; the last message that left is sent again on the next link, because it may have died with the old one.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::vote::Notification;
use super::{Delivery, Unhashed, after};
use crate::address::HostPort;
use crate::ids::Sid;
use crate::time::Mono;

/// One connection of the election port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkId {
    /// Numbered by the driver.
    Accepted(u64),
    /// Numbered here.
    Dialled(u64),
}

/// What a handshake says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hello {
    /// Who dials.
    pub sid: Sid,
    /// Where to dial back; none from servers of 3.4.
    pub addresses: Vec<HostPort>,
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// Somebody dialled us, and has yet to say who it is.
    Accepted,
    /// It said who it is.
    Heard(Hello),
    /// Our dial got through.
    Connected,
    /// Our dial failed: refused, unreachable, no such name.
    Failed,
    /// All that was to be sent on the link has left this process.
    Sent,
    /// The link is gone: closed by the other side, reset, or unreadable (a frame that is none, a failed SASL). Only this
    /// link: whatever bytes one peer sends, the others are heard.
    Closed,
}

/// What is to be done with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkCommand {
    /// Connect there; answered by `Connected` or `Failed`.
    Dial {
        /// Whom we mean to reach.
        sid: Sid,
        /// Where. A name is looked up at every dial.
        address: HostPort,
    },
    /// Say who we are, in one write.
    Greet {
        /// With what.
        hello: Hello,
        /// What comes after it.
        then: AfterGreeting,
    },
    /// Send one message. The next one comes after `Sent`.
    Send(Notification),
    /// Close at once, whatever is still to be sent.
    HangUp,
}

/// What comes after a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AfterGreeting {
    /// Messages, both ways.
    Keep,
    /// The end, once the greeting has left: the other side, being larger, dials back.
    HangUp,
}

/// Settings of the connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkSettings {
    /// Own election addresses, as configured: they go into every greeting.
    pub addresses: Vec<HostPort>,
    /// `zookeeper.cnxTimeout`, ms: a dial that takes longer has failed.
    pub dial_timeout_ms: u64,
    /// tickTime × syncLimit (or `zookeeper.quorumCnxnTimeoutMs`), ms: who has not said by then who it is is hung up on.
    pub hello_timeout_ms: u64,
}

/// Connections that have not said yet who they are; the one that has waited longest makes room for another.
pub const UNNAMED_MAX: usize = 64;

/// Servers that no config names and that are connected nevertheless.
pub const STRANGERS_MAX: usize = 64;

/// All connections of one server's election port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Links {
    me: Sid,
    settings: Unhashed<Arc<LinkSettings>>,
    /// Where to reach the members of the configs in force and last seen.
    directory: Unhashed<Arc<Directory>>,
    peers: BTreeMap<Sid, Peer>,
    /// With whom each link is that is kept, so that an ensemble of hundreds is not searched through for every message.
    kept: Unhashed<BTreeMap<LinkId, Sid>>,
    /// Whom each dial is to reach. Numbers and deadlines grow together: the first is due first.
    dials: Unhashed<BTreeMap<LinkId, Sid>>,
    /// Accepted, and when they must have said who they are; as long as they should.
    unnamed: Vec<Unhashed<(LinkId, Mono)>>,
    next_dial: Unhashed<u64>,
    /// A bug to plant.
    #[cfg(feature = "museum")]
    pub(super) museum: Option<crate::museum::Exhibit>,
}

/// What is known of another server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Peer {
    link: Option<Link>,
    dial: Option<Dial>,
    unsent: Option<Notification>,
    last_sent: Option<Notification>,
    /// True from ringing at a larger server until it dials back, or until we have waited long enough: ringing again
    /// would make it hang up the link that it has just dialled.
    rung: bool,
}

/// The link that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Link {
    id: Unhashed<LinkId>,
    /// True from `Send` to `Sent`.
    busy: bool,
}

/// A dial in progress; there is one for a peer at most.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Dial {
    id: Unhashed<LinkId>,
    deadline: Unhashed<Mono>,
    /// Where to try next.
    next: Vec<HostPort>,
}

type Commands = Vec<(LinkId, LinkCommand)>;

/// The election ports of other servers.
pub type Directory = BTreeMap<Sid, Vec<HostPort>>;

impl Links {
    /// Without connections.
    pub fn new(me: Sid, settings: LinkSettings, directory: Directory) -> Self {
        let (settings, directory) = (Unhashed(Arc::new(settings)), Unhashed(Arc::new(directory)));
        Self {
            me,
            settings,
            directory,
            peers: BTreeMap::new(),
            kept: Unhashed(BTreeMap::new()),
            dials: Unhashed(BTreeMap::new()),
            unnamed: Vec::new(),
            next_dial: Unhashed(0),
            #[cfg(feature = "museum")]
            museum: None,
        }
    }

    /// Queues a message, in the place of one that has not left yet, and asks for a connection.
    pub fn send(&mut self, now: Mono, to: Sid, notification: Notification, out: &mut Commands) {
        assert!(to != self.me, "invariant: the own vote is counted, not sent");
        let waits = planted!(self.museum, P03) && !self.dials.0.is_empty();
        let peer = self.peers.entry(to).or_default();
        peer.unsent = Some(notification);
        if !waits {
            peer.pump(out);
        }
        self.connect(now, to, out);
        self.forget_if_idle(to);
    }

    /// Asks for a connection to everybody for whom there ever was a message.
    pub fn connect_all(&mut self, now: Mono, out: &mut Commands) {
        let sids: Vec<_> = self.peers.keys().copied().collect();
        sids.into_iter().for_each(|sid| self.connect(now, sid, out));
    }

    /// Whoever was rung up and has not dialled back may be rung up again.
    pub fn ring_again(&mut self) {
        self.peers.values_mut().for_each(|peer| peer.rung = false);
    }

    /// Takes what happened on a link.
    pub fn on_event(&mut self, now: Mono, link: LinkId, event: LinkEvent, out: &mut Commands) {
        match event {
            LinkEvent::Accepted => self.on_accepted(now, link, out),
            LinkEvent::Heard(hello) => self.on_hello(now, link, hello, out),
            LinkEvent::Connected => self.on_connected(link, out),
            LinkEvent::Failed => self.on_failed(now, link, out),
            LinkEvent::Sent => {
                if let Some(peer) = self.sid_of(link).and_then(|sid| self.peers.get_mut(&sid)) {
                    peer.link.iter_mut().for_each(|link| link.busy = false);
                    peer.pump(out);
                }
            }
            LinkEvent::Closed => self.on_closed(now, link, out),
        }
    }

    /// `now` has reached [`Self::deadline`]: hangs up on who does not say who it is, and on dials that take too long.
    pub fn on_timer(&mut self, now: Mono, out: &mut Commands) {
        let late =
            |(link, deadline): (LinkId, Mono)| (deadline <= now).then_some((link, LinkCommand::HangUp));
        out.extend(self.unnamed.iter().filter_map(|unnamed| late(unnamed.0)));
        self.unnamed.retain(|unnamed| unnamed.0.1 > now);
        let is_late = |sid: &Sid| self.peers.get(sid).and_then(Peer::deadline).is_some_and(|at| at <= now);
        let slow: Vec<_> =
            self.dials.0.iter().take_while(|(_, sid)| is_late(sid)).map(|(link, _)| *link).collect();
        for link in slow {
            out.push((link, LinkCommand::HangUp));
            self.on_failed(now, link, out);
        }
    }

    /// Hangs up on everybody and forgets what was to be sent.
    pub fn restart(&mut self, out: &mut Commands) {
        let peers = core::mem::take(&mut self.peers).into_values();
        (self.kept.0, self.dials.0) = (BTreeMap::new(), BTreeMap::new());
        let links = peers.flat_map(|peer| {
            let dialled = peer.dial.map(|dial| dial.id.0);
            peer.link.map(|link| link.id.0).into_iter().chain(dialled)
        });
        out.extend(links.map(|link| (link, LinkCommand::HangUp)));
    }

    /// The members' addresses from now on. Links that stand are kept.
    pub fn set_directory(&mut self, directory: Directory) {
        self.peers.retain(|sid, peer| !peer.is_idle() || directory.contains_key(sid));
        self.directory.0 = Arc::new(directory);
    }

    /// The own addresses from now on, for greetings to come.
    pub fn set_addresses(&mut self, addresses: Vec<HostPort>) {
        if self.settings.0.addresses != addresses {
            Arc::make_mut(&mut self.settings.0).addresses = addresses;
        }
    }

    /// When [`Self::on_timer`] wants to be called.
    pub fn deadline(&self) -> Option<Mono> {
        let unnamed = self.unnamed.first().map(|unnamed| unnamed.0.1);
        let dial = self.dials.0.values().next().and_then(|sid| self.peers.get(sid)?.deadline());
        unnamed.into_iter().chain(dial).min()
    }

    /// Who is at the other end of a link, if it is the one that is kept with it. What comes on other links is not heard.
    pub fn sid_of(&self, link: LinkId) -> Option<Sid> {
        self.kept.0.get(&link).copied()
    }

    /// What a link is to this server.
    pub fn part_of(&self, link: LinkId) -> Part {
        if let Some(sid) = self.sid_of(link) {
            Part::Kept(sid)
        } else if let Some(sid) = self.dials.0.get(&link) {
            Part::Dialling(*sid)
        } else if self.unnamed.iter().any(|unnamed| unnamed.0.0 == link) {
            Part::Unnamed
        } else {
            Part::None
        }
    }

    /// Whether messages leave at all (Java: `haveDelivered`).
    pub fn delivery(&self) -> Delivery {
        let delivered = self.peers.values().any(|peer| peer.unsent.is_none());
        if delivered { Delivery::Some } else { Delivery::None }
    }

    /// Dials, unless there is a link, a dial on its way, a dial-back to be waited for, or no address.
    fn connect(&mut self, now: Mono, sid: Sid, out: &mut Commands) {
        let idle =
            self.peers.get(&sid).is_none_or(|peer| peer.link.is_none() && peer.dial.is_none() && !peer.rung);
        let waits = planted!(self.museum, P03) && !self.dials.0.is_empty();
        if let (true, Some(addresses)) = (idle && !waits, self.directory.0.get(&sid).cloned()) {
            self.dial(now, sid, addresses, out);
        }
    }

    /// Tries the first of these addresses, and keeps the others for when it fails.
    fn dial(&mut self, now: Mono, sid: Sid, mut addresses: Vec<HostPort>, out: &mut Commands) {
        self.take_dial(sid);
        if addresses.is_empty() {
            return self.forget_if_idle(sid);
        }
        let address = addresses.remove(0);
        let link = LinkId::Dialled(self.next_dial.0);
        self.next_dial.0 += 1;
        let deadline = after(now, self.settings.0.dial_timeout_ms);
        self.dials.0.insert(link, sid);
        self.peers.entry(sid).or_default().dial =
            Some(Dial { id: Unhashed(link), deadline, next: addresses });
        out.push((link, LinkCommand::Dial { sid, address }));
    }

    fn on_accepted(&mut self, now: Mono, link: LinkId, out: &mut Commands) {
        if self.unnamed.len() >= UNNAMED_MAX {
            out.push((self.unnamed.remove(0).0.0, LinkCommand::HangUp));
        }
        self.unnamed.push(Unhashed((link, after(now, self.settings.0.hello_timeout_ms).0)));
    }

    fn on_hello(&mut self, now: Mono, link: LinkId, hello: Hello, out: &mut Commands) {
        let Some(at) = self.unnamed.iter().position(|unnamed| unnamed.0.0 == link) else { return };
        self.unnamed.remove(at);
        let Hello { sid, addresses } = hello;
        let connected = self.peers.get(&sid).is_some_and(|peer| peer.link.is_some());
        if self.turns_away(sid) || planted!(self.museum, P05) && connected {
            out.push((link, LinkCommand::HangUp));
        } else if sid > self.me {
            self.keep(sid, link, out);
        } else {
            out.push((link, LinkCommand::HangUp));
            self.dial_back(now, sid, addresses, out);
        }
    }

    /// Whom nobody talks to: ourselves, or a twin with our sid; sids that are none; strangers beyond the number that is
    /// taken. (Java gives anonymous observers negative sids and then hangs up on them for being smaller.)
    fn turns_away(&self, sid: Sid) -> bool {
        let unknown = |sid: &Sid| !self.directory.0.contains_key(sid);
        let strangers = || self.peers.keys().filter(|sid| unknown(sid)).count();
        sid == self.me
            || sid.0 < 0
            || sid == Sid::ANONYMOUS
            || (unknown(&sid) && !self.peers.contains_key(&sid) && strangers() >= STRANGERS_MAX)
    }

    /// A smaller server rang: whatever link there was to it, it knows of none.
    fn dial_back(&mut self, now: Mono, sid: Sid, told: Vec<HostPort>, out: &mut Commands) {
        let mut addresses: Vec<_> = told.into_iter().filter(|address| !address.is_wildcard()).collect();
        let configured = self.directory.0.get(&sid).into_iter().flatten();
        let others: Vec<_> = configured.filter(|address| !addresses.contains(address)).cloned().collect();
        addresses.extend(others);
        self.hang_up(sid, out);
        match &mut self.peers.entry(sid).or_default().dial {
            // It may be in vain: an address that the server has left. Then it is tried at the one that it told.
            Some(dial) => dial.next = addresses,
            None => self.dial(now, sid, addresses, out),
        }
    }

    fn on_connected(&mut self, link: LinkId, out: &mut Commands) {
        let Part::Dialling(sid) = self.part_of(link) else { return };
        let hello = Hello { sid: self.me, addresses: self.settings.0.addresses.clone() };
        self.take_dial(sid);
        if sid > self.me {
            out.push((link, LinkCommand::Greet { hello, then: AfterGreeting::HangUp }));
            self.peers.entry(sid).or_default().rung = true;
        } else {
            out.push((link, LinkCommand::Greet { hello, then: AfterGreeting::Keep }));
            self.keep(sid, link, out);
        }
    }

    fn on_failed(&mut self, now: Mono, link: LinkId, out: &mut Commands) {
        let Part::Dialling(sid) = self.part_of(link) else { return };
        let dial = self.take_dial(sid);
        self.dial(now, sid, dial.map(|dial| dial.next).unwrap_or_default(), out);
    }

    fn on_closed(&mut self, now: Mono, link: LinkId, out: &mut Commands) {
        match self.part_of(link) {
            Part::Unnamed => self.unnamed.retain(|unnamed| unnamed.0.0 != link),
            Part::Dialling(_) => self.on_failed(now, link, out),
            Part::Kept(sid) => {
                self.take_link(sid);
                self.forget_if_idle(sid);
            }
            Part::None => {}
        }
    }

    /// Keeps this link instead of any other. The old one may be half open, and a server that comes back must get through
    /// (ZOOKEEPER-2164).
    fn keep(&mut self, sid: Sid, link: LinkId, out: &mut Commands) {
        self.hang_up(sid, out);
        if let Some(dial) = self.take_dial(sid) {
            out.push((dial.id.0, LinkCommand::HangUp));
        }
        self.kept.0.insert(link, sid);
        let peer = self.peers.entry(sid).or_default();
        peer.rung = false;
        peer.link = Some(Link { id: Unhashed(link), busy: false });
        if peer.unsent.is_none() {
            peer.unsent = peer.last_sent.clone();
        }
        peer.pump(out);
    }

    fn hang_up(&mut self, sid: Sid, out: &mut Commands) {
        out.extend(self.take_link(sid).map(|link| (link.id.0, LinkCommand::HangUp)));
    }

    fn take_link(&mut self, sid: Sid) -> Option<Link> {
        let link = self.peers.get_mut(&sid)?.link.take()?;
        self.kept.0.remove(&link.id.0);
        Some(link)
    }

    fn take_dial(&mut self, sid: Sid) -> Option<Dial> {
        let dial = self.peers.get_mut(&sid)?.dial.take()?;
        self.dials.0.remove(&dial.id.0);
        Some(dial)
    }

    /// A stranger without a connection leaves nothing behind.
    fn forget_if_idle(&mut self, sid: Sid) {
        if !self.directory.0.contains_key(&sid) && self.peers.get(&sid).is_some_and(Peer::is_idle) {
            self.peers.remove(&sid);
        }
    }
}

/// What a link is to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The one link with this server.
    Kept(Sid),
    /// On its way to this server.
    Dialling(Sid),
    /// Accepted, from nobody knows whom.
    Unnamed,
    /// Nothing: it was hung up.
    None,
}

impl Peer {
    fn deadline(&self) -> Option<Mono> {
        self.dial.as_ref().map(|dial| dial.deadline.0)
    }

    fn is_idle(&self) -> bool {
        self.link.is_none() && self.dial.is_none()
    }

    /// Sends what waits, if the link is free.
    fn pump(&mut self, out: &mut Commands) {
        let Some(link) = self.link.as_mut().filter(|link| !link.busy) else { return };
        if let Some(notification) = self.unsent.take() {
            link.busy = true;
            self.last_sent = Some(notification.clone());
            out.push((link.id.0, LinkCommand::Send(notification)));
        }
    }
}
