//! What the local tree answers (client protocol §5, the operations marked L). Java: FinalRequestProcessor.
//!
//! Look-up, permission, watch and reply happen under one hold of the tree, so a client hears of no change that it has
//! seen already, and misses none that it has not. Replies go straight into the connection's output.

use alloc::vec::Vec;
use bytes::{BufMut, BytesMut};

use super::events::{self, EventKind};
use super::outgoing::Outgoing;
use super::own_watches::OwnWatches;
use super::{Host, Watches};
use crate::auth::{self, AuthInfo};
use crate::error::OpError;
use crate::ids::{SessionId, Zxid};
use crate::text::Text;
use crate::tree::NodeRef;
use crate::watch::Modes;
use crate::wire::client::{ClientInfo, MultiHeader, ReplyHeader, op, xid};
use crate::wire::jute::{Jute, put_len};
use crate::wire::records::{Id, Stat, perms};
use crate::wire::request::{MultiOp, Request};

/// A request that needs no one but this server.
#[derive(Clone, Debug)]
pub(super) enum Read {
    /// Any of the reads, a ping among them.
    Request(Request),
    /// One that could not be decoded; it keeps its place in the order.
    Undecodable {
        /// Its opcode.
        op: i32,
        /// True for a multiRead of nothing but writes: Java decodes it, begins its reply and then fails, so that the
        /// end of an empty multi follows the header (client protocol §4). Clients look at the header only.
        ends_a_multi: bool,
    },
    /// One that waited at the door for too long; it is not carried out.
    Throttled {
        /// Its opcode.
        op: i32,
    },
}

impl Read {
    pub(super) const fn op(&self) -> i32 {
        match self {
            Self::Request(request) => request.op(),
            Self::Undecodable { op, .. } | Self::Throttled { op } => *op,
        }
    }
}

/// A connection's side of a read.
pub(super) struct Reader<'a> {
    pub(super) session: SessionId,
    pub(super) auth: &'a AuthInfo,
    pub(super) watches: &'a mut OwnWatches,
    pub(super) out: &'a mut Outgoing,
}

