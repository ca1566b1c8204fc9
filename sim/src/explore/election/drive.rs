//! Inputs into servers, and what they want done.

use std::time::Duration;

use zk_core::address::HostPort;
use zk_core::election::links::{AfterGreeting, LinkCommand, LinkEvent, LinkId, LinkSettings, Part};
use zk_core::election::port::{ElectionPort, PortAction, PortInput};
use zk_core::election::vote::{Notification, Vote};
use zk_core::election::{Candidate, Decision, ElectionSettings};
use zk_core::ids::{PeerState, Zxid};
use zk_core::time::Mono;

use super::rules::{By, Evidence, Heard, Stand, check_decision, check_stand};
use super::wires::{End, Item, NodeId, Wire, Word};
use super::{Broken, Dial, Ensemble, Planted, Server, Wiring, node_of, sid};

/// Waits do not grow: how often a server has waited is no part of what it is.
const SETTINGS: ElectionSettings = ElectionSettings {
    notification_min_ms: 400,
    notification_max_ms: 400,
    finalize_ms: 200,
    reconfig: false,
    #[cfg(feature = "museum")]
    museum: None,
};

/// Time is abstract: it only goes on, far enough for whoever has asked to ask again.
const STEP: Duration = Duration::from_secs(1);

/// Dials and greetings never take too long.
const FOR_EVER_MS: u64 = 1 << 40;

impl Ensemble {
    pub(super) fn start(&mut self, node: NodeId) -> Result<(), Broken> {
        let links = LinkSettings {
            addresses: vec![address(node)],
            dial_timeout_ms: FOR_EVER_MS,
            hello_timeout_ms: FOR_EVER_MS,
        };
        let membership = self.shared.membership.clone();
        let settings = ElectionSettings {
            #[cfg(feature = "museum")]
            museum: match self.shared.planted {
                Some(Planted::Exhibit(exhibit)) => Some(exhibit),
                _ => None,
            },
            ..SETTINGS
        };
        let new = || ElectionPort::new(sid(node), settings, links, membership);
        let (candidate, now) = (self.candidate(node), self.tick());
        let leads = self.state(node) == Some(PeerState::Leading);
        let lost = self.leader_of(node).filter(|_| leads || self.server(node).synced.is_none()).map(sid);
        let this = self.server_mut(node);
        this.heard.clear();
        let was_synced = this.synced.take().is_some();
        if was_synced || this.port.is_none() {
            this.lost.clear();
        }
        if let (Some(port), Some(leader)) = (&mut this.port, lost) {
            port.leader_failed(leader);
            *this.lost.entry(leader).or_default() += 1;
        }
        let mut out = vec![];
        this.port.get_or_insert_with(new).start(now, candidate, &mut out);
        self.carry_out(node, out, self.stand(node), By::Word)?;
        self.hurry()
    }

    fn tick(&mut self) -> Mono {
        self.clock = self.clock + STEP;
        self.clock
    }

    fn candidate(&self, node: NodeId) -> Candidate {
        let (epoch, zxid) = self.server(node).data;
        if self.shared.planted == Some(Planted::ZxidBeforeEpoch) {
            // The fields change places, and so does the order.
            let current_epoch = u32::try_from(zxid).expect("zxids of explored worlds are small");
            return Candidate { zxid: Zxid(epoch.into()), current_epoch };
        }
        Candidate { zxid: Zxid(zxid), current_epoch: epoch }
    }

    /// Epoch and zxid that a vote claims.
    fn claimed(&self, vote: &Vote) -> (i64, i64) {
        let (epoch, zxid) = (vote.peer_epoch, vote.zxid.0);
        if self.shared.planted == Some(Planted::ZxidBeforeEpoch) { (zxid, epoch) } else { (epoch, zxid) }
    }

    fn step(&mut self, node: NodeId, input: PortInput) -> Result<(), Broken> {
        let (before, now) = (self.stand(node), self.tick());
        let Some(port) = &mut self.server_mut(node).port else { return Ok(()) };
        let mut out = vec![];
        port.step(now, input, &mut out);
        self.carry_out(node, out, before, By::Word)
    }

