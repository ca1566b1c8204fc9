//! The refinement monitor: an abstract Zab over epochs, histories and what is committed, stepped by what replicas tell.
//!
//! | rule | by | needs | does |
//! |---|---|---|---|
//! | elect | `ElectionBegun` | no leader; all that was logged is durable | |
//! | decide | `ElectionDecided` | no leader | election → discovery |
//! | propose(e) | `EpochProposed` | leader in discovery; a quorum has come that accepted less than e | |
//! | accept(e) | `EpochAccepted` | e was offered by one who proposed it, and is durable | |
//! | lead(e) | standing | a quorum accepted e and none of it has more history; nobody else led e; its history has all that is committed | discovery → synchronization |
//! | learn(e) | standing | it accepted e, or had | discovery → synchronization |
//! | choose | `SyncChosen` | what is sent joins what the learner has to the leader's history | |
//! | take over(e) | `NewLeaderAcked` | the leader's history is durable here, and e established here | |
//! | establish(e) | `EpochEstablished` | leader: a quorum took over; learner: its leader did establish e | synchronization → broadcast |
//! | broadcast | `Append` of a new txn | leader of its epoch, in broadcast | |
//! | commit | `Committed` | broadcast; it is committed (I16 says by whom) | |
//! | leave | `RoleLeft` | a role | → election |
//!
//! Whatever else happens is a stutter: it changes none of this.

use std::collections::{BTreeMap, BTreeSet};

use zk_core::event::Event;
use zk_core::ids::{LinkId, Sid, Zxid};
use zk_core::replica::{Phase, RoleKind, Standing, SyncKind};
use zk_core::wire::quorum::QuorumPacket;

use super::super::invariant::{Invariant, Violation, ensure};
use super::Ensemble;
use super::durability::Machine;
use super::hearing::Hearing;
use super::owners::Owners;

/// A server's part in the abstract protocol.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) phase: Phase,
    pub(super) role: RoleKind,
    /// Whom the election named.
    decided: Option<Sid>,
    /// Leader: the epoch that it proposed.
    proposed: Option<u32>,
    /// Learner: the epoch that it was offered.
    pub(super) offered: Option<u32>,
    /// Learner: the epoch that it said to have accepted.
    pub(super) epoch: Option<u32>,
    /// Learner: where the history ends that it took over.
    taken: Option<Zxid>,
    pub(super) established: bool,
    left: bool,
    /// Leader: who came, and what it had accepted.
    infos: BTreeMap<Sid, u32>,
    /// Leader: who accepted the epoch, and what it had: the epoch it established, and the end of its history.
    epoch_acks: BTreeMap<Sid, (u32, Zxid)>,
    /// Leader: who took over the history.
    leader_acks: BTreeSet<Sid>,
    /// Leader: links of learners that were told to serve.
    pub(super) live: BTreeSet<LinkId>,
    /// Leader: who asks for which session.
    pub(super) owners: Owners,
    pub(super) hearing: Hearing,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            phase: Phase::Election,
            role: RoleKind::Looking,
            decided: None,
            proposed: None,
            offered: None,
            epoch: None,
            taken: None,
            established: false,
            left: false,
            infos: BTreeMap::new(),
            epoch_acks: BTreeMap::new(),
            leader_acks: BTreeSet::new(),
            live: BTreeSet::new(),
            owners: Owners::default(),
            hearing: Hearing::default(),
        }
    }
}

/// A leader that got beyond discovery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Led {
    pub(super) node: u32,
    /// Its history as it began.
    pub(super) base: Zxid,
    established: bool,
}

fn rule(held: bool, rule: &str, what: impl FnOnce() -> String) -> Result<(), Violation> {
    ensure(held, Invariant::Zab, || format!("no step of Zab, rule {rule}: {}", what()))
}