impl Reader<'_> {
    /// Serves a read: its reply, and what the reply follows, are in the output afterwards.
    pub(super) fn serve<C, W: Watches>(&mut self, xid: i32, read: &Read, host: &Host<'_, C, W>) {
        let zxid = host.tree.last_zxid();
        match read {
            Read::Request(request) => {
                if let Err(error) = self.request(xid, request, host) {
                    self.out.refusal(xid, zxid, error);
                }
            }
            Read::Undecodable { ends_a_multi: false, .. } => {
                self.out.refusal(xid, zxid, OpError::MarshallingError);
            }
            Read::Throttled { .. } => self.out.refusal(xid, zxid, OpError::ThrottledOp),
            Read::Undecodable { ends_a_multi: true, .. } => self.out.frame(|out| {
                let err = OpError::MarshallingError.code();
                ReplyHeader { xid, zxid, err }.encode(out);
                LAST.encode(out);
            }),
        }
    }

    fn request<C, W: Watches>(
        &mut self,
        xid: i32,
        request: &Request,
        host: &Host<'_, C, W>,
    ) -> Result<(), OpError> {
        let zxid = host.tree.last_zxid();
        match request {
            Request::Exists(r) => {
                let stat = self.exists(&r.path, r.watch, host)?;
                self.out.reply(xid, zxid, |out| stat.encode(out));
            }
            Request::GetData(r) => {
                let node = self.readable(&r.path, host)?;
                self.watch(&r.path, r.watch, Modes::DATA, host);
                self.out.reply(xid, zxid, |out| put_data(node, out));
            }
            Request::GetChildren(r) => {
                let node = self.readable(&r.path, host)?;
                self.watch(&r.path, r.watch, Modes::CHILD, host);
                self.out.reply(xid, zxid, |out| put_children(node, out));
            }
            Request::GetChildren2(r) => {
                let node = self.readable(&r.path, host)?;
                self.watch(&r.path, r.watch, Modes::CHILD, host);
                self.out.reply(xid, zxid, |out| {
                    put_children(node, out);
                    node.stat().encode(out);
                });
            }
            Request::GetAllChildrenNumber(r) => {
                // Java counts names that begin with the path and a slash; under the empty path the root is one of them.
                let root = i32::from(r.path.is_empty());
                let count = self.readable(&r.path, host)?.descendant_count() as i32 + root;
                self.out.reply(xid, zxid, |out| count.encode(out));
            }
            Request::GetAcl(r) => self.get_acl(xid, &r.path, host)?,
            Request::GetEphemerals(r) => {
                let paths = ephemerals(host.tree.ephemerals(self.session), r.prefix.as_deref());
                self.out.reply(xid, zxid, |out| paths.encode(out));
            }
            Request::WhoAmI => {
                let identities: Vec<_> = self.auth.ids.iter().map(client_info).collect();
                self.out.reply(xid, zxid, |out| identities.encode(out));
            }
            Request::MultiRead(ops) => self.multi_read(xid, ops, host),
            Request::Ping => self.out.header(xid::PING, zxid, 0),
            Request::CheckWatches(r) => {
                let modes = Modes::of_watcher_type(r.kind)?;
                found(self.watches.modes(&r.path, host.watches).meets(modes))?;
                self.out.header(xid, zxid, 0);
            }
            Request::RemoveWatches(r) => {
                let modes = Modes::of_watcher_type(r.kind)?;
                found(!self.watches.remove(&r.path, modes, host.watches).is_empty())?;
                self.out.header(xid, zxid, 0);
            }
            Request::AddWatch(r) => {
                self.watches.add(&r.path, Modes::of_add_watch(r.mode)?, host.watches);
                self.out.reply(xid, zxid, |out| out.put_i32(0));
            }
            Request::SetWatches(r) => {
                self.set_standard(r.relative_zxid, [&r.data, &r.exist, &r.child], host)?;
                self.out.header(xid, zxid, 0);
            }
            Request::SetWatches2(r) => {
                self.set_standard(r.relative_zxid, [&r.data, &r.exist, &r.child], host)?;
                self.set_lasting(&r.persistent, Modes::PERSISTENT, host)?;
                self.set_lasting(&r.recursive, Modes::RECURSIVE, host)?;
                self.out.header(xid, zxid, 0);
            }
            Request::Create(_)
            | Request::Create2(_)
            | Request::CreateContainer(_)
            | Request::CreateTtl(_)
            | Request::Delete(_)
            | Request::DeleteContainer(_)
            | Request::SetData(_)
            | Request::SetAcl(_)
            | Request::Check(_)
            | Request::Multi(_)
            | Request::Reconfig(_)
            | Request::Sync(_)
            | Request::Auth(_)
            | Request::Sasl(_)
            | Request::CreateSession { .. }
            | Request::CloseSession => unreachable!("invariant: only reads are served here: {request:?}"),
        }
        Ok(())
    }

    /// The node, if it is there and the caller may read it.
    fn readable<'t, C, W>(&self, path: &str, host: &Host<'t, C, W>) -> Result<NodeRef<'t>, OpError> {
        let node = host.tree.node(path).ok_or(OpError::NoNode)?;
        self.permit(node, perms::READ, host)?;
        Ok(node)
    }

    fn permit<C, W>(&self, node: NodeRef<'_>, perms: i32, host: &Host<'_, C, W>) -> Result<(), OpError> {
        let allowed = auth::allowed(node.acl_entries(), perms, self.auth, host.config.skip_acl);
        if allowed { Ok(()) } else { Err(OpError::NoAuth) }
    }

    fn watch<C, W: Watches>(&mut self, path: &str, wanted: bool, modes: Modes, host: &Host<'_, C, W>) {
        if wanted {
            self.watches.add(path, modes, host.watches);
        }
    }

    /// A watch stays on a node that is not there, too: it waits for the create.
    fn exists<C, W: Watches>(
        &mut self,
        path: &str,
        watch: bool,
        host: &Host<'_, C, W>,
    ) -> Result<Stat, OpError> {
        if path.contains('\0') {
            return Err(OpError::BadArguments);
        }
        let seen = self.readable(path, host);
        if !matches!(seen, Err(OpError::NoAuth)) {
            self.watch(path, watch, Modes::DATA, host);
        }
        seen.map(|node| node.stat())
    }

    fn get_acl<C, W>(&mut self, xid: i32, path: &str, host: &Host<'_, C, W>) -> Result<(), OpError> {
        let node = host.tree.node(path).ok_or(OpError::NoNode)?;
        self.permit(node, perms::READ | perms::ADMIN, host)?;
        let acl = auth::mask(node.acl_entries(), self.auth, host.config.skip_acl);
        self.out.reply(xid, host.tree.last_zxid(), |out| {
            acl.encode(out);
            node.stat().encode(out);
        });
        Ok(())
    }

    /// Every read stands alone; watch flags mean nothing here.
    fn multi_read<C, W>(&mut self, xid: i32, ops: &[MultiOp], host: &Host<'_, C, W>) {
        let nodes = ops.iter().map(|op| match op {
            MultiOp::GetData(r) => (op::GET_DATA, self.readable(&r.path, host)),
            MultiOp::GetChildren(r) => (op::GET_CHILDREN, self.readable(&r.path, host)),
            other => unreachable!("invariant: the decoder lets no writes into a multiRead: {other:?}"),
        });
        let results: Vec<_> = nodes.collect();
        self.out.reply(xid, host.tree.last_zxid(), |out| {
            for (kind, node) in results {
                match node {
                    Ok(node) => {
                        MultiHeader { kind, done: false, err: 0 }.encode(out);
                        if kind == op::GET_DATA { put_data(node, out) } else { put_children(node, out) }
                    }
                    Err(error) => {
                        MultiHeader { kind: op::ERROR, done: false, err: error.code() }.encode(out);
                        out.put_i32(error.code());
                    }
                }
            }
            LAST.encode(out);
        });
    }

    /// The standard watches of a client that comes back, in this order: those that missed something since `relative`
    /// are told at once, the others watch on (semantics §9.4). A null list ends it with -5 and takes nothing back.
    fn set_standard<C, W: Watches>(
        &mut self,
        relative: Zxid,
        [data, exist, child]: [&Option<Vec<Text>>; 3],
        host: &Host<'_, C, W>,
    ) -> Result<(), OpError> {
        for path in given(data)? {
            match host.tree.node(path).map(|node| node.stat().mzxid) {
                None => self.tell(EventKind::Deleted, path),
                Some(mzxid) if mzxid > relative => self.tell(EventKind::DataChanged, path),
                Some(_) => self.watches.add(path, Modes::DATA, host.watches),
            }
        }
        for path in given(exist)? {
            match host.tree.node(path) {
                None => self.watches.add(path, Modes::DATA, host.watches),
                Some(_) => self.tell(EventKind::Created, path),
            }
        }
        for path in given(child)? {
            match host.tree.node(path).map(|node| node.stat().pzxid) {
                None => self.tell(EventKind::Deleted, path),
                Some(pzxid) if pzxid > relative => self.tell(EventKind::ChildrenChanged, path),
                Some(_) => self.watches.add(path, Modes::CHILD, host.watches),
            }
        }
        Ok(())
    }

    /// Lasting watches come back without being told what they missed.
    fn set_lasting<C, W: Watches>(
        &mut self,
        paths: &Option<Vec<Text>>,
        modes: Modes,
        host: &Host<'_, C, W>,
    ) -> Result<(), OpError> {
        given(paths)?.iter().for_each(|path| self.watches.add(path, modes, host.watches));
        Ok(())
    }

    /// An event that no txn of now causes carries zxid -1, and is told whoever may read the node.
    fn tell(&mut self, kind: EventKind, path: &str) {
        self.out.frame(|out| events::put_event(out, Zxid(-1), kind, path));
    }
}

