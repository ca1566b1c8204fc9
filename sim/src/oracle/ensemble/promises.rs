//! The promise ledger: whatever a server says is checked against what its disk holds when it says so (I09, I17, I19).

use zk_core::action::HangReason;
use zk_core::election::vote::Notification;
use zk_core::event::Event;
use zk_core::ids::{LinkId, PeerState, Zxid};
use zk_core::replica::Leave;
use zk_core::wire::quorum::QuorumPacket;

use super::super::invariant::{Invariant, Violation, ensure};
use super::Ensemble;

impl Ensemble {
    /// A packet is about to leave.
    pub(super) fn sending(
        &mut self,
        node: u32,
        link: LinkId,
        packet: &QuorumPacket,
    ) -> Result<(), Violation> {
        match packet {
            QuorumPacket::Ack { zxid } if zxid.counter() == 0 => self.acks_leader(node, zxid.epoch()),
            QuorumPacket::Ack { zxid } => {
                self.healthy(node, packet)?;
                let durable = self.machines[&node].durable;
                ensure(self.ancestry.contains(durable, *zxid), Invariant::I17, || {
                    format!("acknowledges {zxid}; its disk holds its log through {durable}")
                })
            }
            QuorumPacket::AckEpoch { zxid, current_epoch } => self.acks_epoch(node, *zxid, *current_epoch),
            QuorumPacket::FollowerInfo { zxid, .. } | QuorumPacket::ObserverInfo { zxid, .. } => {
                self.accepted(node, zxid.epoch(), packet)
            }
            QuorumPacket::LeaderInfo { zxid, .. } => {
                self.healthy(node, packet)?;
                self.accepted(node, zxid.epoch(), packet)
            }
            QuorumPacket::PingReply { touches, .. } => self.check_report(node, touches),
            QuorumPacket::Proposal { zxid, .. }
            | QuorumPacket::Trunc { zxid }
            | QuorumPacket::Snap { zxid } => {
                let last = self.machines[&node].last;
                ensure(self.ancestry.contains(last, *zxid), Invariant::I03, || {
                    format!("sends {} of {zxid}, which is not in its history to {last}", packet.name())
                })
            }
            QuorumPacket::UpToDate => {
                self.healthy(node, packet)?;
                let machine = self.machine(node);
                machine.part.live.insert(link);
                ensure(machine.part.established, Invariant::I17, || {
                    "sends UPTODATE though its epoch is not established".to_owned()
                })
            }
            QuorumPacket::Commit { zxid } | QuorumPacket::Inform { zxid, .. } => {
                // Before UPTODATE a commit says no more than that the txn belongs to the leader's history.
                let claims = self.machines[&node].part.live.contains(&link);
                if claims {
                    self.may_commit(node, *zxid)?;
                    self.commit(*zxid, None)?;
                    self.check_held("a leader tells of it")?;
                }
                let end = if claims { self.committed } else { self.machines[&node].last };
                ensure(self.ancestry.contains(end, *zxid), Invariant::I16, || {
                    format!("sends {} of {zxid}; committed is {}", packet.name(), self.committed)
                })
            }
            _ => Ok(()),
        }
    }

    /// I19: nothing more is promised once an fsync has failed.
    fn healthy(&self, node: u32, packet: &QuorumPacket) -> Result<(), Violation> {
        ensure(!self.machines[&node].sick, Invariant::I19, || {
            format!("sends {} after an fsync failed", packet.name())
        })
    }

    fn accepted(&self, node: u32, epoch: u32, packet: &QuorumPacket) -> Result<(), Violation> {
        let durable = self.machines[&node].epochs;
        ensure(durable.accepted == epoch, Invariant::I17, || {
            format!("sends {} of epoch {epoch}; its disk holds {durable:?}", packet.name())
        })
    }

    fn acks_epoch(&mut self, node: u32, zxid: Zxid, current: Option<u32>) -> Result<(), Violation> {
        let machine = self.machine(node);
        let (offered, durable, held) = (machine.part.offered, machine.epochs, machine.durable);
        machine.part.epoch = offered;
        ensure(!machine.sick, Invariant::I19, || "accepts an epoch after an fsync failed".to_owned())?;
        ensure(offered == Some(durable.accepted), Invariant::I17, || {
            format!("accepts epoch {offered:?}; its disk holds {durable:?}")
        })?;
        ensure(current.is_none_or(|epoch| epoch == durable.current), Invariant::I17, || {
            format!("says that it established {current:?}; its disk holds {durable:?}")
        })?;
        // Whoever wants a snapshot at any price claims to have nothing.
        ensure(zxid == held || zxid == Zxid::ZERO, Invariant::I17, || {
            format!("says that its log ends at {zxid}; its disk holds it through {held}")
        })
    }

    /// NEWLEADER, or UPTODATE behind it.
    fn acks_leader(&self, node: u32, epoch: u32) -> Result<(), Violation> {
        let machine = &self.machines[&node];
        ensure(!machine.sick, Invariant::I19, || "takes over a history after an fsync failed".to_owned())?;
        ensure(machine.epochs.current == epoch, Invariant::I17, || {
            format!("acknowledges the leader of epoch {epoch}; its disk holds {:?}", machine.epochs)
        })?;
        let led = self.leaders.get(&epoch);
        let base = led.map_or(Zxid::ZERO, |led| led.base);
        let holds = machine.durable == machine.last && self.ancestry.contains(machine.durable, base);
        ensure(holds, Invariant::I17, || {
            format!(
                "acknowledges a history through {base} at least; of its log, which ends at {}, the disk holds what \
                 ends at {}",
                machine.last, machine.durable
            )
        })
    }

    /// A vote is about to leave.
    pub(super) fn voting(&mut self, node: u32, vote: &Notification) -> Result<(), Violation> {
        let machine = &self.machines[&node];
        ensure(!machine.sick, Invariant::I19, || "votes after an fsync failed".to_owned())?;
        // Servers without a vote are told how the last election ended, by those that are in the next one, too; and what was
        // said last is said again on a new link.
        let repeats = machine.ballot.has_decided(&vote.vote);
        if vote.state != PeerState::Looking || vote.vote.leader != machine.sid || repeats {
            return Ok(());
        }
        let claimed = (vote.vote.peer_epoch, vote.vote.zxid);
        // A link that comes anew repeats the last vote, which may be of an earlier round.
        if claimed == machine.has() {
            // Perhaps the election is decided within the step that began it.
            self.machine(node).ballot.asks(vote.round, claimed);
            return Ok(());
        }
        ensure(machine.ballot.had(vote.round, claimed), Invariant::I17, || {
            format!(
                "asks in round {} for votes for epoch and zxid {claimed:?}; its disk holds {:?}",
                vote.round,
                machine.has()
            )
        })
    }

    /// I09: who broke the protocol, if nobody garbled what was said?
    pub(super) fn hanging(&self, why: &HangReason) -> Result<(), Violation> {
        let HangReason::Fault(fault) = why else { return Ok(()) };
        ensure(self.garbled, Invariant::I09, || format!("hangs up: {fault}"))
    }

    pub(super) fn check_leave(&self, event: &Event) -> Result<(), Violation> {
        let Event::RoleLeft { why: Leave::Fault(fault) } = event else { return Ok(()) };
        ensure(self.garbled, Invariant::I09, || format!("leaves its leader: {fault}"))
    }
}