/// What replicas tell.
impl Ensemble {
    pub(super) fn event(&mut self, node: u32, event: &Event) -> Result<(), Violation> {
        match *event {
            Event::ElectionBegun { zxid, epoch } => self.elects(node, zxid, epoch),
            Event::ElectionDecided { leader } => {
                let part = &mut self.machine(node).part;
                part.decided = Some(leader);
                rule(part.phase == Phase::Election, "decide", || format!("in {:?}", part.phase))
            }
            Event::EpochProposed { epoch } => self.proposes(node, epoch),
            Event::EpochAccepted { epoch } => self.accepts(node, epoch),
            Event::SyncChosen { learner, kind, from, to } => self.chooses(node, learner, kind, from, to),
            Event::NewLeaderAcked { epoch, zxid } => self.takes_over(node, epoch, zxid),
            Event::EpochEstablished { epoch, zxid } => self.establishes(node, epoch, zxid),
            Event::Committed { zxid } => {
                let machine = &self.machines[&node];
                rule(machine.part.established, "commit", || format!("{zxid} outside of broadcast"))?;
                let held = machine.applied >= zxid && self.is_committed(zxid);
                rule(held, "commit", || format!("{zxid}; applied is {}", machine.applied))
            }
            Event::SessionExpiring { session } => self.check_expiry(node, session),
            Event::LocalSessionUpgraded { session } => {
                self.upgrades(node, session);
                Ok(())
            }
            Event::RoleLeft { ref why } => {
                let Machine { part, ballot, .. } = self.machine(node);
                part.left = true;
                ballot.leaves(part.decided, part.established, why);
                let phase = part.phase;
                rule(phase != Phase::Election, "leave", || "without a role".to_owned())?;
                self.check_leave(event)
            }
            _ => Ok(()),
        }
    }

    fn elects(&self, node: u32, zxid: Zxid, epoch: u32) -> Result<(), Violation> {
        let machine = &self.machines[&node];
        let (last, durable, epochs) = (machine.last, machine.durable, machine.epochs);
        rule(machine.part.phase == Phase::Election, "elect", || format!("in {:?}", machine.part.phase))?;
        rule((zxid, zxid, epoch) == (last, durable, epochs.current), "elect", || {
            format!(
                "with {zxid} of epoch {epoch}; its log ends at {last}, durable at {durable} with {epochs:?}"
            )
        })
    }

    fn proposes(&mut self, node: u32, epoch: u32) -> Result<(), Violation> {
        let machine = self.machine(node);
        let (sid, durable) = (machine.sid, machine.epochs);
        machine.part.proposed = Some(epoch);
        self.proposals.insert((epoch, node));
        let part = &self.machines[&node].part;
        rule(part.phase == Phase::Discovery && part.role == RoleKind::Leading, "propose", || {
            format!("epoch {epoch} as {:?} in {:?}", part.role, part.phase)
        })?;
        rule(durable.accepted == epoch, "propose", || {
            format!("epoch {epoch}; its own disk holds {durable:?}")
        })?;
        let newer = |other: Sid| other == sid || part.infos.get(&other).is_some_and(|had| *had < epoch);
        rule(self.quorums.contains_quorum(newer), "propose", || {
            format!("epoch {epoch}; those who came had accepted {:?}", part.infos)
        })
    }

    fn accepts(&mut self, node: u32, epoch: u32) -> Result<(), Violation> {
        let machine = &self.machines[&node];
        let (offered, durable) = (machine.part.offered, machine.epochs);
        rule(offered == Some(epoch) && durable.accepted == epoch, "accept", || {
            format!("epoch {epoch}; it was offered {offered:?}, and its disk holds {durable:?}")
        })
    }

    fn chooses(
        &self,
        node: u32,
        learner: Sid,
        kind: SyncKind,
        from: Zxid,
        to: Zxid,
    ) -> Result<(), Violation> {
        let machine = &self.machines[&node];
        let last = machine.last;
        let leads = machine.part.role == RoleKind::Leading && machine.part.phase > Phase::Discovery;
        let joins = match kind {
            SyncKind::Diff => self.ancestry.contains(last, from),
            // Once the epoch is established, what is outstanding is cut off, too, and sent again.
            SyncKind::Trunc if machine.part.established => !self.ancestry.contains(machine.known, from),
            SyncKind::Trunc => !self.ancestry.contains(last, from),
            SyncKind::Snap => true,
        };
        rule(leads && joins && self.ancestry.contains(last, to), "choose", || {
            format!("{kind:?} for {learner}, which has {from}, through {to}; its own history ends at {last}")
        })
    }

