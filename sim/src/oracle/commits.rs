//! The order of all commits, judged as it grows: who asked, what it should have become, what it did (I03, I20-I22, I25-I28).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zk_core::error::OpError;
use zk_core::ids::{SessionId, Zxid};
use zk_core::text::Text;
use zk_core::tree::{Tree, TxnResult};
use zk_core::wire::records::Id;
use zk_core::wire::request::Request;
use zk_core::wire::txn::{Txn, TxnBody};

use super::invariant::{Invariant, Violation, ensure};
use super::judge::{self, Asked};
use super::states::{Rules, States, Told};

/// A request that is on its way, or whose outcome its client never learnt.
#[derive(Clone, Debug)]
pub struct Asking {
    /// What is asked.
    pub request: Arc<Request>,
    /// By whom.
    pub identities: Arc<[Id]>,
}

/// One commit.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The txn.
    pub txn: Arc<Txn>,
    /// The tree's digest after it.
    pub digest: u64,
    /// What watchers hear.
    pub told: Arc<[Told]>,
    /// What its client hears.
    pub result: Arc<TxnResult>,
}

/// All commits so far.
#[derive(Clone, Debug, Default)]
pub struct Commits {
    /// Txns that lay on disks when the simulation began: nobody asked for them.
    given: BTreeSet<Zxid>,
    states: States,
    /// Chunks behind `Arc`, so that forking a world does not copy its history.
    full: Vec<Arc<Vec<Committed>>>,
    open: Vec<Committed>,
    asking: BTreeMap<(SessionId, i32), Asking>,
    /// Where each answered-for request ended, until its client has heard.
    outcomes: BTreeMap<(SessionId, i32), usize>,
    sessions_move: bool,
    /// Sessions that began without a txn.
    locals: BTreeMap<SessionId, LocalLife>,
}

/// A session that one server alone knows, or knew.
#[derive(Clone, Copy, Debug)]
struct LocalLife {
    node: u32,
    timeout_ms: i32,
    ended: bool,
}

const CHUNK: usize = 256;
/// Above and at the end of the paths of statistics.
const QUOTAS: &str = "/zookeeper/quota/";
const STATS: &str = "/zookeeper_stats";
/// Where servers show who belongs to the ensemble.
const CONFIG: &str = "/zookeeper/config";

impl Commits {
    /// Every state so far.
    pub const fn states(&self) -> &States {
        &self.states
    }

    /// How many commits.
    pub fn len(&self) -> usize {
        self.full.len() * CHUNK + self.open.len()
    }

    /// True if nothing was committed yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `i`-th commit.
    pub fn get(&self, i: usize) -> Option<&Committed> {
        match self.full.get(i / CHUNK) {
            Some(chunk) => chunk.get(i % CHUNK),
            None => self.open.get(i - self.full.len() * CHUNK),
        }
    }

