//! The durability ledger: what each disk holds for certain, and whether a quorum holds what is committed (I02, I05 to I08,
//! I14 to I16, I18).

use std::collections::VecDeque;
use std::sync::Arc;

use zk_core::action::{Commit, DiskCommand};
use zk_core::disk::epochs::{EpochKind, Epochs};
use zk_core::ids::{Sid, Zxid};
use zk_core::input::Token;
use zk_core::wire::txn::Txn;

use super::super::invariant::{Invariant, Violation, ensure};
use super::Ensemble;
use super::ancestry::Known;
use super::elections::Ballot;
use super::refinement::Part;

/// What was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Everything: an empty disk.
    Wipe,
    /// All since an earlier time, whose image was put in place.
    Rollback,
    /// Bytes of what was durable.
    Rot,
    /// Nothing here, but another machine has taken the same sid.
    Twin,
}

/// One machine, as its disk was told and as it reported.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) sid: Sid,
    /// An fsync failed in this process.
    pub(super) sick: bool,
    /// End of the history that was ordered from the disk.
    pub(super) last: Zxid,
    /// End of the history that the disk holds for certain.
    pub(super) durable: Zxid,
    /// As ordered.
    pub(super) ordered: Epochs,
    /// As the disk holds them for certain.
    pub(super) epochs: Epochs,
    /// End of the history in the tree, or on its way there.
    pub(super) applied: Zxid,
    /// End of the history that was in its tree when it was destroyed: replies of then may be under way.
    shown: Zxid,
    /// Through here it knows its history to be committed; none since it recovered.
    pub(super) known: Zxid,
    /// Of the process.
    pub(super) part: Part,
    /// Of the process.
    pub(super) ballot: Ballot,
    pending: VecDeque<(Token, Change)>,
    /// What it held when it was destroyed: it counts as held.
    destroyed: Option<(Zxid, Epochs)>,
    /// Since it was destroyed, no process has started.
    unread: bool,
}

/// What a disk command does to the image.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The history ends here.
    End(Zxid),
    Epoch(EpochKind, u32),
}

impl Machine {
    pub(super) fn new(sid: Sid) -> Self {
        Self {
            sid,
            sick: false,
            last: Zxid::ZERO,
            durable: Zxid::ZERO,
            ordered: Epochs::default(),
            epochs: Epochs::default(),
            applied: Zxid::ZERO,
            shown: Zxid::ZERO,
            known: Zxid::ZERO,
            part: Part::default(),
            ballot: Ballot::default(),
            pending: VecDeque::new(),
            destroyed: None,
            unread: false,
        }
    }

    /// This is what the disk holds, and nothing is under way.
    pub(super) fn start(&mut self, last: Zxid, epochs: Epochs) {
        (self.last, self.durable, self.applied) = (last, last, last);
        (self.ordered, self.epochs) = (epochs, epochs);
        self.pending.clear();
        self.unread = false;
    }

    /// What it may claim in an election: the epoch that it established, and the end of its log, as its disk holds them.
    pub(super) fn has(&self) -> (i64, Zxid) {
        (i64::from(self.epochs.current), self.durable)
    }

    fn make_durable(&mut self, upto: Token) {
        while let Some((_, change)) = self.pending.pop_front_if(|(token, _)| *token <= upto) {
            match change {
                Change::End(zxid) => self.durable = zxid,
                Change::Epoch(EpochKind::Accepted, epoch) => self.epochs.accepted = epoch,
                Change::Epoch(EpochKind::Current, epoch) => self.epochs.current = epoch,
            }
        }
    }
}