    /// Fires a server's timer.
    pub(super) fn fire(&mut self, node: NodeId) -> Result<(), Broken> {
        let (before, now) = (self.stand(node), self.tick());
        let Some(port) = &mut self.server_mut(node).port else { return Ok(()) };
        let Some(deadline) = port.election().deadline() else { return Ok(()) };
        let mut out = vec![];
        port.on_timer(now.max(deadline), &mut out);
        self.carry_out(node, out, before, By::Silence)
    }

    fn carry_out(
        &mut self,
        node: NodeId,
        actions: Vec<PortAction>,
        before: Stand,
        by: By,
    ) -> Result<(), Broken> {
        let stand = self.stand(node);
        let (this, voters) = (self.server(node), &self.shared.voters);
        let Server { data, heard, lost, .. } = this;
        let evidence = Evidence { me: sid(node), data: *data, voters, before, heard, lost, by };
        check_stand(&evidence, stand, |vote| self.claimed(vote))?;
        self.server_mut(node).heard.retain(|heard| stand.may_count(heard));
        for action in actions {
            match action {
                PortAction::Link { link, command } => self.command(node, link, command)?,
                PortAction::Decided(decision) => self.decided(node, &decision, before, by)?,
                PortAction::SeenLooking { .. } => {}
                PortAction::Adopt(config) => {
                    let what = format!("{} adopts a config although reconfig is off: {config}", sid(node));
                    return Err(Broken { rule: "I13", what });
                }
            }
        }
        Ok(())
    }

    fn decided(&mut self, node: NodeId, decision: &Decision, before: Stand, by: By) -> Result<(), Broken> {
        let (this, voters) = (self.server(node), &self.shared.voters);
        let Server { data, heard, lost, .. } = this;
        let evidence = Evidence { me: sid(node), data: *data, voters, before, heard, lost, by };
        check_decision(&evidence, decision, |vote| self.claimed(vote))?;
        self.server_mut(node).heard.clear();
        Ok(())
    }

    fn command(&mut self, node: NodeId, link: LinkId, command: LinkCommand) -> Result<(), Broken> {
        if let LinkCommand::Dial { sid, .. } = command {
            let to = node_of(sid).filter(|to| *to < self.nodes.len());
            let to = to.expect("only servers of the setup are in the directory");
            self.dials.push(Dial { from: node, link, to });
            return Ok(());
        }
        self.dials.retain(|dial| (dial.from, dial.link) != (node, link));
        let is_it = |end: &End| end.open && end.node == node && end.link == link;
        let found = self.wires.iter_mut().find_map(|wire| Some((wire.ends.iter().position(is_it)?, wire)));
        let Some((at, wire)) = found else { return Ok(()) };
        match command {
            LinkCommand::Dial { .. } => {}
            LinkCommand::Greet { hello, then } => {
                wire.put(1 - at, Item::Hello(hello));
                if then == AfterGreeting::HangUp {
                    wire.close(at);
                }
            }
            LinkCommand::Send(notification) => {
                wire.put(1 - at, Item::Word(Word { notification, data: self.nodes[node].server.data }));
                return self.step(node, PortInput::Link { link, event: LinkEvent::Sent });
            }
            LinkCommand::HangUp => wire.close(at),
        }
        Ok(())
    }

    pub(super) fn dial(&mut self, at: usize) -> Result<(), Broken> {
        let Dial { from, link, to } = self.dials.remove(at);
        if self.server(to).port.is_none() {
            return self.step(from, PortInput::Link { link, event: LinkEvent::Failed });
        }
        self.accepted += 1;
        let accepted = LinkId::Accepted(self.accepted);
        let end = |node, link| End { node, link, open: true };
        let ends = [end(from, link), end(to, accepted)];
        self.wires.push(Wire { ends, queues: Default::default(), hole: false });
        self.step(to, PortInput::Link { link: accepted, event: LinkEvent::Accepted })?;
        self.step(from, PortInput::Link { link, event: LinkEvent::Connected })
    }