    fn takes_over(&mut self, node: u32, epoch: u32, zxid: Zxid) -> Result<(), Violation> {
        self.machine(node).part.taken = Some(zxid);
        let machine = &self.machines[&node];
        let part = &machine.part;
        let there = part.phase == Phase::Synchronization && part.epoch == Some(epoch);
        rule(there && machine.epochs.current == epoch, "take over", || {
            format!(
                "epoch {epoch} in {:?} of epoch {:?}; its disk holds {:?}",
                part.phase, part.epoch, machine.epochs
            )
        })?;
        let led = self.leaders.get(&epoch).copied();
        let (base, end) =
            led.map_or((Zxid::ZERO, Zxid::ZERO), |led| (led.base, self.machines[&led.node].last));
        // The leader may have gone, and have lost what it was sending, since it sent it.
        let still_leads = led.is_some_and(|led| self.machines[&led.node].part.proposed == Some(epoch));
        let within = !still_leads || self.ancestry.contains(end, zxid);
        let whole = led.is_some() && self.ancestry.contains(zxid, base);
        rule(zxid == machine.durable && whole && within, "take over", || {
            format!(
                "a history that ends at {zxid}, durable at {}; the leader of epoch {epoch} is {led:?} and is at {end}",
                machine.durable
            )
        })
    }

    fn establishes(&mut self, node: u32, epoch: u32, zxid: Zxid) -> Result<(), Violation> {
        let machine = &self.machines[&node];
        let part = &machine.part;
        rule(part.phase == Phase::Synchronization && machine.epochs.current == epoch, "establish", || {
            format!("epoch {epoch} in {:?}; its disk holds {:?}", part.phase, machine.epochs)
        })?;
        let led = self.leaders.get(&epoch).copied();
        if part.role == RoleKind::Leading {
            let own = led.is_some_and(|led| led.node == node && led.base == zxid);
            rule(own && part.proposed == Some(epoch), "establish", || {
                format!("epoch {epoch} at {zxid}; it leads {:?} from {led:?} on", part.proposed)
            })?;
            self.check_taken_over(node, epoch)?;
            self.leaders.entry(epoch).and_modify(|led| led.established = true);
        } else {
            rule(led.is_some_and(|led| led.established) && part.taken == Some(zxid), "establish", || {
                format!("epoch {epoch} at {zxid}; its leader is {led:?}, and it took over {:?}", part.taken)
            })?;
        }
        self.machine(node).part.established = true;
        self.established(node, zxid)
    }

    /// A quorum has taken over the leader's history.
    fn check_taken_over(&self, node: u32, epoch: u32) -> Result<(), Violation> {
        let leader = &self.machines[&node];
        let acks = &leader.part.leader_acks;
        let own = (leader.epochs.current == epoch).then_some(leader.sid);
        let took = |sid: Sid| own == Some(sid) || acks.contains(&sid);
        rule(self.quorums.contains_quorum(took), "establish", || {
            format!("its history was taken over by {acks:?} and {own:?}, no quorum")
        })
    }
}

/// Standings.
impl Ensemble {
    pub(super) fn stands(&mut self, node: u32, standing: &Standing) -> Result<(), Violation> {
        let machine = self.machine(node);
        let (before, was, sid) = (machine.part.phase, machine.part.role, machine.sid);
        machine.part.phase = standing.phase;
        machine.part.role = standing.role;
        let part = &machine.part;
        match (before, standing.phase) {
            (from, Phase::Election) => {
                let ended = part.left || from == Phase::Election;
                machine.part = Part::default();
                rule(ended, "leave", || format!("from {from:?} without a word"))
            }
            (Phase::Election, Phase::Discovery) => {
                let leads = standing.role == RoleKind::Leading;
                let named = part.decided.is_some() && part.decided == standing.leader;
                rule(named && leads == (standing.leader == Some(sid)), "decide", || {
                    format!("stands as {standing:?}; the election named {:?}", part.decided)
                })?;
                let may = self.quorums.is_voter(sid) && self.quorums.in_force().may_lead(sid);
                ensure(!leads || may, Invariant::I13, || format!("{sid} leads without a vote"))
            }
            (Phase::Discovery, Phase::Synchronization) if was == RoleKind::Leading => self.leads(node),
            (Phase::Discovery, Phase::Synchronization) => {
                rule(part.epoch.is_some(), "learn", || "without having accepted an epoch".to_owned())
            }
            (Phase::Synchronization, Phase::Broadcast) => {
                machine.part.hearing.begin();
                let part = &machine.part;
                rule(part.established, "establish", || "serves before its epoch is established".to_owned())
            }
            (from, to) => rule(false, "stand", || format!("from {from:?} to {to:?}")),
        }
    }