/// Commands to disks, and what comes of them.
impl Ensemble {
    /// A disk is told to do something. All of it is one queue.
    pub(super) fn ordered(&mut self, node: u32, command: &DiskCommand) -> Result<(), Violation> {
        let mut last = self.machine(node).last;
        match command {
            DiskCommand::Append { token, records } => {
                for record in records {
                    if self.ancestry.log(last, record)? == Known::New {
                        self.broadcasts(node, record.zxid)?;
                        self.check_owner(node, record)?;
                        self.begins(node, record);
                    }
                    last = record.zxid;
                }
                self.change(node, *token, Change::End(last));
            }
            DiskCommand::Truncate { token, to } => {
                ensure(self.ancestry.contains(last, *to), Invariant::I15, || {
                    format!("cuts its log, which ends at {last}, back to {to}, which it does not have")
                })?;
                self.keeps_committed(node, *to)?;
                self.change(node, *token, Change::End(*to));
            }
            DiskCommand::Install { token, view } => {
                let zxid = view.last_zxid();
                ensure(self.ancestry.knows(zxid), Invariant::I03, || {
                    format!("installs a snapshot as of {zxid}, which was never logged")
                })?;
                self.keeps_committed(node, zxid)?;
                self.change(node, *token, Change::End(zxid));
            }
            DiskCommand::SetEpoch { token, which, epoch } => {
                let ordered = self.machine(node).ordered;
                let (accepted, current) = match which {
                    EpochKind::Accepted => (*epoch, ordered.current),
                    EpochKind::Current => (ordered.accepted, *epoch),
                };
                let grows = accepted >= ordered.accepted && current >= ordered.current;
                ensure(grows && accepted >= current, Invariant::I14, || {
                    format!("writes {which:?} epoch {epoch} after {ordered:?}")
                })?;
                self.machine(node).ordered = Epochs { accepted, current };
                self.change(node, *token, Change::Epoch(*which, *epoch));
            }
            DiskCommand::Roll => {}
        }
        Ok(())
    }

    /// Nobody gives up what it knows to be committed. What others committed meanwhile may be cut off: they hold it, and the
    /// leader sends it again.
    fn keeps_committed(&self, node: u32, new: Zxid) -> Result<(), Violation> {
        let known = self.machines[&node].known;
        ensure(self.ancestry.contains(new, known), Invariant::I16, || {
            format!("gives up its log for one to {new}, without {known}, which it knows to be committed")
        })
    }

    fn change(&mut self, node: u32, token: Token, change: Change) {
        let machine = self.machine(node);
        if let Change::End(last) = change {
            machine.last = last;
        }
        machine.pending.push_back((token, change));
    }

    /// The disk reports.
    pub(super) fn durable(&mut self, node: u32, token: Token) -> Result<(), Violation> {
        let machine = self.machine(node);
        let before = machine.durable;
        machine.make_durable(token);
        let after = machine.durable;
        if self.doubt && self.is_restored() {
            self.doubt = false;
        }
        if self.ancestry.contains(after, before) { Ok(()) } else { self.check_held("a log was cut back") }
    }
}

/// What comes back after a crash.
impl Ensemble {
    pub(super) fn recovered(
        &mut self,
        node: u32,
        last: Zxid,
        epochs: Option<Epochs>,
    ) -> Result<(), Violation> {
        self.begin(node);
        let machine = &self.machines[&node];
        let found = epochs.unwrap_or_else(|| Epochs { accepted: last.epoch(), current: last.epoch() });
        if machine.unread {
            let known = self.ancestry.knows(last);
            self.machine(node).start(last, found);
            return ensure(known, Invariant::I18, || format!("recovers {last}, which was never logged"));
        }
        ensure(self.may_recover(machine, last), Invariant::I18, || {
            format!("recovers {last}; {} was durable and {} ordered behind it", machine.durable, machine.last)
        })?;
        if epochs.is_some() {
            let Epochs { accepted, current } = found;
            let (durable, ordered) = (machine.epochs, machine.ordered);
            let within = (durable.accepted..=ordered.accepted).contains(&accepted)
                && (durable.current..=ordered.current).contains(&current);
            ensure(within && accepted >= current, Invariant::I14, || {
                format!("recovers {found:?}; {durable:?} was durable and {ordered:?} ordered")
            })?;
        }
        self.machine(node).start(last, found);
        self.check_held("a server recovered")
    }

