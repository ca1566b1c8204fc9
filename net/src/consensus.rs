//! [`Consensus`]: the replica, stepped by whichever thread has something for it ([`Seat`]).
//!
//! There is one owner at any time, and a write by a lone client costs one wake-up besides its socket's, that of the disk
//! thread: its connection's worker decides and hands the record over, and the disk thread, when it is durable, applies it
//! and writes the reply. A packet of another server costs one alone: whoever reads it also writes the log
//! ([`crate::peer::reactor`]). A thread of its own for the replica would add two wake-ups (some 10 us each on an idle machine, as
//! much as the rest together); there is one all the same, for the time (ticks), for what a disk thread with more work before
//! it leaves, and for an inbox that keeps filling.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use zk_core::action::{Action, CloseReason, Commit, ConfigNode, DiskCommand, SessionAnswer};
use zk_core::event::Event;
use zk_core::front::{self, Connections, Host, Intake};
use zk_core::ids::ConnId;
use zk_core::input::{AdminCommand, Input};
use zk_core::replica::{ClientService, Outbox, Replica, RoleKind, Standing};
use zk_core::time::Mono;
use zk_core::tree::Tree;

use crate::bell::Bell;
use crate::client::table::Desk;
use crate::disk::errands::Errand;
use crate::events::tell_standing;
use crate::gate::Entry;
use crate::log::Hand;
use crate::metrics::Tally;
use crate::peer::quorum_link::QuorumLink;
use crate::seat::{Coming, Left, Seat};
use crate::shared::Shared;

/// Inputs stepped under one entry of the gate.
const STEPS_MAX: usize = 64;
/// Inputs that may wait before other servers are not read any more.
const INBOX_MAX: usize = 4096;

/// The replica with its inbox.
#[derive(Debug)]
pub(crate) struct Consensus {
    seat: Seat<Owner, Input>,
    bell: Bell,
    /// Requests that the replica could still take when it was asked last.
    credit: AtomicI64,
    /// Requests between its door and their reply, when it was asked last.
    outstanding: AtomicI64,
    /// Requests that were let in since, and that it has not seen yet.
    on_their_way: AtomicI64,
    /// When the replica wants a tick; `u64::MAX` never.
    deadline: AtomicU64,
    drained: Mutex<bool>,
    is_drained: Condvar,
}

/// The replica and what its owner of the moment needs.
#[derive(Debug)]
struct Owner {
    replica: Replica,
    /// What it was told to be last.
    role: RoleKind,
    outbox: Outbox,
    intake: Intake,
    tally: Tally,
}

/// What is left to do when the seat is free again.
#[derive(Debug, Default)]
struct Deliveries {
    dirty: Vec<ConnId>,
    close: Vec<(ConnId, CloseReason)>,
    links: Vec<Arc<QuorumLink>>,
    /// There is something in the log to be written.
    logged: bool,
    /// No client is served any more.
    everybody_goes: bool,
}

impl Consensus {
    /// Over a replica that was just opened; `outbox` is what it said then.
    pub(crate) fn new(replica: Replica, outbox: Outbox) -> Self {
        let role = replica.standing().role;
        let owner = Owner { replica, role, outbox, intake: Intake::default(), tally: Tally::default() };
        Self {
            seat: Seat::new(owner),
            bell: Bell::default(),
            credit: AtomicI64::new(0),
            outstanding: AtomicI64::new(0),
            on_their_way: AtomicI64::new(0),
            deadline: AtomicU64::new(u64::MAX),
            drained: Mutex::new(false),
            is_drained: Condvar::new(),
        }
    }

    /// Counts requests that were just let in; they are to be submitted.
    pub(crate) fn let_in(&self, requests: usize) {
        self.on_their_way.fetch_add(requests as i64, Ordering::Relaxed);
    }

    /// One input.
    pub(crate) fn submit_one(&self, input: Input) {
        self.seat.put_one(input);
    }

    /// True while more requests may be let in.
    pub(crate) fn has_credit(&self) -> bool {
        self.credit.load(Ordering::Relaxed) > self.on_their_way.load(Ordering::Relaxed)
    }

    /// Requests that were let in and not answered yet.
    pub(crate) fn in_process(&self) -> i64 {
        self.outstanding.load(Ordering::Relaxed) + self.on_their_way.load(Ordering::Relaxed)
    }