    fn leads(&mut self, node: u32) -> Result<(), Violation> {
        let machine = &self.machines[&node];
        let (sid, last, part) = (machine.sid, machine.last, &machine.part);
        let Some(epoch) = part.proposed else {
            return rule(false, "lead", || "without having proposed an epoch".to_owned());
        };
        if let Some(other) = self.leaders.get(&epoch) {
            let what = format!("leads epoch {epoch}, which node {} led from {} on", other.node, other.base);
            return Err(Violation { invariant: Invariant::I01, what });
        }
        ensure(epoch > self.led_before, Invariant::I01, || {
            format!("leads epoch {epoch}; epochs through {} were led before it began", self.led_before)
        })?;
        let own = (machine.epochs.current, last);
        let follows = |other: Sid| other == sid || part.epoch_acks.get(&other).is_some_and(|had| *had <= own);
        rule(self.quorums.contains_quorum(follows), "lead", || {
            format!("epoch {epoch} with {own:?}; accepted by {:?}, no quorum behind it", part.epoch_acks)
        })?;
        ensure(self.ancestry.contains(last, self.committed), Invariant::I08, || {
            format!("leads epoch {epoch} with a history that ends at {last}; {} is committed", self.committed)
        })?;
        self.leaders.insert(epoch, Led { node, base: last, established: false });
        self.led = self.led.max(epoch);
        self.doubt = self.doubt || !self.is_safe();
        Ok(())
    }

    /// Only leaders in broadcast have new txns.
    pub(super) fn broadcasts(&self, node: u32, zxid: Zxid) -> Result<(), Violation> {
        let part = &self.machines[&node].part;
        let leads = part.established && part.role == RoleKind::Leading && part.proposed == Some(zxid.epoch());
        ensure(leads, Invariant::I03, || {
            format!("logs {zxid}, which no leader broadcast; it is {:?} in {:?}", part.role, part.phase)
        })
    }

    /// A leader commits what a quorum took over, or acknowledged; a learner, what its leader committed.
    pub(super) fn may_commit(&self, node: u32, zxid: Zxid) -> Result<(), Violation> {
        let machine = &self.machines[&node];
        if machine.part.role != RoleKind::Leading {
            return rule(self.is_committed(zxid), "commit", || {
                format!("a learner commits {zxid}; through {} its leaders did", self.committed)
            });
        }
        match machine.part.proposed {
            Some(epoch) if !machine.part.established => self.check_taken_over(node, epoch),
            _ => Ok(()),
        }
    }
}

/// What arrives.
impl Ensemble {
    pub(super) fn arrives(
        &mut self,
        node: u32,
        peer: Option<u32>,
        packet: &QuorumPacket,
    ) -> Result<(), Violation> {
        let from = peer.and_then(|peer| self.machines.get(&peer)).map(|machine| machine.sid);
        let part = &mut self.machine(node).part;
        match packet {
            QuorumPacket::FollowerInfo { zxid, learner: Some(info) } if part.role == RoleKind::Leading => {
                part.infos.insert(info.sid, zxid.epoch());
            }
            QuorumPacket::AckEpoch { zxid, current_epoch: Some(epoch) } => {
                part.epoch_acks.extend(from.map(|from| (from, (*epoch, *zxid))));
            }
            QuorumPacket::Ack { zxid } if zxid.counter() == 0 && part.proposed == Some(zxid.epoch()) => {
                part.leader_acks.extend(from);
            }
            QuorumPacket::LeaderInfo { zxid, .. } if part.phase == Phase::Discovery => {
                part.offered = Some(zxid.epoch());
                let offered = peer.is_none_or(|peer| self.proposals.contains(&(zxid.epoch(), peer)));
                return rule(offered || self.garbled, "propose", || {
                    format!("is offered epoch {} by node {peer:?}, which did not propose it", zxid.epoch())
                });
            }
            _ => {}
        }
        Ok(())
    }
}