    /// What is recovered is the image at some point of the queue, at or behind what is durable.
    fn may_recover(&self, machine: &Machine, last: Zxid) -> bool {
        let mut from = machine.durable;
        let between = |from: Zxid, to: Zxid| {
            let (low, high) = (from.min(to), from.max(to));
            last == low
                || last == high
                || (last > low && self.ancestry.contains(high, low) && self.ancestry.contains(high, last))
        };
        if last == from {
            return true;
        }
        machine.pending.iter().any(|(_, change)| match change {
            Change::End(to) => between(std::mem::replace(&mut from, *to), *to),
            Change::Epoch(..) => false,
        })
    }

    fn begin(&mut self, node: u32) {
        let machine = self.machine(node);
        machine.sick = false;
        machine.known = Zxid::ZERO;
        machine.part = Part::default();
        machine.ballot.restart();
    }

    pub(super) fn check_refusal(&mut self, node: u32) -> Result<(), Violation> {
        let excused = self.machine(node).unread;
        ensure(excused, Invariant::I18, || "refuses its disk, to which nothing was done".to_owned())
    }

    pub(super) fn destroy(&mut self, node: u32, loss: Loss) {
        let ancestry = &self.ancestry;
        let machine = self.machines.get_mut(&node).expect("a machine of this ensemble");
        if loss == Loss::Twin {
            return;
        }
        let (zxid, epochs) = machine.destroyed.unwrap_or_default();
        let more = ancestry.contains(machine.durable, zxid);
        let held = if more { machine.durable } else { zxid };
        let highest = Epochs {
            accepted: epochs.accepted.max(machine.epochs.accepted),
            current: epochs.current.max(machine.epochs.current),
        };
        machine.destroyed = Some((held, highest));
        machine.shown = machine.shown.max(machine.applied);
        machine.start(Zxid::ZERO, Epochs::default());
        machine.part = Part::default();
        machine.unread = true;
    }
}

/// Commits.
impl Ensemble {
    /// A server has learnt that these are committed, and hands them to its tree.
    pub(super) fn applying(&mut self, node: u32, commits: &[Commit]) -> Result<(), Violation> {
        for commit in commits {
            if let Commit::Txn { txn, .. } = commit {
                self.deliver(node, txn)?;
            }
        }
        self.check_held("it was committed")
    }

    fn deliver(&mut self, node: u32, txn: &Arc<Txn>) -> Result<(), Violation> {
        let (zxid, applied) = (txn.header.zxid, self.machine(node).applied);
        ensure(self.ancestry.knows(zxid), Invariant::I03, || {
            format!("commits {zxid}, which nobody ever logged")
        })?;
        let follows = self.ancestry.parent(zxid);
        let order = if zxid.epoch() == applied.epoch() { Invariant::I06 } else { Invariant::I05 };
        ensure(follows == Some(applied), order, || {
            format!("applies {zxid}, which follows {follows:?}, to a tree that ends at {applied}")
        })?;
        ensure(zxid > self.committed || self.is_committed(zxid), Invariant::I07, || {
            format!("commits {zxid}, which is not part of what is committed through {}", self.committed)
        })?;
        let (other, had) = self.delivered;
        let agree = self.ancestry.contains(zxid, had) || self.ancestry.contains(had, zxid);
        ensure(agree, Invariant::I04, || format!("delivers {zxid}, node {other} {had}, and neither both"))?;
        self.may_commit(node, zxid)?;
        self.commit(zxid, Some(txn))?;
        self.delivered = (node, zxid);
        let machine = self.machine(node);
        (machine.applied, machine.known) = (zxid, zxid);
        Ok(())
    }

    /// A server starts from another tree.
    pub(super) fn adopting(&mut self, node: u32, zxid: Zxid) -> Result<(), Violation> {
        self.machine(node).applied = zxid;
        ensure(self.ancestry.knows(zxid), Invariant::I03, || {
            format!("takes over a tree as of {zxid}, which nobody ever logged")
        })
    }

    /// A leader's history is committed as a whole; it may be in its tree since it was recovered.
    pub(super) fn established(&mut self, node: u32, zxid: Zxid) -> Result<(), Violation> {
        self.machine(node).known = zxid;
        self.commit(zxid, None)?;
        self.check_held("its epoch was established")
    }

