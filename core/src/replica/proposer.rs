//! From what clients ask to txns: the half of a leader, and of a standalone server, that knows sessions and requests.
//!
//! It gives every write its place in the order and never says when one is committed.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::BytesMut;

use super::ReplicaConfig;
use super::commit_log::Entry;
use super::reaper::Reaper;
use super::settings::LocalSessions;
use crate::action::{SessionAnswer, SessionScope};
use crate::auth::AuthInfo;
use crate::config::quorum_config::QuorumConfig;
use crate::error::OpError;
use crate::ids::{SessionId, Sid, Zxid};
use crate::input::{RequestBody, Touch};
use crate::prep::{Prep, PrepSettings, Proposal};
use crate::session::{Owner, SessionInfo, SessionTable};
use crate::time::{Mono, Now};
use crate::tree::Tree;
use crate::wire::request::Request;
use crate::wire::txn::{Txn, TxnBody};

/// The caller of what the server does by itself.
const NOBODY: &AuthInfo = &AuthInfo { ids: Vec::new() };

/// Where in the order the next txn comes, and over what it is validated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) now: Now,
    pub(super) zxid: Zxid,
    pub(super) tree: &'a Tree,
}

impl<'a> Place<'a> {
    const fn proposal(self, session: SessionId, cxid: i32, auth: &'a AuthInfo) -> Proposal<'a> {
        let Self { tree, zxid, .. } = self;
        Proposal { tree, zxid, time: self.now.wall, session, cxid, auth, no_ephemerals: None }
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Asked {
    /// It takes its place in the order, be it as an error.
    Proposed(Entry),
    /// It waits for what was proposed before it.
    Sync,
    /// Its session is closing: there will be no answer but the close.
    Closing,
    /// Its session is not there.
    NoSession,
}

/// What somebody wants.
#[derive(Debug)]
pub(super) enum Wish {
    /// As it came.
    Request(RequestBody),
    /// Other members: what that would come to.
    Reconfig(Result<Arc<QuorumConfig>, OpError>),
}

/// Prep and the table of sessions. It begins anew with every leadership: what an earlier one had outstanding means
/// nothing to the next (bug museum P46).
#[derive(Clone, Debug)]
pub(super) struct Proposer {
    prep: Prep,
    sessions: Arc<SessionTable>,
    /// Sessions that own nodes and are in no table (disk format §6): to be closed first of all.
    lost: Vec<SessionId>,
    reaper: Reaper,
    elsewhere: Elsewhere,
}

impl Proposer {
    /// Begins over a tree that has everything. Every session has its full timeout from now on.
    pub(super) fn new(config: &ReplicaConfig, tree: &Tree, now: Mono) -> Self {
        let mut sessions = SessionTable::new(config.tick_ms);
        tree.sessions().for_each(|(session, timeout_ms)| sessions.open(session, timeout_ms, now));
        let mut lost = tree.ephemeral_owners();
        lost.retain(|owner| tree.session(*owner).is_none());
        lost.iter().for_each(|session| sessions.open_closing(*session));
        let settings = PrepSettings {
            digest: config.digest,
            skip_acl: config.skip_acl,
            enforce_quota: config.enforce_quota,
        };
        let prep = Prep::new(tree, settings);
        let elsewhere = Elsewhere::new(config);
        let reaper = Reaper::new(config.reaper, now);
        Self { prep, sessions: Arc::new(sessions), lost, reaper, elsewhere }
    }

    /// The next of the sessions that must be closed though nobody asks for it.
    pub(super) fn next_lost(&mut self) -> Option<SessionId> {
        self.lost.pop()
    }

    /// A session begins.
    pub(super) fn open(&mut self, at: Place<'_>, session: SessionId, timeout_ms: i32, owner: Owner) -> Entry {
        let sessions = self.sessions_mut();
        sessions.open(session, timeout_ms, at.now.mono);
        sessions.own(session, owner);
        entry(self.prep.create_session(&at.proposal(session, 0, NOBODY), timeout_ms))
    }

    /// A session that is marked as closing is closed, by nobody's request.
    pub(super) fn close(&mut self, at: Place<'_>, session: SessionId) -> Entry {
        assert!(self.sessions.is_closing(session), "invariant: a session is closed once");
        entry(self.prep.close_session(&at.proposal(session, 0, NOBODY)))
    }

    /// A client of this server asks.
    pub(super) fn request(
        &mut self,
        at: Place<'_>,
        session: SessionId,
        xid: i32,
        auth: &AuthInfo,
        wish: Wish,
    ) -> Asked {
        let sessions = self.sessions_mut();
        if !sessions.touch_by_request(session, at.now.mono) {
            return if sessions.contains(session) { Asked::Closing } else { Asked::NoSession };
        }
        let at = at.proposal(session, xid, auth);
        self.admit(&at, Owner::Here, wish)
    }

    /// The same by a session that only this server knows.
    pub(super) fn local(
        &mut self,
        at: Place<'_>,
        session: SessionId,
        xid: i32,
        auth: &AuthInfo,
        wish: Wish,
    ) -> Asked {
        let at = at.proposal(session, xid, auth);
        let at = Proposal { no_ephemerals: Some(OpError::EphemeralOnLocalSession), ..at };
        self.without_session(&at, wish)
    }

    /// A session that is not in the table asks, and may.
    fn without_session(&mut self, at: &Proposal<'_>, wish: Wish) -> Asked {
        Asked::Proposed(entry(match wish {
            Wish::Request(RequestBody::Op(Request::Sync(_))) => return Asked::Sync,
            Wish::Request(RequestBody::Op(request)) => self.prep.request(at, request),
            Wish::Request(RequestBody::Refused(error)) => self.prep.refuse(at, error),
            Wish::Reconfig(next) => self.prep.reconfig(at, next),
        }))
    }

    /// A learner passes on what its client asks. Unlike a client of our own it gets an answer in any case.
    pub(super) fn forwarded(
        &mut self,
        at: Place<'_>,
        session: SessionId,
        xid: i32,
        auth: &AuthInfo,
        wish: Wish,
        owner: Owner,
    ) -> Asked {
        let lives = self.sessions_mut().touch_by_request(session, at.now.mono);
        let at = at.proposal(session, xid, auth);
        match wish {
            Wish::Request(RequestBody::Op(Request::Sync(_))) => Asked::Sync,
            wish if !lives && !self.sessions.contains(session) && self.elsewhere.may_live(&wish, session) => {
                let at = Proposal { no_ephemerals: Some(OpError::SessionExpired), ..at };
                self.without_session(&at, wish)
            }
            _ if !lives => Asked::Proposed(entry(self.prep.refuse(&at, OpError::SessionExpired))),
            wish => self.admit(&at, owner, wish),
        }
    }

    /// A session that lives asks through `owner`. Who is not, or not any more, the session's server is refused: only a
    /// close is taken from anybody, as in Java, and a sync changes nothing.
    fn admit(&mut self, at: &Proposal<'_>, owner: Owner, wish: Wish) -> Asked {
        if matches!(wish, Wish::Request(RequestBody::Op(Request::Sync(_)))) {
            return Asked::Sync;
        }
        let sessions = Arc::make_mut(&mut self.sessions);
        Asked::Proposed(entry(match wish {
            Wish::Request(RequestBody::Op(Request::CloseSession)) => {
                assert!(
                    sessions.begin_close(at.session),
                    "invariant: a session that was touched can be closed"
                );
                self.prep.close_session(at)
            }
            wish => match (sessions.check(at.session, owner), wish) {
                (Err(error), _) | (Ok(()), Wish::Request(RequestBody::Refused(error))) => {
                    self.prep.refuse(at, error)
                }
                (Ok(()), Wish::Request(RequestBody::Op(request))) => self.prep.request(at, request),
                (Ok(()), Wish::Reconfig(next)) => self.prep.reconfig(at, next),
            },
        }))
    }

    /// A client that is here wants a session back, or a learner asks whether it may give it back.
    pub(super) fn reattach(&mut self, touch: Touch, owner: Owner, now: Mono) -> SessionAnswer {
        let Touch { session, timeout_ms } = touch;
        let sessions = self.sessions_mut();
        if sessions.touch(session, timeout_ms, now) {
            sessions.own(session, owner);
            SessionAnswer::Attached { session, timeout_ms, scope: SessionScope::Global }
        } else {
            SessionAnswer::Invalid
        }
    }

    /// Through whom a session asks.
    pub(super) fn owner(&self, session: SessionId) -> Option<Owner> {
        self.sessions.owner(session)
    }

    /// Sessions showed life. One that is gone by now was touched too late, which changes nothing.
    pub(super) fn touched(&mut self, touches: &[Touch], now: Mono) {
        let sessions = self.sessions_mut();
        for touch in touches {
            let _ = sessions.touch(touch.session, touch.timeout_ms, now);
        }
    }

    /// The sessions that showed no life until `until`: they are closing from here on.
    pub(super) fn expire(&mut self, until: Mono) -> Vec<SessionId> {
        if self.sessions.deadline().is_none_or(|due| due > until) {
            return Vec::new();
        }
        self.sessions_mut().expire(until)
    }

    /// A txn is committed.
    pub(super) fn committed(&mut self, txn: &Txn, now: Mono) {
        if matches!(txn.body, TxnBody::CloseSession { .. }) {
            self.sessions_mut().remove(txn.header.session);
            self.elsewhere.closed(txn.header.session, now);
        }
    }

    /// The tree has everything up to `zxid`.
    pub(super) fn applied(&mut self, zxid: Zxid, tree: &Tree) {
        self.prep.applied(zxid, tree);
    }

    pub(super) fn has_session(&self, session: SessionId) -> bool {
        self.sessions.contains(session)
    }

    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        self.sessions.list()
    }

    /// A container or TTL node that goes now, if one does.
    pub(super) fn reap(&mut self, at: Place<'_>) -> Option<Entry> {
        let Self { prep, reaper, .. } = self;
        let proposal = at.proposal(SessionId::NONE, 0, NOBODY);
        reaper.step(at, |path, rules| prep.collect(&proposal, path, rules)).map(entry)
    }

    /// When [`Self::reap`] wants to be called.
    pub(super) const fn reaping_at(&self) -> Mono {
        self.reaper.deadline()
    }

    /// Nothing is to be taken away for now.
    pub(super) fn reap_later(&mut self, now: Mono) {
        self.reaper.rest(now);
    }

    /// When [`Self::expire`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.sessions.deadline()
    }

    fn sessions_mut(&mut self) -> &mut SessionTable {
        Arc::make_mut(&mut self.sessions)
    }
}

/// Sessions that only their own server knows, as its leader has to take them: on its word.
///
/// What a session of the ensemble asked before it was closed may come in after the close. It was not asked for by a session
/// that lives, so what was closed lately is remembered for as long as a learner may be behind. (Java carries it out.)
#[derive(Clone, Debug)]
struct Elsewhere {
    are_on: bool,
    me: Sid,
    remember_ms: u64,
    /// The oldest first.
    closed: VecDeque<(Mono, SessionId)>,
    known: BTreeSet<SessionId>,
}

impl Elsewhere {
    fn new(config: &ReplicaConfig) -> Self {
        let ensemble = config.ensemble.as_ref();
        let are_on = ensemble.is_some_and(|ensemble| ensemble.local_sessions != LocalSessions::Off);
        let limit = ensemble.map_or(0, |ensemble| ensemble.sync_limit);
        let remember_ms = 2 * u64::from(limit) * u64::from(config.tick_ms);
        Self { are_on, me: config.sid, remember_ms, closed: VecDeque::new(), known: BTreeSet::new() }
    }

