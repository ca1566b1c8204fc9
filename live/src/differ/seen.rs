//! What a server sent, decoded, with what must differ between two servers taken out: session ids, times, and the order of
//! lists that have none.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use zk_core::error::OpError;
use zk_core::ids::Zxid;
use zk_core::time::WallMs;
use zk_core::wire::client::{ConnectResponse, ReplyHeader, WatcherEvent, xid};
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::multi::MultiResult;
use zk_core::wire::records::{Acl, Stat};
use zk_core::wire::reply::Reply;

/// A frame from a server, or its absence.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// The answer to a handshake; the session's number instead of its id and password.
    Connected {
        /// Negotiated, ms; 0: the session is gone.
        timeout_ms: i32,
        /// The last byte, if there was one.
        read_only: Option<bool>,
        /// Whether id and password are as a client expects them.
        identity: Identity,
    },
    /// A reply.
    Reply {
        /// As in its header.
        xid: i32,
        /// As in its header.
        zxid: Zxid,
        /// As in its header.
        err: i32,
        /// What follows the header.
        body: Body,
    },
    /// A watch event.
    Event {
        /// As in its header.
        zxid: Zxid,
        /// What happened, to which path.
        event: WatcherEvent,
    },
    /// The server closed the connection.
    Closed,
    /// Nothing came for so long that nothing will.
    Silence,
}

impl Seen {
    /// A reply behind which the server closes the connection.
    pub fn ends_connection(&self) -> bool {
        let Self::Reply { zxid, err, .. } = *self else { return false };
        let refused = err == OpError::Unimplemented.code() && zxid == Zxid(-1);
        refused || err == OpError::AuthFailed.code()
    }
}

/// Whose session a handshake has answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A new one's.
    New,
    /// The one that was asked for.
    Same,
    /// Nobody's: zeros.
    Nobody,
    /// Anything else.
    Other,
}

/// The body of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// None.
    Nothing,
    /// One that answers the opcode.
    Of(Reply),
    /// Bytes that are no encoding of anything expected.
    Bytes(Bytes),
}

/// What one server's ids and times mean.
#[derive(Debug, Default)]
pub struct Meanings {
    sessions: HashMap<i64, usize>,
    times: HashMap<Zxid, WallMs>,
}

impl Meanings {
    /// A session got this id.
    pub fn session_is(&mut self, id: i64, session: usize) {
        self.sessions.insert(id, session);
    }

    /// Decodes a frame behind the handshake; `asked` tells the opcode of a request by its xid.
    pub fn of_frame(&mut self, frame: &Bytes, asked: impl FnOnce(i32) -> Option<i32>) -> Seen {
        let r = &mut Reader::new(frame.clone());
        let Ok(ReplyHeader { xid, zxid, err }) = ReplyHeader::decode(r) else {
            return Seen::Reply { xid: 0, zxid: Zxid(0), err: 0, body: Body::Bytes(frame.clone()) };
        };
        let rest = r.rest();
        if xid == xid::NOTIFICATION
            && let Some(event) = whole::<WatcherEvent>(&rest)
        {
            return Seen::Event { zxid, event };
        }
        let op = asked(xid);
        let body = if rest.is_empty() {
            Body::Nothing
        } else {
            op.and_then(|op| reply(op, &rest)).map_or(Body::Bytes(rest), |mut reply| {
                self.normalise(&mut reply);
                Body::Of(reply)
            })
        };
        Seen::Reply { xid, zxid, err, body }
    }

    fn normalise(&mut self, reply: &mut Reply) {
        match reply {
            Reply::Create2(r) => self.stat(&mut r.stat),
            Reply::SetData(r) => self.stat(&mut r.stat),
            Reply::SetAcl(r) => self.stat(&mut r.stat),
            Reply::Exists(r) => self.stat(&mut r.stat),
            Reply::GetData(r) => self.stat(&mut r.stat),
            Reply::GetAcl(r) => {
                self.stat(&mut r.stat);
                sort_expanded(&mut r.acl);
            }
            Reply::GetChildren(r) => r.children.sort(),
            Reply::GetChildren2(r) => {
                r.children.sort();
                self.stat(&mut r.stat);
            }
            Reply::GetEphemerals(r) => r.paths.sort(),
            Reply::WhoAmI(r) => {
                r.clients.sort_by(|a, b| (&a.scheme, &a.user).cmp(&(&b.scheme, &b.user)));
            }
            Reply::Multi(results) => results.iter_mut().for_each(|result| self.result(result)),
            Reply::Empty
            | Reply::Create(_)
            | Reply::GetAllChildrenNumber(_)
            | Reply::Sync(_)
            | Reply::AddWatch(_)
            | Reply::Sasl(_) => {}
        }
    }

    fn result(&mut self, result: &mut MultiResult) {
        match result {
            MultiResult::Create2(r) => self.stat(&mut r.stat),
            MultiResult::SetData(r) => self.stat(&mut r.stat),
            MultiResult::GetData(r) => self.stat(&mut r.stat),
            MultiResult::GetChildren(r) => r.children.sort(),
            MultiResult::Create(_) | MultiResult::Delete | MultiResult::Check | MultiResult::Error(_) => {}
        }
    }

    /// Owners become the number of their session; a time becomes 1 if it is the one that its txn always had, else 2.
    fn stat(&mut self, stat: &mut Stat) {
        if let Some(session) = self.sessions.get(&stat.ephemeral_owner) {
            stat.ephemeral_owner = 1000 + *session as i64;
        }
        stat.ctime = self.time(stat.czxid, stat.ctime);
        stat.mtime = self.time(stat.mzxid, stat.mtime);
    }

    fn time(&mut self, zxid: Zxid, found: WallMs) -> WallMs {
        if zxid == Zxid::ZERO {
            return found;
        }
        WallMs(if *self.times.entry(zxid).or_insert(found) == found { 1 } else { 2 })
    }
}

/// The answer to a handshake for the session `wanted`, 0 for a new one.
pub fn connected(frame: &Bytes, wanted: i64, password: &[u8]) -> Option<(Seen, ConnectResponse)> {
    let response = whole::<ConnectResponse>(frame)?;
    let found = response.session.0;
    let sent = response.password.as_deref().unwrap_or_default();
    let identity = match (found, wanted) {
        (0, _) if sent == [0; 16] => Identity::Nobody,
        (_, 0) if sent.len() == 16 && found != 0 => Identity::New,
        _ if found == wanted && sent == password => Identity::Same,
        _ => Identity::Other,
    };
    let seen = Seen::Connected { timeout_ms: response.timeout_ms, read_only: response.read_only, identity };
    Some((seen, response))
}

/// A record that fills the bytes to their end.
fn whole<T: Jute>(bytes: &Bytes) -> Option<T> {
    let value = T::from_bytes(bytes.clone()).ok()?;
    (value.to_bytes() == *bytes).then_some(value)
}

fn reply(op: i32, bytes: &Bytes) -> Option<Reply> {
    let reply = Reply::decode(op, bytes.clone()).ok()??;
    let mut again = BytesMut::new();
    reply.encode(&mut again);
    (again == *bytes).then_some(reply)
}

/// What `auth` expands to has no order; with one identity there is nothing to order.
fn sort_expanded(acl: &mut [Acl]) {
    if acl.iter().filter(|entry| entry.id.scheme == "digest").count() > 1 {
        acl.sort_by(|a, b| (&a.id.scheme, &a.id.id, a.perms).cmp(&(&b.id.scheme, &b.id.id, b.perms)));
    }
}