    /// Index of the first commit after `zxid`.
    pub fn after(&self, zxid: Zxid) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(|c| c.txn.header.zxid <= zxid) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        low
    }

    /// The last one.
    pub fn last(&self) -> Option<&Committed> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The commit with this zxid.
    pub fn at(&self, zxid: Zxid) -> Option<&Committed> {
        let i = self.after(zxid).checked_sub(1)?;
        self.get(i).filter(|c| c.txn.header.zxid == zxid)
    }

    /// The digest of the tree at `zxid`; that of the last commit up to it.
    pub fn digest_at(&self, zxid: Zxid) -> u64 {
        match self.after(zxid).checked_sub(1) {
            Some(i) => self.get(i).expect("an index below the length").digest,
            None => States::new().digest(),
        }
    }

    /// A client sent a request that may become a txn.
    pub fn ask(&mut self, session: SessionId, xid: i32, asking: Asking) {
        self.asking.insert((session, xid), asking);
    }

    /// The servers are configured so.
    pub const fn set_rules(&mut self, rules: Rules) {
        self.states.set_rules(rules);
    }

    /// There are several servers, between which sessions move. Whether one had moved when it was said to have is judged by
    /// [`super::Ensemble`], which sees by what server each request comes.
    pub const fn let_sessions_move(&mut self) {
        self.sessions_move = true;
    }

    /// The outcome of a request, if it was committed; forgets it.
    pub fn take_outcome(&mut self, session: SessionId, xid: i32) -> Option<&Committed> {
        self.asking.remove(&(session, xid));
        let i = self.outcomes.remove(&(session, xid))?;
        self.get(i)
    }

    /// A txn lies on a disk when the simulation begins.
    pub fn give(&mut self, zxid: Zxid) {
        self.given.insert(zxid);
    }

    /// A node applied this txn; the first to do so commits it, everybody else must agree. True for the first.
    pub fn commit(&mut self, txn: &Arc<Txn>) -> Result<bool, Violation> {
        let zxid = txn.header.zxid;
        if zxid <= self.states.last() {
            let known = self.at(zxid);
            return match known {
                Some(known) if *known.txn == **txn => Ok(false),
                _ => Err(Violation {
                    invariant: Invariant::I03,
                    what: format!(
                        "{txn:?} is applied as {zxid}, where {:?} was committed",
                        known.map(|k| &k.txn)
                    ),
                }),
            };
        }
        if !self.given.remove(&zxid) {
            self.judge(txn)?;
        }
        let (result, told) = self.states.apply(txn);
        self.check_result(txn, &result)?;
        let key = (txn.header.session, txn.header.cxid);
        if self.asking.remove(&key).is_some() {
            self.outcomes.insert(key, self.len());
        }
        if matches!(txn.body, TxnBody::CloseSession { .. }) {
            self.forget(txn.header.session);
        }
        let digest = self.states.digest();
        self.open.push(Committed {
            txn: Arc::clone(txn),
            digest,
            told: told.into(),
            result: Arc::new(result),
        });
        if self.open.len() == CHUNK {
            self.full.push(Arc::new(std::mem::take(&mut self.open)));
        }
        Ok(true)
    }

    /// Nothing of a closed session is committed any more; the outcome of its close is still to be heard.
    fn forget(&mut self, session: SessionId) {
        let of = (session, i32::MIN)..=(session, i32::MAX);
        let gone: Vec<_> = self.asking.range(of).map(|(key, _)| *key).collect();
        for key in gone {
            self.asking.remove(&key);
        }
    }

    fn judge(&self, txn: &Txn) -> Result<(), Violation> {
        let header = &txn.header;
        let life = self.states.session(header.session);
        if let TxnBody::CreateSession { .. } = txn.body {
            return ensure(life.is_none(), Invariant::I25, || {
                format!("{} is given out twice", header.session)
            });
        }
        if let TxnBody::DeleteContainer { path } = &txn.body {
            return self.judge_collected(txn, path);
        }
        if life.is_some_and(|life| life.closed.is_some()) && is_refusal(txn, OpError::SessionExpired) {
            // A server passed on what its client had asked before the close.
            return Ok(());
        }
        ensure(
            life.is_some_and(|life| life.closed.is_none())
                || self.is_orphans_close(txn)
                || self.is_local(header.session),
            Invariant::I26,
            || {
                format!(
                    "{} is a txn of {}, whose life is {life:?}: {:?}",
                    header.zxid, header.session, txn.body
                )
            },
        )?;
        let Some(asking) = self.asking.get(&(header.session, header.cxid)) else {
            // The server closes sessions by itself.
            return match &txn.body {
                TxnBody::CloseSession { .. } => self.expect(txn, &Request::CloseSession, &[]),
                body => ensure(false, Invariant::I03, || {
                    format!(
                        "{} was not asked for: session {} cxid {}: {body:?}",
                        header.zxid, header.session, header.cxid
                    )
                }),
            };
        };
        if self.sessions_move && is_refusal(txn, OpError::SessionMoved) {
            return Ok(());
        }
        self.expect(txn, &asking.request, &asking.identities)
    }

    /// Containers and TTL nodes go by nobody's request, when they are over and not before.
    fn judge_collected(&self, txn: &Txn, path: &Text) -> Result<(), Violation> {
        let node = self.states.node(path);
        let is_over = node.is_some_and(|node| node.is_over(txn.header.time, self.states.rules()));
        let Txn { header, .. } = txn;
        ensure(is_over && header.session == SessionId::NONE, Invariant::I03, || {
            format!("{} collects {path}, which is {node:?}, at {:?}", header.zxid, header.time)
        })
    }

    /// A session that owns nodes and is in no table is closed though it never lived here.
    fn is_orphans_close(&self, txn: &Txn) -> bool {
        matches!(txn.body, TxnBody::CloseSession { .. })
            && self.states.owned(txn.header.session).next().is_some()
    }

    fn expect(&self, txn: &Txn, request: &Request, identities: &[Id]) -> Result<(), Violation> {
        let asked = Asked {
            session: txn.header.session,
            identities: identities.into(),
            zxid: txn.header.zxid,
            time: txn.header.time,
            over_quota: over_quota(&txn.body),
            no_ephemerals: self.is_local(txn.header.session).then(|| refusal_in(&txn.body)),
        };
        let Some(mut expected) = judge::expected(&self.states, &asked, request) else { return Ok(()) };
        let mut found = txn.body.clone();
        // The order of a close's list means nothing.
        for body in [&mut expected, &mut found] {
            if let TxnBody::CloseSession { paths: Some(paths) } = body {
                paths.sort_unstable();
            }
        }
        let invariant = if let TxnBody::Multi(_) = expected { Invariant::I22 } else { Invariant::I03 };
        ensure(expected == found, invariant, || {
            format!("{} should be {expected:?} for {request:?}, and is {found:?}", txn.header.zxid)
        })
    }

    fn check_result(&self, txn: &Txn, result: &TxnResult) -> Result<(), Violation> {
        let zxid = txn.header.zxid;
        if let TxnBody::CloseSession { .. } = txn.body {
            let left: Vec<_> = self.states.owned(txn.header.session).collect();
            ensure(left.is_empty(), Invariant::I26, || {
                format!("{zxid} closes {}, and leaves {left:?}", txn.header.session)
            })?;
        }
        if is_ephemeral(&txn.body) {
            let owner = self.states.session(txn.header.session);
            ensure(owner.is_some_and(|life| life.closed.is_none()), Invariant::I27, || {
                format!("{zxid} makes an ephemeral of {}, whose life is {owner:?}", txn.header.session)
            })?;
        }
        let contradicts = match (&txn.body, result) {
            (TxnBody::Error { .. }, _) => false,
            (TxnBody::Multi(entries), TxnResult::Multi(results)) => {
                let failed = entries.iter().any(|entry| matches!(entry, TxnBody::Error { .. }));
                !failed && results.iter().any(|result| matches!(result, TxnResult::Failed { .. }))
            }
            (_, result) => matches!(result, TxnResult::Failed { .. }),
        };
        ensure(!contradicts, Invariant::I21, || {
            format!("{zxid} contradicts the state before it: {:?}: {result:?}", txn.body)
        })?;
        let Some(digest) = txn.digest else { return Ok(()) };
        ensure(digest.digest as u64 == self.states.digest(), Invariant::I20, || {
            format!("{zxid} says digest {:#x}, the model has {:#x}", digest.digest, self.states.digest())
        })
    }

    /// A session begins that only `node` knows.
    pub fn local_begins(&mut self, session: SessionId, node: u32, timeout_ms: i32) -> Result<(), Violation> {
        let known = self.locals.contains_key(&session) || self.states.session(session).is_some();
        self.locals.insert(session, LocalLife { node, timeout_ms, ended: false });
        ensure(!known, Invariant::I25, || {
            format!("local session {session} of node {node} is given out twice")
        })
    }

    /// Its server knows it no more; its timeout, ms.
    pub fn local_ends(&mut self, session: SessionId) -> i32 {
        let Some(life) = self.locals.get_mut(&session) else { return 0 };
        life.ended = true;
        life.timeout_ms
    }

    /// A server serves in another role, or not at all: the sessions that it alone knew are gone.
    pub fn locals_end(&mut self, node: u32) {
        self.locals.values_mut().filter(|life| life.node == node).for_each(|life| life.ended = true);
    }

    /// True of a session that began without a txn, and had none since.
    pub fn is_local(&self, session: SessionId) -> bool {
        self.locals.contains_key(&session) && self.states.session(session).is_none()
    }

    /// I28 for local sessions: who gave one out, and nobody else, lets it go on, until it has ended.
    pub fn check_local_attached(&self, session: SessionId, node: u32) -> Result<(), Violation> {
        let life = self.locals.get(&session);
        ensure(life.is_some_and(|life| life.node == node && !life.ended), Invariant::I28, || {
            format!("local session {session} goes on, whose life is {life:?}")
        })
    }

    /// A request was refused without a place in the order: it never gets one.
    pub fn withdraw(&mut self, session: SessionId, xid: i32) {
        self.asking.remove(&(session, xid));
    }

    /// I28: a server whose state is that of `applied` lets a client go on with a session.
    pub fn check_attached(&self, session: SessionId, applied: Zxid) -> Result<(), Violation> {
        let closed = self.states.session(session).and_then(|life| life.closed);
        let gone = closed.filter(|closed| *closed <= applied);
        ensure(gone.is_none(), Invariant::I28, || {
            format!("{session} is re-attached at {applied}, and was closed at {closed:?}")
        })
    }

    /// The same for a tree that may hold more than is committed, or what never will be: where its last txn is known to be
    /// committed all of it is.
    pub fn compare_committed(&self, tree: &Tree) -> Result<(), Violation> {
        if self.at(tree.last_zxid()).is_some() { self.compare(tree) } else { Ok(()) }
    }

    /// Compares a whole tree with the states, at the tree's zxid: nodes, stats, data, ACLs, children, sessions.
    pub fn compare(&self, tree: &Tree) -> Result<(), Violation> {
        let at = tree.last_zxid();
        let wrong =
            |what: String| Err(Violation { invariant: Invariant::I20, what: format!("at {at}: {what}") });
        if tree.digest() != self.digest_at(at) {
            return wrong(format!("digest {:#x}, the model has {:#x}", tree.digest(), self.digest_at(at)));
        }
        let mut walk = tree.walk();
        let mut walked = 0;
        while let Some(step) = walk.next() {
            walked += 1;
            let Some(node) = self.states.node_at(step.path, at) else {
                return wrong(format!("{} is in the tree and not in the model", step.path));
            };
            if step.path == CONFIG {
                // Written by each server for itself, by no txn.
                continue;
            }
            // Counted by each server for itself.
            let is_counted = step.path.starts_with(QUOTAS) && step.path.ends_with(STATS);
            let data = if is_counted { step.node.data() } else { node.data.as_deref() };
            let found = (step.node.persisted(), step.node.data(), step.node.acl(), step.node.child_count());
            if found != (node.stat, data, Arc::clone(&node.acl), node.child_count as usize) {
                return wrong(format!("{}: the tree has {found:?}, the model {node:?}", step.path));
            }
            let mut names: Vec<&str> = step.node.child_names().collect();
            names.sort_unstable();
            let expected = self.states.children_at(step.path, at);
            if names != expected.iter().map(|name| name.as_str()).collect::<Vec<_>>() {
                return wrong(format!(
                    "children of {}: the tree has {names:?}, the model {expected:?}",
                    step.path
                ));
            }
        }
        if at == self.states.last() && walked != self.states.count() {
            return wrong(format!("{walked} nodes in the tree, {} in the model", self.states.count()));
        }
        let lives =
            |life: super::states::Life| life.opened <= at && life.closed.is_none_or(|closed| closed > at);
        for (id, timeout_ms) in tree.sessions() {
            if !self.states.session(id).is_some_and(|life| lives(life) && life.timeout_ms == timeout_ms) {
                return wrong(format!(
                    "session {id} with {timeout_ms} ms is in the tree, the model has {:?}",
                    self.states.session(id)
                ));
            }
        }
        if at == self.states.last() && tree.sessions().count() != self.states.living().count() {
            return wrong(format!(
                "{} sessions in the tree, {} in the model",
                tree.sessions().count(),
                self.states.living().count()
            ));
        }
        Ok(())
    }
}

fn is_ephemeral(body: &TxnBody) -> bool {
    match body {
        TxnBody::Create(create) => create.ephemeral,
        TxnBody::Multi(entries) => entries.iter().any(is_ephemeral),
        _ => false,
    }
}

/// Which operation is refused for a quota.
fn over_quota(body: &TxnBody) -> Option<usize> {
    let refused = |body: &TxnBody| *body == TxnBody::Error { err: OpError::QuotaExceeded.code() };
    match body {
        TxnBody::Multi(entries) => entries.iter().position(refused),
        body => refused(body).then_some(0),
    }
}

fn is_refusal(txn: &Txn, error: OpError) -> bool {
    txn.body == TxnBody::Error { err: error.code() }
}

/// With what a leader refuses ephemerals of local sessions: its own in one way, those of learners in another.
fn refusal_in(body: &TxnBody) -> OpError {
    let own = OpError::EphemeralOnLocalSession;
    let is_own = |body: &TxnBody| *body == TxnBody::Error { err: own.code() };
    let found = match body {
        TxnBody::Multi(entries) => entries.iter().any(is_own),
        body => is_own(body),
    };
    if found { own } else { OpError::SessionExpired }
}