    /// True if something waits for somebody to decide on it.
    pub(crate) fn is_asked(&self) -> bool {
        self.seat.waiting() > 0
    }

    /// Looks at the replica.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&Replica) -> R) -> R {
        f(&self.seat.look().replica)
    }

    /// Wakes the consensus thread.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// Waits until nothing is in flight any more after a drain was ordered; false if that takes longer than `patience`.
    pub(crate) fn wait_drained(&self, patience: Duration) -> bool {
        let mut drained = self.drained.lock();
        let timed_out = self.is_drained.wait_while_for(&mut drained, |drained| !*drained, patience);
        !timed_out.timed_out()
    }

    fn deadline(&self) -> Option<Mono> {
        Some(Mono(self.deadline.load(Ordering::Acquire))).filter(|at| at.0 != u64::MAX)
    }
}

impl Shared {
    /// Puts inputs, in order, before the replica; it sees them when somebody [`decides`](Self::decide). Their requests were
    /// [let in](Consensus::let_in).
    pub(crate) fn submit(&self, inputs: &mut Vec<Input>) {
        if !inputs.is_empty() {
            self.consensus.seat.put(inputs);
        }
    }

    /// The same for what clients sent behind their handshakes, which nobody counted when it came.
    fn let_in_and_submit(&self, inputs: &mut Vec<Input>) {
        self.consensus.let_in(requests_in(inputs));
        self.submit(inputs);
    }

    /// Steps through the inbox, unless another thread is at it.
    pub(crate) fn decide(self: &Arc<Self>, hand: Hand) {
        self.take_turns(Coming::By, hand);
    }

    /// Takes what other servers said, and what happened on the way to them.
    pub(crate) fn hear(self: &Arc<Self>, inputs: &mut Vec<Input>) {
        self.submit(inputs);
        self.decide(Hand::Rings);
    }

    /// True while so much waits for the replica or the disk that nobody should be asked for more.
    pub(crate) fn is_pressed(&self) -> bool {
        self.consensus.seat.waiting() > INBOX_MAX || self.log.room() == 0
    }

    fn take_turns(self: &Arc<Self>, coming: Coming, hand: Hand) {
        let turn = |owner: &mut Owner, inputs: &mut Vec<Input>| self.turn(owner, inputs, hand);
        let left = self.consensus.seat.come(coming, turn, |deliveries| self.deliver(deliveries));
        if left == Left::Filling {
            self.consensus.bell.ring();
        }
    }

    /// One turn on the seat: everything that was in the inbox. What the replica said when it was opened is carried out first,
    /// with no input at all.
    fn turn(self: &Arc<Self>, owner: &mut Owner, inputs: &mut Vec<Input>, hand: Hand) -> Deliveries {
        let mut deliveries = Deliveries::default();
        let requests = requests_in(inputs);
        let mut waiting = inputs.drain(..).peekable();
        loop {
            if waiting.peek().is_some() {
                let tree = self.gate.enter(Entry::of_this_thread());
                let now = self.clock.now();
                for input in waiting.by_ref().take(STEPS_MAX) {
                    owner.replica.step(now, input, &tree, &mut owner.outbox);
                }
            }
            self.carry_out(owner, &mut deliveries);
            if waiting.peek().is_none() {
                break;
            }
        }
        if deliveries.logged && hand == Hand::Rings {
            self.log.call();
        }
        self.metrics.count(Entry::of_this_thread(), &owner.tally, 0, self.clock.mono());
        self.metrics.requests.add(requests as u64);
        self.publish(&owner.replica, requests);
        self.relieve();
        deliveries
    }

    /// What others need to know of the replica between turns. It has seen this many more requests.
    fn publish(&self, replica: &Replica, seen: usize) {
        let consensus = &self.consensus;
        let credit = (replica.credit().requests as usize).min(self.log.room());
        consensus.credit.store(credit as i64, Ordering::Relaxed);
        consensus.outstanding.store(replica.outstanding() as i64, Ordering::Relaxed);
        // After the store: for a moment too little is let in rather than too much, and `deliver` lets the rest in.
        consensus.on_their_way.fetch_sub(seen as i64, Ordering::Release);
        let deadline = replica.deadline().map_or(u64::MAX, |at| at.0);
        if consensus.deadline.swap(deadline, Ordering::AcqRel) > deadline {
            consensus.bell.ring();
        }
        if replica.is_drained() {
            *consensus.drained.lock() = true;
            consensus.is_drained.notify_all();
        }
    }