    /// Might a session that is in no table live on the server that gave it its id, and ask this?
    fn may_live(&self, wish: &Wish, session: SessionId) -> bool {
        let of_another = (session.0 as u64) >> 56 != self.me.0 as u64 & 0xff;
        self.are_on
            && of_another
            && !matches!(wish, Wish::Request(RequestBody::Op(Request::CloseSession)))
            && !self.known.contains(&session)
    }

    fn closed(&mut self, session: SessionId, now: Mono) {
        if !self.are_on {
            return;
        }
        let old = |at: Mono| now.since(at) / 1_000_000 > self.remember_ms;
        while let Some((_, session)) = self.closed.pop_front_if(|(at, _)| old(*at)) {
            self.known.remove(&session);
        }
        self.closed.push_back((now, session));
        self.known.insert(session);
    }
}

/// Serialises a txn once and for all.
fn entry(txn: Txn) -> Entry {
    let mut bytes = BytesMut::with_capacity(encoded_len_hint(&txn.body));
    txn.encode(&mut bytes);
    Entry { zxid: txn.header.zxid, bytes: bytes.freeze(), txn: Arc::new(txn) }
}

/// About how long the encoding will be, so that most records are one allocation. Bytes.
fn encoded_len_hint(body: &TxnBody) -> usize {
    const HEADER_AND_DIGEST: usize = 32 + 12;
    const ACL: usize = 64;
    HEADER_AND_DIGEST
        + match body {
            TxnBody::Create(txn) => {
                32 + txn.path.as_bytes().len()
                    + txn.data.as_ref().map_or(0, |d| d.len())
                    + txn.acl.len() * ACL
            }
            TxnBody::SetData { path, data, .. } | TxnBody::Reconfig { path, data, .. } => {
                12 + path.as_bytes().len() + data.as_ref().map_or(0, |d| d.len())
            }
            TxnBody::SetAcl { path, acl, .. } => 12 + path.as_bytes().len() + acl.len() * ACL,
            TxnBody::Delete { path } | TxnBody::DeleteContainer { path } | TxnBody::Check { path, .. } => {
                8 + path.as_bytes().len()
            }
            TxnBody::CreateSession { .. } | TxnBody::Error { .. } => 4,
            TxnBody::CloseSession { paths } => {
                4 + paths.iter().flatten().map(|p| 4 + p.as_bytes().len()).sum::<usize>()
            }
            TxnBody::Multi(entries) => 4 + entries.iter().map(|e| 8 + encoded_len_hint(e)).sum::<usize>(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::client::SetDataRequest;

    const OURS: SessionId = SessionId(0x0100_0000_0000_0001);
    const ANOTHERS: SessionId = SessionId(0x0200_0000_0000_0001);

    fn elsewhere(are_on: bool) -> Elsewhere {
        let (closed, known) = (VecDeque::new(), BTreeSet::new());
        Elsewhere { are_on, me: Sid(1), remember_ms: 1000, closed, known }
    }

    fn write() -> Wish {
        let set = SetDataRequest { path: "/a".into(), data: None, version: -1 };
        Wish::Request(RequestBody::Op(Request::SetData(set)))
    }

    #[test]
    fn only_another_server_s_session_is_taken_on_its_word_and_only_with_local_sessions() {
        assert!(elsewhere(true).may_live(&write(), ANOTHERS));
        assert!(!elsewhere(true).may_live(&write(), OURS));
        assert!(!elsewhere(false).may_live(&write(), ANOTHERS));
        let close = Wish::Request(RequestBody::Op(Request::CloseSession));
        assert!(!elsewhere(true).may_live(&close, ANOTHERS));
    }

    #[test]
    fn what_was_closed_lately_is_not_taken_for_a_local_session() {
        let mut elsewhere = elsewhere(true);
        elsewhere.closed(ANOTHERS, Mono::from_millis(0));
        elsewhere.closed(SessionId(ANOTHERS.0 + 1), Mono::from_millis(1000));
        assert!(!elsewhere.may_live(&write(), ANOTHERS));
        elsewhere.closed(SessionId(ANOTHERS.0 + 2), Mono::from_millis(1001));
        assert_eq!(
            (elsewhere.closed.len(), elsewhere.known.len()),
            (2, 2),
            "it is remembered for a while only"
        );
        assert!(!elsewhere.may_live(&write(), SessionId(ANOTHERS.0 + 1)));
    }
}
