//! Sessions that only this server knows (`localSessionsEnabled`; semantics §13.5; Java: `LocalSessionTracker`).
//!
//! They begin and end without a txn, expire here, and end with the role: whoever comes back to another server, or to this one
//! behind another leader, is told that the session has expired. They own no ephemerals. A session that asks for one becomes a
//! session of the ensemble before, if that is allowed, and stays one.

use alloc::vec::Vec;

use super::outbox::Turn;
use super::settings::LocalSessions;
use crate::action::{Action, Commit, SessionAnswer, SessionScope};
use crate::event::Event;
use crate::ids::{ConnId, SessionId};
use crate::input::{ClientRequest, RequestBody, Touch};
use crate::session::{SessionInfo, SessionTable};
use crate::time::Mono;
use crate::wire::request::{MultiOp, Request};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Locals {
    kind: LocalSessions,
    /// What attached sessions are told to be.
    scope: SessionScope,
    table: SessionTable,
    /// Closes that wait until what their sessions asked before is answered.
    closes: Vec<(SessionId, ConnId)>,
    /// The last two times that were looked at, as with [`super::leader`]'s heartbeats: what clients sent before the older one
    /// has been dealt with.
    beats: [Mono; 2],
    half_tick_ms: u64,
}

/// What a request of some session is to a server with local sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The session is none of this server alone.
    Foreign,
    /// Its session is closing: there will be no answer but the close.
    Closing,
    /// It ends its session, which is closing from here on.
    Close,
    /// The session becomes one of the ensemble before it asks.
    Upgrade {
        /// ms.
        timeout_ms: i32,
    },
    /// It is asked for by a session of this server alone.
    Local,
}

impl Locals {
    /// None yet.
    pub(super) fn new(kind: LocalSessions, tick_ms: u32, now: Mono) -> Self {
        let scope = match kind {
            LocalSessions::Off => SessionScope::Global,
            LocalSessions::On => SessionScope::Local,
            LocalSessions::Upgrading => SessionScope::Upgradable,
        };
        let half_tick_ms = u64::from(tick_ms / 2).max(1);
        let table = SessionTable::new(tick_ms);
        Self { kind, scope, table, closes: Vec::new(), beats: [now; 2], half_tick_ms }
    }

    /// The same for a server without a leader: whoever is attached can only read.
    pub(super) fn read_only(kind: LocalSessions, tick_ms: u32, now: Mono) -> Self {
        let kind = match kind {
            LocalSessions::Off => LocalSessions::Off,
            LocalSessions::On | LocalSessions::Upgrading => LocalSessions::On,
        };
        Self { scope: SessionScope::ReadOnly, ..Self::new(kind, tick_ms, now) }
    }

    /// True if new sessions are local.
    pub(super) fn are_on(&self) -> bool {
        self.kind != LocalSessions::Off
    }

    /// A session begins.
    pub(super) fn open(
        &mut self,
        conn: ConnId,
        timeout_ms: i32,
        turn: &mut Turn<'_>,
        taken: impl Fn(SessionId) -> bool,
    ) {
        let session = turn.session_ids.next_local(|id| self.table.contains(id) || taken(id));
        if self.table.is_empty() {
            self.beats = [turn.now.mono; 2];
        }
        self.table.open(session, timeout_ms, turn.now.mono);
        turn.event(Event::LocalSessionBegun { session, timeout_ms });
        let answer = SessionAnswer::Attached { session, timeout_ms, scope: self.scope };
        turn.out.push(Action::Session { conn, answer });
    }

    /// A client wants its session back. `None`: it is none of this server alone.
    pub(super) fn reattach(&mut self, touch: Touch, now: Mono) -> Option<SessionAnswer> {
        let Touch { session, timeout_ms } = touch;
        if !self.table.contains(session) {
            return None;
        }
        let attached = SessionAnswer::Attached { session, timeout_ms, scope: self.scope };
        Some(if self.table.touch(session, timeout_ms, now) { attached } else { SessionAnswer::Invalid })
    }

    /// Sessions showed life; those that are none of this server alone are left.
    pub(super) fn touched(&mut self, touches: Vec<Touch>, now: Mono) -> Vec<Touch> {
        if self.table.is_empty() {
            return touches;
        }
        let table = &mut self.table;
        let mut others = touches;
        others.retain(|touch| {
            let here = table.contains(touch.session);
            if here {
                let _ = table.touch(touch.session, touch.timeout_ms, now);
            }
            !here
        });
        others
    }

    /// What a request is; it is a sign of life.
    pub(super) fn ask(&mut self, request: &ClientRequest, now: Mono) -> Ask {
        let session = request.session;
        if !self.table.contains(session) {
            return Ask::Foreign;
        }
        if !self.table.touch_by_request(session, now) {
            return Ask::Closing;
        }
        match &request.body {
            RequestBody::Op(Request::CloseSession) => {
                self.table.begin_close(session);
                self.closes.push((session, request.conn));
                Ask::Close
            }
            RequestBody::Op(op) if self.kind == LocalSessions::Upgrading && makes_ephemeral(op) => {
                let timeout_ms = self.table.timeout_ms(session).unwrap_or(0);
                self.table.remove(session);
                Ask::Upgrade { timeout_ms }
            }
            _ => Ask::Local,
        }
    }

    /// Answers the closes that have nothing before them any more. `owes`: something that this connection asked for its
    /// session is not answered yet.
    pub(super) fn close_answered(&mut self, turn: &mut Turn<'_>, owes: impl Fn(SessionId, ConnId) -> bool) {
        let table = &mut self.table;
        self.closes.retain(|(session, conn)| {
            let waits = owes(*session, *conn);
            if !waits {
                table.remove(*session);
                turn.out.push(Action::Apply([Commit::Closed { conn: *conn }].into()));
            }
            waits
        });
    }

    /// Half a tick may have passed. Who showed no life for its timeout ends.
    pub(super) fn on_tick(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.mono;
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        self.beats = [self.beats[1], now];
        for session in self.table.expire(self.beats[0]) {
            turn.event(Event::LocalSessionExpired { session });
            self.table.remove(session);
            turn.out.push(Action::SessionExpired { session });
        }
    }

    /// When it wants a `Tick`.
    pub(super) fn deadline(&self) -> Option<Mono> {
        let beat = Mono::from_millis(self.beats[1].millis() + self.half_tick_ms);
        (!self.table.is_empty()).then_some(beat)
    }

    /// All of them, by id.
    pub(super) fn list(&self) -> Vec<SessionInfo> {
        self.table.list()
    }
}

/// As Java looks at it: create and create2 with the flags of ephemerals, and a multi that holds one.
fn makes_ephemeral(request: &Request) -> bool {
    match request {
        Request::Create(r) | Request::Create2(r) => is_ephemeral(r.flags),
        Request::Multi(ops) => ops.iter().any(|op| match op {
            MultiOp::Create(r) | MultiOp::Create2(r) => is_ephemeral(r.flags),
            _ => false,
        }),
        _ => false,
    }
}

/// EPHEMERAL and EPHEMERAL_SEQUENTIAL.
const fn is_ephemeral(flags: i32) -> bool {
    matches!(flags, 1 | 3)
}