    /// Carries actions out in the order in which they were emitted, and what their own steps emit behind them.
    fn carry_out(self: &Arc<Self>, owner: &mut Owner, deliveries: &mut Deliveries) {
        while !owner.outbox.is_empty() {
            let mut actions = std::mem::take(&mut owner.outbox);
            for action in actions.drain(..) {
                self.act(action, owner, deliveries);
            }
            if owner.outbox.is_empty() {
                owner.outbox = actions;
            }
        }
    }

    fn act(self: &Arc<Self>, action: Action, owner: &mut Owner, deliveries: &mut Deliveries) {
        match action {
            Action::Disk(command) => {
                match &command {
                    DiskCommand::Install { .. } => self.rewrites.ordered(),
                    DiskCommand::Append { records, .. } => {
                        self.metrics.ensemble.logged(owner.role, records, self.clock.now().wall);
                    }
                    _ => {}
                }
                self.log.put(command);
                deliveries.logged = true;
            }
            Action::Apply(commits) => {
                let metrics = &self.metrics.ensemble;
                metrics.committed(owner.role, &commits, self.clock.now().wall);
                self.apply(owner, &commits, deliveries);
                metrics.applied(owner.role, &commits, self.clock.now().wall);
            }
            Action::Snapshot => {
                let view = self.gate.enter(Entry::of_this_thread()).view();
                self.views.push(self.rewrites.about(view));
            }
            Action::Session { conn, answer } => self.answer_session(conn, answer, owner, deliveries),
            Action::Close { conn, why } => deliveries.close.push((conn, why)),
            Action::Event(event) => {
                if let Event::SyncChosen { kind, .. } = event {
                    self.metrics.ensemble.sync_chosen(kind, &owner.replica.learners());
                }
                self.tell(&event);
            }
            Action::Fatal(reason) => self.fail(reason),
            Action::Adopt(tree) => self.adopt(*tree, owner),
            Action::ConfigNode(ConfigNode { text, version, time }) => {
                self.gate.hold().set_config(&text, version, time);
            }
            Action::Membership(membership) => self.regroup(membership),
            Action::Reload { to } => self.errands.push(Errand::Rebuild { to }),
            Action::ReadLog { query, from, to, limit } => {
                self.errands.push(Errand::ReadLog { query, from, to, limit });
            }
            Action::Election { link, command } => self.command_election(link, command),
            Action::Listen => self.listen_for_learners(),
            Action::Unlisten => self.ignore_learners(),
            Action::Dial { sid, link } => self.dial_quorum(sid, link),
            Action::Send { link, packet } => deliveries.send_on(self.send(link, &packet)),
            Action::SendView { link, view } => deliveries.send_on(self.send_view(link, &view)),
            Action::Hang { link, why } => self.hang_up(link, &why),
            Action::Role(standing) => self.stand(standing, owner, deliveries),
            Action::SessionExpired { session } => {
                let conn = Desk { shared: self, tally: &owner.tally }.conn_of(session);
                deliveries.close.extend(conn.map(|conn| (conn, CloseReason::SessionExpired)));
            }
            Action::SessionMoved { session } => {
                let conn = Desk { shared: self, tally: &owner.tally }.conn_of(session);
                deliveries.close.extend(conn.map(|conn| (conn, CloseReason::SessionMoved)));
            }
        }
    }

    /// From here on this is the tree.
    fn adopt(&self, tree: Tree, owner: &mut Owner) {
        let zxid = tree.last_zxid();
        let before = std::mem::replace(&mut *self.gate.hold(), tree);
        self.errands.push(Errand::Forget(Box::new(before)));
        let tree = self.gate.enter(Entry::of_this_thread());
        owner.replica.step(self.clock.now(), Input::Applied(zxid), &tree, &mut owner.outbox);
    }

