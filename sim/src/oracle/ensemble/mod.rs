//! [`Ensemble`]: what must hold across servers (simulation brief §7: I01 to I17, I19, I29, I31, I40, and the refinement
//! monitor).
//!
//! It watches what goes into every replica and what comes out, in that order and before it is carried out, and believes
//! nothing that a replica says of itself: what is durable it knows from the disk's reports, who voted from the votes, who
//! acknowledged from the packets.
//!
//! A node calls it so:
//!
//! | when | hook |
//! |---|---|
//! | before the world starts, for a node that has history | [`Ensemble::found`] |
//! | recovery has ended, before the first action of `Replica::open` | [`Ensemble::booted`], or [`Ensemble::refused`] |
//! | before every `Replica::step`, and after it (after `Replica::open`, too) | [`Ensemble::input`], [`Ensemble::stepped`] |
//! | before every action is carried out | [`Ensemble::action`], then [`Ensemble::take_committed`] |
//! | a deadline has been dealt with | [`Ensemble::carries`] |
//! | an fsync fails | [`Ensemble::fsync_failed`] |
//! | a client hears a reply of this zxid | [`Ensemble::replied`] |
//! | a fault destroys what is durable, or bytes between servers | [`Ensemble::destroyed`], [`Ensemble::garbled`] |
//!
//! **Destruction.** What is destroyed on purpose does not count against the servers: whatever they had is taken as held.
//! While what is left is no quorum, the protocol promises nothing ([`Ensemble::is_in_doubt`]); if a rule then breaks, the
//! run has lost data to the faults and not to the servers ([`Ensemble::lost`]), and nothing more is judged.

mod ancestry;
mod durability;
mod elections;
mod hearing;
mod limits;
mod owners;
mod promises;
mod refinement;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zk_core::action::{Action, LogRecord};
use zk_core::disk::epochs::Epochs;
use zk_core::election::Election;
use zk_core::election::links::LinkCommand;
use zk_core::election::port::PortInput;
use zk_core::ids::{Sid, Zxid};
use zk_core::input::{Input, LinkEvent};
use zk_core::quorum::Quorums;
use zk_core::replica::{Replica, RoleKind};
use zk_core::time::Mono;
use zk_core::wire::quorum::QuorumPacket;
use zk_core::wire::txn::Txn;

use super::invariant::Violation;
use ancestry::Ancestry;
pub use durability::Loss;
use durability::Machine;
use hearing::Timeouts;
pub use limits::{Limits, Load};
use refinement::Led;

/// See the module.
#[derive(Clone, Debug)]
pub struct Ensemble {
    quorums: Quorums,
    ancestry: Ancestry,
    machines: BTreeMap<u32, Machine>,
    /// Machines that are not the one of their sid's number.
    twins: Vec<u32>,
    /// The last txn that is committed anywhere.
    committed: Zxid,
    /// Who delivered last, and what.
    delivered: (u32, Zxid),
    /// Committed, and not taken by the driver yet.
    fresh: Vec<Arc<Txn>>,
    /// Of all sessions, as they began.
    timeouts: Timeouts,
    /// What queues may hold.
    limits: Limits,
    /// Epochs with the machines that proposed them.
    proposals: BTreeSet<(u32, u32)>,
    /// Leaders that got beyond discovery, by epoch.
    leaders: BTreeMap<u32, Led>,
    /// The newest epoch of them.
    led: u32,
    /// The newest epoch that was led before the world began.
    led_before: u32,
    /// The longest history that a quorum held when the world began.
    founded: Zxid,
    /// Something was destroyed on purpose.
    wrecked: bool,
    doubt: bool,
    lost: Option<Violation>,
    /// Bytes between servers were replaced: what they say proves nothing.
    garbled: bool,
}

impl Ensemble {
    /// An ensemble in which these quorums decide. Each machine has a number, by which nodes call, and a sid; a twin is a
    /// second machine of a sid.
    pub fn new(quorums: Quorums, machines: impl IntoIterator<Item = (u32, Sid)>) -> Self {
        let machines: BTreeMap<_, _> =
            machines.into_iter().map(|(node, sid)| (node, Machine::new(sid))).collect();
        let twins = machines.iter().filter(|(node, machine)| machine.sid != Sid(i64::from(**node)));
        let twins = twins.map(|(node, _)| *node).collect();
        Self {
            quorums,
            ancestry: Ancestry::default(),
            machines,
            twins,
            committed: Zxid::ZERO,
            delivered: (0, Zxid::ZERO),
            fresh: Vec::new(),
            timeouts: Timeouts::new(),
            limits: Limits::default(),
            proposals: BTreeSet::new(),
            leaders: BTreeMap::new(),
            led: 0,
            led_before: 0,
            founded: Zxid::ZERO,
            wrecked: false,
            doubt: false,
            lost: None,
            garbled: false,
        }
    }

    /// A node's disk holds this before it ever starts: a snapshot as of `base`, and a log behind it.
    pub fn found(
        &mut self,
        node: u32,
        base: Zxid,
        log: &[LogRecord],
        epochs: Epochs,
    ) -> Result<(), Violation> {
        self.ancestry.root(base);
        let mut last = base;
        for record in log {
            self.ancestry.log(last, record)?;
            last = record.zxid;
        }
        self.machine(node).start(last, epochs);
        // Somebody led what was established, and what a quorum has was committed: if too few are left who know of that, its
        // epochs may be led and its zxids given out again.
        self.led = self.led.max(epochs.current);
        self.led_before = self.led;
        let mut at = last;
        while at > self.founded && !self.have_quorum(|machine| self.ancestry.contains(machine.durable, at)) {
            at = self.ancestry.parent(at).unwrap_or(Zxid::ZERO);
        }
        self.founded = self.founded.max(at);
        Ok(())
    }