const LAST: MultiHeader = MultiHeader { kind: -1, done: true, err: -1 };

fn found(is_there: bool) -> Result<(), OpError> {
    if is_there { Ok(()) } else { Err(OpError::NoWatcher) }
}

/// A list of setWatches; Java stumbles over a null one when it comes to it.
fn given(paths: &Option<Vec<Text>>) -> Result<&[Text], OpError> {
    paths.as_deref().ok_or(OpError::MarshallingError)
}

fn put_data(node: NodeRef<'_>, out: &mut BytesMut) {
    match node.data() {
        None => out.put_i32(-1),
        Some(data) => {
            put_len(out, data.len());
            out.put_slice(data);
        }
    }
    node.stat().encode(out);
}

fn put_children(node: NodeRef<'_>, out: &mut BytesMut) {
    put_len(out, node.child_count());
    for name in node.child_names() {
        put_len(out, name.len());
        out.put_slice(name.as_bytes());
    }
}

/// A prefix is compared as text, not by component; a blank one, or the root, asks for all.
fn ephemerals(mut paths: Vec<Text>, prefix: Option<&str>) -> Vec<Text> {
    if let Some(prefix) = prefix.filter(|prefix| !matches!(prefix.trim(), "" | "/")) {
        paths.retain(|path| path.starts_with(prefix));
    }
    paths
}

/// What whoAmI shows of an identity: never a hash.
fn client_info(id: &Id) -> ClientInfo {
    let user = match &*id.scheme {
        "digest" => Text::from(id.id.split(':').next().unwrap_or_default()),
        "super" => Text::EMPTY,
        _ => id.id.clone(),
    };
    ClientInfo { scheme: id.scheme.clone(), user }
}