    /// The server is something else now.
    fn stand(&self, standing: Standing, owner: &mut Owner, deliveries: &mut Deliveries) {
        tell_standing(&standing);
        self.metrics.ensemble.stands(&standing, self.clock.mono());
        owner.role = standing.role;
        *self.standing.lock() = standing;
        deliveries.everybody_goes |= standing.clients == ClientService::Closed;
    }

    fn answer_session(
        &self,
        conn: ConnId,
        answer: SessionAnswer,
        owner: &mut Owner,
        deliveries: &mut Deliveries,
    ) {
        // Alone, so that what the client sent behind its handshake is in the inbox before its task can put anything
        // there that it sent later.
        let tree = self.gate.hold();
        let desk = Desk { shared: self, tally: &owner.tally };
        let now = self.clock.now();
        let host = Host { config: &self.front, tree: &tree, conns: &desk, watches: &self.watches, now };
        front::answer_session(conn, answer, &host, &mut owner.intake);
        self.let_in_and_submit(&mut owner.intake.inputs);
        drop(tree);
        deliveries.gather(&mut owner.intake);
    }

    /// Applies commits in batches under the gate, and tells the replica how far the tree is.
    fn apply(self: &Arc<Self>, owner: &mut Owner, commits: &[Commit], deliveries: &mut Deliveries) {
        let mut rest = commits;
        while !rest.is_empty() {
            let mut tree = self.gate.hold();
            let desk = Desk { shared: self, tally: &owner.tally };
            let batch = crate::apply::Batch {
                front: &self.front,
                conns: &desk,
                watches: &self.watches,
                clock: &self.clock,
                digests: &self.digests,
            };
            rest = batch.apply(&mut tree, rest, &mut owner.intake);
            // Before anyone else gets in: see `answer_session`.
            self.let_in_and_submit(&mut owner.intake.inputs);
            drop(tree);
            deliveries.gather(&mut owner.intake);
        }
        let tree = self.gate.enter(Entry::of_this_thread());
        owner.replica.step(self.clock.now(), Input::Applied(tree.last_zxid()), &tree, &mut owner.outbox);
    }

    /// Writes what connections got, and lets those read again that waited for credit.
    fn deliver(&self, deliveries: Deliveries) {
        let Deliveries { dirty, mut close, links, everybody_goes, .. } = deliveries;
        // The others first: clients wait for them, too.
        links.iter().for_each(|link| link.flush());
        if everybody_goes {
            close.extend(self.table.all().iter().map(|client| (client.id, CloseReason::NotServing)));
        }
        for client in dirty.into_iter().filter_map(|conn| self.table.get(conn)) {
            client.flush();
        }
        for (conn, why) in close {
            if let Some(client) = self.table.get(conn) {
                client.close(why);
            }
        }
        self.feed_starved();
    }

    /// The consensus thread: brings the time, and takes over what others leave.
    pub(crate) fn run_consensus(self: &Arc<Self>) {
        self.consensus.bell.belongs_here();
        self.take_turns(Coming::ToStay, Hand::Rings);
        while !self.is_stopping() {
            self.consensus.bell.wait(self.consensus.deadline().map(|at| self.clock.until(at)));
            let now = self.clock.mono();
            if self.consensus.deadline().is_some_and(|at| at <= now) {
                self.consensus.submit_one(Input::Tick);
            }
            self.take_turns(Coming::ToStay, Hand::Rings);
        }
    }

    /// Takes no more requests, and waits for those that are in flight.
    pub(crate) fn drain(&self, patience: Duration) -> bool {
        self.consensus.submit_one(Input::Admin(AdminCommand::Drain));
        self.consensus.ring();
        self.consensus.wait_drained(patience)
    }
}

/// How many of them are requests.
pub(crate) fn requests_in(inputs: &[Input]) -> usize {
    inputs.iter().filter(|input| matches!(input, Input::Request(_))).count()
}

impl Deliveries {
    /// Something is to be written on this link, if it is still there.
    fn send_on(&mut self, link: Option<Arc<QuorumLink>>) {
        let new = |link: &Arc<QuorumLink>| !self.links.iter().any(|other| Arc::ptr_eq(other, link));
        if let Some(link) = link.filter(new) {
            self.links.push(link);
        }
    }

    fn gather(&mut self, intake: &mut Intake) {
        self.dirty.append(&mut intake.dirty);
        self.close.append(&mut intake.close);
    }
}
