//! What every client did and heard, in its own order (I28, I32-I36, I38).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use zk_core::error::OpError;
use zk_core::ids::{SessionId, Zxid};
use zk_core::text::Text;
use zk_core::tree::TxnResult;
use zk_core::wire::client::op;
use zk_core::wire::records::Id;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;
use zk_core::wire::txn::TxnBody;

use super::commits::{Asking, Commits, Committed};
use super::invariant::{Invariant, Violation, ensure};
use super::reads::{self, Answer};
use super::watches::{Registry, Watching};

/// A client of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

/// Something a client did or saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Its handshake was answered with a session.
    Connected {
        /// The session, new or old.
        session: SessionId,
        /// The identities that its requests will carry.
        identities: Arc<[Id]>,
        /// The server has no leader.
        read_only: bool,
    },
    /// It sent a request.
    Asked {
        /// Its number.
        xid: i32,
        /// What it asks.
        request: Arc<Request>,
    },
    /// A reply came.
    Replied {
        /// The number in it.
        xid: i32,
        /// The zxid in it.
        zxid: Zxid,
        /// The error in it, or 0.
        err: i32,
        /// The body, decoded as the reply to the oldest request that waits.
        reply: Option<Reply>,
    },
    /// A watch event came.
    Notified {
        /// The zxid in its header.
        zxid: Zxid,
        /// Event type.
        kind: i32,
        /// The node.
        path: Text,
    },
    /// The connection ended; what waited has an unknown outcome.
    Lost,
}

#[derive(Clone, Debug)]
struct Waiting {
    xid: i32,
    request: Arc<Request>,
    /// Whatever completed before this was asked has at most this zxid.
    floor: Zxid,
}

#[derive(Clone, Debug, Default)]
struct History {
    session: SessionId,
    connected: bool,
    /// Its server has no leader.
    read_only: bool,
    identities: Arc<[Id]>,
    waiting: VecDeque<Waiting>,
    /// The highest zxid that the session has seen.
    last: Zxid,
    watching: Watching,
}

/// All clients' histories.
#[derive(Clone, Debug, Default)]
pub struct Histories {
    clients: BTreeMap<ClientId, History>,
    /// The highest zxid of a write that completed: a write asked later gets a higher one.
    done: Zxid,
    /// Operations answered and judged.
    checked: u64,
}

impl Histories {
    /// Operations answered and judged so far.
    pub const fn checked(&self) -> u64 {
        self.checked
    }

    /// Takes what a client did or saw.
    pub fn take(&mut self, client: ClientId, seen: Seen, commits: &mut Commits) -> Result<(), Violation> {
        let done = &mut self.done;
        let history = self.clients.entry(client).or_default();
        match seen {
            Seen::Connected { session, identities, read_only } => {
                history.read_only = read_only;
                history.connect(client, session, identities, commits)
            }
            Seen::Asked { xid, request } => {
                let identities = Arc::clone(&history.identities);
                if is_write(&request) {
                    let request = Arc::clone(&request);
                    commits.ask(history.session, xid, Asking { request, identities });
                }
                history.waiting.push_back(Waiting { xid, request, floor: *done });
                Ok(())
            }
            Seen::Replied { xid, zxid, err, reply } => {
                self.checked += 1;
                history.reply(client, (xid, zxid), (err, reply), commits, done)
            }
            // What setWatches finds changed at once.
            Seen::Notified { .. } if history.read_only => Ok(()),
            Seen::Notified { zxid, kind, path } => {
                let told = format!("client {}", client.0);
                history.watching.heard(zxid, kind, path).map_err(|v| with(v, &told))
            }
            Seen::Lost => {
                history.connected = false;
                history.waiting.clear();
                history.watching = Watching::default();
                Ok(())
            }
        }
    }