    pub(super) fn deliver(&mut self, wire: usize, at: usize) -> Result<(), Broken> {
        let Wire { ends, queues, .. } = &mut self.wires[wire];
        let Some(item) = queues[at].pop_front() else { return Ok(()) };
        let End { node, link, .. } = ends[at];
        match item {
            Item::Hello(hello) => {
                let kept = |port: &ElectionPort| {
                    self.wires.iter().flat_map(|wire| &wire.ends).any(|end| {
                        end.node == node && port.links().part_of(end.link) == Part::Kept(hello.sid)
                    })
                };
                let refused = self.shared.planted == Some(Planted::OldLinkKept)
                    && self.server(node).port.as_ref().is_some_and(kept);
                if refused {
                    self.wires[wire].close(at);
                    return self.step(node, PortInput::Link { link, event: LinkEvent::Closed });
                }
                self.step(node, PortInput::Link { link, event: LinkEvent::Heard(hello) })
            }
            Item::Word(word) => self.hear(node, link, word),
            Item::Fin => {
                self.wires[wire].close(at);
                let lost = self.part_of(&End { node, link, open: true }) != Part::None;
                if lost && self.shared.planted == Some(Planted::OneEndEndsAll) {
                    self.server_mut(node).deaf = true;
                }
                self.step(node, PortInput::Link { link, event: LinkEvent::Closed })
            }
        }
    }

    fn hear(&mut self, node: NodeId, link: LinkId, word: Word) -> Result<(), Broken> {
        let this = self.server(node);
        let Some(port) = this.port.as_ref().filter(|_| !this.deaf) else { return Ok(()) };
        let Some(from) = port.links().sid_of(link) else { return Ok(()) };
        let own_round = port.election().round();
        let Word { mut notification, data } = word;
        if self.state(node) == Some(PeerState::Looking) {
            let Notification { state, vote, round, .. } = notification;
            self.server_mut(node).heard.insert(Heard { from, state, vote, round, data });
        }
        let established = matches!(notification.state, PeerState::Following | PeerState::Leading);
        match self.shared.planted {
            Some(Planted::RoundsIgnored) if established => notification.round = own_round,
            Some(Planted::RoundsMustAgree) if established && notification.round != own_round => {
                return Ok(());
            }
            Some(Planted::StrangersCount) if !self.shared.voters.contains(&from) => {
                self.hear_as_voter(node, notification.clone())?;
            }
            _ => {}
        }
        self.step(node, PortInput::Notification { link, notification })
    }

    /// What a stranger says is taken for the word of the first voter that is connected.
    fn hear_as_voter(&mut self, node: NodeId, notification: Notification) -> Result<(), Broken> {
        let ends = self.wires.iter().flat_map(|wire| &wire.ends).filter(|end| end.open && end.node == node);
        let voter = ends.filter(|end| match self.part_of(end) {
            Part::Kept(sid) => self.shared.voters.contains(&sid),
            Part::Dialling(_) | Part::Unnamed | Part::None => false,
        });
        let Some(link) = voter.map(|end| end.link).next() else { return Ok(()) };
        self.step(node, PortInput::Notification { link, notification })
    }

    pub(super) fn part_of(&self, end: &End) -> Part {
        self.server(end.node).port.as_ref().map_or(Part::None, |port| port.links().part_of(end.link))
    }

    /// Carries through at once what matters to nobody: ends of links that are known no more. In coarse wiring dials and
    /// greetings, too.
    pub(super) fn hurry(&mut self) -> Result<(), Broken> {
        let coarse = self.shared.wiring == Wiring::Coarse;
        loop {
            if coarse && !self.dials.is_empty() {
                self.dial(0)?;
                continue;
            }
            let ready = self.wires.iter().enumerate().find_map(|(i, wire)| {
                let at = (0..2).find(|at| match wire.queues[*at].front() {
                    Some(Item::Hello(_)) => coarse,
                    Some(Item::Word(_) | Item::Fin) => self.part_of(&wire.ends[*at]) == Part::None,
                    None => false,
                });
                at.map(|at| (i, at))
            });
            let Some((wire, at)) = ready else { break };
            self.deliver(wire, at)?;
        }
        self.wires.retain(|wire| !wire.is_over());
        Ok(())
    }

    pub(super) fn end(&mut self, node: NodeId, half_open: bool) {
        let data = self.server(node).data;
        *self.server_mut(node) = Server { data, ..Server::default() };
        self.dials.retain(|dial| dial.from != node);
        for wire in &mut self.wires {
            for at in 0..2 {
                if wire.ends[at].node == node && wire.ends[at].open {
                    wire.hole |= half_open;
                    if half_open {
                        wire.queues[1 - at].clear();
                    }
                    wire.close(at);
                }
            }
        }
    }
}

fn address(node: NodeId) -> HostPort {
    HostPort { host: format!("h{}", sid(node)), port: 2 }
}