    /// Everything through `zxid` is committed.
    pub(super) fn commit(&mut self, zxid: Zxid, txn: Option<&Arc<Txn>>) -> Result<(), Violation> {
        let committed = self.committed;
        if self.ancestry.contains(committed, zxid) {
            return Ok(());
        }
        ensure(self.ancestry.contains(zxid, committed), Invariant::I02, || {
            format!("commits {zxid}, whose history lacks {committed}, which is committed")
        })?;
        let led = self.leaders.range(zxid.epoch() + 1..).next_back();
        ensure(led.is_none_or(|(_, led)| self.ancestry.contains(led.base, zxid)), Invariant::I08, || {
            format!("commits {zxid}, which a later leader does not have: {led:?}")
        })?;
        let mut chain = Vec::new();
        let mut at = zxid;
        while at != committed {
            chain.push(at);
            at = self.ancestry.parent(at).expect("a walk from a txn to one of its past");
        }
        self.committed = zxid;
        for at in chain.into_iter().rev() {
            let bytes = self.ancestry.committed(at);
            match (txn, bytes) {
                (Some(txn), _) if at == zxid => self.fresh.push(Arc::clone(txn)),
                (_, Some(bytes)) => {
                    let decoded = Txn::decode(bytes).expect("the core's own encoding");
                    self.fresh.push(Arc::new(decoded));
                }
                // It is part of the snapshot that the world began with.
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// I16: a quorum holds what is committed.
    pub(super) fn check_held(&mut self, when: &str) -> Result<(), Violation> {
        let zxid = self.committed;
        if !self.is_held(zxid, Counting::Destroyed) {
            let holders = self.holders(zxid);
            let what = format!("{zxid} is committed and durable on {holders:?} only, no quorum, when {when}");
            return Err(Violation { invariant: Invariant::I16, what });
        }
        self.doubt = self.doubt || !self.is_safe();
        Ok(())
    }

    fn is_held(&self, zxid: Zxid, counting: Counting) -> bool {
        let holds = |machine: &Machine| {
            self.ancestry.contains(machine.durable, zxid)
                || counting == Counting::Destroyed
                    && machine.destroyed.is_some_and(|(held, _)| self.ancestry.contains(held, zxid))
        };
        self.have_quorum(holds)
    }

    /// True if machines of which this holds are a quorum.
    pub(super) fn have_quorum(&self, holds: impl Fn(&Machine) -> bool) -> bool {
        self.quorums.contains_quorum(|sid| self.of(sid).any(&holds))
    }

    /// The machines of a sid.
    fn of(&self, sid: Sid) -> impl Iterator<Item = &Machine> {
        let own = u32::try_from(sid.0).ok().and_then(|node| self.machines.get(&node));
        let twins = self.twins.iter().map(|node| &self.machines[node]);
        own.into_iter().chain(twins).filter(move |machine| machine.sid == sid)
    }

    /// Whether what was not destroyed is a quorum for all that was promised: what is committed, and the epoch that is led.
    pub(super) fn is_safe(&self) -> bool {
        if !self.wrecked {
            return true;
        }
        self.is_held(self.committed, Counting::Whole)
            && self.is_held(self.founded, Counting::Whole)
            && self.have_quorum(|machine| machine.epochs.accepted >= self.led)
            && self.twins.is_empty()
    }

    /// Whether a quorum has again what was in doubt. That somebody accepted the epoch says nothing by then, for it may have
    /// been another's of the same number; whoever established it has taken over its leader's history.
    fn is_restored(&self) -> bool {
        self.is_safe() && self.have_quorum(|machine| machine.epochs.current >= self.led)
    }

    pub(super) fn check_reply(&self, node: u32, zxid: Zxid) -> Result<(), Violation> {
        let Machine { applied, shown, .. } = self.machines[&node];
        ensure(zxid <= applied.max(shown) && self.is_committed(zxid), Invariant::I16, || {
            format!("a client is shown {zxid}, committed is {}, and applied here {applied}", self.committed)
        })
    }
}

/// Which machines count as holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    /// Those that hold it.
    Whole,
    /// Those that held it when they were destroyed, too.
    Destroyed,
}
