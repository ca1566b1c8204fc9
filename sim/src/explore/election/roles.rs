//! What comes after an election, coarsely; and the fair schedule.

use zk_core::election::Election;
use zk_core::ids::PeerState;

use super::wires::NodeId;
use super::{Broken, Ensemble, Server, sid};

/// Rounds of messages and timers within which a healed ensemble has to come to rest.
const PATIENCE: usize = 200;

impl Ensemble {
    /// Elects and establishes without faults.
    pub(super) fn establish_all(&mut self) -> Result<(), Broken> {
        self.present().into_iter().try_for_each(|node| self.start(node))?;
        self.come_to_rest()?;
        let leader = self.present().into_iter().find(|node| self.state(*node) == Some(PeerState::Leading));
        leader.into_iter().try_for_each(|leader| self.establish(leader))?;
        self.present().into_iter().for_each(|node| self.server_mut(node).heard.clear());
        Ok(())
    }

    /// Whom a leader may synchronise with: followers that are not ahead of it, or whoever follows once it is established.
    pub(super) fn team(&self, leader: NodeId) -> Vec<NodeId> {
        let Server { data, synced, .. } = self.server(leader);
        let follows = |node: &NodeId| {
            *node != leader
                && self.leader_of(*node) == Some(leader)
                && (synced.is_some() || self.server(*node).data <= *data)
        };
        self.present().into_iter().filter(follows).collect()
    }

    fn is_quorum(&self, leader: NodeId, team: &[NodeId]) -> bool {
        let votes = |node: &&NodeId| self.shared.voters.contains(&sid(**node));
        2 * (team.iter().chain([&leader]).filter(votes).count()) > self.shared.voters.len()
    }

    /// True if a leader has a quorum behind it and somebody to synchronise.
    pub(super) fn can_establish(&self, leader: NodeId) -> bool {
        let team = self.team(leader);
        let synced = self.server(leader).synced;
        self.state(leader) == Some(PeerState::Leading)
            && self.is_quorum(leader, &team)
            && (synced.is_none() || team.iter().any(|node| self.server(*node).synced != synced))
    }

    /// Gives a leader and its team an epoch, and the leader's history to its team.
    pub(super) fn establish(&mut self, leader: NodeId) -> Result<(), Broken> {
        let mut team = self.team(leader);
        team.push(leader);
        let newest = team.iter().map(|node| self.server(*node).data.0).max().unwrap_or(0);
        let Server { synced, data: (_, zxid), .. } = *self.server(leader);
        let epoch = synced.unwrap_or(newest + 1);
        let taken = |node: &NodeId| synced.is_none() && self.server(*node).data.0 >= epoch;
        if let Some(other) = self.present().into_iter().find(taken) {
            let what = format!("{} establishes epoch {epoch}, in which {} has been", sid(leader), sid(other));
            return Err(Broken { rule: "I01", what });
        }
        for node in team {
            let node = self.server_mut(node);
            (node.data, node.synced) = ((epoch, zxid), Some(epoch));
            node.port.iter_mut().for_each(|port| port.establish_epoch(epoch));
        }
        Ok(())
    }

    /// True if a server has a role and nobody to share it with.
    pub(super) fn is_astray(&self, node: NodeId) -> bool {
        match self.state(node) {
            Some(PeerState::Leading) => !self.is_quorum(node, &self.team(node)),
            Some(PeerState::Following | PeerState::Observing) => {
                let leader = self.leader_of(node).filter(|leader| *leader < self.nodes.len());
                leader.is_none_or(|leader| self.state(leader) != Some(PeerState::Leading))
            }
            Some(PeerState::Looking) | None => false,
        }
    }

    /// All up, one leads, all others are behind it.
    fn is_at_rest(&self) -> bool {
        let leads = |node: &NodeId| self.state(*node) == Some(PeerState::Leading);
        let leaders: Vec<_> = self.present().into_iter().filter(leads).collect();
        let [leader] = leaders[..] else { return false };
        self.present().into_iter().all(|node| self.leader_of(node) == Some(leader))
    }

    /// Delivers until nothing is on its way.
    fn flush(&mut self) -> Result<(), Broken> {
        for _ in 0..10 * PATIENCE {
            if !self.dials.is_empty() {
                self.dial(0)?;
                continue;
            }
            let ready = self.wires.iter().enumerate();
            let mut ready =
                ready.filter_map(|(i, w)| Some((i, (0..2).find(|at| !w.queues[*at].is_empty())?)));
            let Some((wire, at)) = ready.next() else {
                self.wires.retain(|wire| !wire.is_over());
                return Ok(());
            };
            self.deliver(wire, at)?;
        }
        Err(Broken { rule: "I40", what: "messages go on without end".into() })
    }

    pub(super) fn come_to_rest(&mut self) -> Result<(), Broken> {
        for _ in 0..PATIENCE {
            self.flush()?;
            if self.is_at_rest() {
                return Ok(());
            }
            let those = |is: &dyn Fn(NodeId) -> bool| {
                self.present().into_iter().filter(|n| is(*n)).collect::<Vec<_>>()
            };
            let down = those(&|node| self.election(node).is_none());
            let finalising = those(&|node| self.election(node).is_some_and(Election::finalises));
            let astray = those(&|node| self.is_astray(node));
            // In the order of their patience: 200 ms of silence are over before anybody gives a role up, and roles are
            // given up before votes are repeated.
            if !down.is_empty() {
                down.into_iter().try_for_each(|node| self.start(node))?;
            } else if !finalising.is_empty() {
                finalising.into_iter().try_for_each(|node| self.fire(node))?;
            } else if !astray.is_empty() {
                astray.into_iter().try_for_each(|node| self.start(node))?;
            } else {
                self.present().into_iter().try_for_each(|node| self.fire(node))?;
            }
        }
        Err(Broken { rule: "I41", what: format!("the servers do not come to rest:\n{}", self.show_all()) })
    }
}
