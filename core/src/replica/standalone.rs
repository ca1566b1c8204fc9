//! A server without an ensemble: what its own disk holds is committed.
//!
//! ```text
//! request ─ prep ─ zxid ─► Disk(Append t) ─► Durable(t) ─► Apply
//! sync ───────────────── behind the last proposal ───────► Apply
//! ```
//! The one promise is made by `Apply`: the driver answers clients from there. Nothing is in an `Apply` before the
//! `Durable` that covers it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::commit_log::Entry;
use super::outbox::Turn;
use super::proposer::{Asked, Place, Proposer, Wish};
use super::{Life, ReplicaConfig};
use crate::action::{Action, CloseReason, Commit};
use crate::error::OpError;
use crate::event::Event;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::input::{ClientRequest, Input, RequestBody, SessionAsk, Touch};
use crate::session::{Owner, SessionInfo};
use crate::time::{Mono, Now};
use crate::tree::{ApplyMode, Tree};
use crate::wire::request::Request;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Standalone {
    proposer: Proposer,
    /// Which connection waits for which txn, in zxid order.
    origins: VecDeque<(Zxid, ConnId)>,
    /// Which connection's sync waits for which txn, in the order they came.
    syncs: VecDeque<(Zxid, ConnId)>,
}

impl Standalone {
    pub(super) fn new(config: &ReplicaConfig, tree: &Tree, now: Now) -> Self {
        let proposer = Proposer::new(config, tree, now.mono);
        Self { proposer, origins: VecDeque::new(), syncs: VecDeque::new() }
    }

    /// Closes the sessions that own nodes and are in no table.
    pub(super) fn close_lost(&mut self, turn: &mut Turn<'_>) {
        while let Some(session) = self.proposer.next_lost() {
            self.propose_close(session, turn);
        }
    }

    pub(super) fn step(&mut self, input: Input, turn: &mut Turn<'_>) {
        match input {
            Input::Tick => self.on_tick(turn),
            Input::Connect { conn, ask, .. } => self.on_connect(conn, ask, turn),
            Input::Request(request) => self.on_request(request, turn),
            Input::Touched(touches) => self.proposer.touched(&touches, turn.now.mono),
            Input::Durable(_) => self.commit(turn),
            Input::Applied(zxid) => self.proposer.applied(zxid, turn.tree),
            // The session of a connection that is gone lives on until it expires or another re-attaches.
            _ => {}
        }
    }

    fn on_tick(&mut self, turn: &mut Turn<'_>) {
        if turn.life == Life::Draining {
            return;
        }
        for session in self.proposer.expire(turn.now.mono) {
            turn.event(Event::SessionExpiring { session });
            self.propose_close(session, turn);
        }
        if let Some(entry) = self.proposer.reap(place(turn)) {
            turn.collecting(&entry);
            self.propose(entry, None, turn);
        }
    }

    fn on_connect(&mut self, conn: ConnId, ask: SessionAsk, turn: &mut Turn<'_>) {
        match ask {
            SessionAsk::New { timeout_ms } => {
                let session = turn.session_ids.next(|id| self.proposer.has_session(id));
                turn.event(Event::SessionCreating { session, timeout_ms });
                let entry = self.proposer.open(place(turn), session, timeout_ms, Owner::Here);
                self.propose(entry, Some(conn), turn);
            }
            SessionAsk::Reattach { session, timeout_ms } => {
                let touch = Touch { session, timeout_ms };
                let answer = self.proposer.reattach(touch, Owner::Here, turn.now.mono);
                turn.out.push(Action::Session { conn, answer });
            }
        }
    }

    fn on_request(&mut self, request: ClientRequest, turn: &mut Turn<'_>) {
        let ClientRequest { conn, session, xid, auth, body } = request;
        let wish = match body {
            RequestBody::Op(Request::Reconfig(_)) if turn.config.reconfig.is_enabled() => {
                Wish::Reconfig(Err(OpError::Unimplemented))
            }
            body => Wish::Request(body),
        };
        match self.proposer.request(place(turn), session, xid, &auth, wish) {
            Asked::Proposed(entry) => self.propose(entry, Some(conn), turn),
            Asked::Sync if turn.log.committed() == turn.log.logged() => {
                turn.out.push(Action::Apply(Vec::from([Commit::Sync { conn }])));
            }
            Asked::Sync => self.syncs.push_back((turn.log.logged(), conn)),
            // Dropped without a reply (client protocol §14). A closing session's connection is closed by the commit of
            // its close, behind the reply to it; closing it here would cut that off.
            Asked::Closing => {}
            Asked::NoSession => {
                turn.out.push(Action::Close { conn, why: CloseReason::SessionExpired });
            }
        }
    }

    fn propose_close(&mut self, session: SessionId, turn: &mut Turn<'_>) {
        let entry = self.proposer.close(place(turn), session);
        self.propose(entry, None, turn);
    }

    fn propose(&mut self, entry: Entry, origin: Option<ConnId>, turn: &mut Turn<'_>) {
        self.origins.extend(origin.map(|conn| (entry.zxid, conn)));
        turn.log.append(entry);
    }

    /// Hands over what has become durable, and every sync behind the txn that it waited for.
    fn commit(&mut self, turn: &mut Turn<'_>) {
        let entries = turn.log.commit(turn.log.durable_zxid());
        if entries.is_empty() {
            return;
        }
        let mut commits = Vec::with_capacity(entries.len());
        for Entry { zxid, txn, .. } in entries {
            self.proposer.committed(&txn, turn.now.mono);
            let origin = self.origins.pop_front_if(|(of, _)| *of == zxid).map(|(_, conn)| conn);
            commits.push(Commit::Txn { txn, origin, mode: ApplyMode::Live });
            while let Some((_, conn)) = self.syncs.pop_front_if(|(behind, _)| *behind <= zxid) {
                commits.push(Commit::Sync { conn });
            }
        }
        turn.out.push(Action::Apply(commits));
    }

    /// Syncs that wait.
    pub(super) fn syncs(&self) -> usize {
        self.syncs.len()
    }

    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        self.proposer.sessions()
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        let reaping = self.proposer.reaping_at();
        Some(self.proposer.deadline().map_or(reaping, |expiry| expiry.min(reaping)))
    }
}

/// The place of the next proposal.
///
/// A counter never wraps into the epoch: after counter 2^32 - 1 the next epoch begins with 1, as an ensemble's epochs
/// do. (Java's standalone server adds one to the whole number and logs counter 0 of the next epoch, which in an
/// ensemble is the zxid of no txn.)
fn place<'a>(turn: &Turn<'a>) -> Place<'a> {
    let last = turn.log.logged();
    let zxid = last.next().unwrap_or_else(|| Zxid::new(last.epoch() + 1, 1));
    Place { now: turn.now, zxid, tree: turn.tree }
}