    /// The last commit is new: watches fire.
    pub fn committed(&mut self, commits: &Commits) {
        let commit = commits.last().expect("something was committed");
        for history in self.clients.values_mut().filter(|history| history.connected && !history.read_only) {
            if !history.watching.is_empty() {
                history.watching.fire(commit.txn.header.zxid, &commit.told, commits);
            }
        }
    }

    /// Nothing is under way any more: every connected client that listens has heard all that is due.
    pub fn settled(&self, listens: impl Fn(ClientId) -> bool) -> Result<(), Violation> {
        let connected =
            self.clients.iter().filter(|(client, history)| history.connected && listens(**client));
        for (client, history) in connected {
            history.watching.settled().map_err(|v| with(v, &format!("client {}", client.0)))?;
        }
        Ok(())
    }
}

impl History {
    fn connect(
        &mut self,
        client: ClientId,
        session: SessionId,
        identities: Arc<[Id]>,
        commits: &Commits,
    ) -> Result<(), Violation> {
        let began = commits.states().session(session).is_some() || commits.is_local(session);
        ensure(began, Invariant::I34, || {
            format!("client {} was given session {session}, which was never committed", client.0)
        })?;
        if session != self.session {
            self.last = Zxid::ZERO;
        }
        self.session = session;
        self.connected = true;
        self.watching = Watching::default();
        self.watching.identify(&identities);
        self.identities = identities;
        Ok(())
    }

    fn reply(
        &mut self,
        client: ClientId,
        (xid, zxid): (i32, Zxid),
        answer: Answer,
        commits: &mut Commits,
        done: &mut Zxid,
    ) -> Result<(), Violation> {
        let who = || format!("client {} session {} xid {xid} at {zxid}", client.0, self.session);
        let waiting = self.waiting.pop_front();
        let Some(waiting) = waiting.filter(|waiting| waiting.xid == xid) else {
            return ensure(false, Invariant::I33, || format!("{}: a reply to what is not next", who()));
        };
        ensure(zxid >= self.last, Invariant::I32, || {
            format!("{}: the session has seen {}", who(), self.last)
        })?;
        let committed = commits.states().last();
        self.last = zxid;
        let request = &waiting.request;
        if let Some(judged) = self.without_a_txn(request, xid, answer.0, commits) {
            return judged.map_err(|v| with(v, &who()));
        }
        if self.read_only {
            return self.reply_for_reading(request, zxid, answer, commits).map_err(|v| with(v, &who()));
        }
        ensure(zxid <= committed, Invariant::I34, || format!("{}: only {committed} is committed", who()))?;
        if let Request::SetWatches(set) = &**request {
            return self
                .watching
                .set(set, zxid, commits)
                .map_err(|v| with(v, &format!("client {}", client.0)));
        }
        self.watching.reply(zxid).map_err(|v| with(v, &who()))?;
        if is_write(request) {
            let is_local = commits.is_local(self.session);
            let Some(outcome) = commits.take_outcome(self.session, xid) else {
                return ensure(false, Invariant::I34, || {
                    format!("{}: {request:?} is answered and not committed", who())
                });
            };
            let place = outcome.txn.header.zxid;
            ensure(place == zxid, Invariant::I34, || format!("{}: it was committed at {place}", who()))?;
            ensure(zxid > waiting.floor, Invariant::I34, || {
                format!("{}: {} had completed before it was asked", who(), waiting.floor)
            })?;
            let mut expected = of_outcome(request, outcome);
            if is_local && expected.0 != 0 && is_ephemeral(request) {
                expected = (OpError::EphemeralOnLocalSession.code(), None);
            }
            *done = (*done).max(zxid);
            let is_denied = answer.0 != 0 && expected.0 == 0;
            let invariant = if is_denied { Invariant::I38 } else { Invariant::I34 };
            return ensure(answer == expected, invariant, || {
                format!("{}: {request:?} should be answered {expected:?}, and is {answer:?}", who())
            });
        }
        if let Request::Sync(_) = **request {
            ensure(zxid >= waiting.floor, Invariant::I32, || {
                format!("{}: a sync does not see {}, which had completed", who(), waiting.floor)
            })?;
        }
        let found = (answer.0, answer.1.map(reads::sorted));
        if let Some(expected) = reads::expected(commits.states(), zxid, &self.identities, request) {
            ensure(found == expected, Invariant::I33, || {
                format!("{}: {request:?} should read {expected:?}, and read {found:?}", who())
            })?;
        }
        self.watch(&waiting.request, found.0, zxid, commits);
        Ok(())
    }

