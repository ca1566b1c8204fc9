//! The election port of one server: votes over links.
//!
//! What the votes want sent goes through the links, what comes on a link is a vote of the server at its other end, and
//! everything else is passed on to the replica or to the driver.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::links::{Directory, LinkCommand, LinkEvent, LinkId, LinkSettings, Links};
use super::vote::Notification;
use super::{Candidate, Decision, Effect, Election, ElectionSettings};
use crate::config::member::Member;
use crate::config::quorum_config::QuorumConfig;
use crate::ids::{PeerState, Sid, Zxid};
use crate::quorum::Membership;
use crate::time::Mono;

/// What a driver tells about the election port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortInput {
    /// Something happened to a connection.
    Link {
        /// Which.
        link: LinkId,
        /// What.
        event: LinkEvent,
    },
    /// A message came. One that does not decode is skipped by the driver, as Java skips it; the connection stays.
    Notification {
        /// On which connection.
        link: LinkId,
        /// What it says.
        notification: Notification,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortAction {
    /// By the driver.
    Link {
        /// With which connection.
        link: LinkId,
        /// What.
        command: LinkCommand,
    },
    /// By the replica: take this role.
    Decided(Decision),
    /// By the replica: take this config, see [`Effect::Adopt`].
    Adopt(Arc<QuorumConfig>),
    /// By the replica, if it leads: a voter has left whatever role it had.
    SeenLooking {
        /// Who.
        sid: Sid,
    },
}

/// Votes and links of one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ElectionPort {
    election: Election,
    links: Links,
    /// The receiver has ended.
    #[cfg(feature = "museum")]
    deaf: bool,
}

impl ElectionPort {
    /// Idle and without connections.
    pub fn new(
        me: Sid,
        election: ElectionSettings,
        links: LinkSettings,
        membership: Arc<Membership>,
    ) -> Self {
        let links = Links::new(me, links, directory(me, &membership));
        #[cfg(feature = "museum")]
        let links = {
            let mut links = links;
            links.museum = election.museum;
            links
        };
        Self {
            election: Election::new(me, election, membership),
            links,
            #[cfg(feature = "museum")]
            deaf: false,
        }
    }

    /// Begins an election.
    pub fn start(&mut self, now: Mono, candidate: Candidate, out: &mut Vec<PortAction>) {
        self.links.ring_again();
        self.elect(now, out, |election, effects| election.start(now, candidate, effects));
    }

    /// Takes one input.
    pub fn step(&mut self, now: Mono, input: PortInput, out: &mut Vec<PortAction>) {
        #[cfg(feature = "museum")]
        if planted!(self.election.settings.museum, P06) {
            self.deaf |= matches!(input, PortInput::Link { event: LinkEvent::Closed, .. });
            if self.deaf && matches!(input, PortInput::Notification { .. }) {
                return;
            }
        }
        match input {
            PortInput::Link { link, event } => {
                self.link(out, |links, commands| links.on_event(now, link, event, commands));
            }
            PortInput::Notification { link, notification } => {
                // What comes on a link that was hung up is the word of a server as it was.
                let Some(from) = self.links.sid_of(link) else { return };
                self.elect(now, out, |election, effects| {
                    election.on_notification(now, from, notification, effects);
                });
            }
        }
    }

    /// `now` has reached [`Self::deadline`].
    pub fn on_timer(&mut self, now: Mono, out: &mut Vec<PortAction>) {
        self.link(out, |links, commands| links.on_timer(now, commands));
        if self.election.deadline().is_some_and(|deadline| deadline <= now) {
            self.links.ring_again();
            let delivery = self.links.delivery();
            self.elect(now, out, |election, effects| election.on_timer(now, delivery, effects));
        }
    }

    /// When [`Self::on_timer`] wants to be called.
    pub fn deadline(&self) -> Option<Mono> {
        self.election.deadline().into_iter().chain(self.links.deadline()).min()
    }

    /// See [`Election::pause`].
    pub fn pause(&mut self) {
        self.election.pause();
    }

    /// See [`Election::establish_epoch`].
    pub fn establish_epoch(&mut self, epoch: u32) {
        self.election.establish_epoch(epoch);
    }

    /// See [`Election::leader_failed`].
    pub fn leader_failed(&mut self, leader: Sid) {
        self.election.leader_failed(leader);
    }

    /// See [`Election::settle`].
    pub fn settle(&mut self, leader: Sid, zxid: Zxid, state: PeerState) {
        self.election.settle(leader, zxid, state);
    }

    /// Other configs in force or last seen. An election that goes on among other members is to be started again by the
    /// caller, after [`Self::restart_links`].
    pub fn set_membership(&mut self, membership: Arc<Membership>) {
        let own = membership.in_force().member(self.election.me).map(Member::election_addresses);
        own.into_iter().for_each(|addresses| self.links.set_addresses(addresses.collect()));
        self.links.set_directory(directory(self.election.me, &membership));
        self.election.set_membership(membership);
    }

    /// Hangs up on everybody.
    pub fn restart_links(&mut self, out: &mut Vec<PortAction>) {
        self.link(out, Links::restart);
    }

    /// The votes.
    pub const fn election(&self) -> &Election {
        &self.election
    }

    /// The links.
    pub const fn links(&self) -> &Links {
        &self.links
    }

    fn elect(
        &mut self,
        now: Mono,
        out: &mut Vec<PortAction>,
        step: impl FnOnce(&mut Election, &mut Vec<Effect>),
    ) {
        let mut effects = Vec::new();
        step(&mut self.election, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send { to, notification } => {
                    self.link(out, |links, commands| links.send(now, to, notification, commands));
                }
                Effect::ConnectAll => self.link(out, |links, commands| links.connect_all(now, commands)),
                Effect::Decided(decision) => out.push(PortAction::Decided(decision)),
                Effect::Adopt(config) => out.push(PortAction::Adopt(config)),
                Effect::SeenLooking { sid } => out.push(PortAction::SeenLooking { sid }),
            }
        }
    }

    fn link(
        &mut self,
        out: &mut Vec<PortAction>,
        step: impl FnOnce(&mut Links, &mut Vec<(LinkId, LinkCommand)>),
    ) {
        let mut commands = Vec::new();
        step(&mut self.links, &mut commands);
        out.extend(commands.into_iter().map(|(link, command)| PortAction::Link { link, command }));
    }
}

/// Where the election ports of the others are: as the config in force has it, then as the last seen one has it.
fn directory(me: Sid, membership: &Membership) -> Directory {
    let mut directory = Directory::new();
    let configs = [membership.in_force(), membership.last_seen()];
    for member in configs.iter().flat_map(|config| config.members()).filter(|member| member.sid != me) {
        let known = directory.entry(member.sid).or_default();
        let new: Vec<_> = Member::election_addresses(member).filter(|a| !known.contains(a)).collect();
        known.extend(new);
    }
    directory
}