    /// Recovery has ended with this; the process begins.
    pub fn booted(&mut self, node: u32, last: Zxid, epochs: Option<Epochs>) -> Result<(), Violation> {
        let judged = self.recovered(node, last, epochs);
        self.judge(node, judged)
    }

    /// Recovery has refused what the disk holds.
    pub fn refused(&mut self, node: u32) -> Result<(), Violation> {
        let judged = self.check_refusal(node);
        self.judge(node, judged)
    }

    /// The replica is about to be told this, at this time of its own clock. `peer`: the node at the other end of the link that
    /// it concerns.
    pub fn input(&mut self, node: u32, peer: Option<u32>, now: Mono, input: &Input) -> Result<(), Violation> {
        self.hears_of_clients(node, now, input);
        let part = &mut self.machine(node).part;
        if part.role == RoleKind::Leading {
            part.owners.told(node, peer, input);
        }
        let judged = match input {
            Input::Durable(token) => self.durable(node, *token),
            Input::Link { event: LinkEvent::Packet(packet), .. } => self.arrives(node, peer, packet),
            Input::Election(PortInput::Notification { notification, .. }) => {
                self.hears(node, peer, notification);
                Ok(())
            }
            _ => Ok(()),
        };
        self.judge(node, judged)
    }

    /// The replica has taken its input, and none of its actions is carried out yet.
    pub fn stepped(&mut self, node: u32, replica: &Replica) -> Result<(), Violation> {
        replica.election().map_or(Ok(()), |port| self.voted(node, port.election()))
    }

    /// A step may have changed how a server votes.
    pub fn voted(&mut self, node: u32, election: &Election) -> Result<(), Violation> {
        let judged = self.elects_on(node, election);
        self.judge(node, judged)
    }

    /// The replica wants this done, and it is about to be.
    pub fn action(&mut self, node: u32, action: &Action) -> Result<(), Violation> {
        let judged = match action {
            Action::Disk(command) => self.ordered(node, command),
            Action::Apply(commits) => self.applying(node, commits),
            Action::Adopt(tree) => self.adopting(node, tree.last_zxid()),
            Action::Event(event) => self.event(node, event),
            Action::Role(standing) => self.stands(node, standing),
            Action::Send { link, packet } => {
                self.goes_on(node, action);
                self.sending(node, *link, packet)
            }
            Action::Session { .. } => {
                self.goes_on(node, action);
                Ok(())
            }
            Action::SendView { link, view } => {
                self.sending(node, *link, &QuorumPacket::Snap { zxid: view.last_zxid() })
            }
            Action::Election { command: LinkCommand::Send(vote), .. } => self.voting(node, vote),
            Action::Hang { why, .. } => self.hanging(why),
            _ => Ok(()),
        };
        self.judge(node, judged)
    }

    /// Txns that are committed since the last time, in their order: to be judged by [`super::Commits`] before anything
    /// else happens. The tail that a leader recovered is among them, though it is applied by nobody: its tree has it.
    pub fn take_committed(&mut self) -> Vec<Arc<Txn>> {
        std::mem::take(&mut self.fresh)
    }

    /// An fsync failed: this process promises nothing more.
    pub fn fsync_failed(&mut self, node: u32) {
        self.machine(node).sick = true;
    }

    /// What is durable on a node is destroyed on purpose.
    pub fn destroyed(&mut self, node: u32, loss: Loss) {
        self.destroy(node, loss);
        self.wrecked = true;
        self.doubt = self.doubt || !self.is_safe();
    }

    /// Bytes between servers are replaced from now on.
    pub const fn garbled(&mut self) {
        self.garbled = true;
    }

    /// A client hears a reply that shows the state of this zxid.
    pub fn replied(&mut self, node: u32, zxid: Zxid) -> Result<(), Violation> {
        let judged = self.check_reply(node, zxid);
        self.judge(node, judged)
    }

    /// True while too little is left of what was promised for the protocol to promise anything.
    pub const fn is_in_doubt(&self) -> bool {
        self.doubt
    }

    /// What broke while it could not be otherwise. Nothing is judged any more.
    pub const fn lost(&self) -> Option<&Violation> {
        self.lost.as_ref()
    }

    /// The last txn that is committed anywhere.
    pub const fn committed(&self) -> Zxid {
        self.committed
    }

    /// Whether the history of a node, as it ordered it from its disk, has nothing beyond `zxid` that is not committed: its
    /// tree at `zxid` is then the model's.
    pub fn is_committed(&self, zxid: Zxid) -> bool {
        self.ancestry.contains(self.committed, zxid)
    }

    /// Sids whose durable images hold `zxid`, ascending.
    pub fn holders(&self, zxid: Zxid) -> Vec<Sid> {
        let holds = |machine: &&Machine| self.ancestry.contains(machine.durable, zxid);
        let mut holders: Vec<Sid> = self.machines.values().filter(holds).map(|m| m.sid).collect();
        holders.sort_unstable();
        holders.dedup();
        holders
    }

    /// A broken rule is a violation, unless what it rests on was destroyed.
    fn judge(&mut self, node: u32, judged: Result<(), Violation>) -> Result<(), Violation> {
        let Err(mut violation) = judged else { return Ok(()) };
        if self.lost.is_some() {
            return Ok(());
        }
        violation.what = format!("node {node}: {}", violation.what);
        if self.doubt {
            self.lost = Some(violation);
            return Ok(());
        }
        Err(violation)
    }

    fn machine(&mut self, node: u32) -> &mut Machine {
        self.machines.get_mut(&node).expect("a machine of this ensemble")
    }
}
