//! I29: no session expires of whose client the leader has heard within its timeout, and a learner tells its leader of all
//! clients that it has heard.
//!
//! Both by the clock of the server itself. A leader hears of a client by a request or a session to go on with, from its own
//! clients and from its learners, and by what learners report with the answer to a PING. A heartbeat may come late by a
//! path that is cut or slow, and then the session may expire: nobody can know. But no server keeps it to itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Buf;
use zk_core::action::{Action, LogRecord, SessionAnswer, SessionScope};
use zk_core::ids::SessionId;
use zk_core::input::{Input, LinkEvent, Touch};
use zk_core::replica::{Phase, RoleKind};
use zk_core::time::Mono;
use zk_core::wire::client::op;
use zk_core::wire::quorum::QuorumPacket;

use super::super::invariant::{Invariant, Violation, ensure};
use super::Ensemble;
use super::refinement::Part;

/// What a process has heard of clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Hearing {
    /// When its present input came.
    now: Mono,
    /// Leader: since when sessions expire by its word.
    since: Mono,
    /// Leader: the timeouts that clients asked for when they came to it or its learners, ms.
    negotiated: Timeouts,
    /// Leader: how long each session lives at least.
    until: BTreeMap<SessionId, Mono>,
    /// Learner: who was heard, and is still to be reported.
    untold: BTreeSet<SessionId>,
    /// Sessions that only this server knows: their leader hears nothing of them.
    locals: BTreeSet<SessionId>,
}

impl Part {
    /// The process is told this now.
    fn hears_of_clients(&mut self, now: Mono, input: &Input, timeouts: &Timeouts) {
        self.hearing.now = now;
        if self.phase != Phase::Broadcast {
            return;
        }
        match (self.role, input) {
            (RoleKind::Leading, Input::Request(request)) => self.hearing.lives(request.session, timeouts),
            (RoleKind::Leading, Input::Touched(touches)) => self.hearing.touched(touches, timeouts),
            (RoleKind::Leading, Input::Link { event: LinkEvent::Packet(packet), .. }) => match packet {
                QuorumPacket::Request(request) if request.op != op::CREATE_SESSION => {
                    self.hearing.lives(request.session, timeouts);
                }
                QuorumPacket::PingReply { touches, .. } => self.hearing.touched(touches, timeouts),
                QuorumPacket::Revalidate { touch } => {
                    self.hearing.negotiated.insert(touch.session, touch.timeout_ms);
                }
                _ => {}
            },
            (_, Input::Touched(touches)) => {
                let Hearing { untold, locals, .. } = &mut self.hearing;
                let sessions = touches.iter().map(|touch| touch.session);
                untold.extend(sessions.filter(|session| !locals.contains(session)));
            }
            _ => {}
        }
    }
}

/// Of sessions, ms.
pub(super) type Timeouts = BTreeMap<SessionId, i32>;

impl Hearing {
    fn touched(&mut self, touches: &[Touch], timeouts: &Timeouts) {
        for touch in touches {
            self.negotiated.insert(touch.session, touch.timeout_ms);
            self.lives(touch.session, timeouts);
        }
    }

    fn lives(&mut self, session: SessionId, timeouts: &Timeouts) {
        let Some(timeout) = self.timeout(session, timeouts) else { return };
        let until = self.until.entry(session).or_default();
        *until = (*until).max(self.now + timeout);
    }

    fn timeout(&self, session: SessionId, timeouts: &Timeouts) -> Option<Duration> {
        let ms = self.negotiated.get(&session).or_else(|| timeouts.get(&session))?;
        Some(Duration::from_millis(ms.unsigned_abs().into()))
    }

    /// It leads from now on, and gives everybody time.
    pub(super) fn begin(&mut self) {
        self.since = self.now;
    }
}

impl Ensemble {
    /// A process is told this, at this time of its own clock.
    pub(super) fn hears_of_clients(&mut self, node: u32, now: Mono, input: &Input) {
        let machine = self.machines.get_mut(&node).expect("a machine of this ensemble");
        machine.part.hears_of_clients(now, input, &self.timeouts);
    }

    /// A client went on with its session, here or at a learner.
    pub(super) fn goes_on(&mut self, node: u32, action: &Action) {
        let machine = self.machines.get_mut(&node).expect("a machine of this ensemble");
        let session = match action {
            Action::Session { answer: SessionAnswer::Attached { session, timeout_ms, scope }, .. } => {
                if *scope != SessionScope::Global {
                    machine.part.hearing.locals.insert(*session);
                }
                machine.part.hearing.negotiated.insert(*session, *timeout_ms);
                *session
            }
            Action::Send { packet: QuorumPacket::Revalidated { session, valid: true }, .. } => *session,
            _ => return,
        };
        machine.part.owners.moves(action);
        if machine.part.role == RoleKind::Leading {
            machine.part.hearing.lives(session, &self.timeouts);
        }
    }

    /// A session that only this server knew is told to the leader from now on.
    pub(super) fn upgrades(&mut self, node: u32, session: SessionId) {
        self.machine(node).part.hearing.locals.remove(&session);
    }

    /// A leader has made a new txn: perhaps a session begins.
    pub(super) fn begins(&mut self, node: u32, record: &LogRecord) {
        let Some((session, timeout_ms)) = created(&record.bytes) else { return };
        self.timeouts.insert(session, timeout_ms);
        let machine = self.machines.get_mut(&node).expect("a machine of this ensemble");
        machine.part.hearing.lives(session, &self.timeouts);
    }

    /// A leader lets a session expire.
    pub(super) fn check_expiry(&self, node: u32, session: SessionId) -> Result<(), Violation> {
        let hearing = &self.machines[&node].part.hearing;
        let timeout = hearing.timeout(session, &self.timeouts).unwrap_or_default();
        let until = hearing.until.get(&session).copied().unwrap_or(hearing.since + timeout);
        ensure(until <= hearing.now, Invariant::I29, || {
            let early = until.since(hearing.now) / 1_000_000;
            format!("session {session} with a timeout of {timeout:?} expires {early} ms too early")
        })
    }

    /// A learner answers its leader's PING.
    pub(super) fn check_report(&mut self, node: u32, touches: &[Touch]) -> Result<(), Violation> {
        let mut untold = std::mem::take(&mut self.machine(node).part.hearing.untold);
        touches.iter().for_each(|touch| {
            untold.remove(&touch.session);
        });
        ensure(untold.is_empty(), Invariant::I29, || {
            format!("does not tell its leader that it has heard of {untold:?}")
        })
    }
}

/// The session that a txn opens, and its timeout, ms.
fn created(mut txn: &[u8]) -> Option<(SessionId, i32)> {
    let session = SessionId(txn.try_get_i64().ok()?);
    let (_cxid, _zxid, _time) = (txn.try_get_i32().ok()?, txn.try_get_i64().ok()?, txn.try_get_i64().ok()?);
    let kind = txn.try_get_i32().ok()?;
    if kind == op::CREATE_SESSION { Some((session, txn.try_get_i32().ok()?)) } else { None }
}