    /// A server without a leader shows what it has. If it has just started that may never have been committed, as in Java;
    /// else it is a state that was. No watch fires there.
    fn reply_for_reading(
        &self,
        request: &Request,
        zxid: Zxid,
        answer: Answer,
        commits: &Commits,
    ) -> Result<(), Violation> {
        if commits.at(zxid).is_none() {
            return Ok(());
        }
        let found = (answer.0, answer.1.map(reads::sorted));
        let expected = reads::expected(commits.states(), zxid, &self.identities, request);
        ensure(expected.is_none() || expected.as_ref() == Some(&found), Invariant::I33, || {
            format!("{request:?} should read {expected:?}, and read {found:?}")
        })
    }

    /// A write that its server answers by itself: without a leader it refuses all of them, and syncs too; and it closes
    /// sessions that nobody else knows. `None`: it was not such a one.
    fn without_a_txn(
        &self,
        request: &Request,
        xid: i32,
        err: i32,
        commits: &mut Commits,
    ) -> Option<Result<(), Violation>> {
        let local_close = matches!(request, Request::CloseSession) && commits.is_local(self.session);
        let refused = self.read_only && (is_write(request) || matches!(request, Request::Sync(_)));
        let expected = match (local_close, refused) {
            (true, _) => 0,
            (false, true) => OpError::NotReadOnly.code(),
            (false, false) => return None,
        };
        commits.withdraw(self.session, xid);
        Some(ensure(err == expected, Invariant::I34, || {
            format!("{request:?} should be answered {expected} without a txn, and is {err}")
        }))
    }

    /// A read that asked for a watch has set it, if it succeeded (exists: also where nothing is).
    fn watch(&mut self, request: &Request, err: i32, zxid: Zxid, commits: &Commits) {
        let (registry, path) = match request {
            Request::Exists(r) if r.watch && (err == 0 || err == -101) => (Registry::Data, &r.path),
            Request::GetData(r) if r.watch && err == 0 => (Registry::Data, &r.path),
            Request::GetChildren(r) if r.watch && err == 0 => (Registry::Child, &r.path),
            Request::GetChildren2(r) if r.watch && err == 0 => (Registry::Child, &r.path),
            _ => return,
        };
        self.watching.stand(registry, path.clone(), zxid, commits);
    }
}

/// As a server with local sessions sees it.
const fn is_ephemeral(request: &Request) -> bool {
    matches!(request, Request::Create(r) | Request::Create2(r) if matches!(r.flags, 1 | 3))
}

/// True for requests that take a zxid.
fn is_write(request: &Request) -> bool {
    matches!(
        request.op(),
        op::CREATE
            | op::CREATE2
            | op::CREATE_CONTAINER
            | op::CREATE_TTL
            | op::DELETE
            | op::SET_DATA
            | op::SET_ACL
            | op::MULTI
            | op::RECONFIG
            | op::CLOSE_SESSION
    )
}

fn of_outcome(request: &Request, Committed { txn, result, .. }: &Committed) -> Answer {
    match (&txn.body, &**result) {
        (TxnBody::Multi(entries), TxnResult::Multi(results)) => reads::of_multi(entries, results),
        (_, result) => reads::of_write(request.op(), result),
    }
}

fn with(violation: Violation, who: &str) -> Violation {
    Violation { what: format!("{who}: {}", violation.what), ..violation }
}
